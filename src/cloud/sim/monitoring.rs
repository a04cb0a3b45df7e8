//! How CloudWatch's answers differ from what happened: late, revised, absurd, of one side only, or none.
//!
//! What is reported is changed on its way out; what happened stays as it was drawn. Each disturbance has
//! a time, so a test can say that it begins, and that it is over.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::episodes::Side;
use super::faults::failed;
use super::metrics::GET_METRICS;
use super::universe::Universe;
use crate::cloud::{Cause, CloudError, Counts, Minute};

/// Something that is wrong with the monitoring for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbance {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub kind: DisturbanceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisturbanceKind {
    /// Nothing can be read in this time, of any minute: alarms and metrics.
    Outage,
    /// Answers break off in this time: some of the metrics come, and then an error.
    Partial,
    /// The minutes of this time are not there until so many minutes after their end.
    Late { minutes: u32 },
    /// The minutes of this time gain so many failures of a side, so many minutes after their end.
    Revised { side: Side, minutes: u32, bad: f64 },
    /// The minutes of this time are never reported of a side.
    Unreported(Side),
    /// The minutes of this time have numbers of a side that cannot be.
    Absurd(Side, Absurd),
}

/// A number that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absurd {
    NotANumber,
    Endless,
    Negative,
    /// More than there is.
    Huge,
}

impl Absurd {
    pub const ALL: [Absurd; 4] = [Absurd::NotANumber, Absurd::Endless, Absurd::Negative, Absurd::Huge];

    fn number(self) -> f64 {
        match self {
            Absurd::NotANumber => f64::NAN,
            Absurd::Endless => f64::INFINITY,
            Absurd::Negative => -12.0,
            Absurd::Huge => 1e300,
        }
    }
}

impl Disturbance {
    fn covers(&self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.to
    }
}

impl Universe {
    /// Why nothing can be read of alarms or metrics now.
    pub(super) fn out(&self, operation: &str) -> Option<CloudError> {
        let now = |kind| self.disturbances.iter().any(|d| d.kind == kind && d.covers(self.now));
        if now(DisturbanceKind::Outage) {
            let text = "InternalServiceFault: The request processing has failed because of an unknown error";
            return Some(failed(operation, Cause::Unknown, text));
        }
        if operation == GET_METRICS && now(DisturbanceKind::Partial) {
            let text = "the answer breaks off (StatusCode PartialData, and no further page)";
            return Some(failed(operation, Cause::Unknown, text));
        }
        None
    }

    /// A minute as it is reported now.
    pub(super) fn reported(&self, mut minute: Minute) -> Minute {
        let end = minute.start + Duration::minutes(1);
        let start = minute.start;
        let passed = |minutes: u32| self.now >= end + Duration::minutes(i64::from(minutes));
        for disturbance in self.disturbances.iter().filter(|d| d.covers(start)) {
            match disturbance.kind {
                DisturbanceKind::Outage | DisturbanceKind::Partial => {}
                DisturbanceKind::Late { minutes } => {
                    if !passed(minutes) {
                        minute = Minute { start, ..Minute::default() };
                    }
                }
                DisturbanceKind::Revised { side, minutes, bad } => {
                    if passed(minutes) {
                        let counts = of(&mut minute, side);
                        counts.bad = Some(counts.bad.unwrap_or_default() + bad);
                    }
                }
                DisturbanceKind::Unreported(side) => *of(&mut minute, side) = Counts::default(),
                DisturbanceKind::Absurd(side, absurd) => {
                    let number = Some(absurd.number());
                    let counts = of(&mut minute, side);
                    (counts.requests, counts.bad, counts.client_errors) = (number, number, number);
                    (counts.latency, counts.samples, counts.slow) = (number, number, [number; 2]);
                    counts.unserved = number;
                    counts.own.values_mut().for_each(|own| *own = absurd.number());
                }
            }
        }
        minute
    }
}

fn of(minute: &mut Minute, side: Side) -> &mut Counts {
    match side {
        Side::Blue => &mut minute.blue,
        Side::Green => &mut minute.green,
    }
}
