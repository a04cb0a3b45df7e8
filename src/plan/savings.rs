//! What can be saved once a run is finished: listed with the command that does it, never done by itself.
//!
//! Only what the inventory shows is claimed. Who else uses a NAT gateway is not known here, so that one
//! comes with the question to ask first. Prices are list prices of us-east-1 (November 2026).

use serde::Serialize;

use crate::inventory::{Inventory, LoadBalancer};
use crate::playbook::{RetireBlue, Shift};

use super::Plan;

/// Something that costs money and that green does not need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// What it is, with what it costs.
    pub what: String,
    /// What has to be true first.
    pub provided: String,
    /// The command.
    pub command: String,
}

impl Plan {
    /// What can be saved once the run is finished.
    pub fn savings(&self) -> Vec<Saving> {
        let inventory = &self.inventory;
        let mut savings: Vec<Saving> = Vec::new();
        if inventory.left_behind().is_empty() {
            savings.extend(nat_gateway(inventory));
        }
        match &self.playbook.shift {
            Shift::DnsWeights(_) => savings.extend(inventory.load_balancers.iter().map(|b| old_balancer(inventory, b))),
            Shift::ListenerWeights(_) | Shift::ListenerSwap(_) => {
                savings.extend(inventory.load_balancers.iter().filter_map(|b| public_addresses(inventory, b)));
                savings.extend(self.old_groups());
            }
            Shift::InPlace(_) => savings.extend(self.old_registry()),
        }
        savings
    }

    /// The Cloud Map service that green has left, where it needed another.
    fn old_registry(&self) -> Option<Saving> {
        let registries = &self.inventory.registries;
        let new = self.playbook.new_registry_name(registries)?;
        let old = registries.iter().find(|r| !r.takes_ipv6_only())?;
        Some(Saving {
            what: format!("the Cloud Map service {} leads nowhere any more: it can be removed", old.address()),
            provided: format!("no consumer asks for it: all ask for {new}.{}", old.namespace.name),
            command: format!("aws servicediscovery delete-service --region {} --id {}", self.inventory.region, old.id),
        })
    }

    /// Blue's target groups, which nothing refers to any more.
    fn old_groups(&self) -> Vec<Saving> {
        let region = &self.inventory.region;
        let removed = self.playbook.finish.blue == RetireBlue::Remove;
        let group = |arn: String| Saving {
            what: format!("blue's target group {} costs nothing, but counts against the quota", short(&arn)),
            provided: if removed {
                "nothing: no rule names it".to_owned()
            } else {
                "blue itself is deleted".to_owned()
            },
            command: format!("aws elbv2 delete-target-group --region {region} --target-group-arn {arn}"),
        };
        self.blue_groups().into_iter().map(group).collect()
    }
}

/// The name in an ARN of the load balancing API.
fn short(arn: &str) -> &str {
    arn.rsplit('/').nth(1).unwrap_or(arn)
}

fn nat_gateway(inventory: &Inventory) -> Option<Saving> {
    let subnets = inventory.service.subnets.join(",");
    (!subnets.is_empty()).then(|| Saving {
        what: "the NAT gateway of blue's subnets: $0.045 an hour each, and $0.045 a GB".to_owned(),
        provided: "no other task or instance in these subnets needs IPv4 egress, and green needs no NAT64".to_owned(),
        command: format!(
            "aws ec2 describe-route-tables --region {} --filters Name=association.subnet-id,Values={subnets} \
             --query 'RouteTables[].Routes[?NatGatewayId].NatGatewayId'",
            inventory.region
        ),
    })
}

fn public_addresses(inventory: &Inventory, balancer: &LoadBalancer) -> Option<Saving> {
    let authenticates = inventory
        .routes
        .iter()
        .any(|r| r.load_balancer == balancer.arn && r.actions.iter().any(|a| a.kind.starts_with("authenticate")));
    let public = balancer.scheme == "internet-facing" && balancer.ip_address_type == "dualstack";
    // Authentication fails on a load balancer without public IPv4 (ELBv2 guide, address types); only
    // an Application Load Balancer can be without.
    (public && balancer.kind == "application" && !authenticates).then(|| Saving {
        what: format!(
            "the public IPv4 addresses of {}: at least {}, $3.65 a month each",
            balancer.name,
            balancer.zones.len().max(1)
        ),
        provided: "every client reaches it over IPv6".to_owned(),
        command: format!(
            "aws elbv2 set-ip-address-type --region {} --load-balancer-arn {} \
             --ip-address-type dualstack-without-public-ipv4",
            inventory.region, balancer.arn
        ),
    })
}

fn old_balancer(inventory: &Inventory, balancer: &LoadBalancer) -> Saving {
    Saving {
        what: format!(
            "blue's load balancer {}: about $16 a month, and {} public IPv4 addresses",
            balancer.name,
            balancer.zones.len()
        ),
        provided: "no other record leads to it, and its request count stays zero".to_owned(),
        command: format!(
            "aws elbv2 delete-load-balancer --region {} --load-balancer-arn {}",
            inventory.region, balancer.arn
        ),
    }
}
