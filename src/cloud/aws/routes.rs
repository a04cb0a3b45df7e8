//! Listeners and rules: where requests go, and sending them elsewhere.
//!
//! The default action of a listener is read and written through the listener, every other action
//! through its rule. `ModifyListener` and `ModifyRule` replace what they are sent and keep the rest,
//! so a write sends the actions and nothing else.

use aws_sdk_elasticloadbalancingv2 as sdk;
use aws_sdk_elasticloadbalancingv2::types as elb;
use futures_util::future::{join_all, try_join, try_join_all};

use super::actions;
use super::elb::Elb;
use super::errors::{during, existing, refused};
use crate::cloud::{Cause, CloudError, NewRule, RouteWrite};
use crate::inventory::{Route, RouteAt};

const DESCRIBE_LISTENERS: &str = "elasticloadbalancing:DescribeListeners";
pub(super) const CREATE_RULE: &str = "elasticloadbalancing:CreateRule";
/// The greatest page of the ELBv2 API.
const PAGE: i32 = 400;
/// Rules that are described in one call by their ARNs.
const MOST_RULES: usize = 20;
const LAST_PRIORITY: i32 = 50_000;
/// Priorities to try, should others create rules at the same time.
const PRIORITIES_TRIED: usize = 5;

impl Elb {
    /// Every route of these load balancers: their listeners first, then all rules at once.
    pub(super) async fn routes(&self, load_balancers: &[String]) -> Result<Vec<Route>, CloudError> {
        let listeners = try_join_all(load_balancers.iter().map(|arn| self.listeners_of(arn))).await?;
        let per_balancer = listeners.into_iter().map(|mut listeners| async move {
            listeners.sort_by_key(elb::Listener::port);
            let arns = listeners.iter().map(|listener| listener.listener_arn().unwrap_or_default());
            let rules = try_join_all(arns.map(|arn| self.rules(arn))).await?;
            Ok::<_, CloudError>(
                listeners.iter().zip(&rules).flat_map(|(listener, rules)| read_routes(listener, rules)).collect(),
            )
        });
        let routes: Vec<Vec<Route>> = try_join_all(per_balancer).await?;
        Ok(routes.into_iter().flatten().collect())
    }

    /// Every route of these listeners, all of it at once, because the listeners are known.
    pub(super) async fn routes_of(&self, listeners: &[String]) -> Result<Vec<Route>, CloudError> {
        if listeners.is_empty() {
            return Ok(Vec::new());
        }
        let rules = try_join_all(listeners.iter().map(|arn| self.rules(arn)));
        let (found, rules) = try_join(self.listeners(listeners), rules).await?;
        let mut found: Vec<(&elb::Listener, &Vec<elb::Rule>)> = listeners
            .iter()
            .zip(&rules)
            .filter_map(|(arn, rules)| {
                Some((found.iter().find(|listener| listener.listener_arn() == Some(arn))?, rules))
            })
            .collect();
        found.sort_by_key(|(listener, _)| listener.port());
        Ok(found.into_iter().flat_map(|(listener, rules)| read_routes(listener, rules)).collect())
    }

    pub(super) async fn listeners_of(&self, load_balancer: &str) -> Result<Vec<elb::Listener>, CloudError> {
        self.reads
            .describe_listeners()
            .load_balancer_arn(load_balancer)
            .page_size(PAGE)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(during(DESCRIBE_LISTENERS))
    }

    pub(super) async fn listeners(&self, arns: &[String]) -> Result<Vec<elb::Listener>, CloudError> {
        self.reads
            .describe_listeners()
            .set_listener_arns(Some(arns.to_vec()))
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(during(DESCRIBE_LISTENERS))
    }

    pub(super) async fn rules(&self, listener: &str) -> Result<Vec<elb::Rule>, CloudError> {
        let mut rules = Vec::new();
        let mut marker = None;
        loop {
            let page = self
                .reads
                .describe_rules()
                .listener_arn(listener)
                .page_size(PAGE)
                .set_marker(marker)
                .send()
                .await
                .map_err(during("elasticloadbalancing:DescribeRules"))?;
            rules.extend(page.rules.unwrap_or_default());
            match page.next_marker.filter(|marker| !marker.is_empty()) {
                Some(next) => marker = Some(next),
                None => return Ok(rules),
            }
        }
    }

    /// The rules of these ARNs; one that does not exist is an error.
    pub(super) async fn rules_by_arn(&self, arns: &[String]) -> Result<Vec<elb::Rule>, CloudError> {
        let calls =
            arns.chunks(MOST_RULES).map(|arns| self.reads.describe_rules().set_rule_arns(Some(arns.to_vec())).send());
        let pages = try_join_all(calls).await.map_err(during("elasticloadbalancing:DescribeRules"))?;
        Ok(pages.into_iter().flat_map(|page| page.rules.unwrap_or_default()).collect())
    }

    /// Writes all of these at once, and answers for each in order.
    pub(super) async fn set_actions(&self, writes: &[RouteWrite]) -> Vec<Result<(), CloudError>> {
        join_all(writes.iter().map(|write| self.set_actions_of(write))).await
    }

    async fn set_actions_of(&self, write: &RouteWrite) -> Result<(), CloudError> {
        match &write.at {
            RouteAt::Listener(arn) => {
                let operation = "elasticloadbalancing:ModifyListener";
                let actions = actions::write(operation, &write.actions)?;
                let call = self.writes.modify_listener().listener_arn(arn).set_default_actions(Some(actions));
                call.send().await.map_err(during(operation))?;
            }
            RouteAt::Rule(arn) => {
                let operation = "elasticloadbalancing:ModifyRule";
                let actions = actions::write(operation, &write.actions)?;
                let call = self.writes.modify_rule().rule_arn(arn).set_actions(Some(actions));
                call.send().await.map_err(during(operation))?;
            }
        }
        Ok(())
    }

    /// The rule for this host on this listener: the one that exists, or a new one at the end.
    pub(super) async fn create_probe_rule(&self, wanted: &NewRule) -> Result<String, CloudError> {
        let rules = self.rules(&wanted.listener).await?;
        if let Some(rule) = rules.iter().find(|rule| is_for_host(rule, &wanted.host)) {
            return Ok(rule.rule_arn().unwrap_or_default().to_string());
        }
        let actions = actions::write(CREATE_RULE, &wanted.actions)?;
        let host = elb::RuleCondition::builder()
            .field("host-header")
            .host_header_config(elb::HostHeaderConditionConfig::builder().values(&wanted.host).build())
            .build();
        let tags: Vec<elb::Tag> =
            wanted.tags.iter().map(|(key, value)| elb::Tag::builder().key(key).value(value).build()).collect();
        for priority in free_priorities(&rules).take(PRIORITIES_TRIED) {
            let call = self
                .writes
                .create_rule()
                .listener_arn(&wanted.listener)
                .priority(priority)
                .conditions(host.clone())
                .set_actions(Some(actions.clone()))
                .set_tags(Some(tags.clone()).filter(|tags| !tags.is_empty()));
            match call.send().await {
                Ok(created) => return created_rule(created.rules()),
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(during(CREATE_RULE)(error)),
            }
        }
        Err(refused(CREATE_RULE, format!("PriorityInUse: no free priority was found on {}", wanted.listener)))
    }

    pub(super) async fn delete_rule(&self, arn: &str) -> Result<(), CloudError> {
        let deleted = self.writes.delete_rule().rule_arn(arn).send().await;
        existing(deleted.map_err(during("elasticloadbalancing:DeleteRule")))?;
        Ok(())
    }
}

pub(super) fn is_taken(error: &sdk::error::SdkError<sdk::operation::create_rule::CreateRuleError>) -> bool {
    error.as_service_error().is_some_and(|error| error.is_priority_in_use_exception())
}

pub(super) fn created_rule(answer: &[elb::Rule]) -> Result<String, CloudError> {
    let rule = answer.first().and_then(elb::Rule::rule_arn).map(str::to_string);
    rule.ok_or_else(|| CloudError {
        operation: CREATE_RULE.to_string(),
        cause: Cause::Unknown,
        message: "the answer names no rule".to_string(),
    })
}

/// Priorities that no rule has, from the last one down.
fn free_priorities(rules: &[elb::Rule]) -> impl Iterator<Item = i32> {
    (1..=LAST_PRIORITY).rev().filter(|priority| !rules.iter().any(|rule| priority_of(rule) == Some(*priority)))
}

pub(super) fn priority_of(rule: &elb::Rule) -> Option<i32> {
    rule.priority().and_then(|priority| priority.parse().ok())
}

/// Whether the host is all that the rule asks for.
fn is_for_host(rule: &elb::Rule, host: &str) -> bool {
    let [condition] = rule.conditions() else { return false };
    condition.field() == Some("host-header") && matches!(values(condition), [only] if only == host)
}

/// The routes of one listener: its rules by priority, then its default action.
fn read_routes(listener: &elb::Listener, rules: &[elb::Rule]) -> Vec<Route> {
    let arn = listener.listener_arn().unwrap_or_default();
    let route = |at, priority, conditions, actions| Route {
        at,
        load_balancer: listener.load_balancer_arn().unwrap_or_default().to_string(),
        listener: arn.to_string(),
        port: listener.port().and_then(|port| u16::try_from(port).ok()),
        priority,
        conditions,
        actions,
    };
    // The default rule repeats the listener's default actions, and cannot be modified as a rule.
    let mut rules: Vec<&elb::Rule> = rules.iter().filter(|rule| !rule.is_default().unwrap_or_default()).collect();
    rules.sort_by_key(|rule| priority_of(rule));
    let mut routes: Vec<Route> = rules
        .into_iter()
        .map(|rule| {
            let at = RouteAt::Rule(rule.rule_arn().unwrap_or_default().to_string());
            let priority = priority_of(rule).and_then(|priority| u32::try_from(priority).ok());
            route(at, priority, rule.conditions().iter().map(in_words).collect(), actions::read(rule.actions()))
        })
        .collect();
    let defaults = actions::read(listener.default_actions());
    routes.push(route(RouteAt::Listener(arn.to_string()), None, Vec::new(), defaults));
    routes
}

/// A condition as people read it.
fn in_words(condition: &elb::RuleCondition) -> String {
    let field = condition.field().unwrap_or("condition");
    let mut words = vec![field.to_string()];
    if let Some(name) = condition.http_header_config().and_then(|header| header.http_header_name()) {
        words.push(format!("{name}:"));
    }
    words.extend(values(condition).iter().cloned());
    words.extend(regexes(condition).iter().map(|regex| format!("/{regex}/")));
    for pair in condition.query_string_config().map(|query| query.values()).unwrap_or_default() {
        let value = pair.value().unwrap_or_default();
        words.push(pair.key().map_or_else(|| value.to_string(), |key| format!("{key}={value}")));
    }
    words.join(" ")
}

/// The values of a condition, which stand in its own part or, in older rules, beside it.
fn values(condition: &elb::RuleCondition) -> &[String] {
    [
        condition.host_header_config().map(|config| config.values()),
        condition.path_pattern_config().map(|config| config.values()),
        condition.http_header_config().map(|config| config.values()),
        condition.http_request_method_config().map(|config| config.values()),
        condition.source_ip_config().map(|config| config.values()),
    ]
    .into_iter()
    .flatten()
    .find(|values| !values.is_empty())
    .unwrap_or_else(|| condition.values())
}

fn regexes(condition: &elb::RuleCondition) -> &[String] {
    [
        condition.host_header_config().map(|config| config.regex_values()),
        condition.path_pattern_config().map(|config| config.regex_values()),
        condition.http_header_config().map(|config| config.regex_values()),
    ]
    .into_iter()
    .flatten()
    .find(|values| !values.is_empty())
    .unwrap_or_else(|| condition.regex_values())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(arn: &str, priority: &str, host: &str) -> elb::Rule {
        let condition = elb::RuleCondition::builder()
            .field("host-header")
            .host_header_config(elb::HostHeaderConditionConfig::builder().values(host).build())
            .build();
        elb::Rule::builder()
            .rule_arn(arn)
            .priority(priority)
            .is_default(priority == "default")
            .conditions(condition)
            .build()
    }

    #[test]
    fn rules_come_by_priority_and_the_default_last() {
        let listener = elb::Listener::builder().listener_arn("arn:l").load_balancer_arn("arn:lb").port(443).build();
        let rules = [rule("arn:d", "default", "x"), rule("arn:20", "20", "b"), rule("arn:3", "3", "a")];
        let routes = read_routes(&listener, &rules);
        let arns: Vec<&str> = routes.iter().map(|route| route.at.arn()).collect();
        assert_eq!(arns, ["arn:3", "arn:20", "arn:l"]);
        assert_eq!(routes[0].conditions, ["host-header a"]);
        assert_eq!((routes[1].priority, routes[2].priority), (Some(20), None));
        assert_eq!(routes[2].at, RouteAt::Listener("arn:l".to_string()));
    }

    #[test]
    fn priorities_are_taken_from_the_end() {
        let rules = [rule("a", "50000", "a"), rule("b", "49998", "b"), rule("d", "default", "d")];
        let free: Vec<i32> = free_priorities(&rules).take(3).collect();
        assert_eq!(free, [49_999, 49_997, 49_996]);
    }

    #[test]
    fn the_probe_is_recognised_by_its_host_alone() {
        assert!(is_for_host(&rule("a", "1", "migrate-x.invalid"), "migrate-x.invalid"));
        assert!(!is_for_host(&rule("a", "1", "migrate-y.invalid"), "migrate-x.invalid"));
        let mut narrower = rule("a", "1", "migrate-x.invalid");
        narrower
            .conditions
            .as_mut()
            .unwrap()
            .push(elb::RuleCondition::builder().field("path-pattern").values("/").build());
        assert!(!is_for_host(&narrower, "migrate-x.invalid"));
    }

    #[test]
    fn conditions_are_readable() {
        let query = elb::QueryStringKeyValuePair::builder().key("v").value("2").build();
        let query = elb::QueryStringConditionConfig::builder().values(query).build();
        let condition = elb::RuleCondition::builder().field("query-string").query_string_config(query).build();
        assert_eq!(in_words(&condition), "query-string v=2");
        let header =
            elb::HttpHeaderConditionConfig::builder().http_header_name("X-Beta").values("yes").values("y").build();
        let condition = elb::RuleCondition::builder().field("http-header").http_header_config(header).build();
        assert_eq!(in_words(&condition), "http-header X-Beta: yes y");
        let condition = elb::RuleCondition::builder().field("path-pattern").values("/api/*").build();
        assert_eq!(in_words(&condition), "path-pattern /api/*");
    }
}
