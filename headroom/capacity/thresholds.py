"""When an alarm on free addresses goes off: when what an upgrade of the largest node group takes no longer fits.

Free addresses of the whole VPC say nothing: a node takes from the subnets of its own zone only. So there is one
threshold a zone and one a subnet, and both come from the model that sizes subnets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from headroom.addresses.problems import Problem
from headroom.capacity.fleet import DEFAULT_SURGE
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.pool import node_pool
from headroom.capacity.settings import CniSettings

Role = Literal["shared", "nodes", "pods", "control-plane"]

ROLES: Final[Mapping[Role, str]] = {
    "shared": "nodes start here, and their pods get addresses here too",
    "nodes": "nodes start here; their pods get addresses elsewhere (custom networking, or excluded from pods)",
    "pods": "pods get addresses here, and no node starts here",
    "control-plane": "only the cluster's own interfaces are here",
}
"""What a subnet is for. A zone's figures are those of the subnets that give pods addresses."""

PODS_IN: Final[frozenset[Role]] = frozenset({"shared", "pods"})
NODES_START_IN: Final[frozenset[Role]] = frozenset({"shared", "nodes"})

UPGRADE_ADDRESSES: Final = 6
"""Free addresses that each of the cluster's subnets has to have; an upgrade of the cluster needs up to five (EKS user
guide, network-reqs)."""

ADVISED_ADDRESSES: Final = 16
"""Free addresses that it had better have (EKS user guide, network-reqs)."""

LEAST_DATAPATH_PERCENT: Final = 90
"""Average availability of a NAT gateway's datapath below which outbound traffic fails (Azure NAT Gateway
documentation, nat-metrics)."""

WARNING_SHARE: Final = 0.10
"""A warning comes this share of the subnet earlier than the critical alarm."""

MOST_SHARE: Final = 0.5
"""No alarm stands above this share of a subnet: where an upgrade needs more, it would never be quiet, and the subnet
is too small, which is said beside it."""

QUOTA_PERCENT: Final = 80.0
"""Of the Region's network interfaces: raising a quota takes days."""

HORIZON_DAYS: Final = 14
"""A subnet that lasts less long is an alarm, unless told otherwise."""


HOLD_HOURS: Final = 24
"""For so long an alarm remembers that something was low. Pods come by day and go by night: an alarm that forgets rings
anew every evening of the last weeks (histories of `benchmarks/alarms.py` with steady growth: 22 times each, and so
once)."""

PACE_HOURS: Final = 3
"""A zone that goes on losing addresses as it just did and is empty sooner falls fast. A morning on which more pods come
and a rolling upgrade are over before; a deploy storm is not."""

PACE_PERIODS: Final = (6, 10)
"""Runs that fall fast, of so many. Both were chosen on other histories than those in the table of
`benchmarks/alarms.py`: fewer hours warn of a storm of two hours too late, more of them of every large deploy. 4 of 5
runs warn of twice as many deploys, and of half of the storms five minutes sooner; 8 of 12 of some an hour too late."""

PACE_MINUTES: Final = 25
"""What a line is laid through that tells the same, where there is one (Prometheus, predict_linear)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """Nodes that are upgraded together.

    Attributes:
        name: Its name.
        limits: Their instance limits.
        surge: Nodes that an upgrade adds in one zone before it takes others away.
        pods: Pods on the pod network of each; as many as it can have, where it is not given.
    """

    name: str
    limits: InstanceLimits
    surge: int = DEFAULT_SURGE
    pods: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SurgeDemand:
    """What an upgrade of one node group takes in a zone before any old node has given anything back.

    Attributes:
        group: The node group.
        nodes: Nodes that it adds.
        addresses: What they take from subnets, their interfaces' own addresses included.
        blocks: The /28s among that.
    """

    group: str
    nodes: int
    addresses: int
    blocks: int

    @property
    def text(self) -> str:
        """The same in words."""
        many = self.nodes != 1
        nodes = f"{self.nodes} node{'s' if many else ''} of {self.group} take{'' if many else 's'}"
        blocks = f", {self.blocks:,} /28s among them" if self.blocks else ""
        return f"{nodes} {self.addresses:,} addresses{blocks}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Below these, of what is free.

    Attributes:
        critical: An upgrade of the largest node group no longer fits.
        warning: It soon will not.
        blocks: The same for /28s; 0 where nodes take none.
        capped: Whether an upgrade takes more than `MOST_SHARE` of the subnet.
    """

    critical: int
    warning: int
    blocks: int = 0
    capped: bool = False

    @property
    def near(self) -> int:
        """Above it nothing is low any more, whatever was: as far above the warning as that is above the critical."""
        return 2 * self.warning - self.critical

    @property
    def near_blocks(self) -> int:
        """The same for /28s."""
        return 2 * self.blocks


def surge_demand(group: NodeGroup, settings: CniSettings) -> SurgeDemand:
    """What an upgrade of a node group takes in a zone."""
    empty = node_pool(group.limits, settings, 0)
    pool = node_pool(group.limits, settings, empty.max_pods if group.pods is None else group.pods)
    return SurgeDemand(
        group=group.name,
        nodes=group.surge,
        addresses=group.surge * pool.most_addresses,
        blocks=group.surge * pool.most_prefixes,
    )


def largest_surge(groups: Iterable[NodeGroup], settings: CniSettings) -> SurgeDemand:
    """That of the node group whose upgrade takes most.

    Raises:
        ValueError: There is no node group.
    """
    return max((surge_demand(group, settings) for group in groups), key=lambda each: (each.addresses, each.group))


def thresholds(surge: SurgeDemand, usable: int, role: Role = "shared") -> Thresholds:
    """The thresholds of a subnet, or of all subnets of a zone together.

    Args:
        surge: What the largest upgrade takes.
        usable: Addresses that the subnet (the zone's subnets) can hold.
        role: What it is for.
    """
    need = {"shared": surge.addresses, "pods": surge.addresses, "nodes": surge.nodes, "control-plane": 0}[role]
    most = int(usable * MOST_SHARE)
    critical = min(max(need, UPGRADE_ADDRESSES), most)
    early = max(ceil(usable * WARNING_SHARE), ADVISED_ADDRESSES - UPGRADE_ADDRESSES)
    if role == "control-plane":
        early = ADVISED_ADDRESSES - UPGRADE_ADDRESSES
    return Thresholds(
        critical=critical,
        warning=min(critical + early, int(usable * (1 + MOST_SHARE) / 2)),
        blocks=min(surge.blocks, most // 16) if role in ("shared", "pods") else 0,
        capped=need > most,
    )


def too_small(name: str, surge: SurgeDemand, usable: int, key: str = "") -> Problem:
    """The warning beside thresholds that are capped."""
    return Problem(
        rule="alarm-threshold-capped",
        key=key,
        value=name,
        reason=f"holds {usable:,} addresses, and in an upgrade {surge.text}: that is more than half of it.",
        next_step="The alarm stands at half of it; plan a larger or a further subnet: `headroom calc subnet --help`.",
        source="EKS user guide, managed-node-update-behavior",
    )
