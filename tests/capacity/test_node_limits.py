from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.blocks import Block
from headroom.capacity.fleet import FleetSubnet, plan_fleet
from headroom.capacity.limits import instance_limits
from headroom.capacity.node_limits import GrowingNodes, NodeLimits, cpu_limit, node_limits, rows
from headroom.capacity.settings import CniSettings

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
LARGE, SMALL = instance_limits("m5.8xlarge"), instance_limits("m5.large")
DEFAULT = CniSettings.from_environment({})


def subnets(**blocks: str) -> list[FleetSubnet]:
    zones = {"a": A, "b": B, "c": C}
    return [FleetSubnet.of(Block.parse(block), zones[name]) for name, block in blocks.items()]


def limit(groups: list[GrowingNodes], there: list[FleetSubnet], surge: int = 1) -> NodeLimits:
    return node_limits(groups, DEFAULT, there, surge=surge)


def test_the_reference_fleet_gets_the_maximum_that_its_three_subnets_hold_with_the_arithmetic() -> None:
    group = GrowingNodes(name="services", limits=LARGE, zones=(A, B, C), running=3, wanted=30, pods=100)
    found = limit([group], subnets(a="10.0.0.0/22", b="10.0.4.0/22", c="10.0.8.0/22"))
    # 1,019 addresses a zone, 150 a node: five and one more in an upgrade make 900, another one 1,050.
    assert found.limits["services"].limit == 15
    assert found.limits["services"].addresses == 150
    assert found.limits["services"].binding == (A, B, C)
    assert found.limits["services"].lowered
    assert found.arithmetic()[0] == (
        "us-east-1a: services: 5 m5.8xlarge x 150 (5 interfaces + 145 addresses for 100 pods) + 1 more in a rolling "
        "upgrade x 150 = 900 of 1,019; binds services"
    )


def test_warm_targets_let_more_nodes_fit() -> None:
    group = GrowingNodes(name="services", limits=LARGE, zones=(A,), wanted=30, pods=100)
    thrifty = CniSettings.from_environment({"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"})
    there = subnets(a="10.0.0.0/22")
    assert limit([group], there).limits["services"].limit == 5
    assert node_limits([group], thrifty, there, surge=1).limits["services"].limit == 8


def test_what_fits_is_not_lowered_and_nothing_binds() -> None:
    group = GrowingNodes(name="services", limits=LARGE, zones=(A, B), wanted=6, pods=100)
    found = limit([group], subnets(a="10.0.0.0/20", b="10.0.16.0/20"))
    assert (found.limits["services"].limit, found.limits["services"].binding) == (6, ())
    assert not found.limits["services"].lowered
    assert found.short == ()


def test_the_smallest_zone_binds_a_group_and_not_one_that_does_not_start_there() -> None:
    both = GrowingNodes(name="both", limits=LARGE, zones=(A, B), wanted=20, pods=100)
    other = GrowingNodes(name="other", limits=LARGE, zones=(B,), wanted=4, pods=100)
    found = limit([both, other], subnets(a="10.0.0.0/23", b="10.0.16.0/20"))
    # 507 addresses in a: two nodes, and one in an upgrade.
    assert (found.limits["both"].limit, found.limits["both"].binding) == (4, (A,))
    assert (found.limits["other"].limit, found.limits["other"].binding) == (4, ())


def test_groups_that_share_a_full_zone_grow_by_the_same_share() -> None:
    one = GrowingNodes(name="one", limits=LARGE, zones=(A,), wanted=20, pods=100)
    two = GrowingNodes(name="two", limits=LARGE, zones=(A,), wanted=10, pods=100)
    found = limit([one, two], subnets(a="10.0.0.0/21"))
    # 2,043 addresses: twelve nodes and the one of an upgrade make 1,950. Alone they could have twelve, and ten.
    assert {name: each.limit for name, each in found.limits.items()} == {"one": 7, "two": 5}


def test_a_group_that_wants_without_end_does_not_push_out_one_that_wants_little() -> None:
    modest = GrowingNodes(name="modest", limits=LARGE, zones=(A,), wanted=6, pods=100)
    greedy = GrowingNodes(name="greedy", limits=LARGE, zones=(A,), pods=100, balanced=False)
    found = limit([modest, greedy], subnets(a="10.0.0.0/21"))
    assert {name: each.limit for name, each in found.limits.items()} == {"modest": 4, "greedy": 8}


def test_no_limit_goes_below_what_runs_and_the_zone_that_is_too_full_is_named() -> None:
    group = GrowingNodes(name="services", limits=LARGE, zones=(A,), running=7, wanted=30, pods=100)
    found = limit([group], subnets(a="10.0.0.0/22"))
    assert found.limits["services"].limit == 7
    (zone,) = found.short
    assert (zone.zone, zone.short_by) == (A, 8 * 150 - 1019)
    assert found.arithmetic()[0].endswith("= 1,200 of 1,019; 181 missing")


def test_karpenter_may_start_all_nodes_in_one_zone_and_is_limited_by_vcpus() -> None:
    pool = GrowingNodes(name="default", limits=LARGE, zones=(A, B, C), pods=100, balanced=False)
    found = limit([pool], subnets(a="10.0.0.0/22", b="10.0.4.0/22", c="10.0.8.0/22"))
    assert found.limits["default"].limit == 5
    assert cpu_limit(found.limits["default"]) == 5 * 32


def test_prefixes_are_counted_as_whole_28s() -> None:
    settings = CniSettings.from_environment({"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"})
    group = GrowingNodes(name="dense", limits=SMALL, zones=(A,), wanted=50, pods=100)
    there = [FleetSubnet(id="fragmented", zone=A, usable=1019, free28=20)]
    found = node_limits([group], settings, there, surge=1)
    # Seven /28s are 112 addresses, more than the 110 pods that it can have: two nodes take fourteen, three would 21.
    assert (found.limits["dense"].limit, found.short) == (1, ())
    assert "7 x 16 for 100 pods" in found.arithmetic()[0]


@pytest.mark.parametrize("surge", [1, 3])
def test_a_larger_surge_leaves_less_to_grow(surge: int) -> None:
    group = GrowingNodes(name="services", limits=LARGE, zones=(A,), wanted=30, pods=100)
    assert limit([group], subnets(a="10.0.0.0/22"), surge=surge).limits["services"].limit == 6 - surge


KINDS = st.sampled_from(["m5.large", "m5.8xlarge", "c5.xlarge"])


@given(
    kinds=st.lists(st.tuples(KINDS, st.integers(0, 3), st.integers(0, 40), st.integers(1, 7)), min_size=1, max_size=3),
    lengths=st.tuples(*[st.integers(19, 24)] * 3),
    surge=st.integers(1, 3),
)
def test_limits_fit_and_no_group_could_have_one_more(
    kinds: list[tuple[str, int, int, int]], lengths: tuple[int, int, int], surge: int
) -> None:
    zones = (A, B, C)
    groups = [
        GrowingNodes(
            name=f"g{index}",
            limits=instance_limits(kind),
            zones=tuple(zone for bit, zone in enumerate(zones) if which >> bit & 1),
            running=running,
            wanted=running + more,
        )
        for index, (kind, running, more, which) in enumerate(kinds)
    ]
    there = [
        FleetSubnet.of(Block.parse(f"10.{index}.0.0/{length}"), zone)
        for index, (zone, length) in enumerate(zip(zones, lengths, strict=True))
    ]
    found = node_limits(groups, DEFAULT, there, surge=surge)
    counts = {name: each.limit for name, each in found.limits.items()}
    for group in groups:
        assert group.running <= counts[group.name] <= group.wanted
    if found.short:
        assert counts == {group.name: group.running for group in groups}
        return
    for group in groups:
        more = {**counts, group.name: counts[group.name] + 1}
        plan = plan_fleet(rows(groups, more, DEFAULT, there), DEFAULT, surge=surge, subnets=there)
        assert plan.short or counts[group.name] == group.wanted, "another node would have fitted"
        assert bool(found.limits[group.name].binding) == (counts[group.name] < group.wanted)
