"""The record of the probes: what it says of a run, that it reads back, and what it opens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.problems import ProblemsError
from headroom.planning.policy_findings import Finding, FindingKind
from headroom.planning.probe_record import (
    MAX_AGE,
    Probed,
    ProbeRecord,
    ProbesVerdict,
    WithoutProbes,
    file_name,
    first_step_problems,
    read_record,
    write_record,
)
from headroom.planning.probe_results import PolicyVerdict, Verdict
from headroom.planning.probe_verdicts import record_of

AT = datetime(2026, 3, 3, 20, 46, tzinfo=UTC)
CLUSTER = "aks-prod-overlay"
CLEAR = Probed(what="prod/deny", verdict=ProbesVerdict.CLEAR, because="as expected")
WRONG = Probed(what="prod/open", verdict=ProbesVerdict.WRONG, because="3 of 3 denied probes got through.")
UNDECIDED = Probed(what="prod/udp", verdict=ProbesVerdict.UNDECIDED, because="nothing was tried")


def judged(*verdicts: Verdict, found: tuple[Finding, ...] = ()) -> ProbeRecord:
    policies = [PolicyVerdict(policy=f"p/{n}", verdict=each, because="b") for n, each in enumerate(verdicts)]
    return record_of(CLUSTER, "api.example.com", AT, found, policies)


def refused(
    record: ProbeRecord | None, *, cluster: str = CLUSTER, after: timedelta = timedelta(), **more: object
) -> list[str]:
    problems = first_step_problems(
        record,
        cluster,
        "stacks/probes.x.json",
        without=more.get("without"),  # type: ignore[arg-type] # None or an exception
        now=AT + after,
    )
    return [problem.rule for problem in problems]


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ((), ProbesVerdict.CLEAR),
        ((Verdict.ENFORCED, Verdict.ENFORCED), ProbesVerdict.CLEAR),
        ((Verdict.ENFORCED, Verdict.UNDECIDED), ProbesVerdict.UNDECIDED),
        ((Verdict.NOT_ENFORCED, Verdict.UNDECIDED), ProbesVerdict.WRONG),
        ((Verdict.BROKEN,), ProbesVerdict.WRONG),
        ((Verdict.DENIES_NOTHING, Verdict.ENFORCED), ProbesVerdict.WRONG),
    ],
)
def test_a_run_is_clear_only_where_every_policy_is_enforced(
    verdicts: tuple[Verdict, ...], verdict: ProbesVerdict
) -> None:
    assert judged(*verdicts).verdict is verdict


def test_what_is_wrong_without_any_probe_counts_once() -> None:
    idle = Finding(kind=FindingKind.SELECTS_NO_POD, policy="p/0", what="selects no pod")
    none = Finding(kind=FindingKind.NO_ENGINE, policy="", what="nothing enforces policies")
    record = judged(Verdict.DENIES_NOTHING, found=(idle, none))
    assert [(each.what, each.verdict) for each in record.policies] == [
        ("p/0", ProbesVerdict.WRONG),
        (FindingKind.NO_ENGINE.value, ProbesVerdict.WRONG),
    ]


def test_what_could_not_be_read_is_undecided() -> None:
    record = ProbeRecord(probed=AT, cluster=CLUSTER, unread=("the pods: denied",))
    assert record.verdict is ProbesVerdict.UNDECIDED
    assert refused(record) == ["probes-clear"]


@given(
    st.builds(
        ProbeRecord,
        probed=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - bounds
            lambda at: at.replace(microsecond=0)
        ),
        cluster=st.text(),
        server=st.text(),
        policies=st.lists(
            st.builds(Probed, what=st.text(), verdict=st.sampled_from(ProbesVerdict), because=st.text())
        ).map(tuple),
        unread=st.lists(st.text()).map(tuple),
    )
)
def test_a_record_reads_back_and_gives_equal_bytes(record: ProbeRecord) -> None:
    text = write_record(record)
    assert read_record(text, subject="x") == record
    assert write_record(read_record(text, subject="x")) == text


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"version": 2}', write_record(judged()).replace('"probed": "2026', '"probed": "x2026')],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ProblemsError, match="is no record of probes"):
        read_record(text, subject="probes.x.json")


def test_a_verdict_that_the_policies_do_not_give_is_refused() -> None:
    text = write_record(judged(Verdict.BROKEN)).replace('"verdict": "wrong"', '"verdict": "clear"', 1)
    with pytest.raises(ProblemsError, match="is not what its policies say: wrong"):
        read_record(text, subject="probes.x.json")


def test_a_record_opens_the_first_step_for_seven_days_for_its_own_cluster() -> None:
    record = ProbeRecord(probed=AT, cluster=CLUSTER, policies=(CLEAR,))
    assert timedelta(days=7) == MAX_AGE
    assert refused(record, after=MAX_AGE) == []
    assert refused(record, after=MAX_AGE + timedelta(seconds=1)) == ["probes-age"]
    assert refused(record, after=-timedelta(minutes=5)) == []
    assert refused(record, after=-timedelta(minutes=6)) == ["probes-age"]
    assert refused(record, cluster="aks-other") == ["probes-cluster"]
    assert refused(record, cluster="") == ["probes-cluster"]
    assert refused(None) == ["probes-clear"]


def test_two_clusters_without_a_name_are_not_known_to_be_one() -> None:
    nameless = ProbeRecord(probed=AT, cluster="", policies=(CLEAR,))
    assert refused(nameless, cluster="") == ["probes-cluster"]
    (problem,) = first_step_problems(nameless, "", "f", without=None, now=AT)
    assert problem.next_step.startswith("Run `headroom probes --context CLUSTER --run --record f`")


def test_all_that_is_wrong_is_said_at_once() -> None:
    record = ProbeRecord(probed=AT, cluster="aks-other", policies=(CLEAR, WRONG, UNDECIDED), unread=("x",))
    assert refused(record, after=timedelta(days=8)) == [
        "probes-cluster",
        "probes-age",
        "probes-clear",
        "probes-clear",
        "probes-clear",
    ]


def test_a_clusters_name_in_another_case_is_the_same_cluster() -> None:
    assert refused(ProbeRecord(probed=AT, cluster="AKS-Prod-Overlay", policies=(CLEAR,))) == []


def test_what_a_file_says_does_nothing_to_a_terminal() -> None:
    hostile = replace(WRONG, what="prod/\x1b[31m", because="\x1b]0;x\x07 \ud800 ünd")
    record = ProbeRecord(probed=AT, cluster=CLUSTER, policies=(hostile,), unread=("the pods:\n\x1b[2J",))
    problems = first_step_problems(record, CLUSTER, "stacks/probes.x.json", without=None, now=AT)
    assert len(problems) == 2
    assert all(problem.message.isprintable() for problem in problems)
    assert "ünd" in problems[1].message


def test_a_left_over_exception_is_taken_away_and_no_probes_are_asked_for() -> None:
    without = WithoutProbes(reason="a firewall does it", expires=date(2026, 3, 2))
    record = ProbeRecord(probed=AT, cluster=CLUSTER, policies=(CLEAR,))
    (problem,) = first_step_problems(record, CLUSTER, "f", without=without, now=AT)
    assert problem.next_step == "Take headroom:withoutProbes away: without it the record of the probes counts alone."


def test_an_exception_holds_on_its_last_day_and_not_after() -> None:
    without = WithoutProbes(reason="a firewall does it", expires=date(2026, 3, 3))
    assert refused(None, without=without) == []
    assert refused(None, without=without, after=timedelta(days=1)) == ["probes-exception", "probes-clear"]
    clear = ProbeRecord(probed=AT, cluster=CLUSTER)
    assert refused(clear, without=without, after=timedelta(days=1)) == ["probes-exception"]


def test_each_stack_has_its_own_file() -> None:
    assert file_name("prod-traffic") == "probes.prod-traffic.json"
