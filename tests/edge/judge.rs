//! `migrate judge --input`: the contract of its file and of its object, and what a person reads.

use serde_json::{Value, json};

use super::Place;

/// Minutes of (green requests, green bad, blue requests, blue bad).
fn file(minutes: &[[f64; 4]], more: &Value) -> String {
    let minutes: Vec<Value> = minutes
        .iter()
        .map(|[n, x, m, y]| json!({ "green": { "requests": n, "bad": x }, "blue": { "requests": m, "bad": y } }))
        .collect();
    let mut file = json!({ "planned_minutes": 60, "stage_starts": [0, 12], "minutes": minutes });
    for (name, value) in more.as_object().unwrap() {
        file[name] = value.clone();
    }
    file.to_string()
}

/// Twelve healthy minutes, then green fails ten times as often.
fn going_bad() -> Vec<[f64; 4]> {
    let healthy = std::iter::repeat_n([300.0, 0.0, 5700.0, 6.0], 12);
    healthy.chain(std::iter::repeat_n([300.0, 3.0, 5700.0, 6.0], 6)).collect()
}

/// The test's formulas, written down once more without logarithms of sums.
fn formulas(minutes: &[[f64; 4]], alpha: f64, phi: f64) -> (Vec<f64>, Vec<f64>, Option<usize>) {
    let g = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];
    let (rho0, delta0) = (1.25, 1e-4);
    let (mut a, mut fast, mut spent) = ([0.0; 8], [0.0; 8], 0.0);
    let (mut slow_logs, mut fast_logs, mut home) = (Vec::new(), Vec::new(), None);
    for (j, [n, x, m, y]) in minutes.iter().enumerate() {
        let w = if j == 0 || j == 12 { 0.25 } else { 0.0 } + 0.5 / 60.0;
        let (f, s) = (n / (n + m), x + y + delta0 * m);
        spent += w;
        for k in 0..8 {
            let bracket = (1.0 + f * (rho0 * g[k] - 1.0)).ln() - (1.0 + f * (rho0 - 1.0)).ln();
            let l: f64 = if n * m == 0.0 { 0.0 } else { (x * f64::ln(g[k]) - s * bracket) / phi };
            a[k] = (a[k] + w) * l.min(3.0).exp();
            fast[k] = (fast[k] + w) * l.exp();
        }
        let evidence = [a, fast].map(|all| all.iter().sum::<f64>() / 8.0 + 1.0 - spent);
        slow_logs.push(evidence[0].ln());
        fast_logs.push(evidence[1].ln());
        if home.is_none() && (evidence[0] >= 1.0 / alpha || evidence[1] >= 1e6) {
            home = Some(j + 1);
        }
    }
    (slow_logs, fast_logs, home)
}

fn logs(object: &Value, name: &str) -> Vec<f64> {
    object[name].as_array().unwrap().iter().map(|log| log.as_f64().unwrap()).collect()
}

#[track_caller]
fn same(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (minute, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() < 1e-9, "minute {minute}: {a}, not {b}");
    }
}

#[test]
fn the_object_is_exact() {
    let place = Place::new();
    let minutes = going_bad();
    place.write("bad.json", &file(&minutes, &json!({})));
    place.write("phi.json", &file(&minutes, &json!({ "phi": 3.0, "false_rollback": 0.05 })));
    place.write("good.json", &file(&minutes[..12], &json!({})));
    for (name, minutes, alpha, phi, verdict) in [
        ("bad.json", &minutes[..], 0.01, 1.0, "degraded"),
        ("phi.json", &minutes[..], 0.05, 3.0, "not_enough_evidence"),
        ("good.json", &minutes[..12], 0.01, 1.0, "healthy"),
    ] {
        let object = place.run(&["judge", "--input", name, "--json"]).exits(0).object();
        let (slow, fast, home) = formulas(minutes, alpha, phi);
        same(&logs(&object, "log_e_slow"), &slow);
        same(&logs(&object, "log_e_fast"), &fast);
        assert_eq!(object["rollback_minute"], json!(home), "{name}");
        assert_eq!((&object["verdict"], &object["phi"]), (&json!(verdict), &json!(phi)), "{name}: {object}");
        assert!(object["reason"].as_str().is_some_and(|reason| reason.contains("min: green")), "{object}");
    }
}

#[test]
fn what_if_is_what_the_file_would_say() {
    let place = Place::new();
    place.write("plain.json", &file(&going_bad(), &json!({})));
    place.write("asked.json", &file(&going_bad(), &json!({ "phi": 3.0, "false_rollback": 0.05 })));
    let asked = ["judge", "--input", "plain.json", "--phi", "3", "--false-rollback", "5%", "--json"];
    let by_flags = place.run(&asked).exits(0).object();
    assert_eq!(by_flags, place.run(&["judge", "--input", "asked.json", "--json"]).exits(0).object());
    for wrong in [["--phi", "0.5"], ["--false-rollback", "150%"], ["--false-rollback", "5"]] {
        place.run(&[&["judge", "--input", "plain.json"][..], &wrong[..]].concat()).exits(2);
    }
    place.run(&["judge"]).exits(2).tells("--input");
}

#[test]
fn a_person_reads_why() {
    let place = Place::new();
    place.write("bad.json", &file(&going_bad(), &json!({})));
    insta::assert_snapshot!(place.run(&["judge", "--input", "bad.json"]).exits(0).out, @"
    degraded: errors over 15 min: green 0.20% (9 of 4500), blue 0.11% (90 of 85500), phi 1.00; in the last 3 min: green 1.00% (9 of 900), blue 0.11% (18 of 17100); the evidence against green is 241, and a rollback at a declared chance of 1% needs 100
      it would have been rolled back in minute 15 of 18
      errors  ▁▁▁▁▁▁▁▁▁▁▁▁▂▅████  10^5 of 100
      what would change it: it would stand if its failures came in clusters of 2.3 or more (phi)
      what would change it: it would stand at a declared chance of less than 1 in 10^5
      what would change it: it would stand with at most 11 of its 18 failures
    ");
    place.write("both.json", &file(&going_bad()[..12], &json!({ "hard_limit": 0.01 })));
    insta::assert_snapshot!(place.run(&["judge", "--input", "both.json"]).exits(0).out, @"
    healthy: errors over 12 min: green 0.00% (0 of 3600), blue 0.11% (72 of 68400), phi 1.00; the evidence against green is 0.4, and a rollback needs 100
      errors      ▁▁▁▁▁▁▁▁▁▁▁▁  0.7 of 100
      hard limit  ▁▁▁▁▁▁▁▁▁▁▁▁  0.7 of 100
      all         ▁▁▁▁▁▁▁▁▁▁▁▁  0.4 of 100
      what would change it: 9 more failures within 3 minutes of the traffic that it had would roll it back
    ");
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let place = Place::new();
    place.write("minutes.json", "{\n  \"planned_minutes\": 60,\n  \"false_rolback\": 0.01,\n  \"minutes\": []\n}\n");
    insta::assert_snapshot!(place.run(&["judge", "--input", "minutes.json"]).exits(2).err, @r#"
    error[judge-input]: unknown field `false_rolback`
     --> minutes.json:3:4
      |
    3 |   "false_rolback": 0.01,
      |    ^^^^^^^^^^^^^
      |
      = note: expected one of `planned_minutes`, `stage_starts`, `false_rollback`, `rho0`, `delta0`, `phi`, `hard_limit`, `minutes`
      = help: write the file as `migrate judge --help` shows it; what was not reported is null
    error: minutes.json, line 3, column 4: unknown field `false_rolback`
    "#);
    let object = place.run(&["judge", "--input", "minutes.json", "--json"]).exits(2).object();
    assert_eq!(object["outcome"], "usage");
    place.run(&["judge", "--input", "nowhere.json"]).exits(2).tells("cannot read nowhere.json");
    place.write("binary.json", "\u{0}\u{1b}[31m{");
    place.run(&["judge", "--input", "binary.json"]).exits(2).tells("line 1");
}
