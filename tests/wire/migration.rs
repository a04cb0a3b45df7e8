//! The main job: start, advance to the end, finish; home again from every stage; and the gate's own way home.

use std::time::Duration;

use serde_json::{Value, json};

use super::estate::{Estate, STAGES};

/// Green at the service of its own that `start` made: up, on IPv6 alone, healthy, a faithful clone.
fn assert_green_is_up(estate: &Estate) {
    let green = estate.service("web-ipv6");
    assert_eq!(green["runningCount"], 2, "{green:#}");
    assert_eq!(green["deployments"][0]["rolloutState"], "COMPLETED");
    let network = &green["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(network["subnets"], json!(estate.list("ipv6_subnets")));
    assert_eq!(green["healthCheckGracePeriodSeconds"], 75);
    assert_eq!(green["platformVersion"], "1.4.0");
    assert_eq!(green["propagateTags"], "SERVICE");
    assert_eq!(green["enableECSManagedTags"], true);
    assert_eq!(green["availabilityZoneRebalancing"], "DISABLED");
    assert_eq!(green["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"], true);
    let tags = green["tags"].as_array().cloned().unwrap_or_default();
    assert!(tags.contains(&json!({"key": "team", "value": "shop"})), "{tags:?}");

    let group = estate.green_group().expect("green's target group");
    let health = estate.aws(&["elbv2", "describe-target-health", "--target-group-arn", &group]);
    let targets = health["TargetHealthDescriptions"].as_array().cloned().unwrap_or_default();
    assert_eq!(targets.len(), 2, "{health:#}");
    for target in &targets {
        assert_eq!(target["TargetHealth"]["State"], "healthy");
        assert!(target["Target"]["Id"].as_str().is_some_and(|id| id.contains(':')), "{target:#}");
    }
    assert_clone_of_group(estate, &group);
    assert_clone_of_definition(estate, green["taskDefinition"].as_str().unwrap_or_default());
}

fn assert_clone_of_group(estate: &Estate, group: &str) {
    let settings = |arn: &str| {
        let mut found =
            estate.aws(&["elbv2", "describe-target-groups", "--target-group-arns", arn])["TargetGroups"][0].clone();
        for own in ["TargetGroupArn", "TargetGroupName", "IpAddressType", "LoadBalancerArns"] {
            found.as_object_mut().expect("a target group").remove(own);
        }
        found
    };
    assert_eq!(settings(group), settings(estate.id("blue_group")));
    let attributes = |arn: &str| {
        let found = estate.aws(&["elbv2", "describe-target-group-attributes", "--target-group-arn", arn]);
        let mut pairs: Vec<String> =
            found["Attributes"].as_array().into_iter().flatten().map(Value::to_string).collect();
        pairs.sort();
        pairs
    };
    assert_eq!(attributes(group), attributes(estate.id("blue_group")));
    let tags = estate.aws(&["elbv2", "describe-tags", "--resource-arns", group])["TagDescriptions"][0]["Tags"].clone();
    let tags = tags.as_array().cloned().unwrap_or_default();
    assert!(tags.contains(&json!({"Key": "cost-centre", "Value": "42"})), "{tags:?}");
}

/// A new family; the image from the dual-stack registry name; the one variable added; all else as it was.
fn assert_clone_of_definition(estate: &Estate, arn: &str) {
    let definition = |arn: &str| {
        estate.aws(&["ecs", "describe-task-definition", "--task-definition", arn])["taskDefinition"].clone()
    };
    let (green, blue) = (definition(arn), definition(estate.id("task_definition")));
    assert_ne!(green["family"], blue["family"]);
    for same in [
        "taskRoleArn",
        "executionRoleArn",
        "networkMode",
        "cpu",
        "memory",
        "runtimePlatform",
        "requiresCompatibilities",
    ] {
        assert_eq!(green[same], blue[same], "{same}");
    }
    let (mut mine, theirs) = (green["containerDefinitions"][0].clone(), blue["containerDefinitions"][0].clone());
    assert_eq!(mine["image"], "123456789012.dkr-ecr.us-east-1.on.aws/shop/web:1.4.2");
    let variables = mine["environment"].as_array().cloned().unwrap_or_default();
    assert!(variables.contains(&json!({"name": "AWS_USE_DUALSTACK_ENDPOINT", "value": "true"})), "{variables:?}");
    mine["image"] = theirs["image"].clone();
    mine["environment"] = variables.into_iter().filter(|v| v["name"] != "AWS_USE_DUALSTACK_ENDPOINT").collect();
    assert_eq!(mine, theirs);
}

#[test]
fn a_whole_migration_changes_weights_and_nothing_else() {
    let estate = Estate::seed(&[]);
    estate.switch("page-size", &json!({"max": 3}));
    let (original, blue) = (estate.snapshot(), estate.id("blue_group"));

    let started = estate.start().expect(0);
    assert_eq!((started.word("outcome"), started.word("state")), ("ok", "ready"));
    assert_eq!(started.report["green_share"].as_f64(), Some(0.0));
    assert_green_is_up(&estate);
    let green = estate.green_group().expect("green's target group");
    assert_green_scales(&estate, [true, false, true]);
    estate.snapshot().assert_shifted_from(&original, blue, &green, 0);
    estate.green_metrics("0.001");

    for (number, percent) in (1..).zip(STAGES) {
        let advanced = estate.migrate(&["advance"]).expect(0);
        assert_eq!(advanced.report["stage"], number, "{}", advanced.report);
        assert_eq!(advanced.report["green_share"].as_f64(), Some(f64::from(percent)));
        estate.snapshot().assert_shifted_from(&original, blue, &green, percent);
    }
    let status = estate.migrate(&["status"]).expect(0);
    assert_eq!(status.word("state"), "shifted");
    let kept = estate.switch("secrets", &json!({}));
    assert_eq!(kept[estate.id("oidc_rule")], "the-client-secret", "the OIDC secret was lost");

    // Blue is kept for a minute of the scaled clock after the last verdict.
    std::thread::sleep(Duration::from_secs(1));
    let finished = estate.migrate(&["finish", "--yes"]).expect(0);
    assert_eq!(finished.word("state"), "finished");
    assert_eq!(estate.service("web")["desiredCount"], 0, "blue is retired");
    assert_eq!(estate.service("web-ipv6")["runningCount"], 2, "green serves");
    assert_green_scales(&estate, [false, false, false]);
    let last = estate.snapshot();
    assert!(last.weights_of(&green).iter().any(|(_, weight)| *weight > 0), "{:#}", last.rules);
    assert_eq!(last.rules[3], original.rules[3], "the foreign rule");
    // A verb whose goal is reached says so.
    estate.migrate(&["finish", "--yes"]).expect(0);
}

/// From after `start` (0) and from after each stage: one command, and every word is as it was.
fn rollback_after(stages: usize) {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    estate.started();
    for _ in 0..stages {
        estate.migrate(&["advance"]).expect(0);
    }
    let back = estate.migrate(&["rollback"]).expect(0);
    assert_eq!(back.word("state"), "rolled_back", "{}", back.report);
    assert_eq!(back.report["green_share"].as_f64(), Some(0.0));
    estate.snapshot().assert_same_as(&original);
    assert_eq!(estate.service("web")["runningCount"], 2);
    assert_autoscaling_as_before(&estate);
    assert_green_scales(&estate, [true, true, true]);
    estate.migrate(&["rollback"]).expect(0);
    estate.snapshot().assert_same_as(&original);
}

fn assert_autoscaling_as_before(estate: &Estate) {
    let blue = scalable_target(estate, "service/prod/web").expect("blue's scalable target");
    assert_eq!((&blue["MinCapacity"], &blue["MaxCapacity"]), (&json!(2), &json!(10)));
    for kind in ["DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"] {
        assert_ne!(blue["SuspendedState"][kind], true, "{kind}");
    }
}

fn scalable_target(estate: &Estate, resource: &str) -> Option<Value> {
    let found = estate.aws(&["application-autoscaling", "describe-scalable-targets", "--service-namespace", "ecs"]);
    let targets = found["ScalableTargets"].as_array().cloned().unwrap_or_default();
    targets.into_iter().find(|target| target["ResourceId"] == resource)
}

/// Green's scalable target with blue's bounds, suspended like this (in, out, scheduled), with blue's
/// policies and scheduled actions, on green's metrics.
fn assert_green_scales(estate: &Estate, suspended: [bool; 3]) {
    let target = scalable_target(estate, "service/prod/web-ipv6").expect("green's scalable target");
    assert_eq!((&target["MinCapacity"], &target["MaxCapacity"]), (&json!(2), &json!(10)));
    let kinds = ["DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"];
    assert_eq!(kinds.map(|kind| target["SuspendedState"][kind] == true), suspended, "{target:#}");
    let of = |kind: &str, list: &str, resource: &str| {
        let service = ["--service-namespace", "ecs", "--resource-id", resource];
        let found = estate.aws(&[&["application-autoscaling", kind], &service[..]].concat());
        let mut found = found[list].as_array().cloned().unwrap_or_default();
        // The emulator answers for every resource.
        found.retain(|one| one["ResourceId"] == resource);
        for one in &mut found {
            let one = one.as_object_mut().expect("an object");
            one.retain(|name, _| {
                !["ResourceId", "CreationTime", "Alarms"].contains(&name.as_str()) && !name.ends_with("ARN")
            });
        }
        found.sort_by_key(Value::to_string);
        found
    };
    let tail = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
    let (blue_group, green_group) = (tail(estate.id("blue_group")), tail(&estate.green_group().expect("a group")));
    for (kind, list, count) in
        [("describe-scaling-policies", "ScalingPolicies", 2), ("describe-scheduled-actions", "ScheduledActions", 1)]
    {
        let (blue, green) = (of(kind, list, "service/prod/web"), of(kind, list, "service/prod/web-ipv6"));
        assert_eq!(green.len(), count, "{green:#?}");
        let expected = Value::from(blue).to_string().replace(&blue_group, &green_group);
        assert_eq!(Value::from(green).to_string(), expected);
    }
}

#[test]
fn rollback_after_start() {
    rollback_after(0);
}

#[test]
fn rollback_after_the_first_stage() {
    rollback_after(1);
}

#[test]
fn rollback_after_the_second_stage() {
    rollback_after(2);
}

#[test]
fn rollback_after_the_last_stage() {
    rollback_after(3);
}

#[test]
fn rollback_can_also_remove_green() {
    let estate = Estate::seed(&["--sticky"]);
    let original = estate.snapshot();
    estate.started();
    estate.migrate(&["advance"]).expect(0);
    estate.migrate(&["rollback", "--remove-green"]).expect(0);
    estate.snapshot().assert_same_as(&original);
    assert_eq!(estate.green_group(), None);
    assert_eq!(scalable_target(&estate, "service/prod/web-ipv6"), None);
    let status = estate.service("web-ipv6")["status"].clone();
    assert!(status == "INACTIVE" || status == "DRAINING" || status.is_null(), "{status}");
    assert_eq!(estate.service("web")["runningCount"], 2);
    assert_autoscaling_as_before(&estate);
}

#[test]
fn a_green_with_errors_is_rolled_back_by_the_gate() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    estate.start().expect(0);
    estate.green_metrics("0.2");
    let advanced = estate.migrate(&["advance"]).expect(5);
    assert_eq!((advanced.word("outcome"), advanced.word("state")), ("rolled_back", "rolled_back"));
    assert!(advanced.word("reason").contains('%'), "the reason has no numbers: {}", advanced.word("reason"));
    estate.snapshot().assert_same_as(&original);
    assert_eq!(estate.service("web")["runningCount"], 2);
}

#[test]
fn without_metrics_the_run_holds() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    estate.start().expect(0);
    let green = estate.green_group().expect("green's target group");
    estate.green_metrics("0.001");
    // Monitoring goes away as a whole: every call to CloudWatch fails on the server's side.
    let outage =
        json!([{"service": "monitoring", "how": "refuse", "code": "InternalFailure", "status": 500, "to": null}]);
    estate.faults(&outage);
    let held = estate.migrate(&["advance"]).expect(4);
    assert_eq!(held.word("outcome"), "held", "{}", held.report);
    let share = held.report["green_share"].as_f64().expect("a share");
    assert!(share == 0.0 || share == 10.0, "it moved on while blind: {}", held.report);
    let blind = if share == 0.0 { 0 } else { STAGES[0] };
    estate.snapshot().assert_shifted_from(&original, estate.id("blue_group"), &green, blind);
    // It comes back, and so does the way home.
    estate.faults(&json!([]));
    estate.migrate(&["rollback"]).expect(0);
    estate.snapshot().assert_same_as(&original);
}

#[test]
fn a_weight_that_somebody_else_changed_is_drift_and_is_left_alone() {
    let estate = Estate::seed(&[]);
    estate.started();
    estate.migrate(&["advance"]).expect(0);
    estate.foreign_weight(estate.id("weighted_rule"), estate.id("third_group"), 33);
    let foreign = estate.snapshot();
    let advanced = estate.migrate(&["advance"]).expect(8);
    assert_eq!(advanced.word("outcome"), "drift");
    assert!(advanced.said().contains("listener-rule"), "it does not say which rule: {}", advanced.said());
    estate.snapshot().assert_same_as(&foreign);
}
