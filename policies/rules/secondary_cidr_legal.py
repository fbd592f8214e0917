"""A CIDR has to be one that AWS associates with this VPC."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.association import (
    CIDR_QUOTA,
    CIDR_QUOTA_MAXIMUM,
    RFC1918,
    Family,
    check_association,
    families,
)
from headroom.addresses.blocks import Block
from headroom.addresses.problems import Problem, ProblemsError
from policies.configuration import CIDR_BLOCKS, VPC_CIDR_BLOCKS, config_blocks
from policies.findings import Finding, Undecided
from policies.network import block_of, known_block, vpc_of
from policies.resources import CIDR_ASSOCIATION, VPC, Resource, Resources

NAME = "secondary-cidr-legal"
DESCRIPTION = "A CIDR is one that AWS accepts beside the VPC's other CIDRs, routes and peerings."
TYPES = (CIDR_ASSOCIATION, VPC)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "addresses")
REMEDIATION = (
    "Write a /16 of 100.64.0.0/10 that nothing else uses, such as 100.64.0.0/16: `headroom calc association "
    "--existing CIDR --candidate CIDR` says whether AWS accepts it and why not."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "vpcCidrBlocks": VPC_CIDR_BLOCKS,
    "routes": {**CIDR_BLOCKS, "description": "Destinations in the VPC's route tables other than local"},
    "peerCidrBlocks": {**CIDR_BLOCKS, "description": "CIDRs of actively peered VPCs"},
    "directConnectCidrBlocks": {**CIDR_BLOCKS, "description": "CIDRs of other VPCs at the same Direct Connect gateway"},
    "serviceCidr": {"type": "string", "description": "The cluster's service range"},
    "quota": {"type": "integer", "minimum": 1, "default": CIDR_QUOTA, "description": "IPv4 CIDRs a VPC may have"},
    "allowFamilyMix": {"type": "boolean", "description": "Lift the restriction on mixing RFC 1918 ranges"},
}

_BLOCK_KEYS = ("vpcCidrBlocks", "routes", "peerCidrBlocks", "directConnectCidrBlocks", "serviceCidr")

STAND_IN: Final = Block.parse("10.255.255.240/28")
"""Stands for a primary CIDR that nobody told: what is judged beside it may lie beside any (see `_judge`)."""

_DEPENDS_ON_PRIMARY: Final = RFC1918 | {Family.RANGE_198_19}
"""Families that AWS accepts beside some CIDRs only (VPC user guide, vpc-cidr-blocks)."""


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Associations that AWS would refuse, each judged beside those before it.

    Stops: 198.19.0.0/16 as the EKS best practices guide proposes it (aws-eks-best-practices #633): no VPC with a
    private primary CIDR can have it, and one learns it while pods wait.
    """
    configured, problems = config_blocks(NAME, config, _BLOCK_KEYS)
    for problem in problems:
        yield Finding(None, problem)
    before: dict[str, list[Block]] = {}
    for association in resources.of_type(CIDR_ASSOCIATION):
        block, vpc = block_of(association), vpc_of(resources, association)
        if isinstance(block, ProblemsError):
            for problem in block.problems:
                yield Finding(association, problem, "cidrBlock")
        elif isinstance(block, Undecided):
            yield Finding(association, block, "cidrBlock")
        elif isinstance(vpc, Undecided):
            yield Finding(association, vpc, "vpcId")
        else:
            if vpc not in before:
                before[vpc] = _others(resources, vpc, configured["vpcCidrBlocks"])
            known_primary = vpc in resources.by_urn or bool(configured["vpcCidrBlocks"])
            for verdict in _judge(block, before[vpc], configured, config, known_primary=known_primary):
                yield Finding(association, verdict, "cidrBlock")
            before[vpc].append(block)


def _others(resources: Resources, vpc: str, listed: list[Block]) -> list[Block]:
    """The CIDRs that the VPC has without the stack's associations, the primary first."""
    own = resources.by_urn.get(vpc)
    primary: Resource | None = own if own is not None and own.type == VPC else None
    block = known_block(primary) if primary is not None else None
    associated = [known_block(item) for item in resources.of_type(CIDR_ASSOCIATION)]
    others = [item for index, item in enumerate(listed) if index == 0 or item not in associated]
    return [block, *(item for item in others if item != block)] if block is not None else others


def _judge(
    block: Block,
    before: list[Block],
    configured: Mapping[str, list[Block]],
    config: Mapping[str, Any],
    *,
    known_primary: bool,
) -> Iterator[Problem | Undecided]:
    if not known_primary and families(block) & _DEPENDS_ON_PRIMARY:
        reason = f"is not known here, and AWS accepts {block} beside some only: set vpcCidrBlocks for {NAME}."
        yield Undecided("the VPC's primary CIDR", reason)
        return
    service = configured["serviceCidr"]
    # Beside an unknown primary CIDR only what may lie beside any is judged, so a stand-in serves.
    existing = before if known_primary and before else [STAND_IN, *before]
    try:
        verdict = check_association(
            existing,
            block,
            routes=configured["routes"],
            peers=configured["peerCidrBlocks"],
            direct_connect=configured["directConnectCidrBlocks"],
            service_cidr=service[0] if service else None,
            quota=_quota(config),
            allow_family_mix=config.get("allowFamilyMix") is True,
        )
    except ProblemsError as error:
        yield from error.problems
    else:
        yield from verdict.problems


def _quota(config: Mapping[str, Any]) -> int:
    quota = config.get("quota", CIDR_QUOTA)
    # What is no quota is refused by the schema; the strict default holds until it is mended.
    valid = isinstance(quota, int | float) and not isinstance(quota, bool) and 1 <= quota <= CIDR_QUOTA_MAXIMUM
    return int(quota) if valid else CIDR_QUOTA
