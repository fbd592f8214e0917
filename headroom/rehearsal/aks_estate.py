"""Azure as a team has it before the incident: a VNet, a cluster with kubenet, a database, a Front Door.

Names and ranges are those of a published post-mortem ("The night our AKS cluster ran out of pod IPs"), but where Azure
would refuse them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from azure.core.rest import HttpRequest
from azure.mgmt.cdn import CdnManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.network import NetworkManagementClient

from headroom.planning.overlay_cluster import NETWORK_CONTRIBUTOR
from headroom.rehearsal.arm.endpoint import Endpoint

LOCATION: Final = "eastus2"
GROUP: Final = "rg-prod-eus2"
VNET: Final = "vnet-spoke"
VNET_CIDR: Final = "10.20.0.0/16"
NODE_SUBNET: Final = "snet-aks-nodes"
NODE_CIDR: Final = "10.20.4.0/22"
SECURITY_GROUP: Final = "nsg-aks-nodes"
OLD_CLUSTER: Final = "aks-prod-eus2"
POD_CIDR: Final = "10.244.0.0/16"
VERSION: Final = "1.33"
SERVICE_CIDR: Final = "10.0.0.0/16"
DNS_SERVICE: Final = "10.0.0.10"
VM_SIZE: Final = "Standard_D4ds_v5"
DATABASE: Final = "sql-billing-eus2"
VAULT: Final = "kv-prod-eus2"
STORAGE: Final = "stprodeus2"
FRONT_DOOR: Final = "fd-checkout-prod"
ORIGIN_GROUP: Final = "checkout"
OLD_ORIGIN: Final = "aks-kubenet"
NEW_ORIGIN: Final = "aks-overlay"
ACTION_GROUP: Final = "on-call"
WORKSPACE: Final = "11111111-1111-1111-1111-111111111111"
CORES: Final = (40, 300)
"""vCPUs of the region that others use, and that it may use in all."""
ANY_API: Final = "2024-05-01"
FAMILY: Final = "standardDDSv5Family"


@dataclass(frozen=True)
class Estate:
    """The simulated Azure of a scenario, and the real SDKs that speak to it."""

    arm: Endpoint
    group: str = GROUP

    @property
    def group_id(self) -> str:
        """The resource group."""
        return f"/subscriptions/{self.arm.subscription}/resourceGroups/{self.group}"

    def id_of(self, type_: str, *names: str) -> str:
        """The id of a resource of the group, such as `id_of("Microsoft.Network/virtualNetworks/subnets", …)`."""
        namespace, *words = type_.split("/")
        pairs = "/".join(f"{word}/{name}" for word, name in zip(words, names, strict=True))
        return f"{self.group_id}/providers/{namespace}/{pairs}"

    @property
    def vnet_id(self) -> str:
        """The VNet."""
        return self.id_of("Microsoft.Network/virtualNetworks", VNET)

    def subnet_id(self, name: str = NODE_SUBNET) -> str:
        """A subnet of the VNet."""
        return self.id_of("Microsoft.Network/virtualNetworks/subnets", VNET, name)

    def cluster_id(self, name: str = OLD_CLUSTER) -> str:
        """A cluster."""
        return self.id_of("Microsoft.ContainerService/managedClusters", name)

    @property
    def origin_group_id(self) -> str:
        """The origin group of the shop."""
        return self.id_of("Microsoft.Cdn/profiles/originGroups", FRONT_DOOR, ORIGIN_GROUP)

    @cached_property
    def network(self) -> NetworkManagementClient:
        """Networks."""
        return NetworkManagementClient(self.arm.credential(), self.arm.subscription, **self.arm.options())

    @cached_property
    def containers(self) -> ContainerServiceClient:
        """AKS."""
        return ContainerServiceClient(self.arm.credential(), self.arm.subscription, **self.arm.options())

    @cached_property
    def cdn(self) -> CdnManagementClient:
        """Front Door."""
        return CdnManagementClient(self.arm.credential(), self.arm.subscription, **self.arm.options())

    def add(self, type_: str, *names: str, **body: Any) -> str:
        """Puts a resource as somebody did long ago; gives its id."""
        identifier = self.id_of(type_, *names)
        self.arm.add_resources([{"id": identifier, **body}])
        return identifier

    def get(self, identifier: str) -> dict[str, Any]:
        """A resource, for types without an SDK here."""
        request = HttpRequest("GET", f"{self.arm.url}{identifier}", params={"api-version": ANY_API})
        response = self.network._client.send_request(request)  # noqa: SLF001 - its pipeline
        response.raise_for_status()
        return dict(response.json())

    def subnet(self, name: str = NODE_SUBNET) -> dict[str, Any]:
        """A subnet's properties, as Azure shows them now."""
        return dict(self.network.subnets.get(self.group, VNET, name).as_dict())

    def outbound_address(self, cluster: str) -> str:
        """The public address with which a cluster's pods are seen; empty where there is no way out.

        A NAT gateway on the nodes' subnet comes before the load balancer, whatever the cluster's outbound type says
        (Azure NAT Gateway documentation, nat-overview).
        """
        found = self.containers.managed_clusters.get(self.group, cluster)
        profile: Any = found.network_profile
        pools: Any = found.agent_pool_profiles
        subnet_id = pools[0].vnet_subnet_id
        gateway = self.subnet(subnet_id.rpartition("/")[2])["properties"].get("natGateway")
        if gateway:
            nat: Any = self.network.nat_gateways.get(self.group, gateway["id"].rpartition("/")[2])
            return self._address_of(nat.public_ip_addresses[0].id)
        balancer = profile.load_balancer_profile
        if balancer is not None and balancer.effective_outbound_i_ps:
            return self._address_of(balancer.effective_outbound_i_ps[0].id)
        return ""

    def _address_of(self, identifier: str) -> str:
        words = identifier.split("/")
        return str(self.network.public_ip_addresses.get(words[4], words[-1]).ip_address)


def kubenet_profile(**changes: Any) -> dict[str, Any]:
    """The network profile of a cluster with kubenet; `None` leaves a field out."""
    profile = {
        "networkPlugin": "kubenet",
        "podCidr": POD_CIDR,
        "serviceCidr": SERVICE_CIDR,
        "dnsServiceIP": DNS_SERVICE,
        "outboundType": "loadBalancer",
        "loadBalancerSku": "standard",
        **changes,
    }
    return {key: value for key, value in profile.items() if value is not None}


def pool(name: str, count: int, **changes: Any) -> dict[str, Any]:
    """A node pool of kubenet's size."""
    return {
        "name": name,
        "mode": "User",
        "count": count,
        "vmSize": VM_SIZE,
        "maxPods": 110,
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "availabilityZones": ["1", "2", "3"],
        **changes,
    }


def make_network(estate: Estate, *, node_cidr: str = NODE_CIDR) -> None:
    """The resource group, the VNet and the nodes' subnet with a security group and a service endpoint."""
    arm = estate.arm
    arm.add_resources([{"id": estate.group_id, "location": LOCATION}])
    estate.add("Microsoft.Insights/actionGroups", ACTION_GROUP, location="global", properties={})
    rules = estate.add("Microsoft.Network/networkSecurityGroups", SECURITY_GROUP, location=LOCATION, properties={})
    space = {"addressSpace": {"addressPrefixes": [VNET_CIDR]}}
    estate.add("Microsoft.Network/virtualNetworks", VNET, location=LOCATION, properties=space)
    properties = {
        "addressPrefix": node_cidr,
        "networkSecurityGroup": {"id": rules},
        "serviceEndpoints": [{"service": "Microsoft.Storage", "locations": [LOCATION]}],
    }
    estate.add("Microsoft.Network/virtualNetworks/subnets", VNET, NODE_SUBNET, properties=properties)
    arm.set_usages(LOCATION, "Microsoft.Compute", {"cores": CORES, FAMILY: CORES})
    arm.name_size(VM_SIZE, LOCATION, vcpus=4, family=FAMILY)


def make_cluster(
    estate: Estate,
    *pools: Mapping[str, Any],
    name: str = OLD_CLUSTER,
    version: str = VERSION,
    identity: Mapping[str, Any] | None = None,
    **profile: Any,
) -> str:
    """A cluster as `az aks create` made it years ago, in the nodes' subnet; gives its id."""
    subnet = estate.subnet_id()
    return estate.add(
        "Microsoft.ContainerService/managedClusters",
        name,
        location=LOCATION,
        identity=dict(identity or {"type": "SystemAssigned"}),
        properties={
            "dnsPrefix": name,
            "kubernetesVersion": version,
            "networkProfile": kubenet_profile(**profile),
            "agentPoolProfiles": [{"vnetSubnetID": subnet, **each} for each in pools],
        },
    )


def make_consumers(estate: Estate, address: str) -> None:
    """Those who know the cluster by its address: a database, a vault, and a storage account whose rule does nothing."""
    estate.add("Microsoft.Sql/servers", DATABASE, location=LOCATION, properties={"publicNetworkAccess": "Enabled"})
    rule = {"startIpAddress": address, "endIpAddress": address}
    estate.add("Microsoft.Sql/servers/firewallRules", DATABASE, "aks-egress", properties=rule)
    rules = {"defaultAction": "Deny", "ipRules": [{"value": f"{address}/32"}], "virtualNetworkRules": []}
    vault = {"networkAcls": rules, "publicNetworkAccess": "Enabled"}
    estate.add("Microsoft.KeyVault/vaults", VAULT, location=LOCATION, properties=vault)
    account = {"networkAcls": {**rules, "ipRules": [{"value": address}]}}
    estate.add("Microsoft.Storage/storageAccounts", STORAGE, location=LOCATION, kind="StorageV2", properties=account)


def make_front_door(estate: Estate) -> None:
    """A Front Door as most are: one origin at the default weight, and a latency sensitivity of nothing."""
    profile = "Microsoft.Cdn/profiles"
    estate.add(profile, FRONT_DOOR, location="global", sku={"name": "Standard_AzureFrontDoor"}, properties={})
    settings = {
        "loadBalancingSettings": {
            "sampleSize": 4,
            "successfulSamplesRequired": 3,
            "additionalLatencyInMilliseconds": 0,
        },
        "healthProbeSettings": {
            "probePath": "/healthz",
            "probeProtocol": "Https",
            "probeRequestType": "HEAD",
            "probeIntervalInSeconds": 30,
        },
        "sessionAffinityState": "Disabled",
    }
    group = estate.add(f"{profile}/originGroups", FRONT_DOOR, ORIGIN_GROUP, properties=settings)
    origin = {
        "hostName": "kubenet.checkout.example.com",
        "originHostHeader": "checkout.example.com",
        "weight": 1000,
        "priority": 1,
        "enabledState": "Enabled",
    }
    estate.add(f"{profile}/originGroups/origins", FRONT_DOOR, ORIGIN_GROUP, OLD_ORIGIN, properties=origin)
    estate.add(f"{profile}/afdEndpoints", FRONT_DOOR, "shop", location="global", properties={})
    route = {"originGroup": {"id": group}, "patternsToMatch": ["/*"]}
    estate.add(f"{profile}/afdEndpoints/routes", FRONT_DOOR, "shop", "all", properties=route)


def write_balancer_metrics(estate: Estate, now: float, *, cluster: str = OLD_CLUSTER) -> None:
    """What the cluster's load balancer counted in the last minutes: no connection failed."""
    found: Any = estate.containers.managed_clusters.get(estate.group, cluster)
    balancer = (
        f"/subscriptions/{estate.arm.subscription}/resourceGroups/{found.node_resource_group}/providers/"
        "Microsoft.Network/loadBalancers/kubernetes"
    )
    points = [(now - 60.0 * minute, 0.0) for minute in range(1, 6)]
    estate.arm.write_metric(balancer, "SnatConnectionCount", points, ConnectionState="Failed")
    for metric, value in (
        ("SnatConnectionCount", 40.0),
        ("UsedSnatPorts", 300.0),
        ("AllocatedSnatPorts", 9216.0),
        ("VipAvailability", 100.0),
    ):
        estate.arm.write_metric(balancer, metric, [(when, value) for when, _ in points])


def grant(estate: Estate, identity: str) -> None:
    """Gives a managed identity the role that AKS needs on the nodes' subnet."""
    principal = estate.get(identity)["properties"]["principalId"]
    role = f"/providers/Microsoft.Authorization/roleDefinitions/{NETWORK_CONTRIBUTOR}"
    assignment = f"{estate.subnet_id()}/providers/Microsoft.Authorization/roleAssignments/aks"
    properties = {"principalId": principal, "roleDefinitionId": role}
    estate.arm.add_resources([{"id": assignment, "properties": properties}])


def free_addresses(estate: Estate, name: str = NODE_SUBNET) -> int:
    """Free addresses of a subnet, as Azure counts them."""
    usages: Any = estate.network.virtual_networks.list_usage(estate.group, VNET)
    usage = next(each for each in usages if each.id.rpartition("/")[2] == name)
    return int(usage.limit - usage.current_value)
