//! What we ask of the world, in our words: the port that AWS and the simulated cloud implement.
//!
//! Plain data in, plain data out, synchronous, `&self`, `dyn`. Reads fan out inside a verb, so one
//! call of a read verb costs as few sequential round trips as the APIs allow. Every mutating verb
//! is one idempotent AWS change that the journal can intend: calling it again with the same
//! arguments does no harm. Nothing here knows what a run, a stage or a journal is.

pub mod aws;
pub mod balancers;
pub mod names;
pub mod notices;
pub mod registries;
pub mod sim;
pub mod ties;
pub mod trials;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::balancers::Balancers;
use self::names::Names;
use self::notices::Notices;
use self::registries::Registries;
use self::ties::Ties;
use self::trials::Trials;
pub use crate::gate::day::Day;
pub use crate::gate::{Counted, Counts, LevelQuery, LevelSource, Minute, Whose};
use crate::inventory::{
    Action, Alarm, LoadBalancer, Record, Route, RouteAt, ScalableTarget, Service, ServiceRegistry, Suspension,
    TargetGroup, TargetHealth, Task, TaskDefinition,
};

/// Everything that `migrate` asks of a cloud. What only some ways of moving traffic need stands in
/// traits of its own.
pub trait Cloud: Balancers + Names + Registries + Notices + Ties + Trials + Sync {
    /// Who we are, where, and for how long. One STS call; the expiry comes from the credentials.
    fn identity(&self) -> Result<Identity, CloudError>;

    /// The service, or `None` where cluster or service do not exist (or the service is `INACTIVE`).
    fn service(&self, cluster: &str, name: &str) -> Result<Option<Service>, CloudError>;

    fn task_definition(&self, arn: &str) -> Result<TaskDefinition, CloudError>;

    /// Target groups by ARN, with attributes and tags. One that does not exist is an error of kind
    /// [`Cause::NotFound`].
    fn target_groups(&self, arns: &[String]) -> Result<Vec<TargetGroup>, CloudError>;

    /// The target group of this name, or `None`.
    fn target_group_named(&self, name: &str) -> Result<Option<TargetGroup>, CloudError>;

    fn load_balancers(&self, arns: &[String]) -> Result<Vec<LoadBalancer>, CloudError>;

    /// Every default action and every rule of these load balancers, all pages, listeners in the
    /// order of their ports, rules in the order of their priorities, default actions last.
    fn routes(&self, load_balancers: &[String]) -> Result<Vec<Route>, CloudError>;

    fn scaling(&self, cluster: &str, service: &str) -> Result<Option<ScalableTarget>, CloudError>;

    /// The newest revision in the task definition family that bears all these tags, or `None`.
    fn task_definition_tagged(
        &self,
        family: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<Option<String>, CloudError>;

    /// Tasks of a service: those running, and the stopped ones that ECS still remembers.
    fn tasks(&self, cluster: &str, service: &str) -> Result<Vec<Task>, CloudError>;

    /// Everything that a decision needs, in one parallel sweep.
    fn observe(&self, watch: &Watch) -> Result<Sight, CloudError>;

    /// The minutes of a day by availability zone, with the percentiles of the whole day: failures, client
    /// errors, and samples slower than those percentiles. Flows have no latency.
    fn day(&self, window: &DayWindow) -> Result<Day, CloudError>;

    /// Creates a target group like `from` with `ip_address_type` `ipv6`. Returns its ARN. Where one
    /// with this name, these settings and these tags exists, returns that.
    fn create_target_group(&self, wanted: &NewTargetGroup) -> Result<String, CloudError>;

    /// Sets these attributes of a target group.
    fn set_target_group_attributes(&self, arn: &str, attributes: &BTreeMap<String, String>) -> Result<(), CloudError>;

    /// Creates a rule, and returns its ARN. The priority is chosen from the end of the free ones.
    fn create_probe_rule(&self, wanted: &NewRule) -> Result<String, CloudError>;

    /// Deletes a rule; one that does not exist counts as deleted.
    fn delete_rule(&self, arn: &str) -> Result<(), CloudError>;

    /// Registers a copy of a task definition in another family, with the edits, and returns its ARN.
    fn register_task_definition(&self, wanted: &NewTaskDefinition) -> Result<String, CloudError>;

    /// Creates a service like another, with the edits, and returns its ARN.
    fn create_service(&self, wanted: &NewService) -> Result<String, CloudError>;

    fn set_desired_count(&self, cluster: &str, service: &str, count: u32) -> Result<(), CloudError>;

    /// Replaces the actions of each route, all of them concurrently, and answers for each in order.
    /// OIDC actions are sent with `UseExistingClientSecret`.
    fn set_actions(&self, writes: &[RouteWrite]) -> Vec<Result<(), CloudError>>;

    /// Sets `SuspendedState` of a scalable target, and nothing else of it.
    fn suspend_scaling(&self, resource: &str, suspended: Suspension) -> Result<(), CloudError>;

    /// Gives a service the auto scaling of another, with everything suspended: target, policies
    /// other than step scaling, scheduled actions. What is there already under these names is
    /// replaced, so a copy that broke off is completed by the next.
    fn copy_scaling(&self, wanted: &NewScaling) -> Result<(), CloudError>;

    /// Takes a service's auto scaling away, policies and scheduled actions included; a service that
    /// has none counts as done.
    fn remove_scaling(&self, cluster: &str, service: &str) -> Result<(), CloudError>;

    /// Deletes a service with `force`; one that does not exist counts as deleted.
    fn delete_service(&self, cluster: &str, service: &str) -> Result<(), CloudError>;

    /// Deletes a target group; one that does not exist counts as deleted.
    fn delete_target_group(&self, arn: &str) -> Result<(), CloudError>;

    /// Deregisters a task definition; one that is not active counts as deregistered.
    fn deregister_task_definition(&self, arn: &str) -> Result<(), CloudError>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub account: String,
    /// ARN of the caller.
    pub caller: String,
    pub region: String,
    /// When the credentials in use expire; `None` for credentials that do not.
    pub expires: Option<DateTime<Utc>>,
}

/// What to look at in one sweep. An empty part costs no call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    /// ARNs of the listeners that are described, and with them every rule.
    pub listeners: Vec<String>,
    /// Target groups whose targets' health is described.
    pub target_groups: Vec<String>,
    /// Services by cluster and name.
    pub services: Vec<(String, String)>,
    /// Names whose records are read, each with the id of its hosted zone.
    pub names: Vec<(String, String)>,
    /// Services by cluster and name whose auto scaling is read.
    pub scaling: Option<(String, String)>,
    /// Names of alarms.
    pub alarms: Vec<String>,
    pub metrics: Option<MetricWindow>,
}

/// What was seen. The parts stand in the order of the watch.
#[derive(Debug, Default)]
pub struct Sight {
    /// Default actions and rules of the listeners that were watched, all pages.
    pub routes: Vec<Route>,
    /// Health by target group ARN. A group that does not exist has no entry.
    pub health: BTreeMap<String, Vec<TargetHealth>>,
    /// `None` where the service does not exist.
    pub services: Vec<Option<Service>>,
    /// The records of each name that was watched, of every type.
    pub names: Vec<Vec<Record>>,
    pub scaling: Option<ScalableTarget>,
    /// `None` where no alarm was watched. A failure to read is kept apart, because blindness is a
    /// verdict of its own and must not hide what else was seen.
    pub alarms: Option<Result<Vec<Alarm>, CloudError>>,
    pub metrics: Option<Result<Vec<Minute>, CloudError>>,
}

/// Which minutes of which target groups to read from CloudWatch, and what of the user's own beside
/// them. All of it is one question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricWindow {
    /// What the load balancers in front count.
    pub counted: Counted,
    /// ARNs of green's target groups.
    pub green: Vec<String>,
    /// ARNs of blue's target groups.
    pub blue: Vec<String>,
    /// ARN of the load balancer of each group, by the group's ARN.
    pub load_balancers: BTreeMap<String, String>,
    /// Start of the first minute, on a full minute.
    pub from: DateTime<Utc>,
    /// End of the last minute, on a full minute.
    pub to: DateTime<Utc>,
    /// Statistic of `TargetResponseTime` to read, such as `p99`; `None` for no latency.
    pub latency: Option<String>,
    /// Whether requests are counted that the load balancer answered itself, and those that targets answered.
    pub unserved: bool,
    /// Whether requests that the client got wrong are counted.
    pub client_errors: bool,
    /// Bounds in seconds of what counts as slow; with them the samples are counted, too.
    pub slow: Option<[f64; 2]>,
    /// Metrics of the user's own.
    pub levels: Vec<LevelQuery>,
}

/// Of which target groups the last day is read, by availability zone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DayWindow {
    pub counted: Counted,
    /// ARNs of blue's target groups.
    pub groups: Vec<String>,
    /// ARN of the load balancer of each group, by the group's ARN.
    pub load_balancers: BTreeMap<String, String>,
    /// Availability zones of each load balancer, by its ARN.
    pub zones: BTreeMap<String, Vec<String>>,
    /// Start of the first minute, on a full minute.
    pub from: DateTime<Utc>,
    /// End of the last minute, on a full minute.
    pub to: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTargetGroup {
    pub name: String,
    /// ARN of the group whose protocol, port, VPC and health check are copied.
    pub from: String,
    pub tags: BTreeMap<String, String>,
}

/// A rule that no request matches, which ties green's groups to the load balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewRule {
    pub listener: String,
    /// Value of the host-header condition.
    pub host: String,
    pub actions: Vec<Action>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTaskDefinition {
    /// ARN of the definition that is copied.
    pub from: String,
    pub family: String,
    /// Image by container name, for those that change.
    pub images: BTreeMap<String, String>,
    /// Environment variables that every container gets.
    pub environment: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewService {
    pub cluster: String,
    /// Name of the service that is copied.
    pub from: String,
    pub name: String,
    pub task_definition: String,
    pub desired_count: u32,
    pub subnets: Vec<String>,
    /// Empty: those of the copied service.
    pub security_groups: Vec<String>,
    /// The copied service's target groups and what replaces each.
    pub target_groups: BTreeMap<String, String>,
    /// Cloud Map services in which it is registered.
    #[serde(default)]
    pub registries: Vec<ServiceRegistry>,
    pub tags: BTreeMap<String, String>,
    /// At most 36 characters of printable ASCII.
    pub client_token: String,
}

/// Auto scaling like that of another service of the same cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewScaling {
    pub cluster: String,
    /// Name of the service whose policies and scheduled actions are copied.
    pub from: String,
    pub service: String,
    pub min: i32,
    pub max: i32,
    /// Target groups that the policies' metrics name, and what replaces each.
    pub target_groups: BTreeMap<String, String>,
}

/// The whole new action list of one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteWrite {
    pub at: RouteAt,
    pub actions: Vec<Action>,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{operation}: {message}")]
pub struct CloudError {
    /// The API call as IAM names it, such as `elasticloadbalancing:ModifyRule`.
    pub operation: String,
    pub cause: Cause,
    /// What the service said, with its error code.
    pub message: String,
}

/// What a failed call means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The service refused and changed nothing: a definitive 4xx.
    Refused,
    /// Our caller may not do this.
    Denied,
    /// Missing, expired or invalid credentials.
    Credentials,
    /// What was asked for does not exist.
    NotFound,
    /// Too many calls, after the SDK's own retries. Changed nothing.
    Throttled,
    /// No connection could be made. Changed nothing.
    Unreachable,
    /// A time-out, a lost connection or a 5xx: the change may or may not have happened.
    Unknown,
}

impl Cause {
    /// Whether a mutation that failed this way is known to have changed nothing.
    pub fn changed_nothing(self) -> bool {
        self != Cause::Unknown
    }

    /// Whether the same call may succeed later without anybody doing anything about it.
    pub fn passes(self) -> bool {
        matches!(self, Cause::Throttled | Cause::Unreachable | Cause::Unknown)
    }
}
