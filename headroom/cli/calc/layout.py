"""`headroom calc layout`."""

import click

from headroom.addresses.blocks import Block, usable_addresses
from headroom.addresses.free import free_addresses
from headroom.addresses.layout import layout, zone_of, zone_prefix_lengths
from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.calc.answer import Answer, Table, Term, answers
from headroom.cli.calc.reading import Reader

HELP = """
\b
headroom calc layout --within 100.64.0.0/16 --zone us-east-1a --prefix-length 18
headroom calc layout ... --zone us-east-1b --allocated us-east-1a=100.64.0.0/18

The block of each zone's pod subnet. What is --allocated stays where it is, so a zone that is added later moves
nothing. A zone may have a size of its own (--zone us-east-1a:17) and several subnets (--subnets-per-zone 2).
"""


@click.command(help=HELP)
@click.option("--within", multiple=True, metavar="CIDR", help="The CIDRs for the subnets.")
@click.option("--zone", "zones", multiple=True, metavar="ZONE[:N]", help="An availability zone, and its own length.")
@click.option("--prefix-length", metavar="N", help="Length of every subnet that has none of its own.")
@click.option("--subnets-per-zone", metavar="K", default="1", show_default=True, help="Subnets of each zone.")
@click.option("--allocated", multiple=True, metavar="KEY=CIDR", help="A subnet that exists, by zone or key.")
@click.option("--used", multiple=True, metavar="CIDR", help="Other blocks in use.")
@answers
def command(  # noqa: PLR0913 - the options
    *,
    within: tuple[str, ...],
    zones: tuple[str, ...],
    prefix_length: str | None,
    subnets_per_zone: str,
    allocated: tuple[str, ...],
    used: tuple[str, ...],
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    if not within:
        reader.missing("--within", "Write the CIDR for the subnets.")
    if not zones:
        reader.missing("--zone", "Write each availability zone.")
    cidrs = reader.blocks(within, "--within")
    taken = reader.blocks(used, "--used")
    length = (
        None if prefix_length is None else reader.count(prefix_length.removeprefix("/"), "--prefix-length", most=32)
    )
    number = reader.count(subnets_per_zone, "--subnets-per-zone", least=1, most=9_999)
    names, sizes = _zones(reader, zones)
    if length is None and any(name not in sizes for name in names):
        reader.missing("--prefix-length", "Write the length of the subnets, or one for each zone.")
    kept = _allocated(reader, allocated)
    reader.done("calc layout")
    try:
        lengths = zone_prefix_lengths(names, length or 0, sizes=sizes, subnets_per_zone=number)
        found = layout(cidrs, lengths, allocated=kept, used=taken)
    except ProblemsError as error:
        raise ProblemsError(error.problems, subject="calc layout") from None
    for key, block in kept.items():
        if key not in found:
            reader.warnings.append(
                Problem(
                    rule="allocated-unused",
                    value=f"--allocated {key}={block}",
                    reason="is the subnet of no zone that is asked for: the block stays taken, and nothing is made.",
                    next_step="Add its --zone, or leave it out once the subnet is gone.",
                )
            )
    left = free_addresses(cidrs, [*taken, *kept.values(), *found.values()])
    return Answer(
        data={
            "subnets": [
                {"key": key, "zone": zone_of(key), "cidr": str(block), "usable": usable_addresses(block)}
                for key, block in found.items()
            ],
            "freeAddresses": left,
        },
        tables=[
            Table(
                ("key", "zone", "cidr", "usable", ""),
                [
                    (key, zone_of(key), str(block), usable_addresses(block), "stays" if key in kept else "new")
                    for key, block in found.items()
                ],
            )
        ],
        facts=[("within", ", ".join(map(str, cidrs))), ("free addresses left", f"{left:,}")],
        warnings=reader.warnings,
        terms=[
            Term("cidr", "the smallest free hole that holds it, in the order of the keys: large holes stay whole"),
            Term("usable", "all addresses but the first four and the last", "VPC user guide, subnet-sizing"),
        ],
        next_step="give these back with --allocated KEY=CIDR when a zone is added",
    )


def _zones(reader: Reader, texts: tuple[str, ...]) -> tuple[list[str], dict[str, int]]:
    names, sizes = [], {}
    for text in texts:
        name, colon, length = text.partition(":")
        names.append(name)
        if colon:
            sizes[name] = reader.count(length.removeprefix("/"), f"--zone {name}", most=32)
    return names, sizes


def _allocated(reader: Reader, texts: tuple[str, ...]) -> dict[str, Block]:
    kept: dict[str, Block] = {}
    for text in texts:
        pair = reader.pair(text, "--allocated", "=", "KEY=CIDR")
        if pair is None:
            continue
        block = reader.block(pair[1], f"--allocated {pair[0]}")
        if block is None:
            continue
        if kept.setdefault(pair[0], block) != block:
            reader.problem(
                "allocated-twice", pair[0], f"is allocated {kept[pair[0]]} and {block}.", "Give it once.", "--allocated"
            )
    return kept
