//! The ways to move traffic, told apart in one place.
//!
//! A run moves traffic in one of a few ways, each with a module of its own. All keep the same promises:
//! what is neither as we last wrote it nor as we want it is drift and stays; what was written is read
//! back; home is what was recorded before the first change, in one step.

use super::{Drift, Outcome, Scene, fleets, in_place, records, routes, swap};
use crate::cloud::{CloudError, Sight, Watch};
use crate::playbook::{InPlace, Shift};
use crate::traffic::Share;

/// Gives green `share` of the traffic.
pub(super) fn shift(scene: &Scene, share: Share) -> Result<Outcome, CloudError> {
    match &scene.playbook.shift {
        Shift::ListenerWeights(_) => routes::shift(scene, share),
        Shift::DnsWeights(_) => records::shift(scene, share),
        Shift::ListenerSwap(_) => swap::shift(scene, share),
        Shift::InPlace(InPlace { staged: false }) => in_place::shift(scene, share),
        Shift::InPlace(InPlace { staged: true }) => fleets::shift(scene, share),
    }
}

/// Restores every place where traffic is told where to go, as it was recorded.
pub(super) fn go_home(scene: &Scene) -> Result<Outcome, CloudError> {
    match &scene.playbook.shift {
        Shift::ListenerWeights(_) => routes::go_home(scene),
        Shift::DnsWeights(_) => records::go_home(scene),
        Shift::ListenerSwap(_) => swap::go_home(scene),
        Shift::InPlace(InPlace { staged: false }) => in_place::go_home(scene),
        Shift::InPlace(InPlace { staged: true }) => fleets::go_home(scene),
    }
}

/// What to look at to know whether the places are as they were set.
pub fn places(scene: &Scene) -> Watch {
    match &scene.playbook.shift {
        Shift::ListenerWeights(_) => routes::places(scene),
        Shift::DnsWeights(_) => records::places(scene),
        Shift::ListenerSwap(_) => swap::places(scene),
        Shift::InPlace(InPlace { staged: false }) => in_place::places(scene),
        Shift::InPlace(InPlace { staged: true }) => fleets::places(scene),
    }
}

/// The first place that does not show the share that was settled last; `sight` is that of [`places`].
pub fn strayed(scene: &Scene, sight: &Sight) -> Option<Drift> {
    match &scene.playbook.shift {
        Shift::ListenerWeights(_) => routes::strayed(scene, sight),
        Shift::DnsWeights(_) => records::strayed(scene, sight),
        Shift::ListenerSwap(_) => swap::strayed(scene, sight),
        Shift::InPlace(InPlace { staged: false }) => in_place::strayed(scene, sight),
        Shift::InPlace(InPlace { staged: true }) => fleets::strayed(scene, sight),
    }
}

/// Puts green in blue's place for good.
pub(super) fn replace_blue(scene: &Scene) -> Result<Outcome, CloudError> {
    match &scene.playbook.shift {
        Shift::DnsWeights(_) => records::replace_blue(scene),
        Shift::ListenerWeights(_) | Shift::ListenerSwap(_) | Shift::InPlace(_) => routes::replace_blue(scene),
    }
}

/// Reads back that nothing sends blue any traffic, immediately before it loses its tasks.
pub(super) fn still_serving(scene: &Scene) -> Result<Option<Drift>, CloudError> {
    match &scene.playbook.shift {
        Shift::DnsWeights(_) => records::still_serving(scene),
        Shift::ListenerWeights(_) | Shift::ListenerSwap(_) | Shift::InPlace(_) => routes::still_serving(scene),
    }
}
