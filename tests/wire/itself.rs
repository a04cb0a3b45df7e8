//! The harness, tried by itself: a test of `migrate` means nothing where the estate, the proxy or the witness is wrong.

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use serde_json::json;

use super::estate::Estate;

async fn configuration(estate: &Estate) -> aws_config::SdkConfig {
    let keys = aws_sdk_ecs::config::Credentials::new("test", "test", None, None, "test");
    aws_config::defaults(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(keys)
        .endpoint_url(format!("http://127.0.0.1:{}", estate.proxy_ports()[0]))
        .load()
        .await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// The Rust SDK refuses a whole reply for one field that it cannot parse; the CLI does not. So every reply that matters is read by it once.
#[test]
fn the_rust_sdk_can_read_the_estate() {
    let estate = Estate::seed(&["--sticky"]);
    runtime().block_on(async {
        let config = configuration(&estate).await;
        let ecs = aws_sdk_ecs::Client::new(&config);
        let services = ecs
            .describe_services()
            .cluster("prod")
            .services("web")
            .include("TAGS".into())
            .send()
            .await
            .expect("DescribeServices");
        let service = &services.services()[0];
        assert_eq!(service.running_count(), 2);
        assert_eq!(service.health_check_grace_period_seconds(), Some(75));
        assert_eq!(service.deployments()[0].rollout_state().map(|state| state.as_str()), Some("COMPLETED"));
        assert!(
            service
                .deployment_configuration()
                .and_then(|c| c.deployment_circuit_breaker())
                .is_some_and(|b| b.rollback())
        );
        let definition = ecs
            .describe_task_definition()
            .task_definition(service.task_definition().expect("its task definition"))
            .include("TAGS".into())
            .send()
            .await
            .expect("DescribeTaskDefinition");
        assert_eq!(definition.tags().len(), 1);
        let listed = ecs.list_tasks().cluster("prod").service_name("web").send().await.expect("ListTasks");
        let tasks =
            ecs.describe_tasks().cluster("prod").set_tasks(listed.task_arns).send().await.expect("DescribeTasks");
        assert_eq!(tasks.tasks().len(), 2);
        assert!(tasks.tasks()[0].containers()[0].network_interfaces()[0].ipv6_address().is_some());

        let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config);
        let rules = elb.describe_rules().listener_arn(estate.id("listener")).send().await.expect("DescribeRules");
        assert_eq!(rules.rules().len(), 5);
        elb.describe_listeners().load_balancer_arn(estate.id("load_balancer")).send().await.expect("DescribeListeners");
        elb.describe_target_groups().send().await.expect("DescribeTargetGroups");
        elb.describe_load_balancers()
            .load_balancer_arns(estate.id("load_balancer"))
            .send()
            .await
            .expect("DescribeLoadBalancers");
        elb.describe_tags().resource_arns(estate.id("blue_group")).send().await.expect("DescribeTags");
        let blue = estate.id("blue_group");
        let attributes = elb
            .describe_target_group_attributes()
            .target_group_arn(blue)
            .send()
            .await
            .expect("DescribeTargetGroupAttributes");
        let delay = attributes.attributes().iter().find(|a| a.key() == Some("deregistration_delay.timeout_seconds"));
        assert_eq!(delay.and_then(|a| a.value()), Some("45"));
        let health = elb.describe_target_health().target_group_arn(blue).send().await.expect("DescribeTargetHealth");
        assert_eq!(health.target_health_descriptions().len(), 2);

        let scaling = aws_sdk_applicationautoscaling::Client::new(&config);
        let namespace = aws_sdk_applicationautoscaling::types::ServiceNamespace::Ecs;
        let targets = scaling
            .describe_scalable_targets()
            .service_namespace(namespace.clone())
            .send()
            .await
            .expect("DescribeScalableTargets");
        assert_eq!(targets.scalable_targets().len(), 1);
        let policies = scaling
            .describe_scaling_policies()
            .service_namespace(namespace)
            .send()
            .await
            .expect("DescribeScalingPolicies");
        assert_eq!(policies.scaling_policies().len(), 2);
        let caller = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await.expect("GetCallerIdentity");
        assert_eq!(caller.account(), Some("123456789012"));
    });
}

#[test]
fn metrics_are_there_before_their_time_and_absent_where_nothing_was_written() {
    let estate = Estate::seed(&[]);
    runtime().block_on(async {
        let config = configuration(&estate).await;
        let endpoint = format!("http://127.0.0.1:{}", estate.proxy_ports()[1]);
        let watch = aws_sdk_cloudwatch::Client::from_conf(
            aws_sdk_cloudwatch::config::Builder::from(&config).endpoint_url(endpoint).build(),
        );
        let query = |id: &str, metric: &str, statistic: &str| {
            let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
            let metric = Metric::builder()
                .namespace("AWS/ApplicationELB")
                .metric_name(metric)
                .dimensions(dimension("LoadBalancer", estate.id("load_balancer_dimension")))
                .dimensions(dimension("TargetGroup", estate.id("blue_dimension")));
            let statistic = MetricStat::builder().metric(metric.build()).period(60).stat(statistic).build();
            MetricDataQuery::builder().id(id).metric_stat(statistic).build()
        };
        let hour =
            (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs() / 60 + 60)
                * 60;
        let hour = i64::try_from(hour).expect("a time");
        let time = aws_sdk_cloudwatch::primitives::DateTime::from_secs;
        let answer = watch
            .get_metric_data()
            .metric_data_queries(query("requests", "RequestCount", "Sum"))
            .metric_data_queries(query("slow", "TargetResponseTime", "p99"))
            .metric_data_queries(query("refused", "TargetConnectionErrorCount", "Sum"))
            .start_time(time(hour))
            .end_time(time(hour + 600))
            .send()
            .await
            .expect("GetMetricData");
        let values: Vec<&[f64]> = answer.metric_data_results().iter().map(|result| result.values()).collect();
        assert_eq!(values[0], [600.0; 10]);
        assert_eq!(values[1].len(), 10);
        assert!(values[1].iter().all(|seconds| (0.09..0.11).contains(seconds)), "{:?}", values[1]);
        assert_eq!(values[2], [0.0; 0]);
    });
}

#[test]
fn the_proxy_counts_round_trips_and_injects_what_it_is_told() {
    let estate = Estate::seed(&[]);
    let original = estate.snapshot();
    runtime().block_on(async {
        let config = configuration(&estate).await;
        let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config);
        // Four calls side by side, then one more: five calls, two round trips.
        estate.faults(&json!([{"action": "DescribeTags", "how": "delay", "seconds": 0.2, "to": null}]));
        estate.forget_calls();
        let tags = || elb.describe_tags().resource_arns(estate.id("blue_group")).send();
        let together: Vec<_> = (0..4).map(|_| tokio::spawn(tags())).collect();
        for call in together {
            call.await.expect("a task").expect("DescribeTags");
        }
        tags().await.expect("DescribeTags");
        assert_eq!(estate.depth(), (5, 2));
        assert_eq!(estate.calls()[0]["action"], "DescribeTags");

        // Applied, and then an error: the SDK is told no, and the rule is gone all the same.
        estate.faults(
            &json!([{"action": "DeleteRule", "how": "apply-then-refuse", "code": "AccessDenied", "status": 403}]),
        );
        let refused =
            elb.delete_rule().rule_arn(estate.id("foreign_rule")).send().await.expect_err("an injected error");
        let code = aws_sdk_elasticloadbalancingv2::error::ProvideErrorMetadata::code(&refused).map(String::from);
        assert_eq!(code.as_deref(), Some("AccessDenied"));
        assert_ne!(estate.snapshot(), original);

        // Applied, and then silence: the SDK asks again by itself.
        estate.forget_calls();
        estate.faults(&json!([{"action": "DescribeRules", "how": "apply-then-cut"}]));
        elb.describe_rules().listener_arn(estate.id("listener")).send().await.expect("the second attempt");
        assert_eq!(estate.calls().len(), 2);
    });
}

#[test]
fn the_load_balancer_refuses_what_aws_refuses() {
    let estate = Estate::seed(&["--ip-type", "ipv4"]);
    let group = [
        "elbv2",
        "create-target-group",
        "--name",
        "v6",
        "--protocol",
        "HTTP",
        "--port",
        "8080",
        "--target-type",
        "ip",
        "--ip-address-type",
        "ipv6",
        "--query",
        "TargetGroups[0].TargetGroupArn",
        "--vpc-id",
        estate.id("vpc"),
    ];
    let made = estate.aws(&group);
    assert_eq!(made, estate.aws(&group), "the same settings again answer the same target group");
    let other = estate.aws_refused(&[&group[..], &["--health-check-path", "/other"]].concat());
    assert!(other.contains("DuplicateTargetGroupName"), "{other}");

    let group = made.as_str().expect("an ARN");
    let forward = json!([{"Type": "forward", "ForwardConfig": {"TargetGroups": [
        {"TargetGroupArn": estate.id("blue_group"), "Weight": 1}, {"TargetGroupArn": group, "Weight": 0}]}}])
    .to_string();
    let family =
        estate.aws_refused(&["elbv2", "modify-rule", "--rule-arn", estate.id("plain_rule"), "--actions", &forward]);
    assert!(family.contains("You cannot associate an IPv6 target group"), "{family}");

    let network = format!("awsvpcConfiguration={{subnets=[{}]}}", estate.list("ipv6_subnets").join(","));
    let balancers = format!("targetGroupArn={group},containerName=app,containerPort=8080");
    let service = [
        "ecs",
        "create-service",
        "--cluster",
        "prod",
        "--service-name",
        "v6",
        "--task-definition",
        "web",
        "--desired-count",
        "2",
        "--launch-type",
        "FARGATE",
        "--network-configuration",
        &network,
        "--load-balancers",
        &balancers,
    ];
    let alone = estate.aws_refused(&service);
    assert!(alone.contains("does not have an associated load balancer"), "{alone}");
    let twice = estate.aws_refused(&[
        "ecs",
        "create-service",
        "--cluster",
        "prod",
        "--service-name",
        "web",
        "--task-definition",
        "web",
    ]);
    assert!(twice.contains("Creation of service was not idempotent."), "{twice}");

    // An OIDC action goes back without its secret only where it says that the stored one is meant.
    let oidc = estate.snapshot().rules[1]["Actions"].clone();
    assert_eq!(oidc[0]["Type"], "authenticate-oidc");
    assert!(!oidc.to_string().contains("ClientSecret"));
    let bare = estate.aws_refused(&[
        "elbv2",
        "modify-rule",
        "--rule-arn",
        estate.id("oidc_rule"),
        "--actions",
        &oidc.to_string(),
    ]);
    assert!(bare.contains("client secret"), "{bare}");
    estate.foreign_weight(estate.id("oidc_rule"), estate.id("blue_group"), 1);
    assert_eq!(estate.snapshot().rules[1]["Actions"], oidc);
    assert_eq!(estate.switch("secrets", &json!({}))[estate.id("oidc_rule")], "the-client-secret");
}

#[test]
fn short_pages_are_pages_for_everybody() {
    let estate = Estate::seed(&["--rules", "20"]);
    estate.switch("page-size", &json!({"max": 4}));
    let first = estate.aws(&["elbv2", "describe-rules", "--listener-arn", estate.id("listener"), "--no-paginate"]);
    assert_eq!(first["Rules"].as_array().map(Vec::len), Some(4));
    assert!(first["NextMarker"].is_string());
    // Twenty that forward to blue, the foreign one and the default; three target groups.
    assert_eq!(estate.snapshot().rules.as_array().map(Vec::len), Some(22));
    estate.switch("page-size", &json!({"max": 1}));
    let groups = estate.aws(&["elbv2", "describe-target-groups", "--query", "TargetGroups[*].TargetGroupName"]);
    assert_eq!(groups, json!(["other", "web-blue", "web-legacy"]));
}
