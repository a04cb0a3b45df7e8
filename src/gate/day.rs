//! Blue's last day, from its minutes by availability zone: rates, clusters, and what counts as slow.
//!
//! Zones serve the same traffic, so they are what says whether failures come in clusters
//! ([`super::dispersion`]). A count of slow requests is believed only where it can be one: below the
//! samples, and no more of them than a percentile lets through by its meaning.

use super::count::{Count, Reported};
use super::dispersion::{Dispersion, in_time};
use super::minute::Counts;
use super::tail::Slowness;
use crate::inventory::{History, Past, Slow};

/// Blue's minutes of a day, as they were read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Day {
    /// Blue's 95th and 99th percentile of the whole day, in seconds; `None` where none was reported, or
    /// where CloudWatch does not count samples.
    pub bounds: Option<[f64; 2]>,
    /// By minute of the day, the quiet ones too: those of each availability zone that reported anything;
    /// where zones report nothing, one for all of them.
    pub minutes: Vec<Vec<Counts>>,
}

/// How much above its meaning a count of slow requests may lie, as a factor: percentiles of several target
/// groups are not those of all together.
const BELIEVABLE: f64 = 3.0;
/// Slow requests below which a factor says nothing.
const FEW: f64 = 20.0;

impl Day {
    /// What the minutes come to. Requests a minute are an average over the whole day: a service that ran
    /// for an hour of it is not one that is always that busy, and [`History::busy_minutes`] says so.
    pub fn history(&self) -> History {
        let requests: f64 = self.sum(|zone| zone.requests.unwrap_or(0.0));
        let busy = |minute: &&Vec<Counts>| minute.iter().any(|zone| zone.requests.is_some_and(|n| n > 0.0));
        #[expect(clippy::cast_precision_loss, reason = "1440 minutes")]
        let requests_per_minute = requests / self.minutes.len().max(1) as f64;
        History {
            requests_per_minute,
            busy_minutes: u32::try_from(self.minutes.iter().filter(busy).count()).unwrap_or(u32::MAX),
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
        let mut together = Vec::with_capacity(self.minutes.len());
        let mut zones: Vec<Count> = Vec::new();
        for minute in &self.minutes {
            zones.clear();
            zones.extend(minute.iter().filter_map(|zone| of(zone).count()));
            dispersion.add(&zones);
            let mut sum = Count::default();
            for zone in &zones {
                sum += *zone;
            }
            all += sum;
            together.push((!zones.is_empty()).then_some(sum));
        }
        let in_time = in_time(&together);
        // One zone cannot say whether failures come in clusters; its minutes can.
        let phi = if dispersion.compared() { dispersion.phi() } else { dispersion.phi().max(in_time[0]) };
        Past { rate: all.rate(), phi, in_time }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests and failures, one zone after the other.
    fn zones(counts: &[(f64, f64)]) -> Vec<Counts> {
        let zone = |(requests, bad): &(f64, f64)| Counts {
            requests: Some(*requests),
            bad: Some(*bad).filter(|bad| *bad != 0.0),
            ..Counts::default()
        };
        counts.iter().map(zone).collect()
    }

    /// The same minute, `count` times.
    fn day(count: usize, counts: &[(f64, f64)]) -> Day {
        Day { bounds: None, minutes: vec![zones(counts); count] }
    }

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12
    }

    #[test]
    fn rates_and_clusters_by_table() {
        let nan = f64::NAN;
        // S = 10 and q = 1/2 give (18 + 20) / (5 + 10); see `dispersion`.
        let uneven = 38.0 / 15.0;
        for (what, counts, requests, rate, phi) in [
            ("nothing", &[][..], 0.0, 0.0, 2.0),
            ("one zone", &[(100.0, 5.0)], 100.0, 0.05, 2.0),
            ("two zones", &[(100.0, 8.0), (100.0, 2.0)], 200.0, 0.05, uneven),
            ("a zone that cannot be", &[(100.0, 8.0), (100.0, 2.0), (nan, 7.0)], 200.0, 0.05, uneven),
            ("a negative zone", &[(100.0, 8.0), (100.0, 2.0), (-9.0, 7.0)], 200.0, 0.05, uneven),
            ("an endless zone", &[(100.0, 8.0), (100.0, 2.0), (f64::INFINITY, 7.0)], 200.0, 0.05, uneven),
            ("failures that cannot be", &[(100.0, 8.0), (100.0, 2.0), (50.0, nan)], 250.0, 0.05, uneven),
            ("no failures", &[(100.0, 0.0), (100.0, 0.0)], 200.0, 0.0, 2.0),
            ("more failures than requests", &[(100.0, 300.0)], 100.0, 1.0, 2.0),
        ] {
            let history = day(1, counts).history();
            assert!(near(history.requests_per_minute, requests), "{what}: {history:?}");
            assert!(near(history.errors.rate, rate) && near(history.errors.phi, phi), "{what}: {history:?}");
            assert_eq!(history.slow, None, "{what}");
        }
        assert_eq!(day(1440, &[(500.0, 5.0), (500.0, 5.0)]).history().errors.phi, 1.0, "never below 1");
        assert_eq!(Day::default().history(), History::default());
    }

    #[test]
    fn an_hour_of_traffic_is_an_average_over_the_day() {
        let mut hour = day(60, &[(1200.0, 0.0), (1200.0, 0.0)]);
        hour.minutes.resize(1440, Vec::new());
        let history = hour.history();
        assert_eq!((history.requests_per_minute, history.busy_minutes), (100.0, 60));
        let always = day(1440, &[(50.0, 0.0), (50.0, 0.0)]).history();
        assert_eq!((always.requests_per_minute, always.busy_minutes), (100.0, 1440));
        assert_eq!(day(1440, &[(0.0, 0.0)]).history().busy_minutes, 0, "reported, and none");
    }

    #[test]
    fn errors_of_clients_are_kept_apart() {
        let zone = |client| Counts { client_errors: Some(client), ..zones(&[(100.0, 1.0)])[0].clone() };
        let history = Day { bounds: None, minutes: vec![vec![zone(20.0), zone(0.0)]] }.history();
        assert!(near(history.errors.rate, 0.01) && near(history.client_errors.rate, 0.1), "{history:?}");
        assert!(history.client_errors.phi > history.errors.phi, "{history:?}");
    }

    /// A day of two zones, 1000 samples each a minute, with so many slower than the bounds.
    fn slow(count: usize, slow: [Option<f64>; 2]) -> Day {
        let zone = Counts { samples: Some(1000.0), slow, ..zones(&[(1000.0, 0.0)])[0].clone() };
        Day { bounds: Some([0.2, 0.9]), minutes: vec![vec![zone.clone(), zone]; count] }
    }

    #[test]
    fn slow_requests_are_counted_beyond_the_percentiles() {
        let found = slow(60, [Some(50.5), Some(9.5)]).history().slow.unwrap();
        assert_eq!([found[0].bound, found[1].bound], [0.2, 0.9]);
        assert!(near(found[0].past.rate, 0.0505) && near(found[1].past.rate, 0.0095), "{found:?}");
        assert_eq!([found[0].past.phi, found[1].past.phi], [1.0, 1.0], "as many in each zone");
        // Everybody takes as long as the percentile itself: nobody takes longer.
        assert!(slow(60, [Some(0.0), Some(0.0)]).history().slow.is_some());
    }

    #[test]
    fn unbelievable_counts_of_slow_requests_are_none() {
        let good = || slow(60, [Some(50.0), Some(10.0)]);
        assert!(good().history().slow.is_some());
        let changed = |change: &dyn Fn(&mut Day)| {
            let mut day = good();
            change(&mut day);
            day.history().slow
        };
        let zone = |change: &'static dyn Fn(&mut Counts)| changed(&move |day| change(&mut day.minutes[7][1]));
        let nan = Some(f64::NAN);
        for (what, slow) in [
            ("no bounds", changed(&|day| day.bounds = None)),
            ("a bound that is none", changed(&|day| day.bounds = Some([0.2, f64::NAN]))),
            ("an endless bound", changed(&|day| day.bounds = Some([f64::INFINITY, f64::INFINITY]))),
            ("a bound of no time", changed(&|day| day.bounds = Some([0.0, 0.9]))),
            ("no minutes", changed(&|day| day.minutes.clear())),
            ("no samples", changed(&|day| day.minutes.iter_mut().flatten().for_each(|zone| zone.samples = None))),
            ("a negative count", zone(&|zone| zone.slow[0] = Some(-1.0))),
            ("a count that is none", zone(&|zone| zone.slow[1] = Some(f64::NAN))),
            ("more than there are samples", zone(&|zone| zone.slow[0] = Some(1000.5))),
            ("samples that are none", zone(&|zone| zone.samples = Some(f64::NAN))),
            ("samples without a count", zone(&|zone| zone.slow[1] = None)),
        ] {
            assert_eq!(slow, None, "{what}");
        }
        assert_eq!(changed(&|day| day.minutes[7][1].slow = [nan, nan]), None);
        // Far more of them than a percentile lets through: whatever was counted, it is not that.
        assert_eq!(slow(60, [Some(160.0), Some(10.0)]).history().slow, None);
        assert_eq!(slow(60, [Some(50.0), Some(31.0)]).history().slow, None);
        // A handful more may be chance.
        assert!(slow(1, [Some(100.0), Some(10.0)]).history().slow.is_some());
        // A minute without samples has nothing to tell.
        assert!(changed(&|day| day.minutes[7] = zones(&[(0.0, 0.0)])).is_some());
    }
}
