"""What EC2 accepts as a subnet CIDR reservation, and what has to stay outside of all of them.

Source: VPC user guide, subnet-cidr-reservation; EKS best practices, prefix-mode.
"""

from collections.abc import Iterable
from typing import Final

from headroom.addresses.blocks import (
    ADDRESS_BITS,
    AWS_RESERVED_AT_END,
    AWS_RESERVED_AT_START,
    DELEGATED_PREFIX_LENGTH,
    Block,
)
from headroom.addresses.free import free_addresses
from headroom.addresses.problems import Problem

SOURCE: Final = "VPC user guide, subnet-cidr-reservation"


def reservation_shape_problems(
    block: Block, subnet: Block, others: Iterable[tuple[Block, str]], *, for_prefixes: bool = True, key: str = ""
) -> list[Problem]:
    """What speaks against one reservation by itself and beside others.

    Args:
        block: What is to be reserved.
        subnet: The subnet.
        others: Reservations that were there before, each with the name of its owner, or an empty one.
        for_prefixes: Whether it is of the type `prefix`.
        key: Where it was written, for the problems.
    """
    found: list[Problem] = []
    if not subnet.contains(block):
        found.append(
            Problem(
                rule="reservation-outside-subnet",
                key=key,
                value=str(block),
                reason=f"does not lie in the subnet {subnet}.",
                next_step="Take a block inside it.",
                source=SOURCE,
            )
        )
    if for_prefixes and block.prefix_length > DELEGATED_PREFIX_LENGTH:
        found.append(
            Problem(
                rule="reservation-too-small",
                key=key,
                value=str(block),
                reason="cannot hold a /28 prefix.",
                next_step="Reserve a /28 or more.",
                source=SOURCE,
            )
        )
    found.extend(
        Problem(
            rule="reservation-overlap",
            key=key,
            value=str(block),
            reason=f"overlaps the reservation {other}{f' of {owner}' if owner else ''}.",
            next_step="Take a block beside it.",
            source=SOURCE,
        )
        for other, owner in others
        if other.overlaps(block)
    )
    return found


def kept_by_aws(subnet: Block) -> list[Block]:
    """The addresses of a subnet that nobody else can have: no prefix holds one of them."""
    first = range(subnet.first, subnet.first + AWS_RESERVED_AT_START)
    last = range(subnet.last - AWS_RESERVED_AT_END + 1, subnet.last + 1)
    return [Block(address, ADDRESS_BITS) for address in (*first, *last)]


def addresses_outside(subnet: Block, reserved: Iterable[Block]) -> int:
    """Addresses of a subnet outside of its reservations: what is left for interfaces' own addresses.

    EC2 takes them from no reservation of the type `prefix` of its own accord (amazon-vpc-cni-k8s #3087).
    """
    return free_addresses([subnet], [*reserved, *kept_by_aws(subnet)])
