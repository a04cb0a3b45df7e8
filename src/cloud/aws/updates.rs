//! Updates of a service in place, the deployments that they begin, and who asks for the service.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types as ecs;
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;

use super::ecs::{Ecs, instant, primary};
use super::errors::{during, existing, refused};
use crate::cloud::registries::{ConsumerSearch, ServiceDeployment, ServiceUpdate};
use crate::cloud::{Cause, CloudError};
use crate::inventory::{Consumers, ServiceRegistry};

const UPDATE: &str = "ecs:UpdateService";
/// Task definitions described at a time; ECS lets a burst of 50 through.
const AT_ONCE: usize = 10;

impl Ecs {
    /// One call with all settings. What it does not name stays as it is, the desired count included.
    pub(super) async fn update(&self, wanted: &ServiceUpdate) -> Result<(), CloudError> {
        let public = if wanted.assign_public_ip { ecs::AssignPublicIp::Enabled } else { ecs::AssignPublicIp::Disabled };
        let network = ecs::AwsVpcConfiguration::builder()
            .set_subnets(Some(wanted.subnets.clone()))
            .set_security_groups(Some(wanted.security_groups.clone()))
            .assign_public_ip(public)
            .build()
            .map_err(|error| refused(UPDATE, error.to_string()))?;
        let registries = wanted.registries.as_ref().map(|all| all.iter().map(write_registry).collect());
        self.writes
            .update_service()
            .cluster(&wanted.cluster)
            .service(&wanted.service)
            .task_definition(&wanted.task_definition)
            .network_configuration(ecs::NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .set_service_registries(registries)
            .enable_execute_command(wanted.execute_command)
            .send()
            .await
            .map_err(during(UPDATE))?;
        Ok(())
    }

    /// Services from before ECS kept records of deployments, and partitions without them, have none.
    pub(super) async fn service_deployments(
        &self,
        cluster: &str,
        service: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<ServiceDeployment>, CloudError> {
        let after = aws_sdk_ecs::primitives::DateTime::from_secs(since.timestamp());
        let listed = self
            .reads
            .list_service_deployments()
            .cluster(cluster)
            .service(service)
            .created_at(ecs::CreatedAt::builder().after(after).build())
            .send()
            .await
            .map_err(during("ecs:ListServiceDeployments"));
        let listed = match listed {
            Err(error) if error.cause == Cause::Refused => return Ok(Vec::new()),
            other => existing(other)?,
        };
        let deployments = listed.and_then(|answer| answer.service_deployments).unwrap_or_default();
        let mut found: Vec<ServiceDeployment> = deployments.iter().filter_map(read_service_deployment).collect();
        found.sort_by_key(|one| std::cmp::Reverse(one.created));
        Ok(found)
    }

    pub(super) async fn stop_service_deployment(&self, arn: &str) -> Result<(), CloudError> {
        let stop = self.writes.stop_service_deployment().service_deployment_arn(arn);
        stop.stop_type(ecs::StopServiceDeploymentStopType::Rollback)
            .send()
            .await
            .map_err(during("ecs:StopServiceDeployment"))?;
        Ok(())
    }

    /// Looks at the services of a cluster, and at the environment of their task definitions.
    pub(super) async fn consumers(&self, search: &ConsumerSearch) -> Result<Consumers, CloudError> {
        let (arns, cut) = self.listed_services(&search.cluster, search.most).await?;
        let services = self.described(&search.cluster, &arns).await?;
        let others: Vec<&ecs::Service> =
            services.iter().filter(|s| s.service_name() != Some(search.except.as_str())).collect();
        let definitions: BTreeSet<&str> = others.iter().filter_map(|s| s.task_definition()).collect();
        let definitions: Vec<&str> = definitions.into_iter().collect();
        let mut mentions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for some in definitions.chunks(AT_ONCE) {
            let described = try_join_all(some.iter().map(|arn| self.described_definition(arn))).await?;
            for (arn, (definition, _)) in some.iter().zip(described) {
                mentions.insert(arn, mentioned(&definition, &search.names));
            }
        }
        let mut consumers =
            Consumers { searched: u32::try_from(others.len()).unwrap_or(u32::MAX), cut, ..Consumers::default() };
        for service in others {
            let name = service.service_name().unwrap_or_default();
            let seen = service.task_definition().and_then(|arn| mentions.get(arn)).into_iter().flatten();
            consumers.mentions.extend(seen.map(|place| format!("{name} ({place})")));
            let connect = primary(service).and_then(|d| d.service_connect_configuration()).filter(|c| c.enabled());
            if search.namespace.is_some() && connect.and_then(|c| c.namespace()) == search.namespace.as_deref() {
                consumers.connected.push(name.to_owned());
            }
        }
        consumers.mentions.sort();
        consumers.connected.sort();
        Ok(consumers)
    }

    /// At most so many services of a cluster, and whether there are more.
    async fn listed_services(&self, cluster: &str, most: usize) -> Result<(Vec<String>, bool), CloudError> {
        let mut arns: Vec<String> = Vec::new();
        let mut token = None;
        loop {
            let page = self.reads.list_services().cluster(cluster).max_results(100).set_next_token(token);
            let page = page.send().await.map_err(during("ecs:ListServices"))?;
            arns.extend_from_slice(page.service_arns());
            token = page.next_token().map(str::to_owned);
            if token.is_none() || arns.len() > most {
                break;
            }
        }
        let cut = arns.len() > most || token.is_some();
        arns.truncate(most);
        Ok((arns, cut))
    }
}

/// Where a task definition's environment names one of these.
fn mentioned(definition: &ecs::TaskDefinition, names: &[String]) -> Vec<String> {
    let mut places = Vec::new();
    for container in definition.container_definitions() {
        for variable in container.environment() {
            let value = variable.value().unwrap_or_default();
            if names.iter().any(|name| crate::cloud::registries::mentions(value, name)) {
                let (key, of) = (variable.name().unwrap_or_default(), container.name().unwrap_or_default());
                places.push(format!("environment {key} of {of}"));
            }
        }
    }
    places
}

fn read_service_deployment(brief: &ecs::ServiceDeploymentBrief) -> Option<ServiceDeployment> {
    Some(ServiceDeployment {
        arn: brief.service_deployment_arn()?.to_owned(),
        status: brief.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        created: instant(brief.created_at())?,
        reason: brief.status_reason().map(str::to_owned),
    })
}

pub(super) fn read_registry(entry: &ecs::ServiceRegistry) -> ServiceRegistry {
    let port = |number: Option<i32>| number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
    ServiceRegistry {
        arn: entry.registry_arn().unwrap_or_default().to_owned(),
        port: port(entry.port()),
        container: entry.container_name().map(str::to_owned),
        container_port: port(entry.container_port()),
    }
}

pub(super) fn write_registry(registry: &ServiceRegistry) -> ecs::ServiceRegistry {
    ecs::ServiceRegistry::builder()
        .registry_arn(&registry.arn)
        .set_port(registry.port.map(i32::from))
        .set_container_name(registry.container.clone())
        .set_container_port(registry.container_port.map(i32::from))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_go_there_and_back() {
        let registry = ServiceRegistry {
            arn: "arn:sd".into(),
            port: None,
            container: Some("app".into()),
            container_port: Some(8080),
        };
        assert_eq!(read_registry(&write_registry(&registry)), registry);
        let plain = ServiceRegistry { arn: "arn:sd".into(), port: None, container: None, container_port: None };
        assert_eq!(read_registry(&write_registry(&plain)), plain);
    }

    #[test]
    fn a_name_in_the_environment_is_found() {
        let variable = ecs::KeyValuePair::builder().name("API").value("http://web.prod.local:8080/").build();
        let container = ecs::ContainerDefinition::builder().name("app").environment(variable).build();
        let definition = ecs::TaskDefinition::builder().container_definitions(container).build();
        assert_eq!(mentioned(&definition, &["web.prod.local".to_owned()]), ["environment API of app"]);
        assert!(mentioned(&definition, &["eb.prod.local".to_owned()]).is_empty());
    }
}
