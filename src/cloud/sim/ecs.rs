//! The container side: services, tasks over time, and what ECS refuses.
//!
//! A task is a few points in time; its state, and that of its targets, follow from them. So a task
//! needs nothing to happen to become healthy, and a read that lags simply asks about an earlier
//! moment.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::elb::SimGroup;
use super::faults::{failed, not_found, refused};
use super::scenario::Scenario;
use super::universe::{
    Lagging, SimTaskDefinition, Universe, ViolationKind, inherited_tags, is_ours, service_key, short,
};
use crate::cloud::{Cause, CloudError, NewService, NewTaskDefinition};
use crate::inventory::{Deployment, Service, ServiceEvent, ServiceLoadBalancer, TargetHealth, Task, TaskDefinition};

pub(super) const CREATE: &str = "ecs:CreateService";
pub(super) const UPDATE: &str = "ecs:UpdateService";
pub(super) const REGISTER: &str = "ecs:RegisterTaskDefinition";
const NOT_IDEMPOTENT: &str = "InvalidParameterException: Creation of service was not idempotent.";

/// From the launch of a task until it runs.
const LAUNCH: Duration = Duration::seconds(20);
/// From there until its targets pass their first health checks.
const FIRST_CHECKS: Duration = Duration::seconds(30);
/// How long a task may fail its health checks beyond the grace period.
const PATIENCE: Duration = Duration::seconds(30);
/// Tasks that fail at the same time are noticed this long after one another.
const APART: Duration = Duration::seconds(20);
/// How many stopped tasks, and how many events, are remembered.
const REMEMBERED: usize = 10;

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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimTask {
    pub arn: String,
    /// Gives the task its addresses.
    pub number: u64,
    pub created: DateTime<Utc>,
    /// Whether its targets never answer, and when ECS then gives it up.
    pub doomed: Option<DateTime<Utc>>,
    pub stop: Option<TaskStop>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskStop {
    /// When its targets were deregistered.
    pub begun: DateTime<Utc>,
    /// When the task has stopped.
    pub over: DateTime<Utc>,
    pub code: String,
    pub reason: String,
}

impl SimTask {
    fn running_from(&self) -> DateTime<Utc> {
        self.created + LAUNCH
    }

    fn checked_from(&self) -> DateTime<Utc> {
        self.running_from() + FIRST_CHECKS
    }

    /// Whether the service still counts on the task.
    fn is_kept(&self) -> bool {
        self.stop.is_none()
    }

    fn is_running(&self, at: DateTime<Utc>) -> bool {
        at >= self.running_from() && self.stop.as_ref().is_none_or(|s| at < s.begun)
    }

    fn is_healthy(&self, at: DateTime<Utc>) -> bool {
        at >= self.checked_from() && self.doomed.is_none() && self.is_running(at)
    }

    fn is_gone(&self, at: DateTime<Utc>) -> bool {
        self.stop.as_ref().is_some_and(|s| at >= s.over)
    }

    fn status(&self, at: DateTime<Utc>) -> &'static str {
        match &self.stop {
            Some(stop) if at >= stop.over => "STOPPED",
            Some(stop) if at >= stop.begun => "DEACTIVATING",
            _ if at >= self.running_from() => "RUNNING",
            _ => "PENDING",
        }
    }

    fn next_event(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let over = self.stop.as_ref().map(|s| s.over);
        let due = [Some(self.running_from()), Some(self.checked_from()), self.doomed.filter(|_| self.is_kept()), over];
        due.into_iter().flatten().filter(|at| *at > now).min()
    }

    fn ipv4(&self) -> String {
        format!("10.0.{}.{}", self.number / 250 % 250, self.number % 250 + 4)
    }

    fn ipv6(&self) -> String {
        format!("2001:db8:0:{:x}::{:x}", self.number % 2 + 1, self.number + 16)
    }
}

impl SimService {
    pub fn is_active(&self) -> bool {
        self.service.actual.status == "ACTIVE"
    }

    pub(super) fn next_event(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.tasks.iter().filter_map(|t| t.next_event(now)).min()
    }

    /// What a rollback has to restore: what was set, not what follows from it.
    pub(super) fn fingerprint(&self) -> Value {
        let s = &self.service.actual;
        let kept = self.tasks.iter().filter(|t| t.is_kept()).count();
        json!({ "service": s, "tasks": kept })
    }

    pub(super) fn healthy(&self, at: DateTime<Utc>) -> usize {
        self.tasks.iter().filter(|t| t.is_healthy(at)).count()
    }

    pub(super) fn is_in(&self, group: &str) -> bool {
        self.service.actual.load_balancers.iter().any(|lb| lb.target_group.as_deref() == Some(group))
    }

    fn say(&mut self, at: DateTime<Utc>, message: String) {
        self.events.insert(0, ServiceEvent { at: Some(at), message });
        self.events.truncate(REMEMBERED);
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
        let (rollout, reason) = match self.rollout {
            Rollout::InProgress => ("IN_PROGRESS", format!("ECS deployment {} in progress.", self.deployment_id)),
            Rollout::Completed => ("COMPLETED", format!("ECS deployment {} completed.", self.deployment_id)),
            Rollout::Failed => ("FAILED", "ECS deployment circuit breaker: tasks failed to start.".to_owned()),
        };
        service.deployments = vec![Deployment {
            id: self.deployment_id.clone(),
            status: "PRIMARY".to_owned(),
            rollout: Some(rollout.to_owned()),
            rollout_reason: Some(reason),
            task_definition: service.task_definition.clone(),
            desired_count: service.desired_count,
            running_count: service.running_count,
            failed_tasks: self.failed_tasks,
        }];
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

    /// Targets of a group at a moment.
    pub(super) fn targets(&self, group: &SimGroup, referenced: bool, at: DateTime<Utc>) -> Vec<TargetHealth> {
        let mut targets = Vec::new();
        for n in 0..group.fixed_targets {
            let target = format!("10.0.200.{}", n + 4);
            targets.push(TargetHealth {
                target,
                port: group.group.port,
                state: "healthy".to_owned(),
                reason: None,
                description: None,
            });
        }
        for service in self.services.values().filter(|s| s.is_in(&group.group.arn)) {
            if !registers(service, group) {
                continue;
            }
            let port = service.service.actual.load_balancers.iter();
            let port = port.filter(|lb| lb.target_group.as_deref() == Some(&group.group.arn)).map(|lb| lb.port).next();
            let there = service.tasks.iter().filter(|t| at >= t.running_from() && !t.is_gone(at));
            targets.extend(there.map(|t| TargetHealth { port, ..target_seen(t, group, referenced, at) }));
        }
        targets
    }

    /// How many targets of a group are healthy, and how many are registered and not draining.
    pub(super) fn target_counts(&self, arn: &str) -> (u32, u32) {
        let Some(group) = self.target_groups.get(arn) else { return (0, 0) };
        let mut counts = (group.fixed_targets, group.fixed_targets);
        for service in self.services.values().filter(|s| s.is_in(arn) && registers(s, group)) {
            for task in &service.tasks {
                counts.0 += u32::from(task.is_healthy(self.now));
                counts.1 += u32::from(task.is_running(self.now));
            }
        }
        counts
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

    /// There is no client token: every call makes a revision.
    pub(super) fn register_task_definition(&mut self, wanted: &NewTaskDefinition) -> Result<String, CloudError> {
        let mut definition = self.task_definition(REGISTER, &wanted.from)?.definition.clone();
        if wanted.family.is_empty() || wanted.family.len() > 255 {
            return Err(failed(REGISTER, Cause::Refused, "ClientException: Invalid family."));
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
        definition.tags = inherited_tags(&definition.tags, &wanted.tags);
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
            Some(("ACTIVE", existing)) if existing.wanted.as_ref() == Some(wanted) => {
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
            load_balancers,
            tags: inherited_tags(&from.tags, &wanted.tags),
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
        if key == self.blue.service && count < self.blue.desired_count && self.blue_is_needed() {
            let what = format!("desired count {count} was set, {} at the origin", self.blue.desired_count);
            self.violate(ViolationKind::BlueShrunk, what);
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
        self.change_service(&key, |s| {
            s.status = "DRAINING".to_owned();
            s.desired_count = 0;
        });
    }

    /// Starts, stops and gives up tasks as each service wants it now.
    pub(super) fn reconcile_services(&mut self) {
        let keys: Vec<String> = self.services.keys().cloned().collect();
        for key in keys {
            // Taken out so that the rest of the universe can be asked meanwhile.
            let Some(mut service) = self.services.remove(&key) else { continue };
            self.give_up_tasks(&mut service);
            self.scale(&key, &mut service);
            self.roll_out(&mut service);
            self.forget(&mut service);
            self.services.insert(key, service);
        }
    }

    fn give_up_tasks(&self, service: &mut SimService) {
        let now = self.now;
        let group = service.service.actual.load_balancers.iter().find_map(|lb| lb.target_group.clone());
        let group = group.unwrap_or_default();
        let due = |t: &&mut SimTask| t.is_kept() && t.doomed.is_some_and(|at| at <= now);
        let mut given_up = Vec::new();
        for task in service.tasks.iter_mut().filter(due) {
            task.stop = Some(TaskStop {
                begun: now,
                over: now + PATIENCE,
                code: "ServiceSchedulerInitiated".to_owned(),
                reason: format!("Task failed ELB health checks in (target-group {group})"),
            });
            given_up.push(short(&task.arn).to_owned());
        }
        let name = service.service.actual.name.clone();
        for task in given_up {
            service.failed_tasks += 1;
            service.say(
                now,
                format!(
                    "(service {name}) (task {task}) failed ELB health checks in (target-group {group}) \
                     due to (reason Request timed out)."
                ),
            );
        }
    }

    fn scale(&mut self, key: &str, service: &mut SimService) {
        let desired = usize::try_from(service.service.actual.desired_count).unwrap_or(usize::MAX);
        let kept = service.tasks.iter().filter(|t| t.is_kept()).count();
        let name = service.service.actual.name.clone();
        if kept < desired && service.rollout != Rollout::Failed {
            let missing = desired - kept;
            for nth in 0..missing {
                let task = self.launched(key, service, nth);
                service.tasks.push(task);
            }
            service.say(self.now, format!("(service {name}) has started {missing} tasks."));
        }
        if kept > desired {
            let stop = TaskStop {
                begun: self.now,
                over: self.now + self.drain_of(service),
                code: "ServiceSchedulerInitiated".to_owned(),
                reason: "Scaling activity initiated by deployment".to_owned(),
            };
            for task in service.tasks.iter_mut().filter(|t| t.is_kept()).take(kept - desired) {
                task.stop = Some(stop.clone());
            }
            service.say(self.now, format!("(service {name}) has stopped {} running tasks.", kept - desired));
        }
    }

    fn launched(&mut self, key: &str, service: &SimService, nth: usize) -> SimTask {
        let id = self.fresh_id();
        let cluster = key.split('/').next().unwrap_or_default();
        let grace = service.service.actual.grace_period_seconds.map_or(0, i64::from);
        let unreachable = self.scenario == Scenario::GreenUnreachable && key != self.blue.service;
        let given_up = LAUNCH + FIRST_CHECKS.max(Duration::seconds(grace)) + PATIENCE;
        let later = APART * i32::try_from(nth).unwrap_or_default();
        SimTask {
            arn: self.ecs_arn(&format!("task/{cluster}/{id}{id}")),
            number: self.next_id,
            created: self.now,
            doomed: unreachable.then(|| self.now + given_up + later),
            stop: None,
        }
    }

    /// How long targets of a service drain: the longest delay of its groups.
    fn drain_of(&self, service: &SimService) -> Duration {
        let groups = service.service.actual.load_balancers.iter().filter_map(|lb| lb.target_group.as_ref());
        let groups = groups.filter_map(|arn| self.target_groups.get(arn));
        let delay = |g: &SimGroup| g.group.attributes.get("deregistration_delay.timeout_seconds")?.parse().ok();
        Duration::seconds(groups.filter_map(delay).max().unwrap_or_default())
    }

    fn roll_out(&self, service: &mut SimService) {
        if service.rollout != Rollout::InProgress {
            return;
        }
        let name = service.service.actual.name.clone();
        let desired = service.service.actual.desired_count;
        // The circuit breaker's threshold is half of the desired count, but at least 3.
        if service.failed_tasks >= desired.div_ceil(2).clamp(3, 200) {
            service.rollout = Rollout::Failed;
            let id = service.deployment_id.clone();
            service
                .say(self.now, format!("(service {name}) (deployment {id}) deployment failed: tasks failed to start."));
            return;
        }
        let groups = service.service.actual.load_balancers.iter().filter_map(|lb| lb.target_group.as_ref());
        let ready = |arn: &String| self.target_groups.get(arn).is_some_and(|g| registers(service, g));
        let reachable = groups.clone().all(ready) && groups.clone().all(|arn| !self.load_balancers_of(arn).is_empty());
        let healthy = u32::try_from(service.healthy(self.now)).unwrap_or(u32::MAX);
        if reachable && healthy == desired {
            service.rollout = Rollout::Completed;
            service.say(self.now, format!("(service {name}) has reached a steady state."));
        }
    }

    /// Forgets the oldest stopped tasks, and lets a drained service become inactive.
    fn forget(&self, service: &mut SimService) {
        let gone = service.tasks.iter().filter(|t| t.is_gone(self.now)).count();
        let mut surplus = gone.saturating_sub(REMEMBERED);
        service.tasks.retain(|t| {
            let drop = surplus > 0 && t.is_gone(self.now);
            surplus -= usize::from(drop);
            !drop
        });
        if service.service.actual.status == "DRAINING" && service.tasks.iter().all(|t| t.is_gone(self.now)) {
            let inactive = Service { status: "INACTIVE".to_owned(), ..service.service.actual.clone() };
            service.service.set(inactive, self.now, Duration::zero());
        }
    }
}

/// Whether tasks of a service have an address of the group's family.
fn registers(service: &SimService, group: &SimGroup) -> bool {
    group.group.ip_address_type == "ipv6" || !service.ipv6_only
}

fn target_seen(task: &SimTask, group: &SimGroup, referenced: bool, at: DateTime<Utc>) -> TargetHealth {
    let draining = task.stop.as_ref().is_some_and(|s| at >= s.begun);
    let (state, reason, description) = if draining {
        ("draining", Some("Target.DeregistrationInProgress"), Some("Target deregistration is in progress"))
    } else if !referenced {
        ("unused", Some("Target.NotInUse"), Some("Target group is not configured to receive traffic"))
    } else if at < task.checked_from() {
        ("initial", Some("Elb.InitialHealthChecking"), Some("Initial health checks in progress"))
    } else if task.doomed.is_some() {
        ("unhealthy", Some("Target.Timeout"), Some("Request timed out"))
    } else {
        ("healthy", None, None)
    };
    let ipv6 = group.group.ip_address_type == "ipv6";
    TargetHealth {
        target: if ipv6 { task.ipv6() } else { task.ipv4() },
        port: None,
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
        description: description.map(str::to_owned),
    }
}

fn task_seen(task: &SimTask, at: DateTime<Utc>) -> Task {
    let stop = task.stop.as_ref().filter(|s| at >= s.begun);
    Task {
        arn: task.arn.clone(),
        status: task.status(at).to_owned(),
        ipv6: (at >= task.running_from()).then(|| task.ipv6()),
        stop_code: stop.map(|s| s.code.clone()),
        stopped_reason: stop.map(|s| s.reason.clone()),
        containers: match stop.filter(|s| at >= s.over) {
            Some(_) => vec!["app: exit code 143".to_owned()],
            None => Vec::new(),
        },
    }
}
