//! SIGKILL at any moment of any verb, and the same command again: the run ends where it should.

use std::time::{Duration, Instant};

use super::{Place, WEB, original_routes};

/// How often one command is killed before it may end.
const KILLS: usize = 5;
/// How many runs; each takes other moments.
const RUNS: u64 = 8;

/// Moments that differ from run to run, and are the same for the same run.
struct Moments {
    state: u64,
    /// Processes that were killed before they had ended.
    killed: usize,
}

impl Moments {
    fn of(run: u64) -> Moments {
        Moments { state: run, killed: 0 }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % limit
    }
}

/// Calls a command until it ends by itself; kills it at some moment before.
fn through(place: &Place, args: &[&str], moments: &mut Moments) -> i32 {
    for _ in 0..KILLS {
        let mut running = place.spawn(args);
        running.events(usize::try_from(moments.below(6)).unwrap());
        // A little later than the event: between two records there are effects and files to be cut off.
        let longest = if moments.below(4) == 0 { 12_000 } else { 1_500 };
        let later = Instant::now() + Duration::from_micros(moments.below(longest));
        while Instant::now() < later {
            std::hint::spin_loop();
        }
        if let Some(code) = running.kill() {
            return code;
        }
        moments.killed += 1;
        // Whatever was cut off, the journal can be read.
        let seen = place.run(&["history"]);
        assert!(seen.code == 0 || seen.err.contains("there is no run"), "{seen:?}");
    }
    place.run(args).code
}

#[test]
fn forward_and_back_home() {
    let original = original_routes(WEB);
    let mut killed = 0;
    for seed in 1..=RUNS {
        let moments = &mut Moments::of(seed);
        let place = Place::new();
        place.write("web.yaml", WEB);
        assert_eq!(through(&place, &["start", "web.yaml", "--sandbox"], moments), 0, "run {seed}");
        for stage in 0..moments.below(4) {
            assert_eq!(through(&place, &["advance", "web"], moments), 0, "run {seed}, advance {stage}");
        }
        assert_eq!(through(&place, &["rollback", "web"], moments), 0, "run {seed}");
        killed += moments.killed;
        let status = place.status();
        assert_eq!((&status["state"], &status["green_share"]), (&"rolled_back".into(), &0.0.into()), "run {seed}");
        assert_eq!(place.routes().to_string(), original.to_string(), "run {seed}: not the original routes");
        assert_eq!(place.run(&["rollback", "web", "--remove-green"]).code, 0, "run {seed}");
        assert_eq!(place.routes().to_string(), original.to_string(), "run {seed}: not the original routes");
    }
    assert!(killed > 30, "only {killed} processes were killed in time: the moments come too late");
}

/// One verb is killed in the middle, and another is called: the way home is open from anywhere.
#[test]
fn home_from_anywhere() {
    let original = original_routes(WEB);
    for seed in 100..100 + 2 * RUNS {
        let moments = &mut Moments::of(seed);
        let place = Place::new();
        place.write("web.yaml", WEB);
        let verbs: [&[&str]; 2] = [&["start", "web.yaml", "--sandbox"], &["advance", "--all"]];
        for verb in verbs {
            let mut running = place.spawn(verb);
            running.events(usize::try_from(moments.below(30)).unwrap());
            running.kill();
        }
        let back = place.run(&["rollback", "web"]);
        // A start that was killed before its first record has changed nothing.
        assert!(back.code == 0 || back.err.contains("there is no run"), "run {seed}: {back:?}");
        if back.code == 0 {
            assert_eq!(place.routes().to_string(), original.to_string(), "run {seed}: not the original routes");
        }
    }
}

#[test]
fn forward_to_the_end() {
    let moments = &mut Moments::of(4711);
    let place = Place::new();
    place.write("web.yaml", &WEB.replace(", approve: true", ""));
    assert_eq!(through(&place, &["start", "web.yaml", "--sandbox"], moments), 0);
    assert_eq!(through(&place, &["advance", "--all"], moments), 0);
    assert_eq!(place.status()["state"], "shifted");
    assert_eq!(through(&place, &["finish"], moments), 0);
    assert_eq!(place.status()["state"], "finished");
    let routes = place.routes().to_string();
    assert!(routes.contains("targetgroup/web-ipv6") && !routes.contains("targetgroup/web/"), "{routes}");
}
