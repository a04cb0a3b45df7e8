//! From a playbook to the [`Inventory`]: reads everything that a migration will touch, changes nothing.
//!
//! What is missing is a finding, not an error: only a call that failed is an error.

mod names;

use std::collections::BTreeMap;

use chrono::{DurationRound, TimeDelta};

use crate::clock::{Clock, Wake};
use crate::cloud::registries::ConsumerSearch;
use crate::cloud::{Cause, Cloud, CloudError, Counted, DayWindow, Identity, Watch};
use crate::finding::Finding;
use crate::inventory::{Consumers, History, Inventory, LoadBalancer, Registry, Service, TargetGroup};
use crate::playbook::{Playbook, Shift};

/// What discovery came to.
#[derive(Debug)]
pub enum Discovery {
    Found(Box<Found>),
    /// Something without which there is nothing to plan does not exist.
    Missing(Vec<Finding>),
}

/// The estate, and who has seen it.
#[derive(Debug)]
pub struct Found {
    pub inventory: Inventory,
    pub identity: Identity,
}

/// Reads before a throttled one is given up, on top of the SDK's own attempts.
const READS: u32 = 5;
/// Minutes until the minutes of CloudWatch are final.
const DAY_AGE_MINUTES: i64 = 5;
/// Services of the cluster that are searched for the name of the one that moves.
const SERVICES_SEARCHED: usize = 100;

/// Reads the estate around the playbook's service.
pub fn discover(cloud: &dyn Cloud, clock: &dyn Clock, playbook: &Playbook) -> Result<Discovery, CloudError> {
    let identity = patiently(clock, || cloud.identity())?;
    let (cluster, name) = (&playbook.service.cluster, &playbook.service.name);
    let green_name = playbook.green_name();
    let watch = Watch {
        services: vec![(cluster.clone(), name.clone()), (cluster.clone(), green_name)],
        scaling: Some((cluster.clone(), name.clone())),
        alarms: playbook.health.alarms.clone(),
        ..Watch::default()
    };
    let first = patiently(clock, || cloud.observe(&watch))?;
    let mut services = first.services.into_iter();
    let (service, green_service) = (services.next().flatten(), services.next().flatten());
    let Some(service) = service else {
        return Ok(Discovery::Missing(vec![missing_service(cluster, name, &identity)]));
    };
    let task_definition = patiently(clock, || cloud.task_definition(&service.task_definition))?;
    let in_place = matches!(playbook.shift, Shift::InPlace(_));
    let chosen = match in_place {
        true => Vec::new(),
        false => match choose_groups(playbook, &service, cloud, clock)? {
            Ok(groups) => groups,
            Err(finding) => return Ok(Discovery::Missing(vec![finding])),
        },
    };
    let found_by = if in_place { found_by(playbook, &service, cloud, clock)? } else { FoundBy::default() };
    let mut balancers: Vec<String> = chosen.iter().flat_map(|g| g.load_balancers.clone()).collect();
    balancers.sort();
    balancers.dedup();
    let alarms = match first.alarms {
        Some(Err(error)) if error.cause == Cause::Throttled => {
            let watch = Watch { alarms: playbook.health.alarms.clone(), ..Watch::default() };
            patiently(clock, || cloud.observe(&watch)?.alarms.unwrap_or(Ok(Vec::new())))?
        }
        other => other.transpose()?.unwrap_or_default(),
    };
    let load_balancers = patiently(clock, || cloud.load_balancers(&balancers))?;
    let green_balancer = match named_balancer(playbook, cloud, clock)? {
        Ok(balancer) => balancer,
        Err(finding) => return Ok(Discovery::Missing(vec![finding])),
    };
    let anatomies = match &playbook.shift {
        Shift::DnsWeights(_) => {
            let named = green_balancer.iter().map(|b| b.arn.clone()).filter(|arn| !balancers.contains(arn));
            let all: Vec<String> = balancers.iter().cloned().chain(named).collect();
            patiently(clock, || cloud.anatomies(&all))?
        }
        _ => Vec::new(),
    };
    let (names, names_left) = match &playbook.shift {
        Shift::DnsWeights(wish) => {
            let blue: Vec<&str> = load_balancers.iter().map(|b| b.dns_name.as_str()).collect();
            match names::discover(cloud, clock, wish, &blue)? {
                Ok(found) => found,
                Err(finding) => return Ok(Discovery::Missing(vec![finding])),
            }
        }
        _ => (Vec::new(), Vec::new()),
    };
    let day = if in_place { Ok(None) } else { history(cloud, clock, &chosen, &load_balancers)?.map(Some) };
    let inventory = Inventory {
        history_unread: day.as_ref().err().cloned(),
        history: day.unwrap_or_default(),
        account: identity.account.clone(),
        region: identity.region.clone(),
        green_service,
        task_definition,
        target_groups: chosen,
        load_balancers,
        routes: patiently(clock, || cloud.routes(&balancers))?,
        scaling: first.scaling,
        alarms,
        registries: found_by.registries,
        green_registry: found_by.green_registry,
        consumers: found_by.consumers,
        topics: topics(cloud, clock, playbook)?,
        green_balancer,
        anatomies,
        names,
        names_left,
        service,
    };
    Ok(Discovery::Found(Box::new(Found { inventory, identity })))
}

/// How a service without a load balancer is found.
#[derive(Default)]
struct FoundBy {
    registries: Vec<Registry>,
    green_registry: Option<Registry>,
    consumers: Consumers,
}

fn found_by(
    playbook: &Playbook,
    service: &Service,
    cloud: &dyn Cloud,
    clock: &dyn Clock,
) -> Result<FoundBy, CloudError> {
    let arns: Vec<String> = service.registries.iter().map(|r| r.arn.clone()).collect();
    let registries = if arns.is_empty() { Vec::new() } else { patiently(clock, || cloud.registries(&arns))? };
    let namespace = registries.first().map(|r| r.namespace.id.clone());
    let green_registry = match (playbook.new_registry_name(&registries), namespace) {
        (Some(name), Some(namespace)) => patiently(clock, || cloud.registry_named(&namespace, &name))?,
        _ => None,
    };
    let search = ConsumerSearch {
        cluster: service.cluster.clone(),
        except: service.name.clone(),
        names: registries.iter().filter(|r| !r.records.is_empty()).map(Registry::address).collect(),
        namespace: service.service_connect.clone(),
        most: SERVICES_SEARCHED,
    };
    let asked = !search.names.is_empty() || search.namespace.is_some();
    let consumers = if asked { patiently(clock, || cloud.consumers(&search))? } else { Consumers::default() };
    Ok(FoundBy { registries, green_registry, consumers })
}

/// The topics of the playbook, each with why it cannot be used, where it cannot.
fn topics(
    cloud: &dyn Cloud,
    clock: &dyn Clock,
    playbook: &Playbook,
) -> Result<BTreeMap<String, Option<String>>, CloudError> {
    let mut found = BTreeMap::new();
    for arn in &playbook.notify.sns {
        let trouble = match patiently(clock, || cloud.topic(arn)) {
            Ok(()) => None,
            Err(error) if matches!(error.cause, Cause::NotFound) => Some(format!("NotFound: {error}")),
            Err(error) if error.cause == Cause::Credentials => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        found.insert(arn.clone(), trouble);
    }
    Ok(found)
}

/// Reads again, a little later, what is refused only because there are too many calls.
fn patiently<T>(clock: &dyn Clock, read: impl Fn() -> Result<T, CloudError>) -> Result<T, CloudError> {
    for pause in 1..READS {
        match read() {
            Err(error) if error.cause == Cause::Throttled => {
                if clock.wait(clock.now() + TimeDelta::seconds(i64::from(pause))) != Wake::Reached {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
    read()
}

/// The load balancer that the playbook names for green, or that there is none of this name.
fn named_balancer(
    playbook: &Playbook,
    cloud: &dyn Cloud,
    clock: &dyn Clock,
) -> Result<Result<Option<LoadBalancer>, Finding>, CloudError> {
    let Shift::DnsWeights(dns) = &playbook.shift else { return Ok(Ok(None)) };
    let Some(name) = &dns.green_load_balancer else { return Ok(Ok(None)) };
    let found = patiently(clock, || cloud.balancer_named(name))?;
    Ok(found.map(Some).ok_or_else(|| {
        Finding::block("green-load-balancer-not-found", format!("there is no load balancer `{name}`"))
            .remedy("check the name in `shift.dns_weights.green_load_balancer`, the region and the account; without the field, blue's load balancer is copied")
    }))
}

/// The blue target groups that take part: all of the service's, or those that the playbook names.
fn choose_groups(
    playbook: &Playbook,
    service: &Service,
    cloud: &dyn Cloud,
    clock: &dyn Clock,
) -> Result<Result<Vec<TargetGroup>, Finding>, CloudError> {
    let wanted = &playbook.service;
    let arns: Vec<String> = service
        .load_balancers
        .iter()
        .filter(|l| wanted.container.as_ref().is_none_or(|c| *c == l.container))
        .filter_map(|l| l.target_group.clone())
        .collect();
    if arns.is_empty() {
        return Ok(Err(no_groups(playbook, service)));
    }
    let groups = patiently(clock, || cloud.target_groups(&arns))?;
    if wanted.target_groups.is_empty() {
        return Ok(Ok(groups));
    }
    let named = |g: &TargetGroup| wanted.target_groups.iter().any(|w| *w == g.arn || *w == g.name);
    let strangers: Vec<&String> =
        wanted.target_groups.iter().filter(|w| !groups.iter().any(|g| g.arn == **w || g.name == **w)).collect();
    if let Some(stranger) = strangers.first() {
        let theirs: Vec<&str> = groups.iter().map(|g| g.name.as_str()).collect();
        let finding =
            Finding::block("target-group-not-of-service", format!("{stranger} is no target group of the service"))
                .evidence(format!("the service is in {}", theirs.join(", ")))
                .remedy("name target groups of the service in `service.target_groups`, or leave the field out");
        return Ok(Err(finding));
    }
    Ok(Ok(groups.into_iter().filter(named).collect()))
}

fn missing_service(cluster: &str, name: &str, identity: &Identity) -> Finding {
    Finding::block("service-not-found", format!("there is no ECS service `{name}` in cluster `{cluster}`"))
        .evidence(format!(
            "looked in account {} and region {} as {}",
            identity.account, identity.region, identity.caller
        ))
        .remedy("check `service.cluster`, `service.name`, the region and the AWS profile")
}

fn no_groups(playbook: &Playbook, service: &Service) -> Finding {
    if service.load_balancers.is_empty() {
        return Finding::block(
            "no-load-balancer",
            format!("the service `{}` is behind no load balancer", service.name),
        )
        .remedy("write `shift: { in_place: {} }`: a service without a load balancer is updated in place");
    }
    let containers: Vec<String> = service.load_balancers.iter().map(|l| l.container.clone()).collect();
    let asked = playbook.service.container.clone().unwrap_or_default();
    Finding::block(
        "container-without-target-group",
        format!("no target group of the service belongs to container `{asked}`"),
    )
    .evidence(format!("containers with target groups: {}", containers.join(", ")))
    .remedy("name one of these in `service.container`, or leave the field out")
}

/// Blue's last day; or why CloudWatch does not say, which may hold the run later and not the plan.
fn history(
    cloud: &dyn Cloud,
    clock: &dyn Clock,
    groups: &[TargetGroup],
    balancers: &[LoadBalancer],
) -> Result<Result<History, String>, CloudError> {
    let now = clock.now() - TimeDelta::minutes(DAY_AGE_MINUTES);
    let to = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
    let network = balancers.iter().any(|b| b.kind == "network");
    let own = |g: &TargetGroup| Some((g.arn.clone(), g.load_balancers.first()?.clone()));
    let window = DayWindow {
        counted: if network { Counted::Flows } else { Counted::Requests },
        groups: groups.iter().map(|g| g.arn.clone()).collect(),
        load_balancers: groups.iter().filter_map(own).collect(),
        zones: balancers.iter().map(|b| (b.arn.clone(), b.zones.clone())).collect(),
        from: to - TimeDelta::days(1),
        to,
    };
    match patiently(clock, || cloud.day(&window)) {
        Ok(day) => Ok(Ok(day.history())),
        Err(error) if error.cause == Cause::Credentials => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}
