//! Network Load Balancers: the estate in front of one, what they refuse, and flows that stay.
//!
//! Their rules hurt in other places than those of Application Load Balancers: no action names both
//! address families, a listener has no rules to hide a group in, and what is open stays where it is
//! when a group is replaced. Listener rules by source address (2026) are deliberately absent: they
//! would move production traffic.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};

use super::Sim;
use super::elb::{SimRoute, forwards, network_attributes};
use super::estate::{forward, legal_group_name, map};
use super::faults::{not_found, refused};
use super::metrics::GET_METRICS;
use super::universe::{Lagging, Universe, ViolationKind, bears_marks};
use crate::cloud::CloudError;
use crate::cloud::ties::{NewTie, Ties};
use crate::inventory::{Action, ForwardConfig, LoadBalancer, Route, RouteAt, TargetGroup, WeightedGroup};
use crate::playbook::Playbook;

const CREATE_LISTENER: &str = "elasticloadbalancing:CreateListener";
const DELETE_LISTENER: &str = "elasticloadbalancing:DeleteListener";
const LAST_PORT: u16 = u16::MAX;

impl Ties for Sim {
    fn tie_group(&self, wanted: &NewTie) -> Result<String, CloudError> {
        self.change(CREATE_LISTENER, |u| u.tie_group(wanted))
    }

    fn ties(&self, load_balancer: &str, run: &str) -> Result<Vec<String>, CloudError> {
        self.read("elasticloadbalancing:DescribeListeners", |u| {
            let of_run = |r: &&SimRoute| r.tags.get("migrate:run").map(String::as_str) == Some(run);
            let listeners = u.routes.values().filter(|r| r.route.actual.load_balancer == load_balancer);
            let ours = listeners.filter(|r| r.route.actual.priority.is_none()).filter(of_run);
            Ok(ours.map(|r| r.route.actual.at.arn().to_owned()).collect())
        })
    }

    fn untie(&self, arn: &str) -> Result<(), CloudError> {
        self.change(DELETE_LISTENER, |u| {
            u.delete_listener(arn);
            Ok(())
        })
    }

    fn active_flows(
        &self,
        groups: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Option<f64>, CloudError> {
        self.read(GET_METRICS, |u| {
            u.seeing()?;
            Ok(u.most_flows(groups, from, to))
        })
    }
}

impl Universe {
    /// The listeners of a Network Load Balancer in front of these groups: no rules, two listeners that
    /// lead to the first group, and one for each other.
    pub(super) fn add_listeners(&mut self, playbook: &Playbook, groups: &[String]) {
        let Some(first) = groups.first() else { return };
        let name = legal_group_name(&playbook.service.name);
        let arn = self.elb_arn(&format!("loadbalancer/net/{name}"));
        let balancer = self.add_load_balancer(&name);
        if let Some(application) = self.load_balancers.remove(&balancer) {
            let network = LoadBalancer { arn: arn.clone(), kind: "network".to_owned(), ..application };
            self.load_balancers.insert(arn.clone(), network);
        }
        for group in groups {
            let Some(stored) = self.target_groups.get_mut(group) else { continue };
            stored.group.protocol = Some("TCP".to_owned());
            stored.group.settings = map([
                ("HealthCheckIntervalSeconds", "10"),
                ("HealthCheckPort", "traffic-port"),
                ("HealthCheckProtocol", "TCP"),
                ("HealthCheckTimeoutSeconds", "6"),
                ("HealthyThresholdCount", "2"),
                ("UnhealthyThresholdCount", "2"),
            ]);
            let own = map([("deregistration_delay.timeout_seconds", "60")]);
            stored.group.attributes = network_attributes().into_iter().chain(own).collect();
        }
        let extra = groups.get(1..).unwrap_or_default();
        let for_extra = 0.05 * f64::from(u32::try_from(extra.len()).unwrap_or_default());
        let mut wanted = vec![(443, "TCP", first, 0.7 - for_extra), (8443, "TLS", first, 0.3)];
        wanted.extend(extra.iter().zip(9001..).map(|(group, port)| (port, "TCP", group, 0.05)));
        for (port, protocol, group, traffic) in wanted {
            let id = self.fresh_id();
            let listener = format!("{}/{id}", arn.replacen(":loadbalancer/", ":listener/", 1));
            let route = Route {
                at: RouteAt::Listener(listener.clone()),
                load_balancer: arn.clone(),
                listener: listener.clone(),
                port: Some(port),
                priority: None,
                conditions: Vec::new(),
                actions: vec![forward(&[(group, 1)], None)],
            };
            let tags = map([("team", "platform")]);
            let protocol = Some(protocol.to_owned());
            self.routes.insert(listener, SimRoute { route: Lagging::new(route), tags, traffic, protocol });
        }
    }

    pub(super) fn is_network(&self, balancer: &str) -> bool {
        self.load_balancers.get(balancer).is_some_and(|b| b.kind == "network")
    }

    /// Like the adapter, returns the listener that ties the group already, if it bears the marks.
    fn tie_group(&mut self, wanted: &NewTie) -> Result<String, CloudError> {
        let only = |r: &SimRoute| forwards(&r.route.actual).map(|(arn, _)| arn).eq([wanted.group.as_str()]);
        let ours = |r: &&SimRoute| r.route.actual.priority.is_none() && bears_marks(&r.tags, &wanted.tags) && only(r);
        if let Some(existing) = self.routes.values().find(ours) {
            return Ok(existing.route.actual.at.arn().to_owned());
        }
        let taken = self.ports_of(&wanted.load_balancer);
        let port = (1..=LAST_PORT).rev().find(|p| !taken.contains(p)).unwrap_or(LAST_PORT);
        let tuple = WeightedGroup { target_group_arn: wanted.group.clone(), weight: Some(1) };
        let config = ForwardConfig { target_groups: vec![tuple], ..ForwardConfig::default() };
        let action =
            Action { kind: "forward".to_owned(), order: Some(1), forward_config: Some(config), ..Action::default() };
        self.open_listener(&wanted.load_balancer, port, &wanted.protocol, &[action], wanted.tags.clone())
    }

    fn ports_of(&self, balancer: &str) -> BTreeSet<u16> {
        let routes = self.routes.values().map(|r| &r.route.actual).filter(|r| r.load_balancer == balancer);
        routes.filter_map(|r| r.port).collect()
    }

    /// What CreateListener does. Nobody connects to it unless its `traffic` is set afterwards.
    pub fn open_listener(
        &mut self,
        balancer: &str,
        port: u16,
        protocol: &str,
        actions: &[Action],
        tags: BTreeMap<String, String>,
    ) -> Result<String, CloudError> {
        if !self.load_balancers.contains_key(balancer) {
            return Err(not_found(CREATE_LISTENER, "LoadBalancerNotFound: One or more load balancers not found"));
        }
        if self.ports_of(balancer).contains(&port) {
            let text = format!("DuplicateListener: A listener already exists on port {port} of this load balancer");
            return Err(refused(CREATE_LISTENER, text));
        }
        let actions = self.checked(CREATE_LISTENER, balancer, actions)?;
        let id = self.fresh_id();
        let arn = format!("{}/{id}", balancer.replacen(":loadbalancer/", ":listener/", 1));
        let route = Route {
            at: RouteAt::Listener(arn.clone()),
            load_balancer: balancer.to_owned(),
            listener: arn.clone(),
            port: Some(port),
            priority: None,
            conditions: Vec::new(),
            actions,
        };
        self.check_protocol(CREATE_LISTENER, protocol, &route)?;
        let stored = SimRoute { route: Lagging::new(route), tags, traffic: 0.0, protocol: Some(protocol.to_owned()) };
        self.routes.insert(arn.clone(), stored);
        Ok(arn)
    }

    /// A TCP listener takes TCP groups and those for TCP and UDP, a TLS listener TLS and TCP groups.
    pub(super) fn check_protocol(&self, operation: &str, listener: &str, route: &Route) -> Result<(), CloudError> {
        let takes: &[&str] = match listener {
            "TCP" => &["TCP", "TCP_UDP"],
            "TLS" => &["TCP", "TLS"],
            _ => return Ok(()),
        };
        let protocol = |arn: &str| self.target_groups.get(arn).and_then(|g| g.group.protocol.clone());
        let wrong = forwards(route).filter_map(|(arn, _)| protocol(arn)).find(|p| !takes.contains(&p.as_str()));
        match wrong {
            None => Ok(()),
            Some(wrong) => Err(refused(
                operation,
                format!("IncompatibleProtocols: A {listener} listener cannot forward to a target group of {wrong}"),
            )),
        }
    }

    /// What an action of a Network Load Balancer refuses in its groups.
    pub(super) fn check_network(
        &self,
        operation: &str,
        balancer: &str,
        groups: &[&TargetGroup],
    ) -> Result<(), CloudError> {
        let differ =
            |of: fn(&TargetGroup) -> Option<&str>| groups.iter().map(|g| of(g)).collect::<BTreeSet<_>>().len() > 1;
        if differ(|g| Some(&g.ip_address_type)) {
            let text = "InvalidConfigurationRequest: You cannot specify target groups of both IP address types \
                        in one action of a network load balancer";
            return Err(refused(operation, text));
        }
        if differ(|g| g.protocol.as_deref()) {
            let text = "IncompatibleProtocols: All target groups of an action must have the same protocol";
            return Err(refused(operation, text));
        }
        let dualstack = self.load_balancers.get(balancer).is_some_and(|b| b.ip_address_type != "ipv4");
        let datagrams = |g: &&&TargetGroup| {
            g.ip_address_type == "ipv4"
                && matches!(g.protocol.as_deref(), Some("UDP" | "TCP_UDP" | "QUIC" | "TCP_QUIC"))
        };
        if dualstack && groups.iter().any(|g| datagrams(&g)) {
            let text = "InvalidConfigurationRequest: A dualstack network load balancer cannot forward UDP to an IPv4 \
                        target group";
            return Err(refused(operation, text));
        }
        Ok(())
    }

    /// The most flows that were open together on these groups in a minute of the window that is over.
    fn most_flows(&self, groups: &[String], from: DateTime<Utc>, to: DateTime<Utc>) -> Option<f64> {
        let minute = Duration::minutes(1);
        let names = groups.iter().filter_map(|arn| self.target_groups.get(arn)).map(|g| g.group.name.as_str());
        let names: Vec<&str> = names.collect();
        let mut most = None;
        let mut end = from + minute;
        while end <= to.min(self.now) {
            let open = names.iter().map(|name| self.open_flows(name, end).max(self.open_flows(name, end - minute)));
            let open: f64 = open.sum();
            most = Some(f64::max(most.unwrap_or_default(), open.round()));
            end += minute;
        }
        most
    }

    /// Flows that are open on a group at a moment: those that began within the time that one lasts.
    pub(super) fn open_flows(&self, name: &str, at: DateTime<Utc>) -> f64 {
        let group = self.target_groups.values().find(|g| g.group.name == name);
        if group.is_some_and(|g| self.stands_at_zero(&g.group.arn)) {
            return 0.0;
        }
        let begun = at - Duration::seconds(i64::from(self.knobs.flow_seconds));
        self.traffic.share_in(name, begun, at) * self.traffic.level(at)
    }

    /// Whether a group is named in an action, and only with weight 0: then its flows are closed.
    fn stands_at_zero(&self, arn: &str) -> bool {
        let named = self.routes.values().flat_map(|r| forwards(&r.route.actual)).filter(|(group, _)| *group == arn);
        let weights: Vec<u32> = named.map(|(_, weight)| weight).collect();
        !weights.is_empty() && weights.iter().all(|w| *w == 0)
    }

    /// Notes flows that end because the service behind them loses its tasks.
    pub(super) fn note_cut_flows(&mut self, service: &str) {
        let groups = self.services.get(service).map(|s| s.service.actual.load_balancers.clone()).unwrap_or_default();
        for arn in groups.into_iter().filter_map(|lb| lb.target_group) {
            let Some(group) = self.target_groups.get(&arn) else { continue };
            let flows = matches!(group.group.protocol.as_deref(), Some("TCP" | "TLS"));
            let open = if flows { self.open_flows(&group.group.name, self.now) } else { 0.0 };
            if open >= 1.0 {
                self.violate(ViolationKind::FlowsCut, format!("{open:.0} open flows on {arn}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Scenario, Tamper};
    use super::*;
    use crate::cloud::{Cloud, NewTargetGroup, RouteWrite};

    fn sim() -> Sim {
        let mut playbook = playbook();
        playbook.shift = serde_json::from_str(r#"{ "listener_swap": {} }"#).unwrap();
        Sim::in_memory(Universe::for_playbook(&playbook, Scenario::Healthy, 7, start()))
    }

    fn green(sim: &Sim) -> String {
        let from = blue_group(sim);
        sim.create_target_group(&NewTargetGroup { name: "web-ipv6".to_owned(), from, tags: ours() }).unwrap()
    }

    fn tie(sim: &Sim, group: &str) -> NewTie {
        let like = routes(sim)[0].listener.clone();
        let (load_balancer, group) = (balancer(sim), group.to_owned());
        NewTie { load_balancer, group, protocol: "TCP".to_owned(), like, tags: ours() }
    }

    fn write(sim: &Sim, groups: &[(&str, u32)]) -> Result<(), CloudError> {
        let at = routes(sim)[0].at.clone();
        sim.set_actions(&[RouteWrite { at, actions: vec![super::super::fixture::forward(groups)] }]).remove(0)
    }

    fn refusal(result: Result<impl std::fmt::Debug, CloudError>) -> String {
        result.unwrap_err().message
    }

    fn with_protocol(sim: &Sim, arn: &str, protocol: &str) {
        let mut group = sim.target_groups(&[arn.to_owned()]).unwrap().remove(0);
        group.protocol = Some(protocol.to_owned());
        group.load_balancers.clear();
        sim.with(|u| u.tamper(&Tamper::PutTargetGroup(Box::new(group)))).unwrap();
    }

    #[test]
    fn the_estate_has_listeners_and_no_rules() {
        let sim = sim();
        let universe = sim.universe();
        let routes = routes(&sim);
        assert_eq!(routes.iter().map(|r| r.port).collect::<Vec<_>>(), [Some(443), Some(8443)]);
        assert!(routes.iter().all(|r| r.priority.is_none() && r.load_balancer.contains(":loadbalancer/net/")));
        assert!((universe.routes.values().map(|r| r.traffic).sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(universe.load_balancers[&balancer(&sim)].kind, "network");
        assert_eq!(universe.violations, []);
    }

    #[test]
    fn no_action_names_both_families() {
        let sim = sim();
        let (blue, green) = (blue_group(&sim), green(&sim));
        assert!(refusal(write(&sim, &[(&blue, 1), (&green, 0)])).contains("both IP address types"));
        write(&sim, &[(&green, 1)]).unwrap();
    }

    #[test]
    fn an_action_names_five_groups_at_most() {
        let sim = sim();
        let from = blue_group(&sim);
        let name = |n: u32| NewTargetGroup { name: format!("g{n}"), from: from.clone(), tags: ours() };
        let groups: Vec<String> = (0..6).map(|n| sim.create_target_group(&name(n)).unwrap()).collect();
        let tuples: Vec<(&str, u32)> = groups.iter().map(|g| (g.as_str(), 1)).collect();
        assert!(refusal(write(&sim, &tuples)).contains("at most 5"));
        write(&sim, &tuples[..5]).unwrap();
    }

    #[test]
    fn protocols_must_fit() {
        let sim = sim();
        let (blue, green) = (blue_group(&sim), green(&sim));
        for protocol in ["UDP", "TCP_UDP", "QUIC"] {
            with_protocol(&sim, &blue, protocol);
            assert!(refusal(write(&sim, &[(&blue, 1)])).contains("UDP"), "{protocol}");
        }
        with_protocol(&sim, &green, "TLS");
        assert!(refusal(write(&sim, &[(&green, 1)])).contains("IncompatibleProtocols"));
        assert!(refusal(sim.tie_group(&tie(&sim, &green))).contains("IncompatibleProtocols"));
        sim.tie_group(&NewTie { protocol: "TLS".to_owned(), ..tie(&sim, &green) }).unwrap();
    }

    #[test]
    fn listeners_have_no_rules_that_nobody_matches() {
        let sim = sim();
        let green = green(&sim);
        assert!(refusal(probe(&sim, &green)).contains("no such rules"));
    }

    #[test]
    fn a_group_is_tied_on_a_port_of_its_own_once() {
        let sim = sim();
        let green = green(&sim);
        assert_eq!(sim.target_groups(std::slice::from_ref(&green)).unwrap()[0].load_balancers, [""; 0]);
        let made = sim.tie_group(&tie(&sim, &green)).unwrap();
        assert_eq!(sim.tie_group(&tie(&sim, &green)), Ok(made.clone()));
        assert_eq!(sim.target_groups(std::slice::from_ref(&green)).unwrap()[0].load_balancers, [balancer(&sim)]);
        let second = sim.tie_group(&tie(&sim, &blue_group(&sim))).unwrap();
        let ports: Vec<Option<u16>> = routes(&sim).iter().map(|r| r.port).collect();
        assert_eq!(ports, [Some(443), Some(8443), Some(65_534), Some(65_535)]);
        let arn = balancer(&sim);
        let taken = sim.with(|u| u.open_listener(&arn, 443, "TCP", &[], ours())).unwrap();
        assert!(refusal(taken).contains("DuplicateListener"));
        let mut ties = sim.ties(&balancer(&sim), "web").unwrap();
        ties.sort();
        let mut both = vec![made, second];
        both.sort();
        assert_eq!(ties, both);
        assert!(sim.ties(&balancer(&sim), "api").unwrap().is_empty());
        for arn in ties {
            sim.untie(&arn).unwrap();
            sim.untie(&arn).unwrap();
        }
        assert_eq!(sim.universe().violations, []);
        sim.untie(&routes(&sim)[0].listener.clone()).unwrap();
        assert_eq!(sim.universe().violations[0].kind, ViolationKind::ForeignDeleted);
    }

    /// Green stands, tied, with healthy targets.
    fn standing() -> (Sim, String) {
        let sim = sim();
        let green = green(&sim);
        sim.tie_group(&tie(&sim, &green)).unwrap();
        let definition = register(&sim).unwrap();
        sim.create_service(&new_service(&sim, &green, &definition)).unwrap();
        pass(&sim, 600);
        (sim, green)
    }

    fn swap(sim: &Sim, group: &str) {
        for at in routes(sim).into_iter().filter(|r| r.port < Some(9000)).map(|r| r.at) {
            let write = RouteWrite { at, actions: vec![super::super::fixture::forward(&[(group, 1)])] };
            sim.set_actions(&[write]).remove(0).unwrap();
        }
    }

    fn open(sim: &Sim, group: &str) -> f64 {
        let to = chrono::DurationRound::duration_trunc(crate::clock::Clock::now(sim), Duration::minutes(1)).unwrap();
        sim.active_flows(&[group.to_owned()], to - Duration::minutes(1), to).unwrap().unwrap()
    }

    #[test]
    fn flows_that_are_open_stay_for_minutes() {
        let (sim, green) = standing();
        let blue = blue_group(&sim);
        assert!(open(&sim, &blue) > 10_000.0);
        assert!(open(&sim, &green) < 1.0);
        swap(&sim, &green);
        pass(&sim, 180);
        assert!(open(&sim, &blue) > 5_000.0 && open(&sim, &green) > 5_000.0);
        pass(&sim, 300);
        assert!(open(&sim, &blue) < 1.0);
        assert_eq!(sim.universe().violations, []);
    }

    #[test]
    fn who_takes_the_tasks_away_cuts_them() {
        let (sim, green) = standing();
        swap(&sim, &green);
        sim.set_desired_count("prod", "web", 0).unwrap();
        let kinds: Vec<ViolationKind> = sim.universe().violations.iter().map(|v| v.kind).collect();
        assert_eq!(kinds, [ViolationKind::FlowsCut]);
    }

    #[test]
    fn weight_zero_closes_them() {
        let (sim, green) = standing();
        let from = blue_group(&sim);
        let other = NewTargetGroup { name: "other".to_owned(), from, tags: ours() };
        let other = sim.create_target_group(&other).unwrap();
        swap(&sim, &green);
        pass(&sim, 300);
        assert!(open(&sim, &green) > 5_000.0);
        // Out of every listener but one, and there with weight 0.
        swap(&sim, &other);
        sim.ties(&balancer(&sim), "web").unwrap().iter().for_each(|arn| sim.untie(arn).unwrap());
        write(&sim, &[(&other, 1), (&green, 0)]).unwrap();
        assert!(open(&sim, &green) < 1.0);
    }

    #[test]
    fn flows_are_counted_by_group_and_resets_by_load_balancer() {
        let (sim, green) = standing();
        let blue = blue_group(&sim);
        let to = chrono::DurationRound::duration_trunc(crate::clock::Clock::now(&sim), Duration::minutes(1)).unwrap();
        let balancers = [green.clone(), blue.clone()].map(|group| (group, balancer(&sim)));
        let window = crate::cloud::MetricWindow {
            counted: crate::cloud::Counted::Flows,
            green: vec![green],
            blue: vec![blue],
            load_balancers: balancers.into(),
            from: to - Duration::minutes(6),
            to: to - Duration::minutes(3),
            ..crate::cloud::MetricWindow::default()
        };
        let sight = sim.observe(&crate::cloud::Watch { metrics: Some(window), ..Default::default() }).unwrap();
        for minute in sight.metrics.unwrap().unwrap() {
            assert_eq!(minute.green.requests, None);
            assert!(minute.blue.requests > Some(5000.0));
            assert_eq!(minute.green.bad, minute.blue.bad);
        }
    }
}
