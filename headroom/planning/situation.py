"""What the planner knows of a cluster: the snapshot, read for planning, with everything that is missing named."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headroom.addresses.blocks import Block
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import SUBNET_EXCLUDED, SUBNET_ROLE_TAG, CniVersion
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.fleet import Nodes, plan_fleet
from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.pool import node_pool
from headroom.capacity.settings import CniSettings
from headroom.diagnosis.readings import waiting_pods
from headroom.facts.aws import Addon, Aws, Interface, Subnet
from headroom.facts.interfaces import is_leaked
from headroom.facts.kubernetes import ENDED, CniDaemonSet, Kubernetes, Node
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, is_known, items, known, known_or

# EC2 API reference, VpcCidrBlockState: a CIDR that is on its way in counts as one that is there.
_PRESENT = ("associated", "associating")


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A zone that has nodes.

    Attributes:
        name: Its name.
        nodes: Its nodes, for the capacity model.
        node_subnets: Ids of the subnets of its nodes, the one with most nodes first.
        route_table_id: The route table of that subnet; empty: unknown.
        free: Free addresses of its node subnets and of its subnets tagged for pods; ``None``: unknown.
        stuck: Pods on its nodes that have no address.
        short: Addresses that the nodes with stuck pods miss by the capacity model, and one more node beside them.
        held: Addresses that the interfaces of its nodes hold.
        leaked: Interfaces in its subnets that hang on nothing and were made by the CNI, with their addresses.
        untagged: Free addresses of subnets of the zone that carry no tag of the CNI, have the route table of the nodes'
            and hold no interface of anybody else, by id: somebody may have made them for pods.
    """

    name: str
    nodes: tuple[Nodes, ...]
    node_subnets: tuple[str, ...] = ()
    route_table_id: str = ""
    free: int | None = None
    stuck: int = 0
    short: int = 0
    held: int = 0
    leaked: Mapping[str, int] = field(default_factory=dict)
    untagged: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The cluster as a planner sees it; empty and ``None`` mean unknown, and ``problems`` says so.

    Attributes:
        cluster: Its name.
        region: The Region.
        vpc_id: The VPC.
        vpc_blocks: Its CIDRs, the primary first.
        subnet_blocks: The CIDRs of all its subnets, by id.
        cni_version: The VPC CNI's version.
        environment: aws-node's known settings.
        settings: What ipamd makes of them.
        addon: The managed add-on; ``None``: aws-node is self-managed, or it is unknown who owns it.
        self_managed: Whether aws-node is known to be self-managed.
        auto_mode: Whether EKS Auto Mode runs the nodes.
        zones: Zones with nodes, by name.
        routes: Destinations of all route tables, `local` apart.
        peers: CIDRs of active peers.
        service_cidr: The cluster's range for Services.
        cidr_quota: The VPC's quota of CIDRs.
        stuck_pods: Pods that were scheduled and have no address, as namespace/name.
        most_stuck: The most of them on one node.
        pod_subnets: Ids of the subnets that carry the CNI's role tag.
        nitro: Whether every node can have prefixes.
        ip_family: ipv4 or ipv6.
        without_eni_config: Whether custom networking is on and it is known that no ENIConfig names a subnet.
        problems: What must be known before a stack file can be written.
    """

    cluster: str = ""
    region: str = ""
    vpc_id: str = ""
    vpc_blocks: tuple[Block, ...] = ()
    subnet_blocks: Mapping[str, Block]
    cni_version: CniVersion | None = None
    environment: Mapping[str, str]
    settings: CniSettings
    addon: Addon | None = None
    self_managed: bool = False
    auto_mode: bool = False
    zones: Mapping[str, Zone]
    routes: tuple[Block, ...] = ()
    peers: tuple[Block, ...] = ()
    service_cidr: Block | None = None
    cidr_quota: int | None = None
    stuck_pods: tuple[str, ...] = ()
    most_stuck: int = 0
    pod_subnets: tuple[str, ...] = ()
    nitro: bool = True
    ip_family: str = ""
    without_eni_config: bool = False
    problems: tuple[Problem, ...] = ()


def read_situation(snapshot: Snapshot) -> Situation:
    """Reads a snapshot for planning; what is unknown is left out and named."""
    problems: list[Problem] = []
    aws = known_or(snapshot.aws, Aws())
    kubernetes = known_or(snapshot.kubernetes, Kubernetes())
    daemon_set = known_or(kubernetes.cni_daemon_set, CniDaemonSet())
    vpc = known(aws.vpc)
    vpc_blocks = tuple(
        Block.parse(cidr.cidr_block)
        for cidr in (items(vpc.cidr_blocks) if vpc else ())
        if known_or(cidr.state, "associated") in _PRESENT
    )
    environment = dict(known_or(daemon_set.environment, {}))
    settings = CniSettings.from_environment(environment)
    _require(problems, "cluster", snapshot.cluster, "clusterName")
    _require(problems, "aws.region", aws.region, "aws:region")
    _require(problems, "aws.vpc", aws.vpc, "vpcId")
    _require(problems, "aws.subnets", aws.subnets, "podSubnets")
    _require(problems, "kubernetes.nodes", kubernetes.nodes, "podSubnets")
    _require(problems, "kubernetes.cniDaemonSet.environment", daemon_set.environment, "cniSettings")
    version = _version(problems, daemon_set)
    if vpc and not vpc_blocks:
        _require(problems, "aws.vpc.cidrBlocks", vpc.cidr_blocks, "vpcCidrBlocks")
    limits = _limits(problems, aws, kubernetes)
    waiting = waiting_pods(snapshot)
    stuck = Counter(known_or(pod.node, "") for pod in waiting)
    zones = _zones(aws, kubernetes, limits, settings, stuck, known(snapshot.collected_at))
    return Situation(
        cluster=known_or(snapshot.cluster, ""),
        region=known_or(aws.region, ""),
        vpc_id=vpc.vpc_id if vpc else "",
        vpc_blocks=vpc_blocks,
        subnet_blocks={
            subnet.subnet_id: Block.parse(subnet.cidr_block)
            for subnet in items(aws.subnets)
            if isinstance(subnet.cidr_block, str)
        },
        cni_version=version,
        environment=environment,
        settings=settings,
        addon=known(aws.addon),
        self_managed=aws.addon is None,
        auto_mode=known_or(aws.auto_mode, default=False),
        zones=zones,
        routes=_routes(aws),
        peers=_peers(aws),
        service_cidr=Block.parse(aws.service_cidr)
        if isinstance(aws.service_cidr, str) and ":" not in aws.service_cidr  # that of an IPv6 cluster
        else None,
        cidr_quota=known(aws.vpc_cidr_quota),
        stuck_pods=tuple(sorted(f"{pod.namespace}/{pod.name}" for pod in waiting)),
        most_stuck=max(stuck.values(), default=0),
        pod_subnets=tuple(sorted(subnet.subnet_id for subnet in items(aws.subnets) if _takes_pods(subnet))),
        nitro=all(limit.hypervisor == "nitro" or limit.bare_metal for limit in limits.values()),
        ip_family=known_or(aws.ip_family, ""),
        without_eni_config=settings.custom_networking
        and is_known(kubernetes.eni_configs)
        and not any(known(each.subnet_id) for each in items(kubernetes.eni_configs)),
        problems=tuple(problems),
    )


def _takes_pods(subnet: Subnet) -> bool:
    return known_or(subnet.tags, {}).get(SUBNET_ROLE_TAG, SUBNET_EXCLUDED) not in ("", SUBNET_EXCLUDED)


def _require(problems: list[Problem], name: str, fact: object, key: str) -> None:
    if fact is None or isinstance(fact, Unknown):
        why = f"is unknown: {fact}." if isinstance(fact, Unknown) else "is not there."
        problems.append(
            Problem(
                rule="fact-unknown",
                value=name,
                reason=why,
                next_step=f"Read it with `headroom collect`, or write `{key}` into the stack file by hand.",
            )
        )


def _version(problems: list[Problem], daemon_set: CniDaemonSet) -> CniVersion | None:
    if isinstance(daemon_set.version, str):
        try:
            return CniVersion.parse(daemon_set.version)
        except ProblemsError as error:
            problems.extend(error.problems)
            return None
    _require(problems, "kubernetes.cniDaemonSet.version", daemon_set.version, "cniVersion")
    return None


def _limits(problems: list[Problem], aws: Aws, kubernetes: Kubernetes) -> dict[str, InstanceLimits]:
    """Limits by instance type, of every node's type."""
    asked = {
        kind.name: InstanceLimits(
            instance_type=kind.name,
            enis=kind.interfaces,
            ipv4_per_eni=kind.addresses_per_interface,
            hypervisor="nitro" if known_or(kind.nitro, default=False) else "unknown",
            vcpus=known(kind.vcpus),
        )
        for kind in items(aws.instance_types)
    }
    found: dict[str, InstanceLimits] = {}
    for name in sorted({node.instance_type for node in items(kubernetes.nodes) if isinstance(node.instance_type, str)}):
        try:
            found[name] = asked.get(name) or instance_limits(name)
        except ProblemsError as error:
            problems.extend(error.problems)
    return found


def _zones(  # noqa: PLR0913, PLR0917 - what the zones are read from
    aws: Aws,
    kubernetes: Kubernetes,
    limits: Mapping[str, InstanceLimits],
    settings: CniSettings,
    stuck: Mapping[str, int],
    collected_at: str | None,
) -> dict[str, Zone]:
    pods: Counter[str] = Counter()
    for pod in items(kubernetes.pods):
        if not isinstance(pod.node, str) or pod.host_network or pod.phase in ENDED:
            continue
        pods[pod.node] += 1
    primary = {
        interface.instance_id: interface.subnet_id
        for interface in items(aws.interfaces)
        if isinstance(interface.instance_id, str) and interface.device_index == 0
    }
    held: Counter[str] = Counter()
    for interface in items(aws.interfaces):
        if isinstance(interface.instance_id, str):
            held[interface.instance_id] += held_addresses(interface)
    members: defaultdict[str, list[Node]] = defaultdict(list)
    for node in items(kubernetes.nodes):
        if isinstance(node.zone, str):
            members[node.zone].append(node)
    subnets = {subnet.subnet_id: subnet for subnet in items(aws.subnets)}
    return {
        name: _zone(
            name,
            nodes,
            counts=_Counts(pods=pods, stuck=stuck, held=held, primary=primary),
            subnets=subnets,
            aws=aws,
            limits=limits,
            settings=settings,
            collected_at=collected_at,
        )
        for name, nodes in sorted(members.items())
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """Pods and stuck pods by node, addresses held and the primary interface's subnet by instance."""

    pods: Mapping[str, int]
    stuck: Mapping[str, int]
    held: Mapping[str, int]
    primary: Mapping[str, str]


def held_addresses(interface: Interface) -> int:
    """Addresses of its subnet that an interface takes."""
    return len(interface.addresses) + len(interface.prefixes) * PREFIX_ADDRESSES


def _short(name: str, nodes: Iterable[Nodes], stuck_held: Iterable[tuple[Nodes, int]], settings: CniSettings) -> int:
    missing = 0
    for node, held in stuck_held:
        pool = node_pool(node.limits, settings, node.pods, max_pods=node.max_pods)
        most = pool.subnet_addresses if pool.range is None else pool.range.most
        missing += max(0, most - held)
    plan = plan_fleet(nodes, settings)
    return missing + sum(zone.surge_addresses for zone in plan.zones if zone.zone == name)


def _zone(  # noqa: PLR0913 - what a zone is made of
    name: str,
    nodes: Iterable[Node],
    *,
    counts: _Counts,
    subnets: Mapping[str, Subnet],
    aws: Aws,
    limits: Mapping[str, InstanceLimits],
    settings: CniSettings,
    collected_at: str | None,
) -> Zone:
    nodes = sorted(nodes, key=lambda node: node.name)
    pods, stuck, primary = counts.pods, counts.stuck, counts.primary
    homes = Counter(primary[node.instance_id] for node in nodes if known_or(node.instance_id, "") in primary)  # type: ignore[index] # a text, since it is a key
    node_subnets = tuple(sorted(homes, key=lambda subnet: (-homes[subnet], subnet)))
    serving = [
        subnet
        for subnet in subnets.values()
        if subnet.subnet_id in homes or (known(subnet.zone) == name and _takes_pods(subnet))
    ]
    free = [subnet.available_addresses for subnet in serving]
    modelled = {
        node.name: Nodes(
            limits=limits[node.instance_type],
            zone=name,
            subnet=primary.get(known_or(node.instance_id, ""), ""),
            pods=pods.get(node.name, 0),
            max_pods=known(node.max_pods),
        )
        for node in nodes
        if isinstance(node.instance_type, str) and node.instance_type in limits
    }
    served = {subnet.subnet_id for subnet in serving}
    return Zone(
        name=name,
        nodes=tuple(modelled.values()),
        short=_short(
            name,
            modelled.values(),
            (
                (modelled[node.name], counts.held.get(known_or(node.instance_id, ""), 0))
                for node in nodes
                if node.name in modelled and stuck.get(node.name)
            ),
            settings,
        ),
        held=sum(counts.held.get(known_or(node.instance_id, ""), 0) for node in nodes),
        leaked={
            interface.interface_id: held_addresses(interface)
            for interface in sorted(items(aws.interfaces), key=lambda found: found.interface_id)
            if interface.subnet_id in served and is_leaked(interface, collected_at)
        },
        untagged=_untagged(name, node_subnets, subnets, aws),
        node_subnets=node_subnets,
        route_table_id=_route_table(aws, subnets.get(node_subnets[0])) if node_subnets else "",
        free=sum(count for count in free if isinstance(count, int))
        if free and all(isinstance(count, int) for count in free)
        else None,
        stuck=sum(stuck.get(node.name, 0) for node in nodes),
    )


def _untagged(zone: str, node_subnets: tuple[str, ...], subnets: Mapping[str, Subnet], aws: Aws) -> dict[str, int]:
    table = _route_table(aws, subnets.get(node_subnets[0])) if node_subnets else ""
    of_others = {each.subnet_id for each in items(aws.interfaces) if not isinstance(each.instance_id, str)}
    if not table or not is_known(aws.interfaces):
        return {}
    return {
        subnet.subnet_id: subnet.available_addresses
        for subnet in sorted(subnets.values(), key=lambda each: each.subnet_id)
        if known(subnet.zone) == zone
        and isinstance(subnet.available_addresses, int)
        and subnet.subnet_id not in {*node_subnets, *of_others}
        and is_known(subnet.tags)
        and SUBNET_ROLE_TAG not in known_or(subnet.tags, {})
        and _route_table(aws, subnet) == table
    }


def _route_table(aws: Aws, subnet: Subnet | None) -> str:
    if subnet is None or not is_known(subnet.route_table_id):
        return ""
    if isinstance(subnet.route_table_id, str):
        return subnet.route_table_id
    return next((table.route_table_id for table in items(aws.route_tables) if table.main), "")


def _routes(aws: Aws) -> tuple[Block, ...]:
    """Destinations that are CIDRs, `local` and the default route apart: prefix lists cannot be compared."""
    found = {
        Block.parse(route.destination)
        for table in items(aws.route_tables)
        for route in table.routes
        if route.target != "local" and "." in route.destination
    }
    return tuple(sorted(block for block in found if block.prefix_length))


def _peers(aws: Aws) -> tuple[Block, ...]:
    found = {
        Block.parse(cidr)
        for peering in items(aws.peerings)
        if peering.status == "active"
        for cidr in items(peering.peer_cidr_blocks)
    }
    return tuple(sorted(found))
