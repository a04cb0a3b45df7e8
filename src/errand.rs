//! What is asked of the world outside the cloud, as a port: run a program, send an HTTP request.
//!
//! Plain data in and out, synchronous, `dyn`. An errand has a time limit of its own, in the machine's
//! time, and ends early when the process is asked to stop. Nothing here knows what a run is, and
//! nothing decides what a failure means.

mod http;
pub mod rehearsal;
pub mod system;

use std::collections::BTreeMap;
use std::time::Duration;

/// Who runs errands.
pub trait Errands: Sync {
    /// Runs a program and waits for its end. The program and everything that it has started are
    /// killed at the time limit.
    fn run(&self, command: &Command) -> Ending;

    /// Sends a request that changes something somewhere, once.
    fn send(&self, request: &Request) -> Result<Response, Undone>;

    /// Sends a request that only asks.
    fn ask(&self, request: &Request) -> Result<Response, Undone>;
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; never empty.
    pub words: Vec<String>,
    /// Added to the environment of this process.
    pub environment: BTreeMap<String, String>,
    /// What it reads on its standard input.
    pub input: String,
    pub timeout: Duration,
    /// What its output is shown under.
    pub label: String,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself: its exit code, or 128 and the number of the signal that ended it; its last lines.
    Exited { code: i32, last: Vec<String> },
    /// Not by itself, or never begun.
    Undone { why: Undone, last: Vec<String> },
}

/// Why an errand was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// It failed, for this reason.
    Failed(String),
    /// The process was asked to stop.
    Stopped,
    /// Nothing is done outside in a rehearsal; what would have been.
    Rehearsed(String),
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `http` or `https`.
    pub url: String,
    pub headers: BTreeMap<String, String>,
    /// A JSON text to POST; without one it is a GET.
    pub body: Option<String>,
    pub timeout: Duration,
    /// Connect to this host name or address instead of the URL's; the URL's stays the name that is asked for.
    pub connect_to: Option<String>,
    /// Use IPv6 addresses only.
    pub ipv6: bool,
    /// Accept any certificate.
    pub insecure: bool,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The beginning of the body.
    pub body: String,
}

impl Response {
    /// The first line of the body, shortened.
    pub fn first_line(&self) -> String {
        let line = self.body.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
        line.chars().filter(|c| !c.is_control()).take(120).collect()
    }
}

impl std::fmt::Display for Undone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Undone::Failed(why) => f.write_str(why),
            Undone::Stopped => f.write_str("the process was asked to stop"),
            Undone::Rehearsed(what) => write!(f, "rehearsal: would {what}"),
        }
    }
}
