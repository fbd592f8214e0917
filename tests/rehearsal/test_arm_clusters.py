"""AKS in the simulated Azure: its own codes and texts for each rule, and what a cluster does to its network."""

import itertools
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.rehearsal.conftest import Azure

OVERLAY = {"networkPlugin": "azure", "networkPluginMode": "overlay", "podCidr": "10.244.0.0/16"}
KUBENET = {"networkPlugin": "kubenet", "podCidr": "10.244.0.0/16"}
TABLES = "Microsoft.Network/routeTables"
_numbers = itertools.count(1)


def refusal(azure: Azure, body: dict[str, Any], name: str = "it") -> tuple[str, str, str]:
    """Code, target and text with which AKS refuses a cluster."""
    with pytest.raises(HttpResponseError) as refused:
        azure.make_cluster(name, body)
    error: Any = refused.value.error
    return error.code, error.target, error.message


def with_identity(azure: Azure, body: dict[str, Any], *scopes: str) -> dict[str, Any]:
    identity = azure.identity(*scopes, name=f"aks-{next(_numbers)}")
    return {**body, "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}}


@pytest.fixture
def nodes(azure: Azure) -> str:
    azure.vnet()
    return azure.subnet("nodes", "10.20.0.0/24")


@pytest.mark.parametrize(
    ("profile", "code", "target", "text"),
    [
        (
            {**OVERLAY, "podCidr": "10.20.0.0/20"},
            "NetworkProfileCIDROverlapVNET",
            "networkProfile.podCIDR",
            "NetworkProfile CIDR 10.20.0.0/20 overlaps with reserved VNET CIDR 10.20.0.0/24",
        ),
        (
            {**OVERLAY, "serviceCidr": "10.20.0.0/20", "dnsServiceIP": "10.20.0.10"},
            "ServiceCidrOverlapExistingSubnetsCidr",
            "networkProfile.serviceCIDR",
            "The specified service CIDR 10.20.0.0/20 is conflicted with an existing subnet CIDR 10.20.0.0/24",
        ),
        (
            {**OVERLAY, "dnsServiceIP": "10.0.0.10"},
            "DnsServiceIpOutOfServiceCidr",
            "networkProfile.dnsServiceIP",
            "The DNS service IP 10.0.0.10 is out of the range defined by service CIDR 192.168.128.0/17.",
        ),
        (
            {**OVERLAY, "dnsServiceIP": "192.168.128.1"},
            "DnsServiceIpConflicting",
            "networkProfile.dnsServiceIP",
            "The DNS service IP 192.168.128.1 conflicts with the API server's address.",
        ),
        (
            {"networkPlugin": "kubenet", "networkPluginMode": "overlay"},
            "UnsupportedNetworkPluginModeWithNetworkPlugin",
            "networkProfile.networkPluginMode",
            "NetworkPluginMode overlay is not supported with NetworkPlugin kubenet.",
        ),
        (
            {**KUBENET, "networkPolicy": "azure"},
            "NetworkPolicyAzureNotSupportedForKubenet",
            "networkProfile.networkPolicy",
            "Network policy azure is not supported for kubenet plugin.",
        ),
        (
            {**OVERLAY, "podCidr": "172.16.0.0/12"},
            "InvalidParameter",
            "networkProfile.podCIDR",
            "CIDR 172.16.0.0/12 overlaps with the reserved CIDR 172.30.0.0/16.",
        ),
        (
            {**OVERLAY, "podCidr": "192.168.192.0/18"},
            "PodCidrOverlapServiceCidr",
            "networkProfile.podCIDR",
            "Pod CIDR 192.168.192.0/18 overlaps with service CIDR 192.168.128.0/17.",
        ),
        (
            {**OVERLAY, "outboundType": "managedNATGateway"},
            "ManagedNATGatewayWithCustomVNetNotAllowed",
            "networkProfile.outboundType",
            "OutboundType managedNATGateway is not supported with a custom VNet.",
        ),
        (
            {**OVERLAY, "outboundType": "userDefinedRouting", "loadBalancerProfile": {"allocatedOutboundPorts": 0}},
            "InvalidUserDefinedRoutingWithLoadBalancerProfile",
            "networkProfile.loadBalancerProfile",
            (
                "UserDefinedRouting and load balancer profile are mutually exclusive. Please refer to "
                "http://aka.ms/aks/outboundtype for more details"
            ),
        ),
        (
            {**OVERLAY, "outboundType": "userAssignedNATGateway", "loadBalancerSku": "basic"},
            "UnexpectedLoadBalancerSkuForCurrentOutboundConfiguration",
            "networkProfile.loadBalancerSku",
            "LoadBalancerSku must be standard when outboundType is not loadBalancer.",
        ),
    ],
)
def test_a_network_profile_is_refused_in_akss_own_words(  # noqa: PLR0913, PLR0917  # a case of a table
    azure: Azure, nodes: str, profile: dict[str, Any], code: str, target: str, text: str
) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes}, **profile)

    assert refusal(azure, body) == (code, target, text)


def test_pools_are_counted_at_their_maximum_with_surge_against_the_pod_range(azure: Azure, nodes: str) -> None:
    pool = {"vnetSubnetID": nodes, "enableAutoScaling": True, "minCount": 1, "maxCount": 4}
    body = azure.cluster_body(pool, **{**OVERLAY, "podCidr": "10.244.0.0/22"})

    code, target, text = refusal(azure, body)

    assert (code, target) == ("InsufficientSubnetSize", "networkProfile.podCIDR")
    assert text.startswith(
        "Pre-allocated IPs 1280 exceeds IPs available 1024 in Subnet Cidr 10.244.0.0/22, Subnet Name "
        "networkProfile.podCIDR."
    )


def test_kubenet_has_a_code_of_its_own_for_a_short_pod_range(azure: Azure, nodes: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes, "count": 2}, **{**KUBENET, "podCidr": "10.244.0.0/24"})

    assert refusal(azure, body) == (
        "InsufficientPodCidr",
        "agentPoolProfile.count",
        "Pre-allocated IPs 768 exceeds IPs available 256 in Pod Cidr 10.244.0.0/24",
    )


def test_nodes_without_overlay_need_room_for_their_pods_in_the_subnet(azure: Azure, nodes: str) -> None:
    pool = {"vnetSubnetID": nodes, "count": 8, "maxPods": 30}
    code, target, text = refusal(azure, azure.cluster_body(pool, networkPlugin="azure", version="1.29"))

    assert (code, target) == ("InsufficientSubnetSize", "vnetSubnetID")
    assert "Pre-allocated IPs 279 exceeds IPs available 251 in Subnet Cidr 10.20.0.0/24, Subnet Name nodes." in text


def test_a_gateway_comes_before_the_cluster_that_leaves_by_it(azure: Azure, nodes: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY, outboundType="userAssignedNATGateway")
    without = refusal(azure, body)
    gateway = azure.gateway()
    azure.subnet("nodes", "10.20.0.0/24", natGateway={"id": gateway})
    empty = refusal(azure, body)
    azure.gateway(azure.address())

    assert without == (
        "SubnetNotAssociatedWithNATGateway",
        "networkProfile.outboundType",
        f"Subnet '{nodes}' must have a NAT gateway associated for outbound connection",
    )
    assert empty[0] == "NATGatewayNotAssociatedWithPublicIPOrIPPrefix"
    cluster = azure.make_cluster("it", body)
    assert cluster.network_profile.outbound_type == "userAssignedNATGateway"
    assert cluster.network_profile.load_balancer_profile is None


def test_a_cluster_with_a_load_balancer_is_not_made_where_a_gateway_is(azure: Azure, nodes: str) -> None:
    azure.make_cluster("before", azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY))
    azure.subnet("nodes", "10.20.0.0/24", natGateway={"id": azure.gateway(azure.address())})

    code, target, _ = refusal(azure, azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY))

    assert (code, target) == ("InvalidParameter", "networkProfile.outboundType")
    scaled = azure.cluster_body({"vnetSubnetID": nodes, "count": 4}, **OVERLAY)
    assert azure.make_cluster("before", scaled).agent_pool_profiles[0].count == 4, "those that exist stay updatable"


def test_routes_of_the_users_come_before_the_cluster_that_leaves_by_them(azure: Azure, nodes: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY, outboundType="userDefinedRouting")
    without = refusal(azure, body)
    table = azure.add(TABLES, "table", location="eastus", properties={})
    azure.subnet("nodes", "10.20.0.0/24", routeTable={"id": table})
    empty = refusal(azure, body)

    assert without[0] == "ExistingRouteTableNotAssociatedWithSubnet"
    assert empty[0] == "RouteTableMissingDefaultRouteError"


def test_an_identity_of_the_users_needs_a_role_on_the_subnet_first(azure: Azure, nodes: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY)

    code, _, text = refusal(azure, with_identity(azure, body))

    assert code == "AuthorizationFailed"
    assert "'Microsoft.Network/virtualNetworks/subnets/join/action' over scope" in text
    assert azure.make_cluster("other", with_identity(azure, body, nodes)).provisioning_state == "Succeeded"


def test_the_addresses_by_which_a_cluster_leaves_are_found_from_it(azure: Azure, nodes: str) -> None:
    cluster = azure.make_cluster("it", azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY))

    (reference,) = cluster.network_profile.load_balancer_profile.effective_outbound_i_ps
    name = reference.id.rpartition("/")[2]
    address = azure.network.public_ip_addresses.get(cluster.node_resource_group, name)

    assert address.ip_address.startswith("198.51.100.")
    assert "/loadBalancers/kubernetes/frontendIPConfigurations/" in address.ip_configuration.id


def test_a_kubenet_cluster_has_a_route_a_node_and_cannot_go_while_its_table_is_on_the_subnet(
    azure: Azure, nodes: str
) -> None:
    cluster = azure.make_cluster("old", azure.cluster_body({"vnetSubnetID": nodes}, **KUBENET))
    (table,) = azure.network.route_tables.list(cluster.node_resource_group)

    assert [route.address_prefix for route in table.routes] == [f"10.244.{n}.0/24" for n in range(3)]
    assert azure.network.subnets.get(azure.group, "vnet", "nodes").route_table.id == table.id
    with pytest.raises(HttpResponseError) as held:
        azure.aks.managed_clusters.begin_delete(azure.group, "old").result()
    error: Any = held.value.error
    assert (error.code, error.message) == (
        "InUseRouteTableCannotBeDeleted",
        f"Route table {table.name} is in use and cannot be deleted.",
    )

    azure.subnet("nodes", "10.20.0.0/24")
    azure.aks.managed_clusters.begin_delete(azure.group, "old").result()

    assert list(azure.aks.managed_clusters.list_by_resource_group(azure.group)) == []
    assert not [item for item in azure.arm.resources() if f"/{cluster.node_resource_group}" in item]


def moved(body: dict[str, Any], **profile: Any) -> dict[str, Any]:
    network = {**body["properties"]["networkProfile"], **profile}
    return {**body, "properties": {**body["properties"], "networkProfile": network}}


def test_kubenet_moves_to_overlay_in_place_and_leaves_its_routes(azure: Azure, nodes: str) -> None:
    body = with_identity(azure, azure.cluster_body({"vnetSubnetID": nodes}, **KUBENET), nodes)
    azure.make_cluster("it", body)

    cluster = azure.make_cluster("it", moved(body, networkPlugin="azure", networkPluginMode="overlay"))

    assert cluster.network_profile.network_plugin_mode == "overlay"
    assert azure.network.subnets.get(azure.group, "vnet", "nodes").route_table is None
    assert list(azure.network.route_tables.list(cluster.node_resource_group)) == []


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("policy", "Cannot update cluster to Azure CNI Overlay while using network policies with Azure CNI v1."),
        ("version", "Kubernetes 1.26 is older than 1.27"),
        ("identity", "kubenet needs a user-assigned identity"),
        ("masquerade", "it has an azure-ip-masq-agent configuration of its own"),
        ("shared", "is on subnet gateway too"),
        ("dataplane", "IPAM mode and data plane change one after the other"),
    ],
)
def test_what_stands_in_the_way_of_overlay_is_said(azure: Azure, nodes: str, case: str, reason: str) -> None:
    profile = {**KUBENET, **({"networkPolicy": "calico"} if case == "policy" else {})}
    body = azure.cluster_body({"vnetSubnetID": nodes}, version="1.26" if case == "version" else "1.29", **profile)
    if case != "identity":
        body = with_identity(azure, body, nodes)
    cluster = azure.make_cluster("it", body)
    if case == "masquerade":
        azure.arm.change_cluster(cluster.id, custom_ip_masq=True)
    if case == "shared":
        (table,) = azure.network.route_tables.list(cluster.node_resource_group)
        azure.subnet("gateway", "10.20.1.0/24", routeTable={"id": table.id})
    change = {"networkPlugin": "azure", "networkPluginMode": "overlay"}
    if case == "dataplane":
        change["networkDataplane"] = "cilium"

    assert reason in refusal(azure, moved(body, **change))[2]


def test_nodes_whose_pods_have_addresses_of_the_vnet_need_a_pod_range_for_overlay(azure: Azure, nodes: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes, "maxPods": 30}, networkPlugin="azure")
    azure.make_cluster("it", body)

    assert "podCidr is required" in refusal(azure, moved(body, networkPluginMode="overlay"))[2]
    done = azure.make_cluster("it", moved(body, networkPluginMode="overlay", podCidr="10.244.0.0/16"))
    assert done.network_profile.pod_cidr == "10.244.0.0/16"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"podCidr": "10.244.0.0/15"}, ""),
        ({"podCidr": "10.245.0.0/16"}, "PropertyChangeNotAllowed"),
        ({"podCidr": "10.244.0.0/17"}, "PropertyChangeNotAllowed"),
        ({"serviceCidr": "192.168.128.0/18"}, "PropertyChangeNotAllowed"),
        ({"dnsServiceIP": "192.168.128.11"}, "PropertyChangeNotAllowed"),
        ({"networkPlugin": "kubenet", "networkPluginMode": ""}, "PropertyChangeNotAllowed"),
        ({"outboundType": "none"}, ""),
        ({"outboundType": "block"}, "UpdatingOutboundTypeNotAllowed"),
        ({"outboundType": "userAssignedNATGateway"}, "SubnetNotAssociatedWithNATGateway"),
        ({"networkPolicy": "calico"}, ""),
    ],
)
def test_some_changes_of_an_overlay_are_made_in_place(
    azure: Azure, nodes: str, change: dict[str, Any], code: str
) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY)
    azure.make_cluster("it", body)

    if code:
        assert refusal(azure, moved(body, **change))[0] == code
    else:
        found = azure.make_cluster("it", moved(body, **change)).network_profile.as_dict()
        assert {name: found[name] for name in change} == change


def test_a_cluster_in_a_vnet_of_akss_changes_to_a_managed_gateway_and_not_back(azure: Azure) -> None:
    body = azure.cluster_body({}, **OVERLAY)
    before = azure.make_cluster("it", body).network_profile.load_balancer_profile.effective_outbound_i_ps
    after = azure.make_cluster("it", moved(body, outboundType="managedNATGateway")).network_profile

    assert after.load_balancer_profile is None
    assert len(before) == len(after.nat_gateway_profile.effective_outbound_i_ps) == 1
    assert refusal(azure, moved(body, outboundType="loadBalancer"))[0] == "UpdatingOutboundTypeNotAllowed"


def test_a_full_subnet_fails_the_operation_and_leaves_the_nodes_that_are_there(azure: Azure) -> None:
    azure.vnet()
    small = azure.subnet("small", "10.20.1.0/28")
    body = azure.cluster_body({"vnetSubnetID": small}, **OVERLAY)
    azure.make_cluster("it", body)
    azure.arm.take_addresses(small, 8)
    pool = {"properties": {"count": 4, "vmSize": "Standard_D4s_v5", "vnetSubnetID": small, "mode": "System"}}

    with pytest.raises(HttpResponseError) as full:
        azure.aks.agent_pools.begin_create_or_update(azure.group, "it", "system", pool).result()

    error: Any = full.value.error
    assert error.code == "SubnetIsFull"
    assert "with address prefix 10.20.1.0/28 does not have enough capacity for 1 IP addresses." in error.message
    assert azure.aks.agent_pools.get(azure.group, "it", "system").count == 3


def test_a_pool_is_added_beside_the_others_and_counted_with_them(azure: Azure, nodes: str) -> None:
    azure.make_cluster("it", azure.cluster_body({"vnetSubnetID": nodes}, **{**OVERLAY, "podCidr": "10.244.0.0/21"}))
    operations = azure.aks.agent_pools
    pool = {"count": 3, "vmSize": "Standard_D4s_v5", "vnetSubnetID": nodes}

    made = operations.begin_create_or_update(azure.group, "it", "apps", {"properties": pool}).result()
    with pytest.raises(HttpResponseError) as refused:
        operations.begin_create_or_update(azure.group, "it", "more", {"properties": pool}).result()

    assert (made.mode, made.max_pods) == ("User", 250)
    error: Any = refused.value.error
    assert (error.code, error.target) == ("InsufficientSubnetSize", "networkProfile.podCIDR")
    with pytest.raises(HttpResponseError, match="MustDefineAtLeastOneSystemPool"):
        operations.begin_delete(azure.group, "it", "system").result()
    changed = {"properties": {**pool, "maxPods": 100}}
    with pytest.raises(HttpResponseError, match="PropertyChangeNotAllowed"):
        operations.begin_create_or_update(azure.group, "it", "apps", changed).result()


def test_the_quota_of_cores_limits_the_nodes(azure: Azure, nodes: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY)
    body["location"] = "northeurope"
    azure.arm.set_usages("northeurope", "Microsoft.Compute", {"cores": (4, 16)})
    azure.make_cluster("it", body)

    body["properties"]["agentPoolProfiles"][0]["count"] = 4

    code, _, text = refusal(azure, body)
    assert code == "ErrCode_InsufficientVCPUQuota"
    assert "left regional vcpu quota 0, requested quota 4" in text


def test_changes_of_a_cluster_come_one_after_the_other(azure: Azure, nodes: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY)
    azure.arm.change(cluster_seconds=600)
    try:
        poller = azure.aks.managed_clusters.begin_create_or_update(azure.group, "it", body)
        present = azure.aks.managed_clusters.get(azure.group, "it").provisioning_state
        code, _, text = refusal(azure, body)
        azure.arm.advance(601)
    finally:
        azure.arm.change(cluster_seconds=0)

    assert present == "Creating"
    assert code == "OperationNotAllowed"
    assert text.startswith("Operation is not allowed because there's an in progress")
    assert poller.result().provisioning_state == "Succeeded"


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        ({"count": 0, "mode": "System"}, "must contain at least one node"),
        ({"count": 2, "maxPods": 10}, "has room for 20 pods, and 30 is the least"),
        ({"maxPods": 9}, "must be within 10 to 250, and is 9"),
        ({"enableAutoScaling": True, "minCount": 4, "maxCount": 9}, "is not within minCount and maxCount"),
    ],
)
def test_a_pool_has_a_size_that_aks_takes(azure: Azure, nodes: str, pool: dict[str, Any], text: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes, **pool}, **OVERLAY)

    assert text in refusal(azure, body)[2]


@pytest.mark.parametrize(
    ("pool", "profile", "text"),
    [
        ({"type": "AvailabilitySet"}, OVERLAY, "has virtual machine availability sets"),
        ({"vmSize": "Standard_DC4s_v2"}, OVERLAY, "has DCsv2 machines"),
        ({"osType": "Windows"}, {**OVERLAY, "networkDataplane": "cilium"}, "does not support Windows node pools"),
    ],
)
def test_overlay_takes_neither_every_machine_nor_every_system(
    azure: Azure, nodes: str, pool: dict[str, Any], profile: dict[str, Any], text: str
) -> None:
    assert text in refusal(azure, azure.cluster_body({"vnetSubnetID": nodes, **pool}, **profile))[2]
    if profile == OVERLAY:
        body = with_identity(azure, azure.cluster_body({"vnetSubnetID": nodes, **pool}, **KUBENET), nodes)
        azure.make_cluster("it", body)
        moving = moved(body, networkPlugin="azure", networkPluginMode="overlay")
        assert text in refusal(azure, moving)[2], "nor is it taken in place"


def test_nodes_of_an_overlay_carry_no_name_of_more_than_63_characters(azure: Azure) -> None:
    azure.vnet()
    long = azure.subnet("s" * 64, "10.20.0.0/24")

    refused = refusal(azure, azure.cluster_body({"vnetSubnetID": long}, **OVERLAY))

    assert refused[1:] == (
        "agentPoolProfile.vnetSubnetID",
        f"{'s' * 64} has more than 63 characters, and nodes carry it as a label.",
    )


@pytest.mark.parametrize(("version", "text"), [("1.29", "cannot be uninstalled below Kubernetes 1.30"), ("1.30", "")])
def test_a_policy_engine_goes_from_kubernetes_1_30_on(azure: Azure, nodes: str, version: str, text: str) -> None:
    body = azure.cluster_body({"vnetSubnetID": nodes}, version=version, **OVERLAY, networkPolicy="calico")
    azure.make_cluster("it", body)

    if text:
        assert text in refusal(azure, moved(body, networkPolicy="none"))[2]
    else:
        assert azure.make_cluster("it", moved(body, networkPolicy="none")).network_profile.network_policy == "none"


def test_a_user_pool_is_scaled_to_zero(azure: Azure, nodes: str) -> None:
    azure.make_cluster("it", azure.cluster_body({"vnetSubnetID": nodes}, **OVERLAY))
    pool = {"vmSize": "Standard_D4s_v5", "vnetSubnetID": nodes}
    for count in (3, 0):
        body = {"properties": {**pool, "count": count}}
        made = azure.aks.agent_pools.begin_create_or_update(azure.group, "it", "apps", body).result()

    assert made.count == 0
    assert len(azure.network.subnets.get(azure.group, "vnet", "nodes").ip_configurations) == 3


def test_a_move_to_overlay_that_failed_is_finished_by_the_next_put(azure: Azure, nodes: str) -> None:
    body = with_identity(azure, azure.cluster_body({"vnetSubnetID": nodes}, **KUBENET), nodes)
    azure.make_cluster("it", body)
    overlay = moved(body, networkPlugin="azure", networkPluginMode="overlay")
    azure.arm.order("PUT Microsoft.ContainerService/managedClusters", "fail-later", code="ReimageFailed")

    assert refusal(azure, overlay)[0] == "ReimageFailed"
    assert azure.aks.managed_clusters.get(azure.group, "it").provisioning_state == "Failed"
    assert azure.network.subnets.get(azure.group, "vnet", "nodes").route_table is not None
    assert azure.make_cluster("it", overlay).provisioning_state == "Succeeded"
    assert azure.network.subnets.get(azure.group, "vnet", "nodes").route_table is None


def test_nodes_beyond_the_routes_of_a_table_have_none(azure: Azure) -> None:
    azure.vnet()
    others = [
        {"name": f"r{n}", "properties": {"addressPrefix": f"10.{n // 250}.{n % 250}.0/24", "nextHopType": "None"}}
        for n in range(398)
    ]
    table = azure.add(TABLES, "full", location="eastus", properties={"routes": others})
    nodes = azure.subnet("nodes", "10.20.0.0/24", routeTable={"id": table})
    body = azure.cluster_body({"vnetSubnetID": nodes}, **KUBENET)

    azure.make_cluster("it", with_identity(azure, body, nodes))

    names = [route.name for route in azure.network.route_tables.get(azure.group, "full").routes]
    assert len(names) == 400
    assert names[-2:] == ["aks-system-vmss000000", "aks-system-vmss000001"]
