//! The playbooks that people start from.

use super::{read, shipped_playbooks};

#[test]
fn each_is_sound_and_only_the_bold_one_is_warned_about() {
    let playbooks = shipped_playbooks();
    let names: Vec<&str> = playbooks.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "all-at-once.yaml",
            "canary.yaml",
            "ci-pipeline.yaml",
            "grpc-metrics.yaml",
            "internal-cloud-map.yaml",
            "internal-fleets.yaml",
            "linear.yaml",
            "nlb-swap.yaml",
            "quickstart.yaml",
            "route53-weighted.yaml",
            "smoke-and-hooks.yaml"
        ]
    );
    for (name, text) in &playbooks {
        let decoded = read(text);
        assert!(decoded.playbook.is_some(), "{name}: {:?}", decoded.findings);
        let rules: Vec<&str> = decoded.findings.iter().map(|finding| finding.rule.as_str()).collect();
        let expected: &[&str] = if name == "all-at-once.yaml" { &["bold-first-stage"] } else { &[] };
        assert_eq!(rules, expected, "{name}");
    }
}

/// What the decoder fills in for an absent field is what the types say.
#[test]
fn serde_reads_the_same() {
    let partial = super::and("health: { latency: { ratio: 2 }, errors: {} }\nrollback: {}\nfinish: {}\n");
    let texts = shipped_playbooks().into_values().filter(|text| !text.contains("variables:"));
    for text in texts.chain([partial, super::SOUND.to_owned(), super::and("health: {}\n")]) {
        let by_serde: migrate::playbook::Playbook = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read(&text).playbook, Some(by_serde), "{text}");
    }
}

/// Runs that share a state directory must not share a name.
#[test]
fn their_runs_have_names_of_their_own() {
    let names: std::collections::BTreeSet<String> =
        shipped_playbooks().values().map(|text| read(text).playbook.unwrap().name).collect();
    assert_eq!(names.len(), shipped_playbooks().len());
}

#[test]
fn the_pipeline_takes_its_values_from_outside() {
    let text = &shipped_playbooks()["ci-pipeline.yaml"];
    let lookup = |name: &str| match name {
        "CLUSTER" => Some("prod-eu".to_owned()),
        "FIRST_SHARE" => Some("2.5%".to_owned()),
        _ => None,
    };
    let playbook = migrate::playbook::decode(text.as_bytes(), &lookup).playbook.unwrap();
    assert_eq!(playbook.service.cluster, "prod-eu");
    assert_eq!(playbook.service.name, "web");
    assert_eq!(playbook.stages[0].green.permille(), 25);
    assert_eq!(playbook.green.tags["commit"], "unknown");
}
