"""What stays held after a peak."""

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.peak import after_peak
from headroom.capacity.pool import node_pool
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import Leaving, NodeSimulation
from tests.capacity.conftest import scenarios

M5_8XLARGE = instance_limits("m5.8xlarge")
WAYS: tuple[Leaving, ...] = ("newest", "oldest", "random", "spread")


def test_means_add_up() -> None:
    for settings in (
        CniSettings(),
        CniSettings(warm_ip_target=5),
        CniSettings(prefix_delegation=True, warm_prefix_target=1),
    ):
        after = after_peak(M5_8XLARGE, settings, peak=100, pods=10)
        assert after.enis + after.secondary_addresses + 16 * after.prefixes == pytest.approx(after.expected)
        assert after.assigned == 10
        assert after.least <= after.expected <= after.most <= after.worst


@pytest.mark.parametrize("way", WAYS)
def test_the_reference_nodes_worst_case_is_its_peak_whoever_leaves(way: Leaving) -> None:
    after = after_peak(M5_8XLARGE, CniSettings(), peak=100, pods=10, leaving=way, runs=4)
    assert after.worst == 150
    assert after.least >= 60


def test_newest_pods_that_leave_give_everything_back() -> None:
    after = after_peak(M5_8XLARGE, CniSettings(), peak=100, pods=10, leaving="newest", runs=4)
    assert after.expected == node_pool(M5_8XLARGE, CniSettings(), 10).subnet_addresses


def test_a_peak_beyond_the_node_is_the_nodes_own() -> None:
    limits = InstanceLimits(enis=3, ipv4_per_eni=10)
    most = after_peak(limits, CniSettings(), peak=27, pods=5, max_pods=29)
    assert after_peak(limits, CniSettings(), peak=10**9, pods=5, max_pods=29).expected == most.expected
    assert after_peak(limits, CniSettings(), peak=10**9, pods=10**9, max_pods=29).assigned == 27


def test_who_waits_leaves_first() -> None:
    """MINIMUM_IP_TARGET without WARM_IP_TARGET is a ceiling (README): pods beyond it never run."""
    limits = InstanceLimits(enis=3, ipv4_per_eni=10)
    after = after_peak(limits, CniSettings(minimum_ip_target=5), peak=20, pods=8, max_pods=29)
    assert after.assigned == 5
    assert after_peak(limits, CniSettings(minimum_ip_target=5), peak=20, pods=0, max_pods=29).assigned == 0


def test_recorded_runs_that_shrink_once_are_met() -> None:
    """Of the real ipamd (tests/data/README.md): the mean within a few percent, and never more than the worst case."""
    errors = []
    for scenario in scenarios()[::3]:
        events = [event for event in scenario["events"] if event["op"] != "settle"]
        observed = scenario["observed"]
        if [event["op"] for event in events] != ["add", "remove"] or "subnets" in scenario or "oscillates" in observed:
            continue
        peak, gone = events[0]["n"], events[1]["n"]
        if peak > 240 or events[0].get("mode") == "paced":
            continue
        after = after_peak(
            InstanceLimits(**scenario["limits"]),
            CniSettings.from_environment(scenario["env"]),
            peak,
            peak - gone,
            max_pods=scenario["max_pods"],
            leaving=events[1]["which"],
        )
        mean = observed.get("held_mean", observed.get("subnet_ips_held"))
        assert after.worst >= observed.get("held_max", mean), scenario["id"]
        errors.append(abs(after.expected - mean) / mean)
    assert len(errors) >= 100
    assert sum(errors) / len(errors) < 0.02
    assert max(errors) < 0.3


@st.composite
def peaks(draw: st.DrawFn) -> tuple[InstanceLimits, CniSettings, int, int]:
    limits = InstanceLimits(enis=draw(st.integers(2, 8)), ipv4_per_eni=draw(st.integers(3, 15)))
    prefixes, targets = draw(st.booleans()), draw(st.booleans())
    settings = CniSettings(
        prefix_delegation=prefixes,
        custom_networking=draw(st.booleans()),
        warm_eni_target=draw(st.integers(0, 2)),
        warm_prefix_target=draw(st.integers(1, 3)),
        warm_ip_target=draw(st.integers(1, 20)) if targets else 0,
        minimum_ip_target=draw(st.sampled_from((0, 5, 30))) if targets else 0,
    )
    return limits, settings, draw(st.integers(1, 240)), draw(st.integers(0, 12))


PREFIXES_BY_ADDRESS = CniSettings(prefix_delegation=True, warm_prefix_target=1, warm_ip_target=2)


@hypothesis_settings(max_examples=150, deadline=None)
@given(peaks(), st.integers(0, 1_000), st.sampled_from(WAYS))
# Empty interfaces that WARM_PREFIX_TARGET or WARM_IP_TARGET, rounded up to prefixes, keeps.
@example((InstanceLimits(enis=8, ipv4_per_eni=4), PREFIXES_BY_ADDRESS, 234, 2), 0, "random")
@example(
    (InstanceLimits(enis=8, ipv4_per_eni=30), CniSettings(prefix_delegation=True, warm_prefix_target=3), 8, 3),
    3,
    "random",
)
def test_no_run_holds_more_than_the_worst_case(
    peak: tuple[InstanceLimits, CniSettings, int, int], seed: int, way: Leaving
) -> None:
    limits, settings, pods, stay = peak
    stay = min(stay, pods)
    node = NodeSimulation(limits=limits, settings=settings, max_pods=250, seed=seed, eniconfig_subnet="subnet-node")
    most = (
        (limits.enis - settings.custom_networking)
        * limits.secondary_per_eni
        * (16 if settings.prefix_delegation else 1)
    )
    node.add(min(pods, most))
    node.settle()
    node.pending.clear()
    node.remove(max(len(node.running) - stay, 0), way)
    node.settle()
    after = after_peak(limits, settings, pods, stay, max_pods=250, runs=1)
    assert node.state.subnet_addresses <= after.worst
