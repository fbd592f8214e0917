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
    Allowed,
    choose_gateway,
    needed_rules,
    outbound_move,
    window_cost,
)

NODES, PODS = Block.parse("10.20.4.0/22"), Block.parse("10.244.0.0/16")


@pytest.mark.parametrize(
    ("old", "new", "own_vnet", "allowed"),
    [
        ("loadBalancer", "userAssignedNATGateway", True, Allowed.YES),
        ("userAssignedNATGateway", "loadBalancer", True, Allowed.YES),
        ("userDefinedRouting", "userAssignedNATGateway", True, Allowed.YES),
        ("none", "userDefinedRouting", True, Allowed.YES),
        ("loadBalancer", "managedNATGateway", True, Allowed.NEVER),
        ("loadBalancer", "block", True, Allowed.NEVER),
        ("block", "loadBalancer", False, Allowed.NEVER),
        ("loadBalancer", "managedNATGateway", False, Allowed.YES),
        ("managedNATGateway", "managedNATGatewayV2", False, Allowed.YES),
        ("managedNATGateway", "loadBalancer", False, Allowed.CONDITIONAL),
        ("managedNATGatewayV2", "managedNATGateway", False, Allowed.NEVER),
        ("managedNATGatewayV2", "none", False, Allowed.CONDITIONAL),
        ("loadBalancer", "userAssignedNATGateway", False, Allowed.NEVER),
        ("loadBalancer", "natGateway", True, Allowed.NEVER),
    ],
)
def test_outbound_types_move_as_the_documentation_says(old: str, new: str, own_vnet: Any, allowed: Allowed) -> None:
    move = outbound_move(old, new, own_vnet=own_vnet)
    assert move.allowed is allowed
    assert move.because


@given(st.sampled_from(OUTBOUND_TYPES), st.sampled_from(OUTBOUND_TYPES), st.booleans())
def test_every_move_has_an_answer(old: str, new: str, own_vnet: Any) -> None:
    assert outbound_move(old, new, own_vnet=own_vnet).because.endswith(".")


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
