//! The load balancer's side: target groups, rules, default actions, and what ELBv2 refuses.
//!
//! Invariant: nothing is stored that the real service would refuse, and what is stored has the
//! shape in which the real service describes it. What the service accepts but the tool must never
//! do is accepted here too, and recorded as a violation.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::faults::{not_found, refused};
use super::traffic::split;
use super::universe::{Lagging, Universe, ViolationKind, bears_marks, is_ours};
use crate::cloud::{CloudError, NewRule, NewTargetGroup, RouteWrite};
use crate::inventory::{
    Action, ForwardConfig, GroupStickiness, LoadBalancer, Route, RouteAt, TargetGroup, TargetHealth, WeightedGroup,
};

pub(super) const CREATE_GROUP: &str = "elasticloadbalancing:CreateTargetGroup";
pub(super) const CREATE_RULE: &str = "elasticloadbalancing:CreateRule";
pub(super) const DELETE_GROUP: &str = "elasticloadbalancing:DeleteTargetGroup";
pub(super) const DELETE_RULE: &str = "elasticloadbalancing:DeleteRule";
pub(super) const DESCRIBE_GROUPS: &str = "elasticloadbalancing:DescribeTargetGroups";
pub(super) const SET_ATTRIBUTES: &str = "elasticloadbalancing:ModifyTargetGroupAttributes";

/// Priorities that a rule may have.
const LAST_PRIORITY: u32 = 50_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimGroup {
    /// Without its load balancers: those follow from the routes.
    pub group: TargetGroup,
    /// Healthy targets that belong to no service of this universe.
    pub fixed_targets: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimRoute {
    pub route: Lagging<Route>,
    pub tags: BTreeMap<String, String>,
    /// Share of all requests that this route matches, from 0 to 1.
    pub traffic: f64,
}

/// The API call that writes a route.
pub(super) fn write_operation(at: &RouteAt) -> &'static str {
    match at {
        RouteAt::Listener(_) => "elasticloadbalancing:ModifyListener",
        RouteAt::Rule(_) => "elasticloadbalancing:ModifyRule",
    }
}

/// The weighted groups of an action; one that names only a group gives it weight 1.
pub(super) fn tuples(action: &Action) -> Vec<(&str, u32)> {
    match (&action.forward_config, &action.target_group_arn) {
        (Some(config), _) => {
            config.target_groups.iter().map(|t| (t.target_group_arn.as_str(), t.weight.unwrap_or(1))).collect()
        }
        (None, Some(arn)) => vec![(arn.as_str(), 1)],
        (None, None) => Vec::new(),
    }
}

pub(super) fn forwards(route: &Route) -> impl Iterator<Item = (&str, u32)> {
    route.actions.iter().filter(|a| a.kind == "forward").flat_map(tuples)
}

impl Universe {
    /// The group as it is described: with the load balancers whose routes refer to it.
    pub(super) fn group_seen(&self, group: &SimGroup) -> TargetGroup {
        TargetGroup { load_balancers: self.load_balancers_of(&group.group.arn), ..group.group.clone() }
    }

    pub(super) fn load_balancers_of(&self, group: &str) -> Vec<String> {
        let referring = self.routes.values().map(|r| &r.route.actual);
        let referring = referring.filter(|r| forwards(r).any(|(arn, _)| arn == group));
        let unique: BTreeSet<String> = referring.map(|r| r.load_balancer.clone()).collect();
        unique.into_iter().chain(self.departing_with(group)).collect()
    }

    pub(super) fn target_groups(&self, arns: &[String]) -> Result<Vec<TargetGroup>, CloudError> {
        arns.iter().map(|arn| self.group(DESCRIBE_GROUPS, arn).map(|g| self.group_seen(g))).collect()
    }

    fn group(&self, operation: &str, arn: &str) -> Result<&SimGroup, CloudError> {
        let missing = || not_found(operation, "TargetGroupNotFound: One or more target groups not found");
        self.target_groups.get(arn).ok_or_else(missing)
    }

    pub(super) fn target_group_named(&self, name: &str) -> Option<TargetGroup> {
        self.target_groups.values().find(|g| g.group.name == name).map(|g| self.group_seen(g))
    }

    pub(super) fn load_balancers(&self, arns: &[String]) -> Result<Vec<LoadBalancer>, CloudError> {
        let missing = || {
            not_found(
                "elasticloadbalancing:DescribeLoadBalancers",
                "LoadBalancerNotFound: One or more load balancers not found",
            )
        };
        let seen = self.balancers_seen();
        arns.iter().map(|arn| seen.iter().find(|b| b.arn == *arn).cloned().ok_or_else(missing)).collect()
    }

    /// Routes whose listener satisfies the filter, as reads see them now: by port, by priority,
    /// the default action of a listener last.
    pub(super) fn routes_where(&self, wanted: impl Fn(&Route) -> bool) -> Vec<Route> {
        let seen = self.routes.values().map(|r| r.route.seen(self.now));
        let mut routes: Vec<Route> = seen.filter(|r| wanted(r)).cloned().collect();
        routes.sort_by_key(|r| (r.port, r.listener.clone(), r.priority.unwrap_or(u32::MAX)));
        routes
    }

    /// Health of a group's targets as reads see it now; `None` where the group does not exist.
    pub(super) fn health_seen(&self, group: &str) -> Option<Vec<TargetHealth>> {
        let group = self.target_groups.get(group)?;
        let referenced = !self.load_balancers_of(&group.group.arn).is_empty();
        Some(self.targets(group, referenced, self.now - self.lag()))
    }

    pub(super) fn create_target_group(&mut self, wanted: &NewTargetGroup) -> Result<String, CloudError> {
        let from = self.group(CREATE_GROUP, &wanted.from)?.group.clone();
        check_group_name(&wanted.name)?;
        let mut group = TargetGroup {
            arn: String::new(),
            name: wanted.name.clone(),
            ip_address_type: "ipv6".to_owned(),
            load_balancers: Vec::new(),
            attributes: default_attributes(),
            tags: wanted.tags.clone(),
            ..from
        };
        if let Some(existing) = self.target_groups.values().find(|g| g.group.name == wanted.name) {
            let there = &existing.group;
            // Attributes are set by a call of their own, and tags of others are theirs to set.
            group.arn.clone_from(&there.arn);
            group.attributes.clone_from(&there.attributes);
            group.tags.clone_from(&there.tags);
            return if *there == group && bears_marks(&there.tags, &wanted.tags) {
                Ok(there.arn.clone())
            } else {
                Err(refused(
                    CREATE_GROUP,
                    format!(
                        "DuplicateTargetGroupName: A target group with the same name '{}' exists, \
                         but with different settings",
                        wanted.name
                    ),
                ))
            };
        }
        let arn = self.elb_arn(&format!("targetgroup/{}", wanted.name));
        group.arn.clone_from(&arn);
        self.target_groups.insert(arn.clone(), SimGroup { group, fixed_targets: 0 });
        Ok(arn)
    }

    pub(super) fn elb_arn(&mut self, path: &str) -> String {
        let id = self.fresh_id();
        let crate::cloud::Identity { region, account, .. } = &self.identity;
        format!("arn:aws:elasticloadbalancing:{region}:{account}:{path}/{id}")
    }

    pub(super) fn set_target_group_attributes(
        &mut self,
        arn: &str,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), CloudError> {
        self.group(SET_ATTRIBUTES, arn)?;
        if let Some(group) = self.target_groups.get_mut(arn) {
            group.group.attributes.extend(attributes.clone());
        }
        Ok(())
    }

    /// Like the adapter, returns the rule that exists for this host, if any.
    pub(super) fn create_probe_rule(&mut self, wanted: &NewRule) -> Result<String, CloudError> {
        let condition = format!("host-header {}", wanted.host);
        let same = |r: &&SimRoute| {
            r.route.actual.listener == wanted.listener && r.route.actual.conditions == [condition.clone()]
        };
        if let Some(existing) = self.routes.values().find(same) {
            return Ok(existing.route.actual.at.arn().to_owned());
        }
        let taken: BTreeSet<u32> = self.rules_of(&wanted.listener).filter_map(|r| r.priority).collect();
        let free = (1..=LAST_PRIORITY).rev().find(|p| !taken.contains(p));
        let priority = free.ok_or_else(|| refused(CREATE_RULE, "TooManyRules: no priority is free"))?;
        self.create_rule(&wanted.listener, priority, vec![condition], &wanted.actions, wanted.tags.clone())
    }

    pub(super) fn is_listener(&self, arn: &str) -> bool {
        self.routes.get(arn).is_some_and(|r| r.route.actual.priority.is_none())
    }

    fn rules_of(&self, listener: &str) -> impl Iterator<Item = &Route> {
        self.routes.values().map(|r| &r.route.actual).filter(move |r| r.listener == listener)
    }

    /// What CreateRule does. No request matches the rule unless its `traffic` is set afterwards.
    pub fn create_rule(
        &mut self,
        listener: &str,
        priority: u32,
        conditions: Vec<String>,
        actions: &[Action],
        tags: BTreeMap<String, String>,
    ) -> Result<String, CloudError> {
        let missing = || not_found(CREATE_RULE, "ListenerNotFound: One or more listeners not found");
        let default = self.routes.get(listener).ok_or_else(missing)?.route.actual.clone();
        if !(1..=LAST_PRIORITY).contains(&priority) {
            return Err(refused(CREATE_RULE, "ValidationError: 'priority' must be between 1 and 50000"));
        }
        if self.rules_of(listener).any(|r| r.priority == Some(priority)) {
            return Err(refused(CREATE_RULE, format!("PriorityInUse: Priority '{priority}' is currently in use")));
        }
        let balancer = &default.load_balancer;
        let rules = self.routes.values().map(|r| &r.route.actual);
        let rules = rules.filter(|r| r.priority.is_some() && r.load_balancer == *balancer).count();
        if rules >= self.knobs.rule_limit {
            return Err(refused(
                CREATE_RULE,
                format!("TooManyRules: The maximum number of rules on load balancer '{balancer}' has been reached"),
            ));
        }
        let actions = self.checked(CREATE_RULE, balancer, actions)?;
        let id = self.fresh_id();
        let arn = format!("{}/{id}", listener.replacen(":listener/", ":listener-rule/", 1));
        let route = Route { at: RouteAt::Rule(arn.clone()), priority: Some(priority), conditions, actions, ..default };
        self.note_zero_weights(&route);
        self.routes.insert(arn.clone(), SimRoute { route: Lagging::new(route), tags, traffic: 0.0 });
        Ok(arn)
    }

    pub(super) fn set_actions(&mut self, write: &RouteWrite) -> Result<(), CloudError> {
        let operation = write_operation(&write.at);
        let Some(existing) = self.routes.get(write.at.arn()) else {
            return Err(match write.at {
                RouteAt::Listener(_) => not_found(operation, "ListenerNotFound: One or more listeners not found"),
                RouteAt::Rule(_) => not_found(operation, "RuleNotFound: One or more rules not found"),
            });
        };
        let before = existing.route.actual.clone();
        if before.at != write.at {
            return Err(refused(operation, "OperationNotPermitted: Default rule cannot be modified"));
        }
        let actions = self.checked(operation, &before.load_balancer, &write.actions)?;
        let after = Route { actions, ..before.clone() };
        self.note_zero_weights(&after);
        self.note_foreign_changes(&before, &after);
        self.put_route(after);
        Ok(())
    }

    /// Stores a route as it is; reads may see the old one for a while.
    pub(super) fn put_route(&mut self, route: Route) {
        let (now, lag) = (self.now, self.lag());
        if let Some(stored) = self.routes.get_mut(route.at.arn()) {
            stored.route.set(route, now, lag);
        }
    }

    pub(super) fn delete_rule(&mut self, arn: &str) -> Result<(), CloudError> {
        let Some(rule) = self.routes.get(arn) else { return Ok(()) };
        if matches!(rule.route.actual.at, RouteAt::Listener(_)) {
            return Err(refused(DELETE_RULE, "OperationNotPermitted: Default rule cannot be deleted"));
        }
        if !is_ours(&rule.tags) {
            self.violate(ViolationKind::ForeignDeleted, format!("rule {arn}"));
        }
        self.remove_rule(arn);
        Ok(())
    }

    /// Removes a rule; the default action gets its requests.
    pub(super) fn remove_rule(&mut self, arn: &str) {
        let Some(removed) = self.routes.remove(arn) else { return };
        if let Some(default) = self.routes.get_mut(&removed.route.actual.listener) {
            default.traffic += removed.traffic;
        }
    }

    pub(super) fn delete_target_group(&mut self, arn: &str) -> Result<(), CloudError> {
        let Some(group) = self.target_groups.get(arn) else { return Ok(()) };
        let ours = is_ours(&group.group.tags);
        if !self.load_balancers_of(arn).is_empty() {
            return Err(refused(
                DELETE_GROUP,
                format!("ResourceInUse: Target group '{arn}' is currently in use by a listener or a rule"),
            ));
        }
        if !ours {
            self.violate(ViolationKind::ForeignDeleted, format!("target group {arn}"));
        }
        self.target_groups.remove(arn);
        Ok(())
    }

    fn note_zero_weights(&mut self, route: &Route) {
        let weights: Vec<u32> = forwards(route).map(|(_, weight)| weight).collect();
        if !weights.is_empty() && weights.iter().all(|w| *w == 0) {
            self.violate(ViolationKind::AllWeightsZero, format!("route {}", route.at.arn()));
        }
    }

    /// Everything but the forward part must survive a write, and in the forward part the groups
    /// of others.
    fn note_foreign_changes(&mut self, before: &Route, after: &Route) {
        let opaque = |r: &Route| -> Vec<Action> { r.actions.iter().filter(|a| a.kind != "forward").cloned().collect() };
        let other_groups = |u: &Universe, r: &Route| -> Vec<String> {
            let groups = forwards(r).map(|(arn, _)| arn.to_owned());
            groups.filter(|arn| !u.blue.target_groups.contains(arn) && !u.is_our_group(arn)).collect()
        };
        let moved = (self.foreign_share(before) - self.foreign_share(after)).abs() > 0.01;
        if moved || opaque(before) != opaque(after) || other_groups(self, before) != other_groups(self, after) {
            self.violate(ViolationKind::ForeignChanged, format!("route {}", after.at.arn()));
        }
    }

    /// Share of a route's requests that goes neither to blue nor to what is ours.
    fn foreign_share(&self, route: &Route) -> f64 {
        let shares = split([(route, 1.0)]);
        let foreign =
            shares.iter().filter(|(arn, _)| !self.blue.target_groups.contains(arn) && !self.is_our_group(arn));
        foreign.map(|(_, share)| share).sum()
    }

    pub(super) fn is_our_group(&self, arn: &str) -> bool {
        self.target_groups.get(arn).is_some_and(|g| is_ours(&g.group.tags))
    }

    /// The actions as the service stores and describes them, or why it refuses them.
    pub(super) fn checked(
        &self,
        operation: &str,
        balancer: &str,
        actions: &[Action],
    ) -> Result<Vec<Action>, CloudError> {
        let last = actions.last().map(|a| a.kind.as_str()).unwrap_or_default();
        let ends = |kind: &str| matches!(kind, "forward" | "redirect" | "fixed-response");
        if !ends(last) || actions.iter().filter(|a| ends(&a.kind)).count() != 1 {
            let message = "InvalidLoadBalancerAction: Exactly one action of type forward, redirect or fixed-response \
                           is required, and it must be the last";
            return Err(refused(operation, message));
        }
        actions
            .iter()
            .map(|action| match action.kind.as_str() {
                "forward" => self.checked_forward(operation, balancer, action),
                _ => Ok(without_secret(action)),
            })
            .collect()
    }

    fn checked_forward(&self, operation: &str, balancer: &str, action: &Action) -> Result<Action, CloudError> {
        let invalid = |text: &str| Err(refused(operation, format!("ValidationError: {text}")));
        let groups = tuples(action);
        let named: BTreeSet<&str> = groups.iter().map(|(arn, _)| *arn).collect();
        if groups.is_empty() || named.len() != groups.len() {
            return invalid("A forward action requires unique target groups");
        }
        if groups.len() > 5 {
            return invalid("A forward action can have at most 5 target groups");
        }
        if groups.len() > 1 && action.target_group_arn.is_some() {
            return invalid("You can specify TargetGroupArn only with a single target group");
        }
        if groups.iter().any(|(_, weight)| *weight > 999) {
            return invalid("The weight of a target group must be between 0 and 999");
        }
        let weights = action.forward_config.iter().flat_map(|c| &c.target_groups).map(|t| t.weight);
        if groups.len() > 1 && weights.clone().any(|w| w.is_none()) {
            return invalid("A weight is required for each target group of a forward action");
        }
        self.checked_groups(operation, balancer, action, &named)?;
        Ok(described(action, &groups))
    }

    fn checked_groups(
        &self,
        operation: &str,
        balancer: &str,
        action: &Action,
        named: &BTreeSet<&str>,
    ) -> Result<(), CloudError> {
        let ipv4_only = self.load_balancers.get(balancer).is_some_and(|b| b.ip_address_type == "ipv4");
        let mut families = BTreeSet::new();
        let mut sticky = false;
        for arn in named {
            let group = &self.group(operation, arn)?.group;
            sticky |= group.sticky();
            families.insert(group.ip_address_type.as_str());
            if ipv4_only && group.ip_address_type == "ipv6" {
                let text = "ValidationError: You cannot associate an IPv6 target group with a load balancer that has \
                            an 'ipv4' IP address type";
                return Err(refused(operation, text));
            }
            if self.load_balancers_of(arn).iter().any(|other| other != balancer) {
                let text = format!(
                    "TargetGroupAssociationLimit: The following target groups cannot be associated with more than \
                     one load balancer: {arn}"
                );
                return Err(refused(operation, text));
            }
        }
        // AWS documents neither that families may be mixed nor that they may not.
        if self.knobs.rejects_mixed_families && families.len() > 1 {
            let text = "ValidationError: Target groups of a forward action must have the same IP address type";
            return Err(refused(operation, text));
        }
        let config = action.forward_config.as_ref().and_then(|c| c.target_group_stickiness_config.as_ref());
        if sticky && named.len() > 1 && config.and_then(|c| c.enabled) != Some(true) {
            let text = "InvalidLoadBalancerAction: Target group stickiness must be enabled in the action when one \
                        of its target groups has stickiness enabled";
            return Err(refused(operation, text));
        }
        Ok(())
    }
}

fn check_group_name(name: &str) -> Result<(), CloudError> {
    if name.len() > 32 {
        let text = format!("ValidationError: Target group name '{name}' cannot be longer than '32' characters");
        return Err(refused(CREATE_GROUP, text));
    }
    let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !legal || name.starts_with('-') || name.ends_with('-') {
        let text = format!(
            "ValidationError: Target group name '{name}' can only contain characters that are alphanumeric \
             characters and hyphens(-), and must not begin or end with one"
        );
        return Err(refused(CREATE_GROUP, text));
    }
    Ok(())
}

/// The attributes that a group has before anybody sets them.
pub(super) fn default_attributes() -> BTreeMap<String, String> {
    let defaults = [
        ("deregistration_delay.timeout_seconds", "300"),
        ("load_balancing.algorithm.type", "round_robin"),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
        ("slow_start.duration_seconds", "0"),
        ("stickiness.app_cookie.cookie_name", ""),
        ("stickiness.app_cookie.duration_seconds", "86400"),
        ("stickiness.enabled", "false"),
        ("stickiness.lb_cookie.duration_seconds", "86400"),
        ("stickiness.type", "lb_cookie"),
        ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
    ];
    defaults.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// A forward action in the shape in which the service describes it.
pub(super) fn described(action: &Action, groups: &[(&str, u32)]) -> Action {
    let stickiness = action.forward_config.as_ref().and_then(|c| c.target_group_stickiness_config.clone());
    let unsticky = GroupStickiness { enabled: Some(false), duration_seconds: None };
    let single = match groups {
        [(arn, _)] => Some((*arn).to_owned()),
        _ => None,
    };
    let config = ForwardConfig {
        target_groups: groups
            .iter()
            .map(|(arn, weight)| WeightedGroup { target_group_arn: (*arn).to_owned(), weight: Some(*weight) })
            .collect(),
        target_group_stickiness_config: Some(stickiness.unwrap_or(unsticky)),
    };
    Action { target_group_arn: single, forward_config: Some(config), ..action.clone() }
}

/// An action as it is described: the secret, or the wish to keep it, is never returned.
fn without_secret(action: &Action) -> Action {
    let mut action = action.clone();
    if let Some(Value::Object(config)) = action.rest.get_mut("AuthenticateOidcConfig") {
        config.remove("ClientSecret");
        config.remove("UseExistingClientSecret");
    }
    action
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Scenario, Sim, Tamper};
    use super::*;
    use crate::cloud::{Cause, Cloud};

    fn healthy() -> Sim {
        sim(Scenario::Healthy)
    }

    fn write_default(sim: &Sim, actions: Vec<Action>) -> Result<(), CloudError> {
        let at = default_route(sim).at;
        sim.set_actions(&[RouteWrite { at, actions }]).remove(0)
    }

    fn no_violations(sim: &Sim) {
        assert_eq!(sim.universe().violations, []);
    }

    fn kinds(sim: &Sim) -> Vec<ViolationKind> {
        sim.universe().violations.iter().map(|v| v.kind).collect()
    }

    #[test]
    fn the_routes_of_the_estate_are_in_order_and_reach_every_kind() {
        let sim = healthy();
        let routes = routes(&sim);
        let priorities: Vec<Option<u32>> = routes.iter().map(|r| r.priority).collect();
        assert_eq!(priorities, [Some(10), Some(20), Some(30), Some(40), None]);
        assert_eq!(routes[1].actions[0].kind, "authenticate-oidc");
        assert_eq!(tuples(&routes[2].actions[0]).len(), 2);
        let blue = blue_group(&sim);
        let to_blue = routes.iter().filter(|r| forwards(r).any(|(arn, _)| arn == blue)).count();
        assert_eq!(to_blue, 4);
        assert_eq!(sim.target_groups(&[blue]).unwrap()[0].load_balancers, [balancer(&sim)]);
    }

    #[test]
    fn a_target_group_is_created_once_and_refused_with_other_settings() {
        let sim = healthy();
        let arn = create_group(&sim).unwrap();
        assert_eq!(create_group(&sim), Ok(arn.clone()));
        sim.set_target_group_attributes(&arn, &BTreeMap::from([("stickiness.enabled".into(), "false".into())]))
            .unwrap();
        assert_eq!(create_group(&sim), Ok(arn.clone()));
        let made = sim.target_group_named("web-ipv6").unwrap().unwrap();
        assert_eq!((made.ip_address_type.as_str(), made.load_balancers.len()), ("ipv6", 0));
        let other = NewTargetGroup { name: "web-ipv6".into(), from: blue_group(&sim), tags: BTreeMap::new() };
        let error = sim.create_target_group(&other).unwrap_err();
        assert!(error.message.starts_with("DuplicateTargetGroupName: "), "{error}");
        let long = NewTargetGroup { name: "w".repeat(33), ..other };
        assert_eq!(sim.create_target_group(&long).unwrap_err().cause, Cause::Refused);
        let error = sim.target_groups(&["arn:nothing".into()]).unwrap_err();
        assert_eq!(error.cause, Cause::NotFound);
    }

    #[test]
    fn an_ipv6_group_needs_a_dualstack_load_balancer() {
        let sim = healthy();
        let green = create_group(&sim).unwrap();
        let ipv4 = Tamper::SetIpAddressType { load_balancer: balancer(&sim), ip_address_type: "ipv4".into() };
        sim.with(|u| u.tamper(&ipv4)).unwrap();
        let error = probe(&sim, &green).unwrap_err();
        assert_eq!(
            error.message,
            "ValidationError: You cannot associate an IPv6 target group with a load balancer that has an 'ipv4' IP \
             address type"
        );
    }

    #[test]
    fn mixed_families_are_refused_where_the_knob_says_so() {
        let sim = healthy();
        let green = create_group(&sim).unwrap();
        sim.with(|u| u.knobs.rejects_mixed_families = true).unwrap();
        assert_eq!(probe(&sim, &green).unwrap_err().cause, Cause::Refused);
        assert_eq!(sim.universe().routes.len(), 5);
    }

    #[test]
    fn actions_that_elb_refuses_change_nothing() {
        let sim = healthy();
        let (blue, green) = (blue_group(&sim), create_group(&sim).unwrap());
        let many: Vec<String> = (0..6).map(|n| format!("arn:{n}")).collect();
        let many: Vec<(&str, u32)> = many.iter().map(|arn| (arn.as_str(), 1)).collect();
        let unweighted = {
            let mut action = forward(&[(&blue, 1), (&green, 0)]);
            action.forward_config.as_mut().unwrap().target_groups[1].weight = None;
            action
        };
        let doubly_named = Action { target_group_arn: Some(blue.clone()), ..forward(&[(&blue, 1), (&green, 0)]) };
        let cases = [
            (vec![], "exactly one"),
            (vec![forward(&[(&blue, 1)]), forward(&[(&blue, 1)])], "exactly one"),
            (vec![forward(&many)], "at most 5"),
            (vec![forward(&[(&blue, 1), (&blue, 1)])], "unique"),
            (vec![forward(&[(&blue, 1000)])], "between 0 and 999"),
            (vec![unweighted], "A weight is required"),
            (vec![doubly_named], "TargetGroupArn only"),
            (vec![forward(&[("arn:nothing", 1)])], "TargetGroupNotFound"),
        ];
        let before = sim.universe().estate_fingerprint();
        for (actions, text) in cases {
            let error = write_default(&sim, actions).unwrap_err();
            assert!(error.message.to_lowercase().contains(&text.to_lowercase()), "{error} / {text}");
            assert!(error.cause.changed_nothing());
        }
        assert_eq!(sim.universe().estate_fingerprint(), before);
        no_violations(&sim);
    }

    #[test]
    fn a_sticky_group_beside_another_needs_stickiness_in_the_action() {
        let sim = healthy();
        let (blue, green) = (blue_group(&sim), create_group(&sim).unwrap());
        sim.set_target_group_attributes(&green, &BTreeMap::from([("stickiness.enabled".into(), "true".into())]))
            .unwrap();
        let mut action = forward(&[(&blue, 1), (&green, 0)]);
        assert_eq!(write_default(&sim, vec![action.clone()]).unwrap_err().cause, Cause::Refused);
        let on = GroupStickiness { enabled: Some(true), duration_seconds: Some(60) };
        action.forward_config.as_mut().unwrap().target_group_stickiness_config = Some(on);
        write_default(&sim, vec![action]).unwrap();
    }

    #[test]
    fn a_group_belongs_to_one_load_balancer() {
        let sim = healthy();
        let green = create_group(&sim).unwrap();
        probe(&sim, &green).unwrap();
        let listener = sim.with(|u| {
            let mut other = u.load_balancers.values().next().unwrap().clone();
            other.arn.push('x');
            let mut route = u.routes.values().find(|r| r.route.actual.priority.is_none()).unwrap().clone();
            let listener = format!("{}x", route.route.actual.listener);
            route.route.actual.load_balancer.clone_from(&other.arn);
            route.route.actual.listener.clone_from(&listener);
            route.route.actual.at = RouteAt::Listener(listener.clone());
            route.route.actual.actions = Vec::new();
            u.load_balancers.insert(other.arn.clone(), other);
            u.routes.insert(listener.clone(), route);
            listener
        });
        let write = RouteWrite { at: RouteAt::Listener(listener.unwrap()), actions: vec![forward(&[(&green, 1)])] };
        let error = sim.set_actions(&[write]).remove(0).unwrap_err();
        assert!(error.message.starts_with("TargetGroupAssociationLimit: "), "{error}");
    }

    #[test]
    fn rules_have_a_free_priority_a_limit_and_one_name() {
        let sim = healthy();
        let green = create_group(&sim).unwrap();
        let first = probe(&sim, &green).unwrap();
        assert_eq!(probe(&sim, &green), Ok(first.clone()));
        assert_eq!(routes(&sim)[4].priority, Some(50_000));
        let listener = default_route(&sim).listener;
        let actions = [forward(&[(&green, 1)])];
        let taken = sim.with(|u| u.create_rule(&listener, 10, vec![], &actions, ours())).unwrap().unwrap_err();
        assert_eq!(taken.message, "PriorityInUse: Priority '10' is currently in use");
        sim.with(|u| u.knobs.rule_limit = 5).unwrap();
        let full = sim.with(|u| u.create_rule(&listener, 11, vec![], &actions, ours())).unwrap().unwrap_err();
        assert!(full.message.starts_with("TooManyRules: "), "{full}");
        sim.delete_rule(&first).unwrap();
        sim.delete_rule(&first).unwrap();
        assert_eq!(sim.delete_rule(&listener).unwrap_err().cause, Cause::Refused);
        no_violations(&sim);
    }

    #[test]
    fn a_default_action_is_no_rule_and_unknown_routes_are_not_found() {
        let sim = healthy();
        let route = default_route(&sim);
        let write = |at| RouteWrite { at, actions: route.actions.clone() };
        let listener = route.listener.clone();
        let writes = [
            write(RouteAt::Rule(listener)),
            write(RouteAt::Rule("arn:gone".into())),
            write(RouteAt::Listener("arn:gone".into())),
            write(route.at.clone()),
        ];
        let outcomes = sim.set_actions(&writes);
        let causes: Vec<Option<Cause>> = outcomes.iter().map(|o| o.as_ref().err().map(|e| e.cause)).collect();
        assert_eq!(causes, [Some(Cause::Refused), Some(Cause::NotFound), Some(Cause::NotFound), None]);
    }

    #[test]
    fn a_group_in_use_is_not_deleted() {
        let sim = healthy();
        let green = create_group(&sim).unwrap();
        let rule = probe(&sim, &green).unwrap();
        let error = sim.delete_target_group(&green).unwrap_err();
        assert!(error.message.starts_with("ResourceInUse: "), "{error}");
        sim.delete_rule(&rule).unwrap();
        sim.delete_target_group(&green).unwrap();
        sim.delete_target_group(&green).unwrap();
        no_violations(&sim);
    }

    #[test]
    fn deleting_what_is_not_ours_is_a_violation() {
        let sim = healthy();
        sim.delete_rule(routes(&sim)[0].at.arn()).unwrap();
        assert_eq!(kinds(&sim), [ViolationKind::ForeignDeleted]);
    }

    #[test]
    fn all_weights_zero_are_accepted_and_a_violation() {
        let sim = healthy();
        write_default(&sim, vec![forward(&[(&blue_group(&sim), 0)])]).unwrap();
        assert_eq!(kinds(&sim), [ViolationKind::AllWeightsZero, ViolationKind::TrafficUnserved]);
    }

    #[test]
    fn weight_on_a_group_without_targets_is_a_violation() {
        let sim = healthy();
        let green = create_group(&sim).unwrap();
        write_default(&sim, vec![forward(&[(&blue_group(&sim), 99), (&green, 1)])]).unwrap();
        assert_eq!(kinds(&sim), [ViolationKind::WeightWithoutHealth, ViolationKind::TrafficUnserved]);
    }

    #[test]
    fn what_is_not_ours_in_a_route_must_survive() {
        for nth in [1, 2] {
            let sim = healthy();
            let route = routes(&sim).remove(nth);
            let actions = vec![forward(&[(&blue_group(&sim), 1)])];
            sim.set_actions(&[RouteWrite { at: route.at, actions }]).remove(0).unwrap();
            assert_eq!(kinds(&sim), [ViolationKind::ForeignChanged]);
        }
    }

    #[test]
    fn the_share_of_others_must_survive() {
        let sim = healthy();
        let (green, _) = stand_up(&sim);
        pass(&sim, 120);
        let mut writes = shift(&sim, &green, 50);
        let third = writes.iter_mut().find(|w| tuples(&w.actions[0]).len() == 3).unwrap();
        third.actions[0].forward_config.as_mut().unwrap().target_groups[1].weight = Some(90);
        sim.set_actions(&writes).into_iter().for_each(|o| o.unwrap());
        assert_eq!(kinds(&sim), [ViolationKind::ForeignChanged]);
    }

    #[test]
    fn a_shift_there_and_back_restores_every_byte() {
        let sim = healthy();
        let origin = sim.universe().estate_fingerprint();
        let before = routes(&sim);
        let (green, rule) = stand_up(&sim);
        pass(&sim, 120);
        shift_all(&sim, &green, 10);
        let shifted = routes(&sim);
        assert_eq!(shifted[1].actions[0], before[1].actions[0], "the login survives");
        assert_ne!(shifted[1].actions[1], before[1].actions[1]);
        let home = before.iter().map(|r| RouteWrite { at: r.at.clone(), actions: r.actions.clone() });
        sim.set_actions(&home.collect::<Vec<_>>()).into_iter().for_each(|o| o.unwrap());
        assert_eq!(sim.universe().foreign_fingerprint()["routes"], origin["routes"]);
        sim.delete_service("prod", "web-ipv6").unwrap();
        sim.delete_rule(&rule).unwrap();
        sim.delete_target_group(&green).unwrap();
        sim.deregister_task_definition("arn:aws:ecs:eu-central-1:123456789012:task-definition/web-ipv6:1").unwrap();
        assert_ne!(sim.universe().estate_fingerprint(), origin);
        sim.suspend_scaling("service/prod/web", Default::default()).unwrap();
        assert_eq!(sim.universe().estate_fingerprint(), origin);
        no_violations(&sim);
    }

    #[test]
    fn reads_lag_writes_where_the_knob_says_so() {
        let sim = healthy();
        sim.with(|u| u.knobs.read_lag_ms = 2000).unwrap();
        let blue = blue_group(&sim);
        let mut stale = 0;
        for weight in 1..40 {
            write_default(&sim, vec![forward(&[(&blue, weight)])]).unwrap();
            let seen = tuples(&default_route(&sim).actions[0])[0].1;
            stale += usize::from(seen != weight);
            pass(&sim, 2);
            assert_eq!(tuples(&default_route(&sim).actions[0])[0].1, weight);
        }
        assert!(stale > 10, "{stale} of 39 reads were stale");
    }
}
