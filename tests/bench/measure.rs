//! Many runs of a scenario under many rules, the same minutes for each rule.

use migrate::gate::count::Pair;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::rules::{Plan, Rule};
use super::traffic::{Generator, Scenario};

/// Where phi comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phi {
    Fixed(f64),
    /// From a day of blue; so many runs share one day.
    Estimated {
        shared_by: u32,
    },
}

/// How a rule did.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    /// Part of the runs that went home at or after the onset; for a healthy green all of them are false.
    pub found: f64,
    /// Part that went home before the onset.
    pub early: f64,
    /// Minutes from the onset, over all runs; one that did not go home counts as the whole rest.
    pub mean_minutes: f64,
    /// Of those that went home.
    pub median_minutes: Option<f64>,
    /// Requests that failed on green from the onset until home, or until the end.
    pub failed: f64,
}

#[derive(Default)]
struct Sums {
    delays: Vec<u32>,
    early: u32,
    minutes: f64,
    failed: f64,
}

pub fn measure(scenario: &Scenario, rules: &[Rule], phi: Phi, runs: u32, seed: u64) -> Vec<Measure> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let generator = Generator::new(scenario);
    let (horizon, onset) = (scenario.minutes(), scenario.onset as usize);
    let mut plan = Plan::new(horizon, &scenario.starts(), 1.0);
    let mut sums: Vec<Sums> = rules.iter().map(|_| Sums::default()).collect();
    let mut minutes: Vec<Pair> = Vec::with_capacity(horizon as usize);
    for run in 0..runs {
        match phi {
            Phi::Fixed(phi) => plan.phi = phi,
            Phi::Estimated { shared_by } if run % shared_by == 0 => plan.phi = generator.phi(&mut rng),
            Phi::Estimated { .. } => {}
        }
        generator.run(&mut minutes, &mut rng);
        for (rule, sums) in rules.iter().zip(&mut sums) {
            let home = rule.rolls_back(&minutes, &plan);
            let end = home.unwrap_or(minutes.len()).max(onset);
            match home {
                Some(minute) if minute <= onset => sums.early += 1,
                Some(minute) => sums.delays.push((minute - onset) as u32),
                None => {}
            }
            sums.minutes += (end - onset) as f64;
            sums.failed += minutes[onset..end].iter().map(|pair| pair.green.bad).sum::<f64>();
        }
    }
    sums.into_iter().map(|sums| of(sums, runs)).collect()
}

fn of(mut sums: Sums, runs: u32) -> Measure {
    let all = f64::from(runs);
    sums.delays.sort_unstable();
    // Six digits are more than any simulation knows.
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    Measure {
        found: sums.delays.len() as f64 / all,
        early: f64::from(sums.early) / all,
        mean_minutes: rounded(sums.minutes / all),
        median_minutes: sums.delays.get(sums.delays.len() / 2).map(|minutes| f64::from(*minutes)),
        failed: rounded(sums.failed / all),
    }
}

/// Does the work on two threads, in whatever order; the results are in the order of the work.
pub fn on_two_threads<W: Sync, R: Send>(work: &[W], each: impl Fn(usize, &W) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(item) = work.get(index) else { break };
                    let result = each(index, item);
                    results.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

pub fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value.max(1e-9).ln(), count + 1.0));
    (sum / count).exp()
}
