//! What the judge is expected to see of each stage, before there is a green: the numbers behind `plan`.
//!
//! Everything rests on blue's last day and on the protocol that the run itself is judged by, and the
//! evidence that a stage needs is asked of the same rule as in the run. Numbers only: what they mean is
//! said by the report. It makes no promise: half of all runs take longer than the expected minutes, and
//! tomorrow's traffic is not yesterday's.

use serde::Serialize;

use crate::gate::exposure::{Clean, Next};
use crate::gate::outlook::{Prospect, Traffic};
use crate::gate::tail::Slowness;
use crate::gate::{Baseline, Counted};
use crate::inventory::History;
use crate::playbook::LatencyCriterion;
use crate::traffic::Share;

use super::Plan;

/// Rates of failures on green that people ask about where traffic is low.
const FAULTS: [f64; 2] = [0.5, 0.05];

/// What to expect of a run's judge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    pub counted: Counted,
    /// Why nothing can be expected; the stages are empty then.
    pub unknown: Option<Unknown>,
    /// What the numbers rest on.
    pub basis: Option<Grounds>,
    pub stages: Vec<StageOutlook>,
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// There is no load balancer in front of the service that counts anything.
    NothingCounted,
    /// Blue's last day could not be read.
    NoHistory,
    /// Blue had no requests in the last day.
    NoTraffic,
}

/// What the judge rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grounds {
    /// Of the last day, on average.
    pub requests_per_minute: f64,
    /// Minutes of the last day in which there were any; 0 where that is not known.
    pub busy_minutes: u32,
    /// Blue's rate of failures, 0 to 1.
    pub blue_rate: f64,
    /// By how much failures came in clusters; at least 1.
    pub phi: f64,
    /// Times blue's rate and `floor` that a healthy green may fail.
    pub ratio: f64,
    /// Rate that is added to blue's.
    pub floor: f64,
    /// A green that fails less often than this is healthy, where blue is as it was.
    pub healthy_rate: f64,
    pub hard_limit: Option<f64>,
    /// Whether the playbook sets the limit; otherwise it comes from the last day.
    pub limit_is_set: bool,
    pub false_rollback: f64,
    pub accepted_failures: u64,
    pub min_requests: u64,
    /// Whether green is compared with blue's minutes before the shift, because all traffic moves at once.
    pub compared_with_past: bool,
    pub latency: Option<LatencyMethod>,
    pub metrics: Vec<Weight>,
}

/// How latency is judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyMethod {
    /// Requests slower than blue's 95th and 99th percentile of the last day are counted; seconds.
    SlowRequests { p95: f64, p99: f64 },
    /// Requests slower than `ratio` times blue's percentile of the last day are counted; `bound` in seconds.
    SlowerThan { statistic: String, ratio: f64, bound: f64 },
    /// Each minute in which green's statistic exceeds `ratio` times blue's votes against green.
    MinuteVotes { statistic: String, ratio: f64 },
}

/// A metric's part in the evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weight {
    pub name: String,
    /// From 0 to 1; those of all metrics add up to 1.
    pub weight: f64,
    pub phi: f64,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageOutlook {
    /// 1-based.
    pub stage: usize,
    pub share: Share,
    pub bake_minutes: f64,
    pub green_requests_per_minute: f64,
    /// Whether there is a blue to compare with, in the same minutes or in the past.
    pub compared: bool,
    /// For 2, 5 and 10 times blue's rate, and for a total outage.
    pub prospects: [Prospect; 4],
    /// For half of all requests, and for one in twenty: what little traffic still shows.
    pub faults: [Prospect; 2],
    /// The lowest rate of failures that is expected to be seen within the bake; `None` where not even a
    /// total outage is.
    pub smallest_seen: Option<f64>,
    /// What it takes to pass the stage where no request fails; `None` where green has no requests.
    pub needs: Option<Clean>,
}

impl StageOutlook {
    /// Whether a prospect comes before the bake is over.
    pub fn in_time(&self, prospect: &Prospect) -> bool {
        prospect.minutes.is_some_and(|minutes| minutes <= self.bake_minutes)
    }
}

impl Outlook {
    /// Whether the last stage leaves nothing on blue, and no long bake before it keeps a little there.
    pub fn ends_alone(&self) -> bool {
        // Less on blue than this is too little to compare with.
        const NEARLY_ALL: f64 = 0.9;
        let Some((last, before)) = self.stages.split_last() else { return false };
        let kept = |stage: &StageOutlook| {
            stage.compared && stage.share.fraction() >= NEARLY_ALL && stage.bake_minutes >= last.bake_minutes
        };
        !last.compared && !before.iter().any(kept)
    }
}

impl Plan {
    /// What to expect of the judge.
    pub fn outlook(&self) -> Outlook {
        let counted = self.counted();
        let unknown = |unknown| Outlook { counted, unknown: Some(unknown), basis: None, stages: Vec::new() };
        if counted == Counted::Nothing {
            return unknown(Unknown::NothingCounted);
        }
        let Some(day) = self.inventory.history.as_ref() else { return unknown(Unknown::NoHistory) };
        let Some(judged) = self.judged(day) else { return unknown(Unknown::NothingCounted) };
        let basis = Some(self.basis(day, &judged));
        if day.requests_per_minute <= 0.0 {
            return Outlook { basis, ..unknown(Unknown::NoTraffic) };
        }
        let stages = (0..self.playbook.stages.len()).map(|index| self.stage_outlook(index, &judged));
        Outlook { counted, unknown: None, basis, stages: stages.collect() }
    }

    /// How failures are judged, with the traffic of blue's last day and nothing of it on green yet.
    fn judged(&self, day: &History) -> Option<Traffic> {
        let protocol = self.protocol();
        let laid = protocol.starts().at_a_start();
        let judged = Traffic::judged(&protocol.metrics, protocol.false_rollback, laid)?;
        Some(Traffic { requests_per_minute: day.requests_per_minute, blue_rate: day.errors.rate, ..judged })
    }

    /// A stage's traffic. Where green is compared with the past, both sides have all of it, one after the
    /// other.
    fn stage_traffic(&self, share: Share, judged: &Traffic) -> Traffic {
        match self.baseline() {
            Baseline::Beside => Traffic { share: share.fraction(), ..*judged },
            Baseline::Past => Traffic {
                share: 0.5 * share.fraction(),
                requests_per_minute: 2.0 * judged.requests_per_minute,
                ..*judged
            },
        }
    }

    fn stage_outlook(&self, index: usize, judged: &Traffic) -> StageOutlook {
        let stages = &self.playbook.stages;
        let (share, bake) = stages.get(index).map_or((Share::ALL, 0.0), |s| (s.green, s.bake.0.as_secs_f64()));
        let traffic = self.stage_traffic(share, judged);
        let bake_minutes = bake / 60.0;
        let needs = match stages.get(index + 1) {
            Some(next) => self.next(next.green).asks_of_clean(&traffic, bake_minutes),
            // Behind the last stage nothing is at stake any more.
            None => Some(Clean { requests: 0.0, minutes: 0.0 }),
        };
        StageOutlook {
            stage: index + 1,
            share,
            bake_minutes,
            green_requests_per_minute: traffic.green_requests(),
            compared: traffic.blue_requests() > 0.0,
            prospects: traffic.outlook().prospects,
            faults: FAULTS.map(|rate| traffic.prospect(rate)),
            smallest_seen: traffic.smallest_seen(bake_minutes),
            needs: needs.filter(|_| traffic.green_requests() > 0.0).map(|clean| self.at_least(clean, &traffic)),
        }
    }

    /// What a stage with this share puts at stake.
    pub fn next(&self, share: Share) -> Next {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let accepted_failures = self.playbook.health.accepted_failures as f64;
        Next { share: share.fraction(), accepted_failures }
    }

    /// No stage passes with less than `health.min_requests`.
    fn at_least(&self, clean: Clean, traffic: &Traffic) -> Clean {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let requests = clean.requests.max(self.playbook.health.min_requests as f64);
        Clean { requests, minutes: requests / traffic.green_requests() }
    }

    fn basis(&self, day: &History, judged: &Traffic) -> Grounds {
        let health = &self.playbook.health;
        let named = |metric: &crate::gate::ledger::Metric| Weight {
            name: metric.name.clone(),
            weight: metric.weight,
            phi: metric.phi,
        };
        Grounds {
            requests_per_minute: day.requests_per_minute,
            busy_minutes: day.busy_minutes,
            blue_rate: judged.blue_rate,
            phi: judged.phi,
            ratio: judged.margin.ratio,
            floor: judged.margin.floor,
            healthy_rate: (judged.margin.ratio * (judged.blue_rate + judged.margin.floor)).min(1.0),
            hard_limit: judged.limit.map(|(limit, _)| limit.rate),
            limit_is_set: health.limit().is_some(),
            false_rollback: judged.false_rollback,
            accepted_failures: health.accepted_failures,
            min_requests: health.min_requests,
            compared_with_past: self.baseline() == Baseline::Past,
            latency: self.latency_method(),
            metrics: self.protocol().metrics.iter().map(named).collect(),
        }
    }

    fn latency_method(&self) -> Option<LatencyMethod> {
        let wish = self.playbook.health.latency.as_ref();
        let by_ratio = wish.and_then(|wish| Some((wish, wish.ratio?)));
        match (self.slow_bounds(), by_ratio) {
            (Some([p95, p99]), None) => return Some(LatencyMethod::SlowRequests { p95, p99 }),
            (Some([p95, p99]), Some((wish, ratio))) => {
                let bound = if wish.statistic == Slowness::P95.statistic() { p95 } else { p99 };
                return Some(LatencyMethod::SlowerThan { statistic: wish.statistic.clone(), ratio, bound });
            }
            (None, _) => {}
        }
        let statistic = wish.map_or_else(LatencyCriterion::default_statistic, |wish| wish.statistic.clone());
        let ratio = wish.and_then(|wish| wish.ratio).unwrap_or(crate::gate::tail::SIGN_RATIO);
        (self.counted() == Counted::Requests).then_some(LatencyMethod::MinuteVotes { statistic, ratio })
    }
}
