//! What blue was like over the last day: what the judge's plan rests on before there is a green.
//!
//! Plain numbers, worked out once from a day of minutes; the minutes themselves are not kept.

use serde::{Deserialize, Serialize};

/// Blue's last day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Requests, or flows, a minute, on average over the whole day.
    pub requests_per_minute: f64,
    /// Minutes of the day in which there were any.
    #[serde(default)]
    pub busy_minutes: u32,
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
    /// By how much they came in clusters, seen by availability zone in the same minute; at least 1.
    pub phi: f64,
    /// The same seen in time: by how much neighbouring stretches of [`STRETCHES`] minutes differ; each at
    /// least 1.
    #[serde(default = "unknown_in_time")]
    pub in_time: [f64; STRETCHES.len()],
}

/// Minutes of the stretches of a day that are compared with their neighbours.
pub const STRETCHES: [u32; 5] = [1, 5, 15, 60, 240];

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
        Past { rate: 0.0, phi: 2.0, in_time: unknown_in_time() }
    }
}

fn unknown_in_time() -> [f64; STRETCHES.len()] {
    [2.0; STRETCHES.len()]
}

impl History {
    /// The same for a comparison of so many minutes with those before: nothing that changes in between
    /// cancels, so phi is what stretches of up to that length have differed by.
    #[must_use]
    pub fn over(self, minutes: u32) -> History {
        let slow = |slow: Slow| Slow { past: slow.past.over(minutes), ..slow };
        History {
            errors: self.errors.over(minutes),
            unserved: self.unserved.over(minutes),
            client_errors: self.client_errors.over(minutes),
            slow: self.slow.map(|both| both.map(slow)),
            ..self
        }
    }
}

impl Past {
    fn over(self, minutes: u32) -> Past {
        let longest = STRETCHES.iter().position(|stretch| *stretch >= minutes).unwrap_or(STRETCHES.len() - 1);
        Past { phi: self.in_time[..=longest].iter().copied().fold(self.phi, f64::max), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_a_time_phi_is_the_largest_of_shorter_stretches() {
        let past = Past { rate: 0.1, phi: 3.0, in_time: [1.0, 2.0, 9.0, 4.0, 20.0] };
        for (minutes, phi) in [(1, 3.0), (5, 3.0), (6, 9.0), (60, 9.0), (61, 20.0), (5000, 20.0)] {
            assert_eq!(past.over(minutes).phi, phi, "{minutes}");
        }
        let day = History { errors: past, slow: Some([Slow { bound: 0.2, past }; 2]), ..History::default() };
        let over = day.over(100);
        assert_eq!((over.errors.phi, over.client_errors.phi, over.slow.unwrap()[1].past.phi), (20.0, 2.0, 20.0));
    }

    /// A journal of before stretches were measured.
    #[test]
    fn stretches_may_be_missing() {
        let past: Past = serde_json::from_str(r#"{"rate":0.5,"phi":3.0}"#).unwrap();
        assert_eq!(past, Past { rate: 0.5, phi: 3.0, ..Past::default() });
    }
}
