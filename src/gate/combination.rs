//! Several metrics, one promise: the weighted mean of their evidence.
//!
//! A weighted mean of fair games is fair, whatever ties the metrics together, so `E = sum c_i E_i` with
//! weights that add up to 1 keeps the one declared chance of a false rollback for all of them. It is
//! never worse than giving each metric its part of the chance (Bonferroni), because the others still
//! contribute. The price of a weight c is ln(1/c) nats, a failure or two.
//!
//! The weights are fixed by the plan. A weight that followed what is seen would break the promise, so the
//! hard limit does not gain weight at high shares; ln 5 nats are all that it could gain.

use serde::{Deserialize, Serialize};

/// What a metric is in the combination.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Failed requests beside blue's.
    Errors,
    /// Failed requests against a fixed rate.
    HardLimit,
    /// Requests slower than blue's 99th percentile.
    SlowestPercent,
    /// Requests slower than blue's 95th percentile.
    SlowestTwentieth,
    /// Requests that the load balancer had to answer itself.
    Unserved,
    /// Requests that the client got wrong.
    ClientErrors,
    /// The user's own, with a weight of its own or an equal part of what the others leave.
    Custom { weight: Option<f64> },
}

/// What the others leave to the user's own metrics.
const CUSTOM: f64 = 0.1;

impl Role {
    fn weight(self, customs: f64) -> f64 {
        match self {
            Role::Errors => 0.4,
            Role::HardLimit => 0.2,
            Role::SlowestPercent => 0.15,
            Role::SlowestTwentieth | Role::Unserved => 0.1,
            Role::ClientErrors => 0.05,
            Role::Custom { weight: Some(weight) } if weight.is_finite() && weight > 0.0 => weight,
            Role::Custom { .. } => CUSTOM / customs,
        }
    }
}

/// The weights of the metrics that a run has; they add up to 1.
pub fn weights(roles: &[Role]) -> Vec<f64> {
    let unweighted = roles.iter().filter(|role| matches!(role, Role::Custom { weight: None })).count();
    #[expect(clippy::cast_precision_loss, reason = "a handful of metrics")]
    let customs = unweighted.max(1) as f64;
    let raw: Vec<f64> = roles.iter().map(|role| role.weight(customs)).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|weight| weight / sum).collect()
}

/// ln(sum c_i E_i) of pairs of a weight and ln E; minus infinity of none.
pub fn combined(terms: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let top = terms.clone().map(|(_, evidence)| evidence).fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + terms.map(|(weight, evidence)| weight * (evidence - top).exp()).sum::<f64>().ln()
}

/// The index of the largest term c_i E_i, which is what drives the verdict; of equals the first.
pub fn driver(terms: impl Iterator<Item = (f64, f64)>) -> usize {
    let weighed = terms.map(|(weight, evidence)| weight.ln() + evidence).enumerate();
    let largest = weighed.fold((0, f64::NEG_INFINITY), |held, next| if next.1 > held.1 { next } else { held });
    largest.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_one() {
        let close = |found: &[f64], expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        let custom = Role::Custom { weight: None };
        let heavy = Role::Custom { weight: Some(0.6) };
        close(&weights(&[Role::Errors]), &[1.0]);
        close(&weights(&[Role::Errors, Role::HardLimit]), &[2.0 / 3.0, 1.0 / 3.0]);
        let all = [Role::Errors, Role::HardLimit, Role::SlowestPercent, Role::SlowestTwentieth, Role::ClientErrors];
        close(&weights(&[&all[..], &[custom, custom]].concat()), &[0.4, 0.2, 0.15, 0.1, 0.05, 0.05, 0.05]);
        close(&weights(&[Role::Errors, heavy]), &[0.4, 0.6]);
        close(&weights(&[Role::Custom { weight: Some(f64::NAN) }]), &[1.0]);
        close(&weights(&[]), &[]);
    }

    #[test]
    fn combined_by_hand() {
        let terms = [(0.5, 8f64.ln()), (0.25, 2f64.ln()), (0.25, f64::NEG_INFINITY)];
        assert!((combined(terms.into_iter()) - 4.5f64.ln()).abs() < 1e-12);
        assert_eq!(driver(terms.into_iter()), 0);
        let huge = [(0.5, 5000.0), (0.5, -5000.0)];
        assert!((combined(huge.into_iter()) - (5000.0 - 2f64.ln())).abs() < 1e-9);
        assert_eq!(combined([].into_iter()), f64::NEG_INFINITY);
        assert_eq!(driver([(0.2, 1.0), (0.8, 0.5)].into_iter()), 1, "the largest term, not the largest evidence");
    }
}
