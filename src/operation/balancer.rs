//! A load balancer for green, like blue's: made, checked against its model, and taken away again.
//!
//! Nothing of blue's load balancer is changed, and nothing is deleted that does not bear this run's tag.
//! What is made here gets no request before a record leads to it, so order matters little; but it is
//! held to its model, listener by listener and rule by rule, before a record may lead there.
//!
//! Protection from deletion is left out until the finish: it would keep a rollback from removing the copy.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::green::unseen;
use super::{GREEN_BALANCER, GREEN_BALANCER_DNS, GREEN_BALANCER_ZONE, Made, Outcome, Scene, listener_key};
use crate::cloud::balancers::{NewListener, NewLoadBalancer, RuleLike};
use crate::cloud::{Cause, CloudError};
use crate::inventory::balancer::{Anatomy, Listener, strangers};
use crate::traffic::{Pair, replaced, same};

/// Listeners like those of blue's load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyListeners {
    /// ARN of the existing load balancer that gets them; `None`: the one that the run creates.
    pub load_balancer: Option<String>,
    pub listeners: Vec<ListenerCopy>,
}

/// One of them, with what it is given after its creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerCopy {
    /// ARN of blue's listener.
    pub from: String,
    pub port: u16,
    pub protocol: String,
    /// Certificates beside the default one.
    pub certificates: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

/// A rule like one of blue's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCopy {
    /// ARN of blue's rule.
    pub from: String,
    /// ARN of the listener that blue's rule belongs to.
    pub listener: String,
    pub priority: u32,
    pub tags: BTreeMap<String, String>,
}

/// Waits until green's load balancer is there and like its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitBalancer {
    /// ARN of blue's load balancer.
    pub from: String,
    /// ARN of the existing load balancer that has green's listeners; `None`: the one that the run creates.
    pub load_balancer: Option<String>,
    /// Attributes that it was given.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl CopyListeners {
    /// Protocol and port of each, for people.
    pub(super) fn ports(&self) -> String {
        self.listeners.iter().map(|l| format!("{} :{}", l.protocol, l.port)).collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn create(scene: &Scene, new: &NewLoadBalancer) -> Result<Outcome, CloudError> {
    let made = scene.cloud.create_load_balancer(new)?;
    let made: Made = [
        (GREEN_BALANCER.to_owned(), made.arn),
        (GREEN_BALANCER_DNS.to_owned(), made.dns_name),
        (GREEN_BALANCER_ZONE.to_owned(), made.hosted_zone),
    ]
    .into();
    Ok(Outcome::Done(made))
}

/// Deletes the load balancer of this name, if it is ours, and waits until it is not described any more.
/// Its target groups are released a little later; their own undo waits for that.
pub(super) fn delete(scene: &Scene, new: &NewLoadBalancer) -> Result<Outcome, CloudError> {
    let Some(found) = scene.cloud.balancer_named(&new.name)? else { return Ok(unseen(scene, &new.name)) };
    let anatomy = scene.cloud.anatomies(std::slice::from_ref(&found.arn))?.into_iter().next();
    // Between the two reads it may have gone; the next look says.
    let Some(anatomy) = anatomy else { return Ok(Outcome::NotYet(format!("{} is on its way out", new.name))) };
    if !is_ours(scene, &anatomy.tags) {
        return Ok(Outcome::done());
    }
    scene.cloud.delete_load_balancer(&found.arn)?;
    Ok(Outcome::NotYet(format!("{} is being deleted", new.name)))
}

/// Writes the attributes that are not as wished, and only those: some can be read and not be set.
pub(super) fn set_attributes(scene: &Scene, wished: &BTreeMap<String, String>) -> Result<Outcome, CloudError> {
    let (arn, anatomy) = match present(scene, None)? {
        Ok(present) => present,
        Err(outcome) => return Ok(outcome),
    };
    let differing = differing(wished, &anatomy.attributes);
    if !differing.is_empty() {
        scene.cloud.set_load_balancer_attributes(&arn, &differing)?;
    }
    Ok(Outcome::done())
}

pub(super) fn create_listeners(scene: &Scene, copy: &CopyListeners) -> Result<Outcome, CloudError> {
    let Some(arn) = copy.load_balancer.as_ref().or_else(|| scene.made.get(GREEN_BALANCER)) else {
        return Ok(not_made());
    };
    let new = |l: &ListenerCopy| NewListener {
        from: l.from.clone(),
        load_balancer: arn.clone(),
        port: l.port,
        target_groups: twins(scene),
        tags: l.tags.clone(),
    };
    let wanted: Vec<NewListener> = copy.listeners.iter().map(new).collect();
    let mut made = Made::new();
    for (listener, answer) in copy.listeners.iter().zip(scene.cloud.create_listeners(&wanted)) {
        made.insert(listener_key(&listener.from), answer?);
    }
    Ok(Outcome::Done(made))
}

/// Certificates beside the default one, and attributes, of the listeners that were created.
pub(super) fn configure_listeners(scene: &Scene, copy: &CopyListeners) -> Result<Outcome, CloudError> {
    let (_, anatomy) = match present(scene, copy.load_balancer.as_ref())? {
        Ok(present) => present,
        Err(outcome) => return Ok(outcome),
    };
    for wished in &copy.listeners {
        let arn = scene.made.get(&listener_key(&wished.from));
        let Some(found) = anatomy.listeners.iter().find(|l| Some(&l.arn) == arn) else {
            return Ok(Outcome::NotYet(format!("the listener on port {} is not there yet", wished.port)));
        };
        let has = |c: &&String| found.certificates.contains(c) || found.default_certificate.as_ref() == Some(c);
        let lacking: Vec<String> = wished.certificates.iter().filter(|c| !has(c)).cloned().collect();
        if !lacking.is_empty() {
            scene.cloud.add_certificates(&found.arn, &lacking)?;
        }
        let differing = differing(&wished.attributes, &found.attributes);
        if !differing.is_empty() {
            scene.cloud.set_listener_attributes(&found.arn, &differing)?;
        }
    }
    Ok(Outcome::done())
}

pub(super) fn create_rules(scene: &Scene, rules: &[RuleCopy]) -> Result<Outcome, CloudError> {
    let mut wanted = Vec::new();
    for rule in rules {
        let Some(listener) = scene.made.get(&listener_key(&rule.listener)) else { return Ok(not_made()) };
        wanted.push(RuleLike {
            from: rule.from.clone(),
            listener: listener.clone(),
            target_groups: twins(scene),
            tags: rule.tags.clone(),
        });
    }
    let failed = scene.cloud.create_rules(&wanted).into_iter().find_map(Result::err);
    failed.map_or_else(|| Ok(Outcome::done()), Err)
}

/// Takes our listeners away from a load balancer that is not ours, and their rules with them.
pub(super) fn delete_listeners(scene: &Scene, copy: &CopyListeners) -> Result<Outcome, CloudError> {
    let Some(balancer) = &copy.load_balancer else { return Ok(Outcome::done()) };
    let anatomy = scene.cloud.anatomies(std::slice::from_ref(balancer))?.into_iter().next();
    let listeners = anatomy.map(|a| a.listeners).unwrap_or_default();
    let ours: Vec<&Listener> = listeners.iter().filter(|l| is_ours(scene, &l.tags)).collect();
    if ours.is_empty() {
        return Ok(unseen(scene, "a listener of this run"));
    }
    for listener in ours {
        scene.cloud.delete_listener(&listener.arn)?;
    }
    Ok(Outcome::NotYet("the listeners of this run are being deleted".to_owned()))
}

/// Whether the load balancer works, and is like its model.
pub(super) fn await_ready(scene: &Scene, wait: &AwaitBalancer) -> Result<Outcome, CloudError> {
    let Some(arn) = wait.load_balancer.as_ref().or_else(|| scene.made.get(GREEN_BALANCER)) else {
        return Ok(not_made());
    };
    let Some(balancer) = scene.cloud.balancer_named(arn)? else { return Ok(not_shown(arn)) };
    match balancer.state.as_str() {
        "active" => {}
        "failed" => return Ok(Outcome::Never(format!("{} could not be set up: its state is failed", balancer.name))),
        state => return Ok(Outcome::NotYet(format!("{} is {state}", balancer.name))),
    }
    let anatomies = scene.cloud.anatomies(&[wait.from.clone(), arn.clone()])?;
    let of = |arn: &str| anatomies.iter().find(|a| a.load_balancer == arn);
    let (Some(model), Some(copy)) = (of(&wait.from), of(arn)) else { return Ok(not_shown(arn)) };
    let mut lacking = unlike(model, copy, &scene.pairs());
    lacking.extend(differing(&wait.attributes, &copy.attributes).into_keys().map(|k| format!("its attribute {k}")));
    match lacking.as_slice() {
        [] => Ok(Outcome::done()),
        some => Ok(Outcome::NotYet(format!("{} is not like blue's yet: {}", balancer.name, some.join(", ")))),
    }
}

/// WAF learns of a new load balancer late, and refuses until then.
pub(super) fn associate_web_acl(scene: &Scene, web_acl: &str) -> Result<Outcome, CloudError> {
    let (arn, anatomy) = match present(scene, None)? {
        Ok(present) => present,
        Err(outcome) => return Ok(outcome),
    };
    if anatomy.web_acl.as_deref() == Some(web_acl) {
        return Ok(Outcome::done());
    }
    match scene.cloud.associate_web_acl(&arn, web_acl) {
        Ok(()) => Ok(Outcome::NotYet("WAF does not show the web ACL on the load balancer yet".to_owned())),
        Err(error) if error.cause == Cause::Refused && error.message.contains("WAFUnavailableEntity") => {
            Ok(Outcome::NotYet(error.message))
        }
        Err(error) => Err(error),
    }
}

/// Green's load balancer and what it is made of, or why not.
fn present(scene: &Scene, named: Option<&String>) -> Result<Result<(String, Anatomy), Outcome>, CloudError> {
    let Some(arn) = named.or_else(|| scene.made.get(GREEN_BALANCER)) else { return Ok(Err(not_made())) };
    let anatomy = scene.cloud.anatomies(std::slice::from_ref(arn))?.into_iter().next();
    Ok(anatomy.map(|a| (arn.clone(), a)).ok_or_else(|| not_shown(arn)))
}

fn not_made() -> Outcome {
    Outcome::NotYet("green's load balancer is not there yet".to_owned())
}

fn not_shown(arn: &str) -> Outcome {
    Outcome::NotYet(format!("{arn} is not shown yet"))
}

fn is_ours(scene: &Scene, tags: &BTreeMap<String, String>) -> bool {
    tags.get("migrate:run").map(String::as_str) == Some(scene.run)
}

fn twins(scene: &Scene) -> BTreeMap<String, String> {
    scene.pairs().into_iter().map(|p| (p.blue, p.green)).collect()
}

/// What of the wish is otherwise.
fn differing(wished: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    wished.iter().filter(|(k, v)| found.get(*k) != Some(v)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// What of the model's listeners and rules the copy lacks, in words. Rules that forward to groups without a
/// twin are not copied, and nothing that the copy has besides matters here.
fn unlike(model: &Anatomy, copy: &Anatomy, pairs: &[Pair]) -> Vec<String> {
    let blue: Vec<String> = pairs.iter().map(|p| p.blue.clone()).collect();
    let mut lacking = Vec::new();
    for wished in &model.listeners {
        let Some(found) = copy.listeners.iter().find(|l| l.port == wished.port) else {
            lacking.push(format!("the listener on port {}", wished.port));
            continue;
        };
        if !same_listener(wished, found, pairs) {
            lacking.push(format!("the settings of port {}", wished.port));
        }
        for rule in wished.rules.iter().filter(|r| strangers(&r.actions, &blue).is_empty()) {
            let twin = found.rules.iter().find(|r| r.priority == rule.priority);
            let like = twin.is_some_and(|t| {
                let same_place = t.conditions == rule.conditions && t.transforms == rule.transforms;
                same_place && same(&t.actions, &replaced(&rule.actions, pairs))
            });
            if !like {
                lacking.push(format!("rule {} of port {}", rule.priority, wished.port));
            }
        }
    }
    lacking
}

fn same_listener(wished: &Listener, found: &Listener, pairs: &[Pair]) -> bool {
    let facts = |l: &Listener| {
        let l = l.clone();
        (l.protocol, l.ssl_policy, l.alpn, l.default_certificate, l.mutual_authentication)
    };
    let certificates = |l: &Listener| -> BTreeSet<String> { l.certificates.iter().cloned().collect() };
    facts(wished) == facts(found)
        && certificates(wished).is_subset(&certificates(found))
        && differing(&wished.copied_attributes(), &found.attributes).is_empty()
        && same(&found.default_actions, &replaced(&wished.default_actions, pairs))
}
