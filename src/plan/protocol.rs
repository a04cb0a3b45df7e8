//! What the judge of a run is going to do: the plan's part of the promise, fixed before there is a green.
//!
//! Everything here comes from the playbook and from blue's last day. It knows no minute of the run.

use crate::gate::Counted;
use crate::gate::combination::{Role, weights};
use crate::gate::ledger::{Direction, Metric, Test};
use crate::gate::limit::Limit;
use crate::gate::protocol::{Protocol, Series};
use crate::gate::tail::{COLD_MINUTES, SIGN_RATIO, Slowness};
use crate::gate::trial::Margin;
use crate::inventory::Past;
use crate::playbook::{CustomMetric, Missing, Period, Worse};

use super::Plan;

/// Minutes of each stage beside its bake: the shift itself, and CloudWatch's delay.
const STAGE_MINUTES: u64 = 5;

/// A metric of the protocol before its weight is known.
struct Judged {
    series: Series,
    name: String,
    role: Role,
    test: Test,
    phi: f64,
    cold_minutes: u32,
}

impl Judged {
    fn new(series: Series, role: Role, test: Test, past: Past) -> Judged {
        Judged { name: series.name(), series, role, test, phi: past.phi.max(1.0), cold_minutes: 0 }
    }
}

impl Plan {
    /// How the run is judged.
    pub fn protocol(&self) -> Protocol {
        let mut judged = match self.counted() {
            Counted::Requests => self.requests(),
            Counted::Flows => self.failures(),
            Counted::Nothing => Vec::new(),
        };
        judged.extend(self.playbook.health.metrics.iter().filter_map(|metric| self.own(metric)));
        let roles: Vec<Role> = judged.iter().map(|judged| judged.role).collect();
        let mut series: Vec<Series> = Vec::new();
        let mut metrics = Vec::new();
        for (judged, weight) in judged.into_iter().zip(weights(&roles)) {
            let known = series.iter().position(|known| *known == judged.series);
            let index = known.unwrap_or(series.len());
            if known.is_none() {
                series.push(judged.series);
            }
            let Judged { name, test, phi, cold_minutes, .. } = judged;
            metrics.push(Metric { name, series: index, test, weight, phi, cold_minutes });
        }
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
    fn failures(&self) -> Vec<Judged> {
        let past = self.inventory.history.as_ref().map_or_else(Past::default, |day| day.errors);
        let margin = Margin { ratio: self.playbook.health.errors.ratio, ..Margin::ERRORS };
        let mut judged = vec![Judged::new(Series::Errors, Role::Errors, Test::Beside(margin), past)];
        judged.extend(self.limit().map(|limit| Judged {
            name: "hard limit".to_owned(),
            ..Judged::new(Series::Errors, Role::HardLimit, Test::Against(limit), past)
        }));
        judged
    }

    /// What an Application Load Balancer tells of requests.
    fn requests(&self) -> Vec<Judged> {
        let mut judged = self.failures();
        let day = self.inventory.history.as_ref();
        match (self.slow_bounds(), day.and_then(|day| day.slow)) {
            (Some(_), Some(slow)) => {
                let roles = [Role::SlowestTwentieth, Role::SlowestPercent];
                for (index, (slowness, role)) in Slowness::ALL.into_iter().zip(roles).enumerate() {
                    let test = Test::Beside(slowness.margin());
                    judged.push(Judged {
                        cold_minutes: COLD_MINUTES,
                        ..Judged::new(Series::Slow(index), role, test, slow[index].past)
                    });
                }
            }
            _ => {
                let wish = self.playbook.health.latency.as_ref();
                let percentile = wish.map_or(Some(0.99), crate::playbook::LatencyCriterion::percentile);
                let ratio = wish.and_then(|wish| wish.ratio).unwrap_or(SIGN_RATIO);
                let test = Test::LevelBeside { ratio, worse: Direction::Higher };
                judged.push(Judged {
                    cold_minutes: COLD_MINUTES,
                    ..Judged::new(Series::Latency { percentile }, Role::SlowestPercent, test, Past::default())
                });
            }
        }
        let client = day.map_or_else(Past::default, |day| day.client_errors);
        judged.push(Judged::new(Series::ClientErrors, Role::ClientErrors, Test::Beside(Margin::CLIENT_ERRORS), client));
        judged
    }

    /// A metric of the user's own, where it is counted or compared; one with bounds alone is a gate of its
    /// own.
    fn own(&self, metric: &CustomMetric) -> Option<Judged> {
        let role = Role::Custom { weight: metric.weight };
        let name = metric.name.clone();
        let better = metric.direction == Worse::Decrease;
        let health = &self.playbook.health;
        if let Some(of) = &metric.of {
            let of = health.metrics.iter().find(|m| m.id.as_ref() == Some(of))?.name.clone();
            let absent_is_zero = metric.missing == Missing::Zero;
            let series = Series::Counted { bad: name, of, better, absent_is_zero };
            let margin = Margin { ratio: health.errors.ratio, ..Margin::ERRORS };
            return Some(Judged::new(series, role, Test::Beside(margin), Past::default()));
        }
        let worse = if better { Direction::Lower } else { Direction::Higher };
        let test = Test::LevelBeside { ratio: metric.ratio?, worse };
        Some(Judged::new(Series::Level { name }, role, test, Past::default()))
    }
}
