"""Whether a CIDR may be associated with a VPC, and what to know before doing it.

The rules are those of the VPC user guide, vpc-cidr-blocks, which since 2022 hold against every CIDR that is
already associated, not only the primary one. A refusal is a rule that AWS documents; a warning is about what
AWS accepts and somebody may regret.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, Self

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, listed, shown
from headroom.addresses.free import free_starts
from headroom.addresses.problems import Problem, ProblemsError

CIDR_QUOTA: Final = 5
"""IPv4 CIDRs a VPC may have without an increase, primary included (VPC user guide, amazon-vpc-limits)."""

CIDR_QUOTA_MAXIMUM: Final = 50
"""IPv4 CIDRs a VPC may have after an increase, primary included (VPC user guide, amazon-vpc-limits)."""

CIDR_QUOTA_CODE: Final = "L-83CA0A9D"
"""Code of the quota "IPv4 CIDR blocks per VPC" in Service Quotas (VPC user guide, amazon-vpc-limits)."""

SHARED_ADDRESS_SPACE: Final = Block.parse("100.64.0.0/10")
"""Shared address space (RFC 6598), the usual source of secondary CIDRs for pods."""

DEFAULT_SERVICE_CIDRS: Final = (Block.parse("10.100.0.0/16"), Block.parse("172.20.0.0/16"))
"""Where EKS places Kubernetes services unless told otherwise (EKS API, KubernetesNetworkConfigRequest)."""

DOCKER_BRIDGE: Final = Block.parse("172.17.0.0/16")
"""Docker's bridge network, which AWS Cloud9 and Amazon SageMaker use (VPC user guide, vpc-cidr-blocks)."""

CONTROL_PLANE_DELAY_HOURS: Final = 1
"""Longest time until an EKS control plane knows a new CIDR, in hours (EKS user guide, network-reqs)."""

_EVERYTHING: Final = Block(0, 0)
_LARGEST: Final = AWS_PREFIX_LENGTHS[0]
_SMALLEST: Final = AWS_PREFIX_LENGTHS[-1]
_SEARCHED_PREFIX_LENGTH: Final = 8
"""A candidate larger than this is a slip of the pen: nothing inside it is proposed in its place."""

_CIDR_RULES: Final = "VPC user guide, vpc-cidr-blocks"
_RESTRICTIONS: Final = "VPC user guide, vpc-cidr-blocks, IPv4 CIDR block association restrictions"
_QUOTAS: Final = "VPC user guide, amazon-vpc-limits"
_SERVICE_CIDR: Final = "EKS API, KubernetesNetworkConfigRequest.serviceIpv4Cidr"
_SPECIAL_PURPOSE: Final = "IANA IPv4 special-purpose address registry (RFC 6890)"


class Family(Enum):
    """The ranges between which the VPC user guide, vpc-cidr-blocks, permits and restricts associations."""

    RFC1918_10 = "10.0.0.0/8"
    RFC1918_172 = "172.16.0.0/12"
    RFC1918_192 = "192.168.0.0/16"
    RANGE_198_19 = "198.19.0.0/16"
    SHARED = "100.64.0.0/10"
    LINK_LOCAL = "169.254.0.0/16"
    PUBLIC = "publicly routable"


RFC1918: Final = frozenset({Family.RFC1918_10, Family.RFC1918_172, Family.RFC1918_192})
"""The private ranges (RFC 1918)."""

RESTRICTED: Final[dict[Family, frozenset[Family]]] = {
    Family.RFC1918_10: RFC1918 - {Family.RFC1918_10} | {Family.RANGE_198_19},
    Family.RFC1918_172: RFC1918 - {Family.RFC1918_172} | {Family.RANGE_198_19},
    Family.RFC1918_192: RFC1918 - {Family.RFC1918_192} | {Family.RANGE_198_19},
    Family.RANGE_198_19: RFC1918,
    Family.SHARED: RFC1918 | {Family.RANGE_198_19},
    Family.PUBLIC: RFC1918 | {Family.RANGE_198_19},
    Family.LINK_LOCAL: frozenset(),  # no VPC has such a CIDR
}
"""For the family of an associated CIDR, the families from which none may be added (VPC user guide,
vpc-cidr-blocks). Link-local is refused beside any."""

RESTRICTED_WITHIN: Final = (
    ("range-10-0", Block.parse("10.0.0.0/15"), Block.parse("10.0.0.0/16")),
    ("range-172-31", Block.parse("172.16.0.0/12"), Block.parse("172.31.0.0/16")),
)
"""Rule, where an associated CIDR lies, and what may then not be added although it is of the same family (VPC
user guide, vpc-cidr-blocks)."""

NEVER_ASSOCIABLE: Final = (
    (Block.parse("0.0.0.0/8"), "this network (RFC 1122)"),
    (Block.parse("127.0.0.0/8"), "loopback (RFC 1122)"),
    (Block.parse("224.0.0.0/4"), "multicast (RFC 5771)"),
    (Block.parse("240.0.0.0/4"), "reserved, and limited broadcast at its end (RFC 1112, RFC 919)"),
)
"""Ranges that no host can have: neither private nor publicly routable, the only kinds that AWS permits."""

LINK_LOCAL_USES: Final = (
    (Block.parse("169.254.169.253/32"), "the Amazon DNS server"),
    (Block.parse("169.254.169.254/32"), "the instance metadata service"),
    (Block.parse("169.254.170.23/32"), "EKS Pod Identity"),
    (Block.parse("169.254.171.0/24"), "VPC Lattice"),
    (Block.parse("169.254.172.0/22"), "the VPC CNI, for IPv4 egress of IPv6 pods"),
)
"""Who lives in the link-local range of a node (EC2, EKS and VPC Lattice user guides; amazon-vpc-cni-k8s)."""

NOT_PUBLICLY_ROUTABLE: Final = (
    (Block.parse("192.0.0.0/24"), "IETF protocol assignments (RFC 6890)"),
    (Block.parse("192.0.2.0/24"), "documentation (RFC 5737)"),
    (Block.parse("192.88.99.0/24"), "6to4 relays (RFC 7526)"),
    (Block.parse("198.18.0.0/16"), "benchmarks (RFC 2544)"),
    (Block.parse("198.51.100.0/24"), "documentation (RFC 5737)"),
    (Block.parse("203.0.113.0/24"), "documentation (RFC 5737)"),
)
"""Outside RFC 1918 and yet not publicly routable (RFC 6890): AWS's table says nothing of them."""

_FAMILY_BLOCKS: Final[dict[Family, Block]] = {
    family: Block.parse(family.value) for family in Family if family is not Family.PUBLIC
}


@dataclass(frozen=True, slots=True)
class PendingPeering:
    """A VPC peering connection of this VPC in the state `pending-acceptance`.

    Attributes:
        role: Which side this VPC is.
        peer: A CIDR of the other VPC. For the requester it does not matter.
    """

    role: Literal["requester", "accepter"]
    peer: Block | None = None

    @classmethod
    def parse(cls, text: str, *, key: str = "") -> Self:
        """Reads `requester`, `requester:10.1.0.0/16` or `accepter:10.1.0.0/16`.

        Raises:
            ProblemsError: The text is none of these.
        """
        role, colon, cidr = text.partition(":")
        if role == "requester":
            return cls("requester", Block.parse(cidr, key=key) if colon else None)
        if role == "accepter" and colon:
            return cls("accepter", Block.parse(cidr, key=key))
        problem = Problem(
            rule="pending-peering",
            value=shown(text),
            reason="does not say which side of the peering connection this VPC is, and the CIDR of the other.",
            next_step="Write requester, requester:CIDR or accepter:CIDR.",
            key=key,
        )
        raise ProblemsError([problem], subject="pending peering")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationVerdict:
    """What AWS would say to the association, and what to know if it says yes.

    Attributes:
        canonical: The candidate as EC2 stores it.
        problems: Every rule that refuses it.
        warnings: What AWS accepts but somebody may regret, what was lifted, and what follows an association.
    """

    canonical: Block
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether no rule refuses the association."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vpc:
    """What the rules look at; `existing` has the primary CIDR first."""

    existing: tuple[Block, ...]
    routes: tuple[Block, ...] = ()
    peers: tuple[Block, ...] = ()
    pending_peerings: tuple[PendingPeering, ...] = ()
    direct_connect: tuple[Block, ...] = ()
    transit_gateway: tuple[Block, ...] = ()
    service_cidr: Block | None = None
    quota: int = CIDR_QUOTA
    allow_family_mix: bool = False


def check_association(  # noqa: PLR0913 - one argument for each thing that AWS's rules look at
    existing: Sequence[Block],
    candidate: Block | str,
    *,
    routes: Iterable[Block] = (),
    peers: Iterable[Block] = (),
    pending_peerings: Iterable[PendingPeering] = (),
    direct_connect: Iterable[Block] = (),
    transit_gateway: Iterable[Block] = (),
    service_cidr: Block | None = None,
    quota: int = CIDR_QUOTA,
    allow_family_mix: bool = False,
) -> AssociationVerdict:
    """Judges whether a CIDR may be associated with a VPC; every problem at once.

    Args:
        existing: The CIDRs of the VPC, the primary one first.
        candidate: What shall be associated. Text may have host bits, which EC2 clears.
        routes: Destinations in any route table of the VPC. Those of local routes may be among them.
        peers: CIDRs of VPCs with an active peering connection.
        pending_peerings: Peering connections that wait for acceptance.
        direct_connect: CIDRs of other VPCs at the same Direct Connect gateway.
        transit_gateway: CIDRs of other attachments of the same transit gateway.
        service_cidr: Where the cluster places its services; None if unknown.
        quota: IPv4 CIDRs that the VPC may have, primary included; 5 unless increased, at most 50.
        allow_family_mix: Turns into warnings the rule against mixing RFC 1918 ranges, and what only a
            secondary CIDR outside RFC 1918 holds against an RFC 1918 candidate: an AWS employee contradicts
            the user guide (aws-cdk #36111), which until 2022 named the primary CIDR only. No other rule is
            lifted.

    Raises:
        ProblemsError: The question cannot be judged: no CIDR of the VPC, text that is no IPv4 CIDR, an
            impossible quota.
    """
    problems = _question_problems(existing, quota)
    try:
        block = candidate if isinstance(candidate, Block) else _parse_candidate(candidate)
    except ProblemsError as error:
        raise ProblemsError([*error.problems, *problems], subject="association") from None
    if problems:
        raise ProblemsError(problems, subject="association")
    vpc = _Vpc(
        existing=tuple(dict.fromkeys(existing)),
        routes=tuple(dict.fromkeys(routes)),
        peers=tuple(peers),
        pending_peerings=tuple(pending_peerings),
        direct_connect=tuple(direct_connect),
        transit_gateway=tuple(transit_gateway),
        service_cidr=service_cidr,
        quota=quota,
        allow_family_mix=allow_family_mix,
    )
    refusals = [*_vpc_problems(vpc, block), *_candidate_problems(vpc, block)]
    if refusals:
        # Again, now with what to write instead: it is only looked for where something is wrong.
        refusals = [*_vpc_problems(vpc, block), *_candidate_problems(vpc, block, _instead(vpc, block))]
    return AssociationVerdict(
        canonical=block,
        problems=tuple(refusals),
        warnings=(
            *_canonical_warnings(candidate, block, allowed=not refusals),
            *(problem for problem, lifted in _family_conflicts(vpc, block, "") if lifted),
            *_range_warnings(vpc, block),
            *_surroundings_warnings(vpc, block),
            *(() if refusals else _consequences(block)),
        ),
    )


def suggest_secondary_cidr(  # noqa: PLR0913 - as check_association
    existing: Sequence[Block],
    *,
    prefix_length: int = _LARGEST,
    routes: Iterable[Block] = (),
    peers: Iterable[Block] = (),
    pending_peerings: Iterable[PendingPeering] = (),
    direct_connect: Iterable[Block] = (),
    service_cidr: Block | None = None,
    quota: int = CIDR_QUOTA,
    avoid: Iterable[Block] = (),
) -> Block | None:
    """The lowest block of 100.64.0.0/10 that may be associated with the VPC; None if none may.

    Args:
        existing: The CIDRs of the VPC, the primary one first.
        prefix_length: Size of the block, 16 to 28.
        routes: This and the following as for `check_association`.
        peers: The same.
        pending_peerings: The same.
        direct_connect: The same.
        service_cidr: The same.
        quota: The same.
        avoid: What AWS would accept and what shall not be taken: attachments of a transit gateway, networks
            on premises.

    Raises:
        ProblemsError: No CIDR of the VPC, a prefix length outside 16 to 28, an impossible quota.
    """
    problems = _question_problems(existing, quota)
    if prefix_length not in AWS_PREFIX_LENGTHS:
        problems.append(
            Problem(
                rule="cidr-size",
                value=f"/{prefix_length}",
                reason="is no size of a CIDR of a VPC.",
                next_step=f"Write a number from {_LARGEST} to {_SMALLEST}.",
                source=_CIDR_RULES,
                key="prefix_length",
            )
        )
    if problems:
        raise ProblemsError(problems, subject="secondary CIDR")
    vpc = _Vpc(
        existing=tuple(dict.fromkeys(existing)),
        routes=tuple(dict.fromkeys(routes)),
        peers=tuple(peers),
        pending_peerings=tuple(pending_peerings),
        direct_connect=tuple(direct_connect),
        service_cidr=service_cidr,
        quota=quota,
    )
    if any(_vpc_problems(vpc, SHARED_ADDRESS_SPACE)):
        return None
    return _first_associable(vpc, SHARED_ADDRESS_SPACE, prefix_length, tuple(avoid))


def families(block: Block) -> frozenset[Family]:
    """The families that the block touches; only one larger than any CIDR of a VPC touches several."""
    touched = {family for family, whole in _FAMILY_BLOCKS.items() if whole.overlaps(block)}
    if any(_FAMILY_BLOCKS[family].contains(block) for family in touched):
        return frozenset(touched)
    return frozenset({*touched, Family.PUBLIC})


def _parse_candidate(text: str) -> Block:
    return Block.parse(text, canonical=True, key="candidate")


def _question_problems(existing: Sequence[Block], quota: int) -> list[Problem]:
    """Why the question itself makes no sense."""
    problems = []
    if not existing:
        problems.append(
            Problem(
                rule="existing-cidrs",
                value="The VPC",
                reason="has no CIDR here, yet every VPC has at least its primary one.",
                next_step="Give all CIDRs of the VPC, the primary one first.",
                key="existing",
            )
        )
    if not 1 <= quota <= CIDR_QUOTA_MAXIMUM:
        problems.append(
            Problem(
                rule="quota-range",
                value=str(quota),
                reason=f"is no quota of IPv4 CIDRs a VPC: {CIDR_QUOTA}, or up to {CIDR_QUOTA_MAXIMUM} by an increase.",
                next_step=f"Write the applied value of quota {CIDR_QUOTA_CODE}.",
                source=_QUOTAS,
                key="quota",
            )
        )
    return problems


def _vpc_problems(vpc: _Vpc, candidate: Block) -> Iterator[Problem]:
    """What forbids any further CIDR, whichever it is."""
    count = len(vpc.existing)
    if count >= vpc.quota:
        increase = f" or have quota {CIDR_QUOTA_CODE} increased (up to {CIDR_QUOTA_MAXIMUM}) and give its new value"
        yield _about(
            candidate,
            "cidr-quota",
            f"would be CIDR {count + 1} of the VPC, whose quota is {vpc.quota}, primary included.",
            f"Disassociate a CIDR that has no subnets{increase if vpc.quota < CIDR_QUOTA_MAXIMUM else ''}.",
            _QUOTAS,
        )
    if any(peering.role == "requester" for peering in vpc.pending_peerings):
        yield _about(
            candidate,
            "peering-pending",
            "cannot be associated while the VPC is the requester of a peering connection that waits for acceptance: "
            "no CIDR can.",
            "Have the peering accepted, or delete the request, associate, and request it again.",
        )


def _candidate_problems(vpc: _Vpc, candidate: Block, instead: str = "") -> Iterator[Problem]:
    """What forbids this candidate; `instead` is the sentence that proposes another one."""
    yield from _size_problems(candidate, instead)
    yield from _reserved_problems(candidate, instead)
    yield from (problem for problem, lifted in _family_conflicts(vpc, candidate, instead) if not lifted)
    yield from _restricted_within(vpc, candidate, instead)
    yield from _overlap_problems(vpc, candidate, instead)
    yield from _route_problems(vpc, candidate, instead)


def _size_problems(candidate: Block, instead: str) -> Iterator[Problem]:
    if candidate.prefix_length < _LARGEST:
        yield _about(
            candidate,
            "cidr-size",
            f"is larger than a /{_LARGEST}, the largest CIDR that can be associated.",
            instead,
            f"{_CIDR_RULES}; terraform-provider-aws #19595",
        )
    elif candidate.prefix_length > _SMALLEST:
        yield _about(
            candidate,
            "cidr-size",
            f"is smaller than a /{_SMALLEST}, the smallest CIDR that can be associated.",
            f"Write {Block.containing(candidate.first, _SMALLEST)} or a larger block around it.",
        )


def _reserved_problems(candidate: Block, instead: str) -> Iterator[Problem]:
    link_local = _FAMILY_BLOCKS[Family.LINK_LOCAL]
    if link_local.overlaps(candidate):
        users = [f"{use} ({block})" for block, use in LINK_LOCAL_USES if block.overlaps(candidate)]
        also = f"; here live {listed(users)}" if users else ""
        yield _about(
            candidate,
            "link-local",
            f"{_lies_in(candidate, link_local)}, the link-local range, which no VPC can have{also}.",
            instead,
            _RESTRICTIONS,
        )
    for block, use in NEVER_ASSOCIABLE:
        if block.overlaps(candidate):
            yield _about(
                candidate,
                "special-purpose-range",
                f"{_lies_in(candidate, block)}, which is {use}: neither private nor publicly routable.",
                instead,
                f"{_RESTRICTIONS}; {_SPECIAL_PURPOSE}",
            )


def _family_conflicts(vpc: _Vpc, candidate: Block, instead: str) -> Iterator[tuple[Problem, bool]]:
    """What the families of the associated CIDRs hold against the candidate, and whether that is lifted."""
    touched = families(candidate)
    if Family.RANGE_198_19 in touched and (conflicts := _restricting(vpc, Family.RANGE_198_19, frozenset(Family))):
        yield _range_198_19(candidate, conflicts, instead), False
    for family in (family for family in Family if family in touched & RFC1918):
        where = _lies_in(candidate, _FAMILY_BLOCKS[family])
        if mixing := _restricting(vpc, family, RFC1918):
            reason = f"{where}, and the VPC has {listed(mixing)}: the user guide forbids to mix RFC 1918 ranges."
            doubt = "An AWS employee says that EC2 does not (aws-cdk #36111)"
            lifted = vpc.allow_family_mix
            yield _liftable(candidate, "rfc1918-mixing", reason, doubt, instead, lifted=lifted), lifted
        if outside := _restricting(vpc, family, frozenset(Family) - RFC1918):
            rule = "rfc1918-after-other"
            reason = (
                f"{where}, and the VPC has {listed(outside)}: the user guide forbids to add an RFC 1918 range to that."
            )
            if vpc.existing[0] in outside:
                yield _about(candidate, rule, reason, instead, _RESTRICTIONS), False
            else:
                doubt = "Until 2022 it forbade that beside such a primary CIDR only"
                lifted = vpc.allow_family_mix
                yield _liftable(candidate, rule, reason, doubt, instead, lifted=lifted), lifted


def _restricting(vpc: _Vpc, family: Family, among: frozenset[Family]) -> list[Block]:
    """The associated CIDRs of the families `among` beside which nothing of the family may be added."""
    return [
        existing
        for existing in vpc.existing
        if any(family in RESTRICTED[other] for other in families(existing) & among)
    ]


def _range_198_19(candidate: Block, conflicts: Iterable[Block], instead: str) -> Problem:
    return _about(
        candidate,
        "range-198-19",
        f"{_lies_in(candidate, _FAMILY_BLOCKS[Family.RANGE_198_19])}, which cannot be added to a VPC that has "
        f"{listed(conflicts)}, although the EKS best practices propose it for pods.",
        instead,
        f"{_RESTRICTIONS}; aws-eks-best-practices #633",
    )


def _liftable(  # noqa: PLR0913 - the parts of one sentence
    candidate: Block, rule: str, reason: str, doubt: str, instead: str, *, lifted: bool
) -> Problem:
    if lifted:
        step = f"The rule was lifted by request. {doubt}; try it on a VPC that nobody needs first."
    else:
        step = _sentences(instead, f"{doubt}: if you know it to work, allow the family mix.")
    return _about(candidate, rule, reason, step, _RESTRICTIONS)


def _restricted_within(vpc: _Vpc, candidate: Block, instead: str) -> Iterator[Problem]:
    for rule, around, restricted in RESTRICTED_WITHIN:
        conflicts = _overlapped(around, vpc.existing)
        if conflicts and restricted.overlaps(candidate):
            yield _about(
                candidate,
                rule,
                f"{_lies_in(candidate, restricted)}, which cannot be added to a VPC that has {listed(conflicts)}, "
                f"in {around}.",
                instead,
                _RESTRICTIONS,
            )


def _overlap_problems(vpc: _Vpc, candidate: Block, instead: str) -> Iterator[Problem]:
    if candidate in vpc.existing:
        step = "There is nothing to do, unless another block was meant."
        yield _about(candidate, "cidr-overlap", "is already associated with the VPC.", step)
    elif overlapped := _overlapped(candidate, vpc.existing):
        reason = f"overlaps {listed(overlapped)}, already associated, and no CIDR can change its size."
        yield _about(candidate, "cidr-overlap", reason, instead)
    if overlapped := _overlapped(candidate, vpc.peers):
        reason = f"overlaps {listed(overlapped)} of a VPC with an active peering connection."
        yield _about(candidate, "peering-overlap", reason, instead)
    if overlapped := _overlapped(candidate, vpc.direct_connect):
        reason = f"overlaps {listed(overlapped)} of another VPC at the same Direct Connect gateway."
        yield _about(candidate, "direct-connect-overlap", reason, instead)
    if vpc.service_cidr is not None and vpc.service_cidr.overlaps(candidate):
        reason = f"overlaps {vpc.service_cidr}, where the cluster places its services."
        step = _sentences(instead, "The service CIDR of a cluster cannot be changed.")
        yield _about(candidate, "service-cidr-overlap", reason, step, _SERVICE_CIDR)


def _route_problems(vpc: _Vpc, candidate: Block, instead: str) -> Iterator[Problem]:
    # A local route is known by its destination, an associated CIDR; that one overlaps, which is said already.
    covered = [route for route in vpc.routes if candidate.contains(route) and route not in vpc.existing]
    if covered:
        wide = [route for route in covered if route.prefix_length < _SMALLEST]
        inside = [f"in {route} a /{route.prefix_length + 1} or longer" for route in wide]
        hint = f" ({listed(inside)} can be associated)" if inside else ""
        yield _about(
            candidate,
            "route-destination",
            f"is the same as or larger than {listed(covered)}, where a route of the VPC leads.",
            _sentences(f"Remove the route, or take a block that does not cover it{hint}.", instead),
        )


def _range_warnings(vpc: _Vpc, candidate: Block) -> Iterator[Problem]:
    """What AWS accepts and somebody may regret: because of the range itself."""
    touched = families(candidate)
    if len(touched) > 1:
        return  # refused as far too large, and nobody knows which of its ranges was meant
    if Family.SHARED in touched:
        yield _about(
            candidate,
            "shared-address-space",
            f"{_lies_in(candidate, SHARED_ADDRESS_SPACE)}, which networks on premises and of partners usually do "
            "not route, and of which some managed services claim parts.",
            "Keep SNAT to the node's address for what leaves the VPC, or have the block routed there.",
            "RFC 6598; EKS best practices, custom-networking",
        )
    if Family.RANGE_198_19 in touched and not any(_family_conflicts(vpc, candidate, "")):
        yield _about(
            candidate,
            "undocumented-range",
            f"lies in {Family.RANGE_198_19.value}, and the user guide does not say whether a VPC can have two of it.",
            "Try it on a VPC that nobody needs first, or take a block of 100.64.0.0/10.",
            _RESTRICTIONS,
        )
    if Family.PUBLIC in touched:
        yield from _public_warnings(candidate)
    if DOCKER_BRIDGE.overlaps(candidate):
        yield _about(
            candidate,
            "docker-bridge",
            f"overlaps {DOCKER_BRIDGE}, Docker's bridge network, which AWS Cloud9 and Amazon SageMaker use: they "
            "cannot reach it.",
            "Take another block, unless neither is used anywhere in the network.",
        )
    overlapped = _overlapped(candidate, DEFAULT_SERVICE_CIDRS)
    if vpc.service_cidr is None and overlapped:
        yield _about(
            candidate,
            "service-cidr-unknown",
            f"overlaps {listed(overlapped)}, where EKS places services unless told otherwise, and the service CIDR "
            "of the cluster was not given.",
            "Give it, so that the overlap is judged.",
            _SERVICE_CIDR,
        )


def _public_warnings(candidate: Block) -> Iterator[Problem]:
    special = [(block, use) for block, use in NOT_PUBLICLY_ROUTABLE if block.overlaps(candidate)]
    for block, use in special:
        yield _about(
            candidate,
            "undocumented-range",
            f"{_lies_in(candidate, block)}, which is for {use}: not publicly routable, and AWS's table of permitted "
            "ranges does not name it.",
            "Try it on a VPC that nobody needs first, or take a block of 100.64.0.0/10.",
            f"{_RESTRICTIONS}; {_SPECIAL_PURPOSE}",
        )
    if not special and not any(block.contains(candidate) for block, _ in NEVER_ASSOCIABLE):
        yield _about(
            candidate,
            "public-range",
            "is publicly routable: whoever has these addresses in the Internet cannot be reached from the VPC.",
            "Take a block of 100.64.0.0/10, unless the addresses are yours.",
        )


def _surroundings_warnings(vpc: _Vpc, candidate: Block) -> Iterator[Problem]:
    """What AWS accepts and somebody may regret: because of what is around the VPC."""
    odd = [existing for existing in vpc.existing if existing.prefix_length not in AWS_PREFIX_LENGTHS]
    if odd:
        yield Problem(
            rule="existing-cidr-size",
            value=listed(odd),
            reason=f"cannot be a CIDR of a VPC (/{_LARGEST} to /{_SMALLEST}); it was judged as it stands.",
            next_step="Give the CIDRs that DescribeVpcs reports.",
            source=_CIDR_RULES,
            key="existing",
        )
    accepting = [each.peer for each in vpc.pending_peerings if each.role == "accepter"]
    if overlapped := _overlapped(candidate, filter(None, accepting)):
        yield _about(
            candidate,
            "peering-acceptance",
            f"overlaps {listed(overlapped)} of a VPC that has requested peering: once this is associated, the request "
            "cannot be accepted any more.",
            "Take another block, or settle the peering first.",
        )
    if overlapped := _overlapped(candidate, vpc.transit_gateway):
        yield _about(
            candidate,
            "transit-gateway-overlap",
            f"overlaps {listed(overlapped)} of another attachment of the transit gateway: it will be associated, and "
            "silently not be propagated.",
            "Take another block if it has to be reached through the transit gateway.",
            "EC2 API, CreateTransitGatewayVpcAttachment",
        )
    wider = [route for route in vpc.routes if route.contains(candidate)]
    if wider := [route for route in wider if route not in (_EVERYTHING, candidate, *vpc.existing)]:
        yield _about(
            candidate,
            "route-shadowed",
            f"lies in {listed(wider)}, where a route leads: what takes that route to these addresses today will stay "
            "in the VPC.",
            "Make sure that nobody needs it.",
            "VPC user guide, VPC_Route_Tables",
        )


def _consequences(candidate: Block) -> Iterator[Problem]:
    """What follows every association."""
    yield _about(
        candidate,
        "control-plane-delay",
        f"becomes known to an EKS control plane within up to {CONTROL_PLANE_DELAY_HOURS} h: until then kubectl exec, "
        "logs and port-forward to pods in it fail, and webhooks that such pods serve.",
        "Keep pods that serve webhooks out of it for that time.",
        "EKS user guide, network-reqs",
    )
    yield _about(
        candidate,
        "cidr-lists",
        "gets its local routes by itself, but no security group, network ACL or allow-list that names CIDRs learns "
        "of it.",
        "Look for rules that name the other CIDRs of the VPC.",
    )


def _canonical_warnings(candidate: Block | str, block: Block, *, allowed: bool) -> Iterator[Problem]:
    if isinstance(candidate, str) and candidate != str(block):
        yield Problem(
            rule="canonical-form",
            value=shown(candidate),
            reason=f"has bits set behind its prefix length: EC2 stores {block}, and what was written looks like drift.",
            next_step=f"Write {block}." if allowed else "",
            source=_CIDR_RULES,
        )


def _instead(vpc: _Vpc, candidate: Block) -> str:
    """The sentence that says what to write in the candidate's place."""
    length = min(max(candidate.prefix_length, _LARGEST), _SMALLEST)
    inside = None
    if _SEARCHED_PREFIX_LENGTH <= candidate.prefix_length < _LARGEST and len(families(candidate)) == 1:
        inside = _first_associable(vpc, candidate, length)
    block = inside or _first_associable(vpc, SHARED_ADDRESS_SPACE, length, vpc.transit_gateway)
    if block is None:
        return f"No /{length} of {SHARED_ADDRESS_SPACE} is left for this VPC: take a smaller block."
    return f"Write {block}, which nothing given here forbids."


def _first_associable(vpc: _Vpc, within: Block, prefix_length: int, avoid: Sequence[Block] = ()) -> Block | None:
    """The lowest block of that length inside `within` against which no rule of its own stands."""
    service = () if vpc.service_cidr is None else (vpc.service_cidr,)
    inside = (route for route in vpc.routes if route.prefix_length >= prefix_length)
    taken = [*vpc.existing, *vpc.peers, *vpc.direct_connect, *service, *inside, *avoid]
    starts = free_starts(
        [(within.first, within.last)],
        prefix_length,
        used_ranges=[(block.first, block.last) for block in taken],
    )
    blocks = (Block(start, prefix_length) for start in starts)
    return next((block for block in blocks if not any(_candidate_problems(vpc, block))), None)


def _about(candidate: Block, rule: str, reason: str, next_step: str, source: str = _CIDR_RULES) -> Problem:
    return Problem(rule=rule, value=str(candidate), reason=reason, next_step=next_step, source=source)


def _overlapped(candidate: Block, blocks: Iterable[Block]) -> list[Block]:
    return [block for block in dict.fromkeys(blocks) if block.overlaps(candidate)]


def _lies_in(candidate: Block, around: Block) -> str:
    if candidate == around:
        return f"is the whole of {around}"
    return f"lies in {around}" if around.contains(candidate) else f"covers {around}"


def _sentences(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
