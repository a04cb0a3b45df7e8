//! Green beside blue in one Cloud Map service, with tasks in proportion to the stage.

use migrate::cloud::sim::{Scenario, Tamper};
use migrate::journal::HoldReason;
use migrate::journal::progress::Phase;

use super::lab::{Lab, STAGED, playbook};

fn lab(scenario: Scenario) -> Lab {
    Lab::new(playbook(STAGED), scenario, 7)
}

/// How many tasks each service wants, and whether blue is found.
fn fleets(lab: &Lab) -> (u32, u32, bool) {
    let universe = lab.sim.universe();
    let actual = |key: &str| universe.services[key].service.actual.clone();
    let (blue, green) = (actual("prod/web"), actual("prod/web-ipv6"));
    (blue.desired_count, green.desired_count, !blue.registries.is_empty())
}

#[test]
fn tasks_follow_the_stages_and_blue_leaves_discovery_last() {
    let mut lab = lab(Scenario::Healthy);
    assert!(lab.start().reached(), "{}", lab.story());
    assert_eq!(fleets(&lab), (4, 0, true));
    for expected in [(4, 1, true), (4, 4, true), (4, 4, false)] {
        assert!(lab.advance(false, false).reached(), "{}", lab.story());
        assert_eq!(fleets(&lab), expected);
    }
    lab.pass(24 * 3600);
    assert!(lab.finish().reached(), "{}", lab.story());
    assert_eq!(fleets(&lab), (0, 4, false));
    lab.assert_lawful("finished");
}

/// Below 100 % only green's tasks are stopped; from 100 % blue comes back first.
#[test]
fn home_from_every_stage() {
    for stages in 1..=3 {
        let mut lab = lab(Scenario::Healthy);
        assert!(lab.start().reached());
        for _ in 0..stages {
            assert!(lab.advance(false, false).reached(), "{}", lab.story());
        }
        let begun = lab.progress().last.1;
        assert!(lab.rollback(true).reached(), "{}", lab.story());
        let seconds = (lab.progress().last.1 - begun).num_seconds();
        assert!(seconds < if stages < 3 { 120 } else { 300 }, "{stages}: {seconds} s");
        lab.assert_origin("home");
    }
}

#[test]
fn an_alarm_condemns_green() {
    let mut lab = lab(Scenario::GreenErrors);
    assert!(lab.start().reached());
    lab.advance(false, false);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    assert_eq!(fleets(&lab), (4, 0, true));
    lab.assert_lawful("condemned");
}

#[test]
fn tasks_that_never_become_healthy_hold_the_run() {
    let mut lab = lab(Scenario::GreenUnreachable);
    assert!(lab.start().reached());
    lab.advance(false, false);
    assert_eq!(lab.held().map(|h| h.0), Some(HoldReason::NotReady), "{}", lab.story());
    assert!(lab.rollback(true).reached());
    lab.assert_origin("given up");
}

#[test]
fn somebody_elses_hand_is_drift() {
    let deploy = |lab: &Lab, service: &str| {
        let arn = lab.sim.universe().task_definitions.keys().find(|a| a.contains("frontend")).unwrap().clone();
        Tamper::Deploy { cluster: "prod".into(), service: service.into(), task_definition: arn }
    };
    let count =
        |service: &str, count| Tamper::SetDesiredCount { cluster: "prod".into(), service: service.into(), count };
    for change in 0..4 {
        let mut lab = lab(Scenario::Healthy);
        assert!(lab.start().reached());
        assert!(lab.advance(false, true).reached());
        let tamper = match change {
            0 => deploy(&lab, "web"),
            1 => deploy(&lab, "web-ipv6"),
            2 => count("web-ipv6", 3),
            _ => count("web", 3),
        };
        assert!(lab.sim.with(|u| u.tamper(&tamper)).unwrap());
        lab.tampered = true;
        lab.advance(false, false);
        assert_eq!(lab.held().map(|h| h.0), Some(HoldReason::Drift), "{tamper:?}\n{}", lab.story());
    }
}
