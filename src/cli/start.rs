//! `migrate start`: opens a run, or carries on with one that is still being prepared.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::assess::{load, look, refusal, show};
use super::drive::{drive, driven, tell};
use super::runs::state_dir;
use super::site::{Site, ear};
use super::{Common, PlaybookArgs, SandboxArgs, playbook};
use crate::clock::system::Ear;
use crate::execute::Stop;
use crate::finding::blocks;
use crate::journal::progress::{Phase, Progress};
use crate::journal::store::{self, RunStore, Store};
use crate::journal::{Cause, Event, FORMAT, Header, Record};
use crate::operation::Operation;
use crate::plan::{Plan, digest};
use crate::playbook::Playbook;
use crate::report::history::object;
use crate::report::outcome::{Ending, Failure, Outcome, Verb};
use crate::report::{Form, err, out};

pub(super) fn start(
    common: &Common,
    args: &PlaybookArgs,
    sandbox: &SandboxArgs,
    saved: Option<&Path>,
) -> Result<Outcome, Failure> {
    let read = playbook::read(args)?;
    let saved = saved.map(load).transpose()?;
    let dir = state_dir(common, Some(&read.playbook))?.join(&read.playbook.name);
    let known = store::read(&dir)?.unwrap_or_default();
    let before = store::replay(&known)?;
    let ear = ear()?.yielding_to(store::yield_file(&dir));
    match before.filter(|p| p.phase != Phase::RolledBack) {
        Some(progress) => carry_on(common, &dir, &read, sandbox, &progress, ear),
        None => {
            let last = known.last().map(|r| r.at);
            open(common, &dir, &read, sandbox, saved.as_ref(), last, ear)
        }
    }
}

/// Goes on with the run that is there, if it is the one that the playbook describes.
fn carry_on(
    common: &Common,
    dir: &Path,
    read: &playbook::Read,
    sandbox: &SandboxArgs,
    progress: &Progress,
    ear: Ear,
) -> Result<Outcome, Failure> {
    let header = &progress.header;
    if !read.playbook.describes(&header.plan.playbook) {
        return Err(Failure::usage(format!("the run {} was started with another playbook", header.run))
            .about(progress)
            .hint(playbook::difference(&header.playbook_text, &read.text))
            .hint("start with the playbook of the run, or roll it back first"));
    }
    let asked = sandbox.sandbox.map(|s| s.to_string());
    if let (None, Some(scenario)) = (&asked, &header.sandbox) {
        // The run remembers; nobody shall take the sandbox for the real thing.
        err(&format!("note: the run {} is on the sandbox ({scenario}); AWS is not touched", header.run));
    } else if asked != header.sandbox {
        let ran = header.sandbox.as_ref().map_or_else(|| "AWS".to_owned(), |s| format!("the sandbox ({s})"));
        return Err(Failure::usage(format!("the run {} is on {ran}", header.run)).about(progress).hint(format!(
            "`migrate {}` carries on with it; give another `--state` for another run",
            same_call(header)
        )));
    }
    let site = match &header.sandbox {
        Some(_) => Site::existing_sandbox(dir, ear)?,
        None => Site::aws(Some(&header.plan.inventory.region), ear, Some(progress.last.1))?,
    };
    let (mut store, records) = RunStore::open(dir)?;
    drive(common, Verb::Start, &site, &mut store, &records, |run| {
        if matches!(run.progress.phase, Phase::Preparing | Phase::Unwinding) {
            run.append(Event::Resumed { verb: "start".to_owned() })?;
            return run.drive();
        }
        Ok(Stop::Reached)
    })
}

fn open(
    common: &Common,
    dir: &Path,
    read: &playbook::Read,
    sandbox: &SandboxArgs,
    saved: Option<&Plan>,
    last: Option<DateTime<Utc>>,
    ear: Ear,
) -> Result<Outcome, Failure> {
    // Whatever can refuse the run does so before a directory is made for it.
    let aws = match sandbox.sandbox {
        None => Some(Site::aws(read.playbook.region.as_deref(), ear.clone(), last)?),
        Some(_) => None,
    };
    if let Some(site) = &aws {
        let plan = checked(site, read, &read.playbook, saved)?;
        let (mut store, records) = RunStore::open(dir)?;
        return begin_or_fall_back(common, site, (&mut store, &records), dir, plan, read, None);
    }
    let scenario = sandbox.sandbox.unwrap_or_default();
    let (mut store, records) = RunStore::open(dir)?;
    let site = Site::sandbox(dir, &read.playbook, scenario, sandbox.seed, ear)?;
    let plan = checked(&site, read, &read.playbook, saved)?;
    begin_or_fall_back(common, &site, (&mut store, &records), dir, plan, read, Some(scenario.to_string()))
}

/// Begins the run; where the load balancer refuses both address families in one action and the
/// playbook has a fallback, what was created is gone by then, and a run begins that moves traffic so.
fn begin_or_fall_back(
    common: &Common,
    site: &Site,
    (store, records): (&mut RunStore, &[Record]),
    dir: &Path,
    plan: Plan,
    read: &playbook::Read,
    sandbox: Option<String>,
) -> Result<Outcome, Failure> {
    let (mut ending, mut progress) = begin(common, site, store, records, plan, read, sandbox.clone())?;
    if let Some(fallen) = read.playbook.fallen_back().filter(|_| families_refused(&progress)) {
        err(&format!("note: the load balancer refuses the mixture; falling back to `{}`", fallen.shift.name()));
        let records = store::read(dir)?.unwrap_or_default();
        let plan = checked(site, read, &fallen, None)?;
        (ending, progress) = begin(common, site, store, &records, plan, read, sandbox)?;
    }
    tell(common, &ending, &progress);
    Ok(ending.outcome)
}

/// Whether a run ended at home because green's groups cannot stand beside blue's in one action.
pub(super) fn families_refused(progress: &Progress) -> bool {
    let plan = &progress.header.plan;
    let probe = |id: &String| matches!(plan.operation(id), Some(Operation::AssociateGreen(_)));
    let at_home = progress.phase == Phase::RolledBack;
    let refused = at_home && progress.operations.iter().any(|(id, attempt)| probe(id) && !attempt.done);
    let because = |(cause, why): &(Cause, String)| *cause == Cause::Refused && !why.contains("TooMany");
    refused && progress.unwinding.as_ref().is_some_and(because)
}

/// How `start` was called for this run.
fn same_call(header: &Header) -> String {
    let sandbox = header.sandbox.as_ref().map_or_else(String::new, |s| format!(" --sandbox={s}"));
    format!("start {}{sandbox}", header.playbook_file)
}

/// Refuses credentials that end while green is still coming up, or leave nothing for the way home.
fn lasting(expires: Option<DateTime<Utc>>, now: DateTime<Utc>, playbook: &Playbook) -> Result<(), Failure> {
    let Some(left) = expires.map(|at| at - now) else { return Ok(()) };
    let need = TimeDelta::from_std(playbook.health.start_timeout.0).unwrap_or(TimeDelta::MAX);
    if left >= need {
        return Ok(());
    }
    let text = format!(
        "the credentials expire in {} min, and green may take {} to become healthy",
        left.num_minutes(),
        playbook.health.start_timeout
    );
    Err(Failure::new(Outcome::Credentials, text).hint("get fresh credentials, or shorten `health.start_timeout`"))
}

/// The plan, unless the estate, the credentials or a stale saved plan forbid it.
fn checked(site: &Site, read: &playbook::Read, wish: &Playbook, saved: Option<&Plan>) -> Result<Plan, Failure> {
    let assessed = look(site, wish)?;
    show(&assessed.findings, read);
    let Some(plan) = assessed.plan.filter(|_| !blocks(&assessed.findings)) else {
        return Err(refusal(&assessed.findings));
    };
    lasting(assessed.expires, site.clock().now(), &read.playbook)?;
    let Some(saved) = saved else { return Ok(plan) };
    if saved.fingerprint() == plan.fingerprint() && saved.playbook == plan.playbook {
        return Ok(plan);
    }
    let differences = saved.differences(&plan);
    Err(Failure::new(Outcome::Blocked, format!("the saved plan is stale: {}", differences.join(", ")))
        .hint("make a new plan, read it, and start that"))
}

fn begin(
    common: &Common,
    site: &Site,
    store: &mut RunStore,
    records: &[Record],
    plan: Plan,
    read: &playbook::Read,
    sandbox: Option<String>,
) -> Result<(Ending, Progress), Failure> {
    if !records.is_empty() {
        // A run that was rolled back is put aside; another process may have begun one meanwhile.
        if store::replay(records)?.is_some_and(|p| p.phase != Phase::RolledBack) {
            return Err(Failure::new(Outcome::Locked, "another process has just started this run")
                .hint("`migrate status` shows it"));
        }
        store.archive()?;
    }
    let at = site.clock().now();
    let run = plan.playbook.name.clone();
    let id = digest(format!("{run} {} {}", at.to_rfc3339(), std::process::id()).as_bytes());
    let header = Header {
        format: FORMAT,
        tool: format!("migrate {}", env!("CARGO_PKG_VERSION")),
        run,
        id,
        plan,
        playbook_file: read.name.clone(),
        playbook_text: read.text.clone(),
        sandbox,
        time_scale: site.scale(),
    };
    let record = Record { seq: 1, at, event: Event::Opened(Box::new(header)) };
    store.append(&record)?;
    if common.form() == Form::Events {
        out(&object(&record).to_string());
    }
    driven(common, Verb::Start, site, store, &[record], |run| run.drive())
}
