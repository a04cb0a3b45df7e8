//! The simulated cloud: the ports of [`crate::cloud`] and [`crate::clock`] over a [`Universe`].
//!
//! Invariant: the same seed and the same calls give the same answers, in the same virtual time.
//! The universe is data; this module adds what data lacks: mutual exclusion, a file that outlives
//! the process, and the ear for a signal. Waiting is free. It knows nothing of runs and journals.

mod answers;
mod balancers;
mod day;
mod discovered;
mod domain;
mod ecs;
mod elb;
mod episodes;
mod estate;
mod faults;
#[cfg(test)]
mod fixture;
mod levels;
mod metrics;
mod monitoring;
mod names;
mod network;
mod notices;
mod registries;
mod resolvers;
mod rolling;
mod scaling;
mod scenario;
mod store;
mod tamper;
mod tasks;
mod traffic;
mod trials;
mod universe;
mod visits;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};

pub use balancers::{Departed, SimBalancer};
pub use ecs::{Rollout, SimService};
pub use elb::{SimGroup, SimRoute};
pub use episodes::{Episode, Mood, Side};
pub use faults::{CallLog, Fault, FaultAt, FaultKind};
pub use levels::{Counting, SimLevel};
pub use monitoring::{Absurd, Disturbance, DisturbanceKind};
pub use names::{SimChange, SimNames, SimZone};
pub use notices::SimMessage;
pub use registries::SimRegistry;
pub use rolling::SimDeployment;
pub use scaling::SimScaling;
pub use scenario::{Scenario, UnknownScenario};
pub use store::StoreError;
pub use tamper::Tamper;
pub use tasks::{SimTask, TaskStop};
pub use traffic::{Epoch, Flow, Traffic, split};
pub use universe::{Blue, Knobs, Lagging, OUR_TAG, SimTaskDefinition, Universe, Violation, ViolationKind};

use self::answers::Memo;
use self::store::Store;
use super::{
    Cause, Cloud, CloudError, Day, DayWindow, Identity, NewRule, NewScaling, NewService, NewTargetGroup,
    NewTaskDefinition, RouteWrite, Sight, Watch,
};
use crate::clock::{Clock, Signal, Wake};
use crate::inventory::{
    Alarm, LoadBalancer, Route, ScalableTarget, Service, Suspension, TargetGroup, Task, TaskDefinition,
};

const DESCRIBE_SERVICES: &str = "ecs:DescribeServices";
const DESCRIBE_ALARMS: &str = "cloudwatch:DescribeAlarms";
const DESCRIBE_DEFINITION: &str = "ecs:DescribeTaskDefinition";

/// Says whether the process has been asked to stop.
pub type Stop = Arc<dyn Fn() -> Option<Signal> + Send + Sync>;

/// The cloud and the clock of a simulated run.
pub struct Sim {
    state: Mutex<State>,
    stop: Option<Stop>,
}

struct State {
    universe: Universe,
    memo: Memo,
    store: Option<Store>,
}

impl Sim {
    /// A cloud that ends with the process.
    pub fn in_memory(universe: Universe) -> Sim {
        Sim::over(universe, None)
    }

    /// A cloud that lives on in a new file; one that is there is replaced.
    pub fn create(path: &Path, universe: Universe) -> Result<Sim, StoreError> {
        let mut store = Store::at(path);
        let lock = store.lock()?;
        store.save(&universe)?;
        drop(lock);
        Ok(Sim::over(universe, Some(store)))
    }

    /// The cloud that a file holds.
    pub fn open(path: &Path) -> Result<Sim, StoreError> {
        let mut store = Store::at(path);
        let lock = store.lock()?;
        let universe = store.load_if_changed()?;
        drop(lock);
        match universe {
            Some(universe) => Ok(Sim::over(universe, Some(store))),
            None => Err(StoreError::Format { path: path.to_owned() }),
        }
    }

    fn over(universe: Universe, store: Option<Store>) -> Sim {
        Sim { state: Mutex::new(State { universe, memo: Memo::default(), store }), stop: None }
    }

    /// Asks this, before and after each wait, whether to stop.
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Sim {
        self.stop = Some(stop);
        self
    }

    /// The universe as it is now.
    pub fn universe(&self) -> Universe {
        self.lock().universe.clone()
    }

    /// Lets a test look at the universe, or reach into it.
    pub fn with<R>(&self, look: impl FnOnce(&mut Universe) -> R) -> Result<R, StoreError> {
        self.lock().exclusively(|state| {
            state.memo = Memo::default();
            look(&mut state.universe)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One verb: takes its time, acts, and is saved.
    fn verb<T>(
        &self,
        operation: &str,
        act: impl FnOnce(&mut Universe, &mut Memo) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let done = self.lock().exclusively(|state| {
            let takes = Duration::milliseconds(i64::from(state.universe.knobs.call_ms));
            state.universe.advance(state.universe.now + takes);
            act(&mut state.universe, &mut state.memo)
        });
        done.unwrap_or_else(|error| Err(faults::failed(operation, Cause::Unknown, error.to_string())))
    }

    fn read<T>(
        &self,
        operation: &str,
        answer: impl FnOnce(&Universe) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        self.verb(operation, |universe, _| universe.read(operation, answer))
    }

    fn change<T>(
        &self,
        operation: &str,
        effect: impl FnMut(&mut Universe) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        self.verb(operation, |universe, _| universe.change(operation, effect))
    }
}

impl State {
    /// Acts on the newest universe while no other process can, and saves what became of it.
    fn exclusively<R>(&mut self, act: impl FnOnce(&mut State) -> R) -> Result<R, StoreError> {
        let Some(store) = &mut self.store else { return Ok(act(self)) };
        let lock = store.lock()?;
        if let Some(newer) = store.load_if_changed()? {
            self.universe = newer;
        }
        let result = act(self);
        if let Some(store) = &mut self.store {
            store.save(&self.universe)?;
        }
        drop(lock);
        Ok(result)
    }
}

impl Clock for Sim {
    fn now(&self) -> DateTime<Utc> {
        self.lock().universe.now
    }

    fn wait(&self, until: DateTime<Utc>) -> Wake {
        if let Some(signal) = self.stop_requested() {
            return Wake::StopRequested(signal);
        }
        let mut state = self.lock();
        if state.exclusively(|state| state.universe.advance(until)).is_err() {
            // A wait cannot fail. Time passes here, and the next verb says what is wrong.
            state.universe.advance(until);
        }
        drop(state);
        self.stop_requested().map_or(Wake::Reached, Wake::StopRequested)
    }

    fn stop_requested(&self) -> Option<Signal> {
        self.stop.as_ref().and_then(|stop| stop())
    }
}

impl Cloud for Sim {
    fn day(&self, window: &DayWindow) -> Result<Day, CloudError> {
        self.verb(metrics::GET_METRICS, |universe, memo| universe.read(metrics::GET_METRICS, |u| u.day(window, memo)))
    }

    fn identity(&self) -> Result<Identity, CloudError> {
        self.read("sts:GetCallerIdentity", |u| Ok(u.identity.clone()))
    }

    fn service(&self, cluster: &str, name: &str) -> Result<Option<Service>, CloudError> {
        self.read(DESCRIBE_SERVICES, |u| Ok(u.service(cluster, name)))
    }

    fn task_definition(&self, arn: &str) -> Result<TaskDefinition, CloudError> {
        self.read(DESCRIBE_DEFINITION, |u| u.task_definition(DESCRIBE_DEFINITION, arn).map(|d| d.definition.clone()))
    }

    fn target_groups(&self, arns: &[String]) -> Result<Vec<TargetGroup>, CloudError> {
        self.read(elb::DESCRIBE_GROUPS, |u| u.target_groups(arns))
    }

    fn target_group_named(&self, name: &str) -> Result<Option<TargetGroup>, CloudError> {
        self.read(elb::DESCRIBE_GROUPS, |u| Ok(u.target_group_named(name)))
    }

    fn load_balancers(&self, arns: &[String]) -> Result<Vec<LoadBalancer>, CloudError> {
        self.read("elasticloadbalancing:DescribeLoadBalancers", |u| u.load_balancers(arns))
    }

    fn routes(&self, load_balancers: &[String]) -> Result<Vec<Route>, CloudError> {
        self.read("elasticloadbalancing:DescribeRules", |u| {
            Ok(u.routes_where(|route| load_balancers.contains(&route.load_balancer)))
        })
    }

    fn scaling(&self, cluster: &str, service: &str) -> Result<Option<ScalableTarget>, CloudError> {
        self.read("application-autoscaling:DescribeScalableTargets", |u| Ok(u.scaling_of(cluster, service)))
    }

    fn task_definition_tagged(
        &self,
        family: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<Option<String>, CloudError> {
        self.read("ecs:ListTaskDefinitions", |u| Ok(u.task_definition_tagged(family, tags)))
    }

    fn tasks(&self, cluster: &str, service: &str) -> Result<Vec<Task>, CloudError> {
        self.read("ecs:DescribeTasks", |u| Ok(u.tasks(cluster, service)))
    }

    /// Alarms and metrics are calls of their own: they may fail alone.
    fn observe(&self, watch: &Watch) -> Result<Sight, CloudError> {
        self.verb("observe", |universe, memo| {
            let mut sight = universe.read("observe", |u| u.sight(watch))?;
            if !watch.alarms.is_empty() {
                sight.alarms = Some(universe.read(DESCRIBE_ALARMS, |u| u.alarms_named(&watch.alarms)));
            }
            if let Some(window) = &watch.metrics {
                sight.metrics = Some(universe.read(metrics::GET_METRICS, |u| u.metrics(window, memo)));
            }
            Ok(sight)
        })
    }

    fn create_target_group(&self, wanted: &NewTargetGroup) -> Result<String, CloudError> {
        self.change(elb::CREATE_GROUP, |u| u.create_target_group(wanted))
    }

    fn set_target_group_attributes(&self, arn: &str, attributes: &BTreeMap<String, String>) -> Result<(), CloudError> {
        self.change(elb::SET_ATTRIBUTES, |u| u.set_target_group_attributes(arn, attributes))
    }

    fn create_probe_rule(&self, wanted: &NewRule) -> Result<String, CloudError> {
        self.change(elb::CREATE_RULE, |u| u.create_probe_rule(wanted))
    }

    fn delete_rule(&self, arn: &str) -> Result<(), CloudError> {
        self.change(elb::DELETE_RULE, |u| u.delete_rule(arn))
    }

    fn register_task_definition(&self, wanted: &NewTaskDefinition) -> Result<String, CloudError> {
        self.change(ecs::REGISTER, |u| u.register_task_definition(wanted))
    }

    fn create_service(&self, wanted: &NewService) -> Result<String, CloudError> {
        self.change(ecs::CREATE, |u| u.create_service(wanted))
    }

    fn set_desired_count(&self, cluster: &str, service: &str, count: u32) -> Result<(), CloudError> {
        self.change(ecs::UPDATE, |u| u.set_desired_count(cluster, service, count))
    }

    /// The writes are concurrent calls: together they take the time of one, and each may fail.
    fn set_actions(&self, writes: &[RouteWrite]) -> Vec<Result<(), CloudError>> {
        let lost = |error: &StoreError| {
            let error = |w: &RouteWrite| faults::failed(elb::write_operation(&w.at), Cause::Unknown, error.to_string());
            writes.iter().map(|w| Err(error(w))).collect()
        };
        let done = self.lock().exclusively(|state| {
            let universe = &mut state.universe;
            universe.advance(universe.now + Duration::milliseconds(i64::from(universe.knobs.call_ms)));
            let write = |w: &RouteWrite| universe.change(elb::write_operation(&w.at), |u| u.set_actions(w));
            writes.iter().map(write).collect()
        });
        done.unwrap_or_else(|error| lost(&error))
    }

    fn suspend_scaling(&self, resource: &str, suspended: Suspension) -> Result<(), CloudError> {
        self.change(scaling::REGISTER, |u| u.suspend_scaling(resource, suspended))
    }

    fn copy_scaling(&self, wanted: &NewScaling) -> Result<(), CloudError> {
        self.change(scaling::REGISTER, |u| u.copy_scaling(wanted))
    }

    fn remove_scaling(&self, cluster: &str, service: &str) -> Result<(), CloudError> {
        self.change(scaling::DEREGISTER, |u| {
            u.remove_scaling(cluster, service);
            Ok(())
        })
    }

    fn delete_service(&self, cluster: &str, service: &str) -> Result<(), CloudError> {
        self.change("ecs:DeleteService", |u| {
            u.delete_service(cluster, service);
            Ok(())
        })
    }

    fn delete_target_group(&self, arn: &str) -> Result<(), CloudError> {
        self.change(elb::DELETE_GROUP, |u| u.delete_target_group(arn))
    }

    fn deregister_task_definition(&self, arn: &str) -> Result<(), CloudError> {
        self.change("ecs:DeregisterTaskDefinition", |u| {
            u.deregister_task_definition(arn);
            Ok(())
        })
    }
}

impl Universe {
    /// What one sweep sees, alarms and metrics excepted.
    fn sight(&self, watch: &Watch) -> Result<Sight, CloudError> {
        if watch.listeners.iter().any(|listener| !self.is_listener(listener)) {
            let text = "ListenerNotFound: One or more listeners not found";
            return Err(faults::not_found("elasticloadbalancing:DescribeListeners", text));
        }
        let health = watch.target_groups.iter().filter_map(|arn| Some((arn.clone(), self.health_seen(arn)?)));
        Ok(Sight {
            routes: self.routes_where(|route| watch.listeners.contains(&route.listener)),
            health: health.collect(),
            services: watch.services.iter().map(|(cluster, name)| self.service(cluster, name)).collect(),
            names: self.names_seen(&watch.names)?,
            scaling: watch.scaling.as_ref().and_then(|(cluster, name)| self.scaling_of(cluster, name)),
            alarms: None,
            metrics: None,
        })
    }

    /// A name that does not exist is left out, as CloudWatch does.
    fn alarms_named(&self, names: &[String]) -> Result<Vec<Alarm>, CloudError> {
        if let Some(blind) = self.blind(DESCRIBE_ALARMS) {
            return Err(blind);
        }
        let named = names.iter().filter_map(|name| self.alarms.get(name));
        Ok(named.map(|alarm| self.alarm_seen(alarm)).collect())
    }
}
