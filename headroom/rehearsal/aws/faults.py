"""Faults that a rehearsal or a test orders: refuse, delay, or kill the caller around an API action."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

Effect = Literal["fail", "delay", "kill"]
Moment = Literal["before", "after"]

KILLED_CODE = "Rehearsal.CallerKilled"
"""Error code of the answer to a caller that was killed before its action took effect."""

GONE_SECONDS = 0.1
"""How long to wait after a kill, so that whoever talks to the killed process knows that it has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One ordered fault.

    Attributes:
        action: The API action, such as `CreateSubnet`; `*` for every action that changes something.
        effect: `fail` answers with an error, `delay` waits, `kill` kills a process.
        moment: Before the action takes effect (for `fail` and `kill` it then never does), or after it.
        count: How often; every matching call uses one up.
        skip: How many matching calls pass first.
        code: Error code for `fail`.
        message: Error text for `fail`.
        status: HTTP status for `fail`; clients repeat a 5xx by themselves.
        seconds: For `delay`.
        pid: For `kill`.
        group: For `kill`: the whole process group of the pid.
    """

    action: str
    effect: Effect
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
    def parse(cls, values: dict[str, Any]) -> "Fault":
        """A fault from JSON values.

        Raises:
            ValueError: A name or value is wrong; the text says which and what would be right.
        """
        names = [item.name for item in fields(cls)]
        wrong = sorted(set(values) - set(names))
        if wrong:
            raise ValueError(f"a fault has no {', '.join(wrong)}; it has {', '.join(names)}")
        missing = [name for name in ("action", "effect") if name not in values]
        if missing:
            raise ValueError(f"a fault needs {' and '.join(missing)}")
        fault = cls(**values)
        if fault.effect not in ("fail", "delay", "kill"):
            raise ValueError(f"effect: {fault.effect!r} is none of fail, delay, kill")
        if fault.moment not in ("before", "after"):
            raise ValueError(f"moment: {fault.moment!r} is none of before, after")
        if fault.effect == "kill" and fault.pid <= 1:
            raise ValueError(f"pid: {fault.pid} is no process to kill")
        return fault


@dataclass(frozen=True, slots=True)
class Failure:
    """The error to answer with."""

    code: str
    message: str
    status: int


class Faults:
    """The ordered faults, used up as calls come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, fault: Fault) -> None:
        """Add one."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._faults.clear()

    def pending(self) -> list[Fault]:
        """What has not happened yet."""
        with self._lock:
            return list(self._faults)

    def happen(self, action: str, moment: Moment) -> Failure | None:
        """Do what was ordered for this action at this moment; gives the error to answer with, if any."""
        failure: Failure | None = None
        for fault in self._due(action, moment):
            if fault.effect == "delay":
                time.sleep(fault.seconds)
            elif fault.effect == "fail":
                failure = Failure(fault.code, fault.message, fault.status)
            else:
                with suppress(ProcessLookupError):  # it has gone already: as wanted
                    (os.killpg if fault.group else os.kill)(fault.pid, signal.SIGKILL)
                time.sleep(GONE_SECONDS)
                if moment == "before":
                    failure = Failure(KILLED_CODE, f"process {fault.pid} was killed", 400)
        return failure

    def _due(self, action: str, moment: Moment) -> Iterator[Fault]:
        due: list[Fault] = []
        with self._lock:
            for index, fault in enumerate(self._faults):
                if not _matches(fault, action, moment):
                    continue
                if fault.skip:
                    self._faults[index] = replace(fault, skip=fault.skip - 1)
                    continue
                self._faults[index] = replace(fault, count=fault.count - 1)
                due.append(fault)
            self._faults = [fault for fault in self._faults if fault.count > 0]
        return iter(due)


def is_reading(action: str) -> bool:
    """Whether an action changes nothing, by the way AWS names actions."""
    return action.startswith(("Describe", "Get", "List"))


def _matches(fault: Fault, action: str, moment: Moment) -> bool:
    if fault.moment != moment:
        return False
    return fault.action == action or (fault.action == "*" and not is_reading(action))
