//! Time as a port: what time it is, and waiting until a later one.
//!
//! `decide` gets the time as a value; only `execute` waits. In the simulated cloud waiting is free.

pub mod system;

use chrono::{DateTime, Utc};

/// The time, and a way to let it pass.
pub trait Clock {
    fn now(&self) -> DateTime<Utc>;

    /// Waits until `until`, or until the process is asked to stop, whichever comes first.
    fn wait(&self, until: DateTime<Utc>) -> Wake;

    /// Whether the process has been asked to stop.
    fn stop_requested(&self) -> Option<Signal>;
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    Reached,
    StopRequested(Signal),
}

/// Who asked the process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    Interrupt,
    Terminate,
    HangUp,
    /// Another process, on its way to roll back, has asked for the run.
    Yield,
}

impl Signal {
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::HangUp => "SIGHUP",
            Signal::Yield => "another process",
        }
    }
}
