//! Requests, how routes split them, and what CloudWatch says about them.
//!
//! Invariant: what happened in a minute is a pure function of the seed, the minute, the target
//! group and the history of the split; only that history is stored. CloudWatch's manners are kept:
//! a minute is complete two minutes after its end, and what is zero is not reported at all.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, DurationRound, Timelike, Utc};
use rand::SeedableRng;
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::elb::{SimRoute, forwards};
use super::faults::{failed, refused};
use super::scenario::Scenario;
use super::universe::{Universe, ViolationKind, is_ours, mixed, number_of};
use crate::cloud::{Cause, CloudError, Counted, Counts, MetricWindow, Minute};
use crate::inventory::Route;

pub(super) const GET_METRICS: &str = "cloudwatch:GetMetricData";
/// Until then a minute is incomplete.
pub(super) const SETTLING: Duration = Duration::minutes(2);
/// What of an incomplete minute is there already.
const EARLY_PART: f64 = 0.6;
const GREEN_ERRORS: f64 = 0.08;
const GREEN_SLOWER: f64 = 4.0;
/// How far the daily curve, and the noise of a minute, reach from the mean.
const DAILY: f64 = 0.08;
const NOISE: f64 = 0.03;
/// Median and logarithmic spread of the time until a response begins.
const MEDIAN_SECONDS: f64 = 0.08;
const SPREAD: f64 = 0.5;
/// A run has a few dozen epochs; this only bounds a test that never ends.
const KEPT_EPOCHS: usize = 500;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Requests per minute to everything, on average.
    pub per_minute: f64,
    /// Error rate of an application that is well.
    pub base_errors: f64,
    /// Requests per minute that one of blue's tasks can answer.
    pub task_capacity: f64,
    pub epochs: Vec<Epoch>,
    /// When green first received requests.
    pub green_since: Option<DateTime<Utc>>,
}

/// A time in which the split did not change; it ends where the next one begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    pub from: DateTime<Utc>,
    /// By name of the target group, only those that receive anything.
    pub flows: BTreeMap<String, Flow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Share of all requests, from 0 to 1.
    pub share: f64,
    pub healthy: u32,
    pub registered: u32,
}

/// Complete minutes that were drawn before, so that watching a bake is not quadratic.
#[derive(Debug, Default)]
pub struct Memo(BTreeMap<(u64, i64), Drawn>);

/// What a group answered in a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Drawn {
    requests: f64,
    bad: f64,
    /// Factor on the latency, the noise of the sample included.
    slowness: f64,
}

/// What each target group gets of the requests that these routes match, by ARN.
pub fn split<'a>(routes: impl IntoIterator<Item = (&'a Route, f64)>) -> BTreeMap<String, f64> {
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    for (route, traffic) in routes {
        let total: u32 = forwards(route).map(|(_, weight)| weight).sum();
        for (arn, weight) in forwards(route).filter(|(_, weight)| *weight > 0) {
            let share = traffic * f64::from(weight) / f64::from(total);
            if share > 0.0 {
                *shares.entry(arn.to_owned()).or_default() += share;
            }
        }
    }
    shares
}

impl Traffic {
    /// Requests per minute without noise.
    pub(super) fn level(&self, at: DateTime<Utc>) -> f64 {
        let day = f64::from(at.num_seconds_from_midnight()) / 86_400.0;
        self.per_minute * (1.0 + DAILY * (day * std::f64::consts::TAU).sin())
    }

    /// Share of the requests that these groups receive now, by name.
    pub(super) fn share_of<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> f64 {
        let Some(epoch) = self.epochs.last() else { return 0.0 };
        names.into_iter().filter_map(|name| epoch.flows.get(name)).map(|f| f.share).sum()
    }

    /// How much of all requests a group received in this time, in minutes of all.
    pub(super) fn share_in(&self, name: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
        let first = self.epochs.partition_point(|e| e.from <= from).saturating_sub(1);
        let parts = self.epochs.iter().enumerate().skip(first).take_while(|(_, e)| e.from < to);
        let part = |(at, epoch): (usize, &Epoch)| {
            let until = self.epochs.get(at + 1).map_or(to, |next| next.from.min(to));
            let length = (until - epoch.from.max(from)).num_milliseconds().max(0);
            #[expect(clippy::cast_precision_loss, reason = "some minutes in milliseconds")]
            let minutes = length as f64 / 60_000.0;
            epoch.flows.get(name).map_or(0.0, |flow| flow.share * minutes)
        };
        parts.map(part).sum()
    }

    /// The parts of a minute with the flow of a group in them, as fractions of the minute.
    pub(super) fn flows_in(&self, name: &str, minute: DateTime<Utc>) -> impl Iterator<Item = (f64, Flow)> {
        let end = minute + Duration::minutes(1);
        let first = self.epochs.partition_point(|e| e.from <= minute).saturating_sub(1);
        let parts = self.epochs.iter().enumerate().skip(first).take_while(move |(_, e)| e.from < end);
        parts.filter_map(move |(at, epoch)| {
            let until = self.epochs.get(at + 1).map_or(end, |next| next.from.min(end));
            let length = (until - epoch.from.max(minute)).num_milliseconds();
            let flow = *epoch.flows.get(name)?;
            #[expect(clippy::cast_precision_loss, reason = "at most 60,000")]
            let part = length.max(0) as f64 / 60_000.0;
            Some((part, flow))
        })
    }
}

impl Universe {
    /// Whether any request can still go to blue: a route that is not ours gives it weight, or a record.
    pub(super) fn blue_is_needed(&self) -> bool {
        if !self.names.zones.is_empty() {
            return self.blue_is_named();
        }
        let reached = |r: &&SimRoute| !is_ours(&r.tags) && self.balancer_share(&r.route.actual.load_balancer) > 0.0;
        let routes = self.routes.values().filter(reached).map(|r| &r.route.actual);
        let mut weighted = routes.flat_map(forwards).filter(|(_, weight)| *weight > 0);
        let found = self.blue.target_groups.is_empty() && self.blue_is_found();
        found || weighted.any(|(arn, _)| self.blue.target_groups.iter().any(|blue| blue == arn))
    }

    /// Share of all requests that a route matches, by what records lead to its load balancer.
    fn requests_of(&self, route: &SimRoute) -> f64 {
        route.traffic * self.balancer_share(&route.route.actual.load_balancer)
    }

    /// Notes a change of the split, and what about it must never be.
    pub(super) fn record_traffic(&mut self) {
        let routes = self.routes.values().map(|r| (&r.route.actual, self.requests_of(r)));
        let mut flows = BTreeMap::new();
        for (arn, share) in split(routes) {
            let (healthy, registered) = self.target_counts(&arn);
            if let Some(group) = self.target_groups.get(&arn) {
                flows.insert(group.group.name.clone(), Flow { share, healthy, registered });
            }
        }
        if self.traffic.epochs.last().is_none_or(|last| last.flows != flows) {
            self.begin_epoch(flows);
            self.note_overload();
        }
    }

    fn begin_epoch(&mut self, flows: BTreeMap<String, Flow>) {
        let now = self.now;
        let to_green = |name: &String| {
            let group = self.target_groups.values().find(|g| g.group.name == *name);
            group.is_some_and(|g| self.is_green(&g.group.arn))
        };
        if self.traffic.green_since.is_none() && flows.keys().any(to_green) {
            self.traffic.green_since = Some(now);
        }
        let epochs = &mut self.traffic.epochs;
        if epochs.last().is_some_and(|last| last.from == now) {
            epochs.pop();
        }
        epochs.push(Epoch { from: now, flows });
        if epochs.len() > KEPT_EPOCHS {
            epochs.remove(0);
        }
    }

    pub(super) fn is_green(&self, arn: &str) -> bool {
        self.target_groups.get(arn).is_some_and(|g| g.group.ip_address_type == "ipv6")
    }

    /// The weights that no healthy target stands behind, and the requests that nobody answers.
    pub(super) fn unhealthy_weights(&self) -> Vec<(ViolationKind, String)> {
        let mut found = self.unhealthy_records();
        // What is ours matters from the moment that requests reach it: a probe never, a copy when records
        // lead to its load balancer. Clients that mind no TTL are nobody's fault.
        let reached = |r: &SimRoute| self.is_asked(&r.route.actual.load_balancer);
        let matters = |r: &&SimRoute| reached(r) && (!is_ours(&r.tags) || self.requests_of(r) > 0.0);
        for stored in self.routes.values().filter(matters) {
            let route = &stored.route.actual;
            let requests = self.requests_of(stored);
            if requests > 0.0 && self.balancer_is_deaf(&route.load_balancer) {
                let what = format!("records lead to {}, which does not work", route.load_balancer);
                found.push((ViolationKind::TrafficUnserved, what));
            }
            let mut total = 0;
            for (arn, weight) in forwards(route).filter(|(_, weight)| *weight > 0) {
                total += weight;
                let (healthy, registered) = self.target_counts(arn);
                let what = || format!("route {} gives weight to {arn}", route.at.arn());
                if healthy == 0 {
                    found.push((ViolationKind::WeightWithoutHealth, what()));
                }
                if registered == 0 && requests > 0.0 {
                    found.push((ViolationKind::TrafficUnserved, what()));
                }
            }
            if total == 0 && requests > 0.0 && forwards(route).next().is_some() {
                let what = format!("route {} gives no weight to anything", route.at.arn());
                found.push((ViolationKind::TrafficUnserved, what));
            }
        }
        found
    }

    /// What was so before the tool acted is the world's doing.
    pub(super) fn judge_weights(&mut self, already: &[(ViolationKind, String)]) {
        for (kind, what) in self.unhealthy_weights() {
            if !already.iter().any(|(k, w)| *k == kind && *w == what) {
                self.violate(kind, what);
            }
        }
    }

    fn note_overload(&mut self) {
        let (load, capacity) = (self.blue_share() * self.traffic.per_minute, self.blue_capacity());
        if load > capacity {
            let what = format!("{load:.0} requests per minute, enough tasks for {capacity:.0}");
            self.violate(ViolationKind::BlueOverloaded, what);
        }
    }

    fn blue_share(&self) -> f64 {
        let groups = self.blue.target_groups.iter().filter_map(|arn| self.target_groups.get(arn));
        self.traffic.share_of(groups.map(|g| g.group.name.as_str()))
    }

    fn blue_capacity(&self) -> f64 {
        let healthy = self.services.get(&self.blue.service).map_or(0, |s| s.healthy(self.now));
        f64::from(u32::try_from(healthy).unwrap_or(u32::MAX)) * self.traffic.task_capacity
    }

    /// What CloudWatch answers to everything while it is out.
    pub(super) fn blind(&self, operation: &str) -> Option<CloudError> {
        let outage = Duration::seconds(i64::from(self.knobs.outage_after_s));
        let from = self.traffic.green_since.filter(|_| self.scenario == Scenario::MetricsOutage)? + outage;
        let text = "InternalServiceFault: The request processing has failed because of an unknown error";
        (self.now >= from).then(|| failed(operation, Cause::Unknown, text))
    }

    /// Whether CloudWatch answers a question for metrics.
    pub(super) fn seeing(&self) -> Result<(), CloudError> {
        if let Some(blind) = self.blind(GET_METRICS) {
            return Err(blind);
        }
        Ok(())
    }

    /// The minutes of a window that are over, as CloudWatch reports them now.
    pub(super) fn metrics(&self, window: &MetricWindow, memo: &mut Memo) -> Result<Vec<Minute>, CloudError> {
        self.seeing()?;
        let factor = window.latency.as_deref().map(latency_factor).transpose()?;
        let mut minutes = Vec::new();
        // CloudWatch rounds the start down to a full minute.
        let mut start = window.from.duration_trunc(Duration::minutes(1)).unwrap_or(window.from);
        while start < window.to {
            let green = self.counts(window, &window.green, start, factor, memo);
            let blue = self.counts(window, &window.blue, start, factor, memo);
            minutes.push(Minute { start, green, blue, levels: self.levels(window, start) });
            start += Duration::minutes(1);
        }
        Ok(minutes)
    }

    fn counts(
        &self,
        window: &MetricWindow,
        arns: &[String],
        minute: DateTime<Utc>,
        factor: Option<f64>,
        memo: &mut Memo,
    ) -> Counts {
        let end = minute + Duration::minutes(1);
        let mut counts = Counts::default();
        if self.now < end || window.counted == Counted::Nothing {
            return counts;
        }
        let complete = self.now >= end + SETTLING;
        let reported = |value: f64| if complete { value } else { (value * EARLY_PART).floor() };
        let add = |sum: &mut Option<f64>, value: f64| {
            if value > 0.0 {
                *sum = Some(sum.unwrap_or_default() + value);
            }
        };
        for group in arns.iter().filter_map(|arn| self.target_groups.get(arn)) {
            let drawn = self.drawn(&group.group.arn, &group.group.name, minute, complete, memo);
            let requests = reported(drawn.requests);
            add(&mut counts.requests, requests);
            if window.counted == Counted::Requests {
                add(&mut counts.bad, reported(drawn.bad));
            }
            if let Some(factor) = factor.filter(|_| requests > 0.0) {
                let latency = MEDIAN_SECONDS * factor * drawn.slowness;
                counts.latency = Some(counts.latency.unwrap_or_default().max(latency));
            }
        }
        if window.counted == Counted::Flows {
            // Resets are counted by load balancer, whichever of its groups they are about.
            let balancer = |arn: &String| window.load_balancers.get(arn);
            let balancers: BTreeSet<&String> = arns.iter().filter_map(balancer).collect();
            let behind = window.load_balancers.iter().filter(|(_, b)| balancers.contains(b)).map(|(arn, _)| arn);
            for group in behind.filter_map(|arn| self.target_groups.get(arn)) {
                let drawn = self.drawn(&group.group.arn, &group.group.name, minute, complete, memo);
                add(&mut counts.bad, reported(drawn.bad));
            }
        }
        counts
    }

    fn drawn(&self, arn: &str, name: &str, minute: DateTime<Utc>, complete: bool, memo: &mut Memo) -> Drawn {
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
        let level = self.traffic.level(minute) * noise;
        let (mut expected, mut failing, mut busy) = (0.0, 0.0, 0.0);
        for (part, flow) in self.traffic.flows_in(name, minute).filter(|(_, flow)| flow.registered > 0) {
            let (errors, load) = self.answers(arn, flow, level);
            let requests = level * part * flow.share;
            expected += requests;
            failing += requests * errors;
            busy += requests * load;
        }
        if expected <= 0.0 {
            return Drawn::default();
        }
        let mut rng = Pcg64::seed_from_u64(mixed(&[self.seed, number, key.0]));
        let requests = Poisson::new(expected).map_or(0.0, |d| d.sample(&mut rng));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole, positive draw")]
        let whole = requests as u64;
        let rate = (failing / expected).clamp(0.0, 1.0);
        let bad = Binomial::new(whole, rate).map_or(0, |d| d.sample(&mut rng));
        let jitter: f64 = StandardNormal.sample(&mut rng);
        let slowness = busy / expected * (0.5 * jitter / requests.max(1.0).sqrt()).exp();
        Drawn { requests, bad: f64::from(u32::try_from(bad).unwrap_or(u32::MAX)), slowness }
    }

    /// Error rate and slowness of a group under a flow.
    fn answers(&self, arn: &str, flow: Flow, level: f64) -> (f64, f64) {
        if flow.healthy == 0 {
            // The load balancer fails open, and nobody answers.
            return (1.0, 10.0);
        }
        if self.blue.target_groups.iter().any(|blue| blue == arn) {
            let load = level * flow.share / (self.traffic.task_capacity * f64::from(flow.healthy));
            let refused = (1.0 - 1.0 / load.max(1.0)).max(0.0);
            return (self.traffic.base_errors + refused, load.max(1.0));
        }
        match self.scenario {
            Scenario::GreenErrors if self.is_green(arn) => (GREEN_ERRORS, 1.0),
            Scenario::GreenSlow if self.is_green(arn) => (self.traffic.base_errors, GREEN_SLOWER),
            _ => (self.traffic.base_errors, 1.0),
        }
    }
}

/// A number from 0 to 1 from mixed bits.
fn fraction(bits: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let upper = (bits >> 11) as f64;
    upper / 9_007_199_254_740_992.0
}

/// What a statistic of the log-normal latency is as a multiple of its median.
fn latency_factor(statistic: &str) -> Result<f64, CloudError> {
    if statistic == "Average" {
        return Ok((SPREAD * SPREAD / 2.0).exp());
    }
    let percentile = statistic.strip_prefix('p').and_then(|p| p.parse::<f64>().ok());
    match percentile.filter(|p| *p > 0.0 && *p < 100.0) {
        Some(percentile) => Ok((SPREAD * normal_quantile(percentile / 100.0)).exp()),
        None => {
            let text = format!("ValidationError: The value {statistic} for parameter Stat is not supported");
            Err(refused(GET_METRICS, text))
        }
    }
}

/// Quantile of the standard normal distribution, to three digits (Abramowitz and Stegun 26.2.23).
fn normal_quantile(p: f64) -> f64 {
    let tail = p.min(1.0 - p);
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    (t - above / below).copysign(p - 0.5)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::*;
    use super::super::{Sim, Tamper};
    use super::*;
    use crate::clock::Clock;
    use crate::cloud::{Cloud, Watch};
    use crate::inventory::RouteAt;

    /// A run in which green gets so much of the traffic for 30 minutes.
    fn shifted(scenario: Scenario, percent: u32) -> (Sim, String) {
        let sim = sim(scenario);
        let (green, _) = stand_up(&sim);
        pass(&sim, 120);
        shift_all(&sim, &green, percent);
        pass(&sim, 33 * 60);
        (sim, green)
    }

    fn median_latency(minutes: &[Minute], side: impl Fn(&Minute) -> Counts) -> f64 {
        let mut all: Vec<f64> = minutes.iter().filter_map(|m| side(m).latency).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }

    #[test]
    fn the_observed_share_follows_the_weights() {
        let (sim, green) = shifted(Scenario::Healthy, 10);
        let minutes = minutes(&sim, &green, 30).unwrap();
        let (ours, bad) = totals(&minutes, |m| m.green.clone());
        let (theirs, _) = totals(&minutes, |m| m.blue.clone());
        let share = ours / (ours + theirs);
        assert!((0.095..0.105).contains(&share), "{share}");
        assert!((16_000.0..19_500.0).contains(&ours), "{ours}");
        assert!((2.0..50.0).contains(&bad), "{bad}");
        let ratio = median_latency(&minutes, |m| m.green.clone()) / median_latency(&minutes, |m| m.blue.clone());
        assert!((0.9..1.1).contains(&ratio), "{ratio}");
        assert_eq!(sim.universe().violations, []);
    }

    #[test]
    fn the_scenarios_show_in_the_metrics() {
        let (sim, green) = shifted(Scenario::GreenErrors, 10);
        let seen = minutes(&sim, &green, 30).unwrap();
        let (requests, bad) = totals(&seen, |m| m.green.clone());
        assert!((0.07..0.09).contains(&(bad / requests)));
        let (requests, bad) = totals(&seen, |m| m.blue.clone());
        assert!(bad / requests < 0.002);
        let (sim, green) = shifted(Scenario::GreenSlow, 10);
        let seen = minutes(&sim, &green, 30).unwrap();
        let ratio = median_latency(&seen, |m| m.green.clone()) / median_latency(&seen, |m| m.blue.clone());
        assert!((3.6..4.4).contains(&ratio), "{ratio}");
    }

    #[test]
    fn metrics_go_dark_some_minutes_after_green_has_traffic() {
        let sim = sim(Scenario::MetricsOutage);
        let (green, _) = stand_up(&sim);
        pass(&sim, 3600);
        minutes(&sim, &green, 5).unwrap();
        shift_all(&sim, &green, 5);
        pass(&sim, 240);
        minutes(&sim, &green, 5).unwrap();
        pass(&sim, 70);
        let error = minutes(&sim, &green, 5).unwrap_err();
        assert!(error.message.starts_with("InternalServiceFault"), "{error}");
        shift_all(&sim, &green, 0);
        pass(&sim, 24 * 3600);
        minutes(&sim, &green, 5).unwrap_err();
    }

    #[test]
    fn what_is_zero_is_not_reported() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        pass(&sim, 600);
        let seen = minutes(&sim, &green, 5).unwrap();
        assert!(seen.iter().all(|m| m.green == Counts::default()));
        assert!(seen.iter().all(|m| m.blue.requests > Some(5000.0) && m.blue.latency.is_some()));
    }

    #[test]
    fn a_minute_is_complete_after_two_more() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        pass(&sim, 600);
        let minute = start() - Duration::seconds(17) + Duration::minutes(20);
        let window = MetricWindow {
            green: vec![green],
            blue: vec![blue_group(&sim)],
            load_balancers: BTreeMap::new(),
            from: minute,
            to: minute + Duration::minutes(1),
            ..MetricWindow::default()
        };
        let mut seen = Vec::new();
        for after in [59, 61, 170, 190, 3600] {
            sim.wait(minute + Duration::seconds(after));
            let counts = sim.with(|u| u.metrics(&window, &mut Memo::default()).unwrap()[0].blue.clone()).unwrap();
            seen.push(counts.requests);
        }
        assert_eq!(seen[0], None);
        assert_eq!(seen[1], seen[2]);
        assert_eq!(seen[3], seen[4]);
        assert_eq!(seen[1], seen[3].map(|full| (full * EARLY_PART).floor()));
    }

    #[test]
    fn a_shift_within_a_minute_counts_for_its_part() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        let minute = start() - Duration::seconds(17) + Duration::minutes(20);
        sim.wait(minute + Duration::seconds(45));
        shift_all(&sim, &green, 100);
        sim.wait(minute + Duration::minutes(3));
        let seen = minutes(&sim, &green, 1).unwrap().remove(0);
        let share = seen.green.requests.unwrap() / (seen.green.requests.unwrap() + seen.blue.requests.unwrap());
        assert!((0.22..0.28).contains(&share), "{share}");
    }

    #[test]
    fn a_green_that_loses_its_health_fails_its_requests() {
        let (sim, green) = shifted(Scenario::Healthy, 50);
        let lost = Tamper::LoseHealth { cluster: "prod".into(), service: "web-ipv6".into() };
        sim.with(|u| u.tamper(&lost)).unwrap();
        pass(&sim, 300);
        let last = minutes(&sim, &green, 1).unwrap()[0].green.clone();
        assert_eq!(last.bad, last.requests);
    }

    #[test]
    fn requests_that_nobody_answers_are_not_counted() {
        let sim = sim(Scenario::Healthy);
        let green = create_group(&sim).unwrap();
        shift_all(&sim, &green, 50);
        pass(&sim, 600);
        let last = minutes(&sim, &green, 1).unwrap().remove(0);
        assert_eq!(last.green, Counts::default());
        assert!(last.blue.requests < Some(4000.0));
        assert!(sim.universe().violations.iter().any(|v| v.kind == ViolationKind::TrafficUnserved));
    }

    #[test]
    fn only_listeners_that_exist_are_watched() {
        let sim = sim(Scenario::Healthy);
        let watch = |listener| Watch { listeners: vec![listener], ..Watch::default() };
        let sight = sim.observe(&watch(default_route(&sim).listener)).unwrap();
        assert_eq!(sight.routes, routes(&sim));
        assert_eq!(sim.observe(&watch(balancer(&sim))).unwrap_err().cause, Cause::NotFound);
    }

    #[test]
    fn a_statistic_that_cloudwatch_lacks_is_refused() {
        assert!(latency_factor("p50").unwrap() - 1.0 < 0.01);
        assert!((latency_factor("p99").unwrap() - (SPREAD * 2.326_f64).exp()).abs() < 0.01);
        assert!(latency_factor("p99.9").unwrap() > latency_factor("p99").unwrap());
        for unknown in ["p0", "p100", "99", "Mean", "px"] {
            assert!(latency_factor(unknown).is_err(), "{unknown}");
        }
    }

    fn route(weights: &[u32]) -> Route {
        let names: Vec<String> = (0..weights.len()).map(|n| format!("g{n}")).collect();
        let groups: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
        Route {
            at: RouteAt::Rule("r".into()),
            load_balancer: String::new(),
            listener: String::new(),
            port: None,
            priority: None,
            conditions: Vec::new(),
            actions: vec![forward(&groups)],
        }
    }

    proptest! {
        #[test]
        fn a_split_gives_away_what_there_is(
            routes in prop::collection::vec((prop::collection::vec(0u32..1000, 1..6), 0.0f64..1.0), 1..8)
        ) {
            let routes: Vec<(Route, f64)> = routes.iter().map(|(weights, traffic)| (route(weights), *traffic)).collect();
            let shares = split(routes.iter().map(|(r, traffic)| (r, *traffic)));
            let served = routes.iter().filter(|(r, _)| forwards(r).any(|(_, w)| w > 0)).map(|(_, traffic)| traffic);
            let sum: f64 = shares.values().sum();
            prop_assert!((sum - served.sum::<f64>()).abs() < 1e-9);
            prop_assert!(shares.values().all(|share| *share > 0.0));
        }

        #[test]
        fn a_share_is_in_proportion_to_its_weight(a in 0u32..1000, b in 1u32..1000) {
            let route = route(&[a, b]);
            let shares = split([(&route, 1.0)]);
            let expected = f64::from(a) / f64::from(a + b);
            prop_assert!((shares.get("g0").copied().unwrap_or_default() - expected).abs() < 1e-12);
        }
    }
}
