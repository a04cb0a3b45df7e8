//! The two special functions that the bounds need: ln Gamma, and the Poisson upper bound.
//!
//! Not a library of distributions; only what [`super::exposure`] and [`super::share`] ask for.

/// ln Gamma(x) for x > 0, to about 1e-13 (Lanczos, g = 7, nine terms).
pub(super) fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    let mut at = x;
    for term in TERMS {
        at += 1.0;
        sum += term / at;
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The regularised lower incomplete gamma function P(a, x): the chance that a Poisson count with mean
/// `x` is at least `a`. By its series below a + 1, by its continued fraction above.
fn gamma_lower(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut at) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-16 {
            at += 1.0;
            term *= x / at;
            sum += term;
        }
        return front * sum;
    }
    // Lentz's method; it converges in about sqrt(x) rounds.
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for round in 1..100_000 {
        let n = f64::from(round);
        let numerator = -n * (n - a);
        b += 2.0;
        d = numerator.mul_add(d, b);
        d = 1.0 / if d.abs() < TINY { TINY } else { d };
        c = b + numerator / c;
        if c.abs() < TINY {
            c = TINY;
        }
        let delta = c * d;
        fraction *= delta;
        if (delta - 1.0).abs() < 1e-15 {
            break;
        }
    }
    1.0 - front * fraction
}

/// The mean above which a Poisson count of at most `count` would be seen with a chance of at most
/// 1 - `confidence`: the upper bound chi2_confidence(2 count + 2) / 2.
pub(super) fn poisson_upper(count: f64, confidence: f64) -> f64 {
    // The series take as long as the root of the count; beyond this the bound lies a number of standard
    // deviations above it.
    const LARGE: f64 = 1e8;
    if count > LARGE {
        return count + (poisson_upper(LARGE, confidence) - LARGE) * (count / LARGE).sqrt();
    }
    let a = count + 1.0;
    let (mut low, mut high) = (0.0, a + 10.0);
    while gamma_lower(a, high) < confidence {
        low = high;
        high *= 2.0;
    }
    while high - low > 1e-12 * high {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if gamma_lower(a, middle) < confidence { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_is_the_factorial() {
        let mut ln_factorial = 0.0;
        for n in 1..200 {
            assert!((ln_gamma(f64::from(n)) - ln_factorial).abs() < 1e-10, "{n}");
            ln_factorial += f64::from(n).ln();
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
    }

    /// Values of the usual table of exact Poisson bounds.
    #[test]
    fn poisson_bounds_are_those_of_the_table() {
        for (count, bound) in [(0.0, 2.9957), (1.0, 4.7439), (2.0, 6.2958), (5.0, 10.5130), (10.0, 16.9622)] {
            assert!((poisson_upper(count, 0.95) - bound).abs() < 1e-4, "{count}: {}", poisson_upper(count, 0.95));
        }
        let large = poisson_upper(1e6, 0.95);
        assert!((large - 1e6 - 1.645 * 1e3).abs() < 5.0, "{large}");
        for count in [1e8, 2e8, 1e12, 1e15, 1e300] {
            let deviations = (poisson_upper(count, 0.95) - count) / count.sqrt();
            assert!(count > 1e14 || (deviations - 1.645).abs() < 1e-3, "{count}: {deviations}");
        }
    }
}
