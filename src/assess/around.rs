//! Rules about what happens around a shift: smoke tests, and those who are told of a run.

use crate::finding::Finding;
use crate::inventory::Inventory;
use crate::playbook::{InPlace, Playbook, Shift};

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let asked = |topic: &&String| inventory.topics.get(*topic).is_some_and(Option::is_some);
    let mut findings: Vec<Finding> =
        playbook.notify.sns.iter().filter(asked).map(|topic| unusable(topic, inventory)).collect();
    findings.extend(smoke(playbook));
    findings
}

fn unusable(topic: &str, inventory: &Inventory) -> Finding {
    let said = inventory.topics.get(topic).cloned().flatten().unwrap_or_default();
    if said.contains("NotFound") {
        return Finding::block("topic-not-found", format!("there is no SNS topic {topic}"))
            .evidence(said)
            .remedy("check region, account and name in `notify.sns`, or remove it");
    }
    Finding::warn("topic-not-checked", format!("whether the SNS topic {topic} takes messages is not known"))
        .evidence(said)
        .remedy("allow `sns:GetTopicAttributes` and `sns:Publish` on it; a notice that fails never stops a run")
}

/// In stages, green runs tasks from the first stage on.
fn smoke_without_green() -> Finding {
    Finding::block("smoke-without-green", "before the first stage green runs no task that a smoke test could ask")
        .evidence("with `in_place: { staged: true }` each stage starts green's tasks")
        .remedy("move `smoke` to the second stage, and let an `after_shift` hook ask green in the first")
}

/// Where a smoke test cannot reach green before its traffic does.
fn smoke(playbook: &Playbook) -> Option<Finding> {
    let mut tests = playbook.stages.iter().filter_map(|s| s.smoke.as_ref());
    match &playbook.shift {
        Shift::InPlace(InPlace { staged: false, .. }) => tests.next().map(|_| {
            Finding::block("smoke-in-place", "`in_place` has no green that a smoke test could ask before the shift")
                .evidence("the service itself is updated, and its new tasks serve at once")
                .remedy("remove `smoke`; an `after_shift` hook can ask the service once it is updated")
        }),
        Shift::InPlace(_) if playbook.stages.first().is_some_and(|s| s.smoke.is_some()) => Some(smoke_without_green()),
        Shift::ListenerWeights(_) => None,
        other => tests.find(|t| t.via.is_some()).map(|_| {
            Finding::warn("smoke-via-unused", format!("`smoke.via` has no effect with `{}`", other.name()))
                .evidence("the test goes to green's own load balancer or tasks, and needs no rule")
                .remedy("remove `via`")
        }),
    }
}
