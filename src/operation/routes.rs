//! Every write to listeners and rules: compare, write all at once, read all back.
//!
//! Invariants: a route is written only when it shows what we last wrote, or what an interrupted
//! write of ours would have left (anything else is drift and stays as it is); weight goes only to
//! groups with enough healthy targets; and a write counts only when every route has been read back.

use chrono::TimeDelta;

use super::green::healthy;
use super::scaling::released_key;
use super::{Drift, Fleet, HoldScaling, Made, Outcome, Scene};
use crate::clock::Wake;
use crate::cloud::{CloudError, RouteWrite, Sight, Watch};
use crate::inventory::{Action, Route, RouteAt, Service};
use crate::traffic::{Share, at_share, replaced, same, takes_part};

/// Reads after a write until the load balancer shows it: at first at once, then a second apart.
const READ_BACKS: u32 = 8;
/// How long traffic waits for blue to have all its tasks again before it goes home to fewer.
const CAPACITY_SECONDS: i64 = 120;

/// Gives green `share` in every route.
pub(super) fn shift(scene: &Scene, share: Share) -> Result<Outcome, CloudError> {
    let pairs = scene.pairs();
    let wanted = each(scene, |r| at_share(&r.actions, &pairs, share));
    let sight = look(scene)?;
    let refusal = stranger(scene, &sight).or_else(|| redeployed(scene, &sight));
    if let Some(refusal) = refusal.or_else(|| too_few(scene, &sight, share)) {
        return Ok(refusal);
    }
    let joining = share == Share::NONE;
    let acceptable = |route: &Route, found: &[Action]| {
        (joining && same(found, &route.actions))
            || scene.written.iter().any(|s| same(found, &at_share(&route.actions, &pairs, *s)))
    };
    match compare(scene, &sight, &wanted, &acceptable, Matching::Leave) {
        Comparison { drift: Some(drift), .. } => Ok(Outcome::Drift(drift)),
        Comparison { writes, .. } => write(scene, &writes, &wanted, &[]),
    }
}

/// Restores every route as it was recorded, in one step, once blue can carry the traffic. Routes
/// that somebody else changed stay as they are; the others go home all the same. A rule that
/// somebody deleted sends nothing anywhere, so it is home; that it is gone is noted.
pub(super) fn go_home(scene: &Scene) -> Result<Outcome, CloudError> {
    let sight = look(scene)?;
    let (there, gone): (Vec<&Route>, Vec<&Route>) =
        scene.routes.iter().partition(|route| sight.routes.iter().any(|r| r.at == route.at));
    let acceptable = |route: &Route, found: &[Action]| {
        let pairs = scene.pairs();
        scene.written.iter().any(|s| same(found, &at_share(&route.actions, &pairs, *s)))
    };
    let wanted: Vec<Wanted> = there.into_iter().map(|route| Wanted { route, actions: route.actions.clone() }).collect();
    // Reads lag writes: a route that shows its original may only show it still. Only here do routes
    // go back to a state that they have had, so only here is what looks right written all the same.
    let as_recorded = |route: &Route, found: &[Action]| same(found, &route.actions) || acceptable(route, found);
    let comparison = compare(scene, &sight, &wanted, &as_recorded, Matching::Write);
    // Green's tuple may stand in the routes without weight; taking it out moves no traffic.
    let exposed = scene.written.iter().any(|s| *s > Share::NONE);
    if exposed
        && !comparison.writes.is_empty()
        && let Some(not_yet) = capacity(scene, &sight)?
    {
        return Ok(not_yet);
    }
    if let Some(drift) = comparison.drift {
        // What is ours goes home nevertheless. Scaling stays held: traffic is not home.
        let outcome = write(scene, &comparison.writes, &[], &[])?;
        return Ok(if matches!(outcome, Outcome::Done(_)) { Outcome::Drift(drift) } else { outcome });
    }
    let mut outcome = write(scene, &comparison.writes, &wanted, &scene.scaling)?;
    if let Outcome::Done(made) = &mut outcome {
        made.extend(gone.iter().map(|r| (format!("gone:{}", r.at.arn()), "deleted by somebody else".to_owned())));
    }
    Ok(outcome)
}

/// Puts green in blue's place.
pub(super) fn replace_blue(scene: &Scene) -> Result<Outcome, CloudError> {
    let pairs = scene.pairs();
    let wanted = each(scene, |r| replaced(&r.actions, &pairs));
    let sight = look(scene)?;
    let refusal = stranger(scene, &sight).or_else(|| outdated(scene, &sight));
    if let Some(refusal) = refusal.or_else(|| too_few(scene, &sight, Share::ALL)) {
        return Ok(refusal);
    }
    let acceptable = |route: &Route, found: &[Action]| same(found, &at_share(&route.actions, &pairs, Share::ALL));
    match compare(scene, &sight, &wanted, &acceptable, Matching::Leave) {
        Comparison { drift: Some(drift), .. } => Ok(Outcome::Drift(drift)),
        Comparison { writes, .. } => write(scene, &writes, &wanted, &[]),
    }
}

pub(super) fn places(scene: &Scene) -> Watch {
    Watch { listeners: scene.listeners.clone(), ..Watch::default() }
}

/// The first route that does not show the share that was settled last.
pub(super) fn strayed(scene: &Scene, sight: &Sight) -> Option<Drift> {
    let share = scene.written.first().copied().unwrap_or(Share::NONE);
    each(scene, |r| at_share(&r.actions, &scene.pairs(), share)).into_iter().find_map(|wanted| {
        let found = sight.routes.iter().find(|r| r.at == wanted.route.at).map(|r| r.actions.as_slice());
        let as_set = found.is_some_and(|found| same(found, &wanted.actions));
        (!as_set).then(|| Drift::of(wanted.route, &wanted.actions, found))
    })
}

/// A route that still gives blue weight.
pub(super) fn still_serving(scene: &Scene) -> Result<Option<Drift>, CloudError> {
    let sight = scene.cloud.observe(&places(scene))?;
    let serving = sight.routes.iter().find(|r| takes_part(&r.actions, &scene.blue_groups));
    Ok(serving.map(|route| Drift {
        what: route.at.arn().to_owned(),
        expected: "no weight on blue's target groups".to_owned(),
        found: serde_json::to_string(&route.actions).unwrap_or_default(),
    }))
}

/// What a route shall show.
struct Wanted<'a> {
    route: &'a Route,
    actions: Vec<Action>,
}

fn each<'a>(scene: &'a Scene, actions: impl Fn(&Route) -> Vec<Action>) -> Vec<Wanted<'a>> {
    scene.routes.iter().map(|route| Wanted { route, actions: actions(route) }).collect()
}

fn look(scene: &Scene) -> Result<Sight, CloudError> {
    let pairs = scene.pairs();
    scene.cloud.observe(&Watch {
        listeners: scene.listeners.clone(),
        target_groups: pairs.iter().flat_map(|p| [p.blue.clone(), p.green.clone()]).collect(),
        services: [&scene.blue, &scene.green].map(|f| (f.cluster.clone(), f.service.clone())).to_vec(),
        ..Watch::default()
    })
}

/// Blue and green as `look` saw them.
fn services(sight: &Sight) -> [Option<&Service>; 2] {
    [0, 1].map(|n| sight.services.get(n).and_then(Option::as_ref))
}

/// Whether somebody deployed blue or green, or took tasks from them: then green is no longer blue's
/// equal, or the way home is too narrow. More tasks than recorded are nobody's mistake.
pub(super) fn redeployed(scene: &Scene, sight: &Sight) -> Option<Outcome> {
    let [blue, green] = services(sight);
    changed(&scene.blue, blue).or_else(|| changed(&scene.green, green)).map(Outcome::Drift)
}

/// Whether finishing would lose a deployment of blue, or green is not what it was. How many tasks
/// blue has left is of no interest any more.
pub(super) fn outdated(scene: &Scene, sight: &Sight) -> Option<Outcome> {
    let [blue, green] = services(sight);
    let any_count = Fleet { count: 0, ..scene.blue.clone() };
    let lost = blue.filter(|b| b.status == "ACTIVE").and_then(|b| changed(&any_count, Some(b)));
    lost.or_else(|| changed(&scene.green, green)).map(Outcome::Drift)
}

fn changed(fleet: &Fleet, seen: Option<&Service>) -> Option<Drift> {
    let drift = |expected: String, found: String| {
        let what = seen.map_or_else(|| format!("the service {}", fleet.service), |s| s.arn.clone());
        Some(Drift { what, expected, found })
    };
    let Some(service) = seen.filter(|s| s.status == "ACTIVE") else {
        return drift("an active service".to_owned(), seen.map_or("nothing".to_owned(), |s| s.status.clone()));
    };
    match &fleet.task_definition {
        Some(expected) if *expected != service.task_definition => {
            drift(format!("the task definition {expected}"), service.task_definition.clone())
        }
        _ if service.desired_count < fleet.count => {
            drift(format!("at least {} tasks", fleet.count), format!("{} are wanted", service.desired_count))
        }
        _ => None,
    }
}

/// A route to blue that the plan does not know: its traffic would not move.
fn stranger(scene: &Scene, sight: &Sight) -> Option<Outcome> {
    let known = |r: &Route| scene.routes.iter().any(|k| k.at == r.at);
    let probe = |r: &Route| scene.made.iter().any(|(k, v)| k.starts_with("probe:") && v == r.at.arn());
    let new = sight.routes.iter().find(|r| takes_part(&r.actions, &scene.blue_groups) && !known(r) && !probe(r))?;
    let expected = "no route to blue besides those recorded at the start".to_owned();
    Some(Outcome::Drift(Drift { expected, ..Drift::of(new, &[], Some(&new.actions)) }))
}

/// Whether a side that is to receive weight lacks healthy targets.
pub(super) fn too_few(scene: &Scene, sight: &Sight, share: Share) -> Option<Outcome> {
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
pub(super) fn capacity(scene: &Scene, sight: &Sight) -> Result<Option<Outcome>, CloudError> {
    let blue = &scene.blue;
    let [service, _] = services(sight);
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

/// What is done with a route that shows what is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matching {
    Leave,
    Write,
}

fn compare(
    scene: &Scene,
    sight: &Sight,
    wanted: &[Wanted],
    acceptable: &dyn Fn(&Route, &[Action]) -> bool,
    matching: Matching,
) -> Comparison {
    let mut comparison = Comparison { writes: Vec::new(), drift: None };
    for Wanted { route, actions } in wanted {
        let found = sight.routes.iter().find(|r| r.at == route.at).map(|r| r.actions.as_slice());
        match found {
            Some(found) if matching == Matching::Leave && same(found, actions) => {}
            Some(found) if acceptable(route, found) => {
                comparison.writes.push(RouteWrite { at: route.at.clone(), actions: actions.clone() });
            }
            _ => {
                comparison.drift.get_or_insert_with(|| drift(scene, route, found));
            }
        }
    }
    comparison
}

fn drift(scene: &Scene, route: &Route, found: Option<&[Action]>) -> Drift {
    let last = scene.written.first().copied().unwrap_or(Share::NONE);
    Drift::of(route, &at_share(&route.actions, &scene.pairs(), last), found)
}

/// Writes all routes at once and reads them back, setting auto scaling back beside the reading where
/// asked, so that the way home costs no further round trip.
fn write(
    scene: &Scene,
    writes: &[RouteWrite],
    wanted: &[Wanted],
    release: &[HoldScaling],
) -> Result<Outcome, CloudError> {
    let results = if writes.is_empty() { Vec::new() } else { scene.cloud.set_actions(writes) };
    let written = results.iter().filter(|r| r.is_ok()).count();
    let failure = results.into_iter().find_map(Result::err);
    let release = if failure.is_none() { release } else { &[] };
    let (first, released) = std::thread::scope(|threads| {
        let mut begun = Vec::new();
        for hold in release {
            begun.push((hold, threads.spawn(|| scene.cloud.suspend_scaling(&hold.resource, hold.was))));
        }
        let shown = read_back(scene, writes, wanted);
        let done = begun.into_iter().filter_map(|(hold, done)| matches!(done.join(), Ok(Ok(()))).then_some(hold));
        (shown, done.map(|hold| (released_key(hold), "true".to_owned())).collect::<Made>())
    });
    let shown = match failure {
        None => until_shown(scene, writes, wanted, first),
        Some(_) => first,
    };
    match (shown, failure) {
        // What was read back counts more than what was answered.
        (Ok(None), _) => Ok(Outcome::Done(released)),
        (_, Some(error)) if written > 0 => {
            let message = format!("{written} of {} routes were written; {}", writes.len(), error.message);
            Ok(Outcome::Partly(CloudError { message, ..error }))
        }
        (_, Some(error)) => Err(error),
        (Ok(Some(route)), None) => Ok(Outcome::NotYet(format!("{route} does not show the new weights yet"))),
        (Err(error), None) if writes.is_empty() => Err(error),
        // Written, and not seen: whether it took effect is not known.
        (Err(error), None) => Ok(Outcome::Partly(error)),
    }
}

/// Reads again while the load balancer does not show what was written.
fn until_shown(
    scene: &Scene,
    writes: &[RouteWrite],
    wanted: &[Wanted],
    first: Result<Option<String>, CloudError>,
) -> Result<Option<String>, CloudError> {
    let mut shown = first;
    for _ in 1..READ_BACKS {
        let Ok(Some(_)) = shown else { break };
        // A clock that was asked to stop does not wait; the reading goes on without a pause.
        let _: Wake = scene.clock.wait(scene.clock.now() + TimeDelta::seconds(1));
        shown = read_back(scene, writes, wanted);
    }
    shown
}

/// The first route that does not show what was wished, over all pages; `None` where all do.
fn read_back(scene: &Scene, writes: &[RouteWrite], wanted: &[Wanted]) -> Result<Option<String>, CloudError> {
    let watch = Watch { listeners: scene.listeners.clone(), ..Watch::default() };
    let sight = scene.cloud.observe(&watch)?;
    let shows =
        |at: &RouteAt, actions: &[Action]| sight.routes.iter().any(|r| r.at == *at && same(&r.actions, actions));
    let written = writes.iter().find(|w| !shows(&w.at, &w.actions)).map(|w| w.at.arn().to_owned());
    let all = wanted.iter().find(|w| !shows(&w.route.at, &w.actions)).map(|w| w.route.at.arn().to_owned());
    Ok(written.or(all))
}
