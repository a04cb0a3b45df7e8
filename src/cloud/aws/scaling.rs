//! Application Auto Scaling of ECS services: who may change a service's desired count.
//!
//! Of blue's, only `SuspendedState` is ever written. `RegisterScalableTarget` leaves out the
//! capacities, which it then keeps; sent again, they would move the service into their range at once.
//! Green's is a copy of blue's: the SDK's structures are moved whole, so no setting is lost.

use aws_sdk_applicationautoscaling as sdk;
use aws_sdk_applicationautoscaling::types::{
    PolicyType, ScalableDimension, ScalingPolicy, ScheduledAction, ServiceNamespace, SuspendedState,
};
use futures_util::future::{try_join, try_join3};

use super::errors::{during, existing, refused};
use super::renames::Renames;
use crate::cloud::{CloudError, NewScaling};
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
        let policy = |p: &ScalingPolicy| format!("{} ({})", p.policy_name(), p.policy_type().as_str());
        let mut policies: Vec<String> = policies.iter().map(policy).collect();
        policies.sort();
        let mut scheduled: Vec<String> = scheduled.iter().map(|a| a.scheduled_action_name().to_string()).collect();
        scheduled.sort();
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

    async fn policies(&self, resource: &str) -> Result<Vec<ScalingPolicy>, CloudError> {
        let mut pages = self
            .reads
            .describe_scaling_policies()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(policy) = pages.next().await {
            found.push(policy.map_err(during("application-autoscaling:DescribeScalingPolicies"))?);
        }
        found.retain(|policy: &ScalingPolicy| policy.resource_id() == resource);
        Ok(found)
    }

    async fn scheduled(&self, resource: &str) -> Result<Vec<ScheduledAction>, CloudError> {
        let mut pages = self
            .reads
            .describe_scheduled_actions()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(action) = pages.next().await {
            found.push(action.map_err(during("application-autoscaling:DescribeScheduledActions"))?);
        }
        found.retain(|action: &ScheduledAction| action.resource_id() == resource);
        Ok(found)
    }

    pub(super) async fn suspend(&self, resource: &str, suspended: Suspension) -> Result<(), CloudError> {
        self.writes
            .register_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .suspended_state(suspended_state(suspended))
            .send()
            .await
            .map_err(during("application-autoscaling:RegisterScalableTarget"))?;
        Ok(())
    }

    /// One after the other: Application Auto Scaling refuses concurrent changes of one target.
    pub(super) async fn copy(&self, wanted: &NewScaling) -> Result<(), CloudError> {
        let (from, to) = (resource_id(&wanted.cluster, &wanted.from), resource_id(&wanted.cluster, &wanted.service));
        let (policies, scheduled) = try_join(self.policies(&from), self.scheduled(&from)).await?;
        self.register(&to, wanted).await?;
        let renames = Renames::of(wanted);
        for policy in policies.into_iter().filter(|p| *p.policy_type() != PolicyType::StepScaling) {
            self.put_policy(&to, policy, &renames).await?;
        }
        for action in scheduled {
            self.put_scheduled(&to, action).await?;
        }
        Ok(())
    }

    async fn register(&self, resource: &str, wanted: &NewScaling) -> Result<(), CloudError> {
        self.writes
            .register_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .min_capacity(wanted.min)
            .max_capacity(wanted.max)
            .suspended_state(suspended_state(Suspension::ALL))
            .send()
            .await
            .map_err(during("application-autoscaling:RegisterScalableTarget"))?;
        Ok(())
    }

    async fn put_policy(&self, resource: &str, policy: ScalingPolicy, renames: &Renames<'_>) -> Result<(), CloudError> {
        const PUT: &str = "application-autoscaling:PutScalingPolicy";
        let mut tracking = policy.target_tracking_scaling_policy_configuration;
        let mut predictive = policy.predictive_scaling_policy_configuration;
        if tracking.is_none() && predictive.is_none() {
            let (name, kind) = (&policy.policy_name, policy.policy_type.as_str());
            return Err(refused(
                PUT,
                format!("the policy {name} is of the type {kind}, which this version cannot copy"),
            ));
        }
        tracking.iter_mut().for_each(|config| renames.tracking(config));
        predictive.iter_mut().for_each(|config| renames.predictive(config));
        self.writes
            .put_scaling_policy()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .policy_name(policy.policy_name)
            .policy_type(policy.policy_type)
            .set_target_tracking_scaling_policy_configuration(tracking)
            .set_predictive_scaling_policy_configuration(predictive)
            .send()
            .await
            .map_err(during(PUT))?;
        Ok(())
    }

    async fn put_scheduled(&self, resource: &str, action: ScheduledAction) -> Result<(), CloudError> {
        self.writes
            .put_scheduled_action()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource)
            .scheduled_action_name(action.scheduled_action_name)
            .schedule(action.schedule)
            .set_timezone(action.timezone)
            .set_start_time(action.start_time)
            .set_end_time(action.end_time)
            .set_scalable_target_action(action.scalable_target_action)
            .send()
            .await
            .map_err(during("application-autoscaling:PutScheduledAction"))?;
        Ok(())
    }

    /// Takes policies and scheduled actions along.
    pub(super) async fn remove(&self, cluster: &str, service: &str) -> Result<(), CloudError> {
        let answer = self
            .writes
            .deregister_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(resource_id(cluster, service))
            .send()
            .await
            .map_err(during("application-autoscaling:DeregisterScalableTarget"));
        existing(answer).map(|_| ())
    }
}

fn suspended_state(suspended: Suspension) -> SuspendedState {
    SuspendedState::builder()
        .dynamic_scaling_in_suspended(suspended.dynamic_in)
        .dynamic_scaling_out_suspended(suspended.dynamic_out)
        .scheduled_scaling_suspended(suspended.scheduled)
        .build()
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
