//! Every shipped playbook in every scenario ends as its author would expect.

use super::{CONTRACT, Place, shipped};

/// Exit code, outcome and state of a rehearsal.
fn expected(scenario: &str, playbook: &str) -> (i32, &'static str, &'static str) {
    match scenario {
        // ECS itself gives the rollout up, and goes back; and the run with it.
        "green-unreachable" if playbook == "internal-cloud-map" => (5, "rolled_back", "rolled_back"),
        // Only what moves traffic within a load balancer's actions asks it for the mixture.
        "families-refused" if !by_another_way(playbook) => (3, "blocked", "rolled_back"),
        "green-errors" | "green-slow" => (5, "rolled_back", "rolled_back"),
        "green-unreachable" | "metrics-outage" => (4, "held", "held"),
        _ => (0, "ok", "finished"),
    }
}

fn by_another_way(playbook: &str) -> bool {
    ["route53-weighted", "nlb-swap", "internal-cloud-map", "internal-fleets"].contains(&playbook)
}

fn every_playbook(scenario: &str) {
    let place = Place::new();
    for path in shipped() {
        let file = path.to_str().unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (code, outcome, state) = expected(scenario, name);
        let done = place.run(&["rehearse", file, "--scenario", scenario, "--json"]).exits(code);
        let object = done.object();
        assert_eq!((&object["outcome"], &object["state"]), (&outcome.into(), &state.into()), "{name}: {object}");
        assert!(CONTRACT.iter().all(|field| object.get(field).is_some()), "{object}");
        if name == "quickstart" && outcome == "rolled_back" {
            assert_eq!(object["verdict"], "degraded", "{object}");
        }
        let share = object["green_share"].as_f64().unwrap();
        assert!(if state == "rolled_back" { share == 0.0 } else { share <= 100.0 }, "{object}");
    }
}

#[test]
fn healthy() {
    every_playbook("healthy");
}

#[test]
fn green_errors() {
    every_playbook("green-errors");
}

#[test]
fn green_slow() {
    every_playbook("green-slow");
}

#[test]
fn green_unreachable() {
    every_playbook("green-unreachable");
}

#[test]
fn metrics_outage() {
    every_playbook("metrics-outage");
}

#[test]
fn throttled() {
    every_playbook("throttled");
}

#[test]
fn families_refused() {
    every_playbook("families-refused");
}

/// Where the mixture is refused, a playbook with a fallback goes on with it.
#[test]
fn a_fallback_takes_over_where_the_mixture_is_refused() {
    let place = Place::new();
    let text = super::WEB.replace("listener_weights: {}", "listener_weights: { fallback: { dns_weights: {} } }");
    place.write("web.yaml", &text);
    let done = place.run(&["rehearse", "web.yaml", "--scenario", "families-refused", "--json"]).exits(0);
    assert!(done.err.contains("falling back to `dns_weights`"), "{}", done.err);
    assert_eq!(done.object()["state"], "finished");
    place.run(&["start", "web.yaml", "--sandbox=families-refused"]).exits(0);
    place.run(&["start", "web.yaml"]).exits(0);
    place.run(&["advance", "web.yaml"]).exits(0);
    place.run(&["rollback"]).exits(0);
}

/// The same seed is the same run; another seed is another.
#[test]
fn a_rehearsal_can_be_repeated() {
    let place = Place::new();
    place.write("web.yaml", super::WEB);
    let reason = |seed: &str| place.run(&["rehearse", "web.yaml", "--seed", seed, "--json"]).object()["reason"].clone();
    assert_eq!(reason("7"), reason("7"));
    let counts = |seed: &str| place.run(&["rehearse", "web.yaml", "--seed", seed]).err;
    assert_ne!(counts("7"), counts("8"));
}

/// The verbs give the same ending as the rehearsal, and the run stays to be looked at.
#[test]
fn the_verbs_end_like_the_rehearsal() {
    for (scenario, start, advance, state) in
        [("green-errors", 0, 5, "rolled_back"), ("metrics-outage", 0, 4, "held"), ("green-unreachable", 4, 2, "held")]
    {
        let place = Place::new();
        place.write("web.yaml", super::WEB);
        place.run(&["start", "web.yaml", &format!("--sandbox={scenario}")]).exits(start);
        place.run(&["advance", "--json"]).exits(advance);
        assert_eq!(place.status()["state"], state, "{scenario}");
        // Whatever became of the run, the way home is open, and it is home.
        place.run(&["rollback"]).exits(0);
        assert_eq!(place.routes(), super::original_routes(super::WEB), "{scenario}");
    }
}
