//! Telling others: messages to a topic.

use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sns as sdk;

use super::Aws;
use super::errors::during;
use crate::cloud::CloudError;
use crate::cloud::notices::Notices;

/// How long a message may take: a run does not wait for its readers. Who sends says how often it is
/// tried.
const PATIENCE: Duration = Duration::from_secs(5);

impl Notices for Aws {
    fn topic(&self, arn: &str) -> Result<(), CloudError> {
        let asked = self.topics_in(arn).get_topic_attributes().topic_arn(arn).send();
        self.runtime.block_on(asked).map_err(during("sns:GetTopicAttributes"))?;
        Ok(())
    }

    fn publish(&self, topic: &str, subject: &str, message: &str) -> Result<(), CloudError> {
        let sent = self.topics_in(topic).publish().topic_arn(topic).subject(subject).message(message).send();
        self.runtime.block_on(sent).map_err(during("sns:Publish"))?;
        Ok(())
    }
}

impl Aws {
    /// A client for the region of the topic, which need not be that of the run.
    fn topics_in(&self, arn: &str) -> sdk::Client {
        let hasty = sdk::config::Builder::from(&self.config)
            .retry_config(RetryConfig::standard().with_max_attempts(1))
            .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build());
        let region = arn.split(':').nth(3).filter(|region| !region.is_empty());
        let hasty = match region {
            Some(region) => hasty.region(Region::new(region.to_owned())),
            None => hasty,
        };
        sdk::Client::from_conf(hasty.build())
    }
}
