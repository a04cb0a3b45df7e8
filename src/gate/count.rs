//! Counts as they are reported, and as the tests may take them.
//!
//! The rules of CloudWatch's load balancer metrics: a total that is missing is no traffic or a late
//! report; a count of failures that is missing beside a total is 0, because several of these metrics are
//! published only when they are not. A number that cannot be (not finite, negative, beyond what any
//! load balancer answers) says nothing about the minute. Counts are real numbers: `TC(L:)` interpolates.

use serde::{Deserialize, Serialize};

/// Beyond this many requests a minute the number is a mistake.
const REQUESTS_MAX: f64 = 1e15;

/// What one side of one minute was reported to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// Requests, or samples of a latency.
    #[serde(default)]
    pub requests: Option<f64>,
    /// Those of them that failed, or were slower than the bound.
    #[serde(default)]
    pub bad: Option<f64>,
}

/// Requests of one side of one minute, at least 0, and those of them that were bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    pub requests: f64,
    /// From 0 to `requests`.
    pub bad: f64,
}

/// Both sides of one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub green: Count,
    pub blue: Count,
}

impl Reported {
    pub fn new(requests: f64, bad: f64) -> Reported {
        Reported { requests: Some(requests), bad: Some(bad) }
    }

    /// Whether a number was reported that cannot be.
    pub fn impossible(&self) -> bool {
        let possible = |number: &f64| number.is_finite() && (0.0..=REQUESTS_MAX).contains(number);
        ![self.requests, self.bad].iter().flatten().all(possible)
    }

    /// The count; `None` where nothing, or something impossible, was reported.
    pub fn count(&self) -> Option<Count> {
        if self.impossible() {
            return None;
        }
        self.requests.map(|requests| Count::new(requests, self.bad.unwrap_or(0.0)))
    }
}

impl Count {
    /// Bad ones beyond the requests are a report that is ahead of the other, and are cut off.
    pub fn new(requests: f64, bad: f64) -> Count {
        Count { requests, bad: bad.min(requests) }
    }

    /// Bad ones of all, from 0 to 1; 0 where there are none.
    pub fn rate(&self) -> f64 {
        if self.requests > 0.0 { self.bad / self.requests } else { 0.0 }
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.requests += other.requests;
        self.bad += other.bad;
    }
}

impl Pair {
    /// Green's share of the requests; `None` where one side has none, and nothing can be compared.
    pub fn share(&self) -> Option<f64> {
        let (green, blue) = (self.green.requests, self.blue.requests);
        (green > 0.0 && blue > 0.0).then(|| green / (green + blue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_by_table() {
        let reported = |requests, bad| Reported { requests, bad }.count();
        let (nan, endless) = (Some(f64::NAN), Some(f64::INFINITY));
        assert_eq!(reported(Some(10.0), Some(2.0)), Some(Count { requests: 10.0, bad: 2.0 }));
        assert_eq!(reported(Some(10.0), None), Some(Count { requests: 10.0, bad: 0.0 }), "published when not zero");
        assert_eq!(reported(Some(10.5), Some(11.0)), Some(Count { requests: 10.5, bad: 10.5 }), "cut off");
        assert_eq!(reported(Some(0.0), Some(3.0)), Some(Count::default()));
        assert_eq!(reported(None, Some(3.0)), None, "the requests are late");
        for odd in [nan, endless, Some(-1.0), Some(1e16), Some(f64::NEG_INFINITY)] {
            assert_eq!(reported(odd, Some(0.0)), None, "{odd:?}");
            assert_eq!(reported(Some(5.0), odd), None, "{odd:?}");
            assert!(Reported { requests: None, bad: odd }.impossible(), "{odd:?}");
        }
        assert_eq!(reported(Some(-0.0), Some(0.0)), Some(Count::default()));
    }
}
