//! A service without a load balancer, updated at once: one call, then ECS's own rolling deployment.
//!
//! Invariants: a service is written only while it has the settings that were recorded, or ours
//! (anything else is drift and stays); a rollout counts only when *our* deployment is the one that
//! ECS heads for, is complete, and its tasks have IPv6 addresses. "Completed" alone proves nothing:
//! after ECS has turned back by itself the old deployment is complete. There is no second service,
//! so the way home is a rollout too, and takes as long as one.

use chrono::TimeDelta;

use super::green::{LAG_SECONDS, without_ipv6};
use super::{Drift, Outcome, REGISTRY, Scene, TASK_DEFINITION};
use crate::cloud::registries::{ServiceDeployment, ServiceUpdate};
use crate::cloud::{Cause, CloudError, Sight, Watch};
use crate::inventory::{Deployment, Inventory, Service, ServiceRegistry};
use crate::playbook::Playbook;
use crate::traffic::Share;

/// How long ago a deployment may have begun that is still under way.
const ROLLOUT_HOURS: i64 = 24;

/// Gives the service green's settings, and watches the rollout.
pub(super) fn shift(scene: &Scene, share: Share) -> Result<Outcome, CloudError> {
    if share == Share::NONE {
        return go_home(scene);
    }
    let Some(ours) = green_settings(scene) else {
        return Ok(Outcome::NotYet("the task definition is not registered yet".to_owned()));
    };
    let service = match seen(scene)? {
        Seen::Ours(service) => service,
        Seen::Recorded(_) => return begin(scene, &ours),
        Seen::Other(drift) => return Ok(Outcome::Drift(drift)),
    };
    let Some(newest) = primary(&service) else {
        return Ok(Outcome::NotYet("ECS does not show the deployment yet".to_owned()));
    };
    if newest.rollout.as_deref() == Some("FAILED") {
        return Ok(Outcome::Worse(format!("ECS gave the rollout up: {}", said(newest, &service))));
    }
    if let Some(missing) = unfinished(&service, newest) {
        return Ok(Outcome::NotYet(missing));
    }
    let tasks = scene.cloud.tasks(&service.cluster, &service.name)?;
    Ok(without_ipv6(&tasks).map_or_else(Outcome::done, Outcome::NotYet))
}

/// Writes green's settings, unless ECS has tried them in this shift already and gone back.
fn begin(scene: &Scene, ours: &ServiceUpdate) -> Result<Outcome, CloudError> {
    if let Some(failed) = went_back(scene, ours)? {
        return Ok(Outcome::Worse(failed));
    }
    if let Some(gone) = missing_registry(scene, ours)? {
        return Ok(Outcome::Drift(gone));
    }
    scene.cloud.update_service(ours)?;
    Ok(Outcome::NotYet("ECS begins to replace the tasks".to_owned()))
}

/// Why ECS gave up what this shift asked for, where it did. A failed deployment is listed until its
/// last task is gone; what ECS remembers of deployments tells of it later.
fn went_back(scene: &Scene, ours: &ServiceUpdate) -> Result<Option<String>, CloudError> {
    let service = scene.cloud.service(&ours.cluster, &ours.service)?;
    let failed = |d: &&Deployment| {
        d.task_definition == ours.task_definition && d.rollout.as_deref() == Some("FAILED") && d.status != "PRIMARY"
    };
    if let Some(service) = &service
        && let Some(deployment) = service.deployments.iter().find(failed)
    {
        let text = format!("ECS gave the rollout up and went back by itself: {}", said(deployment, service));
        return Ok(Some(text));
    }
    let since = scene.since - TimeDelta::seconds(LAG_SECONDS);
    let known = scene.cloud.service_deployments(&ours.cluster, &ours.service, since)?;
    Ok(known.iter().find(|d| d.went_back()).map(|deployment| {
        let reason = deployment.reason.as_deref().unwrap_or("no reason given");
        format!("ECS gave the rollout up and went back by itself: {reason}")
    }))
}

/// Restores the recorded settings in one call, and watches until ECS has carried them out.
pub(super) fn go_home(scene: &Scene) -> Result<Outcome, CloudError> {
    let home = recorded(scene.inventory);
    let (service, recorded) = match seen(scene)? {
        Seen::Recorded(service) => (service, true),
        Seen::Ours(service) => (service, false),
        Seen::Other(drift) => return Ok(Outcome::Drift(drift)),
    };
    // Reads lag: a service that has its recorded settings may only show them still. Once such a time
    // has passed since the way home began, what is shown is what is there.
    let certain = scene.clock.now() >= scene.since + TimeDelta::seconds(LAG_SECONDS);
    if !recorded || !certain {
        let under_way = under_way(scene, &home)?;
        match under_way {
            Some(deployment) if deployment.is_going_back() => {}
            Some(deployment) if !recorded && stopped(scene, &deployment)? => {
                return Ok(Outcome::NotYet("ECS was asked to stop the rollout and to go back".to_owned()));
            }
            _ => {
                if let Some(gone) = missing_registry(scene, &home)? {
                    return Ok(Outcome::Drift(gone));
                }
                scene.cloud.update_service(&home)?;
            }
        }
        if !recorded || !certain {
            return Ok(Outcome::NotYet(progress(&service)));
        }
    }
    let Some(newest) = primary(&service) else {
        return Ok(Outcome::NotYet("ECS does not show the deployment yet".to_owned()));
    };
    if newest.rollout.as_deref() == Some("FAILED") {
        return Ok(Outcome::Never(format!("ECS gave the way back up: {}", said(newest, &service))));
    }
    Ok(unfinished(&service, newest).map_or_else(Outcome::done, Outcome::NotYet))
}

/// The deployment that ECS carries out now, where it keeps records of them.
fn under_way(scene: &Scene, home: &ServiceUpdate) -> Result<Option<ServiceDeployment>, CloudError> {
    let since = scene.since - TimeDelta::hours(ROLLOUT_HOURS);
    let known = scene.cloud.service_deployments(&home.cluster, &home.service, since)?;
    Ok(known.into_iter().find(|d| d.is_stoppable() || d.is_going_back()))
}

/// Asks ECS to stop the deployment and to go back; `false` where it refuses, as it does for services
/// that are older than this call.
fn stopped(scene: &Scene, deployment: &ServiceDeployment) -> Result<bool, CloudError> {
    match scene.cloud.stop_service_deployment(&deployment.arn) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.cause, Cause::Refused | Cause::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn places(scene: &Scene) -> Watch {
    let blue = &scene.blue;
    Watch { services: vec![(blue.cluster.clone(), blue.service.clone())], ..Watch::default() }
}

/// Whether the service has other settings than those that were settled last.
pub(super) fn strayed(scene: &Scene, sight: &Sight) -> Option<Drift> {
    let service = sight.services.first().and_then(Option::as_ref);
    match sort(scene, service) {
        Seen::Ours(_) => None,
        Seen::Recorded(service) => Some(Drift {
            what: service.arn.clone(),
            expected: green_settings(scene).as_ref().map_or_else(String::new, shown),
            found: shown(&ServiceUpdate::of(&service)),
        }),
        Seen::Other(drift) => Some(drift),
    }
}

/// Tasks that speak for green: those of our deployment once it has been settled, before and while it
/// is rolled out all that run. What somebody else deployed is drift, and not judged.
pub(super) fn hosts(scene: &Scene, sight: &Sight) -> u32 {
    let Some(service) = sight.services.first().and_then(Option::as_ref) else { return 0 };
    let settled = scene.written.as_slice() == [Share::ALL];
    match sort(scene, Some(service)) {
        Seen::Ours(service) if settled => primary(&service).map_or(0, |d| d.running_count),
        _ => service.running_count,
    }
}

/// What a service shows.
enum Seen {
    /// Green's settings.
    Ours(Box<Service>),
    /// Those recorded before the first change.
    Recorded(Box<Service>),
    /// Neither: somebody else's.
    Other(Drift),
}

fn seen(scene: &Scene) -> Result<Seen, CloudError> {
    let service = scene.cloud.service(&scene.blue.cluster, &scene.blue.service)?;
    Ok(sort(scene, service.as_ref()))
}

fn sort(scene: &Scene, service: Option<&Service>) -> Seen {
    let home = recorded(scene.inventory);
    let Some(service) = service.filter(|s| s.status == "ACTIVE") else {
        return Seen::Other(Drift {
            what: scene.inventory.service.arn.clone(),
            expected: "an active service".to_owned(),
            found: service.map_or_else(|| "nothing: it was deleted".to_owned(), |s| s.status.clone()),
        });
    };
    if green_settings(scene).is_some_and(|ours| ours.is_of(service)) {
        return Seen::Ours(Box::new(service.clone()));
    }
    if home.is_of(service) {
        return Seen::Recorded(Box::new(service.clone()));
    }
    let moved = scene.written.first() == Some(&Share::ALL);
    let expected = if moved { green_settings(scene).unwrap_or(home) } else { home };
    Seen::Other(Drift {
        what: service.arn.clone(),
        expected: shown(&expected),
        found: shown(&ServiceUpdate::of(service)),
    })
}

/// The settings before the first change.
pub(super) fn recorded(inventory: &Inventory) -> ServiceUpdate {
    without_empty(ServiceUpdate::of(&inventory.service))
}

/// Green's settings; `None` before its task definition, or the registry that it needs, is made.
fn green_settings(scene: &Scene) -> Option<ServiceUpdate> {
    let registry = match scene.playbook.new_registry_name(&scene.inventory.registries) {
        Some(_) => Some(scene.made.get(REGISTRY)?.clone()),
        None => None,
    };
    let task_definition = scene.made.get(TASK_DEFINITION)?.clone();
    Some(ServiceUpdate { task_definition, ..green_update(scene.playbook, scene.inventory, registry) })
}

/// What the update changes; its task definition is that of blue until green's is made.
pub(super) fn green_update(playbook: &Playbook, inventory: &Inventory, registry: Option<String>) -> ServiceUpdate {
    let blue = &inventory.service;
    let wished = &playbook.green.network.security_groups;
    // A record of addresses has no port.
    let replaced = registry.map(|arn| vec![ServiceRegistry { arn, port: None, container: None, container_port: None }]);
    without_empty(ServiceUpdate {
        subnets: playbook.green.network.subnets.clone(),
        security_groups: if wished.is_empty() { blue.security_groups.clone() } else { wished.clone() },
        assign_public_ip: false,
        registries: Some(replaced.unwrap_or_else(|| blue.registries.clone())),
        execute_command: false,
        ..ServiceUpdate::of(blue)
    })
}

/// A service that is registered nowhere says nothing about registries.
fn without_empty(settings: ServiceUpdate) -> ServiceUpdate {
    ServiceUpdate { registries: settings.registries.filter(|r| !r.is_empty()), ..settings }
}

/// A Cloud Map service that these settings name and that is gone: ECS would refuse them.
fn missing_registry(scene: &Scene, wanted: &ServiceUpdate) -> Result<Option<Drift>, CloudError> {
    let arns: Vec<String> = wanted.registries.iter().flatten().map(|r| r.arn.clone()).collect();
    if arns.is_empty() {
        return Ok(None);
    }
    let there = scene.cloud.registries(&arns)?;
    let gone = arns.into_iter().find(|arn| !there.iter().any(|r| r.arn == *arn));
    Ok(gone.map(|arn| Drift {
        what: arn,
        expected: "a Cloud Map service".to_owned(),
        found: "nothing: it was deleted".to_owned(),
    }))
}

pub(super) fn primary(service: &Service) -> Option<&Deployment> {
    service.deployments.iter().find(|d| d.status == "PRIMARY")
}

/// What a deployment still lacks; `None` where it is complete and everything runs.
pub(super) fn unfinished(service: &Service, newest: &Deployment) -> Option<String> {
    let complete = newest.rollout.as_deref().is_none_or(|r| r == "COMPLETED");
    let others = service.deployments.iter().any(|d| d.status != "PRIMARY" && d.running_count > 0);
    let running = newest.running_count >= service.desired_count && !others;
    let shows = newest.task_definition == service.task_definition;
    (!(complete && running && shows)).then(|| progress(service))
}

fn progress(service: &Service) -> String {
    let Some(newest) = primary(service) else { return "ECS shows no deployment yet".to_owned() };
    let mut text = format!("{} of {} tasks of the new deployment run", newest.running_count, service.desired_count);
    if newest.failed_tasks > 0 {
        text.push_str(&format!(", {} have failed", newest.failed_tasks));
    }
    if let Some(event) = service.events.first() {
        text.push_str(&format!("; last event: {}", event.message));
    }
    text
}

/// Why a deployment failed, in the words of ECS.
fn said(deployment: &Deployment, service: &Service) -> String {
    let reason = deployment.rollout_reason.as_deref().unwrap_or("no reason given");
    let event = service.events.iter().find(|e| e.message.contains("failed")).or(service.events.first());
    let event = event.map_or_else(String::new, |e| format!("; {}", e.message));
    format!("{reason} ({} tasks failed){event}", deployment.failed_tasks)
}

/// Settings as people compare them.
pub(super) fn shown(settings: &ServiceUpdate) -> String {
    let registries: Vec<&str> = settings.registries.iter().flatten().map(|r| r.arn.as_str()).collect();
    let registered = if registries.is_empty() { "none".to_owned() } else { registries.join(", ") };
    format!(
        "task definition {}, subnets {}, security groups {}, registries {registered}",
        settings.task_definition,
        settings.subnets.join(", "),
        settings.security_groups.join(", "),
    )
}
