//! The hosted zones of an estate whose traffic moves by records.
//!
//! Deliberately not only the records that move: a zone also has those of others, one of which follows
//! a moving name, so that a tool that takes more than it should is found out.

use super::names::{SimZone, key};
use super::universe::{Lagging, Universe};
use crate::inventory::record::canonical;
use crate::inventory::{AliasTarget, LoadBalancer, Record, ResourceRecord, Zone};
use crate::playbook::DnsWeights;

/// The name that moves where the playbook gives none.
const NAME: &str = "api.example.com";
const ZONE_ID: &str = "Z0SANDBOX";

impl Universe {
    /// Zones with records that lead to this load balancer, for every name of the playbook.
    pub(super) fn add_names(&mut self, wish: &DnsWeights, balancer: &str) {
        let Some(balancer) = self.load_balancers.get(balancer).cloned() else { return };
        let names: Vec<String> = if wish.records.is_empty() { vec![NAME.to_owned()] } else { wish.records.clone() };
        let named = wish.zone.as_deref().filter(|zone| zone.contains('.'));
        for name in &names {
            let zone = named.map_or_else(|| parent(name), canonical);
            let id = match &wish.zone {
                Some(id) if !id.contains('.') => id.trim_start_matches("/hostedzone/").to_owned(),
                _ => {
                    let known = self.names.zones.values().find(|z| z.zone.name == zone).map(|z| z.zone.id.clone());
                    known.unwrap_or_else(|| format!("{ZONE_ID}{}", self.names.zones.len() + 1))
                }
            };
            let mut records = match self.names.zones.get(&id) {
                Some(there) => there.records.actual.clone(),
                None => foreign(&zone, name),
            };
            records.extend(["A", "AAAA"].map(|kind| alias(name, kind, &balancer)));
            records.sort_by_key(key);
            let zone = Zone { id: id.clone(), name: zone, private: false, linked_service: None };
            self.names.zones.insert(id, SimZone { zone, records: Lagging::new(records) });
        }
    }
}

/// The domain that a name is under: its last two labels.
fn parent(name: &str) -> String {
    let name = canonical(name);
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    canonical(&labels[labels.len().saturating_sub(2)..].join("."))
}

fn alias(name: &str, kind: &str, balancer: &LoadBalancer) -> Record {
    Record {
        name: canonical(name),
        kind: kind.to_owned(),
        alias_target: Some(AliasTarget {
            hosted_zone_id: balancer.hosted_zone.clone(),
            dns_name: format!("dualstack.{}.", balancer.dns_name),
            evaluate_target_health: true,
        }),
        ..Record::default()
    }
}

/// What is nobody's business, and a record that follows the name by itself.
fn foreign(zone: &str, name: &str) -> Vec<Record> {
    let plain = |name: String, kind: &str, ttl: u32, value: String| Record {
        name,
        kind: kind.to_owned(),
        ttl: Some(ttl),
        resource_records: vec![ResourceRecord { value }],
        ..Record::default()
    };
    vec![
        plain(zone.to_owned(), "NS", 172_800, "ns-1.awsdns-01.org.".to_owned()),
        plain(format!("static.{zone}"), "A", 300, "192.0.2.9".to_owned()),
        plain(format!("mobile.{zone}"), "CNAME", 300, name.to_owned()),
    ]
}
