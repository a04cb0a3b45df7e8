//! Questions about what is counted, and the metrics that they make together.
//!
//! Which questions a run asks is the plan's to say; what each of them rests on (its part in the
//! combination, its margin, its phi from blue's last day, the minutes it leaves out) is said here once, so
//! that the promise is measured with the very questions that runs ask. It knows no playbook and no minute.

use super::Counted;
use super::combination::{Role, weights};
use super::ledger::{Direction, Metric, Test};
use super::limit::Limit;
use super::protocol::Series;
use super::tail::{COLD_MINUTES, SIGN_RATIO, Slowness};
use super::trial::Margin;
use crate::inventory::{Past, Slow};

/// A metric of a protocol before its weight is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    series: Series,
    name: String,
    role: Role,
    test: Test,
    past: Past,
    cold_minutes: u32,
}

impl Question {
    fn new(series: Series, role: Role, test: Test, past: Past) -> Question {
        Question { name: series.name(), series, role, test, past, cold_minutes: 0 }
    }

    /// Failures beside blue's.
    pub fn errors(counted: Counted, margin: Margin, past: Past) -> Question {
        let name = if counted == Counted::Flows { "resets" } else { "errors" }.to_owned();
        Question { name, ..Question::new(Series::Errors, Role::Errors, Test::Beside(margin), past) }
    }

    /// Failures against a limit.
    pub fn limit(counted: Counted, limit: Limit, past: Past) -> Question {
        let name = if counted == Counted::Flows { "hard limit of resets" } else { "hard limit" }.to_owned();
        Question { name, ..Question::new(Series::Errors, Role::HardLimit, Test::Against(limit), past) }
    }

    /// Requests slower than blue's 95th and 99th percentile.
    pub fn slow(slow: [Slow; 2]) -> [Question; 2] {
        let of = |index: usize, role| {
            let test = Test::Beside(Slowness::ALL[index].margin());
            let asked = Question::new(Series::Slow(index), role, test, slow[index].past);
            Question { cold_minutes: COLD_MINUTES, ..asked }
        };
        [of(0, Role::SlowestTwentieth), of(1, Role::SlowestPercent)]
    }

    /// Requests slower than so many times one of blue's percentiles, as people allow it.
    pub fn slower(slow: [Slow; 2], slowness: Slowness, ratio: f64) -> Question {
        let index = usize::from(slowness == Slowness::P99);
        let name = format!("slower than {ratio} x {}", slowness.statistic());
        let test = Test::Beside(slowness.margin_of_multiple());
        let asked = Question::new(Series::Slow(index), Role::SlowestPercent, test, slow[index].past);
        Question { name, cold_minutes: COLD_MINUTES, ..asked }
    }

    /// A percentile (0 to 1), or another statistic, of the latency beside blue's, by votes of the minutes.
    pub fn latency(percentile: Option<f64>, ratio: Option<f64>) -> Question {
        let test = Test::LevelBeside { ratio: ratio.unwrap_or(SIGN_RATIO), worse: Direction::Higher };
        let asked = Question::new(Series::Latency { percentile }, Role::SlowestPercent, test, Past::default());
        Question { cold_minutes: COLD_MINUTES, ..asked }
    }

    /// Requests that the load balancer answered itself: against a limit where it is shared by both sides,
    /// otherwise beside blue's.
    pub fn unserved(past: Past, shared: bool) -> Question {
        let limit = Test::Against(Limit::of_unserved(past.rate));
        let test = if shared { limit } else { Test::Beside(Margin::ERRORS) };
        Question::new(Series::Unserved { shared }, Role::Unserved, test, past)
    }

    /// Requests that the client got wrong.
    pub fn client_errors(past: Past) -> Question {
        Question::new(Series::ClientErrors, Role::ClientErrors, Test::Beside(Margin::CLIENT_ERRORS), past)
    }

    /// The user's own counts, such as [`Series::Counted`], beside blue's; how they cluster is not known.
    pub fn counted(series: Series, margin: Margin, weight: Option<f64>) -> Question {
        Question::new(series, Role::Custom { weight }, Test::Beside(margin), Past::default())
    }

    /// The user's own level beside blue's.
    pub fn level(name: String, ratio: f64, worse: Direction, weight: Option<f64>) -> Question {
        let test = Test::LevelBeside { ratio, worse };
        Question::new(Series::Level { name }, Role::Custom { weight }, test, Past::default())
    }
}

/// Questions as the parts of a protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// Each once.
    pub series: Vec<Series>,
    /// Blue's usual rate in each series.
    pub usual: Vec<f64>,
    pub metrics: Vec<Metric>,
}

/// Weighs the questions.
pub fn weighed(questions: Vec<Question>) -> Weighed {
    let roles: Vec<Role> = questions.iter().map(|question| question.role).collect();
    let (mut series, mut usual, mut metrics) = (Vec::new(), Vec::new(), Vec::new());
    for (question, weight) in questions.into_iter().zip(weights(&roles)) {
        let known = series.iter().position(|known| *known == question.series);
        let index = known.unwrap_or(series.len());
        if known.is_none() {
            series.push(question.series);
            usual.push(question.past.rate);
        }
        let Question { name, test, past, cold_minutes, .. } = question;
        metrics.push(Metric { name, series: index, test, weight, phi: past.phi.max(1.0), cold_minutes });
    }
    Weighed { series, usual, metrics }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_taken_once_and_weights_add_up() {
        let past = Past { rate: 0.001, phi: 3.0, ..Past::default() };
        let slow = [Slow { bound: 0.2, past }, Slow { bound: 0.4, past: Past { phi: 0.2, ..past } }];
        let mut asked = vec![
            Question::errors(Counted::Requests, Margin::ERRORS, past),
            Question::limit(Counted::Requests, Limit::from_history(0.001), past),
        ];
        asked.extend(Question::slow(slow));
        asked.push(Question::client_errors(past));
        asked.push(Question::level("depth".to_owned(), 1.5, Direction::Higher, Some(0.1)));
        let Weighed { series, usual, metrics } = weighed(asked);
        assert_eq!(series.len(), 5, "errors and the limit are about one series: {series:?}");
        let found: Vec<(usize, &str, f64, u32)> =
            metrics.iter().map(|m| (m.series, m.name.as_str(), m.phi, m.cold_minutes)).collect();
        let expected = [
            (0, "errors", 3.0, 0),
            (0, "hard limit", 3.0, 0),
            (1, "slower than p95", 3.0, COLD_MINUTES),
            (2, "slower than p99", 1.0, COLD_MINUTES),
            (3, "client errors", 3.0, 0),
            (4, "depth", 2.0, 0),
        ];
        assert_eq!(found, expected);
        assert_eq!(usual, [0.001, 0.001, 0.001, 0.001, 0.0]);
        assert!((metrics.iter().map(|m| m.weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
