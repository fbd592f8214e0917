"""The closed form: published figures, recorded runs, and the simulation."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.peak import after_peak
from headroom.capacity.pool import node_pool
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import NodeSimulation
from tests.capacity.conftest import scenarios

DEFAULT = CniSettings()
WARM_ADDRESSES = CniSettings(warm_ip_target=5, minimum_ip_target=10)
WARM_PREFIX = CniSettings(prefix_delegation=True, warm_prefix_target=1)
WARM_PREFIX_ADDRESSES = CniSettings(prefix_delegation=True, warm_ip_target=5)

GROWTH = tuple(
    scenario for scenario in scenarios() if scenario["class"].startswith("grow") and scenario["class"] != "grow-ladder"
)


@pytest.mark.parametrize(
    ("instance_type", "pods", "default", "addresses", "prefix", "prefix_addresses"),
    [
        ("m5.large", 10, (3, 30), (2, 17), (1, 33), (1, 17)),
        ("m5.large", 29, (3, 30), (3, 30), (1, 49), (1, 49)),
        ("c5.xlarge", 10, (2, 30), (2, 17), (1, 33), (1, 17)),
        ("c5.xlarge", 30, (4, 60), (3, 38), (1, 49), (1, 49)),
        ("c5.xlarge", 58, (4, 60), (4, 60), (1, 81), (1, 65)),
        ("m5.8xlarge", 10, (2, 60), (1, 16), (1, 33), (1, 17)),
        ("m5.8xlarge", 100, (5, 150), (4, 109), (1, 129), (1, 113)),
        ("m5.8xlarge", 234, (8, 240), (8, 240), (1, 257), (1, 241)),
    ],
)
def test_the_worked_examples_come_out(  # noqa: PLR0913, PLR0917 - one row of the table
    instance_type: str,
    pods: int,
    default: tuple[int, int],
    addresses: tuple[int, int],
    prefix: tuple[int, int],
    prefix_addresses: tuple[int, int],
) -> None:
    limits = instance_limits(instance_type)
    found = []
    for settings in (DEFAULT, WARM_ADDRESSES, WARM_PREFIX, WARM_PREFIX_ADDRESSES):
        pool = node_pool(limits, settings, pods)
        found.append((pool.enis, pool.subnet_addresses))
    assert found == [default, addresses, prefix, prefix_addresses]


def test_thirty_nodes_of_the_reference_cluster_hold_what_it_says() -> None:
    limits = instance_limits("m5.8xlarge")
    full, light = node_pool(limits, DEFAULT, 100), node_pool(limits, DEFAULT, 10)
    assert full.enis == 5, "four for 100 pods and the warm one"
    assert 10 * full.subnet_addresses + 20 * light.subnet_addresses == 2700
    thrifty = [node_pool(limits, WARM_ADDRESSES, pods).subnet_addresses for pods in (100, 10)]
    assert 10 * thrifty[0] + 20 * thrifty[1] == 1410
    after = after_peak(limits, DEFAULT, peak=100, pods=10)
    assert 30 * after.worst == 4500, "every node once ran 100 pods, and ten stay on each of its interfaces"
    assert 30 * after.pool.subnet_addresses <= 30 * after.expected <= 4500


def test_three_nodes_with_two_pods_each_hold_fifty_addresses() -> None:
    """Best practices guide, VPC CNI: 3 c5.large running 2 CoreDNS pods hold 50 addresses, 43 of them warm."""
    limits = instance_limits("c5.large")
    pools = [node_pool(limits, DEFAULT, pods) for pods in (1, 1, 0)]
    assert sum(pool.subnet_addresses for pool in pools) == 50
    assert sum(pool.idle for pool in pools) == 43


@pytest.mark.parametrize("name", sorted({scenario["class"] for scenario in GROWTH}))
def test_the_closed_form_agrees_with_recorded_growth(name: str) -> None:
    differing = []
    for scenario in GROWTH:
        if scenario["class"] != name:
            continue
        pods = sum(event["n"] for event in scenario["events"] if event["op"] == "add")
        pool = node_pool(
            InstanceLimits(**scenario["limits"]),
            CniSettings.from_environment(scenario["env"]),
            pods,
            max_pods=scenario["max_pods"],
        )
        observed = scenario["observed"]
        if "oscillates" in observed:
            agrees = not pool.settles and pool.subnet_addresses == observed["oscillates"]["held_max"]
        elif "held_min" in observed:
            agrees = (
                pool.range is not None
                and pool.range.least <= observed["held_min"] <= pool.subnet_addresses
                and pool.subnet_addresses <= observed["held_max"] <= pool.range.most
            )
        else:
            agrees = pool.settles and (
                (pool.enis, pool.secondary_addresses, pool.prefixes, pool.assigned)
                == (observed["enis"], observed["secondary_ips"], observed["prefixes"], observed["assigned"])
            )
        if not agrees:
            differing.append((scenario["id"], pool))
    assert differing == []


@st.composite
def nodes(draw: st.DrawFn) -> tuple[InstanceLimits, CniSettings, int, int]:
    limits = InstanceLimits(enis=draw(st.integers(2, 9)), ipv4_per_eni=draw(st.integers(2, 31)))
    prefixes = draw(st.booleans())
    kind = draw(st.sampled_from(("warm", "addresses", "minimum only")))
    settings = CniSettings(
        prefix_delegation=prefixes,
        custom_networking=draw(st.booleans()),
        max_eni=draw(st.none() | st.integers(2, 9)),
        pod_eni=limits.enis > 2 and draw(st.booleans()),
        warm_eni_target=draw(st.integers(0, 3)),
        # More than one warm prefix leaves growth to chance.
        warm_prefix_target=1,
        warm_ip_target=draw(st.integers(1, 20)) if kind == "addresses" else 0,
        minimum_ip_target=0 if kind == "warm" else draw(st.integers(0 if kind == "addresses" else 1, 40)),
    )
    if settings.pod_eni and settings.max_eni == 2:
        settings = CniSettings(prefix_delegation=prefixes)
    return limits, settings, draw(st.integers(0, 120)), draw(st.integers(1, 250))


@hypothesis_settings(max_examples=400, deadline=None)
@given(nodes())
def test_the_closed_form_is_what_the_simulation_settles_at(
    node: tuple[InstanceLimits, CniSettings, int, int],
) -> None:
    limits, settings, pods, max_pods = node
    pool = node_pool(limits, settings, pods, max_pods=max_pods)
    simulated = NodeSimulation(
        limits=limits, settings=settings, max_pods=max_pods, eniconfig_subnet="subnet-node", seed=pods
    )
    simulated.add(pods)
    settled = simulated.settle()
    assert settled == pool.settles
    if settled:
        state = simulated.state
        assert (pool.enis, pool.secondary_addresses, pool.prefixes, pool.assigned, pool.subnet_addresses) == (
            state.enis,
            state.secondary_addresses,
            state.prefixes,
            state.assigned,
            state.subnet_addresses,
        )


def test_a_node_never_says_that_chance_decides_where_it_does_not() -> None:
    limits = instance_limits("m5.8xlarge")
    assert node_pool(limits, WARM_PREFIX, 100).range is None
    several = node_pool(limits, CniSettings(prefix_delegation=True, warm_prefix_target=3), 100, max_pods=250)
    assert several.range is not None
    assert several.range.least <= several.expected <= several.range.most


@pytest.mark.parametrize(
    ("settings", "pods", "max_pods", "limited_by"),
    [
        (DEFAULT, 10, 234, None),
        (DEFAULT, 190, 200, "max-pods"),
        (DEFAULT, 220, 500, "instance-type"),
        (CniSettings(max_eni=2), 100, 234, "max-eni"),
        (CniSettings(minimum_ip_target=20), 30, 234, "minimum-ip-target"),
        (CniSettings(minimum_ip_target=20), 20, 234, None),
        (WARM_ADDRESSES, 231, 500, "instance-type"),
        (WARM_PREFIX, 105, 110, "max-pods"),
    ],
)
def test_what_stops_growth_is_named(settings: CniSettings, pods: int, max_pods: int, limited_by: str | None) -> None:
    pool = node_pool(instance_limits("m5.8xlarge"), settings, pods, max_pods=max_pods)
    assert pool.limited_by == limited_by


def test_an_excluded_primary_interface_costs_its_slot_and_keeps_its_address() -> None:
    limits = instance_limits("m5.large")
    pool = node_pool(limits, DEFAULT, 30, excluded_primary=True)
    assert (pool.enis, pool.secondary_addresses, pool.assigned) == (3, 18, 18)
    assert pool == node_pool(limits, DEFAULT, 30, custom_networking=True)


def test_pods_that_leave_a_peak_at_random_keep_more_than_those_that_came_last() -> None:
    limits = instance_limits("m5.8xlarge")
    held = {
        leaving: after_peak(limits, WARM_PREFIX, peak=230, pods=30, max_pods=250, leaving=leaving)
        for leaving in ("newest", "random")
    }
    closed_form = held["newest"].pool.subnet_addresses
    assert held["newest"].expected <= 1.1 * closed_form
    assert held["random"].expected >= 2 * closed_form
    for after in held.values():
        assert after.least <= after.expected <= after.most <= after.worst <= after.before.subnet_addresses


@pytest.mark.parametrize(("pods", "max_pods"), [(-1, 10), (1, -1)])
def test_negative_counts_are_refused(pods: int, max_pods: int) -> None:
    with pytest.raises(ValueError, match="count from 0"):
        node_pool(instance_limits("m5.large"), DEFAULT, pods, max_pods=max_pods)


def test_more_pods_cannot_stay_than_were_there() -> None:
    with pytest.raises(ValueError, match="11 pods cannot be what stays of 10"):
        after_peak(instance_limits("m5.large"), DEFAULT, peak=10, pods=11)
