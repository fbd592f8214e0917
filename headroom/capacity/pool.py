"""What a node takes from its subnets once its pool has settled, without simulating it where that is exact.

N interfaces with M addresses each, s = M - 1 of them for pods; p pods on the pod network; W, k, w and m are the
warm targets for interfaces, prefixes and addresses and the minimum. The forms follow from ipamd's pool loop
(aws/amazon-vpc-cni-k8s v1.23.0, ``pkg/ipamd/ipamd.go``) and are held to recorded runs of it by tests.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from headroom.capacity import limits as instance
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.ipamd import PoolState
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import NODE_SUBNET, Leaving, NodeSimulation

LimitedBy = Literal["max-pods", "max-eni", "instance-type", "minimum-ip-target"]

# Simulated runs behind an expected value. Means of recorded runs are met within a prefix or an interface.
RUNS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRange:
    """Least and most addresses that a node can hold, where chance or the order of arrival decides."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """The settled pool of one node.

    Attributes:
        enis: Network interfaces, the primary one included.
        secondary_addresses: Secondary addresses.
        prefixes: Delegated /28 prefixes.
        subnet_addresses: Everything taken from subnets, each interface's own address included.
        assigned: Pods that have an address.
        idle: Addresses that pods could have and do not.
        max_pods: The node's pod capacity that was reckoned with.
        limited_by: What keeps the pool below what its settings ask for, or ``None``.
        settles: False where the pool never comes to rest; the numbers are then its upper end.
        range: Where chance or the order of arrival decides, the bounds of ``subnet_addresses``; the other
            numbers are then the most likely ones.
        expected: The mean of ``subnet_addresses``.
    """

    enis: int
    secondary_addresses: int
    prefixes: int
    subnet_addresses: int
    assigned: int
    idle: int
    max_pods: int
    limited_by: LimitedBy | None = None
    settles: bool = True
    range: AddressRange | None = None
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterPeak:
    """What a node still holds when most pods of a peak have gone.

    Attributes:
        before: The pool at the peak.
        pool: The pool of a node that never had a peak, for comparison.
        enis: Mean of the network interfaces, the primary one included, for the pods that leave as told.
        secondary_addresses: Mean of the secondary addresses.
        prefixes: Mean of the prefixes.
        assigned: Mean of the pods that have an address.
        expected: Mean of ``subnet_addresses``.
        least: Least that was seen in simulated runs.
        most: Most that was seen in simulated runs.
        worst: The most that is possible, whoever leaves: every pod that stays keeps an interface or a prefix of
            its own.
        settles: False where some runs never came to rest.
    """

    before: NodePool
    pool: NodePool
    enis: float
    secondary_addresses: float
    prefixes: float
    assigned: float
    expected: float
    least: int
    most: int
    worst: int
    settles: bool


@dataclass(frozen=True, slots=True)
class _Node:
    """The numbers that the forms need. A slot holds a secondary address or a prefix."""

    interfaces: int  # that may carry pods
    slots: int  # of one interface
    slot_size: int  # addresses of one slot
    primary_idle: int  # 1 if the primary interface carries no pods
    max_pods: int
    limit: LimitedBy

    @property
    def most_slots(self) -> int:
        return self.interfaces * self.slots


def node_pool(  # noqa: PLR0913 - a node, its pods, and what else decides
    limits: instance.InstanceLimits,
    settings: CniSettings,
    pods: int,
    *,
    max_pods: int | None = None,
    custom_networking: bool | None = None,
    excluded_primary: bool = False,
) -> NodePool:
    """The settled pool of a node whose pods came in a burst.

    Args:
        limits: The node's instance limits.
        settings: aws-node's settings.
        pods: Pods on the pod network; those on the host network need no address.
        max_pods: The node's pod capacity; the advised one where it is not given.
        custom_networking: Whether pods get interfaces of an ENIConfig; as the settings say by default.
        excluded_primary: Whether the node subnet is excluded from pods (``kubernetes.io/role/cni=0``).

    Raises:
        ValueError: ``pods`` or ``max_pods`` is negative.
    """
    if pods < 0 or (max_pods is not None and max_pods < 0):
        raise ValueError(f"pods and max_pods count from 0, not {pods} and {max_pods}")
    if custom_networking is not None and custom_networking != settings.custom_networking:
        settings = replace(settings, custom_networking=custom_networking)
    node = _node(limits, settings, max_pods, idle_primary=settings.custom_networking or excluded_primary)
    if settings.ip_targets_set:
        return _pool_of_ip_targets(node, settings, pods)
    if node.slot_size == 1:
        return _pool_of_warm_interfaces(node, settings.warm_eni_target, pods)
    if settings.warm_prefix_target > 1:
        return _pool_of_warm_prefixes(node, limits, settings, pods)
    return _pool_of_one_warm_prefix(node, settings.warm_prefix_target, pods)


def after_peak(  # noqa: PLR0913 - a node, two numbers of pods and who leaves
    limits: instance.InstanceLimits,
    settings: CniSettings,
    peak: int,
    pods: int,
    *,
    max_pods: int | None = None,
    leaving: Leaving = "random",
    runs: int = RUNS,
) -> AfterPeak:
    """What a node holds after a peak of pods, once it has come to rest.

    Interfaces and prefixes come back only when nothing uses them, so it matters which pods leave. The expected
    value is the mean of simulated runs.

    Args:
        limits: The node's instance limits.
        settings: aws-node's settings.
        peak: Pods at the peak. Those for which the node can never have an address make no difference.
        pods: Pods that stay, at most ``peak``. Who waits for an address leaves first.
        max_pods: The node's pod capacity; the advised one where it is not given.
        leaving: Which pods leave.
        runs: Simulated runs.

    Raises:
        ValueError: ``pods`` is not between 0 and ``peak``.
    """
    if not 0 <= pods <= peak:
        raise ValueError(f"{pods} pods cannot be what stays of {peak}")
    before = node_pool(limits, settings, peak, max_pods=max_pods)
    pool = node_pool(limits, settings, pods, max_pods=max_pods)
    shape = _node(limits, settings, max_pods, idle_primary=settings.custom_networking)
    most_pods = shape.most_slots * shape.slot_size
    states: list[PoolState] = []
    settles = True
    for seed in range(runs):
        node = _simulation(limits, settings, before.max_pods, seed)
        node.add(min(peak, most_pods))
        settles &= node.settle()
        node.pending.clear()
        node.remove(max(len(node.running) - pods, 0), leaving)
        settles &= node.settle()
        states.append(node.state)
    held = [state.subnet_addresses for state in states]
    return AfterPeak(
        before=before,
        pool=pool,
        enis=_mean(state.enis for state in states),
        secondary_addresses=_mean(state.secondary_addresses for state in states),
        prefixes=_mean(state.prefixes for state in states),
        assigned=_mean(state.assigned for state in states),
        expected=_mean(held),
        least=min(held),
        most=max(held),
        worst=max(_worst_after_peak(shape, settings, before, pool), *held),
        settles=settles,
    )


def _node(limits: instance.InstanceLimits, settings: CniSettings, max_pods: int | None, *, idle_primary: bool) -> _Node:
    prefixes = settings.prefix_delegation and limits.supports_prefixes
    interfaces = limits.enis
    limit: LimitedBy = "instance-type"
    if settings.max_eni is not None and settings.max_eni < interfaces:
        interfaces, limit = settings.max_eni, "max-eni"
    if settings.pod_eni:
        # The trunk interface's slot; the primary interface is always there.
        interfaces = max(interfaces - 1, 1)
    if max_pods is None:
        max_pods = instance.max_pods(limits, prefix_delegation=prefixes, custom_networking=idle_primary).value
    return _Node(
        interfaces=interfaces - 1 if idle_primary else interfaces,
        slots=limits.secondary_per_eni,
        slot_size=PREFIX_ADDRESSES if prefixes else 1,
        primary_idle=1 if idle_primary else 0,
        max_pods=max_pods,
        limit=limit,
    )


def _pool(  # noqa: PLR0913 - private; each is one figure of the pool
    node: _Node,
    slots: int,
    pods: int,
    *,
    interfaces: int | None = None,
    limited_by: LimitedBy | None = None,
    settles: bool = True,
) -> NodePool:
    """A pool of so many addresses or prefixes, on as few interfaces as hold them unless told."""
    if interfaces is None:
        interfaces = _ceil_division(slots, node.slots)
    enis = max(interfaces + node.primary_idle, 1)
    addresses = slots * node.slot_size
    assigned = min(pods, addresses)
    held = enis + addresses
    return NodePool(
        enis=enis,
        secondary_addresses=slots if node.slot_size == 1 else 0,
        prefixes=slots if node.slot_size > 1 else 0,
        subnet_addresses=held,
        assigned=assigned,
        idle=addresses - assigned,
        max_pods=node.max_pods,
        limited_by=limited_by,
        settles=settles,
        expected=float(held),
    )


def _pool_of_warm_interfaces(node: _Node, warm: int, pods: int) -> NodePool:
    """Default mode: whole interfaces until W·s addresses are free, or one is if W = 0."""
    wanted = warm + _ceil_division(pods, node.slots) if warm else pods // node.slots + 1
    stop = _ceil_division(node.max_pods, node.slots)
    interfaces = min(wanted, stop, node.interfaces)
    limited_by: LimitedBy | None = None
    if interfaces < wanted:
        limited_by = "max-pods" if stop <= node.interfaces else node.limit
    # With W = 0 an interface that is added for the next pod is surplus at once: it comes and goes for ever.
    # The primary interface never goes.
    secondary = interfaces + node.primary_idle > 1
    settles = not (warm == 0 and secondary and interfaces * node.slots - pods >= node.slots)
    return _pool(node, interfaces * node.slots, pods, interfaces=interfaces, limited_by=limited_by, settles=settles)


def _pool_of_one_warm_prefix(node: _Node, warm: int, pods: int) -> NodePool:
    """Prefixes one at a time until 16k addresses are free, k being 1 or 0."""
    wanted = _ceil_division(pods, PREFIX_ADDRESSES) + 1 if warm else pods // PREFIX_ADDRESSES + 1
    stop = _ceil_division(node.max_pods, PREFIX_ADDRESSES)
    slots = min(wanted, stop, node.most_slots)
    limited_by: LimitedBy | None = None
    if slots < wanted:
        limited_by = "max-pods" if stop <= node.most_slots else node.limit
    # aws-node does not start with k = 0 and no other target; ipamd alone would return the free prefix at once.
    settles = bool(warm) or slots * PREFIX_ADDRESSES - pods < PREFIX_ADDRESSES
    return _pool(node, slots, pods, limited_by=limited_by, settles=settles)


def _pool_of_warm_prefixes(node: _Node, limits: instance.InstanceLimits, settings: CniSettings, pods: int) -> NodePool:
    """With k >= 2 ipamd tests free addresses but asks for wholly free prefixes, so it may take up to k - 1 too many."""
    if node.interfaces == 0:
        return _pool(node, 0, pods, limited_by=node.limit)
    warm = settings.warm_prefix_target
    used = _ceil_division(pods, PREFIX_ADDRESSES)
    stop = _ceil_division(node.max_pods, PREFIX_ADDRESSES)
    least = min(used + warm, stop, node.most_slots)
    most = min(used + 2 * warm - 1, stop + warm - 1, node.most_slots)
    if node.primary_idle and not settings.custom_networking:
        # An excluded primary interface is as idle as under custom networking.
        settings = replace(settings, custom_networking=True)
    states = _simulated(limits, settings, pods, node.max_pods)
    state, _ = Counter(states).most_common(1)[0]
    limited_by: LimitedBy | None = None
    if state.prefixes < used + warm:
        limited_by = "max-pods" if stop <= node.most_slots else node.limit
    pool = _pool(node, state.prefixes, pods, limited_by=limited_by)
    if least == most:
        return pool
    return replace(
        pool,
        range=AddressRange(
            least=_pool(node, least, pods).subnet_addresses, most=_pool(node, most, pods).subnet_addresses
        ),
        expected=_mean(state.subnet_addresses for state in states),
    )


def _pool_of_ip_targets(node: _Node, settings: CniSettings, pods: int) -> NodePool:
    """Addresses, or as many prefixes as they need, until w are free and m are there."""
    warm, minimum = settings.warm_ip_target, settings.minimum_ip_target
    # Without w the pool stops at m, whatever pods wait.
    served = pods if warm else min(pods, minimum)
    wanted = _ceil_division(max(served + warm, minimum), node.slot_size)
    slots = min(wanted, node.most_slots)
    limited_by: LimitedBy | None = None
    if slots < wanted:
        limited_by = node.limit
    elif served < pods and slots * node.slot_size < pods:
        limited_by = "minimum-ip-target"
    if slots * node.slot_size <= node.max_pods:
        return _pool(node, slots, pods, limited_by=limited_by)
    stopped = _grown_in_a_burst(node, warm, minimum, pods)
    if stopped < wanted:
        limited_by = "max-pods" if stopped < node.most_slots else node.limit
    return _pool(node, stopped, pods, limited_by=limited_by)


def _grown_in_a_burst(node: _Node, warm: int, minimum: int, pods: int) -> int:
    """Slots where growth stops if maxPods stops it: loop by loop, each taking what one interface has room for.

    The test against maxPods comes before a request, so the last one overshoots.
    """
    slots = 0
    waiting = 0  # pods come after the first request
    while slots * node.slot_size < node.max_pods and slots < node.most_slots:
        total = slots * node.slot_size
        short = max(warm - (total - min(waiting, total)), minimum - total)
        if short <= 0 and waiting:
            break
        if short > 0:
            room = node.slots - slots % node.slots
            slots += min(_ceil_division(short, node.slot_size), room)
        if waiting == 0:
            if pods == 0 and short <= 0:
                break
            waiting = pods
    return slots


@lru_cache(maxsize=4096)
def _simulated(
    limits: instance.InstanceLimits, settings: CniSettings, pods: int, max_pods: int
) -> tuple[PoolState, ...]:
    states = []
    shape = _node(limits, settings, max_pods, idle_primary=settings.custom_networking)
    for seed in range(RUNS):
        node = _simulation(limits, settings, max_pods, seed)
        node.add(min(pods, shape.most_slots * shape.slot_size))
        node.settle()
        states.append(node.state)
    return tuple(states)


def _simulation(limits: instance.InstanceLimits, settings: CniSettings, max_pods: int, seed: int) -> NodeSimulation:
    return NodeSimulation(
        limits=limits,
        settings=settings,
        max_pods=max_pods,
        seed=seed,
        eniconfig_subnet=NODE_SUBNET if settings.custom_networking else None,
    )


def _worst_after_peak(node: _Node, settings: CniSettings, before: NodePool, pool: NodePool) -> int:
    """Every pod that stays keeps an interface, or a prefix, of its own as far as there are any."""
    pods = pool.assigned
    occupied = min(before.enis, 1 + pods)
    if node.slot_size == 1 and not settings.ip_targets_set:
        enis = min(before.enis, max(pool.enis, occupied))
        return enis + (enis - node.primary_idle) * node.slots
    if node.slot_size == 1:
        slots = pool.secondary_addresses
        return slots + min(before.enis, max(pool.enis, 1 + slots))
    used = min(before.prefixes, pods)
    if settings.ip_targets_set:
        prefixes = min(before.prefixes, max(used, pool.prefixes))
    else:
        prefixes = min(before.prefixes, used + settings.warm_prefix_target)
    return PREFIX_ADDRESSES * prefixes + min(before.enis, max(pool.enis, 1 + prefixes))


def _ceil_division(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def _mean(values: Iterable[int]) -> float:
    listed = tuple(values)
    return sum(listed) / len(listed)
