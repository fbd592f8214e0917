"""What the gate of a traffic shift looks at: the origins in Front Door, and the requests' log.

The log is a table of one row a minute and cluster: `Minute`, `Cluster`, `Requests`, `Errors`, `P95`. Application
Insights keeps a sample of the requests; `ItemCount` is how many each row stands for (AppRequests reference), so that
counts are sums of it and the percentile is weighted by it.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol, TypeVar

from azure.core.exceptions import AzureError, HttpResponseError
from azure.monitor.query import LogsQueryPartialResult

from headroom.collect.azure_session import NOT_FOUND, unknown_of
from headroom.facts.values import Fact, Reason, Unknown
from headroom.planning.front_door import DEFAULT_PRIORITY, DEFAULT_WEIGHT
from headroom.planning.gate import Minute
from headroom.planning.records import time_text
from headroom.planning.traffic import GroupState, OriginState, Traffic

T = TypeVar("T")

COLUMNS: Final = ("Minute", "Cluster", "Requests", "Errors", "P95")
"""Columns of the answer, of the default query and of one of the user's own."""

DEFAULT_QUERY: Final = """AppRequests
| where TimeGenerated >= datetime({start}) and TimeGenerated < datetime({end})
| extend Cluster = tostring(Properties["{property}"])
| where Cluster in ("{old}", "{new}")
| summarize Requests = sum(ItemCount), Errors = sumif(ItemCount, Success == false),
    P95 = percentilew(DurationMs, ItemCount, 95) by Minute = bin(TimeGenerated, 1m), Cluster
| order by Minute asc"""

SERVER_SECONDS: Final = 60
"""How long the workspace may work on it."""


class LogsClient(Protocol):
    """The part of `azure.monitor.query.LogsQueryClient` that is used."""

    @property
    def query_workspace(self) -> Callable[..., Any]:
        """Asks a workspace."""


class OriginsClient(Protocol):
    """The part of `azure.mgmt.cdn.CdnManagementClient` that is used."""

    @property
    def afd_origins(self) -> Any:
        """Operations on origins."""

    @property
    def afd_origin_groups(self) -> Any:
        """Operations on their groups."""


def read_origins(
    client: OriginsClient, traffic: Traffic, *, at: Callable[[datetime], None] = lambda _: None
) -> Fact[Mapping[str, OriginState]]:
    """How every origin of the group stands, by name; ``None``: the group is not there; unknown where the call failed.

    `at` is told the service's own time, so that a clock that is wrong here moves no window of minutes.
    """
    return _attempt("Front Door's origins", lambda: _origins(client, traffic, at))


def read_group(client: OriginsClient, traffic: Traffic) -> Fact[GroupState]:
    """How the origin group stands; ``None``: it is not there; unknown where the call failed."""
    return _attempt("Front Door's origin group", lambda: _group(client, traffic))


def read_minutes(client: LogsClient, traffic: Traffic, start: datetime, end: datetime) -> Fact[tuple[Minute, ...]]:
    """The minutes of both clusters in a span of time.

    ``None``: the workspace is not there; unknown where the query failed or was answered in part.
    """
    return _attempt("the requests' log", lambda: _minutes(client, traffic, start, end))


def query_text(traffic: Traffic, start: datetime, end: datetime) -> str:
    """The query: the user's own or the one over AppRequests, with its span and the names of both clusters."""
    values = {
        "start": time_text(start),
        "end": time_text(end),
        "property": traffic.gate.cluster_property,
        "old": traffic.old.label,
        "new": traffic.new.label,
    }
    text = traffic.gate.query or DEFAULT_QUERY
    # Not format(): a query of Kusto's has braces of its own.
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _attempt(what: str, read: Callable[[], Fact[T]]) -> Fact[T]:
    try:
        return read()
    except AzureError as error:
        if isinstance(error, HttpResponseError) and error.status_code == NOT_FOUND:
            return None
        unknown = unknown_of(error)
        return Unknown(unknown.reason, f"{what}: {unknown.detail}")
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return Unknown(Reason.UNPARSEABLE, f"{what}: the answer has another form: {type(error).__name__}")


def _origins(client: OriginsClient, traffic: Traffic, at: Callable[[datetime], None]) -> Mapping[str, OriginState]:
    def seen(response: Any) -> None:
        date = response.http_response.headers.get("Date")
        if date:
            at(parsedate_to_datetime(date))

    listed = client.afd_origins.list_by_origin_group(
        traffic.resource_group, traffic.profile, traffic.origin_group, raw_response_hook=seen
    )
    return {
        str(origin.name): OriginState(
            enabled=origin.enabled_state != "Disabled",
            weight=DEFAULT_WEIGHT if origin.weight is None else int(origin.weight),
            priority=DEFAULT_PRIORITY if origin.priority is None else int(origin.priority),
            host_name=str(origin.host_name or ""),
        )
        for origin in listed
    }


def _group(client: OriginsClient, traffic: Traffic) -> GroupState:
    group = client.afd_origin_groups.get(traffic.resource_group, traffic.profile, traffic.origin_group)
    balancing, probe = group.load_balancing_settings, group.health_probe_settings
    latency = balancing.additional_latency_in_milliseconds if balancing else None
    return GroupState(
        session_affinity=group.session_affinity_state == "Enabled",
        latency_milliseconds=0 if latency is None else int(latency),
        probe_path=str((probe.probe_path if probe else None) or ""),
    )


def _minutes(client: LogsClient, traffic: Traffic, start: datetime, end: datetime) -> tuple[Minute, ...] | Unknown:
    result = client.query_workspace(
        traffic.gate.workspace_id,
        query_text(traffic, start, end),
        timespan=(start, end),
        server_timeout=SERVER_SECONDS,
    )
    if isinstance(result, LogsQueryPartialResult):
        code = getattr(result.partial_error, "code", "") or "PartialError"
        return Unknown(Reason.UNREACHABLE, f"the requests' log answered in part: {code}")
    (table,) = result.tables
    if missing := [name for name in COLUMNS if name not in table.columns]:
        return Unknown(Reason.UNPARSEABLE, f"the requests' log: the answer lacks {', '.join(missing)}")
    minutes = tuple(_minute(row) for row in table.rows)
    if len({(minute.start, minute.label) for minute in minutes}) < len(minutes):
        return Unknown(Reason.UNPARSEABLE, "the requests' log: the answer has two rows of one minute and cluster")
    return minutes


def _minute(row: Any) -> Minute:
    start = row["Minute"]
    start = start if isinstance(start, datetime) else datetime.fromisoformat(str(start))
    if start.tzinfo is None or start.second or start.microsecond:
        raise ValueError(start)
    p95 = row["P95"]
    if _count(row["Errors"]) > _count(row["Requests"]):
        raise ValueError(row["Errors"])
    return Minute(
        start=start.astimezone(UTC),
        label=str(row["Cluster"]),
        requests=_count(row["Requests"]),
        errors=_count(row["Errors"]),
        p95=None if p95 is None else float(p95),
    )


def _count(value: object) -> float:
    """A number of requests: never negative, never NaN."""
    count = float(str(value))
    if not math.isfinite(count) or count < 0:
        raise ValueError(value)
    return count
