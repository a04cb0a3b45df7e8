//! Who is to be called now: hooks and notices, from the run's progress alone.

use crate::journal::calls::{Answer, Moment};
use crate::journal::progress::Progress;
use crate::playbook::{Hook, OnFailure, Playbook};

/// A call that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    pub moment: Moment,
    /// The stage that it is about.
    pub stage: usize,
    /// Number of the record that made it due.
    pub occasion: u64,
    /// Which of the hooks of the moment, or which of those who are told.
    pub index: usize,
}

/// How the hooks of a moment stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Owed(Owed),
    /// One failed, and the playbook says that this matters.
    Failed(OnFailure, String),
    /// All were called, or there are none.
    Over,
}

/// The hooks of a moment: those for every stage, then those of the stage.
pub fn hooks(playbook: &Playbook, moment: Moment, stage: usize) -> Vec<&Hook> {
    let all = &playbook.hooks;
    let own = stage.checked_sub(1).and_then(|index| playbook.stages.get(index)).map(|s| &s.hooks);
    let (general, special) = match moment {
        Moment::BeforeShift => (&all.before_shift, own.map(|o| &o.before_shift)),
        Moment::AfterShift => (&all.after_shift, own.map(|o| &o.after_shift)),
        Moment::OnHold => (&all.on_hold, None),
        Moment::OnRollback => (&all.on_rollback, None),
        Moment::OnFinish => (&all.on_finish, None),
        Moment::Notice => return Vec::new(),
    };
    general.iter().chain(special.into_iter().flatten()).collect()
}

/// How the hooks of a moment that is due stand.
pub fn standing(progress: &Progress, moment: Moment, stage: usize) -> Standing {
    let Some(occasion) = progress.calls.occasion(moment) else { return Standing::Over };
    for (index, hook) in hooks(&progress.header.plan.playbook, moment, stage).into_iter().enumerate() {
        let Some((answer, _)) = progress.calls.made(moment, occasion, index) else {
            return Standing::Owed(Owed { moment, stage, occasion, index });
        };
        // Where traffic is held or home already, a failure has nothing left to stop.
        let matters = !matches!(moment, Moment::OnHold | Moment::OnRollback);
        if let Answer::Failed { reason } = answer
            && matters
            && hook.on_failure() != OnFailure::Continue
        {
            return Standing::Failed(hook.on_failure(), format!("the hook {} failed: {reason}", moment.name()));
        }
    }
    Standing::Over
}

/// The next notice that is to be sent.
pub fn notice(progress: &Progress) -> Option<Owed> {
    let notify = &progress.header.plan.playbook.notify;
    let channels = notify.sns.len() + notify.webhook.len();
    progress.calls.news.iter().find_map(|news| {
        let index = (0..channels).find(|index| !progress.calls.told(news.seq, *index))?;
        Some(Owed { moment: Moment::Notice, stage: progress.stage, occasion: news.seq, index })
    })
}
