//! What the verdict is a function of: the counts of every final minute of a run, and what was declared.
//!
//! The chance of a false rollback is spent over the whole run, resumes included, so the counts must
//! outlive the process: a ledger is plain data, for the journal to hold and for anybody to judge again.
//! Rows stand at their minute since green first had traffic, whether or not they were ever reported, so a
//! minute that arrives late or is revised takes its place and moves no other.
//!
//! It decides nothing; [`super::course::Course`] does.

use serde::{Deserialize, Serialize};

use super::Counted;
use super::combination::{Role, weights};
use super::count::{Count, Pair, Reported};
use super::limit::Limit;
use super::trial::{Margin, Starts};

/// Three months: a run that is older says nothing more.
pub const MINUTES_MAX: usize = 92 * 24 * 60;

/// The counts of a run, with the plan and the promise that they are judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The declared chance that a healthy green is rolled back by bad luck, over the whole run; between 0
    /// and 1.
    pub false_rollback: f64,
    /// What the load balancers count, for sentences.
    #[serde(default)]
    pub counted: Counted,
    pub starts: Starts,
    /// Names of what is counted, in the order of [`Row::readings`].
    pub series: Vec<String>,
    /// What is judged, by weights that add up to 1.
    pub metrics: Vec<Metric>,
    /// By minute since green first had traffic.
    pub minutes: Vec<Row>,
}

/// A question about one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    pub name: String,
    /// Index into [`Ledger::series`].
    pub series: usize,
    pub test: Test,
    /// Part in the combination.
    pub weight: f64,
    /// At least 1; only counts have one.
    pub phi: f64,
    /// Minutes behind the beginning of a stage that say nothing, such as of a cold latency.
    #[serde(default)]
    pub cold_minutes: u32,
}

/// How a series is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Bad of all on green, beside blue in the same minute.
    Beside(Margin),
    /// Bad of all on green, against a fixed rate.
    Against(Limit),
    /// Green's level beside blue's: minutes beyond `ratio` x blue vote against green.
    LevelBeside { ratio: f64, worse: Direction },
}

/// Which way a level is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Higher,
    Lower,
}

/// One minute of every series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// In the order of [`Ledger::series`]; what is missing behind the last was not reported.
    pub readings: Vec<Reading>,
    /// Green's share that was set, 0 to 1, where it is known.
    #[serde(default)]
    pub share: Option<f64>,
}

/// One series in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    Counts { green: Reported, blue: Reported },
    Levels { green: Option<f64>, blue: Option<f64> },
}

impl Ledger {
    /// A ledger of failed requests, with a hard limit where there is one. `phi` is at least 1.
    pub fn of_errors(false_rollback: f64, starts: Starts, margin: Margin, phi: f64, limit: Option<Limit>) -> Ledger {
        let mut judged = vec![("errors", Role::Errors, Test::Beside(margin))];
        judged.extend(limit.map(|limit| ("hard limit", Role::HardLimit, Test::Against(limit))));
        let roles: Vec<Role> = judged.iter().map(|(_, role, _)| *role).collect();
        let metrics = judged.iter().zip(weights(&roles)).map(|((name, _, test), weight)| Metric {
            name: (*name).to_owned(),
            series: 0,
            test: *test,
            weight,
            phi,
            cold_minutes: 0,
        });
        let metrics = metrics.collect();
        let counted = Counted::Requests;
        Ledger { false_rollback, counted, starts, series: vec!["errors".to_owned()], metrics, minutes: Vec::new() }
    }

    /// Enters a minute, or enters it again where it was revised. Minutes between that were never reported
    /// are rows without readings. Whether the minute is within what a ledger holds.
    pub fn enter(&mut self, minute: u32, row: Row) -> bool {
        let at = minute as usize;
        if at >= MINUTES_MAX {
            return false;
        }
        if self.minutes.len() <= at {
            self.minutes.resize(at + 1, Row::default());
        }
        self.minutes[at] = row;
        true
    }
}

impl Metric {
    /// Whether it counts bad ones of all, rather than comparing levels.
    pub fn counted(&self) -> bool {
        matches!(self.test, Test::Beside(_) | Test::Against(_))
    }
}

impl Row {
    pub fn counts(green: Reported, blue: Reported) -> Row {
        Row { readings: vec![Reading::Counts { green, blue }], share: None }
    }

    /// The counts of a series; `None` where one side has none that can be.
    pub fn pair(&self, series: usize) -> Option<Pair> {
        match self.readings.get(series)? {
            Reading::Counts { green, blue } => Some(Pair { green: green.count()?, blue: blue.count()? }),
            Reading::Levels { .. } => None,
        }
    }

    /// The counts of each side of a series, where it has some that can be.
    pub(super) fn sides(&self, series: usize) -> (Option<Count>, Option<Count>) {
        match self.readings.get(series) {
            Some(Reading::Counts { green, blue }) => (green.count(), blue.count()),
            Some(Reading::Levels { .. }) | None => (None, None),
        }
    }

    /// The counts of the first series that has some; what one side lacks is 0.
    pub(super) fn sides_or_nothing(&self) -> Option<Pair> {
        let counts = (0..self.readings.len()).map(|series| self.sides(series));
        let mut reported = counts.filter(|(green, blue)| green.is_some() || blue.is_some());
        reported.next().map(|(green, blue)| Pair { green: green.unwrap_or_default(), blue: blue.unwrap_or_default() })
    }

    /// Whether a number was reported that cannot be.
    pub fn impossible(&self) -> bool {
        self.readings.iter().any(|reading| match reading {
            Reading::Counts { green, blue } => green.impossible() || blue.impossible(),
            Reading::Levels { green, blue } => [green, blue].into_iter().flatten().any(|level| !level.is_finite()),
        })
    }

    /// Green's vote of a series of levels: whether the minute speaks against it; `None` where it does not
    /// vote.
    pub(super) fn vote(&self, series: usize, test: &Test) -> Option<bool> {
        let Reading::Levels { green, blue } = self.readings.get(series)? else { return None };
        let green = green.filter(|level| level.is_finite())?;
        let blue = blue.filter(|level| level.is_finite());
        match *test {
            Test::LevelBeside { ratio, worse } => {
                // A part of the level's size, so that equal levels below zero are no vote either.
                let beyond = |level: f64| level + (ratio - 1.0) * level.abs();
                let blue = blue?;
                Some(match worse {
                    Direction::Higher => green > beyond(blue),
                    Direction::Lower => beyond(green) < blue,
                })
            }
            Test::Beside(_) | Test::Against(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let starts = Starts::planned(60, &[0, 12]);
        Ledger::of_errors(0.01, starts, Margin::ERRORS, 1.0, Some(Limit { rate: 0.01 }))
    }

    #[test]
    fn late_and_revised_minutes_take_their_place() {
        let row = |bad: f64| Row::counts(Reported::new(100.0, bad), Reported::new(900.0, 1.0));
        let mut ordered = ledger();
        let mut late = ledger();
        for minute in 0..5 {
            assert!(ordered.enter(minute, row(f64::from(minute))));
        }
        for (minute, bad) in [(4, 4.0), (0, 0.0), (3, 9.0), (1, 1.0), (2, 2.0), (3, 3.0)] {
            assert!(late.enter(minute, row(bad)));
        }
        assert_eq!(ordered, late);
        assert!(!late.enter(u32::MAX, row(0.0)), "no gap takes all memory");
        assert_eq!(ordered, late);
    }

    #[test]
    fn a_journal_holds_it() {
        let mut ledger = ledger();
        ledger.enter(1, Row::counts(Reported::new(10.0, 1.0), Reported { requests: Some(90.5), bad: None }));
        let levels = Reading::Levels { green: Some(0.25), blue: None };
        ledger.enter(2, Row { readings: vec![levels], share: Some(0.1) });
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
        let weights: Vec<f64> = ledger.metrics.iter().map(|m| m.weight).collect();
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn votes_by_table() {
        let vote = |test, green, blue| {
            let row = Row { readings: vec![Reading::Levels { green, blue }], share: None };
            row.vote(0, &test)
        };
        let beside = |worse| Test::LevelBeside { ratio: 1.1, worse };
        use Direction::{Higher, Lower};
        for (test, green, blue, expected) in [
            (beside(Higher), Some(1.2), Some(1.0), Some(true)),
            (beside(Higher), Some(1.05), Some(1.0), Some(false)),
            (beside(Lower), Some(0.9), Some(1.0), Some(true)),
            (beside(Lower), Some(0.95), Some(1.0), Some(false)),
            (beside(Higher), Some(-1.0), Some(-1.0), Some(false)),
            (beside(Higher), Some(-0.8), Some(-1.0), Some(true)),
            (beside(Lower), Some(-1.0), Some(-1.0), Some(false)),
            (beside(Lower), Some(-1.2), Some(-1.0), Some(true)),
            (beside(Lower), Some(0.0), Some(0.0), Some(false)),
            (beside(Higher), None, Some(1.0), None),
            (beside(Higher), Some(1.2), None, None),
            (beside(Higher), Some(f64::NAN), Some(1.0), None),
            (beside(Higher), Some(1.2), Some(f64::INFINITY), None),
        ] {
            assert_eq!(vote(test, green, blue), expected, "{test:?} {green:?} {blue:?}");
        }
        assert_eq!(Row::default().vote(0, &beside(Higher)), None);
    }
}
