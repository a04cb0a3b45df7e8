//! The gate by table and by property: a protocol of errors and a hard limit, and all that stands beside it.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::combination::{Role, weights};
use super::ledger::{Metric, Test};
use super::limit::Limit;
use super::protocol::{Begun, Observed, Protocol, Series};
use super::trial::Margin;
use super::*;

fn criteria() -> Criteria {
    Criteria {
        counted: Counted::Requests,
        levels: Vec::new(),
        latency_ceiling: None,
        min_requests: 50,
        wanted_hosts: 4,
        next: None,
    }
}

/// Errors beside blue's, and a hard limit of 2 %.
fn protocol(baseline: Baseline) -> Protocol {
    let tests = [("errors", Test::Beside(Margin::ERRORS)), ("hard limit", Test::Against(Limit { rate: 0.02 }))];
    let weights = weights(&[Role::Errors, Role::HardLimit]);
    let metric = |((name, test), weight): ((&str, Test), f64)| Metric {
        name: name.to_owned(),
        series: 0,
        test,
        weight,
        phi: 1.0,
        cold_minutes: 0,
    };
    Protocol {
        counted: Counted::Requests,
        baseline,
        false_rollback: 0.01,
        planned_minutes: 60,
        stages: 2,
        series: vec![Series::Errors],
        usual: Vec::new(),
        metrics: tests.into_iter().zip(weights).map(metric).collect(),
    }
}

fn counts(requests: f64, bad: f64) -> Counts {
    // CloudWatch reports nothing where it counted nothing.
    let some = |n: f64| (n > 0.0).then_some(n);
    Counts { requests: some(requests), bad: some(bad), ..Counts::default() }
}

/// The minute in which the shift was made is the first.
fn at(nth: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(1) + TimeDelta::minutes(nth)
}

fn minute(nth: usize, green: Counts, blue: Counts) -> Minute {
    Minute { start: at(i64::try_from(nth).unwrap()), green, blue, levels: BTreeMap::new() }
}

fn minutes(n: usize, green: (f64, f64), blue: (f64, f64)) -> Vec<Minute> {
    (0..n).map(|nth| minute(nth, counts(green.0, green.1), counts(blue.0, blue.1))).collect()
}

fn slow(n: usize, green: f64, blue: Option<f64>) -> Vec<Minute> {
    let with = |counts: Counts, latency| Counts { latency, ..counts };
    (0..n).map(|nth| minute(nth, with(counts(100.0, 0.0), Some(green)), with(counts(900.0, 0.0), blue))).collect()
}

/// One stage of so much, and what was seen before it.
fn seen(baseline: Baseline, share: f64, before: Vec<Minute>, stage: Vec<Minute>) -> Evidence {
    let begun = [Begun { intended: at(0), followed: Some(at(0)), share }];
    let known = before.iter().chain(&stage).map(|m| (m.start, m.clone())).collect();
    Evidence {
        healthy_hosts: 4,
        exposed: true,
        alarms: Ok(BTreeMap::new()),
        alarms_named: Vec::new(),
        unread: None,
        ledger: protocol(baseline).ledger(Observed { minutes: &known, begun: &begun, open: None }),
        stage,
        before,
    }
}

fn evidence(stage: Vec<Minute>) -> Evidence {
    seen(Baseline::Beside, 0.1, Vec::new(), stage)
}

fn verdict(minutes: Vec<Minute>) -> Verdict {
    judge(&criteria(), &evidence(minutes)).verdict
}

#[test]
fn errors_by_table() {
    use Verdict::{CannotSee, Degraded, Healthy, NotEnoughEvidence};
    type Side = (f64, f64);
    let table: [(&str, usize, Side, Side, Verdict); 13] = [
        ("both are well", 5, (100.0, 0.0), (900.0, 1.0), Healthy),
        ("green is bad", 5, (100.0, 9.0), (900.0, 1.0), Degraded),
        ("green is worse than blue, below the limit", 60, (100.0, 1.0), (900.0, 1.0), Degraded),
        ("green is within the margin", 60, (1000.0, 1.0), (900.0, 1.0), Healthy),
        ("blue is as bad as green", 5, (100.0, 9.0), (900.0, 81.0), NotEnoughEvidence),
        ("blue is worse than green", 5, (100.0, 0.0), (900.0, 90.0), Healthy),
        ("both are bad, green is much worse", 5, (100.0, 60.0), (900.0, 81.0), Degraded),
        ("a minute with some failures is not enough", 1, (20.0, 2.0), (900.0, 0.0), NotEnoughEvidence),
        ("nothing was asked of either", 10, (0.0, 0.0), (0.0, 0.0), NotEnoughEvidence),
        ("nothing was asked of green, which should have had some", 3, (0.0, 0.0), (900.0, 1.0), CannotSee),
        ("green answers below the minimum", 4, (12.0, 0.0), (900.0, 0.0), NotEnoughEvidence),
        ("green answers the minimum", 5, (10.0, 0.0), (900.0, 0.0), Healthy),
        ("no minute has settled", 0, (0.0, 0.0), (0.0, 0.0), NotEnoughEvidence),
    ];
    for (what, n, green, blue, expected) in table {
        let judgement = judge(&criteria(), &evidence(minutes(n, green, blue)));
        assert_eq!(judgement.verdict, expected, "{what}: {}", judgement.reason);
        assert_ne!(judgement.reason, "", "{what}");
    }
    let alone = |bad| seen(Baseline::Beside, 1.0, Vec::new(), minutes(10, (900.0, bad), (0.0, 0.0)));
    assert_eq!(judge(&criteria(), &alone(9.0)).verdict, Healthy, "within the hard limit");
    let condemned = judge(&criteria(), &alone(90.0));
    assert_eq!(condemned.verdict, Degraded);
    let weighed = condemned.weighed.unwrap();
    assert_eq!((weighed.metric.as_str(), weighed.phi), ("hard limit", 1.0));
    assert!(weighed.log_e_slow >= weighed.log_e_needed, "{weighed:?}");
    assert!(weighed.log_e_fast >= weighed.log_e_slow, "{weighed:?}");
}

#[test]
fn silence_is_blindness() {
    let mut seen = minutes(5, (100.0, 0.0), (900.0, 1.0));
    assert_eq!(verdict(seen.clone()), Verdict::Healthy);
    for nth in 5..8 {
        seen.push(minute(nth, Counts::default(), Counts::default()));
    }
    assert_eq!(verdict(seen.clone()), Verdict::CannotSee, "neither side reports any more");
    for late in &mut seen[5..] {
        late.blue = counts(900.0, 1.0);
    }
    assert_eq!(verdict(seen.clone()), Verdict::CannotSee, "only green reports no more, and was heard before");
    assert_eq!(verdict(seen[..7].to_vec()), Verdict::Healthy, "two late minutes are no silence");
    let unread = Evidence { unread: Some("down".to_owned()), ..evidence(minutes(5, (100.0, 0.0), (900.0, 1.0))) };
    let blind = judge(&criteria(), &unread);
    assert_eq!((blind.verdict, blind.reason.as_str()), (Verdict::CannotSee, "CloudWatch cannot be read: down"));
    let guilty = Evidence { unread: Some("down".to_owned()), ..evidence(minutes(5, (100.0, 90.0), (900.0, 1.0))) };
    assert_eq!(judge(&criteria(), &guilty).verdict, Verdict::Degraded, "what was seen before is not forgotten");
    assert_eq!(judge(&criteria(), &Evidence { exposed: false, ..unread }).verdict, Verdict::CannotSee);
}

#[test]
fn suspicion_holds_and_too_little_is_only_too_little() {
    let suspicious = judge(&criteria(), &evidence(minutes(2, (300.0, 3.0), (5700.0, 6.0))));
    assert_eq!((suspicious.verdict, suspicious.against), (Verdict::NotEnoughEvidence, true), "{}", suspicious.reason);
    let little = judge(&criteria(), &evidence(minutes(4, (12.0, 0.0), (900.0, 0.0))));
    assert_eq!((little.verdict, little.against), (Verdict::NotEnoughEvidence, false), "{}", little.reason);
    let well = judge(&criteria(), &evidence(minutes(5, (100.0, 0.0), (900.0, 1.0))));
    assert!(!well.against);
}

#[test]
fn impossible_minutes_say_nothing_and_hide_nothing() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
        for field in 0..3 {
            let with = |mut counts: Counts| {
                let place = [&mut counts.requests, &mut counts.bad, &mut counts.latency].into_iter().nth(field);
                *place.unwrap() = Some(odd);
                counts
            };
            let mut seen = minutes(8, (100.0, 0.0), (900.0, 0.0));
            seen[2].green = with(seen[2].green.clone());
            assert_eq!(verdict(seen.clone()), Verdict::Healthy, "{odd} in {field}");
            seen[3].blue = with(seen[3].blue.clone());
            assert_eq!(verdict(seen.clone()), Verdict::Healthy, "{odd} in {field} of blue");
            for late in &mut seen[5..] {
                late.green = with(late.green.clone());
            }
            let expected = if field == 2 { Verdict::Healthy } else { Verdict::CannotSee };
            assert_eq!(verdict(seen), expected, "{odd} in {field} for three minutes");
        }
    }
    assert_eq!(verdict(minutes(5, (100.0, 500.0), (900.0, 0.0))), Verdict::Degraded, "more failures than requests");
}

#[test]
fn alarms_by_table() {
    let named = vec!["a".to_owned(), "b".to_owned()];
    let judged = |alarms: Result<&[(&str, &str)], &str>, exposed| {
        let map = |s: &[(&str, &str)]| s.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let alarms = alarms.map(map).map_err(str::to_owned);
        let minutes = if exposed { minutes(5, (100.0, 0.0), (900.0, 0.0)) } else { Vec::new() };
        let evidence = Evidence { alarms, alarms_named: named.clone(), exposed, ..evidence(minutes) };
        judge(&criteria(), &evidence)
    };
    let ok = ("a", "OK");
    assert_eq!(judged(Ok(&[ok, ("b", "OK")]), true).verdict, Verdict::Healthy);
    let red = judged(Ok(&[ok, ("b", "ALARM")]), true);
    assert_eq!((red.verdict, red.reason.as_str()), (Verdict::Degraded, "alarm b is in ALARM"));
    assert_eq!(judged(Ok(&[ok]), true).verdict, Verdict::CannotSee, "one is missing");
    assert_eq!(judged(Ok(&[("a", "ALARM")]), true).verdict, Verdict::Degraded, "red outweighs missing");
    assert_eq!(judged(Err("AccessDenied"), true).verdict, Verdict::CannotSee);
    let undecided = [ok, ("b", "INSUFFICIENT_DATA")];
    assert_eq!(judged(Ok(&undecided), true).verdict, Verdict::NotEnoughEvidence);
    assert_eq!(judged(Ok(&undecided), false).verdict, Verdict::Healthy, "there can be no data yet");
}

#[test]
fn hosts_by_table() {
    use Verdict::{Degraded, Healthy, NotEnoughEvidence};
    let judged = |healthy| {
        judge(&criteria(), &Evidence { healthy_hosts: healthy, ..evidence(minutes(5, (100.0, 0.0), (900.0, 0.0))) })
    };
    let verdicts: Vec<Verdict> = (0..=5).map(|n| judged(n).verdict).collect();
    assert_eq!(verdicts, [Degraded, Degraded, Degraded, NotEnoughEvidence, Healthy, Healthy]);
    assert_eq!(judged(3).reason, "3 of 4 green targets are healthy");
}

#[test]
fn a_ceiling_of_latency_by_table() {
    use Verdict::{Degraded, Healthy, NotEnoughEvidence};
    let table = [
        ("fast", 5, 0.20, Some(0.20), Healthy),
        ("over the ceiling", 5, 1.10, Some(0.90), Degraded),
        ("both over the ceiling", 5, 1.10, Some(1.05), NotEnoughEvidence),
        ("blue is silent, green is fast", 5, 0.20, None, Healthy),
        ("blue is silent, green is over the ceiling", 5, 1.10, None, Degraded),
        ("seen too briefly", 2, 0.20, Some(0.20), NotEnoughEvidence),
        ("seen too briefly, and slow", 2, 1.10, Some(0.20), NotEnoughEvidence),
    ];
    let criteria = Criteria { latency_ceiling: Some(1.0), ..criteria() };
    for (what, n, green, blue, expected) in table {
        let judgement = judge(&criteria, &evidence(slow(n, green, blue)));
        assert_eq!(judgement.verdict, expected, "{what}: {}", judgement.reason);
    }
    assert_eq!(judge(&criteria, &evidence(minutes(5, (100.0, 0.0), (900.0, 0.0)))).verdict, NotEnoughEvidence);
    let late = [slow(20, 0.2, Some(0.2)), slow(25, 1.1, Some(0.2))[20..].to_vec()].concat();
    assert_eq!(judge(&criteria, &evidence(late)).verdict, Degraded, "the last five minutes are looked at alone");
}

/// Minutes before a swap, the newest last, and those since it.
fn swapped(before: (f64, f64), since: &[(f64, f64)]) -> Judgement {
    let side = |nth: i64| Minute { start: at(-nth), blue: counts(before.0, before.1), ..Minute::default() };
    let past: Vec<Minute> = (1..=5).rev().map(side).collect();
    // Resets are counted for both sides together, behind one Network Load Balancer.
    let stage = since.iter().enumerate();
    let stage = stage.map(|(nth, (flows, resets))| minute(nth, counts(*flows, *resets), counts(0.0, *resets)));
    let criteria = Criteria { counted: Counted::Flows, ..criteria() };
    judge(&criteria, &seen(Baseline::Past, 1.0, past, stage.collect()))
}

#[test]
fn flows_are_compared_with_the_past() {
    let good = swapped((1000.0, 10.0), &[(1000.0, 10.0); 5]);
    assert_eq!(good.verdict, Verdict::Healthy, "{}", good.reason);
    let bad = swapped((1000.0, 2.0), &[(1000.0, 18.0); 5]);
    assert_eq!(bad.verdict, Verdict::Degraded, "{}", bad.reason);
    let both = swapped((1000.0, 80.0), &[(1000.0, 85.0); 5]);
    assert_eq!(both.verdict, Verdict::NotEnoughEvidence, "both break the limit: {}", both.reason);
    let few = swapped((1000.0, 2.0), &[(4.0, 0.0); 5]);
    assert_eq!(few.verdict, Verdict::NotEnoughEvidence);
    assert!(few.reason.contains("20 of the 50 flows"), "{}", few.reason);
    let silent = swapped((1000.0, 1.0), &[(0.0, 0.0); 3]);
    assert_eq!(silent.verdict, Verdict::CannotSee, "{}", silent.reason);
    let idle = swapped((0.0, 0.0), &[(0.0, 0.0); 3]);
    assert_eq!(idle.verdict, Verdict::NotEnoughEvidence, "{}", idle.reason);
    let longer = swapped((1000.0, 2.0), &[(1000.0, 2.0); 12]);
    assert_eq!(longer.verdict, Verdict::Healthy, "beyond the past there is only the limit: {}", longer.reason);
}

#[test]
fn levels_speak_beside_everything_else() {
    let level = Level { name: "checkout".to_owned(), ceiling: Some(5.0), ..Level::default() };
    let criteria = Criteria { counted: Counted::Nothing, levels: vec![level.clone()], ..criteria() };
    let at = |value: f64| -> Vec<Minute> {
        let with = |m: Minute| Minute { levels: [("checkout".to_owned(), value)].into(), ..m };
        minutes(4, (0.0, 0.0), (0.0, 0.0)).into_iter().map(with).collect()
    };
    let mut nothing = evidence(Vec::new());
    nothing.ledger.metrics.clear();
    let judged = |value| judge(&criteria, &Evidence { before: at(1.0), stage: at(value), ..nothing.clone() });
    assert_eq!(judged(2.0).verdict, Verdict::Healthy);
    assert!(judged(2.0).reason.ends_with(", checkout 2"), "{}", judged(2.0).reason);
    assert_eq!(judged(6.0).verdict, Verdict::Degraded);
    // One of each side: what blue has too is not green's fault.
    let own = Level { of_each_side: true, ..level };
    let criteria = Criteria { levels: vec![own], ..criteria };
    let sides = |green: f64, blue: f64| -> Vec<Minute> {
        let side = |value: f64| Counts { own: [("checkout".to_owned(), value)].into(), ..Counts::default() };
        (0..4).map(|nth| minute(nth, side(green), side(blue))).collect()
    };
    let judged = |green, blue| judge(&criteria, &Evidence { stage: sides(green, blue), ..nothing.clone() }).verdict;
    assert_eq!(judged(2.0, 2.0), Verdict::Healthy);
    assert_eq!(judged(6.0, 2.0), Verdict::Degraded);
    assert_eq!(judged(6.0, 7.0), Verdict::NotEnoughEvidence);
}

fn number() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        4 => (0u32..2000).prop_map(|n| Some(f64::from(n))),
        2 => Just(None),
        1 => any::<f64>().prop_map(Some),
    ]
}

fn side() -> impl Strategy<Value = Counts> {
    let counts = |(requests, bad, latency)| Counts { requests, bad, latency, ..Counts::default() };
    (number(), number(), number()).prop_map(counts)
}

fn any_minutes() -> impl Strategy<Value = Vec<Minute>> {
    proptest::collection::vec((side(), side()), 0..20)
        .prop_map(|sides| sides.into_iter().enumerate().map(|(n, (g, b))| minute(n, g, b)).collect())
}

fn any_criteria() -> impl Strategy<Value = Criteria> {
    let next = proptest::option::of((0.0f64..=1.0, 1.0f64..1e4));
    (proptest::option::of(0.01f64..5.0), 0u64..500, 0u32..5, next).prop_map(
        |(latency_ceiling, min_requests, wanted_hosts, next)| Criteria {
            latency_ceiling,
            min_requests,
            wanted_hosts,
            next: next.map(|(share, accepted_failures)| Next { share, accepted_failures }),
            ..criteria()
        },
    )
}

proptest! {
    #[test]
    fn any_numbers_are_judged(criteria in any_criteria(), seen in any_minutes(), hosts in 0u32..6, exposed: bool) {
        let evidence = Evidence { healthy_hosts: hosts, exposed, ..evidence(seen) };
        let judgement = judge(&criteria, &evidence);
        prop_assert!(!judgement.reason.is_empty());
        prop_assert!(judgement.tally.green_bad <= judgement.tally.green_requests);
    }

    /// Invariant 7: without a single number of green there is no health.
    #[test]
    fn missing_data_is_never_health(criteria in any_criteria(), blues in proptest::collection::vec(side(), 0..20)) {
        let criteria = Criteria { min_requests: criteria.min_requests.max(1), ..criteria };
        let seen = blues.into_iter().enumerate().map(|(n, blue)| minute(n, Counts::default(), blue)).collect();
        let verdict = judge(&criteria, &evidence(seen)).verdict;
        prop_assert!(verdict != Verdict::Healthy);
        prop_assert!(verdict != Verdict::Degraded || criteria.wanted_hosts > 4);
    }

    /// More failures of green never make the verdict better.
    #[test]
    fn failures_never_help(
        green in proptest::collection::vec((0u32..500, 0u32..50), 1..12),
        blue in (0u32..2000, 0u32..200),
        at in 0usize..12,
        more in 1u32..100,
    ) {
        let build = |green: &[(u32, u32)]| -> Vec<Minute> {
            let side = |(requests, bad): (u32, u32)| counts(f64::from(requests), f64::from(bad.min(requests)));
            green.iter().enumerate().map(|(n, g)| minute(n, side(*g), side(blue))).collect()
        };
        let mut worse = green.clone();
        let at = at % worse.len();
        worse[at].1 += more;
        prop_assert!(verdict(build(&worse)) >= verdict(build(&green)));
    }
}
