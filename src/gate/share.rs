//! Does green receive the share that was set? A remark, never a verdict.
//!
//! Sticky clients, open connections and cached names follow a weight late, so the judge takes the share
//! as it is observed; but a share that stays away from the wish means that something was not applied. The
//! test is Lindon & Malek's (arXiv 2011.03567) with two sides, `log O = logB(a + x) - logB(a) - sum x_i
//! log w_i`, a = k w with k = 100. At much traffic any deviation is significant, so it is remarked on
//! only where it is also large.

use super::distribution::ln_gamma;

const CONCENTRATION: f64 = 100.0;
/// Odds against the wished share from which it is remarked on.
const ODDS: f64 = 100.0;
/// How far beside the wish a share may be: half of it, or this much.
const TOLERANCE: f64 = 0.03;

/// The natural logarithm of the odds that green's share is another than `wish`, which lies between 0 and
/// 1 (both exclusive); 0 before any request.
pub fn ln_odds(green: f64, blue: f64, wish: f64) -> f64 {
    let ln_beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let (a, b) = (CONCENTRATION * wish, CONCENTRATION * (1.0 - wish));
    ln_beta(a + green, b + blue) - ln_beta(a, b) - green * wish.ln() - blue * (1.0 - wish).ln()
}

/// The observed share, where it is not the one that was set.
pub fn mismatch(green: f64, blue: f64, wish: f64) -> Option<f64> {
    let counts = [green, blue].iter().all(|n| n.is_finite() && *n >= 0.0) && green + blue > 0.0;
    if !(counts && wish > 0.0 && wish < 1.0) {
        return None;
    }
    let observed = green / (green + blue);
    let large = (observed - wish).abs() > TOLERANCE.max(wish / 2.0);
    (large && ln_odds(green, blue, wish) >= ODDS.ln()).then_some(observed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // a = (50, 50), x = (1, 0): B(51, 50) / B(50, 50) = 1/2, so the odds are 1.
        assert!(ln_odds(1.0, 0.0, 0.5).abs() < 1e-9);
        // x = (2, 0): B(52, 50) / B(50, 50) = (50 x 51) / (100 x 101), over 1/4.
        assert!((ln_odds(2.0, 0.0, 0.5) - (4.0 * 2550.0 / 10_100.0f64).ln()).abs() < 1e-9);
        assert_eq!(ln_odds(0.0, 0.0, 0.3), 0.0);
    }

    #[test]
    fn mismatches_by_table() {
        let table = [
            ("as set", 100.0, 900.0, 0.1, None),
            ("few requests", 4.0, 6.0, 0.1, None),
            ("nothing arrives", 0.0, 1000.0, 0.1, Some(0.0)),
            ("twice the wish", 2000.0, 8000.0, 0.1, Some(0.2)),
            ("a little beside at much traffic", 110_000.0, 890_000.0, 0.1, None),
            ("no requests", 0.0, 0.0, 0.1, None),
            ("no wish", 0.0, 1000.0, 0.0, None),
            ("everything", 0.0, 1000.0, 1.0, None),
            ("impossible", f64::NAN, 1000.0, 0.1, None),
        ];
        for (what, green, blue, wish, expected) in table {
            assert_eq!(mismatch(green, blue, wish), expected, "{what}");
        }
    }
}
