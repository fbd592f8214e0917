"""Which clusters can go to overlay in place: every rule of the documentation, case by case."""

from dataclasses import replace
from typing import Any

import pytest

from headroom.addresses.blocks import Block
from headroom.facts.azure import (
    AgentPool,
    Azure,
    AzureRouteTable,
    AzureSubnet,
    IpMasqAgent,
    ManagedCluster,
    NetworkProfile,
    VirtualNetwork,
)
from headroom.facts.values import Reason, Unknown
from headroom.planning.aks_eligibility import POLICY_GAP, UNREACHABLE, Answer, Eligibility, in_place

VNET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/spoke"
SUBNET = f"{VNET}/subnets/nodes"
TABLE = "/subscriptions/s/resourceGroups/mc/providers/Microsoft.Network/routeTables/aks"
DENIED = Unknown(Reason.DENIED, "AuthorizationFailed")

NETWORK = NetworkProfile(
    network_plugin="kubenet",
    network_plugin_mode=None,
    network_policy=None,
    network_dataplane="azure",
    pod_cidr="10.244.0.0/16",
    service_cidr="10.2.0.0/16",
    dns_service_ip="10.2.0.10",
)
CLUSTER = ManagedCluster(
    cluster_id="/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks",
    name="aks",
    current_kubernetes_version="1.33.2",
    identity_type="UserAssigned",
    network=NETWORK,
)
POOL = AgentPool(
    name="default",
    count=9,
    autoscaling=True,
    minimum=9,
    maximum=20,
    max_pods=110,
    max_surge="10%",
    os_type="Linux",
    vm_size="Standard_D4ds_v5",
    pool_type="VirtualMachineScaleSets",
    node_subnet_id=SUBNET,
    pod_subnet_id=None,
)
WINDOWS = replace(POOL, name="win", os_type="Windows")
NODES = AzureSubnet(subnet_id=SUBNET, name="nodes", prefixes=("10.20.4.0/22",), route_table_id=TABLE)
ROUTES = AzureRouteTable(route_table_id=TABLE, name="aks", routes=(), subnet_ids=(SUBNET,))
LONG = f"{VNET}/subnets/{'n' * 64}"


def azure(
    *,
    cluster: Any = CLUSTER,
    pools: Any = (POOL,),
    subnets: Any = (NODES,),
    tables: Any = (ROUTES,),
    masq: Any = None,
    **network: Any,
) -> Azure:
    """A cluster that may go, with changes."""
    if network:
        cluster = replace(cluster, network=replace(cluster.network, **network))
    vnet = VirtualNetwork(vnet_id=VNET, name="spoke", prefixes=("10.20.0.0/16",), subnets=subnets, peerings=())
    return Azure(cluster=cluster, pools=pools, vnets=(vnet,), route_tables=tables, ip_masq=masq)


def answers(found: Eligibility, rule: str) -> list[Answer]:
    """What a rule said."""
    return [condition.answer for condition in found.conditions if condition.rule == rule]


def test_a_plain_kubenet_cluster_may_go_and_keeps_its_range() -> None:
    found = in_place(azure(), None)
    assert found.answer is Answer.ALLOWS
    assert [condition.rule for condition in found.conditions] == [
        "plugin",
        "pod-subnet",
        "version",
        "network-policy",
        "dataplane",
        "identity",
        "route-table",
        "custom-ip-masq",
        "pod-cidr",
    ]
    assert found.conditions[-1].because == (
        "10.244.0.0/16 overlaps nothing, and its 256 /24s hold the 22 nodes of all pools at their largest."
    )
    assert POLICY_GAP not in found.consequences
    assert "All node pools are reimaged at the same time" in found.consequences[0]


@pytest.mark.parametrize(
    ("changes", "rule", "answer"),
    [
        ({"network_plugin": "azure", "network_plugin_mode": "overlay"}, "plugin", Answer.FORBIDS),
        ({"network_plugin": "none"}, "plugin", Answer.FORBIDS),
        ({"network_plugin": DENIED}, "plugin", Answer.UNKNOWN),
        ({"pools": (replace(POOL, pod_subnet_id=f"{VNET}/subnets/pods"),)}, "pod-subnet", Answer.FORBIDS),
        ({"pools": (replace(POOL, pod_subnet_id=DENIED),)}, "pod-subnet", Answer.UNKNOWN),
        ({"pools": DENIED}, "pod-subnet", Answer.UNKNOWN),
        ({"cluster": replace(CLUSTER, current_kubernetes_version="1.26.12")}, "version", Answer.FIRST),
        ({"cluster": replace(CLUSTER, current_kubernetes_version=DENIED)}, "version", Answer.UNKNOWN),
        ({"network_policy": "calico"}, "network-policy", Answer.FORBIDS),
        ({"network_plugin": "azure", "network_policy": "azure"}, "network-policy", Answer.FIRST),
        ({"network_policy": DENIED}, "network-policy", Answer.UNKNOWN),
        (
            {"network_plugin": "azure", "network_policy": "cilium", "network_dataplane": "cilium"},
            "network-policy",
            Answer.UNKNOWN,
        ),
        ({"network_plugin": "azure", "network_policy": "calico"}, "network-policy", Answer.FIRST),
        ({"network_policy": "none"}, "network-policy", Answer.ALLOWS),
        ({"cluster": replace(CLUSTER, current_kubernetes_version="1.27.0")}, "version", Answer.ALLOWS),
        ({"network_dataplane": "cilium", "pools": (POOL, WINDOWS)}, "windows", Answer.FORBIDS),
        ({"pools": (POOL, replace(WINDOWS, node_image_version="AKSWindows-20348.1668.1"))}, "windows", Answer.ALLOWS),
        ({"pools": (POOL, replace(WINDOWS, node_image_version=None))}, "windows", Answer.UNKNOWN),
        ({"network_dataplane": DENIED}, "dataplane", Answer.UNKNOWN),
        ({"cluster": replace(CLUSTER, identity_type="SystemAssigned")}, "identity", Answer.FIRST),
        ({"cluster": replace(CLUSTER, identity_type=None)}, "identity", Answer.FIRST),
        ({"cluster": replace(CLUSTER, identity_type=DENIED)}, "identity", Answer.UNKNOWN),
        (
            {
                "subnets": (
                    NODES,
                    AzureSubnet(subnet_id=f"{VNET}/subnets/gateway", name="gateway", route_table_id=TABLE.upper()),
                )
            },
            "route-table",
            Answer.FIRST,
        ),
        ({"subnets": DENIED}, "route-table", Answer.UNKNOWN),
        ({"subnets": (replace(NODES, route_table_id=DENIED),)}, "route-table", Answer.UNKNOWN),
        ({"tables": DENIED}, "route-table", Answer.UNKNOWN),
        ({"tables": (replace(ROUTES, subnet_ids=DENIED),)}, "route-table", Answer.UNKNOWN),
        ({"subnets": (replace(NODES, route_table_id=None),), "tables": ()}, "route-table", Answer.ALLOWS),
        ({"masq": IpMasqAgent(custom=True)}, "custom-ip-masq", Answer.FIRST),
        ({"masq": DENIED}, "custom-ip-masq", Answer.UNKNOWN),
        (
            {
                "pools": (
                    POOL,
                    replace(POOL, name="win", os_type="Windows", node_image_version="AKSWindows-20348.1547.1"),
                )
            },
            "windows",
            Answer.FIRST,
        ),
        (
            {
                "pools": (
                    POOL,
                    replace(POOL, name="win", os_type="Windows", node_image_version="AKSWindows-20348.2113.1"),
                )
            },
            "windows",
            Answer.ALLOWS,
        ),
        ({"pools": (replace(POOL, pool_type="AvailabilitySet"),)}, "scale-sets", Answer.FORBIDS),
        ({"pools": (replace(POOL, vm_size="Standard_DC4s_v2"),)}, "vm-size", Answer.FORBIDS),
        ({"pools": (replace(POOL, vm_size="standard_dc8_v2"),)}, "vm-size", Answer.FORBIDS),
        ({"pools": (replace(POOL, maximum=240),)}, "pod-cidr-full", Answer.FIRST),
        ({"pools": (replace(POOL, max_surge="many"),)}, "pod-cidr", Answer.UNKNOWN),
        ({"service_cidr": DENIED}, "pod-cidr", Answer.UNKNOWN),
        ({"subnets": (replace(NODES, prefixes=DENIED),)}, "pod-cidr", Answer.UNKNOWN),
        (
            {"pools": (replace(POOL, node_subnet_id=LONG),), "subnets": (replace(NODES, subnet_id=LONG),)},
            "names",
            Answer.FORBIDS,
        ),
        ({"pools": (replace(POOL, maximum=DENIED),)}, "pod-cidr", Answer.UNKNOWN),
    ],
)
def test_each_rule_says_what_the_documentation_says(changes: dict[str, Any], rule: str, answer: Answer) -> None:
    found = in_place(azure(**changes), None)
    assert answer in answers(found, rule)
    assert found.answer is not Answer.ALLOWS or answer is Answer.ALLOWS


def test_a_policy_engine_below_1_30_needs_an_upgrade_before_it_can_go() -> None:
    old = replace(CLUSTER, current_kubernetes_version="1.29.9")
    found = in_place(azure(cluster=old, network_plugin="azure", network_policy="azure"), Block.parse("10.244.0.0/16"))
    (condition,) = [each for each in found.conditions if each.rule == "network-policy"]
    assert condition.next_step.startswith("Upgrade to Kubernetes 1.30")
    assert POLICY_GAP in found.consequences


def test_azure_npm_ends_earlier_for_windows() -> None:
    """AKS documentation, use-network-policies."""
    for pools, told in (
        ((POOL,), "retired: on 2028-09-30 for Linux."),
        ((POOL, WINDOWS), "2028-09-30 for Linux and 2026-09-30 for Windows."),
    ):
        found = in_place(
            azure(pools=pools, network_plugin="azure", network_policy="azure"), Block.parse("100.64.0.0/16")
        )
        [condition] = [each for each in found.conditions if each.rule == "network-policy"]
        assert told in condition.because.replace(", ", " and "), condition.because


def test_addresses_of_the_vnet_need_a_range_first_and_identity_is_no_matter() -> None:
    flat = azure(cluster=replace(CLUSTER, identity_type="SystemAssigned"), network_plugin="azure", pod_cidr=None)
    assert answers(in_place(flat, None), "pod-cidr") == [Answer.FIRST]
    found = in_place(flat, Block.parse("100.64.0.0/16"))
    assert found.answer is Answer.ALLOWS
    assert answers(found, "identity") == []


@pytest.mark.parametrize(
    ("cidr", "rule"),
    [
        ("172.16.0.0/12", "reserved-range"),
        ("10.2.0.0/16", "range-overlap"),
        ("10.20.4.0/22", "range-overlap"),
        ("10.245.0.0/20", "pod-cidr-full"),
        ("10.20.128.0/17", "pod-cidr-in-vnet"),
    ],
)
def test_a_range_that_does_not_fit_is_named(cidr: str, rule: str) -> None:
    found = in_place(azure(), Block.parse(cidr))
    assert found.answer is Answer.FIRST
    assert rule in {condition.rule for condition in found.of(Answer.FIRST)}


def test_where_page_and_release_notes_differ_the_stricter_holds_until_overridden() -> None:
    case = azure(masq=IpMasqAgent(custom=True))
    cidr = Block.parse("10.20.128.0/17")
    assert in_place(case, cidr).answer is Answer.FIRST
    found = in_place(case, cidr, allow=("custom-ip-masq", "pod-cidr-in-vnet"))
    assert found.answer is Answer.ALLOWS
    assert all("but was overridden" in each.because for each in found.conditions if each.rule == "custom-ip-masq")


@pytest.mark.parametrize("plugin", ["kubenet", "azure"])
def test_a_range_in_a_subnet_of_somebody_else_is_refused_whatever_is_allowed(plugin: str) -> None:
    """The release notes let a range be in the VNet, and in none of its subnets."""
    other = replace(
        NODES, subnet_id=f"{VNET}/subnets/data", name="data", prefixes=("10.20.200.0/24",), route_table_id=None
    )
    found = in_place(
        azure(subnets=(NODES, other), network_plugin=plugin), Block.parse("10.20.128.0/17"), allow=("pod-cidr-in-vnet",)
    )
    assert found.answer is Answer.FIRST
    assert [each.rule for each in found.of(Answer.FIRST)] == ["subnet-overlap"]
    assert "NetworkProfileCIDROverlapVNET" in found.of(Answer.FIRST)[0].because


def test_a_route_table_that_a_subnet_of_another_vnet_has_is_shared_too() -> None:
    spoke = VNET.replace("spoke", "edge")
    table = replace(ROUTES, subnet_ids=(SUBNET.upper(), f"{spoke}/subnets/gateway"))
    found = in_place(azure(tables=(table,)), None)
    assert found.answer is Answer.FIRST
    [condition] = [each for each in found.conditions if each.rule == "route-table"]
    assert "is that of edge/gateway too" in condition.because


def test_a_subnet_in_the_range_of_services_stops_the_update_as_it_does_an_upgrade() -> None:
    """Azure support, error codes of AKS: ServiceCidrOverlapExistingSubnetsCidr."""
    other = replace(
        NODES, subnet_id=f"{VNET}/subnets/data", name="data", prefixes=("10.20.200.0/24",), route_table_id=None
    )
    found = in_place(azure(subnets=(NODES, other), service_cidr="10.20.128.0/17"), None)
    [condition] = found.of(Answer.FIRST)
    assert condition.rule == "service-cidr"
    assert "10.20.128.0/17 overlaps 10.20.200.0/24" in condition.because
    assert "ServiceCidrOverlapExistingSubnetsCidr" in condition.because
    assert condition.next_step.startswith("Take that subnet out of it")


def test_front_ends_of_internal_load_balancers_take_addresses_of_the_nodes_subnet() -> None:
    """Nodes, surge and internal load balancers share it (AKS documentation, concepts-network-azure-cni-overlay)."""
    pool = replace(POOL, maximum=24, max_surge="1")
    for front_ends, answer in ((2, Answer.ALLOWS), (3, Answer.FIRST)):
        owners = {"virtualMachineScaleSets": 9, "loadBalancers": front_ends}
        nodes = replace(NODES, prefixes=("10.20.4.0/27",), ip_configuration_owners=owners)
        found = in_place(azure(pools=(pool,), subnets=(nodes,)), None)
        assert found.answer is answer, "27 addresses hold 25 nodes and 2 others"
    [condition] = found.of(Answer.FIRST)
    assert condition.rule == "node-subnet-full"
    assert "need 28 with surge, 3 of them held by load balancers and others" in condition.because
    assert "Take a /26" not in condition.because, "it is the next step, and said once"


def test_pods_with_addresses_of_the_vnet_can_be_reached_no_more_and_it_is_said() -> None:
    flat = azure(network_plugin="azure", pod_cidr=None)
    assert UNREACHABLE in in_place(flat, Block.parse("100.64.0.0/16")).consequences
    assert UNREACHABLE not in in_place(azure(), None).consequences


def test_pools_with_subnets_of_their_own_are_held_to_each_of_them() -> None:
    other = replace(NODES, subnet_id=f"{VNET}/subnets/jobs", name="jobs", prefixes=("10.20.8.0/28",))
    jobs = replace(POOL, name="jobs", node_subnet_id=other.subnet_id, maximum=10, max_surge="1")
    assert in_place(azure(pools=(POOL, jobs), subnets=(NODES, other)), None).answer is Answer.ALLOWS
    crowded = in_place(azure(pools=(POOL, replace(jobs, maximum=11)), subnets=(NODES, other)), None)
    assert [each.rule for each in crowded.of(Answer.FIRST)] == ["node-subnet-full"]
    assert "10.20.8.0/28" in crowded.of(Answer.FIRST)[0].because


@pytest.mark.parametrize(("version", "answer"), [("1.31.9", Answer.ALLOWS), ("1.32.0", Answer.FIRST)])
def test_the_surge_of_the_clusters_version_counts_where_a_pool_names_none(version: str, answer: Answer) -> None:
    pool = replace(POOL, maximum=240, max_surge=None)
    found = in_place(azure(cluster=replace(CLUSTER, current_kubernetes_version=version), pools=(pool,)), None)
    assert found.answer is answer, "256 /24s hold 241 nodes, and not 264"


@pytest.mark.parametrize("what", ["prefixes", "subnets", "peerings"])
def test_a_part_of_the_vnet_that_was_not_read_is_no_yes(what: str) -> None:
    vnet = VirtualNetwork(vnet_id=VNET, name="spoke", prefixes=("10.20.0.0/16",), subnets=(NODES,), peerings=())
    unread: dict[str, Any] = {what: DENIED}
    case = replace(azure(network_plugin="azure"), vnets=(replace(vnet, **unread),))
    assert answers(in_place(case, Block.parse("100.64.0.0/16")), "pod-cidr") == [Answer.UNKNOWN]


def test_a_cluster_that_could_not_be_read_is_no_yes() -> None:
    for broken in (Azure(), Azure(cluster=DENIED), azure(cluster=replace(CLUSTER, network=DENIED))):
        assert in_place(broken, None).answer is Answer.UNKNOWN
