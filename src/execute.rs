//! The only loop: decide, perform, append, fold.
//!
//! `start`, `advance`, `rollback` and `finish` differ only in the event that they append before
//! they call [`Run::drive`]. Crash recovery is the loop started again: every operation looks before
//! it acts, so an intent without an outcome is simply performed once more.

pub mod ask;
mod call;
pub mod decide;
pub mod owed;
mod sight;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::{Clock, Signal, Wake};
use crate::cloud::{Cause as CallCause, Cloud, CloudError};
use crate::errand::Errands;
use crate::gate::{Judgement, Verdict};
use crate::journal::progress::{Phase, Progress};
use crate::journal::store::{JournalError, Store};
use crate::journal::{Cause, Event, HoldReason, Record, Settlement};
use crate::operation::{Fleet, HoldScaling, Operation, Outcome, Scene, TASK_DEFINITION};
use crate::plan::digest;
use crate::playbook::{AfterRollback, OnCancel, Shift};
use crate::traffic::Share;
use decide::{Step, decide};

/// Why the loop stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// What was asked for is done, or there is nothing to do.
    Reached,
    /// Nothing is wrong, and it is too early; what is waited for.
    Waiting(String),
    /// The journal's last hold says why.
    Held,
    Stuck,
    Interrupted(Signal),
}

/// Who watches a run: the terminal, a log, a test.
pub trait Observer {
    /// A record has become durable.
    fn recorded(&mut self, record: &Record, progress: &Progress);
    /// The loop is about to wait until `until` for `what`.
    fn waiting(&mut self, progress: &Progress, what: &str, now: DateTime<Utc>, until: DateTime<Utc>);
}

/// What a run looks like to others.
pub type Status = fn(&Progress) -> serde_json::Value;

/// One run with everything it needs to move.
pub struct Run<'a> {
    pub cloud: &'a dyn Cloud,
    pub clock: &'a dyn Clock,
    pub errands: &'a dyn Errands,
    /// The run as one object, for those who are called and told.
    pub status: Status,
    pub store: &'a mut dyn Store,
    pub observer: &'a mut dyn Observer,
    pub progress: Progress,
    /// Set once a stop was asked for and the playbook wants a rollback then: the loop goes on until
    /// traffic is home, or until that would need a wait.
    leaving: Option<Signal>,
    /// A wait ended early while leaving: there is no time left for the way home.
    hurried: bool,
    /// The stage before which the credentials were looked at by this process.
    vouched: Option<usize>,
}

/// Between looks at something that is not ready yet.
const POLL_SECONDS: i64 = 5;
/// Between looks where the next one is likely to succeed.
const SHORT_POLL_SECONDS: i64 = 2;
/// Between looks at what CloudWatch shows, by minutes.
const METRIC_POLL_SECONDS: i64 = 30;
/// How long a step other than green's start may be "not yet".
const PATIENCE_SECONDS: i64 = 600;
/// Life that credentials must have left after a bake: enough to send traffic home.
const CREDENTIAL_RESERVE_SECONDS: i64 = 300;
/// Looks that must all find a route changed before somebody else is held to have done it.
const STRAY_LOOKS: u32 = 3;
/// Longest wait between two calls of the observer, who owes a line a minute.
const LONGEST_WAIT_SECONDS: i64 = 30;

impl<'a> Run<'a> {
    pub fn new(
        cloud: &'a dyn Cloud,
        clock: &'a dyn Clock,
        errands: &'a dyn Errands,
        status: Status,
        store: &'a mut dyn Store,
        observer: &'a mut dyn Observer,
        progress: Progress,
    ) -> Self {
        Run { cloud, clock, errands, status, store, observer, progress, leaving: None, hurried: false, vouched: None }
    }

    /// Makes one event durable and folds it.
    pub fn append(&mut self, event: Event) -> Result<(), JournalError> {
        let (seq, last) = self.progress.last;
        // A journal's times never run backwards, whatever the machine's clock does.
        let record = Record { seq: seq + 1, at: self.clock.now().max(last), event };
        let mut next = self.progress.clone();
        next.apply(&record)?;
        self.store.append(&record)?;
        self.progress = next;
        self.observer.recorded(&record, &self.progress);
        Ok(())
    }

    /// Goes on until held, closed, stuck, waiting or interrupted.
    pub fn drive(&mut self) -> Result<Stop, JournalError> {
        loop {
            if let Some(stop) = self.stop_asked()? {
                return Ok(stop);
            }
            match decide(&self.progress, self.clock.now()) {
                Step::Return(stop) => return Ok(stop),
                Step::Record(event) => self.append(event)?,
                Step::WaitUntil(until, what) => self.wait(until, &what),
                Step::Call(owed) => self.call(&owed)?,
                Step::Judge => self.judge()?,
                Step::Perform(id) => self.perform(&id)?,
                Step::Undo(id) => self.undo(&id)?,
                Step::Shift { stage, share } => self.shift(stage, share)?,
            }
        }
    }

    /// What a stop request means now: nothing, the end of the loop, or the way home first.
    fn stop_asked(&mut self) -> Result<Option<Stop>, JournalError> {
        if let Some(signal) = self.leaving {
            let over = self.hurried || self.progress.phase != Phase::Unwinding;
            return Ok(over.then_some(Stop::Interrupted(signal)));
        }
        let Some(signal) = self.clock.stop_requested() else { return Ok(None) };
        self.append(Event::Interrupted { signal })?;
        let policy = self.progress.header.plan.playbook.on_cancel;
        let exposed = self.progress.share > Share::NONE || self.progress.shift.is_some();
        let open = matches!(self.progress.phase, Phase::Open | Phase::Unwinding);
        if signal == Signal::Yield || policy == OnCancel::Hold || !exposed || !open {
            return Ok(Some(Stop::Interrupted(signal)));
        }
        let reason = format!("cancelled by {} with `on_cancel: rollback`", signal.name());
        self.append(Event::Unwinding { cause: Cause::Cancelled, reason, remove_green: false })?;
        self.leaving = Some(signal);
        Ok(None)
    }

    /// Waits until then, or until the process is asked to stop, and shows what for.
    pub fn wait(&mut self, until: DateTime<Utc>, what: &str) {
        while self.clock.now() < until {
            let now = self.clock.now();
            self.observer.waiting(&self.progress, what, now, until);
            let slice = until.min(now + TimeDelta::seconds(LONGEST_WAIT_SECONDS));
            if self.clock.wait(slice) != Wake::Reached {
                // Once a stop is asked for no clock waits any more, and neither do we.
                self.hurried = self.leaving.is_some();
                return;
            }
        }
    }

    fn perform(&mut self, id: &str) -> Result<(), JournalError> {
        let Some(operation) = self.progress.header.plan.operation(id).cloned() else { return Ok(()) };
        if !self.progress.operations.contains_key(id) {
            self.append(Event::Intended { operation: id.to_owned() })?;
        }
        let since = self.progress.operations.get(id).map_or(self.clock.now(), |a| a.since);
        let result = operation.perform(&self.scene(since));
        let limit = self.patience(&operation);
        let Some(outcome) = self.settled(result, since, limit, &operation)? else { return Ok(()) };
        let untouched = self.progress.made.is_empty();
        let refused = matches!(&outcome, Settlement::NotDone(e) if
            e.cause == CallCause::Refused || (e.cause == CallCause::Denied && untouched));
        let said = match &outcome {
            Settlement::NotDone(error) => error.message.clone(),
            _ => String::new(),
        };
        self.append(Event::Settled { operation: id.to_owned(), outcome })?;
        if !refused || self.progress.phase != Phase::Preparing {
            return Ok(());
        }
        // A refusal stays one, however often it is asked for: leave the world as it was found.
        let reason = match operation {
            Operation::AssociateGreen(_) if said.contains("TooMany") => {
                format!("the load balancer has no room for green; it said: {said}")
            }
            Operation::AssociateGreen(_) => format!(
                "the load balancer does not take green beside blue in one action; it said: {said}. \
                 `dns_weights` moves traffic without that, and `listener_weights: {{ fallback: .. }}` does so by itself"
            ),
            _ => format!("AWS refuses to {}; it said: {said}", operation.title()),
        };
        self.append(Event::Unwinding { cause: Cause::Refused, reason, remove_green: true })
    }

    fn undo(&mut self, id: &str) -> Result<(), JournalError> {
        let Some(operation) = self.progress.header.plan.operation(id).cloned() else { return Ok(()) };
        if !self.progress.undos.contains_key(id) {
            self.append(Event::UndoIntended { operation: id.to_owned() })?;
        }
        let since = self.progress.undos.get(id).map_or(self.clock.now(), |a| a.since);
        let result = operation.undo(&self.scene(since));
        let limit = self.patience(&operation);
        let Some(outcome) = self.settled(result, since, limit, &operation)? else { return Ok(()) };
        self.append(Event::UndoSettled { operation: id.to_owned(), outcome })
    }

    fn shift(&mut self, stage: usize, share: Share) -> Result<(), JournalError> {
        if stage > 0 && self.vouched != Some(stage) {
            if let Some(reason) = self.credentials_short(stage) {
                return self.append(Event::Held { why: HoldReason::Credentials, reason });
            }
            self.vouched = Some(stage);
        }
        if self.progress.shift.as_ref().is_none_or(|s| s.stage != stage) {
            self.append(Event::ShiftIntended { stage, share })?;
        }
        let since = self.progress.shift.as_ref().map_or(self.clock.now(), |s| s.attempt.since);
        let operation = if stage == 0 { Operation::GoHome } else { Operation::Shift { share } };
        let result = operation.perform(&self.scene(since));
        let limit = self.patience(&operation);
        let Some(outcome) = self.settled(result, since, limit, &operation)? else { return Ok(()) };
        self.append(Event::ShiftSettled { stage, outcome })
    }

    /// How long an operation, or its undo, may be "not yet".
    fn patience(&self, operation: &Operation) -> TimeDelta {
        let drain = |seconds: u64| TimeDelta::seconds(i64::try_from(seconds).unwrap_or(3600) + PATIENCE_SECONDS);
        let rollout = self.progress.header.plan.playbook.health.start_timeout.0;
        let rollout = TimeDelta::from_std(rollout).unwrap_or(TimeDelta::MAX);
        let in_place = matches!(self.progress.header.plan.playbook.shift, Shift::InPlace(_));
        match operation {
            // Traffic moves there by replacing tasks.
            Operation::Shift { .. } if in_place => rollout,
            Operation::GoHome if in_place => rollout.max(TimeDelta::seconds(PATIENCE_SECONDS)),
            Operation::AwaitGreen { timeout } => TimeDelta::from_std(timeout.0).unwrap_or(TimeDelta::MAX),
            Operation::Drain { seconds } => drain(*seconds),
            // A service that is deleted lets its targets drain first, like blue at the end.
            Operation::CreateService(_) => {
                let plan = &self.progress.header.plan;
                drain(plan.drain_seconds() + plan.flow_seconds())
            }
            Operation::AwaitFlows { most, .. } => drain(*most),
            Operation::JoinRecords => drain(u64::from(self.progress.header.plan.inventory.follow_seconds())),
            _ => TimeDelta::seconds(PATIENCE_SECONDS),
        }
    }

    /// The settlement of an attempt; `None` where it is not settled yet and has been waited for.
    fn settled(
        &mut self,
        result: Result<Outcome, CloudError>,
        since: DateTime<Utc>,
        limit: TimeDelta,
        operation: &Operation,
    ) -> Result<Option<Settlement>, JournalError> {
        let (why, hopeless) = match result {
            Ok(Outcome::Done(made)) => return Ok(Some(Settlement::Done(made))),
            Ok(Outcome::Underway(made)) => {
                self.append(Event::Noted { made })?;
                return Ok(None);
            }
            Ok(Outcome::Drift(drift)) => return Ok(Some(Settlement::Drift(drift))),
            Ok(Outcome::Partly(error)) => return Ok(Some(Settlement::Unknown(error))),
            // A wait only reads: a read that fails for now is waited for like anything else.
            Err(error) if operation.only_waits() && error.cause.passes() => (error.to_string(), false),
            Err(error) if error.cause.changed_nothing() => return Ok(Some(Settlement::NotDone(error))),
            Err(error) => return Ok(Some(Settlement::Unknown(error))),
            Ok(Outcome::Worse(reason)) => {
                let remove_green = removes_green(&self.progress, false);
                self.append(Event::Unwinding { cause: Cause::Gate, reason, remove_green })?;
                return Ok(None);
            }
            Ok(Outcome::NotYet(why)) => (why, false),
            Ok(Outcome::Never(why)) => (why, true),
        };
        let now = self.clock.now();
        // A resumed attempt gets its time from the call that resumed it.
        let begun = since.max(self.progress.called_at);
        if hopeless || now - begun >= limit {
            let reason = format!("{}: {why}", operation.title());
            if self.progress.phase == Phase::Unwinding {
                let commands = decide::commands(&self.progress);
                self.append(Event::Stuck { reason, commands })?;
            } else {
                self.append(Event::Held { why: HoldReason::NotReady, reason })?;
            }
            return Ok(None);
        }
        let poll = match operation {
            Operation::GoHome => SHORT_POLL_SECONDS,
            Operation::AwaitFlows { .. } => METRIC_POLL_SECONDS,
            // Green waits for its flows before it is removed.
            Operation::CreateService(_) if self.progress.header.plan.flow_seconds() > 0 => METRIC_POLL_SECONDS,
            _ => POLL_SECONDS,
        };
        self.wait(now + TimeDelta::seconds(poll), &why);
        Ok(None)
    }

    /// Why the credentials do not last for a stage, if they do not; or are not those of the run.
    fn credentials_short(&self, stage: usize) -> Option<String> {
        let identity = match self.cloud.identity() {
            Ok(identity) => identity,
            Err(error) if error.cause == CallCause::Credentials => return Some(error.message),
            // Whatever else ails the call will show in the calls that matter.
            Err(_) => return None,
        };
        let plan = &self.progress.header.plan;
        if identity.account != plan.inventory.account {
            return Some(format!(
                "these credentials are of account {}, the run is in account {}",
                identity.account, plan.inventory.account
            ));
        }
        let bake = plan.playbook.stages.get(stage - 1).map_or_else(Default::default, |s| s.bake.0);
        let patient = self.progress.goal.is_some_and(|g| g.patient);
        let need = if patient { TimeDelta::from_std(bake).unwrap_or(TimeDelta::MAX) } else { TimeDelta::zero() }
            + TimeDelta::seconds(CREDENTIAL_RESERVE_SECONDS);
        let left = identity.expires? - self.clock.now();
        (left < need).then(|| {
            format!(
                "the credentials expire in {} min, and stage {stage} with a reserve for the way home takes {} min",
                left.num_minutes(),
                need.num_minutes()
            )
        })
    }

    /// Looks at everything that speaks for or against green, and records the verdict.
    pub fn judge(&mut self) -> Result<(), JournalError> {
        let mut seen = sight::look(&self.progress, &self.scene(self.clock.now()));
        for _ in 1..STRAY_LOOKS {
            let strayed = seen.as_ref().is_ok_and(|l| l.drift.is_some());
            let next = self.clock.now() + TimeDelta::seconds(SHORT_POLL_SECONDS);
            if !strayed || self.clock.wait(next) != Wake::Reached {
                break;
            }
            // Reads may lag our own write; only what stays is somebody else's doing.
            seen = sight::look(&self.progress, &self.scene(self.clock.now()));
        }
        match seen {
            Ok(sight::Look { judgement, read, drift }) => {
                // A green that is degraded goes home first, and the way home minds the drift.
                let drift = drift.filter(|_| judgement.verdict != Verdict::Degraded);
                self.append(Event::Judged { stage: self.progress.stage, judgement: Box::new(judgement), read })?;
                match drift {
                    Some(drift) => {
                        let reason = drift.to_string();
                        self.append(Event::Drifted { drift })?;
                        self.append(Event::Held { why: HoldReason::Drift, reason })
                    }
                    None => Ok(()),
                }
            }
            Err(error) if error.cause == CallCause::Credentials => {
                self.append(Event::Held { why: HoldReason::Credentials, reason: error.to_string() })
            }
            Err(error) => {
                let judgement = Judgement {
                    verdict: Verdict::CannotSee,
                    against: false,
                    reason: format!("AWS cannot be read: {error}"),
                    tally: crate::gate::Tally::default(),
                    healthy_hosts: 0,
                    weighed: None,
                };
                self.append(Event::Judged { stage: self.progress.stage, judgement: Box::new(judgement), read: None })
            }
        }
    }

    fn scene(&self, since: DateTime<Utc>) -> Scene<'_> {
        let plan = &self.progress.header.plan;
        let blue = &plan.inventory.service;
        let scaling = plan.prepare.iter().filter_map(|p| match &p.operation {
            Operation::HoldScaling(hold) if self.progress.operations.contains_key(&p.id) => Some(hold.clone()),
            _ => None,
        });
        let fleet = |service: String, count: u32, task_definition: Option<&String>| Fleet {
            cluster: blue.cluster.clone(),
            service,
            count,
            task_definition: task_definition.cloned(),
        };
        Scene {
            cloud: self.cloud,
            clock: self.clock,
            errands: self.errands,
            made: &self.progress.made,
            playbook: &plan.playbook,
            inventory: &plan.inventory,
            routes: plan.routes().cloned().collect(),
            listeners: plan.listeners(),
            blue_groups: plan.blue_groups(),
            blue: fleet(blue.name.clone(), blue.desired_count, Some(&blue.task_definition)),
            green: fleet(plan.green_name(), plan.green_count(), self.progress.made.get(TASK_DEFINITION)),
            written: self.progress.written(),
            scaling: scaling.filter(|h: &HoldScaling| h.was != h.held).collect(),
            since,
            moved: self.progress.moved,
            exposed_since: self.progress.exposed_since,
            run: &self.progress.header.run,
            token: digest(self.progress.header.id.as_bytes()),
        }
    }
}

/// Whether a rollback of this run removes green: because the playbook or the caller says so.
pub fn removes_green(progress: &Progress, asked: bool) -> bool {
    asked || progress.header.plan.playbook.rollback.green == AfterRollback::Remove
}
