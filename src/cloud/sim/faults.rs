//! Calls, and what goes wrong with them: the fault script, the log of calls, and refusals.
//!
//! Every call of the port is counted, so that a test can run once to learn how many calls there
//! are and then fail each of them in turn. A refusal happens before the effect; a lost answer
//! after it; a repetition is the effect twice, as when an SDK sends a request again whose answer
//! it did not get.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::scenario::Scenario;
use super::universe::{Universe, mixed};
use crate::cloud::{Cause, CloudError};

/// How many calls the log remembers.
const LOGGED_CALLS: usize = 200;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub call: FaultAt,
    pub kind: FaultKind,
}

/// Which call a fault strikes. Counting begins at 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultAt {
    /// The n-th call of all.
    Call(u64),
    /// This and every later call.
    From(u64),
    /// The n-th call of this operation.
    Nth { operation: String, n: u64 },
    /// Every call of this operation.
    Every(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The call fails and changes nothing.
    RefuseBefore(Cause),
    /// The call has its effect, and its answer is lost.
    ApplyThenUnknown,
    /// The call has its effect twice; the second answer is the one that is seen.
    Repeat,
}

/// What was asked of the universe so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLog {
    pub count: u64,
    pub by_operation: BTreeMap<String, u64>,
    /// The last calls, oldest first.
    pub recent: VecDeque<String>,
    /// Number of the last call that the `throttled` scenario refused.
    last_throttled: u64,
}

impl CallLog {
    fn enter(&mut self, operation: &str) {
        self.count += 1;
        *self.by_operation.entry(operation.to_owned()).or_default() += 1;
        if self.recent.len() == LOGGED_CALLS {
            self.recent.pop_front();
        }
        self.recent.push_back(operation.to_owned());
    }
}

impl Universe {
    /// One reading call: counted, and perhaps struck by a fault.
    pub(super) fn read<T>(
        &mut self,
        operation: &str,
        answer: impl FnOnce(&Universe) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        self.calls.enter(operation);
        match self.fault_of_this_call(operation) {
            Some(FaultKind::RefuseBefore(cause)) => Err(injected(operation, cause)),
            Some(FaultKind::ApplyThenUnknown) => Err(injected(operation, Cause::Unknown)),
            Some(FaultKind::Repeat) | None => answer(self),
        }
    }

    /// One changing call: counted, perhaps struck by a fault, its consequences drawn and judged.
    pub(super) fn change<T>(
        &mut self,
        operation: &str,
        mut effect: impl FnMut(&mut Universe) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        self.calls.enter(operation);
        let already = self.unhealthy_weights();
        let answer = match self.fault_of_this_call(operation) {
            Some(FaultKind::RefuseBefore(cause)) => Err(injected(operation, cause)),
            Some(FaultKind::ApplyThenUnknown) => effect(self).and_then(|_| Err(injected(operation, Cause::Unknown))),
            Some(FaultKind::Repeat) => {
                let first = effect(self);
                self.settle();
                first.and_then(|_| effect(self))
            }
            None => effect(self),
        };
        self.settle();
        self.judge_weights(&already);
        answer
    }

    fn fault_of_this_call(&mut self, operation: &str) -> Option<FaultKind> {
        let count = self.calls.count;
        let of_operation = self.calls.by_operation.get(operation).copied().unwrap_or_default();
        let strikes = |at: &FaultAt| match at {
            FaultAt::Call(n) => *n == count,
            FaultAt::From(n) => *n <= count,
            FaultAt::Nth { operation: wanted, n } => wanted == operation && *n == of_operation,
            FaultAt::Every(wanted) => wanted == operation,
        };
        if let Some(fault) = self.faults.iter().find(|f| strikes(&f.call)) {
            return Some(fault.kind);
        }
        // Never two in a row: a retry always gets through.
        let throttled = self.scenario == Scenario::Throttled
            && self.calls.last_throttled + 1 != count
            && mixed(&[self.seed, count]).is_multiple_of(3);
        if throttled {
            self.calls.last_throttled = count;
            return Some(FaultKind::RefuseBefore(Cause::Throttled));
        }
        None
    }
}

/// A refusal with AWS's code and text.
pub(super) fn refused(operation: &str, message: impl Into<String>) -> CloudError {
    failed(operation, Cause::Refused, message)
}

pub(super) fn not_found(operation: &str, message: impl Into<String>) -> CloudError {
    failed(operation, Cause::NotFound, message)
}

pub(super) fn failed(operation: &str, cause: Cause, message: impl Into<String>) -> CloudError {
    CloudError { operation: operation.to_owned(), cause, message: message.into() }
}

/// What AWS, or the network, says when a fault of this cause is injected.
fn injected(operation: &str, cause: Cause) -> CloudError {
    // A sweep is many requests; the first of them is the one that fails.
    let named = if operation == "observe" { "elasticloadbalancing:DescribeListeners" } else { operation };
    let message = match cause {
        Cause::Refused => "ValidationError: refused by the fault script".to_owned(),
        Cause::Denied => format!("AccessDenied: User is not authorized to perform: {named}"),
        Cause::Credentials => "ExpiredToken: The security token included in the request is expired".to_owned(),
        Cause::NotFound => "ResourceNotFoundException: not found by the fault script".to_owned(),
        Cause::Throttled => "ThrottlingException: Rate exceeded".to_owned(),
        Cause::Unreachable => "dispatch failure: connection refused".to_owned(),
        Cause::Unknown => "the connection was closed before the answer arrived".to_owned(),
    };
    failed(named, cause, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Sim, ViolationKind};
    use super::*;
    use crate::cloud::Cloud;

    fn with_fault(call: FaultAt, kind: FaultKind) -> Sim {
        let sim = sim(Scenario::Healthy);
        sim.with(|u| u.faults.push(Fault { call, kind })).unwrap();
        sim
    }

    #[test]
    fn a_refused_call_changes_nothing() {
        let sim = with_fault(FaultAt::Call(1), FaultKind::RefuseBefore(Cause::Throttled));
        let error = create_group(&sim).unwrap_err();
        assert_eq!((error.cause, error.message.as_str()), (Cause::Throttled, "ThrottlingException: Rate exceeded"));
        assert_eq!(sim.target_group_named("web-ipv6"), Ok(None));
        create_group(&sim).unwrap();
    }

    #[test]
    fn a_lost_answer_leaves_the_effect() {
        let sim = with_fault(FaultAt::Call(1), FaultKind::ApplyThenUnknown);
        assert_eq!(create_group(&sim).unwrap_err().cause, Cause::Unknown);
        assert!(sim.target_group_named("web-ipv6").unwrap().is_some());
    }

    #[test]
    fn a_repeated_call_acts_twice() {
        let operation = "ecs:RegisterTaskDefinition".to_owned();
        let sim = with_fault(FaultAt::Nth { operation, n: 1 }, FaultKind::Repeat);
        assert!(register(&sim).unwrap().ends_with("web-ipv6:2"));
    }

    #[test]
    fn writes_of_one_shift_fail_one_by_one() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        pass(&sim, 120);
        let call = FaultAt::Nth { operation: "elasticloadbalancing:ModifyRule".to_owned(), n: 2 };
        sim.with(|u| u.faults.push(Fault { call, kind: FaultKind::RefuseBefore(Cause::Denied) })).unwrap();
        let outcomes = sim.set_actions(&shift(&sim, &green, 10));
        let failed: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, false, false]);
        assert_eq!(sim.universe().violations, []);
    }

    #[test]
    fn blind_metrics_do_not_hide_the_rest() {
        let sim = with_fault(FaultAt::Every("cloudwatch:GetMetricData".to_owned()), FaultKind::ApplyThenUnknown);
        assert!(minutes(&sim, "arn:none", 3).is_err());
        let from = FaultAt::From(0);
        sim.with(|u| u.faults.push(Fault { call: from, kind: FaultKind::RefuseBefore(Cause::Credentials) })).unwrap();
        let error = sim.observe(&crate::cloud::Watch::default()).unwrap_err();
        assert_eq!(error.operation, "elasticloadbalancing:DescribeListeners");
    }

    #[test]
    fn throttling_lets_every_retry_through() {
        let sim = sim(Scenario::Throttled);
        let mut refused = 0;
        for _ in 0..300 {
            if let Err(error) = sim.identity() {
                assert_eq!(error.cause, Cause::Throttled);
                refused += 1;
                sim.identity().unwrap();
            }
        }
        assert!((60..140).contains(&refused), "{refused}");
        assert_eq!(sim.universe().calls.recent.len(), LOGGED_CALLS);
        assert!(sim.universe().violations.iter().all(|v| v.kind != ViolationKind::TrafficUnserved));
    }
}
