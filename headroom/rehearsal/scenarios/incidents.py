"""The incidents that can be rehearsed: each with its own cause, its own cure, and nothing scripted in between."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from headroom.addresses.blocks import Block, format_address
from headroom.capacity.cni_version import SUBNET_ROLE_TAG
from headroom.diagnosis.verdict import Detail, RootCause, Verdict
from headroom.planning.plan import Check, Plan
from headroom.rehearsal.kube import DAEMON_SETS, DEPLOYMENTS, PODS
from headroom.rehearsal.node_ec2 import INSTANCE_TAG, INTERFACE_DESCRIPTION
from headroom.rehearsal.nodes import MISSING_IMAGE, NodeType
from headroom.rehearsal.scenarios import sight
from headroom.rehearsal.scenarios.incident import Expected, Incident
from headroom.rehearsal.scenarios.shape import (
    CLUSTER,
    NAMESPACE,
    STOCK_ENVIRONMENT,
    App,
    Cluster,
    Group,
    Network,
    Shape,
    add_nodes,
    deployment,
    wait_for,
)
from headroom.rehearsal.world import REGION, World

_LARGE = NodeType(group="web", instance_type="m5.large", cpu="1930m", memory="7Gi")
_XLARGE = NodeType(group="web", instance_type="c5.xlarge", cpu="3920m", memory="6Gi", max_pods=110)
_SHARED = 8
"""One address in so many is taken by something else: no /28 stays whole."""
_LEAKED_ADDRESSES = 9
_FOR_EVER = 1_000_000
"""Calls that a fault outlasts."""


def _zones(*blocks: str) -> dict[str, str]:
    return {f"{REGION}{letter}": block for letter, block in zip("abc", blocks, strict=False)}


_SMALL_ZONES = _zones("10.20.0.0/26", "10.20.0.64/26", "10.20.0.128/26")
_WIDE_ZONES = _zones("10.20.16.0/22", "10.20.20.0/22", "10.20.24.0/22")


def _web(replicas: int, kind: NodeType = _LARGE) -> App:
    return App(name="web", replicas=replicas, kind=kind, cpu="10m", memory="32Mi")


def _shape(zones: Mapping[str, str], *, nodes: int, pods: int, kind: NodeType = _LARGE, **more: Any) -> Shape:
    wide = zones is _WIDE_ZONES
    return Shape(
        **{
            "vpc_cidr": "10.20.0.0/16" if wide else "10.20.0.0/24",
            "public_cidr": "10.20.0.0/24" if wide else "10.20.0.192/26",
            "zones": zones,
            "groups": (Group(kind=kind, count=nodes),),
            "apps": (_web(pods, kind),),
            **more,
        }
    )


def _with(**settings: str) -> dict[str, str]:
    return {**STOCK_ENVIRONMENT, **settings}


def _scale(running: Cluster, replicas: int) -> str:
    running.kube.patch(DEPLOYMENTS, "web", {"spec": {"replicas": replicas}}, namespace=NAMESPACE)
    return f"kubectl -n {NAMESPACE} scale deployment web --replicas={replicas}"


def _scaled_to(replicas: int) -> Callable[[World, Cluster], str]:
    return lambda _, running: _scale(running, replicas)


def _delete_stuck(running: Cluster, nodes: Collection[str]) -> int:
    """Deletes the pods that hang on these nodes, as an engineer does to have them scheduled anew."""
    hanging = [pod for pod in sight.stuck(running) if pod["spec"]["nodeName"] in nodes]
    for pod in hanging:
        running.kube.delete(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])
    return len(hanging)


# eks-fragmented


def _scatter(world: World, running: Cluster) -> str:
    """Somebody else's interfaces, one in every free /28: plenty of addresses are free, and no block of sixteen."""
    for subnet_id in running.network.subnet_ids.values():
        block = Block.parse(world.ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["CidrBlock"])
        for offset in range(_SHARED, block.size, 2 * _SHARED):
            with suppress(ClientError):  # the nodes have prefixes there
                world.ec2.create_network_interface(
                    SubnetId=subnet_id,
                    PrivateIpAddress=format_address(block.first + offset),
                    Description="AWS Lambda VPC ENI-thumbnails",
                )
    return _scale(running, 150)


FRAGMENTED = Incident(
    name="eks-fragmented",
    title="Prefix delegation finds no whole /28, and addresses are free",
    shape=_shape(
        _zones("10.20.0.0/25", "10.20.0.128/25", "10.20.1.0/25"),
        nodes=3,
        pods=30,
        kind=_XLARGE,
        vpc_cidr="10.20.0.0/23",
        public_cidr="10.20.1.128/25",
        environment=_with(ENABLE_PREFIX_DELEGATION="true"),
    ),
    happen=_scatter,
    expected=Expected(causes=((RootCause.SUBNET_EXHAUSTION, Detail.FRAGMENTATION),)),
)


# eks-eni-limit

ENI_LIMIT = Incident(
    name="eks-eni-limit",
    title="maxPods promises more pods than the interfaces can hold",
    shape=_shape(
        _WIDE_ZONES,
        nodes=3,
        pods=45,
        kind=NodeType(group="web", instance_type="m5.large", cpu="1930m", memory="7Gi", max_pods=110),
    ),
    happen=_scaled_to(105),
    expected=Expected(causes=((RootCause.ENI_LIMIT, None),), also=((RootCause.ENI_LIMIT, Detail.MAX_PODS),)),
    afterwards=lambda _world, running, _plan: _more_nodes(running, each=2),
)


def _more_nodes(running: Cluster, *, each: int) -> str:
    """More nodes in every zone, with today's settings; the full ones are cordoned, and what hung there moves."""
    kind = running.shape.groups[0].kind
    daemon_set = running.kube.get(DAEMON_SETS, "aws-node", "kube-system")
    container = daemon_set["spec"]["template"]["spec"]["containers"][0]
    environment = {item["name"]: item.get("value", "") for item in container["env"]}
    old = [name for name, node in running.nodes.nodes.items() if node.group == kind.group]
    for zone, subnet_id in running.network.subnet_ids.items():
        for _ in range(each):
            running.nodes.add(kind, subnet_id, zone, environment, running.nodes.nodes[old[0]].ipamd.version)
    for name in old:
        running.nodes.cordon(name)
    moved = _delete_stuck(running, old)
    more = each * len(running.network.subnet_ids)
    return f"{more} more nodes; the {len(old)} full ones cordoned; {moved} pods deleted, and scheduled anew."


# eks-two-causes

_DENSE = NodeType(group="web", instance_type="m5.large", cpu="1930m", memory="7Gi", max_pods=110)
_API = NodeType(group="api", instance_type="m5.large", cpu="1930m", memory="7Gi")


def _both_grow(world: World, running: Cluster) -> str:
    del world
    running.kube.patch(DEPLOYMENTS, "api", {"spec": {"replicas": 66}}, namespace=NAMESPACE)
    return f"{_scale(running, 105)}; kubectl -n {NAMESPACE} scale deployment api --replicas=66"


TWO_CAUSES = Incident(
    name="eks-two-causes",
    title="Some nodes are at their interface limit, and the subnets of the others are empty",
    shape=_shape(
        _SMALL_ZONES,
        nodes=3,
        pods=45,
        kind=_DENSE,
        groups=(Group(kind=_DENSE, count=3), Group(kind=_API, count=3)),
        apps=(_web(45, _DENSE), App(name="api", replicas=9, kind=_API, cpu="10m", memory="32Mi")),
    ),
    happen=_both_grow,
    expected=Expected(
        causes=((RootCause.ENI_LIMIT, None), (RootCause.SUBNET_EXHAUSTION, None)),
        also=((RootCause.ENI_LIMIT, Detail.MAX_PODS),),
    ),
    # One for each that is full: more would not get an address of the node subnets.
    afterwards=lambda _world, running, _plan: _more_nodes(running, each=1),
)


# eks-own-space


def _shared_space_elsewhere(world: World, network: Network) -> None:
    """The company routes 100.64.0.0/10 to its data centres."""
    gateway = world.ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    world.ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=gateway, VpcId=network.vpc_id, SubnetIds=list(network.subnet_ids.values())
    )
    for table_id in network.route_table_ids.values():
        world.ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="100.64.0.0/10", TransitGatewayId=gateway)


OWN_SPACE = Incident(
    name="eks-own-space",
    title="Subnets run dry, 100.64.0.0/10 is routed elsewhere, and the VPC has free space of its own",
    shape=_shape(_SMALL_ZONES, nodes=9, pods=18, vpc_cidr="10.20.0.0/16"),
    before_nodes=_shared_space_elsewhere,
    happen=_scaled_to(150),
    expected=Expected(causes=((RootCause.SUBNET_EXHAUSTION, None),), kept=("subnets-in-own-space",)),
)


# eks-cooldown


def _churn(world: World, running: Cluster) -> str:
    """Every pod is replaced at once, on nodes whose addresses are all taken."""
    del world
    wait_for(lambda: not sight.stuck(running), seconds=60, what="the pods to run")
    for pod in sight.pods(running):
        running.kube.delete(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])
    return f"kubectl -n {NAMESPACE} delete pods --all"


COOLDOWN = Incident(
    name="eks-cooldown",
    title="Pods are replaced faster than addresses cool down",
    shape=_shape(
        _WIDE_ZONES,
        nodes=3,
        pods=81,
        environment=_with(IP_COOLDOWN_PERIOD="3600", WARM_IP_TARGET="1"),
    ),
    happen=_churn,
    expected=Expected(causes=((RootCause.WARM_TARGET, Detail.COOLDOWN),)),
)


# eks-warm-pool


_LATE = NodeType(group="late", instance_type="c5.xlarge", cpu="3920m", memory="6Gi")


def _late_nodes(world: World, running: Cluster) -> str:
    """A node more in each zone, and pods for it."""
    del world
    add_nodes(running.nodes, running.network, running.shape, Group(kind=_LATE, count=3))
    running.kube.create(DEPLOYMENTS, deployment("late", 12, _LATE, "10m", "32Mi"))
    return f"Three nodes join; kubectl -n {NAMESPACE} apply -f late.yaml: 12 pods for them"


WARM_POOL = Incident(
    name="eks-warm-pool",
    title="Idle interfaces hold what the newest nodes need",
    shape=_shape(
        _zones("10.20.0.0/25", "10.20.0.128/25", "10.20.1.0/25"),
        nodes=6,
        pods=18,
        kind=NodeType(group="web", instance_type="c5.xlarge", cpu="3920m", memory="6Gi"),
        vpc_cidr="10.20.0.0/23",
        public_cidr="10.20.1.128/25",
        environment=_with(WARM_ENI_TARGET="3"),
    ),
    happen=_late_nodes,
    expected=Expected(causes=((RootCause.WARM_TARGET, None),), also=((RootCause.SUBNET_EXHAUSTION, None),)),
)


# eks-leaked-enis


def _leak(world: World, network: Network) -> None:
    """Interfaces that nodes of long ago left behind."""
    for number, subnet_id in enumerate(network.subnet_ids.values()):
        for index in range(11):
            instance = f"i-0dead{number:06x}{index:06x}"
            world.ec2.create_network_interface(
                SubnetId=subnet_id,
                SecondaryPrivateIpAddressCount=_LEAKED_ADDRESSES,
                Description=INTERFACE_DESCRIPTION.format(instance_id=instance),
                TagSpecifications=[
                    {"ResourceType": "network-interface", "Tags": [{"Key": INSTANCE_TAG, "Value": instance}]}
                ],
            )


def _delete_leaked(world: World, running: Cluster, plan: Plan) -> str:
    del running
    named = next(c.subjects for c in plan.postconditions if c.check is Check.LEAKED_INTERFACES_GONE)
    for interface_id in named:
        world.ec2.delete_network_interface(NetworkInterfaceId=interface_id)
    return f"{plan.steps[0].what}: done, {len(named)} of {len(named)}."


LEAKED = Incident(
    name="eks-leaked-enis",
    title="Interfaces of nodes that are long gone hold the addresses",
    shape=_shape(
        _zones("10.20.0.0/25", "10.20.0.128/25", "10.20.1.0/25"),
        nodes=3,
        pods=12,
        vpc_cidr="10.20.0.0/23",
        public_cidr="10.20.1.128/25",
    ),
    before_nodes=_leak,
    happen=_scaled_to(60),
    by_hand=_delete_leaked,
    expected=Expected(
        causes=((RootCause.SUBNET_EXHAUSTION, Detail.LEAKED_ENIS),), also=((RootCause.SUBNET_EXHAUSTION, None),)
    ),
)


# eks-old-cni


def _tagged_subnets(world: World, network: Network) -> None:
    """Somebody read of tagged subnets and made them; the CNI is too old to look."""
    world.ec2.associate_vpc_cidr_block(VpcId=network.vpc_id, CidrBlock="100.64.0.0/16")
    wait_for(
        lambda: all(
            each["CidrBlockState"]["State"] == "associated"
            for each in world.ec2.describe_vpcs(VpcIds=[network.vpc_id])["Vpcs"][0]["CidrBlockAssociationSet"]
        ),
        seconds=30,
        what="the association",
    )
    for index, (zone, table_id) in enumerate(network.route_table_ids.items()):
        made = world.ec2.create_subnet(
            VpcId=network.vpc_id,
            CidrBlock=f"100.64.{64 * index}.0/18",
            AvailabilityZone=zone,
            TagSpecifications=[{"ResourceType": "subnet", "Tags": [{"Key": SUBNET_ROLE_TAG, "Value": "1"}]}],
        )
        world.ec2.associate_route_table(RouteTableId=table_id, SubnetId=made["Subnet"]["SubnetId"])


def _upgrade(world: World, running: Cluster, plan: Plan) -> str:
    """The DaemonSet's new image, as the upgrade of a self-managed CNI rolls it out."""
    del world
    step = next(step for step in plan.steps if "Upgrade" in step.what)
    version = step.what.partition(" to v")[2].partition(" ")[0].rstrip(",")
    daemon_set = running.kube.get(DAEMON_SETS, "aws-node", "kube-system")
    container = daemon_set["spec"]["template"]["spec"]["containers"][0]
    image = f"{container['image'].rpartition(':')[0]}:v{version}-eksbuild.1"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "aws-node", "image": image}]}}}}
    running.kube.patch(DAEMON_SETS, "aws-node", patch, namespace="kube-system", type="strategic")
    return f"{step.what}: aws-node rolls to {version}."


OLD_CNI = Incident(
    name="eks-old-cni",
    title="Tagged subnets have room, and the CNI is too old to look there",
    shape=_shape(_SMALL_ZONES, nodes=9, pods=18, cni_version="1.16.4"),
    before_nodes=_tagged_subnets,
    happen=_scaled_to(150),
    by_hand=_upgrade,
    expected=Expected(
        causes=((RootCause.IPAMD_FAILURE, Detail.CNI_VERSION),), also=((RootCause.SUBNET_EXHAUSTION, None),)
    ),
)


# eks-node-subnet-full


def _no_room_for_nodes(world: World, running: Cluster) -> str:
    """Somebody's interfaces fill the node subnets; pods have room elsewhere, and more nodes are wanted."""
    for subnet_id in running.network.subnet_ids.values():
        while free := world.ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailableIpAddressCount"]:
            world.ec2.create_network_interface(
                SubnetId=subnet_id,
                SecondaryPrivateIpAddressCount=min(free, _MOST_AT_ONCE) - 1,
                Description="ELB app/web",
            )
    world.eks.create_nodegroup(
        clusterName=CLUSTER,
        nodegroupName=_LARGE.group,
        nodeRole="arn:aws:iam::123456789012:role/nodes",
        subnets=list(running.network.subnet_ids.values()),
        scalingConfig={"minSize": 3, "maxSize": 12, "desiredSize": 9},
    )
    said = _scale(running, 150)
    wait_for(
        lambda: any(not pod["spec"].get("nodeName") for pod in sight.pods(running)), seconds=60, what="pods to pend"
    )
    return f"{said}; the node group is to grow to 9"


def _other_node_subnets(world: World, running: Cluster, plan: Plan) -> str:
    """A node group in subnets that have room, as the step says."""
    zone = next(iter(running.shape.zones))
    subnets = [
        subnet["SubnetId"]
        for subnet in world.ec2.describe_subnets(
            Filters=[
                {"Name": f"tag:{SUBNET_ROLE_TAG}", "Values": ["1"]},
                {"Name": "availability-zone", "Values": [zone]},
            ]
        )["Subnets"]
    ]
    version = next(iter(running.nodes.nodes.values())).ipamd.version
    for _ in range(6):
        running.nodes.add(_LARGE, subnets[0], zone, running.shape.environment, version)
    wait_for(
        lambda: all(pod["spec"].get("nodeName") for pod in sight.pods(running)), seconds=60, what="nodes for all pods"
    )
    return f"{plan.steps[0].what}: six nodes join there."


_MOST_AT_ONCE = 30

NODE_SUBNET_FULL = Incident(
    name="eks-node-subnet-full",
    title="Pods have room, and nodes have none",
    shape=_shape(_SMALL_ZONES, nodes=3, pods=12),
    before_nodes=_tagged_subnets,
    happen=_no_room_for_nodes,
    stuck=False,
    by_hand=_other_node_subnets,
    expected=Expected(
        causes=((RootCause.SUBNET_EXHAUSTION, Detail.NODE_SUBNET_FULL),),
        also=((RootCause.ENI_LIMIT, Detail.MAX_PODS),),
    ),
)


# eks-iam and eks-throttled


def _denied(world: World, running: Cluster) -> str:
    for action in ("CreateNetworkInterface", "AssignPrivateIpAddresses"):
        world.endpoint.fail(
            action,
            "UnauthorizedOperation",
            status=403,
            count=_FOR_EVER,
            message="You are not authorized to perform this operation.",
        )
    return _scale(running, 60)


def _allowed(world: World, running: Cluster, plan: Plan) -> str:
    del running
    world.endpoint.clear_faults()
    return f"{plan.steps[0].what}: done."


IAM = Incident(
    name="eks-iam",
    title="The CNI's role lost a permission",
    shape=_shape(_WIDE_ZONES, nodes=3, pods=12),
    happen=_denied,
    by_hand=_allowed,
    expected=Expected(causes=((RootCause.IPAMD_FAILURE, Detail.IAM),)),
)


def _throttled(world: World, running: Cluster) -> str:
    for action in ("CreateNetworkInterface", "AssignPrivateIpAddresses", "AttachNetworkInterface"):
        world.endpoint.fail(
            action, "RequestLimitExceeded", status=503, count=_FOR_EVER, message="Request limit exceeded."
        )
    return _scale(running, 60)


THROTTLED = Incident(
    name="eks-throttled",
    title="EC2 throttles the account",
    shape=_shape(_WIDE_ZONES, nodes=3, pods=12),
    happen=_throttled,
    by_hand=_allowed,
    expected=Expected(causes=((RootCause.IPAMD_FAILURE, Detail.THROTTLING),)),
)


# eks-healthy and eks-not-ip

HEALTHY = Incident(
    name="eks-healthy",
    title="Nothing is wrong",
    shape=_shape(_WIDE_ZONES, nodes=3, pods=30),
    happen=lambda *_: "A quiet evening.",
    stuck=False,
    expected=Expected(verdict=Verdict.HEALTHY),
)


def _wrong_image(world: World, running: Cluster) -> str:
    del world
    kind = running.shape.groups[0].kind
    image = f"registry.invalid/reports{MISSING_IMAGE}"
    running.kube.create(DEPLOYMENTS, deployment("reports", 6, kind, "10m", "32Mi", image))
    running.kube.create(DEPLOYMENTS, deployment("trainer", 2, kind, "64", "32Mi"))
    wait_for(
        lambda: sum(sight.reason(pod) == "ImagePullBackOff" for pod in sight.pods(running)) == 6,  # noqa: PLR2004 - as above
        seconds=60,
        what="the image pulls to fail",
    )
    return "kubectl apply -f reports.yaml -f trainer.yaml: an image that is not there, and a pod too large for any node"


NOT_IP = Incident(
    name="eks-not-ip",
    title="Pods do not start, and addresses are not why",
    shape=_shape(_WIDE_ZONES, nodes=3, pods=30),
    happen=_wrong_image,
    stuck=False,
    expected=Expected(verdict=Verdict.NOT_IP),
)

INCIDENTS: Mapping[str, Incident] = {
    incident.name: incident
    for incident in (
        FRAGMENTED,
        ENI_LIMIT,
        TWO_CAUSES,
        OWN_SPACE,
        COOLDOWN,
        WARM_POOL,
        LEAKED,
        OLD_CNI,
        IAM,
        THROTTLED,
        NODE_SUBNET_FULL,
        HEALTHY,
        NOT_IP,
    )
}
"""By name, as `headroom rehearse --scenario` takes them."""
