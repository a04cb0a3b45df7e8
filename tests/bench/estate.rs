//! A healthy estate: a day of blue by availability zone, and the minutes of a run, as a cloud reports them.
//!
//! What hits both sides at once (a noisy minute of errors, a slow minute) hits them alike; what comes in
//! clusters falls on one side, and on one zone.

use chrono::{DateTime, TimeDelta, Utc};
use migrate::gate::day::Day;
use migrate::gate::tail::Slowness;
use migrate::gate::trial::Margin;
use migrate::gate::{Counts, Minute};
use rand_distr::{Distribution, Gamma, StandardNormal};
use rand_pcg::Pcg64Mcg;

use super::traffic::{Clusters, Poisson, failures};

/// Standard deviations of the logarithm of an answer's time, and of what a minute adds to it on both sides.
const SPREAD: f64 = 0.5;
const MINUTES_DIFFER: f64 = 0.2;
/// Normal quantiles of 0.95 and 0.99.
const Z: [f64; 2] = [1.644_853_626_951_472_2, 2.326_347_874_040_841];
const ERRORS: f64 = 0.001;
const CLIENT_ERRORS: f64 = 0.02;
/// Requests that the load balancer answers itself, and those that no target began to answer.
const UNSERVED: f64 = 0.000_5;
const UNANSWERED: f64 = 0.001;
/// Requests for one order, and orders that fail.
const ORDERS: f64 = 10.0;
const FAILED_ORDERS: f64 = 0.005;
/// Times blue's level from which a minute speaks against green.
pub const LEVEL_RATIO: f64 = 1.1;
const MINUTES_A_DAY: i64 = 24 * 60;

/// How traffic and failures come.
#[derive(Debug, Clone, Copy)]
pub struct Estate {
    pub rps: f64,
    /// Parts of the traffic, which add up to 1.
    pub zones: &'static [f64],
    /// Of errors, client errors and slow requests.
    pub clusters: Clusters,
    /// Of the user's own counts.
    pub own_clusters: Clusters,
    /// Shape of a gamma noise of mean 1 on the rates of errors, by minute.
    pub noise: Option<f64>,
    /// Whether green is as bad as a healthy green may be.
    pub at_the_bound: bool,
    /// Times blue's rate of errors on green: 1 of a healthy one.
    pub worse: f64,
    /// By what part traffic, and the rates of errors, rise and fall over a day.
    pub daily: [f64; 2],
}

/// What a minute is like for both sides.
#[derive(Debug, Clone, Copy)]
struct Weather {
    errors: f64,
    slow: f64,
}

/// Rates of one side in one minute.
#[derive(Debug, Clone, Copy)]
struct Rates {
    errors: f64,
    client_errors: f64,
    slow: [f64; 2],
    failed_orders: f64,
}

impl Rates {
    /// The worst that is healthy beside these.
    fn at_the_bound(self) -> Rates {
        let worst = |rate: f64, margin: Margin| (margin.ratio * (rate + margin.floor)).min(1.0);
        let slow = |index: usize| worst(self.slow[index], Slowness::ALL[index].margin());
        Rates {
            errors: worst(self.errors, Margin::ERRORS),
            client_errors: worst(self.client_errors, Margin::CLIENT_ERRORS),
            slow: [slow(0), slow(1)],
            failed_orders: worst(self.failed_orders, Margin::ERRORS),
        }
    }
}

pub fn normal(rng: &mut Pcg64Mcg) -> f64 {
    StandardNormal.sample(rng)
}

/// The chance that a normal number is above `z`, to seven digits (Abramowitz and Stegun 7.1.26).
fn above(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * poly * (-x * x).exp();
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// What a part that rises and falls over the day is at a minute of it, around 1.
fn swing(part: f64, minute: i64) -> f64 {
    1.0 + part * (std::f64::consts::TAU * minute as f64 / MINUTES_A_DAY as f64).sin()
}

impl Estate {
    fn weather(&self, minute: i64, rng: &mut Pcg64Mcg) -> Weather {
        let noise = self.noise.map_or(1.0, |shape| Gamma::new(shape, 1.0 / shape).unwrap().sample(rng));
        Weather { errors: noise * swing(self.daily[1], minute), slow: MINUTES_DIFFER * normal(rng) }
    }

    fn rates(&self, weather: Weather, bounds: [f64; 2]) -> Rates {
        let slow = bounds.map(|bound| above((bound.ln() - weather.slow) / SPREAD));
        Rates {
            errors: ERRORS * weather.errors,
            client_errors: CLIENT_ERRORS * weather.errors,
            slow,
            failed_orders: FAILED_ORDERS,
        }
    }

    /// Blue's last day; the percentiles are those of its samples.
    pub fn day(&self, rng: &mut Pcg64Mcg) -> Day {
        let weather: Vec<Weather> = (0..MINUTES_A_DAY).map(|minute| self.weather(minute, rng)).collect();
        let bounds = [0, 1].map(|index| self.percentile(index, &weather, rng));
        let minutes = (0..).zip(&weather).map(|(minute, weather)| {
            let rates = self.rates(*weather, bounds);
            let all = self.rps * 60.0 * swing(self.daily[0], minute);
            let zones = self.zones.iter().map(|zone| Poisson::new(all * zone).draw(rng));
            zones.collect::<Vec<f64>>().into_iter().map(|requests| self.counts(requests, &rates, rng)).collect()
        });
        Day { bounds: Some(bounds), minutes: minutes.collect() }
    }

    /// A percentile of all of a day's answers: the one of its minutes, with the error of so many samples.
    fn percentile(&self, index: usize, weather: &[Weather], rng: &mut Pcg64Mcg) -> f64 {
        let part = Slowness::ALL[index].beyond();
        let mean = |at: f64| weather.iter().map(|w| above((at - w.slow) / SPREAD)).sum::<f64>() / weather.len() as f64;
        let (mut low, mut high) = (0.0, 3.0);
        for _ in 0..20 {
            let middle = f64::midpoint(low, high);
            if mean(middle) > part { low = middle } else { high = middle }
        }
        let density = (-Z[index] * Z[index] / 2.0).exp() / (std::f64::consts::TAU.sqrt() * SPREAD);
        let error = (part * (1.0 - part) / (self.rps * 86_400.0)).sqrt() / density;
        (low + error * normal(rng)).exp()
    }

    /// What a load balancer counts of one side. Failures are published only where there are some.
    fn counts(&self, requests: f64, rates: &Rates, rng: &mut Pcg64Mcg) -> Counts {
        let mut bad = |rate: f64| failures(requests, rate, self.clusters, rng);
        let published = |count: f64| Some(count).filter(|count| *count > 0.0);
        let slowest = bad(rates.slow[1]);
        let samples = requests - bad(UNANSWERED);
        let slow = (slowest + bad(rates.slow[0] - rates.slow[1])).min(samples);
        Counts {
            requests: published(requests),
            bad: published(bad(rates.errors)),
            client_errors: published(bad(rates.client_errors)),
            unserved: published(bad(UNSERVED)),
            samples: published(samples),
            slow: if samples > 0.0 { [Some(slow), Some(slowest.min(samples))] } else { [None, None] },
            ..Counts::default()
        }
    }

    /// What the user counts of one side.
    fn own(&self, counts: &mut Counts, rates: &Rates, level: f64, rng: &mut Pcg64Mcg) {
        let orders = (counts.requests.unwrap_or(0.0) / ORDERS).round();
        let failed = failures(orders, rates.failed_orders, self.own_clusters, rng);
        let own = [("orders", orders), ("failed orders", failed), ("level", level)];
        counts.own = own.map(|(name, value)| (name.to_owned(), value)).into();
    }

    /// One minute of a run with both sides' requests.
    pub fn minute(&self, nth: u32, traffic: &[Poisson; 2], bounds: [f64; 2], rng: &mut Pcg64Mcg) -> Minute {
        let weather = self.weather(i64::from(nth), rng);
        let blue_rates = self.rates(weather, bounds);
        let mut green_rates = if self.at_the_bound { blue_rates.at_the_bound() } else { blue_rates };
        green_rates.errors = (green_rates.errors * self.worse).min(1.0);
        let mut side = |requests: &Poisson, rates: &Rates, times: f64| {
            let requests = requests.draw(rng);
            let mut counts = self.counts(requests, rates, rng);
            let level = times * 50.0 * (weather.slow + 0.1 * normal(rng)).exp();
            self.own(&mut counts, rates, level, rng);
            counts
        };
        let times = if self.at_the_bound { LEVEL_RATIO } else { 1.0 };
        let mut green = side(&traffic[0], &green_rates, times);
        let mut blue = side(&traffic[1], &blue_rates, 1.0);
        // One load balancer, whose own errors are of both.
        let together = green.unserved.unwrap_or(0.0) + blue.unserved.unwrap_or(0.0);
        green.unserved = Some(together).filter(|unserved| *unserved > 0.0);
        blue.unserved = green.unserved;
        Minute { start: at(nth), green, blue, ..Minute::default() }
    }
}

impl Estate {
    /// One minute in which only one side has traffic: green, or blue.
    pub fn alone(&self, nth: u32, green: bool, bounds: [f64; 2], rng: &mut Pcg64Mcg) -> Minute {
        let all = self.rps * 60.0 * swing(self.daily[0], i64::from(nth));
        let mut traffic = [Poisson::new(0.0), Poisson::new(all)];
        if green {
            traffic.reverse();
        }
        self.minute(nth, &traffic, bounds, rng)
    }
}

/// The time of a run's minute.
pub fn at(nth: u32) -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH + TimeDelta::minutes(i64::from(nth))
}
