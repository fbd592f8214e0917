"""Faults that a rehearsal or a test orders of the simulated AWS: refuse, delay, or kill the caller around an action."""

import time
from dataclasses import dataclass
from typing import Any, Final

from headroom.rehearsal.faults import Moment, Ordered, Queue

EFFECTS: Final = ("fail", "delay", "kill")

KILLED_CODE: Final = "Rehearsal.CallerKilled"
"""Error code of the answer to a caller that was killed before its action took effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Ordered):
    """One ordered fault: `fail` answers with an error, `delay` waits, `kill` kills a process.

    Attributes:
        action: The API action, such as `CreateSubnet`; `*` for every action that changes something.
    """

    action: str

    @classmethod
    def parse(cls, values: dict[str, Any]) -> "Fault":
        """A fault from JSON values.

        Raises:
            ValueError: A name or value is wrong; the text says which and what would be right.
        """
        return cls.read(values, about="action", effects=EFFECTS)

    def meets(self, action: str, moment: Moment) -> bool:
        """Whether it is about this call."""
        about = self.action == action or (self.action == "*" and not is_reading(action))
        return self.moment == moment and about


@dataclass(frozen=True, slots=True)
class Failure:
    """The error to answer with."""

    code: str
    message: str
    status: int


class Faults(Queue[Fault]):
    """The ordered faults, used up as calls come."""

    def happen(self, action: str, moment: Moment) -> Failure | None:
        """Do what was ordered for this action at this moment; gives the error to answer with, if any."""
        failure: Failure | None = None
        for fault in self.due(lambda each: each.meets(action, moment)):
            if fault.effect == "delay":
                time.sleep(fault.seconds)
            elif fault.effect == "fail":
                failure = Failure(fault.code, fault.message, fault.status)
            else:
                fault.kill()
                if moment == "before":
                    failure = Failure(KILLED_CODE, f"process {fault.pid} was killed", 400)
        return failure


def is_reading(action: str) -> bool:
    """Whether an action changes nothing, by the way AWS names actions."""
    return action.startswith(("Describe", "Get", "List"))
