//! The sequential test: evidence against a healthy green that may be looked at every minute.
//!
//! Healthy (H0) means that green's rate of bad requests is at most `ratio` x (blue's + `floor`). For
//! each of eight factors g a bettor wagers that green is g times worse than that bound. In a minute with
//! share f of the requests, and s = bad of both + `floor` x blue's requests, his stake is multiplied by
//! exp(l),
//!
//! ```text
//! l = [ bad_green ln g - s ( ln(1 + f(ratio g - 1)) - ln(1 + f(ratio - 1)) ) ] / phi
//! ```
//!
//! **Why this is fair.** Under Poisson arrivals the side on which a bad request falls is a coin with the
//! odds of the two rates: given s, green's number is binomial, the intensity that both sides share
//! cancels, and so an outage that hits both does not matter (Lindon & Malek, "Anytime-valid inference
//! for multinomial count data", arXiv 2011.03567). At the bound the expected factor is 1, below it less.
//! Requests that are finite make the number hypergeometric, which is smaller in convex order. The floor
//! enters as bad requests that blue might have had (Jensen). Dividing by phi keeps the factor fair where
//! failures come in clusters of up to phi (Jensen); see [`super::dispersion`].
//!
//! **Why it may be looked at every minute.** A mean of fair games is a fair game, whatever was staked
//! when ([`Starts`]): evidence that starts at 1 and whose expectation never grows exceeds 1/alpha ever,
//! under any rule of stopping, with probability at most alpha (Ville 1939; Ramdas et al., "Game-theoretic
//! statistics and safe anytime-valid inference", arXiv 2210.01948). A cap only lowers it. Hence the
//! promise of the judge: over the whole run, resumes included, alpha + [`FAST_FALSE_ROLLBACK`].
//!
//! It knows no metric and no verdict, and holds no minutes: the counts live in [`super::ledger`].

use serde::{Deserialize, Serialize};

use super::count::Pair;
use super::wealth::Wealth;

/// How many bettors there are, each with the same stake.
pub const BETTORS: usize = 8;
/// Times worse than the bound that each bettor wagers on.
pub const FACTORS: [f64; BETTORS] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];
/// Natural logarithms of [`FACTORS`].
pub const LN_FACTORS: [f64; BETTORS] = [
    0.405_465_108_108_164_4,
    std::f64::consts::LN_2,
    1.098_612_288_668_109_8,
    1.609_437_912_434_100_3,
    std::f64::consts::LN_10,
    3.401_197_381_662_155_5,
    4.605_170_185_988_092,
    6.907_755_278_982_137,
];
/// What one minute may add to the logarithm of the slow evidence: one bad minute is not enough.
pub const CAP: f64 = 3.0;
/// The chance of a false rollback that the uncapped evidence gets.
pub const FAST_FALSE_ROLLBACK: f64 = 1e-6;
/// The slow evidence from which a run does not go on, though it does not roll back.
pub const WARNING: f64 = 10.0;

/// What a healthy green may be worse than blue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// Times blue's rate, at least 1.
    pub ratio: f64,
    /// Rate from 0 to 1 that is added to blue's, so that a spotless blue does not make one failure
    /// infinitely worse.
    pub floor: f64,
}

impl Margin {
    /// For failed requests.
    pub const ERRORS: Margin = Margin { ratio: 1.25, floor: 1e-4 };
    /// For requests that the client got wrong, which depend on who calls.
    pub const CLIENT_ERRORS: Margin = Margin { ratio: 2.0, floor: 1e-4 };

    /// The logarithms of the factors of a minute; `None` where it carries no information. `phi` is at
    /// least 1.
    pub fn bets(&self, minute: &Pair, phi: f64) -> Option<[f64; BETTORS]> {
        let share = minute.share()?;
        let together = minute.green.bad + minute.blue.bad + self.floor * minute.blue.requests;
        let healthy = 1.0 + share * (self.ratio - 1.0);
        let step = share * self.ratio / healthy;
        let mut bets = [0.0; BETTORS];
        for ((bet, factor), ln_factor) in bets.iter_mut().zip(FACTORS).zip(LN_FACTORS) {
            // The difference of the two logarithms, without its cancellation.
            let bracket = (step * (factor - 1.0)).ln_1p();
            *bet = (minute.green.bad * ln_factor - together * bracket) / phi;
        }
        Some(bets)
    }
}

/// When the stakes are laid. Half of them at the stage starts, in equal parts, so that a fault that a
/// stage brings is met by a fresh stake; half over all planned minutes, so that one that begins late
/// (load, a leak) does not first have to use up the good minutes before it.
///
/// The amounts are fixed by the plan before there is any data; the minute in which a stage begins is
/// known when it begins, and that is all that fairness asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    /// At least 1.
    pub planned_minutes: u32,
    /// How many stages the plan has.
    pub stages: u32,
    /// The minutes, from 0, in which stages began, in order; beyond `stages` they get no stake.
    pub begun: Vec<u32>,
}

/// What is staked in one minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stake {
    /// Laid at the beginning of the minute.
    pub laid: f64,
    /// Kept back for later minutes.
    pub kept: f64,
}

impl Starts {
    /// A run of which all is as planned.
    pub fn planned(planned_minutes: u32, stage_starts: &[u32]) -> Starts {
        let stages = u32::try_from(stage_starts.len()).unwrap_or(u32::MAX);
        Starts { planned_minutes, stages, begun: stage_starts.to_vec() }
    }

    /// The stake of a minute, counted from 0. Beyond the planned minutes only a stage that begins late
    /// is still owed one.
    pub fn stake(&self, minute: u32) -> Stake {
        let each_stage = if self.stages == 0 { 0.0 } else { 0.5 / f64::from(self.stages) };
        let planned = self.planned_minutes.max(1);
        let each_minute = 0.5 / f64::from(planned);
        let entitled = &self.begun[..self.begun.len().min(self.stages as usize)];
        let now = count(entitled, |begun| begun == minute);
        let before = count(entitled, |begun| begun < minute);
        let ahead = planned.saturating_sub(minute.saturating_add(1));
        let stages_ahead = if self.stages == 0 { 0.5 } else { f64::from(self.stages - before - now) * each_stage };
        Stake {
            laid: f64::from(now) * each_stage + if minute < planned { each_minute } else { 0.0 },
            kept: stages_ahead + f64::from(ahead) * each_minute,
        }
    }

    /// What is laid in the minute in which a stage begins.
    pub fn at_a_start(&self) -> f64 {
        0.5 / f64::from(self.stages.max(1)) + 0.5 / f64::from(self.planned_minutes.max(1))
    }

    /// Whether the minute is one of the first `minutes` of a stage.
    pub fn early(&self, minute: u32, minutes: u32) -> bool {
        self.begun.iter().any(|begun| (*begun..begun.saturating_add(minutes)).contains(&minute))
    }
}

fn count(begun: &[u32], which: impl Fn(u32) -> bool) -> u32 {
    begun.iter().filter(|b| which(**b)).fold(0, |sum, _| sum + 1)
}

/// Natural logarithms of what speaks against green, 0 before there is data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LogEvidence {
    /// Capped in each minute, for the declared chance of a false rollback.
    pub slow: f64,
    /// Uncapped, for [`FAST_FALSE_ROLLBACK`].
    pub fast: f64,
}

impl LogEvidence {
    /// Whether it condemns green.
    pub fn condemns(&self, false_rollback: f64) -> bool {
        self.slow >= -false_rollback.ln() || self.fast >= -FAST_FALSE_ROLLBACK.ln()
    }
}

/// The evidence of one metric, minute by minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    slow: [Wealth; BETTORS],
    /// Only kept once a minute was capped: until then both are one.
    fast: Option<[Wealth; BETTORS]>,
    kept: f64,
}

impl Default for Trial {
    fn default() -> Trial {
        Trial { slow: [Wealth::NOTHING; BETTORS], fast: None, kept: 1.0 }
    }
}

impl Trial {
    /// Takes the next minute. `bets` are logarithms of factors; `None` for a minute without information.
    pub fn step(&mut self, stake: Stake, bets: Option<&[f64; BETTORS]>) {
        self.kept = stake.kept;
        if self.fast.is_none() && bets.is_some_and(|bets| bets.iter().any(|bet| *bet > CAP)) {
            self.fast = Some(self.slow);
        }
        let capped = self.fast.is_some();
        for (index, slow) in self.slow.iter_mut().enumerate() {
            slow.add(stake.laid);
            let fast = self.fast.as_mut().map(|fast| &mut fast[index]);
            let Some(bet) = bets.map(|bets| bets[index]) else {
                fast.into_iter().for_each(|fast| fast.add(stake.laid));
                continue;
            };
            let factor = Wealth::exp(bet);
            slow.multiply(if capped && bet > CAP { Wealth::exp(CAP) } else { factor });
            if let Some(fast) = fast {
                fast.add(stake.laid);
                fast.multiply(factor);
            }
        }
    }

    pub fn evidence(&self) -> LogEvidence {
        let slow = Wealth::ln_mean_plus(&self.slow, self.kept);
        let fast = self.fast.as_ref().map_or(slow, |fast| Wealth::ln_mean_plus(fast, self.kept));
        LogEvidence { slow, fast }
    }
}

#[cfg(test)]
mod tests;
