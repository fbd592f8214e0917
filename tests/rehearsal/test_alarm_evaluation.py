from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.rehearsal.alarm_evaluation import Rule, Treatment, in_alarm, states

THREE = Rule(threshold=10, periods=3, breaching=3)
VALUES = {"0": 20.0, "X": 5.0, "-": None}


def series(text: str) -> list[float | None]:
    """`0` is within the threshold, `X` breaches, `-` is missing."""
    return [VALUES[sign] for sign in text]


# The CloudWatch user guide's table for three of three (alarms-and-missing-data).
@pytest.mark.parametrize(
    ("text", "breaching", "not_breaching"),
    [
        ("0-X-X", False, False),
        ("----0", False, False),
        ("-----", True, False),
        ("0XX-X", True, True),
        ("--X--", True, False),
    ],
)
def test_missing_values_count_only_where_there_are_too_few_others(
    text: str,
    breaching: bool,  # noqa: FBT001 - the columns of a table
    not_breaching: bool,  # noqa: FBT001 - the same
) -> None:
    assert in_alarm(THREE, series(text)) == breaching
    other = Rule(threshold=10, periods=3, breaching=3, missing="notBreaching")
    assert in_alarm(other, series(text)) == not_breaching


def test_one_missed_run_rings_nothing_and_a_dead_publisher_is_known_as_such_first() -> None:
    silence = Rule(threshold=1, periods=2, breaching=2)
    level = Rule(threshold=10, periods=3, breaching=3)
    beats = [1.0, 1.0, 1.0, 1.0, 1.0, None, 1.0, *[None] * 6]
    free = [None if beat is None else 20.0 for beat in beats]
    silent, low = states(silence, beats), states(level, free)
    assert silent.index(True, 5) == 10, "the fourth missed run in a row"
    assert low.index(True, 5) == 11
    assert not any(low[5:10])


@given(
    st.lists(st.none() | st.floats(0, 20), max_size=40),
    st.integers(1, 6),
    st.sampled_from(("breaching", "notBreaching")),
)
def test_values_that_are_lower_never_end_an_alarm(values: list[float | None], periods: int, missing: Treatment) -> None:
    rule = Rule(threshold=10, periods=periods, breaching=periods, missing=missing)
    lower = [None if value is None else value / 2 for value in values]
    assert all(after or not before for before, after in zip(states(rule, values), states(rule, lower), strict=True))
