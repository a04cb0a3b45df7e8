//! Service discovery: Cloud Map services, what is registered there, and updates of an ECS service in place.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::CloudError;
use crate::inventory::{Consumers, Registry, Service, ServiceRegistry};

/// What ways without a load balancer ask of a cloud.
pub trait Registries {
    /// The Cloud Map services with these ARNs, with namespaces and tags. One that does not exist is
    /// left out.
    fn registries(&self, arns: &[String]) -> Result<Vec<Registry>, CloudError>;

    /// The Cloud Map service of this name in a namespace, by its id, or `None`.
    fn registry_named(&self, namespace: &str, name: &str) -> Result<Option<Registry>, CloudError>;

    /// Creates a Cloud Map service and returns its ARN. One of this name that bears the marks of the
    /// wish is its outcome.
    fn create_registry(&self, wanted: &NewRegistry) -> Result<String, CloudError>;

    /// Deletes a Cloud Map service; one that does not exist counts as deleted. Refused while
    /// instances are registered there.
    fn delete_registry(&self, arn: &str) -> Result<(), CloudError>;

    /// Who in a cluster mentions one of these names, or has Service Connect in this namespace.
    fn consumers(&self, search: &ConsumerSearch) -> Result<Consumers, CloudError>;

    /// Gives a service all of these settings in one call. A service that has them already is left
    /// alone by ECS; otherwise it begins a deployment.
    fn update_service(&self, wanted: &ServiceUpdate) -> Result<(), CloudError>;

    /// A service's deployments that began at or after this time, newest first. Empty where ECS keeps
    /// no record of them.
    fn service_deployments(
        &self,
        cluster: &str,
        service: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<ServiceDeployment>, CloudError>;

    /// Asks ECS to stop a deployment that is in progress and to go back to the one before.
    fn stop_service_deployment(&self, arn: &str) -> Result<(), CloudError>;
}

/// A Cloud Map service to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRegistry {
    /// Id of the namespace.
    pub namespace: String,
    pub name: String,
    /// Seconds of its AAAA records.
    pub ttl: u64,
    /// `MULTIVALUE` or `WEIGHTED`.
    pub routing: Option<String>,
    pub custom_health: bool,
    pub tags: BTreeMap<String, String>,
}

/// The settings of a service that moving it in place changes, and that moving it back restores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceUpdate {
    pub cluster: String,
    pub service: String,
    pub task_definition: String,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: bool,
    /// `None` leaves them as they are.
    pub registries: Option<Vec<ServiceRegistry>>,
    pub execute_command: bool,
}

impl ServiceUpdate {
    /// The settings that a service has.
    pub fn of(service: &Service) -> ServiceUpdate {
        ServiceUpdate {
            cluster: service.cluster.clone(),
            service: service.name.clone(),
            task_definition: service.task_definition.clone(),
            subnets: service.subnets.clone(),
            security_groups: service.security_groups.clone(),
            assign_public_ip: service.assigns_public_ip,
            registries: Some(service.registries.clone()),
            execute_command: service.execute_command,
        }
    }

    /// Whether a service has these settings, whatever the order of lists.
    pub fn is_of(&self, service: &Service) -> bool {
        fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
            let mut list = list.to_vec();
            list.sort();
            list
        }
        let registries = self.registries.as_ref().is_none_or(|r| sorted(r) == sorted(&service.registries));
        registries
            && self.task_definition == service.task_definition
            && sorted(&self.subnets) == sorted(&service.subnets)
            && sorted(&self.security_groups) == sorted(&service.security_groups)
            && self.assign_public_ip == service.assigns_public_ip
            && self.execute_command == service.execute_command
    }
}

/// What is searched for in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSearch {
    pub cluster: String,
    /// Name of the service that is not its own consumer.
    pub except: String,
    /// Names to look for in the environment of containers.
    pub names: Vec<String>,
    /// Namespace of Service Connect.
    pub namespace: Option<String>,
    /// How many services are looked at.
    pub most: usize,
}

/// A deployment of a service, as ECS keeps its record (`ListServiceDeployments`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDeployment {
    pub arn: String,
    /// `PENDING`, `IN_PROGRESS`, `SUCCESSFUL`, `STOPPED`, `STOP_REQUESTED`, `ROLLBACK_REQUESTED`,
    /// `ROLLBACK_IN_PROGRESS`, `ROLLBACK_SUCCESSFUL` or `ROLLBACK_FAILED`.
    pub status: String,
    pub created: DateTime<Utc>,
    /// Why it has its status, where ECS says.
    pub reason: Option<String>,
}

impl ServiceDeployment {
    /// Whether it can be stopped.
    pub fn is_stoppable(&self) -> bool {
        matches!(self.status.as_str(), "PENDING" | "IN_PROGRESS")
    }

    /// Whether ECS is on the way back.
    pub fn is_going_back(&self) -> bool {
        matches!(self.status.as_str(), "STOP_REQUESTED" | "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS")
    }

    /// Whether ECS has gone back, or goes back, to the deployment before.
    pub fn went_back(&self) -> bool {
        self.status.starts_with("ROLLBACK")
    }
}

/// Whether a text names this host, and not merely one that ends or begins like it.
pub fn mentions(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    !name.is_empty()
        && text.match_indices(&name).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            // A dot may end a full name, as in `web.prod.local.`.
            let after = after.strip_prefix('.').unwrap_or(after);
            !before.ends_with(part) && !after.starts_with(part)
        })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_name_is_whole() {
        for (text, found) in [
            ("http://web.prod.local:8080/", true),
            ("web.prod.local", true),
            ("WEB.prod.local.", true),
            ("a=1,web.prod.local;b", true),
            ("http://big-web.prod.local", false),
            ("web.prod.local.example.com", false),
            ("web.prod.localhost", false),
            ("", false),
        ] {
            assert_eq!(mentions(text, "web.prod.local"), found, "{text}");
        }
        assert!(!mentions("anything", ""));
    }
}
