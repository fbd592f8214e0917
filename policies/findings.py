"""What a rule has to say of a resource."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulumi_policy.proxy import UnknownValueError

from headroom.addresses.problems import Problem


@dataclass(frozen=True, slots=True)
class Undecided:
    """A rule could not judge.

    Attributes:
        unknown: What it had to know.
        reason: Why it did not.
    """

    unknown: str
    reason: str = "is not known before `up`."

    def __str__(self) -> str:
        return f"undecided: {self.unknown} {self.reason}"


Finding = Problem | Undecided


def known(properties: Mapping[str, Any], name: str) -> Any:
    """The property, None where it is absent, or an `Undecided` where only `up` will show it.

    The SDK raises when an unknown is read, and would turn the whole policy into one advisory line.
    """
    try:
        return properties.get(name)
    except UnknownValueError:
        return Undecided(name)
