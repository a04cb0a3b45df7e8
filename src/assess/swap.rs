//! Rules about the listeners whose target groups are swapped, above all those of a Network Load Balancer.
//!
//! The rules come from the NLB guide (listeners, target groups, IP address types) and the ECS guide
//! "Use a Network Load Balancer for Amazon ECS".

use super::routing;
use crate::finding::Finding;
use crate::inventory::{Inventory, LoadBalancer, Route, TargetGroup};
use crate::playbook::Playbook;
use crate::traffic::{takes_part, tuples};

/// Protocols whose IPv4 target groups a dual-stack Network Load Balancer does not take (UDP), or that
/// forbid a dual-stack one (QUIC).
const DATAGRAMS: [&str; 4] = ["UDP", "TCP_UDP", "QUIC", "TCP_QUIC"];

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for group in &inventory.target_groups {
        findings.extend(routing::group(group));
        if let Some(balancer) = network_of(group, &inventory.load_balancers) {
            let rules = [
                datagrams(group),
                client_addresses(group),
                zones(group, balancer, playbook),
                sticky(group),
                security_groups(group, balancer),
            ];
            findings.extend(rules.into_iter().flatten());
        }
    }
    for balancer in &inventory.load_balancers {
        findings.extend([kind(balancer), routing::dualstack(balancer), routing::state(balancer)].into_iter().flatten());
        findings.extend(routing::auth_without_ipv4(balancer, &inventory.routes));
    }
    findings.extend(routing::reached(inventory));
    findings.extend(mixed(inventory));
    findings.extend(flows(inventory));
    findings
}

fn network_of<'a>(group: &TargetGroup, balancers: &'a [LoadBalancer]) -> Option<&'a LoadBalancer> {
    balancers.iter().find(|b| b.kind == "network" && group.load_balancers.contains(&b.arn))
}

fn kind(balancer: &LoadBalancer) -> Option<Finding> {
    (!matches!(balancer.kind.as_str(), "application" | "network")).then(|| {
        Finding::block("load-balancer-kind", format!("{} is a {} load balancer", balancer.name, balancer.kind))
            .remedy("target groups can be swapped in the listeners of Application and Network Load Balancers")
    })
}

fn datagrams(group: &TargetGroup) -> Option<Finding> {
    let protocol = group.protocol.as_deref().filter(|p| DATAGRAMS.contains(p))?;
    let reason = if protocol.contains("QUIC") {
        "a Network Load Balancer with a QUIC listener cannot be dual-stack"
    } else {
        "a dual-stack Network Load Balancer takes only IPv6 target groups for UDP, so blue's and green's cannot follow each other on one"
    };
    Some(
        Finding::block("datagram-listener", format!("the target group {} speaks {protocol}", group.name))
            .evidence(reason)
            .remedy("move it by `dns_weights`, to a second load balancer"),
    )
}

fn client_addresses(group: &TargetGroup) -> Option<Finding> {
    let on = |key: &str| group.attributes.get(key).is_some_and(|v| v == "true");
    if on("proxy_protocol_v2.enabled") {
        return Some(
            Finding::info("proxy-protocol", format!("the target group {} speaks the proxy protocol", group.name))
                .evidence(
                    "green's group does too: clients' addresses, IPv4 ones included, go on arriving in its header",
                ),
        );
    }
    on("preserve_client_ip.enabled").then(|| {
        Finding::warn("client-addresses", format!("the target group {} preserves the addresses of clients", group.name))
            .evidence("where client and target differ in family the load balancer puts its own address in the client's place")
            .remedy("green sees IPv4 clients as addresses of the load balancer: allow those in its lists, rate limits and logs, or use the proxy protocol")
    })
}

fn zones(group: &TargetGroup, balancer: &LoadBalancer, playbook: &Playbook) -> Option<Finding> {
    let cross = group.attributes.get("load_balancing.cross_zone.enabled").map_or("", String::as_str);
    if cross == "true" || balancer.zones.len() < 2 {
        return None;
    }
    let whose = if cross == "false" { "off for the group" } else { "the load balancer's own, which is off by default" };
    Some(
        Finding::warn("zones-of-their-own", format!("each zone of {} sends only to targets of its own", balancer.name))
            .evidence(format!("cross-zone load balancing is {whose}; zones {}", balancer.zones.join(", ")))
            .remedy(format!(
                "green needs healthy tasks in each of them: see that {} cover them, with at least as many tasks as zones",
                playbook.green.network.subnets.join(", ")
            )),
    )
}

fn sticky(group: &TargetGroup) -> Option<Finding> {
    group.sticky().then(|| {
        Finding::warn("sticky-targets", format!("the target group {} is sticky by source address", group.name))
            .evidence("green's group is sticky too, and begins without memory; TLS listeners do not support it")
            .remedy("after the swap, and after a rollback, a client may meet another task than before")
    })
}

fn security_groups(group: &TargetGroup, balancer: &LoadBalancer) -> Option<Finding> {
    balancer.security_groups.is_empty().then(|| {
        Finding::warn("load-balancer-without-security-groups", format!("{} has no security groups", balancer.name))
            .evidence(format!("it cannot be given any later; subnets {}", balancer.subnets.join(", ")))
            .remedy(format!(
                "the security groups of green's tasks must admit the IPv6 ranges of its subnets, and of clients where {} preserves their addresses",
                group.name
            ))
    })
}

/// Actions in which somebody else's group stands beside blue's: it could not stand beside green's.
fn mixed(inventory: &Inventory) -> Vec<Finding> {
    let blue: Vec<String> = inventory.target_groups.iter().map(|g| g.arn.clone()).collect();
    let network = |r: &&Route| inventory.load_balancers.iter().any(|b| b.arn == r.load_balancer && b.kind == "network");
    let foreign = |r: &&Route| tuples(&r.actions).iter().any(|t| !blue.contains(&t.target_group_arn));
    let routes = inventory.routes.iter().filter(network).filter(|r| takes_part(&r.actions, &blue)).filter(foreign);
    routes
        .map(|route| {
            Finding::block("mixed-action", "a listener forwards to blue and to a target group of others")
                .evidence(route.at.arn().to_owned())
                .remedy("an action of a Network Load Balancer cannot name both address families: take the other group out of it first, or use `dns_weights`")
        })
        .collect()
}

fn flows(inventory: &Inventory) -> Vec<Finding> {
    if !inventory.load_balancers.iter().any(|b| b.kind == "network") {
        return Vec::new();
    }
    vec![
        Finding::info("flows-stay", "flows that are open stay where they are when target groups are swapped")
            .evidence("for up to an hour while they carry traffic, otherwise 350 s (NLB guide, update a listener)")
            .remedy("new flows move at once, there and back; long ones move when the client connects again"),
    ]
}
