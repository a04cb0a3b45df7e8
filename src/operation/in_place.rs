//! A service without a load balancer, updated at once.

use super::{Drift, Outcome, Scene};
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
