"""The ways out of an AKS cluster, each weighed: what helps at once, then the smallest change that lasts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from headroom.addresses.azure import OVERLAY_NODE_PREFIX_LENGTH
from headroom.addresses.blocks import Block, listed
from headroom.capacity.overlay import KUBENET_MAXIMUM_NODES, KUBENET_RETIRES, OVERLAY_MAXIMUM_NODES
from headroom.diagnosis.aks import Mode, named
from headroom.diagnosis.aks_room import room_of_pools
from headroom.diagnosis.verdict import Cause, Detail, Diagnosis, Relief, RootCause
from headroom.facts.azure import AgentPool
from headroom.facts.values import Unknown, items, known
from headroom.planning.aks_blue_green import Design, design, free_pod_range, gateway_choice
from headroom.planning.aks_choices import BLUE_GREEN_WAY, IN_PLACE_WAY, Choices
from headroom.planning.aks_eligibility import Answer, Condition, Eligibility, in_place
from headroom.planning.aks_network import (
    LOAD_BALANCER,
    MANAGED_NAT,
    MANAGED_NAT_V2,
    PORTS_OF_AN_ADDRESS,
    USER_NAT,
    Allowed,
    NeededRule,
    needed_rules,
    outbound_move,
)
from headroom.planning.aks_pools import NewPool, denser_pool, roomier_pool, sparser_pool
from headroom.planning.aks_situation import AksSituation, block_of, blocks_of, unread_networks
from headroom.planning.plan import Option

_OVERLAY: Final = "AKS documentation, concepts-network-azure-cni-overlay"
_UPDATE: Final = "AKS documentation, update-azure-cni"
_EXPAND: Final = "AKS documentation, azure-cni-overlay-pod-expand"
_SUBNET_STAYS: Final = frozenset({"node-subnet-full", "cluster-too-large"})
"""Problems of capacity that the update leaves as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AksWeighed:
    """The options, and what of them the plan needs.

    Attributes:
        options: All of them, in the order in which they were weighed.
        reliefs: What helps at once.
        without_route: Nodes that have no route for their pods, to be cordoned.
        pools: New pools.
        grown: What the pod range grows to in place.
        eligibility: What the rules of the way in place say; ``None``: it was not asked.
        in_place_cidr: The overlay's range on the way in place; ``None``: the one that it has.
        in_place: Whether the plan goes that way.
        rules: On that way, rules that the nodes' security groups lack; unknown where one was not read.
        blue_green: The new cluster; ``None``: the plan makes none.
        outbound: The outbound type to move to; empty: it stays.
        unmet: What was wanted and cannot be, in sentences.
    """

    options: tuple[Option, ...]
    reliefs: tuple[Relief, ...] = ()
    without_route: tuple[str, ...] = ()
    pools: tuple[NewPool, ...] = ()
    grown: Block | None = None
    eligibility: Eligibility | None = None
    in_place_cidr: Block | None = None
    in_place: bool = False
    rules: tuple[NeededRule, ...] | Unknown = ()
    blue_green: Design | None = None
    outbound: str = ""
    unmet: tuple[str, ...] = ()

    def keeps(self, name: str) -> bool:
        """Whether the plan takes that option."""
        return any(option.kept for option in self.options if option.name == name)


def weigh_aks(
    situation: AksSituation, diagnosis: Diagnosis, choices: Choices, base: str, *, ahead: bool = False
) -> AksWeighed:
    """Weighs every way out against the causes.

    Args:
        situation: The cluster.
        diagnosis: Its causes.
        choices: What a person chose.
        base: What the names of stacks begin with.
        ahead: Whether nothing is wrong yet, and the cluster is to outlast what it is.
    """
    causes = tuple(cause for cause in diagnosis.causes if cause.made_by is None)
    reliefs = diagnosis.impact.reliefs if diagnosis.impact is not None else ()
    options: list[Option] = list(_relief_options(situation, reliefs, causes))
    without_route, route_option = _route_option(causes)
    options.append(route_option)
    pools, pool_options = _pool_options(situation, causes)
    options.extend(pool_options)
    wants_range = _has(causes, Detail.POD_CIDR_EXHAUSTED) or (ahead and situation.mode is Mode.OVERLAY)
    grown, grow_option = _grow_option(situation, wanted=wants_range)
    options.append(grow_option)
    why = _why_overlay(situation, causes, pools, grown, choices, ahead=ahead)
    way = _ways(situation, choices, base, why)
    options.extend(way.options)
    outbound, egress_options = _egress_options(situation, causes)
    options.extend(egress_options)
    options.append(_split_option(situation, causes))
    unmet = [*way.unmet]
    if any(not pool.unmet for pool in pools):
        pools = tuple(pool for pool in pools if not pool.unmet)
    elif pools and not why:
        unmet += [pool.unmet for pool in pools]
    if wants_range and grown is None and not why:
        unmet.append(grow_option.reason)
    return AksWeighed(
        options=tuple(options),
        reliefs=tuple(reliefs),
        without_route=without_route,
        pools=tuple(pool for pool in pools if not pool.unmet),
        grown=grown,
        eligibility=way.eligibility,
        in_place_cidr=way.pod_cidr,
        in_place=way.in_place,
        rules=_rules_in_place(situation, way.pod_cidr) if way.in_place else (),
        blue_green=way.blue_green,
        outbound=outbound,
        unmet=tuple(dict.fromkeys(unmet)),
    )


def _has(causes: Iterable[Cause], *details: Detail) -> bool:
    return any(cause.detail in details for cause in causes)


# At once.


def _relief_options(situation: AksSituation, reliefs: Sequence[Relief], causes: Sequence[Cause]) -> Iterator[Option]:
    kinds = (
        ("add-nodes", "Add nodes now", ("az aks nodepool scale", "az aks nodepool update")),
        ("drain-nodes", "Drain the nodes whose range is used up, now", ("kubectl cordon",)),
        ("more-outbound-ports", "Add an outbound public address now", ("az aks update", "az network nat gateway")),
    )
    for name, title, commands in kinds:
        found = next((relief for relief in reliefs if relief.command.startswith(commands)), None)
        if found is not None:
            yield Option(name=name, title=title, kept=True, reason=f"{found.what} {found.caveat}".strip())
        else:
            yield Option(name=name, title=title, kept=False, reason=_no_relief(situation, name, causes))


def _no_relief(situation: AksSituation, name: str, causes: Sequence[Cause]) -> str:
    if name == "more-outbound-ports":
        short = any(cause.root_cause is RootCause.SNAT_EXHAUSTION for cause in causes)
        given = f"Outbound type {_told(situation.network.outbound_type)}: its addresses are not given by AKS."
        return given if short else "Outbound ports are not what is short."
    if name == "drain-nodes":
        return "No node's range is used up."
    if not causes:
        return "No pod waits."
    rooms = room_of_pools(situation.aks)
    if rooms and rooms[0].allowed:
        return "The nodes that are there have room, or a further node would not give these pods an address."
    if not rooms:
        return f"Not read: the node pools: {_told(situation.azure.pools)}."
    what = "Whether a pool can be given one is not known" if rooms[0].unread else "No pool can be given one"
    return f"{what}: {rooms[0].pool.name}: {rooms[0].told}."


def _route_option(causes: Sequence[Cause]) -> tuple[tuple[str, ...], Option]:
    nodes = tuple(node for cause in causes if cause.detail is Detail.ROUTE_LIMIT for node in cause.scope.nodes)
    reason = (
        f"{listed(nodes)}: no route leads to their pods, so nothing is to be placed there; scale the pool back to "
        f"{KUBENET_MAXIMUM_NODES:,} nodes in all."
        if nodes
        else "Every node that was read has its route."
    )
    title = "Cordon the nodes that have no route"
    return nodes, Option(name="cordon-without-route", title=title, kept=bool(nodes), reason=reason)


# Pools.


def _pool_options(situation: AksSituation, causes: Sequence[Cause]) -> tuple[tuple[NewPool, ...], list[Option]]:
    made: list[NewPool] = []
    options = []
    for name, title, detail, not_wanted in (
        ("raise-max-pods", "A new node pool with a higher maxPods", Detail.MAX_PODS, "maxPods is not what is reached."),
        (
            "lower-max-pods",
            "A new node pool with a lower maxPods",
            Detail.OVERLAY_NODE_BLOCK,
            "No node's /24 is used up by pods that run.",
        ),
        (
            "larger-node-subnet",
            "A larger subnet for nodes, and a new node pool in it",
            Detail.NODE_SUBNET_FULL,
            "No node was found that is refused an address of its own.",
        ),
        (
            "larger-pod-subnet",
            "A larger subnet for pods, and a new node pool with it",
            Detail.POD_SUBNET_EXHAUSTED,
            "No pod subnet was found full.",
        ),
    ):
        wanted = [cause for cause in causes if cause.detail is detail]
        found = [_new_pool(situation, detail, pool) for cause in wanted for pool in _pools_of(situation, cause)]
        made += found
        good = [each for each in found if not each.unmet]
        if not wanted:
            reason = not_wanted
        elif not found:
            reason = "The node pools were not read."
        else:
            reason = " ".join(f"{each.name} beside {each.old.name}: {each.because}" for each in good) or " ".join(
                dict.fromkeys(each.unmet for each in found)
            )
        options.append(Option(name=name, title=title, kept=bool(good), reason=reason, source=_POOL_SOURCES[name]))
    return tuple(made), options


_POOL_SOURCES: Final = {
    "raise-max-pods": "AKS documentation, concepts-network-ip-address-planning",
    "lower-max-pods": _OVERLAY,
    "larger-node-subnet": "AKS documentation, node-pool-unique-subnet; Azure/AKS #1500",
    "larger-pod-subnet": "AKS documentation, configure-azure-cni-dynamic-ip-allocation",
}


def _new_pool(situation: AksSituation, detail: Detail, pool: AgentPool) -> NewPool:
    if detail is Detail.MAX_PODS:
        return denser_pool(situation, pool)
    if detail is Detail.OVERLAY_NODE_BLOCK:
        return sparser_pool(situation, pool)
    return roomier_pool(situation, pool, for_pods=detail is Detail.POD_SUBNET_EXHAUSTED)


def _pools_of(situation: AksSituation, cause: Cause) -> list[AgentPool]:
    """The pools that a cause hits: by its nodes, else by their subnet, else those whose last operation failed."""
    names = {
        pool.name
        for node in cause.scope.nodes
        if node in situation.aks.nodes and (pool := situation.aks.pool_of(situation.aks.nodes[node])) is not None
    }
    if not names:
        told = {text.lower() for text in cause.scope.subnets}
        for pool in situation.pools:
            subnet_id = situation.aks.node_subnet_of(pool)
            if subnet_id is not None and {subnet_id.lower(), named(subnet_id).lower()} & told:
                names.add(pool.name)
    failed = {pool.name for pool in situation.aks.failed_pools}
    names = (names & failed or names) or failed or {pool.name for pool in situation.pools}
    return [pool for pool in situation.pools if pool.name in names]


# The pod range.


def _grow_option(situation: AksSituation, *, wanted: bool) -> tuple[Block | None, Option]:
    given = situation.aks.given
    not_wanted = f"{given}." if given is not None else "No node was found that is refused a /24."
    grown, reason = _grown(situation) if wanted else (None, not_wanted)
    title = "Grow the pod range in place"
    return grown, Option(name="grow-pod-cidr", title=title, kept=grown is not None, reason=reason, source=_EXPAND)


def _grown(situation: AksSituation) -> tuple[Block | None, str]:
    """What the pod range grows to, or why it does not; a superset only, on Linux only."""
    against = next(_against_growth(situation), "")
    capacity, ranges = situation.aks.capacity, situation.aks.ranges
    if against or capacity is None or ranges is None:
        return None, against
    refused = situation.aks.nodes_refused
    need = max(capacity.nodes, capacity.blocks + 1, refused)
    asked = f", and what Azure refused needs {refused:,}" if refused > capacity.nodes else ""
    blocked = [*situation.peers, *situation.routed, *ranges.vnets]
    for wider in capacity.growth:
        if any(wider.overlaps(other) for other in blocked):
            return None, f"{wider}, the next that contains {ranges.pod_cidr}, overlaps what is connected."
        blocks = wider.count_of(OVERLAY_NODE_PREFIX_LENGTH)
        if blocks >= need:
            return wider, (
                f"{ranges.pod_cidr} has {capacity.blocks:,} /24s, {wider} has {blocks:,} and contains it; all pools at "
                f"their largest have {capacity.nodes:,} nodes with surge{asked}. Nothing restarts; it never shrinks "
                "again."
            )
    return None, f"No range of {need:,} /24s that contains {ranges.pod_cidr} is free of conflicts."


def _against_growth(situation: AksSituation) -> Iterator[str]:
    """What keeps a pod range from growing, or was not read."""
    mode = situation.mode
    if mode is not Mode.OVERLAY and mode is not None:
        yield f"Only the range of an overlay grows, and this cluster has {mode.replace('_', ' ')}."
    for pool in situation.pools:
        if known(pool.os_type) == "Windows":
            yield f"Node pool {pool.name} has Windows, with which it cannot grow."
    if (known(situation.network.ip_families) or ("IPv4",)) != ("IPv4",):
        yield "The cluster has two IP families, with which it cannot grow."
    elif len(items(situation.network.pod_cidrs)) > 1:
        yield "The cluster has several pod ranges, and only a single one grows."
    yield from _unread_for_growth(situation)


def _unread_for_growth(situation: AksSituation) -> Iterator[str]:
    """What decides whether a pod range can grow, and was not read."""
    if situation.mode is None:
        yield "Only the range of an overlay grows, and how pods get addresses was not read."
    if situation.mode is not Mode.OVERLAY:
        return
    if not situation.pools:
        yield f"The node pools were not read: {_told(situation.azure.pools)}."
    for pool in situation.pools:
        if isinstance(pool.os_type, Unknown):
            yield f"The operating system of node pool {pool.name} was not read, and with Windows it cannot grow."
    if known(situation.network.ip_families) is None:
        yield f"The IP families were not read: {_told(situation.network.ip_families)}."
    unread = list(unread_networks(situation))
    if isinstance(situation.network.service_cidr, Unknown):
        unread.append(f"the range of Services: {situation.network.service_cidr}")
    if unread:
        yield f"Not read: {'; '.join(unread)}."
    if situation.aks.capacity is None or situation.aks.ranges is None:
        yield "Not read: the sizes of the node pools, or the pod range."


# Overlay.


def _why_overlay(  # noqa: PLR0913 - what decides
    situation: AksSituation,
    causes: Sequence[Cause],
    pools: Sequence[NewPool],
    grown: Block | None,
    choices: Choices,
    *,
    ahead: bool,
) -> str:
    """Why the cluster is to become, or make room for, one with an overlay; empty: it need not."""
    full = _has(causes, Detail.NODE_SUBNET_FULL, Detail.POD_SUBNET_EXHAUSTED)
    leaks = f"host-local keeps its reservations in files on the node, and kubenet is retired on {KUBENET_RETIRES}."
    cases = (
        (_has(causes, Detail.HOST_LOCAL_LEAK), leaks),
        (
            _has(causes, Detail.ROUTE_LIMIT),
            f"Only a network without a route for each node grows beyond {KUBENET_MAXIMUM_NODES:,} nodes.",
        ),
        (
            _has(causes, Detail.POD_CIDR_EXHAUSTED) and grown is None and not any(_unread_for_growth(situation)),
            "The pod range is too small, and it cannot grow in place.",
        ),
        (
            full and bool(pools) and all(pool.unmet and not pool.unread for pool in pools),
            "A larger subnet is not to be had, and pods of an overlay take no address of the VNet.",
        ),
        (ahead and situation.mode is Mode.KUBENET, f"kubenet is retired on {KUBENET_RETIRES}."),
        (bool(choices.way), "It was asked for."),
    )
    return next((why for holds, why in cases if holds), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    options: tuple[Option, ...]
    eligibility: Eligibility | None = None
    pod_cidr: Block | None = None
    in_place: bool = False
    blue_green: Design | None = None
    unmet: tuple[str, ...] = ()


def _ways(situation: AksSituation, choices: Choices, base: str, why: str) -> _Way:
    titles = ("Update this cluster to Azure CNI Overlay in place", "A cluster with Azure CNI Overlay beside this one")
    if not why:
        retired = situation.mode is Mode.KUBENET
        reason = "Not needed for this."
        if retired:
            reason += (
                f" kubenet is retired on {KUBENET_RETIRES} all the same: --set way=blue-green or in-place plans it."
            )
        return _Way(
            options=(
                Option(name="overlay-in-place", title=titles[0], kept=False, reason=reason, source=_UPDATE),
                Option(name="overlay-blue-green", title=titles[1], kept=False, reason=reason, source=_OVERLAY),
            )
        )
    cidr, found = _eligible(situation, choices)
    may = found.answer in (Answer.ALLOWS, Answer.FIRST) and not _stays_full(found)
    takes = may and choices.way != BLUE_GREEN_WAY
    in_place_reason = _in_place_reason(found, why, takes=takes, chosen=choices.way == BLUE_GREEN_WAY)
    beside = None if takes else design(situation, choices, base)
    makes = beside is not None and not beside.unmet and choices.way != IN_PLACE_WAY
    if takes:
        beside_reason = "Not needed: this cluster can be updated in place (--set way=blue-green plans it all the same)."
    elif beside is None or beside.unmet:
        beside_reason = " ".join(beside.unmet) if beside is not None else ""
    elif not makes:
        beside_reason = "The way in place was asked for, and is not open."
    else:
        beside_reason = _beside_reason(beside, why)
    unmet: tuple[str, ...] = ()
    if not takes and not makes:
        unmet = (f"{why} Neither way is open. In place: {in_place_reason} Beside it: {beside_reason}",)
        if may:
            unmet = (f"{why} {beside_reason} This cluster can be updated in place: leave --set way=blue-green out.",)
    return _Way(
        options=(
            Option(name="overlay-in-place", title=titles[0], kept=takes, reason=in_place_reason, source=_UPDATE),
            Option(name="overlay-blue-green", title=titles[1], kept=makes, reason=beside_reason, source=_OVERLAY),
        ),
        eligibility=found,
        pod_cidr=cidr,
        in_place=takes,
        blue_green=beside if makes else None,
        unmet=unmet,
    )


def _eligible(situation: AksSituation, choices: Choices) -> tuple[Block | None, Eligibility]:
    """What the rules say, with the range that was chosen, else with kubenet's own, else with a free one."""
    azure = situation.azure
    if choices.pod_cidr is not None:
        return choices.pod_cidr, in_place(azure, choices.pod_cidr, allow=choices.allow)
    own = in_place(azure, None, allow=choices.allow)
    if own.answer is not Answer.FIRST or not any(_about_range(each) for each in own.of(Answer.FIRST)):
        return None, own
    if any(unread_networks(situation)) or situation.wanted_nodes is None:
        return None, own
    free = free_pod_range(situation, situation.wanted_nodes)
    return (free, in_place(azure, free, allow=choices.allow)) if free is not None else (None, own)


_RANGE_RULES: Final = frozenset(
    {
        "pod-cidr",
        "pod-cidr-full",
        "pod-cidr-size",
        "pod-cidr-in-vnet",
        "range-overlap",
        "reserved-range",
        "subnet-overlap",
        "peer-overlap",
    }
)


def _about_range(condition: Condition) -> bool:
    return condition.rule in _RANGE_RULES


def _stays_full(found: Eligibility) -> bool:
    return any(condition.rule in _SUBNET_STAYS for condition in found.of(Answer.FIRST))


def _rules_in_place(situation: AksSituation, pod_cidr: Block | None) -> tuple[NeededRule, ...] | Unknown:
    """Rules that the security groups lack: pods of an overlay are not encapsulated."""
    pods = pod_cidr or block_of(known(situation.network.pod_cidr))
    groups = situation.groups
    if isinstance(groups, Unknown) or pods is None:
        return groups if isinstance(groups, Unknown) else Unknown(detail="the pod range")
    found: list[NeededRule] = []
    for subnet in situation.node_subnets:
        for block in blocks_of(subnet.prefixes):
            rules = needed_rules(groups, block, pods)
            if isinstance(rules, Unknown):
                return rules
            found += rules
    return tuple({(rule.group, rule.name): rule for rule in found}.values())


def _in_place_reason(found: Eligibility, why: str, *, takes: bool, chosen: bool) -> str:
    if not takes:
        against = found.of(Answer.FORBIDS, Answer.UNKNOWN) or tuple(
            each for each in found.of(Answer.FIRST) if each.rule in _SUBNET_STAYS
        )
        if not against:
            return "It would be possible; a cluster beside this one was asked for." if chosen else "It is not open."
        first = found.of(Answer.FIRST)
        told = " ".join(f"{_unread(each)}{each.because}" for each in against)
        also = " ".join(each.because for each in first if each not in against)
        return f"{told} Also first: {also}" if also else told
    first = found.of(Answer.FIRST)
    after = f" First: {' '.join(each.because for each in first)}" if first else " Every rule allows it."
    return f"{why}{after} {' '.join(found.consequences)}"


def _unread(condition: Condition) -> str:
    return "Not read: " if condition.answer is Answer.UNKNOWN else ""


def _beside_reason(made: Design, why: str) -> str:
    cost = made.cost
    told = ""
    if cost is not None:
        nodes = (
            "without its nodes (--node-price counts them)" if cost.nodes is None else f"{made.nodes:,} nodes included"
        )
        told = (
            f" Both clusters run for about {cost.days:g} days: ${cost.total:,.0f} by list prices, {nodes}, traffic not "
            "counted."
        )
    out = "the NAT gateway that is there" if made.gateway is None else "a NAT gateway with an address of its own"
    return (
        f"{why} {made.cluster}: pods in {made.pod_cidr}, nodes in {made.node_subnet}, out by {out}; requests move step "
        f"by step, and back at any time.{told}"
    )


# The way out.


def _egress_options(situation: AksSituation, causes: Sequence[Cause]) -> tuple[str, list[Option]]:
    title, source = "A NAT gateway for outbound traffic", "AKS documentation, egress-outboundtype"
    wanted = any(cause.root_cause is RootCause.SNAT_EXHAUSTION for cause in causes)
    if not wanted:
        reason = "Outbound ports are not what is short."
        return "", [Option(name="nat-gateway", title=title, kept=False, reason=reason, source=source)]
    outbound, reason = _outbound(situation)
    return outbound, [Option(name="nat-gateway", title=title, kept=bool(outbound), reason=reason, source=source)]


def _outbound(situation: AksSituation) -> tuple[str, str]:
    """The outbound type to move to, and why; empty with the reason where there is none."""
    kind, own = known(situation.network.outbound_type), situation.own_vnet
    target = USER_NAT if own else MANAGED_NAT
    against = next(_against_gateway(situation), "")
    if against or kind is None or own is None:
        return "", against
    move = outbound_move(kind, target, own_vnet=own)
    if move.allowed is not Allowed.YES:
        return "", move.because
    ports = f"{PORTS_OF_AN_ADDRESS:,} ports an address, given to whichever node needs them"
    return target, f"{ports}, instead of a fixed share for each node. {move.because}"


def _against_gateway(situation: AksSituation) -> Iterator[str]:
    """What keeps a NAT gateway from helping, or was not read."""
    yield from _against_type(situation)
    if situation.own_vnet:
        yield from _against_subnet(situation)


def _against_type(situation: AksSituation) -> Iterator[str]:
    """What of the cluster itself keeps its outbound type as it is (AKS documentation, egress-outboundtype)."""
    kind, own = known(situation.network.outbound_type), situation.own_vnet
    if kind is None or own is None:
        what = situation.network.outbound_type if kind is None else situation.azure.pools
        yield f"The outbound type, or whose VNet it is, was not read: {_told(what)}."
    elif kind in (USER_NAT, MANAGED_NAT, MANAGED_NAT_V2):
        yield "It leaves by a NAT gateway already: more addresses there are what helps."
    elif kind != LOAD_BALANCER:
        yield f"Outbound type {kind}: what it leaves by does the source NAT; give that more addresses."
    if known(situation.network.load_balancer_sku) == "basic":
        yield (
            "The load balancer is of the SKU basic, with which no outbound type can be set, and whose subnet takes no "
            "NAT gateway: move it to standard first (AKS documentation, upgrade-basic-load-balancer-on-aks)."
        )
    if sets := [pool.name for pool in situation.pools if known(pool.pool_type) == "AvailabilitySet"]:
        yield f"{listed(sets)} has VMs of an availability set, with which no outbound type can be set."


def _against_subnet(situation: AksSituation) -> Iterator[str]:
    """What keeps a NAT gateway off the nodes' subnets, or makes it useless there."""
    missing = [
        f"the NAT gateway of {subnet.name}"
        for subnet in situation.node_subnets
        if isinstance(subnet.nat_gateway_id, Unknown)
    ]
    missing += [f"the routes of {name}" for name in situation.routes_unread]
    if isinstance(situation.azure.vnets, Unknown) or not situation.node_subnets or missing:
        yield f"Not read: {listed(missing) if missing else f'the VNets: {_told(situation.azure.vnets)}'}."
    if not (situation.subscription and situation.group and situation.location):
        yield "Not read: the subscription, the resource group or the region."
    if situation.foreign_vnet:
        yield (
            f"The VNet is of subscription {situation.foreign_vnet}, and a NAT gateway has to be of the same: run the "
            "stack aks-egress there, by stacks/Pulumi.example-aks-egress.yaml."
        )
    managed = situation.managed
    if managed is None or isinstance(managed.authorized_ranges, Unknown):
        yield "Not read: who may reach the API server, which the nodes do with the new address."
    if situation.default_route:
        yield f"The default route {situation.default_route} wins over a NAT gateway: what it leads to needs addresses."
    yield from gateway_choice(situation).refused
    taken = [subnet.name for subnet in situation.node_subnets if known(subnet.nat_gateway_id)]
    if taken:
        yield f"{listed(taken)} has a NAT gateway already, which wins over the load balancer."


def _split_option(situation: AksSituation, causes: Sequence[Cause]) -> Option:
    most = situation.most_nodes
    kept = most is not None and most > OVERLAY_MAXIMUM_NODES
    if kept:
        reason = (
            f"All pools at their largest have {most:,} nodes with surge, and no network mode takes more than "
            f"{OVERLAY_MAXIMUM_NODES:,}."
        )
    elif _has(causes, Detail.ROUTE_LIMIT):
        reason = (
            f"An overlay takes {OVERLAY_MAXIMUM_NODES:,} nodes without a route for each; a split halves the routes "
            "and doubles what is to be run."
        )
    elif most is None:
        reason = "Not known: the sizes of the node pools were not read."
    else:
        reason = f"{most:,} nodes of all pools at their largest are few enough for one cluster."
    return Option(name="split-cluster", title="Split the cluster", kept=kept, reason=reason, source=_OVERLAY)


def _told(fact: object) -> str:
    return str(fact) if isinstance(fact, Unknown) else "not there" if fact is None else str(fact)
