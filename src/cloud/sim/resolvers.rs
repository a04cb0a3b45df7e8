//! How clients follow the answers of Route 53.
//!
//! Answers change at once when a change is in sync; clients come over while the answers that their
//! resolvers keep run out, and a few that keep them for longer come last. Deterministic: what of the
//! clients has followed is a function of the time since.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::elb::forwards;
use super::universe::{Universe, ViolationKind};
use crate::inventory::Record;
use crate::inventory::record::canonical;

/// Part of the clients that mind no TTL.
pub(super) const STRAGGLERS: f64 = 0.03;
/// How long the last of them stay.
const STRAGGLE: Duration = Duration::minutes(4);
/// The followers of a TTL come over in steps of this, the stragglers in steps of a minute.
const STEP: Duration = Duration::seconds(10);

/// What of the requests each load balancer receives, by its ARN.
type Shares = BTreeMap<String, f64>;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolvers {
    /// What the servers answer with, by zone.
    published: BTreeMap<String, Vec<Record>>,
    /// What everybody did before the answers changed last.
    before: Shares,
    answers: Shares,
    since: Option<DateTime<Utc>>,
    ttl_seconds: u32,
}

impl Resolvers {
    /// Part of the clients that has followed the last change of the answers.
    fn followed(&self, now: DateTime<Utc>) -> f64 {
        let Some(since) = self.since else { return 1.0 };
        let (ttl, gone) = (Duration::seconds(i64::from(self.ttl_seconds)), now - since);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred seconds")]
        let part = |of: Duration, whole: Duration, step: Duration| {
            let steps = of.num_seconds() / step.num_seconds() * step.num_seconds();
            (steps as f64 / whole.num_seconds().max(1) as f64).clamp(0.0, 1.0)
        };
        if gone < ttl {
            return (1.0 - STRAGGLERS) * part(gone, ttl, STEP);
        }
        1.0 - STRAGGLERS + STRAGGLERS * part(gone - ttl, STRAGGLE, Duration::minutes(1))
    }

    fn share(&self, balancer: &str, now: DateTime<Utc>) -> f64 {
        let of = |shares: &Shares| shares.get(balancer).copied().unwrap_or_default();
        let (before, after) = (of(&self.before), of(&self.answers));
        before + (after - before) * self.followed(now)
    }

    /// When the next clients come over.
    fn next_step(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let since = self.since?;
        let ttl = Duration::seconds(i64::from(self.ttl_seconds));
        let steps = (1..).map(|n| since + STEP * n).take_while(|at| *at < since + ttl);
        let last = (0..=4).map(|n| since + ttl + Duration::minutes(n));
        steps.chain(last).find(|at| *at > now)
    }
}

impl Universe {
    /// The load balancer that a record leads to.
    pub(super) fn balancer_of(&self, record: &Record) -> Option<String> {
        self.load_balancers.values().find(|b| record.leads_to(&b.dns_name)).map(|b| b.arn.clone())
    }

    /// When clients or servers next take over something.
    pub(super) fn next_answer(&self) -> Option<DateTime<Utc>> {
        let changes = self.names.changes.values().filter(|c| c.published.is_some()).map(|c| c.in_sync);
        changes.filter(|at| *at > self.now).chain(self.names.resolvers.next_step(self.now)).min()
    }

    /// Lets the servers answer with what is in sync, and the clients begin to follow.
    pub(super) fn publish_names(&mut self) {
        if self.names.zones.is_empty() {
            return;
        }
        let first = self.names.resolvers.published.is_empty();
        if first {
            let records = self.names.zones.iter().map(|(id, z)| (id.clone(), z.records.actual.clone()));
            self.names.resolvers.published = records.collect();
        }
        let mut due: Vec<(DateTime<Utc>, String)> = Vec::new();
        for (id, change) in &self.names.changes {
            if change.published.is_some() && change.in_sync <= self.now {
                due.push((change.in_sync, id.clone()));
            }
        }
        due.sort();
        for (_, id) in due {
            let published = self.names.changes.get_mut(&id).and_then(|c| c.published.take());
            self.names.resolvers.published.extend(published);
        }
        let answers = self.answers_now();
        if answers == self.names.resolvers.answers {
            return;
        }
        let now = self.now;
        let balancers: BTreeSet<&String> = self.load_balancers.keys().collect();
        let before = balancers.into_iter().map(|b| (b.clone(), self.names.resolvers.share(b, now))).collect();
        let records = self.names.resolvers.published.values().flatten().filter(|r| self.balancer_of(r).is_some());
        let ttl_seconds = records.map(Record::follows_after).max().unwrap_or_default();
        let resolvers = &mut self.names.resolvers;
        if first {
            resolvers.before.clone_from(&answers);
        } else {
            resolvers.before = before;
        }
        (resolvers.answers, resolvers.since, resolvers.ttl_seconds) = (answers, (!first).then_some(now), ttl_seconds);
    }

    /// What of the requests is sent to each load balancer by the servers' answers: every name that
    /// leads to one is asked for equally often, and so is every type of it.
    fn answers_now(&self) -> Shares {
        let mut by_name: BTreeMap<(String, String), BTreeMap<String, Vec<&Record>>> = BTreeMap::new();
        for (zone, records) in &self.names.resolvers.published {
            for record in records.iter().filter(|r| r.is_address()) {
                let name = by_name.entry((zone.clone(), canonical(&record.name))).or_default();
                name.entry(record.kind.clone()).or_default().push(record);
            }
        }
        by_name.values_mut().for_each(|kinds| {
            kinds.retain(|_, set| set.iter().any(|r| self.balancer_of(r).is_some()));
        });
        by_name.retain(|_, kinds| !kinds.is_empty());
        let mut shares = Shares::new();
        let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        for kinds in by_name.values() {
            for set in kinds.values() {
                let part = 1.0 / count(by_name.len()) / count(kinds.len());
                for (record, answered) in self.answered(set) {
                    if let Some(balancer) = self.balancer_of(record).filter(|_| answered > 0.0) {
                        *shares.entry(balancer).or_default() += part * answered;
                    }
                }
            }
        }
        shares
    }

    /// How often each member of a set is the answer. Members of weight 0 are answered where no other
    /// is healthy, all equally where all weights are 0, and none counts as ill where all are (Route 53
    /// guide, how records are chosen when health checking is configured).
    fn answered<'r>(&self, set: &[&'r Record]) -> Vec<(&'r Record, f64)> {
        if let [only] = set {
            return vec![(only, 1.0)];
        }
        let weight = |r: &Record| r.weight.unwrap_or(0);
        let heavy: Vec<&Record> = set.iter().copied().filter(|r| weight(r) > 0).collect();
        let light: Vec<&Record> = set.iter().copied().filter(|r| weight(r) == 0).collect();
        let well =
            |of: &[&'r Record]| -> Vec<&'r Record> { of.iter().copied().filter(|r| self.answers_well(r)).collect() };
        let candidates = [well(&heavy), well(&light), heavy.clone(), light.clone()];
        let chosen = candidates.into_iter().find(|c| !c.is_empty()).unwrap_or_default();
        let sum: u32 = chosen.iter().map(|r| weight(r)).sum();
        let each = 1.0 / f64::from(u32::try_from(chosen.len().max(1)).unwrap_or(u32::MAX));
        let part = |r: &Record| if sum == 0 { each } else { f64::from(weight(r)) / f64::from(sum) };
        chosen.into_iter().map(|r| (r, part(r))).collect()
    }

    /// Whether a record counts as healthy: an alias that evaluates its load balancer does where every
    /// target group there has a healthy target.
    fn answers_well(&self, record: &Record) -> bool {
        let evaluates = record.alias_target.as_ref().is_some_and(|a| a.evaluate_target_health);
        let Some(balancer) = self.balancer_of(record).filter(|_| evaluates) else { return true };
        let routes = self.routes.values().map(|r| &r.route.actual).filter(|r| r.load_balancer == balancer);
        let mut groups = routes.flat_map(forwards);
        groups.all(|(arn, _)| self.target_counts(arn).0 > 0)
    }

    /// What of all requests reaches a load balancer: everything, where no records lead anywhere.
    pub(super) fn balancer_share(&self, balancer: &str) -> f64 {
        if self.names.zones.is_empty() { 1.0 } else { self.names.resolvers.share(balancer, self.now) }
    }

    /// Whether requests may still reach a load balancer, those of clients that mind no TTL left out.
    pub(super) fn is_asked(&self, balancer: &str) -> bool {
        self.names.zones.is_empty() || self.balancer_share(balancer) > STRAGGLERS + 1e-9
    }

    /// Whether records still send anybody to blue's load balancer.
    pub(super) fn blue_is_named(&self) -> bool {
        let balancers: Vec<String> = self.blue.target_groups.iter().flat_map(|g| self.load_balancers_of(g)).collect();
        let records = self.names.zones.values().flat_map(|z| &z.records.actual);
        let mut leading = records.filter(|r| r.weight != Some(0)).filter_map(|r| self.balancer_of(r));
        leading.any(|b| balancers.contains(&b)) || balancers.iter().any(|b| self.balancer_share(b) > 0.01 + 1e-9)
    }

    /// Records with weight whose load balancer sends requests to a group without a healthy target.
    pub(super) fn unhealthy_records(&self) -> Vec<(ViolationKind, String)> {
        let mut found = Vec::new();
        for record in self.names.zones.values().flat_map(|z| &z.records.actual).filter(|r| r.weight != Some(0)) {
            let Some(balancer) = self.balancer_of(record) else { continue };
            for stored in self.routes.values().filter(|r| r.route.actual.load_balancer == balancer) {
                let groups = forwards(&stored.route.actual).filter(|(_, weight)| *weight > 0);
                for (arn, _) in groups.filter(|(arn, _)| self.target_counts(arn).0 == 0) {
                    if stored.traffic > 0.0 {
                        let what = format!("record {} {} leads to {arn}", record.name, record.kind);
                        found.push((ViolationKind::WeightWithoutHealth, what));
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::elb::SimRoute;
    use super::super::fixture::{forward, pass, start};
    use super::super::{Scenario, Sim, SimGroup, Tamper};
    use super::*;
    use crate::cloud::names::{Names, RecordChange};
    use crate::inventory::{LoadBalancer, Route, RouteAt, TargetGroup};
    use crate::playbook::Playbook;

    const ZONE: &str = "Z0SANDBOX1";

    /// An estate with a second load balancer whose only group has this many healthy targets.
    fn sim(healthy: u32) -> Sim {
        let playbook: Playbook = serde_json::from_value(json!({
            "version": 1,
            "name": "web",
            "service": { "cluster": "prod", "name": "web" },
            "green": { "network": { "subnets": ["subnet-0a1"] } },
            "shift": { "dns_weights": {} },
            "stages": [{ "green": "100%", "bake": "15m" }],
        }))
        .unwrap();
        let mut universe = Universe::for_playbook(&playbook, Scenario::Healthy, 7, start());
        let blue = universe.load_balancers.values().find(|b| b.name == "web").unwrap().clone();
        let green = LoadBalancer {
            arn: format!("{}-ipv6", blue.arn),
            dns_name: "green.elb.amazonaws.com".into(),
            ..blue.clone()
        };
        let group = universe.target_groups.values().find(|g| g.group.name == "web").unwrap().group.clone();
        let twin =
            TargetGroup { arn: "arn:green".into(), name: "green".into(), ip_address_type: "ipv6".into(), ..group };
        let listener = "arn:green-listener".to_owned();
        let route = Route {
            at: RouteAt::Listener(listener.clone()),
            load_balancer: green.arn.clone(),
            listener: listener.clone(),
            port: Some(443),
            priority: None,
            conditions: Vec::new(),
            actions: vec![forward(&[("arn:green", 1)])],
        };
        let route =
            SimRoute { route: super::super::universe::Lagging::new(route), tags: BTreeMap::new(), traffic: 1.0 };
        universe.routes.insert(listener, route);
        universe.target_groups.insert(twin.arn.clone(), SimGroup { group: twin, fixed_targets: healthy });
        universe.load_balancers.insert(green.arn.clone(), green);
        universe.settle();
        Sim::in_memory(universe)
    }

    /// Gives the A and AAAA records of the name these weights, and says what the servers then answer.
    fn weigh(sim: &Sim, blue: u32, green: u32) {
        let old: Vec<Record> =
            sim.records(ZONE).unwrap().into_iter().filter(|r| r.name == "api.example.com.").collect();
        let mut create = Vec::new();
        for kind in ["A", "AAAA"] {
            let member = old.iter().find(|r| r.kind == kind).unwrap().clone();
            let with = |id: &str, weight: u32, target: &str| {
                let mut record = member.clone();
                (record.set_identifier, record.weight) = (Some(id.to_owned()), Some(weight));
                record.alias_target.as_mut().unwrap().dns_name = target.to_owned();
                record
            };
            let names = sim.universe().load_balancers;
            let name = |wanted: bool| {
                let found = names.values().find(|b| b.dns_name.starts_with("green") == wanted);
                found.unwrap().dns_name.clone()
            };
            create.push(with("blue", blue, &name(false)));
            create.push(with("green", green, &name(true)));
        }
        let change = RecordChange { zone: ZONE.to_owned(), comment: String::new(), delete: old, create };
        sim.change_records(&change).unwrap();
    }

    fn green(sim: &Sim) -> f64 {
        let universe = sim.universe();
        let arn = universe.load_balancers.values().find(|b| b.dns_name.starts_with("green")).unwrap().arn.clone();
        let flow = universe.traffic.epochs.last().unwrap().flows.get("green").map_or(0.0, |f| f.share);
        assert!((flow - universe.balancer_share(&arn)).abs() < 1e-9, "the default action takes all of it");
        flow
    }

    #[test]
    fn clients_follow_when_the_answer_is_there_and_their_own_has_run_out() {
        let sim = sim(4);
        assert!(green(&sim) < 1e-9);
        weigh(&sim, 50, 50);
        assert!(green(&sim) < 1e-9, "nothing is answered before it is in sync");
        pass(&sim, 60);
        let half_way = green(&sim);
        assert!((0.1..0.45).contains(&half_way), "{half_way}");
        pass(&sim, 40);
        assert!((green(&sim) - 0.5 * (1.0 - STRAGGLERS)).abs() < 0.01, "{}", green(&sim));
        pass(&sim, 400);
        assert!((green(&sim) - 0.5).abs() < 1e-9, "{}", green(&sim));
        assert_eq!(sim.universe().violations, []);
        // The rules of blue's load balancer get what is left, each its part.
        let flows = sim.universe().traffic.epochs.last().unwrap().flows.clone();
        assert!((flows["web"].share - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_change_of_mind_begins_where_clients_are() {
        let sim = sim(4);
        weigh(&sim, 0, 100);
        pass(&sim, 60);
        let before = green(&sim);
        weigh(&sim, 100, 0);
        pass(&sim, 1);
        assert!(green(&sim) >= before);
        pass(&sim, 500);
        assert!(green(&sim) < 1e-9);
    }

    #[test]
    fn weight_zero_is_the_answer_where_nothing_else_is_healthy() {
        let sim = sim(4);
        weigh(&sim, 100, 0);
        pass(&sim, 500);
        assert!(green(&sim) < 1e-9);
        let lost = Tamper::LoseHealth { cluster: "prod".into(), service: "web".into() };
        sim.with(|u| u.tamper(&lost)).unwrap();
        pass(&sim, 500);
        assert!((green(&sim) - 1.0).abs() < 1e-9, "blue's load balancer is ill, so weight 0 is answered");
    }

    #[test]
    fn where_all_are_ill_none_counts_as_ill() {
        let sim = sim(0);
        weigh(&sim, 30, 10);
        let lost = Tamper::LoseHealth { cluster: "prod".into(), service: "web".into() };
        sim.with(|u| u.tamper(&lost)).unwrap();
        pass(&sim, 500);
        assert!((green(&sim) - 0.25).abs() < 1e-9, "{}", green(&sim));
    }

    #[test]
    fn all_zero_is_equal_shares() {
        let sim = sim(4);
        weigh(&sim, 0, 0);
        pass(&sim, 500);
        assert!((green(&sim) - 0.5).abs() < 1e-9);
        assert!(sim.universe().violations.iter().any(|v| v.kind == ViolationKind::AllWeightsZero));
    }

    #[test]
    fn an_alias_with_an_empty_target_group_behind_it_is_not_healthy() {
        let sim = sim(0);
        weigh(&sim, 50, 50);
        assert!(sim.universe().violations.iter().any(|v| v.kind == ViolationKind::WeightWithoutHealth));
        pass(&sim, 500);
        assert!(green(&sim) < 1e-9, "its health is evaluated, so it is not answered");
    }
}
