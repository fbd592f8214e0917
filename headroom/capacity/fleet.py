"""What a fleet of nodes takes from the subnets of its zones, and the warm targets that suit it.

All nodes of a cluster run one aws-node DaemonSet, so they share one setting of warm targets, however different
they are. What a node takes is the closed form of `pool`; what a setting costs in EC2 calls and how fast it lets a
node grow is simulated, on one node of each kind in the fleet.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Final

from headroom.addresses.blocks import ADDRESS_BITS, DELEGATED_PREFIX_LENGTH, Block, usable_addresses
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.pool import NodePool, node_pool, node_shape
from headroom.capacity.settings import CniSettings

if TYPE_CHECKING:
    from headroom.capacity.simulation import NodeSimulation

DEFAULT_SURGE: Final = 1
"""Nodes that a rolling upgrade adds in a zone before it takes others away."""

DEFAULT_CHURN: Final = 1.0
"""Pods that start, and pods that end, on a node in a minute, unless told otherwise."""

DEFAULT_BURST_SECONDS: Final = 60
"""How long pods of a burst may wait for their addresses, unless told otherwise."""

LEAST_BURST: Final = 10
"""Pods of a burst on a node that runs fewer."""

SIMULATED_MINUTES: Final = 60
"""Churn that is simulated to count EC2 calls, shared by the kinds of nodes."""

LEAST_MINUTES: Final = 10
"""Churn that is simulated on each kind at least."""

TURN_SECONDS: Final = 10
"""How often a pod may start and end in that simulation."""

BURST_LIMIT_SECONDS: Final = 1800
"""A burst that takes longer than this is not followed to its end."""

WARM_IP_TARGETS: Final = (1, 2, 3, 5, 8, 10, 15, 20, 30)
"""The values of WARM_IP_TARGET among which the best is looked for."""

EQUAL_SHARE: Final = 0.10
"""Settings that hold at most this share more than the thriftiest count as equal to it."""

EQUAL_CALLS_SHARE: Final = 0.25
"""Settings that need at most this share more EC2 calls than the one with the fewest count as equal to it: two runs
of the same churn differ by about as much."""

SIMULATED_CHOICES: Final = 12
"""Settings that are compared at most: the thriftiest that serve a burst in time."""

SIMULATIONS_KEPT: Final = 4096
"""Simulations whose answer is remembered; each takes some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Nodes that are alike.

    Attributes:
        limits: Their instance limits.
        zone: Their availability zone.
        subnet: The subnet of their primary interfaces; empty where it is not known.
        count: How many they are.
        pods: Pods on the pod network of each.
        peak_pods: The most pods that each of them ran or may run; its pod capacity where it is not given.
        max_pods: Its pod capacity; the advised one where it is not given.
    """

    limits: InstanceLimits
    zone: str
    subnet: str = ""
    count: int = 1
    pods: int
    peak_pods: int | None = None
    max_pods: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSubnet:
    """A subnet that nodes of a zone may take addresses from.

    Attributes:
        id: Subnet id, or its CIDR.
        zone: Its availability zone.
        usable: Addresses of it that the fleet may use.
        free28: Whole aligned /28s among them.
        for_pods: Whether only pods get addresses of it: it is tagged for the VPC CNI, or named in an ENIConfig.
    """

    id: str
    zone: str
    usable: int
    free28: int
    for_pods: bool = False

    @classmethod
    def of(cls, block: Block, zone: str, *, for_pods: bool = False) -> "FleetSubnet":
        """An empty subnet. Its first and last /28 never become prefixes."""
        blocks = 1 << max(0, DELEGATED_PREFIX_LENGTH - block.prefix_length)
        return cls(
            id=str(block),
            zone=zone,
            usable=usable_addresses(block),
            free28=max(0, blocks - 2) if block.prefix_length < ADDRESS_BITS else 0,
            for_pods=for_pods,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetDemand:
    """What the fleet takes from one subnet.

    Attributes:
        subnet: Its id.
        zone: Its zone.
        addresses: Addresses taken.
        with_upgrade: Addresses taken while an upgrade is on the way.
        worst: Addresses taken once every node has had its peak.
        usable: Addresses that it has for the fleet, or None where it is not known.
    """

    subnet: str
    zone: str
    addresses: int
    with_upgrade: int
    worst: int
    usable: int | None

    @property
    def short_by(self) -> int:
        """Addresses that are missing for an upgrade; 0 where they suffice or are not known."""
        return 0 if self.usable is None else max(0, self.with_upgrade - self.usable)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneNeeds:
    """What the nodes of a zone take, and what a rolling upgrade adds.

    Attributes:
        zone: Its name.
        nodes: Nodes, without surge.
        pods: Pods on the pod network.
        enis: Network interfaces.
        prefixes: Delegated /28 prefixes.
        addresses: Everything taken from subnets.
        assigned: Addresses that pods have.
        idle: Addresses that pods could have and do not.
        worst: Everything taken once every node has had its peak and gives nothing back.
        surge_nodes: Nodes that an upgrade adds first.
        surge_addresses: What they take before any old node has given anything back: each as much as the most
            demanding node of the zone.
        free28: Whole free /28s that the zone needs, surge included; 0 where no node uses prefixes.
        usable: Addresses of all its subnets for the fleet, or None where they are not known.
        usable28: Whole aligned /28s of those that pods may use, or None.
        subnets: Each subnet.
    """

    zone: str
    nodes: int
    pods: int
    enis: int
    prefixes: int
    addresses: int
    assigned: int
    idle: int
    worst: int
    surge_nodes: int
    surge_addresses: int
    free28: int
    usable: int | None
    usable28: int | None
    subnets: tuple[SubnetDemand, ...]

    @property
    def with_upgrade(self) -> int:
        """Everything taken while an upgrade is on the way."""
        return self.addresses + self.surge_addresses

    @property
    def short_by(self) -> int:
        """Addresses that its subnets miss for an upgrade; 0 where they suffice or are not known."""
        return sum(subnet.short_by for subnet in self.subnets)

    @property
    def short_of_28s(self) -> int:
        """Whole /28s that are missing for an upgrade; 0 where they suffice or are not known."""
        return 0 if self.usable28 is None else max(0, self.free28 - self.usable28)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What a fleet takes.

    Attributes:
        zones: Each zone, in alphabetical order.
        settles: False where nodes never come to rest.
        waiting: Pods for which their nodes can have no address.
    """

    zones: tuple[ZoneNeeds, ...]
    settles: bool
    waiting: int

    @property
    def nodes(self) -> int:
        """Nodes, without surge."""
        return sum(zone.nodes for zone in self.zones)

    @property
    def pods(self) -> int:
        """Pods on the pod network."""
        return sum(zone.pods for zone in self.zones)

    @property
    def addresses(self) -> int:
        """Everything taken from subnets."""
        return sum(zone.addresses for zone in self.zones)

    @property
    def assigned(self) -> int:
        """Addresses that pods have."""
        return sum(zone.assigned for zone in self.zones)

    @property
    def idle(self) -> int:
        """Addresses that pods could have and do not."""
        return sum(zone.idle for zone in self.zones)

    @property
    def worst(self) -> int:
        """Everything taken once every node has had its peak and gives nothing back."""
        return sum(zone.worst for zone in self.zones)

    @property
    def short(self) -> tuple[ZoneNeeds, ...]:
        """The zones whose subnets do not suffice for an upgrade."""
        return tuple(zone for zone in self.zones if zone.short_by or zone.short_of_28s)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualNode:
    """A node that stands for all of its kind: as many interfaces and addresses on each, and the same pod capacity.

    Attributes:
        limits: Those of the most frequent instance type of the kind.
        nodes: Nodes of the kind.
        pods: The pods that its median node runs and can have addresses for.
        max_pods: Its pod capacity.
        burst_pods: Pods that arrive at once on it.
    """

    limits: InstanceLimits
    nodes: int
    pods: int
    max_pods: int
    burst_pods: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetChoice:
    """One setting of warm targets for a fleet.

    Attributes:
        environment: What to set on aws-node, by name. Names that are not here are to be unset.
        addresses: Everything that the fleet takes with it.
        worst: The same once every node has had its peak.
        calls_per_hour: EC2 calls of the whole fleet under the churn given.
        bursts: How many seconds a node of each kind needs until a burst of pods has addresses; infinity where they
            are still missing after `BURST_LIMIT_SECONDS`.
        new_node_seconds: The same for all pods of a node that has just started, of the slowest kind.
        settles: False where nodes never come to rest.
    """

    environment: tuple[tuple[str, int], ...]
    addresses: int
    worst: int
    calls_per_hour: float
    bursts: tuple[float, ...]
    new_node_seconds: float
    settles: bool

    @property
    def burst_seconds(self) -> float:
        """Those of the slowest kind."""
        return max(self.bursts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetAdvice:
    """The best single setting of warm targets for a fleet.

    Attributes:
        now: The setting as it is.
        best: The best one; the same as `now` where nothing is gained.
        considered: Those with which a burst has its addresses in time on every kind of node, thriftiest first, up to
            `EQUAL_SHARE` above the first.
        kinds: The kinds of nodes that were simulated, the most frequent first.
    """

    now: TargetChoice
    best: TargetChoice
    considered: tuple[TargetChoice, ...]
    kinds: tuple[UsualNode, ...]

    @property
    def saves(self) -> int:
        """Addresses that the best setting gives back."""
        return self.now.addresses - self.best.addresses

    @property
    def slowest(self) -> UsualNode:
        """The kind on which a burst waits longest with the best setting; the most frequent of several."""
        return max(zip(self.best.bursts, self.kinds, strict=True), key=lambda pair: pair[0])[1]


def plan_fleet(
    nodes: Iterable[Nodes],
    settings: CniSettings,
    *,
    surge: int = DEFAULT_SURGE,
    subnets: Sequence[FleetSubnet] = (),
) -> FleetPlan:
    """What a fleet takes from each zone and subnet.

    A node's first interface takes from the node's own subnet. Each further one takes from the subnet of the zone
    with the most free addresses that may be used for it: any one under subnet discovery, those for pods under
    custom networking (amazon-vpc-cni-k8s, pkg/awsutils/awsutils.go). So the free addresses of those subnets
    approach one level, and the split between them is exact within one interface.

    Args:
        nodes: The fleet; rows may repeat.
        settings: aws-node's settings.
        surge: Nodes that a rolling upgrade adds in each zone (EKS user guide, managed-node-update-behavior).
        subnets: The subnets, where they are known.
    """
    by_zone: dict[str, Counter[Nodes]] = defaultdict(Counter)
    for row in nodes:
        by_zone[row.zone][row] += 1
    for subnet in subnets:
        by_zone.setdefault(subnet.zone, Counter())
    pools = _Pools(settings)
    zones = tuple(
        _zone(zone, by_zone[zone], pools, surge, [subnet for subnet in subnets if subnet.zone == zone])
        for zone in sorted(by_zone)
    )
    return FleetPlan(zones=zones, settles=pools.settle, waiting=sum(zone.pods - zone.assigned for zone in zones))


def best_warm_targets(  # noqa: PLR0913 - the fleet and what is asked of it
    nodes: Iterable[Nodes],
    settings: CniSettings,
    *,
    burst_pods: int | None = None,
    burst_seconds: float = DEFAULT_BURST_SECONDS,
    churn: float = DEFAULT_CHURN,
    simulated_choices: int = SIMULATED_CHOICES,
) -> TargetAdvice | None:
    """Looks for the single setting of warm targets that suits a fleet best; None for a fleet without nodes.

    A low WARM_IP_TARGET is thrifty, but a burst then grows by only about that many addresses in 5.3 s, and every
    pod costs EC2 calls (amazon-vpc-cni-k8s README, and #405, #617, #873). So of the settings with which a burst has
    its addresses in time on every kind of node the thriftiest are taken, among those that are thrifty alike
    (`EQUAL_SHARE`) the ones with the fewest calls, and among those (`EQUAL_CALLS_SHARE`) the one with which a burst
    is served first where that takes longest.

    Args:
        nodes: The fleet.
        settings: aws-node's settings; the mode (prefixes, custom networking) is kept.
        burst_pods: Pods that arrive at once on one node; as many as it runs, where it is not given. Never more than
            it can have addresses for.
        burst_seconds: How long they may wait.
        churn: Pods that start, and pods that end, on a node in a minute.
        simulated_choices: How many settings to compare at most.
    """
    rows: Counter[Nodes] = Counter()
    for row in nodes:
        if row.count > 0:
            rows[replace(row, zone="", subnet="", count=1)] += row.count
    if not rows:
        return None
    trial = _Trial(rows, _usual_nodes(rows, settings, burst_pods), churn)
    now = trial.choice(settings, trial.bursts(settings, BURST_LIMIT_SECONDS))
    served = trial.takes(settings).served
    found: list[TargetChoice] = []
    thriftiest = sorted(
        ((trial.takes(targets), targets) for targets in _targets(rows, settings)),
        key=lambda pair: (pair[0].addresses, len(_environment(pair[1])), _environment(pair[1])),
    )
    for takes, targets in thriftiest:
        if len(found) == simulated_choices or (found and takes.addresses > found[0].addresses * (1 + EQUAL_SHARE)):
            break
        if takes.settles and takes.served >= served:
            bursts = trial.bursts(targets, burst_seconds)
            if max(bursts) <= burst_seconds:
                found.append(trial.choice(targets, bursts))
    return TargetAdvice(now=now, best=_best(now, found, burst_seconds), considered=tuple(found), kinds=trial.kinds)


def worst_pool(pool: NodePool) -> int:
    """The most that a node with such a pool holds."""
    return pool.most_addresses


class _Pools:
    """The pools of a fleet's nodes, each kind reckoned once."""

    def __init__(self, settings: CniSettings) -> None:
        self.settings = settings
        self.settle = True
        self._found: dict[tuple[InstanceLimits, int, int | None], NodePool] = {}

    def pool(self, nodes: Nodes, pods: int) -> NodePool:
        key = (nodes.limits, pods, nodes.max_pods)
        pool = self._found.get(key)
        if pool is None:
            pool = self._found[key] = node_pool(nodes.limits, self.settings, pods, max_pods=nodes.max_pods)
            self.settle &= pool.settles
        return pool

    def now(self, nodes: Nodes) -> NodePool:
        """The pool with the pods that the nodes run."""
        return self.pool(nodes, nodes.pods)

    def worst(self, nodes: Nodes, now: NodePool) -> NodePool:
        """The pool at the peak: in the worst case none of it comes back."""
        peak = now.max_pods if nodes.peak_pods is None else nodes.peak_pods
        at_peak = self.pool(nodes, peak) if peak > nodes.pods else now
        return at_peak if worst_pool(at_peak) > worst_pool(now) else now


@dataclass(slots=True)
class _Taken:
    """What the nodes of a zone take, by their own subnet: for their first interface, and for further ones."""

    first: Counter[str]
    further: Counter[str]

    def add(self, subnet: str, pool: NodePool, settings: CniSettings, slots: int, count: int) -> None:
        held = worst_pool(pool)
        if settings.custom_networking:
            first = 1
        elif pool.prefixes:
            first = 1 + PREFIX_ADDRESSES * min(pool.most_prefixes, slots)
        else:
            first = 1 + min(pool.secondary_addresses, slots)
        self.first[subnet] += count * first
        self.further[subnet] += count * (held - first)


def _zone(name: str, rows: Mapping[Nodes, int], pools: _Pools, surge: int, subnets: Sequence[FleetSubnet]) -> ZoneNeeds:
    count = pods = enis = prefixes = addresses = assigned = idle = worst = 0
    most = most_prefixes = 0
    most_row: tuple[Nodes, NodePool] | None = None
    taken, taken_worst, upgrade = (_Taken(Counter(), Counter()) for _ in range(3))
    for row, times in rows.items():
        number = row.count * times
        if number == 0:
            continue
        now = pools.now(row)
        at_worst = pools.worst(row, now)
        served = min(now.assigned, row.pods)
        held = worst_pool(now)
        count += number
        pods += number * row.pods
        enis += number * now.enis
        prefixes += number * now.most_prefixes
        addresses += number * held
        assigned += number * served
        idle += number * (held - now.enis - served)
        worst += number * worst_pool(at_worst)
        if held > most or most_row is None:
            most, most_row = held, (row, now)
        most_prefixes = max(most_prefixes, now.most_prefixes)
        slots = row.limits.secondary_per_eni
        taken.add(row.subnet, now, pools.settings, slots, number)
        upgrade.add(row.subnet, now, pools.settings, slots, number)
        taken_worst.add(row.subnet, at_worst, pools.settings, slots, number)
    surge_nodes = 0
    if most_row is not None:
        surge_nodes = surge
        row, pool = most_row
        upgrade.add(row.subnet, pool, pools.settings, row.limits.secondary_per_eni, surge)
    split, split_upgrade, split_worst = (
        _split(each, subnets, pools.settings) for each in (taken, upgrade, taken_worst)
    )
    usable = {subnet.id: subnet.usable for subnet in subnets}
    for_prefixes = [subnet for subnet in subnets if subnet.for_pods or not pools.settings.custom_networking]
    return ZoneNeeds(
        zone=name,
        nodes=count,
        pods=pods,
        enis=enis,
        prefixes=prefixes,
        addresses=addresses,
        assigned=assigned,
        idle=idle,
        worst=worst,
        surge_nodes=surge_nodes,
        surge_addresses=surge_nodes * most,
        free28=prefixes + surge_nodes * most_prefixes,
        usable=sum(usable.values()) if subnets else None,
        usable28=sum(subnet.free28 for subnet in for_prefixes) if for_prefixes else None,
        subnets=tuple(
            SubnetDemand(
                subnet=subnet,
                zone=name,
                addresses=split.get(subnet, 0),
                with_upgrade=split_upgrade.get(subnet, 0),
                worst=split_worst.get(subnet, 0),
                usable=usable.get(subnet),
            )
            for subnet in sorted({*split, *split_upgrade, *split_worst, *usable})
        ),
    )


def _split(taken: _Taken, subnets: Sequence[FleetSubnet], settings: CniSettings) -> dict[str, int]:
    """What is taken from each subnet, as far as it is known which."""
    split: Counter[str] = Counter()
    free = {subnet.id: subnet.usable for subnet in subnets}
    for_nodes = [subnet.id for subnet in subnets if not subnet.for_pods]
    for_pods = [subnet.id for subnet in subnets if subnet.for_pods]
    for own in sorted(taken.first):
        _level(taken.first[own], free, [own] if own else for_nodes, split)
    for own in sorted(taken.further):
        if settings.custom_networking:
            allowed = for_pods
        elif settings.subnet_discovery:
            allowed = list(dict.fromkeys((*([own] if own else for_nodes), *for_pods)))
        else:
            allowed = [own] if own else for_nodes
        _level(taken.further[own], free, allowed, split)
    return dict(split)


def _level(amount: int, free: dict[str, int], subnets: Sequence[str], split: Counter[str]) -> None:
    """Takes an amount from whichever of the subnets has the most free, again and again, until all of it is taken.

    A subnet of which nothing is known has nothing free. What no subnet has is taken evenly, and is then missing.
    """
    ordered = sorted(subnets, key=lambda subnet: (-free.get(subnet, 0), subnet))
    left = amount
    for number in range(1, len(ordered) + 1):
        level = free.get(ordered[number - 1], 0)
        floor = free.get(ordered[number], 0) if number < len(ordered) else level - left
        step = min(left, (level - floor) * number)
        each, rest = divmod(step, number)
        for index, subnet in enumerate(ordered[:number]):
            part = each + (index < rest)
            free[subnet] = free.get(subnet, 0) - part
            split[subnet] += part
        left -= step


# The best warm targets.


def _usual_nodes(rows: Mapping[Nodes, int], settings: CniSettings, burst_pods: int | None) -> tuple[UsualNode, ...]:
    """Each kind of nodes with its median pods, the most frequent first."""
    by_kind: dict[tuple[int, int, bool, int], list[tuple[Nodes, int]]] = defaultdict(list)
    capacity: dict[tuple[int, int, bool, int], int] = {}
    for row, count in rows.items():
        limits = row.limits
        shape = node_shape(limits, settings, row.max_pods, idle_primary=settings.custom_networking)
        kind = (limits.enis, limits.ipv4_per_eni, limits.supports_prefixes, shape.max_pods)
        by_kind[kind].append((row, count))
        capacity[kind] = min(shape.max_pods, shape.most_slots * shape.slot_size)
    found = []
    for kind, alike in by_kind.items():
        types: Counter[str] = Counter()
        for row, count in alike:
            types[row.limits.instance_type] += count
        usual_type = min(types, key=lambda name: (-types[name], name))
        pods = min(_median_pods(alike), capacity[kind])
        found.append(
            UsualNode(
                limits=next(row.limits for row, _ in alike if row.limits.instance_type == usual_type),
                nodes=types.total(),
                pods=pods,
                max_pods=kind[-1],
                burst_pods=min(max(pods, LEAST_BURST) if burst_pods is None else burst_pods, capacity[kind] - pods),
            )
        )
    return tuple(sorted(found, key=lambda node: (-node.nodes, node.limits.instance_type, -node.max_pods)))


def _median_pods(alike: Sequence[tuple[Nodes, int]]) -> int:
    half = sum(count for _, count in alike) / 2
    seen = 0
    for row, count in sorted(alike, key=lambda pair: pair[0].pods):
        seen += count
        if seen >= half:
            return row.pods
    return 0


def _targets(rows: Mapping[Nodes, int], settings: CniSettings) -> Iterable[CniSettings]:
    """The settings among which the best is looked for, in the mode of the settings given."""
    plain = replace(settings, warm_ip_target=0, minimum_ip_target=0, warm_eni_target=1, warm_prefix_target=1)
    yield plain
    counts = sorted(row.pods for row, count in rows.items() for _ in range(min(count, 100)))
    usual = {counts[len(counts) * quarter // 4] for quarter in range(4)} | {counts[-1]}
    for warm in WARM_IP_TARGETS:
        for minimum in (0, *sorted({5 * -(-pods // 5) for pods in usual})):
            if minimum == 0 or minimum > warm:
                yield replace(plain, warm_ip_target=warm, minimum_ip_target=minimum)


@dataclass(frozen=True, slots=True)
class _Takes:
    """What a fleet takes with a setting, and how many of its pods get an address."""

    addresses: int
    served: int
    settles: bool


class _Trial:
    """Tries settings on a fleet."""

    def __init__(self, rows: Mapping[Nodes, int], kinds: tuple[UsualNode, ...], churn: float) -> None:
        self.rows = rows
        self.kinds = kinds
        self.churn = churn
        # The kind that kept a burst waiting last is the first to be tried again.
        self._order = list(range(len(kinds)))

    def takes(self, settings: CniSettings) -> _Takes:
        pools = _Pools(settings)
        addresses = served = 0
        for row, count in self.rows.items():
            now = pools.now(row)
            addresses += count * worst_pool(now)
            served += count * min(now.assigned, row.pods)
        return _Takes(addresses, served, pools.settle)

    def bursts(self, settings: CniSettings, limit: float) -> tuple[float, ...]:
        """Seconds until a burst is served on each kind; all infinite once one of them takes longer than a limit."""
        found = [float("inf")] * len(self.kinds)
        for index in tuple(self._order):
            kind = self.kinds[index]
            found[index] = _seconds_to_serve(kind.limits, kind.max_pods, settings, kind.pods, kind.burst_pods, limit)
            if found[index] > limit and limit < BURST_LIMIT_SECONDS:
                self._order.remove(index)
                self._order.insert(0, index)
                return (float("inf"),) * len(self.kinds)
        return tuple(found)

    def choice(self, settings: CniSettings, bursts: tuple[float, ...]) -> TargetChoice:
        """The setting with what it takes, what it costs and how fast it is."""
        pools = _Pools(settings)
        addresses = worst = 0
        for row, count in self.rows.items():
            now = pools.now(row)
            addresses += count * worst_pool(now)
            worst += count * worst_pool(pools.worst(row, now))
        minutes = max(LEAST_MINUTES, SIMULATED_MINUTES // len(self.kinds))
        return TargetChoice(
            environment=_environment(settings),
            addresses=addresses,
            worst=worst,
            settles=pools.settle,
            calls_per_hour=sum(
                kind.nodes * _calls_per_hour(kind.limits, kind.max_pods, settings, kind.pods, self.churn, minutes)
                for kind in self.kinds
            ),
            bursts=bursts,
            new_node_seconds=max(
                _seconds_to_serve(kind.limits, kind.max_pods, settings, 0, kind.pods, BURST_LIMIT_SECONDS)
                for kind in self.kinds
            ),
        )


def _environment(settings: CniSettings) -> tuple[tuple[str, int], ...]:
    if settings.warm_ip_target or settings.minimum_ip_target:
        targets = {"MINIMUM_IP_TARGET": settings.minimum_ip_target, "WARM_IP_TARGET": settings.warm_ip_target}
        return tuple((name, value) for name, value in targets.items() if value)
    if settings.prefix_delegation:
        return (("WARM_PREFIX_TARGET", settings.warm_prefix_target),)
    return (("WARM_ENI_TARGET", settings.warm_eni_target),)


def _best(now: TargetChoice, found: Sequence[TargetChoice], burst_seconds: float) -> TargetChoice:
    if not found:
        return now
    most_calls = min(choice.calls_per_hour for choice in found) * (1 + EQUAL_CALLS_SHARE)
    best = min(
        (choice for choice in found if choice.calls_per_hour <= most_calls),
        key=lambda choice: (choice.burst_seconds, choice.new_node_seconds, choice.addresses),
    )
    gains = best.addresses < now.addresses or now.burst_seconds > burst_seconds or not now.settles
    return best if gains else now


def _simulation(limits: InstanceLimits, max_pods: int, settings: CniSettings) -> "NodeSimulation":
    # Only here: who plans a fleet, as the policies do, needs no simulation.
    from headroom.capacity.simulation import NODE_SUBNET, NodeSimulation  # noqa: PLC0415

    return NodeSimulation(
        limits=limits,
        settings=settings,
        max_pods=max_pods,
        eniconfig_subnet=NODE_SUBNET if settings.custom_networking else None,
    )


# A diagnosis, its plan and what is read anew ask the same of the same nodes; the answer has no other input.
@lru_cache(maxsize=SIMULATIONS_KEPT)
def _calls_per_hour(  # noqa: PLR0913, PLR0917 - what a run depends on, and nothing else
    limits: InstanceLimits, max_pods: int, settings: CniSettings, pods: int, churn: float, minutes: int
) -> float:
    """EC2 calls of one node whose pods start and end independently of one another, their number about the same."""
    simulated = _simulation(limits, max_pods, settings)
    simulated.add(pods)
    simulated.settle()
    before = simulated.subnets.calls.total()
    random = Random(0)  # noqa: S311 - a simulation, not a secret
    start = churn * TURN_SECONDS / 60
    for _ in range(minutes * 60 // TURN_SECONDS):
        running = len(simulated.running) + len(simulated.pending)
        if running < max_pods:
            simulated.add(_at_random(random, start))
        if pods:
            simulated.remove(_at_random(random, start * running / pods), "random")
        simulated.wait(TURN_SECONDS)
    return (simulated.subnets.calls.total() - before) * 60 / minutes


def _at_random(random: Random, mean: float) -> int:
    """A whole number with that mean: the part behind the point is left to chance."""
    whole = int(mean)
    return whole + (random.random() < mean - whole)


@lru_cache(maxsize=SIMULATIONS_KEPT)
def _seconds_to_serve(  # noqa: PLR0913, PLR0917 - the same
    limits: InstanceLimits, max_pods: int, settings: CniSettings, running: int, more: int, limit: float
) -> float:
    """How long a node that runs so many pods needs until so many more have their addresses; infinity above a limit."""
    simulated = _simulation(limits, max_pods, settings)
    simulated.add(running)
    simulated.settle()
    begin = simulated.now
    simulated.add(more)
    while simulated.pending:
        if simulated.now - begin > limit:
            return float("inf")
        simulated.wait(TURN_SECONDS / 4)
    return simulated.now - begin
