//! The journal, readable: one line for each record, and one object for each event.

use serde_json::{Map, Value, json};

use crate::journal::calls::{Answer, Call, Moment};
use crate::journal::{Event, Record, Settlement};
use crate::operation::{Drift, SCALING_RELEASED};
use crate::plan::Plan;

use super::judge::unsaid;
use super::words::Words;

/// A record as `--events` and `history --json` print it: `seq`, `at`, `event`, and its own fields.
pub fn object(record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("seq".into(), json!(record.seq));
    object.insert("at".into(), json!(record.at));
    object.insert("event".into(), json!(record.event.name()));
    if let Event::Opened(header) = &record.event {
        object.insert("run".into(), json!(header.run));
        object.insert("id".into(), json!(header.id));
        object.insert("tool".into(), json!(header.tool));
        object.insert("sandbox".into(), json!(header.sandbox));
        object.insert("time_scale".into(), json!(header.time_scale));
        object.insert("operations".into(), json!(header.plan.prepare.len()));
        return Value::Object(object);
    }
    let value = serde_json::to_value(&record.event).unwrap_or_default();
    let fields = value.as_object().and_then(|o| o.values().next()).and_then(Value::as_object);
    object.extend(fields.cloned().unwrap_or_default());
    Value::Object(object)
}

/// What a record says to a person; `None` for one that only a program needs.
pub fn sentence(record: &Record, plan: &Plan) -> Option<String> {
    let title = |id: &str| plan.operation(id).map_or_else(|| id.to_owned(), crate::operation::Operation::title);
    let words = Words::new(plan);
    Some(match &record.event {
        Event::Opened(header) => {
            let at = header.sandbox.as_ref().map_or_else(String::new, |s| format!(" on the sandbox ({s})"));
            format!(
                "run {} opened{at}: {} operations, then {} stages",
                header.run,
                header.plan.prepare.len(),
                header.plan.playbook.stages.len()
            )
        }
        Event::Resumed { verb } => format!("resumed by `migrate {verb}`"),
        Event::Intended { .. } | Event::UndoIntended { .. } | Event::Noted { .. } => return None,
        Event::Settled { operation, outcome } => settled(&title(operation), outcome),
        Event::UndoSettled { operation, outcome } => settled(&format!("undo: {}", title(operation)), outcome),
        Event::Readied => words.ready().to_owned(),
        Event::Advanced(goal) => format!("advance through stage {}", goal.through),
        Event::ShiftIntended { stage: 0, .. } => words.going_home().to_owned(),
        Event::ShiftIntended { stage, share } => words.shifting(*stage, *share),
        Event::ShiftSettled { stage: 0, outcome } => settled(words.came_home(), outcome),
        Event::ShiftSettled { stage, outcome } => settled(&words.settled(*stage, plan.share(*stage)), outcome),
        Event::BakeBegan { stage, until } => format!("stage {stage} bakes until {}", until.format("%F %T UTC")),
        Event::Judged { judgement, .. } => {
            let evidence = unsaid(judgement).map_or_else(String::new, |evidence| format!(" ({evidence})"));
            format!("{}: {}{evidence}", judgement.verdict.words(), judgement.reason)
        }
        Event::StagePassed { stage } => format!("stage {stage} passed"),
        Event::Shifted => words.shifted().to_owned(),
        Event::Drifted { drift } => drifted(drift),
        Event::Held { reason, .. } => format!("HOLD: {reason}"),
        Event::Unwinding { reason, .. } => format!("ROLLING BACK: {reason}"),
        Event::RolledBack => "rolled back".to_owned(),
        Event::Stuck { reason, .. } => format!("STUCK: {reason}"),
        Event::Finishing => words.finishing().to_owned(),
        Event::Finished => format!("finished: {}", words.finished()),
        Event::Called(call) => called(call),
        Event::Interrupted { signal } => format!("stopped by {}", signal.name()),
    })
}

fn called(call: &Call) -> String {
    let what = match call.moment {
        Moment::Notice => format!("notice to {}", call.what),
        moment => format!("hook {} {}", moment.name(), call.what),
    };
    match &call.outcome {
        Answer::Done => what,
        Answer::Failed { reason } => format!("FAILED: {what}: {reason}"),
        Answer::Skipped { reason } => format!("not called: {what}: {reason}"),
    }
}

fn settled(what: &str, outcome: &Settlement) -> String {
    match outcome {
        Settlement::Done(made) => {
            let made: Vec<&str> =
                made.iter().filter(|(k, _)| !k.starts_with(SCALING_RELEASED)).map(|(_, v)| v.as_str()).collect();
            if made.is_empty() { what.to_owned() } else { format!("{what}: {}", made.join(", ")) }
        }
        Settlement::NotDone(error) => format!("not done ({what}): {error}"),
        Settlement::Unknown(error) => format!("unclear ({what}): {error}"),
        Settlement::Drift(drift) => drifted(drift),
    }
}

/// A drift on lines of its own: what was expected, and what was found.
pub fn drifted(drift: &Drift) -> String {
    format!("somebody else changed {}\n  expected  {}\n  found     {}", drift.what, drift.expected, drift.found)
}
