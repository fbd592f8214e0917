"""The twin: a cluster that is rebuilt from its snapshot falls ill as the original did, and the plan cures it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from headroom.diagnosis.classifier import diagnose
from headroom.facts.aws import Addon, Aws, NodeGroup
from headroom.facts.document import load
from headroom.facts.kubernetes import (
    DisruptionBudget,
    EniConfig,
    Event,
    Kubernetes,
    Pod,
    PriorityClass,
    Service,
    Workload,
)
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items, known_or
from headroom.rehearsal import made
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.narration import Narrator
from headroom.rehearsal.scenarios import incident
from headroom.rehearsal.scenarios.incidents import INCIDENTS
from headroom.rehearsal.scenarios.twin.original import Original, key_of, read_original
from headroom.rehearsal.scenarios.twin.play import differences, find_out_on_copy, play
from headroom.rehearsal.spoiled import Outcome, outcome
from headroom.rehearsal.tools import Tools
from headroom.rehearsal.world import World, start_world

FOLDER = Path(__file__).parents[1] / "incidents"


def incident_facts(name: str) -> Snapshot:
    return load((FOLDER / name / "facts.json").read_text(encoding="utf-8"), subject=name)


@contextmanager
def world_of(original: Original, tools: Tools, folder: Path) -> Iterator[tuple[World, Narrator, Clock]]:
    clock = Clock(original.collected_at, incident.SPEED)
    narrator = Narrator(Console(file=StringIO(), width=160), simulated_now=clock.now)
    with start_world(folder, tools, region=original.region) as world:
        yield world, narrator, clock


def pods_by_name(snapshot: Snapshot) -> dict[str, Pod]:
    return {key_of(pod): pod for pod in items(known_or(snapshot.kubernetes, Kubernetes()).pods)}


@pytest.mark.control_plane
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: incident_facts("eks-leaked-enis"), id="eks-leaked-enis"),
        pytest.param(lambda: incident_facts("eks-fragmented"), id="eks-fragmented"),
        pytest.param(made.exhausted, id="made-exhausted"),
    ],
)
def test_the_twins_own_snapshot_yields_the_same_diagnosis(
    make: Callable[[], Snapshot], tools: Tools, tmp_path: Path
) -> None:
    original = read_original(make())
    with world_of(original, tools, tmp_path) as (world, narrator, clock):
        running, played = find_out_on_copy(original, world, narrator, clock)
        assert running.nodes.errors == []
    assert list(differences(original.diagnosis, played.diagnosis)) == []
    there, here = pods_by_name(original.snapshot), pods_by_name(played.snapshot)
    assert here.keys() == there.keys(), "every pod is there under its own name, and no other"
    assert {name: pod.ip for name, pod in here.items()} == {name: pod.ip for name, pod in there.items()}
    assert {name: pod.node for name, pod in here.items()} == {name: pod.node for name, pod in there.items()}
    assert {name: pod.owner for name, pod in here.items()} == {name: pod.owner for name, pod in there.items()}


@pytest.mark.control_plane
@pytest.mark.engine
def test_a_plan_is_previewed_imported_applied_and_verified_on_a_copy_with_a_managed_add_on(
    tools: Tools, tmp_path: Path
) -> None:
    facts = incident_facts("eks-eni-limit")
    addon = Addon(version="v1.19.2-eksbuild.1", status="ACTIVE", environment={"WARM_ENI_TARGET": "1"})
    original = read_original(replace(facts, aws=replace(known_or(facts.aws, Aws()), addon=addon)))
    with world_of(original, tools, tmp_path) as (world, narrator, clock):
        result = play(original, world, narrator, clock)
        assert isinstance(narrator.console.file, StringIO)
        told = narrator.console.file.getvalue()
    assert (result["verdict"], result["causes"], result["unproven"]) == ("found", ["eni_limit"], "")
    assert "the copy's own give the same, byte for byte" in told
    phases = {phase.name: phase for phase in narrator.phases}
    assert list(phases) == ["copy", "diagnose", "plan", "by hand", "preview", "import", "up", "verify"]
    # Among them that the live DaemonSet has the settings: EKS put them there, not the stack.
    assert str(phases["verify"].facts["conditions"]).startswith("all 4 met")


@pytest.mark.control_plane
def test_a_copy_that_is_not_like_its_original_is_no_proof(tools: Tools, tmp_path: Path) -> None:
    healthy = read_original(incident_facts("eks-healthy"))
    ill = read_original(incident_facts("eks-leaked-enis"))
    mistaken = replace(healthy, diagnosis=ill.diagnosis)
    with (
        world_of(mistaken, tools, tmp_path) as (world, narrator, clock),
        pytest.raises(incident.RehearsalFailedError, match="the verdict is healthy; expected was found"),
    ):
        find_out_on_copy(mistaken, world, narrator, clock)


ASKED = (
    "DescribeCluster",
    "DescribeNetworkInterfaces",
    "DescribeRouteTables",
    "DescribeSubnets",
    "DescribeVpcPeeringConnections",
    "DescribeVpcs",
    "ListNodegroups",
    "DescribeAddon",
)
"""What the collector asks AWS in any case."""
REFUSALS = {"UnauthorizedOperation": 403, "InternalError": 500}


@pytest.mark.control_plane
@pytest.mark.parametrize("name", ["eks-leaked-enis", "eks-eni-limit"])
def test_whatever_aws_refuses_the_verdict_stays_right_or_becomes_undecided(
    name: str, tools: Tools, tmp_path: Path
) -> None:
    original = read_original(incident_facts(name))
    truth = original.diagnosis
    seen: dict[str, Outcome] = {}
    with world_of(original, tools, tmp_path) as (world, narrator, clock):
        running, _ = find_out_on_copy(original, world, narrator, clock)
        running.nodes.stop()  # the CNI must not meet what the collector is to meet
        for action in ASKED:
            for code, status in REFUSALS.items():
                world.endpoint.fail(action, code, status=status, count=100, message="Refused for a test.")
                diagnosis = diagnose(incident.read(world, running))
                world.endpoint.clear_faults()
                seen[f"{action} {code}"] = outcome(
                    truth.verdict, [cause.name for cause in truth.causes], diagnosis, also=also_of(name)
                )
    assert {call: found for call, found in seen.items() if found is Outcome.WRONG} == {}
    assert seen["DescribeAddon UnauthorizedOperation"] is Outcome.RIGHT, "what does not matter changes nothing"


def also_of(name: str) -> list[str]:
    also = INCIDENTS[name].expected.also
    return ["/".join(part.value for part in cause if part is not None) for cause in also]


def varied() -> Snapshot:
    """The leaked incident with one of everything that a copy knows how to make."""
    snapshot = incident_facts("eks-leaked-enis")
    kubernetes = known_or(snapshot.kubernetes, Kubernetes())
    running = [pod for pod in items(kubernetes.pods) if pod.ip is not None and not pod.host_network]
    others = [pod for pod in items(kubernetes.pods) if pod not in running]
    renamed = {
        "db-0": {"owner": "StatefulSet/db", "priority_class": "important", "priority": 1000},
        "agent-x1": {"owner": "DaemonSet/agent"},
        "import-abc": {"owner": "Job/import"},
        "debug": {"owner": None},
        "crash-7f9c-a1": {"owner": "Deployment/crash", "waiting": "CrashLoopBackOff", "ready": False},
        "image-7f9c-a1": {
            "owner": "Deployment/image",
            "phase": "Pending",
            "waiting": "ImagePullBackOff",
            "ready": False,
        },
    }
    new = [replace(pod, name=name, **changes) for (name, changes), pod in zip(renamed.items(), running, strict=False)]  # type: ignore[arg-type] # fields of a pod
    pending = replace(
        running[-1], name="big-5c-z9", owner="Deployment/big", node=None, ip=None, phase="Pending", ready=False
    )
    first, second, *rest = items(kubernetes.nodes)
    return replace(
        snapshot,
        aws=replace(
            known_or(snapshot.aws, Aws()),
            node_groups=(
                NodeGroup(
                    name="web",
                    subnet_ids=known_or(snapshot.aws, Aws()).cluster_subnet_ids,
                    minimum=1,
                    desired=3,
                    maximum=5,
                ),
            ),
        ),
        kubernetes=replace(
            kubernetes,
            nodes=(
                replace(first, unschedulable=True),
                replace(second, taints=("dedicated=web:NoSchedule",)),
                *rest,
            ),
            pods=(*others, *new, *running[len(new) :], pending),
            workloads=(
                *(each for each in items(kubernetes.workloads) if each.name != "web"),
                Workload(kind="Deployment", namespace="shop", name="web", desired=len(running) - len(new) + 33),
                Workload(kind="StatefulSet", namespace="shop", name="db", desired=1),
                Workload(kind="Deployment", namespace="shop", name="idle", desired=0),
            ),
            services=(Service(namespace="shop", name="db", pods=("db-0",), ready_endpoints=1),),
            disruption_budgets=(DisruptionBudget(namespace="shop", name="db", pods=("db-0",), desired_healthy=1),),
            priority_classes=(PriorityClass(name="important", value=1000),),
            eni_configs=(EniConfig(name="us-east-1a", subnet_id="subnet-1", security_group_ids=("sg-1",)),),
            events=(
                *items(kubernetes.events),
                Event(
                    kind="Pod",
                    namespace="shop",
                    name="big-5c-z9",
                    reason="FailedScheduling",
                    message="0/3 nodes are available: 3 Insufficient cpu.",
                    last_seen=snapshot.collected_at,
                ),
            ),
        ),
    )


@pytest.mark.control_plane
def test_whatever_owns_a_pod_the_copy_has_it_too(tools: Tools, tmp_path: Path) -> None:
    original = read_original(varied())
    with world_of(original, tools, tmp_path) as (world, narrator, clock):
        running, played = find_out_on_copy(original, world, narrator, clock)
        assert running.nodes.errors == []
    there, here = original.kubernetes, known_or(played.snapshot.kubernetes, Kubernetes())
    mine, its = pods_by_name(played.snapshot), pods_by_name(original.snapshot)
    assert mine.keys() == its.keys()
    for name in its:
        assert (mine[name].owner, mine[name].phase, mine[name].waiting, mine[name].ip) == (
            its[name].owner,
            its[name].phase,
            its[name].waiting,
            its[name].ip,
        ), name
    assert mine["shop/db-0"].priority == 1000
    assert {(each.namespace, each.name, each.pods) for each in items(here.services)} >= {("shop", "db", ("db-0",))}
    assert [each.pods for each in items(here.disruption_budgets)] == [("db-0",)]
    assert here.eni_configs == there.eni_configs
    assert {
        node.name: (node.unschedulable, node.taints) for node in items(here.nodes) if node.unschedulable is False
    } == {node.name: (node.unschedulable, node.taints) for node in original.nodes if node.unschedulable is False}
    assert [node.unschedulable for node in items(here.nodes) if node.name == original.nodes[0].name] == [True]
    groups = items(known_or(played.snapshot.aws, Aws()).node_groups)
    assert [(group.name, group.minimum, group.desired, group.maximum) for group in groups] == [("web", 1, 3, 5)]
