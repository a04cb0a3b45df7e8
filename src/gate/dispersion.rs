//! Phi: by how much failures come in clusters.
//!
//! A retrying client or one bad connection makes many failures of one cause, all on one side. A test
//! that takes them for independent rolls a healthy green back by a third of all such runs. Dividing the
//! evidence by phi is exactly fair for clusters of up to phi, so phi is measured and not assumed: on
//! blue, by its availability zones, over the last 24 hours. Zones serve the same traffic, so what one
//! has more of than its share of the requests, beyond chance, is clustering. What hits all zones at once
//! cancels here, as it does between green and blue.
//!
//! ```text
//! phi = max(1, (sum_j sum_z (x_jz - S_j q_jz)^2 + 20) / (sum_j sum_z S_j q_jz (1 - q_jz) + 10))
//! ```
//!
//! with x_jz the bad requests of zone z in minute j, S_j those of all zones, q_jz the zone's share of the
//! minute's requests: observed over expected variance of a multinomial, with the weight of ten expected
//! failures on 2.
//!
//! **In time.** Where green is compared with blue in the minutes before, what hits all zones at once does
//! not cancel, be it a noisy minute or the time of the day. There phi is measured as green is going to be
//! compared: neighbouring stretches of a day, of a length up to the run's, stand for the zones
//! ([`in_time`]). That bounds what an ordinary day does to the evidence: a stretch that differs from its
//! neighbour as much as they use to is worth about one failure's luck. And where a day has one zone only,
//! its neighbouring minutes say whether failures come in clusters; never less than 2.

use serde::{Deserialize, Serialize};

use super::count::Count;
use crate::inventory::STRETCHES;

/// Where there is one zone, or no history.
pub const UNKNOWN: f64 = 2.0;
/// Where failures are known to be independent; no estimate is lower.
pub const INDEPENDENT: f64 = 1.0;
const PRIOR_OBSERVED: f64 = 20.0;
const PRIOR_EXPECTED: f64 = 10.0;

/// The sums of the estimate, which a journal can hold instead of the minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Dispersion {
    observed: f64,
    expected: f64,
    /// Most zones that had requests in one minute.
    zones: u32,
}

impl Dispersion {
    /// Takes one minute of all zones. A zone without requests says nothing.
    pub fn add(&mut self, zones: &[Count]) {
        let mut all = Count::default();
        let mut seen = 0;
        for zone in zones {
            if zone.requests > 0.0 {
                all += *zone;
                seen += 1;
            }
        }
        self.zones = self.zones.max(seen);
        if all.bad == 0.0 {
            return;
        }
        for zone in zones {
            if zone.requests > 0.0 {
                let share = zone.requests / all.requests;
                let expected = all.bad * share;
                self.observed += (zone.bad - expected).powi(2);
                self.expected += expected * (1.0 - share);
            }
        }
    }

    /// Whether there were zones to compare.
    pub fn compared(&self) -> bool {
        self.zones >= 2
    }

    /// At least 1.
    pub fn phi(&self) -> f64 {
        if !self.compared() {
            return UNKNOWN;
        }
        ((self.observed + PRIOR_OBSERVED) / (self.expected + PRIOR_EXPECTED)).max(INDEPENDENT)
    }
}

/// How much neighbouring stretches of a day's minutes differ, for each length of [`STRETCHES`]; each at
/// least 1, and 2 where the day is too short to say. Stretches overlap by three quarters, so that no hour
/// decides where they are cut.
pub fn in_time(minutes: &[Option<Count>]) -> [f64; STRETCHES.len()] {
    let mut sums = vec![Count::default()];
    for minute in minutes {
        let mut sum = *sums.last().unwrap_or(&Count::default());
        sum += minute.unwrap_or_default();
        sums.push(sum);
    }
    let between = |from: usize, to: usize| {
        let (from, to) = (&sums[from], &sums[to]);
        Count::new(to.requests - from.requests, to.bad - from.bad)
    };
    STRETCHES.map(|stretch| {
        let stretch = stretch as usize;
        let mut dispersion = Dispersion::default();
        for middle in (stretch..sums.len().saturating_sub(stretch)).step_by((stretch / 4).max(1)) {
            dispersion.add(&[between(middle - stretch, middle), between(middle, middle + stretch)]);
        }
        dispersion.phi()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::count::Reported;
    use super::*;

    fn phi(minutes: &[&[(f64, f64)]]) -> f64 {
        let mut dispersion = Dispersion::default();
        for minute in minutes {
            let zones: Vec<Count> = minute.iter().filter_map(|(n, x)| Reported::new(*n, *x).count()).collect();
            dispersion.add(&zones);
        }
        dispersion.phi()
    }

    #[test]
    fn by_hand() {
        assert_eq!(phi(&[]), 2.0, "no history");
        assert_eq!(phi(&[&[(100.0, 5.0)], &[(100.0, 0.0)]]), 2.0, "one zone");
        assert_eq!(phi(&[&[(100.0, 0.0), (100.0, 0.0)]]), 2.0, "no failure says nothing");
        // S = 10, q = 1/2: observed 2 x (8 - 5)^2 = 18, expected 2 x 10/4 = 5.
        assert!((phi(&[&[(100.0, 8.0), (100.0, 2.0)]]) - 38.0 / 15.0).abs() < 1e-12);
        // Unequal zones: S = 8, q = 3/4 and 1/4; as expected, so only the prior is observed.
        assert!((phi(&[&[(300.0, 6.0), (100.0, 2.0)]]) - 20.0 / 13.0).abs() < 1e-12);
        let even = [(1000.0, 10.0), (1000.0, 10.0)];
        assert_eq!(phi(&[&even[..]; 100]), 1.0, "never below 1");
        let odd = [(f64::NAN, 3.0), (100.0, 8.0), (100.0, 2.0)];
        assert!((phi(&[&odd]) - 38.0 / 15.0).abs() < 1e-12, "an impossible zone is left out");
    }

    #[test]
    fn in_time_by_hand() {
        let count = |requests, bad| Some(Count::new(requests, bad));
        assert_eq!(in_time(&[]), [2.0; 5], "no day");
        assert_eq!(in_time(&[None; 1440]), [2.0; 5], "nothing was reported");
        let even = vec![count(1000.0, 10.0); 1440];
        assert_eq!(in_time(&even), [1.0; 5]);
        // Every other minute has all failures: neighbours differ by (20 - 10)^2 x 2 = 200, expected 10.
        let odd: Vec<_> = (0..1440).map(|m| count(1000.0, if m % 2 == 0 { 20.0 } else { 0.0 })).collect();
        let found = in_time(&odd);
        assert!((found[0] - 20.0).abs() < 0.1, "{found:?}");
        assert!(found[2] < 1.5 && found[4] == 1.0, "long stretches are alike: {found:?}");
        // Noon has more than midnight: only long stretches see it.
        let curve: Vec<_> = (0..1440)
            .map(|m| count(1000.0, 10.0 + 3.0 * (std::f64::consts::TAU * f64::from(m) / 1440.0).sin()))
            .collect();
        let found = in_time(&curve);
        assert!(found[..4] == [1.0; 4] && found[4] > 10.0, "{found:?}");
    }

    proptest! {
        #[test]
        fn any_day_has_its_stretches(minutes in proptest::collection::vec(proptest::option::of((0.0f64..1e15, 0.0f64..1e15)), 0..600)) {
            let minutes: Vec<Option<Count>> = minutes.iter().map(|m| m.map(|(n, x)| Count::new(n, x))).collect();
            prop_assert!(in_time(&minutes).iter().all(|phi| *phi >= 1.0));
        }

        #[test]
        fn any_history_has_a_phi(minutes in proptest::collection::vec(proptest::collection::vec((any::<f64>(), any::<f64>()), 0..4), 0..8)) {
            let slices: Vec<&[(f64, f64)]> = minutes.iter().map(Vec::as_slice).collect();
            prop_assert!(phi(&slices) >= 1.0);
        }
    }
}
