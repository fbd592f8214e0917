"""Finds what is there already and the engine does not know, so that it is taken over instead of refused.

azure-native never creates what exists ("cannot create already existing resource", pulumi-azure-native,
provider/pkg/azure/client_azcore.go, CanCreate), so an `up` that was cut off between Azure's answer and the engine's
record could not be repeated. What a stack is for and others have made (the subnet behind a gateway, the old cluster,
the origins of a Front Door) is taken over the same way. Reads through the provider, with its credentials, and nothing
where the state is complete.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi

from headroom.addresses.problems import Problem, ProblemsError
from stacks.azure_lookups import find
from stacks.recorded import STACK_TAG, Recorded, stack_tag

Found = Mapping[str, Any]
"""A resource as a function of azure-native shows it."""

AT_REST: Final = frozenset({"Succeeded", "Failed", "Canceled"})
"""States in which Azure has stopped working on a resource (Azure Resource Manager documentation, async-operations);
the update that follows a take-over mends one that has failed."""


def theirs(found: Found) -> str:
    """What belongs to others, and is taken over as it is."""
    del found
    return ""


def tagged(found: Found) -> str:
    """What carries this stack's tag was made by it."""
    tags = found.get("tags") or {}
    owner = next((value for name, value in tags.items() if name.casefold() == STACK_TAG), None)
    if owner == stack_tag():
        return ""
    return f"is there already, made by {f'the stack {owner}' if owner else 'something else'}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that the stack declares, and that may be there.

    Attributes:
        type: Its type in the program.
        name: Its name in the program.
        key: Where the stack file names it.
        called: Its name in Azure.
        function: The function of azure-native that reads it, such as `network:getSubnet`.
        arguments: What the function takes.
        foreign: Says why one that is there cannot be taken over; empty where it can.
        next_step: What to do where it cannot be.
        must: Whether it has to be there: the stack does not make it.
    """

    type: str
    name: str
    key: str
    called: str
    function: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    foreign: Callable[[Found], str] = tagged
    next_step: str = ""
    must: bool = False


def find_existing(candidates: Iterable[Candidate], state: Recorded | None) -> dict[str, str]:
    """Import ids of what is there and not in the stack's state, by the name in the program.

    Args:
        candidates: What may be there.
        state: What the engine has of the stack; None where it does not tell, and nothing is looked up.

    Raises:
        ProblemsError: Something is not this stack's to take over, Azure is still at work on it, or it could not be
            read.
    """
    if state is None:
        return {}
    adopted: dict[str, str] = {}
    problems: list[Problem] = []
    for candidate in candidates:
        if (candidate.type, candidate.name) in state:
            continue
        found = find(candidate.function, candidate.called, **candidate.arguments)
        problem = _wrong(candidate, found)
        if problem is not None:
            problems.append(problem)
        elif found is not None:
            adopted[candidate.name] = _spelt(str(found["id"]), candidate.arguments)
            if candidate.foreign is not theirs and not candidate.must:
                pulumi.log.info(f"{candidate.called} is there, made by a run that was cut off: it is taken over.")
    if problems:
        raise ProblemsError(problems, subject="configuration")
    return adopted


def _spelt(identifier: str, arguments: Mapping[str, str]) -> str:
    """An id with our spelling of its names: Azure may write them in another case, and they would be others then.

    Args:
        identifier: The id, as Azure writes it.
        arguments: Its names, in the order in which they stand in an id.
    """
    words, left = identifier.split("/"), list(arguments.values())
    # /subscriptions/S/resourceGroups/G/providers/P/type/NAME/…: every second word is a value, and the others are fixed.
    for place in range(2, len(words), 2):
        ours = next((each for each in left if each.casefold() == words[place].casefold()), None)
        if ours is not None:
            words[place] = ours
            # A group and what is in it may differ in nothing but the case.
            left.remove(ours)
    return "/".join(words)


_OVER: Final = {"Creating": "--created", "Deleting": "--deleted"}
"""What `az resource wait` is told to wait for."""


def _wrong(candidate: Candidate, found: Found | None) -> Problem | None:
    """What keeps it from being taken over, or from being made."""
    if found is None:
        if not candidate.must:
            return None
        return Problem(
            rule="lookup",
            key=candidate.key,
            value=candidate.called,
            reason="is not there, and this stack does not make it.",
            next_step="Look at its name, its resource group and its subscription.",
        )
    reason = candidate.foreign(found)
    if reason:
        step = candidate.next_step or (
            f"Give it another name in the stack file; or, where it is yours, tag it {STACK_TAG}={stack_tag()} and "
            "repeat the command: then it is taken over."
        )
        return Problem(rule="made-by-others", key=candidate.key, value=candidate.called, reason=reason, next_step=step)
    state = str(found.get("provisioningState") or "Succeeded")
    if state in AT_REST:
        return None
    over = _OVER.get(state, "--updated")
    return Problem(
        rule="operation-in-progress",
        key=candidate.key,
        value=candidate.called,
        reason=f"is {state}: Azure goes on with what was begun.",
        next_step=f"Repeat the command when this has returned: az resource wait {over} --ids {found['id']}",
    )
