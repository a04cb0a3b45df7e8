//! How a verb ended: the word, the exit code, and the object that `--json` prints.
//!
//! The codes are a public contract; scripts read them.

use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::Signal;
use crate::cloud::{Cause as CallCause, CloudError};
use crate::execute::Stop;
use crate::execute::decide::left_to_do;
use crate::journal::progress::{Phase, Progress};
use crate::journal::store::JournalError;
use crate::journal::{Cause, HoldReason};
use crate::operation::Operation;
use crate::playbook::Shift;
use crate::traffic::Share;

use super::judge::{Case, evidence};
use super::words::Words;

/// The word for how a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    Error,
    Usage,
    Blocked,
    Held,
    RolledBack,
    Stuck,
    Locked,
    Drift,
    Credentials,
    /// By SIGINT.
    #[serde(rename = "interrupted")]
    Interrupted,
    /// By SIGTERM or SIGHUP.
    #[serde(rename = "interrupted")]
    Terminated,
}

impl Outcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Ok => 0,
            Outcome::Error => 1,
            Outcome::Usage => 2,
            Outcome::Blocked => 3,
            Outcome::Held => 4,
            Outcome::RolledBack => 5,
            Outcome::Stuck => 6,
            Outcome::Locked => 7,
            Outcome::Drift => 8,
            Outcome::Credentials => 9,
            Outcome::Interrupted => 130,
            Outcome::Terminated => 143,
        }
    }
}

/// A verb that ended without a run to speak of, or before it could move one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub outcome: Outcome,
    pub message: String,
    /// What to do, one sentence each.
    pub hints: Vec<String>,
    /// How the run stands that the verb was about, where it is known.
    pub run: Option<Box<Value>>,
}

impl Failure {
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Failure {
        Failure { outcome, message: message.into(), hints: Vec::new(), run: None }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Outcome::Usage, message)
    }

    /// Says how the run stands that is not moved.
    #[must_use]
    pub fn about(mut self, progress: &Progress) -> Failure {
        let ending = Ending { outcome: self.outcome, reason: self.message.clone(), next: next(progress) };
        self.run = Some(Box::new(object(&ending, progress)));
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hints.push(hint.into());
        self
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Failure {
        match error.cause {
            CallCause::Credentials => Failure::new(Outcome::Credentials, error.to_string())
                .hint("log in again (such as `aws sso login`), or refresh the credentials of this job, and repeat the command"),
            CallCause::Denied => Failure::new(Outcome::Blocked, format!("AWS denies {error}"))
                .hint(format!("allow `{}` to the role or user that runs migrate, and repeat the command", error.operation)),
            CallCause::Unreachable => Failure::new(Outcome::Error, format!("AWS cannot be reached: {error}"))
                .hint("check the network, the region and any AWS_ENDPOINT_URL, and repeat the command"),
            CallCause::Throttled => Failure::new(Outcome::Error, format!("AWS answers too slowly: {error}"))
                .hint("other programs of this account use up the API's rate; repeat the command later"),
            CallCause::Unknown => Failure::new(Outcome::Error, format!("AWS gave no clear answer: {error}"))
                .hint("the connection broke or the service is in trouble; repeat the command"),
            CallCause::NotFound | CallCause::Refused => Failure::new(Outcome::Error, error.to_string()),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Failure {
        match &error {
            JournalError::Locked { .. } => Failure::new(Outcome::Locked, error.to_string())
                .hint("wait for it; `migrate rollback` asks it to give way"),
            JournalError::Io { .. } => Failure::new(Outcome::Error, error.to_string())
                .hint("nothing was changed that the journal does not know; mend the cause and repeat the command"),
            JournalError::Damaged { .. } | JournalError::Impossible(_) => {
                Failure::new(Outcome::Error, error.to_string()).hint(
                    "keep the file: it is the record of the run; restore it from a copy, or remove the damage by hand",
                )
            }
            JournalError::Unknown { .. } => Failure::new(Outcome::Error, error.to_string())
                .hint("the record is sound: use the version of migrate that wrote it, or a newer one"),
            JournalError::Newer { .. } => Failure::new(Outcome::Error, error.to_string()).hint("update migrate"),
        }
    }
}

/// How a verb that drove a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    pub outcome: Outcome,
    /// A sentence with the numbers.
    pub reason: String,
    /// The command that carries on; `None` where there is nothing left to do.
    pub next: Option<String>,
}

/// The verb that was called, as far as it decides what counts as success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Start,
    Advance,
    Rollback,
    Finish,
    Status,
    Rehearse,
}

/// The ending of a verb. Where several words apply, the worst wins.
pub fn ending(verb: Verb, stop: &Stop, progress: &Progress) -> Ending {
    let (outcome, reason) = outcome(verb, stop, progress);
    Ending { outcome, reason, next: next(progress) }
}

fn outcome(verb: Verb, stop: &Stop, progress: &Progress) -> (Outcome, String) {
    if let Some((reason, _)) = &progress.stuck {
        return (Outcome::Stuck, reason.clone());
    }
    let home = Words::new(&progress.header.plan).home();
    let turned_back = progress.unwinding.as_ref();
    let at_home = progress.phase == Phase::RolledBack || (progress.phase == Phase::Unwinding && progress.home);
    if let Some((cause, reason)) = turned_back.filter(|_| at_home) {
        return match cause {
            Cause::Asked if verb == Verb::Rollback => {
                (Outcome::Ok, format!("{home}, verified{}", left_behind(progress)))
            }
            Cause::Asked => (Outcome::RolledBack, format!("the run was rolled back: {reason}")),
            Cause::Refused if verb != Verb::Rollback => {
                let left =
                    if progress.made.is_empty() { "nothing was changed" } else { "what the run created is removed" };
                (Outcome::Blocked, format!("{reason}; {left}"))
            }
            _ if verb == Verb::Rollback => {
                (Outcome::Ok, format!("{home}, verified{}; it was rolled back because {reason}", left_behind(progress)))
            }
            _ => (Outcome::RolledBack, format!("{home}, verified: {reason}")),
        };
    }
    match stop {
        Stop::Interrupted(Signal::Yield) => (Outcome::Locked, "another process has taken the run over".to_owned()),
        Stop::Interrupted(Signal::Interrupt) => (Outcome::Interrupted, interrupted(progress, "SIGINT")),
        Stop::Interrupted(signal) => (Outcome::Terminated, interrupted(progress, signal.name())),
        Stop::Waiting(what) => (Outcome::Held, what.clone()),
        Stop::Stuck | Stop::Held | Stop::Reached => held_or_reached(progress),
    }
}

fn interrupted(progress: &Progress, by: &str) -> String {
    if progress.share == Share::NONE && progress.shift.is_none() {
        return format!("stopped by {by} at a safe point; nothing has moved");
    }
    let whole = Words::new(&progress.header.plan).whole();
    format!("stopped by {by} at a safe point; green keeps {} of the {whole}, and nobody watches it", progress.share)
}

fn held_or_reached(progress: &Progress) -> (Outcome, String) {
    if let Some((why, reason)) = &progress.held {
        let outcome = match why {
            HoldReason::Drift => Outcome::Drift,
            HoldReason::Credentials => Outcome::Credentials,
            _ => Outcome::Held,
        };
        return (outcome, reason.clone());
    }
    let judged = progress.judged.as_ref().map(|j| j.judgement.reason.clone());
    let words = Words::new(&progress.header.plan);
    let whole = words.whole();
    let reason = match progress.phase {
        Phase::Preparing => "green is being prepared".to_owned(),
        Phase::Open if progress.stage == 0 => words.ready().to_owned(),
        Phase::Open if progress.stage > progress.passed => {
            format!("green has {} of the {whole}, and the stage bakes", progress.share)
        }
        Phase::Open => judged.unwrap_or_else(|| format!("green has {} of the {whole}", progress.share)),
        Phase::Shifted => judged.unwrap_or_else(|| words.shifted().to_owned()),
        Phase::Finishing => words.finishing().to_owned(),
        Phase::Finished => words.finished().to_owned(),
        Phase::Unwinding => "traffic is on its way home".to_owned(),
        Phase::RolledBack => words.home().to_owned(),
    };
    (Outcome::Ok, reason)
}

/// The command that carries on.
fn next(progress: &Progress) -> Option<String> {
    let name = &progress.header.run;
    let remove = if progress.remove_green { " --remove-green" } else { "" };
    let verb = match progress.phase {
        _ if progress.stuck.is_some() && progress.phase == Phase::Finishing => format!("migrate finish {name}"),
        _ if progress.stuck.is_some() => format!("migrate rollback {name}{remove}"),
        Phase::Preparing => {
            let sandbox = progress.header.sandbox.as_ref().map_or_else(String::new, |s| format!(" --sandbox={s}"));
            format!("migrate start {}{sandbox}", quoted(&progress.header.playbook_file))
        }
        Phase::Open => format!("migrate advance {name}"),
        Phase::Shifted | Phase::Finishing => format!("migrate finish {name}"),
        Phase::Unwinding => format!("migrate rollback {name}{remove}"),
        Phase::RolledBack if green_stands(progress) || unused(progress) => {
            format!("migrate rollback {name} --remove-green")
        }
        Phase::RolledBack | Phase::Finished => return None,
    };
    Some(verb)
}

/// A file name as a shell takes it.
fn quoted(file: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !file.is_empty() && file.chars().all(plain) {
        file.to_owned()
    } else {
        format!("'{}'", file.replace('\'', "'\\''"))
    }
}

/// Whether a run that has been rolled back left green running.
fn green_stands(progress: &Progress) -> bool {
    !progress.remove_green && progress.operations.contains_key("create-service")
}

/// Whether a run that updates the service itself, and has been rolled back, left what it created.
fn unused(progress: &Progress) -> bool {
    let plan = &progress.header.plan;
    let created = || progress.operations.keys().filter_map(|id| plan.operation(id)).any(Operation::creates);
    plan.playbook.shift.updates_in_place() && !progress.remove_green && created()
}

/// What a rollback left behind, as the end of a sentence.
fn left_behind(progress: &Progress) -> String {
    let plan = &progress.header.plan;
    let seconds = plan.inventory.follow_seconds();
    let moved = progress.moved && progress.phase == Phase::RolledBack && seconds > 0;
    let late = match moved {
        true if green_stands(progress) => format!("; resolvers may send requests to green for {seconds} s more"),
        _ => String::new(),
    };
    if progress.phase == Phase::RolledBack && unused(progress) {
        return "; what was created is kept, unused".to_owned();
    }
    if progress.phase != Phase::RolledBack || !green_stands(progress) {
        return late;
    }
    if matches!(plan.playbook.shift, Shift::InPlace(_)) {
        return format!("; {} is kept without tasks", plan.green_name());
    }
    format!("{late}; {} is kept with {} tasks and no traffic", plan.green_name(), plan.green_count())
}

/// The share of the traffic that green receives, in percent.
pub fn green_share(progress: &Progress) -> f64 {
    match progress.phase {
        Phase::Finished => Share::ALL.percent(),
        _ => progress.share.percent(),
    }
}

/// The object of `--json` for a verb that drove a run.
pub fn object(ending: &Ending, progress: &Progress) -> Value {
    let verdict = progress.judged.as_ref().map(|j| j.judgement.verdict).or(progress.turned_by);
    let mut object = json!({
        "outcome": ending.outcome,
        "run": progress.header.run,
        "state": progress.state(),
        "stage": progress.stage,
        "stages": progress.stages(),
        "green_share": green_share(progress),
        "verdict": verdict,
        "reason": ending.reason,
        "next": ending.next,
        "sandbox": progress.header.sandbox,
        "time_scale": progress.header.time_scale,
        "seq": progress.last.0,
        "at": progress.last.1,
    });
    let mut add = |name: &str, value: Value| {
        if let Some(fields) = object.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
    };
    let mut fields = evidence(progress);
    if let Some(judged) = &progress.judged {
        fields.insert("at".to_owned(), json!(judged.at));
        fields.insert("tally".to_owned(), json!(judged.judgement.tally));
        fields.insert("healthy_hosts".to_owned(), json!(judged.judgement.healthy_hosts));
    }
    if !fields.is_empty() {
        add("evidence", Value::Object(fields));
    }
    if let Some(shift) = &progress.shift {
        // Some routes may show the new share already.
        add("shift_under_way", json!({ "stage": shift.stage, "green_share": shift.share.percent() }));
    }
    if let Some(bake) = &progress.bake {
        add("bake_until", json!(bake.until));
    }
    if let Some((moment, reason)) = &progress.calls.failed {
        add("failed_call", json!({ "moment": moment, "reason": reason }));
    }
    let left = left_to_do(progress);
    if !left.is_empty() {
        add("left_to_do", json!(left));
    }
    if progress.phase == Phase::Finished {
        add("savings", json!(progress.header.plan.savings()));
    }
    object
}

/// What would have changed a verdict that turned the run back or holds it, a sentence each; nothing where
/// something other than the evidence did.
pub fn would_change(progress: &Progress) -> Vec<String> {
    let turned_back = progress.unwinding.as_ref().is_some_and(|(cause, _)| *cause == Cause::Gate);
    let holds = progress.held.as_ref().is_some_and(|(why, _)| *why == HoldReason::NotEnoughEvidence);
    if !turned_back && !holds {
        return Vec::new();
    }
    let case = Case::weighed(progress).filter(|case| case.course.against);
    case.map_or_else(Vec::new, |case| case.sentences().collect())
}

/// The run as one object, for those who are called and told.
pub fn standing(progress: &Progress) -> Value {
    object(&ending(Verb::Status, &Stop::Reached, progress), progress)
}

/// The object of `--json` for a verb that failed before it could move a run.
pub fn failure_object(failure: &Failure) -> Value {
    let mut object = match failure.run.as_deref() {
        Some(Value::Object(run)) => run.clone(),
        _ => ["run", "state", "stage", "stages", "green_share", "verdict", "next"]
            .map(|absent| (absent.to_owned(), Value::Null))
            .into_iter()
            .collect(),
    };
    object.insert("outcome".into(), json!(failure.outcome));
    object.insert("reason".into(), json!(failure.message));
    object.insert("hints".into(), json!(failure.hints));
    Value::Object(object)
}
