//! What a load balancer is made of, read in parallel: attributes, tags, web ACL, listeners and rules.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types as elb;
use aws_sdk_wafv2 as waf_sdk;
use futures_util::future::{join, try_join, try_join_all};
use serde_json::{Map, Value, json};

use super::actions;
use super::balancers::once_said;
use super::elb::Elb;
use super::errors::{during, existing};
use crate::cloud::CloudError;
use crate::inventory::balancer::{Anatomy, Listener, Rule};

type Texts = BTreeMap<String, String>;

/// Reads and writes by clients of their own, because they are retried differently.
#[derive(Debug, Clone)]
pub(super) struct Waf {
    pub(super) reads: waf_sdk::Client,
    pub(super) writes: waf_sdk::Client,
}

impl Waf {
    /// ARN of the web ACL that guards an Application Load Balancer.
    async fn of(&self, balancer: &elb::LoadBalancer) -> Result<Option<String>, CloudError> {
        if balancer.r#type != Some(elb::LoadBalancerTypeEnum::Application) {
            return Ok(None);
        }
        let call = self.reads.get_web_acl_for_resource().set_resource_arn(balancer.load_balancer_arn.clone());
        let found = existing(call.send().await.map_err(during("wafv2:GetWebACLForResource")))?;
        Ok(found.and_then(|f| f.web_acl).map(|acl| acl.arn))
    }
}

/// What a listener has beside its description.
struct Around {
    certificates: Vec<elb::Certificate>,
    attributes: Texts,
    rules: Vec<elb::Rule>,
}

impl Elb {
    /// What this load balancer is made of; `None` where it does not exist, or goes while it is read.
    pub(super) async fn anatomy(&self, waf: &Waf, arn: &str) -> Result<Option<Anatomy>, CloudError> {
        let Some(balancer) = self.balancer(arn).await? else { return Ok(None) };
        existing(self.anatomy_of(waf, &balancer).await)
    }

    async fn anatomy_of(&self, waf: &Waf, balancer: &elb::LoadBalancer) -> Result<Anatomy, CloudError> {
        let arn = balancer.load_balancer_arn().unwrap_or_default().to_string();
        let parts = try_join(self.listeners_with_parts(&arn), self.balancer_attributes(&arn));
        let (parts, web_acl) = join(parts, waf.of(balancer)).await;
        let ((listeners, attributes), web_acl) = (parts?, web_acl?);
        let rules = listeners.iter().flat_map(|(_, around)| &around.rules).filter(|r| !is_default(r));
        let arns: Vec<String> = std::iter::once(arn.clone())
            .chain(listeners.iter().filter_map(|(l, _)| l.listener_arn.clone()))
            .chain(rules.filter_map(|r| r.rule_arn.clone()))
            .collect();
        let tags = self.tags(&arns).await?;
        let tags_of = |arn: &str| tags.get(arn).cloned().unwrap_or_default();
        let mut listeners: Vec<Listener> =
            listeners.iter().map(|(listener, around)| read_listener(listener, around, &tags_of)).collect();
        listeners.sort_by_key(|l| l.port);
        Ok(Anatomy {
            vpc: balancer.vpc_id.clone(),
            settings: settings(balancer),
            attributes,
            tags: tags_of(&arn),
            web_acl,
            static_addresses: static_addresses(balancer),
            listeners,
            load_balancer: arn,
        })
    }

    async fn listeners_with_parts(&self, arn: &str) -> Result<Vec<(elb::Listener, Around)>, CloudError> {
        let listeners = self.listeners_of(arn).await?;
        let around = try_join_all(listeners.iter().map(|listener| self.around(listener))).await?;
        Ok(listeners.into_iter().zip(around).collect())
    }

    async fn around(&self, listener: &elb::Listener) -> Result<Around, CloudError> {
        let arn = listener.listener_arn().unwrap_or_default();
        let secure = matches!(listener.protocol, Some(elb::ProtocolEnum::Https | elb::ProtocolEnum::Tls));
        let certificates = async { if secure { self.certificates(arn).await } else { Ok(Vec::new()) } };
        let parts = try_join(certificates, self.listener_attributes(arn));
        let ((certificates, attributes), rules) = try_join(parts, self.rules(arn)).await?;
        Ok(Around { certificates, attributes, rules })
    }

    async fn certificates(&self, listener: &str) -> Result<Vec<elb::Certificate>, CloudError> {
        self.reads
            .describe_listener_certificates()
            .listener_arn(listener)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(during("elasticloadbalancing:DescribeListenerCertificates"))
    }

    async fn listener_attributes(&self, listener: &str) -> Result<Texts, CloudError> {
        let call = self.reads.describe_listener_attributes().listener_arn(listener).send().await;
        let found = call.map_err(during("elasticloadbalancing:DescribeListenerAttributes"))?;
        let pairs = found.attributes().iter();
        Ok(pairs.filter_map(|a| Some((a.key()?.to_string(), a.value().unwrap_or_default().to_string()))).collect())
    }

    async fn balancer_attributes(&self, arn: &str) -> Result<Texts, CloudError> {
        let call = self.reads.describe_load_balancer_attributes().load_balancer_arn(arn).send().await;
        let found = call.map_err(during("elasticloadbalancing:DescribeLoadBalancerAttributes"))?;
        let pairs = found.attributes().iter();
        Ok(pairs.filter_map(|a| Some((a.key()?.to_string(), a.value().unwrap_or_default().to_string()))).collect())
    }
}

fn is_default(rule: &elb::Rule) -> bool {
    rule.is_default().unwrap_or_default()
}

/// Settings of the creation that have no field of their own.
fn settings(balancer: &elb::LoadBalancer) -> Texts {
    let nat = balancer.enable_prefix_for_ipv6_source_nat().map(|v| v.as_str().to_string());
    let pool = balancer.ipam_pools().and_then(|p| p.ipv4_ipam_pool_id()).map(str::to_string);
    [
        ("EnablePrefixForIpv6SourceNat", nat),
        ("CustomerOwnedIpv4Pool", balancer.customer_owned_ipv4_pool.clone()),
        ("IpamPools.Ipv4IpamPoolId", pool),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_string(), value?)))
    .collect()
}

/// Addresses that were chosen when it was created, each with its subnet.
fn static_addresses(balancer: &elb::LoadBalancer) -> Vec<String> {
    let mut addresses = Vec::new();
    for zone in balancer.availability_zones() {
        let subnet = zone.subnet_id().unwrap_or("a subnet");
        for address in zone.load_balancer_addresses() {
            let chosen = [address.allocation_id(), address.private_ipv4_address(), address.ipv6_address()];
            let chosen: Vec<&str> = chosen.into_iter().flatten().collect();
            if !chosen.is_empty() {
                let seen = address.ip_address().map(|ip| format!(" ({ip})")).unwrap_or_default();
                addresses.push(format!("{}{seen} in {subnet}", chosen.join(", ")));
            }
        }
    }
    addresses
}

fn read_listener(listener: &elb::Listener, around: &Around, tags_of: &impl Fn(&str) -> Texts) -> Listener {
    let arn = listener.listener_arn().unwrap_or_default();
    let default = listener.certificates().first().and_then(|c| c.certificate_arn()).map(str::to_string);
    let others = around.certificates.iter().filter(|c| !c.is_default().unwrap_or_default());
    let others = others.filter_map(|c| c.certificate_arn.clone()).filter(|c| Some(c) != default.as_ref());
    let mut rules: Vec<Rule> =
        around.rules.iter().filter(|r| !is_default(r)).map(|rule| read_rule(rule, tags_of)).collect();
    rules.sort_by_key(|r| r.priority);
    Listener {
        arn: arn.to_string(),
        port: listener.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        protocol: listener.protocol().map(|p| p.as_str().to_string()).unwrap_or_default(),
        ssl_policy: listener.ssl_policy().map(str::to_string),
        alpn: listener.alpn_policy().to_vec(),
        certificates: others.collect(),
        default_certificate: default,
        mutual_authentication: listener.mutual_authentication().map(mutual).unwrap_or_default(),
        attributes: around.attributes.clone(),
        tags: tags_of(arn),
        default_actions: actions::read(listener.default_actions()),
        rules,
    }
}

fn mutual(settings: &elb::MutualAuthenticationAttributes) -> Texts {
    let expiry = settings.ignore_client_certificate_expiry().map(|v| v.to_string());
    let names = settings.advertise_trust_store_ca_names().map(|v| v.as_str().to_string());
    [
        ("Mode", settings.mode().map(str::to_string)),
        ("TrustStoreArn", settings.trust_store_arn().map(str::to_string)),
        ("IgnoreClientCertificateExpiry", expiry),
        ("AdvertiseTrustStoreCaNames", names),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_string(), value?)))
    .collect()
}

fn read_rule(rule: &elb::Rule, tags_of: &impl Fn(&str) -> Texts) -> Rule {
    let arn = rule.rule_arn().unwrap_or_default();
    Rule {
        arn: arn.to_string(),
        priority: rule.priority().and_then(|p| p.parse().ok()).unwrap_or_default(),
        conditions: rule.conditions().iter().map(|c| condition(&once_said(c))).collect(),
        transforms: rule.transforms().iter().map(transform).collect(),
        actions: actions::read(rule.actions()),
        tags: tags_of(arn),
    }
}

/// A JSON object of the members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?)));
    Value::Object(present.collect::<Map<String, Value>>())
}

fn list(texts: Option<&Vec<String>>) -> Option<Value> {
    texts.filter(|texts| !texts.is_empty()).map(|texts| json!(texts))
}

/// A condition in the JSON shape of the API.
fn condition(condition: &elb::RuleCondition) -> Value {
    let pairs = |config: &elb::QueryStringConditionConfig| {
        let pair = |p: &elb::QueryStringKeyValuePair| {
            object([("Key", p.key().map(Value::from)), ("Value", p.value().map(Value::from))])
        };
        json!({ "Values": config.values().iter().map(pair).collect::<Vec<_>>() })
    };
    object([
        ("Field", condition.field().map(Value::from)),
        ("Values", list(condition.values.as_ref())),
        ("RegexValues", list(condition.regex_values.as_ref())),
        (
            "HostHeaderConfig",
            condition
                .host_header_config()
                .map(|c| object([("Values", list(c.values.as_ref())), ("RegexValues", list(c.regex_values.as_ref()))])),
        ),
        (
            "PathPatternConfig",
            condition
                .path_pattern_config()
                .map(|c| object([("Values", list(c.values.as_ref())), ("RegexValues", list(c.regex_values.as_ref()))])),
        ),
        (
            "HttpHeaderConfig",
            condition.http_header_config().map(|c| {
                object([
                    ("HttpHeaderName", c.http_header_name().map(Value::from)),
                    ("Values", list(c.values.as_ref())),
                    ("RegexValues", list(c.regex_values.as_ref())),
                ])
            }),
        ),
        ("QueryStringConfig", condition.query_string_config().map(pairs)),
        (
            "HttpRequestMethodConfig",
            condition.http_request_method_config().map(|c| object([("Values", list(c.values.as_ref()))])),
        ),
        (
            "SourceIpConfig",
            condition.source_ip_config().map(|c| {
                object([
                    ("Values", list(c.values.as_ref())),
                    ("IpAddressType", c.ip_address_type().map(|t| Value::from(t.as_str()))),
                ])
            }),
        ),
    ])
}

/// A transform in the JSON shape of the API.
fn transform(transform: &elb::RuleTransform) -> Value {
    let rewrites = |rewrites: &[elb::RewriteConfig]| {
        let one = |r: &elb::RewriteConfig| {
            object([("Regex", r.regex.clone().map(Value::from)), ("Replace", r.replace.clone().map(Value::from))])
        };
        json!({ "Rewrites": rewrites.iter().map(one).collect::<Vec<_>>() })
    };
    object([
        ("Type", transform.r#type.as_ref().map(|t| Value::from(t.as_str()))),
        ("HostHeaderRewriteConfig", transform.host_header_rewrite_config().map(|c| rewrites(c.rewrites()))),
        ("UrlRewriteConfig", transform.url_rewrite_config().map(|c| rewrites(c.rewrites()))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_and_transforms_keep_the_shape_of_the_api() {
        let header = elb::HttpHeaderConditionConfig::builder().http_header_name("X-Beta").values("yes").build();
        let query = elb::QueryStringKeyValuePair::builder().value("2").build();
        let source = elb::SourceIpConditionConfig::builder().values("10.0.0.0/8").build();
        let builder = || elb::RuleCondition::builder();
        let cases = [
            (
                builder().field("http-header").http_header_config(header).build(),
                json!({ "Field": "http-header", "HttpHeaderConfig": { "HttpHeaderName": "X-Beta", "Values": ["yes"] } }),
            ),
            (
                builder()
                    .field("query-string")
                    .query_string_config(elb::QueryStringConditionConfig::builder().values(query).build())
                    .build(),
                json!({ "Field": "query-string", "QueryStringConfig": { "Values": [{ "Value": "2" }] } }),
            ),
            (
                builder().field("source-ip").source_ip_config(source).build(),
                json!({ "Field": "source-ip", "SourceIpConfig": { "Values": ["10.0.0.0/8"] } }),
            ),
            (
                builder().field("path-pattern").values("/api/*").build(),
                json!({ "Field": "path-pattern", "Values": ["/api/*"] }),
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(condition(&given), expected);
        }
        let rewrite = elb::RewriteConfig::builder().regex("^/a").replace("/b").build();
        let given = elb::RuleTransform::builder()
            .r#type(elb::TransformTypeEnum::UrlRewrite)
            .url_rewrite_config(elb::UrlRewriteConfig::builder().rewrites(rewrite).build())
            .build();
        let rewrites = json!([{ "Regex": "^/a", "Replace": "/b" }]);
        let expected = json!({ "Type": "url-rewrite", "UrlRewriteConfig": { "Rewrites": rewrites } });
        assert_eq!(transform(&given), expected);
    }

    #[test]
    fn only_chosen_addresses_are_static() {
        let plain = elb::LoadBalancerAddress::builder().ip_address("192.0.2.1").build();
        let chosen = elb::LoadBalancerAddress::builder().ip_address("192.0.2.2").allocation_id("eipalloc-1").build();
        let zone = elb::AvailabilityZone::builder().subnet_id("subnet-1");
        let zone = zone.load_balancer_addresses(plain).load_balancer_addresses(chosen).build();
        let balancer = elb::LoadBalancer::builder().availability_zones(zone).build();
        assert_eq!(static_addresses(&balancer), ["eipalloc-1 (192.0.2.2) in subnet-1"]);
    }

    #[test]
    fn the_default_certificate_stands_apart() {
        let certificate =
            |arn: &str, default| elb::Certificate::builder().certificate_arn(arn).is_default(default).build();
        let listener = elb::Listener::builder()
            .listener_arn("arn:l")
            .port(443)
            .certificates(elb::Certificate::builder().certificate_arn("arn:c1").build())
            .build();
        let around = Around {
            certificates: vec![certificate("arn:c1", true), certificate("arn:c2", false)],
            attributes: Texts::new(),
            rules: Vec::new(),
        };
        let read = read_listener(&listener, &around, &|_| Texts::new());
        assert_eq!(
            (read.default_certificate.as_deref(), read.certificates),
            (Some("arn:c1"), vec!["arn:c2".to_string()])
        );
    }
}
