//! What a plan says of the judge, by hand-made last days of blue.

use migrate::cloud::sim::Scenario;
use migrate::inventory::{History, Past, Slow};
use migrate::plan::Plan;
use migrate::report::plan::text;

use super::lab::{Lab, epoch, shipped};

/// The plan of a shipped playbook, with this last day of blue.
fn plan(name: &str, history: Option<History>) -> Plan {
    let lab = Lab::new(shipped(&format!("{name}.yaml")), Scenario::Healthy, 1);
    let mut plan = lab.plan().unwrap();
    plan.inventory.history = history;
    plan
}

fn day(requests_per_minute: f64, rate: f64, phi: f64) -> History {
    let slow = |bound| Slow { bound, past: Past { rate: 0.01, phi: 1.0, ..Past::default() } };
    let errors = Past { rate, phi, ..Past::default() };
    History { requests_per_minute, errors, slow: Some([slow(0.25), slow(0.6)]), ..History::default() }
}

/// The section about the judge.
fn section(plan: &Plan) -> String {
    let text = text(plan, epoch());
    let from = text.find("What the judge").unwrap();
    let to = text[from..].find("\n\n`migrate rollback`").unwrap();
    text[from..from + to].to_owned()
}

#[test]
fn look() {
    for (name, history) in [
        ("quickstart", Some(day(6000.0, 0.001, 1.0))),
        ("quickstart", Some(day(60.0, 0.001, 1.3))),
        ("quickstart", Some(day(3.0, 0.0, 2.0))),
        ("quickstart", Some(day(0.0, 0.0, 2.0))),
        ("quickstart", None),
        ("quickstart", Some(day(600_000.0, 0.0, 1.0))),
        ("quickstart", Some(day(6000.0, 0.3, 1.0))),
        ("canary", Some(day(1727.0, 0.0012, 2.4))),
        ("nlb-swap", Some(day(1727.0, 0.0012, 1.0))),
        ("internal-cloud-map", None),
    ] {
        println!("=== {name}\n{}", section(&plan(name, history)));
    }
}
