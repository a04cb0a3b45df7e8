//! Blue's last day, from its minutes by availability zone: rates, clusters, and what counts as slow.
//!
//! Zones serve the same traffic, so they are what says whether failures come in clusters
//! ([`super::dispersion`]). A count of slow requests is believed only where it can be one: below the
//! samples, and no more of them than a percentile lets through by its meaning.

use super::count::{Count, Reported};
use super::dispersion::Dispersion;
use super::minute::Counts;
use super::tail::Slowness;
use crate::inventory::{History, Past, Slow};

/// Blue's minutes of a day, as they were read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Day {
    /// Blue's 95th and 99th percentile of the whole day, in seconds; `None` where none was reported.
    pub bounds: Option<[f64; 2]>,
    /// By minute, those of each availability zone that reported anything; where zones report nothing,
    /// one for all of them.
    pub minutes: Vec<Vec<Counts>>,
}

/// How much above its meaning a count of slow requests may lie, as a factor: percentiles of several target
/// groups are not those of all together.
const BELIEVABLE: f64 = 3.0;
/// Slow requests below which a factor says nothing.
const FEW: f64 = 20.0;

impl Day {
    pub fn history(&self) -> History {
        let minutes = self.minutes.len().max(1);
        let requests: f64 = self.sum(|zone| zone.requests.unwrap_or(0.0));
        #[expect(clippy::cast_precision_loss, reason = "1440 minutes")]
        let requests_per_minute = requests / minutes as f64;
        History {
            requests_per_minute,
            errors: self.past(|zone| Reported { requests: zone.requests, bad: zone.bad }),
            unserved: self.past(|zone| Reported { requests: zone.requests, bad: zone.unserved }),
            client_errors: self.past(|zone| Reported { requests: zone.requests, bad: zone.client_errors }),
            slow: self.slow(),
        }
    }

    fn sum(&self, of: impl Fn(&Counts) -> f64) -> f64 {
        self.minutes.iter().flatten().map(of).filter(|n| n.is_finite() && *n > 0.0).sum()
    }

    fn past(&self, of: impl Fn(&Counts) -> Reported) -> Past {
        let (mut all, mut dispersion) = (Count::default(), Dispersion::default());
        for minute in &self.minutes {
            let zones: Vec<Reported> = minute.iter().map(&of).collect();
            dispersion.add(&zones);
            zones.iter().filter_map(Reported::count).for_each(|count| all += count);
        }
        Past { rate: all.rate(), phi: dispersion.phi() }
    }

    /// What counts as slow; `None` where counts of slow requests are not to be had, or cannot be right.
    fn slow(&self) -> Option<[Slow; 2]> {
        let bounds = self.bounds?;
        let samples = self.sum(|zone| zone.samples.unwrap_or(0.0));
        let of = |index: usize| {
            let slowness = Slowness::ALL[index];
            let believable = |zone: &Counts| match (zone.samples, zone.slow[index]) {
                (Some(samples), Some(slow)) => (0.0..=samples).contains(&slow),
                (Some(_), None) => false,
                (None, _) => true,
            };
            let most = (samples * slowness.beyond() * BELIEVABLE).max(FEW);
            let right = bounds[index].is_finite()
                && bounds[index] > 0.0
                && self.minutes.iter().flatten().all(believable)
                && self.sum(|zone| zone.slow[index].unwrap_or(0.0)) <= most;
            let past = self.past(|zone| Reported { requests: zone.samples, bad: zone.slow[index] });
            (samples > 0.0 && right).then_some(Slow { bound: bounds[index], past })
        };
        Some([of(0)?, of(1)?])
    }
}
