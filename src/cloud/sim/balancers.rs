//! Load balancers that are copied: their parts, their becoming, and what ELBv2 and WAF refuse.
//!
//! Where requests go is in the routes, here as elsewhere; this adds what a load balancer has besides. A new one needs minutes until it works, and a deleted
//! one frees its name at once but its target groups only after a while.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Sim;
use super::elb::{CREATE_RULE, SimRoute, forwards};
use super::faults::{failed, not_found, refused};
use super::store::StoreError;
use super::universe::{Lagging, Universe, ViolationKind, bears_marks, is_ours};
use crate::cloud::balancers::{Balancers, NewListener, NewLoadBalancer, RuleLike};
use crate::cloud::{Cause, CloudError};
use crate::inventory::balancer::{Anatomy, DELETION_PROTECTION, Listener, Rule};
use crate::inventory::{Action, LoadBalancer, Route, RouteAt};

const ADD_CERTIFICATES: &str = "elasticloadbalancing:AddListenerCertificates";
const ASSOCIATE: &str = "wafv2:AssociateWebACL";
const CREATE: &str = "elasticloadbalancing:CreateLoadBalancer";
const CREATE_LISTENER: &str = "elasticloadbalancing:CreateListener";
const DELETE: &str = "elasticloadbalancing:DeleteLoadBalancer";
const DELETE_LISTENER: &str = "elasticloadbalancing:DeleteListener";
const DESCRIBE: &str = "elasticloadbalancing:DescribeLoadBalancers";
const SET_ATTRIBUTES: &str = "elasticloadbalancing:ModifyLoadBalancerAttributes";
const SET_LISTENER: &str = "elasticloadbalancing:ModifyListenerAttributes";
/// Certificates beside the default one (ELBv2 quotas).
const CERTIFICATES_MAX: usize = 25;

/// What a load balancer has beside its description and its routes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimBalancer {
    /// Its listeners without actions, rules and tags: those stand in the routes.
    pub parts: Anatomy,
    /// Transforms of its rules, by the rule's ARN.
    pub transforms: BTreeMap<String, Vec<Value>>,
    /// Until then reads do not show it.
    pub visible_from: DateTime<Utc>,
    /// Until then it is `provisioning`.
    pub active_from: DateTime<Utc>,
    pub departed: Option<Departed>,
}

/// What is left of a load balancer after its deletion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Departed {
    pub was: LoadBalancer,
    /// Until then reads still show it.
    pub seen_until: DateTime<Utc>,
    /// Its target groups, in use until `gone_at`.
    pub target_groups: Vec<String>,
    pub gone_at: DateTime<Utc>,
}

impl Balancers for Sim {
    fn balancer_named(&self, name_or_arn: &str) -> Result<Option<LoadBalancer>, CloudError> {
        self.read(DESCRIBE, |u| {
            Ok(u.balancers_seen().into_iter().find(|b| b.arn == name_or_arn || b.name == name_or_arn))
        })
    }

    fn anatomies(&self, arns: &[String]) -> Result<Vec<Anatomy>, CloudError> {
        self.read("elasticloadbalancing:DescribeListeners", |u| {
            let seen = u.balancers_seen();
            let visible = arns.iter().filter(|arn| seen.iter().any(|b| b.arn == **arn));
            Ok(visible.filter_map(|arn| u.anatomy(arn)).collect())
        })
    }

    fn create_load_balancer(&self, wanted: &NewLoadBalancer) -> Result<LoadBalancer, CloudError> {
        self.change(CREATE, |u| u.create_load_balancer(wanted))
    }

    fn set_load_balancer_attributes(&self, arn: &str, attributes: &BTreeMap<String, String>) -> Result<(), CloudError> {
        self.change(SET_ATTRIBUTES, |u| {
            let parts = u.parts(SET_ATTRIBUTES, arn)?;
            set_attributes(SET_ATTRIBUTES, &mut parts.attributes, attributes)
        })
    }

    fn create_listeners(&self, wanted: &[NewListener]) -> Vec<Result<String, CloudError>> {
        self.each(CREATE_LISTENER, wanted, Universe::create_listener)
    }

    fn add_certificates(&self, listener: &str, certificates: &[String]) -> Result<(), CloudError> {
        self.change(ADD_CERTIFICATES, |u| u.add_certificates(listener, certificates))
    }

    fn set_listener_attributes(&self, listener: &str, attributes: &BTreeMap<String, String>) -> Result<(), CloudError> {
        self.change(SET_LISTENER, |u| {
            let found = u.listener(SET_LISTENER, listener)?;
            set_attributes(SET_LISTENER, &mut found.attributes, attributes)
        })
    }

    fn create_rules(&self, wanted: &[RuleLike]) -> Vec<Result<(), CloudError>> {
        self.each(CREATE_RULE, wanted, Universe::create_rule_like)
    }

    fn associate_web_acl(&self, load_balancer: &str, web_acl: &str) -> Result<(), CloudError> {
        self.change(ASSOCIATE, |u| u.associate_web_acl(load_balancer, web_acl))
    }

    fn delete_listener(&self, arn: &str) -> Result<(), CloudError> {
        self.change(DELETE_LISTENER, |u| {
            u.delete_listener(arn);
            Ok(())
        })
    }

    fn delete_load_balancer(&self, arn: &str) -> Result<(), CloudError> {
        self.change(DELETE, |u| u.delete_load_balancer(arn))
    }
}

impl Sim {
    /// Concurrent calls: together they take the time of one, and each may fail.
    fn each<W, T>(
        &self,
        operation: &str,
        wanted: &[W],
        act: impl Fn(&mut Universe, &W) -> Result<T, CloudError>,
    ) -> Vec<Result<T, CloudError>> {
        let done = self.lock().exclusively(|state| {
            let universe = &mut state.universe;
            universe.advance(universe.now + Duration::milliseconds(i64::from(universe.knobs.call_ms)));
            wanted.iter().map(|w| universe.change(operation, |u| act(u, w))).collect()
        });
        let lost = |error: &StoreError| {
            wanted.iter().map(|_| Err(failed(operation, Cause::Unknown, error.to_string()))).collect()
        };
        done.unwrap_or_else(|error| lost(&error))
    }
}

impl Universe {
    /// Load balancers as reads see them now.
    pub(super) fn balancers_seen(&self) -> Vec<LoadBalancer> {
        let shown = |b: &&LoadBalancer| self.balancers.get(&b.arn).is_none_or(|s| s.visible_from <= self.now);
        let live = self.load_balancers.values().filter(shown).map(|b| {
            let working = self.balancers.get(&b.arn).is_none_or(|s| s.active_from <= self.now);
            let state = if working { b.state.clone() } else { "provisioning".to_owned() };
            LoadBalancer { state, ..b.clone() }
        });
        let departed = self.balancers.values().filter_map(|s| s.departed.as_ref());
        let lingering = departed.filter(|d| self.now < d.seen_until).map(|d| d.was.clone());
        live.chain(lingering).collect()
    }

    /// ARNs of deleted load balancers that have not let go of this group yet.
    pub(super) fn departing_with(&self, group: &str) -> Vec<String> {
        let held = |s: &&SimBalancer| {
            s.departed.as_ref().is_some_and(|d| self.now < d.gone_at && d.target_groups.iter().any(|g| g == group))
        };
        self.balancers.values().filter(held).map(|s| s.parts.load_balancer.clone()).collect()
    }

    /// Whether requests that reach this load balancer find nobody: it is gone, or does not work yet.
    pub(super) fn balancer_is_deaf(&self, arn: &str) -> bool {
        self.balancers.get(arn).is_some_and(|s| s.departed.is_some() || self.now < s.active_from)
    }

    /// What a load balancer is made of, with its routes.
    pub(super) fn anatomy(&self, arn: &str) -> Option<Anatomy> {
        let stored = self.balancers.get(arn)?;
        let mut anatomy = stored.parts.clone();
        for listener in &mut anatomy.listeners {
            let Some(default) = self.routes.get(&listener.arn) else { continue };
            listener.tags.clone_from(&default.tags);
            listener.default_actions.clone_from(&default.route.seen(self.now).actions);
            listener.rules = self.rules_with_tags(stored, &listener.arn);
        }
        anatomy.listeners.sort_by_key(|l| l.port);
        Some(anatomy)
    }

    fn rules_with_tags(&self, stored: &SimBalancer, listener: &str) -> Vec<Rule> {
        let of_listener = self.routes.values().filter(|r| r.route.actual.listener == listener);
        let mut rules: Vec<Rule> = of_listener
            .filter_map(|r| {
                let route = r.route.seen(self.now);
                let arn = route.at.arn().to_owned();
                Some(Rule {
                    priority: route.priority?,
                    conditions: route.conditions.iter().map(|c| condition(c)).collect(),
                    transforms: stored.transforms.get(&arn).cloned().unwrap_or_default(),
                    actions: route.actions.clone(),
                    tags: r.tags.clone(),
                    arn,
                })
            })
            .collect();
        rules.sort_by_key(|r| r.priority);
        rules
    }

    fn parts(&mut self, operation: &str, arn: &str) -> Result<&mut Anatomy, CloudError> {
        let live = self.load_balancers.contains_key(arn);
        let found = self.balancers.get_mut(arn).filter(|_| live);
        found.map(|s| &mut s.parts).ok_or_else(|| no_balancer(operation))
    }

    fn listener(&mut self, operation: &str, arn: &str) -> Result<&mut Listener, CloudError> {
        let mut listeners = self.balancers.values_mut().flat_map(|s| &mut s.parts.listeners);
        listeners.find(|l| l.arn == arn).ok_or_else(|| no_listener(operation))
    }

    fn create_load_balancer(&mut self, wanted: &NewLoadBalancer) -> Result<LoadBalancer, CloudError> {
        let from = self.load_balancers.get(&wanted.from).cloned().ok_or_else(|| no_balancer(CREATE))?;
        let model = self.anatomy(&wanted.from).ok_or_else(|| no_balancer(CREATE))?;
        check_name(&wanted.name)?;
        if let Some(present) = self.load_balancers.values().find(|b| b.name == wanted.name) {
            let tags = self.balancers.get(&present.arn).map(|s| s.parts.tags.clone()).unwrap_or_default();
            let like = present.ip_address_type == wanted.ip_address_type && present.kind == from.kind;
            return if like && bears_marks(&tags, &wanted.tags) {
                Ok(present.clone())
            } else {
                let text =
                    "DuplicateLoadBalancerName: A load balancer with the same name exists, but with different settings";
                Err(refused(CREATE, text))
            };
        }
        if self.load_balancers.len() >= self.knobs.balancer_limit {
            return Err(refused(CREATE, "TooManyLoadBalancers: The maximum number of load balancers has been reached"));
        }
        let path = if from.kind == "network" { "net" } else { "app" };
        let arn = self.elb_arn(&format!("loadbalancer/{path}/{}", wanted.name));
        let number = self.fresh_id();
        let balancer = LoadBalancer {
            arn: arn.clone(),
            name: wanted.name.clone(),
            ip_address_type: wanted.ip_address_type.clone(),
            dns_name: format!("{}-{:.10}.{}.elb.amazonaws.com", wanted.name, number, self.identity.region),
            ..from
        };
        let mut parts = Anatomy {
            load_balancer: arn.clone(),
            vpc: model.vpc,
            attributes: default_attributes(),
            tags: wanted.tags.clone(),
            ..Anatomy::default()
        };
        if wanted.ipv6_source_nat {
            parts.settings.insert("EnablePrefixForIpv6SourceNat".to_owned(), "on".to_owned());
        }
        let provisioning = Duration::seconds(i64::from(self.knobs.provisioning_s));
        let made = SimBalancer {
            parts,
            transforms: BTreeMap::new(),
            visible_from: self.now + self.lag(),
            active_from: self.now + provisioning,
            departed: None,
        };
        self.balancers.insert(arn.clone(), made);
        self.load_balancers.insert(arn, balancer.clone());
        Ok(LoadBalancer { state: "provisioning".to_owned(), ..balancer })
    }

    fn create_listener(&mut self, wanted: &NewListener) -> Result<String, CloudError> {
        let model = self.listener(CREATE_LISTENER, &wanted.from)?.clone();
        let original = self.routes.get(&wanted.from).cloned().ok_or_else(|| no_listener(CREATE_LISTENER))?;
        let limit = self.knobs.listener_limit;
        let listeners = &self.parts(CREATE_LISTENER, &wanted.load_balancer)?.listeners;
        let present = listeners.iter().find(|l| l.port == model.port).map(|l| (l.arn.clone(), l.protocol.clone()));
        if present.is_none() && listeners.len() >= limit {
            return Err(refused(CREATE_LISTENER, "TooManyListeners: The maximum number of listeners has been reached"));
        }
        if let Some((arn, protocol)) = present {
            let ours = self.routes.get(&arn).is_some_and(|r| bears_marks(&r.tags, &wanted.tags));
            let text = "DuplicateListener: A listener already exists on this port for this load balancer";
            return if ours && protocol == model.protocol { Ok(arn) } else { Err(refused(CREATE_LISTENER, text)) };
        }
        if matches!(model.protocol.as_str(), "HTTPS" | "TLS") && model.default_certificate.is_none() {
            let text = "ValidationError: A certificate must be specified for HTTPS and TLS listeners";
            return Err(refused(CREATE_LISTENER, text));
        }
        let actions = moved(CREATE_LISTENER, &original.route.actual.actions, &wanted.target_groups)?;
        let actions = self.checked(CREATE_LISTENER, &wanted.load_balancer, &actions)?;
        let id = self.fresh_id();
        let arn = format!("{}/{id}", wanted.load_balancer.replacen(":loadbalancer/", ":listener/", 1));
        let route = Route {
            at: RouteAt::Listener(arn.clone()),
            load_balancer: wanted.load_balancer.clone(),
            listener: arn.clone(),
            actions,
            ..original.route.actual
        };
        let stored = SimRoute { route: Lagging::new(route), tags: wanted.tags.clone(), traffic: original.traffic };
        self.routes.insert(arn.clone(), stored);
        // Certificates beside the default one, and attributes, are given by calls of their own.
        let listener = Listener {
            arn: arn.clone(),
            certificates: Vec::new(),
            attributes: listener_attributes(&model.protocol),
            ..model
        };
        self.parts(CREATE_LISTENER, &wanted.load_balancer)?.listeners.push(listener);
        Ok(arn)
    }

    fn create_rule_like(&mut self, wanted: &RuleLike) -> Result<(), CloudError> {
        let missing = || not_found(CREATE_RULE, "RuleNotFound: One or more rules not found");
        let original = self.routes.get(&wanted.from).cloned().ok_or_else(missing)?;
        let route = &original.route.actual;
        let priority = route.priority.ok_or_else(missing)?;
        let same_place =
            |r: &&SimRoute| r.route.actual.listener == wanted.listener && r.route.actual.priority == Some(priority);
        if self.routes.values().find(same_place).is_some_and(|r| bears_marks(&r.tags, &wanted.tags)) {
            return Ok(());
        }
        let actions = moved(CREATE_RULE, &route.actions, &wanted.target_groups)?;
        let conditions = route.conditions.clone();
        let arn = self.create_rule(&wanted.listener, priority, conditions, &actions, wanted.tags.clone())?;
        // The same requests match it.
        if let Some(made) = self.routes.get_mut(&arn) {
            made.traffic = original.traffic;
        }
        let transforms = self.balancers.values().find_map(|s| s.transforms.get(&wanted.from)).cloned();
        let balancer = self.routes.get(&arn).map(|r| r.route.actual.load_balancer.clone()).unwrap_or_default();
        if let (Some(transforms), Some(stored)) = (transforms, self.balancers.get_mut(&balancer)) {
            stored.transforms.insert(arn, transforms);
        }
        Ok(())
    }

    fn add_certificates(&mut self, listener: &str, certificates: &[String]) -> Result<(), CloudError> {
        let found = self.listener(ADD_CERTIFICATES, listener)?;
        let mut all = found.certificates.clone();
        let known = |all: &[String], c: &String| all.contains(c) || found.default_certificate.as_ref() == Some(c);
        for certificate in certificates {
            if !known(&all, certificate) {
                all.push(certificate.clone());
            }
        }
        if all.len() > CERTIFICATES_MAX {
            let text = "TooManyCertificates: The maximum number of certificates has been reached";
            return Err(refused(ADD_CERTIFICATES, text));
        }
        found.certificates = all;
        Ok(())
    }

    fn associate_web_acl(&mut self, load_balancer: &str, web_acl: &str) -> Result<(), CloudError> {
        let now = self.now;
        let missing = || not_found(ASSOCIATE, "WAFNonexistentItemException: the resource does not exist");
        let kind = self.load_balancers.get(load_balancer).map(|b| b.kind.clone()).ok_or_else(missing)?;
        if kind != "application" {
            return Err(refused(ASSOCIATE, "WAFInvalidParameterException: a web ACL guards no network load balancer"));
        }
        let stored = self.balancers.get_mut(load_balancer).ok_or_else(missing)?;
        if now < stored.active_from {
            let text = "WAFUnavailableEntityException: AWS WAF couldn't retrieve the resource that you requested. Retry your request";
            return Err(refused(ASSOCIATE, text));
        }
        stored.parts.web_acl = Some(web_acl.to_owned());
        Ok(())
    }

    fn delete_listener(&mut self, arn: &str) {
        let Some(default) = self.routes.get(arn).filter(|r| r.route.actual.priority.is_none()) else { return };
        let (foreign, balancer) = (!is_ours(&default.tags), default.route.actual.load_balancer.clone());
        if foreign {
            self.violate(ViolationKind::ForeignDeleted, format!("listener {arn}"));
        }
        self.routes.retain(|_, r| r.route.actual.listener != arn);
        if let Some(stored) = self.balancers.get_mut(&balancer) {
            stored.parts.listeners.retain(|l| l.arn != arn);
        }
    }

    fn delete_load_balancer(&mut self, arn: &str) -> Result<(), CloudError> {
        if !self.load_balancers.contains_key(arn) {
            return Ok(());
        }
        let parts = self.parts(DELETE, arn)?;
        if parts.protected() {
            let text = format!(
                "OperationNotPermitted: Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
            );
            return Err(refused(DELETE, text));
        }
        if !is_ours(&parts.tags) {
            self.violate(ViolationKind::ForeignDeleted, format!("load balancer {arn}"));
        }
        if self.is_asked(arn) {
            self.violate(ViolationKind::TrafficUnserved, format!("records lead to the deleted load balancer {arn}"));
        }
        let used = self.routes.values().filter(|r| r.route.actual.load_balancer == arn);
        let used: Vec<String> =
            used.flat_map(|r| forwards(&r.route.actual)).map(|(group, _)| group.to_owned()).collect();
        let (now, lag) = (self.now, self.lag());
        let leaving = Duration::seconds(i64::from(self.knobs.departing_s));
        self.routes.retain(|_, r| r.route.actual.load_balancer != arn);
        if let (Some(was), Some(stored)) = (self.load_balancers.remove(arn), self.balancers.get_mut(arn)) {
            stored.parts.listeners.clear();
            let departed = Departed { was, seen_until: now + lag, target_groups: used, gone_at: now + leaving };
            stored.departed = Some(departed);
        }
        Ok(())
    }
}

/// The actions with each blue group's twin in its place; a client secret is nowhere to be had.
fn moved(operation: &str, actions: &[Action], twins: &BTreeMap<String, String>) -> Result<Vec<Action>, CloudError> {
    let mut actions = actions.to_vec();
    if actions.iter().any(|a| a.kind == "authenticate-oidc") {
        return Err(refused(operation, "InvalidLoadBalancerAction: You must specify the client secret"));
    }
    for action in &mut actions {
        let config = action.forward_config.iter_mut().flat_map(|c| &mut c.target_groups);
        let named = config.map(|t| &mut t.target_group_arn).chain(&mut action.target_group_arn);
        for arn in named {
            if let Some(twin) = twins.get(arn) {
                arn.clone_from(twin);
            }
        }
    }
    Ok(actions)
}

fn set_attributes(
    operation: &str,
    present: &mut BTreeMap<String, String>,
    wished: &BTreeMap<String, String>,
) -> Result<(), CloudError> {
    if let Some(unknown) = wished.keys().find(|k| !present.contains_key(*k)) {
        let text = format!("InvalidConfigurationRequest: The attribute key '{unknown}' is not valid");
        return Err(refused(operation, text));
    }
    if let Some((key, _)) = wished.iter().find(|(_, v)| v.is_empty()) {
        return Err(refused(operation, format!("InvalidConfigurationRequest: The value of '{key}' is not valid")));
    }
    present.extend(wished.clone());
    Ok(())
}

fn no_balancer(operation: &str) -> CloudError {
    not_found(operation, "LoadBalancerNotFound: One or more load balancers not found")
}

fn no_listener(operation: &str) -> CloudError {
    not_found(operation, "ListenerNotFound: One or more listeners not found")
}

fn check_name(name: &str) -> Result<(), CloudError> {
    if name.len() > 32 {
        let text = format!("ValidationError: The load balancer name '{name}' cannot be longer than '32' characters");
        return Err(refused(CREATE, text));
    }
    let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !legal || name.starts_with('-') || name.ends_with('-') || name.starts_with("internal-") {
        let text = format!(
            "ValidationError: The load balancer name '{name}' can only contain alphanumeric characters and hyphens, \
             must not begin or end with one, and must not begin with 'internal-'"
        );
        return Err(refused(CREATE, text));
    }
    Ok(())
}

/// A condition as the API has it, from the words in which a route keeps it.
fn condition(words: &str) -> Value {
    let (field, values) = words.split_once(' ').unwrap_or((words, ""));
    let values: Vec<&str> = values.split(' ').filter(|v| !v.is_empty()).collect();
    match field {
        "host-header" => json!({ "Field": field, "HostHeaderConfig": { "Values": values } }),
        "path-pattern" => json!({ "Field": field, "PathPatternConfig": { "Values": values } }),
        "source-ip" => json!({ "Field": field, "SourceIpConfig": { "Values": values } }),
        "http-request-method" => json!({ "Field": field, "HttpRequestMethodConfig": { "Values": values } }),
        _ => json!({ "Field": field, "Values": values }),
    }
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The attributes that a load balancer has before anybody sets them.
pub(super) fn default_attributes() -> BTreeMap<String, String> {
    map([
        ("access_logs.s3.bucket", ""),
        ("access_logs.s3.enabled", "false"),
        ("access_logs.s3.prefix", ""),
        (DELETION_PROTECTION, "false"),
        ("idle_timeout.timeout_seconds", "60"),
        ("load_balancing.cross_zone.enabled", "true"),
        ("routing.http.drop_invalid_header_fields.enabled", "false"),
        ("routing.http2.enabled", "true"),
    ])
}

/// The attributes that a listener has before anybody sets them.
pub(super) fn listener_attributes(protocol: &str) -> BTreeMap<String, String> {
    match protocol {
        "HTTP" | "HTTPS" => map([
            ("routing.http.response.server.enabled", "true"),
            ("routing.http.response.strict_transport_security.header_value", ""),
        ]),
        _ => map([("tcp.idle_timeout.seconds", "350")]),
    }
}

#[cfg(test)]
mod tests;
