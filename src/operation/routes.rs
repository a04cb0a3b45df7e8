//! Every write to listeners and rules: compare, write all at once, read all back.
//!
//! Invariants: a route is written only when it shows what we last wrote, or what an interrupted
//! write of ours would have left (anything else is drift and stays as it is); weight goes only to
//! groups with enough healthy targets; and a write counts only when every route has been read back.

use chrono::TimeDelta;

use super::green::healthy;
use super::{Drift, Outcome, Scene};
use crate::clock::Wake;
use crate::cloud::{CloudError, RouteWrite, Sight, Watch};
use crate::inventory::{Action, Route};
use crate::traffic::{Share, at_share, replaced, same, takes_part};

/// Reads after a write until the load balancer shows it: at first at once, then a second apart.
const READ_BACKS: u32 = 8;
/// How long traffic waits for blue to have all its tasks again before it goes home to fewer.
const CAPACITY_SECONDS: i64 = 120;

/// Gives green `share` in every route.
pub(super) fn shift(scene: &Scene, share: Share) -> Result<Outcome, CloudError> {
    let pairs = scene.pairs();
    let wanted: Vec<Vec<Action>> = scene.routes.iter().map(|r| at_share(&r.actions, &pairs, share)).collect();
    let sight = look(scene)?;
    if let Some(refusal) = stranger(scene, &sight).or_else(|| too_few(scene, &sight, share)) {
        return Ok(refusal);
    }
    let joined = share == Share::NONE;
    let acceptable = |route: &Route, found: &[Action]| {
        (joined && same(found, &route.actions))
            || scene.written.iter().any(|s| same(found, &at_share(&route.actions, &pairs, *s)))
    };
    match compare(scene, &sight, &wanted, &acceptable) {
        Comparison { drift: Some(drift), .. } => Ok(Outcome::Drift(drift)),
        Comparison { writes, .. } => write(scene, &writes, &wanted, None),
    }
}

/// Restores every route as it was recorded, in one step, once blue can carry the traffic. Routes
/// that somebody else changed stay as they are; the others go home all the same.
pub(super) fn go_home(scene: &Scene) -> Result<Outcome, CloudError> {
    let pairs = scene.pairs();
    let wanted: Vec<Vec<Action>> = scene.routes.iter().map(|r| r.actions.clone()).collect();
    let sight = look(scene)?;
    let acceptable = |route: &Route, found: &[Action]| {
        scene.written.iter().any(|s| same(found, &at_share(&route.actions, &pairs, *s)))
    };
    let comparison = compare(scene, &sight, &wanted, &acceptable);
    if !comparison.writes.is_empty()
        && let Some(not_yet) = capacity(scene, &sight)?
    {
        return Ok(not_yet);
    }
    let rest: Vec<Vec<Action>> = match &comparison.drift {
        None => wanted,
        // Read back only what is ours to write.
        Some(_) => Vec::new(),
    };
    let outcome = write(scene, &comparison.writes, &rest, scene.scaling.as_ref())?;
    Ok(comparison.drift.map_or(outcome, Outcome::Drift))
}

/// Puts green in blue's place.
pub(super) fn replace_blue(scene: &Scene) -> Result<Outcome, CloudError> {
    let pairs = scene.pairs();
    let wanted: Vec<Vec<Action>> = scene.routes.iter().map(|r| replaced(&r.actions, &pairs)).collect();
    let sight = look(scene)?;
    if let Some(refusal) = stranger(scene, &sight).or_else(|| too_few(scene, &sight, Share::ALL)) {
        return Ok(refusal);
    }
    let acceptable = |route: &Route, found: &[Action]| same(found, &at_share(&route.actions, &pairs, Share::ALL));
    match compare(scene, &sight, &wanted, &acceptable) {
        Comparison { drift: Some(drift), .. } => Ok(Outcome::Drift(drift)),
        Comparison { writes, .. } => write(scene, &writes, &wanted, None),
    }
}

fn look(scene: &Scene) -> Result<Sight, CloudError> {
    let pairs = scene.pairs();
    scene.cloud.observe(&Watch {
        listeners: scene.listeners.clone(),
        target_groups: pairs.iter().flat_map(|p| [p.blue.clone(), p.green.clone()]).collect(),
        services: vec![(scene.blue.cluster.clone(), scene.blue.service.clone())],
        ..Watch::default()
    })
}

/// A route to blue that the plan does not know: its traffic would not move.
fn stranger(scene: &Scene, sight: &Sight) -> Option<Outcome> {
    let known = |r: &Route| scene.routes.iter().any(|k| k.at == r.at);
    let probe = |r: &Route| scene.made.iter().any(|(k, v)| k.starts_with("probe:") && v == r.at.arn());
    let new = sight.routes.iter().find(|r| takes_part(&r.actions, &scene.blue_groups) && !known(r) && !probe(r))?;
    Some(Outcome::Drift(Drift {
        what: new.at.arn().to_owned(),
        expected: "no route to blue besides those recorded at the start".to_owned(),
        found: text(&new.actions),
    }))
}

/// Whether a side that is to receive weight lacks healthy targets.
fn too_few(scene: &Scene, sight: &Sight, share: Share) -> Option<Outcome> {
    if share == Share::NONE {
        return None;
    }
    for pair in scene.pairs() {
        let green = healthy(sight.health.get(&pair.green));
        if green < scene.green.count {
            return Some(Outcome::NotYet(format!("{green} of {} green targets are healthy", scene.green.count)));
        }
    }
    None
}

/// Whether blue can carry all traffic; where it cannot, asks for its tasks and says "not yet".
fn capacity(scene: &Scene, sight: &Sight) -> Result<Option<Outcome>, CloudError> {
    let blue = &scene.blue;
    let service = sight.services.first().and_then(Option::as_ref);
    let running = service.map_or(0, |s| s.running_count);
    let listed = |g: &String| sight.health.get(g).filter(|t| !t.is_empty());
    // A group whose targets are not listed is judged by its tasks.
    let fewest = scene.blue_groups.iter().map(|g| listed(g).map_or(running, |t| healthy(Some(t)))).min().unwrap_or(0);
    if fewest >= blue.count {
        return Ok(None);
    }
    if service.is_some_and(|s| s.desired_count < blue.count) {
        scene.cloud.set_desired_count(&blue.cluster, &blue.service, blue.count)?;
    }
    let patience_over = scene.clock.now() >= scene.since + TimeDelta::seconds(CAPACITY_SECONDS);
    if patience_over && fewest > 0 {
        return Ok(None);
    }
    Ok(Some(Outcome::NotYet(format!("{fewest} of {} blue targets are healthy", blue.count))))
}

struct Comparison {
    writes: Vec<RouteWrite>,
    drift: Option<Drift>,
}

fn compare(
    scene: &Scene,
    sight: &Sight,
    wanted: &[Vec<Action>],
    acceptable: &dyn Fn(&Route, &[Action]) -> bool,
) -> Comparison {
    let mut comparison = Comparison { writes: Vec::new(), drift: None };
    for (route, wanted) in scene.routes.iter().zip(wanted) {
        let found = sight.routes.iter().find(|r| r.at == route.at).map(|r| r.actions.as_slice());
        match found {
            Some(found) if same(found, wanted) => {}
            Some(found) if acceptable(route, found) => {
                comparison.writes.push(RouteWrite { at: route.at.clone(), actions: wanted.clone() });
            }
            _ => {
                comparison.drift.get_or_insert_with(|| drift(scene, route, found));
            }
        }
    }
    comparison
}

fn drift(scene: &Scene, route: &Route, found: Option<&[Action]>) -> Drift {
    let pairs = scene.pairs();
    let last = scene.written.first().copied().unwrap_or(Share::NONE);
    Drift {
        what: route.at.arn().to_owned(),
        expected: text(&at_share(&route.actions, &pairs, last)),
        found: found.map_or_else(|| "nothing: it was deleted".to_owned(), text),
    }
}

fn text(actions: &[Action]) -> String {
    serde_json::to_string(actions).unwrap_or_default()
}

/// Writes all routes at once and reads them back, releasing blue's scaling beside the reading where
/// asked, so that the way home costs no further round trip.
fn write(
    scene: &Scene,
    writes: &[RouteWrite],
    wanted: &[Vec<Action>],
    release: Option<&super::HoldScaling>,
) -> Result<Outcome, CloudError> {
    let results = if writes.is_empty() { Vec::new() } else { scene.cloud.set_actions(writes) };
    let failure = results.into_iter().find_map(Result::err);
    let release = release.filter(|_| failure.is_none());
    let (mut shown, released) = std::thread::scope(|threads| {
        let released = release.map(|r| threads.spawn(|| scene.cloud.suspend_scaling(&r.resource, r.was)));
        let shown = read_back(scene, writes, wanted);
        (shown, released.is_some_and(|r| matches!(r.join(), Ok(Ok(())))))
    });
    for _ in 1..READ_BACKS {
        match &shown {
            Ok(Some(_)) if failure.is_none() => {
                let next = scene.clock.now() + TimeDelta::seconds(1);
                if scene.clock.wait(next) != Wake::Reached {
                    break;
                }
                shown = read_back(scene, writes, wanted);
            }
            _ => break,
        }
    }
    match (shown?, failure) {
        (None, _) => {
            let name = "scaling-released".to_owned();
            Ok(Outcome::Done(if released { [(name, "true".to_owned())].into() } else { super::Made::new() }))
        }
        (Some(_), Some(error)) => Err(error),
        (Some(route), None) => Ok(Outcome::NotYet(format!("{route} does not show the new weights yet"))),
    }
}

/// The first route that does not show what was wished, over all pages; `None` where all do.
fn read_back(scene: &Scene, writes: &[RouteWrite], wanted: &[Vec<Action>]) -> Result<Option<String>, CloudError> {
    let watch = Watch { listeners: scene.listeners.clone(), ..Watch::default() };
    let sight = scene.cloud.observe(&watch)?;
    let shows = |at: &crate::inventory::RouteAt, actions: &[Action]| {
        sight.routes.iter().any(|r| r.at == *at && same(&r.actions, actions))
    };
    let written = writes.iter().find(|w| !shows(&w.at, &w.actions)).map(|w| w.at.arn().to_owned());
    let all = scene.routes.iter().zip(wanted).find(|(r, w)| !shows(&r.at, w)).map(|(r, _)| r.at.arn().to_owned());
    Ok(written.or(all))
}
