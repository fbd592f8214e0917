"""What a node gives back when pods leave, held to simulated nodes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import instance_limits
from headroom.capacity.release import InterfaceUse, released_addresses
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import Leaving, NodeSimulation

M5_8XLARGE = instance_limits("m5.8xlarge")
MAX_PODS = 234
SLOTS = M5_8XLARGE.enis * M5_8XLARGE.secondary_per_eni
"""Of more pods some would wait, and take what the others leave."""
DEFAULT = CniSettings()
ADDRESSES = CniSettings(warm_ip_target=5, minimum_ip_target=10)
PREFIXES = CniSettings(prefix_delegation=True, warm_prefix_target=1)
PREFIX_TARGETS = CniSettings(prefix_delegation=True, warm_ip_target=5, minimum_ip_target=10)


def uses(node: NodeSimulation) -> list[InterfaceUse]:
    """The interfaces of a simulated node, with the pods that it has now."""
    on_interface: Counter[str] = Counter()
    in_prefix: Counter[int] = Counter()
    for name in node.running:
        given_address = node.ipamd.assign(name, node.now)
        assert given_address is not None
        on_interface[given_address.interface_id] += 1
        in_prefix[given_address.address // PREFIX_ADDRESSES] += 1
    return [
        InterfaceUse(
            primary=each.is_primary,
            secondary_addresses=len(each.addresses),
            prefixes=len(each.prefixes),
            pods=on_interface[each.id],
            used_prefixes=sum(in_prefix[first // PREFIX_ADDRESSES] > 0 for first in each.prefixes),
        )
        for each in node.ipamd.interfaces
    ]


def played(settings: CniSettings, peak: int, stay: int, leaving: Leaving, seed: int) -> tuple[int, int]:
    """Addresses that the function says come back, and those that do come back."""
    node = NodeSimulation(limits=M5_8XLARGE, settings=settings, max_pods=MAX_PODS, seed=seed)
    node.add(peak)
    node.settle()
    before = node.state.subnet_addresses
    node.remove(len(node.running) - stay, leaving)
    said = released_addresses(M5_8XLARGE, settings, uses(node), max_pods=MAX_PODS)
    node.settle()
    return said, before - node.state.subnet_addresses


CASES = st.tuples(
    st.integers(1, SLOTS),
    st.integers(0, 100),
    st.sampled_from(("oldest", "newest", "spread", "random")),
    st.integers(0, 9),
)


@given(CASES)
def test_in_default_mode_whole_interfaces_come_back_exactly_as_said(case: tuple[int, int, Leaving, int]) -> None:
    peak, stay, leaving, seed = case
    said, came = played(DEFAULT, peak, min(stay, peak), leaving, seed)
    assert came == said


@given(CASES, st.sampled_from((ADDRESSES, PREFIXES, PREFIX_TARGETS)))
def test_with_targets_at_least_what_is_said_comes_back_and_emptied_interfaces_beside(
    case: tuple[int, int, Leaving, int], settings: CniSettings
) -> None:
    peak, stay, leaving, seed = case
    said, came = played(settings, peak, min(stay, peak), leaving, seed)
    # Each interface that empties brings its own address too.
    assert said <= came <= said + M5_8XLARGE.enis


def test_a_cordoned_node_in_default_mode_gives_nothing_back() -> None:
    node = NodeSimulation(limits=M5_8XLARGE, settings=DEFAULT, max_pods=MAX_PODS)
    node.add(100)
    node.settle()
    node.remove(90, "newest")
    rows = uses(node)
    assert released_addresses(M5_8XLARGE, DEFAULT, rows, max_pods=MAX_PODS) == 90
    assert released_addresses(M5_8XLARGE, DEFAULT, rows, max_pods=MAX_PODS, schedulable=False) == 0


@pytest.mark.parametrize("settings", [DEFAULT, ADDRESSES, PREFIXES])
def test_a_node_that_is_at_rest_gives_nothing_back(settings: CniSettings) -> None:
    node = NodeSimulation(limits=M5_8XLARGE, settings=settings, max_pods=MAX_PODS)
    node.add(40)
    node.settle()
    assert released_addresses(M5_8XLARGE, settings, uses(node), max_pods=MAX_PODS) == 0
