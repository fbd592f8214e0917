"""What the watch stack publishes: metrics, dimensions, how often. Function, alarms, dashboard and forecast share it."""

from enum import StrEnum
from typing import Final

NAMESPACE: Final = "Headroom"
"""CloudWatch namespace, unless told otherwise."""

CLUSTER_DIMENSION: Final = "ClusterName"
ZONE_DIMENSION: Final = "AvailabilityZone"
SUBNET_DIMENSION: Final = "SubnetId"

SCHEDULE_MINUTES: Final = 5
"""How often the function runs. Alarms look at periods of the same length."""

HISTORY_DAYS: Final = 56
"""How far back the function reads its own history: eight weeks, so that a weekly pattern shows."""

HISTORY_PERIOD_SECONDS: Final = 3600
"""Of each hour of the history the lowest value counts. CloudWatch keeps periods of 300 s for 63 days and of 3,600 s
for 455 (CloudWatch API reference, GetMetricData)."""

LEAST_HISTORY_SECONDS: Final = 2 * 86_400
"""A shorter history gives no days to exhaustion: of less than two days nobody can tell a daily pattern from a trend
(`benchmarks/alarms.py`: every false forecast of its quiet months lies in their first day)."""

NO_END_DAYS: Final = 3650
"""What DaysToExhaustion says where no end is foreseen: the furthest day that a forecast names."""


TRIGGERS: Final = ("page", "warning", "forecast")
"""Kinds of the composite alarms, the most urgent first."""


def composite_alarm(cluster: str, zone: str, kind: str) -> str:
    """Name of a zone's composite alarm; where one cannot hold all alarms, a hyphen and a number follow."""
    return f"headroom/{cluster}/{zone}/{kind}"


class Metric(StrEnum):
    """A metric of the namespace; each name is one metric for every combination of dimensions that publishes it."""

    FREE_ADDRESSES = "FreeAddresses"
    """Addresses that a node can still get: AvailableIpAddressCount, and with prefix delegation also those of whole
    /28s in reservations of the type `prefix`, which that count leaves out. Subnet and zone."""
    FREE_PERCENT = "FreePercent"
    """The same, of all that the subnet (zone) can hold."""
    FREE_PREFIX_BLOCKS = "FreePrefixBlocks"
    """Whole free /28s that can become a prefix, those in reservations of the type `prefix` among them. Subnet, zone."""
    RESERVED_ADDRESSES = "ReservedAddresses"
    """Addresses that CIDR reservations keep and nobody uses. Subnet."""
    HELD_ADDRESSES = "HeldAddresses"
    """Addresses for pods on interfaces of instances, with a pod or without: secondary ones, and 16 a prefix. EC2 does
    not know which of them pods have. Subnet."""
    IDLE_ADDRESSES = "IdleAddresses"
    """Those of them, on the cluster's nodes, that no pod has: the warm pool, what cools down, what is stranded in
    prefixes. Only where the function may ask the Kubernetes API (`idleAddresses`); with the cni-metrics-helper it is
    totalIPAddresses - assignIPAddresses, of the cluster as a whole. Subnet and zone."""
    LEAKED_INTERFACES = "LeakedInterfaces"
    """Interfaces of the VPC CNI that hang on nothing. Subnet."""
    DAYS_TO_EXHAUSTION = "DaysToExhaustion"
    """Days until nothing is free, from the metric's own history; `NO_END_DAYS` where no end is foreseen, no value
    where the history is shorter than `LEAST_HISTORY_SECONDS`. Subnet and zone."""
    HEARTBEAT = "Heartbeat"
    """1 after a run that read and published everything. Cluster."""
    INTERFACES = "NetworkInterfaces"
    """Network interfaces of the account in the Region. Cluster."""
    INTERFACE_QUOTA_PERCENT = "NetworkInterfaceQuotaUsed"
    """Percent of the quota that they are. Cluster."""
    UNWATCHED_SUBNETS = "UnwatchedSubnets"
    """Subnets in which the CNI of the cluster has interfaces and that the stack does not list. Cluster."""
    MISSING_SUBNETS = "MissingSubnets"
    """Subnets that the stack lists and EC2 does not have. Cluster."""


SUBNET_METRICS: Final = (
    Metric.FREE_ADDRESSES,
    Metric.FREE_PERCENT,
    Metric.FREE_PREFIX_BLOCKS,
    Metric.RESERVED_ADDRESSES,
    Metric.HELD_ADDRESSES,
    Metric.LEAKED_INTERFACES,
    Metric.DAYS_TO_EXHAUSTION,
)
"""With the dimensions cluster, zone and subnet; where the function counts pods, `IDLE_ADDRESSES` too."""

ZONE_METRICS: Final = (
    Metric.FREE_ADDRESSES,
    Metric.FREE_PERCENT,
    Metric.FREE_PREFIX_BLOCKS,
    Metric.DAYS_TO_EXHAUSTION,
)
"""With the dimensions cluster and zone."""

CLUSTER_METRICS: Final = (
    Metric.HEARTBEAT,
    Metric.INTERFACES,
    Metric.INTERFACE_QUOTA_PERCENT,
    Metric.UNWATCHED_SUBNETS,
    Metric.MISSING_SUBNETS,
)
"""With the dimension cluster."""

UNITS: Final = {
    Metric.FREE_PERCENT: "Percent",
    Metric.INTERFACE_QUOTA_PERCENT: "Percent",
    Metric.DAYS_TO_EXHAUSTION: "None",
}
"""Units other than Count (CloudWatch API reference, MetricDatum)."""

ADDRESS_METRICS: Final = frozenset({*SUBNET_METRICS, *ZONE_METRICS, Metric.IDLE_ADDRESSES})
"""Metrics of addresses: an alarm on one of them has to go off on silence."""


def dimensions(cluster: str, zone: str = "", subnet: str = "") -> dict[str, str]:
    """The dimensions of a cluster's, a zone's or a subnet's metric."""
    named = {CLUSTER_DIMENSION: cluster, ZONE_DIMENSION: zone, SUBNET_DIMENSION: subnet}
    return {name: value for name, value in named.items() if value}
