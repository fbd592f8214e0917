"""How many nodes and pods the ranges of an AKS cluster carry: Azure CNI Overlay, and kubenet beside it.

Both give every node a /24 of the pod range. In an overlay AKS counts each pool at its autoscaler's maximum, and
its surge nodes, against those /24s and against the nodes' subnet (Azure/AKS CHANGELOG, 2023-05-07).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from headroom.addresses.azure import (
    OVERLAY_NODE_PREFIX_LENGTH,
    AksRanges,
    azure_usable_addresses,
    check_aks_ranges,
    node_blocks,
    supersets,
)
from headroom.addresses.blocks import Block, shown
from headroom.addresses.problems import Problem, ProblemsError

NetworkMode = Literal["overlay", "kubenet"]

OVERLAY_MAXIMUM_NODES: Final = 5_000
"""Nodes of an AKS cluster with Azure CNI Overlay (AKS documentation, concepts-network-azure-cni-overlay)."""

OVERLAY_MAXIMUM_PODS: Final = 200_000
"""Pods of such a cluster, which its most nodes with their most pods exceed (AKS documentation,
best-practices-performance-scale-large)."""

KUBENET_MAXIMUM_NODES: Final = 400
"""Nodes of a kubenet cluster: each takes a route of the subnet's route table (AKS documentation,
configure-kubenet)."""

KUBENET_RETIRES: Final = "2028-03-31"
"""Day on which AKS retires kubenet (Azure/AKS #4859)."""

NPM_RETIRES: Final = {"Windows": "2026-09-30", "Linux": "2028-09-30"}
"""Days on which AKS retires Azure Network Policy Manager, by the nodes' system (AKS documentation,
use-network-policies)."""

HOST_LOCAL_ADDRESSES: Final = 253
"""Pod addresses that host-local gives out on a node of kubenet: its /24 without the network's own, the gateway's
and the broadcast address (containernetworking/plugins, host-local, allocator.go and range.go)."""

MAX_PODS_RANGE: Final = range(10, 251)
"""What a pool's maxPods may be (AKS documentation, concepts-network-ip-address-planning)."""

LEAST_PODS_OF_A_POOL: Final = 30
"""Pods that the nodes of a pool must have room for together (AKS documentation,
concepts-network-ip-address-planning)."""

DEFAULT_MAX_PODS: Final[dict[NetworkMode, int]] = {"overlay": 250, "kubenet": 110}
"""A pool's maxPods unless told otherwise (AKS documentation, concepts-network-ip-address-planning)."""

DCSV2: Final = re.compile(r"Standard_DC\d+s?_v2", re.IGNORECASE)
"""Sizes of the DCsv2 series, which overlay does not support (AKS documentation, concepts-network-azure-cni-overlay); of
them the largest, Standard_DC8_v2, has no s (Azure VM documentation, dcv2-series)."""

FLAT_DEFAULT_MAX_PODS: Final = 30
"""A pool's maxPods unless told otherwise where pods take addresses of the nodes' subnet (AKS documentation,
concepts-network-ip-address-planning)."""

DEFAULT_SURGE: Final = "10%"
"""Nodes more during an upgrade unless told otherwise, since `PERCENT_SURGE_SINCE` (Azure/AKS CHANGELOG, 2025-03-16)."""

PERCENT_SURGE_SINCE: Final = (1, 32)
"""Since this version of Kubernetes a pool surges by `DEFAULT_SURGE`, before by one node (the same)."""

LARGEST_COUNT: Final = 1_000_000_000
"""Counts above this are slips of the pen."""

_POOL_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,11}", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_PERCENT: Final = re.compile(r"([0-9]{1,3})%", re.ASCII)
_FORM: Final = "NAME:COUNT:MAX:SURGE:MAXPODS"

_CHANGELOG_SIZE: Final = "Azure/AKS CHANGELOG, 2023-05-07"
_PLANNING: Final = "AKS documentation, concepts-network-ip-address-planning"
_OVERLAY: Final = "AKS documentation, concepts-network-azure-cni-overlay"
_KUBENET: Final = "AKS documentation, configure-kubenet"
_EXPAND: Final = "AKS documentation, azure-cni-overlay-pod-expand"
_LARGE: Final = "AKS documentation, best-practices-performance-scale-large"


@dataclass(frozen=True, slots=True)
class Surge:
    """Nodes more while a pool is upgraded: a number, or a percentage of the pool of which parts count as whole.

    Attributes:
        value: Nodes, or percent.
        percent: Which of the two.
    """

    value: int
    percent: bool = False

    @classmethod
    def parse(cls, text: str, *, key: str = "") -> Self:
        """Reads `3` or `10%`.

        Raises:
            ProblemsError: The text is neither.
        """
        found = _PERCENT.fullmatch(text)
        if found and int(found[1]) <= 100:  # noqa: PLR2004 - percent
            return cls(int(found[1]), percent=True)
        if _COUNT.fullmatch(text) and int(text) <= LARGEST_COUNT:
            return cls(int(text))
        problem = Problem(
            rule="surge",
            value=shown(text),
            reason="is no number of surge nodes.",
            next_step="Write a number of nodes such as 3, or a percentage of the pool such as 10%.",
            source="AKS API, AgentPoolUpgradeSettings.maxSurge",
            key=key,
        )
        raise ProblemsError([problem], subject="surge")

    def of(self, nodes: int) -> int:
        """How many nodes that is for a pool of so many."""
        return -(-nodes * self.value // 100) if self.percent else self.value

    def __str__(self) -> str:
        return f"{self.value}%" if self.percent else str(self.value)


def default_surge(version: tuple[int, int] | None) -> Surge:
    """What a pool that names no surge is upgraded with; that of today where the version of Kubernetes is not known."""
    return Surge(1) if version is not None and version < PERCENT_SURGE_SINCE else Surge.parse(DEFAULT_SURGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AksPool:
    """A node pool of AKS.

    Attributes:
        name: Its name.
        count: Nodes now.
        maximum: The autoscaler's maximum, or None without autoscaler.
        surge: Nodes more during an upgrade.
        max_pods: Pods of a node, those on the host network included, or None for the mode's default.
    """

    name: str
    count: int
    maximum: int | None = None
    surge: Surge = Surge(10, percent=True)
    max_pods: int | None = None

    @property
    def most(self) -> int:
        """Nodes at the pool's largest, before surge."""
        return self.count if self.maximum is None else self.maximum

    @property
    def most_with_surge(self) -> int:
        """Nodes at the pool's largest, an upgrade on the way."""
        return self.most + self.surge.of(self.most)

    @classmethod
    def parse(cls, text: str, *, key: str = "") -> Self:
        """Reads `NAME:COUNT:MAX:SURGE:MAXPODS`. All but the first two may be empty or left out.

        Raises:
            ProblemsError: With everything that is wrong with it.
        """
        parts = text.split(":")
        problems: list[Problem] = []
        if not 2 <= len(parts) <= 5:  # noqa: PLR2004 - the parts of the form
            raise ProblemsError(
                [_pool_problem(text, f"has {len(parts)} part{'s' if len(parts) != 1 else ''}.", key)],
                subject="node pool",
            )
        name, count, maximum, surge, max_pods = (*parts, "", "", "")[:5]
        if not _POOL_NAME.fullmatch(name):
            problems.append(_name_problem(name, key))
        numbers = {}
        for field, value in (("COUNT", count), ("MAX", maximum), ("MAXPODS", max_pods)):
            if not value and field != "COUNT":
                continue
            if _COUNT.fullmatch(value) and int(value) <= LARGEST_COUNT:
                numbers[field] = int(value)
            else:
                problems.append(_number_problem(text, field, value, key))
        read_surge = Surge(10, percent=True)
        if surge:
            try:
                read_surge = Surge.parse(surge, key=key)
            except ProblemsError as error:
                problems.extend(error.problems)
        if problems:
            raise ProblemsError(problems, subject="node pool")
        return cls(
            name=name,
            count=numbers["COUNT"],
            maximum=numbers.get("MAX"),
            surge=read_surge,
            max_pods=numbers.get("MAXPODS"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCapacity:
    """What the pod range and the pools come to.

    Attributes:
        nodes: All pools at their largest, an upgrade of all of them on the way.
        capacity: Nodes that the pod range and the limit of the mode allow.
        blocks: /24s of the pod range.
        pods_capacity: Pods that the pools have room for at their largest, without surge nodes, which only stand in
            for others.
        node_addresses: Addresses that the nodes need in their subnet.
        node_subnet_usable: Addresses that their subnet has, or None where it is not known.
        grown: The smallest range that holds all nodes and that the pod range can grow into in place, if it is too
            small and there is one.
        growth: The ranges that it can grow into, smallest first, up to one for as many nodes as a cluster can have.
        problems: What Azure refuses, or what cannot work.
        warnings: What it accepts and somebody may regret.
    """

    nodes: int
    capacity: int
    blocks: int
    pods_capacity: int
    node_addresses: int
    node_subnet_usable: int | None
    grown: Block | None
    growth: tuple[Block, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def cluster_capacity(
    ranges: AksRanges, pools: Sequence[AksPool], *, mode: NetworkMode = "overlay", load_balancer_addresses: int = 0
) -> ClusterCapacity:
    """Judges the ranges of a cluster for its pools.

    Args:
        ranges: The cluster's ranges.
        pools: Its node pools.
        mode: `overlay` for Azure CNI Overlay, or `kubenet`.
        load_balancer_addresses: Front ends of internal load balancers in the nodes' subnet.
    """
    pools = [pool if pool.max_pods is not None else replace(pool, max_pods=DEFAULT_MAX_PODS[mode]) for pool in pools]
    range_problems, range_warnings = check_aks_ranges(ranges)
    limit = OVERLAY_MAXIMUM_NODES if mode == "overlay" else KUBENET_MAXIMUM_NODES
    blocks = node_blocks(ranges.pod_cidr)
    nodes = sum(pool.most_with_surge for pool in pools)
    taken = [block for block in (ranges.node_subnet, ranges.service_cidr) if block is not None]
    growth: list[Block] = []
    for wider in supersets(ranges.pod_cidr, (*taken, *ranges.subnets, *ranges.peers)) if mode == "overlay" else ():
        if growth and node_blocks(growth[-1]) >= limit:
            break  # no cluster is larger
        growth.append(wider)
    usable = None if ranges.node_subnet is None else azure_usable_addresses(ranges.node_subnet)
    found = ClusterCapacity(
        nodes=nodes,
        capacity=min(blocks, limit),
        blocks=blocks,
        pods_capacity=sum(pool.most * _pods_of_a_node(pool, mode) for pool in pools),
        node_addresses=nodes + load_balancer_addresses,
        node_subnet_usable=usable,
        grown=next((block for block in growth if blocks < nodes <= node_blocks(block)), None),
        growth=tuple(growth),
        problems=(),
        warnings=(),
    )
    return replace(
        found,
        problems=(*range_problems, *_pool_problems(pools), *_size_problems(ranges, found, mode)),
        warnings=(*range_warnings, *_size_warnings(ranges, found, mode)),
    )


def _pods_of_a_node(pool: AksPool, mode: NetworkMode) -> int:
    most = MAX_PODS_RANGE[-1] if mode == "overlay" else min(MAX_PODS_RANGE[-1], HOST_LOCAL_ADDRESSES)
    return min(pool.max_pods or 0, most)


def _pool_problems(pools: Sequence[AksPool]) -> Iterator[Problem]:
    names = [pool.name for pool in pools]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield Problem(
                rule="pool-twice",
                value=shown(name),
                reason="is given more than once.",
                next_step="Give each node pool once.",
                key="pool",
            )
    if not pools:
        yield Problem(
            rule="pools-missing",
            value="The cluster",
            reason="has no node pool here.",
            next_step=f"Give each of its pools: {_FORM}.",
            key="pool",
        )
    for pool in pools:
        max_pods = pool.max_pods or 0
        if max_pods not in MAX_PODS_RANGE:
            yield Problem(
                rule="max-pods-range",
                value=f"{shown(pool.name)}: maxPods {max_pods}",
                reason=f"is not within {MAX_PODS_RANGE[0]} to {MAX_PODS_RANGE[-1]}.",
                next_step="Write a number within it. It is fixed for the life of a pool.",
                source=_PLANNING,
                key="pool",
            )
        elif pool.count > 0 and pool.count * max_pods < LEAST_PODS_OF_A_POOL:
            yield Problem(
                rule="pool-too-small",
                value=shown(pool.name),
                reason=f"has room for {pool.count * max_pods} pods; AKS asks for {LEAST_PODS_OF_A_POOL} a pool.",
                next_step=f"Give it {-(-LEAST_PODS_OF_A_POOL // max_pods)} nodes, or more pods a node.",
                source=_PLANNING,
                key="pool",
            )
        if pool.maximum is not None and pool.maximum < pool.count:
            yield Problem(
                rule="pool-maximum",
                value=f"{shown(pool.name)}: autoscaler maximum {pool.maximum:,}",
                reason=f"is below its {pool.count:,} nodes.",
                next_step="Give a maximum that is not below the count.",
                key="pool",
            )


def _size_problems(ranges: AksRanges, found: ClusterCapacity, mode: NetworkMode) -> Iterator[Problem]:
    limit = OVERLAY_MAXIMUM_NODES if mode == "overlay" else KUBENET_MAXIMUM_NODES
    pods = ranges.pod_cidr
    if found.nodes > found.blocks and found.blocks:
        # A cluster above the limit of nodes is told so below; the range need not hold more.
        needed = min(found.nodes, limit)
        length = OVERLAY_NODE_PREFIX_LENGTH - (needed - 1).bit_length()
        yield Problem(
            rule="pod-cidr-full",
            value=str(pods),
            reason=f"has {found.blocks:,} /{OVERLAY_NODE_PREFIX_LENGTH}s, and all pools at their largest have "
            f"{found.nodes:,} nodes with surge"
            + (
                ": AKS answers InsufficientSubnetSize, target networkProfile.podCIDR."
                if mode == "overlay"
                else ": AKS answers InsufficientPodCidr where it counts them before it makes them."
            ),
            next_step=_room(found, length, mode),
            source=f"{_CHANGELOG_SIZE}; {_EXPAND}" if mode == "overlay" else f"{_KUBENET}; AKS-Construction #357",
            key="pod-cidr",
        )
    if found.nodes > limit:
        yield Problem(
            rule="cluster-too-large",
            value=f"{found.nodes:,} nodes",
            reason=f"are more than the {limit:,} of a cluster with "
            + ("Azure CNI Overlay." if mode == "overlay" else "kubenet, which needs a route for each."),
            next_step="Lower the maxima of the pools, or use several clusters."
            if mode == "overlay"
            else f"Move to Azure CNI Overlay, which takes {OVERLAY_MAXIMUM_NODES:,}, or use several clusters.",
            source=_OVERLAY if mode == "overlay" else _KUBENET,
            key="pool",
        )
    usable = found.node_subnet_usable
    if usable is not None and found.node_addresses > usable:
        length = 32 - (found.node_addresses + 4).bit_length()
        held = found.node_addresses - found.nodes
        others = f", {held:,} of them held by load balancers and others" if held else ""
        yield Problem(
            rule="node-subnet-full",
            value=str(ranges.node_subnet),
            reason=f"has {usable:,} addresses for nodes, and all pools at their largest need "
            f"{found.node_addresses:,} with surge{others}: AKS answers InsufficientSubnetSize, target vnetSubnetID.",
            next_step=f"Take a /{length} or larger, or lower the maxima of the pools.",
            source=f"{_CHANGELOG_SIZE}; {_OVERLAY}",
            key="node-subnet",
        )


def _room(found: ClusterCapacity, length: int, mode: NetworkMode) -> str:
    if found.grown is not None:
        return (
            f"Grow it to {found.grown}, which Azure does in place for clusters without Windows nodes, "
            "or lower the maxima of the pools."
        )
    if mode == "kubenet":
        return f"A /{length} would do, but kubenet cannot grow its range: move to Azure CNI Overlay with one."
    blocked = "no larger range that contains it is free of conflicts"
    if found.growth:
        blocked = f"it cannot grow beyond {found.growth[-1]} without a conflict"
    return f"A /{length} would do, but {blocked}: lower the maxima, or build the cluster anew with a /{length}."


def _size_warnings(ranges: AksRanges, found: ClusterCapacity, mode: NetworkMode) -> Iterator[Problem]:
    pods = ranges.pod_cidr
    if mode == "kubenet":
        yield Problem(
            rule="kubenet-retires",
            value="kubenet",
            reason=f"is retired on {KUBENET_RETIRES}.",
            next_step="Plan the move to Azure CNI Overlay.",
            source="Azure/AKS #4859",
        )
    limit = OVERLAY_MAXIMUM_NODES if mode == "overlay" else KUBENET_MAXIMUM_NODES
    if mode == "overlay" and found.pods_capacity > OVERLAY_MAXIMUM_PODS:
        yield Problem(
            rule="pods-beyond-limit",
            value=f"{found.pods_capacity:,} pods",
            reason=f"would fit by maxPods, and a cluster runs {OVERLAY_MAXIMUM_PODS:,}, however many nodes it has.",
            next_step="Count the pods that there will be; above that use several clusters.",
            source=_LARGE,
            key="pool",
        )
    if found.blocks > limit and mode == "overlay":
        needed = OVERLAY_NODE_PREFIX_LENGTH - (limit - 1).bit_length()
        yield Problem(
            rule="pod-cidr-too-large",
            value=str(pods),
            reason=f"has {found.blocks:,} /{OVERLAY_NODE_PREFIX_LENGTH}s, and a cluster has at most {limit:,} nodes.",
            next_step=f"A /{needed} is enough, and leaves more to others.",
            source=_OVERLAY,
            key="pod-cidr",
        )
    if mode == "overlay" and not found.growth and found.nodes <= found.blocks < limit:
        yield Problem(
            rule="pod-cidr-no-growth",
            value=str(pods),
            reason="cannot grow: every larger range that contains it has a conflict.",
            next_step="Place it where the next larger range is free, if the cluster may have to grow.",
            source=_EXPAND,
            key="pod-cidr",
        )


def _pool_problem(text: str, reason: str, key: str) -> Problem:
    return Problem(
        rule="pool-form",
        value=shown(text),
        reason=reason,
        next_step=f"Write {_FORM}, such as apps:10:50:10%:250; MAX, SURGE and MAXPODS may be empty.",
        key=key,
    )


def _name_problem(name: str, key: str) -> Problem:
    return Problem(
        rule="pool-name",
        value=shown(name),
        reason="is no name of a node pool.",
        next_step="Write up to 12 small letters and digits, a letter first.",
        source="AKS documentation, use-system-pools",
        key=key,
    )


def _number_problem(text: str, field: str, value: str, key: str) -> Problem:
    return _pool_problem(text, f"has {shown(value)} where its {field} should be.", key)
