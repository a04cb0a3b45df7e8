//! Green's target groups in blue's place, all at once, in every listener and rule that leads to blue.
//!
//! A Network Load Balancer takes no action that names both address families (NLB guide, listeners),
//! so there are no weights in between: a route shows what was recorded, or the same with green's
//! groups. Each is one atomic write. How routes are compared, written and read back is [`routes`]'.
//!
//! Two things follow from the lack of an in-between.
//!
//! *Both sides must be tied to the load balancer otherwise.* ECS refuses a service on a target group
//! that no listener or rule refers to, and targets in such a group are not checked (`unused`): green
//! could not be created, and blue, out of its place, could not be known to be fit for the way home.
//! Rules of a Network Load Balancer match addresses of clients only, which is production traffic. So
//! each group has a listener of our own, on a free port from the last one down, until `finish`: what
//! is proved healthy through it keeps its checks in the minute of the swap, and of the way home. Who
//! is let through by security groups and routes can reach those ports, and the plan says so. Where an
//! Application Load Balancer is swapped, rules that no request matches do the same.
//!
//! *Flows that are open stay where they are*, up to an hour (NLB guide, update a listener). So nothing
//! is taken from the side that lost its place before its flows have ended, or the hour is over.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::{Drift, Outcome, Scene, Side, TieGroup, green_key, routes, tie_key};
use crate::cloud::ties::NewTie;
use crate::cloud::{Cause, CloudError, Sight, Watch};
use crate::inventory::Action;
use crate::playbook::Shift;
use crate::traffic::{Pair, Share, replaced};

/// How long a Network Load Balancer keeps sending a flow that carries traffic to a target group that
/// was replaced (NLB guide, "Update a listener for your Network Load Balancer").
pub const FLOW_SECONDS: u64 = 3600;
/// How long it keeps one that carries nothing: the default idle timeout of TCP flows (same guide).
pub const IDLE_SECONDS: u64 = 350;
/// CloudWatch minutes younger than this are still revised.
const SETTLE_SECONDS: i64 = 120;
/// Settled minutes in a row that must show no flow.
const QUIET_MINUTES: i64 = 3;

/// What a route that was recorded like this shows at a share: there is nothing between none and all.
pub(super) fn shown(recorded: &[Action], pairs: &[Pair], share: Share) -> Vec<Action> {
    if share == Share::NONE { recorded.to_vec() } else { replaced(recorded, pairs) }
}

pub(super) fn shift(scene: &Scene, share: Share) -> Result<Outcome, CloudError> {
    if share != Share::NONE && share != Share::ALL {
        return Ok(Outcome::Never(format!("a swap moves all traffic at once, and not {share} of it")));
    }
    routes::shift(scene, share)
}

pub(super) fn go_home(scene: &Scene) -> Result<Outcome, CloudError> {
    routes::go_home(scene)
}

pub(super) fn places(scene: &Scene) -> Watch {
    routes::places(scene)
}

pub(super) fn strayed(scene: &Scene, sight: &Sight) -> Option<Drift> {
    routes::strayed(scene, sight)
}

/// Ties green's group to the load balancer by a listener of its own.
pub(super) fn tie(scene: &Scene, tie: &TieGroup) -> Result<Outcome, CloudError> {
    let group = if tie.side == Side::Blue { Some(&tie.blue) } else { scene.made.get(&green_key(&tie.blue)) };
    let Some(group) = group else {
        return Ok(Outcome::NotYet(format!("the twin of {} is not there yet", tie.blue)));
    };
    let arn = scene.cloud.tie_group(&NewTie {
        load_balancer: tie.load_balancer.clone(),
        group: group.clone(),
        protocol: tie.protocol.clone(),
        like: tie.like.clone(),
        tags: tie.tags.clone(),
    })?;
    Ok(Outcome::made(tie_key(tie), arn))
}

/// Deletes the listeners that bear this run's tag, also those whose ARN was never learnt.
pub(super) fn untie(scene: &Scene, load_balancer: &str) -> Result<Outcome, CloudError> {
    let ties = scene.cloud.ties(load_balancer, scene.run)?;
    for arn in &ties {
        scene.cloud.untie(arn)?;
    }
    let learnt = scene.made.keys().any(|name| name.starts_with("tie:"));
    Ok(if ties.is_empty() && !learnt {
        super::green::unseen(scene, "the listener that ties green to the load balancer")
    } else if ties.is_empty() {
        Outcome::done()
    } else {
        // The next look sees them gone.
        Outcome::NotYet(format!("{} listeners are being deleted", ties.len()))
    })
}

/// Waits for the flows that blue kept when traffic moved.
pub(super) fn await_blue(scene: &Scene, least: u64, most: u64) -> Result<Outcome, CloudError> {
    let since = scene.exposed_since.unwrap_or(scene.since);
    await_flows(scene, &scene.blue_groups, since, least, most)
}

/// What green's flows say against its removal: it keeps those that were open when traffic went home.
pub(super) fn open_on_green(scene: &Scene) -> Result<Option<Outcome>, CloudError> {
    let network = scene.inventory.load_balancers.iter().any(|b| b.kind == "network");
    if !matches!(scene.playbook.shift, Shift::ListenerSwap(_)) || !network || !scene.moved {
        return Ok(None);
    }
    let green: Vec<String> = scene.pairs().into_iter().map(|p| p.green).collect();
    let outcome = await_flows(scene, &green, scene.since, IDLE_SECONDS, FLOW_SECONDS)?;
    Ok(Some(outcome).filter(|o| !matches!(o, Outcome::Done(_))))
}

/// Waits until no flow is left on these groups: `least` seconds in any case, and then until
/// CloudWatch shows none, or `most` seconds are over.
pub(super) fn await_flows(
    scene: &Scene,
    groups: &[String],
    since: DateTime<Utc>,
    least: u64,
    most: u64,
) -> Result<Outcome, CloudError> {
    let now = scene.clock.now();
    let after = |seconds: u64| since + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1000));
    if now >= after(most) || groups.is_empty() {
        return Ok(Outcome::done());
    }
    if now < after(least) {
        return Ok(Outcome::NotYet(format!("open flows end until {}", after(least).format("%T UTC"))));
    }
    let to = (now - TimeDelta::seconds(SETTLE_SECONDS)).duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
    let from = to - TimeDelta::minutes(QUIET_MINUTES);
    let until = after(most).format("%T UTC");
    match scene.cloud.active_flows(groups, from, to) {
        // Minutes from before the swap show the flows of then.
        Ok(Some(flows)) if flows == 0.0 && from >= since => Ok(Outcome::done()),
        Ok(Some(flows)) => Ok(Outcome::NotYet(format!("{flows:.0} flows are open; at most until {until}"))),
        Err(error) if error.cause == Cause::Credentials => Err(error),
        // Missing data is no proof that nobody is connected.
        Ok(None) => {
            Ok(Outcome::NotYet(format!("CloudWatch does not say how many flows are open; waiting until {until}")))
        }
        Err(error) => Ok(Outcome::NotYet(format!("{error}; waiting until {until}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{ForwardConfig, WeightedGroup};

    #[test]
    fn a_route_shows_blue_or_green_and_nothing_between() {
        let tuple = |arn: &str| WeightedGroup { target_group_arn: arn.to_owned(), weight: None };
        let forward = |arn: &str| Action {
            kind: "forward".to_owned(),
            target_group_arn: Some(arn.to_owned()),
            forward_config: Some(ForwardConfig { target_groups: vec![tuple(arn)], ..ForwardConfig::default() }),
            ..Action::default()
        };
        let pairs = [Pair { blue: "b".to_owned(), green: "g".to_owned(), sticky: None }];
        assert_eq!(shown(&[forward("b")], &pairs, Share::NONE), [forward("b")]);
        assert_eq!(shown(&[forward("b")], &pairs, Share::ALL), [forward("g")]);
        assert_eq!(shown(&[forward("x")], &pairs, Share::ALL), [forward("x")], "a route of others");
    }
}
