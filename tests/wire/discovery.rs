//! A service without a load balancer over the wire: updated at once, and with green beside it in the same Cloud Map service.

use std::time::Duration;

use serde_json::{Value, json};

use super::estate::Estate;

/// What a way back has to restore, as the AWS CLI shows it: the service, and every Cloud Map service.
fn snapshot(estate: &Estate) -> Value {
    let service = estate.service("orders");
    let registries = estate.aws(&["servicediscovery", "list-services"])["Services"].clone();
    json!({
        "taskDefinition": service["taskDefinition"],
        "network": service["networkConfiguration"],
        "registries": service["serviceRegistries"],
        "desired": service["desiredCount"],
        "running": service["runningCount"],
        "cloudMap": registries,
    })
}

fn estate(kind: &str, shift: &str, stages: &[u32]) -> Estate {
    let estate = Estate::seed(&["--discovered", kind]);
    let stages: String = stages.iter().map(|green| format!("  - {{ green: {green}%, bake: 1m }}\n")).collect();
    let playbook = format!(
        "version: 1\nname: orders\nservice: {{ cluster: prod, name: orders }}\ngreen:\n  network: {{ subnets: [{}] }}\n\
         shift: {{ in_place: {shift} }}\nstages:\n{stages}finish: {{ keep_blue: 1m, blue: scale_to_zero }}\n",
        estate.list("ipv6_subnets").join(", ")
    );
    estate.write_playbook("playbook.yaml", &playbook);
    estate
}

/// The addresses that are found in a Cloud Map service.
fn instances(estate: &Estate, registry: &str) -> Vec<Value> {
    let id = registry.rsplit('/').next().unwrap_or_default();
    let found = estate.aws(&["servicediscovery", "list-instances", "--service-id", id]);
    found["Instances"].as_array().into_iter().flatten().map(|i| i["Attributes"].clone()).collect()
}

#[test]
fn a_service_is_updated_at_once_and_finished() {
    let estate = estate("A", "{}", &[100]);
    assert!(instances(&estate, estate.id("registry")).iter().all(|a| a["AWS_INSTANCE_IPV4"].is_string()));
    let assessed = estate.migrate(&["assess", "playbook.yaml"]);
    assert!(assessed.said().contains("frontend (environment ORDERS_URL of app)"), "{}", assessed.said());
    let started = estate.start().expect(0);
    assert_eq!(started.word("state"), "ready");
    let advanced = estate.migrate(&["advance"]).expect(0);
    assert_eq!(advanced.report["green_share"].as_f64(), Some(100.0));

    let service = estate.service("orders");
    assert_eq!(service["networkConfiguration"]["awsvpcConfiguration"]["subnets"], json!(estate.list("ipv6_subnets")));
    assert_eq!((&service["runningCount"], &service["desiredCount"]), (&json!(2), &json!(2)));
    let registry = service["serviceRegistries"][0]["registryArn"].as_str().unwrap_or_default().to_owned();
    assert_ne!(registry, estate.id("registry"));
    let id = registry.rsplit('/').next().unwrap_or_default();
    let made = estate.aws(&["servicediscovery", "get-service", "--id", id])["Service"].clone();
    assert_eq!((&made["Name"], &made["NamespaceId"]), (&json!("orders-ipv6"), &json!(estate.id("namespace"))));
    assert_eq!(made["DnsConfig"]["DnsRecords"], json!([{ "Type": "AAAA", "TTL": 15 }]));
    let found = instances(&estate, &registry);
    assert!(found.len() == 2 && found.iter().all(|a| a["AWS_INSTANCE_IPV6"].is_string()), "{found:?}");
    assert!(instances(&estate, estate.id("registry")).is_empty(), "the old name leads nowhere");

    std::thread::sleep(Duration::from_secs(1));
    let finished = estate.migrate(&["finish", "--yes"]).expect(0);
    assert_eq!(finished.word("state"), "finished");
    assert_eq!(estate.service("orders")["desiredCount"], 2);
}

#[test]
fn a_service_updated_at_once_comes_home_as_it_was() {
    let estate = estate("A", "{}", &[100]);
    let original = snapshot(&estate);
    estate.start().expect(0);
    estate.migrate(&["advance"]).expect(0);
    assert_ne!(snapshot(&estate), original);
    let back = estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(back.word("state"), "rolled_back");
    assert_eq!(snapshot(&estate), original);
    assert_eq!(instances(&estate, estate.id("registry")).len(), 2);
}

/// Green's tasks do not start: the rollout fails, and the run goes home.
#[test]
fn a_rollout_that_fails_turns_the_run_back() {
    let estate = estate("A", "{}", &[100]);
    let original = snapshot(&estate);
    estate.start().expect(0);
    estate.switch("fail-tasks", &json!({ "service": "orders-ipv6" }));
    let ended = estate.migrate(&["advance"]).expect(5);
    assert!(ended.said().contains("ECS gave the rollout up"), "{}", ended.said());
    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(snapshot(&estate), original);
}

#[test]
fn fleets_share_a_registry_and_blue_leaves_it_last() {
    let estate = estate("SRV", "{ staged: true }", &[50, 100]);
    let original = snapshot(&estate);
    estate.start().expect(0);
    assert_eq!(estate.service("orders-ipv6")["desiredCount"], 0);
    estate.migrate(&["advance"]).expect(0);
    assert_eq!(estate.service("orders-ipv6")["runningCount"], 2);
    assert_eq!(instances(&estate, estate.id("registry")).len(), 4);
    estate.migrate(&["advance"]).expect(0);
    assert_eq!(estate.service("orders")["serviceRegistries"], json!([]));
    assert_eq!(estate.service("orders")["runningCount"], 2, "blue keeps its tasks");
    let found = instances(&estate, estate.id("registry"));
    assert!(found.len() == 2 && found.iter().all(|a| a["AWS_INSTANCE_IPV4"].is_null()), "{found:?}");

    let back = estate.migrate(&["rollback", "--remove-green"]).expect(0);
    assert_eq!(back.word("state"), "rolled_back");
    // The counts of instances are those of the beginning again; their tasks are others.
    assert_eq!(snapshot(&estate), original);
}

#[test]
fn fleets_are_finished() {
    let estate = estate("SRV", "{ staged: true }", &[50, 100]);
    estate.start().expect(0);
    estate.migrate(&["advance"]).expect(0);
    estate.migrate(&["advance"]).expect(0);
    std::thread::sleep(Duration::from_secs(1));
    let finished = estate.migrate(&["finish", "--yes"]).expect(0);
    assert_eq!(finished.word("state"), "finished");
    assert_eq!(estate.service("orders")["desiredCount"], 0);
    assert_eq!(estate.service("orders-ipv6")["runningCount"], 2);
}
