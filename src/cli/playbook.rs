//! From the arguments to a checked playbook, or to the diagnostics that say why not.

use std::collections::BTreeMap;
use std::path::Path;

use super::PlaybookArgs;
use crate::finding::{Finding, blocks};
use crate::playbook::{Playbook, decode};
use crate::report::diagnostic::{render, summary};
use crate::report::outcome::Failure;
use crate::report::{colored, err};

/// A playbook as it was read.
pub(super) struct Read {
    pub playbook: Playbook,
    pub text: String,
    pub name: String,
    /// Those that do not block.
    pub findings: Vec<Finding>,
}

/// Reads a playbook and shows every finding about it on standard error.
pub(super) fn read(args: &PlaybookArgs) -> Result<Read, Failure> {
    let (playbook, text, name, findings) = check(&args.playbook, &args.vars)?;
    if !findings.is_empty() {
        err(render(&findings, &name, &text, colored()).trim_end());
    }
    match playbook {
        Some(playbook) if !blocks(&findings) => Ok(Read { playbook, text, name, findings }),
        _ => Err(Failure::usage(format!("{name} has {}", summary(&findings)))
            .hint("mend the playbook; `migrate schema` prints a JSON Schema for your editor")),
    }
}

type Checked = (Option<Playbook>, String, String, Vec<Finding>);

/// Reads and checks a playbook without showing anything.
pub(super) fn check(path: &Path, vars: &[String]) -> Result<Checked, Failure> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::usage(format!("cannot read the playbook {name}: {error}"))
            .hint("give the path of a playbook; playbooks/ in the source has some to start from")
    })?;
    let vars = variables(vars)?;
    let lookup = |variable: &str| vars.get(variable).cloned().or_else(|| std::env::var(variable).ok());
    let decoded = decode(&bytes, &lookup);
    let unknown = vars.keys().find(|v| !decoded.variables.contains(*v));
    if let Some(unknown) = unknown.filter(|_| decoded.playbook.is_some()) {
        return Err(Failure::usage(format!("{name} has no variable `{unknown}`")).hint("check `--var`"));
    }
    Ok((decoded.playbook, String::from_utf8_lossy(&bytes).into_owned(), name, decoded.findings))
}

fn variables(vars: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    vars.iter()
        .map(|var| {
            let (name, value) = var
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("`--var {var}` has no `=`")).hint("write `--var NAME=VALUE`"))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The lines that differ between two playbooks.
pub(super) fn difference(old: &str, new: &str) -> String {
    let lines = |text: &str, other: &str, sign: &str| -> Vec<String> {
        let other: Vec<&str> = other.lines().map(str::trim_end).collect();
        let differs = |line: &&str| !other.contains(&line.trim_end());
        text.lines().filter(differs).map(|line| format!("{sign} {line}")).collect()
    };
    let mut all = lines(old, new, "-");
    all.extend(lines(new, old, "+"));
    if all.is_empty() {
        return "the same lines, in another order or with other variables".to_owned();
    }
    format!("the difference (- the run's, + yours):\n    {}", all.join("\n    "))
}
