//! What the judge reads over the wire: blue's last day, every minute of the run once, and what it does where CloudWatch does not answer as it should.
//!
//! ministack answers a count of slow samples with an average, so the tool must notice that it does not count. How slow requests are judged where they are
//! counted needs a ministack that was taught to ([`CloudWatch::Counting`]): there our word stands in for AWS's.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::estate::{Estate, STAGES, finish};
use super::servers::CloudWatch;

/// Blue's last day, as the run keeps it.
fn history(estate: &Estate) -> Value {
    estate.journal()[0]["event"]["opened"]["plan"]["inventory"]["history"].clone()
}

/// The bodies of the calls that read metrics. Names can be read in CBOR.
fn questions(estate: &Estate) -> Vec<String> {
    let calls = estate.calls();
    let asked = calls.iter().filter(|call| call["action"] == "GetMetricData");
    asked.map(|call| call["body"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The judgements in the journal from this record on.
fn judged(estate: &Estate, from: usize) -> Vec<Value> {
    let records = estate.journal().into_iter().skip(from);
    records.map(|record| record["event"]["judged"].clone()).filter(Value::is_object).collect()
}

fn near(found: &Value, expected: f64) -> bool {
    found.as_f64().is_some_and(|found| (found - expected).abs() < 1e-9)
}

#[test]
fn a_look_is_one_question() {
    let estate = Estate::seed(&[]);
    estate.started();
    let known = estate.journal().len();
    estate.forget_calls();
    estate.migrate(&["advance"]).expect(0);
    let (looks, asked) = (judged(&estate, known), questions(&estate));
    assert!(looks.len() >= 3, "{looks:#?}");
    assert_eq!(asked.len(), looks.len());
    let of = |name: &str| asked.iter().all(|body| body.contains(name));
    assert!(of("RequestCount") && of("HTTPCode_Target_5XX_Count") && of("HTTPCode_Target_4XX_Count") && of("p99"));
    let green = estate.green_group().expect("green's target group");
    assert!(of(green.rsplit(':').next().unwrap_or_default()) && of(estate.id("blue_dimension")), "both sides");
}

/// Blue's failures come six at a time, in one zone and then in the other.
#[test]
fn blues_day_by_zone_says_how_failures_come() {
    let estate = Estate::seed(&[]);
    estate.blue_zones();
    estate.forget_calls();
    let planned = estate.migrate(&["plan", "playbook.yaml"]).expect(0);
    let asked = questions(&estate);
    assert_eq!(asked.len(), 1, "nothing is slow where nothing is counted, so there is no second round");
    assert!(asked[0].contains("us-east-1b") && asked[0].contains("TC(0:)"));
    let basis = &planned.report["outlook"]["basis"];
    // Five times what blue itself fails.
    assert!(near(&basis["blue_rate"], 0.01) && near(&basis["hard_limit"], 0.05), "{basis:#}");
    assert!(basis["phi"].as_f64().is_some_and(|phi| (5.0..6.0).contains(&phi)), "{basis:#}");

    estate.start().expect(0);
    let day = history(&estate);
    let minutes = day["busy_minutes"].as_f64().expect("a number");
    assert!((75.0..=90.0).contains(&minutes), "{day:#}");
    assert!(near(&day["requests_per_minute"], minutes * 600.0 / 1440.0), "{day:#}");
    // In each minute 2 (6 - 3)^2 are observed and 2 x 6/4 are expected.
    let phi = (18.0 * minutes + 20.0) / (3.0 * minutes + 10.0);
    assert!(near(&day["errors"]["rate"], 0.01) && near(&day["errors"]["phi"], phi), "{day:#}");
    assert!(near(&day["client_errors"]["rate"], 10.0 / 600.0) && near(&day["client_errors"]["phi"], 1.0), "{day:#}");
    assert!(day["slow"].is_null(), "an average was taken for a count: {day:#}");

    // The latency is judged by its percentile, and nobody asks for counts that are none.
    estate.green_metrics("0.001");
    estate.forget_calls();
    estate.migrate(&["advance", "--no-wait"]).expect(0);
    assert!(questions(&estate).iter().all(|body| body.contains("p99") && !body.contains("TC(")));
}

/// A Network Load Balancer that carries ten times what the service has.
#[test]
fn blues_day_of_flows_is_its_own_and_its_zones_the_load_balancers() {
    let estate = super::swap::estate();
    estate.blue_flows_by_zone();
    estate.forget_calls();
    let planned = estate.migrate(&["plan", "playbook.yaml"]).expect(0);
    assert_eq!(questions(&estate).len(), 1);
    let basis = &planned.report["outlook"]["basis"];
    let minutes = basis["busy_minutes"].as_f64().expect("a number");
    assert!((75.0..=90.0).contains(&minutes), "{basis:#}");
    assert!(near(&basis["requests_per_minute"], minutes * 600.0 / 1440.0), "{basis:#}");
    assert!(near(&basis["blue_rate"], 6.0 / 600.0), "resets of the whole, as in every look: {basis:#}");
}

#[test]
fn without_zones_the_totals_are_blues_day() {
    let estate = Estate::seed(&[]);
    estate.start().expect(0);
    let day = history(&estate);
    // One failure in a thousand, and no zones to tell whether they come in clusters.
    let rate = day["errors"]["rate"].as_f64().expect("a rate");
    assert!((0.0009..0.0011).contains(&rate) && near(&day["errors"]["phi"], 2.0), "{day:#}");
}

#[test]
fn slow_requests_are_counted_beyond_blues_own_percentiles() {
    let estate = Estate::seed_with(CloudWatch::Counting, &[]);
    estate.blue_zones();
    estate.forget_calls();
    estate.migrate(&["plan", "playbook.yaml"]).expect(0);
    let asked = questions(&estate);
    assert_eq!(asked.len(), 2, "the counts, and the slow ones beyond what they say");
    estate.forget_calls();
    estate.start().expect(0);
    let of_zones = questions(&estate).iter().filter(|body| body.contains("AvailabilityZone")).count();
    assert_eq!(of_zones, 2, "the day is read once");
    let slow = history(&estate)["slow"].clone();
    // One in twenty takes 0.1 s, the others 0.065 s at most.
    let bound = slow[0]["bound"].as_f64().expect("a bound");
    assert!((0.065..0.1).contains(&bound) && near(&slow[1]["bound"], 0.1), "{slow:#}");
    assert!(near(&slow[0]["past"]["rate"], 0.05) && near(&slow[1]["past"]["rate"], 0.0), "{slow:#}");
    assert!(asked[1].contains(&format!("TC({bound}:)")) && asked[1].contains("TC(0.1:)"));

    estate.green_latency("0.2");
    estate.forget_calls();
    let advanced = estate.migrate(&["advance"]).expect(5);
    assert!(advanced.word("reason").contains("slower than p9"), "{}", advanced.word("reason"));
    assert!(questions(&estate).iter().all(|body| body.contains("TC(0.1:)") && body.contains("SampleCount")));
}

/// What the journal holds of blue's requests in the minute that began then, each time it was read anew.
fn readings(estate: &Estate, start: &str) -> Vec<f64> {
    let minutes =
        judged(estate, 0).into_iter().flat_map(|j| j["read"]["minutes"].as_array().cloned().unwrap_or_default());
    minutes.filter(|minute| minute["start"] == start).filter_map(|minute| minute["blue"]["requests"].as_f64()).collect()
}

/// The beginnings of the minutes that were read, in their order.
fn minutes(estate: &Estate) -> Vec<String> {
    let reads =
        judged(estate, 0).into_iter().flat_map(|j| j["read"]["minutes"].as_array().cloned().unwrap_or_default());
    let mut starts: Vec<String> = reads.filter_map(|minute| minute["start"].as_str().map(String::from)).collect();
    starts.sort();
    starts.dedup();
    starts
}

#[test]
fn a_revised_minute_is_taken_over_once_and_then_final() {
    let estate = Estate::seed(&[]);
    let text = estate.playbook().replacen("bake: 3m", "bake: 25m", 1);
    estate.write_playbook("playbook.yaml", &text);
    estate.started();
    let known = minutes(&estate);
    // A minute a second: time enough to revise one before it is final.
    let child = estate.spawn_at(60, &["advance"]);
    let deadline = Instant::now() + Duration::from_secs(180);
    let behind = |start: &str| minutes(&estate).iter().filter(|other| other.as_str() > start).count();
    let wait = |what: &dyn Fn() -> bool| {
        while !what() {
            assert!(Instant::now() < deadline, "{:#?}", minutes(&estate));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // Those that were read first may be older; this one has just become readable.
    let (mut first, mut newest) = (known.len(), String::new());
    for _ in 0..2 {
        wait(&|| minutes(&estate).len() > first);
        let found = minutes(&estate);
        (first, newest) = (found.len(), found.last().cloned().unwrap_or_default());
    }
    estate.revise_blue(&newest, 7);
    wait(&|| behind(&newest) >= 4);
    assert_eq!(readings(&estate, &newest), [600.0, 607.0], "the revision of {newest}");
    estate.revise_blue(&newest, 7);
    wait(&|| behind(&newest) >= 7);
    assert_eq!(readings(&estate, &newest), [600.0, 607.0], "{newest} was final");
    finish(child.wait_with_output().expect("migrate runs")).expect(0);
}

#[test]
fn a_throttled_cloudwatch_is_not_health_and_passes() {
    let estate = Estate::seed(&[]);
    let (original, blue) = (estate.snapshot(), estate.id("blue_group"));
    estate.started();
    let green = estate.green_group().expect("green's target group");
    let throttled = |to: Option<u32>| json!([{"action": "GetMetricData", "how": "refuse", "code": "ThrottlingException", "message": "Rate exceeded", "status": 400, "to": to}]);
    estate.faults(&throttled(None));
    let known = estate.journal().len();
    estate.forget_calls();
    let held = estate.migrate(&["advance"]).expect(4);
    assert!(held.word("reason").contains("asked too often, 3 attempts were refused"), "{}", held.word("reason"));
    assert!(held.word("reason").contains("ThrottlingException: Rate exceeded"), "{}", held.word("reason"));
    assert_eq!(questions(&estate).len(), 3 * judged(&estate, known).len(), "each look tries three times");
    estate.snapshot().assert_shifted_from(&original, blue, &green, 0);
    // The SDK's own attempts are enough for two refusals, and a later look for more.
    estate.faults(&throttled(Some(5)));
    estate.migrate(&["advance"]).expect(0);
    estate.snapshot().assert_shifted_from(&original, blue, &green, STAGES[0]);
}

#[test]
fn without_cloudwatch_there_is_a_plan_and_no_history() {
    let estate = Estate::seed(&[]);
    estate.faults(
        &json!([{"service": "monitoring", "how": "refuse", "code": "InternalFailure", "status": 500, "to": null}]),
    );
    let planned = estate.migrate(&["plan", "playbook.yaml"]).expect(0);
    assert_eq!(planned.report["outlook"]["unknown"], "no_history", "{}", planned.report["outlook"]);
    let findings = planned.report["findings"].as_array().expect("findings");
    let unread = findings.iter().find(|f| f["rule"] == "history-unreadable").unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(unread["evidence"].to_string().contains("cloudwatch:GetMetricData"), "and why: {unread}");
}
