"""The stack that ends the old cluster: pools to zero, route table off, then the cluster, each a reviewed change."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pulumi

from components.retired_cluster import RetiredCluster, RetiredClusterArgs
from components.traffic_guard import origin_names, origin_state
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.egress import SubnetId
from headroom.planning.retirement import (
    OldCluster,
    Retirement,
    ends_problems,
    made_by_aks,
    phase_problems,
    read_cluster,
    read_retirement,
)
from headroom.planning.traffic import REMEDY as TRAFFIC
from headroom.planning.traffic import OriginState, Traffic, moved_problems, read_traffic, retirement_problems
from stacks.aks_traffic import read_gate
from stacks.azure_adoption import Candidate, find_existing, theirs
from stacks.azure_lookups import find, read_route_table, read_subnet, subnet_names
from stacks.azure_settings import now, stacks_folder
from stacks.recorded import recorded_resources
from stacks.settings import NAMESPACE, ConfigReader
from stacks.stack_files import beside, config_of

NAME: Final = "retired"
"""Logical name of the component: it never changes."""


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration; the gate has not passed, the rollback window is
            open, Front Door still sends requests to the cluster, it is another cluster, or a phase comes before the one
            that it needs.
    """
    retirement = read_settings(ConfigReader())
    cluster = subnet = None
    own_table = False
    if retirement.phase != "keep":
        folder = stacks_folder()
        traffic = traffic_of(retirement.traffic_stack, folder)
        shifts = {retirement.traffic_stack: traffic, **other_shifts(retirement, traffic, folder)}
        for stack, each in shifts.items():
            refuse(retirement_problems(each, read_gate(stack, folder), now(), retirement.rollback_days))
        cluster = read_cluster_now(retirement)
        moved = [problem for each in shifts.values() for problem in moved_problems(each, read_origins(each))]
        refuse([*moved, *ends_problems(retirement, traffic, cluster)])
    if retirement.subnet and retirement.reached("detach"):
        subnet = read_subnet(retirement.subnet)
        table = (subnet.get("routeTable") or {}).get("id")
        own_table = bool(table) and made_by_aks(str(table), cluster)
        others = other_subnets(str(table), retirement.subnet) if own_table else ()
        refuse(phase_problems(retirement, cluster, route_table=table, shared_with=others))
    else:
        refuse(phase_problems(retirement, cluster, route_table=None))
    adopt = find_existing(candidates(retirement), recorded_resources())
    RetiredCluster(NAME, RetiredClusterArgs(retirement=retirement, subnet=subnet, own_table=own_table, adopt=adopt))
    pulumi.export("phase", retirement.phase)
    pulumi.export("next", retirement.next_step)


def candidates(retirement: Retirement) -> Iterator[Candidate]:
    """What others have made, and this stack ends or leaves."""
    group, cluster = retirement.resource_group, retirement.name
    if not retirement.reached("delete"):
        yield Candidate(
            type="azure-native:containerservice:ManagedCluster",
            name=f"{NAME}-cluster",
            key="headroom:oldCluster.name",
            called=cluster,
            function="containerservice:getManagedCluster",
            arguments={"resourceGroupName": group, "resourceName": cluster},
            foreign=theirs,
            must=True,
        )
        for pool in retirement.pools:
            yield Candidate(
                type="azure-native:containerservice:AgentPool",
                name=f"{NAME}-{pool}",
                key="headroom:oldCluster.pools",
                called=f"pool {pool}",
                function="containerservice:getAgentPool",
                arguments={"resourceGroupName": group, "resourceName": cluster, "agentPoolName": pool},
                foreign=theirs,
                must=True,
            )
    subnet = retirement.subnet
    if subnet is not None:
        yield Candidate(
            type="azure-native:network:Subnet",
            name=f"{NAME}-subnet",
            key="headroom:oldCluster.subnet",
            called=subnet.name,
            function="network:getSubnet",
            arguments=subnet_names(subnet),
            foreign=theirs,
            must=True,
        )


def read_settings(config: ConfigReader) -> Retirement:
    """Reads the configuration.

    Raises:
        ProblemsError: Every problem with its key.
    """
    found: dict[str, Any] = {
        "oldCluster": config.mapping("oldCluster") or None,
        "trafficStack": config.text("trafficStack") or None,
        "rollbackDays": config.integer("rollbackDays", 9),
    }
    phase = config.text("phase")
    if phase:
        found["phase"] = phase
    config.refuse_other_keys("remedy")
    retirement = config.attempt(lambda: read_retirement(found))
    if config.problems or retirement is None:
        raise ProblemsError(config.problems)
    return retirement


def traffic_of(stack: str, folder: Path) -> Traffic:
    """What the stack file of the traffic shift says.

    Raises:
        ProblemsError: It is not there, or is none.
    """
    step = "Mend it, or name the stack whose traffic was shifted under headroom:trafficStack."
    return _traffic(config_of(folder / f"Pulumi.{stack}.yaml", rule="traffic-stack", next_step=step))


def _traffic(config: Mapping[str, Any]) -> Traffic:
    prefix = f"{NAMESPACE}:"
    return read_traffic({key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)})


def other_shifts(retirement: Retirement, traffic: Traffic, folder: Path) -> dict[str, Traffic]:
    """Shifts of other traffic away from the same cluster, by their stack: it ends for all of them.

    A traffic stack has the cluster's name alone, which another subscription or group can have too. So those count whose
    Front Door is beside that of the shift in `trafficStack`; of the others it is said that they are there.

    Raises:
        ProblemsError: The stack file of one of them cannot be read.
    """
    found = {}
    for path in beside(folder, retirement.traffic_stack, TRAFFIC, retirement.name):
        config = config_of(path, rule="traffic-stack")
        if config.get(f"{NAMESPACE}:remedy") != TRAFFIC:
            continue
        other = _traffic(config)
        if other.old.cluster.casefold() != retirement.name.casefold():
            continue
        if _place(other) == _place(traffic):
            found[path.name.removeprefix("Pulumi.").removesuffix(".yaml")] = other
        else:
            pulumi.log.warn(f"{path.name} moves traffic away from a cluster called {retirement.name} too: is it this?")
    return found


def _place(traffic: Traffic) -> tuple[str, str]:
    return traffic.subscription_id.casefold(), traffic.resource_group.casefold()


def refuse(problems: Sequence[Problem]) -> None:
    """Nothing, where there is no problem.

    Raises:
        ProblemsError: There is one.
    """
    if problems:
        raise ProblemsError(problems)


def read_cluster_now(retirement: Retirement) -> OldCluster | None:
    """The cluster as Azure shows it now; None: it is not there.

    Raises:
        ProblemsError: It may not be read.
    """
    found = find(
        "containerservice:getManagedCluster",
        f"cluster {retirement.name}",
        resourceGroupName=retirement.resource_group,
        resourceName=retirement.name,
    )
    return None if found is None else read_cluster(found)


def read_origins(traffic: Traffic) -> dict[str, OriginState | None]:
    """How both origins stand in Front Door now, by name; None: it is not there.

    Raises:
        ProblemsError: They may not be read, or the provider's subscription is another one.
    """
    found: dict[str, OriginState | None] = {}
    for origin in (traffic.old, traffic.new):
        live = find("cdn:getAFDOrigin", f"origin {origin.name}", **origin_names(traffic, origin.name))
        found[origin.name] = None if live is None else origin_state(live)
    return found


def other_subnets(route_table: str, subnet: SubnetId) -> tuple[str, ...]:
    """Other subnets that have a route table.

    Raises:
        ProblemsError: It may not be read.
    """
    ids = (str(each.get("id") or "") for each in read_route_table(route_table).get("subnets") or ())
    return tuple(each for each in ids if each.casefold() != subnet.id.casefold())
