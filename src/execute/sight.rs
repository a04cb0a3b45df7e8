//! From the world to a judgement: which minutes to read, and how what was seen becomes evidence.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::cloud::{CloudError, MetricWindow, Watch};
use crate::gate::{Counted, Criteria, Evidence, Judgement, Minute, Verdict, judge};
use crate::journal::progress::Progress;
use crate::operation::{Drift, Scene, green_key, hosts, places, strayed};
use crate::plan::Plan;
use crate::playbook::{CustomMetric, Shift};
use crate::traffic::Share;

/// CloudWatch minutes younger than this are still revised (load balancer metrics arrive, and change,
/// for about two minutes).
const SETTLE_SECONDS: i64 = 120;
/// How long a shift takes until the load balancer follows it everywhere.
const PROPAGATION_SECONDS: i64 = 15;
/// The longest window that is read: after a long hold, what was days ago says nothing any more.
const WINDOW_MINUTES: i64 = 24 * 60;
/// Minutes read before green has traffic, only to know that the monitoring answers.
const PREVIEW_MINUTES: i64 = 5;

/// What a look at the world comes to.
pub(super) struct Look {
    pub judgement: Judgement,
    /// A place that does not show the share that was settled last.
    pub drift: Option<Drift>,
}

/// Judges green by what can be seen now, and looks whether traffic still goes where it was sent.
pub(super) fn look(progress: &Progress, scene: &Scene) -> Result<Look, CloudError> {
    let now = scene.clock.now();
    let plan = &progress.header.plan;
    let blue = plan.blue_groups();
    let green: Vec<String> = blue.iter().filter_map(|b| progress.made.get(&green_key(b)).cloned()).collect();
    let exposed = progress.share > Share::NONE || progress.shift.is_some();
    let settled = progress.share > Share::NONE && progress.shift.is_none();
    // Without a load balancer, the services themselves say how many tasks run, and the only metrics
    // are the user's own.
    let uncounted = plan.counted() == Counted::Nothing;
    let measured = !uncounted || !plan.playbook.health.metrics.is_empty();
    let sight = scene.cloud.observe(&Watch {
        target_groups: green.clone(),
        alarms: plan.playbook.health.alarms.clone(),
        metrics: measured.then(|| window(progress, scene, &green, now)),
        ..if settled || uncounted { places(scene) } else { Watch::default() }
    })?;
    let healthy = |g: &String| sight.health.get(g).map_or(0, |t| t.iter().filter(|t| t.state == "healthy").count());
    let fewest = green.iter().map(healthy).min().unwrap_or(0);
    let alarms = match sight.alarms {
        None => Ok(BTreeMap::new()),
        Some(Ok(ref alarms)) => Ok(alarms.iter().cloned().map(|a| (a.name, a.state)).collect()),
        Some(Err(ref error)) => Err(error.to_string()),
    };
    let minutes = sight.metrics.clone().unwrap_or(Ok(Vec::new())).map_err(|e| e.to_string());
    let (before, minutes) = match minutes {
        Ok(minutes) => {
            let (before, since) = split(progress, exposed, minutes);
            (before, Ok(since))
        }
        Err(error) => (Vec::new(), Err(error)),
    };
    let hosts = hosts(scene, &sight);
    let evidence = Evidence {
        healthy_hosts: hosts.map_or(u32::try_from(fewest).unwrap_or(u32::MAX), |h| h.healthy),
        // A shift that was begun may have reached some routes already.
        exposed,
        alarms,
        alarms_named: plan.playbook.health.alarms.clone(),
        minutes,
        before,
    };
    let mut criteria = criteria(plan);
    criteria.wanted_hosts = hosts.map_or(criteria.wanted_hosts, |h| h.wanted);
    let mut judgement = judge(&criteria, &evidence);
    let since = evidence.minutes.as_deref().unwrap_or_default();
    if let Some(note) = off_course(plan, since, progress.share).filter(|_| progress.shift.is_none()) {
        judgement.reason = format!("{}; {note}", judgement.reason);
    }
    if let Some(reason) = not_followed(plan, &judgement, progress.share).filter(|_| settled) {
        (judgement.verdict, judgement.reason) = (Verdict::NotEnoughEvidence, reason);
    }
    let drift = if settled { strayed(scene, &sight) } else { None };
    Ok(Look { judgement, drift })
}

/// Requests on both sides together below which a split says nothing about the weights.
const SPLIT_REQUESTS: f64 = 500.0;
/// How far the observed share may lie beside the wish: half of it, or this much.
const SPLIT_TOLERANCE: f64 = 0.03;

/// What to say where the observed share of requests is not the share that was set. It is a remark
/// and no verdict: sticky clients come over late.
fn off_course(plan: &Plan, since: &[Minute], wish: Share) -> Option<String> {
    let sum = |side: fn(&Minute) -> Option<f64>| -> f64 { since.iter().filter_map(side).sum() };
    let green = sum(|m| m.green.requests);
    let all = green + sum(|m| m.blue.requests);
    if wish == Share::NONE || all < SPLIT_REQUESTS {
        return None;
    }
    let observed = green / all;
    let what = if plan.counted() == Counted::Flows { "new flows" } else { "requests" };
    let off = (observed - wish.fraction()).abs();
    (off > SPLIT_TOLERANCE.max(wish.fraction() / 2.0))
        .then(|| format!("green receives {:.1}% of the {what}, {wish} was set", observed * 100.0))
}

/// Why a green that looks healthy has not been seen by those who were sent to it. Records only say
/// where resolvers are sent: a stage counts when the clients have come. Where other names lead to
/// blue as well, their clients stay there, and the share of all requests says nothing.
fn not_followed(plan: &Plan, judgement: &Judgement, wish: Share) -> Option<String> {
    let tally = &judgement.tally;
    let all = tally.green_requests + tally.blue_requests;
    let by_name =
        matches!(plan.playbook.shift, Shift::DnsWeights(_)) && plan.inventory.leads_to_blue_beside().is_empty();
    if !by_name || judgement.verdict != Verdict::Healthy || all < SPLIT_REQUESTS {
        return None;
    }
    let observed = tally.green_requests / all;
    let what = if plan.counted() == Counted::Flows { "new flows" } else { "requests" };
    (observed < wish.fraction() / 2.0).then(|| {
        format!(
            "green receives {:.1}% of the {what}, {wish} was set: resolvers or long-lived clients have not followed yet",
            observed * 100.0
        )
    })
}

fn criteria(plan: &Plan) -> Criteria {
    let health = &plan.playbook.health;
    let latency = health.latency.as_ref();
    // A Network Load Balancer reports no latency.
    let latency = latency.filter(|_| plan.counted() != Counted::Flows);
    Criteria {
        counted: plan.counted(),
        baseline: plan.baseline(),
        levels: health.metrics.iter().filter_map(CustomMetric::level).collect(),
        error_ceiling: health.errors.ceiling.fraction(),
        error_ratio: health.errors.ratio,
        latency_ceiling: latency.and_then(|l| l.ceiling).map(|c| c.0.as_secs_f64()),
        latency_ratio: latency.and_then(|l| l.ratio),
        min_requests: health.min_requests,
        wanted_hosts: plan.green_count(),
    }
}

/// The minutes before the shift, and those since it that are wholly green's. What was read before
/// anything moved, or while it moves, is all before.
fn split(progress: &Progress, exposed: bool, minutes: Vec<Minute>) -> (Vec<Minute>, Vec<Minute>) {
    let exposed_since = progress.exposed_since.filter(|_| progress.share > Share::NONE);
    let (Some(since), true) = (exposed_since, exposed) else { return (minutes, Vec::new()) };
    let began = progress.shift_began.unwrap_or(since).min(since);
    let plan = &progress.header.plan;
    let (from, until) = (first_minute(plan, since), floor(began));
    let newest = minutes.last().map_or(from, |m| m.start);
    let from = from.max(newest - TimeDelta::minutes(WINDOW_MINUTES - 1));
    let before = minutes.iter().filter(|m| m.start < until).cloned().collect();
    (before, minutes.into_iter().filter(|m| m.start >= from).collect())
}

fn floor(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}

/// The first full minute in which every load balancer, and every resolver, follows a shift that was read
/// back then.
fn first_minute(plan: &Plan, since: DateTime<Utc>) -> DateTime<Utc> {
    let following = TimeDelta::seconds(PROPAGATION_SECONDS) + plan.following();
    floor(since + following + TimeDelta::minutes(1) - TimeDelta::milliseconds(1))
}

/// Minutes before a shift that a window of so many minutes since it needs: as many, where all traffic
/// moved at once; otherwise only those that the levels are compared with.
fn past_minutes(plan: &Plan, minutes: i64) -> i64 {
    let levels = if plan.playbook.health.metrics.is_empty() { 0 } else { PREVIEW_MINUTES };
    if plan.playbook.shift.at_once() { minutes.max(PREVIEW_MINUTES) } else { levels }
}

/// The settled minutes since the shift, with the past that they are compared with; before the first
/// shift, a few to see whether CloudWatch answers.
fn window(progress: &Progress, scene: &Scene, green: &[String], now: DateTime<Utc>) -> MetricWindow {
    let plan = &progress.header.plan;
    let to = floor(now - TimeDelta::seconds(SETTLE_SECONDS));
    let preview = to - TimeDelta::minutes(PREVIEW_MINUTES);
    let from = match progress.exposed_since.filter(|_| progress.share > Share::NONE) {
        None => preview,
        Some(since) => {
            let from = first_minute(plan, since).max(to - TimeDelta::minutes(WINDOW_MINUTES));
            let past = past_minutes(plan, (to - from).num_minutes());
            let began = floor(progress.shift_began.unwrap_or(since).min(since));
            // After a long hold the past is too long ago to be read in the same question.
            let near = to - began <= TimeDelta::minutes(2 * WINDOW_MINUTES);
            if past > 0 && near { from.min(began - TimeDelta::minutes(past)) } else { from }
        }
    };
    let counted = plan.counted();
    MetricWindow {
        counted,
        levels: plan.playbook.health.metrics.iter().map(CustomMetric::query).collect(),
        green: green.to_vec(),
        blue: plan.blue_groups(),
        load_balancers: scene.group_balancers(),
        from,
        to: to.max(from),
        latency: plan
            .playbook
            .health
            .latency
            .as_ref()
            .filter(|_| counted == Counted::Requests)
            .map(|l| l.statistic.clone()),
    }
}
