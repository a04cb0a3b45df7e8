//! What the judge is expected to see, for people: what it rests on, a line for each stage, and what to
//! do where traffic is too low for the question. At most 100 columns.
//!
//! The numbers are [`crate::plan::outlook`]'s; nothing is computed here but how they are written.

use std::fmt::Write;

use crate::gate::Counted;
use crate::gate::outlook::{Prospect, TIMES};
use crate::plan::outlook::{Grounds, LatencyMethod, Outlook, StageOutlook, Unknown};
use crate::playbook::{OnNoData, Playbook};

/// Columns of a terminal.
const WIDTH: usize = 100;

/// Minutes of a day that is busy most of the time.
const MOSTLY: u32 = 18 * 60;

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
        let _ = writeln!(out, "  {name:15}  {value}");
    }
    if let Some(unknown) = outlook.unknown {
        let _ = writeln!(out, "  {}", wrapped(&words.unknown(unknown), WIDTH - 2).join("\n  "));
        return;
    }
    let _ = writeln!(out);
    words.explained(out, outlook);
    for note in words.notes(outlook, playbook) {
        let _ = writeln!(out, "  ! {}", wrapped(&note, WIDTH - 4).join("\n    "));
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
                "nothing counts the requests of this service: its tasks, alarms and metrics of your own judge it, and how \
                 soon they see a fault cannot be said"
                    .to_owned()
            }
            Unknown::NoHistory => "blue's last day is not known, so nothing can be said".to_owned(),
            Unknown::NoTraffic => {
                format!("blue had no {} in the last 24 hours, so nothing can be said", self.noun())
            }
        }
    }

    fn basis(&self, basis: &Grounds) -> Vec<(&'static str, String)> {
        let clusters = if basis.phi < 1.05 { "one by one" } else { "in clusters" };
        let mut lines = vec![(
            "blue's last day",
            format!(
                "{} {} a minute on average, {} {}, {clusters} (phi {:.1})",
                count(basis.requests_per_minute),
                self.noun(),
                rate(basis.blue_rate),
                self.failed(),
                basis.phi
            ),
        )];
        // An average over a day that was mostly quiet is not what a stage in its busy hours has.
        if basis.busy_minutes < MOSTLY && basis.requests_per_minute > 0.0 {
            let hours = f64::from(basis.busy_minutes) / 60.0;
            lines.push(("", format!("all of them in {hours:.1} of its 24 hours: in those the stages see more")));
        }
        let than = if basis.compared_with_past { "blue's before the shift" } else { "blue's" };
        lines.push((
            "healthy",
            format!(
                "up to {} times {than} plus {}: so far {}",
                basis.ratio,
                rate(basis.ratio * basis.floor),
                rate(basis.healthy_rate)
            ),
        ));
        lines.extend(basis.hard_limit.map(|limit| {
            let from = if basis.limit_is_set { "by the playbook" } else { "from blue's last day" };
            let text = format!("{}, {from}; it judges where there is no blue as well", rate(limit));
            ("hard limit", if limit < 1.0 { text } else { "none: blue itself fails too often for one".to_owned() })
        }));
        let method = basis.latency.as_ref().map(|method| match method {
            LatencyMethod::SlowRequests { p95, p99 } => {
                format!("requests slower than {p95:.3} s and {p99:.3} s (blue's p95 and p99) beside blue's")
            }
            LatencyMethod::SlowerThan { statistic, ratio, bound } => {
                format!("requests slower than {bound:.3} s, {ratio} times blue's {statistic}, beside blue's")
            }
            LatencyMethod::MinuteVotes { statistic, ratio } => {
                format!("minutes in which green's {statistic} is above {ratio} times blue's")
            }
        });
        lines.extend(method.map(|method| ("latency", method)));
        let declared = format!(
            "{}: the chance that bad luck sends a healthy green home, over the whole run",
            rate(basis.false_rollback)
        );
        lines.push(("false rollback", declared));
        lines
    }

    /// What the columns of the table are, and the table between.
    fn explained(&self, out: &mut String, outlook: &Outlook) {
        let (noun, failed) = (self.noun(), self.failed());
        let spotless = outlook.basis.as_ref().filter(|basis| basis.blue_rate < basis.floor);
        let taken = spotless.map_or_else(String::new, |basis| format!(", taken as {}", rate(basis.floor)));
        let _ = writeln!(
            out,
            "  Minutes from the first bad one to the verdict, and {noun} {failed} by then, where green's rate of\n  \
             {} is so many times blue's{taken}",
            self.failures()
        );
        self.table(out, &outlook.stages);
        let _ = writeln!(
            out,
            "  expected: half of all runs take longer; never: it counts as healthy, or the limit allows it\n  \
             least shown: the lowest rate that shows within the bake; *: after the bake\n  \
             to pass: {noun} without a failure that the stage takes, and minutes of its traffic"
        );
    }

    /// A line for each stage.
    fn table(&self, out: &mut String, stages: &[StageOutlook]) {
        let Some(first) = stages.first() else { return };
        let titles = TIMES.map(|times| format!("{times}x")).into_iter().chain(["all".to_owned()]);
        let columns = titles.zip(&first.prospects).map(|(title, bad)| format!("{title}: {}", rate(bad.green_rate)));
        let head: String = columns.fold(String::new(), |head, column| format!("{head} {column:>13}"));
        let _ = writeln!(out, "  {:18}{head}  {:>6} {:>13}", "", "least", "to pass");
        let pairs = format!("{:>6} {:>7}", "min", self.failed()).repeat(first.prospects.len());
        let _ = writeln!(out, "  stage  green  bake{pairs}  {:>6} {:>8} {:>4}", "shown", self.noun(), "min");
        for stage in stages {
            let cells: String = stage.prospects.iter().map(|prospect| cell(stage, prospect)).collect();
            let least = stage.smallest_seen.map_or_else(|| "none".to_owned(), rate_above);
            let needs = stage.needs.map_or_else(String::new, |needs| {
                let late = if needs.minutes > stage.bake_minutes { "*" } else { "" };
                format!("{:>8} {:>4}{late}", count(needs.requests.ceil()), minutes(needs.minutes))
            });
            let (share, bake) = (stage.share.to_string(), period(stage.bake_minutes));
            let _ = writeln!(out, "  {:>5} {share:>6} {bake:>5}{cells}  {least:>6} {needs}", stage.stage);
        }
    }

    /// What is to be known or done, one sentence or two each.
    fn notes(&self, outlook: &Outlook, playbook: &Playbook) -> Vec<String> {
        let mut notes: Vec<String> = self.too_low(&outlook.stages).into_iter().collect();
        notes.extend(too_short(&outlook.stages, playbook));
        notes.extend(outlook.basis.as_ref().and_then(|basis| self.mostly_quiet(basis)));
        if let (true, Some(last), Some(basis)) = (outlook.ends_alone(), outlook.stages.last(), &outlook.basis) {
            let limit = basis.hard_limit.filter(|limit| *limit < 1.0);
            let limit = limit.map_or_else(String::new, |limit| format!("the hard limit of {}, ", rate(limit)));
            notes.push(format!(
                "stage {} leaves no blue to compare with: only {limit}alarms and bounds of your own metrics judge it. \
                 A stage `{{ green: 95%, bake: {} }}` before it keeps 5% on blue for a last long look",
                last.stage,
                period(last.bake_minutes)
            ));
        }
        notes
    }

    /// Where most of the day had no traffic, so that no minute is like the average.
    fn mostly_quiet(&self, grounds: &Grounds) -> Option<String> {
        const DAY_MINUTES: u32 = 24 * 60;
        (1..DAY_MINUTES / 2).contains(&grounds.busy_minutes).then(|| {
            format!(
                "blue had {} in {} of the last day's {DAY_MINUTES} minutes only, and the numbers are of the average over \
                 all of them. In a busy minute faults show sooner and more {} fail, in a quiet one nothing shows: let the \
                 stages fall where the traffic is",
                self.noun(),
                grounds.busy_minutes,
                self.noun()
            )
        })
    }

    /// Where traffic is too low for a green that fails ten times as often as blue to show within the bake.
    /// In words for the stage with the least traffic; the others stand in the table.
    fn too_low(&self, stages: &[StageOutlook]) -> Option<String> {
        let unanswered = |stage: &&StageOutlook| stage.compared && !stage.in_time(&stage.prospects[2]);
        let low: Vec<&StageOutlook> = stages.iter().filter(unanswered).collect();
        let stage = *low.first()?;
        let all_of_them = low.len() == stages.iter().filter(|stage| stage.compared).count();
        let which = match (low.len(), all_of_them) {
            (1, false) => format!("stage {}", stage.stage),
            (_, false) => format!("stages {}", numbers(&low)),
            (_, true) => "every stage that has a blue to compare with".to_owned(),
        };
        let caught = |fault: &Prospect| {
            let shows = fault.minutes.map_or_else(|| "never".to_owned(), |m| format!("in {} min", minutes(m)));
            (rate(fault.green_rate), shows)
        };
        let [(half, half_shows), (some, some_show)] = [caught(&stage.faults[0]), caught(&stage.faults[1])];
        let bake = period(stage.bake_minutes);
        let shown = stage.smallest_seen.map_or_else(
            || format!("within {bake} not even a total outage shows"),
            |least| format!("within {bake} only {} and more shows", rate_above(least)),
        );
        let remedy = match (stage.prospects[2].minutes, all_of_them) {
            (_, true) => "Lean on smoke tests, alarms and metrics of your own".to_owned(),
            (Some(needed), false) => format!("A bake of {} min would answer it", minutes(needed)),
            (None, false) => "A larger share or an earlier stage has to answer it".to_owned(),
        };
        Some(format!(
            "traffic is too low in {which} to ask whether green fails ten times as often as blue. In stage {} green is \
             to have {} {} an hour: {} of {half} show {half_shows}, of {some} {some_show}; {shown}. {remedy}",
            stage.stage,
            count(stage.green_requests_per_minute * 60.0),
            self.noun(),
            self.failures(),
        ))
    }
}

/// Where the bake ends before even a spotless green has shown enough.
fn too_short(stages: &[StageOutlook], playbook: &Playbook) -> Option<String> {
    let late = |stage: &&StageOutlook| stage.needs.is_some_and(|needs| needs.minutes > stage.bake_minutes);
    let short: Vec<&StageOutlook> = stages.iter().filter(late).collect();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let min_requests = playbook.health.min_requests as f64;
    let by_volume = |stage: &&StageOutlook| stage.needs.is_some_and(|needs| needs.requests <= min_requests);
    let lower = if short.iter().all(by_volume) {
        "lower `health.min_requests`"
    } else {
        "take a smaller step behind it, or accept more failures (`health.accepted_failures`)"
    };
    let then = match playbook.health.on_no_data {
        OnNoData::Hold => "the run holds",
        OnNoData::Advance => "the run goes on without, as `on_no_data: advance` says",
        OnNoData::Rollback => "traffic goes home, as `on_no_data: rollback` says",
    };
    let (stages, takes) = match short.len() {
        0 => return None,
        1 => (format!("stage {}", numbers(&short)), "takes longer to pass than its bake"),
        _ => (format!("stages {}", numbers(&short)), "take longer to pass than their bakes"),
    };
    Some(format!(
        "{stages} {takes}, even without a failure: a bake is extended once, by as long again, and then {then}. Bake \
         longer, or {lower}"
    ))
}

/// Minutes and failed requests of a prospect.
fn cell(stage: &StageOutlook, prospect: &Prospect) -> String {
    let (Some(after), Some(failed)) = (prospect.minutes, prospect.failed_requests) else {
        return format!("{:>6} {:>7}", "never", "-");
    };
    let late = if stage.in_time(prospect) { ' ' } else { '*' };
    format!("{:>6}{late}{:>7}", minutes(after), count(failed))
}

/// The numbers of stages, such as `1, 2 and 3`.
fn numbers(stages: &[&StageOutlook]) -> String {
    let numbers: Vec<String> = stages.iter().map(|stage| stage.stage.to_string()).collect();
    match numbers.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => numbers.join(", "),
    }
}

/// Whole minutes, rounded up.
fn minutes(minutes: f64) -> String {
    if minutes > 9999.0 { ">9999".to_owned() } else { format!("{:.0}", (minutes - 1e-9).ceil()) }
}

/// A bake as playbooks write it.
fn period(minutes: f64) -> String {
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
        _ => format!("{percent:.4}"),
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
