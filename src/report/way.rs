//! What a stage writes and what a rollback takes, in words, for each way to move traffic.

use super::plan::last;
use crate::operation::{Made, green_name, pair};
use crate::plan::Plan;
use crate::playbook::Shift;
use crate::traffic::records::{GreenName, record_sets, weights as record_weights};
use crate::traffic::{Pair, Share, at_share, weights};

/// What each stage writes: a title, and a line for each place.
pub(super) fn writes(plan: &Plan) -> (String, Vec<String>) {
    match &plan.playbook.shift {
        Shift::ListenerWeights(_) | Shift::ListenerSwap(_) => {
            ("Each stage writes these routes together".to_owned(), routes(plan))
        }
        Shift::DnsWeights(_) => {
            let title =
                "Each stage writes these records, in one batch for each zone, and bakes once resolvers have followed";
            (title.to_owned(), records(plan))
        }
        Shift::InPlace(_) => (String::new(), Vec::new()),
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
        Shift::DnsWeights(_) => {
            let seconds = plan.inventory.follow_seconds();
            vec![
                format!(
                    "restores the {} record sets as recorded, in one batch for each zone, and waits until all of \
                     Route 53's servers answer so (usually within 60 s)",
                    record_sets(&plan.inventory).len()
                ),
                format!(
                    "after that resolvers may still send requests to green for {seconds} s, their TTL, and a few \
                     clients for longer; green keeps serving them"
                ),
                format!("green is removed, where asked for, {seconds} s after the records are home at the earliest"),
            ]
        }
        Shift::ListenerSwap(_) | Shift::InPlace(_) => Vec::new(),
    }
}

/// What every set is now, what it becomes before the first stage, and what the first stage writes.
fn records(plan: &Plan) -> Vec<String> {
    let first = plan.playbook.stages.first().map_or(Share::ALL, |s| s.green);
    let unmade = || GreenName {
        run: plan.playbook.name.clone(),
        dns_name: "the name of green's load balancer".to_owned(),
        zone: String::new(),
    };
    let green = green_name(&plan.playbook.name, &plan.inventory, &Made::new()).unwrap_or_else(unmade);
    let mut lines = Vec::new();
    for set in record_sets(&plan.inventory) {
        lines.push(format!(
            "{} (TTL {} s): now {}",
            set.place(),
            set.blue().follows_after(),
            record_weights(&set.recorded)
        ));
        lines.push(format!("    at {first} {}", record_weights(&set.at_share(&green, first))));
        lines.push(format!("    after `migrate finish` {}", record_weights(&set.replaced(&green))));
        if set.becomes_alias() {
            lines.push("    green's record is an alias, because addresses do not follow a load balancer".to_owned());
        }
    }
    lines
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
        format!("{port}{place}{conditions}: at {first} {}", weights(&at_share(&route.actions, &pairs, first)))
    };
    plan.routes().map(line).collect()
}
