//! What a load balancer is made of, as far as another can be made like it.
//!
//! Conditions and transforms of rules keep the JSON shape of the ELBv2 API, like actions do. A copy is
//! made by the cloud's adapter from what the API describes, whole; what is here is what assessment,
//! plan and comparison need to know of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Action;

/// The attribute that keeps a load balancer from being deleted.
pub const DELETION_PROTECTION: &str = "deletion_protection.enabled";
/// The attribute that keeps the internet from reaching an internal load balancer over IPv6. It is on for a new
/// internal dual-stack one, and means nothing on one that is `ipv4` (ELBv2 API reference, `LoadBalancerAttribute`).
pub const DENY_INTERNET: &str = "ipv6.deny_all_igw_traffic";

/// The parts of one load balancer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Anatomy {
    /// ARN of the load balancer.
    pub load_balancer: String,
    pub vpc: Option<String>,
    /// Settings that are given at creation and have no field of their own, by API name, such as
    /// `EnablePrefixForIpv6SourceNat`.
    pub settings: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    /// ARN of the WAF web ACL that guards it (`wafv2:GetWebACLForResource`); Application Load Balancers only.
    pub web_acl: Option<String>,
    /// Addresses that were chosen for it, with their subnets: nothing else can have them.
    pub static_addresses: Vec<String>,
    /// By port.
    pub listeners: Vec<Listener>,
}

/// One listener with its rules.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub arn: String,
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TCP`, `TLS`, `UDP`, `TCP_UDP`, `QUIC`, ...
    pub protocol: String,
    pub ssl_policy: Option<String>,
    pub alpn: Vec<String>,
    /// ARN of the certificate that a client without a name in its greeting gets.
    pub default_certificate: Option<String>,
    /// ARNs of the other certificates, in order.
    pub certificates: Vec<String>,
    /// How clients prove who they are, by API name: `Mode`, `TrustStoreArn`, ...
    pub mutual_authentication: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub default_actions: Vec<Action>,
    /// By priority, the default action excepted.
    pub rules: Vec<Rule>,
}

/// One rule of a listener.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub arn: String,
    /// 1 to 50,000.
    pub priority: u32,
    /// Each a `RuleCondition` of the API.
    pub conditions: Vec<Value>,
    /// Each a `RuleTransform` of the API.
    pub transforms: Vec<Value>,
    pub actions: Vec<Action>,
    pub tags: BTreeMap<String, String>,
}

impl Anatomy {
    /// Attributes that a copy is given: those with a value (an empty one can be read but not set), and not
    /// the protection from deletion, which would keep a rollback from taking the copy away.
    pub fn copied_attributes(&self) -> BTreeMap<String, String> {
        settable(&self.attributes).filter(|(k, _)| *k != DELETION_PROTECTION).map(owned).collect()
    }

    /// Whether it is protected from deletion.
    pub fn protected(&self) -> bool {
        self.attributes.get(DELETION_PROTECTION).is_some_and(|v| v == "true")
    }

    /// Whether a listener takes datagrams.
    pub fn takes_udp(&self) -> bool {
        self.listeners.iter().any(|l| matches!(l.protocol.as_str(), "UDP" | "TCP_UDP"))
    }

    pub fn rules(&self) -> impl Iterator<Item = (&Listener, &Rule)> {
        self.listeners.iter().flat_map(|l| l.rules.iter().map(move |r| (l, r)))
    }
}

impl Listener {
    /// Attributes that a copy is given.
    pub fn copied_attributes(&self) -> BTreeMap<String, String> {
        settable(&self.attributes).map(owned).collect()
    }

    /// Default actions and those of every rule, each with what people call it.
    pub fn all_actions(&self) -> impl Iterator<Item = (String, &str, &[Action])> {
        let default = (format!("the default action of port {}", self.port), self.arn.as_str(), &*self.default_actions);
        let rules = self
            .rules
            .iter()
            .map(|r| (format!("rule {} of port {}", r.priority, self.port), r.arn.as_str(), r.actions.as_slice()));
        std::iter::once(default).chain(rules)
    }
}

/// The target groups that these actions forward to and that are none of `ours`, weightless ones included: a
/// target group belongs to one load balancer only, so nothing can be made that forwards to them too.
pub fn strangers<'a>(actions: &'a [Action], ours: &[String]) -> Vec<&'a str> {
    let forwards = actions.iter().filter(|a| a.kind == "forward");
    let named = forwards.flat_map(|a| {
        let config = a.forward_config.iter().flat_map(|c| &c.target_groups).map(|t| &t.target_group_arn);
        a.target_group_arn.iter().chain(config)
    });
    let mut strangers: Vec<&str> = named.filter(|arn| !ours.contains(arn)).map(String::as_str).collect();
    strangers.sort_unstable();
    strangers.dedup();
    strangers
}

fn settable(attributes: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    attributes.iter().filter(|(_, v)| !v.is_empty())
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_set_or_would_stay_in_the_way_is_not_copied() {
        let attributes = [
            ("access_logs.s3.bucket", ""),
            ("access_logs.s3.enabled", "false"),
            (DELETION_PROTECTION, "true"),
            ("idle_timeout.timeout_seconds", "30"),
        ];
        let attributes = attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let anatomy = Anatomy { attributes, ..Anatomy::default() };
        let copied: Vec<String> = anatomy.copied_attributes().into_keys().collect();
        assert_eq!(copied, ["access_logs.s3.enabled", "idle_timeout.timeout_seconds"]);
        assert!(anatomy.protected());
    }
}
