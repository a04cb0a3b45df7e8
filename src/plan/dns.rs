//! Weighted Route 53 records over two load balancers.

use super::{
    Planned, Steps, attributes, balancer, clone_service, copy_scaling, drain_seconds, hold_blue, loosen_green,
    new_target_group, new_task_definition, retire, taking_part,
};
use crate::inventory::{Inventory, Suspension};
use crate::operation::Operation;
use crate::playbook::Playbook;

pub(super) fn steps(playbook: &Playbook, inventory: &Inventory) -> Steps {
    Steps { prepare: prepare(playbook, inventory), finish: finish(playbook, inventory) }
}

fn prepare(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let mut prepare = Vec::new();
    let mut add = |id: String, operation: Operation| prepare.push(Planned::new(id, operation));
    for (index, group) in taking_part(inventory).into_iter().enumerate() {
        let new = new_target_group(playbook, group);
        add(format!("create-target-group-{}", index + 1), Operation::CreateTargetGroup(new));
        let attributes = attributes(group);
        if !attributes.is_empty() {
            let operation = Operation::SetAttributes { blue: group.arn.clone(), attributes };
            add(format!("set-target-group-attributes-{}", index + 1), operation);
        }
    }
    prepare.extend(balancer::steps(playbook, inventory));
    let mut add = |id: String, operation: Operation| prepare.push(Planned::new(id, operation));
    add("register-task-definition".into(), Operation::RegisterTaskDefinition(new_task_definition(playbook, inventory)));
    if let Some(scaling) = &inventory.scaling {
        let hold = hold_blue(inventory, scaling, scaling.suspended.without_shrinking());
        add("hold-blue-scaling".into(), Operation::HoldScaling(hold));
    }
    add("create-service".into(), Operation::CreateService(clone_service(playbook, inventory)));
    add("await-green".into(), Operation::AwaitGreen { timeout: playbook.health.start_timeout });
    if let Some(scaling) = &inventory.scaling {
        add("copy-scaling".into(), Operation::CopyScaling(copy_scaling(playbook, inventory, scaling)));
        let held = scaling.suspended.without_shrinking();
        if let Some(hold) = loosen_green(playbook, inventory, scaling, Suspension::ALL, held) {
            add("hold-green-scaling".into(), Operation::HoldScaling(hold));
        }
    }
    add("join-records".into(), Operation::JoinRecords);
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
