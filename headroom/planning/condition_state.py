"""How a postcondition stands, and the words for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headroom.facts.values import Unknown
from headroom.planning.plan import Postcondition

LISTED: Final = 5
"""Things that a sentence names before it counts the rest."""


class State(StrEnum):
    """Whether a condition holds."""

    MET = "met"
    WAITING = "waiting"
    """Not yet, and it may still come."""
    FAILED = "failed"
    """It does not hold, and waiting does not change that."""
    UNKNOWN = "unknown"
    """What it needs could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionState:
    """A condition and how it stands.

    Attributes:
        condition: The condition.
        state: How it stands.
        because: The reading, in one sentence.
    """

    condition: Postcondition
    state: State
    because: str


def decided(condition: Postcondition, state: State, because: str) -> ConditionState:
    """A condition that could be judged."""
    return ConditionState(condition=condition, state=state, because=because)


def undecided(condition: Postcondition, what: str, fact: object) -> ConditionState:
    """A condition of which something could not be read."""
    told = fact if isinstance(fact, Unknown) else "not there"
    return ConditionState(condition=condition, state=State.UNKNOWN, because=f"{what}: {told}.")


def some(names: Sequence[str]) -> str:
    """The first of them, and how many there are besides."""
    shown = ", ".join(names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"
