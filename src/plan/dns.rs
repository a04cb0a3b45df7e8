//! Weighted Route 53 records over two load balancers.

use super::green::{follow_scaling, stand_up, twins};
use super::{Planned, Steps, balancer, drain_seconds, retire, taking_part};
use crate::inventory::Inventory;
use crate::operation::Operation;
use crate::playbook::Playbook;

pub(super) fn steps(playbook: &Playbook, inventory: &Inventory) -> Steps {
    Steps { prepare: prepare(playbook, inventory), finish: finish(playbook, inventory) }
}

fn prepare(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let mut prepare = twins(playbook, &taking_part(inventory));
    prepare.extend(balancer::steps(playbook, inventory));
    prepare.extend(stand_up(playbook, inventory));
    prepare.extend(follow_scaling(playbook, inventory));
    prepare.push(Planned::new("join-records", Operation::JoinRecords));
    prepare
}

fn finish(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let seconds = drain_seconds(inventory) + u64::from(inventory.follow_seconds());
    let mut finish = vec![
        Planned::new("replace-blue-in-records", Operation::ReplaceBlue),
        Planned::new("drain-blue", Operation::Drain { seconds }),
    ];
    let retire = retire(playbook, inventory);
    if !retire.is_empty() {
        finish.push(Planned::new("await-quiet", Operation::AwaitQuiet));
    }
    finish.extend(retire);
    finish.extend(balancer::finish(inventory));
    finish
}
