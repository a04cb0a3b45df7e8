//! The user's own metrics: within their bounds while all is well, beyond them as the scenario has it.
//!
//! They follow green's traffic: a metric of times (an average or a percentile) is beyond its bound
//! where green is slow, one of counts where green fails, and an expression, which may be about either,
//! in both. Without green's traffic they are as they always were.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::scenario::Scenario;
use super::traffic::SETTLING;
use super::universe::Universe;
use crate::cloud::MetricWindow;
use crate::playbook::{CustomMetric, Missing};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimLevel {
    /// `None` where nothing is reported while all is well, as a counter of errors does it.
    pub well: Option<f64>,
    pub beyond: f64,
    pub slow: bool,
    pub failing: bool,
    /// What somebody set it to, and when.
    pub set: Option<(DateTime<Utc>, Option<f64>)>,
}

impl SimLevel {
    pub(super) fn of(metric: &CustomMetric) -> SimLevel {
        let (well, beyond) = match (metric.ceiling, metric.floor) {
            (Some(ceiling), Some(floor)) => (f64::midpoint(ceiling, floor), ceiling + 2.0 * (ceiling - floor)),
            (Some(ceiling), None) => (ceiling - 0.5 * ceiling.abs().max(0.1), ceiling + ceiling.abs().max(1.0)),
            (None, Some(floor)) => (floor + floor.abs().max(1.0), floor - 0.5 * floor.abs().max(1.0)),
            (None, None) => (1.0, 1.0),
        };
        let times = metric.statistic == "Average" || metric.statistic.starts_with('p');
        let either = metric.expression.is_some();
        SimLevel {
            well: (metric.missing == Missing::Blind).then_some(well),
            beyond,
            slow: either || times,
            failing: either || !times,
            set: None,
        }
    }
}

impl Universe {
    /// What the user's metrics show in a minute that is over, and complete.
    pub(super) fn levels(
        &self,
        window: &MetricWindow,
        minute: DateTime<Utc>,
    ) -> std::collections::BTreeMap<String, f64> {
        let complete = self.now >= minute + Duration::minutes(1) + SETTLING;
        let value = |name: &String| self.levels.get(name).and_then(|level| self.level_at(level, minute));
        let seen = window.levels.iter().filter(|_| complete);
        seen.filter_map(|query| Some((query.name.clone(), value(&query.name)?))).collect()
    }

    fn level_at(&self, level: &SimLevel, minute: DateTime<Utc>) -> Option<f64> {
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
        if troubled && self.green_serves_in(minute) { Some(level.beyond) } else { level.well }
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
    use crate::cloud::{Cloud, LevelQuery, LevelSource, Watch, Whose};

    fn metric(text: &str) -> CustomMetric {
        serde_json::from_str(text).unwrap()
    }

    fn with_level(scenario: Scenario, text: &str) -> Sim {
        let sim = sim(scenario);
        let metric = metric(text);
        sim.with(|u| u.levels.insert(metric.name.clone(), SimLevel::of(&metric))).unwrap();
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
