//! What a stage writes and what a rollback takes, in words, for each way to move traffic.

use super::plan::last;
use crate::operation::{FLOW_SECONDS, IDLE_SECONDS, Made, green_name, pair, shown};
use crate::plan::Plan;
use crate::playbook::Shift;
use crate::traffic::records::{GreenName, record_sets, weights as record_weights};
use crate::traffic::{Pair, Share, green_tasks, shown_share, weights};

/// What each stage writes: a title, and a line for each place.
pub(super) fn writes(plan: &Plan) -> (String, Vec<String>) {
    match &plan.playbook.shift {
        Shift::ListenerWeights(_) => ("Each stage writes these routes together".to_owned(), routes(plan)),
        Shift::ListenerSwap(_) => {
            let mut lines = routes(plan);
            lines.extend(flows_stay(plan, "blue"));
            ("The stage puts green in blue's place in these routes, each by one write, all together".to_owned(), lines)
        }
        Shift::InPlace(in_place) if in_place.staged => (
            "A stage is a number of green tasks beside blue's; consumers choose among all of them".to_owned(),
            fleets(plan),
        ),
        Shift::InPlace(_) => ("The stage is one update of the service itself".to_owned(), update(plan)),
        Shift::DnsWeights(_) => {
            let title =
                "Each stage writes these records, in one batch for each zone, and bakes once resolvers have followed";
            (title.to_owned(), records(plan))
        }
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
        Shift::InPlace(in_place) if in_place.staged => vec![
            "before the last stage: stops green's tasks; takes seconds, and as long as consumers keep what they found"
                .to_owned(),
            "from the last stage: brings blue back into discovery first, which takes a whole rollout of blue"
                .to_owned(),
        ],
        Shift::InPlace(_) => vec![
            "gives the service its recorded settings back in one call, and watches until ECS has carried it out"
                .to_owned(),
            format!("takes a whole rollout: minutes, at most {}", plan.playbook.health.start_timeout),
        ],
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

fn update(plan: &Plan) -> Vec<String> {
    let blue = &plan.inventory.service;
    let mut lines = vec![
        format!("subnets {} -> {}", blue.subnets.join(", "), plan.playbook.green.network.subnets.join(", ")),
        format!("task definition {} -> {}-ipv6", last(&blue.task_definition), plan.inventory.task_definition.family),
    ];
    let registry = plan.inventory.registries.iter().find(|r| !r.takes_ipv6_only());
    if let (Some(old), Some(new)) = (registry, plan.playbook.new_registry_name(&plan.inventory.registries)) {
        let domain = &old.namespace.name;
        lines.push(format!("found by {} (A) -> {new}.{domain} (AAAA); the old name then leads nowhere", old.address()));
    }
    if blue.execute_command {
        lines.push("ECS Exec on -> off".to_owned());
    }
    lines
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

/// The real share of each stage: tasks are whole.
fn fleets(plan: &Plan) -> Vec<String> {
    let blue = plan.inventory.service.desired_count;
    let line = |share: Share| {
        let green = green_tasks(blue, share);
        match share {
            Share::ALL => {
                format!("{share}: {green} green tasks, and blue's {blue} leave discovery in a rollout of blue")
            }
            _ => format!("{share}: green tasks {green}, blue tasks {blue}, which is {:.0}%", shown_share(blue, share)),
        }
    };
    plan.playbook.stages.iter().map(|stage| line(stage.green)).collect()
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
