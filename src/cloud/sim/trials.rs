//! Test rules of the simulated load balancer: they match no user's request, and move no traffic.

use std::collections::BTreeMap;

use super::Sim;
use super::elb::{CREATE_RULE, SimRoute};
use super::universe::{Universe, bears_marks};
use crate::cloud::CloudError;
use crate::cloud::trials::{NewTestRule, Trials};
use crate::playbook::Via;

impl Trials for Sim {
    fn test_rules(&self, listeners: &[String], tags: &BTreeMap<String, String>) -> Result<Vec<String>, CloudError> {
        self.read("elasticloadbalancing:DescribeTags", |u| Ok(u.rules_marked(listeners, tags)))
    }

    fn create_test_rule(&self, wanted: &NewTestRule) -> Result<String, CloudError> {
        self.change(CREATE_RULE, |u| u.create_test_rule(wanted))
    }
}

impl Universe {
    /// A rule that was created a moment ago is not described everywhere yet.
    fn rules_marked(&self, listeners: &[String], tags: &BTreeMap<String, String>) -> Vec<String> {
        let marked = |r: &&SimRoute| {
            let route = r.route.seen(self.now);
            let born = self.unborn_rules.get(route.at.arn()).is_none_or(|born| self.now >= *born);
            born && route.priority.is_some() && listeners.contains(&route.listener) && bears_marks(&r.tags, tags)
        };
        self.routes.values().filter(marked).map(|r| r.route.actual.at.arn().to_owned()).collect()
    }

    fn create_test_rule(&mut self, wanted: &NewTestRule) -> Result<String, CloudError> {
        let ours = |r: &&SimRoute| {
            let route = &r.route.actual;
            route.listener == wanted.listener && route.priority.is_some() && bears_marks(&r.tags, &wanted.tags)
        };
        if let Some(existing) = self.routes.values().find(ours) {
            return Ok(existing.route.actual.at.arn().to_owned());
        }
        let condition = match &wanted.via {
            Via::Header(header) => format!("http-header {}: {}", header.name, header.value),
            Via::Host(host) => format!("host-header {host}"),
        };
        let arn =
            self.create_rule(&wanted.listener, wanted.priority, vec![condition], &wanted.actions, wanted.tags.clone())?;
        let visible = self.now + self.lag();
        self.unborn_rules.insert(arn.clone(), visible);
        Ok(arn)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::super::fixture::*;
    use super::*;
    use crate::cloud::Cause;
    use crate::errand::Request;
    use crate::inventory::{Action, ForwardConfig, WeightedGroup};

    fn rule(sim: &Sim, group: &str, priority: u32) -> NewTestRule {
        let universe = sim.universe();
        let listener = universe.routes.values().find(|r| r.route.actual.priority.is_none()).unwrap();
        let tuple = WeightedGroup { target_group_arn: group.to_owned(), weight: Some(1) };
        let config = ForwardConfig { target_groups: vec![tuple], target_group_stickiness_config: None };
        NewTestRule {
            listener: listener.route.actual.listener.clone(),
            via: Via::Host("smoke.example.com".to_owned()),
            priority,
            actions: vec![Action {
                kind: "forward".to_owned(),
                order: Some(1),
                forward_config: Some(config),
                ..Action::default()
            }],
            tags: [("migrate:smoke".to_owned(), "x".to_owned())].into(),
        }
    }

    #[test]
    fn a_test_rule_has_a_priority_of_its_own_and_is_known_by_its_tags() {
        let sim = sim(Scenario::Healthy);
        let (green, _) = stand_up(&sim);
        pass(&sim, 120);
        let taken = sim.create_test_rule(&rule(&sim, &green, 10)).unwrap_err();
        assert!(taken.cause == Cause::Refused && taken.message.starts_with("PriorityInUse"), "{taken}");
        let wanted = rule(&sim, &green, 1);
        let flows = sim.universe().traffic.epochs.last().cloned();
        let arn = sim.create_test_rule(&wanted).unwrap();
        assert_eq!(sim.create_test_rule(&wanted).unwrap(), arn, "again is the same");
        assert_eq!(sim.universe().traffic.epochs.last().cloned(), flows, "no user notices");
        let listeners = [wanted.listener.clone()];
        assert_eq!(sim.test_rules(&listeners, &wanted.tags).unwrap(), [arn.as_str()]);
        let ask = |host: &str| {
            let request = Request {
                url: "https://web.example.com/".to_owned(),
                headers: [("Host".to_owned(), host.to_owned())].into(),
                body: None,
                timeout: std::time::Duration::from_secs(1),
                connect_to: None,
                ipv6: false,
                insecure: false,
            };
            sim.visit(&request).unwrap().status
        };
        assert_eq!((ask("smoke.example.com"), ask("web.example.com")), (200, 404));
        crate::cloud::Cloud::delete_rule(&sim, &arn).unwrap();
        assert_eq!(sim.test_rules(&listeners, &wanted.tags).unwrap(), Vec::<String>::new());
        assert_eq!(ask("smoke.example.com"), 404);
        assert_eq!(sim.universe().violations, []);
    }
}
