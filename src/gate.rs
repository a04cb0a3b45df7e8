//! The judge: is green at least as good as blue, by what was seen?
//!
//! Pure: criteria and evidence in, one [`Judgement`] out. Missing data is never health (invariant 7):
//! a monitoring that cannot be read, or that has gone silent, is the verdict "cannot see", and too
//! few requests are "not enough evidence"; neither ever rolls back or advances a run.
//!
//! This is a first gate: ceilings, and ratios to blue over the same minutes. It judges the whole
//! window and its last five minutes, so a fault that begins late is not hidden by good hours before.
//! A statistical judge will replace the insides of [`judge`]; its signature is the seam.
//!
//! That judge is in the modules here, and `migrate judge` runs it over past minutes: counts
//! ([`ledger::Ledger`]) in, the verdict over time ([`course::Course`]) out. [`trial`] says why its
//! promise holds.

pub mod account;
pub mod combination;
pub mod count;
pub mod course;
pub mod dispersion;
mod distribution;
pub mod exposure;
pub mod ledger;
pub mod limit;
pub mod outlook;
pub mod share;
pub mod silence;
pub mod tail;
pub mod trial;
mod wealth;
pub mod what_if;

mod levels;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::levels::{Level, LevelQuery, LevelSource};

/// What the gate concludes. The order is from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Healthy,
    /// Nothing speaks against green, but too little was seen to say so.
    NotEnoughEvidence,
    /// The monitoring does not answer, or has gone silent.
    CannotSee,
    /// Green is worse than the criteria allow.
    Degraded,
}

impl Verdict {
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::NotEnoughEvidence => "not enough evidence",
            Verdict::CannotSee => "cannot see",
            Verdict::Degraded => "degraded",
        }
    }
}

/// What can be counted of the traffic, which depends on what is in front of the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Requests and their failures, by an Application Load Balancer.
    #[default]
    Requests,
    /// Flows and resets, by a Network Load Balancer.
    Flows,
    /// Nothing: there is no load balancer. Tasks, alarms and metrics of the user's own must do.
    Nothing,
}

impl Counted {
    /// What one of them is called, in the plural.
    pub fn noun(self) -> &'static str {
        match self {
            Counted::Flows => "flows",
            Counted::Requests | Counted::Nothing => "requests",
        }
    }

    /// What a side does that goes wrong with some of them.
    fn verb(self) -> &'static str {
        match self {
            Counted::Flows => "resets",
            Counted::Requests | Counted::Nothing => "fails",
        }
    }
}

/// What green is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Baseline {
    /// Blue in the same minutes.
    #[default]
    Beside,
    /// Blue in as many minutes directly before the shift: where all traffic moves at once, only one
    /// side has any at a time.
    Past,
}

/// Bounds, as the playbook sets them.
#[derive(Debug, Clone, PartialEq)]
pub struct Criteria {
    pub counted: Counted,
    pub baseline: Baseline,
    /// Metrics of the user's own.
    pub levels: Vec<Level>,
    /// Error rate from 0 to 1.
    pub error_ceiling: f64,
    /// Factor to blue's error rate, at least 1.
    pub error_ratio: f64,
    /// Seconds.
    pub latency_ceiling: Option<f64>,
    /// Factor to blue's latency, at least 1.
    pub latency_ratio: Option<f64>,
    /// Requests that green must have answered.
    pub min_requests: u64,
    /// Tasks that green should have.
    pub wanted_hosts: u32,
}

/// One minute of both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Minute {
    pub start: DateTime<Utc>,
    pub green: Counts,
    pub blue: Counts,
    /// What the user's own metrics show, by name; what is not reported is not there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub levels: BTreeMap<String, f64>,
}

/// What one side answered in a minute. A number that CloudWatch did not report is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// `RequestCount`, summed over the side's target groups; of flows `NewFlowCount`.
    pub requests: Option<f64>,
    /// `HTTPCode_Target_5XX_Count` + `TargetConnectionErrorCount` + `TargetTLSNegotiationErrorCount`. Of
    /// flows, `TCP_Target_Reset_Count` + `TCP_ELB_Reset_Count` + `PortAllocationErrorCount` of the side's
    /// load balancers, whose target groups do not report them.
    pub bad: Option<f64>,
    /// Seconds; the worst of the side's target groups.
    pub latency: Option<f64>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Healthy targets in green's worst target group.
    pub healthy_hosts: u32,
    /// Whether green receives traffic at all; without, only hosts, alarms and the monitoring itself count.
    pub exposed: bool,
    /// State by name of every alarm that the playbook names and that exists; or why they could not be read.
    pub alarms: Result<BTreeMap<String, String>, String>,
    /// Names of all alarms that the playbook names.
    pub alarms_named: Vec<String>,
    /// Settled minutes since the shift, oldest first; or why they could not be read.
    pub minutes: Result<Vec<Minute>, String>,
    /// Minutes directly before the shift, or before now where nothing has moved yet; oldest first.
    pub before: Vec<Minute>,
}

/// Sums over a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub minutes: u32,
    pub green_requests: f64,
    pub green_bad: f64,
    pub blue_requests: f64,
    pub blue_bad: f64,
    /// Seconds: the median minute's latency.
    pub green_latency: Option<f64>,
    pub blue_latency: Option<f64>,
}

/// A verdict with the numbers it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub verdict: Verdict,
    /// A sentence with the numbers.
    pub reason: String,
    pub tally: Tally,
    pub healthy_hosts: u32,
}

/// Silence of this many settled minutes in a row is blindness.
pub const SILENT_MINUTES: usize = 3;
/// Settled minutes in a row that must all be beyond a level's bound.
pub const IN_A_ROW: usize = 3;
/// Green requests expected in the silent minutes, below which silence is only low traffic.
pub const EXPECTED_REQUESTS: f64 = 20.0;
/// Requests that blue must have answered for its error rate to be compared with.
pub const COMPARABLE_REQUESTS: f64 = 50.0;
/// Fewer failures than this never condemn green, whatever the rate.
pub const FAILURES_MIN: f64 = 5.0;
/// Standard deviations of a Poisson count by which green's failures must exceed what the ratio to
/// blue allows: a healthy green is looked at hundreds of times, and must not be condemned by luck.
const CHANCE_DEVIATIONS: f64 = 3.0;
/// The sliding window beside the whole one.
const RECENT_MINUTES: usize = 5;
/// Error rate that is added to blue's before the ratio, so that a spotless blue does not make one
/// failure infinitely worse.
const RATE_FLOOR: f64 = 1e-3;
/// Minutes that a latency criterion must have seen.
const LATENCY_MINUTES: usize = 3;

/// Judges green by what was seen.
pub fn judge(criteria: &Criteria, evidence: &Evidence) -> Judgement {
    let empty = Vec::new();
    let since = evidence.minutes.as_ref().unwrap_or(&empty);
    let minutes = match criteria.baseline {
        Baseline::Beside => Cow::Borrowed(since),
        Baseline::Past => Cow::Owned(beside_past(since, &evidence.before)),
    };
    let minutes: &[Minute] = &minutes;
    let tally = tally(minutes);
    let (verdict, reason) = worst([
        alarms(evidence),
        hosts(criteria, evidence),
        sight(criteria, evidence, minutes),
        errors(criteria, evidence, minutes),
        latency(criteria, minutes),
        volume(criteria, evidence, &tally),
        speed(criteria, evidence, minutes),
        levels::objection(&criteria.levels, evidence, since, &evidence.before),
    ])
    .unwrap_or_else(|| {
        let levels = levels::shown(&criteria.levels, since);
        (Verdict::Healthy, healthy_reason(criteria, evidence, &tally) + &levels)
    });
    Judgement { verdict, reason, tally, healthy_hosts: evidence.healthy_hosts }
}

/// The minutes since the shift with blue's past in the place of its present, the newest beside the newest.
fn beside_past(since: &[Minute], before: &[Minute]) -> Vec<Minute> {
    let mut past = before.iter().rev();
    let mut paired: Vec<Minute> = since
        .iter()
        .rev()
        .map(|minute| Minute { blue: past.next().map_or_else(Counts::default, |m| m.blue), ..minute.clone() })
        .collect();
    paired.reverse();
    paired
}

type Objection = Option<(Verdict, String)>;

/// The worst objection; of equals the first.
fn worst(objections: impl IntoIterator<Item = Objection>) -> Objection {
    objections.into_iter().flatten().fold(None, |worst: Objection, next| match worst {
        Some(held) if held.0 >= next.0 => Some(held),
        _ => Some(next),
    })
}

fn alarms(evidence: &Evidence) -> Objection {
    let states = match &evidence.alarms {
        Ok(states) => states,
        Err(why) => return Some((Verdict::CannotSee, format!("the alarms cannot be read: {why}"))),
    };
    if let Some((name, _)) = states.iter().find(|(_, state)| *state == "ALARM") {
        return Some((Verdict::Degraded, format!("alarm {name} is in ALARM")));
    }
    let missing: Vec<&str> =
        evidence.alarms_named.iter().filter(|n| !states.contains_key(*n)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Some((Verdict::CannotSee, format!("no such alarm: {}", missing.join(", "))));
    }
    let undecided: Vec<&str> = states.iter().filter(|(_, s)| *s != "OK").map(|(n, _)| n.as_str()).collect();
    // Before green has traffic, an alarm on its metrics cannot have data.
    (evidence.exposed && !undecided.is_empty())
        .then(|| (Verdict::NotEnoughEvidence, format!("alarm {} has insufficient data", undecided.join(", "))))
}

fn hosts(criteria: &Criteria, evidence: &Evidence) -> Objection {
    let (healthy, wanted) = (evidence.healthy_hosts, criteria.wanted_hosts);
    if healthy >= wanted {
        return None;
    }
    let numbers = match criteria.counted {
        Counted::Nothing => format!("{healthy} of {wanted} tasks run"),
        Counted::Requests | Counted::Flows => format!("{healthy} of {wanted} green targets are healthy"),
    };
    if healthy * 2 <= wanted { Some((Verdict::Degraded, numbers)) } else { Some((Verdict::NotEnoughEvidence, numbers)) }
}

/// Whether the monitoring answers and still reports.
fn sight(criteria: &Criteria, evidence: &Evidence, minutes: &[Minute]) -> Objection {
    if let Err(why) = &evidence.minutes {
        return Some((Verdict::CannotSee, format!("CloudWatch cannot be read: {why}")));
    }
    if let Some(minute) = minutes.iter().chain(&evidence.before).find(|m| absurd(m)) {
        let at = minute.start.format("%H:%M");
        return Some((Verdict::CannotSee, format!("CloudWatch reports an impossible number for minute {at}")));
    }
    if criteria.counted == Counted::Nothing {
        return None;
    }
    let silent = minutes.iter().rev().take_while(|m| amount(m.green.requests) == 0.0);
    let silent: Vec<&Minute> = silent.collect();
    if !evidence.exposed || silent.len() < SILENT_MINUTES {
        return None;
    }
    let blue: f64 = silent.iter().map(|m| amount(m.blue.requests)).sum();
    let heard = &minutes[..minutes.len() - silent.len()];
    let before = tally(heard);
    if before.green_requests + before.blue_requests + blue == 0.0 {
        // Neither side was ever heard in this window: low traffic, which `volume` speaks of.
        return None;
    }
    if blue == 0.0 {
        let text = format!("no data for green or blue in the last {} minutes", silent.len());
        return Some((Verdict::CannotSee, text));
    }
    let odds = match criteria.baseline {
        // All that blue had is green's now.
        Baseline::Past => 1.0,
        Baseline::Beside if before.blue_requests > 0.0 => before.green_requests / before.blue_requests,
        Baseline::Beside => 0.0,
    };
    (odds * blue >= EXPECTED_REQUESTS).then(|| {
        let text = format!(
            "no data for green in the last {} minutes while {} {blue:.0} {}",
            silent.len(),
            had(criteria),
            criteria.counted.noun()
        );
        (Verdict::CannotSee, text)
    })
}

/// What blue did with as many, in words.
fn had(criteria: &Criteria) -> &'static str {
    match (criteria.baseline, criteria.counted) {
        (Baseline::Past, _) => "blue had before the shift",
        (_, Counted::Flows) => "blue had",
        _ => "blue answered",
    }
}

fn absurd(minute: &Minute) -> bool {
    let wrong = |c: &Counts| [c.requests, c.bad, c.latency].into_iter().flatten().any(|n| !n.is_finite() || n < 0.0);
    wrong(&minute.green) || wrong(&minute.blue) || minute.levels.values().any(|n| !n.is_finite())
}

fn amount(number: Option<f64>) -> f64 {
    number.filter(|n| n.is_finite() && *n > 0.0).unwrap_or(0.0)
}

fn tally(minutes: &[Minute]) -> Tally {
    let mut tally = Tally { minutes: u32::try_from(minutes.len()).unwrap_or(u32::MAX), ..Tally::default() };
    for minute in minutes {
        let (green, blue) = (amount(minute.green.requests), amount(minute.blue.requests));
        tally.green_requests += green;
        tally.blue_requests += blue;
        // A 5xx count without requests is a late request count; it cannot exceed them.
        tally.green_bad += amount(minute.green.bad).min(green);
        tally.blue_bad += amount(minute.blue.bad).min(blue);
    }
    tally.green_latency = median(minutes.iter().filter_map(|m| m.green.latency));
    tally.blue_latency = median(minutes.iter().filter_map(|m| m.blue.latency));
    tally
}

fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = numbers.filter(|n| n.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn rate(bad: f64, requests: f64) -> f64 {
    if requests > 0.0 { bad / requests } else { 0.0 }
}

fn errors(criteria: &Criteria, evidence: &Evidence, minutes: &[Minute]) -> Objection {
    if !evidence.exposed {
        return None;
    }
    let recent = &minutes[minutes.len().saturating_sub(RECENT_MINUTES)..];
    worst([minutes, recent].map(|window| error_window(criteria, &tally(window))))
}

fn error_window(criteria: &Criteria, tally: &Tally) -> Objection {
    if tally.green_bad < FAILURES_MIN {
        return None;
    }
    // Until enough requests are in, count the missing ones as good: what exceeds a bound even then
    // needs no more evidence.
    #[expect(clippy::cast_precision_loss, reason = "a request count far below 2^52")]
    let requests = tally.green_requests.max(criteria.min_requests as f64);
    let green = rate(tally.green_bad, requests);
    let blue = rate(tally.blue_bad, tally.blue_requests);
    let numbers = rates(criteria, tally);
    let bound = criteria.error_ratio * (blue + RATE_FLOOR);
    // A ratio needs two sides: at 100 % blue answers nothing, and its rate is no 0.
    let comparable = tally.blue_requests >= COMPARABLE_REQUESTS;
    let expected = requests * bound;
    let beyond_chance = tally.green_bad > expected + CHANCE_DEVIATIONS * expected.sqrt();
    let (worse, above) = (comparable && beyond_chance, green > criteria.error_ceiling);
    match (worse, above, blue > criteria.error_ceiling) {
        (true, true, _) => Some((
            Verdict::Degraded,
            format!(
                "{numbers}; above the ceiling of {} and {:.1} times blue",
                percent(criteria.error_ceiling),
                times(green, blue)
            ),
        )),
        (true, false, _) => {
            Some((Verdict::Degraded, format!("{numbers}; more than {} times blue allows", criteria.error_ratio)))
        }
        (false, true, false) => {
            Some((Verdict::Degraded, format!("{numbers}; above the ceiling of {}", percent(criteria.error_ceiling))))
        }
        // Both sides fail alike: going home would not help, and going on would not be wise.
        (false, true, true) => Some((
            Verdict::NotEnoughEvidence,
            format!("{numbers}; both are above the ceiling of {}: not green's fault", percent(criteria.error_ceiling)),
        )),
        (false, false, _) => None,
    }
}

/// How often both sides fail, with the numbers.
fn rates(criteria: &Criteria, tally: &Tally) -> String {
    let past = if criteria.baseline == Baseline::Past { " before the shift" } else { "" };
    format!(
        "green {} {} ({:.0} of {:.0} {} in {} min), blue{past} {} ({:.0} of {:.0})",
        criteria.counted.verb(),
        percent(rate(tally.green_bad, tally.green_requests)),
        tally.green_bad,
        tally.green_requests,
        criteria.counted.noun(),
        tally.minutes,
        percent(rate(tally.blue_bad, tally.blue_requests)),
        tally.blue_bad,
        tally.blue_requests,
    )
}

fn times(green: f64, blue: f64) -> f64 {
    green / blue.max(RATE_FLOOR)
}

fn percent(fraction: f64) -> String {
    format!("{:.2}%", fraction * 100.0)
}

fn latency(criteria: &Criteria, minutes: &[Minute]) -> Objection {
    if criteria.latency_ceiling.is_none() && criteria.latency_ratio.is_none() {
        return None;
    }
    let recent = &minutes[minutes.len().saturating_sub(RECENT_MINUTES)..];
    worst([minutes, recent].map(|window| latency_window(criteria, window)))
}

fn latency_window(criteria: &Criteria, minutes: &[Minute]) -> Objection {
    let seen: Vec<(f64, Option<f64>)> =
        minutes.iter().filter_map(|m| m.green.latency.map(|g| (g, m.blue.latency))).collect();
    if seen.len() < LATENCY_MINUTES {
        return None;
    }
    let green = median(seen.iter().map(|(g, _)| *g))?;
    let blue = median(seen.iter().filter_map(|(_, b)| *b));
    let shown = blue.map_or_else(|| "unknown".to_owned(), |b| format!("{b:.3} s"));
    let numbers = format!("green answers in {green:.3} s, blue in {shown} (median of {} min)", seen.len());
    let majority =
        |slow: &dyn Fn(f64, Option<f64>) -> bool| seen.iter().filter(|(g, b)| slow(*g, *b)).count() * 2 > seen.len();
    if let Some(ratio) = criteria.latency_ratio
        && majority(&|g, b| b.is_some_and(|b| g > ratio * b))
    {
        return Some((Verdict::Degraded, format!("{numbers}; more than {ratio} times blue")));
    }
    let ceiling = criteria.latency_ceiling?;
    if !majority(&|g, _| g > ceiling) {
        return None;
    }
    if blue.is_some_and(|b| b > ceiling) {
        let text = format!("{numbers}; both are above the ceiling of {ceiling} s: not green's fault");
        return Some((Verdict::NotEnoughEvidence, text));
    }
    Some((Verdict::Degraded, format!("{numbers}; above the ceiling of {ceiling} s")))
}

/// Whether green has answered enough requests to be called healthy.
fn volume(criteria: &Criteria, evidence: &Evidence, tally: &Tally) -> Objection {
    if !evidence.exposed || criteria.counted == Counted::Nothing {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a request count far below 2^52")]
    let wanted = criteria.min_requests as f64;
    if tally.green_requests < wanted {
        let did = if criteria.counted == Counted::Flows { "had" } else { "answered" };
        let text = format!(
            "green has {did} {:.0} of the {wanted:.0} {} that the gate wants ({} settled min)",
            tally.green_requests,
            criteria.counted.noun(),
            tally.minutes
        );
        return Some((Verdict::NotEnoughEvidence, text));
    }
    None
}

/// Whether green's latency has been seen for long enough, where it counts.
fn speed(criteria: &Criteria, evidence: &Evidence, minutes: &[Minute]) -> Objection {
    if !evidence.exposed || criteria.counted != Counted::Requests {
        return None;
    }
    if criteria.latency_ceiling.is_none() && criteria.latency_ratio.is_none() {
        return None;
    }
    // A ratio alone has nothing to say where blue reports no latency either, as at 100 %.
    let comparable = criteria.latency_ceiling.is_some() || minutes.iter().any(|m| m.blue.latency.is_some());
    let seen = minutes.iter().filter(|m| m.green.latency.is_some()).count();
    (comparable && seen < LATENCY_MINUTES).then(|| {
        let text = format!("green's latency has been reported for {seen} of the {LATENCY_MINUTES} min that it takes");
        (Verdict::NotEnoughEvidence, text)
    })
}

fn healthy_reason(criteria: &Criteria, evidence: &Evidence, tally: &Tally) -> String {
    let (healthy, wanted) = (evidence.healthy_hosts, criteria.wanted_hosts);
    if criteria.counted == Counted::Nothing {
        let tasks = match (evidence.exposed, wanted) {
            (true, _) => format!("{healthy} of {wanted} green tasks run"),
            (false, 0) => "green is to run no task yet".to_owned(),
            (false, _) => format!("{healthy} of {wanted} tasks run"),
        };
        return match evidence.alarms_named.len() {
            0 => tasks,
            // Before a shift an alarm without data is no objection, but it is not OK either.
            _ if !evidence.exposed => format!("{tasks}, no alarm is in ALARM"),
            1 => format!("{tasks}, 1 alarm is OK"),
            alarms => format!("{tasks}, {alarms} alarms are OK"),
        };
    }
    if !evidence.exposed {
        return format!("{healthy} of {wanted} green targets are healthy");
    }
    let latency = match (tally.green_latency, tally.blue_latency) {
        (Some(green), Some(blue)) => format!(", latency {green:.3} s to {blue:.3} s"),
        (Some(green), None) => format!(", latency {green:.3} s"),
        _ if criteria.latency_ratio.is_some() => ", latency not judged: none is reported".to_owned(),
        _ => String::new(),
    };
    format!("{}{latency}", rates(criteria, tally))
}
