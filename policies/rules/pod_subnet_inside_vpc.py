"""A pod subnet has to lie in a CIDR of its VPC, and beside all other subnets."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, listed
from headroom.addresses.problems import Problem, ProblemsError
from policies.configuration import VPC_CIDR_BLOCKS, config_blocks
from policies.findings import Finding, Undecided
from policies.network import block_of, known_block, pod_subnets, vpc_blocks, vpc_of
from policies.resources import CIDR_ASSOCIATION, ENI_CONFIG, SUBNET, VPC, Resource, Resources

NAME = "pod-subnet-inside-vpc"
DESCRIPTION = "A pod subnet lies in one CIDR of its VPC and overlaps no other subnet."
TYPES = (SUBNET, VPC, CIDR_ASSOCIATION, ENI_CONFIG)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "addresses")
REMEDIATION = (
    "Associate a CIDR first and take a block inside it: `headroom calc free --within CIDR --used CIDR` lists free "
    "ones. `vpcCidrBlocks` in the policy's configuration names the CIDRs of a VPC that is not part of the stack."
)
CONFIG_SCHEMA: Mapping[str, Any] = {"vpcCidrBlocks": VPC_CIDR_BLOCKS}

_SOURCE = "VPC user guide, subnet sizing"


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Pod subnets that EC2 would refuse.

    Stops: the blocks of rule CRE-2025-0112, whose shell arithmetic makes 100.64.b.0/24 of zone b: EC2 refuses them
    in the middle of the incident, when one zone of three has its subnet.
    """
    configured, problems = config_blocks(NAME, config, ["vpcCidrBlocks"])
    for problem in problems:
        yield Finding(None, problem)
    neighbours = _neighbours(resources)
    by_vpc: dict[str, tuple[list[Block], bool]] = {}
    for subnet, undecided in pod_subnets(resources):
        if undecided is not None:
            yield Finding(subnet, undecided)
            continue
        block, vpc = block_of(subnet), vpc_of(resources, subnet)
        if isinstance(block, ProblemsError):
            for problem in block.problems:
                yield Finding(subnet, problem, "cidrBlock")
        elif isinstance(block, Undecided):
            yield Finding(subnet, block, "cidrBlock")
        else:
            yield from _size(subnet, block)
            if isinstance(vpc, Undecided):
                yield Finding(subnet, vpc, "vpcId")
            else:
                if vpc not in by_vpc:
                    by_vpc[vpc] = vpc_blocks(resources, vpc, configured["vpcCidrBlocks"])
                blocks, complete = by_vpc[vpc]
                yield from _inside(subnet, block, blocks, complete=complete)
        for other in neighbours.get(subnet.urn, ()):
            yield Finding(subnet, _overlap(subnet, other), "cidrBlock")


def _size(subnet: Resource, block: Block) -> Iterator[Finding]:
    if block.prefix_length not in AWS_PREFIX_LENGTHS:
        problem = Problem(
            rule=NAME,
            value=str(block),
            reason="is not a size that EC2 accepts.",
            next_step="Write a /16 to a /28.",
            source=_SOURCE,
        )
        yield Finding(subnet, problem, "cidrBlock")


def _inside(subnet: Resource, block: Block, blocks: list[Block], *, complete: bool) -> Iterator[Finding]:
    if any(whole.contains(block) for whole in blocks):
        return
    if complete:
        problem = Problem(
            rule=NAME,
            value=str(block),
            reason=f"lies in none of the VPC's CIDRs: {listed(blocks)}.",
            next_step="Take a block inside one of them, or associate its CIDR first.",
            source=_SOURCE,
        )
        yield Finding(subnet, problem, "cidrBlock")
    else:
        reason = f"are not all known here, and {block} lies in none that is: set vpcCidrBlocks for {NAME}."
        yield Finding(subnet, Undecided("the VPC's CIDRs", reason), "cidrBlock")


def _neighbours(resources: Resources) -> dict[str, list[Resource]]:
    """For each subnet, those of the same VPC that overlap it; in the order of their addresses, so in one pass."""
    by_vpc: dict[str, list[tuple[Block, Resource]]] = {}
    for subnet in resources.of_type(SUBNET):
        block, vpc = known_block(subnet), vpc_of(resources, subnet)
        if block is not None and isinstance(vpc, str):
            by_vpc.setdefault(vpc, []).append((block, subnet))
    found: dict[str, list[Resource]] = {}
    for placed in by_vpc.values():
        placed.sort(key=lambda item: item[0])
        around: list[tuple[Block, Resource]] = []
        for block, subnet in placed:
            while around and around[-1][0].last < block.first:
                around.pop()
            if around:
                found.setdefault(subnet.urn, []).append(around[-1][1])
                found.setdefault(around[-1][1].urn, []).append(subnet)
            around.append((block, subnet))
    return found


def _overlap(subnet: Resource, other: Resource) -> Problem:
    return Problem(
        rule=NAME,
        value=str(known_block(subnet)),
        reason=f"overlaps {known_block(other)} of {other.name}.",
        next_step="Take a free block: `headroom calc free --within … --used …` lists them.",
        source=_SOURCE,
    )
