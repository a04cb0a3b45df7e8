//! The rules about services without a load balancer, one estate for each.

use migrate::assess::assess;
use migrate::cloud::sim::Scenario;
use migrate::finding::{Finding, Severity, blocks};
use migrate::inventory::{Inventory, RegistryRecord};
use migrate::playbook::{InPlace, Playbook, Shift};

use super::lab::{IN_PLACE, Lab, STAGED, playbook};

type Change = fn(&mut Playbook, &mut Inventory);

fn found(text: &str, change: Change) -> Vec<Finding> {
    let mut playbook = playbook(text);
    let mut inventory = Lab::new(playbook.clone(), Scenario::Healthy, 7).inventory();
    change(&mut playbook, &mut inventory);
    assess(&playbook, &inventory)
}

fn records(inventory: &mut Inventory, kinds: &[&str]) {
    let record = |kind: &&str| RegistryRecord { kind: (*kind).to_owned(), ttl: 15 };
    inventory.registries[0].records = kinds.iter().map(record).collect();
}

fn taken(inventory: &mut Inventory, run: &str) {
    let mut other = inventory.registries[0].clone();
    other.tags.insert("migrate:run".into(), run.into());
    inventory.green_registry = Some(other);
}

const AT_ONCE: &[(&str, Severity, Change)] = &[
    ("has-load-balancer", Severity::Block, |_, i| {
        let mut service = Lab::short(Scenario::Healthy).inventory().service;
        i.service.load_balancers.append(&mut service.load_balancers);
    }),
    ("deployment-strategy", Severity::Block, |_, i| i.service.strategy = Some("BLUE_GREEN".into())),
    ("deployment-controller", Severity::Block, |_, i| i.service.controller = Some("CODE_DEPLOY".into())),
    ("no-circuit-breaker", Severity::Block, |_, i| i.service.rolling.circuit_breaker = false),
    ("circuit-breaker-without-rollback", Severity::Warn, |_, i| i.service.rolling.rolls_back = false),
    ("rollout-loses-tasks", Severity::Block, |_, i| i.service.rolling.minimum_healthy_percent = Some(50)),
    ("rollout-loses-tasks", Severity::Block, |_, i| i.service.rolling.maximum_percent = Some(100)),
    ("only-ecs-judges", Severity::Warn, |p, _| p.health.alarms.clear()),
    ("service-connect", Severity::Warn, |_, i| i.service.publishes_service_connect = true),
    ("registry-not-found", Severity::Block, |_, i| i.registries.clear()),
    ("consumers-must-follow", Severity::Warn, |_, i| records(i, &["A", "AAAA"])),
    ("registry-kept", Severity::Info, |_, i| records(i, &["SRV"])),
    ("registry-kept", Severity::Info, |_, i| records(i, &[])),
    ("registry-name-taken", Severity::Block, |_, i| taken(i, "other")),
    ("registry-left-over", Severity::Block, |_, i| taken(i, "web")),
    ("service-connect-clients", Severity::Info, |_, i| i.consumers.connected.push("shop".into())),
    ("ecs-exec", Severity::Warn, |_, i| i.service.execute_command = true),
];

const IN_STAGES: &[(&str, Severity, Change)] = &[
    ("staged-a-records", Severity::Block, |_, i| records(i, &["A"])),
    ("staged-without-registry", Severity::Block, |_, i| {
        i.registries.clear();
        i.service.registries.clear();
    }),
    ("shares-are-whole-tasks", Severity::Warn, |p, _| p.stages[0].green = "1%".parse().unwrap()),
    ("service-connect", Severity::Block, |_, i| i.service.publishes_service_connect = true),
    ("rollout-loses-tasks", Severity::Block, |_, i| i.service.rolling.minimum_healthy_percent = Some(50)),
];

#[test]
fn each_rule_finds_what_it_is_for() {
    for (text, table) in [(IN_PLACE, AT_ONCE), (STAGED, IN_STAGES)] {
        for (rule, severity, change) in table {
            let findings = found(text, *change);
            let hit = findings.iter().find(|f| f.rule == *rule);
            assert_eq!(hit.map(|f| f.severity), Some(*severity), "{rule}: {findings:#?}");
            assert_eq!(blocks(&findings), *severity == Severity::Block, "{rule}: {findings:#?}");
            assert!(findings.iter().all(|f| !f.remedy.is_empty()), "{findings:#?}");
        }
    }
}

#[test]
fn a_sound_estate_has_no_blocker_and_the_command_can_be_pasted() {
    assert!(!blocks(&found(IN_PLACE, |_, _| {})));
    assert!(!blocks(&found(STAGED, |_, _| {})));
    let findings = found(IN_PLACE, |_, i| i.service.rolling.circuit_breaker = false);
    let remedy = &findings.iter().find(|f| f.rule == "no-circuit-breaker").unwrap().remedy;
    assert!(remedy.starts_with("aws ecs update-service --region eu-central-1 --cluster arn:aws:ecs:"), "{remedy}");
    assert!(remedy.contains("deploymentCircuitBreaker={enable=true,rollback=true}"), "{remedy}");
}

/// What a parallel service cannot share can stay where there is none.
#[test]
fn the_refusal_of_service_connect_names_the_way_that_works() {
    let findings = found(IN_PLACE, |p, i| {
        p.shift = Shift::ListenerWeights(Default::default());
        i.service.publishes_service_connect = true;
    });
    let finding = findings.iter().find(|f| f.rule == "service-connect").unwrap();
    assert!(finding.severity == Severity::Block && finding.remedy.contains("in_place"), "{finding:?}");
    let named = InPlace { staged: false, registry: Some("orders-v6".into()) };
    let mut playbook = playbook(IN_PLACE);
    playbook.shift = Shift::InPlace(named);
    let inventory = Lab::new(playbook.clone(), Scenario::Healthy, 7).inventory();
    assert_eq!(playbook.new_registry_name(&inventory.registries).as_deref(), Some("orders-v6"));
}
