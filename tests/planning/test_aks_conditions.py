"""Postconditions of AKS: met, waiting, failed or unknown, and never met without a reading."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from headroom.cli.verify import verify
from headroom.diagnosis.classifier import diagnose
from headroom.facts.azure import Azure, ManagedCluster, NatGateway, PublicAddress
from headroom.facts.document import dump
from headroom.facts.kubernetes import Condition, Kubernetes
from headroom.facts.values import Reason, Unknown, items
from headroom.planning.conditions import State, evaluate
from headroom.planning.plan import Check, Plan, Postcondition, plan_from_json, plan_to_json
from headroom.planning.planner import make_plan
from tests.aks import conftest as made

if TYPE_CHECKING:
    from pathlib import Path

    from headroom.facts.snapshot import Snapshot

DENIED = Unknown(Reason.DENIED, "AuthorizationFailed")
LATER = "2026-02-26T23:40:00Z"
GATEWAY = f"{made.GROUP}/Microsoft.Network/natGateways/nat-aks-prod-eus2"
NEW_ADDRESS = f"{made.GROUP}/Microsoft.Network/publicIPAddresses/nat-aks-prod-eus2-1"


def cluster_of(snapshot: Snapshot) -> ManagedCluster:
    managed = made.azure_of(snapshot).cluster
    assert isinstance(managed, ManagedCluster)
    return managed


def eligible() -> Snapshot:
    """kubenet that may go in place, with pods that wait."""
    facts = made.kubenet_exhausted()
    network = replace(made.KUBENET, network_policy=None)
    return made.with_azure(facts, cluster=replace(cluster_of(facts), identity_type="UserAssigned", network=network))


def moved(**changes: Any) -> Snapshot:
    """The same cluster once it has Azure CNI Overlay, with changes of what Azure says."""
    facts = made.cluster(network=replace(made.OVERLAY, network_policy=None), pods_a_node=90)
    facts = replace(facts, collected_at=LATER)
    return made.with_azure(facts, **changes) if changes else facts


def planned(facts: Snapshot) -> Plan:
    return make_plan(facts, diagnose(facts))


def states(plan: Plan, snapshot: Snapshot, waited: float = 60) -> dict[Check, tuple[State, str]]:
    found = evaluate(plan, snapshot, waited_seconds=waited)
    return {each.condition.check: (each.state, each.because) for each in found}


def with_nodes(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """Its first node changed."""
    kubernetes = snapshot.kubernetes
    assert isinstance(kubernetes, Kubernetes)
    [first, *rest] = items(kubernetes.nodes)
    return made.with_kubernetes(snapshot, nodes=(replace(first, **changes), *rest))


def with_subnet(snapshot: Snapshot, **changes: Any) -> Snapshot:
    [vnet] = items(made.azure_of(snapshot).vnets)
    [subnet] = items(vnet.subnets)
    return made.with_azure(snapshot, vnets=(replace(vnet, subnets=(replace(subnet, **changes),)),))


def with_network(snapshot: Snapshot, **changes: Any) -> Snapshot:
    managed = cluster_of(snapshot)
    network = managed.network
    assert not isinstance(network, Unknown | None)
    return made.with_azure(snapshot, cluster=replace(managed, network=replace(network, **changes)))


def test_in_place_every_condition_is_met_once_it_worked() -> None:
    found = states(planned(eligible()), moved())
    assert {state for state, _ in found.values()} == {State.MET}, found
    assert set(found) == {
        Check.OVERLAY_MODE,
        Check.NODES_IN_POD_CIDR,
        Check.POLICY_ENGINE,
        Check.ROUTE_TABLE_DETACHED,
        Check.SUBNETS_KEPT,
        Check.STUCK_PODS_RUNNING,
        Check.NO_NEW_FAILURES,
    }
    assert found[Check.NODES_IN_POD_CIDR][1] == "9 of 9 nodes are Ready, in 10.244.0.0/16."


def test_before_it_is_applied_it_waits_and_after_its_patience_it_has_failed() -> None:
    plan = planned(eligible())
    assert states(plan, eligible())[Check.OVERLAY_MODE] == (
        State.WAITING,
        "networkPlugin is kubenet, not azure, networkPluginMode is none, not overlay.",
    )
    assert states(plan, eligible(), waited=10_000)[Check.OVERLAY_MODE][0] is State.FAILED


def old_range(snapshot: Snapshot) -> Snapshot:
    """One node still reports the range that it had, although Azure says that it succeeded."""
    configs = list(items(made.azure_of(snapshot).node_network_configs))
    [container] = items(configs[4].containers)
    configs[4] = replace(configs[4], containers=(replace(container, subnet_address_space="10.200.0.0/16"),))
    return made.with_azure(snapshot, node_network_configs=tuple(configs))


NOT_READY = (Condition(type="Ready", status="False"),)


@pytest.mark.parametrize(
    ("after", "check", "state", "said"),
    [
        (old_range(moved()), Check.NODES_IN_POD_CIDR, State.WAITING, "vmss000004 has 10.200.0.0/16"),
        (with_nodes(moved(), conditions=NOT_READY), Check.NODES_IN_POD_CIDR, State.WAITING, "vmss000000 is not Ready"),
        (moved(node_network_configs=()), Check.NODES_IN_POD_CIDR, State.WAITING, "has no NodeNetworkConfig"),
        (moved(node_network_configs=DENIED), Check.NODES_IN_POD_CIDR, State.UNKNOWN, "NodeNetworkConfigs: denied"),
        (with_nodes(moved(), conditions=DENIED), Check.NODES_IN_POD_CIDR, State.UNKNOWN, "denied"),
        (moved(cluster=DENIED), Check.OVERLAY_MODE, State.UNKNOWN, "the network plugin"),
        (with_network(moved(), pod_cidr=DENIED), Check.OVERLAY_MODE, State.UNKNOWN, "the pod range: denied"),
        (
            moved(cluster=replace(cluster_of(moved()), provisioning_state="Updating")),
            Check.OVERLAY_MODE,
            State.WAITING,
            "the cluster is Updating",
        ),
        (
            moved(cluster=replace(cluster_of(moved()), provisioning_state="Failed")),
            Check.OVERLAY_MODE,
            State.FAILED,
            "last operation failed",
        ),
        (with_network(moved(), network_policy="azure"), Check.POLICY_ENGINE, State.WAITING, "is azure, not none"),
        (with_network(moved(), network_policy=DENIED), Check.POLICY_ENGINE, State.UNKNOWN, "denied"),
        (
            made.with_azure(with_subnet(moved(), route_table_id=made.ROUTE_TABLE), route_tables=(made.route_table(9),)),
            Check.ROUTE_TABLE_DETACHED,
            State.WAITING,
            "snet-aks-nodes has aks-agentpool-rt with 9 routes to pods",
        ),
        (
            made.with_azure(with_subnet(moved(), route_table_id=made.ROUTE_TABLE), route_tables=(made.route_table(0),)),
            Check.ROUTE_TABLE_DETACHED,
            State.MET,
            "No route to a node's pods is left",
        ),
        (
            made.with_azure(with_subnet(moved(), route_table_id=made.ROUTE_TABLE), route_tables=DENIED),
            Check.ROUTE_TABLE_DETACHED,
            State.UNKNOWN,
            "the routes of aks-agentpool-rt: denied",
        ),
        (with_subnet(moved(), route_table_id=DENIED), Check.ROUTE_TABLE_DETACHED, State.UNKNOWN, "denied"),
        (with_subnet(moved(), security_group_id="/g/nsg"), Check.SUBNETS_KEPT, State.FAILED, "securityGroup was none"),
        (with_subnet(moved(), service_endpoints=DENIED), Check.SUBNETS_KEPT, State.UNKNOWN, "serviceEndpoints"),
        (moved(vnets=DENIED), Check.SUBNETS_KEPT, State.UNKNOWN, "the subnets: denied"),
        (moved(vnets=()), Check.SUBNETS_KEPT, State.FAILED, "snet-aks-nodes is gone"),
        (made.with_kubernetes(moved(), pods=DENIED), Check.STUCK_PODS_RUNNING, State.UNKNOWN, "the pods: denied"),
    ],
)
def test_each_condition_says_what_is_not_so(after: Snapshot, check: Check, state: State, said: str) -> None:
    found = states(planned(eligible()), after)[check]
    assert found[0] is state
    assert said in found[1]


def test_a_policy_engine_that_was_taken_out_must_come_back() -> None:
    facts = eligible()
    plan = planned(with_network(facts, network_policy="azure"))
    assert states(plan, moved())[Check.POLICY_ENGINE] == (
        State.WAITING,
        "networkPolicy is none, not azure: no policy is enforced by azure.",
    )
    assert states(plan, with_network(moved(), network_policy="azure"))[Check.POLICY_ENGINE][0] is State.MET


# A NAT gateway.


def failing() -> Snapshot:
    """kubenet whose outbound connections fail for want of a port."""
    return made.with_azure(made.cluster(), egress=(made.egress(41_250),))


def attached(**changes: Any) -> Snapshot:
    """The cluster of the failed connections with the NAT gateway on its subnet, with changes."""
    facts = replace(made.cluster(), collected_at=LATER)
    facts = with_network(with_subnet(facts, nat_gateway_id=GATEWAY), outbound_type="userAssignedNATGateway")
    gateway = NatGateway(
        gateway_id=GATEWAY, name="nat-aks-prod-eus2", public_ip_ids=(NEW_ADDRESS,), public_prefix_ids=()
    )
    address = PublicAddress(address_id=NEW_ADDRESS, name="nat-aks-prod-eus2-1", address="203.0.113.10")
    reading = replace(made.egress(0), since="2026-02-26T23:30:00Z", until=LATER)
    azure = made.azure_of(facts)
    fields: dict[str, Any] = {
        "nat_gateways": (gateway,),
        "public_addresses": (*items(azure.public_addresses), address),
        "egress": (reading,),
        **changes,
    }
    return made.with_azure(facts, **fields)


def test_a_gateway_that_is_attached_is_seen_by_its_new_address() -> None:
    found = states(planned(failing()), attached())
    assert {state for state, _ in found.values()} == {State.MET}, found
    assert found[Check.EGRESS_ADDRESS][1] == "Seen with 203.0.113.10."


@pytest.mark.parametrize(
    ("after", "check", "state", "said"),
    [
        (with_subnet(attached(), nat_gateway_id=None), Check.GATEWAY_ATTACHED, State.WAITING, "no NAT gateway"),
        (with_subnet(attached(), nat_gateway_id="/n/other"), Check.GATEWAY_ATTACHED, State.WAITING, "has other"),
        (with_subnet(attached(), nat_gateway_id=DENIED), Check.GATEWAY_ATTACHED, State.UNKNOWN, "denied"),
        (with_subnet(attached(), route_table_id=None), Check.SUBNETS_KEPT, State.FAILED, "routeTable was"),
        (attached(nat_gateways=()), Check.EGRESS_ADDRESS, State.WAITING, "on no subnet"),
        (attached(nat_gateways=DENIED), Check.EGRESS_ADDRESS, State.UNKNOWN, "denied"),
        (attached(public_addresses=()), Check.EGRESS_ADDRESS, State.UNKNOWN, "the gateway's addresses"),
        (with_network(attached(), outbound_type="loadBalancer"), Check.OUTBOUND_TYPE, State.WAITING, "loadBalancer"),
        (with_network(attached(), outbound_type=DENIED), Check.OUTBOUND_TYPE, State.UNKNOWN, "denied"),
        (attached(egress=(made.egress(0),)), Check.CONNECTIONS_SUCCEED, State.WAITING, "No reading begins after"),
        (attached(egress=DENIED), Check.CONNECTIONS_SUCCEED, State.UNKNOWN, "denied"),
        (
            attached(egress=(replace(made.egress(7), since=LATER),)),
            Check.CONNECTIONS_SUCCEED,
            State.WAITING,
            "7 outbound connections still failed",
        ),
    ],
)
def test_each_condition_of_a_gateway_says_what_is_not_so(
    after: Snapshot, check: Check, state: State, said: str
) -> None:
    found = states(planned(failing()), after)[check]
    assert found[0] is state
    assert said in found[1]


def test_the_old_address_behind_the_gateway_is_a_failure_and_not_waited_for() -> None:
    old = PublicAddress(address_id=NEW_ADDRESS, name="x", address="20.62.10.20")
    found = states(planned(failing()), attached(public_addresses=(old,)))
    assert found[Check.EGRESS_ADDRESS] == (State.FAILED, "20.62.10.20 is the old address.")


# Relief, pools, routes.


def test_a_full_range_is_freed_by_a_new_node_or_by_its_files() -> None:
    facts = made.kubenet_exhausted()
    plan = planned(facts)
    state, said = states(plan, facts)[Check.RANGES_FREED]
    assert (state, said.startswith("Still full: ")) == (State.WAITING, True)
    assert states(plan, made.with_azure(facts, host_local=DENIED))[Check.RANGES_FREED][0] is State.UNKNOWN
    freed = tuple(made.host_local(index, 97, 90) for index in range(9))
    assert states(plan, made.with_azure(facts, host_local=freed))[Check.RANGES_FREED][0] is State.MET
    gone = made.with_kubernetes(facts, nodes=(replace(made.node(0), name="aks-default-12345678-vmss00000b"),))
    assert "others took their place" in states(plan, gone)[Check.RANGES_FREED][1]


def test_a_new_pool_is_there_with_what_it_was_made_for() -> None:
    facts = made.max_pods()
    plan = planned(facts)
    [pool] = items(made.azure_of(facts).pools)

    def after(**changes: Any) -> tuple[State, str]:
        new = replace(pool, name="default2", **{"max_pods": 110, **changes})
        return states(plan, made.with_azure(facts, pools=(pool, new)))[Check.NODE_POOL_READY]

    assert after()[0] is State.MET
    assert after(max_pods=30) == (State.WAITING, "default2 has maxPods 30, not 110.")
    assert after(provisioning_state="Failed")[0] is State.FAILED
    assert after(provisioning_state=DENIED)[0] is State.UNKNOWN
    assert states(plan, facts)[Check.NODE_POOL_READY] == (State.WAITING, "default2 is not there.")
    assert states(plan, made.with_azure(facts, pools=DENIED))[Check.NODE_POOL_READY][0] is State.UNKNOWN


def test_a_node_without_a_route_counts_until_it_is_cordoned() -> None:
    plan = planned(made.INCIDENTS["aks-route-limit"][0]())
    broken = with_nodes(made.cluster(), conditions=made.node(0, ready=False).conditions)
    assert states(plan, broken)[Check.NODES_ROUTED][0] is State.WAITING
    cordoned = with_nodes(broken, unschedulable=True)
    assert states(plan, cordoned)[Check.NODES_ROUTED][0] is State.MET
    assert states(plan, with_nodes(broken, conditions=DENIED))[Check.NODES_ROUTED][0] is State.UNKNOWN


def test_nothing_that_was_read_of_nothing_is_met() -> None:
    for name in ("aks-kubenet-exhausted", "aks-snat", "aks-pod-cidr-exhausted", "aks-max-pods"):
        plan = planned(made.INCIDENTS[name][0]())
        empty = replace(made.cluster(), azure=Azure(), kubernetes=Kubernetes())
        assert {state for state, _ in states(plan, empty).values()} == {State.UNKNOWN}, name


def test_the_new_cluster_is_held_to_a_plan_of_its_own() -> None:
    plan = planned(made.kubenet_exhausted())
    text = next(file.text for file in plan.files if "verify." in file.path)
    own = plan_from_json(json.loads(text))
    assert own.cluster == "aks-prod-eus2-overlay"
    assert [each.check for each in own.postconditions] == [
        Check.OVERLAY_MODE,
        Check.NODES_IN_POD_CIDR,
        Check.POLICY_ENGINE,
        Check.GATEWAY_ATTACHED,
        Check.EGRESS_ADDRESS,
    ]


def test_verify_shows_every_condition_of_a_snapshot(tmp_path: Path) -> None:
    path, facts = tmp_path / "plan.json", tmp_path / "facts.json"
    path.write_text(json.dumps(plan_to_json(planned(eligible()))), encoding="utf-8")
    facts.write_text(dump(moved()), encoding="utf-8")
    result = CliRunner().invoke(verify, ["--facts", str(facts), "--plan", str(path), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["verdict"] == "met"
    facts.write_text(dump(moved(node_network_configs=DENIED)), encoding="utf-8")
    assert CliRunner().invoke(verify, ["--facts", str(facts), "--plan", str(path)]).exit_code == 3


def test_every_check_is_looked_at() -> None:
    """A condition that nobody judges would end a verification with a traceback."""
    for check in Check:
        condition = Postcondition(check=check, title="x", subjects=("10.244.0.0/16",))
        plan = Plan(cluster="c", stack="", verdict="found", postconditions=(condition,))
        assert evaluate(plan, made.cluster(), waited_seconds=0)
