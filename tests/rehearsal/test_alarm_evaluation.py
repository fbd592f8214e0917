from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.subnet_alarms import (
    LEVEL_PERIODS,
    SILENT_PERIODS,
    SubnetAlarmsArgs,
    WatchedSubnet,
    composed,
    planned,
)
from headroom.capacity.limits import instance_limits
from headroom.capacity.thresholds import NodeGroup
from headroom.rehearsal.alarm_evaluation import (
    Rule,
    Series,
    Treatment,
    above_band,
    composite_on,
    in_alarm,
    states,
    watched_alarm,
)

ZONES = ((1, "us-east-1a"), (2, "us-east-1b"))
QUIET_ALONE = ("silence", "interface-quota", "unwatched-subnets", "missing-subnets")
"""What tells somebody by itself."""

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
    silence = Rule(threshold=1, periods=SILENT_PERIODS[1], breaching=SILENT_PERIODS[0])
    level = Rule(threshold=10, periods=LEVEL_PERIODS, breaching=LEVEL_PERIODS)
    beats = [1.0, 1.0, 1.0, 1.0, 1.0, None, 1.0, *[None] * 6]
    free = [None if beat is None else 20.0 for beat in beats]
    silent, low = states(silence, beats), states(level, free)
    assert silent.index(True, 5) == 9, "the fourth missed run of five"
    assert low.index(True, 5) == 11
    assert not any(low[5:10])


@pytest.mark.parametrize("runs", range(1, 14))
def test_silence_begins_before_and_ends_after_whatever_it_sets_off(runs: int) -> None:
    # Alarms change one by one, and a composite between two of them: "low and not silent" must not hold for an instant.
    silence = Rule(threshold=1, periods=SILENT_PERIODS[1], breaching=SILENT_PERIODS[0])
    level = Rule(threshold=10, periods=LEVEL_PERIODS, breaching=LEVEL_PERIODS)
    beats = [*[1.0] * 12, *[None] * runs, *[1.0] * 12]
    silent, low = states(silence, beats), states(level, [None if beat is None else 20.0 for beat in beats])
    for run in range(6, len(beats) - 1):
        if low[run]:
            assert silent[run - 1], run
            assert silent[run], run
            assert silent[run + 1], run


@given(
    st.lists(st.none() | st.floats(0, 20), max_size=40),
    st.integers(1, 6),
    st.sampled_from(("breaching", "notBreaching")),
)
def test_values_that_are_lower_never_end_an_alarm(values: list[float | None], periods: int, missing: Treatment) -> None:
    rule = Rule(threshold=10, periods=periods, breaching=periods, missing=missing)
    lower = [None if value is None else value / 2 for value in values]
    assert all(after or not before for before, after in zip(states(rule, values), states(rule, lower), strict=True))


# Composite alarms, anomaly bands, metric math.


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('ALARM("a")', True),
        ('NOT ALARM("a")', False),
        ('OK("b") AND ALARM("a")', True),
        ('ALARM("b") OR ALARM("a") AND ALARM("b")', False),
        ('(ALARM("b") OR ALARM("a")) AND NOT ALARM("b")', True),
        ('((ALARM("a") AND ALARM("b")) OR (ALARM("a"))) AND NOT (ALARM("b"))', True),
        ('ALARM("a") OR ALARM("b") AND ALARM("b")', True),
    ],
)
def test_a_composite_rule_reads_as_it_is_written_with_and_before_or(
    rule: str,
    expected: bool,  # noqa: FBT001 - the columns of a table
) -> None:
    assert composite_on(rule, {"a": True, "b": False}) is expected


@pytest.mark.parametrize("rule", ["", "ALARM(a)", 'ALARM("a") ALARM("b")', '(ALARM("a")', "AND", 'ALARM("a") AND'])
def test_a_composite_rule_that_cannot_be_read_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"stands|closed|goes on|read"):
        composite_on(rule, {"a": True, "b": False})


def test_every_composite_rule_of_the_watch_stack_can_be_read_and_is_quiet_while_nothing_rings() -> None:
    subnets = {f"subnet-{zone}": WatchedSubnet(zone=zone, cidr_block=f"10.0.{number}.0/24") for number, zone in ZONES}
    group = NodeGroup(name="g", limits=instance_limits("m5.large"), pods=20)
    args = SubnetAlarmsArgs(cluster="c", subnets=subnets, node_groups=[group], page_topics=["arn:aws:sns:::t"])
    alarms = planned(args)
    silent = {each.name: False for each in alarms}
    for each in composed(args, alarms):
        assert not composite_on(each.rule, silent), each.name
    for name in silent:
        on = {**silent, name: True}
        rings = {each.name.rpartition("/")[2] for each in composed(args, alarms) if composite_on(each.rule, on)}
        kind = name.rpartition("/")[2]
        # Neither a drop nor a pace rings alone, and silence hides the others.
        assert (rings == set()) == (kind in {"sudden-drop", "falling-fast", *QUIET_ALONE}), (name, rings)
    both = {**silent, "headroom/c/us-east-1a/sudden-drop": True, "headroom/c/us-east-1a/falling-fast": True}
    together = [each.name for each in composed(args, alarms) if composite_on(each.rule, both)]
    assert together == ["headroom/c/us-east-1a/warning"]
    dead = dict.fromkeys(silent, True)
    assert not any(composite_on(each.rule, dead) for each in composed(args, alarms)), "silence is one message"


def test_a_band_needs_three_days_and_is_as_wide_as_they_differ() -> None:
    assert above_band(5, [100, 100], 6) == 0
    assert above_band(None, [100, 100, 100], 6) is None
    assert above_band(100, [100, 110, 90, None], 6) == pytest.approx(6 * math.sqrt(200 / 3))
    assert above_band(0, [100] * 14, 6) == -94, "a deviation is never less than one address"


def described(**more: object) -> dict[str, object]:
    return {
        "AlarmName": "a",
        "Namespace": "Headroom",
        "MetricName": "FreeAddresses",
        "Dimensions": [],
        "Statistic": "Minimum",
        "Period": 300,
        "Threshold": 10.0,
        "ComparisonOperator": "LessThanThreshold",
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "TreatMissingData": "breaching",
        **more,
    }


def test_what_would_be_free_in_three_hours_is_reckoned_from_the_last_two_values() -> None:
    stat = {"Metric": {"Namespace": "Headroom", "MetricName": "FreeAddresses"}, "Period": 300, "Stat": "Minimum"}
    metrics = [{"Id": "free", "MetricStat": stat}, {"Id": "ahead", "Expression": "free + 36 * DIFF(free)"}]
    series = Series(watched_alarm(described(Metrics=metrics, Threshold=0.0)))
    assert (series.alarm.ahead, series.alarm.period) == (36, 300)
    # Of 1,000 that are free 20 go every five minutes: they last four hours. Of 900 forty go: they last two.
    assert [series.feed(value) for value in (1000, 980, 960, 940)][-2:] == [False, False]
    assert [series.feed(value) for value in (900, None, 860)] == [False, False, True]


def test_an_expression_that_is_not_known_here_is_no_alarm_that_never_rings() -> None:
    with pytest.raises(ValueError, match="RATE"):
        watched_alarm(described(Metrics=[{"Id": "x", "Expression": "RATE(free)"}]))
