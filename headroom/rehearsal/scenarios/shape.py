"""What a scenario's cluster is made of, and how it is built: network, nodes, CNI, applications."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headroom.capacity.cni_version import CniVersion
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import DAEMON_SETS, DEPLOYMENTS, NAMESPACES, PODS, Kube
from headroom.rehearsal.nodes import Nodes, NodeType
from headroom.rehearsal.world import REGION, World

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CLUSTER = "prod-use1"
SERVICE_CIDR = "172.20.0.0/16"
NAMESPACE = "shop"
CNI_VERSION = "1.19.2"
STOCK_ENVIRONMENT: Mapping[str, str] = {
    "CLUSTER_NAME": CLUSTER,
    "ENABLE_PREFIX_DELEGATION": "false",
    "ENABLE_SUBNET_DISCOVERY": "true",
    "WARM_ENI_TARGET": "1",
    "WARM_PREFIX_TARGET": "1",
}
"""What the add-on's manifest sets, as far as it matters here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Nodes that are alike, spread over the zones.

    Attributes:
        kind: What they are.
        count: How many.
        backwards: Fill the zones from the last one.
    """

    kind: NodeType
    count: int
    backwards: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A Deployment.

    Attributes:
        name: Its name.
        replicas: Its replicas.
        kind: The node type that it runs on.
        cpu: What a pod asks for, as Kubernetes writes it.
        memory: The same.
    """

    name: str
    replicas: int
    kind: NodeType
    cpu: str = "50m"
    memory: str = "64Mi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A cluster.

    Attributes:
        vpc_cidr: The VPC's CIDR.
        public_cidr: Its public subnet, with the NAT gateway.
        zones: CIDR of the node subnet by zone.
        groups: Its nodes.
        apps: Its Deployments.
        environment: aws-node's settings.
        cni_version: The VPC CNI's version.
    """

    vpc_cidr: str
    public_cidr: str
    zones: Mapping[str, str]
    groups: tuple[Group, ...]
    apps: tuple[App, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: STOCK_ENVIRONMENT)
    cni_version: str = CNI_VERSION


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

    shape: Shape
    network: Network
    nodes: Nodes
    kube: Kube
    name: str = CLUSTER


def build(  # noqa: PLR0913 - the parts, by keyword
    world: World,
    clock: Clock,
    shape: Shape,
    *,
    seed: int = 1,
    before_nodes: Callable[[World, Network], None] = lambda *_: None,
    past: Callable[[Nodes], None] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Cluster:
    """The cluster as it stands before the incident, all its pods running and the kubelets at work.

    Args:
        world: The running parts.
        clock: Their time.
        shape: What it is made of.
        seed: Of all chance.
        before_nodes: Called once the network is there: who else lives in the VPC.
        past: Lets the CNIs live through what was before; by default each gives its pods their addresses.
        progress: Called with what is being done.
    """
    network = build_network(world.ec2, shape)
    before_nodes(world, network)
    world.eks.create_cluster(
        name=CLUSTER,
        version="1.33",
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={"subnetIds": list(network.subnet_ids.values())},
    )
    nodes = Nodes(
        kube=world.kube,
        ec2=world.ec2,
        clock=clock,
        folder=world.folder / "nodes",
        vpc_id=network.vpc_id,
        security_groups=[network.security_group_id],
        cluster=CLUSTER,
        seed=seed,
        network=world.node_network,
    )
    count = sum(group.count for group in shape.groups)
    progress(f"launching {count} {', '.join(sorted({group.kind.instance_type for group in shape.groups}))}")
    for group in shape.groups:
        add_nodes(nodes, network, shape, group)
    pods = sum(app.replicas for app in shape.apps)
    progress(f"scheduling {pods:,} pods")
    deploy(world.kube, shape)
    total = pods + 2 * count
    wait_for(lambda: bound(world.kube) >= total, seconds=90, what="the scheduler to bind all pods")
    progress("replaying how the nodes came to hold their addresses")
    (past or live_together)(nodes)
    nodes.write_all_running()
    nodes.start()
    world.on_close(nodes.stop)
    clock.run()
    wait_for(lambda: cni_ready(world.kube) == count, seconds=90, what="aws-node to be ready on every node")
    return Cluster(shape=shape, network=network, nodes=nodes, kube=world.kube)


def add_nodes(nodes: Nodes, network: Network, shape: Shape, group: Group) -> None:
    """Launches the nodes of a group, zone by zone in turns."""
    zones = list(shape.zones)
    for index in range(group.count):
        zone = zones[(len(zones) - 1 - index if group.backwards else index) % len(zones)]
        nodes.add(group.kind, network.subnet_ids[zone], zone, shape.environment, CniVersion.parse(shape.cni_version))


def live_together(nodes: Nodes) -> None:
    """All pods came at once, long ago."""
    nodes.settle(120)
    for name, pods in nodes.bound_pods().items():
        nodes.assign_past(
            nodes.nodes[name], [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods]
        )
    nodes.settle(300)


def build_network(ec2: "EC2Client", shape: Shape) -> Network:
    """The VPC as its owner made it: a public subnet with a NAT gateway, and a private subnet a zone."""
    vpc_id = ec2.create_vpc(CidrBlock=shape.vpc_cidr)["Vpc"]["VpcId"]
    public = ec2.create_subnet(VpcId=vpc_id, CidrBlock=shape.public_cidr, AvailabilityZone=next(iter(shape.zones)))
    allocation = ec2.allocate_address(Domain="vpc")
    nat = ec2.create_nat_gateway(SubnetId=public["Subnet"]["SubnetId"], AllocationId=allocation["AllocationId"])
    subnet_ids: dict[str, str] = {}
    table_ids: dict[str, str] = {}
    for zone, cidr in shape.zones.items():
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


def deploy(kube: Kube, shape: Shape) -> None:
    """aws-node and kube-proxy on every node, and the applications."""
    kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for name, environment in (("aws-node", shape.environment), ("kube-proxy", {})):
        kube.create(DAEMON_SETS, daemon_set(name, environment, shape.cni_version))
    for app in shape.apps:
        kube.create(DEPLOYMENTS, deployment(app.name, app.replicas, app.kind, app.cpu, app.memory))


def daemon_set(name: str, environment: Mapping[str, str], cni_version: str = CNI_VERSION) -> dict[str, Any]:
    """A DaemonSet of kube-system on the nodes' own addresses."""
    image = f"602401143452.dkr.ecr.{REGION}.amazonaws.com/{'amazon-k8s-cni' if name == 'aws-node' else name}"
    container = {
        "name": name,
        "image": f"{image}:v{cni_version}-eksbuild.1",
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


def deployment(  # noqa: PLR0913, PLR0917 - what a Deployment is made of
    name: str, replicas: int, kind: NodeType, cpu: str, memory: str, image: str = ""
) -> dict[str, Any]:
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
                            "image": image or f"registry.invalid/{name}:1",
                            "resources": {"requests": {"cpu": cpu, "memory": memory}},
                        }
                    ],
                },
            },
        },
    }


def bound(kube: Kube) -> int:
    """Pods that have a node."""
    return len(kube.list_all(PODS, fields="spec.nodeName!="))


def cni_ready(kube: Kube) -> int:
    """Pods of aws-node that are ready."""
    found = kube.list_all(PODS, "kube-system", labels="k8s-app=aws-node")
    return sum(
        any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in (pod.get("status") or {}).get("conditions") or ()
        )
        for pod in found
    )


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
