//! What the judge is expected to see, for people: what it rests on, a line for each stage, and what to
//! do where traffic is too low for the question. At most 100 columns.
//!
//! The numbers are [`crate::plan::outlook`]'s; nothing is computed here but how they are written.

use std::fmt::Write;

use crate::gate::Counted;
use crate::gate::outlook::{Prospect, TIMES};
use crate::plan::outlook::{Basis, LatencyMethod, Outlook, StageOutlook, Unknown};
use crate::playbook::{OnNoData, Playbook};

/// What is counted, in words.
struct Words {
    counted: Counted,
}

/// The section of a plan.
pub(super) fn section(out: &mut String, outlook: &Outlook, playbook: &Playbook) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\nWhat the judge is expected to see");
    let words = Words { counted: outlook.counted };
    for (name, value) in outlook.basis.iter().flat_map(|basis| words.basis(basis)) {
        let _ = writeln!(out, "  {name:15} {value}");
    }
    if let Some(unknown) = outlook.unknown {
        let _ = writeln!(out, "  {}", words.unknown(unknown));
        return;
    }
    let _ = writeln!(out);
    words.table(out, &outlook.stages);
    let notes = words.notes(outlook, playbook);
    for note in &notes {
        let _ = writeln!(out, "  ! {}", wrapped(note, 96).join("\n    "));
    }
}

impl Words {
    fn noun(&self) -> &'static str {
        self.counted.noun()
    }

    /// Of a bad one.
    fn failed(&self) -> &'static str {
        if self.counted == Counted::Flows { "reset" } else { "failed" }
    }

    fn failures(&self) -> &'static str {
        if self.counted == Counted::Flows { "resets" } else { "failures" }
    }

    fn unknown(&self, unknown: Unknown) -> String {
        match unknown {
            Unknown::NothingCounted => {
                "nothing counts this service's requests: tasks, alarms and metrics of your own judge it, and how soon \
                 they\n  see a fault cannot be said"
                    .to_owned()
            }
            Unknown::NoHistory => "blue's last day is not known, so nothing can be said".to_owned(),
            Unknown::NoTraffic => {
                format!("blue had no {} in the last 24 hours, so nothing can be said", self.noun())
            }
        }
    }

    fn basis(&self, basis: &Basis) -> Vec<(&'static str, String)> {
        let clusters = if basis.phi < 1.05 { "come one by one" } else { "come in clusters" };
        let mut lines = vec![(
            "blue's last day",
            format!(
                "{} {} a minute on average, {} {}; {} {clusters} (phi {:.1})",
                count(basis.requests_per_minute),
                self.noun(),
                rate(basis.blue_rate),
                self.failed(),
                self.failures(),
                basis.phi
            ),
        )];
        let beside = if basis.compared_with_past { "blue had directly before" } else { "blue has beside it" };
        lines.push(("healthy", format!("at most {}, if {beside} what it had then", rate(basis.healthy_rate))));
        lines.extend(basis.hard_limit.map(|limit| {
            let from = if basis.limit_is_set { "set by the playbook" } else { "from blue's last day" };
            ("hard limit", format!("{} {}, {from}; needs no blue", rate(limit), self.failures()))
        }));
        let method = basis.latency.as_ref().map(|method| match method {
            LatencyMethod::SlowRequests { p95, p99 } => {
                format!("requests slower than {p95:.3} s and {p99:.3} s (blue's p95 and p99) beside blue's")
            }
            LatencyMethod::MinuteVotes { statistic, ratio } => {
                format!("minutes in which green's {statistic} is above {ratio} times blue's")
            }
        });
        lines.extend(method.map(|method| ("latency", method)));
        let declared = format!(
            "{}: the chance that a healthy green is sent home by bad luck, over the whole run",
            rate(basis.false_rollback)
        );
        lines.push(("false rollback", declared));
        lines
    }

    /// A line for each stage, below what its columns mean.
    fn table(&self, out: &mut String, stages: &[StageOutlook]) {
        let Some(first) = stages.first() else { return };
        let (noun, failed) = (self.noun(), self.failed());
        let fail = if self.counted == Counted::Flows { "are reset" } else { "fail" };
        let _ = writeln!(
            out,
            "  Expected minutes from the first bad one to the verdict, and {noun} {failed} until then, where this\n  \
             part of green's {noun} {fail}; half of all runs take longer; * is after the bake"
        );
        let titles = TIMES.map(|times| format!("{times}x")).into_iter().chain(["all".to_owned()]);
        let columns = titles.zip(&first.prospects).map(|(title, prospect)| format!("{title}: {}", rate(prospect.green_rate)));
        let head: String = columns.fold(String::new(), |head, column| format!("{head}  {column:>14}"));
        let _ = writeln!(out, "{:19}{head}    least     {:>10}", "", "to pass");
        let pairs = format!("{:>7}{:>9}", "min", failed).repeat(first.prospects.len());
        let _ = writeln!(out, "  stage  green  bake{pairs}    shown  {:>13}", format!("{noun}, min"));
        for stage in stages {
            let cells: String = stage.prospects.iter().map(|prospect| cell(stage, prospect)).collect();
            let least = stage.smallest_seen.map_or_else(|| "none".to_owned(), rate_above);
            let needs = stage.needs.map_or_else(String::new, |needs| {
                let late = if needs.minutes > stage.bake_minutes { "*" } else { " " };
                format!("{}, {}{late}", count(needs.requests.ceil()), minutes(needs.minutes))
            });
            let line = format!(
                "  {:>5}  {:>5} {:>5}{cells}   {least:>6}  {needs:>14}",
                stage.stage,
                stage.share.to_string(),
                whole(stage.bake_minutes),
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }

    /// What is to be known or done, one sentence or two each.
    fn notes(&self, outlook: &Outlook, playbook: &Playbook) -> Vec<String> {
        let mut notes: Vec<String> = outlook.stages.iter().filter_map(|stage| self.too_low(stage)).collect();
        notes.extend(outlook.stages.iter().filter_map(|stage| self.too_short(stage, playbook)));
        let compared: Vec<&StageOutlook> = outlook.stages.iter().filter(|stage| stage.compared).collect();
        if !compared.is_empty() && !compared.iter().any(|stage| stage.in_time(&stage.prospects[2])) {
            notes.push(format!(
                "traffic is too low for the question whether green fails ten times as often as blue: no stage answers it \
                 within its bake. Lean on smoke tests, alarms and metrics of your own, or bake longer"
            ));
        }
        if let (true, Some(last), Some(basis)) = (outlook.ends_alone(), outlook.stages.last(), &outlook.basis) {
            let limit = basis.hard_limit.map_or_else(String::new, |limit| format!("the hard limit of {}, ", rate(limit)));
            notes.push(format!(
                "stage {} leaves no blue to compare with: only {limit}alarms and bounds of your own metrics judge it. \
                 A stage `{{ green: 95%, bake: {} }}` before it keeps 5% on blue for a last long look",
                last.stage,
                whole(last.bake_minutes)
            ));
        }
        notes
    }

    /// Where the bake is too short for what the stage's traffic can show.
    fn too_low(&self, stage: &StageOutlook) -> Option<String> {
        let tenfold = &stage.prospects[2];
        if !stage.compared || stage.in_time(tenfold) {
            return None;
        }
        let (bake, noun) = (whole(stage.bake_minutes), self.noun());
        let traffic = format!(
            "stage {}: green is to have {} {noun} an hour",
            stage.stage,
            count(stage.green_requests_per_minute * 60.0)
        );
        let caught = |prospect: &Prospect| {
            let after = prospect.minutes.map_or_else(|| "never".to_owned(), |m| format!("in {} min", minutes(m)));
            format!("{} {} is seen {after}", rate(prospect.green_rate), self.failed())
        };
        let examples = format!("{}, {}", caught(&stage.faults[0]), caught(&stage.faults[1]));
        let shown = stage.smallest_seen.map_or_else(
            || format!("its bake of {bake} shows nothing, not even a total outage"),
            |least| format!("its bake of {bake} shows {} and more", rate_above(least)),
        );
        let ten = tenfold.minutes.map_or_else(String::new, |needed| {
            format!("; ten times blue's rate takes a bake of {} min", minutes(needed))
        });
        Some(format!("{traffic}: {examples}; {shown}{ten}"))
    }

    /// Where the bake ends before even a spotless green has shown enough.
    fn too_short(&self, stage: &StageOutlook, playbook: &Playbook) -> Option<String> {
        let needs = stage.needs.filter(|needs| needs.minutes > stage.bake_minutes)?;
        let bake = whole(stage.bake_minutes);
        // A bake is extended once, by its own length.
        let then = match (needs.minutes > 2.0 * stage.bake_minutes, playbook.health.on_no_data) {
            (false, _) => "the bake is extended once, by as long again".to_owned(),
            (true, OnNoData::Hold) => "the run holds there".to_owned(),
            (true, OnNoData::Advance) => "the run goes on without (`on_no_data: advance`)".to_owned(),
            (true, OnNoData::Rollback) => "traffic goes home (`on_no_data: rollback`)".to_owned(),
        };
        Some(format!(
            "stage {}: without a failure it takes {} {} to pass, {} min of its traffic, and its bake is {bake}: {then}. \
             Bake longer, take a smaller step behind it, or accept more failures (`health.accepted_failures`)",
            stage.stage,
            count(needs.requests.ceil()),
            self.noun(),
            minutes(needs.minutes)
        ))
    }
}

/// Minutes and failed requests of a prospect.
fn cell(stage: &StageOutlook, prospect: &Prospect) -> String {
    let (Some(after), Some(failed)) = (prospect.minutes, prospect.failed_requests) else {
        return format!("{:>7}{:>9}", "never ", "-");
    };
    let late = if stage.in_time(prospect) { ' ' } else { '*' };
    format!("{:>6}{late}{:>8} ", minutes(after), count(failed))
}

/// Whole minutes, rounded up.
fn minutes(minutes: f64) -> String {
    if minutes > 9999.0 { ">9999".to_owned() } else { format!("{:.0}", (minutes - 1e-9).ceil()) }
}

/// A bake as playbooks write it.
fn whole(minutes: f64) -> String {
    crate::playbook::Period(std::time::Duration::from_secs_f64(minutes * 60.0)).to_string()
}

/// A count as people write it.
fn count(count: f64) -> String {
    match count {
        _ if count >= 1e7 => format!("{:.0}M", count / 1e6),
        _ if count >= 1e6 => format!("{:.1}M", count / 1e6),
        _ if count >= 1e5 => format!("{:.0}k", count / 1e3),
        _ if count >= 1e3 => {
            let whole = format!("{count:.0}");
            let (thousands, rest) = whole.split_at(whole.len() - 3);
            format!("{thousands},{rest}")
        }
        _ if count >= 9.95 || count.fract() == 0.0 => format!("{count:.0}"),
        _ => format!("{count:.1}"),
    }
}

/// A rate with two digits that say something.
fn rate(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let text = match percent {
        _ if percent >= 9.95 => format!("{percent:.0}"),
        _ if percent >= 0.995 => format!("{percent:.1}"),
        _ if percent >= 0.0995 => format!("{percent:.2}"),
        _ => format!("{percent:.3}"),
    };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}%")
}

/// The same, rounded up, of a rate that is the least.
fn rate_above(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let step = match percent {
        _ if percent > 9.9 => 1.0,
        _ if percent > 0.99 => 0.1,
        _ if percent > 0.099 => 0.01,
        _ => 0.001,
    };
    rate(((percent / step - 1e-6).ceil() * step / 100.0).min(1.0))
}

/// The text in lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
