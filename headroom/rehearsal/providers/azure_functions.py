"""The invokes of `azure-native` with which programs look things up."""

from collections.abc import Mapping
from typing import Final

from headroom.rehearsal.arm.settings import TENANT
from headroom.rehearsal.providers import azure_api
from headroom.rehearsal.providers.azure_kinds import (
    CDN,
    CONTAINER_SERVICE,
    NETWORK,
    AFDOrigin,
    AFDOriginGroup,
    AgentPool,
    ArmKind,
    ManagedCluster,
    MetricAlert,
    NatGateway,
    NetworkSecurityGroup,
    PublicIPAddress,
    PublicIPPrefix,
    ResourceGroup,
    RoleAssignment,
    RouteTable,
    Subnet,
    UserAssignedIdentity,
)
from headroom.rehearsal.providers.azure_shapes import CHILD, Shape, to_properties
from headroom.rehearsal.providers.common import Call, Function, ProviderError
from headroom.rehearsal.providers.values import Properties

_GROUP: Final = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
_TOP: Final = frozenset({"id", "location", "tags", "name", "type", "etag", "sku", "kind", "identity"})
_SUBNET: Final = Shape(beside=CHILD.beside, inside={"delegations": CHILD})

_VNET: Final = Shape(beside=_TOP | {"extendedLocation"}, inside={"subnets": _SUBNET, "virtualNetworkPeerings": CHILD})


def _get(path: str, api_version: str, shape: Shape) -> Function:
    def get(call: Call, arguments: Properties) -> Properties:
        parts = {name: str(value).strip("/") for name, value in arguments.items() if value is not None}
        identifier = path.format(subscriptionId=azure_api.subscription_of(call), **parts)
        found = azure_api.get(identifier, api_version)
        if found is None:
            raise ProviderError(
                f'Status=404 Code="ResourceNotFound" Message="The Resource {identifier} was not found."'
            )
        return {"id": identifier, **to_properties(found, shape), "azureApiVersion": api_version}

    return get


def _get_kind(kind: ArmKind) -> Function:
    return _get(kind.path, kind.api_version, kind.shape)


def get_client_config(call: Call, arguments: Properties) -> Properties:
    """Who the provider is."""
    del arguments
    return {
        "clientId": "rehearsal",
        "objectId": "rehearsal",
        "subscriptionId": azure_api.subscription_of(call),
        "tenantId": TENANT,
    }


def _credentials(action: str) -> Function:
    def credentials(call: Call, arguments: Properties) -> Properties:
        identifier = ManagedCluster().identifier(call, arguments)
        return azure_api.post(f"{identifier}/{action}", CONTAINER_SERVICE)

    return credentials


FUNCTIONS: Final[Mapping[str, Function]] = {
    "azure-native:authorization:getClientConfig": get_client_config,
    "azure-native:authorization:getRoleAssignment": _get_kind(RoleAssignment()),
    "azure-native:cdn:getAFDOrigin": _get_kind(AFDOrigin()),
    "azure-native:cdn:getAFDOriginGroup": _get_kind(AFDOriginGroup()),
    "azure-native:cdn:getProfile": _get(
        f"{_GROUP}/providers/Microsoft.Cdn/profiles/{{profileName}}", CDN, Shape(beside=_TOP)
    ),
    "azure-native:containerservice:getAgentPool": _get_kind(AgentPool()),
    "azure-native:containerservice:getManagedCluster": _get_kind(ManagedCluster()),
    "azure-native:containerservice:listManagedClusterAdminCredentials": _credentials("listClusterAdminCredential"),
    "azure-native:containerservice:listManagedClusterUserCredentials": _credentials("listClusterUserCredential"),
    "azure-native:managedidentity:getUserAssignedIdentity": _get_kind(UserAssignedIdentity()),
    "azure-native:monitor:getMetricAlert": _get_kind(MetricAlert()),
    "azure-native:network:getNatGateway": _get_kind(NatGateway()),
    "azure-native:network:getNetworkSecurityGroup": _get_kind(NetworkSecurityGroup()),
    "azure-native:network:getPublicIPAddress": _get_kind(PublicIPAddress()),
    "azure-native:network:getPublicIPPrefix": _get_kind(PublicIPPrefix()),
    "azure-native:network:getRouteTable": _get_kind(RouteTable()),
    "azure-native:network:getSubnet": _get_kind(Subnet()),
    "azure-native:network:getVirtualNetwork": _get(
        f"{_GROUP}/providers/Microsoft.Network/virtualNetworks/{{virtualNetworkName}}", NETWORK, _VNET
    ),
    "azure-native:resources:getResourceGroup": _get_kind(ResourceGroup()),
}
