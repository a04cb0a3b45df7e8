//! `migrate judge`: the judge over minutes that are past, and what would have changed its mind.
//!
//! The minutes are those of a run's journal, of two target groups in CloudWatch, or of a file. Nothing is
//! moved and no run is locked; only `--since` contacts AWS. Every verdict is an answer: the exit code is 0.

mod file;
mod past;

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};

pub(super) use self::file::FILE;
use super::runs::choose;
use super::{Common, RunArgs};
use crate::gate::ledger::Ledger;
use crate::gate::{Counted, Judgement};
use crate::journal::progress::Progress;
use crate::journal::{Event, Record};
use crate::report::judge::Case;
use crate::report::outcome::{Failure, Outcome};
use crate::report::{Form, out};

#[derive(Debug, Args)]
pub(super) struct JudgeArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Judge the minutes of a JSON file, instead of a run's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "vars"])]
    input: Option<PathBuf>,
    /// Judge the last minutes of two sides in CloudWatch, such as 2h, instead of a run's
    #[arg(long, value_name = "DURATION", value_parser = past::read_since, requires = "green_tg", requires = "blue_tg",
          conflicts_with_all = ["run", "vars", "input"])]
    since: Option<TimeDelta>,
    /// Green's target groups for --since, by name or ARN
    #[arg(long, value_name = "NAME or ARN", value_delimiter = ',', requires = "since")]
    green_tg: Vec<String>,
    /// Blue's target groups for --since, by name or ARN
    #[arg(long, value_name = "NAME or ARN", value_delimiter = ',', requires = "since")]
    blue_tg: Vec<String>,
    /// What if this chance of a false rollback were declared, such as 5%
    #[arg(long, value_name = "CHANCE", value_parser = read_chance)]
    false_rollback: Option<f64>,
    /// What if failures came in clusters of this size
    #[arg(long, value_name = "PHI", value_parser = read_phi)]
    phi: Option<f64>,
}

pub(super) fn judge(common: &Common, args: &JudgeArgs) -> Result<Outcome, Failure> {
    if let Some(input) = &args.input {
        let case = Case::new(args.asked(file::read(input)?), None);
        return Ok(tell(common, &case, "", &[], &[]));
    }
    if let Some(since) = args.since {
        let past = past::read(since, &args.green_tg, &args.blue_tg)?;
        let case = Case::new(args.asked(past.ledger), Some(past.begin));
        return Ok(tell(common, &case, &past.title, &past.notes, &past.fields));
    }
    let chosen = choose(common, &args.run)
        .map_err(|failure| failure.hint("`--input` judges a file, and `--since` two target groups without a run"))?;
    let progress = &chosen.progress;
    let plan = &progress.header.plan;
    let case = Case::new(args.asked(progress.seen.ledger(plan)), progress.seen.origin(plan));
    let gate = chosen.records.iter().rev().find_map(Gate::of);
    let stage = gate.as_ref().map_or(progress.stage, |gate| gate.stage);
    let fields = [
        ("run", json!(progress.header.run)),
        ("state", json!(progress.state())),
        ("stage", json!(stage)),
        ("stages", json!(progress.stages())),
        ("begin", json!(case.begin)),
        ("gate", gate.as_ref().map_or(Value::Null, Gate::object)),
    ];
    let title = title(progress, &case, stage);
    Ok(tell(common, &case, &title, &notes(progress, &case, gate.as_ref()), &fields))
}

/// What the gate said last, of which the evidence is a part.
struct Gate<'a> {
    stage: usize,
    at: DateTime<Utc>,
    judgement: &'a Judgement,
}

impl Gate<'_> {
    fn of(record: &Record) -> Option<Gate<'_>> {
        match &record.event {
            Event::Judged { stage, judgement, .. } => Some(Gate { stage: *stage, at: record.at, judgement }),
            _ => None,
        }
    }

    fn object(&self) -> Value {
        json!({ "at": self.at, "verdict": self.judgement.verdict, "reason": self.judgement.reason })
    }
}

impl JudgeArgs {
    /// The ledger, with what is asked about.
    fn asked(&self, mut ledger: Ledger) -> Ledger {
        if let Some(chance) = self.false_rollback {
            ledger.false_rollback = chance;
        }
        if let Some(phi) = self.phi {
            ledger.metrics.iter_mut().for_each(|metric| metric.phi = phi);
        }
        ledger
    }
}

fn tell(common: &Common, case: &Case, title: &str, notes: &[String], fields: &[(&str, Value)]) -> Outcome {
    match common.form() {
        Form::Text => {
            let title = if title.is_empty() { String::new() } else { format!("{title}\n") };
            let notes: String = notes.iter().map(|note| format!("  {note}\n")).collect();
            out(format!("{title}{}{notes}", case.text()).trim_end());
        }
        Form::Json | Form::Events => {
            let mut object = case.object();
            for (name, value) in fields {
                object[*name] = value.clone();
            }
            out(&object.to_string());
        }
    }
    Outcome::Ok
}

/// Which minutes of which run.
fn title(progress: &Progress, case: &Case, stage: usize) -> String {
    let (run, state) = (&progress.header.run, progress.state());
    let sandbox = progress.header.sandbox.as_ref().map_or("", |_| "sandbox, ");
    let minutes = match (case.ledger.minutes.len(), case.begin) {
        (0, _) | (_, None) => "no minute seen yet".to_owned(),
        (minutes, Some(begin)) => format!("{minutes} min from {}", begin.format("%F %H:%M UTC")),
    };
    format!("{run}: {state} ({sandbox}stage {stage} of {}), {minutes}", progress.stages())
}

/// What the evidence alone does not say.
fn notes(progress: &Progress, case: &Case, gate: Option<&Gate>) -> Vec<String> {
    let mut notes = Vec::new();
    let begun = &case.ledger.starts.begun;
    if begun.len() > 1 {
        let stages: Vec<String> = (1..)
            .zip(begun)
            .map(|(stage, minute)| format!("{stage} ({}) in minute {}", progress.header.plan.share(stage), minute + 1))
            .collect();
        notes.push(format!("stages began: {}", stages.join(", ")));
    }
    if progress.header.plan.counted() == Counted::Nothing && case.ledger.metrics.is_empty() {
        notes.push("nothing of this run is counted: its tasks and alarms are the gate".to_owned());
    }
    let same = |judgement: &Judgement| {
        judgement.verdict == case.course.verdict && judgement.reason.starts_with(&case.course.reason)
    };
    if let Some(Gate { at, judgement, .. }) = gate.filter(|gate| !same(gate.judgement)) {
        let (verdict, at) = (judgement.verdict.words(), at.format("%F %H:%M UTC"));
        notes.push(format!("the run's own gate, at {at}: {verdict}: {}", judgement.reason));
    }
    notes
}

/// A chance as people write it: `5%` or `0.05`.
fn read_chance(text: &str) -> Result<f64, String> {
    let (digits, scale) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
    let chance = digits.trim().parse::<f64>().map_err(|_| "write a chance such as 5% or 0.05".to_owned())? / scale;
    if chance > 0.0 && chance < 1.0 { Ok(chance) } else { Err("a chance lies between 0% and 100%".to_owned()) }
}

/// A phi of `--phi`.
fn read_phi(text: &str) -> Result<f64, String> {
    let phi = text.parse::<f64>().map_err(|_| "write a number such as 3".to_owned())?;
    if phi.is_finite() && phi >= 1.0 { Ok(phi) } else { Err("phi is at least 1: independent failures".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_and_phis_by_table() {
        for (text, chance) in
            [("5%", Some(0.05)), ("0.05", Some(0.05)), ("0", None), ("100%", None), ("x", None), ("NaN", None)]
        {
            assert_eq!(read_chance(text).ok(), chance, "{text}");
        }
        for (text, phi) in [("3", Some(3.0)), ("1", Some(1.0)), ("0.9", None), ("inf", None), ("-", None)] {
            assert_eq!(read_phi(text).ok(), phi, "{text}");
        }
    }
}
