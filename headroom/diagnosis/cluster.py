"""Where nodes with waiting pods could still grow: what is in the way of each.

Nothing here concludes; the modules of the causes do. A node of which too little was read is `Growth.UNKNOWN`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Final

from headroom.capacity.cni_version import (
    FULL_SUBNET_FIXED,
    OBSERVED_VERSION,
    SUBNET_DISCOVERY,
    CniVersion,
    excluded_subnets,
    interface_subnets,
)
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.ec2 import Subnet as Ec2Subnet
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import CniSettings
from headroom.diagnosis.history import asked_at_once
from headroom.diagnosis.owners import Holdings, NodeUse, block_of, integer_of, own_addresses
from headroom.diagnosis.readings import kubernetes_of, limits_reader
from headroom.facts.aws import Interface, Subnet
from headroom.facts.interfaces import seconds_between
from headroom.facts.kubernetes import CniPod, Event, Node, Pod
from headroom.facts.snapshot import PoolReading, Snapshot
from headroom.facts.values import Unknown, is_known, items, known

STARTING_SECONDS: Final = 60
"""A pod younger than this may be on its way: it is not yet stuck unless an event says so."""

# Of the interface types of EC2, those whose addresses ipamd gives to pods.
_POD_INTERFACES: Final = frozenset({"interface", "trunk"})


class Growth(StrEnum):
    """Whether a node's pool of addresses can grow."""

    ROOM = "room"
    """It can: nothing that was read is in the way."""
    LIMIT = "limit"
    """It has all interfaces that its type allows, and all their slots are filled."""
    SUBNET = "subnet"
    """It has slots, and no subnet that it may use has the addresses for them."""
    FRAGMENTED = "fragmented"
    """It has slots for prefixes; the subnets have free addresses and no whole /28."""
    VERSION = "version"
    """Its CNI's version does not look beyond the full subnet of an interface that it has."""
    UNKNOWN = "unknown"
    """Too little was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A node on which pods wait for an address.

    Attributes:
        node: The node.
        stuck: Its pods that wait.
        addressed: Its pods that have an address.
        spare: Addresses that it holds for pods and no pod uses; ``None``: not known.
        interfaces: How many interfaces it has; ``None``: not known.
        max_interfaces: How many ipamd may use; ``None``: not known.
        growth: Whether its pool can grow.
        subnets: The subnets that it may take addresses from, by id; empty where they are not known.
        wanted: Addresses that its next step asks of one subnet at once.
        subnets_short: Of a node at its limit, whether its subnets could not give another interface its addresses
            either; ``None``: not known, or the node is not at its limit.
        prefixes: Whether it takes prefixes.
        pool: What its ipamd says.
        cni_pod: Its aws-node; ``None``: it has none, or aws-node's pods were not read.
        listed: Whether the node is among those that were read.
    """

    node: Node
    stuck: tuple[Pod, ...]
    addressed: int
    spare: int | None
    interfaces: int | None
    max_interfaces: int | None
    growth: Growth
    subnets: tuple[str, ...]
    wanted: int
    subnets_short: bool | None
    prefixes: bool
    pool: PoolReading | None
    cni_pod: CniPod | None
    listed: bool

    @property
    def can_serve(self) -> bool:
        """Whether nothing that was read keeps it from giving a pod an address soon."""
        cooling = known(self.pool.cooling_addresses) if self.pool is not None else None
        if self.spare:
            return cooling is None or cooling < self.spare
        return self.growth in (Growth.ROOM, Growth.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Reach:
    """What is in the way of a node, and where it looked."""

    growth: Growth
    subnets: tuple[str, ...] = ()
    wanted: int = 1
    short: bool | None = None
    """At the limit: whether the subnets have not the addresses of another interface; ``None``: not known."""


class Cluster:
    """Nodes, pods and subnets of a snapshot whose pods were read."""

    def __init__(self, snapshot: Snapshot, settings: CniSettings | None, version: CniVersion | None) -> None:
        self.snapshot = snapshot
        self.kubernetes = kubernetes_of(snapshot)
        self.settings = settings
        self.version = version
        self.aws = known(snapshot.aws)
        self.holdings = Holdings(snapshot)
        self._limits = limits_reader(snapshot)

    # Pods.

    @cached_property
    def _events(self) -> Mapping[tuple[str, str], tuple[Event, ...]]:
        grouped: dict[tuple[str, str], list[Event]] = {}
        for event in items(self.kubernetes.events):
            if event.kind == "Pod" and event.type != "Normal":
                grouped.setdefault((event.namespace, event.name), []).append(event)
        return {key: tuple(events) for key, events in grouped.items()}

    def events_of(self, pod: Pod) -> tuple[Event, ...]:
        """The warnings about a pod."""
        return self._events.get((pod.namespace, pod.name), ())

    @cached_property
    def stuck(self) -> tuple[Pod, ...]:
        """Pods that wait on a node for an address, those left out that only just came to a node that has one."""
        return tuple(
            pod
            for pod in self.holdings.waiting
            if not self._is_new(pod) or not self._waiting_nodes[_node_of(pod)].can_serve
        )

    @property
    def starting(self) -> int:
        """Pods that wait for an address and only just came: no event says that they are stuck."""
        return len(self.holdings.waiting) - len(self.stuck)

    def _is_new(self, pod: Pod) -> bool:
        if any(event.reason == "FailedCreatePodSandBox" for event in self.events_of(pod)):
            return False
        # A pod that is younger than the snapshot has its time from another clock: its age is not known.
        age = seconds_between(known(pod.created_at), known(self.snapshot.collected_at))
        return age is not None and 0 <= age < STARTING_SECONDS

    @cached_property
    def unscheduled(self) -> tuple[Pod, ...]:
        """Pods that no node has taken."""
        return tuple(
            pod
            for pod in items(self.kubernetes.pods)
            if pod.phase == "Pending" and pod.node is None and not pod.terminating
        )

    @cached_property
    def held_up(self) -> tuple[Pod, ...]:
        """Pods on a node that wait for something before their address, a volume above all, and did not just come."""
        waiting = {(pod.namespace, pod.name) for pod in self.holdings.waiting}
        return tuple(
            pod
            for pod in items(self.kubernetes.pods)
            if pod.phase == "Pending"
            and not pod.terminating
            and pod.ip is None
            and known(pod.node) is not None
            and (pod.namespace, pod.name) not in waiting
            and not self._is_new(pod)
        )

    # Subnets.

    @cached_property
    def subnets(self) -> Mapping[str, Subnet]:
        """The VPC's subnets by id; empty where they were not read."""
        return {} if self.aws is None else {subnet.subnet_id: subnet for subnet in items(self.aws.subnets)}

    @property
    def subnets_known(self) -> bool:
        """Whether they were read."""
        return self.aws is not None and is_known(self.aws.subnets)

    @property
    def interfaces_known(self) -> bool:
        """Whether the VPC's interfaces were read."""
        return self.aws is not None and is_known(self.aws.interfaces)

    def free(self, subnet_id: str) -> int | None:
        """AvailableIpAddressCount of a subnet; ``None``: not known."""
        subnet = self.subnets.get(subnet_id)
        return known(subnet.available_addresses) if subnet is not None else None

    def zone_of(self, subnet_id: str) -> str | None:
        """The zone of a subnet; ``None``: not known."""
        subnet = self.subnets.get(subnet_id)
        return known(subnet.zone) if subnet is not None else None

    def free_blocks(self, subnet_id: str) -> int | None:
        """Whole /28s that a subnet can still give as prefixes; ``None``: not known.

        Interfaces of other accounts in a shared subnet are not listed. So a map that shows more free addresses than
        EC2 counts is not believed where it shows free blocks, and one that shows none is right anyhow.
        """
        if subnet_id not in self._blocks:
            self._blocks[subnet_id] = self._count_blocks(subnet_id)
        return self._blocks[subnet_id]

    @cached_property
    def _blocks(self) -> dict[str, int | None]:
        return {}

    def _count_blocks(self, subnet_id: str) -> int | None:
        subnet = self.subnets.get(subnet_id)
        if subnet is None or not self.interfaces_known:
            return None
        drawn = self.holdings.map_of(subnet)
        if drawn is None:
            return None
        counted = known(subnet.available_addresses)
        if drawn.usable28 and counted is not None and drawn.free_addresses > counted:
            return None
        return drawn.usable28

    # Nodes.

    @cached_property
    def stuck_nodes(self) -> tuple[NodeState, ...]:
        """The nodes on which pods wait for an address, by name."""
        stuck: dict[str, list[Pod]] = {}
        for pod in self.stuck:
            stuck.setdefault(_node_of(pod), []).append(pod)
        return tuple(replace(self._waiting_nodes[name], stuck=tuple(pods)) for name, pods in sorted(stuck.items()))

    @cached_property
    def _waiting_nodes(self) -> Mapping[str, NodeState]:
        """The nodes on which pods wait, those among them that only just came."""
        waiting: dict[str, list[Pod]] = {}
        for pod in self.holdings.waiting:
            waiting.setdefault(_node_of(pod), []).append(pod)
        cni_pods = {known(pod.node) or "": pod for pod in items(self.kubernetes.cni_pods)}
        pools = {pool.node: pool for pool in items(self.snapshot.pools)}
        return {
            # A node that is not among those that were listed is one all the same.
            name: self._state(
                self.holdings.nodes.get(name) or NodeUse(node=_unlisted(name)),
                tuple(pods),
                pools.get(name),
                cni_pods.get(name),
            )
            for name, pods in waiting.items()
        }

    def limits_of(self, node: Node) -> InstanceLimits | None:
        """The limits of a node's instance type; ``None``: not known."""
        return self._limits(node)

    def _state(
        self, use: NodeUse, stuck: tuple[Pod, ...], pool: PoolReading | None, cni_pod: CniPod | None
    ) -> NodeState:
        limits = self._limits(use.node)
        attached = None
        if self.interfaces_known and use.interfaces:  # a node has one: none means that it was not read
            attached = tuple(
                each
                for each in use.interfaces
                if each.interface_type in _POD_INTERFACES and known(each.network_card) in (None, 0)
            )
        most = None if limits is None else limits.enis
        if most is not None and self.settings is not None and self.settings.max_eni is not None:
            most = min(most, self.settings.max_eni)
        if most is None and pool is not None:
            most = known(pool.maximum_interfaces)
        prefixes = (
            limits is not None
            and self.settings is not None
            and self.settings.prefix_delegation
            and limits.supports_prefixes
        )
        if attached is None:
            reach = self._reach_unseen(use.node, pool)
        else:
            reach = self._reach(use, attached, limits, most, prefixes=prefixes)
        return NodeState(
            node=use.node,
            stuck=stuck,
            addressed=use.addressed,
            spare=self._spare(use, attached, pool),
            interfaces=len(attached) if attached is not None else known(pool.interfaces) if pool is not None else None,
            max_interfaces=most,
            growth=reach.growth,
            subnets=reach.subnets,
            wanted=reach.wanted,
            subnets_short=reach.short,
            prefixes=prefixes,
            pool=pool,
            cni_pod=cni_pod,
            listed=use.node.name in self.holdings.nodes,
        )

    def _spare(self, use: NodeUse, attached: Sequence[Interface] | None, pool: PoolReading | None) -> int | None:
        if pool is not None:
            total, assigned = known(pool.total_addresses), known(pool.assigned_addresses)
            if total is not None and assigned is not None:
                return max(0, total - assigned)
        if attached is None:
            return None
        held = sum(
            max(0, len(each.addresses) - own_addresses(each)) + PREFIX_ADDRESSES * len(each.prefixes)
            for each in self._for_pods(attached)
        )
        return max(0, held - use.addressed)

    def _for_pods(self, attached: Sequence[Interface]) -> tuple[Interface, ...]:
        """Of a node's interfaces those that may give pods addresses."""
        if self.settings is not None and self.settings.custom_networking:
            return tuple(each for each in attached if known(each.device_index) != 0)
        return tuple(each for each in attached if each.subnet_id not in self._excluded)

    @cached_property
    def _excluded(self) -> set[str]:
        if self.version is None or not self.subnets_known:
            return set()
        everything = self._ec2_subnets(self.subnets.values())
        return excluded_subnets(everything, version=self.version, cluster_name=self._cluster_name)

    @property
    def _cluster_name(self) -> str:
        return self.settings.cluster_name if self.settings is not None else ""

    def _reach(
        self,
        use: NodeUse,
        attached: tuple[Interface, ...],
        limits: InstanceLimits | None,
        most: int | None,
        *,
        prefixes: bool,
    ) -> _Reach:
        if limits is None or most is None:
            return _Reach(Growth.UNKNOWN)
        open_interfaces = [
            each
            for each in self._for_pods(attached)
            if len(each.addresses) - own_addresses(each) + len(each.prefixes) < limits.secondary_per_eni
        ]
        room_for_another = len(attached) < most
        if not open_interfaces and not room_for_another:
            return self._reach_at_limit(use, attached, limits, prefixes=prefixes)
        if not self.subnets_known or self.settings is None:
            return _Reach(Growth.UNKNOWN)
        candidates = self._candidates(use, attached) if room_for_another else ()
        if candidates is None:
            return _Reach(Growth.UNKNOWN)
        own = tuple(dict.fromkeys(each.subnet_id for each in open_interfaces))
        subnets = tuple(dict.fromkeys((*own, *candidates)))
        if not subnets:
            return _Reach(Growth.UNKNOWN)
        frees = {subnet_id: self.free(subnet_id) for subnet_id in subnets}
        counts = {subnet_id: free for subnet_id, free in frees.items() if free is not None}
        if prefixes:
            reach = self._prefix_reach(own, candidates, counts)
        else:
            reach = _address_reach(own, candidates, counts, asked_at_once(limits, self.settings))
        if reach.growth is Growth.ROOM and own and self._stops_at_full_subnets and not _any_room(own, counts, 1):
            reach = _Reach(Growth.VERSION, subnets, reach.wanted)
        if reach.growth in (Growth.SUBNET, Growth.FRAGMENTED) and len(counts) < len(subnets):
            reach = _Reach(Growth.UNKNOWN, subnets, reach.wanted)
        return _Reach(reach.growth, subnets, reach.wanted)

    def _reach_at_limit(
        self, use: NodeUse, attached: tuple[Interface, ...], limits: InstanceLimits, *, prefixes: bool
    ) -> _Reach:
        """A node that can take no more, and whether its subnets could give it more if it could."""
        candidates = self._candidates(use, attached) if self.subnets_known else None
        if not candidates or self.settings is None:
            return _Reach(Growth.LIMIT)
        counts = {each: free for each in candidates if (free := self.free(each)) is not None}
        if prefixes:
            reach = self._prefix_reach((), candidates, counts)
        else:
            reach = _address_reach((), candidates, counts, asked_at_once(limits, self.settings))
        if reach.growth is not Growth.SUBNET:
            return _Reach(Growth.LIMIT, short=False)
        if len(counts) < len(candidates):
            return _Reach(Growth.LIMIT)
        return _Reach(Growth.LIMIT, candidates, reach.wanted, short=True)

    def _reach_unseen(self, node: Node, pool: PoolReading | None) -> _Reach:
        """What can be said of a node whose interfaces were not read: by ipamd's figures, or by empty subnets."""
        growth = _growth_by_metrics(pool)
        zone, address = known(node.zone), known(node.internal_ip)
        if growth is Growth.LIMIT or self.settings is None or zone is None or address is None:
            return _Reach(growth)
        number = integer_of(address)
        own = next(
            (
                each.subnet_id
                for each in self.subnets.values()
                if number is not None and (block := block_of(each)) is not None and block.first <= number <= block.last
            ),
            None,
        )
        subnets = self._subnets_for(own, zone) if own is not None or self.settings.custom_networking else None
        if not subnets or any(self.free(each) != 0 for each in subnets):
            return _Reach(growth)
        return _Reach(Growth.SUBNET, subnets)

    @property
    def _stops_at_full_subnets(self) -> bool:
        return self.version is not None and SUBNET_DISCOVERY <= self.version < FULL_SUBNET_FIXED

    def _prefix_reach(self, own: tuple[str, ...], candidates: tuple[str, ...], counts: Mapping[str, int]) -> _Reach:
        """A prefix on an interface that is there, or a new interface: its own address and one prefix."""
        subnets = tuple(dict.fromkeys((*own, *candidates)))
        blocks = {subnet_id: self.free_blocks(subnet_id) for subnet_id in subnets}
        if any(blocks[each] for each in own) or any(
            blocks[each] and counts.get(each, 0) > PREFIX_ADDRESSES for each in candidates
        ):
            return _Reach(Growth.ROOM, wanted=PREFIX_ADDRESSES)
        if not _any_room(subnets, counts, PREFIX_ADDRESSES):
            return _Reach(Growth.SUBNET, wanted=PREFIX_ADDRESSES)
        if any(blocks[each] is None and counts.get(each, 0) >= PREFIX_ADDRESSES for each in subnets):
            return _Reach(Growth.UNKNOWN, wanted=PREFIX_ADDRESSES)
        return _Reach(Growth.FRAGMENTED, wanted=PREFIX_ADDRESSES)

    def _candidates(self, use: NodeUse, attached: Sequence[Interface]) -> tuple[str, ...] | None:
        """The subnets in which ipamd would make another interface; ``None``: not known."""
        primary = next((each.subnet_id for each in attached if known(each.device_index) == 0), None)
        zone = known(use.node.zone) or (self.zone_of(primary) if primary is not None else None)
        return self._subnets_for(primary, zone)

    def _subnets_for(self, primary: str | None, zone: str | None) -> tuple[str, ...] | None:
        """The subnets for interfaces of a node in that subnet and zone; ``None``: not known."""
        if self.settings is None:
            return None
        if self.settings.custom_networking:
            return self._subnets_of_configs(zone)
        if primary is None or primary not in self.subnets:
            return None
        if not self.settings.subnet_discovery:
            return (primary,)
        if zone is None:
            return None
        in_zone = (subnet for subnet in self.subnets.values() if known(subnet.zone) == zone)
        found = interface_subnets(
            self._ec2_subnets(in_zone),
            node_subnet=primary,
            # What nobody wrote down is taken for a version of today: all of those discover subnets.
            version=self.version or OBSERVED_VERSION,
            cluster_name=self._cluster_name,
        )
        return tuple(subnet.id for subnet in found)

    def _subnets_of_configs(self, zone: str | None) -> tuple[str, ...] | None:
        """The subnets that ENIConfigs name, those of other zones left out; ``None``: not known."""
        configs = self.kubernetes.eni_configs
        named = {known(each.subnet_id) or "" for each in items(configs)}
        if isinstance(configs, Unknown) or not named <= self.subnets.keys():
            return None
        return tuple(each for each in sorted(named) if zone is None or self.zone_of(each) in (zone, None))

    @staticmethod
    def _ec2_subnets(subnets: Iterable[Subnet]) -> list[Ec2Subnet]:
        return [
            Ec2Subnet(
                id=subnet.subnet_id,
                free_addresses=known(subnet.available_addresses) or 0,
                tags=known(subnet.tags) or {},
            )
            for subnet in subnets
        ]


def _node_of(pod: Pod) -> str:
    return known(pod.node) or ""


def _unlisted(name: str) -> Node:
    """A node that pods name, and of which nothing was read."""
    return Node(name=name)


def _any_room(subnets: Sequence[str], counts: Mapping[str, int], wanted: int) -> bool:
    return any(counts.get(each, 0) >= wanted for each in subnets)


def _address_reach(own: tuple[str, ...], candidates: tuple[str, ...], counts: Mapping[str, int], asked: int) -> _Reach:
    """One more address on an interface that is there, or a new interface, which asks for several at once."""
    if _any_room(own, counts, 1):
        return _Reach(Growth.ROOM, wanted=1)
    wanted = asked if candidates else 1
    return _Reach(Growth.ROOM if _any_room(candidates, counts, asked) else Growth.SUBNET, wanted=wanted)


def _growth_by_metrics(pool: PoolReading | None) -> Growth:
    """What ipamd's own figures say of the limit, where EC2's interfaces were not read."""
    if pool is None:
        return Growth.UNKNOWN
    figures = (pool.interfaces, pool.maximum_interfaces, pool.total_addresses, pool.maximum_addresses)
    interfaces, most_interfaces, total, most = (known(each) for each in figures)
    if interfaces is None or most_interfaces is None or total is None or most is None:
        return Growth.UNKNOWN
    return Growth.LIMIT if interfaces >= most_interfaces and total >= most else Growth.UNKNOWN


def read_cluster(snapshot: Snapshot, settings: CniSettings | None, version: CniVersion | None) -> Cluster | None:
    """The cluster of a snapshot; ``None`` where its pods were not read."""
    kubernetes = known(snapshot.kubernetes)
    if kubernetes is None or kubernetes.pods is None or not is_known(kubernetes.pods):
        return None
    return Cluster(snapshot, settings, version)
