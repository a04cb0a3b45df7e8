//! Which scenarios are measured, and the tables of them.

use std::fmt::Write;

use serde::Serialize;

use super::latency::{self, Latency};
use super::measure::{Measure, Phi, geometric_mean, measure, on_two_threads};
use super::promise::{self, Cell, RPS, SHARES};
use super::rules::Rule;
use super::traffic::{Clusters, Scenario};
use super::{past, whole};

pub const SEED: u64 = 20_261_123;
const JUDGE: Rule = Rule::Judge { false_rollback: 0.01, limit: None };
/// Rates on a bad green; blue has 0.1 %.
const RATES: [f64; 5] = [0.002, 0.005, 0.01, 0.05, 0.5];

const RULES: [Rule; 17] = [
    Rule::Argo { above: 0.01, limit: 0, guard: 0.0 },
    Rule::Argo { above: 0.05, limit: 3, guard: 0.0 },
    Rule::Argo { above: 0.01, limit: 3, guard: 0.0 },
    Rule::Argo { above: 0.01, limit: 3, guard: 20.0 },
    Rule::Flagger { threshold: 1 },
    Rule::Flagger { threshold: 5 },
    Rule::Flagger { threshold: 10 },
    Rule::Consecutive { threshold: 5 },
    Rule::Burn,
    Rule::Kayenta,
    Rule::PipeCd,
    Rule::Peeking,
    Rule::Msprt,
    Rule::LindonMalek,
    Rule::PlainEvidence,
    JUDGE,
    Rule::Judge { false_rollback: 0.05, limit: Some(0.005) },
];

/// The rules of the tables of single cases.
const SHORT: [Rule; 9] = [
    Rule::Argo { above: 0.01, limit: 3, guard: 0.0 },
    Rule::Argo { above: 0.01, limit: 3, guard: 20.0 },
    Rule::Flagger { threshold: 5 },
    Rule::Burn,
    Rule::Kayenta,
    Rule::PipeCd,
    Rule::LindonMalek,
    JUDGE,
    Rule::Judge { false_rollback: 0.01, limit: Some(0.005) },
];

/// Times blue's rate on green, and whether the user's own metrics are judged as well.
const STAGED: [(f64, bool); 3] = [(5.0, false), (5.0, true), (10.0, true)];

const CELLS: [(f64, f64, f64); 9] = [
    (1.0, 0.5, 0.01),
    (1.0, 0.5, 0.05),
    (1.0, 0.1, 0.5),
    (10.0, 0.1, 0.01),
    (100.0, 0.05, 0.005),
    (100.0, 0.05, 0.05),
    (100.0, 0.5, 0.005),
    (1000.0, 0.01, 0.005),
    (1000.0, 0.01, 0.5),
];

/// One scenario under several rules.
#[derive(Debug, Serialize)]
pub struct Case {
    pub name: String,
    pub healthy: bool,
    pub measures: Vec<Measure>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub runs_healthy: u32,
    pub runs_bad: u32,
    /// In the order of the grid's measures.
    pub rules: Vec<String>,
    /// In the order of the measures of all other cases.
    pub rules_of_cases: Vec<String>,
    pub promise: Vec<Cell>,
    pub whole: Vec<whole::Cell>,
    pub staged: Vec<whole::Caught>,
    pub late: Vec<whole::Late>,
    pub past: Vec<past::Case>,
    /// Twenty cells, healthy and at each rate.
    pub grid: Vec<Case>,
    pub cells: Vec<Case>,
    pub robustness: Vec<Case>,
    pub latency: Vec<Latency>,
}

impl Report {
    pub fn measure(runs: u32, seed: u64) -> Report {
        let bad = runs.div_ceil(10);
        let promise = promise::cells(runs, 4, seed);
        let whole = whole::cells(bad, 20, seed + 10_000);
        let staged = on_two_threads(&STAGED, |index, (worse, own)| {
            whole::staged(*worse, *own, bad, seed + 15_000 + index as u64)
        });
        let late = whole::late(runs.div_ceil(100), 10, seed + 20_000);
        let past = past::measure(runs.div_ceil(40), 10, seed + 30_000);
        let mut grid = Vec::new();
        for rate in [0.001].into_iter().chain(RATES) {
            grid.extend(RPS.iter().flat_map(|rps| SHARES.map(|share| (rate, *rps, share))));
        }
        let grid = on_two_threads(&grid, |index, (rate, rps, share)| {
            let healthy = *rate == 0.001;
            let scenario = Scenario::hour(*rps, *share, *rate);
            let runs = if healthy { runs } else { bad };
            let measures = measure(&scenario, &RULES, Phi::Fixed(1.0), runs, seed + 1000 + index as u64);
            Case { name: format!("{rps} rps, {}%, {}%", share * 100.0, rate * 100.0), healthy, measures }
        });
        let cells = on_two_threads(&CELLS, |index, (rps, share, rate)| {
            let scenario = Scenario::hour(*rps, *share, *rate);
            let measures = measure(&scenario, &SHORT, Phi::Fixed(1.0), bad, seed + 2000 + index as u64);
            Case { name: format!("{rps} rps, {}%: {}%", share * 100.0, rate * 100.0), healthy: false, measures }
        });
        let robustness = on_two_threads(&robustness(), |index, (name, scenario, phi)| {
            let healthy = scenario.green_rate <= scenario.blue_rate;
            let runs = if healthy { runs.div_ceil(4) } else { bad };
            let measures = measure(scenario, &SHORT, *phi, runs, seed + 3000 + index as u64);
            Case { name: (*name).to_owned(), healthy, measures }
        });
        let latency = latency::measure(runs.div_ceil(20), seed + 4000);
        let names = |rules: &[Rule]| rules.iter().map(Rule::name).collect();
        Report {
            seed,
            runs_healthy: runs,
            runs_bad: bad,
            rules: names(&RULES),
            rules_of_cases: names(&SHORT),
            promise,
            whole,
            staged,
            late,
            past,
            grid,
            cells,
            robustness,
            latency,
        }
    }

    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# The judge beside its peers\n\nSynthetic minutes, seed {}. {} healthy runs in each cell, {} with a bad green. Blue fails \
             0.1% of its requests unless said otherwise. Rates of peers are judged minute by minute. Flagger looks at its counter \
             before the next measurement, so it takes a minute more than its threshold; PipeCD judges two-sided by default, so a \
             green without failures beside a blue with some goes home.\n",
            self.seed, self.runs_healthy, self.runs_bad
        );
        self.promise_table(&mut text);
        self.whole_table(&mut text);
        self.late_table(&mut text);
        self.past_table(&mut text);
        self.grid_table(&mut text);
        case_table(&mut text, "Single cells (found / median minutes / failed requests on green)", &self.cells);
        case_table(
            &mut text,
            "Robustness, 100 requests/s, 10% unless said (healthy: false rollbacks; bad: found / median minutes / failed requests)",
            &self.robustness,
        );
        self.latency_table(&mut text);
        text
    }

    fn latency_table(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n## Latency, {} runs (healthy: false rollbacks; slow: found / median minutes)\n\n| case | {} |\n|---|{}",
            self.runs_healthy / 20,
            latency::RULES.join(" | "),
            "---|".repeat(latency::RULES.len())
        );
        for case in &self.latency {
            let shown = case.rules.iter().map(|(found, minute)| match minute {
                Some(minute) if !case.healthy => format!("{:.0}% / {minute}", found * 100.0),
                _ => format!("{:.1}%", found * 100.0),
            });
            let _ = writeln!(text, "| {} | {} |", case.name, shown.collect::<Vec<String>>().join(" | "));
        }
    }

    fn promise_table(&self, text: &mut String) {
        text.push_str(
            "\n## The promise: false rollbacks of a healthy green over five stages\n\nErrors alone are judged; worst of 20 cells / mean.\n\n\
             | failures | declared 0.1% | declared 1% | declared 5% |\n|---|---|---|---|\n",
        );
        for (kind, _, _) in promise::KINDS {
            let of = |declared: usize| {
                let cells = self.promise.iter().filter(|cell| cell.kind == kind);
                let (worst, mean) =
                    worst_and_mean(&cells.map(|cell| cell.false_rollbacks[declared]).collect::<Vec<f64>>());
                format!("{worst:.3} / {mean:.3}%")
            };
            let _ = writeln!(text, "| {kind} | {} | {} | {} |", of(0), of(1), of(2));
        }
    }

    fn whole_table(&self, text: &mut String) {
        text.push_str(
            "\n## The same through the whole path\n\nA day of blue by zone becomes the plan's protocol: errors, hard limit, load balancer \
             errors, slow requests beside the day's p95 and p99, client errors, a count and a level of the user's own. Minutes that differ \
             by 20% in latency on both sides, five stages of 12 minutes, 20 cells; false rollbacks, worst cell / mean, of a tenth of \
             the runs. Outside of the promise: the phi of the user's own counts is not measured, but taken as 2.\n\n\
             | failures | declared 0.1% | declared 1% | declared 5% |\n|---|---|---|---|\n",
        );
        for kind in whole::KINDS {
            let of = |declared: usize| {
                let cells = self.whole.iter().filter(|cell| cell.kind == kind.name);
                let (worst, mean) =
                    worst_and_mean(&cells.map(|cell| cell.false_rollbacks[declared]).collect::<Vec<f64>>());
                format!("{worst:.3} / {mean:.3}%")
            };
            let outside = if kind.outside { " (outside of the promise)" } else { "" };
            let _ = writeln!(text, "| {}{outside} | {} | {} | {} |", kind.name, of(0), of(1), of(2));
        }
        text.push_str("\nStages of 1, 5, 10, 25 and 50% at 100 requests/s, declared 1%:\n\n");
        for caught in &self.staged {
            let metrics = if caught.own { "all of these metrics" } else { "without the user's own" };
            let (percent, found, failed) = (caught.worse * 0.1, caught.found * 100.0, caught.mean_failed);
            let _ = writeln!(
                text,
                "- a green that fails {percent}%, {metrics}: {found:.1}% found, {failed:.1} failed requests on average"
            );
        }
    }

    fn late_table(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n## Late numbers, looked at every minute, declared 1%\n\nA minute counts from two minutes after its end and is final when \
             it is five minutes old. Until then a tenth of the numbers is missing; or a tenth of the sides' minutes is a part of itself, as \
             when a zone is late; or each tenth number is a part of itself, which nothing tells from a number that is whole, and which no \
             promise covers. {} runs; false rollbacks.\n\n| | 1 rps, 5% | 1 rps, 50% | 10 rps, 5% | 10 rps, 50% | 100 rps, 5% | 100 rps, 50% | \
             1000 rps, 5% | 1000 rps, 50% |\n|---|---|---|---|---|---|---|---|---|",
            self.late.first().map_or(0, |late| late.runs)
        );
        for lateness in whole::LATENESS {
            let cells = self.late.iter().filter(|late| late.lateness == lateness);
            let shown: Vec<String> = cells.map(|late| format!("{:.2}%", late.false_rollbacks * 100.0)).collect();
            let _ = writeln!(text, "| {} | {} |", lateness.words(), shown.join(" | "));
        }
    }

    fn past_table(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n## Green beside the past: all traffic moves at once\n\nGreen is compared with blue in the minutes before, and phi is how \
             much neighbouring stretches of blue's day differed. {} runs that begin at any time of the day, all metrics; false rollbacks at a \
             declared 1%, worst of the bakes of 15, 60 and 240 minutes; then, for a green that fails ten times as often as blue, found / median \
             minute of a bake of 60 minutes.\n\n| day | 1 rps | 10 rps | 100 rps | 1000 rps |\n|---|---|---|---|---|",
            self.past.first().map_or(0, |case| case.runs)
        );
        for (day, _, _) in past::DAYS {
            let shown = RPS.map(|rps| {
                let cases = || self.past.iter().filter(move |case| case.day == day && case.rps == rps);
                let worst = cases().map(|case| case.false_rollbacks[1]).fold(0.0, f64::max);
                let hour = cases().find(|case| case.bake == 60);
                let found = hour.map_or(0.0, |case| case.found);
                let minute =
                    hour.and_then(|case| case.minute).map_or_else(|| "-".to_owned(), |minute| minute.to_string());
                format!("{:.2}%; {:.0}% / {minute}", worst * 100.0, found * 100.0)
            });
            let _ = writeln!(text, "| {day} | {} |", shown.join(" | "));
        }
    }

    fn grid_table(&self, text: &mut String) {
        text.push_str("\n## One stage of an hour, 20 cells (1, 10, 100, 1000 requests/s x 1, 5, 10, 25, 50%)\n\nDelay is the geometric mean over cells of the mean minutes, 60 where missed; failed requests are those on green until home.\n\n");
        text.push_str("| rule | false rollbacks, worst cell / mean | cells >= 95% found: 0.2 / 0.5 / 1 / 5 / 50% | minutes at 0.5 / 1 / 5 / 50% | failed requests at 0.5 / 1 / 5 / 50% |\n|---|---|---|---|---|\n");
        for (index, rule) in RULES.iter().enumerate() {
            let of = |rate: usize| self.grid[rate * 20..(rate + 1) * 20].iter().map(move |case| &case.measures[index]);
            let (worst, mean) = worst_and_mean(&of(0).map(|m| m.found).collect::<Vec<f64>>());
            let joined = |from: usize, what: &dyn Fn(usize) -> String| {
                (from..=RATES.len()).map(what).collect::<Vec<String>>().join(" / ")
            };
            let found = joined(1, &|rate| of(rate).filter(|m| m.found >= 0.95).count().to_string());
            let minutes = joined(2, &|rate| format!("{:.1}", geometric_mean(of(rate).map(|m| m.mean_minutes))));
            let failed = joined(2, &|rate| format!("{:.0}", geometric_mean(of(rate).map(|m| m.failed))));
            let _ = writeln!(text, "| {} | {worst:.2} / {mean:.2}% | {found} | {minutes} | {failed} |", rule.name());
        }
    }
}

/// In per cent.
fn worst_and_mean(parts: &[f64]) -> (f64, f64) {
    (parts.iter().copied().fold(0.0, f64::max) * 100.0, parts.iter().sum::<f64>() / parts.len() as f64 * 100.0)
}

fn case_table(text: &mut String, title: &str, cases: &[Case]) {
    let names: Vec<String> = SHORT.iter().map(Rule::name).collect();
    let _ = writeln!(text, "\n## {title}\n\n| case | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for case in cases {
        let shown = case.measures.iter().map(|m| {
            if case.healthy {
                return format!("{:.2}%", m.found * 100.0);
            }
            let median = m.median_minutes.map_or_else(|| "-".to_owned(), |minutes| format!("{minutes:.0}"));
            let early = if m.early > 0.0 { format!(" (early {:.1}%)", m.early * 100.0) } else { String::new() };
            format!("{:.0}% / {median} / {:.0}{early}", m.found * 100.0, m.failed)
        });
        let _ = writeln!(text, "| {} | {} |", case.name, shown.collect::<Vec<String>>().join(" | "));
    }
}

const UNEVEN: &[f64] = &[0.6, 0.3, 0.1];

/// What goes wrong in practice.
fn robustness() -> Vec<(&'static str, Scenario, Phi)> {
    let one = Phi::Fixed(1.0);
    let measured = Phi::Estimated { shared_by: 4 };
    let healthy = || Scenario::hour(100.0, 0.1, 0.001);
    let both = |rate: f64| Scenario { blue_rate: rate, green_rate: rate, ..healthy() };
    let clustered = |clusters: Clusters| Scenario { clusters, ..healthy() };
    let late = |green_rate: f64| Scenario { onset: 30, green_rate, ..healthy() };
    let big = Scenario { clusters: Clusters::Of(10.0), ..Scenario::hour(1000.0, 0.5, 0.001) };
    vec![
        ("0.8% on both", both(0.008), one),
        ("2% on both", both(0.02), one),
        ("outage of 5 min, 5% on both", Scenario { outage: Some((30..35, 0.05)), ..healthy() }, one),
        ("gamma noise common to both", Scenario { noise: Some(2.0), ..healthy() }, one),
        ("clusters of 3, phi 1", clustered(Clusters::Of(3.0)), one),
        ("clusters of 3, phi measured", clustered(Clusters::Of(3.0)), measured),
        ("clusters of 10, phi 1", clustered(Clusters::Of(10.0)), one),
        ("clusters of 10, phi measured", clustered(Clusters::Of(10.0)), measured),
        ("geometric 5, phi 1", clustered(Clusters::Geometric(5.0)), one),
        ("geometric 5, phi measured", clustered(Clusters::Geometric(5.0)), measured),
        ("clusters of 10, zones of 60, 30, 10%", Scenario { zones: UNEVEN, ..clustered(Clusters::Of(10.0)) }, measured),
        ("clusters of 10, one zone", Scenario { zones: &[1.0], ..clustered(Clusters::Of(10.0)) }, measured),
        ("1000 rps, 50%, clusters of 10, phi 1", big.clone(), one),
        ("1000 rps, 50%, clusters of 10, phi measured", big, measured),
        (
            "bad: 0.5%, clusters of 3, phi measured",
            Scenario { green_rate: 0.005, ..clustered(Clusters::Of(3.0)) },
            measured,
        ),
        (
            "bad: 5%, geometric 5, phi measured",
            Scenario { green_rate: 0.05, ..clustered(Clusters::Geometric(5.0)) },
            measured,
        ),
        ("bad from minute 30: 0.5%", late(0.005), one),
        ("bad from minute 30: 5%", late(0.05), one),
        ("bad from minute 30: 0.5%, 1000 rps, 50%", Scenario { onset: 30, ..Scenario::hour(1000.0, 0.5, 0.005) }, one),
        ("stages 1/5/10/25/50% x 12 min: 0.5%", promise::ladder(100.0, 0.005), one),
        ("the same stages, 1% from the 25% stage on", Scenario { onset: 36, ..promise::ladder(100.0, 0.01) }, one),
    ]
}
