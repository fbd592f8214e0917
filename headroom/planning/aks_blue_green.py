"""A cluster with Azure CNI Overlay beside the old one: its ranges, its gateway, its stack files, or why there is none.

What a stack file rests on was read, or the file is not written. The files are read back by the same functions as the
stacks read them with, so that nothing is proposed that the stacks would refuse.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from headroom.addresses.azure import (
    AKS_RESERVED,
    AZURE_SUBNET_PREFIX_LENGTHS,
    NODE_LABEL_CHARACTERS,
    OVERLAY_NODE_PREFIX_LENGTH,
    AksRanges,
    azure_usable_addresses,
    check_aks_ranges,
)
from headroom.addresses.blocks import Block, format_address, listed, parse_address
from headroom.addresses.free import best_fit, first_fit
from headroom.addresses.problems import ProblemsError
from headroom.capacity.overlay import DCSV2, MAX_PODS_RANGE, NPM_RETIRES, OVERLAY_MAXIMUM_NODES
from headroom.diagnosis.aks import ranges_around
from headroom.diagnosis.aks_room import Bound, room_of_pools
from headroom.facts.azure import AgentPool, ManagedCluster, part_of
from headroom.facts.values import Unknown, items, known, known_or
from headroom.planning import egress, overlay_cluster, retirement, traffic
from headroom.planning.aks_choices import ORIGIN_ID, Choices
from headroom.planning.aks_network import (
    LOAD_BALANCER,
    STANDARD,
    USER_NAT,
    GatewayChoice,
    NeededRule,
    WindowCost,
    choose_gateway,
    has_standard_v2,
    needed_rules,
    window_cost,
)
from headroom.planning.aks_situation import AksSituation, block_of, blocks_of, unread_networks
from headroom.planning.fill_in import FILL_IN, NO_WORKSPACE
from headroom.planning.fill_in import RULE as OPEN
from headroom.planning.front_door import DEFAULT_STEPS
from headroom.planning.plan import PlannedFile
from headroom.planning.stack_file import Entry, Value, stack_file

GROWTH: Final = 2
"""Times the nodes of all pools at their largest that the ranges of a new cluster hold; our own choice: a subnet cannot
grow while it is in use."""
LARGEST_SUBNET_WISHED: Final = 24
"""A node subnet is a /24 at least where there is room; our own choice."""
SMALLEST_POD_RANGE: Final = 16
"""A pod range is a /16 at least, 256 nodes; our own choice: it costs nothing, and not every range can grow."""
LARGEST_POD_RANGE: Final = 11
"""A /11 has more /24s than a cluster can have nodes (AKS documentation, concepts-network-azure-cni-overlay)."""
WINDOW_DAYS: Final = traffic.ROLLBACK_WINDOW_DAYS + 1
"""Days for which both clusters run: a day of steps, then the window in which one can go back."""

_POD_SPACE: Final = tuple(map(Block.parse, ("100.64.0.0/10", "10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12")))
"""Where a pod range is looked for: what the AKS documentation allows, first the one that fewest networks use
(concepts-network-azure-cni-overlay; RFC 6598)."""
_SERVICE_RANGES: Final = tuple(map(Block.parse, ("172.16.0.0/16", "10.96.0.0/16", "192.168.0.0/16")))
_TENTH: Final = 10
"""What AKS itself takes for DNS: .10 of the service range."""
_SAME_ENGINE: Final = "The engine that the old cluster has."
_ENGINES: Final[Mapping[str, tuple[str, str]]] = {
    "calico": (
        "calico",
        f"{_SAME_ENGINE[:-1]}, for policies only: with overlay it is no CNI, and new pods may lack a way out at first.",
    ),
    "cilium": ("cilium", _SAME_ENGINE),
    "azure": (
        "cilium",
        f"The old cluster has Azure NPM, retired on {NPM_RETIRES['Linux']} for Linux; try every policy with it.",
    ),
    "none": ("none", "The old cluster has none. cilium would enforce policies that nobody enforces today."),
}
"""The engine of the new cluster by that of the old one, and why (Azure/AKS announcements; AKS documentation,
use-network-policies)."""
_OS: Final = (
    ("Ubuntu", "Ubuntu"),
    ("AzureLinux", "AzureLinux"),
    ("CBLMariner", "AzureLinux"),
    ("Mariner", "AzureLinux"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The new cluster, or why there is none.

    Attributes:
        unmet: Why no stack file is written, in sentences; empty where they are.
        cluster: Name of the new cluster.
        base: What the stacks' names begin with.
        pod_cidr: Range of its pods.
        node_subnet: Its own subnet.
        gateway: The NAT gateway, as chosen; ``None``: the old cluster's serves both.
        gateway_id: ARM id of the gateway.
        policy: Its network policy engine.
        rules: Rules that the security group lacks.
        origin: The Front Door origin, by its parts; empty ones are to be filled in.
        cost: What the time with both clusters costs.
        nodes: Its nodes at first.
        notes: What a person should know of it, in sentences.
        files: The files.
    """

    unmet: tuple[str, ...] = ()
    cluster: str = ""
    base: str = ""
    pod_cidr: Block | None = None
    node_subnet: Block | None = None
    gateway: GatewayChoice | None = None
    gateway_id: str = ""
    policy: str = ""
    rules: tuple[NeededRule, ...] = ()
    cost: WindowCost | None = None
    nodes: int = 0
    notes: tuple[str, ...] = ()
    files: tuple[PlannedFile, ...] = ()

    @property
    def egress_stack(self) -> str:
        """Name of the stack of the way out; empty: none is needed."""
        return f"{self.base}-egress" if self.gateway is not None else ""

    @property
    def overlay_stack(self) -> str:
        """Name of the new cluster's stack."""
        return f"{self.base}-overlay"

    @property
    def traffic_stack(self) -> str:
        """Name of the traffic shift's stack."""
        return f"{self.base}-traffic"

    @property
    def retire_stack(self) -> str:
        """Name of the stack that ends the old cluster."""
        return f"{self.base}-retire"


def design(situation: AksSituation, choices: Choices, base: str) -> Design:
    """Designs the new cluster.

    Args:
        situation: The old cluster.
        choices: What a person chose.
        base: What the stacks' names begin with.
    """
    unmet = [*_unread(situation), *_impossible(situation)]
    if unmet:
        return Design(unmet=tuple(unmet))
    nodes = situation.wanted_nodes or 0
    pod_cidr = choices.pod_cidr or free_pod_range(situation, nodes)
    subnet = choices.node_subnet or free_node_subnet(situation, nodes)
    service = _service_range(situation, [each for each in (pod_cidr, subnet) if each is not None])
    if pod_cidr is None or subnet is None or service is None:
        missing = [
            (pod_cidr, f"No private range with a /24 for each of {nodes:,} nodes is free of what is connected."),
            (subnet, f"The VNet has no free block for a subnet of {nodes:,} nodes: give it another address space."),
            (service, "No range for Services is free of the VNet and what is connected."),
        ]
        return Design(unmet=tuple(text for found, text in missing if found is None))
    wrong = list(_wrong_ranges(situation, pod_cidr, subnet, service[0]))
    if wrong:
        return Design(unmet=tuple(wrong))
    name = f"{situation.cluster[: NODE_LABEL_CHARACTERS - len('-overlay')]}-overlay"
    pools, notes = _pools(situation)
    made = _Draft(situation, choices, base, name, pod_cidr, subnet, service, pools)
    rules = needed_rules(() if isinstance(situation.groups, Unknown) else situation.groups, subnet, pod_cidr)
    try:
        files = tuple(made.files())
    except ProblemsError as error:
        return Design(unmet=tuple(problem.message for problem in error.problems))
    running = sum(known_or(pool.count, 0) for pool in situation.pools if pool.name in pools)
    return Design(
        cluster=name,
        base=base,
        pod_cidr=pod_cidr,
        node_subnet=subnet,
        gateway=made.gateway,
        gateway_id=made.gateway_id,
        policy=made.engine[0],
        rules=() if isinstance(rules, Unknown) else rules,
        cost=window_cost(
            days=WINDOW_DAYS,
            nodes=running,
            node_dollars_an_hour=choices.node_dollars_an_hour,
            tier=made.tier,
            addresses=made.gateway.addresses if made.gateway is not None else 0,
        ),
        nodes=running,
        notes=(*made.notes(), *notes),
        files=files,
    )


# What keeps it from being designed.


def _unread(situation: AksSituation) -> Iterator[str]:
    """What a stack file would rest on and was not read."""
    managed = situation.managed
    if managed is None:
        yield f"The cluster was not read: {situation.azure.cluster}."
        return
    facts = [*_cluster_facts(situation, managed), *_network_facts(situation)]
    yield from (f"Not read: {what}: {fact}." for what, fact in facts if isinstance(fact, Unknown))
    for what, text in (
        ("version of Kubernetes", known(managed.current_kubernetes_version) or known(managed.kubernetes_version)),
        ("subscription", situation.subscription),
        ("resource group", situation.group),
        ("region", situation.location),
    ):
        if not text:
            yield f"Not read: the {what}."
    yield from (f"Not read: {what}." for what in unread_networks(situation))
    pools = situation.azure.pools
    if isinstance(pools, Unknown) or not situation.pools:
        yield f"Not read: the node pools: {pools if isinstance(pools, Unknown) else 'there is none'}."
    for pool in situation.pools:
        for what, fact in _pool_facts(pool):
            if isinstance(fact, Unknown):
                yield f"Not read: {what} of node pool {pool.name}: {fact}."
    if situation.pools and situation.most_nodes is None:
        yield "Not read, or no size: how large the node pools get, with their surge."


def _cluster_facts(situation: AksSituation, managed: ManagedCluster) -> tuple[tuple[str, object], ...]:
    network = situation.network
    return (
        ("the network plugin", network.network_plugin),
        ("the network policy engine", network.network_policy),
        ("the outbound type", network.outbound_type),
        ("the range of Services", network.service_cidr),
        ("the address of the cluster's DNS", network.dns_service_ip),
        ("the pod range", network.pod_cidr),
        ("who may reach the API server", managed.authorized_ranges),
        ("the cluster's tier", managed.sku_tier),
        ("whether the API server is private", managed.private),
        ("the IP families", network.ip_families),
    )


def _network_facts(situation: AksSituation) -> Iterator[tuple[str, object]]:
    groups = situation.groups
    if isinstance(groups, Unknown):
        yield "the security groups of the nodes' subnets", groups
    else:
        yield from ((f"the rules of the security group {group.name}", group.rules) for group in groups)
    yield from ((f"the NAT gateway of {subnet.name}", subnet.nat_gateway_id) for subnet in situation.node_subnets)
    yield from ((f"the routes of {name}", Unknown()) for name in situation.routes_unread)


def _pool_facts(pool: AgentPool) -> tuple[tuple[str, object], ...]:
    return (
        ("the mode", pool.mode),
        ("the count", pool.count),
        ("the autoscaler's minimum", pool.minimum),
        ("the autoscaler's maximum", pool.maximum),
        ("maxPods", pool.max_pods),
        ("the surge", pool.max_surge),
        ("the operating system", pool.os_type),
        ("the system image", pool.os_sku),
        ("the VM size", pool.vm_size),
        ("the subnet", pool.node_subnet_id),
        ("the zones", pool.zones),
    )


def _impossible(situation: AksSituation) -> Iterator[str]:
    """What the stacks cannot make."""
    yield from _impossible_network(situation)
    managed = situation.managed
    if managed is not None and known(managed.private):
        yield "The API server is private, and the stack makes one that can be reached: write the cluster by hand."
    if (known(situation.network.ip_families) or ("IPv4",)) != ("IPv4",):
        yield "The cluster has two IP families, and the stack makes one of IPv4."
    if situation.pools:
        yield from gateway_choice(situation).refused
    windows = [pool.name for pool in situation.pools if known(pool.os_type) == "Windows"]
    if windows:
        yield f"Node pools with Windows ({listed(windows)}) are not made by the stack."
    nodes = situation.most_nodes
    if nodes is not None and nodes > OVERLAY_MAXIMUM_NODES:
        yield (
            f"All pools at their largest have {nodes:,} nodes with surge, and a cluster has {OVERLAY_MAXIMUM_NODES:,} "
            "at most: split it."
        )


def _impossible_network(situation: AksSituation) -> Iterator[str]:
    """What keeps a new cluster out of the VNet, or from the way out that the old one has."""
    vnet = situation.vnet
    if situation.own_vnet is False:
        yield (
            "AKS manages the VNet, and nothing of one's own belongs into it: make a VNet with a subnet first, and peer "
            "it where the old one is reached."
        )
    elif situation.own_vnet and isinstance(situation.azure.vnets, tuple) and vnet is None:
        yield "The nodes are in several VNets, or in none that was read: the new cluster's is to be chosen."
    if situation.foreign_vnet:
        yield (
            f"The VNet is of subscription {situation.foreign_vnet}, and the cluster is not: the stacks make gateway, "
            "subnet and cluster in one. Choose a resource group there, and write the stack files by "
            "stacks/Pulumi.example-aks-*.yaml."
        )
    names = {vnet.name, part_of(vnet.vnet_id, "resourceGroups")} if vnet is not None else set()
    if long := [name for name in sorted(names) if len(name) > NODE_LABEL_CHARACTERS]:
        yield (
            f"{listed(long)} has more than {NODE_LABEL_CHARACTERS} characters, and nodes of an overlay carry the names "
            "of VNet and resource group as labels: the new cluster needs another VNet."
        )
    kind = known(situation.network.outbound_type)
    same = "a new subnet needs the same way out before its cluster is made, which no stack here gives it."
    if kind is not None and kind not in (LOAD_BALANCER, USER_NAT):
        yield f"The cluster's outbound type is {kind}: {same}"
    elif situation.default_route:
        yield (
            f"The nodes leave by the default route {situation.default_route}, which wins over a NAT gateway and a load "
            f"balancer: {same}"
        )


# Ranges.


def free_pod_range(situation: AksSituation, nodes: int) -> Block | None:
    """A range for an overlay's pods, with room to grow; ``None``: there is none.

    It overlaps nothing that was read of the VNets, of what is connected to them, of routes, and of other clusters.
    """
    blocks = min(max(1, GROWTH * nodes), OVERLAY_MAXIMUM_NODES)
    length = max(LARGEST_POD_RANGE, min(SMALLEST_POD_RANGE, OVERLAY_NODE_PREFIX_LENGTH - (blocks - 1).bit_length()))
    own = [block_of(known(situation.network.pod_cidr)), block_of(known(situation.network.service_cidr))]
    others = [block_of(known(each.pod_cidr)) for each in items(situation.azure.neighbours)]
    reserved = [*AKS_RESERVED, Block.parse(overlay_cluster.SDK_DEFAULTS["podCidr"])]
    taken = [*_connected(situation), *reserved, *(each for each in (*own, *others) if each is not None)]
    return next((found for space in _POD_SPACE if (found := first_fit([space], taken, length)) is not None), None)


def free_node_subnet(situation: AksSituation, nodes: int, *, addresses_of_a_node: int = 1) -> Block | None:
    """A block of the nodes' VNet for a subnet of so many nodes; ``None``: there is none."""
    vnet = situation.vnet
    if vnet is None:
        return None
    within = blocks_of(vnet.prefixes)
    used = [block for subnet in items(vnet.subnets) for block in blocks_of(subnet.prefixes)]
    least = subnet_length(nodes * addresses_of_a_node)
    wished = min(LARGEST_SUBNET_WISHED, subnet_length(GROWTH * nodes * addresses_of_a_node))
    lengths = dict.fromkeys((wished, least))
    return next((found for length in lengths if (found := best_fit(within, used, length)) is not None), None)


def subnet_length(addresses: int) -> int:
    """The longest prefix of a VNet's subnet with so many addresses to use."""
    return next(
        (
            length
            for length in reversed(AZURE_SUBNET_PREFIX_LENGTHS)
            if azure_usable_addresses(Block(0, length)) >= addresses
        ),
        AZURE_SUBNET_PREFIX_LENGTHS[0],
    )


def _connected(situation: AksSituation) -> list[Block]:
    vnets = [block for vnet in items(situation.azure.vnets) for block in blocks_of(vnet.prefixes)]
    return [*vnets, *situation.peers, *situation.routed]


def _service_range(situation: AksSituation, beside: Sequence[Block]) -> tuple[Block, str] | None:
    """The range of Services with the address of DNS: the old cluster's, for clusters may share one, or a free one.

    What the SDK puts in by itself is not taken: whether a program means it could not be told.
    """
    old = block_of(known(situation.network.service_cidr))
    if old is not None and str(old) == overlay_cluster.SDK_DEFAULTS["serviceCidr"]:
        old = None
    connected = _connected(situation)
    for found in (old, *_SERVICE_RANGES):
        if found is None or any(found.overlaps(other) for other in (*connected, *beside)):
            continue
        dns = known(situation.network.dns_service_ip) if found is old else None
        text = dns or format_address(found.first + _TENTH)
        # The pod range stands for nothing here: what is wrong with the services is asked.
        ranges = AksRanges(pod_cidr=beside[0], service_cidr=found, dns_service_ip=parse_address(text))
        if not any(problem.key in ("service-cidr", "dns-service-ip") for problem in check_aks_ranges(ranges)[0]):
            return found, text
    return None


def _wrong_ranges(situation: AksSituation, pod_cidr: Block, subnet: Block, service: Block) -> Iterator[str]:
    """What Azure would refuse of the ranges, of which a person may have chosen some."""
    around = ranges_around(situation.azure, situation.network, pod_cidr=pod_cidr, node_subnet=subnet)
    taken = [block for block in around.subnets if block.overlaps(subnet)]
    if taken:
        yield (
            f"{subnet} overlaps {listed(taken)}, a subnet that is there: Azure answers NetcfgSubnetRangesOverlap. Take "
            "a free block of the VNet."
        )
    # The Services and the DNS of the new cluster have addresses of their own.
    ranges = replace(around, service_cidr=service, dns_service_ip=None, peers=(*around.peers, *situation.routed))
    for problem in check_aks_ranges(ranges)[0]:
        if problem.key == "pod-cidr" or (problem.key == "node-subnet" and problem.rule != "peer-overlap"):
            yield f"{problem.value} {problem.reason} {problem.next_step}"


# Pools.


def _pools(situation: AksSituation) -> tuple[dict[str, dict[str, Value]], list[str]]:
    """The pools as the old cluster has them, by name, and what of them is left out, in sentences."""
    found: dict[str, dict[str, Value]] = {}
    notes: list[str] = []
    for pool in situation.pools:
        if known(pool.mode) == "Gateway":
            notes.append(f"Node pool {pool.name} carries static egress gateways, which the NAT gateway replaces.")
            continue
        size = known_or(pool.vm_size, "")
        if DCSV2.fullmatch(size):
            notes.append(f"Node pool {pool.name} has {size}, of a series that overlay does not support: write another.")
            size = f"{FILL_IN}-vm-size"
        fields: dict[str, Value] = {
            "mode": known_or(pool.mode, "User"),
            "vmSize": size,
            "count": known_or(pool.count, 0),
        }
        minimum, maximum = known(pool.minimum), known(pool.maximum)
        if minimum is not None and maximum is not None:
            fields |= {"minCount": minimum, "maxCount": maximum}
        if (most := known(pool.max_pods)) is not None:
            fields["maxPods"] = min(most, MAX_PODS_RANGE[-1])
        if (surge := known(pool.max_surge)) is not None:
            fields["maxSurge"] = surge
        if zones := items(pool.zones):
            fields["zones"] = sorted(zones)
        image = known_or(pool.os_sku, "")
        fields["osSku"] = next((name for start, name in _OS if image.startswith(start)), image)
        found[pool.name] = fields
        lost = [
            what
            for what, there in (
                ("taints", bool(known(pool.taints))),
                ("Spot VMs", known(pool.priority) == "Spot"),
                ("public addresses of nodes", known(pool.node_public_ip) is True),
            )
            if there
        ]
        if lost:
            notes.append(
                f"Node pool {pool.name} has {listed(lost)}, which the stack file cannot say: add them by hand."
            )
        unread = [
            what
            for what, fact in (
                ("taints", pool.taints),
                ("priority", pool.priority),
                ("public addresses", pool.node_public_ip),
            )
            if isinstance(fact, Unknown)
        ]
        if unread:
            notes.append(f"Not read of node pool {pool.name}, and not in the stack file: {listed(unread)}.")
    return found, notes


# The files.


@dataclass(frozen=True)
class _Draft:
    """Everything that the files are written of."""

    situation: AksSituation
    choices: Choices
    base: str
    name: str
    pod_cidr: Block
    subnet: Block
    service: tuple[Block, str]
    pools: Mapping[str, Mapping[str, Value]]

    @property
    def engine(self) -> tuple[str, str]:
        return _ENGINES.get(self.situation.policy, _ENGINES["none"])

    @property
    def tier(self) -> str:
        managed = self.situation.managed
        found = known_or(managed.sku_tier, "") if managed is not None else ""
        return found if found in overlay_cluster.TIERS else overlay_cluster.TIERS[0]

    @property
    def existing_gateway(self) -> str:
        """The NAT gateway of the old cluster, which serves the new one too; empty: it has none."""
        if known(self.situation.network.outbound_type) != USER_NAT:
            return ""
        found = {known(subnet.nat_gateway_id) or "" for subnet in self.situation.node_subnets}
        return found.pop() if len(found) == 1 else ""

    @property
    def gateway(self) -> GatewayChoice | None:
        return None if self.existing_gateway else gateway_choice(self.situation)

    @property
    def gateway_name(self) -> str:
        return gateway_name(self.situation)

    @property
    def gateway_id(self) -> str:
        return self.existing_gateway or (
            f"/subscriptions/{self.situation.subscription}/resourceGroups/{self.situation.group}/providers"
            f"/Microsoft.Network/natGateways/{self.gateway_name}"
        )

    @property
    def security_group(self) -> str:
        """The group of the old nodes' subnet; empty: none, or several."""
        groups = self.situation.groups
        return groups[0].group_id if not isinstance(groups, Unknown) and len(groups) == 1 else ""

    @property
    def origin(self) -> Mapping[str, str]:
        found = ORIGIN_ID.fullmatch(self.choices.origin)
        if found is None:
            return {
                "subscription": self.situation.subscription,
                "group": f"{FILL_IN}-resource-group",
                "profile": f"{FILL_IN}-profile",
                "origins": f"{FILL_IN}-origin-group",
                "origin": f"{FILL_IN}-old-origin",
            }
        return found.groupdict()

    def files(self) -> Iterator[PlannedFile]:
        """The files.

        Raises:
            ProblemsError: A stack would refuse what its file says.
        """
        if self.gateway is not None:
            yield from egress_files(self.situation, f"{self.base}-egress", {}, "stays on what it has")
        overlay = list(self.overlay())
        _accepted(overlay, overlay_cluster.read_overlay)
        yield _stack(
            f"{self.base}-overlay",
            f"{self.situation.cluster}: a cluster with Azure CNI Overlay beside it, in a subnet of its own.",
            overlay,
        )
        yield PlannedFile(
            path=f"stacks/policy.{self.base}-overlay.json",
            text=json.dumps(self.policy(), indent=2) + "\n",
            purpose="what the policies hold the ranges against",
        )
        shift = list(self.traffic())
        _accepted(shift, traffic.read_traffic)
        yield _stack(
            f"{self.base}-traffic", f"{self.situation.cluster}: its requests go to {self.name}, step by step.", shift
        )
        yield from self.retire()

    def overlay(self) -> Iterator[Entry]:
        situation, managed = self.situation, self.situation.managed
        assert managed is not None  # noqa: S101 - _unread has seen it
        vnet = situation.vnet
        assert vnet is not None  # noqa: S101 - a subnet was found in it
        version = known(managed.current_kubernetes_version) or known(managed.kubernetes_version) or ""
        listed_ = items(managed.authorized_ranges)
        ranges = _with(listed_, [*situation.outbound_addresses, *self.own_addresses]) if listed_ else ()
        cluster: dict[str, Value] = {
            "name": self.name,
            "kubernetesVersion": ".".join(version.split(".")[:2]),
            "tier": self.tier,
            "podCidr": str(self.pod_cidr),
            "serviceCidr": str(self.service[0]),
            "dnsServiceIp": self.service[1],
            "networkPolicy": self.engine[0],
            "networkDataplane": overlay_cluster.POLICIES[self.engine[0]],
            "outboundType": USER_NAT,
        }
        if ranges:
            cluster["authorizedRanges"] = list(ranges)
        yield Entry(key="headroom:remedy", value=overlay_cluster.REMEDY)
        yield Entry(key="azure-native:location", value=situation.location)
        yield Entry(key="headroom:resourceGroup", value=situation.group)
        yield Entry(key="headroom:aksCluster", value=cluster, comment=self._why_cluster(bool(ranges)))
        yield Entry(
            key="headroom:pools",
            value=self.pools,
            comment="As the old cluster has them. maxPods is fixed for the life of a pool, and a node has a /24: 250 "
            "are allowed.",
        )
        subnet: dict[str, Value] = {
            "vnetId": vnet.vnet_id,
            "name": f"snet-{self.name}"[:NODE_LABEL_CHARACTERS],
            "cidrBlock": str(self.subnet),
            "vnetCidrBlocks": [str(block) for block in blocks_of(vnet.prefixes)],
            "natGatewayId": self.gateway_id,
        }
        if self.security_group:
            subnet["securityGroupId"] = self.security_group
        yield Entry(
            key="headroom:nodeSubnet",
            value=subnet,
            comment=f"Its own: a subnet of kubenet cannot be shared. {azure_usable_addresses(self.subnet):,} addresses "
            f"for {situation.most_nodes:,} nodes of all pools at their largest, with surge.",
        )
        if situation.peers:
            yield Entry(key="headroom:peerCidrBlocks", value=sorted({str(block) for block in situation.peers}))

    def _why_cluster(self, authorized: bool) -> str:  # noqa: FBT001 - whether the file has such ranges
        blocks = self.pod_cidr.count_of(OVERLAY_NODE_PREFIX_LENGTH)
        why = f"{self.pod_cidr} has {blocks:,} /24s, one for each node; it overlaps nothing that was read."
        lines = [f"{why} It can grow in place, to a superset only.", f"networkPolicy: {self.engine[1]}"]
        if authorized:
            missing = (
                "" if self.own_addresses else " Add those of the egress stack, or nodes cannot reach their server."
            )
            lines.append(
                f"authorizedRanges: those of the old cluster, and the addresses that it is seen with.{missing}"
            )
        return "\n".join(lines)

    @property
    def own_addresses(self) -> tuple[str, ...]:
        """The addresses that the new cluster will be seen with, where its gateway is there already."""
        return self.situation.outbound_addresses if self.existing_gateway else ()

    def policy(self) -> Mapping[str, Any]:
        situation = self.situation
        vnets = [str(block) for vnet in items(situation.azure.vnets) for block in blocks_of(vnet.prefixes)]
        connected = sorted({str(block) for block in situation.peers})
        found = {"aks-ranges": {"vnetCidrs": vnets, **({"connectedCidrs": connected} if connected else {})}}
        if situation.managed is not None and items(situation.managed.authorized_ranges):
            # What is not known yet is no address: the policy refuses the file until somebody has filled it in.
            old = situation.outbound_addresses or (f"{FILL_IN}: the address that {situation.cluster} is seen with",)
            gateway = self.existing_gateway.rpartition("/")[2]
            where = f"of the NAT gateway {gateway}" if gateway else f"that the stack {self.base}-egress has made"
            new = self.own_addresses or (f"{FILL_IN}: an address {where}",)
            unread = (f"{FILL_IN}: the address {name}" for name in situation.outbound_unread)
            found["authorized-ranges-include-egress"] = {"egressAddresses": list(_with((), [*old, *unread, *new]))}
        return found

    def traffic(self) -> Iterator[Entry]:
        origin = self.origin
        yield Entry(key="headroom:remedy", value=traffic.REMEDY)
        yield Entry(key="azure-native:location", value=self.situation.location)
        yield Entry(
            key="headroom:frontDoor",
            value={
                "subscriptionId": origin["subscription"],
                "resourceGroup": origin["group"],
                "profile": origin["profile"],
                "originGroup": origin["origins"],
            },
            comment=""
            if self.choices.origin
            else f"Nothing that was read names it: replace what begins with {FILL_IN}.",
        )
        yield Entry(
            key="headroom:originGroup",
            value={"probePath": "/healthz", "additionalLatencyInMilliseconds": 1000},
            comment="probePath must say whether the cluster can serve. Front Door's default latency of 0 makes weights "
            "do nothing.",
        )
        yield Entry(
            key="headroom:origins",
            value={
                "old": {
                    "name": origin["origin"],
                    "hostName": f"{FILL_IN}.old.example.com",
                    "originHostHeader": f"{FILL_IN}-host-header",
                    "label": self.situation.cluster,
                    "cluster": self.situation.cluster,
                },
                "new": {
                    "name": self.name,
                    "hostName": f"{FILL_IN}.new.example.com",
                    "originHostHeader": f"{FILL_IN}-host-header",
                    "label": self.name,
                    "cluster": self.name,
                },
            },
            comment="As Front Door has them, for what is written here is what it gets: without originHostHeader where "
            "it has none, with httpPort and httpsPort where they are not 80 and 443. label is what the log of requests "
            "calls the cluster, cluster what it is called.",
        )
        yield Entry(key="headroom:steps", value=DEFAULT_STEPS)
        yield Entry(key="headroom:step", value=0, comment="0 before the first step, and the way back at any time.")
        yield Entry(
            key="headroom:gate",
            value={"workspaceId": self.choices.workspace or NO_WORKSPACE, "clusterProperty": "cluster"},
            comment=""
            if self.choices.workspace
            else "The workspace that has AppRequests of both clusters: fill it in.",
        )

    def retire(self) -> Iterator[PlannedFile]:
        """The end of the old cluster, which changes nothing in its first phase."""
        situation, subnets = self.situation, self.situation.node_subnets
        by_mode = {
            mode: sorted(pool.name for pool in situation.pools if (known(pool.mode) == "System") is (mode == "System"))
            for mode in ("System", "User")
        }
        old: dict[str, Value] = {
            "resourceGroup": situation.group,
            "name": situation.cluster,
            "pools": by_mode["User"],
            "systemPools": by_mode["System"],
        }
        if len(subnets) == 1:
            old["subnet"] = subnets[0].subnet_id
        entries = [
            Entry(key="headroom:remedy", value=retirement.REMEDY),
            Entry(key="azure-native:location", value=situation.location),
            Entry(
                key="headroom:trafficStack",
                value=f"{self.base}-traffic",
                comment="Its gate's history opens the phases after keep, once the window is over.",
            ),
            Entry(key="headroom:oldCluster", value=old),
            Entry(
                key="headroom:phase",
                value=retirement.PHASES[0],
                comment="keep changes nothing; then zero (user pools), detach (the route table), delete (the cluster).",
            ),
        ]
        _accepted(entries, retirement.read_retirement)
        yield _stack(f"{self.base}-retire", f"{situation.cluster}: its end, one phase a pull request.", entries)

    def notes(self) -> Iterator[str]:
        """What only a person can decide, or look up."""
        yield from _quota_notes(self.situation)
        addons = items(self.situation.managed.addons) if self.situation.managed is not None else ()
        had = f"add-ons ({listed(addons)}), " if addons else ""
        yield (
            f"The stack makes a cluster, its network and its pools. What else the old one has, {had}labels of pools, "
            "Entra ID, monitoring, maintenance windows, is to be added: compare both with az aks show."
        )
        if self.gateway is not None:
            yield " ".join(gateway_reasons(self.gateway))
        yield unread_behind_gateways(self.pod_cidr)
        missing = [
            what
            for what, there in (
                ("Front Door's profile, origin group and old origin (or --set origin=ID)", self.choices.origin),
                ("the workspace of the gate (or --set workspace=GUID)", self.choices.workspace),
                ("the host names and Host headers of both origins", ""),
            )
            if not there
        ]
        yield f"Write into stacks/Pulumi.{self.base}-traffic.yaml what no reading knows: {'; '.join(missing)}."
        groups = self.situation.groups
        if not isinstance(groups, Unknown) and len(groups) > 1:
            names = listed([group.name for group in groups])
            yield f"The nodes' subnets have several security groups ({names}): the new subnet gets none; choose one."


def unread_behind_gateways(pod_cidr: Block) -> str:
    """What nobody can read about a new pod range: networks behind ExpressRoute, VPNs and partners' links."""
    return (
        f"Networks behind gateways were not read: see that nobody whom pods need uses {pod_cidr}. Hosts outside with "
        "such an address cannot be reached from pods."
    )


def _with(ranges: Iterable[str], addresses: Iterable[str]) -> tuple[str, ...]:
    """Ranges as CIDRs, and those addresses that none of them has."""
    found = [text if "/" in text or text.startswith(FILL_IN) else f"{text}/32" for text in ranges]
    for text in addresses:
        block = block_of(text if "/" in text else f"{text}/32")
        if block is None:
            found.append(text)
        elif not any((other := block_of(each)) is not None and other.contains(block) for each in found):
            found.append(str(block))
    return tuple(dict.fromkeys(found))


def _quota_notes(situation: AksSituation) -> Iterator[str]:
    """Both clusters' nodes stand at the same time: what the quotas lack for it."""
    wanted: dict[str, int] = {}
    allowed: dict[str, Bound] = {}
    for room in room_of_pools(situation.aks):
        for bound in room.bounds:
            if bound.name.startswith("quota"):
                wanted[bound.name] = wanted.get(bound.name, 0) + known_or(room.pool.count, 0)
                allowed[bound.name] = bound
    for name, bound in sorted(allowed.items()):
        if bound.nodes is None:
            yield f"Whether the {name} has room for {wanted[name]:,} nodes more is not known: {bound.because}."
        elif bound.nodes < wanted[name]:
            yield (
                f"Both clusters stand at once, and the {name} has room for {bound.nodes:,} of {wanted[name]:,} nodes "
                f"({bound.because}): ask for more first."
            )


def gateway_name(situation: AksSituation) -> str:
    """What a cluster's NAT gateway is called."""
    return f"nat-{situation.cluster}"[:80]  # Azure naming rules


def gateway_choice(situation: AksSituation) -> GatewayChoice:
    """The NAT gateway for the pools, by their zones and by the ports that are in use."""
    zones = sorted({zone for pool in situation.pools for zone in items(pool.zones)})
    used = [known_or(reading.used_ports, 0) for reading in items(situation.azure.egress)]
    balancer = known(situation.network.load_balancer)
    outbound = len(items(balancer.effective_outbound_ip_ids)) if balancer is not None else 0
    vnet = situation.vnet
    return choose_gateway(
        zones=zones,
        connections=max(used, default=0) * max(1, outbound),
        v2_in_region=has_standard_v2(situation.location),
        encrypted_vnet=known(vnet.encryption) if vnet is not None else None,
    )


def gateway_reasons(choice: GatewayChoice) -> tuple[str, ...]:
    """Why that gateway, and what the stack makes of it."""
    if choice.sku == STANDARD:
        return choice.because
    made = (
        "The stack makes Standard in one zone, for the network API of azure-native 3 knows no other: where that zone "
        "fails, pools of the others lose their way out. Where that is too little, make a StandardV2 one by hand first: "
        "another gateway later has other addresses."
    )
    return (*choice.because, made)


def egress_files(situation: AksSituation, stack: str, subnets: Mapping[str, str], what: str) -> Iterator[PlannedFile]:
    """The stack file of a way out.

    Args:
        situation: The cluster.
        stack: Name of the stack.
        subnets: ARM ids of subnets that exist and get the gateway, by key.
        what: What becomes of the cluster that runs, for the title.

    Raises:
        ProblemsError: The stack would refuse what its file says, or no gateway will do.
    """
    choice = gateway_choice(situation)
    # Without a zone Azure would pick one, and nobody knew which.
    zones = list(choice.zones) or sorted({zone for pool in situation.pools for zone in items(pool.zones)})[:1]
    gateway: dict[str, Value] = {"name": gateway_name(situation), "addresses": choice.addresses}
    if zones:
        gateway["zones"] = zones
    if subnets:
        gateway["subnets"] = dict(subnets)
    entries = [
        Entry(key="headroom:remedy", value=egress.REMEDY),
        Entry(key="azure-native:location", value=situation.location),
        Entry(key="headroom:resourceGroup", value=situation.group),
        Entry(key="headroom:gateways", value={"main": gateway}, comment=" ".join(gateway_reasons(choice))),
        Entry(
            key="headroom:clusters",
            value={situation.cluster: {"outboundType": known_or(situation.network.outbound_type, "")}},
            comment="Outbound types on which a NAT gateway does nothing, or harm, are refused.",
        ),
        Entry(
            key="headroom:attach",
            value=False,
            comment="true once the audit's record lies beside this file: the stack refuses it before every allow-list "
            "has the new addresses.",
        ),
    ]
    _accepted(entries, egress.read_egress)
    yield _stack(stack, f"{situation.cluster}: static addresses for the way out; the old cluster {what}.", entries)


def _accepted(entries: Sequence[Entry], read: Any) -> None:
    """Reads a file's keys as the stack would, once what only a person knows is filled in.

    Raises:
        ProblemsError: The stack would refuse them.
    """
    try:
        read({entry.key.partition(":")[2]: entry.value for entry in entries if entry.key.startswith("headroom:")})
    except ProblemsError as error:
        wrong = [problem for problem in error.problems if problem.rule != OPEN]
        if wrong:
            raise ProblemsError(wrong, subject=error.subject) from None


def _stack(stack: str, title: str, entries: Sequence[Entry]) -> PlannedFile:
    return PlannedFile(
        path=f"stacks/Pulumi.{stack}.yaml",
        text=stack_file(f"{title}\nWritten by `headroom plan`; nothing is applied but by `pulumi up`.", entries),
        purpose=f"the configuration of {stack}: the review is of this file",
    )
