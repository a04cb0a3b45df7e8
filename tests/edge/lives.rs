//! Whole runs on the sandbox, verb by verb, each verb called twice.

use super::{CONTRACT, Place, STATES, WEB, original_routes};

/// Calls a verb that moves a run, and checks its object against the contract.
#[track_caller]
fn moved(place: &Place, args: &[&str], code: i32, state: &str, stage: u64) -> serde_json::Value {
    let object = place.run(&[args, &["--json"]].concat()).exits(code).object();
    for field in CONTRACT {
        assert!(object.get(field).is_some(), "{args:?}: no `{field}` in {object}");
    }
    assert_eq!(object["state"], state, "{args:?}: {object}");
    assert_eq!(object["stage"], stage, "{args:?}: {object}");
    assert!(STATES.contains(&object["state"].as_str().unwrap()));
    assert!(object["green_share"].is_number() && !object["reason"].as_str().unwrap().is_empty());
    object
}

#[test]
fn from_start_to_finish() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    moved(&place, &["start", "web.yaml", "--sandbox"], 0, "ready", 0);
    let first = moved(&place, &["advance"], 0, "ready", 1);
    assert_eq!(first["green_share"], 10.0);
    assert_eq!(first["verdict"], "healthy");
    assert_eq!(first["next"], "migrate advance web");
    // `--all` approves nothing, however often it is called.
    for _ in 0..2 {
        let held = moved(&place, &["advance", "--all"], 4, "held", 1);
        assert_eq!(held["outcome"], "held");
        assert!(held["reason"].as_str().unwrap().contains("approval"), "{held}");
    }
    moved(&place, &["advance"], 0, "ready", 2);
    let shifted = moved(&place, &["advance", "--all"], 0, "shifted", 3);
    assert_eq!(shifted["green_share"], 100.0);
    assert_eq!(shifted["next"], "migrate finish web");
    moved(&place, &["advance"], 0, "shifted", 3);
    let finished = moved(&place, &["finish", "-y"], 0, "finished", 3);
    assert_eq!(finished["next"], serde_json::Value::Null);
    let savings = finished["savings"].as_array().unwrap();
    assert!(savings.iter().any(|s| s["command"].as_str().unwrap().contains("delete-target-group")), "{savings:?}");
    let events = place.run(&["history", "--events"]).exits(0).out.lines().count();
    // Everything is done, and every verb but the way back says so.
    moved(&place, &["finish"], 0, "finished", 3);
    moved(&place, &["advance"], 0, "finished", 3);
    moved(&place, &["start", "web.yaml", "--sandbox"], 0, "finished", 3);
    place.run(&["rollback"]).exits(2).tells("point of no return");
    assert_eq!(place.run(&["history", "--events"]).out.lines().count(), events, "a repeated verb added to the journal");
}

#[test]
fn back_from_every_stage() {
    let original = original_routes(WEB);
    for advances in 0..=3 {
        let place = Place::started();
        assert_ne!(place.routes(), original, "green is in every route, at weight 0");
        for _ in 0..advances {
            place.run(&["advance"]).exits(0);
        }
        for _ in 0..2 {
            let back = moved(&place, &["rollback"], 0, "rolled_back", 0);
            assert_eq!((&back["outcome"], &back["green_share"]), (&"ok".into(), &0.0.into()));
        }
        assert_eq!(place.routes(), original, "after {advances} stages");
        moved(&place, &["rollback", "--remove-green"], 0, "rolled_back", 0);
        let universe: serde_json::Value = serde_json::from_str(&place.read(".migrate/web/universe.json")).unwrap();
        let green = &universe["services"]["prod/web-ipv6"]["service"]["actual"];
        assert_ne!(green["status"], "ACTIVE", "{green}");
        assert!(!universe["target_groups"].to_string().contains("targetgroup/web-ipv6"));
    }
}

/// A run that was rolled back makes room for another of its name.
#[test]
fn again_after_a_rollback() {
    let place = Place::started();
    place.run(&["rollback", "--remove-green"]).exits(0);
    moved(&place, &["start", "web.yaml", "--sandbox"], 0, "ready", 0);
    assert!(place.path(".migrate/web/journal-1.jsonl").exists());
    moved(&place, &["advance"], 0, "ready", 1);
    // A green that was kept is in the way of the next run, and the remedy is named.
    place.run(&["rollback"]).exits(0);
    place.run(&["start", "web.yaml", "--sandbox"]).exits(3).tells("migrate rollback web --remove-green");
}

#[test]
fn without_waiting() {
    let place = Place::started();
    let shifted = moved(&place, &["advance", "--no-wait"], 0, "baking", 1);
    assert_eq!(shifted["green_share"], 10.0);
    // Called again, it means the next stage, and says how long the bake before it still takes.
    let baking = moved(&place, &["advance", "--no-wait"], 4, "baking", 1);
    assert!(baking["bake_until"].is_string(), "{baking}");
    moved(&place, &["advance"], 0, "ready", 2);
}

#[test]
fn verbs_out_of_their_order_are_refused() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    for verb in ["advance", "rollback", "finish", "status", "history", "judge", "unlock"] {
        place.run(&[verb]).exits(2).tells("migrate start");
    }
    place.run(&["start", "web.yaml", "--sandbox"]).exits(0);
    place.run(&["finish"]).exits(2).tells("not shifted");
    assert_eq!(place.status()["state"], "ready");
}

#[test]
fn a_start_with_another_playbook_shows_the_difference() {
    let place = Place::started();
    place.write("web.yaml", &WEB.replace("10%, bake: 15m", "20%, bake: 15m"));
    let before = place.read(".migrate/web/journal.jsonl");
    let refused = place.run(&["start", "web.yaml", "--sandbox"]).exits(2);
    refused.tells("-   - { green: 10%, bake: 15m }").tells("+   - { green: 20%, bake: 15m }");
    assert_eq!(place.read(".migrate/web/journal.jsonl"), before);
    place.write("web.yaml", WEB);
    place.run(&["start", "web.yaml", "--sandbox=green-slow"]).exits(2).tells("the run web is on the sandbox (healthy)");
}

#[test]
fn a_playbook_may_move_in_the_file_system() {
    let place = Place::started();
    // Comments and layout are not the playbook.
    place.write("moved.yml", &format!("# The same.\n{WEB}"));
    place.run(&["start", "moved.yml"]).exits(0).says("healthy beside blue");
    place.run(&["advance", "moved.yml"]).exits(0);
}

#[test]
fn looking_changes_nothing() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    place.run(&["validate", "web.yaml"]).exits(0);
    place.run(&["plan", "web.yaml", "--sandbox"]).exits(0).says("create the IPv6 target group");
    place.run(&["assess", "web.yaml", "--sandbox"]).exits(0).says("is ready");
    place.run(&["rehearse", "web.yaml"]).exits(0);
    let left: Vec<_> = std::fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["web.yaml"]);
    place.run(&["start", "web.yaml", "--sandbox"]).exits(0);
    let before = (place.read(".migrate/web/journal.jsonl"), place.read(".migrate/web/universe.json"));
    for verb in ["status", "history", "judge", "unlock"] {
        place.run(&[verb]).exits(0);
    }
    assert_eq!((place.read(".migrate/web/journal.jsonl"), place.read(".migrate/web/universe.json")), before);
}

#[test]
fn a_saved_plan_is_carried_out_unless_it_is_stale() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    place.run(&["plan", "web.yaml", "--sandbox", "--out", "plan.json"]).exits(0);
    let mut plan: serde_json::Value = serde_json::from_str(&place.read("plan.json")).unwrap();
    let count = &mut plan["inventory"]["service"]["desired_count"];
    assert_eq!(*count, 4);
    *count = 5.into();
    place.write("stale.json", &plan.to_string());
    place.run(&["start", "web.yaml", "--sandbox", "--plan", "stale.json"]).exits(3).tells("stale");
    place.run(&["status"]).exits(2);
    place.run(&["start", "web.yaml", "--sandbox", "--plan", "plan.json"]).exits(0);
    place.run(&["start", "web.yaml", "--sandbox", "--plan", "nowhere.json"]).exits(2).tells("nowhere.json");
    place.run(&["start", "web.yaml", "--sandbox", "--plan", "web.yaml"]).exits(2).tells("is not a plan");
}

#[test]
fn a_saved_plan_replaces_files_only() {
    let place = Place::new();
    place.write("web.yaml", WEB);
    let real = place.path("real.json");
    place.write("real.json", "old");
    std::os::unix::fs::symlink(&real, place.path("link.json")).unwrap();
    place.run(&["plan", "web.yaml", "--sandbox", "--out", "link.json"]).exits(0);
    assert!(place.path("link.json").is_symlink() && place.read("real.json").starts_with('{'));
    // What is no file is written to and stays what it is.
    let fifo = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = {
        let fifo = fifo.clone();
        std::thread::spawn(move || std::fs::read_to_string(fifo).unwrap())
    };
    place.run(&["plan", "web.yaml", "--sandbox", "--out", "pipe"]).exits(0);
    assert!(reader.join().unwrap().starts_with('{') && !fifo.is_file());
}
