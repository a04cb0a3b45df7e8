//! What is done to blue at the end: its connections drain, and it is retired.

use chrono::TimeDelta;

use super::{Outcome, Scene, fleets};
use crate::cloud::{CloudError, Watch};
use crate::inventory::Service;
use crate::playbook::Shift;
use crate::traffic::takes_part;

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
    if matches!(scene.playbook.shift, Shift::InPlace(_)) {
        return still_found(scene);
    }
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

/// Reads back that consumers cannot find blue any more.
fn still_found(scene: &Scene) -> Result<Option<Outcome>, CloudError> {
    let service = scene.cloud.service(&scene.blue.cluster, &scene.blue.service)?;
    let listed = service.filter(|s| s.status == "ACTIVE" && fleets::found(s));
    Ok(listed.map(|service| {
        Outcome::Drift(super::Drift {
            what: service.arn.clone(),
            expected: "no registration in Cloud Map".to_owned(),
            found: service.registries.iter().map(|r| r.arn.as_str()).collect::<Vec<_>>().join(", "),
        })
    }))
}
