//! What other people do to the estate while a run is under way. Only tests call this.

use serde::{Deserialize, Serialize};

use super::elb::described;
use super::episodes::Episode;
use super::monitoring::Disturbance;
use super::names::key;
use super::universe::{Universe, service_key};
use crate::cloud::registries::ServiceUpdate;
use crate::inventory::{Action, Record, RouteAt, TargetGroup};

/// A change by somebody else. It is not checked, not counted as a call and never a violation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tamper {
    /// Gives the weight to the group in the forward action of the route, adding it if needed.
    SetWeight {
        at: RouteAt,
        group: String,
        weight: u32,
    },
    SetActions {
        at: RouteAt,
        actions: Vec<Action>,
    },
    DeleteRule(String),
    SetDesiredCount {
        cluster: String,
        service: String,
        count: u32,
    },
    /// The tasks of the service stop answering their health checks, without an end.
    LoseHealth {
        cluster: String,
        service: String,
    },
    SetAlarm {
        name: String,
        state: String,
    },
    /// From now on the user's metric has this value, or is not reported; where each side has its own,
    /// green's.
    SetLevel {
        name: String,
        value: Option<f64>,
    },
    SetIpAddressType {
        load_balancer: String,
        ip_address_type: String,
    },
    /// Deploys this task definition to the service.
    Deploy {
        cluster: String,
        service: String,
        task_definition: String,
    },
    /// Deletes a Cloud Map service, by its ARN.
    DeleteRegistry(String),
    /// Adds a record to a zone, or replaces the one of its name, type and identifier.
    PutRecord {
        zone: String,
        record: Box<Record>,
    },
    /// Deletes a record by its name, type and identifier.
    DeleteRecord {
        zone: String,
        record: Box<Record>,
    },
    /// Adds or replaces a target group, as it is described.
    PutTargetGroup(Box<TargetGroup>),
    /// A time in which requests go other than usual.
    Live(Episode),
    /// A time in which CloudWatch tells other than what happens.
    Disturb(Disturbance),
}

impl Universe {
    /// Lets somebody else change something; says whether there was anything to change.
    pub fn tamper(&mut self, change: &Tamper) -> bool {
        let before = self.clone();
        self.apply(change);
        self.settle();
        self.violations.clone_from(&before.violations);
        *self != before
    }

    fn apply(&mut self, change: &Tamper) {
        match change {
            Tamper::SetWeight { at, group, weight } => self.set_weight(at, group, *weight),
            Tamper::SetActions { at, actions } => {
                if let Some(stored) = self.routes.get(at.arn()) {
                    let mut route = stored.route.actual.clone();
                    route.actions.clone_from(actions);
                    self.put_route(route);
                }
            }
            Tamper::DeleteRule(arn) => self.remove_rule(arn),
            Tamper::SetDesiredCount { cluster, service, count } => {
                self.change_service(&service_key(cluster, service), |s| s.desired_count = *count);
            }
            Tamper::LoseHealth { cluster, service } => {
                let never = chrono::DateTime::<chrono::Utc>::MAX_UTC;
                let tasks = self.services.get_mut(&service_key(cluster, service)).into_iter();
                tasks.flat_map(|s| &mut s.tasks).for_each(|t| t.doomed = Some(never));
            }
            Tamper::SetAlarm { name, state } => {
                if let Some(alarm) = self.alarms.get_mut(name) {
                    alarm.state.clone_from(state);
                }
            }
            Tamper::SetLevel { name, value } => {
                let now = self.now;
                if let Some(level) = self.levels.get_mut(name) {
                    level.set = Some((now, *value));
                }
            }
            Tamper::SetIpAddressType { load_balancer, ip_address_type } => {
                if let Some(found) = self.load_balancers.get_mut(load_balancer) {
                    found.ip_address_type.clone_from(ip_address_type);
                }
            }
            Tamper::Deploy { cluster, service, task_definition } => {
                let key = service_key(cluster, service);
                if let Some(found) = self.services.get(&key).map(|s| s.service.actual.clone()) {
                    let task_definition = task_definition.clone();
                    self.deploy(&key, &ServiceUpdate { task_definition, ..ServiceUpdate::of(&found) });
                }
            }
            Tamper::DeleteRegistry(arn) => {
                self.registries.remove(arn);
            }
            Tamper::PutRecord { zone, record } => self.tamper_record(zone, record, true),
            Tamper::DeleteRecord { zone, record } => self.tamper_record(zone, record, false),
            Tamper::PutTargetGroup(group) => {
                let fixed_targets = self.target_groups.get(&group.arn).map_or(0, |g| g.fixed_targets);
                let stored = super::elb::SimGroup { group: (**group).clone(), fixed_targets };
                self.target_groups.insert(group.arn.clone(), stored);
            }
            Tamper::Live(episode) => self.traffic.episodes.push(episode.clone()),
            Tamper::Disturb(disturbance) => self.disturbances.push(disturbance.clone()),
        }
    }

    fn tamper_record(&mut self, zone: &str, record: &Record, put: bool) {
        let Some(mut records) = self.names.zones.get(zone).map(|z| z.records.actual.clone()) else { return };
        records.retain(|r| key(r) != key(record));
        records.extend(put.then(|| record.clone()));
        self.put_records(zone, records);
        self.begin_change(zone);
    }

    fn set_weight(&mut self, at: &RouteAt, group: &str, weight: u32) {
        let Some(stored) = self.routes.get(at.arn()) else { return };
        let mut route = stored.route.actual.clone();
        for action in route.actions.iter_mut().filter(|a| a.kind == "forward") {
            let mut groups: Vec<(String, u32)> =
                super::elb::tuples(action).into_iter().map(|(arn, weight)| (arn.to_owned(), weight)).collect();
            match groups.iter_mut().find(|(arn, _)| arn == group) {
                Some(tuple) => tuple.1 = weight,
                None => groups.push((group.to_owned(), weight)),
            }
            let borrowed: Vec<(&str, u32)> = groups.iter().map(|(arn, weight)| (arn.as_str(), *weight)).collect();
            *action = described(action, &borrowed);
        }
        self.put_route(route);
    }
}
