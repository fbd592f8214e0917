"""The end of the old cluster: what its stack file says, and which phase may come when.

The order is the one that works: pools to zero while the cluster can still come back, then the route table off the
subnet, then the cluster. A cluster of kubenet that is deleted first leaves its route table in use, and the deletion
fails with InUseRouteTableCannotBeDeleted (Azure support, error codes of AKS).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headroom.addresses.blocks import listed
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.egress import SubnetId
from headroom.planning.keys import KeyReader, told
from headroom.planning.traffic import ROLLBACK_WINDOW_DAYS

REMEDY: Final = "aks-retire"
KEYS: Final = ("remedy", "oldCluster", "phase", "trafficStack", "rollbackDays")
CLUSTER_FIELDS: Final = ("resourceGroup", "name", "pools", "systemPools", "subnet")
PHASES: Final = ("keep", "zero", "detach", "delete")
"""`keep` owns the cluster and changes nothing; `zero` empties the user pools; `detach` takes the route table off the
subnet and lifts the protection; `delete` deletes the cluster."""

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_POOL: Final = re.compile(r"[a-z][a-z0-9]{0,11}")
_STACK: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_GROUP: Final = re.compile(r"[A-Za-z0-9_.()-]{1,90}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """What the stack file says.

    Attributes:
        resource_group: The old cluster's resource group.
        name: Its name.
        pools: Its user pools, which go to zero.
        system_pools: Its system pools: AKS keeps a node in one, so that they end with the cluster.
        subnet: Its nodes' subnet, which stays; None where AKS made it.
        phase: How far its end has come.
        traffic_stack: The stack that moved its traffic away.
        rollback_days: Days after the last step in which it stays the way back.
    """

    resource_group: str
    name: str
    pools: tuple[str, ...]
    system_pools: tuple[str, ...]
    subnet: SubnetId | None
    phase: str
    traffic_stack: str
    rollback_days: int = ROLLBACK_WINDOW_DAYS

    def reached(self, phase: str) -> bool:
        """Whether the stack asks for this phase or a later one."""
        return PHASES.index(self.phase) >= PHASES.index(phase)


def read_retirement(config: Mapping[str, Any]) -> Retirement:
    """Reads the `headroom:` keys of a stack file, without the namespace.

    Raises:
        ProblemsError: Everything that is wrong with them.
    """
    reader = KeyReader()
    reader.known(config, KEYS)
    fields = reader.mapping("oldCluster", config.get("oldCluster"), CLUSTER_FIELDS)
    pools = {
        key: reader.texts(f"oldCluster.{key}", fields.get(key, []), _POOL, "names of pools")
        for key in ("pools", "systemPools")
    }
    subnet = fields.get("subnet")
    parsed = SubnetId.parse(subnet) if isinstance(subnet, str) else None
    if subnet is not None and parsed is None:
        reader.wrong("oldCluster.subnet", told(subnet), "is no ARM id of a subnet.")
    phase = reader.choice("phase", config.get("phase", PHASES[0]), PHASES)
    days = reader.number("rollbackDays", config.get("rollbackDays", ROLLBACK_WINDOW_DAYS), 1, _MOST_DAYS)
    group = reader.text("oldCluster.resourceGroup", fields.get("resourceGroup"), _GROUP, "a resource group")
    name = reader.text("oldCluster.name", fields.get("name"), _NAME, "a cluster's name")
    stack = reader.text("trafficStack", config.get("trafficStack"), _STACK, "a stack's name")
    if reader.problems:
        raise ProblemsError(reader.problems, subject=REMEDY)
    return Retirement(
        resource_group=group,
        name=name,
        pools=pools["pools"],
        system_pools=pools["systemPools"],
        subnet=parsed,
        phase=phase,
        traffic_stack=stack,
        rollback_days=days,
    )


_MOST_DAYS: Final = 365


def phase_problems(
    retirement: Retirement, *, counts: Mapping[str, int], route_table: str | None, deleted: bool = False
) -> list[Problem]:
    """What keeps the stack's phase from coming, by what Azure shows now.

    Args:
        retirement: What the stack file says.
        counts: Nodes of every user pool.
        route_table: The route table of the subnet; None: none.
        deleted: Whether the cluster is gone already.
    """
    if deleted:
        return []
    problems = []
    running = sorted(name for name, count in counts.items() if count)
    if retirement.reached("detach") and running:
        problems.append(
            _early("detach", f"pool {listed(running)} still has nodes, whose pods lose their way without it", "zero")
        )
    if retirement.reached("delete") and route_table:
        name = route_table.rpartition("/")[2]
        problems.append(
            _early("delete", f"the subnet still has the route table {name}, and the deletion would fail", "detach")
        )
    return problems


def _early(phase: str, because: str, before: str) -> Problem:
    return Problem(
        rule="retire-in-order",
        key="headroom:phase",
        value=phase,
        reason=f"comes too early: {because}.",
        next_step=f"Run `pulumi up` with headroom:phase: {before} first.",
        source="Azure support, error codes of AKS: InUseRouteTableCannotBeDeleted",
    )
