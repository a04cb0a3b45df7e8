//! Kayenta's judge (NetflixACAJudge 1.0) on one metric: Mann-Whitney with a confidence interval of the
//! Hodges-Lehmann shift, 98 %, tolerance 0.25, effect sizes 1. Written from its description, not its code.

/// What Kayenta calls a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Pass,
    High,
    Low,
    Nodata,
    /// All values tied: the test has no variance.
    Error,
}

/// Which change is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Increase,
    /// Only the golden verdicts ask for both.
    Either,
}

/// The normal quantile of 0.99.
const Z: f64 = 2.326_347_874_040_841;
const TOLERANCE: f64 = 0.25;
/// The root finder's absolute tolerance: error rates must be scaled up before they are judged.
const ROOT: f64 = 1e-4;

/// Standardised rank statistic of the experiment shifted down by `shift`, less `quantile`; `None` where
/// everything is tied.
fn difference(
    shift: f64,
    quantile: f64,
    experiment: &[f64],
    control: &[f64],
    scratch: &mut Vec<(f64, bool)>,
) -> Option<f64> {
    let (m, n) = (experiment.len() as f64, control.len() as f64);
    scratch.clear();
    scratch.extend(experiment.iter().map(|v| (v - shift, true)));
    scratch.extend(control.iter().map(|v| (*v, false)));
    scratch.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut ties, mut at) = (0.0, 0.0, 0);
    while at < scratch.len() {
        let mut end = at + 1;
        while end < scratch.len() && scratch[end].0 == scratch[at].0 {
            end += 1;
        }
        let tied = (end - at) as f64;
        let middle = (at + end - 1) as f64 / 2.0 + 1.0;
        ranks += middle * scratch[at..end].iter().filter(|(_, experiment)| *experiment).count() as f64;
        ties += tied * tied * tied - tied;
        at = end;
    }
    let mut z = ranks - m * (m + 1.0) / 2.0 - m * n / 2.0;
    z -= if z > 0.0 {
        0.5
    } else if z < 0.0 {
        -0.5
    } else {
        0.0
    };
    let variance = m * n / 12.0 * ((m + n + 1.0) - ties / ((m + n) * (m + n - 1.0)));
    (variance > 0.0).then(|| z / variance.sqrt() - quantile)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Judges one metric.
pub fn classify(control: &[f64], experiment: &[f64], bad: Change) -> Class {
    let finite = |values: &[f64]| values.iter().copied().filter(|v| !v.is_nan()).collect::<Vec<f64>>();
    let (mut y, mut x) = (finite(control), finite(experiment));
    if x.is_empty() || y.is_empty() {
        return Class::Nodata;
    }
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let constant = |values: &[f64]| values.iter().all(|v| *v == values[0]);
    if sorted(&x) == sorted(&y) || (constant(&x) && constant(&y) && x[0] == y[0]) {
        return Class::Pass;
    }
    if constant(&x) && constant(&y) {
        // The original adds normal noise of 1e-5 of the value; a ramp breaks the ties as well, and is the
        // same in every run.
        for side in [&mut x, &mut y] {
            let middle = (side.len() as f64 - 1.0) / 2.0;
            side.iter_mut().enumerate().for_each(|(i, v)| *v += v.abs() * 1e-5 * (i as f64 - middle));
        }
    }
    let mut scratch = Vec::with_capacity(x.len() + y.len());
    let (low, high) = (least(&x) - most(&y), most(&x) - least(&y));
    let from_zero = |scratch: &mut Vec<(f64, bool)>| difference(0.0, Z, &x, &y, scratch);
    if bad == Change::Increase && low < 0.0 && from_zero(&mut scratch).is_some_and(|z| z <= 0.0) {
        // The lower end of the interval is not above 0: the rest cannot make it High.
        return Class::Pass;
    }
    let mut root = |quantile: f64| -> Option<f64> {
        let mut at = |shift: f64| difference(shift, quantile, &x, &y, &mut scratch);
        if at(low)? <= 0.0 {
            return Some(low);
        }
        if at(high)? >= 0.0 {
            return Some(high);
        }
        let (mut a, mut b) = (low, high);
        while b - a > ROOT {
            let c = f64::midpoint(a, b);
            if at(c)? > 0.0 { a = c } else { b = c }
        }
        Some(f64::midpoint(a, b))
    };
    let (Some(lower), Some(upper), Some(estimate)) = (root(Z), root(-Z), root(0.0)) else { return Class::Error };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mx, my) = (mean(&x), mean(&y));
    let ratio = (mx != 0.0 && my != 0.0).then_some(mx / my);
    if lower > TOLERANCE * estimate.abs() && ratio.is_none_or(|r| r >= 1.0) {
        return Class::High;
    }
    if bad == Change::Either && upper < -TOLERANCE * estimate.abs() && ratio.is_none_or(|r| r <= 1.0) {
        return Class::Low;
    }
    Class::Pass
}

/// The ten verdicts that the original gives.
#[test]
fn the_golden_verdicts() {
    let repeat = |parts: &[(f64, usize)]| -> Vec<f64> {
        parts.iter().flat_map(|(value, times)| std::iter::repeat_n(*value, *times)).collect()
    };
    let table: [(Vec<f64>, Vec<f64>, Class); 10] = [
        (vec![1.0, 2.2, 1.1, 2.5, 3.0], vec![20.0, 22.0, 21.0, 25.0, 30.0], Class::High),
        (vec![10.0, 20.2, 10.1, 20.5, 30.0], vec![2.0, 2.0, 2.0, 2.0, 3.0], Class::Low),
        (repeat(&[(1.0, 10)]), repeat(&[(100.0, 7), (1.0, 3)]), Class::Pass),
        (repeat(&[(1.0, 10)]), repeat(&[(100.0, 8), (1.0, 2)]), Class::High),
        (repeat(&[(1.0, 5)]), vec![1.0, 1.0, 1.0, 1.0, 10.0], Class::Pass),
        (repeat(&[(0.0, 6)]), vec![0.0, 1.0, 2.0, 1.0, 0.0, 0.0], Class::Pass),
        (repeat(&[(0.0, 5)]), vec![1.0, 4.0, 2.0, 3.0, 1.0], Class::High),
        (vec![1.0, 1.1], vec![2.0, 2.1], Class::High),
        (vec![100.0, 101.0, 102.0], vec![110.0, 111.0, 112.0], Class::High),
        (vec![1.0], vec![2.0], Class::Error),
    ];
    for (control, experiment, expected) in table {
        assert_eq!(classify(&control, &experiment, Change::Either), expected, "{control:?} -> {experiment:?}");
        if expected == Class::High || expected == Class::Pass {
            assert_eq!(classify(&control, &experiment, Change::Increase), expected, "{control:?} -> {experiment:?}");
        }
    }
    assert_eq!(classify(&[], &[1.0], Change::Either), Class::Nodata);
    assert_eq!(classify(&[f64::NAN], &[1.0], Change::Either), Class::Nodata);
    assert_eq!(classify(&[2.0, 2.0], &[2.0], Change::Either), Class::Pass);
}
