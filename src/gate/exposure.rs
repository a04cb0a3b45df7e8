//! May the run go on? Only when what was seen rules out what the next stage could not afford.
//!
//! "No evidence against green" is not "evidence for green": forty clean requests say little. Before a
//! stage the 95 % upper bound of green's rate, `U = chi2_.95(2 bad + 2) / (2 requests)`, must not exceed
//! the rate at which the next stage would cost more failed requests than the user accepts before the
//! judge sends traffic home, or else what counts as healthy beside blue's own bound:
//!
//! ```text
//! U <= max(p_crit, ratio (U_blue + floor))      p_crit = B / (60 rps f_next (t_det + L))
//! ```
//!
//! with the accepted failures B, the rate of all requests rps, the next stage's share f_next, the minutes
//! t_det that the judge needs to see p_crit, and the lag L. A clean green needs 3 / p_crit requests.
//!
//! The floor is that of the test itself: nobody has to show that green is better than healthy. Without it
//! a spotless green beside a spotless blue could never pass where p_crit is out of reach (a last stage of
//! much traffic, in which only the hard limit judges), because both bounds fall together.
//!
//! The plan and the judge ask the same [`Next`], so that what the plan says is needed is what is asked.

use serde::{Deserialize, Serialize};

use super::count::{Count, Pair};
use super::distribution::poisson_upper;
use super::outlook::Traffic;
use super::trial::Margin;

/// Failed requests that a user who says nothing accepts in a stage.
pub const ACCEPTED_FAILURES: f64 = 500.0;
/// Minutes from the end of a bad minute to the verdict on it: two until CloudWatch has it, and one until
/// the next look.
pub const LAG_MINUTES: f64 = 3.0;
const CONFIDENCE: f64 = 0.95;
/// Requests that a clean green needs, times the critical rate: -ln(1 - 0.95).
const CLEAN: f64 = 2.995_732_273_553_991;

/// A stage that may follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Next {
    /// Green's share, 0 to 1.
    pub share: f64,
    /// Failed requests that the user accepts in it until traffic is home.
    pub accepted_failures: f64,
}

/// What a stage takes where no request fails on green.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clean {
    /// Requests that green must have answered.
    pub requests: f64,
    /// Minutes that it takes green to have them.
    pub minutes: f64,
}

/// Whether what was seen is enough for the next stage, with the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// Upper bound of green's rate; above 1 where there were fewer requests than it takes for a bound.
    pub bound: f64,
    /// The rate that the next stage can afford, 0 to 1.
    pub critical: f64,
    /// What counts as healthy beside the upper bound of blue's rate.
    pub healthy: f64,
}

impl Next {
    /// What this stage asks of the one before it, of which `seen` was seen: `before` is how that one is
    /// judged, with the traffic that it has.
    pub fn asks(&self, before: &Traffic, seen: &Pair) -> Exposure {
        Exposure::of(seen, &before.margin, self.critical(before))
    }

    fn critical(&self, before: &Traffic) -> f64 {
        critical_rate(self.accepted_failures, &Traffic { share: self.share, ..*before })
    }

    /// What this stage asks of the one before it, where that one is as expected and green spotless: by the
    /// end of its bake, when the judge asks, or by as much later as it takes. `None` where green has no
    /// requests.
    pub fn asks_of_clean(&self, before: &Traffic, bake_minutes: f64) -> Option<Clean> {
        let critical = self.critical(before);
        let (green, blue) = (before.green_requests(), before.blue_requests());
        if green <= 0.0 {
            return None;
        }
        let asked = |minutes: f64| {
            let seen = Pair {
                green: Count::new(green * minutes, 0.0),
                blue: Count::new(blue * minutes, blue * minutes * before.blue_rate),
            };
            Exposure::of(&seen, &before.margin, critical)
        };
        // What suffices once goes on to suffice, because a clean green's bound falls at least as fast as
        // blue's; and for the floor this is enough, whatever blue does.
        let mut enough = bake_minutes.max(1.01 * CLEAN / (before.margin.ratio * before.margin.floor) / green);
        let mut few = bake_minutes;
        if asked(bake_minutes).suffices() {
            enough = bake_minutes;
        }
        while enough - few > 1e-6 * enough {
            let middle = f64::midpoint(few, enough);
            if asked(middle).suffices() { enough = middle } else { few = middle }
        }
        let requests = asked(enough).clean_requests();
        Some(Clean { requests, minutes: requests / green })
    }
}

impl Exposure {
    /// From what both sides had in the stage, and the rate that the next stage could not afford.
    fn of(seen: &Pair, margin: &Margin, critical: f64) -> Exposure {
        // A blue that answered nothing vouches for nothing.
        let blue = if seen.blue.requests > 0.0 { upper_bound(&seen.blue) } else { 0.0 };
        Exposure { bound: upper_bound(&seen.green), critical, healthy: margin.ratio * (blue + margin.floor) }
    }

    pub fn suffices(&self) -> bool {
        // Where even an outage can be afforded, nothing need be known.
        self.bound.min(1.0) <= self.critical || self.bound <= self.healthy
    }

    /// What green's bound may be, at most 1.
    pub fn allowed(&self) -> f64 {
        self.critical.max(self.healthy).min(1.0)
    }

    /// Requests that green must have answered where none of them fails.
    pub fn clean_requests(&self) -> f64 {
        if self.critical >= 1.0 { 0.0 } else { CLEAN / self.critical.max(self.healthy) }
    }
}

/// The 95 % upper bound of a rate of bad requests; above 1 where too little was seen for a bound.
fn upper_bound(count: &Count) -> f64 {
    if count.requests > 0.0 { poisson_upper(count.bad, CONFIDENCE) / count.requests } else { f64::INFINITY }
}

/// The highest rate of bad requests with which a stage is expected to cost at most `accepted` failed
/// requests until traffic is home; 1 where even an outage costs less, 0 where nothing does, or where no
/// traffic is known.
///
/// The time that the judge needs depends on the rate, so the rate is searched for, from an outage down.
/// Far below it, next to what counts as healthy, is another range that costs more, because the judge takes
/// long there: no bound that a stage could reach would rule it out, and it costs a few more than blue does.
fn critical_rate(accepted: f64, stage: &Traffic) -> f64 {
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
mod tests;
