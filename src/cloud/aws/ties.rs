//! Listeners of our own that tie a target group to a Network Load Balancer, and the flows on groups.
//!
//! A listener is found again by its tags and by what it forwards to. Its port is ours to choose, so
//! an attempt whose answer was lost is recognised by what it made and not by its request.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2 as sdk;
use aws_sdk_elasticloadbalancingv2::types as elb;
use chrono::{DateTime, Utc};

use super::elb::Elb;
use super::errors::{during, existing, refused};
use super::tags::bears_marks;
use super::{Aws, cloudwatch};
use crate::cloud::ties::{NewTie, Ties};
use crate::cloud::{Cause, CloudError};

const CREATE_LISTENER: &str = "elasticloadbalancing:CreateListener";
/// Ports to try, should others create listeners at the same time.
const PORTS_TRIED: usize = 5;

impl Ties for Aws {
    fn tie_group(&self, wanted: &NewTie) -> Result<String, CloudError> {
        self.runtime.block_on(self.elb.tie_group(wanted))
    }

    fn ties(&self, load_balancer: &str, run: &str) -> Result<Vec<String>, CloudError> {
        self.runtime.block_on(self.elb.ties(load_balancer, run))
    }

    fn untie(&self, arn: &str) -> Result<(), CloudError> {
        self.runtime.block_on(self.elb.untie(arn))
    }

    fn active_flows(
        &self,
        groups: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Option<f64>, CloudError> {
        self.runtime.block_on(cloudwatch::active_flows(&self.cloudwatch, groups, from, to))
    }
}

impl Elb {
    async fn tie_group(&self, wanted: &NewTie) -> Result<String, CloudError> {
        let listeners = self.listeners_of(&wanted.load_balancer).await?;
        let alike: Vec<String> = listeners.iter().filter(|l| forwards_to(l, &wanted.group)).filter_map(arn).collect();
        let tags = self.tags(&alike).await?;
        if let Some((tie, _)) = tags.into_iter().find(|(_, tags)| bears_marks(tags, &wanted.tags)) {
            return Ok(tie);
        }
        let like = listeners.iter().find(|l| l.listener_arn() == Some(&wanted.like));
        let tls = wanted.protocol == "TLS";
        let tags: Vec<elb::Tag> =
            wanted.tags.iter().map(|(key, value)| elb::Tag::builder().key(key).value(value).build()).collect();
        let forward = elb::Action::builder().r#type(elb::ActionTypeEnum::Forward).target_group_arn(&wanted.group);
        for port in free_ports(&listeners).take(PORTS_TRIED) {
            let mut call = self
                .writes
                .create_listener()
                .load_balancer_arn(&wanted.load_balancer)
                .protocol(elb::ProtocolEnum::from(wanted.protocol.as_str()))
                .port(port)
                .default_actions(forward.clone().build())
                .set_tags(Some(tags.clone()).filter(|tags| !tags.is_empty()));
            if let Some(like) = like.filter(|_| tls) {
                // Whether a certificate is the default one is said in answers only.
                let default = like.certificates().first().and_then(elb::Certificate::certificate_arn);
                let certificate = default.map(|arn| elb::Certificate::builder().certificate_arn(arn).build());
                call = call.set_certificates(certificate.map(|c| vec![c])).set_ssl_policy(like.ssl_policy.clone());
            }
            match call.send().await {
                Ok(created) => return created_listener(created.listeners()),
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(during(CREATE_LISTENER)(error)),
            }
        }
        Err(refused(CREATE_LISTENER, format!("DuplicateListener: no free port was found on {}", wanted.load_balancer)))
    }

    async fn ties(&self, load_balancer: &str, run: &str) -> Result<Vec<String>, CloudError> {
        let listeners = self.listeners_of(load_balancer).await?;
        let arns: Vec<String> = listeners.iter().filter_map(arn).collect();
        let wish: BTreeMap<String, String> = [("migrate:run".to_string(), run.to_string())].into();
        let tags = self.tags(&arns).await?;
        Ok(tags.into_iter().filter(|(_, tags)| bears_marks(tags, &wish)).map(|(arn, _)| arn).collect())
    }

    async fn untie(&self, arn: &str) -> Result<(), CloudError> {
        let deleted = self.writes.delete_listener().listener_arn(arn).send().await;
        existing(deleted.map_err(during("elasticloadbalancing:DeleteListener")))?;
        Ok(())
    }
}

fn arn(listener: &elb::Listener) -> Option<String> {
    listener.listener_arn().map(str::to_string)
}

/// Whether the default action names this group and no other.
fn forwards_to(listener: &elb::Listener, group: &str) -> bool {
    let [action] = listener.default_actions() else { return false };
    let tuples = action.forward_config().map(|config| config.target_groups()).unwrap_or_default();
    match (tuples, action.target_group_arn()) {
        ([only], _) => only.target_group_arn() == Some(group),
        ([], Some(only)) => only == group,
        _ => false,
    }
}

/// Ports that no listener has, from the last one down.
fn free_ports(listeners: &[elb::Listener]) -> impl Iterator<Item = i32> {
    (1..=i32::from(u16::MAX)).rev().filter(|port| !listeners.iter().any(|l| l.port() == Some(*port)))
}

fn is_taken(error: &sdk::error::SdkError<sdk::operation::create_listener::CreateListenerError>) -> bool {
    error.as_service_error().is_some_and(|error| error.is_duplicate_listener_exception())
}

fn created_listener(answer: &[elb::Listener]) -> Result<String, CloudError> {
    answer.first().and_then(arn).ok_or_else(|| CloudError {
        operation: CREATE_LISTENER.to_string(),
        cause: Cause::Unknown,
        message: "the answer names no listener".to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(port: i32, action: elb::Action) -> elb::Listener {
        elb::Listener::builder().listener_arn("arn:l").port(port).default_actions(action).build()
    }

    fn forward(groups: &[&str], short: Option<&str>) -> elb::Action {
        let tuples = groups.iter().map(|arn| elb::TargetGroupTuple::builder().target_group_arn(*arn).build()).collect();
        let config = elb::ForwardActionConfig::builder().set_target_groups(Some(tuples)).build();
        elb::Action::builder()
            .r#type(elb::ActionTypeEnum::Forward)
            .set_target_group_arn(short.map(str::to_string))
            .set_forward_config(Some(config))
            .build()
    }

    #[test]
    fn a_tie_is_known_by_its_only_group() {
        for (action, is) in [
            (forward(&["g"], Some("g")), true),
            (forward(&[], Some("g")), true),
            (forward(&["g"], None), true),
            (forward(&["g", "b"], None), false),
            (forward(&["b"], Some("b")), false),
        ] {
            assert_eq!(forwards_to(&listener(443, action.clone()), "g"), is, "{action:?}");
        }
    }

    #[test]
    fn ports_are_taken_from_the_end() {
        let taken = [65_535, 65_533, 443].map(|port| listener(port, forward(&["b"], None)));
        assert_eq!(free_ports(&taken).take(3).collect::<Vec<_>>(), [65_534, 65_532, 65_531]);
    }
}
