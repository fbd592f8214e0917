"""A traffic shift: what its stack file says, its weights, and one step after the other."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.problems import ProblemsError
from headroom.planning.front_door import WEIGHTS, kept_weight, weight_of
from headroom.planning.gate_history import read_history, to_line
from headroom.planning.traffic import (
    GateRecord,
    OriginState,
    Outcome,
    highest_step,
    order_problems,
    read_traffic,
    retirement_problems,
)

NOON = datetime(2026, 3, 7, 12, tzinfo=UTC)


def config(**changes: Any) -> dict[str, Any]:
    """The keys of a good stack file."""
    return {
        "remedy": "aks-traffic",
        "frontDoor": {
            "subscriptionId": "11111111-2222-3333-4444-555555555555",
            "resourceGroup": "rg-prod-eus2",
            "profile": "fd-checkout-prod",
            "originGroup": "checkout",
        },
        "originGroup": {"probePath": "/healthz"},
        "origins": {
            "old": {"name": "aks-kubenet", "hostName": "old.example.com"},
            "new": {"name": "aks-overlay", "hostName": "new.example.com"},
        },
        "gate": {"workspaceId": "aaaaaaaa-2222-3333-4444-555555555555"},
        **changes,
    }


def recorded(step: int, outcome: Outcome, ended: datetime = NOON) -> GateRecord:
    """A record of the gate."""
    return GateRecord(stack="s", step=step, outcome=outcome, started=ended - timedelta(hours=1), ended=ended)


@pytest.mark.parametrize(
    ("step", "old", "new"),
    [
        (0, OriginState(enabled=True, weight=9), OriginState(enabled=False, weight=1)),
        (10, OriginState(enabled=True, weight=9), OriginState(enabled=True, weight=1)),
        (25, OriginState(enabled=True, weight=9), OriginState(enabled=True, weight=3)),
        (50, OriginState(enabled=True, weight=9), OriginState(enabled=True, weight=9)),
        (100, OriginState(enabled=False, weight=9), OriginState(enabled=True, weight=9)),
    ],
)
def test_the_default_steps_are_exact_and_none_takes_a_weight_of_0(
    step: int, old: OriginState, new: OriginState
) -> None:
    traffic = read_traffic(config(step=step))
    assert traffic.states() == {"aks-kubenet": old, "aks-overlay": new}
    assert traffic.share() == Fraction(step, 100)


def test_a_step_that_pulumi_config_wrote_is_a_text_and_counts() -> None:
    assert read_traffic(config(step="25")).step == 25


@given(st.sets(st.integers(1, 99), min_size=1, max_size=6).map(sorted))
def test_each_step_is_one_operation(steps: list[int]) -> None:
    try:
        traffic = read_traffic(config(steps=[*steps, 100]))
    except ProblemsError as error:
        assert {problem.rule for problem in error.problems} == {"configuration"}  # noqa: PT017 - either is right
        return
    order = [0, *traffic.steps]
    for before, after in pairwise(order):
        old, new = traffic.states(before), traffic.states(after)
        assert sum(old[name] != new[name] for name in old) <= 1
        assert all(state.weight in WEIGHTS for state in new.values())
        assert abs(traffic.share(after) - Fraction(after, 100)) <= Fraction(1, 200)


@given(st.lists(st.integers(1, 99), min_size=1, max_size=4))
def test_weights_never_leave_what_front_door_takes(steps: list[int]) -> None:
    kept = kept_weight(steps)
    assert kept in WEIGHTS
    assert all(weight_of(step, kept) in WEIGHTS for step in steps)


def test_everything_that_is_wrong_with_the_file_is_said_at_once() -> None:
    with pytest.raises(ProblemsError) as refused:
        read_traffic(
            {
                "remedy": "aks-traffic",
                "stepp": 10,
                "frontDoor": {"subscriptionId": "x", "resourceGroup": "rg", "profile": "", "originGroup": "g"},
                "origins": {"old": {"name": "a", "hostName": "a.example.com"}, "new": {"nam": "b"}},
                "originGroup": {"probePath": "healthz", "sampleSize": 2, "additionalLatencyInMilliseconds": 0},
                "steps": [50, 10],
                "step": True,
                "gate": {"workspaceId": 7, "soakMinutes": 0, "leastRequests": 1.5, "errorPoints": float("nan")},
            }
        )
    assert sorted(problem.key for problem in refused.value.problems) == [
        "headroom:frontDoor.profile",
        "headroom:frontDoor.subscriptionId",
        "headroom:gate.errorPoints",
        "headroom:gate.leastRequests",
        "headroom:gate.soakMinutes",
        "headroom:gate.workspaceId",
        "headroom:originGroup.additionalLatencyInMilliseconds",
        "headroom:originGroup.probePath",
        "headroom:originGroup.successfulSamplesRequired",
        "headroom:origins.new.nam",
        "headroom:step",
        "headroom:stepp",
        "headroom:steps",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"origins": {"old": {"name": "a", "hostName": "a.test"}, "new": {"name": "a", "hostName": "b.test"}}},
        {"steps": [10, 50]},
        {"steps": [1, 33, 99, 100]},
        {"step": 30},
        {"frontDoor": None},
        {"origins": {"old": {"name": "a", "hostName": "a", "label": 'x" or 1'}, "new": {"name": "b", "hostName": "b"}}},
    ],
)
def test_a_file_that_would_not_shift_is_refused(changes: Mapping[str, Any]) -> None:
    with pytest.raises(ProblemsError):
        read_traffic(config(**changes))


@pytest.mark.parametrize(
    ("history", "highest"),
    [
        ([], 10),
        ([recorded(10, Outcome.PASSED)], 25),
        ([recorded(10, Outcome.UNDECIDED)], 10),
        ([recorded(10, Outcome.PASSED), recorded(25, Outcome.STOPPED)], 10),
        ([recorded(10, Outcome.STOPPED)], 0),
        ([recorded(50, Outcome.STOPPED), recorded(0, Outcome.PASSED)], 10),
        ([recorded(100, Outcome.PASSED)], 100),
    ],
)
def test_a_step_follows_one_that_passed(history: list[GateRecord], highest: int) -> None:
    assert highest_step((10, 25, 50, 100), history) == highest


def test_a_skipped_step_is_refused_and_a_way_back_is_not() -> None:
    history = [recorded(10, Outcome.PASSED)]
    assert [p.rule for p in order_problems(read_traffic(config(step=50)), history)] == ["one-step-at-a-time"]
    for step in (0, 10, 25):
        assert order_problems(read_traffic(config(step=step)), history) == []


def test_the_old_cluster_is_kept_until_the_window_is_over() -> None:
    traffic = read_traffic(config(step=100))
    history = [recorded(100, Outcome.PASSED)]
    for days, rules in ((8, ["rollback-window"]), (9, [])):
        found = retirement_problems(traffic, history, NOON + timedelta(days=days), 9)
        assert [problem.rule for problem in found] == rules
    later = NOON + timedelta(days=30)
    assert [p.rule for p in retirement_problems(traffic, [], later, 9)] == ["gate-passed"]
    stopped = [*history, recorded(100, Outcome.STOPPED, NOON + timedelta(days=3))]
    assert [p.rule for p in retirement_problems(traffic, stopped, later, 9)] == ["gate-passed"]


def test_a_history_is_read_as_it_was_written() -> None:
    records = (
        replace(recorded(10, Outcome.PASSED), because=("0.1 % failed",), figures={"share": 0.1}),
        recorded(25, Outcome.STOPPED, NOON + timedelta(hours=1)),
    )
    text = "".join(f"{to_line(record)}\n" for record in records)
    assert read_history(text, stack="s", subject="gate.s.jsonl") == records


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "not json",
        to_line(recorded(10, Outcome.PASSED)).replace('"passed"', '"fine"'),
        to_line(recorded(10, Outcome.PASSED)).replace('"s"', '"another"'),
        to_line(recorded(10, Outcome.PASSED)).replace('"step": 10', '"step": true'),
        to_line(recorded(10, Outcome.PASSED)).replace("12:00:00Z", "09:00:00Z"),
        to_line(recorded(10, Outcome.PASSED, NOON - timedelta(days=1))),
    ],
)
def test_a_history_that_was_mended_by_hand_is_refused(line: str) -> None:
    text = f"{to_line(recorded(10, Outcome.PASSED))}\n{line}\n"
    with pytest.raises(ProblemsError) as refused:
        read_history(text, stack="s", subject="gate.s.jsonl")
    assert refused.value.problems[0].key == "gate.s.jsonl:2"
