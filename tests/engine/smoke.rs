//! Smoke tests: green answers before any user asks it, and nothing of the test is left behind.

use std::collections::BTreeMap;

use migrate::assess::assess;
use migrate::cloud::Cause;
use migrate::cloud::sim::{Fault, FaultAt, FaultKind, Scenario};
use migrate::execute::Stop;
use migrate::finding::Severity;
use migrate::journal::{Event, HoldReason};

use super::lab::{BY_RECORDS, End, Lab, SMOKE_AND_HOOKS, STAGED, playbook};

fn started(text: &str) -> Lab {
    let mut lab = Lab::new(playbook(text), Scenario::Healthy, 7);
    let end = lab.start();
    assert!(end.reached(), "{end:?}\n{}", lab.story());
    lab
}

/// Rules that bear the mark of a smoke test.
fn test_rules(lab: &Lab) -> usize {
    lab.sim.universe().routes.values().filter(|r| r.tags.contains_key("migrate:smoke")).count()
}

fn shifts(lab: &Lab) -> usize {
    lab.store.records.iter().filter(|r| matches!(r.event, Event::ShiftIntended { .. })).count()
}

#[track_caller]
fn not_ready(end: &End, lab: &Lab) -> String {
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", lab.story());
    let (why, reason) = lab.held().unwrap();
    assert_eq!(why, HoldReason::NotReady, "{reason}");
    reason
}

#[test]
fn green_is_asked_before_the_shift_and_nothing_is_left() {
    let mut lab = started(SMOKE_AND_HOOKS);
    assert!(lab.shift_all(9), "{}", lab.story());
    let names: Vec<String> = lab
        .store
        .records
        .iter()
        .map(|r| match &r.event {
            Event::Settled { operation, .. } => operation.clone(),
            Event::Called(call) => call.moment.name().to_owned(),
            event => event.name().to_owned(),
        })
        .collect();
    let at = |name: &str| names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no {name} in {names:?}"));
    assert!(at("before_shift") < at("smoke-stage-1") && at("smoke-stage-1") < at("shift_intended"), "{names:?}");
    assert_eq!(test_rules(&lab), 0);
    assert_eq!(lab.sim.universe().calls.by_operation["HTTP GET"], 1);
    lab.assert_lawful("smoke");
    assert!(lab.go_home(3));
    lab.assert_origin("smoke");
}

#[test]
fn a_green_that_answers_otherwise_gets_no_traffic() {
    let mut lab = started(&SMOKE_AND_HOOKS.replace("body: ok", "status: 418"));
    for _ in 0..2 {
        let end = lab.advance(false, false);
        let reason = not_ready(&end, &lab);
        assert!(reason.contains("expected 418, and got 200 and \"ok\" (3 attempts)"), "{reason}");
        assert_eq!((shifts(&lab), test_rules(&lab)), (0, 0));
    }
    assert_eq!(lab.sim.universe().calls.by_operation["HTTP GET"], 6, "asked again by the next advance");
    assert!(lab.rollback(true).reached());
    lab.assert_origin("unexpected");
}

#[test]
fn without_a_priority_before_the_others_it_says_so() {
    let mut lab = started(SMOKE_AND_HOOKS);
    lab.tampered = true;
    lab.sim
        .with(|u| {
            let fixed = u.routes.values().map(|r| &r.route.actual).find(|r| r.priority == Some(40)).unwrap().clone();
            u.create_rule(&fixed.listener, 1, vec!["path-pattern /*".into()], &fixed.actions, BTreeMap::new()).unwrap();
        })
        .unwrap();
    let end = lab.advance(false, false);
    let reason = not_ready(&end, &lab);
    assert!(reason.contains("no priority is free before the rule 1"), "{reason}");
    assert_eq!((shifts(&lab), test_rules(&lab)), (0, 0));
}

/// The process, or the way to AWS, ends while the rule stands: whoever comes next removes it.
#[test]
fn what_a_broken_test_left_is_removed_by_the_next() {
    for home in [false, true] {
        let mut lab = started(SMOKE_AND_HOOKS);
        let call = FaultAt::Every("elasticloadbalancing:DeleteRule".to_owned());
        lab.sim.with(|u| u.faults.push(Fault { call, kind: FaultKind::RefuseBefore(Cause::Denied) })).unwrap();
        let end = lab.advance(false, false);
        assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", lab.story());
        assert_eq!((shifts(&lab), test_rules(&lab)), (0, 1), "the rule stands");
        lab.sim.with(|u| u.faults.clear()).unwrap();
        if !home {
            assert!(lab.advance(false, false).reached(), "{}", lab.story());
            assert_eq!((lab.progress().passed, test_rules(&lab)), (1, 0));
        }
        assert!(lab.rollback(true).reached(), "{}", lab.story());
        lab.assert_origin("left");
    }
}

/// A rule that the tool did not make is neither taken for its own nor removed.
#[test]
fn a_rule_of_others_with_the_same_condition_stays() {
    let text = SMOKE_AND_HOOKS.replace("expect:", "via: { host: smoke.example.com }, expect:");
    let mut lab = started(&text);
    let foreign = lab
        .sim
        .with(|u| {
            let fixed = u.routes.values().map(|r| &r.route.actual).find(|r| r.priority == Some(40)).unwrap().clone();
            let condition = vec!["host-header smoke.example.com".to_owned()];
            u.create_rule(&fixed.listener, 50, condition, &fixed.actions, BTreeMap::new()).unwrap()
        })
        .unwrap();
    assert!(lab.advance(false, false).reached(), "{}", lab.story());
    assert!(lab.sim.universe().routes.contains_key(&foreign));
    assert_eq!(test_rules(&lab), 0);
    lab.assert_lawful("foreign");
}

/// Without a rule: by records green's own load balancer is asked, in stages each of its tasks.
#[test]
fn green_is_asked_at_an_address_of_its_own() {
    let by_records = BY_RECORDS.replacen("bake: 5m", "bake: 5m, smoke: { http: \"https://example.com/\" }", 1);
    let staged = STAGED.replace("50%, bake: 5m", "50%, bake: 5m, smoke: { http: \"http://web.internal:8080/\" }");
    for text in [by_records, staged] {
        let mut lab = started(&text);
        assert!(lab.shift_all(9), "{}", lab.story());
        assert!(lab.sim.universe().calls.by_operation["HTTP GET"] >= 1);
    }
}

/// In stages, green has no task before the first: the test could never pass.
#[test]
fn a_test_before_green_has_tasks_is_refused() {
    let text = STAGED.replacen("bake: 5m", "bake: 5m, smoke: { http: \"http://web.internal:8080/\" }", 1);
    let playbook = playbook(&text);
    let inventory = Lab::new(playbook.clone(), Scenario::Healthy, 7).inventory();
    let findings = assess(&playbook, &inventory);
    let finding = findings.iter().find(|f| f.rule == "smoke-without-green").unwrap();
    assert!(finding.severity == Severity::Block && finding.remedy.contains("second stage"), "{finding:?}");
}
