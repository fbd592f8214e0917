"""`headroom calc association`."""

from collections.abc import Sequence

import click

from headroom.addresses.association import (
    CIDR_QUOTA,
    CIDR_QUOTA_MAXIMUM,
    AssociationVerdict,
    PendingPeering,
    check_association,
)
from headroom.addresses.problems import ProblemsError
from headroom.cli.calc.answer import FINDING, Answer, Term, answers, counted, problem_data
from headroom.cli.calc.reading import Reader

HELP = """
\b
headroom calc association --existing 10.0.0.0/16 --candidate 100.64.0.0/16
headroom calc association ... --peer 10.1.0.0/16 --service-cidr 172.20.0.0/16

Whether AWS lets a CIDR be associated with a VPC, with every rule that refuses it, and what to know if it is accepted.
Exit code 1 if it is refused.
"""


@click.command(help=HELP)
@click.option("--existing", multiple=True, metavar="CIDR", help="A CIDR of the VPC, the primary one first.")
@click.option("--candidate", metavar="CIDR", help="What shall be associated.")
@click.option("--route", multiple=True, metavar="CIDR", help="Destination in a route table of the VPC.")
@click.option("--peer", multiple=True, metavar="CIDR", help="CIDR of a peered VPC.")
@click.option(
    "--pending-peering", multiple=True, metavar="ROLE:CIDR", help="requester:CIDR or accepter:CIDR, not yet accepted."
)
@click.option("--direct-connect", multiple=True, metavar="CIDR", help="Another VPC at the same gateway.")
@click.option("--transit-gateway", multiple=True, metavar="CIDR", help="Another attachment of the same one.")
@click.option("--service-cidr", metavar="CIDR", help="Where the cluster places its services.")
@click.option("--quota", metavar="N", default=str(CIDR_QUOTA), show_default=True, help="CIDRs that the VPC may have.")
@click.option("--allow-family-mix", is_flag=True, help="Lift the rule against mixing RFC 1918 ranges.")
@answers
def command(  # noqa: PLR0913 - the options
    *,
    existing: tuple[str, ...],
    candidate: str | None,
    route: tuple[str, ...],
    peer: tuple[str, ...],
    pending_peering: tuple[str, ...],
    direct_connect: tuple[str, ...],
    transit_gateway: tuple[str, ...],
    service_cidr: str | None,
    quota: str,
    allow_family_mix: bool,
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    if not existing:
        reader.missing("--existing", "Write all CIDRs of the VPC, the primary one first.")
    if candidate is None:
        reader.missing("--candidate", "Write the CIDR that shall be associated.")
    cidrs = reader.blocks(existing, "--existing")
    block = None if candidate is None else reader.block(candidate, "--candidate", canonical=True)
    routes = reader.blocks(route, "--route")
    peers = reader.blocks(peer, "--peer")
    pending = _pending_peerings(reader, pending_peering)
    direct = reader.blocks(direct_connect, "--direct-connect")
    transit = reader.blocks(transit_gateway, "--transit-gateway")
    service = None if service_cidr is None else reader.block(service_cidr, "--service-cidr")
    number = reader.count(quota, "--quota", least=1, most=CIDR_QUOTA_MAXIMUM)
    reader.done("calc association")
    if candidate is None or block is None:  # done() has raised
        raise AssertionError(candidate)
    verdict = check_association(
        cidrs,
        candidate,
        routes=routes,
        peers=peers,
        pending_peerings=pending,
        direct_connect=direct,
        transit_gateway=transit,
        service_cidr=service,
        quota=number,
        allow_family_mix=allow_family_mix,
    )
    return Answer(
        data={
            "allowed": verdict.allowed,
            "canonical": str(verdict.canonical),
            "problems": problem_data(verdict.problems),
            "warnings": problem_data(verdict.warnings),
        },
        facts=[
            ("candidate", str(verdict.canonical)),
            ("allowed", "yes" if verdict.allowed else f"no: refused by {counted(len(verdict.problems), 'rule')}"),
        ],
        problems=verdict.problems,
        warnings=verdict.warnings,
        terms=_terms(verdict, number),
        next_step="headroom calc layout --help    pod subnets in it" if verdict.allowed else "",
        exit_code=0 if verdict.allowed else FINDING,
    )


def _pending_peerings(reader: Reader, texts: Sequence[str]) -> list[PendingPeering]:
    found = []
    for text in texts:
        try:
            found.append(PendingPeering.parse(text, key="--pending-peering"))
        except ProblemsError as error:
            reader.tell(error)
    return found


def _terms(verdict: AssociationVerdict, quota: int) -> list[Term]:
    return [
        Term(
            "canonical",
            f"{verdict.canonical}: EC2 clears the bits behind the prefix length",
            "VPC user guide, vpc-cidr-blocks",
        ),
        Term("quota", f"{quota} CIDRs, primary included (L-83CA0A9D)", "VPC user guide, amazon-vpc-limits"),
        *(Term(problem.rule, problem.reason, problem.source) for problem in (*verdict.problems, *verdict.warnings)),
    ]
