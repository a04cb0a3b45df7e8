//! What exists: the estate around one service, as plain data in AWS's own words.
//!
//! Actions of listeners and rules keep the JSON shape of the ELBv2 API (`Type`, `ForwardConfig`,
//! ...), so that a recorded action can be pasted into an AWS CLI command and nothing of it is
//! renamed on the way. Everything in an action but the forward part is opaque here: we carry it,
//! we never edit it.

pub mod balancer;
mod discovery;
mod history;
pub mod image;
pub mod record;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::balancer::Anatomy;
pub use self::discovery::{Consumers, Namespace, Registry, RegistryRecord, RollingUpdate, ServiceRegistry};
pub use self::history::{History, Past, STRETCHES, Slow};
pub use self::record::{AliasTarget, HostedName, Record, ResourceRecord, Zone};

/// The estate of one migration, as it was discovered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    pub account: String,
    pub region: String,
    pub service: Service,
    /// Whether a service with green's name exists already.
    pub green_service: Option<Service>,
    pub task_definition: TaskDefinition,
    /// The blue target groups that take part, in the order of the service's load balancer list.
    pub target_groups: Vec<TargetGroup>,
    /// The load balancers of these target groups.
    pub load_balancers: Vec<LoadBalancer>,
    /// Every listener default action and every rule of these load balancers.
    pub routes: Vec<Route>,
    /// Blue's auto scaling, where it has any.
    pub scaling: Option<ScalableTarget>,
    /// The alarms that the playbook names, those that exist.
    pub alarms: Vec<Alarm>,
    /// The Cloud Map services in which blue is registered, where they were asked for.
    #[serde(default)]
    pub registries: Vec<Registry>,
    /// A Cloud Map service that has the name of the one to be created already.
    #[serde(default)]
    pub green_registry: Option<Registry>,
    /// Who seems to find blue by its name.
    #[serde(default)]
    pub consumers: Consumers,
    /// The SNS topics that the playbook names, each with why it cannot be used, where it cannot.
    #[serde(default)]
    pub topics: BTreeMap<String, Option<String>>,
    /// The existing load balancer that `dns_weights.green_load_balancer` names.
    #[serde(default)]
    pub green_balancer: Option<LoadBalancer>,
    /// What blue's load balancers are made of, and the named one; only with `dns_weights`.
    #[serde(default)]
    pub anatomies: Vec<Anatomy>,
    /// The names whose records move, where records move.
    #[serde(default)]
    pub names: Vec<HostedName>,
    /// Other records that lead to blue's load balancer, or to a name that moves, for people.
    #[serde(default)]
    pub names_left: Vec<NameLeft>,
    /// What blue was like over the last day; `None` where CloudWatch could not be read, or was not asked.
    #[serde(default)]
    pub history: Option<History>,
    /// Why the last day could not be read, where it was asked for and could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_unread: Option<String>,
}

/// What CloudWatch calls a load balancer (`app/<name>/<id>`) or a target group (`targetgroup/<name>/<id>`) in
/// dimensions: the end of its ARN (ELB guides, CloudWatch metrics).
pub fn metric_name(arn: &str) -> &str {
    arn.split_once(":loadbalancer/").map_or_else(|| arn.rsplit(':').next().unwrap_or(arn), |(_, name)| name)
}

/// A record beside those that move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameLeft {
    pub zone: Zone,
    pub name: String,
    pub kind: String,
    /// The name that moves and that this record leads to; `None` where it leads to blue itself.
    pub through: Option<String>,
}

impl Inventory {
    /// Records that lead to blue's load balancer by themselves and do not move.
    pub fn leads_to_blue_beside(&self) -> Vec<&NameLeft> {
        self.names_left.iter().filter(|n| n.through.is_none()).collect()
    }

    /// Seconds for which resolvers may keep an answer after the records were changed; 0 where no
    /// records move.
    pub fn follow_seconds(&self) -> u32 {
        let moving = |n: &HostedName, r: &Record| n.moving.contains(&r.kind);
        let records = self.names.iter().flat_map(|n| n.records.iter().filter(move |r| moving(n, r)));
        records.map(Record::follows_after).max().unwrap_or(0)
    }

    /// What this load balancer is made of.
    pub fn anatomy(&self, load_balancer: &str) -> Option<&Anatomy> {
        self.anatomies.iter().find(|a| a.load_balancer == load_balancer)
    }

    /// ARNs of target groups of the service that the playbook leaves out: their traffic stays with blue.
    pub fn left_behind(&self) -> Vec<&str> {
        let all = self.service.load_balancers.iter().filter_map(|l| l.target_group.as_deref());
        all.filter(|arn| !self.target_groups.iter().any(|g| g.arn == *arn)).collect()
    }
}

/// An ECS service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub arn: String,
    pub name: String,
    /// ARN of the cluster.
    pub cluster: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    pub task_definition: String,
    pub desired_count: u32,
    pub running_count: u32,
    pub pending_count: u32,
    /// `FARGATE`, `EC2`, `EXTERNAL`, or `None` with a capacity provider strategy.
    pub launch_type: Option<String>,
    pub platform_version: Option<String>,
    pub platform_family: Option<String>,
    /// `ECS`, `CODE_DEPLOY` or `EXTERNAL`; absent means `ECS`.
    pub controller: Option<String>,
    /// `REPLICA` or `DAEMON`.
    pub scheduling: Option<String>,
    /// Strategy of the deployment configuration: `ROLLING`, `BLUE_GREEN`, ...
    pub strategy: Option<String>,
    /// Who manages the resource; `ECS` for Express services.
    pub managed_by: Option<String>,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// Whether tasks get public IPv4 addresses.
    #[serde(default)]
    pub assigns_public_ip: bool,
    pub load_balancers: Vec<ServiceLoadBalancer>,
    pub deployments: Vec<Deployment>,
    #[serde(default)]
    pub registries: Vec<ServiceRegistry>,
    /// Whether the service publishes endpoints through Service Connect.
    pub publishes_service_connect: bool,
    /// Namespace of Service Connect, where it is enabled.
    #[serde(default)]
    pub service_connect: Option<String>,
    #[serde(default)]
    pub rolling: RollingUpdate,
    pub execute_command: bool,
    pub grace_period_seconds: Option<u32>,
    pub tags: BTreeMap<String, String>,
    /// The newest events first, at most 10: what ECS says about the service.
    pub events: Vec<ServiceEvent>,
    /// Fields of the service that a clone carries, by API name with their values as text: what
    /// `plan` shows. The adapter copies them whole.
    pub carried: BTreeMap<String, String>,
    /// Fields of the service that a clone drops, with the reason.
    pub dropped: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    pub at: Option<DateTime<Utc>>,
    pub message: String,
}

/// One entry of a service's load balancer list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLoadBalancer {
    /// `None` for a classic load balancer.
    pub target_group: Option<String>,
    pub container: String,
    pub port: u16,
    /// Whether ECS itself rewrites the production rule (native blue/green).
    pub advanced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: String,
    /// `PRIMARY`, `ACTIVE` or `INACTIVE`.
    pub status: String,
    /// `COMPLETED`, `IN_PROGRESS` or `FAILED`; absent for some controllers.
    pub rollout: Option<String>,
    pub rollout_reason: Option<String>,
    pub task_definition: String,
    pub desired_count: u32,
    pub running_count: u32,
    pub failed_tasks: u32,
    #[serde(default)]
    pub subnets: Vec<String>,
}

/// A task definition, as far as it is judged or shown. A clone moves the SDK's structure whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinition {
    pub arn: String,
    pub family: String,
    pub network_mode: Option<String>,
    pub os_family: Option<String>,
    pub requires_compatibilities: Vec<String>,
    pub containers: Vec<Container>,
    pub tags: BTreeMap<String, String>,
    /// Names of EFS, FSx and other volumes whose mount targets must speak IPv6.
    pub network_volumes: Vec<String>,
    /// Fields that are carried to the clone, by API name with values as text.
    pub carried: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub environment: BTreeMap<String, String>,
    pub command: Vec<String>,
    pub entry_point: Vec<String>,
    pub health_check: Vec<String>,
    pub log_driver: Option<String>,
    pub log_options: BTreeMap<String, String>,
    pub dns_servers: Vec<String>,
    /// `host:address` pairs.
    pub extra_hosts: Vec<String>,
    pub ports: Vec<u16>,
}

/// An ELBv2 target group with what a clone needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub arn: String,
    pub name: String,
    /// `ipv4` or `ipv6`.
    pub ip_address_type: String,
    /// `ip`, `instance`, `lambda` or `alb`.
    pub target_type: String,
    pub protocol: Option<String>,
    pub port: Option<u16>,
    pub vpc: Option<String>,
    /// ARNs of the load balancers (at most one).
    pub load_balancers: Vec<String>,
    /// Health check and protocol settings by API name, as text: what `plan` shows.
    pub settings: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

impl TargetGroup {
    /// Whether targets of this group are sticky.
    pub fn sticky(&self) -> bool {
        self.attributes.get("stickiness.enabled").is_some_and(|v| v == "true")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    pub arn: String,
    pub name: String,
    /// `application`, `network` or `gateway`.
    pub kind: String,
    /// `ipv4`, `dualstack` or `dualstack-without-public-ipv4`.
    pub ip_address_type: String,
    pub zones: Vec<String>,
    /// `active`, `provisioning`, ...
    pub state: String,
    /// `internet-facing` or `internal`.
    #[serde(default)]
    pub scheme: String,
    /// What records lead to.
    #[serde(default)]
    pub dns_name: String,
    /// Id of the hosted zone of `dns_name`, which an alias record names.
    #[serde(default)]
    pub hosted_zone: String,
    #[serde(default)]
    pub subnets: Vec<String>,
    #[serde(default)]
    pub security_groups: Vec<String>,
}

/// One place where a load balancer decides where a request goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub at: RouteAt,
    pub load_balancer: String,
    /// ARN of the listener, also where the route is one of its rules.
    pub listener: String,
    /// Port of the listener.
    pub port: Option<u16>,
    /// Priority of the rule; `None` for a default action.
    pub priority: Option<u32>,
    /// The conditions as people read them, such as `host-header api.example.com`.
    pub conditions: Vec<String>,
    pub actions: Vec<Action>,
}

/// What names a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteAt {
    /// The default action of the listener with this ARN.
    Listener(String),
    /// The rule with this ARN.
    Rule(String),
}

impl RouteAt {
    pub fn arn(&self) -> &str {
        match self {
            RouteAt::Listener(arn) | RouteAt::Rule(arn) => arn,
        }
    }
}

/// An action in the JSON shape of the ELBv2 API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Action {
    /// `forward`, `authenticate-oidc`, `redirect`, ...
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_group_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_config: Option<ForwardConfig>,
    /// Any other `...Config` of the action by its API name, untouched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ForwardConfig {
    pub target_groups: Vec<WeightedGroup>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_group_stickiness_config: Option<GroupStickiness>,
}

/// A target group tuple of a forward action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WeightedGroup {
    pub target_group_arn: String,
    /// 0 to 999; absent means 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupStickiness {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i32>,
}

/// What Application Auto Scaling may do with a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalableTarget {
    /// `service/<cluster name>/<service name>`.
    pub resource: String,
    pub min: i32,
    pub max: i32,
    pub suspended: Suspension,
    /// Names of the scaling policies, with their types.
    pub policies: Vec<String>,
    /// Names of the scheduled actions.
    pub scheduled: Vec<String>,
}

impl ScalableTarget {
    /// The policies that can be copied. A step scaling policy acts on alarms that are the user's own
    /// and name the policy; a copy without copies of them would do nothing.
    pub fn copied_policies(&self) -> Vec<&str> {
        self.policies.iter().map(String::as_str).filter(|p| !p.ends_with(STEP_SCALING)).collect()
    }

    /// The policies that are left to the user.
    pub fn step_policies(&self) -> Vec<&str> {
        self.policies.iter().filter_map(|p| p.strip_suffix(STEP_SCALING)).map(str::trim_end).collect()
    }
}

/// How a step scaling policy is marked in [`ScalableTarget::policies`].
const STEP_SCALING: &str = "(StepScaling)";

/// `SuspendedState` of a scalable target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    pub dynamic_in: bool,
    pub dynamic_out: bool,
    pub scheduled: bool,
}

impl Suspension {
    /// Nothing changes the number of tasks.
    pub const ALL: Suspension = Suspension { dynamic_in: true, dynamic_out: true, scheduled: true };

    /// The same, except that tasks are neither taken away nor counted by the clock.
    #[must_use]
    pub fn without_shrinking(self) -> Suspension {
        Suspension { dynamic_in: true, scheduled: true, ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    pub reason: String,
    pub composite: bool,
}

/// Health of one registered target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    pub target: String,
    pub port: Option<u16>,
    /// `healthy`, `initial`, `unhealthy`, `unused`, `draining`, ...
    pub state: String,
    /// Such as `Target.Timeout`.
    pub reason: Option<String>,
    pub description: Option<String>,
}

/// A task of a service, as far as its health and addresses go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub arn: String,
    /// `RUNNING`, `STOPPED`, ...
    pub status: String,
    pub ipv6: Option<String>,
    /// By the health checks of its containers: `HEALTHY`, `UNHEALTHY`, or `UNKNOWN` without any.
    #[serde(default)]
    pub health: Option<String>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    /// Exit codes and reasons of its containers.
    pub containers: Vec<String>,
}
