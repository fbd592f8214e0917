"""Incidents from the page to the proof; and that the proof fails where the cure does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from headroom.collect.identity import SOURCE as IDENTITY
from headroom.diagnosis.verdict import Detail, Diagnosis, RootCause, Verdict
from headroom.facts.snapshot import Snapshot
from headroom.planning.plan import Plan
from headroom.planning.planner import make_plan
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import DEPLOYMENTS
from headroom.rehearsal.narration import Narrator
from headroom.rehearsal.scenarios import incident
from headroom.rehearsal.scenarios.incident import Expected, Incident, Played, RehearsalFailedError, play_through
from headroom.rehearsal.scenarios.incidents import INCIDENTS
from headroom.rehearsal.scenarios.shape import NAMESPACE, Cluster
from headroom.rehearsal.tools import Tools
from headroom.rehearsal.world import World, start_world


@contextmanager
def rehearsing(tools: Tools, folder: Path) -> Iterator[tuple[World, Narrator, Clock]]:
    clock = Clock(incident.START, incident.SPEED)
    narrator = Narrator(Console(file=StringIO(), width=160), simulated_now=clock.now)
    with start_world(folder, tools) as world:
        yield world, narrator, clock


def causes_of(played: Played) -> list[tuple[RootCause, Detail | None]]:
    return [(cause.root_cause, cause.detail) for cause in played.diagnosis.causes]


@pytest.mark.control_plane
def test_leaked_interfaces_are_found_deleted_and_the_pods_run(tools: Tools, tmp_path: Path) -> None:
    with rehearsing(tools, tmp_path) as (world, narrator, clock):
        played = play_through(INCIDENTS["eks-leaked-enis"], world, narrator, clock)
    assert played.diagnosis.verdict is Verdict.FOUND
    assert causes_of(played)[0] == (RootCause.SUBNET_EXHAUSTION, Detail.LEAKED_ENIS)
    assert played.plan is not None
    assert played.plan.stack == "", "what hangs on nothing is deleted by hand: no stack is needed"
    verified = narrator.phases[-1]
    assert (verified.name, verified.facts["conditions"].partition(" after ")[0]) == ("verify", "all 5 met")


@pytest.mark.control_plane
@pytest.mark.engine
def test_a_cooldown_is_found_shortened_by_a_stack_and_the_pods_run(tools: Tools, tmp_path: Path) -> None:
    with rehearsing(tools, tmp_path) as (world, narrator, clock):
        played = play_through(INCIDENTS["eks-cooldown"], world, narrator, clock)
    assert played.diagnosis.verdict is Verdict.FOUND
    assert causes_of(played) == [(RootCause.WARM_TARGET, Detail.COOLDOWN)]
    assert played.plan is not None
    assert played.plan.stack == "prod-use1-density"
    verified = narrator.phases[-1]
    assert (verified.name, verified.facts["conditions"].partition(" after ")[0]) == ("verify", "all 4 met")


@pytest.mark.control_plane
@pytest.mark.engine
def test_two_causes_at_once_are_both_found_and_cured(tools: Tools, tmp_path: Path) -> None:
    with rehearsing(tools, tmp_path) as (world, narrator, clock):
        played = play_through(INCIDENTS["eks-two-causes"], world, narrator, clock)
    assert causes_of(played) == [(RootCause.ENI_LIMIT, None), (RootCause.SUBNET_EXHAUSTION, None)]
    assert played.plan is not None
    assert played.plan.stack == "prod-use1-emergency"
    proven = next(source for source in played.snapshot.sources if source.name == IDENTITY)
    assert (proven.items, proven.outcome) == (1, ""), "DescribeCluster tells where the control plane is"
    verified = narrator.phases[-1]
    assert (verified.name, verified.facts["conditions"].partition(" after ")[0]) == ("verify", "all 8 met")


def _scaled(world: World, running: Cluster) -> str:
    del world
    running.kube.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 150}}, namespace=NAMESPACE)
    return "web has to have 150 replicas"


EXHAUSTED = Incident(
    name="small-exhausted",
    title="Three small subnets are full",
    shape=replace(INCIDENTS["eks-old-cni"].shape, cni_version="1.19.2"),
    happen=_scaled,
    expected=Expected(causes=((RootCause.SUBNET_EXHAUSTION, None),)),
)


def _without_the_tag(snapshot: Snapshot, diagnosis: Diagnosis) -> Plan:
    """The plan, but that its subnets do not get the tag by which the CNI finds them."""
    plan = make_plan(snapshot, diagnosis)
    files = tuple(
        replace(file, text=f"{file.text}  headroom:acceptNewPods: false\n") if file.path.endswith(".yaml") else file
        for file in plan.files
    )
    return replace(plan, files=files)


@pytest.mark.control_plane
@pytest.mark.engine
def test_a_plan_whose_subnets_lack_the_tag_cures_nothing_and_verify_says_so(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incident, "make_plan", _without_the_tag)
    with (
        rehearsing(tools, tmp_path) as (world, narrator, clock),
        pytest.raises(RehearsalFailedError, match="not cured") as caught,
    ):
        play_through(EXHAUSTED, world, narrator, clock)
    assert [phase.name for phase in narrator.phases][-3:] == ["preview", "up", "verify"]
    text = str(caught.value)
    assert "does not carry kubernetes.io/role/cni=1" in text
    assert "pods without an address" in text
