//! `migrate judge --since`: two sides in CloudWatch, without any run; what cannot be asked is refused.

use serde_json::{Value, json};

use super::estate::Estate;

/// The name in the ARN of a target group.
fn name(arn: &str) -> &str {
    arn.rsplit('/').nth(1).expect("the ARN of a target group")
}

/// The calls of GetMetricData that ask for this text.
fn asked(estate: &Estate, text: &str) -> usize {
    let calls = estate.calls();
    calls.iter().filter(|c| c["action"] == "GetMetricData" && c["body"].to_string().contains(text)).count()
}

#[test]
fn two_sides_are_judged_by_what_cloudwatch_has() {
    let estate = Estate::seed(&[]);
    estate.started();
    let green = estate.green_group().expect("green's target group");
    let blue = estate.id("blue_group");
    estate.forget_calls();
    let sides = ["--green-tg", name(&green), "--blue-tg", blue];
    let judged = estate.migrate(&[&["judge", "--since", "30m"], &sides[..]].concat()).expect(0);
    let report = &judged.report;
    assert_eq!((judged.word("verdict"), judged.word("outcome")), ("healthy", "ok"), "{report:#}");
    assert_eq!((&report["green_tg"], &report["blue_tg"]), (&json!([green]), &json!([blue])));
    assert_eq!((&report["planned_minutes"], &report["stage_starts"]), (&json!(30), &json!([0])));
    assert_eq!(report["times"].as_array().map(Vec::len), Some(30), "{report:#}");
    assert_eq!(report["begin"], report["times"][0]);
    let errors = &report["metrics"][0];
    assert_eq!((&errors["name"], &errors["minutes"]), (&json!("errors"), &json!(30)), "{errors:#}");
    assert!(errors["green"]["requests"].as_f64().is_some_and(|n| n > 0.0), "{errors:#}");
    assert_eq!(report["phi"], report["history"]["errors"]["phi"]);
    assert_eq!(asked(&estate, name(&green)), 1, "one question for the window");

    // The same, asked otherwise: a limit on chances and clusters.
    let what_if = ["judge", "--since", "30m", "--phi", "7", "--false-rollback", "5%"];
    let asked = estate.migrate(&[&what_if[..], &sides].concat()).expect(0);
    assert_eq!((&asked.report["phi"], &asked.report["false_rollback"]), (&json!(7.0), &json!(0.05)));

    // Points add up: green now fails many times as often as blue.
    estate.green_metrics("0.2");
    let judged = estate.migrate(&[&["judge", "--since", "30m"], &sides[..]].concat()).expect(0);
    assert_eq!(judged.word("verdict"), "degraded", "{:#}", judged.report);
    assert!(judged.report["rollback_at"].is_string(), "{:#}", judged.report);
    assert!(judged.word("reason").contains("against green"), "{:#}", judged.report);

    // The journal of a run that is there knows nothing of it.
    assert_eq!(estate.migrate(&["judge", "web"]).expect(0).word("verdict"), "not_enough_evidence");

    let vpc = estate.id("vpc");
    let lonely = ["--name", "lonely", "--protocol", "HTTP", "--port", "80", "--target-type", "ip", "--vpc-id", vpc];
    estate.aws(&[&["elbv2", "create-target-group"], &lonely[..]].concat());
    let gone = format!("{}{}", &blue[..blue.len() - 4], "ffff");
    for (wrong, told) in [
        ([name(&green), "nobody"], "there is no target group `nobody`"),
        ([gone.as_str(), name(blue)], "there is no target group `arn:"),
        (["lonely", name(blue)], "has no load balancer"),
        ([blue, name(blue)], "is on both sides"),
    ] {
        let refused = estate.migrate(&["judge", "--since", "30m", "--green-tg", wrong[0], "--blue-tg", wrong[1]]);
        let refused = refused.expect(2);
        assert!(refused.word("reason").contains(told), "{told}: {}", refused.report);
        assert!(refused.errors.contains("help: "), "{}", refused.errors);
    }
}

#[test]
fn flows_are_judged_by_resets() {
    let estate = Estate::seed(&["--network"]);
    let text = estate.playbook().replace("listener_weights", "listener_swap");
    let (stages, finish) = (text.find("stages:").expect("stages"), text.find("finish:").expect("the finish"));
    let text = format!("{}stages:\n  - {{ green: 100%, bake: 5m }}\n{}", &text[..stages], &text[finish..]);
    estate.write_playbook("playbook.yaml", &text);
    estate.start().expect(0);
    estate.green_flows();
    let green = estate.green_group().expect("green's target group");
    let judged = estate.migrate(&["judge", "--since", "30m", "--green-tg", &green, "--blue-tg", "web-blue"]).expect(0);
    let metrics: Vec<&Value> =
        judged.report["metrics"].as_array().expect("metrics").iter().map(|m| &m["name"]).collect();
    assert_eq!(metrics, [&json!("resets"), &json!("hard limit of resets")], "{:#}", judged.report);
    assert!(judged.word("reason").starts_with("resets: green "), "{:#}", judged.report);
}
