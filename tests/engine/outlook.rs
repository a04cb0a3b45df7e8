//! What a plan says of the judge, by hand-made last days of blue.

use migrate::cloud::sim::Scenario;
use migrate::inventory::{History, Past, Slow};
use migrate::plan::Plan;
use migrate::plan::outlook::{LatencyMethod, StageOutlook, Unknown};
use migrate::playbook::Playbook;
use migrate::report::plan::{object, text};

use super::lab::{Lab, epoch, playbook, shipped};

const HOUR: &str = r"
version: 1
name: web
service: { cluster: prod, name: web }
green:
  network: { subnets: [subnet-0a1, subnet-0b2] }
shift: { listener_weights: {} }
stages:
  - { green: 5%, bake: 1h }
  - { green: 95%, bake: 2h }
  - { green: 100%, bake: 1h }
";

/// The plan of a playbook, with this last day of blue.
fn planned(playbook: Playbook, history: Option<History>) -> Plan {
    let mut plan = Lab::new(playbook, Scenario::Healthy, 1).plan().unwrap();
    plan.inventory.history = history;
    plan
}

fn plan(name: &str, history: Option<History>) -> Plan {
    planned(shipped(&format!("{name}.yaml")), history)
}

fn day(requests_per_minute: f64, rate: f64, phi: f64) -> History {
    let slow = |bound| Slow { bound, past: Past { rate: 0.01, phi: 1.0 } };
    let errors = Past { rate, phi };
    let slow = Some([slow(0.25), slow(0.6)]);
    History { requests_per_minute, busy_minutes: 1440, errors, slow, ..History::default() }
}

/// The section about the judge.
fn section(plan: &Plan) -> String {
    let text = text(plan, epoch());
    let from = text.find("What the judge").unwrap();
    let to = text[from..].find("\n\n`migrate rollback`").unwrap();
    text[from..from + to].to_owned()
}

/// The example of the closed form (100 requests a second, 5 %, green at 0.5 %, blue at 0.1 %: 9.9 minutes for
/// one metric and one stage) through a plan. The slope is the same; three stages in 260 planned minutes and the
/// weight of errors among six metrics make it longer.
#[test]
fn the_closed_form_by_hand() {
    let plan = planned(playbook(HOUR), Some(day(6000.0, 0.001, 1.0)));
    // 300 requests on green, 1.5 of them bad; 5700 on blue, 5.7, and 0.57 by the floor. Of all bettors the one
    // on 3 wins most: 1.5 ln 3 - 7.77 (ln(1 + 0.05 x 2.75) - ln(1 + 0.05 x 0.25)).
    let slope = 1.5 * 3f64.ln() - 7.77 * (1.1375f64.ln() - 1.0125f64.ln());
    let alone = (100f64.ln() + 8f64.ln() - (0.5 + 0.5 / 60.0f64).ln()) / slope;
    assert!((alone - 9.9).abs() < 0.1, "{alone}");
    let laid = 0.5 / 3.0 + 0.5 / f64::from(plan.protocol().planned_minutes);
    let expected = (100f64.ln() + 8f64.ln() - laid.ln() - f64::ln(0.4)) / slope + 3.0;
    let stage = &plan.outlook().stages[0];
    let five = &stage.prospects[1];
    assert!((five.green_rate - 0.005).abs() < 1e-12);
    assert!((five.minutes.unwrap() - expected).abs() < 1e-9, "{five:?}, by hand {expected}");
    assert!((five.failed_requests.unwrap() - 1.5 * expected).abs() < 1e-9);
    assert!(stage.in_time(five));
    // Green has 300 requests a minute; what is asked before 95 % is asked by the rule of the run.
    assert!((stage.green_requests_per_minute - 300.0).abs() < 1e-9);
    let needs = stage.needs.unwrap();
    assert!((needs.minutes * 300.0 - needs.requests).abs() < 1e-6 && needs.requests > 50.0, "{needs:?}");
}

/// A swap: all of yesterday's traffic on green, beside as much of blue's before; one stage's stake.
#[test]
fn the_past_is_a_half_of_twice_the_traffic() {
    let plan = plan("nlb-swap", Some(day(1000.0, 0.002, 1.0)));
    let outlook = plan.outlook();
    let stage = &outlook.stages[0];
    assert!(stage.compared && outlook.basis.as_ref().unwrap().compared_with_past);
    assert!((stage.green_requests_per_minute - 1000.0).abs() < 1e-9);
    // 10x: 20 of 1000 on green, 2 of 1000 on blue, and 0.1 by the floor; share 1/2; the bettor on 10.
    let slopes = [5f64, 10.0, 30.0].map(|g| 20.0 * g.ln() - 22.1 * ((0.5 + 0.625 * g) / 1.125f64).ln());
    let slope = slopes.into_iter().fold(0.0, f64::max);
    let laid = 0.5 + 0.5 / f64::from(plan.protocol().planned_minutes);
    let handicap = 8f64.ln() - laid.ln() - f64::ln(0.4 / 0.6);
    let slow = ((100f64.ln() + handicap) / slope).max(2.0);
    let fast = (1e6f64.ln() + handicap) / slope;
    let found = stage.prospects[2].minutes.unwrap();
    let beside = slow.min(fast).max(1.0) + 3.0;
    assert!(found <= beside + 1e-9, "{found}, by hand at most {beside}");
    assert!(found > 4.0, "{found}");
    assert!(!outlook.ends_alone());
}

#[test]
fn what_cannot_be_said_is_said() {
    for (name, history, unknown, words) in [
        ("internal-cloud-map", Some(day(100.0, 0.0, 1.0)), Unknown::NothingCounted, "nothing counts the requests"),
        ("internal-fleets", None, Unknown::NothingCounted, "nothing counts the requests"),
        ("quickstart", None, Unknown::NoHistory, "blue's last day is not known"),
        ("quickstart", Some(day(0.0, 0.0, 2.0)), Unknown::NoTraffic, "blue had no requests in the last 24 hours"),
        ("nlb-swap", Some(day(0.0, 0.0, 2.0)), Unknown::NoTraffic, "blue had no flows in the last 24 hours"),
    ] {
        let plan = plan(name, history);
        let outlook = plan.outlook();
        assert_eq!(outlook.unknown, Some(unknown), "{name}");
        assert!(outlook.stages.is_empty() && section(&plan).contains(words), "{name}: {}", section(&plan));
        assert!(!section(&plan).contains("stage "), "{name}: no advice without numbers");
    }
}

#[test]
fn a_plan_in_a_hundred_columns() {
    insta::assert_snapshot!(section(&plan("quickstart", Some(day(60_000.0, 0.001, 1.0)))), @"");
}

#[test]
fn a_plan_of_little_traffic_says_so() {
    insta::assert_snapshot!(section(&plan("quickstart", Some(day(60.0, 0.001, 1.3)))), @"");
}

#[test]
fn a_plan_of_flows() {
    insta::assert_snapshot!(section(&plan("nlb-swap", Some(day(1727.0, 0.0012, 1.0)))), @"");
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let days = [(0.05, 0.0, 2.0), (3.0, 0.5, 9.0), (6000.0, 0.3, 1.0), (4e5, 0.000_123, 2.4), (9e9, 1.0, 1.0)];
    for name in ["quickstart", "canary", "linear", "all-at-once", "nlb-swap", "route53-weighted", "ci-pipeline"] {
        for (requests, rate, phi) in days {
            let text = section(&plan(name, Some(day(requests, rate, phi))));
            let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
            assert!(wide.is_empty(), "{name} {requests}: {wide:#?}");
            assert!(!text.contains("NaN") && !text.contains("inf"), "{name} {requests}: {text}");
        }
    }
}

/// The last stage of everything is warned of, unless a long bake keeps a little on blue before it.
#[test]
fn the_last_look_at_blue() {
    let warned = |text: &str| {
        let plan = planned(playbook(text), Some(day(6000.0, 0.001, 1.0)));
        assert_eq!(plan.outlook().ends_alone(), section(&plan).contains("leaves no blue to compare with"));
        plan.outlook().ends_alone()
    };
    assert!(!warned(HOUR));
    assert!(warned(&HOUR.replace("95%", "80%")));
    assert!(warned(&HOUR.replace("bake: 2h", "bake: 30m")));
}

#[test]
fn what_the_judge_rests_on_follows_the_playbook() {
    let basis = |more: &str, history| planned(playbook(&format!("{HOUR}{more}")), history).outlook().basis.unwrap();
    let history = day(6000.0, 0.002, 1.5);
    let own = basis("", Some(history.clone()));
    assert_eq!(own.latency, Some(LatencyMethod::SlowRequests { p95: 0.25, p99: 0.6 }));
    assert_eq!((own.hard_limit, own.limit_is_set, own.phi), (Some(0.01), false, 1.5));
    assert!((own.healthy_rate - 1.25 * 0.0021).abs() < 1e-12);
    assert!((own.metrics.iter().map(|metric| metric.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    let uncounted = basis("", Some(History { slow: None, ..history.clone() }));
    assert_eq!(uncounted.latency, Some(LatencyMethod::MinuteVotes { statistic: "p99".into(), ratio: 1.1 }));
    let wished = "health: { hard_limit: 3%, false_rollback: 5%, latency: { statistic: p90, ratio: 1.5 } }";
    let wished = basis(wished, Some(history));
    assert_eq!(wished.latency, Some(LatencyMethod::MinuteVotes { statistic: "p90".into(), ratio: 1.5 }));
    assert_eq!((wished.hard_limit, wished.limit_is_set, wished.false_rollback), (Some(0.03), true, 0.05));
}

/// A program reads the numbers that people read.
#[test]
fn the_object_has_the_same_numbers() {
    let plan = plan("quickstart", Some(day(6000.0, 0.001, 1.0)));
    let shown = object(&plan, &[], epoch());
    let stages = shown["outlook"]["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 4);
    for (stage, outlook) in stages.iter().zip(&plan.outlook().stages) {
        let StageOutlook { stage: number, prospects, needs, .. } = outlook;
        assert_eq!(stage["stage"], *number);
        assert_eq!(stage["prospects"].as_array().unwrap().len(), 4);
        assert_eq!(stage["prospects"][3]["minutes"].as_f64(), prospects[3].minutes);
        assert_eq!(stage["prospects"][0]["minutes"].is_null(), prospects[0].minutes.is_none());
        assert_eq!(stage["needs"]["requests"].as_f64(), needs.map(|needs| needs.requests));
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&shown["outlook"]["stages"][3]).unwrap(), @"");
    insta::assert_snapshot!(serde_json::to_string_pretty(&shown["outlook"]["basis"]).unwrap(), @"");
}
