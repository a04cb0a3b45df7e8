//! What is done to blue: its auto scaling is held and released, and at the end it is retired.

use chrono::TimeDelta;

use super::{HoldScaling, Outcome, SCALING_RELEASED, Scene, suspended_as};
use crate::cloud::{Cause, CloudError, Watch};
use crate::inventory::Service;
use crate::traffic::takes_part;

pub(super) fn hold_scaling(scene: &Scene, hold: &HoldScaling) -> Result<Outcome, CloudError> {
    scene.cloud.suspend_scaling(&hold.resource, hold.held)?;
    verify(scene, hold, true)
}

pub(super) fn release_scaling(scene: &Scene, hold: &HoldScaling) -> Result<Outcome, CloudError> {
    if scene.made.contains_key(SCALING_RELEASED) {
        return Ok(Outcome::done());
    }
    match scene.cloud.suspend_scaling(&hold.resource, hold.was) {
        // Somebody has taken the scaling away: there is nothing left to release.
        Err(error) if error.cause == Cause::NotFound => Ok(Outcome::done()),
        Err(error) => Err(error),
        Ok(()) => verify(scene, hold, false),
    }
}

fn verify(scene: &Scene, hold: &HoldScaling, held: bool) -> Result<Outcome, CloudError> {
    let wanted = if held { hold.held } else { hold.was };
    let seen = scene.cloud.scaling(&scene.blue.cluster, &scene.blue.service)?;
    if suspended_as(seen.as_ref(), wanted) {
        return Ok(Outcome::done());
    }
    Ok(Outcome::NotYet(format!("auto scaling of {} does not show the change yet", hold.resource)))
}

pub(super) fn drain(scene: &Scene, seconds: u64) -> Outcome {
    let delay = TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1000));
    let left = scene.since + delay - scene.clock.now();
    if left <= TimeDelta::zero() {
        return Outcome::done();
    }
    Outcome::NotYet(format!("blue's connections drain until {}", (scene.clock.now() + left).format("%T UTC")))
}

pub(super) fn scale_to_zero(scene: &Scene, cluster: &str, service: &str) -> Result<Outcome, CloudError> {
    if let Some(refusal) = still_serving(scene)? {
        return Ok(refusal);
    }
    let wants = |seen: Option<Service>| seen.filter(|s| s.status == "ACTIVE").map_or(0, |s| s.desired_count);
    if wants(scene.cloud.service(cluster, service)?) > 0 {
        scene.cloud.set_desired_count(cluster, service, 0)?;
    }
    match wants(scene.cloud.service(cluster, service)?) {
        0 => Ok(Outcome::done()),
        left => Ok(Outcome::NotYet(format!("{service} still wants {left} tasks"))),
    }
}

pub(super) fn remove(scene: &Scene, cluster: &str, service: &str) -> Result<Outcome, CloudError> {
    if let Some(refusal) = still_serving(scene)? {
        return Ok(refusal);
    }
    scene.cloud.delete_service(cluster, service)?;
    match scene.cloud.service(cluster, service)? {
        Some(seen) if seen.status == "ACTIVE" => Ok(Outcome::NotYet(format!("{service} is still active"))),
        _ => Ok(Outcome::done()),
    }
}

/// Reads back that no route gives blue any weight, immediately before it loses its tasks.
fn still_serving(scene: &Scene) -> Result<Option<Outcome>, CloudError> {
    let watch = Watch { listeners: scene.listeners.clone(), ..Watch::default() };
    let sight = scene.cloud.observe(&watch)?;
    let serving = sight.routes.iter().find(|r| takes_part(&r.actions, &scene.blue_groups));
    Ok(serving.map(|route| {
        Outcome::Drift(super::Drift {
            what: route.at.arn().to_owned(),
            expected: "no weight on blue's target groups".to_owned(),
            found: serde_json::to_string(&route.actions).unwrap_or_default(),
        })
    }))
}
