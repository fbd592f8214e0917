"""The stack that ends the old cluster: pools to zero, route table off, then the cluster, each a reviewed change."""

from pathlib import Path
from typing import Any, Final

import pulumi
import yaml

from components.retired_cluster import RetiredCluster, RetiredClusterArgs
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.retirement import Retirement, phase_problems, read_retirement
from headroom.planning.traffic import Traffic, read_traffic, retirement_problems
from stacks.aks_traffic import read_gate
from stacks.azure_lookups import look_up, read_subnet
from stacks.azure_settings import now, stacks_folder
from stacks.settings import NAMESPACE, ConfigReader

NAME: Final = "retired"
"""Logical name of the component: it never changes."""


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration; the gate has not passed, the rollback window is
            open, or a phase comes before the one that it needs.
    """
    retirement = read_settings(ConfigReader())
    if retirement.phase != "keep":
        traffic = traffic_of(retirement.traffic_stack, stacks_folder())
        history = read_gate(retirement.traffic_stack, stacks_folder())
        problems = retirement_problems(traffic, history, now(), retirement.rollback_days)
        if problems:
            raise ProblemsError(problems)
    owns_pools = retirement.reached("zero") and not retirement.reached("delete")
    pools = {name: read_pool(retirement, name) for name in retirement.pools} if owns_pools else {}
    subnet = read_subnet(retirement.subnet) if retirement.subnet and retirement.reached("detach") else None
    counts = {name: int(pool.get("count") or 0) for name, pool in pools.items()}
    table = ((subnet or {}).get("routeTable") or {}).get("id")
    problems = phase_problems(retirement, counts=counts, route_table=table)
    if problems:
        raise ProblemsError(problems)
    RetiredCluster(NAME, RetiredClusterArgs(retirement=retirement, subnet=subnet, pools=pools))
    pulumi.export("phase", retirement.phase)
    pulumi.export("next", _NEXT[retirement.phase].format(name=retirement.name))


_NEXT: Final = {
    "keep": "kubectl drain the nodes of {name}; then headroom:phase: zero",
    "zero": "headroom:phase: detach, once nothing of {name} is missed",
    "detach": "headroom:phase: delete",
    "delete": "headroom audit-egress --remove: what only the old address was for",
}


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
    path = folder / f"Pulumi.{stack}.yaml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = Problem(
            rule="traffic-stack",
            key="headroom:trafficStack",
            value=stack,
            reason=f"has no stack file that can be read: {type(error).__name__}.",
            next_step="Name the stack whose traffic was shifted.",
        )
        raise ProblemsError([problem]) from None
    config = (document or {}).get("config") or {}
    prefix = f"{NAMESPACE}:"
    return read_traffic({key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)})


def read_pool(retirement: Retirement, name: str) -> dict[str, Any]:
    """A user pool as Azure shows it now.

    Raises:
        ProblemsError: It is not there, or may not be read.
    """
    return dict(
        look_up(
            "containerservice:getAgentPool",
            f"pool {name}",
            "Look at its name, and at Reader on the cluster.",
            resourceGroupName=retirement.resource_group,
            resourceName=retirement.name,
            agentPoolName=name,
        )
    )
