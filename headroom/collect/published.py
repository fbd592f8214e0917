"""What the watch stack has published: the history of free addresses, by zone and subnet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from headroom.capacity.forecast import Reading
from headroom.capacity.watch import (
    CLUSTER_DIMENSION,
    HISTORY_PERIOD_SECONDS,
    SUBNET_DIMENSION,
    ZONE_DIMENSION,
    Metric,
)

IAM_ACTIONS: Final = ("cloudwatch:GetMetricData", "cloudwatch:ListMetrics")
"""What the reader's role needs."""

READ: Final = (
    Metric.FREE_ADDRESSES,
    Metric.FREE_PERCENT,
    Metric.FREE_PREFIX_BLOCKS,
    Metric.HELD_ADDRESSES,
    Metric.RESERVED_ADDRESSES,
)
"""The metrics that are read; the percent says how much there can be, the last two what takes it."""

QUERIES_PER_CALL: Final = 500
POINTS_PER_CALL: Final = 100_800
"""Queries that one GetMetricData takes, and data points that it answers (CloudWatch API reference, GetMetricData)."""

MOST_DAYS: Final = 455
"""How long CloudWatch keeps the values of an hour (CloudWatch API reference, GetMetricData)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One metric's history.

    Attributes:
        zone: The zone.
        subnet: The subnet; empty for the zone's own metric.
        metric: Which metric.
        readings: The lowest value of every hour, in no order.
    """

    zone: str
    subnet: str
    metric: Metric
    readings: Sequence[Reading]


def read_published(cloudwatch: Any, cluster: str, *, namespace: str, days: int, now: datetime) -> list[History]:
    """The histories of a cluster's zones and subnets, by zone, subnet and metric.

    Args:
        cloudwatch: A client of the cluster's Region.
        cluster: The cluster's name.
        namespace: What the watch stack publishes to.
        days: How far back.
        now: The end.

    Raises:
        botocore.exceptions.ClientError: CloudWatch refused a call.
    """
    places = sorted(_places(cloudwatch, cluster, namespace))
    per_call = max(1, min(QUERIES_PER_CALL, POINTS_PER_CALL // (days * 86_400 // HISTORY_PERIOD_SECONDS)))
    readings: list[list[Reading]] = [[] for _ in places]
    window = {"StartTime": now - timedelta(days=days), "EndTime": now}
    pages = cloudwatch.get_paginator("get_metric_data")
    for first in range(0, len(places), per_call):
        queries = [
            {"Id": f"m{number}", "MetricStat": _stat(namespace, cluster, *place)}
            for number, place in enumerate(places[first : first + per_call], start=first)
        ]
        for page in pages.paginate(MetricDataQueries=queries, **window):
            for result in page["MetricDataResults"]:
                readings[int(result["Id"][1:])] += [
                    Reading(time.timestamp(), value)
                    for time, value in zip(result["Timestamps"], result["Values"], strict=True)
                ]
    return [
        History(zone=zone, subnet=subnet, metric=Metric(metric), readings=history)
        for (zone, subnet, metric), history in zip(places, readings, strict=True)
    ]


def _places(cloudwatch: Any, cluster: str, namespace: str) -> set[tuple[str, str, str]]:
    """Zone, subnet and metric of all that is published for the cluster."""
    pages = cloudwatch.get_paginator("list_metrics")
    named = [{"Name": CLUSTER_DIMENSION, "Value": cluster}]
    found = set()
    for page in pages.paginate(Namespace=namespace, Dimensions=named):
        for item in page["Metrics"]:
            place = {each["Name"]: each["Value"] for each in item["Dimensions"]}
            known = place.keys() <= {CLUSTER_DIMENSION, ZONE_DIMENSION, SUBNET_DIMENSION}
            if item["MetricName"] in READ and known and ZONE_DIMENSION in place and place[CLUSTER_DIMENSION] == cluster:
                found.add((place[ZONE_DIMENSION], place.get(SUBNET_DIMENSION, ""), item["MetricName"]))
    return found


def _stat(namespace: str, cluster: str, zone: str, subnet: str, metric: str) -> dict[str, Any]:
    place = {CLUSTER_DIMENSION: cluster, ZONE_DIMENSION: zone, SUBNET_DIMENSION: subnet}
    dimensions = [{"Name": name, "Value": value} for name, value in place.items() if value]
    found = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
    return {"Metric": found, "Period": HISTORY_PERIOD_SECONDS, "Stat": "Minimum"}
