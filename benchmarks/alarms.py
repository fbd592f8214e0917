"""Lead time and false alarms of the watch stack over seeded histories: `python benchmarks/alarms.py [COUNT] [--tune]`.

Each history is the free addresses of one zone at every run of the publisher (five minutes), with a day's and a week's
pattern, noise, and runs that were missed. What is simulated: the alarms' rules as the stack declares them, evaluated as
CloudWatch documents it (its anomaly band by a model of our own), and the publisher's own forecast, here every third
hour. What is not simulated are pods that fail, so a page here means low addresses alone. A warning or page counts if it
told of it within the last day; its lead is how long it has by then, pauses of less than a day left out. How often it
began until then stands beside it: once is enough.

- steady: a growth that empties the zone in 20 to 60 days
- storm: out of a quiet month, a deploy storm of two to eight hours takes all that is left
- step: a workload that comes within two to twelve hours and takes more than there is
- quiet: nothing happens but rolling upgrades: every warning and page is false
- busy: nothing happens but that pods come every working morning and go at night, with deploys by day: the same

The numbers in `headroom/capacity/thresholds.py` were chosen on the seeds from `TUNING_SEED` on (`--tune`); the table is
of others.
"""

import math
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from components.subnet_alarms import BAND_DEVIATIONS, FORECAST_HOURS, HELD_PERIODS, LEVEL_PERIODS
from headroom.capacity.forecast import Reading, forecast
from headroom.capacity.limits import instance_limits
from headroom.capacity.settings import CniSettings
from headroom.capacity.thresholds import (
    HORIZON_DAYS,
    PACE_HOURS,
    PACE_PERIODS,
    NodeGroup,
    Thresholds,
    surge_demand,
    thresholds,
)
from headroom.capacity.watch import HISTORY_DAYS, LEAST_HISTORY_SECONDS, NO_END_DAYS, SCHEDULE_MINUTES
from headroom.rehearsal.alarm_evaluation import BAND_DAYS, Rule, above_band, states

COUNT = 200
TUNING_SEED = 1_000_000
KINDS = ("steady", "storm", "step", "quiet", "busy")
USABLE = 3 * 1019
RUNS_PER_HOUR = 60 // SCHEDULE_MINUTES
RUNS_PER_DAY = 24 * RUNS_PER_HOUR
MONTH_DAYS = 30
WORKING_DAYS = 5
FORECAST_EVERY = 3
"""Hours between two forecasts: the publisher makes one an hour."""
LEAST_LEAD = {"steady": 7 * 24.0}
"""Hours of a warning before a zone is empty, where one is not enough."""
FIRST_DAYS = 3
MISSED = 0.005
"""Runs that fail."""


@dataclass(frozen=True, slots=True)
class History:
    """One zone's history.

    Attributes:
        kind: What happens.
        free: Free addresses at every run, as they are; below 0 is what pods wait for.
        seen: As they were published; None for a missed run.
        empty: The first run at which nothing is free; None where that never comes.
    """

    kind: str
    free: list[float]
    seen: list[float | None]
    empty: int | None


def history(seed: int) -> History:
    """The history with that number."""
    order = random.Random(seed)  # noqa: S311 - repeatable
    kind = KINDS[seed % len(KINDS)]
    free = busy_month(order) if kind == "busy" else month(order, kind)
    empty = next((run for run, value in enumerate(free) if value <= 0), None)
    seen = [None if order.random() < MISSED else float(max(0, round(value))) for value in free]
    return History(kind, free, seen, empty)


def busy_month(order: random.Random) -> list[float]:
    """Pods come from eight to ten on every working day and go from six to eight; by day there are deploys.

    A deploy takes 100 to 400 addresses within a quarter of an hour to an hour and gives them back in half an hour to
    two hours. Nothing of it comes near the thresholds.
    """
    base, ramp, noise = order.uniform(0.7, 0.85) * USABLE, order.uniform(300, 900), order.uniform(5, 25)
    taken = [0.0] * (MONTH_DAYS * RUNS_PER_DAY)
    for day in range(MONTH_DAYS):
        for _ in range(order.randint(1, 4) if day % 7 < WORKING_DAYS else 0):
            begin = int((day + order.uniform(0.35, 0.8)) * RUNS_PER_DAY)
            most, up, down = order.uniform(100, 400), order.randint(3, 12), order.randint(6, 24)
            for run in range(begin, min(begin + up + down, len(taken))):
                after = run - begin + 1
                taken[run] += most * (after / up if after <= up else 1 - (after - up) / down)
    free = []
    for run, deploys in enumerate(taken):
        date, hour = divmod(run / RUNS_PER_HOUR, 24)
        share = min(1.0, max(0.0, (hour - 8) / 2)) - min(1.0, max(0.0, (hour - 18) / 2))
        free.append(base - ramp * share * (date % 7 < WORKING_DAYS) - deploys + order.gauss(0, noise))
    return free


def month(order: random.Random, kind: str) -> list[float]:
    """Free addresses at every run of the other kinds."""
    days = MONTH_DAYS if kind != "steady" else 75
    base = order.uniform(0.45, 0.8) * USABLE
    swing, weekly = order.uniform(20, 120), order.uniform(0, 60)
    noise = order.uniform(5, 25)
    rate = base / order.uniform(20, 60) if kind == "steady" else 0.0
    begin = order.uniform(15, 28) * RUNS_PER_DAY
    spread = {"storm": order.uniform(2, 8), "step": order.uniform(2, 12)}.get(kind, 0.0) * RUNS_PER_HOUR
    upgrades = {order.randrange(days * RUNS_PER_DAY) for _ in range(3)}
    free: list[float] = []
    surge = 0.0
    for run in range(days * RUNS_PER_DAY):
        day = run / RUNS_PER_DAY
        surge = 150.0 if run in upgrades else surge * 0.97
        level = base - rate * day - surge
        level += swing * math.cos(2 * math.pi * day) + weekly * math.cos(2 * math.pi * day / 7)
        if spread and run > begin:
            level -= 1.3 * base * min(1.0, (run - begin) / spread)
        free.append(level + order.gauss(0, noise))
    return free


def days_left(seen: Sequence[float | None]) -> list[float | None]:
    """DaysToExhaustion at every hour, as the publisher reckons it."""
    hourly = [
        min((value for value in seen[first : first + RUNS_PER_HOUR] if value is not None), default=None)
        for first in range(0, len(seen), RUNS_PER_HOUR)
    ]
    found: list[float | None] = []
    for hour in range(len(hourly)):
        if hour % FORECAST_EVERY == 0:
            first = max(0, hour + 1 - HISTORY_DAYS * 24)
            readings = [
                Reading(3600.0 * time, value)
                for time, value in enumerate(hourly[first : hour + 1], start=first)
                if value is not None
            ]
            result = forecast(readings, most=USABLE)
            days = NO_END_DAYS if result.days_until_empty is None else result.days_until_empty
            short = 3600 * (hour - first) < LEAST_HISTORY_SECONDS
            found.append(None if short or result.trend == "unknown" else days)
        else:
            found.append(found[-1])
    return found


def below_band(seen: Sequence[float | None]) -> list[float | None]:
    """How far each value lies above the lower edge of the band; None where either is missing."""
    return [
        above_band(
            value,
            [seen[run - day * RUNS_PER_DAY] for day in range(1, BAND_DAYS + 1) if run >= day * RUNS_PER_DAY],
            BAND_DEVIATIONS,
        )
        for run, value in enumerate(seen)
    ]


def ahead(seen: Sequence[float | None]) -> list[float | None]:
    """What would be free in `PACE_HOURS` if it went on as since the run before."""
    found: list[float | None] = []
    before: float | None = None
    for value in seen:
        fell = value is not None and before is not None
        found.append(value + PACE_HOURS * RUNS_PER_HOUR * (value - before) if fell else None)  # type: ignore[operator]  # both are there
        before = before if value is None else value
    return found


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the alarms made of a history; leads in hours, None where an alarm was not on.

    Attributes:
        kind: What happened.
        exhausted: Whether the zone was empty.
        warning: Lead of the earliest warning.
        page: Lead of the page.
        warnings: How often a warning of what is low or falls began, until the zone was empty.
        pages: The same for pages.
        told: How often anything but a page began, forecasts among it.
    """

    kind: str
    exhausted: bool
    warning: float | None
    page: float | None
    warnings: int
    pages: int
    told: int


def judge(found: History, least: Thresholds) -> Outcome:
    """What the alarms made of a history."""
    near = states(Rule(threshold=least.near, periods=LEVEL_PERIODS, breaching=LEVEL_PERIODS), found.seen)
    low, critical = held(found.seen, least.warning, near), held(found.seen, least.critical, near)
    drop = states(Rule(threshold=0, periods=LEVEL_PERIODS, breaching=LEVEL_PERIODS), below_band(found.seen))
    needed, of = PACE_PERIODS
    pace = Rule(threshold=0, periods=of, breaching=needed)
    sudden = [far and fast for far, fast in zip(drop, states(pace, ahead(found.seen)), strict=True)]
    needed, of = FORECAST_HOURS
    hourly = states(Rule(threshold=HORIZON_DAYS, periods=of, breaching=needed), days_left(found.seen))
    days = [on for on in hourly for _ in range(RUNS_PER_HOUR)]
    # In the first days there is no forecast, which its own composite says by being on.
    days[: FIRST_DAYS * RUNS_PER_DAY] = [False] * (FIRST_DAYS * RUNS_PER_DAY)
    warns = [one or other for one, other in zip(low, sudden, strict=True)]
    paging = [bad or (warned and falls) for bad, warned, falls in zip(critical, low, sudden, strict=True)]
    told = [one or other for one, other in zip(warns, days, strict=True)]
    end = found.empty
    return Outcome(
        found.kind,
        exhausted=end is not None,
        warning=None if end is None else lead(told, end),
        page=None if end is None else lead(paging, end),
        warnings=begun(warns[:end]),
        pages=begun(paging[:end]),
        told=begun(told[:end]),
    )


def held(seen: Sequence[float | None], threshold: float, near: Sequence[bool]) -> list[bool]:
    """Whether something was low within the last day, and is near it still."""
    breaching, periods = HELD_PERIODS
    lately = states(Rule(threshold=threshold, periods=periods, breaching=breaching), seen, USABLE)
    return [one and other for one, other in zip(lately, near, strict=True)]


def lead(rings: Sequence[bool], end: int) -> float | None:
    """For how many hours an alarm has told of it by that run; one that paused for less than a day never stopped."""
    on = [run for run in range(end) if rings[run]]
    if not on or end - on[-1] > RUNS_PER_DAY:
        return None
    begin = on[-1]
    for run in reversed(on):
        if begin - run > RUNS_PER_DAY:
            break
        begin = run
    return (end - begin) / RUNS_PER_HOUR


def begun(rings: Sequence[bool]) -> int:
    """How often an alarm went off."""
    return sum(on and not before for before, on in pairwise([False, *rings]))


def main() -> int:
    """Prints the table; 1 where an exhaustion came without a warning in time."""
    numbers = [word for word in sys.argv[1:] if word.isdecimal()]
    count = int(numbers[0]) if numbers else COUNT
    first = TUNING_SEED if "--tune" in sys.argv else 0
    group = NodeGroup(name="services", limits=instance_limits("m5.8xlarge"), pods=100)
    least = thresholds(surge_demand(group, CniSettings.from_environment({})), USABLE)
    outcomes = [judge(history(seed), least) for seed in range(first, first + count)]
    print(f"{count} histories of one zone with {USABLE:,} addresses; critical below {least.critical:,}, warning below")
    print(f"{least.warning:,}, days to exhaustion below {HORIZON_DAYS}.")
    print("                         ------------- warning -------------  --------- page ---------  --- false ---")
    print(
        "kind    histories  empty  none  least lead  median lead  late  began  none  least lead  began  warnings  pages"
    )
    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for each in outcomes:
        by_kind[each.kind].append(each)
    late = 0
    for kind in KINDS:
        some = by_kind[kind]
        dry = [each for each in some if each.exhausted]
        needed = LEAST_LEAD.get(kind, 1.0)
        too_late = sum(each.warning is None or each.warning < needed for each in dry)
        late += too_late
        leads = [each.warning or 0.0 for each in dry]
        pages = [each.page or 0.0 for each in dry]
        calm = [each for each in some if not each.exhausted]
        cells = (
            f"{len(some):9}",
            f"{len(dry):5}",
            f"{sum(not each for each in leads):4}",
            f"{min(leads):8.1f} h" if leads else f"{'-':>10}",
            f"{median(leads):9.1f} h" if leads else f"{'-':>11}",
            f"{too_late:4}",
            f"{sum(each.warnings for each in dry):5}",
            f"{sum(not each for each in pages):4}",
            f"{min(pages):8.1f} h" if pages else f"{'-':>10}",
            f"{sum(each.pages for each in dry):5}",
            f"{sum(each.told for each in calm):6}",
            f"{sum(each.pages for each in calm):5}",
        )
        print(f"{kind:7} {'  '.join(cells)}")
    months = sum(not each.exhausted for each in outcomes)
    print(f"late: a lead of less than 1 hour, or of 7 days for a steady growth. Quiet months: {months}.")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
