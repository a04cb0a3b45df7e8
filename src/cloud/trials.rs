//! Test rules: what leads a request to green alone while users' requests go on as before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::CloudError;
use crate::inventory::Action;
use crate::playbook::Via;

/// Rules for a moment, known again by their tags.
pub trait Trials {
    /// ARNs of the rules on these listeners that bear all of these tags.
    fn test_rules(&self, listeners: &[String], tags: &BTreeMap<String, String>) -> Result<Vec<String>, CloudError>;

    /// Creates a rule at this priority, and returns its ARN. Where a rule of the listener bears these
    /// tags already, returns that; a priority that another rule has is refused.
    fn create_test_rule(&self, wanted: &NewTestRule) -> Result<String, CloudError>;
}

/// A rule that only the requests of a smoke test match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTestRule {
    pub listener: String,
    /// Its only condition.
    pub via: Via,
    pub priority: u32,
    pub actions: Vec<Action>,
    pub tags: BTreeMap<String, String>,
}
