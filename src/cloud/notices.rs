//! Telling others: messages to a topic.

use super::CloudError;

/// Topics of SNS.
pub trait Notices {
    /// Whether the topic exists and may be used: one that does not is an error of kind `NotFound`.
    fn topic(&self, arn: &str) -> Result<(), CloudError>;

    /// Sends a message to a topic of any region. The subject has at most 100 ASCII characters. Called
    /// again, it sends again.
    fn publish(&self, topic: &str, subject: &str, message: &str) -> Result<(), CloudError>;
}
