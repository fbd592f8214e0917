"""The /28 map of an AWS subnet: which of its /28s a network interface can still get as a prefix.

No API of EC2 shows how fragmented a subnet is (amazon-vpc-cni-k8s #2749). The map is made of what
DescribeNetworkInterfaces and GetSubnetCidrReservations report.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from headroom.addresses.blocks import (
    ADDRESS_BITS,
    AWS_PREFIX_LENGTHS,
    AWS_RESERVED_AT_END,
    AWS_RESERVED_AT_START,
    DELEGATED_PREFIX_LENGTH,
    Block,
)
from headroom.addresses.problems import Problem, ProblemsError

_SHIFT: Final = ADDRESS_BITS - DELEGATED_PREFIX_LENGTH
_BLOCK_SIZE: Final = 1 << _SHIFT
_ALL: Final = (1 << _BLOCK_SIZE) - 1
"""One bit for each address of a /28, all set."""


class State(Enum):
    """What a /28 of the map is; the value is its character. The first that applies, from the top."""

    USED = "#"
    """Every address of it that can be used is."""
    PARTIAL = "o"
    """Some address of it is used: no prefix, but single addresses."""
    RESERVED = "r"
    """Nothing is used, and a CIDR reservation of the type `explicit` covers some of it."""
    RESERVED_FOR_PREFIXES = "p"
    """Nothing is used, and a CIDR reservation of the type `prefix` covers some of it."""
    EDGE = "-"
    """Nothing is used, but it holds addresses that AWS keeps, so it never becomes a prefix."""
    FREE = "."
    """Nothing is used: it can become a prefix."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A subnet CIDR reservation (VPC user guide, subnet-cidr-reservation).

    Attributes:
        block: What is reserved.
        reservation_type: `prefix`: EC2 takes prefixes from it; `explicit`: only addresses that somebody names.
    """

    block: Block
    reservation_type: Literal["prefix", "explicit"] = "explicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetMap:
    """The /28s of a subnet, counted and drawn.

    `free28 + partial28 + used28 + reserved28` are all /28s of the subnet.

    Attributes:
        subnet: The subnet.
        map: One character a /28, lowest first: the values of `State`.
        free28: /28s of which nothing is used and nothing reserved; those at the edges included.
        usable28: /28s that can become a prefix without a further change: free ones that are not at an edge, and
            empty ones that lie wholly in a reservation of the type `prefix`.
        partial28: /28s of which some addresses are used.
        used28: /28s with no address left.
        reserved28: /28s of which nothing is used and something reserved.
        free_addresses: Addresses that are neither used nor reserved nor kept by AWS: what EC2 reports as
            AvailableIpAddressCount, which leaves out reserved space (aws-samples/sample-apex-skills #223).
        free_reserved_addresses: Addresses that are reserved and not used.
        outside: How many of the used addresses, used blocks and reservations lie outside of the subnet and were
            left out.
    """

    subnet: Block
    map: str
    free28: int
    usable28: int
    partial28: int
    used28: int
    reserved28: int
    free_addresses: int
    free_reserved_addresses: int
    outside: int = 0


def subnet_map(
    subnet: Block,
    *,
    used_addresses: Iterable[int] = (),
    used_blocks: Iterable[Block] = (),
    reservations: Iterable[Reservation | Block] = (),
) -> SubnetMap:
    """Draws the map of a subnet.

    Args:
        subnet: An AWS subnet, /16 to /28.
        used_addresses: Private addresses of network interfaces, primary and secondary. The five that AWS keeps
            may be among them and are counted once.
        used_blocks: Prefixes of network interfaces, or any other blocks in use.
        reservations: CIDR reservations; a plain block counts as `explicit`.

    Raises:
        ProblemsError: The block cannot be a subnet.
    """
    if subnet.prefix_length not in AWS_PREFIX_LENGTHS:
        raise ProblemsError([_no_subnet(subnet)], subject="subnet map")
    kept = [0] * subnet.count_of(DELEGATED_PREFIX_LENGTH)
    kept[0] |= (1 << AWS_RESERVED_AT_START) - 1
    kept[-1] |= ((1 << AWS_RESERVED_AT_END) - 1) << (_BLOCK_SIZE - AWS_RESERVED_AT_END)

    outside = 0
    used = [0] * len(kept)
    for address in used_addresses:
        if subnet.first <= address <= subnet.last:
            used[(address - subnet.first) >> _SHIFT] |= 1 << (address & (_BLOCK_SIZE - 1))
        else:
            outside += 1
    outside += sum(not _mark(used, subnet, block) for block in used_blocks)
    explicit = [0] * len(kept)
    for_prefixes = [0] * len(kept)
    for reservation in reservations:
        if isinstance(reservation, Block):
            marked = _mark(explicit, subnet, reservation)
        elif reservation.reservation_type == "explicit":
            marked = _mark(explicit, subnet, reservation.block)
        else:
            marked = _mark(for_prefixes, subnet, reservation.block)
        outside += not marked

    states = [_state(*bits) for bits in zip(used, kept, explicit, for_prefixes, strict=True)]
    whole_prefixes = sum(
        state is State.RESERVED_FOR_PREFIXES and prefix_bits == _ALL and not kept_bits
        for state, prefix_bits, kept_bits in zip(states, for_prefixes, kept, strict=True)
    )
    available = [_ALL & ~(used_bits | kept_bits) for used_bits, kept_bits in zip(used, kept, strict=True)]
    reserved = [one | other for one, other in zip(explicit, for_prefixes, strict=True)]
    free_reserved = sum((free & held).bit_count() for free, held in zip(available, reserved, strict=True))
    return SubnetMap(
        subnet=subnet,
        map="".join(state.value for state in states),
        free28=states.count(State.FREE) + states.count(State.EDGE),
        usable28=states.count(State.FREE) + whole_prefixes,
        partial28=states.count(State.PARTIAL),
        used28=states.count(State.USED),
        reserved28=states.count(State.RESERVED) + states.count(State.RESERVED_FOR_PREFIXES),
        free_addresses=sum(map(int.bit_count, available)) - free_reserved,
        free_reserved_addresses=free_reserved,
        outside=outside,
    )


def _mark(bits: list[int], subnet: Block, block: Block) -> bool:
    """Sets the bits of a block's addresses, one integer a /28; false if none of them lies in the subnet."""
    first, last = max(block.first, subnet.first), min(block.last, subnet.last)
    if first > last:
        return False
    if last - first < _BLOCK_SIZE:
        span = (1 << (last - first + 1)) - 1
        bits[(first - subnet.first) >> _SHIFT] |= span << (first & (_BLOCK_SIZE - 1))
    else:
        low, high = (first - subnet.first) >> _SHIFT, (last - subnet.first) >> _SHIFT
        bits[low : high + 1] = [_ALL] * (high - low + 1)
    return True


def _state(used: int, kept: int, explicit: int, for_prefixes: int) -> State:
    if used & ~kept:
        return State.USED if used | kept == _ALL else State.PARTIAL
    if explicit:
        return State.RESERVED
    if for_prefixes:
        return State.RESERVED_FOR_PREFIXES
    return State.EDGE if kept else State.FREE


def _no_subnet(block: Block) -> Problem:
    shortest, longest = AWS_PREFIX_LENGTHS[0], AWS_PREFIX_LENGTHS[-1]
    return Problem(
        rule="subnet-size",
        value=str(block),
        reason=f"cannot be an AWS subnet, which is a /{shortest} to a /{longest}.",
        next_step="Write the CIDR of the subnet.",
        source="VPC user guide, subnet-sizing",
    )
