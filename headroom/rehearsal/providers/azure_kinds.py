"""The resource types of `azure-native` that Headroom's stacks use, each a path, an API version and names.

As the real provider: inputs are compared with the old inputs; every part of the path replaces, and beside it what
provider/pkg/gen/replacement.go lists since pulumi-azure-native #4771; a name that is left out gets a random end and
lets the replacement come first; a location that is left out is the group's. A creation is refused where the resource
is there already. What an update leaves out of a PUT is gone in Azure, but for children that are resources of their
own, which the provider reads and sends again (`maintained`).
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from headroom.rehearsal.providers import azure_api
from headroom.rehearsal.providers.azure_shapes import CHILD, Shape, followed, foreseen, to_body, to_properties, writable
from headroom.rehearsal.providers.common import (
    Call,
    Change,
    Failure,
    Found,
    PartlyDoneError,
    ProviderError,
    ResourceKind,
    name_of,
)
from headroom.rehearsal.providers.values import UNKNOWN, Difference, Properties, compare

CREATE_FIRST: Final = "__createBeforeDelete"
"""Input with which the provider notes that it chose the name."""

NETWORK: Final = "2024-05-01"
CONTAINER_SERVICE: Final = "2025-09-01"
CDN: Final = "2025-06-01"

_GROUP: Final = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
_TOP: Final = frozenset({"id", "location", "tags"})
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class ArmKind(ResourceKind):
    """A resource of Azure Resource Manager."""

    path: str
    api_version: str
    shape: Shape
    auto_name: ClassVar[str] = ""
    """The part of the path that the provider names where the program does not; empty for none."""
    guid_name: ClassVar[bool] = False
    maintained: ClassVar[frozenset[str]] = frozenset()
    """Children that an update without them keeps."""
    auto_location: ClassVar[bool] = True
    delete_before_replace = True
    restores_ignored = False

    @property
    def title(self) -> str:  # type: ignore[override]  # the token says it
        """What error messages call it."""
        return self.token

    @property
    def in_path(self) -> tuple[str, ...]:
        """Inputs that are part of the path."""
        return tuple(name for name in _PARAMETER.findall(self.path) if name != "subscriptionId")

    @property
    def inputs(self) -> frozenset[str]:
        """All inputs; the provider adds the API version to those of the program."""
        return super().inputs | {"azureApiVersion"}

    @property
    def outputs_alone(self) -> frozenset[str]:
        """What only Azure decides, the API version left out, which is known."""
        return self.outputs - {"azureApiVersion"}

    # --- inputs -------------------------------------------------------------------------------------------

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """What is required is there, and what is not known is refused; in the real provider's words."""
        given = self.with_defaults(call, inputs)
        failures = [
            Failure("", f"missing required property '{name}'{self._hint(name)}")
            for name in sorted(self.required)
            if given.get(name) is None
        ]
        others = [failure for failure in super().check(call, inputs) if not failure.reason.startswith("Missing")]
        return failures + others

    @staticmethod
    def _hint(name: str) -> str:
        if name != "location":
            return ""
        return ". Either set it explicitly or configure it with 'pulumi config set azure-native:location <value>'."

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """Name, location and API version where the program leaves them out."""
        given = dict(inputs)
        old = call.old_inputs
        if self.auto_name and given.get(self.auto_name) is None:
            if old.get(self.auto_name) is not None:
                given[self.auto_name] = old[self.auto_name]
                if old.get(CREATE_FIRST):
                    given[CREATE_FIRST] = True
            else:
                given[self.auto_name] = self._made_name(call)
                given[CREATE_FIRST] = True
        if self.auto_location and "location" in super().inputs and given.get("location") is None:
            place = old.get("location") or call.configuration.get("location") or self._group_location(call, given)
            if place:
                given["location"] = place
        given.setdefault("azureApiVersion", self.api_version)
        return given

    def _made_name(self, call: Call) -> str:
        seed = call.seed or call.urn.encode()
        if self.guid_name:
            return str(uuid.UUID(bytes=hashlib.sha256(seed).digest()[:16]))
        return f"{name_of(call.urn)}{hashlib.sha256(seed).hexdigest()[:8]}"

    @staticmethod
    def _group_location(call: Call, inputs: Mapping[str, Any]) -> str | None:
        group = inputs.get("resourceGroupName")
        if group is None:
            return None
        if group == UNKNOWN:
            return UNKNOWN
        path = _GROUP.format(subscriptionId=azure_api.subscription_of(call), resourceGroupName=group)
        found = azure_api.get(path, azure_api.GROUPS_VERSION)
        return str(found["location"]) if found else None

    # --- what an update would change ----------------------------------------------------------------------

    def differences(self, call: Call, change: Change) -> list[Difference]:
        """Old inputs against new ones."""
        del call
        found: list[Difference] = []
        replacing = self.replaces | set(self.in_path)
        for name in sorted(self.inputs):
            old, new = change.old_inputs.get(name), change.new_inputs.get(name)
            if name == "location" and _same_place(old, new):
                continue
            found += [_judged(item, replacing) for item in _compared(name, old, new)]
        return found

    def deletes_before_replace(self, change: Change) -> bool:
        """As the real one: unless the provider chose the name."""
        return not change.old_inputs.get(CREATE_FIRST)

    def preview_create(self, call: Call, inputs: Properties) -> Properties:
        """Inputs that come back as outputs are known, all else is not."""
        del call
        known = {name: foreseen(value, name) for name, value in inputs.items() if name in self._shown}
        return {**dict.fromkeys(self._shown, UNKNOWN), **known, "azureApiVersion": self.api_version}

    def preview_update(self, call: Call, change: Change) -> Properties:
        """The same; but a name and a location stay."""
        state = self.preview_create(call, change.new_inputs)
        stable: Properties = {name: change.old_state[name] for name in ("name", "location") if name in change.old_state}
        return {**state, **stable}

    @property
    def _shown(self) -> frozenset[str]:
        """Names of the state: outputs, and inputs that are no part of the path alone."""
        return self.outputs | (super().inputs - (set(self.in_path) - self.outputs_named_like_inputs) - {"id"})

    outputs_named_like_inputs: ClassVar[frozenset[str]] = frozenset()
    """Parts of the path that Azure shows among the properties, too."""

    # --- Azure --------------------------------------------------------------------------------------------

    def identifier(self, call: Call, inputs: Mapping[str, Any]) -> str:
        """The id of the resource."""
        parts = {name: str(inputs[name]).strip("/") for name in self.in_path}
        return self.path.format(subscriptionId=azure_api.subscription_of(call), **parts)

    def body(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What is PUT."""
        left_out = {*self.in_path, "azureApiVersion", CREATE_FIRST}
        return to_body({name: value for name, value in inputs.items() if name not in left_out}, self.shape)

    def state(self, response: Mapping[str, Any]) -> Properties:
        """What Azure shows, as outputs."""
        found = to_properties(response, self.shape)
        return {**{name: found.get(name) for name in self._shown}, "azureApiVersion": self.api_version}

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """PUT what is not there yet, wait, and look."""
        identifier = self.identifier(call, inputs)
        if azure_api.get(identifier, self.api_version) is not None:
            raise ProviderError(f"cannot create already existing resource '{identifier}'")
        body = self.body(inputs)
        for name in self.maintained:
            body.setdefault("properties", {}).setdefault(name, [])
        response, operation = azure_api.put(identifier, self.api_version, body)
        identifier = str(response.get("id") or identifier)
        call.note_created(identifier, self.state(response))
        azure_api.wait(call, operation, what=identifier)
        return identifier, self.state(azure_api.get(identifier, self.api_version) or response)

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """GET; the inputs of a refresh follow what changed in Azure, those of an import are all that can be written."""
        del call
        response = azure_api.get(identifier, self.api_version)
        if response is None:
            return None
        present = self.state(response)
        if inputs:
            before, after = self._projected(state, inputs), self._projected(present, inputs)
            return Found(present, followed(inputs, before, after))
        known = super().inputs - {"id"}
        imported = {name: value for name, value in writable(present, inputs=known).items() if name in known}
        return Found(present, {**imported, **self._from_path(identifier), "azureApiVersion": self.api_version})

    def _projected(self, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> Properties:
        """The part of a state that could be inputs; children that the program leaves alone are left out."""
        names = super().inputs - set(self.in_path) - {"id"}
        names -= {name for name in self.maintained if name not in inputs}
        return {name: value for name, value in writable(dict(state), inputs=names).items() if name in names}

    def _from_path(self, identifier: str) -> Properties:
        pattern = _PARAMETER.sub(lambda part: f"(?P<{part[1]}>[^/]+)", re.sub(r"([.$])", r"\\\1", self.path))
        pattern = pattern.replace("(?P<scope>[^/]+)", "(?P<scope>.+)")
        found = re.fullmatch(pattern, identifier, re.IGNORECASE)
        if not found:
            raise ProviderError(f"{identifier} is no id of {self.token}: such an id is {self.path}")
        return {name: value for name, value in found.groupdict().items() if name != "subscriptionId"}

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """PUT the whole body, wait, and look."""
        body = self.body(change.new_inputs)
        properties = body.setdefault("properties", {}) if self.maintained else {}
        missing = [name for name in self.maintained if name not in properties]
        if missing:
            present = azure_api.get(identifier, self.api_version) or {}
            properties |= {name: (present.get("properties") or {}).get(name) or [] for name in missing}
        response, operation = azure_api.put(identifier, self.api_version, body)
        try:
            azure_api.wait(call, operation, what=identifier)
        except azure_api.RefusedError as error:
            # What was accepted and failed later is in the state with its new inputs, and is done again by the next
            # update (provider.go, defaultUpdate; crud.go, HandleErrorWithCheckpoint).
            present = azure_api.get(identifier, self.api_version) or response
            raise PartlyDoneError(
                str(error), identifier=identifier, state=self.state(present), inputs=change.new_inputs
            ) from error
        return self.state(azure_api.get(identifier, self.api_version) or response)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """DELETE and wait; no error if it has gone already."""
        del state
        azure_api.wait(call, azure_api.delete(identifier, self.api_version), what=identifier)

    def explain(self, doing: str, error: Exception) -> str | None:
        """The text for an error of Azure."""
        return azure_api.error_text(doing, error)


def _compared(name: str, old: Any, new: Any) -> list[Difference]:
    """The differences of a property; one that comes or goes is one difference, whatever is in it."""
    if old is None or new is None:
        return [] if old is new else [Difference(path=name, added=old is None, removed=new is None)]
    if not isinstance(old, dict | list) and not isinstance(new, dict | list):
        # A count of 0 is a count, and no autoscaler is a choice: neither is the absence of the property.
        return [] if old == new else [Difference(path=name)]
    return compare(name, old, new)


def _same_place(old: Any, new: Any) -> bool:
    return isinstance(old, str) and isinstance(new, str) and _place(old) == _place(new)


def _place(text: str) -> str:
    return "".join(text.split()).casefold()


def _judged(difference: Difference, replacing: frozenset[str] | set[str]) -> Difference:
    """A difference that replaces: its own path does, or it changes a value below one that does (diff.go)."""
    path = re.sub(r"\[\d+\]", "[]", difference.path)
    above = [path[: match.start()] for match in re.finditer(r"[.\[]", path)]
    changed = not difference.added and not difference.removed
    replace = path in replacing or (changed and any(part in replacing for part in above))
    return Difference(path=difference.path, added=difference.added, removed=difference.removed, replace=replace)


# --- the types --------------------------------------------------------------------------------------------


class ResourceGroup(ArmKind):
    """A resource group."""

    token = "azure-native:resources:ResourceGroup"  # noqa: S105  # no secret
    path = _GROUP
    api_version = "2024-03-01"
    shape = Shape(beside=frozenset(), wrapped=False)
    auto_name = "resourceGroupName"
    optional = frozenset({"location", "managedBy", "resourceGroupName", "tags"})
    outputs = frozenset({"azureApiVersion", "name", "properties", "type"})
    replaces = frozenset({"location"})


class NetworkKind(ArmKind):
    """A type of Microsoft.Network with a location."""

    api_version = NETWORK
    shape = Shape(beside=_TOP | {"sku", "zones", "extendedLocation", "name", "type", "etag"})


class Subnet(ArmKind):
    """A subnet. Nothing replaces it but its path: an edit that detaches its route table is an update."""

    token = "azure-native:network:Subnet"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Network/virtualNetworks/{{virtualNetworkName}}/subnets/{{subnetName}}"
    api_version = NETWORK
    shape = Shape(beside=frozenset({"id", "name", "type", "etag"}), inside={"delegations": CHILD, "routeTable": CHILD})
    auto_name = "subnetName"
    required = frozenset({"resourceGroupName", "virtualNetworkName"})
    optional = frozenset(
        {
            "addressPrefix",
            "addressPrefixes",
            "applicationGatewayIPConfigurations",
            "ipAllocations",
            "ipamPoolPrefixAllocations",
            "defaultOutboundAccess",
            "delegations",
            "id",
            "name",
            "natGateway",
            "networkSecurityGroup",
            "privateEndpointNetworkPolicies",
            "privateLinkServiceNetworkPolicies",
            "routeTable",
            "serviceEndpointPolicies",
            "serviceEndpoints",
            "sharingScope",
            "subnetName",
            "type",
        }
    )
    outputs = frozenset(
        {
            "azureApiVersion",
            "etag",
            "ipConfigurationProfiles",
            "ipConfigurations",
            "privateEndpoints",
            "provisioningState",
            "purpose",
            "resourceNavigationLinks",
            "serviceAssociationLinks",
        }
    )


class NatGateway(NetworkKind):
    """A NAT gateway."""

    token = "azure-native:network:NatGateway"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Network/natGateways/{{natGatewayName}}"
    auto_name = "natGatewayName"
    required = frozenset({"resourceGroupName"})
    optional = frozenset(
        {
            "id",
            "idleTimeoutInMinutes",
            "location",
            "natGatewayName",
            "publicIpAddresses",
            "publicIpPrefixes",
            "sku",
            "tags",
            "zones",
        }
    )
    outputs = frozenset({"azureApiVersion", "etag", "name", "provisioningState", "resourceGuid", "subnets", "type"})


class PublicIPAddress(NetworkKind):
    """A public IP address; a change of sku, location, prefix or version is a new address."""

    token = "azure-native:network:PublicIPAddress"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Network/publicIPAddresses/{{publicIpAddressName}}"
    auto_name = "publicIpAddressName"
    required = frozenset({"resourceGroupName"})
    optional = frozenset(
        {
            "ddosSettings",
            "deleteOption",
            "dnsSettings",
            "extendedLocation",
            "id",
            "idleTimeoutInMinutes",
            "ipTags",
            "location",
            "publicIPAddressVersion",
            "publicIPAllocationMethod",
            "publicIPPrefix",
            "publicIpAddressName",
            "sku",
            "tags",
            "zones",
        }
    )
    optional_computed = frozenset({"ipAddress", "natGateway"})
    not_simulated = frozenset({"linkedPublicIPAddress", "migrationPhase", "servicePublicIPAddress"})
    outputs = frozenset(
        {
            "azureApiVersion",
            "etag",
            "ipConfiguration",
            "name",
            "provisioningState",
            "resourceGuid",
            "type",
        }
    )
    replaces = frozenset({"location", "publicIPAddressVersion", "publicIPPrefix", "sku"})


class PublicIPPrefix(NetworkKind):
    """A range of public addresses."""

    token = "azure-native:network:PublicIPPrefix"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Network/publicIPPrefixes/{{publicIpPrefixName}}"
    auto_name = "publicIpPrefixName"
    required = frozenset({"resourceGroupName"})
    optional = frozenset(
        {
            "extendedLocation",
            "id",
            "ipTags",
            "location",
            "prefixLength",
            "publicIPAddressVersion",
            "publicIpPrefixName",
            "sku",
            "tags",
            "zones",
        }
    )
    optional_computed = frozenset({"natGateway"})
    not_simulated = frozenset({"customIPPrefix"})
    outputs = frozenset(
        {
            "azureApiVersion",
            "etag",
            "ipPrefix",
            "loadBalancerFrontendIpConfiguration",
            "name",
            "provisioningState",
            "publicIPAddresses",
            "resourceGuid",
            "type",
        }
    )


class RouteTable(NetworkKind):
    """A route table; routes that the program leaves out stay as they are."""

    token = "azure-native:network:RouteTable"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Network/routeTables/{{routeTableName}}"
    shape = Shape(beside=_TOP | {"name", "type", "etag"}, inside={"routes": CHILD})
    auto_name = "routeTableName"
    maintained = frozenset({"routes"})
    required = frozenset({"resourceGroupName"})
    optional = frozenset({"disableBgpRoutePropagation", "id", "location", "routeTableName", "routes", "tags"})
    outputs = frozenset({"azureApiVersion", "etag", "name", "provisioningState", "resourceGuid", "subnets", "type"})


class NetworkSecurityGroup(NetworkKind):
    """A network security group; rules that the program leaves out stay as they are."""

    token = "azure-native:network:NetworkSecurityGroup"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Network/networkSecurityGroups/{{networkSecurityGroupName}}"
    shape = Shape(
        beside=_TOP | {"name", "type", "etag"}, inside={"securityRules": CHILD, "defaultSecurityRules": CHILD}
    )
    auto_name = "networkSecurityGroupName"
    maintained = frozenset({"securityRules"})
    required = frozenset({"resourceGroupName"})
    optional = frozenset({"flushConnection", "id", "location", "networkSecurityGroupName", "securityRules", "tags"})
    outputs = frozenset(
        {
            "azureApiVersion",
            "defaultSecurityRules",
            "etag",
            "flowLogs",
            "name",
            "networkInterfaces",
            "provisioningState",
            "resourceGuid",
            "subnets",
            "type",
        }
    )


class SecurityRule(ArmKind):
    """A rule of a network security group, as a resource of its own."""

    token = "azure-native:network:SecurityRule"  # noqa: S105  # no secret
    path = (
        f"{_GROUP}/providers/Microsoft.Network/networkSecurityGroups/{{networkSecurityGroupName}}/securityRules/"
        "{securityRuleName}"
    )
    api_version = NETWORK
    shape = CHILD
    auto_name = "securityRuleName"
    required = frozenset(
        {
            "access",
            "direction",
            "networkSecurityGroupName",
            "priority",
            "protocol",
            "resourceGroupName",
        }
    )
    optional = frozenset(
        {
            "description",
            "destinationAddressPrefix",
            "destinationAddressPrefixes",
            "destinationApplicationSecurityGroups",
            "destinationPortRange",
            "destinationPortRanges",
            "id",
            "name",
            "securityRuleName",
            "sourceAddressPrefix",
            "sourceAddressPrefixes",
            "sourceApplicationSecurityGroups",
            "sourcePortRange",
            "sourcePortRanges",
            "type",
        }
    )
    outputs = frozenset({"azureApiVersion", "etag", "provisioningState"})


class ManagedCluster(ArmKind):
    """An AKS cluster. What Azure changes in place in its network profile, the provider replaces it for."""

    token = "azure-native:containerservice:ManagedCluster"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.ContainerService/managedClusters/{{resourceName}}"
    api_version = CONTAINER_SERVICE
    shape = Shape(beside=_TOP | {"sku", "identity", "extendedLocation", "kind", "name", "type", "eTag", "systemData"})
    auto_name = "resourceName"
    required = frozenset({"resourceGroupName"})
    optional = frozenset(
        {
            "aadProfile",
            "addonProfiles",
            "agentPoolProfiles",
            "aiToolchainOperatorProfile",
            "apiServerAccessProfile",
            "autoScalerProfile",
            "autoUpgradeProfile",
            "azureMonitorProfile",
            "bootstrapProfile",
            "disableLocalAccounts",
            "diskEncryptionSetID",
            "dnsPrefix",
            "enableRBAC",
            "extendedLocation",
            "fqdnSubdomain",
            "httpProxyConfig",
            "identity",
            "identityProfile",
            "ingressProfile",
            "kind",
            "kubernetesVersion",
            "linuxProfile",
            "location",
            "metricsProfile",
            "networkProfile",
            "nodeProvisioningProfile",
            "nodeResourceGroup",
            "nodeResourceGroupProfile",
            "oidcIssuerProfile",
            "podIdentityProfile",
            "privateLinkResources",
            "publicNetworkAccess",
            "resourceName",
            "securityProfile",
            "serviceMeshProfile",
            "servicePrincipalProfile",
            "sku",
            "storageProfile",
            "supportPlan",
            "tags",
            "upgradeSettings",
            "windowsProfile",
            "workloadAutoScalerProfile",
        }
    )
    outputs = frozenset(
        {
            "azureApiVersion",
            "azurePortalFQDN",
            "currentKubernetesVersion",
            "eTag",
            "fqdn",
            "maxAgentPools",
            "name",
            "powerState",
            "privateFQDN",
            "provisioningState",
            "resourceUID",
            "status",
            "systemData",
            "type",
        }
    )
    replaces = frozenset(
        {
            "diskEncryptionSetID",
            "dnsPrefix",
            "fqdnSubdomain",
            "linuxProfile",
            "location",
            "nodeResourceGroup",
            "windowsProfile",
            "networkProfile.serviceCidr",
            "networkProfile.serviceCidrs",
            "networkProfile.dnsServiceIP",
            "networkProfile.networkMode",
            "networkProfile.networkPlugin",
            "networkProfile.networkPluginMode",
            "networkProfile.podCidr",
            "networkProfile.networkDataplane",
            "networkProfile.networkPolicy",
            "networkProfile.outboundType",
        }
    )


class AgentPool(ArmKind):
    """A node pool."""

    token = "azure-native:containerservice:AgentPool"  # noqa: S105  # no secret
    path = (
        f"{_GROUP}/providers/Microsoft.ContainerService/managedClusters/{{resourceName}}/agentPools/{{agentPoolName}}"
    )
    api_version = CONTAINER_SERVICE
    shape = Shape(beside=frozenset({"id", "name"}))
    auto_name = "agentPoolName"
    required = frozenset({"resourceGroupName", "resourceName"})
    optional = frozenset(
        {
            "agentPoolName",
            "availabilityZones",
            "capacityReservationGroupID",
            "count",
            "creationData",
            "enableAutoScaling",
            "enableEncryptionAtHost",
            "enableFIPS",
            "enableNodePublicIP",
            "enableUltraSSD",
            "gatewayProfile",
            "gpuInstanceProfile",
            "gpuProfile",
            "hostGroupID",
            "kubeletConfig",
            "kubeletDiskType",
            "linuxOSConfig",
            "localDNSProfile",
            "maxCount",
            "maxPods",
            "messageOfTheDay",
            "minCount",
            "mode",
            "networkProfile",
            "nodeLabels",
            "nodePublicIPPrefixID",
            "nodeTaints",
            "orchestratorVersion",
            "osDiskSizeGB",
            "osDiskType",
            "osSKU",
            "osType",
            "podIPAllocationMode",
            "podSubnetID",
            "powerState",
            "proximityPlacementGroupID",
            "scaleDownMode",
            "scaleSetEvictionPolicy",
            "scaleSetPriority",
            "securityProfile",
            "spotMaxPrice",
            "tags",
            "type",
            "upgradeSettings",
            "virtualMachineNodesStatus",
            "virtualMachinesProfile",
            "vmSize",
            "vnetSubnetID",
            "windowsProfile",
            "workloadRuntime",
        }
    )
    outputs = frozenset(
        {
            "azureApiVersion",
            "currentOrchestratorVersion",
            "eTag",
            "name",
            "nodeImageVersion",
            "provisioningState",
            "status",
        }
    )
    replaces = frozenset({"gpuInstanceProfile", "vmSize", "networkProfile.nodePublicIPTags"})


class UserAssignedIdentity(ArmKind):
    """A managed identity."""

    token = "azure-native:managedidentity:UserAssignedIdentity"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{{resourceName}}"
    api_version = "2023-01-31"
    shape = Shape(beside=_TOP | {"name", "type", "systemData"})
    auto_name = "resourceName"
    required = frozenset({"resourceGroupName"})
    optional = frozenset({"location", "resourceName", "tags"})
    outputs = frozenset({"azureApiVersion", "clientId", "name", "principalId", "systemData", "tenantId", "type"})
    replaces = frozenset({"location"})


class RoleAssignment(ArmKind):
    """A role of a principal at a scope."""

    token = "azure-native:authorization:RoleAssignment"  # noqa: S105  # no secret
    path = "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}"
    api_version = "2022-04-01"
    shape = Shape(beside=frozenset({"id", "name", "type", "systemData"}))
    auto_name = "roleAssignmentName"
    guid_name = True
    auto_location = False
    outputs_named_like_inputs = frozenset({"scope"})
    required = frozenset({"principalId", "roleDefinitionId", "scope"})
    optional = frozenset(
        {
            "condition",
            "conditionVersion",
            "delegatedManagedIdentityResourceId",
            "description",
            "principalType",
            "roleAssignmentName",
        }
    )
    outputs = frozenset(
        {
            "azureApiVersion",
            "createdBy",
            "createdOn",
            "name",
            "systemData",
            "type",
            "updatedBy",
            "updatedOn",
        }
    )
    replaces = frozenset({"principalId", "scope"})


class FrontDoorKind(ArmKind):
    """A type of Front Door."""

    api_version = CDN
    shape = Shape(beside=frozenset({"id", "name", "type", "systemData"}))
    auto_location = False


class AFDOriginGroup(FrontDoorKind):
    """Origins that stand in for one another."""

    token = "azure-native:cdn:AFDOriginGroup"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Cdn/profiles/{{profileName}}/originGroups/{{originGroupName}}"
    auto_name = "originGroupName"
    outputs_named_like_inputs = frozenset({"profileName"})
    required = frozenset({"profileName", "resourceGroupName"})
    optional = frozenset(
        {
            "authentication",
            "healthProbeSettings",
            "loadBalancingSettings",
            "originGroupName",
            "sessionAffinityState",
            "trafficRestorationTimeToHealedOrNewEndpointsInMinutes",
        }
    )
    outputs = frozenset({"azureApiVersion", "deploymentStatus", "name", "provisioningState", "systemData", "type"})


class AFDOrigin(FrontDoorKind):
    """Where requests go."""

    token = "azure-native:cdn:AFDOrigin"  # noqa: S105  # no secret
    path = (
        f"{_GROUP}/providers/Microsoft.Cdn/profiles/{{profileName}}/originGroups/{{originGroupName}}/origins/"
        "{originName}"
    )
    auto_name = "originName"
    outputs_named_like_inputs = frozenset({"originGroupName"})
    required = frozenset({"originGroupName", "profileName", "resourceGroupName"})
    optional = frozenset(
        {
            "azureOrigin",
            "enabledState",
            "enforceCertificateNameCheck",
            "hostName",
            "httpPort",
            "httpsPort",
            "originHostHeader",
            "originName",
            "priority",
            "sharedPrivateLinkResource",
            "weight",
        }
    )
    outputs = frozenset({"azureApiVersion", "deploymentStatus", "name", "provisioningState", "systemData", "type"})


class MetricAlert(ArmKind):
    """An alarm on metrics; kept, and never evaluated."""

    token = "azure-native:monitor:MetricAlert"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Insights/metricAlerts/{{ruleName}}"
    api_version = "2018-03-01"
    shape = Shape(beside=_TOP | {"name", "type"})
    auto_name = "ruleName"
    required = frozenset(
        {
            "criteria",
            "enabled",
            "evaluationFrequency",
            "resourceGroupName",
            "scopes",
            "severity",
            "windowSize",
        }
    )
    optional = frozenset(
        {
            "actions",
            "autoMitigate",
            "description",
            "location",
            "ruleName",
            "tags",
            "targetResourceRegion",
            "targetResourceType",
        }
    )
    outputs = frozenset({"azureApiVersion", "isMigrated", "lastUpdatedTime", "name", "type"})


class ScheduledQueryRule(ArmKind):
    """An alarm on a log query; kept, and never evaluated."""

    token = "azure-native:monitor:ScheduledQueryRule"  # noqa: S105  # no secret
    path = f"{_GROUP}/providers/Microsoft.Insights/scheduledQueryRules/{{ruleName}}"
    api_version = "2025-01-01-preview"
    shape = Shape(beside=_TOP | {"identity", "kind", "name", "type", "etag", "systemData"})
    auto_name = "ruleName"
    required = frozenset({"resourceGroupName"})
    optional = frozenset(
        {
            "actions",
            "autoMitigate",
            "checkWorkspaceAlertsStorageConfigured",
            "criteria",
            "description",
            "displayName",
            "enabled",
            "evaluationFrequency",
            "identity",
            "kind",
            "location",
            "muteActionsDuration",
            "overrideQueryTimeRange",
            "resolveConfiguration",
            "ruleName",
            "scopes",
            "severity",
            "skipQueryValidation",
            "tags",
            "targetResourceTypes",
            "windowSize",
        }
    )
    outputs = frozenset(
        {
            "azureApiVersion",
            "createdWithApiVersion",
            "etag",
            "isLegacyLogAnalyticsRule",
            "isWorkspaceAlertsStorageConfigured",
            "name",
            "systemData",
            "type",
        }
    )
    replaces = frozenset({"location"})


KINDS: Final = (
    ResourceGroup(),
    Subnet(),
    NatGateway(),
    PublicIPAddress(),
    PublicIPPrefix(),
    RouteTable(),
    NetworkSecurityGroup(),
    SecurityRule(),
    ManagedCluster(),
    AgentPool(),
    UserAssignedIdentity(),
    RoleAssignment(),
    AFDOriginGroup(),
    AFDOrigin(),
    MetricAlert(),
    ScheduledQueryRule(),
)
