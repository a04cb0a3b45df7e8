//! How many API round trips lie between a command and its effect, counted from outside.
//!
//! Run it alone for the numbers: `cargo test --test all wire::trips -- --nocapture`.

use serde_json::json;

use super::estate::Estate;

/// Sequential round trips: `advance --no-wait` and `rollback`.
const BOUNDS: (u64, u64) = (5, 3);

fn count(rules: u32) -> (u64, u64) {
    let estate = Estate::seed(&["--rules", &rules.to_string()]);
    let original = estate.snapshot();
    estate.started();
    // A call on the loopback is over before the next one is sent, even where all are sent at once: with a delay they overlap when they can.
    estate.faults(&json!([{"how": "delay", "seconds": 0.15, "to": null}]));
    let measured = |arguments: &[&str]| {
        estate.forget_calls();
        estate.migrate(arguments).expect(0);
        let (calls, depth) = estate.depth();
        let names: Vec<String> =
            estate.calls().iter().map(|call| call["action"].as_str().unwrap_or_default().to_string()).collect();
        println!(
            "{rules:>3} rules: {:<18} {depth} round trips, {calls} calls: {}",
            arguments.join(" "),
            names.join(" ")
        );
        depth
    };
    let advance = measured(&["advance", "--no-wait"]);
    let rollback = measured(&["rollback"]);
    estate.snapshot().assert_same_as(&original);
    (advance, rollback)
}

#[test]
fn twenty_rules_take_no_more_round_trips_than_one() {
    for rules in [1, 20] {
        let (advance, rollback) = count(rules);
        assert!(
            advance <= BOUNDS.0,
            "{rules} rules: advance --no-wait took {advance} round trips, the bound is {}",
            BOUNDS.0
        );
        assert!(rollback <= BOUNDS.1, "{rules} rules: rollback took {rollback} round trips, the bound is {}", BOUNDS.1);
    }
}
