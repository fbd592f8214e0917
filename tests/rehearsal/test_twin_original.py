"""What a copy is made of: what is not enough is refused, all at once; what has to be guessed is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.facts.aws import Aws
from headroom.facts.document import dump, load
from headroom.facts.kubernetes import CniDaemonSet, Kubernetes
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown, items, known_or
from headroom.rehearsal.scenarios.twin.original import MOST_NODES, read_original
from headroom.rehearsal.scenarios.twin.play import differences, open_original

INCIDENTS = Path(__file__).parents[1] / "incidents"
DENIED = Unknown(Reason.DENIED)


@pytest.fixture(scope="module")
def leaked() -> Snapshot:
    return load((INCIDENTS / "eks-leaked-enis" / "facts.json").read_text(encoding="utf-8"))


def of_aws(snapshot: Snapshot, **changes: Any) -> Snapshot:
    return replace(snapshot, aws=replace(known_or(snapshot.aws, Aws()), **changes))


def of_kubernetes(snapshot: Snapshot, **changes: Any) -> Snapshot:
    return replace(snapshot, kubernetes=replace(known_or(snapshot.kubernetes, Kubernetes()), **changes))


def refused(snapshot: Snapshot) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        read_original(snapshot)
    assert all(problem.next_step for problem in caught.value.problems)
    return [problem.message for problem in caught.value.problems]


def test_every_fact_that_a_copy_cannot_do_without_is_named_at_once(leaked: Snapshot) -> None:
    messages = refused(of_kubernetes(of_aws(leaked, vpc=DENIED, subnets=None, interfaces=()), pods=DENIED))
    assert [message.partition(" ")[0] for message in messages] == [
        "aws.vpc",
        "aws.subnets",
        "aws.interfaces",
        "kubernetes.pods",
    ]
    assert messages[0].startswith("aws.vpc is unknown: denied.")


def test_of_a_half_that_nobody_read_one_problem_is_told(leaked: Snapshot) -> None:
    assert len(refused(replace(leaked, aws=DENIED))) == 1


def test_a_cluster_too_large_for_one_machine_is_refused_in_a_sentence(leaked: Snapshot) -> None:
    node = items(known_or(leaked.kubernetes, Kubernetes()).nodes)[0]
    many = tuple(replace(node, name=f"node-{number}") for number in range(MOST_NODES + 1))
    (message,) = refused(of_kubernetes(leaked, nodes=many))
    assert message.startswith("a cluster of 201 nodes and 66 pods is too large to be copied on one machine")


def test_a_cluster_of_another_cloud_and_auto_mode_are_refused(leaked: Snapshot) -> None:
    assert refused(replace(leaked, cloud="azure"))[0].startswith("azure is not AWS.")
    assert refused(of_aws(leaked, auto_mode=True))[0].startswith("EKS Auto Mode runs its own agent")


def test_nodes_that_are_no_instances_are_left_out_and_their_pods_with_them(leaked: Snapshot) -> None:
    kubernetes = known_or(leaked.kubernetes, Kubernetes())
    fargate, *others = items(kubernetes.nodes)
    original = read_original(of_kubernetes(leaked, nodes=(replace(fargate, instance_id=None), *others)))
    assert [node.name for node in original.nodes] == [node.name for node in others]
    assert fargate.name not in {pod.node for pod in original.pods}
    assert original.guesses == ["1 nodes that are no EC2 instances (Fargate, hybrid): they and their pods are left out"]


def test_a_snapshot_without_a_node_that_can_be_copied_is_refused(leaked: Snapshot) -> None:
    nodes = items(known_or(leaked.kubernetes, Kubernetes()).nodes)
    bare = of_kubernetes(leaked, nodes=tuple(replace(node, instance_id=None) for node in nodes))
    assert refused(bare)[0].startswith("none of 3 nodes can be copied: they are no EC2 instances")


def test_a_version_that_is_none_is_refused(leaked: Snapshot) -> None:
    daemon_set = known_or(known_or(leaked.kubernetes, Kubernetes()).cni_daemon_set, CniDaemonSet())
    assert refused(of_kubernetes(leaked, cni_daemon_set=replace(daemon_set, version="latest")))


def test_what_was_not_read_and_can_be_guessed_is_said(leaked: Snapshot) -> None:
    original = read_original(of_aws(replace(leaked, collected_at=DENIED), peerings=DENIED, route_tables=DENIED))
    assert [guess.partition(",")[0].partition(":")[0] for guess in original.guesses] == [
        "the routes",
        "the VPC's peerings",
        "when the snapshot was taken",
    ]


def test_facts_whose_diagnosis_is_undecided_prove_nothing(leaked: Snapshot, tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    subnets = tuple(
        replace(subnet, available_addresses=DENIED) for subnet in items(known_or(leaked.aws, Aws()).subnets)
    )
    file.write_text(dump(of_aws(replace(leaked, lines=DENIED, pools=DENIED), subnets=subnets)), encoding="utf-8")
    with pytest.raises(ProblemsError, match="is undecided, so that a copy could be held to nothing"):
        open_original(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"\xff\xfe\x00", "it is no text"), (b"{", "is not JSON"), (b"{}", "is no snapshot")],
)
def test_a_file_that_is_no_snapshot_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ProblemsError, match=words):
        open_original(file)


def test_two_diagnoses_that_differ_are_told_apart(leaked: Snapshot) -> None:
    whole = read_original(leaked).diagnosis
    assert list(differences(whole, whole)) == []
    without_the_leak = replace(whole, causes=whole.causes[1:])
    assert list(differences(whole, without_the_leak)) == ["subnet_exhaustion/leaked_enis is found there and not here"]
    narrower = replace(
        whole,
        causes=tuple(replace(cause, scope=replace(cause.scope, nodes=cause.scope.nodes[:1])) for cause in whole.causes),
    )
    assert set(differences(whole, narrower)) == {
        "subnet_exhaustion concerns 1 nodes, there 3",
        "subnet_exhaustion/leaked_enis concerns 1 nodes, there 3",
    }
