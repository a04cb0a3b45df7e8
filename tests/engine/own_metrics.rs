//! Metrics of the user's own that each side has: under which names they are asked, and what they do to a run.

use std::collections::BTreeMap;

use migrate::cloud::sim::{Scenario, Tamper};
use migrate::gate::{LevelSource, Whose};
use migrate::journal::HoldReason;
use migrate::journal::progress::Phase;
use migrate::operation::green_key;
use migrate::plan::Plan;

use super::lab::{BY_RECORDS, IN_PLACE, Lab, SHORT, STAGED, SWAP, epoch, playbook, web};

/// What is asked about a metric with this value of a dimension, by side: before green is made, and after.
fn asked_with(text: &str, dimensions: &str) -> BTreeMap<String, Vec<String>> {
    let text = text.split_once("health:").map_or(text, |(text, _)| text);
    let metric =
        format!("{{ name: m, namespace: Shop, metric: M, ceiling: 5, dimensions: {{ D: \"{dimensions}\" }} }}");
    let text = format!("{text}health: {{ alarms: [web-errors], metrics: [{metric}] }}\n");
    let playbook = playbook(&text);
    let inventory = Lab::new(playbook.clone(), Scenario::Healthy, 7).inventory();
    let plan = Plan::new(&playbook, &inventory, epoch());
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let group = plan.blue_groups().into_iter().next();
    let twin = "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/web-ipv6/22".to_owned();
    let made = group.iter().map(|blue| (green_key(blue), twin.clone())).collect();
    let balancer = |name: &str| format!("arn:aws:elasticloadbalancing:eu-central-1:1:loadbalancer/app/{name}/33");
    let balancers = group.iter().map(|g| (g.clone(), balancer("blue"))).chain([(twin, balancer("green"))]).collect();
    for queries in [plan.own_queries(&BTreeMap::new(), &balancers), plan.own_queries(&made, &balancers)] {
        for query in queries {
            let LevelSource::Metric { dimensions, .. } = query.source else { panic!("{query:?}") };
            let side = match query.whose {
                Whose::Everybody => "everybody",
                Whose::Green => "green",
                Whose::Blue => "blue",
            };
            asked.entry(side.to_owned()).or_default().push(dimensions["D"].clone());
        }
    }
    asked
}

#[test]
fn each_way_has_names_of_its_own() {
    for (text, dimension, green, blue) in [
        (SHORT, "{service}", vec!["web-ipv6"; 2], vec!["web"; 2]),
        (SHORT, "{family}", vec!["web-ipv6"; 2], vec!["web"; 2]),
        (SHORT, "{load_balancer}", vec!["app/green/33"], vec!["app/blue/33"; 2]),
        (SHORT, "{target_group}+{service}", vec!["targetgroup/web-ipv6/22+web-ipv6"], vec!["BLUE+web"; 2]),
        (BY_RECORDS, "{target_group}", vec!["targetgroup/web-ipv6/22"], vec!["BLUE"; 2]),
        (SWAP, "{service}", vec!["web-ipv6"; 2], vec!["web"; 2]),
        (STAGED, "{service}", vec!["web-ipv6"; 2], vec!["web"; 2]),
        // The service itself is updated, with another family.
        (IN_PLACE, "{service}", vec!["web"; 2], vec!["web"; 2]),
        (IN_PLACE, "{family}", vec!["web-ipv6"; 2], vec!["web"; 2]),
    ] {
        let mut asked = asked_with(text, dimension);
        for value in asked.values_mut().flatten() {
            if value.starts_with("targetgroup/web/") {
                *value = format!("BLUE{}", value.find('+').map_or("", |at| &value[at..]));
            }
        }
        assert_eq!(asked.get("everybody"), None, "{dimension}");
        assert_eq!((&asked["green"], &asked["blue"]), (&owned(&green), &owned(&blue)), "{text} {dimension}");
    }
    assert_eq!(asked_with(SHORT, "web")["everybody"], ["web", "web"]);
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const HALF: &str = web!(
    "{ listener_weights: {} }",
    "\
stages:
  - { green: 20%, bake: 40m }
  - { green: 100%, bake: 6m }
health:
  metrics:
    - { name: calls, id: calls, namespace: Shop, metric: Calls, statistic: Sum, dimensions: { S: '{service}' } }
    - { name: faults, of: calls, namespace: Shop, metric: Faults, statistic: Sum, dimensions: { S: '{service}' }, missing: zero }
    - { name: time, ratio: 1.5, weight: 10, namespace: Shop, metric: Time, dimensions: { F: '{family}' } }
"
);

fn started(text: &str, scenario: Scenario) -> Lab {
    let mut lab = Lab::new(playbook(text), scenario, 7);
    let end = lab.start();
    assert!(end.reached(), "{end:?}\n{}", lab.story());
    lab
}

fn set(lab: &Lab, value: Option<f64>) {
    let change = Tamper::SetLevel { name: "time".to_owned(), value };
    assert!(lab.sim.with(|u| u.tamper(&change)).unwrap());
}

#[test]
fn a_level_beside_blues_decides() {
    let mut lab = started(HALF, Scenario::Healthy);
    lab.advance(true, false);
    assert_eq!(lab.phase(), Some(Phase::Shifted), "{}", lab.story());

    let mut lab = started(HALF, Scenario::Healthy);
    set(&lab, Some(9.0));
    lab.advance(true, false);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    let (_, reason) = lab.progress().unwinding.unwrap();
    assert!(reason.starts_with("time"), "{reason}");
}

/// What is compared and falls silent is no health, and no fault.
#[test]
fn silence_holds() {
    let mut lab = started(HALF, Scenario::Healthy);
    set(&lab, None);
    lab.advance(true, false);
    assert_eq!(lab.phase(), Some(Phase::Open), "{}", lab.story());
    let (why, reason) = lab.held().unwrap();
    assert_eq!(why, HoldReason::NotEnoughEvidence, "{reason}");
    assert!(reason.contains("time is not reported in the last 3 min"), "{reason}");
}

/// Where no load balancer counts, the application's own counts do.
#[test]
fn counts_of_the_application_decide_without_a_load_balancer() {
    let metrics =
        HALF.split_once("    - { name: calls").map(|(_, rest)| format!("    - {{ name: calls{rest}")).unwrap();
    let text = STAGED.split_once("health:").map_or(STAGED, |(text, _)| text);
    let text = format!("{text}health:\n  metrics:\n{metrics}");
    let mut lab = started(&text, Scenario::Healthy);
    lab.advance(true, false);
    assert!(lab.phase() != Some(Phase::RolledBack), "{}", lab.story());
    let mut lab = started(&text, Scenario::GreenErrors);
    lab.advance(true, false);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    let (_, reason) = lab.progress().unwinding.unwrap();
    assert!(reason.starts_with("faults"), "{reason}");
}
