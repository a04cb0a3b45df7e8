//! The judge beside its peers, on the same seeded synthetic minutes.
//!
//! `cargo run --release --example peers` writes `tests/bench/peers.md` and `tests/bench/peers.json`;
//! `-- RUNS [DIRECTORY]` takes another number of healthy runs in each cell than 20,000 (a tenth of it for
//! a bad green) and another place. The same seed gives the same tables on any machine.

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

use std::path::PathBuf;
use std::time::{Duration, Instant};

use migrate::gate::course::Course;
use migrate::gate::protocol::Observed;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let runs = arguments.next().map_or(20_000, |runs| runs.parse().expect("the number of runs"));
    let directory = arguments
        .next()
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench")), PathBuf::from);
    let judged = day().as_secs_f64() * 1e3;
    let begun = Instant::now();
    let report = tables::Report::measure(runs, tables::SEED);
    std::fs::write(directory.join("peers.md"), report.markdown()).expect("the table can be written");
    let json = serde_json::to_string(&report).expect("the report is data");
    std::fs::write(directory.join("peers.json"), json + "\n").expect("the numbers can be written");
    println!("{}", report.markdown());
    eprintln!(
        "{} s; a day of eight metrics is judged in {judged:.2} ms, from minutes to the verdict",
        begun.elapsed().as_secs()
    );
}

/// The shortest of some times that it takes to judge a day of eight metrics, from minutes to the verdict.
fn day() -> Duration {
    let (protocol, minutes, begun) = whole::day(tables::SEED);
    assert_eq!((minutes.len(), protocol.metrics.len()), (1440, 8));
    let times = (0..20).map(|_| {
        let began = Instant::now();
        let ledger = protocol.ledger(Observed { minutes: &minutes, begun: &begun, open: None });
        let course = std::hint::black_box(Course::of(std::hint::black_box(&ledger)));
        assert!(course.condemned.is_none(), "{}", course.reason);
        began.elapsed()
    });
    times.min().unwrap_or_default()
}
