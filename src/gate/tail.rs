//! Latency by the count of slow requests, and by the sign of the minutes where no count is to be had.
//!
//! Percentiles of two sides are not compared: CloudWatch cannot merge them, and their spread depends on
//! the load. Instead a bound L is fixed from blue's previous day, its 95th and 99th percentile, and the
//! statistic `TC(L:)` counts the requests that took longer (the lower bound is exclusive, the number is
//! interpolated and may be a fraction). Slow requests of all requests are then judged as failures are,
//! by [`super::trial`], with a floor of half the rate that L lets through by its choice.
//!
//! Where counts are not available, each minute in which both sides have enough samples for their
//! percentile votes once. Under H0 green is beyond the bound in at most half of the minutes, and the
//! uniform mixture over all worse coins is fair (Ville's own example; Robbins 1970):
//!
//! ```text
//! E = 2^(n+1) int_{1/2}^1 q^W (1 - q)^(n - W) dq = sum_{i <= W} C(n+1, i) / ((n + 1) C(n, W))
//! ```
//!
//! for W of n minutes; it takes at least nine minutes to reach 100.

use serde::{Deserialize, Serialize};

use super::trial::Margin;

/// Minutes behind a change of weights that say nothing about latency: caches and connections are cold.
pub const COLD_MINUTES: u32 = 2;
/// Times blue's percentile from which a minute speaks against green.
pub const SIGN_RATIO: f64 = 1.1;
/// Samples beyond the percentile that both sides need for it to mean anything (CloudWatch's own rule for
/// its alarms on percentiles is 10 / (1 - q) samples).
const BEYOND_MIN: f64 = 10.0;

/// Which percentile of blue's previous day is the bound of what counts as slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slowness {
    /// Finds a shift of everything.
    P95,
    /// Finds a tail that grows.
    P99,
}

impl Slowness {
    pub const ALL: [Slowness; 2] = [Slowness::P95, Slowness::P99];

    /// The CloudWatch statistic that gives the bound.
    pub fn statistic(self) -> &'static str {
        match self {
            Slowness::P95 => "p95",
            Slowness::P99 => "p99",
        }
    }

    /// The percentile that a CloudWatch statistic is, where it is one of these.
    pub fn of(statistic: &str) -> Option<Slowness> {
        Slowness::ALL.into_iter().find(|slowness| slowness.statistic() == statistic)
    }

    /// The part of blue's requests that is slower than the bound by its meaning, from 0 to 1.
    pub fn beyond(self) -> f64 {
        match self {
            Slowness::P95 => 0.05,
            Slowness::P99 => 0.01,
        }
    }

    pub fn margin(self) -> Margin {
        let floor = match self {
            Slowness::P95 => 2.5e-3,
            Slowness::P99 => 5e-4,
        };
        Margin { ratio: Margin::ERRORS.ratio, floor }
    }

    /// Where the bound is a multiple of blue's percentile: green's own percentile is within it as long as
    /// no more requests are beyond than that percentile leaves, and where blue's are beyond too, more.
    pub fn margin_of_multiple(self) -> Margin {
        let ratio = Margin::ERRORS.ratio;
        Margin { ratio, floor: self.beyond() / ratio }
    }
}

/// The CloudWatch statistic that counts samples above a bound in seconds.
pub fn count_above(bound: f64) -> String {
    format!("TC({bound}:)")
}

/// Whether a side's samples of a minute are enough for its percentile, from 0 to 1.
pub fn enough_for(percentile: f64, samples: f64) -> bool {
    samples * (1.0 - percentile) >= BEYOND_MIN
}

/// The evidence of minutes that each vote once.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SignTest {
    minutes: u32,
    /// Minutes that speak against green.
    against: u32,
    /// ln C(minutes, against).
    ln_choose: f64,
}

impl SignTest {
    pub fn take(&mut self, against: bool) {
        self.minutes += 1;
        if against {
            self.against += 1;
        }
        let same = if against { self.against } else { self.minutes - self.against };
        self.ln_choose += (f64::from(self.minutes) / f64::from(same)).ln();
    }

    pub fn minutes(&self) -> u32 {
        self.minutes
    }

    pub fn against(&self) -> u32 {
        self.against
    }

    /// The natural logarithm of E.
    pub fn ln_evidence(&self) -> f64 {
        let (n, w) = (f64::from(self.minutes), f64::from(self.against));
        // sum_{i <= W} C(n+1, i) / C(n, W), or what is missing to 2^(n+1): the side whose terms fall.
        let below = 2.0 * w < n;
        let (mut term, mut at) = if below { ((n + 1.0) / (n + 1.0 - w), w) } else { ((n + 1.0) / (w + 1.0), w + 1.0) };
        let mut sum = 0.0;
        while term > sum * 1e-18 {
            sum += term;
            let falls = if below { at / (n + 2.0 - at) } else { (n + 1.0 - at) / (at + 1.0) };
            at += if below { -1.0 } else { 1.0 };
            term *= falls;
        }
        let scale = -(n + 1.0).ln();
        if below {
            return sum.ln() + scale;
        }
        let all = (n + 1.0) * std::f64::consts::LN_2 - self.ln_choose;
        all + (-(sum.ln() - all).exp()).ln_1p() + scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ln_evidence(minutes: u32, against: u32) -> f64 {
        let mut test = SignTest::default();
        for minute in 0..minutes {
            test.take(minute < against);
        }
        test.ln_evidence()
    }

    /// The integral by Simpson's rule.
    fn by_integral(minutes: u32, against: u32) -> f64 {
        let f = |q: f64| q.powi(against as i32) * (1.0 - q).powi((minutes - against) as i32);
        let steps = 20_000;
        let h = 0.5 / f64::from(steps);
        let sum: f64 = (0..=steps)
            .map(|i| {
                let weight = if i == 0 || i == steps { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
                weight * f(0.5 + f64::from(i) * h)
            })
            .sum();
        f64::from(minutes + 1).mul_add(2f64.ln(), (sum * h / 3.0).ln())
    }

    #[test]
    fn by_hand_and_by_integral() {
        assert_eq!(ln_evidence(0, 0), 0.0);
        assert!((ln_evidence(1, 1) - 1.5f64.ln()).abs() < 1e-12, "4 x 3/8");
        assert!((ln_evidence(1, 0) - 0.5f64.ln()).abs() < 1e-12, "4 x 1/8");
        assert!((ln_evidence(9, 9) - 102.3f64.ln()).abs() < 1e-12);
        for (minutes, against) in [(8, 8), (20, 3), (20, 10), (20, 11), (21, 10), (60, 45), (60, 0)] {
            let (closed, integral) = (ln_evidence(minutes, against), by_integral(minutes, against));
            assert!((closed - integral).abs() < 1e-9, "{against} of {minutes}: {closed} {integral}");
        }
    }

    #[test]
    fn nine_minutes_at_least() {
        let needed = 100f64.ln();
        assert!(ln_evidence(8, 8) < needed && ln_evidence(9, 9) >= needed);
        assert!(ln_evidence(1440, 1440) > 900.0 && ln_evidence(1440, 0) < -7.0);
    }

    /// Over both outcomes of a fair coin the expectation stays as it was.
    #[test]
    fn the_vote_is_fair() {
        for minutes in 0..40 {
            for against in 0..=minutes {
                let now = ln_evidence(minutes, against).exp();
                let next = [against, against + 1].map(|w| ln_evidence(minutes + 1, w).exp());
                assert!(((next[0] + next[1]) / 2.0 / now - 1.0).abs() < 1e-9, "{against} of {minutes}");
            }
        }
    }

    #[test]
    fn percentiles_need_samples() {
        assert!(enough_for(0.99, 1000.0) && !enough_for(0.99, 900.0) && enough_for(0.95, 201.0));
        assert_eq!(count_above(0.25), "TC(0.25:)");
    }
}
