//! Waiting for clients that follow late: resolvers keep an answer for its TTL, and some for longer.
//!
//! Nothing here changes anything. What loses its tasks must not be asked for them any more, and only
//! the load balancer knows: records say where clients are sent, not where they are.

use std::collections::BTreeMap;

use chrono::{DurationRound, TimeDelta};

use super::{Outcome, Scene, green_key};
use crate::cloud::{CloudError, MetricWindow, Watch};
use crate::playbook::OnNoData;

/// CloudWatch minutes younger than this are still revised.
const SETTLE_SECONDS: i64 = 120;
/// Settled minutes that are read.
const MINUTES: i64 = 3;
/// What of the requests may still go to blue: clients that mind no TTL never come over.
const STRAY: f64 = 0.01;

/// Waits until almost nobody asks blue's target groups any more.
pub(super) fn await_quiet(scene: &Scene) -> Result<Outcome, CloudError> {
    if let Some(drift) = super::records::still_serving(scene)? {
        return Ok(Outcome::Drift(drift));
    }
    let minute = TimeDelta::minutes(1);
    let settled = scene.clock.now() - TimeDelta::seconds(SETTLE_SECONDS);
    let to = settled.duration_trunc(minute).unwrap_or(settled);
    let window = MetricWindow {
        green: scene.pairs().into_iter().map(|p| p.green).collect(),
        blue: scene.blue_groups.clone(),
        load_balancers: scene.group_balancers(),
        from: to - TimeDelta::minutes(MINUTES),
        to,
        latency: None,
    };
    let sight = scene.cloud.observe(&Watch { metrics: Some(window), ..Watch::default() })?;
    let minutes = match sight.metrics {
        Some(Ok(minutes)) => minutes,
        Some(Err(error)) => return Ok(Outcome::NotYet(format!("CloudWatch cannot be read: {error}"))),
        None => Vec::new(),
    };
    let counted = |counts: &dyn Fn(&crate::cloud::Minute) -> Option<f64>| -> Option<f64> {
        let seen: Vec<f64> = minutes.iter().filter_map(counts).collect();
        (!seen.is_empty()).then(|| seen.iter().sum())
    };
    let (blue, green) = (counted(&|m| m.blue.requests), counted(&|m| m.green.requests));
    if blue.is_none() && green.is_none() && scene.playbook.health.on_no_data == OnNoData::Hold {
        let text =
            format!("CloudWatch reports nothing about either side in {MINUTES} min, so nobody knows who asks blue");
        return Ok(Outcome::NotYet(text));
    }
    let (blue, green) = (blue.unwrap_or(0.0), green.unwrap_or(0.0));
    if blue > STRAY * (blue + green) {
        let text = format!(
            "blue still answered {blue:.0} of {:.0} requests in {MINUTES} min: clients, or other names, have not followed",
            blue + green
        );
        return Ok(Outcome::NotYet(text));
    }
    Ok(Outcome::done())
}

/// Waits until resolvers have forgotten green, before green is taken away.
pub(super) fn await_resolvers(scene: &Scene) -> Outcome {
    let until = scene.since + TimeDelta::seconds(i64::from(scene.inventory.follow_seconds()));
    if scene.clock.now() >= until {
        return Outcome::done();
    }
    Outcome::NotYet(format!("resolvers may send requests to green until {}", until.format("%T UTC")))
}

impl Scene<'_> {
    /// ARN of the load balancer of each target group, by the group's ARN.
    pub fn group_balancers(&self) -> BTreeMap<String, String> {
        let mut balancers = BTreeMap::new();
        let named = self.inventory.green_balancer.as_ref().map(|b| b.arn.clone());
        let own = named.or_else(|| self.made.get(super::GREEN_BALANCER).cloned());
        for group in &self.inventory.target_groups {
            let Some(blue) = group.load_balancers.first() else { continue };
            balancers.insert(group.arn.clone(), blue.clone());
            if let Some(twin) = self.made.get(&green_key(&group.arn)) {
                balancers.insert(twin.clone(), own.clone().unwrap_or_else(|| blue.clone()));
            }
        }
        balancers
    }
}
