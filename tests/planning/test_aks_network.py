"""Outbound types, NAT gateways, security rules and costs of a move off kubenet."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.blocks import Block
from headroom.facts.azure import NetworkSecurityGroup, SecurityRule
from headroom.facts.values import Reason, Unknown
from headroom.planning.aks_network import (
    OUTBOUND_TYPES,
    WITHOUT_V2,
    Allowed,
    choose_gateway,
    has_standard_v2,
    needed_rules,
    outbound_move,
    window_cost,
)

NODES, PODS = Block.parse("10.20.4.0/22"), Block.parse("10.244.0.0/16")


YES, MAYBE, NEVER = Allowed.YES, Allowed.CONDITIONAL, Allowed.NEVER
OWN = {
    "loadBalancer": {"userAssignedNATGateway": YES, "userDefinedRouting": YES, "none": YES},
    "userAssignedNATGateway": {"loadBalancer": YES, "userDefinedRouting": YES, "none": YES},
    "userDefinedRouting": {"loadBalancer": YES, "userAssignedNATGateway": YES, "none": YES},
    "none": {"loadBalancer": YES, "userAssignedNATGateway": YES, "userDefinedRouting": YES},
}
"""In a VNet of one's own; all else is never."""
MANAGED = {
    "loadBalancer": {"managedNATGateway": YES, "managedNATGatewayV2": YES, "none": YES, "block": YES},
    "managedNATGateway": {
        "loadBalancer": MAYBE,
        "managedNATGatewayV2": YES,
        "userDefinedRouting": MAYBE,
        "none": YES,
        "block": YES,
    },
    "managedNATGatewayV2": {"none": MAYBE, "block": MAYBE},
    "none": {"loadBalancer": YES, "managedNATGateway": YES, "managedNATGatewayV2": YES, "block": YES},
    "block": {"loadBalancer": YES, "managedNATGateway": YES, "managedNATGatewayV2": YES, "none": YES},
}
"""In a VNet that AKS manages; all else is never. Conditional: the page contradicts itself, or other sources."""


@pytest.mark.parametrize(("own_vnet", "table"), [(True, OWN), (False, MANAGED)], ids=["own", "managed"])
@pytest.mark.parametrize("old", OUTBOUND_TYPES)
@pytest.mark.parametrize("new", OUTBOUND_TYPES)
def test_outbound_types_move_as_the_documentation_says(
    old: str, new: str, own_vnet: Any, table: dict[str, dict[str, Allowed]]
) -> None:
    """AKS documentation, egress-outboundtype: both tables, pair by pair."""
    move = outbound_move(old, new, own_vnet=own_vnet)
    assert move.allowed is (YES if old == new else table.get(old, {}).get(new, NEVER))
    assert move.because.endswith(".")


def test_what_is_no_outbound_type_is_never_moved_to() -> None:
    assert outbound_move("loadBalancer", "natGateway", own_vnet=True).allowed is NEVER


def test_several_zones_ask_for_the_gateway_that_stands_in_all_of_them() -> None:
    choice = choose_gateway(zones=("1", "2", "3"), v2_in_region=True)
    assert (choice.sku, choice.zones, choice.addresses) == ("StandardV2", (), 1)
    unknown = choose_gateway(zones=("1", "2", "3"))
    assert unknown.sku == "Standard"
    assert "nobody knows whether the region has StandardV2" in unknown.because[0]
    assert choose_gateway(zones=("1", "2"), v2_in_region=False).sku == "Standard"
    assert "#5532" in choose_gateway(zones=("1", "2"), v2_in_region=True, encrypted_vnet=True).because[0]


def test_one_zone_is_written_down_for_it_cannot_be_changed() -> None:
    assert choose_gateway(zones=("2",), v2_in_region=True).zones == ("2",)


@pytest.mark.parametrize(("connections", "addresses"), [(1, 1), (50_000, 1), (50_001, 2), (800_000, 16)])
def test_connections_to_one_destination_bind_before_the_ports(connections: int, addresses: int) -> None:
    choice = choose_gateway(zones=(), connections_to_one_destination=connections)
    assert (choice.addresses, choice.refused) == (addresses, ())


@pytest.mark.parametrize(
    ("connections", "to_one", "addresses", "said"),
    [
        (64_512, 0, 1, ""),
        (64_513, 0, 2, "take the ports of 2 addresses"),
        (1_032_192, 0, 16, "take the ports of 16 addresses"),
        (1_032_193, 0, 16, "more than the 1,032,192 ports of 16 addresses"),
        (2_000_000, 0, 16, "have to share ports"),
        (200_000, 50_001, 4, "take the ports of 4 addresses"),
        (64_512, 100_001, 3, "need 3 addresses: 50,000 each, which binds before the 64,512 ports"),
    ],
)
def test_ports_and_connections_to_one_destination_each_ask_for_addresses(
    connections: int, to_one: int, addresses: int, said: str
) -> None:
    """Azure NAT Gateway documentation, nat-gateway-resource and nat-sku."""
    choice = choose_gateway(zones=(), connections=connections, connections_to_one_destination=to_one)
    assert (choice.addresses, choice.refused) == (addresses, ())
    assert said in " ".join(choice.because)


@given(st.integers(0, 1_032_192), st.integers(0, 800_000))
def test_as_many_addresses_as_both_bounds_ask_for_and_not_one_more(connections: int, to_one: int) -> None:
    found = choose_gateway(zones=(), connections=connections, connections_to_one_destination=to_one).addresses
    assert found * 64_512 >= connections
    assert found * 50_000 >= to_one
    assert found == 1 or (found - 1) * 64_512 < connections or (found - 1) * 50_000 < to_one


def test_two_million_connections_are_the_most_of_any_gateway() -> None:
    assert choose_gateway(zones=(), connections=2_000_001).refused == (
        "A NAT gateway has 2,000,000 connections at most.",
    )


@pytest.mark.parametrize(
    ("gigabits", "packets", "in_region", "sku", "refused"),
    [
        (50, 5, True, "Standard", False),
        (51, 0, True, "StandardV2", False),
        (0, 6, True, "StandardV2", False),
        (51, 0, False, "Standard", True),
        (0, 6, None, "Standard", True),
        (100, 10, True, "StandardV2", False),
        (101, 0, True, "StandardV2", True),
        (0, 11, True, "StandardV2", True),
    ],
)
def test_throughput_and_packets_decide_the_sku(
    gigabits: float, packets: float, in_region: Any, sku: str, refused: Any
) -> None:
    choice = choose_gateway(zones=("1",), gigabits=gigabits, packets=packets, v2_in_region=in_region)
    assert (choice.sku, bool(choice.refused)) == (sku, refused)


@pytest.mark.parametrize(
    ("region", "has"),
    [("eastus2", True), ("Canada East", False), ("westindia", False), ("swedensouth", False), ("", None)],
)
def test_six_regions_have_no_standard_v2(region: str, has: Any) -> None:
    assert has_standard_v2(region) is has
    assert len(WITHOUT_V2) == 6


def test_more_than_a_gateway_carries_is_refused() -> None:
    assert choose_gateway(zones=(), connections_to_one_destination=800_001).refused
    assert choose_gateway(zones=(), gigabits=60).refused
    assert not choose_gateway(zones=(), gigabits=60, v2_in_region=True).refused
    assert choose_gateway(zones=(), gigabits=101, v2_in_region=True).refused


def group(*rules: SecurityRule) -> NetworkSecurityGroup:
    """A security group."""
    return NetworkSecurityGroup(group_id="/g", name="nsg-nodes", rules=rules)


def rule(name: str, priority: int, access: str, direction: str = "Inbound", **fields: Any) -> SecurityRule:
    """A rule on everything unless told otherwise."""
    values: dict[str, Any] = {"sources": ("*",), "destinations": ("*",), "destination_ports": ("*",), **fields}
    return SecurityRule(name=name, priority=priority, access=access, direction=direction, **values)


def test_a_group_without_denials_needs_nothing() -> None:
    assert needed_rules([group(rule("web", 200, "Allow", destination_ports=("443",)))], NODES, PODS) == ()


def test_a_denial_of_everything_needs_a_rule_for_each_flow_before_it() -> None:
    found = needed_rules([group(rule("no", 4000, "Deny"), rule("x", 3999, "Allow", sources=("1.2.3.4",)))], NODES, PODS)
    assert not isinstance(found, Unknown)
    assert [(each.name, each.priority, str(each.source), str(each.destination)) for each in found] == [
        ("headroom-nodes-to-nodes-inbound", 3998, "10.20.4.0/22", "10.20.4.0/22"),
        ("headroom-nodes-to-pods-inbound", 3997, "10.20.4.0/22", "10.244.0.0/16"),
        ("headroom-pods-to-pods-inbound", 3996, "10.244.0.0/16", "10.244.0.0/16"),
    ]
    assert {each.denied_by for each in found} == {"no"}


def test_what_is_allowed_before_the_denial_needs_no_rule() -> None:
    allowed = rule("nodes", 300, "Allow", sources=("10.20.0.0/16",), destinations=("10.20.0.0/16",))
    found = needed_rules([group(allowed, rule("no", 4000, "Deny"))], NODES, PODS)
    assert not isinstance(found, Unknown)
    assert [each.name for each in found] == ["headroom-nodes-to-pods-inbound", "headroom-pods-to-pods-inbound"]


def test_an_allowance_of_some_ports_is_not_enough() -> None:
    some = rule("some", 300, "Allow", destination_ports=("443",))
    found = needed_rules([group(some, rule("no", 4000, "Deny"))], NODES, PODS)
    assert not isinstance(found, Unknown)
    assert len(found) == 3


def test_a_denial_of_a_part_of_the_range_counts_and_one_elsewhere_does_not() -> None:
    part = rule("part", 500, "Deny", direction="Outbound", sources=("10.244.7.0/24",))
    elsewhere = rule("else", 400, "Deny", direction="Outbound", destinations=("192.168.0.0/16",))
    found = needed_rules([group(part, elsewhere)], NODES, PODS)
    assert not isinstance(found, Unknown)
    assert [each.name for each in found] == ["headroom-pods-to-pods-outbound"]


def test_a_group_without_a_free_priority_says_so_and_an_unread_one_is_unknown() -> None:
    full = group(rule("no", 100, "Deny"))
    found = needed_rules([full], NODES, PODS)
    assert not isinstance(found, Unknown)
    assert {each.priority for each in found} == {None}
    denied = Unknown(Reason.DENIED)
    assert needed_rules([NetworkSecurityGroup(group_id="/g", name="g", rules=denied)], NODES, PODS) == denied


def test_the_window_costs_what_its_parts_do() -> None:
    cost = window_cost(days=14, nodes=9, node_dollars_an_hour=0.226, gigabytes_a_day=100)
    assert cost.nodes == pytest.approx(683.424)
    assert cost.cluster == pytest.approx(33.6)
    assert cost.gateway == pytest.approx(16.8)
    assert cost.traffic == pytest.approx(63.0)
    assert cost.total == pytest.approx(796.824)
    assert window_cost(days=1, nodes=9, node_dollars_an_hour=None).nodes is None


def test_a_gateway_that_is_there_adds_nothing_to_the_window_and_each_address_of_a_new_one_does() -> None:
    assert window_cost(days=10, nodes=9, node_dollars_an_hour=None, addresses=0).gateway == 0
    assert window_cost(days=10, nodes=9, node_dollars_an_hour=None, addresses=2).gateway == pytest.approx(13.2)
    assert window_cost(days=10, nodes=1, node_dollars_an_hour=1.0, tier="Premium", addresses=0).total == pytest.approx(
        240 + 144
    )
