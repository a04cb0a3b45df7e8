//! A load balancer for green: a copy of blue's, or listeners on one that the playbook names.

use std::collections::BTreeMap;

use super::{Planned, tags, taking_part, twin_name};
use crate::cloud::balancers::NewLoadBalancer;
use crate::inventory::balancer::{Anatomy, DELETION_PROTECTION, DENY_INTERNET, strangers};
use crate::inventory::{Inventory, LoadBalancer};
use crate::operation::{AwaitBalancer, CopyListeners, ListenerCopy, Operation, RuleCopy};
use crate::playbook::Playbook;

/// Everything that makes green's load balancer ready: it is planned behind green's target groups, and before
/// its service, which ECS creates only on target groups that a listener refers to.
pub(super) fn steps(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let Some((blue, anatomy)) = model(inventory) else { return Vec::new() };
    let named = inventory.green_balancer.as_ref().map(|b| b.arn.clone());
    let listeners = listeners(playbook, anatomy, named.clone());
    let rules = rules(playbook, inventory, anatomy);
    let attributes = if named.is_none() { balancer_attributes(blue, anatomy) } else { BTreeMap::new() };
    let mut steps = Vec::new();
    let mut add = |id: &str, operation: Operation| steps.push(Planned::new(id, operation));
    if named.is_none() {
        add("create-load-balancer", Operation::CreateLoadBalancer(new_load_balancer(playbook, blue, anatomy)));
        if !attributes.is_empty() {
            let attributes = attributes.clone();
            add("set-load-balancer-attributes", Operation::SetLoadBalancerAttributes { attributes });
        }
    }
    add("create-listeners", Operation::CreateListeners(listeners.clone()));
    if listeners.listeners.iter().any(|l| !l.certificates.is_empty() || !l.attributes.is_empty()) {
        add("configure-listeners", Operation::ConfigureListeners(listeners));
    }
    if !rules.is_empty() {
        add("create-listener-rules", Operation::CreateRules { rules });
    }
    let wait = AwaitBalancer { from: blue.arn.clone(), load_balancer: named.clone(), attributes };
    add("await-load-balancer", Operation::AwaitLoadBalancer(wait));
    // WAF knows a load balancer only some time after its creation, so this comes when that is over.
    if let (None, Some(web_acl)) = (named, &anatomy.web_acl) {
        add("associate-web-acl", Operation::AssociateWebAcl { web_acl: web_acl.clone() });
    }
    steps
}

/// What the copy gets at the end, when no rollback can take it away any more.
pub(super) fn finish(inventory: &Inventory) -> Vec<Planned> {
    let copied = model(inventory).filter(|_| inventory.green_balancer.is_none());
    if !copied.is_some_and(|(_, anatomy)| anatomy.protected()) {
        return Vec::new();
    }
    let attributes = BTreeMap::from([(DELETION_PROTECTION.to_owned(), "true".to_owned())]);
    vec![Planned::new("protect-load-balancer", Operation::SetLoadBalancerAttributes { attributes })]
}

/// Blue's load balancer; there is one only, or the assessment has blocked.
fn model(inventory: &Inventory) -> Option<(&LoadBalancer, &Anatomy)> {
    let blue = inventory.load_balancers.first()?;
    Some((blue, inventory.anatomy(&blue.arn)?))
}

fn new_load_balancer(playbook: &Playbook, blue: &LoadBalancer, anatomy: &Anatomy) -> NewLoadBalancer {
    let mut tags = tags(playbook, &anatomy.tags);
    tags.insert("migrate:from".into(), blue.name.clone());
    // A load balancer that pays for no public IPv4 address has clients that need none.
    let kept = Some(&blue.ip_address_type).filter(|t| *t == "dualstack-without-public-ipv4");
    NewLoadBalancer {
        from: blue.arn.clone(),
        name: twin_name(&blue.name),
        ip_address_type: kept.cloned().unwrap_or_else(|| "dualstack".to_owned()),
        ipv6_source_nat: blue.kind == "network" && anatomy.takes_udp(),
        tags,
    }
}

/// What the copy is given. An `ipv4` load balancer does not say what the internet may do over IPv6, so the
/// copy keeps its own, safe answer.
fn balancer_attributes(blue: &LoadBalancer, anatomy: &Anatomy) -> BTreeMap<String, String> {
    let mut attributes = anatomy.copied_attributes();
    if blue.ip_address_type == "ipv4" {
        attributes.remove(DENY_INTERNET);
    }
    attributes
}

fn listeners(playbook: &Playbook, anatomy: &Anatomy, load_balancer: Option<String>) -> CopyListeners {
    let copies = anatomy.listeners.iter().map(|l| ListenerCopy {
        from: l.arn.clone(),
        port: l.port,
        protocol: l.protocol.clone(),
        certificates: l.certificates.clone(),
        attributes: l.copied_attributes(),
        tags: tags(playbook, &l.tags),
    });
    CopyListeners { load_balancer, listeners: copies.collect() }
}

/// The rules that can be copied. Where the copy is blue's load balancer whole, the assessment has made sure
/// that these are all; on a load balancer that the playbook names, rules to other groups are left out.
fn rules(playbook: &Playbook, inventory: &Inventory, anatomy: &Anatomy) -> Vec<RuleCopy> {
    let blue: Vec<String> = taking_part(inventory).iter().map(|g| g.arn.clone()).collect();
    let copyable = anatomy.rules().filter(|(_, r)| strangers(&r.actions, &blue).is_empty());
    let copy = copyable.map(|(listener, rule)| RuleCopy {
        from: rule.arn.clone(),
        listener: listener.arn.clone(),
        priority: rule.priority,
        tags: tags(playbook, &rule.tags),
    });
    copy.collect()
}
