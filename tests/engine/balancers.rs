//! The second load balancer: what keeps it from being made, and what is planned where nothing does.

use migrate::assess::assess;
use migrate::cloud::sim::Scenario;
use migrate::finding::{Finding, Severity};
use migrate::inventory::Inventory;
use migrate::inventory::balancer::Anatomy;
use migrate::operation::Operation;
use migrate::plan::Plan;
use migrate::playbook::Playbook;
use serde_json::json;

use super::lab::{Lab, SHORT, epoch, playbook};

fn way(settings: &str) -> String {
    SHORT.replace("{ listener_weights: {} }", &format!("{{ dns_weights: {{ {settings} }} }}"))
}

fn estate(settings: &str) -> (Playbook, Inventory) {
    let playbook = playbook(&way(settings));
    let inventory = Lab::new(playbook.clone(), Scenario::Healthy, 7).inventory();
    (playbook, inventory)
}

fn found(settings: &str, change: impl FnOnce(&mut Inventory)) -> Vec<Finding> {
    let (playbook, mut inventory) = estate(settings);
    change(&mut inventory);
    let findings = assess(&playbook, &inventory);
    for finding in &findings {
        assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
    }
    findings
}

type Change = fn(&mut Inventory);

/// What blue's load balancer is made of.
fn blue(inventory: &mut Inventory) -> &mut Anatomy {
    &mut inventory.anatomies[0]
}

/// What the named one is made of.
fn green(inventory: &mut Inventory) -> &mut Anatomy {
    &mut inventory.anatomies[1]
}

fn to_strangers(actions: &mut [migrate::inventory::Action]) {
    let forward = actions.iter_mut().find(|a| a.kind == "forward").unwrap();
    let groups = &mut forward.forward_config.as_mut().unwrap().target_groups;
    let mut other = groups[0].clone();
    other.target_group_arn = "arn:aws:elasticloadbalancing:r:1:targetgroup/other/0a".into();
    // A group without weight is tied to its load balancer no less.
    other.weight = Some(0);
    groups.push(other);
}

/// Of a copy.
const COPY: &[(&str, Severity, Change)] = &[
    ("several-load-balancers", Severity::Block, |i| i.load_balancers.push(i.load_balancers[0].clone())),
    ("load-balancer-kind", Severity::Block, |i| i.load_balancers[0].kind = "gateway".into()),
    ("oidc-secret", Severity::Block, |i| blue(i).listeners[1].rules[1].actions[0].kind = "authenticate-oidc".into()),
    ("authentication-without-ipv4", Severity::Block, |i| {
        i.load_balancers[0].ip_address_type = "dualstack-without-public-ipv4".into();
    }),
    ("quic-listener", Severity::Block, |i| blue(i).listeners[1].protocol = "TCP_QUIC".into()),
    ("foreign-target-group", Severity::Block, |i| to_strangers(&mut blue(i).listeners[1].default_actions)),
    ("foreign-target-group", Severity::Block, |i| to_strangers(&mut blue(i).listeners[1].rules[0].actions)),
    ("static-addresses", Severity::Warn, |i| blue(i).static_addresses.push("eipalloc-1 in subnet-1".into())),
    ("no-security-groups", Severity::Warn, |i| {
        i.load_balancers[0].kind = "network".into();
        i.load_balancers[0].security_groups.clear();
    }),
    ("udp-source-nat", Severity::Warn, |i| blue(i).listeners[1].protocol = "TCP_UDP".into()),
    ("logs-bucket", Severity::Info, |_| {}),
    ("second-load-balancer", Severity::Info, |_| {}),
    ("raised-quota", Severity::Info, |i| {
        let rule = blue(i).listeners[1].rules[0].clone();
        blue(i).listeners[1].rules.extend(std::iter::repeat_n(rule, 100));
    }),
];

/// Of a load balancer that the playbook names.
const NAMED: &[(&str, Severity, Change)] = &[
    ("green-load-balancer-is-blues", Severity::Block, |i| i.green_balancer = i.load_balancers.first().cloned()),
    ("green-load-balancer-state", Severity::Block, |i| {
        i.green_balancer.as_mut().unwrap().state = "provisioning".into();
    }),
    ("green-load-balancer-kind", Severity::Block, |i| i.green_balancer.as_mut().unwrap().kind = "network".into()),
    ("green-load-balancer-not-dualstack", Severity::Block, |i| {
        i.green_balancer.as_mut().unwrap().ip_address_type = "ipv4".into();
    }),
    ("green-load-balancer-vpc", Severity::Block, |i| green(i).vpc = Some("vpc-other".into())),
    ("green-listener-exists", Severity::Block, |i| {
        let listener = blue(i).listeners[1].clone();
        green(i).listeners.push(listener);
    }),
    ("udp-source-nat", Severity::Block, |i| blue(i).listeners[1].protocol = "UDP".into()),
    ("foreign-target-group", Severity::Block, |i| to_strangers(&mut blue(i).listeners[1].default_actions)),
    ("rule-left-out", Severity::Warn, |i| to_strangers(&mut blue(i).listeners[1].rules[0].actions)),
    ("green-load-balancer-scheme", Severity::Warn, |i| i.green_balancer.as_mut().unwrap().scheme = "internal".into()),
    ("web-acl", Severity::Warn, |i| green(i).web_acl = None),
];

#[test]
fn each_rule_finds_what_it_is_for() {
    let none: Change = |_| {};
    for (settings, table) in [("", COPY), ("green_load_balancer: edge", NAMED)] {
        let before = found(settings, none);
        for (rule, severity, change) in table {
            let findings = found(settings, change);
            let hit = findings.iter().find(|f| f.rule == *rule);
            assert_eq!(hit.map(|f| f.severity), Some(*severity), "{rule}: {findings:#?}");
            let silent = !before.iter().any(|f| f.rule == *rule);
            assert!(silent || *severity == Severity::Info, "{rule} is found in a sound estate");
        }
    }
}

#[test]
fn the_address_type_follows_blues() {
    let (playbook, mut inventory) = estate("");
    let new = |inventory: &Inventory| {
        let plan = Plan::new(&playbook, inventory, epoch());
        plan.prepare.iter().find_map(|p| match &p.operation {
            Operation::CreateLoadBalancer(new) => Some(new.clone()),
            _ => None,
        })
    };
    for (blue, green) in [
        ("ipv4", "dualstack"),
        ("dualstack", "dualstack"),
        ("dualstack-without-public-ipv4", "dualstack-without-public-ipv4"),
    ] {
        inventory.load_balancers[0].ip_address_type = blue.into();
        let planned = new(&inventory).unwrap();
        assert_eq!(planned.ip_address_type, green);
        assert_eq!((planned.name.as_str(), planned.tags["team"].as_str()), ("web-ipv6", "platform"));
        assert!(!planned.tags.contains_key("aws:cloudformation:stack-name") && !planned.ipv6_source_nat);
    }
    inventory.load_balancers[0].kind = "network".into();
    inventory.anatomies[0].listeners[1].protocol = "UDP".into();
    assert!(new(&inventory).unwrap().ipv6_source_nat);
}

#[test]
fn a_copy_is_planned_whole_and_protected_at_the_end() {
    let (playbook, inventory) = estate("");
    let plan = Plan::new(&playbook, &inventory, epoch());
    let ids: Vec<&str> = plan.prepare.iter().map(|p| p.id.as_str()).filter(|id| BALANCER.contains(id)).collect();
    assert_eq!(ids, BALANCER);
    let attributes = plan.operation("set-load-balancer-attributes").unwrap();
    let Operation::SetLoadBalancerAttributes { attributes } = attributes else { panic!("{attributes:?}") };
    assert!(
        !attributes.contains_key("deletion_protection.enabled") && !attributes.contains_key("access_logs.s3.prefix")
    );
    let last = plan.finish.iter().find(|p| p.id == "protect-load-balancer").map(|p| json!(p.operation));
    let protect =
        json!({ "set_load_balancer_attributes": { "attributes": { "deletion_protection.enabled": "true" } } });
    assert_eq!(last, Some(protect));
}

/// What blue never had to say about IPv6 does not open an internal copy to the internet.
#[test]
fn a_copy_of_an_ipv4_load_balancer_stays_closed_to_the_internet() {
    let (playbook, mut inventory) = estate("");
    inventory.anatomies[0].attributes.insert("ipv6.deny_all_igw_traffic".into(), "false".into());
    let given = |inventory: &Inventory| {
        let plan = Plan::new(&playbook, inventory, epoch());
        let Some(Operation::SetLoadBalancerAttributes { attributes }) = plan.operation("set-load-balancer-attributes")
        else {
            panic!("no attributes")
        };
        attributes.contains_key("ipv6.deny_all_igw_traffic")
    };
    assert!(given(&inventory));
    inventory.load_balancers[0].ip_address_type = "ipv4".into();
    assert!(!given(&inventory));
}

const BALANCER: [&str; 7] = [
    "create-load-balancer",
    "set-load-balancer-attributes",
    "create-listeners",
    "configure-listeners",
    "create-listener-rules",
    "await-load-balancer",
    "associate-web-acl",
];

#[test]
fn a_named_load_balancer_gets_listeners_and_nothing_else() {
    let (playbook, mut inventory) = estate("green_load_balancer: edge");
    to_strangers(&mut inventory.anatomies[0].listeners[1].rules[0].actions);
    let plan = Plan::new(&playbook, &inventory, epoch());
    let ids: Vec<&str> = plan.prepare.iter().map(|p| p.id.as_str()).filter(|id| BALANCER.contains(id)).collect();
    assert_eq!(ids, ["create-listeners", "configure-listeners", "create-listener-rules", "await-load-balancer"]);
    assert!(plan.finish.iter().all(|p| p.id != "protect-load-balancer"));
    let Some(Operation::CreateRules { rules }) = plan.operation("create-listener-rules") else { panic!("no rules") };
    assert_eq!(rules.iter().map(|r| r.priority).collect::<Vec<_>>(), [20, 30, 40], "the first goes to a stranger");
}
