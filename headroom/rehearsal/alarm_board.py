"""The alarms of a simulated CloudWatch, as they stand: read with DescribeAlarms, fed with GetMetricData."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from headroom.rehearsal.alarm_evaluation import Series, composite_on, metric_queries, watched_alarm

HOUR_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An alarm that changed its state.

    Attributes:
        time: At the end of which period, in seconds since the epoch.
        alarm: Its name.
        on: Whether it is in ALARM now.
    """

    time: float
    alarm: str
    on: bool


@dataclass(slots=True)
class AlarmBoard:
    """Every alarm of some name, and what has become of it hour by hour.

    Attributes:
        cloudwatch: A client.
        alarms: Those on metrics, by name.
        composites: The rules of the composite ones, by name.
        on: Which are in ALARM.
        transitions: Every change, in the order of time.
    """

    cloudwatch: Any
    alarms: Mapping[str, Series]
    composites: Mapping[str, str]
    on: dict[str, bool] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)

    def read_hour(self, begin: float) -> list[Transition]:
        """Takes the values of an hour that is over; the changes of its composite alarms.

        Args:
            begin: When it began: a whole hour, in seconds since the epoch.
        """
        fed = list(self.alarms.values())
        values = self._values(begin, fed)
        changed: list[Transition] = []
        periods = sorted({each.alarm.period for each in fed})
        for end in range(periods[0], HOUR_SECONDS + 1, periods[0]):
            for each, found in zip(fed, values, strict=True):
                if end % each.alarm.period == 0:
                    self._set(each.alarm.name, begin + end, on=each.feed(found.get(end // each.alarm.period - 1)))
            for name, rule in self.composites.items():
                if self._set(name, begin + end, on=composite_on(rule, self.on)):
                    changed.append(self.transitions[-1])
        return changed

    def _set(self, name: str, time: float, *, on: bool) -> bool:
        if self.on[name] == on:
            return False
        self.on[name] = on
        self.transitions.append(Transition(time=time, alarm=name, on=on))
        return True

    def _values(self, begin: float, fed: Sequence[Series]) -> list[dict[int, float]]:
        """The value of each alarm's metric by the number of its period in the hour."""
        window = {
            "StartTime": datetime.fromtimestamp(begin, UTC),
            "EndTime": datetime.fromtimestamp(begin + HOUR_SECONDS, UTC),
        }
        queries = metric_queries(each.alarm for each in fed)
        found: list[dict[int, float]] = [{} for _ in fed]
        for page in self.cloudwatch.get_paginator("get_metric_data").paginate(MetricDataQueries=queries, **window):
            for result in page["MetricDataResults"]:
                number = int(result["Id"][1:])
                for time, value in zip(result["Timestamps"], result["Values"], strict=True):
                    found[number][int((time.timestamp() - begin) // fed[number].alarm.period)] = value
        return found


def read_board(cloudwatch: Any, prefix: str) -> AlarmBoard:
    """The alarms whose names begin so.

    Raises:
        ValueError: One reckons with something that is not known here.
    """
    pages = cloudwatch.get_paginator("describe_alarms")
    described = list(pages.paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"]))
    metric = _named((each for page in described for each in page.get("MetricAlarms", [])), prefix)
    composite = _named((each for page in described for each in page.get("CompositeAlarms", [])), prefix)
    return AlarmBoard(
        cloudwatch=cloudwatch,
        alarms={name: Series(watched_alarm(each)) for name, each in metric.items()},
        composites={name: each["AlarmRule"] for name, each in composite.items()},
        # As INSUFFICIENT_DATA, with which an alarm begins, counts in a composite's rule: not as ALARM.
        on=dict.fromkeys([*metric, *composite], False),
    )


def _named(described: Iterable[Mapping[str, Any]], prefix: str) -> dict[str, Mapping[str, Any]]:
    return {each["AlarmName"]: each for each in described if each["AlarmName"].startswith(prefix)}
