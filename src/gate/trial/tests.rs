//! The test against its formulas written down directly, against small cases by hand, and against chance.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::gate::count::Count;

fn pair(green: (f64, f64), blue: (f64, f64)) -> Pair {
    Pair { green: Count::new(green.0, green.1), blue: Count::new(blue.0, blue.1) }
}

/// Both processes by minute.
fn run(margin: &Margin, starts: &Starts, phi: f64, minutes: &[Pair]) -> Vec<LogEvidence> {
    let mut trial = Trial::default();
    let steps = (0..).zip(minutes).map(|(minute, pair)| {
        trial.step(starts.stake(minute), margin.bets(pair, phi).as_ref());
        trial.evidence()
    });
    steps.collect()
}

/// The formulas as they are written, in plain numbers: what is fast and exact is compared with what is
/// obvious.
fn transcribed(rho0: f64, delta0: f64, starts: &Starts, phi: f64, minutes: &[Pair]) -> Vec<(f64, f64)> {
    let g = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];
    let planned = starts.planned_minutes as usize;
    let w: Vec<f64> = (0..minutes.len().max(planned))
        .map(|j| {
            let stage = starts.begun.iter().filter(|b| **b as usize == j).count() as f64;
            let spread = if j < planned { 0.5 / planned as f64 } else { 0.0 };
            stage * 0.5 / f64::from(starts.stages) + spread
        })
        .collect();
    let (mut a, mut f) = ([0.0; 8], [0.0; 8]);
    let mut spent = 0.0;
    let mut out = Vec::new();
    for (j, minute) in minutes.iter().enumerate() {
        let (nc, xc) = (minute.green.requests, minute.green.bad);
        let (nb, xb) = (minute.blue.requests, minute.blue.bad);
        let s = xc + xb + delta0 * nb;
        let share = nc / (nc + nb);
        spent += w[j];
        for k in 0..8 {
            let l = if nc == 0.0 || nb == 0.0 {
                0.0
            } else {
                let bracket = (1.0 + share * (rho0 * g[k] - 1.0)).ln() - (1.0 + share * (rho0 - 1.0)).ln();
                (xc * f64::ln(g[k]) - s * bracket) / phi
            };
            a[k] = (a[k] + w[j]) * f64::exp(l.min(3.0));
            f[k] = (f[k] + w[j]) * f64::exp(l);
        }
        let rest = 1.0 - spent;
        out.push(((a.iter().sum::<f64>() / 8.0 + rest).ln(), (f.iter().sum::<f64>() / 8.0 + rest).ln()));
    }
    out
}

#[test]
fn the_logarithms_are_those_of_the_factors() {
    for (factor, ln) in FACTORS.iter().zip(LN_FACTORS) {
        assert_eq!(factor.ln(), ln, "{factor}");
    }
}

/// One stage, one planned minute: everything is staked at once.
#[test]
fn a_minute_by_hand() {
    let margin = Margin { ratio: 1.25, floor: 0.0 };
    let starts = Starts::planned(1, &[0]);
    // f = 1/2, s = 1: the bet on g is g / ((1 + (1.25 g - 1)/2) / 1.125).
    let one = run(&margin, &starts, 1.0, &[pair((100.0, 1.0), (100.0, 0.0))]);
    let by_hand: f64 = FACTORS.iter().map(|g| g * 1.125 / (0.5 + 0.625 * g)).sum::<f64>() / 8.0;
    assert!((one[0].slow - by_hand.ln()).abs() < 1e-12 && one[0].fast == one[0].slow, "{one:?}");
    // Nothing failed and there is no floor: nothing is learnt.
    assert_eq!(run(&margin, &starts, 1.0, &[pair((100.0, 0.0), (100.0, 0.0))])[0], LogEvidence::default());
    // Everything failed on green: the slow evidence is capped at e^3, the fast one is not.
    let outage = run(&margin, &starts, 1.0, &[pair((100.0, 100.0), (100.0, 0.0))])[0];
    assert!((outage.slow - 3.0).abs() < 1e-12 && outage.fast > 50.0, "{outage:?}");
    assert!(!outage.condemns(0.01) || outage.fast >= 1e6f64.ln());
}

#[test]
fn stakes_by_hand() {
    let starts = Starts::planned(60, &[0, 12]);
    assert!((starts.stake(0).laid - (0.25 + 0.5 / 60.0)).abs() < 1e-15);
    assert!((starts.stake(0).kept - (0.75 - 0.5 / 60.0)).abs() < 1e-15);
    assert!((starts.stake(12).laid - (0.25 + 0.5 / 60.0)).abs() < 1e-15);
    assert!((starts.stake(13).laid - 0.5 / 60.0).abs() < 1e-15);
    assert_eq!((starts.stake(59).kept, starts.stake(60).laid), (0.0, 0.0), "beyond the plan nothing is staked");
    let late = Starts { begun: vec![0, 75], ..starts.clone() };
    assert!((late.stake(60).kept - 0.25).abs() < 1e-15, "a stage that begins late is owed its stake");
    assert_eq!((late.stake(75).laid, late.stake(75).kept), (0.25, 0.0));
    let many = Starts { begun: vec![0, 5, 9], ..starts };
    assert!((many.stake(9).laid - 0.5 / 60.0).abs() < 1e-15, "a stage that was not planned has no stake");
    let none = Starts::planned(10, &[]);
    assert!((none.stake(9).kept - 0.5).abs() < 1e-15);
    for starts in [late, many, none, Starts::planned(0, &[0])] {
        let laid: f64 = (0..100).map(|minute| starts.stake(minute).laid).sum();
        assert!((laid + starts.stake(100).kept - 1.0).abs() < 1e-12, "{starts:?}");
    }
    assert!(late_minutes().early(13, 2) && !late_minutes().early(14, 2) && !late_minutes().early(11, 2));
}

fn late_minutes() -> Starts {
    Starts::planned(60, &[0, 12])
}

/// The needs of the table of small cases: failures in one stage of an hour with a clean blue.
#[test]
fn a_handful_of_failures_is_enough() {
    let needed = |share: f64, minutes: u32| {
        let starts = Starts::planned(60, &[0]);
        (1..3000).find(|total| {
            let each = f64::from(*total) / f64::from(minutes);
            let minute = pair((600.0 * share, each), (600.0 * (1.0 - share), 0.0));
            let course = run(&Margin::ERRORS, &starts, 1.0, &vec![minute; minutes as usize]);
            course.iter().any(|evidence| evidence.condemns(0.01))
        })
    };
    // Over three minutes, and in one by the fast evidence.
    for (share, slow, fast) in [(0.01, 2, 4), (0.05, 3, 6), (0.1, 4, 8), (0.25, 6, 14), (0.5, 12, 27), (0.75, 27, 67)] {
        assert_eq!((needed(share, 3), needed(share, 1)), (Some(slow), Some(fast)), "{share}");
    }
    // Where blue is nearly gone, hardly anything is left to compare with.
    for (share, slow) in [(0.9, 72), (0.95, 148), (0.99, 749)] {
        assert_eq!(needed(share, 3), Some(slow), "{share}");
    }
}

/// Counts of a side that may be: requests, and failures that may exceed them.
fn side() -> impl Strategy<Value = (f64, f64)> {
    let requests = prop_oneof![Just(0.0), 0.0f64..10.0, (0u32..5000).prop_map(f64::from), 0.0f64..1e7];
    (requests, prop_oneof![Just(0.0), (0u32..50).prop_map(f64::from), 0.0f64..200.0])
}

fn minutes() -> impl Strategy<Value = Vec<Pair>> {
    proptest::collection::vec((side(), side()).prop_map(|(green, blue)| pair(green, blue)), 0..80)
}

proptest! {
    #[test]
    fn agrees_with_the_formulas(
        minutes in minutes(),
        planned in 81u32..200,
        begun in proptest::collection::btree_set(0u32..80, 1..5),
        (ratio, floor, phi) in (1.0f64..3.0, 0.0f64..0.01, 1.0f64..8.0),
    ) {
        let begun: Vec<u32> = begun.into_iter().collect();
        let starts = Starts::planned(planned, &begun);
        let ours = run(&Margin { ratio, floor }, &starts, phi, &minutes);
        for (minute, (ours, (slow, fast))) in ours.iter().zip(transcribed(ratio, floor, &starts, phi, &minutes)).enumerate() {
            // The reference has no numbers beyond e^709, and none between 0 and e^-700.
            let same = |a: f64, b: f64| !b.is_finite() || (a - b).abs() <= 1e-9 * (1.0 + b.abs());
            prop_assert!(same(ours.slow, slow) && same(ours.fast, fast), "minute {minute}: {ours:?}, {slow} {fast}");
        }
    }

    /// A failure more on green never lowers the evidence of that minute or of any later one.
    #[test]
    fn failures_of_green_only_add(mut minutes in minutes(), at in 0usize..80, more in 0.1f64..100.0) {
        let starts = Starts::planned(60, &[0, 20]);
        let before = run(&Margin::ERRORS, &starts, 1.0, &minutes);
        prop_assume!(!minutes.is_empty());
        let at = at % minutes.len();
        let green = &mut minutes[at].green;
        *green = Count::new(green.requests, green.bad + more);
        let after = run(&Margin::ERRORS, &starts, 1.0, &minutes);
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(after.slow >= before.slow - 1e-9 && after.fast >= before.fast - 1e-9);
        }
    }

    /// A minute without information changes nothing but what was staked; and the slow evidence is never
    /// above the fast one.
    #[test]
    fn minutes_without_traffic_say_nothing(minutes in minutes()) {
        let starts = Starts { planned_minutes: 1, stages: 1, begun: vec![0] };
        let mut with_gaps = Vec::new();
        for minute in &minutes {
            with_gaps.extend([*minute, Pair { green: Count::default(), ..*minute }, Pair { blue: Count::default(), ..*minute }]);
        }
        let (plain, gaps) = (run(&Margin::ERRORS, &starts, 1.0, &minutes), run(&Margin::ERRORS, &starts, 1.0, &with_gaps));
        for (index, plain) in plain.iter().enumerate() {
            prop_assert_eq!(*plain, gaps[3 * index + 2]);
            prop_assert!(plain.slow <= plain.fast + 1e-9);
        }
    }

    #[test]
    fn no_numbers_break_it(sides in proptest::collection::vec((0.0f64..1e15, 0.0f64..1e15, 0.0f64..1e15, 0.0f64..1e15), 0..50)) {
        let minutes: Vec<Pair> = sides.into_iter().map(|(a, b, c, d)| pair((a, b), (c, d))).collect();
        for evidence in run(&Margin::ERRORS, &Starts::planned(10, &[0]), 1.0, &minutes) {
            prop_assert!(evidence.slow.is_finite() && evidence.fast.is_finite());
        }
    }
}

/// A Poisson number, by counting exponential gaps.
fn poisson(mean: f64, rng: &mut Pcg64Mcg) -> f64 {
    let mut gone = -(1.0 - rng.random::<f64>()).ln();
    let mut count = 0.0;
    while gone < mean {
        count += 1.0;
        gone -= (1.0 - rng.random::<f64>()).ln();
    }
    count
}

/// Under H0 the expectation of the evidence stays at or below 1: the fair game itself, by simulation, at
/// the very bound, below it, and with failures in clusters that phi allows for.
#[test]
fn the_game_is_fair() {
    let mut rng = Pcg64Mcg::seed_from_u64(4);
    let margin = Margin::ERRORS;
    let starts = Starts::planned(8, &[0, 4]);
    for (green, blue, rate, cluster) in
        [(30.0, 300.0, 0.01, 1.0), (200.0, 200.0, 0.01, 1.0), (300.0, 3000.0, 0.0, 1.0), (60.0, 600.0, 0.02, 3.0)]
    {
        for factor in [1.0, 0.7] {
            let bound = margin.ratio * (rate + margin.floor) * factor;
            let runs = 10_000;
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..runs {
                let mut trial = Trial::default();
                for minute in 0..8 {
                    let clusters = |requests: f64, rate: f64, rng: &mut Pcg64Mcg| {
                        cluster * poisson(requests * rate / cluster, rng)
                    };
                    let seen = Pair {
                        green: Count { requests: green, bad: clusters(green, bound, &mut rng) },
                        blue: Count { requests: blue, bad: clusters(blue, rate, &mut rng) },
                    };
                    trial.step(starts.stake(minute), margin.bets(&seen, cluster).as_ref());
                }
                // The slow evidence: the fast one has the same mean, but a tail that no simulation sees.
                let evidence = trial.evidence().slow.exp();
                sum += evidence;
                squares += evidence * evidence;
            }
            let runs = f64::from(runs);
            let (mean, deviation) = (sum / runs, (squares / runs - (sum / runs).powi(2)).max(0.0).sqrt());
            let allowed = 1.0 + 4.0 * deviation / runs.sqrt();
            assert!(mean <= allowed, "{green} {blue} {rate} x{factor} clusters {cluster}: {mean} > {allowed}");
        }
    }
}
