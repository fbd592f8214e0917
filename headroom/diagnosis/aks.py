"""An AKS cluster as the causes' modules read it: how pods get addresses, and how far each bound is away.

Nothing here concludes; the modules of the causes do. A figure that two readings give differently is no figure.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from shlex import quote
from typing import Final

from headroom.addresses.azure import (
    OVERLAY_NODE_PREFIX_LENGTH,
    AksRanges,
    azure_usable_addresses,
    node_blocks,
)
from headroom.addresses.blocks import Block, parse_address
from headroom.addresses.problems import ProblemsError
from headroom.capacity.overlay import (
    HOST_LOCAL_ADDRESSES,
    KUBENET_MAXIMUM_NODES,
    MAX_PODS_RANGE,
    AksPool,
    ClusterCapacity,
    Surge,
    cluster_capacity,
    default_surge,
)
from headroom.diagnosis.cluster import Cluster, NodeState
from headroom.diagnosis.readings import kubernetes_of
from headroom.diagnosis.signatures import match
from headroom.facts.azure import (
    AgentPool,
    ArmError,
    Azure,
    AzureRouteTable,
    AzureSubnet,
    CnsReading,
    HostLocalReading,
    ManagedCluster,
    NetworkProfile,
    NodeNetworkConfig,
    resource_name,
)
from headroom.facts.interfaces import seconds_between
from headroom.facts.kubernetes import ENDED, Node, Pod
from headroom.facts.snapshot import Origin, Snapshot
from headroom.facts.values import Fact, Unknown, is_known, items, known, known_or

PAST_SECONDS: Final = 3600
"""An operation that Azure refused so long ago says nothing of now: events, too, live as long (kube-apiserver,
--event-ttl)."""

SMALLER_THAN_BLOCK: Final = 3
"""Addresses of a node's range that host-local gives to nobody: its first, the gateway's and its last
(containernetworking/plugins, host-local, range.go)."""

SUBNET_FULL_CODES: Final = frozenset({"subnetisfull", "insufficientsubnetsize", "insufficientpodcidr"})
"""Error codes of Azure where a subnet, or by its target the pod CIDR, is too small (Azure support, error codes of
AKS; InsufficientPodCidr of kubenet: AKS-Construction #357)."""

VIRTUAL_NODE: Final = "virtual-node-"
"""How the name of a virtual node begins (AKS documentation, virtual-nodes-cli: virtual-node-aci-linux)."""

NETWORK_UNAVAILABLE: Final = "NetworkUnavailable"
"""The node condition that the route controller sets while a node has no route (Kubernetes, route controller)."""


_POD_CIDR: Final = re.compile(r"pod[ _-]?cidr", re.IGNORECASE)
_NAMED_CIDR: Final = re.compile(r"in (?:Subnet|Pod) Cidr ([0-9.]+/[0-9]+)", re.IGNORECASE | re.ASCII)
"""How AKS names the range that is too small (AKS-Construction #357, #701)."""
_WANTED: Final = re.compile(r"Pre-allocated IPs ([0-9]{1,9}) exceeds", re.IGNORECASE | re.ASCII)
"""How it says how many addresses the pools would have come to; of a pod CIDR whole /24s (the same issues)."""


class Mode(StrEnum):
    """How pods of an AKS cluster get addresses."""

    KUBENET = "kubenet"
    """host-local, out of a /24 a node; a route a node."""
    OVERLAY = "overlay"
    """azure-cns, out of a /24 a node."""
    POD_SUBNET = "pod_subnet"
    """azure-cns, out of a subnet for pods."""
    NODE_SUBNET = "node_subnet"
    """azure-vnet-ipam, out of the nodes' subnet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """How many of the /24s of the pod CIDR nodes have.

    Attributes:
        given: Nodes, each of which has one.
        blocks: /24s of the pod CIDR.
        pod_cidr: The pod CIDR.
    """

    given: int
    blocks: int
    pod_cidr: str

    def __str__(self) -> str:
        return f"{self.given:,} of {self.blocks:,} /24s of {self.pod_cidr} are given to nodes"


class Aks:
    """The cluster of a snapshot of AKS."""

    def __init__(self, snapshot: Snapshot, cluster: Cluster | None) -> None:
        self.snapshot = snapshot
        self.azure = known_or(snapshot.azure, Azure())
        self.kubernetes = kubernetes_of(snapshot)
        self.cluster = cluster

    # What kind of cluster.

    @property
    def managed(self) -> ManagedCluster | None:
        """The cluster as AKS has it; ``None``: not known."""
        return known(self.azure.cluster)

    @property
    def network(self) -> NetworkProfile:
        """Its network profile; all unknown where it was not read."""
        return known_or(self.managed.network, NetworkProfile()) if self.managed is not None else NetworkProfile()

    @property
    def within(self) -> str:
        """Options of `az` for its subscription and its group: the CLI's default subscription may be another one."""
        subscription = known(self.azure.subscription_id)
        named = f"--subscription {quote(subscription)} " if subscription else ""
        return f"{named}--resource-group {quote(known(self.azure.resource_group) or 'GROUP')}"

    @cached_property
    def mode(self) -> Mode | None:
        """How its pods get addresses; ``None``: not known, or not the same in all pools."""
        plugin, overlay = self.network.network_plugin, self.network.network_plugin_mode
        if known(plugin) == Mode.KUBENET:
            return Mode.KUBENET
        if known(overlay) == Mode.OVERLAY:
            return Mode.OVERLAY
        if known(plugin) != "azure" or not is_known(overlay):
            return None
        modes = {
            None if isinstance(pool.pod_subnet_id, Unknown) else Mode.NODE_SUBNET if not pool.pod_subnet_id
            else Mode.POD_SUBNET
            for pool in self.pools
        }  # fmt: skip
        return modes.pop() if len(modes) == 1 else None

    # Pools and nodes.

    @cached_property
    def pools(self) -> tuple[AgentPool, ...]:
        """Its node pools, by name."""
        return tuple(sorted(items(self.azure.pools), key=lambda pool: pool.name))

    @cached_property
    def _pool_by_name(self) -> Mapping[str, AgentPool]:
        return {pool.name: pool for pool in self.pools}

    def pool_of(self, node: Node) -> AgentPool | None:
        """The pool of a node; ``None``: not known."""
        return self._pool_by_name.get(known_or(node.node_group, ""))

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Its nodes by name."""
        return {node.name: node for node in items(self.kubernetes.nodes)}

    @cached_property
    def _bound(self) -> Counter[str]:
        return Counter(known_or(pod.node, "") for pod in items(self.kubernetes.pods) if pod.phase not in ENDED)

    def pods_on(self, node: str) -> int:
        """Pods that maxPods counts on a node: those on the host network and those that wait among them."""
        return self._bound[node]

    @cached_property
    def _addressed(self) -> Counter[str]:
        return Counter(
            known_or(pod.node, "")
            for pod in items(self.kubernetes.pods)
            if pod.phase not in ENDED and not pod.host_network and known(pod.ip) is not None
        )

    def addressed_on(self, node: str) -> int:
        """Pods of the pod network that have an address on a node."""
        return self._addressed[node]

    def most_pods(self, node: Node) -> int | None:
        """Pods that a node takes (maxPods), as the kubelet says it, else as its pool; ``None``: not known."""
        for told in (node.allocatable_pods, node.max_pods):
            if (most := known(told)) is not None:
                return most
        pool = self.pool_of(node)
        return known(pool.max_pods) if pool is not None else None

    def block_addresses(self, node: Node) -> int:
        """Addresses that host-local can give out on a node."""
        block = _block(known(node.pod_cidr))
        return HOST_LOCAL_ADDRESSES if block is None else block.size - SMALLER_THAN_BLOCK

    def pods_bound(self, node: Node) -> int:
        """The most pods that can run on a node, whatever was listed."""
        return self.most_pods(node) or MAX_PODS_RANGE[-1]

    # What nodes say.

    def host_local_of(self, node: str) -> HostLocalReading | None:
        """The reservations on a node; ``None``: not read."""
        return self._host_local.get(node)

    def config_of(self, node: str) -> NodeNetworkConfig | None:
        """The NodeNetworkConfig of a node; ``None``: not read, or none."""
        return self._configs.get(node)

    def cns_of(self, node: str) -> CnsReading | None:
        """What azure-cns on a node says; ``None``: not read."""
        return self._cns.get(node)

    @cached_property
    def _host_local(self) -> Mapping[str, HostLocalReading]:
        return {each.node: each for each in items(self.azure.host_local)}

    @cached_property
    def _configs(self) -> Mapping[str, NodeNetworkConfig]:
        return {each.node: each for each in items(self.azure.node_network_configs)}

    @cached_property
    def _cns(self) -> Mapping[str, CnsReading]:
        return {each.node: each for each in items(self.azure.cns)}

    def failures_of(self, state: NodeState) -> frozenset[str]:
        """Names of the wordings in which the pods that wait on a node are refused an address."""
        if self.cluster is None:
            return frozenset()
        return frozenset(
            found.signature.name
            for pod in state.stuck
            for event in self.cluster.events_of(pod)
            for found in match(event.message, origin=Origin.POD_EVENT, cloud="azure")
        )

    def stuck_with(self, *names: str) -> tuple[NodeState, ...]:
        """Nodes on which pods are refused an address in any of these wordings."""
        if self.cluster is None:
            return ()
        return tuple(state for state in self.cluster.stuck_nodes if self.failures_of(state) & set(names))

    @cached_property
    def without_network(self) -> tuple[Node, ...]:
        """Nodes that say that they have no network."""
        return tuple(
            node
            for node in self.nodes.values()
            if any(each.type == NETWORK_UNAVAILABLE and each.status == "True" for each in items(node.conditions))
        )

    @property
    def unscheduled(self) -> tuple[Pod, ...]:
        """Pods that no node has taken."""
        return self.cluster.unscheduled if self.cluster is not None else ()

    @property
    def failed_pools(self) -> tuple[AgentPool, ...]:
        """Pools whose last operation failed."""
        return tuple(pool for pool in self.pools if known(pool.provisioning_state) == "Failed")

    # Subnets.

    @cached_property
    def _subnets(self) -> Mapping[str, AzureSubnet]:
        return {subnet.subnet_id.lower(): subnet for vnet in items(self.azure.vnets) for subnet in items(vnet.subnets)}

    def subnet(self, subnet_id: str | None) -> AzureSubnet | None:
        """A subnet by its ARM id; ``None``: not read."""
        return self._subnets.get(subnet_id.lower()) if subnet_id is not None else None

    def free(self, subnet_id: str | None) -> int | None:
        """Free addresses of a subnet; ``None``: not known, or the readings contradict each other."""
        subnet = self.subnet(subnet_id)
        if subnet is None:
            return None
        used, usable, configurations = (
            known(each) for each in (subnet.used_addresses, subnet.usable_addresses, subnet.ip_configurations)
        )
        if used is not None and usable is not None:
            if (configurations is not None and configurations > used) or self._nodes_in(subnet) > used:
                return None
            return max(0, usable - used)
        blocks = [_block(text) for text in items(subnet.prefixes)]
        if configurations is None or not blocks or None in blocks or self._nodes_in(subnet) > configurations:
            return None
        # A subnet that pods take addresses of dynamically has more in use than IP configurations.
        if items(subnet.delegations) or not is_known(subnet.delegations) or not is_known(subnet.used_addresses):
            return None
        return max(0, sum(azure_usable_addresses(block) for block in blocks if block is not None) - configurations)

    def _nodes_in(self, subnet: AzureSubnet) -> int:
        """Nodes that have their address in a subnet."""
        blocks = [block for text in items(subnet.prefixes) if (block := _block(text)) is not None]
        addresses = [_address(known(node.internal_ip)) for node in self.nodes.values()]
        return sum(
            address is not None and any(block.first <= address <= block.last for block in blocks)
            for address in addresses
        )

    @cached_property
    def node_subnet_ids(self) -> tuple[str, ...]:
        """The subnets of the pools' nodes."""
        return _distinct(self.node_subnet_of(pool) for pool in self.pools)

    def node_subnet_of(self, pool: AgentPool) -> str | None:
        """The subnet of a pool's nodes; ``None``: not known.

        A pool that names none is in the VNet that AKS made, in the node resource group, which has one subnet.
        """
        if pool.node_subnet_id is not None:
            return known(pool.node_subnet_id)
        group = known(self.managed.node_resource_group) if self.managed is not None else None
        if group is None:
            return None
        within = f"/resourcegroups/{group.lower()}/"
        made = [subnet_id for subnet_id in self._subnets if within in subnet_id]
        return self._subnets[made[0]].subnet_id if len(made) == 1 else None

    @cached_property
    def pod_subnet_ids(self) -> tuple[str, ...]:
        """The subnets of the pools' pods."""
        return _distinct(known(pool.pod_subnet_id) for pool in self.pools)

    def addresses_of_a_node(self, pool: AgentPool) -> int | None:
        """Addresses of its subnet that one more node takes at once; ``None``: not known."""
        if self.mode is None:
            return None
        if self.mode is not Mode.NODE_SUBNET:
            return 1
        most = known(pool.max_pods)
        return None if most is None else 1 + most

    # The pod range, routes, operations.

    @cached_property
    def given(self) -> Given | None:
        """How many blocks of the pod CIDR are given to nodes; ``None``: not known, or there is none."""
        block = _block(known(self.network.pod_cidr))
        if block is None or self.mode not in (Mode.KUBENET, Mode.OVERLAY) or not is_known(self.kubernetes.nodes):
            return None
        return Given(given=len(self.nodes), blocks=node_blocks(block), pod_cidr=str(block))

    @cached_property
    def capacity(self) -> ClusterCapacity | None:
        """What the ranges carry against the pools at their largest; ``None``: too little is known."""
        ranges, pools = self.ranges, [sized(pool, default=self.default_surge) for pool in self.pools]
        if ranges is None or not pools or self.mode not in (Mode.KUBENET, Mode.OVERLAY):
            return None
        told = [pool for pool in pools if pool is not None]
        if len(told) < len(pools):
            return None
        return cluster_capacity(ranges, told, mode="kubenet" if self.mode is Mode.KUBENET else "overlay")

    @property
    def default_surge(self) -> Surge:
        """What AKS upgrades a pool with that names no surge."""
        managed = self.managed
        told = (managed.current_kubernetes_version, managed.kubernetes_version) if managed is not None else ()
        return default_surge(next((found for each in told if (found := _minor(known(each))) is not None), None))

    @cached_property
    def ranges(self) -> AksRanges | None:
        """The ranges of the cluster and of its VNets; ``None``: it has no pod CIDR, or that is not known."""
        pods = _block(known(self.network.pod_cidr))
        if pods is None:
            return None
        subnet = self.subnet(self.node_subnet_ids[0]) if len(self.node_subnet_ids) == 1 else None
        prefixes = items(subnet.prefixes) if subnet is not None else ()
        return ranges_around(
            self.azure,
            self.network,
            pod_cidr=pods,
            node_subnet=_block(prefixes[0]) if len(prefixes) == 1 else None,
        )

    @cached_property
    def route_tables(self) -> tuple[AzureRouteTable, ...]:
        """The route tables of the nodes' subnets."""
        used = {
            (known(subnet.route_table_id) or "").lower()
            for each in self.node_subnet_ids
            if (subnet := self.subnet(each)) is not None
        }
        return tuple(table for table in items(self.azure.route_tables) if table.route_table_id.lower() in used)

    def routes_left(self) -> int | None:
        """Routes that the nodes' route table still takes (kubenet); ``None``: not known."""
        counts = [len(items(table.routes)) for table in self.route_tables if is_known(table.routes)]
        return None if not counts else max(0, KUBENET_MAXIMUM_NODES - max(counts))

    @cached_property
    def refused(self) -> tuple[ArmError, ...]:
        """Operations that Azure refused, those long past left out."""
        now = known(self.snapshot.collected_at)
        found = []
        for error in items(self.azure.errors):
            age = seconds_between(known(error.last_seen), now)
            if age is None or age <= PAST_SECONDS:
                found.append(error)
        return tuple(found)

    def refused_for_pod_cidr(self) -> tuple[ArmError, ...]:
        """Those of them that say that the pod CIDR is too small; one that names another CIDR is another cluster's."""
        return tuple(each for each in self._too_small() if _is_about_pod_cidr(each) and self._may_be_own(each.message))

    def _may_be_own(self, text: str) -> bool:
        """Whether a refusal names this cluster's pod CIDR, or none."""
        own, named_there = known(self.network.pod_cidr), _NAMED_CIDR.search(text)
        return own is None or named_there is None or named_there[1] == own

    @property
    def nodes_refused(self) -> int:
        """Nodes for which Azure found the pod CIDR too small, of all pools as they were to become, with surge; 0: none.

        What was refused is in no pool's settings, and is what somebody wants the range for.
        """
        told = [each.message for each in self.refused_for_pod_cidr()]
        # A failed pool keeps Azure's words when the activity log is not readable.
        told += [text for pool in self.failed_pools if (text := known(pool.issue)) and _POD_CIDR.search(text)]
        wanted = [
            int(found[1]) for text in told if (found := _WANTED.search(text)) is not None and self._may_be_own(text)
        ]
        return -(-max(wanted, default=0) // Block(0, OVERLAY_NODE_PREFIX_LENGTH).size)

    def refused_for_subnet(self) -> tuple[ArmError, ...]:
        """Those of them that say that a subnet is too small."""
        return tuple(each for each in self._too_small() if not _is_about_pod_cidr(each))

    def _too_small(self) -> Iterable[ArmError]:
        return (each for each in self.refused if each.code.lower() in SUBNET_FULL_CODES)

    # Whether lists are whole.

    @cached_property
    def strangers(self) -> int:
        """Pods whose address is not of the range that their node or their cluster gives out."""
        count = 0
        ranges = self._pod_ranges
        for pod in items(self.kubernetes.pods):
            address = _address(known(pod.ip))
            if pod.host_network or address is None or pod.phase in ENDED:
                continue
            node = self.nodes.get(known_or(pod.node, ""))
            if node is not None and node.node_group is None and node.name.startswith(VIRTUAL_NODE):
                continue  # its pods run in Azure Container Instances, in a subnet of their own
            own = _block(known(node.pod_cidr)) if node is not None and self.mode is Mode.KUBENET else None
            within = (own,) if own is not None else ranges
            count += bool(within) and not any(block.first <= address <= block.last for block in within)
        return count

    @cached_property
    def _pod_ranges(self) -> tuple[Block, ...]:
        """Where pods may have their addresses; empty where that is not known."""
        if self.mode in (Mode.KUBENET, Mode.OVERLAY):
            texts: tuple[str | None, ...] = (known(self.network.pod_cidr),)
        else:
            subnets = [self.subnet(each) for each in (*self.node_subnet_ids, *self.pod_subnet_ids)]
            prefixes: list[Fact[tuple[str, ...]]] = [
                (subnet.prefixes if subnet is not None else None) or Unknown() for subnet in subnets
            ]
            if self.mode is None or any(isinstance(each, Unknown) for each in prefixes):
                # Of a mode or a subnet that was not read: somewhere in the VNets, or in the pod CIDR.
                prefixes = [vnet.prefixes for vnet in items(self.azure.vnets)]
                own = self.network.pod_cidr
                prefixes += [own if isinstance(own, Unknown) else (own,)] if own is not None else []
            if any(isinstance(each, Unknown) for each in prefixes):
                return ()
            texts = tuple(text for each in prefixes for text in items(each))
        blocks = [_block(text) for text in texts]
        return () if None in blocks else tuple(block for block in blocks if block is not None)


def sized(pool: AgentPool, *, default: Surge) -> AksPool | None:
    """A pool for the arithmetic of ranges; ``None``: its size is not known.

    Args:
        pool: The pool.
        default: AKS's surge where the pool names none.
    """
    count, maximum, most = known(pool.count), known(pool.maximum), known(pool.max_pods)
    if count is None or isinstance(pool.maximum, Unknown) or isinstance(pool.max_surge, Unknown):
        return None
    surge = default
    if pool.max_surge is not None:
        try:
            surge = Surge.parse(pool.max_surge)
        except ProblemsError:
            return None
    return AksPool(name=pool.name, count=count, maximum=maximum, surge=surge, max_pods=most)


def ranges_around(azure: Azure, network: NetworkProfile, *, pod_cidr: Block, node_subnet: Block | None) -> AksRanges:
    """A pod range with all that it is held against, as far as that was read.

    Args:
        azure: What Azure says: the VNets, their subnets and peerings.
        network: The cluster's network profile: the range of Services, and DNS.
        pod_cidr: The range.
        node_subnet: The block of the nodes' subnet; None: not known, or there are several.
    """
    vnets = items(azure.vnets)
    return AksRanges(
        pod_cidr=pod_cidr,
        node_subnet=node_subnet,
        service_cidr=_block(known(network.service_cidr)),
        dns_service_ip=_address(known(network.dns_service_ip)),
        vnets=_blocks(text for vnet in vnets for text in items(vnet.prefixes)),
        subnets=_blocks(text for vnet in vnets for each in items(vnet.subnets) for text in items(each.prefixes)),
        peers=_blocks(text for vnet in vnets for each in items(vnet.peerings) for text in items(each.remote_prefixes)),
    )


def named(subnet_id: str) -> str:
    """A subnet as the portal shows it: VNET/SUBNET."""
    parts = subnet_id.rstrip("/").split("/")
    return f"{parts[-3]}/{parts[-1]}" if len(parts) > 3 else resource_name(subnet_id)  # noqa: PLR2004 - vnet, type, name


def _is_about_pod_cidr(error: ArmError) -> bool:
    return _POD_CIDR.search(f"{error.code} {known_or(error.target, '')} {error.message}") is not None


def _minor(version: str | None) -> tuple[int, int] | None:
    """The first two numbers of a version of Kubernetes; ``None``: it has none."""
    parts = (version or "").removeprefix("v").split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else None


def _distinct(ids: Iterable[str | None]) -> tuple[str, ...]:
    found = {each.lower(): each for each in ids if each is not None}
    return tuple(found[key] for key in sorted(found))


def _block(text: str | None) -> Block | None:
    if text is None:
        return None
    try:
        return Block.parse(text)
    except ProblemsError:  # IPv6, or nonsense
        return None


def _blocks(texts: Iterable[str]) -> tuple[Block, ...]:
    return tuple(block for text in texts if (block := _block(text)) is not None)


def _address(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_address(text)
    except ProblemsError:
        return None
