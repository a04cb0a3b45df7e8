//! Rules about services without a load balancer, and what finds them.
//!
//! ECS itself replaces the tasks, so what makes a rollout safe is ECS's own: the circuit breaker, and
//! percentages that start new tasks before old ones stop.

use crate::finding::Finding;
use crate::inventory::{Inventory, Registry, Service};
use crate::playbook::{InPlace, Playbook, Shift};
use crate::traffic::{Share, green_tasks, shown_share};

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let service = &inventory.service;
    let staged = matches!(&playbook.shift, Shift::InPlace(InPlace { staged: true, .. }));
    let mut findings: Vec<Finding> = [
        load_balancer(service),
        strategy(service),
        circuit_breaker(inventory),
        turns_back(inventory),
        percentages(inventory),
        unjudged(playbook),
        publishes(service, staged),
        missing_registry(inventory),
    ]
    .into_iter()
    .flatten()
    .collect();
    if staged {
        findings.extend(together(inventory));
        findings.extend(rounded(playbook, inventory));
    } else {
        findings.extend(inventory.registries.iter().flat_map(|r| moved(playbook, inventory, r)));
        findings.extend(name_taken(playbook, inventory));
    }
    findings.extend(connected(inventory));
    findings
}

fn load_balancer(service: &Service) -> Option<Finding> {
    let first = service.load_balancers.first()?;
    let group = first.target_group.clone().unwrap_or_else(|| "a classic load balancer".to_owned());
    Some(
        Finding::block("has-load-balancer", "the service is behind a load balancer")
            .evidence(group)
            .remedy("its target groups hold IPv4 addresses, and an update in place would take every task out of them: use `listener_weights`, `dns_weights` or `listener_swap`"),
    )
}

fn strategy(service: &Service) -> Option<Finding> {
    let strategy = service.strategy.as_deref().filter(|s| *s != "ROLLING")?;
    Some(
        Finding::block("deployment-strategy", format!("the service is deployed with the strategy {strategy}"))
            .remedy("an update in place needs rolling deployments: set the strategy ROLLING first"),
    )
}

/// The command that makes a rollout safe.
fn command(inventory: &Inventory) -> String {
    let service = &inventory.service;
    format!(
        "aws ecs update-service --region {} --cluster {} --service {} --deployment-configuration \
         'deploymentCircuitBreaker={{enable=true,rollback=true}},minimumHealthyPercent=100,maximumPercent=200'",
        inventory.region, service.cluster, service.name
    )
}

fn circuit_breaker(inventory: &Inventory) -> Option<Finding> {
    (!inventory.service.rolling.circuit_breaker).then(|| {
        Finding::block("no-circuit-breaker", "the deployment circuit breaker of the service is off")
            .evidence("without it, ECS goes on starting tasks that fail, for ever")
            .remedy(command(inventory))
    })
}

fn turns_back(inventory: &Inventory) -> Option<Finding> {
    let rolling = inventory.service.rolling;
    (rolling.circuit_breaker && !rolling.rolls_back).then(|| {
        Finding::warn(
            "circuit-breaker-without-rollback",
            "the circuit breaker of the service stops, and does not go back",
        )
        .evidence("ECS then leaves the old tasks that still run, and the way back waits for `migrate`")
        .remedy(command(inventory))
    })
}

fn percentages(inventory: &Inventory) -> Option<Finding> {
    let rolling = inventory.service.rolling;
    let (least, most) = (rolling.minimum_healthy_percent.unwrap_or(100), rolling.maximum_percent.unwrap_or(200));
    (least < 100 || most <= 100).then(|| {
        Finding::block(
            "rollout-loses-tasks",
            "a deployment of the service may stop tasks before others have taken their place",
        )
        .evidence(format!("minimumHealthyPercent {least} (at least 100), maximumPercent {most} (more than 100)"))
        .remedy(command(inventory))
    })
}

fn unjudged(playbook: &Playbook) -> Option<Finding> {
    playbook.health.alarms.is_empty().then(|| {
        Finding::warn("only-ecs-judges", "nothing but ECS's own word judges green")
            .evidence("without a load balancer, no request is counted; tasks that run may still answer wrongly")
            .remedy("name CloudWatch alarms on the service's own metrics in `health.alarms`")
    })
}

/// An update in place keeps the names; a parallel service cannot have them.
fn publishes(service: &Service, staged: bool) -> Option<Finding> {
    if !service.publishes_service_connect {
        return None;
    }
    let found = "the service publishes endpoints through Service Connect";
    Some(match staged {
        true => Finding::block("service-connect", found)
            .evidence("discovery names and client aliases are unique in a namespace, so a parallel service cannot have them")
            .remedy("update it at once: `shift: { in_place: {} }` with one stage of 100 %"),
        false => Finding::warn("service-connect", found)
            .evidence("in an IPv6-only task the proxy calls the application on ::1")
            .remedy("make sure that the application listens on [::]: one that listens on 0.0.0.0 or 127.0.0.1 only cannot be reached, and ECS does not notice unless a container health check asks localhost"),
    })
}

fn missing_registry(inventory: &Inventory) -> Option<Finding> {
    let known = |arn: &String| inventory.registries.iter().any(|r| r.arn == *arn);
    let missing = inventory.service.registries.iter().find(|r| !known(&r.arn))?;
    Some(
        Finding::block("registry-not-found", "the service is registered in a Cloud Map service that does not exist")
            .evidence(missing.arn.clone())
            .remedy("mend the service's registration first: neither the rollout nor the way back could be carried out"),
    )
}

/// What becomes of a registry when the service is updated at once.
fn moved(playbook: &Playbook, inventory: &Inventory, old: &Registry) -> Vec<Finding> {
    if old.takes_ipv6_only() {
        return vec![
            Finding::info("registry-kept", format!("the service stays in the Cloud Map service {}", old.name))
                .evidence(format!("{}: {}", old.address(), old.shown_records()))
                .remedy("its consumers need IPv6 from the shift on; nothing else changes for them"),
        ];
    }
    let new = playbook.new_registry_name(&inventory.registries).unwrap_or_default();
    let new_address = format!("{new}.{}", old.namespace.name);
    let mut finding = Finding::warn(
        "consumers-must-follow",
        format!("{} will lead nowhere once the service is IPv6-only", old.address()),
    )
    .evidence(format!("its records are {}, which IPv6-only tasks cannot have, and they cannot be changed", old.shown_records()))
    .remedy(format!(
        "the tasks move to {new_address} (AAAA): have every consumer ask for that name too before the shift, and for the old one as long as a rollback is possible"
    ));
    finding.evidence.extend(named(inventory));
    vec![finding]
}

/// Who was found to ask for the service, and how far was looked.
fn named(inventory: &Inventory) -> Vec<String> {
    let consumers = &inventory.consumers;
    let mut evidence: Vec<String> = consumers.mentions.iter().map(|m| format!("asked for by {m}")).collect();
    let more = if consumers.cut { ", and there are more" } else { "" };
    evidence.push(format!(
        "{} other services of the cluster were searched{more}; consumers elsewhere are not known",
        consumers.searched
    ));
    evidence
}

fn name_taken(playbook: &Playbook, inventory: &Inventory) -> Option<Finding> {
    let taken = inventory.green_registry.as_ref()?;
    let finding = if taken.tags.get("migrate:run") == Some(&playbook.name) {
        Finding::block(
            "registry-left-over",
            format!("the Cloud Map service `{}` is left over from an earlier run", taken.name),
        )
        .remedy(format!("`migrate rollback {} --remove-green` removes what that run created", playbook.name))
    } else {
        Finding::block("registry-name-taken", format!("there is already a Cloud Map service `{}`", taken.name))
            .remedy("choose another name: `in_place: { registry: .. }`")
    };
    Some(finding.evidence(taken.arn.clone()))
}

/// Whether both fleets can be found together, which is what makes shares of tasks shares of traffic.
fn together(inventory: &Inventory) -> Option<Finding> {
    let what = "blue and green cannot be found together, so stages would mean nothing";
    let remedy = "update the service at once: `shift: { in_place: {} }` with one stage of 100 %";
    let Some(registry) = inventory.registries.first() else {
        return Some(
            Finding::block("staged-without-registry", what)
                .evidence("the service is registered nowhere: at 100 % nothing could keep work from blue but to stop its tasks, and then there would be no way back")
                .remedy(remedy),
        );
    };
    (!registry.takes_ipv6_only()).then(|| {
        Finding::block("staged-a-records", what)
            .evidence(format!(
                "{}: {}; green would need another name, and consumers decide which they ask",
                registry.address(),
                registry.shown_records()
            ))
            .remedy(remedy)
    })
}

/// Stages whose real share is not the one that was written: tasks are whole.
fn rounded(playbook: &Playbook, inventory: &Inventory) -> Option<Finding> {
    let blue = inventory.service.desired_count;
    let off = |share: &Share| (shown_share(blue, *share) - share.percent()).abs() >= 1.0;
    let shares = playbook.stages.iter().map(|stage| stage.green).filter(off);
    let evidence: Vec<String> = shares
        .map(|share| {
            let real = shown_share(blue, share);
            format!("a stage of {share} is {} green tasks beside {blue}: {real:.0}%", green_tasks(blue, share))
        })
        .collect();
    (!evidence.is_empty()).then(|| {
        let mut finding = Finding::warn("shares-are-whole-tasks", "some stages move another share than they say")
            .remedy("a share is green's part of all tasks, at least one and at most three times blue's; choose stages that whole tasks can make, or scale the service out before the run");
        finding.evidence = evidence;
        finding
    })
}

fn connected(inventory: &Inventory) -> Option<Finding> {
    let connected = &inventory.consumers.connected;
    (!connected.is_empty()).then(|| {
        Finding::info(
            "service-connect-clients",
            "other services of the cluster use Service Connect in the same namespace",
        )
        .evidence(connected.join(", "))
        .remedy("those that call the service do so through their proxies, which must reach IPv6 addresses")
    })
}
