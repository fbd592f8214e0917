"""When a CloudWatch alarm goes off: M of N periods, and what missing values count for.

CloudWatch looks at somewhat more periods than N. Where at least N of them have a value, the latest N values decide and
missing ones play no part; where fewer have, the rest is filled up as `TreatMissingData` says (CloudWatch user guide,
alarms-and-missing-data, whose table has five periods for an N of three). So one missed run never rings, and silence
takes two periods longer than N.

CloudWatch does not publish the model of its anomaly bands. Here one is the mean of the same time of the last two weeks,
and so many standard deviations on either side.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Any, Final, Literal

Treatment = Literal["breaching", "notBreaching"]

FURTHER_PERIODS: Final = 2
"""Periods beyond N that are looked at (the same page's table; not promised there)."""

BAND_DAYS: Final = 14
LEAST_BAND_DAYS: Final = 3
"""Days that make a band, and without which there is none."""

_TREATMENTS: Final[Mapping[str, Treatment]] = {"breaching": "breaching", "notBreaching": "notBreaching"}
_BAND: Final = re.compile(r"ANOMALY_DETECTION_BAND\(\w+, ([0-9.]+)\)")
_AHEAD: Final = re.compile(r"(\w+) \+ ([0-9]+) \* DIFF\(\1\)")
_FILL: Final = re.compile(r"FILL\(\w+, ([0-9]+)\)")
_TOKEN: Final = re.compile(r'\s*(?:(ALARM|OK|INSUFFICIENT_DATA)\("([^"]+)"\)|(AND|OR|NOT)\b|([()]))')


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


def states(rule: Rule, values: Sequence[float | None], filled: float | None = None) -> list[bool]:
    """Whether the alarm is in ALARM after each period; before the first one everything is missing.

    Args:
        rule: What it asks for.
        values: The periods' values.
        filled: What stands for a missing value where there are others; None: nothing.
    """
    reach = rule.periods + FURTHER_PERIODS
    padded = [*[None] * reach, *values]
    return [in_alarm(rule, fill(padded[end : end + reach], filled)) for end in range(1, len(values) + 1)]


def fill(latest: Sequence[float | None], filled: float | None) -> Sequence[float | None]:
    """The periods that an alarm looks at as FILL makes them: where none has a value, there is nothing to fill."""
    if filled is None or all(value is None for value in latest):
        return latest
    return [filled if value is None else value for value in latest]


def above_band(value: float | None, same_time: Sequence[float | None], deviations: float) -> float | None:
    """How far a value lies above the lower edge of its band; None where it is missing.

    Args:
        value: The value.
        same_time: Those of the same time of the days before, as many as there are.
        deviations: Half the band's width, in standard deviations.
    """
    if value is None:
        return None
    usual = [each for each in same_time[:BAND_DAYS] if each is not None]
    if len(usual) < LEAST_BAND_DAYS:
        # Without a band there is nothing to be below.
        return 0.0
    return value - fmean(usual) + deviations * max(1.0, pstdev(usual))


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A metric alarm, as DescribeAlarms has it.

    Attributes:
        name: Its name.
        metric: Namespace, name, dimensions and statistic: what GetMetricData asks for as MetricStat, without period.
        period: Seconds.
        rule: When it breaches.
        ahead: Where it compares what would be so many periods later; 0: the value itself.
        deviations: Half the width of the anomaly band that it compares with; 0: none.
        filled: What stands for a missing value where there are others (CloudWatch user guide, using-metric-math, FILL).
    """

    name: str
    metric: Mapping[str, Any]
    period: int
    rule: Rule
    ahead: int = 0
    deviations: float = 0.0
    filled: float | None = None


def watched_alarm(described: Mapping[str, Any]) -> Watched:
    """A metric alarm of DescribeAlarms.

    Raises:
        ValueError: It reckons with something that is not known here.
    """
    expressions = [each["Expression"] for each in described.get("Metrics", []) if each.get("Expression")]
    stat = next((each["MetricStat"] for each in described.get("Metrics", []) if each.get("MetricStat")), None)
    if stat is None:
        stat = {
            "Metric": {name: described[name] for name in ("Namespace", "MetricName", "Dimensions")},
            "Period": described["Period"],
            "Stat": described["Statistic"],
        }
    ahead, deviations, filled = 0, 0.0, None
    for expression in expressions:
        if band := _BAND.fullmatch(expression):
            deviations = float(band[1])
        elif later := _AHEAD.fullmatch(expression):
            ahead = int(later[2])
        elif filling := _FILL.fullmatch(expression):
            filled = float(filling[1])
        else:
            raise ValueError(f"{described['AlarmName']}: {expression}")
    return Watched(
        name=described["AlarmName"],
        metric={"Metric": stat["Metric"], "Stat": stat["Stat"]},
        period=int(stat["Period"]),
        rule=Rule(
            threshold=0.0 if deviations else float(described["Threshold"]),
            below=described["ComparisonOperator"].startswith("LessThan"),
            periods=int(described["EvaluationPeriods"]),
            breaching=int(described.get("DatapointsToAlarm") or described["EvaluationPeriods"]),
            missing=_TREATMENTS[described["TreatMissingData"]],
        ),
        ahead=ahead,
        deviations=deviations,
        filled=filled,
    )


@dataclass(slots=True)
class Series:
    """An alarm that is fed one period after the other.

    Attributes:
        alarm: The alarm.
        on: Whether it is in ALARM.
    """

    alarm: Watched
    on: bool = False
    _compared: deque[float | None] = field(init=False)
    _seen: deque[float | None] = field(default_factory=deque)
    _last: float | None = None

    def __post_init__(self) -> None:
        # Before the first period everything is missing.
        reach = self.alarm.rule.periods + FURTHER_PERIODS
        self._compared = deque([None] * reach, maxlen=reach)

    def feed(self, value: float | None) -> bool:
        """Takes the value of the next period; whether it is in ALARM after it."""
        self._compared.append(self._made(value))
        self.on = in_alarm(self.alarm.rule, fill(list(self._compared), self.alarm.filled))
        return self.on

    def _made(self, value: float | None) -> float | None:
        if self.alarm.deviations:
            day = 86_400 // self.alarm.period
            same_time = [self._seen[-day * number] for number in range(1, len(self._seen) // day + 1)]
            self._seen.append(value)
            while len(self._seen) > day * BAND_DAYS:
                self._seen.popleft()
            return above_band(value, same_time, self.alarm.deviations)
        if self.alarm.ahead:
            before, self._last = self._last, self._last if value is None else value
            return None if value is None or before is None else value + self.alarm.ahead * (value - before)
        return value


def composite_on(rule: str, on: Mapping[str, bool]) -> bool:
    """Whether the rule of a composite alarm holds (CloudWatch API reference, PutCompositeAlarm).

    Args:
        rule: Its AlarmRule.
        on: Whether each alarm that it names is in ALARM; one that is not is OK.

    Raises:
        ValueError: The rule cannot be read.
        KeyError: It names an alarm that is not there.
    """
    tokens = _tokens(rule)
    value = _either(tokens, on)
    if tokens:
        raise ValueError(f"{rule!r} goes on where it should end")
    return value


def _tokens(rule: str) -> deque[tuple[str, str]]:
    found: deque[tuple[str, str]] = deque()
    place = 0
    while rule[place:].strip():
        match = _TOKEN.match(rule, place)
        if match is None:
            raise ValueError(f"{rule!r} cannot be read from {rule[place : place + 20]!r} on")
        found.append((match[1] or match[3] or match[4], match[2] or ""))
        place = match.end()
    return found


def _either(tokens: deque[tuple[str, str]], on: Mapping[str, bool]) -> bool:
    value = _both(tokens, on)
    while tokens and tokens[0][0] == "OR":
        tokens.popleft()
        value = _both(tokens, on) or value
    return value


def _both(tokens: deque[tuple[str, str]], on: Mapping[str, bool]) -> bool:
    value = _one(tokens, on)
    while tokens and tokens[0][0] == "AND":
        tokens.popleft()
        value = _one(tokens, on) and value
    return value


def _one(tokens: deque[tuple[str, str]], on: Mapping[str, bool]) -> bool:
    word, name = tokens.popleft() if tokens else ("", "")
    if word == "NOT":
        return not _one(tokens, on)
    if word == "(":
        value = _either(tokens, on)
        if not tokens or tokens.popleft()[0] != ")":
            raise ValueError("a parenthesis is not closed")
        return value
    if word in {"ALARM", "OK"}:
        return on[name] is (word == "ALARM")
    raise ValueError(f"{word or 'nothing'} stands where an alarm should")


def metric_queries(alarms: Iterable[Watched]) -> list[dict[str, Any]]:
    """What GetMetricData is asked for, in the order of the alarms: each one's metric, by its own period."""
    return [
        {"Id": f"m{number}", "MetricStat": {**alarm.metric, "Period": alarm.period}}
        for number, alarm in enumerate(alarms)
    ]
