//! Latency: log-normal answers, a minute's noise of 20 % that both sides share, green slower as a whole or
//! in its tail.

use migrate::gate::count::{Count, Pair};
use migrate::gate::tail::{SIGN_RATIO, SignTest, Slowness};
use migrate::gate::trial::{Starts, Trial};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::measure::on_two_threads;
use super::traffic::Poisson;

/// Standard deviation of the logarithm of an answer's time; its median is 1.
const SPREAD: f64 = 0.5;
const NOISE: f64 = 0.2;
/// Normal quantiles of 0.95 and 0.99.
const Z: [f64; 2] = [1.644_853_626_951_472_2, 2.326_347_874_040_841];
const MINUTES: usize = 60;
pub const RULES: [&str; 4] = [
    "migrate: slower than blue's p95",
    "migrate: slower than blue's p99",
    "migrate: sign test of p99",
    "p99 > 1.5 x blue, five checks",
];

/// How green answers.
#[derive(Debug, Clone, Copy)]
struct Green {
    name: &'static str,
    rps: f64,
    share: f64,
    /// Part of the answers that are slower, and by what factor.
    slow: (f64, f64),
}

const CASES: [Green; 6] = [
    Green { name: "10 rps, 10%: healthy", rps: 10.0, share: 0.1, slow: (0.0, 1.0) },
    Green { name: "100 rps, 5%: healthy", rps: 100.0, share: 0.05, slow: (0.0, 1.0) },
    Green { name: "10 rps, 10%: all 1.5 times slower", rps: 10.0, share: 0.1, slow: (1.0, 1.5) },
    Green { name: "100 rps, 5%: all 1.5 times slower", rps: 100.0, share: 0.05, slow: (1.0, 1.5) },
    Green { name: "10 rps, 10%: 2% are 5 times slower", rps: 10.0, share: 0.1, slow: (0.02, 5.0) },
    Green { name: "100 rps, 5%: 2% are 5 times slower", rps: 100.0, share: 0.05, slow: (0.02, 5.0) },
];

#[derive(Debug, Serialize)]
pub struct Latency {
    pub name: &'static str,
    pub healthy: bool,
    /// Part of the runs that went home and median minute, in the order of [`RULES`].
    pub rules: Vec<(f64, Option<u32>)>,
}

pub fn measure(runs: u32, seed: u64) -> Vec<Latency> {
    on_two_threads(&CASES, |index, green| {
        let mut rng = Pcg64Mcg::seed_from_u64(seed + index as u64);
        let mut homes: [Vec<u32>; 4] = Default::default();
        for _ in 0..runs {
            for (home, minute) in homes.iter_mut().zip(run(green, &mut rng)) {
                home.extend(minute);
            }
        }
        let rules = homes.iter_mut().map(|home| {
            home.sort_unstable();
            (home.len() as f64 / f64::from(runs), home.get(home.len() / 2).copied())
        });
        Latency { name: green.name, healthy: green.slow.0 == 0.0, rules: rules.collect() }
    })
}

/// One side's minute: how many are slower than each bound, of how many, and the 99th percentile.
fn side(requests: f64, noise: f64, slow: (f64, f64), answers: &mut Vec<f64>, rng: &mut Pcg64Mcg) -> ([f64; 2], f64) {
    answers.clear();
    for _ in 0..requests as u32 {
        let normal: f64 = StandardNormal.sample(rng);
        let factor = if slow.0 > 0.0 && rng.random::<f64>() < slow.0 { slow.1.ln() } else { 0.0 };
        answers.push(SPREAD * normal + noise + factor);
    }
    let above = Z.map(|z| answers.iter().filter(|answer| **answer > SPREAD * z).count() as f64);
    if answers.is_empty() {
        return (above, f64::NAN);
    }
    let at = ((answers.len() as f64 * 0.99) as usize).min(answers.len() - 1);
    let (_, percentile, _) = answers.select_nth_unstable_by(at, f64::total_cmp);
    (above, percentile.exp())
}

/// The minutes, from 1, in which each rule goes home.
fn run(green: &Green, rng: &mut Pcg64Mcg) -> [Option<u32>; 4] {
    let all = green.rps * 60.0;
    let requests = [Poisson::new(all * green.share), Poisson::new(all * (1.0 - green.share))];
    let starts = Starts::planned(MINUTES as u32, &[0]);
    let mut trials = [Trial::default(), Trial::default()];
    let mut sign = SignTest::default();
    let mut checks = 0;
    let mut homes = [None; 4];
    let mut answers = Vec::new();
    for minute in 0..MINUTES as u32 {
        let normal: f64 = StandardNormal.sample(rng);
        let noise = NOISE * normal;
        let (n, m) = (requests[0].draw(rng), requests[1].draw(rng));
        let (green_above, green_p99) = side(n, noise, green.slow, &mut answers, rng);
        let (blue_above, blue_p99) = side(m, noise, (0.0, 1.0), &mut answers, rng);
        for (index, slowness) in Slowness::ALL.into_iter().enumerate() {
            let pair = Pair { green: Count::new(n, green_above[index]), blue: Count::new(m, blue_above[index]) };
            trials[index].step(starts.stake(minute), slowness.margin().bets(&pair, 1.0).as_ref());
        }
        if green_p99.is_finite() && blue_p99.is_finite() {
            sign.take(green_p99 > SIGN_RATIO * blue_p99);
            checks += u32::from(green_p99 > 1.5 * blue_p99);
        }
        let condemned = [
            trials[0].evidence().condemns(0.01),
            trials[1].evidence().condemns(0.01),
            sign.ln_evidence() >= 100f64.ln(),
            checks >= 5,
        ];
        for (home, condemned) in homes.iter_mut().zip(condemned) {
            if condemned && home.is_none() {
                *home = Some(minute + 1);
            }
        }
    }
    homes
}

#[test]
fn latency_is_found_and_a_healthy_one_left_alone() {
    let measured = measure(20, 5);
    for case in &measured {
        let [p95, p99, sign, _] = case.rules[..] else { panic!("four rules") };
        if case.healthy {
            assert_eq!((p95.0, p99.0, sign.0), (0.0, 0.0, 0.0), "{case:?}");
        } else {
            // At ten requests a second, a longer tail takes longer than the hour in a run out of four.
            assert!(p95.0 == 1.0 || p99.0 > 0.4, "{case:?}");
        }
    }
}
