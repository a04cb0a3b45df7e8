//! Rules about the task definition: what in it cannot live without IPv4.

use crate::finding::Finding;
use crate::inventory::image::{Registry, registry};
use crate::inventory::{Container, Inventory, TaskDefinition};
use crate::playbook::Playbook;

pub(super) fn findings(playbook: &Playbook, inventory: &Inventory) -> Vec<Finding> {
    let definition = &inventory.task_definition;
    let mut findings: Vec<Finding> =
        [network_mode(definition), operating_system(definition), volumes(definition)].into_iter().flatten().collect();
    for container in &definition.containers {
        let image = playbook.green.task.images.get(&container.name).unwrap_or(&container.image);
        let rules = [
            foreign_image(container, image),
            literals(container),
            prefers_ipv4(container),
            health_check(container),
            dns_servers(container),
            log_endpoint(container),
            log_driver(container),
        ];
        findings.extend(rules.into_iter().flatten());
    }
    findings.extend(unknown_containers(playbook, definition));
    findings
}

fn network_mode(definition: &TaskDefinition) -> Option<Finding> {
    let mode = definition.network_mode.as_deref().unwrap_or("bridge");
    (mode != "awsvpc").then(|| {
        Finding::block("network-mode", format!("the task definition's network mode is {mode}"))
            .remedy("green needs subnets of its own, and so the network mode awsvpc; this version clones no other")
    })
}

fn operating_system(definition: &TaskDefinition) -> Option<Finding> {
    let family = definition.os_family.as_deref().filter(|f| f.to_uppercase().contains("WINDOWS"))?;
    Some(
        Finding::block("windows", format!("the task definition is for {family}"))
            .remedy("ECS has no IPv6-only mode for Windows containers"),
    )
}

fn volumes(definition: &TaskDefinition) -> Option<Finding> {
    (!definition.network_volumes.is_empty()).then(|| {
        Finding::warn("network-volumes", "the task mounts network file systems")
            .evidence(definition.network_volumes.join(", "))
            .remedy("each needs a mount target with an IPv6 address (EFS: type DUAL_STACK) in every zone of green's subnets")
    })
}

fn foreign_image(container: &Container, image: &str) -> Option<Finding> {
    let host = match registry(image) {
        Registry::Ecr | Registry::EcrPublic | Registry::DualStack => return None,
        Registry::Other(host) => host,
    };
    Some(
        Finding::warn("image-registry", format!("container `{}` pulls its image from {host}", container.name))
            .evidence(image.to_owned())
            .remedy(format!(
                "if {host} has no IPv6 address, copy the image to ECR and name it in `green.task.images`, or route 64:ff9b::/96 to a NAT gateway"
            )),
    )
}

/// The IPv4 literals in a text that are not loopback, link-local or "any".
fn ipv4_literals(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .filter_map(|word| word.trim_matches('.').parse::<std::net::Ipv4Addr>().ok())
        .filter(|a| !a.is_loopback() && !a.is_link_local() && !a.is_unspecified() && a.octets()[0] != 0)
        .map(|a| a.to_string())
        .collect()
}

fn literals(container: &Container) -> Option<Finding> {
    let mut seen = Vec::new();
    for (key, value) in &container.environment {
        seen.extend(ipv4_literals(value).into_iter().map(|a| format!("environment {key}: {a}")));
    }
    for word in container.command.iter().chain(&container.entry_point) {
        seen.extend(ipv4_literals(word).into_iter().map(|a| format!("command: {a}")));
    }
    for host in &container.extra_hosts {
        seen.extend(ipv4_literals(host).into_iter().map(|_| format!("extra host {host}")));
    }
    let mut finding = Finding::warn("ipv4-literal", format!("container `{}` is given IPv4 addresses", container.name))
        .remedy("use names that have AAAA records; NAT64 does not help literals");
    if seen.is_empty() {
        return None;
    }
    finding.evidence = seen;
    Some(finding)
}

fn prefers_ipv4(container: &Container) -> Option<Finding> {
    let mut words = container.environment.values().chain(&container.command).chain(&container.entry_point);
    let word = words.find(|w| w.contains("preferIPv4Stack=true") || w.contains("0.0.0.0:"))?;
    Some(
        Finding::warn("binds-ipv4-only", format!("container `{}` is told to use IPv4 only", container.name))
            .evidence(word.clone())
            .remedy("listen on [::], and drop -Djava.net.preferIPv4Stack=true; `green.task.environment` can replace a variable"),
    )
}

fn health_check(container: &Container) -> Option<Finding> {
    let check = container.health_check.iter().find(|w| w.contains("127.0.0.1"))?;
    Some(
        Finding::warn(
            "health-check-ipv4",
            format!("the health check of container `{}` asks 127.0.0.1", container.name),
        )
        .evidence(check.clone())
        .remedy("ask localhost: this check passes while the program does not listen on IPv6 at all"),
    )
}

fn dns_servers(container: &Container) -> Option<Finding> {
    let ipv4 = container.dns_servers.iter().find(|s| s.parse::<std::net::Ipv4Addr>().is_ok())?;
    Some(
        Finding::block("dns-server-ipv4", format!("container `{}` asks the DNS server {ipv4}", container.name)).remedy(
            "an IPv6-only task cannot reach it: remove `dnsServers` from the task definition, or use IPv6 addresses",
        ),
    )
}

fn log_endpoint(container: &Container) -> Option<Finding> {
    let endpoint = container.log_options.get("awslogs-endpoint").filter(|e| !e.contains(".api.aws"))?;
    Some(
        Finding::warn("log-endpoint", format!("the logs of container `{}` go to {endpoint}", container.name))
            .remedy("that endpoint must have an IPv6 address: use logs.<region>.api.aws, or drop the option"),
    )
}

fn log_driver(container: &Container) -> Option<Finding> {
    let driver = container.log_driver.as_deref().filter(|d| ["splunk", "fluentd", "gelf", "syslog"].contains(d))?;
    Some(
        Finding::warn("log-driver", format!("the logs of container `{}` go through {driver}", container.name))
            .remedy("make sure that its endpoint has an IPv6 address"),
    )
}

fn unknown_containers(playbook: &Playbook, definition: &TaskDefinition) -> Vec<Finding> {
    let known: Vec<&str> = definition.containers.iter().map(|c| c.name.as_str()).collect();
    let stranger = |name: &&String| !known.contains(&name.as_str());
    playbook
        .green
        .task
        .images
        .keys()
        .filter(stranger)
        .map(|name| {
            Finding::block("container-not-found", format!("`green.task.images` names the container `{name}`"))
                .evidence(format!("the task definition has {}", known.join(", ")))
                .remedy("name a container of the task definition")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::ipv4_literals;

    #[test]
    fn literals_that_matter() {
        assert_eq!(ipv4_literals("http://10.1.2.3:80/x"), ["10.1.2.3"]);
        assert!(ipv4_literals("http://169.254.170.2/ 127.0.0.1 0.0.0.0:80 1.2.3 v1.2.3.4.5").is_empty());
    }
}
