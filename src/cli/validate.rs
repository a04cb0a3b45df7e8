//! `migrate validate`: parses and checks a playbook, offline.

use serde_json::json;

use super::{Common, PlaybookArgs, playbook};
use crate::finding::blocks;
use crate::report::diagnostic::{render, summary};
use crate::report::outcome::{Failure, Outcome};
use crate::report::{Form, colored, err, out};

pub(super) fn validate(common: &Common, args: &PlaybookArgs) -> Result<Outcome, Failure> {
    let (playbook, text, name, findings) = playbook::check(&args.playbook, &args.vars)?;
    if !findings.is_empty() {
        err(render(&findings, &name, &text, colored()).trim_end());
    }
    let outcome = if blocks(&findings) || playbook.is_none() { Outcome::Usage } else { Outcome::Ok };
    match common.form() {
        Form::Text => {
            let verdict = if outcome == Outcome::Ok { "is a valid playbook" } else { "cannot be used" };
            err(&format!("{name} {verdict}: {}", summary(&findings)));
        }
        Form::Json | Form::Events => {
            out(&json!({ "outcome": outcome, "run": playbook.map(|p| p.name), "findings": findings }).to_string());
        }
    }
    Ok(outcome)
}
