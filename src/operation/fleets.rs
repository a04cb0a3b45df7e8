//! Green's tasks in proportion to the stage, where service discovery names both services.
//!
//! Consumers choose among all tasks that they find, so green's share of the tasks is its share of the
//! traffic, as near as whole tasks come. Blue keeps all its tasks until `finish`. Below 100 % only
//! green's number of tasks changes, and the way home is to stop them. At 100 % blue leaves discovery by
//! an update that takes its registration away: ECS starts its tasks again, unregistered, new ones first.
//! Its instances are not deregistered behind ECS's back: ECS keeps that list, and a task that it
//! replaces would be found again. So the way home from 100 % takes a whole rollout of blue, and green
//! serves until blue is found again.

use chrono::TimeDelta;

use super::green::{LAG_SECONDS, without_ipv6};
use super::in_place::{primary, recorded, shown, unfinished};
use super::{Drift, Fleet, Hosts, Outcome, Scene};
use crate::cloud::registries::ServiceUpdate;
use crate::cloud::{CloudError, Sight, Watch};
use crate::inventory::{Service, Task};
use crate::traffic::{Share, green_tasks};

/// How long traffic waits for blue to have all its tasks again before green's are stopped.
const CAPACITY_SECONDS: i64 = 120;

/// Gives green its number of tasks, and at 100 % takes blue out of discovery.
pub(super) fn shift(scene: &Scene, share: Share) -> Result<Outcome, CloudError> {
    if share == Share::NONE {
        return go_home(scene);
    }
    let sight = scene.cloud.observe(&places(scene))?;
    if let Some(drift) = strayed_among(scene, &sight, share) {
        return Ok(Outcome::Drift(drift));
    }
    let [Some(blue), Some(green)] = services(&sight) else {
        return Ok(Outcome::NotYet("ECS does not show both services".to_owned()));
    };
    let wanted = green_tasks(scene.blue.count, share);
    // Blue leaves only when green can carry everything; surplus tasks of green go only after that.
    let enough = if share == Share::ALL && found(blue) { wanted.max(green.desired_count) } else { wanted };
    if green.desired_count != enough {
        scene.cloud.set_desired_count(&green.cluster, &green.name, enough)?;
        return Ok(Outcome::NotYet(format!("green gets {enough} tasks")));
    }
    if let Some(waiting) = unready(scene, green)? {
        return Ok(Outcome::NotYet(waiting));
    }
    if share != Share::ALL {
        return Ok(Outcome::done());
    }
    if found(blue) {
        return leave(scene);
    }
    settled(blue)
}

/// Takes blue's registration away, unless ECS has tried that in this shift already and gone back.
fn leave(scene: &Scene) -> Result<Outcome, CloudError> {
    let since = scene.since - TimeDelta::seconds(LAG_SECONDS);
    let known = scene.cloud.service_deployments(&scene.blue.cluster, &scene.blue.service, since)?;
    if let Some(failed) = known.iter().find(|d| d.went_back()) {
        let reason = failed.reason.as_deref().unwrap_or("no reason given");
        return Ok(Outcome::Never(format!("ECS could not start blue's tasks anew outside discovery: {reason}")));
    }
    scene.cloud.update_service(&outside(scene))?;
    Ok(Outcome::NotYet("blue leaves discovery".to_owned()))
}

/// Brings blue back into discovery where it may have left, then stops green's tasks.
pub(super) fn go_home(scene: &Scene) -> Result<Outcome, CloudError> {
    let sight = scene.cloud.observe(&places(scene))?;
    let [blue, green] = services(&sight);
    let Some(blue) = blue.filter(|b| b.status == "ACTIVE") else {
        return Ok(Outcome::Drift(gone(&scene.inventory.service.arn)));
    };
    // Reads lag: what shows home may only show it still.
    let certain = scene.clock.now() >= scene.since + TimeDelta::seconds(LAG_SECONDS);
    if scene.written.contains(&Share::ALL)
        && let Some(outcome) = come_back(scene, blue, certain)?
    {
        return Ok(outcome);
    }
    if let Some(waiting) = short_of_tasks(scene, blue)? {
        return Ok(waiting);
    }
    let Some(green) = green.filter(|g| g.status == "ACTIVE") else { return Ok(Outcome::done()) };
    if green.desired_count > 0 || !certain {
        scene.cloud.set_desired_count(&green.cluster, &green.name, 0)?;
        return Ok(Outcome::NotYet(format!("green still runs tasks: {}", green.running_count)));
    }
    match green.running_count {
        0 => Ok(Outcome::done()),
        left => Ok(Outcome::NotYet(format!("green still runs tasks: {left}"))),
    }
}

/// Gives blue its recorded settings, and waits until ECS has carried them out; `None` once it has.
fn come_back(scene: &Scene, blue: &Service, certain: bool) -> Result<Option<Outcome>, CloudError> {
    let home = recorded(scene.inventory);
    let is_home = home.is_of(blue);
    if !is_home && !outside(scene).is_of(blue) {
        return Ok(Some(Outcome::Drift(differs(blue, &home))));
    }
    if !is_home || !certain {
        scene.cloud.update_service(&home)?;
        return Ok(Some(Outcome::NotYet("blue comes back into discovery".to_owned())));
    }
    Ok(match settled(blue)? {
        Outcome::Done(_) => None,
        waiting => Some(waiting),
    })
}

/// Whether blue's newest deployment is complete.
fn settled(blue: &Service) -> Result<Outcome, CloudError> {
    let Some(newest) = primary(blue) else {
        return Ok(Outcome::NotYet("ECS does not show blue's deployment yet".to_owned()));
    };
    if newest.rollout.as_deref() == Some("FAILED") {
        let reason = newest.rollout_reason.as_deref().unwrap_or("no reason given");
        return Ok(Outcome::Never(format!("ECS gave blue's rollout up: {reason}")));
    }
    Ok(unfinished(blue, newest).map_or_else(Outcome::done, |left| Outcome::NotYet(format!("blue: {left}"))))
}

/// Asks for blue's tasks where some are missing, and waits for them a while: capacity first.
fn short_of_tasks(scene: &Scene, blue: &Service) -> Result<Option<Outcome>, CloudError> {
    let wanted = scene.blue.count;
    if blue.running_count >= wanted {
        return Ok(None);
    }
    if blue.desired_count < wanted {
        scene.cloud.set_desired_count(&blue.cluster, &blue.name, wanted)?;
    }
    let patience_over = scene.clock.now() >= scene.since + TimeDelta::seconds(CAPACITY_SECONDS);
    let waiting = Outcome::NotYet(format!("{} of {wanted} tasks of blue run", blue.running_count));
    Ok((!patience_over || blue.running_count == 0).then_some(waiting))
}

/// Why green does not serve as it should yet, if it does not.
fn unready(scene: &Scene, green: &Service) -> Result<Option<String>, CloudError> {
    let tasks = scene.cloud.tasks(&green.cluster, &green.name)?;
    let running = |t: &&Task| t.status == "RUNNING";
    let checked = scene.inventory.task_definition.containers.iter().any(|c| !c.health_check.is_empty());
    let healthy = |t: &&Task| !checked || t.health.as_deref() == Some("HEALTHY");
    let (run, well) = (tasks.iter().filter(running).count(), tasks.iter().filter(running).filter(healthy).count());
    let wanted = usize::try_from(green.desired_count).unwrap_or(usize::MAX);
    if well < wanted || green.running_count < green.desired_count {
        let stopped = tasks.iter().filter(|t| t.status == "STOPPED").find_map(|t| t.stopped_reason.as_deref());
        let why = stopped.map_or_else(String::new, |reason| format!("; a task stopped: {reason}"));
        return Ok(Some(format!("{run} of {wanted} tasks of green run, {well} are healthy{why}")));
    }
    Ok(without_ipv6(&tasks))
}

pub(super) fn places(scene: &Scene) -> Watch {
    let named = |fleet: &Fleet| (fleet.cluster.clone(), fleet.service.clone());
    Watch { services: vec![named(&scene.blue), named(&scene.green)], ..Watch::default() }
}

/// Whether blue or green is not as the last share left it.
pub(super) fn strayed(scene: &Scene, sight: &Sight) -> Option<Drift> {
    let share = scene.written.first().copied().unwrap_or(Share::NONE);
    strayed_among(scene, sight, share)
}

/// What neither a share that may be written now nor this one explains.
fn strayed_among(scene: &Scene, sight: &Sight, share: Share) -> Option<Drift> {
    let shares = || scene.written.iter().copied().chain([share]);
    let [blue, green] = services(sight);
    let Some(blue) = blue.filter(|s| s.status == "ACTIVE") else { return Some(gone(&scene.inventory.service.arn)) };
    let home = recorded(scene.inventory);
    let may_be_home = shares().any(|s| s != Share::ALL) && home.is_of(blue);
    let may_be_out = shares().any(|s| s == Share::ALL) && outside(scene).is_of(blue);
    if !may_be_home && !may_be_out {
        let expected = if shares().all(|s| s == Share::ALL) { outside(scene) } else { home };
        return Some(differs(blue, &expected));
    }
    if blue.desired_count < scene.blue.count {
        let expected = format!("at least {} tasks", scene.blue.count);
        return Some(Drift { what: blue.arn.clone(), expected, found: format!("{} are wanted", blue.desired_count) });
    }
    let Some(green) = green.filter(|s| s.status == "ACTIVE") else { return Some(gone(&scene.green.service)) };
    if scene.green.task_definition.as_ref().is_some_and(|ours| *ours != green.task_definition) {
        let expected = scene.green.task_definition.clone().unwrap_or_default();
        return Some(Drift { what: green.arn.clone(), expected, found: green.task_definition.clone() });
    }
    let counts: Vec<u32> = shares().map(|s| green_tasks(scene.blue.count, s)).collect();
    (!counts.contains(&green.desired_count)).then(|| Drift {
        what: green.arn.clone(),
        expected: format!("{} tasks", counts.first().copied().unwrap_or_default()),
        found: format!("{} are wanted", green.desired_count),
    })
}

/// Green's running tasks, and how many the smallest of the shares under way wants.
pub(super) fn hosts(scene: &Scene, sight: &Sight) -> Hosts {
    let [_, green] = services(sight);
    let least = scene.written.iter().map(|s| green_tasks(scene.blue.count, *s)).min().unwrap_or_default();
    Hosts { healthy: green.map_or(0, |g| g.running_count), wanted: least }
}

fn services(sight: &Sight) -> [Option<&Service>; 2] {
    [0, 1].map(|n| sight.services.get(n).and_then(Option::as_ref))
}

/// Reads back that consumers cannot find blue any more.
pub(super) fn still_serving(scene: &Scene) -> Result<Option<Drift>, CloudError> {
    let service = scene.cloud.service(&scene.blue.cluster, &scene.blue.service)?;
    Ok(service.filter(|s| s.status == "ACTIVE" && found(s)).map(|service| Drift {
        what: service.arn.clone(),
        expected: "no registration in Cloud Map".to_owned(),
        found: service.registries.iter().map(|r| r.arn.as_str()).collect::<Vec<_>>().join(", "),
    }))
}

/// Whether consumers can find a service's tasks.
fn found(service: &Service) -> bool {
    !service.registries.is_empty()
}

/// Blue's settings without its registration.
fn outside(scene: &Scene) -> ServiceUpdate {
    ServiceUpdate { registries: Some(Vec::new()), ..recorded(scene.inventory) }
}

fn gone(what: &str) -> Drift {
    Drift {
        what: what.to_owned(),
        expected: "an active service".to_owned(),
        found: "nothing: it was deleted".to_owned(),
    }
}

fn differs(service: &Service, expected: &ServiceUpdate) -> Drift {
    Drift { what: service.arn.clone(), expected: shown(expected), found: shown(&ServiceUpdate::of(service)) }
}
