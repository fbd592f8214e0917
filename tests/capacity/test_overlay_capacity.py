"""Azure CNI Overlay and kubenet: pools at their largest against the ranges."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.azure import AksRanges
from headroom.addresses.blocks import Block
from headroom.addresses.problems import ProblemsError
from headroom.capacity.overlay import (
    AksPool,
    ClusterCapacity,
    NetworkMode,
    Surge,
    cluster_capacity,
    default_surge,
)

B = Block.parse


def judged(
    pods: str, *pools: str, node_subnet: str | None = "10.0.0.0/20", mode: NetworkMode = "overlay", **more: Any
) -> ClusterCapacity:
    ranges = AksRanges(pod_cidr=B(pods), node_subnet=None if node_subnet is None else B(node_subnet))
    return cluster_capacity(ranges, [AksPool.parse(pool) for pool in pools], mode=mode, **more)


def rules(found: ClusterCapacity) -> list[str]:
    return sorted(problem.rule for problem in found.problems)


def test_aks_counts_the_autoscalers_maximum_and_the_surge() -> None:
    """Azure/AKS CHANGELOG, 2023-05-07."""
    found = judged("10.244.0.0/16", "system:3:5:1:110", "apps:10:200:10%:250")
    assert (found.nodes, found.capacity) == (5 + 1 + 200 + 20, 256)
    assert found.pods_capacity == 5 * 110 + 200 * 250
    assert found.problems == ()


def test_a_pool_without_maximum_counts_as_it_is_and_gets_the_defaults() -> None:
    """Surge 10 % since Kubernetes 1.32, 250 pods in an overlay, 110 on kubenet."""
    assert (judged("10.244.0.0/16", "apps:50").nodes, judged("10.244.0.0/16", "apps:50").pods_capacity) == (55, 12_500)
    assert judged("10.244.0.0/16", "apps:50", mode="kubenet").pods_capacity == 5_500


def test_the_reference_cluster_was_not_at_its_limit() -> None:
    """A /16 is 256 nodes, not 16: nine nodes take 3.5 % of it."""
    found = judged("10.244.0.0/16", "nodes:9::0:110")
    assert found.nodes / found.capacity == pytest.approx(0.035, abs=0.001)


def test_a_pod_range_that_is_too_small_names_the_range_to_grow_into() -> None:
    found = judged("10.244.0.0/16", "apps:10:300:0")
    assert rules(found) == ["pod-cidr-full"]
    assert found.grown == B("10.244.0.0/15")
    assert "10.244.0.0/15" in found.problems[0].next_step
    assert "networkProfile.podCIDR" in found.problems[0].reason


def test_a_pod_range_that_cannot_grow_says_so() -> None:
    found = judged("10.1.0.0/16", "apps:300::0")
    assert found.grown is None, "the /15 around it holds the nodes' subnet"
    assert "build the cluster anew with a /15" in found.problems[0].next_step


def test_a_node_subnet_that_is_too_small_is_told_with_the_size_to_take() -> None:
    found = judged("10.244.0.0/16", "apps:100::0", node_subnet="10.0.0.0/25")
    assert rules(found) == []
    found = judged("10.244.0.0/16", "apps:100::0", node_subnet="10.0.0.0/25", load_balancer_addresses=24)
    assert rules(found) == ["node-subnet-full"]
    assert "vnetSubnetID" in found.problems[0].reason
    assert "/24" in found.problems[0].next_step


def test_a_cluster_has_at_most_five_thousand_nodes() -> None:
    found = judged("100.64.0.0/10", "apps:5001::0", node_subnet=None)
    assert found.capacity == 5_000
    assert rules(found) == ["cluster-too-large"]
    assert "pod-cidr-too-large" in [warning.rule for warning in found.warnings]


def test_the_most_nodes_with_the_most_pods_are_more_than_a_cluster_runs() -> None:
    """AKS documentation, best-practices-performance-scale-large."""
    fits, beyond = (judged("10.0.0.0/11", f"apps:{count}:{count}:1:250", node_subnet=None) for count in (800, 801))
    assert "pods-beyond-limit" not in {each.rule for each in fits.warnings}
    [told] = [each for each in beyond.warnings if each.rule == "pods-beyond-limit"]
    assert told.message.startswith("pool: 200,250 pods would fit by maxPods, and a cluster runs 200,000,")


def test_kubenet_has_a_route_for_each_node() -> None:
    """AKS documentation, configure-kubenet: 400 nodes."""
    assert rules(judged("10.244.0.0/14", "apps:400::0", mode="kubenet")) == []
    found = judged("10.244.0.0/14", "apps:401::0", mode="kubenet")
    assert rules(found) == ["cluster-too-large"]
    assert found.capacity == 400
    assert found.growth == (), "the range of a kubenet cluster cannot grow"
    told = "".join(problem.reason for problem in judged("10.244.0.0/24", "a:9", mode="kubenet").problems)
    assert "InsufficientSubnetSize" not in told
    assert "AKS answers InsufficientPodCidr" in told


@pytest.mark.parametrize(
    ("version", "nodes"),
    [((1, 31), 51), ((1, 32), 55), ((2, 0), 55), (None, 55)],
    ids=["before", "since", "later", "?"],
)
def test_a_pool_surges_by_a_tenth_since_1_32_and_by_one_node_before(
    version: tuple[int, int] | None, nodes: int
) -> None:
    """Azure/AKS CHANGELOG, 2025-03-16."""
    pool = AksPool(name="apps", count=50, surge=default_surge(version))
    assert pool.most_with_surge == nodes


@pytest.mark.parametrize(
    ("prefix_length", "blocks", "capacity"),
    [(24, 1, 1), (16, 256, 256), (12, 4_096, 4_096), (11, 8_192, 5_000), (10, 16_384, 5_000), (8, 65_536, 5_000)],
)
def test_a_range_carries_its_24s_and_five_thousand_at_most(prefix_length: int, blocks: int, capacity: int) -> None:
    """AKS documentation, concepts-network-azure-cni-overlay; a /11 suffices for the largest cluster."""
    found = judged(str(Block.containing(0x0A000000, prefix_length)), "apps:1::0", node_subnet=None)
    assert (found.blocks, found.capacity) == (blocks, capacity)
    too_large = "pod-cidr-too-large" in [warning.rule for warning in found.warnings]
    assert too_large is (blocks > 5_000)
    if too_large:
        assert any("A /11 is enough" in warning.next_step for warning in found.warnings)


def test_a_range_does_not_grow_into_a_subnet_of_the_vnet() -> None:
    ranges = AksRanges(
        pod_cidr=B("10.244.0.0/16"), node_subnet=B("10.0.0.0/24"), subnets=(B("10.0.0.0/24"), B("10.245.3.0/24"))
    )
    found = cluster_capacity(ranges, [AksPool.parse("apps:300::0")])
    assert found.grown is None


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        ((), ["pools-missing"]),
        (("apps:3", "apps:4"), ["pool-twice"]),
        (("apps:3:2",), ["pool-maximum"]),
        (("apps:3:::9",), ["max-pods-range"]),
        (("apps:3:::251",), ["max-pods-range"]),
        (("apps:2:::10",), ["pool-too-small"]),
        (("apps:3:::10",), []),
        (("apps:0::0:250",), []),
    ],
)
def test_what_is_wrong_with_pools_is_told(pools: tuple[str, ...], expected: list[str]) -> None:
    assert rules(judged("10.244.0.0/16", *pools)) == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("apps", 1),
        ("apps:", 1),
        ("apps:x:y:z:w", 4),
        ("Apps:3", 1),
        ("averyverylongname:3", 1),
        ("äpps:3", 1),
        ("apps:-1", 1),
        ("apps:٣", 1),
        ("apps:99999999999", 1),
        ("apps:1:2:101%", 1),
        ("apps:1:2:3:4:5", 1),
    ],
)
def test_a_pool_that_cannot_be_read_is_refused_with_everything_that_is_wrong(text: str, count: int) -> None:
    with pytest.raises(ProblemsError) as refused:
        AksPool.parse(text)
    assert len(refused.value.problems) == count


@pytest.mark.parametrize(
    ("surge", "nodes", "expected"), [("10%", 50, 5), ("10%", 51, 6), ("33%", 1, 1), ("0%", 9, 0), ("7", 9, 7)]
)
def test_parts_of_a_surge_node_count_as_one(surge: str, nodes: int, expected: int) -> None:
    """AKS API, AgentPoolUpgradeSettings.maxSurge."""
    assert Surge.parse(surge).of(nodes) == expected
    assert str(Surge.parse(surge)) == surge


@given(st.integers(8, 24), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 100)), min_size=1, max_size=5))
def test_a_range_is_refused_exactly_when_the_nodes_exceed_its_blocks(length: int, pools: list[tuple[int, int]]) -> None:
    texts = [f"p{index}:{count}::{surge}%" for index, (count, surge) in enumerate(pools)]
    found = judged(str(Block.containing(0x0A000000, length)), *texts, node_subnet=None)
    assert ("pod-cidr-full" in rules(found)) == (found.nodes > 2 ** (24 - length))
    assert ("cluster-too-large" in rules(found)) == (found.nodes > 5000)
    assert found.capacity <= 5000
