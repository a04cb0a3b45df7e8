//! Names: hosted zones and their records, in the words of Route 53.
//!
//! Records are turned into ours and back without loss for the routing policies that are edited, simple
//! and weighted; of the others enough is kept to recognise and to refuse them. Route 53 is one service
//! for the whole world: the SDK signs for its own region, whatever the run's region is.

use std::collections::BTreeMap;

use aws_sdk_route53 as sdk;
use aws_sdk_route53::types as dns;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::Aws;
use super::errors::{during, refused};
use crate::cloud::CloudError;
use crate::cloud::names::{Names, RecordChange};
use crate::inventory::record::canonical;
use crate::inventory::{AliasTarget, Record, ResourceRecord, Zone};

const LIST: &str = "route53:ListResourceRecordSets";
const CHANGE: &str = "route53:ChangeResourceRecordSets";
/// The greatest page of records (Route 53 API reference, `ListResourceRecordSets`).
const PAGE: i32 = 300;

/// Reads and writes by clients of their own, because they are retried differently.
#[derive(Debug, Clone)]
pub(super) struct Dns {
    pub(super) reads: sdk::Client,
    pub(super) writes: sdk::Client,
}

impl Names for Aws {
    fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        self.runtime.block_on(self.dns.zones())
    }

    fn records(&self, zone: &str) -> Result<Vec<Record>, CloudError> {
        self.runtime.block_on(self.dns.pages(zone, None))
    }

    fn change_records(&self, change: &RecordChange) -> Result<String, CloudError> {
        self.runtime.block_on(self.dns.change(change))
    }

    fn change_in_sync(&self, id: &str) -> Result<bool, CloudError> {
        self.runtime.block_on(self.dns.in_sync(id))
    }
}

impl Dns {
    async fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        let mut pages = self.reads.list_hosted_zones().into_paginator().items().send();
        let mut zones = Vec::new();
        while let Some(zone) = pages.next().await {
            zones.push(read_zone(&zone.map_err(during("route53:ListHostedZones"))?));
        }
        Ok(zones)
    }

    /// The records of these names, all names at once.
    pub(super) async fn names(&self, names: &[(String, String)]) -> Result<Vec<Vec<Record>>, CloudError> {
        try_join_all(names.iter().map(|(zone, name)| self.pages(zone, Some(name)))).await
    }

    /// All records of a zone, or those of one name: the list is in the order of names, so the reading
    /// begins at the name and ends behind it.
    async fn pages(&self, zone: &str, name: Option<&str>) -> Result<Vec<Record>, CloudError> {
        let mut records: Vec<Record> = Vec::new();
        let mut next: Option<(String, Option<dns::RrType>, Option<String>)> = name.map(|n| (n.to_string(), None, None));
        loop {
            let (at, kind, identifier) = next.clone().map_or((None, None, None), |(n, k, i)| (Some(n), k, i));
            let page = self
                .reads
                .list_resource_record_sets()
                .hosted_zone_id(zone)
                .set_start_record_name(at)
                .set_start_record_type(kind)
                .set_start_record_identifier(identifier)
                .max_items(PAGE)
                .send()
                .await
                .map_err(during(LIST))?;
            let of_name = |r: &Record| name.is_none_or(|name| canonical(&r.name) == canonical(name));
            let read: Vec<Record> = page.resource_record_sets().iter().map(read_record).collect();
            let behind = read.last().is_some_and(|last| !of_name(last));
            records.extend(read.into_iter().filter(of_name));
            let following = page.next_record_name().map(|n| {
                (n.to_string(), page.next_record_type().cloned(), page.next_record_identifier().map(str::to_string))
            });
            if behind || !page.is_truncated() || following.is_none() {
                return Ok(records);
            }
            // A list that does not move on would be read for ever.
            if following == next {
                return Err(refused(LIST, "the list of records does not end"));
            }
            next = following;
        }
    }

    async fn change(&self, change: &RecordChange) -> Result<String, CloudError> {
        let mut batch = dns::ChangeBatch::builder().comment(&change.comment);
        let deletions = change.delete.iter().map(|record| (dns::ChangeAction::Delete, record));
        for (action, record) in deletions.chain(change.create.iter().map(|record| (dns::ChangeAction::Create, record)))
        {
            let one = dns::Change::builder().action(action).resource_record_set(written(record)?).build();
            batch = batch.changes(one.map_err(|error| refused(CHANGE, error.to_string()))?);
        }
        let batch = batch.build().map_err(|error| refused(CHANGE, error.to_string()))?;
        let sent = self.writes.change_resource_record_sets().hosted_zone_id(&change.zone).change_batch(batch).send();
        let answer = sent.await.map_err(|error| {
            // What was wrong with which record stands in a list of its own, not in the message.
            let said = error.as_service_error().and_then(|e| match e {
                sdk::operation::change_resource_record_sets::ChangeResourceRecordSetsError::InvalidChangeBatch(e) => {
                    Some(e.messages().join("; ")).filter(|text| !text.is_empty())
                }
                _ => None,
            });
            let error = during(CHANGE)(error);
            match said {
                Some(said) => CloudError { message: format!("InvalidChangeBatch: {said}"), ..error },
                None => error,
            }
        })?;
        let id = answer.change_info().map(|info| info.id().to_string()).unwrap_or_default();
        Ok(id.trim_start_matches("/change/").to_string())
    }

    async fn in_sync(&self, id: &str) -> Result<bool, CloudError> {
        let answer = self.reads.get_change().id(id).send().await.map_err(during("route53:GetChange"))?;
        Ok(answer.change_info().is_some_and(|info| *info.status() == dns::ChangeStatus::Insync))
    }
}

fn read_zone(zone: &dns::HostedZone) -> Zone {
    Zone {
        id: zone.id().trim_start_matches("/hostedzone/").to_string(),
        name: zone.name().to_string(),
        private: zone.config().is_some_and(dns::HostedZoneConfig::private_zone),
        linked_service: zone.linked_service().map(|s| s.service_principal().unwrap_or("an AWS service").to_string()),
    }
}

fn read_record(record: &dns::ResourceRecordSet) -> Record {
    let whole = |number: Option<i64>| number.and_then(|n| u32::try_from(n).ok());
    Record {
        name: record.name().to_string(),
        kind: record.r#type().as_str().to_string(),
        set_identifier: record.set_identifier().map(str::to_string),
        weight: whole(record.weight()),
        ttl: whole(record.ttl()),
        resource_records: record
            .resource_records()
            .iter()
            .map(|value| ResourceRecord { value: value.value().to_string() })
            .collect(),
        alias_target: record.alias_target().map(|alias| AliasTarget {
            hosted_zone_id: alias.hosted_zone_id().to_string(),
            dns_name: alias.dns_name().to_string(),
            evaluate_target_health: alias.evaluate_target_health(),
        }),
        health_check_id: record.health_check_id().map(str::to_string),
        rest: rest(record),
    }
}

/// What belongs to the routing policies that are refused, enough of it to tell them apart.
fn rest(record: &dns::ResourceRecordSet) -> BTreeMap<String, Value> {
    let geo = record.geo_location().map(|g| {
        json!({"ContinentCode": g.continent_code(), "CountryCode": g.country_code(), "SubdivisionCode": g.subdivision_code()})
    });
    let cidr = record
        .cidr_routing_config()
        .map(|c| json!({"CollectionId": c.collection_id(), "LocationName": c.location_name()}));
    let proximity = record.geo_proximity_location().map(|p| json!({"AWSRegion": p.aws_region(), "Bias": p.bias()}));
    let found = [
        ("Region", record.region().map(|r| json!(r.as_str()))),
        ("GeoLocation", geo),
        ("Failover", record.failover().map(|f| json!(f.as_str()))),
        ("MultiValueAnswer", record.multi_value_answer().map(|m| json!(m))),
        ("TrafficPolicyInstanceId", record.traffic_policy_instance_id().map(|t| json!(t))),
        ("CidrRoutingConfig", cidr),
        ("GeoProximityLocation", proximity),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
}

/// A record as it is sent. One of a routing policy that is not edited cannot be.
fn written(record: &Record) -> Result<dns::ResourceRecordSet, CloudError> {
    if let Some(name) = record.rest.keys().next() {
        return Err(refused(CHANGE, format!("a record with {name} is not changed by this tool")));
    }
    let values = record.resource_records.iter().map(|r| dns::ResourceRecord::builder().value(&r.value).build());
    let values: Vec<dns::ResourceRecord> =
        values.collect::<Result<_, _>>().map_err(|error| refused(CHANGE, error.to_string()))?;
    let alias = record.alias_target.as_ref().map(|alias| {
        dns::AliasTarget::builder()
            .hosted_zone_id(&alias.hosted_zone_id)
            .dns_name(&alias.dns_name)
            .evaluate_target_health(alias.evaluate_target_health)
            .build()
    });
    dns::ResourceRecordSet::builder()
        .name(&record.name)
        .r#type(dns::RrType::from(record.kind.as_str()))
        .set_set_identifier(record.set_identifier.clone())
        .set_weight(record.weight.map(i64::from))
        .set_ttl(record.ttl.map(i64::from))
        .set_resource_records((!values.is_empty()).then_some(values))
        .set_alias_target(alias.transpose().map_err(|error| refused(CHANGE, error.to_string()))?)
        .set_health_check_id(record.health_check_id.clone())
        .build()
        .map_err(|error| refused(CHANGE, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_edited_is_read_back_as_it_was_written() {
        let alias = Record {
            name: "api.example.com.".into(),
            kind: "A".into(),
            set_identifier: Some("blue".into()),
            weight: Some(90),
            alias_target: Some(AliasTarget {
                hosted_zone_id: "Z1".into(),
                dns_name: "dualstack.x.".into(),
                evaluate_target_health: true,
            }),
            health_check_id: Some("h-1".into()),
            ..Record::default()
        };
        let plain = Record {
            name: "www.example.com.".into(),
            kind: "CNAME".into(),
            ttl: Some(300),
            resource_records: vec![ResourceRecord { value: "x.example.net".into() }],
            ..Record::default()
        };
        for record in [alias, plain] {
            assert_eq!(read_record(&written(&record).unwrap()), record);
        }
    }

    #[test]
    fn a_policy_that_is_not_edited_is_recognised_and_never_sent() {
        let set = dns::ResourceRecordSet::builder()
            .name("api.example.com.")
            .r#type(dns::RrType::A)
            .set_identifier("de")
            .geo_location(dns::GeoLocation::builder().country_code("DE").build())
            .build()
            .unwrap();
        let record = read_record(&set);
        assert_eq!(record.rest["GeoLocation"]["CountryCode"], "DE");
        assert!(written(&record).unwrap_err().message.contains("GeoLocation"));
    }
}
