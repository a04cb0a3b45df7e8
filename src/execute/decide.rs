//! What to do next: a pure function of the run's progress and the time.
//!
//! It reads no clock and asks no cloud. Every way a run can go is one of the arms below; the loop
//! around it only carries the steps out.

use chrono::{DateTime, TimeDelta, Utc};

use super::Stop;
use super::owed::{self, Owed, Standing};
use crate::cloud::Cause as CallCause;
use crate::gate::Verdict;
use crate::journal::calls::Moment;
use crate::journal::progress::{Attempt, Bake, Failure, Judged, Phase, Progress};
use crate::journal::{Cause, Event, Goal, HoldReason};
use crate::operation::Operation;
use crate::plan::Planned;
use crate::playbook::{AfterRollback, OnFailure, OnNoData};
use crate::traffic::Share;

/// The next thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Perform the plan's operation of this name.
    Perform(String),
    /// Undo the plan's operation of this name.
    Undo(String),
    /// Move traffic; stage 0 is home.
    Shift {
        stage: usize,
        share: Share,
    },
    /// Call a hook, or tell somebody.
    Call(Owed),
    /// Look, and record a verdict.
    Judge,
    /// Record what follows from what is known.
    Record(Event),
    /// Nothing to do before this time; what is waited for.
    WaitUntil(DateTime<Utc>, String),
    Return(Stop),
}

/// Between two judgements of a bake.
const TICK_SECONDS: i64 = 60;
/// Between two judgements while nobody can see before a shift.
const BLIND_TICK_SECONDS: i64 = 10;
/// How long nobody may see before a shift until the run holds.
const BLIND_BEFORE_SHIFT_SECONDS: i64 = 180;
/// How long nobody may see during a bake until the run holds.
const BLIND_IN_BAKE_SECONDS: i64 = 300;
/// The shortest extension of a bake that lacks evidence; otherwise it is as long as the bake.
const EXTENSION_MIN_SECONDS: i64 = 300;
/// Attempts at an operation before the run holds.
const ATTEMPTS: u32 = 6;
/// Attempts at the way home, or at an undo, before the run is stuck.
const ATTEMPTS_HOME: u32 = 10;
/// The longest pause between two attempts.
const BACKOFF_MAX_SECONDS: i64 = 60;

/// Decides what a run does next.
pub fn decide(progress: &Progress, now: DateTime<Utc>) -> Step {
    if let Some(stop) = ended(progress) {
        return called(progress, Moment::OnHold).filter(|_| stop == Stop::Held).unwrap_or_else(|| told(progress, stop));
    }
    if let Some(owed) = owed::notice(progress).filter(|_| at_rest(progress)) {
        return Step::Call(owed);
    }
    match progress.phase {
        Phase::Preparing => {
            operations(progress, &progress.header.plan.prepare, now).unwrap_or(Step::Record(Event::Readied))
        }
        Phase::Open => open(progress, now),
        Phase::Unwinding => unwinding(progress, now),
        Phase::Finishing => {
            let hooks = if progress.retiring() { None } else { hooked(progress, Moment::OnFinish, progress.stage) };
            let finish = || operations(progress, &progress.header.plan.finish, now);
            hooks.or_else(finish).unwrap_or(Step::Record(Event::Finished))
        }
        Phase::Shifted | Phase::RolledBack | Phase::Finished => Step::Return(Stop::Reached),
    }
}

/// Why nothing moves any more.
fn ended(progress: &Progress) -> Option<Stop> {
    match (&progress.stuck, &progress.held) {
        (Some(_), _) => Some(Stop::Stuck),
        (None, Some(_)) => Some(Stop::Held),
        (None, None) => None,
    }
}

/// Tells who is still to be told before the loop ends.
fn told(progress: &Progress, stop: Stop) -> Step {
    owed::notice(progress).map_or(Step::Return(stop), Step::Call)
}

/// Whether nothing that matters more than a notice is under way: traffic that moves, or goes home.
fn at_rest(progress: &Progress) -> bool {
    let on_the_way_home = progress.phase == Phase::Unwinding && progress.joined() && !progress.home;
    let between = progress.phase == Phase::Open && progress.stage > progress.passed && progress.bake.is_none();
    progress.shift.is_none() && !on_the_way_home && !between
}

/// The next hook of a moment whose failures change nothing.
fn called(progress: &Progress, moment: Moment) -> Option<Step> {
    match owed::standing(progress, moment, progress.stage) {
        Standing::Owed(owed) => Some(Step::Call(owed)),
        Standing::Failed(..) | Standing::Over => None,
    }
}

/// What the hooks of a moment ask for; `None` where they are over.
fn hooked(progress: &Progress, moment: Moment, stage: usize) -> Option<Step> {
    match owed::standing(progress, moment, stage) {
        Standing::Owed(owed) => Some(Step::Call(owed)),
        Standing::Failed(OnFailure::Rollback, reason) => {
            let remove_green = progress.header.plan.playbook.rollback.green == AfterRollback::Remove;
            Some(Step::Record(Event::Unwinding { cause: Cause::Hook, reason, remove_green }))
        }
        Standing::Failed(_, reason) => Some(Step::Record(Event::Held { why: HoldReason::Hook, reason })),
        Standing::Over => None,
    }
}

/// The first operation of a list that is not done; `None` where all are.
fn operations(progress: &Progress, list: &[Planned], now: DateTime<Utc>) -> Option<Step> {
    let next = list.iter().find(|p| !progress.operations.get(&p.id).is_some_and(|a| a.done))?;
    let perform = Step::Perform(next.id.clone());
    let Some(attempt) = progress.operations.get(&next.id) else { return Some(perform) };
    Some(match trouble(attempt, ATTEMPTS, now) {
        Trouble::None => perform,
        Trouble::Later(at, why) => Step::WaitUntil(at, why),
        Trouble::GiveUp(why, reason) => {
            Step::Record(Event::Held { why, reason: format!("{}: {reason}", next.operation.title()) })
        }
    })
}

/// What the failures of an attempt ask for.
enum Trouble {
    None,
    Later(DateTime<Utc>, String),
    GiveUp(HoldReason, String),
}

fn trouble(attempt: &Attempt, limit: u32, now: DateTime<Utc>) -> Trouble {
    let Some((at, failure)) = &attempt.failure else { return Trouble::None };
    let error = match failure {
        Failure::Drift(drift) => {
            return Trouble::GiveUp(HoldReason::Drift, drift.to_string());
        }
        Failure::Call(error) => error,
    };
    match error.cause {
        CallCause::Credentials => Trouble::GiveUp(HoldReason::Credentials, error.to_string()),
        CallCause::Denied | CallCause::Refused | CallCause::NotFound => {
            Trouble::GiveUp(HoldReason::Failing, error.to_string())
        }
        CallCause::Throttled | CallCause::Unreachable | CallCause::Unknown => {
            // Throttling ends when others have had their turn, which may take longer than a fault.
            let limit = if error.cause == CallCause::Throttled { limit * 3 } else { limit };
            if attempt.failures >= limit {
                return Trouble::GiveUp(HoldReason::Failing, format!("{error} ({} attempts)", attempt.failures));
            }
            let pause = (1_i64 << attempt.failures.min(6)).min(BACKOFF_MAX_SECONDS);
            let again = *at + TimeDelta::seconds(pause);
            if now >= again { Trouble::None } else { Trouble::Later(again, format!("to try again after: {error}")) }
        }
    }
}

fn open(progress: &Progress, now: DateTime<Utc>) -> Step {
    // Before the goal is asked: the goal of the last stage is reached by its verdict.
    if progress.stages() > 0 && progress.passed >= progress.stages() {
        return Step::Record(Event::Shifted);
    }
    // Also before the goal: a bake begins with its shift, even where nobody waits for it.
    if progress.stage > progress.passed && progress.bake.is_none() {
        return Step::Record(begin_bake(progress, now));
    }
    // A shift that nobody waits for has hooks, too.
    if progress.bake.is_some()
        && let Some(step) = hooked(progress, Moment::AfterShift, progress.stage)
    {
        return step;
    }
    let Some(goal) = progress.goal.filter(|_| !progress.goal_reached()) else {
        return Step::Return(Stop::Reached);
    };
    if let Some(bake) = &progress.bake {
        return baking(progress, goal, bake, now);
    }
    before_shift(progress, goal, now)
}

fn begin_bake(progress: &Progress, now: DateTime<Utc>) -> Event {
    let stage = progress.stage;
    let bake = progress.header.plan.playbook.stages.get(stage - 1).map_or_else(Default::default, |s| s.bake.0);
    // Clients come over while the old answers run out; only then is there something to watch.
    let following = progress.header.plan.following();
    let until = TimeDelta::from_std(bake).ok().and_then(|b| (now + following).checked_add_signed(b));
    Event::BakeBegan { stage, until: until.unwrap_or(DateTime::<Utc>::MAX_UTC) }
}

/// The judgement of the present stage, if it is recent enough to act on.
fn fresh(progress: &Progress, now: DateTime<Utc>, seconds: i64) -> Option<&Judged> {
    let judged = progress.judged.as_ref().filter(|j| j.stage == progress.stage)?;
    (now - judged.at < TimeDelta::seconds(seconds)).then_some(judged)
}

fn blind_for(progress: &Progress, now: DateTime<Utc>) -> TimeDelta {
    progress.blind_since.map_or(TimeDelta::zero(), |since| now - since)
}

fn before_shift(progress: &Progress, goal: Goal, now: DateTime<Utc>) -> Step {
    let next = progress.stage + 1;
    let stage = progress.header.plan.playbook.stages.get(next - 1);
    let under_way = progress.shift.is_some();
    let blind = progress.blind_since.is_some();
    let Some(judged) = fresh(progress, now, if blind { BLIND_TICK_SECONDS } else { TICK_SECONDS }) else {
        return Step::Judge;
    };
    let reason = judged.judgement.reason.clone();
    let exposed = progress.share > Share::NONE || under_way;
    match judged.judgement.verdict {
        Verdict::Degraded if exposed => return turn_back(progress, reason),
        Verdict::Degraded => {
            let reason = format!("green is not fit to receive traffic: {reason}");
            return Step::Record(Event::Held { why: HoldReason::NotReady, reason });
        }
        Verdict::CannotSee if blind_for(progress, now) >= TimeDelta::seconds(BLIND_BEFORE_SHIFT_SECONDS) => {
            return Step::Record(Event::Held { why: HoldReason::Blind, reason });
        }
        Verdict::CannotSee => return Step::WaitUntil(judged.at + TimeDelta::seconds(BLIND_TICK_SECONDS), reason),
        Verdict::NotEnoughEvidence if !exposed => {
            return Step::Record(Event::Held { why: HoldReason::NotReady, reason });
        }
        // The stage before has passed; what speaks against green now keeps the next one from beginning.
        Verdict::NotEnoughEvidence if judged.judgement.against && !under_way => {
            return Step::Record(Event::Held { why: HoldReason::NotEnoughEvidence, reason });
        }
        Verdict::NotEnoughEvidence | Verdict::Healthy => {}
    }
    if stage.is_some_and(|s| s.approve) && goal.approves != Some(next) && !under_way {
        let reason = format!("stage {next} wants an approval: `migrate advance` gives it");
        return Step::Record(Event::Held { why: HoldReason::Approval, reason });
    }
    if !under_way && let Some(step) = hooked(progress, Moment::BeforeShift, next) {
        return step;
    }
    let test = progress.header.plan.test(next).map(std::slice::from_ref);
    if !under_way && let Some(step) = test.and_then(|test| operations(progress, test, now)) {
        return step;
    }
    let shift = Step::Shift { stage: next, share: progress.header.plan.share(next) };
    let Some(attempt) = progress.shift.as_ref().map(|s| &s.attempt) else { return shift };
    match trouble(attempt, ATTEMPTS, now) {
        Trouble::None => shift,
        Trouble::Later(at, why) => Step::WaitUntil(at, why),
        Trouble::GiveUp(why, reason) => Step::Record(Event::Held { why, reason }),
    }
}

fn turn_back(progress: &Progress, reason: String) -> Step {
    let remove_green = progress.header.plan.playbook.rollback.green == AfterRollback::Remove;
    Step::Record(Event::Unwinding { cause: Cause::Gate, reason, remove_green })
}

fn baking(progress: &Progress, goal: Goal, bake: &Bake, now: DateTime<Utc>) -> Step {
    let stage = bake.stage;
    let over = now >= bake.until;
    // Who cannot see looks more often: the next look may be the one that sees.
    let pause = if progress.blind_since.is_some() { BLIND_TICK_SECONDS } else { TICK_SECONDS };
    let Some(judged) = fresh(progress, now, pause).filter(|j| !over || j.at >= bake.until) else {
        return Step::Judge;
    };
    let reason = judged.judgement.reason.clone();
    match judged.judgement.verdict {
        Verdict::Degraded => return turn_back(progress, reason),
        Verdict::CannotSee if blind_for(progress, now) >= TimeDelta::seconds(BLIND_IN_BAKE_SECONDS) => {
            return Step::Record(Event::Held { why: HoldReason::Blind, reason });
        }
        Verdict::Healthy if over => return Step::Record(Event::StagePassed { stage }),
        Verdict::NotEnoughEvidence if over => {
            let extension = (bake.until - bake.began).max(TimeDelta::seconds(EXTENSION_MIN_SECONDS));
            if now - bake.until >= extension {
                // That too little was seen may be accepted; that something speaks against green may not.
                return match progress.header.plan.playbook.health.on_no_data {
                    OnNoData::Advance if !judged.judgement.against => Step::Record(Event::StagePassed { stage }),
                    OnNoData::Rollback => turn_back(progress, reason),
                    OnNoData::Hold | OnNoData::Advance => {
                        Step::Record(Event::Held { why: HoldReason::NotEnoughEvidence, reason })
                    }
                };
            }
        }
        Verdict::Healthy | Verdict::NotEnoughEvidence | Verdict::CannotSee => {}
    }
    if !goal.patient {
        let text = if over {
            format!("the bake of stage {stage} is over, and the verdict is not in: {reason}")
        } else {
            format!("stage {stage} bakes until {}; {reason}", bake.until.format("%F %T UTC"))
        };
        return Step::Return(Stop::Waiting(text));
    }
    let tick = judged.at + TimeDelta::seconds(pause);
    Step::WaitUntil(if over { tick } else { tick.min(bake.until) }, reason)
}

fn unwinding(progress: &Progress, now: DateTime<Utc>) -> Step {
    if progress.joined() && !progress.home {
        let home = Step::Shift { stage: 0, share: Share::NONE };
        let Some(attempt) = progress.shift.as_ref().filter(|s| s.stage == 0).map(|s| &s.attempt) else { return home };
        return match trouble(attempt, ATTEMPTS_HOME, now) {
            Trouble::None => home,
            Trouble::Later(at, why) => Step::WaitUntil(at, why),
            Trouble::GiveUp(HoldReason::Drift, reason) => {
                let reason = format!("{reason}{}", way_out(progress));
                Step::Record(Event::Held { why: HoldReason::Drift, reason })
            }
            Trouble::GiveUp(HoldReason::Credentials, reason) => {
                Step::Record(Event::Held { why: HoldReason::Credentials, reason })
            }
            Trouble::GiveUp(_, reason) => stuck(progress, format!("traffic could not be sent home: {reason}")),
        };
    }
    // Traffic is home: nothing is delayed any more.
    if let Some(step) = called(progress, Moment::OnRollback) {
        return step;
    }
    let Some(next) = next_undo(progress) else { return Step::Record(Event::RolledBack) };
    let undo = Step::Undo(next.id.clone());
    let Some(attempt) = progress.undos.get(&next.id) else { return undo };
    match trouble(attempt, ATTEMPTS_HOME, now) {
        Trouble::None => undo,
        Trouble::Later(at, why) => Step::WaitUntil(at, why),
        Trouble::GiveUp(HoldReason::Credentials, reason) => {
            Step::Record(Event::Held { why: HoldReason::Credentials, reason })
        }
        Trouble::GiveUp(_, reason) => {
            stuck(progress, format!("could not undo \"{}\": {reason}", next.operation.title()))
        }
    }
}

/// How a rollback gets past a place that somebody else changed.
fn way_out(progress: &Progress) -> String {
    let command = progress.drift.as_ref().and_then(|drift| progress.header.plan.home_command(drift));
    command.map_or_else(String::new, |command| {
        format!("; every other place is home. Once this one is too, `migrate rollback` goes on: {command}")
    })
}

/// What a person has to do before a run that is stuck, or that somebody else's change holds, goes on.
pub fn left_to_do(progress: &Progress) -> Vec<String> {
    if let Some((_, commands)) = &progress.stuck {
        return commands.clone();
    }
    let Some(drift) = &progress.drift else { return Vec::new() };
    let plan = &progress.header.plan;
    if progress.phase == Phase::Unwinding {
        return plan.home_command(drift).into_iter().collect();
    }
    plan.share_command(&progress.made, progress.share, drift).into_iter().collect()
}

/// The last operation that was begun and is not undone, among those that a rollback undoes.
fn next_undo(progress: &Progress) -> Option<&Planned> {
    let plan = &progress.header.plan;
    let removed = |id: &str| {
        // A probe whose removal is done has nothing left to undo.
        plan.prepare.iter().any(|p| {
            matches!(&p.operation, Operation::RemoveProbe { probe } if probe == id)
                && progress.operations.get(&p.id).is_some_and(|a| a.done)
        })
    };
    let unclear = |p: &&Planned| {
        let undone = progress.undos.get(&p.id).is_some_and(|a| a.done);
        !undone && progress.operations.get(&p.id).is_some_and(|a| !a.done)
    };
    // A smoke test that is done has removed its rule; one that broke off may have left it.
    let left = plan.tests.iter().rev().find(unclear);
    left.or_else(|| {
        plan.prepare.iter().rev().find(|p| {
            let begun = progress.operations.contains_key(&p.id);
            let undone = progress.undos.get(&p.id).is_some_and(|a| a.done);
            let wanted = p.operation.undoable() && (progress.remove_green || !p.operation.creates());
            begun && wanted && !undone && !removed(&p.id)
        })
    })
}

fn stuck(progress: &Progress, reason: String) -> Step {
    Step::Record(Event::Stuck { reason, commands: commands(progress) })
}

/// What is left to do by hand, as commands that can be pasted, in the order in which they work.
pub fn commands(progress: &Progress) -> Vec<String> {
    let plan = &progress.header.plan;
    let region = &plan.inventory.region;
    let mut commands = Vec::new();
    if progress.joined() && !progress.home {
        commands
            .extend(plan.home_commands(&progress.made, &progress.written()).into_iter().map(|(_, command)| command));
    }
    let undos = remaining_undos(progress).into_iter();
    commands.extend(undos.flat_map(|p| p.operation.undo_commands(region, &progress.made)));
    commands
}

fn remaining_undos(progress: &Progress) -> Vec<&Planned> {
    let mut rest = progress.clone();
    let mut found = Vec::new();
    while let Some(id) = next_undo(&rest).map(|p| p.id.clone()) {
        let plan = &progress.header.plan;
        found.extend(plan.tests.iter().chain(&plan.prepare).find(|p| p.id == id));
        rest.undos.insert(id, Attempt { since: progress.last.1, failures: 0, done: true, failure: None });
    }
    found
}
