//! Numbers that grow and shrink by factors without end, such as the evidence of a long run.
//!
//! The evidence of one minute may be e^5000 or e^-5000, which no `f64` holds. Logarithms hold it, at
//! the price of two transcendental functions for every addition; a mantissa with a wide exponent costs
//! one for every factor, and keeps fifteen digits as well. The tests compare it with `logaddexp`.

/// A number of at least 0: `mantissa` times 2^(512 `power`).
///
/// The mantissa is 0 or lies in [2^-256, 2^256), so a number whose power is smaller by 2 or more is
/// smaller by 2^-512 or more, and vanishes in a sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wealth {
    mantissa: f64,
    power: i64,
}

/// 2^512 and its parts, which multiply exactly.
const UNIT: f64 = f64::from_bits((1023 + 512) << 52);
const UNIT_INVERSE: f64 = f64::from_bits((1023 - 512) << 52);
const UPPER: f64 = f64::from_bits((1023 + 256) << 52);
const LOWER: f64 = f64::from_bits((1023 - 256) << 52);
const LN_UNIT: f64 = 512.0 * std::f64::consts::LN_2;

impl Wealth {
    pub const NOTHING: Wealth = Wealth { mantissa: 0.0, power: 0 };

    /// e^x, for any finite x.
    pub fn exp(x: f64) -> Wealth {
        if x.abs() < LN_UNIT / 2.0 {
            return Wealth { mantissa: x.exp(), power: 0 };
        }
        let power = (x / LN_UNIT).round();
        #[expect(clippy::cast_possible_truncation, reason = "the evidence of a minute is far below 2^63 units")]
        Wealth { mantissa: (x - power * LN_UNIT).exp(), power: power as i64 }
    }

    /// Adds a number from 0 to 1 that is 0 or not below 2^-256.
    pub fn add(&mut self, amount: f64) {
        match self.power {
            0 => self.mantissa += amount,
            // Beside 2^256, a number up to 1 is nothing.
            1.. => {}
            // Beside a number down to 2^-256, what is smaller by 2^-256 is nothing.
            ..0 if amount > 0.0 => *self = Wealth { mantissa: amount, power: 0 },
            ..0 => {}
        }
    }

    pub fn multiply(&mut self, factor: Wealth) {
        // Nothing has no power: what is added to it later must not vanish beside it.
        if self.mantissa == 0.0 {
            return;
        }
        self.mantissa *= factor.mantissa;
        self.power += factor.power;
        if self.mantissa >= UPPER {
            self.mantissa *= UNIT_INVERSE;
            self.power += 1;
        } else if self.mantissa < LOWER {
            self.mantissa *= UNIT;
            self.power -= 1;
        }
    }

    /// The natural logarithm of the mean of these numbers plus `rest`, which is 0 to 1.
    pub fn ln_mean_plus(all: &[Wealth], rest: f64) -> f64 {
        let top = all.iter().filter(|w| w.mantissa > 0.0).map(|w| w.power).max();
        let top = top.map_or(0, |power| if rest > 0.0 { power.max(0) } else { power });
        let aligned = |wealth: &Wealth| match top - wealth.power {
            0 => wealth.mantissa,
            1 => wealth.mantissa * UNIT_INVERSE,
            _ => 0.0,
        };
        #[expect(clippy::cast_precision_loss, reason = "a handful of numbers")]
        let mean = all.iter().map(aligned).sum::<f64>() / all.len() as f64;
        let rest = aligned(&Wealth { mantissa: rest, power: 0 });
        #[expect(clippy::cast_precision_loss, reason = "the power is far below 2^52")]
        let scale = top as f64 * LN_UNIT;
        (mean + rest).ln() + scale
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Wealth;

    fn logaddexp(a: f64, b: f64) -> f64 {
        if a == f64::NEG_INFINITY {
            return b;
        }
        let (high, low) = if a > b { (a, b) } else { (b, a) };
        high + (low - high).exp().ln_1p()
    }

    /// Sums of logarithms lose digits by what they have passed through, not by what is left.
    fn close(a: f64, b: f64, passed: f64) -> bool {
        a == b || (a - b).abs() <= 1e-12 + 1e-14 * passed
    }

    proptest! {
        /// Steps of the recursion of the slow and the fast process, in both representations.
        #[test]
        fn agrees_with_logarithms(steps in proptest::collection::vec((0.0f64..1.0, -3000.0f64..3000.0, 0u8..3), 1..60)) {
            let mut wealth = Wealth::NOTHING;
            let mut log = f64::NEG_INFINITY;
            let mut passed = 0.0;
            for (start, l, kind) in steps {
                let start = if kind == 0 { 0.0 } else { start.max(1e-9) };
                let l = if kind == 1 { l / 1000.0 } else { l };
                passed += l.abs();
                wealth.add(start);
                wealth.multiply(Wealth::exp(l));
                log = if start > 0.0 { logaddexp(log, start.ln()) } else { log } + l;
                if log.is_finite() {
                    prop_assert!(close(Wealth::ln_mean_plus(&[wealth], 0.0), log, passed), "{wealth:?} is not e^{log}");
                    let with = logaddexp(log - 2f64.ln(), 0.25f64.ln());
                    prop_assert!(close(Wealth::ln_mean_plus(&[wealth, Wealth::NOTHING], 0.25), with, passed));
                }
            }
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        let mut wealth = Wealth::NOTHING;
        wealth.multiply(Wealth::exp(1e12));
        assert_eq!(Wealth::ln_mean_plus(&[wealth], 0.5), 0.5f64.ln());
    }
}
