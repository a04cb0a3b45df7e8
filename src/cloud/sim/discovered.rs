//! The estate of a service without a load balancer: found through Cloud Map, asked by another service.

use super::ecs::SimService;
use super::estate::{HISTORY, alarm, container_name, map};
use super::registries::{CONSUMER, SimRegistry};
use super::universe::{SimTaskDefinition, Universe, number_of, short};
use crate::inventory::{Container, Namespace, Registry, RegistryRecord, ServiceRegistry, TaskDefinition};
use crate::playbook::{InPlace, Playbook};

const NAMESPACE: &str = "ns-0a1b2c3d4e5f6a7b";
const DOMAIN: &str = "prod.local";
const CONSUMERS: u32 = 2;

impl Universe {
    /// Fills an empty universe: blue in a registry with A records, or with SRV records where green is
    /// to stand beside it, and a consumer that asks for it by name.
    pub(super) fn discovered(&mut self, playbook: &Playbook, in_place: &InPlace) {
        let name = playbook.service.name.clone();
        let kind = if in_place.staged { "SRV" } else { "A" };
        let id = "srv-0f1e2d3c4b5a6978".to_owned();
        let registry = Registry {
            arn: self.registry_arn(&id),
            id,
            name: name.clone(),
            namespace: Namespace { id: NAMESPACE.into(), name: DOMAIN.into(), kind: "DNS_PRIVATE".into() },
            records: vec![RegistryRecord { kind: kind.to_owned(), ttl: 15 }],
            routing: Some("MULTIVALUE".to_owned()),
            custom_health: true,
            route53_health: false,
            instances: 0,
            tags: map([("team", "platform")]),
        };
        let arn = registry.arn.clone();
        self.registries.insert(arn.clone(), SimRegistry { registry, visible_from: self.now });
        self.add_task_definition(playbook);
        for stored in self.task_definitions.values_mut() {
            let check = ["CMD-SHELL", "curl -f http://localhost:8080/healthz || exit 1"].map(str::to_owned);
            stored.definition.containers.iter_mut().for_each(|c| c.health_check = check.to_vec());
        }
        self.add_blue(playbook, &[]);
        let entry = ServiceRegistry {
            arn: arn.clone(),
            port: None,
            container: in_place.staged.then(|| container_name(playbook)),
            container_port: in_place.staged.then_some(8080),
        };
        let blue = self.blue.service.clone();
        self.change_service(&blue, |service| {
            service.registries = vec![entry];
            service.grace_period_seconds = None;
            service.carried.remove("healthCheckGracePeriodSeconds");
        });
        if let Some(service) = self.services.get_mut(&blue) {
            service.tasks.iter_mut().for_each(|task| task.registries = vec![arn.clone()]);
        }
        self.add_consumer(playbook, &format!("http://{name}.{DOMAIN}:8080"));
        self.add_scaling(playbook);
        for name in &playbook.health.alarms {
            self.alarms.insert(name.clone(), alarm(name));
        }
        self.settle();
        for epoch in &mut self.traffic.epochs {
            epoch.from = self.now - HISTORY;
        }
    }

    /// A service that has blue's name in its environment.
    fn add_consumer(&mut self, playbook: &Playbook, address: &str) {
        let Some(blue) = self.services.get(&self.blue.service).map(|s| s.service.actual.clone()) else { return };
        let name = format!("{}-frontend", playbook.service.name);
        let definition_arn = self.ecs_arn(&format!("task-definition/{name}:3"));
        let container = Container {
            name: "app".to_owned(),
            image: blue.name.clone(),
            environment: map([("BACKEND_URL", address)]),
            ..Container::default()
        };
        let definition = TaskDefinition {
            arn: definition_arn.clone(),
            family: name.clone(),
            network_mode: Some("awsvpc".to_owned()),
            os_family: Some("LINUX".to_owned()),
            requires_compatibilities: vec!["FARGATE".to_owned()],
            containers: vec![container],
            tags: map([("team", "platform")]),
            network_volumes: Vec::new(),
            carried: map([]),
        };
        self.task_definitions
            .insert(definition_arn.clone(), SimTaskDefinition { definition, revision: 3, active: true });
        let cluster = short(&blue.cluster).to_owned();
        let key = format!("{cluster}/{name}");
        let deployment_id = format!("ecs-svc/{}", number_of(&key));
        let tasks = (0..CONSUMERS).map(|_| self.old_task(&cluster, &deployment_id)).collect();
        let mut service = blue;
        service.arn = self.ecs_arn(&format!("service/{key}"));
        service.name = name;
        service.task_definition = definition_arn;
        service.desired_count = CONSUMERS;
        service.registries = Vec::new();
        service.tags = map([("team", "platform"), (CONSUMER, "true")]);
        let sim = SimService::long_running(service, deployment_id, tasks, self.now);
        self.services.insert(key, sim);
    }
}
