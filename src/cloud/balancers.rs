//! Load balancers that are copied: what one is made of, and how another is made like it.
//!
//! Nothing here changes the load balancer that is copied. The creating verbs take what is like which
//! ARN, and the edits; the adapter moves what the API describes whole, so that no field is lost. What is
//! there already under the name, port or priority is adopted only where it bears our tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::CloudError;
use crate::inventory::LoadBalancer;
use crate::inventory::balancer::Anatomy;

/// See the module.
pub trait Balancers {
    /// The load balancer of this name or ARN, or `None`.
    fn balancer_named(&self, name_or_arn: &str) -> Result<Option<LoadBalancer>, CloudError>;

    /// What these load balancers are made of, in their order; one that is not there is left out.
    fn anatomies(&self, arns: &[String]) -> Result<Vec<Anatomy>, CloudError>;

    /// Creates a load balancer, without listeners, like `from`. Where one with this name, kind and these
    /// tags exists, returns that.
    fn create_load_balancer(&self, wanted: &NewLoadBalancer) -> Result<LoadBalancer, CloudError>;

    /// Sets these attributes of a load balancer.
    fn set_load_balancer_attributes(&self, arn: &str, attributes: &BTreeMap<String, String>) -> Result<(), CloudError>;

    /// Creates listeners like others, all of them concurrently, and answers for each in order with its ARN.
    /// Each gets the default certificate; one with this port and these tags is returned as it is.
    fn create_listeners(&self, wanted: &[NewListener]) -> Vec<Result<String, CloudError>>;

    /// Adds certificates to a listener; one that is there already counts as added.
    fn add_certificates(&self, listener: &str, certificates: &[String]) -> Result<(), CloudError>;

    /// Sets these attributes of a listener.
    fn set_listener_attributes(&self, listener: &str, attributes: &BTreeMap<String, String>) -> Result<(), CloudError>;

    /// Creates rules like others, and answers for each in order. One with this priority and these tags on the
    /// listener counts as created.
    fn create_rules(&self, wanted: &[RuleLike]) -> Vec<Result<(), CloudError>>;

    /// Puts a load balancer behind a WAF web ACL of this region.
    fn associate_web_acl(&self, load_balancer: &str, web_acl: &str) -> Result<(), CloudError>;

    /// Deletes a listener and its rules; one that does not exist counts as deleted.
    fn delete_listener(&self, arn: &str) -> Result<(), CloudError>;

    /// Deletes a load balancer and its listeners; one that does not exist counts as deleted.
    fn delete_load_balancer(&self, arn: &str) -> Result<(), CloudError>;
}

/// A load balancer like another: the same type, scheme, subnets and security groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLoadBalancer {
    /// ARN of the one that is copied.
    pub from: String,
    /// At most 32 letters, digits and hyphens (ELBv2 API reference, `CreateLoadBalancer`).
    pub name: String,
    /// `dualstack` or `dualstack-without-public-ipv4`.
    pub ip_address_type: String,
    /// Whether its addresses in each subnet have a prefix for source NAT, without which a dual-stack Network
    /// Load Balancer takes no datagrams.
    pub ipv6_source_nat: bool,
    pub tags: BTreeMap<String, String>,
}

/// A listener like another, with the same port, protocol, policies and default certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewListener {
    /// ARN of the listener that is copied.
    pub from: String,
    /// ARN of the load balancer that gets it.
    pub load_balancer: String,
    pub port: u16,
    /// Blue target groups, and what stands in the place of each.
    pub target_groups: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

/// A rule like another, with the same priority, conditions and transforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleLike {
    /// ARN of the rule that is copied.
    pub from: String,
    /// ARN of the listener that gets it.
    pub listener: String,
    /// Blue target groups, and what stands in the place of each.
    pub target_groups: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}
