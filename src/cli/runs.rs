//! Which run is meant, and the verbs that only read it: `status`, `history`, `unlock`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::{Common, RunArgs, playbook};
use crate::execute::Stop;
use crate::execute::decide::left_to_do;
use crate::journal::Record;
use crate::journal::progress::{Phase, Progress};
use crate::journal::store::{self, RunStore};
use crate::playbook::Playbook;
use crate::report::history::{object as event_object, sentence};
use crate::report::judge::Case;
use crate::report::outcome::{Failure, Outcome, Verb, ending, green_share, object};
use crate::report::words::Words;
use crate::report::{Form, out};

const STATE: &str = ".migrate";
/// Between two looks of `status --watch`.
const WATCH: Duration = Duration::from_secs(2);

/// The directory that holds the journals of all runs.
pub(super) fn state_dir(common: &Common, playbook: Option<&Playbook>) -> Result<PathBuf, Failure> {
    let wished = common.state.clone().or_else(|| playbook.and_then(|p| p.state.clone()));
    let wished = wished.unwrap_or_else(|| STATE.to_owned());
    if wished.contains("://") {
        return Err(Failure::usage(format!("the state `{wished}` is not a directory"))
            .hint("this version keeps journals in a directory only: give one that outlives the job"));
    }
    let path = PathBuf::from(&wished);
    if wished.is_empty() || (path.exists() && !path.is_dir()) {
        return Err(Failure::usage(format!("the state `{wished}` is not a directory"))
            .hint("give a directory with `--state`, MIGRATE_STATE or the playbook's `state`"));
    }
    Ok(path)
}

/// A run that exists.
pub(super) struct Chosen {
    pub dir: PathBuf,
    pub records: Vec<Record>,
    pub progress: Progress,
    /// What differs between the run's playbook and the one that was named, where it does.
    pub difference: Option<String>,
}

/// The run that the arguments mean.
pub(super) fn choose(common: &Common, args: &RunArgs) -> Result<Chosen, Failure> {
    let mut named = None;
    let (state, name) = match &args.run {
        Some(run) if looks_like_file(run) => {
            let (playbook, text, file, findings) = playbook::check(Path::new(run), &args.vars)?;
            let playbook = playbook.ok_or_else(|| {
                Failure::usage(format!("{file} has {}", crate::report::diagnostic::summary(&findings)))
                    .hint(format!("`migrate validate {file}` shows them; or give the run's name"))
            })?;
            let place = (state_dir(common, Some(&playbook))?, playbook.name.clone());
            named = Some((playbook, text));
            place
        }
        Some(name) => (state_dir(common, None)?, name.clone()),
        None => {
            let state = state_dir(common, None)?;
            let name = only_open(&state)?;
            (state, name)
        }
    };
    let dir = state.join(&name);
    let records = store::read(&dir)?.unwrap_or_default();
    let progress = store::replay(&records)?;
    let progress = progress.ok_or_else(|| no_such_run(&state, &name))?;
    let header = &progress.header;
    let differs = named.filter(|(playbook, _)| !playbook.describes(&header.plan.playbook));
    let difference = differs.map(|(_, text)| playbook::difference(&header.playbook_text, &text));
    Ok(Chosen { dir, records, progress, difference })
}

fn looks_like_file(run: &str) -> bool {
    run.ends_with(".yaml") || run.ends_with(".yml") || run.contains('/')
}

fn no_such_run(state: &Path, name: &str) -> Failure {
    let failure = Failure::usage(format!("there is no run `{name}` in {}", state.display()));
    match all(state).unwrap_or_default().as_slice() {
        [] => failure.hint("`migrate start PLAYBOOK` begins one; `--state` or MIGRATE_STATE says where journals live"),
        runs => failure.hint(format!("there are: {}", listed(runs))),
    }
}

/// Names and states of the runs in a directory. A journal that cannot be read is an error: the run
/// that it tells of exists, and may have traffic on green.
fn all(state: &Path) -> Result<Vec<(String, Progress)>, Failure> {
    let Ok(entries) = std::fs::read_dir(state) else { return Ok(Vec::new()) };
    let mut runs = Vec::new();
    for entry in entries.filter_map(Result::ok).filter(|e| e.path().is_dir()) {
        let Some(records) = store::read(&entry.path())? else { continue };
        if let Some(progress) = store::replay(&records)? {
            runs.push((entry.file_name().to_string_lossy().into_owned(), progress));
        }
    }
    runs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(runs)
}

fn listed(runs: &[(String, Progress)]) -> String {
    runs.iter().map(|(name, progress)| format!("{name} ({})", progress.state())).collect::<Vec<_>>().join(", ")
}

fn only_open(state: &Path) -> Result<String, Failure> {
    let runs = all(state)?;
    let closed = |p: &Progress| matches!(p.phase, Phase::RolledBack | Phase::Finished);
    let open: Vec<&(String, Progress)> = runs.iter().filter(|(_, p)| !closed(p)).collect();
    match (open.as_slice(), runs.as_slice()) {
        ([(name, _)], _) | ([], [(name, _)]) => Ok(name.clone()),
        ([], []) => Err(Failure::usage(format!("there is no run in {}", state.display()))
            .hint("`migrate start PLAYBOOK` begins one; `--state` or MIGRATE_STATE says where journals live")),
        _ => Err(Failure::usage("which run?").hint(format!("name one of: {}", listed(&runs)))),
    }
}

/// `migrate status`: replays the journal without the lock.
pub(super) fn status(common: &Common, args: &RunArgs, watch: bool) -> Result<Outcome, Failure> {
    loop {
        let chosen = choose(common, args)?;
        let progress = &chosen.progress;
        let ending = ending(Verb::Status, &Stop::Reached, progress);
        match common.form() {
            Form::Text => out(status_text(progress, &ending.reason, ending.next.as_deref()).trim_end()),
            Form::Json | Form::Events => {
                let mut object = object(&ending, progress);
                // Reading a run always reaches its goal; how the run stands is in `state`.
                object["outcome"] = json!(Outcome::Ok);
                out(&object.to_string());
            }
        }
        if !watch || matches!(progress.phase, Phase::RolledBack | Phase::Finished) {
            return Ok(Outcome::Ok);
        }
        std::thread::sleep(WATCH);
    }
}

fn status_text(progress: &Progress, reason: &str, next: Option<&str>) -> String {
    let header = &progress.header;
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:9} {value}"));
    let sandbox = header.sandbox.as_ref().map_or_else(String::new, |s| format!("  (sandbox, {s})"));
    line("run", format!("{}{sandbox}", header.run));
    line("state", progress.state().to_owned());
    line("stage", format!("{} of {}", progress.stage, progress.stages()));
    let words = Words::new(&header.plan);
    let under_way = progress.shift.as_ref().map_or_else(String::new, |shift| {
        format!("; a shift to {} is under way, and some {} may show it", shift.share, words.places())
    });
    line("green", format!("{}% of the {}{under_way}", green_share(progress), words.whole()));
    line("why", reason.to_owned());
    if let Some(judged) = &progress.judged {
        let judgement = &judged.judgement;
        line("verdict", format!("{} at {}", judgement.verdict.words(), judged.at.format("%F %T UTC")));
        if let Some(counts) = words.counts(&judgement.tally).filter(|_| judgement.tally.minutes > 0) {
            line("counts", counts);
        }
    }
    if let Some(case) = Case::weighed(progress) {
        let names = |first: &'static str| std::iter::once(first).chain(std::iter::repeat(""));
        names("evidence").zip(case.sparklines()).for_each(|(name, metric)| line(name, metric));
        names("what if").zip(case.sentences()).for_each(|(name, sentence)| line(name, sentence));
    }
    if let Some(bake) = &progress.bake {
        line("bake", format!("until {}", bake.until.format("%F %T UTC")));
    }
    if let Some((moment, reason)) = &progress.calls.failed {
        line("failed", format!("{}: {reason}", moment.name()));
    }
    if let Some(scale) = header.time_scale {
        line("clock", format!("{scale} times as fast"));
    }
    line("last", format!("record {} at {}", progress.last.0, progress.last.1.format("%F %T UTC")));
    let left = left_to_do(progress);
    if !left.is_empty() {
        line("left", "to do by hand:".to_owned());
        left.iter().for_each(|c| line("", c.clone()));
    }
    line("next", next.unwrap_or("nothing: the run is closed").to_owned());
    lines.join("\n")
}

/// `migrate history`.
pub(super) fn history(common: &Common, args: &RunArgs) -> Result<Outcome, Failure> {
    let chosen = choose(common, args)?;
    let plan = &chosen.progress.header.plan;
    match common.form() {
        Form::Text => {
            for record in &chosen.records {
                if let Some(text) = sentence(record, plan) {
                    out(&format!("{:>5}  {}  {text}", record.seq, record.at.format("%F %T")));
                }
            }
        }
        Form::Events => chosen.records.iter().for_each(|r| out(&event_object(r).to_string())),
        Form::Json => {
            let events: Vec<_> = chosen.records.iter().map(event_object).collect();
            out(&json!({ "outcome": Outcome::Ok, "run": chosen.progress.header.run, "events": events }).to_string());
        }
    }
    Ok(Outcome::Ok)
}

/// `migrate unlock`: the lock is the kernel's, so it is free as soon as its holder is gone.
pub(super) fn unlock(common: &Common, args: &RunArgs) -> Result<Outcome, Failure> {
    let chosen = choose(common, args)?;
    RunStore::open(&chosen.dir)?;
    let text = format!("run {} is free: nobody holds it", chosen.progress.header.run);
    match common.form() {
        Form::Text => out(&text),
        Form::Json | Form::Events => {
            out(&json!({ "outcome": Outcome::Ok, "run": chosen.progress.header.run, "reason": text }).to_string());
        }
    }
    Ok(Outcome::Ok)
}
