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
QUIET_ALONE = ("silence", "interface-quota", "unwatched-subnets", "missing-subnets", "sudden-drop", "falling-fast")
"""What tells somebody by itself, and what does so only with another."""

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
        # What is remembered counts while it is near, neither drop nor pace rings alone, and silence hides the others.
        remembered = kind in {"free-warning", "free-near"} or (kind == "free-critical" and "/subnet-" not in name)
        assert (rings == set()) == (remembered or name.endswith(QUIET_ALONE)), (name, rings)
    for together, told in (
        (("sudden-drop", "falling-fast"), ["warning"]),
        (("free-warning", "free-near"), ["warning"]),
        (("free-warning", "sudden-drop", "falling-fast"), ["warning"]),
        (("free-warning", "free-near", "sudden-drop", "falling-fast"), ["warning", "page"]),
        (("free-critical", "free-near"), ["page"]),
    ):
        on = {**silent, **{f"headroom/c/us-east-1a/{kind}": True for kind in together}}
        ringing = [each.name for each in composed(args, alarms) if composite_on(each.rule, on)]
        assert ringing == [f"headroom/c/us-east-1a/{kind}" for kind in told], together
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


def test_a_run_that_failed_counts_as_all_free_and_a_day_without_any_as_low() -> None:
    stat = {"Metric": {"Namespace": "Headroom", "MetricName": "FreeAddresses"}, "Period": 300, "Stat": "Minimum"}
    metrics = [{"Id": "free", "MetricStat": stat}, {"Id": "reckoned", "Expression": "FILL(free, 100)"}]
    alarm = watched_alarm(described(Metrics=metrics, EvaluationPeriods=6, DatapointsToAlarm=2))
    assert alarm.filled == 100
    fed = [None, 5.0, None, None, 5.0, None, None, None, None, 50.0, 50.0]
    # Nothing to fill yet; then as soon as two are low, and as long as both are among the last six.
    expected = [True, False, False, False, True, True, True, False, False, False, False]
    one = Series(alarm)
    assert [one.feed(value) for value in fed] == expected
    assert states(alarm.rule, fed, 100) == expected
    assert [one.feed(None) for _ in range(8)][-2:] == [False, True], "eight periods are looked at"


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
