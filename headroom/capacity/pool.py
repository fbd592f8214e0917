"""What a node takes from its subnets once its pool has settled, without simulating it where that is exact.

N interfaces with M addresses each, s = M - 1 of them for pods; p pods on the pod network; W, k, w and m are the
warm targets for interfaces, prefixes and addresses and the minimum. The forms follow from ipamd's pool loop
(aws/amazon-vpc-cni-k8s v1.23.0, ``pkg/ipamd/ipamd.go``) and are held to recorded runs of it by tests.
"""

from dataclasses import dataclass, replace
from typing import Literal

from headroom.capacity import limits as instance
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.prefixes import PrefixGrowth, ceil_division
from headroom.capacity.settings import CniSettings

LimitedBy = Literal["max-pods", "max-eni", "instance-type", "minimum-ip-target"]


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
        expected_enis: The mean of ``enis``.
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
    expected_enis: float

    @property
    def most_addresses(self) -> int:
        """The most that the node takes from subnets; ``subnet_addresses`` where chance has no part."""
        return self.subnet_addresses if self.range is None else self.range.most

    @property
    def most_prefixes(self) -> int:
        """The prefixes among those."""
        return (self.most_addresses - self.enis) // PREFIX_ADDRESSES if self.prefixes else 0


@dataclass(frozen=True, slots=True)
class NodeShape:
    """The numbers that the forms need. A slot holds a secondary address or a prefix."""

    interfaces: int  # that may carry pods
    slots: int  # of one interface
    slot_size: int  # addresses of one slot
    primary_idle: int  # 1 if the primary interface carries no pods
    max_pods: int
    limit: LimitedBy

    @property
    def most_slots(self) -> int:
        """Slots of all interfaces that may carry pods."""
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
    node = node_shape(limits, settings, max_pods, idle_primary=settings.custom_networking or excluded_primary)
    if settings.ip_targets_set:
        return _pool_of_ip_targets(node, settings, pods)
    if node.slot_size == 1:
        return _pool_of_warm_interfaces(node, settings.warm_eni_target, pods)
    if settings.warm_prefix_target > 1:
        return _pool_of_warm_prefixes(node, settings.warm_prefix_target, pods)
    return _pool_of_one_warm_prefix(node, settings.warm_prefix_target, pods)


def node_shape(
    limits: instance.InstanceLimits, settings: CniSettings, max_pods: int | None, *, idle_primary: bool
) -> NodeShape:
    """What the settings leave of an instance's limits; `idle_primary` where the primary interface carries no pods."""
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
    return NodeShape(
        interfaces=interfaces - 1 if idle_primary else interfaces,
        slots=limits.secondary_per_eni,
        slot_size=PREFIX_ADDRESSES if prefixes else 1,
        primary_idle=1 if idle_primary else 0,
        max_pods=max_pods,
        limit=limit,
    )


def _pool(  # noqa: PLR0913 - private; each is one figure of the pool
    node: NodeShape,
    slots: int,
    pods: int,
    *,
    interfaces: int | None = None,
    limited_by: LimitedBy | None = None,
    settles: bool = True,
    range_: AddressRange | None = None,
    expected: tuple[float, float] | None = None,
) -> NodePool:
    """A pool of so many addresses or prefixes, on as few interfaces as hold them unless told.

    Where they are a matter of chance, `range_` has the bounds and `expected` the means of addresses and interfaces.
    """
    if interfaces is None:
        interfaces = ceil_division(slots, node.slots)
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
        range=range_,
        expected=float(held) if expected is None else expected[0],
        expected_enis=float(enis) if expected is None else expected[1],
    )


def _pool_of_warm_interfaces(node: NodeShape, warm: int, pods: int) -> NodePool:
    """Default mode: whole interfaces until W·s addresses are free, or one is if W = 0."""
    wanted = warm + ceil_division(pods, node.slots) if warm else pods // node.slots + 1
    stop = ceil_division(node.max_pods, node.slots)
    interfaces = min(wanted, stop, node.interfaces)
    limited_by: LimitedBy | None = None
    if interfaces < wanted:
        limited_by = "max-pods" if stop <= node.interfaces else node.limit
    # With W = 0 an interface that is added for the next pod is surplus at once: it comes and goes for ever.
    # The primary interface never goes.
    secondary = interfaces + node.primary_idle > 1
    settles = not (warm == 0 and secondary and interfaces * node.slots - pods >= node.slots)
    return _pool(node, interfaces * node.slots, pods, interfaces=interfaces, limited_by=limited_by, settles=settles)


def _pool_of_one_warm_prefix(node: NodeShape, warm: int, pods: int) -> NodePool:
    """Prefixes one at a time until 16k addresses are free, k being 1 or 0."""
    wanted = ceil_division(pods, PREFIX_ADDRESSES) + 1 if warm else pods // PREFIX_ADDRESSES + 1
    stop = ceil_division(node.max_pods, PREFIX_ADDRESSES)
    slots = min(wanted, stop, node.most_slots)
    limited_by: LimitedBy | None = None
    if slots < wanted:
        limited_by = "max-pods" if stop <= node.most_slots else node.limit
    # aws-node does not start with k = 0 and no other target; ipamd alone would return the free prefix at once.
    settles = bool(warm) or slots * PREFIX_ADDRESSES - pods < PREFIX_ADDRESSES
    return _pool(node, slots, pods, limited_by=limited_by, settles=settles)


def _pool_of_warm_prefixes(node: NodeShape, warm: int, pods: int) -> NodePool:
    """With k >= 2 ipamd tests free addresses but asks for wholly free prefixes, so it may take up to k - 1 too many."""
    if node.interfaces == 0:
        return _pool(node, 0, pods, limited_by=node.limit)
    stop = ceil_division(node.max_pods, PREFIX_ADDRESSES)
    growth = PrefixGrowth(warm, node.slots, node.most_slots, stop)
    least, most = growth.bounds(pods)
    limited_by: LimitedBy | None = None
    if least < ceil_division(pods, PREFIX_ADDRESSES) + warm:
        limited_by = "max-pods" if stop <= node.most_slots else node.limit
    if least == most:
        return _pool(node, least, pods, limited_by=limited_by)
    burst = growth.after_burst(pods)
    mean_enis = burst.interfaces + node.primary_idle
    return _pool(
        node,
        burst.usual,
        pods,
        limited_by=limited_by,
        range_=AddressRange(least=_held(node, least), most=_held(node, most)),
        expected=(mean_enis + PREFIX_ADDRESSES * burst.mean, mean_enis),
    )


def _held(node: NodeShape, prefixes: int) -> int:
    """Everything taken from subnets with so many prefixes on as few interfaces as hold them."""
    return ceil_division(prefixes, node.slots) + node.primary_idle + PREFIX_ADDRESSES * prefixes


def _pool_of_ip_targets(node: NodeShape, settings: CniSettings, pods: int) -> NodePool:
    """Addresses, or as many prefixes as they need, until w are free and m are there."""
    warm, minimum = settings.warm_ip_target, settings.minimum_ip_target
    # Without w the pool stops at m, whatever pods wait.
    served = pods if warm else min(pods, minimum)
    wanted = ceil_division(max(served + warm, minimum), node.slot_size)
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


def _grown_in_a_burst(node: NodeShape, warm: int, minimum: int, pods: int) -> int:
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
            slots += min(ceil_division(short, node.slot_size), room)
        if waiting == 0:
            if pods == 0 and short <= 0:
                break
            waiting = pods
    return slots
