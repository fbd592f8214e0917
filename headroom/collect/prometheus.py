"""The history of free addresses from a Prometheus server, by a range query (Prometheus documentation, HTTP API).

Whatever answers that API is read: Prometheus, Thanos, Mimir, VictoriaMetrics, a managed service behind a proxy that
signs. A token comes from the environment and nowhere else, and never leaves in the clear or after a redirect.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import urllib3

from headroom.addresses.blocks import Block, usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.forecast import HOUR_SECONDS, Reading

TOKEN_VARIABLE: Final = "PROMETHEUS_TOKEN"  # noqa: S105 - the name of the variable, not a token
"""Environment variable with a bearer token, where the server wants one."""

DEFAULT_QUERY: Final = "min by (subnetid, az, cidrblock) (min_over_time(aws_subnet_exporter_available_ips[1h]))"
"""The lowest value of each hour that aws-subnet-exporter counts (its pkg/prometheus/metrics.go); several replicas of it
are one."""

SUBNET_LABELS: Final = ("subnetid", "subnet_id", "SubnetId", "dimension_SubnetId", "subnet")
ZONE_LABELS: Final = ("az", "availability_zone", "AvailabilityZone", "dimension_AvailabilityZone", "zone")
BLOCK_LABELS: Final = ("cidrblock", "cidr_block", "cidr")
"""Labels that say which subnet, zone and CIDR a series is of, the first one that is there: as exporters call them."""

MOST_POINTS: Final = 11_000
"""Points of one series that a server answers at most (prometheus, web/api/v1/api.go)."""

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 60.0
RETRIES: Final = urllib3.Retry(
    total=3, connect=1, read=1, redirect=0, status=2, status_forcelist=(429, 502, 503, 504), raise_on_status=False,
    backoff_factor=0.2,
)  # fmt: skip
"""A server that says when to come back (429, 503 with Retry-After) is obeyed."""

_SAID: Final = 300
"""Characters of a server's own words that are told."""

_OK: Final = 200
_DENIED: Final = (401, 403)


@dataclass(slots=True, kw_only=True)
class RangeSeries:
    """The history of one subnet or zone.

    Attributes:
        zone: Its zone; empty where no label says.
        subnet: Empty for the zone as a whole.
        usable: What it can hold; None where no label says.
        readings: Values by time; of several series of one place the lowest.
    """

    zone: str
    subnet: str
    usable: int | None = None
    readings: list[Reading] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAnswer:
    """What a range query came to.

    Attributes:
        series: By zone and subnet.
        warnings: What the server warned of, what was left out, and why.
    """

    series: Sequence[RangeSeries]
    warnings: Sequence[str]


def read_range(  # noqa: PLR0913 - what is asked, whom, and by what
    url: str, query: str, *, days: int, now: datetime, environment: Mapping[str, str], pool: Any = None
) -> RangeAnswer:
    """The histories that a query gives.

    Args:
        url: The server, with the path that stands before `/api/v1` where there is one.
        query: PromQL for free addresses, by subnet or by zone.
        days: How far back.
        now: The end.
        environment: Has the token, where one is needed.
        pool: urllib3's, or one like it.

    Raises:
        ProblemsError: The address is not usable, the server refused or did not answer, or no series says where it is.
    """
    token = environment.get(TOKEN_VARIABLE, "").strip()
    problems = _problems_of(url, token)
    if problems:
        raise ProblemsError(problems, subject="--prometheus")
    step = max(HOUR_SECONDS, math.ceil(days * 24 / (MOST_POINTS - 1)) * HOUR_SECONDS)
    end = now.timestamp() // HOUR_SECONDS * HOUR_SECONDS
    asked = {"query": query, "start": end - days * 86_400, "end": end, "step": f"{step:g}"}
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    shown = urlsplit(url)._replace(query="", fragment="").geturl()
    try:
        answer = (pool or urllib3.PoolManager()).request(
            "GET",
            f"{url.rstrip('/')}/api/v1/query_range?{urlencode(asked)}",
            headers=headers,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=RETRIES,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as error:
        cause = getattr(error, "reason", None) or error
        step_ = "See whether the address is right and reachable from here: `curl URL/-/ready` answers it."
        raise _refused(shown, f"did not answer: {type(cause).__name__}.", step_) from None
    return _read(shown, answer.status, answer.data, token=bool(token))


def _problems_of(url: str, token: str) -> list[Problem]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return [_problem(url, "is no address of a server.", "Write one such as https://prometheus.example.com.")]
    if parts.username or parts.password:
        name = parts.hostname
        return [
            _problem(name, "is written with a name and password.", f"Set {TOKEN_VARIABLE} in the environment instead.")
        ]
    if any(not mark.isprintable() for mark in token):
        return [_problem(TOKEN_VARIABLE, "holds more than one line.", "Set it to the token alone.")]
    if token and parts.scheme == "http" and not _is_here(parts.hostname):
        step = f"Write https://, forward a port to 127.0.0.1, or unset {TOKEN_VARIABLE}."
        return [_problem(parts.hostname, "would get the token in the clear.", step)]
    return []


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(shown: str, status: int, body: bytes, *, token: bool) -> RangeAnswer:
    if status in _DENIED:
        step = f"{'The token is not accepted' if token else 'No token was sent'}: set {TOKEN_VARIABLE}."
        raise _refused(shown, f"refused to answer (HTTP {status}).", step)
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("status") not in {"success", "error"}:
        step = "Name the address before /api/v1; a proxy may want a path."
        raise _refused(shown, f"is no Prometheus: HTTP {status} without its answer.", step)
    if content["status"] == "error" or status != _OK:
        said = f"{content.get('errorType', '')}: {content.get('error', '')}"
        raise _refused(shown, f"refused the query ({_clean(said)}).", "Mend --query; try it in the server's own page.")
    data = content.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise _refused(shown, "answered no range of values.", "A query gives series: no scalar and no string.")
    warnings = [f"The server warned: {_clean(str(each))}." for each in content.get("warnings") or ()]
    series = _series(data["result"], warnings)
    if not series:
        labels = sorted({str(name) for each in data["result"] for name in (each.get("metric") or {})})
        had = f"its series have the labels {_clean(', '.join(labels)) or 'none'}" if data["result"] else "it is empty"
        step = f"Write a query with a label {' or '.join(SUBNET_LABELS[:2])} (or {' or '.join(ZONE_LABELS[:2])})."
        raise _refused(shown, f"has no free addresses of a subnet in its answer: {had}.", step)
    return RangeAnswer(series=series, warnings=warnings)


def _series(results: Iterable[Any], warnings: list[str]) -> list[RangeSeries]:
    """One series for each place; notes what had to be left out or put together."""
    found: dict[tuple[str, str], RangeSeries] = {}
    lowest: dict[tuple[str, str], dict[float, float]] = {}
    nowhere = bad = together = 0
    for result in results:
        labels = {str(name): str(value) for name, value in (result.get("metric") or {}).items()}
        subnet, zone = _first(labels, SUBNET_LABELS), _first(labels, ZONE_LABELS)
        if not subnet and not zone:
            nowhere += 1
            continue
        place = (zone, subnet)
        together += place in found
        each = found.setdefault(place, RangeSeries(zone=zone, subnet=subnet))
        if subnet:
            each.usable = _usable(_first(labels, BLOCK_LABELS)) or each.usable
        values = lowest.setdefault(place, {})
        for pair in result.get("values") or ():
            value = _value(pair)
            if value is None:
                bad += 1
            else:
                values[value.time] = min(value.value, values.get(value.time, math.inf))
    for place, values in lowest.items():
        found[place].readings = [Reading(time, values[time]) for time in sorted(values)]
    if nowhere:
        warnings.append(f"{nowhere} series without a label for subnet or zone are left out.")
    if together:
        warnings.append(f"{together} further series of a place that has one are put together: the lowest value counts.")
    if bad:
        warnings.append(f"{bad} values that are no number, or negative, are left out.")
    return [found[place] for place in sorted(found) if found[place].readings]


def _first(labels: Mapping[str, str], names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name, "").isprintable() and labels.get(name)), "")


def _usable(text: str) -> int | None:
    try:
        return usable_addresses(Block.parse(text)) if text else None
    except ProblemsError:
        return None


def _value(pair: Any) -> Reading | None:
    try:
        time, value = float(pair[0]), float(pair[1])
    except (TypeError, ValueError, LookupError):
        return None
    return Reading(time, value) if math.isfinite(time) and math.isfinite(value) and value >= 0 else None


def _clean(text: str) -> str:
    """A server's words, on one line and not too many."""
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split()).strip(":. ")
    return line if len(line) <= _SAID else f"{line[:_SAID]}…"


def _problem(value: str, reason: str, next_step: str) -> Problem:
    return Problem(rule="prometheus", key="--prometheus", value=value, reason=reason, next_step=next_step)


def _refused(url: str, reason: str, next_step: str) -> ProblemsError:
    return ProblemsError([_problem(url, reason, next_step)], subject="headroom forecast")
