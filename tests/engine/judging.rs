//! The judge in whole runs: what the monitoring tells, late, wrongly or not at all, and what comes of it.
//!
//! Each run has a declared chance of one percent of a false rollback, so a healthy green that is rolled
//! back here is a bug. Times are minutes since the first shift was asked for.

use chrono::{DateTime, TimeDelta, Utc};
use migrate::clock::Clock;
use migrate::cloud::Cause as CallCause;
use migrate::cloud::sim::{
    Absurd, Disturbance, DisturbanceKind, Episode, Fault, FaultAt, FaultKind, Mood, Scenario, Side, Tamper, Universe,
};
use migrate::gate::course::Course;
use migrate::gate::{Judgement, Minute, Verdict};
use migrate::journal::progress::Phase;
use migrate::journal::store::replay;
use migrate::journal::{Cause, Event, HoldReason};

use super::lab::{Crash, End, Lab, epoch, playbook, web};

const GET_METRICS: &str = "cloudwatch:GetMetricData";
/// An hour at a fifth, then everything.
const HOUR: &str = web!(
    "{ listener_weights: {} }",
    "\
stages:
  - { green: 20%, bake: 60m }
  - { green: 100%, bake: 15m }
"
);
/// Like a canary.
const STEPS: &str = web!(
    "{ listener_weights: {} }",
    "\
stages:
  - { green: 1%, bake: 10m }
  - { green: 10%, bake: 10m }
  - { green: 50%, bake: 10m }
  - { green: 100%, bake: 10m }
"
);

/// A run whose green stands, and has no traffic yet.
struct Trial {
    lab: Lab,
    began: DateTime<Utc>,
}

impl Trial {
    fn of(text: &str, seed: u64, world: impl FnOnce(&mut Universe)) -> Trial {
        let playbook = playbook(text);
        let mut universe = Universe::for_playbook(&playbook, Scenario::Healthy, seed, epoch());
        world(&mut universe);
        let mut lab = Lab::in_universe(playbook, universe);
        let end = lab.start();
        assert!(end.reached(), "{end:?}");
        let began = lab.store.records.last().unwrap().at;
        Trial { lab, began }
    }

    fn new(text: &str) -> Trial {
        Trial::of(text, 7, |_| {})
    }

    fn at(&self, minute: i64) -> DateTime<Utc> {
        self.began + TimeDelta::minutes(minute)
    }

    /// Requests go like this from one minute to another.
    fn live(self, from: i64, to: i64, side: Option<Side>, mood: Mood) -> Trial {
        let episode = Episode { from: self.at(from), to: self.at(to), side, mood };
        self.lab.sim.with(|u| assert!(u.tamper(&Tamper::Live(episode)))).unwrap();
        self
    }

    /// The monitoring is wrong like this from one minute to another.
    fn disturb(self, from: i64, to: i64, kind: DisturbanceKind) -> Trial {
        let disturbance = Disturbance { from: self.at(from), to: self.at(to), kind };
        self.lab.sim.with(|u| assert!(u.tamper(&Tamper::Disturb(disturbance)))).unwrap();
        self
    }

    /// Goes through all stages; what interrupts it is left as it is.
    fn go(mut self) -> Trial {
        self.lab.advance(true, false);
        self
    }

    fn passes(self, what: &str) -> Trial {
        let story = || self.lab.story();
        assert_eq!(self.lab.phase(), Some(Phase::Shifted), "{what}\n{}", story());
        self.lab.assert_lawful(what);
        self
    }

    fn rolls_back(self, what: &str) -> Trial {
        let progress = self.lab.progress();
        assert_eq!(progress.phase, Phase::RolledBack, "{what}\n{}", self.lab.story());
        assert_eq!(progress.unwinding.unwrap().0, Cause::Gate, "{what}");
        self.lab.assert_lawful(what);
        self
    }

    fn holds(self, why: HoldReason, what: &str) -> Trial {
        let held = self.lab.held();
        assert_eq!(held.map(|held| held.0), Some(why), "{what}\n{}", self.lab.story());
        assert_eq!(self.lab.phase(), Some(Phase::Open), "{what}: nothing is moved back either");
        self
    }

    /// When the run turned back, in minutes.
    fn turned(&self) -> i64 {
        let turned = self.lab.store.records.iter().find(|r| matches!(r.event, Event::Unwinding { .. }));
        (turned.expect("a run that turned back").at - self.began).num_minutes()
    }

    fn judged(&self) -> Vec<(DateTime<Utc>, Judgement)> {
        let judged = |r: &migrate::journal::Record| match &r.event {
            Event::Judged { judgement, .. } => Some((r.at, (**judgement).clone())),
            _ => None,
        };
        self.lab.store.records.iter().filter_map(judged).collect()
    }

    fn verdict(&self) -> Judgement {
        self.judged().pop().unwrap().1
    }

    /// Every minute that the journal was told of, as often as it was.
    fn told(&self) -> Vec<Minute> {
        let read = |r: &migrate::journal::Record| match &r.event {
            Event::Judged { read: Some(read), .. } => read.minutes.clone(),
            _ => Vec::new(),
        };
        self.lab.store.records.iter().flat_map(read).collect()
    }

    /// The evidence by minute, as the journal alone gives it.
    fn course(&self) -> Course {
        course(&self.lab, self.lab.store.records.len())
    }
}

/// The verdict of the first so many records.
fn course(lab: &Lab, records: usize) -> Course {
    let progress = replay(&lab.store.records[..records]).unwrap().unwrap();
    Course::of(&progress.seen.ledger(&progress.header.plan))
}

fn errors(errors: f64) -> Mood {
    Mood { errors, ..Mood::default() }
}

const GREEN: Option<Side> = Some(Side::Green);

#[test]
fn a_green_that_is_well_passes_and_a_tick_asks_once() {
    let trial = Trial::new(HOUR);
    let asked = |trial: &Trial| trial.lab.sim.universe().calls.by_operation[GET_METRICS];
    let (asked_before, judged_before) = (asked(&trial), trial.judged().len());
    let trial = trial.go().passes("healthy");
    let ticks = u64::try_from(trial.judged().len() - judged_before).unwrap();
    assert!(ticks > 75);
    assert_eq!(asked(&trial) - asked_before, ticks);
    // Nothing changed between readings, so every minute is told once.
    let told: Vec<DateTime<Utc>> = trial.told().iter().map(|minute| minute.start).collect();
    assert!(told.len() > 75 && told.is_sorted_by(|one, next| *next == *one + TimeDelta::minutes(1)), "{told:?}");
}

#[test]
fn a_bad_green_is_rolled_back_for_what_is_wrong_with_it() {
    let slow = Mood { slowness: 2.0, ..Mood::default() };
    let lost = Mood { lost: 0.1, ..Mood::default() };
    for (mood, metric, within) in
        [(errors(0.02), "errors", 8), (slow, "slower than p95", 10), (lost, "load balancer errors", 10)]
    {
        let trial = Trial::new(HOUR).live(0, 999, GREEN, mood).go().rolls_back(metric);
        let weighed = trial.verdict().weighed.unwrap();
        assert_eq!(weighed.metric, metric, "{weighed:?}");
        assert!(trial.turned() <= within, "{metric}: after {} min", trial.turned());
    }
}

#[test]
fn a_green_that_becomes_bad_late_is_rolled_back_within_minutes() {
    for (rate, within) in [(0.005, 12), (0.02, 5), (0.2, 4)] {
        let trial = Trial::new(HOUR).live(30, 999, GREEN, errors(rate)).go().rolls_back("late");
        assert!((31..=30 + within).contains(&trial.turned()), "{rate}: in minute {}", trial.turned());
    }
}

#[test]
fn blue_and_green_failing_alike_is_nobodys_fault() {
    for rate in [0.02, 0.2, 0.9] {
        let trial = Trial::new(HOUR).live(20, 30, None, errors(rate)).go().passes("an outage of both");
        let worst = trial.judged().iter().map(|(_, judgement)| judgement.verdict).max();
        assert!(worst <= Some(Verdict::CannotSee), "{worst:?}");
    }
}

#[test]
fn errors_that_were_there_before_are_no_reason() {
    let old = |u: &mut Universe| u.traffic.base_errors = 0.02;
    Trial::of(HOUR, 7, old).go().passes("2% before, and 2% now");
    Trial::of(HOUR, 7, old).live(5, 999, GREEN, errors(0.02)).go().rolls_back("2% before, and 4% now");
}

#[test]
fn with_all_traffic_the_hard_limit_stands_for_blue() {
    let trial = Trial::new(HOUR).live(67, 999, GREEN, errors(0.03)).go().rolls_back("nobody to compare with");
    let judgement = trial.verdict();
    assert_eq!(judgement.weighed.unwrap().metric, "hard limit", "{}", judgement.reason);
    assert!((68..=73).contains(&trial.turned()), "in minute {}", trial.turned());
}

#[test]
fn an_outage_of_the_monitoring_holds_and_what_it_hid_is_read_back() {
    for kind in [DisturbanceKind::Outage, DisturbanceKind::Partial] {
        // It sees again before anybody gives up: the bake is longer by the time in which nobody could see.
        let trial = Trial::new(HOUR).disturb(20, 23, kind).go().passes("a short outage");
        let blind = trial.judged().iter().filter(|(_, j)| j.verdict == Verdict::CannotSee).count();
        assert!(blind > 5, "{blind} looks could not see");
        let first = trial.lab.store.records.iter().find(|r| matches!(r.event, Event::StagePassed { .. })).unwrap();
        let took = (first.at - trial.began).num_seconds();
        assert!((62 * 60..64 * 60).contains(&took), "{took} s for an hour's bake");
        // It does not: the run holds, and whoever goes on sees what was hidden.
        let trial = Trial::new(HOUR).disturb(20, 50, kind).go().holds(HoldReason::Blind, "a long outage");
        assert_eq!((trial.lab.sim.now() - trial.began).num_minutes(), 25);
        trial.lab.pass(40 * 60);
        let trial = trial.go().passes("and on");
        let told: Vec<DateTime<Utc>> = trial.told().iter().map(|minute| minute.start).collect();
        assert!(told.is_sorted_by(|one, next| *next == *one + TimeDelta::minutes(1)), "no gap: {told:?}");
        // What went wrong in the meantime counts, too.
        let bad = Trial::new(HOUR).disturb(20, 50, kind).live(30, 45, GREEN, errors(0.05));
        let trial = bad.go().holds(HoldReason::Blind, "a long outage");
        trial.lab.pass(40 * 60);
        trial.go().rolls_back("green was bad while nobody saw it");
    }
}

#[test]
fn a_look_that_fails_once_is_no_outage() {
    let refused = FaultKind::RefuseBefore(CallCause::Throttled);
    let fault = Fault { call: FaultAt::Nth { operation: GET_METRICS.into(), n: 30 }, kind: refused };
    Trial::of(HOUR, 7, |u| u.faults = vec![fault]).go().passes("one look");
}

#[test]
fn minutes_that_come_late_are_waited_for_until_they_are_final() {
    let late = |minutes| DisturbanceKind::Late { minutes };
    let trial = Trial::new(HOUR).disturb(0, 999, late(3)).go().passes("a minute late");
    let requests = trial.lab.progress().seen.stage().iter().filter(|m| m.green.requests.is_some()).count();
    assert!(requests >= 10, "{requests}");
    Trial::new(HOUR).disturb(0, 999, late(3)).live(10, 999, GREEN, errors(0.05)).go().rolls_back("bad and late");
    let trial = Trial::new(HOUR).disturb(20, 40, late(12)).go().holds(HoldReason::Blind, "too late");
    assert!(trial.verdict().reason.contains("no data for green or blue"), "{}", trial.verdict().reason);
}

#[test]
fn revisions_are_taken_until_a_minute_is_final() {
    let revised = |minutes| DisturbanceKind::Revised { side: Side::Green, minutes, bad: 600.0 };
    for minutes in [3, 4] {
        let trial = Trial::new(HOUR).disturb(20, 23, revised(minutes)).go().rolls_back("revised in time");
        assert!(trial.turned() <= 29, "{}", trial.turned());
    }
    let trial = Trial::new(HOUR).disturb(20, 23, revised(6)).go().passes("revised when final");
    assert!(trial.told().iter().all(|minute| minute.green.bad.is_none_or(|bad| bad < 100.0)));
    // Harmless revisions are told once more, and no more often.
    let small = DisturbanceKind::Revised { side: Side::Blue, minutes: 3, bad: 1.0 };
    let trial = Trial::new(HOUR).disturb(20, 23, small).go().passes("a small revision");
    let mut told: Vec<DateTime<Utc>> = trial.told().iter().map(|minute| minute.start).collect();
    told.sort_unstable();
    let all = told.len();
    told.dedup();
    assert_eq!(all, told.len() + 3);
}

#[test]
fn a_journal_is_not_revised_even_if_cloudwatch_is_asked_again() {
    let revised = DisturbanceKind::Revised { side: Side::Green, minutes: 6, bad: 600.0 };
    for append in 60..66 {
        let mut trial = Trial::new(HOUR).disturb(20, 23, revised);
        trial.lab.store.crash = Some(Crash { append, stored: append % 2 == 0 });
        assert!(matches!(trial.lab.advance(true, false), End::Crashed), "{append}");
        trial.go().passes("revised when final, and killed since");
    }
}

#[test]
fn no_traffic_is_no_verdict() {
    let none = Mood { requests: 0.0, ..Mood::default() };
    let trial = Trial::new(HOUR).live(20, 999, None, none).go().holds(HoldReason::Blind, "traffic ends");
    assert!(trial.verdict().reason.contains("no data for green or blue"), "{}", trial.verdict().reason);
    let trial = Trial::of(HOUR, 7, |u| u.traffic.per_minute = 0.0).go();
    trial.holds(HoldReason::NotEnoughEvidence, "there never was any");
    let trial = Trial::of(HOUR, 7, |u| u.traffic.per_minute = 1.0).go();
    trial.holds(HoldReason::NotEnoughEvidence, "almost none");
}

#[test]
fn one_side_alone_is_blindness() {
    let none = Mood { requests: 0.0, ..Mood::default() };
    for (side, name) in [(Side::Green, "green"), (Side::Blue, "blue")] {
        let silent = |trial: Trial| {
            let trial = trial.go().holds(HoldReason::Blind, name);
            let reason = trial.verdict().reason;
            assert!(reason.contains(&format!("no data for {name} in the last")), "{reason}");
        };
        silent(Trial::new(HOUR).disturb(20, 999, DisturbanceKind::Unreported(side)));
        silent(Trial::new(HOUR).live(20, 999, Some(side), none));
        Trial::new(HOUR).disturb(20, 22, DisturbanceKind::Unreported(side)).go().passes("two minutes are missing");
    }
}

#[test]
fn numbers_that_cannot_be_say_nothing() {
    for absurd in Absurd::ALL {
        for side in [Side::Green, Side::Blue] {
            let kind = DisturbanceKind::Absurd(side, absurd);
            let what = format!("{absurd:?} of {side:?}");
            Trial::new(HOUR).disturb(20, 22, kind).go().passes(&what);
            Trial::new(HOUR).disturb(20, 999, kind).go().holds(HoldReason::Blind, &what);
            let bad = Trial::new(HOUR).disturb(4, 6, kind).live(8, 999, GREEN, errors(0.05));
            bad.go().rolls_back(&what);
        }
    }
}

#[test]
fn failures_that_come_at_once_are_no_more_evidence_than_one() {
    for seed in 0..12 {
        let clustered = |u: &mut Universe| {
            u.knobs.failure_cluster = 8;
            u.traffic.base_errors = 0.002;
        };
        let trial = Trial::of(HOUR, seed, clustered).go().passes("clusters on both sides");
        let phi = trial.lab.progress().header.plan.inventory.history.unwrap().errors.phi;
        assert!((6.0..10.0).contains(&phi), "{phi}");
        let trial =
            Trial::of(HOUR, seed, clustered).live(5, 999, GREEN, errors(0.02)).go().rolls_back("bad, in clusters");
        assert!(trial.turned() <= 20, "in minute {}", trial.turned());
    }
}

#[test]
fn a_healthy_green_is_not_rolled_back() {
    std::thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || {
                for seed in (part..100).step_by(2) {
                    Trial::of(STEPS, seed, |_| {}).go().passes(&format!("seed {seed}"));
                }
            });
        }
    });
}

/// The verdict is a function of the journal: nothing else is in it, and nothing is left out of it.
#[test]
fn the_journal_alone_gives_every_verdict() {
    for mood in [errors(0.0), errors(0.003), Mood { slowness: 1.2, ..Mood::default() }] {
        let trial = Trial::new(HOUR).live(10, 999, GREEN, mood).go();
        let mut compared = 0;
        for (index, record) in trial.lab.store.records.iter().enumerate() {
            let Event::Judged { judgement, .. } = &record.event else { continue };
            let Some(weighed) = &judgement.weighed else { continue };
            let course = course(&trial.lab, index + 1);
            let last = course.evidence.last().copied().unwrap_or_default();
            assert!((last.slow - weighed.log_e_slow).abs() < 1e-12, "record {}", record.seq);
            assert!((last.fast - weighed.log_e_fast).abs() < 1e-12, "record {}", record.seq);
            assert_eq!(course.condemned.is_some(), judgement.verdict == Verdict::Degraded, "record {}", record.seq);
            compared += 1;
        }
        assert!(compared > 10, "{compared}\n{}", trial.lab.story());
    }
}

/// The chance of a false rollback is spent over the whole run, not once for each process.
#[test]
fn a_kill_changes_no_evidence() {
    let trial = || Trial::new(HOUR).live(12, 999, GREEN, errors(0.0012));
    let whole = trial().go();
    let evidence = whole.course().evidence;
    let end = whole.lab.store.appends;
    assert!(end > 60, "{}", whole.lab.story());
    for (append, pause) in [(40, 0), (55, 0), (55, 240), (end - 2, 0)] {
        let mut killed = trial();
        killed.lab.store.crash = Some(Crash { append, stored: append % 2 == 1 });
        assert!(matches!(killed.lab.advance(true, false), End::Crashed), "{append}");
        killed.lab.pass(pause);
        let killed = killed.go();
        let same = killed.course().evidence;
        assert_eq!(killed.lab.phase(), whole.lab.phase(), "{append}\n{}", killed.lab.story());
        let both = same.iter().zip(&evidence);
        for (minute, (killed, whole)) in both.enumerate() {
            assert!((killed.slow - whole.slow).abs() < 1e-12, "minute {minute}: {killed:?} {whole:?}");
            assert!((killed.fast - whole.fast).abs() < 1e-12, "minute {minute}: {killed:?} {whole:?}");
        }
        assert!(same.len().abs_diff(evidence.len()) <= 4, "{} and {} minutes", same.len(), evidence.len());
    }
}
