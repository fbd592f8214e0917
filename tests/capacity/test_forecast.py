"""Forecasts on histories whose truth is known."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headroom.capacity.forecast import DAY_SECONDS, FURTHEST_DAYS, HORIZON_DAYS, Reading, forecast


def chance_of(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a history, not a secret


def history(  # noqa: PLR0913 - what a history is made of
    *,
    days: int = 60,
    per_day: int = 24,
    level: float = 3000,
    slope: float = 0.0,
    weekly: float = 0.0,
    daily: float = 0.0,
    noise: float = 10.0,
    likeness: float = 0.0,
    steps: tuple[tuple[float, float], ...] = (),
    disturbances: tuple[tuple[float, float, float], ...] = (),
    missing: range = range(0),
    seed: int = 1,
) -> list[Reading]:
    """Free addresses: disturbances are (begin, length in days, change)."""
    chance = chance_of(seed)
    readings = []
    rest = 0.0
    for index in range(days * per_day):
        day = index / per_day
        rest = likeness * rest + chance.gauss(0, noise)
        value = level + slope * day + weekly * (int(day) % 7 >= 5) + daily * math.sin(2 * math.pi * day) + rest
        value += sum(change for begin, change in steps if day >= begin)
        value += sum(change for begin, length, change in disturbances if begin <= day < begin + length)
        if int(day) not in missing:
            readings.append(Reading(day * DAY_SECONDS, max(0.0, round(value))))
    return readings


def test_a_falling_history_gives_the_day() -> None:
    found = forecast(history(slope=-20))
    assert found.trend == "falling"
    assert found.per_day == pytest.approx(-20, rel=0.02)
    assert found.days_until_empty is not None
    assert found.days_until_empty == pytest.approx((3000 - 20 * 59.5) / 20, abs=3)
    assert found.earliest is not None
    assert found.latest is not None
    assert found.earliest <= found.days_until_empty <= found.latest
    assert found.six_months is not None
    assert found.six_months.expected == 0


def test_a_weekly_pattern_is_no_trend_and_its_lowest_day_counts() -> None:
    found = forecast(history(weekly=400, daily=200))
    assert (found.trend, found.weekly, found.days_until_empty) == ("none", True, None)
    assert found.now == pytest.approx(3000 - 200, abs=30), "working days, at their lowest hour"
    falling = forecast(history(weekly=400, daily=200, slope=-20))
    assert falling.days_until_empty == pytest.approx((2800 - 20 * 59.5) / 20, abs=5)


@pytest.mark.parametrize("change", [-1000, 1000])
def test_a_step_is_no_trend(change: float) -> None:
    found = forecast(history(steps=((30, change),), weekly=300))
    assert found.trend == "none"
    assert [(round(step.time / DAY_SECONDS), round(step.change, -2)) for step in found.steps] == [(30, change)]
    assert found.now == pytest.approx(3000 + change, abs=40)


def test_a_slope_survives_a_step() -> None:
    found = forecast(history(slope=-5, steps=((30, -500),)))
    assert found.per_day == pytest.approx(-5, rel=0.1)


def test_steps_that_come_again_are_the_trend() -> None:
    found = forecast(history(steps=tuple((day, -300) for day in (10, 20, 30, 40, 50))))
    assert found.trend == "falling"
    assert found.per_day == pytest.approx(-30, rel=0.15)
    assert found.steps == ()
    assert "steps that come again" in found.reason


def test_growth_that_began_counts_from_there_and_growth_that_ended_is_over() -> None:
    level = [(day, 3000.0 - 40 * max(0, day - 46)) for day in range(60)]
    found = forecast([Reading(day * DAY_SECONDS, value) for day, value in level])
    assert found.per_day == pytest.approx(-40)
    assert found.reason == "60 days of history, the last 14 days go another way and alone count."
    fallen = [(day, 3000.0 - 40 * min(day, 40)) for day in range(60)]
    found = forecast([Reading(day * DAY_SECONDS, value) for day, value in fallen])
    assert (found.trend, found.now, found.days_until_empty) == ("none", 1400, None)


def test_a_stair_that_is_level_for_two_weeks_has_not_turned() -> None:
    found = forecast(history(steps=tuple((day, -300) for day in (3, 16, 30, 44))))
    assert found.trend == "falling"
    assert found.per_day == pytest.approx(-300 / 13.5, rel=0.25)
    assert "another way" not in found.reason


def test_two_times_that_somebody_added_room_are_no_growth_and_two_workloads_are() -> None:
    added = forecast(history(level=1000, steps=((20, 1000), (40, 1000))))
    assert (added.trend, len(added.steps)) == ("none", 2)
    assert forecast(history(steps=((20, -500), (40, -500)))).trend == "falling"


@pytest.mark.parametrize(
    "disturbances",
    [
        ((12.0, 0.1, -2500.0), (33.0, 0.08, 2000.0), (50.2, 0.1, -2900.0)),
        ((20.0, 2.0, -1500.0), (40.0, 1.0, -1500.0)),
        ((58.9, 1.2, -1500.0),),
    ],
)
def test_restarts_and_deploy_storms_leave_the_trend_alone(disturbances: tuple[tuple[float, float, float], ...]) -> None:
    found = forecast(history(slope=-10, disturbances=disturbances))
    assert found.per_day == pytest.approx(-10, rel=0.05)
    assert found.steps == ()


def test_gaps_change_nothing() -> None:
    found = forecast(history(slope=-10, missing=range(20, 30)))
    assert found.per_day == pytest.approx(-10, rel=0.05)
    assert found.steps == ()
    assert found.bins == 50


@pytest.mark.parametrize("likeness", [0.0, 0.9])
def test_chance_is_seldom_taken_for_a_trend(likeness: float) -> None:
    runs = [forecast(history(per_day=4, noise=20, likeness=likeness, seed=seed)) for seed in range(100)]
    assert sum(found.trend != "none" for found in runs) <= 10
    assert all(found.days_until_empty is None for found in runs if found.trend == "none")


def test_the_truth_lies_in_the_interval_nearly_always() -> None:
    hits = 0
    for seed in range(100):
        found = forecast(history(slope=-12, weekly=200, noise=30, likeness=0.5, per_day=4, seed=seed))
        low, high = found.per_day_range
        hits += low <= -12 <= high
    assert hits >= 88


def test_it_beats_the_last_value_and_a_straight_line() -> None:
    ahead = 30
    ours, last, line = 0.0, 0.0, 0.0
    for seed in range(20):
        chance = chance_of(seed)
        slope, step = chance.choice((0.0, -8.0, -15.0)), chance.choice((0.0, -500.0, 400.0))
        readings = history(
            level=5000,
            slope=slope,
            weekly=250,
            steps=((chance.randrange(12, 48), step),),
            disturbances=((chance.uniform(50, 59), 0.5, -900.0),),
            per_day=8,
            seed=seed,
        )
        truth = 5000 + slope * (59 + ahead) + step
        found = forecast(readings)
        assert found.now is not None
        ours += abs(found.now + found.per_day * ahead - truth)
        last += abs(readings[-1].value - truth)
        times, values = [each.time / DAY_SECONDS for each in readings], [each.value for each in readings]
        middle, mean = sum(times) / len(times), sum(values) / len(values)
        gradient = sum((time - middle) * (value - mean) for time, value in zip(times, values, strict=True))
        gradient /= sum((time - middle) ** 2 for time in times)
        line += abs(mean + gradient * (59 + ahead - middle) - truth)
    assert ours < last / 3
    assert ours < line / 3


def test_an_incident_of_hours_is_looked_at_by_the_hour() -> None:
    found = forecast(history(days=2, per_day=96, slope=-700))
    assert found.trend == "falling"
    assert found.unit_seconds == 3600
    assert found.days_until_empty == pytest.approx((3000 - 1400) / 700, abs=0.1)


@pytest.mark.parametrize(("readings", "now"), [([], None), ([Reading(0, 5)], 5), (history(days=6, per_day=1), 3000)])
def test_a_short_history_is_unknown_and_not_fine(readings: list[Reading], now: float | None) -> None:
    found = forecast(readings)
    assert found.trend == "unknown"
    assert found.now is None if now is None else found.now == pytest.approx(now, abs=30)
    assert (found.days_until_empty, found.six_months) == (None, None)
    assert found.reason


def test_an_empty_subnet_is_empty_now() -> None:
    found = forecast(history(level=0, noise=0))
    assert (found.trend, found.now, found.days_until_empty) == ("none", 0, 0)


def test_a_constant_history_stays_as_it_is() -> None:
    found = forecast(history(noise=0), most=3000)
    assert (found.trend, found.now, found.per_day) == ("none", 3000, 0)
    assert found.six_months is not None
    assert (found.six_months.low, found.six_months.expected, found.six_months.high) == (3000, 3000, 3000)


def test_nothing_is_foreseen_beyond_ten_years() -> None:
    found = forecast(history(slope=-0.05, noise=0.2))
    assert (found.trend, found.days_until_empty) == ("falling", None)


def test_a_projection_does_not_exceed_the_subnet() -> None:
    found = forecast(history(slope=12), most=4091)
    assert found.trend == "rising"
    assert found.six_months is not None
    assert found.six_months.expected == 4091
    assert found.days_until_empty is None


def test_order_duplicates_and_nonsense_do_not_matter() -> None:
    readings = history(slope=-20)
    shuffled = [*readings, *readings[:50], Reading(math.nan, 3), Reading(5, math.inf), Reading(7, -1)]
    chance_of(3).shuffle(shuffled)
    assert forecast(shuffled) == forecast(readings)


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e8, allow_nan=False), st.floats(0, 1e6, allow_nan=False)), min_size=0, max_size=120
    ),
    st.none() | st.floats(0, 1e6),
)
def test_any_history_is_answered_within_bounds(values: list[tuple[float, float]], most: float | None) -> None:
    found = forecast([Reading(time, value) for time, value in values], most=most)
    assert found.trend in {"falling", "rising", "none", "unknown"}
    if found.six_months is not None:
        top = math.inf if most is None else most
        assert 0 <= found.six_months.low <= found.six_months.expected <= found.six_months.high <= top
    for days in (found.days_until_empty, found.earliest, found.latest):
        assert days is None or 0 <= days <= FURTHEST_DAYS
    if found.trend == "rising" and found.now:
        assert found.days_until_empty is None


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.floats(1.5, 4.0), st.integers(0, 1000))
def test_a_level_that_is_higher_lasts_longer(factor: float, seed: int) -> None:
    low = forecast(history(level=1000, slope=-10, per_day=2, seed=seed))
    high = forecast(history(level=1000 * factor, slope=-10, per_day=2, seed=seed))
    assert low.days_until_empty is not None
    assert high.days_until_empty is not None
    assert low.days_until_empty < high.days_until_empty
    assert high.six_months is not None
    assert high.six_months.expected == pytest.approx(max(0, (high.now or 0) + high.per_day * HORIZON_DAYS), abs=1e-6)
