"""Snapshots of clusters that nobody has: made of the capacity model, not written by hand.

Every node runs the model of ipamd on subnets of finite size, one node after the other, so who holds which address,
which pods wait and what ipamd logs follow from the pods and settings asked for. Tests, benchmarks and examples share
these clusters. Equal arguments give equal snapshots.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Literal

from headroom.addresses.blocks import (
    AWS_RESERVED_AT_START,
    DELEGATED_PREFIX_LENGTH,
    Block,
    format_address,
    usable_addresses,
)
from headroom.addresses.subnet_map import Reservation, subnet_map
from headroom.capacity.cni_version import SUBNET_ROLE_TAG, CniVersion
from headroom.capacity.ec2 import PREFIX_ADDRESSES, MemorySubnets
from headroom.capacity.ec2 import Interface as HeldInterface
from headroom.capacity.limits import InstanceLimits, instance_limits, max_pods
from headroom.capacity.settings import MANIFEST_VALUES, CniSettings
from headroom.capacity.simulation import Leaving, NodeSimulation
from headroom.facts.aws import (
    Addon,
    Aws,
    CidrAssociation,
    CidrReservation,
    HealthIssue,
    Interface,
    NodeGroup,
    Route,
    RouteTable,
    Subnet,
    Vpc,
)
from headroom.facts.kubernetes import (
    Autoscaler,
    CniDaemonSet,
    CniPod,
    Condition,
    DisruptionBudget,
    Event,
    KarpenterNodeClaim,
    KarpenterNodeClass,
    KarpenterNodePool,
    Kubernetes,
    Node,
    Pod,
    PriorityClass,
    Service,
    Workload,
)
from headroom.facts.snapshot import Line, Origin, PoolReading, Snapshot, Source
from headroom.facts.values import known

BEGAN: Final = datetime(2026, 3, 3, 20, 51, tzinfo=UTC)
"""When the pods that wait were created."""
COLLECTED: Final = datetime(2026, 3, 3, 21, 14, tzinfo=UTC)
"""When the snapshot was taken."""
FILLER_REPLICAS: Final = 40
"""Replicas of the Deployments that run whatever pods no workload was named for."""
REGION: Final = "us-east-1"
ACCOUNT: Final = "111122223333"

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_CREATED_BEFORE: Final = timedelta(days=9)
_LOGGED: Final = ("error", "warn")
_LOGGED_WORDS: Final = ("hasRoom=false", "max ENI limit", "cooldown IPs", "Insufficient", "wait for")


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSubnet:
    """A subnet.

    Attributes:
        subnet_id: Its id.
        zone: Its zone.
        cidr: Its CIDR, /16 to /27.
        for_pods: Whether it is tagged for the VPC CNI.
        broken: /28s, neither the first nor the last, in which somebody else has one address each.
        reservations: CIDR reservations as (CIDR, type).
    """

    subnet_id: str
    zone: str
    cidr: str
    for_pods: bool = False
    broken: int = 0
    reservations: tuple[tuple[str, Literal["prefix", "explicit"]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeNodes:
    """Nodes that are alike. They fill their subnets in the order in which they are given.

    Attributes:
        zone: Their zone.
        count: How many.
        pods: Pods on the pod network that each runs.
        peak_pods: Pods that each once ran; as many as now by default.
        leaving: Which of them have left.
        waiting: Pods that each was given at last, once all nodes had come to rest: who waits for an address is one
            of these.
        instance_type: Their instance type.
        max_pods: Their pod capacity; the advised one by default.
        node_group: Their managed node group; empty: Karpenter's NodePool `general` runs them.
        cordoned: Whether they are unschedulable.
        subnet_id: Their subnet; the first of the zone that is not for pods by default.
    """

    zone: str
    count: int
    pods: int
    peak_pods: int | None = None
    leaving: Leaving = "spread"
    waiting: int = 0
    instance_type: str = "m5.8xlarge"
    max_pods: int | None = None
    node_group: str = "apps"
    cordoned: bool = False
    subnet_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWorkload:
    """A workload.

    Attributes:
        name: Its name.
        replicas: Replicas wanted.
        ready: Replicas ready; the others wait for addresses. All of them by default.
        kind: Its kind.
        namespace: Its namespace.
        priority: Its priority, and the class of which it comes as (name, value).
        service: Whether a Service stands before it.
        service_type: Type of that Service.
        hpa: Its autoscaler's (minimum, maximum, desired).
        healthy: minAvailable of its PodDisruptionBudget.
        zone: The zone where its pods run; anywhere by default.
    """

    name: str
    replicas: int
    ready: int | None = None
    kind: str = "Deployment"
    namespace: str = "shop"
    priority: tuple[str, int] | None = None
    service: bool = True
    service_type: str = "ClusterIP"
    hpa: tuple[int, int, int] | None = None
    healthy: int | None = None
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeInterfaces:
    """Interfaces of others in a subnet.

    Attributes:
        subnet_id: The subnet.
        count: How many.
        addresses: Addresses of each, its own included.
        interface_type: EC2's InterfaceType.
        description: EC2's Description; `{n}` becomes a number.
        status: in-use, available, …
        leaked_of: Instance ids of nodes that are gone are put into the CNI's own tag where this is true.
        age: How long ago the CNI created them, where it did.
    """

    subnet_id: str
    count: int
    addresses: int = 1
    interface_type: str = "interface"
    description: str = ""
    status: str = "in-use"
    leaked: bool = False
    age: timedelta = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCluster:
    """What to make a snapshot of.

    Attributes:
        subnets: The VPC's subnets.
        nodes: The nodes, in the order in which they fill the subnets.
        workloads: The workloads that matter; others run the remaining pods.
        others: Interfaces of others, which are there before any node.
        environment: aws-node's settings beside those of the stock manifest.
        cni_version: Version of the VPC CNI.
        kubernetes_version: Version of Kubernetes.
        cluster: The cluster's name.
        vpc_cidrs: CIDRs of the VPC, the primary one first.
        failed_claims: NodeClaims of Karpenter that cannot be launched for want of addresses.
        launching_claims: NodeClaims of Karpenter that were launched and have not registered yet, by zone.
        cluster_autoscaler: Whether the Cluster Autoscaler reports on the pods that wait.
        node_group_issues: Health issues of the managed node groups.
        quiet_logs: Leaves ipamd's log and readings out, as if nobody could read them.
        seed: Decides what is left to chance.
    """

    subnets: tuple[MadeSubnet, ...]
    nodes: tuple[MadeNodes, ...]
    workloads: tuple[MadeWorkload, ...] = ()
    others: tuple[MadeInterfaces, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cni_version: str = "v1.19.2"
    kubernetes_version: str = "1.33"
    cluster: str = "prod-use1"
    vpc_cidrs: tuple[str, ...] = ("10.68.192.0/18",)
    failed_claims: int = 0
    launching_claims: tuple[str, ...] = ()
    cluster_autoscaler: bool = False
    node_group_issues: tuple[HealthIssue, ...] = ()
    quiet_logs: bool = False
    seed: int = 0


ZONES: Final = ("us-east-1a", "us-east-1b", "us-east-1c")
NODE_SUBNETS: Final = (
    MadeSubnet(subnet_id="subnet-0a1", zone=ZONES[0], cidr="10.68.204.0/22"),
    MadeSubnet(subnet_id="subnet-0b2", zone=ZONES[1], cidr="10.68.208.0/22"),
    MadeSubnet(subnet_id="subnet-0c3", zone=ZONES[2], cidr="10.68.212.0/22"),
)
"""Three /22s, as in the account of a cluster of 1,200 pods on 30 m5.8xlarge (issue 3)."""

WORKLOADS: Final = (
    MadeWorkload(
        name="checkout-api", replicas=12, ready=0, priority=("business-critical", 100_000), hpa=(6, 30, 22), healthy=8
    ),
    MadeWorkload(name="payments", replicas=8, ready=3, priority=("business-critical", 100_000), healthy=6),
    MadeWorkload(name="search", replicas=30, ready=24, hpa=(10, 40, 34)),
    MadeWorkload(name="recommendations", replicas=20, ready=14),
    MadeWorkload(name="mailer", replicas=6, ready=3, service=False),
    MadeWorkload(
        name="report-daily",
        namespace="batch",
        replicas=24,
        priority=("batch-low", -100),
        service=False,
        zone=ZONES[0],
    ),
    MadeWorkload(
        name="report-hourly",
        namespace="batch",
        replicas=20,
        priority=("batch-low", -100),
        service=False,
        zone=ZONES[1],
    ),
)
"""Workloads of the exhausted cluster: some stuck, some that could give way."""

EXHAUSTED: Final = MadeCluster(
    subnets=NODE_SUBNETS,
    # In a and b some nodes once ran 100 pods and keep the interfaces; the others ask for what is left. Those with a
    # warm interface serve 29 pods more, the last two of each zone none.
    nodes=(
        MadeNodes(zone=ZONES[0], count=4, pods=10, peak_pods=100),
        MadeNodes(zone=ZONES[0], count=5, pods=58, waiting=31),
        MadeNodes(zone=ZONES[0], count=2, pods=58, waiting=5),
        MadeNodes(zone=ZONES[1], count=4, pods=10, peak_pods=100),
        MadeNodes(zone=ZONES[1], count=5, pods=58, waiting=30),
        MadeNodes(zone=ZONES[1], count=2, pods=58, waiting=6),
        MadeNodes(zone=ZONES[2], count=5, pods=55),
        MadeNodes(zone=ZONES[2], count=3, pods=28),
    ),
    workloads=WORKLOADS,
)
"""The cluster of issue 3's account when two of its three /22s are full: 30 m5.8xlarge, stock settings."""


def exhausted(**changes: object) -> Snapshot:
    """The exhausted cluster, with other fields of ``MadeCluster`` where they are given."""
    return make_snapshot(replace(EXHAUSTED, **changes))  # type: ignore[arg-type] # replace checks the names at run time


def healthy() -> Snapshot:
    """The same cluster on a quiet day: thrifty warm targets, nobody waits."""
    return make_snapshot(
        replace(
            EXHAUSTED,
            nodes=tuple(MadeNodes(zone=zone, count=10, pods=40) for zone in ZONES),
            workloads=(
                MadeWorkload(name="checkout-api", replicas=22, hpa=(6, 30, 22), healthy=8),
                MadeWorkload(name="payments", replicas=8, healthy=6),
            ),
            environment={"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "45"},
        )
    )


def fragmented() -> Snapshot:
    """Prefix delegation on subnets that have addresses free, and no whole /28 of them."""
    broken = tuple(replace(subnet, broken=49) for subnet in NODE_SUBNETS)
    return make_snapshot(
        replace(
            EXHAUSTED,
            subnets=broken,
            nodes=tuple(MadeNodes(zone=zone, count=4, pods=40, waiting=60, max_pods=250) for zone in ZONES),
            workloads=(MadeWorkload(name="checkout-api", replicas=120, ready=100),),
            environment={"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"},
        )
    )


def leaking() -> Snapshot:
    """Interfaces that nodes left behind hold a third of every subnet."""
    return make_snapshot(
        replace(
            EXHAUSTED,
            nodes=tuple(MadeNodes(zone=zone, count=6, pods=85, waiting=20) for zone in ZONES),
            workloads=(MadeWorkload(name="checkout-api", replicas=12, ready=8, hpa=(6, 30, 22)),),
            others=tuple(
                MadeInterfaces(
                    subnet_id=subnet.subnet_id,
                    count=12,
                    addresses=30,
                    description="aws-K8S-i-0{n:016x}",
                    status="available",
                    leaked=True,
                )
                for subnet in NODE_SUBNETS
            ),
        )
    )


def crowded() -> Snapshot:
    """Load balancers, functions and endpoints of others fill the pods' subnets."""
    kinds = (
        ("lambda", "AWS Lambda VPC ENI-orders-{n}", 260),
        ("network_load_balancer", "ELB net/ingress/{n:016x}", 60),
        ("interface", "ELB app/shop/{n:016x}", 90),
        ("vpc_endpoint", "VPC Endpoint Interface vpce-{n:017x}", 40),
        ("nat_gateway", "Interface for NAT Gateway nat-{n:017x}", 1),
        ("interface", "RDSNetworkInterface", 60),
    )
    return make_snapshot(
        replace(
            EXHAUSTED,
            nodes=tuple(MadeNodes(zone=zone, count=6, pods=75, waiting=20) for zone in ZONES),
            workloads=(MadeWorkload(name="checkout-api", replicas=12, ready=8, hpa=(6, 30, 22)),),
            environment={"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "80"},
            others=tuple(
                MadeInterfaces(subnet_id=subnet.subnet_id, count=count, interface_type=kind, description=text)
                for subnet in NODE_SUBNETS
                for kind, text, count in kinds
            ),
        )
    )


def full_nodes() -> Snapshot:
    """Small nodes at their interfaces' limit, in subnets with room."""
    return make_snapshot(
        replace(
            EXHAUSTED,
            nodes=tuple(
                MadeNodes(zone=zone, count=6, pods=27, waiting=5, instance_type="m5.large", max_pods=110)
                for zone in ZONES
            ),
            workloads=(MadeWorkload(name="checkout-api", replicas=40, ready=25, hpa=(6, 60, 48)),),
        )
    )


def large(nodes: int = 5_000, pods: int = 30, full: int = 0, waiting: int = 20) -> Snapshot:
    """Many nodes of m5.xlarge, for benchmarks: with 30 pods each holds four interfaces.

    Args:
        nodes: How many, all zones together.
        pods: Pods of each.
        full: So many of them run as many pods as they can hold.
        waiting: Pods that wait on each of those.
    """
    zones = tuple(f"us-east-1{letter}" for letter in "abcdf")
    each, each_full = nodes // len(zones), full // len(zones)
    limits = instance_limits("m5.xlarge")
    most = limits.enis * limits.secondary_per_eni
    rows = [
        row
        for zone in zones
        for row in (
            MadeNodes(zone=zone, count=each - each_full, pods=pods, instance_type="m5.xlarge"),
            MadeNodes(
                zone=zone, count=each_full, pods=most, waiting=waiting, instance_type="m5.xlarge", max_pods=2 * most
            ),
        )
        if row.count
    ]
    return make_snapshot(
        MadeCluster(
            subnets=tuple(
                MadeSubnet(subnet_id=f"subnet-{index:017x}", zone=zone, cidr=f"10.{64 + index}.0.0/16")
                for index, zone in enumerate(zones)
            ),
            nodes=tuple(rows),
            workloads=(
                MadeWorkload(
                    name="report", namespace="batch", replicas=nodes, priority=("batch-low", -100), service=False
                ),
            ),
            vpc_cidrs=tuple(f"10.{64 + index}.0.0/16" for index in range(len(zones))),
        )
    )


class _Subnets(MemorySubnets):
    """Subnets in which a node's own address counts too."""

    def launch(self, subnet_id: str) -> HeldInterface:
        return self.create_interface(subnet_id)


@dataclass(slots=True)
class _MadeNode:
    """A node while it is being made."""

    row: MadeNodes
    index: int
    subnet_id: str
    limits: InstanceLimits
    max_pods: int
    simulation: NodeSimulation
    lines: "Counter[str]" = field(default_factory=Counter)
    waits_since: float | None = None

    @property
    def name(self) -> str:
        return f"ip-10-68-{self.index // 250}-{self.index % 250}.ec2.internal"

    @property
    def instance_id(self) -> str:
        return f"i-{self.index:017x}"

    def note(self, now: float, level: str, message: str) -> None:
        del now
        if self.waits_since is None:
            return
        if level in _LOGGED or any(word in message for word in _LOGGED_WORDS):
            self.lines[message] += 1


def make_snapshot(cluster: MadeCluster) -> Snapshot:
    """Plays the cluster's past and takes its snapshot.

    Raises:
        ValueError: More pods are asked for than the nodes run.
    """
    random = Random(cluster.seed)  # noqa: S311 - a simulation, not a secret
    environment = {**MANIFEST_VALUES, "CLUSTER_NAME": cluster.cluster, **cluster.environment}
    settings = CniSettings.from_environment(environment)
    ec2, others = _prepared(cluster)
    nodes = _settled(cluster, ec2, settings)
    _let_wait(nodes)
    place = _placement(cluster, scattered=not settings.prefix_delegation, random=random)
    foreign = tuple(_foreign(cluster, others, place))
    interfaces = tuple(each for node in nodes for each in _interfaces_of(node, cluster, place)) + foreign
    pods, workloads = _scheduled(cluster, nodes, place, random)
    stuck = [pod for pod in pods if pod.waiting == "ContainerCreating"]
    return Snapshot(
        cloud="aws",
        cluster=cluster.cluster,
        collected_at=_time(COLLECTED),
        aws=_aws(cluster, interfaces, nodes, environment),
        kubernetes=_kubernetes(cluster, nodes, pods, workloads, stuck, environment),
        pools=() if cluster.quiet_logs else tuple(_reading(node) for node in nodes),
        lines=() if cluster.quiet_logs else tuple(line for node in nodes for line in _lines(node)),
        sources=(
            Source(name="kubernetes", items=len(pods), calls=12, seconds=1.4),
            Source(name="ec2", items=len(interfaces), calls=9, seconds=1.1),
            Source(name="eks", items=2, calls=3, seconds=0.4),
        ),
    )


# The past.


def _prepared(cluster: MadeCluster) -> tuple[_Subnets, list[tuple[MadeInterfaces, int, HeldInterface]]]:
    ec2 = _Subnets()
    for subnet in cluster.subnets:
        block = Block.parse(subnet.cidr)
        whole = block.count_of(DELEGATED_PREFIX_LENGTH) - 2
        held = [Block.parse(cidr) for cidr, _ in subnet.reservations]
        taken = sum(each.count_of(DELEGATED_PREFIX_LENGTH) for each in held)
        ec2.add_subnet(
            subnet.subnet_id,
            free_addresses=usable_addresses(block) - subnet.broken - taken * PREFIX_ADDRESSES,
            free_blocks=whole - subnet.broken - taken,
            tags={SUBNET_ROLE_TAG: "1"} if subnet.for_pods else {},
        )
    others = [
        (row, number, ec2.create_interface(row.subnet_id, addresses=row.addresses - 1))
        for row in cluster.others
        for number in range(1, row.count + 1)
    ]
    return ec2, others


def _settled(cluster: MadeCluster, ec2: _Subnets, settings: CniSettings) -> list[_MadeNode]:
    """Nodes after their peak, one after the other: who comes last finds least."""
    version = CniVersion.parse(cluster.cni_version)
    nodes: list[_MadeNode] = []
    for row in cluster.nodes:
        limits = instance_limits(row.instance_type)
        capacity = row.max_pods
        if capacity is None:
            capacity = max_pods(
                limits, prefix_delegation=settings.prefix_delegation, custom_networking=settings.custom_networking
            ).value
        subnet_id = row.subnet_id or next(
            subnet.subnet_id for subnet in cluster.subnets if subnet.zone == row.zone and not subnet.for_pods
        )
        pods_in_zone = next(
            (each.subnet_id for each in cluster.subnets if each.zone == row.zone and each.for_pods), None
        )
        for _ in range(row.count):
            notes: list[_MadeNode] = []

            def log(now: float, level: str, message: str, notes: list[_MadeNode] = notes) -> None:
                for node in notes:
                    node.note(now, level, message)

            simulation = NodeSimulation(
                limits=limits,
                settings=settings,
                max_pods=capacity,
                subnets=ec2,
                node_subnet=subnet_id,
                eniconfig_subnet=pods_in_zone if settings.custom_networking else None,
                version=version,
                seed=cluster.seed + len(nodes),
                log=log,
            )
            node = _MadeNode(row, len(nodes) + 1, subnet_id, limits, capacity, simulation)
            notes.append(node)
            nodes.append(node)
            simulation.add(row.pods if row.peak_pods is None else row.peak_pods)
            simulation.settle()
            # Who never got an address has given up by now.
            simulation.pending.clear()
            simulation.remove(max(len(simulation.running) - row.pods, 0), row.leaving)
            simulation.settle()
            if row.cordoned:
                simulation.cordon()
    return nodes


def _let_wait(nodes: Iterable[_MadeNode]) -> None:
    """The last pods come, to all nodes in turn, as a scheduler would place them."""
    for node in nodes:
        if node.row.waiting:
            node.waits_since = node.simulation.now
            node.simulation.add(node.row.waiting)
            node.simulation.wait((COLLECTED - BEGAN).total_seconds())


# Addresses: from the model's counted blocks to the subnets' own.


class _Placement:
    """Where the model's addresses lie in the subnets."""

    def __init__(self, table: Mapping[int, int], prefixes: Mapping[int, int]) -> None:
        self._table = table
        self._prefixes = prefixes

    def address(self, counted: int) -> int:
        return self._table[counted]

    def prefix(self, counted: int) -> int:
        return self._prefixes[counted]


def _placement(cluster: MadeCluster, *, scattered: bool, random: Random) -> _Placement:
    """The model counts blocks of 16, whole ones first; a subnet's first and last /28 are among its broken ones."""
    table: dict[int, int] = {}
    prefixes: dict[int, int] = {}
    span = 1 << 24
    for number, subnet in enumerate(cluster.subnets, start=1):
        block = Block.parse(subnet.cidr)
        reserved = [Block.parse(cidr) for cidr, _ in subnet.reservations]
        inner = [
            each.first
            for each in block.subblocks(DELEGATED_PREFIX_LENGTH)
            if not any(held.contains(each) for held in reserved)
        ][1:-1]
        broken, whole = inner[: subnet.broken], inner[subnet.broken :]
        starts = [
            *whole,
            *broken,
            block.last + 1 - PREFIX_ADDRESSES,
            # What the model counts from 0 begins behind the addresses that AWS keeps.
            block.first + AWS_RESERVED_AT_START,
        ]
        counted = [number * span + PREFIX_ADDRESSES * index for index in range(len(starts))]
        prefixes.update(zip(counted, starts, strict=True))
        sizes = [PREFIX_ADDRESSES] * len(whole) + [PREFIX_ADDRESSES - 1] * (len(broken) + 1) + [PREFIX_ADDRESSES - 4]
        keys = [base + offset for base, size in zip(counted, sizes, strict=True) for offset in range(size)]
        places = [start + offset for start, size in zip(starts, sizes, strict=True) for offset in range(size)]
        if scattered:
            random.shuffle(places)
        table.update(zip(keys, places, strict=True))
    return _Placement(table, prefixes)


def _broken_places(subnet: MadeSubnet) -> list[int]:
    """The addresses of somebody else that break a /28 each: its last one."""
    block = Block.parse(subnet.cidr)
    reserved = [Block.parse(cidr) for cidr, _ in subnet.reservations]
    inner = [each for each in block.subblocks(DELEGATED_PREFIX_LENGTH) if not any(r.contains(each) for r in reserved)]
    return [each.last for each in inner[1:-1][: subnet.broken]]


def _foreign(
    cluster: MadeCluster, others: Sequence[tuple[MadeInterfaces, int, HeldInterface]], place: _Placement
) -> Iterator[Interface]:
    zones = {subnet.subnet_id: subnet.zone for subnet in cluster.subnets}
    for row, number, held in others:
        addresses = (held.primary_address, *held.addresses)
        yield Interface(
            interface_id=held.id.replace("eni-0", "eni-f", 1),
            subnet_id=row.subnet_id,
            zone=zones[row.subnet_id],
            status=row.status,
            interface_type=row.interface_type,
            description=row.description.format(n=number),
            addresses=tuple(format_address(place.address(address)) for address in addresses),
            requester_managed=not row.leaked,
            attached_at=None if row.leaked else _time(COLLECTED - row.age),
            created_at=_time(COLLECTED - row.age) if row.leaked else None,
            node_instance_id=f"i-0{number:016x}" if row.leaked else None,
            cluster=cluster.cluster if row.leaked else None,
        )
    for subnet in cluster.subnets:
        for number, address in enumerate(_broken_places(subnet)):
            yield Interface(
                interface_id=f"eni-e{subnet.subnet_id.removeprefix('subnet-')}{number:04x}",
                subnet_id=subnet.subnet_id,
                zone=subnet.zone,
                description=f"ELB app/ingress-{number}/{number:016x}",
                addresses=(format_address(address),),
                requester_managed=True,
            )


def _interfaces_of(node: _MadeNode, cluster: MadeCluster, place: _Placement) -> Iterator[Interface]:
    zones = {subnet.subnet_id: subnet.zone for subnet in cluster.subnets}
    for index, held in enumerate(node.simulation.ipamd.interfaces):
        addresses = (held.primary_address, *held.addresses)
        yield Interface(
            interface_id=held.id,
            subnet_id=held.subnet_id,
            zone=zones[held.subnet_id],
            description="" if held.is_primary else f"aws-K8S-{node.instance_id}",
            instance_id=node.instance_id,
            device_index=index,
            network_card=0,
            addresses=tuple(format_address(place.address(address)) for address in addresses),
            prefixes=tuple(
                f"{format_address(place.prefix(prefix))}/{DELEGATED_PREFIX_LENGTH}" for prefix in held.prefixes
            ),
            attached_at=_time(COLLECTED - _CREATED_BEFORE),
            created_at=None if held.is_primary else _time(COLLECTED - _CREATED_BEFORE),
            node_instance_id=None if held.is_primary else node.instance_id,
            cluster=None if held.is_primary else cluster.cluster,
        )


def _own_address(node: _MadeNode, place: _Placement) -> str:
    return format_address(place.address(node.simulation.ipamd.interfaces[0].primary_address))


# Pods and who they belong to.


def _scheduled(
    cluster: MadeCluster, nodes: Sequence[_MadeNode], place: _Placement, random: Random
) -> tuple[list[Pod], dict[MadeWorkload, list[Pod]]]:
    running = _addresses_by_node(nodes, place)
    stuck = _stuck_by_turns(nodes)
    pods: list[Pod] = [pod for node in nodes for pod in _host_pods(node, _own_address(node, place))]
    of: dict[MadeWorkload, list[Pod]] = {}
    named = list(cluster.workloads)
    slots = _by_turns(running)
    for workload in sorted(named, key=lambda each: not each.zone):
        ready = workload.replicas if workload.ready is None else workload.ready
        mine = of.setdefault(workload, [])
        for _ in range(ready):
            mine.append(_pod(workload, *_next_slot(slots, workload.zone, nodes), random))
        for _ in range(workload.replicas - ready):
            if not stuck:
                raise ValueError(f"{workload.name} has {workload.replicas - ready} pods to wait, and no pod more waits")
            mine.append(_pod(workload, stuck.popleft().name, None, random))
    rest = [slot for slot in slots if slot is not None]
    for number, begin in enumerate(range(0, len(rest) + len(stuck), FILLER_REPLICAS)):
        part: list[tuple[str, str | None]] = [*rest[begin : begin + FILLER_REPLICAS]]
        while len(part) < FILLER_REPLICAS and stuck and begin + FILLER_REPLICAS >= len(rest):
            part.append((stuck.popleft().name, None))
        filler = MadeWorkload(
            name=f"web-{number:03d}", namespace="web", replicas=len(part), ready=sum(ip is not None for _, ip in part)
        )
        of[filler] = [_pod(filler, node, ip, random) for node, ip in part]
    pods.extend(pod for mine in of.values() for pod in mine)
    return pods, of


def _addresses_by_node(nodes: Sequence[_MadeNode], place: _Placement) -> dict[str, deque[str]]:
    found: dict[str, deque[str]] = {}
    for node in nodes:
        addresses = deque[str]()
        for name in node.simulation.running:
            given = node.simulation.ipamd.assign(name, node.simulation.now)
            if given is not None:
                addresses.append(format_address(_of_pool(node, given.address, place)))
        found[node.name] = addresses
    return found


def _of_pool(node: _MadeNode, address: int, place: _Placement) -> int:
    """An address of a pod: one of an interface, or one inside a prefix."""
    if node.simulation.ipamd.settings.prefix_delegation and node.limits.supports_prefixes:
        offset = address % PREFIX_ADDRESSES
        return place.prefix(address - offset) + offset
    return place.address(address)


def _by_turns(running: Mapping[str, deque[str]]) -> list[tuple[str, str] | None]:
    """Every (node, address) that a pod has, one node after the other and again from the first."""
    left = {node: deque(addresses) for node, addresses in running.items()}
    slots: list[tuple[str, str] | None] = []
    while left:
        for node in tuple(left):
            if left[node]:
                slots.append((node, left[node].popleft()))
            else:
                del left[node]
    return slots


def _next_slot(slots: list[tuple[str, str] | None], zone: str, nodes: Sequence[_MadeNode]) -> tuple[str, str]:
    zone_of = {node.name: node.row.zone for node in nodes} if zone else {}
    for index, slot in enumerate(slots):
        if slot is not None and (not zone or zone_of[slot[0]] == zone):
            slots[index] = None
            return slot
    raise ValueError(f"the nodes{f' of {zone}' if zone else ''} run fewer pods than the workloads have")


def _stuck_by_turns(nodes: Sequence[_MadeNode]) -> "deque[_MadeNode]":
    waiting = {node.index: len(node.simulation.pending) for node in nodes if node.simulation.pending}
    stuck = deque[_MadeNode]()
    while waiting:
        for index in tuple(waiting):
            stuck.append(nodes[index - 1])
            waiting[index] -= 1
            if not waiting[index]:
                del waiting[index]
    return stuck


def _pod(workload: MadeWorkload, node: str, ip: str | None, random: Random) -> Pod:
    end = "".join(random.choices(_LETTERS, k=5))
    middle = {"Deployment": "-7d4b9c8f6d", "Job": "", "StatefulSet": ""}.get(workload.kind, "")
    return Pod(
        namespace=workload.namespace,
        name=f"{workload.name}{middle}-{end}",
        node=node,
        phase="Running" if ip else "Pending",
        ip=ip,
        ready=ip is not None,
        waiting=None if ip else "ContainerCreating",
        owner=f"{workload.kind}/{workload.name}",
        priority=workload.priority[1] if workload.priority else 0,
        priority_class=workload.priority[0] if workload.priority else None,
        created_at=_time(COLLECTED - _CREATED_BEFORE if ip else BEGAN),
    )


def _host_pods(node: _MadeNode, address: str) -> Iterator[Pod]:
    for name in ("aws-node", "kube-proxy"):
        yield Pod(
            namespace="kube-system",
            name=f"{name}-{node.index:05d}",
            node=node.name,
            phase="Running",
            ip=address,
            host_network=True,
            ready=True,
            owner=f"DaemonSet/{name}",
            priority=2_000_001_000,
            priority_class="system-node-critical",
            created_at=_time(COLLECTED - _CREATED_BEFORE),
        )


# What AWS and Kubernetes say.


def _aws(
    cluster: MadeCluster, interfaces: Sequence[Interface], nodes: Sequence[_MadeNode], environment: Mapping[str, str]
) -> Aws:
    taken = defaultdict[str, list[str]](list)
    prefixes = defaultdict[str, list[str]](list)
    for interface in interfaces:
        taken[interface.subnet_id].extend(interface.addresses)
        prefixes[interface.subnet_id].extend(interface.prefixes)
    subnets = tuple(
        Subnet(
            subnet_id=subnet.subnet_id,
            zone=subnet.zone,
            zone_id=f"use1-az{ord(subnet.zone[-1]) - ord('a') + 1}",
            cidr_block=subnet.cidr,
            available_addresses=_free(subnet, taken[subnet.subnet_id], prefixes[subnet.subnet_id]),
            tags={
                "Name": f"{cluster.cluster}-{'pods' if subnet.for_pods else 'private'}-{subnet.zone}",
                **({SUBNET_ROLE_TAG: "1"} if subnet.for_pods else {}),
            },
            reservations=tuple(
                CidrReservation(
                    reservation_id=f"scr-{number:017x}",
                    subnet_id=subnet.subnet_id,
                    cidr=cidr,
                    reservation_type=kind,
                )
                for number, (cidr, kind) in enumerate(subnet.reservations)
            ),
            route_table_id=None,
        )
        for subnet in cluster.subnets
    )
    groups = sorted({node.row.node_group for node in nodes if node.row.node_group})
    return Aws(
        region=REGION,
        vpc=Vpc(
            vpc_id="vpc-0123456789abcdef0",
            cidr_blocks=tuple(
                CidrAssociation(cidr_block=cidr, state="associated", association_id=f"vpc-cidr-assoc-{index:017x}")
                for index, cidr in enumerate(cluster.vpc_cidrs)
            ),
            owner_id=ACCOUNT,
        ),
        subnets=subnets,
        interfaces=tuple(interfaces),
        route_tables=(
            RouteTable(
                route_table_id="rtb-0123456789abcdef0",
                main=True,
                routes=(
                    *(Route(destination=cidr, target="local") for cidr in cluster.vpc_cidrs),
                    Route(destination="0.0.0.0/0", target="nat-0123456789abcdef0"),
                ),
            ),
        ),
        peerings=(),
        instance_types=(),
        cluster_subnet_ids=tuple(subnet.subnet_id for subnet in cluster.subnets if not subnet.for_pods),
        service_cidr="172.20.0.0/16",
        ip_family="ipv4",
        cluster_status="ACTIVE",
        cluster_issues=(),
        auto_mode=False,
        addon=Addon(
            version=f"{cluster.cni_version}-eksbuild.1",
            status="ACTIVE",
            environment=dict(cluster.environment),
            issues=(),
        ),
        node_groups=tuple(_node_group(name, cluster, nodes, environment) for name in groups),
        region_interfaces=len(interfaces) + 300,
        region_interface_quota=5_000 if len(interfaces) < 4_000 else 50_000,  # noqa: PLR2004 - far from the quota
        vpc_cidr_quota=5,
    )


def _node_group(
    name: str, cluster: MadeCluster, nodes: Sequence[_MadeNode], environment: Mapping[str, str]
) -> NodeGroup:
    del environment
    mine = [node for node in nodes if node.row.node_group == name]
    return NodeGroup(
        name=name,
        status="DEGRADED" if cluster.node_group_issues else "ACTIVE",
        subnet_ids=tuple(sorted({node.subnet_id for node in mine})),
        instance_types=tuple(sorted({node.row.instance_type for node in mine})),
        ami_type="AL2023_x86_64_STANDARD",
        minimum=1,
        desired=len(mine),
        maximum=2 * len(mine),
        max_unavailable="1",
        issues=cluster.node_group_issues,
    )


def _free(subnet: MadeSubnet, addresses: Iterable[str], prefixes: Iterable[str]) -> int:
    drawn = subnet_map(
        Block.parse(subnet.cidr),
        used_addresses=(Block.parse(f"{address}/32").first for address in addresses),
        used_blocks=map(Block.parse, prefixes),
        reservations=(Reservation(Block.parse(cidr), kind) for cidr, kind in subnet.reservations),
    )
    return drawn.free_addresses


def _kubernetes(  # noqa: PLR0913, PLR0917 - the parts of a cluster
    cluster: MadeCluster,
    nodes: Sequence[_MadeNode],
    pods: Sequence[Pod],
    workloads: Mapping[MadeWorkload, Sequence[Pod]],
    stuck: Sequence[Pod],
    environment: Mapping[str, str],
) -> Kubernetes:
    own = {known(pod.node): known(pod.ip) for pod in pods if pod.owner == "DaemonSet/aws-node"}
    classes = {each.priority for each in workloads if each.priority is not None}
    karpenter = bool(cluster.failed_claims or cluster.launching_claims or any(not n.row.node_group for n in nodes))
    image = f"602401143452.dkr.ecr.{REGION}.amazonaws.com/amazon-k8s-cni:{cluster.cni_version}-eksbuild.1"
    return Kubernetes(
        version=cluster.kubernetes_version,
        nodes=tuple(_node(node, own.get(node.name)) for node in nodes),
        pods=tuple(pods),
        events=tuple(_events(cluster, stuck)),
        workloads=tuple(
            Workload(
                kind=each.kind,
                namespace=each.namespace,
                name=each.name,
                desired=each.replicas,
                ready=sum(pod.ready for pod in mine),
                priority_class=each.priority[0] if each.priority else None,
            )
            for each, mine in workloads.items()
        ),
        services=tuple(
            Service(
                namespace=each.namespace,
                name=each.name,
                type=each.service_type,
                pods=tuple(pod.name for pod in mine),
                ready_endpoints=sum(pod.ready for pod in mine),
            )
            for each, mine in workloads.items()
            if each.service
        ),
        disruption_budgets=tuple(
            DisruptionBudget(
                namespace=each.namespace,
                name=each.name,
                pods=tuple(pod.name for pod in mine),
                desired_healthy=each.healthy,
                current_healthy=sum(pod.ready for pod in mine),
                disruptions_allowed=max(0, sum(pod.ready for pod in mine) - each.healthy),
            )
            for each, mine in workloads.items()
            if each.healthy is not None
        ),
        autoscalers=tuple(_autoscaler(each) for each in workloads if each.hpa is not None),
        priority_classes=(
            *(PriorityClass(name=name, value=value) for name, value in sorted(classes)),
            PriorityClass(name="system-cluster-critical", value=2_000_000_000),
            PriorityClass(name="system-node-critical", value=2_000_001_000),
        ),
        cni_daemon_set=CniDaemonSet(
            image=image,
            version=cluster.cni_version,
            environment=dict(sorted(environment.items())),
            desired=len(nodes),
            ready=len(nodes),
            updated=len(nodes),
            generation=3,
            managers={},
        ),
        cni_pods=tuple(
            CniPod(
                name=f"aws-node-{node.index:05d}",
                node=node.name,
                ready=True,
                image=image,
                started_at=_time(COLLECTED - _CREATED_BEFORE),
            )
            for node in nodes
        ),
        kube_proxy_ready=(len(nodes), len(nodes)),
        eni_configs=(),
        node_pools=(KarpenterNodePool(name="general", node_class="default"),) if karpenter else None,
        node_classes=(
            KarpenterNodeClass(
                name="default",
                subnet_ids=tuple(subnet.subnet_id for subnet in cluster.subnets if not subnet.for_pods),
                conditions=(Condition(type="Ready", status="True"),),
            ),
        )
        if karpenter
        else None,
        node_claims=tuple(_claims(cluster, nodes)) if karpenter else None,
    )


def _node(node: _MadeNode, address: str | None) -> Node:
    return Node(
        name=node.name,
        zone=node.row.zone,
        instance_type=node.row.instance_type,
        instance_id=node.instance_id,
        node_group=node.row.node_group or None,
        node_pool=None if node.row.node_group else "general",
        internal_ip=address,
        max_pods=node.max_pods,
        allocatable_pods=node.max_pods,
        unschedulable=node.row.cordoned,
        taints=(),
        conditions=(Condition(type="Ready", status="True", reason="KubeletReady"),),
        created_at=_time(COLLECTED - _CREATED_BEFORE),
        kubelet_version="v1.33.1-eks-1a2b3c4",
        os_image="Amazon Linux 2023",
    )


def _autoscaler(workload: MadeWorkload) -> Autoscaler:
    minimum, maximum, desired = workload.hpa or (0, 0, 0)
    return Autoscaler(
        namespace=workload.namespace,
        name=workload.name,
        target=f"{workload.kind}/{workload.name}",
        minimum=minimum,
        maximum=maximum,
        current=workload.replicas,
        desired=desired,
        conditions=(Condition(type="AbleToScale", status="True"), Condition(type="ScalingActive", status="True")),
    )


def _claims(cluster: MadeCluster, nodes: Sequence[_MadeNode]) -> Iterator[KarpenterNodeClaim]:
    for number in range(cluster.failed_claims):
        yield KarpenterNodeClaim(
            name=f"general-f{number:04d}",
            node_pool="general",
            conditions=(
                Condition(
                    type="Launched",
                    status="Unknown",
                    reason="LaunchFailed",
                    message="creating instance, with fleet error(s), InsufficientFreeAddressesInSubnet: There are not "
                    "enough free addresses in the specified subnet(s)",
                    since=_time(BEGAN),
                ),
            ),
            created_at=_time(BEGAN),
        )
    for number, zone in enumerate(cluster.launching_claims):
        node = next(each for each in reversed(nodes) if each.row.zone == zone)
        yield KarpenterNodeClaim(
            name=f"general-l{number:04d}",
            node_pool="general",
            node=node.name,
            conditions=(Condition(type="Launched", status="True"), Condition(type="Registered", status="True")),
            created_at=_time(BEGAN + timedelta(minutes=5)),
        )


def _events(cluster: MadeCluster, stuck: Sequence[Pod]) -> Iterator[Event]:
    tries = int((COLLECTED - BEGAN).total_seconds() // 15)
    for pod in stuck:
        yield Event(
            kind="Pod",
            namespace=pod.namespace,
            name=pod.name,
            reason="FailedCreatePodSandBox",
            message="Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for "
            'sandbox: plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address to '
            "container",
            count=tries,
            first_seen=_time(BEGAN),
            last_seen=_time(COLLECTED - timedelta(seconds=7)),
            reporter="kubelet",
            node=pod.node,
        )
        if cluster.cluster_autoscaler:
            yield Event(
                kind="Pod",
                namespace=pod.namespace,
                name=pod.name,
                reason="NotTriggerScaleUp",
                message="pod didn't trigger scale-up: 1 max node group size reached",
                type="Normal",
                count=40,
                first_seen=_time(BEGAN),
                last_seen=_time(COLLECTED - timedelta(seconds=20)),
                reporter="cluster-autoscaler",
            )


def _reading(node: _MadeNode) -> PoolReading:
    state = node.simulation.state
    per_prefix = PREFIX_ADDRESSES * state.prefixes
    slots = node.limits.enis * node.limits.secondary_per_eni
    return PoolReading(
        node=node.name,
        total_addresses=state.secondary_addresses + per_prefix,
        assigned_addresses=state.assigned,
        cooling_addresses=node.simulation.ipamd.cooling(node.simulation.now),
        interfaces=state.enis,
        maximum_interfaces=node.limits.enis,
        maximum_addresses=slots * (PREFIX_ADDRESSES if state.prefixes else 1),
        prefixes=state.prefixes,
        no_available_addresses=sum(
            count for text, count in node.lines.items() if "no available IP/Prefix addresses" in text
        ),
        errors={},
        api_errors={},
    )


def _lines(node: _MadeNode) -> Iterator[Line]:
    for text, count in sorted(node.lines.items()):
        yield Line(
            origin=Origin.IPAMD_LOG,
            text=text,
            node=node.name,
            first_seen=_time(BEGAN),
            last_seen=_time(COLLECTED - timedelta(seconds=5)),
            count=count,
        )


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
