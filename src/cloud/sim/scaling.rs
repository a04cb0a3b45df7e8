//! Application Auto Scaling: target tracking on requests per task, once a minute.
//!
//! It is here so that forgetting to suspend it hurts: when traffic leaves blue, blue shrinks, and
//! then a way home leads to an undersized fleet.

use chrono::{DateTime, Duration, DurationRound, Utc};
use serde::{Deserialize, Serialize};

use super::faults::{not_found, refused};
use super::universe::{Universe, ViolationKind, service_key};
use crate::cloud::{CloudError, NewScaling};
use crate::inventory::{ScalableTarget, Suspension};

pub(super) const REGISTER: &str = "application-autoscaling:RegisterScalableTarget";
pub(super) const DEREGISTER: &str = "application-autoscaling:DeregisterScalableTarget";
/// How long the load has to be low, or high, before anything happens.
const LOW_FOR: Duration = Duration::minutes(15);
const HIGH_FOR: Duration = Duration::minutes(3);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimScaling {
    pub target: ScalableTarget,
    /// `cluster/service`.
    pub service: String,
    /// Requests per minute and task that the policy aims at.
    pub per_task: f64,
    pub low_since: Option<DateTime<Utc>>,
    pub high_since: Option<DateTime<Utc>>,
}

impl SimScaling {
    /// What the policy makes of the number of tasks now.
    fn decide(&mut self, desired: u32, load: f64, now: DateTime<Utc>) -> Option<u32> {
        let bound = |count: i32| u32::try_from(count.max(0)).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
        let needed = (load / self.per_task).ceil() as u32;
        let wanted = needed.clamp(bound(self.target.min), bound(self.target.max).max(bound(self.target.min)));
        self.low_since = (wanted < desired).then(|| self.low_since.unwrap_or(now));
        self.high_since = (wanted > desired).then(|| self.high_since.unwrap_or(now));
        let suspended = self.target.suspended;
        let lasted = |since: Option<DateTime<Utc>>, long: Duration| since.is_some_and(|s| now - s >= long);
        if lasted(self.low_since, LOW_FOR) && !suspended.dynamic_in {
            return Some(desired - 1);
        }
        (lasted(self.high_since, HIGH_FOR) && !suspended.dynamic_out).then_some(wanted)
    }
}

impl Universe {
    pub(super) fn scaling_of(&self, cluster: &str, service: &str) -> Option<ScalableTarget> {
        let key = service_key(cluster, service);
        self.scaling.values().find(|s| s.service == key).map(|s| s.target.clone())
    }

    pub(super) fn suspend_scaling(&mut self, resource: &str, suspended: Suspension) -> Result<(), CloudError> {
        let missing = || {
            let text = format!(
                "ObjectNotFoundException: No scalable target registered for service namespace: ecs, resource ID: {resource}"
            );
            not_found(REGISTER, text)
        };
        let scaling = self.scaling.get_mut(resource).ok_or_else(missing)?;
        scaling.target.suspended = suspended;
        scaling.low_since = None;
        scaling.high_since = None;
        Ok(())
    }

    /// The copied policy aims at the same load. Registering moves the tasks between the bounds.
    pub(super) fn copy_scaling(&mut self, wanted: &NewScaling) -> Result<(), CloudError> {
        let from = service_key(&wanted.cluster, &wanted.from);
        let missing = || not_found(REGISTER, format!("ObjectNotFoundException: {from} has no auto scaling"));
        let from = self.scaling.values().find(|s| s.service == from).cloned().ok_or_else(missing)?;
        let service = service_key(&wanted.cluster, &wanted.service);
        let Some(desired) = self.services.get(&service).filter(|s| s.is_active()) else {
            return Err(refused(
                REGISTER,
                format!("ValidationException: ECS service doesn't exist: service/{service}"),
            ));
        };
        let desired = desired.service.actual.desired_count;
        let bound = |count: i32| u32::try_from(count.max(0)).unwrap_or_default();
        let within = desired.min(bound(wanted.max)).max(bound(wanted.min));
        let target = ScalableTarget {
            resource: format!("service/{service}"),
            min: wanted.min,
            max: wanted.max,
            suspended: Suspension::ALL,
            policies: from.target.copied_policies().into_iter().map(str::to_owned).collect(),
            scheduled: from.target.scheduled.clone(),
        };
        let scaling = SimScaling { target, service: service.clone(), low_since: None, high_since: None, ..from };
        self.scaling.insert(scaling.target.resource.clone(), scaling);
        if within != desired {
            self.change_service(&service, |s| s.desired_count = within);
        }
        Ok(())
    }

    pub(super) fn remove_scaling(&mut self, cluster: &str, service: &str) {
        let service = service_key(cluster, service);
        if service == self.blue.service && self.scaling.values().any(|s| s.service == service) {
            self.violate(ViolationKind::ForeignDeleted, format!("auto scaling of {service}"));
        }
        self.scaling.retain(|_, s| s.service != service);
    }

    /// Does what is due at the full minutes that have passed; says whether anything changed.
    pub(super) fn tick_scaling(&mut self) -> bool {
        if self.now < self.next_tick {
            return false;
        }
        let minute = Duration::minutes(1);
        self.next_tick = self.now.duration_trunc(minute).unwrap_or(self.now) + minute;
        let mut scaled = Vec::new();
        let shares = self.shares_by_tasks();
        for scaling in self.scaling.values_mut() {
            let Some(service) = self.services.get(&scaling.service).filter(|s| s.is_active()) else { continue };
            let actual = &service.service.actual;
            // Nothing is measured of a service without tasks, so nothing brings it back.
            if actual.desired_count == 0 {
                continue;
            }
            let groups = actual.load_balancers.iter().filter_map(|lb| lb.target_group.as_ref());
            let names = groups.filter_map(|arn| self.target_groups.get(arn)).map(|g| g.group.name.as_str());
            let share = match actual.load_balancers.is_empty() {
                true => shares.get(&scaling.service).copied().unwrap_or_default(),
                false => self.traffic.share_of(names),
            };
            let load = share * self.traffic.level(self.now);
            if let Some(count) = scaling.decide(actual.desired_count, load, self.now) {
                scaled.push((scaling.service.clone(), count));
            }
        }
        let changed = !scaled.is_empty();
        for (service, count) in scaled {
            if service == self.blue.service && count < self.blue.desired_count {
                let text = "auto scaling took tasks away because traffic had left".to_owned();
                self.violate(ViolationKind::BlueShrunk, text);
            }
            self.change_service(&service, |s| s.desired_count = count);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::super::fixture::*;
    use super::*;
    use crate::cloud::{Cause, Cloud};

    #[test]
    fn auto_scaling_leaves_a_busy_blue_alone() {
        let sim = sim(Scenario::Healthy);
        pass(&sim, 2 * 24 * 3600);
        assert_eq!(sim.service("prod", "web").unwrap().unwrap().desired_count, 4);
        assert_eq!(sim.universe().violations, []);
    }

    #[test]
    fn forgetting_to_suspend_it_shrinks_blue_and_hurts_on_the_way_home() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        sim.suspend_scaling("service/prod/web", Suspension::default()).unwrap();
        pass(&sim, 60);
        shift_all(&sim, &green, 90);
        pass(&sim, 3600);
        assert_eq!(sim.service("prod", "web").unwrap().unwrap().desired_count, 2);
        shift_all(&sim, &green, 0);
        let kinds: Vec<ViolationKind> = sim.universe().violations.iter().map(|v| v.kind).collect();
        assert_eq!(kinds, [ViolationKind::BlueShrunk, ViolationKind::BlueOverloaded]);
        pass(&sim, 600);
        assert_eq!(sim.service("prod", "web").unwrap().unwrap().desired_count, 4);
        let recent = minutes(&sim, &green, 9).unwrap();
        assert!(recent[2].blue.bad > Some(500.0), "{:?}", recent[2]);
    }

    #[test]
    fn a_copy_lets_green_grow_and_leaves_nothing_behind() {
        let sim = sim(Scenario::Healthy);
        let before = sim.universe().estate_fingerprint();
        let foreign = sim.universe().foreign_fingerprint();
        let (green, _) = stand_up(&sim);
        pass(&sim, 60);
        let wanted = NewScaling {
            cluster: "prod".to_owned(),
            from: "web".to_owned(),
            service: "web-ipv6".to_owned(),
            min: 2,
            max: 20,
            target_groups: [(blue_group(&sim), green.clone())].into(),
        };
        sim.copy_scaling(&wanted).unwrap();
        sim.copy_scaling(&wanted).unwrap();
        let copy = sim.scaling("prod", "web-ipv6").unwrap().unwrap();
        assert_eq!((copy.suspended, copy.min, copy.max), (Suspension::ALL, 2, 20));
        assert_eq!(copy.policies, ["web-requests (TargetTrackingScaling)"]);
        assert_eq!(sim.universe().foreign_fingerprint()["scaling"].as_array().map(Vec::len), Some(1));
        assert_ne!(sim.universe().estate_fingerprint()["scaling"], before["scaling"]);
        // Half the tasks for all of the traffic: with scale-out free they become enough again.
        sim.set_desired_count("prod", "web-ipv6", 2).unwrap();
        shift_all(&sim, &green, 100);
        pass(&sim, 600);
        assert_eq!(sim.service("prod", "web-ipv6").unwrap().unwrap().desired_count, 2);
        sim.suspend_scaling("service/prod/web-ipv6", Suspension::default().without_shrinking()).unwrap();
        pass(&sim, 600);
        assert!(sim.service("prod", "web-ipv6").unwrap().unwrap().desired_count > 2);
        sim.remove_scaling("prod", "web-ipv6").unwrap();
        sim.remove_scaling("prod", "web-ipv6").unwrap();
        assert_eq!(sim.scaling("prod", "web-ipv6"), Ok(None));
        assert_eq!(
            sim.universe().foreign_fingerprint()["scaling"].as_array().map(Vec::len),
            foreign["scaling"].as_array().map(Vec::len)
        );
        let nobody = NewScaling { service: "nobody".to_owned(), ..wanted };
        assert_eq!(sim.copy_scaling(&nobody).unwrap_err().cause, Cause::Refused);
    }

    #[test]
    fn suspended_it_does_nothing() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        pass(&sim, 60);
        shift_all(&sim, &green, 100);
        pass(&sim, 24 * 3600);
        assert_eq!(sim.service("prod", "web").unwrap().unwrap().desired_count, 4);
        assert!(sim.scaling("prod", "web").unwrap().unwrap().suspended.dynamic_in);
        assert_eq!(sim.scaling("prod", "web-ipv6"), Ok(None));
        let error = sim.suspend_scaling("service/prod/nobody", Suspension::default()).unwrap_err();
        assert_eq!(error.cause, Cause::NotFound);
        assert_eq!(sim.universe().violations, []);
    }
}
