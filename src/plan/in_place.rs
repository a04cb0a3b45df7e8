//! A service without a load balancer.

use super::{Planned, Steps, clone_service, copy_scaling, hold_blue, loosen_green, new_task_definition, retire, tags};
use crate::cloud::registries::NewRegistry;
use crate::inventory::{Inventory, Suspension};
use crate::operation::{CloneService, HoldScaling, Operation};
use crate::playbook::{Playbook, Shift};

pub(super) fn steps(playbook: &Playbook, inventory: &Inventory) -> Steps {
    match &playbook.shift {
        Shift::InPlace(in_place) if in_place.staged => fleets(playbook, inventory),
        _ => update(playbook, inventory),
    }
}

/// The service is updated at once. What must exist before is made, and nothing is retired after: there
/// is no second service.
fn update(playbook: &Playbook, inventory: &Inventory) -> Steps {
    let mut prepare = Vec::new();
    prepare.extend(new_registry(playbook, inventory).map(Operation::CreateRegistry).map(planned("create-registry")));
    let definition = Operation::RegisterTaskDefinition(new_task_definition(playbook, inventory));
    prepare.push(Planned::new("register-task-definition", definition));
    let mut finish = Vec::new();
    if let Some(scaling) = &inventory.scaling {
        let during = scaling.suspended.without_shrinking();
        let hold = hold_blue(inventory, scaling, during);
        if hold.was != hold.held {
            let release = HoldScaling { was: hold.held, held: hold.was, ..hold.clone() };
            prepare.push(Planned::new("hold-blue-scaling", Operation::HoldScaling(hold)));
            finish.push(Planned::new("release-scaling", Operation::HoldScaling(release)));
        }
    }
    Steps { prepare, finish }
}

fn planned(id: &'static str) -> impl Fn(Operation) -> Planned {
    move |operation| Planned::new(id, operation)
}

/// A Cloud Map service like blue's in the same namespace, with AAAA records of the same life.
fn new_registry(playbook: &Playbook, inventory: &Inventory) -> Option<NewRegistry> {
    let name = playbook.new_registry_name(&inventory.registries)?;
    let old = inventory.registries.iter().find(|r| !r.takes_ipv6_only())?;
    Some(NewRegistry {
        namespace: old.namespace.id.clone(),
        name,
        ttl: old.ttl(),
        routing: old.routing.clone(),
        custom_health: old.custom_health,
        tags: tags(playbook, &old.tags),
    })
}

/// Green stands beside blue without a task, in the same registry; each stage gives it some. It gets
/// blue's auto scaling only when it serves alone: until then its number of tasks is its share.
fn fleets(playbook: &Playbook, inventory: &Inventory) -> Steps {
    let definition = Operation::RegisterTaskDefinition(new_task_definition(playbook, inventory));
    let mut prepare = vec![Planned::new("register-task-definition", definition)];
    let mut finish = Vec::new();
    if let Some(scaling) = &inventory.scaling {
        let hold = hold_blue(inventory, scaling, scaling.suspended.without_shrinking());
        prepare.push(Planned::new("hold-blue-scaling", Operation::HoldScaling(hold)));
        let copy = Operation::CopyScaling(copy_scaling(playbook, inventory, scaling));
        finish.push(Planned::new("copy-scaling", copy));
        if let Some(hold) = loosen_green(playbook, inventory, scaling, Suspension::ALL, scaling.suspended) {
            finish.push(Planned::new("free-green-scaling", Operation::HoldScaling(hold)));
        }
    }
    let green = CloneService {
        desired_count: 0,
        registries: inventory.service.registries.clone(),
        ..clone_service(playbook, inventory)
    };
    prepare.push(Planned::new("create-service", Operation::CreateService(green)));
    finish.extend(retire(playbook, inventory).into_iter().filter(|p| p.id != "release-green-scaling"));
    Steps { prepare, finish }
}
