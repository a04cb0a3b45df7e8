//! Cloud Map: its services, the tasks registered there, and what it refuses.
//!
//! Instances are not stored: a task is one of the services that ECS had for it when it was started,
//! from when it runs until it is stopped. So what is registered always follows from the tasks.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Sim;
use super::ecs::{SimService, UPDATE};
use super::faults::{not_found, refused};
use super::rolling::STOP;
use super::scenario::Scenario;
use super::tasks::SimTask;
use super::universe::{Universe, ViolationKind, bears_marks, is_ours, short};
use crate::cloud::CloudError;
use crate::cloud::registries::{ConsumerSearch, NewRegistry, Registries, ServiceDeployment, ServiceUpdate, mentions};
use crate::inventory::{Alarm, Consumers, Registry, RegistryRecord, ServiceRegistry};

const CREATE: &str = "servicediscovery:CreateService";
const DELETE: &str = "servicediscovery:DeleteService";
const GET: &str = "servicediscovery:GetService";
/// How long green serves badly until an alarm says so.
const ALARMED_AFTER: Duration = Duration::minutes(3);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimRegistry {
    /// Instances are counted when it is read.
    pub registry: Registry,
    /// Reads do not know it before.
    pub visible_from: DateTime<Utc>,
}

impl Registries for Sim {
    fn registries(&self, arns: &[String]) -> Result<Vec<Registry>, CloudError> {
        self.read(GET, |u| Ok(arns.iter().filter_map(|arn| u.registry_seen(arn)).collect()))
    }

    fn registry_named(&self, namespace: &str, name: &str) -> Result<Option<Registry>, CloudError> {
        self.read("servicediscovery:ListServices", |u| {
            let arn = u.registry_at(namespace, name).map(|r| r.registry.arn.clone());
            Ok(arn.and_then(|arn| u.registry_seen(&arn)))
        })
    }

    fn create_registry(&self, wanted: &NewRegistry) -> Result<String, CloudError> {
        self.change(CREATE, |u| u.create_registry(wanted))
    }

    fn delete_registry(&self, arn: &str) -> Result<(), CloudError> {
        self.change(DELETE, |u| u.delete_registry(arn))
    }

    fn consumers(&self, search: &ConsumerSearch) -> Result<Consumers, CloudError> {
        self.read("ecs:ListServices", |u| Ok(u.consumers(search)))
    }

    fn update_service(&self, wanted: &ServiceUpdate) -> Result<(), CloudError> {
        self.change(UPDATE, |u| u.update_service(wanted))
    }

    fn service_deployments(
        &self,
        cluster: &str,
        service: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<ServiceDeployment>, CloudError> {
        self.read("ecs:ListServiceDeployments", |u| Ok(u.service_deployments(cluster, service, since)))
    }

    fn stop_service_deployment(&self, arn: &str) -> Result<(), CloudError> {
        self.change(STOP, |u| u.stop_service_deployment(arn))
    }
}

impl Universe {
    fn registry_at(&self, namespace: &str, name: &str) -> Option<&SimRegistry> {
        self.registries.values().find(|r| r.registry.namespace.id == namespace && r.registry.name == name)
    }

    fn registry_seen(&self, arn: &str) -> Option<Registry> {
        let stored = self.registries.get(arn).filter(|r| self.now >= r.visible_from)?;
        let instances = u32::try_from(self.instances(arn).count()).unwrap_or(u32::MAX);
        Some(Registry { instances, ..stored.registry.clone() })
    }

    /// The tasks that are instances of a Cloud Map service now.
    fn instances<'a>(&'a self, arn: &'a str) -> impl Iterator<Item = &'a SimTask> {
        let tasks = self.services.values().flat_map(|s| &s.tasks);
        tasks.filter(move |t| t.is_running(self.now) && t.registries.iter().any(|r| r == arn))
    }

    /// What a rollback has to restore of each Cloud Map service.
    pub(super) fn registries_shown(&self, shown: &dyn Fn(&BTreeMap<String, String>) -> bool) -> Vec<Value> {
        let kept = |arn: &str| {
            let tasks = self.services.values().flat_map(|s| &s.tasks).filter(|t| t.is_kept());
            tasks.filter(|t| t.registries.iter().any(|r| r == arn)).count()
        };
        let registries = self.registries.values().map(|r| &r.registry).filter(|r| shown(&r.tags));
        registries.map(|r| json!({ "registry": r, "instances": kept(&r.arn) })).collect()
    }

    /// A name is taken once in a namespace. What bears the marks of the wish is its outcome, as for the
    /// adapter.
    fn create_registry(&mut self, wanted: &NewRegistry) -> Result<String, CloudError> {
        let known = self.registries.values().find(|r| r.registry.namespace.id == wanted.namespace);
        let Some(namespace) = known.map(|r| r.registry.namespace.clone()) else {
            return Err(not_found(CREATE, "NamespaceNotFound: no such namespace"));
        };
        if let Some(present) = self.registry_at(&wanted.namespace, &wanted.name) {
            if bears_marks(&present.registry.tags, &wanted.tags) {
                return Ok(present.registry.arn.clone());
            }
            return Err(refused(CREATE, "ServiceAlreadyExists: Service already exists."));
        }
        if namespace.kind == "HTTP" {
            return Err(refused(CREATE, "InvalidInput: an HTTP namespace holds no services with DNS records"));
        }
        let id = format!("srv-{}", self.fresh_id());
        let arn = self.registry_arn(&id);
        let registry = Registry {
            arn: arn.clone(),
            id,
            name: wanted.name.clone(),
            namespace,
            records: vec![RegistryRecord { kind: "AAAA".to_owned(), ttl: wanted.ttl }],
            routing: wanted.routing.clone(),
            custom_health: wanted.custom_health,
            route53_health: false,
            instances: 0,
            tags: wanted.tags.clone(),
        };
        let visible_from = self.now + self.lag();
        self.registries.insert(arn.clone(), SimRegistry { registry, visible_from });
        Ok(arn)
    }

    pub(super) fn registry_arn(&self, id: &str) -> String {
        format!("arn:aws:servicediscovery:{}:{}:service/{id}", self.identity.region, self.identity.account)
    }

    fn delete_registry(&mut self, arn: &str) -> Result<(), CloudError> {
        let Some(tags) = self.registries.get(arn).map(|r| r.registry.tags.clone()) else { return Ok(()) };
        if self.instances(arn).next().is_some() {
            return Err(refused(DELETE, "ResourceInUse: Service contains registered instances; delete the instances"));
        }
        if !is_ours(&tags) {
            self.violate(ViolationKind::ForeignDeleted, format!("Cloud Map service {arn}"));
        }
        self.registries.remove(arn);
        Ok(())
    }

    /// Whether ECS can register tasks of these subnets there. It needs an IPv4 address for A records
    /// and an IPv6 one for AAAA records; SRV takes either (ECS guide "Service discovery").
    pub(super) fn check_registries(
        &self,
        operation: &str,
        registries: &[ServiceRegistry],
        subnets: &[String],
    ) -> Result<(), CloudError> {
        let invalid = |text: &str| Err(refused(operation, format!("InvalidParameterException: {text}")));
        if registries.len() > 1 {
            return invalid("service registries may contain at most one entry.");
        }
        let ipv6_only = subnets.iter().all(|s| self.subnets.get(s) == Some(&true));
        for entry in registries {
            let Some(found) = self.registries.get(&entry.arn) else {
                return invalid("the service registry does not exist.");
            };
            if ipv6_only && !found.registry.takes_ipv6_only() {
                return invalid("a registry with A records cannot be used with IPv6-only subnets.");
            }
            if found.registry.has("SRV") && entry.port.or(entry.container_port).is_none() {
                return invalid("when specifying service registries with SRV records, a port is required.");
            }
        }
        Ok(())
    }

    fn consumers(&self, search: &ConsumerSearch) -> Consumers {
        let cluster = short(&search.cluster);
        let services = self.services.iter().filter(|(key, s)| key.starts_with(&format!("{cluster}/")) && s.is_active());
        let all: Vec<&SimService> = services.map(|(_, s)| s).collect();
        let mut consumers = Consumers { cut: all.len() > search.most, ..Consumers::default() };
        let others = |s: &&&SimService| s.service.actual.name != search.except;
        for service in all.iter().take(search.most).filter(others) {
            let actual = &service.service.actual;
            consumers.searched += 1;
            let definition = self.task_definitions.get(&actual.task_definition);
            for container in definition.into_iter().flat_map(|d| &d.definition.containers) {
                for (key, value) in &container.environment {
                    if search.names.iter().any(|name| mentions(value, name)) {
                        consumers.mentions.push(format!("{} (environment {key} of {})", actual.name, container.name));
                    }
                }
            }
            if search.namespace.is_some() && actual.service_connect == search.namespace {
                consumers.connected.push(actual.name.clone());
            }
        }
        consumers
    }

    /// The healthy tasks of each service that blue's consumers may be led to, with whether they are IPv6-only.
    pub(super) fn found_tasks(&self) -> impl Iterator<Item = (&String, &SimTask)> {
        let fleet = |s: &SimService| {
            s.service.actual.load_balancers.is_empty() && !s.service.actual.tags.contains_key(CONSUMER)
        };
        let services = self.services.iter().filter(move |(_, s)| fleet(s));
        let tasks = services.flat_map(|(key, s)| s.tasks.iter().map(move |t| (key, t)));
        let registered = !self.registries.is_empty();
        tasks.filter(move |(_, t)| t.is_healthy(self.now) && (!registered || !t.registries.is_empty()))
    }

    /// Share of the requests by service, where consumers choose among the tasks that they find.
    pub(super) fn shares_by_tasks(&self) -> BTreeMap<String, f64> {
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        for (key, _) in self.found_tasks() {
            *counts.entry(key.clone()).or_default() += 1.0;
        }
        let all: f64 = counts.values().sum();
        counts.values_mut().for_each(|count| *count /= all);
        counts
    }

    /// Whether consumers are led to blue, or would find too little without it.
    pub(super) fn blue_is_found(&self) -> bool {
        let others = self.found_tasks().filter(|(key, _)| **key != self.blue.service).count();
        let too_few = u32::try_from(others).is_ok_and(|others| others < self.blue.desired_count);
        too_few || self.found_tasks().any(|(key, _)| *key == self.blue.service)
    }

    /// Notes when green first serves, and whether consumers find too few tasks.
    pub(super) fn note_discovery(&mut self) {
        if !self.blue.target_groups.is_empty() || self.blue.service.is_empty() {
            return;
        }
        if self.traffic.green_since.is_none() && self.found_tasks().any(|(_, t)| t.ipv6_only) {
            self.traffic.green_since = Some(self.now);
        }
        let found = u32::try_from(self.found_tasks().count()).unwrap_or(u32::MAX);
        if found < self.blue.desired_count {
            let what = format!("consumers find {found} tasks, {} at the origin", self.blue.desired_count);
            self.violate(ViolationKind::BlueOverloaded, what);
        }
    }

    /// An alarm as it is now. Without a load balancer nothing but an alarm can tell that green serves badly.
    pub(super) fn alarm_seen(&self, alarm: &Alarm) -> Alarm {
        let bad = matches!(self.scenario, Scenario::GreenErrors | Scenario::GreenSlow);
        let long = |t: &SimTask| t.ipv6_only && self.now >= t.checked_from() + ALARMED_AFTER;
        if bad && self.blue.target_groups.is_empty() && self.found_tasks().any(|(_, t)| long(t)) {
            let reason = "Threshold Crossed: 3 datapoints were greater than the threshold.".to_owned();
            return Alarm { state: "ALARM".to_owned(), reason, ..alarm.clone() };
        }
        alarm.clone()
    }
}

/// Tag of the services here that only ask for others.
pub(super) const CONSUMER: &str = "consumer";

#[cfg(test)]
mod tests {
    use super::super::fixture::{in_place, ours, pass, start};
    use super::super::{Tamper, Universe};
    use super::*;
    use crate::cloud::{Cause, Cloud, Watch};

    fn wanted(sim: &Sim) -> NewRegistry {
        let namespace = sim.universe().registries.values().next().unwrap().registry.namespace.id.clone();
        NewRegistry { namespace, name: "web-ipv6".into(), ttl: 15, routing: None, custom_health: true, tags: ours() }
    }

    /// The update that moves the service, into this registry.
    fn update(sim: &Sim, registry: &str) -> ServiceUpdate {
        let service = sim.service("prod", "web").unwrap().unwrap();
        let registries =
            vec![ServiceRegistry { arn: registry.into(), port: None, container: None, container_port: None }];
        ServiceUpdate {
            subnets: vec!["subnet-0a1".into()],
            registries: Some(registries),
            ..ServiceUpdate::of(&service)
        }
    }

    fn old(sim: &Sim) -> String {
        sim.universe().registries.keys().next().unwrap().clone()
    }

    #[test]
    fn a_records_refuse_ipv6_only_tasks_and_aaaa_records_take_them() {
        let sim = in_place(Scenario::Healthy, false);
        let a = old(&sim);
        let error = sim.update_service(&update(&sim, &a)).unwrap_err();
        assert!(error.cause == Cause::Refused && error.message.contains("A records"), "{error}");
        let aaaa = sim.create_registry(&wanted(&sim)).unwrap();
        sim.update_service(&update(&sim, &aaaa)).unwrap();
        pass(&sim, 120);
        let found = sim.registries(&[a, aaaa]).unwrap();
        assert_eq!(found.iter().map(|r| r.instances).collect::<Vec<_>>(), [0, 4]);
        assert_eq!(sim.universe().violations, []);
    }

    #[test]
    fn srv_records_take_either_and_want_a_port() {
        let sim = in_place(Scenario::Healthy, true);
        let srv = old(&sim);
        let error = sim.update_service(&update(&sim, &srv)).unwrap_err();
        assert!(error.message.contains("a port is required"), "{error}");
        let service = sim.service("prod", "web").unwrap().unwrap();
        sim.update_service(&ServiceUpdate { registries: Some(service.registries), ..update(&sim, &srv) }).unwrap();
        pass(&sim, 120);
        assert_eq!(sim.registries(&[srv]).unwrap()[0].instances, 4);
    }

    #[test]
    fn a_registry_with_instances_is_not_deleted() {
        let sim = in_place(Scenario::Healthy, false);
        let error = sim.delete_registry(&old(&sim)).unwrap_err();
        assert!(error.message.starts_with("ResourceInUse"), "{error}");
        let made = sim.create_registry(&wanted(&sim)).unwrap();
        sim.delete_registry(&made).unwrap();
        sim.delete_registry(&made).unwrap();
        assert_eq!(sim.registry_named(&wanted(&sim).namespace, "web-ipv6"), Ok(None));
        assert_eq!(sim.universe().violations, []);
    }

    #[test]
    fn a_name_is_taken_once_in_a_namespace() {
        let sim = in_place(Scenario::Healthy, false);
        let made = sim.create_registry(&wanted(&sim)).unwrap();
        assert_eq!(sim.create_registry(&wanted(&sim)), Ok(made));
        let other = BTreeMap::from([("migrate:run".to_owned(), "other".to_owned())]);
        let error = sim.create_registry(&NewRegistry { tags: other, ..wanted(&sim) }).unwrap_err();
        assert!(error.message.starts_with("ServiceAlreadyExists"), "{error}");
        let nowhere = NewRegistry { namespace: "ns-none".into(), ..wanted(&sim) };
        assert_eq!(sim.create_registry(&nowhere).unwrap_err().cause, Cause::NotFound);
    }

    #[test]
    fn a_registry_that_is_gone_cannot_be_used() {
        let sim = in_place(Scenario::Healthy, false);
        let arn = sim.create_registry(&wanted(&sim)).unwrap();
        assert!(sim.with(|u| u.tamper(&Tamper::DeleteRegistry(arn.clone()))).unwrap());
        assert!(sim.update_service(&update(&sim, &arn)).unwrap_err().message.contains("does not exist"));
        assert_eq!(sim.registries(&[arn]), Ok(Vec::new()));
    }

    #[test]
    fn alarms_go_red_once_green_serves_badly() {
        for (scenario, state) in [(Scenario::GreenErrors, "ALARM"), (Scenario::Healthy, "OK")] {
            let sim = in_place(scenario, false);
            let watch = Watch { alarms: vec!["web-5xx".into()], ..Watch::default() };
            let shown = |sim: &Sim| sim.observe(&watch).unwrap().alarms.unwrap().unwrap()[0].state.clone();
            assert_eq!(shown(&sim), "OK");
            let aaaa = sim.create_registry(&wanted(&sim)).unwrap();
            sim.update_service(&update(&sim, &aaaa)).unwrap();
            pass(&sim, 400);
            assert_eq!(shown(&sim), state);
        }
    }

    #[test]
    fn consumers_are_found_by_name_and_the_search_is_bounded() {
        let sim = in_place(Scenario::Healthy, false);
        let search = ConsumerSearch {
            cluster: "prod".into(),
            except: "web".into(),
            names: vec!["web.prod.local".into()],
            namespace: None,
            most: 100,
        };
        let found = sim.consumers(&search).unwrap();
        assert_eq!((found.mentions.len(), found.searched, found.cut), (1, 1, false));
        assert!(sim.consumers(&ConsumerSearch { most: 1, ..search }).unwrap().cut);
        let universe = Universe::for_playbook(&super::super::fixture::playbook(), Scenario::Healthy, 7, start());
        assert!(universe.registries.is_empty(), "a service behind a load balancer needs none");
    }
}
