//! Traffic that moves by records, over the wire: Route 53 is ministack's, and the AWS CLI reads what is there.
//!
//! ministack compares deletions with the exact values and answers PENDING before INSYNC. It lets simple records stand
//! beside weighted ones, which AWS does not: that rule, and those of TTLs and members, are the simulated cloud's.

use std::time::Duration;

use serde_json::{Value, json};

use super::estate::{Estate, STAGES};

/// An estate with a hosted zone, whose names `app` (an alias) and `www` (a CNAME) lead to blue.
fn estate(zone: &str) -> Estate {
    let estate = Estate::seed(&["--copyable", "--zone", zone]);
    let balancer =
        estate.aws(&["elbv2", "describe-load-balancers", "--load-balancer-arns", estate.id("load_balancer")]);
    let www = json!({
        "Name": format!("www.{zone}"),
        "Type": "CNAME",
        "TTL": 60,
        "ResourceRecords": [{ "Value": balancer["LoadBalancers"][0]["DNSName"] }],
    });
    change(&estate, &[("CREATE", www)]);
    let way = format!("shift: {{ dns_weights: {{ zone: {} }} }}", estate.id("zone"));
    estate.write_playbook("playbook.yaml", &estate.playbook().replace("shift: { listener_weights: {} }", &way));
    estate
}

fn change(estate: &Estate, changes: &[(&str, Value)]) {
    let changes: Vec<Value> =
        changes.iter().map(|(action, record)| json!({ "Action": action, "ResourceRecordSet": record })).collect();
    let batch = json!({ "Changes": changes }).to_string();
    let zone = estate.id("zone");
    estate.aws(&["route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch", &batch]);
}

/// Every record of the zone but those that make it one, in a fixed order.
fn records(estate: &Estate) -> Vec<Value> {
    let zone = estate.id("zone");
    let found = estate.aws(&["route53", "list-resource-record-sets", "--hosted-zone-id", zone]);
    let mut records = found["ResourceRecordSets"].as_array().cloned().unwrap_or_default();
    records.retain(|r| r["Type"] != "NS" && r["Type"] != "SOA");
    records.sort_by_key(|r| format!("{} {} {}", r["Name"], r["Type"], r["SetIdentifier"]));
    records
}

/// Identifier and weight of every member.
fn weights(estate: &Estate) -> Vec<(String, u64)> {
    let shown = |r: &Value| {
        (r["SetIdentifier"].as_str().unwrap_or("simple").to_owned(), r["Weight"].as_u64().unwrap_or(u64::MAX))
    };
    records(estate).iter().map(shown).collect()
}

fn expected(blue: u64, green: u64) -> Vec<(String, u64)> {
    let pair = [("migrate-web-blue".to_owned(), blue), ("migrate-web-green".to_owned(), green)];
    [pair.clone(), pair].concat()
}

/// `start`, and green's metrics under its own load balancer, so many requests that blue's are next to nothing.
fn started(estate: &Estate) -> String {
    estate.start().expect(0);
    let query = "LoadBalancers[?LoadBalancerName=='web-ipv6'] | [0]";
    let balancer = estate.aws(&["elbv2", "describe-load-balancers", "--query", query]);
    let arn = balancer["LoadBalancerArn"].as_str().expect("a second load balancer");
    estate.green_metrics_of(arn.split_once(":loadbalancer/").expect("an ARN").1, "100000");
    balancer["DNSName"].as_str().expect("its name").to_owned()
}

#[test]
fn a_whole_migration_moves_the_records_and_nothing_else() {
    let estate = estate("whole.test");
    let before = records(&estate);
    let green = started(&estate);
    let joined: Vec<(String, u64)> =
        [("migrate-web-blue".to_owned(), 100), ("migrate-web-blue".to_owned(), 100)].into();
    assert_eq!(weights(&estate), joined, "green is absent before its first share");
    for percent in STAGES.map(u64::from) {
        let advanced = estate.migrate(&["advance"]).expect(0);
        assert_eq!(advanced.report["green_share"].as_u64().or(Some(percent)), Some(percent));
        assert_eq!(weights(&estate), expected(100 - percent, percent), "{}", advanced.report);
    }
    std::thread::sleep(Duration::from_secs(1));
    let finished = estate.migrate(&["finish", "--yes"]).expect(0);
    assert_eq!(finished.word("state"), "finished");
    assert_eq!(estate.service("web")["desiredCount"], 0, "blue is retired");
    let after = records(&estate);
    assert_eq!(after.len(), before.len());
    for (old, new) in before.iter().zip(&after) {
        assert_eq!((&old["Name"], &old["Type"], &old["TTL"]), (&new["Name"], &new["Type"], &new["TTL"]));
        assert!(new["SetIdentifier"].is_null() && new["Weight"].is_null(), "{new}");
        assert!(new.to_string().contains(&green), "{new} does not lead to {green}");
    }
}

#[test]
fn a_rollback_restores_the_records_word_for_word() {
    let estate = estate("home.test");
    let before = records(&estate);
    started(&estate);
    for _ in 0..2 {
        estate.migrate(&["advance"]).expect(0);
    }
    assert_eq!(weights(&estate), expected(50, 50));
    let back = estate.migrate(&["rollback"]).expect(0);
    assert_eq!(back.word("state"), "rolled_back", "{}", back.report);
    assert!(back.word("reason").contains("resolvers may send requests to green for 60 s"), "{}", back.report);
    assert_eq!(records(&estate), before);
    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(records(&estate), before);
    assert_eq!(estate.green_group(), None);
}

#[test]
fn a_ttl_that_somebody_else_changed_is_drift_and_is_left_alone() {
    let estate = estate("drift.test");
    started(&estate);
    estate.migrate(&["advance"]).expect(0);
    let theirs: Vec<(&str, Value)> = records(&estate)
        .into_iter()
        .filter(|r| r["Type"] == "CNAME")
        .map(|mut r| {
            r["TTL"] = json!(30);
            ("UPSERT", r)
        })
        .collect();
    change(&estate, &theirs);
    let foreign = records(&estate);
    let advanced = estate.migrate(&["advance"]).expect(8);
    assert_eq!(advanced.word("outcome"), "drift");
    assert!(advanced.said().contains("www.drift.test CNAME"), "it does not say which: {}", advanced.said());
    assert_eq!(records(&estate), foreign);
    let back = estate.migrate(&["rollback"]).expect(8);
    assert!(back.said().contains("aws route53 change-resource-record-sets"), "{}", back.said());
    let alias: Vec<Value> = records(&estate).into_iter().filter(|r| r["Type"] != "CNAME").collect();
    assert!(alias.iter().all(|r| r["Weight"].is_null()), "the others are home: {alias:?}");
    let kept: Vec<Value> = foreign.into_iter().filter(|r| r["Type"] == "CNAME").collect();
    assert_eq!(records(&estate).into_iter().filter(|r| r["Type"] == "CNAME").collect::<Vec<_>>(), kept);
}

/// A load balancer that refuses both families in one action: what was made for it is gone, and the run
/// that stands there moves by records.
#[test]
fn a_refused_mixture_falls_back_to_records() {
    let estate = estate("fallback.test");
    let (listeners, before) = (estate.snapshot(), records(&estate));
    let way = format!("listener_weights: {{ fallback: {{ dns_weights: {{ zone: {} }} }} }}", estate.id("zone"));
    let text = estate.playbook().replace("listener_weights: {}", &way);
    estate.write_playbook("playbook.yaml", &text);
    estate.switch("reject-mixed", &json!({"on": true}));
    started(&estate);
    assert_eq!(estate.migrate(&["start", "playbook.yaml"]).expect(0).word("state"), "ready");
    estate.snapshot().assert_same_as(&listeners);
    estate.migrate(&["advance", "playbook.yaml"]).expect(0);
    assert_eq!(weights(&estate), expected(90, 10));
    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(records(&estate), before);
    estate.snapshot().assert_same_as(&listeners);
}

/// Network Load Balancers move by records too: the copy has blue's listeners, and flows are counted.
#[test]
fn two_network_load_balancers_share_the_records() {
    let estate = Estate::seed(&["--network", "--zone", "network.test"]);
    let way = format!("dns_weights: {{ zone: {} }}", estate.id("zone"));
    estate.write_playbook("playbook.yaml", &estate.playbook().replace("listener_weights: {}", &way));
    let (listeners, before) = (estate.listeners(), records(&estate));
    estate.start().expect(0);
    let query = "LoadBalancers[?LoadBalancerName=='web-ipv6'] | [0]";
    let copy = estate.aws(&["elbv2", "describe-load-balancers", "--query", query]);
    assert_eq!(copy["Type"], "network", "{copy:#}");
    let arn = copy["LoadBalancerArn"].as_str().expect("an ARN");
    let copied = estate.aws(&["elbv2", "describe-listeners", "--load-balancer-arn", arn])["Listeners"].clone();
    let ports = |of: &[Value]| {
        let mut ports: Vec<_> = of.iter().map(|l| (l["Port"].as_u64(), l["Protocol"].to_string())).collect();
        ports.sort();
        ports
    };
    assert_eq!(ports(copied.as_array().expect("listeners")), ports(&listeners));
    assert_eq!(estate.listeners(), listeners, "blue's listeners are not touched");
    estate.green_flows();
    let advanced = estate.migrate(&["advance"]).expect(0);
    assert!(advanced.said().contains("flows"), "{}", advanced.said());
    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(records(&estate), before);
    assert_eq!(estate.listeners(), listeners);
    assert_eq!(estate.aws(&["elbv2", "describe-load-balancers", "--query", query]), Value::Null);
}
