"""Pictures of subnets: who has each address, /28 by /28, and how much of a subnet each owner has.

A picture is inline SVG without a script. Colour is never its only sign: every owner has a shape of its own, and
beside each picture stands a table with the same numbers.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from headroom.addresses.blocks import (
    AWS_RESERVED_AT_END,
    AWS_RESERVED_AT_START,
    DELEGATED_PREFIX_LENGTH,
    Block,
    format_address,
)
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.diagnosis.owners import (
    COOLDOWN,
    LEAKED,
    NODES,
    PODS,
    POOL,
    RESERVED,
    UNEXPLAINED,
    WARM,
    Holdings,
    block_of,
    reservations_of,
)
from headroom.facts.aws import Subnet

OTHERS: Final = "others"
FREE: Final = "free"
KEPT: Final = "kept"

LEGEND: Final[Mapping[str, str]] = {
    PODS: "pods",
    WARM: "idle in nodes' pools",
    COOLDOWN: "cooling down",
    POOL: "in nodes' pools (pods not read)",
    NODES: "interfaces' own",
    LEAKED: "left over (leaked)",
    OTHERS: "other services",
    RESERVED: "reserved",
    UNEXPLAINED: "held by unknown",
    FREE: "free",
    KEPT: "kept by AWS",
}
"""Whom a sign stands for, in the order in which they are drawn and listed."""

ADDRESS_BY_ADDRESS: Final = 20
"""Prefix length from which on each address is drawn; of a larger subnet, each /28."""

_CODES: Final = {owner: code for code, owner in enumerate(LEGEND)}
_OWNERS: Final = tuple(LEGEND)
_SIGN: Final = 4
"""Width of one address's sign, in units of the picture."""
_PITCH: Final = 5
_BLOCK: Final = 4 * _PITCH + 3
"""Width of a /28: four by four addresses and a gap."""
_CELL: Final = 6
_LABEL: Final = 54
"""Room for the address at which a row begins."""
_NUMBER: Final = re.compile(r"[0-9.]+")


def class_of(owner: str) -> str:
    """The sign of an owner: services of all kinds share one."""
    return owner if owner in LEGEND else OTHERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a picture, for the table beside it.

    Attributes:
        block: The addresses of the row.
        counts: Addresses by sign.
        free28: /28s of it of which every address is free.
    """

    block: str
    counts: Mapping[str, int]
    free28: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A subnet's map.

    Attributes:
        svg: The picture: markup made here, in which nothing comes from a snapshot but numbers.
        rows: The same as a table.
        signs: The signs that occur, in the legend's order.
        each: What one sign stands for: an address, or a /28.
    """

    svg: str
    rows: tuple[Row, ...]
    signs: tuple[str, ...]
    each: str


def subnet_picture(subnet: Subnet, holdings: Holdings, *, label: str) -> Picture | None:
    """Draws the /28 map of a subnet, by owner; ``None`` where its CIDR is unknown.

    Args:
        subnet: The subnet.
        holdings: Who holds what.
        label: Id of the element that describes the picture.
    """
    block = block_of(subnet)
    if block is None:
        return None
    codes = _codes(block, subnet, holdings)
    by_address = block.prefix_length >= ADDRESS_BY_ADDRESS
    row_length = 256 if by_address else 64 * PREFIX_ADDRESSES
    rows = tuple(_rows(block, codes, row_length))
    present = {owner for row in rows for owner in row.counts}
    svg = _by_address(block, codes, row_length, label) if by_address else _by_block(block, codes, row_length, label)
    return Picture(
        svg=svg,
        rows=rows,
        signs=tuple(owner for owner in LEGEND if owner in present),
        each="one address" if by_address else "one /28, of whoever has most of it: the larger, the more of it is held",
    )


def sign(owner: str) -> str:
    """An owner's sign for the legend."""
    return (
        f'<svg class="sign" viewBox="0 0 {_SIGN} {_SIGN}" aria-hidden="true" focusable="false">'
        f'<path class="o-{owner}" d="{_draw(owner, 0, 0)}"/></svg>'
    )


def _codes(block: Block, subnet: Subnet, holdings: Holdings) -> bytearray:
    """One code an address, from the first to the last of the subnet."""
    codes = bytearray([_CODES[FREE]]) * block.size
    for reservation in reservations_of(subnet):
        _mark(codes, block, reservation.block.first, reservation.block.size, _CODES[RESERVED])
    for first, count, owner in holdings.addresses_of(subnet.subnet_id):
        _mark(codes, block, first, count, _CODES[class_of(owner)])
    _mark(codes, block, block.first, AWS_RESERVED_AT_START, _CODES[KEPT])
    _mark(codes, block, block.last + 1 - AWS_RESERVED_AT_END, AWS_RESERVED_AT_END, _CODES[KEPT])
    return codes


def _mark(codes: bytearray, block: Block, first: int, count: int, code: int) -> None:
    begin = max(first - block.first, 0)
    end = min(first - block.first + count, block.size)
    if begin < end:
        codes[begin:end] = bytes([code]) * (end - begin)


def _rows(block: Block, codes: bytearray, row_length: int) -> Iterator[Row]:
    for begin in range(0, block.size, row_length):
        part = codes[begin : begin + row_length]
        free28 = sum(
            part[index : index + PREFIX_ADDRESSES].count(_CODES[FREE]) == PREFIX_ADDRESSES
            for index in range(0, len(part), PREFIX_ADDRESSES)
        )
        first, last = format_address(block.first + begin), format_address(block.first + begin + len(part) - 1)
        yield Row(
            block=f"{first} to {last}",
            counts={_OWNERS[code]: number for code, number in sorted(Counter(part).items())},
            free28=free28,
        )


# Shapes as paths from their upper left corner, four units wide, so that they can be told apart without colour.
_SHAPES: Final[Mapping[str, str]] = {
    PODS: "h4v4h-4z",
    WARM: "h4v4h-4zm1 1v2h2v-2z",
    COOLDOWN: "h4v1h-4zm0 2h4v2h-4z",
    POOL: "h4l-4 4z",
    NODES: "m1.2 0h1.6l1.2 1.2v1.6l-1.2 1.2h-1.6l-1.2-1.2v-1.6z",
    LEAKED: "h1l1 1 1-1h1v1l-1 1 1 1v1h-1l-1-1-1 1h-1v-1l1-1-1-1z",
    OTHERS: "m2 0l2 2-2 2-2-2z",
    RESERVED: "m0 1h4v2h-4z",
    UNEXPLAINED: "h4v2h-2v2h-2z",
    FREE: "m1 1h2v2h-2z",
    KEPT: "m1 0h2v4h-2z",
}


@cache
def _shape(owner: str, size: int) -> tuple[float, str]:
    """How far a smaller shape is moved in, and its path."""
    scale = size / _SIGN
    path = _NUMBER.sub(lambda number: f"{float(number[0]) * scale:g}", _SHAPES[owner])
    return (_SIGN - size) / 2, path


def _draw(owner: str, x: int, y: int, size: int = _SIGN) -> str:
    inset, path = _shape(owner, size)
    return f"M{x + inset:g} {y + inset:g}{path}"


def _by_address(block: Block, codes: bytearray, row_length: int, label: str) -> str:
    """A row a /24; in it one square of four by four signs for each /28."""
    paths = defaultdict[int, list[str]](list)
    for offset, code in enumerate(codes):
        row, within = divmod(offset, row_length)
        number, address = divmod(within, PREFIX_ADDRESSES)
        down, along = divmod(address, 4)
        x = _LABEL + number * _BLOCK + along * _PITCH
        y = row * _BLOCK + down * _PITCH
        paths[code].append(_draw(_OWNERS[code], x, y))
    blocks = min(row_length, block.size) // PREFIX_ADDRESSES
    height = -(-block.size // row_length) * _BLOCK
    labels = _labels(block, row_length, _BLOCK, _BLOCK / 2 + 2)
    return _svg(_LABEL + 16 * _BLOCK if blocks == 16 else _LABEL + blocks * _BLOCK, height, paths, labels, label)  # noqa: PLR2004 - a /24


def _by_block(block: Block, codes: bytearray, row_length: int, label: str) -> str:
    """A row a /22, in it one sign for each /28: of whoever has most of it, the larger the more of it is held."""
    paths = defaultdict[int, list[str]](list)
    unheld = (_CODES[FREE], _CODES[KEPT])
    for index in range(block.count_of(DELEGATED_PREFIX_LENGTH)):
        part = codes[index * PREFIX_ADDRESSES : (index + 1) * PREFIX_ADDRESSES]
        row, along = divmod(index * PREFIX_ADDRESSES, row_length)
        x, y = _LABEL + along // PREFIX_ADDRESSES * _CELL, row * _CELL
        held = Counter(code for code in part if code not in unheld)
        if not held:
            paths[_CODES[FREE]].append(_draw(FREE, x, y))
            continue
        code = held.most_common(1)[0][0]
        # Two, three or four units wide: up to a third of the /28 is held, up to two thirds, or more.
        size = 2 + (3 * held.total() - 1) // PREFIX_ADDRESSES
        paths[code].append(_draw(_OWNERS[code], x, y, size))
    height = -(-block.size // row_length) * _CELL
    labels = _labels(block, 4 * row_length, 4 * _CELL, _CELL)
    return _svg(_LABEL + row_length // PREFIX_ADDRESSES * _CELL, height, paths, labels, label)


def _labels(block: Block, step: int, height: float, baseline: float) -> str:
    return "".join(
        f'<text x="0" y="{index * height + baseline:g}">{format_address(block.first + begin)}</text>'
        for index, begin in enumerate(range(0, block.size, step))
    )


def _svg(width: int, height: int, paths: Mapping[int, Iterable[str]], labels: str, label: str) -> str:
    drawn = "".join(f'<path class="o-{_OWNERS[code]}" d="{"".join(paths[code])}"/>' for code in sorted(paths))
    return (
        f'<svg class="map" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{label}" focusable="false">'
        f"{drawn}{labels}</svg>"
    )
