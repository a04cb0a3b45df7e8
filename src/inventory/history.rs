//! What blue was like over the last day: what the judge's plan rests on before there is a green.
//!
//! Plain numbers, worked out once from a day of minutes; the minutes themselves are not kept.

use serde::{Deserialize, Serialize};

/// Blue's last day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Requests, or flows, a minute, on average over the day.
    pub requests_per_minute: f64,
    /// Failed requests.
    pub errors: Past,
    /// Requests that the load balancer answered itself, with a 5xx.
    #[serde(default)]
    pub unserved: Past,
    /// Requests that the client got wrong.
    pub client_errors: Past,
    /// What counts as slow: blue's 95th and 99th percentile. `None` where CloudWatch does not count
    /// the slow ones.
    pub slow: Option<[Slow; 2]>,
}

/// Bad ones of all, over a day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// From 0 to 1.
    pub rate: f64,
    /// By how much they came in clusters; at least 1.
    pub phi: f64,
}

/// A bound of what counts as slow, and how many were slower.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    /// Seconds.
    pub bound: f64,
    pub past: Past,
}

impl Default for Past {
    /// Nothing is known: failures may come in pairs.
    fn default() -> Past {
        Past { rate: 0.0, phi: 2.0 }
    }
}
