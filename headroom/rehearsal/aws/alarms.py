"""CloudWatch of the simulated AWS: the composite alarms that moto keeps and has no action for, and months of values.

moto looks through every value that it has for every period that it is asked for. Here values are kept by metric and in
the order of time, so that weeks of them are read in milliseconds.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from moto.cloudwatch import urls
from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import CloudWatchBackend, MetricDatum
from moto.cloudwatch.responses import CloudWatchResponse

NAMED = re.compile(r'(?:ALARM|OK|INSUFFICIENT_DATA)\("([^"]+)"\)')
"""Alarms in the rule of a composite one (CloudWatch API reference, PutCompositeAlarm)."""

STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "Minimum": min,
    "Maximum": max,
    "Sum": sum,
    "SampleCount": lambda values: float(len(values)),
    "Average": lambda values: sum(values) / len(values),
}

Key = tuple[str, str, frozenset[tuple[str, str]]]
_moto_get_metric_data = CloudWatchBackend.get_metric_data


class _Index:
    """The values of one backend by metric, as far as it has been read."""

    def __init__(self) -> None:
        self.values: defaultdict[Key, list[tuple[float, float]]] = defaultdict(list)
        self._read = 0

    def read(self, backend: CloudWatchBackend) -> None:
        """Takes what has come since."""
        for datum in backend.metric_data[self._read :]:
            if isinstance(datum, MetricDatum):
                place = frozenset((each.name or "", each.value or "") for each in datum.dimensions)
                series = self.values[datum.namespace, datum.name, place]
                entry = (_seconds(datum.timestamp), datum.value)
                if series and entry < series[-1]:
                    series.insert(bisect_left(series, entry), entry)
                else:
                    series.append(entry)
        self._read = len(backend.metric_data)


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_indices: dict[int, _Index] = {}


def get_metric_data(
    self: CloudWatchBackend,
    queries: list[dict[str, Any]],
    start_time: datetime,
    end_time: datetime,
    scan_by: str = "TimestampAscending",
) -> list[dict[str, Any]]:
    """GetMetricData; what is more than a statistic of one metric is moto's."""
    stats = [query.get("MetricStat") for query in queries]
    if start_time >= end_time or any(
        stat is None or stat.get("Unit") or stat["Stat"] not in STATISTICS for stat in stats
    ):
        return _moto_get_metric_data(self, queries, start_time, end_time, scan_by)
    index = _indices.setdefault(id(self), _Index())
    index.read(self)
    begin, end = _seconds(start_time), _seconds(end_time)
    answers = []
    for query, stat in zip(queries, stats, strict=True):
        if stat is None:
            continue
        metric, period = stat["Metric"], int(stat["Period"])
        place = frozenset((each["Name"], each["Value"]) for each in metric.get("Dimensions", []))
        series = index.values.get((metric["Namespace"], metric["MetricName"], place), [])
        periods: dict[int, list[float]] = {}
        for time, value in series[bisect_left(series, (begin, 0.0)) : bisect_left(series, (end, 0.0))]:
            periods.setdefault(int((time - begin) // period), []).append(value)
        found = [
            (start_time + timedelta(seconds=number * period), STATISTICS[stat["Stat"]](values))
            for number, values in sorted(periods.items(), reverse=scan_by == "TimestampDescending")
        ]
        answers.append(
            {
                "id": query["Id"],
                "label": query.get("Label") or f"{metric['MetricName']} {stat['Stat']}",
                "timestamps": [time for time, _ in found],
                "values": [value for _, value in found],
                "status_code": "Complete",
            }
        )
    return answers


class RehearsalCloudWatch(CloudWatchResponse):
    """CloudWatch of one Region."""

    def put_composite_alarm(self) -> Any:
        """PutCompositeAlarm; refuses a rule over alarms that are not there, as AWS does (aws-cdk #12662)."""
        there = set(self.cloudwatch_backend.alarms)
        missing = sorted(set(NAMED.findall(self._get_param("AlarmRule"))) - there)
        if missing:
            names = ", ".join(missing)
            raise ValidationError(
                f"Could not save the composite alarm as alarms [{names}] in the alarm rule do not exist"
            )
        return self.put_metric_alarm()


def install() -> None:
    """Puts it in the place of moto's own; once in a process, before the first request."""
    urls.url_paths["{0}/$"] = RehearsalCloudWatch.dispatch
    CloudWatchBackend.get_metric_data = get_metric_data  # type: ignore[method-assign]  # the same, only faster
