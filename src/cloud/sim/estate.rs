//! The estate that a playbook speaks of, made up from its names.
//!
//! Deliberately not the simplest estate that works: one rule authenticates before it forwards, one
//! also forwards to a third group, and one is nobody's business. A tool that treats all of them
//! alike is found out on the sandbox rather than in production.

mod front;

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, DurationRound, Utc};
use serde_json::json;

use super::ecs::SimService;
use super::elb::{SimGroup, SimRoute, default_attributes, described, tuples};
use super::faults::CallLog;
use super::levels::SimLevel;
use super::names::SimNames;
use super::scaling::SimScaling;
use super::scenario::Scenario;
use super::tasks::SimTask;
use super::traffic::Traffic;
use super::universe::{Blue, Knobs, Lagging, SimTaskDefinition, Universe, number_of, short};
use crate::cloud::Identity;
use crate::inventory::{
    Action, Alarm, Container, ForwardConfig, GroupStickiness, LoadBalancer, RollingUpdate, Route, RouteAt,
    ScalableTarget, Service, ServiceLoadBalancer, Suspension, TargetGroup, TaskDefinition, WeightedGroup,
};
use crate::playbook::{DnsWeights, Fallback, ListenerWeights, Playbook, Shift};

/// Version of the structure that is saved.
pub(super) const FORMAT: u32 = 1;
pub(super) const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-central-1";
const BLUE_TASKS: u32 = 4;
const PER_MINUTE: f64 = 6000.0;
/// Blue's tasks can answer a third more than they get, and auto scaling aims at a little more too.
const TASK_CAPACITY: f64 = 2000.0;
const TASK_AIM: f64 = 1700.0;
/// CloudWatch keeps minutes for so long.
pub(super) const HISTORY: Duration = Duration::days(15);
const VPC: &str = "vpc-0a1b2c3d";
/// The hosted zone of all load balancers' own names in the region.
const BALANCER_ZONE: &str = "Z215JYRZR1TBD5";

pub(super) fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

impl Universe {
    /// A cloud in which everything that the playbook names exists, as it was long before the run.
    pub fn for_playbook(playbook: &Playbook, scenario: Scenario, seed: u64, now: DateTime<Utc>) -> Universe {
        let mut universe = empty(playbook, scenario, seed, now);
        universe.levels = SimLevel::of_all(&playbook.health.metrics);
        if let Shift::InPlace(in_place) = &playbook.shift {
            universe.discovered(playbook, in_place);
            return universe;
        }
        let groups = universe.add_blue_groups(playbook);
        universe.add_task_definition(playbook);
        universe.add_blue(playbook, &groups);
        match &playbook.shift {
            Shift::ListenerSwap(_) => universe.add_listeners(playbook, &groups),
            Shift::ListenerWeights(_) | Shift::DnsWeights(_) | Shift::InPlace(_) => {
                universe.add_routes(playbook, &groups);
            }
        }
        if let Some(wish) = by_names(playbook, scenario) {
            let blue = groups.iter().flat_map(|g| universe.load_balancers_of(g)).next();
            universe.add_names(wish, &blue.unwrap_or_default());
        }
        universe.add_scaling(playbook);
        for name in &playbook.health.alarms {
            universe.alarms.insert(name.clone(), alarm(name));
        }
        universe.settle();
        for epoch in &mut universe.traffic.epochs {
            epoch.from = now - HISTORY;
        }
        universe
    }

    fn add_blue_groups(&mut self, playbook: &Playbook) -> Vec<String> {
        let wanted = match playbook.service.target_groups.as_slice() {
            [] => vec![legal_group_name(&playbook.service.name)],
            listed => listed.iter().take(5).cloned().collect(),
        };
        wanted.iter().zip(0..).map(|(name, nth)| self.add_group(name, 8080 + nth, 0)).collect()
    }

    /// Adds a group by name or ARN, with healthy targets that belong to no service here.
    fn add_group(&mut self, wanted: &str, port: u16, fixed_targets: u32) -> String {
        let (arn, name) = match wanted.split_once(":targetgroup/") {
            Some((_, tail)) => (wanted.to_owned(), tail.split('/').next().unwrap_or(tail).to_owned()),
            None => (self.elb_arn(&format!("targetgroup/{wanted}")), wanted.to_owned()),
        };
        let mut attributes = default_attributes();
        attributes.extend(map([("deregistration_delay.timeout_seconds", "60")]));
        let group = TargetGroup {
            arn: arn.clone(),
            name,
            ip_address_type: "ipv4".to_owned(),
            target_type: "ip".to_owned(),
            protocol: Some("HTTP".to_owned()),
            port: Some(port),
            vpc: Some(VPC.to_owned()),
            load_balancers: Vec::new(),
            settings: map([
                ("HealthCheckIntervalSeconds", "15"),
                ("HealthCheckPath", "/healthz"),
                ("HealthCheckPort", "traffic-port"),
                ("HealthCheckProtocol", "HTTP"),
                ("HealthCheckTimeoutSeconds", "5"),
                ("HealthyThresholdCount", "2"),
                ("Matcher", "200"),
                ("ProtocolVersion", "HTTP1"),
                ("UnhealthyThresholdCount", "3"),
            ]),
            attributes,
            tags: map([("team", "platform")]),
        };
        self.target_groups.insert(arn.clone(), SimGroup { group, fixed_targets });
        arn
    }

    pub(super) fn add_task_definition(&mut self, playbook: &Playbook) {
        let name = &playbook.service.name;
        let region = self.identity.region.clone();
        let arn = self.ecs_arn(&format!("task-definition/{name}:7"));
        let container = Container {
            name: container_name(playbook),
            image: format!("{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/{name}:1.4.2"),
            environment: map([("LOG_LEVEL", "info"), ("PORT", "8080")]),
            log_driver: Some("awslogs".to_owned()),
            log_options: BTreeMap::from([
                ("awslogs-group".to_owned(), format!("/ecs/{name}")),
                ("awslogs-region".to_owned(), region),
                ("awslogs-stream-prefix".to_owned(), name.clone()),
            ]),
            ports: vec![8080],
            ..Container::default()
        };
        let definition = TaskDefinition {
            arn: arn.clone(),
            family: name.clone(),
            network_mode: Some("awsvpc".to_owned()),
            os_family: Some("LINUX".to_owned()),
            requires_compatibilities: vec!["FARGATE".to_owned()],
            containers: vec![container],
            tags: map([("team", "platform")]),
            network_volumes: Vec::new(),
            carried: map([
                ("cpu", "512"),
                ("executionRoleArn", "arn:aws:iam::123456789012:role/ecs-execution"),
                ("memory", "1024"),
                ("taskRoleArn", "arn:aws:iam::123456789012:role/app"),
            ]),
        };
        self.task_definitions.insert(arn, SimTaskDefinition { definition, revision: 7, active: true });
    }

    pub(super) fn add_blue(&mut self, playbook: &Playbook, groups: &[String]) {
        let (cluster, name) = (short(&playbook.service.cluster).to_owned(), playbook.service.name.clone());
        let key = format!("{cluster}/{name}");
        let container = container_name(playbook);
        let load_balancers = groups.iter().zip(8080..).map(|(arn, port)| ServiceLoadBalancer {
            target_group: Some(arn.clone()),
            container: container.clone(),
            port,
            advanced: false,
        });
        let service = Service {
            arn: self.ecs_arn(&format!("service/{cluster}/{name}")),
            name: name.clone(),
            cluster: self.clusters.get(&cluster).cloned().unwrap_or_default(),
            status: "ACTIVE".to_owned(),
            task_definition: self.ecs_arn(&format!("task-definition/{name}:7")),
            desired_count: BLUE_TASKS,
            running_count: 0,
            pending_count: 0,
            launch_type: Some("FARGATE".to_owned()),
            platform_version: Some("LATEST".to_owned()),
            platform_family: Some("Linux".to_owned()),
            controller: Some("ECS".to_owned()),
            scheduling: Some("REPLICA".to_owned()),
            strategy: Some("ROLLING".to_owned()),
            managed_by: None,
            subnets: vec!["subnet-dual-a".to_owned(), "subnet-dual-b".to_owned()],
            security_groups: vec!["sg-0app".to_owned()],
            assigns_public_ip: false,
            load_balancers: load_balancers.collect(),
            deployments: Vec::new(),
            registries: Vec::new(),
            publishes_service_connect: false,
            service_connect: None,
            rolling: RollingUpdate {
                circuit_breaker: true,
                rolls_back: true,
                minimum_healthy_percent: Some(100),
                maximum_percent: Some(200),
            },
            execute_command: false,
            grace_period_seconds: Some(60),
            tags: map([("env", "production"), ("team", "platform")]),
            events: Vec::new(),
            carried: map([
                ("availabilityZoneRebalancing", "DISABLED"),
                ("deploymentConfiguration.deploymentCircuitBreaker", "enable: true, rollback: true"),
                ("deploymentConfiguration.maximumPercent", "200"),
                ("deploymentConfiguration.minimumHealthyPercent", "100"),
                ("enableECSManagedTags", "true"),
                ("healthCheckGracePeriodSeconds", "60"),
                ("launchType", "FARGATE"),
                ("platformVersion", "LATEST"),
                ("propagateTags", "SERVICE"),
            ]),
            dropped: BTreeMap::new(),
        };
        let deployment_id = format!("ecs-svc/{}", number_of(&key));
        let tasks = (0..BLUE_TASKS).map(|_| self.old_task(&cluster, &deployment_id)).collect();
        let sim = SimService::long_running(service, deployment_id, tasks, self.now);
        self.services.insert(key.clone(), sim);
        self.blue = Blue { service: key, desired_count: BLUE_TASKS, target_groups: groups.to_vec() };
    }

    pub(super) fn old_task(&mut self, cluster: &str, deployment: &str) -> SimTask {
        let id = self.fresh_id();
        SimTask {
            arn: self.ecs_arn(&format!("task/{cluster}/{id}{id}")),
            number: self.next_id,
            created: self.now - HISTORY,
            doomed: None,
            stop: None,
            deployment: deployment.to_owned(),
            ipv6_only: false,
            registries: Vec::new(),
        }
    }

    fn add_routes(&mut self, playbook: &Playbook, groups: &[String]) {
        let Some(first) = groups.first() else { return };
        let name = legal_group_name(&playbook.service.name);
        let balancer = self.add_load_balancer(&name);
        let id = self.fresh_id();
        let listener = format!("{}/{id}", balancer.replacen(":loadbalancer/", ":listener/", 1));
        self.furnish_listener(&balancer, &listener, 443);
        let extra = groups.get(1..).unwrap_or_default();
        let for_extra = 0.05 * f64::from(u32::try_from(extra.len()).unwrap_or_default());

        let default = forward(&[(first, 1)], None);
        let at = RouteAt::Listener(listener.clone());
        self.add_route(&balancer, &listener, at, None, "", vec![default], 0.4 - for_extra);
        let rule = |universe: &mut Universe, priority: u32, condition: &str, actions: Vec<Action>, traffic: f64| {
            let id = universe.fresh_id();
            let arn = format!("{}/{id}", listener.replacen(":listener/", ":listener-rule/", 1));
            let at = RouteAt::Rule(arn.clone());
            universe.add_route(&balancer, &listener, at, Some(priority), condition, actions, traffic);
            arn
        };
        rule(self, 10, "path-pattern /api/*", vec![forward(&[(first, 1)], None)], 0.3);
        let unsticky = GroupStickiness { enabled: Some(false), duration_seconds: None };
        let behind_login = Action { order: Some(2), ..forward(&[(first, 1)], Some(unsticky)) };
        if let Some(dns) = by_names(playbook, self.scenario) {
            rule(self, 20, "path-pattern /admin/*", vec![front::cognito(), behind_login], 0.2);
            let old = rule(self, 30, "path-pattern /old/*", vec![forward(&[(first, 1)], None)], 0.1);
            self.furnish_transform(&balancer, &old);
            if let Some(name) = &dns.green_load_balancer {
                self.add_named_balancer(name, &balancer);
            }
            let id = self.fresh_id();
            let plain = format!("{}/{id}", balancer.replacen(":loadbalancer/", ":listener/", 1));
            self.furnish_listener(&balancer, &plain, 80);
            let at = RouteAt::Listener(plain.clone());
            self.add_route(&balancer, &plain, at, None, "", vec![front::to_https()], 0.0);
        } else {
            let legacy = self.add_group(&format!("{:.25}-legacy", name), 9090, 2);
            rule(self, 20, "path-pattern /admin/*", vec![oidc(), behind_login], 0.2);
            rule(self, 30, "path-pattern /old/*", vec![forward(&[(first, 90), (&legacy, 10)], None)], 0.1);
        }
        rule(self, 40, "path-pattern /maintenance", vec![fixed_response()], 0.0);
        for (group, nth) in extra.iter().zip(1u32..) {
            let condition = format!("path-pattern /part-{nth}/*");
            rule(self, 40 + nth, &condition, vec![forward(&[(group, 1)], None)], 0.05);
        }
    }

    pub(super) fn add_load_balancer(&mut self, name: &str) -> String {
        let arn = self.elb_arn(&format!("loadbalancer/app/{name}"));
        let region = self.identity.region.clone();
        let balancer = LoadBalancer {
            arn: arn.clone(),
            name: name.to_owned(),
            kind: "application".to_owned(),
            ip_address_type: "dualstack".to_owned(),
            zones: vec![format!("{region}a"), format!("{region}b")],
            state: "active".to_owned(),
            scheme: "internet-facing".to_owned(),
            dns_name: format!("{name}-1234567890.{region}.elb.amazonaws.com").to_lowercase(),
            hosted_zone: BALANCER_ZONE.to_owned(),
            subnets: vec!["subnet-dual-a".to_owned(), "subnet-dual-b".to_owned()],
            security_groups: vec!["sg-0lb".to_owned()],
        };
        self.load_balancers.insert(arn.clone(), balancer);
        self.furnish(&arn);
        arn
    }

    #[expect(clippy::too_many_arguments, reason = "a route is these things, and only this file makes one")]
    fn add_route(
        &mut self,
        balancer: &str,
        listener: &str,
        at: RouteAt,
        priority: Option<u32>,
        condition: &str,
        actions: Vec<Action>,
        traffic: f64,
    ) {
        let furnished = self.balancers.get(balancer).and_then(|s| s.parts.listeners.iter().find(|l| l.arn == listener));
        let port = furnished.map_or(443, |l| l.port);
        let route = Route {
            at: at.clone(),
            load_balancer: balancer.to_owned(),
            listener: listener.to_owned(),
            port: Some(port),
            priority,
            conditions: (!condition.is_empty()).then(|| condition.to_owned()).into_iter().collect(),
            actions,
        };
        let tags = map([("team", "platform")]);
        self.routes.insert(at.arn().to_owned(), SimRoute { route: Lagging::new(route), tags, traffic, protocol: None });
    }

    pub(super) fn add_scaling(&mut self, playbook: &Playbook) {
        let service = self.blue.service.clone();
        let resource = format!("service/{service}");
        let target = ScalableTarget {
            resource: resource.clone(),
            min: 2,
            max: 20,
            suspended: Suspension::default(),
            policies: vec![format!("{}-requests (TargetTrackingScaling)", playbook.service.name)],
            scheduled: Vec::new(),
        };
        let scaling = SimScaling { target, service, per_task: TASK_AIM, low_since: None, high_since: None };
        self.scaling.insert(resource, scaling);
    }
}

/// How traffic will move by records, if it will.
fn by_names(playbook: &Playbook, scenario: Scenario) -> Option<&DnsWeights> {
    match &playbook.shift {
        Shift::DnsWeights(wish) => Some(wish),
        Shift::ListenerWeights(ListenerWeights { fallback: Some(Fallback::DnsWeights(wish)), .. }) => {
            (scenario == Scenario::FamiliesRefused).then_some(wish)
        }
        _ => None,
    }
}

fn empty(playbook: &Playbook, scenario: Scenario, seed: u64, now: DateTime<Utc>) -> Universe {
    let region = playbook.region.clone().unwrap_or_else(|| REGION.to_owned());
    let cluster = short(&playbook.service.cluster).to_owned();
    let cluster_arn = format!("arn:aws:ecs:{region}:{ACCOUNT}:cluster/{cluster}");
    let dual = ["subnet-dual-a", "subnet-dual-b"].map(|s| (s.to_owned(), false));
    let green = playbook.green.network.subnets.iter().map(|s| (s.clone(), true));
    let minute = Duration::minutes(1);
    Universe {
        format: FORMAT,
        seed,
        scenario,
        now,
        identity: Identity {
            account: ACCOUNT.to_owned(),
            caller: format!("arn:aws:sts::{ACCOUNT}:assumed-role/sandbox/migrate"),
            region,
            expires: None,
        },
        knobs: Knobs { rejects_mixed_families: scenario == Scenario::FamiliesRefused, ..Knobs::default() },
        faults: Vec::new(),
        calls: CallLog::default(),
        violations: Vec::new(),
        blue: Blue { service: String::new(), desired_count: 0, target_groups: Vec::new() },
        clusters: BTreeMap::from([(cluster, cluster_arn)]),
        load_balancers: BTreeMap::new(),
        balancers: BTreeMap::new(),
        target_groups: BTreeMap::new(),
        routes: BTreeMap::new(),
        services: BTreeMap::new(),
        task_definitions: BTreeMap::new(),
        subnets: dual.into_iter().chain(green).collect(),
        scaling: BTreeMap::new(),
        alarms: BTreeMap::new(),
        levels: BTreeMap::new(),
        registries: BTreeMap::new(),
        messages: Vec::new(),
        unborn_rules: BTreeMap::new(),
        disturbances: Vec::new(),
        traffic: Traffic {
            per_minute: PER_MINUTE,
            base_errors: 0.001,
            client_errors: 0.01,
            task_capacity: TASK_CAPACITY,
            epochs: Vec::new(),
            green_since: None,
            episodes: Vec::new(),
        },
        names: SimNames::default(),
        next_tick: now.duration_trunc(minute).unwrap_or(now) + minute,
        next_id: 0,
    }
}

pub(super) fn container_name(playbook: &Playbook) -> String {
    playbook.service.container.clone().unwrap_or_else(|| "app".to_owned())
}

/// A service name as a target group name: ECS allows underscores and 255 characters, ELBv2 not.
pub(super) fn legal_group_name(service: &str) -> String {
    let legal: String = service.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(32).collect();
    legal.trim_matches('-').to_owned()
}

pub(super) fn alarm(name: &str) -> Alarm {
    Alarm {
        name: name.to_owned(),
        state: "OK".to_owned(),
        reason: "Threshold Crossed: no datapoints were greater than the threshold.".to_owned(),
        composite: false,
    }
}

pub(super) fn forward(groups: &[(&str, u32)], stickiness: Option<GroupStickiness>) -> Action {
    let groups =
        groups.iter().map(|(arn, weight)| WeightedGroup { target_group_arn: (*arn).to_owned(), weight: Some(*weight) });
    let config = ForwardConfig { target_groups: groups.collect(), target_group_stickiness_config: stickiness };
    let action =
        Action { kind: "forward".to_owned(), order: Some(1), forward_config: Some(config), ..Action::default() };
    described(&action, &tuples(&action))
}

fn oidc() -> Action {
    let config = json!({
        "Issuer": "https://login.example.com",
        "AuthorizationEndpoint": "https://login.example.com/authorize",
        "TokenEndpoint": "https://login.example.com/token",
        "UserInfoEndpoint": "https://login.example.com/userinfo",
        "ClientId": "admin-console",
        "SessionCookieName": "AWSELBAuthSessionCookie",
        "Scope": "openid",
        "SessionTimeout": 604_800,
        "OnUnauthenticatedRequest": "authenticate",
    });
    Action {
        kind: "authenticate-oidc".to_owned(),
        order: Some(1),
        rest: BTreeMap::from([("AuthenticateOidcConfig".to_owned(), config)]),
        ..Action::default()
    }
}

fn fixed_response() -> Action {
    let config = json!({ "StatusCode": "503", "ContentType": "text/plain", "MessageBody": "back soon" });
    Action {
        kind: "fixed-response".to_owned(),
        order: Some(1),
        rest: BTreeMap::from([("FixedResponseConfig".to_owned(), config)]),
        ..Action::default()
    }
}
