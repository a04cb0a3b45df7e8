//! The only module that prints: what a run, a plan or a finding looks like to a person or a program.
//!
//! Standard output carries the result, standard error the way to it. Everything here is a rendering
//! of data; nothing here decides.

pub mod diagnostic;
pub mod history;
pub mod judge;
pub mod live;
pub mod outcome;
mod outlook;
pub mod plan;
mod way;
pub mod words;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the user chose about the form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Text for people.
    #[default]
    Text,
    /// One object on standard output, and nothing else there.
    Json,
    /// One object a line on standard output, as things happen.
    Events,
}

/// Whether a result could not be written, such as to a full disk.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints to standard output. A reader that went away is no failure of ours; a full disk is one.
pub fn out(text: &str) {
    let mut stdout = anstream::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        err(&format!("error: cannot write to standard output: {error}"));
        LOST.store(true, Ordering::Relaxed);
    }
}

/// Whether something that was to go to standard output is lost.
pub fn lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Prints to standard error.
pub fn err(text: &str) {
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// Whether standard error wants colours.
pub fn colored() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}
