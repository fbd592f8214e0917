"""A history and what follows from it, drawn in characters."""

from collections.abc import Sequence
from typing import Final

from headroom.capacity.forecast import DAY_SECONDS, HORIZON_DAYS, Forecast, Reading

WIDTH: Final = 64
HEIGHT: Final = 8
LABEL: Final = 8
"""Columns of the scale at the left."""

PAST, EXPECTED, RANGE, NOW = "█", "•", "░", "│"


def chart(readings: Sequence[Reading], found: Forecast, *, width: int = WIDTH, height: int = HEIGHT) -> list[str]:
    """The history as bars, then the projection with its 95 % range, on one scale from 0.

    Each column is the lowest value of its time. The history takes two fifths of the width and the projection the
    rest; empty where there is neither history nor projection.

    Args:
        readings: The history, in any order.
        found: Its forecast.
        width: Columns of the drawing, the scale left out.
        height: Lines of the drawing, the dates left out.
    """
    if not readings or found.now is None or found.six_months is None:
        return []
    ordered = sorted(readings, key=lambda reading: reading.time)
    first, last = ordered[0].time, ordered[-1].time
    past = width * 2 // 5
    ahead = width - past - 1
    lowest: list[float | None] = [None] * past
    for reading in ordered:
        column = min(past - 1, int((reading.time - first) / max(last - first, 1.0) * past))
        before = lowest[column]
        lowest[column] = reading.value if before is None else min(before, reading.value)
    months = found.six_months
    shares = [(column + 1) / ahead for column in range(ahead)]
    lines = [[found.now + (end - found.now) * share for share in shares] for end in (months.low, months.high)]
    expected = [max(0.0, found.now + found.per_day * HORIZON_DAYS * share) for share in shares]
    drawn = [value for value in lowest if value is not None]
    top = max(1.0, *drawn, *lines[1], *expected)
    rows = []
    for row in range(height, 0, -1):
        bottom, middle = top * (row - 1) / height, top * (row - 0.5) / height
        cells = [PAST if value is not None and value > bottom else " " for value in lowest]
        cells.append(NOW)
        for low, high, value in zip(*lines, expected, strict=True):
            inside = bottom <= value < top * row / height or (row == height and value >= top)
            cells.append(EXPECTED if inside else RANGE if low <= middle <= high else " ")
        scale = f"{top * row / height:,.0f}" if row in (height, height // 2) else ""
        rows.append(f"{scale:>{LABEL}} {''.join(cells)}".rstrip())
    days = max(1, round((last - first) / DAY_SECONDS))
    left, right = f"{days} day{'s' if days != 1 else ''} ago", f"in {HORIZON_DAYS} days"
    under = f"{left:<{past}}now"
    rows.append(f"{0:>{LABEL}} {under}{right:>{width - len(under)}}")
    return rows
