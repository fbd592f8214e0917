"""Ranges of an AKS cluster: what Azure reserves, what may not overlap, and where a pod range can still grow.

Azure rejects a range that *overlaps* a reserved one: `172.16.0.0/12` fails because it contains two of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from headroom.addresses.association import NEVER_ASSOCIABLE, RFC1918, SHARED_ADDRESS_SPACE
from headroom.addresses.blocks import Block, format_address, listed
from headroom.addresses.problems import Problem

AZURE_RESERVED_ADDRESSES: Final = 5
"""Addresses of every subnet of a VNet that Azure keeps: the first four and the last (Azure VNet FAQ). Pod ranges
of an overlay are no subnets of a VNet and lose none."""

AZURE_SUBNET_PREFIX_LENGTHS: Final = range(8, 30)
"""Prefix lengths of a VNet subnet: /8 (AKS documentation, concepts-network-ip-address-planning, for the VNet) to
/29 (Azure VNet FAQ)."""

OVERLAY_NODE_PREFIX_LENGTH: Final = 24
"""Length of the block of the pod range that each node gets, which cannot be changed (AKS documentation,
concepts-network-azure-cni-overlay; Azure/AKS #5120). kubenet's is the same (AKS documentation, configure-kubenet)."""

LARGEST_SERVICE_PREFIX_LENGTH: Final = 13
"""A service range must be smaller than /12 (AKS documentation, concepts-network-ip-address-planning)."""

LARGEST_POD_PREFIX_LENGTH: Final = 8
"""Larger pod ranges are no private range: a slip of the pen."""

AKS_RESERVED: Final = tuple(
    Block.parse(text) for text in ("169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24")
)
"""What pod, service and VNet ranges must not overlap (AKS documentation, concepts-network-cni-overview). Enforced
for pod ranges since 2026-05-29; clusters that existed then are exempt (Azure/AKS CHANGELOG)."""

VNET_RESERVED: Final = tuple(
    Block.parse(text)
    for text in ("127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32")
)
"""What no VNet can have: loopback, Azure's DNS, link-local, multicast, broadcast (Azure VNet FAQ)."""

NAT_GATEWAY_ADDRESSES: Final = 16
"""IPv4 addresses of a NAT gateway at most, those of its prefixes included (Azure NAT Gateway documentation,
nat-gateway-resource)."""

PAST_NAT: Final = frozenset({"VirtualAppliance", "VirtualNetworkGateway"})
"""Next hops of a default route that take what leaves a VNet past a NAT gateway: routes come first (Azure NAT Gateway
documentation, nat-overview)."""

AUTHORIZED_RANGES: Final = 200
"""Ranges from which a cluster's API server may be reached, at most (AKS documentation,
api-server-authorized-ip-ranges)."""

NODE_LABEL_CHARACTERS: Final = 63
"""Characters of the names of an overlay's node subnet, its VNet and their resource group at most: nodes carry them
as labels (AKS documentation, concepts-network-azure-cni-overlay)."""

_OVERLAY: Final = "AKS documentation, concepts-network-azure-cni-overlay"
_RESERVED: Final = "AKS documentation, concepts-network-cni-overview"
_PLANNING: Final = "AKS documentation, concepts-network-ip-address-planning"
_VNET_FAQ: Final = "Azure VNet FAQ"
_ERROR_CODES: Final = "Azure support, error codes of AKS"

_PRIVATE: Final = (*(Block.parse(family.value) for family in RFC1918), SHARED_ADDRESS_SPACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AksRanges:
    """The ranges of one cluster and of what it is connected to.

    Attributes:
        pod_cidr: Where pods of an overlay or of kubenet get their addresses.
        node_subnet: The subnet of the nodes, or None where it is not known.
        service_cidr: Where services get theirs, or None.
        dns_service_ip: The address of the cluster's DNS service, or None.
        vnets: Address spaces of the VNet.
        subnets: Subnets of the VNet, that of the nodes among them or not.
        peers: Address spaces of peered VNets, and of networks behind ExpressRoute or a VPN.
    """

    pod_cidr: Block
    node_subnet: Block | None = None
    service_cidr: Block | None = None
    dns_service_ip: int | None = None
    vnets: tuple[Block, ...] = ()
    subnets: tuple[Block, ...] = ()
    peers: tuple[Block, ...] = ()

    @property
    def other_subnets(self) -> tuple[Block, ...]:
        """Subnets of the VNet that are not the nodes'."""
        return tuple(block for block in dict.fromkeys(self.subnets) if block != self.node_subnet)


def azure_usable_addresses(block: Block) -> int:
    """Addresses of a VNet subnet that network interfaces can have: all but the five that Azure keeps."""
    return max(0, block.size - AZURE_RESERVED_ADDRESSES)


def node_blocks(pod_cidr: Block) -> int:
    """How many nodes find a /24 in the pod range."""
    return pod_cidr.count_of(OVERLAY_NODE_PREFIX_LENGTH)


def check_aks_ranges(ranges: AksRanges) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """What Azure refuses, or what cannot work, about a cluster's ranges.

    Returns:
        Problems, every one at once, and warnings.
    """
    problems = [
        *_pod_size_problems(ranges.pod_cidr),
        *_reserved_problems(ranges),
        *_overlap_problems(ranges),
        *_subnet_problems(ranges),
        *_service_problems(ranges),
    ]
    return tuple(problems), tuple(_warnings(ranges))


def supersets(pod_cidr: Block, taken: Iterable[Block]) -> Iterator[Block]:
    """The ranges that a pod range can grow into in place, smallest first, until one overlaps something.

    A pod range grows to a contiguous superset only; it never shrinks, moves or gets a second part (AKS
    documentation, azure-cni-overlay-pod-expand).

    Args:
        pod_cidr: The range as it is.
        taken: What the range must not overlap, beside what Azure reserves.
    """
    others = (*taken, *AKS_RESERVED)
    within = next((private for private in _PRIVATE if private.contains(pod_cidr)), None)
    shortest = LARGEST_POD_PREFIX_LENGTH if within is None else within.prefix_length
    for prefix_length in range(pod_cidr.prefix_length - 1, shortest - 1, -1):
        wider = Block.containing(pod_cidr.first, prefix_length)
        if any(wider.overlaps(other) for other in others):
            return
        yield wider


def _pod_size_problems(pod_cidr: Block) -> Iterator[Problem]:
    if pod_cidr.prefix_length > OVERLAY_NODE_PREFIX_LENGTH:
        yield _problem(
            "pod-cidr-size",
            pod_cidr,
            f"holds no whole /{OVERLAY_NODE_PREFIX_LENGTH}, and every node needs one.",
            f"Write a /{OVERLAY_NODE_PREFIX_LENGTH} for each node, such as a /16 for 256 of them.",
            _OVERLAY,
            "pod-cidr",
        )
    elif pod_cidr.prefix_length < LARGEST_POD_PREFIX_LENGTH:
        yield _problem(
            "pod-cidr-size",
            pod_cidr,
            f"is larger than any private range (/{LARGEST_POD_PREFIX_LENGTH}).",
            "Write a block of 10.0.0.0/8 or 100.64.0.0/10.",
            _OVERLAY,
            "pod-cidr",
        )


def _reserved_problems(ranges: AksRanges) -> Iterator[Problem]:
    named = _named(ranges)
    for key, block in (*named, *(("vnet", vnet) for vnet in ranges.vnets)):
        overlapped = [reserved for reserved in AKS_RESERVED if reserved.overlaps(block)]
        if overlapped:
            verb = "contains" if any(block.contains(reserved) for reserved in overlapped) else "lies in"
            yield _problem(
                "reserved-range",
                block,
                f"{verb} {listed(overlapped)}, which AKS keeps for itself.",
                f"Write a block that overlaps none of {listed(AKS_RESERVED)}; 10.244.0.0/16 and 100.64.0.0/10 do not.",
                f"{_RESERVED}; Azure/AKS CHANGELOG",
                key,
            )
        if key in {"vnet", "node-subnet"}:
            impossible = [reserved for reserved in VNET_RESERVED if reserved.overlaps(block)]
            impossible = [reserved for reserved in impossible if reserved not in AKS_RESERVED]
        else:
            impossible = [reserved for reserved, _ in NEVER_ASSOCIABLE if reserved.overlaps(block)]
        if impossible:
            yield _problem(
                "special-purpose-range",
                block,
                f"overlaps {listed(impossible)}, which no host can have.",
                "Write a block of a private range.",
                _VNET_FAQ,
                key,
            )


def _overlap_problems(ranges: AksRanges) -> Iterator[Problem]:
    named = _named(ranges)
    for index, (key, block) in enumerate(named):
        for other_key, other in named[index + 1 :]:
            if block.overlaps(other):
                code = _overlap_code(key, other_key)
                yield _problem(
                    "range-overlap",
                    block,
                    f"overlaps {other} of {other_key}{f': AKS answers {code}' if code else ''}.",
                    "Write ranges that have no address in common.",
                    _OVERLAY if "pod-cidr" in {key, other_key} else _ERROR_CODES,
                    key,
                )
    for key, block in named:
        overlapped = [subnet for subnet in ranges.other_subnets if subnet.overlaps(block)]
        if overlapped and key != "node-subnet":
            code = _overlap_code(key, "node-subnet")
            reason = f"overlaps {listed(overlapped)}, a subnet of the VNet: AKS answers {code}."
            step = "Write a range that overlaps no subnet."
            source = "Azure/AKS CHANGELOG, 2024-10-25" if key == "pod-cidr" else _ERROR_CODES
            yield _problem("subnet-overlap", block, reason, step, source, key)
        overlapped = [peer for peer in dict.fromkeys(ranges.peers) if peer.overlaps(block)]
        if overlapped and key == "pod-cidr":
            reason = f"overlaps {listed(overlapped)} of a connected network, which pods could then not reach."
            yield _problem("peer-overlap", block, reason, "Write a range that nobody connected uses.", _OVERLAY, key)
        elif overlapped:
            reason = f"overlaps {listed(overlapped)} of a connected network."
            yield _problem("peer-overlap", block, reason, "Write a range that nobody connected uses.", _PLANNING, key)


def _overlap_code(key: str, other_key: str) -> str:
    keys = {key, other_key}
    if keys == {"service-cidr", "node-subnet"}:
        return "ServiceCidrOverlapExistingSubnetsCidr"
    return "NetworkProfileCIDROverlapVNET" if "node-subnet" in keys else ""


def _subnet_problems(ranges: AksRanges) -> Iterator[Problem]:
    subnet = ranges.node_subnet
    if subnet is None:
        return
    if subnet.prefix_length not in AZURE_SUBNET_PREFIX_LENGTHS:
        shortest, longest = AZURE_SUBNET_PREFIX_LENGTHS[0], AZURE_SUBNET_PREFIX_LENGTHS[-1]
        yield _problem(
            "subnet-size",
            subnet,
            f"cannot be a subnet of a VNet, which is a /{shortest} to a /{longest}.",
            f"Write a prefix length from {shortest} to {longest}.",
            _VNET_FAQ,
            "node-subnet",
        )
    if ranges.vnets and not any(vnet.contains(subnet) for vnet in ranges.vnets):
        yield _problem(
            "subnet-outside-vnet",
            subnet,
            f"does not lie in {listed(ranges.vnets)} of the VNet.",
            "Give the address space of the VNet that it lies in.",
            _VNET_FAQ,
            "node-subnet",
        )


def _service_problems(ranges: AksRanges) -> Iterator[Problem]:
    service, address = ranges.service_cidr, ranges.dns_service_ip
    if service is not None:
        if service.prefix_length < LARGEST_SERVICE_PREFIX_LENGTH:
            yield _problem(
                "service-cidr-size",
                service,
                f"is not smaller than a /{LARGEST_SERVICE_PREFIX_LENGTH - 1}.",
                f"Write a /{LARGEST_SERVICE_PREFIX_LENGTH} or a smaller block; a /16 holds 65,534 services, and from "
                "Kubernetes 1.33 a ServiceCIDR adds more.",
                _PLANNING,
                "service-cidr",
            )
        overlapped = [vnet for vnet in dict.fromkeys(ranges.vnets) if vnet.overlaps(service)]
        if overlapped:
            yield _problem(
                "service-cidr-in-vnet",
                service,
                f"overlaps {listed(overlapped)} of the VNet, which nothing in or connected to it may.",
                "Write a range outside of the VNet; clusters may share one.",
                _PLANNING,
                "service-cidr",
            )
    if address is None:
        return
    text = format_address(address)
    if service is None:
        yield _problem(
            "dns-service-ip-alone",
            text,
            "cannot be judged without the service range that it has to lie in.",
            "Give the service range too.",
            _PLANNING,
            "dns-service-ip",
        )
    elif not service.first <= address <= service.last:
        yield _problem(
            "dns-service-ip-outside",
            text,
            f"does not lie in the service range {service}: AKS answers DnsServiceIpOutOfServiceCidr.",
            f"Write {_tenth(service)}.",
            _ERROR_CODES,
            "dns-service-ip",
        )
    elif address == service.first:
        yield _problem(
            "dns-service-ip-first",
            text,
            f"is the first address of the service range {service}.",
            f"Write another one of it, such as {_tenth(service)}.",
            _PLANNING,
            "dns-service-ip",
        )
    elif address == service.first + 1:
        yield _problem(
            "dns-service-ip-first",
            text,
            "is the address of the service kubernetes.default, the first that is handed out.",
            f"Write another one of {service}, such as {_tenth(service)}.",
            _PLANNING,
            "dns-service-ip",
        )


def _tenth(service: Block) -> str:
    """What AKS itself takes for DNS, .10 of the range, or the last address where there is no tenth."""
    return format_address(min(service.first + 10, service.last))


def _warnings(ranges: AksRanges) -> Iterator[Problem]:
    pods = ranges.pod_cidr
    overlapped = [vnet for vnet in dict.fromkeys(ranges.vnets) if vnet.overlaps(pods)]
    if overlapped:
        yield _problem(
            "pod-cidr-in-vnet",
            pods,
            f"overlaps {listed(overlapped)} of the VNet. Since 2024-10-25 AKS refuses only an overlap with a subnet, "
            "but a subnet that somebody adds there later breaks the next upgrade, and the page on in-place upgrades "
            "still forbids it.",
            "Take a range outside of the VNet.",
            "Azure/AKS CHANGELOG, 2024-10-25; AKS documentation, update-azure-cni",
            "pod-cidr",
        )
    if SHARED_ADDRESS_SPACE.overlaps(pods):
        yield _problem(
            "shared-address-space",
            pods,
            f"is of {SHARED_ADDRESS_SPACE}: hosts outside that have such an address (carrier-grade NAT, SASE, VPN and "
            "partner links) cannot be reached from pods, and Azure Firewall does not by default SNAT to it.",
            "Make sure that nobody whom pods need uses it.",
            f"{_OVERLAY}; AKS documentation, nat-gateway; RFC 6598",
            "pod-cidr",
        )
    elif not any(private.contains(pods) for private in _PRIVATE):
        yield _problem(
            "public-range",
            pods,
            "is no private range: not blocked, but not supported, and its owners cannot be reached from pods.",
            "Write a block of RFC 1918 or of 100.64.0.0/10.",
            _OVERLAY,
            "pod-cidr",
        )
    if ranges.node_subnet is None:
        yield _problem(
            "node-subnet-unknown",
            pods,
            "could not be compared with the nodes' subnet, which was not given.",
            "Give it, so that overlap and size are judged.",
            _OVERLAY,
            "pod-cidr",
        )


def _named(ranges: AksRanges) -> Sequence[tuple[str, Block]]:
    named = (
        ("pod-cidr", ranges.pod_cidr),
        ("node-subnet", ranges.node_subnet),
        ("service-cidr", ranges.service_cidr),
    )
    return [(key, block) for key, block in named if block is not None]


def _problem(rule: str, value: object, reason: str, next_step: str, source: str, key: str) -> Problem:  # noqa: PLR0913, PLR0917 - the fields of a problem
    return Problem(rule=rule, value=str(value), reason=reason, next_step=next_step, source=source, key=key)
