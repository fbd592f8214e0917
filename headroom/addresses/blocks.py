"""IPv4 blocks as integers: one first address and a prefix length; text only at the edge."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from headroom.addresses.problems import Problem, ProblemsError

ADDRESS_BITS: Final = 32
"""Bits of an IPv4 address (RFC 791)."""

AWS_RESERVED_AT_START: Final = 4
"""Addresses at the start of every subnet that AWS keeps: network, router, DNS, future use (VPC user guide,
subnet-sizing)."""

AWS_RESERVED_AT_END: Final = 1
"""Addresses at the end of every subnet that AWS keeps: broadcast (VPC user guide, subnet-sizing)."""

AWS_RESERVED_ADDRESSES: Final = AWS_RESERVED_AT_START + AWS_RESERVED_AT_END
"""Addresses of every subnet that AWS keeps for itself (VPC user guide, subnet-sizing)."""

AWS_PREFIX_LENGTHS: Final = range(16, 29)
"""Prefix lengths that a CIDR of a VPC or a subnet may have: /16 to /28 (VPC user guide, vpc-cidr-blocks)."""

DELEGATED_PREFIX_LENGTH: Final = 28
"""Length of a prefix that EC2 delegates to a network interface: 16 addresses, aligned (EC2 user guide,
ec2-prefix-eni)."""

SHOWN_CHARACTERS: Final = 60
"""Characters of a refused value that a message repeats."""

LISTED_VALUES: Final = 8
"""Values that a message lists before it only counts the rest."""

_HOST_MASKS: Final = tuple((1 << (ADDRESS_BITS - length)) - 1 for length in range(ADDRESS_BITS + 1))
_ADDRESS: Final = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")
OCTET: Final = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
"""A number of an address without a leading zero, as a regular expression with one group."""
_LEGAL_ADDRESS: Final = re.compile(rf"{OCTET}\.{OCTET}\.{OCTET}\.{OCTET}")
_PREFIX_LENGTH: Final = re.compile(r"[0-9]{1,2}")


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """An aligned IPv4 block. Blocks sort by first address, larger blocks first where that is equal.

    Attributes:
        first: First address as an integer, 0 to 2**32 - 1, aligned to the size.
        prefix_length: 0 (everything) to 32 (one address).

    Raises:
        ValueError: The numbers are no block (a mistake of the program: text goes through `parse`).
    """

    first: int
    prefix_length: int

    def __post_init__(self) -> None:
        if not 0 <= self.prefix_length <= ADDRESS_BITS:
            raise ValueError(f"prefix length {self.prefix_length} is not within 0 to {ADDRESS_BITS}")
        if self.first & _HOST_MASKS[self.prefix_length] or self.first >> ADDRESS_BITS:
            raise ValueError(f"{self.first} is not the first address of a /{self.prefix_length}")

    @classmethod
    def parse(cls, text: str, *, canonical: bool = False, key: str = "") -> Self:
        """Reads a block in CIDR notation, such as `10.0.0.0/16`.

        Args:
            text: What was given.
            canonical: Clears host bits as EC2 does (`100.68.0.18/18` becomes `100.68.0.0/18`; VPC user guide,
                vpc-cidr-blocks) where they would be refused otherwise.
            key: Where the text stands, for the message.

        Raises:
            ProblemsError: The text is not an IPv4 block; says what to write.
        """
        found = _read_cidr(text, key)
        if isinstance(found, Problem):
            raise ProblemsError([found], subject="IPv4 block")
        address, prefix_length = found
        block = cls.containing(address, prefix_length)
        if block.first != address and not canonical:
            raise ProblemsError([_host_bits(text, address, block, key)], subject="IPv4 block")
        return block

    @classmethod
    def containing(cls, address: int, prefix_length: int) -> Self:
        """The block of that prefix length in which the address lies."""
        return cls(address & ~_HOST_MASKS[prefix_length], prefix_length)

    def __str__(self) -> str:
        return f"{format_address(self.first)}/{self.prefix_length}"

    @property
    def size(self) -> int:
        """Addresses in the block, those that a cloud keeps for itself included."""
        return 1 << (ADDRESS_BITS - self.prefix_length)

    @property
    def last(self) -> int:
        """Last address of the block."""
        return self.first | _HOST_MASKS[self.prefix_length]

    def contains(self, other: "Block") -> bool:
        """Whether every address of the other block lies in this one; true for the block itself."""
        return self.prefix_length <= other.prefix_length and self.first <= other.first <= self.last

    def overlaps(self, other: "Block") -> bool:
        """Whether the two share an address, which for blocks means that one contains the other."""
        return self.first <= other.last and other.first <= self.last

    def subblock(self, index: int, prefix_length: int) -> Self:
        """The block with that index, from 0, among those of that prefix length inside this one.

        Raises:
            ValueError: There is none.
        """
        if not 0 <= index < self.count_of(prefix_length):
            raise ValueError(f"{self} has no /{prefix_length} with index {index}")
        return type(self)(self.first + (index << (ADDRESS_BITS - prefix_length)), prefix_length)

    def subblocks(self, prefix_length: int) -> Iterator[Self]:
        """All blocks of that prefix length inside this one, lowest first."""
        return (self.subblock(index, prefix_length) for index in range(self.count_of(prefix_length)))

    def count_of(self, prefix_length: int) -> int:
        """How many blocks of that prefix length this one holds."""
        if not 0 <= prefix_length <= ADDRESS_BITS:
            raise ValueError(f"prefix length {prefix_length} is not within 0 to {ADDRESS_BITS}")
        return 1 << (prefix_length - self.prefix_length) if prefix_length >= self.prefix_length else 0


def usable_addresses(block: Block) -> int:
    """Addresses of an AWS subnet that network interfaces can have: all but the five that AWS keeps.

    Zero where the block is too small to be a subnet and holds nothing else.
    """
    return max(0, block.size - AWS_RESERVED_ADDRESSES)


def format_address(address: int) -> str:
    """An address in dotted decimal.

    Raises:
        ValueError: Not within 0 to 2**32 - 1.
    """
    if address < 0 or address >> ADDRESS_BITS:
        raise ValueError(f"{address} is not an IPv4 address")
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def parse_address(text: str, key: str = "") -> int:
    """Reads one IPv4 address in dotted decimal.

    Raises:
        ProblemsError: The text is not an IPv4 address; says what to write.
    """
    found = _read_address(text, text, key)
    if isinstance(found, Problem):
        raise ProblemsError([found], subject="IPv4 address")
    return found


def parse_blocks(texts: Iterable[str], key: str = "", *, canonical: bool = False) -> list[Block]:
    """Reads several blocks; order and duplicates are kept.

    Args:
        texts: What was given.
        key: Where the texts stand; the index is added: `existing[2]`.
        canonical: As in `Block.parse`.

    Raises:
        ProblemsError: With every text that is not a block.
    """
    problems: list[Problem] = []
    blocks = read_blocks(texts, key=key, problems=problems, canonical=canonical)
    if problems:
        raise ProblemsError(problems, subject=key or "IPv4 blocks")
    return blocks


def read_blocks(
    texts: Iterable[str],
    *,
    key: str,
    problems: list[Problem],
    canonical: bool = False,
    addresses: bool = False,
) -> list[Block]:
    """Reads several blocks and adds to `problems` what it cannot read: so several lists are judged at once.

    Args:
        texts: What was given.
        key: Where the texts stand; the index is added.
        problems: Grows by one for every text that is refused.
        canonical: As in `Block.parse`.
        addresses: Also takes an address without a prefix length, as a /32.

    Returns:
        The blocks that could be read, in order.
    """
    blocks = []
    for index, text in enumerate(texts):
        place = f"{key}[{index}]" if key else ""
        try:
            if addresses and isinstance(text, str) and "/" not in text:
                blocks.append(Block(parse_address(text, place), ADDRESS_BITS))
            else:
                blocks.append(Block.parse(text, canonical=canonical, key=place))
        except ProblemsError as error:
            problems.extend(error.problems)
    return blocks


def shown(value: object) -> str:
    """A refused value as a message may repeat it: short, and without characters that act on a terminal."""
    if not isinstance(value, str):
        text = repr(value)
    elif value.strip() == value != "" and value.isprintable():
        text = value
    else:
        text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def listed(values: Iterable[object]) -> str:
    """Values as a sentence lists them: the first few, and how many more there are."""
    texts = [str(value) for value in values]
    if len(texts) > LISTED_VALUES:
        texts[LISTED_VALUES - 1 :] = [f"{len(texts) - LISTED_VALUES + 1:,} more"]
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else "".join(texts)


def _read_cidr(text: object, key: str) -> tuple[int, int] | Problem:
    """The address (host bits and all) and the prefix length of a CIDR."""
    if not isinstance(text, str):
        return _not_text(text, "Write a text such as 10.0.0.0/16.", key)
    head, slash, tail = text.partition("/")
    address = _read_address(head, text, key)
    if isinstance(address, Problem):
        return address
    if (
        slash
        and _PREFIX_LENGTH.fullmatch(tail)
        and (prefix_length := int(tail)) <= ADDRESS_BITS
        and str(prefix_length) == tail
    ):
        return address, prefix_length
    plain = format_address(address)
    if not slash:
        return _refuse(
            "cidr-prefix-length",
            text,
            "has no prefix length.",
            f"Write {plain}/32 if that one address is meant, else the block, such as {Block.containing(address, 24)}.",
            key,
        )
    netmask = _read_address(tail, tail, "")
    if isinstance(netmask, int) and _length_of_netmask(netmask) is not None:
        step = f"Write {plain}/{_length_of_netmask(netmask)}."
    else:
        step = f"Write {plain}/ and a number from 0 to {ADDRESS_BITS}, without leading zeros."
    return _refuse("cidr-prefix-length", text, f"has {shown(tail)} where its prefix length should be.", step, key)


def _read_address(text: object, whole: object, key: str) -> int | Problem:
    """The address that a text denotes; `whole` is what the message repeats."""
    # A large cluster has hundred thousands of them.
    if isinstance(text, str) and (legal := _LEGAL_ADDRESS.fullmatch(text)):
        high, upper, lower, low = legal.groups()
        return int(high) << 24 | int(upper) << 16 | int(lower) << 8 | int(low)
    example = "10.0.0.0/16" if isinstance(whole, str) and "/" in whole else "10.0.0.1"
    if not isinstance(text, str):
        return _not_text(whole, f"Write a text such as {example}.", key)
    found = _ADDRESS.fullmatch(text)
    octets = found.groups() if found else ()
    leading_zero = any(octet != "0" and octet.startswith("0") for octet in octets)
    step = f"Write four decimal numbers from 0 to 255 with dots between them, such as {example}."
    if leading_zero:
        reason = "has an octet with a leading zero, which some programs read as octal."
        step = f"Write {'.'.join(str(int(octet)) for octet in octets)} if decimal is meant."
    elif found:
        reason = "has an octet above 255."
    elif not text.strip():
        reason = "is empty where an IPv4 address should be."
    elif _ADDRESS.fullmatch(text.strip()):
        reason = "has blanks around its address."
        step = f"Write {text.strip()} without them."
    elif ":" in text:
        reason = "is not IPv4 (a colon suggests IPv6, which is not handled here)."
    elif not text.isascii():
        reason = "has characters other than the ASCII digits and dots of an IPv4 address."
    else:
        reason = "is not an IPv4 address."
    return _refuse("ipv4-address", whole, reason, step, key)


def _length_of_netmask(netmask: int) -> int | None:
    """Prefix length that a netmask such as 255.255.0.0 stands for, if it is one."""
    host_mask = ~netmask & _HOST_MASKS[0]
    return ADDRESS_BITS - host_mask.bit_length() if host_mask in _HOST_MASKS else None


def _host_bits(text: str, address: int, network: Block, key: str) -> Problem:
    return _refuse(
        "cidr-host-bits",
        text,
        f"has bits set behind its prefix length: the block that begins there is {network}.",
        f"Write {network}, or {format_address(address)}/32 if that one address is meant.",
        key,
    )


def _not_text(value: object, next_step: str, key: str) -> Problem:
    return _refuse("ipv4-address", value, f"is not text but {type(value).__name__}.", next_step, key)


def _refuse(rule: str, value: object, reason: str, next_step: str, key: str) -> Problem:
    return Problem(rule=rule, value=shown(value), reason=reason, next_step=next_step, key=key)
