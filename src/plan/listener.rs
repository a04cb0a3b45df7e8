//! Weighted target groups in the actions of a load balancer's listeners and rules.

use super::green::{follow_scaling, stand_up, twins};
use super::{Planned, Steps, drain_seconds, probe, retire, taking_part};
use crate::inventory::Inventory;
use crate::operation::Operation;
use crate::playbook::Playbook;

pub(super) fn steps(playbook: &Playbook, inventory: &Inventory) -> Steps {
    Steps { prepare: prepare(playbook, inventory), finish: finish(playbook, inventory) }
}

fn prepare(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let groups = taking_part(inventory);
    let mut prepare = twins(playbook, &groups);
    for (balancer, number) in inventory.load_balancers.iter().zip(1..) {
        let operation = Operation::AssociateGreen(probe(playbook, inventory, &groups, &balancer.arn));
        prepare.push(Planned::new(format!("probe-load-balancer-{number}"), operation));
    }
    prepare.extend(stand_up(playbook, inventory));
    prepare.push(Planned::new("join-routes", Operation::JoinRoutes));
    for number in 1..=inventory.load_balancers.len() {
        let probe = format!("probe-load-balancer-{number}");
        prepare.push(Planned::new(format!("remove-probe-{number}"), Operation::RemoveProbe { probe }));
    }
    // Only now is green's target group tied to the load balancer for good, as a policy on the
    // requests per target wants it.
    prepare.extend(follow_scaling(playbook, inventory));
    prepare
}

fn finish(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let mut finish = vec![
        Planned::new("replace-blue-in-routes", Operation::ReplaceBlue),
        Planned::new("drain-blue", Operation::Drain { seconds: drain_seconds(inventory) }),
    ];
    finish.extend(retire(playbook, inventory));
    finish
}
