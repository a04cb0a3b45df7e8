//! Green's target groups in blue's place, all at once.
//!
//! What ties both sides to the load balancer stays until `finish`: whichever is out of its place, its
//! targets are to be checked.

use super::green::{follow_scaling, stand_up, twins};
use super::{Planned, Steps, drain_seconds, probe, retire, tags, taking_part};
use crate::inventory::{Inventory, LoadBalancer, TargetGroup};
use crate::operation::{AssociateGreen, FLOW_SECONDS, IDLE_SECONDS, Operation, Side, TieGroup};
use crate::playbook::Playbook;
use crate::traffic::takes_part;

pub(super) fn steps(playbook: &Playbook, inventory: &Inventory) -> Steps {
    Steps { prepare: prepare(playbook, inventory), finish: finish(playbook, inventory) }
}

fn is_network(balancer: &LoadBalancer) -> bool {
    balancer.kind == "network"
}

/// Groups of this load balancer.
fn behind<'a>(groups: &[&'a TargetGroup], balancer: &LoadBalancer) -> Vec<&'a TargetGroup> {
    groups.iter().copied().filter(|g| g.load_balancers.contains(&balancer.arn)).collect()
}

fn prepare(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let groups = taking_part(inventory);
    let mut prepare = twins(playbook, &groups);
    let mut add = |id: String, operation: Operation| prepare.push(Planned::new(id, operation));
    for (index, balancer) in inventory.load_balancers.iter().enumerate() {
        if !is_network(balancer) {
            let green =
                AssociateGreen { alone: Some(Side::Green), ..probe(playbook, inventory, &groups, &balancer.arn) };
            let host = format!("blue.{}", green.host);
            let blue = AssociateGreen { alone: Some(Side::Blue), host, ..green.clone() };
            add(format!("probe-load-balancer-{}", index + 1), Operation::AssociateGreen(green));
            add(format!("keep-blue-checked-{}", index + 1), Operation::AssociateGreen(blue));
            continue;
        }
        for (nth, group) in behind(&groups, balancer).into_iter().enumerate() {
            let tie = |side| Operation::TieGroup(tie(playbook, inventory, group, balancer, side));
            add(format!("tie-green-group-{}-{}", index + 1, nth + 1), tie(Side::Green));
            add(format!("tie-blue-group-{}-{}", index + 1, nth + 1), tie(Side::Blue));
        }
    }
    prepare.extend(stand_up(playbook, inventory));
    prepare.extend(follow_scaling(playbook, inventory));
    prepare
}

fn tie(
    playbook: &Playbook,
    inventory: &Inventory,
    group: &TargetGroup,
    balancer: &LoadBalancer,
    side: Side,
) -> TieGroup {
    let leads = |actions: &[_]| takes_part(actions, std::slice::from_ref(&group.arn));
    let route = inventory.routes.iter().find(|r| r.load_balancer == balancer.arn && leads(&r.actions));
    TieGroup {
        blue: group.arn.clone(),
        side,
        load_balancer: balancer.arn.clone(),
        like: route.map(|r| r.listener.clone()).unwrap_or_default(),
        // A TLS group takes no TCP listener (NLB guide, listeners); every other that is let in here does.
        protocol: if group.protocol.as_deref() == Some("TLS") { "TLS" } else { "TCP" }.to_owned(),
        tags: tags(playbook, &[("migrate:from".to_owned(), group.name.clone())].into()),
    }
}

fn finish(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let mut finish = vec![Planned::new("verify-green-in-routes", Operation::ReplaceBlue)];
    for (index, balancer) in inventory.load_balancers.iter().enumerate() {
        let (id, operation) = if is_network(balancer) {
            (format!("untie-{}", index + 1), Operation::Untie { load_balancer: balancer.arn.clone() })
        } else {
            let probe = format!("probe-load-balancer-{}", index + 1);
            (format!("remove-probe-{}", index + 1), Operation::RemoveProbe { probe })
        };
        finish.push(Planned::new(id, operation));
    }
    let drain = drain_seconds(inventory);
    if inventory.load_balancers.iter().any(is_network) {
        let least = drain.max(IDLE_SECONDS);
        let operation = Operation::AwaitFlows { least, most: least.max(FLOW_SECONDS) };
        finish.push(Planned::new("await-blue-flows", operation));
    } else {
        finish.push(Planned::new("drain-blue", Operation::Drain { seconds: drain }));
    }
    finish.extend(retire(playbook, inventory));
    finish
}
