//! What the judge of a run is going to do: the plan's part of the promise, fixed before there is a green.
//!
//! Everything here comes from the playbook and from blue's last day. It knows no minute of the run.

use crate::gate::Counted;
use crate::gate::ledger::Direction;
use crate::gate::limit::Limit;
use crate::gate::protocol::{Protocol, Series};
use crate::gate::question::{Question, weighed};
use crate::gate::trial::Margin;
use crate::inventory::Past;
use crate::playbook::{CustomMetric, LatencyCriterion, Missing, Period, Worse};

use super::Plan;

/// Minutes of each stage beside its bake: the shift itself, and CloudWatch's delay.
const STAGE_MINUTES: u64 = 5;

impl Plan {
    /// How the run is judged.
    pub fn protocol(&self) -> Protocol {
        let mut asked = match self.counted() {
            Counted::Requests => self.requests(),
            Counted::Flows => self.failures(),
            Counted::Nothing => Vec::new(),
        };
        asked.extend(self.playbook.health.metrics.iter().filter_map(|metric| self.own(metric)));
        let (series, metrics) = weighed(asked);
        let stages = &self.playbook.stages;
        let following = u64::try_from(self.following().num_seconds()).unwrap_or(0);
        let minutes = |bake: &Period| (bake.0.as_secs() + following).div_ceil(60) + STAGE_MINUTES;
        let planned: u64 = stages.iter().map(|stage| minutes(&stage.bake)).sum();
        Protocol {
            baseline: self.baseline(),
            false_rollback: self.playbook.health.false_rollback.fraction(),
            planned_minutes: u32::try_from(planned).unwrap_or(u32::MAX).max(1),
            stages: u32::try_from(stages.len()).unwrap_or(u32::MAX),
            series,
            metrics,
        }
    }

    /// The hard limit of failed requests: the playbook's, or what blue's last day says.
    pub fn limit(&self) -> Option<Limit> {
        let own = self.playbook.health.limit().map(|rate| Limit { rate: rate.fraction() });
        own.or_else(|| self.inventory.history.as_ref().map(|day| Limit::from_history(day.errors.rate)))
    }

    /// What counts as slow, in seconds, where slow requests are counted: blue's 95th and 99th percentile.
    pub fn slow_bounds(&self) -> Option<[f64; 2]> {
        let by_percentile = self.playbook.health.latency.as_ref().is_some_and(|latency| latency.ratio.is_some());
        let slow = self.inventory.history.as_ref()?.slow.filter(|_| !by_percentile)?;
        (self.counted() == Counted::Requests).then_some(slow.map(|slow| slow.bound))
    }

    /// Failures beside blue's, and against the limit.
    fn failures(&self) -> Vec<Question> {
        let past = self.inventory.history.as_ref().map_or_else(Past::default, |day| day.errors);
        let margin = Margin { ratio: self.playbook.health.errors.ratio, ..Margin::ERRORS };
        let limit = self.limit().map(|limit| Question::limit(limit, past));
        [Question::errors(margin, past)].into_iter().chain(limit).collect()
    }

    /// What an Application Load Balancer tells of requests.
    fn requests(&self) -> Vec<Question> {
        let mut asked = self.failures();
        let day = self.inventory.history.as_ref();
        match self.slow_bounds().and_then(|_| day?.slow) {
            Some(slow) => asked.extend(Question::slow(slow)),
            None => {
                let wish = self.playbook.health.latency.as_ref();
                let percentile = wish.map_or(Some(0.99), LatencyCriterion::percentile);
                asked.push(Question::latency(percentile, wish.and_then(|wish| wish.ratio)));
            }
        }
        asked.push(Question::client_errors(day.map_or_else(Past::default, |day| day.client_errors)));
        asked
    }

    /// The user's own, where it is counted or compared; one with bounds alone is a gate of its own.
    fn own(&self, metric: &CustomMetric) -> Option<Question> {
        let (name, weight) = (metric.name.clone(), metric.weight);
        let better = metric.direction == Worse::Decrease;
        let health = &self.playbook.health;
        if let Some(of) = &metric.of {
            let of = health.metrics.iter().find(|m| m.id.as_ref() == Some(of))?.name.clone();
            let absent_is_zero = metric.missing == Missing::Zero;
            let series = Series::Counted { bad: name, of, better, absent_is_zero };
            let margin = Margin { ratio: health.errors.ratio, ..Margin::ERRORS };
            return Some(Question::counted(series, margin, weight));
        }
        let worse = if better { Direction::Lower } else { Direction::Higher };
        Some(Question::level(name, metric.ratio?, worse, weight))
    }
}
