//! The words of each way to move traffic, from `start` to the way home: none speaks of what a way does not have.

use super::{Place, WEB};

/// A playbook that moves this way, in stages or at once.
fn by(shift: &str, staged: bool) -> String {
    let head = WEB.split("stages:").next().expect("a playbook with stages");
    let head = head.replace("shift: { listener_weights: {} }", &format!("shift: {shift}"));
    assert!(head.contains(shift), "{head}");
    let first = if staged { "  - { green: 20%, bake: 5m }\n" } else { "" };
    format!("{head}stages:\n{first}  - {{ green: 100%, bake: 6m }}\n")
}

#[test]
fn every_text_fits_the_way() {
    let nowhere: &[&str] = &["at weight", "every route", "some routes"];
    let uncounted: &[&str] = &["at weight", "route", " req", "request", "target", "traffic"];
    for (shift, staged, ready, settled, home, never) in [
        (
            "{ dns_weights: {} }",
            true,
            "no record leads to it yet",
            "servers answer",
            "every record is as it was",
            nowhere,
        ),
        (
            "{ listener_swap: {} }",
            false,
            "receives nothing yet",
            "every listener leads",
            "all traffic is home",
            nowhere,
        ),
        (
            "{ in_place: { staged: true } }",
            true,
            "runs no task yet",
            "runs 1 task beside",
            "blue serves alone",
            uncounted,
        ),
        (
            "{ in_place: {} }",
            false,
            "service runs as before",
            "replaced every task",
            "service runs as it did",
            uncounted,
        ),
    ] {
        let place = Place::new();
        place.write("web.yaml", &by(shift, staged));
        let verbs: [&[&str]; 7] = [
            &["start", "web.yaml", "--sandbox"],
            &["status"],
            &["advance"],
            &["status"],
            &["rollback"],
            &["status"],
            &["history"],
        ];
        let mut story = String::new();
        for args in verbs {
            let done = place.run(args).exits(0);
            // What is found before the run speaks of Route 53 and load balancers in general.
            let err = if args[0] == "start" { String::new() } else { done.err };
            story += &format!("{err}{}", done.out);
        }
        for wanted in [ready, settled, home] {
            assert!(story.contains(wanted), "{shift} does not say `{wanted}`:\n{story}");
        }
        for word in never {
            let line = story.lines().find(|l| l.contains(word));
            assert_eq!(line, None, "{shift} speaks of `{word}`");
        }
    }
}

/// What an update in place created and a rollback keeps can be removed by the command that is shown.
#[test]
fn what_a_rollback_keeps_is_named_and_can_be_removed() {
    let place = Place::new();
    place.write("web.yaml", &by("{ in_place: {} }", false));
    place.run(&["start", "web.yaml", "--sandbox"]).exits(0);
    let done = place.run(&["rollback", "--json"]).exits(0).object();
    assert_eq!(done["next"], "migrate rollback web --remove-green", "{done}");
    assert!(done["reason"].as_str().unwrap().contains("what was created is kept, unused"), "{done}");
    let done = place.run(&["rollback", "web", "--remove-green", "--json"]).exits(0).object();
    assert_eq!(done["next"], serde_json::Value::Null, "{done}");
}

#[test]
fn a_plan_lists_what_is_called_and_told() {
    let place = Place::new();
    let more = "hooks: { before_shift: [{ command: { run: [./x] } }], on_finish: [{ command: { run: [./y] } }] }\n\
                notify: { webhook: [\"https://hooks.example.com/services/secret\"], on: [hold] }\n";
    let smoke = WEB.replacen("bake: 15m", "bake: 15m, smoke: { http: \"https://example.com/health\" }", 1);
    place.write("web.yaml", &format!("{smoke}{more}"));
    let done = place.run(&["plan", "web.yaml", "--sandbox", "--json"]).exits(0);
    assert!(!done.out.contains("secret"), "{}", done.out);
    let plan = done.object();
    let hooks = plan["hooks"].as_array().unwrap();
    let stages = plan["schedule"].as_array().unwrap().len();
    assert_eq!(hooks.len(), stages + 1, "{hooks:?}");
    assert_eq!((&hooks[0]["moment"], &hooks[0]["stage"]), (&"before_shift".into(), &1.into()));
    assert_eq!(hooks[stages]["moment"], "on_finish");
    assert_eq!(hooks[stages]["stage"], serde_json::Value::Null);
    assert_eq!(plan["smoke"][0]["stage"], 1);
    assert_eq!(plan["smoke"][0]["test"]["http"], "https://example.com/health");
    assert_eq!(plan["notices"]["on"], serde_json::json!(["hold"]));
    assert_eq!(plan["notices"]["to"].as_array().unwrap().len(), 1);
}
