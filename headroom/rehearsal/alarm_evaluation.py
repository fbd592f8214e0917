"""When a CloudWatch alarm goes off: M of N periods, and what missing values count for.

CloudWatch looks at somewhat more periods than N. Where at least N of them have a value, the latest N values decide and
missing ones play no part; where fewer have, the rest is filled up as `TreatMissingData` says (CloudWatch user guide,
alarms-and-missing-data, whose table has five periods for an N of three). So one missed run never rings, and silence
takes two periods longer than N.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Treatment = Literal["breaching", "notBreaching"]

FURTHER_PERIODS: Final = 2
"""Periods beyond N that are looked at (the same page's table; not promised there)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an alarm on one metric asks for.

    Attributes:
        threshold: What values are compared with.
        below: Whether values below it breach; else those above it.
        periods: N.
        breaching: M.
        missing: What a missing value counts as.
    """

    threshold: float
    below: bool = True
    periods: int
    breaching: int
    missing: Treatment = "breaching"


def in_alarm(rule: Rule, latest: Sequence[float | None]) -> bool:
    """Whether the alarm is in ALARM after these periods, the latest one last; None is a missing value."""
    looked_at = latest[-(rule.periods + FURTHER_PERIODS) :]
    values = [value for value in looked_at if value is not None][-rule.periods :]
    count = sum(value < rule.threshold if rule.below else value > rule.threshold for value in values)
    if rule.missing == "breaching":
        count += rule.periods - len(values)
    return count >= rule.breaching


def states(rule: Rule, values: Sequence[float | None]) -> list[bool]:
    """Whether the alarm is in ALARM after each period; before the first one everything is missing."""
    reach = rule.periods + FURTHER_PERIODS
    return [in_alarm(rule, values[max(0, end - reach) : end]) for end in range(1, len(values) + 1)]
