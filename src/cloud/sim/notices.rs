//! Telling others: messages to a topic.

use serde::{Deserialize, Serialize};

use super::Sim;
use super::faults::{not_found, refused};
use crate::cloud::CloudError;
use crate::cloud::notices::Notices;

/// Names of topics that the simulated cloud does not have begin so.
const MISSING: &str = "missing";

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimMessage {
    pub topic: String,
    pub subject: String,
    pub message: String,
}

impl Notices for Sim {
    fn topic(&self, arn: &str) -> Result<(), CloudError> {
        self.read("sns:GetTopicAttributes", |_| existing("sns:GetTopicAttributes", arn))
    }

    fn publish(&self, topic: &str, subject: &str, message: &str) -> Result<(), CloudError> {
        self.change(PUBLISH, |u| {
            existing(PUBLISH, topic)?;
            if subject.is_empty() || subject.len() > 100 || !subject.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                return Err(refused(PUBLISH, "InvalidParameter: Invalid parameter: Subject"));
            }
            if message.is_empty() {
                return Err(refused(PUBLISH, "InvalidParameter: Invalid parameter: Empty message"));
            }
            let sent = SimMessage { topic: topic.into(), subject: subject.into(), message: message.into() };
            u.messages.push(sent);
            Ok(())
        })
    }
}

const PUBLISH: &str = "sns:Publish";

fn existing(operation: &str, topic: &str) -> Result<(), CloudError> {
    match topic.rsplit(':').next() {
        Some(name) if name.starts_with(MISSING) => Err(not_found(operation, "NotFound: Topic does not exist")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::super::fixture::*;
    use super::*;
    use crate::cloud::Cause;

    #[test]
    fn a_topic_takes_a_short_subject_and_some_text() {
        let sim = sim(Scenario::Healthy);
        let topic = "arn:aws:sns:eu-west-1:123456789012:deploys";
        sim.publish(topic, "hello", "text").unwrap();
        assert_eq!(sim.universe().messages.len(), 1);
        let long = "x".repeat(101);
        for (subject, message) in [(long.as_str(), "text"), ("caf\u{e9}", "text"), ("", "text"), ("hello", "")] {
            assert_eq!(sim.publish(topic, subject, message).unwrap_err().cause, Cause::Refused, "{subject}");
        }
        let missing = "arn:aws:sns:eu-west-1:123456789012:missing-one";
        assert_eq!(sim.publish(missing, "hello", "text").unwrap_err().cause, Cause::NotFound);
        assert_eq!(sim.topic(missing).unwrap_err().cause, Cause::NotFound);
        sim.topic(topic).unwrap();
        assert_eq!(sim.universe().messages.len(), 1);
    }
}
