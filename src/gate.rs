//! The judge: is green at least as good as blue, by what was seen?
//!
//! Pure: criteria and evidence in, one [`Judgement`] out. Missing data is never health (invariant 7):
//! a monitoring that cannot be read, or that has gone silent, is the verdict "cannot see", and too
//! few requests are "not enough evidence"; neither ever rolls back or advances a run.
//!
//! Two kinds of gates stand side by side, and the worst verdict holds. What is counted is judged
//! with a declared chance of a false rollback: the plan fixes a [`protocol::Protocol`], the minutes
//! of the journal make a [`ledger::Ledger`] of it, and [`course::Course`] is its verdict; [`trial`]
//! says why the promise holds. What people have set bounds for themselves is outside of that
//! promise: alarms, levels of their own metrics, a ceiling of latency; so are dead tasks. And nothing
//! goes on before enough was seen for what the next stage puts at stake ([`exposure`]).

pub mod account;
pub mod combination;
pub mod count;
pub mod course;
pub mod day;
pub mod dispersion;
mod distribution;
pub mod exposure;
pub mod ledger;
pub mod limit;
pub mod minute;
pub mod outlook;
pub mod protocol;
pub mod question;
pub mod share;
pub mod silence;
pub mod tail;
pub mod trial;
mod wealth;
pub mod what_if;

mod levels;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::count::{Count, Pair};
use self::course::Course;
pub use self::exposure::Next;
use self::ledger::Ledger;
pub use self::levels::{Level, LevelQuery, LevelSource, Whose};
use self::minute::median;
pub use self::minute::{Counts, Minute, Tally};
use self::outlook::Traffic;

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
}

/// What green is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Baseline {
    /// Blue in the same minutes.
    #[default]
    Beside,
    /// Blue in the minutes directly before the shift, mirrored: where all traffic moves at once, only one
    /// side has any at a time.
    Past,
}

/// What else is asked of green, as the playbook sets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Criteria {
    pub counted: Counted,
    /// Metrics of the user's own with bounds.
    pub levels: Vec<Level>,
    /// Seconds.
    pub latency_ceiling: Option<f64>,
    /// Requests that green must have answered in the stage.
    pub min_requests: u64,
    /// Tasks that green should have.
    pub wanted_hosts: u32,
    /// What the next stage puts at stake; `None` for the last.
    pub next: Option<Next>,
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
    /// Why CloudWatch could not be read now, if it could not.
    pub unread: Option<String>,
    /// Minutes that are wholly the present stage's, oldest first.
    pub stage: Vec<Minute>,
    /// Minutes directly before the stage's shift, or before now where nothing has moved yet; oldest first.
    pub before: Vec<Minute>,
    /// Every minute since green first had traffic, and how they are judged.
    pub ledger: Ledger,
}

/// A verdict with the numbers it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub verdict: Verdict,
    /// Whether something speaks against going on, and not only too little was seen.
    #[serde(default)]
    pub against: bool,
    /// A sentence with the numbers.
    pub reason: String,
    /// The present stage.
    pub tally: Tally,
    pub healthy_hosts: u32,
    /// What is counted, weighed; `None` before green has traffic, or where nothing is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighed: Option<Weighed>,
}

/// The evidence against green, beside what it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// The metric that drives the verdict.
    pub metric: String,
    /// At least 1.
    pub phi: f64,
    /// Natural logarithm of the evidence of all metrics together.
    pub log_e_slow: f64,
    /// The same, uncapped.
    pub log_e_fast: f64,
    /// Natural logarithm of the slow evidence that rolls back.
    pub log_e_needed: f64,
}

/// Settled minutes in a row that must all be beyond a level's bound.
pub const IN_A_ROW: usize = 3;
/// The sliding window beside the whole stage, for a ceiling of latency.
const RECENT_MINUTES: usize = 5;
/// Minutes that a ceiling of latency must have seen.
const LATENCY_MINUTES: usize = 3;

/// What speaks against a verdict of "healthy".
#[derive(Debug, Clone, PartialEq)]
struct Objection {
    verdict: Verdict,
    against: bool,
    reason: String,
}

impl Objection {
    /// Something is wrong.
    fn against(verdict: Verdict, reason: impl Into<String>) -> Option<Objection> {
        Some(Objection { verdict, against: true, reason: reason.into() })
    }

    /// Something is not known.
    fn unknown(verdict: Verdict, reason: impl Into<String>) -> Option<Objection> {
        Some(Objection { verdict, against: false, reason: reason.into() })
    }
}

/// Judges green by what was seen.
pub fn judge(criteria: &Criteria, evidence: &Evidence) -> Judgement {
    let tally = Tally::of(&evidence.stage);
    let judged = evidence.exposed && !evidence.ledger.metrics.is_empty();
    let course = judged.then(|| Course::of(&evidence.ledger));
    let objections: Vec<Objection> = [
        alarms(evidence),
        hosts(criteria, evidence),
        unread(evidence),
        course.as_ref().and_then(objection),
        latency(criteria, &evidence.stage),
        volume(criteria, evidence, &tally),
        exposed_enough(criteria, evidence, &tally),
        speed(criteria, evidence),
        levels::objection(&criteria.levels, evidence),
    ]
    .into_iter()
    .flatten()
    .collect();
    let against = objections.iter().any(|objection| objection.against);
    let weighed = course.as_ref().and_then(|course| Weighed::of(&evidence.ledger, course));
    let (verdict, reason) = worst(objections).map_or_else(
        || (Verdict::Healthy, healthy_reason(criteria, evidence, course.as_ref())),
        |worst| (worst.verdict, worst.reason),
    );
    Judgement { verdict, against, reason, tally, healthy_hosts: evidence.healthy_hosts, weighed }
}

/// The worst objection; of equals the first.
fn worst(objections: impl IntoIterator<Item = Objection>) -> Option<Objection> {
    objections.into_iter().fold(None, |worst: Option<Objection>, next| match worst {
        Some(held) if held.verdict >= next.verdict => Some(held),
        _ => Some(next),
    })
}

fn objection(course: &Course) -> Option<Objection> {
    let (verdict, reason) = (course.verdict, course.reason.clone());
    (verdict != Verdict::Healthy).then_some(Objection { verdict, against: course.against, reason })
}

impl Weighed {
    /// `None` where nothing is counted.
    pub fn of(ledger: &Ledger, course: &Course) -> Option<Weighed> {
        let metric = ledger.metrics.get(course.driver?)?;
        let last = course.evidence.last().copied().unwrap_or_default();
        Some(Weighed {
            metric: metric.name.clone(),
            phi: metric.phi,
            log_e_slow: last.slow,
            log_e_fast: last.fast,
            log_e_needed: -ledger.false_rollback.ln(),
        })
    }
}

fn alarms(evidence: &Evidence) -> Option<Objection> {
    let states = match &evidence.alarms {
        Ok(states) => states,
        Err(why) => return Objection::unknown(Verdict::CannotSee, format!("the alarms cannot be read: {why}")),
    };
    if let Some((name, _)) = states.iter().find(|(_, state)| *state == "ALARM") {
        return Objection::against(Verdict::Degraded, format!("alarm {name} is in ALARM"));
    }
    let missing: Vec<&str> =
        evidence.alarms_named.iter().filter(|n| !states.contains_key(*n)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Objection::unknown(Verdict::CannotSee, format!("no such alarm: {}", missing.join(", ")));
    }
    let undecided: Vec<&str> = states.iter().filter(|(_, s)| *s != "OK").map(|(n, _)| n.as_str()).collect();
    // Before green has traffic, an alarm on its metrics cannot have data.
    if !evidence.exposed || undecided.is_empty() {
        return None;
    }
    Objection::unknown(Verdict::NotEnoughEvidence, format!("alarm {} has insufficient data", undecided.join(", ")))
}

fn hosts(criteria: &Criteria, evidence: &Evidence) -> Option<Objection> {
    let (healthy, wanted) = (evidence.healthy_hosts, criteria.wanted_hosts);
    if healthy >= wanted {
        return None;
    }
    let numbers = match criteria.counted {
        Counted::Nothing => format!("{healthy} of {wanted} tasks run"),
        Counted::Requests | Counted::Flows => format!("{healthy} of {wanted} green targets are healthy"),
    };
    if healthy * 2 <= wanted {
        return Objection::against(Verdict::Degraded, numbers);
    }
    // A shift waits for its targets by itself.
    Objection::unknown(Verdict::NotEnoughEvidence, numbers)
}

fn unread(evidence: &Evidence) -> Option<Objection> {
    let why = evidence.unread.as_ref()?;
    Objection::unknown(Verdict::CannotSee, format!("CloudWatch cannot be read: {why}"))
}

/// Whether most minutes are slower than the ceiling, of the whole stage or of the last few.
fn latency(criteria: &Criteria, stage: &[Minute]) -> Option<Objection> {
    let ceiling = criteria.latency_ceiling?;
    let recent = &stage[stage.len().saturating_sub(RECENT_MINUTES)..];
    worst([stage, recent].into_iter().filter_map(|window| latency_window(ceiling, window)))
}

fn latency_window(ceiling: f64, minutes: &[Minute]) -> Option<Objection> {
    let seen: Vec<(f64, Option<f64>)> =
        minutes.iter().filter_map(|m| m.green.latency.map(|g| (g, m.blue.latency))).collect();
    let slow = seen.iter().filter(|(green, _)| *green > ceiling).count();
    if seen.len() < LATENCY_MINUTES || slow * 2 <= seen.len() {
        return None;
    }
    let green = median(seen.iter().map(|(g, _)| *g))?;
    let blue = median(seen.iter().filter_map(|(_, b)| *b));
    let shown = blue.map_or_else(|| "unknown".to_owned(), |b| format!("{b:.3} s"));
    let numbers = format!("green answers in {green:.3} s, blue in {shown} (median of {} min)", seen.len());
    if blue.is_some_and(|b| b > ceiling) {
        let text = format!("{numbers}; both are above the ceiling of {ceiling} s: not green's fault");
        return Objection::against(Verdict::NotEnoughEvidence, text);
    }
    Objection::against(Verdict::Degraded, format!("{numbers}; above the ceiling of {ceiling} s"))
}

/// Whether green has answered enough requests to be called healthy.
fn volume(criteria: &Criteria, evidence: &Evidence, tally: &Tally) -> Option<Objection> {
    if !evidence.exposed || criteria.counted == Counted::Nothing {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a request count far below 2^52")]
    let wanted = criteria.min_requests as f64;
    if tally.green_requests >= wanted {
        return None;
    }
    let did = if criteria.counted == Counted::Flows { "had" } else { "answered" };
    let text = format!(
        "green has {did} {:.0} of the {wanted:.0} {} that the gate wants ({} settled min)",
        tally.green_requests,
        criteria.counted.noun(),
        tally.minutes
    );
    Objection::unknown(Verdict::NotEnoughEvidence, text)
}

/// Whether what was seen rules out what the next stage could not afford.
fn exposed_enough(criteria: &Criteria, evidence: &Evidence, tally: &Tally) -> Option<Objection> {
    let next = criteria.next.filter(|_| evidence.exposed && criteria.counted != Counted::Nothing)?;
    let ledger = &evidence.ledger;
    let judged = Traffic::judged(&ledger.metrics, ledger.false_rollback, ledger.starts.at_a_start())?;
    let seen = Pair {
        green: Count::new(tally.green_requests, tally.green_bad),
        blue: Count::new(tally.blue_requests, tally.blue_bad),
    };
    // A minute that was not reported does not make the traffic smaller, and the stakes with it.
    let reported = |minute: &&Minute| minute.green.requests.is_some() || minute.blue.requests.is_some();
    let minutes = u32::try_from(evidence.stage.iter().filter(reported).count()).unwrap_or(u32::MAX).max(1);
    let stage = Traffic {
        requests_per_minute: (seen.green.requests + seen.blue.requests) / f64::from(minutes),
        share: seen.share().unwrap_or(0.0),
        blue_rate: seen.blue.rate(),
        ..judged
    };
    let asked = next.asks(&stage, &seen);
    if asked.suffices() {
        return None;
    }
    let noun = criteria.counted.noun();
    let text = format!(
        "green may fail up to {} ({:.0} of {:.0} {noun}, 95% sure), and the next stage, of {}, affords {}: it takes \
         about {:.0} {noun} without a failure",
        percent(asked.bound.min(1.0)),
        tally.green_bad,
        tally.green_requests,
        percent(next.share),
        percent(asked.allowed()),
        asked.clean_requests().ceil()
    );
    Objection::unknown(Verdict::NotEnoughEvidence, text)
}

fn percent(fraction: f64) -> String {
    let text = format!("{:.2}", fraction * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Whether green's latency has been seen for long enough, where a ceiling asks for it.
fn speed(criteria: &Criteria, evidence: &Evidence) -> Option<Objection> {
    if !evidence.exposed || criteria.counted != Counted::Requests || criteria.latency_ceiling.is_none() {
        return None;
    }
    let seen = evidence.stage.iter().filter(|m| m.green.latency.is_some()).count();
    if seen >= LATENCY_MINUTES {
        return None;
    }
    let text = format!("green's latency has been reported for {seen} of the {LATENCY_MINUTES} min that it takes");
    Objection::unknown(Verdict::NotEnoughEvidence, text)
}

fn healthy_reason(criteria: &Criteria, evidence: &Evidence, course: Option<&Course>) -> String {
    let levels = levels::shown(&criteria.levels, &evidence.stage);
    if let Some(course) = course {
        return format!("{}{levels}", course.reason);
    }
    let (healthy, wanted) = (evidence.healthy_hosts, criteria.wanted_hosts);
    if criteria.counted != Counted::Nothing {
        return format!("{healthy} of {wanted} green targets are healthy{levels}");
    }
    let tasks = match (evidence.exposed, wanted) {
        (true, _) => format!("{healthy} of {wanted} green tasks run"),
        (false, 0) => "green is to run no task yet".to_owned(),
        (false, _) => format!("{healthy} of {wanted} tasks run"),
    };
    let alarms = match evidence.alarms_named.len() {
        0 => String::new(),
        // Before a shift an alarm without data is no objection, but it is not OK either.
        _ if !evidence.exposed => ", no alarm is in ALARM".to_owned(),
        1 => ", 1 alarm is OK".to_owned(),
        alarms => format!(", {alarms} alarms are OK"),
    };
    format!("{tasks}{alarms}{levels}")
}
