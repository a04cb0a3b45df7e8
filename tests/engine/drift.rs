//! What somebody else does to the estate while a run is open: it is noticed, and left alone.

use migrate::cloud::Cause;
use migrate::cloud::sim::{Fault, FaultAt, FaultKind, Scenario, Tamper};
use migrate::execute::Stop;
use migrate::execute::decide::left_to_do;
use migrate::inventory::{Action, Route, RouteAt};
use migrate::journal::progress::Phase;
use migrate::journal::{Event, HoldReason, Settlement};

use super::lab::{End, Lab};

/// A run after so many stages, shifted without waiting.
fn at_stage(stage: usize) -> Lab {
    let mut lab = Lab::short(Scenario::Healthy);
    assert!(lab.start().reached());
    for _ in 0..stage {
        assert!(lab.advance(false, true).reached(), "{}", lab.story());
        lab.pass(400);
    }
    lab
}

fn routes(lab: &Lab) -> Vec<Route> {
    lab.progress().header.plan.routes().cloned().collect()
}

fn shown(lab: &Lab, at: &RouteAt) -> Option<Vec<Action>> {
    lab.sim.universe().routes.get(at.arn()).map(|r| r.route.actual.actions.clone())
}

fn tamper(lab: &mut Lab, change: &Tamper) {
    lab.tampered = true;
    assert!(lab.sim.with(|u| u.tamper(change)).unwrap(), "{change:?}");
}

fn maintenance() -> Vec<Action> {
    let config = serde_json::json!({ "StatusCode": "503" });
    vec![Action {
        kind: "fixed-response".into(),
        order: Some(1),
        rest: [("FixedResponseConfig".to_owned(), config)].into(),
        ..Action::default()
    }]
}

fn holds_for_drift(end: &End, lab: &Lab, what: &str) -> String {
    assert!(matches!(end, End::Stop(Stop::Held)), "{what}: {end:?}\n{}", lab.story());
    let (why, reason) = lab.held().unwrap();
    assert_eq!(why, HoldReason::Drift, "{what}: {reason}");
    assert!(reason.contains("expected") && reason.contains("found"), "{reason}");
    reason
}

#[test]
fn a_route_that_somebody_changed_is_never_overwritten() {
    for stage in 0..3 {
        for nth in 0..4 {
            for kind in 0..2 {
                let mut lab = at_stage(stage);
                let route = routes(&lab).swap_remove(nth);
                let what = format!("stage {stage}, {:?}, change {kind}", route.at);
                let ours = shown(&lab, &route.at).unwrap();
                let group = migrate::traffic::tuples(&route.actions)[0].target_group_arn.clone();
                let change = match kind {
                    0 => Tamper::SetWeight { at: route.at.clone(), group, weight: 77 },
                    _ => Tamper::SetActions { at: route.at.clone(), actions: maintenance() },
                };
                tamper(&mut lab, &change);
                let theirs = shown(&lab, &route.at).unwrap();
                let all = lab.sim.universe().routes;
                let end = lab.advance(false, true);
                holds_for_drift(&end, &lab, &what);
                assert_eq!(lab.sim.universe().routes, all, "{what}: nothing is written on top of drift");
                let out = left_to_do(&lab.progress());
                let actions = out[0].split_once("actions '").unwrap().1.trim_end_matches('\'');
                let actions: Vec<Action> = serde_json::from_str(actions).unwrap();
                let put_back = migrate::traffic::weights(&actions) == migrate::traffic::weights(&ours);
                assert!(out.len() == 1 && out[0].contains(route.at.arn()) && put_back, "{what}: {out:?}");
                let end = lab.advance(false, true);
                holds_for_drift(&end, &lab, &what);

                // Home: the others go, this one stays theirs, and the way out is a command.
                let end = lab.rollback(false);
                let reason = holds_for_drift(&end, &lab, &what);
                assert!(reason.contains("aws elbv2 modify-") && reason.contains(route.at.arn()), "{reason}");
                for other in routes(&lab) {
                    let expected = if other.at == route.at { &theirs } else { &other.actions };
                    assert_eq!(shown(&lab, &other.at).as_ref(), Some(expected), "{what}");
                }
                let held = !lab.sim.universe().scaling.values().all(|s| s.target.suspended.dynamic_in);
                assert!(!held, "{what}: scaling stays held while traffic is not home");
                tamper(&mut lab, &Tamper::SetActions { at: route.at.clone(), actions: ours });
                assert!(lab.go_home(3), "{what}\n{}", lab.story());
                lab.assert_origin(&what);
            }
        }
    }
}

#[test]
fn a_rule_that_somebody_deleted_holds_and_does_not_bar_the_way_home() {
    for stage in 0..3 {
        let mut lab = at_stage(stage);
        let rule = routes(&lab).into_iter().find(|r| r.priority.is_some()).unwrap();
        tamper(&mut lab, &Tamper::DeleteRule(rule.at.arn().to_owned()));
        let end = lab.advance(false, true);
        let reason = holds_for_drift(&end, &lab, "deleted");
        assert!(reason.contains("deleted"), "{reason}");
        assert!(lab.go_home(3), "{}", lab.story());
        lab.assert_lawful("deleted");
        for other in routes(&lab).iter().filter(|r| r.at != rule.at) {
            assert_eq!(shown(&lab, &other.at).as_ref(), Some(&other.actions));
        }
        assert!(lab.progress().made.keys().any(|k| k.starts_with("gone:")));
    }
}

#[test]
fn a_new_route_to_blue_holds() {
    for stage in 0..3 {
        let mut lab = at_stage(stage);
        lab.tampered = true;
        let known = routes(&lab).swap_remove(0);
        let new = lab
            .sim
            .with(|u| u.create_rule(&known.listener, 7, vec!["path-pattern /new/*".into()], &known.actions, [].into()));
        let arn = new.unwrap().unwrap();
        let end = lab.advance(false, true);
        let reason = holds_for_drift(&end, &lab, "new");
        assert!(reason.contains(&arn), "{reason}");
        let made = shown(&lab, &RouteAt::Rule(arn.clone()));
        assert!(lab.go_home(3), "{}", lab.story());
        assert_eq!(shown(&lab, &RouteAt::Rule(arn)), made);
        lab.assert_lawful("new");
    }
}

#[test]
fn a_blue_or_green_that_somebody_deployed_or_shrank_holds() {
    for (service, fewer) in [("web", true), ("web", false), ("web-ipv6", true), ("web-ipv6", false)] {
        let what = format!("{service} {}", if fewer { "shrunk" } else { "deployed" });
        let mut lab = at_stage(1);
        lab.tampered = true;
        let (count, definition) = lab
            .sim
            .with(|u| {
                let actual = &mut u.services.get_mut(&format!("prod/{service}")).unwrap().service.actual;
                let was = (actual.desired_count, actual.task_definition.clone());
                if fewer {
                    // Wanted, and not yet carried out: no target is missing so far.
                    actual.desired_count -= 1;
                } else {
                    actual.task_definition.push('0');
                }
                was
            })
            .unwrap();
        let end = lab.advance(false, true);
        let reason = holds_for_drift(&end, &lab, &what);
        assert!(reason.contains(if fewer { "tasks" } else { "task definition" }), "{reason}");
        assert_eq!(lab.progress().stage, 1);
        lab.sim
            .with(|u| {
                let actual = &mut u.services.get_mut(&format!("prod/{service}")).unwrap().service.actual;
                (actual.desired_count, actual.task_definition) = (count, definition);
                u.settle();
            })
            .unwrap();
        lab.pass(120);
        assert!(lab.advance(false, true).reached(), "{what}\n{}", lab.story());
        assert!(lab.go_home(3));
        lab.assert_origin(&what);
    }
}

#[test]
fn traffic_goes_home_to_a_blue_that_has_all_its_tasks() {
    let mut lab = at_stage(3);
    let down = Tamper::SetDesiredCount { cluster: "prod".into(), service: "web".into(), count: 1 };
    tamper(&mut lab, &down);
    lab.pass(200);
    assert!(lab.go_home(3), "{}", lab.story());
    // One task would not have carried it: the violation of an overloaded blue would be noted.
    lab.assert_origin("capacity first");
}

#[test]
fn traffic_does_not_go_home_to_a_blue_without_a_healthy_target() {
    let mut lab = at_stage(3);
    tamper(&mut lab, &Tamper::LoseHealth { cluster: "prod".into(), service: "web".into() });
    let end = lab.rollback(false);
    assert!(matches!(end, End::Stop(Stop::Stuck)), "{end:?}");
    let (reason, commands) = lab.progress().stuck.unwrap();
    assert!(reason.contains("0 of 4 blue targets are healthy"), "{reason}");
    assert_eq!(commands.iter().filter(|c| c.contains("elbv2 modify-")).count(), 4);
    assert!(lab.sim.universe().violations.is_empty());
}

/// A shift that reached some routes only: held, told as it is, and home in one step or on.
#[test]
fn a_shift_that_stops_in_the_middle_goes_home_or_on() {
    for stage in 0..3 {
        for home in [false, true] {
            let what = format!("stage {stage}, {}", if home { "home" } else { "on" });
            let mut lab = at_stage(stage);
            let denied = Fault {
                call: FaultAt::Every("elasticloadbalancing:ModifyListener".into()),
                kind: FaultKind::RefuseBefore(Cause::Denied),
            };
            lab.sim.with(|u| u.faults = vec![denied.clone()]).unwrap();
            let end = lab.advance(false, true);
            assert!(matches!(end, End::Stop(Stop::Held)), "{what}: {end:?}\n{}", lab.story());
            let (why, reason) = lab.held().unwrap();
            assert_eq!(why, HoldReason::Failing);
            assert!(reason.contains("3 of 4 routes were written"), "{reason}");
            lab.assert_lawful(&what);
            if home && stage > 0 {
                // The default action cannot go home either: stuck, with the command for it.
                let end = lab.rollback(true);
                assert!(matches!(end, End::Stop(Stop::Stuck)), "{what}: {end:?}");
                let commands = lab.progress().stuck.unwrap().1;
                assert!(commands.iter().any(|c| c.contains("modify-listener")), "{commands:#?}");
            }
            lab.sim.with(|u| u.faults.clear()).unwrap();
            if !home {
                assert!(lab.advance(false, true).reached(), "{what}\n{}", lab.story());
                assert_eq!(lab.progress().stage, stage + 1);
            }
            assert!(lab.go_home(3), "{what}\n{}", lab.story());
            lab.assert_origin(&what);
        }
    }
}

#[test]
fn a_foreign_service_or_group_of_greens_name_is_never_deleted() {
    let mut lab = Lab::short(Scenario::Healthy);
    // A group with the name that green's would get, which belongs to somebody else.
    let theirs = lab
        .sim
        .with(|u| {
            let mut group = u.target_groups.values().find(|g| g.group.name == "web").unwrap().group.clone();
            group.arn = group.arn.replace("/web/", "/web-ipv6/");
            "web-ipv6".clone_into(&mut group.name);
            u.tamper(&Tamper::PutTargetGroup(Box::new(group.clone())));
            group.arn
        })
        .unwrap();
    let end = lab.start();
    assert!(matches!(end, End::Stop(Stop::Reached)), "{end:?}");
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "a refusal leaves the world as it was found");
    assert!(lab.go_home(3), "{}", lab.story());
    assert!(lab.sim.universe().target_groups.contains_key(&theirs));
    lab.assert_lawful("foreign group");
}

#[test]
fn a_world_that_is_not_ready_blocks_before_anything_is_written() {
    let mut lab = Lab::short(Scenario::Healthy);
    let balancer = lab.sim.universe().load_balancers.keys().next().unwrap().clone();
    let ipv4 = Tamper::SetIpAddressType { load_balancer: balancer, ip_address_type: "ipv4".into() };
    tamper(&mut lab, &ipv4);
    let before = lab.sim.universe().estate_fingerprint();
    let End::Blocked(findings) = lab.start() else { panic!("not blocked") };
    assert!(findings.iter().any(|f| f.rule == "load-balancer-not-dualstack"));
    assert!(lab.store.records.is_empty());
    assert_eq!(lab.sim.universe().estate_fingerprint(), before);
}

/// Invariant 5: what was accepted is not yet what is. A shift whose reading back fails is not done.
#[test]
fn a_shift_counts_only_when_it_was_read_back() {
    for stage in 0..3 {
        let mut lab = at_stage(stage);
        let seen = lab.sim.universe().calls.by_operation["observe"];
        // The third sweep of `advance`: one to judge, one before the writes, one to read back.
        let blind = FaultAt::Nth { operation: "observe".into(), n: seen + 3 };
        let fault = Fault { call: blind, kind: FaultKind::RefuseBefore(Cause::Throttled) };
        lab.sim.with(|u| u.faults = vec![fault]).unwrap();
        assert!(lab.advance(false, true).reached());
        let outcomes: Vec<&Settlement> = lab
            .store
            .records
            .iter()
            .filter_map(|r| match &r.event {
                Event::ShiftSettled { stage: s, outcome } if *s == stage + 1 => Some(outcome),
                _ => None,
            })
            .collect();
        assert!(matches!(outcomes[..], [Settlement::Unknown(_), Settlement::Done(_)]), "{outcomes:?}");
    }
}

#[test]
fn a_blue_that_somebody_retired_already_does_not_bar_the_finish() {
    for gone in [false, true] {
        let mut lab = at_stage(3);
        assert!(lab.advance(false, false).reached());
        lab.pass(24 * 3600);
        let down = Tamper::SetDesiredCount { cluster: "prod".into(), service: "web".into(), count: 1 };
        tamper(&mut lab, &down);
        if gone {
            lab.sim
                .with(|u| u.services.get_mut("prod/web").unwrap().service.actual.status = "INACTIVE".into())
                .unwrap();
        }
        assert!(lab.finish().reached(), "{}", lab.story());
        assert_eq!(lab.phase(), Some(Phase::Finished));
    }
    // A deployment that green does not have would be lost.
    let mut lab = at_stage(3);
    assert!(lab.advance(false, false).reached());
    lab.pass(24 * 3600);
    lab.tampered = true;
    lab.sim.with(|u| u.services.get_mut("prod/web").unwrap().service.actual.task_definition.push('0')).unwrap();
    let end = lab.finish();
    let reason = holds_for_drift(&end, &lab, "deployed");
    assert!(reason.contains("task definition"), "{reason}");
}

#[test]
fn a_run_that_exposed_nobody_goes_home_past_an_unhealthy_blue() {
    let mut lab = at_stage(0);
    tamper(&mut lab, &Tamper::LoseHealth { cluster: "prod".into(), service: "web".into() });
    let begun = migrate::clock::Clock::now(&lab.sim);
    assert!(lab.rollback(true).reached(), "{}", lab.story());
    assert!((migrate::clock::Clock::now(&lab.sim) - begun).num_seconds() < 120);
}

/// Invariant 3: a green that lacks a target keeps what it has, and gets no more.
#[test]
fn weight_goes_only_to_a_green_with_all_its_targets() {
    for finishing in [false, true] {
        let mut lab = Lab::short(Scenario::Healthy);
        assert!(lab.start().reached());
        for _ in 0..if finishing { 3 } else { 1 } {
            assert!(lab.advance(false, false).reached(), "{}", lab.story());
        }
        if finishing {
            lab.pass(24 * 3600);
        }
        lab.tampered = true;
        let never = chrono::DateTime::<chrono::Utc>::MAX_UTC;
        lab.sim.with(|u| u.services.get_mut("prod/web-ipv6").unwrap().tasks[0].doomed = Some(never)).unwrap();
        let before = lab.sim.universe().routes;
        let end = if finishing { lab.finish() } else { lab.advance(false, true) };
        assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", lab.story());
        let (why, reason) = lab.held().unwrap();
        assert_eq!(why, HoldReason::NotReady);
        assert!(reason.contains("3 of 4 green targets are healthy"), "{reason}");
        assert_eq!(lab.sim.universe().routes, before);
    }
}

#[test]
fn a_change_during_a_bake_is_noticed_before_the_next_write() {
    let mut lab = Lab::short(Scenario::Healthy);
    assert!(lab.start().reached());
    assert!(lab.advance(false, true).reached());
    let route = routes(&lab)[0].clone();
    let original = shown(&lab, &route.at).unwrap();
    tamper(&mut lab, &Tamper::SetActions { at: route.at.clone(), actions: maintenance() });
    lab.pass(30);
    // The bake is far from over: nothing would be written for minutes.
    let end = lab.advance(false, true);
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", lab.story());
    let (why, reason) = lab.held().unwrap();
    assert!(why == HoldReason::Drift && reason.contains(route.at.arn()) && reason.contains("503"), "{reason}");
    assert_eq!(shown(&lab, &route.at), Some(maintenance()), "it is left alone");
    tamper(&mut lab, &Tamper::SetActions { at: route.at, actions: original });
    lab.pass(400);
    assert!(lab.advance(false, true).reached(), "{}", lab.story());
    assert_eq!(lab.progress().stage, 2);
}
