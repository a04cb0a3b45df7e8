//! Names: hosted zones and their records, and what Route 53 refuses.
//!
//! Invariant: nothing is stored that the real service would refuse, and a batch happens whole or not
//! at all. What the service accepts but the tool must never do is accepted, and is a violation. How
//! clients follow the answers is in [`super::resolvers`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::Sim;
use super::faults::{failed, not_found, refused};
use super::resolvers::Resolvers;
use super::universe::{Lagging, Universe, ViolationKind, mixed, number_of};
use crate::cloud::names::{Names, RecordChange};
use crate::cloud::{Cause, CloudError};
use crate::inventory::record::canonical;
use crate::inventory::{Record, Zone};

pub(super) const LIST: &str = "route53:ListResourceRecordSets";
pub(super) const CHANGE: &str = "route53:ChangeResourceRecordSets";
const GET_CHANGE: &str = "route53:GetChange";
/// Members that a set may have (Route 53 guide, quotas).
const MEMBERS_MAX: usize = 100;
/// How long a change takes until all servers answer with it: at least this, and up to as much again.
const PROPAGATION_SECONDS: u64 = 15;

/// All of Route 53 in this universe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimNames {
    /// By id.
    pub zones: BTreeMap<String, SimZone>,
    /// By id.
    pub changes: BTreeMap<String, SimChange>,
    pub resolvers: Resolvers,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimZone {
    pub zone: Zone,
    pub records: Lagging<Vec<Record>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimChange {
    pub in_sync: DateTime<Utc>,
    /// The zone and its records, until the servers have them.
    pub published: Option<(String, Vec<Record>)>,
}

impl Names for Sim {
    fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        self.read("route53:ListHostedZones", |u| Ok(u.names.zones.values().map(|z| z.zone.clone()).collect()))
    }

    fn records(&self, zone: &str) -> Result<Vec<Record>, CloudError> {
        self.read(LIST, |u| u.records_seen(zone).cloned())
    }

    fn change_records(&self, change: &RecordChange) -> Result<String, CloudError> {
        self.change(CHANGE, |u| u.change_records(change))
    }

    fn change_in_sync(&self, id: &str) -> Result<bool, CloudError> {
        self.read(GET_CHANGE, |u| {
            let known = u.names.changes.get(id).map(|change| u.now >= change.in_sync);
            known.ok_or_else(|| not_found(GET_CHANGE, format!("NoSuchChange: A change with id {id} does not exist")))
        })
    }
}

/// What tells a record from others of its zone.
pub(super) fn key(record: &Record) -> (String, String, Option<String>) {
    (canonical(&record.name), record.kind.clone(), record.set_identifier.clone())
}

/// Whether a deletion names the present values. Unlike in a comparison for people, the prefix of an
/// alias counts.
fn exactly(one: &Record, other: &Record) -> bool {
    let target = |r: &Record| r.alias_target.as_ref().map(|a| canonical(&a.dns_name));
    one.same(other) && target(one) == target(other)
}

fn shown(record: &Record) -> String {
    let identifier = record.set_identifier.as_deref().map(|i| format!(", set identifier='{i}'")).unwrap_or_default();
    format!("[name='{}', type='{}'{identifier}]", record.name, record.kind)
}

fn policy(record: &Record) -> &str {
    match (record.rest.keys().next(), record.weight) {
        (Some(other), _) => other,
        (None, Some(_)) => "Weight",
        (None, None) => "",
    }
}

impl Universe {
    pub(super) fn records_seen(&self, zone: &str) -> Result<&Vec<Record>, CloudError> {
        let missing = || not_found(LIST, format!("NoSuchHostedZone: No hosted zone found with ID: {zone}"));
        Ok(self.names.zones.get(zone).ok_or_else(missing)?.records.seen(self.now))
    }

    /// The records of each name, of every type.
    pub(super) fn names_seen(&self, names: &[(String, String)]) -> Result<Vec<Vec<Record>>, CloudError> {
        let of = |(zone, name): &(String, String)| {
            let of_name = |r: &&Record| canonical(&r.name) == canonical(name);
            Ok(self.records_seen(zone)?.iter().filter(of_name).cloned().collect())
        };
        names.iter().map(of).collect()
    }

    pub(super) fn change_records(&mut self, change: &RecordChange) -> Result<String, CloudError> {
        let missing = || not_found(CHANGE, format!("NoSuchHostedZone: No hosted zone found with ID: {}", change.zone));
        let zone = self.names.zones.get(&change.zone).ok_or_else(missing)?;
        if let Some(owner) = &zone.zone.linked_service {
            let text =
                format!("AccessDenied: The resource hostedzone/{} can only be managed through {owner}", change.zone);
            return Err(failed(CHANGE, Cause::Denied, text));
        }
        let before = zone.records.actual.clone();
        let mut after = before.clone();
        for record in &change.delete {
            let at = after.iter().position(|r| key(r) == key(record));
            let Some(at) = at else {
                return invalid(format!("Tried to delete resource record set {} but it was not found", shown(record)));
            };
            if !exactly(&after[at], record) {
                let what = shown(record);
                return invalid(format!(
                    "Tried to delete resource record set {what} but the values provided do not match the current values"
                ));
            }
            after.remove(at);
        }
        for record in &change.create {
            check_form(record)?;
            if after.iter().any(|r| key(r) == key(record)) {
                return invalid(format!("Tried to create resource record set {} but it already exists", shown(record)));
            }
            check_beside(&after, record)?;
            after.push(record.clone());
        }
        self.note_record_changes(&before, &after);
        self.put_records(&change.zone, after);
        Ok(self.begin_change(&change.zone))
    }

    /// Stores the records of a zone; reads may see the old ones for a while.
    pub(super) fn put_records(&mut self, zone: &str, mut records: Vec<Record>) {
        records.sort_by_key(key);
        let (now, lag) = (self.now, self.lag());
        if let Some(stored) = self.names.zones.get_mut(zone) {
            stored.records.set(records, now, lag);
        }
    }

    /// Lets the present records of a zone reach the servers in a while.
    pub(super) fn begin_change(&mut self, zone: &str) -> String {
        let drawn = mixed(&[self.seed, self.calls.count, number_of(zone)]) % (PROPAGATION_SECONDS + 1);
        let seconds = i64::try_from(PROPAGATION_SECONDS + drawn).unwrap_or_default();
        let records = self.names.zones.get(zone).map(|z| z.records.actual.clone()).unwrap_or_default();
        let id = format!("C{}", self.fresh_id().to_uppercase());
        let in_sync = self.now + Duration::seconds(seconds);
        // Servers take changes of a zone in their order.
        let earlier = self.names.changes.values().map(|c| c.in_sync).filter(|at| *at >= in_sync).max();
        let change = SimChange {
            in_sync: earlier.map_or(in_sync, |at| at + Duration::milliseconds(1)),
            published: Some((zone.to_owned(), records)),
        };
        self.names.changes.insert(id.clone(), change);
        id
    }

    /// What a batch must leave alone: the shares and values of others, and a name's last record.
    fn note_record_changes(&mut self, before: &[Record], after: &[Record]) {
        let sets: BTreeSet<(String, String)> =
            before.iter().filter(|r| r.is_address()).map(|r| (canonical(&r.name), r.kind.clone())).collect();
        for (name, kind) in sets {
            let of = |records: &[Record]| -> Vec<Record> {
                records.iter().filter(|r| canonical(&r.name) == name && r.kind == kind).cloned().collect()
            };
            let (old, new) = (of(before), of(after));
            let what = format!("record {name} {kind}");
            if new.is_empty() {
                self.violate(ViolationKind::ForeignDeleted, what.clone());
            }
            if new.len() > 1 && new.iter().all(|r| r.weight == Some(0)) {
                self.violate(ViolationKind::AllWeightsZero, what.clone());
            }
            if self.foreign_part(&old) != self.foreign_part(&new) {
                self.violate(ViolationKind::ForeignChanged, what);
            }
        }
    }

    /// The members of a set that lead neither to blue nor to what the run created, each with its part
    /// of the answers in thousandths.
    fn foreign_part(&self, set: &[Record]) -> Vec<(Record, i64)> {
        let sum: u32 = set.iter().filter_map(|r| r.weight).sum();
        let ours = |r: &&Record| r.set_identifier.as_deref().is_some_and(|i| i.starts_with("migrate-"));
        let balancer = |r: &&Record| self.balancer_of(r).is_some();
        let foreign = set.iter().filter(|r| set.len() > 1 && !ours(r) && !balancer(r));
        foreign
            .map(|r| {
                let part = 1000.0 * f64::from(r.weight.unwrap_or(0)) / f64::from(sum.max(1));
                #[expect(clippy::cast_possible_truncation, reason = "at most 1000")]
                let part = part.round() as i64;
                (Record { weight: None, ..r.clone() }, part)
            })
            .collect()
    }
}

fn invalid<T>(text: String) -> Result<T, CloudError> {
    Err(refused(CHANGE, format!("InvalidChangeBatch: [{text}]")))
}

/// What a record must be by itself.
fn check_form(record: &Record) -> Result<(), CloudError> {
    let what = shown(record);
    if record.alias_target.is_some() && (record.ttl.is_some() || !record.resource_records.is_empty()) {
        return invalid(format!("Invalid request: an alias record {what} can have neither a TTL nor values"));
    }
    if record.alias_target.is_none() && (record.ttl.is_none() || record.resource_records.is_empty()) {
        return invalid(format!("Invalid request: {what} needs a TTL and values, or an alias target"));
    }
    if record.weight.is_some_and(|w| w > 255) {
        return invalid(format!("Invalid weight of {what}: a weight is from 0 to 255"));
    }
    let single = policy(record).is_empty();
    if single == record.set_identifier.is_some() {
        return invalid(format!("Invalid request: {what} has a set identifier without a routing policy, or lacks one"));
    }
    if record.set_identifier.as_ref().is_some_and(|i| i.is_empty() || i.len() > 128) {
        return invalid(format!("Invalid set identifier of {what}: 1 to 128 characters"));
    }
    if !single && record.resource_records.len() > 1 {
        return invalid(format!("Invalid request: {what} can have only one value"));
    }
    Ok(())
}

/// What a record must be beside the others of its name.
fn check_beside(others: &[Record], record: &Record) -> Result<(), CloudError> {
    let name = canonical(&record.name);
    let of_name: Vec<&Record> = others.iter().filter(|r| canonical(&r.name) == name).collect();
    if of_name.iter().any(|r| (r.kind == "CNAME") != (record.kind == "CNAME")) {
        return invalid(format!(
            "RRSet of type {} with DNS name {name} is not permitted as it conflicts with other records with the same \
             DNS name",
            record.kind
        ));
    }
    let set: Vec<&&Record> = of_name.iter().filter(|r| r.kind == record.kind).collect();
    if let Some(other) = set.iter().find(|r| policy(r) != policy(record)) {
        let word = |r: &Record| match policy(r) {
            "" => "non-weighted".to_owned(),
            "Weight" => "weighted".to_owned(),
            other => other.to_owned(),
        };
        let identifier = record.set_identifier.as_deref().unwrap_or("null");
        return invalid(format!(
            "RRSet with DNS name {name}, type {}, SetIdentifier {identifier} cannot be created as a {} set exists with \
             the same name and type",
            record.kind,
            word(other)
        ));
    }
    if set.iter().any(|r| r.ttl.is_some() && record.ttl.is_some() && r.ttl != record.ttl) {
        return invalid(format!(
            "RRSet with DNS name {name}, type {}: weighted sets must contain the same TTL",
            record.kind
        ));
    }
    if set.len() >= MEMBERS_MAX {
        return invalid(format!("RRSet with DNS name {name}, type {}: more than {MEMBERS_MAX} members", record.kind));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{pass, start};
    use super::super::{Scenario, Tamper, Violation};
    use super::*;
    use crate::inventory::{AliasTarget, ResourceRecord};
    use crate::playbook::Playbook;

    const ZONE: &str = "Z0SANDBOX1";

    fn sim() -> Sim {
        let playbook: Playbook = serde_json::from_value(serde_json::json!({
            "version": 1,
            "name": "web",
            "service": { "cluster": "prod", "name": "web" },
            "green": { "network": { "subnets": ["subnet-0a1"] } },
            "shift": { "dns_weights": {} },
            "stages": [{ "green": "100%", "bake": "15m" }],
        }))
        .unwrap();
        Sim::in_memory(Universe::for_playbook(&playbook, Scenario::Healthy, 7, start()))
    }

    /// The A record of the name that moves.
    fn api(sim: &Sim) -> Record {
        let records = sim.records(ZONE).unwrap();
        records.into_iter().find(|r| r.name == "api.example.com." && r.kind == "A").unwrap()
    }

    fn member(of: &Record, identifier: &str, weight: u32) -> Record {
        Record { set_identifier: Some(identifier.to_owned()), weight: Some(weight), ..of.clone() }
    }

    fn one(record: &Record) -> &[Record] {
        std::slice::from_ref(record)
    }

    fn change(sim: &Sim, delete: &[Record], create: &[Record]) -> Result<String, CloudError> {
        let (delete, create) = (delete.to_vec(), create.to_vec());
        sim.change_records(&RecordChange { zone: ZONE.to_owned(), comment: String::new(), delete, create })
    }

    fn plain(name: &str, kind: &str, value: &str) -> Record {
        Record {
            name: format!("{name}.example.com."),
            kind: kind.to_owned(),
            ttl: Some(60),
            resource_records: vec![ResourceRecord { value: value.to_owned() }],
            ..Record::default()
        }
    }

    /// Refused with this text, and nothing of the batch has happened.
    fn refused_with(sim: &Sim, delete: &[Record], create: &[Record], text: &str) {
        let before = sim.universe().names;
        let error = change(sim, delete, create).unwrap_err();
        assert_eq!(error.cause, Cause::Refused);
        assert!(error.message.starts_with("InvalidChangeBatch") && error.message.contains(text), "{error}");
        assert_eq!(sim.universe().names, before, "{text}");
    }

    #[test]
    fn a_deletion_names_the_exact_values() {
        let (sim, api) = (sim(), api(&sim()));
        let bare = api
            .alias_target
            .as_ref()
            .map(|a| AliasTarget { dns_name: a.dns_name.trim_start_matches("dualstack.").to_owned(), ..a.clone() });
        for wrong in [
            Record { alias_target: bare, ..api.clone() },
            Record { weight: Some(1), ..api.clone() },
            Record { ttl: Some(60), ..api.clone() },
        ] {
            refused_with(&sim, &[wrong], &[], "do not match the current values");
        }
        refused_with(&sim, &[member(&api, "blue", 1)], &[], "was not found");
        let shouted = Record { name: "API.example.com".to_owned(), ..api.clone() };
        change(&sim, &[shouted], one(&api)).unwrap();
    }

    #[test]
    fn a_batch_happens_whole_or_not_at_all() {
        let (sim, api) = (sim(), api(&sim()));
        let blue = member(&api, "blue", 10);
        refused_with(&sim, one(&api), &[blue.clone(), member(&api, "green", 256)], "0 to 255");
        refused_with(&sim, one(&api), &[blue.clone(), blue.clone()], "already exists");
        change(&sim, one(&api), one(&blue)).unwrap();
        // The second look at the same values fails: it is a compare-and-swap.
        refused_with(&sim, &[api], &[blue], "was not found");
    }

    #[test]
    fn simple_weighted_and_other_policies_do_not_mix() {
        let (sim, api) = (sim(), api(&sim()));
        refused_with(&sim, &[], &[member(&api, "green", 1)], "a non-weighted set exists");
        change(&sim, one(&api), &[member(&api, "blue", 1)]).unwrap();
        refused_with(&sim, &[], one(&api), "a weighted set exists");
        let mut here = member(&api, "here", 1);
        here.weight = None;
        here.rest.insert("Region".to_owned(), "eu-central-1".into());
        refused_with(&sim, &[], &[here], "a weighted set exists");
        refused_with(&sim, &[], &[plain("api", "CNAME", "x.example.net")], "conflicts with other records");
    }

    #[test]
    fn the_form_of_a_record_is_checked() {
        let (sim, api) = (sim(), api(&sim()));
        refused_with(&sim, one(&api), &[Record { ttl: Some(60), ..api.clone() }], "neither a TTL");
        refused_with(&sim, &[], &[Record { ttl: None, ..plain("new", "A", "192.0.2.1") }], "needs a TTL");
        refused_with(&sim, &[], &[Record { weight: Some(1), ..plain("new", "A", "192.0.2.1") }], "set identifier");
        let long = member(&plain("new", "A", "192.0.2.1"), &"x".repeat(129), 1);
        refused_with(&sim, &[], &[long], "1 to 128");
        let mut two = member(&plain("new", "A", "192.0.2.1"), "x", 1);
        two.resource_records.push(ResourceRecord { value: "192.0.2.2".to_owned() });
        refused_with(&sim, &[], &[two], "only one value");
    }

    #[test]
    fn a_set_has_one_ttl_and_at_most_100_members() {
        let sim = sim();
        let nth = |n: u32| member(&plain("new", "A", "192.0.2.1"), &format!("m{n}"), 1);
        let slow = Record { ttl: Some(300), ..nth(1) };
        refused_with(&sim, &[], &[nth(0), slow], "must contain the same TTL");
        let full: Vec<Record> = (0..100).map(nth).collect();
        change(&sim, &[], &full).unwrap();
        refused_with(&sim, &[], &[nth(100)], "more than 100 members");
    }

    #[test]
    fn a_change_is_pending_for_some_seconds() {
        let (sim, api) = (sim(), api(&sim()));
        let id = change(&sim, one(&api), one(&api)).unwrap();
        assert_eq!(sim.change_in_sync(&id), Ok(false));
        pass(&sim, 31);
        assert_eq!(sim.change_in_sync(&id), Ok(true));
        assert_eq!(sim.change_in_sync("C0").unwrap_err().cause, Cause::NotFound);
        assert_eq!(sim.records("Z9").unwrap_err().cause, Cause::NotFound);
    }

    #[test]
    fn a_zone_of_a_service_is_that_services() {
        let (sim, api) = (sim(), api(&sim()));
        sim.with(|u| u.names.zones.get_mut(ZONE).unwrap().zone.linked_service = Some("AWS Cloud Map".into())).unwrap();
        let error = change(&sim, one(&api), one(&api)).unwrap_err();
        assert_eq!(error.cause, Cause::Denied);
        assert!(error.message.contains("AWS Cloud Map"), "{error}");
    }

    #[test]
    fn what_must_never_be_written_is_a_violation() {
        let kinds = |sim: &Sim| sim.universe().violations.iter().map(|v: &Violation| v.kind).collect::<Vec<_>>();
        let (sim, api) = (sim(), api(&sim()));
        let other = Record { alias_target: None, ..member(&plain("api", "A", "192.0.2.1"), "other", 5) };
        change(&sim, one(&api), &[member(&api, "blue", 5)]).unwrap();
        let theirs = Tamper::PutRecord { zone: ZONE.to_owned(), record: Box::new(other.clone()) };
        assert!(sim.with(|u| u.tamper(&theirs)).unwrap());
        assert_eq!(kinds(&sim), []);
        change(&sim, one(&other), &[Record { weight: Some(50), ..other.clone() }]).unwrap();
        assert_eq!(kinds(&sim), [ViolationKind::ForeignChanged]);
        let heavy = Record { weight: Some(50), ..other.clone() };
        let zero = |r: &Record| Record { weight: Some(0), ..r.clone() };
        change(&sim, &[member(&api, "blue", 5), heavy.clone()], &[zero(&member(&api, "blue", 5)), zero(&heavy)])
            .unwrap();
        assert!(kinds(&sim).contains(&ViolationKind::AllWeightsZero));
        change(&sim, &[zero(&member(&api, "blue", 5)), zero(&heavy)], &[]).unwrap();
        assert!(kinds(&sim).contains(&ViolationKind::ForeignDeleted));
    }

    #[test]
    fn reads_lag_and_swaps_do_not() {
        let (sim, api) = (sim(), api(&sim()));
        sim.with(|u| u.knobs.read_lag_ms = 60_000).unwrap();
        change(&sim, one(&api), &[member(&api, "blue", 5)]).unwrap();
        assert!(sim.records(ZONE).unwrap().contains(&api), "a read may show the past");
        refused_with(&sim, one(&api), one(&api), "was not found");
    }
}
