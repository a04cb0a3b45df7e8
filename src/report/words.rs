//! The words of a run's own story, for each way to move traffic.
//!
//! One place chooses them, so that no text speaks of routes, weights or requests where a way has none.
//! What a plan says beforehand is in [`super::way`].

use crate::gate::{Baseline, Counted, Tally};
use crate::plan::Plan;
use crate::playbook::Shift;
use crate::traffic::{Share, green_tasks};

/// How traffic moves, as far as words depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Shares of listener weights.
    Weights,
    Records,
    Swap,
    /// Green's tasks beside blue's.
    Fleets,
    /// One update of the service itself: there is no second one.
    Update,
}

/// The words for the run of a plan.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    plan: &'a Plan,
    way: Way,
}

impl<'a> Words<'a> {
    pub fn new(plan: &'a Plan) -> Words<'a> {
        let way = match &plan.playbook.shift {
            Shift::ListenerWeights(_) => Way::Weights,
            Shift::DnsWeights(_) => Way::Records,
            Shift::ListenerSwap(_) => Way::Swap,
            Shift::InPlace(in_place) if in_place.staged => Way::Fleets,
            Shift::InPlace(_) => Way::Update,
        };
        Words { plan, way }
    }

    /// All is prepared, and nothing has moved.
    pub fn ready(self) -> &'static str {
        match self.way {
            Way::Weights => "green is healthy beside blue, at weight 0",
            Way::Records => "green is healthy beside blue, and no record leads to it yet",
            Way::Swap => "green is healthy beside blue, and receives nothing yet",
            Way::Fleets => "green is set up beside blue, and runs no task yet",
            Way::Update => "what the update needs is ready; the service runs as before",
        }
    }

    /// A stage begins to move traffic.
    pub fn shifting(self, stage: usize, share: Share) -> String {
        let what = match self.way {
            Way::Weights | Way::Records => format!("giving green {share} of the traffic"),
            Way::Swap => "putting green in blue's place in every listener".to_owned(),
            Way::Fleets => match (self.tasks(share), share) {
                (tasks, Share::ALL) => format!("{tasks} for green, and blue leaves discovery"),
                (tasks, _) => format!("{tasks} for green, for {share} of all"),
            },
            Way::Update => "updating the service; ECS replaces its tasks".to_owned(),
        };
        format!("stage {stage}: {what}")
    }

    /// A stage's share has been read back.
    pub fn settled(self, stage: usize, share: Share) -> String {
        let what = match self.way {
            Way::Weights => "every route shows the share".to_owned(),
            Way::Records => "Route 53's servers answer with the share".to_owned(),
            Way::Swap => "every listener leads to green".to_owned(),
            Way::Fleets if share == Share::ALL => {
                format!("green runs {}, and blue has left discovery", self.tasks(share))
            }
            Way::Fleets => format!("green runs {} beside blue", self.tasks(share)),
            Way::Update => "ECS has replaced every task".to_owned(),
        };
        format!("stage {stage}: {what}")
    }

    /// The way home begins.
    pub fn going_home(self) -> &'static str {
        match self.way {
            Way::Weights => "sending all traffic home",
            Way::Records => "sending all traffic home: every record as it was",
            Way::Swap => "sending all traffic home: blue back in its place in every listener",
            Way::Fleets => "going home: blue in discovery, and no task of green",
            Way::Update => "going home: the service gets its recorded settings back",
        }
    }

    /// The way home has been read back.
    pub fn came_home(self) -> &'static str {
        match self.way {
            Way::Weights | Way::Swap => "all traffic is home, read back",
            Way::Records => "every record is as it was, read back",
            Way::Fleets => "blue serves alone, read back",
            Way::Update => "the service runs as it did, read back",
        }
    }

    /// The end of a verb that went home.
    pub fn home(self) -> &'static str {
        match self.way {
            Way::Weights | Way::Records | Way::Swap => "all traffic is home",
            Way::Fleets => "blue serves alone",
            Way::Update => "the service runs as it did before",
        }
    }

    /// What green has a share of.
    pub fn whole(self) -> &'static str {
        match self.way {
            Way::Weights | Way::Records | Way::Swap => "traffic",
            Way::Fleets | Way::Update => "tasks",
        }
    }

    /// Where the share of a shift that is under way may show already.
    pub fn places(self) -> &'static str {
        match self.way {
            Way::Weights => "routes",
            Way::Records => "records",
            Way::Swap => "listeners",
            Way::Fleets | Way::Update => "tasks",
        }
    }

    pub fn shifted(self) -> &'static str {
        match self.way {
            Way::Weights | Way::Records | Way::Swap => "all stages have passed; green has all traffic",
            Way::Fleets => "all stages have passed; green serves alone",
            Way::Update => "the stage has passed; the updated service serves",
        }
    }

    pub fn finishing(self) -> &'static str {
        match self.way {
            Way::Update => "finishing: no way back is kept from here",
            _ => "retiring blue",
        }
    }

    /// Blue is kept for so long.
    pub fn keeping(self, over: &str) -> String {
        match self.way {
            Way::Update => format!("the way back is kept until {over}"),
            _ => format!("blue is kept until {over}"),
        }
    }

    pub fn finished(self) -> &'static str {
        match self.way {
            Way::Update => "the updated service serves, and nothing is held back any more",
            _ => "green serves in blue's place, and blue is retired",
        }
    }

    /// Counts as a heartbeat shows them; `None` where nothing can be counted.
    pub fn counts(self, tally: &Tally) -> Option<String> {
        let counted = self.plan.counted();
        let (one, bad) = match counted {
            Counted::Nothing => return None,
            Counted::Requests => ("req", "bad"),
            Counted::Flows => ("flows", "broken"),
        };
        // All traffic moves at once: what is compared is blue's past.
        let blue = if self.plan.baseline() == Baseline::Past { "blue before" } else { "blue" };
        let rate = |bad: f64, all: f64| if all > 0.0 { format!("{:.2}%", bad / all * 100.0) } else { "-".to_owned() };
        Some(format!(
            "green {:.0} {one} {:.0} {bad} ({}), {blue} {:.0} {one} {:.0} {bad} ({})",
            tally.green_requests,
            tally.green_bad,
            rate(tally.green_bad, tally.green_requests),
            tally.blue_requests,
            tally.blue_bad,
            rate(tally.blue_bad, tally.blue_requests),
        ))
    }

    fn tasks(self, share: Share) -> String {
        match green_tasks(self.plan.inventory.service.desired_count, share) {
            1 => "1 task".to_owned(),
            many => format!("{many} tasks"),
        }
    }
}
