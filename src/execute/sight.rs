//! From the world to a judgement: which minutes to read, and how what was seen becomes evidence.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::cloud::{CloudError, MetricWindow, Watch};
use crate::gate::share::mismatch;
use crate::gate::{Baseline, Counted, Criteria, Evidence, IN_A_ROW, Judgement, Tally, Verdict, judge};
use crate::journal::progress::Progress;
use crate::journal::seen::{Read, Seen, WINDOW_MINUTES};
use crate::operation::{Drift, Scene, green_key, hosts, places, strayed};
use crate::plan::Plan;
use crate::playbook::{LatencyCriterion, Shift};
use crate::traffic::Share;

/// Minutes read before green has traffic, only to know that the monitoring answers.
const PREVIEW_MINUTES: i64 = 5;

/// What a look at the world comes to.
pub(super) struct Look {
    pub judgement: Judgement,
    /// What is new of the metrics, where they could be read.
    pub read: Option<Read>,
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
    let metrics = measured.then(|| window(progress, scene, &green, now));
    let asked = metrics.as_ref().map(|window| window.to);
    let sight = scene.cloud.observe(&Watch {
        target_groups: green.clone(),
        alarms: plan.playbook.health.alarms.clone(),
        metrics,
        ..if settled || uncounted { places(scene) } else { Watch::default() }
    })?;
    let healthy = |g: &String| sight.health.get(g).map_or(0, |t| t.iter().filter(|t| t.state == "healthy").count());
    let fewest = green.iter().map(healthy).min().unwrap_or(0);
    let alarms = match sight.alarms {
        None => Ok(BTreeMap::new()),
        Some(Ok(ref alarms)) => Ok(alarms.iter().cloned().map(|a| (a.name, a.state)).collect()),
        Some(Err(ref error)) => Err(error.to_string()),
    };
    let (unread, read) = match (asked, &sight.metrics) {
        (Some(until), Some(Ok(minutes))) => (None, Some(progress.seen.news(until, minutes.clone()))),
        (_, Some(Err(error))) => (Some(error.to_string()), None),
        (_, None) | (None, _) => (None, None),
    };
    let known = read.as_ref().map(|read| progress.seen.with(read, now));
    let seen: &Seen = known.as_ref().unwrap_or(&progress.seen);
    let hosts = hosts(scene, &sight);
    let evidence = Evidence {
        healthy_hosts: hosts.map_or(u32::try_from(fewest).unwrap_or(u32::MAX), |h| h.healthy),
        // A shift that was begun may have reached some routes already.
        exposed,
        alarms,
        alarms_named: plan.playbook.health.alarms.clone(),
        unread,
        stage: if exposed { seen.stage() } else { Vec::new() },
        before: seen.before(IN_A_ROW),
        ledger: seen.ledger(plan),
    };
    let mut criteria = criteria(progress);
    criteria.wanted_hosts = hosts.map_or(criteria.wanted_hosts, |h| h.wanted);
    let mut judgement = judge(&criteria, &evidence);
    if let Some(note) = off_course(plan, &judgement.tally, progress.share).filter(|_| settled) {
        judgement.reason = format!("{}; {note}", judgement.reason);
    }
    if let Some(reason) = not_followed(plan, &judgement, progress.share).filter(|_| settled) {
        (judgement.verdict, judgement.reason) = (Verdict::NotEnoughEvidence, reason);
    }
    let drift = if settled { strayed(scene, &sight) } else { None };
    Ok(Look { judgement, read, drift })
}

/// Requests on both sides together below which a split says nothing about the weights.
const SPLIT_REQUESTS: f64 = 500.0;

/// What to say where the observed share of requests is not the share that was set. It is a remark
/// and no verdict: sticky clients come over late.
fn off_course(plan: &Plan, tally: &Tally, wish: Share) -> Option<String> {
    let what = if plan.counted() == Counted::Flows { "new flows" } else { "requests" };
    let observed = mismatch(tally.green_requests, tally.blue_requests, wish.fraction())?;
    Some(format!("green receives {:.1}% of the {what}, {wish} was set", observed * 100.0))
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

fn criteria(progress: &Progress) -> Criteria {
    let plan = &progress.header.plan;
    let health = &plan.playbook.health;
    // A Network Load Balancer reports no latency.
    let latency = health.latency.as_ref().filter(|_| plan.counted() == Counted::Requests);
    let next = plan.playbook.stages.get(progress.stage).filter(|_| progress.stage > 0);
    Criteria {
        counted: plan.counted(),
        levels: health.levels(),
        latency_ceiling: latency.and_then(|l| l.ceiling).map(|c| c.0.as_secs_f64()),
        min_requests: health.min_requests,
        wanted_hosts: plan.green_count(),
        next: next.map(|stage| plan.next(stage.green)),
    }
}

/// The minutes that are to be read, with all that the judge asks of them: one question.
fn window(progress: &Progress, scene: &Scene, green: &[String], now: DateTime<Utc>) -> MetricWindow {
    let plan = &progress.header.plan;
    let preview = match plan.baseline() {
        Baseline::Beside => PREVIEW_MINUTES,
        // As many as green will be compared with.
        Baseline::Past => i64::from(plan.protocol().planned_minutes).clamp(PREVIEW_MINUTES, WINDOW_MINUTES),
    };
    let (from, to) = progress.seen.window(now, preview);
    let counted = plan.counted();
    let requests = counted == Counted::Requests;
    let slow = plan.slow_bounds();
    let load_balancers = scene.group_balancers();
    let latency = plan.playbook.health.latency.as_ref().map(|latency| latency.statistic.clone());
    MetricWindow {
        counted,
        levels: plan.own_queries(&progress.made, &load_balancers),
        green: green.to_vec(),
        blue: plan.blue_groups(),
        load_balancers,
        from,
        to,
        latency: Some(latency.unwrap_or_else(LatencyCriterion::default_statistic)).filter(|_| requests),
        unserved: requests,
        client_errors: requests,
        slow,
    }
}
