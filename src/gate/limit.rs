//! The hard limit: green against a fixed rate of its own, where blue says too little.
//!
//! The same bets as in [`super::trial`], against H0 "green's rate is at most `rate`":
//! `l = [ bad ln g - requests rate (g - 1) ] / phi`, which is fair for Poisson and for binomial counts
//! because 1 + p(g - 1) <= exp(p(g - 1)). It needs no blue, so it is what judges where green has nearly
//! all traffic, and where blue's own rate is far below what a user would call a fault.
//!
//! A breach that blue shares is no reason to go home, because home is as bad: the combination counts
//! this channel only while blue does not speak for green ([`super::course`]).

use serde::{Deserialize, Serialize};

use super::count::Count;
use super::trial::{BETTORS, FACTORS, LN_FACTORS};

/// A limit that the user did not set is this many times blue's rate of the day before ...
const HISTORY_FACTOR: f64 = 5.0;
/// ... and at least this.
const LIMIT_MIN: f64 = 0.005;
/// The least limit of what a load balancer answers itself, of the requests of both sides.
const UNSERVED_MIN: f64 = 0.002;
/// A limit that is nearer to blue's own rate than this would condemn an ordinary day.
const ROOM: f64 = 2.0;

/// A rate of bad requests that green must not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// From 0 (exclusive) to 1.
    pub rate: f64,
}

impl Limit {
    /// The limit where the user sets none: from blue's rate over the last 24 hours.
    pub fn from_history(blue_rate: f64) -> Limit {
        Limit { rate: (HISTORY_FACTOR * blue_rate).clamp(LIMIT_MIN, 1.0) }
    }

    /// The limit of what the load balancer answers itself, of all requests of both sides: a green that
    /// answers nothing shows there at a share of a few thousandths.
    pub fn of_unserved(blue_rate: f64) -> Limit {
        Limit { rate: (HISTORY_FACTOR * blue_rate).clamp(UNSERVED_MIN, 1.0) }
    }

    /// Whether the limit leaves blue's ordinary days alone; a plan with another is refused.
    pub fn leaves_room(&self, blue_rate: f64) -> bool {
        self.rate >= ROOM * blue_rate
    }

    /// The logarithms of the factors of a minute; `None` where green answered nothing.
    pub fn bets(&self, green: &Count, phi: f64) -> Option<[f64; BETTORS]> {
        if green.requests <= 0.0 {
            return None;
        }
        let mut bets = [0.0; BETTORS];
        for ((bet, factor), ln_factor) in bets.iter_mut().zip(FACTORS).zip(LN_FACTORS) {
            *bet = (green.bad * ln_factor - green.requests * self.rate * (factor - 1.0)) / phi;
        }
        Some(bets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_by_table() {
        for (history, limit) in [(0.0, 0.005), (0.0005, 0.005), (0.002, 0.01), (0.3, 1.0)] {
            let found = Limit::from_history(history);
            assert!((found.rate - limit).abs() < 1e-12, "{history}");
            assert!(found.leaves_room(history));
        }
        assert!(!Limit { rate: 0.01 }.leaves_room(0.006));
    }

    #[test]
    fn bets_by_hand() {
        let limit = Limit { rate: 0.01 };
        let bets = limit.bets(&Count::new(200.0, 3.0), 1.0).unwrap();
        assert!((bets[1] - (3.0 * 2f64.ln() - 2.0)).abs() < 1e-12);
        assert!((bets[4] - (3.0 * 10f64.ln() - 18.0)).abs() < 1e-12);
        let halved = limit.bets(&Count::new(200.0, 3.0), 2.0).unwrap();
        assert!((halved[4] * 2.0 - bets[4]).abs() < 1e-12);
        assert_eq!(limit.bets(&Count::default(), 1.0), None);
    }

    /// At the limit the expected factor of a binomial count is at most 1.
    #[test]
    fn the_bets_are_fair() {
        for (n, rate) in [(1.0, 0.5), (50.0, 0.01), (20.0, 1.0)] {
            let limit = Limit { rate };
            let mut pmf = (1.0 - rate).powf(n);
            let mut means = [0.0; BETTORS];
            if rate == 1.0 {
                means = limit.bets(&Count::new(n, n), 1.0).unwrap().map(f64::exp);
            } else {
                let mut x = 0.0;
                while x <= n {
                    let bets = limit.bets(&Count::new(n, x), 1.0).unwrap();
                    means.iter_mut().zip(bets).for_each(|(mean, bet)| *mean += pmf * bet.exp());
                    pmf *= (n - x) / (x + 1.0) * rate / (1.0 - rate);
                    x += 1.0;
                }
            }
            assert!(means.iter().all(|mean| *mean <= 1.0 + 1e-9), "{n} {rate}: {means:?}");
        }
    }
}
