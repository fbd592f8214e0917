"""Reference cluster of the EKS scenarios: three /22 subnets, thirty m5.8xlarge, 1,200 pods.

Its figures are those of a published post-mortem ("Kubernetes Cluster Running Out of IP Addresses on AWS EKS"):
nodes that once ran many small pods keep their network interfaces for the few large pods that run there now.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headroom.capacity.cni_version import CniVersion
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import DAEMON_SETS, DEPLOYMENTS, NAMESPACES, PODS, Kube
from headroom.rehearsal.nodes import Nodes, NodeType
from headroom.rehearsal.world import REGION, World

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CLUSTER = "prod-use1"
VPC_CIDR = "10.68.0.0/16"
ZONES = {
    f"{REGION}a": "10.68.204.0/22",
    f"{REGION}b": "10.68.208.0/22",
    f"{REGION}c": "10.68.212.0/22",
}
"""Node subnets by zone."""
SERVICE_CIDR = "172.20.0.0/16"
CNI_VERSION = "1.19.2"
CNI_ENVIRONMENT: Mapping[str, str] = {
    "CLUSTER_NAME": CLUSTER,
    "ENABLE_PREFIX_DELEGATION": "false",
    "ENABLE_SUBNET_DISCOVERY": "true",
    "WARM_ENI_TARGET": "1",
    "WARM_PREFIX_TARGET": "1",
}
"""What the add-on's manifest sets, as far as it matters here."""

# m5.8xlarge: 32 vCPUs and 128 GiB, less what kubelet and system keep.
SERVICES = NodeType(group="services", instance_type="m5.8xlarge", cpu="31850m", memory="122Gi")
ANALYTICS = NodeType(group="analytics", instance_type="m5.8xlarge", cpu="31850m", memory="122Gi")
SERVICE_NODES, ANALYTICS_NODES = 10, 20
SERVICE_PODS_PER_NODE, ANALYTICS_PODS_PER_NODE = 100, 10
PEAK_PODS = 66
"""Pods that each analytics node but the newest ran in last month's peak, the large ones of today among them."""

DEPLOYMENTS_OF_SERVICES: Mapping[str, int] = {
    "checkout-api": 120,
    "payments": 80,
    "catalog": 120,
    "search": 120,
    "cart": 100,
    "orders": 100,
    "shipping": 80,
    "pricing": 80,
    "accounts": 80,
    "notifications": 60,
    "reviews": 60,
}
"""Replicas of the small pods: 1,000 in all."""
NAMESPACE = "shop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What was there before: ids of the VPC, subnets and route tables by zone."""

    vpc_id: str
    subnet_ids: Mapping[str, str]
    route_table_ids: Mapping[str, str]
    security_group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The running cluster of a scenario."""

    network: Network
    nodes: Nodes
    kube: Kube


def build_network(ec2: "EC2Client") -> Network:
    """The VPC as its owner made it: a public subnet with a NAT gateway, and a private subnet a zone."""
    vpc_id = ec2.create_vpc(CidrBlock=VPC_CIDR)["Vpc"]["VpcId"]
    public = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.68.0.0/24", AvailabilityZone=next(iter(ZONES)))
    allocation = ec2.allocate_address(Domain="vpc")
    nat = ec2.create_nat_gateway(SubnetId=public["Subnet"]["SubnetId"], AllocationId=allocation["AllocationId"])
    subnet_ids: dict[str, str] = {}
    table_ids: dict[str, str] = {}
    for zone, cidr in ZONES.items():
        subnet_ids[zone] = ec2.create_subnet(
            VpcId=vpc_id,
            CidrBlock=cidr,
            AvailabilityZone=zone,
            TagSpecifications=[
                {"ResourceType": "subnet", "Tags": [{"Key": "Name", "Value": f"{CLUSTER}-private-{zone}"}]}
            ],
        )["Subnet"]["SubnetId"]
        table_ids[zone] = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
        ec2.create_route(
            RouteTableId=table_ids[zone],
            DestinationCidrBlock="0.0.0.0/0",
            NatGatewayId=nat["NatGateway"]["NatGatewayId"],
        )
        ec2.associate_route_table(RouteTableId=table_ids[zone], SubnetId=subnet_ids[zone])
    group = ec2.create_security_group(GroupName=f"{CLUSTER}-nodes", Description="Nodes and pods", VpcId=vpc_id)
    return Network(vpc_id=vpc_id, subnet_ids=subnet_ids, route_table_ids=table_ids, security_group_id=group["GroupId"])


def build_cluster(
    world: World, clock: Clock, *, seed: int = 1, progress: Callable[[str], None] = lambda _: None
) -> Cluster:
    """The cluster as it stands before the incident: 1,200 pods running, and the subnets as the past left them."""
    kube = world.kube
    network = build_network(world.ec2)
    world.eks.create_cluster(
        name=CLUSTER,
        version="1.33",
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={"subnetIds": list(network.subnet_ids.values())},
    )
    nodes = Nodes(
        kube=kube,
        ec2=world.ec2,
        clock=clock,
        folder=world.folder / "nodes",
        vpc_id=network.vpc_id,
        security_groups=[network.security_group_id],
        cluster=CLUSTER,
        seed=seed,
    )
    progress("launching 30 m5.8xlarge")
    zones = list(ZONES)
    for kind, count in ((ANALYTICS, ANALYTICS_NODES), (SERVICES, SERVICE_NODES)):
        for index in range(count):
            # The groups fill up from opposite ends, so that every zone has ten nodes.
            zone = zones[index % 3] if kind is ANALYTICS else zones[(2 - index) % 3]
            nodes.add(kind, network.subnet_ids[zone], zone, CNI_ENVIRONMENT, CniVersion.parse(CNI_VERSION))
    progress("scheduling 1,200 pods")
    deploy_workloads(kube)
    total = sum(DEPLOYMENTS_OF_SERVICES.values()) + ANALYTICS_NODES * ANALYTICS_PODS_PER_NODE
    wait_for(lambda: _bound(kube) >= total + 2 * len(nodes.nodes), seconds=90, what="the scheduler to bind all pods")
    progress("replaying how the nodes came to hold their addresses")
    replay_past(nodes, seed)
    nodes.write_all_running()
    nodes.start()
    world.on_close(nodes.stop)
    return Cluster(network=network, nodes=nodes, kube=kube)


def replay_past(nodes: Nodes, seed: int) -> None:
    """Lets the CNIs live through the past month: a peak on the analytics nodes, then today's pods."""
    order = random.Random(seed)  # noqa: S311 - a repeatable past
    bound = nodes.bound_pods()
    keys = {
        name: [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods]
        for name, pods in bound.items()
    }
    analytics = [node for node in nodes.nodes.values() if node.group == ANALYTICS.group]
    services = [node for node in nodes.nodes.values() if node.group == SERVICES.group]
    nodes.settle(120)
    _arrive(nodes, {node.name: _peak(keys[node.name], order, newest=node is analytics[-1]) for node in analytics})
    for node in analytics:
        for pod in [pod for pod in node.ipamd.pods if pod.startswith("past/")]:
            node.ipamd.release(pod, nodes.clock.now())
    nodes.settle(300)
    _arrive(nodes, {node.name: keys[node.name] for node in services})
    nodes.settle(300)


def _peak(today: Sequence[str], order: random.Random, *, newest: bool) -> list[str]:
    pods = list(today)
    if not newest:
        pods += [f"past/{number}" for number in range(PEAK_PODS - len(pods))]
    order.shuffle(pods)
    return pods


def _arrive(nodes: Nodes, pods: Mapping[str, Sequence[str]], step: int = 25) -> None:
    """Pods come to all nodes at about the same time, some at a time."""
    most = max(map(len, pods.values()))
    for start in range(0, most, step):
        for name, keys in pods.items():
            nodes.assign_past(nodes.nodes[name], keys[start : start + step])
        nodes.settle(120)


def deploy_workloads(kube: Kube) -> None:
    """aws-node and kube-proxy on every node, and the applications."""
    kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for name, environment in (("aws-node", CNI_ENVIRONMENT), ("kube-proxy", {})):
        kube.create(DAEMON_SETS, _daemon_set(name, environment))
    for name, replicas in DEPLOYMENTS_OF_SERVICES.items():
        kube.create(DEPLOYMENTS, deployment(name, replicas, SERVICES, "250m", "512Mi"))
    kube.create(
        DEPLOYMENTS,
        deployment("analytics-worker", ANALYTICS_NODES * ANALYTICS_PODS_PER_NODE, ANALYTICS, "3", "10Gi"),
    )


def _daemon_set(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    image = f"602401143452.dkr.ecr.{REGION}.amazonaws.com/{'amazon-k8s-cni' if name == 'aws-node' else name}"
    container = {
        "name": name,
        "image": f"{image}:v{CNI_VERSION}-eksbuild.1",
        "env": [{"name": key, "value": value} for key, value in environment.items()],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"k8s-app": name}},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": name}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {"labels": {"k8s-app": name}},
                "spec": {
                    "hostNetwork": True,
                    "priorityClassName": "system-node-critical",
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [container],
                },
            },
        },
    }


def deployment(name: str, replicas: int, kind: NodeType, cpu: str, memory: str) -> dict[str, Any]:
    """A Deployment of one container whose pods run on one node group."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "nodeSelector": {"eks.amazonaws.com/nodegroup": kind.group},
                    # Many even spreads: every node of the group ends with the same number.
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "kubernetes.io/hostname",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": {"app": name}},
                        }
                    ],
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": name,
                            "image": f"registry.invalid/{name}:1",
                            "resources": {"requests": {"cpu": cpu, "memory": memory}},
                        }
                    ],
                },
            },
        },
    }


def _bound(kube: Kube) -> int:
    return len(kube.list_all(PODS, fields="spec.nodeName!="))


def wait_for(done: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Waits until `done`.

    Raises:
        TimeoutError: It took longer than `seconds` of wall time.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)
