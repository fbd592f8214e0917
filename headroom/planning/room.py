"""Where new pod subnets could lie: in the VPC's own free space, or in a further CIDR; how large each must be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headroom.addresses.association import CIDR_QUOTA, check_association, suggest_secondary_cidr
from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, usable_addresses
from headroom.addresses.free import largest_free
from headroom.addresses.layout import layout
from headroom.addresses.problems import ProblemsError
from headroom.capacity.fleet import plan_fleet
from headroom.capacity.subnet import smallest_prefix_length
from headroom.planning.situation import Situation

GROWTH_PERCENT = 100
"""Room that a new subnet leaves beyond the fleet's worst case: it may double before anybody is paged again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A place for pod subnets, or why there is none.

    Attributes:
        blocks: The subnet of each zone; empty: there is no room.
        secondary: The CIDR to associate; ``None``: none is needed.
        reason: Why it fits, or why not, with figures.
        warnings: What to know of it first.
        shadowed: Destinations of routes that contain the CIDR to associate.
    """

    blocks: Mapping[str, Block]
    secondary: Block | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()
    shadowed: tuple[Block, ...] = ()

    @property
    def addresses(self) -> dict[str, int]:
        """Usable addresses by zone."""
        return {zone: usable_addresses(block) for zone, block in self.blocks.items()}


def needs(situation: Situation, *, growth_percent: int = GROWTH_PERCENT) -> dict[str, int]:
    """Addresses that the pod subnet of each zone should hold.

    What the zone's nodes hold once each has had its peak, with one more node for a rolling upgrade, and the growth.
    """
    nodes = [node for zone in situation.zones.values() for node in zone.nodes]
    plan = plan_fleet(nodes, situation.settings)
    return {zone.zone: -(-(zone.worst + zone.surge_addresses) * (100 + growth_percent) // 100) for zone in plan.zones}


def own_space(situation: Situation, need: Mapping[str, int]) -> Room:
    """Room for pod subnets in the CIDRs that the VPC has already."""
    used = list(situation.subnet_blocks.values())
    largest = largest_free(situation.vpc_blocks, used)
    sizes = {zone: smallest_prefix_length(addresses) for zone, addresses in need.items()}
    try:
        blocks = layout(situation.vpc_blocks, sizes, used=used)
    except ProblemsError:
        zone = max(need, key=lambda name: (need[name], name), default="")
        left = (
            f"the largest free block is {largest} ({usable_addresses(largest):,} usable addresses)"
            if largest is not None and largest.prefix_length in AWS_PREFIX_LENGTHS
            else "no block is free that could be a subnet"
        )
        wanted = f"{zone} needs {need.get(zone, 0):,}"
        if len(need) > 1:
            wanted = f"{zone} alone needs {need[zone]:,}, and {len(need)} zones need a subnet each"
        reason = f"{_listed(situation.vpc_blocks)}: {left}; {wanted}."
        return Room(blocks={}, reason=reason)
    return Room(blocks=blocks, reason=f"{_listed(situation.vpc_blocks)} has free blocks of the sizes that are needed.")


def further_space(situation: Situation, need: Mapping[str, int]) -> Room:
    """Room for pod subnets in a CIDR that may be associated with the VPC."""
    quota = situation.cidr_quota or CIDR_QUOTA
    # AWS takes a block that a wider route covers; what goes by that route to these addresses would stay in the VPC.
    candidate = _suggested(situation, quota, avoid=situation.routes) or _suggested(situation, quota)
    if candidate is None:
        verdict = check_association(
            situation.vpc_blocks,
            _FIRST_CHOICE,
            routes=situation.routes,
            peers=situation.peers,
            service_cidr=situation.service_cidr,
            quota=quota,
        )
        why = " ".join(problem.message for problem in verdict.problems)
        return Room(blocks={}, reason=f"No block of 100.64.0.0/10 may be associated with the VPC. {why}")
    zones = sorted(need)
    # One share more than there are zones: a zone added later finds its block, and nothing moves.
    equal = candidate.prefix_length + len(zones).bit_length()
    sizes = {zone: min(equal, smallest_prefix_length(need[zone])) for zone in zones}
    try:
        blocks = layout([candidate], sizes)
    except ProblemsError as error:
        return Room(blocks={}, secondary=candidate, reason=" ".join(problem.message for problem in error.problems))
    verdict = check_association(
        situation.vpc_blocks,
        candidate,
        routes=situation.routes,
        peers=situation.peers,
        service_cidr=situation.service_cidr,
        quota=quota,
    )
    shadowed = tuple(route for route in situation.routes if route.contains(candidate))
    return Room(
        blocks=blocks,
        secondary=candidate,
        shadowed=shadowed,
        reason=f"{candidate} may be associated with {situation.vpc_id}, but a route leads to {_listed(shadowed)}, "
        "which contains it."
        if shadowed
        else f"{candidate} may be associated with {situation.vpc_id}: it overlaps nothing that was read.",
        warnings=tuple(warning.message for warning in verdict.warnings),
    )


def _suggested(situation: Situation, quota: int, avoid: Sequence[Block] = ()) -> Block | None:
    return suggest_secondary_cidr(
        situation.vpc_blocks,
        routes=situation.routes,
        peers=situation.peers,
        service_cidr=situation.service_cidr,
        quota=quota,
        avoid=avoid,
    )


_FIRST_CHOICE = Block.parse("100.64.0.0/16")


def _listed(blocks: Sequence[Block]) -> str:
    return ", ".join(map(str, blocks)) or "the VPC"
