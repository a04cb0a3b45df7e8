//! Cloud Map: the services in which ECS registers tasks. Their changes in ECS stand in `updates`.

use std::collections::BTreeMap;

use aws_sdk_servicediscovery as sdk;
use aws_sdk_servicediscovery::types as map;
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;

use super::Aws;
use super::errors::{during, existing, refused};
use super::tags::{bears_marks, is_reserved};
use crate::cloud::registries::{ConsumerSearch, NewRegistry, Registries, ServiceDeployment, ServiceUpdate};
use crate::cloud::{Cause, CloudError};
use crate::inventory::{Consumers, Namespace, Registry, RegistryRecord};

const CREATE: &str = "servicediscovery:CreateService";

/// Reads and writes by clients of their own, because they are retried differently.
#[derive(Debug, Clone)]
pub(super) struct Discovery {
    pub(super) reads: sdk::Client,
    pub(super) writes: sdk::Client,
}

impl Registries for Aws {
    fn registries(&self, arns: &[String]) -> Result<Vec<Registry>, CloudError> {
        let found = self.runtime.block_on(try_join_all(arns.iter().map(|arn| self.discovery.registry(id_of(arn)))))?;
        Ok(found.into_iter().flatten().collect())
    }

    fn registry_named(&self, namespace: &str, name: &str) -> Result<Option<Registry>, CloudError> {
        self.runtime.block_on(self.discovery.named(namespace, name))
    }

    fn create_registry(&self, wanted: &NewRegistry) -> Result<String, CloudError> {
        self.runtime.block_on(self.discovery.create(wanted))
    }

    fn delete_registry(&self, arn: &str) -> Result<(), CloudError> {
        self.runtime.block_on(self.discovery.delete(id_of(arn)))
    }

    fn consumers(&self, search: &ConsumerSearch) -> Result<Consumers, CloudError> {
        self.runtime.block_on(self.ecs.consumers(search))
    }

    fn update_service(&self, wanted: &ServiceUpdate) -> Result<(), CloudError> {
        self.runtime.block_on(self.ecs.update(wanted))
    }

    fn service_deployments(
        &self,
        cluster: &str,
        service: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<ServiceDeployment>, CloudError> {
        self.runtime.block_on(self.ecs.service_deployments(cluster, service, since))
    }

    fn stop_service_deployment(&self, arn: &str) -> Result<(), CloudError> {
        self.runtime.block_on(self.ecs.stop_service_deployment(arn))
    }
}

impl Discovery {
    /// The Cloud Map service with this id, or `None`.
    async fn registry(&self, id: &str) -> Result<Option<Registry>, CloudError> {
        let answer = self.reads.get_service().id(id).send().await.map_err(during("servicediscovery:GetService"));
        let Some(service) = existing(answer)?.and_then(|answer| answer.service) else { return Ok(None) };
        let namespace = self.namespace(&service).await?;
        let tags = self.tags(service.arn().unwrap_or_default()).await?;
        Ok(Some(read_registry(&service, namespace, tags)))
    }

    async fn namespace(&self, service: &map::Service) -> Result<Namespace, CloudError> {
        // Old services name their namespace in the DNS configuration only.
        #[expect(deprecated, reason = "services that were created before the field moved have it here only")]
        let by_dns = service.dns_config().and_then(|dns| dns.namespace_id());
        let id = service.namespace_id().or(by_dns).unwrap_or_default();
        let operation = "servicediscovery:GetNamespace";
        let answer = self.reads.get_namespace().id(id).send().await.map_err(during(operation))?;
        let namespace = answer.namespace;
        let kind = namespace.as_ref().and_then(|n| n.r#type()).map(map::NamespaceType::as_str);
        Ok(Namespace {
            id: id.to_owned(),
            name: namespace.as_ref().and_then(|n| n.name()).unwrap_or_default().to_owned(),
            kind: kind.unwrap_or_default().to_owned(),
        })
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CloudError> {
        let operation = "servicediscovery:ListTagsForResource";
        let answer = self.reads.list_tags_for_resource().resource_arn(arn).send().await.map_err(during(operation))?;
        Ok(answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
    }

    async fn named(&self, namespace: &str, name: &str) -> Result<Option<Registry>, CloudError> {
        let operation = "servicediscovery:ListServices";
        let filter = map::ServiceFilter::builder()
            .name(map::ServiceFilterName::NamespaceId)
            .values(namespace)
            .condition(map::FilterCondition::Eq)
            .build()
            .map_err(|error| refused(operation, error.to_string()))?;
        let pages = self.reads.list_services().filters(filter).into_paginator().send();
        let pages: Vec<_> = pages.try_collect().await.map_err(during(operation))?;
        let listed = pages.iter().flat_map(|page| page.services());
        let found = listed.filter(|service| service.name() == Some(name)).find_map(|service| service.id());
        match found {
            Some(id) => self.registry(id).await,
            None => Ok(None),
        }
    }

    async fn create(&self, wanted: &NewRegistry) -> Result<String, CloudError> {
        if let Some(present) = self.named(&wanted.namespace, &wanted.name).await? {
            return adopted(&present, wanted);
        }
        let record = map::DnsRecord::builder()
            .r#type(map::RecordType::Aaaa)
            .ttl(i64::try_from(wanted.ttl).unwrap_or(i64::MAX))
            .build()
            .map_err(|error| refused(CREATE, error.to_string()))?;
        let dns = map::DnsConfig::builder()
            .set_routing_policy(wanted.routing.as_deref().map(map::RoutingPolicy::from))
            .dns_records(record)
            .build()
            .map_err(|error| refused(CREATE, error.to_string()))?;
        let health = wanted.custom_health.then(|| map::HealthCheckCustomConfig::builder().build());
        let tags = wanted.tags.iter().filter(|(key, _)| !is_reserved(key));
        let tags: Result<Vec<map::Tag>, _> = tags.map(|(k, v)| map::Tag::builder().key(k).value(v).build()).collect();
        let created = self
            .writes
            .create_service()
            .namespace_id(&wanted.namespace)
            .name(&wanted.name)
            .dns_config(dns)
            .set_health_check_custom_config(health)
            .set_tags(Some(tags.map_err(|error| refused(CREATE, error.to_string()))?))
            .send()
            .await
            .map_err(during(CREATE));
        let created = match created {
            Err(error) if error.message.starts_with("ServiceAlreadyExists") => {
                // A listing may lag behind an earlier attempt whose answer was lost.
                let present = self.named(&wanted.namespace, &wanted.name).await?.ok_or(error)?;
                return adopted(&present, wanted);
            }
            other => other?,
        };
        let arn = created.service().and_then(|service| service.arn()).map(str::to_owned);
        arn.ok_or_else(|| CloudError {
            operation: CREATE.to_owned(),
            cause: Cause::Unknown,
            message: "the answer names no service".to_owned(),
        })
    }

    async fn delete(&self, id: &str) -> Result<(), CloudError> {
        let done = self.writes.delete_service().id(id).send().await;
        existing(done.map_err(during("servicediscovery:DeleteService"))).map(|_| ())
    }
}

/// The Cloud Map service that has the name already, if it is this run's.
fn adopted(present: &Registry, wanted: &NewRegistry) -> Result<String, CloudError> {
    if bears_marks(&present.tags, &wanted.tags) {
        return Ok(present.arn.clone());
    }
    let text = format!("a Cloud Map service named {} exists already, without the tags of this run", wanted.name);
    Err(refused(CREATE, text))
}

/// `srv-abc` of `arn:aws:servicediscovery:region:account:service/srv-abc`.
fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn read_registry(service: &map::Service, namespace: Namespace, tags: BTreeMap<String, String>) -> Registry {
    let dns = service.dns_config();
    let records = dns.map(|dns| dns.dns_records()).unwrap_or_default();
    let record = |r: &map::DnsRecord| RegistryRecord {
        kind: r.r#type().as_str().to_owned(),
        ttl: u64::try_from(r.ttl()).unwrap_or_default(),
    };
    Registry {
        arn: service.arn().unwrap_or_default().to_owned(),
        id: service.id().unwrap_or_default().to_owned(),
        name: service.name().unwrap_or_default().to_owned(),
        namespace,
        records: records.iter().map(record).collect(),
        routing: dns.and_then(|dns| dns.routing_policy()).map(|policy| policy.as_str().to_owned()),
        custom_health: service.health_check_custom_config().is_some(),
        route53_health: service.health_check_config().is_some(),
        instances: service.instance_count().and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        tags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(run: &str) -> Registry {
        let service = map::Service::builder()
            .id("srv-1")
            .arn("arn:aws:servicediscovery:r:1:service/srv-1")
            .name("web-ipv6")
            .health_check_custom_config(map::HealthCheckCustomConfig::builder().build())
            .dns_config(
                map::DnsConfig::builder()
                    .routing_policy(map::RoutingPolicy::Multivalue)
                    .dns_records(map::DnsRecord::builder().r#type(map::RecordType::Srv).ttl(15).build().unwrap())
                    .build()
                    .unwrap(),
            )
            .build();
        let namespace = Namespace { id: "ns-1".into(), name: "prod.local".into(), kind: "DNS_PRIVATE".into() };
        read_registry(&service, namespace, BTreeMap::from([("migrate:run".to_owned(), run.to_owned())]))
    }

    fn wanted() -> NewRegistry {
        NewRegistry {
            namespace: "ns-1".into(),
            name: "web-ipv6".into(),
            ttl: 15,
            routing: None,
            custom_health: true,
            tags: BTreeMap::from([("migrate:run".to_owned(), "web".to_owned())]),
        }
    }

    #[test]
    fn a_service_is_read_with_its_records() {
        let read = present("web");
        assert_eq!(read.shown_records(), "SRV (15 s)");
        assert_eq!((read.routing.as_deref(), read.custom_health, read.instances), (Some("MULTIVALUE"), true, 0));
        assert_eq!(id_of(&read.arn), "srv-1");
    }

    #[test]
    fn only_this_runs_service_is_adopted() {
        assert!(adopted(&present("web"), &wanted()).is_ok());
        assert_eq!(adopted(&present("other"), &wanted()).unwrap_err().cause, Cause::Refused);
    }
}
