//! What a plan says of the judge, by hand-made last days of blue.

use migrate::cloud::sim::Scenario;
use migrate::inventory::{History, Past, Slow};
use migrate::plan::Plan;
use migrate::plan::outlook::{LatencyMethod, StageOutlook, Unknown};
use migrate::playbook::Playbook;
use migrate::report::plan::{object, text};
use serde_json::{Value, json};

use super::lab::{Lab, epoch, playbook, shipped, web};

const HOUR: &str = web!(
    "{ listener_weights: {} }",
    "\
stages:
  - { green: 5%, bake: 1h }
  - { green: 95%, bake: 2h }
  - { green: 100%, bake: 1h }
"
);

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
    let slow = |bound| Slow { bound, past: Past { rate: 0.01, phi: 1.0, ..Past::default() } };
    let errors = Past { rate, phi, ..Past::default() };
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
    // The playbook's own metrics take their part of the evidence, and the past its own phi.
    let errors = &plan.protocol().metrics[0];
    let slope = slopes.into_iter().fold(0.0, f64::max) / errors.phi;
    let laid = 0.5 + 0.5 / f64::from(plan.protocol().planned_minutes);
    let own = -laid.ln() - errors.weight.ln();
    // The cap of 3 a minute holds the slow evidence back; the fast one needs 1e-6.
    let slow = ((100f64.ln() + 8f64.ln() + own) / slope).max(((100f64.ln() + own) / 3.0).ceil());
    let fast = (1e6f64.ln() + 8f64.ln() + own) / slope;
    let found = stage.prospects[2].minutes.unwrap();
    let beside = slow.min(fast).max(1.0) + 3.0;
    assert!((found - beside).abs() < 1e-9, "{found}, by hand {beside}");
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
    insta::assert_snapshot!(section(&plan("quickstart", Some(day(60_000.0, 0.001, 1.0)))), @r#"
    What the judge is expected to see
      blue's last day  60,000 requests a minute on average, 0.1% failed, one by one (phi 1.0)
      healthy          up to 1.25 times blue's plus 0.0125%: so far 0.14%
      hard limit       0.5%, from blue's last day; it judges where there is no blue as well
      latency          requests slower than 0.250 s and 0.600 s (blue's p95 and p99) beside blue's
      false rollback   1%: the chance that bad luck sends a healthy green home, over the whole run

      Minutes from the first bad one to the verdict, and requests failed by then, where green's rate of
      failures is so many times blue's
                              2x: 0.2%      5x: 0.5%       10x: 1%     all: 100%   least       to pass
      stage  green  bake   min  failed   min  failed   min  failed   min  failed   shown requests  min
          1     1%   15m   136*    162     9      27     6      36     4   2,400   0.38%      146    1
          2    10%   15m    19*    217     5     132     4     240     4  24,000   0.21%      734    1
          3    50%   30m    10     558     4     600     4   1,200     4    120k   0.18%    2,073    1
          4   100%    1h never       - never       -     4   2,400     4    240k   0.62%       50    1
      expected: half of all runs take longer; never: it counts as healthy, or the limit allows it
      least shown: the lowest rate that shows within the bake; *: after the bake
      to pass: requests without a failure that the stage takes, and minutes of its traffic
      ! stage 4 leaves no blue to compare with: only the hard limit of 0.5%, alarms and bounds of your
        own metrics judge it. A stage `{ green: 95%, bake: 1h }` before it keeps 5% on blue for a last
        long look
    "#);
}

#[test]
fn a_plan_of_little_traffic_says_so() {
    insta::assert_snapshot!(section(&plan("quickstart", Some(day(60.0, 0.001, 1.3)))), @r#"
    What the judge is expected to see
      blue's last day  60 requests a minute on average, 0.1% failed, in clusters (phi 1.3)
      healthy          up to 1.25 times blue's plus 0.0125%: so far 0.14%
      hard limit       0.5%, from blue's last day; it judges where there is no blue as well
      latency          requests slower than 0.250 s and 0.600 s (blue's p95 and p99) beside blue's
      false rollback   1%: the chance that bad luck sends a healthy green home, over the whole run

      Minutes from the first bad one to the verdict, and requests failed by then, where green's rate of
      failures is so many times blue's
                              2x: 0.2%      5x: 0.5%       10x: 1%     all: 100%   least       to pass
      stage  green  bake   min  failed   min  failed   min  failed   min  failed   shown requests  min
          1     1%   15m >9999*    206  7785*     23  2018*     12     9     4.9     48%       50   84*
          2    10%   15m >9999*    235   937*     28   256*     15     5      24    9.8%       50    9
          3    50%   30m  8197*    492   451*     68   137*     41     4     120    2.3%       50    2
          4   100%    1h never       - never       -   120*     71     4     240    1.3%       50    1
      expected: half of all runs take longer; never: it counts as healthy, or the limit allows it
      least shown: the lowest rate that shows within the bake; *: after the bake
      to pass: requests without a failure that the stage takes, and minutes of its traffic
      ! traffic is too low in every stage that has a blue to compare with to ask whether green fails ten
        times as often as blue. In stage 1 green is to have 36 requests an hour: failures of 50% show in
        15 min, of 5% in 176 min; within 15m only 48% and more shows. Lean on smoke tests, alarms and
        metrics of your own
      ! stage 1 takes longer to pass than its bake, even without a failure: a bake is extended once, by
        as long again, and then the run holds. Bake longer, or lower `health.min_requests`
      ! stage 4 leaves no blue to compare with: only the hard limit of 0.5%, alarms and bounds of your
        own metrics judge it. A stage `{ green: 95%, bake: 1h }` before it keeps 5% on blue for a last
        long look
    "#);
}

#[test]
fn a_plan_of_flows() {
    insta::assert_snapshot!(section(&plan("nlb-swap", Some(day(1727.0, 0.0012, 1.0)))), @r#"
    What the judge is expected to see
      blue's last day  1,727 flows a minute on average, 0.12% reset, in clusters (phi 2.0)
      healthy          up to 1.25 times blue's before the shift plus 0.0125%: so far 0.16%
      hard limit       0.6%, from blue's last day; it judges where there is no blue as well
      false rollback   1%: the chance that bad luck sends a healthy green home, over the whole run

      Minutes from the first bad one to the verdict, and flows reset by then, where green's rate of
      resets is so many times blue's
                             2x: 0.24%      5x: 0.6%     10x: 1.2%     all: 100%   least       to pass
      stage  green  bake   min   reset   min   reset   min   reset   min   reset   shown    flows  min
          1   100%   30m   139*    575    11     113     6     111     4   6,908   0.37%       50    1
      expected: half of all runs take longer; never: it counts as healthy, or the limit allows it
      least shown: the lowest rate that shows within the bake; *: after the bake
      to pass: flows without a failure that the stage takes, and minutes of its traffic
    "#);
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
    let own = basis("", Some(history));
    assert_eq!(own.latency, Some(LatencyMethod::SlowRequests { p95: 0.25, p99: 0.6 }));
    assert_eq!((own.hard_limit, own.limit_is_set, own.phi), (Some(0.01), false, 1.5));
    assert!((own.healthy_rate - 1.25 * 0.0021).abs() < 1e-12);
    assert!((own.metrics.iter().map(|metric| metric.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    let uncounted = basis("", Some(History { slow: None, ..history }));
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
    insta::assert_snapshot!(rounded(&shown["outlook"]["stages"][3]), @r#"
    bake_minutes: 60.0
    compared: false
    faults: [{"failed_requests":12000.0,"green_rate":0.5,"minutes":4.0},{"failed_requests":1200.0,"green_rate":0.05,"minutes":4.0}]
    green_requests_per_minute: 6000.0
    needs: {"minutes":0.008333,"requests":50.0}
    prospects: [{"failed_requests":null,"green_rate":0.002,"minutes":null},{"failed_requests":null,"green_rate":0.005,"minutes":null},{"failed_requests":281.247456,"green_rate":0.01,"minutes":4.687458},{"failed_requests":24000.0,"green_rate":1.0,"minutes":4.0}]
    share: "100%"
    smallest_seen: 0.00624
    stage: 4
    "#);
    insta::assert_snapshot!(rounded(&shown["outlook"]["basis"]), @r#"
    accepted_failures: 500
    blue_rate: 0.001
    busy_minutes: 1440
    compared_with_past: false
    false_rollback: 0.01
    floor: 0.0001
    hard_limit: 0.005
    healthy_rate: 0.001375
    latency: {"slow_requests":{"p95":0.25,"p99":0.6}}
    limit_is_set: false
    metrics: [{"name":"errors","phi":1.0,"weight":0.4},{"name":"hard limit","phi":1.0,"weight":0.2},{"name":"slower than p95","phi":1.0,"weight":0.1},{"name":"slower than p99","phi":1.0,"weight":0.15},{"name":"load balancer errors","phi":2.0,"weight":0.1},{"name":"client errors","phi":2.0,"weight":0.05}]
    min_requests: 50
    phi: 1.0
    ratio: 1.25
    requests_per_minute: 6000.0
    "#);
}

/// On a line for each field, with numbers of at most six decimals.
fn rounded(value: &Value) -> String {
    fn round(value: &Value) -> Value {
        match value {
            Value::Number(number) if number.is_f64() => json!((number.as_f64().unwrap() * 1e6).round() / 1e6),
            Value::Array(list) => list.iter().map(round).collect(),
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), round(value))).collect(),
            other => other.clone(),
        }
    }
    let fields = value.as_object().unwrap();
    fields.iter().map(|(name, value)| format!("{name}: {}\n", round(value))).collect()
}

/// An average over a day that was mostly quiet is like no minute of it, and the plan says so.
#[test]
fn a_mostly_quiet_day_is_said_to_be_one() {
    let said = |busy_minutes| {
        let history = History { busy_minutes, ..day(100.0, 0.001, 1.0) };
        section(&plan("quickstart", Some(history))).replace("\n    ", " ")
    };
    assert!(said(60).contains("blue had requests in 60 of the last day's 1440 minutes only"), "{}", said(60));
    for often in [720, 1440, 0] {
        assert!(!said(often).contains("minutes only"), "{}", said(often));
    }
}
