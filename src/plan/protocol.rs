//! What the judge of a run is going to do: the plan's part of the promise, fixed before there is a green.
//!
//! Everything here comes from the playbook and from blue's last day. It knows no minute of the run.

use super::Plan;
use crate::gate::ledger::Direction;
use crate::gate::limit::Limit;
use crate::gate::protocol::{Protocol, Series};
use crate::gate::question::{Question, Weighed, weighed};
use crate::gate::tail::Slowness;
use crate::gate::trial::Margin;
use crate::gate::{Baseline, Counted};
use crate::inventory::{History, Past};
use crate::playbook::{CustomMetric, Health, LatencyCriterion, Missing, Period, Shift, Worse};

/// Minutes of each stage beside its bake: the shift itself, and CloudWatch's delay.
const STAGE_MINUTES: u64 = 5;

/// What the judge's part of a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    pub counted: Counted,
    pub health: &'a Health,
    /// Blue's last day, as green is compared with blue, where it is known.
    pub history: Option<History>,
    /// Whether both sides have requests behind one load balancer in the same minutes.
    pub shared: bool,
}

impl Plan {
    /// How the run is judged.
    pub fn protocol(&self) -> Protocol {
        let stages = u32::try_from(self.playbook.stages.len()).unwrap_or(u32::MAX);
        self.terms().protocol(self.baseline(), self.planned_minutes(), stages)
    }

    /// Minutes that the stages take together; at least 1.
    fn planned_minutes(&self) -> u32 {
        let following = u64::try_from(self.following().num_seconds()).unwrap_or(0);
        let minutes = |bake: &Period| (bake.0.as_secs() + following).div_ceil(60) + STAGE_MINUTES;
        let planned: u64 = self.playbook.stages.iter().map(|stage| minutes(&stage.bake)).sum();
        u32::try_from(planned).unwrap_or(u32::MAX).max(1)
    }

    /// The hard limit of failed requests: the playbook's, or what blue's last day says.
    pub fn limit(&self) -> Option<Limit> {
        self.terms().limit()
    }

    /// What counts as slow, in seconds, where slow requests are counted: blue's 95th and 99th percentile.
    pub fn slow_bounds(&self) -> Option<[f64; 2]> {
        self.terms().slow_bounds()
    }

    fn terms(&self) -> Terms<'_> {
        let as_compared = |day: History| match self.baseline() {
            Baseline::Beside => day,
            Baseline::Past => day.over(self.planned_minutes()),
        };
        Terms {
            counted: self.counted(),
            health: &self.playbook.health,
            history: self.inventory.history.map(as_compared),
            shared: matches!(self.playbook.shift, Shift::ListenerWeights(_)),
        }
    }
}

impl Terms<'_> {
    /// The judge of a run of so many planned minutes and stages.
    pub fn protocol(&self, baseline: Baseline, planned_minutes: u32, stages: u32) -> Protocol {
        let mut asked = match self.counted {
            Counted::Requests => self.requests(),
            Counted::Flows => self.failures(),
            Counted::Nothing => Vec::new(),
        };
        asked.extend(self.health.metrics.iter().filter_map(|metric| self.own(metric)));
        let Weighed { series, usual, metrics } = weighed(asked);
        Protocol {
            baseline,
            counted: self.counted,
            false_rollback: self.health.false_rollback.fraction(),
            planned_minutes: planned_minutes.max(1),
            stages,
            series,
            usual,
            metrics,
        }
    }

    /// The hard limit of failed requests.
    pub fn limit(&self) -> Option<Limit> {
        let own = self.health.limit().map(|rate| Limit { rate: rate.fraction() });
        own.or_else(|| self.history.map(|day| Limit::from_history(day.errors.rate)))
    }

    /// What counts as slow, in seconds, where slow requests are counted.
    pub fn slow_bounds(&self) -> Option<[f64; 2]> {
        let slow = self.history?.slow.filter(|_| self.counted == Counted::Requests)?;
        let wish = self.health.latency.as_ref();
        let Some(ratio) = wish.and_then(|wish| wish.ratio) else { return Some(slow.map(|slow| slow.bound)) };
        // Another percentile than these is not known of the day.
        Slowness::of(&wish?.statistic).map(|_| slow.map(|slow| ratio * slow.bound))
    }

    /// Failures beside blue's, and against the limit.
    fn failures(&self) -> Vec<Question> {
        let past = self.history.map_or_else(Past::default, |day| day.errors);
        let margin = Margin { ratio: self.health.errors.ratio, ..Margin::ERRORS };
        let limit = self.limit().map(|limit| Question::limit(self.counted, limit, past));
        [Question::errors(self.counted, margin, past)].into_iter().chain(limit).collect()
    }

    /// What an Application Load Balancer tells of requests.
    fn requests(&self) -> Vec<Question> {
        let mut asked = self.failures();
        let day = self.history;
        let wish = self.health.latency.as_ref();
        let by_ratio = wish.and_then(|wish| Some((Slowness::of(&wish.statistic), wish.ratio?)));
        match (self.slow_bounds().and_then(|_| day?.slow), by_ratio) {
            (Some(slow), None) => asked.extend(Question::slow(slow)),
            (Some(slow), Some((Some(slowness), ratio))) => asked.push(Question::slower(slow, slowness, ratio)),
            _ => {
                let percentile = wish.map_or(Some(0.99), LatencyCriterion::percentile);
                asked.push(Question::latency(percentile, wish.and_then(|wish| wish.ratio)));
            }
        }
        asked.extend(day.map(|day| Question::unserved(day.unserved, self.shared)));
        asked.push(Question::client_errors(day.map_or_else(Past::default, |day| day.client_errors)));
        asked
    }

    /// The user's own, where it is counted or compared; one with bounds alone is a gate of its own.
    fn own(&self, metric: &CustomMetric) -> Option<Question> {
        let (name, weight) = (metric.name.clone(), metric.weight);
        let better = metric.direction == Worse::Decrease;
        if let Some(of) = &metric.of {
            let of = self.health.metrics.iter().find(|m| m.id.as_ref() == Some(of))?.name.clone();
            let absent_is_zero = metric.missing == Missing::Zero;
            let series = Series::Counted { bad: name, of, better, absent_is_zero };
            let margin = Margin { ratio: self.health.errors.ratio, ..Margin::ERRORS };
            return Some(Question::counted(series, margin, weight));
        }
        let worse = if better { Direction::Lower } else { Direction::Higher };
        Some(Question::level(name, metric.ratio?, worse, weight))
    }
}
