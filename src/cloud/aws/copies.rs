//! Copies of blue's task definition and service: what is carried, what is changed, what is dropped.
//!
//! The SDK's structures are moved whole wherever a field means the same for green, so that nothing
//! is lost on the way; the edits come as data. What `plan` shows as carried is read off the very
//! request that a copy would send, by the SDK's own schema, so that it cannot say anything else.
//!
//! Dropped on purpose, each with its reason in [`dropped_from_service`]: what IPv6-only tasks cannot
//! have (ECS Exec), what two services cannot share (Cloud Map registrations, published Service
//! Connect names, VPC Lattice target groups), and what would let ECS shift traffic by itself.

use std::collections::BTreeMap;

use aws_sdk_ecs::operation::create_service::CreateServiceInput;
use aws_sdk_ecs::operation::create_service::builders::CreateServiceInputBuilder;
use aws_sdk_ecs::operation::register_task_definition::builders::RegisterTaskDefinitionInputBuilder;
use aws_sdk_ecs::types as ecs;
use aws_smithy_json::codec::JsonCodec;
use aws_smithy_schema::codec::Codec;
use aws_smithy_schema::serde::{SerializableStruct, ShapeSerializer};
use serde_json::{Map, Value};

use super::ecs::{as_count, primary, read_tags};
use super::errors::refused;
use super::tags::is_reserved;
use super::updates;
use crate::cloud::{CloudError, NewService, NewTaskDefinition};

pub(super) const REGISTER: &str = "ecs:RegisterTaskDefinition";
pub(super) const CREATE_SERVICE: &str = "ecs:CreateService";

/// The request that registers a copy of a task definition. Output-only fields (ARN, revision,
/// status, ...) have no place in it. The retired `inferenceAccelerators` are not carried: a
/// definition that has them can no longer be registered.
pub(super) fn definition_like(
    from: &ecs::TaskDefinition,
    tags: &[ecs::Tag],
    wanted: &NewTaskDefinition,
) -> Result<RegisterTaskDefinitionInputBuilder, CloudError> {
    let mut containers = from.container_definitions().to_vec();
    for (name, image) in &wanted.images {
        let container = containers.iter_mut().find(|container| container.name() == Some(name));
        let container =
            container.ok_or_else(|| refused(REGISTER, format!("{} has no container {name}", wanted.from)))?;
        container.image = Some(image.clone());
    }
    for container in &mut containers {
        add_environment(container, &wanted.environment);
    }
    let mut all_tags = read_tags(tags);
    all_tags.extend(wanted.tags.clone());
    all_tags.retain(|key, _| !is_reserved(key));
    Ok(RegisterTaskDefinitionInputBuilder::default()
        .family(&wanted.family)
        .set_task_role_arn(from.task_role_arn.clone())
        .set_execution_role_arn(from.execution_role_arn.clone())
        .set_network_mode(from.network_mode.clone())
        .set_container_definitions(Some(containers))
        .set_volumes(from.volumes.clone())
        .set_placement_constraints(from.placement_constraints.clone())
        .set_requires_compatibilities(from.requires_compatibilities.clone())
        .set_cpu(from.cpu.clone())
        .set_memory(from.memory.clone())
        .set_pid_mode(from.pid_mode.clone())
        .set_ipc_mode(from.ipc_mode.clone())
        .set_proxy_configuration(from.proxy_configuration.clone())
        .set_ephemeral_storage(from.ephemeral_storage.clone())
        .set_runtime_platform(from.runtime_platform.clone())
        .set_enable_fault_injection(from.enable_fault_injection)
        .set_tags(write_tags(&all_tags)))
}

/// Sets these variables of a container, in place where it has them.
fn add_environment(container: &mut ecs::ContainerDefinition, variables: &BTreeMap<String, String>) {
    if variables.is_empty() {
        return;
    }
    let environment = container.environment.get_or_insert_default();
    environment.retain(|pair| !pair.name().is_some_and(|name| variables.contains_key(name)));
    environment
        .extend(variables.iter().map(|(name, value)| ecs::KeyValuePair::builder().name(name).value(value).build()));
}

/// The request that creates a service like `from`.
pub(super) fn service_like(from: &ecs::Service, wanted: &NewService) -> Result<CreateServiceInputBuilder, CloudError> {
    let fargate = is_fargate(from);
    let daemon = from.scheduling_strategy() == Some(&ecs::SchedulingStrategy::Daemon);
    let load_balancers = load_balancers(from, &wanted.target_groups);
    let strategy = from.capacity_provider_strategy().to_vec();
    let deployment = primary(from);
    let tags = wanted.tags.iter().filter(|(key, _)| !is_reserved(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let count = if daemon { None } else { Some(as_count(CREATE_SERVICE, wanted.desired_count)?) };
    Ok(CreateServiceInputBuilder::default()
        .cluster(&wanted.cluster)
        .service_name(&wanted.name)
        .task_definition(&wanted.task_definition)
        .set_desired_count(count)
        .client_token(&wanted.client_token)
        // One excludes the other, and without either the cluster's default would apply.
        .set_launch_type(from.launch_type.clone().filter(|_| strategy.is_empty()))
        .set_capacity_provider_strategy(Some(strategy).filter(|strategy| !strategy.is_empty()))
        .set_platform_version(from.platform_version.clone())
        .set_network_configuration(network(from, wanted)?)
        .set_health_check_grace_period_seconds(
            from.health_check_grace_period_seconds.filter(|_| !load_balancers.is_empty()),
        )
        .set_load_balancers(Some(load_balancers).filter(|entries| !entries.is_empty()))
        .set_service_registries(
            Some(wanted.registries.iter().map(updates::write_registry).collect())
                .filter(|entries: &Vec<_>| !entries.is_empty()),
        )
        .set_service_connect_configuration(deployment.and_then(client_only))
        .set_volume_configurations(deployment.and_then(|deployment| deployment.volume_configurations.clone()))
        .set_scheduling_strategy(from.scheduling_strategy.clone())
        .deployment_controller(ecs_controller()?)
        .deployment_configuration(rolling(from.deployment_configuration()))
        .set_placement_constraints(from.placement_constraints.clone().filter(|it| !fargate && !it.is_empty()))
        .set_placement_strategy(from.placement_strategy.clone().filter(|it| !fargate && !it.is_empty()))
        // Creation takes a missing value for ENABLED; an existing service without one is DISABLED.
        .availability_zone_rebalancing(
            from.availability_zone_rebalancing.clone().unwrap_or(ecs::AvailabilityZoneRebalancing::Disabled),
        )
        .enable_ecs_managed_tags(from.enable_ecs_managed_tags)
        .set_propagate_tags(from.propagate_tags.clone())
        .enable_execute_command(false)
        .set_tags(write_tags(&tags)))
}

/// The copied service's entries with green's groups. An entry whose group is not replaced stays
/// with blue: green's tasks could not be registered in an IPv4 group.
fn load_balancers(from: &ecs::Service, replaced: &BTreeMap<String, String>) -> Vec<ecs::LoadBalancer> {
    from.load_balancers()
        .iter()
        .filter_map(|entry| {
            let group = replaced.get(entry.target_group_arn()?)?;
            Some(
                ecs::LoadBalancer::builder()
                    .target_group_arn(group)
                    .set_container_name(entry.container_name.clone())
                    .set_container_port(entry.container_port)
                    .build(),
            )
        })
        .collect()
}

fn network(from: &ecs::Service, wanted: &NewService) -> Result<Option<ecs::NetworkConfiguration>, CloudError> {
    let Some(old) = from.network_configuration().and_then(|network| network.awsvpc_configuration()) else {
        return Ok(None);
    };
    let groups = if wanted.security_groups.is_empty() { old.security_groups() } else { &wanted.security_groups };
    let new = ecs::AwsVpcConfiguration::builder()
        .set_subnets(Some(wanted.subnets.clone()))
        .set_security_groups(Some(groups.to_vec()))
        .assign_public_ip(ecs::AssignPublicIp::Disabled)
        .build()
        .map_err(|error| refused(CREATE_SERVICE, error.to_string()))?;
    Ok(Some(ecs::NetworkConfiguration::builder().awsvpc_configuration(new).build()))
}

fn ecs_controller() -> Result<ecs::DeploymentController, CloudError> {
    ecs::DeploymentController::builder()
        .r#type(ecs::DeploymentControllerType::Ecs)
        .build()
        .map_err(|error| refused(CREATE_SERVICE, error.to_string()))
}

/// The rolling part of a deployment configuration.
fn rolling(old: Option<&ecs::DeploymentConfiguration>) -> ecs::DeploymentConfiguration {
    ecs::DeploymentConfiguration::builder()
        .strategy(ecs::DeploymentStrategy::Rolling)
        .set_maximum_percent(old.and_then(|old| old.maximum_percent))
        .set_minimum_healthy_percent(old.and_then(|old| old.minimum_healthy_percent))
        .set_deployment_circuit_breaker(old.and_then(|old| old.deployment_circuit_breaker.clone()))
        .build()
}

/// Whether other services find this one by Service Connect.
pub(super) fn publishes(connect: &ecs::ServiceConnectConfiguration) -> bool {
    connect.enabled() && !connect.services().is_empty()
}

/// Service Connect as far as it only finds others, which both services may.
fn client_only(deployment: &ecs::Deployment) -> Option<ecs::ServiceConnectConfiguration> {
    deployment.service_connect_configuration.clone().filter(|connect| connect.enabled() && !publishes(connect))
}

fn is_fargate(service: &ecs::Service) -> bool {
    service.launch_type() == Some(&ecs::LaunchType::Fargate)
        || service.capacity_provider_strategy().iter().any(|item| item.capacity_provider().starts_with("FARGATE"))
}

fn write_tags(tags: &BTreeMap<String, String>) -> Option<Vec<ecs::Tag>> {
    let tags: Vec<ecs::Tag> =
        tags.iter().map(|(key, value)| ecs::Tag::builder().key(key).value(value).build()).collect();
    Some(tags).filter(|tags| !tags.is_empty())
}

/// What a copy of this service carries, by API name.
pub(super) fn carried_by_service(service: &ecs::Service) -> BTreeMap<String, String> {
    let groups = service.load_balancers().iter().filter_map(|entry| entry.target_group_arn.clone());
    let network = service.network_configuration().and_then(|network| network.awsvpc_configuration());
    let unchanged = NewService {
        cluster: String::new(),
        from: String::new(),
        name: String::new(),
        task_definition: String::new(),
        desired_count: u32::try_from(service.desired_count()).unwrap_or_default(),
        subnets: network.map(|network| network.subnets().to_vec()).unwrap_or_default(),
        security_groups: Vec::new(),
        target_groups: groups.map(|group| (group.clone(), group)).collect(),
        registries: Vec::new(),
        tags: BTreeMap::new(),
        client_token: String::new(),
    };
    let request: Option<CreateServiceInput> =
        service_like(service, &unchanged).ok().and_then(|request| request.build().ok());
    let Some(request) = request else { return BTreeMap::new() };
    let mut fields = as_json(&request);
    // These are green's own, or shown for themselves.
    for name in ["cluster", "serviceName", "taskDefinition", "clientToken", "tags", "enableExecuteCommand"] {
        fields.remove(name);
    }
    // Of these, a part is green's own.
    if fields.remove("networkConfiguration").is_some() {
        let groups = network.map(|network| network.security_groups().join(", ")).unwrap_or_default();
        fields.insert("networkConfiguration.securityGroups".to_string(), Value::String(groups));
    }
    if fields.remove("loadBalancers").is_some() {
        let ports = service.load_balancers().iter().map(|entry| {
            format!("{}:{}", entry.container_name().unwrap_or_default(), entry.container_port().unwrap_or_default())
        });
        fields.insert("loadBalancers".to_string(), Value::String(ports.collect::<Vec<_>>().join(", ")));
    }
    in_words(fields)
}

/// A field, whether the service has it, and why a copy does not.
type Drop = (&'static str, bool, &'static str);

/// What a copy of this service drops, by API name, with the reason.
pub(super) fn dropped_from_service(service: &ecs::Service) -> BTreeMap<String, String> {
    dropped_for_ipv6(service)
        .into_iter()
        .chain(dropped_for_the_shift(service))
        .filter(|(_, has, _)| *has)
        .map(|(name, _, reason)| (name.to_string(), reason.to_string()))
        .collect()
}

/// What IPv6-only tasks cannot have, or cannot share with blue.
fn dropped_for_ipv6(service: &ecs::Service) -> Vec<Drop> {
    let deployment = primary(service);
    let connect = deployment.and_then(|deployment| deployment.service_connect_configuration());
    let network = service.network_configuration().and_then(|network| network.awsvpc_configuration());
    vec![
        ("enableExecuteCommand", service.enable_execute_command(), "ECS Exec does not work with IPv6-only tasks"),
        (
            "serviceRegistries",
            !service.service_registries().is_empty(),
            "a Cloud Map service with A records refuses IPv6-only tasks, and clients would find green before its stage",
        ),
        (
            "serviceConnectConfiguration",
            connect.is_some_and(publishes),
            "a Service Connect name belongs to one service of a namespace",
        ),
        (
            "vpcLatticeConfigurations",
            deployment.is_some_and(|deployment| !deployment.vpc_lattice_configurations().is_empty()),
            "VPC Lattice target groups for IPv4 cannot hold IPv6-only tasks, and their traffic would not follow the stages",
        ),
        (
            "networkConfiguration.assignPublicIp",
            network.and_then(|network| network.assign_public_ip()) == Some(&ecs::AssignPublicIp::Enabled),
            "it is about IPv4; whether IPv6 addresses are reachable is decided by routes and security groups",
        ),
        (
            "loadBalancers.loadBalancerName",
            service.load_balancers().iter().any(|entry| entry.load_balancer_name().is_some()),
            "classic load balancers do not take tasks with their own addresses",
        ),
    ]
}

/// What would let ECS decide about green or its traffic, and what ECS decides by itself.
fn dropped_for_the_shift(service: &ecs::Service) -> Vec<Drop> {
    let rollout = service.deployment_configuration();
    let by_migrate = "ECS rolls green out, and migrate alone shifts its traffic";
    let by_fargate = "Fargate places tasks itself";
    let fargate = is_fargate(service);
    vec![
        (
            "loadBalancers.advancedConfiguration",
            service.load_balancers().iter().any(|entry| entry.advanced_configuration().is_some()),
            by_migrate,
        ),
        (
            "deploymentController",
            service.deployment_controller().is_some_and(|it| *it.r#type() != ecs::DeploymentControllerType::Ecs),
            by_migrate,
        ),
        (
            "deploymentConfiguration.strategy",
            rollout.and_then(|it| it.strategy()).is_some_and(|it| *it != ecs::DeploymentStrategy::Rolling),
            by_migrate,
        ),
        (
            "deploymentConfiguration.lifecycleHooks",
            rollout.is_some_and(|it| !it.lifecycle_hooks().is_empty()),
            by_migrate,
        ),
        (
            "deploymentConfiguration.alarms",
            rollout.and_then(|it| it.alarms()).is_some_and(|it| it.enable()),
            "the alarms watch blue; green is judged by migrate",
        ),
        (
            "deploymentConfiguration.earlySuccessCriteria",
            rollout.is_some_and(|it| it.early_success_criteria().is_some()),
            "green counts as healthy only when all of it is",
        ),
        (
            "role",
            service.role_arn().is_some_and(|role| !role.contains(":role/aws-service-role/")),
            "tasks with their own addresses are registered by the service-linked role of ECS",
        ),
        ("placementConstraints", fargate && !service.placement_constraints().is_empty(), by_fargate),
        ("placementStrategy", fargate && !service.placement_strategy().is_empty(), by_fargate),
    ]
}

/// What a copy of this task definition carries, by API name; containers field by field. Values of
/// environment variables are left out, because they may be secrets.
pub(super) fn carried_by_definition(definition: &ecs::TaskDefinition) -> BTreeMap<String, String> {
    let unchanged = NewTaskDefinition {
        from: String::new(),
        family: String::new(),
        images: BTreeMap::new(),
        environment: BTreeMap::new(),
        tags: BTreeMap::new(),
    };
    let request = definition_like(definition, &[], &unchanged).ok().and_then(|request| request.build().ok());
    let Some(request) = request else { return BTreeMap::new() };
    let mut fields = as_json(&request);
    fields.remove("family");
    if let Some(Value::Array(containers)) = fields.remove("containerDefinitions") {
        for container in containers {
            let Value::Object(mut members) = container else { continue };
            let name = members.remove("name").map(text).unwrap_or_default();
            if let Some(Value::Array(pairs)) = members.remove("environment") {
                let names = pairs.iter().filter_map(|pair| pair.get("name").cloned()).map(text);
                members.insert("environment".to_string(), Value::String(names.collect::<Vec<_>>().join(", ")));
            }
            for (member, value) in members {
                fields.insert(format!("containerDefinitions.{name}.{member}"), value);
            }
        }
    }
    in_words(fields)
}

/// A structure of the SDK as the JSON that it sends.
fn as_json(structure: &dyn SerializableStruct) -> Map<String, Value> {
    let mut written = JsonCodec::default().create_serializer();
    if written.write_struct(structure.schema(), structure).is_err() {
        return Map::new();
    }
    match serde_json::from_slice(&written.finish()) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The fields that say something, with their values as text.
fn in_words(fields: Map<String, Value>) -> BTreeMap<String, String> {
    fields
        .into_iter()
        .filter(|(_, value)| match value {
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Null => false,
            Value::Bool(_) | Value::Number(_) => true,
        })
        .map(|(name, value)| (name, text(value)))
        .collect()
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn variable(name: &str, value: &str) -> ecs::KeyValuePair {
        ecs::KeyValuePair::builder().name(name).value(value).build()
    }

    fn definition() -> ecs::TaskDefinition {
        let web = ecs::ContainerDefinition::builder()
            .name("web")
            .image("old")
            .environment(variable("A", "1"))
            .environment(variable("B", "2"))
            .start_timeout(7)
            .build();
        ecs::TaskDefinition::builder()
            .task_definition_arn("arn:td:7")
            .family("web")
            .revision(7)
            .cpu("256")
            .network_mode(ecs::NetworkMode::Awsvpc)
            .container_definitions(web)
            .container_definitions(ecs::ContainerDefinition::builder().name("side").image("side").build())
            .build()
    }

    fn new_definition() -> NewTaskDefinition {
        NewTaskDefinition {
            from: "arn:td:7".to_string(),
            family: "web-ipv6".to_string(),
            images: strings(&[("web", "new")]),
            environment: strings(&[("A", "9"), ("C", "3")]),
            tags: strings(&[("migrate:run", "web")]),
        }
    }

    #[test]
    fn a_definition_is_copied_with_its_edits() {
        let tag = |key: &str| ecs::Tag::builder().key(key).value("v").build();
        let request = definition_like(&definition(), &[tag("aws:x"), tag("team")], &new_definition()).unwrap();
        let request = request.build().unwrap();
        assert_eq!((request.family(), request.cpu()), (Some("web-ipv6"), Some("256")));
        let [web, side] = request.container_definitions() else { panic!("two containers") };
        assert_eq!((web.image(), side.image(), web.start_timeout()), (Some("new"), Some("side"), Some(7)));
        assert_eq!(web.environment(), [variable("B", "2"), variable("A", "9"), variable("C", "3")]);
        assert_eq!(side.environment(), [variable("A", "9"), variable("C", "3")]);
        assert_eq!(read_tags(request.tags()), strings(&[("migrate:run", "web"), ("team", "v")]));
    }

    #[test]
    fn an_image_for_no_container_is_refused() {
        let wanted = NewTaskDefinition { images: strings(&[("worker", "x")]), ..new_definition() };
        assert!(definition_like(&definition(), &[], &wanted).is_err());
    }

    #[test]
    fn a_definition_is_shown_without_the_values_of_its_variables() {
        let carried = carried_by_definition(&definition());
        assert_eq!(carried["cpu"], "256");
        assert_eq!(carried["networkMode"], "awsvpc");
        assert_eq!(carried["containerDefinitions.web.startTimeout"], "7");
        assert_eq!(carried["containerDefinitions.web.environment"], "A, B");
        assert!(!carried.contains_key("family") && !carried.contains_key("revision"));
    }

    fn connect(services: Option<Vec<ecs::ServiceConnectService>>) -> ecs::ServiceConnectConfiguration {
        ecs::ServiceConnectConfiguration::builder().enabled(true).namespace("ns").set_services(services).build()
    }

    fn service(deployment: ecs::builders::DeploymentBuilder) -> ecs::Service {
        let network = ecs::AwsVpcConfiguration::builder()
            .subnets("subnet-4")
            .security_groups("sg-1")
            .assign_public_ip(ecs::AssignPublicIp::Enabled)
            .build()
            .unwrap();
        let balancer = |group: &str| {
            let advanced = ecs::AdvancedConfiguration::builder().production_listener_rule("arn:r").build();
            ecs::LoadBalancer::builder()
                .target_group_arn(group)
                .container_name("web")
                .container_port(8080)
                .advanced_configuration(advanced)
                .build()
        };
        let volume = ecs::ServiceVolumeConfiguration::builder().name("ebs").build().unwrap();
        let alarms = ecs::DeploymentAlarms::builder().alarm_names("a").enable(true).rollback(true).build().unwrap();
        ecs::Service::builder()
            .launch_type(ecs::LaunchType::Fargate)
            .platform_version("1.4.0")
            .desired_count(3)
            .network_configuration(ecs::NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .load_balancers(balancer("arn:blue"))
            .load_balancers(balancer("arn:left-alone"))
            .health_check_grace_period_seconds(30)
            .scheduling_strategy(ecs::SchedulingStrategy::Replica)
            .deployment_configuration(
                ecs::DeploymentConfiguration::builder()
                    .strategy(ecs::DeploymentStrategy::BlueGreen)
                    .maximum_percent(150)
                    .minimum_healthy_percent(75)
                    .bake_time_in_minutes(5)
                    .deployment_circuit_breaker(
                        ecs::DeploymentCircuitBreaker::builder().enable(true).rollback(false).build(),
                    )
                    .alarms(alarms)
                    .build(),
            )
            .propagate_tags(ecs::PropagateTags::Service)
            .enable_ecs_managed_tags(true)
            .enable_execute_command(true)
            .service_registries(ecs::ServiceRegistry::builder().registry_arn("arn:sd").build())
            .deployments(deployment.status("PRIMARY").volume_configurations(volume).build())
            .build()
    }

    fn new_service() -> NewService {
        NewService {
            cluster: "prod".to_string(),
            from: "web".to_string(),
            name: "web-ipv6".to_string(),
            task_definition: "arn:td:1".to_string(),
            desired_count: 3,
            subnets: vec!["subnet-6".to_string()],
            security_groups: Vec::new(),
            target_groups: strings(&[("arn:blue", "arn:green")]),
            registries: Vec::new(),
            tags: strings(&[("migrate:run", "web"), ("aws:ecs:x", "y")]),
            client_token: "token".to_string(),
        }
    }

    #[test]
    fn a_service_is_copied_with_its_edits() {
        let from = service(ecs::Deployment::builder().service_connect_configuration(connect(None)));
        let request = service_like(&from, &new_service()).unwrap().build().unwrap();
        let network = request.network_configuration().unwrap().awsvpc_configuration().unwrap();
        assert_eq!(
            (network.subnets(), network.security_groups()),
            (&["subnet-6".to_string()][..], &["sg-1".to_string()][..])
        );
        assert_eq!(network.assign_public_ip(), Some(&ecs::AssignPublicIp::Disabled));
        let [balancer] = request.load_balancers() else { panic!("one entry") };
        assert_eq!((balancer.target_group_arn(), balancer.container_port()), (Some("arn:green"), Some(8080)));
        assert!(balancer.advanced_configuration().is_none());
        let deployment = request.deployment_configuration().unwrap();
        assert_eq!(deployment.strategy(), Some(&ecs::DeploymentStrategy::Rolling));
        assert_eq!((deployment.maximum_percent(), deployment.minimum_healthy_percent()), (Some(150), Some(75)));
        assert!(deployment.deployment_circuit_breaker().is_some_and(|breaker| breaker.enable()));
        assert!(deployment.alarms().is_none() && deployment.bake_time_in_minutes().is_none());
        assert_eq!(request.availability_zone_rebalancing(), Some(&ecs::AvailabilityZoneRebalancing::Disabled));
        assert_eq!(request.enable_execute_command(), Some(false));
        assert_eq!(request.health_check_grace_period_seconds(), Some(30));
        assert_eq!((request.platform_version(), request.client_token()), (Some("1.4.0"), Some("token")));
        assert_eq!(request.volume_configurations().len(), 1);
        assert!(request.service_connect_configuration().is_some());
        assert!(request.service_registries().is_empty() && request.role().is_none());
        assert_eq!(read_tags(request.tags()), strings(&[("migrate:run", "web")]));
    }

    #[test]
    fn a_capacity_provider_strategy_takes_the_place_of_the_launch_type() {
        let mut from = service(ecs::Deployment::builder());
        let item = ecs::CapacityProviderStrategyItem::builder().capacity_provider("FARGATE_SPOT").weight(1).build();
        from.capacity_provider_strategy = Some(vec![item.unwrap()]);
        let request = service_like(&from, &new_service()).unwrap().build().unwrap();
        assert_eq!((request.launch_type(), request.capacity_provider_strategy().len()), (None, 1));
    }

    #[test]
    fn what_is_dropped_is_named_with_its_reason() {
        let published = ecs::ServiceConnectService::builder().port_name("http").build().unwrap();
        let from = service(ecs::Deployment::builder().service_connect_configuration(connect(Some(vec![published]))));
        let dropped: Vec<String> = dropped_from_service(&from).into_keys().collect();
        assert_eq!(
            dropped,
            [
                "deploymentConfiguration.alarms",
                "deploymentConfiguration.strategy",
                "enableExecuteCommand",
                "loadBalancers.advancedConfiguration",
                "networkConfiguration.assignPublicIp",
                "serviceConnectConfiguration",
                "serviceRegistries",
            ]
        );
        let request = service_like(&from, &new_service()).unwrap().build().unwrap();
        assert!(request.service_connect_configuration().is_none());
    }

    #[test]
    fn what_is_carried_is_what_would_be_sent() {
        let carried = carried_by_service(&service(ecs::Deployment::builder()));
        let names: Vec<&str> = carried.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "availabilityZoneRebalancing",
                "deploymentConfiguration",
                "deploymentController",
                "desiredCount",
                "enableECSManagedTags",
                "healthCheckGracePeriodSeconds",
                "launchType",
                "loadBalancers",
                "networkConfiguration.securityGroups",
                "platformVersion",
                "propagateTags",
                "schedulingStrategy",
                "volumeConfigurations",
            ]
        );
        assert_eq!(carried["loadBalancers"], "web:8080, web:8080");
        assert_eq!(carried["networkConfiguration.securityGroups"], "sg-1");
        assert_eq!(carried["desiredCount"], "3");
    }
}
