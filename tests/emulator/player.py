"""Plays ECS: a thread that does what the service scheduler does, as far as the tests need it.

moto's services start no tasks. Here, for each service, tasks are started and stopped until as many run as are desired; each has the addresses that its
subnet gives (IPv6 only in an IPv6-only subnet); running tasks are registered with the service's target groups and Cloud Map services, and stopped ones
deregistered; and the
counts, the rollout state and the events that DescribeServices reports follow. Like repairs.py this is our own word standing in for AWS's.
"""

import ipaddress
import math
import threading
import time
import uuid

from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ecs.models import Task, ecs_backends
from moto.elbv2.models import elbv2_backends
from moto.servicediscovery.models import servicediscovery_backends

from repairs import SWITCHES

TICK_SECONDS = 0.05
STOPPED_KEPT = 20


class PlayedTask(Task):
    """A task of a service. It does not age when it is described, unlike moto's."""

    __module__ = "moto.ecs.models"  # moto's metaclass reads the service from here
    last_status = None  # shadows the property of moto's state machine

    def __init__(self, backend, cluster, service, definition, subnet, addresses):
        self.id = uuid.uuid4().hex
        self.cluster_name, self.cluster_arn = cluster.name, cluster.arn
        self.region_name, self._account_id, self._backend = cluster.region_name, backend.account_id, backend
        self.container_instance_arn = None
        self.task_definition_arn = definition.arn
        self.deployment_id = service.deployments[0]["id"]
        self.started_by = self.deployment_id
        self.group = f"service:{service.name}"
        self.launch_type = service.launch_type
        self.platform_version = service.platform_version
        self.last_status, self.desired_status = "PENDING", "RUNNING"
        self.health_status, self.connectivity = "UNKNOWN", "CONNECTED"
        self.created_at = utcnow()
        self.overrides, self.tags, self.resource_requirements = {}, [], {}
        self.subnet, self.addresses = subnet, addresses
        self.due = time.monotonic() + SWITCHES.start_seconds
        attachment = str(uuid.uuid4())
        details = [{"name": "subnetId", "value": subnet.id}]
        names = {"ipv4": "privateIPv4Address", "ipv6": "ipv6Address"}
        details += [{"name": names[family], "value": address} for family, address in addresses.items()]
        self.attachments = [{"id": attachment, "type": "ElasticNetworkInterface", "status": "ATTACHED", "details": details}]
        interface = {"attachmentId": attachment}
        interface.update({{"ipv4": "privateIpv4Address", "ipv6": "ipv6Address"}[f]: a for f, a in addresses.items()})
        self.containers = [
            {
                "containerArn": f"{self.task_arn.replace(':task/', ':container/')}/{uuid.uuid4()}",
                "taskArn": self.task_arn,
                "name": container["name"],
                "image": container["image"],
                "lastStatus": "PENDING",
                "networkInterfaces": [interface],
                "healthStatus": "UNKNOWN",
            }
            for container in definition.container_definitions
        ]

    def advance(self):
        pass

    def become(self, status):
        self.last_status = status
        for container in self.containers:
            container["lastStatus"] = status


class Player(threading.Thread):
    """One pass over all services every TICK_SECONDS, under the lock that the server's requests take too."""

    def __init__(self, lock):
        super().__init__(daemon=True)
        self.lock = lock
        self.next_host = 100

    def run(self):
        while True:
            with self.lock:
                for account in list(ecs_backends.values()):
                    for backend in list(account.values()):
                        for service in list(backend.services.values()):
                            self.play(backend, service)
            time.sleep(TICK_SECONDS)

    def play(self, backend, service):
        if service.status == "INACTIVE" or not service.deployments or SWITCHES.match(SWITCHES.paused, service.name):
            return
        cluster = backend.clusters[service.cluster_name]
        pool = backend.tasks.setdefault(cluster.name, {})
        mine = [t for t in pool.values() if isinstance(t, PlayedTask) and t.group == f"service:{service.name}"]
        live = [t for t in mine if t.last_status != "STOPPED"]
        primary = service.deployments[0]
        current = [t for t in live if t.deployment_id == primary["id"]]
        for task in current:
            self.bring_up(service, primary, task)
        current = [t for t in current if t.last_status != "STOPPED"]
        self.to_desired(backend, cluster, service, primary, current, pool)
        running = [t for t in current if t.last_status == "RUNNING"]
        outgoing = [t for t in live if t.deployment_id != primary["id"]]
        if len(running) >= service.desired_count:
            for task in outgoing:
                self.stop(service, task, "ServiceSchedulerInitiated", "Scaling activity initiated by deployment")
        mine = [t for t in pool.values() if isinstance(t, PlayedTask) and t.group == f"service:{service.name}"]
        self.report(service, primary, [t for t in mine if t.last_status != "STOPPED"])
        for old in [t for t in mine if t.last_status == "STOPPED"][:-STOPPED_KEPT]:
            pool.pop(old.task_arn, None)

    def bring_up(self, service, primary, task):
        if task.last_status != "PENDING" or time.monotonic() < task.due:
            return
        family = task.task_definition_arn.split("/")[-1].split(":")[0]
        failing = SWITCHES.match(SWITCHES.failing, service.name) or SWITCHES.match(SWITCHES.failing, family)
        if failing is not None:
            reason = SWITCHES.failing[failing]
            primary["failedTasks"] += 1
            self.stop(service, task, "TaskFailedToStart", reason)
            self.say(service, f"(service {service.name}) was unable to start a task: {reason}")
            return
        task.become("RUNNING")
        task.started_at = utcnow()
        for group, target in self.targets(service, task):
            group.register([target])
        self.enlist(service, task)
        self.say(service, f"(service {service.name}) registered 1 targets")

    def to_desired(self, backend, cluster, service, primary, current, pool):
        breaker = (getattr(service, "deployment_configuration", None) or {}).get("deploymentCircuitBreaker") or {}
        if breaker.get("enable") and primary["failedTasks"] >= max(3, math.ceil(service.desired_count / 2)):
            if primary["rolloutState"] != "FAILED":
                primary["rolloutState"] = "FAILED"
                primary["rolloutStateReason"] = "ECS deployment circuit breaker: tasks failed to start."
            return
        definition = backend.describe_task_definition(service.task_definition)
        while len(current) < service.desired_count:
            task = self.new_task(backend, cluster, service, definition, len(current))
            pool[task.task_arn] = task
            current.append(task)
        while len(current) > service.desired_count:
            self.stop(service, current.pop(), "ServiceSchedulerInitiated", "Scaling activity initiated by service scheduler")

    def new_task(self, backend, cluster, service, definition, ordinal):
        subnets = service.network_configuration["awsvpcConfiguration"]["subnets"]
        subnet = ec2_backends[backend.account_id][cluster.region_name].get_subnet(subnets[ordinal % len(subnets)])
        self.next_host += 1
        addresses = {}
        if not subnet.ipv6_native:
            addresses["ipv4"] = str(ipaddress.ip_network(subnet.cidr_block)[self.next_host % 200 + 10])
        for block in subnet.ipv6_cidr_block_associations.values():
            addresses["ipv6"] = str(ipaddress.ip_network(block["ipv6CidrBlock"])[0xACE0000 + self.next_host])
        return PlayedTask(backend, cluster, service, definition, subnet, addresses)

    def targets(self, service, task):
        groups = elbv2_backends[service._account_id][service.region_name].target_groups
        for entry in service.load_balancers:
            group = groups.get(entry.get("targetGroupArn"))
            if group is not None and group.ip_address_type in task.addresses:
                yield group, {"Id": task.addresses[group.ip_address_type], "Port": entry["containerPort"]}

    def enlist(self, service, task):
        """Registers a task in the Cloud Map services that its service has now; it stays in these until it stops."""
        backend = servicediscovery_backends[service._account_id][service.region_name]
        attributes = {f"AWS_INSTANCE_{family.upper()}": address for family, address in task.addresses.items()}
        for entry in service.service_registries:
            registry = entry["registryArn"].split("/")[-1]
            port = entry.get("containerPort") or entry.get("port")
            backend.register_instance(registry, task.id, "", attributes | ({"AWS_INSTANCE_PORT": str(port)} if port else {}))
            task.enlisted = [*getattr(task, "enlisted", []), registry]

    def stop(self, service, task, code, reason):
        if task.last_status == "RUNNING":
            backend = servicediscovery_backends[service._account_id][service.region_name]
            for registry in getattr(task, "enlisted", []):
                backend.deregister_instance(registry, task.id)
            task.enlisted = []
            for group, target in self.targets(service, task):
                if target["Id"] in group.targets:
                    group.deregister([target])
        task.become("STOPPED")
        task.desired_status = "STOPPED"
        task.stop_code, task.stopped_reason, task.stopped_at = code, reason, utcnow()

    def say(self, service, message):
        service.events.insert(0, {"id": str(uuid.uuid4()), "createdAt": utcnow(), "message": message})
        del service.events[100:]

    def report(self, service, primary, live):
        service.running_count = sum(1 for t in live if t.last_status == "RUNNING")
        service.pending_count = sum(1 for t in live if t.last_status == "PENDING")
        newest = [t for t in live if t.deployment_id == primary["id"]]
        primary["runningCount"] = sum(1 for t in newest if t.last_status == "RUNNING")
        primary["pendingCount"] = sum(1 for t in newest if t.last_status == "PENDING")
        primary["desiredCount"] = service.desired_count
        settled = primary["runningCount"] == service.running_count == service.desired_count and service.pending_count == 0
        if settled and primary["rolloutState"] == "IN_PROGRESS":
            primary["rolloutState"] = "COMPLETED"
            primary["rolloutStateReason"] = f"ECS deployment {primary['id']} completed."
            primary["updatedAt"] = utcnow()
            self.say(service, f"(service {service.name}) has reached a steady state.")
        if service.status == "DRAINING" and not live:
            service.status = "INACTIVE"
