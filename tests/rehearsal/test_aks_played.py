"""AKS from the page to the end of the old cluster; and smaller incidents, each cured by what its plan says."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from headroom.diagnosis.verdict import Detail, RootCause
from headroom.rehearsal.aks_world import AksWorld
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.narration import Narrator
from headroom.rehearsal.scenarios import aks_exhausted, aks_incidents, incident
from headroom.rehearsal.scenarios.aks_cluster import start_azure
from headroom.rehearsal.scenarios.incident import Expected, RehearsalFailedError
from headroom.rehearsal.tools import Tools


@contextmanager
def rehearsing(tools: Tools, folder: Path) -> Iterator[tuple[AksWorld, Narrator, Clock, StringIO]]:
    clock, story = Clock(incident.START, incident.SPEED), StringIO()
    narrator = Narrator(Console(file=story, width=400), simulated_now=clock.now)
    with start_azure(folder, tools) as world:
        yield world, narrator, clock, story


@pytest.mark.control_plane
@pytest.mark.engine
def test_a_kubenet_cluster_is_relieved_and_replaced_and_a_bad_step_goes_back(tools: Tools, tmp_path: Path) -> None:
    with rehearsing(tools, tmp_path) as (world, narrator, clock, story):
        found = aks_exhausted.play(world, narrator, clock)
        phases = {phase.name: phase.facts for phase in narrator.phases}
    assert (found["verdict"], found["causes"]) == ("found", ["ipamd_failure/host_local_leak"])
    assert phases["relief"]["rounds"] == 3, "three nodes leak, and each is drained because a diagnosis says so"
    assert phases["plan"]["conditions"].startswith("all 4 met"), "the relief is held to the plan's own file"
    assert phases["plan"]["filled in"] == len(aks_exhausted.KNOWN_BY_PEOPLE), "all that the plan's files leave open"
    gates = [(gate["step"], gate["outcome"]) for gate in found["gates"]]
    assert gates == [
        (10, "passed"),
        (25, "passed"),
        (50, "stopped"),
        (25, "passed"),
        (50, "passed"),
        (100, "passed"),
    ]
    bills = found["bills"]
    assert {bill["exitCode"] for bill in bills} == {0}
    assert len(bills) == 13
    assert len({bill["from"] for bill in bills}) == 2, "the old address, and from the attachment on the new one"
    told = story.getvalue()
    assert "filled in by a person, who alone knows it: frontDoor.resourceGroup, frontDoor.profile" in told
    assert "pulumi import" not in told, "what exists is taken over by the stacks"
    assert re.findall(r"Pulumi\.([\w-]+)\.yaml: headroom:(?:step|phase)", told) == [
        *["aks-prod-eus2-traffic"] * 5,
        *["aks-prod-eus2-retire"] * 5,
    ], "each step and each phase is a change of the plan's own file"
    for file in ("plan", "verify"):
        assert f"--plan stacks/{file}.aks-prod-eus2-overlay.json" in told
    assert "comes before the audit" in told, "attaching is refused before the audit"
    assert "subnet nodes has a routeTable that the program does not write: the next PUT detaches it" in told
    assert "is within 9 days of the end of step 100" in told
    assert phases["retire"]["pods drained"] > 0, "nobody is cut off in the middle when the pools go to zero"
    assert "the subnet still has the route table" in told
    assert "SELECTS NO POD  prod/allow-payments-from-checkout" in told
    assert "Recorded as clear of aks-prod-eus2-overlay: stacks/probes.aks-prod-eus2-traffic.json" in told
    assert "? prod deployment/reports 24 Lease reports-writer: held by reports-" in told
    for side in ("old", "neither", "new"):
        assert f"✓ {side:<9}  prod cronjob/billing-reconciliation" in told
        assert f"✓ {side:<9}  prod deployment/reports" in told


@pytest.mark.control_plane
@pytest.mark.engine
@pytest.mark.parametrize(
    "name", ["aks-host-local-leak", "aks-in-place", "aks-node-subnet-full", "aks-overlay-block", "aks-pod-cidr"]
)
def test_a_plan_carried_out_word_by_word_cures_it(tools: Tools, tmp_path: Path, name: str) -> None:
    chosen = aks_incidents.INCIDENTS[name]
    with rehearsing(tools, tmp_path) as (world, narrator, clock, _):
        found = aks_incidents.play(chosen, world, narrator, clock)
        phases = {phase.name: phase.facts for phase in narrator.phases}
    assert found["verdict"] == "found"
    if chosen.lasting:
        assert phases["verify"]["conditions"].startswith("all ")
    if chosen.wanted:
        assert phases["remedy"]["refused before, taken now"] == 1, "what Azure refused is what the cure is for"


@pytest.mark.control_plane
def test_a_cure_for_less_than_what_azure_refused_fails_the_rehearsal(tools: Tools, tmp_path: Path) -> None:
    more = aks_incidents.POD_CIDR.wanted.replace("--max-count 10", "--max-count 100")
    chosen = replace(aks_incidents.POD_CIDR, wanted=more)
    with (
        rehearsing(tools, tmp_path) as (world, narrator, clock, _),
        pytest.raises(RehearsalFailedError, match=r"after the remedy Azure still refuses .*--max-count 100"),
    ):
        aks_incidents.play(chosen, world, narrator, clock)


@pytest.mark.control_plane
def test_another_verdict_than_the_expected_one_fails_the_rehearsal(tools: Tools, tmp_path: Path) -> None:
    expected = Expected(causes=((RootCause.SUBNET_EXHAUSTION, Detail.NODE_SUBNET_FULL),))
    chosen = replace(aks_incidents.INCIDENTS["aks-host-local-leak"], expected=expected)
    with (
        rehearsing(tools, tmp_path) as (world, narrator, clock, _),
        pytest.raises(RehearsalFailedError, match="the verdict is found ipamd_failure/host_local_leak"),
    ):
        aks_incidents.play(chosen, world, narrator, clock)
