//! One change to the cloud: observe, apply, verify, undo. The only caller of mutating ports.
//!
//! Every operation can be performed again at any time: it looks first, does only what is missing,
//! and looks again. That is what settles an unknown outcome after a crash. An operation knows
//! nothing of journal, stages or verdicts; what it needs of the run is in its [`Scene`].

mod balancer;
mod blue;
mod commands;
mod fleets;
mod green;
mod in_place;
mod quiet;
mod records;
mod registry;
mod routes;
mod scaling;
mod smoke;
mod swap;
mod way;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::balancer::{AwaitBalancer, CopyListeners, ListenerCopy, RuleCopy};
pub use self::commands::{drifted_record_command, home_commands, record_commands, share_commands};
pub use self::records::green_name;
pub use self::swap::{FLOW_SECONDS, IDLE_SECONDS};
pub use self::way::{Hosts, hosts, places, shown, strayed};
use crate::clock::Clock;
use crate::cloud::balancers::NewLoadBalancer;
use crate::cloud::registries::NewRegistry;
use crate::cloud::{Cloud, CloudError, NewTargetGroup, NewTaskDefinition};
use crate::errand::Errands;
use crate::inventory::{Action, Inventory, Route, ServiceRegistry, Suspension};
use crate::playbook::{Period, Playbook, Shift, Smoke};
use crate::traffic::{Pair, Share, weights};

/// One change, as the plan holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    CreateTargetGroup(NewTargetGroup),
    /// Gives the twin of the blue group these attributes.
    SetAttributes {
        blue: String,
        attributes: BTreeMap<String, String>,
    },
    AssociateGreen(AssociateGreen),
    TieGroup(TieGroup),
    CreateLoadBalancer(NewLoadBalancer),
    /// Gives green's load balancer these attributes.
    SetLoadBalancerAttributes {
        attributes: BTreeMap<String, String>,
    },
    CreateListeners(CopyListeners),
    /// Gives green's listeners what a listener cannot have at its creation.
    ConfigureListeners(CopyListeners),
    CreateRules {
        rules: Vec<RuleCopy>,
    },
    /// Waits until green's load balancer works and is like blue's; changes nothing.
    AwaitLoadBalancer(AwaitBalancer),
    AssociateWebAcl {
        web_acl: String,
    },
    RegisterTaskDefinition(NewTaskDefinition),
    /// A Cloud Map service that takes IPv6-only tasks.
    CreateRegistry(NewRegistry),
    HoldScaling(HoldScaling),
    CopyScaling(CopyScaling),
    CreateService(CloneService),
    /// Waits until green is really healthy; changes nothing.
    AwaitGreen {
        timeout: Period,
    },
    /// Adds green to every route at weight 0.
    JoinRoutes,
    /// Turns every simple record into a weighted set with blue alone in it.
    JoinRecords,
    /// Removes the rule that the named probe created.
    RemoveProbe {
        probe: String,
    },
    /// Asks green, before any user does.
    Smoke(SmokeTest),
    /// Gives green this share in every route.
    Shift {
        share: Share,
    },
    /// Restores every route as it was recorded.
    GoHome,
    /// Puts green in blue's place in every route.
    ReplaceBlue,
    /// Removes the listeners that tie green's groups to this load balancer.
    Untie {
        load_balancer: String,
    },
    /// Waits until connections to blue have ended.
    Drain {
        seconds: u64,
    },
    /// Waits until the flows that were open when traffic moved have left blue: `least` seconds from
    /// then in any case, and at most `most`.
    AwaitFlows {
        least: u64,
        most: u64,
    },
    /// Waits until nobody asks blue any more; changes nothing.
    AwaitQuiet,
    ScaleToZero {
        cluster: String,
        service: String,
    },
    RemoveService {
        cluster: String,
        service: String,
    },
}

/// Ties green's target groups to a load balancer through a rule that no request matches.
///
/// This is the safe way to learn whether the load balancer accepts both address families in one
/// action, which AWS does not document; and ECS creates no service on a target group that no
/// listener or rule refers to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssociateGreen {
    pub load_balancer: String,
    pub listener: String,
    /// Value of the rule's host-header condition, under the reserved domain `.invalid`.
    pub host: String,
    /// Blue groups of this load balancer.
    pub blue: Vec<String>,
    /// Where the two sides never stand in one action, whether they may is not asked: the rule names
    /// the groups of this side alone.
    #[serde(default)]
    pub alone: Option<Side>,
    pub tags: BTreeMap<String, String>,
}

/// One of the two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Blue,
    Green,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Blue => "blue",
            Side::Green => "green",
        }
    }
}

/// Ties a target group to a Network Load Balancer through a listener of its own: there are no rules
/// that no client matches, and a listener cannot name both families. Green's group must be tied before
/// its service can be created; blue's, so that it stays checked while it has no traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieGroup {
    /// ARN of the blue group of the pair.
    pub blue: String,
    pub side: Side,
    pub load_balancer: String,
    /// ARN of a listener that forwards to blue's group.
    pub like: String,
    /// `TCP` or `TLS`.
    pub protocol: String,
    pub tags: BTreeMap<String, String>,
}

/// Says what auto scaling may do with a service: it must not shrink blue while its traffic leaves,
/// and may let green grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldScaling {
    pub cluster: String,
    pub service: String,
    pub resource: String,
    pub was: Suspension,
    pub held: Suspension,
}

impl HoldScaling {
    /// Whether something that was suspended is not any more.
    fn loosens(&self) -> bool {
        let (was, held) = (self.was, self.held);
        (was.dynamic_in && !held.dynamic_in)
            || (was.dynamic_out && !held.dynamic_out)
            || (was.scheduled && !held.scheduled)
    }

    fn title(&self) -> String {
        match (self.loosens(), self.held.dynamic_in) {
            (true, true) => format!("let auto scaling add tasks to {}", self.resource),
            (true, false) => format!("let auto scaling change {}", self.resource),
            (false, _) => format!("keep auto scaling from changing {}", self.resource),
        }
    }

    fn effect(&self) -> &'static str {
        match (self.loosens(), self.held) {
            (true, held) if held.dynamic_in => {
                "green grows by itself where it must, and does not shrink before the end"
            }
            (true, _) => "green's number of tasks is auto scaling's from here",
            (false, held) if held.dynamic_out => "blue is never scaled out again by itself",
            (false, _) => "blue does not scale in; a rollback restores its scaling",
        }
    }
}

/// A request that green must answer before a stage begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeTest {
    /// 1-based.
    pub stage: usize,
    pub smoke: Smoke,
    /// ARNs of the listeners that get a rule for it; none where green is asked directly.
    pub listeners: Vec<String>,
}

/// Gives green blue's auto scaling, with everything suspended: policies arrive one by one, and none
/// shall act before all are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyScaling {
    pub cluster: String,
    /// Blue.
    pub from: String,
    /// Green.
    pub service: String,
    pub min: i32,
    pub max: i32,
}

/// A service like blue, with these differences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneService {
    pub cluster: String,
    pub from: String,
    pub name: String,
    pub desired_count: u32,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// Cloud Map services in which it is registered.
    #[serde(default)]
    pub registries: Vec<ServiceRegistry>,
    pub tags: BTreeMap<String, String>,
}

/// What operations made, under names of their own: `green:<blue group>`, `probe:<load balancer>`,
/// `load-balancer`, `listener:<blue listener>`, `task-definition`, `service`.
pub type Made = BTreeMap<String, String>;

/// The name under which green's task definition is made.
pub const TASK_DEFINITION: &str = "task-definition";
/// The name under which green's Cloud Map service is made.
pub const REGISTRY: &str = "registry";
/// The name under which the ARN of green's load balancer is made, where the run creates it.
pub const GREEN_BALANCER: &str = "load-balancer";
/// The name under which its DNS name is made.
pub const GREEN_BALANCER_DNS: &str = "load-balancer-dns";
/// The name under which the hosted zone of its DNS name is made.
pub const GREEN_BALANCER_ZONE: &str = "load-balancer-zone";
/// Marks, before a hosted zone and what was written there, the id of a change that takes effect by and by.
pub const CHANGE: &str = "change:";
/// Marks, before a resource, that the way home has set its auto scaling back already.
pub const SCALING_RELEASED: &str = "scaling-released:";

/// What an operation needs of the run around it.
pub struct Scene<'a> {
    pub cloud: &'a dyn Cloud,
    pub clock: &'a dyn Clock,
    pub errands: &'a dyn Errands,
    pub made: &'a Made,
    pub playbook: &'a Playbook,
    /// The estate as it was recorded before the first change.
    pub inventory: &'a Inventory,
    /// The routes that are moved, as they were recorded before the first change.
    pub routes: Vec<Route>,
    pub listeners: Vec<String>,
    /// Blue target groups that take part.
    pub blue_groups: Vec<String>,
    pub blue: Fleet,
    pub green: Fleet,
    /// The shares that the routes may show now: the last one settled, and the one under way.
    pub written: Vec<Share>,
    /// Auto scaling as it is to be set back when traffic goes home.
    pub scaling: Vec<HoldScaling>,
    /// When this operation was first intended.
    pub since: DateTime<Utc>,
    /// Whether green may ever have received traffic.
    pub moved: bool,
    /// Since when places show the share that was settled last.
    pub exposed_since: Option<DateTime<Utc>>,
    /// The run's name, as the tag `migrate:run` bears it.
    pub run: &'a str,
    /// Unique to this run; names what AWS shall not create twice.
    pub token: String,
}

/// A service and how many tasks it should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    pub cluster: String,
    pub service: String,
    pub count: u32,
    /// ARN of the task definition that it runs, where that is known.
    pub task_definition: Option<String>,
}

/// What performing or undoing an operation came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done and verified; what was made.
    Done(Made),
    /// Written, and under way: what a later look must know of it.
    Underway(Made),
    /// Not yet, for this reason; look again later.
    NotYet(String),
    /// Not, and waiting will not help.
    Never(String),
    /// A part was changed, and the rest failed like this.
    Partly(CloudError),
    /// Somebody else changed what this run owns; nothing of that was overwritten.
    Drift(Drift),
    /// The cloud itself found green unfit and has turned back; so does the run.
    Worse(String),
}

/// The world is not as the journal says, and we did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What drifted: an ARN.
    pub what: String,
    pub expected: String,
    pub found: String,
}

impl Drift {
    /// A route that shows something else than it should; `None` where it is not there at all.
    pub fn of(route: &Route, expected: &[Action], found: Option<&[Action]>) -> Drift {
        // Where only weights differ, only weights are shown: somebody reads this at night.
        let (wish, sight) = (weights(expected), weights(found.unwrap_or_default()));
        let brief = !wish.is_empty() && !sight.is_empty() && wish != sight;
        let text = |actions: &[Action]| match brief {
            true => weights(actions),
            false => serde_json::to_string(actions).unwrap_or_default(),
        };
        Drift {
            what: route.at.arn().to_owned(),
            expected: text(expected),
            found: found.map_or_else(|| "nothing: it was deleted".to_owned(), text),
        }
    }
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "somebody else changed {}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

impl Outcome {
    fn done() -> Outcome {
        Outcome::Done(Made::new())
    }

    fn made(name: impl Into<String>, value: impl Into<String>) -> Outcome {
        Outcome::Done([(name.into(), value.into())].into())
    }
}

impl Scene<'_> {
    /// Blue's groups with the twins that have been made so far.
    pub fn pairs(&self) -> Vec<Pair> {
        let green = |blue: &String| self.made.get(&green_key(blue)).cloned();
        let twin = |blue: &String| Some(pair(self.playbook, self.inventory, blue.clone(), green(blue)?));
        self.blue_groups.iter().filter_map(twin).collect()
    }
}

/// A blue target group and its twin, as sticky as the playbook wants.
pub fn pair(playbook: &Playbook, inventory: &Inventory, blue: String, green: String) -> Pair {
    let group = inventory.target_groups.iter().find(|g| g.arn == blue);
    let sticky = match &playbook.shift {
        Shift::ListenerWeights(weights) => group.and_then(|g| weights.sticky_seconds(g)),
        _ => None,
    };
    Pair { blue, green, sticky }
}

/// The name under which the twin of a blue group is made.
pub fn green_key(blue: &str) -> String {
    format!("green:{blue}")
}

/// The name under which the probe rule of a load balancer is made.
pub fn probe_key(probe: &AssociateGreen) -> String {
    match probe.alone {
        Some(Side::Blue) => format!("probe:blue:{}", probe.load_balancer),
        _ => format!("probe:{}", probe.load_balancer),
    }
}

/// The name under which the listener is made that ties a group.
pub fn tie_key(tie: &TieGroup) -> String {
    format!("tie:{}:{}", tie.side.name(), tie.blue)
}

/// The name under which the twin of a blue listener is made.
pub fn listener_key(blue: &str) -> String {
    format!("listener:{blue}")
}

impl Operation {
    /// Looks, does what is missing, and verifies.
    pub fn perform(&self, scene: &Scene) -> Result<Outcome, CloudError> {
        match self {
            Operation::CreateTargetGroup(new) => green::create_target_group(scene, new),
            Operation::SetAttributes { blue, attributes } => green::set_attributes(scene, blue, attributes),
            Operation::AssociateGreen(probe) => green::associate(scene, probe),
            Operation::TieGroup(tie) => swap::tie(scene, tie),
            Operation::CreateLoadBalancer(new) => balancer::create(scene, new),
            Operation::SetLoadBalancerAttributes { attributes } => balancer::set_attributes(scene, attributes),
            Operation::CreateListeners(copy) => balancer::create_listeners(scene, copy),
            Operation::ConfigureListeners(copy) => balancer::configure_listeners(scene, copy),
            Operation::CreateRules { rules } => balancer::create_rules(scene, rules),
            Operation::AwaitLoadBalancer(wait) => balancer::await_ready(scene, wait),
            Operation::AssociateWebAcl { web_acl } => balancer::associate_web_acl(scene, web_acl),
            Operation::RegisterTaskDefinition(new) => green::register(scene, new),
            Operation::CreateRegistry(new) => registry::create(scene, new),
            Operation::HoldScaling(hold) => scaling::hold(scene, hold),
            Operation::CopyScaling(copy) => scaling::copy(scene, copy),
            Operation::CreateService(new) => green::create_service(scene, new),
            Operation::AwaitGreen { .. } => green::await_healthy(scene),
            Operation::JoinRoutes => routes::shift(scene, Share::NONE),
            Operation::JoinRecords => records::shift(scene, Share::NONE),
            Operation::RemoveProbe { .. } => green::remove_probes(scene),
            Operation::Smoke(test) => smoke::perform(scene, test),
            Operation::Shift { share } => way::shift(scene, *share),
            Operation::GoHome => way::go_home(scene),
            Operation::ReplaceBlue => way::replace_blue(scene),
            Operation::Untie { load_balancer } => swap::untie(scene, load_balancer),
            Operation::Drain { seconds } => Ok(blue::drain(scene, *seconds)),
            Operation::AwaitFlows { least, most } => swap::await_blue(scene, *least, *most),
            Operation::AwaitQuiet => quiet::await_quiet(scene),
            Operation::ScaleToZero { cluster, service } => blue::scale_to_zero(scene, cluster, service),
            Operation::RemoveService { cluster, service } => blue::remove(scene, cluster, service),
        }
    }

    /// Takes back what a performed, or perhaps performed, operation did. Traffic is not undone
    /// operation by operation: it goes home in one step, by [`Operation::GoHome`], before this.
    pub fn undo(&self, scene: &Scene) -> Result<Outcome, CloudError> {
        match self {
            Operation::CreateTargetGroup(new) => green::delete_target_group(scene, new),
            Operation::AssociateGreen(probe) => green::dissociate(scene, probe),
            Operation::TieGroup(tie) => swap::untie(scene, &tie.load_balancer),
            Operation::CreateLoadBalancer(new) => balancer::delete(scene, new),
            Operation::CreateListeners(copy) => balancer::delete_listeners(scene, copy),
            Operation::RegisterTaskDefinition(new) => green::deregister(scene, new),
            Operation::CreateRegistry(new) => registry::delete(scene, new),
            Operation::HoldScaling(hold) => scaling::release(scene, hold),
            Operation::CopyScaling(copy) => scaling::remove(scene, copy),
            Operation::CreateService(new) => green::delete_service(scene, new),
            Operation::JoinRecords => Ok(quiet::await_resolvers(scene)),
            Operation::Smoke(test) => smoke::undo(scene, test),
            _ => Ok(Outcome::done()),
        }
    }

    /// Whether undoing removes something that the run created, or belongs to that, which a rollback
    /// does only when asked.
    pub fn creates(&self) -> bool {
        matches!(
            self,
            Operation::CreateTargetGroup(_)
                | Operation::RegisterTaskDefinition(_)
                | Operation::CreateRegistry(_)
                | Operation::CreateService(_)
                | Operation::CopyScaling(_)
                | Operation::JoinRecords
                | Operation::CreateLoadBalancer(_)
                // Those of a load balancer that the run created go with it.
                | Operation::CreateListeners(CopyListeners { load_balancer: Some(_), .. })
        )
    }

    /// Whether the operation changes nothing, and only waits for the world.
    pub fn only_waits(&self) -> bool {
        matches!(
            self,
            Operation::AwaitGreen { .. }
                | Operation::Drain { .. }
                | Operation::AwaitFlows { .. }
                | Operation::AwaitQuiet
                | Operation::AwaitLoadBalancer(_)
        )
    }

    /// Whether it touches the places where traffic is told where to go, so that the way home restores them.
    pub fn joins(&self) -> bool {
        matches!(self, Operation::JoinRoutes | Operation::JoinRecords)
    }

    /// Whether there is anything to undo beside the routes.
    pub fn undoable(&self) -> bool {
        self.creates()
            || matches!(self, Operation::AssociateGreen(_) | Operation::TieGroup(_) | Operation::HoldScaling(_))
    }

    /// What the operation does, for people.
    pub fn title(&self) -> String {
        match self {
            Operation::CreateTargetGroup(new) => format!("create the IPv6 target group {}", new.name),
            Operation::SetAttributes { attributes, .. } => {
                format!("give it blue's {} attributes", attributes.len())
            }
            Operation::AssociateGreen(probe) => {
                let what = if probe.alone == Some(Side::Blue) { "blue" } else { "it" };
                format!("tie {what} to the load balancer by a rule that no request matches ({})", probe.host)
            }
            Operation::TieGroup(tie) => {
                let (side, protocol) = (tie.side.name(), &tie.protocol);
                format!("tie {side} to the load balancer by a {protocol} listener of its own, on the last free port")
            }
            Operation::CreateLoadBalancer(new) => {
                format!("create the {} load balancer {}", new.ip_address_type, new.name)
            }
            Operation::SetLoadBalancerAttributes { attributes } => {
                format!("give the load balancer blue's {} attributes", attributes.len())
            }
            Operation::CreateListeners(copy) => format!("create listeners like blue's: {}", copy.ports()),
            Operation::ConfigureListeners(_) => "give the listeners blue's certificates and attributes".to_owned(),
            Operation::CreateRules { rules } => format!("create {} listener rules like blue's", rules.len()),
            Operation::AwaitLoadBalancer(_) => "wait until the load balancer works and is like blue's".to_owned(),
            Operation::AssociateWebAcl { .. } => "put the load balancer behind blue's web ACL".to_owned(),
            Operation::RegisterTaskDefinition(new) => format!("register the task definition {}", new.family),
            Operation::CreateRegistry(new) => format!("create the Cloud Map service {} with AAAA records", new.name),
            Operation::HoldScaling(hold) => hold.title(),
            Operation::CopyScaling(copy) => {
                format!("give {} the auto scaling of {}: {} to {} tasks", copy.service, copy.from, copy.min, copy.max)
            }
            Operation::CreateService(new) => {
                format!("create the service {} with {} tasks", new.name, new.desired_count)
            }
            Operation::AwaitGreen { timeout } => format!("wait until green is healthy, at most {timeout}"),
            Operation::JoinRoutes => "add green to every route at weight 0".to_owned(),
            Operation::JoinRecords => "turn every simple record into a weighted one, with blue alone".to_owned(),
            Operation::RemoveProbe { .. } => "remove the rule that no request matches".to_owned(),
            Operation::Smoke(test) => format!("ask green for {} before stage {}", test.smoke.http, test.stage),
            Operation::Shift { share } => format!("give green its {share}"),
            Operation::GoHome => "send all traffic home to blue".to_owned(),
            Operation::ReplaceBlue => "put green in blue's place".to_owned(),
            Operation::Untie { .. } => "remove the listeners that tied both sides to the load balancer".to_owned(),
            Operation::AwaitFlows { least, most } => {
                format!(
                    "wait until blue's open flows have ended, at least {least} s after traffic moved, at most {most} s"
                )
            }
            Operation::Drain { seconds } => format!("wait {seconds} s for blue's connections to end"),
            Operation::AwaitQuiet => "wait until nobody asks blue any more".to_owned(),
            Operation::ScaleToZero { service, .. } => format!("scale {service} to zero tasks"),
            Operation::RemoveService { service, .. } => format!("delete the service {service}"),
        }
    }

    /// What others may notice, for people; empty where nothing is noticed.
    pub fn effect(&self) -> &'static str {
        match self {
            Operation::AssociateGreen(AssociateGreen { alone: Some(Side::Blue), .. }) => "",
            Operation::AssociateGreen(_) => {
                "an alias record that evaluates this load balancer's health sees one more, still empty, target group"
            }
            Operation::TieGroup(_) => {
                "until `migrate finish` that port is open to whom the security groups and routes let through"
            }
            Operation::HoldScaling(hold) => hold.effect(),
            Operation::CreateRegistry(_) => "the namespace gains a name that leads nowhere yet",
            Operation::CreateLoadBalancer(_) => {
                "a second load balancer is paid for by the hour, with its public IPv4 addresses, until one is deleted"
            }
            Operation::CreateService(new) if new.desired_count == 0 => {
                "each stage starts tasks of its own beside blue's"
            }
            Operation::CreateService(_) => "twice the tasks run until `migrate finish`",
            Operation::JoinRoutes => "production rules gain a target group; no request reaches it",
            Operation::JoinRecords => "answers stay the same; whoever manages the records elsewhere sees a difference",
            Operation::Smoke(_) => "for some seconds a rule that only the test meets stands before the others",
            Operation::Shift { .. } => "requests reach green",
            Operation::ReplaceBlue => "there is no way back through `migrate rollback` from here",
            _ => "",
        }
    }
}
