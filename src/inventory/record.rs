//! Hosted zones and their records, in the JSON shape of the Route 53 API.
//!
//! A recorded record can be pasted into `aws route53 change-resource-record-sets` as it is. Names are
//! kept as they were read, because a change deletes by the exact values; they are compared through
//! [`Record::same`], which knows how many ways there are to write one name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A resource record set: the answer to one name and type, or one member of a set of answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    pub name: String,
    /// `A`, `AAAA`, `CNAME`, ...
    #[serde(rename = "Type")]
    pub kind: String,
    /// Tells the members of a set apart; absent in a simple record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_identifier: Option<String>,
    /// 0 to 255; absent where the routing policy is not weighted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Seconds; absent in an alias.
    #[serde(rename = "TTL", default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_records: Vec<ResourceRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_target: Option<AliasTarget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_id: Option<String>,
    /// Members of the other routing policies by API name, such as `Region` or `Failover`, untouched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rest: BTreeMap<String, Value>,
}

/// One value of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResourceRecord {
    pub value: String,
}

/// What an alias record leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AliasTarget {
    pub hosted_zone_id: String,
    #[serde(rename = "DNSName")]
    pub dns_name: String,
    pub evaluate_target_health: bool,
}

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Without the prefix `/hostedzone/`.
    pub id: String,
    /// With the dot at its end.
    pub name: String,
    pub private: bool,
    /// The AWS service that manages the zone, which nobody else can then edit.
    pub linked_service: Option<String>,
}

/// A name of a zone whose records move, with all its address records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostedName {
    pub zone: Zone,
    pub name: String,
    /// The types that move: those with a record that leads to blue.
    pub moving: Vec<String>,
    /// Every `A`, `AAAA` and `CNAME` record of the name.
    pub records: Vec<Record>,
}

/// Seconds for which resolvers keep the answer of an alias to a load balancer (Route 53 guide,
/// choosing between alias and non-alias records).
pub const ALIAS_TTL: u32 = 60;

impl HostedName {
    /// The records of one type.
    pub fn of_kind(&self, kind: &str) -> Vec<Record> {
        self.records.iter().filter(|r| r.kind == kind).cloned().collect()
    }
}

impl Zone {
    /// Whether the zone can hold a record of this name.
    pub fn can_hold(&self, name: &str) -> bool {
        let (name, zone) = (canonical(name), canonical(&self.name));
        name == zone || name.strip_suffix(&zone).is_some_and(|rest| rest.ends_with('.'))
    }

    /// Whether a person means this zone by a name or an id.
    pub fn is_called(&self, wanted: &str) -> bool {
        let id = wanted.trim_start_matches("/hostedzone/");
        id == self.id || canonical(wanted) == canonical(&self.name)
    }
}

impl Record {
    /// Seconds for which resolvers keep the answer.
    pub fn follows_after(&self) -> u32 {
        self.ttl.unwrap_or(ALIAS_TTL)
    }

    /// Whether the record is an address: of what a client connects to.
    pub fn is_address(&self) -> bool {
        matches!(self.kind.as_str(), "A" | "AAAA" | "CNAME")
    }

    /// Where the record leads by name, if it leads anywhere by name.
    pub fn leads_by_name(&self) -> Option<&str> {
        match (&self.alias_target, self.resource_records.as_slice()) {
            (Some(alias), _) => Some(&alias.dns_name),
            (None, [only]) if self.kind == "CNAME" => Some(&only.value),
            _ => None,
        }
    }

    /// Whether the record leads to this name of a load balancer.
    pub fn leads_to(&self, dns_name: &str) -> bool {
        self.leads_by_name().is_some_and(|target| bare(target) == bare(dns_name))
    }

    /// Whether two records say the same, however their names are written.
    pub fn same(&self, other: &Record) -> bool {
        self.normal() == other.normal()
    }

    fn normal(&self) -> Record {
        let mut record = self.clone();
        record.name = canonical(&record.name);
        if let Some(alias) = &mut record.alias_target {
            alias.dns_name = bare(&alias.dns_name);
        }
        for value in &mut record.resource_records {
            if record.kind == "CNAME" {
                value.value = canonical(&value.value);
            }
        }
        record.resource_records.sort_by(|a, b| a.value.cmp(&b.value));
        record
    }
}

/// Whether two sets of records say the same, in whatever order.
pub fn same_records(one: &[Record], other: &[Record]) -> bool {
    one.len() == other.len()
        && one.iter().all(|r| other.iter().any(|o| o.same(r)))
        && other.iter().all(|r| one.iter().any(|o| o.same(r)))
}

/// A name as the API answers it: lower case, octal escapes resolved, with the dot at its end.
pub fn canonical(name: &str) -> String {
    let mut plain = String::new();
    let mut rest = name.trim();
    while let Some((before, behind)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = behind.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii_graphic) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &behind[3..];
            }
            None => {
                plain.push('\\');
                rest = behind;
            }
        }
    }
    plain.push_str(rest);
    let lower = plain.to_lowercase();
    format!("{}.", lower.trim_end_matches('.'))
}

/// The name of a load balancer without the prefix that the console puts before it.
fn bare(name: &str) -> String {
    let name = canonical(name);
    name.strip_prefix("dualstack.").map(str::to_owned).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(name: &str, target: &str) -> Record {
        Record {
            name: name.into(),
            kind: "A".into(),
            alias_target: Some(AliasTarget {
                hosted_zone_id: "Z1".into(),
                dns_name: target.into(),
                evaluate_target_health: true,
            }),
            ..Record::default()
        }
    }

    #[test]
    fn one_name_is_written_in_many_ways() {
        for (one, other) in [
            ("api.example.com", "API.example.com."),
            ("*.example.com", "\\052.example.com."),
            ("a\\137b.example.com", "a_b.example.com"),
        ] {
            assert_eq!(canonical(one), canonical(other));
            assert!(alias(one, "x.elb.amazonaws.com").same(&alias(other, "dualstack.X.elb.amazonaws.com.")));
        }
        assert_ne!(canonical("api.example.com"), canonical("api2.example.com"));
        assert_eq!(canonical("odd\\9.example.com"), "odd\\9.example.com.");
        assert!(!alias("a.example.com", "x").same(&alias("a.example.com", "y")));
    }

    #[test]
    fn a_record_has_the_shape_of_the_api() {
        let text = r#"{"Name":"api.example.com.","Type":"A","SetIdentifier":"blue","Weight":10,"AliasTarget":{"HostedZoneId":"Z1","DNSName":"x.","EvaluateTargetHealth":false}}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        let text =
            r#"{"Name":"www.example.com.","Type":"CNAME","TTL":300,"ResourceRecords":[{"Value":"x.example.net"}]}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        assert!(record.leads_to("X.example.net.") && !record.leads_to("y.example.net"));
        assert_eq!((record.follows_after(), alias("a", "b").follows_after()), (300, 60));
    }

    #[test]
    fn sets_are_compared_without_their_order() {
        let (a, b) = (alias("a.example.com", "x"), alias("a.example.com", "y"));
        assert!(same_records(&[a.clone(), b.clone()], &[b.clone(), a.clone()]));
        assert!(!same_records(&[a.clone(), a.clone()], &[a.clone(), b.clone()]));
        assert!(!same_records(std::slice::from_ref(&a), &[a.clone(), b]));
    }

    #[test]
    fn a_zone_holds_what_is_under_it() {
        let zone = Zone { id: "Z0".into(), name: "example.com.".into(), private: false, linked_service: None };
        assert!(zone.can_hold("api.example.com") && zone.can_hold("Example.com") && zone.can_hold("*.example.com"));
        assert!(!zone.can_hold("example.org") && !zone.can_hold("badexample.com"));
        assert!(zone.is_called("example.com") && zone.is_called("Z0") && zone.is_called("/hostedzone/Z0"));
        assert!(!zone.is_called("Z1"));
    }
}
