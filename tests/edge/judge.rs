//! `migrate judge`: the contract of its file and of its object, the judge of a run by its journal, and what
//! a person reads.

use serde_json::{Value, json};

use super::{Place, WEB};

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
        assert!(object["reason"].as_str().is_some_and(|reason| reason.starts_with("errors: green")), "{object}");
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
    place.run(&["judge"]).exits(2).tells("there is no run").tells("--input");
}

#[test]
fn a_person_reads_why() {
    let place = Place::new();
    place.write("bad.json", &file(&going_bad(), &json!({})));
    insta::assert_snapshot!(place.run(&["judge", "--input", "bad.json"]).exits(0).out, @"
    degraded: errors: green 0.20% (9 of 4500), blue 0.11% (90 of 85500) in 15 min, phi 1.0; in the last 3 min green 1.00% (9 of 900), blue 0.11% (18 of 17100); evidence against green 241, a rollback at a declared chance of 1% needs 100
      held back from minute 14, rolled back in minute 15 of 18
      errors  ▁▁▁▁▁▁▁▁▁▁▁▁▂▅████  10^5 of 100  green 0.20%, blue 0.11%
      what would change it: it would stand if its failures came in clusters of 2.3 or more (phi)
      what would change it: it would stand at a declared chance of less than 1 in 10^5
      what would change it: it would stand with at most 11 of its 18 failures
    ");
    place.write("both.json", &file(&going_bad()[..12], &json!({ "hard_limit": 0.01 })));
    insta::assert_snapshot!(place.run(&["judge", "--input", "both.json"]).exits(0).out, @"
    healthy: errors: green 0.00% (0 of 3600), blue 0.11% (72 of 68400) in 12 min, phi 1.0; evidence against green 0.4 of 100
      errors      ▁▁▁▁▁▁▁▁▁▁▁▁  0.7 of 150  green 0.00%, blue 0.11%
      hard limit  ▁▁▁▁▁▁▁▁▁▁▁▁  0.7 of 300  green 0.00%, blue 0.11%
      all         ▁▁▁▁▁▁▁▁▁▁▁▁  0.4 of 100
      what would change it: 9 more failures within 3 minutes of such traffic would roll it back
    ");
}

/// The last judgement in the journal of the run `web`, and all of the journal.
fn judged(place: &Place) -> (Value, String) {
    let history = place.run(&["history", "web", "--json"]).exits(0).object();
    let events = history["events"].as_array().unwrap();
    let last = events.iter().rfind(|event| event["event"] == "judged").unwrap();
    (last.clone(), place.read(".migrate/web/journal.jsonl"))
}

/// The object of `judge web`, which must be what the journal's last judgement was.
#[track_caller]
fn as_the_run_judged(place: &Place) -> Value {
    let (last, journal) = judged(place);
    let object = place.run(&["judge", "web", "--json"]).exits(0).object();
    assert_eq!(place.read(".migrate/web/journal.jsonl"), journal, "looking adds nothing");
    let judgement = &last["judgement"];
    assert_eq!(object["gate"]["verdict"], judgement["verdict"], "{object}");
    assert_eq!((&object["run"], &object["stage"]), (&json!("web"), &last["stage"]));
    for name in ["log_e_slow", "log_e_fast"] {
        let found = logs(&object, name);
        assert_eq!(found.last().copied(), judgement["weighed"][name].as_f64(), "{name}: {object} {judgement}");
        assert_eq!(found.len(), object["times"].as_array().unwrap().len());
    }
    assert_eq!(object["begin"], object["times"][0], "{object}");
    let times: Vec<chrono::DateTime<chrono::Utc>> =
        object["times"].as_array().unwrap().iter().map(|at| at.as_str().unwrap().parse().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == chrono::TimeDelta::minutes(1)), "{times:?}");
    object
}

#[test]
fn a_run_that_was_rolled_back() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    place.run(&["start", "web.yaml", "--sandbox=green-errors"]).exits(0);
    let advanced = place.run(&["advance"]).exits(5);
    assert!(advanced.out.contains("what would change it: it would stand "), "{}", advanced.out);
    let object = as_the_run_judged(&place);
    assert_eq!((&object["verdict"], &object["state"]), (&json!("degraded"), &json!("rolled_back")));
    assert_eq!(object["reason"], object["gate"]["reason"], "{object}");
    let minute = object["rollback_minute"].as_u64().unwrap() as usize;
    assert_eq!(object["rollback_at"], object["times"][minute - 1], "{object}");
    // The file that has a name ending in .yaml means the same run; other questions have other answers.
    assert_eq!(place.run(&["judge", "web.yaml", "--json"]).exits(0).object(), object);
    let asked = place.run(&["judge", "--phi", "30", "--false-rollback", "0.1%", "--json"]).exits(0).object();
    assert_eq!((&asked["phi"], &asked["false_rollback"]), (&json!(30.0), &json!(0.001)));
    assert_ne!(asked["verdict"], "degraded", "{asked}");
    let status = place.run(&["status", "--json"]).exits(0).object();
    assert_eq!(status["evidence"]["log_e_slow"], *object["log_e_slow"].as_array().unwrap().last().unwrap());
    assert_eq!(status["evidence"]["would_change"], object["would_change"]);
    assert!(status["evidence"]["odds"].as_str().unwrap().contains(" of 10"), "{status}");
}

#[test]
fn a_run_that_goes_on_and_one_that_is_finished() {
    let place = Place::started();
    let object = place.run(&["judge", "--json"]).exits(0).object();
    assert_eq!((&object["verdict"], &object["begin"]), (&json!("not_enough_evidence"), &Value::Null));
    assert_eq!((&object["reason"], &object["stage"]), (&json!("no minute has been seen"), &json!(0)));
    place.run(&["judge"]).exits(0).says("web: ready (sandbox, stage 0 of 3), no minute seen yet");
    place.run(&["advance"]).exits(0);
    let object = as_the_run_judged(&place);
    assert_eq!((&object["verdict"], &object["state"]), (&json!("healthy"), &json!("ready")));
    place.run(&["advance"]).exits(0);
    place.run(&["advance", "--all"]).exits(0);
    place.run(&["finish", "-y"]).exits(0);
    let object = as_the_run_judged(&place);
    assert_eq!(
        (&object["verdict"], &object["state"], &object["stage"]),
        (&json!("healthy"), &json!("finished"), &json!(3))
    );
    assert_eq!(object["stage_starts"].as_array().unwrap().len(), 3, "{object}");
    place.run(&["judge"]).exits(0).says("stages began: 1 (10%) in minute 1, 2 (50%) in minute ");
}

#[test]
fn which_run_is_judged() {
    let place = Place::new();
    for name in ["one", "two"] {
        place.write("web.yaml", &WEB.replace("name: web\nservice", &format!("name: {name}\nservice")));
        place.run(&["start", "web.yaml", "--sandbox"]).exits(0);
    }
    place.run(&["judge"]).exits(2).tells("one (ready), two (ready)");
    place.run(&["judge", "three"]).exits(2).tells("there is no run `three`");
    assert_eq!(place.run(&["judge", "one", "--json"]).exits(0).object()["run"], "one");
}

#[test]
fn a_person_reads_of_a_run() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    place.run(&["start", "web.yaml", "--sandbox=green-errors"]).exits(0);
    place.run(&["advance"]).exits(5);
    let text = place.run(&["judge"]).exits(0).out;
    // Which metric condemns, and in which minute, depends on how the traffic falls into minutes.
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("web: rolled_back (sandbox, stage 1 of 3), "), "{text}");
    assert!(lines[1].starts_with("degraded: ") && lines[1].contains("against green"), "{text}");
    assert!(lines[2].contains("rolled back in minute "), "{text}");
    let bars = |line: &&str| line.contains(|c| ('▁'..='█').contains(&c));
    let (shown, rest): (Vec<&str>, Vec<&str>) = lines[3..].iter().copied().partition(bars);
    let metrics: Vec<&str> = shown.iter().map(|line| line.trim().split("  ").next().unwrap()).collect();
    let [first, second, .., last] = metrics[..] else { panic!("{text}") };
    assert_eq!([first, second, last], ["errors", "hard limit", "all"], "{text}");
    assert!(
        !rest.is_empty() && rest.iter().all(|line| line.starts_with("  what would change it: it would stand ")),
        "{text}"
    );
    let status = place.run(&["status"]).exits(0).out;
    for line in shown {
        assert!(status.contains(line.trim()), "{line} is not in\n{status}");
    }
}

/// What is asked of CloudWatch is checked before anybody is contacted.
#[test]
fn what_cannot_be_asked() {
    let place = Place::started();
    let sides = ["--green-tg", "g", "--blue-tg", "b"];
    let wrong: [(&[&str], &str); 9] = [
        (&["--since", "0s"], "less than a minute"),
        (&["--since", "16d"], "15 days"),
        (&["--since", "soon"], "such as 90m"),
        (&["--since", "2h", "--input", "x.json"], "cannot be used with"),
        (&["web", "--since", "2h"], "cannot be used with"),
        (&["--since", "2h", "--var", "a=b"], "cannot be used with"),
        (&[], "--since"),
        (&["--since", "2h", "--green-tg", "not/a/name"], "neither the name nor the ARN"),
        (&["--since", "2h", "--green-tg", ""], "neither the name nor the ARN"),
    ];
    for (args, told) in wrong {
        let args = [&["judge"], args, &sides].concat();
        place.run_with(&args, &[("AWS_REGION", "eu-central-1")]).exits(2).tells(told);
    }
    for missing in [&["--green-tg", "g"][..], &["--blue-tg", "b"]] {
        place.run(&[&["judge", "--since", "2h"], missing].concat()).exits(2).tells("required");
    }
    place.run(&["judge", "web", "--input", "x.json"]).exits(2).tells("cannot be used with");
    place.run(&[&["judge", "--since", "2h"], &sides[..]].concat()).exits(2).tells("region");
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
