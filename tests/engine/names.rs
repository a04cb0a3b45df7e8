//! Traffic that moves by records: what is found, what is refused, what others do meanwhile, and the end.

use migrate::assess::assess;
use migrate::clock::Clock;
use migrate::cloud::sim::{Fault, FaultAt, FaultKind, Scenario, Tamper};
use migrate::cloud::{Cause, names::Names};
use migrate::execute::Stop;
use migrate::execute::decide::left_to_do;
use migrate::finding::{Finding, Severity, blocks};
use migrate::inventory::{AliasTarget, HostedName, Inventory, Record, ResourceRecord};
use migrate::journal::progress::Phase;
use migrate::journal::{Event, HoldReason};

use super::lab::{BY_RECORDS, End, Lab, playbook};

const ZONE: &str = "Z0SANDBOX1";

fn lab(text: &str) -> Lab {
    Lab::new(playbook(text), Scenario::Healthy, 7)
}

/// A run after so many stages, shifted without waiting for the last bake.
fn at_stage(text: &str, stage: usize) -> Lab {
    let mut lab = lab(text);
    assert!(lab.start().reached(), "{}", lab.story());
    for _ in 0..stage {
        assert!(lab.advance(false, true).reached(), "{}", lab.story());
        lab.pass(500);
    }
    lab
}

/// The records of the name that moves.
fn shown(lab: &Lab) -> Vec<Record> {
    let mut zone = lab.sim.universe().names.zones[ZONE].records.actual.clone();
    zone.sort_by_key(|r| (r.kind.clone(), r.set_identifier.clone()));
    zone.into_iter().filter(|r| r.name == "api.example.com.").collect()
}

fn tamper(lab: &mut Lab, change: &Tamper) {
    lab.tampered = true;
    assert!(lab.sim.with(|u| u.tamper(change)).unwrap(), "{change:?}");
}

fn put(record: Record) -> Tamper {
    Tamper::PutRecord { zone: ZONE.into(), record: Box::new(record) }
}

fn delete(record: Record) -> Tamper {
    Tamper::DeleteRecord { zone: ZONE.into(), record: Box::new(record) }
}

fn holds_for_drift(end: &End, lab: &Lab, what: &str) -> String {
    assert!(matches!(end, End::Stop(Stop::Held)), "{what}: {end:?}\n{}", lab.story());
    let (why, reason) = lab.held().unwrap();
    assert_eq!(why, HoldReason::Drift, "{what}: {reason}");
    reason
}

fn answers(lab: &Lab, kind: &str) -> Vec<(String, Option<u32>)> {
    let of_kind = shown(lab).into_iter().filter(|r| r.kind == kind);
    of_kind.map(|r| (r.set_identifier.unwrap_or_default(), r.weight)).collect()
}

#[test]
fn simple_records_become_weighted_and_green_takes_their_place() {
    let mut lab = lab(BY_RECORDS);
    let before = shown(&lab);
    assert!(lab.start().reached());
    for kind in ["A", "AAAA"] {
        assert_eq!(answers(&lab, kind), [("migrate-web-blue".to_owned(), Some(100))], "green is absent at 0 %");
    }
    assert!(lab.advance(false, false).reached(), "{}", lab.story());
    let both = |b, g| [("migrate-web-blue".to_owned(), Some(b)), ("migrate-web-green".to_owned(), Some(g))];
    for kind in ["A", "AAAA"] {
        assert_eq!(answers(&lab, kind), both(90, 10));
    }
    assert!(lab.shift_all(9), "{}", lab.story());
    assert_eq!(answers(&lab, "A"), both(0, 100));
    lab.pass(24 * 3600);
    assert!(lab.finish().reached(), "{}", lab.story());
    lab.assert_lawful("finished");
    let after = shown(&lab);
    assert_eq!(after.len(), before.len());
    for (old, new) in before.iter().zip(&after) {
        let target = |r: &Record| r.alias_target.clone().unwrap();
        assert_eq!((&old.kind, &new.set_identifier, new.weight), (&new.kind, &None, None));
        assert!(target(new).dns_name.starts_with("dualstack.web-ipv6-"), "{new:?}");
        assert_eq!(target(new).evaluate_target_health, target(old).evaluate_target_health);
    }
}

/// The id of every change is in the journal before anything rests on it.
#[test]
fn a_bake_begins_when_the_change_is_in_sync_and_the_ttl_is_over() {
    let mut lab = at_stage(BY_RECORDS, 0);
    assert!(lab.advance(false, true).reached());
    let universe = lab.sim.universe();
    let noted = lab.store.records.iter().filter(|r| matches!(r.event, Event::Noted { .. })).count();
    assert_eq!(noted, universe.names.changes.len(), "{}", lab.story());
    let settled = lab.store.records.iter().find(|r| matches!(r.event, Event::ShiftSettled { stage: 1, .. })).unwrap();
    let in_sync = universe.names.changes.values().map(|c| c.in_sync).max().unwrap();
    assert!(settled.at >= in_sync);
    let bake = lab.progress().bake.unwrap();
    assert_eq!((bake.until - bake.began).num_seconds(), 60 + 5 * 60);
}

#[test]
fn a_record_that_somebody_changed_is_never_overwritten() {
    for stage in 0..3 {
        for kind in ["weight", "ttl", "target", "added", "deleted", "family"] {
            let what = format!("stage {stage}, {kind}");
            let mut lab = at_stage(BY_RECORDS, stage);
            let ours = shown(&lab);
            let first = ours[0].clone();
            let (change, back) = match kind {
                "weight" => (put(Record { weight: Some(77), ..first.clone() }), put(first)),
                "ttl" => {
                    let value = ResourceRecord { value: "192.0.2.1".into() };
                    let plain =
                        Record { alias_target: None, ttl: Some(30), resource_records: vec![value], ..first.clone() };
                    (put(plain), put(first))
                }
                "target" => {
                    let theirs = AliasTarget {
                        dns_name: "elsewhere.example.net.".into(),
                        ..first.alias_target.clone().unwrap()
                    };
                    (put(Record { alias_target: Some(theirs), ..first.clone() }), put(first))
                }
                "added" => {
                    let beside = Record { set_identifier: Some("theirs".into()), weight: Some(3), ..first };
                    (put(beside.clone()), delete(beside))
                }
                "family" => {
                    let (value, name) = (ResourceRecord { value: "x.example.net".into() }, first.name);
                    let record = Record {
                        name,
                        kind: "CNAME".into(),
                        ttl: Some(60),
                        resource_records: vec![value],
                        ..Record::default()
                    };
                    (put(record.clone()), delete(record))
                }
                _ => (delete(first.clone()), put(first)),
            };
            tamper(&mut lab, &change);
            let theirs = lab.sim.universe().names.zones;
            let end = lab.advance(false, true);
            let reason = holds_for_drift(&end, &lab, &what);
            assert!(reason.contains("record api.example.com"), "{reason}");
            let zones = lab.sim.universe().names.zones;
            assert_eq!(zones[ZONE].records.actual, theirs[ZONE].records.actual, "{what}: nothing is written on top");
            if kind != "family" {
                let commands = left_to_do(&lab.progress());
                assert!(
                    commands.iter().any(|c| c.contains("aws route53 change-resource-record-sets")),
                    "{what}: {commands:?}"
                );
            }
            let end = lab.rollback(false);
            // A set of which nothing is left, and one that nobody recorded, bar no way home.
            if !(kind == "family" || kind == "deleted" && stage == 0) {
                let reason = holds_for_drift(&end, &lab, &what);
                assert!(reason.contains("aws route53 change-resource-record-sets"), "{reason}");
                let other: Vec<Record> = shown(&lab).into_iter().filter(|r| r.kind == "AAAA").collect();
                assert!(other.len() == 1 && other[0].weight.is_none(), "{what}: the other family is home");
            }
            tamper(&mut lab, &back);
            if kind == "deleted" && stage == 0 {
                assert!(lab.progress().made.keys().any(|k| k.starts_with("gone:record api.example.com A")));
                continue;
            }
            assert!(lab.go_home(4), "{what}\n{}", lab.story());
            lab.assert_origin(&what);
        }
    }
}

#[test]
fn a_change_during_a_bake_is_noticed_before_the_next_write() {
    let mut lab = at_stage(BY_RECORDS, 0);
    assert!(lab.advance(false, true).reached());
    let first = shown(&lab)[0].clone();
    tamper(&mut lab, &put(Record { weight: Some(1), ..first.clone() }));
    lab.pass(30);
    let end = lab.advance(false, true);
    holds_for_drift(&end, &lab, "bake");
    tamper(&mut lab, &put(first));
    lab.pass(500);
    assert!(lab.advance(false, true).reached(), "{}", lab.story());
    assert_eq!(lab.progress().stage, 2);
}

/// The command that is printed does what it says: the batch in it takes the run home.
#[test]
fn the_command_of_a_drift_and_of_a_stuck_run_can_be_pasted() {
    let mut lab = at_stage(BY_RECORDS, 1);
    let first = shown(&lab)[0].clone();
    tamper(&mut lab, &put(Record { weight: Some(77), ..first }));
    let end = lab.rollback(false);
    let reason = holds_for_drift(&end, &lab, "drift");
    paste(&lab, &reason);
    assert!(lab.go_home(3), "{}", lab.story());
    lab.assert_origin("pasted");

    let mut lab = at_stage(BY_RECORDS, 1);
    let call = FaultAt::Every("route53:ChangeResourceRecordSets".into());
    lab.sim.with(|u| u.faults = vec![Fault { call, kind: FaultKind::RefuseBefore(Cause::Denied) }]).unwrap();
    let end = lab.rollback(false);
    assert!(matches!(end, End::Stop(Stop::Stuck)), "{end:?}");
    let commands = lab.progress().stuck.unwrap().1;
    lab.sim.with(|u| u.faults.clear()).unwrap();
    lab.tampered = true;
    paste(&lab, &commands[0]);
    assert!(lab.go_home(3), "{}", lab.story());
    lab.assert_origin("pasted when stuck");
}

/// Carries out the batch of an AWS CLI command.
fn paste(lab: &Lab, text: &str) {
    let (_, batch) = text.split_once("--change-batch '").expect("a batch");
    let batch: serde_json::Value = serde_json::from_str(batch.split('\'').next().unwrap()).unwrap();
    let of = |action: &str| -> Vec<Record> {
        let changes = batch["Changes"].as_array().unwrap().iter().filter(|c| c["Action"] == action);
        changes.map(|c| serde_json::from_value(c["ResourceRecordSet"].clone()).unwrap()).collect()
    };
    let change = migrate::cloud::names::RecordChange {
        zone: ZONE.into(),
        comment: String::new(),
        delete: of("DELETE"),
        create: of("CREATE"),
    };
    lab.sim.change_records(&change).unwrap();
}

#[test]
fn a_weighted_set_of_others_keeps_its_shares_and_its_names() {
    let mut lab = lab(BY_RECORDS);
    lab.sim
        .with(|u| {
            let zone = u.names.zones.get_mut(ZONE).unwrap();
            for record in zone.records.actual.iter_mut().filter(|r| r.name == "api.example.com.") {
                (record.set_identifier, record.weight) = (Some("main".into()), Some(60));
            }
            let mut others: Vec<Record> =
                zone.records.actual.iter().filter(|r| r.name == "api.example.com.").cloned().collect();
            for other in &mut others {
                (other.set_identifier, other.weight) = (Some("other".into()), Some(40));
                other.alias_target.as_mut().unwrap().dns_name = "other.example.net.".into();
            }
            zone.records.actual.extend(others);
            zone.records.actual.sort_by_key(|r| (r.name.clone(), r.kind.clone(), r.set_identifier.clone()));
            u.settle();
            lab_origin(u)
        })
        .map(|(origin, foreign)| (lab.origin, lab.foreign) = (origin, foreign))
        .unwrap();
    let before = shown(&lab);
    assert!(lab.start().reached(), "{}", lab.story());
    assert_eq!(shown(&lab), before, "a weighted set needs no joining");
    assert!(lab.advance(false, true).reached(), "{}", lab.story());
    let mut told = answers(&lab, "A");
    told.sort();
    let named = |n: &str, w| (n.to_owned(), Some(w));
    assert_eq!(told, [named("main", 54), named("migrate-web-green", 6), named("other", 40)]);
    let mut finished = Lab::in_universe(lab.playbook.clone(), lab.sim.universe());
    std::mem::swap(&mut finished.store, &mut lab.store);
    lab.store.records.clone_from(&finished.store.records);
    assert!(lab.go_home(3), "{}", lab.story());
    lab.assert_origin("weighted");
    assert!(finished.shift_all(9), "{}", finished.story());
    finished.pass(24 * 3600);
    assert!(finished.finish().reached(), "{}", finished.story());
    let mut told = answers(&finished, "A");
    told.sort();
    assert_eq!(told, [named("main", 60), named("other", 40)]);
    finished.assert_lawful("weighted");
}

fn lab_origin(u: &migrate::cloud::sim::Universe) -> (serde_json::Value, serde_json::Value) {
    (u.estate_fingerprint(), u.foreign_fingerprint())
}

/// Who still asks blue is seen at its load balancer, not in the records.
#[test]
fn finish_waits_until_almost_nobody_asks_blue() {
    let mut lab = at_stage(BY_RECORDS, 3);
    assert!(lab.advance(false, false).reached(), "{}", lab.story());
    lab.pass(24 * 3600);
    // Another name that nobody told us of leads to blue.
    let mut hidden = shown(&lab).into_iter().find(|r| r.weight == Some(0)).unwrap();
    (hidden.name, hidden.set_identifier, hidden.weight) = ("hidden.example.com.".into(), None, None);
    tamper(&mut lab, &put(hidden.clone()));
    lab.pass(600);
    let end = lab.finish();
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", lab.story());
    let (why, reason) = lab.held().unwrap();
    assert_eq!(why, HoldReason::NotReady);
    assert!(reason.contains("blue still answered"), "{reason}");
    let blue = |lab: &Lab| lab.sim.universe().services["prod/web"].service.actual.desired_count;
    assert_eq!(blue(&lab), 4, "blue keeps its tasks");
    tamper(&mut lab, &delete(hidden));
    lab.pass(900);
    assert!(lab.finish().reached(), "{}", lab.story());
    assert_eq!(blue(&lab), 0);
    lab.assert_lawful("quiet");
}

#[test]
fn green_is_removed_only_when_resolvers_have_forgotten_it() {
    let mut lab = at_stage(BY_RECORDS, 2);
    assert!(lab.rollback(false).reached(), "{}", lab.story());
    assert_eq!(lab.phase(), Some(Phase::RolledBack));
    let mut lab = at_stage(BY_RECORDS, 2);
    let begun = lab.sim.now();
    assert!(lab.rollback(true).reached(), "{}", lab.story());
    assert!((lab.sim.now() - begun).num_seconds() >= 60 + 15);
    lab.assert_origin("removed");
}

#[test]
fn clients_that_do_not_follow_hold_the_stage() {
    let mut lab = lab(BY_RECORDS);
    // A second name of an account that we cannot see: its clients stay with blue.
    lab.sim
        .with(|u| {
            let zone = u.names.zones.get_mut(ZONE).unwrap();
            let api: Vec<Record> =
                zone.records.actual.iter().filter(|r| r.name == "api.example.com.").cloned().collect();
            for name in ["a", "b", "c"] {
                let hidden = api.iter().map(|r| Record { name: format!("{name}.elsewhere.net."), ..r.clone() });
                zone.records.actual.extend(hidden);
            }
            u.settle();
        })
        .unwrap();
    let name = "records: [api.example.com]";
    lab.playbook = playbook(&BY_RECORDS.replace("dns_weights: {}", &format!("dns_weights: {{ {name} }}")));
    assert!(lab.start().reached(), "{}", lab.story());
    let beside = lab.progress().header.plan.inventory.names_left.len();
    assert!(beside >= 6);
    // Where it is known that other names lead to blue, their clients are not waited for.
    assert!(lab.advance(false, false).reached(), "{}", lab.story());

    let mut blind = at_stage(BY_RECORDS, 0);
    blind.sim.with(add_hidden).unwrap();
    blind.tampered = true;
    let end = blind.advance(false, false);
    assert!(matches!(end, End::Stop(Stop::Held)), "{end:?}\n{}", blind.story());
    let (why, reason) = blind.held().unwrap();
    assert_eq!(why, HoldReason::NotEnoughEvidence);
    assert!(reason.contains("have not followed yet") && reason.contains("10% was set"), "{reason}");
}

fn add_hidden(u: &mut migrate::cloud::sim::Universe) {
    let api = u.names.zones[ZONE].records.actual.iter().find(|r| r.weight == Some(100)).cloned().unwrap();
    for name in ["a", "b", "c"] {
        let record =
            Record { name: format!("{name}.elsewhere.net."), set_identifier: None, weight: None, ..api.clone() };
        u.tamper(&put(record));
    }
}

// --- what is found ---------------------------------------------------------------------------------

fn found(change: impl Fn(&mut Vec<Record>), text: &str) -> Inventory {
    let lab = lab(text);
    lab.sim.with(|u| change(&mut u.names.zones.get_mut(ZONE).unwrap().records.actual)).unwrap();
    lab.inventory()
}

fn plain(name: &str, kind: &str, value: &str) -> Record {
    Record {
        name: name.into(),
        kind: kind.into(),
        ttl: Some(60),
        resource_records: vec![ResourceRecord { value: value.into() }],
        ..Record::default()
    }
}

#[test]
fn records_are_found_by_where_they_lead() {
    let blue = found(|_| {}, BY_RECORDS).load_balancers[0].dns_name.clone();
    let add = |records: &mut Vec<Record>| records.push(plain("www.example.com.", "CNAME", &blue.to_uppercase()));
    let inventory = found(add, BY_RECORDS);
    let names: Vec<(&str, Vec<String>)> = inventory.names.iter().map(|n| (n.name.as_str(), n.moving.clone())).collect();
    let both = vec!["A".to_owned(), "AAAA".to_owned()];
    assert_eq!(names, [("api.example.com.", both.clone()), ("www.example.com.", vec!["CNAME".to_owned()])]);
    // What follows a name that moves is told and left alone.
    assert_eq!(inventory.names_left.len(), 1);
    assert_eq!(inventory.names_left[0].through.as_deref(), Some("api.example.com."));

    let named = BY_RECORDS.replace("dns_weights: {}", "dns_weights: { records: [API.example.com], zone: example.com }");
    let inventory = found(add, &named);
    assert_eq!(inventory.names.len(), 1);
    assert_eq!(inventory.leads_to_blue_beside().len(), 1, "www leads to blue and stays");
    assert_eq!(inventory.follow_seconds(), 60);
}

#[test]
fn a_zone_or_a_name_that_nobody_holds_is_said_so() {
    for wish in
        ["{ zone: example.org }", "{ records: [api.example.org] }", "{ records: [a.example.com], zone: example.org }"]
    {
        let text = BY_RECORDS.replace("dns_weights: {}", &format!("dns_weights: {wish}"));
        let mut lab = lab(BY_RECORDS);
        lab.playbook = playbook(&text);
        let End::Blocked(findings) = lab.start() else { panic!("{wish}: not blocked") };
        assert_eq!(findings[0].rule, "zone-not-found", "{wish}");
        assert!(findings[0].evidence[0].contains("example.com"), "{findings:?}");
    }
}

// --- what is refused -------------------------------------------------------------------------------

fn rules(inventory: &Inventory, text: &str) -> Vec<(Severity, String)> {
    let findings: Vec<Finding> = assess(&playbook(text), inventory);
    findings.into_iter().map(|f| (f.severity, f.rule.clone())).collect()
}

#[test]
fn every_form_that_cannot_move_is_refused_with_its_reason() {
    let sound = found(|_| {}, BY_RECORDS);
    let base = rules(&sound, BY_RECORDS);
    assert!(!base.iter().any(|(s, _)| *s == Severity::Block), "{base:?}");
    let with = |change: &dyn Fn(&mut Inventory)| {
        let mut inventory = sound.clone();
        change(&mut inventory);
        rules(&inventory, BY_RECORDS)
    };
    let name = |change: fn(&mut HostedName)| move |i: &mut Inventory| change(&mut i.names[0]);
    let each = |change: fn(&mut Record)| move |i: &mut Inventory| i.names[0].records.iter_mut().for_each(change);
    let policy = |policy: &'static str| {
        move |i: &mut Inventory| {
            for record in &mut i.names[0].records {
                record.set_identifier = Some("x".into());
                record.rest.insert(policy.into(), "x".into());
            }
        }
    };
    let weighted = |record: &mut Record| (record.set_identifier, record.weight) = (Some("main".into()), Some(10));
    type Change<'a> = Box<dyn Fn(&mut Inventory) + 'a>;
    let cases: Vec<(&str, Severity, Change)> = vec![
        (
            "zone-not-editable",
            Severity::Block,
            Box::new(name(|n| n.zone.linked_service = Some("AWS Cloud Map".into()))),
        ),
        ("traffic-policy", Severity::Block, Box::new(policy("TrafficPolicyInstanceId"))),
        ("routing-policy", Severity::Block, Box::new(policy("Region"))),
        ("routing-policy", Severity::Block, Box::new(policy("GeoLocation"))),
        ("routing-policy", Severity::Block, Box::new(policy("Failover"))),
        ("routing-policy", Severity::Block, Box::new(policy("MultiValueAnswer"))),
        ("routing-policy", Severity::Block, Box::new(policy("CidrRoutingConfig"))),
        ("routing-policy", Severity::Block, Box::new(policy("GeoProximityLocation"))),
        (
            "several-values",
            Severity::Block,
            Box::new(each(|r| r.resource_records = vec![ResourceRecord { value: "192.0.2.1".into() }; 2])),
        ),
        (
            "several-blue-records",
            Severity::Block,
            Box::new(move |i: &mut Inventory| {
                i.names[0].records.iter_mut().for_each(weighted);
                let twice = i.names[0].records.clone();
                i.names[0].records.extend(twice.into_iter().map(|r| Record { set_identifier: Some("b".into()), ..r }));
            }),
        ),
        (
            "record-without-weight",
            Severity::Block,
            Box::new(each(|r| (r.set_identifier, r.weight) = (Some("main".into()), Some(0)))),
        ),
        (
            "set-is-full",
            Severity::Block,
            Box::new(move |i: &mut Inventory| {
                i.names[0].records.iter_mut().for_each(weighted);
                let more = (1..100).map(|n| Record {
                    set_identifier: Some(format!("m{n}")),
                    weight: Some(1),
                    ..plain("api.example.com.", "A", "192.0.2.1")
                });
                i.names[0].records.extend(more);
            }),
        ),
        (
            "identifier-taken",
            Severity::Block,
            Box::new(each(|r| (r.set_identifier, r.weight) = (Some("migrate-web-green".into()), Some(1)))),
        ),
        (
            "weights-too-coarse",
            Severity::Block,
            Box::new(move |i: &mut Inventory| {
                i.names[0].records.iter_mut().for_each(|r| (r.set_identifier, r.weight) = (Some("m".into()), Some(3)));
                let heavy = Record {
                    set_identifier: Some("h".into()),
                    weight: Some(255),
                    ..plain("api.example.com.", "A", "192.0.2.1")
                };
                i.names[0].records.push(heavy);
            }),
        ),
        ("record-leads-elsewhere", Severity::Block, Box::new(name(|n| n.moving.clear()))),
        (
            "record-not-found",
            Severity::Block,
            Box::new(name(|n| {
                n.moving.clear();
                n.records.clear();
            })),
        ),
        ("no-record", Severity::Block, Box::new(|i: &mut Inventory| i.names.clear())),
        (
            "several-load-balancers",
            Severity::Block,
            Box::new(|i: &mut Inventory| i.load_balancers.push(i.load_balancers[0].clone())),
        ),
        ("slow-records", Severity::Warn, Box::new(each(|r| r.ttl = Some(3600)))),
        ("record-with-health-check", Severity::Warn, Box::new(each(|r| r.health_check_id = Some("h-1".into())))),
        ("record-of-addresses", Severity::Warn, Box::new(each(|r| (r.alias_target, r.ttl) = (None, Some(60))))),
        (
            "no-aaaa-record",
            Severity::Info,
            Box::new(name(|n| {
                n.records.retain(|r| r.kind == "A");
                n.moving = vec!["A".into()];
            })),
        ),
        ("families-differ", Severity::Warn, Box::new(name(|n| n.moving = vec!["A".into()]))),
        (
            "records-left-behind",
            Severity::Warn,
            Box::new(|i: &mut Inventory| i.names_left.iter_mut().for_each(|n| n.through = None)),
        ),
        (
            "too-many-records",
            Severity::Block,
            Box::new(|i: &mut Inventory| {
                let one = i.names[0].clone();
                i.names = (0..200).map(|n| HostedName { name: format!("n{n}.example.com."), ..one.clone() }).collect();
            }),
        ),
    ];
    for (rule, severity, change) in cases {
        let rules = with(&*change);
        assert!(rules.contains(&(severity, rule.to_owned())), "{rule}: {rules:?}");
        assert!(!base.contains(&(severity, rule.to_owned())), "{rule} is always said");
    }
    for always in ["target-health-evaluated", "records-that-follow"] {
        assert!(base.contains(&(Severity::Info, always.to_owned())), "{always}: {base:?}");
    }
}

#[test]
fn a_public_and_a_private_zone_move_together_or_it_is_said() {
    let both = |text: &str| {
        let mut lab = lab(BY_RECORDS);
        lab.sim
            .with(|u| {
                let mut inside = u.names.zones[ZONE].clone();
                (inside.zone.id, inside.zone.private) = ("ZPRIVATE".into(), true);
                u.names.zones.insert("ZPRIVATE".into(), inside);
                u.settle();
            })
            .unwrap();
        (lab.origin, lab.foreign) = lab_origin(&lab.sim.universe());
        lab.playbook = playbook(text);
        lab
    };
    let named = BY_RECORDS.replace("dns_weights: {}", "dns_weights: { records: [api.example.com] }");
    for text in [BY_RECORDS, &named] {
        let mut lab = both(text);
        assert_eq!(lab.inventory().names.len(), 2);
        assert!(lab.shift_all(9), "{}", lab.story());
        let zones = lab.sim.universe().names.zones;
        let weights = |zone: &str| zones[zone].records.actual.iter().filter_map(|r| r.weight).collect::<Vec<_>>();
        assert_eq!(weights(ZONE), weights("ZPRIVATE"));
        assert!(lab.go_home(3), "{}", lab.story());
        lab.assert_origin("two zones");
    }
    let one = BY_RECORDS.replace("dns_weights: {}", "dns_weights: { records: [api.example.com], zone: ZPRIVATE }");
    let lab = both(&one);
    let inventory = lab.inventory();
    assert_eq!((inventory.names.len(), inventory.names[0].zone.id.as_str()), (1, "ZPRIVATE"));
    let findings = assess(&lab.playbook, &inventory);
    assert!(!blocks(&findings));
    let left = findings.iter().find(|f| f.rule == "records-left-behind").expect("it is said");
    assert!(left.evidence[0].contains(ZONE), "{left:?}");
}
