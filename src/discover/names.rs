//! The records that lead to blue's load balancer: those that the playbook names, or all there are.

use std::collections::BTreeSet;

use super::patiently;
use crate::clock::Clock;
use crate::cloud::{Cloud, CloudError};
use crate::finding::Finding;
use crate::inventory::record::canonical;
use crate::inventory::{HostedName, NameLeft, Record, Zone};
use crate::playbook::DnsWeights;

/// What moves, and what leads to blue beside it.
pub(super) type Names = (Vec<HostedName>, Vec<NameLeft>);

/// A zone with all its records.
struct Listed {
    zone: Zone,
    records: Vec<Record>,
    /// Whether records of it may move.
    chosen: bool,
}

/// Looks for the records in every zone that can hold them; `blue` are the names of blue's load balancers.
pub(super) fn discover(
    cloud: &dyn Cloud,
    clock: &dyn Clock,
    wish: &DnsWeights,
    blue: &[&str],
) -> Result<Result<Names, Finding>, CloudError> {
    let zones = patiently(clock, || cloud.zones())?;
    let called = |zone: &Zone| wish.zone.as_ref().is_none_or(|wanted| zone.is_called(wanted));
    let named = |zone: &Zone| wish.records.is_empty() || wish.records.iter().any(|name| zone.can_hold(name));
    if let Some(missing) = wish.zone.as_ref().filter(|_| !zones.iter().any(called)) {
        return Ok(Err(no_zone(missing, &zones)));
    }
    if let Some(orphan) = wish.records.iter().find(|name| !zones.iter().any(|z| called(z) && z.can_hold(name))) {
        return Ok(Err(no_zone(orphan, &zones)));
    }
    let mut listed = Vec::new();
    for zone in zones {
        let chosen = called(&zone) && named(&zone);
        // A name that is asked for stands perhaps in a private zone as well.
        if chosen || (!wish.records.is_empty() && named(&zone)) {
            let records = patiently(clock, || cloud.records(&zone.id))?;
            listed.push(Listed { zone, records: records.into_iter().filter(Record::is_address).collect(), chosen });
        }
    }
    listed.sort_by(|a, b| a.zone.id.cmp(&b.zone.id));
    let names = if wish.records.is_empty() { searched(&listed, blue) } else { asked_for(&listed, wish, blue) };
    let left = left(&listed, &names, blue);
    Ok(Ok((names, left)))
}

/// Every name with a record that leads to blue.
fn searched(listed: &[Listed], blue: &[&str]) -> Vec<HostedName> {
    let mut names = Vec::new();
    for list in listed.iter().filter(|l| l.chosen) {
        let leading = list.records.iter().filter(|r| leads(r, blue)).map(|r| canonical(&r.name));
        let found: BTreeSet<String> = leading.collect();
        names.extend(found.iter().map(|name| hosted(list, name, blue, false)));
    }
    names
}

/// The names of the playbook, in every zone in which they lead to blue. One that leads there nowhere
/// is kept as it was found, for the assessment to say so.
fn asked_for(listed: &[Listed], wish: &DnsWeights, blue: &[&str]) -> Vec<HostedName> {
    let mut names = Vec::new();
    for name in &wish.records {
        let candidates = listed.iter().filter(|l| l.chosen && l.zone.can_hold(name));
        let found: Vec<HostedName> = candidates.map(|l| hosted(l, &canonical(name), blue, true)).collect();
        let moving: Vec<HostedName> = found.iter().filter(|n| !n.moving.is_empty()).cloned().collect();
        if moving.is_empty() {
            names.extend(found.iter().find(|n| !n.records.is_empty()).or(found.first()).cloned());
        } else {
            names.extend(moving);
        }
    }
    names.sort_by(|a, b| (&a.zone.id, &a.name).cmp(&(&b.zone.id, &b.name)));
    names.dedup_by(|a, b| a.zone.id == b.zone.id && a.name == b.name);
    names
}

fn leads(record: &Record, blue: &[&str]) -> bool {
    blue.iter().any(|b| record.leads_to(b))
}

fn hosted(list: &Listed, name: &str, blue: &[&str], named: bool) -> HostedName {
    let records: Vec<Record> = list.records.iter().filter(|r| canonical(&r.name) == name).cloned().collect();
    let kinds: BTreeSet<&String> = records.iter().map(|r| &r.kind).collect();
    // An address says nothing of load balancers; who names the record vouches for it.
    let vouched = |r: &Record| named && r.leads_by_name().is_none() && r.set_identifier.is_none();
    let moves = |kind: &&&String| records.iter().any(|r| r.kind == ***kind && (leads(r, blue) || vouched(r)));
    let moving = kinds.iter().filter(moves).map(|kind| (*kind).clone()).collect();
    HostedName { zone: list.zone.clone(), name: name.to_owned(), moving, records }
}

/// Records beside those that move: that lead to blue as well, or to a name that moves.
fn left(listed: &[Listed], names: &[HostedName], blue: &[&str]) -> Vec<NameLeft> {
    let moves = |zone: &Zone, record: &Record| {
        let of = |n: &&HostedName| n.zone.id == zone.id && n.name == canonical(&record.name);
        names.iter().find(of).is_some_and(|n| n.moving.contains(&record.kind))
    };
    let mut left = Vec::new();
    for Listed { zone, records, .. } in listed {
        for record in records.iter().filter(|r| !moves(zone, r)) {
            let target = record.leads_by_name().map(canonical);
            let through = names.iter().map(|n| &n.name).find(|n| Some(*n) == target.as_ref()).cloned();
            if leads(record, blue) || through.is_some() {
                left.push(NameLeft {
                    zone: zone.clone(),
                    name: record.name.clone(),
                    kind: record.kind.clone(),
                    through,
                });
            }
        }
    }
    left
}

fn no_zone(wanted: &str, zones: &[Zone]) -> Finding {
    let known: Vec<&str> = zones.iter().map(|z| z.name.trim_end_matches('.')).take(10).collect();
    Finding::block("zone-not-found", format!("no hosted zone of this account holds `{wanted}`"))
        .evidence(if known.is_empty() {
            "the account has no hosted zones".to_owned()
        } else {
            format!("its zones: {}", known.join(", "))
        })
        .remedy("check `dns_weights.records` and `dns_weights.zone`, and whether the zone belongs to another account")
}
