//! What the user wishes: the playbook as checked data.
//!
//! A [`Playbook`] exists only when its text had no blocking finding, so nothing behind this module
//! checks these values again. Decoding walks a spanned YAML tree instead of deserialising straight
//! into these types, because serde stops at the first mistake and we show all of them at once.

mod around;
mod comparison;
mod decode;
mod field;
mod findings;
mod health;
mod hooks;
mod metric;
mod name;
mod quantity;
mod reader;
mod schema;
mod sides;
mod source;
mod spelling;
mod stages;
mod syntax;
mod tree;
mod unknown;
mod variable;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::around::{
    CommandHook, Expect, Hook, Hooks, Notify, Occasion, OnFailure, Smoke, StageHooks, Via, ViaHeader, WebhookHook, site,
};
pub use self::decode::{Decoded, decode};
pub use self::field::{Field, SECTIONS, Section};
pub use self::health::{CustomMetric, ErrorCriterion, Health, LatencyCriterion, Missing, OnNoData, Rate, Worse};
pub use self::schema::schema;
pub use self::sides::SideNames;
use crate::inventory::{Registry, TargetGroup};
use crate::traffic::Share;

/// A whole playbook, defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Version of the playbook's format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Names the run: 1 to 24 characters of `a-z`, `0-9` and `-`, beginning with a letter.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,23}$"))]
    pub name: String,
    /// AWS region; by default that of the AWS configuration.
    #[serde(default)]
    pub region: Option<String>,
    /// Where journals live: a directory. By default `.migrate`.
    #[serde(default)]
    pub state: Option<String>,
    pub service: BlueService,
    pub green: Green,
    pub shift: Shift,
    /// Ascending shares, the last of which is 100 %.
    #[schemars(length(min = 1))]
    pub stages: Vec<Stage>,
    #[serde(default)]
    pub health: Health,
    #[serde(default)]
    pub rollback: Rollback,
    /// What a run does when it is stopped by a signal.
    #[serde(default)]
    pub on_cancel: OnCancel,
    #[serde(default)]
    pub finish: Finish,
    /// What is called at which moment of the run.
    #[serde(default)]
    pub hooks: Hooks,
    /// Who is told what becomes of the run.
    #[serde(default)]
    pub notify: Notify,
}

/// The dual-stack service that serves today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlueService {
    /// Cluster name or ARN.
    pub cluster: String,
    /// Service name.
    pub name: String,
    /// Restricts the migration to the target groups of this container, where the service has several.
    #[serde(default)]
    pub container: Option<String>,
    /// Restricts the migration to these target groups (names or ARNs), where the service has several.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub target_groups: Vec<String>,
}

/// The IPv6-only service that will serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Green {
    /// Service name; by default `<blue's name>-ipv6`.
    #[serde(default)]
    pub name: Option<String>,
    pub network: Network,
    #[serde(default)]
    pub task: Task,
    /// Number of tasks; by default as many as blue wants when the run starts.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub desired_count: Option<u32>,
    /// Tags for everything that is created, besides blue's own.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// Where green's tasks live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Existing IPv6-only subnets, 1 to 16 of one VPC.
    #[schemars(length(min = 1, max = 16), inner(regex(pattern = r"^subnet-[0-9a-z]+$")), extend("uniqueItems" = true))]
    pub subnets: Vec<String>,
    /// Security groups, at most 5; by default blue's own.
    #[serde(default)]
    #[schemars(length(max = 5), inner(regex(pattern = r"^sg-[0-9a-z]+$")), extend("uniqueItems" = true))]
    pub security_groups: Vec<String>,
}

/// What differs between blue's and green's task definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Image to use by container name, instead of the automatic rewrite of ECR names.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Environment variables to add to, or to replace in, every container.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// How traffic moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shift {
    /// Weighted target groups in the actions of an Application Load Balancer's listeners and rules.
    ListenerWeights(ListenerWeights),
    /// Weighted Route 53 records over two load balancers, one for each side.
    DnsWeights(DnsWeights),
    /// Green's target groups in blue's place, all at once: for listeners of a Network Load Balancer.
    ListenerSwap(ListenerSwap),
    /// One update of the service itself, or green's tasks in proportion: for services without a load balancer.
    InPlace(InPlace),
}

/// Settings of [`Shift::ListenerWeights`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerWeights {
    /// How long a client stays on its side while the run is open, where blue's targets are sticky: 1 s
    /// to 7 days. By default as long as its target keeps it, and at most an hour.
    pub stickiness: Option<Period>,
    /// What `start` does where the load balancer does not take both address families in one action,
    /// which AWS documents for neither yes nor no; by default it undoes what it did and says so.
    pub fallback: Option<Fallback>,
}

/// Another way to move traffic, for the case that the first is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fallback {
    /// As [`Shift::DnsWeights`].
    DnsWeights(DnsWeights),
}

/// The longest that a client stays on its side where the playbook does not say.
const STICKINESS_SECONDS: i32 = 3600;

impl ListenerWeights {
    /// Seconds for which an action that names this blue group and its twin keeps a client on its side;
    /// `None` where the group's targets are not sticky.
    pub fn sticky_seconds(&self, group: &TargetGroup) -> Option<i32> {
        if !group.sticky() {
            return None;
        }
        let wished = self.stickiness.and_then(|p| i32::try_from(p.0.as_secs()).ok());
        let own = group.attributes.get("stickiness.lb_cookie.duration_seconds").and_then(|v| v.parse().ok());
        Some(wished.unwrap_or(own.unwrap_or(STICKINESS_SECONDS).min(STICKINESS_SECONDS)).max(1))
    }
}

/// Settings of [`Shift::DnsWeights`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsWeights {
    /// Names of the records that move; by default every record that leads to blue's load balancer.
    #[schemars(extend("uniqueItems" = true))]
    pub records: Vec<String>,
    /// Hosted zone of the records, by name or id; by default every zone that can hold them is asked.
    pub zone: Option<String>,
    /// Name or ARN of an existing load balancer for green; by default blue's is copied.
    pub green_load_balancer: Option<String>,
}

/// Settings of [`Shift::ListenerSwap`]; there are none yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSwap {}

/// Settings of [`Shift::InPlace`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InPlace {
    /// Whether green stands beside blue and both are scaled in proportion to the stage, where service
    /// discovery can name both; otherwise the service is updated at once.
    pub staged: bool,
    /// Name of the Cloud Map service that is created where blue's has A records, which IPv6-only tasks
    /// cannot be registered in; by default `<its name>-ipv6`. Not with `staged`.
    #[schemars(length(min = 1, max = 127))]
    pub registry: Option<String>,
}

impl Shift {
    /// Its key in a playbook.
    pub fn name(&self) -> &'static str {
        match self {
            Shift::ListenerWeights(_) => "listener_weights",
            Shift::DnsWeights(_) => "dns_weights",
            Shift::ListenerSwap(_) => "listener_swap",
            Shift::InPlace(_) => "in_place",
        }
    }

    /// Whether the service itself is updated, and no second one stands beside it.
    pub fn updates_in_place(&self) -> bool {
        matches!(self, Shift::InPlace(InPlace { staged: false, .. }))
    }

    /// Whether traffic can only move all at once, so that there is one stage, of 100 %.
    pub fn at_once(&self) -> bool {
        matches!(self, Shift::ListenerSwap(_) | Shift::InPlace(InPlace { staged: false, .. }))
    }
}

/// One shift, then a bake, judged by the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Share of traffic that green receives in this stage.
    pub green: Share,
    /// How long the stage is watched before it may count as healthy.
    pub bake: Period,
    /// `advance --all` stops before this stage; a plain `advance` is the approval.
    #[serde(default)]
    pub approve: bool,
    /// A request that green must answer before this stage begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoke: Option<Smoke>,
    /// What is called around this stage's shift, after the `hooks` for every stage.
    #[serde(default)]
    pub hooks: StageHooks,
}

/// What a rollback leaves behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// What becomes of green once traffic is home.
    pub green: AfterRollback,
}

/// What becomes of green after a rollback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterRollback {
    /// Green stays, without traffic, to be looked at.
    #[default]
    Keep,
    /// Everything that the run created is removed.
    Remove,
}

/// What a run does when it is stopped by a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCancel {
    /// The weights stay as they are; the run can be resumed.
    #[default]
    Hold,
    /// Traffic goes home before the process ends.
    Rollback,
}

/// What `migrate finish` does with blue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Finish {
    /// How long blue stays untouched after the last stage's verdict.
    pub keep_blue: Period,
    /// What becomes of blue after that.
    pub blue: RetireBlue,
}

/// What becomes of blue when a run is finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetireBlue {
    /// Desired count 0; the service and its target groups stay.
    #[default]
    ScaleToZero,
    /// The service is deleted; its target groups stay.
    Remove,
}

/// A length of time, written as people write it: `90s`, `15m`, `1h30m`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// A period of whole minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Period(Duration::from_secs(minutes * 60))
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = humantime::format_duration(self.0).to_string();
        f.write_str(&text.replace(' ', ""))
    }
}

impl std::str::FromStr for Period {
    type Err = humantime::DurationError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // humantime panics where a sum of huge terms overflows; no wait needs that many digits.
        let huge = text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 10);
        if huge || text.len() > 64 {
            return Err(humantime::DurationError::NumberOverflow);
        }
        humantime::parse_duration(text).map(Period)
    }
}

impl Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time such as 90s, 15m or 1h30m.",
            "pattern": r"^\s*(\d+(\.\d+)?\s*[a-zA-Z]+\s*)+$"
        })
    }
}

impl Default for Finish {
    fn default() -> Self {
        Finish { keep_blue: Period::minutes(24 * 60), blue: RetireBlue::ScaleToZero }
    }
}

impl Playbook {
    /// Name of the Cloud Map service that has to be created, where one of blue's takes no IPv6-only
    /// tasks and the service is updated at once.
    pub fn new_registry_name(&self, registries: &[Registry]) -> Option<String> {
        let Shift::InPlace(InPlace { staged: false, registry }) = &self.shift else { return None };
        let old = registries.iter().find(|r| !r.takes_ipv6_only())?;
        Some(registry.clone().unwrap_or_else(|| format!("{}-ipv6", old.name)))
    }

    /// The same with its fallback for the way to move traffic; `None` where it has none.
    pub fn fallen_back(&self) -> Option<Playbook> {
        let Shift::ListenerWeights(ListenerWeights { fallback: Some(Fallback::DnsWeights(dns)), .. }) = &self.shift
        else {
            return None;
        };
        Some(Playbook { shift: Shift::DnsWeights(dns.clone()), ..self.clone() })
    }

    /// Whether a run of this playbook may be `planned`: the same, or with the fallback.
    pub fn describes(&self, planned: &Playbook) -> bool {
        self == planned || self.fallen_back().as_ref() == Some(planned)
    }

    /// Name of the service that the run creates.
    pub fn green_name(&self) -> String {
        self.green.name.clone().unwrap_or_else(|| format!("{}-ipv6", self.service.name))
    }
}
