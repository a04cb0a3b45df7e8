//! `migrate judge --since`: two sides of a load balancer over the last minutes, without any run.
//!
//! What the plan of a run fixes before there is a green is fixed here by the 24 hours before the window:
//! phi, the hard limit and what counts as slow are blue's of then. The promise about chances is a run's:
//! who judges again and again, or chooses the window by what it shows, has no such promise.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::cli::site::{Site, ear};
use crate::cloud::{Cause, Cloud, Counted, DayWindow, MetricWindow, Watch};
use crate::gate::Baseline;
use crate::gate::ledger::Ledger;
use crate::gate::protocol::{Begun, Observed};
use crate::inventory::{History, LoadBalancer, TargetGroup};
use crate::journal::seen::SETTLE_SECONDS;
use crate::plan::Terms;
use crate::playbook::{Health, LatencyCriterion, Period};
use crate::report::outcome::Failure;

/// CloudWatch keeps metrics of single minutes for 15 days (CloudWatch User Guide, metrics retention).
const SINCE_MAX: TimeDelta = TimeDelta::days(15);

/// What two sides had, ready to be judged.
pub(super) struct Past {
    pub ledger: Ledger,
    /// Start of the first minute.
    pub begin: DateTime<Utc>,
    pub title: String,
    pub notes: Vec<String>,
    pub fields: Vec<(&'static str, Value)>,
}

/// The target groups of both sides and what is in front of them.
struct Sides {
    green: Vec<TargetGroup>,
    blue: Vec<TargetGroup>,
    balancers: Vec<LoadBalancer>,
}

/// A duration of `--since`, in whole minutes.
pub(super) fn read_since(text: &str) -> Result<TimeDelta, String> {
    let wrong = || "write a duration such as 90m or 2h".to_owned();
    let since = TimeDelta::from_std(text.parse::<Period>().map_err(|_| wrong())?.0).map_err(|_| wrong())?;
    if since < TimeDelta::minutes(1) {
        return Err("there is nothing to judge in less than a minute: write a duration such as 90m or 2h".to_owned());
    }
    if since > SINCE_MAX {
        return Err("CloudWatch keeps metrics of single minutes for 15 days: write 15d or less".to_owned());
    }
    Ok(TimeDelta::minutes((since.num_seconds() + 59) / 60))
}

pub(super) fn read(since: TimeDelta, green: &[String], blue: &[String]) -> Result<Past, Failure> {
    let site = Site::aws(None, ear()?, None)?;
    let cloud = site.cloud();
    let sides = Sides::find(cloud, green, blue)?;
    let counted = sides.counted()?;
    let settled = site.clock().now() - TimeDelta::seconds(SETTLE_SECONDS);
    let to = settled.duration_trunc(TimeDelta::minutes(1)).unwrap_or(settled);
    let from = to - since;
    let history = cloud.day(&sides.day(counted, from))?.history();
    let shared = sides.share_a_balancer();
    let terms = Terms { counted, health: &Health::default(), history: Some(history), shared };
    let requests = counted == Counted::Requests;
    let window = MetricWindow {
        counted,
        green: arns(&sides.green),
        blue: arns(&sides.blue),
        load_balancers: sides.load_balancers(),
        from,
        to,
        latency: requests.then(LatencyCriterion::default_statistic),
        unserved: requests,
        client_errors: requests,
        slow: terms.slow_bounds(),
        levels: Vec::new(),
    };
    let sight = cloud.observe(&Watch { metrics: Some(window), ..Watch::default() })?;
    let minutes = sight.metrics.unwrap_or(Ok(Vec::new()))?;
    let minutes: BTreeMap<_, _> = minutes.into_iter().map(|minute| (minute.start, minute.plausible())).collect();
    let planned = u32::try_from(since.num_minutes()).unwrap_or(u32::MAX);
    // Nobody set a share, so none is expected.
    let begun = [Begun { intended: from, followed: None, share: 0.0 }];
    let protocol = terms.protocol(Baseline::Beside, planned, 1);
    let ledger = protocol.ledger(Observed { minutes: &minutes, begun: &begun, open: None });
    Ok(Past {
        ledger,
        begin: from,
        title: format!(
            "green {} beside blue {}: {planned} min from {}",
            names(&sides.green),
            names(&sides.blue),
            from.format("%F %H:%M UTC")
        ),
        notes: vec![described(&history, terms.limit().map_or(0.0, |limit| limit.rate))],
        fields: vec![
            ("run", Value::Null),
            ("green_tg", json!(arns(&sides.green))),
            ("blue_tg", json!(arns(&sides.blue))),
            ("history", json!(history)),
        ],
    })
}

impl Sides {
    fn share_a_balancer(&self) -> bool {
        let balancers = |groups: &[TargetGroup]| -> BTreeSet<String> {
            groups.iter().flat_map(|group| group.load_balancers.clone()).collect()
        };
        !balancers(&self.green).is_disjoint(&balancers(&self.blue))
    }

    fn find(cloud: &dyn Cloud, green: &[String], blue: &[String]) -> Result<Sides, Failure> {
        let side = |wanted: &[String], option: &str| -> Result<Vec<TargetGroup>, Failure> {
            let mut found: Vec<TargetGroup> = Vec::new();
            for name in wanted {
                let group = group(cloud, name.trim(), option)?;
                if !found.iter().any(|known| known.arn == group.arn) {
                    found.push(group);
                }
            }
            Ok(found)
        };
        let (green, blue) = (side(green, "--green-tg")?, side(blue, "--blue-tg")?);
        if let Some(both) = green.iter().find(|group| blue.iter().any(|other| other.arn == group.arn)) {
            return Err(Failure::usage(format!("the target group {} is on both sides", both.name))
                .hint("give green's with `--green-tg` and blue's with `--blue-tg`"));
        }
        let all: BTreeSet<&String> = green.iter().chain(&blue).flat_map(|group| &group.load_balancers).collect();
        let balancers = cloud.load_balancers(&all.into_iter().cloned().collect::<Vec<_>>())?;
        Ok(Sides { green, blue, balancers })
    }

    fn counted(&self) -> Result<Counted, Failure> {
        let kinds: BTreeSet<&str> = self.balancers.iter().map(|balancer| balancer.kind.as_str()).collect();
        match kinds.into_iter().collect::<Vec<_>>().as_slice() {
            ["application"] => Ok(Counted::Requests),
            ["network"] => Ok(Counted::Flows),
            kinds => Err(Failure::usage(format!(
                "nothing can be compared behind load balancers of kind {}",
                kinds.join(" and ")
            ))
            .hint("give target groups of Application Load Balancers, or of Network Load Balancers, on both sides")),
        }
    }

    /// The load balancer of each group.
    fn load_balancers(&self) -> BTreeMap<String, String> {
        let own = |group: &TargetGroup| Some((group.arn.clone(), group.load_balancers.first()?.clone()));
        self.green.iter().chain(&self.blue).filter_map(own).collect()
    }

    /// Blue's day before the window.
    fn day(&self, counted: Counted, to: DateTime<Utc>) -> DayWindow {
        DayWindow {
            counted,
            groups: arns(&self.blue),
            load_balancers: self.load_balancers(),
            zones: self.balancers.iter().map(|balancer| (balancer.arn.clone(), balancer.zones.clone())).collect(),
            from: to - TimeDelta::days(1),
            to,
        }
    }
}

/// A target group that has metrics.
fn group(cloud: &dyn Cloud, wanted: &str, option: &str) -> Result<TargetGroup, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let found = if wanted.starts_with("arn:") && wanted.contains(":targetgroup/") {
        match cloud.target_groups(&[wanted.to_owned()]) {
            Err(error) if error.cause == Cause::NotFound => None,
            found => found?.into_iter().next(),
        }
    } else if !wanted.is_empty() && wanted.len() <= 32 && wanted.chars().all(plain) {
        cloud.target_group_named(wanted)?
    } else {
        return Err(Failure::usage(format!("`{wanted}` is neither the name nor the ARN of a target group"))
            .hint(format!("give names or ARNs with `{option}`, several separated by commas")));
    };
    let Some(group) = found else {
        return Err(Failure::usage(format!("there is no target group `{wanted}`")).hint(format!(
            "check `{option}`, the region and the account; `aws elbv2 describe-target-groups` lists those that exist"
        )));
    };
    if group.load_balancers.is_empty() {
        return Err(Failure::usage(format!("the target group {} has no load balancer", group.name)).hint(
            "without one CloudWatch has no requests of it; `migrate judge RUN` judges a run that is over, by its journal",
        ));
    }
    Ok(group)
}

fn arns(groups: &[TargetGroup]) -> Vec<String> {
    groups.iter().map(|group| group.arn.clone()).collect()
}

fn names(groups: &[TargetGroup]) -> String {
    groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// What the 24 hours before say.
fn described(history: &History, limit: f64) -> String {
    let slow = history.slow.map_or_else(
        || "slow requests are not counted, the 99th percentiles are compared".to_owned(),
        |slow| format!("slow is above {:.3} s and {:.3} s", slow[0].bound, slow[1].bound),
    );
    format!(
        "by blue's 24 h before: {:.2}% failed, phi {:.1}, hard limit {:.2}%; {slow}",
        history.errors.rate * 100.0,
        history.errors.phi,
        limit * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_by_table() {
        for (text, minutes) in [("2h", 120), ("90m", 90), ("1m", 1), ("61s", 2), ("15d", 21_600), ("1h 30m", 90)] {
            assert_eq!(read_since(text).unwrap(), TimeDelta::minutes(minutes), "{text}");
        }
        for (text, told) in [
            ("0", "such as"),
            ("0s", "less than a minute"),
            ("59s", "less than a minute"),
            ("16d", "15 days"),
            ("15d1s", "15 days"),
            ("-2h", "such as"),
            ("", "such as"),
            ("2", "such as"),
            ("9999999999999y", "such as"),
        ] {
            assert!(read_since(text).unwrap_err().contains(told), "{text}: {:?}", read_since(text));
        }
    }
}
