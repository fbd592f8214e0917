"""Made clusters add up: their addresses lie where AWS would put them, and pods have those of their own nodes."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from headroom.addresses.blocks import Block, usable_addresses
from headroom.addresses.subnet_map import subnet_map
from headroom.facts.aws import Aws, Interface, Subnet
from headroom.facts.document import dump, load
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.snapshot import Snapshot
from headroom.rehearsal import made

CLUSTERS = (made.exhausted, made.healthy, made.fragmented, made.leaking, made.crowded, made.full_nodes)


def aws(snapshot: Snapshot) -> Aws:
    assert isinstance(snapshot.aws, Aws)
    return snapshot.aws


def kubernetes(snapshot: Snapshot) -> Kubernetes:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return snapshot.kubernetes


def subnets(snapshot: Snapshot) -> tuple[Subnet, ...]:
    assert isinstance(aws(snapshot).subnets, tuple)
    return aws(snapshot).subnets  # type: ignore[return-value] # known in a made snapshot


def interfaces(snapshot: Snapshot) -> tuple[Interface, ...]:
    assert isinstance(aws(snapshot).interfaces, tuple)
    return aws(snapshot).interfaces  # type: ignore[return-value] # known in a made snapshot


@pytest.mark.parametrize("make", CLUSTERS)
def test_every_address_is_held_once_lies_in_its_subnet_and_the_rest_is_free(make: Callable[[], Snapshot]) -> None:
    snapshot = make()
    for subnet in subnets(snapshot):
        block = Block.parse(str(subnet.cidr_block))
        mine = [each for each in interfaces(snapshot) if each.subnet_id == subnet.subnet_id]
        singles = [address for each in mine for address in each.addresses]
        prefixes = [Block.parse(prefix) for each in mine for prefix in each.prefixes]
        assert len(singles) == len(set(singles))
        drawn = subnet_map(
            block, used_addresses=(Block.parse(f"{text}/32").first for text in singles), used_blocks=prefixes
        )
        assert drawn.outside == 0
        assert drawn.free_addresses == subnet.available_addresses
        assert len(singles) + 16 * len(prefixes) + drawn.free_addresses == usable_addresses(block)


@pytest.mark.parametrize("make", CLUSTERS)
def test_every_pod_with_an_address_has_one_of_its_own_nodes_interfaces(make: Callable[[], Snapshot]) -> None:
    snapshot = make()
    assert isinstance(kubernetes(snapshot).nodes, tuple)
    instance = {node.name: node.instance_id for node in kubernetes(snapshot).nodes}  # type: ignore[union-attr] # known
    owner: dict[str, object] = {}
    for interface in interfaces(snapshot):
        for address in interface.addresses:
            owner[address] = interface.instance_id
        for prefix in interface.prefixes:
            block = Block.parse(prefix)
            owner.update({str(Block(block.first + n, 32)).partition("/")[0]: interface.instance_id for n in range(16)})
    pods = [pod for pod in kubernetes(snapshot).pods if pod.ip]  # type: ignore[union-attr] # known
    assert pods
    for pod in pods:
        assert owner[str(pod.ip)] == instance[str(pod.node)], pod
    of_pod_network = Counter(pod.ip for pod in pods if not pod.host_network)
    assert set(of_pod_network.values()) == {1}


@pytest.mark.parametrize("make", CLUSTERS)
def test_a_made_snapshot_survives_its_json(make: Callable[[], Snapshot]) -> None:
    assert load(dump(make())) == make()


def test_two_of_three_subnets_of_the_exhausted_cluster_are_full_and_37_pods_wait() -> None:
    snapshot = made.exhausted()
    assert [subnet.available_addresses for subnet in subnets(snapshot)] == [0, 0, 389]
    waiting = [pod for pod in kubernetes(snapshot).pods if pod.waiting == "ContainerCreating"]  # type: ignore[union-attr] # known
    assert len(waiting) == 37
    assert len(kubernetes(snapshot).nodes) == 30  # type: ignore[arg-type] # known


def test_the_fragmented_cluster_has_addresses_and_no_whole_28() -> None:
    snapshot = made.fragmented()
    assert [subnet.available_addresses for subnet in subnets(snapshot)] == [758, 758, 758]
    assert any("InsufficientCidrBlocks" in line.text for line in snapshot.lines)  # type: ignore[union-attr] # known


def test_more_workloads_than_pods_are_refused() -> None:
    cluster = replace(made.EXHAUSTED, workloads=(made.MadeWorkload(name="huge", replicas=10_000),))
    with pytest.raises(ValueError, match="run fewer pods"):
        made.make_snapshot(cluster)


def test_more_waiting_replicas_than_pods_that_wait_are_refused() -> None:
    cluster = replace(made.EXHAUSTED, workloads=(made.MadeWorkload(name="huge", replicas=100, ready=0),))
    with pytest.raises(ValueError, match="no pod more waits"):
        made.make_snapshot(cluster)


def test_a_cluster_of_karpenter_has_its_kinds_and_another_has_none() -> None:
    assert kubernetes(made.exhausted()).node_claims is None
    claims = kubernetes(made.exhausted(failed_claims=2, launching_claims=("us-east-1a",))).node_claims
    assert isinstance(claims, tuple)
    assert [claim.node is None for claim in claims] == [True, True, False]
