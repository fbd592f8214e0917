"""`headroom calc free`."""

import click

from headroom.addresses.blocks import ADDRESS_BITS
from headroom.addresses.free import free_addresses, free_blocks, largest_free
from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.calc.answer import FINDING, Answer, Term, answers, counted
from headroom.cli.calc.reading import Reader

HELP = """
\b
headroom calc free --within 10.0.0.0/16 --used 10.0.0.0/20
headroom calc free --within 10.0.0.0/16 --prefix-length 24 --count 3

Free aligned blocks of one length, lowest first; without a length, the free space as the largest aligned blocks. Exit
code 1 if there are fewer than asked for: all that there are are shown.
"""


@click.command(help=HELP)
@click.option("--within", multiple=True, metavar="CIDR", help="Where to look: the CIDRs of the VPC.")
@click.option("--used", multiple=True, metavar="CIDR", help="What is in use: subnets, single addresses.")
@click.option("--prefix-length", metavar="N", help="Length of the blocks, such as 24.")
@click.option("--count", metavar="K", help="How many are needed; all are shown by default.")
@answers
def command(*, within: tuple[str, ...], used: tuple[str, ...], prefix_length: str | None, count: str | None) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    if not within:
        reader.missing("--within", "Write the CIDR to look in.")
    cidrs = reader.blocks(within, "--within")
    taken = reader.blocks(used, "--used", addresses=True)
    length = (
        None
        if prefix_length is None
        else reader.count(prefix_length.removeprefix("/"), "--prefix-length", most=ADDRESS_BITS)
    )
    wanted = None if count is None else reader.count(count, "--count")
    reader.done("calc free")
    try:
        blocks = free_blocks(cidrs, taken, length, wanted)
    except ProblemsError as error:
        raise ProblemsError(error.problems, subject="calc free") from None
    largest = largest_free(cidrs, taken)
    problems = []
    if wanted is not None and len(blocks) < wanted:
        kind = "free blocks" if length is None else f"free /{length}s"
        problems.append(
            Problem(
                rule="too-few-free",
                value=f"{len(blocks):,} {kind}",
                reason=f"are all that there are; {wanted:,} were asked for.",
                next_step=f"The largest free block is {largest}." if largest else "Nothing is free.",
            )
        )
    left = free_addresses(cidrs, taken)
    return Answer(
        data={"blocks": [str(block) for block in blocks], "largest": None if largest is None else str(largest)},
        facts=[
            *(("free", str(block)) for block in blocks),
            ("blocks", f"{len(blocks):,}"),
            ("largest", "none" if largest is None else str(largest)),
            ("free addresses", f"{left:,}"),
        ],
        problems=problems,
        warnings=reader.warnings,
        terms=[
            Term("blocks", "aligned to their own size, inside one CIDR of --within, none overlapping --used"),
            Term("largest", "the largest free aligned block, the lowest of several"),
            Term("free addresses", f"{counted(left, 'address', 'addresses')} that nothing given here uses"),
        ],
        next_step="headroom calc association --help    whether it may be associated" if blocks else "",
        exit_code=FINDING if problems else 0,
    )
