"""Faults that a rehearsal or a test orders: Azure refuses, throttles, stays empty, cuts off, waits, or the caller dies.

An operation is the method and the type, as the request log has it: `PUT Microsoft.Network/natGateways`,
`LIST Microsoft.Network/virtualNetworks/subnets`, `POST Microsoft.ResourceGraph/resources`, `POST logs`, `POST metrics`.
"""

import fnmatch
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, get_args

Effect = Literal["deny", "throttle", "fail", "fail-later", "empty", "cut", "delay", "kill"]
Moment = Literal["before", "after"]

GONE_SECONDS: Final = 0.1
"""How long to wait after a kill, so that whoever talks to the killed process knows that it has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One ordered fault.

    Attributes:
        operation: Which operations it meets, with `*` and `?` as in file names, in any case.
        effect: `deny` answers 403 AuthorizationFailed; `throttle` 429 with Retry-After; `fail` the status and code
            given; `fail-later` accepts the change and lets its long-running operation fail with the code; `empty`
            answers a list, a query or a metric with nothing; `cut` ends the connection in the middle of the answer;
            `delay` waits; `kill` kills a process.
        within: What the path has to contain, in any case; empty for every path.
        moment: Before the operation takes effect, or after it (`cut`, `fail`, `throttle`, `delay` and `kill`).
        count: How often; every matching request uses one up. 0 means every time.
        skip: How many matching requests pass first.
        code: Error code for `fail` and `fail-later`.
        message: Error text for them.
        status: HTTP status for `fail`; clients repeat a 429 and most 5xx by themselves.
        seconds: Wall seconds for `delay`, and of Retry-After for `throttle`.
        pid: For `kill`.
        group: For `kill`: the whole process group of the pid.
    """

    operation: str
    effect: Effect
    within: str = ""
    moment: Moment = "before"
    count: int = 1
    skip: int = 0
    code: str = "InternalServerError"
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
        missing = [name for name in ("operation", "effect") if name not in values]
        if missing:
            raise ValueError(f"a fault needs {' and '.join(missing)}")
        fault = cls(**values)
        if fault.effect not in get_args(Effect):
            raise ValueError(f"effect: {fault.effect!r} is none of {', '.join(get_args(Effect))}")
        if fault.moment not in get_args(Moment):
            raise ValueError(f"moment: {fault.moment!r} is none of {', '.join(get_args(Moment))}")
        if fault.effect == "kill" and fault.pid <= 1:
            raise ValueError(f"pid: {fault.pid} is no process to kill")
        return fault

    def meets(self, operation: str, path: str, moment: Moment) -> bool:
        """Whether it is about this request."""
        return (
            self.moment == moment
            and fnmatch.fnmatchcase(operation.casefold(), self.operation.casefold())
            and self.within.casefold() in path.casefold()
        )


class Faults:
    """The ordered faults, used up as requests come."""

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

    def happen(self, operation: str, path: str, moment: Moment) -> list[Fault]:
        """Waits and kills what was ordered for this request at this moment; gives the faults that shape the answer."""
        shaping = []
        for fault in self._due(operation, path, moment):
            if fault.effect == "delay":
                time.sleep(fault.seconds)
            elif fault.effect == "kill":
                with suppress(ProcessLookupError):  # it has gone already: as wanted
                    (os.killpg if fault.group else os.kill)(fault.pid, signal.SIGKILL)
                time.sleep(GONE_SECONDS)
                if moment == "before":
                    shaping.append(replace(fault, effect="fail", status=400, code="CallerKilled"))
            else:
                shaping.append(fault)
        return shaping

    def _due(self, operation: str, path: str, moment: Moment) -> Iterator[Fault]:
        due: list[Fault] = []
        with self._lock:
            left: list[Fault] = []
            for fault in self._faults:
                if not fault.meets(operation, path, moment):
                    left.append(fault)
                elif fault.skip:
                    left.append(replace(fault, skip=fault.skip - 1))
                else:
                    due.append(fault)
                    if fault.count != 1:
                        left.append(replace(fault, count=max(0, fault.count - 1)))
            self._faults = left
        return iter(due)
