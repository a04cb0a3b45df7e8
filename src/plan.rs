//! The plan: the ordered operations that lead from the inventory to the playbook's wish.
//!
//! A plan is a value. It carries the playbook and the inventory it was made from, so that what is
//! carried out is what was shown, and so that it can be refused when the estate has changed since.
//! Making a plan is pure; it decides *what*, and nothing here performs anything. Each way to move traffic
//! has a file that says which operations it takes; what several ways need is here.

mod balancer;
mod dns;
mod green;
mod in_place;
mod listener;
pub mod outlook;
mod own;
mod protocol;
mod savings;
mod swap;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::protocol::Terms;
pub use self::savings::Saving;
use crate::cloud::{NewTargetGroup, NewTaskDefinition};
use crate::gate::{Baseline, Counted};
use crate::inventory::image;
use crate::inventory::{Inventory, Route, ScalableTarget, Suspension, TargetGroup, TaskDefinition};
use crate::operation::{
    AssociateGreen, CloneService, CopyScaling, Drift, FLOW_SECONDS, HoldScaling, Made, Operation, SmokeTest,
    drifted_record_command, green_key, green_name, home_commands, pair, record_commands, share_commands,
};
use crate::playbook::{Playbook, RetireBlue, Shift, Stage};
use crate::traffic::{Pair, Share, takes_part};

/// Version of the plan's format.
pub const FORMAT: u32 = 1;

/// Everything that a run will do, and what it was derived from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    /// When the inventory was read.
    pub made_at: DateTime<Utc>,
    pub playbook: Playbook,
    pub inventory: Inventory,
    /// What `start` does, in order.
    pub prepare: Vec<Planned>,
    /// What `finish` does, in order.
    pub finish: Vec<Planned>,
    /// Smoke tests, each before its stage.
    #[serde(default)]
    pub tests: Vec<Planned>,
}

/// One operation under the name that the journal uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Unique in the plan, stable between plans of the same playbook.
    pub id: String,
    pub operation: Operation,
}

/// What a way of moving traffic plans.
#[derive(Debug, Default)]
struct Steps {
    prepare: Vec<Planned>,
    finish: Vec<Planned>,
}

impl Planned {
    fn new(id: impl Into<String>, operation: Operation) -> Planned {
        Planned { id: id.into(), operation }
    }
}

/// When a stage begins and ends if nothing holds it up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduledStage {
    /// 1-based.
    pub stage: usize,
    pub share: Share,
    pub begins: DateTime<Utc>,
    pub ends: DateTime<Utc>,
    /// Whether somebody must approve before it begins.
    pub approve: bool,
}

/// How long a shift takes until the load balancer follows it everywhere.
const PROPAGATION_SECONDS: i64 = 15;
/// The longest name of a target group (ELBv2 API reference, `CreateTargetGroup`).
const TARGET_GROUP_NAME_MAX: usize = 32;

impl Plan {
    /// Derives the plan. The inventory must have no blocking finding.
    pub fn new(playbook: &Playbook, inventory: &Inventory, made_at: DateTime<Utc>) -> Plan {
        let Steps { prepare, finish } = match &playbook.shift {
            Shift::ListenerWeights(_) => listener::steps(playbook, inventory),
            Shift::DnsWeights(_) => dns::steps(playbook, inventory),
            Shift::ListenerSwap(_) => swap::steps(playbook, inventory),
            Shift::InPlace(_) => in_place::steps(playbook, inventory),
        };
        Plan {
            format: FORMAT,
            made_at,
            playbook: playbook.clone(),
            inventory: without_secrets(inventory),
            prepare,
            finish,
            tests: tests(playbook, inventory),
        }
    }

    /// The routes that every shift writes: those that send traffic to blue.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        let blue = self.blue_groups();
        self.inventory.routes.iter().filter(move |r| takes_part(&r.actions, &blue))
    }

    /// ARNs of the blue target groups that take part.
    pub fn blue_groups(&self) -> Vec<String> {
        taking_part(&self.inventory).iter().map(|g| g.arn.clone()).collect()
    }

    /// All listeners of the load balancers, those without a moving rule included: new rules are seen.
    pub fn listeners(&self) -> Vec<String> {
        let mut listeners: Vec<String> = self.inventory.routes.iter().map(|r| r.listener.clone()).collect();
        listeners.sort();
        listeners.dedup();
        listeners
    }

    /// The commands that send traffic home by hand, where the places show one of these shares.
    pub fn home_commands(&self, made: &Made, written: &[Share]) -> Vec<(String, String)> {
        match &self.playbook.shift {
            Shift::DnsWeights(_) => {
                let green = green_name(&self.playbook.name, &self.inventory, made);
                record_commands(&self.inventory, green.as_ref(), written)
            }
            _ => home_commands(&self.inventory, &self.playbook, &self.routes().collect::<Vec<_>>()),
        }
    }

    /// The command that puts the place of a drift back as it was recorded.
    pub fn home_command(&self, drift: &Drift) -> Option<String> {
        if let Shift::DnsWeights(_) = &self.playbook.shift {
            return drifted_record_command(&self.inventory, drift, |set| set.recorded.clone());
        }
        let home = self.home_commands(&Made::new(), &[]);
        home.into_iter().find(|(place, _)| *place == drift.what).map(|(_, command)| command)
    }

    /// The command that sets the place of a drift to what a run at `share` had set.
    pub fn share_command(&self, made: &Made, share: Share, drift: &Drift) -> Option<String> {
        match &self.playbook.shift {
            Shift::ListenerWeights(_) | Shift::ListenerSwap(_) => {
                let green = |blue: &String| made.get(&green_key(blue)).cloned();
                let twin = |blue: String| green(&blue).map(|g| pair(&self.playbook, &self.inventory, blue, g));
                let pairs: Vec<Pair> = self.blue_groups().into_iter().filter_map(twin).collect();
                let routes = self.routes().collect::<Vec<_>>();
                let commands = share_commands(&self.inventory, &self.playbook.shift, &routes, &pairs, share);
                commands.into_iter().find(|(named, _)| *named == drift.what).map(|(_, command)| command)
            }
            Shift::DnsWeights(_) => {
                let green = green_name(&self.playbook.name, &self.inventory, made)?;
                drifted_record_command(&self.inventory, drift, |set| set.at_share(&green, share))
            }
            Shift::InPlace(_) => None,
        }
    }

    pub fn green_name(&self) -> String {
        self.playbook.green_name()
    }

    /// Tasks that green should run.
    pub fn green_count(&self) -> u32 {
        self.playbook.green.desired_count.unwrap_or(self.inventory.service.desired_count)
    }

    /// What can be counted of this run's traffic.
    pub fn counted(&self) -> Counted {
        let network = self.inventory.load_balancers.iter().any(|b| b.kind == "network");
        match (&self.playbook.shift, network) {
            (Shift::InPlace(_), _) => Counted::Nothing,
            (_, true) => Counted::Flows,
            (_, false) => Counted::Requests,
        }
    }

    /// What green is compared with.
    pub fn baseline(&self) -> Baseline {
        if self.playbook.shift.at_once() { Baseline::Past } else { Baseline::Beside }
    }

    /// How long targets of the slowest target group drain.
    pub fn drain_seconds(&self) -> u64 {
        drain_seconds(&self.inventory)
    }

    /// How long flows may stay on the side that lost its place; 0 where they do not.
    pub fn flow_seconds(&self) -> u64 {
        let keeps = matches!(self.playbook.shift, Shift::ListenerSwap(_))
            && self.inventory.load_balancers.iter().any(|b| b.kind == "network");
        if keeps { FLOW_SECONDS } else { 0 }
    }

    /// How long clients may go where they went before a shift, after the shift is in effect.
    pub fn following(&self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.inventory.follow_seconds()))
    }

    /// The first full minute in which every load balancer, and every resolver, follows a shift that was
    /// read back then.
    pub fn followed_from(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let minute = TimeDelta::minutes(1);
        let until = at + TimeDelta::seconds(PROPAGATION_SECONDS) + self.following();
        (until + minute - TimeDelta::milliseconds(1)).duration_trunc(minute).unwrap_or(until)
    }

    /// Share of a stage; stage 0 is before the first.
    pub fn share(&self, stage: usize) -> Share {
        match stage.checked_sub(1) {
            None => Share::NONE,
            Some(index) => self.playbook.stages.get(index).map_or(Share::ALL, |s| s.green),
        }
    }

    /// The smoke test before a stage.
    pub fn test(&self, stage: usize) -> Option<&Planned> {
        self.tests.iter().find(|p| matches!(&p.operation, Operation::Smoke(test) if test.stage == stage))
    }

    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.prepare.iter().chain(&self.finish).chain(&self.tests).find(|p| p.id == id).map(|p| &p.operation)
    }

    /// When each stage runs, if the run is driven by `advance --all` from `begins` on.
    pub fn schedule(&self, begins: DateTime<Utc>) -> Vec<ScheduledStage> {
        let mut at = begins;
        let following = self.following();
        let stage = |(index, stage): (usize, &Stage)| {
            let bake = TimeDelta::from_std(stage.bake.0).unwrap_or(TimeDelta::MAX / 2);
            let begins = at;
            at = at.checked_add_signed(bake + following).unwrap_or(DateTime::<Utc>::MAX_UTC);
            ScheduledStage { stage: index + 1, share: stage.green, begins, ends: at, approve: stage.approve }
        };
        self.playbook.stages.iter().enumerate().map(stage).collect()
    }

    /// What makes a saved plan stale: the parts of the inventory that the operations rest on.
    ///
    /// Counts, events and alarm states move all the time and are left out; `start` checks them anew.
    pub fn fingerprint(&self) -> String {
        let i = &self.inventory;
        let facts = serde_json::json!([
            i.account,
            i.region,
            i.service.arn,
            i.service.task_definition,
            i.service.desired_count,
            i.service.carried,
            i.service.subnets,
            i.service.security_groups,
            i.service.load_balancers.len(),
            i.target_groups,
            i.load_balancers,
            i.green_balancer,
            i.anatomies,
            i.routes,
            i.scaling,
            i.service.registries,
            i.registries.iter().map(|r| (&r.arn, &r.records)).collect::<Vec<_>>(),
            i.names,
            self.prepare,
            self.finish,
        ]);
        digest(facts.to_string().as_bytes())
    }

    /// What differs between the estate a saved plan was made from and the one seen now, in words.
    pub fn differences(&self, now: &Plan) -> Vec<String> {
        let (old, new) = (&self.inventory, &now.inventory);
        let mut differences = Vec::new();
        let mut compare = |what: &str, same: bool| {
            if !same {
                differences.push(format!("{what} changed"));
            }
        };
        compare("the account or region", (&old.account, &old.region) == (&new.account, &new.region));
        compare("blue's task definition", old.service.task_definition == new.service.task_definition);
        compare("blue's desired count", old.service.desired_count == new.service.desired_count);
        compare("blue's settings", old.service.carried == new.service.carried);
        compare("a target group", old.target_groups == new.target_groups);
        compare("a load balancer", (&old.load_balancers, &old.anatomies) == (&new.load_balancers, &new.anatomies));
        compare("a listener or rule", old.routes == new.routes);
        compare("blue's registration in Cloud Map", old.service.registries == new.service.registries);
        compare("a record", old.names == new.names);
        compare("green's load balancer", old.green_balancer == new.green_balancer);
        compare("blue's auto scaling", old.scaling == new.scaling);
        compare("the playbook", self.playbook == now.playbook);
        differences
    }
}

fn tests(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let blue: Vec<String> = taking_part(inventory).iter().map(|g| g.arn.clone()).collect();
    let shared = matches!(playbook.shift, Shift::ListenerWeights(_));
    let moving = inventory.routes.iter().filter(|r| shared && takes_part(&r.actions, &blue));
    let listeners: BTreeSet<&String> = moving.map(|r| &r.listener).collect();
    let listeners: Vec<String> = listeners.into_iter().cloned().collect();
    let stages = playbook.stages.iter().zip(1..);
    let test = |(stage, number): (&Stage, usize)| {
        let test = SmokeTest { stage: number, smoke: stage.smoke.clone()?, listeners: listeners.clone() };
        Some(Planned::new(format!("smoke-stage-{number}"), Operation::Smoke(test)))
    };
    stages.filter_map(test).collect()
}

/// The first 16 hexadecimal digits of a SHA-256: enough to tell two playbooks or plans apart.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// The inventory as a plan and a journal keep it. Values of environment variables are often secrets,
/// and nothing behind the assessment needs them: their names stay.
fn without_secrets(inventory: &Inventory) -> Inventory {
    let mut kept = inventory.clone();
    for container in &mut kept.task_definition.containers {
        container.environment.values_mut().for_each(String::clear);
    }
    kept
}

/// The target groups that some route sends traffic to; the others have nothing to shift.
fn taking_part(inventory: &Inventory) -> Vec<&TargetGroup> {
    let reached =
        |g: &&TargetGroup| inventory.routes.iter().any(|r| takes_part(&r.actions, std::slice::from_ref(&g.arn)));
    inventory.target_groups.iter().filter(reached).collect()
}

/// Tags of what the run creates: blue's own without those that AWS reserves, the playbook's, ours.
fn tags(playbook: &Playbook, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut tags: BTreeMap<String, String> =
        own.iter().filter(|(k, _)| !k.starts_with("aws:")).map(|(k, v)| (k.clone(), v.clone())).collect();
    tags.extend(playbook.green.tags.clone());
    tags.insert("migrate:run".into(), playbook.name.clone());
    tags
}

fn new_target_group(playbook: &Playbook, group: &TargetGroup) -> NewTargetGroup {
    let mut tags = tags(playbook, &group.tags);
    tags.insert("migrate:from".into(), group.name.clone());
    NewTargetGroup { name: twin_name(&group.name), from: group.arn.clone(), tags }
}

/// `<name>-ipv6`, shortened to the limit with a digest where two long names could meet.
fn twin_name(name: &str) -> String {
    let plain = format!("{name}-ipv6");
    if plain.len() <= TARGET_GROUP_NAME_MAX {
        return plain;
    }
    let digest = digest(name.as_bytes());
    let kept: String = name.chars().take(TARGET_GROUP_NAME_MAX - "-12345678-ipv6".len()).collect();
    format!("{}-{}-ipv6", kept.trim_end_matches('-'), &digest[..8])
}

/// Blue's attributes, those left out that a new group of type ip cannot be given. An empty value,
/// such as that of an application cookie's name that is not in use, can be read but not set.
fn attributes(group: &TargetGroup) -> BTreeMap<String, String> {
    let settable = |(k, v): &(&String, &String)| !k.starts_with("lambda.") && !v.is_empty();
    group.attributes.iter().filter(settable).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn probe(playbook: &Playbook, inventory: &Inventory, groups: &[&TargetGroup], balancer: &str) -> AssociateGreen {
    let of_balancer = |g: &&&TargetGroup| g.load_balancers.iter().any(|b| b == balancer);
    let blue: Vec<String> = groups.iter().filter(of_balancer).map(|g| g.arn.clone()).collect();
    let moving = |r: &&Route| r.load_balancer == balancer && takes_part(&r.actions, &blue);
    let listener = inventory.routes.iter().find(moving).map(|r| r.listener.clone()).unwrap_or_default();
    AssociateGreen {
        load_balancer: balancer.to_owned(),
        listener,
        host: format!("migrate-{}.invalid", playbook.name),
        blue,
        alone: None,
        tags: tags(playbook, &BTreeMap::new()),
    }
}

/// The family of green's task definition.
fn green_family(blue: &TaskDefinition) -> String {
    format!("{}-ipv6", blue.family)
}

fn new_task_definition(playbook: &Playbook, inventory: &Inventory) -> NewTaskDefinition {
    let definition = &inventory.task_definition;
    let mut environment: BTreeMap<String, String> =
        [("AWS_USE_DUALSTACK_ENDPOINT".to_owned(), "true".to_owned())].into();
    environment.extend(playbook.green.task.environment.clone());
    let image = |c: &crate::inventory::Container| {
        let wished = playbook.green.task.images.get(&c.name).cloned();
        wished.or_else(|| image::dual_stack(&c.image)).map(|image| (c.name.clone(), image))
    };
    let images: BTreeMap<String, String> = definition.containers.iter().filter_map(image).collect();
    let mut tags = tags(playbook, &definition.tags);
    let content = serde_json::json!([definition.arn, images, environment]).to_string();
    tags.insert("migrate:content".into(), digest(content.as_bytes()));
    NewTaskDefinition { from: definition.arn.clone(), family: green_family(definition), images, environment, tags }
}

fn clone_service(playbook: &Playbook, inventory: &Inventory) -> CloneService {
    let blue = &inventory.service;
    let wished = &playbook.green.network.security_groups;
    CloneService {
        cluster: blue.cluster.clone(),
        from: blue.name.clone(),
        name: playbook.green_name(),
        desired_count: playbook.green.desired_count.unwrap_or(blue.desired_count),
        subnets: playbook.green.network.subnets.clone(),
        security_groups: if wished.is_empty() { blue.security_groups.clone() } else { wished.clone() },
        registries: Vec::new(),
        tags: tags(playbook, &blue.tags),
    }
}

fn hold_blue(inventory: &Inventory, scaling: &ScalableTarget, held: Suspension) -> HoldScaling {
    HoldScaling {
        cluster: inventory.service.cluster.clone(),
        service: inventory.service.name.clone(),
        resource: scaling.resource.clone(),
        was: scaling.suspended,
        held,
    }
}

/// Lets auto scaling do more with green than before; `None` where it is the same.
fn loosen_green(
    playbook: &Playbook,
    inventory: &Inventory,
    scaling: &ScalableTarget,
    was: Suspension,
    held: Suspension,
) -> Option<HoldScaling> {
    let service = playbook.green_name();
    let cluster = scaling.resource.rsplit_once('/').map_or("", |(cluster, _)| cluster);
    let resource = format!("{cluster}/{service}");
    (was != held).then(|| HoldScaling { cluster: inventory.service.cluster.clone(), service, resource, was, held })
}

/// Blue's bounds, except that the tasks that green begins with are always allowed: registering moves
/// the number of tasks between the bounds at once, and fewer than planned would hold the run.
fn copy_scaling(playbook: &Playbook, inventory: &Inventory, scaling: &ScalableTarget) -> CopyScaling {
    let count = playbook.green.desired_count.unwrap_or(inventory.service.desired_count);
    CopyScaling {
        cluster: inventory.service.cluster.clone(),
        from: inventory.service.name.clone(),
        service: playbook.green_name(),
        min: scaling.min,
        max: scaling.max.max(i32::try_from(count).unwrap_or(i32::MAX)),
    }
}

fn drain_seconds(inventory: &Inventory) -> u64 {
    let delay = |g: &TargetGroup| g.attributes.get("deregistration_delay.timeout_seconds")?.parse().ok();
    inventory.target_groups.iter().filter_map(delay).max().unwrap_or(300)
}

/// Blue's end, once nothing sends it traffic any more: its auto scaling stops and green's is let go,
/// then it loses its tasks or is deleted. Nothing where blue serves target groups that did not move.
fn retire(playbook: &Playbook, inventory: &Inventory) -> Vec<Planned> {
    let blue = &inventory.service;
    let (cluster, service) = (blue.cluster.clone(), blue.name.clone());
    let mut steps = Vec::new();
    if !inventory.left_behind().is_empty() {
        // Blue still serves what the playbook leaves out.
        return steps;
    }
    if let Some(scaling) = &inventory.scaling {
        let during = scaling.suspended.without_shrinking();
        if let Some(hold) = loosen_green(playbook, inventory, scaling, during, scaling.suspended) {
            steps.push(Planned::new("release-green-scaling", Operation::HoldScaling(hold)));
        }
        let hold = hold_blue(inventory, scaling, Suspension::ALL);
        steps.push(Planned::new("stop-blue-scaling", Operation::HoldScaling(hold)));
    }
    steps.push(match playbook.finish.blue {
        RetireBlue::ScaleToZero => Planned::new("scale-blue-to-zero", Operation::ScaleToZero { cluster, service }),
        RetireBlue::Remove => Planned::new("remove-blue", Operation::RemoveService { cluster, service }),
    });
    steps
}
