//! Where all traffic moves at once, green is compared with blue in the minutes before: what then does not
//! cancel any more.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use migrate::gate::Baseline;
use migrate::gate::course::Course;
use migrate::gate::ledger::Ledger;
use migrate::gate::protocol::{Begun, Observed, Protocol};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::estate::{Estate, at};
use super::measure::on_two_threads;
use super::promise::{DECLARED, RPS};
use super::traffic::Clusters;
use super::whole::protocol;

/// Minutes that green is watched.
pub const BAKES: [u32; 3] = [15, 60, 240];
/// How the day goes: traffic and rates of errors rise and fall by these parts; shape of the minutes' noise.
pub const DAYS: [(&str, [f64; 2], Option<f64>); 5] = [
    ("even", [0.0, 0.0], None),
    ("traffic +-30%", [0.3, 0.0], None),
    ("traffic and errors +-30%", [0.3, 0.3], None),
    ("gamma noise by minute", [0.0, 0.0], Some(2.0)),
    ("all of it", [0.3, 0.3], Some(2.0)),
];
const ZONES: &[f64] = &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];

/// Times blue's rate of errors on a bad green.
const WORSE: f64 = 10.0;

/// A green that is compared with the past.
#[derive(Debug, Serialize)]
pub struct Case {
    pub day: &'static str,
    pub bake: u32,
    pub rps: f64,
    pub runs: u32,
    /// Of a healthy green, in the order of [`DECLARED`].
    pub false_rollbacks: [f64; 3],
    /// Part of the bad ones that went home at a declared 1 %, one for each day of blue.
    pub found: f64,
    /// The median minute in which they did.
    pub minute: Option<usize>,
}

pub fn measure(runs: u32, shared_by: u32, seed: u64) -> Vec<Case> {
    let mut work = Vec::new();
    for day in DAYS {
        work.extend(BAKES.iter().flat_map(|bake| RPS.map(|rps| (day, *bake, rps))));
    }
    on_two_threads(&work, |index, ((name, daily, noise), bake, rps)| {
        let estate = estate(*rps, *daily, *noise);
        case(name, &estate, *bake, runs, shared_by, seed + index as u64)
    })
}

pub fn estate(rps: f64, daily: [f64; 2], noise: Option<f64>) -> Estate {
    let (clusters, own_clusters) = (Clusters::Alone, Clusters::Alone);
    Estate { rps, zones: ZONES, clusters, own_clusters, noise, at_the_bound: false, worse: 1.0, daily }
}

pub fn case(day: &'static str, healthy: &Estate, bake: u32, runs: u32, shared_by: u32, seed: u64) -> Case {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let bad = Estate { worse: WORSE, ..*healthy };
    let (mut home, mut found, mut left) = ([0_u32; 3], Vec::new(), runs);
    while left > 0 {
        let known = known(healthy, bake, &mut rng);
        let now = left.min(shared_by);
        for _ in 0..now {
            let course = Course::of(&ledger(healthy, bake, &known, &mut rng));
            for (home, declared) in home.iter_mut().zip(DECLARED) {
                *home += u32::from(course.evidence.iter().any(|evidence| evidence.condemns(declared)));
            }
        }
        found.push(Course::of(&ledger(&bad, bake, &known, &mut rng)).condemned.map(|minute| minute + 1));
        left -= now;
    }
    let false_rollbacks = home.map(|home| f64::from(home) / f64::from(runs));
    let all = found.len() as f64;
    let mut minutes: Vec<usize> = found.into_iter().flatten().collect();
    minutes.sort_unstable();
    let minute = minutes.get(minutes.len() / 2).copied();
    Case { day, bake, rps: healthy.rps, runs, false_rollbacks, found: minutes.len() as f64 / all, minute }
}

/// What a day of blue says: how the run is judged, and what is slow.
fn known(estate: &Estate, bake: u32, rng: &mut Pcg64Mcg) -> (Protocol, [f64; 2]) {
    let history = estate.day(rng).history();
    let bounds = history.slow.expect("the estate counts slow requests").map(|slow| slow.bound);
    let planned_minutes = bake + 5;
    let protocol = protocol(&history.over(planned_minutes), 1, true);
    (Protocol { baseline: Baseline::Past, planned_minutes, ..protocol }, bounds)
}

/// A run that begins at any minute of the day.
fn ledger(estate: &Estate, bake: u32, known: &(Protocol, [f64; 2]), rng: &mut Pcg64Mcg) -> Ledger {
    let (protocol, bounds) = known;
    let shift = bake + 5 + rng.random_range(0..24 * 60);
    let mut minutes = BTreeMap::new();
    for nth in shift - bake..=shift + bake {
        // The minute of the shift has some of both, and is judged by nobody.
        let minute = estate.alone(nth, nth > shift, *bounds, rng);
        minutes.insert(minute.start, minute);
    }
    let begun = [Begun { intended: at(shift) + TimeDelta::seconds(20), followed: Some(at(shift + 1)), share: 1.0 }];
    protocol.ledger(Observed { minutes: &minutes, begun: &begun, open: None })
}
