//! The promise through the whole path: a day of blue becomes a history, the history a protocol with every
//! metric that a run asks by itself and two of the user's own, minutes as they are reported become a
//! ledger, and the ledger's course is the verdict. Nothing of the judge is written here a second time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use migrate::gate::course::Course;
use migrate::gate::ledger::{Direction, Ledger};
use migrate::gate::limit::Limit;
use migrate::gate::protocol::{Begun, Observed, Protocol, Series};
use migrate::gate::question::{Question, weighed};
use migrate::gate::trial::{FAST_FALSE_ROLLBACK, Margin};
use migrate::gate::{Baseline, Counted, Minute};
use migrate::inventory::History;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::estate::{Estate, LEVEL_RATIO, at};
use super::measure::on_two_threads;
use super::promise::{RPS, SHARES};
use super::traffic::{Clusters, Poisson};

/// What was declared; the evidence of a run is the same for each.
pub const DECLARED: [f64; 3] = [0.001, 0.01, 0.05];
/// Minutes of a stage, and what the tool plans for one: its bake, the shift and CloudWatch's delay.
const BAKE: u32 = 12;
const PLANNED: u32 = BAKE + 5;
const EVEN: &[f64] = &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];
const UNEVEN: &[f64] = &[0.6, 0.3, 0.1];
const ONE: &[f64] = &[1.0];

/// How healthy runs go.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    /// What the promise rests on is not so: measured to be told.
    pub outside: bool,
    pub zones: &'static [f64],
    pub clusters: Clusters,
    pub own_clusters: Clusters,
    pub noise: Option<f64>,
    pub at_the_bound: bool,
    /// Every other stage takes up to half an hour longer, some minutes of it unread, and the last stage
    /// sends everything to green.
    pub interrupted: bool,
}

const ALONE: Kind = Kind {
    name: "alone, green as blue",
    outside: false,
    zones: EVEN,
    clusters: Clusters::Alone,
    own_clusters: Clusters::Alone,
    noise: None,
    at_the_bound: false,
    interrupted: false,
};

pub const KINDS: [Kind; 9] = [
    ALONE,
    Kind { name: "alone, every metric at the very bound of healthy", at_the_bound: true, ..ALONE },
    Kind {
        name: "clusters of 10, noisy minutes",
        clusters: Clusters::Of(10.0),
        own_clusters: Clusters::Of(2.0),
        noise: Some(2.0),
        ..ALONE
    },
    Kind {
        name: "clusters of geometric size 5, zones of 60, 30 and 10%",
        clusters: Clusters::Geometric(5.0),
        own_clusters: Clusters::Of(2.0),
        zones: UNEVEN,
        ..ALONE
    },
    Kind {
        name: "pairs, one zone (phi 2), every metric at the very bound",
        clusters: Clusters::Of(2.0),
        own_clusters: Clusters::Of(2.0),
        zones: ONE,
        at_the_bound: true,
        ..ALONE
    },
    Kind {
        name: "clusters of 3, noisy minutes, interrupted, at last everything on green",
        clusters: Clusters::Of(3.0),
        own_clusters: Clusters::Of(2.0),
        noise: Some(2.0),
        interrupted: true,
        ..ALONE
    },
    Kind {
        name: "clusters of 3, one zone (phi 2)",
        outside: true,
        clusters: Clusters::Of(3.0),
        own_clusters: Clusters::Of(2.0),
        zones: ONE,
        ..ALONE
    },
    Kind {
        name: "clusters of 10, one zone (phi 2)",
        outside: true,
        clusters: Clusters::Of(10.0),
        own_clusters: Clusters::Of(2.0),
        zones: ONE,
        ..ALONE
    },
    Kind {
        name: "the user's own counts in clusters of 10 (phi 2)",
        outside: true,
        own_clusters: Clusters::Of(10.0),
        ..ALONE
    },
];

/// False rollbacks of one kind in one cell.
#[derive(Debug, Serialize)]
pub struct Cell {
    pub kind: &'static str,
    pub outside: bool,
    pub rps: f64,
    pub share: f64,
    pub runs: u32,
    /// In the order of [`DECLARED`].
    pub false_rollbacks: [f64; 3],
}

/// Every cell of every kind; so many runs share a day of blue.
pub fn cells(runs: u32, shared_by: u32, seed: u64) -> Vec<Cell> {
    let mut work = Vec::new();
    for kind in KINDS {
        work.extend(RPS.iter().flat_map(|rps| SHARES.map(|share| (kind, *rps, share))));
    }
    on_two_threads(&work, |index, (kind, rps, share)| {
        let mut rng = Pcg64Mcg::seed_from_u64(seed + index as u64);
        let mut home = [0_u32; 3];
        let mut seen = Seen::new(kind.estate(*rps), kind, *share, &mut rng);
        for run in 0..runs {
            if run > 0 && run % shared_by == 0 {
                seen = Seen::new(kind.estate(*rps), kind, *share, &mut rng);
            }
            let course = Course::of(&seen.run(&mut rng));
            for (home, declared) in home.iter_mut().zip(DECLARED) {
                *home += u32::from(course.evidence.iter().any(|evidence| evidence.condemns(declared)));
            }
        }
        let false_rollbacks = home.map(|home| f64::from(home) / f64::from(runs));
        Cell { kind: kind.name, outside: kind.outside, rps: *rps, share: *share, runs, false_rollbacks }
    })
}

impl Kind {
    pub fn estate(&self, rps: f64) -> Estate {
        let Kind { zones, clusters, own_clusters, noise, at_the_bound, .. } = *self;
        Estate { rps, zones, clusters, own_clusters, noise, at_the_bound, daily: [0.0; 2] }
    }
}

/// Everything that a run asks by itself with this day of blue, and two metrics of the user's own.
pub fn protocol(day: &History, false_rollback: f64, stages: u32) -> Protocol {
    let mut asked = vec![
        Question::errors(Counted::Requests, Margin::ERRORS, day.errors),
        Question::limit(Limit::from_history(day.errors.rate), day.errors),
    ];
    asked.extend(Question::slow(day.slow.expect("the estate counts slow requests")));
    asked.push(Question::client_errors(day.client_errors));
    let (bad, of) = ("failed orders".to_owned(), "orders".to_owned());
    let orders = Series::Counted { bad, of, better: false, absent_is_zero: true };
    asked.push(Question::counted(orders, Margin::ERRORS, None));
    asked.push(Question::level("level".to_owned(), LEVEL_RATIO, Direction::Higher, None));
    let (series, metrics) = weighed(asked);
    let baseline = Baseline::Beside;
    let counted = Counted::Requests;
    Protocol { baseline, counted, false_rollback, planned_minutes: PLANNED * stages, stages, series, metrics }
}

/// Runs of one day of blue.
pub struct Seen {
    estate: Estate,
    protocol: Protocol,
    bounds: [f64; 2],
    interrupted: bool,
    /// By stage: green's share, and the requests a minute of both sides.
    stages: Vec<(f64, [Poisson; 2])>,
}

impl Seen {
    pub fn new(estate: Estate, kind: &Kind, share: f64, rng: &mut Pcg64Mcg) -> Seen {
        let history = estate.day(rng).history();
        let bounds = history.slow.expect("the estate counts slow requests").map(|slow| slow.bound);
        let climb =
            if kind.interrupted { [share * 0.25, share * 0.5, share, 0.5, 1.0] } else { [0.1, 0.25, 0.5, 0.75, 1.0].map(|part| part * share) };
        let all = estate.rps * 60.0;
        let stages = climb.map(|share| (share, [Poisson::new(all * share), Poisson::new(all * (1.0 - share))]));
        let protocol = protocol(&history, 0.01, 5);
        Seen { estate, protocol, bounds, interrupted: kind.interrupted, stages: stages.into() }
    }

    /// The ledger of one healthy run.
    pub fn run(&self, rng: &mut Pcg64Mcg) -> Ledger {
        let (minutes, begun) = self.minutes(rng);
        self.protocol.ledger(Observed { minutes: &minutes, begun: &begun })
    }

    /// The minutes of one run and its stages.
    fn minutes(&self, rng: &mut Pcg64Mcg) -> (BTreeMap<DateTime<Utc>, Minute>, Vec<Begun>) {
        let (mut minutes, mut begun, mut now) = (BTreeMap::new(), Vec::new(), 0);
        for (share, traffic) in &self.stages {
            let intended = at(now) + TimeDelta::seconds(20);
            begun.push(Begun { intended, followed: Some(at(now + 1)), share: *share });
            let longer = if self.interrupted && rng.random::<bool>() { rng.random_range(0..30) } else { 0 };
            for nth in 0..BAKE + longer {
                let minute = self.estate.minute(now, traffic, self.bounds, rng);
                now += 1;
                if nth < BAKE || rng.random::<f64>() < 0.7 {
                    minutes.insert(minute.start, minute);
                }
            }
        }
        (minutes, begun)
    }
}
