"""The gate of a traffic step: open only where it is proven, closed on everything else."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.facts.values import Reason, Unknown
from headroom.planning.gate import GateState, Minute, Observation, Phase, judge
from headroom.planning.traffic import GroupState, OriginState, Traffic, read_traffic

CHANGED = datetime(2026, 3, 7, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GROUP = GroupState(session_affinity=False, latency_milliseconds=1000, probe_path="/healthz")
RATE = 600.0
"""Requests of both clusters a minute."""


def shift(step: int = 25, **gate: Any) -> Traffic:
    """A shift at a step."""
    return read_traffic(
        {
            "frontDoor": {
                "subscriptionId": "11111111-2222-3333-4444-555555555555",
                "resourceGroup": "rg",
                "profile": "fd",
                "originGroup": "checkout",
            },
            "originGroup": {"probePath": "/healthz"},
            "origins": {
                "old": {"name": "kubenet", "hostName": "old.example.com"},
                "new": {"name": "overlay", "hostName": "new.example.com"},
            },
            "step": step,
            "gate": {"workspaceId": "aaaaaaaa-2222-3333-4444-555555555555", **gate},
        }
    )


Shape = Callable[[int, str, Minute], Minute | None]
"""What becomes of a minute, counted from the change, of a cluster."""


def log(
    traffic: Traffic, minutes: int, *, spread: int = 8, shape: Shape = lambda _, __, minute: minute
) -> list[Minute]:
    """An hour before the change and so many minutes after it; the weights count after `spread` minutes."""
    rows = []
    for number in range(-60, minutes):
        share = float(traffic.share()) if number >= spread else 0.1
        for label, part in (("kubenet", 1 - share), ("overlay", share)):
            requests = RATE * part
            if requests:
                row = Minute(
                    start=CHANGED + number * MINUTE,
                    label=label,
                    requests=requests,
                    errors=0.001 * requests,
                    p95=230.0,
                )
                found = shape(number, label, row)
                rows += [found] if found else []
    return rows


def look(
    traffic: Traffic, rows: Iterable[Minute], minutes: int, origins: Any = None, group: GroupState = GROUP
) -> GateState:
    """The gate, so many minutes after the change."""
    seen = Observation(
        at=CHANGED + (minutes + traffic.gate.ingestion_minutes) * MINUTE,
        minutes=tuple(rows),
        origins=traffic.states() if origins is None else origins,
        group=group,
    )
    return judge(traffic, CHANGED, seen)


def changed(minute: Minute, **fields: Any) -> Minute:
    """A minute with other readings."""
    values = {name: getattr(minute, name) for name in ("start", "label", "requests", "errors", "p95")}
    return Minute(**{**values, **fields})


def test_a_good_step_propagates_soaks_and_passes() -> None:
    traffic = shift()
    phases = [look(traffic, log(traffic, minutes), minutes).phase for minutes in (6, 12, 14, 50, 53, 60)]
    assert phases == [
        Phase.PROPAGATING,
        Phase.PROPAGATING,
        Phase.SOAKING,
        Phase.SOAKING,
        Phase.PASSED,
        Phase.PASSED,
    ]
    passed = look(traffic, log(traffic, 60), 60)
    assert passed.settled == CHANGED + 8 * MINUTE
    assert passed.figures["requests"] == pytest.approx(52 * RATE * 0.25)
    assert "".join(passed.because) == (
        "0.10% of 7800 requests to overlay failed (baseline 0.10%), 95th percentile 230 ms (baseline 230 ms), "
        "share 25.0%."
    )


def test_the_soak_starts_when_traffic_has_moved_and_not_when_the_weights_were_set() -> None:
    traffic = shift()
    slow = log(traffic, 60, spread=30)
    assert look(traffic, slow, 60).phase is Phase.SOAKING
    assert look(traffic, log(traffic, 75, spread=30), 75).phase is Phase.PASSED


def test_weights_that_never_take_effect_stop_the_step() -> None:
    traffic = shift(step=50)
    state = look(traffic, log(traffic, 46, spread=999), 46)
    assert state.phase is Phase.STOPPED
    assert state.because[0].startswith("overlay gets 10.0% of 3000 requests of the last 5 minutes; the weights say 50")


def test_before_the_log_reaches_the_change_nobody_is_told_of_a_cluster_without_requests() -> None:
    traffic = shift(step=50)
    first = look(traffic, log(traffic, 0), 0)
    assert first.phase is Phase.PROPAGATING
    assert first.because == (
        "The log can be read up to 14:00 UTC, 5 minutes behind, and the change came at 14:00: nothing of it shows yet.",
    )
    second, third = (look(traffic, log(traffic, minutes), minutes).because[0] for minutes in (1, 2))
    assert second == "overlay gets 10.0% of 600 requests of the last minute; the weights say 50.0%."
    assert third == "overlay gets 10.0% of 1200 requests of the last 2 minutes; the weights say 50.0%."


def test_errors_over_the_old_clusters_own_baseline_stop_it_at_once() -> None:
    traffic = shift(step=50)

    def failing(number: int, label: str, minute: Minute) -> Minute:
        return changed(minute, errors=0.03 * minute.requests) if number >= 20 and label == "overlay" else minute

    state = look(traffic, log(traffic, 30, shape=failing), 30)
    assert state.phase is Phase.STOPPED
    assert "".join(state.because) == (
        "19 of 1500 requests to overlay failed in 5 minutes from 14:17 UTC (1.26%); the old cluster's baseline is "
        "0.10%, and 1 points more are too many."
    )


def test_a_shop_that_always_fails_a_little_is_not_stopped_for_it() -> None:
    traffic = shift()

    def usual(_: int, __: str, minute: Minute) -> Minute:
        return changed(minute, errors=0.04 * minute.requests)

    assert look(traffic, log(traffic, 60, shape=usual), 60).phase is Phase.PASSED


def test_slow_answers_stop_it() -> None:
    traffic = shift()

    def slow(number: int, label: str, minute: Minute) -> Minute:
        return changed(minute, p95=470.0) if number in (20, 21, 22) and label == "overlay" else minute

    state = look(traffic, log(traffic, 30, shape=slow), 30)
    assert state.phase is Phase.STOPPED
    assert "above 460 ms for 3 minutes from 14:20 UTC, up to 470 ms" in state.because[0]
    assert look(traffic, log(traffic, 22, shape=slow), 22).phase is Phase.SOAKING


def test_a_percentile_that_is_no_number_is_no_proof_of_speed() -> None:
    traffic = shift()

    def broken(number: int, label: str, minute: Minute) -> Minute:
        return changed(minute, p95=float("nan")) if number >= 20 and label == "overlay" else minute

    assert look(traffic, log(traffic, 30, shape=broken), 30).phase is Phase.STOPPED


def test_requests_that_go_missing_stop_it() -> None:
    traffic = shift()

    def fewer(number: int, _: str, minute: Minute) -> Minute:
        return changed(minute, requests=0.7 * minute.requests) if number >= 15 else minute

    state = look(traffic, log(traffic, 25, shape=fewer), 25)
    assert state.phase is Phase.STOPPED
    assert (
        "answered 420 requests a minute for 5 minutes from 14:15 UTC; before the change it was 600"
        in (state.because[0])
    )


def test_traffic_that_moves_back_during_the_soak_stops_it() -> None:
    traffic = shift(step=50)

    def back(number: int, label: str, minute: Minute) -> Minute:
        part = 0.9 if label == "kubenet" else 0.1
        return changed(minute, requests=RATE * part, errors=0) if number >= 30 else minute

    state = look(traffic, log(traffic, 40, shape=back), 40)
    assert state.phase is Phase.STOPPED
    assert "overlay gets 42.0% of 3000 requests of 5 minutes from 14:26 UTC; the weights say 50.0%" in state.because[0]


def test_a_soak_that_was_broken_off_is_not_pieced_together_when_it_is_looked_at_again() -> None:
    traffic = shift(step=50)

    def away(number: int, label: str, minute: Minute) -> Minute | None:
        part = 0.9 if label == "kubenet" else 0.1
        return changed(minute, requests=RATE * part, errors=0) if 15 <= number < 50 else minute

    state = look(traffic, log(traffic, 70, shape=away), 70)
    assert (state.phase, state.because[0][:20]) == (Phase.STOPPED, "overlay gets 42.0% o")

    def silent(number: int, _: str, minute: Minute) -> Minute | None:
        return None if 15 <= number < 50 else minute

    state = look(traffic, log(traffic, 70, shape=silent), 70)
    assert state.phase is Phase.UNDECIDED
    assert state.because == ("The requests' log has no row of either cluster for 35 minutes, since 14:15 UTC.",)


def test_no_rows_close_the_gate() -> None:
    traffic = shift()
    assert look(traffic, [], 20).phase is Phase.UNDECIDED
    only_before = [minute for minute in log(traffic, 5) if minute.start < CHANGED]
    assert look(traffic, only_before, 5).phase is Phase.PROPAGATING
    assert look(traffic, only_before, 10).phase is Phase.UNDECIDED

    def ends(number: int, _: str, minute: Minute) -> Minute | None:
        return minute if number < 30 else None

    silent = look(traffic, log(traffic, 60, shape=ends), 60)
    assert silent.phase is not Phase.PASSED


def test_no_baseline_closes_the_gate() -> None:
    traffic = shift()
    after = [minute for minute in log(traffic, 60) if minute.start >= CHANGED]
    assert look(traffic, after, 60).phase is Phase.UNDECIDED


def test_too_few_requests_close_the_gate() -> None:
    traffic = shift(leastRequests=10_000)
    state = look(traffic, log(traffic, 60), 60)
    assert state.phase is Phase.UNDECIDED
    assert "and fewer than 10000 prove nothing" in state.because[0]


@pytest.mark.parametrize("reason", list(Reason))
def test_an_answer_that_failed_is_asked_for_again_and_never_passes(reason: Reason) -> None:
    traffic = shift()
    for minutes, origins, group in (
        (Unknown(reason), traffic.states(), GROUP),
        ((), Unknown(reason), GROUP),
        ((), traffic.states(), Unknown(reason)),
    ):
        seen = Observation(at=CHANGED + 60 * MINUTE, minutes=minutes, origins=origins, group=group)
        state = judge(traffic, CHANGED, seen)
        assert (state.phase, state.retry) == (Phase.UNDECIDED, True)


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        (
            {"kubenet": OriginState(enabled=True, weight=50), "overlay": OriginState(enabled=True, weight=3)},
            "kubenet stands at weight 50, the stack says weight 9",
        ),
        (
            {"kubenet": OriginState(enabled=True, weight=9), "overlay": OriginState(enabled=False, weight=3)},
            "overlay stands at disabled, the stack says weight 3",
        ),
        ({"kubenet": OriginState(enabled=True, weight=9)}, "overlay is not in checkout"),
        (
            {
                "kubenet": OriginState(enabled=True, weight=9),
                "overlay": OriginState(enabled=True, weight=3),
                "third": OriginState(enabled=True, weight=1),
            },
            "third takes traffic too, and the stack does not know it",
        ),
    ],
)
def test_weights_that_somebody_changed_meanwhile_stop_it(origins: Any, said: str) -> None:
    traffic = shift()
    state = look(traffic, log(traffic, 60), 60, origins)
    assert state.phase is Phase.STOPPED
    assert said in state.because[0]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (OriginState(enabled=True, weight=3, priority=2), "overlay has priority 2, the stack says 1"),
        (
            OriginState(enabled=True, weight=3, host_name="other.example.com"),
            "overlay sends to other.example.com, the stack says new.example.com",
        ),
    ],
)
def test_an_origin_that_leads_elsewhere_or_ranks_lower_stops_it(state: OriginState, said: str) -> None:
    traffic = shift()
    origins = {**traffic.states(), "overlay": state}
    found = look(traffic, log(traffic, 60), 60, origins)
    assert found.phase is Phase.STOPPED
    assert said in found.because[0]


def test_an_origin_that_only_stands_by_is_no_other_hand() -> None:
    traffic = shift()
    origins = {**traffic.states(), "sorry-page": OriginState(enabled=True, weight=50, priority=2)}
    assert look(traffic, log(traffic, 60), 60, origins).phase is Phase.PASSED


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"session_affinity": True}, "checkout keeps sessions on the origin that they began with"),
        ({"latency_milliseconds": 0}, "checkout has a latency sensitivity of 0 ms, the stack says 1000 ms"),
        ({"probe_path": ""}, "probes of checkout ask for nothing, the stack says /healthz"),
    ],
)
def test_a_group_that_somebody_changed_meanwhile_stops_it(fields: dict[str, Any], said: str) -> None:
    traffic = shift()
    found = look(traffic, log(traffic, 60), 60, group=replace(GROUP, **fields))
    assert found.phase is Phase.STOPPED
    assert said in found.because[0]


def test_a_gate_before_the_step_was_applied_closes_and_one_that_was_taken_back_stops() -> None:
    traffic = shift(25)
    before = traffic.states(10)
    state = look(traffic, log(traffic, 6), 6, before)
    assert (state.phase, state.retry) == (Phase.UNDECIDED, False)
    assert state.because == ("Front Door stands at step 10: step 25 is not applied yet.",)
    state = look(traffic, log(traffic, 30), 30, before)
    assert state.phase is Phase.STOPPED
    assert "overlay stands at weight 1, the stack says weight 3" in state.because[0]


def test_an_old_cluster_in_trouble_is_no_baseline() -> None:
    def failing(number: int, label: str, minute: Minute) -> Minute:
        bad = number < 0 and label == "kubenet"
        return changed(minute, errors=(0.3 if bad else 0.29) * minute.requests)

    traffic = shift()
    state = look(traffic, log(traffic, 60, shape=failing), 60)
    assert state.phase is Phase.UNDECIDED
    assert "failed 30.00% of its requests" in state.because[0]
    raised = shift(mostBaselineErrorPoints=40)
    assert look(raised, log(raised, 60, shape=failing), 60).phase is Phase.PASSED


def test_an_objective_holds_however_slow_the_old_cluster_is() -> None:
    def slow(_: int, label: str, minute: Minute) -> Minute:
        return changed(minute, p95=4000.0 if label == "kubenet" else 3000.0)

    traffic = shift()
    assert look(traffic, log(traffic, 60, shape=slow), 60).phase is Phase.PASSED
    bound = shift(mostLatencyMilliseconds=1500)
    assert look(bound, log(bound, 60, shape=slow), 60).phase is Phase.STOPPED


@pytest.mark.parametrize("p95", [None, 0.0, -1.0])
def test_requests_without_a_time_are_no_proof_of_speed(p95: float | None) -> None:
    def timeless(number: int, label: str, minute: Minute) -> Minute:
        return changed(minute, p95=p95) if label == "overlay" and number % 3 else minute

    traffic = shift()
    state = look(traffic, log(traffic, 60, shape=timeless), 60)
    assert state.phase is Phase.UNDECIDED
    assert "of 7800 requests to overlay, and the others may have been slow" in state.because[0]

    def before(number: int, _: str, minute: Minute) -> Minute:
        return changed(minute, p95=p95) if number < 0 else minute

    state = look(traffic, log(traffic, 60, shape=before), 60)
    assert state.phase is Phase.UNDECIDED
    assert "the log has no time of any: no baseline" in state.because[0]


def test_a_small_shop_is_stopped_as_soon_as_its_errors_say_something() -> None:
    traffic = shift(10)

    def small(number: int, label: str, minute: Minute) -> Minute:
        part = minute.requests / RATE
        failing = label == "overlay" and number >= 12
        return changed(minute, requests=50 * part, errors=(0.5 if failing else 0.0) * 50 * part)

    state = look(traffic, log(traffic, 40, shape=small), 40)
    assert state.phase is Phase.STOPPED
    assert "of 100 requests to overlay failed in 20 minutes" in state.because[0]


def test_a_way_back_from_everything_needs_no_baseline_of_the_old_cluster() -> None:
    traffic = shift(0)

    def had_nothing(number: int, label: str, minute: Minute) -> Minute | None:
        if number >= 8:
            return minute
        return changed(minute, requests=RATE) if label == "overlay" else None

    state = look(traffic, log(traffic, 20, shape=had_nothing), 20)
    assert state.phase is Phase.PASSED


def test_whoever_comes_by_another_way_than_front_door_is_named_before_the_old_cluster_ends() -> None:
    traffic = shift(100)

    rows = log(traffic, 60)
    rows += [
        Minute(start=CHANGED + number * MINUTE, label="kubenet", requests=6, errors=0, p95=200.0)
        for number in range(8, 60)
    ]
    state = look(traffic, rows, 60)
    assert state.phase is Phase.PASSED
    assert state.because[-1] == "kubenet still answered 312 requests, which came by another way than its origin."


def test_a_step_of_100_expects_all_of_the_traffic() -> None:
    traffic = shift(step=100)
    assert look(traffic, log(traffic, 60), 60).phase is Phase.PASSED


@pytest.mark.parametrize("step", [0, 10, 25])
def test_on_the_way_back_what_the_higher_step_still_does_at_the_edges_is_not_held_against_this_one(step: int) -> None:
    traffic = shift(step)

    def still_at_50(number: int, label: str, minute: Minute) -> Minute:
        if not -10 <= number < 20:
            return minute
        failing = {"errors": RATE * 0.5 * 0.04, "p95": 650.0} if label == "overlay" else {}
        return changed(minute, requests=RATE * 0.5, **failing)

    def rows(minutes: int) -> list[Minute]:
        return log(traffic, minutes, spread=20, shape=still_at_50)

    assert look(traffic, rows(15), 15).phase is Phase.PROPAGATING
    assert look(traffic, rows(70), 70).phase is Phase.PASSED


def test_harm_of_the_step_itself_stops_it_once_the_edges_have_gone_back() -> None:
    traffic = shift(25)

    def harm(number: int, label: str, minute: Minute) -> Minute:
        part = 0.5 if number < 10 else 0.75 if label == "kubenet" else 0.25
        bad = label == "overlay" and number >= 0
        requests = RATE * part
        return changed(minute, requests=requests, errors=requests * (0.04 if bad else 0.001))

    assert look(traffic, log(traffic, 9, shape=harm), 9).phase is Phase.PROPAGATING
    assert look(traffic, log(traffic, 16, shape=harm), 16).phase is Phase.STOPPED


def test_a_rollback_is_seen_through() -> None:
    traffic = shift(step=0)
    assert look(traffic, log(traffic, 8), 8).phase is Phase.PROPAGATING
    state = look(traffic, log(traffic, 20), 20)
    assert state.phase is Phase.PASSED
    assert state.because == ("kubenet has all requests again since 14:08 UTC.",)


@given(
    st.lists(
        st.tuples(st.floats(0, 2000), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 5000))),
        min_size=70,
        max_size=70,
    ),
    st.integers(0, 70),
)
def test_whatever_the_log_says_a_gate_that_opens_has_its_proof(
    readings: list[tuple[float, float, float | None]], minutes: int
) -> None:
    traffic = shift(step=50)

    def drawn(number: int, label: str, minute: Minute) -> Minute:
        if number < 0 or label == "kubenet":
            return minute
        requests, failing, p95 = readings[number]
        return changed(minute, requests=requests, errors=requests * failing, p95=p95)

    state = look(traffic, log(traffic, minutes, shape=drawn), minutes)
    if state.phase is Phase.PASSED:
        assert state.figures["requests"] >= traffic.gate.least_requests
        assert state.figures["errorRate"] <= 0.011 + 1e-9
        assert state.figures["soakMinutes"] >= 45
