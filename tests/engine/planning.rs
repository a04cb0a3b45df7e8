//! The plan as a value: its order, its names, its schedule, and when it is stale.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use migrate::cloud::sim::Scenario;
use migrate::inventory::Inventory;
use migrate::operation::Operation;
use migrate::plan::Plan;
use migrate::traffic::Share;

use super::lab::{Lab, SHORT, epoch, playbook};

fn inventory() -> Inventory {
    Lab::short(Scenario::Healthy).inventory()
}

fn plan_of(inventory: &Inventory) -> Plan {
    Plan::new(&playbook(SHORT), inventory, epoch())
}

/// An estate with a second target group, behind a rule of its own, with these names.
fn with_groups(names: [&str; 2]) -> Inventory {
    let mut inventory = inventory();
    let mut second = inventory.target_groups[0].clone();
    inventory.target_groups[0].name = names[0].to_owned();
    second.name = names[1].to_owned();
    second.arn.push('2');
    let mut route = inventory.routes.iter().find(|r| r.priority == Some(10)).unwrap().clone();
    route.at = migrate::inventory::RouteAt::Rule("rule-2".into());
    route.actions[0].target_group_arn = Some(second.arn.clone());
    route.actions[0].forward_config.as_mut().unwrap().target_groups[0].target_group_arn.clone_from(&second.arn);
    inventory.routes.push(route);
    inventory.target_groups.push(second);
    inventory
}

fn twins(plan: &Plan) -> Vec<String> {
    let name = |o: &Operation| match o {
        Operation::CreateTargetGroup(new) => Some(new.name.clone()),
        _ => None,
    };
    plan.prepare.iter().filter_map(|p| name(&p.operation)).collect()
}

#[test]
fn blue_is_not_retired_while_it_serves_what_does_not_move() {
    let mut inventory = inventory();
    let mut other = inventory.service.load_balancers[0].clone();
    other.target_group = Some("arn:other".to_owned());
    inventory.service.load_balancers.push(other);
    let ids: Vec<String> = plan_of(&inventory).finish.into_iter().map(|p| p.id).collect();
    assert_eq!(ids, ["replace-blue-in-routes", "drain-blue"]);
}

#[test]
fn operations_stand_in_the_order_in_which_aws_takes_them() {
    let plan = plan_of(&inventory());
    let ids: Vec<&str> = plan.prepare.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "create-target-group-1",
            "set-target-group-attributes-1",
            "probe-load-balancer-1",
            "register-task-definition",
            "hold-blue-scaling",
            "create-service",
            "await-green",
            "join-routes",
            "remove-probe-1",
            "copy-scaling",
            "hold-green-scaling"
        ]
    );
    let ids: Vec<&str> = plan.finish.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(
        ids,
        ["replace-blue-in-routes", "drain-blue", "release-green-scaling", "stop-blue-scaling", "scale-blue-to-zero"]
    );
    let all = plan.prepare.iter().chain(&plan.finish);
    assert!(all.clone().map(|p| &p.id).collect::<BTreeSet<_>>().len() == all.clone().count(), "names are unique");
    for planned in all {
        assert!(!planned.operation.title().is_empty());
        assert_eq!(plan.operation(&planned.id), Some(&planned.operation));
    }
    assert_eq!(plan.operation("shift"), None);
}

/// What others may notice is said, and what nobody notices is not.
#[test]
fn effects_are_named_where_somebody_notices() {
    let plan = plan_of(&inventory());
    let noticed: Vec<&str> =
        plan.prepare.iter().filter(|p| !p.operation.effect().is_empty()).map(|p| p.id.as_str()).collect();
    let expected =
        ["probe-load-balancer-1", "hold-blue-scaling", "create-service", "join-routes", "hold-green-scaling"];
    assert_eq!(noticed, expected);
    for operation in [Operation::Shift { share: Share::ALL }, Operation::ReplaceBlue] {
        assert!(!operation.effect().is_empty() && !operation.title().is_empty());
    }
    assert!(!Operation::GoHome.title().is_empty());
}

#[test]
fn a_second_group_gets_a_twin_of_its_own() {
    let plan = plan_of(&with_groups(["web", "admin"]));
    assert_eq!(twins(&plan), ["web-ipv6", "admin-ipv6"]);
    assert_eq!(plan.blue_groups().len(), 2);
    assert_eq!(plan.routes().count(), 5);
}

#[test]
fn long_names_are_cut_to_the_limit_and_stay_apart() {
    let long = "a-service-with-a-very-long-name-";
    let names = [format!("{long}1"), format!("{long}2")];
    let plan = plan_of(&with_groups([&names[0], &names[1]]));
    let twins = twins(&plan);
    assert_ne!(twins[0], twins[1]);
    for length in 1..=32 {
        let name: String = "ab-".chars().cycle().take(length).collect();
        let twin = super::planning::twins(&plan_of(&with_groups([name.trim_end_matches('-'), "other"])));
        assert!(twin[0].len() <= 32 && twin[0].ends_with("-ipv6") && !twin[0].contains("--"), "{twin:?}");
    }
}

#[test]
fn what_is_created_is_tagged_and_what_aws_reserves_is_left_out() {
    let mut inventory = inventory();
    inventory.service.tags.insert("aws:ecs:x".into(), "reserved".into());
    let plan = plan_of(&inventory);
    for planned in &plan.prepare {
        let tags = match &planned.operation {
            Operation::CreateTargetGroup(new) => &new.tags,
            Operation::AssociateGreen(new) => &new.tags,
            Operation::RegisterTaskDefinition(new) => &new.tags,
            Operation::CreateService(new) => &new.tags,
            _ => continue,
        };
        assert_eq!(tags.get("migrate:run").map(String::as_str), Some("web"), "{}", planned.id);
        assert!(!tags.keys().any(|k| k.starts_with("aws:")), "{}", planned.id);
    }
}

#[test]
fn the_schedule_is_the_sum_of_the_bakes() {
    let schedule = plan_of(&inventory()).schedule(epoch());
    let shown: Vec<String> = schedule
        .iter()
        .map(|s| format!("{} {} {} {}", s.stage, s.share, (s.ends - epoch()).num_minutes(), s.approve))
        .collect();
    assert_eq!(shown, ["1 10% 5 false", "2 50% 10 true", "3 100% 16 false"]);
    assert!(schedule.windows(2).all(|w| w[0].ends == w[1].begins));
    assert_eq!(schedule[0].begins, epoch());
}

#[test]
fn a_plan_is_stale_when_what_it_rests_on_has_changed() {
    let fresh = inventory();
    let plan = plan_of(&fresh);
    // Counts and events move all the time.
    let mut later = fresh.clone();
    later.service.running_count += 1;
    later.service.events.clear();
    let same = Plan::new(&playbook(SHORT), &later, epoch() + TimeDelta::hours(1));
    assert_eq!(plan.fingerprint(), same.fingerprint());
    assert!(plan.differences(&same).is_empty());
    type Change = fn(&mut Inventory);
    let changes: [(&str, Change); 8] = [
        ("the account or region", |i| i.account = "999999999999".into()),
        ("blue's task definition", |i| i.service.task_definition.push('0')),
        ("blue's desired count", |i| i.service.desired_count += 1),
        ("blue's settings", |i| {
            i.service.carried.insert("x".into(), "y".into());
        }),
        ("a target group", |i| {
            i.target_groups[0].attributes.insert("slow_start.duration_seconds".into(), "30".into());
        }),
        ("a load balancer", |i| i.load_balancers[0].ip_address_type = "ipv4".into()),
        ("a listener or rule", |i| i.routes[0].actions[0].order = Some(9)),
        ("blue's auto scaling", |i| i.scaling = None),
    ];
    for (what, change) in changes {
        let mut changed = fresh.clone();
        change(&mut changed);
        let now = plan_of(&changed);
        assert_ne!(plan.fingerprint(), now.fingerprint(), "{what}");
        assert_eq!(plan.differences(&now), [format!("{what} changed")]);
    }
    let other = Plan::new(&playbook(&SHORT.replace("10%", "20%")), &fresh, epoch());
    assert_eq!(plan.differences(&other), ["the playbook changed"]);
}

#[test]
fn a_saved_plan_is_read_back() {
    let plan = plan_of(&inventory());
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn values_of_environment_variables_are_not_kept() {
    let mut inventory = inventory();
    inventory.task_definition.containers[0].environment.insert("DB_PASSWORD".into(), "hunter2".into());
    let plan = plan_of(&inventory);
    let kept = serde_json::to_string(&plan).unwrap();
    assert!(kept.contains("DB_PASSWORD") && !kept.contains("hunter2"));
}
