"""What stacks on Azure read through the provider, with its credentials."""

from collections.abc import Mapping
from typing import Any

import pulumi

from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.egress import SubnetId


def look_up(function: str, what: str, next_step: str, **arguments: str) -> Mapping[str, Any]:
    """The answer of one function of azure-native.

    Args:
        function: Such as `network:getSubnet`.
        what: What is looked up, for the problem.
        next_step: What to do where it is not there or may not be read.
        arguments: What the function takes.

    Raises:
        ProblemsError: It is not there, or may not be read.
    """
    try:
        found = pulumi.runtime.invoke(f"azure-native:{function}", arguments).value
    except Exception as error:  # noqa: BLE001 - the SDK raises a plain one for whatever the provider says
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = Problem(rule="lookup", value=what, reason=f"could not be read: {said}.", next_step=next_step)
        raise ProblemsError([problem]) from None
    return found or {}


def read_subnet(subnet: SubnetId) -> Mapping[str, Any]:
    """A subnet as Azure shows it now, every property of it.

    Raises:
        ProblemsError: It is not there, or may not be read.
    """
    return look_up(
        "network:getSubnet",
        subnet.id,
        "Look at its id, and at Reader on its VNet.",
        resourceGroupName=subnet.resource_group,
        virtualNetworkName=subnet.vnet,
        subnetName=subnet.name,
    )
