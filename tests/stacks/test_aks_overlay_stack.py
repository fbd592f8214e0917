"""The stack of an overlay cluster: what it declares, in which order, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from stacks import aks_overlay
from tests.conftest import READ_STATE
from tests.stacks.conftest import declared, looked_for

if TYPE_CHECKING:
    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
DECLARED = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
DEFAULTS = {key: entry["default"] for key, entry in DECLARED.items() if "default" in entry}
EXAMPLE: dict[str, Any] = yaml.safe_load(
    (CHECKOUT / "stacks" / "Pulumi.example-aks-overlay.yaml").read_text(encoding="utf-8")
)["config"]
CLUSTER = "azure-native:containerservice:ManagedCluster"
POOL = "azure-native:containerservice:AgentPool"
SUBNET = "azure-native:network:Subnet"
SYSTEM: dict[str, Any] = EXAMPLE["headroom:pools"]["system"]
ROLE = "azure-native:authorization:RoleAssignment"
IDENTITY = "azure-native:managedidentity:UserAssignedIdentity"


def deployed(recorder: Recorder, **changes: Any) -> list[tuple[str, str]]:
    """Key and rule of what was refused of the example with changes; empty where it was deployed.

    A change is of a whole key, or with two underscores of one field of it.
    """
    found: list[tuple[str, str]] = []

    def program() -> None:
        try:
            aks_overlay.deploy()
        except ProblemsError as error:
            found.extend((problem.key, problem.rule) for problem in error.problems)

    config = {**DEFAULTS, **EXAMPLE}
    for name, value in changes.items():
        key, _, field = name.partition("__")
        config[f"headroom:{key}"] = {**config[f"headroom:{key}"], field: value} if field else value
    recorder.answers.setdefault(READ_STATE, {})
    recorder.run(program, config=config, stack="prod-eus2-overlay")
    return found


def test_the_example_declares_subnet_identity_role_cluster_and_pools(recorder: Recorder) -> None:
    assert deployed(recorder) == []
    assert [item.label for item in recorder.registrations] == [
        f"{ROLE} overlay-subnet-role",
        f"{POOL} overlay-apps",
        f"{CLUSTER} overlay-cluster",
        f"{IDENTITY} overlay-identity",
        f"{SUBNET} overlay-subnet",
        "headroom:index:OverlayCluster overlay",
    ]
    assert f"{ROLE} overlay-subnet-role" in recorder.one(CLUSTER, "overlay-cluster").depends_on


def test_everything_that_it_declares_is_looked_for_after_a_run_that_was_cut_off(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = looked_for(monkeypatch, aks_overlay)
    assert deployed(recorder) == []
    assert known == declared(recorder)


def test_every_field_of_the_network_profile_is_written(recorder: Recorder) -> None:
    deployed(recorder)
    assert recorder.one(CLUSTER, "overlay-cluster").inputs["networkProfile"] == {
        "networkPlugin": "azure",
        "networkPluginMode": "overlay",
        "networkPolicy": "cilium",
        "networkDataplane": "cilium",
        "podCidr": "100.64.0.0/16",
        "serviceCidr": "10.2.0.0/16",
        "dnsServiceIP": "10.2.0.10",
        "outboundType": "userAssignedNATGateway",
        "loadBalancerSku": "standard",
        "ipFamilies": ["IPv4"],
    }


def test_the_subnet_has_its_gateway_from_the_start_and_no_route_table(recorder: Recorder) -> None:
    deployed(recorder)
    subnet = recorder.one(SUBNET, "overlay-subnet")
    assert subnet.inputs["natGateway"]["id"].endswith("/natGateways/nat-aks-egress-eus2")
    assert "routeTable" not in subnet.inputs
    assert subnet.protect
    assert recorder.one(CLUSTER, "overlay-cluster").protect


def test_what_azure_changes_in_place_is_never_planned_as_a_replacement(recorder: Recorder) -> None:
    deployed(recorder)
    ignored = recorder.one(CLUSTER, "overlay-cluster").ignore_changes
    filled_in = {"networkProfile.podCidrs", "networkProfile.serviceCidrs"}
    assert {path for path in ignored if path.startswith("networkProfile.")} - filled_in == {
        "networkProfile.networkPlugin",
        "networkProfile.networkPluginMode",
        "networkProfile.podCidr",
        "networkProfile.networkDataplane",
        "networkProfile.networkPolicy",
        "networkProfile.outboundType",
    }


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"aksCluster__podCidr": "172.16.0.0/12"}, ("headroom:aksCluster.podCidr", "reserved-range")),
        ({"aksCluster__podCidr": "100.64.0.0/20"}, ("headroom:aksCluster.podCidr", "pod-cidr-full")),
        ({"aksCluster__serviceCidr": "10.20.8.0/24"}, ("headroom:nodeSubnet.cidrBlock", "range-overlap")),
        ({"aksCluster__dnsServiceIp": "10.2.0.1"}, ("headroom:aksCluster.dnsServiceIp", "dns-service-ip-first")),
        ({"nodeSubnet__cidrBlock": "10.20.8.0/27"}, ("headroom:nodeSubnet.cidrBlock", "node-subnet-full")),
        ({"nodeSubnet__natGatewayId": None}, ("headroom:nodeSubnet.natGatewayId", "configuration")),
        ({"aksCluster__outboundType": "loadBalancer"}, ("headroom:aksCluster.outboundType", "configuration")),
        ({"aksCluster__outboundType": "managedNATGateway"}, ("headroom:aksCluster.outboundType", "configuration")),
        ({"aksCluster__networkDataplane": "azure"}, ("headroom:aksCluster.networkDataplane", "configuration")),
        ({"aksCluster__kubernetesVersion": 1.33}, ("headroom:aksCluster.kubernetesVersion", "configuration")),
        ({"nodeSubnet__name": "s" * 64}, ("headroom:nodeSubnet.name", "configuration")),
        ({"pools": {"apps": {"vmSize": "Standard_D4ds_v5"}}}, ("headroom:pools", "configuration")),
        (
            {"pools__system": {**SYSTEM, "vmSize": "Standard_DC4s_v2"}},
            ("headroom:pools.system.vmSize", "configuration"),
        ),
        ({"pools__system": {**SYSTEM, "count": 0}}, ("headroom:pools.system.count", "configuration")),
        ({"pools__system": {**SYSTEM, "minCount": 0}}, ("headroom:pools.system.minCount", "configuration")),
        ({"pools__system": {**SYSTEM, "count": 2}}, ("headroom:pools.system.count", "configuration")),
        ({"vpcId": "vpc-1"}, ("headroom:vpcId", "configuration")),
    ],
)
def test_what_azure_would_refuse_is_refused_before_anything_is_made(
    recorder: Recorder, changes: dict[str, Any], refused: tuple[str, str]
) -> None:
    assert refused in deployed(recorder, **changes)
    assert recorder.registrations == []


def test_an_autoscaled_pool_keeps_the_autoscalers_count(recorder: Recorder) -> None:
    deployed(recorder)
    assert recorder.one(POOL, "overlay-apps").ignore_changes == ("count",)
    assert recorder.one(POOL, "overlay-apps").inputs["vnetSubnetID"]


def system(**fields: Any) -> dict[str, Any]:
    """The example's pools, the first one with other fields."""
    pools = EXAMPLE["headroom:pools"]
    return {**pools, "system": {**pools["system"], **fields}}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"aksCluster__podCidr": "100.64.0.0/14"}, "aksCluster.podCidr"),
        ({"aksCluster__podCidr": "100.96.0.0/16"}, "aksCluster.podCidr"),
        ({"aksCluster__serviceCidr": "10.3.0.0/16", "aksCluster__dnsServiceIp": "10.3.0.10"}, "aksCluster.serviceCidr"),
        ({"aksCluster__networkPolicy": "azure", "aksCluster__networkDataplane": "azure"}, "aksCluster.networkPolicy"),
        ({"aksCluster__outboundType": "userDefinedRouting"}, "aksCluster.outboundType"),
        ({"pools": system(maxCount=20)}, "pools.system.maxCount"),
        ({"pools": system(vmSize="Standard_D8ds_v5")}, "pools.system.vmSize"),
        (
            {"pools": {"sys2" if name == "system" else name: pool for name, pool in system().items()}},
            "pools.sys2",
        ),
    ],
)
def test_what_the_cluster_does_not_become_by_an_edit_of_the_file_is_said(
    recorder: Recorder, changes: dict[str, Any], key: str
) -> None:
    assert deployed(recorder) == []
    recorder.remember()
    assert deployed(recorder) == []
    found = deployed(recorder, **changes)
    assert (f"headroom:{key}", "not-changed-here") in found
    assert recorder.registrations == []


def test_the_first_system_pool_is_not_swapped_for_one_that_is_made_by_itself(recorder: Recorder) -> None:
    pools = {**EXAMPLE["headroom:pools"], "more": EXAMPLE["headroom:pools"]["system"]}
    assert deployed(recorder, pools=pools) == []
    recorder.remember()
    swapped = {name: pool for name, pool in pools.items() if name != "system"}
    assert deployed(recorder, pools=swapped) == [("headroom:pools.more", "not-changed-here")]


def test_a_pool_is_neither_deleted_nor_replaced_by_an_edit_of_the_file(recorder: Recorder) -> None:
    deployed(recorder)
    assert recorder.one(POOL, "overlay-apps").protect
    deployed(recorder, protect=False)
    assert not recorder.one(POOL, "overlay-apps").protect


def test_what_others_write_into_the_subnet_is_theirs(recorder: Recorder) -> None:
    deployed(recorder)
    subnet = recorder.one(SUBNET, "overlay-subnet")
    assert (subnet.before_create, subnet.before_update) == ((), ("overlay-subnet-guard",))
    assert set(subnet.ignore_changes) == {
        "routeTable",
        "serviceEndpoints",
        "serviceEndpointPolicies",
        "delegations",
        "networkSecurityGroup",
    }


def test_a_vnet_of_another_subscription_than_the_providers_is_refused(recorder: Recorder) -> None:
    found: list[str] = []

    def program() -> None:
        try:
            aks_overlay.deploy()
        except ProblemsError as error:
            found.extend(problem.rule for problem in error.problems)

    other = {"azure-native:subscriptionId": "99999999-9999-9999-9999-999999999999"}
    recorder.run(program, config={**DEFAULTS, **EXAMPLE, **other}, stack="prod-eus2-overlay")
    assert found == ["subscription"]
