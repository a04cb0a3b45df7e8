//! Each rule of the real cloud about load balancers, as the simulated one enforces it.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::fixture::*;
use super::super::{Scenario, Sim, Universe, ViolationKind};
use crate::cloud::balancers::{Balancers, NewListener, NewLoadBalancer, RuleLike};
use crate::cloud::{Cause, Cloud, CloudError};
use crate::inventory::LoadBalancer;
use crate::inventory::balancer::{Anatomy, DELETION_PROTECTION, Listener};

/// An estate whose load balancer can be copied, and green's target group.
fn estate(settings: serde_json::Value) -> (Sim, String) {
    let mut playbook = serde_json::to_value(playbook()).unwrap();
    playbook["shift"] = json!({ "dns_weights": settings });
    let playbook = serde_json::from_value(playbook).unwrap();
    let sim = Sim::in_memory(Universe::for_playbook(&playbook, Scenario::Healthy, 7, start()));
    let green = create_group(&sim).unwrap();
    (sim, green)
}

fn blue(sim: &Sim) -> LoadBalancer {
    sim.balancer_named("web").unwrap().unwrap()
}

fn anatomy(sim: &Sim, arn: &str) -> Anatomy {
    sim.anatomies(&[arn.to_owned()]).unwrap().remove(0)
}

fn wanted(sim: &Sim, name: &str) -> NewLoadBalancer {
    NewLoadBalancer {
        from: blue(sim).arn,
        name: name.to_owned(),
        ip_address_type: "dualstack".to_owned(),
        ipv6_source_nat: false,
        tags: ours(),
    }
}

fn create(sim: &Sim) -> LoadBalancer {
    sim.create_load_balancer(&wanted(sim, "web-ipv6")).unwrap()
}

fn listener_like(sim: &Sim, from: &Listener, to: &str, green: &str) -> NewListener {
    NewListener {
        from: from.arn.clone(),
        load_balancer: to.to_owned(),
        port: from.port,
        target_groups: BTreeMap::from([(blue_group(sim), green.to_owned())]),
        tags: ours(),
    }
}

/// Copies blue's listeners; answers with their ARNs.
fn listeners(sim: &Sim, to: &str, green: &str) -> Vec<Result<String, CloudError>> {
    let model = anatomy(sim, &blue(sim).arn);
    let wanted: Vec<NewListener> = model.listeners.iter().map(|l| listener_like(sim, l, to, green)).collect();
    sim.create_listeners(&wanted)
}

fn rules(sim: &Sim, to: &str, green: &str) -> Vec<Result<(), CloudError>> {
    let model = anatomy(sim, &blue(sim).arn);
    let like = |(listener, rule): (&Listener, &crate::inventory::balancer::Rule)| RuleLike {
        from: rule.arn.clone(),
        listener: anatomy(sim, to).listeners.iter().find(|l| l.port == listener.port).unwrap().arn.clone(),
        target_groups: BTreeMap::from([(blue_group(sim), green.to_owned())]),
        tags: ours(),
    };
    sim.create_rules(&model.rules().map(like).collect::<Vec<_>>())
}

/// A whole copy that works.
fn copy(sim: &Sim, green: &str) -> LoadBalancer {
    let made = create(sim);
    listeners(sim, &made.arn, green).into_iter().for_each(|l| drop(l.unwrap()));
    rules(sim, &made.arn, green).into_iter().for_each(|r| r.unwrap());
    pass(sim, 130);
    made
}

fn says<T: std::fmt::Debug>(answer: Result<T, CloudError>, code: &str) {
    let error = answer.unwrap_err();
    assert!(error.message.starts_with(code), "{error}");
    assert!(error.cause.changed_nothing(), "{error}");
}

fn kinds(sim: &Sim) -> Vec<ViolationKind> {
    sim.universe().violations.iter().map(|v| v.kind).collect()
}

#[test]
fn a_copy_is_like_its_model_in_everything_but_the_groups() {
    let (sim, green) = estate(json!({}));
    let made = copy(&sim, &green);
    let (model, twin) = (anatomy(&sim, &blue(&sim).arn), anatomy(&sim, &made.arn));
    assert_eq!((&twin.vpc, made.scheme), (&model.vpc, blue(&sim).scheme));
    assert_eq!((made.security_groups, made.subnets), (blue(&sim).security_groups, blue(&sim).subnets));
    let text = |rules: Vec<(&Listener, &crate::inventory::balancer::Rule)>| {
        let facts = rules.iter().map(|(l, r)| json!([l.port, r.priority, r.conditions, r.transforms, r.actions]));
        facts.collect::<serde_json::Value>().to_string()
    };
    let expected = text(model.rules().collect()).replace(&blue_group(&sim), &green);
    assert_eq!(text(twin.rules().collect()), expected);
    assert!(expected.contains("UrlRewriteConfig") && expected.contains("authenticate-cognito"), "{expected}");
    let traffic = |balancer: &str| -> f64 {
        sim.universe().routes.values().filter(|r| r.route.actual.load_balancer == balancer).map(|r| r.traffic).sum()
    };
    assert!((traffic(&made.arn) - traffic(&blue(&sim).arn)).abs() < 1e-9);
    assert_eq!(sim.universe().violations, []);
}

#[test]
fn names_are_short_legal_and_unique() {
    let (sim, _) = estate(json!({}));
    for name in ["w".repeat(33).as_str(), "web_ipv6", "-web", "web-", "internal-web", ""] {
        says(sim.create_load_balancer(&wanted(&sim, name)), "ValidationError");
    }
    let made = create(&sim);
    assert_eq!(create(&sim).arn, made.arn, "ours is adopted");
    let other =
        NewLoadBalancer { tags: [("migrate:run".to_owned(), "api".to_owned())].into(), ..wanted(&sim, "web-ipv6") };
    says(sim.create_load_balancer(&other), "DuplicateLoadBalancerName");
    says(sim.create_load_balancer(&wanted(&sim, "web")), "DuplicateLoadBalancerName");
    let none = NewLoadBalancer { from: "arn:gone".to_owned(), ..wanted(&sim, "x") };
    assert_eq!(sim.create_load_balancer(&none).unwrap_err().cause, Cause::NotFound);
}

#[test]
fn an_account_has_so_many_load_balancers_and_each_so_many_listeners() {
    let (sim, green) = estate(json!({}));
    sim.with(|u| u.knobs.balancer_limit = 1).unwrap();
    says(sim.create_load_balancer(&wanted(&sim, "web-ipv6")), "TooManyLoadBalancers");
    sim.with(|u| (u.knobs.balancer_limit, u.knobs.listener_limit) = (2, 1)).unwrap();
    let made = create(&sim);
    let mut answers = listeners(&sim, &made.arn, &green);
    says(answers.remove(1), "TooManyListeners");
    answers.remove(0).unwrap();
    sim.with(|u| u.knobs.listener_limit = 2).unwrap();
    listeners(&sim, &made.arn, &green).into_iter().for_each(|l| drop(l.unwrap()));
    // Both load balancers count on their own.
    sim.with(|u| u.knobs.rule_limit = 3).unwrap();
    let answers = rules(&sim, &made.arn, &green);
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 3);
    says(answers.into_iter().next_back().unwrap(), "TooManyRules");
}

#[test]
fn a_port_has_one_listener() {
    let (sim, green) = estate(json!({}));
    let made = create(&sim);
    let first: Vec<String> = listeners(&sim, &made.arn, &green).into_iter().map(Result::unwrap).collect();
    let again: Vec<String> = listeners(&sim, &made.arn, &green).into_iter().map(Result::unwrap).collect();
    assert_eq!(first, again, "ours are adopted");
    let model = anatomy(&sim, &blue(&sim).arn).listeners.remove(0);
    let mut other = listener_like(&sim, &model, &made.arn, &green);
    other.tags = BTreeMap::new();
    says(sim.create_listeners(&[other]).remove(0), "DuplicateListener");
}

#[test]
fn a_secure_listener_needs_a_certificate() {
    let (sim, green) = estate(json!({}));
    let made = create(&sim);
    let arn = blue(&sim).arn;
    sim.with(|u| {
        let listeners = &mut u.balancers.get_mut(&arn).unwrap().parts.listeners;
        listeners.iter_mut().for_each(|l| l.default_certificate = None);
    })
    .unwrap();
    let mut answers = listeners(&sim, &made.arn, &green);
    says(answers.remove(1), "ValidationError: A certificate");
    answers.remove(0).unwrap();
}

#[test]
fn a_target_group_stays_with_its_load_balancer() {
    let (sim, green) = estate(json!({}));
    let made = create(&sim);
    let mut answers = listeners(&sim, &made.arn, &blue_group(&sim));
    says(answers.remove(1), "TargetGroupAssociationLimit");
    // An IPv6 group needs a dual-stack load balancer, a copy no less than another.
    sim.with(|u| u.load_balancers.get_mut(&made.arn).unwrap().ip_address_type = "ipv4".to_owned()).unwrap();
    says(listeners(&sim, &made.arn, &green).remove(1), "ValidationError: You cannot associate an IPv6");
}

#[test]
fn a_client_secret_cannot_be_copied() {
    let sim = sim(Scenario::Healthy);
    let green = create_group(&sim).unwrap();
    let made = create(&sim);
    listeners(&sim, &made.arn, &green).remove(0).unwrap();
    let answers = rules(&sim, &made.arn, &green);
    says(answers.into_iter().nth(1).unwrap(), "InvalidLoadBalancerAction: You must specify the client secret");
    says(rules(&sim, &made.arn, &green).remove(2), "TargetGroupAssociationLimit");
}

#[test]
fn rules_are_created_once_by_priority() {
    let (sim, green) = estate(json!({}));
    let made = copy(&sim, &green);
    let before = anatomy(&sim, &made.arn);
    rules(&sim, &made.arn, &green).into_iter().for_each(|r| r.unwrap());
    assert_eq!(anatomy(&sim, &made.arn), before);
    sim.with(|u| u.routes.values_mut().for_each(|r| r.tags.clear())).unwrap();
    says(rules(&sim, &made.arn, &green).remove(0), "PriorityInUse");
}

#[test]
fn attributes_have_known_names_and_values() {
    let (sim, green) = estate(json!({}));
    let made = copy(&sim, &green);
    let set = |key: &str, value: &str| {
        sim.set_load_balancer_attributes(&made.arn, &BTreeMap::from([(key.to_owned(), value.to_owned())]))
    };
    says(set("teapot", "1"), "InvalidConfigurationRequest");
    says(set("access_logs.s3.bucket", ""), "InvalidConfigurationRequest");
    set("idle_timeout.timeout_seconds", "75").unwrap();
    assert_eq!(anatomy(&sim, &made.arn).attributes["idle_timeout.timeout_seconds"], "75");
    let listener = anatomy(&sim, &made.arn).listeners.remove(1).arn;
    let header = "routing.http.response.server.enabled".to_owned();
    sim.set_listener_attributes(&listener, &[(header.clone(), "false".to_owned())].into()).unwrap();
    assert_eq!(anatomy(&sim, &made.arn).listeners[1].attributes[&header], "false");
    let tcp = [("tcp.idle_timeout.seconds".to_owned(), "60".to_owned())].into();
    says(sim.set_listener_attributes(&listener, &tcp), "InvalidConfigurationRequest");
}

#[test]
fn certificates_are_added_once_and_not_without_end() {
    let (sim, green) = estate(json!({}));
    let made = copy(&sim, &green);
    let listener = anatomy(&sim, &made.arn).listeners.remove(1);
    let some = [listener.default_certificate.clone().unwrap(), "arn:c".to_owned(), "arn:c".to_owned()];
    sim.add_certificates(&listener.arn, &some).unwrap();
    assert_eq!(anatomy(&sim, &made.arn).listeners[1].certificates, ["arn:c"]);
    let many: Vec<String> = (0..25).map(|n| format!("arn:c{n}")).collect();
    says(sim.add_certificates(&listener.arn, &many), "TooManyCertificates");
}

#[test]
fn a_new_load_balancer_works_after_a_while_and_waf_knows_it_then() {
    let (sim, green) = estate(json!({}));
    let made = create(&sim);
    assert_eq!(made.state, "provisioning");
    listeners(&sim, &made.arn, &green).into_iter().for_each(|l| drop(l.unwrap()));
    says(sim.associate_web_acl(&made.arn, "arn:acl"), "WAFUnavailableEntityException");
    pass(&sim, 130);
    assert_eq!(sim.load_balancers(std::slice::from_ref(&made.arn)).unwrap()[0].state, "active");
    sim.associate_web_acl(&made.arn, "arn:acl").unwrap();
    assert_eq!(anatomy(&sim, &made.arn).web_acl.as_deref(), Some("arn:acl"));
    sim.with(|u| u.load_balancers.get_mut(&made.arn).unwrap().kind = "network".to_owned()).unwrap();
    says(sim.associate_web_acl(&made.arn, "arn:acl"), "WAFInvalidParameterException");
}

#[test]
fn protection_keeps_a_load_balancer() {
    let (sim, green) = estate(json!({}));
    let made = copy(&sim, &green);
    let protect = |on: &str| {
        sim.set_load_balancer_attributes(&made.arn, &[(DELETION_PROTECTION.to_owned(), on.to_owned())].into())
    };
    protect("true").unwrap();
    says(sim.delete_load_balancer(&made.arn), "OperationNotPermitted");
    protect("false").unwrap();
    sim.delete_load_balancer(&made.arn).unwrap();
    sim.delete_load_balancer(&made.arn).unwrap();
    says(sim.delete_load_balancer(&blue(&sim).arn), "OperationNotPermitted");
}

#[test]
fn a_deleted_load_balancer_frees_its_name_at_once_and_its_groups_late() {
    let (sim, green) = estate(json!({}));
    let origin = sim.universe().estate_fingerprint();
    let made = copy(&sim, &green);
    sim.delete_load_balancer(&made.arn).unwrap();
    assert_eq!(sim.balancer_named("web-ipv6").unwrap(), None);
    assert_eq!(sim.anatomies(std::slice::from_ref(&made.arn)).unwrap(), []);
    says(sim.delete_target_group(&green), "ResourceInUse");
    assert_eq!(sim.target_groups(std::slice::from_ref(&green)).unwrap()[0].load_balancers, [made.arn]);
    let second = create(&sim);
    sim.delete_load_balancer(&second.arn).unwrap();
    pass(&sim, 31);
    assert_eq!(sim.universe().estate_fingerprint(), origin);
    sim.delete_target_group(&green).unwrap();
    assert_eq!(sim.universe().violations, []);
}

#[test]
fn listeners_go_with_their_rules_and_leave_the_rest() {
    let (sim, green) = estate(json!({ "green_load_balancer": "edge" }));
    let origin = sim.universe().estate_fingerprint();
    let edge = sim.balancer_named("edge").unwrap().unwrap();
    assert_eq!(sim.balancer_named(&edge.arn).unwrap().as_ref(), Some(&edge));
    for listener in listeners(&sim, &edge.arn, &green) {
        listener.unwrap();
    }
    rules(&sim, &edge.arn, &green).into_iter().for_each(|r| r.unwrap());
    assert_eq!(sim.universe().foreign_fingerprint()["anatomies"], origin["anatomies"]);
    for listener in anatomy(&sim, &edge.arn).listeners {
        sim.delete_listener(&listener.arn).unwrap();
        sim.delete_listener(&listener.arn).unwrap();
    }
    assert_eq!(sim.universe().estate_fingerprint(), origin);
    assert_eq!(sim.universe().violations, []);
    sim.delete_listener(&anatomy(&sim, &blue(&sim).arn).listeners[0].arn).unwrap();
    assert_eq!(kinds(&sim), [ViolationKind::ForeignDeleted]);
}
