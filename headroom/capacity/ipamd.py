"""The pool manager of the VPC CNI (ipamd) on one node, as a state machine without a clock or a cloud.

The caller owns the time and tells it in seconds of any epoch, and gives an ``Ec2`` to call. ipamd then adds and
returns addresses, prefixes and interfaces as the real one does, and pods take addresses from what it holds.

The algorithm is that of aws/amazon-vpc-cni-k8s v1.23.0 (``pkg/ipamd/ipamd.go``, ``pkg/ipamd/datastore``,
``pkg/awsutils``), IPv4, one network card. Earlier versions differ where ``cni_version`` says so. Two things are
left out because nothing but this model changes the node's interfaces: the reconciliation with the instance
metadata every 60 s, which would find no difference, and the clean-up of leaked interfaces.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from headroom.capacity.cni_version import (
    FULL_SUBNET_FIXED,
    OBSERVED_VERSION,
    SUBNET_DISCOVERY,
    SUBNET_EXCLUSION,
    CniVersion,
    excluded_subnets,
    interface_subnets,
)
from headroom.capacity.ec2 import (
    INSUFFICIENT_CIDR_BLOCKS,
    INSUFFICIENT_FREE_ADDRESSES,
    PREFIX_ADDRESSES,
    PRIVATE_IP_ADDRESS_LIMIT_EXCEEDED,
    Ec2,
    Ec2Error,
    Interface,
)
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import CniSettings
from headroom.capacity.slots import SlotMap

# Times of ipamd.go and data_store.go, in seconds.
POOL_LOOP_SECONDS = 5.0
DECREASE_INTERVAL_SECONDS = 30.0
INSUFFICIENT_ADDRESSES_PAUSE_SECONDS = 120.0
INTERFACE_MINIMUM_LIFE_SECONDS = 60.0
# How long the kubelet waits before it starts a container again that keeps failing: from 10 s, doubling, to
# 5 min (Kubernetes documentation, pod lifecycle, restart policy).
FIRST_RESTART_SECONDS = 10.0
LAST_RESTART_SECONDS = 300.0
# Times that are computed from sums of fractions are equal within this.
TIME_TOLERANCE = 1e-6

Log = Callable[[float, str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds that EC2 takes. ipamd works one step at a time, so they delay its next loop.

    The defaults are those of the recorded runs that the model is held to.

    Attributes:
        call: Assigning or unassigning addresses or prefixes.
        allocate: Creating and attaching an interface, or failing to.
        discover: From there until the instance metadata shows the interface.
        free: Detaching an interface, ipamd's own pause of 2 s, and deleting it.
    """

    call: float = 0.3
    allocate: float = 4.0
    discover: float = 1.0
    free: float = 2.4


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAddress:
    """The address of a pod.

    Attributes:
        address: The address, as an integer.
        interface_id: The interface that has it.
        subnet_id: The interface's subnet.
    """

    address: int
    interface_id: str
    subnet_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceState:
    """One interface of the node.

    Attributes:
        id: Network interface id.
        subnet_id: Its subnet.
        is_primary: Whether the node booted with it.
        primary_address: Its own address.
        addresses: Secondary addresses.
        prefixes: First address of each delegated /28.
        pods: Pods that have an address of it.
        excluded: Whether its subnet is excluded from pods.
    """

    id: str
    subnet_id: str
    is_primary: bool
    primary_address: int
    addresses: tuple[int, ...]
    prefixes: tuple[int, ...]
    pods: tuple[str, ...]
    excluded: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What a node holds of its subnets.

    Attributes:
        enis: Interfaces, the primary one included.
        secondary_addresses: Secondary addresses.
        prefixes: Delegated /28 prefixes.
    """

    enis: int
    secondary_addresses: int
    prefixes: int

    @property
    def subnet_addresses(self) -> int:
        """Everything taken from subnets: each interface's own address included."""
        return self.enis + self.secondary_addresses + PREFIX_ADDRESSES * self.prefixes


@dataclass(frozen=True, slots=True)
class PoolState(Held):
    """What a node holds, and for how many pods.

    Attributes:
        assigned: Pods with an address.
    """

    assigned: int


class _AllocationError(Exception):
    """No interface could be created, for a reason that is not EC2's."""


class _Cidr:
    """A secondary address (/32) or a prefix (/28) of an interface."""

    __slots__ = ("base", "cooling", "free", "hash", "is_prefix", "size", "slot", "users")

    def __init__(self, base: int, *, is_prefix: bool) -> None:
        self.base = base
        self.is_prefix = is_prefix
        self.size = PREFIX_ADDRESSES if is_prefix else 1
        # One bit for each address, from the base on, that has no pod and does not rest.
        self.free = (1 << self.size) - 1
        self.users: dict[int, str] = {}
        # When an address of it lost its pod.
        self.cooling: dict[int, float] = {}
        self.slot = 0
        self.hash = 0

    def free_address(self, now: float, cooldown: float) -> int | None:
        """An address that no pod has and that has rested; one that was used before goes first."""
        if self.cooling:
            first = None
            for address, since in tuple(self.cooling.items()):
                if now - since > cooldown:
                    del self.cooling[address]
                    self.free |= 1 << address - self.base
                    if first is None:
                        first = address
            if first is not None:
                return first
        free = self.free
        return self.base + (free & -free).bit_length() - 1 if free else None

    def end_cooling(self) -> None:
        """Lets every address that rests be had again at once, as after a restart."""
        for address in self.cooling:
            self.free |= 1 << address - self.base
        self.cooling.clear()


class _Eni:
    """A network interface as ipamd's datastore has it."""

    __slots__ = (
        "cidrs",
        "created_at",
        "excluded",
        "free_prefixes",
        "hash",
        "id",
        "is_primary",
        "prefix_pods",
        "prefixes",
        "primary_address",
        "secondary_addresses",
        "secondary_pods",
        "slot",
        "subnet_id",
    )

    def __init__(self, interface: Interface, random: Random, now: float, *, is_primary: bool) -> None:
        self.id = interface.id
        self.subnet_id = interface.subnet_id
        self.primary_address = interface.primary_address
        self.is_primary = is_primary
        self.excluded = False
        self.slot = 0
        self.hash = 0
        self.clear(random, now)

    def clear(self, random: Random, now: float) -> None:
        """Forgets every address, as at a restart."""
        self.created_at = now
        # Marked are those with an address that no pod has.
        self.cidrs: SlotMap[_Cidr] = SlotMap(random)
        self.secondary_addresses = 0
        self.secondary_pods = 0
        self.prefixes = 0
        self.prefix_pods = 0
        self.free_prefixes = 0

    @property
    def pods(self) -> int:
        return self.secondary_pods + self.prefix_pods

    def is_full(self, *, prefixes: bool) -> bool:
        """Whether pods have all addresses of its prefixes, or all of its secondary addresses."""
        if prefixes:
            return self.prefix_pods == self.prefixes * PREFIX_ADDRESSES
        return self.secondary_pods == self.secondary_addresses

    def add(self, cidr: _Cidr) -> None:
        self.cidrs.add(cidr)
        if len(cidr.users) < cidr.size:
            self.cidrs.mark(cidr)
        if cidr.is_prefix:
            self.prefixes += 1
            self.prefix_pods += len(cidr.users)
            self.free_prefixes += not cidr.users
        else:
            self.secondary_addresses += 1
            self.secondary_pods += len(cidr.users)

    def remove(self, cidr: _Cidr) -> None:
        """Takes an unused address or prefix away."""
        self.cidrs.remove(cidr)
        if cidr.is_prefix:
            self.prefixes -= 1
            self.free_prefixes -= 1
        else:
            self.secondary_addresses -= 1

    def take(self, cidr: _Cidr, address: int, pod: str) -> None:
        if cidr.is_prefix:
            self.free_prefixes -= not cidr.users
            self.prefix_pods += 1
        else:
            self.secondary_pods += 1
        cidr.users[address] = pod
        cidr.free &= ~(1 << address - cidr.base)
        if len(cidr.users) == cidr.size:
            self.cidrs.unmark(cidr)

    def give_back(self, cidr: _Cidr, address: int, now: float) -> None:
        del cidr.users[address]
        cidr.cooling[address] = now
        self.cidrs.mark(cidr)
        if cidr.is_prefix:
            self.free_prefixes += not cidr.users
            self.prefix_pods -= 1
        else:
            self.secondary_pods -= 1

    def unused(self) -> list[_Cidr]:
        """Addresses and prefixes without a pod, in the order in which ipamd would see them."""
        return [cidr for cidr in self.cidrs.ordered() if not cidr.users]

    def cooling_until(self, cooldown: float) -> float:
        """When the last of its addresses will have rested; negative infinity where none rests."""
        return max(
            (since + cooldown for cidr in self.cidrs.stored() for since in cidr.cooling.values()),
            default=-math.inf,
        )


def _loaded(interface: Interface, random: Random, now: float, *, is_primary: bool) -> _Eni:
    """An interface with what EC2 has given it."""
    eni = _Eni(interface, random, now, is_primary=is_primary)
    for address in interface.addresses:
        eni.add(_Cidr(address, is_prefix=False))
    for prefix in interface.prefixes:
        eni.add(_Cidr(prefix, is_prefix=True))
    return eni


class _Copied:
    """An interface in the copy of the datastore that ipamd walks through when it returns addresses."""

    __slots__ = ("eni", "hash", "slot")

    def __init__(self, eni: _Eni) -> None:
        self.eni = eni
        self.slot = 0
        self.hash = 0


@dataclass(slots=True)
class _Stats:
    """The part of the pool that the current mode uses, in addresses.

    Attributes:
        total: All of them.
        assigned: Those with a pod.
        available: Those without. Resting addresses count, though no pod can have them yet.
    """

    total: int
    assigned: int
    available: int


@dataclass(slots=True)
class _Found:
    """What a loop of the pool manager saw when it looked."""

    too_low: bool
    too_high: bool
    extra_enis: bool


# Where a pod's address is: the interface, its address or prefix, and the address itself.
_Place = tuple[_Eni, _Cidr, int]


def _ceil_division(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def _is_insufficient(error: Exception) -> bool:
    """Whether ipamd takes the error for an exhausted subnet. It does not know InvalidParameterValue (#3105)."""
    return isinstance(error, Ec2Error) and error.code in (
        INSUFFICIENT_CIDR_BLOCKS,
        INSUFFICIENT_FREE_ADDRESSES,
    )


@dataclass(slots=True)
class _Timers:
    """When ipamd last did what it must not do again too soon. All forgotten at a restart."""

    insufficient_at: float = -math.inf
    decreased_at: float = -math.inf


@dataclass(slots=True, kw_only=True)
class Ipamd:
    """ipamd on one node.

    Drive it so: ``start(now)``; then whenever ``next_due`` has come, ``step(now)``; ``assign`` and ``release``
    at any time in between, with times that never go back. After an ``assign`` or ``release`` ask ``next_due``
    again. It never sleeps.

    Attributes:
        limits: The node's instance limits.
        settings: aws-node's settings; change them with ``restart``.
        max_pods: The node's pod capacity, where growth stops.
        ec2: Whom to call.
        primary: The interface that the node booted with, with what it already holds.
        others: Interfaces that hang on the node beside it, in the order of their device indexes.
        version: The VPC CNI's version.
        eniconfig_subnet: The subnet of the node's ENIConfig, for custom networking.
        random: Where the order of Go's maps comes from.
        log: Receives (now, level, message) for each line of ipamd's log, in ipamd's words.
        latency: How long EC2's answers take.
        schedulable: False while the node is cordoned.
        held: What the node holds of its subnets: the same object until an interface, address or prefix comes or goes.
        busy_until: When ipamd's last work ended: its calls to EC2 take the time that ``latency`` gives them.
    """

    limits: InstanceLimits
    settings: CniSettings
    max_pods: int
    ec2: Ec2
    primary: Interface
    others: tuple[Interface, ...] = ()
    version: CniVersion = OBSERVED_VERSION
    eniconfig_subnet: str | None = None
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - a simulation, not a secret
    log: Log | None = None
    latency: Latency = Latency()
    schedulable: bool = True

    held: Held = field(init=False)
    busy_until: float = field(init=False, default=0.0)

    _enis: SlotMap[_Eni] = field(init=False)
    _attached: list[_Eni] = field(init=False)
    _pods: dict[str, _Place] = field(init=False, default_factory=dict)
    _timers: _Timers = field(init=False, default_factory=_Timers)
    # The mode, and without IP targets the available addresses below which the pool is too low, and from which on
    # it has an interface too many: settings change only with a restart.
    _prefixes: bool = field(init=False, default=False)
    _ip_targets: bool = field(init=False, default=False)
    _low_below: int = field(init=False, default=0)
    _extra_from: int = field(init=False, default=0)
    _excluded: set[str] = field(init=False, default_factory=set)
    _next_loop: float = field(init=False, default=math.inf)
    _rest_until: float = field(init=False, default=-math.inf)
    _woken_at: float | None = field(init=False, default=None)
    _calls: int = field(init=False, default=0)
    _failed_starts: int = field(init=False, default=0)
    _not_ready: str | None = field(init=False, default="not started")

    def __post_init__(self) -> None:
        self._enis = SlotMap(self.random)
        self._attached = [
            _loaded(interface, self.random, 0.0, is_primary=interface is self.primary)
            for interface in (self.primary, *self.others)
        ]
        self._count_held()

    # What a driver calls.

    @property
    def not_ready(self) -> str | None:
        """Why ipamd could not start, or ``None`` once it runs."""
        return self._not_ready

    @property
    def next_due(self) -> float:
        """When ``step`` has something to do next; infinity while the pool is at rest."""
        if self._woken_at is not None:
            self._rest_until = math.inf if self._is_quiet() else min(self._rest_until, self._woken_at)
            self._woken_at = None
        waiting = self._rest_until - self._next_loop
        if waiting <= TIME_TOLERANCE:
            return self._next_loop
        if waiting == math.inf:
            return math.inf
        return self._next_loop + math.ceil((waiting - TIME_TOLERANCE) / POOL_LOOP_SECONDS) * POOL_LOOP_SECONDS

    @property
    def state(self) -> PoolState:
        """What the node holds now."""
        held = self.held
        return PoolState(held.enis, held.secondary_addresses, held.prefixes, len(self._pods))

    @property
    def interfaces(self) -> tuple[InterfaceState, ...]:
        """The node's interfaces, in the order in which they were attached."""
        return tuple(
            InterfaceState(
                id=eni.id,
                subnet_id=eni.subnet_id,
                is_primary=eni.is_primary,
                primary_address=eni.primary_address,
                addresses=tuple(cidr.base for cidr in eni.cidrs.stored() if not cidr.is_prefix),
                prefixes=tuple(cidr.base for cidr in eni.cidrs.stored() if cidr.is_prefix),
                pods=tuple(pod for cidr in eni.cidrs.stored() for pod in cidr.users.values()),
                excluded=eni.excluded,
            )
            for eni in self._attached
        )

    @property
    def available(self) -> int:
        """Addresses without a pod. Those that still rest count, as ipamd counts them."""
        return self._stats().available

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods with an address, in the order in which they got it."""
        return tuple(self._pods)

    def cooling(self, now: float) -> int:
        """Addresses that rest after their pod has gone."""
        cooldown = self.settings.ip_cooldown_seconds
        return sum(
            now - since <= cooldown
            for eni in self._attached
            for cidr in eni.cidrs.stored()
            for since in cidr.cooling.values()
        )

    def start(self, now: float) -> None:
        """Starts ipamd. Where it cannot start, ``not_ready`` says why and ``step`` tries again later."""
        self._set_mode(now)
        self._not_ready = self._load() or self._prescale()
        if self._not_ready is None:
            self._failed_starts = 0
            self._say(
                "info",
                "IP pool manager - max pods: %d, warm IP target: %d, warm prefix target: %d, "
                "warm ENI target: %d, minimum IP target: %d",
                self.max_pods,
                self.settings.warm_ip_target,
                self.settings.warm_prefix_target,
                self.settings.warm_eni_target,
                self.settings.minimum_ip_target,
            )
            self._next_loop = self.busy_until + POOL_LOOP_SECONDS / 2
        else:
            self._say("error", "Initialization failure: %s", self._not_ready)
            pause = min(FIRST_RESTART_SECONDS * 2.0**self._failed_starts, LAST_RESTART_SECONDS)
            self._failed_starts += 1
            self._next_loop = self.busy_until + pause
        self._rest_until = -math.inf
        self._woken_at = None

    def resume(self, now: float, pods: Mapping[str, int]) -> tuple[str, ...]:
        """Goes on as an ipamd that has run for long: without the growth of a start, its pods with their addresses.

        Args:
            now: The time.
            pods: Address by pod.

        Returns:
            The pods whose address is none of the node's interfaces, or another pod's.
        """
        self._set_mode(now)
        strange = tuple(pod for pod, address in pods.items() if not self._restore(pod, address))
        self._not_ready = self._load()
        self._next_loop = self.busy_until + POOL_LOOP_SECONDS / 2
        self._rest_until = -math.inf
        self._woken_at = None
        return strange

    def _restore(self, pod: str, address: int) -> bool:
        """Puts a pod where ipamd's file of assignments says that it is; whether there is such a free address."""
        for eni in self._attached:
            for cidr in eni.cidrs.stored():
                if cidr.base <= address < cidr.base + cidr.size and address not in cidr.users:
                    eni.take(cidr, address, pod)
                    self._pods[pod] = (eni, cidr, address)
                    return True
        return False

    def _set_mode(self, now: float) -> None:
        """What the settings make of the pool until the next restart."""
        self.busy_until = now
        self._prefixes = self.settings.prefix_delegation
        if self._prefixes and not self.limits.supports_prefixes:
            self._say(
                "warn",
                "Prefix delegation is not supported on non-nitro instance %s hence falling back to default "
                "(secondary IP) mode",
                self.limits.instance_type,
            )
            self._prefixes = False
        self._ip_targets = self.settings.ip_targets_set
        slots = self.limits.secondary_per_eni
        if self._prefixes:
            warm = self.settings.warm_prefix_target
            # Without a target the pool still grows when nothing is left.
            self._low_below = max(warm * PREFIX_ADDRESSES, 1)
            self._extra_from = (warm + 1) * slots * PREFIX_ADDRESSES
        else:
            warm = self.settings.warm_eni_target
            self._low_below = max(warm * slots, 1)
            self._extra_from = (warm + 1) * slots

    def restart(self, now: float, settings: CniSettings | None = None) -> None:
        """Restarts aws-node, as every change of its settings does. Pods keep their addresses."""
        if settings is not None:
            self.settings = settings
        self.start(now)

    def step(self, now: float) -> None:
        """Runs the pool loop if it is due. A late call runs it once."""
        if now + TIME_TOLERANCE < self.next_due:
            return
        if self._not_ready is not None:
            self.start(now)
            return
        self.busy_until = now
        calls = self._calls
        found = self._run_pool_loop()
        self._next_loop = self.busy_until + POOL_LOOP_SECONDS
        self._rest_until = -math.inf if self._calls > calls else self._next_change(found)
        self._woken_at = None

    def assign(self, pod: str, now: float) -> PodAddress | None:
        """Gives a pod an address, the same one if it has one already.

        Returns:
            The address, or ``None`` where no address can be had now. The kubelet asks again.
        """
        if not self.try_assign(pod, now):
            return None
        eni, _, address = self._pods[pod]
        return PodAddress(address=address, interface_id=eni.id, subnet_id=eni.subnet_id)

    def try_assign(self, pod: str, now: float) -> bool:
        """Like ``assign``, for a caller who only asks whether the pod has an address now."""
        return pod in self._pods or self._take(pod, now)

    def release(self, pod: str, now: float) -> None:
        """Takes a pod's address back; it rests for the cooldown. A pod without one is no error."""
        place = self._pods.pop(pod, None)
        if place is None:
            return
        eni, cidr, address = place
        eni.give_back(cidr, address, now)
        if eni.excluded and not cidr.users:
            self.busy_until = now
            self._unassign(eni, [cidr])
        self._wake(now)

    def cordon(self, now: float) -> None:
        """Marks the node unschedulable."""
        self.schedulable = False
        self._wake(now)

    def uncordon(self, now: float) -> None:
        """Marks the node schedulable again."""
        self.schedulable = True
        self._wake(now)

    # Starting.

    def _load(self) -> str | None:
        """Rebuilds the datastore from the interfaces, and drops what the mode has no use for."""
        self._timers = _Timers()
        self._enis = SlotMap(self.random)
        self._excluded = set()
        if self.settings.subnet_discovery and self.version >= SUBNET_EXCLUSION:
            try:
                subnets = self.ec2.describe_subnets()
            except Ec2Error as error:
                return f"checking to excluded configured subnet, error: {error}"
            self._excluded = excluded_subnets(subnets, version=self.version, cluster_name=self.settings.cluster_name)
        for eni in self._attached:
            cidrs = sorted(eni.cidrs.stored(), key=lambda cidr: cidr.is_prefix)
            eni.clear(self.random, self.busy_until)
            for cidr in cidrs:
                cidr.end_cooling()
                eni.add(cidr)
            self._mark_excluded(eni)
            self._enis.add(eni)
        for eni in self._attached:
            if eni.excluded:
                self._unassign(eni, [cidr for cidr in eni.unused() if cidr.is_prefix == self._prefixes])
            self._unassign(eni, [cidr for cidr in eni.unused() if cidr.is_prefix != self._prefixes])
        return None

    def _mark_excluded(self, eni: _Eni) -> None:
        eni.excluded = eni.subnet_id in self._excluded
        if eni.excluded:
            self._say(
                "info",
                "Marking %s ENI %s as excluded from pod IP allocation (in excluded subnet %s)",
                "primary" if eni.is_primary else "secondary",
                eni.id,
                eni.subnet_id,
            )

    def _prescale(self) -> str | None:
        """Grows the pool once before pods come."""
        if not self._is_too_low(self._stats()):
            return None
        if not self._increase():
            return "error while trying to increase datastore pool"
        if self.settings.custom_networking and self._stats().total == 0:
            return "Failed to attach any ENIs for custom networking"
        return None

    # The pool loop.

    def _run_pool_loop(self) -> _Found:
        stats = self._stats()
        if self.log is not None:
            self._say(
                "debug",
                "IP stats for Network Card 0 - total IPs: %d, assigned IPs: %d, cooldown IPs: %d",
                stats.total,
                stats.assigned,
                self.cooling(self.busy_until),
            )
        too_low = self._is_too_low(stats)
        over = 0 if too_low else self._over(stats)
        decreased = False
        if too_low:
            self._increase()
        elif over > 0 and not self._decreased_recently():
            decreased = True
            self._decrease(over)
        extra_enis = self._may_have_extra_enis(stats)
        if extra_enis:
            self._free_one_eni()
        if decreased:
            self._timers.decreased_at = self.busy_until
        return _Found(too_low, over > 0, extra_enis)

    def _next_change(self, found: _Found) -> float:
        """When a loop could do something that this one could not, if neither pods nor subnets change.

        Called after a loop without a call to EC2, so the pool is as that loop found it.
        """
        due = math.inf
        if found.too_low:
            if self.log is not None:
                # Somebody reads the log, and every loop of an unhealthy pool writes to it.
                return -math.inf
            if self._may_attach() and self._in_insufficient_pause():
                due = _after(self._timers.insufficient_at + INSUFFICIENT_ADDRESSES_PAUSE_SECONDS)
        elif found.too_high:
            due = _after(self._timers.decreased_at + DECREASE_INTERVAL_SECONDS)
        if found.extra_enis and self._may_attach():
            cooldown = self.settings.ip_cooldown_seconds
            for eni in self._attached:
                if eni.is_primary or eni.pods:
                    continue
                ready = max(eni.created_at + INTERFACE_MINIMUM_LIFE_SECONDS, _after(eni.cooling_until(cooldown)))
                if ready > self.busy_until + TIME_TOLERANCE:
                    due = min(due, ready)
        return due

    def _count_held(self) -> None:
        """To be called wherever an interface, address or prefix comes or goes."""
        self.held = Held(
            len(self._attached),
            sum(eni.secondary_addresses for eni in self._attached),
            sum(eni.prefixes for eni in self._attached),
        )

    def _stats(self) -> _Stats:
        total = assigned = 0
        if self._prefixes:
            for eni in self._attached:
                if not eni.excluded:
                    total += eni.prefixes * PREFIX_ADDRESSES
                    assigned += eni.prefix_pods
        else:
            for eni in self._attached:
                if not eni.excluded:
                    total += eni.secondary_addresses
                    assigned += eni.secondary_pods
        return _Stats(total, assigned, total - assigned)

    def _free_prefixes(self) -> int:
        free = 0
        for eni in self._attached:
            free += eni.free_prefixes
        return free

    def _short(self, stats: _Stats) -> int:
        """How far the pool is below WARM_IP_TARGET or MINIMUM_IP_TARGET, in addresses or prefixes."""
        warm, minimum = self.settings.warm_ip_target, self.settings.minimum_ip_target
        short = max(warm - stats.available, minimum - stats.total, 0)
        return _ceil_division(short, PREFIX_ADDRESSES) if self._prefixes else short

    def _is_too_low(self, stats: _Stats) -> bool:
        if stats.total >= self.max_pods:
            return False
        if self._ip_targets:
            settings = self.settings
            return stats.available < settings.warm_ip_target or stats.total < settings.minimum_ip_target
        return stats.available < self._low_below

    def _over(self, stats: _Stats) -> int:
        """Addresses or prefixes to return. Without IP targets or prefixes only whole interfaces are."""
        if self._ip_targets:
            warm, minimum = self.settings.warm_ip_target, self.settings.minimum_ip_target
            if not self._prefixes:
                over = min(stats.available - warm, stats.total - minimum)
                return max(0, over)
            needed = max(
                _ceil_division(stats.assigned + warm, PREFIX_ADDRESSES),
                _ceil_division(minimum, PREFIX_ADDRESSES),
            )
            prefixes = sum(eni.prefixes for eni in self._attached)
            return max(min(self._free_prefixes(), prefixes - needed), 0)
        if self._prefixes:
            return max(self._free_prefixes() - self.settings.warm_prefix_target, 0)
        return 0

    def _decreased_recently(self) -> bool:
        return self.busy_until - self._timers.decreased_at <= DECREASE_INTERVAL_SECONDS

    def _in_insufficient_pause(self) -> bool:
        return self.busy_until - self._timers.insufficient_at <= INSUFFICIENT_ADDRESSES_PAUSE_SECONDS

    def _may_attach(self) -> bool:
        return self.schedulable or self.settings.manage_enis_non_schedulable

    # Growing.

    def _increase(self) -> bool:
        """Adds to an interface, or else adds one. False only on an error that is not about addresses."""
        self._say("debug", "Starting to increase pool size for network card 0")
        if not self._may_attach():
            self._say(
                "debug",
                "AWS CNI is on a non schedulable node, will not try to attach any new IPs or ENIs right now",
            )
            return True
        if self._in_insufficient_pause():
            self._say("debug", "Recently we had InsufficientCidr error hence will wait for 2m0s before retrying")
            return True
        try:
            grown = self._add_to_an_eni()
        except Ec2Error as error:
            if not _is_insufficient(error):
                self._say("error", "%s", error)
                return False
            self._pause_for_insufficient_addresses()
            return True
        if not grown:
            self._add_an_eni()
        return True

    def _add_an_eni(self) -> None:
        """Adds an interface if there is room for one. That it cannot be had is never an error to ipamd."""
        if not self._has_room_for_eni():
            self._say("debug", "Skipping ENI allocation as the max ENI limit is already reached")
            return
        try:
            self._allocate_eni()
        except (Ec2Error, _AllocationError) as error:
            self._say("debug", "Error trying to allocate ENI: %s", error)

    def _pause_for_insufficient_addresses(self) -> None:
        self._say(
            "error",
            "Unable to attach IPs/Prefixes for the ENI, subnet doesn't seem to have enough IPs/Prefixes. "
            "Consider using new subnet or carve a reserved range using create-subnet-cidr-reservation",
        )
        self._timers.insufficient_at = self.busy_until

    def _wanted(self) -> int:
        """Addresses or prefixes that the pool is short of, before the limit of one interface."""
        stats = self._stats()
        if self._prefixes:
            if self.settings.ip_targets_set:
                return max(1, self._short(stats))
            return max(1, self.settings.warm_prefix_target - self._free_prefixes())
        if self.settings.ip_targets_set:
            return self._short(stats)
        return self.limits.secondary_per_eni

    def _add_to_an_eni(self) -> bool:
        """Adds addresses or prefixes to the first interface that takes any."""
        wanted = self._wanted()
        if wanted == 0:
            return False
        room = self.limits.secondary_per_eni
        # Under subnet discovery a full subnet is no reason not to try the next interface.
        goes_on = self.settings.subnet_discovery and self.version >= FULL_SUBNET_FIXED
        for eni in list(self._enis.ordered()):
            if eni.excluded or (eni.is_primary and self.settings.custom_networking):
                continue
            missing = room - len(eni.cidrs)
            if missing <= 0:
                continue
            try:
                self._assign_or_one(eni, min(missing, wanted))
            except Ec2Error as error:
                if goes_on and _is_insufficient(error):
                    continue
                raise
            return True
        return False

    def _assign_or_one(self, eni: _Eni, count: int) -> None:
        try:
            self._assign_cidrs(eni, count)
        except Ec2Error as error:
            if error.code != PRIVATE_IP_ADDRESS_LIMIT_EXCEEDED:
                self._say(
                    "warn",
                    "failed to allocate all available IPv4 Prefixes on ENI %s, err: %s"
                    if self._prefixes
                    else "failed to allocate all available IP addresses on ENI %s, err: %s",
                    eni.id,
                    error,
                )
                self._assign_cidrs(eni, 1)

    def _assign_cidrs(self, eni: _Eni, count: int) -> None:
        self._say("info", "Trying to allocate %d IP addresses on ENI %s", count, eni.id)
        self._spend(self.latency.call)
        try:
            given = (self.ec2.assign_prefixes if self._prefixes else self.ec2.assign_addresses)(eni.id, count)
        except Ec2Error as error:
            self._say("error", "Failed to allocate a private IP/Prefix addresses on ENI %s: %s", eni.id, error)
            raise
        self._say(
            "info",
            "Allocated %d private IP prefixes" if self._prefixes else "Allocated %d private IP addresses",
            len(given),
        )
        for base in given:
            eni.add(_Cidr(base, is_prefix=self._prefixes))
        self._count_held()

    def _has_room_for_eni(self) -> bool:
        limit = self.limits.enis
        if self.settings.max_eni is not None:
            limit = min(limit, self.settings.max_eni)
        trunk = 1 if self.settings.pod_eni else 0
        excluded = sum(eni.excluded for eni in self._attached)
        current = len(self._attached)
        has_room = current < limit - trunk
        self._say(
            "debug",
            "hasRoomForEni: networkCard=0, currentENIs=%d, currentUsableENIs=%d, maxENI=%d, unmanagedENI=0, "
            "trunkEni=%d, excludedENI=%d, hasRoom=%s",
            current,
            current - excluded,
            limit,
            trunk,
            excluded,
            "true" if has_room else "false",
        )
        return has_room

    def _allocate_eni(self) -> None:
        count = min(self._wanted(), self.limits.secondary_per_eni)
        if count <= 0:
            self._say(
                "debug",
                "Did not allocate ENI since IPs/Prefixes needed were not greater than 0. IPs/Prefixes needed: %d",
                count,
            )
            return
        try:
            interface = self._create_and_attach(count)
        except (Ec2Error, _AllocationError) as error:
            self._say("error", "Failed to increase pool size due to not able to allocate ENI %s", error)
            self._say("warn", "Failed to allocate %d IP addresses on an ENI: %s", count, error)
            if _is_insufficient(error):
                self._pause_for_insufficient_addresses()
            raise
        self._spend(self.latency.discover)
        eni = _loaded(interface, self.random, self.busy_until, is_primary=False)
        self._mark_excluded(eni)
        self._enis.add(eni)
        self._attached.append(eni)
        self._count_held()

    def _create_and_attach(self, count: int) -> Interface:
        self._spend(self.latency.allocate)
        interface = self._create(count)
        try:
            self.ec2.attach_interface(interface.id)
        except Ec2Error as error:
            self._say("error", "Failed to attach ENI %s: %s", interface.id, error)
            self.ec2.delete_interface(interface.id)
            raise
        self._say(
            "info",
            "Successfully created and attached a new ENI %s to instance on network card 0",
            interface.id,
        )
        return interface

    def _create(self, count: int) -> Interface:
        """Creates an interface in the first subnet that has room."""
        refusal: Ec2Error | None = None
        self._say("info", "Trying to allocate %d IP addresses on new ENI", count)
        for subnet_id in self._subnets_to_try():
            self._say("info", "Creating ENI with security groups: [] in subnet: %s", subnet_id)
            try:
                interface = self.ec2.create_interface(
                    subnet_id,
                    addresses=0 if self._prefixes else count,
                    prefixes=count if self._prefixes else 0,
                )
            except Ec2Error as error:
                self._say("error", "Failed to CreateNetworkInterface %s for subnet %s", error, subnet_id)
                refusal = error
            else:
                self._say("info", "Created a new ENI: %s", interface.id)
                return interface
        if refusal is not None:
            raise refusal
        raise _AllocationError(
            "no valid subnets available for ENI creation - all subnets are either not tagged or tagged with "
            "kubernetes.io/role/cni=0"
        )

    def _subnets_to_try(self) -> Iterator[str]:
        node_subnet = self.primary.subnet_id
        if self.settings.custom_networking:
            if self.eniconfig_subnet is None:
                self._say("error", "Failed to get pod ENI config")
                raise _AllocationError("No ENIConfig could be found for this node")
            yield self.eniconfig_subnet
        elif not self.settings.subnet_discovery or self.version < SUBNET_DISCOVERY:
            yield node_subnet
        else:
            try:
                subnets = self.ec2.describe_subnets()
            except Ec2Error as error:
                self._say("warn", "Failed to call ec2:DescribeSubnets: %s", error)
                if self.version >= SUBNET_EXCLUSION:
                    raise
                self._say("info", "Defaulting to same subnet as the primary interface for the new ENI")
                yield node_subnet
                return
            for subnet in interface_subnets(
                subnets,
                node_subnet=node_subnet,
                version=self.version,
                cluster_name=self.settings.cluster_name,
            ):
                yield subnet.id

    # Shrinking.

    def _decrease(self, over: int) -> None:
        """Returns surplus addresses or wholly unused prefixes, interface by interface."""
        self._say("debug", "Starting to decrease pool size for network card 0")
        copies: SlotMap[_Copied] = SlotMap(self.random, hint=len(self._enis))
        for eni in self._enis.ordered():
            copies.add(_Copied(eni))
        for copy in copies.ordered():
            if over <= 0:
                break
            surplus = copy.eni.unused()[:over]
            self._unassign(copy.eni, surplus)
            over -= len(surplus)
        self._say("debug", "Successfully decreased IP pool")

    def _unassign(self, eni: _Eni, cidrs: list[_Cidr]) -> None:
        """Returns unused addresses and prefixes of an interface to EC2.

        ipamd forgets them before it asks, and does not mind a refusal.
        """
        for cidr in cidrs:
            eni.remove(cidr)
        self._count_held()
        groups = (
            (self.ec2.unassign_prefixes, [cidr.base for cidr in cidrs if cidr.is_prefix], "Prefixes"),
            (self.ec2.unassign_addresses, [cidr.base for cidr in cidrs if not cidr.is_prefix], "IPs"),
        )
        for unassign, bases, kind in groups:
            if not bases:
                continue
            self._say("info", "Trying to unassign the following %s from ENI %s: %d", kind, eni.id, len(bases))
            self._spend(self.latency.call)
            try:
                unassign(eni.id, bases)
            except Ec2Error as error:
                self._say("warn", "Failed to free %s from ENI %s: %s", kind, eni.id, error)

    def _may_have_extra_enis(self, stats: _Stats) -> bool:
        if self._ip_targets or stats.available >= self._extra_from:
            return True
        return self._prefixes and self._has_unused_eni()

    def _has_unused_eni(self) -> bool:
        """Whether any secondary interface has no pods, be it too young to go or not."""
        for eni in self._attached:  # noqa: SIM110 - asked at every change of pods, and any() takes twice as long
            if not (eni.secondary_pods or eni.prefix_pods or eni.is_primary):
                return True
        return False

    def _free_one_eni(self) -> None:
        if not self._may_attach():
            self._say("debug", "AWS CNI is on a non schedulable node, not detaching any ENIs")
            return
        if not self._has_unused_eni():
            return
        eni = next((eni for eni in self._enis.ordered() if self._is_deletable(eni)), None)
        if eni is None:
            return
        self._enis.remove(eni)
        self._attached.remove(eni)
        self._count_held()
        self._say("info", "Trying to free ENI: %s", eni.id)
        self._spend(self.latency.free)
        try:
            self.ec2.detach_interface(eni.id)
            self.ec2.delete_interface(eni.id)
        except Ec2Error as error:
            self._say("error", "Failed to free ENI %s, err: %s", eni.id, error)
        else:
            self._say("info", "Successfully freed ENI: %s", eni.id)

    def _is_deletable(self, eni: _Eni) -> bool:
        """Whether nothing needs the interface: no pod, no resting address, no target."""
        age = self.busy_until - eni.created_at
        if eni.is_primary or eni.pods or age < INTERFACE_MINIMUM_LIFE_SECONDS - TIME_TOLERANCE:
            return False
        if self.busy_until <= eni.cooling_until(self.settings.ip_cooldown_seconds):
            return False
        others = [other for other in self._attached if other is not eni and not other.excluded]
        if self._prefixes:
            total = sum(other.prefixes for other in others) * PREFIX_ADDRESSES
            assigned = sum(other.prefix_pods for other in others)
            step = PREFIX_ADDRESSES
        else:
            total = sum(other.secondary_addresses for other in others)
            assigned = sum(other.secondary_pods for other in others)
            step = 1
        warm, minimum = self.settings.warm_ip_target, self.settings.minimum_ip_target
        if warm and total - assigned < _ceil_division(warm, step) * step:
            return False
        if minimum and total < _ceil_division(minimum, step) * step:
            return False
        if self._prefixes and self.settings.warm_prefix_target:
            # ipamd counts unused secondary addresses here as if they were prefixes.
            unused = sum(not cidr.users for other in others for cidr in other.cidrs.stored())
            return unused >= self.settings.warm_prefix_target
        return True

    # Pods.

    def _take(self, pod: str, now: float) -> bool:
        if self._not_ready is not None:
            return False
        prefixes = self._prefixes
        cooldown = self.settings.ip_cooldown_seconds
        for eni in self._enis.ordered():
            if eni.excluded or eni.is_full(prefixes=prefixes):
                continue
            cidr = eni.cidrs.first_marked()
            while cidr is not None:
                if cidr.is_prefix == prefixes:
                    address = cidr.free_address(now, cooldown)
                    if address is not None:
                        eni.take(cidr, address, pod)
                        self._pods[pod] = (eni, cidr, address)
                        self._wake(now)
                        return True
                cidr = eni.cidrs.next_marked(cidr)
        if self.log is not None:
            self.log(now, "error", "DataStore has no available IP/Prefix addresses")
        return False

    # Time and words.

    def _is_quiet(self) -> bool:
        """Whether the next loop would find nothing to do, so that it need not run."""
        if self.log is not None or self._not_ready is not None:
            return False
        stats = self._stats()
        if self._is_too_low(stats) or self._over(stats):
            return False
        return not self._may_have_extra_enis(stats) or not self._has_unused_eni()

    def _wake(self, now: float) -> None:
        if self._woken_at is None:
            self._woken_at = now

    def _spend(self, seconds: float) -> None:
        """An EC2 call: it takes time, and tells that the pool is not at rest."""
        self._calls += 1
        self.busy_until += seconds

    def _say(self, level: str, message: str, *values: object) -> None:
        if self.log is not None:
            self.log(self.busy_until, level, message % values if values else message)


def _after(moment: float) -> float:
    """Just after a moment: these periods have ended only once they are over, not when they are reached."""
    return moment + 2 * TIME_TOLERANCE
