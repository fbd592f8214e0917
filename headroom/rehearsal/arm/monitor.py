"""Log Analytics and Azure Monitor metrics: what a scenario says that they hold, cut to the time that is asked for.

A scenario names answers to log queries: the first whose every `match` is in the query is given, with the rows of the
asked time span up to the simulated now. Metrics are points in time, which are summed up as the query asks. Nothing is
made up: a query without an answer, and a metric that no point was ever written of, are errors, as in Azure.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from headroom.rehearsal.arm.errors import ArmError
from headroom.rehearsal.arm.ids import key_of

_DURATION: Final = re.compile(
    r"P(?:(?P<days>\d+(?:\.\d+)?)D)?(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?"
    r"(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_SECONDS: Final = {"days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}
_DIMENSION: Final = re.compile(r"(\w+)\s+eq\s+'([^']*)'", re.IGNORECASE)

DEFAULT_SPAN_SECONDS: Final = 3_600.0
"""Time span of a metrics query that names none (Azure Monitor REST API, metrics list)."""

DEFAULT_INTERVAL: Final = "PT1M"
"""Grain of a metrics query that names none (Azure Monitor REST API, metrics list)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAnswer:
    """What a log query is answered with.

    Attributes:
        name: What it is called, to be replaced or taken away by.
        match: Texts that the query contains, every one of them, in any case.
        workspace: The workspace that is asked, or the resource; empty for any.
        columns: Name and type of each column, such as `("TimeGenerated", "datetime")`.
        rows: The rows.
        time: The column that says when; rows outside the asked span are left out. Empty: all rows, always.
        delay: Seconds after which a row can be seen (ingestion).
        partial: Code and message of the error beside a partial result; empty for a whole one.
        error: Code and message of an error in place of a result.
        status: HTTP status of that error.
    """

    name: str
    match: tuple[str, ...] = ()
    workspace: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    time: str = ""
    delay: float = 0.0
    partial: tuple[str, str] | tuple[()] = ()
    error: tuple[str, str] | tuple[()] = ()
    status: int = 400

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "LogAnswer":
        """An answer from JSON values.

        Raises:
            ValueError: A name or value is wrong.
        """
        known = {item.name for item in fields(cls)}
        wrong = sorted(set(values) - known)
        if wrong or not values.get("name"):
            raise ValueError(f"an answer needs a name and has no {', '.join(wrong) or 'other fields'}")
        made: dict[str, Any] = dict(values)
        for name in ("match", "partial", "error"):
            made[name] = tuple(made.get(name) or ())
        made["columns"] = tuple((str(one), str(two)) for one, two in made.get("columns") or ())
        made["rows"] = tuple(tuple(row) for row in made.get("rows") or ())
        answer = cls(**made)
        if answer.time and answer.time not in [name for name, _ in answer.columns]:
            raise ValueError(f"time: there is no column {answer.time}")
        if any(len(row) != len(answer.columns) for row in answer.rows):
            raise ValueError(f"every row of {answer.name} needs {len(answer.columns)} values")
        return answer


@dataclass(slots=True, kw_only=True)
class Series:
    """A metric of a resource with one set of dimensions.

    Attributes:
        resource: The resource's id.
        metric: The metric's name.
        dimensions: Its dimensions, such as `{"ConnectionState": "Failed"}`.
        unit: Its unit.
        points: Simulated seconds since the epoch, and the value then.
    """

    resource: str
    metric: str
    dimensions: dict[str, str] = field(default_factory=dict)
    unit: str = "Count"
    points: list[tuple[float, float]] = field(default_factory=list)


class Monitor:
    """The answers and the series."""

    def __init__(self) -> None:
        self.answers: dict[str, LogAnswer] = {}
        self.series: list[Series] = []

    def write(self, values: Mapping[str, Any]) -> None:
        """Adds points to a series, or makes one."""
        points = [(float(when), float(value)) for when, value in values.get("points") or ()]
        dimensions = {str(key): str(value) for key, value in (values.get("dimensions") or {}).items()}
        for series in self.series:
            same = (key_of(series.resource), series.metric, series.dimensions)
            if same == (key_of(values["resource"]), values["metric"], dimensions):
                series.points = sorted([*series.points, *points])
                return
        self.series.append(
            Series(
                resource=values["resource"],
                metric=values["metric"],
                dimensions=dimensions,
                unit=values.get("unit", "Count"),
                points=sorted(points),
            )
        )

    # --- logs ---------------------------------------------------------------------------------------------

    def query(self, workspace: str, body: Mapping[str, Any], now: float, *, empty: bool = False) -> dict[str, Any]:
        """Answers a log query.

        Raises:
            ArmError: The answer is an error, or there is none.
        """
        text = str(body.get("query") or "")
        answer = next(
            (
                found
                for found in self.answers.values()
                if found.workspace.casefold() in {"", workspace.casefold()}
                and all(part.casefold() in text.casefold() for part in found.match)
            ),
            None,
        )
        if answer is None:
            raise ArmError(
                400,
                "BadArgumentError",
                f"The rehearsal has no answer to this query of workspace {workspace}: {text}",
            )
        if answer.error:
            code, message = answer.error
            raise ArmError(answer.status, code, message)
        start, end = span(body.get("timespan"), now)
        rows = [] if empty else [list(row) for row in _seen(answer, start, min(end, now), now)]
        columns = [{"name": name, "type": type_} for name, type_ in answer.columns]
        result: dict[str, Any] = {"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]}
        if answer.partial:
            code, message = answer.partial
            result["error"] = {
                "code": "PartialError",
                "message": "There were some errors when processing your query.",
                "details": [{"code": code, "message": message}],
            }
        return result

    # --- metrics ------------------------------------------------------------------------------------------

    def metrics(  # noqa: PLR0913  # what a metrics query says
        self,
        resource: str,
        names: list[str],
        *,
        start: float,
        end: float,
        interval: str,
        aggregations: list[str],
        filter_: str,
        now: float,
    ) -> list[dict[str, Any]]:
        """The metrics of a resource.

        Raises:
            ArmError: Nobody ever wrote such a metric.
        """
        known = sorted({series.metric for series in self.series})
        values = []
        for name in names:
            if name not in known:
                raise ArmError(
                    400,
                    "BadRequest",
                    f"Failed to find metric configuration for provider, resource {resource}, metric: {name}, Valid "
                    f"metrics: {','.join(known)}",
                )
            found = [s for s in self.series if s.metric == name and key_of(s.resource) == key_of(resource)]
            wanted = dict(_DIMENSION.findall(filter_))
            found = [s for s in found if all(value in {"*", s.dimensions.get(key)} for key, value in wanted.items())]
            grouped: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
            for series in found:
                key = tuple((dimension, series.dimensions.get(dimension, "")) for dimension in wanted)
                grouped.setdefault(key, []).extend(series.points)
            values.append(
                {
                    "id": f"{resource}/providers/Microsoft.Insights/metrics/{name}",
                    "type": "Microsoft.Insights/metrics",
                    "name": {"value": name, "localizedValue": name},
                    "displayDescription": name,
                    "unit": found[0].unit if found else "Count",
                    "timeseries": [
                        {
                            "metadatavalues": [{"name": {"value": d, "localizedValue": d}, "value": v} for d, v in key],
                            "data": list(_buckets(points, start, min(end, now), interval, aggregations)),
                        }
                        for key, points in grouped.items()
                    ],
                    "errorCode": "Success",
                }
            )
        return values


def _seen(answer: LogAnswer, start: float, end: float, now: float) -> Iterator[tuple[Any, ...]]:
    if not answer.time:
        yield from answer.rows
        return
    place = [name for name, _ in answer.columns].index(answer.time)
    for row in answer.rows:
        when = moment(str(row[place]))
        if start <= when <= end and when + answer.delay <= now:
            yield row


def _buckets(
    points: list[tuple[float, float]], start: float, end: float, interval: str, aggregations: list[str]
) -> Iterator[dict[str, Any]]:
    size = duration(interval)
    low = start
    while low < end:
        values = [value for when, value in points if low <= when < low + size]
        bucket: dict[str, Any] = {"timeStamp": text_of(low)}
        for name in aggregations if values else ():
            bucket[name] = {
                "total": sum(values),
                "count": len(values),
                "average": sum(values) / len(values),
                "minimum": min(values),
                "maximum": max(values),
            }[name]
        yield bucket
        low += size


def duration(text: str) -> float:
    """Seconds of an ISO 8601 duration.

    Raises:
        ArmError: It is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ArmError(400, "BadArgumentError", f"{text} is not an ISO 8601 duration.")
    return sum(float(value) * _SECONDS[name] for name, value in found.groupdict().items() if value)


def moment(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 point in time; UTC where it names no zone.

    Raises:
        ArmError: It is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArmError(400, "BadArgumentError", f"{text} is not an ISO 8601 time.") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def span(text: object, now: float) -> tuple[float, float]:
    """Start and end of a `timespan`: a duration up to now, or both ends, or an end and a duration."""
    if not text:
        return 0.0, now
    first, _, second = str(text).partition("/")
    if not second:
        return now - duration(first), now
    start = moment(first) if not first.startswith("P") else moment(second) - duration(first)
    return start, start + duration(second) if second.startswith("P") else moment(second)


def text_of(when: float) -> str:
    """A point in time as Azure writes it."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
