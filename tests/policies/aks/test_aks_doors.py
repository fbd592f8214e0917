"""AKS through every door: what a preview knows of before, what a program says of itself, what the engine sends."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format, struct_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime.proto import analyzer_pb2

from headroom.cli.check import check
from policies import resources as types
from policies.analyzer import Analyzer
from policies.doors import documents
from policies.pack import judge
from policies.rules.aks_change_in_place import PATHS
from tests.policies.aks.conftest import PROFILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TODAY = date(2026, 11, 21)
URN = f"urn:pulumi:prod::p::{types.AKS_CLUSTER}::aks"
SUBNET_URN = f"urn:pulumi:prod::p::{types.VNET_SUBNET}::nodes"
CLUSTER: dict[str, Any] = {
    "resourceName": "aks",
    "networkProfile": dict(PROFILE),
    "agentPoolProfiles": [{"name": "apps", "count": 3, "vnetSubnetID": "/s/nodes"}],
}


def step(op: str, inputs: Mapping[str, Any], before: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A step of a preview that changes the cluster."""
    state: dict[str, Any] = {"urn": URN, "type": types.AKS_CLUSTER, "protect": True, **more}
    found: dict[str, Any] = {"op": op, "urn": URN, "newState": {**state, "inputs": dict(inputs)}}
    if before is not None:
        found["oldState"] = {**state, "inputs": before}
    return found


def preview(*steps: Mapping[str, Any]) -> list[str]:
    """What aks-change-in-place says of a preview."""
    made = documents.from_preview({"steps": list(steps), "changeSummary": {}})
    return [item.message for item in judge(made, {}, TODAY) if item.rule == "aks-change-in-place"]


BEFORE = {**CLUSTER, "networkProfile": {**PROFILE, "outboundType": "loadBalancer"}}


def test_a_preview_that_replaces_a_cluster_for_its_way_out_is_refused_with_the_command_that_does_it() -> None:
    change, option = preview(step("replace", CLUSTER, BEFORE))
    assert change.startswith(
        "networkProfile.outboundType from loadBalancer to userAssignedNATGateway is planned as delete and create of aks"
    )
    assert "Run az aks update --outbound-type" in change
    assert "ignore_changes=" in option


def test_a_preview_in_which_the_engine_leaves_the_change_alone_passes() -> None:
    assert preview(step("update", BEFORE, BEFORE, ignoreChanges=list(PATHS))) == []
    assert len(preview(step("update", BEFORE, BEFORE, ignoreChanges="everything"))) == 1, "no list of paths"


def test_a_step_that_deletes_the_old_one_says_nothing_of_its_own() -> None:
    deletes = {"op": "delete-replaced", "urn": URN, "oldState": {"urn": URN, "type": types.AKS_CLUSTER, "inputs": {}}}
    assert preview(deletes) == []


def subnet_state(**more: Any) -> dict[str, Any]:
    inputs = {"addressPrefix": "10.20.4.0/22", "natGateway": {"id": "/s/nat"}, "networkSecurityGroup": {"id": "/s/nsg"}}
    outputs = {**inputs, "routeTable": {"id": "/s/aks-agentpool-routetable"}}
    state = {"urn": SUBNET_URN, "type": types.VNET_SUBNET, "id": "/s/nodes", "inputs": inputs, "outputs": outputs}
    return {**state, **more}


def test_a_route_table_that_azure_has_and_the_program_does_not_write_is_found_in_a_state() -> None:
    """Under kubenet AKS attaches it itself; a PUT without it cuts the routes between pods (Azure/AKS #400)."""
    state = {"deployment": {"resources": [subnet_state()]}}
    (said,) = [item.message for item in judge(documents.from_state(state), {}, TODAY) if item.rule == "subnet-complete"]
    assert said == (
        "subnet nodes has a routeTable that the program does not write: the next PUT detaches it. Write routeTable, or "
        "ignore changes of it and refresh."
    )
    state = {"deployment": {"resources": [subnet_state(ignoreChanges=["routeTable"])]}}
    assert [item for item in judge(documents.from_state(state), {}, TODAY) if item.rule == "subnet-complete"] == []


# The engine.


def struct(properties: Mapping[str, Any]) -> Any:
    return json_format.ParseDict(dict(properties), struct_pb2.Struct())


def options(*ignored: str) -> Any:
    return analyzer_pb2.AnalyzerResourceOptions(protect=True, ignoreChanges=ignored)


def test_the_engine_tells_what_changes_a_resource_ignores() -> None:
    def said(*ignored: str) -> list[str]:
        request = analyzer_pb2.AnalyzeRequest(
            type="azure-native:containerservice/v20240801:ManagedCluster",
            name="aks",
            urn=URN,
            properties=struct(CLUSTER),
            options=options(*ignored),
        )
        return [item.policyName for item in Analyzer().Analyze(request, None).diagnostics]

    assert said() == ["aks-change-in-place"]
    assert said(*PATHS) == []


def test_rules_on_the_stack_know_what_the_program_writes_though_the_engine_sends_them_outputs() -> None:
    state = subnet_state()
    servicer = Analyzer()
    request = analyzer_pb2.AnalyzeRequest(
        type=types.VNET_SUBNET, name="nodes", urn=SUBNET_URN, properties=struct(state["inputs"]), options=options()
    )
    assert list(servicer.Analyze(request, None).diagnostics) == []
    resource = analyzer_pb2.AnalyzerResource(
        type=types.VNET_SUBNET, name="nodes", urn=SUBNET_URN, properties=struct(state["outputs"]), options=options()
    )
    stack = analyzer_pb2.AnalyzeStackRequest(resources=[resource])
    (found,) = servicer.AnalyzeStack(stack, None).diagnostics
    assert found.policyName == "subnet-complete"
    assert "has a routeTable that the program does not write" in found.message


# A program.

PROGRAM = """\
import pulumi
from pulumi_azure_native import containerservice, network

address = network.PublicIPAddress(
    "egress",
    resource_group_name="rg",
    sku={"name": "Standard"},
    public_ip_allocation_method="Static",
    zones=["1"],
    opts=pulumi.ResourceOptions(protect=True),
)
nat = network.NatGateway(
    "egress", resource_group_name="rg", sku={"name": "Standard"}, zones=["1"], public_ip_addresses=[{"id": address.id}]
)
vnet = network.VirtualNetwork("net", resource_group_name="rg", address_space={"address_prefixes": ["10.20.0.0/16"]})
nodes = network.Subnet(
    "nodes",
    resource_group_name="rg",
    virtual_network_name=vnet.name,
    address_prefix="10.20.4.0/22",
    nat_gateway={"id": nat.id},
    opts=pulumi.ResourceOptions(ignore_changes=["routeTable", "networkSecurityGroup"]),
)
containerservice.ManagedCluster(
    "aks",
    resource_group_name="rg",
    network_profile=containerservice.ContainerServiceNetworkProfileArgs(
        network_plugin="azure",
        network_plugin_mode="overlay",
        network_policy="cilium",
        network_dataplane="cilium",
        load_balancer_sku="standard",
        outbound_type="userAssignedNATGateway",
        pod_cidr="100.64.0.0/16",
    ),
    agent_pool_profiles=[
        {"name": "apps", "count": 9, "max_pods": 110, "availability_zones": ["1"], "vnet_subnet_id": nodes.id}
    ],
    opts=pulumi.ResourceOptions(protect=True, ignore_changes=["networkProfile"]),
)
"""


def test_a_program_is_run_and_the_sdks_defaults_in_it_are_found(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "p", "runtime": "python"}), encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (tmp_path / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    done = CliRunner().invoke(check, [str(tmp_path), "--stack", "dev", "--json"])
    assert done.exit_code == 1, done.output
    result = json.loads(done.output)
    assert result["undecided"] == []
    assert [(item["rule"], item["message"].split(" is ")[0]) for item in result["violations"]] == [
        ("network-profile-explicit", "networkProfile.serviceCidr 10.0.0.0/16"),
        ("network-profile-explicit", "networkProfile.dnsServiceIP 10.0.0.10"),
    ]


@pytest.mark.parametrize("prefix", ["10.20.4.0/29", "10.20.4.0/22"])
def test_the_program_is_judged_by_what_it_writes(tmp_path: Path, prefix: str) -> None:
    program = PROGRAM.replace("10.20.4.0/22", prefix).replace('pod_cidr="100.64.0.0/16"', 'pod_cidr="100.64.0.0/21"')
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "p", "runtime": "python"}), encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (tmp_path / "__main__.py").write_text(program, encoding="utf-8")
    done = CliRunner().invoke(check, [str(tmp_path), "--stack", "dev", "--json"])
    rules = {item["rule"] for item in json.loads(done.output)["violations"]}
    small = {"aks-node-subnet-size"} if prefix.endswith("29") else set()
    assert rules == {"network-profile-explicit", "overlay-capacity", *small}
