//! Two processes and one run: only one moves it, and a rollback comes first. And signals.

use std::time::{Duration, Instant};

use super::{Place, WEB, original_routes};

#[test]
fn the_second_process_is_turned_away() {
    let place = Place::endless();
    let mut first = place.spawn(&["advance"]);
    first.until("bake_began");
    let process = first.child.id().to_string();
    let first = first.finish();
    for verb in ["advance", "finish", "unlock"] {
        place.run(&[verb]).exits(7).tells(&process);
    }
    let second = place.run(&["start", "web.yaml", "--json"]).exits(7).object();
    assert_eq!(second["outcome"], "locked");
    // Looking is always possible.
    assert_eq!(place.status()["state"], "baking");
    place.run(&["history"]).exits(0).says("stage 1 bakes until");
    // A rollback is not turned away: the first process gives way at its next safe point.
    let home = place.run(&["rollback", "--json"]).exits(0).object();
    assert_eq!(home["state"], "rolled_back");
    let (code, events) = first.join().unwrap();
    assert_eq!(code, 7, "{events}");
    assert_eq!(place.routes(), original_routes(WEB));
    place.run(&["unlock"]).exits(0).says("is free");
}

#[test]
fn a_signal_stops_at_a_safe_point() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 143)] {
        let place = Place::endless();
        let mut advance = place.spawn(&["advance"]);
        advance.until("bake_began");
        let asked = Instant::now();
        advance.signal(name);
        let (ended, events) = advance.finish().join().unwrap();
        assert_eq!(ended, code, "SIG{name}");
        assert!(asked.elapsed() < Duration::from_secs(6), "SIG{name} took {:?}", asked.elapsed());
        assert!(events.lines().last().unwrap().contains("\"interrupted\""), "{events}");
        let status = place.status();
        assert_eq!((&status["state"], &status["green_share"]), (&"baking".into(), &10.0.into()), "the weights stay");
        // The bake goes on where it was, and the way home is open.
        let mut again = place.spawn(&["advance"]);
        again.until("judged");
        again.kill();
        place.run(&["rollback"]).exits(0);
        assert_eq!(place.routes(), original_routes(WEB));
    }
}

/// `on_cancel: rollback` takes the traffic home before the process ends.
#[test]
fn a_cancelled_run_goes_home_where_the_playbook_says_so() {
    let place = Place::new();
    place.write("web.yaml", &format!("{}on_cancel: rollback\n", WEB.replace("bake: 15m", "bake: 15d")));
    place.run(&["start", "web.yaml", "--sandbox"]).exits(0);
    let mut advance = place.spawn(&["advance"]);
    advance.until("bake_began");
    advance.signal("TERM");
    let (code, events) = advance.finish().join().unwrap();
    assert!(events.contains("\"unwinding\""), "{events}");
    // The worst word wins: traffic is home.
    assert_eq!(code, 5);
    let status = place.status();
    assert_eq!(status["green_share"], 0.0, "{status}");
    place.run(&["rollback"]).exits(0);
    assert_eq!(place.routes(), original_routes(WEB));
}

/// A reader of the output that goes away is no reason to leave a run half done.
#[test]
fn a_closed_pipe_is_no_failure() {
    let place = Place::started();
    let mut advance = place.spawn(&["advance"]);
    advance.until("advanced");
    let super::Running { mut child, events } = advance;
    drop(events);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(place.status()["stage"], 1);
}
