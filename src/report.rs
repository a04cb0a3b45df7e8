//! The only module that prints: what a run, a plan or a finding looks like to a person or a program.
//!
//! Standard output carries the result, standard error the way to it. Everything here is a rendering
//! of data; nothing here decides.

pub mod diagnostic;
pub mod history;
pub mod live;
pub mod outcome;
pub mod plan;

use std::io::Write;

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

/// Prints to standard output. A reader that went away is no failure of ours.
pub fn out(text: &str) {
    let mut stdout = anstream::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
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
