//! What a call of `advance` asks of a run: to go on with what is under way, or to reach a new goal.

use crate::journal::Goal;
use crate::journal::progress::{Phase, Progress};

/// What `advance` appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The goal of an earlier call was not reached, and the run does not hold: carry on.
    Resume,
    New(Goal),
    /// All stages have passed.
    AlreadyShifted,
}

/// The goal of an `advance`, of an `advance --all`, or of an `advance --no-wait`.
///
/// A call that was killed is resumed by repeating it. After a hold, the same stage is tried again;
/// a plain call approves the stage that it goes for, `--all` approves none.
pub fn advance_goal(progress: &Progress, all: bool, no_wait: bool) -> Ask {
    if progress.phase != Phase::Open {
        return Ask::AlreadyShifted;
    }
    let stages = progress.stages();
    let under_way = progress.goal.filter(|_| !progress.goal_reached());
    let verdict_is_out = progress.stage > progress.passed && under_way.is_some();
    let next = if verdict_is_out { progress.stage } else { progress.stage + 1 };
    let through = if all { stages } else { next.min(stages) };
    // Past the last stage there is no shift to return from; what is left is its verdict.
    let settle = !no_wait || progress.stage >= stages;
    let approves = (!all).then_some(next);
    let goal = Goal { through, settle, patient: !no_wait, approves };
    let same = |g: Goal| (g.through, g.settle, g.patient) == (goal.through, goal.settle, goal.patient);
    if progress.held.is_none() && under_way.is_some_and(same) {
        return Ask::Resume;
    }
    Ask::New(goal)
}
