//! Is this service ready for IPv6 only? Findings with evidence and remedy, from the inventory alone.
//!
//! Pure: a rule reads playbook and inventory, and never asks a port. Each file holds the rules about
//! one thing; a rule that blocks says what must change before a run can begin. The rules come from
//! the ECS guide "Using a VPC in IPv6-only mode" and the ELBv2 guides on target groups; those about the
//! judge from what it needs.

mod around;
mod balancer;
mod in_place;
mod judge;
mod records;
mod routing;
mod service;
mod swap;
mod task;

use crate::finding::Finding;
use crate::inventory::Inventory;
use crate::playbook::{Playbook, Shift};

/// All findings about the estate, the worst first.
pub fn assess(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let mut findings = service::findings(playbook, inventory);
    findings.extend(task::findings(playbook, inventory));
    findings.extend(match &playbook.shift {
        Shift::ListenerWeights(_) => routing::findings(playbook, inventory),
        Shift::DnsWeights(_) => {
            [records::findings(playbook, inventory), balancer::findings(playbook, inventory)].concat()
        }
        Shift::ListenerSwap(_) => swap::findings(playbook, inventory),
        Shift::InPlace(_) => in_place::findings(playbook, inventory),
    });
    findings.extend(judge::findings(playbook, inventory));
    findings.extend(around::findings(playbook, inventory));
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    findings
}
