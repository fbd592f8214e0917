"""Refuses a change of an origin that what Front Door shows makes a bad one, whatever the stack's state says.

The engine compares the program with its state and sends what differs. An origin that somebody disabled by hand is
enabled in that state, so that the step which disables the other one would leave nobody to answer. The guard runs inside
a hook: right before the provider writes an origin, never in a preview. It reads through the provider of the component.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import pulumi

from components.azure_provider import NOT_FOUND, provider_version
from headroom.planning.front_door import DEFAULT_PRIORITY, DEFAULT_WEIGHT
from headroom.planning.traffic import OriginState, Traffic, change_problem

GET_ORIGIN: Final = "azure-native:cdn:getAFDOrigin"


class BlindChangeError(RuntimeError):
    """An origin that must not be written as things stand; the text says why, and the way on."""


async def refuse_blind_change(
    changed: pulumi.ResourceHookArgs, traffic: Traffic, parent: pulumi.Resource | None = None
) -> None:
    """Returns when the origin that is about to be written may be.

    Args:
        changed: What is about to be made or changed.
        traffic: The shift.
        parent: Whose provider is asked: that of the component.

    Raises:
        BlindChangeError: It would leave no enabled origin, or move more traffic than its step; or it could not be read
            how the origins stand.
    """
    if pulumi.runtime.is_dry_run():
        return
    inputs = changed.new_inputs or {}
    try:
        old, new = await asyncio.gather(*(_live(traffic, origin.name, parent) for origin in (traffic.old, traffic.new)))
    except Exception as error:  # the SDK raises nothing narrower for a failed invoke
        said = " ".join(str(error).split())
        text = f"how the origins of {traffic.origin_group} stand could not be read: {said}.\nNext: repeat the command."
        raise BlindChangeError(text) from error
    live = {traffic.old.name: old, traffic.new.name: new}
    problem = change_problem(traffic, str(inputs["originName"]), origin_state(inputs), live)
    if problem:
        raise BlindChangeError(problem)


def origin_state(found: Mapping[str, Any]) -> OriginState:
    """An origin's state by its properties."""
    weight, priority = found.get("weight"), found.get("priority")
    return OriginState(
        enabled=found.get("enabledState") != "Disabled",
        weight=DEFAULT_WEIGHT if weight is None else int(weight),
        priority=DEFAULT_PRIORITY if priority is None else int(priority),
        host_name=str(found.get("hostName") or ""),
    )


def group_names(traffic: Traffic) -> dict[str, str]:
    """What `cdn:getAFDOriginGroup` takes."""
    return {
        "resourceGroupName": traffic.resource_group,
        "profileName": traffic.profile,
        "originGroupName": traffic.origin_group,
    }


def origin_names(traffic: Traffic, origin: str) -> dict[str, str]:
    """What `cdn:getAFDOrigin` takes."""
    return {**group_names(traffic), "originName": origin}


async def _live(traffic: Traffic, name: str, parent: pulumi.Resource | None) -> OriginState | None:
    """An origin as Front Door has it now; None where it is not there."""
    options = pulumi.InvokeOptions(parent=parent, version=provider_version())
    try:
        found = await pulumi.runtime.invoke_async(GET_ORIGIN, origin_names(traffic, name), options)
    except Exception as error:  # the SDK raises nothing narrower; only "not there" is an answer, all else is raised
        if NOT_FOUND in str(error):
            return None
        raise
    return origin_state(found) if found else None
