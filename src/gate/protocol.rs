//! What a run's judge is going to do, fixed by the plan before there is any data: the series that are
//! counted, the tests on them, their weights and the stakes. And from it and the minutes that were seen,
//! the ledger that is judged.
//!
//! The promise of the judge rests on the order: nothing here may depend on what green does. The minutes
//! are facts from the journal, so a ledger can be made again after a crash, and by anybody.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::Baseline;
use super::count::Reported;
use super::ledger::{Ledger, Metric, Reading, Row};
use super::minute::{Counts, Minute};
use super::tail::enough_for;
use super::trial::Starts;

/// What is fixed before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    pub baseline: Baseline,
    /// The declared chance that a healthy green is rolled back by bad luck; between 0 and 1.
    pub false_rollback: f64,
    /// Minutes that the stages take together; at least 1.
    pub planned_minutes: u32,
    pub stages: u32,
    pub series: Vec<Series>,
    /// Questions about the series, by weights that add up to 1.
    pub metrics: Vec<Metric>,
}

/// What is taken from each minute.
#[derive(Debug, Clone, PartialEq)]
pub enum Series {
    /// Failed requests of all; of flows, resets.
    Errors,
    /// Requests that the client got wrong.
    ClientErrors,
    /// Requests slower than one of the two bounds, of those whose latency is known.
    Slow(usize),
    /// The latency itself; of a percentile (0 to 1), only where there are samples enough for it.
    Latency { percentile: Option<f64> },
    /// The user's own: bad ones of all. `better` says that good ones are counted; `absent_is_zero` that a
    /// minute without a report had none.
    Counted { bad: String, of: String, better: bool, absent_is_zero: bool },
    /// The user's own: a level.
    Level { name: String },
}

/// How the stages went, and what was seen of them.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    pub minutes: &'a BTreeMap<DateTime<Utc>, Minute>,
    /// The stages that were begun, in order.
    pub begun: &'a [Begun],
}

/// A stage that was begun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Begun {
    /// When its shift was first intended.
    pub intended: DateTime<Utc>,
    /// The first minute in which everything follows the shift; `None` before.
    pub followed: Option<DateTime<Utc>>,
    /// Green's share of it, 0 to 1.
    pub share: f64,
}

impl Series {
    /// As ledgers and people call it.
    pub fn name(&self) -> String {
        match self {
            Series::Errors => "errors".to_owned(),
            Series::ClientErrors => "client errors".to_owned(),
            Series::Slow(0) => "slower than p95".to_owned(),
            Series::Slow(_) => "slower than p99".to_owned(),
            Series::Latency { .. } => "latency".to_owned(),
            Series::Counted { bad, .. } => bad.clone(),
            Series::Level { name } => name.clone(),
        }
    }

    fn reading(&self, green: &Side, blue: &Side) -> Reading {
        match self {
            Series::Latency { .. } | Series::Level { .. } => {
                Reading::Levels { green: self.level(green), blue: self.level(blue) }
            }
            _ => Reading::Counts { green: self.count(green), blue: self.count(blue) },
        }
    }

    fn count(&self, side: &Side) -> Reported {
        let counts = side.counts;
        match self {
            Series::Errors => Reported { requests: counts.requests, bad: counts.bad },
            Series::ClientErrors => Reported { requests: counts.requests, bad: counts.client_errors },
            Series::Slow(bound) => {
                let slow = counts.slow.get(*bound).copied().flatten();
                // Unlike failures, slow requests are reported even where there are none.
                let right = slow.zip(counts.samples).filter(|(slow, samples)| (0.0..=*samples).contains(slow));
                Reported { requests: right.map(|(_, samples)| samples), bad: slow }
            }
            Series::Counted { bad, of, better, absent_is_zero } => {
                // Nobody says of the user's counts that absence is zero, unless the user does.
                let found = side.own(bad).or(absent_is_zero.then_some(0.0));
                let Some((found, all)) = found.zip(side.own(of)) else { return Reported::default() };
                let bad = match found {
                    // More good ones than all are a report that is ahead of the other.
                    good if *better && good >= 0.0 => (all - good).max(0.0),
                    bad => bad,
                };
                Reported::new(all, bad)
            }
            Series::Latency { .. } | Series::Level { .. } => Reported::default(),
        }
    }

    fn level(&self, side: &Side) -> Option<f64> {
        match self {
            Series::Latency { percentile: None } => side.counts.latency,
            Series::Latency { percentile: Some(percentile) } => {
                let samples = side.counts.samples.or(side.counts.requests).unwrap_or(0.0);
                side.counts.latency.filter(|_| enough_for(*percentile, samples))
            }
            Series::Level { name } => side.own(name),
            _ => None,
        }
    }
}

/// One side of a minute, with what is of neither.
struct Side<'a> {
    counts: &'a Counts,
    common: Option<&'a Minute>,
}

impl Side<'_> {
    fn own(&self, name: &str) -> Option<f64> {
        self.counts.own.get(name).or_else(|| self.common?.levels.get(name)).copied()
    }
}

impl Protocol {
    /// The first minute that is judged: the one in which traffic first moved, or, where green is compared
    /// with the past, the first in which all of it had.
    fn origin(&self, begun: &[Begun]) -> Option<DateTime<Utc>> {
        let first = begun.first()?;
        match self.baseline {
            Baseline::Beside => Some(floor(first.intended)),
            Baseline::Past => first.followed,
        }
    }

    /// What is judged: every minute since green first had traffic.
    pub fn ledger(&self, seen: Observed) -> Ledger {
        let mut ledger = Ledger {
            false_rollback: self.false_rollback,
            starts: Starts { planned_minutes: self.planned_minutes, stages: self.stages, begun: Vec::new() },
            series: self.series.iter().map(Series::name).collect(),
            metrics: self.metrics.clone(),
            minutes: Vec::new(),
        };
        let Some(origin) = self.origin(seen.begun) else { return ledger };
        let since = |at: DateTime<Utc>| u32::try_from((at - origin).num_minutes().max(0)).unwrap_or(u32::MAX);
        ledger.starts.begun = seen.begun.iter().map(|stage| since(floor(stage.intended))).collect();
        for (start, minute) in seen.minutes.range(origin..) {
            ledger.enter(since(*start), self.row(minute, origin, seen));
        }
        ledger
    }

    fn row(&self, minute: &Minute, origin: DateTime<Utc>, seen: Observed) -> Row {
        let green = Side { counts: &minute.green, common: Some(minute) };
        let nothing = Counts::default();
        let (blue, share) = match self.baseline {
            Baseline::Beside => {
                let stage = seen.begun.iter().rev().find(|stage| stage.followed.is_some_and(|f| f <= minute.start));
                // While some still follow an earlier share, nobody knows what to expect.
                let moving = seen.begun.iter().any(|s| {
                    floor(s.intended) <= minute.start && s.followed.is_none_or(|followed| minute.start < followed)
                });
                let share = stage.filter(|_| !moving).map(|stage| stage.share);
                (Side { counts: &minute.blue, common: None }, share)
            }
            Baseline::Past => {
                // The newest minute before the shift beside the first behind it, and so on backwards.
                let before = seen.begun.first().map_or(origin, |stage| floor(stage.intended));
                let past = before - TimeDelta::minutes(1) - (minute.start - origin);
                let past = seen.minutes.get(&past);
                // Green is expected to have what blue had.
                (Side { counts: past.map_or(&nothing, |p| &p.blue), common: past }, Some(0.5))
            }
        };
        let readings = self.series.iter().map(|series| series.reading(&green, &blue)).collect();
        Row { readings, share }
    }
}

fn floor(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}
