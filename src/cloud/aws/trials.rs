//! Test rules on the real load balancer.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types as elb;
use futures_util::future::try_join_all;

use super::Aws;
use super::actions;
use super::elb::Elb;
use super::errors::{during, refused};
use super::routes::{CREATE_RULE, created_rule, is_taken};
use super::tags::bears_marks;
use crate::cloud::CloudError;
use crate::cloud::trials::{NewTestRule, Trials};
use crate::playbook::Via;

impl Trials for Aws {
    fn test_rules(&self, listeners: &[String], tags: &BTreeMap<String, String>) -> Result<Vec<String>, CloudError> {
        self.runtime.block_on(self.elb.rules_marked(listeners, tags))
    }

    fn create_test_rule(&self, wanted: &NewTestRule) -> Result<String, CloudError> {
        self.runtime.block_on(self.elb.create_test_rule(wanted))
    }
}

impl Elb {
    async fn rules_marked(
        &self,
        listeners: &[String],
        wish: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, CloudError> {
        let rules = try_join_all(listeners.iter().map(|listener| self.rules(listener))).await?;
        let own = |rule: &elb::Rule| !rule.is_default().unwrap_or_default();
        let arns: Vec<String> =
            rules.iter().flatten().filter(|r| own(r)).filter_map(|r| r.rule_arn().map(str::to_string)).collect();
        if arns.is_empty() {
            return Ok(arns);
        }
        let tags = self.tags(&arns).await?;
        Ok(tags.into_iter().filter(|(_, tags)| bears_marks(tags, wish)).map(|(arn, _)| arn).collect())
    }

    async fn create_test_rule(&self, wanted: &NewTestRule) -> Result<String, CloudError> {
        let actions = actions::write(CREATE_RULE, &wanted.actions)?;
        let tags: Vec<elb::Tag> =
            wanted.tags.iter().map(|(key, value)| elb::Tag::builder().key(key).value(value).build()).collect();
        let call = self
            .writes
            .create_rule()
            .listener_arn(&wanted.listener)
            .priority(i32::try_from(wanted.priority).unwrap_or(i32::MAX))
            .conditions(condition(&wanted.via))
            .set_actions(Some(actions))
            .set_tags(Some(tags));
        match call.send().await {
            Ok(created) => created_rule(created.rules()),
            // It may be ours: CreateRule is not idempotent, and the answer to the first call may be lost.
            Err(error) if is_taken(&error) => {
                let ours = self.rules_marked(std::slice::from_ref(&wanted.listener), &wanted.tags).await?;
                let taken = format!("PriorityInUse: the priority {} is in use on {}", wanted.priority, wanted.listener);
                ours.into_iter().next().ok_or_else(|| refused(CREATE_RULE, taken))
            }
            Err(error) => Err(during(CREATE_RULE)(error)),
        }
    }
}

fn condition(via: &Via) -> elb::RuleCondition {
    let condition = elb::RuleCondition::builder();
    match via {
        Via::Header(header) => condition.field("http-header").http_header_config(
            elb::HttpHeaderConditionConfig::builder().http_header_name(&header.name).values(&header.value).build(),
        ),
        Via::Host(host) => condition
            .field("host-header")
            .host_header_config(elb::HostHeaderConditionConfig::builder().values(host).build()),
    }
    .build()
}
