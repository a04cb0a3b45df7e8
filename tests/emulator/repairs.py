"""What moto 5.2.1 is made to do otherwise before it serves.

READ THIS FIRST: every repair in this file is *our own word standing in for AWS's*. A test that rests on one of them proves that the tool agrees with our
reading of AWS's documents, not with AWS. So there is no repair here that the tests of `migrate` do not need. Nothing was compared with a real account.

Replies that the Rust SDK cannot parse, or that AWS gives and moto does not:
  1. EC2: the state of a subnet's IPv6 block is a word, not the text of a Python dictionary; an IPv6-only subnet has 0 available IPv4 addresses.
  2. ECS: healthCheckGracePeriodSeconds, deploymentConfiguration, platformVersion, createdAt, enableExecuteCommand, enableECSManagedTags,
     propagateTags, availabilityZoneRebalancing are returned as they were given.
  3. ECS: ListTasks honours serviceName and defaults to desiredStatus=RUNNING; DescribeTasks does not age tasks (player.py makes them).
  4. ELBv2: a forward to one target group is returned as TargetGroupArn *and* ForwardConfig, whichever of the two was sent.
  5. ELBv2: LoadBalancerArns of a target group is what the actions say now (moto appends once per rule and never removes).
  6. ELBv2: PageSize and Marker hold for DescribeTargetGroups and DescribeListeners too; `POST /_estate/page-size` makes pages small for everybody.
  7. ELBv2: ClientSecret and UseExistingClientSecret of an authenticate-oidc action are never returned.
  8. ELBv2: a target that nothing forwards to is `unused`; a new one is `initial` for a moment; `POST /_estate/unhealthy` makes targets unhealthy.

What AWS accepts or refuses and moto does not:
  9. CreateService with the name and the parameters of an existing service returns that service; with other parameters it is refused.
 10. CreateService without `securityGroups` is accepted (moto: HTTP 500); with a target group that no listener or rule of a load balancer
     forwards to, it is refused.
 11. UpdateService does not make tasks run by itself; a new task definition or network starts a new deployment. DeleteService drains first.
 12. CreateTargetGroup with the settings of an existing one of that name returns that one.
 13. ELBv2: an ipv6 target group in an action of an `ipv4` load balancer is refused.
 14. ELBv2: an authenticate-oidc action without ClientSecret needs UseExistingClientSecret=true and a stored secret to keep.
 15. On demand only (`POST /_estate/reject-mixed`): an action with ipv4 and ipv6 target groups is refused. Whether AWS does this is not known.
"""

import fnmatch
import time

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores, utcnow
from moto.ec2.models.subnets import Subnet
from moto.ecs.exceptions import InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend, FakeAction, FakeHealthStatus, FakeTargetGroup, elbv2_backends
from moto.elbv2.responses import ELBV2Response
from moto.moto_api._internal import mock_random
from moto.servicediscovery.models import Service as MapService
from moto.servicediscovery.models import ServiceDiscoveryBackend


class Switches:
    """What a test may ask of the estate (the routes of /_estate/)."""

    def __init__(self):
        self.page_size = 400
        self.reject_mixed = False
        self.unhealthy = {}  # pattern of target-group names -> (reason, description)
        self.failing = {}  # pattern of service names -> the reason with which its tasks stop
        self.paused = set()  # patterns of service names whose tasks neither start nor stop
        self.start_seconds = 0.1  # from PENDING to RUNNING
        self.initial_seconds = 0.1  # from registered to healthy

    @staticmethod
    def match(patterns, name):
        return next((p for p in patterns if fnmatch.fnmatchcase(name, p)), None)


SWITCHES = Switches()


def apply():
    repair_subnets()
    repair_services()
    repair_tasks()
    repair_discovery()
    repair_actions()
    repair_target_groups()
    repair_paging()


# --- EC2 ---------------------------------------------------------------------------------------------------------------------------------------


def repair_subnets():
    def associations(self):
        return [
            {
                "ipv6CidrBlock": a["ipv6CidrBlock"],
                "associationId": a["associationId"],
                "ipv6CidrBlockState": {"state": a["ipv6CidrBlockState"]["State"]},
            }
            for a in self.ipv6_cidr_block_associations.values()
            if a["ipv6CidrBlockState"]["State"] == "associated"
        ]

    counted = Subnet.available_ip_address_count.fget
    Subnet.ipv6_cidr_block_association_set = property(associations)
    Subnet.available_ip_address_count = property(lambda self: 0 if self.ipv6_native else counted(self))


# --- ECS ---------------------------------------------------------------------------------------------------------------------------------------

KEPT = (
    "healthCheckGracePeriodSeconds",
    "deploymentConfiguration",
    "platformVersion",
    "enableExecuteCommand",
    "enableECSManagedTags",
    "availabilityZoneRebalancing",
)


def start_deployment(service):
    """A new PRIMARY deployment; player.py brings it to COMPLETED or FAILED."""
    deployment = service.deployments[0] if service.deployments else {}
    deployment.update(
        id=f"ecs-svc/{mock_random.randint(10**18, 10**19)}",
        status="PRIMARY",
        taskDefinition=service.task_definition,
        networkConfiguration=service.network_configuration or None,
        desiredCount=service.desired_count,
        runningCount=0,
        pendingCount=0,
        failedTasks=0,
        rolloutState="IN_PROGRESS",
        rolloutStateReason="ECS deployment in progress.",
        createdAt=utcnow(),
        updatedAt=utcnow(),
    )
    service.deployments = [deployment]


def repair_services():
    moto_create = EC2ContainerServiceResponse.create_service
    moto_update = EC2ContainerServiceBackend.update_service
    moto_delete = EC2ContainerServiceBackend.delete_service

    def create_service(self):
        params = self._get_params()
        network = params.get("networkConfiguration", {}).get("awsvpcConfiguration")
        if network is not None:
            network.setdefault("securityGroups", [])
        wished = {k: v for k, v in params.items() if k not in ("clientToken", "cluster")}
        cluster = self.ecs_backend._get_cluster(params.get("cluster", "default"))
        existing = self.ecs_backend.services.get(f"{cluster.name}:{params['serviceName']}")
        if existing is not None and existing.status != "INACTIVE":
            if existing.status == "ACTIVE" and existing.created_from == wished:
                return ActionResult({"service": existing})
            raise InvalidParameterException("Creation of service was not idempotent.")
        for entry in params.get("loadBalancers", []):
            arn = entry.get("targetGroupArn")
            group = elbv2_backends[self.current_account][self.region].target_groups.get(arn)
            if group is None:
                raise InvalidParameterException(f"The specified target group does not exist. targetGroupArn: {arn}")
            if not group.load_balancer_arns:
                raise InvalidParameterException(
                    f"The target group with targetGroupArn {arn} does not have an associated load balancer."
                )
        result = moto_create(self)
        service = self.ecs_backend.services[f"{cluster.name}:{params['serviceName']}"]
        service.created_from = wished
        service.created_at = utcnow()
        service.created_by = f"arn:aws:iam::{self.current_account}:user/test"
        for key in KEPT:
            if key in params:
                setattr(service, camelcase_to_underscores(key), params[key])
        service.running_count = service.pending_count = 0
        start_deployment(service)
        return result

    def update_service(self, properties):
        service = self._get_service(properties.get("cluster", "default"), properties["service"].split("/")[-1])
        before = (service.running_count, service.pending_count)
        deployed = (service.task_definition, service.network_configuration, service.service_registries)
        forced = properties.get("force_new_deployment", False)
        wished = properties.get("task_definition")
        if wished:  # AWS answers with the ARN, also where the family or family:revision was sent
            properties["task_definition"] = self.describe_task_definition(wished).arn
        moto_update(self, properties)
        service.running_count, service.pending_count = before
        if forced or deployed != (service.task_definition, service.network_configuration, service.service_registries):
            start_deployment(service)
        elif service.deployments:
            service.deployments[0]["desiredCount"] = service.desired_count
        return service

    def delete_service(self, cluster_name, service_name, force):
        service = moto_delete(self, cluster_name, service_name, force)
        service.status = "DRAINING"
        service.desired_count = 0
        return service

    EC2ContainerServiceResponse.create_service = create_service
    # ECS keeps no records for services from before it had them; then a rollback is an update, and not a stop.
    EC2ContainerServiceResponse.list_service_deployments = lambda self: ActionResult({"serviceDeployments": []})
    EC2ContainerServiceBackend.update_service = update_service
    EC2ContainerServiceBackend.delete_service = delete_service


def repair_tasks():
    moto_list = EC2ContainerServiceBackend.list_tasks

    def list_tasks(self, cluster_str=None, container_instance=None, family=None, started_by=None, service_name=None, desiredStatus=None):
        tasks = moto_list(self, cluster_str, container_instance, family, started_by, None, desiredStatus or "RUNNING")
        if service_name:
            group = "service:" + service_name.split("/")[-1]
            tasks = [t for t in tasks if t.group == group]
        return tasks

    EC2ContainerServiceBackend.list_tasks = list_tasks


# --- Cloud Map ---------------------------------------------------------------------------------------------------------------------------------


class ResourceInUse(JsonRESTError):
    code = 400

    def __init__(self):
        super().__init__("ResourceInUse", "Service contains registered instances; delete the instances before deleting the service")


def repair_discovery():
    """moto counts no instances, takes every address for every record, and deletes what is in use."""
    moto_json, moto_delete = MapService.to_json, ServiceDiscoveryBackend.delete_service
    moto_register = ServiceDiscoveryBackend.register_instance

    def delete_service(self, service_id):
        if self.get_service(service_id).instances:
            raise ResourceInUse()
        moto_delete(self, service_id)

    def register_instance(self, service_id, instance_id, creator_request_id, attributes):
        config = self.get_service(service_id).dns_config or {}
        kinds = {record["Type"] for record in config.get("DnsRecords", [])}
        for kind, attribute in (("A", "AWS_INSTANCE_IPV4"), ("AAAA", "AWS_INSTANCE_IPV6")):
            if kind in kinds and attribute not in attributes:
                raise JsonRESTError("InvalidInput", f"{attribute} is required for a service with {kind} records")
        return moto_register(self, service_id, instance_id, creator_request_id, attributes)

    MapService.to_json = lambda self: {**moto_json(self), "InstanceCount": len(self.instances)}
    ServiceDiscoveryBackend.delete_service = delete_service
    ServiceDiscoveryBackend.register_instance = register_instance


# --- ELBv2 actions -----------------------------------------------------------------------------------------------------------------------------


def forwarded(action_data):
    """The target groups of an action, whichever of its two shapes it has."""
    config = action_data.get("ForwardConfig") or {}
    arns = [t["TargetGroupArn"] for t in config.get("TargetGroups", [])]
    single = action_data.get("TargetGroupArn")
    return arns or ([single] if single else [])


def echo_forward(data):
    if data.get("Type") != "forward":
        return
    arns = forwarded(data)
    if len(arns) == 1:
        data["TargetGroupArn"] = arns[0]
        data.setdefault("ForwardConfig", {"TargetGroups": [{"TargetGroupArn": arns[0]}]})


def keep_secret(data, previous):
    """authenticate-oidc: the secret comes in, is kept aside, and never comes out."""
    config = data.get("AuthenticateOidcConfig")
    if data.get("Type") != "authenticate-oidc" or config is None:
        return None
    secret = config.pop("ClientSecret", None)
    keep = str(config.pop("UseExistingClientSecret", "false")).lower() == "true"
    if keep and secret is not None:
        raise ELBClientError("ValidationError", "You cannot specify both ClientSecret and UseExistingClientSecret")
    if keep:
        secret = next((s for s in (getattr(a, "_client_secret", None) for a in previous) if s), None)
    if not secret:
        raise ELBClientError("ValidationError", "A client secret must be specified for an 'authenticate-oidc' action")
    return secret


def check_families(backend, balancer, actions):
    for action in actions:
        groups = [backend.target_groups[arn] for arn in forwarded(action) if arn in backend.target_groups]
        families = {g.ip_address_type for g in groups}
        if "ipv6" in families and balancer.ip_address_type == "ipv4":
            raise ELBClientError(
                "InvalidConfigurationRequest",
                "You cannot associate an IPv6 target group with a load balancer that has an 'ipv4' IP address type",
            )
        if SWITCHES.reject_mixed and len(families) > 1:
            raise ELBClientError(
                "InvalidConfigurationRequest",
                "You cannot specify target groups with different IP address types in the same action",
            )


def repair_actions():
    moto_action = FakeAction.__init__

    def action_init(self, data):
        echo_forward(data)
        moto_action(self, data)

    def admit(backend, listener_arn, actions, previous):
        """Checks actions before moto sees them; answers the secrets to keep, in order."""
        for balancer in backend.load_balancers.values():
            if listener_arn in balancer.listeners or listener_arn == balancer.arn:
                check_families(backend, balancer, actions)
        return [keep_secret(a, previous) for a in actions]

    def remember(actions, secrets):
        for action, secret in zip(actions, secrets):
            action._client_secret = secret

    moto_create_rule, moto_modify_rule = ELBv2Backend.create_rule, ELBv2Backend.modify_rule
    moto_create_listener, moto_modify_listener = ELBv2Backend.create_listener, ELBv2Backend.modify_listener

    def create_rule(self, listener_arn, conditions, priority, actions, tags=None):
        secrets = admit(self, listener_arn, actions, [])
        rule = moto_create_rule(self, listener_arn, conditions, priority, actions, tags)
        remember(rule.actions, secrets)
        return rule

    def modify_rule(self, rule_arn, conditions, actions):
        rule = self.describe_rules(None, [rule_arn])[0]
        secrets = admit(self, rule.listener_arn, actions, rule.actions)
        rule = moto_modify_rule(self, rule_arn, conditions, actions)
        if actions:
            remember(rule.actions, secrets)
        return rule

    def create_listener(self, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, *rest, **named):
        secrets = admit(self, load_balancer_arn, actions, [])
        listener = moto_create_listener(self, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, *rest, **named)
        remember(listener.default_actions, secrets)
        return listener

    def modify_listener(self, arn, port=None, protocol=None, ssl_policy=None, certificates=None, actions=None):
        listener = self.describe_listeners(None, [arn])[0]
        secrets = admit(self, arn, actions or [], listener.default_actions)
        listener = moto_modify_listener(self, arn, port, protocol, ssl_policy, certificates, actions or [])
        if actions:
            remember(listener.default_actions, secrets)
        return listener

    FakeAction.__init__ = action_init
    ELBv2Backend.create_rule, ELBv2Backend.modify_rule = create_rule, modify_rule
    ELBv2Backend.create_listener, ELBv2Backend.modify_listener = create_listener, modify_listener
    # moto's own looks at TargetGroupArn first, which a forward to one group now always has.
    ELBv2Backend._get_target_group_arns_from = lambda self, action_data: forwarded(action_data)


# --- ELBv2 target groups -----------------------------------------------------------------------------------------------------------------------


def load_balancers_of(group):
    backend = elbv2_backends[group.account_id][group.region_name]
    return [
        balancer.arn
        for balancer in backend.load_balancers.values()
        if any(
            group.arn in forwarded(action.data)
            for listener in balancer.listeners.values()
            for rule in listener.rules.values()
            for action in rule.actions
        )
    ]


def repair_target_groups():
    moto_create, moto_register, moto_health = ELBv2Backend.create_target_group, FakeTargetGroup.register, FakeTargetGroup.health_for

    def create_target_group(self, name, **settings):
        wished = {k: v for k, v in settings.items() if k != "tags"}
        for group in self.target_groups.values():
            if group.name == name and group.created_from == wished:
                return group
        group = moto_create(self, name, **settings)
        group.created_from = wished
        return group

    def register(self, targets):
        moto_register(self, targets)
        for target in targets:
            self.targets[target["Id"]]["since"] = time.monotonic()

    def health_for(self, target, ec2_backend):
        status = moto_health(self, target, ec2_backend)
        if status.status != "healthy":
            return status
        known = self.targets[target["Id"]]
        pattern = SWITCHES.match(SWITCHES.unhealthy, self.name)
        if not self.load_balancer_arns:
            worse = ("unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")
        elif pattern is not None:
            worse = ("unhealthy", *SWITCHES.unhealthy[pattern])
        elif time.monotonic() - known.get("since", 0) < SWITCHES.initial_seconds:
            worse = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
        else:
            return status
        return FakeHealthStatus(status.instance_id, status.port, status.health_check_port, *worse)

    FakeTargetGroup.load_balancer_arns = property(load_balancers_of, lambda self, value: None)
    FakeTargetGroup.register, FakeTargetGroup.health_for = register, health_for
    ELBv2Backend.create_target_group = create_target_group


def repair_paging():
    def paged(action, key, identity):
        moto_describe = getattr(ELBV2Response, action)

        def describe(self):
            result = moto_describe(self).result
            everything = list(result[key])
            size = min(self._get_int_param("PageSize", SWITCHES.page_size), SWITCHES.page_size)
            marker = self._get_param("Marker")
            start = [identity(x) for x in everything].index(marker) + 1 if marker else 0
            page = everything[start : start + size]
            result[key] = page
            result["NextMarker"] = identity(page[-1]) if page and len(everything) > start + size else None
            return ActionResult(result)

        setattr(ELBV2Response, action, describe)

    def describe_rules(self):
        rules = self.elbv2_backend.describe_rules(self._get_param("ListenerArn"), self._get_param("RuleArns"))
        return ActionResult({"Rules": rules})

    ELBV2Response.describe_rules = describe_rules
    paged("describe_rules", "Rules", lambda x: x.arn)
    paged("describe_target_groups", "TargetGroups", lambda x: x.arn)
    paged("describe_listeners", "Listeners", lambda x: x.arn)
