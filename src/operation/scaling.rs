//! Auto scaling of both services: held and set back, copied to green, and taken away with it.
//!
//! A service that has no auto scaling any more needs neither holding nor setting back: somebody took
//! it away, and it is not put back against their will.

use super::{CopyScaling, HoldScaling, Outcome, SCALING_RELEASED, Scene};
use crate::cloud::{Cause, CloudError, NewScaling};
use crate::inventory::{ScalableTarget, Suspension};

pub(super) fn hold(scene: &Scene, hold: &HoldScaling) -> Result<Outcome, CloudError> {
    suspend(scene, hold, hold.held)
}

/// Sets the suspension back. For green, which a rollback may keep, that means all of it: a green
/// without traffic is there to be looked at, and scale-out alone would be a ratchet, because what
/// its own idle work adds nothing would take away again.
pub(super) fn release(scene: &Scene, hold: &HoldScaling) -> Result<Outcome, CloudError> {
    if scene.made.contains_key(&released_key(hold)) {
        return Ok(Outcome::done());
    }
    suspend(scene, hold, hold.was)
}

/// The name under which the way home notes that it has set this back.
pub(super) fn released_key(hold: &HoldScaling) -> String {
    format!("{SCALING_RELEASED}{}", hold.resource)
}

fn suspend(scene: &Scene, hold: &HoldScaling, wanted: Suspension) -> Result<Outcome, CloudError> {
    let written = scene.cloud.suspend_scaling(&hold.resource, wanted);
    // The call that registers also updates, so AWS refuses it for a lack of bounds, and not as not
    // found, where there is nothing to update.
    if let Err(error) = &written
        && !matches!(error.cause, Cause::NotFound | Cause::Refused)
    {
        return Err(error.clone());
    }
    match (scene.cloud.scaling(&hold.cluster, &hold.service)?, written) {
        (None, _) => Ok(Outcome::done()),
        (Some(_), Err(error)) => Err(error),
        (Some(seen), Ok(())) if seen.suspended == wanted => Ok(Outcome::done()),
        (Some(_), Ok(())) => {
            Ok(Outcome::NotYet(format!("auto scaling of {} does not show the change yet", hold.resource)))
        }
    }
}

pub(super) fn copy(scene: &Scene, copy: &CopyScaling) -> Result<Outcome, CloudError> {
    scene.cloud.copy_scaling(&NewScaling {
        cluster: copy.cluster.clone(),
        from: copy.from.clone(),
        service: copy.service.clone(),
        min: copy.min,
        max: copy.max,
        target_groups: scene.pairs().into_iter().map(|p| (p.blue, p.green)).collect(),
    })?;
    let blue = scene.cloud.scaling(&copy.cluster, &copy.from)?;
    let green = scene.cloud.scaling(&copy.cluster, &copy.service)?;
    Ok(match lacking(blue.as_ref(), green.as_ref()) {
        None => Outcome::done(),
        Some(what) => Outcome::NotYet(format!("auto scaling of {} does not show {what} yet", copy.service)),
    })
}

/// The first part of blue's auto scaling that is to be green's and is not.
fn lacking(blue: Option<&ScalableTarget>, green: Option<&ScalableTarget>) -> Option<String> {
    let blue = blue?;
    let Some(green) = green else { return Some("its bounds".to_owned()) };
    let mut wanted = blue.copied_policies().into_iter().map(|name| (&green.policies, name)).collect::<Vec<_>>();
    wanted.extend(blue.scheduled.iter().map(|name| (&green.scheduled, name.as_str())));
    wanted.into_iter().find(|(there, name)| !there.iter().any(|t| t == name)).map(|(_, name)| name.to_owned())
}

/// Takes green's auto scaling away, before green itself: deleting a service leaves it behind.
pub(super) fn remove(scene: &Scene, copy: &CopyScaling) -> Result<Outcome, CloudError> {
    let service = scene.cloud.service(&copy.cluster, &copy.service)?;
    // A service of this name that is not ours keeps its own.
    if service.is_some_and(|s| s.tags.get("migrate:run").map(String::as_str) != Some(scene.run)) {
        return Ok(Outcome::done());
    }
    let removed = scene.cloud.remove_scaling(&copy.cluster, &copy.service);
    if let Err(error) = &removed
        && error.cause != Cause::Refused
    {
        return Err(error.clone());
    }
    match (scene.cloud.scaling(&copy.cluster, &copy.service)?, removed) {
        (None, _) => Ok(Outcome::done()),
        (Some(_), Err(error)) => Err(error),
        (Some(_), Ok(())) => Ok(Outcome::NotYet(format!("{} still has auto scaling", copy.service))),
    }
}
