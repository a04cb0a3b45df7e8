//! Target groups, load balancers and the health of targets.
//!
//! A target group of green is made like blue's in everything but its IP address type, and its
//! answer is checked for that type, because a group that silently became IPv4 would register
//! nothing. One that exists already is taken for ours only when it bears the run's tags: what is
//! ours may be deleted again, and nobody else's may.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2 as sdk;
use aws_sdk_elasticloadbalancingv2::types as elb;
use futures_util::future::{try_join, try_join_all};

use super::errors::{during, existing, refused};
use super::tags::{bears_marks, marks};
use crate::cloud::{Cause, CloudError, NewTargetGroup};
use crate::inventory::{LoadBalancer, TargetGroup, TargetHealth};

const CREATE_TARGET_GROUP: &str = "elasticloadbalancing:CreateTargetGroup";
const DESCRIBE_TARGET_GROUPS: &str = "elasticloadbalancing:DescribeTargetGroups";
/// Resources in one call of `DescribeTags`, and a fair number for the other calls by ARN.
const MOST_ARNS: usize = 20;

type Tags = BTreeMap<String, String>;

/// Reads and writes by clients of their own, because they are retried differently.
#[derive(Debug, Clone)]
pub(super) struct Elb {
    pub(super) reads: sdk::Client,
    pub(super) writes: sdk::Client,
}

impl Elb {
    /// The groups of these ARNs, in their order.
    pub(super) async fn target_groups(&self, arns: &[String]) -> Result<Vec<TargetGroup>, CloudError> {
        let described = try_join_all(arns.chunks(MOST_ARNS).map(|arns| self.described(arns)));
        let attributes = try_join_all(arns.iter().map(|arn| self.attributes(arn)));
        let ((described, attributes), tags) = try_join(try_join(described, attributes), self.tags(arns)).await?;
        let described: Vec<elb::TargetGroup> = described.into_iter().flatten().collect();
        arns.iter()
            .zip(attributes)
            .map(|(arn, attributes)| {
                let group =
                    described.iter().find(|group| group.target_group_arn() == Some(arn)).ok_or_else(|| CloudError {
                        operation: DESCRIBE_TARGET_GROUPS.to_string(),
                        cause: Cause::NotFound,
                        message: format!("no target group {arn}"),
                    })?;
                Ok(read_group(group, attributes, tags.get(arn).cloned().unwrap_or_default()))
            })
            .collect()
    }

    pub(super) async fn target_group_named(&self, name: &str) -> Result<Option<TargetGroup>, CloudError> {
        let Some(group) = self.group_by_name(name).await? else { return Ok(None) };
        let arns = [group.target_group_arn().unwrap_or_default().to_string()];
        let (attributes, mut tags) = try_join(self.attributes(&arns[0]), self.tags(&arns)).await?;
        Ok(Some(read_group(&group, attributes, tags.remove(&arns[0]).unwrap_or_default())))
    }

    async fn described(&self, arns: &[String]) -> Result<Vec<elb::TargetGroup>, CloudError> {
        let found = self
            .reads
            .describe_target_groups()
            .set_target_group_arns(Some(arns.to_vec()))
            .send()
            .await
            .map_err(during(DESCRIBE_TARGET_GROUPS))?;
        Ok(found.target_groups.unwrap_or_default())
    }

    async fn group_by_name(&self, name: &str) -> Result<Option<elb::TargetGroup>, CloudError> {
        let found =
            self.reads.describe_target_groups().names(name).send().await.map_err(during(DESCRIBE_TARGET_GROUPS));
        Ok(existing(found)?
            .and_then(|found| found.target_groups)
            .and_then(|groups| groups.into_iter().find(|group| group.target_group_name() == Some(name))))
    }

    async fn attributes(&self, arn: &str) -> Result<BTreeMap<String, String>, CloudError> {
        let found = self
            .reads
            .describe_target_group_attributes()
            .target_group_arn(arn)
            .send()
            .await
            .map_err(during("elasticloadbalancing:DescribeTargetGroupAttributes"))?;
        Ok(found
            .attributes()
            .iter()
            .filter_map(|attribute| Some((attribute.key()?.to_string(), attribute.value()?.to_string())))
            .collect())
    }

    /// Tags by ARN.
    pub(super) async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>, CloudError> {
        let calls =
            arns.chunks(MOST_ARNS).map(|arns| self.reads.describe_tags().set_resource_arns(Some(arns.to_vec())).send());
        let found = try_join_all(calls).await.map_err(during("elasticloadbalancing:DescribeTags"))?;
        Ok(found
            .iter()
            .flat_map(|page| page.tag_descriptions())
            .map(|resource| (resource.resource_arn().unwrap_or_default().to_string(), read_tags(resource.tags())))
            .collect())
    }

    /// The load balancers of these ARNs, in their order.
    pub(super) async fn load_balancers(&self, arns: &[String]) -> Result<Vec<LoadBalancer>, CloudError> {
        let calls = arns
            .chunks(MOST_ARNS)
            .map(|arns| self.reads.describe_load_balancers().set_load_balancer_arns(Some(arns.to_vec())).send());
        let found = try_join_all(calls).await.map_err(during("elasticloadbalancing:DescribeLoadBalancers"))?;
        let found: Vec<LoadBalancer> =
            found.iter().flat_map(|page| page.load_balancers()).map(read_load_balancer).collect();
        Ok(arns.iter().filter_map(|arn| found.iter().find(|balancer| balancer.arn == *arn).cloned()).collect())
    }

    /// Health of the targets by group; a group that does not exist has no entry.
    pub(super) async fn health(&self, groups: &[String]) -> Result<BTreeMap<String, Vec<TargetHealth>>, CloudError> {
        let seen = try_join_all(groups.iter().map(|group| async move {
            let health = self
                .reads
                .describe_target_health()
                .target_group_arn(group)
                .send()
                .await
                .map_err(during("elasticloadbalancing:DescribeTargetHealth"));
            let targets = existing(health)?
                .map(|health| health.target_health_descriptions().iter().map(read_health).collect::<Vec<_>>());
            Ok::<_, CloudError>(targets.map(|targets| (group.clone(), targets)))
        }))
        .await?;
        Ok(seen.into_iter().flatten().collect())
    }

    pub(super) async fn create_target_group(&self, wanted: &NewTargetGroup) -> Result<String, CloudError> {
        let (described, present) =
            try_join(self.described(std::slice::from_ref(&wanted.from)), self.group_by_name(&wanted.name)).await?;
        let from = described.into_iter().next().ok_or_else(|| CloudError {
            operation: DESCRIBE_TARGET_GROUPS.to_string(),
            cause: Cause::NotFound,
            message: format!("no target group {}", wanted.from),
        })?;
        // Looked up first, because AWS answers a creation with equal settings with the group that
        // exists, whosever it is.
        if let Some(present) = present {
            return self.adopted(&present, &from, wanted).await;
        }
        match self.like(&from, wanted).send().await {
            Ok(created) => created_group(created.target_groups()),
            Err(error) if is_duplicate_name(&error) => match self.group_by_name(&wanted.name).await? {
                Some(present) => self.adopted(&present, &from, wanted).await,
                None => Err(during(CREATE_TARGET_GROUP)(error)),
            },
            Err(error) => Err(during(CREATE_TARGET_GROUP)(error)),
        }
    }

    /// The request for a group like `from`.
    fn like(
        &self,
        from: &elb::TargetGroup,
        wanted: &NewTargetGroup,
    ) -> sdk::operation::create_target_group::builders::CreateTargetGroupFluentBuilder {
        let tags = wanted.tags.iter().map(|(key, value)| elb::Tag::builder().key(key).value(value).build());
        let tags: Vec<elb::Tag> = tags.collect();
        self.writes
            .create_target_group()
            .name(&wanted.name)
            .ip_address_type(elb::TargetGroupIpAddressTypeEnum::Ipv6)
            .target_type(elb::TargetTypeEnum::Ip)
            .set_protocol(from.protocol.clone())
            .set_protocol_version(from.protocol_version.clone())
            .set_port(from.port)
            .set_vpc_id(from.vpc_id.clone())
            .set_health_check_protocol(from.health_check_protocol.clone())
            .set_health_check_port(from.health_check_port.clone())
            .set_health_check_enabled(from.health_check_enabled)
            .set_health_check_path(from.health_check_path.clone())
            .set_health_check_interval_seconds(from.health_check_interval_seconds)
            .set_health_check_timeout_seconds(from.health_check_timeout_seconds)
            .set_healthy_threshold_count(from.healthy_threshold_count)
            .set_unhealthy_threshold_count(from.unhealthy_threshold_count)
            .set_matcher(from.matcher.clone())
            .set_target_control_port(from.target_control_port)
            .set_tags(Some(tags).filter(|tags| !tags.is_empty()))
    }

    /// The group that has the name already, if it is this run's and like what would be created.
    async fn adopted(
        &self,
        present: &elb::TargetGroup,
        from: &elb::TargetGroup,
        wanted: &NewTargetGroup,
    ) -> Result<String, CloudError> {
        let arn = present.target_group_arn().unwrap_or_default().to_string();
        let mut tags = self.tags(std::slice::from_ref(&arn)).await?;
        let tags = tags.remove(&arn).unwrap_or_default();
        let mut found = Vec::new();
        if !bears_marks(&tags, &wanted.tags) {
            found.push(format!("with the tags {:?} instead of {:?}", marks(&tags), marks(&wanted.tags)));
        }
        if present.ip_address_type() != Some(&elb::TargetGroupIpAddressTypeEnum::Ipv6) {
            found.push(format!("for {} addresses", ip_address_type(present)));
        }
        if (present.protocol(), present.port()) != (from.protocol(), from.port()) {
            let protocol = present.protocol().map_or("no protocol", elb::ProtocolEnum::as_str);
            found.push(format!("on {protocol} port {}", present.port().unwrap_or_default()));
        }
        if present.vpc_id() != from.vpc_id() {
            found.push(format!("in {}", present.vpc_id().unwrap_or("no VPC")));
        }
        if found.is_empty() {
            return Ok(arn);
        }
        Err(refused(
            CREATE_TARGET_GROUP,
            format!("a target group named {} exists already, {}", wanted.name, found.join(", ")),
        ))
    }

    pub(super) async fn set_attributes(
        &self,
        arn: &str,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), CloudError> {
        let attributes = attributes
            .iter()
            .map(|(key, value)| elb::TargetGroupAttribute::builder().key(key).value(value).build())
            .collect();
        self.writes
            .modify_target_group_attributes()
            .target_group_arn(arn)
            .set_attributes(Some(attributes))
            .send()
            .await
            .map_err(during("elasticloadbalancing:ModifyTargetGroupAttributes"))?;
        Ok(())
    }

    pub(super) async fn delete_target_group(&self, arn: &str) -> Result<(), CloudError> {
        let deleted = self.writes.delete_target_group().target_group_arn(arn).send().await;
        existing(deleted.map_err(during("elasticloadbalancing:DeleteTargetGroup")))?;
        Ok(())
    }
}

fn is_duplicate_name(
    error: &sdk::error::SdkError<sdk::operation::create_target_group::CreateTargetGroupError>,
) -> bool {
    error.as_service_error().is_some_and(|error| error.is_duplicate_target_group_name_exception())
}

/// The ARN of the group in the answer to its creation, if the group is what was asked for.
fn created_group(answer: &[elb::TargetGroup]) -> Result<String, CloudError> {
    let group = answer.first().ok_or_else(|| CloudError {
        operation: CREATE_TARGET_GROUP.to_string(),
        cause: Cause::Unknown,
        message: "the answer names no target group".to_string(),
    })?;
    let arn = group.target_group_arn().unwrap_or_default();
    if group.ip_address_type() != Some(&elb::TargetGroupIpAddressTypeEnum::Ipv6) {
        // The group exists now, so this must not be taken for a refusal that changed nothing.
        return Err(CloudError {
            operation: CREATE_TARGET_GROUP.to_string(),
            cause: Cause::Unknown,
            message: format!("{arn} was created for {} addresses although ipv6 was asked for", ip_address_type(group)),
        });
    }
    Ok(arn.to_string())
}

/// AWS leaves the type out of some answers, and means `ipv4`.
fn ip_address_type(group: &elb::TargetGroup) -> &str {
    group.ip_address_type().map_or("ipv4", elb::TargetGroupIpAddressTypeEnum::as_str)
}

fn read_tags(tags: &[elb::Tag]) -> Tags {
    tags.iter()
        .map(|tag| (tag.key().unwrap_or_default().to_string(), tag.value().unwrap_or_default().to_string()))
        .collect()
}

fn read_group(group: &elb::TargetGroup, attributes: BTreeMap<String, String>, tags: Tags) -> TargetGroup {
    let mut load_balancers: Vec<String> = Vec::new();
    for arn in group.load_balancer_arns() {
        if !load_balancers.contains(arn) {
            load_balancers.push(arn.clone());
        }
    }
    TargetGroup {
        arn: group.target_group_arn().unwrap_or_default().to_string(),
        name: group.target_group_name().unwrap_or_default().to_string(),
        ip_address_type: ip_address_type(group).to_string(),
        target_type: group.target_type().map(|kind| kind.as_str().to_string()).unwrap_or_default(),
        protocol: group.protocol().map(|protocol| protocol.as_str().to_string()),
        port: group.port().and_then(|port| u16::try_from(port).ok()),
        vpc: group.vpc_id().map(str::to_string),
        load_balancers,
        settings: settings(group),
        attributes,
        tags,
    }
}

/// What the clone of a group copies, by API name.
fn settings(group: &elb::TargetGroup) -> BTreeMap<String, String> {
    let number = |number: Option<i32>| number.map(|number| number.to_string());
    let text = |text: Option<&str>| text.map(str::to_string);
    let matcher = group.matcher();
    [
        ("Protocol", text(group.protocol().map(elb::ProtocolEnum::as_str))),
        ("ProtocolVersion", text(group.protocol_version())),
        ("Port", number(group.port())),
        ("VpcId", text(group.vpc_id())),
        ("TargetType", text(group.target_type().map(elb::TargetTypeEnum::as_str))),
        ("HealthCheckProtocol", text(group.health_check_protocol().map(elb::ProtocolEnum::as_str))),
        ("HealthCheckPort", text(group.health_check_port())),
        ("HealthCheckEnabled", group.health_check_enabled().map(|enabled| enabled.to_string())),
        ("HealthCheckPath", text(group.health_check_path())),
        ("HealthCheckIntervalSeconds", number(group.health_check_interval_seconds())),
        ("HealthCheckTimeoutSeconds", number(group.health_check_timeout_seconds())),
        ("HealthyThresholdCount", number(group.healthy_threshold_count())),
        ("UnhealthyThresholdCount", number(group.unhealthy_threshold_count())),
        ("Matcher.HttpCode", text(matcher.and_then(|matcher| matcher.http_code()))),
        ("Matcher.GrpcCode", text(matcher.and_then(|matcher| matcher.grpc_code()))),
        ("TargetControlPort", number(group.target_control_port())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_string(), value?)))
    .collect()
}

pub(super) fn read_load_balancer(balancer: &elb::LoadBalancer) -> LoadBalancer {
    LoadBalancer {
        arn: balancer.load_balancer_arn().unwrap_or_default().to_string(),
        name: balancer.load_balancer_name().unwrap_or_default().to_string(),
        kind: balancer.r#type().map(|kind| kind.as_str().to_string()).unwrap_or_default(),
        ip_address_type: balancer.ip_address_type().map_or("ipv4", elb::IpAddressType::as_str).to_string(),
        zones: balancer.availability_zones().iter().filter_map(|zone| zone.zone_name().map(str::to_string)).collect(),
        state: balancer
            .state()
            .and_then(|state| state.code())
            .map(|code| code.as_str().to_string())
            .unwrap_or_default(),
        scheme: balancer.scheme().map(|scheme| scheme.as_str().to_string()).unwrap_or_default(),
        dns_name: balancer.dns_name().unwrap_or_default().to_string(),
        hosted_zone: balancer.canonical_hosted_zone_id().unwrap_or_default().to_string(),
        subnets: balancer.availability_zones().iter().filter_map(|z| z.subnet_id().map(str::to_string)).collect(),
        security_groups: balancer.security_groups().to_vec(),
    }
}

fn read_health(target: &elb::TargetHealthDescription) -> TargetHealth {
    let health = target.target_health();
    TargetHealth {
        target: target.target().and_then(|target| target.id()).unwrap_or_default().to_string(),
        port: target.target().and_then(|target| target.port()).and_then(|port| u16::try_from(port).ok()),
        state: health.and_then(|health| health.state()).map(|state| state.as_str().to_string()).unwrap_or_default(),
        reason: health.and_then(|health| health.reason()).map(|reason| reason.as_str().to_string()),
        description: health.and_then(|health| health.description()).map(str::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_became_ipv4_is_not_taken_for_nothing() {
        let group = |kind: Option<elb::TargetGroupIpAddressTypeEnum>| {
            elb::TargetGroup::builder().target_group_arn("arn:g").set_ip_address_type(kind).build()
        };
        assert_eq!(created_group(&[group(Some(elb::TargetGroupIpAddressTypeEnum::Ipv6))]).unwrap(), "arn:g");
        for kind in [Some(elb::TargetGroupIpAddressTypeEnum::Ipv4), None] {
            let error = created_group(&[group(kind)]).unwrap_err();
            assert!(!error.cause.changed_nothing(), "{error}");
        }
    }

    #[test]
    fn settings_are_shown_by_api_name() {
        let group = elb::TargetGroup::builder()
            .target_group_arn("arn:g")
            .protocol(elb::ProtocolEnum::Http)
            .port(8080)
            .health_check_path("/healthz")
            .matcher(elb::Matcher::builder().http_code("200-299").build())
            .load_balancer_arns("arn:lb")
            .load_balancer_arns("arn:lb")
            .build();
        let read = read_group(&group, BTreeMap::new(), Tags::new());
        assert_eq!(read.load_balancers, ["arn:lb"]);
        assert_eq!(read.ip_address_type, "ipv4");
        assert_eq!(read.settings["Matcher.HttpCode"], "200-299");
        assert_eq!(read.settings["HealthCheckPath"], "/healthz");
        assert!(!read.settings.contains_key("TargetControlPort"));
    }
}
