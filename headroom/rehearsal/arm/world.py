"""The resources of the simulated Azure, their etags, and the operations on them that take time.

Nothing here runs by itself: what is due is done when the next request comes.
"""

import copy
import itertools
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from headroom.rehearsal.arm.errors import ArmError, properties_of
from headroom.rehearsal.arm.ids import GROUP_TYPE, Path, key_of
from headroom.rehearsal.arm.settings import Settings
from headroom.rehearsal.clock import Clock

Body = dict[str, Any]
Work = Literal["create", "update", "delete"]

ENDED: Final = ("Succeeded", "Failed", "Canceled")
"""States in which a resource comes to rest (Azure Resource Manager documentation, async-operations)."""

_NAMES: Final = uuid.UUID("8f3b6d0e-2f66-5a3c-9f0e-6a1d6c0f2b11")


@dataclass(slots=True, kw_only=True)
class Record:
    """One resource.

    Attributes:
        path: Its id.
        body: What it was PUT as, with what the service filled in: `location`, `tags`, `properties` and so on.
        version: Counts its changes; the etag comes of it.
        api_version: The API version of the request that made it.
        created: When, in simulated seconds.
        hidden: What the simulation remembers of it and Azure does not show.
    """

    path: Path
    body: Body
    api_version: str
    created: float
    version: int = 1
    hidden: dict[str, Any] = field(default_factory=dict)

    @property
    def properties(self) -> Body:
        """Its `properties`, to be changed in place."""
        found: Body = self.body.setdefault("properties", {})
        return found

    @property
    def etag(self) -> str:
        """The etag without quotes, another one after every change."""
        return str(uuid.uuid5(_NAMES, f"{self.path.key}#{self.version}"))


@dataclass(slots=True, kw_only=True)
class Operation:
    """A change that takes time.

    Attributes:
        name: What its status is asked for by.
        path: The resource.
        work: What is done to it.
        begun: When it was accepted.
        ends: When it is over, in simulated seconds.
        error: What it will fail with, or has.
        done: Whether it is over.
    """

    name: str
    path: Path
    work: Work
    begun: float
    ends: float
    error: ArmError | None = None
    done: bool = False

    @property
    def status(self) -> str:
        """As Azure puts it."""
        if not self.done:
            return {"create": "Creating", "update": "Updating", "delete": "Deleting"}[self.work]
        return "Failed" if self.error else "Succeeded"


class World:
    """All that the simulated Azure holds."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.records: dict[str, Record] = {}
        self.children: dict[str, dict[str, None]] = {}
        self.subscriptions: dict[str, str] = {}
        self.operations: dict[str, Operation] = {}
        self.pending: dict[str, Operation] = {}
        """Operations that are not over."""
        self.taken: dict[str, int] = {}
        """Addresses of a subnet that others than AKS hold, by the subnet's key."""
        self.usages: dict[tuple[str, str], list[Body]] = {}
        """Quotas as a scenario sets them, by (subscription and location, namespace)."""
        self.activity: list[Body] = []
        """Entries of the activity log, oldest first."""
        self._types: dict[str, dict[str, None]] = {}
        self._numbers = itertools.count(1)
        self._given: dict[str, set[int]] = {}

    # --- resources ----------------------------------------------------------------------------------------

    def find(self, identifier: str) -> Record | None:
        """A resource by its id, or None."""
        return self.records.get(key_of(identifier)) if identifier else None

    def add(self, record: Record) -> None:
        """Keeps a resource."""
        self.records[record.path.key] = record
        self.children.setdefault(_above(record.path), {})[record.path.key] = None
        self._types.setdefault(record.path.type.casefold(), {})[record.path.key] = None

    def remove(self, record: Record) -> None:
        """Forgets a resource and all below it."""
        for child in list(self.below(record.path.text)):
            self.remove(child)
        self.records.pop(record.path.key, None)
        self.children.get(_above(record.path), {}).pop(record.path.key, None)
        self._types.get(record.path.type.casefold(), {}).pop(record.path.key, None)

    def below(self, identifier: str, type_: str = "") -> Iterator[Record]:
        """The children of a resource, or of a group; those of a type where one is named."""
        for key in list(self.children.get(key_of(identifier), ())):
            record = self.records.get(key)
            if record is not None and (not type_ or record.path.type.casefold() == type_.casefold()):
                yield record

    def of_type(self, type_: str) -> list[Record]:
        """Every resource of a type."""
        return [self.records[key] for key in self._types.get(type_.casefold(), ())]

    def group_of(self, path: Path) -> Record | None:
        """The resource group of a resource."""
        return self.find(f"/subscriptions/{path.subscription}/resourceGroups/{path.group}")

    def referrers(self, type_: str, name: str, identifier: str) -> list[Record]:
        """The resources of a type whose property `name` is `{"id": identifier}`."""
        wanted = key_of(identifier)
        return [
            record
            for record in self.of_type(type_)
            if isinstance(value := record.properties.get(name), Mapping)
            and key_of(str(value.get("id") or "")) == wanted
        ]

    # --- operations ---------------------------------------------------------------------------------------

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return self.clock.now()

    def begin(self, path: Path, work: Work, seconds: float, error: ArmError | None = None) -> Operation:
        """Notes a change that takes time; it is over when `now` has come to its end and `settle` was called."""
        operation = Operation(
            name=str(uuid.uuid5(_NAMES, f"operation {next(self._numbers)}")),
            path=path,
            work=work,
            begun=self.now(),
            ends=self.now() + seconds,
            error=error,
        )
        self.operations[operation.name] = self.pending[operation.name] = operation
        return operation

    def end(self, operation: Operation) -> None:
        """Notes that a change is over."""
        operation.done = True
        self.pending.pop(operation.name, None)

    def due(self) -> list[Operation]:
        """Changes whose time has come, the earliest first."""
        now = self.now()
        found = [operation for operation in self.pending.values() if operation.ends <= now]
        return sorted(found, key=lambda operation: operation.ends)

    # --- what only happens here ---------------------------------------------------------------------------

    def number(self) -> int:
        """A number that nobody had before."""
        return next(self._numbers)

    def identity(self, what: str) -> str:
        """A GUID that is always the same for the same thing."""
        return str(uuid.uuid5(_NAMES, what))

    def draw(self, pool: str, size: int, *, first: int = 0) -> int:
        """The lowest free number of a pool, from `first` up to below `size`.

        Raises:
            IndexError: There is none left.
        """
        given = self._given.setdefault(pool, set())
        for number in range(first, size):
            if number not in given:
                given.add(number)
                return number
        raise IndexError(pool)

    def give_back(self, pool: str, number: int) -> None:
        """A number of a pool is free again."""
        self._given.get(pool, set()).discard(number)


def _above(path: Path) -> str:
    """The key below which a resource is listed: its parent, its scope, its group or its subscription."""
    if path.parent:
        return key_of(path.parent)
    if path.scope:
        return key_of(path.scope)
    if path.type == GROUP_TYPE or not path.group:
        return key_of(f"/subscriptions/{path.subscription}")
    return key_of(f"/subscriptions/{path.subscription}/resourceGroups/{path.group}")


def copied(body: Mapping[str, Any]) -> Body:
    """A copy that shares nothing."""
    return copy.deepcopy(dict(body))


def bare(body: Mapping[str, Any]) -> Body:
    """A body without what only the service writes: id, name, type, etag, systemData."""
    kept = {name: value for name, value in body.items() if name.casefold() not in _SERVICE_NAMES}
    return {**copied(kept), "properties": copied(properties_of(body))} if "properties" in kept else copied(kept)


_SERVICE_NAMES = frozenset({"id", "name", "type", "etag", "systemdata"})
