//! Application Auto Scaling of ECS services: who may change a service's desired count.
//!
//! Only `SuspendedState` is ever written. `RegisterScalableTarget` leaves out the capacities, which
//! it then keeps; sent again, they would move the service into their range at once.

use aws_sdk_applicationautoscaling as sdk;
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace, SuspendedState};
use futures_util::future::try_join3;

use super::errors::during;
use crate::cloud::CloudError;
use crate::inventory::{ScalableTarget, Suspension};

/// Reads and writes by clients of their own, because they are retried differently.
#[derive(Debug, Clone)]
pub(super) struct Scaling {
    pub(super) reads: sdk::Client,
    pub(super) writes: sdk::Client,
}

/// How Application Auto Scaling names an ECS service. Clusters go by name there, never by ARN.
fn resource_id(cluster: &str, service: &str) -> String {
    format!(
        "service/{}/{}",
        cluster.rsplit('/').next().unwrap_or(cluster),
        service.rsplit('/').next().unwrap_or(service)
    )
}

impl Scaling {
    pub(super) async fn of(&self, cluster: &str, service: &str) -> Result<Option<ScalableTarget>, CloudError> {
        let resource = resource_id(cluster, service);
        let (target, policies, scheduled) =
            try_join3(self.target(&resource), self.policies(&resource), self.scheduled(&resource)).await?;
        Ok(target.map(|target| ScalableTarget {
            resource,
            min: target.min_capacity(),
            max: target.max_capacity(),
            suspended: target.suspended_state().map(suspension).unwrap_or_default(),
            policies,
            scheduled,
        }))
    }

    async fn target(&self, resource: &str) -> Result<Option<sdk::types::ScalableTarget>, CloudError> {
        let found = self
            .reads
            .describe_scalable_targets()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_ids(resource)
            .send()
            .await
            .map_err(during("application-autoscaling:DescribeScalableTargets"))?;
        Ok(found.scalable_targets.unwrap_or_default().into_iter().find(|target| target.resource_id() == resource))
    }

    async fn policies(&self, resource: &str) -> Result<Vec<String>, CloudError> {
        let mut pages = self
            .reads
            .describe_scaling_policies()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .into_paginator()
            .items()
            .send();
        let mut named = Vec::new();
        while let Some(policy) = pages.next().await {
            let policy = policy.map_err(during("application-autoscaling:DescribeScalingPolicies"))?;
            named.push(format!("{} ({})", policy.policy_name(), policy.policy_type().as_str()));
        }
        named.sort();
        Ok(named)
    }

    async fn scheduled(&self, resource: &str) -> Result<Vec<String>, CloudError> {
        let mut pages = self
            .reads
            .describe_scheduled_actions()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .into_paginator()
            .items()
            .send();
        let mut named = Vec::new();
        while let Some(action) = pages.next().await {
            let action = action.map_err(during("application-autoscaling:DescribeScheduledActions"))?;
            named.push(action.scheduled_action_name().to_string());
        }
        named.sort();
        Ok(named)
    }

    pub(super) async fn suspend(&self, resource: &str, suspended: Suspension) -> Result<(), CloudError> {
        self.writes
            .register_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .suspended_state(
                SuspendedState::builder()
                    .dynamic_scaling_in_suspended(suspended.dynamic_in)
                    .dynamic_scaling_out_suspended(suspended.dynamic_out)
                    .scheduled_scaling_suspended(suspended.scheduled)
                    .build(),
            )
            .send()
            .await
            .map_err(during("application-autoscaling:RegisterScalableTarget"))?;
        Ok(())
    }
}

fn suspension(state: &SuspendedState) -> Suspension {
    Suspension {
        dynamic_in: state.dynamic_scaling_in_suspended().unwrap_or_default(),
        dynamic_out: state.dynamic_scaling_out_suspended().unwrap_or_default(),
        scheduled: state.scheduled_scaling_suspended().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_go_by_name() {
        assert_eq!(resource_id("prod", "web"), "service/prod/web");
        assert_eq!(resource_id("arn:aws:ecs:eu-central-1:1:cluster/prod", "web"), "service/prod/web");
    }
}
