//! The second load balancer over the wire: compared with blue's part by part by the AWS CLI, and gone without a trace.
//!
//! moto keeps neither transforms nor mutual TLS, so what is sent of those is tested where it is sent. It knows no states but `active`, refuses no
//! listener and lets go of everything at once: those rules are the simulated cloud's.

use serde_json::{Value, json};

use super::estate::Estate;

/// An estate with a hosted zone of its own, in which nothing stands in the way of a copy.
fn estate(zone: &str, settings: &str) -> Estate {
    let estate = Estate::seed(&["--copyable", "--zone", zone]);
    let way = format!("shift: {{ dns_weights: {{ zone: {}{settings} }} }}", estate.id("zone"));
    estate.write_playbook("playbook.yaml", &estate.playbook().replace("shift: { listener_weights: {} }", &way));
    estate
}

/// Everything about a load balancer, its listeners and rules, without what names it and them.
fn facts(estate: &Estate, balancer: &str) -> Value {
    let ask = |verb: &str, by: &str, arn: &str| estate.aws(&["elbv2", verb, by, arn]);
    let tags = |arn: &str| {
        let found = ask("describe-tags", "--resource-arns", arn);
        let tags = found["TagDescriptions"][0]["Tags"].as_array().cloned().unwrap_or_default();
        let ours = |tag: &&Value| !tag["Key"].as_str().unwrap_or_default().starts_with("migrate:");
        let mut tags: Vec<String> = tags.iter().filter(ours).map(Value::to_string).collect();
        tags.sort();
        tags
    };
    let mut about = ask("describe-load-balancers", "--load-balancer-arns", balancer)["LoadBalancers"][0].clone();
    strip(&mut about, &["LoadBalancerArn", "LoadBalancerName", "DNSName", "CreatedTime"]);
    let attributes = ask("describe-load-balancer-attributes", "--load-balancer-arn", balancer);
    let listeners = ask("describe-listeners", "--load-balancer-arn", balancer)["Listeners"].clone();
    let mut listeners: Vec<Value> = listeners.as_array().cloned().unwrap_or_default();
    listeners.sort_by_key(|l| l["Port"].as_u64());
    let listeners: Vec<Value> = listeners
        .into_iter()
        .map(|mut listener| {
            let arn = listener["ListenerArn"].as_str().expect("an ARN").to_owned();
            strip(&mut listener, &["ListenerArn", "LoadBalancerArn"]);
            // Additional certificates are added side by side, in any order.
            let mut certificates =
                ask("describe-listener-certificates", "--listener-arn", &arn)["Certificates"].clone();
            for list in [&mut certificates, &mut listener["Certificates"]] {
                if let Some(list) = list.as_array_mut() {
                    list.sort_by_key(Value::to_string);
                }
            }
            let mut rules =
                ask("describe-rules", "--listener-arn", &arn)["Rules"].as_array().cloned().unwrap_or_default();
            // moto answers in the order of creation.
            rules.sort_by_key(|r| r["Priority"].as_str().and_then(|p| p.parse::<u32>().ok()));
            for rule in &mut rules {
                rule["Tags"] = json!(tags(rule["RuleArn"].as_str().expect("an ARN")));
                strip(rule, &["RuleArn"]);
            }
            json!({
                "listener": listener,
                "tags": tags(&arn),
                "attributes": ask("describe-listener-attributes", "--listener-arn", &arn)["Attributes"],
                "certificates": certificates,
                "rules": rules,
            })
        })
        .collect();
    json!({ "about": about, "attributes": attributes["Attributes"], "tags": tags(balancer), "listeners": listeners })
}

fn strip(value: &mut Value, names: &[&str]) {
    let object = value.as_object_mut().expect("an object");
    object.retain(|name, _| !names.contains(&name.as_str()));
}

fn named(estate: &Estate, name: &str) -> Option<String> {
    let query = format!("LoadBalancers[?LoadBalancerName=='{name}'].LoadBalancerArn | [0]");
    estate.aws(&["elbv2", "describe-load-balancers", "--query", &query]).as_str().map(str::to_owned)
}

fn web_acl(estate: &Estate, balancer: &str) -> Value {
    estate.aws(&["wafv2", "get-web-acl-for-resource", "--resource-arn", balancer])["WebACL"]["ARN"].clone()
}

/// Blue's facts as green's should be: its target group's twin, and no protection from deletion before the end.
fn expected(estate: &Estate, blue: &Value, protected: bool) -> Value {
    let green = estate.green_group().expect("green's target group");
    let mut expected: Value =
        serde_json::from_str(&blue.to_string().replace(estate.id("blue_group"), &green)).expect("JSON");
    for attribute in expected["attributes"].as_array_mut().expect("attributes") {
        if attribute["Key"] == "deletion_protection.enabled" {
            attribute["Value"] = json!(protected.to_string());
        }
    }
    expected
}

#[test]
fn a_copy_is_like_blues_load_balancer_and_can_be_taken_away() {
    let estate = estate("copied.test", "");
    let blue = facts(&estate, estate.id("load_balancer"));
    estate.start().expect(0);
    let copy = named(&estate, "web-ipv6").expect("a second load balancer");
    assert_eq!(facts(&estate, &copy), expected(&estate, &blue, false));
    assert_eq!(web_acl(&estate, &copy), estate.id("web_acl"));
    assert_eq!(facts(&estate, estate.id("load_balancer")), blue, "blue's own is as it was");

    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(named(&estate, "web-ipv6"), None);
    assert_eq!(estate.green_group(), None);
    assert_eq!(facts(&estate, estate.id("load_balancer")), blue);
    assert_eq!(web_acl(&estate, estate.id("load_balancer")), estate.id("web_acl"));
}

#[test]
fn a_load_balancer_of_that_name_that_is_not_ours_is_left_alone() {
    let estate = estate("taken.test", "");
    let subnets = estate.list("dual_subnets");
    let create = ["elbv2", "create-load-balancer", "--name", "web-ipv6", "--ip-address-type", "dualstack", "--subnets"];
    let made = estate.aws(&[&create[..], &subnets[..]].concat());
    let theirs = made["LoadBalancers"][0]["LoadBalancerArn"].as_str().expect("an ARN").to_owned();
    let before = facts(&estate, &theirs);
    let ended = estate.start();
    assert_eq!(ended.code, Some(3), "{}", ended.said());
    assert!(ended.said().contains("exists already"), "{}", ended.said());
    assert_eq!(facts(&estate, &theirs), before);
    assert_eq!(estate.green_group(), None, "what was created is gone");
}

#[test]
fn an_existing_load_balancer_gets_listeners_and_loses_them_again() {
    let estate = estate("named.test", ", green_load_balancer: edge");
    let subnets = estate.list("dual_subnets");
    let create = ["elbv2", "create-load-balancer", "--name", "edge", "--ip-address-type", "dualstack", "--subnets"];
    let made = estate.aws(&[&create[..], &subnets[..]].concat());
    let edge = made["LoadBalancers"][0]["LoadBalancerArn"].as_str().expect("an ARN").to_owned();
    let before = facts(&estate, &edge);
    let blue = facts(&estate, estate.id("load_balancer"));
    estate.start().expect(0);
    let after = facts(&estate, &edge);
    assert_eq!(after["listeners"], expected(&estate, &blue, true)["listeners"]);
    assert_eq!((&after["about"], &after["attributes"]), (&before["about"], &before["attributes"]));
    assert_eq!(web_acl(&estate, &edge), Value::Null);
    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(facts(&estate, &edge), before);
    assert_eq!(estate.green_group(), None);
}
