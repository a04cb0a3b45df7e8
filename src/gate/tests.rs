//! The first gate by table and by property.

use proptest::prelude::*;

use super::*;

fn criteria() -> Criteria {
    Criteria {
        counted: Counted::Requests,
        baseline: Baseline::Beside,
        levels: Vec::new(),
        error_ceiling: 0.05,
        error_ratio: 3.0,
        latency_ceiling: None,
        latency_ratio: None,
        min_requests: 50,
        wanted_hosts: 4,
    }
}

fn counts(requests: f64, bad: f64) -> Counts {
    // CloudWatch reports nothing where it counted nothing.
    let some = |n: f64| (n > 0.0).then_some(n);
    Counts { requests: some(requests), bad: some(bad), latency: None }
}

fn minute(nth: usize, green: Counts, blue: Counts) -> Minute {
    let start = DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(i64::try_from(nth).unwrap());
    Minute { start, green, blue, levels: BTreeMap::new() }
}

fn minutes(n: usize, green: (f64, f64), blue: (f64, f64)) -> Vec<Minute> {
    (0..n).map(|nth| minute(nth, counts(green.0, green.1), counts(blue.0, blue.1))).collect()
}

fn slow(n: usize, green: f64, blue: Option<f64>) -> Vec<Minute> {
    let with = |counts: Counts, latency| Counts { latency, ..counts };
    (0..n).map(|nth| minute(nth, with(counts(100.0, 0.0), Some(green)), with(counts(900.0, 0.0), blue))).collect()
}

fn evidence(minutes: Vec<Minute>) -> Evidence {
    Evidence {
        healthy_hosts: 4,
        exposed: true,
        alarms: Ok(BTreeMap::new()),
        alarms_named: Vec::new(),
        minutes: Ok(minutes),
        before: Vec::new(),
    }
}

fn verdict(minutes: Vec<Minute>) -> Verdict {
    judge(&criteria(), &evidence(minutes)).verdict
}

#[test]
fn errors_by_table() {
    use Verdict::{CannotSee, Degraded, Healthy, NotEnoughEvidence};
    type Side = (f64, f64);
    let table: [(&str, usize, Side, Side, Verdict); 16] = [
        ("both are well", 5, (100.0, 0.0), (900.0, 1.0), Healthy),
        ("green is bad", 5, (100.0, 9.0), (900.0, 1.0), Degraded),
        ("green is worse than the ratio, below the ceiling", 5, (100.0, 3.0), (900.0, 1.0), Degraded),
        ("green is within the ratio", 5, (1000.0, 3.0), (900.0, 1.0), Healthy),
        ("blue is as bad as green", 5, (100.0, 9.0), (900.0, 81.0), NotEnoughEvidence),
        ("blue is worse than green", 5, (100.0, 0.0), (900.0, 90.0), Healthy),
        ("both are bad, green is much worse", 5, (100.0, 60.0), (900.0, 81.0), Degraded),
        ("a handful of failures", 1, (20.0, 4.0), (900.0, 0.0), NotEnoughEvidence),
        ("one more failure", 1, (20.0, 5.0), (900.0, 0.0), Degraded),
        ("nothing was asked of either", 10, (0.0, 0.0), (0.0, 0.0), NotEnoughEvidence),
        ("nothing was asked of green, which gets little", 2, (0.0, 0.0), (900.0, 1.0), NotEnoughEvidence),
        ("green answers below the minimum", 4, (12.0, 0.0), (900.0, 0.0), NotEnoughEvidence),
        ("green answers the minimum", 5, (10.0, 0.0), (900.0, 0.0), Healthy),
        ("all traffic is green's, and it is well", 5, (900.0, 9.0), (0.0, 0.0), Healthy),
        ("all traffic is green's, and it is bad", 5, (900.0, 90.0), (0.0, 0.0), Degraded),
        ("no minute has settled", 0, (0.0, 0.0), (0.0, 0.0), NotEnoughEvidence),
    ];
    for (what, n, green, blue, expected) in table {
        let judgement = judge(&criteria(), &evidence(minutes(n, green, blue)));
        assert_eq!(judgement.verdict, expected, "{what}: {}", judgement.reason);
        assert_ne!(judgement.reason, "", "{what}");
        assert_ne!(expected, CannotSee);
    }
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
    let sparse: Vec<Minute> =
        (0..8).map(|n| minute(n, counts(f64::from(u8::from(n < 5)), 0.0), counts(900.0, 1.0))).collect();
    assert_eq!(verdict(sparse), Verdict::NotEnoughEvidence, "a few requests are expected to stay away");
}

#[test]
fn a_fault_that_begins_late_is_not_hidden_by_good_hours() {
    let mut seen = minutes(240, (100.0, 0.0), (900.0, 1.0));
    for nth in 240..245 {
        seen.push(minute(nth, counts(100.0, 8.0), counts(900.0, 1.0)));
    }
    let judgement = judge(&criteria(), &evidence(seen));
    assert_eq!(judgement.verdict, Verdict::Degraded);
    assert!(judgement.reason.contains("in 5 min"), "{}", judgement.reason);
}

#[test]
fn impossible_numbers_are_no_evidence() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        for field in 0..3 {
            let mut counts = counts(100.0, 0.0);
            match field {
                0 => counts.requests = Some(odd),
                1 => counts.bad = Some(odd),
                _ => counts.latency = Some(odd),
            }
            let mut seen = minutes(5, (100.0, 0.0), (900.0, 0.0));
            seen[2].green = counts;
            assert_eq!(verdict(seen.clone()), Verdict::CannotSee, "{odd} in {field}");
            seen[2] = minute(2, self::counts(100.0, 0.0), counts);
            assert_eq!(verdict(seen), Verdict::CannotSee, "{odd} in {field} of blue");
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
    let judged = |healthy| {
        judge(&criteria(), &Evidence { healthy_hosts: healthy, ..evidence(minutes(5, (100.0, 0.0), (900.0, 0.0))) })
    };
    let verdicts: Vec<Verdict> = (0..=5).map(|n| judged(n).verdict).collect();
    use Verdict::{Degraded, Healthy, NotEnoughEvidence};
    assert_eq!(verdicts, [Degraded, Degraded, Degraded, NotEnoughEvidence, Healthy, Healthy]);
    assert_eq!(judged(3).reason, "3 of 4 green targets are healthy");
    let blind = Evidence { minutes: Err("down".to_owned()), ..evidence(Vec::new()) };
    assert_eq!(judge(&criteria(), &blind).verdict, Verdict::CannotSee);
    assert_eq!(judge(&criteria(), &Evidence { exposed: false, ..blind }).verdict, Verdict::CannotSee);
}

#[test]
fn latency_by_table() {
    use Verdict::{Degraded, Healthy, NotEnoughEvidence};
    let table = [
        ("as fast", 5, 0.20, Some(0.20), Healthy),
        ("over the ratio", 5, 0.50, Some(0.20), Degraded),
        ("over the ceiling, within the ratio", 5, 1.10, Some(0.90), Degraded),
        ("both over the ceiling", 5, 1.10, Some(1.05), NotEnoughEvidence),
        ("blue is silent, green is fast", 5, 0.20, None, Healthy),
        ("blue is silent, green is over the ceiling", 5, 1.10, None, Degraded),
        ("seen too briefly", 2, 0.20, Some(0.20), NotEnoughEvidence),
        ("seen too briefly, and slow", 2, 1.10, Some(0.20), NotEnoughEvidence),
    ];
    let criteria = Criteria { latency_ceiling: Some(1.0), latency_ratio: Some(2.0), ..criteria() };
    for (what, n, green, blue, expected) in table {
        let judgement = judge(&criteria, &evidence(slow(n, green, blue)));
        assert_eq!(judgement.verdict, expected, "{what}: {}", judgement.reason);
    }
    assert_eq!(judge(&criteria, &evidence(minutes(5, (100.0, 0.0), (900.0, 0.0)))).verdict, NotEnoughEvidence);
}

fn number() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        4 => (0u32..2000).prop_map(|n| Some(f64::from(n))),
        2 => Just(None),
        1 => any::<f64>().prop_map(Some),
    ]
}

fn side() -> impl Strategy<Value = Counts> {
    (number(), number(), number()).prop_map(|(requests, bad, latency)| Counts { requests, bad, latency })
}

fn any_minutes() -> impl Strategy<Value = Vec<Minute>> {
    proptest::collection::vec((side(), side()), 0..20)
        .prop_map(|sides| sides.into_iter().enumerate().map(|(n, (g, b))| minute(n, g, b)).collect())
}

fn any_criteria() -> impl Strategy<Value = Criteria> {
    let bound = || proptest::option::of(0.01f64..5.0);
    (0.0f64..1.0, 1.0f64..10.0, bound(), bound(), 0u64..500, 0u32..5).prop_map(
        |(error_ceiling, error_ratio, latency_ceiling, ratio, min_requests, wanted_hosts)| Criteria {
            counted: Counted::Requests,
            baseline: Baseline::Beside,
            levels: Vec::new(),
            error_ceiling,
            error_ratio,
            latency_ceiling,
            latency_ratio: ratio.map(|r| r.max(1.0)),
            min_requests,
            wanted_hosts,
        },
    )
}

fn flows(before: Vec<Minute>, since: Vec<Minute>) -> Judgement {
    let criteria = Criteria { counted: Counted::Flows, baseline: Baseline::Past, ..criteria() };
    judge(&criteria, &Evidence { before, ..evidence(since) })
}

/// Behind one Network Load Balancer only one side has new flows at a time, and resets are counted
/// for both together.
#[test]
fn flows_are_compared_with_the_past() {
    let side = |n, flows, resets| minutes(n, (0.0, 0.0), (flows, resets));
    let since = |n, flows, resets| minutes(n, (flows, resets), (0.0, resets));
    let good = flows(side(5, 1000.0, 10.0), since(5, 1000.0, 10.0));
    assert_eq!(good.verdict, Verdict::Healthy);
    assert_eq!(good.reason, "green resets 1.00% (50 of 5000 flows in 5 min), blue before the shift 1.00% (50 of 5000)");
    let bad = flows(side(5, 1000.0, 2.0), since(5, 1000.0, 40.0));
    assert_eq!(bad.verdict, Verdict::Degraded);
    assert!(bad.reason.contains("more than 3 times blue allows"), "{}", bad.reason);
    let both = flows(side(5, 1000.0, 80.0), since(5, 1000.0, 90.0));
    assert_eq!(both.verdict, Verdict::NotEnoughEvidence, "{}", both.reason);
    let without_past = flows(Vec::new(), since(5, 1000.0, 40.0));
    assert_eq!(without_past.verdict, Verdict::Healthy, "below the ceiling, and nothing to compare with");
    let few = flows(side(5, 1000.0, 2.0), since(5, 4.0, 0.0));
    assert_eq!(few.verdict, Verdict::NotEnoughEvidence);
    assert!(few.reason.contains("20 of the 50 flows"), "{}", few.reason);
    for judgement in [good, bad, both, few] {
        assert!(!judgement.reason.contains("request") && !judgement.reason.contains("fails"), "{}", judgement.reason);
    }
}

#[test]
fn silence_after_a_swap_is_blindness() {
    let silent = flows(minutes(5, (0.0, 0.0), (1000.0, 1.0)), minutes(3, (0.0, 0.0), (0.0, 0.0)));
    assert_eq!(silent.verdict, Verdict::CannotSee);
    assert!(silent.reason.contains("while blue had before the shift 3000 flows"), "{}", silent.reason);
    let idle = flows(minutes(5, (0.0, 0.0), (0.0, 0.0)), minutes(3, (0.0, 0.0), (0.0, 0.0)));
    assert_eq!(idle.verdict, Verdict::NotEnoughEvidence, "{}", idle.reason);
}

/// Two Network Load Balancers: both sides have flows and resets of their own, in the same minutes.
#[test]
fn flows_beside_each_other_are_compared_directly() {
    let criteria = Criteria { counted: Counted::Flows, ..criteria() };
    let judged = |resets| judge(&criteria, &evidence(minutes(10, (100.0, resets), (900.0, 1.0))));
    assert_eq!(judged(0.0).verdict, Verdict::Healthy);
    assert_eq!(judged(4.0).verdict, Verdict::Degraded);
}

#[test]
fn latency_of_a_swap_is_compared_with_the_past() {
    let criteria = Criteria { baseline: Baseline::Past, latency_ratio: Some(3.0), ..criteria() };
    let past: Vec<Minute> =
        slow(6, 0.0, Some(0.1)).into_iter().map(|m| Minute { green: Counts::default(), ..m }).collect();
    let judged = |green: f64| judge(&criteria, &Evidence { before: past.clone(), ..evidence(slow(6, green, None)) });
    assert_eq!(judged(0.15).verdict, Verdict::Healthy);
    assert_eq!(judged(0.4).verdict, Verdict::Degraded);
}

#[test]
fn levels_speak_beside_everything_else() {
    let level = Level { name: "checkout".to_owned(), ceiling: Some(5.0), ..Level::default() };
    let criteria = Criteria { counted: Counted::Nothing, levels: vec![level], ..criteria() };
    let at = |value: f64| -> Vec<Minute> {
        let with = |m: Minute| Minute { levels: [("checkout".to_owned(), value)].into(), ..m };
        minutes(4, (0.0, 0.0), (0.0, 0.0)).into_iter().map(with).collect()
    };
    let judged = |value| judge(&criteria, &Evidence { before: at(1.0), ..evidence(at(value)) });
    assert_eq!(judged(2.0).verdict, Verdict::Healthy);
    assert!(judged(2.0).reason.ends_with(", checkout 2"), "{}", judged(2.0).reason);
    assert_eq!(judged(6.0).verdict, Verdict::Degraded);
    assert_eq!(judged(f64::NAN).verdict, Verdict::CannotSee);
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
