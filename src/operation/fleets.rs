//! Green's tasks in proportion to the stage, where service discovery names both services.

use super::{Drift, Hosts, Outcome, Scene};
use crate::cloud::{CloudError, Sight, Watch};
use crate::traffic::Share;

pub(super) fn shift(_: &Scene, _: Share) -> Result<Outcome, CloudError> {
    Ok(Outcome::Never("this version cannot move traffic this way".to_owned()))
}

pub(super) fn go_home(_: &Scene) -> Result<Outcome, CloudError> {
    Ok(Outcome::Never("this version cannot move traffic this way".to_owned()))
}

pub(super) fn places(_: &Scene) -> Watch {
    Watch::default()
}

pub(super) fn strayed(_: &Scene, _: &Sight) -> Option<Drift> {
    None
}

pub(super) fn hosts(_: &Scene, _: &Sight) -> Hosts {
    Hosts { healthy: 0, wanted: 0 }
}
