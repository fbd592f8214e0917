"""`headroom calc blocks`."""

from collections.abc import Iterable
from typing import Final

import click

from headroom.addresses.blocks import ADDRESS_BITS, Block, format_address, listed
from headroom.addresses.problems import ProblemsError
from headroom.addresses.subnet_map import Reservation, State, SubnetMap, subnet_map
from headroom.cli.calc.answer import Answer, Table, Term, answers, counted
from headroom.cli.calc.reading import Reader

HELP = """
\b
headroom calc blocks --subnet 10.0.0.0/24 --used 10.0.0.17 --used 10.0.0.32/28
headroom calc blocks --subnet 10.0.0.0/24 --reserved 10.0.0.128/25

The /28 map of a subnet: what prefix delegation can still use. No EC2 API shows it; give the private addresses and
prefixes of DescribeNetworkInterfaces as --used. One character a /28, lowest first: # used, o partly used,
r reserved, p reserved for prefixes, - free but at the edge and never a prefix, . free.
"""

_OPTIONS: Final = {"explicit": "--reserved", "prefix": "--reserved-for-prefixes"}
"""Option by the type of a reservation."""

ROW: Final = 64
"""Characters of the map in one line, for people."""

_PREFIXES: Final = "EC2 user guide, ec2-prefix-eni; amazon-vpc-cni-k8s #2749"
_RESERVATIONS: Final = "VPC user guide, subnet-cidr-reservation"


@click.command(help=HELP)
@click.option("--subnet", metavar="CIDR", help="The subnet, /16 to /28.")
@click.option("--used", multiple=True, metavar="ADDRESS|CIDR", help="What network interfaces have.")
@click.option("--reserved", multiple=True, metavar="CIDR", help="A CIDR reservation of the type explicit.")
@click.option("--reserved-for-prefixes", multiple=True, metavar="CIDR", help="One of the type prefix.")
@answers
def command(
    *, subnet: str | None, used: tuple[str, ...], reserved: tuple[str, ...], reserved_for_prefixes: tuple[str, ...]
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    block = None
    if subnet is None:
        reader.missing("--subnet", "Write the CIDR of the subnet.")
    else:
        block = reader.block(subnet, "--subnet")
    taken = reader.blocks(used, "--used", addresses=True)
    reservations = [Reservation(each, "explicit") for each in reader.blocks(reserved, "--reserved")]
    reservations += [
        Reservation(each, "prefix") for each in reader.blocks(reserved_for_prefixes, "--reserved-for-prefixes")
    ]
    if block is not None:
        try:
            subnet_map(block)
        except ProblemsError as error:
            reader.tell(error)
        else:
            _refuse_outside(reader, block, taken, reservations)
    reader.done("calc blocks")
    if block is None:  # done() has raised
        raise AssertionError(subnet)
    found = subnet_map(
        block,
        used_addresses=(each.first for each in taken if each.prefix_length == ADDRESS_BITS),
        used_blocks=(each for each in taken if each.prefix_length < ADDRESS_BITS),
        reservations=reservations,
    )
    total = len(found.map)
    return Answer(
        data={
            "free28": found.free28,
            "usable28": found.usable28,
            "partial28": found.partial28,
            "reserved28": found.reserved28,
            "freeAddresses": found.free_addresses,
            "map": found.map,
        },
        facts=[
            ("subnet", f"{block}, {counted(total, '/28')}"),
            ("usable for prefixes", f"{found.usable28:,} of {total:,}"),
            ("free", f"{found.free28:,}, those at the edges included"),
            ("partly used", f"{found.partial28:,}"),
            ("used", f"{found.used28:,}"),
            ("reserved", f"{found.reserved28:,}"),
            ("free addresses", f"{found.free_addresses:,}"),
        ],
        tables=[_rows(found)],
        warnings=reader.warnings,
        terms=[
            Term("map", ", ".join(f"{state.value} {state.name.lower().replace('_', ' ')}" for state in State)),
            Term(
                "usable28",
                "free /28s away from the edges, and empty ones wholly in a reservation of the type prefix",
                _PREFIXES,
            ),
            Term(
                "free28",
                "nothing of it is used and nothing reserved; the first and the last hold addresses that AWS keeps: "
                "free, and never a prefix",
                _PREFIXES,
            ),
            Term("reserved28", "nothing of it is used, and a reservation covers some of it", _RESERVATIONS),
            Term(
                "freeAddresses",
                "neither used nor reserved nor kept by AWS: AvailableIpAddressCount",
                "EC2 API, DescribeSubnets",
            ),
        ],
        next_step="a full, fragmented subnet needs a new subnet, not a reservation" if not found.usable28 else "",
    )


def _refuse_outside(reader: Reader, subnet: Block, taken: Iterable[Block], reservations: Iterable[Reservation]) -> None:
    """Refuses what is not in the subnet: the map of another subnet's addresses would look like a free one."""
    given = [("--used", each) for each in taken]
    given += [(_OPTIONS[each.reservation_type], each.block) for each in reservations]
    for option in dict.fromkeys(option for option, _ in given):
        outside = [_text(each) for key, each in given if key == option and not subnet.overlaps(each)]
        if outside:
            reader.problem(
                "outside-subnet",
                option,
                f"names {listed(outside)}, outside of {subnet}.",
                "Give what is in this subnet only: DescribeNetworkInterfaces takes the filter subnet-id.",
            )


def _text(block: Block) -> str:
    return format_address(block.first) if block.prefix_length == ADDRESS_BITS else str(block)


def _rows(found: SubnetMap) -> Table:
    starts = range(0, len(found.map), ROW)
    return Table(("from /28", "map"), [(start, found.map[start : start + ROW]) for start in starts])
