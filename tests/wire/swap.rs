//! A swap behind a Network Load Balancer: there and finished, home again, and what somebody else changed.
//!
//! What rests on moto here: it says `app` in the ARNs of a Network Load Balancer, so the dimension of its metrics begins with
//! that too; and it lets both address families into one action, so that they never stand in one is proved by reading, and by
//! the simulated cloud, which refuses it.

use serde_json::{Value, json};

use super::estate::Estate;

/// An estate whose playbook swaps everything at once.
pub(super) fn estate() -> Estate {
    let estate = Estate::seed(&["--network"]);
    let text = estate.playbook().replace("listener_weights", "listener_swap");
    let stages = text.find("stages:").expect("stages");
    let finish = text.find("finish:").expect("the finish");
    let text = format!("{}stages:\n  - {{ green: 100%, bake: 5m }}\n{}", &text[..stages], &text[finish..]);
    estate.write_playbook("playbook.yaml", &text);
    estate
}

/// The groups that a listener forwards to.
fn groups(listener: &Value) -> Vec<String> {
    let action = &listener["DefaultActions"][0];
    let tuples = action["ForwardConfig"]["TargetGroups"].as_array().cloned().unwrap_or_default();
    let named = tuples.iter().map(|t| t["TargetGroupArn"].clone());
    let mut named: Vec<String> = named.filter_map(|arn| arn.as_str().map(String::from)).collect();
    if named.is_empty() {
        named.extend(action["TargetGroupArn"].as_str().map(String::from));
    }
    named
}

fn by_port(estate: &Estate) -> Vec<(u64, Vec<String>)> {
    estate.listeners().iter().map(|l| (l["Port"].as_u64().unwrap_or(0), groups(l))).collect()
}

#[test]
fn a_swap_goes_there_and_is_finished() {
    let estate = estate();
    let original = estate.listeners();
    let blue = vec![estate.id("blue_group").to_string()];
    estate.start().expect(0);
    let green = vec![estate.green_group().expect("green's target group")];
    let group =
        estate.aws(&["elbv2", "describe-target-groups", "--target-group-arns", &green[0]])["TargetGroups"][0].clone();
    assert_eq!((&group["Protocol"], &group["IpAddressType"]), (&json!("TCP"), &json!("ipv6")), "{group:#}");
    let tied = by_port(&estate);
    let expected = [(443, &blue), (8443, &blue), (65_534, &blue), (65_535, &green)];
    assert_eq!(tied, expected.map(|(port, groups)| (port, groups.clone())));
    let tie = estate.listeners()[3]["ListenerArn"].as_str().expect("an ARN").to_string();
    let tags = estate.aws(&["elbv2", "describe-tags", "--resource-arns", &tie])["TagDescriptions"][0]["Tags"].clone();
    let tags = tags.as_array().cloned().unwrap_or_default();
    assert!(tags.contains(&json!({"Key": "migrate:run", "Value": "web"})), "{tags:?}");

    estate.green_flows();
    let advanced = estate.migrate(&["advance"]).expect(0);
    assert_eq!(advanced.report["green_share"].as_f64(), Some(100.0));
    assert!(advanced.said().contains("flows"), "{}", advanced.said());
    assert!(by_port(&estate).iter().take(2).all(|(_, groups)| *groups == green), "{:?}", by_port(&estate));
    // Everything else of the listeners is as it was.
    for (now, before) in estate.listeners().iter().zip(&original) {
        for same in ["ListenerArn", "Port", "Protocol", "Certificates", "SslPolicy"] {
            assert_eq!(now[same], before[same], "{same}");
        }
    }
    std::thread::sleep(std::time::Duration::from_secs(1)); // `keep_blue` is a minute
    estate.migrate(&["finish"]).expect(0);
    assert_eq!(by_port(&estate), [(443, green.clone()), (8443, green)]);
    assert_eq!(estate.service("web")["desiredCount"], 0);
}

#[test]
fn a_rollback_leaves_every_listener_as_it_was() {
    let estate = estate();
    let original = estate.listeners();
    estate.start().expect(0);
    estate.green_flows();
    estate.migrate(&["advance", "--no-wait"]).expect(0);
    assert_ne!(estate.listeners()[..2], original[..]);
    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(estate.listeners(), original);
    assert_eq!(estate.green_group(), None);
}

#[test]
fn a_listener_that_somebody_changed_is_left_alone() {
    let estate = estate();
    estate.start().expect(0);
    let redirect = r#"[{"Type":"fixed-response","FixedResponseConfig":{"StatusCode":"503"}}]"#;
    let listener = estate.id("tls_listener");
    estate.aws(&["elbv2", "modify-listener", "--listener-arn", listener, "--default-actions", redirect]);
    let theirs = estate.listeners();
    let ended = estate.migrate(&["advance", "--no-wait"]).expect(8);
    assert_eq!(ended.word("outcome"), "drift");
    assert!(ended.said().contains(listener), "{}", ended.said());
    assert_eq!(estate.listeners(), theirs);
}
