//! Events and their fold: what can be written, what may follow what, and what is decided then.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use migrate::clock::Signal;
use migrate::cloud::sim::Scenario;
use migrate::cloud::{Cause as CallCause, CloudError};
use migrate::execute::Stop;
use migrate::execute::ask::{self, Ask, Retire, Return};
use migrate::execute::decide::{Step, decide};
use migrate::gate::{Judgement, Tally, Verdict};
use migrate::journal::calls::{Answer, Call, Moment};
use migrate::journal::progress::{Phase, Progress};
use migrate::journal::{Cause, Event, Goal, HoldReason, Record, Settlement};
use migrate::operation::{Drift, Made};
use migrate::playbook::OnNoData;
use migrate::traffic::Share;

use super::lab::Lab;

const GOAL: Goal = Goal { through: 1, settle: true, patient: true, approves: Some(1) };

fn judged(verdict: Verdict) -> Judgement {
    Judgement {
        verdict,
        against: false,
        reason: "numbers".into(),
        tally: Tally::default(),
        healthy_hosts: 4,
        weighed: None,
    }
}

fn error(cause: CallCause) -> CloudError {
    CloudError { operation: "ecs:CreateService".into(), cause, message: "said".into() }
}

fn samples() -> Vec<Event> {
    let operation = || "create-service".to_owned();
    let drift = Drift { what: "arn".into(), expected: "a".into(), found: "b".into() };
    let made: Made = [("service".to_owned(), "arn".to_owned())].into();
    let outcomes = [
        Settlement::Done(made),
        Settlement::NotDone(error(CallCause::Refused)),
        Settlement::Unknown(error(CallCause::Unknown)),
        Settlement::Drift(drift),
    ];
    let now = super::lab::epoch();
    let mut events = vec![
        Event::Resumed { verb: "advance".into() },
        Event::Intended { operation: operation() },
        Event::UndoIntended { operation: operation() },
        Event::Readied,
        Event::Advanced(GOAL),
        Event::Advanced(Goal { approves: None, ..GOAL }),
        Event::ShiftIntended { stage: 1, share: Share::from_permille(5) },
        Event::BakeBegan { stage: 1, until: now },
        Event::StagePassed { stage: 1 },
        Event::Shifted,
        Event::Held { why: HoldReason::Approval, reason: "r".into() },
        Event::Unwinding { cause: Cause::Gate, reason: "r".into(), remove_green: true },
        Event::RolledBack,
        Event::Stuck { reason: "r".into(), commands: vec!["aws".into()] },
        Event::Finishing,
        Event::Finished,
        Event::Interrupted { signal: Signal::Yield },
    ];
    for outcome in [Answer::Done, Answer::Failed { reason: "r".into() }, Answer::Skipped { reason: "r".into() }] {
        let call = Call {
            id: "1".into(),
            moment: Moment::BeforeShift,
            stage: 1,
            occasion: 9,
            index: 0,
            what: "`check`".into(),
            outcome,
        };
        events.push(Event::Called(Box::new(call)));
    }
    for verdict in [Verdict::Healthy, Verdict::NotEnoughEvidence, Verdict::CannotSee, Verdict::Degraded] {
        events.push(Event::Judged { stage: 1, judgement: Box::new(judged(verdict)), read: None });
    }
    for outcome in outcomes {
        events.push(Event::Settled { operation: operation(), outcome: outcome.clone() });
        events.push(Event::UndoSettled { operation: operation(), outcome: outcome.clone() });
        events.push(Event::ShiftSettled { stage: 1, outcome });
    }
    events
}

#[test]
fn every_event_survives_being_written() {
    let mut lab = Lab::short(Scenario::Healthy);
    lab.start();
    let mut events = samples();
    events.push(lab.store.records[0].event.clone());
    let names: BTreeSet<&str> = events.iter().map(Event::name).collect();
    assert_eq!(names.len(), 22, "one sample of each kind: {names:?}");
    for (event, seq) in events.into_iter().zip(1..) {
        let record = Record { seq, at: super::lab::epoch(), event };
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
    }
}

/// The state of a run after its first `n` records that are named so.
fn after(lab: &Lab, name: &str, n: usize) -> Progress {
    let mut seen = 0;
    let mut progress = Progress::begin(&lab.store.records[0]).unwrap();
    for record in &lab.store.records[1..] {
        progress.apply(record).unwrap();
        seen += usize::from(record.event.name() == name);
        if seen == n {
            break;
        }
    }
    assert_eq!(seen, n, "{name}");
    progress
}

fn append(progress: &Progress, event: Event) -> Result<Progress, String> {
    let mut next = progress.clone();
    let record = Record { seq: progress.last.0 + 1, at: progress.last.1, event };
    next.apply(&record).map_err(|e| e.to_string())?;
    Ok(next)
}

fn healthy() -> Lab {
    let mut lab = Lab::short(Scenario::Healthy);
    assert!(lab.shift_all(9));
    lab.pass(24 * 3600);
    assert!(lab.finish().reached());
    lab
}

#[test]
fn what_cannot_follow_is_refused() {
    let lab = healthy();
    let states = [
        ("preparing", after(&lab, "intended", 2)),
        ("ready", after(&lab, "readied", 1)),
        ("shifting", after(&lab, "shift_intended", 1)),
        ("baking", after(&lab, "bake_began", 1)),
        ("shifted", after(&lab, "shifted", 1)),
        ("finishing", after(&lab, "finishing", 1)),
        ("finished", after(&lab, "finished", 1)),
    ];
    let taken = |state: &str| -> String {
        let progress = &states.iter().find(|s| s.0 == state).unwrap().1;
        let kinds = samples().into_iter().filter(|e| append(progress, e.clone()).is_ok());
        kinds.map(|e| e.name()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(taken("preparing"), "held intended interrupted readied resumed unwinding");
    assert_eq!(taken("ready"), "advanced held interrupted judged resumed shift_intended unwinding");
    assert_eq!(taken("shifting"), "advanced held interrupted judged resumed shift_intended shift_settled unwinding");
    assert_eq!(taken("baking"), "advanced bake_began held interrupted judged resumed stage_passed unwinding");
    assert_eq!(taken("shifted"), "finishing held interrupted judged resumed unwinding");
    // The samples speak of an operation that this run began.
    assert_eq!(taken("finishing"), "finished held intended interrupted resumed settled unwinding");
    assert_eq!(taken("finished"), "interrupted resumed");
    let ready = &states[1].1;
    let shift = |stage| append(ready, Event::ShiftIntended { stage, share: Share::ALL });
    assert!(shift(0).is_err() && shift(2).is_err() && shift(9).is_err());
    let gap = Record { seq: ready.last.0 + 2, at: ready.last.1, event: Event::Resumed { verb: "x".into() } };
    assert!(ready.clone().apply(&gap).is_err(), "a record is missing");
    let back = Record { seq: ready.last.0 + 1, at: ready.last.1 - TimeDelta::seconds(1), event: gap.event };
    assert!(ready.clone().apply(&back).is_err(), "time runs backwards");
    assert!(Progress::begin(&back).is_err());
}

#[test]
fn a_refused_event_changes_nothing() {
    let lab = healthy();
    let ready = after(&lab, "readied", 1);
    let mut same = ready.clone();
    let record = Record { seq: ready.last.0 + 1, at: ready.last.1, event: Event::Finished };
    let error = same.apply(&record).unwrap_err();
    assert_eq!(same, ready);
    assert_eq!(
        error.to_string(),
        "record 25 of the journal cannot follow what stands before it: `finished` while open"
    );
}

#[test]
fn an_unwinding_before_any_shift_needs_no_way_home() {
    let lab = healthy();
    let unwinding = Event::Unwinding { cause: Cause::Asked, reason: "r".into(), remove_green: false };
    let early = append(&after(&lab, "settled", 2), unwinding.clone()).unwrap();
    assert!(append(&early, Event::RolledBack).is_ok());
    let late = append(&after(&lab, "bake_began", 1), unwinding).unwrap();
    assert!(append(&late, Event::RolledBack).is_err(), "traffic is not home");
    assert!(matches!(decide(&late, late.last.1), Step::Shift { stage: 0, .. }));
}

#[test]
fn a_blind_time_is_not_baked() {
    let lab = healthy();
    let mut progress = after(&lab, "bake_began", 1);
    let until = progress.bake.clone().unwrap().until;
    let mut at = progress.last.1;
    let mut judge = |progress: &mut Progress, verdict, seconds| {
        at += TimeDelta::seconds(seconds);
        let event = Event::Judged { stage: 1, judgement: Box::new(judged(verdict)), read: None };
        progress.apply(&Record { seq: progress.last.0 + 1, at, event }).unwrap();
    };
    judge(&mut progress, Verdict::Healthy, 60);
    judge(&mut progress, Verdict::CannotSee, 60);
    judge(&mut progress, Verdict::CannotSee, 60);
    judge(&mut progress, Verdict::CannotSee, 60);
    assert_eq!(progress.bake.clone().unwrap().until, until + TimeDelta::seconds(120));
    assert!(progress.blind_since.is_some());
    judge(&mut progress, Verdict::Healthy, 60);
    assert_eq!(progress.blind_since, None);
}

/// Appends a judgement made so many seconds ago.
fn with_verdict(progress: &Progress, verdict: Verdict) -> Progress {
    append(progress, Event::Judged { stage: progress.stage, judgement: Box::new(judged(verdict)), read: None }).unwrap()
}

#[test]
fn verdicts_by_table() {
    use Verdict::{CannotSee, Degraded, Healthy, NotEnoughEvidence};
    let lab = healthy();
    let ready = append(&after(&lab, "readied", 1), Event::Advanced(GOAL)).unwrap();
    let baking = after(&lab, "bake_began", 1);
    let soon = |p: &Progress| p.last.1 + TimeDelta::seconds(1);
    let shown = |step: Step| match step {
        Step::Record(event) => match event {
            Event::Held { why, .. } => format!("held {why:?}"),
            event => event.name().to_owned(),
        },
        Step::WaitUntil(..) => "wait".to_owned(),
        Step::Return(stop) => format!("{stop:?}"),
        Step::Judge => "judge".to_owned(),
        Step::Shift { stage, .. } => format!("shift {stage}"),
        step => format!("{step:?}"),
    };
    let decided = |p: &Progress, v| {
        let p = with_verdict(p, v);
        shown(decide(&p, soon(&p)))
    };
    assert_eq!(shown(decide(&ready, soon(&ready))), "judge");
    let of = |p: &Progress| [Healthy, NotEnoughEvidence, CannotSee, Degraded].map(|v| decided(p, v));
    assert_eq!(of(&ready), ["shift 1", "held NotReady", "wait", "held NotReady"]);
    assert_eq!(of(&baking), ["wait", "wait", "wait", "unwinding"]);
    // The bake is over.
    let mut over = baking.clone();
    over.bake.as_mut().unwrap().until = over.last.1;
    assert_eq!(of(&over), ["stage_passed", "wait", "wait", "unwinding"]);
    over.bake.as_mut().unwrap().until = over.last.1 - TimeDelta::minutes(6);
    over.bake.as_mut().unwrap().began = over.last.1 - TimeDelta::minutes(11);
    assert_eq!(of(&over), ["stage_passed", "held NotEnoughEvidence", "wait", "unwinding"]);
    over.blind_since = Some(over.last.1 - TimeDelta::minutes(6));
    assert_eq!(decided(&over, CannotSee), "held Blind");
    // That too little was seen may be accepted, or be reason enough to go home; what speaks against
    // green may not be accepted.
    let policy = |on_no_data, against| {
        let mut p = over.clone();
        p.blind_since = None;
        Arc::make_mut(&mut p.header).plan.playbook.health.on_no_data = on_no_data;
        let judgement = Judgement { against, ..judged(NotEnoughEvidence) };
        let event = Event::Judged { stage: p.stage, judgement: Box::new(judgement), read: None };
        let p = append(&p, event).unwrap();
        shown(decide(&p, soon(&p)))
    };
    let decided_by = |p| [false, true].map(|against| policy(p, against));
    assert_eq!(decided_by(OnNoData::Hold), ["held NotEnoughEvidence", "held NotEnoughEvidence"]);
    assert_eq!(decided_by(OnNoData::Advance), ["stage_passed", "held NotEnoughEvidence"]);
    assert_eq!(decided_by(OnNoData::Rollback), ["unwinding", "unwinding"]);
    // Between two stages: suspicion keeps the next one from beginning.
    let passed = append(&after(&lab, "stage_passed", 1), Event::Advanced(Goal { through: 2, ..GOAL })).unwrap();
    let between = |against| {
        let judgement = Judgement { against, ..judged(NotEnoughEvidence) };
        let event = Event::Judged { stage: 1, judgement: Box::new(judgement), read: None };
        let p = append(&passed, event).unwrap();
        shown(decide(&p, soon(&p)))
    };
    assert_eq!([false, true].map(between), ["held Approval", "held NotEnoughEvidence"]);
    // A verdict of before the end does not end the bake.
    let mut stale = with_verdict(&baking, Healthy);
    stale.bake.as_mut().unwrap().until = soon(&stale);
    assert_eq!(shown(decide(&stale, soon(&stale) + TimeDelta::seconds(1))), "judge");
}

#[test]
fn a_step_never_waits_for_the_past() {
    // A loop that waits for a time that is over would never end.
    for scenario in [Scenario::Healthy, Scenario::MetricsOutage, Scenario::GreenErrors] {
        let mut lab = Lab::short(scenario);
        lab.shift_all(6);
        let mut progress = Progress::begin(&lab.store.records[0]).unwrap();
        for record in &lab.store.records[1..] {
            progress.apply(record).unwrap();
            for seconds in [0, 1, 9, 11, 59, 61, 301, 100_000] {
                let now = progress.last.1 + TimeDelta::seconds(seconds);
                if let Step::WaitUntil(until, what) = decide(&progress, now) {
                    assert!(until > now && !what.is_empty(), "{what} after {:?}", record.event.name());
                }
            }
        }
    }
}

#[test]
fn failures_are_counted_and_given_up() {
    let lab = healthy();
    let mut progress = after(&lab, "intended", 2);
    let operation = "set-target-group-attributes-1".to_owned();
    let fail = |p: &Progress, cause| {
        let outcome = Settlement::NotDone(error(cause));
        append(p, Event::Settled { operation: operation.clone(), outcome }).unwrap()
    };
    for attempt in 1..6 {
        progress = fail(&progress, CallCause::Unreachable);
        let now = progress.last.1;
        let Step::WaitUntil(until, why) = decide(&progress, now) else { panic!("attempt {attempt}") };
        assert!(until - now == TimeDelta::seconds((1 << attempt).min(60)) && why.contains("said"), "{attempt}");
        assert_eq!(decide(&progress, until), Step::Perform(operation.clone()));
    }
    // Others have their turn first: throttling is waited out three times as long.
    assert!(matches!(decide(&fail(&progress, CallCause::Throttled), progress.last.1), Step::WaitUntil(..)));
    progress = fail(&progress, CallCause::Unreachable);
    let Step::Record(Event::Held { why, reason }) = decide(&progress, progress.last.1) else { panic!() };
    assert!(why == HoldReason::Failing && reason.contains("6 attempts"), "{reason}");
    let resumed = append(&progress, Event::Resumed { verb: "start".into() }).unwrap();
    assert_eq!(decide(&resumed, resumed.last.1), Step::Perform(operation.clone()));
    for (cause, expected) in [
        (CallCause::Refused, HoldReason::Failing),
        (CallCause::Denied, HoldReason::Failing),
        (CallCause::NotFound, HoldReason::Failing),
        (CallCause::Credentials, HoldReason::Credentials),
    ] {
        let failed = fail(&resumed, cause);
        let Step::Record(Event::Held { why, .. }) = decide(&failed, failed.last.1) else { panic!("{cause:?}") };
        assert_eq!(why, expected, "{cause:?}");
    }
}

#[test]
fn what_advance_asks_by_table() {
    let lab = healthy();
    let ready = after(&lab, "readied", 1);
    let goal = |through, settle, patient, approves| Ask::New(Goal { through, settle, patient, approves });
    assert_eq!(ask::advance(&after(&lab, "intended", 1), false, false), Ask::Resume);
    assert_eq!(ask::advance(&ready, false, false), goal(1, true, true, Some(1)));
    assert_eq!(ask::advance(&ready, false, true), goal(1, false, false, Some(1)));
    assert_eq!(ask::advance(&ready, true, false), goal(3, true, true, None));
    assert_eq!(ask::advance(&ready, true, true), goal(3, true, false, None));
    let asked = |g: &Ask| match g {
        Ask::New(goal) => append(&ready, Event::Advanced(*goal)).unwrap(),
        other => panic!("{other:?}"),
    };
    // The same call again carries on, another one asks for something else.
    for (all, no_wait) in [(false, false), (false, true), (true, false), (true, true)] {
        let under_way = asked(&ask::advance(&ready, all, no_wait));
        assert_eq!(ask::advance(&under_way, all, no_wait), Ask::Resume, "{all} {no_wait}");
        assert_ne!(ask::advance(&under_way, !all, no_wait), Ask::Resume, "{all} {no_wait}");
        let why = Event::Held { why: HoldReason::Blind, reason: "r".into() };
        let held = append(&under_way, why).unwrap();
        assert!(matches!(ask::advance(&held, all, no_wait), Ask::New(_)), "{all} {no_wait}");
    }
    // A plain call after an interrupted `--all` finishes the stage under way, and no more.
    let mut baking = after(&lab, "bake_began", 2);
    baking.goal = Some(Goal { through: 3, settle: true, patient: true, approves: None });
    assert_eq!(ask::advance(&baking, false, false), goal(2, true, true, Some(2)));
    // After a shift without waiting, the next plain call judges it and goes for the next stage.
    baking.goal = Some(Goal { through: 2, settle: false, patient: false, approves: Some(2) });
    assert_eq!(ask::advance(&baking, false, true), goal(3, false, false, Some(3)));
    // At the last stage only its verdict is left.
    let mut last = after(&lab, "bake_began", 3);
    last.goal = Some(Goal { through: 3, settle: false, patient: false, approves: Some(3) });
    assert_eq!(ask::advance(&last, false, true), goal(3, true, false, Some(3)));
    assert_eq!(ask::advance(&after(&lab, "shifted", 1), false, false), Ask::AlreadyShifted);
    assert_eq!(ask::advance(&after(&lab, "finished", 1), true, false), Ask::AlreadyShifted);
}

#[test]
fn what_rollback_and_finish_ask_by_table() {
    let lab = healthy();
    let (ready, shifted) = (after(&lab, "readied", 1), after(&lab, "shifted", 1));
    let unwinding = |p: &Progress, remove_green| {
        let Return::Unwind(event) = ask::rollback(p, remove_green) else { panic!() };
        assert!(matches!(event, Event::Unwinding { cause: Cause::Asked, remove_green: r, .. } if r == remove_green));
        append(p, event).unwrap()
    };
    let kept = unwinding(&ready, false);
    assert_eq!(ask::rollback(&kept, false), Return::Resume);
    let removed = unwinding(&kept, true);
    assert_eq!(ask::rollback(&removed, true), Return::Resume);
    assert_eq!(ask::rollback(&removed, false), Return::Resume);
    let home = Progress { phase: Phase::RolledBack, ..kept.clone() };
    assert_eq!(ask::rollback(&home, false), Return::AlreadyHome);
    assert!(matches!(ask::rollback(&home, true), Return::Unwind(_)));
    // A finish that a hook keeps from beginning is not past the point of no return.
    let finishing = after(&lab, "finishing", 1);
    assert!(matches!(ask::rollback(&finishing, false), Return::Unwind(_)));
    let retiring = append(&finishing, Event::Intended { operation: "replace-blue-in-routes".into() }).unwrap();
    assert_eq!(ask::rollback(&retiring, false), Return::TooLate);
    let back = Event::Unwinding { cause: Cause::Asked, reason: "r".into(), remove_green: false };
    assert!(append(&retiring, back).is_err());
    assert_eq!(ask::advance(&kept, false, false), Ask::Resume);
    assert_eq!(ask::advance(&home, false, false), Ask::RolledBack);

    let passed = shifted.shifted_at.unwrap();
    let day = TimeDelta::hours(24);
    assert_eq!(ask::finish(&shifted, passed + day - TimeDelta::seconds(1)), Retire::TooEarly(passed + day));
    assert_eq!(ask::finish(&shifted, passed + day), Retire::Begin);
    assert_eq!(ask::finish(&after(&lab, "finishing", 1), passed), Retire::Resume);
    assert_eq!(ask::finish(&after(&lab, "finished", 1), passed), Retire::AlreadyFinished);
    assert_eq!(ask::finish(&ready, passed + day), Retire::NotShifted);
    assert_eq!(ask::finish(&kept, passed + day), Retire::NotShifted);
    assert_eq!(decide(&shifted, passed), Step::Return(Stop::Reached));
}
