//! May the run go on? Only when what was seen rules out what the next stage could not afford.
//!
//! "No evidence against green" is not "evidence for green": forty clean requests say little. Before a
//! stage the 95 % upper bound of green's rate, `U = chi2_.95(2 bad + 2) / (2 requests)`, must not exceed
//! the rate at which the next stage would cost more failed requests than the user accepts before the
//! judge sends traffic home, nor what blue itself has:
//!
//! ```text
//! U <= max(p_crit, ratio U_blue)      p_crit = B / (60 rps f_next (t_det + L))
//! ```
//!
//! with the accepted failures B, the rate of all requests rps, the next stage's share f_next, the minutes
//! t_det that the judge needs to see p_crit, and CloudWatch's lag L. A clean green needs 3 / p_crit
//! requests.

use serde::{Deserialize, Serialize};

use super::count::{Count, Pair};
use super::distribution::poisson_upper;
use super::outlook::Traffic;
use super::trial::Margin;

/// Failed requests that a user who says nothing accepts in a stage.
pub const ACCEPTED_FAILURES: f64 = 500.0;
/// Minutes until a minute of CloudWatch is final.
pub const LAG_MINUTES: f64 = 2.0;
const CONFIDENCE: f64 = 0.95;
/// Requests that a clean green needs, times the critical rate: -ln(1 - 0.95).
const CLEAN: f64 = 2.995_732_273_553_991;

/// The 95 % upper bound of a rate of bad requests; 1 where nothing was seen.
pub fn upper_bound(count: &Count) -> f64 {
    if count.requests <= 0.0 {
        return 1.0;
    }
    (poisson_upper(count.bad, CONFIDENCE) / count.requests).min(1.0)
}

/// Whether what was seen is enough for the next stage, with the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// Upper bound of green's rate.
    pub bound: f64,
    /// What the bound may be: the critical rate, or what blue itself has.
    pub allowed: f64,
    /// Requests that green must have answered where none of them fails.
    pub clean_requests: f64,
}

impl Exposure {
    /// From what both sides had in the stage, and the rate that the next stage could not afford.
    pub fn of(seen: &Pair, margin: &Margin, critical: f64) -> Exposure {
        let blue = if seen.blue.requests > 0.0 { margin.ratio * upper_bound(&seen.blue) } else { 0.0 };
        Exposure {
            bound: upper_bound(&seen.green),
            allowed: critical.max(blue),
            clean_requests: CLEAN / critical.max(blue).max(f64::MIN_POSITIVE),
        }
    }

    pub fn suffices(&self) -> bool {
        self.bound <= self.allowed
    }
}

/// The highest rate of bad requests with which a stage is expected to cost at most `accepted` failed
/// requests until traffic is home; 1 where even an outage costs less, 0 where nothing does.
///
/// The time that the judge needs depends on the rate, so the rate is searched for, from an outage down.
pub fn critical_rate(accepted: f64, stage: &Traffic) -> f64 {
    // Steps of 2 %, down to a rate of 1e-6.
    const STEPS: i32 = 700;
    let rates = (0..=STEPS).map(|step| (-f64::from(step) * 0.02).exp());
    let affordable = |rate: &f64| {
        let detected = stage.minutes_to_detect(*rate);
        detected.is_some_and(|minutes| stage.green_requests() * rate * (minutes + LAG_MINUTES) <= accepted)
    };
    rates.into_iter().find(affordable).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_by_hand() {
        let bound = |requests, bad| upper_bound(&Count::new(requests, bad));
        assert!((bound(3000.0, 0.0) - CLEAN / 3000.0).abs() < 1e-9);
        assert!((bound(100.0, 10.0) - 0.169_622).abs() < 1e-5);
        assert_eq!(bound(0.0, 0.0), 1.0);
        assert_eq!(bound(2.0, 0.0), 1.0, "a rate is at most 1");
    }

    #[test]
    fn a_clean_green_needs_three_by_the_critical_rate() {
        let pair = |requests| Pair { green: Count::new(requests, 0.0), blue: Count::new(1e6, 0.0) };
        let critical = 0.01;
        let needed = Exposure::of(&pair(10.0), &Margin::ERRORS, critical).clean_requests;
        assert!((needed - 299.6).abs() < 0.1);
        assert!(!Exposure::of(&pair(needed - 1.0), &Margin::ERRORS, critical).suffices());
        assert!(Exposure::of(&pair(needed + 1.0), &Margin::ERRORS, critical).suffices());
    }

    /// A service that fails by itself at 2 % must not hold for ever.
    #[test]
    fn what_blue_has_is_allowed() {
        let seen = Pair { green: Count::new(5e4, 1000.0), blue: Count::new(5e5, 1e4) };
        assert!(Exposure::of(&seen, &Margin::ERRORS, 1e-3).suffices());
        let alone = Pair { blue: Count::default(), ..seen };
        assert!(!Exposure::of(&alone, &Margin::ERRORS, 1e-3).suffices());
    }

    #[test]
    fn the_critical_rate_falls_with_the_traffic() {
        let at = |rps: f64, share| {
            let stage = Traffic { requests_per_minute: rps * 60.0, share, ..Traffic::example() };
            critical_rate(500.0, &stage)
        };
        assert_eq!(at(1.0, 0.05), 1.0, "an outage of 3 requests a minute costs less");
        let rates = [at(10.0, 0.5), at(100.0, 0.5), at(1000.0, 0.1), at(1000.0, 0.5)];
        assert!(rates.windows(2).all(|pair| pair[0] >= pair[1]) && rates[0] < 1.0 && rates[3] > 0.0, "{rates:?}");
    }
}
