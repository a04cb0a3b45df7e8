//! The rules of assessment, one estate for each, and what discovery says of what is not there.

use migrate::assess::assess;
use migrate::cloud::sim::{Scenario, Tamper};
use migrate::discover::{Discovery, discover};
use migrate::finding::{Finding, Severity, blocks};
use migrate::inventory::{Alarm, Container, Deployment, Inventory, ScalableTarget, ServiceRegistry};
use migrate::playbook::Playbook;

use super::assessment_judge::quiet_day;
use super::lab::{Lab, SHORT, playbook};

fn estate() -> (Playbook, Inventory) {
    let mut playbook = playbook(&format!("{SHORT}health: {{ alarms: [web-5xx] }}\n"));
    let inventory = Lab::new(playbook.clone(), Scenario::Healthy, 7).inventory();
    let inventory = Inventory { history: Some(quiet_day()), ..inventory };
    playbook.green.task.images.insert("app".into(), "123456789012.dkr-ecr.eu-central-1.on.aws/web:2".into());
    (playbook, inventory)
}

fn registration(arn: &str) -> ServiceRegistry {
    ServiceRegistry { arn: arn.into(), port: None, container: None, container_port: None }
}

/// What is found in a sound estate after one change.
fn found(change: impl FnOnce(&mut Playbook, &mut Inventory)) -> Vec<Finding> {
    let (mut playbook, mut inventory) = estate();
    change(&mut playbook, &mut inventory);
    let findings = assess(&playbook, &inventory);
    assert!(findings.is_sorted_by_key(|f| std::cmp::Reverse(f.severity)));
    for finding in &findings {
        assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
    }
    findings
}

fn app(inventory: &mut Inventory) -> &mut Container {
    &mut inventory.task_definition.containers[0]
}

type Change = fn(&mut Playbook, &mut Inventory);

#[test]
fn a_sound_estate_may_begin() {
    let findings = found(|_, _| {});
    let rules: Vec<&str> = findings.iter().map(|f| f.rule.as_str()).collect();
    assert_eq!(rules, ["subnets-not-checked", "auto-scaling"]);
    assert!(!blocks(&findings));
    assert_eq!(found(|_, i| i.scaling = None::<ScalableTarget>).len(), 1);
}

const BLOCKING: &[(&str, Change)] = &[
    ("service-not-active", |_, i| i.service.status = "DRAINING".into()),
    ("service-not-stable", |_, i| i.service.running_count = 3),
    ("service-not-stable", |_, i| (i.service.running_count, i.service.desired_count) = (0, 0)),
    ("service-not-stable", |_, i| i.service.deployments[0].rollout = Some("IN_PROGRESS".into())),
    ("service-not-stable", |_, i| {
        let second = Deployment { status: "ACTIVE".into(), ..i.service.deployments[0].clone() };
        i.service.deployments.push(second);
    }),
    ("service-managed-by-ecs", |_, i| i.service.managed_by = Some("ECS".into())),
    ("deployment-controller", |_, i| i.service.controller = Some("CODE_DEPLOY".into())),
    ("daemon-service", |_, i| i.service.scheduling = Some("DAEMON".into())),
    ("classic-load-balancer", |_, i| i.service.load_balancers[0].target_group = None),
    ("windows", |_, i| i.service.platform_family = Some("Windows_Server_2022_Core".into())),
    ("windows", |_, i| i.task_definition.os_family = Some("WINDOWS_SERVER_2022_CORE".into())),
    ("platform-version", |_, i| i.service.platform_version = Some("1.3.0".into())),
    ("service-connect", |_, i| i.service.publishes_service_connect = true),
    ("subnet-of-blue", |p, i| i.service.subnets.push(p.green.network.subnets[0].clone())),
    ("green-name-taken", |_, i| i.green_service = Some(i.service.clone())),
    ("green-left-over", |p, i| {
        let mut green = i.service.clone();
        green.tags.insert("migrate:run".into(), p.name.clone());
        i.green_service = Some(green);
    }),
    ("alarm-not-found", |_, i| i.alarms.clear()),
    ("alarm-already-red", |_, i| i.alarms[0] = Alarm { state: "ALARM".into(), ..i.alarms[0].clone() }),
    ("network-mode", |_, i| i.task_definition.network_mode = Some("host".into())),
    ("network-mode", |_, i| i.task_definition.network_mode = None),
    ("dns-server-ipv4", |_, i| app(i).dns_servers = vec!["10.0.0.2".into()]),
    ("container-not-found", |p, _| {
        p.green.task.images.insert("sidecar".into(), "x".into());
    }),
    ("already-ipv6", |_, i| i.target_groups[0].ip_address_type = "ipv6".into()),
    ("target-type", |_, i| i.target_groups[0].target_type = "instance".into()),
    ("target-group-unused", |_, i| i.target_groups[0].load_balancers.clear()),
    ("load-balancer-kind", |_, i| i.load_balancers[0].kind = "network".into()),
    ("load-balancer-not-dualstack", |_, i| i.load_balancers[0].ip_address_type = "ipv4".into()),
    ("load-balancer-not-active", |_, i| i.load_balancers[0].state = "provisioning".into()),
    ("authentication-without-ipv4", |_, i| {
        i.load_balancers[0].ip_address_type = "dualstack-without-public-ipv4".into();
    }),
    ("no-route-to-blue", |_, i| i.routes.clear()),
    ("too-many-groups", |_, i| {
        let route = i.routes.iter_mut().find(|r| r.conditions.iter().any(|c| c.contains("/old"))).unwrap();
        let groups = &mut route.actions[0].forward_config.as_mut().unwrap().target_groups;
        while groups.len() < 5 {
            let mut other = groups[1].clone();
            other.target_group_arn = format!("other-{}", groups.len());
            groups.push(other);
        }
    }),
];

const WARNING: &[(&str, Change)] = &[
    ("native-blue-green", |_, i| i.service.strategy = Some("BLUE_GREEN".into())),
    ("native-blue-green", |_, i| i.service.load_balancers[0].advanced = true),
    ("service-discovery", |_, i| i.service.registries.push(registration("arn"))),
    ("target-groups-left-behind", |_, i| {
        let mut second = i.service.load_balancers[0].clone();
        second.target_group = Some("arn:other".into());
        i.service.load_balancers.push(second);
    }),
    ("ecs-exec", |_, i| i.service.execute_command = true),
    ("owned-by-cloudformation", |_, i| {
        i.service.tags.insert("aws:cloudformation:stack-name".into(), "prod".into());
    }),
    ("network-volumes", |_, i| i.task_definition.network_volumes.push("efs".into())),
    ("image-registry", |p, i| {
        p.green.task.images.clear();
        app(i).image = "quay.io/acme/web:1".into();
    }),
    ("ipv4-literal", |_, i| {
        app(i).environment.insert("DB".into(), "postgres://10.1.2.3:5432".into());
    }),
    ("ipv4-literal", |_, i| app(i).extra_hosts.push("db:10.1.2.3".into())),
    ("binds-ipv4-only", |_, i| app(i).command.push("--listen=0.0.0.0:8080".into())),
    ("binds-ipv4-only", |_, i| {
        app(i).environment.insert("JAVA_OPTS".into(), "-Djava.net.preferIPv4Stack=true".into());
    }),
    ("health-check-ipv4", |_, i| app(i).health_check.push("curl http://127.0.0.1/".into())),
    ("log-endpoint", |_, i| {
        app(i).log_options.insert("awslogs-endpoint".into(), "https://logs.eu-central-1.amazonaws.com".into());
    }),
    ("log-driver", |_, i| app(i).log_driver = Some("splunk".into())),
    ("sticky-targets", |_, i| {
        i.target_groups[0].attributes.insert("stickiness.enabled".into(), "true".into());
    }),
    ("sticky-by-application-cookie", |_, i| {
        i.target_groups[0].attributes.insert("stickiness.enabled".into(), "true".into());
        i.target_groups[0].attributes.insert("stickiness.type".into(), "app_cookie".into());
    }),
    ("group-without-traffic", |_, i| {
        let mut second = i.target_groups[0].clone();
        second.arn.push('2');
        i.target_groups.push(second);
    }),
];

#[test]
fn each_rule_finds_what_it_is_for() {
    for (severity, table) in [(Severity::Block, BLOCKING), (Severity::Warn, WARNING)] {
        for (rule, change) in table {
            let findings = found(change);
            let hit = findings.iter().find(|f| f.rule == *rule);
            assert_eq!(hit.map(|f| f.severity), Some(severity), "{rule}: {findings:#?}");
            assert_eq!(blocks(&findings), severity == Severity::Block, "{rule}: {findings:#?}");
        }
    }
}

#[test]
fn what_is_missing_is_found_and_not_guessed() {
    let missing = |text: &str, prepare: &dyn Fn(&Lab)| -> Vec<String> {
        let lab = Lab::short(Scenario::Healthy);
        prepare(&lab);
        match discover(&lab.sim, &lab.sim, &playbook(text)).unwrap() {
            Discovery::Missing(findings) => {
                assert!(blocks(&findings));
                findings.into_iter().map(|f| f.rule).collect()
            }
            Discovery::Found(_) => Vec::new(),
        }
    };
    let nothing = |_: &Lab| {};
    assert!(missing(SHORT, &nothing).is_empty());
    let with = |service: &str| SHORT.replace("{ cluster: prod, name: web }", service);
    assert_eq!(missing(&with("{ cluster: prod, name: shop }"), &nothing), ["service-not-found"]);
    assert_eq!(missing(&with("{ cluster: test, name: web }"), &nothing), ["service-not-found"]);
    let container = with("{ cluster: prod, name: web, container: sidecar }");
    assert_eq!(missing(&container, &nothing), ["container-without-target-group"]);
    let group = with("{ cluster: prod, name: web, target_groups: [shop] }");
    assert_eq!(missing(&group, &nothing), ["target-group-not-of-service"]);
    let alone = |lab: &Lab| {
        lab.sim.with(|u| u.services.get_mut("prod/web").unwrap().service.actual.load_balancers.clear()).unwrap();
    };
    assert_eq!(missing(SHORT, &alone), ["no-load-balancer"]);
}

#[test]
fn discovery_reads_the_whole_estate_and_changes_nothing() {
    let lab = Lab::short(Scenario::Healthy);
    let inventory = lab.inventory();
    assert_eq!(inventory.routes.len(), 5);
    assert_eq!(inventory.target_groups.len(), 1);
    assert!(inventory.scaling.is_some());
    assert_eq!(lab.sim.universe().estate_fingerprint(), lab.origin);
    let tampered = Tamper::SetAlarm { name: "none".into(), state: "ALARM".into() };
    assert!(!lab.sim.with(|u| u.tamper(&tampered)).unwrap());
}

mod swap {
    use migrate::assess::assess;
    use migrate::cloud::sim::Scenario;
    use migrate::finding::{Finding, Severity, blocks};
    use migrate::inventory::Inventory;

    use super::super::assessment_judge::quiet_day;
    use super::super::lab::{Lab, SWAP, playbook};

    fn found(text: &str, change: impl FnOnce(&mut Inventory)) -> Vec<Finding> {
        let inventory = Lab::new(playbook(SWAP), Scenario::Healthy, 7).inventory();
        let mut inventory = Inventory { history: Some(quiet_day()), ..inventory };
        change(&mut inventory);
        assess(&playbook(text), &inventory)
    }

    fn attribute(inventory: &mut Inventory, name: &str, value: &str) {
        inventory.target_groups[0].attributes.insert(name.into(), value.into());
    }

    type Change = fn(&mut Inventory);

    const RULES: &[(&str, Severity, Change)] = &[
        ("load-balancer-not-dualstack", Severity::Block, |i| i.load_balancers[0].ip_address_type = "ipv4".into()),
        ("load-balancer-kind", Severity::Block, |i| i.load_balancers[0].kind = "gateway".into()),
        ("datagram-listener", Severity::Block, |i| i.target_groups[0].protocol = Some("UDP".into())),
        ("datagram-listener", Severity::Block, |i| i.target_groups[0].protocol = Some("TCP_UDP".into())),
        ("datagram-listener", Severity::Block, |i| i.target_groups[0].protocol = Some("QUIC".into())),
        ("target-type", Severity::Block, |i| i.target_groups[0].target_type = "instance".into()),
        ("no-route-to-blue", Severity::Block, |i| i.routes.clear()),
        ("mixed-action", Severity::Block, |i| {
            let config = i.routes[0].actions[0].forward_config.as_mut().unwrap();
            let mut other = config.target_groups[0].clone();
            other.target_group_arn.push('2');
            config.target_groups.push(other);
        }),
        ("client-addresses", Severity::Warn, |i| attribute(i, "preserve_client_ip.enabled", "true")),
        ("proxy-protocol", Severity::Info, |i| attribute(i, "proxy_protocol_v2.enabled", "true")),
        ("zones-of-their-own", Severity::Warn, |i| attribute(i, "load_balancing.cross_zone.enabled", "false")),
        ("sticky-targets", Severity::Warn, |i| attribute(i, "stickiness.enabled", "true")),
        ("load-balancer-without-security-groups", Severity::Warn, |i| i.load_balancers[0].security_groups.clear()),
    ];

    #[test]
    fn what_stands_in_the_way_of_a_swap_is_found() {
        for (rule, severity, change) in RULES {
            let findings = found(SWAP, change);
            let hit = findings.iter().find(|f| f.rule == *rule).unwrap_or_else(|| panic!("{rule}: {findings:?}"));
            assert_eq!(hit.severity, *severity, "{rule}");
            assert!(!hit.remedy.is_empty() || hit.severity == Severity::Info, "{rule}");
        }
    }

    #[test]
    fn a_sound_network_load_balancer_is_not_in_the_way() {
        let findings = found(SWAP, |i| {
            attribute(i, "load_balancing.cross_zone.enabled", "true");
            i.target_groups[0].protocol = Some("TLS".into());
        });
        let rules: Vec<&str> = findings.iter().map(|f| f.rule.as_str()).collect();
        assert_eq!(rules, ["subnets-not-checked", "auto-scaling", "flows-stay", "latency-not-judged"]);
        assert!(!blocks(&findings));
    }

    #[test]
    fn weights_on_a_network_load_balancer_name_what_does_it() {
        let findings = found(&SWAP.replace("listener_swap", "listener_weights"), |_| {});
        let kind = findings.iter().find(|f| f.rule == "load-balancer-kind").unwrap();
        let remedy = &kind.remedy;
        assert!(remedy.contains("listener_swap") && remedy.contains("dns_weights"), "{remedy}");
        let ipv4 = found(SWAP, |i| i.load_balancers[0].ip_address_type = "ipv4".into());
        let ipv4 = ipv4.iter().find(|f| f.rule == "load-balancer-not-dualstack").unwrap();
        assert!(ipv4.remedy.contains("aws elbv2 set-ip-address-type"), "{ipv4:?}");
    }
}
