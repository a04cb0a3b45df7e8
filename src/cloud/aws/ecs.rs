//! ECS services, tasks and task definitions: what is read, and the changes that need no copying.
//!
//! `DescribeServices` answers an unknown service with a `failure` rather than an error, and keeps
//! deleted ones for a while as `INACTIVE`: both are no service to us.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs as sdk;
use aws_sdk_ecs::types as ecs;
use chrono::{DateTime, Utc};
use futures_util::future::{join_all, try_join, try_join_all};

use super::copies;
use super::errors::{during, existing, refused};
use super::tags::bears_marks;
use super::updates;
use crate::cloud::{Cause, CloudError};
use crate::inventory::{
    Container, Deployment, RollingUpdate, Service, ServiceEvent, ServiceLoadBalancer, Task, TaskDefinition,
};

const DESCRIBE_SERVICES: &str = "ecs:DescribeServices";
const DESCRIBE_TASK_DEFINITION: &str = "ecs:DescribeTaskDefinition";
/// Services in one call of `DescribeServices`.
const MOST_SERVICES: usize = 10;
/// Tasks in one call of `DescribeTasks`.
const MOST_TASKS: usize = 100;
/// Revisions of a family that are searched for one with given tags, newest first. Green's family is
/// the run's own and holds few.
const REVISIONS_SEARCHED: i32 = 50;
/// Revisions described at a time; ECS lets a burst of 50 through.
const REVISIONS_AT_ONCE: usize = 10;
const EVENTS_KEPT: usize = 10;

/// Reads and writes by clients of their own, because they are retried differently.
#[derive(Debug, Clone)]
pub(super) struct Ecs {
    pub(super) reads: sdk::Client,
    pub(super) writes: sdk::Client,
}

impl Ecs {
    /// The services of these clusters and names, in their order.
    pub(super) async fn services(&self, wanted: &[(String, String)]) -> Result<Vec<Option<Service>>, CloudError> {
        let clusters: BTreeSet<&str> = wanted.iter().map(|(cluster, _)| cluster.as_str()).collect();
        let found = try_join_all(clusters.into_iter().map(|cluster| async move {
            let names: Vec<String> =
                wanted.iter().filter(|(of, _)| of == cluster).map(|(_, name)| name.clone()).collect();
            let found = self.described(cluster, &names).await?;
            Ok::<_, CloudError>((cluster, found))
        }))
        .await?;
        let found: BTreeMap<&str, Vec<ecs::Service>> = found.into_iter().collect();
        Ok(wanted
            .iter()
            .map(|(cluster, name)| {
                let services = found.get(cluster.as_str())?;
                services.iter().find(|service| is_named(service, name)).map(read_service)
            })
            .collect())
    }

    /// The services of a cluster that exist, as the SDK has them.
    pub(super) async fn described(&self, cluster: &str, names: &[String]) -> Result<Vec<ecs::Service>, CloudError> {
        let found = try_join_all(names.chunks(MOST_SERVICES).map(|names| self.described_chunk(cluster, names))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn described_chunk(&self, cluster: &str, names: &[String]) -> Result<Vec<ecs::Service>, CloudError> {
        let answer = self
            .reads
            .describe_services()
            .cluster(cluster)
            .set_services(Some(names.to_vec()))
            .include(ecs::ServiceField::Tags)
            .send()
            .await
            .map_err(during(DESCRIBE_SERVICES));
        let Some(answer) = existing(answer)? else { return Ok(Vec::new()) };
        if let Some(failure) = answer.failures().iter().find(|failure| failure.reason() != Some("MISSING")) {
            let reason = failure.reason().unwrap_or("no reason");
            let detail = failure.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            return Err(refused(DESCRIBE_SERVICES, format!("{}: {reason}{detail}", failure.arn().unwrap_or(cluster))));
        }
        let services = answer.services.unwrap_or_default().into_iter();
        Ok(services.filter(|service| service.status() != Some("INACTIVE")).collect())
    }

    pub(super) async fn task_definition(&self, arn: &str) -> Result<TaskDefinition, CloudError> {
        let (definition, tags) = self.described_definition(arn).await?;
        Ok(read_definition(&definition, read_tags(&tags)))
    }

    /// A task definition and its tags, as the SDK has them.
    pub(super) async fn described_definition(
        &self,
        arn: &str,
    ) -> Result<(ecs::TaskDefinition, Vec<ecs::Tag>), CloudError> {
        let answer = self
            .reads
            .describe_task_definition()
            .task_definition(arn)
            .include(ecs::TaskDefinitionField::Tags)
            .send()
            .await
            .map_err(during(DESCRIBE_TASK_DEFINITION))
            .map_err(missing_definition)?;
        let definition = answer.task_definition.ok_or_else(|| CloudError {
            operation: DESCRIBE_TASK_DEFINITION.to_string(),
            cause: Cause::NotFound,
            message: format!("no task definition {arn}"),
        })?;
        Ok((definition, answer.tags.unwrap_or_default()))
    }

    /// The newest active revision of the family that bears all these tags.
    pub(super) async fn definition_tagged(
        &self,
        family: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<Option<String>, CloudError> {
        let listed = self
            .reads
            .list_task_definitions()
            .family_prefix(family)
            .status(ecs::TaskDefinitionStatus::Active)
            .sort(ecs::SortOrder::Desc)
            .max_results(REVISIONS_SEARCHED)
            .send()
            .await
            .map_err(during("ecs:ListTaskDefinitions"))?;
        let revisions: Vec<&String> =
            listed.task_definition_arns().iter().filter(|arn| family_of(arn) == Some(family)).collect();
        for revisions in revisions.chunks(REVISIONS_AT_ONCE) {
            let described = join_all(revisions.iter().map(|arn| self.described_definition(arn))).await;
            for (arn, described) in revisions.iter().zip(described) {
                // One that was deregistered meanwhile is not what is looked for.
                let Some((_, found)) = existing(described)? else { continue };
                let found = read_tags(&found);
                if tags.iter().all(|(key, value)| found.get(key) == Some(value)) {
                    return Ok(Some((*arn).clone()));
                }
            }
        }
        Ok(None)
    }

    pub(super) async fn tasks(&self, cluster: &str, service: &str) -> Result<Vec<Task>, CloudError> {
        let (running, stopped) = try_join(
            self.listed_tasks(cluster, service, ecs::DesiredStatus::Running),
            self.listed_tasks(cluster, service, ecs::DesiredStatus::Stopped),
        )
        .await?;
        let arns: Vec<String> = running.into_iter().chain(stopped).collect::<BTreeSet<_>>().into_iter().collect();
        let calls = arns
            .chunks(MOST_TASKS)
            .map(|arns| self.reads.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec())).send());
        let described = try_join_all(calls).await.map_err(during("ecs:DescribeTasks"))?;
        let group = format!("service:{}", last_part(service));
        Ok(described
            .iter()
            .flat_map(|page| page.tasks())
            // ECS puts a service's tasks in its group; what names another is not the service's.
            .filter(|task| task.group().is_none_or(|of| of == group))
            .map(read_task)
            .collect())
    }

    async fn listed_tasks(
        &self,
        cluster: &str,
        service: &str,
        status: ecs::DesiredStatus,
    ) -> Result<Vec<String>, CloudError> {
        self.reads
            .list_tasks()
            .cluster(cluster)
            .service_name(service)
            .desired_status(status)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(during("ecs:ListTasks"))
    }

    pub(super) async fn set_desired_count(&self, cluster: &str, service: &str, count: u32) -> Result<(), CloudError> {
        let operation = "ecs:UpdateService";
        let call = self.writes.update_service().cluster(cluster).service(service);
        call.desired_count(as_count(operation, count)?).send().await.map_err(during(operation))?;
        Ok(())
    }

    pub(super) async fn delete_service(&self, cluster: &str, service: &str) -> Result<(), CloudError> {
        let deleted = self.writes.delete_service().cluster(cluster).service(service).force(true).send().await;
        match deleted.map_err(during("ecs:DeleteService")) {
            Ok(_) => Ok(()),
            // Draining or inactive: the deletion has been asked for already.
            Err(error) if error.cause == Cause::NotFound || error.message.starts_with("ServiceNotActive") => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn deregister(&self, arn: &str) -> Result<(), CloudError> {
        let done = self.writes.deregister_task_definition().task_definition(arn).send().await;
        match done.map_err(during("ecs:DeregisterTaskDefinition")) {
            Ok(_) => Ok(()),
            Err(error) if error.cause == Cause::NotFound || says_inactive(&error.message) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// ECS says of a definition that is gone only that it is unable to describe it.
fn missing_definition(error: CloudError) -> CloudError {
    if error.cause == Cause::Refused && error.message.contains("Unable to describe task definition") {
        return CloudError { cause: Cause::NotFound, ..error };
    }
    error
}

fn says_inactive(message: &str) -> bool {
    ["is inactive", "does not exist", "in the process of being deleted"].iter().any(|text| message.contains(text))
}

pub(super) fn as_count(operation: &str, count: u32) -> Result<i32, CloudError> {
    i32::try_from(count).map_err(|_| refused(operation, format!("{count} tasks are more than ECS can count")))
}

/// Whether this is the service that is meant by a name or an ARN.
pub(super) fn is_named(service: &ecs::Service, name: &str) -> bool {
    service.service_name() == Some(name) || service.service_arn() == Some(name)
}

/// Whether a service was made for a wish with these tags.
pub(super) fn is_marked(service: &ecs::Service, wish: &BTreeMap<String, String>) -> bool {
    bears_marks(&read_tags(service.tags()), wish)
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// `web` of `arn:aws:ecs:region:account:task-definition/web:7`.
fn family_of(arn: &str) -> Option<&str> {
    last_part(arn).rsplit_once(':').map(|(family, _)| family)
}

pub(super) fn read_tags(tags: &[ecs::Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .map(|tag| (tag.key().unwrap_or_default().to_string(), tag.value().unwrap_or_default().to_string()))
        .collect()
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

pub(super) fn instant(at: Option<&sdk::primitives::DateTime>) -> Option<DateTime<Utc>> {
    at.and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos()))
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_string)
}

/// The deployment that ECS is heading for, which holds three fields that the service does not.
pub(super) fn primary(service: &ecs::Service) -> Option<&ecs::Deployment> {
    service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"))
}

fn read_service(service: &ecs::Service) -> Service {
    let network = service.network_configuration().and_then(|network| network.awsvpc_configuration());
    let connect = primary(service).and_then(|deployment| deployment.service_connect_configuration());
    let mut events: Vec<ServiceEvent> = service
        .events()
        .iter()
        .map(|event| ServiceEvent {
            at: instant(event.created_at()),
            message: event.message().unwrap_or_default().to_string(),
        })
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events.truncate(EVENTS_KEPT);
    Service {
        arn: service.service_arn().unwrap_or_default().to_string(),
        name: service.service_name().unwrap_or_default().to_string(),
        cluster: service.cluster_arn().unwrap_or_default().to_string(),
        status: service.status().unwrap_or_default().to_string(),
        task_definition: service.task_definition().unwrap_or_default().to_string(),
        desired_count: count(service.desired_count()),
        running_count: count(service.running_count()),
        pending_count: count(service.pending_count()),
        launch_type: owned(service.launch_type().map(ecs::LaunchType::as_str)),
        platform_version: owned(service.platform_version()),
        platform_family: owned(service.platform_family()),
        controller: owned(service.deployment_controller().map(|controller| controller.r#type().as_str())),
        scheduling: owned(service.scheduling_strategy().map(ecs::SchedulingStrategy::as_str)),
        strategy: owned(
            service.deployment_configuration().and_then(|it| it.strategy()).map(ecs::DeploymentStrategy::as_str),
        ),
        managed_by: owned(service.resource_management_type().map(ecs::ResourceManagementType::as_str)),
        subnets: network.map(|network| network.subnets().to_vec()).unwrap_or_default(),
        security_groups: network.map(|network| network.security_groups().to_vec()).unwrap_or_default(),
        assigns_public_ip: network.and_then(|it| it.assign_public_ip()) == Some(&ecs::AssignPublicIp::Enabled),
        load_balancers: service.load_balancers().iter().map(read_load_balancer).collect(),
        deployments: service.deployments().iter().map(read_deployment).collect(),
        registries: service.service_registries().iter().map(updates::read_registry).collect(),
        publishes_service_connect: connect.is_some_and(copies::publishes),
        service_connect: connect.filter(|it| it.enabled()).and_then(|it| owned(it.namespace())),
        rolling: read_rolling(service.deployment_configuration()),
        execute_command: service.enable_execute_command(),
        grace_period_seconds: service.health_check_grace_period_seconds().map(count),
        tags: read_tags(service.tags()),
        events,
        carried: copies::carried_by_service(service),
        dropped: copies::dropped_from_service(service),
    }
}

fn read_load_balancer(entry: &ecs::LoadBalancer) -> ServiceLoadBalancer {
    ServiceLoadBalancer {
        target_group: owned(entry.target_group_arn()),
        container: entry.container_name().unwrap_or_default().to_string(),
        port: entry.container_port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        advanced: entry.advanced_configuration().is_some(),
    }
}

fn read_deployment(deployment: &ecs::Deployment) -> Deployment {
    Deployment {
        id: deployment.id().unwrap_or_default().to_string(),
        status: deployment.status().unwrap_or_default().to_string(),
        rollout: owned(deployment.rollout_state().map(ecs::DeploymentRolloutState::as_str)),
        rollout_reason: owned(deployment.rollout_state_reason()),
        task_definition: deployment.task_definition().unwrap_or_default().to_string(),
        desired_count: count(deployment.desired_count()),
        running_count: count(deployment.running_count()),
        failed_tasks: count(deployment.failed_tasks()),
        subnets: deployment
            .network_configuration()
            .and_then(|network| network.awsvpc_configuration())
            .map(|network| network.subnets().to_vec())
            .unwrap_or_default(),
    }
}

fn read_rolling(configuration: Option<&ecs::DeploymentConfiguration>) -> RollingUpdate {
    let breaker = configuration.and_then(|it| it.deployment_circuit_breaker());
    RollingUpdate {
        circuit_breaker: breaker.is_some_and(|it| it.enable),
        rolls_back: breaker.is_some_and(|it| it.rollback),
        minimum_healthy_percent: configuration.and_then(|it| it.minimum_healthy_percent()).map(count),
        maximum_percent: configuration.and_then(|it| it.maximum_percent()).map(count),
    }
}

fn read_definition(definition: &ecs::TaskDefinition, tags: BTreeMap<String, String>) -> TaskDefinition {
    TaskDefinition {
        arn: definition.task_definition_arn().unwrap_or_default().to_string(),
        family: definition.family().unwrap_or_default().to_string(),
        network_mode: owned(definition.network_mode().map(ecs::NetworkMode::as_str)),
        os_family: owned(
            definition.runtime_platform().and_then(|it| it.operating_system_family()).map(ecs::OsFamily::as_str),
        ),
        requires_compatibilities: definition
            .requires_compatibilities()
            .iter()
            .map(|compatibility| compatibility.as_str().to_string())
            .collect(),
        containers: definition.container_definitions().iter().map(read_container).collect(),
        tags,
        network_volumes: definition
            .volumes()
            .iter()
            .filter(|volume| is_on_the_network(volume))
            .filter_map(|volume| owned(volume.name()))
            .collect(),
        carried: copies::carried_by_definition(definition),
    }
}

/// Whether tasks reach this volume over the network.
fn is_on_the_network(volume: &ecs::Volume) -> bool {
    let by_driver = volume.docker_volume_configuration().is_some_and(|docker| {
        docker.driver().is_some_and(|driver| driver != "local")
            || docker.driver_opts().and_then(|options| options.get("type")).is_some_and(|kind| kind.starts_with("nfs"))
    });
    by_driver
        || volume.efs_volume_configuration().is_some()
        || volume.s3files_volume_configuration().is_some()
        || volume.fsx_windows_file_server_volume_configuration().is_some()
}

fn read_container(container: &ecs::ContainerDefinition) -> Container {
    let log = container.log_configuration();
    Container {
        name: container.name().unwrap_or_default().to_string(),
        image: container.image().unwrap_or_default().to_string(),
        environment: container
            .environment()
            .iter()
            .map(|pair| (pair.name().unwrap_or_default().to_string(), pair.value().unwrap_or_default().to_string()))
            .collect(),
        command: container.command().to_vec(),
        entry_point: container.entry_point().to_vec(),
        health_check: container.health_check().map(|check| check.command().to_vec()).unwrap_or_default(),
        log_driver: owned(log.map(|log| log.log_driver().as_str())),
        log_options: log
            .and_then(|log| log.options())
            .map(|options| options.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
            .unwrap_or_default(),
        dns_servers: container.dns_servers().to_vec(),
        extra_hosts: container
            .extra_hosts()
            .iter()
            .map(|entry| format!("{}:{}", entry.hostname(), entry.ip_address()))
            .collect(),
        ports: container
            .port_mappings()
            .iter()
            .filter_map(|mapping| mapping.container_port().and_then(|port| u16::try_from(port).ok()))
            .collect(),
    }
}

fn read_task(task: &ecs::Task) -> Task {
    let by_interface =
        task.containers().iter().flat_map(|container| container.network_interfaces()).find_map(|it| it.ipv6_address());
    let details = task.attachments().iter().flat_map(|attachment| attachment.details());
    let by_attachment = details.filter(|detail| detail.name() == Some("ipv6Address")).find_map(|detail| detail.value());
    Task {
        arn: task.task_arn().unwrap_or_default().to_string(),
        status: task.last_status().unwrap_or_default().to_string(),
        ipv6: owned(by_interface.or(by_attachment)),
        health: owned(task.health_status().map(ecs::HealthStatus::as_str)),
        stop_code: owned(task.stop_code().map(ecs::TaskStopCode::as_str)),
        stopped_reason: owned(task.stopped_reason()),
        containers: task.containers().iter().filter_map(ending).collect(),
    }
}

/// How a container ended, in words; `None` while nothing is known of an end.
fn ending(container: &ecs::Container) -> Option<String> {
    let name = container.name().unwrap_or("container");
    match (container.exit_code(), container.reason()) {
        (None, None) => None,
        (Some(code), None) => Some(format!("{name}: exit code {code}")),
        (None, Some(reason)) => Some(format!("{name}: {reason}")),
        (Some(code), Some(reason)) => Some(format!("{name}: exit code {code}, {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_come_from_arns() {
        assert_eq!(family_of("arn:aws:ecs:r:1:task-definition/web:7"), Some("web"));
        assert_eq!(family_of("arn:aws:ecs:r:1:task-definition/web-ipv6:12"), Some("web-ipv6"));
    }

    #[test]
    fn a_definition_that_cannot_be_described_does_not_exist() {
        let error = refused(DESCRIBE_TASK_DEFINITION, "ClientException: Unable to describe task definition.");
        assert_eq!(missing_definition(error).cause, Cause::NotFound);
        let error = refused(DESCRIBE_TASK_DEFINITION, "InvalidParameterException: no");
        assert_eq!(missing_definition(error).cause, Cause::Refused);
    }

    #[test]
    fn a_task_shows_its_address_and_its_end() {
        let interface = ecs::NetworkInterface::builder().ipv6_address("2001:db8::1").build();
        let web =
            ecs::Container::builder().name("web").exit_code(1).reason("oops").network_interfaces(interface).build();
        let side = ecs::Container::builder().name("side").build();
        let task = ecs::Task::builder()
            .task_arn("arn:t")
            .last_status("STOPPED")
            .stop_code(ecs::TaskStopCode::EssentialContainerExited)
            .containers(web)
            .containers(side)
            .build();
        let read = read_task(&task);
        assert_eq!(read.ipv6.as_deref(), Some("2001:db8::1"));
        assert_eq!(read.stop_code.as_deref(), Some("EssentialContainerExited"));
        assert_eq!(read.containers, ["web: exit code 1, oops"]);
    }

    #[test]
    fn volumes_on_the_network_are_named() {
        let volume = |name: &str| ecs::Volume::builder().name(name);
        let efs = ecs::EfsVolumeConfiguration::builder().file_system_id("fs-1").build().unwrap();
        let definition = ecs::TaskDefinition::builder()
            .volumes(volume("scratch").build())
            .volumes(volume("shared").efs_volume_configuration(efs).build())
            .build();
        assert_eq!(read_definition(&definition, BTreeMap::new()).network_volumes, ["shared"]);
    }
}
