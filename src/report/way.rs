//! What a stage writes and what a rollback takes, in words, for each way to move traffic.

use super::plan::last;
use crate::operation::{FLOW_SECONDS, IDLE_SECONDS, pair, shown};
use crate::plan::Plan;
use crate::playbook::Shift;
use crate::traffic::{Pair, Share, weights};

/// What each stage writes: a title, and a line for each place.
pub(super) fn writes(plan: &Plan) -> (String, Vec<String>) {
    match &plan.playbook.shift {
        Shift::ListenerWeights(_) => ("Each stage writes these routes together".to_owned(), routes(plan)),
        Shift::ListenerSwap(_) => {
            let mut lines = routes(plan);
            lines.extend(flows_stay(plan, "blue"));
            ("The stage puts green in blue's place in these routes, each by one write, all together".to_owned(), lines)
        }
        Shift::DnsWeights(_) | Shift::InPlace(_) => (String::new(), Vec::new()),
    }
}

/// What `migrate rollback` does, and how long it takes.
pub(super) fn way_back(plan: &Plan) -> Vec<String> {
    match &plan.playbook.shift {
        Shift::ListenerWeights(_) => {
            let sticky = plan.inventory.target_groups.iter().any(crate::inventory::TargetGroup::sticky);
            let mut lines = vec![
                format!("restores the {} routes as recorded, in one step, and reads them back", plan.routes().count()),
                "takes seconds: one write and one read of every route; requests under way end where they are"
                    .to_owned(),
            ];
            if sticky {
                lines.push("takes the stickiness of the rules away, so clients with a cookie come home too".to_owned());
            }
            lines
        }
        Shift::ListenerSwap(_) => {
            let mut lines = vec![format!(
                "puts blue back in the {} routes as recorded, each by one write, and reads them back",
                plan.routes().count()
            )];
            lines.extend(flows_stay(plan, "green"));
            lines
        }
        Shift::DnsWeights(_) | Shift::InPlace(_) => Vec::new(),
    }
}

/// What becomes of flows that are open when their side loses its place.
fn flows_stay(plan: &Plan, side: &str) -> Vec<String> {
    if plan.flow_seconds() == 0 {
        return Vec::new();
    }
    vec![
        format!("takes seconds for new flows; those that are open stay with {side}: up to {FLOW_SECONDS} s while they"),
        format!(
            "carry traffic, otherwise {IDLE_SECONDS} s. {side} keeps its tasks until then, also where it is removed"
        ),
    ]
}

fn routes(plan: &Plan) -> Vec<String> {
    let first = plan.playbook.stages.first().map_or(Share::ALL, |s| s.green);
    let twin = |blue: String| {
        let green = format!("{}-ipv6", last(&blue));
        pair(&plan.playbook, &plan.inventory, blue, green)
    };
    let pairs: Vec<Pair> = plan.blue_groups().into_iter().map(twin).collect();
    let line = |route: &crate::inventory::Route| {
        let place = route.priority.map_or_else(|| "default action".to_owned(), |p| format!("rule {p}"));
        let port = route.port.map_or_else(String::new, |p| format!(":{p} "));
        let conditions =
            if route.conditions.is_empty() { String::new() } else { format!(" ({})", route.conditions.join(", ")) };
        format!(
            "{port}{place}{conditions}: at {first} {}",
            weights(&shown(&plan.playbook.shift, &route.actions, &pairs, first))
        )
    };
    plan.routes().map(line).collect()
}
