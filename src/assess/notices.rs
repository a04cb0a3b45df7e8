//! Rules about those who are told of a run, and about hooks.

use crate::finding::Finding;
use crate::inventory::Inventory;
use crate::playbook::Playbook;

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let asked = |topic: &&String| inventory.topics.get(*topic).is_some_and(Option::is_some);
    let mut findings: Vec<Finding> =
        playbook.notify.sns.iter().filter(asked).map(|topic| unusable(topic, inventory)).collect();
    if playbook.stages.iter().any(|s| s.smoke.is_some()) {
        findings.push(Finding::block("not-supported", "smoke tests are not built yet").remedy("remove `smoke`"));
    }
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
