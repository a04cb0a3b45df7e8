//! The file of `migrate judge --input`.
//!
//! It is read strictly: an unknown field or a number out of its range is shown with its place, because
//! a promise about chances cannot rest on a guess.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use crate::finding::{Finding, Place};
use crate::gate::count::Reported;
use crate::gate::ledger::{Ledger, MINUTES_MAX, Row};
use crate::gate::limit::Limit;
use crate::gate::trial::{Margin, Starts};
use crate::report::diagnostic::render;
use crate::report::outcome::Failure;
use crate::report::{colored, err};

/// The form of the file, for `--help`.
pub(in crate::cli) const FILE: &str = "\
The file has minutes in order, from the run's first. All but them may be left out, and is then:
  { \"planned_minutes\": 60, \"stage_starts\": [0, 12], \"false_rollback\": 0.01,
    \"rho0\": 1.25, \"delta0\": 1e-4, \"phi\": 1.0, \"hard_limit\": null,
    \"minutes\": [ { \"green\": { \"requests\": 300, \"bad\": 1 },
                   \"blue\": { \"requests\": 5700, \"bad\": 6 } } ] }";

/// The file of `--input`. Minutes are in order, from the run's first.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Input {
    #[serde(deserialize_with = "minutes_of_a_run")]
    planned_minutes: u32,
    stage_starts: Vec<u32>,
    #[serde(deserialize_with = "chance")]
    false_rollback: f64,
    #[serde(deserialize_with = "at_least_one")]
    rho0: f64,
    #[serde(deserialize_with = "rate")]
    delta0: f64,
    #[serde(deserialize_with = "at_least_one")]
    phi: f64,
    #[serde(deserialize_with = "limit")]
    hard_limit: Option<f64>,
    minutes: Option<Vec<Minute>>,
}

/// A side that is absent or `null` was not reported.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Minute {
    #[serde(default)]
    green: Option<Reported>,
    #[serde(default)]
    blue: Option<Reported>,
}

impl Default for Input {
    fn default() -> Input {
        Input {
            planned_minutes: 60,
            stage_starts: vec![0, 12],
            false_rollback: 0.01,
            rho0: Margin::ERRORS.ratio,
            delta0: Margin::ERRORS.floor,
            phi: 1.0,
            hard_limit: None,
            minutes: None,
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Ledger, Failure> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::usage(format!("cannot read {name}: {error}")).hint("give a file of minutes with `--input`")
    })?;
    let text = String::from_utf8_lossy(&bytes);
    parse(&text).map_err(|finding| {
        err(render(std::slice::from_ref(&finding), &name, &text, colored()).trim_end());
        let place = finding.place.map_or_else(String::new, |p| format!(", line {}, column {}", p.line, p.column));
        Failure::usage(format!("{name}{place}: {}", finding.message))
    })
}

fn parse(text: &str) -> Result<Ledger, Box<Finding>> {
    let wrong = |message: String| Finding::block("judge-input", message);
    let input: Input = serde_json::from_str(text).map_err(|error| {
        let shown = error.to_string();
        let message = shown.rsplit_once(" at line ").map_or(shown.as_str(), |(message, _)| message);
        let remedy = "write the file as `migrate judge --help` shows it; what was not reported is null";
        let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let finding = wrong(message.to_owned()).remedy(remedy).at(place(text, error.line(), error.column()));
        Box::new(if expected.is_empty() { finding } else { finding.evidence(format!("expected {expected}")) })
    })?;
    let at = |finding: Finding, field: &str| {
        Box::new(match find(text, field) {
            Some(place) => finding.at(place),
            None => finding,
        })
    };
    let Some(minutes) = input.minutes else {
        let missing = wrong("the field `minutes` is missing".to_owned());
        return Err(Box::new(missing.remedy("give the minutes in order, from the run's first")));
    };
    if minutes.len() > MINUTES_MAX {
        let many = wrong(format!("{} minutes are more than a run can have ({MINUTES_MAX})", minutes.len()));
        return Err(at(many.remedy("judge at most three months at once"), "minutes"));
    }
    if let Some(beyond) = input.stage_starts.iter().find(|start| **start >= input.planned_minutes) {
        let late = wrong(format!("a stage starts in minute {beyond} of {} planned", input.planned_minutes));
        let remedy = "minutes count from 0; plan as many as all stages bake together";
        return Err(at(late.remedy(remedy), "stage_starts"));
    }
    let starts = Starts::planned(input.planned_minutes, &input.stage_starts);
    let mut ledger = Ledger::of_errors(
        input.false_rollback,
        starts,
        Margin { ratio: input.rho0, floor: input.delta0 },
        input.phi,
        input.hard_limit.map(|rate| Limit { rate }),
    );
    for (minute, sides) in (0..).zip(minutes) {
        ledger.enter(minute, Row::counts(sides.green.unwrap_or_default(), sides.blue.unwrap_or_default()));
    }
    Ok(ledger)
}

/// The word that ends where the parser stopped; `column` counts bytes.
fn place(text: &str, line: usize, column: usize) -> Place {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut end = (before + column).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let word = |c: char| c.is_alphanumeric() || "_.+-".contains(c);
    let (head, mut start) = (&text[before.min(end)..end], end);
    let inner = head.trim_end_matches(['"', ',', '}', ']', ' ']);
    let length: usize = inner.chars().rev().take_while(|c| word(*c)).map(char::len_utf8).sum();
    if length > 0 {
        end = before + inner.len();
        start = end - length;
    } else if let Some(last) = head.chars().next_back() {
        start = end - last.len_utf8();
    }
    Place { line: line.max(1), column: text[before..start].chars().count() + 1, start, end }
}

/// Where a field of the object is named.
fn find(text: &str, field: &str) -> Option<Place> {
    let start = text.find(&format!("\"{field}\""))? + 1;
    let line = text[..start].matches('\n').count() + 1;
    let first = text[..start].rfind('\n').map_or(0, |at| at + 1);
    Some(Place { line, column: text[first..start].chars().count() + 1, start, end: start + field.len() })
}

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    allowed: impl Fn(f64) -> bool,
    expected: &str,
) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number.is_finite() && allowed(number) {
        return Ok(number);
    }
    Err(serde::de::Error::custom(format!("{number} is not {expected}")))
}

fn chance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, |chance| chance > 0.0 && chance < 1.0, "a chance between 0 and 1")
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, |factor| factor >= 1.0, "a factor of at least 1")
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, |rate| (0.0..=1.0).contains(&rate), "a rate from 0 to 1")
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let limit = Option::<f64>::deserialize(deserializer)?;
    if limit.is_none_or(|rate| rate > 0.0 && rate <= 1.0) {
        return Ok(limit);
    }
    Err(serde::de::Error::custom(format!("{} is not a rate above 0 and up to 1", limit.unwrap_or_default())))
}

fn minutes_of_a_run<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let minutes = u32::deserialize(deserializer)?;
    if minutes >= 1 {
        return Ok(minutes);
    }
    Err(serde::de::Error::custom("a run has at least one planned minute"))
}

#[cfg(test)]
mod tests;
