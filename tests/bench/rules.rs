//! The rules that judge: peers' as they are documented or coded, and ours. Each takes the minutes of a
//! run and answers with the minute, from 1, in which it sends traffic home.

use migrate::gate::count::{Count, Pair};
use migrate::gate::limit::Limit;
use migrate::gate::trial::{BETTORS, FACTORS, LogEvidence, Margin, Stake, Starts, Trial};

use super::kayenta::{Change, Class, classify};

/// A rule with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Argo Rollouts: a minute with a rate above `above` fails; rolls back when more than `limit` have
    /// failed, ever. Minutes with fewer requests than `guard` succeed.
    Argo { above: f64, limit: u32, guard: f64 },
    /// Flagger as coded: a tick that fails, or has no data, counts for ever; at `threshold` the next tick
    /// rolls back.
    Flagger { threshold: u32 },
    /// Flagger as folklore has it: so many failed minutes in a row, those without data among them.
    Consecutive { threshold: u32 },
    /// The SRE workbook's fast burn: 14.4 times a budget of 0.1 %, over five minutes and over the bake.
    Burn,
    /// Kayenta on rates in per cent every ten minutes, window growing.
    Kayenta,
    /// PipeCD: exact Mann-Whitney of the last five minutes, every five minutes, two-sided at 5 %: a green
    /// that is better than blue goes home as well, which is its default (`either`).
    PipeCd,
    /// A two-sample z-test at 5 %, looked at every minute.
    Peeking,
    /// The mixture sequential probability ratio test of Johari et al.: a normal mixture over the difference
    /// of the two rates, which is exact only for many failures; one declared 1 %.
    Msprt,
    /// Lindon & Malek's multinomial test with k = 100, one declared 1 %.
    LindonMalek,
    /// The e-process without margin, fresh stakes and cap.
    PlainEvidence,
    /// Ours.
    Judge { false_rollback: f64, limit: Option<f64> },
}

/// What a rule must know of the run beside its minutes.
pub struct Plan {
    /// By minute.
    pub stakes: Vec<Stake>,
    pub phi: f64,
}

impl Plan {
    pub fn new(planned: u32, starts: &[u32], phi: f64) -> Plan {
        let starts = Starts::planned(planned, starts);
        Plan { stakes: (0..planned).map(|minute| starts.stake(minute)).collect(), phi }
    }
}

impl Rule {
    pub fn name(&self) -> String {
        let percent = |rate: &f64| format!("{}%", rate * 100.0);
        match self {
            Rule::Argo { above, limit, guard } if *guard > 0.0 => {
                format!("Argo > {}, limit {limit}, from {guard} requests", percent(above))
            }
            Rule::Argo { above, limit, .. } => format!("Argo > {}, limit {limit}", percent(above)),
            Rule::Flagger { threshold } => format!("Flagger > 1%, threshold {threshold}"),
            Rule::Consecutive { threshold } => format!("{threshold} minutes > 1% in a row"),
            Rule::Burn => "SRE burn rate 14.4".to_owned(),
            Rule::Kayenta => "Kayenta every 10 min".to_owned(),
            Rule::PipeCd => "PipeCD every 5 min".to_owned(),
            Rule::Peeking => "z-test p < 5% every minute".to_owned(),
            Rule::Msprt => "mSPRT, normal mixture, 1%".to_owned(),
            Rule::LindonMalek => "Lindon-Malek, 1%".to_owned(),
            Rule::PlainEvidence => "plain e-process, 1%".to_owned(),
            Rule::Judge { false_rollback, limit: None } => format!("**migrate, {}**", percent(false_rollback)),
            Rule::Judge { false_rollback, limit: Some(limit) } => {
                format!("**migrate, {}, hard limit {}**", percent(false_rollback), percent(limit))
            }
        }
    }

    /// The minute, from 1, in which traffic goes home.
    pub fn rolls_back(&self, minutes: &[Pair], plan: &Plan) -> Option<usize> {
        match self {
            Rule::Argo { above, limit, guard } => {
                let failed = |pair: &Pair| pair.green.requests >= guard.max(1.0) && pair.green.rate() > *above;
                nth(minutes, *limit + 1, failed)
            }
            Rule::Flagger { threshold } => {
                let failed = |pair: &Pair| pair.green.requests <= 0.0 || pair.green.rate() > 0.01;
                // The counter is looked at before the next measurement.
                nth(minutes, *threshold, failed).map(|minute| minute + 1).filter(|minute| *minute <= minutes.len())
            }
            Rule::Consecutive { threshold } => {
                let mut row = 0;
                minutes
                    .iter()
                    .position(|pair| {
                        row = if pair.green.requests <= 0.0 || pair.green.rate() > 0.01 { row + 1 } else { 0 };
                        row >= *threshold
                    })
                    .map(|minute| minute + 1)
            }
            Rule::Burn => burn(minutes),
            Rule::Kayenta => kayenta(minutes),
            Rule::PipeCd => pipecd(minutes),
            Rule::Peeking => peeking(minutes),
            Rule::Msprt => msprt(minutes),
            Rule::LindonMalek => lindon_malek(minutes),
            Rule::PlainEvidence => plain_evidence(minutes),
            Rule::Judge { false_rollback, limit } => judge(minutes, plan, *false_rollback, *limit),
        }
    }
}

fn nth(minutes: &[Pair], nth: u32, failed: impl Fn(&Pair) -> bool) -> Option<usize> {
    let mut count = 0;
    let at = minutes.iter().position(|pair| {
        count += u32::from(failed(pair));
        count >= nth
    });
    at.map(|minute| minute + 1)
}

fn sum<'p>(minutes: impl Iterator<Item = &'p Pair>) -> Pair {
    minutes.fold(Pair::default(), |mut sum, pair| {
        sum.green += pair.green;
        sum.blue += pair.blue;
        sum
    })
}

fn burn(minutes: &[Pair]) -> Option<usize> {
    const BURNING: f64 = 14.4 * 0.001;
    let mut bake = Count::default();
    minutes
        .iter()
        .enumerate()
        .position(|(at, pair)| {
            bake += pair.green;
            bake.rate() > BURNING && sum(minutes[at.saturating_sub(4)..=at].iter()).green.rate() > BURNING
        })
        .map(|minute| minute + 1)
}

fn kayenta(minutes: &[Pair]) -> Option<usize> {
    // A minute without requests has no rate.
    let rate = |count: &Count| if count.requests > 0.0 { count.rate() * 100.0 } else { f64::NAN };
    let green: Vec<f64> = minutes.iter().map(|pair| rate(&pair.green)).collect();
    let blue: Vec<f64> = minutes.iter().map(|pair| rate(&pair.blue)).collect();
    (10..=minutes.len())
        .step_by(10)
        .find(|end| classify(&blue[..*end], &green[..*end], Change::Increase) == Class::High)
}

fn pipecd(minutes: &[Pair]) -> Option<usize> {
    (5..=minutes.len()).step_by(5).find(|end| {
        let last = &minutes[*end - 5..*end];
        let rates = |side: fn(&Pair) -> Count| -> Vec<f64> {
            last.iter().map(side).filter(|count| count.requests > 0.0).map(|count| count.rate()).collect()
        };
        let (green, blue) = (rates(|p| p.green), rates(|p| p.blue));
        match (green.is_empty(), blue.is_empty()) {
            (true, true) => false,
            (false, false) => mann_whitney(&green, &blue) <= 0.05,
            _ => true,
        }
    })
}

/// The exact two-sided p-value of Mann-Whitney with ties, by all ways to choose the first sample. 1 where
/// everything is equal.
pub fn mann_whitney(first: &[f64], second: &[f64]) -> f64 {
    let all: Vec<f64> = first.iter().chain(second).copied().collect();
    // Twice the mid-rank, so that all sums are whole.
    let ranks: Vec<u32> = all
        .iter()
        .map(|v| {
            let below = all.iter().filter(|w| *w < v).count() as u32;
            let tied = all.iter().filter(|w| *w == v).count() as u32;
            2 * below + tied + 1
        })
        .collect();
    let observed: u32 = ranks[..first.len()].iter().sum();
    let (mut at_most, mut at_least, mut total) = (0u32, 0u32, 0u32);
    for chosen in 0u32..1 << all.len() {
        if chosen.count_ones() as usize == first.len() {
            let sum: u32 = ranks.iter().enumerate().map(|(i, rank)| if chosen >> i & 1 == 1 { *rank } else { 0 }).sum();
            total += 1;
            at_most += u32::from(sum <= observed);
            at_least += u32::from(sum >= observed);
        }
    }
    (2.0 * f64::from(at_most.min(at_least)) / f64::from(total)).min(1.0)
}

fn peeking(minutes: &[Pair]) -> Option<usize> {
    let mut all = Pair::default();
    minutes
        .iter()
        .position(|pair| {
            all.green += pair.green;
            all.blue += pair.blue;
            let (n, m) = (all.green.requests, all.blue.requests);
            let pooled = (all.green.bad + all.blue.bad) / (n + m).max(1.0);
            let deviation = (pooled * (1.0 - pooled) * (1.0 / n.max(1.0) + 1.0 / m.max(1.0))).sqrt();
            deviation > 0.0 && (all.green.rate() - all.blue.rate()) / deviation > 1.645
        })
        .map(|minute| minute + 1)
}

/// The score is what green has more than its share of the failures; it counts only while that is positive.
fn msprt(minutes: &[Pair]) -> Option<usize> {
    // The variance around which the mixture is tightest: that of a failure at a share of a quarter. A smaller
    // one finds faults sooner, and rolls more healthy ones back.
    const RHO: f64 = 0.2;
    let (mut score, mut variance) = (0.0, 0.0);
    minutes
        .iter()
        .position(|pair| {
            let Some(share) = pair.share() else { return false };
            let together = pair.green.bad + pair.blue.bad;
            score += pair.green.bad - together * share;
            variance += together * share * (1.0 - share);
            let log = 0.5 * (RHO / (variance + RHO)).ln() + score * score / (2.0 * (variance + RHO));
            score > 0.0 && log >= 100f64.ln()
        })
        .map(|minute| minute + 1)
}

/// ln Gamma by Stirling, exact enough above 1.
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    shift + (x - 0.5) * x.ln() - x
        + 0.918_938_533_204_672_8
        + inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0))
}

/// One-sided as the comparison wants it: it counts only while green has more than its share.
fn lindon_malek(minutes: &[Pair]) -> Option<usize> {
    const K: f64 = 100.0;
    let ln_beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let mut all = Pair::default();
    minutes
        .iter()
        .position(|pair| {
            all.green += pair.green;
            all.blue += pair.blue;
            let share = all.green.requests / (all.green.requests + all.blue.requests).max(1.0);
            if share <= 0.0 || share >= 1.0 {
                return false;
            }
            let (x, y) = (all.green.bad, all.blue.bad);
            let odds = ln_beta(K * share + x, K * (1.0 - share) + y)
                - ln_beta(K * share, K * (1.0 - share))
                - x * share.ln()
                - y * (1.0 - share).ln();
            odds >= 100f64.ln() && x > share * (x + y)
        })
        .map(|minute| minute + 1)
}

fn plain_evidence(minutes: &[Pair]) -> Option<usize> {
    let margin = Margin { ratio: 1.0, floor: 0.0 };
    let mut logs = [0.0; BETTORS];
    minutes
        .iter()
        .position(|pair| {
            let Some(bets) = margin.bets(pair, 1.0) else { return false };
            logs.iter_mut().zip(bets).for_each(|(log, bet)| *log += bet);
            logs.iter().map(|log| log.exp()).sum::<f64>() / FACTORS.len() as f64 >= 100.0
        })
        .map(|minute| minute + 1)
}

/// The judge's arithmetic, without its explanations: the same trials and the same rule as
/// `gate::course::Course`, which a test holds against this.
pub fn judge(minutes: &[Pair], plan: &Plan, false_rollback: f64, limit: Option<f64>) -> Option<usize> {
    let mut errors = Trial::default();
    let Some(rate) = limit else {
        let at = minutes.iter().zip(&plan.stakes).position(|(pair, stake)| {
            errors.step(*stake, Margin::ERRORS.bets(pair, plan.phi).as_ref());
            errors.evidence().condemns(false_rollback)
        });
        return at.map(|minute| minute + 1);
    };
    let limit = Limit { rate };
    let (mut green, mut blue) = (Trial::default(), Trial::default());
    let at = minutes.iter().zip(&plan.stakes).position(|(pair, stake)| {
        errors.step(*stake, Margin::ERRORS.bets(pair, plan.phi).as_ref());
        green.step(*stake, limit.bets(&pair.green, plan.phi).as_ref());
        blue.step(*stake, limit.bets(&pair.blue, plan.phi).as_ref());
        let (own, fixed) = (errors.evidence(), green.evidence());
        let small = pair.green.requests > 0.75 * (pair.green.requests + pair.blue.requests);
        let counts = blue.evidence().fast <= 0.0 && (own.slow >= 0.0 || small);
        let both = |own: f64, fixed: f64| (own.exp() * 2.0 + if counts { fixed.exp() } else { 0.0 }).ln() - 3f64.ln();
        LogEvidence { slow: both(own.slow, fixed.slow), fast: both(own.fast, fixed.fast) }.condemns(false_rollback)
    });
    at.map(|minute| minute + 1)
}
