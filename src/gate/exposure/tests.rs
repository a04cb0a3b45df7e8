//! Bounds and what stages ask of each other, by hand.

use proptest::prelude::*;

use super::*;
use crate::gate::limit::Limit;

/// 6,000 requests a minute, 5 % on green, as plans weigh errors and a limit.
fn weighed() -> Traffic {
    Traffic { weight: 0.4, limit: Some((Limit { rate: 0.005 }, 0.2)), laid: 0.13, ..Traffic::example() }
}

fn to(share: f64) -> Next {
    Next { share, accepted_failures: ACCEPTED_FAILURES }
}

fn clean(green: f64, blue: f64) -> Pair {
    Pair { green: Count::new(green, 0.0), blue: Count::new(blue, 0.0) }
}

#[test]
fn bounds_by_hand() {
    let bound = |requests, bad| upper_bound(&Count::new(requests, bad));
    assert!((bound(3000.0, 0.0) - CLEAN / 3000.0).abs() < 1e-9);
    assert!((bound(100.0, 10.0) - 0.169_622).abs() < 1e-5);
    assert_eq!(bound(0.0, 0.0), f64::INFINITY);
    assert!(bound(2.0, 0.0) > 1.0, "two requests are no bound");
}

#[test]
fn a_clean_green_needs_three_by_the_critical_rate() {
    let asked = |requests| Exposure::of(&clean(requests, 1e6), &Margin::ERRORS, 0.01);
    let needed = asked(10.0).clean_requests();
    assert!((needed - 299.6).abs() < 0.1);
    assert!(!asked(needed - 1.0).suffices() && asked(needed + 1.0).suffices());
    // One failure among them takes 4.74 instead of 3.
    let one = |requests| Pair { green: Count::new(requests, 1.0), ..clean(0.0, 1e6) };
    assert!(!Exposure::of(&one(470.0), &Margin::ERRORS, 0.01).suffices());
    assert!(Exposure::of(&one(480.0), &Margin::ERRORS, 0.01).suffices());
}

/// A service that fails by itself at 2 % must not hold for ever; but blue vouches only for what it has
/// itself, and only where it answered anything.
#[test]
fn what_blue_has_is_allowed() {
    let seen = Pair { green: Count::new(5e4, 1000.0), blue: Count::new(5e5, 1e4) };
    assert!(Exposure::of(&seen, &Margin::ERRORS, 1e-3).suffices());
    let twice = Pair { green: Count::new(5e4, 2000.0), ..seen };
    assert!(!Exposure::of(&twice, &Margin::ERRORS, 1e-3).suffices());
    let alone = Pair { blue: Count::default(), ..seen };
    assert!(!Exposure::of(&alone, &Margin::ERRORS, 1e-3).suffices());
}

/// What nobody has seen is not enough, unless even an outage can be afforded.
#[test]
fn nothing_seen_is_enough_for_nothing() {
    for seen in [clean(0.0, 0.0), clean(0.0, 1e6), clean(1.0, 99.0), clean(0.01, 0.99)] {
        assert!(!Exposure::of(&seen, &Margin::ERRORS, 0.5).suffices(), "{seen:?}");
        let outage = Exposure::of(&seen, &Margin::ERRORS, 1.0);
        assert!(outage.suffices() && outage.clean_requests() == 0.0, "{seen:?}");
    }
    let silent = Traffic { requests_per_minute: 0.0, ..weighed() };
    assert!(!to(0.5).asks(&silent, &clean(0.0, 0.0)).suffices(), "no traffic is known, so no cost is either");
    assert_eq!(to(0.5).asks_of_clean(&silent, 60.0), None);
}

/// Before a stage of everything, of so much traffic that only the hard limit could see what is affordable:
/// a spotless green beside a spotless blue still passes, for 3 / (1.25 x 0.01 %) requests.
#[test]
fn a_spotless_green_passes_before_a_last_stage_of_much_traffic() {
    let before = Traffic { requests_per_minute: 600_000.0, share: 0.25, blue_rate: 0.0, ..weighed() };
    assert_eq!(to(1.0).critical(&before), 0.0, "the limit sees 0.5 %, which costs 9,000 in three minutes");
    let needed = CLEAN / 1.25e-4;
    assert!((needed - 23_965.9).abs() < 0.1);
    // Of as little as a quarter of the traffic, blue's bound alone would never be reached: it falls as well.
    assert!(!to(1.0).asks(&before, &clean(7_000.0, 21_000.0)).suffices());
    assert!(to(1.0).asks(&before, &clean(24_000.0, 72_000.0)).suffices());
}

/// By hand, at 6,000 requests a minute: a last stage costs 6,000 p (t + 3), and at p near 2 % the limit's
/// evidence takes (ln 100 + ln 8 + ln 1/0.13 + ln 1/0.2) / (6000 (p ln 5 - 0.005 x 4)) < 1 minute.
#[test]
fn the_critical_rate_by_hand() {
    let critical = to(1.0).critical(&weighed());
    assert!(critical <= 500.0 / (6000.0 * 4.0) && critical > 500.0 / (6000.0 * 4.0) / 1.03, "{critical}");
    let stage = Traffic { share: 1.0, ..weighed() };
    assert_eq!(stage.minutes_to_detect(critical), Some(1.0));
    assert_eq!(critical_rate(500.0, &Traffic { limit: None, ..stage }), 0.0, "nothing would ever be seen");
    // Blue breaks the limit as well: it counts for nothing, and nothing else judges at 100 %.
    assert_eq!(critical_rate(500.0, &Traffic { blue_rate: 0.02, ..stage }), 0.0);
}

#[test]
fn the_critical_rate_falls_with_the_traffic() {
    let at = |rps: f64, share| to(share).critical(&Traffic { requests_per_minute: rps * 60.0, ..Traffic::example() });
    assert_eq!(at(1.0, 0.05), 1.0, "an outage of 3 requests a minute costs less");
    let rates = [at(10.0, 0.5), at(100.0, 0.5), at(1000.0, 0.1), at(1000.0, 0.5)];
    assert!(rates.windows(2).all(|pair| pair[0] >= pair[1]) && rates[0] < 1.0 && rates[3] > 0.0, "{rates:?}");
    let accepted = |accepted_failures| Next { share: 0.5, accepted_failures }.critical(&weighed());
    assert!(accepted(100.0) < accepted(500.0) && accepted(500.0) < accepted(5000.0));
}

proptest! {
    /// What the plan says a clean stage takes is what the judge asks: with as much it passes, with 1 % less
    /// it does not, unless it takes less than the bake brings in any case.
    #[test]
    fn the_plan_says_what_the_judge_asks(
        (rps, share, next) in (0.01f64..10_000.0, 0.001f64..0.99, 0.001f64..1.0),
        (blue_rate, phi, bake) in (prop_oneof![Just(0.0), 0.0f64..0.3], 1.0f64..5.0, 1.0f64..240.0),
    ) {
        let before = Traffic { requests_per_minute: rps * 60.0, share, blue_rate, phi, ..weighed() };
        let next = to(share.max(next));
        let needed = next.asks_of_clean(&before, bake).unwrap();
        prop_assert!((needed.minutes * before.green_requests() - needed.requests).abs() <= 1e-6 * needed.requests);
        // The judge asks when the bake is over, and from then on.
        let asked = |minutes: f64, green: f64| {
            let blue = before.blue_requests() * minutes;
            let seen = Pair { green: Count::new(green, 0.0), blue: Count::new(blue, blue * blue_rate) };
            next.asks(&before, &seen)
        };
        let at = needed.minutes.max(bake);
        prop_assert!(asked(at * 1.001, needed.requests * 1.002).suffices());
        if needed.requests > 0.0 {
            prop_assert!(!asked(at, needed.requests * 0.99).suffices());
        }
    }
}
