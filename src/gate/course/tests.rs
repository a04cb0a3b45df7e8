//! Verdicts by table: what happens to a run, and what the judge says.

use proptest::prelude::*;

use super::*;
use crate::gate::combination::{Role, weights};
use crate::gate::count::Reported;
use crate::gate::ledger::{Direction, Reading};
use crate::gate::limit::Limit;
use crate::gate::tail::{SIGN_RATIO, Slowness};
use crate::gate::trial::{Margin, Starts};

type Side = (f64, f64);
/// Minutes, green, blue.
type Part = (usize, Side, Side);

fn errors(limit: Option<f64>) -> Ledger {
    let starts = Starts::planned(60, &[0, 12]);
    Ledger::of_errors(0.01, starts, Margin::ERRORS, 1.0, limit.map(|rate| Limit { rate }))
}

fn row(green: Side, blue: Side) -> Row {
    Row::counts(Reported::new(green.0, green.1), Reported::new(blue.0, blue.1))
}

/// A run of parts, one after the other.
fn course(limit: Option<f64>, parts: &[Part]) -> Course {
    let mut ledger = errors(limit);
    for (minutes, green, blue) in parts {
        ledger.minutes.extend(std::iter::repeat_n(row(*green, *blue), *minutes));
    }
    Course::of(&ledger)
}

#[test]
fn verdicts_by_table() {
    use Verdict::{CannotSee, Degraded, Healthy, NotEnoughEvidence};
    let (g, b) = ((300.0, 0.0), (5700.0, 6.0));
    let none = (0.0, 0.0);
    let nan = (f64::NAN, f64::NAN);
    let table: [(&str, &[Part], Verdict, &str); 16] = [
        ("healthy", &[(30, g, b)], Healthy, "evidence against green 0.3 of 100"),
        ("ten times worse", &[(10, g, b), (10, (300.0, 3.0), b)], Degraded, "green"),
        (
            "an outage of green",
            &[(10, g, b), (2, (300.0, 300.0), b)],
            Degraded,
            "in the last 1 min green 100.00% (300 of 300)",
        ),
        ("an outage of both", &[(10, g, b), (5, (300.0, 60.0), (5700.0, 1140.0)), (5, g, b)], Healthy, ""),
        ("an error of both, all day", &[(60, (300.0, 6.0), (5700.0, 114.0))], Healthy, ""),
        ("two suspicious minutes", &[(2, (300.0, 3.0), b)], NotEnoughEvidence, "too much to go on"),
        ("nothing", &[], NotEnoughEvidence, "no minute has been seen"),
        ("no traffic", &[(30, none, none)], NotEnoughEvidence, "no requests were seen"),
        ("only blue", &[(30, none, b)], NotEnoughEvidence, "green had no requests while blue had 171000"),
        ("only green", &[(30, g, none)], NotEnoughEvidence, "green had 9000 requests and blue none"),
        ("never together", &[(2, g, none), (2, none, b)], NotEnoughEvidence, "never had requests in the same minute"),
        ("impossible numbers", &[(2, nan, (-1.0, 1e300))], NotEnoughEvidence, "only impossible numbers"),
        ("one impossible minute", &[(9, g, b), (1, nan, b), (9, g, b)], Healthy, ""),
        ("impossible for long", &[(9, g, b), (3, nan, b)], CannotSee, "no data for green in the last 3 minutes"),
        ("the metrics are gone", &[(9, g, b), (3, nan, nan)], CannotSee, "no data for green or blue"),
        ("more failures than requests", &[(3, (10.0, 500.0), b)], Degraded, "100.00% (10 of 10"),
    ];
    for (what, parts, verdict, reason) in table {
        let course = course(None, parts);
        assert_eq!(course.verdict, verdict, "{what}: {}", course.reason);
        assert!(course.reason.contains(reason), "{what}: {}", course.reason);
        assert_eq!(course.condemned.is_some(), verdict == Degraded, "{what}");
    }
    let silent_later = course(None, &[(10, (300.0, 9.0), b), (5, nan, nan)]);
    assert_eq!(silent_later.verdict, Degraded, "what was condemned stays so");
}

/// The outage is seen in its first minute by the fast evidence; a rate that is slowly worse, later.
#[test]
fn the_reason_names_what_condemned() {
    let fast = course(None, &[(5, (300.0, 0.0), (5700.0, 6.0)), (1, (300.0, 300.0), (5700.0, 6.0))]);
    assert_eq!(fast.condemned, Some(5));
    assert!(fast.reason.contains("of few minutes"), "{}", fast.reason);
    let slow = course(None, &[(20, (300.0, 2.0), (5700.0, 6.0))]);
    assert!(slow.condemned.is_some_and(|minute| minute > 3 && minute < 15), "{slow:?}");
    assert!(slow.reason.contains("errors: green 0.67% ("), "{}", slow.reason);
    assert!(slow.reason.contains("a rollback at a declared chance of 1% needs 100"), "{}", slow.reason);
}

#[test]
fn the_hard_limit_by_table() {
    use Verdict::{Degraded, Healthy, NotEnoughEvidence};
    let limit = Some(0.01);
    let clean = (5700.0, 0.0);
    let table: [(&str, &[Part], Verdict); 7] = [
        ("within", &[(30, (300.0, 1.0), (5700.0, 19.0))], Healthy),
        ("green alone breaks it", &[(20, (30.0, 2.0), (30.0, 0.0))], Degraded),
        ("both break it", &[(30, (300.0, 12.0), (5700.0, 228.0))], NotEnoughEvidence),
        (
            "everything is on green, and it breaks",
            &[(10, (3000.0, 3.0), (3000.0, 3.0)), (5, (6000.0, 300.0), (0.0, 0.0))],
            Degraded,
        ),
        ("everything is on green, and it is well", &[(30, (6000.0, 6.0), (0.0, 0.0))], Healthy),
        (
            "nearly everything, and blue breaks it as well",
            &[(10, (5700.0, 6.0), (300.0, 0.0)), (9, (5700.0, 285.0), (300.0, 15.0))],
            NotEnoughEvidence,
        ),
        ("blue is well", &[(30, (300.0, 0.0), clean)], Healthy),
    ];
    for (what, parts, verdict) in table {
        let course = course(limit, parts);
        assert_eq!(course.verdict, verdict, "{what}: {}", course.reason);
    }
    let shared = course(limit, &[(30, (300.0, 12.0), (5700.0, 228.0))]);
    assert!(shared.reason.contains("both break the hard limit of 1.00%: not green's fault"), "{}", shared.reason);
    let alone = course(limit, &[(10, (3000.0, 3.0), (3000.0, 3.0)), (5, (6000.0, 300.0), (0.0, 0.0))]);
    assert!(alone.reason.starts_with("hard limit of 1.00%: green"), "{}", alone.reason);
}

/// Eight metrics of every kind, as a run may have them.
fn many() -> Ledger {
    let custom = Role::Custom { weight: None };
    let roles = [
        Role::Errors,
        Role::HardLimit,
        Role::SlowestPercent,
        Role::SlowestTwentieth,
        Role::ClientErrors,
        custom,
        custom,
        custom,
    ];
    let levels = Test::LevelBeside { ratio: SIGN_RATIO, worse: Direction::Higher };
    let tests = [
        Test::Beside(Margin::ERRORS),
        Test::Against(Limit { rate: 0.01 }),
        Test::Beside(Slowness::P99.margin()),
        Test::Beside(Slowness::P95.margin()),
        Test::Beside(Margin::CLIENT_ERRORS),
        levels,
        Test::LevelBeside { ratio: 2.0, worse: Direction::Higher },
        Test::Beside(Margin::ERRORS),
    ];
    let series = [0, 0, 1, 2, 3, 4, 4, 5];
    let metrics =
        weights(&roles).into_iter().zip(tests).zip(series).enumerate().map(|(index, ((weight, test), series))| {
            let cold_minutes = if (2..4).contains(&index) { 2 } else { 0 };
            Metric { name: format!("metric {index}"), series, test, weight, phi: 1.0, cold_minutes }
        });
    Ledger {
        false_rollback: 0.01,
        counted: crate::gate::Counted::Requests,
        starts: Starts::planned(1440, &[0, 288, 576, 864, 1152]),
        series: (0..6).map(|n| format!("series {n}")).collect(),
        metrics: metrics.collect(),
        minutes: Vec::new(),
    }
}

fn full_row(slow: Side, level: f64) -> Row {
    let counts = |green: Side, blue: Side| Reading::Counts {
        green: Reported::new(green.0, green.1),
        blue: Reported::new(blue.0, blue.1),
    };
    let blue = (5700.0, 6.0);
    let readings = vec![
        counts((300.0, 0.0), blue),
        counts(slow, (5700.0, 57.0)),
        counts((300.0, 15.0), (5700.0, 285.0)),
        counts((300.0, 9.0), (5700.0, 171.0)),
        Reading::Levels { green: Some(level), blue: Some(1.0) },
        counts((300.0, 0.0), blue),
    ];
    Row { readings, share: Some(0.05) }
}

#[test]
fn the_strongest_metric_is_named() {
    let judged = |slow: Side, level: f64| {
        let mut ledger = many();
        ledger.minutes = vec![full_row(slow, level); 60];
        Course::of(&ledger)
    };
    assert_eq!(judged((300.0, 3.0), 1.0).verdict, Verdict::Healthy);
    let slow = judged((300.0, 15.0), 1.0);
    assert_eq!((slow.verdict, slow.driver), (Verdict::Degraded, Some(2)), "{}", slow.reason);
    assert!(slow.condemned.is_some_and(|minute| minute >= 2), "the first two minutes are cold");
    let level = judged((300.0, 3.0), 1.5);
    assert_eq!((level.verdict, level.driver), (Verdict::Degraded, Some(5)), "{}", level.reason);
    assert!(level.reason.contains(": green above 1.1 x blue in "), "{}", level.reason);
    let ceiling = judged((300.0, 3.0), 2.5);
    assert_eq!(ceiling.driver, Some(5), "both vote alike: the first is named");
}

/// A revised or late minute gives the verdict that it would have given in time.
#[test]
fn the_order_of_arrival_does_not_matter() {
    let rows: Vec<Row> = (0..20).map(|n| row((300.0, f64::from(n % 3)), (5700.0, 6.0))).collect();
    let mut in_time = errors(None);
    let mut late = errors(None);
    for (minute, row) in (0..).zip(&rows) {
        in_time.enter(minute, row.clone());
    }
    for (minute, wanted) in (0..20).zip(&rows).rev() {
        late.enter(minute, row((1.0, 1.0), (1.0, 0.0)));
        late.enter(minute, wanted.clone());
    }
    assert_eq!(Course::of(&in_time), Course::of(&late));
}

/// The journal's ledger, read back in another process, is judged the same to the bit.
#[test]
fn a_resumed_run_is_judged_the_same() {
    let mut ledger = many();
    ledger.minutes = (0..30).map(|n| full_row((300.0, f64::from(n % 7)), 1.0 + f64::from(n) / 30.0)).collect();
    let text = serde_json::to_string(&ledger).unwrap();
    let read: Ledger = serde_json::from_str(&text).unwrap();
    assert_eq!(Course::of(&ledger), Course::of(&read));
}

fn number() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![4 => (0u32..2000).prop_map(|n| Some(f64::from(n))), 2 => Just(None), 1 => any::<f64>().prop_map(Some)]
}

fn reading() -> impl Strategy<Value = Reading> {
    let side = || (number(), number()).prop_map(|(requests, bad)| Reported { requests, bad });
    prop_oneof![
        3 => (side(), side()).prop_map(|(green, blue)| Reading::Counts { green, blue }),
        1 => (number(), number()).prop_map(|(green, blue)| Reading::Levels { green, blue }),
    ]
}

proptest! {
    /// Any numbers in any series, of the wrong kind too.
    #[test]
    fn any_ledger_is_judged(
        rows in proptest::collection::vec((proptest::collection::vec(reading(), 0..8), number()), 0..40),
        phi in 1.0f64..10.0,
        begun in proptest::collection::vec(0u32..50, 0..8),
    ) {
        let mut ledger = many();
        ledger.starts.begun = begun;
        ledger.metrics.iter_mut().for_each(|metric| metric.phi = phi);
        ledger.minutes = rows.into_iter().map(|(readings, share)| Row { readings, share }).collect();
        let course = Course::of(&ledger);
        prop_assert_eq!(course.evidence.len(), ledger.minutes.len());
        prop_assert!(course.evidence.iter().all(|e| !e.slow.is_nan() && !e.fast.is_nan() && e.slow <= e.fast + 1e-6));
        prop_assert!(!course.reason.is_empty());
        prop_assert_eq!(course.condemned.is_some(), course.verdict == Verdict::Degraded);
    }

    /// Invariant 7: without a number of green there is no health.
    #[test]
    fn missing_data_is_never_health(blues in proptest::collection::vec((number(), number()), 0..40)) {
        let mut ledger = errors(Some(0.01));
        ledger.minutes = blues.into_iter().map(|(requests, bad)| Row::counts(Reported::default(), Reported { requests, bad })).collect();
        let verdict = Course::of(&ledger).verdict;
        prop_assert!(verdict == Verdict::NotEnoughEvidence || verdict == Verdict::CannotSee);
    }
}
