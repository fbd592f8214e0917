"""What a rule has to say of a resource, and how it reads one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from headroom.addresses.problems import Problem
from policies.resources import UNKNOWN, Resource

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of one resource; of the whole stack where there is none."""

    resource: Resource | None
    verdict: Problem | Undecided
    key: str = ""
    """The property that it is about, for the line in a file."""

    @property
    def message(self) -> str:
        """One or two sentences, with the resource's name in front where the sentence does not say the value."""
        if isinstance(self.verdict, Undecided) and self.resource is not None:
            return f"{self.resource.name}: {self.verdict}"
        return str(self.verdict)


_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    dict: "a mapping",
}


def known(properties: Mapping[str, Any], name: str) -> Any:
    """The property, None where it is absent, or an `Undecided` where only `up` will show it."""
    value = properties.get(name)
    return Undecided(name) if value is UNKNOWN else value


def read(source: object, path: str, kind: type[T]) -> T | Undecided | None:  # noqa: PLR0911 - one for each way to have no value
    """A value of that type at a path such as `scalingConfig.maxSize`; numbers in the path index lists.

    None where it is absent, `Undecided` where it, or what it lies in, is unknown or of another type. Elements of
    lists and mappings may still be unknown.
    """
    value: Any = source
    for part in path.split("."):
        if value is UNKNOWN:
            return Undecided(path)
        if isinstance(value, list) and part.isdecimal():
            value = value[int(part)] if int(part) < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(part)
        elif value is None:
            return None
        else:
            return Undecided(path, f"cannot be read: what it lies in is not {_KINDS[dict]}.")
    if value is None:
        return None
    if value is UNKNOWN:
        return Undecided(path)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return Undecided(path, f"is not {_KINDS.get(kind, kind.__name__)}.")
    return value
