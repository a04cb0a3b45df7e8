//! What the user's metrics are called on each side: the names that placeholders stand for.
//!
//! Blue's are in the inventory. Green's follow from the plan, but for its target group and its load balancer,
//! which have names only when they were made.

use std::collections::BTreeMap;

use super::{Plan, green_family};
use crate::gate::LevelQuery;
use crate::inventory::metric_name;
use crate::operation::{Made, green_key};
use crate::playbook::SideNames;

impl Plan {
    /// What is asked of CloudWatch about the user's metrics. `balancers` has the load balancer of each target
    /// group of both sides that exists, by ARN.
    pub fn own_queries(&self, made: &Made, balancers: &BTreeMap<String, String>) -> Vec<LevelQuery> {
        let service = &self.inventory.service;
        let definition = &self.inventory.task_definition;
        let group = self.blue_groups().into_iter().next();
        let twin = group.as_ref().and_then(|group| made.get(&green_key(group)).cloned());
        let names = |service: &str, family: &str, group: Option<String>| SideNames {
            service: Some(service.to_owned()),
            family: Some(family.to_owned()),
            load_balancer: group.as_ref().and_then(|g| balancers.get(g)).map(|arn| metric_name(arn).to_owned()),
            target_group: group.map(|arn| metric_name(&arn).to_owned()),
        };
        // A service that is updated in place keeps its name.
        let in_place = self.playbook.shift.updates_in_place();
        let green = if in_place { service.name.clone() } else { self.green_name() };
        let green = names(&green, &green_family(definition), twin);
        self.playbook.health.queries(&green, &names(&service.name, &definition.family, group))
    }
}
