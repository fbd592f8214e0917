"""What stacks on Azure read through the provider, with its credentials."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pulumi

from components.azure_provider import NOT_FOUND, provider_version
from headroom.addresses.problems import Problem, ProblemsError

if TYPE_CHECKING:
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
        return _asked(function, arguments)
    except Exception as error:  # noqa: BLE001 - the SDK raises a plain one for whatever the provider says
        raise _unread(what, error, next_step) from None


def find(function: str, what: str, **arguments: str) -> Mapping[str, Any] | None:
    """The answer of one function of azure-native, or None where what it reads is not there.

    Args:
        function: Such as `network:getSubnet`.
        what: What is looked up, for the problem.
        arguments: What the function takes.

    Raises:
        ProblemsError: It may not be read.
    """
    try:
        return _asked(function, arguments) or None
    except Exception as error:  # noqa: BLE001 - the same
        if NOT_FOUND in str(error):
            return None
        raise _unread(what, error, "Look at Reader on it, and repeat the command.") from None


def _asked(function: str, arguments: Mapping[str, str]) -> Mapping[str, Any]:
    options = pulumi.InvokeOptions(version=provider_version())
    found: Mapping[str, Any] | None = pulumi.runtime.invoke(f"azure-native:{function}", arguments, options).value
    return found or {}


def _unread(what: str, error: Exception, next_step: str) -> ProblemsError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    problem = Problem(rule="lookup", value=what, reason=f"could not be read: {said}.", next_step=next_step)
    return ProblemsError([problem])


class NamedSubnet(Protocol):
    """A subnet that is there or will be, by its names."""

    @property
    def resource_group(self) -> str:
        """The resource group of its VNet."""

    @property
    def vnet(self) -> str:
        """The VNet."""

    @property
    def name(self) -> str:
        """Its own name."""


def subnet_names(subnet: NamedSubnet) -> dict[str, str]:
    """What `network:getSubnet` takes."""
    return {
        "resourceGroupName": subnet.resource_group,
        "virtualNetworkName": subnet.vnet,
        "subnetName": subnet.name,
    }


def read_route_table(identifier: str) -> Mapping[str, Any]:
    """A route table by its ARM id, with its routes and its subnets.

    Raises:
        ProblemsError: It is not there, or may not be read.
    """
    parts = identifier.split("/")
    return look_up(
        "network:getRouteTable",
        f"route table {parts[-1]}",
        "Look at Reader on its resource group; AKS's own is in the cluster's node resource group.",
        resourceGroupName=parts[4],
        routeTableName=parts[-1],
    )


def read_subnet(subnet: "SubnetId") -> Mapping[str, Any]:
    """A subnet as Azure shows it now, every property of it.

    Raises:
        ProblemsError: It is not there, or may not be read.
    """
    found = look_up(
        "network:getSubnet",
        subnet.id,
        "Look at its id, and at Reader on its VNet.",
        **subnet_names(subnet),
    )
    # The function is asked by names, in the provider's own subscription: two of them can have all names in common.
    if str(found.get("id") or "").casefold() != subnet.id.casefold():
        there = str(found.get("id") or "nothing").partition("/resourceGroups/")[0]
        problem = Problem(
            rule="lookup",
            value=subnet.id,
            reason=f"is not where the provider looks, which found {there}.",
            next_step="Set azure-native:subscriptionId to the subnet's subscription.",
        )
        raise ProblemsError([problem])
    return found
