//! Tasks over time: launched, checked, given up, drained; and the targets that they are.
//!
//! A task is a few points in time; its state, and that of its targets, follow from them. So a task
//! needs nothing to happen to become healthy, and a read that lags simply asks about an earlier
//! moment.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::ecs::{Rollout, SimService};
use super::elb::SimGroup;
use super::scenario::Scenario;
use super::universe::{Universe, short};
use crate::inventory::{Service, TargetHealth, Task};

/// From the launch of a task until it runs.
const LAUNCH: Duration = Duration::seconds(20);
/// From there until its targets pass their first health checks.
const FIRST_CHECKS: Duration = Duration::seconds(30);
/// How long a task may fail its health checks beyond the grace period.
const PATIENCE: Duration = Duration::seconds(30);
/// Tasks that fail at the same time are noticed this long after one another.
const APART: Duration = Duration::seconds(20);
/// How many stopped tasks are remembered.
const REMEMBERED: usize = 10;

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
    /// Id of the deployment that started it.
    #[serde(default)]
    pub deployment: String,
    /// Whether it has no IPv4 address.
    #[serde(default)]
    pub ipv6_only: bool,
    /// ARNs of the Cloud Map services in which it is an instance while it runs.
    #[serde(default)]
    pub registries: Vec<String>,
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
    pub(super) fn running_from(&self) -> DateTime<Utc> {
        self.created + LAUNCH
    }

    pub(super) fn checked_from(&self) -> DateTime<Utc> {
        self.running_from() + FIRST_CHECKS
    }

    /// Whether the service still counts on the task.
    pub(super) fn is_kept(&self) -> bool {
        self.stop.is_none()
    }

    pub(super) fn is_running(&self, at: DateTime<Utc>) -> bool {
        at >= self.running_from() && self.stop.as_ref().is_none_or(|s| at < s.begun)
    }

    pub(super) fn is_healthy(&self, at: DateTime<Utc>) -> bool {
        at >= self.checked_from() && self.doomed.is_none() && self.is_running(at)
    }

    fn health(&self, at: DateTime<Utc>) -> &'static str {
        match (at >= self.checked_from(), self.doomed) {
            (false, _) => "UNKNOWN",
            (true, Some(_)) => "UNHEALTHY",
            (true, None) => "HEALTHY",
        }
    }

    pub(super) fn is_gone(&self, at: DateTime<Utc>) -> bool {
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

    pub(super) fn next_event(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
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

impl Universe {
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
        let checks = group.map_or_else(
            || "container health checks".to_owned(),
            |group| format!("ELB health checks in (target-group {group})"),
        );
        let due = |t: &&mut SimTask| t.is_kept() && t.doomed.is_some_and(|at| at <= now);
        let mut given_up = Vec::new();
        for task in service.tasks.iter_mut().filter(due) {
            task.stop = Some(TaskStop {
                begun: now,
                over: now + PATIENCE,
                code: "ServiceSchedulerInitiated".to_owned(),
                reason: format!("Task failed {checks}"),
            });
            given_up.push((short(&task.arn).to_owned(), task.deployment == service.deployment_id));
        }
        let name = service.service.actual.name.clone();
        for (task, newest) in given_up {
            service.failed_tasks += u32::from(newest);
            let text = format!("(service {name}) (task {task}) failed {checks} due to (reason Request timed out).");
            service.say(now, text);
        }
    }

    /// Starts what the newest deployment lacks, and stops what the others need not run any more: never
    /// fewer healthy tasks than desired, never more than twice as many tasks (100 % and 200 %).
    fn scale(&mut self, key: &str, service: &mut SimService) {
        let desired = usize::try_from(service.service.actual.desired_count).unwrap_or(usize::MAX);
        let newest = |t: &SimTask, id: &String| t.deployment == *id;
        let id = service.deployment_id.clone();
        let kept = service.tasks.iter().filter(|t| t.is_kept() && newest(t, &id)).count();
        let older = service.tasks.iter().filter(|t| t.is_kept() && !newest(t, &id)).count();
        let name = service.service.actual.name.clone();
        if kept < desired && service.rollout != Rollout::Failed {
            let missing = (desired - kept).min((2 * desired).saturating_sub(kept + older));
            for nth in 0..missing {
                let task = self.launched(key, service, nth);
                service.tasks.push(task);
            }
            if missing > 0 {
                service.say(self.now, format!("(service {name}) has started {missing} tasks."));
            }
        }
        let healthy = service.tasks.iter().filter(|t| t.is_healthy(self.now) && newest(t, &id)).count();
        // What is of no use goes first.
        let sick = |t: &SimTask| t.is_kept() && t.deployment != id && !t.is_healthy(self.now);
        let useless = service.tasks.iter().filter(|t| sick(t)).count();
        let needless = useless + (older - useless).saturating_sub(desired.saturating_sub(healthy));
        let surplus = kept.saturating_sub(desired);
        if needless + surplus > 0 {
            let stop = TaskStop {
                begun: self.now,
                over: self.now + self.drain_of(service),
                code: "ServiceSchedulerInitiated".to_owned(),
                reason: "Scaling activity initiated by deployment".to_owned(),
            };
            let mut of_older: Vec<&mut SimTask> =
                service.tasks.iter_mut().filter(|t| t.is_kept() && t.deployment != id).collect();
            of_older.sort_by_key(|t| t.is_healthy(self.now));
            of_older.into_iter().take(needless).for_each(|task| task.stop = Some(stop.clone()));
            let of_newest = service.tasks.iter_mut().filter(|t| t.is_kept() && t.deployment == id).take(surplus);
            of_newest.for_each(|task| task.stop = Some(stop.clone()));
            let stopped = needless + surplus;
            service.say(self.now, format!("(service {name}) has stopped {stopped} running tasks."));
        }
    }

    fn launched(&mut self, key: &str, service: &SimService, nth: usize) -> SimTask {
        let id = self.fresh_id();
        let cluster = key.split('/').next().unwrap_or_default();
        let grace = service.service.actual.grace_period_seconds.map_or(0, i64::from);
        let unreachable =
            self.scenario == Scenario::GreenUnreachable && (key != self.blue.service || service.ipv6_only);
        let given_up = LAUNCH + FIRST_CHECKS.max(Duration::seconds(grace)) + PATIENCE;
        let later = APART * i32::try_from(nth).unwrap_or_default();
        SimTask {
            arn: self.ecs_arn(&format!("task/{cluster}/{id}{id}")),
            number: self.next_id,
            created: self.now,
            doomed: unreachable.then(|| self.now + given_up + later),
            stop: None,
            deployment: service.deployment_id.clone(),
            ipv6_only: service.ipv6_only,
            registries: service.service.actual.registries.iter().map(|r| r.arn.clone()).collect(),
        }
    }

    /// How long targets of a service drain: the longest delay of its groups.
    fn drain_of(&self, service: &SimService) -> Duration {
        let groups = service.service.actual.load_balancers.iter().filter_map(|lb| lb.target_group.as_ref());
        let groups = groups.filter_map(|arn| self.target_groups.get(arn));
        let delay = |g: &SimGroup| g.group.attributes.get("deregistration_delay.timeout_seconds")?.parse().ok();
        Duration::seconds(groups.filter_map(delay).max().unwrap_or_default())
    }

    /// Whether the service's groups can hold its tasks, and are in use.
    pub(super) fn is_reachable(&self, service: &SimService) -> bool {
        let groups = service.service.actual.load_balancers.iter().filter_map(|lb| lb.target_group.as_ref());
        let ready = |arn: &String| self.target_groups.get(arn).is_some_and(|g| registers(service, g));
        groups.clone().all(ready) && groups.clone().all(|arn| !self.load_balancers_of(arn).is_empty())
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

pub(super) fn task_seen(task: &SimTask, at: DateTime<Utc>) -> Task {
    let stop = task.stop.as_ref().filter(|s| at >= s.begun);
    Task {
        arn: task.arn.clone(),
        status: task.status(at).to_owned(),
        ipv6: (at >= task.running_from()).then(|| task.ipv6()),
        health: Some(task.health(at).to_owned()),
        stop_code: stop.map(|s| s.code.clone()),
        stopped_reason: stop.map(|s| s.reason.clone()),
        containers: match stop.filter(|s| at >= s.over) {
            Some(_) => vec!["app: exit code 143".to_owned()],
            None => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Sim, Tamper};
    use super::*;
    use crate::cloud::{Cloud, Watch};

    fn green_sight(sim: &Sim, green: &str) -> (Option<Service>, Vec<TargetHealth>) {
        let services = vec![("prod".to_owned(), "web-ipv6".to_owned())];
        let watch = Watch { services, target_groups: vec![green.to_owned()], ..Watch::default() };
        let mut sight = sim.observe(&watch).unwrap();
        (sight.services.remove(0), sight.health.remove(green).unwrap())
    }

    fn states(health: &[TargetHealth]) -> Vec<&str> {
        health.iter().map(|t| t.state.as_str()).collect()
    }

    #[test]
    fn tasks_take_their_time() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        let (service, health) = green_sight(&sim, &green);
        let service = service.unwrap();
        assert_eq!((service.pending_count, service.running_count, health.len()), (4, 0, 0));
        assert_eq!(service.deployments[0].rollout.as_deref(), Some("IN_PROGRESS"));
        pass(&sim, 21);
        let (service, health) = green_sight(&sim, &green);
        assert_eq!(service.unwrap().running_count, 4);
        assert_eq!(states(&health), ["initial"; 4]);
        pass(&sim, 30);
        let (service, health) = green_sight(&sim, &green);
        assert_eq!(states(&health), ["healthy"; 4]);
        let service = service.unwrap();
        assert_eq!(service.deployments[0].rollout.as_deref(), Some("COMPLETED"));
        assert!(service.events[0].message.ends_with("has reached a steady state."));
        let tasks = sim.tasks("prod", "web-ipv6").unwrap();
        assert!(tasks.iter().all(|t| t.status == "RUNNING" && t.ipv6.is_some()));
        assert!(health.iter().all(|t| tasks.iter().any(|task| task.ipv6.as_ref() == Some(&t.target))));
    }

    #[test]
    fn an_unreachable_green_never_becomes_healthy_and_says_why() {
        let sim = sim(Scenario::GreenUnreachable);
        let (green, _) = stand_up(&sim);
        pass(&sim, 60);
        let (_, health) = green_sight(&sim, &green);
        assert_eq!(health[0].reason.as_deref(), Some("Target.Timeout"));
        pass(&sim, 80);
        let tasks = sim.tasks("prod", "web-ipv6").unwrap();
        assert!(tasks.len() > 4, "stopped tasks are replaced");
        let stopped = tasks.iter().find(|t| t.status != "RUNNING").unwrap();
        assert!(stopped.stopped_reason.as_ref().unwrap().starts_with("Task failed ELB health checks"));
        pass(&sim, 600);
        let (service, health) = green_sight(&sim, &green);
        let service = service.unwrap();
        assert_eq!(service.deployments[0].rollout.as_deref(), Some("FAILED"));
        assert!(service.events.iter().any(|e| e.message.contains("failed ELB health checks")));
        assert!(!states(&health).contains(&"healthy"));
        assert_eq!(sim.universe().violations, []);
    }

    #[test]
    fn an_ipv4_group_gets_no_ipv6_targets() {
        let sim = sim(Scenario::Healthy);
        let green = create_group(&sim).unwrap();
        probe(&sim, &green).unwrap();
        sim.with(|u| u.target_groups.get_mut(&green).unwrap().group.ip_address_type = "ipv4".into()).unwrap();
        sim.create_service(&new_service(&sim, &green, &register(&sim).unwrap())).unwrap();
        pass(&sim, 300);
        let (service, health) = green_sight(&sim, &green);
        assert_eq!(health, []);
        assert_eq!(service.unwrap().deployments[0].rollout.as_deref(), Some("IN_PROGRESS"));
    }

    #[test]
    fn a_group_that_nothing_refers_to_is_unused() {
        let sim = sim(Scenario::Healthy);
        let (green, rule) = stand_up(&sim);
        pass(&sim, 60);
        sim.delete_rule(&rule).unwrap();
        assert_eq!(green_sight(&sim, &green).1[0].reason.as_deref(), Some("Target.NotInUse"));
    }

    #[test]
    fn stopped_tasks_drain_first() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        pass(&sim, 60);
        sim.set_desired_count("prod", "web-ipv6", 1).unwrap();
        let (service, health) = green_sight(&sim, &green);
        assert_eq!(service.unwrap().running_count, 1);
        assert_eq!(states(&health), ["draining", "draining", "draining", "healthy"]);
        pass(&sim, 300);
        assert_eq!(green_sight(&sim, &green).1.len(), 1);
    }

    #[test]
    fn what_the_world_does_is_no_violation() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        pass(&sim, 60);
        shift_all(&sim, &green, 10);
        let lost = Tamper::LoseHealth { cluster: "prod".into(), service: "web-ipv6".into() };
        assert!(sim.with(|u| u.tamper(&lost)).unwrap());
        assert_eq!(states(&green_sight(&sim, &green).1), ["unhealthy"; 4]);
        let saved = serde_json::to_string(&sim.universe()).unwrap();
        assert_eq!(serde_json::from_str::<super::super::Universe>(&saved).unwrap(), sim.universe());
        pass(&sim, 60);
        shift_all(&sim, &green, 10);
        assert_eq!(sim.universe().violations, []);
    }
}
