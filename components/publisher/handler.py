"""Reads the cluster's subnets and interfaces, and publishes what is free: a Lambda function on a schedule.

One run is DescribeSubnets, DescribeNetworkInterfaces (1,000 a page), GetServiceQuota (once an hour) and one
PutMetricData for every 1,000 values; where idle addresses are wanted, DescribeCluster and one list of the cluster's
pods; GetSubnetCidrReservations only for subnets where EC2 counts fewer free addresses
than their interfaces explain, which is what a reservation looks like. Once an hour GetMetricData for the forecasts.

What could not be read is not published, and the run ends in an error that names it: an alarm on the function's errors
and on the events that it drops says so. Where interfaces of others hide what is free in a shared subnet, its /28s are
left out. Runs that overlap or repeat publish the same values again, which alarms on minima do not notice. Values carry
EC2's clock, not the function's.
"""

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from components.publisher.figures import (
    IN_FLIGHT,
    Datum,
    InterfacesOfSubnet,
    Object,
    SubnetFigures,
    SubnetReading,
    agrees,
    drawn,
    idle_by_subnet,
    interfaces_by_subnet,
    published,
    reservations_of,
    subnet_figures,
    subnet_reading,
)
from components.publisher.pods import PodsError, pod_addresses
from headroom.addresses.subnet_map import Reservation, SubnetMap
from headroom.capacity.forecast import Reading, forecast
from headroom.capacity.quotas import INTERFACE_QUOTA_CODE
from headroom.capacity.watch import (
    HISTORY_DAYS,
    HISTORY_PERIOD_SECONDS,
    LEAST_HISTORY_SECONDS,
    NAMESPACE,
    NO_END_DAYS,
    UNITS,
    Metric,
    dimensions,
)

VALUES_PER_CALL: Final = 1000
"""Metrics that one PutMetricData takes (CloudWatch API reference, PutMetricData)."""

QUERIES_PER_CALL: Final = 500
POINTS_PER_CALL: Final = 100_800
"""Queries that one GetMetricData takes, and data points that it answers (CloudWatch API reference, GetMetricData)."""

INTERFACES_PER_PAGE: Final = 1000
"""The most that DescribeNetworkInterfaces answers at once (EC2 API reference)."""

SLOW_SECONDS: Final = 3600
"""Forecast and quota are asked for once in so long; in between the answer is kept. One from the future is not: then a
clock was wrong."""

WATCHED_FILE: Final = Path(__file__).with_name("watched.json")
"""The subnets to watch by id, and whether each counts for its zone: a function's environment holds 4 KB, which is less
than many of them need."""

T = TypeVar("T")

Place = tuple[tuple[str, str], ...]
"""Dimensions that can be a key, in the order in which `dimensions` gives them."""


class PublisherError(RuntimeError):
    """Something was not read or not published; says what, with AWS's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one function watches.

    Attributes:
        cluster: Name of the EKS cluster: a dimension of everything.
        vpc_id: Its VPC.
        namespace: CloudWatch namespace to publish to.
        watched: The subnets for which alarms stand, and whether pods get addresses there: those count for the zone.
        prefix_delegation: Whether its nodes take /28 prefixes.
        idle_addresses: Whether the Kubernetes API is asked which addresses pods have.
    """

    cluster: str
    vpc_id: str
    namespace: str = NAMESPACE
    watched: Mapping[str, bool]
    prefix_delegation: bool = False
    idle_addresses: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str], watched: str) -> "Settings":
        """The settings of the running function.

        Args:
            environment: Its environment variables.
            watched: The text of `WATCHED_FILE`.
        """
        return cls(
            cluster=environment["CLUSTER_NAME"],
            vpc_id=environment["VPC_ID"],
            namespace=environment["METRIC_NAMESPACE"],
            watched=json.loads(watched),
            prefix_delegation=environment["PREFIX_DELEGATION"] == "true",
            idle_addresses=environment.get("IDLE_ADDRESSES") == "true",
        )


@dataclass(slots=True)
class Memory:
    """What a function keeps from one run to the next, as long as its process lives.

    Attributes:
        days: Days to exhaustion by dimensions, and when they were reckoned.
        quota: The quota of interfaces, and when it was read.
        reserved: Subnets that had reservations.
    """

    days: tuple[float, Mapping[Place, float]] = (-math.inf, {})
    quota: tuple[float, float] = (-math.inf, 0.0)
    reserved: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the function.

    Attributes:
        settings: What it watches.
        client: Makes a boto3 client by the name of its service.
        memory: What earlier runs of the same process left.
        failures: What could not be read or published so far, in AWS's own words.
        beside: The same, of what no alarm stands on: an error, and no silence.
        now: EC2's clock once EC2 has answered; until then our own.
    """

    settings: Settings
    client: Callable[[str], Any]
    memory: Memory
    failures: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def attempt(self, what: str, read: Callable[[], T], *, beside: bool = False) -> T | None:
        """What `read` gives; None where AWS or the cluster refused or did not answer, with the reason noted.

        Args:
            what: What is read, for the reason.
            read: Reads it.
            beside: Whether no alarm stands on it.
        """
        noted = self.beside if beside else self.failures
        try:
            return read()
        except ClientError as error:
            details = error.response.get("Error", {})
            noted.append(f"{what}: {details.get('Code', '')}: {details.get('Message', '')}")
        except (BotoCoreError, PodsError) as error:
            noted.append(f"{what}: {error}")
        return None

    def check(self) -> None:
        """Raises `PublisherError` if anything failed."""
        if self.failures:
            raise PublisherError(f"{self.settings.cluster}: {'; '.join(self.failures)}")


_NOT_ANSWERED: Final = ("InternalError", "Forbidden")
"""Status codes of a metric whose values did not come (CloudWatch API reference, MetricDataResult)."""

_MEMORY: Final = Memory()


def handle(event: object, context: object) -> dict[str, int]:
    """Lambda's entry point."""
    del event, context
    settings = Settings.read(os.environ, WATCHED_FILE.read_text(encoding="utf-8"))
    config = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=20)

    def client(service: str) -> Any:
        return boto3.client(service, config=config)  # type: ignore[call-overload]  # the stubs list services one by one

    return {"published": publish(settings, client, _MEMORY)}


def publish(settings: Settings, client: Callable[[str], Any], memory: Memory) -> int:
    """Reads and publishes once; gives how many values were published.

    Args:
        settings: What to watch.
        client: Makes a boto3 client by the name of its service; called once for each.
        memory: What the last call left.

    Raises:
        PublisherError: Something could not be read or published; what could be read was published all the same.
    """
    run = Run(settings=settings, client=cache(client), memory=memory)
    values: list[Datum] = []
    subnets = run.attempt("ec2:DescribeSubnets", lambda: _subnets(run))
    interfaces = run.attempt("ec2:DescribeNetworkInterfaces", lambda: _interfaces(run))
    if subnets is not None:
        values += _subnet_values(run, subnets, interfaces)
    if interfaces is not None:
        values += _quota_values(run, len(interfaces))
    _put(run, values)
    run.check()
    # Last and alone: a run that is killed before this line is silent, and its silence is an alarm.
    _put(run, [Datum(metric=Metric.HEARTBEAT, dimensions=dimensions(settings.cluster), value=1)])
    run.failures += run.beside
    run.check()
    return len(values) + 1


def _subnets(run: Run) -> dict[str, SubnetReading]:
    """The VPC's subnets; sets the run's clock."""
    found: dict[str, SubnetReading] = {}
    pages = run.client("ec2").get_paginator("describe_subnets")
    for page in pages.paginate(Filters=[{"Name": "vpc-id", "Values": [run.settings.vpc_id]}]):
        run.now = _clock_of(page) or run.now
        found.update({item["SubnetId"]: subnet_reading(item) for item in page["Subnets"]})
    return found


def _clock_of(answer: Object) -> datetime | None:
    """When AWS answered, by its own clock."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError):
        return None


def _interfaces(run: Run) -> list[Object]:
    """All interfaces of the Region that the account sees: the quota is the Region's."""
    pages = run.client("ec2").get_paginator("describe_network_interfaces")
    return [
        item
        for page in pages.paginate(PaginationConfig={"PageSize": INTERFACES_PER_PAGE})
        for item in page["NetworkInterfaces"]
    ]


def _subnet_values(run: Run, subnets: Mapping[str, SubnetReading], interfaces: Sequence[Object] | None) -> list[Datum]:
    settings, place = run.settings, dimensions(run.settings.cluster)
    watched = {name for name in settings.watched if name in subnets}
    values = [Datum(metric=Metric.MISSING_SUBNETS, dimensions=place, value=len(settings.watched) - len(watched))]
    used: dict[str, InterfacesOfSubnet] = {}
    wanted = watched
    if interfaces is not None:
        seen = interfaces_by_subnet(interfaces, run.now.isoformat())
        others = {name for name, each in seen.items() if name in subnets and each.clusters[settings.cluster]} - watched
        values.append(Datum(metric=Metric.UNWATCHED_SUBNETS, dimensions=place, value=len(others)))
        wanted = watched | others
        used = {name: seen.get(name, InterfacesOfSubnet()) for name in wanted}
    idle = None if interfaces is None else _idle(run, interfaces)
    chosen = {name: subnets[name] for name in sorted(wanted)}
    maps = _maps(run, chosen, used) if interfaces is not None else {}
    figures = [
        subnet_figures(
            subnet,
            maps.get(name),
            used.get(name),
            prefix_delegation=settings.prefix_delegation,
            idle=None if idle is None else idle[name],
        )
        for name, subnet in chosen.items()
    ]
    of_pods = {name for name in chosen if settings.watched.get(name, True)}
    levels = list(published(settings.cluster, figures, of_pods))
    return [*values, *levels, *_days(run, figures, levels)]


def _idle(run: Run, interfaces: Sequence[Object]) -> Counter[str] | None:
    """What nodes hold and no pod has, by subnet; None where nobody asks, or the cluster does not answer.

    Interfaces were read just before: of what has changed since then, an address that a pod has let go counts as idle.
    """
    if not run.settings.idle_addresses:
        return None
    pods = run.attempt("idle addresses", lambda: pod_addresses(run.settings.cluster, run.client), beside=True)
    return None if pods is None else idle_by_subnet(interfaces, pods)


def _maps(
    run: Run, subnets: Mapping[str, SubnetReading], used: Mapping[str, InterfacesOfSubnet]
) -> dict[str, SubnetMap]:
    """The /28 map of every subnet whose free addresses agree with EC2's own count."""
    found = {name: drawn(subnet, used[name], ()) for name, subnet in subnets.items()}
    reserved = run.memory.reserved
    asked = sorted(name for name, map_ in found.items() if name in reserved or not agrees(subnets[name], map_))
    for name in asked:
        what = f"ec2:GetSubnetCidrReservations {name}"
        reservations = run.attempt(what, partial(_reservations, run, name))
        if reservations is None:
            del found[name]
            continue
        (reserved.add if reservations else reserved.discard)(name)
        found[name] = drawn(subnets[name], used[name], reservations)
    doubtful = sorted(name for name in asked if name in found and not agrees(subnets[name], found[name]))
    if doubtful:
        again = run.attempt("ec2:DescribeSubnets", lambda: _subnets(run)) or {}
        for name in doubtful:
            counts = (*subnets[name].available, *(again[name].available if name in again else ()))
            both = replace(subnets[name], available=counts)
            if name in again and agrees(both, found[name], tolerance=IN_FLIGHT):
                continue
            text = (
                f"{name}: EC2 counts {counts[-1]} free addresses, and the interfaces that this account is shown leave "
                f"{found[name].free_addresses}: its free /28s cannot be known"
            )
            # In a shared VPC it is so for ever. A failure of every run would silence all other alarms, so it is one
            # only where an alarm needs the /28s.
            if run.settings.prefix_delegation and name in run.settings.watched:
                run.failures.append(text)
            else:
                sys.stdout.write(f"{text}\n")
            del found[name]
    return found


def _reservations(run: Run, subnet_id: str) -> list[Reservation]:
    answer = run.client("ec2").get_subnet_cidr_reservations(SubnetId=subnet_id)
    return reservations_of(answer.get("SubnetIpv4CidrReservations") or ())


def _quota_values(run: Run, interfaces: int) -> list[Datum]:
    place, memory, now = dimensions(run.settings.cluster), run.memory, run.now.timestamp()
    values = [Datum(metric=Metric.INTERFACES, dimensions=place, value=interfaces)]
    if not 0 <= now - memory.quota[0] < SLOW_SECONDS:
        quota = run.attempt("servicequotas:GetServiceQuota", lambda: _quota(run))
        memory.quota = (-math.inf, 0.0) if quota is None else (now, quota)
    if memory.quota[1] > 0:
        percent = 100 * interfaces / memory.quota[1]
        values.append(Datum(metric=Metric.INTERFACE_QUOTA_PERCENT, dimensions=place, value=percent))
    return values


def _quota(run: Run) -> float:
    answer = run.client("service-quotas").get_service_quota(ServiceCode="vpc", QuotaCode=INTERFACE_QUOTA_CODE)
    return float(answer["Quota"]["Value"])


def _days(run: Run, figures: Iterable[SubnetFigures], levels: Sequence[Datum]) -> list[Datum]:
    """Days to exhaustion, reckoned anew once an hour."""
    memory, now = run.memory, run.now.timestamp()
    if not 0 <= now - memory.days[0] < SLOW_SECONDS:
        most: Counter[Place] = Counter()
        for each in figures:
            zone = each.subnet.zone
            if run.settings.watched.get(each.subnet.subnet_id, True):
                most[_key(dimensions(run.settings.cluster, zone))] += each.usable
            most[_key(dimensions(run.settings.cluster, zone, each.subnet.subnet_id))] = each.usable
        days = run.attempt("cloudwatch:GetMetricData", lambda: _forecasts(run, levels, most))
        # What was reckoned longer ago is not published again as if it were new.
        memory.days = (-math.inf, {}) if days is None else (now, days)
    there = {_key(each.dimensions) for each in levels}
    return [
        Datum(metric=Metric.DAYS_TO_EXHAUSTION, dimensions=dict(place), value=value)
        for place, value in memory.days[1].items()
        if place in there
    ]


def _key(place: Mapping[str, str]) -> Place:
    return tuple(place.items())


def _forecasts(run: Run, levels: Sequence[Datum], most: Mapping[Place, int]) -> dict[Place, float]:
    """By dimensions: the days until the first of what nodes need has gone; nothing where the history is too short."""
    counted = {Metric.FREE_ADDRESSES, *([Metric.FREE_PREFIX_BLOCKS] if run.settings.prefix_delegation else [])}
    asked = [each for each in levels if each.metric in counted]
    found: dict[Place, list[float | None]] = {}
    for each, history in zip(asked, _histories(run, asked), strict=True):
        place = _key(each.dimensions)
        bound = most.get(place) if each.metric is Metric.FREE_ADDRESSES else None
        now = Reading(run.now.timestamp(), each.value)
        if now.time - min((reading.time for reading in history), default=now.time) < LEAST_HISTORY_SECONDS:
            continue
        result = forecast([*history, now], most=bound)
        days = NO_END_DAYS if result.days_until_empty is None else result.days_until_empty
        found.setdefault(place, []).append(None if result.trend == "unknown" else days)
    return {place: min(known) for place, days in found.items() if (known := [day for day in days if day is not None])}


def _histories(run: Run, asked: Sequence[Datum]) -> list[list[Reading]]:
    points = HISTORY_DAYS * 86_400 // HISTORY_PERIOD_SECONDS
    per_call = min(QUERIES_PER_CALL, POINTS_PER_CALL // points)
    window = {"StartTime": run.now - timedelta(days=HISTORY_DAYS), "EndTime": run.now}
    pages = run.client("cloudwatch").get_paginator("get_metric_data")
    histories: list[list[Reading]] = [[] for _ in asked]
    for first in range(0, len(asked), per_call):
        queries = [
            _query(run.settings.namespace, number, each)
            for number, each in enumerate(asked[first : first + per_call], start=first)
        ]
        for page in pages.paginate(MetricDataQueries=queries, **window):
            for result in page["MetricDataResults"]:
                if result.get("StatusCode") in _NOT_ANSWERED:
                    run.failures.append(f"cloudwatch:GetMetricData {result.get('Label', '')}: {result['StatusCode']}")
                histories[int(result["Id"][1:])] += [
                    Reading(time.timestamp(), value)
                    for time, value in zip(result["Timestamps"], result["Values"], strict=True)
                ]
    return histories


def _query(namespace: str, number: int, each: Datum) -> dict[str, Any]:
    metric = {"Namespace": namespace, "MetricName": str(each.metric), "Dimensions": _wire(each.dimensions)}
    return {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": HISTORY_PERIOD_SECONDS, "Stat": "Minimum"}}


def _put(run: Run, values: Sequence[Datum]) -> None:
    cloudwatch = run.client("cloudwatch")
    for first in range(0, len(values), VALUES_PER_CALL):
        data = [
            {
                "MetricName": str(each.metric),
                "Dimensions": _wire(each.dimensions),
                "Timestamp": run.now,
                "Value": float(each.value),
                "Unit": UNITS.get(each.metric, "Count"),
            }
            for each in values[first : first + VALUES_PER_CALL]
        ]
        put = partial(cloudwatch.put_metric_data, Namespace=run.settings.namespace, MetricData=data)
        run.attempt("cloudwatch:PutMetricData", put)


def _wire(place: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in place.items()]
