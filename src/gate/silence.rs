//! Has the monitoring gone silent? Missing data is never health, and never a failure.
//!
//! Peers take silence for success (`all` of nothing) or for failure (no data is a failed check). Here
//! three final minutes without a side that should have been heard are blindness, and blindness holds.
//! Little traffic is no blindness: a side is expected only where some twenty requests would have come.

use super::ledger::{Ledger, Reading, Row};

/// Final minutes in a row without a word, from which it is silence.
pub const SILENT_MINUTES: usize = 3;
/// Requests expected in the silent minutes, below which silence is only low traffic.
pub const EXPECTED_REQUESTS: f64 = 20.0;

/// Who is silent at the end, for how many minutes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Silence {
    Both { minutes: usize },
    Green { minutes: usize, blue_requests: f64 },
    Blue { minutes: usize, green_requests: f64 },
}

impl Silence {
    /// The silence at the end of what a run has seen, where there is one.
    pub fn of(ledger: &Ledger) -> Option<Silence> {
        let heard: Vec<(f64, f64)> = ledger.minutes.iter().map(heard).collect();
        let silent = |side: fn(&(f64, f64)) -> f64| heard.iter().rev().take_while(|minute| side(minute) == 0.0).count();
        let (green, blue) = (silent(|m| m.0), silent(|m| m.1));
        let both = green.min(blue);
        if both >= SILENT_MINUTES {
            let before = &heard[..heard.len() - both];
            let each = sum(before, |m| m.0 + m.1) / count(before.len()).max(1.0);
            return (each * count(both) >= EXPECTED_REQUESTS).then_some(Silence::Both { minutes: both });
        }
        let odds = ledger.minutes.last().and_then(|row| row.share).filter(|share| *share > 0.0);
        if green >= SILENT_MINUTES {
            let (before, span) = heard.split_at(heard.len() - green);
            let blue_requests = sum(span, |m| m.1);
            // Shares only grow, so what was seen before is the least to be expected.
            let odds = odds.map_or_else(|| ratio(sum(before, |m| m.0), sum(before, |m| m.1)), |w| w / (1.0 - w));
            let expected = odds * blue_requests >= EXPECTED_REQUESTS;
            return expected.then_some(Silence::Green { minutes: green, blue_requests });
        }
        if blue >= SILENT_MINUTES {
            let (before, span) = heard.split_at(heard.len() - blue);
            let green_requests = sum(span, |m| m.0);
            // A stage may have sent everything to green: only what this stage has seen counts.
            let stage = ledger.starts.begun.iter().filter(|b| (**b as usize) < heard.len()).max();
            let stage = &before[stage.map_or(0, |b| *b as usize).min(before.len())..];
            let odds = odds.map_or_else(|| ratio(sum(stage, |m| m.1), sum(stage, |m| m.0)), |w| (1.0 - w) / w);
            let expected = odds * green_requests >= EXPECTED_REQUESTS;
            return expected.then_some(Silence::Blue { minutes: blue, green_requests });
        }
        None
    }

    /// What is silent; `noun` is what is counted.
    pub fn sentence(&self, noun: &str) -> String {
        match self {
            Silence::Both { minutes } => format!("no data for green or blue in the last {minutes} minutes"),
            Silence::Green { minutes, blue_requests } => {
                format!("no data for green in the last {minutes} minutes while blue had {blue_requests:.0} {noun}")
            }
            Silence::Blue { minutes, green_requests } => {
                format!("no data for blue in the last {minutes} minutes while green had {green_requests:.0} {noun}")
            }
        }
    }
}

/// Requests of green and of blue in a minute. Where nothing is counted, a level that is reported stands
/// for enough of them.
fn heard(row: &Row) -> (f64, f64) {
    let counts = row.readings.iter().find_map(|reading| match reading {
        Reading::Counts { green, blue } => {
            let requests = |side: &super::count::Reported| side.count().map_or(0.0, |count| count.requests);
            Some((requests(green), requests(blue)))
        }
        Reading::Levels { .. } => None,
    });
    let reported = |level: &Option<f64>| if level.is_some_and(f64::is_finite) { EXPECTED_REQUESTS } else { 0.0 };
    let levels = || {
        row.readings.iter().fold((0.0, 0.0), |sum: (f64, f64), reading| match reading {
            Reading::Levels { green, blue } => (sum.0.max(reported(green)), sum.1.max(reported(blue))),
            Reading::Counts { .. } => sum,
        })
    };
    counts.unwrap_or_else(levels)
}

fn sum(minutes: &[(f64, f64)], of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    minutes.iter().map(of).sum()
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "minutes of one run")]
fn count(minutes: usize) -> f64 {
    minutes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::count::Reported;
    use crate::gate::trial::{Margin, Starts};

    /// Requests of both sides by minute; `None` was not reported.
    fn silence(minutes: &[(Option<f64>, Option<f64>)], starts: &[u32], share: Option<f64>) -> Option<Silence> {
        let mut ledger = Ledger::of_errors(0.01, Starts::planned(60, starts), Margin::ERRORS, 1.0, None);
        for (minute, (green, blue)) in (0..).zip(minutes) {
            let reported = |requests: &Option<f64>| Reported { requests: *requests, bad: None };
            ledger.enter(minute, Row { share, ..Row::counts(reported(green), reported(blue)) });
        }
        Silence::of(&ledger)
    }

    fn minutes(parts: &[(usize, Option<f64>, Option<f64>)]) -> Vec<(Option<f64>, Option<f64>)> {
        parts.iter().flat_map(|(n, green, blue)| std::iter::repeat_n((*green, *blue), *n)).collect()
    }

    #[test]
    fn silences_by_table() {
        let (g, b) = (Some(100.0), Some(900.0));
        let both = Some(Silence::Both { minutes: 3 });
        let green = |minutes, blue_requests| Some(Silence::Green { minutes, blue_requests });
        let table = [
            ("both heard", minutes(&[(5, g, b)]), None),
            ("an outage of the metrics", minutes(&[(5, g, b), (3, None, None)]), both),
            ("zeros are as silent", minutes(&[(5, g, b), (3, Some(0.0), Some(0.0))]), both),
            ("impossible numbers are as silent", minutes(&[(5, g, b), (3, Some(f64::NAN), Some(-1.0))]), both),
            ("two minutes are late", minutes(&[(5, g, b), (2, None, None)]), None),
            ("little traffic", minutes(&[(5, Some(0.5), Some(4.0)), (3, None, None)]), None),
            ("never heard", minutes(&[(9, None, None)]), None),
            ("green went silent", minutes(&[(5, g, b), (3, None, b)]), green(3, 2700.0)),
            ("green is to be expected rarely", minutes(&[(5, Some(1.0), b), (3, None, b)]), None),
            ("the silence ended", minutes(&[(5, g, b), (9, None, None), (1, g, b)]), None),
            (
                "blue went silent",
                minutes(&[(5, g, b), (4, g, None)]),
                Some(Silence::Blue { minutes: 4, green_requests: 400.0 }),
            ),
            ("nothing at all", Vec::new(), None),
        ];
        for (what, minutes, expected) in table {
            assert_eq!(silence(&minutes, &[0], None), expected, "{what}");
        }
    }

    #[test]
    fn the_share_that_was_set_says_what_to_expect() {
        let never = minutes(&[(3, None, Some(900.0))]);
        assert_eq!(silence(&never, &[0], None), None, "who knows whether green has traffic");
        let expected = Some(Silence::Green { minutes: 3, blue_requests: 2700.0 });
        assert_eq!(silence(&never, &[0], Some(0.1)), expected);
        assert_eq!(silence(&never, &[0], Some(0.001)), None, "2.7 requests may stay away");
        let everything = minutes(&[(5, Some(500.0), Some(500.0)), (5, Some(1000.0), None)]);
        assert_eq!(silence(&everything, &[0, 5], None), None, "the second stage sent everything to green");
        let alone = Some(Silence::Blue { minutes: 5, green_requests: 5000.0 });
        assert_eq!(silence(&everything, &[0], None), alone, "nobody said so");
        assert_eq!(silence(&everything, &[0], Some(1.0)), None, "everything was set");
    }
}
