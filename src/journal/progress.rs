//! Where a run stands: the fold of its events.
//!
//! [`Progress::apply`] is the only way to change it, at replay and before every append; an event
//! that cannot happen in the present phase is refused, never guessed around.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::calls::Calls;
use super::seen::Seen;
use super::{Cause, Event, Goal, Header, HoldReason, Record, Settlement};
use crate::cloud::CloudError;
use crate::gate::{Judgement, Verdict};
use crate::operation::{CHANGE, Drift, Made, Operation};
use crate::traffic::Share;

/// The state of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Shared, because every append clones the state before it counts.
    pub header: Arc<Header>,
    pub phase: Phase,
    /// State of each operation of the plan that was begun.
    pub operations: BTreeMap<String, Attempt>,
    /// State of each undo that was begun.
    pub undos: BTreeMap<String, Attempt>,
    pub made: Made,
    pub goal: Option<Goal>,
    /// The stage whose share the routes show; 0 before the first.
    pub stage: usize,
    /// The last stage with a healthy verdict.
    pub passed: usize,
    /// The share that was settled last.
    pub share: Share,
    /// A shift that was intended and is not settled.
    pub shift: Option<ShiftAttempt>,
    /// Shares of shifts that were given up for another before they settled.
    pub tried: Vec<Share>,
    pub bake: Option<Bake>,
    /// Since when the routes show the share of the present stage.
    pub exposed_since: Option<DateTime<Utc>>,
    /// When the shift to the present stage, or the one under way, was first intended.
    pub shift_began: Option<DateTime<Utc>>,
    /// What was seen of the traffic. Shared, as the header is.
    pub seen: Arc<Seen>,
    /// Since when the gate cannot see, if it cannot.
    pub blind_since: Option<DateTime<Utc>>,
    /// Whether a shift was ever intended.
    pub moved: bool,
    /// Whether every place has been read back as it was recorded, after it had been touched.
    pub home: bool,
    pub judged: Option<Judged>,
    pub held: Option<(HoldReason, String)>,
    /// Who is to be called and told.
    pub calls: Calls,
    /// The drift that was found last, until a verb is called again.
    pub drift: Option<Drift>,
    pub unwinding: Option<(Cause, String)>,
    /// The verdict that turned the run back, where one did.
    pub turned_by: Option<Verdict>,
    pub remove_green: bool,
    pub stuck: Option<(String, Vec<String>)>,
    /// When the last stage passed.
    pub shifted_at: Option<DateTime<Utc>>,
    /// When the verb that drives the run now was called, as far as the journal knows.
    pub called_at: DateTime<Utc>,
    pub last: (u64, DateTime<Utc>),
}

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Preparing,
    /// Between stage 0 and the last: green stands, and stages are gone through.
    Open,
    Shifted,
    Unwinding,
    RolledBack,
    Finishing,
    Finished,
}

/// How an operation or undo stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub since: DateTime<Utc>,
    /// Attempts that failed.
    pub failures: u32,
    pub done: bool,
    /// The last failure, if the last attempt failed.
    pub failure: Option<(DateTime<Utc>, Failure)>,
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    Call(CloudError),
    Drift(Drift),
}

#[derive(Debug, Clone, PartialEq)]
pub struct ShiftAttempt {
    pub stage: usize,
    pub share: Share,
    pub attempt: Attempt,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bake {
    pub stage: usize,
    pub began: DateTime<Utc>,
    /// When it may end; a blind time moves it.
    pub until: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub stage: usize,
    pub at: DateTime<Utc>,
    pub judgement: Judgement,
}

/// A journal that tells an impossible story.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} of the journal cannot follow what stands before it: `{event}` while {phase}")]
pub struct Impossible {
    pub seq: u64,
    pub event: &'static str,
    pub phase: String,
}

impl Attempt {
    fn new(since: DateTime<Utc>) -> Self {
        Attempt { since, failures: 0, done: false, failure: None }
    }

    fn settle(&mut self, outcome: &Settlement, at: DateTime<Utc>) {
        let failure = match outcome {
            Settlement::Done(_) => {
                self.done = true;
                return;
            }
            Settlement::NotDone(error) | Settlement::Unknown(error) => Failure::Call(error.clone()),
            Settlement::Drift(drift) => Failure::Drift(drift.clone()),
        };
        self.failures += 1;
        self.failure = Some((at, failure));
    }
}

impl Progress {
    /// The state after the first record, which must be the header.
    pub fn begin(record: &Record) -> Result<Progress, Impossible> {
        let Event::Opened(header) = &record.event else {
            let phase = "not opened".to_owned();
            return Err(Impossible { seq: record.seq, event: record.event.name(), phase });
        };
        Ok(Progress {
            header: Arc::new((**header).clone()),
            phase: Phase::Preparing,
            operations: BTreeMap::new(),
            undos: BTreeMap::new(),
            made: Made::new(),
            goal: None,
            stage: 0,
            passed: 0,
            share: Share::NONE,
            shift: None,
            tried: Vec::new(),
            bake: None,
            exposed_since: None,
            shift_began: None,
            seen: Arc::default(),
            blind_since: None,
            moved: false,
            home: false,
            judged: None,
            held: None,
            calls: Calls::default(),
            drift: None,
            unwinding: None,
            turned_by: None,
            remove_green: false,
            stuck: None,
            shifted_at: None,
            called_at: record.at,
            last: (record.seq, record.at),
        })
    }

    /// The state after one more record.
    pub fn apply(&mut self, record: &Record) -> Result<(), Impossible> {
        let at = record.at;
        let follows = record.seq == self.last.0 + 1 && at >= self.last.1;
        if !follows || !self.possible(&record.event) {
            let phase = format!("{:?}", self.phase).to_lowercase();
            return Err(Impossible { seq: record.seq, event: record.event.name(), phase });
        }
        let mut calls = std::mem::take(&mut self.calls);
        calls.follow(self, record);
        self.calls = calls;
        if let Some(drift) = record.event.drift() {
            self.drift = Some(drift.clone());
        }
        match &record.event {
            Event::Opened(_) | Event::Drifted { .. } | Event::Interrupted { .. } | Event::Called(_) => {}
            Event::Resumed { .. } => {
                self.held = None;
                self.stuck = None;
                self.called_at = at;
                self.forgive();
            }
            Event::Intended { operation } => {
                self.operations.entry(operation.clone()).or_insert_with(|| Attempt::new(at));
            }
            Event::Settled { operation, outcome } => self.settle_operation(operation, outcome, at),
            Event::Noted { made } => self.made.extend(made.clone()),
            Event::UndoIntended { operation } => {
                self.undos.entry(operation.clone()).or_insert_with(|| Attempt::new(at));
            }
            Event::UndoSettled { operation, outcome } => {
                self.undos.entry(operation.clone()).or_insert_with(|| Attempt::new(at)).settle(outcome, at);
            }
            Event::Readied => self.phase = Phase::Open,
            Event::Advanced(goal) => {
                self.goal = Some(*goal);
                self.held = None;
                self.called_at = at;
                self.forgive();
            }
            Event::ShiftIntended { stage, share } => self.intend_shift(*stage, *share, at),
            Event::ShiftSettled { stage, outcome } => self.settle_shift(*stage, outcome, at),
            Event::BakeBegan { stage, until } => {
                self.bake = Some(Bake { stage: *stage, began: at, until: *until });
                self.exposed_since = Some(at);
                let followed = self.header.plan.followed_from(at);
                Arc::make_mut(&mut self.seen).follow(followed);
                self.blind_since = None;
            }
            Event::Judged { stage, judgement, read } => {
                if let Some(read) = read {
                    Arc::make_mut(&mut self.seen).take(read, at);
                }
                self.judge(*stage, judgement, at);
            }
            Event::StagePassed { stage } => {
                self.passed = *stage;
                self.bake = None;
            }
            Event::Shifted => {
                self.phase = Phase::Shifted;
                self.shifted_at = Some(at);
            }
            Event::Held { why, reason } => self.held = Some((*why, reason.clone())),
            Event::Unwinding { cause, reason, remove_green } => {
                self.called_at = at;
                self.unwind(*cause, reason, *remove_green);
            }
            Event::RolledBack => {
                self.phase = Phase::RolledBack;
                self.passed = 0;
            }
            Event::Stuck { reason, commands } => self.stuck = Some((reason.clone(), commands.clone())),
            Event::Finishing => {
                self.phase = Phase::Finishing;
                self.held = None;
                self.called_at = at;
            }
            Event::Finished => self.phase = Phase::Finished,
        }
        self.last = (record.seq, at);
        Ok(())
    }

    fn possible(&self, event: &Event) -> bool {
        use Phase::{Finished, Finishing, Open, Preparing, RolledBack, Shifted, Unwinding};
        let phase = self.phase;
        let under_way = |stage: usize| self.shift.as_ref().is_some_and(|s| s.stage == stage);
        match event {
            Event::Opened(_) => false,
            Event::Resumed { .. } | Event::Interrupted { .. } => true,
            Event::Called(call) => self.calls.expects(call),
            // Between the stages only smoke tests are performed.
            Event::Intended { operation } | Event::Settled { operation, .. } if phase == Open => {
                let test = self.header.plan.tests.iter().any(|p| p.id == *operation);
                test && (matches!(event, Event::Intended { .. }) || self.operations.contains_key(operation))
            }
            Event::Intended { .. } => matches!(phase, Preparing | Finishing),
            Event::Settled { operation, .. } => {
                matches!(phase, Preparing | Finishing) && self.operations.contains_key(operation)
            }
            Event::Noted { .. } => !matches!(phase, RolledBack | Finished),
            Event::Readied => phase == Preparing,
            Event::Advanced(_) => phase == Open,
            Event::ShiftIntended { stage: 0, .. } => phase == Unwinding,
            Event::ShiftSettled { stage: 0, .. } => phase == Unwinding && under_way(0),
            Event::ShiftIntended { stage, .. } => {
                phase == Open && self.stage == self.passed && *stage == self.stage + 1 && *stage <= self.stages()
            }
            Event::ShiftSettled { stage, .. } => phase == Open && under_way(*stage),
            Event::BakeBegan { stage, .. } | Event::StagePassed { stage } => {
                phase == Open && *stage == self.stage && self.stage > self.passed
            }
            Event::Shifted => phase == Open && self.passed == self.stages(),
            Event::Judged { .. } => matches!(phase, Open | Shifted),
            Event::Drifted { .. } | Event::Held { .. } => !matches!(phase, RolledBack | Finished),
            Event::Unwinding { .. } if phase == Finishing => !self.retiring(),
            Event::Unwinding { .. } => matches!(phase, Preparing | Open | Shifted | Unwinding | RolledBack),
            Event::RolledBack => phase == Unwinding && (self.home || !self.joined()),
            Event::UndoIntended { .. } => phase == Unwinding,
            Event::UndoSettled { operation, .. } => phase == Unwinding && self.undos.contains_key(operation),
            Event::Stuck { .. } => phase == Unwinding,
            Event::Finishing => phase == Shifted,
            Event::Finished => phase == Finishing,
        }
    }

    fn settle_operation(&mut self, operation: &str, outcome: &Settlement, at: DateTime<Utc>) {
        self.operations.entry(operation.to_owned()).or_insert_with(|| Attempt::new(at)).settle(outcome, at);
        self.learn(outcome);
    }

    /// Remembers what was made. Where somebody else was at work, what was under way says nothing of
    /// what is there now: it is written anew.
    fn learn(&mut self, outcome: &Settlement) {
        match outcome {
            Settlement::Done(made) => self.made.extend(made.clone()),
            Settlement::Drift(_) => self.made.retain(|name, _| !name.starts_with(CHANGE)),
            Settlement::NotDone(_) | Settlement::Unknown(_) => {}
        }
    }

    fn intend_shift(&mut self, stage: usize, share: Share, at: DateTime<Utc>) {
        self.moved |= stage > 0;
        let begun = self.shift.as_ref().is_some_and(|s| s.stage == stage);
        if !begun {
            self.shift_began = Some(at);
            if stage > 0 {
                Arc::make_mut(&mut self.seen).begin(share, at);
            }
            self.tried.extend(self.shift.as_ref().map(|s| s.share));
            self.shift = Some(ShiftAttempt { stage, share, attempt: Attempt::new(at) });
        }
    }

    fn settle_shift(&mut self, stage: usize, outcome: &Settlement, at: DateTime<Utc>) {
        if let Some(shift) = &mut self.shift {
            shift.attempt.settle(outcome, at);
        }
        self.learn(outcome);
        if let Settlement::Done(_) = outcome {
            self.share = self.shift.as_ref().map_or(self.share, |s| s.share);
            self.stage = stage;
            self.tried.clear();
            self.home = stage == 0;
            self.shift = None;
            self.judged = None;
        }
    }

    fn judge(&mut self, stage: usize, judgement: &Judgement, at: DateTime<Utc>) {
        if judgement.verdict == Verdict::CannotSee {
            let blind = *self.blind_since.get_or_insert(at);
            let previous = self.judged.as_ref().filter(|j| j.stage == stage).map_or(blind, |j| j.at);
            if let Some(bake) = &mut self.bake {
                // The clock of the bake stands still while nobody can see.
                bake.until += (at - previous.max(blind)).max(TimeDelta::zero());
            }
        } else {
            self.blind_since = None;
        }
        self.judged = Some(Judged { stage, at, judgement: judgement.clone() });
    }

    fn unwind(&mut self, cause: Cause, reason: &str, remove_green: bool) {
        if self.unwinding.is_none() {
            self.unwinding = Some((cause, reason.to_owned()));
            // A rollout that failed turns a run back, too, and no verdict did.
            let verdict = self.judged.as_ref().map(|judged| judged.judgement.verdict);
            self.turned_by = verdict.filter(|verdict| cause == Cause::Gate && *verdict != Verdict::Healthy);
        }
        self.phase = Phase::Unwinding;
        self.remove_green |= remove_green;
        self.held = None;
        self.stuck = None;
        self.goal = None;
        self.bake = None;
        self.forgive();
    }

    /// A new call starts to count failures and waiting times anew, and looks for itself.
    fn forgive(&mut self) {
        self.blind_since = None;
        self.judged = None;
        self.drift = None;
        let attempts = self.operations.values_mut().chain(self.undos.values_mut());
        for attempt in attempts.chain(self.shift.as_mut().map(|s| &mut s.attempt)).filter(|a| !a.done) {
            attempt.failures = 0;
            attempt.failure = None;
        }
    }

    /// The shares that the routes may show: the last one settled, and those under way since.
    pub fn written(&self) -> Vec<Share> {
        let under_way = self.shift.iter().map(|s| s.share).chain(self.tried.iter().copied());
        let mut written = vec![self.share];
        written.extend(under_way.filter(|s| *s != self.share));
        written
    }

    /// Whether the places where traffic is told where to go were, or may have been, touched.
    pub fn joined(&self) -> bool {
        let joins = |id: &String| self.header.plan.operation(id).is_some_and(Operation::joins);
        self.moved || self.operations.keys().any(joins)
    }

    /// Whether blue's retirement has begun to change anything.
    pub fn retiring(&self) -> bool {
        let begun = |id: &String| self.header.plan.finish.iter().any(|p| p.id == *id);
        matches!(self.phase, Phase::Finishing | Phase::Finished) && self.operations.keys().any(begun)
    }

    /// Whether what the last `advance` was asked for is reached.
    pub fn goal_reached(&self) -> bool {
        match self.goal {
            None => true,
            Some(goal) if goal.settle => self.passed >= goal.through,
            Some(goal) => self.stage >= goal.through,
        }
    }

    pub fn stages(&self) -> usize {
        self.header.plan.playbook.stages.len()
    }

    /// The word of the contract for the state.
    pub fn state(&self) -> &'static str {
        if self.stuck.is_some() {
            return "stuck";
        }
        match self.phase {
            Phase::RolledBack => "rolled_back",
            Phase::Finished => "finished",
            _ if self.held.is_some() => "held",
            Phase::Preparing => "preparing",
            Phase::Open if self.stage > self.passed => "baking",
            Phase::Open => "ready",
            Phase::Shifted | Phase::Finishing => "shifted",
            Phase::Unwinding => "rolling_back",
        }
    }
}
