//! What the judge saw, for a person and for a program: of a file, of a run, of two target groups.
//!
//! Evidence is shown beside what it takes, by minute as a sparkline. A metric's own line reaches the top
//! where it would condemn alone, with its weight; the line of all together is the verdict's.

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::gate::account::odds;
use crate::gate::course::{Course, Track};
use crate::gate::ledger::{Ledger, Metric};
use crate::gate::trial::{FAST_FALSE_ROLLBACK, LogEvidence, WARNING};
use crate::gate::what_if::{Change, changes};
use crate::gate::{Judgement, Weighed};
use crate::journal::progress::Progress;

/// Characters of a sparkline; longer runs show the highest of several minutes in each.
const WIDTH: usize = 48;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Minutes that were judged, and what would have changed the verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub ledger: Ledger,
    pub course: Course,
    pub changes: Vec<Change>,
    /// The start of the first minute, where it is known.
    pub begin: Option<DateTime<Utc>>,
}

impl Case {
    pub fn new(ledger: Ledger, begin: Option<DateTime<Utc>>) -> Case {
        let course = Course::of(&ledger);
        let changes = changes(&ledger, &course);
        Case { ledger, course, changes, begin }
    }

    /// Every minute of a run.
    pub fn of_run(progress: &Progress) -> Case {
        let plan = &progress.header.plan;
        Case::new(progress.seen.ledger(plan), progress.seen.origin(plan))
    }

    /// The same, where something was weighed.
    pub fn weighed(progress: &Progress) -> Option<Case> {
        let case = Case::of_run(progress);
        (!case.ledger.minutes.is_empty() && case.course.driver.is_some()).then_some(case)
    }

    /// The verdict, its reason, the evidence over time and what would change it.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.course.verdict.words(), self.course.reason);
        let mut line = |line: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {line}");
        };
        self.turns().iter().for_each(|turn| line(turn));
        self.sparklines().iter().for_each(|each| line(each));
        let impossible = self.impossible();
        if impossible > 0 {
            line(&format!("{impossible} minutes with impossible numbers were left out"));
        }
        self.sentences().for_each(|sentence| line(&format!("what would change it: {sentence}")));
        text
    }

    /// What would change the verdict, a sentence each.
    pub fn sentences(&self) -> impl Iterator<Item = String> + '_ {
        self.changes.iter().map(Change::sentence)
    }

    /// When the evidence held the run back, and when it rolled green back.
    fn turns(&self) -> Option<String> {
        let minutes = self.ledger.minutes.len();
        let warned = self.warned();
        let at = |minute| self.at(minute).map_or_else(String::new, |at| format!(" ({})", at.format("%F %H:%M UTC")));
        let Some(rolled) = self.course.condemned else {
            return warned.map(|minute| format!("held back from minute {} of {minutes}{}", minute + 1, at(minute)));
        };
        let rolled_back = format!("rolled back in minute {} of {minutes}{}", rolled + 1, at(rolled));
        match warned.filter(|minute| *minute < rolled) {
            Some(minute) => Some(format!("held back from minute {}, {rolled_back}", minute + 1)),
            None => Some(rolled_back),
        }
    }

    /// The minute from which evidence was too much to go on, up to the end or to where it condemned.
    fn warned(&self) -> Option<usize> {
        let end = self.course.condemned.map_or(self.course.evidence.len(), |minute| minute + 1);
        let evidence = &self.course.evidence[..end];
        let calm = evidence.iter().rposition(|evidence| evidence.slow < WARNING.ln());
        let first = calm.map_or(0, |minute| minute + 1);
        (first < end).then_some(first)
    }

    fn at(&self, minute: usize) -> Option<DateTime<Utc>> {
        Some(self.begin? + TimeDelta::minutes(i64::try_from(minute).ok()?))
    }

    /// A line for each metric, and one for all of them together.
    pub fn sparklines(&self) -> Vec<String> {
        let (ledger, course) = (&self.ledger, &self.course);
        let needed = -ledger.false_rollback.ln();
        let line = |name: &str, evidence: &[LogEvidence], weight: f64, rates: String| {
            let slow = needed - weight.ln();
            let fast = -FAST_FALSE_ROLLBACK.ln() - weight.ln();
            // What condemns within few minutes reaches the top as well.
            let logs = evidence.iter().map(|e| if e.fast >= fast { e.slow.max(slow) } else { e.slow });
            let bars = sparkline(&logs.collect::<Vec<_>>(), slow);
            Some([name.to_owned(), bars, beside(*evidence.last()?, slow, fast), rates])
        };
        let own = ledger.metrics.iter().zip(&course.tracks);
        let own =
            own.filter_map(|(metric, track)| line(&metric.name, &track.evidence, metric.weight, rates(metric, track)));
        let all = line("all", &course.evidence, 1.0, String::new()).filter(|_| ledger.metrics.len() > 1);
        let rows: Vec<[String; 4]> = own.chain(all).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (names, odds) = (width(0).max(3), width(2));
        let shown = rows.iter().map(|[name, bars, of, rates]| format!("{name:names$}  {bars}  {of:odds$}  {rates}"));
        shown.map(|line| line.trim_end().to_owned()).collect()
    }

    fn impossible(&self) -> usize {
        self.ledger.minutes.iter().filter(|row| row.impossible()).count()
    }

    fn metrics(&self, by_minute: bool) -> Vec<Value> {
        let pairs = self.ledger.metrics.iter().zip(&self.course.tracks);
        let one = |(metric, track): (&Metric, &Track)| {
            let mut object = json!({
                "name": metric.name,
                "test": metric.test,
                "weight": metric.weight,
                "phi": metric.phi,
                "minutes": track.minutes,
                "green": track.seen.green,
                "blue": track.seen.blue,
                "counts": track.counts,
            });
            if !metric.counted() {
                object["against"] = json!(track.against);
            }
            let (slow, fast) = if by_minute {
                (
                    json!(track.evidence.iter().map(|e| e.slow).collect::<Vec<_>>()),
                    json!(track.evidence.iter().map(|e| e.fast).collect::<Vec<_>>()),
                )
            } else {
                let last = track.evidence.last().copied().unwrap_or_default();
                (json!(last.slow), json!(last.fast))
            };
            (object["log_e_slow"], object["log_e_fast"]) = (slow, fast);
            object
        };
        pairs.map(one).collect()
    }

    fn would_change(&self) -> Vec<Value> {
        let one = |change: &Change| json!({ "change": change, "sentence": change.sentence() });
        self.changes.iter().map(one).collect()
    }

    /// The object of `migrate judge --json`.
    pub fn object(&self) -> Value {
        let (ledger, course) = (&self.ledger, &self.course);
        let times = (0..ledger.minutes.len()).map(|minute| self.at(minute));
        let times: Option<Vec<DateTime<Utc>>> = times.collect();
        let mut object = json!({
            "outcome": "ok",
            "verdict": course.verdict,
            "reason": course.reason,
            "rollback_minute": course.condemned.map(|minute| minute + 1),
            "hold_minute": self.warned().map(|minute| minute + 1),
            "log_e_slow": course.evidence.iter().map(|e| e.slow).collect::<Vec<_>>(),
            "log_e_fast": course.evidence.iter().map(|e| e.fast).collect::<Vec<_>>(),
            "log_e_needed": -ledger.false_rollback.ln(),
            "phi": ledger.metrics.first().map(|metric| metric.phi),
            "false_rollback": ledger.false_rollback,
            "planned_minutes": ledger.starts.planned_minutes,
            "stage_starts": ledger.starts.begun,
            "driver": course.driver.and_then(|index| ledger.metrics.get(index)).map(|metric| &metric.name),
            "metrics": self.metrics(true),
            "impossible_minutes": self.impossible(),
            "would_change": self.would_change(),
        });
        if let Some(begin) = self.begin {
            object["begin"] = json!(begin);
            object["rollback_at"] = json!(course.condemned.and_then(|minute| self.at(minute)));
            object["times"] = json!(times);
        }
        object
    }
}

/// What a run's verbs say of its evidence; nothing where none was weighed.
pub fn evidence(progress: &Progress) -> Map<String, Value> {
    let Some(case) = Case::weighed(progress) else { return Map::new() };
    let Some(weighed) = Weighed::of(&case.ledger, &case.course) else { return Map::new() };
    let object = json!({
        "metric": weighed.metric,
        "phi": weighed.phi,
        "log_e_slow": weighed.log_e_slow,
        "log_e_fast": weighed.log_e_fast,
        "log_e_needed": weighed.log_e_needed,
        "odds": of_needed(&weighed),
        "metrics": case.metrics(false),
        "would_change": case.would_change(),
    });
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The evidence against green beside what rolls back, such as `3.2 of 100`.
pub fn of_needed(weighed: &Weighed) -> String {
    let last = LogEvidence { slow: weighed.log_e_slow, fast: weighed.log_e_fast };
    beside(last, weighed.log_e_needed, -FAST_FALSE_ROLLBACK.ln())
}

/// Evidence beside what it takes: the slow, unless only that of few minutes suffices.
fn beside(evidence: LogEvidence, slow: f64, fast: f64) -> String {
    if evidence.slow < slow && evidence.fast >= fast {
        return format!("{} of {}", odds(evidence.fast), odds(fast));
    }
    format!("{} of {}", odds(evidence.slow), odds(slow))
}

/// The evidence of a judgement whose reason does not say it.
pub fn unsaid(judgement: &Judgement) -> Option<String> {
    let weighed = judgement.weighed.as_ref().filter(|_| !judgement.reason.contains("against green"))?;
    Some(format!("evidence {}", of_needed(weighed)))
}

/// What a metric has seen, in short.
fn rates(metric: &Metric, track: &Track) -> String {
    let ignored = match track.evidence.last() {
        Some(last) if !track.counts && last.slow >= WARNING.ln() => ", not counted: blue is no better",
        _ => "",
    };
    match track.minutes {
        0 => format!("not seen{ignored}"),
        minutes if !metric.counted() => format!("{} of {minutes} min against green", track.against),
        _ => {
            let percent = |rate: f64| format!("{:.2}%", rate * 100.0);
            format!("green {}, blue {}{ignored}", percent(track.seen.green.rate()), percent(track.seen.blue.rate()))
        }
    }
}

/// Evidence by minute, from even odds at the bottom to what condemns at the top.
fn sparkline(logs: &[f64], threshold: f64) -> String {
    let each = logs.len().div_ceil(WIDTH).max(1);
    let bars = logs.chunks(each).map(|minutes| {
        let highest = minutes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bars")]
        let bar = (highest / threshold * 7.0).clamp(0.0, 7.0) as usize;
        BARS[bar]
    });
    bars.collect()
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn sparklines_by_hand() {
        assert_eq!(sparkline(&[-5.0, 0.0, 1.0, 2.0, 3.9, 4.0, 99.0], 4.0), "▁▁▂▄▇██");
        assert_eq!(sparkline(&[], 4.0), "");
        assert_eq!(sparkline(&vec![0.0; 1440], 4.0).chars().count(), 48);
        let mut spike = vec![0.0; 600];
        spike[305] = 4.0;
        assert_eq!(sparkline(&spike, 4.0).chars().filter(|c| *c == '█').count(), 1, "no minute is lost");
    }
}
