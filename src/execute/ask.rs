//! What a verb asks of a run, given where the run stands: pure, so that the verbs hold no rules.
//!
//! Calling a verb again after a kill must carry on, not ask for more: a plain `advance` that finds
//! its own goal unreached resumes it, and only one whose goal is reached goes for the next stage.

use chrono::{DateTime, TimeDelta, Utc};

use crate::journal::progress::{Phase, Progress};
use crate::journal::{Cause, Event, Goal};

/// What `advance` means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Append `Resumed` and drive: the goal is the one under way. Also where `start` or a rollback
    /// was interrupted; after a `start` that is carried to its end so, ask again.
    Resume,
    /// Append `Advanced` with this goal and drive.
    New(Goal),
    /// Nothing to do: the last stage has passed.
    AlreadyShifted,
    /// Nothing to do: the run has ended at home.
    RolledBack,
}

/// The goal of a call of `advance`.
///
/// A plain call goes through the next stage, and approves it. It never goes further than that, even
/// where an interrupted `--all` wanted to. `--all` goes to the end and approves nothing. `no_wait`
/// alone is content with the shift, until the last stage is reached: there, only its verdict is left.
pub fn advance(progress: &Progress, all: bool, no_wait: bool) -> Ask {
    match progress.phase {
        Phase::Preparing | Phase::Unwinding => return Ask::Resume,
        Phase::Shifted | Phase::Finishing | Phase::Finished => return Ask::AlreadyShifted,
        Phase::RolledBack => return Ask::RolledBack,
        Phase::Open => {}
    }
    let last = progress.stages();
    let unreached = progress.goal.filter(|_| !progress.goal_reached());
    let next = match unreached {
        Some(goal) if goal.settle => progress.passed + 1,
        _ => progress.stage + 1,
    };
    let through = if all { last } else { next.min(last) };
    let goal = Goal {
        through,
        settle: all || !no_wait || progress.stage >= last,
        patient: !no_wait,
        approves: (!all).then_some(through),
    };
    if progress.held.is_none() && unreached == Some(goal) { Ask::Resume } else { Ask::New(goal) }
}

/// What `rollback` means now.
#[derive(Debug, Clone, PartialEq)]
pub enum Return {
    /// Append this and drive.
    Unwind(Event),
    /// Append `Resumed` and drive: a rollback like this one is under way.
    Resume,
    /// Nothing to do.
    AlreadyHome,
    /// `finish` has begun to retire blue: there is no way back.
    TooLate,
}

/// What a call of `rollback` comes to; `remove_green` as asked or as the playbook has it.
pub fn rollback(progress: &Progress, remove_green: bool) -> Return {
    let covered = progress.remove_green || !remove_green;
    match progress.phase {
        // A hook may keep the finish from beginning.
        Phase::Finishing if progress.retiring() => Return::TooLate,
        Phase::Finished => Return::TooLate,
        Phase::RolledBack if covered => Return::AlreadyHome,
        Phase::Unwinding if covered => Return::Resume,
        _ => {
            let reason = "`migrate rollback` was called".to_owned();
            Return::Unwind(Event::Unwinding { cause: Cause::Asked, reason, remove_green })
        }
    }
}

/// What `finish` means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retire {
    /// Append `Finishing` and drive.
    Begin,
    /// Append `Resumed` and drive.
    Resume,
    /// Blue is kept until then.
    TooEarly(DateTime<Utc>),
    /// Not every stage has passed, or the run has turned back.
    NotShifted,
    AlreadyFinished,
}

/// What a call of `finish` comes to.
pub fn finish(progress: &Progress, now: DateTime<Utc>) -> Retire {
    match progress.phase {
        Phase::Finished => Retire::AlreadyFinished,
        Phase::Finishing => Retire::Resume,
        Phase::Shifted => {
            let keep = TimeDelta::from_std(progress.header.plan.playbook.finish.keep_blue.0).unwrap_or(TimeDelta::MAX);
            let since = progress.shifted_at.unwrap_or(progress.last.1);
            let until = since.checked_add_signed(keep).unwrap_or(DateTime::<Utc>::MAX_UTC);
            if now >= until { Retire::Begin } else { Retire::TooEarly(until) }
        }
        Phase::Preparing | Phase::Open | Phase::Unwinding | Phase::RolledBack => Retire::NotShifted,
    }
}
