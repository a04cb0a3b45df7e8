//! The simulated cloud as data: one value that can be saved, compared and replayed.
//!
//! Invariant: the same universe and the same calls yield the same universe. Maps are ordered,
//! randomness is a hash of the seed and of what is asked, and time is a field. Nothing here opens
//! a file or reads a clock; [`super::Sim`] does the former, and nobody the latter.
//!
//! Deliberately absent: subnets' routes, security groups, images, IAM. What a run asks the cloud
//! about is here; what only a network would notice is not.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::balancers::SimBalancer;
use super::ecs::SimService;
use super::elb::{SimGroup, SimRoute};
use super::faults::{CallLog, Fault};
use super::levels::SimLevel;
use super::monitoring::Disturbance;
use super::names::SimNames;
use super::notices::SimMessage;
use super::registries::SimRegistry;
use super::scaling::SimScaling;
use super::scenario::Scenario;
use super::traffic::Traffic;
use crate::cloud::Identity;
use crate::inventory::{Alarm, LoadBalancer, TaskDefinition};

/// Begins the name of every tag that marks what `migrate` created.
pub const OUR_TAG: &str = "migrate:";

/// How many violations are kept; one is enough for a test to fail.
const KEPT_VIOLATIONS: usize = 50;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Universe {
    /// Version of this structure, so that an old file is refused rather than misread.
    pub format: u32,
    pub seed: u64,
    pub scenario: Scenario,
    pub now: DateTime<Utc>,
    pub identity: Identity,
    pub knobs: Knobs,
    pub faults: Vec<Fault>,
    pub calls: CallLog,
    /// What happened that must never happen.
    pub violations: Vec<Violation>,
    /// Blue as it was at the origin: what the invariants are judged against.
    pub blue: Blue,
    /// Cluster ARNs by name.
    pub clusters: BTreeMap<String, String>,
    /// By ARN.
    pub load_balancers: BTreeMap<String, LoadBalancer>,
    /// What these have beside their description, by ARN, and what is left of deleted ones.
    #[serde(default)]
    pub balancers: BTreeMap<String, SimBalancer>,
    /// By ARN.
    pub target_groups: BTreeMap<String, SimGroup>,
    /// By the ARN of the rule, or of the listener for its default action.
    pub routes: BTreeMap<String, SimRoute>,
    /// By `cluster/service`; a deleted service stays as `INACTIVE` until its name is used again.
    pub services: BTreeMap<String, SimService>,
    /// By ARN.
    pub task_definitions: BTreeMap<String, SimTaskDefinition>,
    /// Whether each subnet is IPv6-only.
    pub subnets: BTreeMap<String, bool>,
    /// By resource.
    pub scaling: BTreeMap<String, SimScaling>,
    pub alarms: BTreeMap<String, Alarm>,
    /// The user's own metrics, by the name that the playbook gives them.
    #[serde(default)]
    pub levels: BTreeMap<String, SimLevel>,
    /// Cloud Map services, by ARN.
    #[serde(default)]
    pub registries: BTreeMap<String, SimRegistry>,
    /// Messages that were sent to topics, oldest first.
    #[serde(default)]
    pub messages: Vec<SimMessage>,
    /// Test rules that not every read shows yet, and when each will.
    #[serde(default)]
    pub unborn_rules: BTreeMap<String, DateTime<Utc>>,
    pub traffic: Traffic,
    /// How CloudWatch's answers differ from what happened.
    #[serde(default)]
    pub disturbances: Vec<Disturbance>,
    /// Hosted zones, where traffic moves by records.
    #[serde(default)]
    pub names: SimNames,
    /// The next full minute, in which auto scaling looks at the load.
    pub next_tick: DateTime<Utc>,
    pub next_id: u64,
}

/// Settings that make the cloud less convenient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Knobs {
    /// A read may return what was true up to this long ago.
    pub read_lag_ms: u32,
    /// What one call takes.
    pub call_ms: u32,
    /// Whether a forward action refuses target groups of both address families.
    pub rejects_mixed_families: bool,
    /// How many failures come at once, all of them on one side and in one zone.
    pub failure_cluster: u32,
    /// How long green's traffic flows before CloudWatch fails, in the scenario `metrics-outage`.
    pub outage_after_s: u32,
    /// Rules that a load balancer may have, default actions not counted.
    pub rule_limit: usize,
    /// How long a flow through a network load balancer stays open.
    pub flow_seconds: u32,
    /// Load balancers that the account may have in the region.
    pub balancer_limit: usize,
    /// Listeners that a load balancer may have.
    pub listener_limit: usize,
    /// How long a new load balancer is `provisioning`.
    pub provisioning_s: u32,
    /// How long a deleted load balancer keeps its target groups.
    pub departing_s: u32,
}

impl Default for Knobs {
    fn default() -> Self {
        Knobs {
            read_lag_ms: 0,
            call_ms: 80,
            rejects_mixed_families: false,
            failure_cluster: 1,
            outage_after_s: 300,
            rule_limit: 100,
            flow_seconds: 300,
            balancer_limit: 50,
            listener_limit: 50,
            provisioning_s: 120,
            departing_s: 30,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blue {
    /// `cluster/service`.
    pub service: String,
    pub desired_count: u32,
    /// ARNs of its target groups.
    pub target_groups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimTaskDefinition {
    pub definition: TaskDefinition,
    pub revision: u32,
    pub active: bool,
}

/// Something that breaks an invariant of the tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    pub at: DateTime<Utc>,
    pub kind: ViolationKind,
    pub what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// A forward action whose weights are all zero.
    AllWeightsZero,
    /// A positive weight on a group without healthy targets.
    WeightWithoutHealth,
    /// Requests answered 503 by the load balancer.
    TrafficUnserved,
    /// Blue wants fewer tasks than at the origin, although it may still be needed.
    BlueShrunk,
    /// Blue has too few healthy tasks for the traffic that it gets.
    BlueOverloaded,
    /// Something that the tool did not create was deleted.
    ForeignDeleted,
    /// A write changed what is not the tool's in a route.
    ForeignChanged,
    /// A service lost its tasks while flows through a network load balancer were open to them.
    FlowsCut,
}

/// A value whose change becomes visible late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lagging<T> {
    pub actual: T,
    /// What reads still return, and until when.
    stale: Option<(T, DateTime<Utc>)>,
}

impl<T: Clone> Lagging<T> {
    pub fn new(actual: T) -> Self {
        Lagging { actual, stale: None }
    }

    pub fn seen(&self, now: DateTime<Utc>) -> &T {
        match &self.stale {
            Some((old, until)) if now < *until => old,
            _ => &self.actual,
        }
    }

    pub fn set(&mut self, value: T, now: DateTime<Utc>, lag: Duration) {
        if lag > Duration::zero() {
            self.stale = Some((self.seen(now).clone(), now + lag));
        } else {
            self.stale = None;
        }
        self.actual = value;
    }
}

impl Universe {
    /// Lets time pass until `to`, and everything happen that is due until then.
    pub fn advance(&mut self, to: DateTime<Utc>) {
        loop {
            let tasks = self.services.values().filter_map(|s| s.next_event(self.now)).min();
            let tick = (!self.scaling.is_empty()).then_some(self.next_tick);
            let answer = self.next_answer();
            let Some(due) = tasks.into_iter().chain(tick).chain(answer).min().filter(|due| *due <= to) else { break };
            self.now = self.now.max(due);
            // A minute in which auto scaling changes nothing has no consequences.
            if self.tick_scaling() || tasks == Some(due) || answer == Some(due) {
                self.settle();
            }
        }
        self.now = self.now.max(to);
    }

    /// Draws all consequences of what the world did.
    pub fn settle(&mut self) {
        self.reconcile_services();
        self.publish_names();
        self.record_traffic();
        self.note_discovery();
    }

    /// How long this read, or the visibility of this write, lags: anything up to the knob.
    pub(super) fn lag(&self) -> Duration {
        let most = u64::from(self.knobs.read_lag_ms);
        if most == 0 {
            return Duration::zero();
        }
        let drawn = mixed(&[self.seed, self.calls.count, 0x1a6]) % (most + 1);
        Duration::milliseconds(i64::try_from(drawn).unwrap_or_default())
    }

    /// The random part of a new ARN.
    pub(super) fn fresh_id(&mut self) -> String {
        self.next_id += 1;
        format!("{:016x}", mixed(&[self.seed, self.next_id, 0x1d]))
    }

    pub(super) fn violate(&mut self, kind: ViolationKind, what: String) {
        let known = self.violations.iter().any(|v| v.kind == kind && v.what == what);
        if !known && self.violations.len() < KEPT_VIOLATIONS {
            self.violations.push(Violation { at: self.now, kind, what });
        }
    }

    /// Everything that a full rollback, one that removes green, must leave as it was.
    pub fn estate_fingerprint(&self) -> Value {
        self.fingerprint(true)
    }

    /// Like [`Universe::estate_fingerprint`], without what bears a tag of the tool: what any
    /// rollback must leave as it was.
    pub fn foreign_fingerprint(&self) -> Value {
        self.fingerprint(false)
    }

    fn fingerprint(&self, with_ours: bool) -> Value {
        let shown = |tags: &BTreeMap<String, String>| with_ours || !is_ours(tags);
        let routes: Vec<Value> = self
            .routes
            .values()
            .filter(|r| shown(&r.tags))
            .map(|r| json!({ "route": r.route.actual, "tags": r.tags }))
            .collect();
        let groups: Vec<Value> =
            self.target_groups.values().filter(|g| shown(&g.group.tags)).map(|g| json!(self.group_seen(g))).collect();
        let services: Vec<Value> = self
            .services
            .values()
            .filter(|s| s.is_active() && shown(&s.service.actual.tags))
            .map(SimService::fingerprint)
            .collect();
        let definitions: Vec<&String> = self
            .task_definitions
            .iter()
            .filter(|(_, d)| d.active && shown(&d.definition.tags))
            .map(|(arn, _)| arn)
            .collect();
        // Auto scaling bears no tags here: whose it is, its service says.
        let owned = |s: &&SimScaling| self.services.get(&s.service).is_none_or(|of| shown(&of.service.actual.tags));
        let scaling: Vec<Value> = self.scaling.values().filter(owned).map(|s| json!(s.target)).collect();
        let zones: Vec<Value> =
            self.names.zones.values().map(|z| json!({ "zone": z.zone, "records": z.records.actual })).collect();
        let tags_of = |arn: &String| self.balancers.get(arn).map(|s| s.parts.tags.clone()).unwrap_or_default();
        let balancers: BTreeMap<&String, &LoadBalancer> =
            self.load_balancers.iter().filter(|(arn, _)| shown(&tags_of(arn))).collect();
        let parts: Vec<Value> = balancers
            .keys()
            .filter_map(|arn| self.anatomy(arn))
            .map(|mut anatomy| {
                anatomy.listeners.retain(|l| shown(&l.tags));
                // Rules stand among the routes.
                anatomy.listeners.iter_mut().for_each(|l| l.rules.clear());
                json!(anatomy)
            })
            .collect();
        json!({
            "zones": zones,
            "load_balancers": balancers,
            "anatomies": parts,
            "routes": routes,
            "target_groups": groups,
            "services": services,
            "task_definitions": definitions,
            "scaling": scaling,
            "registries": self.registries_shown(&shown),
        })
    }
}

/// Whether tags mark something that the tool created.
pub(super) fn is_ours(tags: &BTreeMap<String, String>) -> bool {
    tags.keys().any(|key| key.starts_with(OUR_TAG))
}

/// Whether something with these tags was made for this wish: it bears every mark of the wish, and
/// the wish has one.
pub(super) fn bears_marks(tags: &BTreeMap<String, String>, wish: &BTreeMap<String, String>) -> bool {
    let mut marks = wish.iter().filter(|(key, _)| key.starts_with(OUR_TAG));
    is_ours(wish) && marks.all(|(key, value)| tags.get(key) == Some(value))
}

/// The name at the end of an ARN, or the name itself.
pub(super) fn short(name_or_arn: &str) -> &str {
    name_or_arn.rsplit('/').next().unwrap_or(name_or_arn)
}

/// `cluster/service` from names or ARNs.
pub(super) fn service_key(cluster: &str, service: &str) -> String {
    format!("{}/{}", short(cluster), short(service))
}

/// A well mixed number that depends on every part, in order (SplitMix64).
pub(super) fn mixed(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// A number for a name (FNV-1a).
pub(super) fn number_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::super::fixture::*;
    use super::super::{Fault, FaultAt, FaultKind, Sim, Tamper};
    use super::*;
    use crate::clock::{Clock, Signal, Wake};
    use crate::cloud::{Cause, Cloud, Minute};

    /// A whole run with five stages, looked at once a minute, and what was seen.
    fn rehearse(sim: &Sim) -> Vec<Minute> {
        let (green, rule) = stand_up(sim);
        pass(sim, 120);
        let mut seen = Vec::new();
        for (percent, bake) in [(1, 15), (10, 15), (25, 30), (50, 60), (100, 60)] {
            shift_all(sim, &green, percent);
            for minute in 1..=bake {
                pass(sim, 60);
                seen = minutes(sim, &green, minute).unwrap();
            }
        }
        sim.delete_rule(&rule).unwrap();
        sim.set_desired_count("prod", "web", 0).unwrap();
        seen
    }

    #[test]
    fn the_same_seed_is_the_same_world() {
        let (one, two) = (sim(Scenario::Healthy), sim(Scenario::Healthy));
        assert_eq!(rehearse(&one), rehearse(&two));
        assert_eq!(one.universe(), two.universe());
        assert_eq!(one.universe().violations, []);
        let other = Sim::in_memory(Universe::for_playbook(&playbook(), Scenario::Healthy, 8, start()));
        assert_ne!(rehearse(&sim(Scenario::Healthy)), rehearse(&other));
    }

    #[test]
    fn a_saved_universe_goes_on_as_if_it_had_not_been() {
        let sim = sim(Scenario::Throttled);
        sim.with(|u| u.knobs.read_lag_ms = 900).unwrap();
        while create_group(&sim).is_err() {}
        let saved = serde_json::to_string(&sim.universe()).unwrap();
        let read: Universe = serde_json::from_str(&saved).unwrap();
        assert_eq!(read, sim.universe());
        let other = Sim::in_memory(read);
        for either in [&sim, &other] {
            for _ in 0..20 {
                let _ = either.service("prod", "web");
                pass(either, 30);
            }
        }
        assert_eq!(sim.universe(), other.universe());
    }

    #[test]
    fn a_rehearsal_is_quick() {
        let begun = std::time::Instant::now();
        let sim = sim(Scenario::Healthy);
        rehearse(&sim);
        let took = begun.elapsed();
        // Generous: the machine may be busy. Unloaded it is a tenth of this.
        assert!(took.as_millis() < 1000, "{took:?}");
        let saved = serde_json::to_vec(&sim.universe()).unwrap().len();
        assert!(saved < 60_000, "{saved} bytes");
    }

    #[test]
    fn the_estate_serves_all_its_traffic_from_blue() {
        let world = universe(Scenario::Healthy);
        let total: f64 = world.routes.values().map(|r| r.traffic).sum();
        assert!((total - 1.0).abs() < 1e-9);
        let epoch = &world.traffic.epochs[0];
        assert!((epoch.flows["web"].share - 0.99).abs() < 1e-9);
        assert_eq!(epoch.flows["web"].healthy, 4);
        let before = minutes(&Sim::in_memory(world.clone()), "arn:none", 60).unwrap();
        assert!(before.iter().all(|m| m.blue.requests > Some(5000.0)), "blue has a past");
        assert_eq!(world.violations, []);
    }

    #[test]
    fn names_of_the_playbook_are_the_names_of_the_estate() {
        let arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/grpc/00aa";
        let mut playbook = playbook();
        playbook.region = Some("us-east-1".to_owned());
        playbook.service.cluster = "arn:aws:ecs:us-east-1:123456789012:cluster/main".to_owned();
        playbook.service.name = "shop_front".to_owned();
        playbook.service.container = Some("nginx".to_owned());
        playbook.service.target_groups = vec!["http".to_owned(), arn.to_owned()];
        let sim = Sim::in_memory(Universe::for_playbook(&playbook, Scenario::Healthy, 1, start()));
        let service = sim.service(&playbook.service.cluster, "shop_front").unwrap().unwrap();
        assert_eq!(service.load_balancers[1].target_group.as_deref(), Some(arn));
        assert_eq!(service.load_balancers[0].container, "nginx");
        assert!(service.arn.starts_with("arn:aws:ecs:us-east-1:123456789012:service/main/"));
        assert_eq!(routes(&sim).len(), 6);
        let definition = sim.task_definition(&service.task_definition).unwrap();
        assert_eq!(definition.containers[0].image, "123456789012.dkr.ecr.us-east-1.amazonaws.com/shop_front:1.4.2");
        let universe = sim.universe();
        let total: f64 = universe.routes.values().map(|r| r.traffic).sum();
        assert!((total - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_others_do_is_seen_and_no_violation() {
        let sim = sim(Scenario::Healthy);
        let route = default_route(&sim);
        let blue = blue_group(&sim);
        let calls = sim.universe().calls.count;
        let weight = Tamper::SetWeight { at: route.at.clone(), group: blue, weight: 7 };
        assert!(sim.with(|u| u.tamper(&weight)).unwrap());
        assert!(!sim.with(|u| u.tamper(&weight)).unwrap());
        let rule = routes(&sim)[0].at.arn().to_owned();
        assert!(sim.with(|u| u.tamper(&Tamper::DeleteRule(rule))).unwrap());
        let red = Tamper::SetAlarm { name: "web-5xx".to_owned(), state: "ALARM".to_owned() };
        assert!(sim.with(|u| u.tamper(&red)).unwrap());
        assert_ne!(default_route(&sim), route);
        assert_eq!(routes(&sim).len(), 4);
        assert_eq!(sim.universe().violations, []);
        assert!(sim.universe().calls.count > calls);
        let total: f64 = sim.universe().routes.values().map(|r| r.traffic).sum();
        assert!((total - 1.0).abs() < 1e-9);
    }

    /// The sweep that the engine's tests make, in small: a fault at each call of a stand-up that is
    /// repeated until it is through.
    #[test]
    fn a_fault_at_any_call_can_be_survived_by_repeating_the_verb() {
        let count = {
            let sim = sim(Scenario::Healthy);
            stand_up(&sim);
            sim.universe().calls.count
        };
        for call in 1..=count {
            for kind in [FaultKind::RefuseBefore(Cause::Unreachable), FaultKind::ApplyThenUnknown, FaultKind::Repeat] {
                let sim = sim(Scenario::Healthy);
                sim.with(|u| u.faults.push(Fault { call: FaultAt::Call(call), kind })).unwrap();
                let done = (0..2).find_map(|_| try_stand_up(&sim).ok()).unwrap();
                pass(&sim, 120);
                shift_all(&sim, &done.0, 100);
                assert_eq!(sim.universe().violations, [], "call {call}, {kind:?}");
            }
        }
    }

    #[test]
    fn waiting_is_free_until_somebody_says_stop() {
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ear = asked.clone();
        let sim = sim(Scenario::Healthy).with_stop(std::sync::Arc::new(move || {
            ear.load(std::sync::atomic::Ordering::Relaxed).then_some(Signal::Terminate)
        }));
        let later = start() + Duration::hours(24);
        assert_eq!(sim.wait(later), Wake::Reached);
        assert_eq!(sim.now(), later);
        assert_eq!(sim.wait(start()), Wake::Reached);
        assert_eq!(sim.now(), later, "time never goes back");
        asked.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(sim.stop_requested(), Some(Signal::Terminate));
        assert_eq!(sim.wait(later + Duration::hours(1)), Wake::StopRequested(Signal::Terminate));
        assert_eq!(sim.now(), later);
    }

    #[test]
    fn a_lagging_value_is_seen_late_and_once() {
        let at = |s| Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, s).unwrap();
        let mut value = Lagging::new(1);
        value.set(2, at(0), Duration::seconds(2));
        assert_eq!((*value.seen(at(1)), *value.seen(at(2)), value.actual), (1, 2, 2));
        value.set(3, at(10), Duration::zero());
        assert_eq!(*value.seen(at(10)), 3);
    }
}
