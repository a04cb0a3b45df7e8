//! Weighted Route 53 records over two load balancers.

use super::{Steps, balancer};
use crate::inventory::Inventory;
use crate::playbook::Playbook;

pub(super) fn steps(playbook: &Playbook, inventory: &Inventory) -> Steps {
    Steps { prepare: balancer::steps(playbook, inventory), finish: balancer::finish(inventory) }
}
