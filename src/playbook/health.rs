//! When green counts as healthy: what the judge is promised, and what people bound themselves.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;
use crate::gate::exposure::ACCEPTED_FAILURES;
use crate::gate::trial::Margin;

/// Rates above 0% and up to 100%, for editors.
const ABOVE_NOTHING: &str = r"^\s*(?!0+(\.0+)?\s*%)(100(\.0+)?|\d{1,2}(\.\d+)?)\s*%\s*$";
/// Rates above 0% and up to 50%, for editors.
const UP_TO_HALF: &str = r"^\s*(?!0+(\.0+)?\s*%)(50(\.0+)?|[0-4]?\d(\.\d+)?)\s*%\s*$";

/// When green counts as healthy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// The chance that a healthy green is rolled back by bad luck, over the whole run and however often
    /// it is looked at: above 0%, at most 50%.
    #[schemars(extend("pattern" = UP_TO_HALF))]
    pub false_rollback: Rate,
    pub errors: ErrorCriterion,
    /// The error rate that green must not exceed, whatever blue's is; by default five times blue's of
    /// the last 24 hours, and at least 0.5%.
    #[schemars(extend("pattern" = ABOVE_NOTHING))]
    pub hard_limit: Option<Rate>,
    /// Failed requests that are accepted in a stage until traffic is home. A stage passes only when
    /// what was seen rules out that the next one costs more.
    #[schemars(range(min = 1, max = Health::MOST_FAILURES))]
    pub accepted_failures: u64,
    /// By default requests that are slower than blue's 95th and 99th percentile of the last 24 hours
    /// are counted and compared.
    pub latency: Option<LatencyCriterion>,
    /// CloudWatch alarms, metric or composite, that must not be in `ALARM`.
    #[schemars(length(max = 100), extend("uniqueItems" = true))]
    pub alarms: Vec<String>,
    /// Metrics of your own, and metric math over them: bounded by a ceiling or floor, counted as bad ones
    /// of all, or compared with blue's.
    #[schemars(length(max = 50))]
    pub metrics: Vec<CustomMetric>,
    /// Requests, or flows through a Network Load Balancer, that green must have answered in a stage before it may count as healthy.
    pub min_requests: u64,
    /// What a stage does whose bake is over, and as long again, without evidence enough.
    pub on_no_data: OnNoData,
    /// How long `start` waits for green to become healthy.
    pub start_timeout: Period,
}

/// A CloudWatch metric, or metric math, read minute by minute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomMetric {
    /// Names it in verdicts.
    pub name: String,
    /// Name by which expressions refer to it: `[a-z][a-zA-Z0-9_]*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z][a-zA-Z0-9_]{0,254}$"))]
    pub id: Option<String>,
    /// CloudWatch namespace, such as `Shop/Checkout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the metric in its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its dimensions, all of them: CloudWatch knows a metric only by its whole set. In a value, `{service}`,
    /// `{family}` (of the task definition), `{target_group}` and `{load_balancer}` stand for green's and for
    /// blue's: the metric is then of each side. `{{` and `}}` are braces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// CloudWatch statistic: `Average`, `Sum`, `Minimum`, `Maximum`, `SampleCount`, or a percentile.
    #[serde(default = "CustomMetric::default_statistic", skip_serializing_if = "CustomMetric::is_default_statistic")]
    #[schemars(regex(pattern = r"^(Average|Sum|Minimum|Maximum|SampleCount|p\d{1,3}(\.\d{1,3})?)$"))]
    pub statistic: String,
    /// Metric math over the ids of other entries, instead of a metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The id of the entry that counts all of which this one counts the bad ones (with `direction: decrease`
    /// the good ones): both are judged as failures of requests are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Minutes in which green's exceeds blue's by this factor (at least 1), or with `direction: decrease`
    /// falls below blue's by it, speak against green.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub ratio: Option<f64>,
    /// Which change is worse; for `of` and `ratio`.
    #[serde(default, skip_serializing_if = "Worse::is_increase")]
    pub direction: Worse,
    /// Its part in the evidence, beside 0.4 of errors, 0.2 of the hard limit, 0.25 of latency, 0.1 of
    /// what the load balancer answers itself and 0.05 of client errors; by default an equal part of 0.1. For `of` and `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 10))]
    pub weight: Option<f64>,
    /// Green is degraded while it is above this, outside of the declared chance of a false rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
    /// Green is degraded while it is below this, outside of the declared chance of a false rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// What a minute means in which it is not reported.
    #[serde(default)]
    pub missing: Missing,
}

/// Which change of a metric is worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Worse {
    /// As of errors and times.
    #[default]
    Increase,
    /// As of what goes well.
    Decrease,
}

impl Worse {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_increase(&self) -> bool {
        *self == Worse::Increase
    }
}

/// What a minute means in which a metric is not reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Nobody knows.
    #[default]
    Blind,
    /// Zero, as for a counter of errors.
    Zero,
}

impl CustomMetric {
    /// What is measured where the playbook does not say.
    pub fn default_statistic() -> String {
        "Average".to_owned()
    }

    // An expression has no statistic, and so none may be written out beside one.
    fn is_default_statistic(statistic: &str) -> bool {
        statistic == CustomMetric::default_statistic()
    }
}

/// How green's error rate is judged: 5xx answers and connection errors of all requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorCriterion {
    /// The same as `health.hard_limit`, under its older name.
    #[schemars(extend("pattern" = ABOVE_NOTHING))]
    pub ceiling: Option<Rate>,
    /// A green that fails this many times as often as blue (plus 0.01%) is still healthy (at least 1).
    #[schemars(range(min = 1))]
    pub ratio: f64,
}

/// Bounds of green's latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyCriterion {
    /// CloudWatch statistic of `TargetResponseTime`: `Average`, or a percentile such as `p99` or `p99.9`.
    #[serde(default = "LatencyCriterion::default_statistic")]
    #[schemars(regex(pattern = r"^(Average|p\d{1,3}(\.\d{1,3})?)$"))]
    pub statistic: String,
    /// Green is degraded above this latency, unless blue is above it too.
    #[serde(default)]
    pub ceiling: Option<Period>,
    /// Green's percentile may be this many times blue's (at least 1): of `p95` and `p99` requests slower
    /// than that are counted, of others the minutes vote in which green's is above.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub ratio: Option<f64>,
}

/// What a stage does whose bake is over without enough requests to judge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNoData {
    /// Stop moving and say so.
    #[default]
    Hold,
    /// Go on: the service has too little traffic to be judged by requests.
    Advance,
    /// Send traffic home: what cannot be judged must not stay.
    Rollback,
}

/// A part of all requests: a percentage with as many digits as it takes.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// The chance of a false rollback where the playbook does not say.
    pub const FALSE_ROLLBACK: Rate = Rate(0.01);

    /// From a fraction, 0 to 1; `None` for anything else.
    pub fn new(fraction: f64) -> Option<Rate> {
        (0.0..=1.0).contains(&fraction).then_some(Rate(fraction))
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        self.0
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Rounded, because 0.07 x 100 is not 7.
        write!(f, "{}%", (self.0 * 1e14).round() / 1e12)
    }
}

impl std::str::FromStr for Rate {
    type Err = ();
    fn from_str(text: &str) -> Result<Rate, ()> {
        let digits = text.trim().strip_suffix('%').ok_or(())?.trim();
        let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.len() <= 12;
        let percent: f64 = Some(digits).filter(|_| plain).ok_or(())?.parse().map_err(|_| ())?;
        Rate::new(percent / 100.0).ok_or(())
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("a percentage from 0% to 100%"))
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A percentage from 0% to 100%, such as 0.25%.",
            "pattern": r"^\s*(100(\.0+)?|\d{1,2}(\.\d+)?)\s*%\s*$"
        })
    }
}

impl Health {
    /// The most failed requests that anybody can accept; far above what a load balancer answers.
    pub const MOST_FAILURES: u64 = 1 << 40;

    /// The limit that the playbook sets, under either of its names.
    pub fn limit(&self) -> Option<Rate> {
        self.hard_limit.or(self.errors.ceiling)
    }
}

impl Default for Health {
    fn default() -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "500")]
        let accepted_failures = ACCEPTED_FAILURES as u64;
        Health {
            false_rollback: Rate::FALSE_ROLLBACK,
            errors: ErrorCriterion::default(),
            hard_limit: None,
            accepted_failures,
            latency: None,
            alarms: Vec::new(),
            metrics: Vec::new(),
            min_requests: 50,
            on_no_data: OnNoData::Hold,
            start_timeout: Period::minutes(20),
        }
    }
}

impl Default for ErrorCriterion {
    fn default() -> Self {
        ErrorCriterion { ceiling: None, ratio: Margin::ERRORS.ratio }
    }
}

impl LatencyCriterion {
    /// What is measured where the playbook does not say.
    pub fn default_statistic() -> String {
        "p99".to_owned()
    }

    /// The percentile, from 0 to 1, where the statistic is one.
    pub fn percentile(&self) -> Option<f64> {
        self.statistic.strip_prefix('p')?.parse().ok().map(|percent: f64| percent / 100.0)
    }
}
