//! Rules about what the judge will have to go by: blue's last day, and the limits that the playbook sets.
//!
//! Nothing here is about IPv6. A judge that lacks something says so before the run and not in the middle of
//! it; only a limit that an ordinary day of blue's would break is refused.

use crate::finding::Finding;
use crate::gate::Counted;
use crate::gate::limit::Limit;
use crate::gate::tail::Slowness;
use crate::inventory::{History, Inventory};
use crate::playbook::{OnNoData, Playbook, Shift};

/// From here on clustering is worth a word: a fault is found by three times the failures.
const CLUSTERED: f64 = 3.0;

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    if matches!(playbook.shift, Shift::InPlace(_)) {
        return Vec::new();
    }
    let network = inventory.load_balancers.iter().any(|b| b.kind == "network");
    let counted = if network { Counted::Flows } else { Counted::Requests };
    let mut findings = Vec::new();
    findings.extend(network.then(|| no_requests(playbook)));
    let Some(day) = &inventory.history else {
        findings.push(unreadable(playbook, inventory, counted));
        return findings;
    };
    findings.extend(limit(playbook, day, counted));
    if day.requests_per_minute <= 0.0 {
        findings.push(no_traffic(playbook, counted));
        return findings;
    }
    findings.extend(clusters(day));
    findings.extend(percentiles(playbook, day).filter(|_| !network));
    findings
}

/// What a Network Load Balancer does not tell.
fn no_requests(playbook: &Playbook) -> Finding {
    let beside = if playbook.shift.at_once() { "blue's in the minutes before the shift" } else { "blue's" };
    let finding = Finding::info(
        "latency-not-judged",
        "a Network Load Balancer reports no latency and no 5xx, so neither is judged",
    )
    .evidence(format!("resets for each new flow are compared with {beside}"));
    let finding = match playbook.health.latency {
        Some(_) => finding.evidence("`health.latency` has no effect here"),
        None => finding,
    };
    finding.remedy("name metrics of the application's own in `health.metrics`; playbooks/grpc-metrics.yaml shows how")
}

fn unreadable(playbook: &Playbook, inventory: &Inventory, counted: Counted) -> Finding {
    let own_limit = playbook.health.limit().is_some();
    let limit = if own_limit { "" } else { ", no limit stands beside the comparison with blue" };
    let latency = match counted {
        Counted::Requests => ", latency is compared by percentiles, minute by minute",
        Counted::Flows | Counted::Nothing => "",
    };
    let finding = Finding::warn("history-unreadable", "CloudWatch did not say what blue was like over the last day")
        .evidence(format!(
            "without it failures are taken to come in pairs (phi 2){limit}{latency}, and the plan cannot say what a stage exposes"
        ));
    let finding = match &inventory.history_unread {
        Some(why) => finding.evidence(why.clone()),
        None => finding,
    };
    finding.remedy(match own_limit {
        true => "allow `cloudwatch:GetMetricData`, and assess again",
        false => "allow `cloudwatch:GetMetricData`, and assess again; or set `health.hard_limit`",
    })
}

/// A limit that an ordinary day breaks.
fn limit(playbook: &Playbook, day: &History, counted: Counted) -> Option<Finding> {
    let rate = playbook.health.limit()?;
    let past = day.errors.rate;
    if (Limit { rate: rate.fraction() }).leaves_room(past) {
        return None;
    }
    let noun = counted.noun();
    let text = format!("the hard limit of {rate} is less than twice what blue failed over the last day");
    let twice = percent((2.0 * past).min(1.0));
    let default = percent(Limit::from_history(past).rate);
    Some(
        Finding::block("limit-too-near", text)
            .evidence(format!("blue failed {} of {:.0} {noun} a minute", percent(past), day.requests_per_minute))
            .evidence("on a bad hour of its own, a healthy green would be sent home")
            .remedy(format!(
                "set `health.hard_limit` to {twice} or more, or leave it out: by default it is five times blue's rate and at least 0.5%, here {default}"
            )),
    )
}

fn no_traffic(playbook: &Playbook, counted: Counted) -> Finding {
    let noun = counted.noun();
    let unseen = match playbook.health.on_no_data {
        OnNoData::Hold => "a stage holds when twice its bake is over",
        OnNoData::Advance => {
            "a stage goes on when twice its bake is over, with what alarms, targets and your metrics say"
        }
        OnNoData::Rollback => "a stage goes home when twice its bake is over",
    };
    Finding::warn("no-traffic", format!("blue has had no {noun} over the last day"))
        .evidence(format!("green cannot be compared with blue by {noun}: with fewer than `min_requests`, {unseen}"))
        .remedy("begin while there is traffic; or name alarms, or metrics of the application's own with a bound, and set `on_no_data`")
}

/// Failures of blue that come together.
fn clusters(day: &History) -> Option<Finding> {
    let phi = day.errors.phi;
    (phi > CLUSTERED).then(|| {
        Finding::info("failures-in-clusters", format!("blue's failures come in clusters: phi is {phi:.1}"))
            .evidence("measured by how they fell on the availability zones over the last day")
            .evidence(format!(
                "the evidence against green is divided by it, so that one retrying client is not taken for a fault; a fault is found after about {phi:.1} times as many failures"
            ))
            .remedy("nothing need be done; longer bakes make up for it")
    })
}

/// Latency without counts of slow requests.
fn percentiles(playbook: &Playbook, day: &History) -> Option<Finding> {
    // Of other statistics than these, the minutes vote by the playbook's own wish.
    let wish = playbook.health.latency.as_ref();
    let wished = wish.is_some_and(|latency| latency.ratio.is_some() && Slowness::of(&latency.statistic).is_none());
    (day.slow.is_none() && !wished).then(|| {
        Finding::info("latency-by-percentiles", "CloudWatch does not count blue's slow requests believably")
            .evidence("latency is compared by a percentile in each minute instead: it takes nine minutes at least, and for p99 1,000 requests a minute on both sides")
            .remedy("nothing need be done; `health.latency: { ceiling: .. }` bounds it as well")
    })
}

/// A rate with two or three digits that mean something, rounded up.
fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let digits: usize = match percent {
        _ if percent >= 10.0 => 1,
        _ if percent >= 0.1 => 2,
        _ if percent >= 0.01 => 3,
        _ => 4,
    };
    let shift = [1.0, 10.0, 100.0, 1e3, 1e4][digits];
    let text = format!("{:.digits$}", (percent * shift - 1e-6).ceil().abs() / shift);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short_and_never_too_low() {
        for (fraction, shown) in [
            (0.012, "1.2%"),
            (0.01, "1%"),
            (0.3, "30%"),
            (1.0, "100%"),
            (0.000_123_41, "0.013%"),
            (0.0, "0%"),
            (0.1, "10%"),
            (0.001_998, "0.2%"),
        ] {
            assert_eq!(percent(fraction), shown, "{fraction}");
        }
    }
}
