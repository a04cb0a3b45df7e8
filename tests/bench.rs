//! The benchmark's parts, and the promise at a size that every test run can afford. The whole of it:
//! `cargo run --release --example peers`.

mod estate;
mod kayenta;
mod latency;
mod measure;
mod past;
mod promise;
mod rules;
mod tables;
mod traffic;
mod whole;

use measure::{Phi, geometric_mean, measure};
use migrate::gate::Verdict;
use migrate::gate::count::Reported;
use migrate::gate::course::Course;
use migrate::gate::ledger::{Ledger, Row};
use migrate::gate::limit::Limit;
use migrate::gate::protocol::Observed;
use migrate::gate::trial::{Margin, Starts};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use rules::{Plan, Rule, mann_whitney};
use traffic::{Clusters, Generator, Scenario};

const JUDGE: Rule = Rule::Judge { false_rollback: 0.01, limit: None };

/// All cells together keep the declared chance by far; no cell breaks it beyond what a hundred runs can
/// show.
#[test]
fn a_healthy_green_stays() {
    let cells = promise::cells(100, 100, 7);
    assert_eq!(cells.len(), 100);
    for (index, declared) in promise::DECLARED.into_iter().enumerate() {
        let found = || cells.iter().map(|cell| cell.false_rollbacks[index]);
        let mean = found().sum::<f64>() / cells.len() as f64;
        assert!(mean <= declared, "{declared}: {mean}: {cells:?}");
        assert!(found().fold(0.0, f64::max) <= declared + 0.04, "{declared}: {cells:?}");
    }
}

/// From a day of blue by zone to the verdict, with every metric that a run asks: the same promise.
#[test]
fn a_healthy_green_stays_through_the_whole_path() {
    let kinds: Vec<&whole::Kind> = whole::KINDS.iter().filter(|kind| !kind.outside).collect();
    let cells: Vec<whole::Cell> = measure::on_two_threads(&kinds, |index, kind| {
        [(10.0, 0.1), (100.0, 0.5)].map(|(rps, share)| whole::cell(kind, rps, share, 20, 20, index as u64))
    })
    .into_iter()
    .flatten()
    .collect();
    let home: f64 = cells.iter().map(|cell| cell.false_rollbacks[1] * f64::from(cell.runs)).sum();
    assert!(home <= 2.0, "{cells:?}");
}

/// What is late looks like none: blue's usual failures stand in for those that are missing.
#[test]
fn late_numbers_condemn_nobody() {
    for lateness in [whole::Lateness::Missing(0.1), whole::Lateness::Together(0.1)] {
        let late = whole::late_cell(lateness, 100.0, 0.5, 6, 6, 1);
        assert_eq!(late.false_rollbacks, 0.0, "{late:?}");
    }
}

/// Compared with the past, a minute's noise and the time of the day do not cancel. A phi of stretches of
/// the day holds them, and still a green that fails ten times as often goes home.
#[test]
fn the_past_is_no_trap() {
    for (name, daily, noise) in [past::DAYS[0], past::DAYS[4]] {
        let case = past::case(name, &past::estate(100.0, daily, noise), 60, 20, 10, 1);
        assert_eq!((case.false_rollbacks[1], case.found), (0.0, 1.0), "{case:?}");
    }
}

/// A run of a day with eight metrics is a function of its minutes, which the journal holds as text: whoever
/// replays it comes to the same verdict, and what comes later changes nothing of what was.
#[test]
fn a_resumed_run_is_judged_as_if_it_had_never_stopped() {
    let (protocol, minutes, begun) = whole::day(3);
    assert_eq!((minutes.len(), protocol.metrics.len()), (1440, 8));
    let text = serde_json::to_string(&minutes).unwrap();
    let replayed = serde_json::from_str(&text).unwrap();
    let course = |minutes, begun| Course::of(&protocol.ledger(Observed { minutes, begun, open: None }));
    let whole = course(&minutes, &begun[..]);
    assert_eq!(whole, course(&replayed, &begun[..]));
    assert_eq!((whole.verdict, whole.condemned), (Verdict::Healthy, None));
    let earlier = minutes.iter().take(700).map(|(start, minute)| (*start, minute.clone())).collect();
    let then = course(&earlier, &begun[..3]);
    assert_eq!(then.evidence[..], whole.evidence[..700]);
}

/// At the very bound of what counts as healthy, and under a looser promise, where errors would show.
#[test]
fn the_bound_itself_keeps_the_promise() {
    let bound = 1.25 * (0.001 + 1e-4);
    let rule = [Rule::Judge { false_rollback: 0.05, limit: None }];
    for (index, (rps, share)) in [(10.0, 0.5), (100.0, 0.05), (100.0, 0.5)].into_iter().enumerate() {
        let measured = measure(&Scenario::hour(rps, share, bound), &rule, Phi::Fixed(1.0), 400, index as u64);
        assert!(measured[0].found <= 0.05, "{rps} {share}: {measured:?}");
    }
}

/// Without phi the same judge fails: the estimate is what holds, not luck.
#[test]
fn clusters_break_a_judge_that_ignores_them() {
    let scenario = promise::migration(100.0, 0.5, Clusters::Of(10.0), 0.001);
    let ignored = measure(&scenario, &[JUDGE], Phi::Fixed(1.0), 100, 1);
    assert!(ignored[0].found > 0.1, "{ignored:?}");
    let estimated = measure(&scenario, &[JUDGE], Phi::Estimated { shared_by: 50 }, 100, 1);
    assert!(estimated[0].found <= 0.02, "{estimated:?}");
}

/// 1, 5, 10, 25, 50 % at 100 requests a second, half a per cent of errors on green.
#[test]
fn a_bad_green_is_caught_after_a_handful_of_failures() {
    let measured = measure(&promise::ladder(100.0, 0.005), &[JUDGE], Phi::Fixed(1.0), 300, 3);
    assert_eq!(measured[0].found, 1.0, "{measured:?}");
    assert!(measured[0].failed <= 20.0, "{measured:?}");
    let late = Scenario { onset: 36, ..promise::ladder(100.0, 0.01) };
    let late = measure(&late, &[JUDGE], Phi::Fixed(1.0), 300, 4);
    assert!(late[0].found > 0.99 && late[0].median_minutes <= Some(4.0), "{late:?}");
}

/// The benchmark's arithmetic is the judge's own.
#[test]
fn the_benchmark_judges_as_the_judge() {
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    let mut minutes = Vec::new();
    let mut rolled_back = 0;
    for (rps, share, rate) in
        [(10.0, 0.1, 0.02), (100.0, 0.05, 0.005), (100.0, 0.5, 0.001), (1.0, 0.5, 0.1), (10.0, 0.9, 0.05)]
    {
        let scenario = Scenario { onset: 10, ..Scenario::hour(rps, share, rate) };
        let generator = Generator::new(&scenario);
        for (limit, phi) in [(None, 1.0), (Some(0.005), 1.0), (Some(0.02), 2.5)] {
            let plan = Plan::new(60, &[0], phi);
            for _ in 0..20 {
                generator.run(&mut minutes, &mut rng);
                let starts = Starts::planned(60, &[0]);
                let mut ledger = Ledger::of_errors(0.01, starts, Margin::ERRORS, phi, limit.map(|rate| Limit { rate }));
                ledger.minutes.extend(minutes.iter().map(|pair| {
                    let side = |count: migrate::gate::count::Count| Reported::new(count.requests, count.bad);
                    Row::counts(side(pair.green), side(pair.blue))
                }));
                let course = Course::of(&ledger).condemned.map(|minute| minute + 1);
                assert_eq!(rules::judge(&minutes, &plan, 0.01, limit), course, "{scenario:?} {limit:?} {phi}");
                rolled_back += u32::from(course.is_some());
            }
        }
    }
    assert!(rolled_back > 100 && rolled_back < 300, "both verdicts are compared: {rolled_back}");
}

/// The tables that are checked in are those of this code's seed, rules and cases, and they keep the
/// promise: what the README says rests on them.
#[test]
fn the_numbers_that_are_checked_in_keep_the_promise() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peers.json");
    let held: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let report = tables::Report::measure(0, tables::SEED);
    let small = serde_json::to_value(&report).unwrap();
    for same in ["seed", "rules", "rules_of_cases"] {
        assert_eq!(held[same], small[same], "run `cargo run --release --example peers` again");
    }
    let names = |report: &serde_json::Value, table: &str| -> Vec<serde_json::Value> {
        report[table].as_array().unwrap().iter().map(|case| case["name"].clone()).collect()
    };
    for table in ["grid", "cells", "robustness", "latency"] {
        assert_eq!(names(&held, table), names(&small, table), "run `cargo run --release --example peers` again");
    }
    let shown = std::fs::read_to_string(path.replace(".json", ".md")).unwrap();
    for line in report
        .markdown()
        .lines()
        .filter(|line| ["| rule", "| case", "| failures", "| day", "| |"].iter().any(|head| line.starts_with(head)))
    {
        assert!(shown.contains(line), "no table with {line}");
    }
    assert_eq!(held["runs_healthy"], 20_000);
    let kept = |table: &str, outside: &dyn Fn(&serde_json::Value) -> bool| {
        let cells = held[table].as_array().unwrap().iter().filter(|cell| !outside(cell));
        for cell in cells {
            let found = &cell["false_rollbacks"];
            let single = found.as_f64().map(|found| (found, 0.01));
            let each = found.as_array().into_iter().flatten().map(|found| found.as_f64().unwrap());
            for (found, declared) in each.zip(promise::DECLARED).chain(single) {
                assert!(found <= declared, "{table}: {cell}");
            }
        }
    };
    kept("promise", &|_| false);
    kept("whole", &|cell| cell["outside"] == true);
    kept("late", &|cell| !cell["lateness"]["partial"].is_null());
    kept("past", &|_| false);
    for caught in held["staged"].as_array().unwrap() {
        assert_eq!(caught["found"], 1.0, "{caught}");
    }
}

/// Each peer's rule on minutes by hand.
#[test]
fn the_peers_rules_by_hand() {
    use migrate::gate::count::{Count, Pair};
    let minutes = |bad: &[f64]| -> Vec<Pair> {
        bad.iter().map(|bad| Pair { green: Count::new(100.0, *bad), blue: Count::new(900.0, 1.0) }).collect()
    };
    let plan = Plan::new(60, &[0], 1.0);
    let home = |rule: Rule, bad: &[f64]| rule.rolls_back(&minutes(bad), &plan);
    let argo = Rule::Argo { above: 0.01, limit: 3, guard: 0.0 };
    assert_eq!(home(argo, &[2.0, 0.0, 2.0, 0.0, 2.0, 1.0, 2.0]), Some(7), "the fourth failure, however far apart");
    assert_eq!(home(Rule::Argo { above: 0.01, limit: 3, guard: 200.0 }, &[9.0; 9]), None, "too few requests");
    assert_eq!(home(Rule::Argo { above: 0.01, limit: 0, guard: 0.0 }, &[0.0, 2.0]), Some(2));
    assert_eq!(home(Rule::Flagger { threshold: 5 }, &[2.0; 9]), Some(6), "one tick after the fifth");
    assert_eq!(home(Rule::Flagger { threshold: 5 }, &[2.0; 5]), None, "there is no next tick");
    assert_eq!(home(Rule::Consecutive { threshold: 3 }, &[2.0, 2.0, 0.0, 2.0, 2.0, 2.0]), Some(6));
    assert_eq!(home(Rule::Burn, &[0.0, 0.0, 0.0, 8.0]), Some(4), "2 % of the bake and of five minutes");
    assert_eq!(home(Rule::Kayenta, &[5.0; 20]), Some(10));
    assert_eq!(home(Rule::PipeCd, &[0.0, 1.0, 0.0, 1.0, 0.0, 4.0, 5.0, 6.0, 7.0, 8.0]), Some(10));
    assert_eq!(home(Rule::PipeCd, &[0.0; 9]), Some(5), "better than blue is another");
    let silent = vec![Pair { green: Count::default(), blue: Count::new(900.0, 1.0) }; 9];
    assert_eq!(Rule::Flagger { threshold: 1 }.rolls_back(&silent, &plan), Some(2), "no data is a failed check");
    assert_eq!(argo.rolls_back(&silent, &plan), None);
    for rule in [Rule::Burn, Rule::Kayenta, Rule::Peeking, Rule::LindonMalek, Rule::PlainEvidence, JUDGE] {
        assert_eq!(rule.rolls_back(&silent, &plan), None, "{rule:?}");
        assert!(rule.rolls_back(&minutes(&[30.0; 20]), &plan).is_some(), "{rule:?}");
    }
}

/// Five against five, no ties: 2 of 252 ways are as extreme as the most extreme.
#[test]
fn mann_whitney_is_exact() {
    let p = mann_whitney(&[6.0, 7.0, 8.0, 9.0, 10.0], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!((p - 2.0 / 252.0).abs() < 1e-12);
    assert_eq!(mann_whitney(&[0.0; 5], &[0.0; 5]), 1.0);
    assert!((geometric_mean([1.0, 100.0].into_iter()) - 10.0).abs() < 1e-9);
}
