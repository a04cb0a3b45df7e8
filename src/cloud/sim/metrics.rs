//! What CloudWatch says of the requests, minute by minute.
//!
//! Its manners are kept: a minute is complete two minutes after its end, and of failures what is zero is
//! not reported at all.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, DurationRound, Utc};

use super::answers::{MEDIAN_SECONDS, Memo, Part, SPREAD};
use super::episodes::Side;
use super::faults::{failed, refused};
use super::scenario::Scenario;
use super::universe::Universe;
use crate::cloud::{Cause, CloudError, Counted, Counts, MetricWindow, Minute};

pub(super) const GET_METRICS: &str = "cloudwatch:GetMetricData";
/// Until then a minute is incomplete.
pub(super) const SETTLING: Duration = Duration::minutes(2);
/// What of an incomplete minute is there already.
const EARLY_PART: f64 = 0.6;

impl Universe {
    /// What CloudWatch answers to everything while it is out.
    pub(super) fn blind(&self, operation: &str) -> Option<CloudError> {
        if let Some(error) = self.out(operation) {
            return Some(error);
        }
        let outage = Duration::seconds(i64::from(self.knobs.outage_after_s));
        let from = self.traffic.green_since.filter(|_| self.scenario == Scenario::MetricsOutage)? + outage;
        let text = "InternalServiceFault: The request processing has failed because of an unknown error";
        (self.now >= from).then(|| failed(operation, Cause::Unknown, text))
    }

    /// Whether CloudWatch answers a question for metrics.
    pub(super) fn seeing(&self) -> Result<(), CloudError> {
        self.blind(GET_METRICS).map_or(Ok(()), Err)
    }

    /// The minutes of a window that are over, as CloudWatch reports them now.
    pub(super) fn metrics(&self, window: &MetricWindow, memo: &mut Memo) -> Result<Vec<Minute>, CloudError> {
        self.seeing()?;
        let factor = window.latency.as_deref().map(latency_factor).transpose()?;
        let mut minutes = Vec::new();
        // CloudWatch rounds the start down to a full minute.
        let mut start = window.from.duration_trunc(Duration::minutes(1)).unwrap_or(window.from);
        while start < window.to {
            let mut minute = Minute {
                start,
                green: self.counts(window, &window.green, start, factor, memo),
                blue: self.counts(window, &window.blue, start, factor, memo),
                levels: self.levels(window, start, memo),
            };
            minute.green.own = self.own(window, Side::Green, start, memo);
            minute.blue.own = self.own(window, Side::Blue, start, memo);
            minutes.push(self.reported(minute));
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
        let requests = window.counted == Counted::Requests;
        let bounds = window.slow.filter(|_| requests);
        for group in arns.iter().filter_map(|arn| self.target_groups.get(arn)) {
            let drawn = self.drawn(&group.group.arn, &group.group.name, minute, complete, memo);
            let part = so_far(drawn.whole(bounds), complete);
            counts.add(&part, window.counted, bounds.is_some() || window.unserved);
            if let Some(factor) = factor.filter(|_| part.requests > part.unserved) {
                let latency = MEDIAN_SECONDS * factor * drawn.slowness;
                counts.latency = Some(counts.latency.unwrap_or_default().max(latency));
            }
        }
        if !window.client_errors {
            counts.client_errors = None;
        }
        if bounds.is_none() {
            counts.slow = [None; 2];
        }
        let behind = self.behind_balancers(window, arns, minute, complete, memo);
        if window.counted == Counted::Flows {
            counts.bad = behind.bad;
        }
        counts.unserved = behind.unserved.filter(|_| requests && window.unserved);
        counts
    }

    /// Everything behind the load balancers of these groups: what is counted by load balancer is counted
    /// for all of its groups.
    fn behind_balancers(
        &self,
        window: &MetricWindow,
        arns: &[String],
        minute: DateTime<Utc>,
        complete: bool,
        memo: &mut Memo,
    ) -> Counts {
        let balancers: BTreeSet<&String> = arns.iter().filter_map(|arn| window.load_balancers.get(arn)).collect();
        let behind = window.load_balancers.iter().filter(|(_, b)| balancers.contains(b)).map(|(arn, _)| arn);
        let mut counts = Counts::default();
        for group in behind.filter_map(|arn| self.target_groups.get(arn)) {
            let drawn = self.drawn(&group.group.arn, &group.group.name, minute, complete, memo);
            counts.add(&so_far(drawn.whole(None), complete), window.counted, false);
        }
        counts
    }
}

/// What of a group's minute is there already.
fn so_far(part: Part, complete: bool) -> Part {
    if complete {
        return part;
    }
    let early = |value: f64| (value * EARLY_PART).floor();
    Part {
        requests: early(part.requests),
        bad: early(part.bad),
        unserved: early(part.unserved),
        client_errors: early(part.client_errors),
        slow: part.slow.map(early),
    }
}

/// Adds to what is reported; what is zero is not.
fn report(sum: &mut Option<f64>, value: f64) {
    if value > 0.0 {
        *sum = Some(sum.unwrap_or_default() + value);
    }
}

impl Counts {
    /// Adds a part of what a target group answered, as CloudWatch reports it. Unlike failures, requests
    /// that took long are reported even where there are none.
    pub(super) fn add(&mut self, part: &Part, counted: Counted, latency: bool) {
        report(&mut self.requests, part.requests);
        report(&mut self.bad, part.bad);
        if counted == Counted::Requests {
            report(&mut self.unserved, part.unserved);
            report(&mut self.client_errors, part.client_errors);
        }
        let samples = part.requests - part.unserved;
        if latency && samples > 0.0 {
            report(&mut self.samples, samples);
            for (sum, value) in self.slow.iter_mut().zip(part.slow) {
                *sum = Some(sum.unwrap_or_default() + value);
            }
        }
    }
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
    use std::collections::BTreeMap;

    use super::super::fixture::*;
    use super::super::universe::ViolationKind;
    use super::super::{Sim, Tamper};
    use super::*;
    use crate::clock::Clock;
    use crate::cloud::{Cloud, Watch};

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
}
