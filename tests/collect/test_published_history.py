"""The published history of many subnets: how often CloudWatch is asked for it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headroom.capacity.watch import Metric
from headroom.collect.published import READ, read_published

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 3, tzinfo=UTC)
SUBNETS = 1000


class CloudWatch:
    """A thousand subnets in three zones, and one value of each."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.queries = 0

    def get_paginator(self, name: str) -> Any:
        self.calls[name] += 1
        pages = {"list_metrics": self._listed, "get_metric_data": self._values}[name]
        return type("Pages", (), {"paginate": staticmethod(pages)})

    def _listed(self, **_: Any) -> Iterator[dict[str, Any]]:
        places = [("us-east-1" + "abc"[number % 3], f"subnet-{number}") for number in range(SUBNETS)]
        metrics = [
            {
                "MetricName": str(metric),
                "Dimensions": [
                    {"Name": "ClusterName", "Value": "c"},
                    {"Name": "AvailabilityZone", "Value": zone},
                    {"Name": "SubnetId", "Value": subnet},
                ],
            }
            for zone, subnet in places
            for metric in (*READ, Metric.LEAKED_INTERFACES)
        ]
        for first in range(0, len(metrics), 500):
            yield {"Metrics": metrics[first : first + 500]}

    def _values(self, **asked: Any) -> Iterator[dict[str, Any]]:
        queries = asked["MetricDataQueries"]
        self.calls["pages"] += 1
        self.queries += len(queries)
        hours = (asked["EndTime"] - asked["StartTime"]).total_seconds() / 3600
        assert len(queries) <= 500
        assert len(queries) * hours <= 100_800, "more values than one answer holds"
        yield {"MetricDataResults": [{"Id": each["Id"], "Timestamps": [NOW], "Values": [7.0]} for each in queries]}


def test_the_history_of_a_thousand_subnets_is_asked_for_in_as_few_calls_as_the_api_allows() -> None:
    cloudwatch = CloudWatch()
    found = read_published(cloudwatch, "c", namespace="Headroom", days=56, now=NOW)
    assert len(found) == cloudwatch.queries == SUBNETS * len(READ)
    # 75 histories of eight weeks of hours fill an answer.
    assert cloudwatch.calls["pages"] == -(-SUBNETS * len(READ) // 75)
    assert {each.readings[0].value for each in found} == {7.0}
    places = {(each.zone, each.subnet, each.metric) for each in found}
    assert len(places) == len(found), "nothing twice"
