"""The readers of AKS with the real SDKs against the simulated Azure, and a stub of the API server."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.collect.azure import ROLE_ACTIONS
from headroom.collect.azure_cns import cns_reading
from headroom.collect.azure_session import AzureClients, azure_clients
from headroom.collect.azure_snapshot import RBAC_RULES, collect_aks_from
from headroom.collect.budget import budget
from headroom.collect.permissions import permissions
from headroom.collect.session import choose_context
from headroom.diagnosis.classifier import diagnose
from headroom.facts.azure import Azure, ManagedCluster
from headroom.facts.document import dump, load
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown, items
from headroom.rehearsal.arm.endpoint import Endpoint, start_arm
from tests.collect.conftest import ApiServerStub, api, group, kubeconfig, pod_object

__all__ = ["api", "kubeconfig"]

METRICS = b"""# TYPE cx_ipam_available_ips gauge
cx_ipam_available_ips{subnet="snet-aks-pods",subnet_cidr="10.20.8.0/24"} 0
cx_ipam_total_ips{subnet="snet-aks-pods",subnet_cidr="10.20.8.0/24"} 16
cx_ipam_pod_allocated_ips{subnet="snet-aks-pods",subnet_cidr="10.20.8.0/24"} 16
cx_ipam_subnet_exhaustion_state{subnet="snet-aks-pods",subnet_cidr="10.20.8.0/24"} 1
"""
CLUSTER = "aks-prod-eus2"
GROUP = "rg-prod-eus2"
NODE_GROUP = f"MC_{GROUP}_{CLUSTER}_eastus2"


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with start_arm(tmp_path_factory.mktemp("arm")) as running:
        within = f"/subscriptions/{running.subscription}/resourceGroups/{GROUP}"
        network = f"{within}/providers/Microsoft.Network"
        vnet = f"{network}/virtualNetworks/vnet-spoke"
        allow = {
            "priority": 100,
            "direction": "Inbound",
            "access": "Allow",
            "protocol": "*",
            "sourceAddressPrefix": "10.20.0.0/16",
            "destinationAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "*",
        }
        running.add_resources(
            [
                {"id": within, "location": "eastus2"},
                {
                    "id": vnet,
                    "location": "eastus2",
                    "properties": {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}},
                },
                {
                    "id": f"{network}/networkSecurityGroups/nsg-nodes",
                    "location": "eastus2",
                    "properties": {"securityRules": [{"name": "from-spoke", "properties": allow}]},
                },
                {
                    "id": f"{vnet}/subnets/snet-aks-nodes",
                    "properties": {
                        "addressPrefix": "10.20.4.0/22",
                        "networkSecurityGroup": {"id": f"{network}/networkSecurityGroups/nsg-nodes"},
                    },
                },
                {"id": f"{vnet}/subnets/snet-other", "properties": {"addressPrefix": "10.20.8.0/24"}},
                cluster_resource(within, CLUSTER, f"{vnet}/subnets/snet-aks-nodes", plugin="kubenet", nodes=9),
                cluster_resource(within, "aks-other", f"{vnet}/subnets/snet-other", plugin="azure", nodes=3),
            ]
        )
        running.set_usages("eastus2", "Microsoft.Compute", {"cores": (0, 200), "standardDDSv5Family": (48, 100)})
        balancer = (
            f"/subscriptions/{running.subscription}/resourceGroups/{NODE_GROUP}/providers/"
            "Microsoft.Network/loadBalancers/kubernetes"
        )
        for state, count in (("Failed", 500.0), ("Successful", 9000.0)):
            running.write_metric(balancer, "SnatConnectionCount", [(running.now() - 60, count)], ConnectionState=state)
        yield running


def cluster_resource(within: str, name: str, subnet: str, *, plugin: str, nodes: int) -> dict[str, Any]:
    network = {"networkPlugin": plugin, "podCidr": "10.244.0.0/16"}
    if plugin == "azure":
        network["networkPluginMode"] = "overlay"
    return {
        "id": f"{within}/providers/Microsoft.ContainerService/managedClusters/{name}",
        "location": "eastus2",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": name,
            "kubernetesVersion": "1.31",
            "networkProfile": network,
            "agentPoolProfiles": [
                {
                    "name": "default",
                    "mode": "System",
                    "count": nodes,
                    "vmSize": "Standard_D4ds_v5",
                    "vnetSubnetID": subnet,
                }
            ],
        },
    }


@pytest.fixture
def cluster(api: ApiServerStub) -> ApiServerStub:
    """Two nodes of the pool, azure-cns on both, and a ConfigMap of the user's."""
    names = ("aks-default-12345678-vmss000000", "aks-default-12345678-vmss000001")
    api.answers["/version"] = json.dumps({"gitVersion": "v1.31.6"}).encode()
    api.answers["/apis"] = json.dumps({"groups": [group("acn.azure.com", "v1alpha")]}).encode()
    for path in (
        "/api/v1/pods",
        "/api/v1/events",
        "/api/v1/services",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/daemonsets",
        "/apis/apps/v1/statefulsets",
        "/apis/batch/v1/jobs",
        "/apis/batch/v1/cronjobs",
        "/apis/coordination.k8s.io/v1/leases",
        "/apis/networking.k8s.io/v1/networkpolicies",
        "/api/v1/namespaces",
        "/apis/policy/v1/poddisruptionbudgets",
        "/apis/autoscaling/v2/horizontalpodautoscalers",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        "/apis/discovery.k8s.io/v1/endpointslices",
    ):
        api.lists[path] = []
    api.lists["/api/v1/nodes"] = [
        {
            "metadata": {
                "name": name,
                "labels": {"kubernetes.azure.com/agentpool": "default"},
                "creationTimestamp": "2026-02-20T09:00:00Z",
            },
            "spec": {"podCIDR": f"10.244.{index}.0/24", "providerID": f"azure:///subscriptions/x/{name}"},
            "status": {
                "capacity": {"pods": "110"},
                "allocatable": {"pods": "110"},
                "addresses": [{"type": "InternalIP", "address": f"10.20.4.{index + 4}"}],
                "conditions": [],
            },
        }
        for index, name in enumerate(names)
    ]
    api.lists["/apis/acn.azure.com/v1alpha/namespaces/kube-system/nodenetworkconfigs"] = [
        {
            "metadata": {"name": names[0]},
            "spec": {"requestedIPCount": 32, "ipsNotInUse": ["a"]},
            "status": {
                "assignedIPCount": 16,
                "status": "Updated",
                "scaler": {"batchSize": 16, "maxIPCount": 110},
                "networkContainers": [
                    {
                        "id": "0f0f0f0f-0000-4000-8000-000000000000",
                        "assignmentMode": "dynamic",
                        "type": "vnet",
                        "subnetName": "snet-aks-pods",
                        "subnetAddressSpace": "10.20.8.0/24",
                        "primaryIP": "10.20.8.4",
                        "nodeIP": "10.20.4.4",
                        "status": "NCUpdateSubnetFullError",
                        "ipAssignments": [{"name": "x", "ip": "10.20.8.5"}],
                    }
                ],
            },
        }
    ]
    cns = pod_object("azure-cns-x7k2p", names[0], namespace="kube-system")
    api.lists["/api/v1/namespaces/kube-system/pods"] = [cns]
    api.answers["/api/v1/namespaces/kube-system/pods/azure-cns-x7k2p:10092/proxy/metrics"] = METRICS
    config = yaml.safe_dump({"nonMasqueradeCIDRs": ["10.20.0.0/16"], "masqLinkLocal": True})
    api.answers["/api/v1/namespaces/kube-system/configmaps/azure-ip-masq-agent-config"] = json.dumps(
        {"metadata": {"name": "azure-ip-masq-agent-config"}, "data": {"ip-masq-agent": config}}
    ).encode()
    return api


@pytest.fixture
def read(arm: Endpoint, cluster: ApiServerStub, kubeconfig: Path) -> Iterator[Callable[..., Snapshot]]:
    del cluster
    arm.clear_faults()
    arm.forget_calls()

    def go(name: str = CLUSTER) -> Snapshot:
        clients = AzureClients(arm.credential(), arm.subscription, arm.options())
        try:
            return collect_aks_from(
                name,
                clients,
                choose_context(name, kubeconfig=str(kubeconfig)),
                resource_group=GROUP,
                seconds=30,
                now=lambda: datetime.fromtimestamp(arm.now(), UTC),
            )
        finally:
            clients.close()

    yield go
    arm.clear_faults()


def azure_of(snapshot: Snapshot) -> Azure:
    assert isinstance(snapshot.azure, Azure)
    return snapshot.azure


def test_a_cluster_is_read_with_its_networks_quotas_and_metrics(read: Callable[..., Snapshot]) -> None:
    snapshot = read()
    azure = azure_of(snapshot)
    assert isinstance(azure.cluster, ManagedCluster)
    assert (snapshot.cloud, snapshot.cluster, azure.location) == ("azure", CLUSTER, "eastus2")
    network = azure.cluster.network
    assert not isinstance(network, Unknown)
    assert network is not None
    assert (network.network_plugin, network.network_plugin_mode, network.pod_cidr) == (
        "kubenet",
        None,
        "10.244.0.0/16",
    )
    assert network.outbound_type == "loadBalancer"
    [pool] = items(azure.pools)
    assert (pool.count, pool.max_pods, pool.maximum, pool.vm_size) == (9, 110, None, "Standard_D4ds_v5")
    [vnet] = items(azure.vnets)
    nodes = items(vnet.subnets)[0]
    assert (nodes.name, nodes.prefixes, nodes.used_addresses, nodes.usable_addresses) == (
        "snet-aks-nodes",
        ("10.20.4.0/22",),
        9,
        1019,
    )
    assert {"addressPrefix", "networkSecurityGroup", "routeTable"} <= set(items(nodes.properties))
    [table] = items(azure.route_tables)
    assert len(items(table.routes)) == 9
    assert (items(table.routes)[0].prefix, items(table.routes)[0].next_hop_type) == (
        "10.244.0.0/24",
        "VirtualAppliance",
    )
    [rules] = items(azure.security_groups)
    assert [(rule.name, rule.sources) for rule in items(rules.rules)] == [("from-spoke", ("10.20.0.0/16",))]
    [address] = items(azure.public_addresses)
    assert (address.sku, address.allocation) == ("Standard", "Static")
    [egress] = items(azure.egress)
    assert (egress.kind, egress.failed_connections, egress.connections) == ("loadBalancer", 500, 9500)
    assert {usage.name: usage.limit for usage in items(azure.quotas)} == {"cores": 200, "standardDDSv5Family": 100}
    assert [(size.family, size.vcpus) for size in items(azure.vm_sizes)] == [("standardDDSv5Family", 4)]
    assert [each.name for each in items(azure.neighbours)] == ["aks-other"]
    assert load(dump(snapshot)) == snapshot


def test_a_vnet_of_another_subscription_is_read_there_with_all_that_it_names(
    read: Callable[..., Snapshot], arm: Endpoint
) -> None:
    """A VNet is often one of a subscription for networks alone; here it has the name of one beside the cluster."""
    other = "99999999-0000-4000-8000-999999999999"
    within, network = (
        f"/subscriptions/{subscription}/resourceGroups/{GROUP}" for subscription in (arm.subscription, other)
    )
    network += "/providers/Microsoft.Network"
    public = {"location": "eastus2", "sku": {"name": "Standard"}}
    subnet = f"{network}/virtualNetworks/vnet-spoke/subnets/snet-nodes"
    cluster = cluster_resource(within, "aks-shared", subnet, plugin="azure", nodes=3)
    cluster["properties"]["networkProfile"] |= {"outboundType": "userAssignedNATGateway", "podCidr": "100.64.0.0/16"}
    arm.add_resources(
        [
            {
                "id": f"{network}/virtualNetworks/vnet-spoke",
                "location": "eastus2",
                "properties": {"addressSpace": {"addressPrefixes": ["10.99.0.0/16"]}},
            },
            {"id": f"{network}/networkSecurityGroups/nsg-nodes", "location": "eastus2", "properties": {}},
            {"id": f"{network}/publicIPAddresses/pip", **public, "properties": {"publicIPAllocationMethod": "Static"}},
            {
                "id": f"{network}/natGateways/nat",
                **public,
                "properties": {"publicIpAddresses": [{"id": f"{network}/publicIPAddresses/pip"}]},
            },
            {
                "id": subnet,
                "properties": {
                    "addressPrefix": "10.99.4.0/22",
                    "networkSecurityGroup": {"id": f"{network}/networkSecurityGroups/nsg-nodes"},
                    "natGateway": {"id": f"{network}/natGateways/nat"},
                },
            },
            cluster,
        ]
    )
    arm.write_metric(f"{network}/natGateways/nat", "SNATConnectionCount", [(arm.now() - 60, 7.0)])
    azure = azure_of(read("aks-shared"))
    [vnet] = items(azure.vnets)
    assert (vnet.vnet_id, vnet.prefixes) == (f"{network}/virtualNetworks/vnet-spoke", ("10.99.0.0/16",))
    [group], [gateway] = items(azure.security_groups), items(azure.nat_gateways)
    [address] = items(azure.public_addresses)
    found = (group.group_id, gateway.gateway_id, address.address_id)
    assert all(each.startswith(network) for each in found), found
    [egress] = items(azure.egress)
    assert (egress.failed_connections, egress.connections) == (0, 7)


def test_a_window_without_a_value_is_no_zero_unless_the_availability_was_measured(
    read: Callable[..., Snapshot], arm: Endpoint
) -> None:
    [egress] = items(azure_of(read("aks-other")).egress)
    nothing = Unknown(Reason.UNREACHABLE, "Azure Monitor has no value of SnatConnectionCount in the window")
    assert (egress.failed_connections, egress.connections) == (nothing, nothing)
    arm.write_metric(egress.resource_id, "VipAvailability", [(arm.now() - 60, 100.0), (arm.now() - 120, 90.0)])
    [egress] = items(azure_of(read("aks-other")).egress)
    assert (egress.failed_connections, egress.connections, egress.datapath_availability) == (0, 0, 95.0)


def test_what_runs_on_the_nodes_is_read_of_the_api_server(read: Callable[..., Snapshot]) -> None:
    azure = azure_of(read())
    [config] = items(azure.node_network_configs)
    assert (config.requested_addresses, config.assigned_addresses, config.releasing_addresses) == (32, 16, 1)
    [container] = items(config.containers)
    assert (container.status, container.container_type, container.addresses) == ("NCUpdateSubnetFullError", "vnet", 1)
    masquerade = azure.ip_masq
    assert not isinstance(masquerade, Unknown)
    assert masquerade is not None
    assert (masquerade.custom, masquerade.non_masquerade_cidrs, masquerade.masquerade_link_local) == (
        True,
        ("10.20.0.0/16",),
        True,
    )
    assert [each.name for each in items(azure.cns_pods)] == ["azure-cns-x7k2p"]
    [pool] = items(azure.cns)
    assert (pool.node, pool.available, pool.total, pool.allocated, pool.subnet_exhausted) == (
        config.node,
        0,
        16,
        16,
        True,
    )


def test_gauges_of_azure_cns_that_nobody_may_read_are_unknown(
    read: Callable[..., Snapshot], cluster: ApiServerStub
) -> None:
    path = "/api/v1/namespaces/kube-system/pods/azure-cns-x7k2p:10092/proxy/metrics"
    cluster.failures[path] = (403, "Forbidden")
    assert azure_of(read()).cns == Unknown(Reason.DENIED, "the API server answered 403 Forbidden")


def test_a_text_without_the_gauges_of_azure_cns_is_none_of_its() -> None:
    with pytest.raises(ValueError, match="none of azure-cns's metrics"):
        cns_reading("node", "go_goroutines 7")


def test_the_calls_are_counted_against_the_budget(read: Callable[..., Snapshot], arm: Endpoint) -> None:
    snapshot = read()
    told = budget(snapshot)
    assert told.calls == sum(arm.calls().values())
    assert told.calls <= told.allowed
    assert str(told) == f"{told.calls} Azure calls (budget {told.allowed})"


def test_a_list_of_no_pools_is_not_believed(read: Callable[..., Snapshot], arm: Endpoint) -> None:
    arm.order("LIST Microsoft.ContainerService/managedClusters/agentPools", "empty")
    assert [pool.name for pool in items(azure_of(read()).pools)] == ["default"]


def test_rows_of_resource_graph_without_the_cluster_itself_are_no_answer(
    read: Callable[..., Snapshot], arm: Endpoint
) -> None:
    arm.order("POST Microsoft.ResourceGraph/resources", "empty")
    azure = azure_of(read())
    assert azure.neighbours == Unknown(Reason.UNREACHABLE, "Resource Graph does not list the cluster itself")
    told = {each.resource_type: each for each in azure.coverage}
    assert told["Microsoft.ContainerService/managedClusters"].listed_by == "none"


def test_what_was_read_is_diagnosed(read: Callable[..., Snapshot]) -> None:
    found = diagnose(read())
    assert [cause.name for cause in found.causes] == ["snat_exhaustion"]
    [evidence] = found.causes[0].evidence
    assert (evidence.where, evidence.value) == ("kubernetes", "500 failed of 9,500")


def test_coverage_says_of_a_type_that_nobody_could_list_that_it_is_no_answer(
    read: Callable[..., Snapshot], arm: Endpoint
) -> None:
    arm.order("POST Microsoft.ResourceGraph/resources", "deny")
    told = {each.resource_type: each for each in azure_of(read()).coverage}
    clusters = told["Microsoft.ContainerService/managedClusters"]
    assert (clusters.listed_by, clusters.found) == ("none", None)
    assert clusters.because.startswith("denied")
    tables = told["Microsoft.Network/routeTables"]
    assert (tables.listed_by, tables.found) == ("resource_manager", 1)


def test_a_cluster_that_does_not_exist_is_bad_input(read: Callable[..., Snapshot]) -> None:
    with pytest.raises(ProblemsError, match="aks-missing is no AKS cluster in the resource group rg-prod-eus2"):
        read("aks-missing")


def test_a_context_of_another_cluster_is_refused(read: Callable[..., Snapshot], cluster: ApiServerStub) -> None:
    for node in cluster.lists["/api/v1/nodes"]:
        node["metadata"]["labels"]["kubernetes.azure.com/agentpool"] = "elsewhere"
    with pytest.raises(ProblemsError, match="none of its nodes is of the node pools default"):
        read()


def test_all_clients_share_one_token_until_it_is_about_to_expire(arm: Endpoint) -> None:
    arm.clear_faults()
    lasting, short = arm.credential(), arm.credential()
    short.seconds = 60
    for credential, asked in ((lasting, 1), (short, 3)):
        clients = azure_clients(arm.subscription, credential=credential, options=arm.options())
        list(clients.network.virtual_networks.list_all())
        list(clients.containers.managed_clusters.list())
        list(clients.every(f"/subscriptions/{arm.subscription}/providers/Microsoft.Compute/skus", "2021-07-01"))
        clients.close()
        assert credential.asked == asked


def test_without_a_subscription_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    with pytest.raises(ProblemsError, match="No subscription"):
        azure_clients()


def test_the_role_allows_what_is_called_and_nothing_else(read: Callable[..., Snapshot], arm: Endpoint) -> None:
    read()
    role = json.loads(permissions("azure"))
    assert role["Actions"] == list(ROLE_ACTIONS)
    assert all(action.endswith("/read") for action in role["Actions"])
    assert role["NotActions"] == role["DataActions"] == []
    words = {"GET metrics": "Microsoft.Insights/metrics"}
    called = {f"{words.get(operation, operation.partition(' ')[2])}/read" for operation in arm.calls()}
    assert called <= set(role["Actions"])
    # Read only where the subnets have such, or as part of a VNet.
    elsewhere = {
        "Microsoft.Network/natGateways/read",
        "Microsoft.Network/publicIPPrefixes/read",
        "Microsoft.Network/virtualNetworks/subnets/read",
    }
    assert set(role["Actions"]) - called == elsewhere


def test_the_rbac_role_allows_what_is_read_of_kube_system(
    read: Callable[..., Snapshot], cluster: ApiServerStub
) -> None:
    read()
    role = next(each for each in yaml.safe_load_all(permissions("rbac-aks")) if each["kind"] == "Role")
    assert role["metadata"]["namespace"] == "kube-system"
    assert role["rules"] == [dict(rule) for rule in RBAC_RULES]
    named = {path for path, _ in cluster.asked if re.search("/configmaps/|nodenetworkconfigs", path)}
    assert {path.rpartition("/")[2] for path in named} == {
        "nodenetworkconfigs",
        "azure-ip-masq-agent-config",
        "azure-ip-masq-agent-config-reconciled",
    }
