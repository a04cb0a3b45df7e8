//! Names: hosted zones and their records, in the words of Route 53.
//!
//! The only change is a batch, all of it or nothing, whose deletions name the exact old values. That
//! is a true compare-and-swap: what somebody else changed meanwhile makes AWS refuse it.

use serde::{Deserialize, Serialize};

use super::CloudError;
use crate::inventory::{Record, Zone};

/// What `migrate` asks of Route 53.
pub trait Names {
    /// Every hosted zone of the account, all pages.
    fn zones(&self) -> Result<Vec<Zone>, CloudError>;

    /// Every record of a zone, all pages.
    fn records(&self, zone: &str) -> Result<Vec<Record>, CloudError>;

    /// Deletes and creates records of one zone in one batch, and returns the id of the change. A
    /// deletion whose values are not the present ones is refused, and the whole batch with it.
    fn change_records(&self, change: &RecordChange) -> Result<String, CloudError>;

    /// Whether all of Route 53's servers answer with this change.
    fn change_in_sync(&self, id: &str) -> Result<bool, CloudError>;
}

/// A batch for one zone. The deletions come first, or a name could not change its routing policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordChange {
    /// Id of the hosted zone.
    pub zone: String,
    /// Shown in the change's history; at most 256 characters.
    pub comment: String,
    pub delete: Vec<Record>,
    pub create: Vec<Record>,
}
