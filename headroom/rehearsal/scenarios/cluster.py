"""Reference cluster of the EKS scenarios: a /20 with three /22 subnets, thirty m5.8xlarge, 1,200 pods.

Its figures are those of a published post-mortem ("Kubernetes Cluster Running Out of IP Addresses on AWS EKS"):
nodes that once ran many small pods keep their network interfaces for the few large pods that run there now.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from headroom.rehearsal.clock import Clock
from headroom.rehearsal.nodes import Nodes, NodeType
from headroom.rehearsal.scenarios.shape import (
    CLUSTER,
    CNI_VERSION,
    NAMESPACE,
    SERVICE_CIDR,
    App,
    Cluster,
    Group,
    Shape,
    build,
    deployment,
    wait_for,
)
from headroom.rehearsal.scenarios.shape import STOCK_ENVIRONMENT as CNI_ENVIRONMENT
from headroom.rehearsal.world import REGION, World

__all__ = [
    "CLUSTER",
    "CNI_ENVIRONMENT",
    "CNI_VERSION",
    "NAMESPACE",
    "SERVICE_CIDR",
    "Cluster",
    "build_cluster",
    "deployment",
    "wait_for",
]

VPC_CIDR = "10.68.192.0/20"
ZONES = {
    f"{REGION}a": "10.68.196.0/22",
    f"{REGION}b": "10.68.200.0/22",
    f"{REGION}c": "10.68.204.0/22",
}
"""Node subnets by zone."""

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
SHAPE = Shape(
    vpc_cidr=VPC_CIDR,
    public_cidr="10.68.192.0/24",
    zones=ZONES,
    # The groups fill up from opposite ends, so that every zone has ten nodes.
    groups=(
        Group(kind=ANALYTICS, count=ANALYTICS_NODES),
        Group(kind=SERVICES, count=SERVICE_NODES, backwards=True),
    ),
    apps=(
        *(
            App(name=name, replicas=replicas, kind=SERVICES, cpu="250m", memory="512Mi")
            for name, replicas in DEPLOYMENTS_OF_SERVICES.items()
        ),
        App(
            name="analytics-worker",
            replicas=ANALYTICS_NODES * ANALYTICS_PODS_PER_NODE,
            kind=ANALYTICS,
            cpu="3",
            memory="10Gi",
        ),
    ),
)


def build_cluster(
    world: World, clock: Clock, *, seed: int = 1, progress: Callable[[str], None] = lambda _: None
) -> Cluster:
    """The cluster as it stands before the incident: 1,200 pods running, and the subnets as the past left them."""
    return build(world, clock, SHAPE, seed=seed, past=lambda nodes: replay_past(nodes, seed), progress=progress)


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
