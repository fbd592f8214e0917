"""Outputs of the Azure CLI, and of a node, as bundles; and what a case file may say of AKS."""

import json
from pathlib import Path
from typing import Any

import pytest

from headroom.collect.azure_bundle import host_local_reading, type_of
from headroom.collect.bundle import read_bundle
from headroom.collect.case import parse_case
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Detail
from headroom.facts.azure import HOST_LOCAL_COMMAND, HOST_LOCAL_MARK, SANDBOXES_MARK, Azure, ManagedCluster
from headroom.facts.document import dump, load
from headroom.facts.snapshot import Snapshot, Stated
from headroom.facts.values import Unknown, items

SUBSCRIPTION = "/subscriptions/3c1f0a52-9b7e-4c33-8f63-2a6f8f3a7b10"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-prod/providers"
VNET = f"{GROUP}/Microsoft.Network/virtualNetworks/vnet-spoke"
TABLE = f"{SUBSCRIPTION}/resourceGroups/MC_x/providers/Microsoft.Network/routeTables/aks-rt"
CLUSTER = f"{SUBSCRIPTION}/resourcegroups/rg-prod/providers/Microsoft.ContainerService/managedClusters/aks-prod"

# As `az aks show -o json` writes it: the properties at the top.
AKS_SHOW: dict[str, Any] = {
    "id": CLUSTER,
    "name": "aks-prod",
    "type": "Microsoft.ContainerService/ManagedClusters",
    "location": "eastus2",
    "resourceGroup": "rg-prod",
    "kubernetesVersion": "1.31",
    "provisioningState": "Succeeded",
    "nodeResourceGroup": "MC_x",
    "identity": {"type": "UserAssigned", "userAssignedIdentities": {f"{GROUP}/Microsoft.ManagedIdentity/id": {}}},
    "apiServerAccessProfile": {"authorizedIpRanges": ["203.0.113.0/24"]},
    "networkProfile": {
        "networkPlugin": "kubenet",
        "networkPolicy": "calico",
        "podCidr": "10.244.0.0/16",
        "serviceCidr": "10.0.0.0/16",
        "dnsServiceIp": "10.0.0.10",
        "outboundType": "loadBalancer",
        "loadBalancerSku": "Standard",
        "loadBalancerProfile": {
            "effectiveOutboundIPs": [{"id": f"{GROUP}/Microsoft.Network/publicIPAddresses/a"}],
            "managedOutboundIPs": {"count": 2},
        },
    },
    "agentPoolProfiles": [
        {
            "name": "default",
            "mode": "System",
            "count": 9,
            "enableAutoScaling": True,
            "minCount": 3,
            "maxCount": 20,
            "maxPods": 110,
            "vmSize": "Standard_D4ds_v5",
            "vnetSubnetId": f"{VNET}/subnets/snet-nodes",
            "upgradeSettings": {"maxSurge": "33%"},
            "type": "VirtualMachineScaleSets",
        }
    ],
}
SUBNET_SHOW: dict[str, Any] = {
    "id": f"{VNET}/subnets/snet-nodes",
    "name": "snet-nodes",
    "type": "Microsoft.Network/virtualNetworks/subnets",
    "addressPrefix": "10.20.4.0/22",
    "routeTable": {"id": TABLE, "resourceGroup": "MC_x"},
    "ipConfigurations": [
        {
            "id": f"{SUBSCRIPTION}/resourceGroups/MC_x/providers/Microsoft.Compute/virtualMachineScaleSets/v/"
            f"virtualMachines/{number}/networkInterfaces/n/ipConfigurations/c"
        }
        for number in range(9)
    ],
    "delegations": [],
}
TABLE_SHOW: dict[str, Any] = {
    "id": TABLE,
    "name": "aks-rt",
    "type": "Microsoft.Network/routeTables",
    "disableBgpRoutePropagation": False,
    "routes": [
        {
            "name": "n0",
            "addressPrefix": "10.244.0.0/24",
            "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": "10.20.4.4",
        }
    ],
    "subnets": [{"id": f"{VNET}/subnets/snet-nodes"}],
}


def bundle(folder: Path, **files: Any) -> Snapshot:
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return read_bundle(folder)


def azure_of(snapshot: Snapshot) -> Azure:
    assert isinstance(snapshot.azure, Azure)
    return snapshot.azure


def test_outputs_of_the_azure_cli_are_known_by_what_they_hold(tmp_path: Path) -> None:
    snapshot = bundle(tmp_path, a=AKS_SHOW, b=[SUBNET_SHOW], c=TABLE_SHOW)
    azure = azure_of(snapshot)
    assert (snapshot.cloud, snapshot.cluster, azure.resource_group) == ("azure", "aks-prod", "rg-prod")
    cluster = azure.cluster
    assert isinstance(cluster, ManagedCluster)
    assert cluster.authorized_ranges == ("203.0.113.0/24",)
    network = cluster.network
    assert not isinstance(network, Unknown)
    assert network is not None
    assert (network.network_plugin, network.dns_service_ip, network.load_balancer_sku) == (
        "kubenet",
        "10.0.0.10",
        "standard",
    )
    balancer = network.load_balancer
    assert not isinstance(balancer, Unknown)
    assert balancer is not None
    assert balancer.managed_outbound_ips == 2
    [pool] = items(azure.pools)
    assert (pool.count, pool.minimum, pool.maximum, pool.max_surge) == (9, 3, 20, "33%")
    [vnet] = items(azure.vnets)
    [subnet] = items(vnet.subnets)
    assert (vnet.name, subnet.prefixes, subnet.route_table_id, subnet.ip_configurations) == (
        "vnet-spoke",
        ("10.20.4.0/22",),
        TABLE,
        9,
    )
    assert subnet.ip_configuration_owners == {"virtualMachineScaleSets": 9}
    [table] = items(azure.route_tables)
    assert [route.next_hop for route in items(table.routes)] == ["10.20.4.4"]
    assert load(dump(snapshot)) == snapshot


def test_two_clusters_in_the_files_are_none(tmp_path: Path) -> None:
    other = {**AKS_SHOW, "id": f"{CLUSTER}-2", "name": "aks-prod-2"}
    assert isinstance(azure_of(bundle(tmp_path, a=AKS_SHOW, b=other)).cluster, Unknown)


def test_an_object_of_another_form_makes_its_list_unknown(tmp_path: Path) -> None:
    broken = {**TABLE_SHOW, "routes": [{"name": "n0"}]}
    assert isinstance(azure_of(bundle(tmp_path, a=AKS_SHOW, b=broken)).route_tables, Unknown)


def test_without_an_output_of_azure_its_nodes_say_what_cloud_it_is(tmp_path: Path) -> None:
    node = {
        "kind": "Node",
        "metadata": {"name": "aks-default-1-vmss000000", "creationTimestamp": "2026-02-20T09:00:00Z"},
        "spec": {"providerID": "azure:///subscriptions/s/…/vmss/0", "podCIDR": "10.244.0.0/24"},
        "status": {"capacity": {"pods": "110"}, "allocatable": {"pods": "110"}, "conditions": []},
    }
    pod = {
        "kind": "Pod",
        "metadata": {"name": "checkout-1", "namespace": "prod", "creationTimestamp": "2026-02-26T21:12:00Z"},
        "spec": {"nodeName": "aks-default-1-vmss000000", "containers": [{"name": "a"}]},
        "status": {"phase": "Pending"},
    }
    event = {
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "prod"},
        "involvedObject": {"kind": "Pod", "namespace": "prod", "name": "checkout-1"},
        "reason": "FailedCreatePodSandBox",
        "message": FULL,
        "type": "Warning",
        "count": 3,
        "lastTimestamp": "2026-02-26T21:18:00Z",
    }
    snapshot = bundle(tmp_path, a={"items": [node, pod, event]})
    assert snapshot.cloud == "azure"
    found = diagnose(snapshot)
    assert [cause.name for cause in found.causes] == ["ipamd_failure/host_local_leak"]
    assert any(each.command.startswith("kubectl debug node/") for each in found.needed)


def test_the_activity_log_is_read_with_its_errors(tmp_path: Path) -> None:
    said = {"error": {"code": "InsufficientSubnetSize", "message": "Too small.", "target": "networkProfile.podCIDR"}}
    entry = {
        "operationName": {"value": "Microsoft.ContainerService/managedClusters/agentPools/write"},
        "status": {"value": "Failed"},
        "eventTimestamp": "2026-02-26T21:16:00.1234567Z",
        "resourceId": f"{CLUSTER}/agentPools/default",
        "properties": {"statusMessage": json.dumps(said)},
    }
    begun = {**entry, "status": {"value": "Started"}}
    [error] = items(azure_of(bundle(tmp_path, a=AKS_SHOW, b=[entry, begun, entry])).errors)
    assert (error.code, error.target, error.count, error.last_seen) == (
        "InsufficientSubnetSize",
        "networkProfile.podCIDR",
        2,
        "2026-02-26T21:16:00Z",
    )


def test_the_type_of_a_resource_is_in_its_id() -> None:
    assert type_of(f"{VNET}/subnets/a") == "microsoft.network/virtualnetworks/subnets"
    assert type_of(CLUSTER) == "microsoft.containerservice/managedclusters"
    assert type_of("vpc-1") is None
    assert type_of(None) is None


LIVE, GONE = "a" * 64, "b" * 64


def node_output(*, files: int = 253, live: int = 104) -> str:
    entries = []
    for number in range(files):
        container = f"{number:064x}"
        entries += [f"./kubenet/10.244.0.{number + 2}:{container}\r", f"./kubenet/10.244.0.{number + 2}:eth0"]
    sandboxes = [f"{number:064x}" for number in range(live)]
    return "\n".join(
        [f"{HOST_LOCAL_MARK}node-a", "./kubenet/last_reserved_ip.0:10.244.0.9", *entries, SANDBOXES_MARK, *sandboxes]
    )


def test_the_output_of_a_node_counts_reservations_whose_container_is_gone() -> None:
    reading = host_local_reading(node_output())
    assert (reading.node, reading.network, reading.reserved, reading.live) == ("node-a", "kubenet", 253, 104)
    assert len(items(reading.leaked)) == 149
    assert items(reading.leaked)[0] == "10.244.0.106"


def test_without_the_list_of_sandboxes_nothing_is_said_of_leaks() -> None:
    reading = host_local_reading(node_output().partition(SANDBOXES_MARK)[0])
    assert reading.reserved == 253
    assert isinstance(reading.live, Unknown)
    assert isinstance(reading.leaked, Unknown)


def test_a_bundle_may_hold_the_output_of_a_node_and_the_command_for_it_is_told(tmp_path: Path) -> None:
    azure = azure_of(bundle(tmp_path, a=AKS_SHOW, node=node_output()))
    assert [each.reserved for each in items(azure.host_local)] == [253]
    assert HOST_LOCAL_MARK in HOST_LOCAL_COMMAND
    assert SANDBOXES_MARK in HOST_LOCAL_COMMAND


FULL = "failed to allocate for range 0: no IP addresses available in range set: 10.244.0.1-10.244.0.254"


@pytest.mark.parametrize("key", ["reservedAddresses", "reserved_files", "hostLocalFiles"])
def test_a_case_file_may_count_reservations_and_sandboxes(key: str) -> None:
    case = {
        "lines": [{"origin": "pod_event", "text": FULL}],
        "known": {
            "cloud": "azure",
            "networkPlugin": "kubenet",
            key: 253,
            "liveSandboxes": 104,
            "podCidr": "10.244.0.0/16",
        },
    }
    snapshot = parse_case(json.dumps(case))
    stated = snapshot.stated
    assert isinstance(stated, Stated)
    assert (stated.reserved_addresses, stated.live_sandboxes) == (253, 104)
    assert (stated.network_plugin, stated.pod_cidr) == ("kubenet", "10.244.0.0/16")
    [cause] = diagnose(snapshot).causes
    assert cause.detail is Detail.HOST_LOCAL_LEAK
    assert cause.evidence[0].value == "253"
    assert load(dump(snapshot)) == snapshot


def test_the_published_story_told_as_a_case_is_a_leak_and_not_an_exhausted_range() -> None:
    case = {
        "lines": [{"origin": "pod_event", "text": FULL}],
        "known": {"cloud": "azure", "podsOnNode": 110, "maxPods": 110},
    }
    [cause] = diagnose(parse_case(json.dumps(case))).causes
    assert cause.detail is Detail.HOST_LOCAL_LEAK
