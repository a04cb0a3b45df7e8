//! What is printed where: text for people, one object, one object a line, and no escape codes.

use serde_json::Value;

use super::{Place, WEB};

/// Dates and times differ from call to call; nothing else does.
fn timeless(text: &str) -> String {
    let shape = |word: &str| -> String { word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect() };
    let split = |c: char| c == ' ' || c == '\n';
    text.split_inclusive(split)
        .map(|word| match shape(word.trim_end_matches(split)).as_str() {
            "0000-00-00" => word.replace(|c: char| c.is_ascii_digit(), "_"),
            "00:00" | "00:00:00" => word.replace(|c: char| c.is_ascii_digit(), "_"),
            _ => word.to_owned(),
        })
        .collect()
}

#[test]
fn help() {
    let place = Place::new();
    insta::assert_snapshot!(place.run(&["--help"]).exits(0).out, @"");
    for verb in [
        "validate", "schema", "assess", "plan", "start", "advance", "rollback", "finish", "status", "history",
        "rehearse", "unlock",
    ] {
        let done = place.run(&[verb, "--help"]).exits(0).says("Usage: migrate").says("--json");
        assert!(done.err.is_empty() && done.out.lines().all(|line| line.chars().count() <= 100), "{}", done.out);
    }
}

#[test]
fn status_and_the_end_of_a_verb() {
    let place = Place::started();
    insta::assert_snapshot!(timeless(&place.run(&["status"]).exits(0).out), @"");
    insta::assert_snapshot!(timeless(&place.run(&["advance"]).exits(0).out), @"");
    insta::assert_snapshot!(timeless(&place.run(&["advance", "--all"]).exits(4).out), @"");
    insta::assert_snapshot!(timeless(&place.run(&["rollback"]).exits(0).out), @"");
}

#[test]
fn the_way_of_a_rollback_by_the_gate() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    let done = place.run(&["rehearse", "web.yaml", "--scenario", "green-errors"]).exits(5);
    let from = done.err.find("advance through").unwrap();
    let told: Vec<&str> =
        done.err[from..].lines().map(|line| line.split_once("  ").map_or(line, |(_, text)| text)).collect();
    insta::assert_snapshot!(timeless(&told[1..].join("\n")), @"");
}

#[test]
fn a_refusal() {
    let place = Place::new();
    place.write("web.yaml", &WEB.replace("10%, bake", "10%, bakes"));
    insta::assert_snapshot!(place.run(&["start", "web.yaml", "--sandbox"]).exits(2).err, @"");
}

/// `--json` prints one object on standard output and nothing else there, whatever happens.
#[test]
fn one_object() {
    let place = Place::started();
    place.write("wrong.yaml", "version: 1\n");
    for (args, code) in [
        (&["validate", "web.yaml"][..], 0),
        (&["validate", "wrong.yaml"], 2),
        (&["plan", "web.yaml", "--sandbox"], 0),
        (&["assess", "web.yaml", "--sandbox"], 0),
        (&["rehearse", "web.yaml"], 0),
        (&["start", "web.yaml"], 0),
        (&["start", "wrong.yaml"], 2),
        (&["status"], 0),
        (&["history"], 0),
        (&["unlock"], 0),
        (&["advance"], 0),
        (&["finish"], 2),
        (&["advance", "nobody"], 2),
        (&["rollback"], 0),
    ] {
        let done = place.run(&[args, &["--json"]].concat()).exits(code);
        assert_eq!(done.out.lines().count(), 1, "{done:?}");
        assert!(done.object()["outcome"].is_string(), "{done:?}");
    }
}

/// One object a line: `seq` and `at` never fall, and the journal tells the same story.
#[test]
fn one_object_a_line() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    let mut lines = Vec::new();
    for args in [&["start", "web.yaml", "--sandbox"][..], &["advance"], &["rollback"]] {
        lines.extend(place.run(&[args, &["--events"]].concat()).exits(0).out.lines().map(str::to_owned));
    }
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], index as u64 + 1, "{event}");
        assert!(event["event"].is_string() && event["at"].as_str().unwrap().ends_with('Z'), "{event}");
    }
    let times: Vec<chrono::DateTime<chrono::Utc>> =
        events.iter().map(|e| e["at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted());
    assert_eq!(place.run(&["history", "--events"]).exits(0).out.lines().collect::<Vec<_>>(), lines);
    let history = place.run(&["history", "--json"]).exits(0).object();
    assert_eq!(history["events"].as_array().unwrap(), &events);
    let names: Vec<&str> = events.iter().filter_map(|e| e["event"].as_str()).filter(|n| *n != "judged").collect();
    assert_eq!((names[0], names[names.len() - 1]), ("opened", "rolled_back"));
}

#[test]
fn no_escape_codes_in_a_pipe() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    place.write("wrong.yaml", &WEB.replace("10%", "ten"));
    for args in [
        &["rehearse", "web.yaml"][..],
        &["validate", "wrong.yaml"],
        &["plan", "web.yaml", "--sandbox"],
        &["--help"],
        &["strat"],
    ] {
        for env in [
            &[][..],
            &[("NO_COLOR", "1")],
            &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")],
            &[("TERM", "xterm-256color"), ("CI", "true")],
        ] {
            let done = place.run_with(args, env);
            assert!(!done.out.contains('\u{1b}') && !done.err.contains('\u{1b}'), "{env:?} {done:?}");
        }
    }
}

/// Somebody who waits for a bake in a pipeline sees a line at least every fifteen simulated minutes.
#[test]
fn a_heartbeat_has_the_numbers() {
    let place = Place::new();
    place.write("web.yaml", &WEB.replace("bake: 15m", "bake: 2h"));
    let told = place.run(&["rehearse", "web.yaml"]).exits(0).err;
    let beats: Vec<&str> = told.lines().filter(|l| l.contains("stage 1/3 10%  bake ") && l.contains(" req ")).collect();
    assert!(beats.len() >= 8, "{told}");
    assert!(beats.iter().skip(1).all(|beat| beat.contains("healthy")), "{beats:?}");
}

#[test]
fn the_schema_is_one() {
    let place = Place::new();
    let schema = place.run(&["schema"]).exits(0).object();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    assert_eq!(schema["properties"]["version"]["minimum"], 1);
}
