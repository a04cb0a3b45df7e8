//! Listeners of our own that tie a target group to a Network Load Balancer, and the flows on groups.
//!
//! An Application Load Balancer has rules that no request matches for this; a Network Load Balancer
//! has only whole listeners.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::CloudError;

/// See the module.
pub trait Ties {
    /// Creates a listener on a port that no listener of the load balancer uses, the last ones first,
    /// which forwards to the group and bears the tags; returns its ARN. Where one like it that bears
    /// the marks among these tags is there already, returns that.
    fn tie_group(&self, wanted: &NewTie) -> Result<String, CloudError>;

    /// Listeners of this load balancer that bear the tag `migrate:run` with this value.
    fn ties(&self, load_balancer: &str, run: &str) -> Result<Vec<String>, CloudError>;

    /// Deletes a listener; one that does not exist counts as deleted.
    fn untie(&self, arn: &str) -> Result<(), CloudError>;

    /// The greatest number of flows that were open on these groups together in a minute of this time
    /// (`ActiveFlowCount`), from full minute to full minute; `None` where any group reports nothing.
    fn active_flows(
        &self,
        groups: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Option<f64>, CloudError>;
}

/// A listener that exists only for its target group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTie {
    pub load_balancer: String,
    /// ARN of the target group.
    pub group: String,
    /// `TCP` or `TLS`, as the group speaks.
    pub protocol: String,
    /// ARN of the listener whose certificate and security policy a `TLS` listener gets.
    pub like: String,
    pub tags: BTreeMap<String, String>,
}
