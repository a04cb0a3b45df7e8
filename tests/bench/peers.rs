//! The judge beside its peers, on the same seeded synthetic minutes.
//!
//! `cargo run --release --example peers` writes `tests/bench/peers.md` and `tests/bench/peers.json`;
//! `-- RUNS [DIRECTORY]` takes another number of healthy runs in each cell than 20,000 (a tenth of it for
//! a bad green) and another place. The same seed gives the same tables on any machine.

mod kayenta;
mod measure;
mod promise;
mod rules;
mod tables;
mod traffic;

use std::path::PathBuf;
use std::time::Instant;

const SEED: u64 = 20_261_123;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let runs = arguments.next().map_or(20_000, |runs| runs.parse().expect("the number of runs"));
    let directory = arguments.next().map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench")), PathBuf::from);
    let begun = Instant::now();
    let report = tables::Report::measure(runs, SEED);
    std::fs::write(directory.join("peers.md"), report.markdown()).expect("the table can be written");
    let json = serde_json::to_string_pretty(&report).expect("the report is data");
    std::fs::write(directory.join("peers.json"), json + "\n").expect("the numbers can be written");
    println!("{}", report.markdown());
    eprintln!("{} s", begun.elapsed().as_secs());
}
