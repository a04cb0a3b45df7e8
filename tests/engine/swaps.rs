//! Runs that swap target groups: there, home and finished, with flows that stay where they are.

use migrate::clock::Clock;
use migrate::cloud::sim::{Scenario, Tamper, Universe};
use migrate::execute::Stop;
use migrate::execute::decide::commands;
use migrate::inventory::{Action, ForwardConfig, Route, WeightedGroup};
use migrate::journal::progress::{Phase, Progress};
use migrate::journal::{Event, HoldReason};
use migrate::playbook::Playbook;
use migrate::traffic::tuples;

use super::lab::{End, Lab, SHORT, SWAP, epoch, playbook};

const LEVEL: &str = "health:\n  metrics:\n    - { name: answers, namespace: N, metric: M, floor: 10 }\n";

fn lab(more: &str, scenario: Scenario) -> Lab {
    Lab::new(playbook(&format!("{SWAP}{more}")), scenario, 7)
}

fn swapped(more: &str, scenario: Scenario) -> Lab {
    let mut lab = lab(more, scenario);
    assert!(lab.start().reached(), "{}", lab.story());
    assert!(lab.advance(false, true).reached(), "{}", lab.story());
    lab
}

fn routes(lab: &Lab) -> Vec<Route> {
    lab.progress().header.plan.routes().cloned().collect()
}

/// The group that each of blue's listeners leads to now.
fn groups(lab: &Lab) -> Vec<String> {
    let universe = lab.sim.universe();
    let group = |r: &Route| tuples(&universe.routes[r.at.arn()].route.actual.actions)[0].target_group_arn.clone();
    routes(lab).iter().map(group).collect()
}

#[test]
fn the_plan_ties_both_sides_and_waits_for_flows() {
    let lab = lab("", Scenario::Healthy);
    let plan = lab.plan().unwrap();
    let ids = |list: &[migrate::plan::Planned]| list.iter().map(|p| p.id.clone()).collect::<Vec<_>>();
    assert_eq!(
        ids(&plan.prepare),
        [
            "create-target-group-1",
            "set-target-group-attributes-1",
            "tie-green-group-1-1",
            "tie-blue-group-1-1",
            "register-task-definition",
            "hold-blue-scaling",
            "create-service",
            "await-green",
            "copy-scaling",
            "hold-green-scaling"
        ]
    );
    assert_eq!(
        ids(&plan.finish),
        [
            "verify-green-in-routes",
            "untie-1",
            "await-blue-flows",
            "release-green-scaling",
            "stop-blue-scaling",
            "scale-blue-to-zero"
        ]
    );
    let text = migrate::report::plan::text(&plan, epoch());
    for words in
        ["listener of its own, on the last free port", "noticed: until `migrate finish` that port", "3600 s", "350 s"]
    {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn green_takes_blues_place_in_every_listener_at_once() {
    let lab = swapped("", Scenario::Healthy);
    let blue = lab.sim.universe().blue.target_groups[0].clone();
    let green = lab.progress().made[&migrate::operation::green_key(&blue)].clone();
    assert_eq!(groups(&lab), [green.clone(), green]);
    let universe = lab.sim.universe();
    // Blue stays tied, and checked, for the way home.
    let ties = universe.routes.values().filter(|r| r.tags.contains_key("migrate:run")).count();
    assert_eq!(ties, 2);
    lab.assert_lawful("swapped");
}

/// Planted: an undo that does not wait is seen by the flows that it cuts.
#[test]
fn green_is_removed_when_its_flows_have_ended() {
    let mut lab = swapped("", Scenario::Healthy);
    lab.pass(600);
    let begun = lab.sim.now();
    assert!(lab.rollback(true).reached(), "{}", lab.story());
    let took = (lab.sim.now() - begun).num_seconds();
    assert!((350..1200).contains(&took), "{took}");
    lab.assert_origin("removed");
    // What is kept is not waited for.
    let mut lab = swapped("", Scenario::Healthy);
    let begun = lab.sim.now();
    assert!(lab.rollback(false).reached());
    assert!((lab.sim.now() - begun).num_seconds() < 30);
    assert_eq!(lab.sim.universe().foreign_fingerprint(), lab.foreign);
}

#[test]
fn blue_keeps_its_tasks_until_its_flows_have_ended() {
    for (flow_seconds, least, most) in [(300, 350, 1200), (7200, 3600, 3700)] {
        let mut lab = lab("finish: { keep_blue: 0s }\n", Scenario::Healthy);
        lab.sim.with(|u| u.knobs.flow_seconds = flow_seconds).unwrap();
        assert!(lab.shift_all(4), "{}", lab.story());
        let swapped = lab.progress().exposed_since.unwrap();
        assert!(lab.finish().reached(), "{}", lab.story());
        let waited = (lab.sim.now() - swapped).num_seconds();
        assert!((least..most).contains(&waited), "{flow_seconds}: {waited}");
        assert_eq!(lab.sim.universe().services["prod/web"].service.actual.desired_count, 0);
        // After the hour the load balancer has given the flows up anyway.
        if flow_seconds == 300 {
            lab.assert_lawful("finished");
        }
        assert!(!lab.sim.universe().routes.values().any(|r| r.tags.contains_key("migrate:run")), "no tie is left");
    }
}

#[test]
fn resets_of_green_send_traffic_home() {
    let mut lab = swapped("", Scenario::GreenErrors);
    lab.advance(false, false);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    let (_, reason) = lab.progress().unwinding.unwrap();
    assert!(reason.contains("resets") && !reason.contains("request"), "{reason}");
    lab.assert_lawful("resets");
}

#[test]
fn a_metric_of_the_user_holds_or_sends_home() {
    let set = |lab: &Lab, value| {
        let change = Tamper::SetLevel { name: "answers".to_owned(), value };
        assert!(lab.sim.with(|u| u.tamper(&change)).unwrap());
    };
    let mut lab = swapped(LEVEL, Scenario::Healthy);
    set(&lab, Some(3.0));
    lab.advance(false, false);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    let (_, reason) = lab.progress().unwinding.unwrap();
    assert!(reason.contains("answers is below its floor of 10 (3, 3, 3 in the last 3 min)"), "{reason}");
    // Silence holds, and sends nobody home.
    let mut lab = swapped(LEVEL, Scenario::Healthy);
    set(&lab, None);
    for _ in 0..3 {
        lab.advance(false, false);
    }
    assert!(matches!(lab.held(), Some((HoldReason::Blind, _))), "{}", lab.story());
    // So before the shift, so after it: not green's doing.
    let mut lab = lab_with_low_past();
    lab.advance(false, false);
    assert_eq!(lab.phase(), Some(Phase::Open), "{}", lab.story());
    let (why, reason) = lab.held().unwrap();
    assert_eq!(why, HoldReason::NotEnoughEvidence, "{reason}");
    assert!(reason.contains("not green's fault"), "{reason}");
}

fn lab_with_low_past() -> Lab {
    let mut lab = lab(LEVEL, Scenario::Healthy);
    let change = Tamper::SetLevel { name: "answers".to_owned(), value: Some(3.0) };
    assert!(lab.sim.with(|u| u.tamper(&change)).unwrap());
    assert!(lab.start().reached());
    lab.pass(900);
    lab
}

fn drifts(end: &End, lab: &Lab) -> String {
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", lab.story());
    let (why, reason) = lab.held().unwrap();
    assert_eq!(why, HoldReason::Drift, "{reason}");
    reason
}

#[test]
fn a_listener_that_somebody_changed_is_never_overwritten() {
    for after_swap in [false, true] {
        let mut lab = if after_swap { swapped("", Scenario::Healthy) } else { lab("", Scenario::Healthy) };
        if !after_swap {
            assert!(lab.start().reached());
        }
        let route = routes(&lab).remove(0);
        let other = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/other/1".to_owned();
        let tuple = WeightedGroup { target_group_arn: other, weight: Some(1) };
        let config = ForwardConfig { target_groups: vec![tuple], ..ForwardConfig::default() };
        let theirs = Action { target_group_arn: None, forward_config: Some(config), ..route.actions[0].clone() };
        let ours = lab.sim.universe().routes[route.at.arn()].route.actual.actions.clone();
        lab.tampered = true;
        let set = |lab: &Lab, actions| {
            let change = Tamper::SetActions { at: route.at.clone(), actions };
            assert!(lab.sim.with(|u| u.tamper(&change)).unwrap());
        };
        set(&lab, vec![theirs]);
        let all = lab.sim.universe().routes;
        lab.pass(240);
        drifts(&lab.advance(false, true), &lab);
        assert_eq!(lab.sim.universe().routes, all, "nothing is written on top of drift");
        if after_swap {
            let reason = drifts(&lab.rollback(false), &lab);
            assert!(reason.contains("aws elbv2 modify-listener"), "{reason}");
            let shown = &lab.sim.universe().routes[routes(&lab)[1].at.arn()].route.actual.actions;
            assert_eq!(*shown, routes(&lab)[1].actions, "the other one is home");
        }
        set(&lab, ours);
        assert!(lab.go_home(3), "{}", lab.story());
        lab.assert_origin("drift");
    }
}

/// The same on an Application Load Balancer, for who wants all at once there.
#[test]
fn an_application_load_balancer_can_be_swapped_too() {
    let wish: Playbook = playbook(SWAP);
    let estate = |scenario| Universe::for_playbook(&playbook(SHORT), scenario, 7, epoch());
    let mut universe = estate(Scenario::Healthy);
    // Even where it refuses both families in one action.
    universe.knobs.rejects_mixed_families = true;
    // The third group in one rule could not stand beside green either.
    let third = universe.routes.values().find(|r| r.route.actual.priority == Some(30)).unwrap();
    let third = third.route.actual.at.arn().to_owned();
    universe.tamper(&Tamper::DeleteRule(third));
    let mut lab = Lab::in_universe(wish.clone(), universe);
    assert!(lab.shift_all(6), "{}", lab.story());
    lab.pass(24 * 3600);
    assert!(lab.finish().reached(), "{}", lab.story());
    lab.assert_lawful("finished");
    let mut lab = Lab::in_universe(wish.clone(), estate(Scenario::Healthy));
    assert!(lab.shift_all(6), "{}", lab.story());
    assert!(lab.go_home(3), "{}", lab.story());
    lab.assert_origin("home");
    for (scenario, words) in [(Scenario::GreenErrors, "hard limit"), (Scenario::GreenSlow, "slower than")] {
        let mut lab = Lab::in_universe(wish.clone(), estate(scenario));
        lab.shift_all(3);
        assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
        let (_, reason) = lab.progress().unwinding.unwrap();
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn what_is_left_to_do_by_hand_is_said_in_commands() {
    let lab = swapped("", Scenario::Healthy);
    let shown = commands(&Progress { remove_green: true, ..lab.progress() });
    let words = ["modify-listener", "modify-listener"];
    for (command, word) in shown.iter().zip(words) {
        assert!(command.contains(word) && command.contains("web/"), "{command}");
    }
    assert_eq!(shown.iter().filter(|c| c.contains("delete-listener")).count(), 2, "{shown:#?}");
    // Where the journal never learnt what was made, it is looked for.
    let mut made = lab.progress().made;
    made.retain(|name, _| !name.starts_with("tie:"));
    let shown = commands(&Progress { remove_green: true, made, ..lab.progress() });
    assert_eq!(shown.iter().filter(|c| c.contains("describe-listeners")).count(), 2, "{shown:#?}");
    assert!(lab.store.records.iter().any(|r| matches!(r.event, Event::ShiftIntended { .. })));
}
