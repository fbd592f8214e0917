"""Known, absent, or unknown with a reason: the three states of every value that somebody had to read.

A known value stands for itself, ``None`` is an answer too ("there is none"), and ``Unknown`` says why there is no
answer. Unknown is never OK: who judges a fact must handle all three.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

T = TypeVar("T")


class Reason(StrEnum):
    """Why a value is unknown."""

    DENIED = "denied"
    """The caller may not read it."""
    THROTTLED = "throttled"
    """The service refused to answer so many calls."""
    UNREACHABLE = "unreachable"
    """The service did not answer, or only in part."""
    UNPARSEABLE = "unparseable"
    """There was an answer, and it makes no sense."""
    NOT_COLLECTED = "not_collected"
    """Nobody asked."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that could not be read.

    Attributes:
        reason: Which kind of failure it was.
        detail: What was asked and what came back, in a few words; no secret.
    """

    reason: Reason = Reason.NOT_COLLECTED
    detail: str = ""

    def __str__(self) -> str:
        words = self.reason.value.replace("_", " ")
        return f"{words} ({self.detail})" if self.detail else words


NOT_COLLECTED = Unknown()

Fact: TypeAlias = T | Unknown | None
"""A value that is known (``T``), absent (``None``) or unknown."""


def known(fact: Fact[T]) -> T | None:
    """The value if it is known, else ``None``: for where absent and unknown really are the same."""
    return None if isinstance(fact, Unknown) else fact


def known_or(fact: Fact[T], default: T) -> T:
    """The value if it is known and there, else the default."""
    return default if fact is None or isinstance(fact, Unknown) else fact


def items(fact: Fact[tuple[T, ...]]) -> tuple[T, ...]:
    """The things that were read; empty where there are none *or* where they are unknown (ask ``is_known`` too)."""
    return known_or(fact, ())


def is_known(fact: object) -> bool:
    """Whether somebody has an answer; "there is none" is one."""
    return not isinstance(fact, Unknown)


def unknowns(facts: Iterable[tuple[str, object]]) -> tuple[tuple[str, Unknown], ...]:
    """Those of the named facts that are unknown, in their order."""
    return tuple((name, fact) for name, fact in facts if isinstance(fact, Unknown))
