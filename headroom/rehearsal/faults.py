"""Faults that a rehearsal orders of a simulated cloud: how they are written and used up, and how a caller dies."""

import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Generic, Literal, Self, TypeVar, get_args

Moment = Literal["before", "after"]
"""Before what was asked for takes effect, or after it and before the answer."""

GONE_SECONDS: Final = 0.1
"""How long to wait after a kill, so that whoever talks to the killed process knows that it has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What every ordered fault says; each cloud adds what it is about.

    Attributes:
        effect: What happens; each cloud has its own words, of which all have `fail`, `delay` and `kill`.
        moment: Before what was asked for takes effect, or after it.
        count: How often; every call that it meets uses one up. 0 means every time.
        skip: How many calls that it meets pass first.
        code: Error code for `fail`.
        message: Error text for `fail`.
        status: HTTP status for `fail`; clients repeat some by themselves.
        seconds: Wall seconds for `delay`.
        pid: For `kill`.
        group: For `kill`: the whole process group of the pid.
    """

    effect: str
    moment: Moment = "before"
    count: int = 1
    skip: int = 0
    code: str = "InternalError"
    message: str = "Ordered by the rehearsal."
    status: int = 400
    seconds: float = 0.0
    pid: int = 0
    group: bool = False

    @classmethod
    def read(cls, values: dict[str, Any], *, about: str, effects: Collection[str]) -> Self:
        """A fault from JSON values.

        Args:
            values: By the names of the fields.
            about: The field that says what it meets.
            effects: The effects that there are.

        Raises:
            ValueError: A name or value is wrong; the text says which and what would be right.
        """
        names = [about, *(item.name for item in fields(cls) if item.name != about)]
        wrong = sorted(set(values) - set(names))
        if wrong:
            raise ValueError(f"a fault has no {', '.join(wrong)}; it has {', '.join(names)}")
        missing = [name for name in (about, "effect") if name not in values]
        if missing:
            raise ValueError(f"a fault needs {' and '.join(missing)}")
        fault = cls(**values)
        if fault.effect not in effects:
            raise ValueError(f"effect: {fault.effect!r} is none of {', '.join(effects)}")
        if fault.moment not in get_args(Moment):
            raise ValueError(f"moment: {fault.moment!r} is none of {', '.join(get_args(Moment))}")
        if fault.effect == "kill" and fault.pid <= 1:
            raise ValueError(f"pid: {fault.pid} is no process to kill")
        return fault

    def kill(self) -> None:
        """Kills its process, and waits until that is known."""
        with suppress(ProcessLookupError):  # it has gone already: as wanted
            (os.killpg if self.group else os.kill)(self.pid, signal.SIGKILL)
        time.sleep(GONE_SECONDS)


F = TypeVar("F", bound=Ordered)


class Queue(Generic[F]):
    """The ordered faults, used up as calls come, from any thread."""

    def __init__(self) -> None:
        self._faults: list[F] = []
        self._lock = threading.Lock()

    def order(self, fault: F) -> None:
        """Add one."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._faults.clear()

    def pending(self) -> list[F]:
        """What has not happened yet."""
        with self._lock:
            return list(self._faults)

    def due(self, meets: Callable[[F], bool]) -> list[F]:
        """The faults that a call meets now, in the order in which they were ordered; each is used up once."""
        due: list[F] = []
        with self._lock:
            left: list[F] = []
            for fault in self._faults:
                if not meets(fault):
                    left.append(fault)
                elif fault.skip:
                    left.append(replace(fault, skip=fault.skip - 1))
                else:
                    due.append(fault)
                    if fault.count != 1:
                        left.append(replace(fault, count=max(0, fault.count - 1)))
            self._faults = left
        return due
