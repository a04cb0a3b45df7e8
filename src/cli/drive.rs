//! The verbs that move a run: `advance`, `rollback`, `finish`. Each appends its first event, and
//! leaves the rest to the engine.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::runs::{Chosen, choose};
use super::site::{Site, ear};
use super::{Common, RunArgs};
use crate::clock::Wake;
use crate::execute::ask::{self, Ask, Retire, Return};
use crate::execute::decide::left_to_do;
use crate::execute::{Run, Stop, removes_green};
use crate::gate::Verdict;
use crate::journal::progress::{Phase, Progress};
use crate::journal::store::{self, JournalError, RunStore};
use crate::journal::{Event, Record};
use crate::report::live::Live;
use crate::report::outcome::{Ending, Failure, Outcome, Verb, ending, object, standing, would_change};
use crate::report::plan::savings;
use crate::report::words::Words;
use crate::report::{Form, err, out};

/// How long `rollback` waits for a process that was asked to give way.
const YIELD_LIMIT: Duration = Duration::from_secs(30);
/// The longest that `finish` waits for blue's keeping time; beyond that it says when to come back.
const KEEP_WAIT_SECONDS: i64 = 600;
/// Looks at green before blue is retired, while nobody can see.
const LAST_LOOKS: u32 = 6;
/// Between these looks.
const LOOK_SECONDS: i64 = 10;

/// Drives a run with everything around it, and reports how it ended.
pub(super) fn drive(
    common: &Common,
    verb: Verb,
    site: &Site,
    store: &mut RunStore,
    records: &[Record],
    verb_body: impl FnOnce(&mut Run) -> Result<Stop, JournalError>,
) -> Result<Outcome, Failure> {
    let (ending, progress) = driven(common, verb, site, store, records, verb_body)?;
    tell(common, &ending, &progress);
    Ok(ending.outcome)
}

/// Drives a run with everything around it.
pub(super) fn driven(
    common: &Common,
    verb: Verb,
    site: &Site,
    store: &mut RunStore,
    records: &[Record],
    verb_body: impl FnOnce(&mut Run) -> Result<Stop, JournalError>,
) -> Result<(Ending, Progress), Failure> {
    let progress = store::replay(records)?.ok_or_else(|| Failure::new(Outcome::Error, "the journal is empty"))?;
    let mut live = Live::new(common.form(), site.pace());
    let mut run = Run::new(site.cloud(), site.clock(), site.errands(), standing, store, &mut live, progress);
    let stop = verb_body(&mut run)?;
    let progress = run.progress;
    drop(live);
    Ok((ending(verb, &stop, &progress), progress))
}

/// Reports how a verb ended.
pub(super) fn tell(common: &Common, ending: &Ending, progress: &Progress) {
    match common.form() {
        Form::Text => {
            let share = crate::report::outcome::green_share(progress);
            out(&format!(
                "{}: {} ({}stage {} of {}, green {share}%)",
                progress.header.run,
                progress.state(),
                progress.header.sandbox.as_ref().map_or("", |_| "sandbox, "),
                progress.stage,
                progress.stages()
            ));
            out(&format!("  {}", ending.reason));
            explain(progress);
            let left = left_to_do(progress);
            if ending.outcome == Outcome::Drift {
                out("  what to do: put it back as expected and repeat the command; nothing of it is overwritten");
            }
            if !left.is_empty() {
                let drifted = ending.outcome == Outcome::Drift;
                out(if drifted { "  this puts it back:" } else { "  left to do by hand:" });
                left.iter().for_each(|c| out(&format!("    {c}")));
            }
            if let Some(next) = &ending.next {
                out(&format!("  next: {next}"));
            }
            if progress.phase == Phase::Finished {
                let mut list = String::new();
                savings(&mut list, &progress.header.plan);
                out(list.trim_end());
            }
        }
        Form::Json => out(&object(ending, progress).to_string()),
        Form::Events => {}
    }
}

/// Says what would have changed the verdict that turned the run back, or holds it.
pub(super) fn explain(progress: &Progress) {
    would_change(progress).iter().for_each(|change| out(&format!("  what would change it: {change}")));
}

/// Opens the chosen run for moving it.
fn open(chosen: &Chosen, wait: Option<Duration>) -> Result<(Site, RunStore, Vec<Record>), Failure> {
    let (store, records) = lock(&chosen.dir, wait)?;
    let ear = ear()?.yielding_to(store::yield_file(&chosen.dir));
    let header = &chosen.progress.header;
    let site = match &header.sandbox {
        Some(_) => Site::existing_sandbox(&chosen.dir, ear)?,
        None => Site::aws(Some(&header.plan.inventory.region), ear, records.last().map(|r| r.at))?,
    };
    Ok((site, store, records))
}

/// Takes the lock; where asked, from a process that gives way for it.
fn lock(dir: &Path, wait: Option<Duration>) -> Result<(RunStore, Vec<Record>), Failure> {
    let begun = Instant::now();
    loop {
        match RunStore::open(dir) {
            Err(JournalError::Locked { holder }) if wait.is_some_and(|w| begun.elapsed() < w) => {
                if begun.elapsed() < Duration::from_millis(100) {
                    err(&format!("note: asking {holder} to give way"));
                }
                store::ask_to_yield(dir)?;
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return Ok(other?),
        }
    }
}

pub(super) fn advance(common: &Common, args: &RunArgs, all: bool, no_wait: bool) -> Result<Outcome, Failure> {
    let chosen = choose(common, args)?;
    let refuse = |text: String| Failure::usage(text).about(&chosen.progress);
    if let Some(difference) = &chosen.difference {
        // Whoever edited the playbook believes that the edit is in force; nothing moves on that.
        return Err(refuse(format!("the run {} was started with another playbook", chosen.progress.header.run))
            .hint(difference.clone())
            .hint("the run keeps its own: give its name instead, or roll it back and start anew"));
    }
    if chosen.progress.phase == Phase::Preparing {
        let hint = "`migrate start PLAYBOOK` carries on with preparing it";
        return Err(refuse("green is not ready yet".to_owned()).hint(hint));
    }
    let (site, mut store, records) = open(&chosen, None)?;
    drive(common, Verb::Advance, &site, &mut store, &records, |run| {
        match ask::advance(&run.progress, all, no_wait) {
            Ask::New(goal) => run.append(Event::Advanced(goal))?,
            Ask::Resume => run.append(Event::Resumed { verb: "advance".to_owned() })?,
            Ask::AlreadyShifted | Ask::RolledBack => return Ok(Stop::Reached),
        }
        run.drive()
    })
}

pub(super) fn rollback(common: &Common, args: &RunArgs, remove_green: bool) -> Result<Outcome, Failure> {
    let chosen = choose(common, args)?;
    let (site, mut store, records) = open(&chosen, Some(YIELD_LIMIT))?;
    let progress = store::replay(&records)?.unwrap_or(chosen.progress);
    let wanted = ask::rollback(&progress, removes_green(&progress, remove_green));
    if wanted == Return::TooLate {
        let text = format!("the run {} is past the point of no return: blue is being retired", progress.header.run);
        return Err(Failure::usage(text)
            .about(&progress)
            .hint("`migrate finish` was the last verb; to go back, migrate again"));
    }
    drive(common, Verb::Rollback, &site, &mut store, &records, |run| {
        match wanted {
            Return::Unwind(event) => run.append(event)?,
            Return::Resume => run.append(Event::Resumed { verb: "rollback".to_owned() })?,
            Return::AlreadyHome | Return::TooLate => return Ok(Stop::Reached),
        }
        run.drive()
    })
}

pub(super) fn finish(common: &Common, args: &RunArgs, now: bool) -> Result<Outcome, Failure> {
    let chosen = choose(common, args)?;
    let (site, mut store, records) = open(&chosen, None)?;
    let progress = store::replay(&records)?.unwrap_or(chosen.progress);
    if ask::finish(&progress, site.clock().now()) == Retire::NotShifted {
        let text = format!("the run {} is {}, not shifted", progress.header.run, progress.state());
        let hint = match progress.phase {
            Phase::RolledBack => "blue serves all traffic; `migrate start PLAYBOOK` begins a new run",
            Phase::Unwinding => "`migrate rollback` carries on with sending traffic home",
            _ => "`migrate advance --all` carries it through the remaining stages first",
        };
        return Err(Failure::usage(text).about(&progress).hint(hint));
    }
    if progress.phase == Phase::Shifted && !confirmed(common, &progress.header.plan.inventory.service.name)? {
        return Err(Failure::usage("not confirmed: nothing was changed"));
    }
    drive(common, Verb::Finish, &site, &mut store, &records, |run| finish_run(run, &site, now))
}

/// Keeps blue for as long as the playbook asks, judges once more, and retires it.
pub(super) fn finish_run(run: &mut Run, site: &Site, now: bool) -> Result<Stop, JournalError> {
    match ask::finish(&run.progress, site.clock().now()) {
        Retire::NotShifted | Retire::AlreadyFinished => return Ok(Stop::Reached),
        Retire::Resume => {
            run.append(Event::Resumed { verb: "finish".to_owned() })?;
            return run.drive();
        }
        Retire::TooEarly(until) if !now => {
            if let Some(stop) = keep_blue(run, site, until) {
                return Ok(stop);
            }
        }
        Retire::TooEarly(_) | Retire::Begin => {}
    }
    run.judge()?;
    for _ in 1..LAST_LOOKS {
        if run.progress.judged.as_ref().is_none_or(|j| j.judgement.verdict != Verdict::CannotSee) {
            break;
        }
        if let Wake::StopRequested(signal) = run.clock.wait(run.clock.now() + TimeDelta::seconds(LOOK_SECONDS)) {
            return Ok(Stop::Interrupted(signal));
        }
        run.judge()?;
    }
    if run.progress.held.is_some() {
        return Ok(Stop::Held);
    }
    let judged = run.progress.judged.as_ref().map(|j| j.judgement.clone());
    if let Some(judgement) = judged.filter(|j| matches!(j.verdict, Verdict::Degraded | Verdict::CannotSee)) {
        let text = format!("blue is kept, because green is {}: {}", judgement.verdict.words(), judgement.reason);
        return Ok(Stop::Waiting(text));
    }
    run.append(Event::Finishing)?;
    run.drive()
}

/// Waits for blue's keeping time, or says when it is over.
fn keep_blue(run: &mut Run, site: &Site, until: DateTime<Utc>) -> Option<Stop> {
    let kept = Words::new(&run.progress.header.plan).keeping(&until.format("%F %T UTC").to_string());
    if site.simulated() {
        // In one step: a day of lines would tell nobody anything.
        run.observer.waiting(&run.progress, &kept, site.clock().now(), until);
        site.clock().wait(until);
    } else if until - site.clock().now() > TimeDelta::seconds(KEEP_WAIT_SECONDS) {
        return Some(Stop::Waiting(format!("{kept}; `migrate finish --now` does not wait for it")));
    } else {
        run.wait(until, &kept);
    }
    run.clock.stop_requested().map(Stop::Interrupted)
}

/// On a terminal, asks before the point of no return.
fn confirmed(common: &Common, service: &str) -> Result<bool, Failure> {
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if common.yes || !asks || common.form() != Form::Text {
        return Ok(true);
    }
    let mut stderr = std::io::stderr();
    let asked =
        write!(stderr, "Retire {service}? There is no rollback from here. [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    asked.and(read).map_err(|e| Failure::new(Outcome::Error, format!("cannot ask: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
