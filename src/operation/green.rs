//! What stands green up beside blue, and takes it down again.
//!
//! Nothing is deleted here that does not bear this run's tag: a name alone proves no ownership.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{AssociateGreen, CloneService, Outcome, Scene, TASK_DEFINITION, green_key, probe_key};
use crate::clock::Wake;
use crate::cloud::{CloudError, NewRule, NewService, NewTargetGroup, NewTaskDefinition, Watch};
use crate::inventory::{Action, ForwardConfig, GroupStickiness, Route, Service, TargetHealth, Task, WeightedGroup};

/// Looks that must all find green healthy. One is not enough: a load balancer calls a new target
/// healthy after its first passed check, whatever the threshold (ALB guide, target health).
const HEALTHY_LOOKS: u32 = 3;
/// How long reads may lag behind writes (ECS and ELBv2 are eventually consistent by seconds).
const LAG_SECONDS: i64 = 10;
/// Revisions that one undo deregisters before it looks at the time.
const REVISIONS_MAX: usize = 10;
/// Between these looks.
const LOOK_SECONDS: i64 = 5;

pub(super) fn create_target_group(scene: &Scene, new: &NewTargetGroup) -> Result<Outcome, CloudError> {
    let arn = scene.cloud.create_target_group(new)?;
    Ok(Outcome::made(green_key(&new.from), arn))
}

pub(super) fn delete_target_group(scene: &Scene, new: &NewTargetGroup) -> Result<Outcome, CloudError> {
    match scene.cloud.target_group_named(&new.name)? {
        Some(group) if group.tags.get("migrate:run").map(String::as_str) == Some(scene.run) => {
            // A load balancer that was just deleted keeps its target groups for a little longer.
            if let Some(balancer) = group.load_balancers.first() {
                return Ok(Outcome::NotYet(format!("{} is still in use by {balancer}", new.name)));
            }
            scene.cloud.delete_target_group(&group.arn)?;
            Ok(Outcome::done())
        }
        // A group of this name that is not ours stays.
        Some(_) => Ok(Outcome::done()),
        None => Ok(unseen(scene, &new.name)),
    }
}

/// What not finding something means to its undo: reads lag behind writes, and what a killed process
/// created a moment ago may not be shown yet. So not finding counts only after a while.
pub(super) fn unseen(scene: &Scene, name: &str) -> Outcome {
    if scene.clock.now() >= scene.since + TimeDelta::seconds(LAG_SECONDS) {
        return Outcome::done();
    }
    Outcome::NotYet(format!("{name} is not there, and is looked for a little longer"))
}

pub(super) fn set_attributes(
    scene: &Scene,
    blue: &str,
    attributes: &BTreeMap<String, String>,
) -> Result<Outcome, CloudError> {
    let Some(arn) = scene.made.get(&green_key(blue)) else {
        return Ok(Outcome::NotYet(format!("the twin of {blue} is not there yet")));
    };
    scene.cloud.set_target_group_attributes(arn, attributes)?;
    Ok(Outcome::done())
}

pub(super) fn associate(scene: &Scene, probe: &AssociateGreen) -> Result<Outcome, CloudError> {
    let tuple = |arn: &String, weight| WeightedGroup { target_group_arn: arn.clone(), weight: Some(weight) };
    let pairs: Vec<_> = scene.pairs().into_iter().filter(|p| probe.blue.contains(&p.blue)).collect();
    let blue = pairs.iter().map(|p| tuple(&p.blue, 1));
    let green = pairs.iter().map(|p| tuple(&p.green, 0));
    // Sticky target groups are accepted only where the action is sticky too, as it will be in the shift.
    let seconds = pairs.iter().filter_map(|p| p.sticky).min();
    let stickiness = seconds.map(|seconds| GroupStickiness { enabled: Some(true), duration_seconds: Some(seconds) });
    let forward =
        ForwardConfig { target_groups: blue.chain(green).collect(), target_group_stickiness_config: stickiness };
    let action =
        Action { kind: "forward".to_owned(), order: Some(1), forward_config: Some(forward), ..Action::default() };
    let rule = NewRule {
        listener: probe.listener.clone(),
        host: probe.host.clone(),
        actions: vec![action],
        tags: probe.tags.clone(),
    };
    let arn = scene.cloud.create_probe_rule(&rule)?;
    Ok(Outcome::made(probe_key(&probe.load_balancer), arn))
}

/// Deletes the probe rule, found by its condition where its ARN was never learnt.
pub(super) fn dissociate(scene: &Scene, probe: &AssociateGreen) -> Result<Outcome, CloudError> {
    let watch = Watch { listeners: vec![probe.listener.clone()], ..Watch::default() };
    let sight = scene.cloud.observe(&watch)?;
    let ours = |route: &&Route| {
        route.priority.is_some() && route.conditions.iter().flat_map(|c| c.split_whitespace()).any(|w| w == probe.host)
    };
    let found: Vec<&Route> = sight.routes.iter().filter(ours).collect();
    for route in &found {
        scene.cloud.delete_rule(route.at.arn())?;
    }
    Ok(if found.is_empty() { unseen(scene, "the probe rule") } else { Outcome::done() })
}

pub(super) fn remove_probes(scene: &Scene) -> Result<Outcome, CloudError> {
    for (_, arn) in scene.made.iter().filter(|(name, _)| name.starts_with("probe:")) {
        scene.cloud.delete_rule(arn)?;
    }
    Ok(Outcome::done())
}

pub(super) fn register(scene: &Scene, new: &NewTaskDefinition) -> Result<Outcome, CloudError> {
    // There is no client token: a repeated call would make one more revision. The tags name the
    // content, so a revision that bears them all is the one that is wanted.
    let arn = match scene.cloud.task_definition_tagged(&new.family, &ours(new))? {
        Some(arn) => arn,
        None => scene.cloud.register_task_definition(new)?,
    };
    Ok(Outcome::made(TASK_DEFINITION, arn))
}

/// The tags by which a revision of ours is told from others of its family.
fn ours(new: &NewTaskDefinition) -> BTreeMap<String, String> {
    new.tags.iter().filter(|(k, _)| k.starts_with("migrate:")).map(|(k, v)| (k.clone(), v.clone())).collect()
}

pub(super) fn deregister(scene: &Scene, new: &NewTaskDefinition) -> Result<Outcome, CloudError> {
    // An answer that was lost, and an attempt after it, may have left more than one revision.
    for nth in 0..REVISIONS_MAX {
        let Some(arn) = scene.cloud.task_definition_tagged(&new.family, &ours(new))? else {
            return Ok(if nth == 0 { unseen(scene, &new.family) } else { Outcome::done() });
        };
        scene.cloud.deregister_task_definition(&arn)?;
    }
    Ok(Outcome::NotYet(format!("revisions of {} are still active", new.family)))
}

pub(super) fn create_service(scene: &Scene, new: &CloneService) -> Result<Outcome, CloudError> {
    let Some(task_definition) = scene.made.get(TASK_DEFINITION) else {
        return Ok(Outcome::NotYet("the task definition is not registered yet".to_owned()));
    };
    let arn = scene.cloud.create_service(&NewService {
        cluster: new.cluster.clone(),
        from: new.from.clone(),
        name: new.name.clone(),
        task_definition: task_definition.clone(),
        desired_count: new.desired_count,
        subnets: new.subnets.clone(),
        security_groups: new.security_groups.clone(),
        target_groups: scene.pairs().into_iter().map(|p| (p.blue, p.green)).collect(),
        tags: new.tags.clone(),
        client_token: scene.token.clone(),
    })?;
    Ok(Outcome::made("service", arn))
}

pub(super) fn delete_service(scene: &Scene, new: &CloneService) -> Result<Outcome, CloudError> {
    let Some(service) = scene.cloud.service(&new.cluster, &new.name)? else { return Ok(unseen(scene, &new.name)) };
    if service.tags.get("migrate:run").map(String::as_str) != Some(scene.run) {
        return Ok(Outcome::done());
    }
    if service.status == "ACTIVE" {
        scene.cloud.delete_service(&new.cluster, &new.name)?;
    }
    match scene.cloud.service(&new.cluster, &new.name)? {
        Some(service) if service.status == "ACTIVE" => Ok(Outcome::NotYet(format!("{} is still active", new.name))),
        // Until it is gone, its name is taken: a new run could not begin.
        Some(service) => {
            let (count, state) = (service.running_count, service.status.to_lowercase());
            Ok(Outcome::NotYet(format!("{} is {state}, {count} tasks still run", new.name)))
        }
        None => Ok(Outcome::done()),
    }
}

/// Whether green serves on IPv6: rolled out, every task running, every target healthy, several
/// times in a row. Says why not, in the words of ECS and the load balancer.
pub(super) fn await_healthy(scene: &Scene) -> Result<Outcome, CloudError> {
    for look in 1..=HEALTHY_LOOKS {
        if let Some(outcome) = unhealthy(scene)? {
            return Ok(outcome);
        }
        let next = scene.clock.now() + TimeDelta::seconds(LOOK_SECONDS);
        if look < HEALTHY_LOOKS && scene.clock.wait(next) != Wake::Reached {
            return Ok(Outcome::NotYet("asked to stop".to_owned()));
        }
    }
    Ok(Outcome::done())
}

fn unhealthy(scene: &Scene) -> Result<Option<Outcome>, CloudError> {
    let green = &scene.green;
    let groups: Vec<String> = scene.pairs().into_iter().map(|p| p.green).collect();
    let sight = scene.cloud.observe(&Watch {
        services: vec![(green.cluster.clone(), green.service.clone())],
        target_groups: groups.clone(),
        ..Watch::default()
    })?;
    let Some(Some(service)) = sight.services.first() else {
        return Ok(Some(Outcome::NotYet(format!("ECS does not show the service {} yet", green.service))));
    };
    let fewest = groups.iter().map(|g| healthy(sight.health.get(g))).min().unwrap_or(0);
    let ready =
        service.running_count >= green.count && fewest >= green.count && !failed(service) && rolled_out(service);
    let tasks = scene.cloud.tasks(&green.cluster, &green.service)?;
    if ready {
        return Ok(without_ipv6(&tasks).map(Outcome::NotYet));
    }
    let mut why = vec![format!(
        "{} of {} tasks run, {fewest} of {} targets are healthy",
        service.running_count, green.count, green.count
    )];
    why.extend(complaints(service, &tasks, groups.iter().filter_map(|g| sight.health.get(g)).flatten()));
    // After its circuit breaker has opened, ECS starts no more tasks.
    let outcome = if failed(service) { Outcome::Never } else { Outcome::NotYet };
    Ok(Some(outcome(why.join("; "))))
}

/// Healthy targets of a group.
pub(super) fn healthy(targets: Option<&Vec<TargetHealth>>) -> u32 {
    let count = targets.map_or(0, |t| t.iter().filter(|t| t.state == "healthy").count());
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn failed(service: &Service) -> bool {
    service.deployments.iter().any(|d| d.status == "PRIMARY" && d.rollout.as_deref() == Some("FAILED"))
}

fn rolled_out(service: &Service) -> bool {
    let primary = service.deployments.iter().find(|d| d.status == "PRIMARY");
    primary.is_none_or(|d| d.rollout.as_deref().is_none_or(|r| r == "COMPLETED"))
}

/// A running task that has no IPv6 address while others have.
fn without_ipv6(tasks: &[Task]) -> Option<String> {
    let running = || tasks.iter().filter(|t| t.status == "RUNNING");
    let lacking = running().find(|t| t.ipv6.is_none())?;
    running().any(|t| t.ipv6.is_some()).then(|| format!("task {} has no IPv6 address", lacking.arn))
}

/// What ECS and the load balancer say, each thing once: rollout, stopped tasks, targets, last event.
fn complaints<'a>(service: &Service, tasks: &[Task], targets: impl Iterator<Item = &'a TargetHealth>) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    let mut say = |text: String| {
        if !text.is_empty() && !said.contains(&text) {
            said.push(text);
        }
    };
    for deployment in service.deployments.iter().filter(|d| d.status == "PRIMARY") {
        if deployment.rollout.as_deref() == Some("FAILED") {
            say(format!(
                "the deployment failed: {}",
                deployment.rollout_reason.as_deref().unwrap_or("no reason given")
            ));
        }
    }
    for task in tasks.iter().filter(|t| t.status == "STOPPED").take(3) {
        let reason = task.stopped_reason.as_deref().or(task.stop_code.as_deref()).unwrap_or("no reason given");
        say(format!("a task stopped: {reason}"));
        task.containers.iter().take(2).for_each(|c| say(c.clone()));
    }
    for target in targets.filter(|t| t.state != "healthy" && t.state != "initial").take(3) {
        let reason = target.description.as_deref().or(target.reason.as_deref()).unwrap_or("no reason given");
        say(format!("target {} is {}: {reason}", target.target, target.state));
    }
    if let Some(event) = service.events.first() {
        say(format!("last event: {}", event.message));
    }
    said
}
