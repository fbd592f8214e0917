"""What a move of an AKS cluster asks of its network: outbound type, NAT gateway, security rules, and what it costs."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headroom.addresses.azure import NAT_GATEWAY_ADDRESSES
from headroom.addresses.blocks import Block, listed
from headroom.addresses.problems import ProblemsError
from headroom.facts.azure import NetworkSecurityGroup, SecurityRule
from headroom.facts.values import Unknown

PORTS_OF_AN_ADDRESS: Final = 64_512
"""SNAT ports of one public address of a NAT gateway (Azure NAT Gateway documentation, nat-gateway-resource)."""
CONNECTIONS_TO_ONE_DESTINATION: Final = 50_000
"""Connections to one destination through one public address, at once (the same)."""
CONNECTIONS_OF_A_GATEWAY: Final = 2_000_000
"""Connections of a gateway at once (the same)."""

_OUTBOUND: Final = "AKS documentation, egress-outboundtype"
_NAT: Final = "Azure NAT Gateway documentation, nat-sku"

LOAD_BALANCER: Final = "loadBalancer"
USER_NAT: Final = "userAssignedNATGateway"
MANAGED_NAT: Final = "managedNATGateway"
MANAGED_NAT_V2: Final = "managedNATGatewayV2"
ROUTES: Final = "userDefinedRouting"
NONE: Final = "none"
BLOCK: Final = "block"
OUTBOUND_TYPES: Final = (LOAD_BALANCER, USER_NAT, MANAGED_NAT, MANAGED_NAT_V2, ROUTES, NONE, BLOCK)
OWN_VNET: Final = frozenset({LOAD_BALANCER, USER_NAT, ROUTES, NONE})
"""Types between which a cluster in a VNet of one's own may move (egress-outboundtype)."""


class Allowed(StrEnum):
    """Whether AKS makes a move."""

    YES = "allowed"
    CONDITIONAL = "conditional"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMove:
    """A change of a running cluster's outbound type.

    Attributes:
        allowed: Whether AKS makes it.
        because: Why, and under which condition.
        source: Where that is said.
    """

    allowed: Allowed
    because: str
    source: str = _OUTBOUND


def outbound_move(old: str, new: str, *, own_vnet: bool) -> OutboundMove:
    """Whether a running cluster can go from one outbound type to another.

    Every move that is made changes the address that the cluster is seen with, and breaks open connections.

    Args:
        old: What it has.
        new: What it should have.
        own_vnet: Whether its VNet is the user's, and not one that AKS manages.
    """
    for name in (old, new):
        if name not in OUTBOUND_TYPES:
            return OutboundMove(allowed=Allowed.NEVER, because=f"{name} is no outbound type of AKS.")
    if old == new:
        return OutboundMove(allowed=Allowed.YES, because="It stays as it is.")
    if own_vnet:
        if BLOCK in (old, new):
            because = "In a VNet of one's own nothing moves to block, or from it."
            return OutboundMove(allowed=Allowed.NEVER, because=because)
        if {MANAGED_NAT, MANAGED_NAT_V2} & {old, new}:
            because = "A NAT gateway that AKS manages is not for a VNet of one's own."
            return OutboundMove(allowed=Allowed.NEVER, because=because)
        return _own_move(new)
    return _managed_move(old, new)


_ISOLATED: Final = "The cluster has to be a network isolated one, and needs another way to what it pulls."
_OWN_CONDITIONS: Final = {
    USER_NAT: "The NAT gateway must be on the nodes' subnet before, and the new address in authorizedIPRanges and "
    "on every allow-list; a loadBalancerProfile must be left out.",
    ROUTES: "A default route to an appliance must be on the nodes' subnet before, and the appliance's address in "
    "authorizedIPRanges; a loadBalancerProfile must be left out.",
    LOAD_BALANCER: "The nodes' subnet should have no NAT gateway: it would win over the load balancer.",
    NONE: _ISOLATED,
}


def _own_move(new: str) -> OutboundMove:
    return OutboundMove(allowed=Allowed.YES, because=_OWN_CONDITIONS[new])


_TRY: Final = "try it on a cluster that nobody needs."
_LEAVING_V2: Final = f"The sources contradict each other on leaving V2: {_TRY}"
_CONTRADICTED: Final[Mapping[tuple[str, str], str]] = {
    (MANAGED_NAT, LOAD_BALANCER): "The page's table refuses it since 2026-03-27, and a how-to on the same page does "
    f"it: {_TRY}",
    (MANAGED_NAT, ROUTES): "The page says that such a VNet moves between managed types alone, and a how-to on the same "
    f"page does it, with a default route in AKS's route table: {_TRY}",
    (MANAGED_NAT_V2, NONE): _LEAVING_V2,
    (MANAGED_NAT_V2, BLOCK): _LEAVING_V2,
}
"""Moves in a VNet that AKS manages of which the page says two things, so that neither is taken."""


def _managed_move(old: str, new: str) -> OutboundMove:
    """As the page's table has it since 2026-03-27."""
    if (old, new) in _CONTRADICTED:
        return OutboundMove(allowed=Allowed.CONDITIONAL, because=_CONTRADICTED[old, new])
    if outside := next((name for name in (new, old) if name in (USER_NAT, ROUTES)), ""):
        because = f"{outside} needs a subnet of one's own, and AKS manages this VNet."
        return OutboundMove(allowed=Allowed.NEVER, because=because)
    if old == MANAGED_NAT_V2:
        return OutboundMove(allowed=Allowed.NEVER, because=f"There is no way back from {old}.")
    preview = {MANAGED_NAT_V2: " V2 is a preview.", BLOCK: " block is a preview."}.get(new, "")
    if new in (NONE, BLOCK):
        return OutboundMove(allowed=Allowed.YES, because=f"{_ISOLATED}{preview}")
    back = "One way: there may be no way back." if new in (MANAGED_NAT, MANAGED_NAT_V2) else "The table has it."
    return OutboundMove(allowed=Allowed.YES, because=f"{back}{preview}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayChoice:
    """Which NAT gateway, with how many addresses.

    Attributes:
        sku: Standard or StandardV2.
        zones: What its `zones` should say; empty for none.
        addresses: Public addresses that the expected connections need.
        because: Why, in sentences.
        refused: Why no gateway will do; empty where one does.
    """

    sku: str
    zones: tuple[str, ...]
    addresses: int
    because: tuple[str, ...]
    refused: tuple[str, ...] = ()


def choose_gateway(  # noqa: PLR0913 - what the choice depends on
    *,
    zones: Sequence[str],
    connections_to_one_destination: int = 0,
    connections: int = 0,
    gigabits: float = 0,
    packets: float = 0,
    v2_in_region: bool | None = None,
    encrypted_vnet: bool | None = None,
) -> GatewayChoice:
    """The gateway for the pools of a cluster.

    Args:
        zones: The zones that the pools use.
        connections_to_one_destination: Most connections at once to one address and port.
        connections: Most connections at once in all.
        gigabits: Most throughput, in Gbit/s.
        packets: Most packets, in millions a second.
        v2_in_region: Whether the region has StandardV2; None where nobody knows.
        encrypted_vnet: Whether the VNet is encrypted; None where nobody knows.
    """
    because, refused = [], []
    of_destination = math.ceil(connections_to_one_destination / CONNECTIONS_TO_ONE_DESTINATION)
    of_ports = math.ceil(connections / PORTS_OF_AN_ADDRESS)
    addresses = max(1, of_destination, min(of_ports, NAT_GATEWAY_ADDRESSES))
    if connections_to_one_destination:
        because.append(
            f"{connections_to_one_destination:,} connections to one destination need {of_destination} "
            f"{'address' if of_destination == 1 else 'addresses'}: {CONNECTIONS_TO_ONE_DESTINATION:,} each, which "
            f"binds before the {PORTS_OF_AN_ADDRESS:,} ports."
        )
    if of_ports > NAT_GATEWAY_ADDRESSES:
        ports = NAT_GATEWAY_ADDRESSES * PORTS_OF_AN_ADDRESS
        because.append(
            f"{connections:,} connections are more than the {ports:,} ports of {NAT_GATEWAY_ADDRESSES} addresses: "
            "those to different destinations have to share ports."
        )
    elif of_ports > max(1, of_destination):
        because.append(f"{connections:,} connections take the ports of {of_ports} addresses.")
    if of_destination > NAT_GATEWAY_ADDRESSES:
        refused.append(f"{of_destination} addresses are more than the {NAT_GATEWAY_ADDRESSES} of a NAT gateway.")
    if max(connections, connections_to_one_destination) > CONNECTIONS_OF_A_GATEWAY:
        refused.append(f"A NAT gateway has {CONNECTIONS_OF_A_GATEWAY:,} connections at most.")
    wide = len(set(zones)) > 1
    asked = [
        f"{amount:g} {_LIMITS[STANDARD][place][1]}"
        for place, amount in enumerate((gigabits, packets))
        if amount > _LIMITS[STANDARD][place][0]
    ]
    beyond = [
        f"{amount:g} {_LIMITS[STANDARD_V2][place][1]} are more than the {_LIMITS[STANDARD_V2][place][0]} of any NAT "
        "gateway."
        for place, amount in enumerate((gigabits, packets))
        if amount > _LIMITS[STANDARD_V2][place][0]
    ]
    refused += beyond
    sku = STANDARD_V2 if (wide or asked) and v2_in_region and not encrypted_vnet else STANDARD
    if sku == STANDARD_V2:
        because.append(
            "StandardV2 stands in all zones"
            + (f" and carries {listed(asked)}" if asked and not beyond else "")
            + ". It needs addresses of the sku StandardV2, and flows over the load balancer may break when it is "
            "attached."
        )
    else:
        refused += [f"{each} are more than Standard carries." for each in asked if not beyond]
        because.extend(_why_standard(zones, wide=wide, v2_in_region=v2_in_region, encrypted_vnet=encrypted_vnet))
    return GatewayChoice(
        sku=sku,
        zones=tuple(sorted(set(zones))) if sku == STANDARD and len(set(zones)) == 1 else (),
        addresses=addresses,
        because=tuple(because),
        refused=tuple(refused),
    )


STANDARD: Final = "Standard"
STANDARD_V2: Final = "StandardV2"
_LIMITS: Final[Mapping[str, tuple[tuple[int, str], tuple[int, str]]]] = {
    STANDARD: ((50, "Gbit/s"), (5, "million packets a second")),
    STANDARD_V2: ((100, "Gbit/s"), (10, "million packets a second")),
}
"""Throughput and packets by sku (Azure NAT Gateway documentation, nat-sku)."""
WITHOUT_V2: Final = frozenset(
    {"canadaeast", "indonesiacentral", "israelnorthwest", "qatarcentral", "swedensouth", "westindia"}
)
"""Regions without StandardV2, as Azure writes their names (Azure NAT Gateway documentation, nat-sku, 2026-07-27)."""


def has_standard_v2(region: str) -> bool | None:
    """Whether a region has NAT gateways of the sku StandardV2; None where the region is not known."""
    name = "".join(region.split()).casefold()
    return name not in WITHOUT_V2 if name else None


def _why_standard(
    zones: Sequence[str], *, wide: bool, v2_in_region: bool | None, encrypted_vnet: bool | None
) -> Iterator[str]:
    if not wide:
        one = f"the pools' zone {zones[0]}" if zones else "no zone of its own: Azure picks one"
        yield f"Standard, in {one}. Its zone cannot be changed later."
        return
    if v2_in_region is None:
        yield (
            "Standard, because nobody knows whether the region has StandardV2. It stands in one zone: where that zone "
            f"fails, pools in {listed(sorted(set(zones)))} lose their way out. Look for StandardV2 in the region, for "
            "a gateway cannot be upgraded: another one has other addresses."
        )
    elif not v2_in_region:
        yield (
            "Standard, because the region has no StandardV2. It stands in one zone: where that zone fails, all pools "
            "lose their way out. A gateway a zone needs a subnet a zone."
        )
    elif encrypted_vnet:
        yield "Standard, because StandardV2 is reported to fail in an encrypted VNet (Azure/AKS #5532)."


FLOWS: Final = (("nodes", "nodes"), ("nodes", "pods"), ("pods", "pods"))
"""Traffic between the nodes' subnet and the pod range that no rule may deny, on all ports: pods of an overlay are not
encapsulated (AKS documentation, concepts-network-azure-cni-overlay)."""

FIRST_PRIORITY: Final = 100
"""The lowest priority that a rule can have (Azure network security group documentation)."""

_ALL: Final = ("*", "Any", "0.0.0.0/0", "Internet", "VirtualNetwork")
"""Prefixes and tags that such traffic may fall under. That pods of an overlay are outside of the tag VirtualNetwork
is not documented either way, so that a deny with it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededRule:
    """A rule that a security group lacks.

    Attributes:
        group: Name of the group.
        denied_by: The rule that denies the traffic today.
        name: What to call the new one.
        priority: Its priority; None where the group has none left before the rule that denies.
        direction: Inbound or Outbound.
        source: Where the traffic comes from.
        destination: Where it goes.
        group_id: ARM id of the group.
    """

    group: str
    group_id: str
    denied_by: str
    name: str
    priority: int | None
    direction: str
    source: Block
    destination: Block


def needed_rules(
    groups: Iterable[NetworkSecurityGroup], node_subnet: Block, pod_cidr: Block
) -> tuple[NeededRule, ...] | Unknown:
    """The rules that the nodes' security groups lack for an overlay; unknown where a group could not be read."""
    found: list[NeededRule] = []
    blocks = {"nodes": node_subnet, "pods": pod_cidr}
    for group in groups:
        rules = group.rules
        if isinstance(rules, Unknown):
            return rules
        taken = {(rule.direction, rule.priority) for rule in rules or ()}
        for direction in ("Inbound", "Outbound"):
            ordered = sorted((rule for rule in rules or () if rule.direction == direction), key=lambda r: r.priority)
            for source, destination in FLOWS:
                deny = _denied(ordered, blocks[source], blocks[destination])
                if deny is None:
                    continue
                priority = _free(deny.priority, direction, taken)
                if priority is not None:
                    taken.add((direction, priority))
                found.append(
                    NeededRule(
                        group=group.name,
                        group_id=group.group_id,
                        denied_by=deny.name,
                        name=f"headroom-{source}-to-{destination}-{direction.lower()}",
                        priority=priority,
                        direction=direction,
                        source=blocks[source],
                        destination=blocks[destination],
                    )
                )
    return tuple(found)


def _denied(ordered: Sequence[SecurityRule], source: Block, destination: Block) -> SecurityRule | None:
    """The first rule that denies any of the traffic, unless one before it allows all of it."""
    for rule in ordered:
        if rule.access == "Deny":
            if rule.groups or (_touches(rule.sources, source) and _touches(rule.destinations, destination)):
                return rule
        elif _allows_all(rule, source, destination):
            return None
    return None


def _allows_all(rule: SecurityRule, source: Block, destination: Block) -> bool:
    everything = rule.protocol == "*" and "*" in (rule.destination_ports or ("*",))
    ports = "*" in (rule.source_ports or ("*",))
    return (
        everything
        and ports
        and not rule.groups
        and _covers(rule.sources, source)
        and _covers(rule.destinations, destination)
    )


def _touches(prefixes: Sequence[str], block: Block) -> bool:
    for prefix in prefixes:
        if prefix in _ALL:
            return True
        found = _block(prefix)
        if found is not None and found.overlaps(block):
            return True
    return False


def _covers(prefixes: Sequence[str], block: Block) -> bool:
    for prefix in prefixes:
        if prefix in ("*", "Any", "0.0.0.0/0"):
            return True
        found = _block(prefix)
        if found is not None and found.contains(block):
            return True
    return False


def _block(text: str) -> Block | None:
    try:
        return Block.parse(text if "/" in text else f"{text}/32")
    except ProblemsError:
        return None


def _free(before: int, direction: str, taken: set[tuple[str, int]]) -> int | None:
    """The last priority before one that no rule has."""
    return next((p for p in range(before - 1, FIRST_PRIORITY - 1, -1) if (direction, p) not in taken), None)


GATEWAY_DOLLARS_AN_HOUR: Final = 0.045
"""List price of a NAT gateway, either sku, in dollars an hour (Azure pricing, NAT Gateway, 2026)."""
GATEWAY_DOLLARS_A_GIGABYTE: Final = 0.045
"""List price of what goes through it (the same)."""
ADDRESS_DOLLARS_AN_HOUR: Final = 0.005
"""List price of a static public address of the sku Standard (Azure pricing, IP addresses, 2026)."""
CLUSTER_DOLLARS_AN_HOUR: Final[Mapping[str, float]] = {"Free": 0.0, "Standard": 0.10, "Premium": 0.60}
"""List price of a cluster's tier (Azure pricing, AKS, 2026)."""
HOURS_OF_A_DAY: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCost:
    """What running both clusters for a while costs, at list prices, in dollars.

    Attributes:
        days: How long.
        nodes: The new cluster's nodes; None where no price of a node was given.
        cluster: Its tier.
        gateway: The new NAT gateway, by the hour, and its addresses.
        traffic: What goes through the gateway.
    """

    days: float
    nodes: float | None
    cluster: float
    gateway: float
    traffic: float

    @property
    def total(self) -> float:
        """All that has a price here."""
        return (self.nodes or 0.0) + self.cluster + self.gateway + self.traffic


def window_cost(  # noqa: PLR0913 - what makes the price
    *,
    days: float,
    nodes: int,
    node_dollars_an_hour: float | None,
    tier: str = "Standard",
    addresses: int = 1,
    gigabytes_a_day: float = 0,
) -> WindowCost:
    """What the second cluster and the gateway cost while both clusters run.

    Args:
        days: How long both run.
        nodes: Nodes of the new cluster.
        node_dollars_an_hour: Price of one; None where it is not known.
        tier: The new cluster's tier.
        addresses: Public addresses of the new gateway; 0: the one that is there serves both, and costs nothing more.
        gigabytes_a_day: Outbound traffic of both.
    """
    hours = days * HOURS_OF_A_DAY
    return WindowCost(
        days=days,
        nodes=None if node_dollars_an_hour is None else nodes * node_dollars_an_hour * hours,
        cluster=CLUSTER_DOLLARS_AN_HOUR.get(tier, CLUSTER_DOLLARS_AN_HOUR["Standard"]) * hours,
        gateway=(GATEWAY_DOLLARS_AN_HOUR + addresses * ADDRESS_DOLLARS_AN_HOUR) * hours if addresses else 0.0,
        traffic=gigabytes_a_day * days * GATEWAY_DOLLARS_A_GIGABYTE,
    )
