"""How large a subnet has to be."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headroom.addresses.blocks import Block
from headroom.addresses.subnet_map import subnet_map
from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.settings import CniSettings
from headroom.capacity.subnet import (
    SubnetSize,
    aks_flat_subnet_size,
    aks_node_subnet_size,
    eks_subnet_size,
    nodes_with_growth,
)

DEFAULT = CniSettings()
WARM_PREFIX = CniSettings(prefix_delegation=True, warm_prefix_target=1)


@pytest.mark.parametrize(
    ("nodes", "surge", "addresses", "prefix_length"),
    [
        (50, 1, 1_581, 21),
        (60, 1, 1_891, 21),
        (50, 5, 1_705, 21),
        (60, 6, 2_046, 20),
    ],
)
def test_the_sizes_of_the_planning_page_come_out(nodes: int, surge: int, addresses: int, prefix_length: int) -> None:
    """AKS documentation, concepts-network-ip-address-planning; with today's surge of 10 % its /21 no longer does."""
    size = aks_flat_subnet_size(nodes=nodes, max_pods=30, surge=surge)
    assert (size.addresses, size.prefix_length) == (addresses, prefix_length)


def test_a_subnet_for_nodes_only_holds_nodes_surge_and_load_balancers() -> None:
    size = aks_node_subnet_size(nodes=240, surge=10, load_balancer_addresses=1)
    assert (size.addresses, size.prefix_length, size.usable, size.headroom) == (251, 24, 251, 0)
    assert aks_node_subnet_size(nodes=241, surge=10, load_balancer_addresses=1).prefix_length == 23


def test_the_smallest_subnets_of_the_two_clouds_differ() -> None:
    assert aks_node_subnet_size(nodes=1, surge=0).prefix_length == 29
    assert eks_subnet_size(instance_limits("m5.large"), DEFAULT, nodes=0, pods_per_node=1).prefix_length == 28


def test_the_reference_clusters_worst_case_does_not_fit_its_subnets() -> None:
    """30 m5.8xlarge at 100 pods hold 4,500; three /22 have 3,057."""
    size = eks_subnet_size(instance_limits("m5.8xlarge"), DEFAULT, nodes=30, pods_per_node=100)
    assert (size.addresses, size.addresses_per_node, size.prefix_length, size.usable) == (4_500, 150, 19, 8_187)
    assert size.addresses > 3 * (1024 - 5)


def test_growth_comes_before_surge_and_parts_of_a_node_count() -> None:
    assert nodes_with_growth(30, 25) == 38
    assert nodes_with_growth(50, 10) == 55, "exact, without a float's rounding"
    assert nodes_with_growth(8, Fraction("12.5")) == 9
    assert nodes_with_growth(0, 100) == 0
    size = eks_subnet_size(
        instance_limits("m5.8xlarge"), DEFAULT, nodes=30, pods_per_node=100, surge=2, growth_percent=25
    )
    assert (size.nodes, size.addresses) == (40, 6_000)


def test_with_custom_networking_the_nodes_own_addresses_lie_elsewhere() -> None:
    custom = CniSettings(custom_networking=True)
    size = eks_subnet_size(instance_limits("m5.large"), custom, nodes=10, pods_per_node=10)
    assert size.addresses_per_node == 20, "two further interfaces with ten addresses each"


def test_more_pods_than_a_node_can_have_are_reckoned_as_those_and_said() -> None:
    size = eks_subnet_size(instance_limits("m5.large"), DEFAULT, nodes=1, pods_per_node=1_000_000_000)
    assert (size.addresses, size.limited_pods) == (30, 27)
    assert eks_subnet_size(instance_limits("m5.large"), DEFAULT, nodes=1, pods_per_node=27).limited_pods is None


def test_prefixes_need_whole_blocks_away_from_the_edges() -> None:
    size = eks_subnet_size(instance_limits("m5.large"), WARM_PREFIX, nodes=1, pods_per_node=10)
    assert (size.addresses, size.free28) == (33, 2)
    assert size.prefix_length == 26, "a /27 has 27 usable addresses, but its two /28s are both at an edge"


def test_what_no_single_subnet_holds_takes_several() -> None:
    size = eks_subnet_size(instance_limits("m5.8xlarge"), DEFAULT, nodes=10**9, pods_per_node=100)
    assert (size.prefix_length, size.subnets) == (16, -(-150 * 10**9 // 65_531))
    assert size.headroom >= 0


@given(
    nodes=st.integers(0, 400),
    pods=st.integers(0, 250),
    surge=st.integers(0, 20),
    growth=st.integers(0, 300),
    warm=st.integers(0, 10),
)
def test_an_eks_subnet_is_the_smallest_that_holds_the_nodes(
    nodes: int, pods: int, surge: int, growth: int, warm: int
) -> None:
    settings = CniSettings(warm_ip_target=warm)
    size = eks_subnet_size(
        instance_limits("m5.8xlarge"), settings, nodes=nodes, pods_per_node=pods, surge=surge, growth_percent=growth
    )
    if size.subnets == 1:
        assert size.usable == (1 << (32 - size.prefix_length)) - 5 >= size.addresses
        assert size.headroom == size.usable - size.addresses
        assert size.prefix_length == 28 or (1 << (31 - size.prefix_length)) - 5 < size.addresses
    else:
        assert size.prefix_length == 16
        assert (size.subnets - 1) * size.usable < size.addresses <= size.subnets * size.usable


@hypothesis_settings(deadline=None, max_examples=50)
@given(
    nodes=st.integers(1, 60),
    pods=st.integers(0, 110),
    enis=st.integers(1, 5),
    ipv4=st.integers(3, 20),
    custom=st.booleans(),
)
def test_a_subnet_for_prefixes_has_room_for_every_prefix_and_interface(
    nodes: int,
    pods: int,
    enis: int,
    ipv4: int,
    custom: bool,  # noqa: FBT001
) -> None:
    settings = CniSettings(prefix_delegation=True, warm_prefix_target=1, custom_networking=custom)
    limits = InstanceLimits(enis=enis, ipv4_per_eni=ipv4)
    size = eks_subnet_size(limits, settings, nodes=nodes, pods_per_node=pods)
    if size.free28 == 0 or size.subnets > 1:
        return
    # Interfaces at the edges first, then block by block; what is left must hold the prefixes.
    interfaces = size.addresses - 16 * size.free28
    subnet = Block(0x0A000000, size.prefix_length)
    own = [*range(4, 16), *range(subnet.size - 16, subnet.size - 1), *range(16, subnet.size - 16)][:interfaces]
    found = subnet_map(subnet, used_addresses=[subnet.first + offset for offset in own])
    assert found.usable28 >= size.free28
    if size.prefix_length < 28:
        half = 1 << (31 - size.prefix_length)
        blocks = half // 16 - 2
        broken = max(0, -(-(interfaces - 27) // 16))
        assert size.addresses > half - 5 or blocks - broken < size.free28, "a smaller subnet would not do"


@given(nodes=st.integers(0, 10**6), surge=st.integers(0, 100), max_pods=st.integers(10, 250))
def test_sizes_grow_with_what_is_asked_for(nodes: int, surge: int, max_pods: int) -> None:
    def flat(more: int = 0, further: int = 0) -> SubnetSize:
        return aks_flat_subnet_size(nodes=nodes + more, surge=surge + further, max_pods=max_pods)

    assert flat().addresses < flat(more=1).addresses
    assert flat().addresses < flat(further=1).addresses
    assert flat().prefix_length >= flat(more=1).prefix_length
