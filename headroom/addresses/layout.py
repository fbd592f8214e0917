"""Which block each pod subnet gets, keyed by availability zone, and never moved again.

A subnet is known by its key: the zone's name for the first subnet of a zone, `us-east-1a_2` for the second. The
result is kept in the stack file and handed back as `allocated`, so that a zone added later changes nothing else.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import Final

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, listed, shown, usable_addresses
from headroom.addresses.free import best_fit, free_addresses, largest_free
from headroom.addresses.problems import Problem, ProblemsError

_NOTHING_ALLOCATED: Final[Mapping[str, Block]] = MappingProxyType({})
_KEY: Final = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)(?:_([1-9][0-9]{0,3}))?")
_SUBNET_SIZING: Final = "VPC user guide, subnet-sizing"
_SHORTEST: Final = AWS_PREFIX_LENGTHS[0]
_LONGEST: Final = AWS_PREFIX_LENGTHS[-1]


def layout(
    within: Sequence[Block],
    zones: Mapping[str, int],
    *,
    allocated: Mapping[str, Block] = _NOTHING_ALLOCATED,
    used: Iterable[Block] = (),
) -> dict[str, Block]:
    """Gives every subnet a block; what has one keeps it.

    New subnets take, in the order of their keys, the smallest free hole that holds them (`best_fit`): the order in
    which `zones` is written does not matter, and all find room if any placement of them exists.

    Args:
        within: The CIDRs for the subnets.
        zones: Prefix length of each subnet, by key (`subnet_key`), 16 to 28.
        allocated: The blocks given before, by key. One whose key is no longer in `zones` stays taken, for its
            subnet may still exist, and is not part of the result.
        used: Other blocks in use. The subnets of `allocated` may be among them.

    Returns:
        The block of each key of `zones`, in the order of the keys.

    Raises:
        ProblemsError: With everything that does not fit, what is left, and the largest block that fits.
    """
    others = tuple(used)
    problems = [
        *_zone_problems(within, zones),
        *_allocation_problems(within, zones, allocated, others),
    ]
    taken = [*others, *allocated.values()]
    placed = {key: allocated[key] for key in zones if key in allocated}
    for key in sorted(zones, key=_sort_key):
        if key in allocated or zones[key] not in AWS_PREFIX_LENGTHS or not within:
            continue
        block = best_fit(within, taken, zones[key])
        if block is None:
            problems.append(_does_not_fit(key, zones[key], within, taken))
        else:
            placed[key] = block
            taken.append(block)
    if problems:
        raise ProblemsError(problems, subject="subnet layout")
    return {key: placed[key] for key in sorted(placed, key=_sort_key)}


def subnet_key(zone: str, ordinal: int = 1) -> str:
    """The key of a zone's subnet: the zone for the first, then `us-east-1a_2` and so on."""
    return zone if ordinal == 1 else f"{zone}_{ordinal}"


def zone_of(key: str) -> str:
    """The availability zone of a subnet's key."""
    return key.partition("_")[0]


def zone_prefix_lengths(
    zones: Iterable[str],
    prefix_length: int,
    *,
    sizes: Mapping[str, int] = MappingProxyType({}),
    subnets_per_zone: int = 1,
) -> dict[str, int]:
    """What `layout` takes, from a list of zones and one prefix length.

    Args:
        zones: Names of availability zones.
        prefix_length: Length for every subnet that `sizes` does not name.
        sizes: Other prefix lengths, by key or, for all subnets of a zone, by zone.
        subnets_per_zone: How many subnets each zone gets.

    Raises:
        ProblemsError: A zone is listed twice, `sizes` names one that is not, or the number is not positive.
    """
    names = list(zones)
    problems = [
        _refuse("zone-twice", shown(name), "is listed more than once.", "List each availability zone once.")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if subnets_per_zone < 1:
        step = "Write 1 or more."
        problems.append(_refuse("subnets-per-zone", str(subnets_per_zone), "is no number of subnets.", step))
    keys = [subnet_key(name, ordinal) for name in names for ordinal in range(1, subnets_per_zone + 1)]
    for name in sizes:
        if name not in keys:
            reason = f"is given a size but is no subnet of {listed(map(shown, keys)) or 'an empty list of zones'}."
            problems.append(_refuse("size-without-zone", shown(name), reason, "List its zone, or drop the size."))
    if problems:
        raise ProblemsError(problems, subject="availability zones")
    return {key: sizes.get(key, sizes.get(zone_of(key), prefix_length)) for key in keys}


def _zone_problems(within: Sequence[Block], zones: Mapping[str, int]) -> Iterable[Problem]:
    if not within:
        yield _refuse("layout-cidrs", "The layout", "has no CIDR to take subnets from.", "Give at least one.")
    if not zones:
        yield _refuse("layout-zones", "The layout", "has no availability zone.", "Give at least one.")
    for key, prefix_length in zones.items():
        found = _KEY.fullmatch(key)
        if not found or found[2] == "1":
            yield _refuse(
                "zone-name",
                shown(key),
                "is no key of a subnet.",
                "Write the name of an availability zone such as us-east-1a, or us-east-1a_2 for its second subnet.",
            )
        if prefix_length not in AWS_PREFIX_LENGTHS:
            yield _refuse(
                "subnet-size",
                f"/{prefix_length}",
                f"cannot be an AWS subnet, which is a /{_SHORTEST} to a /{_LONGEST}.",
                f"Write a number from {_SHORTEST} to {_LONGEST}.",
                _SUBNET_SIZING,
                key=shown(key),
            )


def _allocation_problems(
    within: Sequence[Block],
    zones: Mapping[str, int],
    allocated: Mapping[str, Block],
    used: Sequence[Block],
) -> Iterable[Problem]:
    """What is wrong with the blocks of the keys that are asked for."""
    cidrs = listed(within)
    kept = {key: block for key, block in allocated.items() if key in zones}
    which = "Find out which of them exists, and drop the other."
    for key, block in kept.items():
        if zones[key] in AWS_PREFIX_LENGTHS and zones[key] != block.prefix_length:
            yield _refuse(
                "allocation-size",
                str(block),
                f"is allocated, and a /{zones[key]} is asked for: the CIDR of a subnet cannot be changed.",
                f"Write /{block.prefix_length}, and add a further subnet of the zone if it is too small.",
                _SUBNET_SIZING,
                key=key,
            )
        if within and not any(cidr.contains(block) for cidr in within):
            reason = f"is allocated and does not lie in {cidrs}."
            yield _refuse("allocation-outside", str(block), reason, "List the CIDR that it lies in.", key=key)
        for other in dict.fromkeys(used):
            if other != block and other.overlaps(block):
                reason = f"is allocated and overlaps {other}, in use."
                yield _refuse("allocation-overlap", str(block), reason, which, key=key)
    for (key, block), (other_key, other) in combinations(kept.items(), 2):
        if block.overlaps(other):
            reason = f"is allocated and overlaps {block} of {key}."
            yield _refuse("allocation-overlap", str(other), reason, which, key=other_key)


def _does_not_fit(key: str, prefix_length: int, within: Sequence[Block], taken: Sequence[Block]) -> Problem:
    left = free_addresses(within, taken)
    cidrs = listed(within)
    largest = largest_free(within, taken)
    if largest is None or largest.prefix_length > _LONGEST:
        rest = f"{left:,} addresses are left, none of them in a free block of a /{_LONGEST} or larger"
        step = "Add a CIDR."
    else:
        rest = f"{left:,} addresses are left, and the largest free block is {largest}"
        usable = usable_addresses(largest)
        step = f"Write /{largest.prefix_length} ({usable:,} usable addresses) or longer, or add a CIDR."
    return _refuse("layout-full", f"/{prefix_length}", f"does not fit into {cidrs}: {rest}.", step, key=key)


def _sort_key(key: str) -> tuple[str, int, str]:
    zone, _, ordinal = key.partition("_")
    return zone, int(ordinal) if ordinal.isdecimal() and ordinal.isascii() else 0, key


def _refuse(  # noqa: PLR0913 - the fields of a problem
    rule: str, value: str, reason: str, next_step: str, source: str = "", *, key: str = ""
) -> Problem:
    return Problem(rule=rule, value=value, reason=reason, next_step=next_step, source=source, key=key)
