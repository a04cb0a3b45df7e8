//! The machine's clock, and the signals that end a wait.
//!
//! The first SIGINT, SIGTERM or SIGHUP is a request; the loop honours it at its next safe point. A
//! second one ends the process at once, and so does a call in flight that outlasts the grace:
//! correctness never depends on a signal, because every intent is durable before its effect.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Clock, Signal, Wake};

/// How long after the first signal the process may still be busy. CI systems kill after 7.5 s.
const GRACE: Duration = Duration::from_millis(5500);
/// How often a wait looks whether it should end.
const SLICE: Duration = Duration::from_millis(50);

/// Listens for signals; cheap to share.
#[derive(Debug, Clone, Default)]
pub struct Ear {
    /// The first signal's number; 0 for none.
    heard: Arc<AtomicUsize>,
    /// A file by whose existence another process asks this one to give way.
    yield_file: Option<PathBuf>,
}

impl Ear {
    /// Starts to listen. Call once.
    pub fn listen() -> std::io::Result<Ear> {
        let ear = Ear::default();
        let armed = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The order matters: a second signal finds the process armed to end.
            signal_hook::flag::register_conditional_shutdown(signal, exit_code(signal), Arc::clone(&armed))?;
            signal_hook::flag::register(signal, Arc::clone(&armed))?;
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&ear.heard), number)?;
        }
        let heard = Arc::clone(&ear.heard);
        std::thread::spawn(move || watchdog(&heard));
        Ok(ear)
    }

    /// Also listens for another process, which asks to be let in by creating this file.
    #[must_use]
    pub fn yielding_to(mut self, file: PathBuf) -> Ear {
        self.yield_file = Some(file);
        self
    }

    pub fn heard(&self) -> Option<Signal> {
        let signal = i32::try_from(self.heard.load(Ordering::Relaxed)).unwrap_or_default();
        match signal {
            SIGINT => Some(Signal::Interrupt),
            SIGTERM => Some(Signal::Terminate),
            SIGHUP => Some(Signal::HangUp),
            _ => self.yield_file.as_deref().is_some_and(Path::exists).then_some(Signal::Yield),
        }
    }
}

/// 130 for SIGINT, 143 for the others: the contract knows no more.
fn exit_code(signal: i32) -> i32 {
    128 + if signal == SIGINT { SIGINT } else { SIGTERM }
}

/// Ends the process when it is still there long after a signal, such as in a call that hangs.
fn watchdog(heard: &AtomicUsize) {
    loop {
        std::thread::sleep(SLICE);
        let signal = heard.load(Ordering::Relaxed);
        if signal != 0 {
            std::thread::sleep(GRACE);
            std::process::exit(exit_code(i32::try_from(signal).unwrap_or(SIGTERM)));
        }
    }
}

/// The machine's time, or a multiple of it for tests against emulators.
#[derive(Debug)]
pub struct SystemClock {
    ear: Ear,
    started: Instant,
    origin: DateTime<Utc>,
    scale: f64,
}

impl SystemClock {
    /// A clock that is never behind `not_before`, the last time that the journal knows.
    pub fn new(ear: Ear, scale: f64, not_before: Option<DateTime<Utc>>) -> SystemClock {
        let now = Utc::now();
        SystemClock { ear, started: Instant::now(), origin: not_before.map_or(now, |t| t.max(now)), scale }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = self.started.elapsed().mul_f64(self.scale);
        self.origin + TimeDelta::from_std(elapsed).unwrap_or(TimeDelta::MAX)
    }

    fn wait(&self, until: DateTime<Utc>) -> Wake {
        loop {
            if let Some(signal) = self.ear.heard() {
                return Wake::StopRequested(signal);
            }
            let left = (until - self.now()).to_std().unwrap_or(Duration::ZERO).div_f64(self.scale);
            if left.is_zero() {
                return Wake::Reached;
            }
            std::thread::sleep(left.min(SLICE));
        }
    }

    fn stop_requested(&self) -> Option<Signal> {
        self.ear.heard()
    }
}
