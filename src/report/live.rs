//! What a run shows while it moves: a progress line on a terminal, plain lines elsewhere, or events.
//!
//! Without a terminal there is no cursor control: a line for each event, and a heartbeat at least
//! once a minute while something is waited for, because some CI systems notice a cancelled job only
//! when it prints.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::history::{object, sentence};
use super::judge::{of_needed, unsaid};
use super::words::Words;
use super::{Form, err, out};
use crate::execute::Observer;
use crate::gate::Verdict;
use crate::journal::progress::Progress;
use crate::journal::{Event, Record};

/// Shows a run.
pub struct Live {
    form: Form,
    bar: Option<ProgressBar>,
    /// How much faster than the wall the run's clock goes; 0 where waiting is free.
    pace: f64,
    /// The least time of the run's clock between two heartbeats.
    interval: TimeDelta,
    beat: Option<DateTime<Utc>>,
    verdict: Option<Verdict>,
    waiting_for: String,
}

/// How time passes in the run that is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// The run's clock goes this many times as fast as the wall's.
    Scaled(f64),
    /// Waiting is free.
    Simulated,
}

impl Live {
    pub fn new(form: Form, pace: Pace) -> Live {
        let (pace, interval) = match pace {
            // At least a line a minute of wall time; one a second where the run's clock is scaled.
            Pace::Scaled(scale) if scale > 1.0 => (scale, TimeDelta::milliseconds((scale * 1000.0) as i64)),
            Pace::Scaled(_) => (1.0, TimeDelta::seconds(25)),
            Pace::Simulated => (0.0, TimeDelta::minutes(15)),
        };
        let on_terminal = form == Form::Text && console_on_stderr() && pace > 0.0;
        let bar = on_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Live { form, bar, pace, interval, beat: None, verdict: None, waiting_for: String::new() }
    }

    fn line(&self, at: DateTime<Utc>, text: &str) {
        let line = format!("{}  {text}", at.format("%H:%M:%S"));
        match &self.bar {
            Some(bar) => bar.suspend(|| err(&line)),
            None => err(&line),
        }
    }

    /// Whether a heartbeat is due at this time.
    fn due(&mut self, now: DateTime<Utc>) -> bool {
        let due = self.beat.is_none_or(|last| now - last >= self.interval);
        if due {
            self.beat = Some(now);
        }
        due
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Live {
    fn recorded(&mut self, record: &Record, progress: &Progress) {
        if self.form == Form::Events {
            out(&object(record).to_string());
        }
        if let Event::Judged { judgement, .. } = &record.event {
            let turned = self.verdict.replace(judgement.verdict) != Some(judgement.verdict);
            if turned || (self.bar.is_none() && self.due(record.at)) {
                self.beat = Some(record.at);
                self.line(record.at, &heartbeat(progress, record.at));
            }
            return;
        }
        if let Some(text) = sentence(record, &progress.header.plan) {
            self.beat = Some(record.at);
            self.waiting_for.clear();
            self.line(record.at, &text);
        }
    }

    fn waiting(&mut self, progress: &Progress, what: &str, now: DateTime<Utc>, until: DateTime<Utc>) {
        if let Some(bar) = &self.bar {
            let end = progress.bake.as_ref().map_or(until, |b| b.until);
            bar.set_style(style(end - now, self.pace));
            bar.set_message(format!("{}{what}", stage(progress)));
            return;
        }
        let news = progress.bake.is_none() && self.waiting_for != what;
        if news || self.due(now) {
            self.waiting_for = what.to_owned();
            self.beat = Some(now);
            let text = if progress.bake.is_some() { heartbeat(progress, now) } else { format!("waiting: {what}") };
            self.line(now, &text);
        }
    }
}

fn console_on_stderr() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("CI").is_none()
}

fn stage(progress: &Progress) -> String {
    if progress.stage == 0 {
        return String::new();
    }
    format!("stage {}/{} {}  ", progress.stage, progress.stages(), progress.share)
}

/// Stage, weight, bake, counts, evidence and verdict on one line.
fn heartbeat(progress: &Progress, now: DateTime<Utc>) -> String {
    let Some(judged) = &progress.judged else { return format!("{}waiting", stage(progress)) };
    let mut text = stage(progress);
    if let Some(bake) = &progress.bake {
        let (done, whole) = (now - bake.began, bake.until - bake.began);
        // Writing to a string cannot fail.
        let _ = write!(text, "bake {}/{}  ", clock(done.min(whole)), clock(whole));
    }
    let counts = Words::new(&progress.header.plan).counts(&judged.judgement.tally).filter(|_| progress.stage > 0);
    let uncounted = counts.is_none();
    if let Some(counts) = counts {
        let _ = write!(text, "{counts}  ");
    }
    let said = judged.judgement.verdict != Verdict::Healthy || uncounted;
    let evidence = match &judged.judgement.weighed {
        Some(weighed) if !said => Some(format!("evidence {}", of_needed(weighed))),
        _ => unsaid(&judged.judgement),
    };
    if let Some(evidence) = evidence {
        let _ = write!(text, "{evidence}  ");
    }
    let _ = write!(text, "{}", judged.judgement.verdict.words());
    if said {
        let _ = write!(text, ": {}", judged.judgement.reason);
    }
    text
}

fn clock(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match seconds / 3600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// A spinner whose time left runs down between two ticks of the loop.
fn style(left: TimeDelta, pace: f64) -> ProgressStyle {
    let left = left.to_std().unwrap_or(Duration::ZERO).div_f64(pace.max(1e-9));
    let end = Instant::now() + left;
    let key = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        let left = end.saturating_duration_since(Instant::now());
        let text = clock(TimeDelta::from_std(left).unwrap_or(TimeDelta::zero()));
        // A progress line that cannot be written is not worth a failure.
        let _ = out.write_str(&text);
    };
    let style = ProgressStyle::default_spinner();
    style.clone().template("{spinner} {left} left  {wide_msg}").unwrap_or(style).with_key("left", key)
}
