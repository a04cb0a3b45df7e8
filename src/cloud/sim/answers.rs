//! What happened in a minute: how many requests a target group had, how many went wrong, how fast it was.
//!
//! Invariant: a pure function of the seed, the minute, the target group, the history of the split and the
//! episodes. Everything is drawn once for the whole minute and then divided, so that parts add up.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rand::{Rng, SeedableRng};
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};
use rand_pcg::Pcg64;

use super::scenario::Scenario;
use super::traffic::Flow;
use super::universe::{Universe, mixed, number_of};

/// Error rate of a green that fails.
pub(super) const GREEN_ERRORS: f64 = 0.08;
const GREEN_SLOWER: f64 = 4.0;
/// How far the noise of a minute reaches from the mean.
const NOISE: f64 = 0.03;
/// Median and logarithmic spread of the time until a response begins.
pub(super) const MEDIAN_SECONDS: f64 = 0.08;
pub(super) const SPREAD: f64 = 0.5;
/// Variance from which a binomial count is drawn as a normal one, which nobody can tell and is quick.
const MANY: f64 = 25.0;

/// Complete minutes that were drawn before, so that watching a bake is not quadratic.
#[derive(Debug, Default)]
pub struct Memo(BTreeMap<(u64, i64), Drawn>);

/// What a group answered in a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Drawn {
    pub requests: f64,
    pub bad: f64,
    /// Those that no target answered: bad ones, where none is there, and others, that took too long.
    pub unserved: f64,
    pub client_errors: f64,
    /// Factor on the latency of each request.
    pub pace: f64,
    /// The same with the noise of the sample, for statistics of the latency.
    pub slowness: f64,
    /// What else is drawn of the minute begins from this.
    seed: u64,
}

/// A part of what a group answered: all of it, or one availability zone's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Part {
    pub requests: f64,
    pub bad: f64,
    pub unserved: f64,
    pub client_errors: f64,
    /// Slower than each of the bounds, of those that a target answered.
    pub slow: [f64; 2],
}

/// How requests are answered.
#[derive(Debug, Clone, Copy)]
struct Answer {
    /// Rate of the errors with which targets answer.
    errors: f64,
    /// Rate of the requests that no target takes.
    refused: f64,
    /// Factor on the latency.
    pace: f64,
}

impl Universe {
    pub(super) fn drawn(&self, arn: &str, name: &str, minute: DateTime<Utc>, complete: bool, memo: &mut Memo) -> Drawn {
        let key = (number_of(name), minute.timestamp() / 60);
        if let Some(known) = memo.0.get(&key) {
            return *known;
        }
        let drawn = self.draw(arn, name, minute, key);
        // The history of a minute that is over does not change any more.
        if complete {
            memo.0.insert(key, drawn);
        }
        drawn
    }

    fn draw(&self, arn: &str, name: &str, minute: DateTime<Utc>, key: (u64, i64)) -> Drawn {
        let number = key.1.unsigned_abs();
        let noise = 1.0 + NOISE * (2.0 * fraction(mixed(&[self.seed, number, 0xe0])) - 1.0);
        let mood = self.traffic.mood(minute, self.is_green_flow(arn, name));
        let level = self.traffic.level(minute) * noise * mood.requests;
        let (mut expected, mut failing, mut refused, mut busy) = (0.0, 0.0, 0.0, 0.0);
        for (part, flow) in self.traffic.flows_in(name, minute).filter(|(_, flow)| flow.registered > 0) {
            let answer = self.answers(arn, flow, level);
            let requests = level * part * flow.share;
            expected += requests;
            failing += requests * (answer.errors + answer.refused + mood.errors).min(1.0);
            refused += requests * answer.refused;
            busy += requests * answer.pace * mood.slowness;
        }
        if expected <= 0.0 {
            return Drawn::default();
        }
        let seed = mixed(&[self.seed, number, key.0]);
        let mut rng = Pcg64::seed_from_u64(seed);
        let requests = Poisson::new(expected).map_or(0.0, |d| d.sample(&mut rng));
        let at_once = f64::from(self.knobs.failure_cluster.max(1));
        let bad = (at_once * binomial(requests, failing / expected / at_once, &mut rng)).min(requests);
        let jitter: f64 = StandardNormal.sample(&mut rng);
        let pace = busy / expected;
        let slowness = pace * (0.5 * jitter / requests.max(1.0).sqrt()).exp();
        let client_errors = binomial(requests - bad, self.traffic.client_errors, &mut rng);
        let part_refused = if failing > 0.0 { refused / failing } else { 0.0 };
        let unserved = binomial(bad, part_refused, &mut rng) + binomial(requests - bad, mood.lost, &mut rng);
        Drawn { requests, bad, unserved, client_errors, pace, slowness, seed }
    }

    /// How a group answers under a flow.
    fn answers(&self, arn: &str, flow: Flow, level: f64) -> Answer {
        if flow.healthy == 0 {
            // The load balancer fails open, and nobody answers.
            return Answer { errors: 0.0, refused: 1.0, pace: 10.0 };
        }
        let well = Answer { errors: self.traffic.base_errors, refused: 0.0, pace: 1.0 };
        if self.blue.target_groups.iter().any(|blue| blue == arn) {
            let load = level * flow.share / (self.traffic.task_capacity * f64::from(flow.healthy));
            let refused = (1.0 - 1.0 / load.max(1.0)).max(0.0);
            return Answer { refused, pace: load.max(1.0), ..well };
        }
        match self.scenario {
            Scenario::GreenErrors if self.is_green(arn) => Answer { errors: GREEN_ERRORS, ..well },
            Scenario::GreenSlow if self.is_green(arn) => Answer { pace: GREEN_SLOWER, ..well },
            _ => well,
        }
    }
}

impl Drawn {
    /// All of it, with what was slower than these bounds in seconds.
    pub fn whole(&self, bounds: Option<[f64; 2]>) -> Part {
        let slow = bounds.map_or([0.0; 2], |bounds| self.slower(bounds));
        let Drawn { requests, bad, unserved, client_errors, .. } = *self;
        Part { requests, bad, unserved, client_errors, slow }
    }

    fn samples(&self) -> f64 {
        self.requests - self.unserved
    }

    /// How many of the answers took longer than each bound; fewer took longer than the longer one.
    fn slower(&self, bounds: [f64; 2]) -> [f64; 2] {
        let mut rng = Pcg64::seed_from_u64(mixed(&[self.seed, bounds[0].to_bits(), bounds[1].to_bits()]));
        let (near, far) = if bounds[0] <= bounds[1] { (0, 1) } else { (1, 0) };
        let rate = |bound: usize| beyond(bounds[bound], self.pace);
        let mut slow = [0.0; 2];
        slow[near] = binomial(self.samples(), rate(near), &mut rng);
        let nested = if rate(near) > 0.0 { rate(far) / rate(near) } else { 0.0 };
        slow[far] = binomial(slow[near], nested, &mut rng);
        slow
    }

    /// Divides it among so many availability zones, which serve the same traffic. Failures that come at
    /// once come in one zone.
    pub fn zones(&self, count: usize, bounds: [f64; 2], at_once: u32) -> Vec<Part> {
        let whole = self.whole(Some(bounds));
        let mut rng = Pcg64::seed_from_u64(mixed(&[self.seed, 0x20e]));
        let even = vec![1.0; count];
        let requests = divided(whole.requests, &even, &vec![f64::INFINITY; count], 1.0, &mut rng);
        let of_requests =
            |total: f64, at_once: f64, rng: &mut Pcg64| divided(total, &requests, &requests, at_once, rng);
        let bad = of_requests(whole.bad, f64::from(at_once.max(1)), &mut rng);
        let well: Vec<f64> = requests.iter().zip(&bad).map(|(requests, bad)| requests - bad).collect();
        let client_errors = divided(whole.client_errors, &well, &well, 1.0, &mut rng);
        let (near, far) = if whole.slow[0] >= whole.slow[1] { (0, 1) } else { (1, 0) };
        // Those beyond the longer bound first, and then the others: each among the requests that are left.
        let unserved = of_requests(whole.unserved, 1.0, &mut rng);
        let samples: Vec<f64> = requests.iter().zip(&unserved).map(|(requests, lost)| requests - lost).collect();
        let slowest = divided(whole.slow[far], &samples, &samples, 1.0, &mut rng);
        let left: Vec<f64> = samples.iter().zip(&slowest).map(|(samples, slow)| samples - slow).collect();
        let others = divided(whole.slow[near] - whole.slow[far], &left, &left, 1.0, &mut rng);
        let mut slow = [Vec::new(), Vec::new()];
        slow[near] = others.iter().zip(&slowest).map(|(other, slowest)| other + slowest).collect();
        slow[far] = slowest;
        let zone = |at: usize| Part {
            requests: requests[at],
            bad: bad[at],
            unserved: unserved[at],
            client_errors: client_errors[at],
            slow: [slow[0][at], slow[1][at]],
        };
        (0..count).map(zone).collect()
    }
}

/// Divides a total by chance, in proportion to these weights and no part above its most, `at_once` at a
/// time. The parts add up to the total where the most of all allow it.
fn divided(total: f64, weights: &[f64], most: &[f64], at_once: f64, rng: &mut impl Rng) -> Vec<f64> {
    let (mut left, mut weight) = (total, weights.iter().sum::<f64>());
    let mut parts = Vec::with_capacity(weights.len());
    for (at, (own, most_here)) in weights.iter().zip(most).enumerate() {
        let elsewhere: f64 = most[at + 1..].iter().sum();
        let drawn = if weight > 0.0 { at_once * binomial((left / at_once).floor(), own / weight, rng) } else { 0.0 };
        let part = drawn.max(left - elsewhere).min(*most_here).min(left);
        parts.push(part);
        left -= part;
        weight -= own;
    }
    parts
}

/// How many of so many happen, each with this chance.
pub(super) fn binomial(of: f64, chance: f64, rng: &mut impl Rng) -> f64 {
    let chance = if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.0 };
    if of < 1.0 || chance <= 0.0 {
        return 0.0;
    }
    let variance = of * chance * (1.0 - chance);
    if variance > MANY {
        let noise: f64 = StandardNormal.sample(rng);
        return (of * chance + noise * variance.sqrt()).round().clamp(0.0, of);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole, positive count")]
    let of = of as u64;
    let count = Binomial::new(of, chance).map_or(0, |d| d.sample(rng));
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The part of the requests that take longer than this, in seconds: the tail of the log-normal latency.
pub(super) fn beyond(seconds: f64, pace: f64) -> f64 {
    if seconds <= 0.0 || pace <= 0.0 {
        return if seconds < 0.0 { 1.0 } else { 0.0 };
    }
    normal_tail((seconds / (MEDIAN_SECONDS * pace)).ln() / SPREAD)
}

/// The chance that a standard normal number is above this, to seven digits (Abramowitz and Stegun 26.2.17).
fn normal_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let terms = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = terms.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    let tail = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * sum;
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// A number from 0 to 1 from mixed bits.
pub(super) fn fraction(bits: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let upper = (bits >> 11) as f64;
    upper / 9_007_199_254_740_992.0
}
