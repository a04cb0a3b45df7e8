//! Hooks and notices: when they are called, what their failure does, and that each call is made at least once.

use migrate::cloud::Cause as CallCause;
use migrate::cloud::sim::{Fault, FaultAt, FaultKind, Scenario};
use migrate::execute::Stop;
use migrate::journal::calls::{Answer, Call, Moment};
use migrate::journal::progress::Phase;
use migrate::journal::{Cause, Event, HoldReason};

use super::lab::{Crash, End, Lab, SHORT, playbook};

const HOOKS: &str = "\
hooks:
  before_shift: [{ command: { run: [before] } }, { webhook: { url: \"https://hooks.example.com/x\" } }]
  after_shift: [{ command: { run: [after] } }]
  on_hold: [{ command: { run: [hold] } }]
  on_rollback: [{ command: { run: [rollback] } }]
  on_finish: [{ command: { run: [finish] } }]
finish: { keep_blue: 0s }
";

fn lab(more: &str) -> Lab {
    Lab::new(playbook(&format!("{SHORT}{more}")), Scenario::Healthy, 7)
}

fn started(more: &str) -> Lab {
    let mut lab = lab(more);
    let end = lab.start();
    assert!(end.reached(), "{end:?}\n{}", lab.story());
    lab
}

fn with(from: &str, to: &str) -> String {
    let changed = HOOKS.replace(from, to);
    assert_ne!(changed, HOOKS);
    changed
}

fn calls(lab: &Lab) -> Vec<Call> {
    let call = |e: &Event| match e {
        Event::Called(call) => Some((**call).clone()),
        _ => None,
    };
    lab.store.records.iter().filter_map(|r| call(&r.event)).collect()
}

/// The places of events in the journal, by name.
fn order(lab: &Lab, names: &[&str]) -> Vec<String> {
    let name = |e: &Event| match e {
        Event::Called(call) => call.moment.name().to_owned(),
        event => event.name().to_owned(),
    };
    lab.store.records.iter().map(|r| name(&r.event)).filter(|n| names.contains(&n.as_str())).collect()
}

#[test]
fn each_is_called_at_its_moment_and_knows_the_run() {
    let mut lab = started(HOOKS);
    assert!(lab.shift_all(9), "{}", lab.story());
    assert!(lab.finish().reached());
    lab.assert_lawful("hooks");
    let names = [
        "before_shift",
        "after_shift",
        "on_hold",
        "on_finish",
        "shift_intended",
        "bake_began",
        "intended",
        "finishing",
        "held",
    ];
    let told = order(&lab, &names);
    let first = told.iter().position(|n| n == "before_shift").unwrap();
    let expected = "before_shift before_shift shift_intended bake_began after_shift held on_hold \
                    before_shift before_shift shift_intended bake_began after_shift \
                    before_shift before_shift shift_intended bake_began after_shift finishing on_finish";
    let story = told[first..].iter().filter(|n| *n != "intended").cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(story, expected);
    let seen = lab.errands.seen();
    let before = &seen[0];
    assert_eq!(before.label, "before_shift");
    assert_eq!(before.environment["MIGRATE_RUN"], "web");
    assert_eq!(
        (before.environment["MIGRATE_HOOK"].as_str(), before.environment["MIGRATE_STAGE"].as_str()),
        ("before_shift", "1")
    );
    let about = &before.about;
    for field in [
        "run",
        "state",
        "stage",
        "stages",
        "green_share",
        "verdict",
        "reason",
        "next",
        "hook",
        "share",
        "sandbox",
        "id",
    ] {
        assert!(about.get(field).is_some(), "{field}: {about}");
    }
    assert_eq!(
        (about["stage"].as_u64(), about["hook_stage"].as_u64(), about["share"].as_f64()),
        (Some(0), Some(1), Some(10.0))
    );
    let ids: std::collections::BTreeSet<String> = seen.iter().map(|s| s.about["id"].to_string()).collect();
    assert_eq!(ids.len(), seen.len(), "an id of its own for each call");
}

#[test]
fn a_failed_hook_keeps_the_stage_from_beginning() {
    let mut lab = started(HOOKS);
    lab.errands.fail("before", 2);
    for attempt in 1..=2 {
        let end = lab.advance(false, false);
        assert!(matches!(end, End::Stop(Stop::Held)), "{attempt}: {end:?}");
        let (why, reason) = lab.held().unwrap();
        assert_eq!(why, HoldReason::Hook);
        assert!(
            reason.contains("before_shift") && reason.contains("exit code 3") && reason.contains("last line"),
            "{reason}"
        );
        assert!(order(&lab, &["shift_intended"]).is_empty(), "nothing was written");
        assert!(lab.progress().calls.failed.is_some());
    }
    // Called once for both: nothing had moved between.
    assert_eq!(order(&lab, &["on_hold"]).len(), 1, "{}", lab.story());
    let end = lab.advance(false, false);
    assert!(end.reached(), "{end:?}\n{}", lab.story());
    assert_eq!(lab.progress().passed, 1);
    assert_eq!(lab.progress().calls.failed, None);
}

#[test]
fn a_failure_may_be_allowed_or_lead_home() {
    let mut tolerant = started(&with("{ run: [before] }", "{ run: [before], on_failure: continue }"));
    tolerant.errands.fail("before", 99);
    assert!(tolerant.advance(false, false).reached());
    assert_eq!(tolerant.progress().passed, 1, "{}", tolerant.story());

    let mut strict = started(&with("{ run: [after] }", "{ run: [after], on_failure: rollback }"));
    strict.errands.fail("after", 1);
    strict.advance(false, false);
    assert_eq!(strict.phase(), Some(Phase::RolledBack), "{}", strict.story());
    let (cause, reason) = strict.progress().unwinding.unwrap();
    assert!(cause == Cause::Hook && reason.contains("after_shift"), "{reason}");
    assert_eq!(strict.sim.universe().foreign_fingerprint(), strict.foreign);
}

#[test]
fn a_failed_hook_after_the_shift_holds_and_is_called_again() {
    let mut lab = started(HOOKS);
    lab.errands.fail("after", 1);
    let end = lab.advance(false, false);
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", lab.story());
    assert_eq!((lab.progress().stage, lab.progress().passed), (1, 0));
    let end = lab.advance(false, false);
    assert!(end.reached(), "{end:?}\n{}", lab.story());
    assert_eq!(lab.progress().passed, 1);
    assert_eq!(order(&lab, &["after_shift"]).len(), 2);
    // A shift that nobody waits for has hooks, too.
    lab.advance(false, true);
    assert_eq!((lab.progress().stage, order(&lab, &["after_shift"]).len()), (2, 3));
}

#[test]
fn the_way_home_waits_for_nobody() {
    let mut lab = started(HOOKS);
    lab.advance(false, true);
    for hook in ["rollback", "hold"] {
        lab.errands.fail(hook, 99);
    }
    let end = lab.rollback(false);
    assert!(end.reached(), "{end:?}");
    let told = order(&lab, &["unwinding", "shift_settled", "on_rollback", "rolled_back"]);
    assert_eq!(told[told.len() - 4..], ["unwinding", "shift_settled", "on_rollback", "rolled_back"], "{told:?}");
    // It is home already; removing green is not another way home.
    assert!(lab.rollback(true).reached());
    assert_eq!(order(&lab, &["on_rollback"]).len(), 1);
    lab.assert_origin("hooks");
}

#[test]
fn a_finish_that_a_hook_forbids_can_still_go_home() {
    let mut lab = started(HOOKS);
    assert!(lab.shift_all(9));
    lab.errands.fail("finish", 2);
    let end = lab.finish();
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}");
    assert_eq!(lab.sim.universe().services["prod/web"].service.actual.desired_count, 4, "blue is as it was");
    let end = lab.finish();
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}");
    assert!(lab.rollback(true).reached(), "{}", lab.story());
    lab.assert_origin("forbidden");
    let mut other = started(HOOKS);
    assert!(other.shift_all(9));
    other.errands.fail("finish", 1);
    other.finish();
    assert!(other.finish().reached(), "{}", other.story());
    assert_eq!(other.phase(), Some(Phase::Finished));
}

/// A process that dies between a call and its record calls again, and the receiver can tell.
#[test]
fn a_crash_between_call_and_record_calls_again_under_the_same_id() {
    let mut whole = started(HOOKS);
    whole.advance(false, false);
    let first = whole.store.records.iter().position(|r| matches!(r.event, Event::Called(_))).unwrap();
    let mut lab = started(HOOKS);
    lab.store.crash = Some(Crash { append: first + 1, stored: false });
    assert!(matches!(lab.advance(false, false), End::Crashed));
    assert!(lab.advance(false, false).reached(), "{}", lab.story());
    let ids: Vec<String> =
        lab.errands.seen().iter().filter(|s| s.words == "before").map(|s| s.about["id"].to_string()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(calls(&lab).iter().filter(|c| c.what == "`before`").count(), 1);
}

const NOTIFY: &str = "\
notify: { sns: [\"arn:aws:sns:us-east-1:123456789012:deploys\"], webhook: [\"https://hooks.slack.com/services/T/B/secret\"] }
finish: { keep_blue: 0s }
";

#[test]
fn others_are_told_with_reason_and_next_command() {
    let mut lab = started(NOTIFY);
    assert!(lab.shift_all(9), "{}", lab.story());
    assert!(lab.finish().reached());
    let sent = lab.sim.universe().messages;
    let subjects: Vec<&str> = sent.iter().map(|m| m.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "migrate web: stage 1 of 3: green has 10%",
            "migrate web: stage 1 of 3 has passed",
            "migrate web: on hold: stage 2 wants an approval: `migrate advance` gives it",
            "migrate web: stage 2 of 3: green has 50%",
            "migrate web: stage 2 of 3 has passed",
            "migrate web: stage 3 of 3: green has 100%",
            "migrate web: stage 3 of 3 has passed",
            "migrate web: finished: green serves in blue's place",
        ]
    );
    assert!(sent[2].message.contains("next: migrate advance web"), "{}", sent[2].message);
    let seen = lab.errands.seen();
    assert_eq!(seen.len(), sent.len(), "the webhook is told as much");
    assert!(seen[2].about["text"].as_str().unwrap().contains("approval") && seen[2].about["run"] == "web");
    assert!(calls(&lab).iter().all(|c| !c.what.contains("secret")), "an address may be a secret");
    assert!(lab.progress().calls.news.is_empty());
}

#[test]
fn a_notice_that_fails_changes_nothing_and_is_not_tried_for_ever() {
    let mut lab = lab(NOTIFY);
    let every = FaultAt::Every("sns:Publish".to_owned());
    lab.sim.with(|u| u.faults.push(Fault { call: every, kind: FaultKind::RefuseBefore(CallCause::Denied) })).unwrap();
    lab.errands.fail("https://hooks.slack.com/services/T/B/secret", 99);
    assert!(lab.start().reached());
    assert!(lab.advance(false, false).reached(), "{}", lab.story());
    let failed = calls(&lab).iter().filter(|c| matches!(c.outcome, Answer::Failed { .. })).count();
    assert_eq!(failed, 2 * 2 * 2, "two pieces of news, two receivers, two attempts\n{}", lab.story());
    assert!(lab.progress().calls.news.is_empty());
    assert!(lab.rollback(true).reached());
    let told = order(&lab, &["shift_settled", "notice"]);
    assert_eq!(told.last().map(String::as_str), Some("notice"), "home comes first: {told:?}");
    lab.assert_origin("notices");
}

#[test]
fn only_what_was_asked_for_is_told() {
    let mut lab = started(&NOTIFY.replace("webhook:", "on: [rollback], webhook:"));
    lab.advance(false, false);
    assert!(lab.sim.universe().messages.is_empty());
    lab.rollback(false);
    let sent = lab.sim.universe().messages;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].subject, "migrate web: traffic is home: `migrate rollback` was called");
    assert!(calls(&lab).iter().all(|c| c.moment == Moment::Notice));
}

#[test]
fn a_topic_that_is_not_there_blocks() {
    let lab = lab("notify: { sns: [\"arn:aws:sns:us-east-1:123456789012:missing-topic\"] }\n");
    let Err(End::Blocked(findings)) = lab.plan() else { panic!("a plan for a topic that is not there") };
    assert!(findings.iter().any(|f| f.rule == "topic-not-found"), "{findings:?}");
}
