//! What is done to blue at the end: its connections drain, and it is retired.

use chrono::TimeDelta;

use super::way::still_serving;
use super::{Outcome, Scene};
use crate::cloud::CloudError;
use crate::inventory::Service;

pub(super) fn drain(scene: &Scene, seconds: u64) -> Outcome {
    let delay = TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1000));
    let left = scene.since + delay - scene.clock.now();
    if left <= TimeDelta::zero() {
        return Outcome::done();
    }
    Outcome::NotYet(format!("blue's connections drain until {}", (scene.clock.now() + left).format("%T UTC")))
}

pub(super) fn scale_to_zero(scene: &Scene, cluster: &str, service: &str) -> Result<Outcome, CloudError> {
    if let Some(drift) = still_serving(scene)? {
        return Ok(Outcome::Drift(drift));
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
    if let Some(drift) = still_serving(scene)? {
        return Ok(Outcome::Drift(drift));
    }
    scene.cloud.delete_service(cluster, service)?;
    match scene.cloud.service(cluster, service)? {
        Some(seen) if seen.status == "ACTIVE" => Ok(Outcome::NotYet(format!("{service} is still active"))),
        _ => Ok(Outcome::done()),
    }
}
