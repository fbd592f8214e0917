"""Requests that come through a simulated Front Door: split as its edges split them, logged as Log Analytics has them.

How well a cluster answers is the scenario's; which cluster is asked is Front Door's alone: its weights as they have
reached the edges, minute by minute.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from headroom.rehearsal.arm.endpoint import Endpoint

MINUTE: Final = 60.0
COLUMNS: Final = (
    ("Minute", "datetime"),
    ("Cluster", "string"),
    ("Requests", "long"),
    ("Errors", "long"),
    ("P95", "real"),
)
KEPT: Final = 4 * 60
"""Minutes of which the log keeps rows."""
LATE_SECONDS: Final = 120.0
"""Seconds after which a minute's row can be read (Azure Monitor documentation, data-ingestion-time: 20 s to 3 min)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a cluster answers.

    Attributes:
        errors: Share of its requests that fail.
        p95: 95th percentile of its answers, in milliseconds.
    """

    errors: float = 0.001
    p95: float = 230.0


@dataclass(slots=True, kw_only=True)
class Visitors:
    """The requests of a shop.

    Attributes:
        arm: The simulated Azure.
        group: Id of the origin group.
        labels: What the log calls the cluster behind an origin, by the origin's name.
        per_minute: Requests a minute.
        capacity: What clusters can answer in a minute, by their labels; those that are not named can answer all.
        short: How a cluster answers that is asked for more.
    """

    arm: Endpoint
    group: str
    labels: Mapping[str, str]
    per_minute: int = 600
    capacity: Callable[[], Mapping[str, int]] = dict
    short: Manners = Manners(errors=0.05, p95=1000.0)
    _rows: list[list[Any]] = field(default_factory=list)
    _next: int = 0

    def pass_minutes(self, count: int) -> None:
        """Lets minutes pass; each is split as the edges know the weights at its end."""
        capacity = self.capacity()
        for _ in range(count):
            self._until(self.arm.advance(MINUTE), capacity)
        del self._rows[: -KEPT * len(self.labels)]
        self.arm.answer_logs(
            "requests",
            match=["AppRequests", "sum(ItemCount)"],
            columns=[list(column) for column in COLUMNS],
            rows=self._rows,
            time="Minute",
            delay=LATE_SECONDS,
        )

    def _until(self, now: float, capacity: Mapping[str, int]) -> None:
        """The requests of every whole minute since the last look; visitors do not wait for anybody's commands."""
        whole = int(now // MINUTE)
        shares = self.arm.split(self.group)
        for minute in range(max(self._next, whole - KEPT), whole):
            start = datetime.fromtimestamp(minute * MINUTE, UTC).isoformat()
            for origin, share in sorted(shares.items()):
                requests = round(self.per_minute * share)
                if requests:
                    label = self.labels[origin]
                    manners = self.short if requests > capacity.get(label, requests) else Manners()
                    self._rows.append([start, label, requests, round(requests * manners.errors), manners.p95])
        self._next = whole

    def shares(self) -> dict[str, float]:
        """Which share of the requests each cluster gets now, by its label."""
        return {self.labels[name]: share for name, share in self.arm.split(self.group).items()}
