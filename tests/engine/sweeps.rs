//! What can go wrong, at every place where it can.
//!
//! One story is told over and over: all stages there, and all the way home, or on to the finish.
//! Each time one thing breaks (a call, an append, or one of each); a patient person repeats the
//! verb, or gives up and rolls back. The world must end at the goal or exactly at the origin.

use migrate::cloud::Cause;
use migrate::cloud::sim::{Fault, FaultAt, FaultKind, Scenario, Universe};
use migrate::journal::progress::Phase;
use migrate::playbook::{InPlace, Shift};

use super::lab::{Crash, End, Lab, SHORT, epoch, playbook};

/// Verbs that a patient person tries again at most this often.
const TRIES: usize = 14;

const KINDS: [FaultKind; 5] = [
    FaultKind::RefuseBefore(Cause::Throttled),
    FaultKind::RefuseBefore(Cause::Unknown),
    FaultKind::RefuseBefore(Cause::Refused),
    FaultKind::RefuseBefore(Cause::Credentials),
    FaultKind::ApplyThenUnknown,
];

/// What is not tried again within the verb, so that somebody can give up there.
const FINAL: [FaultKind; 2] = [FaultKind::RefuseBefore(Cause::Denied), FaultKind::RefuseBefore(Cause::Credentials)];

/// A lab whose reads may lag a little, as they do.
fn lab(text: &str, faults: Vec<Fault>, crash: Option<Crash>, lag_ms: u32) -> Lab {
    let playbook = playbook(text);
    let mut universe = Universe::for_playbook(&playbook, Scenario::Healthy, 7, epoch());
    universe.faults = faults;
    universe.knobs.read_lag_ms = lag_ms;
    let mut lab = Lab::in_universe(playbook, universe);
    lab.store.crash = crash;
    lab
}

/// All sweeps for one way to move traffic, each a test of its own.
macro_rules! sweeps {
    ($way:ident, $text:expr) => {
        mod $way {
            use super::super::lab::*;

            #[test]
            fn every_call_fails_once_and_the_verb_is_repeated() {
                super::every_call_fails_once_and_the_verb_is_repeated($text);
            }

            #[test]
            fn every_call_fails_once_and_the_run_is_given_up() {
                super::every_call_fails_once_and_the_run_is_given_up($text);
            }

            #[test]
            fn every_call_on_the_way_to_the_finish_fails_once() {
                super::every_call_on_the_way_to_the_finish_fails_once($text);
            }

            #[test]
            fn every_call_happens_twice() {
                super::every_call_happens_twice($text);
            }

            #[test]
            fn the_process_dies_at_every_append() {
                super::the_process_dies_at_every_append($text);
            }

            #[test]
            fn the_process_dies_at_every_append_of_the_finish() {
                super::the_process_dies_at_every_append_of_the_finish($text);
            }

            #[test]
            fn a_death_and_a_failed_call_together() {
                super::a_death_and_a_failed_call_together($text);
            }
        }
    };
}

sweeps!(listener_weights, SHORT);
sweeps!(dns_weights, BY_RECORDS);
sweeps!(smoke_and_hooks, SMOKE_AND_HOOKS);

fn at(call: u64, kind: FaultKind) -> Vec<Fault> {
    vec![Fault { call: FaultAt::Call(call), kind }]
}

/// Home, and quiet there.
fn ends_at_the_origin(lab: &mut Lab, what: &str) {
    assert!(lab.go_home(TRIES), "{what}\n{}", lab.story());
    lab.assert_origin(what);
    if lab.store.records.is_empty() {
        return;
    }
    let (records, calls) = (lab.store.records.len(), lab.sim.universe().calls.count);
    assert!(matches!(lab.rollback(true), End::Already), "{what}");
    assert_eq!((records, calls), (lab.store.records.len(), lab.sim.universe().calls.count), "{what}: not a no-op");
}

/// There and back; an end at home before the goal is the other good end.
fn there_and_back(lab: &mut Lab, what: &str) {
    let shifted = lab.shift_all(TRIES);
    lab.assert_lawful(what);
    let phase = lab.phase();
    assert!(shifted || matches!(phase, Some(Phase::Unwinding | Phase::RolledBack)), "{what}\n{}", lab.story());
    ends_at_the_origin(lab, what);
}

/// There until something breaks, and home at once.
fn there_until_it_breaks(lab: &mut Lab, what: &str) {
    for _ in 0..TRIES {
        let early = matches!(lab.phase(), None | Some(Phase::Preparing));
        let end = if early { lab.start() } else { lab.advance(false, false) };
        if !end.reached() || lab.phase() == Some(Phase::Shifted) {
            break;
        }
    }
    ends_at_the_origin(lab, what);
}

/// There and on to the finish.
fn there_and_finished(lab: &mut Lab, what: &str) {
    assert!(lab.shift_all(TRIES), "{what}\n{}", lab.story());
    lab.pass(24 * 3600);
    for _ in 0..TRIES {
        if lab.finish().reached() {
            break;
        }
        lab.pass(30);
    }
    assert_eq!(lab.phase(), Some(Phase::Finished), "{what}\n{}", lab.story());
    lab.assert_lawful(what);
    let universe = lab.sim.universe();
    if !matches!(lab.playbook.shift, Shift::InPlace(InPlace { staged: false })) {
        assert_eq!(universe.services[&universe.blue.service].service.actual.desired_count, 0, "{what}");
    }
    assert!(matches!(lab.finish(), End::Already), "{what}");
}

/// There, and no further.
fn there(lab: &mut Lab, what: &str) {
    assert!(lab.shift_all(TRIES), "{what}\n{}", lab.story());
}

/// Calls and appends of a story without faults.
fn extent(text: &str, story: fn(&mut Lab, &str), lag_ms: u32) -> (u64, usize) {
    let mut lab = lab(text, Vec::new(), None, lag_ms);
    story(&mut lab, "undisturbed");
    (lab.sim.universe().calls.count, lab.store.appends)
}

fn every_call_fails_once_and_the_verb_is_repeated(text: &str) {
    let (calls, _) = extent(text, there_and_back, 0);
    for call in 1..=calls {
        for kind in KINDS {
            there_and_back(&mut lab(text, at(call, kind), None, 0), &format!("call {call}: {kind:?}"));
        }
    }
}

fn every_call_fails_once_and_the_run_is_given_up(text: &str) {
    let (calls, _) = extent(text, there_and_back, 0);
    for call in 1..=calls {
        for kind in FINAL {
            there_until_it_breaks(&mut lab(text, at(call, kind), None, 0), &format!("call {call}: {kind:?}"));
        }
    }
}

fn every_call_on_the_way_to_the_finish_fails_once(text: &str) {
    let (calls, _) = extent(text, there_and_finished, 0);
    let (before, _) = extent(text, there, 0);
    for call in before..=calls {
        for kind in KINDS {
            there_and_finished(&mut lab(text, at(call, kind), None, 0), &format!("call {call}: {kind:?}"));
        }
    }
}

fn every_call_happens_twice(text: &str) {
    let all = vec![Fault { call: FaultAt::From(1), kind: FaultKind::Repeat }];
    there_and_back(&mut lab(text, all.clone(), None, 0), "all twice");
    there_and_finished(&mut lab(text, all, None, 0), "all twice, finished");
    let (calls, _) = extent(text, there_and_back, 0);
    for call in 1..=calls {
        there_and_back(&mut lab(text, at(call, FaultKind::Repeat), None, 0), &format!("call {call} twice"));
    }
}

fn the_process_dies_at_every_append(text: &str) {
    for lag_ms in [0, 1500] {
        let (_, appends) = extent(text, there_and_back, lag_ms);
        for append in 1..=appends {
            for stored in [false, true] {
                let crash = Some(Crash { append, stored });
                there_and_back(&mut lab(text, Vec::new(), crash, lag_ms), &format!("{crash:?}, resumed, lag {lag_ms}"));
                there_until_it_breaks(
                    &mut lab(text, Vec::new(), crash, lag_ms),
                    &format!("{crash:?}, home, lag {lag_ms}"),
                );
            }
        }
    }
}

fn the_process_dies_at_every_append_of_the_finish(text: &str) {
    let (_, appends) = extent(text, there_and_finished, 0);
    let (_, before) = extent(text, there, 0);
    for append in before..=appends {
        for stored in [false, true] {
            let crash = Some(Crash { append, stored });
            there_and_finished(&mut lab(text, Vec::new(), crash, 0), &format!("{crash:?}, finished"));
        }
    }
}

fn a_death_and_a_failed_call_together(text: &str) {
    let (calls, appends) = extent(text, there_and_back, 500);
    let mut state = 42_u64;
    let mut below = |n: u64| {
        // SplitMix64: the sample is the same in every run.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) % n
    };
    for sample in 0..250 {
        let append = usize::try_from(below(appends as u64)).unwrap() + 1;
        let crash = Some(Crash { append, stored: below(2) == 0 });
        let kind = KINDS[usize::try_from(below(KINDS.len() as u64)).unwrap()];
        let call = below(calls) + 1;
        let what = format!("{sample}: {crash:?}, call {call}: {kind:?}");
        let story = if below(2) == 0 { there_and_back } else { there_until_it_breaks };
        story(&mut lab(text, at(call, kind), crash, 500), &what);
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed: u64| {
        let mut lab = Lab::new(playbook(SHORT), Scenario::ALL[usize::try_from(seed).unwrap() % 6], seed);
        lab.shift_all(6);
        lab.assert_lawful(&format!("seed {seed}"));
        serde_json::to_string(&lab.store.records).unwrap()
    };
    let mut told = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let once = story(seed);
        assert_eq!(once, story(seed), "seed {seed}");
        told.insert(once);
    }
    assert!(told.len() > 40, "seeds make a difference: {}", told.len());
}
