"""Error of the forecast on histories whose future is known: `python benchmarks/forecast.py [COUNT] [--tune]`.

Each history is the free addresses of one subnet, hour by hour, up to today, and as it really went on for half a year.
What is asked: in how many days is it empty, if that is within half a year, and how much is free in 30 and in 90 days.
The truth is what the
simulation does next: the first day whose low is nothing, and the median of the lows of the week around that day. The
low of a day is the tenth percentile of its hours, because a subnet is empty at its worst hour.

Beside the forecast stand three that anybody can make of the same values: the last value stays (and is never empty), a
straight line through all values, and a straight line through the lows of the days. An answer beyond half a year counts
as half a year, for each alike; so does the answer that it is never empty. How often an end is foreseen within half a
year where none comes stands in a table of its own.

- flat: no growth, a daily and a weekly pattern
- steady: growth that empties the subnet in 20 to 300 days
- seasonal: the same, with strong patterns by day and week
- step: growth, and one lasting step of up to 40 % of what is free
- releases: no growth but by steps that come every few days, and go on coming
- storms: growth, with deploys of hours that take up to half of what is free
- restarts: growth, with nodes that all give back and take again within hours, and zeros where the publisher erred
- gaps: growth, with a third of the history missing, a week of it at once
- noisy: growth under noise that resembles itself from hour to hour
- short: growth, and no more than three to nine days of history
- begun: no growth, and then for the last six to thirty days growth
- ended: growth that ended six to thirty days ago
"""

import math
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from headroom.capacity.forecast import DAY_SECONDS, HORIZON_DAYS, HOUR_SECONDS, LOW_QUANTILE, Reading, forecast

COUNT = 300
TUNING_SEED = 1_000_000
USABLE = 4091
PAST_DAYS, SHORT_DAYS = 56, (3, 9)
AHEAD = (30, 90)
FUTURE_DAYS = HORIZON_DAYS + 4
KINDS = (
    "flat",
    "steady",
    "seasonal",
    "step",
    "releases",
    "storms",
    "restarts",
    "gaps",
    "noisy",
    "short",
    "begun",
    "ended",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A history and what came after.

    Attributes:
        kind: What it is made of.
        readings: Up to today.
        empty: Days from today until the first day with a low of nothing; `HORIZON_DAYS` where that is further off.
        free: The usual low around each of `AHEAD`.
    """

    kind: str
    readings: list[Reading]
    empty: float
    free: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody expects: days until empty, and what is free on each of `AHEAD`."""

    empty: float
    free: tuple[float, ...]


def case(seed: int) -> Case:
    """The case with that number."""
    order = random.Random(seed)  # noqa: S311 - repeatable
    kind = KINDS[seed % len(KINDS)]
    past = order.randint(*SHORT_DAYS) if kind == "short" else PAST_DAYS
    hours = (past + FUTURE_DAYS) * 24
    now = order.uniform(0.25, 0.8) * USABLE
    strong = kind == "seasonal"
    daily = order.uniform(150, 400) if strong else order.uniform(10, 120)
    weekly = order.uniform(150, 500) if strong else order.uniform(0, 60)
    noise = order.uniform(40, 120) if kind == "noisy" else order.uniform(3, 20)
    likeness = 0.9 if kind == "noisy" else 0.3
    # Never more than a subnet holds, eight weeks ago or at any hour.
    most = max(0.0, USABLE - now - daily - weekly - 4 * noise) / past
    rate = 0.0 if kind in {"flat", "releases"} else min(now / order.uniform(20, 300), most)
    turn = order.uniform(6, 30) if kind in {"begun", "ended"} else 0.0
    if kind == "begun":
        rate = min(now / order.uniform(20, 300), most * past / turn)
    changes: list[tuple[float, float]] = []
    if kind == "step":
        changes = [(order.uniform(8, past - 6), order.choice((-1, 1)) * order.uniform(0.1, 0.4) * now)]
    elif kind == "releases":
        each, day = order.uniform(3, 9), order.uniform(0, 5)
        size = min(now / order.uniform(8, 40), most * each)
        while day < past + FUTURE_DAYS:
            changes.append((day, -size * order.uniform(0.6, 1.4)))
            day += each * order.uniform(0.6, 1.4)
    passing = [
        (order.uniform(0, past + FUTURE_DAYS), order.uniform(2, 14) / 24, _passing(kind, now, order))
        for _ in range({"storms": 20, "restarts": 24}.get(kind, 0) * (past + FUTURE_DAYS) // 100)
    ]
    values, rest = [], 0.0
    done = sum(change for day, change in changes if day < past)
    for hour in range(hours):
        day = hour / 24
        rest = likeness * rest + order.gauss(0, noise * math.sqrt(1 - likeness**2))
        grown = day - past
        if kind == "begun":
            grown = max(grown, -turn)
        elif kind == "ended":
            grown = min(grown + turn, 0.0)
        value = now - rate * grown + daily * math.cos(2 * math.pi * day) + rest
        value += weekly * (math.floor(day) % 7 >= 5)  # noqa: PLR2004 - the weekend
        value += sum(change for begin, change in changes if day >= begin) - done
        value += sum(change for begin, length, change in passing if begin <= day < begin + length)
        values.append(min(float(USABLE), max(0.0, round(value))))
    history = [Reading(hour * HOUR_SECONDS, value) for hour, value in enumerate(values[: past * 24])]
    if kind == "gaps":
        hole = order.uniform(7, past - 21)
        history = [
            each
            for each in history
            if not hole <= each.time / DAY_SECONDS < hole + 7 and order.random() > 0.2  # noqa: PLR2004 - a fifth
        ]
    if kind == "restarts":
        history = [
            Reading(each.time, 0.0) if order.random() < 0.004 else each  # noqa: PLR2004 - a few hours
            for each in history
        ]
    lows = [_low(values[first : first + 24]) for first in range(past * 24, hours, 24)]
    empty = next((float(day) for day, low in enumerate(lows) if low <= 0), float(HORIZON_DAYS))
    free = tuple(median(lows[ahead - 3 : ahead + 4]) for ahead in AHEAD)
    return Case(kind=kind, readings=history, empty=min(empty, HORIZON_DAYS), free=free)


def _passing(kind: str, now: float, order: random.Random) -> float:
    return (-0.5 if kind == "storms" else order.choice((-0.3, 0.4))) * order.uniform(0.3, 1.0) * now


def _low(values: Sequence[float]) -> float:
    ordered = sorted(values)
    place = LOW_QUANTILE * (len(ordered) - 1)
    below = int(place)
    return ordered[below] + (ordered[min(below + 1, len(ordered) - 1)] - ordered[below]) * (place - below)


def ours(readings: Sequence[Reading]) -> Answer:
    """The forecast of the product; where it says that it does not know, what is there stays."""
    found = forecast(readings, most=USABLE)
    now = readings[-1].value if found.now is None else found.now
    days = HORIZON_DAYS if found.days_until_empty is None else min(found.days_until_empty, HORIZON_DAYS)
    return Answer(days, tuple(min(max(now + found.per_day * ahead, 0.0), USABLE) for ahead in AHEAD))


def last_value(readings: Sequence[Reading]) -> Answer:
    """It stays as it is."""
    now = readings[-1].value
    return Answer(0.0 if now <= 0 else HORIZON_DAYS, (now,) * len(AHEAD))


def line(readings: Sequence[Reading]) -> Answer:
    """A straight line, least squares, through every value."""
    return _straight([(each.time / DAY_SECONDS, each.value) for each in readings])


def line_of_lows(readings: Sequence[Reading]) -> Answer:
    """A straight line, least squares, through the low of each day."""
    days: defaultdict[int, list[float]] = defaultdict(list)
    for each in readings:
        days[int(each.time // DAY_SECONDS)].append(each.value)
    return _straight([(day + 1.0, _low(values)) for day, values in sorted(days.items())])


def _straight(points: Sequence[tuple[float, float]]) -> Answer:
    last = points[-1][0]
    middle, mean = fmean(day for day, _ in points), fmean(value for _, value in points)
    spread = sum((day - middle) ** 2 for day, _ in points)
    slope = sum((day - middle) * (value - mean) for day, value in points) / spread if spread else 0.0
    now = mean + slope * (last - middle)
    days = 0.0 if now <= 0 else HORIZON_DAYS if slope >= 0 else min(now / -slope, HORIZON_DAYS)
    return Answer(days, tuple(min(max(now + slope * ahead, 0.0), USABLE) for ahead in AHEAD))


METHODS: dict[str, Callable[[Sequence[Reading]], Answer]] = {
    "headroom": ours,
    "last value": last_value,
    "line": line,
    "line of lows": line_of_lows,
}


def errors(cases: Sequence[Case], method: Callable[[Sequence[Reading]], Answer]) -> list[list[float]]:
    """Absolute errors: of the days until empty, and of what is free on each of `AHEAD`."""
    found: list[list[float]] = [[], *([] for _ in AHEAD)]
    for each in cases:
        answer = method(each.readings)
        if each.empty < HORIZON_DAYS:
            found[0].append(abs(answer.empty - each.empty))
        for index, (expected, free) in enumerate(zip(answer.free, each.free, strict=True), start=1):
            found[index].append(abs(expected - free))
    return found


def false_ends(cases: Sequence[Case], method: Callable[[Sequence[Reading]], Answer]) -> tuple[int, int]:
    """Of the histories that are not empty within half a year, how many are said to be, and how many there are."""
    lasting = [each for each in cases if each.empty >= HORIZON_DAYS]
    return sum(method(each.readings).empty < HORIZON_DAYS for each in lasting), len(lasting)


def p90(values: Sequence[float]) -> float:
    """Nine of ten are not larger."""
    return sorted(values)[math.ceil(0.9 * len(values)) - 1]


def main() -> int:
    """Prints the table; 1 where a naive forecast is better over all."""
    numbers = [word for word in sys.argv[1:] if word.isdecimal()]
    count = int(numbers[0]) if numbers else COUNT
    first = TUNING_SEED if "--tune" in sys.argv else 0
    cases = [case(seed) for seed in range(first, first + count)]
    names = list(METHODS)
    wanted = ["days until empty", *(f"free in {ahead} days" for ahead in AHEAD)]
    print(f"{count} histories. Absolute error, median / nine of ten, of {', '.join(wanted)}.")
    worse = 0
    for index, what in enumerate(wanted):
        print(f"\n{what:20}" + "".join(f"{name:>20}" for name in names))
        for kind in (*KINDS, "all"):
            some = [each for each in cases if kind in (each.kind, "all")]
            found = [errors(some, METHODS[name])[index] for name in names]
            cells = [f"{median(values):,.1f} / {p90(values):,.1f}" if values else "-" for values in found]
            print(f"{kind:20}" + "".join(f"{cell:>20}" for cell in cells))
            if kind == "all":
                worse += any(median(found[0]) >= median(each) or p90(found[0]) >= p90(each) for each in found[1:])
    print(f"\n{'ends that never come':20}" + "".join(f"{name:>20}" for name in names))
    for kind in (*KINDS, "all"):
        some = [each for each in cases if kind in (each.kind, "all")]
        print(f"{kind:20}" + "".join("{:>13} of {:>3}".format(*false_ends(some, METHODS[name])) for name in names))
    print("\nA naive forecast is better over all." if worse else "\nOver all, none of the others is better.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
