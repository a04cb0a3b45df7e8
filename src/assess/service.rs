//! Rules about the ECS service, its platform, its auto scaling and the alarms that guard it.

use crate::finding::Finding;
use crate::inventory::{Inventory, Service};
use crate::playbook::{Playbook, Shift};

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let service = &inventory.service;
    let rules = [
        active(service),
        stable(service),
        managed(service),
        controller(service),
        strategy(service).filter(|_| !matches!(playbook.shift, Shift::InPlace(_))),
        daemon(service),
        windows(service),
        platform_version(service),
        service_connect(playbook, service),
        registries(playbook, service),
        classic(service),
        left_behind(playbook, inventory),
        exec(playbook, service),
        subnets(playbook, service),
        subnets_unseen(playbook),
        green_name(playbook, inventory),
        code_owned(service),
        scaling(playbook, inventory),
        step_scaling(playbook, inventory),
    ];
    rules.into_iter().flatten().chain(alarms(playbook, inventory)).collect()
}

fn active(service: &Service) -> Option<Finding> {
    (service.status != "ACTIVE").then(|| {
        Finding::block("service-not-active", format!("the service is {}", service.status))
            .remedy("only an ACTIVE service can be migrated")
    })
}

fn stable(service: &Service) -> Option<Finding> {
    let rolling = service.deployments.iter().find(|d| d.rollout.as_deref().is_some_and(|r| r != "COMPLETED"));
    let (running, desired) = (service.running_count, service.desired_count);
    if service.deployments.len() <= 1 && rolling.is_none() && running == desired && desired > 0 {
        return None;
    }
    let mut finding = Finding::block("service-not-stable", "the service is not stable now")
        .evidence(format!("{running} of {desired} tasks run in {} deployments", service.deployments.len()))
        .remedy("wait until its deployment is complete and every desired task runs (at least one), then try again");
    if let Some(rollout) = rolling {
        let state = rollout.rollout.as_deref().unwrap_or("unknown");
        finding = finding.evidence(format!("deployment {} is {state}", rollout.id));
    }
    Some(finding)
}

fn managed(service: &Service) -> Option<Finding> {
    (service.managed_by.as_deref() == Some("ECS")).then(|| {
        Finding::block("service-managed-by-ecs", "the service is managed by ECS itself (Express mode)")
            .remedy("migrate it to a service that you manage first")
    })
}

fn controller(service: &Service) -> Option<Finding> {
    let controller = service.controller.as_deref().filter(|c| *c != "ECS")?;
    Some(
        Finding::block("deployment-controller", format!("the service is deployed by {controller}"))
            .evidence("its networking and load balancers cannot be cloned: they live in task sets")
            .remedy("move the service to the ECS deployment controller first"),
    )
}

fn strategy(service: &Service) -> Option<Finding> {
    let native = service.load_balancers.iter().any(|l| l.advanced);
    let strategy = service.strategy.as_deref().filter(|s| *s != "ROLLING");
    if strategy.is_none() && !native {
        return None;
    }
    Some(
        Finding::warn(
            "native-blue-green",
            format!("the service uses ECS's own {} deployments", strategy.unwrap_or("blue/green")),
        )
        .evidence("ECS rewrites the weights of the production rule during a deployment of blue")
        .remedy("do not deploy blue while the run is open; green is created with rolling deployments"),
    )
}

fn daemon(service: &Service) -> Option<Finding> {
    (service.scheduling.as_deref() == Some("DAEMON")).then(|| {
        Finding::block("daemon-service", "the service runs one task on every instance (DAEMON)")
            .remedy("a daemon's clone would land on the same instances; give it instances in IPv6-only subnets and migrate them as a whole")
    })
}

fn windows(service: &Service) -> Option<Finding> {
    let family = service.platform_family.as_deref().filter(|f| f.to_uppercase().contains("WINDOWS"))?;
    Some(
        Finding::block("windows", format!("the service runs on {family}"))
            .remedy("ECS has no IPv6-only mode for Windows containers"),
    )
}

fn platform_version(service: &Service) -> Option<Finding> {
    let version = service.platform_version.as_deref()?;
    let old = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"].contains(&version);
    old.then(|| {
        Finding::block("platform-version", format!("the service runs on Fargate platform version {version}"))
            .remedy("IPv6-only tasks need 1.4.0 or later: update the service to LATEST first")
    })
}

/// What an update in place makes of it is said in `in_place`.
fn service_connect(playbook: &Playbook, service: &Service) -> Option<Finding> {
    let in_place = matches!(playbook.shift, Shift::InPlace(_));
    (service.publishes_service_connect && !in_place).then(|| {
        let remedy = match service.load_balancers.is_empty() {
            true => "update the service at once: `shift: { in_place: {} }`",
            false => "unpublish the endpoints, or move their clients to the load balancer first; only a service without a load balancer can be updated in place, names and all",
        };
        Finding::block("service-connect", "the service publishes endpoints through Service Connect")
            .evidence("discovery names and client aliases are unique in a namespace, so a parallel service cannot have them")
            .remedy(remedy)
    })
}

fn registries(playbook: &Playbook, service: &Service) -> Option<Finding> {
    let in_place = matches!(playbook.shift, Shift::InPlace(_));
    (!service.registries.is_empty() && !in_place).then(|| {
        Finding::warn("service-discovery", "the service is registered in Cloud Map")
            .evidence(service.registries.iter().map(|r| r.arn.as_str()).collect::<Vec<_>>().join(", "))
            .remedy("green is not registered: clients that find the service through Cloud Map keep talking to blue, so move them to the load balancer before `migrate finish`")
    })
}

fn classic(service: &Service) -> Option<Finding> {
    let classic = service.load_balancers.iter().find(|l| l.target_group.is_none())?;
    Some(
        Finding::block("classic-load-balancer", "the service is behind a Classic Load Balancer")
            .evidence(format!("container {}, port {}", classic.container, classic.port))
            .remedy("tasks with addresses of their own cannot be behind one: move the service to an Application or Network Load Balancer first"),
    )
}

fn left_behind(playbook: &Playbook, inventory: &Inventory) -> Option<Finding> {
    if matches!(playbook.shift, Shift::InPlace(_)) {
        return None;
    }
    let left = inventory.left_behind();
    (!left.is_empty()).then(|| {
        Finding::warn("target-groups-left-behind", format!("{} of the service's target groups do not move", left.len()))
            .evidence(left.join(", "))
            .remedy("green does not serve them, and `migrate finish` leaves blue running for them; drop `service.container` and `service.target_groups` to move all together")
    })
}

fn exec(playbook: &Playbook, service: &Service) -> Option<Finding> {
    let remedy = match at_once(playbook) {
        true => "the update switches it off, a rollback on again; have another way to look into the tasks",
        false => "green is created without it; have another way to look into its tasks",
    };
    service.execute_command.then(|| {
        Finding::warn("ecs-exec", "ECS Exec is enabled, and does not work in IPv6-only subnets").remedy(remedy)
    })
}

fn subnets(playbook: &Playbook, service: &Service) -> Option<Finding> {
    let shared: Vec<&String> = playbook.green.network.subnets.iter().filter(|s| service.subnets.contains(s)).collect();
    let first = shared.first()?;
    Some(
        Finding::block("subnet-of-blue", format!("{first} is a subnet of blue"))
            .evidence(format!("blue runs in {}", service.subnets.join(", ")))
            .remedy("name IPv6-only subnets in `green.network.subnets`; blue's are dual-stack"),
    )
}

fn subnets_unseen(playbook: &Playbook) -> Option<Finding> {
    let subnets = playbook.green.network.subnets.join(", ");
    Some(
        Finding::info("subnets-not-checked", "whether green's subnets exist and are IPv6-only is not looked up")
            .evidence(format!("{subnets}: each needs a ::/0 route to an egress-only or internet gateway, and a zone of the load balancer"))
            .remedy("ECS refuses a wrong subnet at `migrate start`, which then removes what it created"),
    )
}

fn green_name(playbook: &Playbook, inventory: &Inventory) -> Option<Finding> {
    // An update in place creates no second service.
    let green = inventory.green_service.as_ref().filter(|_| !at_once(playbook))?;
    if green.status == "DRAINING" {
        return Some(
            Finding::block("green-draining", format!("a service `{}` has been deleted, and still drains", green.name))
                .evidence(green.arn.clone())
                .remedy("try again in a few minutes: its name is free when its last task has stopped"),
        );
    }
    if green.tags.get("migrate:run") == Some(&playbook.name) {
        return Some(
            Finding::block("green-left-over", format!("the service `{}` is left over from an earlier run", green.name))
                .evidence(green.arn.clone())
                .remedy(format!("`migrate rollback {} --remove-green` removes what that run created", playbook.name)),
        );
    }
    Some(
        Finding::block("green-name-taken", format!("there is already a service `{}` in the cluster", green.name))
            .evidence(green.arn.clone())
            .remedy("choose another name in `green.name`"),
    )
}

fn code_owned(service: &Service) -> Option<Finding> {
    let stack = service.tags.get("aws:cloudformation:stack-name")?;
    Some(
        Finding::warn("owned-by-cloudformation", format!("the service belongs to the CloudFormation stack `{stack}`"))
            .remedy("do not deploy the stack while the run is open: it would put weights and counts back"),
    )
}

/// Whether the service itself is updated, and no second one is created.
fn at_once(playbook: &Playbook) -> bool {
    matches!(&playbook.shift, Shift::InPlace(in_place) if !in_place.staged)
}

fn scaling(playbook: &Playbook, inventory: &Inventory) -> Option<Finding> {
    let scaling = inventory.scaling.as_ref()?;
    if at_once(playbook) {
        return Some(
            Finding::info("auto-scaling", "the service has auto scaling, and keeps it")
                .evidence(format!("{} to {} tasks", scaling.min, scaling.max))
                .remedy("it takes no tasks away during the run; `migrate finish` or a rollback lets it again"),
        );
    }
    let by = if scaling.policies.is_empty() { "no policy".to_owned() } else { scaling.policies.join(", ") };
    Some(
        Finding::info("auto-scaling", "blue has auto scaling, and green gets a copy")
            .evidence(format!("{} to {} tasks by {by}", scaling.min, scaling.max))
            .remedy("neither shrinks during the run; a rollback gives blue its scaling back, `migrate finish` lets green's go"),
    )
}

fn step_scaling(playbook: &Playbook, inventory: &Inventory) -> Option<Finding> {
    if at_once(playbook) {
        return None;
    }
    let steps = inventory.scaling.as_ref()?.step_policies();
    (!steps.is_empty()).then(|| {
        Finding::warn("step-scaling", "green gets no copy of blue's step scaling policies")
            .evidence(steps.join(", "))
            .remedy("CloudWatch alarms of your own drive them: once `migrate start` is done, put policies like them on green, with alarms on green's metrics, so that green can grow too")
    })
}

fn alarms(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let state = |name: &String| inventory.alarms.iter().find(|a| a.name == *name);
    playbook
        .health
        .alarms
        .iter()
        .filter_map(|name| match state(name) {
            None => Some(
                Finding::block("alarm-not-found", format!("there is no alarm `{name}`"))
                    .remedy("check the name, region and account, or take it out of `health.alarms`"),
            ),
            Some(alarm) if alarm.state == "ALARM" => Some(
                Finding::block("alarm-already-red", format!("the alarm `{name}` is in ALARM already"))
                    .evidence(alarm.reason.clone())
                    .remedy("mend what it warns of first: it would condemn green at once"),
            ),
            Some(_) => None,
        })
        .collect()
}
