"""What the engine has of the stack that runs, and whose something is that it does not have."""

import time
from collections.abc import Mapping
from typing import Any, Final

import pulumi

from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning import emergency_keys

STACK_TAG: Final = emergency_keys.STACK_TAG
"""Tag of everything that a stack makes, its value "project/stack"."""

Recorded = Mapping[tuple[str, str], Mapping[str, Any]]
"""Outputs of everything in the stack's state, by type and name."""

READ_ATTEMPTS: Final = 5
READ_PAUSE_SECONDS = 0.3
"""The engine may be writing the very file that it is asked to read (file backend: "failed to load checkpoint")."""


def stack_tag() -> str:
    """The value of `STACK_TAG` for the stack that runs."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"


def recorded_resources() -> Recorded | None:
    """What the stack's state holds; None where the engine does not tell (under mocks).

    The engine answers this for any stack of the backend, the one that runs included; the SDK used it for queries
    (pulumi/pulumi `sdk/python/lib/pulumi/runtime/resource_outputs`, resource provider `pulumi:pulumi`).

    Raises:
        ProblemsError: The state could not be read.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    for attempt in range(1, READ_ATTEMPTS + 1):
        try:
            answer = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name}).value
            break
        except Exception as error:  # the SDK raises nothing narrower for a failed invoke
            if attempt == READ_ATTEMPTS:
                raise unreadable("stack", name, error, "Repeat the command.") from error
            time.sleep(READ_PAUSE_SECONDS)
    outputs = answer.get("outputs") if isinstance(answer, Mapping) else None
    if outputs is None:
        return None
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for urn, resource in outputs.items():
        _, _, types, resource_name = urn.split("::", 3)
        found[types.rpartition("$")[2], resource_name] = (resource or {}).get("outputs") or {}
    return found


def unreadable(key: str, value: str, error: Exception, next_step: str) -> ProblemsError:
    """The refusal where something could not be read; what was said stands on one line."""
    said = " ".join(str(error).split())
    return ProblemsError(
        [Problem(rule="unreadable", key=key, value=value, reason=f"could not be read: {said}.", next_step=next_step)],
        subject="configuration",
    )
