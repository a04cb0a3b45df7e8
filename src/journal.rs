//! What happened, append-only: the events of one run, their records, their fold and their store.
//!
//! An event is a fact; [`progress::Progress`] is the fold of all events, by one transition function
//! that serves replay and append alike. Going back is more journal, never less.

pub mod calls;
pub mod progress;
pub mod seen;
pub mod store;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::calls::Call;
use self::seen::Read;
use crate::clock::Signal;
use crate::cloud::CloudError;
use crate::gate::Judgement;
use crate::operation::{Drift, Made};
use crate::plan::Plan;
use crate::traffic::Share;

/// Version of the journal's format.
pub const FORMAT: u32 = 1;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 1 for the first, and one more for each.
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub event: Event,
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Always the first: the header.
    Opened(Box<Header>),
    /// A verb was called to go on with what was under way.
    Resumed {
        verb: String,
    },
    /// An operation is about to be performed.
    Intended {
        operation: String,
    },
    /// What came of it.
    Settled {
        operation: String,
        outcome: Settlement,
    },
    /// Something was written, and takes effect by and by: what a later look must know of it.
    Noted {
        made: Made,
    },
    /// An operation is about to be undone.
    UndoIntended {
        operation: String,
    },
    UndoSettled {
        operation: String,
        outcome: Settlement,
    },
    /// Green is healthy beside blue, at weight 0.
    Readied,
    /// `advance` was called: the run shall go through this stage.
    Advanced(Goal),
    /// Traffic is about to move. `stage` 0 is home.
    ShiftIntended {
        stage: usize,
        share: Share,
    },
    ShiftSettled {
        stage: usize,
        outcome: Settlement,
    },
    /// The bake of a stage began; it ends at an absolute time, so a resumed run bakes only the rest.
    BakeBegan {
        stage: usize,
        until: DateTime<Utc>,
    },
    Judged {
        stage: usize,
        judgement: Box<Judgement>,
        /// What was read of the metrics, where they could be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<Read>,
    },
    /// The bake is over and green is healthy.
    StagePassed {
        stage: usize,
    },
    /// All stages have passed.
    Shifted,
    /// A look found something of this run that somebody else changed.
    Drifted {
        drift: Drift,
    },
    /// Stopped moving, for this reason.
    Held {
        why: HoldReason,
        reason: String,
    },
    /// The run turned back.
    Unwinding {
        cause: Cause,
        reason: String,
        remove_green: bool,
    },
    RolledBack,
    /// A rollback or undo could not be completed.
    Stuck {
        reason: String,
        commands: Vec<String>,
    },
    /// `finish` was called.
    Finishing,
    Finished,
    /// A hook was called, or somebody was told; what came of it.
    Called(Box<Call>),
    /// The process was asked to stop, and stopped at a safe point.
    Interrupted {
        signal: Signal,
    },
}

/// The first record: everything that a later process must know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    pub tool: String,
    /// Name of the run.
    pub run: String,
    /// Unique to this run among those of its name.
    pub id: String,
    pub plan: Plan,
    /// The playbook's file as `start` was given it, to say how to carry on.
    pub playbook_file: String,
    /// The playbook's text, to show what differs when another is given.
    pub playbook_text: String,
    /// The sandbox scenario, for a run on the simulated cloud.
    pub sandbox: Option<String>,
    /// How much faster than real time the clock ran, where it was told to.
    pub time_scale: Option<f64>,
}

/// How far a verb shall carry the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// The stage to reach, 1-based.
    pub through: usize,
    /// Whether its bake and verdict are part of the goal.
    pub settle: bool,
    /// Whether the process waits for a bake; otherwise it returns and says when to come back.
    pub patient: bool,
    /// A stage that this call approves.
    pub approves: Option<usize>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    Done(Made),
    /// Nothing was changed.
    NotDone(CloudError),
    /// Whether anything was changed is to be read back.
    Unknown(CloudError),
    Drift(Drift),
}

/// Why a run holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// The next stage wants an approval.
    Approval,
    NotEnoughEvidence,
    /// The monitoring does not answer.
    Blind,
    /// Green, or the way to it, is not ready, and the time limit is over.
    NotReady,
    /// Somebody else changed what this run owns.
    Drift,
    /// A call keeps failing.
    Failing,
    /// The credentials are missing, expired or too short-lived.
    Credentials,
    /// A hook failed.
    Hook,
}

/// Why a run turned back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The gate found green degraded.
    Gate,
    /// Somebody called `migrate rollback`.
    Asked,
    /// The cloud refused something without which the run cannot go on.
    Refused,
    /// The process was cancelled, and the playbook says to roll back then.
    Cancelled,
    /// A hook failed, and the playbook says to roll back then.
    Hook,
}

impl Event {
    /// The drift that it tells of.
    pub fn drift(&self) -> Option<&Drift> {
        match self {
            Event::Drifted { drift } => Some(drift),
            Event::Settled { outcome: Settlement::Drift(drift), .. }
            | Event::UndoSettled { outcome: Settlement::Drift(drift), .. }
            | Event::ShiftSettled { outcome: Settlement::Drift(drift), .. } => Some(drift),
            _ => None,
        }
    }

    /// The event's name, as `--events` and `history` show it.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Opened(_) => "opened",
            Event::Resumed { .. } => "resumed",
            Event::Intended { .. } => "intended",
            Event::Settled { .. } => "settled",
            Event::Noted { .. } => "noted",
            Event::UndoIntended { .. } => "undo_intended",
            Event::UndoSettled { .. } => "undo_settled",
            Event::Readied => "readied",
            Event::Advanced(_) => "advanced",
            Event::ShiftIntended { .. } => "shift_intended",
            Event::ShiftSettled { .. } => "shift_settled",
            Event::BakeBegan { .. } => "bake_began",
            Event::Judged { .. } => "judged",
            Event::StagePassed { .. } => "stage_passed",
            Event::Shifted => "shifted",
            Event::Drifted { .. } => "drifted",
            Event::Held { .. } => "held",
            Event::Unwinding { .. } => "unwinding",
            Event::RolledBack => "rolled_back",
            Event::Stuck { .. } => "stuck",
            Event::Finishing => "finishing",
            Event::Finished => "finished",
            Event::Called(_) => "called",
            Event::Interrupted { .. } => "interrupted",
        }
    }
}
