"""A traffic shift: what its stack file says, its weights, and one step after the other."""

import json
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
from headroom.planning.gate_history import read_history, to_line, to_text
from headroom.planning.traffic import (
    GateRecord,
    OriginState,
    Outcome,
    highest_step,
    moved_problems,
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
    identity = read_traffic(config()).identity
    return GateRecord(
        stack="s", step=step, outcome=outcome, started=ended - timedelta(hours=1), ended=ended, shift=identity
    )


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
        {
            "origins": {
                "old": {"name": "a", "hostName": "a.test", "cluster": "aks"},
                "new": {"name": "b", "hostName": "b.test", "cluster": "aks"},
            }
        },
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
    back = read_traffic(config(step=50))
    assert [p.rule for p in retirement_problems(back, history, later, 9)] == ["traffic-moved"]


def test_a_history_is_read_as_it_was_written() -> None:
    records = (
        replace(recorded(10, Outcome.PASSED), because=("0.1 % failed",), figures={"share": 0.1}),
        recorded(25, Outcome.STOPPED, NOON + timedelta(hours=1)),
    )
    assert read_history(to_text(records), stack="s", subject="gate.s.jsonl") == records


HISTORY = to_text(
    [
        recorded(10, Outcome.PASSED),
        recorded(25, Outcome.STOPPED, NOON + timedelta(hours=2)),
        recorded(10, Outcome.PASSED, NOON + timedelta(hours=4)),
        recorded(25, Outcome.PASSED, NOON + timedelta(hours=6)),
    ]
).splitlines()


@pytest.mark.parametrize(
    ("order", "line"),
    [
        ((1, 2, 3), 1),
        ((0, 2, 3), 2),
        ((0, 1, 3), 3),
        ((0, 3), 2),
        ((0, 2, 1, 3), 2),
        ((0, 1, 1, 2, 3), 3),
    ],
)
def test_a_history_with_lines_taken_out_moved_or_doubled_is_refused(order: tuple[int, ...], line: int) -> None:
    text = "\n".join(HISTORY[number] for number in order)
    with pytest.raises(ProblemsError) as refused:
        read_history(text, stack="s", subject="gate.s.jsonl")
    assert refused.value.problems[0].key == f"gate.s.jsonl:{line}"
    assert "lines were taken out, changed, moved, or merged" in refused.value.problems[0].reason


def test_a_history_in_which_a_line_was_changed_is_refused_at_the_next_one() -> None:
    text = "\n".join([*HISTORY, ""]).replace('"stopped"', '"passed"')
    with pytest.raises(ProblemsError) as refused:
        read_history(text, stack="s", subject="gate.s.jsonl")
    assert [problem.key for problem in refused.value.problems] == ["gate.s.jsonl:3"]


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("1", "written by an older Headroom, and this one reads 2: those lines say neither which shift it was"),
        ("3", "written by a newer Headroom, and this one reads 2: it knows of nothing newer. Use the Headroom that"),
    ],
)
def test_a_history_of_another_version_is_one_problem_with_a_way_on(version: str, told: str) -> None:
    text = "\n".join(HISTORY).replace('"version": 2', f'"version": {version}')
    with pytest.raises(ProblemsError) as refused:
        read_history(text, stack="s", subject="gate.s.jsonl")
    (problem,) = refused.value.problems
    assert problem.key == "gate.s.jsonl"
    assert told in problem.message
    assert "Restore the file" not in problem.message, "Git has the same lines"


@pytest.mark.parametrize("version", ["true", '"2"', "null", "2.0"])
def test_a_version_that_is_no_number_is_no_record(version: str) -> None:
    text = HISTORY[0].replace('"version": 2', f'"version": {version}')
    with pytest.raises(ProblemsError, match="is no record of the gate"):
        read_history(text, stack="s", subject="gate.s.jsonl")


def test_a_history_that_an_editor_of_windows_saved_is_the_same_history() -> None:
    text = "\ufeff" + "\r\n".join(HISTORY) + "\r\n"
    records = read_history(text, stack="s", subject="gate.s.jsonl")
    assert records == read_history("\n".join(HISTORY), stack="s", subject="gate.s.jsonl")
    for lines in (HISTORY[:1], HISTORY):
        saved = "\ufeff" + "\r\n".join(lines) + "\r\n"
        grown = saved + to_line(recorded(50, Outcome.PASSED, NOON + timedelta(hours=9)), saved) + "\n"
        assert len(read_history(grown, stack="s", subject="gate.s.jsonl")) == len(lines) + 1


def test_a_history_of_two_branches_that_git_merged_is_refused() -> None:
    first = [recorded(10, Outcome.PASSED)]
    text = to_text(first)
    ours = to_line(recorded(25, Outcome.STOPPED, NOON + timedelta(hours=1)), text)
    theirs = to_line(recorded(25, Outcome.PASSED, NOON + timedelta(hours=2)), text)
    for merged in (f"{text}{ours}\n{theirs}\n", f"{text}<<<<<<< ours\n{ours}\n=======\n{theirs}\n>>>>>>> theirs\n"):
        with pytest.raises(ProblemsError):
            read_history(merged, stack="s", subject="gate.s.jsonl")


@pytest.mark.parametrize(
    "changes",
    [
        {"origins": {"old": {"name": "aks-kubenet", "hostName": "old.example.com"}, "new": NEWER}}
        for NEWER in (
            {"name": "aks-overlay", "hostName": "newer.example.com"},
            {"name": "aks-other", "hostName": "new.example.com"},
        )
    ]
    + [
        {
            "frontDoor": {
                "subscriptionId": "11111111-2222-3333-4444-555555555555",
                "resourceGroup": "rg-prod-weu",
                "profile": "fd-checkout-prod",
                "originGroup": "checkout",
            }
        }
    ],
)
def test_the_history_of_another_shift_opens_nothing_but_the_way_back(changes: Mapping[str, Any]) -> None:
    history = [recorded(step, Outcome.PASSED) for step in (10, 25, 50, 100)]
    other = read_traffic(config(step=100, **changes))
    assert [problem.rule for problem in order_problems(other, history)] == ["gate-history"]
    assert [p.rule for p in retirement_problems(other, history, NOON + timedelta(days=30), 9)] == ["gate-history"]
    assert order_problems(read_traffic(config(step=0, **changes)), history) == []


def test_a_shift_that_begins_with_everything_is_none() -> None:
    for steps in ([100], [60, 100]):
        with pytest.raises(ProblemsError, match="at once is no shift"):
            read_traffic(config(steps=steps))


OLD, NEW = "aks-kubenet", "aks-overlay"


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        (OriginState(enabled=False, weight=9), OriginState(enabled=True, weight=9), []),
        (None, OriginState(enabled=True, weight=9), []),
        (OriginState(enabled=True, weight=1), OriginState(enabled=True, weight=1000), ["traffic-moved"]),
        (OriginState(enabled=True, weight=9), OriginState(enabled=False, weight=9), ["traffic-moved"]),
        (OriginState(enabled=False, weight=9), OriginState(enabled=False, weight=9), ["traffic-moved"]),
        (OriginState(enabled=False, weight=9), None, ["traffic-moved"]),
    ],
)
def test_a_cluster_that_front_door_still_sends_requests_to_is_kept(
    old: OriginState | None, new: OriginState | None, rules: list[str]
) -> None:
    found = moved_problems(read_traffic(config(step=100)), {OLD: old, NEW: new})
    assert [problem.rule for problem in found] == rules


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
    first = to_line(recorded(10, Outcome.PASSED))
    # The lines follow the one before them as they must, so that nothing but what is wrong with them is.
    follows = json.dumps({"after": json.loads(to_line(recorded(10, Outcome.PASSED), first))["after"]})[1:-1]
    second = line.replace('"after": ""', follows)
    text = f"{first}\n{second}\n"
    with pytest.raises(ProblemsError) as refused:
        read_history(text, stack="s", subject="gate.s.jsonl")
    assert refused.value.problems[0].key == "gate.s.jsonl:2"
