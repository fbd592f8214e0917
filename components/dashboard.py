"""What to look at at three in the morning: one CloudWatch dashboard a cluster, the zone that is low first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_aws import cloudwatch

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.thresholds import Thresholds
from headroom.capacity.watch import (
    CLUSTER_DIMENSION,
    NAMESPACE,
    NO_END_DAYS,
    SCHEDULE_MINUTES,
    SUBNET_DIMENSION,
    ZONE_DIMENSION,
    Metric,
)

WIDTH: Final = 24
"""Columns of a dashboard (CloudWatch user guide, CloudWatch-Dashboard-Body-Structure)."""

MOST_ALARMS: Final = 100
"""Alarms in one alarm widget (the same)."""

LINES_PER_CHART: Final = 40
"""Subnets drawn in one chart; of more, a search draws those of the zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardArgs:
    """What to draw.

    Attributes:
        cluster: Name of the EKS cluster.
        region: Its Region.
        zones: Ids of the watched subnets by zone.
        thresholds: Those of the zones' alarms.
        usable: Addresses that each zone's subnets can hold.
        alarms: ARNs of the alarms that notify: those are shown by their state.
        namespace: CloudWatch namespace of the publisher.
        horizon_days: Below so many days the forecast is an alarm.
        prefix_delegation: Whether the nodes take /28 prefixes.
        cni_metrics: Whether the cni-metrics-helper publishes: then idle addresses of the cluster can be drawn.
        idle_addresses: Whether the publisher counts them, by zone and subnet.

    Raises:
        ProblemsError: There is no zone.
    """

    cluster: str
    region: str
    zones: Mapping[str, Sequence[str]]
    thresholds: Mapping[str, Thresholds]
    usable: Mapping[str, int]
    alarms: Sequence[pulumi.Input[str]] = ()
    namespace: str = NAMESPACE
    horizon_days: int
    prefix_delegation: bool = False
    cni_metrics: bool = False
    idle_addresses: bool = False

    def __post_init__(self) -> None:
        if not self.zones:
            problem = Problem(
                rule="no-zones",
                key="zones",
                value="No zone",
                reason="has a watched subnet.",
                next_step="Watch the subnets of the nodes and pods.",
            )
            raise ProblemsError([problem], subject="DashboardArgs")


class Dashboard(pulumi.ComponentResource):
    """The dashboard."""

    dashboard_name: pulumi.Output[str]
    """Its name."""

    def __init__(self, name: str, args: DashboardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:Dashboard", name, {}, opts)
        made = cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=f"headroom-{args.cluster}",
            dashboard_body=pulumi.Output.all(*args.alarms).apply(lambda arns: json.dumps(body(args, arns))),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.dashboard_name = made.dashboard_name
        self.register_outputs({"dashboardName": self.dashboard_name})


def body(args: DashboardArgs, alarm_arns: Sequence[str]) -> dict[str, Any]:
    """The dashboard's body (CloudWatch user guide, CloudWatch-Dashboard-Body-Structure).

    From the top: the alarms that notify; a number for each zone; free addresses against the alarms' thresholds, the
    days that are left and the free /28s, each by zone; then every subnet, and what the CNI holds.
    """
    rows: list[list[dict[str, Any]]] = []
    if alarm_arns:
        rows.append([{"type": "alarm", "height": 3, "properties": _alarms(args, alarm_arns)}])
    rows.append([_numbers(args)])
    zones = list(args.zones)
    rows += [[_free(args, zone) for zone in zones[first : first + 3]] for first in range(0, len(zones), 3)]
    rows.append([_days(args), _blocks(args)])
    rows += [[_subnets(args, zone) for zone in zones[first : first + 3]] for first in range(0, len(zones), 3)]
    rows.append([_held(args), _leaks(args), _quota(args)])
    return {"start": "-PT24H", "periodOverride": "inherit", "widgets": _placed(rows)}


def _placed(rows: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    placed, y = [], 0
    for row in rows:
        width = WIDTH // len(row)
        height = max(widget["height"] for widget in row)
        placed += [{**widget, "x": index * width, "y": y, "width": width} for index, widget in enumerate(row)]
        y += height
    return placed


def _chart(args: DashboardArgs, title: str, metrics: list[Any], **more: Any) -> dict[str, Any]:
    properties = {
        "title": title,
        "region": args.region,
        "view": "timeSeries",
        "stat": "Minimum",
        "period": 60 * SCHEDULE_MINUTES,
        "metrics": metrics,
        **more,
    }
    return {"type": "metric", "height": 6, "properties": properties}


def _alarms(args: DashboardArgs, arns: Sequence[str]) -> dict[str, Any]:
    # Those that ring come first.
    return {"title": f"Alarms of {args.cluster}", "alarms": list(arns)[:MOST_ALARMS], "sortBy": "stateUpdatedTimestamp"}


def _zone_metric(args: DashboardArgs, metric: Metric, zone: str, **more: Any) -> list[Any]:
    return [args.namespace, str(metric), CLUSTER_DIMENSION, args.cluster, ZONE_DIMENSION, zone, {"label": zone, **more}]


def _subnet_metric(args: DashboardArgs, metric: Metric, zone: str, subnet: str) -> list[Any]:
    place = [CLUSTER_DIMENSION, args.cluster, ZONE_DIMENSION, zone, SUBNET_DIMENSION, subnet]
    return [args.namespace, str(metric), *place, {"label": subnet}]


def _cluster_metric(args: DashboardArgs, metric: Metric, label: str) -> list[Any]:
    return [args.namespace, str(metric), CLUSTER_DIMENSION, args.cluster, {"label": label, "stat": "Maximum"}]


def _numbers(args: DashboardArgs) -> dict[str, Any]:
    metrics = [
        _zone_metric(args, Metric.FREE_ADDRESSES, zone, label=f"{zone}: free of {args.usable[zone]:,}")
        for zone in args.zones
    ]
    chart = _chart(args, "Free addresses now", metrics, view="singleValue", sparkline=True)
    return {**chart, "height": 4}


def _free(args: DashboardArgs, zone: str) -> dict[str, Any]:
    least, usable = args.thresholds[zone], args.usable[zone]
    lines = [
        {"label": f"critical: below {least.critical:,}", "value": least.critical, "color": "#d13212", "fill": "below"},
        {"label": f"warning: below {least.warning:,}", "value": least.warning, "color": "#ff9900"},
    ]
    return _chart(
        args,
        f"{zone}: free addresses of {usable:,}",
        [_zone_metric(args, Metric.FREE_ADDRESSES, zone)],
        annotations={"horizontal": lines},
        yAxis={"left": {"min": 0, "max": usable}},
    )


def _days(args: DashboardArgs) -> dict[str, Any]:
    line = {"label": f"alarm: below {args.horizon_days} days", "value": args.horizon_days, "color": "#d13212"}
    return _chart(
        args,
        f"Days until empty ({NO_END_DAYS:,}: no end foreseen)",
        [_zone_metric(args, Metric.DAYS_TO_EXHAUSTION, zone) for zone in args.zones],
        annotations={"horizontal": [line]},
        yAxis={"left": {"min": 0, "max": 182}},
        period=3600,
    )


def _blocks(args: DashboardArgs) -> dict[str, Any]:
    lines = [
        {"label": f"{zone}: below {least.blocks:,}", "value": least.blocks, "color": "#d13212"}
        for zone, least in args.thresholds.items()
        if least.blocks
    ]
    return _chart(
        args,
        "Free /28s" + ("" if args.prefix_delegation else " (the nodes take none)"),
        [_zone_metric(args, Metric.FREE_PREFIX_BLOCKS, zone) for zone in args.zones],
        yAxis={"left": {"min": 0}},
        **({"annotations": {"horizontal": lines}} if lines else {}),
    )


def _subnets(args: DashboardArgs, zone: str) -> dict[str, Any]:
    if len(args.zones[zone]) <= LINES_PER_CHART:
        metrics = [_subnet_metric(args, Metric.FREE_PERCENT, zone, subnet) for subnet in args.zones[zone]]
    else:
        names = f"{args.namespace},{CLUSTER_DIMENSION},{ZONE_DIMENSION},{SUBNET_DIMENSION}"
        search = (
            f'SEARCH(\'{{{names}}} MetricName="{Metric.FREE_PERCENT}" {CLUSTER_DIMENSION}="{args.cluster}" '
            f"{ZONE_DIMENSION}=\"{zone}\"', 'Minimum')"
        )
        metrics = [[{"expression": search, "id": "subnets", "label": ""}]]
    return _chart(args, f"{zone}: free percent by subnet", metrics, yAxis={"left": {"min": 0, "max": 100}})


def _held(args: DashboardArgs) -> dict[str, Any]:
    if args.idle_addresses:
        metrics = [_zone_metric(args, Metric.IDLE_ADDRESSES, zone, stat="Maximum") for zone in args.zones]
        return _chart(args, "Idle addresses: held by nodes, and no pod has them", metrics, yAxis={"left": {"min": 0}})
    if args.cni_metrics:
        named = ["Kubernetes", "totalIPAddresses", "CLUSTER_ID", args.cluster, {"id": "total", "label": "held"}]
        assigned = ["Kubernetes", "assignIPAddresses", "CLUSTER_ID", args.cluster, {"id": "pods", "label": "of pods"}]
        metrics = [named, assigned, [{"expression": "total - pods", "id": "idle", "label": "idle"}]]
        return _chart(args, "Addresses that the CNI holds (cni-metrics-helper)", metrics)
    metrics = [
        _subnet_metric(args, Metric.HELD_ADDRESSES, zone, subnet)
        for zone, subnets in args.zones.items()
        for subnet in subnets[:LINES_PER_CHART]
    ]
    return _chart(args, "Addresses for pods on interfaces, with a pod or without", metrics)


def _leaks(args: DashboardArgs) -> dict[str, Any]:
    metrics = [
        _subnet_metric(args, Metric.LEAKED_INTERFACES, zone, subnet)
        for zone, subnets in args.zones.items()
        for subnet in subnets[:LINES_PER_CHART]
    ]
    return _chart(args, "Leaked interfaces", metrics, yAxis={"left": {"min": 0}})


def _quota(args: DashboardArgs) -> dict[str, Any]:
    return _chart(
        args,
        "Network interfaces: percent of the Region's quota",
        [_cluster_metric(args, Metric.INTERFACE_QUOTA_PERCENT, "used")],
        yAxis={"left": {"min": 0, "max": 100}},
    )
