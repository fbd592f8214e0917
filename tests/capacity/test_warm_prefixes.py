"""Growth with WARM_PREFIX_TARGET of 2 or more: the bounds are exact, and a burst comes out as the simulation's does."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.pool import node_pool
from headroom.capacity.prefixes import PrefixGrowth
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import NodeSimulation

# How full each prefix of a node is, in ascending order.
Fill = tuple[int, ...]


def request(fill: Fill, pods: int, growth: PrefixGrowth) -> Fill | None:
    """What ipamd's loop makes of the pool; None where it is not too low, or there is no room."""
    taken = len(fill)
    if taken >= min(growth.stop, growth.most) or 16 * (taken - growth.warm) >= pods:
        return None
    wanted = max(1, growth.warm - fill.count(0))
    return (*[0] * min(wanted, growth.slots - taken % growth.slots), *fill)


def with_another_pod(fill: Fill) -> Iterator[Fill]:
    for index, pods in enumerate(fill):
        if pods < 16:
            yield tuple(sorted((*fill[:index], pods + 1, *fill[index + 1 :])))


def every_outcome(growth: PrefixGrowth, most_pods: int) -> Iterator[tuple[int, set[int]]]:
    """Each number of pods with all numbers of prefixes at rest, however the pods came and wherever they landed."""
    reached: set[Fill] = {request((), 0, growth) or ()}
    for pods in range(most_pods + 1):
        at_rest: set[int] = set()
        seen, waiting = set(reached), list(reached)
        while waiting:
            fill = waiting.pop()
            grown = request(fill, pods, growth)
            if grown is None:
                at_rest.add(len(fill))
            elif grown not in seen:
                seen.add(grown)
                waiting.append(grown)
        if not at_rest:
            return
        yield pods, at_rest
        reached = {more for fill in seen for more in with_another_pod(fill)}


@pytest.mark.parametrize(
    "growth",
    [
        PrefixGrowth(2, 9, 27, 16),
        PrefixGrowth(2, 3, 6, 16),
        PrefixGrowth(2, 2, 4, 16),
        PrefixGrowth(2, 1, 5, 16),
        PrefixGrowth(2, 9, 27, 3),
        PrefixGrowth(2, 5, 10, 1),
        PrefixGrowth(3, 9, 27, 16),
        PrefixGrowth(3, 3, 9, 16),
        PrefixGrowth(3, 4, 8, 3),
        PrefixGrowth(3, 9, 9, 0),
        PrefixGrowth(4, 5, 20, 16),
        PrefixGrowth(5, 3, 9, 16),
    ],
)
def test_no_order_of_arrival_leaves_the_bounds_and_some_reach_them(growth: PrefixGrowth) -> None:
    for pods, outcomes in every_outcome(growth, most_pods=18):
        assert growth.bounds(pods) == (min(outcomes), max(outcomes)), pods


def test_the_bounds_are_those_of_the_rule_where_there_is_room() -> None:
    """ceil(p/16) + k to ceil(p/16) + 2k - 1 (recorded runs), on a node with room and pods enough."""
    for warm in (2, 3, 4):
        growth = PrefixGrowth(warm, 49, 735, 10_000)
        assert [growth.bounds(pods) for pods in (17, 100, 200)] == [
            (full + warm, full + 2 * warm - 1) for full in (2, 7, 13)
        ]


@st.composite
def nodes(draw: st.DrawFn) -> tuple[InstanceLimits, CniSettings, int, int]:
    limits = InstanceLimits(enis=draw(st.integers(2, 6)), ipv4_per_eni=draw(st.integers(2, 30)))
    settings = CniSettings(
        prefix_delegation=True,
        warm_prefix_target=draw(st.integers(2, 6)),
        custom_networking=draw(st.booleans()),
        max_eni=draw(st.none() | st.integers(2, 6)),
    )
    return limits, settings, draw(st.integers(0, 120)), draw(st.integers(0, 250))


@hypothesis_settings(max_examples=200, deadline=None)
@given(nodes(), st.integers(0, 1_000), st.sampled_from((0.0, 2.0, 7.0)))
def test_the_simulation_settles_within_the_bounds(
    node: tuple[InstanceLimits, CniSettings, int, int], seed: int, every_seconds: float
) -> None:
    limits, settings, pods, max_pods = node
    pool = node_pool(limits, settings, pods, max_pods=max_pods)
    simulated = NodeSimulation(
        limits=limits, settings=settings, max_pods=max_pods, eniconfig_subnet="subnet-node", seed=seed
    )
    if every_seconds:
        simulated.add_paced(pods, every_seconds)
    else:
        simulated.add(pods)
    assert simulated.settle()
    held = simulated.state.subnet_addresses
    if pool.range is None:
        assert held == pool.subnet_addresses
    else:
        assert pool.range.least <= held <= pool.range.most
        assert pool.range.least <= pool.expected <= pool.range.most


@pytest.mark.parametrize(
    ("instance_type", "warm", "pods"),
    [("m5.large", 2, 20), ("m5.large", 3, 40), ("m5.8xlarge", 2, 35), ("m5.8xlarge", 2, 165), ("m5.8xlarge", 4, 150)],
)
def test_the_mean_of_a_burst_is_that_of_simulated_ones(instance_type: str, warm: int, pods: int) -> None:
    limits, runs = instance_limits(instance_type), 200
    settings = CniSettings(prefix_delegation=True, warm_prefix_target=warm)
    pool = node_pool(limits, settings, pods, max_pods=250)
    assert pool.range is not None
    held = 0
    for seed in range(runs):
        simulated = NodeSimulation(limits=limits, settings=settings, max_pods=250, seed=seed)
        simulated.add(pods)
        simulated.settle()
        held += simulated.state.subnet_addresses
    assert pool.expected == pytest.approx(held / runs, abs=3), "a fifth of a prefix"


def test_a_hundred_pods_with_two_warm_prefixes_take_nine_or_ten() -> None:
    pool = node_pool(instance_limits("m5.8xlarge"), CniSettings(prefix_delegation=True, warm_prefix_target=2), 100)
    assert pool.range is not None
    assert (pool.range.least, pool.range.most) == (1 + 16 * 9, 1 + 16 * 10)
    # Six prefixes are full; of the next two the first comes first with 7/8 (Go's map order), for four pods.
    in_use = 6 + 2 - (7 / 8) ** 4 - (1 / 8) ** 4
    assert pool.expected == pytest.approx(1 + 16 * (in_use + 2), abs=2)


def test_a_node_without_interfaces_for_pods_takes_no_prefix() -> None:
    limits = InstanceLimits(enis=1, ipv4_per_eni=10)
    settings = CniSettings(prefix_delegation=True, warm_prefix_target=2, custom_networking=True)
    pool = node_pool(limits, settings, 10, max_pods=110)
    assert (pool.enis, pool.prefixes, pool.assigned, pool.limited_by) == (1, 0, 0, "instance-type")
