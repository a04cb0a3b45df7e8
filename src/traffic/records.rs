//! Shares of traffic as weights of Route 53 records.
//!
//! Invariants: the records of others in a set keep their share and everything else; a set is never
//! all zero, which Route 53 takes for equal shares; and green has no record before it has a share,
//! because a weight of 0 does not keep answers away where the health of targets is evaluated.

use super::{Member, Share, divide};
use crate::inventory::{AliasTarget, HostedName, Inventory, LoadBalancer, Record, ResourceRecord, Zone};

/// The largest weight of a record (Route 53 API reference, `ResourceRecordSet`).
pub const WEIGHT_MAX: u32 = 255;
/// Weight of blue where it stands alone.
const ALONE: u32 = 100;

/// The records of one name and type that move, as they were recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordSet {
    pub zone: Zone,
    pub name: String,
    pub kind: String,
    /// One simple record, or the members of a weighted set.
    pub recorded: Vec<Record>,
    /// Where in `recorded` blue's record stands.
    pub blue: usize,
}

/// Who green is, to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreenName {
    pub run: String,
    /// Name of green's load balancer.
    pub dns_name: String,
    /// Id of the hosted zone of that name.
    pub zone: String,
}

/// Every set that moves, in the order of the inventory.
pub fn record_sets(inventory: &Inventory) -> Vec<RecordSet> {
    let blue: Vec<&str> = inventory.load_balancers.iter().map(|b| b.dns_name.as_str()).collect();
    inventory.names.iter().flat_map(|name| sets_of(name, &blue)).collect()
}

fn sets_of(name: &HostedName, blue: &[&str]) -> Vec<RecordSet> {
    let set = |kind: &String| {
        let recorded = name.of_kind(kind);
        let leads = |r: &Record| blue.iter().any(|b| r.leads_to(b));
        // An address alone says nothing of load balancers; who named it vouches for it.
        let at = recorded.iter().position(leads).or((recorded.len() == 1).then_some(0))?;
        Some(RecordSet { zone: name.zone.clone(), name: name.name.clone(), kind: kind.clone(), recorded, blue: at })
    };
    name.moving.iter().filter_map(set).collect()
}

/// Whether the weights of records can come near this share at all.
pub fn expressible(share: Share) -> bool {
    let (least, permille) = (1000.0 / f64::from(WEIGHT_MAX + 1), f64::from(share.permille()));
    permille == 0.0 || permille == 1000.0 || (permille >= least && 1000.0 - permille >= least)
}

impl GreenName {
    pub fn of(run: &str, balancer: &LoadBalancer) -> GreenName {
        GreenName { run: run.to_owned(), dns_name: balancer.dns_name.clone(), zone: balancer.hosted_zone.clone() }
    }
}

impl RecordSet {
    /// What names the set to people and in a drift: its name, type and zone.
    pub fn place(&self) -> String {
        format!("record {} {} in zone {}", self.name.trim_end_matches('.'), self.kind, self.zone.id)
    }

    /// Whether the set was one record without a routing policy.
    pub fn simple(&self) -> bool {
        self.recorded.iter().all(|r| r.set_identifier.is_none())
    }

    pub fn blue(&self) -> &Record {
        &self.recorded[self.blue]
    }

    /// The set with green receiving `share` of what blue received; at 0 % without green.
    pub fn at_share(&self, green: &GreenName, share: Share) -> Vec<Record> {
        let weight = |r: &Record| if self.simple() { ALONE } else { r.weight.unwrap_or(0) };
        let members: Vec<Member> = (self.recorded.iter().enumerate())
            .map(|(at, record)| Member { weight: weight(record), ours: at == self.blue })
            .collect();
        let mut after = Vec::new();
        let mut given = 0;
        for (record, (kept, part)) in self.recorded.iter().zip(divide(&members, share, WEIGHT_MAX)) {
            let mut record = record.clone();
            record.weight = Some(kept);
            if self.simple() {
                record.set_identifier = Some(format!("migrate-{}-blue", green.run));
            }
            given += part;
            after.push(record);
        }
        if given > 0 {
            let identifier = format!("migrate-{}-green", green.run);
            after.push(Record { set_identifier: Some(identifier), weight: Some(given), ..self.twin(green) });
        }
        after
    }

    /// The set with green in blue's place, nothing else changed.
    pub fn replaced(&self, green: &GreenName) -> Vec<Record> {
        let mut records = self.recorded.clone();
        let blue = self.blue();
        records[self.blue] =
            Record { set_identifier: blue.set_identifier.clone(), weight: blue.weight, ..self.twin(green) };
        records
    }

    /// The share of blue's answers that these records give to green, from 0 to 1; `None` where they
    /// give none to either.
    pub fn share_of(&self, records: &[Record], green: &GreenName) -> Option<f64> {
        let identifier = format!("migrate-{}-green", green.run);
        let ours = |r: &&Record| r.set_identifier.as_deref() == Some(identifier.as_str());
        let weight: u32 = records.iter().filter(ours).filter_map(|r| r.weight).sum();
        let blue: u32 = records.iter().filter(|r| self.is_blue(r)).filter_map(|r| r.weight).sum();
        (weight + blue > 0).then(|| f64::from(weight) / f64::from(weight + blue))
    }

    /// Whether a record leads where blue's recorded one leads.
    pub fn is_blue(&self, record: &Record) -> bool {
        let blue = self.blue();
        match blue.leads_by_name() {
            Some(target) => record.leads_to(target),
            None => record.alias_target.is_none() && record.resource_records == blue.resource_records,
        }
    }

    /// Whether green's record is of another form than blue's: addresses cannot follow a load balancer.
    pub fn becomes_alias(&self) -> bool {
        self.kind != "CNAME" && self.blue().alias_target.is_none()
    }

    /// Green's record without a routing policy.
    fn twin(&self, green: &GreenName) -> Record {
        let blue = self.blue();
        let plain = Record { name: blue.name.clone(), kind: blue.kind.clone(), ..Record::default() };
        if blue.kind == "CNAME" && blue.alias_target.is_none() {
            let value = ResourceRecord { value: green.dns_name.clone() };
            return Record { ttl: blue.ttl, resource_records: vec![value], ..plain };
        }
        let prefixed = blue.alias_target.as_ref().is_some_and(|a| a.dns_name.starts_with("dualstack."));
        let prefix = if prefixed { "dualstack." } else { "" };
        let evaluates = blue.alias_target.as_ref().is_some_and(|a| a.evaluate_target_health);
        let alias_target = Some(AliasTarget {
            hosted_zone_id: green.zone.clone(),
            dns_name: format!("{prefix}{}", green.dns_name),
            evaluate_target_health: evaluates,
        });
        Record { alias_target, ..plain }
    }
}

/// Records as people read them, such as `blue=90 green=10`: each identifier with its weight.
pub fn weights(records: &[Record]) -> String {
    let target = |r: &Record| {
        let values = || r.resource_records.iter().map(|v| v.value.as_str()).collect::<Vec<_>>().join(", ");
        r.leads_by_name().map_or_else(values, |name| name.trim_end_matches('.').to_owned())
    };
    let shown = |r: &Record| match (&r.set_identifier, r.weight) {
        (Some(identifier), Some(weight)) => format!("{identifier}={weight}"),
        (Some(identifier), None) => identifier.clone(),
        (None, _) => format!("simple, to {}", target(r)),
    };
    records.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn green() -> GreenName {
        GreenName { run: "web".into(), dns_name: "green.elb.amazonaws.com".into(), zone: "ZELB".into() }
    }

    fn alias(identifier: Option<&str>, weight: Option<u32>, target: &str) -> Record {
        Record {
            name: "api.example.com.".into(),
            kind: "A".into(),
            set_identifier: identifier.map(str::to_owned),
            weight,
            alias_target: Some(AliasTarget {
                hosted_zone_id: "ZELB".into(),
                dns_name: target.into(),
                evaluate_target_health: true,
            }),
            ..Record::default()
        }
    }

    fn set(recorded: Vec<Record>, blue: usize) -> RecordSet {
        let zone = Zone { id: "Z1".into(), name: "example.com.".into(), private: false, linked_service: None };
        RecordSet { zone, name: "api.example.com.".into(), kind: recorded[0].kind.clone(), recorded, blue }
    }

    fn shared(blue: u32, other: u32) -> RecordSet {
        let members = vec![
            alias(Some("main"), Some(blue), "blue.elb.amazonaws.com."),
            alias(Some("other"), Some(other), "other.elb.amazonaws.com."),
        ];
        set(members, 0)
    }

    fn share(text: &str) -> Share {
        text.parse().expect("a share")
    }

    #[test]
    fn weights_of_a_simple_record_by_table() {
        let set = set(vec![alias(None, None, "dualstack.blue.elb.amazonaws.com.")], 0);
        for (wish, shown) in [
            ("0%", "migrate-web-blue=100"),
            ("1%", "migrate-web-blue=99 migrate-web-green=1"),
            ("0.5%", "migrate-web-blue=199 migrate-web-green=1"),
            ("0.4%", "migrate-web-blue=249 migrate-web-green=1"),
            ("2.5%", "migrate-web-blue=39 migrate-web-green=1"),
            ("12.5%", "migrate-web-blue=7 migrate-web-green=1"),
            ("99.5%", "migrate-web-blue=1 migrate-web-green=199"),
            ("100%", "migrate-web-blue=0 migrate-web-green=100"),
        ] {
            assert_eq!(weights(&set.at_share(&green(), share(wish))), shown, "{wish}");
        }
        for (wish, can) in [("0.3%", false), ("0.4%", true), ("99.7%", false), ("0%", true), ("100%", true)] {
            assert_eq!(expressible(share(wish)), can, "{wish}");
        }
    }

    #[test]
    fn weights_beside_others_by_table() {
        for (blue, other, wish, shown) in [
            (60, 40, "0%", "main=60 other=40"),
            (60, 40, "10%", "main=54 other=40 migrate-web-green=6"),
            (60, 40, "1%", "main=178 other=120 migrate-web-green=2"),
            (60, 40, "100%", "main=0 other=40 migrate-web-green=60"),
            (1, 255, "50%", "main=1 other=255"),
            (7, 0, "50%", "main=50 other=0 migrate-web-green=50"),
        ] {
            assert_eq!(weights(&shared(blue, other).at_share(&green(), share(wish))), shown, "{blue} {other} {wish}");
        }
    }

    #[test]
    fn greens_record_is_like_blues() {
        let simple = set(vec![alias(None, None, "dualstack.blue.elb.amazonaws.com.")], 0);
        let twin = simple.at_share(&green(), share("10%")).remove(1);
        let target = twin.alias_target.unwrap();
        assert_eq!(target.dns_name, "dualstack.green.elb.amazonaws.com");
        assert!(target.evaluate_target_health && target.hosted_zone_id == "ZELB" && twin.ttl.is_none());
        let done = simple.replaced(&green());
        assert_eq!((done.len(), &done[0].set_identifier, done[0].weight), (1, &None, None));
        let cname = Record {
            name: "www.example.com.".into(),
            kind: "CNAME".into(),
            ttl: Some(300),
            resource_records: vec![ResourceRecord { value: "blue.elb.amazonaws.com".into() }],
            ..Record::default()
        };
        let twin = set(vec![cname], 0).at_share(&green(), share("10%")).remove(1);
        assert_eq!((twin.ttl, twin.resource_records[0].value.as_str()), (Some(300), "green.elb.amazonaws.com"));
        let address = Record {
            kind: "A".into(),
            ttl: Some(60),
            resource_records: vec![ResourceRecord { value: "192.0.2.1".into() }],
            ..Record::default()
        };
        let fixed = set(vec![address], 0);
        assert!(fixed.becomes_alias() && !simple.becomes_alias());
        let twin = fixed.at_share(&green(), share("10%")).remove(1);
        assert!(twin.ttl.is_none() && twin.alias_target.is_some());
    }

    #[test]
    fn green_takes_blues_place_and_name_in_a_weighted_set() {
        let done = shared(60, 40).replaced(&green());
        assert_eq!(weights(&done), "main=60 other=40");
        assert!(done[0].leads_to("green.elb.amazonaws.com") && done[1].leads_to("other.elb.amazonaws.com"));
    }

    proptest! {
        #[test]
        fn others_keep_their_share_and_nothing_is_all_zero(blue in 1u32..=255, other in 0u32..=255, permille in 0u16..=1000) {
            let set = shared(blue, other);
            let after = set.at_share(&green(), Share::from_permille(permille));
            let sum: u32 = after.iter().filter_map(|r| r.weight).sum();
            prop_assert!(sum > 0 && after.iter().all(|r| r.weight <= Some(WEIGHT_MAX)));
            prop_assert!(after.iter().skip(2).all(|r| r.weight > Some(0)));
            if other > 0 {
                let of_other = f64::from(after[1].weight.unwrap_or(0)) / f64::from(sum);
                prop_assert!((of_other - f64::from(other) / f64::from(blue + other)).abs() < 1e-12);
            }
            let green = set.share_of(&after, &green()).expect("weights");
            let step = if other == 0 { 1.0 / 256.0 } else { 1.0 / f64::from(blue) };
            prop_assert!((green - Share::from_permille(permille).fraction()).abs() <= step, "{green}");
        }
    }
}
