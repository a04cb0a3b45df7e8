//! `migrate rehearse`: the whole run on the simulated cloud, in virtual time.

use super::assess::{look, refusal, show};
use super::drive::{explain, finish_run};
use super::site::{Site, ear};
use super::start::families_refused;
use super::{Common, PlaybookArgs, playbook};
use crate::cloud::sim::Scenario;
use crate::execute::ask::{self, Ask};
use crate::execute::{Run, Stop};
use crate::finding::blocks;
use crate::journal::progress::{Phase, Progress};
use crate::journal::store::{JournalError, Store};
use crate::journal::{Event, FORMAT, Header, Record};
use crate::plan::digest;
use crate::playbook::Playbook;
use crate::report::history::object as event_object;
use crate::report::live::Live;
use crate::report::outcome::{Failure, Outcome, Verb, ending, object, standing};
use crate::report::{Form, err, out};

/// A journal that ends with the process.
struct Forgetful;

impl Store for Forgetful {
    fn append(&mut self, _: &Record) -> Result<(), JournalError> {
        Ok(())
    }
}

pub(super) fn rehearse(
    common: &Common,
    args: &PlaybookArgs,
    scenario: Scenario,
    seed: u64,
) -> Result<Outcome, Failure> {
    let read = playbook::read(args)?;
    let site = Site::rehearsal(&read.playbook, scenario, seed, ear()?);
    err(&format!("rehearsing {} on the sandbox: {scenario} ({}), seed {seed}", read.name, scenario.description()));
    let begun = site.clock().now();
    let (mut stop, mut progress) = told(common, &site, &read, &read.playbook, scenario, seed)?;
    if let Some(fallen) = read.playbook.fallen_back().filter(|_| families_refused(&progress)) {
        err(&format!("note: the load balancer refuses the mixture; falling back to `{}`", fallen.shift.name()));
        (stop, progress) = told(common, &site, &read, &fallen, scenario, seed)?;
    }
    let ending = ending(Verb::Rehearse, &stop, &progress);
    match common.form() {
        Form::Text => {
            let took = (progress.last.1 - begun).to_std().unwrap_or_default();
            let took = humantime::format_duration(std::time::Duration::from_secs(took.as_secs()));
            out(&format!(
                "{}: {} after {took} of simulated time ({} records)",
                progress.header.run,
                progress.state(),
                progress.last.0
            ));
            out(&format!("  {}", ending.reason));
            explain(&progress);
        }
        Form::Json => out(&object(&ending, &progress).to_string()),
        Form::Events => {}
    }
    Ok(ending.outcome)
}

/// One run of this playbook from its plan to its end, or to where it holds.
fn told(
    common: &Common,
    site: &Site,
    read: &playbook::Read,
    playbook: &Playbook,
    scenario: Scenario,
    seed: u64,
) -> Result<(Stop, Progress), Failure> {
    let assessed = look(site, playbook)?;
    show(&assessed.findings, read);
    let Some(plan) = assessed.plan.filter(|_| !blocks(&assessed.findings)) else {
        return Err(refusal(&assessed.findings));
    };
    let header = Header {
        format: FORMAT,
        tool: format!("migrate {}", env!("CARGO_PKG_VERSION")),
        run: plan.playbook.name.clone(),
        id: digest(format!("{} {seed}", plan.playbook.name).as_bytes()),
        plan,
        playbook_file: read.name.clone(),
        playbook_text: read.text.clone(),
        sandbox: Some(scenario.to_string()),
        time_scale: None,
    };
    let begun = site.clock().now();
    let record = Record { seq: 1, at: begun, event: Event::Opened(Box::new(header)) };
    if common.form() == Form::Events {
        out(&event_object(&record).to_string());
    }
    let progress = Progress::begin(&record).map_err(JournalError::from)?;
    let mut live = Live::new(common.form(), site.pace());
    let mut store = Forgetful;
    let mut run = Run::new(site.cloud(), site.clock(), site.errands(), standing, &mut store, &mut live, progress);
    let stop = whole(&mut run, site)?;
    let progress = run.progress;
    Ok((stop, progress))
}

/// Start, every stage with its approval, finish.
fn whole(run: &mut Run, site: &Site) -> Result<Stop, JournalError> {
    let mut stop = run.drive()?;
    while stop == Stop::Reached && run.progress.phase == Phase::Open {
        match ask::advance(&run.progress, false, false) {
            Ask::New(goal) => run.append(Event::Advanced(goal))?,
            Ask::Resume | Ask::AlreadyShifted | Ask::RolledBack => return Ok(stop),
        }
        stop = run.drive()?;
    }
    if stop == Stop::Reached && run.progress.phase == Phase::Shifted {
        stop = finish_run(run, site, false)?;
    }
    Ok(stop)
}
