//! The container side: services and task definitions, and what ECS refuses.
//!
//! Invariant: what is set is stored; what follows from it (counts, deployments, tasks) is drawn
//! from the tasks when it is read. The creating verbs take what bears the run's marks for their
//! outcome, as the adapter does, because ECS itself would make another or refuse.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::faults::{failed, not_found, refused};
use super::rolling::SimDeployment;
use super::tasks::{SimTask, task_seen};
use super::universe::{Lagging, SimTaskDefinition, Universe, ViolationKind, bears_marks, is_ours, service_key, short};
use crate::cloud::registries::ServiceDeployment;
use crate::cloud::{Cause, CloudError, NewService, NewTaskDefinition};
use crate::inventory::{Service, ServiceEvent, ServiceLoadBalancer, Task, TaskDefinition};

pub(super) const CREATE: &str = "ecs:CreateService";
pub(super) const UPDATE: &str = "ecs:UpdateService";
pub(super) const REGISTER: &str = "ecs:RegisterTaskDefinition";
/// How many events are remembered.
const EVENTS: usize = 10;
const NOT_IDEMPOTENT: &str = "InvalidParameterException: Creation of service was not idempotent.";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimService {
    /// As it was last set; counts, deployments and events are filled in when it is read.
    pub service: Lagging<Service>,
    /// What it was created from; `None` for what was there at the origin.
    pub wanted: Option<NewService>,
    /// Reads do not know the service before.
    pub visible_from: DateTime<Utc>,
    pub ipv6_only: bool,
    pub deployment_id: String,
    pub rollout: Rollout,
    pub failed_tasks: u32,
    /// Deployments before that one, those that still run tasks or have just failed; newest first.
    #[serde(default)]
    pub earlier: Vec<SimDeployment>,
    /// What ECS remembers of deployments, newest first.
    #[serde(default)]
    pub history: Vec<ServiceDeployment>,
    /// Oldest first, those that were stopped included.
    pub tasks: Vec<SimTask>,
    /// Newest first.
    pub events: Vec<ServiceEvent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rollout {
    InProgress,
    Completed,
    Failed,
}

impl SimService {
    /// A service that was there long before the run, with these tasks of its one deployment.
    pub(super) fn long_running(
        service: Service,
        deployment_id: String,
        tasks: Vec<SimTask>,
        now: DateTime<Utc>,
    ) -> SimService {
        SimService {
            service: Lagging::new(service),
            wanted: None,
            visible_from: now,
            ipv6_only: false,
            deployment_id,
            rollout: Rollout::Completed,
            failed_tasks: 0,
            earlier: Vec::new(),
            history: Vec::new(),
            tasks,
            events: Vec::new(),
        }
    }

    pub fn is_active(&self) -> bool {
        self.service.actual.status == "ACTIVE"
    }

    pub(super) fn next_event(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.tasks.iter().filter_map(|t| t.next_event(now)).min()
    }

    /// What a rollback has to restore: what was set, not what follows from it.
    pub(super) fn fingerprint(&self) -> Value {
        let s = Service { deployments: Vec::new(), ..self.service.actual.clone() };
        let kept = self.tasks.iter().filter(|t| t.is_kept()).count();
        json!({ "service": s, "tasks": kept })
    }

    pub(super) fn healthy(&self, at: DateTime<Utc>) -> usize {
        self.tasks.iter().filter(|t| t.is_healthy(at)).count()
    }

    pub(super) fn is_in(&self, group: &str) -> bool {
        self.service.actual.load_balancers.iter().any(|lb| lb.target_group.as_deref() == Some(group))
    }

    pub(super) fn say(&mut self, at: DateTime<Utc>, message: String) {
        self.events.insert(0, ServiceEvent { at: Some(at), message });
        self.events.truncate(EVENTS);
    }

    /// The service as reads see it.
    fn seen(&self, now: DateTime<Utc>, at: DateTime<Utc>) -> Service {
        let mut service = self.service.seen(now).clone();
        let count = |wanted: &dyn Fn(&SimTask) -> bool| {
            u32::try_from(self.tasks.iter().filter(|t| wanted(t)).count()).unwrap_or(u32::MAX)
        };
        service.running_count = count(&|t| t.is_running(at));
        service.pending_count = count(&|t| t.is_kept() && at >= t.created && at < t.running_from());
        service.events.clone_from(&self.events);
        service.deployments = self.deployments_seen(&service, at);
        service
    }
}

impl Universe {
    pub(super) fn service(&self, cluster: &str, name: &str) -> Option<Service> {
        let service = self.services.get(&service_key(cluster, name))?;
        if service.service.actual.status == "INACTIVE" || self.now < service.visible_from {
            return None;
        }
        Some(service.seen(self.now, self.now - self.lag()))
    }

    pub(super) fn tasks(&self, cluster: &str, name: &str) -> Vec<Task> {
        let at = self.now - self.lag();
        let tasks = self.services.get(&service_key(cluster, name)).into_iter().flat_map(|s| &s.tasks);
        tasks.filter(|t| t.created <= at).map(|t| task_seen(t, at)).collect()
    }

    pub(super) fn task_definition(&self, operation: &str, arn: &str) -> Result<&SimTaskDefinition, CloudError> {
        let missing = || not_found(operation, "ClientException: Unable to describe task definition.");
        self.task_definitions.get(arn).ok_or_else(missing)
    }

    pub(super) fn task_definition_tagged(&self, family: &str, tags: &BTreeMap<String, String>) -> Option<String> {
        let of_family = self.task_definitions.values().filter(|d| d.active && d.definition.family == family);
        let bears = |d: &TaskDefinition| tags.iter().all(|(key, value)| d.tags.get(key) == Some(value));
        let newest = of_family.filter(|d| bears(&d.definition)).max_by_key(|d| d.revision)?;
        Some(newest.definition.arn.clone())
    }

    /// What bears the marks of the wish is its outcome: the API itself knows no repetition.
    pub(super) fn register_task_definition(&mut self, wanted: &NewTaskDefinition) -> Result<String, CloudError> {
        let made = self.task_definitions.values().filter(|d| d.active && d.definition.family == wanted.family);
        let made = made.filter(|d| bears_marks(&d.definition.tags, &wanted.tags)).max_by_key(|d| d.revision);
        if let Some(made) = made {
            return Ok(made.definition.arn.clone());
        }
        let mut definition = self.task_definition(REGISTER, &wanted.from)?.definition.clone();
        if wanted.family.is_empty() || wanted.family.len() > 255 {
            return Err(failed(REGISTER, Cause::Refused, "ClientException: Invalid family."));
        }
        let named = |name: &String| definition.containers.iter().any(|c| c.name == *name);
        if let Some(unknown) = wanted.images.keys().find(|name| !named(name)) {
            return Err(refused(REGISTER, format!("ClientException: there is no container {unknown}.")));
        }
        for container in &mut definition.containers {
            if let Some(image) = wanted.images.get(&container.name) {
                container.image.clone_from(image);
            }
            container.environment.extend(wanted.environment.clone());
        }
        let of_family = self.task_definitions.values().filter(|d| d.definition.family == wanted.family);
        let revision = of_family.map(|d| d.revision).max().unwrap_or_default() + 1;
        let arn = self.ecs_arn(&format!("task-definition/{}:{revision}", wanted.family));
        definition.arn.clone_from(&arn);
        definition.family.clone_from(&wanted.family);
        definition.tags.extend(wanted.tags.clone());
        definition.tags.retain(|key, _| !key.starts_with("aws:"));
        self.task_definitions.insert(arn.clone(), SimTaskDefinition { definition, revision, active: true });
        Ok(arn)
    }

    pub(super) fn ecs_arn(&self, path: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{path}", self.identity.region, self.identity.account)
    }

    pub(super) fn deregister_task_definition(&mut self, arn: &str) {
        let Some(found) = self.task_definitions.get_mut(arn).filter(|d| d.active) else { return };
        found.active = false;
        if !is_ours(&found.definition.tags) {
            self.violate(ViolationKind::ForeignDeleted, format!("task definition {arn}"));
        }
    }

    pub(super) fn create_service(&mut self, wanted: &NewService) -> Result<String, CloudError> {
        let key = service_key(&wanted.cluster, &wanted.name);
        let Some(cluster) = self.clusters.get(short(&wanted.cluster)).cloned() else {
            return Err(not_found(CREATE, "ClusterNotFoundException: Cluster not found."));
        };
        match self.services.get(&key).map(|s| (s.service.actual.status.as_str(), s)) {
            // Like the adapter: this run's service is the outcome, whoever called.
            Some(("ACTIVE", existing)) if bears_marks(&existing.service.actual.tags, &wanted.tags) => {
                return Ok(existing.service.actual.arn.clone());
            }
            Some(("ACTIVE", _)) => return Err(refused(CREATE, NOT_IDEMPOTENT)),
            Some(("DRAINING", _)) => {
                let text = "InvalidParameterException: Unable to Start a service that is still Draining.";
                return Err(refused(CREATE, text));
            }
            _ => {}
        }
        let from = self.services.get(&service_key(&wanted.cluster, &wanted.from)).filter(|s| s.is_active());
        let from = from.map(|s| s.service.actual.clone());
        let from = from.ok_or_else(|| not_found(CREATE, "ServiceNotFoundException: Service not found."))?;
        let load_balancers = self.checked_new_service(wanted, &from)?;
        let arn = self.ecs_arn(&format!("service/{}/{}", short(&cluster), wanted.name));
        let service = Service {
            arn: arn.clone(),
            name: wanted.name.clone(),
            cluster,
            task_definition: wanted.task_definition.clone(),
            desired_count: wanted.desired_count,
            subnets: wanted.subnets.clone(),
            security_groups: match wanted.security_groups.as_slice() {
                [] => from.security_groups.clone(),
                chosen => chosen.to_vec(),
            },
            assigns_public_ip: false,
            load_balancers,
            registries: wanted.registries.clone(),
            deployments: Vec::new(),
            tags: wanted.tags.clone(),
            execute_command: false,
            ..from
        };
        let id = self.fresh_id();
        let ipv6_only = wanted.subnets.iter().all(|s| self.subnets.get(s) == Some(&true));
        let sim = SimService {
            service: Lagging::new(service),
            wanted: Some(wanted.clone()),
            visible_from: self.now + self.lag(),
            ipv6_only,
            deployment_id: format!("ecs-svc/{}", super::universe::number_of(&id)),
            rollout: Rollout::InProgress,
            failed_tasks: 0,
            earlier: Vec::new(),
            history: Vec::new(),
            tasks: Vec::new(),
            events: Vec::new(),
        };
        self.services.insert(key, sim);
        Ok(arn)
    }

    /// The new service's load balancer list, or why ECS refuses the service.
    fn checked_new_service(&self, wanted: &NewService, from: &Service) -> Result<Vec<ServiceLoadBalancer>, CloudError> {
        let invalid = |text: String| Err(refused(CREATE, format!("InvalidParameterException: {text}")));
        if wanted.client_token.len() > 36 || !wanted.client_token.bytes().all(|b| (33..=126).contains(&b)) {
            return invalid("Client token must be at most 36 ASCII characters in the range of 33-126.".to_owned());
        }
        if !self.task_definition(CREATE, &wanted.task_definition)?.active {
            return Err(refused(CREATE, "ClientException: TaskDefinition is inactive"));
        }
        if wanted.subnets.is_empty() || wanted.subnets.len() > 16 {
            return invalid("subnets can not be empty and can have at most 16 items.".to_owned());
        }
        if let Some(unknown) = wanted.subnets.iter().find(|s| !self.subnets.contains_key(*s)) {
            return invalid(format!(
                "Error retrieving subnet information for [{unknown}]: The subnet ID '{unknown}' does not exist"
            ));
        }
        self.check_registries(CREATE, &wanted.registries, &wanted.subnets)?;
        let mut load_balancers = Vec::new();
        for entry in &from.load_balancers {
            let replacement = entry.target_group.as_ref().and_then(|old| wanted.target_groups.get(old));
            let Some(group) = replacement else { continue };
            if !self.target_groups.contains_key(group) {
                return invalid(format!("Unable to describe target group {group}. The target group was not found."));
            }
            if self.load_balancers_of(group).is_empty() {
                return invalid(format!(
                    "The target group with targetGroupArn {group} does not have an associated load balancer."
                ));
            }
            load_balancers.push(ServiceLoadBalancer {
                target_group: Some(group.clone()),
                advanced: false,
                ..entry.clone()
            });
        }
        Ok(load_balancers)
    }

    pub(super) fn set_desired_count(&mut self, cluster: &str, name: &str, count: u32) -> Result<(), CloudError> {
        let key = service_key(cluster, name);
        let Some(service) = self.services.get(&key) else {
            return Err(not_found(UPDATE, "ServiceNotFoundException: Service not found."));
        };
        if !service.is_active() {
            return Err(refused(UPDATE, "ServiceNotActiveException: Service was not ACTIVE."));
        }
        let shrinks = service.service.actual.desired_count > count;
        if key == self.blue.service && count < self.blue.desired_count && self.blue_is_needed() {
            let what = format!("desired count {count} was set, {} at the origin", self.blue.desired_count);
            self.violate(ViolationKind::BlueShrunk, what);
        }
        if shrinks {
            self.note_cut_flows(&key);
        }
        self.change_service(&key, |s| s.desired_count = count);
        Ok(())
    }

    pub(super) fn change_service(&mut self, key: &str, change: impl FnOnce(&mut Service)) {
        let (now, lag) = (self.now, self.lag());
        if let Some(stored) = self.services.get_mut(key) {
            let mut service = stored.service.actual.clone();
            change(&mut service);
            stored.service.set(service, now, lag);
        }
    }

    pub(super) fn delete_service(&mut self, cluster: &str, name: &str) {
        let key = service_key(cluster, name);
        let Some(service) = self.services.get(&key).filter(|s| s.is_active()) else { return };
        let foreign = !is_ours(&service.service.actual.tags);
        if foreign && (key != self.blue.service || self.blue_is_needed()) {
            self.violate(ViolationKind::ForeignDeleted, format!("service {key}"));
        }
        self.note_cut_flows(&key);
        self.change_service(&key, |s| {
            s.status = "DRAINING".to_owned();
            s.desired_count = 0;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::super::fixture::*;
    use super::*;
    use crate::cloud::Cloud;

    #[test]
    fn a_service_needs_a_group_with_a_load_balancer() {
        let sim = sim(Scenario::Healthy);
        let green = create_group(&sim).unwrap();
        let wanted = new_service(&sim, &green, &register(&sim).unwrap());
        let error = sim.create_service(&wanted).unwrap_err();
        let text = format!(
            "InvalidParameterException: The target group with targetGroupArn {green} does not have an associated \
             load balancer."
        );
        assert_eq!((error.cause, error.message), (Cause::Refused, text));
        probe(&sim, &green).unwrap();
        sim.create_service(&wanted).unwrap();
    }

    #[test]
    fn a_name_in_use_is_refused_unless_it_is_this_runs() {
        let sim = sim(Scenario::Healthy);
        stand_up(&sim);
        let wanted = sim.universe().services["prod/web-ipv6"].wanted.clone().unwrap();
        let arn = sim.create_service(&wanted).unwrap();
        assert_eq!(arn, "arn:aws:ecs:eu-central-1:123456789012:service/prod/web-ipv6");
        let foreign = BTreeMap::from([("migrate:run".to_owned(), "another".to_owned())]);
        let other = NewService { tags: foreign, ..wanted.clone() };
        assert_eq!(sim.create_service(&other).unwrap_err().message, NOT_IDEMPOTENT);
        pass(&sim, 60);
        sim.delete_service("prod", "web-ipv6").unwrap();
        assert!(sim.create_service(&wanted).unwrap_err().message.contains("still Draining"));
        assert_eq!(sim.service("prod", "web-ipv6").unwrap().unwrap().status, "DRAINING");
        let error = sim.set_desired_count("prod", "web-ipv6", 1).unwrap_err();
        assert!(error.message.starts_with("ServiceNotActiveException"), "{error}");
        pass(&sim, 300);
        assert_eq!(sim.service("prod", "web-ipv6").unwrap(), None);
        sim.delete_service("prod", "web-ipv6").unwrap();
        sim.create_service(&wanted).unwrap();
    }

    #[test]
    fn refusals_of_a_new_service() {
        let sim = sim(Scenario::Healthy);
        let green = create_group(&sim).unwrap();
        probe(&sim, &green).unwrap();
        let good = new_service(&sim, &green, &register(&sim).unwrap());
        let bad = [
            (NewService { cluster: "nowhere".into(), ..good.clone() }, "ClusterNotFoundException"),
            (NewService { from: "nobody".into(), ..good.clone() }, "ServiceNotFoundException"),
            (NewService { task_definition: "arn:none".into(), ..good.clone() }, "ClientException"),
            (NewService { subnets: vec!["subnet-none".into()], ..good.clone() }, "subnet-none"),
            (NewService { client_token: "a b".into(), ..good.clone() }, "Client token"),
            (
                NewService { target_groups: BTreeMap::from([(blue_group(&sim), "arn:none".into())]), ..good.clone() },
                "was not found",
            ),
        ];
        for (wanted, text) in bad {
            let error = sim.create_service(&wanted).unwrap_err();
            assert!(error.message.contains(text), "{error}");
        }
        sim.deregister_task_definition(&good.task_definition).unwrap();
        assert!(sim.create_service(&good).unwrap_err().message.contains("inactive"));
        assert_eq!(sim.set_desired_count("prod", "nobody", 1).unwrap_err().cause, Cause::NotFound);
    }

    #[test]
    fn a_clone_carries_blue_and_takes_the_edits() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        let service = sim.service("prod", "web-ipv6").unwrap().unwrap();
        let blue = sim.service("prod", "web").unwrap().unwrap();
        assert_eq!(service.load_balancers[0].target_group, Some(green));
        assert_eq!(service.security_groups, blue.security_groups);
        assert_eq!(service.tags, ours());
        let definition = sim.task_definition(&service.task_definition).unwrap();
        assert_eq!(definition.containers[0].environment["AWS_USE_DUALSTACK_ENDPOINT"], "true");
        assert_eq!(definition.containers[0].environment["LOG_LEVEL"], "info");
        assert_eq!(sim.task_definition_tagged("web-ipv6", &ours()), Ok(Some(definition.arn)));
        assert_eq!(sim.task_definition_tagged("web", &ours()), Ok(None));
    }

    #[test]
    fn blue_may_shrink_only_when_nothing_goes_to_it() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        pass(&sim, 60);
        shift_all(&sim, &green, 100);
        sim.set_desired_count("prod", "web", 0).unwrap();
        assert_eq!(sim.universe().violations, []);
        let sim = super::super::fixture::sim(Scenario::Healthy);
        sim.set_desired_count("prod", "web", 3).unwrap();
        assert_eq!(sim.universe().violations[0].kind, ViolationKind::BlueShrunk);
        sim.delete_service("prod", "web").unwrap();
        assert!(sim.universe().violations.iter().any(|v| v.kind == ViolationKind::ForeignDeleted));
    }

    #[test]
    fn a_definition_of_this_run_is_registered_once() {
        let sim = sim(Scenario::Healthy);
        let first = register(&sim).unwrap();
        assert_eq!(register(&sim), Ok(first.clone()));
        sim.deregister_task_definition(&first).unwrap();
        sim.deregister_task_definition(&first).unwrap();
        let second = register(&sim).unwrap();
        assert_ne!(second, first);
        assert_eq!(sim.task_definition_tagged("web-ipv6", &ours()), Ok(Some(second)));
        assert_eq!(sim.universe().violations, []);
        let unknown = NewTaskDefinition {
            from: first,
            family: "other".to_owned(),
            images: BTreeMap::from([("nobody".to_owned(), "x".to_owned())]),
            environment: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        assert_eq!(sim.register_task_definition(&unknown).unwrap_err().cause, Cause::Refused);
    }
}
