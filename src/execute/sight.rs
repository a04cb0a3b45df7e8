//! From the world to a judgement: which minutes to read, and how what was seen becomes evidence.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::cloud::{CloudError, MetricWindow, Watch};
use crate::gate::{Counted, Criteria, Evidence, Judgement, Verdict, judge};
use crate::journal::progress::Progress;
use crate::operation::{Drift, Scene, green_key, places, strayed};
use crate::plan::Plan;
use crate::playbook::Shift;
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
    let sight = scene.cloud.observe(&Watch {
        target_groups: green.clone(),
        alarms: plan.playbook.health.alarms.clone(),
        metrics: Some(window(progress, scene, &green, now)),
        ..if settled { places(scene) } else { Watch::default() }
    })?;
    let healthy = |g: &String| sight.health.get(g).map_or(0, |t| t.iter().filter(|t| t.state == "healthy").count());
    let fewest = green.iter().map(healthy).min().unwrap_or(0);
    let alarms = match sight.alarms {
        None => Ok(BTreeMap::new()),
        Some(Ok(ref alarms)) => Ok(alarms.iter().cloned().map(|a| (a.name, a.state)).collect()),
        Some(Err(ref error)) => Err(error.to_string()),
    };
    let minutes = sight.metrics.clone().unwrap_or(Ok(Vec::new())).map_err(|e| e.to_string());
    let evidence = Evidence {
        healthy_hosts: u32::try_from(fewest).unwrap_or(u32::MAX),
        // A shift that was begun may have reached some routes already.
        exposed,
        alarms,
        alarms_named: plan.playbook.health.alarms.clone(),
        // Before the shift there is nothing to compare; only whether CloudWatch answers counts.
        minutes: if exposed { minutes } else { minutes.map(|_| Vec::new()) },
    };
    let mut judgement = judge(&criteria(plan), &evidence);
    if let Some(note) = off_course(&judgement, progress.share).filter(|_| progress.shift.is_none()) {
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
fn off_course(judgement: &Judgement, wish: Share) -> Option<String> {
    let tally = &judgement.tally;
    let all = tally.green_requests + tally.blue_requests;
    if wish == Share::NONE || all < SPLIT_REQUESTS {
        return None;
    }
    let observed = tally.green_requests / all;
    let off = (observed - wish.fraction()).abs();
    (off > SPLIT_TOLERANCE.max(wish.fraction() / 2.0))
        .then(|| format!("green receives {:.1}% of the requests, {wish} was set", observed * 100.0))
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
    (observed < wish.fraction() / 2.0).then(|| {
        format!(
            "green receives {:.1}% of the requests, {wish} was set: resolvers or long-lived clients have not followed yet",
            observed * 100.0
        )
    })
}

/// What can be counted of this run's traffic.
fn counted(plan: &Plan) -> Counted {
    let network = plan.inventory.load_balancers.iter().any(|b| b.kind == "network");
    match (&plan.playbook.shift, network) {
        (Shift::InPlace(_), _) => Counted::Nothing,
        (_, true) => Counted::Flows,
        (_, false) => Counted::Requests,
    }
}

fn criteria(plan: &Plan) -> Criteria {
    let health = &plan.playbook.health;
    let latency = health.latency.as_ref();
    Criteria {
        counted: counted(plan),
        error_ceiling: health.errors.ceiling.fraction(),
        error_ratio: health.errors.ratio,
        latency_ceiling: latency.and_then(|l| l.ceiling).map(|c| c.0.as_secs_f64()),
        latency_ratio: latency.and_then(|l| l.ratio),
        min_requests: health.min_requests,
        wanted_hosts: plan.green_count(),
    }
}

/// The settled minutes since the shift; before the first shift, a few to see whether CloudWatch answers.
fn window(progress: &Progress, scene: &Scene, green: &[String], now: DateTime<Utc>) -> MetricWindow {
    let plan = &progress.header.plan;
    let minute = TimeDelta::minutes(1);
    let floor = |t: DateTime<Utc>| t.duration_trunc(minute).unwrap_or(t);
    let to = floor(now - TimeDelta::seconds(SETTLE_SECONDS));
    let preview = to - TimeDelta::minutes(PREVIEW_MINUTES);
    let following = TimeDelta::seconds(PROPAGATION_SECONDS) + plan.following();
    let from = match progress.exposed_since.filter(|_| progress.share > Share::NONE) {
        None => preview,
        Some(since) => floor(since + following + minute - TimeDelta::milliseconds(1)),
    };
    MetricWindow {
        green: green.to_vec(),
        blue: plan.blue_groups(),
        load_balancers: scene.group_balancers(),
        from: from.max(to - TimeDelta::minutes(WINDOW_MINUTES)),
        to: to.max(from),
        latency: plan.playbook.health.latency.as_ref().map(|l| l.statistic.clone()),
    }
}
