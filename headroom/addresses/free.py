"""Free space inside a list of CIDRs: aligned blocks of one length, maximal blocks, first fit and best fit.

The CIDRs of a list are taken singly: a free block lies inside one of them, even where two are neighbours, as
a subnet lies inside one CIDR of its VPC. A CIDR that lies inside another one adds nothing. What is used
outside of them does not matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from headroom.addresses.blocks import ADDRESS_BITS, Block, listed
from headroom.addresses.problems import Problem, ProblemsError

LISTED_BLOCKS: Final = 1 << 20
"""Most blocks listed without a count: all /28s of a /8. Keeps a slip of the pen from filling the memory."""


def free_blocks(
    within: Sequence[Block],
    used: Iterable[Block],
    prefix_length: int | None = None,
    count: int | None = None,
) -> list[Block]:
    """Free blocks, lowest first.

    Args:
        within: The CIDRs to look in.
        used: Blocks in use, in any order, overlapping or not.
        prefix_length: Length of the blocks asked for; None for the free space as maximal aligned blocks.
        count: Most blocks to return; None for all.

    Raises:
        ProblemsError: The length or the count is impossible, or without a count there are more than
            `LISTED_BLOCKS`.
    """
    _check(prefix_length, count)
    if prefix_length is None:
        return list(islice(_maximal_blocks(within, used), count))
    limit = LISTED_BLOCKS + 1 if count is None else count
    starts = list(islice(_starts(within, used, prefix_length), limit))
    if count is None and len(starts) == limit:
        raise ProblemsError(
            [
                Problem(
                    rule="free-block-count",
                    value=f"/{prefix_length}",
                    reason=f"is free more than {LISTED_BLOCKS:,} times in {listed(within)}.",
                    next_step="Give a count, or ask for the maximal blocks by leaving out the prefix length.",
                )
            ],
            subject="free blocks",
        )
    return [Block(start, prefix_length) for start in starts]


def free_starts(
    within: Iterable[tuple[int, int]],
    prefix_length: int,
    *,
    used_addresses: Iterable[int] = (),
    used_ranges: Iterable[tuple[int, int]] = (),
) -> Iterator[int]:
    """First addresses of the free aligned blocks of one length, lowest first, in integers only.

    Args:
        within: Inclusive ranges (first, last) to look in: ascending and without overlap.
        prefix_length: Length of the blocks, 0 to 32.
        used_addresses: Addresses in use, in any order. Of a used block that is not larger than the blocks
            asked for, one address is enough.
        used_ranges: Inclusive ranges in use, in any order, overlapping or not.
    """
    shift = ADDRESS_BITS - prefix_length
    used = {address >> shift for address in used_addresses}
    wide = [(first >> shift, last >> shift) for first, last in used_ranges]
    whole = (((first - 1 >> shift) + 1, (last + 1 >> shift) - 1) for first, last in within)
    for first, last in _gaps(whole, wide):
        for index in range(first, last + 1):
            if index not in used:
                yield index << shift


def free_ranges(within: Sequence[Block], used: Iterable[Block]) -> list[tuple[int, int]]:
    """The free space as inclusive ranges (first, last) of addresses, ascending, none across two CIDRs."""
    return list(
        _gaps(
            ((block.first, block.last) for block in outermost(within)),
            ((block.first, block.last) for block in used),
        )
    )


def free_addresses(within: Sequence[Block], used: Iterable[Block]) -> int:
    """How many addresses are free."""
    return sum(last - first + 1 for first, last in free_ranges(within, used))


def first_fit(within: Sequence[Block], used: Iterable[Block], prefix_length: int) -> Block | None:
    """The lowest free block of that length; None if there is none."""
    _check(prefix_length, None)
    start = next(_starts(within, used, prefix_length), None)
    return None if start is None else Block(start, prefix_length)


def best_fit(within: Sequence[Block], used: Iterable[Block], prefix_length: int) -> Block | None:
    """The lowest part of that length of the smallest maximal free block that holds it; None if there is none.

    Keeps the large free blocks whole. Blocks taken one by one in this way all find room if any placement of
    them exists, in whatever order they are asked for, because all sizes are powers of two.
    """
    _check(prefix_length, None)
    holes = (block for block in _maximal_blocks(within, used) if block.prefix_length <= prefix_length)
    smallest = min(holes, key=lambda block: (block.size, block.first), default=None)
    return None if smallest is None else Block(smallest.first, prefix_length)


def largest_free(within: Sequence[Block], used: Iterable[Block]) -> Block | None:
    """The largest free aligned block, the lowest of several; None if nothing is free."""
    return min(_maximal_blocks(within, used), key=lambda block: (-block.size, block.first), default=None)


def outermost(blocks: Iterable[Block]) -> list[Block]:
    """The blocks that lie in no other one, ascending and each once."""
    outer: list[Block] = []
    for block in sorted(blocks):
        if not outer or block.first > outer[-1].last:
            outer.append(block)
    return outer


def _starts(within: Sequence[Block], used: Iterable[Block], prefix_length: int) -> Iterator[int]:
    small, large = [], []
    for block in used:
        if block.prefix_length >= prefix_length:
            small.append(block.first)
        else:
            large.append((block.first, block.last))
    ranges = [(block.first, block.last) for block in outermost(within)]
    return free_starts(ranges, prefix_length, used_addresses=small, used_ranges=large)


def _gaps(within: Iterable[tuple[int, int]], used: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What the used ranges leave of the ranges; all inclusive; `within` ascending and without overlap."""
    ascending = sorted(used)
    position = 0
    cursor = -1  # everything below is known to be used or behind us
    for first, last in within:
        cursor = max(cursor, first)
        while position < len(ascending) and ascending[position][0] <= last:
            used_first, used_last = ascending[position]
            if used_first > cursor:
                yield cursor, used_first - 1
            cursor = max(cursor, used_last + 1)
            position += 1
        if cursor <= last:
            yield cursor, last


def _maximal_blocks(within: Sequence[Block], used: Iterable[Block]) -> Iterator[Block]:
    """The free space as the fewest aligned blocks, lowest first."""
    for first, last in free_ranges(within, used):
        start = first
        while start <= last:
            alignment = (start & -start).bit_length() - 1 if start else ADDRESS_BITS
            bits = min(alignment, (last + 1 - start).bit_length() - 1)
            yield Block(start, ADDRESS_BITS - bits)
            start += 1 << bits


def _check(prefix_length: int | None, count: int | None) -> None:
    problems = []
    if prefix_length is not None and not 0 <= prefix_length <= ADDRESS_BITS:
        problems.append(
            Problem(
                rule="prefix-length",
                value=f"/{prefix_length}",
                reason="is not a prefix length of IPv4.",
                next_step=f"Write a number from 0 to {ADDRESS_BITS}.",
                key="prefix_length",
            )
        )
    if count is not None and count < 0:
        problems.append(
            Problem(
                rule="count",
                value=str(count),
                reason="blocks cannot be listed.",
                next_step="Write how many are wanted, or leave it out for all.",
                key="count",
            )
        )
    if problems:
        raise ProblemsError(problems, subject="free blocks")
