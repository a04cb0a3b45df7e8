//! Who is to be called and told, and what came of it: a part of the fold.
//!
//! Each moment becomes due by an event, whose number is the occasion. What was called on an occasion
//! is done; a process that died between a call and its record calls once more, under the same id. A
//! hold makes the calls of a stage due anew, because the next process looks at the world anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::progress::{Phase, Progress};
use super::{Event, HoldReason, Record, Settlement};
use crate::playbook::Occasion;

/// When something is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    BeforeShift,
    AfterShift,
    OnHold,
    OnRollback,
    OnFinish,
    /// Others are told what happened.
    Notice,
}

/// A call that was made, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Unique to the call, and the same where it is repeated after a crash.
    pub id: String,
    pub moment: Moment,
    /// The stage that it is about.
    pub stage: usize,
    /// Number of the record that made it due.
    pub occasion: u64,
    /// Its place among the calls of the occasion, from 0.
    pub index: usize,
    /// What was called, for people; no secret.
    pub what: String,
    pub outcome: Answer,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    Failed {
        reason: String,
    },
    /// It was not made.
    Skipped {
        reason: String,
    },
}

/// Something that others are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Number of the record.
    pub seq: u64,
    pub headline: String,
}

/// What is due, and what was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// The record that made each moment due last.
    due: BTreeMap<Moment, u64>,
    /// What came of the calls of the present occasions, and how often each was made.
    made: BTreeMap<(Moment, u64, usize), (Answer, u32)>,
    /// What is not told everybody yet, oldest first.
    pub news: Vec<News>,
    /// The last failure that nothing has mended since.
    pub failed: Option<(Moment, String)>,
    /// The cause of the last hold, as long as the run has not moved since.
    held: Option<HoldReason>,
}

/// Attempts at telling somebody something.
pub const TELLINGS: u32 = 2;

impl Moment {
    /// Its name, as playbooks, environment and events have it.
    pub fn name(self) -> &'static str {
        match self {
            Moment::BeforeShift => "before_shift",
            Moment::AfterShift => "after_shift",
            Moment::OnHold => "on_hold",
            Moment::OnRollback => "on_rollback",
            Moment::OnFinish => "on_finish",
            Moment::Notice => "notice",
        }
    }
}

impl Calls {
    /// The occasion on which this moment is due.
    pub fn occasion(&self, moment: Moment) -> Option<u64> {
        self.due.get(&moment).copied()
    }

    /// Whether this call is due, or was made already on the present occasion.
    pub(super) fn expects(&self, call: &Call) -> bool {
        match call.moment {
            Moment::Notice => self.news.iter().any(|n| n.seq == call.occasion),
            moment => self.occasion(moment) == Some(call.occasion),
        }
    }

    /// What came of a call, and how often it was made.
    pub fn made(&self, moment: Moment, occasion: u64, index: usize) -> Option<&(Answer, u32)> {
        self.made.get(&(moment, occasion, index))
    }

    /// Takes in one record; `progress` is the state before it.
    pub(super) fn follow(&mut self, progress: &Progress, record: &Record) {
        let seq = record.seq;
        let stages = progress.stages();
        match &record.event {
            Event::Readied => self.make_due(Moment::BeforeShift, seq),
            Event::ShiftSettled { stage, outcome: Settlement::Done(_) } if *stage > 0 => {
                self.held = None;
                let share = progress.header.plan.share(*stage);
                self.tell(progress, Occasion::Stage, seq, format!("stage {stage} of {stages}: green has {share}"));
            }
            Event::BakeBegan { .. } => self.make_due(Moment::AfterShift, seq),
            Event::StagePassed { stage } => {
                self.held = None;
                self.make_due(Moment::BeforeShift, seq);
                self.tell(progress, Occasion::Stage, seq, format!("stage {stage} of {stages} has passed"));
            }
            Event::Settled { outcome: Settlement::Done(_), .. } => self.held = None,
            Event::Held { why, reason } => self.hold(progress, seq, *why, reason),
            Event::Unwinding { reason, .. } if progress.unwinding.is_none() => {
                self.held = None;
                self.make_due(Moment::OnRollback, seq);
                self.tell(progress, Occasion::Rollback, seq, format!("traffic is home: {reason}"));
            }
            Event::Stuck { reason, .. } => self.tell(progress, Occasion::Rollback, seq, format!("STUCK: {reason}")),
            Event::Finishing => {
                self.held = None;
                self.make_due(Moment::OnFinish, seq);
            }
            Event::Finished => {
                self.tell(progress, Occasion::Finish, seq, "finished: green serves in blue's place".to_owned());
            }
            Event::Called(call) => self.answer(progress, call),
            _ => {}
        }
    }

    fn hold(&mut self, progress: &Progress, seq: u64, why: HoldReason, reason: &str) {
        if progress.phase == Phase::Open {
            self.make_due(Moment::BeforeShift, seq);
        }
        for moment in [Moment::AfterShift, Moment::OnFinish] {
            let occasion = self.occasion(moment);
            let failed = |((m, o, _), (answer, _)): (&(Moment, u64, usize), &(Answer, u32))| {
                *m == moment && Some(*o) == occasion && matches!(answer, Answer::Failed { .. })
            };
            if self.made.iter().any(failed) {
                self.make_due(moment, seq);
            }
        }
        // The same hold again, and nothing moved between: whoever was called knows.
        if self.held.replace(why) != Some(why) {
            self.make_due(Moment::OnHold, seq);
            self.tell(progress, Occasion::Hold, seq, format!("on hold: {reason}"));
        }
    }

    fn make_due(&mut self, moment: Moment, seq: u64) {
        self.due.insert(moment, seq);
        self.made.retain(|(m, _, _), _| *m != moment);
    }

    fn tell(&mut self, progress: &Progress, occasion: Occasion, seq: u64, headline: String) {
        let notify = &progress.header.plan.playbook.notify;
        if notify.on.contains(&occasion) && !(notify.sns.is_empty() && notify.webhook.is_empty()) {
            self.news.push(News { seq, headline });
        }
    }

    fn answer(&mut self, progress: &Progress, call: &Call) {
        let entry = self.made.entry((call.moment, call.occasion, call.index));
        let tries = entry.or_insert((Answer::Done, 0));
        *tries = (call.outcome.clone(), tries.1 + 1);
        match &call.outcome {
            Answer::Failed { reason } => self.failed = Some((call.moment, reason.clone())),
            Answer::Done if self.failed.as_ref().is_some_and(|(m, _)| *m == call.moment) => self.failed = None,
            Answer::Done | Answer::Skipped { .. } => {}
        }
        if call.moment == Moment::Notice {
            let notify = &progress.header.plan.playbook.notify;
            let over = |index| self.told(call.occasion, index);
            if (0..notify.sns.len() + notify.webhook.len()).all(over) {
                self.news.retain(|n| n.seq != call.occasion);
                self.made.retain(|(m, o, _), _| *m != Moment::Notice || *o != call.occasion);
            }
        }
    }

    /// Whether somebody has been told, or will not be.
    pub fn told(&self, seq: u64, index: usize) -> bool {
        self.made(Moment::Notice, seq, index)
            .is_some_and(|(answer, tries)| !matches!(answer, Answer::Failed { .. }) || *tries >= TELLINGS)
    }
}
