//! Rolling deployments of a service: one begins with each change of what its tasks are, ends when all
//! desired tasks of it are healthy, and goes back to the one before where its tasks keep failing.
//!
//! Invariant: `PRIMARY` is the deployment that ECS heads for, and after the circuit breaker has opened
//! that is an old one again. Whoever only reads "completed" takes a rollback for a success.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::ecs::{Rollout, SimService, UPDATE};
use super::faults::{not_found, refused};
use super::universe::{Universe, number_of, service_key};
use crate::cloud::CloudError;
use crate::cloud::registries::{ServiceDeployment, ServiceUpdate};
use crate::inventory::{Deployment, Service};

pub(super) const STOP: &str = "ecs:StopServiceDeployment";

/// A deployment that is not the newest any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimDeployment {
    pub id: String,
    /// What its tasks are.
    pub settings: ServiceUpdate,
    pub rollout: Rollout,
    pub failed_tasks: u32,
}

impl SimService {
    /// The deployments as a read shows them that sees these settings of the service.
    pub(super) fn deployments_seen(&self, service: &Service, at: DateTime<Utc>) -> Vec<Deployment> {
        let first = || {
            let id = self.earlier.last().map_or(&self.deployment_id, |d| &d.id);
            vec![outline(id, "PRIMARY", &ServiceUpdate::of(service))]
        };
        let listed = if service.deployments.is_empty() { first() } else { service.deployments.clone() };
        listed.into_iter().filter_map(|deployment| self.deployment_seen(deployment, service, at)).collect()
    }

    fn deployment_seen(&self, deployment: Deployment, service: &Service, at: DateTime<Utc>) -> Option<Deployment> {
        let newest = deployment.id == self.deployment_id;
        let earlier = self.earlier.iter().find(|d| d.id == deployment.id);
        let (rollout, failed) = match (newest, earlier) {
            (true, _) => (self.rollout, self.failed_tasks),
            // Gone with its last task, once there is a newer one that is complete.
            (false, Some(earlier)) if self.rollout == Rollout::Completed && !self.has_tasks_of(&earlier.id, at) => {
                return None;
            }
            (false, Some(earlier)) => (earlier.rollout, earlier.failed_tasks),
            // Gone, except where a read that lags still takes it for the newest.
            (false, None) if deployment.status == "PRIMARY" => (Rollout::Completed, 0),
            (false, None) => return None,
        };
        let (state, reason) = match rollout {
            Rollout::InProgress => ("IN_PROGRESS", format!("ECS deployment {} in progress.", deployment.id)),
            Rollout::Completed => ("COMPLETED", format!("ECS deployment {} completed.", deployment.id)),
            Rollout::Failed => ("FAILED", "ECS deployment circuit breaker: tasks failed to start.".to_owned()),
        };
        let running = self.tasks.iter().filter(|t| t.deployment == deployment.id && t.is_running(at)).count();
        Some(Deployment {
            rollout: Some(state.to_owned()),
            rollout_reason: Some(reason),
            desired_count: if deployment.status == "PRIMARY" { service.desired_count } else { 0 },
            running_count: u32::try_from(running).unwrap_or(u32::MAX),
            failed_tasks: failed,
            ..deployment
        })
    }

    fn has_tasks_of(&self, deployment: &str, at: DateTime<Utc>) -> bool {
        self.tasks.iter().any(|t| t.deployment == deployment && !t.is_gone(at))
    }

    fn note(&mut self, from: &[&str], to: &str) {
        if let Some(record) = self.history.first_mut().filter(|r| from.contains(&r.status.as_str())) {
            record.status = to.to_owned();
        }
    }

    /// The newest deployment that was completed, other than the newest of all.
    fn good(&self) -> Option<usize> {
        self.earlier.iter().position(|d| d.rollout == Rollout::Completed)
    }
}

fn outline(id: &str, status: &str, settings: &ServiceUpdate) -> Deployment {
    Deployment {
        id: id.to_owned(),
        status: status.to_owned(),
        rollout: None,
        rollout_reason: None,
        task_definition: settings.task_definition.clone(),
        desired_count: 0,
        running_count: 0,
        failed_tasks: 0,
        subnets: settings.subnets.clone(),
    }
}

impl Universe {
    pub(super) fn update_service(&mut self, wanted: &ServiceUpdate) -> Result<(), CloudError> {
        let key = service_key(&wanted.cluster, &wanted.service);
        let missing = || not_found(UPDATE, "ServiceNotFoundException: Service not found.");
        let service = self.services.get(&key).ok_or_else(missing)?;
        if !service.is_active() {
            return Err(refused(UPDATE, "ServiceNotActiveException: Service was not ACTIVE."));
        }
        let actual = service.service.actual.clone();
        if !self.task_definition(UPDATE, &wanted.task_definition)?.active {
            return Err(refused(UPDATE, "ClientException: TaskDefinition is inactive"));
        }
        if let Some(unknown) = wanted.subnets.iter().find(|s| !self.subnets.contains_key(*s)) {
            let text = format!("InvalidParameterException: The subnet ID '{unknown}' does not exist");
            return Err(refused(UPDATE, text));
        }
        let registries = wanted.registries.clone().unwrap_or_else(|| actual.registries.clone());
        self.check_registries(UPDATE, &registries, &wanted.subnets)?;
        let wanted = ServiceUpdate { registries: Some(registries), ..wanted.clone() };
        if wanted.is_of(&actual) {
            return Ok(());
        }
        // Of these settings ECS Exec alone begins no deployment.
        let unlike = ServiceUpdate { execute_command: actual.execute_command, ..wanted.clone() };
        if unlike.is_of(&actual) {
            self.change_service(&key, |s| s.execute_command = wanted.execute_command);
            return Ok(());
        }
        self.deploy(&key, &wanted);
        Ok(())
    }

    /// Begins a deployment.
    pub(super) fn deploy(&mut self, key: &str, wanted: &ServiceUpdate) {
        let (id, created) = (format!("ecs-svc/{}", number_of(&self.fresh_id())), self.now);
        let arn = self.ecs_arn(&format!("service-deployment/{key}/{}", &id["ecs-svc/".len()..]));
        let ipv6_only = wanted.subnets.iter().all(|s| self.subnets.get(s) == Some(&true));
        let (now, lag) = (self.now, self.lag());
        let Some(service) = self.services.get_mut(key) else { return };
        service.earlier.insert(
            0,
            SimDeployment {
                id: std::mem::replace(&mut service.deployment_id, id),
                settings: ServiceUpdate::of(&service.service.actual),
                rollout: service.rollout,
                failed_tasks: service.failed_tasks,
            },
        );
        service.note(&["PENDING", "IN_PROGRESS"], "STOPPED");
        let status = "IN_PROGRESS".to_owned();
        service.history.insert(0, ServiceDeployment { arn, status, created, reason: None });
        service.rollout = Rollout::InProgress;
        service.failed_tasks = 0;
        service.ipv6_only = ipv6_only;
        head_for(service, wanted, now, lag);
    }

    pub(super) fn service_deployments(
        &self,
        cluster: &str,
        service: &str,
        since: DateTime<Utc>,
    ) -> Vec<ServiceDeployment> {
        let history = self.services.get(&service_key(cluster, service)).into_iter().flat_map(|s| &s.history);
        history.filter(|d| d.created >= since).cloned().collect()
    }

    pub(super) fn stop_service_deployment(&mut self, arn: &str) -> Result<(), CloudError> {
        let of = |s: &&mut SimService| s.history.iter().any(|d| d.arn == arn);
        let Some(mut service) = self.services.values_mut().find(of).map(|s| s.clone()) else {
            return Err(not_found(STOP, "ServiceDeploymentNotFoundException: no such service deployment"));
        };
        let newest = service.history.first().is_some_and(|d| d.arn == arn && d.is_stoppable());
        if !newest || service.good().is_none() {
            return Err(refused(STOP, "ConflictException: the service deployment cannot be stopped in its state"));
        }
        self.roll_back(&mut service, "stopped by the user");
        let actual = &service.service.actual;
        let key = service_key(&actual.cluster, &actual.name);
        self.services.insert(key, service);
        Ok(())
    }

    /// Moves a deployment that is under way to its end, whichever it is.
    pub(super) fn roll_out(&self, service: &mut SimService) {
        self.clear_earlier(service);
        if service.rollout != Rollout::InProgress {
            return;
        }
        let name = service.service.actual.name.clone();
        let desired = service.service.actual.desired_count;
        // The circuit breaker's threshold is half of the desired count, but at least 3.
        if service.failed_tasks >= desired.div_ceil(2).clamp(3, 200) {
            let id = service.deployment_id.clone();
            let text = format!("(service {name}) (deployment {id}) deployment failed: tasks failed to start.");
            service.say(self.now, text);
            if service.service.actual.rolling.rolls_back && service.good().is_some() {
                self.roll_back(service, "deployment failed: tasks failed to start");
            } else {
                service.rollout = Rollout::Failed;
                service.note(&["IN_PROGRESS"], "STOPPED");
            }
            return;
        }
        let newest = service.deployment_id.clone();
        let healthy = service.tasks.iter().filter(|t| t.deployment == newest && t.is_healthy(self.now)).count();
        if self.is_reachable(service) && u32::try_from(healthy) == Ok(desired) {
            service.rollout = Rollout::Completed;
            service.note(&["IN_PROGRESS"], "SUCCESSFUL");
            service.note(&["ROLLBACK_IN_PROGRESS"], "ROLLBACK_SUCCESSFUL");
            service.say(self.now, format!("(service {name}) has reached a steady state."));
        }
    }

    /// Heads for the last good deployment again, whose tasks may still be there.
    fn roll_back(&self, service: &mut SimService, why: &str) {
        let Some(good) = service.good().map(|at| service.earlier.remove(at)) else { return };
        let name = service.service.actual.name.clone();
        let failed = SimDeployment {
            id: std::mem::replace(&mut service.deployment_id, good.id),
            settings: ServiceUpdate::of(&service.service.actual),
            rollout: Rollout::Failed,
            failed_tasks: service.failed_tasks,
        };
        let id = service.deployment_id.clone();
        service.say(self.now, format!("(service {name}) rolling back to deployment {id}."));
        service.earlier.insert(0, failed);
        service.rollout = Rollout::InProgress;
        service.failed_tasks = 0;
        service.ipv6_only = good.settings.subnets.iter().all(|s| self.subnets.get(s) == Some(&true));
        service.note(&["PENDING", "IN_PROGRESS"], "ROLLBACK_IN_PROGRESS");
        if let Some(record) = service.history.first_mut() {
            record.reason = Some(why.to_owned());
        }
        head_for(service, &good.settings, self.now, self.lag());
    }

    /// Forgets the deployments whose last task is gone once there is a newer one that is complete.
    fn clear_earlier(&self, service: &mut SimService) {
        if service.rollout != Rollout::Completed {
            return;
        }
        let mut earlier = std::mem::take(&mut service.earlier);
        earlier.retain(|d| service.has_tasks_of(&d.id, self.now));
        service.earlier = earlier;
    }
}

/// Gives a service the settings of the deployment that it heads for now.
fn head_for(service: &mut SimService, settings: &ServiceUpdate, now: DateTime<Utc>, lag: Duration) {
    let mut deployments = vec![outline(&service.deployment_id, "PRIMARY", settings)];
    deployments.extend(service.earlier.iter().map(|d| outline(&d.id, "ACTIVE", &d.settings)));
    let new = Service {
        task_definition: settings.task_definition.clone(),
        subnets: settings.subnets.clone(),
        security_groups: settings.security_groups.clone(),
        assigns_public_ip: settings.assign_public_ip,
        registries: settings.registries.clone().unwrap_or_default(),
        execute_command: settings.execute_command,
        deployments,
        ..service.service.actual.clone()
    };
    service.service.set(new, now, lag);
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{in_place, pass, start};
    use super::super::{Scenario, Sim};
    use super::*;
    use crate::cloud::registries::Registries;
    use crate::cloud::{Cause, Cloud};

    /// Begins a deployment in other subnets, registered nowhere.
    fn begin(sim: &Sim) -> ServiceUpdate {
        let service = sim.service("prod", "web").unwrap().unwrap();
        let wanted = ServiceUpdate {
            subnets: vec!["subnet-0a1".into()],
            registries: Some(Vec::new()),
            ..ServiceUpdate::of(&service)
        };
        sim.update_service(&wanted).unwrap();
        wanted
    }

    fn shown(sim: &Sim) -> (Vec<(String, String, u32)>, Service) {
        let service = sim.service("prod", "web").unwrap().unwrap();
        let line = |d: &Deployment| (d.status.clone(), d.rollout.clone().unwrap(), d.running_count);
        (service.deployments.iter().map(line).collect(), service)
    }

    fn line(status: &str, rollout: &str, running: u32) -> (String, String, u32) {
        (status.to_owned(), rollout.to_owned(), running)
    }

    fn newest(sim: &Sim) -> ServiceDeployment {
        sim.service_deployments("prod", "web", start()).unwrap().remove(0)
    }

    #[test]
    fn new_tasks_run_before_old_ones_stop() {
        let sim = in_place(Scenario::Healthy, true);
        let wanted = begin(&sim);
        assert_eq!(shown(&sim).0, [line("PRIMARY", "IN_PROGRESS", 0), line("ACTIVE", "COMPLETED", 4)]);
        pass(&sim, 30);
        assert_eq!(shown(&sim).0, [line("PRIMARY", "IN_PROGRESS", 4), line("ACTIVE", "COMPLETED", 4)]);
        pass(&sim, 60);
        let (deployments, service) = shown(&sim);
        assert_eq!(deployments, [line("PRIMARY", "COMPLETED", 4)]);
        assert!(wanted.is_of(&service));
        assert_eq!(newest(&sim).status, "SUCCESSFUL");
    }

    #[test]
    fn the_same_settings_begin_no_deployment() {
        let sim = in_place(Scenario::Healthy, false);
        let service = sim.service("prod", "web").unwrap().unwrap();
        sim.update_service(&ServiceUpdate::of(&service)).unwrap();
        sim.update_service(&ServiceUpdate { execute_command: true, ..ServiceUpdate::of(&service) }).unwrap();
        assert!(sim.service("prod", "web").unwrap().unwrap().execute_command);
        assert!(sim.service_deployments("prod", "web", start()).unwrap().is_empty());
    }

    /// The old deployment is complete again: who only reads "completed" is deceived.
    #[test]
    fn the_circuit_breaker_goes_back_to_the_deployment_before() {
        let sim = in_place(Scenario::GreenUnreachable, true);
        let wanted = begin(&sim);
        pass(&sim, 600);
        let (deployments, service) = shown(&sim);
        assert_eq!(deployments, [line("PRIMARY", "COMPLETED", 4)]);
        assert!(!wanted.is_of(&service));
        assert_eq!(service.subnets, ["subnet-dual-a", "subnet-dual-b"]);
        assert_eq!(newest(&sim).status, "ROLLBACK_SUCCESSFUL");
        assert!(service.events.iter().any(|e| e.message.contains("rolling back")), "{:?}", service.events);
        assert_eq!(sim.universe().violations, []);
    }

    #[test]
    fn without_rollback_the_failed_deployment_stays_the_newest() {
        let sim = in_place(Scenario::GreenUnreachable, true);
        sim.with(|u| u.services.get_mut("prod/web").unwrap().service.actual.rolling.rolls_back = false).unwrap();
        begin(&sim);
        pass(&sim, 600);
        let (deployments, _) = shown(&sim);
        assert_eq!((deployments[0].0.as_str(), deployments[0].1.as_str()), ("PRIMARY", "FAILED"));
        assert_eq!(deployments[1], line("ACTIVE", "COMPLETED", 4));
        assert_eq!(newest(&sim).status, "STOPPED");
    }

    #[test]
    fn only_a_deployment_under_way_is_stopped() {
        let sim = in_place(Scenario::Healthy, true);
        begin(&sim);
        let arn = newest(&sim).arn;
        pass(&sim, 10);
        sim.stop_service_deployment(&arn).unwrap();
        assert_eq!(sim.stop_service_deployment(&arn).unwrap_err().cause, Cause::Refused);
        pass(&sim, 60);
        assert_eq!(shown(&sim).1.subnets, ["subnet-dual-a", "subnet-dual-b"]);
        assert_eq!(newest(&sim).status, "ROLLBACK_SUCCESSFUL");
        assert_eq!(sim.stop_service_deployment("arn:none").unwrap_err().cause, Cause::NotFound);
    }

    #[test]
    fn refusals_of_an_update() {
        let sim = in_place(Scenario::Healthy, true);
        let good = ServiceUpdate::of(&sim.service("prod", "web").unwrap().unwrap());
        let bad = [
            (ServiceUpdate { service: "nobody".into(), ..good.clone() }, Cause::NotFound),
            (ServiceUpdate { task_definition: "arn:none".into(), ..good.clone() }, Cause::NotFound),
            (ServiceUpdate { subnets: vec!["subnet-none".into()], ..good }, Cause::Refused),
        ];
        for (wanted, cause) in bad {
            assert_eq!(sim.update_service(&wanted).unwrap_err().cause, cause, "{wanted:?}");
        }
    }

    /// A read that lags shows the old deployment as the newest, and complete.
    #[test]
    fn a_read_that_lags_shows_the_deployment_before() {
        let sim = in_place(Scenario::Healthy, true);
        sim.with(|u| u.knobs.read_lag_ms = 30_000).unwrap();
        let before = shown(&sim).1.subnets;
        begin(&sim);
        let (deployments, service) = shown(&sim);
        assert_eq!((deployments.len(), &service.subnets), (1, &before));
        assert_eq!(deployments[0].1, "COMPLETED");
    }
}
