"""Ranges of an AKS cluster; sources as the constants of headroom.addresses.azure have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.azure import (
    AKS_RESERVED,
    AksRanges,
    azure_usable_addresses,
    check_aks_ranges,
    node_blocks,
    supersets,
)
from headroom.addresses.blocks import Block, parse_address

B = Block.parse


def ranges(pods: str = "10.244.0.0/16", **others: str) -> AksRanges:
    blocks = {key: B(text) for key, text in others.items() if key in {"node_subnet", "service_cidr"}}
    return AksRanges(
        pod_cidr=B(pods),
        node_subnet=blocks.get("node_subnet"),
        service_cidr=blocks.get("service_cidr"),
        dns_service_ip=parse_address(others["dns"]) if "dns" in others else None,
        vnets=tuple(map(B, others.get("vnets", "").split())),
        subnets=tuple(map(B, others.get("subnets", "").split())),
        peers=tuple(map(B, others.get("peers", "").split())),
    )


def rules(found: AksRanges) -> tuple[list[str], list[str]]:
    problems, warnings = check_aks_ranges(found)
    return sorted(each.rule for each in problems), sorted(each.rule for each in warnings)


CLEAN = {
    "node_subnet": "10.0.0.0/22",
    "vnets": "10.0.0.0/16",
    "service_cidr": "10.1.0.0/16",
    "dns": "10.1.0.10",
    "peers": "10.2.0.0/16",
}


def test_a_clean_cluster_has_neither_problems_nor_warnings() -> None:
    assert rules(ranges(**CLEAN)) == ([], [])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pods": "172.16.0.0/12"}, ["reserved-range"]),
        ({"pods": "172.30.128.0/18"}, ["reserved-range"]),
        ({"pods": "169.254.0.0/16"}, ["reserved-range"]),
        ({"pods": "192.0.2.0/24"}, ["reserved-range"]),
        ({"pods": "10.244.0.0/25"}, ["pod-cidr-size"]),
        ({"pods": "10.0.2.0/23"}, ["range-overlap"]),
        ({"pods": "10.1.0.0/16"}, ["range-overlap"]),
        ({"pods": "10.2.0.0/17"}, ["peer-overlap"]),
        ({"service_cidr": "10.16.0.0/12", "dns": "10.16.0.10"}, ["service-cidr-size"]),
        ({"service_cidr": "10.0.0.0/16", "dns": "10.0.0.10"}, ["range-overlap", "service-cidr-in-vnet"]),
        ({"service_cidr": "172.31.0.0/16", "dns": "172.31.0.10"}, ["reserved-range"]),
        ({"dns": "10.9.0.10"}, ["dns-service-ip-outside"]),
        ({"dns": "10.1.0.0"}, ["dns-service-ip-first"]),
        ({"dns": "10.1.0.1"}, ["dns-service-ip-first"]),
        ({"node_subnet": "10.0.0.0/30"}, ["subnet-size"]),
        ({"node_subnet": "10.3.0.0/24"}, ["subnet-outside-vnet"]),
        ({"vnets": "10.0.0.0/16 172.30.0.0/16"}, ["reserved-range"]),
        ({"vnets": "10.0.0.0/16 168.63.129.0/24"}, ["special-purpose-range"]),
        ({"pods": "127.0.0.0/16"}, ["special-purpose-range"]),
        ({"peers": "10.0.0.0/8"}, ["peer-overlap", "peer-overlap", "peer-overlap"]),
        # In the VNet and in no subnet is a warning; in one of its subnets, whoever's, AKS refuses it.
        ({"pods": "10.0.128.0/17", "subnets": "10.0.0.0/22 10.0.200.0/24"}, ["subnet-overlap"]),
        (
            {"service_cidr": "10.0.16.0/20", "dns": "10.0.16.10", "subnets": "10.0.20.0/24"},
            ["service-cidr-in-vnet", "subnet-overlap"],
        ),
    ],
)
def test_each_rule_refuses_what_it_is_for(change: dict[str, str], expected: list[str]) -> None:
    problems, _ = rules(ranges(**(CLEAN | change)))
    assert problems == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pods": "100.64.0.0/10"}, ["shared-address-space"]),
        ({"pods": "203.0.114.0/24"}, ["public-range"]),
        (
            {"vnets": "10.0.0.0/8", "peers": "", "service_cidr": "172.20.0.0/16", "dns": "172.20.0.10"},
            ["pod-cidr-in-vnet"],
        ),
    ],
)
def test_what_azure_accepts_and_somebody_may_regret_is_a_warning(change: dict[str, str], expected: list[str]) -> None:
    assert rules(ranges(**(CLEAN | change))) == ([], expected)


def test_a_range_in_the_vnet_but_in_none_of_its_subnets_is_a_warning() -> None:
    """Azure/AKS CHANGELOG, 2024-10-25: only subnets are refused; the page on updates still refuses the VNet."""
    found = ranges(**(CLEAN | {"pods": "10.0.128.0/17", "subnets": "10.0.0.0/22 10.0.4.0/24"}))
    assert rules(found) == ([], ["pod-cidr-in-vnet"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pods": "10.0.0.0/22"}, "NetworkProfileCIDROverlapVNET"),
        ({"pods": "10.0.200.0/24", "subnets": "10.0.200.0/25"}, "NetworkProfileCIDROverlapVNET"),
        ({"service_cidr": "10.0.0.0/24", "dns": "10.0.0.10"}, "ServiceCidrOverlapExistingSubnetsCidr"),
        (
            {"service_cidr": "10.0.9.0/24", "dns": "10.0.9.10", "subnets": "10.0.9.0/24"},
            "ServiceCidrOverlapExistingSubnetsCidr",
        ),
        ({"dns": "10.9.0.10"}, "DnsServiceIpOutOfServiceCidr"),
    ],
)
def test_what_aks_answers_is_told_by_its_code(change: dict[str, str], code: str) -> None:
    problems, _ = check_aks_ranges(ranges(**(CLEAN | change)))
    assert any(code in problem.reason for problem in problems)


@pytest.mark.parametrize(
    ("service", "dns", "expected"),
    [
        ("10.16.0.0/12", "10.16.0.10", ["service-cidr-size"]),
        ("10.16.0.0/13", "10.16.0.10", []),
        ("10.1.0.0/16", "10.1.0.2", []),
        ("10.1.0.0/16", "10.1.255.255", []),
        ("10.1.0.0/16", "10.2.0.0", ["dns-service-ip-outside"]),
    ],
)
def test_a_service_range_is_smaller_than_a_12_and_dns_is_not_its_first_address(
    service: str, dns: str, expected: list[str]
) -> None:
    """AKS documentation, concepts-network-ip-address-planning."""
    found = ranges(
        pods="100.64.0.0/16", node_subnet="10.128.0.0/22", vnets="10.128.0.0/16", service_cidr=service, dns=dns
    )
    assert rules(found)[0] == expected


@pytest.mark.parametrize("key", ["pods", "service_cidr", "vnets"])
@pytest.mark.parametrize("reserved", AKS_RESERVED)
def test_every_reserved_range_is_refused_where_it_is_held_and_where_it_holds(key: str, reserved: Block) -> None:
    """AKS documentation, concepts-network-cni-overview: any overlap of pod, service and VNet ranges."""
    wider = str(Block.containing(reserved.first, reserved.prefix_length - 1))
    for text in (str(reserved), wider):
        others = {"dns": ""} if key == "service_cidr" else {}
        change = {"pods": "10.240.0.0/16", "node_subnet": "10.0.0.0/22", "vnets": "10.0.0.0/16", key: text, **others}
        given = {name: value for name, value in change.items() if value}
        assert "reserved-range" in rules(ranges(**given))[0], text


def test_ranges_that_are_not_given_are_not_judged_and_a_missing_node_subnet_is_said() -> None:
    assert rules(ranges()) == ([], ["node-subnet-unknown"])
    assert rules(ranges(dns="10.1.0.10"))[0] == ["dns-service-ip-alone"]


def test_everything_is_answered_at_the_ends_of_the_address_space() -> None:
    problems, _ = rules(ranges("0.0.0.0/0", node_subnet="0.0.0.0/0", service_cidr="0.0.0.0/0", dns="255.255.255.255"))
    assert "pod-cidr-size" in problems
    assert "range-overlap" in problems
    assert rules(ranges("255.255.255.255/32"))[0] == ["pod-cidr-size", "special-purpose-range"]


def test_the_service_dns_step_names_an_address_of_the_range() -> None:
    problems, _ = check_aks_ranges(ranges(service_cidr="10.1.0.0/30", dns="10.1.0.1"))
    assert "10.1.0.3" in problems[0].next_step, "a /30 has no tenth address"


def test_a_pod_range_has_a_block_for_each_node() -> None:
    """AKS documentation, concepts-network-azure-cni-overlay: 10.244.0.0/16 is 256 nodes."""
    assert node_blocks(B("10.244.0.0/16")) == 256
    assert node_blocks(B("100.64.0.0/10")) == 16_384
    assert node_blocks(B("10.0.0.0/25")) == 0


def test_azure_keeps_five_addresses_of_a_subnet() -> None:
    assert azure_usable_addresses(B("10.0.0.0/24")) == 251
    assert azure_usable_addresses(B("10.0.0.0/30")) == 0


def test_a_pod_range_grows_until_something_is_in_the_way() -> None:
    assert [str(block) for block in supersets(B("10.244.0.0/16"), [B("10.240.0.0/16")])] == [
        "10.244.0.0/15",
        "10.244.0.0/14",
    ]
    assert list(supersets(B("172.29.0.0/16"), [])) == [B("172.28.0.0/15")], "the /14 would hold reserved ranges"
    assert list(supersets(B("192.168.0.0/16"), [])) == [], "no private range is larger around it"


@given(st.integers(0, 2**32 - 1), st.integers(8, 24), st.lists(st.integers(0, 2**32 - 1), max_size=4))
def test_supersets_contain_the_range_double_and_never_overlap_what_is_taken(
    first: int, length: int, others: list[int]
) -> None:
    pods = Block.containing(first, length)
    taken = [Block.containing(other, 20) for other in others]
    previous = pods
    for wider in supersets(pods, taken):
        assert wider.contains(previous)
        assert wider.size == 2 * previous.size
        assert not any(wider.overlaps(other) for other in (*taken, *AKS_RESERVED))
        previous = wider
