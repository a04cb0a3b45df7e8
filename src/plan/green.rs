//! What every way with a service beside blue has in common: green's target groups, its service, its scaling.

use super::{
    Planned, attributes, clone_service, copy_scaling, hold_blue, loosen_green, new_target_group, new_task_definition,
};
use crate::inventory::{Inventory, Suspension, TargetGroup};
use crate::operation::Operation;
use crate::playbook::Playbook;

/// An IPv6 twin of each of blue's groups, with its attributes.
pub(super) fn twins(playbook: &Playbook, groups: &[&TargetGroup]) -> Vec<Planned> {
    let mut steps = Vec::new();
    for (group, number) in groups.iter().zip(1..) {
        let new = Operation::CreateTargetGroup(new_target_group(playbook, group));
        steps.push(Planned::new(format!("create-target-group-{number}"), new));
        let attributes = attributes(group);
        if !attributes.is_empty() {
            let operation = Operation::SetAttributes { blue: group.arn.clone(), attributes };
            steps.push(Planned::new(format!("set-target-group-attributes-{number}"), operation));
        }
    }
    steps
}

/// Green's task definition and service, up to its health. Blue does not shrink from here on.
pub(super) fn stand_up(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let definition = Operation::RegisterTaskDefinition(new_task_definition(playbook, inventory));
    let mut steps = vec![Planned::new("register-task-definition", definition)];
    if let Some(scaling) = &inventory.scaling {
        let hold = hold_blue(inventory, scaling, scaling.suspended.without_shrinking());
        steps.push(Planned::new("hold-blue-scaling", Operation::HoldScaling(hold)));
    }
    steps.push(Planned::new("create-service", Operation::CreateService(clone_service(playbook, inventory))));
    steps.push(Planned::new("await-green", Operation::AwaitGreen { timeout: playbook.health.start_timeout }));
    steps
}

/// Blue's auto scaling for green, which may grow and not shrink while the run is open.
pub(super) fn follow_scaling(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let Some(scaling) = &inventory.scaling else { return Vec::new() };
    let copy = Operation::CopyScaling(copy_scaling(playbook, inventory, scaling));
    let mut steps = vec![Planned::new("copy-scaling", copy)];
    let held = scaling.suspended.without_shrinking();
    if let Some(hold) = loosen_green(playbook, inventory, scaling, Suspension::ALL, held) {
        steps.push(Planned::new("hold-green-scaling", Operation::HoldScaling(hold)));
    }
    steps
}
