"""A NAT gateway stands in the zones of the nodes that leave by it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.blocks import listed
from headroom.addresses.problems import Problem
from policies.aks import CLUSTER_TYPES, Pool, pools_of
from policies.configuration import texts
from policies.findings import Finding, Undecided, read
from policies.resources import NAT_GATEWAY, UNKNOWN, Resource, Resources
from policies.vnet import EGRESS_TYPES, SUBNET_TYPES, Subnets, addresses_of, gateways_of

NAME = "nat-gateway-zones"
DESCRIPTION = "A NAT gateway survives the zone that fails: it is of all zones, or each zone's nodes have their own."
TYPES = (*EGRESS_TYPES, *SUBNET_TYPES, *CLUSTER_TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("aks", "egress")
REMEDIATION = (
    "Make a gateway of the sku StandardV2 with addresses of the sku StandardV2 (`pulumi package add azure-native "
    "network 2025-01-01` has them), or a subnet, a Standard gateway in one zone and a pool in that zone for each. The "
    "zone of a gateway cannot be changed, and a new one is a new address."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "regionsWithoutZones": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Regions that have no availability zones, such as westus",
    }
}

STANDARD: Final = "Standard"
ALL_ZONES: Final = "StandardV2"
"""The sku that is in all zones of a region, and takes addresses of its own kind only (Azure NAT Gateway
documentation, nat-sku)."""

_ZONES: Final = "Azure NAT Gateway documentation, nat-availability-zones"
_SKU: Final = "Azure NAT Gateway documentation, nat-sku"


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Gateways whose zone is left to chance or differs from the nodes', and addresses of another kind or zone.

    Stops: a cluster over three zones behind one Standard gateway without `zones`: when the zone that Azure picked
    fails, all three lose their egress, and nobody knew which one it was.
    """
    zoneless = {_region(text) for text in texts(config, "regionsWithoutZones")}
    users = _users(resources)
    for gateway in resources.of_type(NAT_GATEWAY):
        sku = read(gateway.properties, "sku.name", str)
        zones = _zones(gateway)
        if isinstance(sku, Undecided):
            yield Finding(gateway, sku, "sku")
            continue
        kind = ALL_ZONES if sku is not None and sku.casefold() == ALL_ZONES.casefold() else STANDARD
        yield from _addresses(resources, gateway, kind, [] if isinstance(zones, Undecided) else zones)
        if kind == STANDARD and isinstance(zones, Undecided):
            yield Finding(gateway, zones, "zones")
        elif kind == STANDARD and isinstance(zones, list):
            for verdict in _standard(gateway, zones, users.get(gateway.urn, []), zoneless):
                yield Finding(gateway, verdict, "zones")


def _users(resources: Resources) -> dict[str, list[Pool]]:
    """The pools that leave by each gateway of the stack."""
    subnets = Subnets(resources)
    by_subnet: dict[tuple[str, str], list[Pool]] = {}
    for pool in pools_of(resources):
        found, _, _ = subnets.of_pools([pool])
        for subnet in found if len(found) == 1 else ():
            by_subnet.setdefault(subnet.key, []).append(pool)
    users: dict[str, list[Pool]] = {}
    for subnet in subnets.all:
        gateways = gateways_of(resources, subnet) if subnet.key in by_subnet else None
        for gateway in gateways if isinstance(gateways, list) else ():
            users.setdefault(gateway.urn, []).extend(by_subnet[subnet.key])
    return users


def _zones(resource: Resource) -> list[str] | Undecided:
    written = read(resource.properties, "zones", list)
    if written is None or isinstance(written, Undecided):
        return written or []
    if UNKNOWN in written:
        return Undecided("zones")
    return [str(zone) for zone in written]


def _standard(
    gateway: Resource, zones: list[str], pools: list[Pool], zoneless: set[str]
) -> Iterator[Problem | Undecided]:
    if len(zones) > 1:
        yield _problem(
            f"NAT gateway {gateway.name}",
            f"of the sku {STANDARD} names zones {listed(zones)} and can be in one.",
            f"Write one zone, or sku: {{name: {ALL_ZONES}}}.",
            _ZONES,
        )
        return
    location = read(gateway.properties, "location", str)
    if not zones:
        if isinstance(location, Undecided) and zoneless:
            yield location
            return
        if isinstance(location, str) and _region(location) in zoneless:
            return
        yield _problem(
            f"NAT gateway {gateway.name}",
            f"of the sku {STANDARD} names no zone: Azure picks one, and its failure takes all egress.",
            f"Write sku: {{name: {ALL_ZONES}}}, or zones of one and nodes in that zone alone.",
            _ZONES,
        )
        return
    for pool in pools:
        places = pool.read("availabilityZones", list)
        if isinstance(places, Undecided) or (places and UNKNOWN in places):
            yield Undecided(f"{pool.at('availabilityZones')} of {pool.name}")
            continue
        others = sorted({str(place) for place in places or ()} - set(zones))
        if others:
            yield _problem(
                f"NAT gateway {gateway.name}",
                f"is in zone {zones[0]}, and pool {pool.name} leaves by it from {listed(others)} too: they lose their "
                f"egress when zone {zones[0]} fails.",
                f"Write sku: {{name: {ALL_ZONES}}}, or a subnet, a gateway and a pool for each zone.",
                _ZONES,
            )


def _addresses(resources: Resources, gateway: Resource, kind: str, zones: list[str]) -> Iterator[Finding]:
    for references in addresses_of(resources, gateway):
        if references.undecided is not None:
            yield Finding(gateway, references.undecided, "publicIpAddresses")
        for address in references.found:
            sku = read(address.properties, "sku.name", str)
            if isinstance(sku, Undecided):
                yield Finding(address, sku, "sku")
            elif sku is not None and (sku.casefold() == ALL_ZONES.casefold()) != (kind == ALL_ZONES):
                problem = _problem(
                    f"{address.name} of the sku {sku}",
                    f"cannot be an address of {gateway.name}, a gateway of the sku {kind}.",
                    f"Write sku: {{name: {kind}}}; it replaces the address.",
                    _SKU,
                )
                yield Finding(address, problem, "sku")
            own = _zones(address)
            if isinstance(own, Undecided):
                yield Finding(address, own, "zones")
            elif kind == STANDARD and len(own) == 1 and len(zones) == 1 and own != zones:
                problem = _problem(
                    f"{address.name} in zone {own[0]}",
                    f"is an address of {gateway.name} in zone {zones[0]}: the failure of either ends the egress.",
                    f"Write zones: [{zones[0]!r}] for both, or an address of all zones.",
                    _ZONES,
                )
                yield Finding(address, problem, "zones")


def _region(text: str) -> str:
    """`East US 2` and `eastus2` are the same."""
    return "".join(text.split()).casefold()


def _problem(value: str, reason: str, next_step: str, source: str) -> Problem:
    return Problem(rule=NAME, value=value, reason=reason, next_step=next_step, source=source)
