//! What the world may refuse: the right exit code, a message that names the cause, and nothing changed.

use serde_json::{Value, json};

use super::estate::Estate;

/// Starts of calls that change something; everything else only looks.
const CHANGES: [&str; 12] =
    ["Add", "Attach", "Create", "Delete", "Deregister", "Modify", "Put", "Register", "Remove", "Set", "Tag", "Update"];

#[track_caller]
fn assert_nothing_was_asked_to_change(estate: &Estate) {
    let changes: Vec<Value> = estate
        .calls()
        .into_iter()
        .map(|call| call["action"].clone())
        .filter(|action| CHANGES.iter().any(|verb| action.as_str().is_some_and(|name| name.starts_with(verb))))
        .collect();
    assert_eq!(changes, Vec::<Value>::new());
}

/// An AWS refusal in the words of the two protocols that know it.
fn refused_everywhere(json_code: &str, query_code: &str, message: &str, status: u16) -> Value {
    let fault = |service: &str, code: &str| json!({"service": service, "how": "refuse", "code": code, "message": message, "status": status, "to": null});
    json!([fault("ecs", json_code), fault("application-autoscaling", json_code), fault("*", query_code)])
}

#[test]
fn before_the_start_the_world_may_say_no_in_many_ways() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    estate.forget_calls();

    // The wrong cluster.
    estate.write_playbook("elsewhere.yaml", &estate.playbook().replace("cluster: prod", "cluster: nowhere"));
    let ended = estate.migrate(&["start", "elsewhere.yaml"]).expect(3);
    assert_eq!(ended.word("outcome"), "blocked");
    assert!(ended.said().contains("nowhere"), "{}", ended.said());

    // The wrong service.
    estate.write_playbook("nobody.yaml", &estate.playbook().replace("name: web }", "name: nobody }"));
    let ended = estate.migrate(&["start", "nobody.yaml"]).expect(3);
    assert!(ended.said().contains("nobody"), "{}", ended.said());

    // A permission that is missing: the action is named, so that it can be granted.
    let message = "User: arn:aws:iam::123456789012:user/test is not authorized to perform: elasticloadbalancing:DescribeRules on resource: * \
         because no identity-based policy allows the elasticloadbalancing:DescribeRules action";
    estate.faults(&json!([{"action": "DescribeRules", "how": "refuse", "code": "AccessDenied", "message": message, "status": 403, "to": null}]));
    let ended = estate.start();
    assert!(ended.code == Some(3) || ended.code == Some(1), "{ended:?}");
    assert!(ended.said().contains("elasticloadbalancing:DescribeRules"), "{}", ended.said());

    // Credentials that have expired.
    let message = "The security token included in the request is expired";
    estate.faults(&refused_everywhere("ExpiredTokenException", "ExpiredToken", message, 403));
    let ended = estate.start().expect(9);
    assert_eq!(ended.word("outcome"), "credentials");
    assert!(ended.said().to_lowercase().contains("expired"), "{}", ended.said());
    estate.faults(&json!([]));

    assert_nothing_was_asked_to_change(&estate);
    estate.snapshot().assert_same_as(&original);
    assert_eq!(estate.green_group(), None);
}

#[test]
fn without_a_network_it_says_so() {
    let estate = Estate::seed(&[]);
    let unused =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let mut command = estate.command(&["start", "playbook.yaml", "--json"]);
    let nowhere = format!("http://127.0.0.1:{unused}");
    command.env("AWS_ENDPOINT_URL", &nowhere).env("AWS_ENDPOINT_URL_CLOUDWATCH", &nowhere);
    let ended = super::estate::finish(command.output().expect("migrate runs")).expect(1);
    assert_eq!(ended.word("outcome"), "error");
    let said = ended.said().to_lowercase();
    assert!(["reach", "connect", "network"].iter().any(|word| said.contains(word)), "{said}");
}

#[test]
fn without_credentials_it_says_so() {
    let estate = Estate::seed(&[]);
    estate.forget_calls();
    let mut command = estate.command(&["start", "playbook.yaml", "--json"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let ended = super::estate::finish(command.output().expect("migrate runs")).expect(9);
    assert_eq!(ended.word("outcome"), "credentials");
    assert_nothing_was_asked_to_change(&estate);
}

#[test]
fn a_load_balancer_that_cannot_hold_green_blocks_the_start() {
    let estate = Estate::seed(&["--ip-type", "ipv4"]);
    let original = estate.snapshot();
    let ended = estate.start().expect(3);
    assert!(ended.said().contains("dualstack"), "the remedy is missing: {}", ended.said());
    estate.snapshot().assert_same_as(&original);
    assert_eq!(estate.green_group(), None);
}

#[test]
fn a_load_balancer_that_rejects_mixed_families_is_quoted() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    estate.switch("reject-mixed", &json!({"on": true}));
    let ended = estate.start();
    assert!(matches!(ended.code, Some(1 | 3)), "{ended:?}");
    assert!(
        ended.said().contains("different IP address types"),
        "the load balancer's words are missing: {}",
        ended.said()
    );
    estate.snapshot().assert_same_as(&original);
}

#[test]
fn a_green_that_does_not_come_up_is_explained_and_takes_no_traffic() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    let reason = "CannotPullContainerError: dial tcp: i/o timeout";
    estate.switch("fail-tasks", &json!({"service": "web-*", "reason": reason}));
    let ended = estate.start();
    assert!(matches!(ended.code, Some(1 | 3 | 4)), "{ended:?}");
    assert!(ended.said().contains("CannotPullContainerError"), "the tasks' reason is missing: {}", ended.said());
    // Whatever `start` did by then gives green no request.
    let green = estate.green_group().unwrap_or_else(|| "none".into());
    estate.snapshot().assert_shifted_from(&original, estate.id("blue_group"), &green, 0);
    // The cause is mended, and the same command carries on.
    estate.switch("fail-tasks", &json!({"service": "web-*", "off": true}));
    let service = ["ecs", "update-service", "--cluster", "prod", "--service", "web-ipv6", "--force-new-deployment"];
    estate.aws(&service);
    estate.start().expect(0);
    estate.migrate(&["rollback"]).expect(0);
    estate.snapshot().assert_same_as(&original);
}

#[test]
fn a_permission_that_is_missing_in_the_middle_leaves_a_way_home() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    estate.started();
    let message =
        "User: arn:aws:iam::123456789012:user/test is not authorized to perform: elasticloadbalancing:ModifyRule";
    estate.faults(&json!([{"action": "ModifyRule", "how": "refuse", "code": "AccessDenied", "message": message, "status": 403, "to": null}]));
    let ended = estate.migrate(&["advance"]);
    assert!(matches!(ended.code, Some(1 | 4 | 6)), "{ended:?}");
    assert!(ended.said().contains("elasticloadbalancing:ModifyRule"), "{}", ended.said());
    estate.faults(&json!([]));
    estate.migrate(&["rollback"]).expect(0);
    estate.snapshot().assert_same_as(&original);
}

#[test]
fn credentials_that_expire_in_the_middle_stop_the_run_where_it_is() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    estate.started();
    estate.migrate(&["advance"]).expect(0);
    let before = estate.snapshot();
    let message = "The security token included in the request is expired";
    estate.faults(&refused_everywhere("ExpiredTokenException", "ExpiredToken", message, 403));
    let ended = estate.migrate(&["advance"]).expect(9);
    assert_eq!(ended.word("outcome"), "credentials");
    estate.snapshot().assert_same_as(&before);
    estate.faults(&json!([]));
    estate.migrate(&["rollback"]).expect(0);
    estate.snapshot().assert_same_as(&original);
}
