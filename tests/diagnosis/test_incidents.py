"""Incidents that were rehearsed, as facts and verdict: the diagnosis stays what it was, and a cause has a plan."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headroom.diagnosis.classifier import diagnose
from headroom.facts.document import dump, load
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items
from headroom.planning.plan import plan_to_json
from headroom.planning.planner import make_plan
from headroom.rehearsal.scenarios.incident import Expected, Played, RehearsalFailedError, check_kept, save_played
from headroom.rehearsal.scenarios.incidents import INCIDENTS

FOLDER = Path(__file__).parents[1] / "incidents"
NAMES = sorted(path.name for path in FOLDER.glob("eks-*"))
MOST_BYTES = 700_000


def facts_of(name: str) -> Snapshot:
    return load((FOLDER / name / "facts.json").read_text(encoding="utf-8"), subject=name)


def expected_of(name: str) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((FOLDER / name / "expected.json").read_text(encoding="utf-8"))
    return expected


def test_the_incidents_cover_what_can_be_rehearsed() -> None:
    assert set(NAMES) == {"eks-exhausted", *INCIDENTS}


def test_two_causes_at_once_are_both_planned_for_room_first_and_then_nodes() -> None:
    facts = facts_of("eks-two-causes")
    plan = make_plan(facts, diagnose(facts))
    check_kept(Expected(kept=("secondary-cidr",)), plan)
    done = [step.what.split(" (")[0] for step in plan.steps]
    assert done == ["Look at what would happen", "Apply it", "Add nodes", "See that it worked"]


def test_where_the_shared_space_is_routed_elsewhere_the_vpcs_own_is_taken() -> None:
    facts = facts_of("eks-own-space")
    plan = make_plan(facts, diagnose(facts))
    check_kept(INCIDENTS["eks-own-space"].expected, plan)
    further = next(option.reason for option in plan.options if option.name == "secondary-cidr")
    assert further.endswith("but a route leads to 100.64.0.0/10, which contains it.")
    with pytest.raises(RehearsalFailedError, match="the plan keeps subnets-in-own-space; expected was secondary-cidr"):
        check_kept(Expected(kept=("secondary-cidr",)), plan)


@pytest.mark.parametrize("name", NAMES)
def test_an_incident_keeps_its_verdict_and_its_causes(name: str) -> None:
    diagnosis = diagnose(facts_of(name))
    expected = expected_of(name)
    assert diagnosis.verdict.value == expected["verdict"]
    assert [cause.name for cause in diagnosis.causes] == expected["causes"]


@pytest.mark.parametrize("name", NAMES)
def test_every_cause_of_an_incident_says_what_was_read_and_what_it_is_not(name: str) -> None:
    for cause in diagnose(facts_of(name)).causes:
        assert cause.evidence, f"{cause.name} has no evidence"
        assert cause.summary, f"{cause.name} has no summary"
        assert cause.scope.nodes or cause.scope.subnets, f"{cause.name} hits nobody"


@pytest.mark.parametrize("name", [name for name in NAMES if expected_of(name)["causes"]])
def test_an_incident_with_a_cause_has_a_plan_with_conditions_and_the_same_facts_give_the_same_plan(name: str) -> None:
    facts = facts_of(name)
    diagnosis = diagnose(facts)
    plan = make_plan(facts, diagnosis)
    assert plan.causes == tuple(expected_of(name)["causes"])
    assert plan.steps
    assert plan.postconditions
    assert bool(plan.stack) == any(file.path.endswith(f"Pulumi.{plan.stack}.yaml") for file in plan.files)
    assert json.dumps(plan_to_json(make_plan(facts, diagnosis))) == json.dumps(plan_to_json(plan))


@pytest.mark.parametrize("name", NAMES)
def test_an_incident_is_kept_small_and_as_this_version_writes_it(name: str) -> None:
    text = (FOLDER / name / "facts.json").read_text(encoding="utf-8")
    assert len(text) <= MOST_BYTES
    assert dump(load(text, subject=name)) == text


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment", "Job", "StatefulSet"])
@pytest.mark.parametrize("name", NAMES)
def test_a_kind_of_workload_that_was_not_read_changes_no_verdict(name: str, kind: str) -> None:
    facts = facts_of(name)
    assert isinstance(facts.kubernetes, Kubernetes)
    left = tuple(each for each in items(facts.kubernetes.workloads) if each.kind != kind)
    kubernetes = replace(facts.kubernetes, workloads=left, unread_workloads={kind: "denied (x)"})
    whole, found = diagnose(facts), diagnose(replace(facts, kubernetes=kubernetes))
    assert (found.verdict, found.causes) == (whole.verdict, whole.causes)
    hit = found.impact.workloads if found.impact is not None else ()
    assert all(each.desired is None for each in hit if each.kind == kind)
    told = found.impact.unread if found.impact is not None else ()
    assert (f"Replicas of every {kind}: denied (x)." in told) is any(each.kind == kind for each in hit)


def test_what_a_rehearsal_saves_of_a_scenario_is_what_is_kept_here(tmp_path: Path) -> None:
    facts = facts_of("eks-exhausted")
    save_played(Played(snapshot=facts, diagnosis=diagnose(facts)), tmp_path / "saved")
    for name in ("facts.json", "expected.json"):
        assert (tmp_path / "saved" / name).read_bytes() == (FOLDER / "eks-exhausted" / name).read_bytes()
