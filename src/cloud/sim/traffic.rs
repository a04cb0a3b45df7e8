//! Requests, and how routes split them.
//!
//! Invariant: only the history of the split is stored; what follows from it for a minute is in
//! [`super::answers`], and what CloudWatch tells of that in [`super::metrics`].

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Timelike, Utc};
use serde::{Deserialize, Serialize};

use super::elb::{SimRoute, forwards};
use super::episodes::Episode;
use super::universe::{Universe, ViolationKind, is_ours};
use crate::inventory::Route;

/// How far the daily curve reaches from the mean.
const DAILY: f64 = 0.08;
/// The flows of services that are found through Cloud Map. No target group can bear such a name.
pub(super) const FOUND_BLUE: &str = "found/blue";
pub(super) const FOUND_GREEN: &str = "found/green";
/// A run has a few dozen epochs; this only bounds a test that never ends.
const KEPT_EPOCHS: usize = 500;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Requests per minute to everything, on average.
    pub per_minute: f64,
    /// Error rate of an application that is well.
    pub base_errors: f64,
    /// Part of the requests that their clients got wrong.
    #[serde(default)]
    pub client_errors: f64,
    /// Requests per minute that one of blue's tasks can answer.
    pub task_capacity: f64,
    pub epochs: Vec<Epoch>,
    /// When green first received requests.
    pub green_since: Option<DateTime<Utc>>,
    /// Times in which more, less or something else happened than usual.
    #[serde(default)]
    pub episodes: Vec<Episode>,
}

/// A time in which the split did not change; it ends where the next one begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    pub from: DateTime<Utc>,
    /// By name of the target group, only those that receive anything. Without a load balancer, by side:
    /// [`FOUND_BLUE`] and [`FOUND_GREEN`].
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
        if self.blue.target_groups.is_empty() {
            flows.extend(self.found_flows());
        }
        if self.traffic.epochs.last().is_none_or(|last| last.flows != flows) {
            self.begin_epoch(flows);
            self.note_overload();
        }
    }

    /// Consumers choose among the tasks that they find.
    fn found_flows(&self) -> BTreeMap<String, Flow> {
        let sides: Vec<&str> =
            self.found_tasks().map(|(_, task)| if task.ipv6_only { FOUND_GREEN } else { FOUND_BLUE }).collect();
        let mut flows = BTreeMap::new();
        for side in [FOUND_BLUE, FOUND_GREEN] {
            let found = u32::try_from(sides.iter().filter(|found| **found == side).count()).unwrap_or(u32::MAX);
            let all = u32::try_from(sides.len()).unwrap_or(u32::MAX);
            if found > 0 {
                let share = f64::from(found) / f64::from(all);
                flows.insert(side.to_owned(), Flow { share, healthy: found, registered: found });
            }
        }
        flows
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::*;
    use super::*;
    use crate::inventory::RouteAt;

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
