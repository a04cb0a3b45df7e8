//! Errands that are only named: nothing outside is touched.

use super::{Command, Ending, Errands, Request, Response, Undone};

/// Runs nothing and sends nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rehearsal;

impl Errands for Rehearsal {
    fn run(&self, command: &Command) -> Ending {
        Ending::Undone { why: Undone::Rehearsed(format!("run `{}`", command.words.join(" "))), last: Vec::new() }
    }

    fn send(&self, request: &Request) -> Result<Response, Undone> {
        Err(Undone::Rehearsed(format!("POST to {}", crate::playbook::site(&request.url))))
    }

    fn ask(&self, request: &Request) -> Result<Response, Undone> {
        Err(Undone::Rehearsed(format!("GET {}", request.url)))
    }
}
