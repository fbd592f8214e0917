"""How it came to this: where the addresses have gone, against what the capacity model expects."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from headroom.addresses.blocks import listed, usable_addresses
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.fleet import LEAST_BURST, Nodes, TargetAdvice, best_warm_targets, plan_fleet, worst_pool
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.pool import NodePool, node_pool
from headroom.capacity.settings import CniSettings
from headroom.diagnosis.owners import (
    COOLDOWN,
    LEAKED,
    OF_NODES,
    PODS,
    RESERVED,
    UNEXPLAINED,
    Holdings,
    NodeUse,
    block_of,
    integer_of,
    pod_subnets,
)
from headroom.diagnosis.readings import aws_of, environment_of, limits_reader
from headroom.diagnosis.verdict import Factor, History, ZoneAddresses
from headroom.facts.aws import Subnet
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, is_known, known, known_or

WARM_TARGETS: Final = ("WARM_ENI_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_PREFIX_TARGET")


def history(snapshot: Snapshot) -> History | None:
    """How it came to this.

    Args:
        snapshot: The facts.

    Returns:
        ``None`` where not even the subnets are known.
    """
    holdings = Holdings(snapshot)
    subnets = pod_subnets(snapshot, holdings)
    if not subnets:
        return None
    interfaces = aws_of(snapshot).interfaces
    read = is_known(snapshot.aws) and is_known(interfaces)
    gone = tuple(_where(subnet, holdings, read=read) for subnet in subnets)
    model = _Model.of(snapshot, holdings)
    totals = _total(gone)
    held = sum(totals[owner] for owner in OF_NODES) if read and holdings.nodes else None
    by_pods = totals[PODS] if held is not None and holdings.pods_known else None
    account = _account(snapshot, holdings, gone, model) if held is not None else None
    factor = account.factor if account is not None else None
    return History(
        subnets=gone,
        held=held,
        by_pods=by_pods,
        expected=model.expected,
        thrifty=model.thrifty,
        thrifty_settings=model.thrifty_settings,
        factor=factor,
        summary=_summary(held, by_pods, model, account, interfaces if not read else None),
    )


def asked_at_once(limits: InstanceLimits, settings: CniSettings) -> int:
    """Free addresses without which a node of that kind can take no further interface.

    In default mode a new interface asks for all its addresses at once, so what is left below that is of no use to
    anybody (amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go, getENIaddresses). With a WARM_IP_TARGET it asks for at least one
    and its own; with prefixes for a /28 and its own.
    """
    if settings.prefix_delegation and limits.supports_prefixes:
        return PREFIX_ADDRESSES + 1
    return 2 if settings.ip_targets_set else limits.ipv4_per_eni


# Where the addresses have gone.


def _where(subnet: Subnet, holdings: Holdings, *, read: bool) -> ZoneAddresses:
    block = block_of(subnet)
    usable = usable_addresses(block) if block is not None else 0
    free = known(subnet.available_addresses)
    owners = holdings.by_owner(subnet.subnet_id)
    free_blocks = None
    drawn = holdings.map_of(subnet) if read else None
    if drawn is not None:
        free_blocks = drawn.usable28
        owners[RESERVED] = drawn.free_reserved_addresses
        if free is not None:
            # Read at another moment, or held by what the caller may not see.
            owners[UNEXPLAINED] = max(0, usable - free - owners.total())
    return ZoneAddresses(
        subnet_id=subnet.subnet_id,
        zone=known_or(subnet.zone, ""),
        usable=usable,
        free=free,
        by_owner={owner: number for owner, number in owners.most_common() if number},
        free_blocks=free_blocks,
    )


def _total(subnets: Iterable[ZoneAddresses]) -> Counter[str]:
    total = Counter[str]()
    for subnet in subnets:
        total.update(subnet.by_owner)
    return total


# What the capacity model expects.


@dataclass(slots=True, kw_only=True)
class _Model:
    """The pools of the nodes with all pods that they have and that wait, as they are set and at their thriftiest.

    Attributes:
        known: The nodes whose limits and settings are known, with the pools.
        unknown: How many others there are.
        environment: aws-node's settings.
        expected: What all nodes need at most; ``None`` where some node is not known.
        thrifty: The same with the best warm targets.
        thrifty_settings: Those.
    """

    known: list[tuple[NodeUse, NodePool, NodePool]] = field(default_factory=list)
    unknown: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    expected: int | None = None
    thrifty: int | None = None
    thrifty_settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, holdings: Holdings) -> "_Model":
        environment = environment_of(snapshot)
        model = cls(environment=environment or {})
        if environment is None or not holdings.nodes or not holdings.pods_known:
            model.unknown = len(holdings.nodes)
            return model
        limits = limits_reader(snapshot)
        settings = CniSettings.from_environment(environment)
        nodes: list[tuple[NodeUse, Nodes]] = []
        for use in holdings.nodes.values():
            of_type = limits(use.node)
            if of_type is None:
                model.unknown += 1
                continue
            row = Nodes(
                limits=of_type,
                zone=known_or(use.node.zone, ""),
                pods=use.addressed + use.waiting,
                max_pods=known(use.node.max_pods),
            )
            nodes.append((use, row))
        rows = [row for _, row in nodes]
        advice = _advice(rows, settings)
        if advice is None:
            return model
        # Where the settings of today are too slow for a burst the best ones may hold more: that is no thrift.
        choice = advice.best if advice.best.addresses < advice.now.addresses else advice.now
        targets = {name: str(value) for name, value in choice.environment}
        thrifty = CniSettings.from_environment({**_without_targets(environment), **targets})
        now_pools, thrifty_pools = _Pools(settings), _Pools(thrifty)
        model.known = [(use, now_pools.of(row), thrifty_pools.of(row)) for use, row in nodes]
        if not model.unknown:
            model.expected = plan_fleet(rows, settings, surge=0).addresses
            model.thrifty = plan_fleet(rows, thrifty, surge=0).addresses
            model.thrifty_settings = targets
        return model

    @property
    def targets(self) -> str:
        """The warm targets that are set, in the field's own words."""
        settings = CniSettings.from_environment(self.environment)
        names: Sequence[str] = ("WARM_ENI_TARGET",)
        if settings.ip_targets_set:
            names = ("WARM_IP_TARGET", "MINIMUM_IP_TARGET")
        elif settings.prefix_delegation:
            names = ("WARM_PREFIX_TARGET",)
        return " ".join(f"{name}={self.environment[name]}" for name in names if name in self.environment)


class _Pools:
    """Pools of nodes, each kind reckoned once."""

    def __init__(self, settings: CniSettings) -> None:
        self._settings = settings
        self._found: dict[tuple[InstanceLimits, int, int | None], NodePool] = {}

    def of(self, row: Nodes) -> NodePool:
        key = (row.limits, row.pods, row.max_pods)
        pool = self._found.get(key)
        if pool is None:
            pool = self._found[key] = node_pool(row.limits, self._settings, row.pods, max_pods=row.max_pods)
        return pool


def _advice(rows: Sequence[Nodes], settings: CniSettings) -> TargetAdvice | None:
    """The best warm targets; for nodes too full for a burst of as many pods as they run, for a small one."""
    advice = best_warm_targets(rows, settings)
    if advice is not None and not advice.considered:
        advice = best_warm_targets(rows, settings, burst_pods=LEAST_BURST)
    return advice


def _without_targets(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in WARM_TARGETS}


# What dominates.


@dataclass(slots=True, kw_only=True)
class _Account:
    """What is held without need in the zones that are short, by reason.

    Attributes:
        zones: The zones that are short, sorted.
        usable: Addresses of their subnets.
        thrifty: What their nodes would hold with the best warm targets.
        warm: What the settings keep more than that.
        churn: What nodes hold beyond what their settings and pods explain.
        leaked: What leaked interfaces hold.
        others: What others hold, by owner.
        broken_blocks: With prefixes, the /28s in which others hold addresses.
        limited: Pods that wait on nodes that could not serve them in any subnet.
        waiting: Pods that wait.
    """

    zones: tuple[str, ...]
    usable: int = 0
    thrifty: int = 0
    warm: int = 0
    churn: int = 0
    leaked: int = 0
    others: Counter[str] = field(default_factory=Counter)
    broken_blocks: int = 0
    limited: int = 0
    waiting: int = 0

    @property
    def spoilt(self) -> int:
        """Addresses that others hold, or with prefixes spoil."""
        return max(self.others.total(), PREFIX_ADDRESSES * self.broken_blocks)

    @property
    def factor(self) -> Factor | None:
        """What dominates; ``None`` where nothing is short."""
        if self.limited and 2 * self.limited >= self.waiting:
            return Factor.DENSITY
        if not self.zones:
            return None
        if self.thrifty > self.usable:
            return Factor.SIZE
        reasons = {
            Factor.LEAK: self.leaked,
            Factor.CHURN: self.churn,
            Factor.WARM_POOL: self.warm,
            Factor.OTHERS: self.spoilt,
        }
        factor = max(reasons, key=lambda each: reasons[each])
        return factor if reasons[factor] else Factor.SIZE


def _account(snapshot: Snapshot, holdings: Holdings, subnets: Sequence[ZoneAddresses], model: _Model) -> _Account:
    settings = CniSettings.from_environment(model.environment)
    limits = limits_reader(snapshot)
    kinds = {found for use in holdings.nodes.values() if (found := limits(use.node)) is not None}
    zones = _short_zones(holdings, subnets, kinds, settings)
    account = _Account(zones=tuple(sorted(zones)))
    for subnet in subnets:
        if subnet.zone not in zones:
            continue
        account.usable += subnet.usable
        account.leaked += subnet.by_owner.get(LEAKED, 0)
        for owner, number in subnet.by_owner.items():
            if owner not in (*OF_NODES, LEAKED, UNEXPLAINED):
                account.others[owner] += number
        if settings.prefix_delegation:
            account.broken_blocks += _broken_by_others(holdings, subnet.subnet_id)
        account.churn += subnet.by_owner.get(COOLDOWN, 0)
    for use, now, thrifty in model.known:
        account.waiting += use.waiting
        if use.waiting and now.assigned < use.addressed + use.waiting:
            account.limited += use.waiting
        if known_or(use.node.zone, "") not in zones:
            continue
        expected, least = worst_pool(now), worst_pool(thrifty)
        account.thrifty += least
        account.churn += max(0, use.held - expected)
        account.warm += max(0, min(use.held, expected) - least)
    return account


def _short_zones(
    holdings: Holdings, subnets: Sequence[ZoneAddresses], kinds: Iterable[InstanceLimits], settings: CniSettings
) -> set[str]:
    """Zones where a node can take no further interface, or where pods wait."""
    needed = min((asked_at_once(limits, settings) for limits in kinds), default=1)
    free, blocks = Counter[str](), Counter[str]()
    unknown = set()
    for subnet in subnets:
        if subnet.free is None:
            unknown.add(subnet.zone)
        free[subnet.zone] = max(free[subnet.zone], subnet.free or 0)
        blocks[subnet.zone] += subnet.free_blocks or 0
    short = {zone for zone in free if zone not in unknown and free[zone] < needed}
    if settings.prefix_delegation:
        short |= {zone for zone in blocks if zone not in unknown and not blocks[zone]}
    waiting = {known_or(use.node.zone, "") for use in holdings.nodes.values() if use.waiting}
    return short | waiting


def _broken_by_others(holdings: Holdings, subnet_id: str) -> int:
    """/28s in which others hold addresses, so that none of them becomes a prefix."""
    found = set[int]()
    for interface in holdings.by_subnet.get(subnet_id, ()):
        if interface.interface_id in holdings.foreign:
            found.update(
                number // PREFIX_ADDRESSES for text in interface.addresses if (number := integer_of(text)) is not None
            )
    return len(found)


# In words.


def _summary(
    held: int | None,
    by_pods: int | None,
    model: _Model,
    account: _Account | None,
    unread: object,
) -> str:
    if held is None or account is None:
        why = f": {unread}" if isinstance(unread, Unknown) else ""
        return f"Who holds the addresses is unknown, since the network interfaces were not read{why}."
    sentences = [
        f"Nodes hold {held:,} addresses, "
        + (f"{by_pods:,} of them for pods." if by_pods is not None else "and how many pods use was not read.")
    ]
    if account.zones:
        sentences.append(_shares(account, model))
    if model.thrifty is not None and model.expected is not None and model.thrifty < held:
        settings = " ".join(f"{name}={value}" for name, value in model.thrifty_settings.items())
        waiting = f", with the {account.waiting:,} that wait," if account.waiting else ""
        sentences.append(f"The same pods{waiting} would hold {model.thrifty:,} with {settings}.")
    if model.unknown and by_pods is not None:
        nodes = f"{model.unknown:,} node{'' if model.unknown == 1 else 's'}"
        sentences.append(f"What {nodes} should hold is unknown: the instance type or the settings were not read.")
    return " ".join(sentences)


def _shares(account: _Account, model: _Model) -> str:
    where = listed(account.zones) or "the subnets"
    factor = account.factor
    if factor is Factor.DENSITY:
        return f"{account.limited:,} of {account.waiting:,} waiting pods are on nodes that can hold no more."
    if factor is Factor.SIZE and account.thrifty > account.usable:
        return (
            f"In {where} the pods need {account.thrifty:,} addresses even with the thriftiest settings; "
            f"the subnets have {account.usable:,}."
        )
    targets = f" ({model.targets})" if model.targets else ""
    others = listed(f"{owner} {number:,}" for owner, number in account.others.most_common())
    reasons = [
        (account.warm, f"{account.warm:,} idle in the warm pool{targets}"),
        (account.churn, f"{account.churn:,} left over from pods that have gone"),
        (account.leaked, f"{account.leaked:,} in network interfaces that hang on nothing"),
        (
            account.spoilt,
            f"{account.broken_blocks:,} /28 blocks broken by addresses of others ({others})"
            if account.broken_blocks
            else f"{account.others.total():,} held by others ({others})",
        ),
    ]
    parts = [text for number, text in sorted(reasons, key=lambda each: -each[0]) if number]
    if not parts:
        return f"In {where} nothing is held without need."
    return f"In {where}, beyond what the pods need: {listed(parts)}."
