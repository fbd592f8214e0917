"""A fleet: what it takes by zone and subnet, and the warm targets that suit it."""

import math

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headroom.addresses.blocks import Block
from headroom.capacity import fleet as module
from headroom.capacity.demand import zone_demand
from headroom.capacity.fleet import (
    EQUAL_SHARE,
    FleetPlan,
    FleetSubnet,
    Nodes,
    best_warm_targets,
    plan_fleet,
)
from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.pool import node_pool
from headroom.capacity.settings import CniSettings

DEFAULT = CniSettings()
THRIFTY = CniSettings(warm_ip_target=5, minimum_ip_target=10)
WARM_PREFIX = CniSettings(prefix_delegation=True, warm_prefix_target=1)
M5_LARGE, M5_8XLARGE = instance_limits("m5.large"), instance_limits("m5.8xlarge")

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
# The cluster of the reference: ten nodes at 100 pods, twenty at 10, each of which once ran 100.
REFERENCE = tuple(
    Nodes(limits=M5_8XLARGE, zone=ZONES[index % 3], pods=100 if index < 10 else 10, peak_pods=100)
    for index in range(30)
)
REFERENCE_SUBNETS = tuple(
    FleetSubnet.of(Block.parse(cidr), zone)
    for cidr, zone in zip(("10.68.204.0/22", "10.68.208.0/22", "10.68.212.0/22"), ZONES, strict=True)
)


def addresses_by_subnet(plan: FleetPlan) -> dict[str, int]:
    return {subnet.subnet: subnet.addresses for zone in plan.zones for subnet in zone.subnets}


def test_the_reference_cluster_comes_to_its_figures() -> None:
    plan = plan_fleet(REFERENCE, DEFAULT)
    assert (plan.nodes, plan.pods, plan.assigned) == (30, 1_200, 1_200)
    assert plan.addresses == 2_700
    assert plan.worst == 4_500, "every node once ran 100 pods and gives nothing back"
    assert plan_fleet(REFERENCE, THRIFTY).addresses == 1_410
    assert plan.worst > 3 * (1024 - 5)


def test_the_reference_clusters_zones_have_no_room_for_an_upgrade() -> None:
    plan = plan_fleet(REFERENCE, DEFAULT, surge=2, subnets=REFERENCE_SUBNETS)
    first = plan.zones[0]
    assert (first.zone, first.nodes, first.addresses) == ("us-east-1a", 10, 960)
    assert (first.surge_nodes, first.surge_addresses, first.with_upgrade) == (2, 300, 1_260)
    assert first.short_by == 1_260 - 1_019
    assert plan.short == plan.zones
    assert plan_fleet(REFERENCE, THRIFTY, surge=2, subnets=REFERENCE_SUBNETS).short == ()


def test_rows_repeat_and_order_does_not_matter() -> None:
    row = Nodes(limits=M5_LARGE, zone="a", pods=10)
    assert plan_fleet([row, row, row], DEFAULT) == plan_fleet(
        [Nodes(limits=M5_LARGE, zone="a", pods=10, count=3)], DEFAULT
    )
    assert plan_fleet(REFERENCE, DEFAULT) == plan_fleet(REFERENCE[::-1], DEFAULT)


def test_an_empty_fleet_takes_nothing() -> None:
    plan = plan_fleet([], DEFAULT)
    assert (plan.zones, plan.addresses, plan.settles, plan.waiting) == ((), 0, True, 0)
    none = plan_fleet([Nodes(limits=M5_LARGE, zone="a", pods=10, count=0)], DEFAULT, subnets=REFERENCE_SUBNETS)
    assert [(zone.zone, zone.nodes, zone.addresses, zone.surge_addresses) for zone in none.zones] == [
        ("a", 0, 0, 0),
        *((zone, 0, 0, 0) for zone in ZONES),
    ]
    assert best_warm_targets([], DEFAULT) is None
    assert best_warm_targets([Nodes(limits=M5_LARGE, zone="a", pods=10, count=0)], DEFAULT) is None


def test_pods_that_can_have_no_address_are_counted() -> None:
    plan = plan_fleet([Nodes(limits=M5_LARGE, zone="a", pods=30, count=4)], DEFAULT)
    assert plan.waiting == 4 * (30 - 27)


def test_a_node_that_flaps_is_said() -> None:
    assert not plan_fleet([Nodes(limits=M5_LARGE, zone="a", pods=9)], CniSettings(warm_eni_target=0)).settles


def test_prefixes_need_whole_free_blocks_for_the_surge_too() -> None:
    plan = plan_fleet([Nodes(limits=M5_LARGE, zone="a", pods=30, count=10)], WARM_PREFIX, surge=2)
    zone = plan.zones[0]
    assert (zone.prefixes, zone.free28, zone.enis) == (30, 36, 10)
    subnet = FleetSubnet.of(Block.parse("10.0.0.0/23"), "a")
    assert (subnet.usable, subnet.free28) == (507, 30)
    short = plan_fleet([Nodes(limits=M5_LARGE, zone="a", pods=30, count=10)], WARM_PREFIX, surge=2, subnets=[subnet])
    assert (short.zones[0].short_of_28s, short.zones[0].short_by) == (6, 12 * 49 - 507)


def test_under_discovery_further_interfaces_take_from_the_subnet_with_most_free() -> None:
    nodes = [Nodes(limits=M5_LARGE, zone="a", pods=20, count=10)]
    subnets = [
        FleetSubnet(id="node", zone="a", usable=300, free28=0),
        FleetSubnet(id="pods", zone="a", usable=500, free28=0, for_pods=True),
    ]
    plan = plan_fleet(nodes, DEFAULT, subnets=subnets)
    # Ten first interfaces with ten addresses each are the nodes'; 200 more follow the free space.
    assert addresses_by_subnet(plan) == {"node": 100, "pods": 200}
    subnets[1] = FleetSubnet(id="pods", zone="a", usable=250, free28=0, for_pods=True)
    assert addresses_by_subnet(plan_fleet(nodes, DEFAULT, subnets=subnets)) == {"node": 175, "pods": 125}


def test_without_discovery_everything_is_the_nodes_own_subnet() -> None:
    nodes = [Nodes(limits=M5_LARGE, zone="a", subnet="node", pods=20, count=10)]
    subnets = [FleetSubnet(id="pods", zone="a", usable=500, free28=0, for_pods=True)]
    plan = plan_fleet(nodes, CniSettings(subnet_discovery=False), subnets=subnets)
    assert addresses_by_subnet(plan) == {"node": 300, "pods": 0}


def test_with_custom_networking_only_the_nodes_own_addresses_are_in_the_node_subnet() -> None:
    nodes = [Nodes(limits=M5_LARGE, zone="a", pods=10, count=10)]
    subnets = [
        FleetSubnet(id="node", zone="a", usable=1000, free28=0),
        FleetSubnet(id="pods", zone="a", usable=500, free28=0, for_pods=True),
    ]
    plan = plan_fleet(nodes, CniSettings(custom_networking=True), subnets=subnets)
    assert addresses_by_subnet(plan) == {"node": 10, "pods": 200}


def test_a_full_pod_subnet_is_not_hidden_by_an_empty_node_subnet() -> None:
    nodes = [Nodes(limits=M5_LARGE, zone="a", pods=10, count=10)]
    subnets = [
        FleetSubnet(id="node", zone="a", usable=1000, free28=60),
        FleetSubnet(id="pods", zone="a", usable=210, free28=0, for_pods=True),
    ]
    zone = plan_fleet(nodes, CniSettings(custom_networking=True), subnets=subnets).zones[0]
    assert (zone.with_upgrade, zone.usable, zone.short_by) == (231, 1210, 10)
    prefixes = CniSettings(custom_networking=True, prefix_delegation=True, warm_prefix_target=1)
    assert plan_fleet(nodes, prefixes, subnets=subnets).zones[0].short_of_28s == 22


def test_pod_subnets_alone_are_held_to_what_comes_from_them() -> None:
    nodes = [Nodes(limits=M5_LARGE, zone="a", pods=10, count=10)]
    subnets = [FleetSubnet(id="pods", zone="a", usable=220, free28=0, for_pods=True)]
    zone = plan_fleet(nodes, DEFAULT, subnets=subnets).zones[0]
    assert [(each.subnet, each.addresses, each.with_upgrade) for each in zone.subnets] == [("pods", 200, 220)]
    assert zone.short_by == 0


def test_what_no_subnet_has_is_still_counted() -> None:
    subnets = [FleetSubnet(id="a1", zone="a", usable=11, free28=0), FleetSubnet(id="a2", zone="a", usable=11, free28=0)]
    plan = plan_fleet([Nodes(limits=M5_LARGE, zone="a", pods=20, count=10)], DEFAULT, subnets=subnets, surge=0)
    assert addresses_by_subnet(plan) == {"a1": 150, "a2": 150}
    assert plan.zones[0].short_by == 278


def test_an_empty_subnet_has_no_room_at_its_edges() -> None:
    assert FleetSubnet.of(Block.parse("10.0.0.0/28"), "a") == FleetSubnet(
        id="10.0.0.0/28", zone="a", usable=11, free28=0
    )
    assert FleetSubnet.of(Block.parse("10.0.0.0/16"), "a").free28 == 4094


LIMITS = st.sampled_from([M5_LARGE, M5_8XLARGE, InstanceLimits(enis=4, ipv4_per_eni=15), instance_limits("m4.large")])
SETTINGS = st.sampled_from(
    [DEFAULT, THRIFTY, WARM_PREFIX, CniSettings(warm_ip_target=1), CniSettings(custom_networking=True)]
)


@st.composite
def fleets(draw: st.DrawFn) -> list[Nodes]:
    return [
        Nodes(
            limits=draw(LIMITS),
            zone=draw(st.sampled_from(ZONES)),
            count=draw(st.integers(0, 50)),
            pods=draw(st.integers(0, 120)),
            peak_pods=draw(st.none() | st.integers(0, 120)),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]


@hypothesis_settings(deadline=None)
@given(fleets(), SETTINGS, st.integers(0, 5), st.booleans())
def test_sums_agree_with_the_single_nodes(
    nodes: list[Nodes],
    settings: CniSettings,
    surge: int,
    known: bool,  # noqa: FBT001
) -> None:
    plan = plan_fleet(nodes, settings, surge=surge, subnets=REFERENCE_SUBNETS if known else ())
    pools = [(node_pool(each.limits, settings, each.pods), each) for each in nodes]
    assert plan.addresses == sum(pool.subnet_addresses * each.count for pool, each in pools)
    assert plan.nodes == sum(each.count for each in nodes)
    assert plan.worst >= plan.addresses
    for zone in plan.zones:
        assert zone.addresses == zone.enis + zone.assigned + zone.idle
        if known and not settings.custom_networking:
            assert sum(subnet.addresses for subnet in zone.subnets) == zone.addresses
            assert sum(subnet.worst for subnet in zone.subnets) == zone.worst
        if zone.nodes:
            assert zone.surge_nodes == surge
    more = plan_fleet([*nodes, Nodes(limits=M5_LARGE, zone=ZONES[0], pods=1)], settings, surge=surge)
    assert more.addresses > plan.addresses


# The best warm targets.


def test_the_reference_cluster_is_advised_as_the_worked_example_has_it() -> None:
    advice = best_warm_targets(REFERENCE, DEFAULT)
    assert advice is not None
    assert dict(advice.best.environment) == {"WARM_IP_TARGET": 5, "MINIMUM_IP_TARGET": 10}
    assert (advice.now.addresses, advice.best.addresses, advice.saves) == (2_700, 1_410, 1_290)
    (kind,) = advice.kinds
    assert (kind.limits, kind.nodes, kind.pods, kind.burst_pods, kind.max_pods) == (M5_8XLARGE, 30, 10, 10, 234)
    assert advice.now.calls_per_hour == 0, "with a warm interface ten pods come and go without a call"
    assert advice.best.calls_per_hour > 1_000, "30 nodes, and every pod costs calls"


def test_a_burst_in_time_is_worth_more_than_thrift() -> None:
    patient = best_warm_targets(REFERENCE, DEFAULT, burst_pods=100, burst_seconds=900)
    hurried = best_warm_targets(REFERENCE, DEFAULT, burst_pods=100, burst_seconds=30)
    assert patient is not None
    assert hurried is not None
    for advice, seconds in ((patient, 900), (hurried, 30)):
        assert advice.best.burst_seconds <= seconds
    assert patient.best.addresses < hurried.best.addresses


def test_a_low_target_is_slow() -> None:
    """735 pods with WARM_IP_TARGET=1 take over an hour; by default a burst of two minutes (recorded runs)."""
    large = Nodes(limits=InstanceLimits(enis=15, ipv4_per_eni=50), zone="a", pods=0, max_pods=737, count=3)
    slow = best_warm_targets([large], CniSettings(warm_ip_target=1), burst_pods=600, burst_seconds=300)
    assert slow is not None
    assert slow.now.burst_seconds == math.inf
    assert slow.best != slow.now
    assert slow.best.burst_seconds <= 300


def test_the_advice_never_costs_addresses_unless_the_burst_asks_for_it() -> None:
    for settings in (DEFAULT, THRIFTY, WARM_PREFIX):
        advice = best_warm_targets(REFERENCE, settings)
        assert advice is not None
        assert advice.best.addresses <= advice.now.addresses
        assert all(
            choice.addresses <= advice.considered[0].addresses * (1 + EQUAL_SHARE) for choice in advice.considered
        )
        assert all(choice.settles for choice in advice.considered)


def test_a_setting_that_flaps_is_replaced() -> None:
    advice = best_warm_targets([Nodes(limits=M5_LARGE, zone="a", pods=9, count=3)], CniSettings(warm_eni_target=0))
    assert advice is not None
    assert not advice.now.settles
    assert advice.best.settles


@pytest.mark.parametrize("pods", [0, 27, 10**9])
def test_any_number_of_pods_is_answered(pods: int) -> None:
    advice = best_warm_targets([Nodes(limits=M5_LARGE, zone="a", pods=pods)], DEFAULT)
    assert advice is not None
    assert advice.kinds[0].pods <= 27
    assert advice.kinds[0].pods + advice.kinds[0].burst_pods <= 27, "no burst is larger than what a node can serve"


def test_what_was_asked_before_makes_no_difference() -> None:
    nodes = [Nodes(limits=M5_LARGE, zone="a", pods=10, count=3)]
    first = best_warm_targets(nodes, DEFAULT)
    assert first is not None
    busy = best_warm_targets(nodes, DEFAULT, churn=9.0)
    assert busy is not None
    assert busy.now.calls_per_hour > first.now.calls_per_hour
    assert best_warm_targets(nodes, DEFAULT) == first
    for simulation in (module._calls_per_hour, module._seconds_to_serve):
        simulation.cache_clear()
    assert best_warm_targets(nodes, DEFAULT) == first


def test_the_mode_is_kept() -> None:
    advice = best_warm_targets(REFERENCE, WARM_PREFIX)
    assert advice is not None
    assert dict(advice.now.environment) == {"WARM_PREFIX_TARGET": 1}
    assert advice.best.addresses % 1 == 0
    assert not {"WARM_ENI_TARGET"} & dict(advice.best.environment).keys()


def test_every_kind_of_node_has_to_serve_its_burst() -> None:
    """A few large nodes among many small ones: what serves 10 pods in time there is too slow for 100 here."""
    small = Nodes(limits=M5_LARGE, zone="a", pods=8, count=40)
    large = Nodes(limits=M5_8XLARGE, zone="a", pods=100, count=2)
    alone = best_warm_targets([small], DEFAULT, burst_seconds=40)
    both = best_warm_targets([small, large], DEFAULT, burst_seconds=40)
    assert alone is not None
    assert both is not None
    assert [(kind.limits, kind.nodes) for kind in both.kinds] == [(M5_LARGE, 40), (M5_8XLARGE, 2)]
    assert both.slowest.limits == M5_8XLARGE
    assert len(both.best.bursts) == 2
    assert both.best.burst_seconds == max(both.best.bursts) <= 40
    assert dict(both.best.environment).get("WARM_IP_TARGET", 30) > dict(alone.best.environment)["WARM_IP_TARGET"]


def test_types_alike_are_one_kind_and_max_pods_tell_kinds_apart() -> None:
    fleet = [
        Nodes(limits=M5_LARGE, zone="a", pods=5, count=2),
        Nodes(limits=instance_limits("c5.large"), zone="b", pods=7, count=3),
        Nodes(limits=M5_LARGE, zone="a", pods=9, max_pods=12),
    ]
    advice = best_warm_targets(fleet, DEFAULT)
    assert advice is not None
    assert [(kind.limits.instance_type, kind.nodes, kind.pods, kind.max_pods) for kind in advice.kinds] == [
        ("c5.large", 5, 7, 29),
        ("m5.large", 1, 9, 12),
    ]


def test_a_node_that_no_pod_can_have_an_address_on_is_answered() -> None:
    single = Nodes(limits=InstanceLimits(enis=1, ipv4_per_eni=10), zone="a", pods=5)
    advice = best_warm_targets([single], CniSettings(custom_networking=True))
    assert advice is not None
    assert (advice.kinds[0].pods, advice.kinds[0].burst_pods, advice.best.addresses) == (0, 0, 1)


def test_the_demand_of_a_zone_is_the_plan_of_its_nodes() -> None:
    demand = zone_demand(nodes=30, surge=2, instance_type="m5.8xlarge", pods_per_node=100, environment={})
    plan = plan_fleet([Nodes(limits=M5_8XLARGE, zone="a", pods=100, count=30)], DEFAULT, surge=2)
    assert demand.addresses == plan.zones[0].with_upgrade == 4_800
    assert demand.text == "30 m5.8xlarge and 2 more in a rolling upgrade at 100 pods each (150 addresses a node)"
