//! Copies of load balancers: created like others by moving what the API describes, with a few edits.
//!
//! The name, the address type, the tags and the target groups are edited; everything else that the API
//! takes at creation is sent as it was described. What is there already is adopted only with this run's
//! tags, because AWS answers a creation with equal settings with what exists, whosever it is.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::operation::{create_listener, create_load_balancer, create_rule};
use aws_sdk_elasticloadbalancingv2::types as elb;
use futures_util::future::{join_all, try_join, try_join_all};

use super::Aws;
use super::elb::{Elb, read_load_balancer};
use super::errors::{during, existing, refused};
use super::routes::priority_of;
use super::tags::{bears_marks, marks};
use crate::cloud::balancers::{Balancers, NewListener, NewLoadBalancer, RuleLike};
use crate::cloud::{Cause, CloudError};
use crate::inventory::LoadBalancer;
use crate::inventory::balancer::Anatomy;

const CREATE: &str = "elasticloadbalancing:CreateLoadBalancer";
const CREATE_LISTENER: &str = "elasticloadbalancing:CreateListener";
const CREATE_RULE: &str = "elasticloadbalancing:CreateRule";
const DESCRIBE: &str = "elasticloadbalancing:DescribeLoadBalancers";
/// Changing calls that are under way together: ELBv2 refills three a second, after twenty at once.
const AT_ONCE: usize = 5;
/// Attributes in one call of `ModifyLoadBalancerAttributes`.
const MOST_ATTRIBUTES: usize = 20;

type Tags = BTreeMap<String, String>;

impl Balancers for Aws {
    fn balancer_named(&self, name_or_arn: &str) -> Result<Option<LoadBalancer>, CloudError> {
        let found = self.runtime.block_on(self.elb.balancer(name_or_arn))?;
        Ok(found.as_ref().map(read_load_balancer))
    }

    fn anatomies(&self, arns: &[String]) -> Result<Vec<Anatomy>, CloudError> {
        self.runtime.block_on(async {
            let found = try_join_all(arns.iter().map(|arn| self.elb.anatomy(&self.waf, arn))).await?;
            Ok(found.into_iter().flatten().collect())
        })
    }

    fn create_load_balancer(&self, wanted: &NewLoadBalancer) -> Result<LoadBalancer, CloudError> {
        self.runtime.block_on(self.elb.create_load_balancer(wanted))
    }

    fn set_load_balancer_attributes(&self, arn: &str, attributes: &Tags) -> Result<(), CloudError> {
        self.runtime.block_on(self.elb.set_balancer_attributes(arn, attributes))
    }

    fn create_listeners(&self, wanted: &[NewListener]) -> Vec<Result<String, CloudError>> {
        self.runtime.block_on(in_turns(wanted, |listener| self.elb.create_listener(listener)))
    }

    fn add_certificates(&self, listener: &str, certificates: &[String]) -> Result<(), CloudError> {
        self.runtime.block_on(async {
            let added = in_turns(certificates, |certificate| self.elb.add_certificate(listener, certificate)).await;
            added.into_iter().collect()
        })
    }

    fn set_listener_attributes(&self, listener: &str, attributes: &Tags) -> Result<(), CloudError> {
        self.runtime.block_on(self.elb.set_listener_attributes(listener, attributes))
    }

    fn create_rules(&self, wanted: &[RuleLike]) -> Vec<Result<(), CloudError>> {
        self.runtime.block_on(self.elb.create_rules(wanted))
    }

    fn associate_web_acl(&self, load_balancer: &str, web_acl: &str) -> Result<(), CloudError> {
        self.runtime.block_on(async {
            let call = self.waf.writes.associate_web_acl().web_acl_arn(web_acl).resource_arn(load_balancer);
            call.send().await.map_err(during("wafv2:AssociateWebACL"))?;
            Ok(())
        })
    }

    fn delete_listener(&self, arn: &str) -> Result<(), CloudError> {
        self.runtime.block_on(async {
            let deleted = self.elb.writes.delete_listener().listener_arn(arn).send().await;
            existing(deleted.map_err(during("elasticloadbalancing:DeleteListener")))?;
            Ok(())
        })
    }

    fn delete_load_balancer(&self, arn: &str) -> Result<(), CloudError> {
        self.runtime.block_on(async {
            let deleted = self.elb.writes.delete_load_balancer().load_balancer_arn(arn).send().await;
            existing(deleted.map_err(during("elasticloadbalancing:DeleteLoadBalancer")))?;
            Ok(())
        })
    }
}

/// Does this for each, a few at once, and answers in order.
async fn in_turns<'a, W, T, F>(wanted: &'a [W], act: impl Fn(&'a W) -> F) -> Vec<Result<T, CloudError>>
where
    F: Future<Output = Result<T, CloudError>>,
{
    let mut answers = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(AT_ONCE) {
        answers.extend(join_all(some.iter().map(&act)).await);
    }
    answers
}

impl Elb {
    /// The load balancer of this name or ARN as it is described.
    pub(super) async fn balancer(&self, name_or_arn: &str) -> Result<Option<elb::LoadBalancer>, CloudError> {
        let call = self.reads.describe_load_balancers();
        let by_arn = name_or_arn.starts_with("arn:");
        let call = if by_arn { call.load_balancer_arns(name_or_arn) } else { call.names(name_or_arn) };
        let found = existing(call.send().await.map_err(during(DESCRIBE)))?;
        Ok(found.and_then(|f| f.load_balancers).unwrap_or_default().into_iter().find(|b| {
            let called = if by_arn { b.load_balancer_arn() } else { b.load_balancer_name() };
            called == Some(name_or_arn)
        }))
    }

    async fn create_load_balancer(&self, wanted: &NewLoadBalancer) -> Result<LoadBalancer, CloudError> {
        let (from, present) = try_join(self.balancer(&wanted.from), self.balancer(&wanted.name)).await?;
        let from = from.ok_or_else(|| missing(DESCRIBE, "load balancer", &wanted.from))?;
        if let Some(present) = present {
            return self.adopted_balancer(&present, &from, wanted).await;
        }
        let created = self.balancer_like(&from, wanted)?.send().await;
        let error = match created {
            Ok(created) => return made_balancer(created.load_balancers(), wanted),
            Err(error) => error,
        };
        let taken = error.as_service_error().is_some_and(|e| e.is_duplicate_load_balancer_name_exception());
        let error = during(CREATE)(error);
        match taken.then_some(self.balancer(&wanted.name).await?).flatten() {
            Some(present) => self.adopted_balancer(&present, &from, wanted).await,
            None => Err(error),
        }
    }

    /// The request for a load balancer like `from`.
    fn balancer_like(
        &self,
        from: &elb::LoadBalancer,
        wanted: &NewLoadBalancer,
    ) -> Result<create_load_balancer::builders::CreateLoadBalancerFluentBuilder, CloudError> {
        let subnets: Vec<String> =
            from.availability_zones().iter().filter_map(|z| z.subnet_id().map(str::to_string)).collect();
        if from.availability_zones().iter().any(|z| z.outpost_id().is_some()) {
            return Err(refused(CREATE, format!("{} is on an Outpost, and cannot be made again", wanted.from)));
        }
        let groups = Some(from.security_groups().to_vec()).filter(|groups| !groups.is_empty());
        let nat = wanted.ipv6_source_nat.then_some(elb::EnablePrefixForIpv6SourceNatEnum::On);
        Ok(self
            .writes
            .create_load_balancer()
            .name(&wanted.name)
            .ip_address_type(wanted.ip_address_type.as_str().into())
            .set_scheme(from.scheme.clone())
            .set_type(from.r#type.clone())
            .set_subnets(Some(subnets))
            .set_security_groups(groups)
            .set_customer_owned_ipv4_pool(from.customer_owned_ipv4_pool.clone())
            .set_ipam_pools(from.ipam_pools.clone())
            .set_enable_prefix_for_ipv6_source_nat(nat.or_else(|| from.enable_prefix_for_ipv6_source_nat.clone()))
            .set_tags(written(&wanted.tags)))
    }

    /// The load balancer that has the name already, if it is this run's and like what would be created.
    async fn adopted_balancer(
        &self,
        present: &elb::LoadBalancer,
        from: &elb::LoadBalancer,
        wanted: &NewLoadBalancer,
    ) -> Result<LoadBalancer, CloudError> {
        let arn = present.load_balancer_arn().unwrap_or_default().to_string();
        let tags = self.tags(std::slice::from_ref(&arn)).await?.remove(&arn).unwrap_or_default();
        let mut found = Vec::new();
        if !bears_marks(&tags, &wanted.tags) {
            found.push(format!("with the tags {:?} instead of {:?}", marks(&tags), marks(&wanted.tags)));
        }
        let facts = |b: &elb::LoadBalancer| (b.r#type.clone(), b.scheme.clone(), b.vpc_id.clone());
        if facts(present) != facts(from) {
            found.push("of another type or scheme, or in another VPC".to_string());
        }
        let balancer = read_load_balancer(present);
        if balancer.ip_address_type != wanted.ip_address_type {
            found.push(format!("with the address type {}", balancer.ip_address_type));
        }
        if found.is_empty() {
            return Ok(balancer);
        }
        Err(refused(CREATE, format!("a load balancer named {} exists already, {}", wanted.name, found.join(", "))))
    }

    async fn set_balancer_attributes(&self, arn: &str, attributes: &Tags) -> Result<(), CloudError> {
        let pair =
            |(key, value): (&String, &String)| elb::LoadBalancerAttribute::builder().key(key).value(value).build();
        let attributes: Vec<elb::LoadBalancerAttribute> = attributes.iter().map(pair).collect();
        for some in attributes.chunks(MOST_ATTRIBUTES) {
            self.writes
                .modify_load_balancer_attributes()
                .load_balancer_arn(arn)
                .set_attributes(Some(some.to_vec()))
                .send()
                .await
                .map_err(during("elasticloadbalancing:ModifyLoadBalancerAttributes"))?;
        }
        Ok(())
    }

    /// The listener that is on the port already, if it is ours, or a new one like `from`.
    async fn create_listener(&self, wanted: &NewListener) -> Result<String, CloudError> {
        let from = std::slice::from_ref(&wanted.from);
        let (from, present) = try_join(self.listeners(from), self.listeners_of(&wanted.load_balancer)).await?;
        let from = from.into_iter().next().ok_or_else(|| missing(CREATE_LISTENER, "listener", &wanted.from))?;
        if let Some(present) = present.iter().find(|l| l.port == from.port) {
            return self.adopted_listener(present, &from, wanted).await;
        }
        let created = self.listener_like(&from, wanted)?.send().await.map_err(during(CREATE_LISTENER))?;
        let arn = created.listeners().first().and_then(|l| l.listener_arn()).map(str::to_string);
        arn.ok_or_else(|| unnamed(CREATE_LISTENER, "listener"))
    }

    /// The request for a listener like `from`.
    fn listener_like(
        &self,
        from: &elb::Listener,
        wanted: &NewListener,
    ) -> Result<create_listener::builders::CreateListenerFluentBuilder, CloudError> {
        let mut actions = from.default_actions.clone().unwrap_or_default();
        regroup(CREATE_LISTENER, &mut actions, &wanted.target_groups)?;
        let certificate =
            |c: &elb::Certificate| elb::Certificate::builder().set_certificate_arn(c.certificate_arn.clone()).build();
        let certificates: Vec<elb::Certificate> = from.certificates().iter().map(certificate).collect();
        let mut mutual = from.mutual_authentication.clone();
        if let Some(mutual) = &mut mutual {
            // What AWS says of the trust store, and is not told.
            mutual.trust_store_association_status = None;
        }
        Ok(self
            .writes
            .create_listener()
            .load_balancer_arn(&wanted.load_balancer)
            .set_protocol(from.protocol.clone())
            .set_port(from.port)
            .set_ssl_policy(from.ssl_policy.clone())
            .set_certificates(Some(certificates).filter(|c| !c.is_empty()))
            .set_alpn_policy(from.alpn_policy.clone().filter(|p| !p.is_empty()))
            .set_mutual_authentication(mutual)
            .set_default_actions(Some(actions))
            .set_tags(written(&wanted.tags)))
    }

    async fn adopted_listener(
        &self,
        present: &elb::Listener,
        from: &elb::Listener,
        wanted: &NewListener,
    ) -> Result<String, CloudError> {
        let arn = present.listener_arn().unwrap_or_default().to_string();
        let tags = self.tags(std::slice::from_ref(&arn)).await?.remove(&arn).unwrap_or_default();
        if bears_marks(&tags, &wanted.tags) && present.protocol == from.protocol {
            return Ok(arn);
        }
        let port = wanted.port;
        Err(refused(CREATE_LISTENER, format!("a listener on port {port} exists already, and is not this run's: {arn}")))
    }

    async fn add_certificate(&self, listener: &str, certificate: &str) -> Result<(), CloudError> {
        self.writes
            .add_listener_certificates()
            .listener_arn(listener)
            .certificates(elb::Certificate::builder().certificate_arn(certificate).build())
            .send()
            .await
            .map_err(during("elasticloadbalancing:AddListenerCertificates"))?;
        Ok(())
    }

    async fn set_listener_attributes(&self, listener: &str, attributes: &Tags) -> Result<(), CloudError> {
        let pair = |(key, value): (&String, &String)| elb::ListenerAttribute::builder().key(key).value(value).build();
        self.writes
            .modify_listener_attributes()
            .listener_arn(listener)
            .set_attributes(Some(attributes.iter().map(pair).collect()))
            .send()
            .await
            .map_err(during("elasticloadbalancing:ModifyListenerAttributes"))?;
        Ok(())
    }

    async fn create_rules(&self, wanted: &[RuleLike]) -> Vec<Result<(), CloudError>> {
        let (originals, present) = match self.rules_around(wanted).await {
            Ok(found) => found,
            Err(error) => return wanted.iter().map(|_| Err(error.clone())).collect(),
        };
        in_turns(wanted, |rule| self.create_rule_like(rule, &originals, &present)).await
    }

    /// The rules that are copied, and those that are on the listeners already, with their tags.
    async fn rules_around(
        &self,
        wanted: &[RuleLike],
    ) -> Result<(Vec<elb::Rule>, Vec<(String, elb::Rule, Tags)>), CloudError> {
        let mut listeners: Vec<&String> = wanted.iter().map(|w| &w.listener).collect();
        listeners.sort();
        listeners.dedup();
        let arns: Vec<String> = wanted.iter().map(|w| w.from.clone()).collect();
        let present = try_join_all(listeners.iter().map(|listener| self.rules(listener)));
        let (originals, present) = try_join(self.rules_by_arn(&arns), present).await?;
        let present: Vec<(String, elb::Rule)> = listeners
            .into_iter()
            .zip(present)
            .flat_map(|(listener, rules)| rules.into_iter().map(move |rule| (listener.clone(), rule)))
            .filter(|(_, rule)| !rule.is_default().unwrap_or_default())
            .collect();
        let arns: Vec<String> = present.iter().filter_map(|(_, r)| r.rule_arn.clone()).collect();
        let mut tags = self.tags(&arns).await?;
        let present = present.into_iter().map(|(listener, rule)| {
            let tags = tags.remove(rule.rule_arn().unwrap_or_default()).unwrap_or_default();
            (listener, rule, tags)
        });
        Ok((originals, present.collect()))
    }

    async fn create_rule_like(
        &self,
        wanted: &RuleLike,
        originals: &[elb::Rule],
        present: &[(String, elb::Rule, Tags)],
    ) -> Result<(), CloudError> {
        let from = originals.iter().find(|r| r.rule_arn() == Some(&wanted.from));
        let from = from.ok_or_else(|| missing(CREATE_RULE, "rule", &wanted.from))?;
        let there = present.iter().find(|(l, r, _)| *l == wanted.listener && r.priority == from.priority);
        if let Some((_, rule, tags)) = there {
            if bears_marks(tags, &wanted.tags) {
                return Ok(());
            }
            let (arn, priority) = (rule.rule_arn().unwrap_or_default(), priority_of(from).unwrap_or_default());
            return Err(refused(CREATE_RULE, format!("PriorityInUse: {arn} has the priority {priority}")));
        }
        self.rule_like(from, wanted)?.send().await.map_err(during(CREATE_RULE))?;
        Ok(())
    }

    /// The request for a rule like `from`.
    fn rule_like(
        &self,
        from: &elb::Rule,
        wanted: &RuleLike,
    ) -> Result<create_rule::builders::CreateRuleFluentBuilder, CloudError> {
        let mut actions = from.actions.clone().unwrap_or_default();
        regroup(CREATE_RULE, &mut actions, &wanted.target_groups)?;
        Ok(self
            .writes
            .create_rule()
            .listener_arn(&wanted.listener)
            .set_priority(priority_of(from))
            .set_conditions(Some(from.conditions().iter().map(once_said).collect()))
            .set_transforms(from.transforms.clone().filter(|t| !t.is_empty()))
            .set_actions(Some(actions))
            .set_tags(written(&wanted.tags)))
    }
}

/// The load balancer in the answer to its creation, if it is what was asked for.
fn made_balancer(answer: &[elb::LoadBalancer], wanted: &NewLoadBalancer) -> Result<LoadBalancer, CloudError> {
    let made = answer.first().map(read_load_balancer).ok_or_else(|| unnamed(CREATE, "load balancer"))?;
    if made.ip_address_type != wanted.ip_address_type {
        // It exists now, so this must not be taken for a refusal that changed nothing.
        let message = format!("{} was created with the address type {}", made.arn, made.ip_address_type);
        return Err(CloudError { operation: CREATE.to_string(), cause: Cause::Unknown, message });
    }
    Ok(made)
}

/// Puts its twin in the place of each group. A group without one belongs to another load balancer, and a
/// client secret can be kept but not given: neither can be copied.
fn regroup(operation: &str, actions: &mut [elb::Action], twins: &BTreeMap<String, String>) -> Result<(), CloudError> {
    for action in actions {
        if action.r#type == Some(elb::ActionTypeEnum::AuthenticateOidc) {
            return Err(refused(operation, "the client secret of an OpenID Connect action cannot be read, nor copied"));
        }
        let several = action.forward_config.as_ref().is_some_and(|c| c.target_groups().len() > 1);
        if several {
            // With several groups the API wants them in the forward part alone.
            action.target_group_arn = None;
        }
        let config = action.forward_config.iter_mut().flat_map(|c| c.target_groups.iter_mut().flatten());
        let named = config.filter_map(|t| t.target_group_arn.as_mut()).chain(action.target_group_arn.as_mut());
        for arn in named {
            let twin = twins.get(arn).ok_or_else(|| {
                refused(operation, format!("{arn} belongs to the load balancer that is copied, and has no twin"))
            })?;
            arn.clone_from(twin);
        }
    }
    Ok(())
}

/// A condition with its values in one place. Descriptions repeat them beside the part of their own, and
/// the API takes them once.
pub(super) fn once_said(condition: &elb::RuleCondition) -> elb::RuleCondition {
    let mut condition = condition.clone();
    let apart = condition.host_header_config.is_some()
        || condition.path_pattern_config.is_some()
        || condition.http_header_config.is_some()
        || condition.query_string_config.is_some()
        || condition.http_request_method_config.is_some()
        || condition.source_ip_config.is_some();
    if apart {
        condition.values = None;
        condition.regex_values = None;
    }
    condition
}

fn written(tags: &Tags) -> Option<Vec<elb::Tag>> {
    let tags: Vec<elb::Tag> =
        tags.iter().map(|(key, value)| elb::Tag::builder().key(key).value(value).build()).collect();
    Some(tags).filter(|tags| !tags.is_empty())
}

fn missing(operation: &str, what: &str, arn: &str) -> CloudError {
    CloudError { operation: operation.to_string(), cause: Cause::NotFound, message: format!("no {what} {arn}") }
}

fn unnamed(operation: &str, what: &str) -> CloudError {
    let message = format!("the answer names no {what}");
    CloudError { operation: operation.to_string(), cause: Cause::Unknown, message }
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::{Client, Config};

    use super::*;

    /// Clients that are never sent with.
    fn offline() -> Elb {
        let client = Client::from_conf(Config::builder().behavior_version_latest().build());
        Elb { reads: client.clone(), writes: client }
    }

    fn twins() -> BTreeMap<String, String> {
        BTreeMap::from([("arn:blue".to_string(), "arn:green".to_string())])
    }

    fn forward(groups: &[(&str, i32)]) -> elb::Action {
        let tuple = |(arn, weight): &(&str, i32)| {
            elb::TargetGroupTuple::builder().target_group_arn(*arn).weight(*weight).build()
        };
        let config =
            elb::ForwardActionConfig::builder().set_target_groups(Some(groups.iter().map(tuple).collect())).build();
        elb::Action::builder()
            .r#type(elb::ActionTypeEnum::Forward)
            .target_group_arn(groups[0].0)
            .forward_config(config)
            .build()
    }

    #[test]
    fn a_listener_is_sent_as_it_was_described() {
        let mutual = elb::MutualAuthenticationAttributes::builder()
            .mode("verify")
            .trust_store_arn("arn:store")
            .ignore_client_certificate_expiry(true)
            .trust_store_association_status(elb::TrustStoreAssociationStatusEnum::Active);
        let from = elb::Listener::builder()
            .listener_arn("arn:l")
            .protocol(elb::ProtocolEnum::Tls)
            .port(443)
            .ssl_policy("policy")
            .alpn_policy("HTTP2Preferred")
            .certificates(elb::Certificate::builder().certificate_arn("arn:c").is_default(true).build())
            .mutual_authentication(mutual.build())
            .default_actions(forward(&[("arn:blue", 1)]))
            .build();
        let wanted = NewListener {
            from: "arn:l".into(),
            load_balancer: "arn:lb".into(),
            port: 443,
            target_groups: twins(),
            tags: BTreeMap::from([("migrate:run".to_string(), "web".to_string())]),
        };
        let sent = offline().listener_like(&from, &wanted).unwrap();
        let sent = sent.as_input();
        assert_eq!((sent.get_protocol(), sent.get_port()), (&from.protocol, &Some(443)));
        assert_eq!((sent.get_ssl_policy(), sent.get_alpn_policy()), (&from.ssl_policy, &from.alpn_policy));
        // CreateListener does not take `IsDefault`, nor the state of the trust store.
        let certificate = elb::Certificate::builder().certificate_arn("arn:c").build();
        assert_eq!(sent.get_certificates(), &Some(vec![certificate]));
        let mut kept = from.mutual_authentication.clone().unwrap();
        kept.trust_store_association_status = None;
        assert_eq!(sent.get_mutual_authentication(), &Some(kept));
        assert_eq!(sent.get_default_actions(), &Some(vec![forward(&[("arn:green", 1)])]));
        assert_eq!(sent.get_tags().as_ref().map(Vec::len), Some(1));
    }

    #[test]
    fn a_rule_is_sent_with_its_conditions_and_transforms() {
        let header = elb::HttpHeaderConditionConfig::builder().http_header_name("X-Beta").regex_values("^y").build();
        let host = elb::HostHeaderConditionConfig::builder().values("a.example").build();
        let rewrite = elb::RewriteConfig::builder().regex("^/old/(.*)$").replace("/$1").build();
        let transform = elb::RuleTransform::builder()
            .r#type(elb::TransformTypeEnum::UrlRewrite)
            .url_rewrite_config(elb::UrlRewriteConfig::builder().rewrites(rewrite).build())
            .build();
        let from = elb::Rule::builder()
            .rule_arn("arn:r")
            .priority("30")
            .conditions(elb::RuleCondition::builder().field("http-header").http_header_config(header).build())
            // Described twice, as AWS does.
            .conditions(
                elb::RuleCondition::builder().field("host-header").values("a.example").host_header_config(host).build(),
            )
            .transforms(transform)
            .actions(forward(&[("arn:blue", 3), ("arn:blue", 1)]))
            .build();
        let wanted =
            RuleLike { from: "arn:r".into(), listener: "arn:l".into(), target_groups: twins(), tags: Tags::new() };
        let sent = offline().rule_like(&from, &wanted).unwrap();
        let sent = sent.as_input();
        assert_eq!((sent.get_priority(), sent.get_transforms()), (&Some(30), &from.transforms));
        let conditions = sent.get_conditions().clone().unwrap();
        assert_eq!(conditions[0], from.conditions()[0]);
        assert_eq!((conditions[1].values.as_ref(), conditions[1].host_header_config.is_some()), (None, true));
        // Several groups stand in the forward part alone.
        let action = &sent.get_actions().clone().unwrap()[0];
        assert_eq!(action.target_group_arn, None);
        let weights = action.forward_config().unwrap().target_groups().iter().map(|t| t.weight).collect::<Vec<_>>();
        assert_eq!(weights, [Some(3), Some(1)]);
    }

    #[test]
    fn what_cannot_be_made_again_is_refused_and_not_left_out() {
        let oidc = elb::Action::builder().r#type(elb::ActionTypeEnum::AuthenticateOidc).build();
        for actions in [vec![oidc], vec![forward(&[("arn:blue", 1), ("arn:other", 0)])], vec![forward(&[("arn:x", 1)])]]
        {
            let error = regroup(CREATE_RULE, &mut actions.clone(), &twins()).unwrap_err();
            assert_eq!(error.cause, Cause::Refused);
        }
    }

    #[test]
    fn a_load_balancer_that_became_ipv4_is_not_taken_for_nothing() {
        let wanted = NewLoadBalancer {
            from: "arn:lb".into(),
            name: "web-ipv6".into(),
            ip_address_type: "dualstack".into(),
            ipv6_source_nat: true,
            tags: Tags::new(),
        };
        let made = |kind| elb::LoadBalancer::builder().load_balancer_arn("arn:new").ip_address_type(kind).build();
        assert_eq!(made_balancer(&[made(elb::IpAddressType::Dualstack)], &wanted).unwrap().arn, "arn:new");
        let error = made_balancer(&[made(elb::IpAddressType::Ipv4)], &wanted).unwrap_err();
        assert!(!error.cause.changed_nothing(), "{error}");
        let from = elb::LoadBalancer::builder().security_groups("sg-1").scheme(elb::LoadBalancerSchemeEnum::Internal);
        let zone = |subnet: &str| elb::AvailabilityZone::builder().subnet_id(subnet).build();
        let from = from.availability_zones(zone("subnet-1")).availability_zones(zone("subnet-2"));
        let sent = offline().balancer_like(&from.build(), &wanted).unwrap();
        let sent = sent.as_input();
        assert_eq!(sent.get_subnets().as_ref().unwrap().len(), 2);
        assert_eq!(sent.get_enable_prefix_for_ipv6_source_nat(), &Some(elb::EnablePrefixForIpv6SourceNatEnum::On));
    }
}
