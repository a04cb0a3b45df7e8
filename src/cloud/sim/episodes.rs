//! Times in which more or less happened than usual: a lull, an outage of what both sides need, a leak.
//!
//! An episode is about the world and not about what CloudWatch says of it ([`super::monitoring`]). It
//! takes whole minutes: those that begin within it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::traffic::{FOUND_GREEN, Traffic};
use super::universe::Universe;

/// Blue or green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Blue,
    Green,
}

/// A time that is unlike others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// `None`: both.
    pub side: Option<Side>,
    pub mood: Mood,
}

/// How requests go, beside how they would go anyway.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mood {
    /// Factor on their number.
    pub requests: f64,
    /// Error rate in addition, from 0 to 1.
    pub errors: f64,
    /// Part of the requests that no target answers in time, from 0 to 1: only the load balancer counts them.
    pub lost: f64,
    /// Factor on the latency.
    pub slowness: f64,
}

impl Default for Mood {
    fn default() -> Self {
        Mood { requests: 1.0, errors: 0.0, lost: 0.0, slowness: 1.0 }
    }
}

impl Traffic {
    /// How requests to a side go in a minute, all episodes together.
    pub(super) fn mood(&self, minute: DateTime<Utc>, green: bool) -> Mood {
        let side = if green { Side::Green } else { Side::Blue };
        let now = |e: &&Episode| e.from <= minute && minute < e.to && e.side.is_none_or(|of| of == side);
        self.episodes.iter().filter(now).fold(Mood::default(), |all, episode| Mood {
            requests: all.requests * episode.mood.requests,
            errors: all.errors + episode.mood.errors,
            lost: (all.lost + episode.mood.lost).min(1.0),
            slowness: all.slowness * episode.mood.slowness,
        })
    }
}

impl Universe {
    pub(super) fn is_green_flow(&self, arn: &str, name: &str) -> bool {
        name == FOUND_GREEN || self.is_green(arn)
    }
}
