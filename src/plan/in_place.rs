//! A service without a load balancer.

use super::Steps;
use crate::inventory::Inventory;
use crate::playbook::Playbook;

pub(super) fn steps(_: &Playbook, _: &Inventory) -> Steps {
    Steps::default()
}
