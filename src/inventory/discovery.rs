//! What finds a service without a load balancer: Cloud Map services, their namespaces, who asks them.
//!
//! The rules about address families come from the Cloud Map API reference (`DnsConfig`,
//! `RegisterInstance`): an A record needs an IPv4 address of every instance, an AAAA record an IPv6
//! one, an SRV record takes either, and the types of a service's records never change.

use serde::{Deserialize, Serialize};

/// How an ECS service is registered in a Cloud Map service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceRegistry {
    /// ARN of the Cloud Map service.
    pub arn: String,
    /// Port of SRV records, where it is given by itself.
    #[serde(default)]
    pub port: Option<u16>,
    /// Container and port of SRV records, where they are taken from the task definition.
    #[serde(default)]
    pub container: Option<String>,
    #[serde(default)]
    pub container_port: Option<u16>,
}

/// A Cloud Map service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    pub arn: String,
    /// Such as `srv-abc`.
    pub id: String,
    pub name: String,
    pub namespace: Namespace,
    /// Its DNS records; none where it is found by API alone.
    pub records: Vec<RegistryRecord>,
    /// `MULTIVALUE` or `WEIGHTED`; `None` without records.
    pub routing: Option<String>,
    /// Whether ECS reports the health of its instances (`HealthCheckCustomConfig`).
    pub custom_health: bool,
    /// Whether Route 53 checks the health of its instances; ECS cannot use such a service.
    pub route53_health: bool,
    pub instances: u32,
    pub tags: std::collections::BTreeMap<String, String>,
}

/// A Cloud Map namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Such as `ns-abc`.
    pub id: String,
    /// For DNS the domain, such as `prod.local`.
    pub name: String,
    /// `DNS_PRIVATE`, `DNS_PUBLIC` or `HTTP`.
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryRecord {
    /// `A`, `AAAA`, `SRV` or `CNAME`.
    pub kind: String,
    /// Seconds.
    pub ttl: u64,
}

impl Registry {
    /// Whether tasks without an IPv4 address can be registered.
    pub fn takes_ipv6_only(&self) -> bool {
        !self.has("A") && !self.has("CNAME")
    }

    pub fn has(&self, kind: &str) -> bool {
        self.records.iter().any(|r| r.kind == kind)
    }

    /// What consumers ask for: the DNS name, or the name within the namespace.
    pub fn address(&self) -> String {
        match self.records.is_empty() {
            true => format!("{} in the namespace {}", self.name, self.namespace.name),
            false => format!("{}.{}", self.name, self.namespace.name),
        }
    }

    /// Its records as people read them, such as `A (60 s)`.
    pub fn shown_records(&self) -> String {
        match self.records.as_slice() {
            [] => "no DNS records (API discovery)".to_owned(),
            records => records.iter().map(|r| format!("{} ({} s)", r.kind, r.ttl)).collect::<Vec<_>>().join(", "),
        }
    }

    /// Seconds for which resolvers may keep an answer.
    pub fn ttl(&self) -> u64 {
        self.records.iter().map(|r| r.ttl).max().unwrap_or_default()
    }
}

/// Services of the cluster that seem to ask for the service by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumers {
    /// Service names with where the name was seen, such as `frontend (environment API_URL of app)`.
    pub mentions: Vec<String>,
    /// Names of services with Service Connect in the same namespace.
    pub connected: Vec<String>,
    /// How many services were looked at.
    pub searched: u32,
    /// Whether the cluster has more than were looked at.
    pub cut: bool,
}

/// How ECS replaces a service's tasks (`deploymentConfiguration`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingUpdate {
    pub circuit_breaker: bool,
    /// Whether the circuit breaker goes back to the last completed deployment.
    pub rolls_back: bool,
    /// `None` where ECS does not say, which means 100.
    pub minimum_healthy_percent: Option<u32>,
    /// `None` where ECS does not say, which means 200.
    pub maximum_percent: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(kinds: &[&str]) -> Registry {
        Registry {
            arn: "arn:aws:servicediscovery:r:1:service/srv-1".into(),
            id: "srv-1".into(),
            name: "web".into(),
            namespace: Namespace { id: "ns-1".into(), name: "prod.local".into(), kind: "DNS_PRIVATE".into() },
            records: kinds.iter().map(|k| RegistryRecord { kind: (*k).to_owned(), ttl: 10 }).collect(),
            routing: None,
            custom_health: true,
            route53_health: false,
            instances: 0,
            tags: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn only_a_records_refuse_tasks_without_ipv4() {
        for (kinds, takes) in [
            (vec!["A"], false),
            (vec!["A", "AAAA"], false),
            (vec!["A", "SRV"], false),
            (vec!["AAAA"], true),
            (vec!["SRV"], true),
            (vec![], true),
        ] {
            assert_eq!(registry(&kinds).takes_ipv6_only(), takes, "{kinds:?}");
        }
    }

    #[test]
    fn an_address_is_what_consumers_ask_for() {
        assert_eq!(registry(&["A"]).address(), "web.prod.local");
        assert_eq!(registry(&[]).address(), "web in the namespace prod.local");
        assert_eq!(
            (registry(&["A", "SRV"]).shown_records().as_str(), registry(&["A"]).ttl()),
            ("A (10 s), SRV (10 s)", 10)
        );
    }
}
