//! The promise through the whole path: a day of blue becomes a history, the history a protocol with every
//! metric that a run asks by itself and two of the user's own, minutes as they are reported become a
//! ledger, and the ledger's course is the verdict. Nothing of the judge is written here a second time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use migrate::gate::course::Course;
use migrate::gate::ledger::{Direction, Ledger};
use migrate::gate::limit::Limit;
use migrate::gate::protocol::{Begun, Observed, Protocol, Series};
use migrate::gate::question::{Question, Weighed, weighed};
use migrate::gate::trial::Margin;
use migrate::gate::{Baseline, Counted, Minute};
use migrate::inventory::History;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::estate::{Estate, LEVEL_RATIO, at};
use super::measure::on_two_threads;
use super::promise::{DECLARED, RPS, SHARES};
use super::traffic::{Clusters, Poisson};

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
    name: "alone",
    outside: false,
    zones: EVEN,
    clusters: Clusters::Alone,
    own_clusters: Clusters::Alone,
    noise: None,
    at_the_bound: false,
    interrupted: false,
};

pub const KINDS: [Kind; 7] = [
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
        name: "pairs, one zone, every metric at the very bound",
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
        name: "clusters of 10, one zone (phi by neighbouring minutes)",
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
    on_two_threads(&work, |index, (kind, rps, share)| cell(kind, *rps, *share, runs, shared_by, seed + index as u64))
}

/// One cell of one kind.
pub fn cell(kind: &Kind, rps: f64, share: f64, runs: u32, shared_by: u32, seed: u64) -> Cell {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut home = [0_u32; 3];
    let mut left = runs;
    while left > 0 {
        let seen = Seen::new(kind.estate(rps), kind.climb(share), kind.interrupted, &mut rng);
        let now = left.min(shared_by);
        for _ in 0..now {
            let course = Course::of(&seen.run(&mut rng));
            for (home, declared) in home.iter_mut().zip(DECLARED) {
                *home += u32::from(course.evidence.iter().any(|evidence| evidence.condemns(declared)));
            }
        }
        left -= now;
    }
    let false_rollbacks = home.map(|home| f64::from(home) / f64::from(runs));
    Cell { kind: kind.name, outside: kind.outside, rps, share, runs, false_rollbacks }
}

impl Kind {
    fn estate(&self, rps: f64) -> Estate {
        let Kind { zones, clusters, own_clusters, noise, at_the_bound, .. } = *self;
        Estate { rps, zones, clusters, own_clusters, noise, at_the_bound, worse: 1.0, daily: [0.0; 2] }
    }
}

impl Kind {
    /// Green's shares.
    fn climb(&self, share: f64) -> [f64; 5] {
        if self.interrupted {
            return [share * 0.25, share * 0.5, share, 0.5, 1.0];
        }
        [0.1, 0.25, 0.5, 0.75, 1.0].map(|part| part * share)
    }
}

/// How runs end whose green fails more often than blue.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Caught {
    /// Times blue's rate of 0.1 %.
    pub worse: f64,
    /// Whether two metrics of the user's own are judged as well.
    pub own: bool,
    pub runs: u32,
    pub found: f64,
    pub mean_failed: f64,
}

/// 1, 5, 10, 25 and 50 % at 100 requests a second with everything that a run asks, and a green that fails
/// that often.
pub fn staged(worse: f64, own: bool, runs: u32, seed: u64) -> Caught {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let estate = Estate { worse, ..ALONE.estate(100.0) };
    let (mut found, mut failed) = (0, 0.0);
    for _ in 0..runs.div_ceil(20) {
        let mut seen = Seen::new(estate, SHARES, false, &mut rng);
        if !own {
            seen.protocol = protocol(&seen.history, 5, false);
        }
        for _ in 0..20 {
            let (minutes, begun) = seen.minutes(&mut rng);
            let course = Course::of(&seen.protocol.ledger(Observed { minutes: &minutes, begun: &begun, open: None }));
            let until = course.condemned.map_or(minutes.len(), |minute| minute + 1);
            found += u32::from(course.condemned.is_some());
            failed += minutes.values().take(until).filter_map(|minute| minute.green.bad).sum::<f64>();
        }
    }
    let runs = runs.div_ceil(20) * 20;
    let mean_failed = (failed / f64::from(runs) * 1e6).round() / 1e6;
    Caught { worse, own, runs, found: f64::from(found) / f64::from(runs), mean_failed }
}

/// A run of a day with eight metrics: its protocol, minutes and stages.
pub fn day(seed: u64) -> (Protocol, BTreeMap<DateTime<Utc>, Minute>, Vec<Begun>) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut seen = Seen::new(ALONE.estate(100.0), SHARES, false, &mut rng);
    seen.bake = 24 * 60 / 5;
    let (minutes, begun) = seen.minutes(&mut rng);
    (seen.protocol, minutes, begun)
}

/// Everything that a run asks by itself with this day of blue; and two metrics of the user's own.
pub fn protocol(day: &History, stages: u32, own: bool) -> Protocol {
    let mut asked = vec![
        Question::errors(Counted::Requests, Margin::ERRORS, day.errors),
        Question::limit(Counted::Requests, Limit::from_history(day.errors.rate), day.errors),
    ];
    asked.extend(Question::slow(day.slow.expect("the estate counts slow requests")));
    asked.push(Question::unserved(day.unserved, true));
    asked.push(Question::client_errors(day.client_errors));
    if own {
        let (bad, of) = ("failed orders".to_owned(), "orders".to_owned());
        let orders = Series::Counted { bad, of, better: false, absent_is_zero: true };
        asked.push(Question::counted(orders, Margin::ERRORS, None));
        asked.push(Question::level("level".to_owned(), LEVEL_RATIO, Direction::Higher, None));
    }
    let Weighed { series, usual, metrics } = weighed(asked);
    let (baseline, counted, planned_minutes) = (Baseline::Beside, Counted::Requests, PLANNED * stages);
    Protocol { baseline, counted, false_rollback: 0.01, planned_minutes, stages, series, usual, metrics }
}

/// Numbers that CloudWatch reports late, looked at every minute, as a run does: a minute is read two
/// minutes after its end, and again until it is five minutes old.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lateness {
    /// Each number of each side is missing with this chance until the minute is final.
    Missing(f64),
    /// A side's minute is with this chance only a part of itself, any part, as when a zone is late.
    Together(f64),
    /// The same of each number by itself.
    Partial(f64),
}

/// False rollbacks at a declared 1 % while numbers are late.
#[derive(Debug, Serialize)]
pub struct Late {
    pub lateness: Lateness,
    pub rps: f64,
    pub share: f64,
    pub runs: u32,
    pub false_rollbacks: f64,
}

pub const LATENESS: [Lateness; 3] = [Lateness::Missing(0.1), Lateness::Together(0.1), Lateness::Partial(0.1)];

/// So many runs of each cell.
pub fn late(runs: u32, shared_by: u32, seed: u64) -> Vec<Late> {
    let mut work = Vec::new();
    for lateness in LATENESS {
        work.extend(RPS.iter().flat_map(|rps| [0.05, 0.5].map(|share| (lateness, *rps, share))));
    }
    on_two_threads(&work, |index, (lateness, rps, share)| {
        late_cell(*lateness, *rps, *share, runs, shared_by, seed + index as u64)
    })
}

pub fn late_cell(lateness: Lateness, rps: f64, share: f64, runs: u32, shared_by: u32, seed: u64) -> Late {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let (mut home, mut left) = (0, runs);
    while left > 0 {
        let seen = Seen::new(ALONE.estate(rps), ALONE.climb(share), false, &mut rng);
        let now = left.min(shared_by);
        home += (0..now).map(|_| u32::from(seen.looked_at(lateness, &mut rng))).sum::<u32>();
        left -= now;
    }
    Late { lateness, rps, share, runs, false_rollbacks: f64::from(home) / f64::from(runs) }
}

impl Lateness {
    pub fn words(self) -> &'static str {
        match self {
            Lateness::Missing(_) => "a tenth of the numbers missing",
            Lateness::Together(_) => "a tenth of the sides only in part",
            Lateness::Partial(_) => "a tenth of the numbers only in part (outside of the promise)",
        }
    }

    fn upset(self, minute: &Minute, rng: &mut Pcg64Mcg) -> Minute {
        let mut upset = minute.clone();
        for side in [&mut upset.green, &mut upset.blue] {
            let [p95, p99] = &mut side.slow;
            let numbers = [&mut side.requests, &mut side.bad, &mut side.client_errors, &mut side.samples, p95, p99];
            let together = match self {
                Lateness::Together(chance) if rng.random::<f64>() < chance => rng.random::<f64>(),
                _ => 1.0,
            };
            for number in numbers {
                let part = match self {
                    Lateness::Missing(chance) if rng.random::<f64>() < chance => None,
                    Lateness::Partial(chance) if rng.random::<f64>() < chance => Some(rng.random::<f64>()),
                    _ => Some(together),
                };
                *number = number.zip(part).map(|(number, part)| (number * part).round());
            }
        }
        upset
    }
}

/// Runs of one day of blue.
struct Seen {
    estate: Estate,
    history: History,
    protocol: Protocol,
    bounds: [f64; 2],
    interrupted: bool,
    /// Minutes of a stage.
    bake: u32,
    /// By stage: green's share, and the requests a minute of both sides.
    stages: Vec<(f64, [Poisson; 2])>,
}

impl Seen {
    fn new(estate: Estate, climb: [f64; 5], interrupted: bool, rng: &mut Pcg64Mcg) -> Seen {
        let history = estate.day(rng).history();
        let bounds = history.slow.expect("the estate counts slow requests").map(|slow| slow.bound);
        let all = estate.rps * 60.0;
        let stages = climb.map(|share| (share, [Poisson::new(all * share), Poisson::new(all * (1.0 - share))]));
        let protocol = protocol(&history, 5, true);
        Seen { estate, history, protocol, bounds, interrupted, bake: BAKE, stages: stages.into() }
    }

    /// The ledger of one healthy run.
    fn run(&self, rng: &mut Pcg64Mcg) -> Ledger {
        let (minutes, begun) = self.minutes(rng);
        self.protocol.ledger(Observed { minutes: &minutes, begun: &begun, open: None })
    }

    /// Whether one of the looks at a healthy run condemns it.
    fn looked_at(&self, lateness: Lateness, rng: &mut Pcg64Mcg) -> bool {
        let (whole, begun) = self.minutes(rng);
        let mut minutes = BTreeMap::new();
        let mut open: Vec<(&DateTime<Utc>, &Minute, u32)> = Vec::new();
        whole.iter().any(|(start, minute)| {
            // Three looks at what may still be revised, and one at what is final.
            open.iter_mut().for_each(|(_, _, looks)| *looks += 1);
            for (start, minute, _) in open.extract_if(.., |(_, _, looks)| *looks == 3) {
                minutes.insert(*start, minute.clone());
            }
            minutes.insert(*start, lateness.upset(minute, rng));
            open.push((start, minute, 0));
            let open = open.first().map(|(start, _, _)| **start);
            let ledger = self.protocol.ledger(Observed { minutes: &minutes, begun: &begun, open });
            Course::of(&ledger).condemned.is_some()
        })
    }

    /// The minutes of one run and its stages.
    fn minutes(&self, rng: &mut Pcg64Mcg) -> (BTreeMap<DateTime<Utc>, Minute>, Vec<Begun>) {
        let (mut minutes, mut begun, mut now) = (BTreeMap::new(), Vec::new(), 0);
        for (share, traffic) in &self.stages {
            let intended = at(now) + TimeDelta::seconds(20);
            begun.push(Begun { intended, followed: Some(at(now + 1)), share: *share });
            let longer = if self.interrupted && rng.random::<bool>() { rng.random_range(0..30) } else { 0 };
            for nth in 0..self.bake + longer {
                let minute = self.estate.minute(now, traffic, self.bounds, rng);
                now += 1;
                if nth < self.bake || rng.random::<f64>() < 0.7 {
                    minutes.insert(minute.start, minute);
                }
            }
        }
        (minutes, begun)
    }
}
