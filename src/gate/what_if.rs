//! What would change a verdict: the same ledger, judged with one thing different.
//!
//! Answers are found by judging again, not by formulas, so they hold whatever metrics a run has.

use serde::Serialize;

use super::Counted;
use super::account::declared;
use super::count::{Count, Pair, Reported};
use super::course::Course;
use super::ledger::{Ledger, Reading, Row, Test};
use super::trial::WARNING;

/// Highest phi that is tried.
const PHI_MAX: f64 = 1000.0;
/// Minutes over which further failures are spread: one bad minute alone is capped.
const MINUTES: u32 = 3;
/// Minutes whose traffic stands for what is to come.
const RECENT: usize = 5;
/// The longest quiet time that is tried.
const CALM_MAX: u32 = 480;

/// What it would have taken for another verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Green would stand if failures came in clusters of this size or larger.
    Phi { phi: f64 },
    /// Green would stand with a declared chance below this.
    FalseRollback { below: f64 },
    /// Green would stand with this many of the bad ones that it had.
    Failures { at_most: f64, of: f64, what: String },
    /// Green would be rolled back by this many bad ones more over the next minutes.
    More { failures: f64, minutes: u32, what: String },
    /// The run could go on after so many minutes in which green fails no more often than blue.
    Calm { minutes: u32 },
}

impl Change {
    pub fn sentence(&self) -> String {
        match self {
            Change::Phi { phi } => format!("it would stand if its failures came in clusters of {phi:.1} or more (phi)"),
            Change::FalseRollback { below } => {
                format!("it would stand at a declared chance of less than {}", declared(*below))
            }
            Change::Failures { at_most, of, what } => {
                format!("it would stand with at most {at_most:.0} of its {of:.0} {what}")
            }
            Change::More { failures, minutes, what } => {
                format!("{failures:.0} more {what} within {minutes} minutes of such traffic would roll it back")
            }
            Change::Calm { minutes: 1 } => "it could go on after 1 minute as good as blue's".to_owned(),
            Change::Calm { minutes } => format!("it could go on after {minutes} minutes as good as blue's"),
        }
    }
}

/// Everything that would change the verdict of this ledger.
pub fn changes(ledger: &Ledger, course: &Course) -> Vec<Change> {
    match course.condemned {
        Some(minute) => {
            [phi(ledger), chance(ledger, course, minute), failures(ledger, course)].into_iter().flatten().collect()
        }
        None => [calm(ledger, course), more(ledger)].into_iter().flatten().collect(),
    }
}

fn condemned(ledger: &Ledger) -> bool {
    Course::of(ledger).condemned.is_some()
}

fn suspected(course: &Course) -> bool {
    course.evidence.last().is_some_and(|evidence| evidence.slow >= WARNING.ln())
}

/// What the bad ones of a series are called.
fn bad_ones(ledger: &Ledger, series: usize) -> String {
    match ledger.series.get(series).map_or("", String::as_str) {
        "errors" if ledger.counted == Counted::Flows => "resets".to_owned(),
        "errors" => "failures".to_owned(),
        name if name.starts_with("slower") => format!("requests {name}"),
        name => name.to_owned(),
    }
}

/// The least phi of all counted metrics with which green stands.
fn phi(ledger: &Ledger) -> Option<Change> {
    let with = |phi: f64| {
        let mut other = ledger.clone();
        other.metrics.iter_mut().for_each(|metric| metric.phi = metric.phi.max(phi));
        other
    };
    let (mut low, mut high) = (1.0, PHI_MAX);
    if condemned(&with(high)) {
        return None;
    }
    while high - low > 0.05 {
        let middle = f64::midpoint(low, high);
        if condemned(&with(middle)) { low = middle } else { high = middle }
    }
    Some(Change::Phi { phi: (high * 10.0).ceil() / 10.0 })
}

/// The declared chance that the strongest minute only just reaches; none where the fast evidence, whose
/// chance is not declared, condemns.
fn chance(ledger: &Ledger, course: &Course, minute: usize) -> Option<Change> {
    let highest = course.evidence.iter().map(|e| e.slow).fold(f64::NEG_INFINITY, f64::max);
    let slow = course.evidence.get(minute)?.slow >= -ledger.false_rollback.ln();
    let fast = course.evidence.iter().any(|e| e.condemns(0.0));
    (slow && !fast).then(|| Change::FalseRollback { below: (-highest).exp() })
}

/// The largest part of the driver's bad ones with which green stands, spread as they were.
fn failures(ledger: &Ledger, course: &Course) -> Option<Change> {
    let series = ledger.metrics.get(course.driver?)?.series;
    let of: f64 = ledger.minutes.iter().filter_map(|row| row.pair(series)).map(|pair| pair.green.bad).sum();
    let with = |part: f64| {
        let mut other = ledger.clone();
        for reading in other.minutes.iter_mut().filter_map(|row| row.readings.get_mut(series)) {
            if let Reading::Counts { green, .. } = reading {
                green.bad = green.bad.map(|bad| bad * part);
            }
        }
        other
    };
    if of <= 0.0 || condemned(&with(0.0)) {
        return None;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while (high - low) * of > 0.25 {
        let middle = f64::midpoint(low, high);
        if condemned(&with(middle)) { high = middle } else { low = middle }
    }
    Some(Change::Failures { at_most: (low * of).floor(), of, what: bad_ones(ledger, series) })
}

/// What the next minutes may be like: the first compared series, and what both sides had of it a minute
/// of late.
fn of_late(ledger: &Ledger) -> Option<(usize, Pair)> {
    let series = ledger.metrics.iter().find(|metric| matches!(metric.test, Test::Beside(_)))?.series;
    let sides = ledger.minutes.iter().rev().map(|row| row.sides(series));
    let heard = sides.filter_map(|(green, blue)| Some((green.filter(|g| g.requests > 0.0)?, blue.unwrap_or_default())));
    let recent: Vec<(Count, Count)> = heard.take(RECENT).collect();
    let mut sum = Pair::default();
    for (green, blue) in &recent {
        sum.green += *green;
        sum.blue += *blue;
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful of minutes")]
    let minutes = recent.len() as f64;
    let each = |count: Count| Count { requests: count.requests / minutes, bad: count.bad / minutes };
    (!recent.is_empty()).then(|| (series, Pair { green: each(sum.green), blue: each(sum.blue) }))
}

/// The ledger with more such minutes of a series, in which green has so many bad ones each.
fn followed_by(ledger: &Ledger, series: usize, minute: &Pair, green_bad: f64, minutes: u32) -> Ledger {
    let counts = Reading::Counts {
        green: Reported::new(minute.green.requests, green_bad),
        blue: Reported::new(minute.blue.requests, minute.blue.bad),
    };
    let silent = Reading::Counts { green: Reported::default(), blue: Reported::default() };
    let mut row = Row { readings: vec![silent; series + 1], share: None };
    row.readings[series] = counts;
    let mut other = ledger.clone();
    other.minutes.extend(std::iter::repeat_n(row, minutes as usize));
    other
}

/// The fewest failures over the next minutes, at the traffic of late, that roll green back.
fn more(ledger: &Ledger) -> Option<Change> {
    let (series, late) = of_late(ledger)?;
    let with = |failures: f64| followed_by(ledger, series, &late, failures / f64::from(MINUTES), MINUTES);
    let (mut low, mut high) = (0.0, late.green.requests * f64::from(MINUTES));
    if !condemned(&with(high)) {
        return None;
    }
    while high - low > 0.5 {
        let middle = f64::midpoint(low, high);
        if condemned(&with(middle)) { high = middle } else { low = middle }
    }
    Some(Change::More { failures: high.ceil(), minutes: MINUTES, what: bad_ones(ledger, series) })
}

/// The fewest minutes as good as blue's after which a suspected green may go on.
fn calm(ledger: &Ledger, course: &Course) -> Option<Change> {
    let (series, late) = of_late(ledger).filter(|_| suspected(course))?;
    let bad = late.blue.rate() * late.green.requests;
    let after = |minutes: u32| suspected(&Course::of(&followed_by(ledger, series, &late, bad, minutes)));
    let (mut low, mut high) = (0, CALM_MAX);
    if after(high) {
        return None;
    }
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        if after(middle) { low = middle } else { high = middle }
    }
    Some(Change::Calm { minutes: high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Verdict;
    use crate::gate::trial::{Margin, Starts};

    fn ledger(minutes: u32, green_bad: f64) -> Ledger {
        let mut ledger = Ledger::of_errors(0.01, Starts::planned(60, &[0]), Margin::ERRORS, 1.0, None);
        for minute in 0..minutes {
            ledger.enter(minute, Row::counts(Reported::new(300.0, green_bad), Reported::new(5700.0, 6.0)));
        }
        ledger
    }

    /// Every answer, tried out, is the border.
    #[test]
    fn the_answers_hold() {
        let bad = ledger(10, 2.0);
        let course = Course::of(&bad);
        let found = changes(&bad, &course);
        assert_eq!(found.len(), 3, "{found:?}");
        for change in found {
            let judged = |ledger: &Ledger| condemned(ledger);
            match change {
                Change::Phi { phi } => {
                    let with = |phi| {
                        let mut other = bad.clone();
                        other.metrics[0].phi = phi;
                        judged(&other)
                    };
                    assert!(with(phi - 0.2) && !with(phi), "{phi}");
                }
                Change::FalseRollback { below } => {
                    let with = |chance| judged(&Ledger { false_rollback: chance, ..bad.clone() });
                    assert!(with(below * 1.01) && !with(below * 0.99), "{below}");
                }
                Change::Failures { at_most, of, ref what } => {
                    assert_eq!((of, what.as_str()), (20.0, "failures"));
                    assert!(!judged(&ledger(10, at_most / 10.0)) && judged(&ledger(10, (at_most + 1.5) / 10.0)));
                }
                Change::More { .. } | Change::Calm { .. } => panic!("it is condemned already"),
            }
            assert!(!change.sentence().is_empty());
        }
        let good = ledger(10, 0.3);
        let found = changes(&good, &Course::of(&good));
        assert!(
            matches!(found[..], [Change::More { failures, minutes: 3, .. }] if failures > 2.0 && failures < 20.0),
            "{found:?}"
        );
        let suspected = ledger(4, 2.0);
        let found = changes(&suspected, &Course::of(&suspected));
        let [Change::Calm { minutes }, Change::More { .. }] = found[..] else { panic!("{found:?}") };
        let after = |calm: u32| {
            let mut other = suspected.clone();
            let quiet = Row::counts(Reported::new(300.0, 300.0 * 6.0 / 5700.0), Reported::new(5700.0, 6.0));
            (4..4 + calm).for_each(|minute| assert!(other.enter(minute, quiet.clone())));
            Course::of(&other).verdict
        };
        assert_eq!((after(minutes - 1), after(minutes)), (Verdict::NotEnoughEvidence, Verdict::Healthy), "{minutes}");
        let empty = Ledger { minutes: Vec::new(), ..good };
        assert_eq!(changes(&empty, &Course::of(&empty)), []);
    }
}
