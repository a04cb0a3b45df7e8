//! How long a call may take, and when it may be tried again.
//!
//! A run's journal settles every unknown outcome by reading back, so patience beyond the SDK's own
//! buys nothing: it only hides what happens, and keeps a mutation in flight for longer than the
//! lease that guards it. Hence standard retries, few attempts, and an end to everything.
//!
//! Reads are retried as the SDK sees fit. A mutation is retried only after an attempt that is
//! known to have changed nothing (throttled, or never connected). Were it retried after a lost
//! answer, the last attempt's refusal would be taken for the outcome of the call, and a change
//! that did happen would be journaled as one that did not.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ecs::config::interceptors::InterceptorContext;
use aws_sdk_ecs::config::retry::{ClassifyRetry, RetryAction};

use super::errors::{leaves_open, never_sent};

/// Time for one TCP and TLS handshake.
const CONNECT: Duration = Duration::from_secs(3);
/// Time for one attempt: the slowest answer of the APIs in use takes a few seconds.
const ATTEMPT: Duration = Duration::from_secs(8);
/// Time for a call with all its attempts and the pauses between them.
const CALL: Duration = Duration::from_secs(25);
pub(super) const READ_ATTEMPTS: u32 = 3;
/// One more than reads, because all rules of a shift are written at once and ELBv2 lets a burst of
/// 20 through, then 3 a second; still few enough that connecting in vain ends before `CALL`.
const WRITE_ATTEMPTS: u32 = 4;

pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).operation_timeout(CALL).build()
}

pub(super) fn reading() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(READ_ATTEMPTS)
}

/// How mutations are tried again, where `reading` is how reads are.
pub(super) fn writing(reading: Option<&RetryConfig>) -> RetryConfig {
    reading.cloned().unwrap_or_else(self::reading).with_max_attempts(WRITE_ATTEMPTS)
}

/// Forbids another attempt after one that may have taken effect. Runs last, so it has the last word.
#[derive(Debug)]
pub(super) struct OnlyAfterNothing;

impl ClassifyRetry for OnlyAfterNothing {
    fn classify_retry(&self, attempt: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = attempt.output_or_error() else {
            return RetryAction::NoActionIndicated;
        };
        let may_have_happened = match error.as_connector_error() {
            Some(connector) => !never_sent(connector),
            None if error.is_operation_error() => {
                attempt.response().is_none_or(|response| leaves_open(response.status().as_u16()))
            }
            None => error.is_timeout_error() || error.is_response_error(),
        };
        if may_have_happened { RetryAction::RetryForbidden } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "only after an attempt that changed nothing"
    }
}
