"""A history of free addresses and what follows from it, as a picture for the page; the same in words beneath.

Inline SVG without a script. The past is a filled area, the projection a dashed line, its 95 % range hatched by a
lighter fill between two lines: shapes tell them apart, not colours alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from headroom.capacity.forecast import DAY_SECONDS, HORIZON_DAYS, Forecast, Reading

WIDTH: Final = 720
HEIGHT: Final = 160
LEFT: Final = 56
"""Room for the scale."""
BOTTOM: Final = 18
"""Room for the dates."""
PAST_SHARE: Final = 0.4
COLUMNS: Final = 144
"""Columns of the past: of each the lowest value is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastView:
    """A place's forecast, for the page.

    Attributes:
        name: The zone or subnet.
        anchor: Id of its heading.
        svg: The picture; empty where there is nothing to draw.
        words: What it shows.
        figures: Name and value of each figure, for the table.
    """

    name: str
    anchor: str
    svg: str
    words: str
    figures: tuple[tuple[str, str], ...]


def forecast_view(
    number: int, name: str, readings: Sequence[Reading], found: Forecast, *, usable: int | None = None
) -> ForecastView:
    """A place's forecast, drawn and in words.

    Args:
        number: Which of the page's forecasts it is.
        name: The zone or subnet.
        readings: Its history.
        found: What follows from it.
        usable: What it can hold.
    """
    anchor = f"forecast-{number}"
    total = f" of {usable:,}" if usable is not None else ""
    now = "unknown" if found.now is None else f"{found.now:,.0f}{total}"
    months = found.six_months
    end = "not foreseen" if found.trend != "unknown" else "unknown"
    if found.days_until_empty is not None and readings:
        end = f"{_date(readings, found.days_until_empty)}, in {found.days_until_empty:,.0f} days"
        early, late = found.earliest, found.latest
        if early is not None:
            until = "open" if late is None else _date(readings, late)
            end += f" (between {_date(readings, early)} and {until}, 95 %)"
    figures = (
        ("free now, at the usual low of a day", now),
        ("a day", f"{found.per_day:+,.1f}" if found.trend in {"falling", "rising"} else "no trend"),
        ("empty", end),
        (
            f"in {HORIZON_DAYS} days",
            "unknown" if months is None else f"{months.expected:,.0f} ({months.low:,.0f} to {months.high:,.0f})",
        ),
    )
    return ForecastView(
        name=name,
        anchor=anchor,
        svg=_svg(readings, found, f"{anchor}-words"),
        words=found.reason,
        figures=figures,
    )


def _date(readings: Sequence[Reading], days: float) -> str:
    last = max(reading.time for reading in readings)
    return datetime.fromtimestamp(last + days * DAY_SECONDS, UTC).date().isoformat()


def _svg(readings: Sequence[Reading], found: Forecast, label: str) -> str:
    months = found.six_months
    if not readings or found.now is None or months is None:
        return ""
    first, last = min(each.time for each in readings), max(each.time for each in readings)
    lowest: dict[int, float] = {}
    for each in readings:
        column = min(COLUMNS - 1, int((each.time - first) / max(last - first, 1.0) * COLUMNS))
        lowest[column] = min(each.value, lowest.get(column, each.value))
    top = max(1.0, *lowest.values(), found.now, months.high)
    edge = LEFT + (WIDTH - LEFT) * PAST_SHARE
    floor = HEIGHT - BOTTOM

    def height(value: float) -> float:
        return 4 + (floor - 4) * (1 - min(max(value, 0.0), top) / top)

    step = (edge - LEFT) / COLUMNS
    past = "".join(
        f"M{LEFT + column * step:.1f} {floor}V{height(value):.1f}h{step:.1f}V{floor}z"
        for column, value in sorted(lowest.items())
    )
    now = height(found.now)

    def way(empty: float | None, end: float) -> list[str]:
        """Corners from now to the end of the horizon; along the ground from where nothing is left."""
        begin = f"{edge:.1f} {now:.1f}"
        if empty is None or empty >= HORIZON_DAYS:
            return [begin, f"{WIDTH} {height(end):.1f}"]
        return [begin, f"{edge + (WIDTH - edge) * empty / HORIZON_DAYS:.1f} {floor}", f"{WIDTH} {floor}"]

    ahead = f"M{'L'.join(way(found.days_until_empty, months.expected))}"
    band = f"M{'L'.join([*way(found.latest, months.high), *reversed(way(found.earliest, months.low))])}z"
    days = max(1, round((last - first) / DAY_SECONDS))
    texts = (
        f'<text x="{LEFT - 6}" y="14" text-anchor="end">{top:,.0f}</text>'
        f'<text x="{LEFT - 6}" y="{floor}" text-anchor="end">0</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 4}">{days} day{"s" if days != 1 else ""} ago</text>'
        f'<text x="{edge:.1f}" y="{HEIGHT - 4}" text-anchor="middle">now</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">in {HORIZON_DAYS} days</text>'
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{label}" focusable="false">'
        f'<path class="past" d="{past}"/><path class="range" d="{band}"/><path class="ahead" d="{ahead}"/>'
        f'<path class="today" d="M{edge:.1f} 4V{floor}"/>{texts}</svg>'
    )
