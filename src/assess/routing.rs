//! Rules about target groups, the load balancer and the routes that lead to blue.

use crate::finding::Finding;
use crate::inventory::{Inventory, LoadBalancer, Route, TargetGroup};
use crate::playbook::{Playbook, Shift};
use crate::traffic::{takes_part, tuples};

/// Target groups that one action may name (ELBv2 quotas; not adjustable).
const GROUPS_PER_ACTION: usize = 5;

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for group in &inventory.target_groups {
        let rules = [
            family(group),
            target_type(group),
            balancers(group),
            sticky(playbook, group),
            sticky_by_application(group),
        ];
        findings.extend(rules.into_iter().flatten());
    }
    for balancer in &inventory.load_balancers {
        findings.extend([kind(balancer), dualstack(balancer), state(balancer)].into_iter().flatten());
        findings.extend(auth_without_ipv4(balancer, &inventory.routes));
    }
    findings.extend(routes(inventory));
    findings
}

/// The rules about blue's target groups that hold however traffic moves.
pub(super) fn groups(inventory: &Inventory) -> Vec<Finding> {
    inventory.target_groups.iter().flat_map(|g| [family(g), target_type(g), balancers(g)]).flatten().collect()
}

fn family(group: &TargetGroup) -> Option<Finding> {
    (group.ip_address_type != "ipv4").then(|| {
        Finding::block("already-ipv6", format!("the target group {} is of type {}", group.name, group.ip_address_type))
            .remedy("blue is reached over IPv6 already: there is nothing to migrate behind this group")
    })
}

fn target_type(group: &TargetGroup) -> Option<Finding> {
    (group.target_type != "ip").then(|| {
        Finding::block(
            "target-type",
            format!("the target group {} has targets of type {}", group.name, group.target_type),
        )
        .remedy("tasks with their own addresses need targets of type ip")
    })
}

fn balancers(group: &TargetGroup) -> Option<Finding> {
    group.load_balancers.is_empty().then(|| {
        Finding::block("target-group-unused", format!("the target group {} belongs to no load balancer", group.name))
            .remedy("a listener or rule must forward to it; otherwise leave it out with `service.target_groups`")
    })
}

fn sticky(playbook: &Playbook, group: &TargetGroup) -> Option<Finding> {
    let Shift::ListenerWeights(weights) = &playbook.shift else { return None };
    let seconds = weights.sticky_seconds(group)?;
    Some(
        Finding::warn("sticky-targets", format!("the target group {} is sticky", group.name))
            .evidence(format!("while the run is open every rule keeps a client on its side for {seconds} s, as the load balancer wants it where groups share a rule"))
            .remedy("the observed share lags the wish, because only new clients follow the weights; set `listener_weights: { stickiness: 1m }` for a quicker shift that breaks more sessions. A rollback takes the stickiness away again, so it reaches everybody at once"),
    )
}

fn sticky_by_application(group: &TargetGroup) -> Option<Finding> {
    let kind = group.attributes.get("stickiness.type").map(String::as_str);
    (group.sticky() && kind == Some("app_cookie")).then(|| {
        Finding::warn("sticky-by-application-cookie", format!("the target group {} follows a cookie of the application", group.name))
            .evidence("a load balancer does not honour application cookies where a rule has weighted target groups")
            .remedy("while the run is open a client may be sent to another task between two requests; change `stickiness.type` to lb_cookie, or keep sessions outside of the tasks")
    })
}

fn kind(balancer: &LoadBalancer) -> Option<Finding> {
    (balancer.kind != "application").then(|| {
        Finding::block("load-balancer-kind", format!("{} is a {} load balancer", balancer.name, balancer.kind))
            .remedy("listener weights need an Application Load Balancer; a Network Load Balancer cannot mix address families in one action")
    })
}

fn dualstack(balancer: &LoadBalancer) -> Option<Finding> {
    (!balancer.ip_address_type.starts_with("dualstack")).then(|| {
        Finding::block("load-balancer-not-dualstack", format!("{} has the address type {}", balancer.name, balancer.ip_address_type))
            .evidence("an IPv6 target group needs a dual-stack load balancer")
            .remedy(format!(
                "give its subnets IPv6 blocks and routes, then: aws elbv2 set-ip-address-type --load-balancer-arn {} --ip-address-type dualstack",
                balancer.arn
            ))
    })
}

pub(super) fn state(balancer: &LoadBalancer) -> Option<Finding> {
    (balancer.state != "active").then(|| {
        Finding::block("load-balancer-not-active", format!("{} is {}", balancer.name, balancer.state))
            .remedy("wait until it is active")
    })
}

fn auth_without_ipv4(balancer: &LoadBalancer, routes: &[Route]) -> Option<Finding> {
    if balancer.ip_address_type != "dualstack-without-public-ipv4" {
        return None;
    }
    let auth =
        |r: &&Route| r.load_balancer == balancer.arn && r.actions.iter().any(|a| a.kind.starts_with("authenticate"));
    let route = routes.iter().find(auth)?;
    Some(
        Finding::block(
            "authentication-without-ipv4",
            format!("{} authenticates users without a public IPv4 address", balancer.name),
        )
        .evidence(route.at.arn().to_owned())
        .remedy("authentication actions need the address type dualstack"),
    )
}

fn routes(inventory: &Inventory) -> Vec<Finding> {
    let blue: Vec<String> = inventory.target_groups.iter().map(|g| g.arn.clone()).collect();
    let moving: Vec<&Route> = inventory.routes.iter().filter(|r| takes_part(&r.actions, &blue)).collect();
    let mut findings = Vec::new();
    if moving.is_empty() && !blue.is_empty() {
        findings.push(
            Finding::block("no-route-to-blue", "no listener or rule sends traffic to the service's target groups")
                .remedy("there is nothing to shift; check that the service is the one that serves"),
        );
    }
    for route in moving {
        let named = tuples(&route.actions);
        let ours = named.iter().filter(|t| blue.contains(&t.target_group_arn)).count();
        if named.len() + ours > GROUPS_PER_ACTION {
            findings.push(
                Finding::block("too-many-groups", format!("an action already names {} target groups", named.len()))
                    .evidence(route.at.arn().to_owned())
                    .remedy(format!("an action names at most {GROUPS_PER_ACTION}: make room for {ours} more")),
            );
        }
    }
    for group in &inventory.target_groups {
        let reached = inventory.routes.iter().any(|r| takes_part(&r.actions, std::slice::from_ref(&group.arn)));
        if !reached && !group.load_balancers.is_empty() {
            findings.push(
                Finding::warn("group-without-traffic", format!("no route gives weight to the target group {}", group.name))
                    .remedy("green is not registered in it; whoever gives it weight later must give it to green's twin of it too"),
            );
        }
    }
    findings
}
