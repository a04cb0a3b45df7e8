//! The user's own metrics: within their bounds while all is well, beyond them as the scenario has it.
//!
//! They follow green's traffic: a metric of times (an average or a percentile) is beyond its bound
//! where green is slow, one of counts where green fails, and an expression, which may be about either,
//! in both. Without green's traffic they are as they always were. What each side has of its own is
//! reported while the side has requests; blue's is always well. What counts requests, counts those that
//! there were.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::answers::{GREEN_ERRORS, Memo, binomial, fraction};
use super::episodes::Side;
use super::metrics::SETTLING;
use super::scenario::Scenario;
use super::traffic::{FOUND_BLUE, FOUND_GREEN};
use super::universe::{Universe, mixed, number_of};
use crate::cloud::{MetricWindow, Whose};
use crate::playbook::{CustomMetric, Missing, Worse};

/// How far the noise of a side's own metric reaches from its value.
const NOISE: f64 = 0.03;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimLevel {
    /// `None` where nothing is reported while all is well, as a counter of errors does it.
    pub well: Option<f64>,
    pub beyond: f64,
    pub slow: bool,
    pub failing: bool,
    /// What somebody set it to, and when; of a metric that each side has, green's.
    pub set: Option<(DateTime<Utc>, Option<f64>)>,
    /// Which requests it counts, where it counts requests.
    #[serde(default)]
    pub counting: Option<Counting>,
}

/// Which requests a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    All,
    Bad,
    Good,
}

impl SimLevel {
    /// By name. What counts all is known by what counts the bad ones of it.
    pub(super) fn of_all(metrics: &[CustomMetric]) -> BTreeMap<String, SimLevel> {
        let whole = |metric: &CustomMetric| metric.id.is_some() && metrics.iter().any(|m| m.of == metric.id);
        let level = |metric: &CustomMetric| {
            let of_all = whole(metric).then_some(Counting::All);
            let level = SimLevel::of(metric);
            SimLevel { counting: level.counting.or(of_all), ..level }
        };
        metrics.iter().map(|metric| (metric.name.clone(), level(metric))).collect()
    }

    fn of(metric: &CustomMetric) -> SimLevel {
        let (well, beyond) = match (metric.ceiling, metric.floor) {
            (Some(ceiling), Some(floor)) => (f64::midpoint(ceiling, floor), ceiling + 2.0 * (ceiling - floor)),
            (Some(ceiling), None) => (ceiling - 0.5 * ceiling.abs().max(0.1), ceiling + ceiling.abs().max(1.0)),
            (None, Some(floor)) => (floor + floor.abs().max(1.0), floor - 0.5 * floor.abs().max(1.0)),
            (None, None) => match (metric.ratio, metric.direction) {
                (Some(ratio), Worse::Increase) => (1.0, 2.0 * ratio),
                (Some(ratio), Worse::Decrease) => (1.0, 0.5 / ratio),
                (None, _) => (1.0, 1.0),
            },
        };
        let times = metric.statistic == "Average" || metric.statistic.starts_with('p');
        let either = metric.expression.is_some();
        let bad = if metric.direction == Worse::Decrease { Counting::Good } else { Counting::Bad };
        SimLevel {
            well: (metric.missing == Missing::Blind).then_some(well),
            beyond,
            slow: either || times,
            failing: either || !times,
            set: None,
            counting: metric.of.is_some().then_some(bad),
        }
    }
}

impl Universe {
    /// What the user's metrics of no side show in a minute that is over, and complete.
    pub(super) fn levels(
        &self,
        window: &MetricWindow,
        minute: DateTime<Utc>,
        memo: &mut Memo,
    ) -> BTreeMap<String, f64> {
        self.values(window, minute, Whose::Everybody, |name, level| match level.counting {
            None => self.level_at(level, minute, self.green_serves_in(minute)),
            Some(counting) => {
                let each =
                    [Side::Green, Side::Blue].map(|side| self.count_of(window, counting, name, side, minute, memo));
                each.into_iter().flatten().reduce(|green, blue| green + blue)
            }
        })
    }

    /// What the user's metrics of one side show in a minute that is over, and complete.
    pub(super) fn own(
        &self,
        window: &MetricWindow,
        side: Side,
        minute: DateTime<Utc>,
        memo: &mut Memo,
    ) -> BTreeMap<String, f64> {
        let whose = if side == Side::Green { Whose::Green } else { Whose::Blue };
        self.values(window, minute, whose, |name, level| {
            if let Some(counting) = level.counting {
                return self.count_of(window, counting, name, side, minute, memo);
            }
            let serves = self.requests_of_side(window, side, minute, memo) > 0.0;
            let level = match side {
                Side::Green => self.level_at(level, minute, serves),
                Side::Blue => level.well,
            };
            let key = mixed(&[self.seed, minute.timestamp().unsigned_abs(), number_of(name), side as u64]);
            level.filter(|_| serves).map(|level| level * (1.0 + NOISE * (2.0 * fraction(key) - 1.0)))
        })
    }

    fn values(
        &self,
        window: &MetricWindow,
        minute: DateTime<Utc>,
        whose: Whose,
        mut value: impl FnMut(&str, &SimLevel) -> Option<f64>,
    ) -> BTreeMap<String, f64> {
        let complete = self.now >= minute + Duration::minutes(1) + SETTLING;
        let mut seen = BTreeMap::new();
        for query in window.levels.iter().filter(|query| complete && query.whose == whose) {
            let shown = self.levels.get(&query.name).and_then(|level| value(&query.name, level));
            seen.extend(shown.map(|shown| (query.name.clone(), shown)));
        }
        seen
    }

    fn level_at(&self, level: &SimLevel, minute: DateTime<Utc>, green_serves: bool) -> Option<f64> {
        if let Some((since, value)) = level.set
            && minute >= since
        {
            return value;
        }
        let troubled = match self.scenario {
            Scenario::GreenErrors => level.failing,
            Scenario::GreenSlow => level.slow,
            _ => false,
        };
        if troubled && green_serves { Some(level.beyond) } else { level.well }
    }

    /// Requests of a side that a metric counts; `None` where there are none, as CloudWatch has it.
    fn count_of(
        &self,
        window: &MetricWindow,
        counting: Counting,
        name: &str,
        side: Side,
        minute: DateTime<Utc>,
        memo: &mut Memo,
    ) -> Option<f64> {
        let set = self.levels.get(name).and_then(|level| level.set).filter(|(since, _)| minute >= *since);
        if let Some((_, value)) = set.filter(|_| side == Side::Green) {
            return value;
        }
        let all = self.requests_of_side(window, side, minute, memo);
        let fails = self.scenario == Scenario::GreenErrors && side == Side::Green;
        let mood = self.traffic.mood(minute, side == Side::Green);
        let rate = mood.errors + if fails { GREEN_ERRORS } else { self.traffic.base_errors };
        // What counts the good ones of a total counts others than what counts its bad ones.
        let key = [self.seed, minute.timestamp().unsigned_abs(), number_of(name), side as u64, 0xbad];
        let mut rng = Pcg64::seed_from_u64(mixed(&key));
        let bad = binomial(all, rate, &mut rng);
        let count = match counting {
            Counting::All => all,
            Counting::Bad => bad,
            Counting::Good => all - bad,
        };
        Some(count).filter(|count| *count > 0.0)
    }

    fn requests_of_side(&self, window: &MetricWindow, side: Side, minute: DateTime<Utc>, memo: &mut Memo) -> f64 {
        let (arns, found) = match side {
            Side::Green => (&window.green, FOUND_GREEN),
            Side::Blue => (&window.blue, FOUND_BLUE),
        };
        if self.blue.target_groups.is_empty() {
            return self.drawn(found, found, minute, true, memo).requests;
        }
        let groups = arns.iter().filter_map(|arn| self.target_groups.get(arn));
        groups.map(|g| self.drawn(&g.group.arn, &g.group.name, minute, true, memo).requests).sum()
    }

    /// Whether green receives anything in the whole of a minute.
    fn green_serves_in(&self, minute: DateTime<Utc>) -> bool {
        let green = self.target_groups.values().filter(|g| self.is_green(&g.group.arn));
        let share = |name: &str| self.traffic.flows_in(name, minute).map(|(part, flow)| part * flow.share).sum::<f64>();
        // Without a load balancer, from the first task on that consumers find.
        let found = self.target_groups.is_empty() && self.traffic.green_since.is_some_and(|since| since <= minute);
        found || green.map(|g| share(&g.group.name)).sum::<f64>() > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Sim, Tamper};
    use super::*;
    use crate::clock::Clock;
    use crate::cloud::{Cloud, LevelQuery, LevelSource, Watch};

    fn metric(text: &str) -> CustomMetric {
        serde_json::from_str(text).unwrap()
    }

    fn with_level(scenario: Scenario, text: &str) -> Sim {
        let sim = sim(scenario);
        let metric = metric(text);
        sim.with(|u| u.levels = SimLevel::of_all(&[metric])).unwrap();
        sim
    }

    /// The last minute that is complete.
    fn seen(sim: &Sim) -> Option<f64> {
        let to = chrono::DurationRound::duration_trunc(sim.now(), Duration::minutes(1)).unwrap() - SETTLING;
        let source = LevelSource::Expression(String::new());
        let levels = vec![LevelQuery { name: "m".to_owned(), id: None, source, whose: Whose::Everybody }];
        let window = MetricWindow { from: to - Duration::minutes(1), to, levels, ..MetricWindow::default() };
        let sight = sim.observe(&Watch { metrics: Some(window), ..Watch::default() }).unwrap();
        sight.metrics.unwrap().unwrap()[0].levels.get("m").copied()
    }

    #[test]
    fn levels_follow_green() {
        let times = r#"{ "name": "m", "namespace": "n", "metric": "t", "statistic": "p99", "ceiling": 0.8 }"#;
        let errors =
            r#"{ "name": "m", "namespace": "n", "metric": "e", "statistic": "Sum", "ceiling": 5, "missing": "zero" }"#;
        let floor = r#"{ "name": "m", "expression": "a", "floor": 100 }"#;
        for (scenario, text, before, after) in [
            (Scenario::Healthy, times, Some(0.4), Some(0.4)),
            (Scenario::GreenSlow, times, Some(0.4), Some(1.8)),
            (Scenario::GreenErrors, times, Some(0.4), Some(0.4)),
            (Scenario::GreenErrors, errors, None, Some(10.0)),
            (Scenario::GreenSlow, errors, None, None),
            (Scenario::GreenSlow, floor, Some(200.0), Some(50.0)),
        ] {
            let sim = with_level(scenario, text);
            let (green, _) = stand_up(&sim);
            pass(&sim, 600);
            assert_eq!(seen(&sim), before, "{scenario:?} {text}");
            shift_all(&sim, &green, 10);
            pass(&sim, 600);
            assert_eq!(seen(&sim), after, "{scenario:?} {text}");
        }
    }

    #[test]
    fn somebody_can_set_one() {
        let sim = with_level(Scenario::Healthy, r#"{ "name": "m", "namespace": "n", "metric": "t", "ceiling": 0.8 }"#);
        pass(&sim, 600);
        for value in [Some(7.0), None] {
            sim.with(|u| u.tamper(&Tamper::SetLevel { name: "m".to_owned(), value })).unwrap();
            pass(&sim, 300);
            assert_eq!(seen(&sim), value);
        }
    }
}
