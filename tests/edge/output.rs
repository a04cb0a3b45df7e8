//! What is printed where: text for people, one object, one object a line, and no escape codes.

use serde_json::Value;

use super::{Place, WEB};

/// The text with every number as `#`: times and counts differ from call to call, words do not.
fn numberless(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if plain.ends_with('#') => {}
            '0'..='9' => plain.push('#'),
            // The point of a fraction belongs to its number.
            '.' if plain.ends_with('#') => {}
            _ => plain.push(c),
        }
    }
    plain
}

#[test]
fn help() {
    let place = Place::new();
    insta::assert_snapshot!(place.run(&["--help"]).exits(0).out, @r#"
    Moves Amazon ECS services from dual-stack to IPv6-only networking in judged stages

    Usage: migrate [OPTIONS] <COMMAND>

    Commands:
      validate  Parse and check a playbook, offline
      schema    Print the JSON Schema of playbooks, for editors
      assess    Is this service ready for IPv6 only? Changes nothing
      plan      Every operation in order, the schedule and the way back. Changes nothing
      start     Prepare, and stand green up beside blue without traffic
      advance   Judge the time since the last shift, then carry the run through the next stage
      rollback  Send traffic home now, verified
      finish    Retire blue: the only verb that touches what migrate did not create
      status    Where a run stands, and why
      history   The journal of a run, readable
      rehearse  The whole run on the simulated cloud, in virtual time
      judge     Judge minutes that are past: the verdict over time, why, and what would change it
      unlock    Free a run whose holder is gone

    Options:
          --state <DIR>  Where journals live: a directory [default: the playbook's `state`, or .migrate]
                         [env: MIGRATE_STATE=]
          --json         Print one JSON object on standard output, and nothing else there
          --events       Print one JSON object a line on standard output as things happen
      -y, --yes          Do not ask; `finish` asks before it retires blue on a terminal
      -v, --verbose...   Show the AWS configuration and retries; twice for the details of each call
      -h, --help         Print help
      -V, --version      Print version

    Exit codes: 0 ok, 1 error, 2 usage, 3 blocked, 4 held, 5 rolled back, 6 stuck, 7 locked, 8 drift, 9
    credentials, 130/143 interrupted.
    "#);
    for verb in [
        "validate", "schema", "assess", "plan", "start", "advance", "rollback", "finish", "status", "history",
        "rehearse", "judge", "unlock",
    ] {
        let done = place.run(&[verb, "--help"]).exits(0).says("Usage: migrate").says("--json");
        assert!(done.err.is_empty() && done.out.lines().all(|line| line.chars().count() <= 100), "{}", done.out);
    }
}

#[test]
fn status_and_the_end_of_a_verb() {
    let place = Place::started();
    insta::assert_snapshot!(numberless(&place.run(&["status"]).exits(0).out), @r#"
    run       web  (sandbox, healthy)
    state     ready
    stage     # of #
    green     #% of the traffic
    why       green is healthy beside blue, at weight #
    last      record # at #-#-# #:#:# UTC
    next      migrate advance web
    "#);
    insta::assert_snapshot!(numberless(&place.run(&["advance"]).exits(0).out), @r#"
    web: ready (sandbox, stage # of #, green #%)
      errors: green #% (# of #), blue #% (# of #) in # min, phi #; evidence against green # of #
      next: migrate advance web
    "#);
    insta::assert_snapshot!(numberless(&place.run(&["advance", "--all"]).exits(4).out), @r#"
    web: held (sandbox, stage # of #, green #%)
      stage # wants an approval: `migrate advance` gives it
      next: migrate advance web
    "#);
    insta::assert_snapshot!(numberless(&place.run(&["rollback"]).exits(0).out), @r#"
    web: rolled_back (sandbox, stage # of #, green #%)
      all traffic is home, verified; web-ipv# is kept with # tasks and no traffic
      next: migrate rollback web --remove-green
    "#);
}

#[test]
fn the_way_of_a_rollback_by_the_gate() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    let done = place.run(&["rehearse", "web.yaml", "--scenario", "green-errors"]).exits(5);
    let from = done.err.find("advance through").unwrap();
    let told: Vec<&str> =
        done.err[from..].lines().map(|line| line.split_once("  ").map_or(line, |(_, text)| text)).collect();
    // How soon the evidence suffices, and of which metric it is, depends on how the traffic falls into minutes.
    let reason = told.iter().find_map(|line| line.strip_prefix("ROLLING BACK: ")).unwrap();
    assert!(reason.contains("against green"), "{reason}");
    let plain = |line: &&str| match line.split_once("  degraded: ") {
        Some((_, why)) => format!("degraded: {why}"),
        None => (*line).to_owned(),
    };
    let plain = told[1..].iter().map(plain).collect::<Vec<_>>().join("\n").replace(reason, "WHY");
    insta::assert_snapshot!(numberless(&plain), @r#"
    healthy: # of # green targets are healthy
    stage #: giving green #% of the traffic
    stage #: every route shows the share
    stage # bakes until #-#-# #:#:# UTC
    stage #/# #%  bake #:#/#:#  green # req # bad (-), blue # req # bad (-)  evidence # of #  not enough evidence: no minute has been seen
    degraded: WHY
    ROLLING BACK: WHY
    sending all traffic home
    all traffic is home, read back
    undo: let auto scaling add tasks to service/prod/web-ipv#
    undo: keep auto scaling from changing service/prod/web
    rolled back
    "#);
}

#[test]
fn a_refusal() {
    let place = Place::new();
    place.write("web.yaml", &WEB.replace("10%, bake", "10%, bakes"));
    insta::assert_snapshot!(place.run(&["start", "web.yaml", "--sandbox"]).exits(2).err, @r#"
    error[unknown-field]: unknown field `bakes` in stage 1
     --> web.yaml:8:19
      |
    8 |   - { green: 10%, bakes: 15m }
      |                   ^^^^^
      |
      = help: did you mean `bake`?
    error: web.yaml has 1 error
      help: mend the playbook; `migrate schema` prints a JSON Schema for your editor
    "#);
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
        (&["judge"], 0),
        (&["judge", "--since", "1h"], 2),
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
    let good = |beat: &&str| beat.contains(" of 100  healthy") && beat.chars().count() <= 200;
    assert!(beats.iter().skip(1).all(good), "{beats:?}");
}

#[test]
fn the_schema_is_one() {
    let place = Place::new();
    let schema = place.run(&["schema"]).exits(0).object();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    assert!(schema["required"].as_array().unwrap().contains(&"stages".into()), "{schema}");
}
