//! `migrate assess` and `migrate plan`: what is there, what it lacks, what would be done.

use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::site::{Site, ear};
use super::{Common, PlaybookArgs, SandboxArgs, playbook};
use crate::discover::{Discovery, Found, discover};
use crate::finding::{Finding, blocks};
use crate::plan::Plan;
use crate::playbook::Playbook;
use crate::report::diagnostic::{render, summary};
use crate::report::outcome::{Failure, Outcome};
use crate::report::plan::{object, text};
use crate::report::{Form, colored, err, out};

/// The plan for a playbook, with every finding about the estate.
pub(super) struct Assessed {
    /// `None` where something without which there is no plan is missing.
    pub plan: Option<Plan>,
    pub findings: Vec<Finding>,
    /// When the credentials in use expire; `None` for those that do not.
    pub expires: Option<DateTime<Utc>>,
}

/// Discovers, assesses and plans. Changes nothing.
pub(super) fn look(site: &Site, playbook: &Playbook) -> Result<Assessed, Failure> {
    match discover(site.cloud(), site.clock(), playbook)? {
        Discovery::Missing(findings) => Ok(Assessed { plan: None, findings, expires: None }),
        Discovery::Found(found) => {
            let Found { inventory, identity } = *found;
            let findings = crate::assess::assess(playbook, &inventory);
            let plan = Plan::new(playbook, &inventory, site.clock().now());
            Ok(Assessed { plan: Some(plan), findings, expires: identity.expires })
        }
    }
}

/// Shows findings about the estate on standard error.
pub(super) fn show(findings: &[Finding], playbook: &playbook::Read) {
    if !findings.is_empty() {
        err(render(findings, &playbook.name, &playbook.text, colored()).trim_end());
    }
}

/// The refusal of a run whose estate has blocking findings.
pub(super) fn refusal(findings: &[Finding]) -> Failure {
    let first = findings.iter().find(|f| blocks(std::slice::from_ref(f)));
    let what = first.map_or_else(String::new, |f| format!(": {}", f.message));
    Failure::new(Outcome::Blocked, format!("the service is not ready ({}){what}", summary(findings)))
        .hint(first.map_or_else(|| "mend the findings above".to_owned(), |f| f.remedy.clone()))
}

fn site(playbook: &Playbook, sandbox: &SandboxArgs) -> Result<Site, Failure> {
    match sandbox.sandbox {
        Some(scenario) => Ok(Site::rehearsal(playbook, scenario, sandbox.seed, ear()?)),
        None => Site::aws(playbook.region.as_deref(), ear()?, None),
    }
}

pub(super) fn assess(common: &Common, args: &PlaybookArgs, sandbox: &SandboxArgs) -> Result<Outcome, Failure> {
    let read = playbook::read(args)?;
    let site = site(&read.playbook, sandbox)?;
    let assessed = look(&site, &read.playbook)?;
    show(&assessed.findings, &read);
    let blocked = blocks(&assessed.findings);
    let outcome = if blocked { Outcome::Blocked } else { Outcome::Ok };
    let reason = format!(
        "{} {} for IPv6 only: {}",
        read.playbook.service.name,
        if blocked { "is not ready" } else { "is ready" },
        summary(&assessed.findings)
    );
    match common.form() {
        Form::Text => out(&reason),
        Form::Json | Form::Events => {
            let object = json!({
                "outcome": outcome,
                "run": read.playbook.name,
                "reason": reason,
                "findings": assessed.findings,
                "time_scale": site.scale(),
            });
            out(&object.to_string());
        }
    }
    Ok(outcome)
}

pub(super) fn plan(
    common: &Common,
    args: &PlaybookArgs,
    sandbox: &SandboxArgs,
    save: Option<&Path>,
) -> Result<Outcome, Failure> {
    let read = playbook::read(args)?;
    let site = site(&read.playbook, sandbox)?;
    let assessed = look(&site, &read.playbook)?;
    show(&assessed.findings, &read);
    let Some(plan) = assessed.plan.filter(|_| !blocks(&assessed.findings)) else {
        return Err(refusal(&assessed.findings));
    };
    if let Some(path) = save {
        write(path, &plan)?;
    }
    let begins = site.clock().now();
    match common.form() {
        Form::Text => out(text(&plan, begins).trim_end()),
        Form::Json | Form::Events => {
            let findings: Vec<Finding> = read.findings.into_iter().chain(assessed.findings).collect();
            let mut object = object(&plan, &findings, begins);
            object["time_scale"] = json!(site.scale());
            out(&object.to_string());
        }
    }
    Ok(Outcome::Ok)
}

/// Saves a plan whole or not at all. What a link points to is replaced, not the link; and what is no
/// file, such as a device or a pipe, is written to.
fn write(path: &Path, plan: &Plan) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Outcome::Error, format!("cannot save the plan to {}: {error}", path.display()))
    };
    let json = serde_json::to_string_pretty(plan).map_err(|e| failed(&e))?;
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if target.exists() && !target.is_file() {
        let mut there = std::fs::OpenOptions::new().write(true).open(path).map_err(|e| failed(&e))?;
        return there.write_all(json.as_bytes()).map_err(|e| failed(&e));
    }
    let dir = target.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(dir).map_err(|e| failed(&e))?;
    file.write_all(json.as_bytes()).map_err(|e| failed(&e))?;
    file.as_file().sync_all().map_err(|e| failed(&e))?;
    file.persist(&target).map_err(|e| failed(&e))?;
    Ok(())
}

/// Reads a saved plan.
pub(super) fn load(path: &Path) -> Result<Plan, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|e| Failure::usage(format!("cannot read the plan {shown}: {e}")))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::usage(format!("{shown} is not a plan: {error}")).hint("`migrate plan PLAYBOOK --out FILE` makes one")
    })
}
