"""What watching costs a month, from list prices.

`PutMetricData` and the embedded metric format (metrics read out of log lines) cost the same for the metrics, which is
nearly all of it. What differs is how they get there: a call of up to 1,000 values, or a log line a subnet and run.
A month, in dollars, for the function's own metrics in three zones:

| subnets | metrics | sent by PutMetricData | sent by log lines | forecasts | metrics |
|---|---|---|---|---|---|
| 10 | 87 | 0.18 | 0.04 | 0.09 | 26.10 |
| 100 | 717 | 0.18 | 0.32 | 0.75 | 215.10 |
| 1,000 | 7,017 | 0.79 | 3.09 | 7.32 | 2,105.10 |

So the function calls PutMetricData: from some 55 subnets on it is cheaper, below that the difference is a few cents,
and a call that fails is an error at once, while a log line that CloudWatch cannot use is dropped.
"""

import json
from dataclasses import dataclass
from math import ceil
from typing import Final

from headroom.capacity.watch import (
    CLUSTER_METRICS,
    NAMESPACE,
    SCHEDULE_MINUTES,
    SUBNET_METRICS,
    UNITS,
    ZONE_METRICS,
    dimensions,
)

SOURCE: Final = "CloudWatch and Lambda pricing, us-east-1, read 2026-11; free tiers left out"

METRIC_TIERS: Final = ((10_000, 0.30), (240_000, 0.10), (750_000, 0.05), (None, 0.02))
"""Custom metrics of an account and their dollars a month: the first 10,000, and so on."""
ALARM_METRIC: Final = 0.10
"""Dollars a month for each metric that a standard alarm looks at."""
BAND_METRICS: Final = 3
"""Metrics that an alarm on an anomaly band counts as: the metric, and the two bounds."""
COMPOSITE: Final = 0.50
DASHBOARD: Final = 3.00
CALLS: Final = 0.01 / 1000
"""Dollars a call of PutMetricData."""
METRICS_READ: Final = 0.01 / 1000
"""Dollars a metric that GetMetricData is asked for."""
LOG_GIGABYTE: Final = 0.50
"""Dollars for taking in a gigabyte of logs."""
LAMBDA_GIGABYTE_SECOND: Final = 0.0000133334
"""Dollars, on arm64."""

HOURS_PER_MONTH: Final = 730
RUNS_PER_MONTH: Final = HOURS_PER_MONTH * 60 // SCHEDULE_MINUTES
VALUES_PER_CALL: Final = 1000
"""CloudWatch API reference, PutMetricData."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is watched, and by what.

    Attributes:
        subnets: Subnets.
        zones: Zones.
        alarms: Alarms on one metric.
        band_alarms: Alarms on an anomaly band.
        composites: Composite alarms.
        dashboards: Dashboards.
        prefix_delegation: Whether /28s are forecast too.
        idle_addresses: Whether idle addresses are counted, of every subnet and zone.
        memory_gigabytes: Of the function.
        seconds: How long a run takes.
    """

    subnets: int
    zones: int
    alarms: int = 0
    band_alarms: int = 0
    composites: int = 0
    dashboards: int = 0
    prefix_delegation: bool = False
    idle_addresses: bool = False
    memory_gigabytes: float = 0.5
    seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Dollars a month.

    Attributes:
        metrics: The metrics themselves.
        sending: PutMetricData.
        log_lines: What the embedded metric format would cost in its place; not part of the total.
        forecasts: GetMetricData for the function's own history.
        function: The function's time.
        alarms: Alarms of all kinds.
        dashboards: Dashboards.
        metric_count: How many metrics there are.
    """

    metrics: float
    sending: float
    log_lines: float
    forecasts: float
    function: float
    alarms: float
    dashboards: float
    metric_count: int

    @property
    def total(self) -> float:
        """All of it."""
        return self.metrics + self.sending + self.forecasts + self.function + self.alarms + self.dashboards

    @property
    def text(self) -> str:
        """One line for a preview."""
        return (
            f"${self.total:,.2f} a month: {self.metric_count:,} metrics ${self.metrics:,.2f}, alarms "
            f"${self.alarms:,.2f}, dashboards ${self.dashboards:,.2f}, calls and function "
            f"${self.sending + self.forecasts + self.function:,.2f} ({SOURCE})"
        )


def monthly_price(watched: Watched) -> Price:
    """The price of a month, in dollars."""
    per_run = _values(watched)
    forecasts = (watched.subnets + watched.zones) * (2 if watched.prefix_delegation else 1)
    return Price(
        metrics=_metrics(per_run),
        # The heartbeat goes alone, after everything else.
        sending=RUNS_PER_MONTH * (ceil((per_run - 1) / VALUES_PER_CALL) + 1) * CALLS,
        log_lines=RUNS_PER_MONTH * _log_bytes(watched) / 1e9 * LOG_GIGABYTE,
        forecasts=HOURS_PER_MONTH * forecasts * METRICS_READ,
        function=RUNS_PER_MONTH * watched.seconds * watched.memory_gigabytes * LAMBDA_GIGABYTE_SECOND,
        alarms=ALARM_METRIC * (watched.alarms + BAND_METRICS * watched.band_alarms) + COMPOSITE * watched.composites,
        dashboards=DASHBOARD * watched.dashboards,
        metric_count=per_run,
    )


def _values(watched: Watched) -> int:
    idle = int(watched.idle_addresses)
    return (
        watched.subnets * (len(SUBNET_METRICS) + idle)
        + watched.zones * (len(ZONE_METRICS) + idle)
        + len(CLUSTER_METRICS)
    )


def _metrics(count: int) -> float:
    price, left = 0.0, count
    for size, dollars in METRIC_TIERS:
        taken = left if size is None else min(left, size)
        price, left = price + taken * dollars, left - taken
    return price


def _log_bytes(watched: Watched) -> int:
    """Bytes of one run's lines in the embedded metric format (CloudWatch user guide, its specification)."""

    def line(metrics: tuple[str, ...], named: dict[str, str]) -> int:
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [list(named)],
            "Metrics": [{"Name": str(name), "Unit": UNITS.get(name, "Count")} for name in metrics],  # type: ignore[call-overload]  # keys are metrics
        }
        document = {"_aws": {"Timestamp": 10**12, "CloudWatchMetrics": [directive]}, **named}
        return len(json.dumps({**document, **dict.fromkeys(map(str, metrics), 1000)}, separators=(",", ":"))) + 1

    cluster, zone, subnet = "prod-use1", "us-east-1a", "subnet-0123456789abcdef0"
    return (
        watched.subnets * line(SUBNET_METRICS, dimensions(cluster, zone, subnet))
        + watched.zones * line(ZONE_METRICS, dimensions(cluster, zone))
        + line(CLUSTER_METRICS, dimensions(cluster))
    )
