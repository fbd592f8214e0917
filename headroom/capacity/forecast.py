"""When a subnet runs dry, from the history of its free addresses or free /28s.

The history is reduced to one low value a day (or an hour where it is short), because a subnet is empty on its
worst hour, and a low quantile shrugs off a restart of nodes or of whoever measures. A weekly (daily) pattern is
taken out. Steps, which a new subnet or a removed workload makes, are found and not taken for a trend, unless they
come again and again in one direction. Where the last weeks go another way than all before, only they count. The
trend is the median of the slopes between pairs of days (Theil 1950, Sen 1968) with the confidence interval that goes
with it, widened for days that resemble their neighbours. Where that interval holds zero, there is no trend, and none is
made up.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

Trend = Literal["falling", "rising", "none", "unknown"]

HORIZON_DAYS: Final = 182
"""Six months: how far a projection reaches."""

FURTHEST_DAYS: Final = 3650
"""A subnet that lasts longer than this is not given a day."""

DAY_SECONDS: Final = 86_400.0
HOUR_SECONDS: Final = 3_600.0

LOW_QUANTILE: Final = 0.1
"""Which part of a day's values lies below the one that stands for it."""

LEAST_BINS: Final = 7
"""Fewer days (or hours) than this are no history."""

LEAST_DAYS: Final = 10
"""A shorter history is looked at by the hour."""

MOST_BINS: Final = 400
"""Of a longer history only the last days count: what it was a year ago says little."""

CONFIDENCE: Final = 1.96
"""Standard errors on either side of a 95 % interval."""

NORMAL_MAD: Final = 1.4826
"""Standard deviations of a normal distribution in one median absolute deviation."""

STEP_DEVIATIONS: Final = 6.0
"""A level that changes by more than so many deviations of the differences between days may be a step."""

STEP_SIDE: Final = 4
"""Days on either side that have to agree that there was a step. What is over sooner is a disturbance."""

REPEATED_STEPS: Final = (2, 3)
"""So many steps down, or up, and none in the other direction, are a way to grow: workloads that come one by one, or
room that is given back. Two times that somebody added room are no promise of a third."""


TURN_DAYS: Final = (28, 14, 7)
"""So many days may go another way than the whole history: growth that began, or ended."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of the history.

    Attributes:
        time: Seconds of any epoch.
        value: Free addresses, or free /28s.
    """

    time: float
    value: float


@dataclass(frozen=True, slots=True)
class Step:
    """A lasting change from one day to the next.

    Attributes:
        time: When, in seconds of the readings' epoch.
        change: By how much; negative where less was free afterwards.
    """

    time: float
    change: float


@dataclass(frozen=True, slots=True)
class Projection:
    """What is to be expected at the end of the horizon.

    Attributes:
        expected: The most likely value, not below 0.
        low: Where 95 % of the outcomes lie above, should the trend last, half of the rest below.
        high: Where half of the rest lies above.
    """

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a history says of the future.

    Attributes:
        trend: `none` where no trend can be told from chance; `unknown` where the history is too short.
        reason: What the answer rests on, or why there is none.
        now: The usual low of today; None where nothing was read.
        per_day: Change a day; 0 without trend.
        per_day_range: The 95 % interval of the slope, whether it is a trend or not.
        days_until_empty: Days from the last reading on; None where it will not be empty, or not within
            `FURTHEST_DAYS`, or nothing can be said.
        earliest: The same at the steep end of the interval.
        latest: The same at the flat end; None where that is not within `FURTHEST_DAYS`.
        six_months: The value at the end of the horizon; None where nothing can be said.
        steps: Lasting changes that were left out of the trend.
        bins: Days or hours that the history came to.
        unit_seconds: What one of them is.
        weekly: Whether a weekly (by the hour: daily) pattern was taken out.
    """

    trend: Trend
    reason: str
    now: float | None
    per_day: float = 0.0
    per_day_range: tuple[float, float] = (0.0, 0.0)
    days_until_empty: float | None = None
    earliest: float | None = None
    latest: float | None = None
    six_months: Projection | None = None
    steps: tuple[Step, ...] = ()
    bins: int = 0
    unit_seconds: float = DAY_SECONDS
    weekly: bool = False


@dataclass(frozen=True, slots=True)
class _Bin:
    """One day or hour: its number, and the low value that stands for it."""

    number: int
    value: float


@dataclass(frozen=True, slots=True)
class _Slope:
    """The median slope a bin, and its interval."""

    value: float
    low: float
    high: float


def forecast(readings: Iterable[Reading], *, most: float | None = None) -> Forecast:
    """Forecasts when nothing will be free any more.

    Args:
        readings: The history in any order. Of several values at one time the last counts; what is not finite or
            negative is left out.
        most: What can be free at most (the subnet's usable addresses), which no projection exceeds.
    """
    history = _clean(readings)
    if not history:
        return Forecast(trend="unknown", reason="There is no reading.", now=None)
    unit = DAY_SECONDS if history[-1].time - history[0].time >= LEAST_DAYS * DAY_SECONDS else HOUR_SECONDS
    bins = _bins(history, unit)[-MOST_BINS:]
    name = "days" if unit == DAY_SECONDS else "hours"
    if len(bins) < LEAST_BINS:
        return Forecast(
            trend="unknown",
            reason=f"{len(bins)} {name if len(bins) != 1 else name[:-1]} of history: at least {LEAST_BINS} are needed.",
            now=history[-1].value,
            bins=len(bins),
            unit_seconds=unit,
        )
    period = 7 if unit == DAY_SECONDS else 24
    pattern = _pattern(bins, period)
    flat = [_Bin(each.number, each.value - pattern[each.number % period]) for each in bins] if pattern else bins
    steps = _steps(flat)
    repeated = _repeated([change for _, change in steps])
    segments = [flat] if repeated else _segments(flat, [index for index, _ in steps])
    slope = _slope(segments)
    turned = 0
    for days in TURN_DAYS if unit == DAY_SECONDS else ():
        recent = _turn(segments, days)
        if recent:
            segments, slope, turned = recent, _slope(recent), days
    left_out = () if repeated else tuple(Step(flat[index].number * unit, change) for index, change in steps)
    return _judged(
        flat,
        segments[-1],
        slope,
        lowest=min(pattern) if pattern else 0.0,
        most=most,
        unit=unit,
        steps=left_out,
        reason=_reason(len(bins), name, bool(pattern), left_out, turned=turned, repeated=repeated),
        weekly=bool(pattern),
    )


def _judged(  # noqa: PLR0913 - what was found
    bins: Sequence[_Bin],
    last: Sequence[_Bin],
    slope: _Slope,
    *,
    lowest: float,
    most: float | None,
    unit: float,
    steps: tuple[Step, ...],
    reason: str,
    weekly: bool,
) -> Forecast:
    per_day = DAY_SECONDS / unit
    trend: Trend = "none"
    if slope.high < 0:
        trend = "falling"
    elif slope.low > 0:
        trend = "rising"
    used = slope.value if trend != "none" else 0.0
    end = bins[-1].number
    level = _median([each.value - used * (each.number - end) for each in last])
    spread = _spread([each.value - level - used * (each.number - end) for each in last])
    # The lowest day of the week is the one on which it is empty.
    now = max(0.0, level + lowest)
    top = math.inf if most is None else most
    ahead = HORIZON_DAYS * per_day
    edge = CONFIDENCE * spread
    ends = trend == "falling" or now == 0
    return Forecast(
        trend=trend,
        reason=reason if trend != "none" else f"{reason} No trend can be told from chance.",
        now=min(now, top),
        per_day=used * per_day,
        per_day_range=(slope.low * per_day, slope.high * per_day),
        days_until_empty=_days(now, used, per_day) if ends else None,
        earliest=_days(now - edge, slope.low, per_day) if ends else None,
        latest=_days(now + edge, slope.high, per_day) if trend == "falling" else None,
        six_months=Projection(
            expected=_within(now + used * ahead, top),
            low=_within(now + slope.low * ahead - edge, top),
            high=_within(now + slope.high * ahead + edge, top),
        ),
        steps=steps,
        bins=len(bins),
        unit_seconds=unit,
        weekly=weekly,
    )


def _reason(  # noqa: PLR0913 - what there is to say
    bins: int,
    name: str,
    pattern: bool,  # noqa: FBT001 - private
    steps: Sequence[Step],
    *,
    turned: int,
    repeated: bool,
) -> str:
    parts = [f"{bins} {name} of history"]
    if pattern:
        parts.append(f"a {'weekly' if name == 'days' else 'daily'} pattern taken out")
    if steps:
        parts.append(f"{len(steps)} lasting step{'s' if len(steps) != 1 else ''} left out")
    if repeated:
        parts.append("steps that come again in one direction taken as the trend")
    if turned:
        parts.append(f"the last {turned} days go another way and alone count")
    return f"{', '.join(parts)}."


def _clean(readings: Iterable[Reading]) -> list[Reading]:
    """The readings in order of time, one for each time."""
    by_time = {
        reading.time: reading
        for reading in readings
        if math.isfinite(reading.time) and math.isfinite(reading.value) and reading.value >= 0
    }
    return [by_time[time] for time in sorted(by_time)]


def _bins(history: Sequence[Reading], unit: float) -> list[_Bin]:
    """One low value for each day or hour that has any."""
    values: dict[int, list[float]] = {}
    for reading in history:
        values.setdefault(int(reading.time // unit), []).append(reading.value)
    return [_Bin(number, _quantile(sorted(values[number]), LOW_QUANTILE)) for number in sorted(values)]


def _pattern(bins: Sequence[_Bin], period: int) -> tuple[float, ...] | None:
    """What each day of the week (hour of the day) deviates from its neighbourhood; None for less than two turns.

    The neighbourhood is the median of one turn around, so a step does not look like a pattern. At the ends it is
    lopsided, so what changes from one turn to the next is taken out of it.
    """
    if bins[-1].number - bins[0].number + 1 < 2 * period:
        return None
    half = period // 2
    numbers = [each.number for each in bins]
    values_by_number = {each.number: each.value for each in bins}
    turns = [
        (values_by_number[each.number + period] - each.value) / period
        for each in bins
        if each.number + period in values_by_number
    ]
    drift = _median(turns) if turns else 0.0
    apart: list[list[float]] = [[] for _ in range(period)]
    for each in bins:
        around = bins[bisect_left(numbers, each.number - half) : bisect_left(numbers, each.number + half + 1)]
        if len(around) > half:
            level = _median([other.value - drift * (other.number - each.number) for other in around])
            apart[each.number % period].append(each.value - level)
    if any(len(values) < 2 for values in apart):  # noqa: PLR2004 - a pattern has to repeat
        return None
    pattern = [_median(values) for values in apart]
    # Only what is larger than the scatter of the same days is a pattern.
    scatter = _median([abs(value - middle) for values, middle in zip(apart, pattern, strict=True) for value in values])
    if max(pattern) - min(pattern) <= 2 * NORMAL_MAD * scatter:
        return None
    middle = _median(pattern)
    return tuple(value - middle for value in pattern)


def _steps(bins: Sequence[_Bin]) -> list[tuple[int, float]]:
    """Where the level changes for good, and by how much: the index of the first bin after each step."""
    if len(bins) < 2 * STEP_SIDE:
        return []
    slopes = [(after.value - before.value) / (after.number - before.number) for before, after in pairwise(bins)]
    usual = _median(slopes)
    scatter = NORMAL_MAD * _median([abs(each - usual) for each in slopes])
    # Free addresses are whole numbers: a history without any scatter still has that of rounding.
    least = STEP_DEVIATIONS * max(scatter, 0.5, 0.005 * _median([each.value for each in bins]))
    found: list[tuple[int, float]] = []
    for index in range(STEP_SIDE, len(bins) - STEP_SIDE + 1):
        # As they would be on the day of the step, had they only changed as usual.
        day = bins[index].number
        before, after = (
            [each.value - usual * (each.number - day) for each in bins[first : first + STEP_SIDE]]
            for first in (index - STEP_SIDE, index)
        )
        old, new = _median(before), _median(after)
        change = new - old
        half = change * change / 2
        at_once = (after[0] - before[-1]) * change > half
        # Two days that are like the other side are a disturbance that begins or ends.
        lasting = sum((value - old) * change > half for value in after) >= STEP_SIDE - 1
        lasted = sum((new - value) * change > half for value in before) >= STEP_SIDE - 1
        if abs(change) > least and at_once and lasting and lasted:
            found.append((index, change))
    return _largest_apart(found)


def _repeated(changes: Sequence[float]) -> bool:
    """Whether steps come again and again in one direction."""
    down, up = REPEATED_STEPS
    return len(changes) >= (up if changes and changes[0] > 0 else down) and len({each > 0 for each in changes}) == 1


def _largest_apart(found: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Of candidates that are neighbours, the largest: they are one step seen from several days."""
    chosen: list[tuple[int, float]] = []
    for index, change in sorted(found, key=lambda pair: -abs(pair[1])):
        if all(abs(index - other) >= STEP_SIDE for other, _ in chosen):
            chosen.append((index, change))
    return sorted(chosen)


def _segments(bins: Sequence[_Bin], starts: Sequence[int]) -> list[Sequence[_Bin]]:
    edges = [0, *starts, len(bins)]
    return [bins[first:end] for first, end in pairwise(edges)]


def _slope(segments: Sequence[Sequence[_Bin]]) -> _Slope:
    """Sen's slope from all pairs within a segment, and its interval (Gilbert 1987, chapter 16.5).

    Pairs across a step say nothing of the slope. The variance of Kendall's statistic is that of independent days;
    where a day resembles the one before, there are in effect fewer of them (von Storch 1995).
    """
    slopes = sorted(
        (after.value - before.value) / (after.number - before.number)
        for segment in segments
        for position, before in enumerate(segment)
        for after in segment[position + 1 :]
    )
    if not slopes:
        return _Slope(0.0, -math.inf, math.inf)
    middle = _median(slopes)
    variance = 0.0
    for segment in segments:
        count = len(segment)
        variance += count * (count - 1) * (2 * count + 5) / 18
    variance *= _redundancy(segments, middle)
    reach = CONFIDENCE * math.sqrt(variance)
    low = max(0, int((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return _Slope(middle, slopes[low], slopes[high])


def _turn(segments: Sequence[Sequence[_Bin]], days: int) -> list[Sequence[_Bin]]:
    """The last days, where they go another way than all before, and than any stretch of as many days before them.

    A staircase is level for days and has not turned: it was level before. The stretch just before may hold the turn.
    """
    end = segments[-1][-1].number
    first = segments[0][0].number
    recent, all_before = _between(segments, end - days, end), _between(segments, first - 1, end - days)
    if end - first + 1 < 2 * days or min(sum(map(len, part)) for part in (recent, all_before)) < LEAST_BINS:
        return []
    since = _slope(recent)
    if not _apart(_slope(all_before), since):
        return []
    for last in range(end - 2 * days, first + days - 2, -days):
        before = _between(segments, last - days, last)
        if sum(map(len, before)) >= LEAST_BINS and not _apart(_slope(before), since):
            return []
    return recent


def _between(segments: Sequence[Sequence[_Bin]], after: int, last: int) -> list[Sequence[_Bin]]:
    """What of each segment lies within."""
    parts = ([each for each in segment if after < each.number <= last] for segment in segments)
    return [part for part in parts if part]


def _apart(one: _Slope, other: _Slope) -> bool:
    """Whether two slopes differ by more than chance: their intervals do not meet."""
    return one.high < other.low or other.high < one.low


def _redundancy(segments: Sequence[Sequence[_Bin]], slope: float) -> float:
    """By how much the likeness of neighbouring days inflates the variance: (1 + r) / (1 - r)."""
    products = squares = 0.0
    for segment in segments:
        level = _median([each.value - slope * each.number for each in segment])
        rest = [each.value - slope * each.number - level for each in segment]
        squares += sum(value * value for value in rest)
        products += sum(before * after for before, after in pairwise(rest))
    likeness = products / squares if squares > 0 else 0.0
    likeness = min(max(likeness, 0.0), 0.95)
    return (1 + likeness) / (1 - likeness)


def _days(now: float, slope: float, per_day: float) -> float | None:
    if now <= 0:
        return 0.0
    if slope >= 0:
        return None
    days = now / (-slope * per_day)
    return days if days <= FURTHEST_DAYS else None


def _within(value: float, most: float) -> float:
    if math.isnan(value):
        return 0.0
    return min(max(value, 0.0), most)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _spread(values: Sequence[float]) -> float:
    return NORMAL_MAD * _median([abs(value) for value in values])


def _quantile(ordered: Sequence[float], part: float) -> float:
    """The value below which that part lies, between its neighbours."""
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
