//! Synthetic minutes: Poisson traffic on both sides, failures alone or in clusters, shocks that both share.
//!
//! Everything that a stage repeats is prepared before the first run, so that a minute costs four draws.

use migrate::gate::Counts;
use migrate::gate::count::{Count, Pair};
use migrate::gate::day::Day;
use rand::RngExt;
use rand_distr::{Binomial, Distribution, Gamma};
use rand_pcg::Pcg64Mcg;

/// How failures of one side come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clusters {
    /// One by one.
    Alone,
    /// Always so many of one cause.
    Of(f64),
    /// Geometric with this mean.
    Geometric(f64),
}

impl Clusters {
    pub fn mean(self) -> f64 {
        match self {
            Clusters::Alone => 1.0,
            Clusters::Of(size) | Clusters::Geometric(size) => size,
        }
    }

    /// Failures of so many causes.
    fn sizes(self, causes: f64, rng: &mut Pcg64Mcg) -> f64 {
        match self {
            Clusters::Alone => causes,
            Clusters::Of(size) => causes * size,
            Clusters::Geometric(mean) => {
                let ends = (1.0 - 1.0 / mean).ln();
                let size = |rng: &mut Pcg64Mcg| 1.0 + ((1.0 - rng.random::<f64>()).ln() / ends).floor();
                (0..causes as u32).map(|_| size(rng)).sum()
            }
        }
    }
}

/// One stage: so many minutes with a share on green.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    pub minutes: u32,
    pub share: f64,
}

/// What happens in a run.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub rps: f64,
    pub stages: Vec<Stage>,
    pub blue_rate: f64,
    pub green_rate: f64,
    /// The minute, from 0, from which green has `green_rate`; before, it has blue's.
    pub onset: u32,
    pub clusters: Clusters,
    /// Minutes in which both sides have this rate on top.
    pub outage: Option<(std::ops::Range<u32>, f64)>,
    /// Shape of a gamma noise of mean 1 on both rates, minute by minute.
    pub noise: Option<f64>,
    /// Parts of the traffic by availability zone, which add up to 1.
    pub zones: &'static [f64],
}

/// Three alike.
pub const ZONES: &[f64] = &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];

impl Scenario {
    pub fn hour(rps: f64, share: f64, green_rate: f64) -> Scenario {
        Scenario {
            rps,
            stages: vec![Stage { minutes: 60, share }],
            blue_rate: 0.001,
            green_rate,
            onset: 0,
            clusters: Clusters::Alone,
            outage: None,
            noise: None,
            zones: ZONES,
        }
    }

    pub fn minutes(&self) -> u32 {
        self.stages.iter().map(|stage| stage.minutes).sum()
    }

    /// The minutes in which stages begin.
    pub fn starts(&self) -> Vec<u32> {
        let mut begun = 0;
        let starts = self.stages.iter().map(|stage| {
            begun += stage.minutes;
            begun - stage.minutes
        });
        starts.collect()
    }
}

/// Poisson numbers of one mean.
pub enum Poisson {
    /// By multiplying uniform numbers: quick for a small mean. Holds e^-mean.
    Small(f64),
    Large(rand_distr::Poisson<f64>),
}

impl Poisson {
    pub fn new(mean: f64) -> Poisson {
        if mean < 12.0 {
            Poisson::Small((-mean).exp())
        } else {
            Poisson::Large(rand_distr::Poisson::new(mean).unwrap())
        }
    }

    pub fn draw(&self, rng: &mut Pcg64Mcg) -> f64 {
        match self {
            Poisson::Large(large) => large.sample(rng),
            Poisson::Small(least) => {
                let mut product = rng.random::<f64>();
                let mut count = 0.0;
                while product > *least {
                    count += 1.0;
                    product *= rng.random::<f64>();
                }
                count
            }
        }
    }
}

/// Failures of `requests` at a rate.
pub fn failures(requests: f64, rate: f64, clusters: Clusters, rng: &mut Pcg64Mcg) -> f64 {
    if requests <= 0.0 || rate <= 0.0 {
        return 0.0;
    }
    if clusters == Clusters::Alone && rate > 0.05 {
        return Binomial::new(requests as u64, rate.min(1.0)).unwrap().sample(rng) as f64;
    }
    let causes = Poisson::new(requests * rate / clusters.mean()).draw(rng);
    clusters.sizes(causes, rng).min(requests)
}

/// Draws runs of a scenario.
pub struct Generator {
    scenario: Scenario,
    /// Requests of green and blue, by stage.
    requests: Vec<[Poisson; 2]>,
    noise: Option<Gamma<f64>>,
}

impl Generator {
    pub fn new(scenario: &Scenario) -> Generator {
        let requests = scenario.stages.iter().map(|stage| {
            let all = scenario.rps * 60.0;
            [Poisson::new(all * stage.share), Poisson::new(all * (1.0 - stage.share))]
        });
        let noise = scenario.noise.map(|shape| Gamma::new(shape, 1.0 / shape).unwrap());
        Generator { requests: requests.collect(), noise, scenario: scenario.clone() }
    }

    /// One run, in place of what `into` holds.
    pub fn run(&self, into: &mut Vec<Pair>, rng: &mut Pcg64Mcg) {
        let scenario = &self.scenario;
        into.clear();
        for (stage, requests) in scenario.stages.iter().zip(&self.requests) {
            for _ in 0..stage.minutes {
                let minute = into.len() as u32;
                let common = self.noise.as_ref().map_or(1.0, |noise| noise.sample(rng));
                let shock =
                    scenario.outage.as_ref().filter(|(when, _)| when.contains(&minute)).map_or(0.0, |(_, r)| *r);
                let green_rate = if minute >= scenario.onset { scenario.green_rate } else { scenario.blue_rate };
                let mut side = |requests: &Poisson, rate: f64| {
                    let requests = requests.draw(rng);
                    Count::new(requests, failures(requests, rate * common + shock, scenario.clusters, rng))
                };
                let green = side(&requests[0], green_rate);
                into.push(Pair { green, blue: side(&requests[1], scenario.blue_rate) });
            }
        }
    }

    /// Phi from a day of blue alone, by its zones; a cluster falls on one of them.
    pub fn phi(&self, rng: &mut Pcg64Mcg) -> f64 {
        let Scenario { rps, blue_rate, clusters, zones, .. } = &self.scenario;
        let of = |zone: &f64| {
            let requests = rps * 60.0 * zone;
            (requests, Poisson::new(requests * blue_rate / clusters.mean()))
        };
        let zones: Vec<(f64, Poisson)> = zones.iter().map(of).collect();
        let minutes = (0..24 * 60).map(|_| {
            let zone = |(requests, causes): &(f64, Poisson)| {
                let bad = clusters.sizes(causes.draw(rng), rng).min(*requests);
                Counts { requests: Some(*requests), bad: Some(bad), ..Counts::default() }
            };
            zones.iter().map(zone).collect()
        });
        Day { bounds: None, minutes: minutes.collect() }.history().errors.phi
    }
}
