//! Whole runs, at least one for each scenario.

use migrate::clock::{Clock, Signal};
use migrate::cloud::sim::{Lagging, Scenario, SimRoute, Universe};
use migrate::execute::Stop;
use migrate::execute::decide::commands;
use migrate::gate::Verdict;
use migrate::inventory::{GroupStickiness, Route, RouteAt, Suspension};
use migrate::journal::progress::Phase;
use migrate::journal::{Cause, Event, HoldReason};

use super::lab::{End, Lab, SHORT, epoch, playbook, shipped};

fn reached(end: &End, lab: &Lab) {
    assert!(matches!(end, End::Stop(Stop::Reached)), "{end:?}\n{}", lab.story());
}

fn held(end: &End, lab: &Lab, why: HoldReason) -> String {
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", lab.story());
    let (reason, text) = lab.held().unwrap();
    assert_eq!(reason, why, "{text}");
    text
}

fn started(playbook: &str, scenario: Scenario) -> Lab {
    let mut lab = Lab::new(super::lab::playbook(playbook), scenario, 7);
    let end = lab.start();
    reached(&end, &lab);
    lab
}

#[test]
fn a_healthy_run_is_shifted_and_finished() {
    let mut lab = started(SHORT, Scenario::Healthy);
    assert_eq!(lab.phase(), Some(Phase::Open));
    assert!(matches!(lab.start(), End::Already));
    for stage in 1..=3 {
        let end = lab.advance(false, false);
        reached(&end, &lab);
        assert_eq!((lab.progress().stage, lab.progress().passed), (stage, stage));
    }
    assert_eq!(lab.progress().state(), "shifted");
    assert!(matches!(lab.advance(false, false), End::Already));
    assert!(matches!(lab.finish(), End::TooEarly));
    lab.pass(24 * 3600);
    let end = lab.finish();
    reached(&end, &lab);
    assert!(matches!(lab.finish(), End::Already));
    assert!(matches!(lab.rollback(true), End::Refused));
    lab.assert_lawful("healthy");
    let universe = lab.sim.universe();
    assert_eq!(universe.services["prod/web"].service.actual.desired_count, 0);
    assert!(universe.services["prod/web"].is_active());
    // Green's auto scaling is blue's as it was; blue's does nothing any more.
    let suspended = |of: &str| universe.scaling[of].target.suspended;
    assert_eq!(suspended("service/prod/web-ipv6"), Suspension::default());
    assert_eq!(suspended("service/prod/web"), Suspension::ALL);
}

#[test]
fn green_has_blues_scaling_and_grows_where_it_must() {
    let text = format!("{SHORT}finish: {{ keep_blue: 0s }}\n").replace("network:", "desired_count: 3\n  network:");
    let mut lab = started(&text, Scenario::Healthy);
    let scaling = |lab: &Lab, of: &str| lab.sim.universe().scaling.get(of).map(|s| s.target.clone());
    let (blue, green) = ("service/prod/web", "service/prod/web-ipv6");
    let tasks = |lab: &Lab| lab.sim.universe().services["prod/web-ipv6"].service.actual.desired_count;
    let copy = scaling(&lab, green).unwrap();
    let original = lab.progress().header.plan.inventory.scaling.clone().unwrap();
    assert_eq!((copy.min, copy.max, &copy.policies), (original.min, original.max, &original.policies));
    assert_eq!(copy.suspended, Suspension::default().without_shrinking());
    assert!(lab.shift_all(9), "{}", lab.story());
    assert_eq!(tasks(&lab), 4, "three are too few for all of the traffic");
    // A rollback that keeps green lets nothing change it, and gives blue its own back.
    let mut kept = started(SHORT, Scenario::Healthy);
    kept.advance(false, true);
    let end = kept.rollback(false);
    reached(&end, &kept);
    assert_eq!(scaling(&kept, green).unwrap().suspended, Suspension::ALL);
    assert_eq!(scaling(&kept, blue).unwrap().suspended, Suspension::default());
    assert_eq!(kept.sim.universe().foreign_fingerprint(), kept.foreign);
    let end = kept.rollback(true);
    reached(&end, &kept);
    kept.assert_origin("kept, then removed");
    let end = lab.finish();
    reached(&end, &lab);
    lab.assert_lawful("grown");
}

#[test]
fn scaling_that_somebody_took_away_is_not_put_back() {
    for of in ["service/prod/web", "service/prod/web-ipv6"] {
        for finishing in [false, true] {
            let mut lab = started(&format!("{SHORT}finish: {{ keep_blue: 0s }}\n"), Scenario::Healthy);
            lab.sim.with(|u| u.scaling.remove(of)).unwrap();
            if finishing {
                assert!(lab.shift_all(9), "{of}\n{}", lab.story());
                let end = lab.finish();
                reached(&end, &lab);
            } else {
                lab.advance(false, true);
                let end = lab.rollback(true);
                reached(&end, &lab);
            }
            assert!(!lab.sim.universe().scaling.contains_key(of));
            lab.assert_lawful(of);
        }
    }
}

#[test]
fn blue_is_removed_where_the_playbook_says_so() {
    let mut lab = started(&format!("{SHORT}finish: {{ keep_blue: 0s, blue: remove }}\n"), Scenario::Healthy);
    assert!(lab.shift_all(9), "{}", lab.story());
    let end = lab.finish();
    reached(&end, &lab);
    lab.assert_lawful("removed");
    assert!(!lab.sim.universe().services["prod/web"].is_active());
}

#[test]
fn every_shipped_playbook_goes_there_and_back() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let names: std::collections::BTreeSet<String> = files.filter(|f| f.ends_with(".yaml")).collect();
    assert!(names.len() > 6);
    for name in names.iter().map(String::as_str) {
        let mut lab = Lab::new(shipped(name), Scenario::Healthy, 11);
        assert!(lab.shift_all(30), "{name}\n{}", lab.story());
        assert!(lab.go_home(3), "{name}\n{}", lab.story());
        lab.assert_origin(name);
    }
}

#[test]
fn all_stops_where_an_approval_is_wanted() {
    let mut lab = started(SHORT, Scenario::Healthy);
    let end = lab.advance(true, false);
    held(&end, &lab, HoldReason::Approval);
    assert_eq!(lab.progress().passed, 1);
    // Asking again changes nothing; a plain call approves this stage, and goes no further.
    let end = lab.advance(true, false);
    held(&end, &lab, HoldReason::Approval);
    let end = lab.advance(false, false);
    reached(&end, &lab);
    assert_eq!(lab.progress().passed, 2);
    let end = lab.advance(true, false);
    reached(&end, &lab);
    assert_eq!(lab.phase(), Some(Phase::Shifted));
    lab.assert_lawful("approval");
}

#[test]
fn without_waiting_the_bake_begins_with_the_shift() {
    let mut lab = started(SHORT, Scenario::Healthy);
    let end = lab.advance(false, true);
    reached(&end, &lab);
    assert_eq!((lab.progress().stage, lab.progress().passed), (1, 0));
    let until = lab.progress().bake.unwrap().until;
    let end = lab.advance(false, true);
    assert!(matches!(end, End::Stop(Stop::Waiting(_))), "{end:?}");
    // The last minutes settle two minutes late.
    let left = (until - lab.sim.now()).num_seconds() + 121;
    lab.pass(left);
    let end = lab.advance(false, true);
    reached(&end, &lab);
    assert_eq!((lab.progress().stage, lab.progress().passed), (2, 1), "{}", lab.story());
    lab.pass(421);
    let end = lab.advance(false, true);
    reached(&end, &lab);
    assert_eq!(lab.progress().stage, 3);
    // There is no further stage to shift to: only the verdict is left.
    let end = lab.advance(false, true);
    assert!(matches!(end, End::Stop(Stop::Waiting(_))), "{end:?}");
    lab.pass(361);
    let end = lab.advance(false, true);
    reached(&end, &lab);
    assert_eq!(lab.phase(), Some(Phase::Shifted));
}

#[test]
fn errors_of_green_send_traffic_home() {
    let mut lab = started(SHORT, Scenario::GreenErrors);
    let end = lab.advance(false, false);
    reached(&end, &lab);
    assert_eq!(lab.phase(), Some(Phase::RolledBack));
    let (cause, reason) = lab.progress().unwinding.unwrap();
    assert_eq!(cause, Cause::Gate);
    assert!(reason.contains("green ") && reason.contains(", blue ") && reason.contains("needs"), "{reason}");
    lab.assert_lawful("errors");
    // Green stays to be looked at; nothing else differs from the origin.
    assert_eq!(lab.sim.universe().foreign_fingerprint(), lab.foreign);
    assert!(lab.sim.universe().services.contains_key("prod/web-ipv6"));
    assert!(matches!(lab.rollback(false), End::Already));
    let end = lab.rollback(true);
    reached(&end, &lab);
    lab.assert_origin("errors");
    assert!(matches!(lab.rollback(true), End::Already));
}

#[test]
fn a_slow_green_sends_traffic_home_where_latency_counts() {
    let text = format!("{SHORT}health: {{ latency: {{ ratio: 2 }} }}\nrollback: {{ green: remove }}\n");
    let mut lab = started(&text, Scenario::GreenSlow);
    lab.advance(false, false);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    lab.assert_origin("slow");
    let mut lab = started(SHORT, Scenario::GreenSlow);
    lab.advance(false, false);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "four times blue is too slow by default\n{}", lab.story());
    let generous = format!("{SHORT}health: {{ latency: {{ ratio: 9 }} }}\n");
    let mut lab = started(&generous, Scenario::GreenSlow);
    assert!(lab.shift_all(9), "what the playbook allows is no fault\n{}", lab.story());
}

#[test]
fn an_unreachable_green_holds_with_what_ecs_says() {
    let mut lab = Lab::short(Scenario::GreenUnreachable);
    let end = lab.start();
    let reason = held(&end, &lab, HoldReason::NotReady);
    assert!(reason.contains("0 of 4 targets are healthy"), "{reason}");
    assert!(reason.contains("circuit breaker") && reason.contains("health checks"), "{reason}");
    let waited = lab.sim.now() - epoch();
    assert!(waited.num_minutes() < 10, "an opened circuit breaker ends the wait: {waited}");
    let end = lab.start();
    held(&end, &lab, HoldReason::NotReady);
    let end = lab.rollback(true);
    reached(&end, &lab);
    lab.assert_origin("unreachable");
}

#[test]
fn a_blind_gate_holds_and_moves_nothing() {
    let mut lab = started(SHORT, Scenario::MetricsOutage);
    let mut end = lab.advance(true, false);
    for _ in 0..3 {
        if matches!(lab.held(), Some((HoldReason::Blind, _))) {
            break;
        }
        end = lab.advance(false, false);
    }
    held(&end, &lab, HoldReason::Blind);
    let routes = lab.sim.universe().routes;
    let end = lab.advance(false, false);
    held(&end, &lab, HoldReason::Blind);
    assert_eq!(lab.sim.universe().routes, routes);
    lab.assert_lawful("outage");
    let end = lab.rollback(true);
    reached(&end, &lab);
    lab.assert_origin("outage");
}

#[test]
fn throttling_costs_time_only() {
    for seed in 0..8 {
        let mut lab = Lab::new(playbook(SHORT), Scenario::Throttled, seed);
        let mut tries = 0;
        while lab.store.records.is_empty() && tries < 20 {
            lab.start();
            tries += 1;
        }
        assert!(lab.shift_all(20), "{seed}\n{}", lab.story());
        lab.assert_lawful("throttled");
        assert!(lab.go_home(9), "{seed}\n{}", lab.story());
        lab.assert_origin("throttled");
    }
}

#[test]
fn a_load_balancer_that_refuses_the_mixture_ends_the_run_at_the_origin() {
    let mut universe = Universe::for_playbook(&playbook(SHORT), Scenario::Healthy, 7, epoch());
    universe.knobs.rejects_mixed_families = true;
    let mut lab = Lab::in_universe(playbook(SHORT), universe);
    lab.start();
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    let (cause, reason) = lab.progress().unwinding.unwrap();
    assert_eq!(cause, Cause::Refused);
    assert!(reason.contains("same IP address type"), "{reason}");
    lab.assert_origin("refused");
}

/// The load balancer refuses a sticky group beside another unless the rule is sticky too: every rule
/// becomes so for the time of the run, and no rule stays so.
#[test]
fn sticky_targets_make_the_rules_sticky_while_the_run_is_open() {
    for (text, seconds) in
        [(SHORT.to_owned(), 3600), (SHORT.replace("weights: {}", "weights: { stickiness: 5m }"), 300)]
    {
        let world = || {
            let playbook = playbook(&text);
            let mut universe = Universe::for_playbook(&playbook, Scenario::Healthy, 7, epoch());
            let blue = universe.blue.target_groups[0].clone();
            let group = universe.target_groups.get_mut(&blue).unwrap();
            group.group.attributes.insert("stickiness.enabled".into(), "true".into());
            // The rule with a third group was sticky before, or the load balancer had refused it.
            let third = universe.routes.values_mut().find(|r| r.route.actual.priority == Some(30)).unwrap();
            let mut route = third.route.actual.clone();
            let config = route.actions.iter_mut().find_map(|a| a.forward_config.as_mut()).unwrap();
            config.target_group_stickiness_config =
                Some(GroupStickiness { enabled: Some(true), duration_seconds: Some(77) });
            third.route = Lagging::new(route);
            Lab::in_universe(playbook, universe)
        };
        let mut lab = world();
        reached(&lab.start(), &lab);
        reached(&lab.advance(false, false), &lab);
        let universe = lab.sim.universe();
        for route in lab.progress().header.plan.routes() {
            let actions = &universe.routes[route.at.arn()].route.actual.actions;
            let config = actions.iter().find_map(|a| a.forward_config.as_ref()).unwrap();
            let sticky = config.target_group_stickiness_config.as_ref().unwrap();
            let seconds = if route.priority == Some(30) { 77 } else { seconds };
            assert_eq!((sticky.enabled, sticky.duration_seconds), (Some(true), Some(seconds)), "{route:?}");
        }
        assert!(lab.go_home(4), "{}", lab.story());
        lab.assert_origin("sticky, home");

        let mut lab = world();
        assert!(lab.shift_all(6), "{}", lab.story());
        lab.pass(24 * 3600);
        reached(&lab.finish(), &lab);
        lab.assert_lawful("sticky, finished");
        let universe = lab.sim.universe();
        for route in lab.progress().header.plan.routes().filter(|r| r.priority != Some(30)) {
            let actions = &universe.routes[route.at.arn()].route.actual.actions;
            let config = actions.iter().find_map(|a| a.forward_config.as_ref()).unwrap();
            let enabled = config.target_group_stickiness_config.as_ref().and_then(|c| c.enabled);
            assert_ne!(enabled, Some(true), "{route:?}: green alone needs no sticky rule");
        }
    }
}

/// A service in two target groups behind two load balancers: every route of both moves in each shift.
#[test]
fn groups_behind_two_load_balancers_move_together() {
    let world = || {
        let text = SHORT.replace("name: web }", "name: web, target_groups: [web, web-admin] }");
        let playbook = playbook(&text);
        let mut universe = Universe::for_playbook(&playbook, Scenario::Healthy, 7, epoch());
        let mut balancer = universe.load_balancers.values().next().unwrap().clone();
        balancer.arn = balancer.arn.replace("loadbalancer/app/web/", "loadbalancer/app/admin/");
        let listener = format!("{}/0001", balancer.arn.replace(":loadbalancer/", ":listener/"));
        let rule = universe.routes.values().find(|r| r.route.actual.priority == Some(41)).unwrap().clone();
        universe.routes.remove(rule.route.actual.at.arn());
        let route = Route {
            at: RouteAt::Listener(listener.clone()),
            load_balancer: balancer.arn.clone(),
            listener: listener.clone(),
            priority: None,
            conditions: Vec::new(),
            ..rule.route.actual
        };
        universe.load_balancers.insert(balancer.arn.clone(), balancer);
        universe.routes.insert(
            listener,
            SimRoute { route: Lagging::new(route), tags: rule.tags, traffic: rule.traffic, protocol: None },
        );
        universe.settle();
        Lab::in_universe(playbook, universe)
    };
    let mut lab = world();
    reached(&lab.start(), &lab);
    assert_eq!(lab.progress().header.plan.routes().count(), 5);
    assert_eq!(lab.progress().header.plan.listeners().len(), 2);
    reached(&lab.advance(false, false), &lab);
    assert!(lab.go_home(4), "{}", lab.story());
    lab.assert_origin("two load balancers");

    let mut lab = world();
    assert!(lab.shift_all(6), "{}", lab.story());
    lab.pass(24 * 3600);
    reached(&lab.finish(), &lab);
    lab.assert_lawful("two load balancers, finished");
}

#[test]
fn a_stop_holds_or_rolls_back_as_the_playbook_says() {
    let mut lab = started(SHORT, Scenario::Healthy);
    lab.advance(false, true);
    *lab.signal.lock().unwrap() = Some(Signal::Terminate);
    let before = lab.sim.universe().routes;
    let end = lab.advance(false, false);
    assert!(matches!(end, End::Stop(Stop::Interrupted(Signal::Terminate))), "{end:?}");
    assert_eq!(lab.sim.universe().routes, before);
    assert!(matches!(lab.store.records.last().unwrap().event, Event::Interrupted { .. }));
    *lab.signal.lock().unwrap() = None;
    let end = lab.advance(false, false);
    reached(&end, &lab);
    lab.assert_lawful("hold");

    let mut lab = started(&format!("{SHORT}on_cancel: rollback\n"), Scenario::Healthy);
    *lab.signal.lock().unwrap() = Some(Signal::Interrupt);
    let end = lab.advance(false, false);
    assert!(matches!(end, End::Stop(Stop::Interrupted(Signal::Interrupt))), "{end:?}");
    assert_eq!(lab.phase(), Some(Phase::Open), "nothing is exposed, so there is nothing to take home");
    *lab.signal.lock().unwrap() = None;
    lab.advance(false, true);
    let begun = lab.sim.now();
    *lab.signal.lock().unwrap() = Some(Signal::Interrupt);
    let end = lab.advance(false, false);
    assert!(matches!(end, End::Stop(Stop::Interrupted(Signal::Interrupt))), "{end:?}");
    assert!(lab.progress().home, "{}", lab.story());
    assert!((lab.sim.now() - begun).num_seconds() < 6);
    *lab.signal.lock().unwrap() = None;
    assert!(lab.go_home(3));
    lab.assert_origin("cancelled");
}

#[test]
fn credentials_that_end_too_soon_hold_before_the_shift() {
    let mut lab = started(SHORT, Scenario::Healthy);
    let soon = lab.sim.now() + chrono::TimeDelta::minutes(7);
    lab.sim.with(|u| u.identity.expires = Some(soon)).unwrap();
    let end = lab.advance(false, false);
    let reason = held(&end, &lab, HoldReason::Credentials);
    assert!(reason.contains("expire"), "{reason}");
    assert_eq!(lab.progress().stage, 0);
    // Without a bake to wait for they last.
    let end = lab.advance(false, true);
    reached(&end, &lab);
    lab.sim.with(|u| u.identity.account = "999999999999".to_owned()).unwrap();
    lab.pass(400);
    let end = lab.advance(false, true);
    let reason = held(&end, &lab, HoldReason::Credentials);
    assert!(reason.contains("999999999999"), "{reason}");
}

#[test]
fn too_little_traffic_holds_or_goes_on_as_the_playbook_says() {
    for (policy, passes) in [("hold", false), ("advance", true)] {
        let text = format!("{SHORT}health: {{ min_requests: 1000000, on_no_data: {policy} }}\n");
        let mut lab = started(&text, Scenario::Healthy);
        let end = lab.advance(false, false);
        if passes {
            reached(&end, &lab);
        } else {
            let reason = held(&end, &lab, HoldReason::NotEnoughEvidence);
            assert!(reason.contains("1000000"), "{reason}");
        }
        assert_eq!(lab.progress().passed, usize::from(passes));
        lab.assert_lawful(policy);
    }
}

#[test]
fn a_green_that_breaks_after_the_shift_is_found_while_nobody_waits() {
    let mut lab = started(SHORT, Scenario::Healthy);
    lab.advance(false, true);
    lab.pass(200);
    lab.sim.with(|u| u.scenario = Scenario::GreenErrors).unwrap();
    lab.pass(1200);
    lab.advance(false, true);
    assert_eq!(lab.phase(), Some(Phase::RolledBack), "{}", lab.story());
    assert_eq!(lab.progress().judged.map(|j| j.judgement.verdict), None);
    lab.assert_lawful("late");
    let degraded = |e: &Event| matches!(e, Event::Judged { judgement, .. } if judgement.verdict == Verdict::Degraded);
    assert!(lab.store.records.iter().any(|r| degraded(&r.event)));
}

/// The budget of the issue: one `advance` without waiting, and one rollback, in port calls that
/// follow one another.
#[test]
fn verbs_cost_few_calls() {
    let mut lab = started(SHORT, Scenario::Healthy);
    let calls = |lab: &Lab| {
        let calls = lab.sim.universe().calls;
        let writes: u64 = calls.by_operation.iter().filter(|(k, _)| k.contains(":Modify")).map(|(_, n)| n).sum();
        // The writes of a shift go out together, and so do the reads of a sweep.
        let beside: u64 = ["cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms"]
            .iter()
            .filter_map(|name| calls.by_operation.get(*name))
            .sum();
        (calls.count - writes - beside, writes)
    };
    for stage in 1..=2 {
        let before = calls(&lab);
        let end = lab.advance(false, true);
        reached(&end, &lab);
        let after = calls(&lab);
        assert_eq!(lab.progress().stage, stage);
        assert_eq!(after.1 - before.1, 4, "four routes");
        let sequential = after.0 - before.0 + 1;
        assert!(sequential <= 5, "{sequential}: {:?}", lab.sim.universe().calls.recent);
        lab.pass(400);
    }
    let before = calls(&lab);
    let end = lab.rollback(false);
    reached(&end, &lab);
    let after = calls(&lab);
    // One look, one write of all, one reading back; the scaling of both is set back beside it.
    assert_eq!((after.0 - before.0 - 2 + 1, after.1 - before.1), (3, 4), "{:?}", lab.sim.universe().calls.recent);
}

#[test]
fn a_stuck_run_says_what_is_left_in_commands() {
    let mut lab = started(SHORT, Scenario::Healthy);
    lab.advance(false, true);
    let shown = commands(&migrate::journal::progress::Progress { remove_green: true, ..lab.progress() });
    let words = [
        "modify-rule",
        "modify-rule",
        "modify-rule",
        "modify-listener",
        "register-scalable-target",
        "deregister-scalable-target",
        "delete-service",
        "services-inactive",
        "register-scalable-target",
        "deregister-task-definition",
        "delete-target-group",
    ];
    assert_eq!(shown.len(), words.len(), "{shown:#?}");
    for (command, word) in shown.iter().zip(words) {
        assert!(command.starts_with("aws ") && command.contains(word), "{command}");
        assert!(command.contains("--region eu-central-1") && !command.contains('\n'), "{command}");
        assert_eq!(command.matches('\'').count() % 2, 0, "{command}");
    }
    assert!(shown[1].contains("UseExistingClientSecret"), "{shown:#?}");
}
