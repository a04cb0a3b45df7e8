//! What would change a verdict: the same ledger, judged with one thing different.
//!
//! Answers are found by judging again, not by formulas, so they hold whatever metrics a run has.

use serde::Serialize;

use super::account::odds;
use super::count::Reported;
use super::course::Course;
use super::ledger::{Ledger, Reading, Row, Test};

/// Highest phi that is tried.
const PHI_MAX: f64 = 1000.0;
/// Minutes over which further failures are spread: one bad minute alone is capped.
const MINUTES: u32 = 3;

/// What it would have taken for another verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Green would stand if failures came in clusters of this size or larger.
    Phi { phi: f64 },
    /// Green would stand with a declared chance below this.
    FalseRollback { below: f64 },
    /// Green would stand with this many failures of those that it had.
    Failures { at_most: f64, of: f64 },
    /// Green would be rolled back by this many failures more over the next minutes.
    More { failures: f64, minutes: u32 },
}

impl Change {
    pub fn sentence(&self) -> String {
        match self {
            Change::Phi { phi } => format!("it would stand if its failures came in clusters of {phi:.1} or more (phi)"),
            Change::FalseRollback { below } => {
                format!("it would stand at a declared chance of less than {}", declared(*below))
            }
            Change::Failures { at_most, of } => {
                format!("it would stand with at most {at_most:.0} of its {of:.0} failures")
            }
            Change::More { failures, minutes } => format!(
                "{failures:.0} more failures within {minutes} minutes of the traffic that it had would roll it back"
            ),
        }
    }
}

/// A chance in per cent, with two digits.
fn declared(chance: f64) -> String {
    if chance >= 1e-4 { format!("{:.2}%", chance * 100.0) } else { format!("1 in {}", odds(-chance.ln())) }
}

/// Everything that would change the verdict of this ledger.
pub fn changes(ledger: &Ledger, course: &Course) -> Vec<Change> {
    match course.condemned {
        Some(minute) => {
            [phi(ledger), chance(ledger, course, minute), failures(ledger, course)].into_iter().flatten().collect()
        }
        None => more(ledger, course).into_iter().collect(),
    }
}

fn condemned(ledger: &Ledger) -> bool {
    Course::of(ledger).condemned.is_some()
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

/// The largest part of green's failures with which it stands, spread as they were.
fn failures(ledger: &Ledger, course: &Course) -> Option<Change> {
    let series = ledger.metrics.get(course.driver?)?.series;
    let of: f64 = ledger.minutes.iter().filter_map(|row| row.pair(series)).map(|pair| pair.green.bad).sum();
    let with = |part: f64| {
        let mut other = ledger.clone();
        for reading in other.minutes.iter_mut().flat_map(|row| &mut row.readings) {
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
    Some(Change::Failures { at_most: (low * of).floor(), of })
}

/// The fewest failures over the next minutes, at the traffic that was seen, that roll green back.
fn more(ledger: &Ledger, course: &Course) -> Option<Change> {
    let index = ledger.metrics.iter().position(|metric| matches!(metric.test, Test::Beside(_)))?;
    let (metric, track) = (ledger.metrics.get(index)?, course.tracks.get(index)?);
    if track.minutes == 0 {
        return None;
    }
    let minutes = f64::from(track.minutes);
    let (green, blue) = (track.seen.green.requests / minutes, track.seen.blue.requests / minutes);
    let with = |failures: f64| {
        let each = failures / f64::from(MINUTES);
        let blue_bad = track.seen.blue.bad / minutes;
        let counts = Reading::Counts { green: Reported::new(green, each), blue: Reported::new(blue, blue_bad) };
        let silent = Reading::Counts { green: Reported::default(), blue: Reported::default() };
        let mut row = Row { readings: vec![silent; metric.series + 1], share: None };
        row.readings[metric.series] = counts;
        let mut other = ledger.clone();
        other.minutes.extend(std::iter::repeat_n(row, MINUTES as usize));
        other
    };
    let (mut low, mut high) = (0.0, green * f64::from(MINUTES));
    if !condemned(&with(high)) {
        return None;
    }
    while high - low > 0.5 {
        let middle = f64::midpoint(low, high);
        if condemned(&with(middle)) { high = middle } else { low = middle }
    }
    Some(Change::More { failures: high.ceil(), minutes: MINUTES })
}

#[cfg(test)]
mod tests {
    use super::*;
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
                Change::Failures { at_most, of } => {
                    assert_eq!(of, 20.0);
                    assert!(!judged(&ledger(10, at_most / 10.0)) && judged(&ledger(10, (at_most + 1.5) / 10.0)));
                }
                Change::More { .. } => panic!("it is condemned already"),
            }
            assert!(!change.sentence().is_empty());
        }
        let good = ledger(10, 0.3);
        let found = changes(&good, &Course::of(&good));
        assert!(
            matches!(found[..], [Change::More { failures, minutes: 3 }] if failures > 2.0 && failures < 20.0),
            "{found:?}"
        );
        let empty = Ledger { minutes: Vec::new(), ..good };
        assert_eq!(changes(&empty, &Course::of(&empty)), []);
    }
}
