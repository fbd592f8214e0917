"""The end of the old cluster: what its stack file says, and which phase may come when.

The order is the one that works: pools to zero while the cluster can still come back, then the route table off the
subnet, then the cluster. A cluster of kubenet that is deleted first leaves its route table in use, and the deletion
fails with InUseRouteTableCannotBeDeleted (Azure support, error codes of AKS).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, Final

from headroom.addresses.blocks import listed
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.egress import SubnetId
from headroom.planning.keys import KeyReader, told
from headroom.planning.traffic import ROLLBACK_WINDOW_DAYS, Traffic

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

    @property
    def next_step(self) -> str:
        """What comes after this phase."""
        if self.phase == PHASES[0]:
            drain = f"{drain_command(self.name, self.pools)}; then " if self.pools else ""
            return f"{drain}headroom:phase: zero"
        return {
            "zero": f"headroom:phase: detach, once nothing of {self.name} is missed",
            "detach": "headroom:phase: delete",
            "delete": "headroom audit-egress --remove: what only the old address was for",
        }[self.phase]


def drain_command(context: str, pools: Sequence[str]) -> str:
    """Ends what still runs on pools, each pod in its own time; all their nodes are cordoned before the first goes.

    AKS names a node's pool in its label kubernetes.azure.com/agentpool (AKS documentation, use-labels). Eviction keeps
    PodDisruptionBudgets (Kubernetes documentation, safely-drain-node).

    Args:
        context: The context of the kubeconfig.
        pools: Their names.
    """
    where = quote(selector(pools))
    return f"kubectl --context {quote(context)} drain --selector {where} --ignore-daemonsets --delete-emptydir-data"


def selector(pools: Sequence[str]) -> str:
    """The nodes of pools, as kubectl selects them."""
    return f"kubernetes.azure.com/agentpool in ({','.join(pools)})"


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
_ERRORS: Final = "Azure support, error codes of AKS: InUseRouteTableCannotBeDeleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class OldCluster:
    """The old cluster as Azure shows it now.

    Attributes:
        overlay: Whether its pods are in an overlay already, as those of the cluster that takes over are.
        node_group: The resource group that AKS made for it, and deletes with it.
        counts: Nodes of every user pool, by its name.
        systems: Names of its system pools.
    """

    overlay: bool
    node_group: str
    counts: Mapping[str, int]
    systems: frozenset[str]


def read_cluster(found: Mapping[str, Any]) -> OldCluster:
    """A cluster out of what ARM answers."""
    profile = found.get("networkProfile") or {}
    pools = found.get("agentPoolProfiles") or []
    return OldCluster(
        overlay=str(profile.get("networkPluginMode") or "").casefold() == "overlay",
        node_group=str(found.get("nodeResourceGroup") or ""),
        counts={str(pool["name"]): int(pool.get("count") or 0) for pool in pools if not _is_system(pool)},
        systems=frozenset(str(pool["name"]) for pool in pools if _is_system(pool)),
    )


def _is_system(pool: Mapping[str, Any]) -> bool:
    return str(pool.get("mode") or "").casefold() == "system"


def made_by_aks(route_table: str, cluster: OldCluster | None) -> bool:
    """Whether a route table is one that AKS made and deletes with the cluster; another one stays where it is."""
    group = re.search(r"/resourceGroups/([^/]+)/", route_table, re.IGNORECASE)
    return cluster is not None and group is not None and group[1].casefold() == cluster.node_group.casefold()


def ends_problems(retirement: Retirement, traffic: Traffic, cluster: OldCluster | None) -> list[Problem]:
    """Whether it is the old cluster at all whose end the stack asks for.

    Args:
        retirement: What the stack file says.
        traffic: The shift that moved its traffic away.
        cluster: The cluster; None: it is not there.
    """
    name, problems = retirement.name, []

    def wrong(key: str, value: str, reason: str, next_step: str) -> None:
        problems.append(
            Problem(rule="old-cluster", key=f"headroom:{key}", value=value, reason=reason, next_step=next_step)
        )

    if traffic.new.cluster.casefold() == name.casefold():
        reason = f"is the cluster behind {traffic.new.name}, which has all requests."
        wrong("oldCluster.name", name, reason, "Name the cluster that they moved away from.")
    elif traffic.old.cluster and traffic.old.cluster.casefold() != name.casefold():
        reason = f"is not the cluster behind {traffic.old.name}, which is {traffic.old.cluster}."
        wrong("oldCluster.name", name, reason, "Name that one, or the stack that moved this one's traffic.")
    if cluster is None:
        if not retirement.reached("delete"):
            wrong("oldCluster.name", name, "is not there.", "Look at its name, and at its resource group.")
        return problems
    if cluster.overlay:
        reason = "has an overlay: it is one that others move to."
        wrong("oldCluster.name", name, reason, "Name the cluster that the traffic moved away from.")
    for pool in sorted(set(cluster.counts) - set(retirement.pools)):
        reason = f"is a user pool of {name} that is not named, and would end with its nodes in use."
        wrong("oldCluster.pools", pool, reason, "Add it.")
    for pool in sorted(set(retirement.pools) & cluster.systems):
        reason = "is a system pool: AKS keeps a node in one."
        wrong("oldCluster.pools", pool, reason, "Name it under oldCluster.systemPools; it ends with the cluster.")
    # A deletion that was cut off has taken some away already.
    needed = () if retirement.reached("delete") else retirement.pools
    for pool in sorted(set(needed) - set(cluster.counts) - cluster.systems):
        wrong("oldCluster.pools", pool, f"is no pool of {name}.", f"Write {listed(sorted(cluster.counts)) or 'none'}.")
    return problems


def phase_problems(
    retirement: Retirement, cluster: OldCluster | None, *, route_table: str | None, shared_with: Sequence[str] = ()
) -> list[Problem]:
    """What keeps the stack's phase from coming, by what Azure shows now.

    Args:
        retirement: What the stack file says.
        cluster: The cluster; None: it is gone already.
        route_table: The route table of the subnet; None: none.
        shared_with: Ids of other subnets that have it too.
    """
    if cluster is None:
        return []
    problems = []
    running = sorted(name for name, count in cluster.counts.items() if count)
    if retirement.reached("detach") and running:
        problems.append(
            _early(
                retirement.phase,
                f"pool {listed(running)} still has nodes, whose pods lose their way without it",
                "zero",
            )
        )
    if route_table is None or not made_by_aks(route_table, cluster):
        return problems
    name = route_table.rpartition("/")[2]
    if retirement.reached("delete"):
        problems.append(
            _early("delete", f"the subnet still has the route table {name}, and the deletion would fail", "detach")
        )
    if retirement.reached("detach") and shared_with:
        others = listed(sorted(each.rpartition("/")[2] for each in shared_with))
        problems.append(
            Problem(
                rule="retire-in-order",
                key="headroom:oldCluster.subnet",
                value=name,
                reason=f"is on {others} too, and the deletion would fail of it.",
                next_step=f"See what uses {others}, and take the table off there: az network vnet subnet update "
                f"--ids {shared_with[0]} --remove routeTable",
                source=_ERRORS,
            )
        )
    return problems


def _early(phase: str, because: str, before: str) -> Problem:
    return Problem(
        rule="retire-in-order",
        key="headroom:phase",
        value=phase,
        reason=f"comes too early: {because}.",
        next_step=f"Run `pulumi up` with headroom:phase: {before} first.",
        source=_ERRORS,
    )
