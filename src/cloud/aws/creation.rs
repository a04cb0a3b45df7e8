//! Creating green's task definition and service, so that doing it twice does no harm.
//!
//! Neither API is idempotent across processes: ECS registers another revision each time it is asked,
//! and takes a repeated service name for an error. So what bears the run's tags is looked for first,
//! and is the outcome if it is there.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ecs::types as ecs;
use tokio::time::Instant;

use super::copies::{CREATE_SERVICE, REGISTER, definition_like, service_like};
use super::ecs::{Ecs, is_marked, is_named};
use super::errors::{during, refused};
use super::tags::marks;
use crate::cloud::{Cause, CloudError, NewService, NewTaskDefinition};

/// How long ECS may take to learn what ELBv2 and IAM already know.
const PROPAGATION: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(4);

impl Ecs {
    pub(super) async fn register(&self, wanted: &NewTaskDefinition) -> Result<String, CloudError> {
        let marks: BTreeMap<String, String> =
            marks(&wanted.tags).into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        if !marks.is_empty()
            && let Some(present) = self.definition_tagged(&wanted.family, &marks).await?
        {
            return Ok(present);
        }
        let (from, tags) = self.described_definition(&wanted.from).await?;
        let registered =
            definition_like(&from, &tags, wanted)?.send_with(&self.writes).await.map_err(during(REGISTER))?;
        let arn = registered.task_definition().and_then(|definition| definition.task_definition_arn());
        arn.map(str::to_string).ok_or_else(|| unnamed(REGISTER, "task definition"))
    }

    pub(super) async fn create_service(&self, wanted: &NewService) -> Result<String, CloudError> {
        let names = [wanted.from.clone(), wanted.name.clone()];
        let services = self.described(&wanted.cluster, &names).await?;
        if let Some(present) = services.iter().find(|service| is_named(service, &wanted.name)) {
            return adopted(present, wanted);
        }
        let from = services.iter().find(|service| is_named(service, &wanted.from)).ok_or_else(|| CloudError {
            operation: "ecs:DescribeServices".to_string(),
            cause: Cause::NotFound,
            message: format!("no service {} in {}", wanted.from, wanted.cluster),
        })?;
        let request = service_like(from, wanted)?;
        let until = Instant::now() + PROPAGATION;
        loop {
            let answer = request.clone().send_with(&self.writes).await;
            let error = match answer.map_err(during(CREATE_SERVICE)) {
                Ok(created) => {
                    let arn = created.service().and_then(ecs::Service::service_arn).map(str::to_string);
                    return arn.ok_or_else(|| unnamed(CREATE_SERVICE, "service"));
                }
                Err(error) => error,
            };
            if says_not_idempotent(&error) {
                return self.adopted_after(error, wanted).await;
            }
            if !passes_with_time(&error) || Instant::now() + PAUSE > until {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The service of this name, after ECS refused to create another.
    async fn adopted_after(&self, error: CloudError, wanted: &NewService) -> Result<String, CloudError> {
        let services = self.described(&wanted.cluster, std::slice::from_ref(&wanted.name)).await?;
        match services.iter().find(|service| is_named(service, &wanted.name)) {
            Some(present) => adopted(present, wanted),
            None => Err(error),
        }
    }
}

/// The service that has the name already, if it is this run's.
fn adopted(present: &ecs::Service, wanted: &NewService) -> Result<String, CloudError> {
    let status = present.status().unwrap_or("no status");
    if !is_marked(present, &wanted.tags) {
        let message =
            format!("a service named {} exists already ({status}), without the tags of this run", wanted.name);
        return Err(refused(CREATE_SERVICE, message));
    }
    if status != "ACTIVE" {
        let message =
            format!("the service {} of this run is {status}; ECS frees its name when it is gone", wanted.name);
        return Err(refused(CREATE_SERVICE, message));
    }
    present.service_arn().map(str::to_string).ok_or_else(|| unnamed(CREATE_SERVICE, "service"))
}

fn unnamed(operation: &str, what: &str) -> CloudError {
    CloudError {
        operation: operation.to_string(),
        cause: Cause::Unknown,
        message: format!("the answer names no {what}"),
    }
}

fn says_not_idempotent(error: &CloudError) -> bool {
    error.cause == Cause::Refused && error.message.contains("not idempotent")
}

/// Whether ECS refused only because it has not heard yet of what was done a moment ago.
fn passes_with_time(error: &CloudError) -> bool {
    let texts = [
        "does not have an associated load balancer",
        "verify that the ECS service role being passed has the proper permissions",
        "Unable to assume the service linked role",
    ];
    error.cause == Cause::Refused && texts.iter().any(|text| error.message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> NewService {
        NewService {
            cluster: "prod".to_string(),
            from: "web".to_string(),
            name: "web-ipv6".to_string(),
            task_definition: "arn:td".to_string(),
            desired_count: 2,
            subnets: vec!["subnet-6".to_string()],
            security_groups: Vec::new(),
            target_groups: BTreeMap::new(),
            registries: Vec::new(),
            tags: BTreeMap::from([("migrate:run".to_string(), "web".to_string())]),
            client_token: "t".to_string(),
        }
    }

    fn present(status: &str, run: &str) -> ecs::Service {
        ecs::Service::builder()
            .service_arn("arn:s")
            .service_name("web-ipv6")
            .status(status)
            .tags(ecs::Tag::builder().key("migrate:run").value(run).build())
            .build()
    }

    #[test]
    fn only_this_runs_live_service_is_adopted() {
        assert_eq!(adopted(&present("ACTIVE", "web"), &wanted()).unwrap(), "arn:s");
        assert_eq!(adopted(&present("ACTIVE", "other"), &wanted()).unwrap_err().cause, Cause::Refused);
        assert_eq!(adopted(&present("DRAINING", "web"), &wanted()).unwrap_err().cause, Cause::Refused);
    }

    #[test]
    fn only_what_passes_with_time_is_tried_again() {
        let text = "InvalidParameterException: The target group with targetGroupArn arn:g does not have an associated load balancer.";
        assert!(passes_with_time(&refused(CREATE_SERVICE, text)));
        assert!(!passes_with_time(&refused(CREATE_SERVICE, "InvalidParameterException: no such subnet")));
        let unknown = CloudError { cause: Cause::Unknown, ..refused(CREATE_SERVICE, text) };
        assert!(!passes_with_time(&unknown));
        assert!(says_not_idempotent(&refused(CREATE_SERVICE, "x: Creation of service was not idempotent.")));
    }
}
