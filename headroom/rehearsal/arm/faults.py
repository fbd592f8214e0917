"""Faults that a rehearsal or a test orders: Azure refuses, throttles, stays empty, cuts off, waits, or the caller dies.

An operation is the method and the type, as the request log has it: `PUT Microsoft.Network/natGateways`,
`LIST Microsoft.Network/virtualNetworks/subnets`, `POST Microsoft.ResourceGraph/resources`, `POST logs`, `POST metrics`.
"""

import fnmatch
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from headroom.rehearsal.faults import Moment, Ordered, Queue

EFFECTS: Final = ("deny", "throttle", "fail", "fail-later", "empty", "cut", "delay", "kill")
"""What a fault does.

`deny` answers 403 AuthorizationFailed; `throttle` 429 with Retry-After (`seconds`); `fail` the status and code given;
`fail-later` accepts the change and lets its long-running operation fail with the code; `empty` answers a list, a query
or a metric with nothing; `cut` ends the connection in the middle of the answer; `delay` waits; `kill` kills a process.
After the effect there are `cut`, `fail`, `throttle`, `delay` and `kill`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Ordered):
    """One ordered fault; clients repeat a 429 and most 5xx by themselves.

    Attributes:
        operation: Which operations it meets, with `*` and `?` as in file names, in any case.
        within: What the path has to contain, in any case; empty for every path.
    """

    operation: str
    within: str = ""
    code: str = "InternalServerError"

    @classmethod
    def parse(cls, values: dict[str, Any]) -> "Fault":
        """A fault from JSON values.

        Raises:
            ValueError: A name or value is wrong; the text says which and what would be right.
        """
        return cls.read(values, about="operation", effects=EFFECTS)

    def meets(self, operation: str, path: str, moment: Moment) -> bool:
        """Whether it is about this request."""
        return (
            self.moment == moment
            and fnmatch.fnmatchcase(operation.casefold(), self.operation.casefold())
            and self.within.casefold() in path.casefold()
        )


class Faults(Queue[Fault]):
    """The ordered faults, used up as requests come."""

    def happen(self, operation: str, path: str, moment: Moment) -> list[Fault]:
        """Waits and kills what was ordered for this request at this moment; gives the faults that shape the answer."""
        shaping = []
        for fault in self.due(lambda each: each.meets(operation, path, moment)):
            if fault.effect == "delay":
                time.sleep(fault.seconds)
            elif fault.effect == "kill":
                fault.kill()
                if moment == "before":
                    shaping.append(replace(fault, effect="fail", status=400, code="CallerKilled"))
            else:
                shaping.append(fault)
        return shaping
