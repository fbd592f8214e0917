"""How far node groups may grow: as far as the subnets of every zone still hold an upgrade of the largest.

Neither an autoscaler nor the scheduler knows of addresses (cluster-autoscaler #1366, amazon-vpc-cni-k8s #2846), so the
only brake is the largest number of nodes. What a zone needs is reckoned by `plan_fleet`, as the policy
`node-group-within-capacity` does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.fleet import FleetPlan, FleetSubnet, Nodes, ZoneNeeds, plan_fleet
from headroom.capacity.limits import InstanceLimits, max_pods
from headroom.capacity.pool import NodePool, node_pool
from headroom.capacity.settings import CniSettings

MOST_NODES: Final = 450
"""Nodes of a managed node group, unless the quota was raised (EKS user guide, service-quotas); nobody plans for more
here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingNodes:
    """Nodes whose number something else decides.

    Attributes:
        name: Name of the node group or NodePool.
        limits: Instance limits of the type that takes most addresses.
        zones: Where its nodes start.
        running: As many there are now: no limit goes below.
        wanted: As many as there may be if addresses suffice.
        pods: Pods on the pod network of each; as many as it can have, where it is not given.
        max_pods: Its pod capacity; the advised one where it is not given.
        balanced: Whether its zones get equal shares, as those of an Auto Scaling group do. Karpenter promises none:
            all its nodes may start in one zone.
    """

    name: str
    limits: InstanceLimits
    zones: tuple[str, ...]
    running: int = 0
    wanted: int = MOST_NODES
    pods: int | None = None
    max_pods: int | None = None
    balanced: bool = True

    def in_zone(self, nodes: int) -> int:
        """Nodes that one zone has to be ready for, of so many in all."""
        return ceil(nodes / len(self.zones)) if self.balanced else nodes

    def pool(self, settings: CniSettings) -> NodePool:
        """What one of its nodes takes."""
        pods, most = self.capacity(settings)
        return node_pool(self.limits, settings, pods, max_pods=most)

    def capacity(self, settings: CniSettings) -> tuple[int, int]:
        """Pods of each node, and the most that it can have."""
        advised = max_pods(
            self.limits, prefix_delegation=settings.prefix_delegation, custom_networking=settings.custom_networking
        )
        most = advised.value if self.max_pods is None else self.max_pods
        return (most if self.pods is None else min(self.pods, most)), most

    def text(self, settings: CniSettings, nodes: int) -> str:
        """The arithmetic of one zone: 4 m5.8xlarge x 150 (5 interfaces + 145 addresses for 100 pods)."""
        pool, (pods, _) = self.pool(settings), self.capacity(settings)
        held = f"{pool.secondary_addresses:,} addresses"
        if pool.prefixes:
            held = f"{pool.most_prefixes:,} x {PREFIX_ADDRESSES}"
        return (
            f"{self.in_zone(nodes):,} {self.limits.instance_type} x {pool.most_addresses:,} "
            f"({pool.enis:,} interface{'' if pool.enis == 1 else 's'} + {held} for {pods:,} pods)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLimit:
    """How far one group may grow.

    Attributes:
        nodes: The group.
        limit: The most nodes that it may have.
        addresses: What one of its nodes takes from subnets.
        binding: Zones that one more node would overfill; empty where all that are wanted fit.
    """

    nodes: GrowingNodes
    limit: int
    addresses: int
    binding: tuple[str, ...] = ()

    @property
    def lowered(self) -> bool:
        """Whether fewer than wanted fit."""
        return self.limit < self.nodes.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLimits:
    """How far all groups may grow together.

    Attributes:
        limits: By name.
        plan: What they take at their limits.
        settings: aws-node's.
    """

    limits: Mapping[str, NodeLimit]
    plan: FleetPlan
    settings: CniSettings

    @property
    def short(self) -> tuple[ZoneNeeds, ...]:
        """Zones that what runs already overfills in an upgrade: no limit can help there."""
        return self.plan.short

    def arithmetic(self) -> list[str]:
        """One line a zone: what every group takes there at its limit, and what the subnets hold."""
        lines = []
        for zone in self.plan.zones:
            there = [each for each in self.limits.values() if zone.zone in each.nodes.zones]
            terms = [f"{each.nodes.name}: {each.nodes.text(self.settings, each.limit)}" for each in there]
            if zone.surge_nodes:
                each = zone.surge_addresses // zone.surge_nodes
                terms.append(f"{zone.surge_nodes:,} more in a rolling upgrade x {each:,}")
            holds = "an unknown number" if zone.usable is None else f"{zone.usable:,}"
            lines.append(f"{zone.zone}: {' + '.join(terms)} = {zone.with_upgrade:,} of {holds}{self._tight(zone)}")
        return lines

    def _tight(self, zone: ZoneNeeds) -> str:
        if zone.short_by:
            return f"; {zone.short_by:,} missing"
        if zone.short_of_28s:
            return f"; {zone.short_of_28s:,} whole /28s missing"
        bound = sorted(name for name, each in self.limits.items() if zone.zone in each.binding)
        return f"; binds {', '.join(bound)}" if bound else ""


def node_limits(
    groups: Sequence[GrowingNodes], settings: CniSettings, subnets: Sequence[FleetSubnet], *, surge: int
) -> NodeLimits:
    """The largest numbers of nodes with which every zone still holds an upgrade.

    Where not all that is wanted fits, groups grow in step from what runs towards what is wanted, or towards what each
    could have alone where that is less: each by the same share. Where a zone is full, those that do not start there
    go on.

    Args:
        groups: The groups, with names that differ.
        settings: aws-node's settings.
        subnets: The subnets that they take addresses from.
        surge: Nodes that an upgrade adds in a zone (EKS user guide, managed-node-update-behavior).
    """
    counts = {group.name: group.running for group in groups}

    def plan(of: Mapping[str, int]) -> FleetPlan:
        return plan_fleet(rows(groups, of, settings, subnets), settings, surge=surge, subnets=subnets)

    def fits(of: Mapping[str, int]) -> bool:
        return not plan(of).short

    alone = {
        group.name: counts[group.name]
        + _last(
            lambda taken, name=group.name: fits({**counts, name: counts[name] + taken}),  # type: ignore[misc]  # bound now
            max(0, group.wanted - group.running) if fits(counts) else 0,
        )
        for group in groups
    }
    steps = _steps(groups, alone)
    most = _last(lambda taken: fits(_after(counts, steps[:taken])), len(steps)) if fits(counts) else 0
    counts = _after(counts, steps[:most])
    limits: dict[str, NodeLimit] = {}
    for group in groups:
        if fits(counts):
            # What another zone's subnets keep the others from does not keep this one.
            room = max(0, group.wanted - counts[group.name])
            more = _last(
                lambda taken, name=group.name: fits({**counts, name: counts[name] + taken}),  # type: ignore[misc]  # bound now
                room,
            )
            counts[group.name] += more
    for group in groups:
        one_more = plan({**counts, group.name: counts[group.name] + 1})
        binding = tuple(zone.zone for zone in one_more.short if zone.zone in group.zones)
        limits[group.name] = NodeLimit(
            nodes=group,
            limit=counts[group.name],
            addresses=group.pool(settings).most_addresses,
            binding=binding if counts[group.name] < group.wanted else (),
        )
    return NodeLimits(limits=limits, plan=plan(counts), settings=settings)


def rows(
    groups: Sequence[GrowingNodes], counts: Mapping[str, int], settings: CniSettings, subnets: Sequence[FleetSubnet]
) -> list[Nodes]:
    """The fleet with so many nodes of each group. A node's own subnet is known where its zone has one."""
    own: dict[str, list[str]] = {}
    for subnet in subnets:
        if not subnet.for_pods:
            own.setdefault(subnet.zone, []).append(subnet.id)
    found = []
    for group in groups:
        pods, most = group.capacity(settings)
        for zone in group.zones:
            there = own.get(zone, [])
            found.append(
                Nodes(
                    limits=group.limits,
                    zone=zone,
                    subnet=there[0] if len(there) == 1 else "",
                    count=group.in_zone(counts[group.name]),
                    pods=pods,
                    max_pods=most,
                )
            )
    return found


def cpu_limit(limit: NodeLimit) -> int:
    """The vCPUs that a Karpenter NodePool may have in all (Karpenter documentation, NodePools, spec.limits).

    Karpenter counts them before it launches, but several launches at once may exceed them by a few nodes (the same).

    Raises:
        ValueError: The vCPUs of the instance type are unknown.
    """
    if limit.nodes.limits.vcpus is None:
        raise ValueError(f"the vCPUs of {limit.nodes.limits.instance_type} are unknown")
    return limit.limit * limit.nodes.limits.vcpus


def _steps(groups: Sequence[GrowingNodes], ends: Mapping[str, int]) -> list[str]:
    """One group's name for each node between what runs and its end: all groups come to their ends together."""
    marks = [
        ((number + 0.5) / (ends[group.name] - group.running), group.name)
        for group in groups
        for number in range(ends[group.name] - group.running)
    ]
    return [name for _, name in sorted(marks)]


def _after(counts: Mapping[str, int], steps: Sequence[str]) -> dict[str, int]:
    found = dict(counts)
    for name in steps:
        found[name] += 1
    return found


def _last(holds: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` for which it holds; it holds for 0, and never again once it does not."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
