"""Seeds an estate to migrate, and its metrics and alarms, through boto3: nothing here is the tool's own code.

  estate.py seed    [--rules N] [--desired N] [--sticky] [--ip-type ipv4] [--copyable] [--zone N] [--discovered A]    prints the identifiers of everything as JSON
  estate.py metrics --load-balancer D [--blue D] [--green D] [--blue-errors R] [--green-errors R] [--green-latency S] [--from MIN] [--to MIN]
  estate.py zones   --load-balancer D [--group D] --zone NAME --zone NAME         blue's past by availability zone, failures in one zone at a time
  estate.py revise  --load-balancer D --group D --minute T --requests N         so many requests more in a minute that was published before
  estate.py alarm   --name N [--state ALARM] [--composite CHILD]
  estate.py foreign --rule ARN --group ARN --weight W                          somebody else changes one weight of a rule

The endpoints come from AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_CLOUDWATCH and AWS_ENDPOINT_URL_ROUTE_53, as for every AWS client.
"""

import argparse
import datetime
import json
import time

import boto3
from botocore.config import Config

# moto does not look inside; an IAM certificate needs no second service.
CERTIFICATE = "arn:aws:iam::123456789012:server-certificate/web"
ACCOUNT = "123456789012"


def seed(options):
    network = seed_network()
    balancer = seed_network_balancer(network) if options.network else seed_balancer(network, options)
    service = seed_service(network, balancer, options)
    zone = seed_zone(balancer["load_balancer"], options.zone) if options.zone else {}
    discovered = seed_discovered(network, options.discovered) if options.discovered else {}
    print(json.dumps({**network, **balancer, **service, **zone, **discovered}))


def seed_network():
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": True}})
    block = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    prefix = block.removesuffix("00::/56")

    def subnet(number, zone, dual):
        shape = {"CidrBlock": f"10.0.{number}.0/24"} if dual else {"Ipv6Native": True}
        made = ec2.create_subnet(VpcId=vpc, AvailabilityZone=zone, Ipv6CidrBlock=f"{prefix}{number:02x}::/64", **shape)
        return made["Subnet"]["SubnetId"]

    dual = [subnet(1, "us-east-1a", True), subnet(2, "us-east-1b", True)]
    ipv6_only = [subnet(16, "us-east-1a", False), subnet(17, "us-east-1b", False)]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    return {"vpc": vpc, "dual_subnets": dual, "ipv6_subnets": ipv6_only, "security_group": group}


def target_group(elb, name, vpc, tags=()):
    return elb.create_target_group(
        Name=name,
        Protocol="HTTP",
        ProtocolVersion="HTTP1",
        Port=8080,
        VpcId=vpc,
        TargetType="ip",
        IpAddressType="ipv4",
        HealthCheckPath="/healthz",
        HealthCheckIntervalSeconds=15,
        HealthCheckTimeoutSeconds=4,
        HealthyThresholdCount=3,
        UnhealthyThresholdCount=4,
        Matcher={"HttpCode": "200-204"},
        Tags=[{"Key": k, "Value": v} for k, v in tags] or [{"Key": "made-by", "Value": "estate"}],
    )["TargetGroups"][0]["TargetGroupArn"]


def seed_balancer(network, options):
    elb = boto3.client("elbv2")
    balancer = elb.create_load_balancer(
        Name="web",
        Subnets=network["dual_subnets"],
        SecurityGroups=[network["security_group"]],
        Scheme="internet-facing",
        Type="application",
        IpAddressType=options.ip_type,
    )["LoadBalancers"][0]["LoadBalancerArn"]
    blue = target_group(elb, "web-blue", network["vpc"], [("team", "shop"), ("cost-centre", "42")])
    third = target_group(elb, "web-legacy", network["vpc"])
    other = target_group(elb, "other", network["vpc"])
    attributes = {"deregistration_delay.timeout_seconds": "45", "load_balancing.algorithm.type": "least_outstanding_requests"}
    if options.sticky:
        attributes |= {"stickiness.enabled": "true", "stickiness.type": "lb_cookie", "stickiness.lb_cookie.duration_seconds": "600"}
    elb.modify_target_group_attributes(TargetGroupArn=blue, Attributes=[{"Key": k, "Value": v} for k, v in attributes.items()])
    listener = elb.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": CERTIFICATE}],
        SslPolicy="ELBSecurityPolicy-2016-08",
        DefaultActions=[{"Type": "forward", "TargetGroupArn": blue}],
    )["Listeners"][0]["ListenerArn"]
    if options.copyable:
        rules = seed_copyable(elb, balancer, listener, blue)
    else:
        rules = seed_rules(elb, listener, blue, third, other, options.rules)
    return {
        "load_balancer": balancer,
        "listener": listener,
        "blue_group": blue,
        "third_group": third,
        "other_group": other,
        "load_balancer_dimension": balancer.split(":loadbalancer/")[1],
        "blue_dimension": blue.rsplit(":", 1)[1],
        **rules,
    }


def seed_network_balancer(network):
    """Two listeners without rules; moto says `app` in its ARNs and validates no families."""
    elb = boto3.client("elbv2")
    balancer = elb.create_load_balancer(
        Name="web", Subnets=network["dual_subnets"], Scheme="internet-facing", Type="network", IpAddressType="dualstack"
    )["LoadBalancers"][0]["LoadBalancerArn"]
    blue = elb.create_target_group(
        Name="web-blue",
        Protocol="TCP",
        Port=8080,
        VpcId=network["vpc"],
        TargetType="ip",
        HealthCheckProtocol="TCP",
        HealthCheckPort="traffic-port",
        HealthCheckIntervalSeconds=10,
        Tags=pairs({"team": "shop"}),
    )["TargetGroups"][0]["TargetGroupArn"]
    attributes = {"deregistration_delay.timeout_seconds": "45", "preserve_client_ip.enabled": "true"}
    elb.modify_target_group_attributes(TargetGroupArn=blue, Attributes=pairs(attributes))
    forward = [{"Type": "forward", "TargetGroupArn": blue}]
    certificates = [{"CertificateArn": CERTIFICATE}]
    plain = elb.create_listener(LoadBalancerArn=balancer, Protocol="TCP", Port=443, DefaultActions=forward)
    tls = elb.create_listener(
        LoadBalancerArn=balancer, Protocol="TLS", Port=8443, Certificates=certificates, DefaultActions=forward
    )
    return {
        "load_balancer": balancer,
        "listener": plain["Listeners"][0]["ListenerArn"],
        "tls_listener": tls["Listeners"][0]["ListenerArn"],
        "blue_group": blue,
        "load_balancer_dimension": balancer.split(":loadbalancer/")[1],
        "blue_dimension": blue.rsplit(":", 1)[1],
    }


def seed_rules(elb, listener, blue, third, other, count):
    def rule(priority, path, actions):
        condition = {"Field": "path-pattern", "PathPatternConfig": {"Values": [path]}}
        return elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=[condition], Actions=actions)["Rules"][0]["RuleArn"]

    plain = rule(10, "/api/*", [{"Type": "forward", "TargetGroupArn": blue}])
    sign_in = {
        "Type": "authenticate-oidc",
        "Order": 1,
        "AuthenticateOidcConfig": {
            "Issuer": "https://id.example.com",
            "AuthorizationEndpoint": "https://id.example.com/authorize",
            "TokenEndpoint": "https://id.example.com/token",
            "UserInfoEndpoint": "https://id.example.com/userinfo",
            "ClientId": "web",
            "ClientSecret": "the-client-secret",
            "SessionCookieName": "AWSELBAuthSessionCookie",
            "Scope": "openid email",
            "SessionTimeout": 3600,
            "AuthenticationRequestExtraParams": {"display": "page"},
            "OnUnauthenticatedRequest": "authenticate",
        },
    }
    stuck = {"TargetGroups": [{"TargetGroupArn": blue, "Weight": 1}], "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 300}}
    oidc = rule(20, "/account/*", [sign_in, {"Type": "forward", "Order": 2, "ForwardConfig": stuck}]) if count > 1 else None
    shared = {"TargetGroups": [{"TargetGroupArn": blue, "Weight": 90}, {"TargetGroupArn": third, "Weight": 10}]}
    weighted = rule(30, "/legacy/*", [{"Type": "forward", "ForwardConfig": shared}]) if count > 2 else None
    foreign = rule(40, "/other/*", [{"Type": "forward", "TargetGroupArn": other}])
    # The three rules and the default action are four; --rules asks for fewer, or for more of the plain kind.
    more = [rule(100 + n, f"/more/{n}/*", [{"Type": "forward", "TargetGroupArn": blue}]) for n in range(max(0, count - 3))]
    return {"plain_rule": plain, "oidc_rule": oidc, "weighted_rule": weighted, "foreign_rule": foreign, "more_rules": more}


def pairs(members):
    return [{"Key": key, "Value": value} for key, value in members.items()]


def seed_copyable(elb, balancer, listener, blue):
    """What a load balancer has that can be copied: no client secret, no group of somebody else's."""
    elb.add_tags(ResourceArns=[balancer], Tags=pairs({"team": "edge", "cost-centre": "7"}))
    elb.add_tags(ResourceArns=[listener], Tags=pairs({"team": "edge"}))
    attributes = {"idle_timeout.timeout_seconds": "75", "deletion_protection.enabled": "true", "routing.http2.enabled": "false"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=pairs(attributes))
    elb.modify_listener_attributes(ListenerArn=listener, Attributes=pairs({"routing.http.response.server.enabled": "false"}))
    for name in ("second", "third"):
        elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": CERTIFICATE.replace("/web", f"/{name}")}])
    redirect = {"Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}", "StatusCode": "HTTP_301"}
    plain = elb.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[{"Type": "redirect", "RedirectConfig": redirect}]
    )["Listeners"][0]["ListenerArn"]

    def rule(priority, conditions, actions):
        made = elb.create_rule(
            ListenerArn=listener, Priority=priority, Conditions=conditions, Actions=actions, Tags=pairs({"rule": str(priority)})
        )
        return made["Rules"][0]["RuleArn"]

    path = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api/*"]}}
    host = {"Field": "host-header", "HostHeaderConfig": {"Values": ["shop.example.com", "www.example.com"]}}
    beta = {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Beta", "Values": ["yes"]}}
    account = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/account/*"]}}
    stuck = {"TargetGroups": [{"TargetGroupArn": blue, "Weight": 1}], "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 300}}
    sign_in = {
        "Type": "authenticate-cognito",
        "Order": 1,
        "AuthenticateCognitoConfig": {
            "UserPoolArn": f"arn:aws:cognito-idp:us-east-1:{ACCOUNT}:userpool/us-east-1_Ab1",
            "UserPoolClientId": "4k2l1",
            "UserPoolDomain": "shop",
            "SessionCookieName": "AWSELBAuthSessionCookie",
            "Scope": "openid",
            "SessionTimeout": 3600,
            "AuthenticationRequestExtraParams": {"display": "page"},
            "OnUnauthenticatedRequest": "authenticate",
        },
    }
    gone = {"StatusCode": "410", "ContentType": "text/plain", "MessageBody": "gone"}
    rules = [
        rule(10, [path], [{"Type": "forward", "TargetGroupArn": blue}]),
        rule(20, [account], [sign_in, {"Type": "forward", "Order": 2, "ForwardConfig": stuck}]),
        rule(30, [host, beta], [{"Type": "forward", "TargetGroupArn": blue}]),
        rule(40, [{**path, "PathPatternConfig": {"Values": ["/gone/*"]}}], [{"Type": "fixed-response", "FixedResponseConfig": gone}]),
    ]
    waf = boto3.client("wafv2")
    visibility = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "edge"}
    web_acl = waf.create_web_acl(Name="edge", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=visibility)["Summary"]["ARN"]
    waf.associate_web_acl(WebACLArn=web_acl, ResourceArn=balancer)
    return {"plain_listener": plain, "more_rules": rules, "web_acl": web_acl}


def seed_zone(balancer, name):
    """A hosted zone whose name `app` leads to the load balancer."""
    described = boto3.client("elbv2").describe_load_balancers(LoadBalancerArns=[balancer])["LoadBalancers"][0]
    route53 = boto3.client("route53")
    zone = route53.create_hosted_zone(Name=name, CallerReference=f"{name} {time.time()}")["HostedZone"]["Id"].rsplit("/", 1)[-1]
    alias = {"HostedZoneId": described["CanonicalHostedZoneId"], "DNSName": described["DNSName"], "EvaluateTargetHealth": False}
    record = {"Name": f"app.{name}", "Type": "A", "AliasTarget": alias}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]})
    return {"zone": zone, "record": f"app.{name}"}


def seed_service(network, balancer, options):
    ecs = boto3.client("ecs")
    cluster = ecs.create_cluster(clusterName="prod")["cluster"]["clusterArn"]
    definition = ecs.register_task_definition(
        family="web",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole",
        taskRoleArn=f"arn:aws:iam::{ACCOUNT}:role/web",
        runtimePlatform={"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
        tags=[{"key": "team", "value": "shop"}],
        containerDefinitions=[container()],
    )["taskDefinition"]["taskDefinitionArn"]
    service = ecs.create_service(
        cluster="prod",
        serviceName="web",
        taskDefinition=definition,
        desiredCount=options.desired,
        launchType="FARGATE",
        platformVersion="1.4.0",
        loadBalancers=[{"targetGroupArn": balancer["blue_group"], "containerName": "app", "containerPort": 8080}],
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": network["dual_subnets"],
                "securityGroups": [network["security_group"]],
                "assignPublicIp": "DISABLED",
            }
        },
        deploymentConfiguration={
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
        healthCheckGracePeriodSeconds=75,
        enableECSManagedTags=True,
        enableExecuteCommand=False,
        propagateTags="SERVICE",
        availabilityZoneRebalancing="DISABLED",
        tags=[{"key": "team", "value": "shop"}, {"key": "env", "value": "prod"}],
    )["service"]["serviceArn"]
    scaling = boto3.client("application-autoscaling")
    target = {"ServiceNamespace": "ecs", "ResourceId": "service/prod/web", "ScalableDimension": "ecs:service:DesiredCount"}
    scaling.register_scalable_target(**target, MinCapacity=2, MaxCapacity=10)
    scaling.put_scaling_policy(
        **target,
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 60.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
            "ScaleInCooldown": 300,
            "ScaleOutCooldown": 60,
        },
    )
    label = f"{balancer['load_balancer_dimension']}/{balancer['blue_dimension']}"
    requests = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}
    scaling.put_scaling_policy(
        **target,
        PolicyName="requests",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 900.0, "PredefinedMetricSpecification": requests, "DisableScaleIn": True},
    )
    scaling.put_scheduled_action(
        **target,
        ScheduledActionName="night",
        Schedule="cron(0 22 * * ? *)",
        Timezone="Europe/Berlin",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 4},
    )
    wait_until_running(ecs, options.desired)
    return {"cluster": cluster, "service": service, "task_definition": definition}


def seed_discovered(network, kind):
    """A service without a load balancer, found in Cloud Map by records of this kind, and another that asks for it."""
    discovery, ecs = boto3.client("servicediscovery"), boto3.client("ecs")
    discovery.create_private_dns_namespace(Name="prod.local", Vpc=network["vpc"])
    namespace = discovery.list_namespaces()["Namespaces"][0]["Id"]
    registry = discovery.create_service(
        Name="orders",
        NamespaceId=namespace,
        DnsConfig={"RoutingPolicy": "MULTIVALUE", "DnsRecords": [{"Type": kind, "TTL": 15}]},
        HealthCheckCustomConfig={"FailureThreshold": 1},
        Tags=[{"Key": "team", "Value": "shop"}],
    )["Service"]["Arn"]
    environment = [{"name": "ORDERS_URL", "value": "http://orders.prod.local:8080"}]
    for name, variables, entry in (
        ("orders", [], {"registryArn": registry} | ({"containerName": "app", "containerPort": 8080} if kind == "SRV" else {})),
        ("frontend", environment, None),
    ):
        definition = ecs.register_task_definition(
            family=name,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[unchecked(variables)],
        )["taskDefinition"]["taskDefinitionArn"]
        ecs.create_service(
            cluster="prod",
            serviceName=name,
            taskDefinition=definition,
            desiredCount=2,
            launchType="FARGATE",
            platformVersion="1.4.0",
            serviceRegistries=[entry] if entry else [],
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": network["dual_subnets"],
                    "securityGroups": [network["security_group"]],
                    "assignPublicIp": "DISABLED",
                }
            },
            deploymentConfiguration={
                "maximumPercent": 200,
                "minimumHealthyPercent": 100,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            },
        )
    wait_until_running(ecs, 2, "orders")
    return {"namespace": namespace, "registry": registry}


def wait_until_running(ecs, desired, name="web"):
    for _ in range(200):
        found = ecs.describe_services(cluster="prod", services=[name])["services"][0]
        if found["runningCount"] == desired and found["deployments"][0]["rolloutState"] == "COMPLETED":
            return
        time.sleep(0.05)
    raise SystemExit("the estate's service did not become steady: does somebody play ECS?")


def container():
    return {
        "name": "app",
        "image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/shop/web:1.4.2",
        "essential": True,
        "memory": 512,
        "portMappings": [{"containerPort": 8080, "protocol": "tcp", "name": "http", "appProtocol": "http"}],
        "environment": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "DB_HOST", "value": "db.example.com"}],
        "secrets": [{"name": "DB_PASSWORD", "valueFrom": f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/web/db"}],
        "healthCheck": {"command": ["CMD-SHELL", "curl -f http://localhost:8080/healthz"], "interval": 10, "timeout": 5, "retries": 3},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "/ecs/web", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web"},
        },
        "stopTimeout": 30,
    }


def unchecked(variables):
    """Without a health check of its own: nobody here plays one."""
    kept = {key: value for key, value in container().items() if key != "healthCheck"}
    return {**kept, "environment": variables}


# --- metrics -----------------------------------------------------------------------------------------------------------------------------------


def cloudwatch():
    # boto3 compresses large PutMetricData bodies; ministack does not decompress them.
    return boto3.client("cloudwatch", config=Config(disable_request_compression=True))


def metrics(options):
    """What a load balancer publishes, a point a minute, from --from to --to minutes relative to now."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    minutes = [now + datetime.timedelta(minutes=n) for n in range(options.from_minute, options.to_minute)]
    points = []
    if options.blue:
        points += arm(options.load_balancer, options.blue, minutes, options.blue_requests, options.blue_errors, options.blue_latency)
    if options.green:
        points += arm(options.load_balancer, options.green, minutes, options.green_requests, options.green_errors, options.green_latency)
    client = cloudwatch()
    for start in range(0, len(points), 1000):
        client.put_metric_data(Namespace="AWS/ApplicationELB", MetricData=points[start : start + 1000])
    print(json.dumps({"points": len(points), "from": minutes[0].isoformat(), "to": minutes[-1].isoformat()}))


def arm(balancer, group, minutes, requests, error_rate, latency):
    dimensions = [{"Name": "LoadBalancer", "Value": balancer}, {"Name": "TargetGroup", "Value": group}]
    owed = 0.0  # errors not yet whole, so that a rate below one a minute still comes out right
    points = []

    def point(name, minute, **value):
        points.append({"MetricName": name, "Dimensions": dimensions, "Timestamp": minute, **value})

    for minute in minutes:
        point("HealthyHostCount", minute, Value=2.0)
        point("UnHealthyHostCount", minute, Value=0.0)
        if requests == 0:
            continue
        owed += requests * error_rate
        errors, owed = int(owed), owed - int(owed)
        point("RequestCount", minute, Value=float(requests))
        point("HTTPCode_Target_2XX_Count", minute, Value=float(requests - errors))
        if errors:  # AWS publishes it only when it is not zero
            point("HTTPCode_Target_5XX_Count", minute, Value=float(errors))
        point("TargetResponseTime", minute, **latencies(requests, latency))
    return points


def zones(options):
    """The past by zone: the same requests in each, the failures of a minute all in one of them. Without a group, of a Network Load Balancer."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    points = []
    for n in range(-90, 0):
        for index, zone in enumerate(options.zones):
            members = {"AvailabilityZone": zone, "LoadBalancer": options.load_balancer, "TargetGroup": options.group}
            dimensions = [{"Name": name, "Value": value} for name, value in members.items() if value]

            def point(name, **value):
                points.append({"MetricName": name, "Dimensions": dimensions, "Timestamp": now + datetime.timedelta(minutes=n), **value})

            strikes = n % len(options.zones) == index
            if not options.group:
                point("NewFlowCount", Value=options.requests)
                point("TCP_Target_Reset_Count", Value=options.failures if strikes else 0.0)
                continue
            point("RequestCount", Value=options.requests)
            point("HTTPCode_Target_4XX_Count", Value=options.client_errors)
            if strikes:
                point("HTTPCode_Target_5XX_Count", Value=options.failures)
            point("TargetResponseTime", **latencies(options.requests, 0.05))
    publish("AWS/ApplicationELB" if options.group else "AWS/NetworkELB", points)


def revise(options):
    minute = datetime.datetime.fromisoformat(options.minute)
    dimensions = [{"Name": "LoadBalancer", "Value": options.load_balancer}, {"Name": "TargetGroup", "Value": options.group}]
    publish("AWS/ApplicationELB", [{"MetricName": "RequestCount", "Dimensions": dimensions, "Timestamp": minute, "Value": options.requests}])


def publish(namespace, points):
    client = cloudwatch()
    for start in range(0, len(points), 1000):
        client.put_metric_data(Namespace=namespace, MetricData=points[start : start + 1000])
    print(json.dumps({"points": len(points)}))


def latencies(requests, latency):
    """One in twenty takes twice as long."""
    return {
        "Values": [latency * factor for factor in (0.5, 0.8, 1.0, 1.3, 2.0)],
        "Counts": [requests * share for share in (0.2, 0.3, 0.3, 0.15, 0.05)],
    }


def flows(options):
    """What a Network Load Balancer publishes: flows by target group, resets as a whole."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    points = []
    for minute in (now + datetime.timedelta(minutes=n) for n in range(-90, 720)):

        def point(name, value, dimension, of):
            dimensions = [{"Name": dimension, "Value": of}]
            points.append({"MetricName": name, "Dimensions": dimensions, "Timestamp": minute, "Value": value})

        if options.load_balancer:
            point("TCP_Target_Reset_Count", options.resets, "LoadBalancer", options.load_balancer)
        point("NewFlowCount", 600.0, "TargetGroup", options.group)
        point("ActiveFlowCount", 0.0, "TargetGroup", options.group)
    publish("AWS/NetworkELB", points)


# --- alarms ------------------------------------------------------------------------------------------------------------------------------------


def alarm(options):
    client = cloudwatch()
    if options.composite:
        client.put_composite_alarm(AlarmName=options.name, AlarmRule=f"ALARM({options.composite})")
    else:
        client.put_metric_alarm(
            AlarmName=options.name,
            Namespace="Shop",
            MetricName="CheckoutFailures",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1e9,
            ComparisonOperator="GreaterThanThreshold",
        )
    client.set_alarm_state(AlarmName=options.name, StateValue=options.state, StateReason="set by a test")
    found = client.describe_alarms(AlarmNames=[options.name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    print(json.dumps([a["StateValue"] for a in found["MetricAlarms"] + found["CompositeAlarms"]]))


def foreign(options):
    """Somebody else's console: the rule's actions as they are, with one weight changed."""
    elb = boto3.client("elbv2")
    actions = elb.describe_rules(RuleArns=[options.rule])["Rules"][0]["Actions"]
    for action in actions:
        for entry in action.get("ForwardConfig", {}).get("TargetGroups", []):
            if entry["TargetGroupArn"] == options.group:
                entry["Weight"] = options.weight
        if len(action.get("ForwardConfig", {}).get("TargetGroups", [])) > 1:
            action.pop("TargetGroupArn", None)
        if action["Type"] == "authenticate-oidc":
            action["AuthenticateOidcConfig"]["UseExistingClientSecret"] = True
    print(json.dumps(elb.modify_rule(RuleArn=options.rule, Actions=actions)["Rules"][0]["Actions"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("seed")
    one.set_defaults(run=seed)
    one.add_argument("--rules", type=int, default=3, help="rules that forward to blue, besides the default action")
    one.add_argument("--desired", type=int, default=2)
    one.add_argument("--sticky", action="store_true", help="blue has lb_cookie stickiness of its own")
    one.add_argument("--ip-type", default="dualstack")
    one.add_argument("--discovered", help="also a service without a load balancer, with records of this type: A or SRV")
    one.add_argument("--copyable", action="store_true", help="the load balancer has nothing that cannot be made again")
    one.add_argument("--network", action="store_true", help="a Network Load Balancer with two listeners and no rules")
    one.add_argument("--zone", help="a hosted zone of this name, with a record `app` that leads to the load balancer")
    two = verbs.add_parser("metrics")
    two.set_defaults(run=metrics)
    two.add_argument("--load-balancer", required=True, help="app/NAME/ID, as the dimension has it")
    two.add_argument("--blue", help="targetgroup/NAME/ID; points written twice are added up, so write each group once")
    two.add_argument("--green")
    for name, kind, default in (
        ("--blue-requests", int, 600),
        ("--green-requests", int, 600),
        ("--blue-errors", float, 0.001),
        ("--green-errors", float, 0.001),
        ("--blue-latency", float, 0.05),
        ("--green-latency", float, 0.05),
    ):
        two.add_argument(name, type=kind, default=default)
    two.add_argument("--from", dest="from_minute", type=int, default=-90)
    two.add_argument("--to", dest="to_minute", type=int, default=720)
    five = verbs.add_parser("flows")
    five.set_defaults(run=flows)
    five.add_argument("--load-balancer", help="app/NAME/ID, as the dimension has it")
    five.add_argument("--group", required=True)
    five.add_argument("--resets", type=float, default=1.0)
    six = verbs.add_parser("zones")
    six.set_defaults(run=zones)
    seven = verbs.add_parser("revise")
    seven.set_defaults(run=revise)
    seven.add_argument("--minute", required=True, help="its beginning, ISO 8601 with an offset")
    for verb in (six, seven):
        verb.add_argument("--load-balancer", required=True)
        verb.add_argument("--group", required=verb is seven)
        verb.add_argument("--requests", type=float, default=300)
    six.add_argument("--zone", dest="zones", action="append", required=True)
    six.add_argument("--failures", type=float, default=6)
    six.add_argument("--client-errors", type=float, default=5)
    three = verbs.add_parser("alarm")
    three.set_defaults(run=alarm)
    three.add_argument("--name", required=True)
    three.add_argument("--state", default="OK")
    three.add_argument("--composite")
    four = verbs.add_parser("foreign")
    four.set_defaults(run=foreign)
    for name in ("--rule", "--group"):
        four.add_argument(name, required=True)
    four.add_argument("--weight", type=int, required=True)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
