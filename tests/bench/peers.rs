//! The judge beside its peers, on the same seeded synthetic minutes.
//!
//! `cargo run --release --example peers` writes `tests/bench/peers.md` and `tests/bench/peers.json`;
//! `-- RUNS [DIRECTORY]` takes another number of healthy runs in each cell than 20,000 (a tenth of it for
//! a bad green) and another place. The same seed gives the same tables on any machine.

mod kayenta;
mod latency;
mod measure;
mod promise;
mod rules;
mod tables;
mod traffic;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use migrate::gate::count::Reported;
use migrate::gate::course::Course;
use migrate::gate::ledger::{Ledger, Metric, Reading, Row};
use migrate::gate::trial::{Margin, Starts};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let runs = arguments.next().map_or(20_000, |runs| runs.parse().expect("the number of runs"));
    let directory = arguments
        .next()
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench")), PathBuf::from);
    let begun = Instant::now();
    let report = tables::Report::measure(runs, tables::SEED);
    std::fs::write(directory.join("peers.md"), report.markdown()).expect("the table can be written");
    let json = serde_json::to_string(&report).expect("the report is data");
    std::fs::write(directory.join("peers.json"), json + "\n").expect("the numbers can be written");
    println!("{}", report.markdown());
    eprintln!(
        "{} s; a day of eight metrics is judged in {:.2} ms",
        begun.elapsed().as_secs(),
        day().as_secs_f64() * 1e3
    );
}

/// The shortest of some times that it takes to judge a day of eight metrics.
fn day() -> Duration {
    let starts = Starts::planned(1440, &[0, 288, 576, 864, 1152]);
    let mut ledger = Ledger::of_errors(0.01, starts, Margin::ERRORS, 1.0, None);
    let first = ledger.metrics[0].clone();
    ledger.metrics = (0..8).map(|series| Metric { series, weight: 0.125, ..first.clone() }).collect();
    ledger.minutes = (0..1440_u32)
        .map(|minute| {
            let reading = |metric: u32| Reading::Counts {
                green: Reported::new(3000.0, f64::from((minute * 7 + metric) % 6)),
                blue: Reported::new(3000.0, 3.0),
            };
            Row { readings: (0..8).map(reading).collect(), share: Some(0.5) }
        })
        .collect();
    let times = (0..20).map(|_| {
        let begun = Instant::now();
        let course = std::hint::black_box(Course::of(std::hint::black_box(&ledger)));
        assert!(course.condemned.is_none(), "{}", course.reason);
        begun.elapsed()
    });
    times.min().unwrap_or_default()
}
