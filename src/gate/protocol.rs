//! What a run's judge is going to do, fixed by the plan before there is any data: the series that are
//! counted, the tests on them, their weights and the stakes. And from it and the minutes that were seen,
//! the ledger that is judged.
//!
//! The promise of the judge rests on the order: nothing here may depend on what green does. The minutes
//! are facts from the journal, so a ledger can be made again after a crash, and by anybody.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::count::Reported;
use super::ledger::{Ledger, Metric, Reading, Row};
use super::minute::{Counts, Minute};
use super::tail::enough_for;
use super::trial::Starts;
use super::{Baseline, Counted};

/// How many times blue's part of requests without an answer green's must be, and by how much beyond that,
/// to be what the load balancer's own errors come from.
const UNANSWERED_RATIO: f64 = 2.0;
const UNANSWERED_FLOOR: f64 = 0.01;

/// What is fixed before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    pub baseline: Baseline,
    pub counted: Counted,
    /// The declared chance that a healthy green is rolled back by bad luck; between 0 and 1.
    pub false_rollback: f64,
    /// Minutes that the stages take together; at least 1.
    pub planned_minutes: u32,
    pub stages: u32,
    pub series: Vec<Series>,
    /// Blue's usual rate of bad ones in each series, 0 where none is known.
    pub usual: Vec<f64>,
    /// Questions about the series, by weights that add up to 1.
    pub metrics: Vec<Metric>,
}

/// What is taken from each minute.
#[derive(Debug, Clone, PartialEq)]
pub enum Series {
    /// Failed requests of all; of flows, resets.
    Errors,
    /// Requests that the load balancer answered itself, of all. Behind a load balancer that is `shared`
    /// they are of both sides, and count only in minutes in which green leaves more requests without an
    /// answer than blue: to leave evidence out is always fair.
    Unserved { shared: bool },
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
    /// Minutes from this one on may still be revised: what is missing there may only be late. `None` where
    /// all are final.
    pub open: Option<DateTime<Utc>>,
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
            Series::Unserved { .. } => "load balancer errors".to_owned(),
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
            Series::Unserved { shared: true } => {
                let known = green.counts.samples.is_some() || !green.open;
                let (green, blue) = (green.counts, blue.counts);
                let greens = known && green.unanswered() > UNANSWERED_RATIO * blue.unanswered() + UNANSWERED_FLOOR;
                let requests = green.requests.map(|requests| requests + blue.requests.unwrap_or(0.0));
                let together = Reported { requests, bad: green.unserved.filter(|_| greens) };
                Reading::Counts { green: together, blue: Reported::default() }
            }
            _ => Reading::Counts { green: self.count(green), blue: self.count(blue) },
        }
    }

    fn count(&self, side: &Side) -> Reported {
        let counts = side.counts;
        match self {
            Series::Errors => Reported { requests: counts.requests, bad: counts.bad },
            Series::Unserved { .. } => Reported { requests: counts.requests, bad: counts.unserved },
            Series::ClientErrors => Reported { requests: counts.requests, bad: counts.client_errors },
            Series::Slow(bound) => {
                let slow = counts.slow.get(*bound).copied().flatten();
                // Unlike failures, slow requests are reported even where there are none.
                let right = slow.zip(counts.samples).filter(|(slow, samples)| (0.0..=*samples).contains(slow));
                Reported { requests: right.map(|(_, samples)| samples), bad: slow }
            }
            Series::Counted { bad, of, better, absent_is_zero } => {
                // Nobody says of the user's counts that absence is zero, unless the user does, and while a minute
                // is open it may only be late.
                let absent_is_zero = *absent_is_zero && !side.open;
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
    /// Whether the minute may still be revised.
    open: bool,
}

impl Side<'_> {
    fn own(&self, name: &str) -> Option<f64> {
        self.counts.own.get(name).or_else(|| self.common?.levels.get(name)).copied()
    }
}

impl Protocol {
    /// The stakes, before any stage has begun.
    pub fn starts(&self) -> Starts {
        Starts { planned_minutes: self.planned_minutes, stages: self.stages, begun: Vec::new() }
    }

    /// The first minute that is judged: the one in which traffic first moved, or, where green is compared
    /// with the past, the first in which all of it had.
    pub fn origin(&self, begun: &[Begun]) -> Option<DateTime<Utc>> {
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
            counted: self.counted,
            starts: self.starts(),
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
        let open = |minute: &Minute| seen.open.is_some_and(|open| open <= minute.start);
        let green = Side { counts: &minute.green, common: Some(minute), open: open(minute) };
        let nothing = Counts::default();
        let (blue, share) = match self.baseline {
            Baseline::Beside => {
                let stage = seen.begun.iter().rev().find(|stage| stage.followed.is_some_and(|f| f <= minute.start));
                // While some still follow an earlier share, nobody knows what to expect.
                let moving = seen.begun.iter().any(|s| {
                    floor(s.intended) <= minute.start && s.followed.is_none_or(|followed| minute.start < followed)
                });
                let share = stage.filter(|_| !moving).map(|stage| stage.share);
                (Side { counts: &minute.blue, common: None, open: green.open }, share)
            }
            Baseline::Past => {
                // The newest minute before the shift beside the first behind it, and so on backwards.
                let before = seen.begun.first().map_or(origin, |stage| floor(stage.intended));
                let past = before - TimeDelta::minutes(1) - (minute.start - origin);
                let past = seen.minutes.get(&past);
                // Green is expected to have what blue had; where that is not known, nothing of blue is.
                let share = if past.is_some() { 0.5 } else { 1.0 };
                let counts = past.map_or(&nothing, |p| &p.blue);
                (Side { counts, common: past, open: past.is_some_and(open) }, Some(share))
            }
        };
        let usual = self.usual.iter().copied().chain(std::iter::repeat(0.0));
        let read = |(series, usual): (&Series, f64)| {
            let mut reading = series.reading(&green, &blue);
            match &mut reading {
                // Failures that are late look like none. Green gains by that for a moment; for blue, what is
                // usual stands in, or a healthy green would be condemned by blue's late numbers.
                Reading::Counts { blue: Reported { requests: Some(requests), bad: bad @ None }, .. } if blue.open => {
                    *bad = Some(*requests * usual);
                }
                Reading::Counts { .. } | Reading::Levels { .. } => {}
            }
            reading
        };
        let readings = self.series.iter().zip(usual).map(read).collect();
        Row { readings, share }
    }
}

fn floor(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::super::trial::Margin;
    use super::*;
    use crate::gate::ledger::Test;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(1) + TimeDelta::minutes(minute)
    }

    fn protocol(baseline: Baseline, series: Vec<Series>) -> Protocol {
        let metric = |(series, name): (usize, String)| Metric {
            name,
            series,
            test: Test::Beside(Margin::ERRORS),
            weight: 1.0,
            phi: 1.0,
            cold_minutes: 0,
        };
        let metrics = series.iter().map(Series::name).enumerate().map(metric).collect();
        Protocol {
            baseline,
            counted: Counted::Requests,
            false_rollback: 0.01,
            planned_minutes: 60,
            stages: 2,
            series,
            usual: Vec::new(),
            metrics,
        }
    }

    fn counts(requests: f64, bad: f64) -> Counts {
        Counts { requests: Some(requests), bad: Some(bad), ..Counts::default() }
    }

    fn observed(minutes: &[(i64, Counts, Counts)]) -> BTreeMap<DateTime<Utc>, Minute> {
        let minute = |(n, green, blue): &(i64, Counts, Counts)| Minute {
            start: at(*n),
            green: green.clone(),
            blue: blue.clone(),
            levels: [("depth".to_owned(), 7.0)].into(),
        };
        minutes.iter().map(|m| (at(m.0), minute(m))).collect()
    }

    fn stage(intended: i64, followed: Option<i64>, share: f64) -> Begun {
        Begun { intended: at(intended) + TimeDelta::seconds(40), followed: followed.map(at), share }
    }

    #[test]
    fn a_run_is_judged_from_the_minute_of_its_first_shift() {
        let protocol = protocol(Baseline::Beside, vec![Series::Errors]);
        let side = || (counts(10.0, 1.0), counts(90.0, 2.0));
        let minutes: Vec<_> = (-3..8).map(|n| (n, side().0, side().1)).collect();
        let minutes = observed(&minutes);
        let begun = [stage(0, Some(2), 0.1), stage(5, None, 0.5)];
        let ledger = protocol.ledger(Observed { minutes: &minutes, begun: &begun, open: None });
        assert_eq!(ledger.starts.begun, [0, 5]);
        let shares: Vec<Option<f64>> = ledger.minutes.iter().map(|row| row.share).collect();
        let (a, none) = (Some(0.1), None);
        assert_eq!(shares, [none, none, a, a, a, none, none, none], "nobody knows while a shift is followed");
        let pair = ledger.minutes[0].pair(0).unwrap();
        assert_eq!((pair.green.requests, pair.blue.bad), (10.0, 2.0));
        let unshifted = protocol.ledger(Observed { minutes: &minutes, begun: &[], open: None });
        assert_eq!((unshifted.minutes.len(), unshifted.starts.begun.len()), (0, 0));
    }

    #[test]
    fn the_past_is_mirrored() {
        let protocol = protocol(Baseline::Past, vec![Series::Errors, Series::Level { name: "depth".to_owned() }]);
        let past = |n: i64| (n, Counts::default(), counts(100.0 + n as f64, 0.0));
        let now = |n: i64| (n, counts(50.0, n as f64), Counts::default());
        let minutes = observed(&[past(-3), past(-2), past(-1), now(0), now(2), now(3), now(4), now(5), now(6)]);
        let ledger = protocol.ledger(Observed { minutes: &minutes, begun: &[stage(0, Some(2), 1.0)], open: None });
        let blues: Vec<Option<f64>> =
            ledger.minutes.iter().map(|row| row.pair(0).map(|pair| pair.blue.requests)).collect();
        assert_eq!(blues, [Some(99.0), Some(98.0), Some(97.0), None, None]);
        assert_eq!(ledger.minutes[0].share, Some(0.5), "green is expected to have what blue had");
        assert_eq!(ledger.minutes[3].share, Some(1.0), "beyond the past nothing of blue is expected");
        let levels = |row: &Row| row.readings[1];
        assert_eq!(levels(&ledger.minutes[0]), Reading::Levels { green: Some(7.0), blue: Some(7.0) });
        assert_eq!(levels(&ledger.minutes[3]), Reading::Levels { green: Some(7.0), blue: None });
    }

    #[test]
    fn slow_requests_are_of_the_samples_and_believed_where_they_can_be() {
        let slow = |samples, slow| {
            let counts = Counts { samples, slow: [slow, None], ..counts(100.0, 0.0) };
            Series::Slow(0).count(&Side { counts: &counts, common: None, open: false })
        };
        assert_eq!(slow(Some(80.0), Some(4.5)), Reported::new(80.0, 4.5));
        for odd in [Some(81.0), Some(-1.0), Some(f64::NAN), None] {
            assert_eq!(slow(Some(80.0), odd).count(), None, "{odd:?}");
        }
        assert_eq!(slow(None, Some(1.0)).count(), None);
    }

    #[test]
    fn counts_of_the_user_may_be_of_what_went_well() {
        let own = [("good", 97.0), ("all", 100.0), ("below", -1.0)];
        let own = own.map(|(name, value)| (name.to_owned(), value)).into();
        let counts = Counts { own, ..Counts::default() };
        let side = Side { counts: &counts, common: None, open: false };
        let counted = |bad: &str, of: &str, better, absent_is_zero| {
            let series = Series::Counted { bad: bad.to_owned(), of: of.to_owned(), better, absent_is_zero };
            series.count(&side).count().map(|c| (c.requests, c.bad))
        };
        assert_eq!(counted("good", "all", true, false), Some((100.0, 3.0)));
        assert_eq!(counted("good", "all", false, false), Some((100.0, 97.0)));
        assert_eq!(counted("all", "good", true, false), Some((97.0, 0.0)), "a report that is ahead");
        for better in [true, false] {
            assert_eq!(counted("silent", "all", better, false), None, "absence is not zero by itself");
            assert_eq!(counted("good", "silent", better, true), None);
            assert_eq!(counted("below", "all", better, true), None, "no count is negative");
        }
        assert_eq!(counted("silent", "all", false, true), Some((100.0, 0.0)));
        assert_eq!(counted("silent", "all", true, true), Some((100.0, 100.0)), "nothing went well");
    }

    /// What the load balancer answers itself speaks against green where green leaves requests unanswered.
    /// While blue's failures may only be late, its usual ones stand in; green's good ones are not known.
    #[test]
    fn what_is_missing_in_an_open_minute_may_be_late() {
        let silent = || Counts { requests: Some(100.0), ..Counts::default() };
        let own = |good: Option<f64>| {
            let own = [("all", Some(10.0)), ("good", good)];
            own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
        };
        let green = Counts { own: own(None), ..silent() };
        let minutes = observed(&[(0, green.clone(), silent()), (1, green, Counts { own: own(Some(9.0)), ..silent() })]);
        let good = Series::Counted { bad: "good".to_owned(), of: "all".to_owned(), better: true, absent_is_zero: true };
        let protocol = Protocol { usual: vec![0.02], ..protocol(Baseline::Beside, vec![Series::Errors, good]) };
        let begun = [stage(0, Some(0), 0.5)];
        let ledger = protocol.ledger(Observed { minutes: &minutes, begun: &begun, open: Some(at(1)) });
        let (all, nothing) = (Reported::new, Reported::default());
        let found: Vec<Reading> = ledger.minutes.iter().flat_map(|row| row.readings.clone()).collect();
        let none = Reported { requests: Some(100.0), bad: None };
        let expected = [
            Reading::Counts { green: none, blue: none },
            Reading::Counts { green: all(10.0, 10.0), blue: nothing },
            Reading::Counts { green: none, blue: all(100.0, 2.0) },
            Reading::Counts { green: nothing, blue: all(10.0, 1.0) },
        ];
        assert_eq!(found, expected, "the first minute is final, the second is not");
    }

    #[test]
    fn unserved_requests_are_greens_where_green_is_silent() {
        let series = Series::Unserved { shared: true };
        let side =
            |requests, samples| Counts { requests: Some(requests), samples, unserved: Some(30.0), ..Counts::default() };
        let together = |green: Counts, blue: Counts| {
            let reading = series.reading(
                &Side { counts: &green, common: None, open: false },
                &Side { counts: &blue, common: None, open: false },
            );
            let Reading::Counts { green, .. } = reading else { panic!("counts") };
            green.count().map(|count| (count.requests, count.bad))
        };
        assert_eq!(together(side(100.0, None), side(900.0, Some(899.0))), Some((1000.0, 30.0)));
        assert_eq!(together(side(100.0, Some(70.0)), side(900.0, Some(890.0))), Some((1000.0, 30.0)));
        assert_eq!(together(side(100.0, Some(97.0)), side(900.0, Some(870.0))), Some((1000.0, 0.0)), "blue alike");
        assert_eq!(together(side(100.0, Some(100.0)), side(900.0, Some(870.0))), Some((1000.0, 0.0)));
        assert_eq!(together(side(100.0, Some(70.0)), Counts::default()), Some((100.0, 30.0)), "at 100 %");
        let own =
            Series::Unserved { shared: false }.count(&Side { counts: &side(100.0, None), common: None, open: false });
        assert_eq!(own, Reported::new(100.0, 30.0));
    }
}
