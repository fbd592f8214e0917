"""A reservation has to hold prefixes, and leave room for everything else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.addresses.reservations import SOURCE, addresses_outside, reservation_shape_problems
from policies.findings import Finding, Undecided, read
from policies.network import block_of, linked, unlinked
from policies.nodes import whole_number
from policies.resources import RESERVATION, SUBNET, Resource, Resources

NAME = "prefix-reservation-valid"
DESCRIPTION = "A subnet CIDR reservation lies inside its subnet, beside the others, and leaves room for interfaces."
TYPES = (RESERVATION, SUBNET)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "prefix-delegation")
REMEDIATION = (
    "Reserve a block of the subnet that is a /28 or larger, such as its upper half, with reservationType prefix. "
    "`primaryAddresses` in the policy's configuration says how many addresses must stay outside."
)
DEFAULT_PRIMARY_ADDRESSES: Final = 1
"""Addresses outside all reservations of a subnet where the configuration does not say: one interface."""
CONFIG_SCHEMA: Mapping[str, Any] = {
    "primaryAddresses": {
        "type": "integer",
        "minimum": 0,
        "default": DEFAULT_PRIMARY_ADDRESSES,
        "description": "Addresses of each subnet that network interfaces need outside its reservations",
    },
    "primaryAddressesOf": {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 0},
        "description": "The same for single subnets, by name",
    },
}

_KINDS: Final = ("prefix", "explicit")


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Reservations that EC2 refuses, or that keep nodes from their primary addresses.

    Stops: a subnet that is reserved whole, in which no interface can be made because its own address is not taken
    from a reservation (amazon-vpc-cni-k8s #3087).
    """
    by_subnet: dict[str, list[tuple[Resource, Block]]] = {}
    for reservation in resources.of_type(RESERVATION):
        yield from _kind(reservation)
        yield from _placed(resources, reservation, by_subnet)
    for urn, reserved in by_subnet.items():
        whole = block_of(resources.by_urn[urn])
        if isinstance(whole, Undecided):
            for reservation, _ in reserved:
                yield Finding(reservation, Undecided(f"cidrBlock of {resources.by_urn[urn].name}"))
        elif isinstance(whole, Block) and whole.prefix_length in AWS_PREFIX_LENGTHS:
            yield from _shapes(whole, reserved)
            subnet = resources.by_urn[urn]
            yield from _room(subnet, whole, [block for _, block in reserved], _primary(subnet, config))


def _placed(
    resources: Resources, reservation: Resource, by_subnet: dict[str, list[tuple[Resource, Block]]]
) -> Iterator[Finding]:
    """Puts the reservation with those of its subnet, or says why that cannot be done."""
    block = block_of(reservation)
    if isinstance(block, ProblemsError):
        for problem in block.problems:
            yield Finding(reservation, problem, "cidrBlock")
    elif isinstance(block, Undecided):
        yield Finding(reservation, block, "cidrBlock")
    else:
        subnets = linked(resources, reservation, "subnetId", SUBNET)
        for subnet in subnets:
            by_subnet.setdefault(subnet.urn, []).append((reservation, block))
        outside = unlinked(resources, reservation, "subnetId", SUBNET)
        if not subnets and isinstance(outside, Undecided):
            yield Finding(reservation, outside, "subnetId")


def _kind(reservation: Resource) -> Iterator[Finding]:
    kind = read(reservation.properties, "reservationType", str)
    if isinstance(kind, Undecided):
        yield Finding(reservation, kind, "reservationType")
    elif kind not in _KINDS:
        reason = f"is none of {' and '.join(_KINDS)}."
        yield _finding(reservation, f"reservationType {kind}", reason, "Write prefix.", "reservationType")


def _shapes(whole: Block, reserved: Sequence[tuple[Resource, Block]]) -> Iterator[Finding]:
    last: tuple[Resource, Block] | None = None
    for reservation, block in sorted(reserved, key=lambda item: item[1]):
        for_prefixes = read(reservation.properties, "reservationType", str) == "prefix"
        # Of those that begin before it only the one that reaches furthest can be in its way.
        others = [] if last is None else [(last[1], last[0].name)]
        for problem in reservation_shape_problems(block, whole, others, for_prefixes=for_prefixes):
            yield Finding(reservation, replace(problem, rule=NAME), "cidrBlock")
        if last is None or block.last > last[1].last:
            last = (reservation, block)


def _primary(subnet: Resource, config: Mapping[str, Any]) -> int:
    single = config.get("primaryAddressesOf")
    found = whole_number(single, subnet.name) if isinstance(single, Mapping) else None
    if found is None:
        found = whole_number(config, "primaryAddresses")
    return DEFAULT_PRIMARY_ADDRESSES if found is None else found


def _room(subnet: Resource, whole: Block, blocks: Sequence[Block], wanted: int) -> Iterator[Finding]:
    left = addresses_outside(whole, blocks)
    if left < wanted:
        reason = (
            f"has {left:,} of {usable_addresses(whole):,} addresses outside its reservations; network interfaces need "
            f"{wanted:,} for themselves, which are not taken from a reservation."
        )
        yield _finding(subnet, str(whole), reason, "Reserve less, or use a larger subnet.")


def _finding(resource: Resource, value: str, reason: str, next_step: str, property_: str = "cidrBlock") -> Finding:
    problem = Problem(rule=NAME, value=value, reason=reason, next_step=next_step, source=SOURCE)
    return Finding(resource, problem, property_)
