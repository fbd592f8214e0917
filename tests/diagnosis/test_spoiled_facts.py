"""Every incident again with each reading at fault in turn: the verdict stays right or becomes undecided."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.capacity.fleet import best_warm_targets
from headroom.diagnosis import history
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Cause, Diagnosis, RootCause, Verdict
from headroom.facts.aws import Aws
from headroom.facts.document import load
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, known_or
from headroom.planning import options
from headroom.planning.planner import make_plan
from headroom.rehearsal.scenarios.incidents import INCIDENTS
from headroom.rehearsal.spoiled import CONTRADICTIONS, Fault, Outcome, Spoiled, outcome, spoiled

FOLDER = Path(__file__).parents[1] / "incidents"
NAMES = sorted(path.name for path in FOLDER.glob("eks-*"))
# One of each verdict; `make test` takes all.
EVERY_DAY = ("eks-healthy", "eks-not-ip", "eks-warm-pool")


def facts_of(name: str) -> Snapshot:
    return load((FOLDER / name / "facts.json").read_text(encoding="utf-8"), subject=name)


@pytest.fixture(autouse=True, scope="module")
def _advice_once() -> Iterator[None]:
    """The advice on warm targets, a simulation, is worked out once for each question."""
    remembered: dict[str, Any] = {}

    def remember(*arguments: Any, **keywords: Any) -> Any:
        question = repr((arguments, sorted(keywords.items())))
        if question not in remembered:
            remembered[question] = best_warm_targets(*arguments, **keywords)
        return remembered[question]

    with pytest.MonkeyPatch.context() as patch:
        for module in (history, options):
            patch.setattr(module, "best_warm_targets", remember)
        yield


def name_of(cause: tuple[Any, Any]) -> str:
    return "/".join(part.value for part in cause if part is not None)


def judged(name: str, case: Spoiled, expected: dict[str, Any]) -> tuple[Outcome, Diagnosis]:
    diagnosis = diagnose(case.snapshot)
    told = INCIDENTS[name].expected if name in INCIDENTS else None
    also = [name_of(cause) for cause in (*told.causes, *told.also)] if told is not None else []
    return outcome(Verdict(expected["verdict"]), expected["causes"], diagnosis, also=also), diagnosis


@pytest.mark.parametrize(
    "name", [name if name in EVERY_DAY else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_no_fault_in_a_reading_makes_a_verdict_wrong(name: str) -> None:
    expected = json.loads((FOLDER / name / "expected.json").read_text(encoding="utf-8"))
    wrong = []
    for case in spoiled(facts_of(name), every_reason=False):
        found, diagnosis = judged(name, case, expected)
        if found is Outcome.WRONG:
            wrong.append(f"{case}: {diagnosis.verdict.value} {', '.join(cause.name for cause in diagnosis.causes)}")
        if found is Outcome.UNDECIDED:
            assert diagnosis.needed, f"{case}: undecided, and nothing is said to be needed"
        if diagnosis.verdict is Verdict.FOUND:
            with suppress(ProblemsError):  # what the plan lacks too is said, and nothing else is raised
                make_plan(case.snapshot, diagnosis)
    assert wrong == []


@pytest.mark.parametrize("name", ["eks-leaked-enis", "eks-healthy"])
def test_why_a_reading_is_unknown_makes_no_difference_to_the_verdict(name: str) -> None:
    by_place: dict[str, set[tuple[Any, ...]]] = {}
    reasons = {Fault.DENIED, Fault.THROTTLED, Fault.UNREACHABLE, Fault.UNPARSEABLE, Fault.NOT_COLLECTED}
    for case in spoiled(facts_of(name)):
        if case.fault in reasons and case.where.count(".") <= 1:
            diagnosis = diagnose(case.snapshot)
            causes = tuple(cause.name for cause in diagnosis.causes)
            by_place.setdefault(case.where, set()).add((diagnosis.verdict, causes))
    assert len(by_place) > 30
    assert {where: found for where, found in by_place.items() if len(found) > 1} == {}


def test_every_reading_of_aws_and_of_the_api_server_is_spoiled() -> None:
    snapshot = facts_of("eks-leaked-enis")
    places = {case.where for case in spoiled(snapshot)}
    for where, part in (
        ("aws", known_or(snapshot.aws, Aws())),
        ("kubernetes", known_or(snapshot.kubernetes, Kubernetes())),
    ):
        read = [field.name for field in fields(part) if not isinstance(getattr(part, field.name), Unknown | None)]
        assert {f"{where}.{name}" for name in read} <= places
    assert {"aws", "kubernetes", "lines", "aws.*", "aws.subnets[].available_addresses", *CONTRADICTIONS} <= places


def test_each_fault_changes_the_snapshot_and_nothing_else_of_it() -> None:
    snapshot = facts_of("eks-healthy")
    for case in spoiled(snapshot, every_reason=False):
        assert case.snapshot != snapshot, str(case)
        if case.where.startswith("aws"):
            assert replace(case.snapshot, aws=snapshot.aws) == snapshot, str(case)


def test_an_outcome_is_wrong_for_another_cause_and_right_in_part_for_some_of_them() -> None:
    def found(*causes: RootCause) -> Diagnosis:
        return Diagnosis(verdict=Verdict.FOUND, causes=tuple(Cause(root_cause=cause) for cause in causes))

    both = ["eni_limit", "warm_target"]
    assert outcome(Verdict.FOUND, both, found(RootCause.ENI_LIMIT, RootCause.WARM_TARGET)) is Outcome.RIGHT
    assert outcome(Verdict.FOUND, both, found(RootCause.ENI_LIMIT)) is Outcome.PART
    assert outcome(Verdict.FOUND, ["eni_limit"], found(RootCause.WARM_TARGET)) is Outcome.WRONG
    assert outcome(Verdict.FOUND, ["eni_limit"], found(RootCause.WARM_TARGET), also=["warm_target"]) is Outcome.PART
    assert outcome(Verdict.FOUND, both, Diagnosis(verdict=Verdict.HEALTHY)) is Outcome.WRONG
    assert outcome(Verdict.HEALTHY, [], found(RootCause.ENI_LIMIT)) is Outcome.WRONG
    assert outcome(Verdict.NOT_IP, [], Diagnosis(verdict=Verdict.HEALTHY)) is Outcome.WRONG
    assert outcome(Verdict.FOUND, both, Diagnosis(verdict=Verdict.UNDECIDED)) is Outcome.UNDECIDED
