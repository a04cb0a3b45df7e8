//! What was measured in one minute, as it was reported: facts, which the journal keeps.
//!
//! A number that CloudWatch did not report is absent, and a number that cannot be is as good as
//! absent; what absence means is for those who read it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::count::Reported;

/// One minute of both sides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Minute {
    pub start: DateTime<Utc>,
    pub green: Counts,
    pub blue: Counts,
    /// What the user's own metrics show that are not of one side, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub levels: BTreeMap<String, f64>,
}

/// What one side did in a minute. A number that CloudWatch did not report is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// `RequestCount`, summed over the side's target groups; of flows `NewFlowCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// `HTTPCode_Target_5XX_Count` + `TargetConnectionErrorCount` + `TargetTLSNegotiationErrorCount`. Of
    /// flows, `TCP_Target_Reset_Count` + `TCP_ELB_Reset_Count` + `PortAllocationErrorCount` of the side's
    /// load balancers, whose target groups do not report them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<f64>,
    /// `HTTPCode_ELB_5XX_Count` of the side's load balancers: requests that got no answer from any target,
    /// such as those that took too long. It is not known by target group, so where both sides are behind
    /// one load balancer both are given its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unserved: Option<f64>,
    /// `HTTPCode_Target_4XX_Count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_errors: Option<f64>,
    /// Seconds, by the statistic that was asked for; the worst of the side's target groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// `SampleCount` of `TargetResponseTime`: the requests whose latency is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<f64>,
    /// Those of the samples that were slower than each of the two bounds that were asked about.
    #[serde(default, skip_serializing_if = "Counts::unasked")]
    pub slow: [Option<f64>; 2],
    /// What the user's own metrics of this side show, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<String, f64>,
}

impl Counts {
    fn unasked(slow: &[Option<f64>; 2]) -> bool {
        *slow == [None, None]
    }

    /// The part of the requests to which no target began to answer, 0 to 1: what takes too long is in no
    /// other count of a target group.
    pub(super) fn unanswered(&self) -> f64 {
        let requests = self.requests.filter(|n| n.is_finite() && *n > 0.0);
        requests.map_or(0.0, |requests| (1.0 - self.samples.unwrap_or(0.0) / requests).max(0.0))
    }

    /// Without numbers that are none: a journal could not hold them.
    fn plausible(mut self) -> Counts {
        let finite = |number: &mut Option<f64>| *number = number.filter(|n| n.is_finite());
        [
            &mut self.requests,
            &mut self.bad,
            &mut self.unserved,
            &mut self.client_errors,
            &mut self.latency,
            &mut self.samples,
        ]
        .into_iter()
        .chain(&mut self.slow)
        .for_each(finite);
        self.own.retain(|_, value| value.is_finite());
        self
    }
}

impl Minute {
    /// The minute without numbers that are none (not a number, infinite).
    #[must_use]
    pub fn plausible(self) -> Minute {
        let Minute { start, green, blue, mut levels } = self;
        levels.retain(|_, value| value.is_finite());
        Minute { start, green: green.plausible(), blue: blue.plausible(), levels }
    }
}

/// Sums over a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub minutes: u32,
    pub green_requests: f64,
    pub green_bad: f64,
    pub blue_requests: f64,
    pub blue_bad: f64,
    /// Seconds: the median minute's latency.
    pub green_latency: Option<f64>,
    pub blue_latency: Option<f64>,
}

impl Tally {
    pub fn of(minutes: &[Minute]) -> Tally {
        let mut tally = Tally { minutes: u32::try_from(minutes.len()).unwrap_or(u32::MAX), ..Tally::default() };
        for minute in minutes {
            // What cannot be says nothing here either.
            let count = |side: &Counts| Reported { requests: side.requests, bad: side.bad }.count().unwrap_or_default();
            let (green, blue) = (count(&minute.green), count(&minute.blue));
            tally.green_requests += green.requests;
            tally.blue_requests += blue.requests;
            tally.green_bad += green.bad;
            tally.blue_bad += blue.bad;
        }
        tally.green_latency = median(minutes.iter().filter_map(|m| m.green.latency));
        tally.blue_latency = median(minutes.iter().filter_map(|m| m.blue.latency));
        tally
    }
}

pub(super) fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = numbers.filter(|n| n.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
