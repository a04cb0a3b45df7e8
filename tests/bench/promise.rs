//! The promise: a healthy green is rolled back by bad luck, over a whole migration, at most as often as
//! declared. Twenty cells of traffic and share, five stages each, failures alone and in clusters.

use serde::Serialize;

use super::measure::{Phi, measure, on_two_threads};
use super::rules::Rule;
use super::traffic::{Clusters, Scenario, Stage};

pub const RPS: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];
pub const SHARES: [f64; 5] = [0.01, 0.05, 0.1, 0.25, 0.5];
/// What is declared; the same runs for each.
pub const DECLARED: [f64; 3] = [0.001, 0.01, 0.05];
/// Blue's rate, and the highest one of green that is still healthy beside it.
const BLUE: f64 = 0.001;
const BOUND: f64 = 1.25 * (BLUE + 1e-4);
/// How failures come, and green's rate of them.
pub const KINDS: [(&str, Clusters, f64); 5] = [
    ("alone, green as blue", Clusters::Alone, BLUE),
    ("alone, green at the very bound of healthy", Clusters::Alone, BOUND),
    ("clusters of 3, phi measured", Clusters::Of(3.0), BLUE),
    ("clusters of 10, phi measured", Clusters::Of(10.0), BLUE),
    ("clusters of geometric size 5, phi measured", Clusters::Geometric(5.0), BLUE),
];

/// A healthy migration of an hour: five stages that climb to the cell's share.
pub fn migration(rps: f64, share: f64, clusters: Clusters, green_rate: f64) -> Scenario {
    let stages = [0.1, 0.25, 0.5, 0.75, 1.0].map(|part| Stage { minutes: 12, share: share * part });
    Scenario { stages: stages.to_vec(), clusters, ..Scenario::hour(rps, share, green_rate) }
}

/// The five stages that the tool's own playbooks are made of.
pub fn ladder(rps: f64, green_rate: f64) -> Scenario {
    let stages = SHARES.map(|share| Stage { minutes: 12, share });
    Scenario { stages: stages.to_vec(), ..Scenario::hour(rps, 0.5, green_rate) }
}

/// False rollbacks of one kind of failures in one cell.
#[derive(Debug, Serialize)]
pub struct Cell {
    pub kind: &'static str,
    pub rps: f64,
    pub share: f64,
    pub runs: u32,
    /// In the order of [`DECLARED`].
    pub false_rollbacks: [f64; 3],
}

/// Every cell, every kind; phi is estimated from a day of blue where failures come in clusters.
pub fn cells(runs: u32, shared_by: u32, seed: u64) -> Vec<Cell> {
    let mut work = Vec::new();
    for (kind, clusters, rate) in KINDS {
        work.extend(RPS.iter().flat_map(|rps| SHARES.map(|share| (kind, clusters, rate, *rps, share))));
    }
    on_two_threads(&work, |index, (kind, clusters, rate, rps, share)| {
        let phi = if *clusters == Clusters::Alone { Phi::Fixed(1.0) } else { Phi::Estimated { shared_by } };
        let judge = DECLARED.map(|false_rollback| Rule::Judge { false_rollback, limit: None });
        let measured = measure(&migration(*rps, *share, *clusters, *rate), &judge, phi, runs, seed + index as u64);
        let false_rollbacks = [0, 1, 2].map(|declared| measured[declared].found);
        Cell { kind, rps: *rps, share: *share, runs, false_rollbacks }
    })
}
