//! Rules about a second load balancer for green: what of blue's can be made again, and where.
//!
//! A target group belongs to one load balancer only, a client secret cannot be read, and an address that
//! was chosen cannot be had twice: these are the reasons why a copy may be impossible.

use crate::finding::Finding;
use crate::inventory::balancer::{Anatomy, Listener, strangers};
use crate::inventory::{Inventory, LoadBalancer};
use crate::playbook::Playbook;
use crate::traffic::takes_part;

/// Listeners that a load balancer may have (ELBv2 quotas; can be raised).
const LISTENERS_MAX: usize = 50;
/// Rules that an Application Load Balancer may have, default actions not counted (ELBv2 quotas; can be raised).
const RULES_MAX: usize = 100;
/// Certificates of an Application or Network Load Balancer beside the default ones (ELBv2 quotas; can be raised).
const CERTIFICATES_MAX: usize = 25;

pub(super) fn findings(_playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(several(inventory));
    let blue = inventory.load_balancers.first();
    let Some((blue, anatomy)) = blue.and_then(|b| Some((b, inventory.anatomy(&b.arn)?))) else {
        return findings;
    };
    findings.extend(kind(blue));
    findings.extend(secrets(anatomy));
    findings.extend(authentication(blue, anatomy, inventory.green_balancer.as_ref()));
    findings.extend(quic(anatomy));
    findings.extend(foreign_defaults(inventory, anatomy));
    findings.extend(foreign_rules(inventory, anatomy));
    match &inventory.green_balancer {
        Some(green) => findings.extend(existing(inventory, blue, anatomy, green)),
        None => findings.extend(copy(blue, anatomy)),
    }
    findings
}

fn several(inventory: &Inventory) -> Option<Finding> {
    (inventory.load_balancers.len() > 1).then(|| {
        let names: Vec<&str> = inventory.load_balancers.iter().map(|b| b.name.as_str()).collect();
        Finding::block("several-load-balancers", "the service is behind more than one load balancer")
            .evidence(names.join(", "))
            .remedy("one run moves the records of one: name the target groups of one load balancer in `service.target_groups`, and use a run for each")
    })
}

fn kind(blue: &LoadBalancer) -> Option<Finding> {
    let known = matches!(blue.kind.as_str(), "application" | "network");
    (!known).then(|| {
        Finding::block("load-balancer-kind", format!("{} is a {} load balancer", blue.name, blue.kind))
            .remedy("only Application and Network Load Balancers can be moved")
    })
}

/// `UseExistingClientSecret` is for changes of a rule that has the secret; a new one must be given it.
fn secrets(anatomy: &Anatomy) -> Option<Finding> {
    let actions = anatomy.listeners.iter().flat_map(Listener::all_actions);
    let places: Vec<(String, &str)> = actions
        .filter(|(_, _, actions)| actions.iter().any(|a| a.kind == "authenticate-oidc"))
        .map(|(place, arn, _)| (place, arn))
        .collect();
    let first = places.first()?;
    let mut finding = Finding::block("oidc-secret", format!("{} authenticates users by OpenID Connect", first.0))
        .remedy("the client secret cannot be read from AWS, so the rule cannot be made again: use `listener_weights`, which keeps it in place");
    finding.evidence = places.iter().map(|(place, arn)| format!("{place}: {arn}")).collect();
    Some(finding)
}

fn authentication(blue: &LoadBalancer, anatomy: &Anatomy, green: Option<&LoadBalancer>) -> Option<Finding> {
    let to = green.unwrap_or(blue);
    if to.ip_address_type != "dualstack-without-public-ipv4" {
        return None;
    }
    let mut actions = anatomy.listeners.iter().flat_map(Listener::all_actions);
    let (_, arn, _) = actions.find(|(_, _, actions)| actions.iter().any(|a| a.kind == "authenticate-cognito"))?;
    Some(
        Finding::block(
            "authentication-without-ipv4",
            format!("green's load balancer would authenticate users without a public IPv4 address, like {}", to.name),
        )
        .evidence(arn.to_owned())
        .remedy("authentication actions need the address type dualstack"),
    )
}

fn quic(anatomy: &Anatomy) -> Option<Finding> {
    let listener = anatomy.listeners.iter().find(|l| l.protocol.contains("QUIC"))?;
    Some(
        Finding::block("quic-listener", format!("the listener on port {} speaks {}", listener.port, listener.protocol))
            .evidence(listener.arn.clone())
            .remedy(
                "a dual-stack load balancer can have no QUIC listener, and an IPv6 target group needs a dual-stack one",
            ),
    )
}

/// The service's groups that get a twin.
fn twinned(inventory: &Inventory) -> Vec<String> {
    let arns = inventory.target_groups.iter().map(|g| g.arn.clone());
    arns.filter(|arn| inventory.routes.iter().any(|r| takes_part(&r.actions, std::slice::from_ref(arn)))).collect()
}

/// A target group's name, from its ARN.
fn name(arn: &str) -> &str {
    arn.split_once(":targetgroup/").and_then(|(_, rest)| rest.split('/').next()).unwrap_or(arn)
}

fn foreign_defaults(inventory: &Inventory, anatomy: &Anatomy) -> Vec<Finding> {
    let ours = twinned(inventory);
    let foreign = |l: &Listener| {
        let group = (*strangers(&l.default_actions, &ours).first()?).to_owned();
        Some(
            Finding::block(
                "foreign-target-group",
                format!("the default action of port {} forwards to {}, which is not moved", l.port, name(&group)),
            )
            .evidence(format!("{}: {group}", l.arn))
            .remedy("a target group belongs to one load balancer only, so no second listener can forward to it: use `listener_weights`"),
        )
    };
    anatomy.listeners.iter().filter_map(foreign).collect()
}

fn foreign_rules(inventory: &Inventory, anatomy: &Anatomy) -> Vec<Finding> {
    let ours = twinned(inventory);
    let mut findings = Vec::new();
    for (listener, rule) in anatomy.rules() {
        let Some(group) = strangers(&rule.actions, &ours).first().copied() else { continue };
        let what = format!("rule {} of port {} forwards to {}", rule.priority, listener.port, name(group));
        let evidence = format!("{}: {group}", rule.arn);
        findings.push(if inventory.green_balancer.is_some() {
            Finding::warn("rule-left-out", format!("{what}, and is left out on green's load balancer"))
                .evidence(evidence)
                .remedy("requests that it matches are answered there as if it were not: move only records whose requests do not match it")
        } else {
            Finding::block("foreign-target-group", format!("{what}, which is not moved"))
                .evidence(evidence)
                .remedy("a target group belongs to one load balancer only, so the rule cannot be copied: name an existing load balancer in `green_load_balancer`, where such rules are left out, or use `listener_weights`")
        });
    }
    findings
}

/// What there is to say about a copy of blue's load balancer.
fn copy(blue: &LoadBalancer, anatomy: &Anatomy) -> Vec<Finding> {
    let mut findings = quotas(anatomy);
    if !anatomy.static_addresses.is_empty() {
        let mut finding = Finding::warn("static-addresses", format!("{} has addresses that were chosen for it", blue.name))
            .remedy("the copy gets addresses of its own: clients that allow-list addresses, or use them instead of a name, do not follow; give such clients the new addresses before the first stage");
        finding.evidence.clone_from(&anatomy.static_addresses);
        findings.push(finding);
    }
    if blue.kind == "network" && blue.security_groups.is_empty() {
        findings.push(
            Finding::warn("no-security-groups", format!("{} has no security groups, and so its copy has none", blue.name))
                .remedy("green's own security groups must admit the IPv6 ranges of the load balancer's subnets, and of clients where their addresses are preserved"),
        );
    }
    if anatomy.takes_udp() {
        findings.push(
            Finding::warn("udp-source-nat", "a listener takes UDP, so the copy uses IPv6 prefixes for source NAT")
                .remedy("each subnet of the load balancer needs an IPv6 block with a free /80; AWS refuses the copy otherwise, and what was created is removed"),
        );
    }
    if anatomy.attributes.iter().any(|(k, v)| k.ends_with("_logs.s3.enabled") && v == "true") {
        findings.push(
            Finding::info("logs-bucket", "the copy writes its logs to the same bucket and prefix")
                .remedy("AWS asks the bucket's policy for permission when it is switched on; log files bear the load balancer's name"),
        );
    }
    findings.push(created(blue, anatomy));
    findings
}

fn created(blue: &LoadBalancer, anatomy: &Anatomy) -> Finding {
    let listeners: Vec<String> =
        anatomy.listeners.iter().map(|l| format!("{} {} with {} rules", l.protocol, l.port, l.rules.len())).collect();
    let finding = Finding::info("second-load-balancer", format!("a load balancer like {} is created for green", blue.name))
        .evidence(format!("listeners: {}", listeners.join(", ")))
        .remedy("it is paid for by the hour until one of the two is deleted; the account needs room for one more (Application and Network Load Balancers per region: 50 each, unless raised), which is not looked up");
    match blue.ip_address_type.as_str() {
        "ipv4" => finding.evidence(format!(
            "{} is ipv4 and stays so; the new one is dualstack, so its subnets ({}) need IPv6 blocks and routes, which are not looked up",
            blue.name,
            blue.subnets.join(", ")
        )),
        _ => finding,
    }
}

fn quotas(anatomy: &Anatomy) -> Vec<Finding> {
    let certificates = anatomy.listeners.iter().map(|l| l.certificates.len()).sum();
    let counts = [
        ("listeners", anatomy.listeners.len(), LISTENERS_MAX),
        ("rules", anatomy.rules().count(), RULES_MAX),
        ("additional certificates", certificates, CERTIFICATES_MAX),
    ];
    let over = counts.into_iter().filter(|(_, count, most)| count > most);
    let finding = |(what, count, most): (&str, usize, usize)| {
        Finding::info("raised-quota", format!("blue's load balancer has {count} {what}, more than the usual {most}"))
            .remedy("the quota was raised for the account, and so holds for the copy too")
    };
    over.map(finding).collect()
}

/// What there is to say about an existing load balancer that gets green's listeners.
fn existing(inventory: &Inventory, blue: &LoadBalancer, anatomy: &Anatomy, green: &LoadBalancer) -> Vec<Finding> {
    let mut findings = Vec::new();
    if inventory.load_balancers.iter().any(|b| b.arn == green.arn) {
        findings.push(
            Finding::block("green-load-balancer-is-blues", format!("{} is blue's own load balancer", green.name))
                .remedy(
                    "records can only choose between two: name another, or leave `green_load_balancer` out for a copy",
                ),
        );
        return findings;
    }
    if green.state != "active" {
        findings.push(
            Finding::block("green-load-balancer-state", format!("{} is {}", green.name, green.state))
                .remedy("wait until it is active"),
        );
    }
    if green.kind != blue.kind {
        findings.push(
            Finding::block(
                "green-load-balancer-kind",
                format!("{} is a {} load balancer, and blue's is {}", green.name, green.kind, blue.kind),
            )
            .remedy("name one of the same type: listeners and target groups of one type do not fit the other"),
        );
    }
    if !green.ip_address_type.starts_with("dualstack") {
        findings.push(
            Finding::block(
                "green-load-balancer-not-dualstack",
                format!("{} has the address type {}", green.name, green.ip_address_type),
            )
            .evidence("an IPv6 target group needs a dual-stack load balancer")
            .remedy(format!(
                "aws elbv2 set-ip-address-type --load-balancer-arn {} --ip-address-type dualstack",
                green.arn
            )),
        );
    }
    if green.scheme != blue.scheme {
        findings.push(
            Finding::warn(
                "green-load-balancer-scheme",
                format!("{} is {}, and blue's is {}", green.name, green.scheme, blue.scheme),
            )
            .remedy("make sure that all clients of the records reach it"),
        );
    }
    if let Some(theirs) = inventory.anatomy(&green.arn) {
        findings.extend(fitting(anatomy, green, theirs));
    }
    findings
}

fn fitting(anatomy: &Anatomy, green: &LoadBalancer, theirs: &Anatomy) -> Vec<Finding> {
    let mut findings = Vec::new();
    if theirs.vpc != anatomy.vpc {
        let vpc = |a: &Anatomy| a.vpc.clone().unwrap_or_else(|| "no VPC".to_owned());
        findings.push(
            Finding::block("green-load-balancer-vpc", format!("{} is in {}", green.name, vpc(theirs)))
                .evidence(format!("blue's is in {}, and so are its target groups", vpc(anatomy)))
                .remedy("name a load balancer of the same VPC"),
        );
    }
    for listener in &theirs.listeners {
        if anatomy.listeners.iter().any(|l| l.port == listener.port) {
            findings.push(
                Finding::block("green-listener-exists", format!("{} has a listener on port {} already", green.name, listener.port))
                    .evidence(listener.arn.clone())
                    .remedy("green's listeners are created on blue's ports and removed by a rollback: delete that listener if it serves nothing, or leave `green_load_balancer` out for a copy"),
            );
        }
    }
    let source_nat = theirs.settings.get("EnablePrefixForIpv6SourceNat").is_some_and(|v| v == "on");
    if anatomy.takes_udp() && !source_nat {
        findings.push(
            Finding::block("udp-source-nat", format!("{} has no IPv6 prefixes for source NAT", green.name))
                .evidence("a listener of blue takes UDP")
                .remedy("switch them on (`aws elbv2 set-subnets --enable-prefix-for-ipv6-source-nat on`), or leave `green_load_balancer` out for a copy"),
        );
    }
    if anatomy.web_acl.is_some() && theirs.web_acl != anatomy.web_acl {
        findings.push(
            Finding::warn("web-acl", format!("{} is not behind blue's web ACL", green.name))
                .evidence(anatomy.web_acl.clone().unwrap_or_default())
                .remedy("associate it before the first stage: an existing load balancer is not changed beyond its new listeners"),
        );
    }
    findings
}
