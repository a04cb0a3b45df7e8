//! A playbook, its universe, and the steps of a run by hand: what the tests of this folder share.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, DurationRound, TimeZone, Utc};
use serde_json::json;

use super::{Scenario, Sim, Universe};
use crate::clock::Clock;
use crate::cloud::{
    Cloud, CloudError, Counts, MetricWindow, Minute, NewRule, NewService, NewTargetGroup, NewTaskDefinition,
    RouteWrite, Watch,
};
use crate::inventory::{Action, ForwardConfig, Route, Suspension, WeightedGroup};
use crate::playbook::{InPlace, Playbook, Shift};

pub const PROBE_HOST: &str = "migrate-web.invalid";

pub fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 9, 0, 17).unwrap()
}

pub fn playbook() -> Playbook {
    serde_json::from_value(json!({
        "version": 1,
        "name": "web",
        "service": { "cluster": "prod", "name": "web" },
        "green": { "network": { "subnets": ["subnet-0a1", "subnet-0b2"] } },
        "shift": { "listener_weights": {} },
        "stages": [{ "green": "100%", "bake": "15m" }],
        "health": { "alarms": ["web-5xx"] },
    }))
    .unwrap()
}

pub fn universe(scenario: Scenario) -> Universe {
    Universe::for_playbook(&playbook(), scenario, 7, start())
}

pub fn sim(scenario: Scenario) -> Sim {
    Sim::in_memory(universe(scenario))
}

/// The estate of a service without a load balancer.
pub fn in_place(scenario: Scenario, staged: bool) -> Sim {
    let mut playbook = playbook();
    playbook.shift = Shift::InPlace(InPlace { staged, registry: None });
    Sim::in_memory(Universe::for_playbook(&playbook, scenario, 7, start()))
}

pub fn ours() -> BTreeMap<String, String> {
    BTreeMap::from([("migrate:run".to_owned(), "web".to_owned())])
}

pub fn blue_group(sim: &Sim) -> String {
    sim.universe().blue.target_groups[0].clone()
}

pub fn balancer(sim: &Sim) -> String {
    sim.universe().load_balancers.keys().next().unwrap().clone()
}

pub fn routes(sim: &Sim) -> Vec<Route> {
    sim.routes(&[balancer(sim)]).unwrap()
}

/// The listener's default action.
pub fn default_route(sim: &Sim) -> Route {
    routes(sim).pop().unwrap()
}

pub fn forward(groups: &[(&str, u32)]) -> Action {
    let tuple =
        |(arn, weight): &(&str, u32)| WeightedGroup { target_group_arn: (*arn).to_owned(), weight: Some(*weight) };
    let config = ForwardConfig { target_groups: groups.iter().map(tuple).collect(), ..ForwardConfig::default() };
    Action { kind: "forward".to_owned(), order: Some(1), forward_config: Some(config), ..Action::default() }
}

pub fn create_group(sim: &Sim) -> Result<String, CloudError> {
    let from = blue_group(sim);
    sim.create_target_group(&NewTargetGroup { name: "web-ipv6".to_owned(), from, tags: ours() })
}

pub fn probe(sim: &Sim, green: &str) -> Result<String, CloudError> {
    let actions = vec![forward(&[(&blue_group(sim), 1), (green, 0)])];
    let listener = sim.universe().routes.values().next().unwrap().route.actual.listener.clone();
    sim.create_probe_rule(&NewRule { listener, host: PROBE_HOST.to_owned(), actions, tags: ours() })
}

pub fn register(sim: &Sim) -> Result<String, CloudError> {
    sim.register_task_definition(&NewTaskDefinition {
        from: "arn:aws:ecs:eu-central-1:123456789012:task-definition/web:7".to_owned(),
        family: "web-ipv6".to_owned(),
        images: BTreeMap::new(),
        environment: BTreeMap::from([("AWS_USE_DUALSTACK_ENDPOINT".to_owned(), "true".to_owned())]),
        tags: ours(),
    })
}

pub fn new_service(sim: &Sim, green: &str, task_definition: &str) -> NewService {
    NewService {
        cluster: "prod".to_owned(),
        from: "web".to_owned(),
        name: "web-ipv6".to_owned(),
        task_definition: task_definition.to_owned(),
        desired_count: 4,
        subnets: vec!["subnet-0a1".to_owned(), "subnet-0b2".to_owned()],
        security_groups: Vec::new(),
        target_groups: BTreeMap::from([(blue_group(sim), green.to_owned())]),
        registries: Vec::new(),
        tags: ours(),
        client_token: "web-1".to_owned(),
    }
}

/// Stands green up, without waiting for it, and returns its target group and the probe rule.
pub fn try_stand_up(sim: &Sim) -> Result<(String, String), CloudError> {
    let green = create_group(sim)?;
    let rule = probe(sim, &green)?;
    let definition = register(sim)?;
    sim.create_service(&new_service(sim, &green, &definition))?;
    let held = Suspension { dynamic_in: true, ..Suspension::default() };
    sim.suspend_scaling("service/prod/web", held)?;
    Ok((green, rule))
}

pub fn stand_up(sim: &Sim) -> (String, String) {
    try_stand_up(sim).unwrap()
}

pub fn pass(sim: &Sim, seconds: i64) {
    sim.wait(sim.now() + Duration::seconds(seconds));
}

/// Writes that give green so many of a hundred of what blue has in every route of others.
pub fn shift(sim: &Sim, green: &str, percent: u32) -> Vec<RouteWrite> {
    let blue = blue_group(sim);
    let mut writes = Vec::new();
    for route in routes(sim).into_iter().filter(|r| r.conditions != [format!("host-header {PROBE_HOST}")]) {
        let mut write = RouteWrite { at: route.at.clone(), actions: route.actions.clone() };
        let mut changed = false;
        for action in &mut write.actions {
            let Some(config) = &mut action.forward_config else { continue };
            if !config.target_groups.iter().any(|t| t.target_group_arn == blue) {
                continue;
            }
            config.target_groups.retain(|t| t.target_group_arn != green);
            let third = config.target_groups.len() > 1;
            let whole = if third { 90 } else { 100 };
            let at = config.target_groups.iter().position(|t| t.target_group_arn == blue).unwrap();
            config.target_groups[at].weight = Some(whole - whole * percent / 100);
            let tuple = WeightedGroup { target_group_arn: green.to_owned(), weight: Some(whole * percent / 100) };
            config.target_groups.insert(at + 1, tuple);
            action.target_group_arn = None;
            changed = true;
        }
        if changed {
            writes.push(write);
        }
    }
    writes
}

pub fn shift_all(sim: &Sim, green: &str, percent: u32) {
    for outcome in sim.set_actions(&shift(sim, green, percent)) {
        outcome.unwrap();
    }
}

/// The minutes before now that are complete, and what was said if there are none.
pub fn minutes(sim: &Sim, green: &str, count: i64) -> Result<Vec<Minute>, CloudError> {
    let to = sim.now().duration_trunc(Duration::minutes(1)).unwrap() - Duration::minutes(2);
    let window = MetricWindow {
        green: vec![green.to_owned()],
        blue: vec![blue_group(sim)],
        load_balancers: BTreeMap::new(),
        from: to - Duration::minutes(count),
        to,
        latency: Some("p99".to_owned()),
        ..MetricWindow::default()
    };
    let sight = sim.observe(&Watch { metrics: Some(window), ..Watch::default() })?;
    sight.metrics.unwrap()
}

/// Requests and bad answers of a side.
pub fn totals(minutes: &[Minute], side: impl Fn(&Minute) -> Counts) -> (f64, f64) {
    let sum = |of: &dyn Fn(Counts) -> Option<f64>| minutes.iter().filter_map(|m| of(side(m))).sum();
    (sum(&|c| c.requests), sum(&|c| c.bad))
}
