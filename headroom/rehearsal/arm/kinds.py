"""Resource types of the simulated Azure: what all have in common, and those that are only kept."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from headroom.rehearsal.arm.errors import ArmError, invalid
from headroom.rehearsal.arm.ids import GROUP_TYPE, Path, key_of
from headroom.rehearsal.arm.settings import TENANT
from headroom.rehearsal.arm.world import Body, Record, World


class Kind:
    """A resource type. The default keeps what it is given and answers at once."""

    type: str
    takes_time: ClassVar[bool] = False
    """Whether changes are long-running operations."""
    flat_errors: ClassVar[bool] = False
    inline: ClassVar[Mapping[str, str]] = {}
    """Properties of the parent that show its children, and the children's type."""
    etag_name: ClassVar[str] = ""
    """Where its etag is shown; empty for types whose etag nobody here asks for."""
    slow_actions: ClassVar[frozenset[str]] = frozenset()
    """Actions that are accepted and take their time, in lower case."""
    has_state: ClassVar[bool] = True
    """Whether its properties carry a provisioningState."""

    def seconds(self, world: World) -> float:
        """How long a change takes, in simulated seconds."""
        return world.settings.operation_seconds

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Judges a PUT and fills in what was left out; `body` is changed in place.

        Raises:
            ArmError: Azure refuses it.
        """

    def accepted(self, world: World, record: Record, old: Body | None) -> ArmError | None:
        """What follows from a PUT at once; gives the error with which its operation will fail, if it will."""
        del world, record, old
        return None

    def finished(self, world: World, record: Record) -> None:
        """What follows when the operation is over."""

    def show(self, world: World, record: Record, body: Body) -> None:
        """Adds to a copy of the body what the service computes."""

    def check_delete(self, world: World, record: Record) -> None:
        """Judges a DELETE.

        Raises:
            ArmError: Azure refuses it.
        """

    def fails_to_delete(self, world: World, record: Record) -> ArmError | None:
        """The error with which the deletion will fail although it was accepted, if it will."""
        del world, record
        return None

    def deleted(self, world: World, record: Record) -> None:
        """What follows from a deletion, before the resource is forgotten."""

    def action(self, world: World, record: Record, name: str, body: Body) -> Body:
        """A POST below the resource.

        Raises:
            ArmError: There is no such action, or it is refused.
        """
        del world, body
        raise ArmError(404, "NotFound", f"{record.path.type} has no action {name} in the rehearsal.")


class Plain(Kind):
    """A type that is only kept."""

    def __init__(self, type_: str) -> None:
        self.type = type_


class ResourceGroup(Kind):
    """A resource group; what is in it goes with it."""

    type = GROUP_TYPE

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """It has a location, which stays."""
        del world, api_version
        if not body.get("location"):
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        if old is not None and place(old.body["location"]) != place(body["location"]):
            raise ArmError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{body['location']}'. The Resource group already exists in location "
                f"'{old.body['location']}'.",
            )
        del path


class RoleAssignment(Kind):
    """A role of a principal at a scope (Azure RBAC documentation, role-assignments-rest)."""

    type = "Microsoft.Authorization/roleAssignments"
    has_state = False

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Principal and role are named, and nobody has the same one under another name."""
        del api_version
        wanted = body.get("properties") or {}
        for name in ("principalId", "roleDefinitionId"):
            if not wanted.get(name):
                raise ArmError(400, "InvalidRoleAssignmentRequest", f"The {name} is missing.")
        if old is not None:
            return
        for other in world.below(path.scope, self.type):
            has = other.properties
            same_role = key_of(has["roleDefinitionId"]) == key_of(wanted["roleDefinitionId"])
            if same_role and has["principalId"] == wanted["principalId"]:
                raise ArmError(
                    409,
                    "RoleAssignmentExists",
                    f"The role assignment already exists. The ID of the existing role assignment is "
                    f"{other.path.name.replace('-', '')}.",
                )

    def show(self, world: World, record: Record, body: Body) -> None:
        """Its scope."""
        del world
        body["properties"]["scope"] = record.path.scope
        body["properties"].setdefault("principalType", "ServicePrincipal")


class UserAssignedIdentity(Kind):
    """A managed identity."""

    type = "Microsoft.ManagedIdentity/userAssignedIdentities"
    has_state = False

    def show(self, world: World, record: Record, body: Body) -> None:
        """The ids that Entra gave it."""
        properties = body.setdefault("properties", {})
        properties["tenantId"] = TENANT
        properties["principalId"] = principal_of(world, record.path.text)
        properties["clientId"] = world.identity(f"client {record.path.key}")


def principal_of(world: World, identity: str) -> str:
    """The object id of a managed identity."""
    return world.identity(f"principal {key_of(identity)}")


def place(location: str) -> str:
    """`East US 2` and `eastus2` are the same."""
    return "".join(str(location).split()).casefold()


def prefixes_of(body: Mapping[str, Any]) -> list[str]:
    """The address prefixes of a subnet, whichever way they are written."""
    properties = body.get("properties") or {}
    many = properties.get("addressPrefixes") or []
    return [str(prefix) for prefix in (many or [properties.get("addressPrefix")]) if prefix]


PLAIN: Final = (
    "Microsoft.Sql/servers",
    "Microsoft.Sql/servers/firewallRules",
    "Microsoft.Sql/servers/virtualNetworkRules",
    "Microsoft.Sql/managedInstances",
    "Microsoft.DBforPostgreSQL/flexibleServers",
    "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules",
    "Microsoft.DBforMySQL/flexibleServers",
    "Microsoft.DBforMySQL/flexibleServers/firewallRules",
    "Microsoft.Cache/redis",
    "Microsoft.Cache/redis/firewallRules",
    "Microsoft.Synapse/workspaces",
    "Microsoft.Synapse/workspaces/firewallRules",
    "Microsoft.ServiceBus/namespaces",
    "Microsoft.ServiceBus/namespaces/networkRuleSets",
    "Microsoft.EventHub/namespaces",
    "Microsoft.EventHub/namespaces/networkRuleSets",
    "Microsoft.Web/sites",
    "Microsoft.Web/sites/config",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.KeyVault/vaults",
    "Microsoft.DocumentDB/databaseAccounts",
    "Microsoft.ContainerRegistry/registries",
    "Microsoft.CognitiveServices/accounts",
    "Microsoft.Search/searchServices",
    "Microsoft.EventGrid/topics",
    "Microsoft.Kusto/clusters",
    "Microsoft.SignalRService/signalR",
    "Microsoft.App/containerApps",
    "Microsoft.Network/frontDoorWebApplicationFirewallPolicies",
    "Microsoft.Network/ipGroups",
    "Microsoft.Network/azureFirewalls",
    "Microsoft.Network/firewallPolicies",
    "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
    "Microsoft.Network/privateEndpoints",
    "Microsoft.Network/loadBalancers",
    "Microsoft.Network/applicationGateways",
    "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
    "Microsoft.Cdn/profiles",
    "Microsoft.Cdn/profiles/securityPolicies",
    "Microsoft.Insights/metricAlerts",
    "Microsoft.Insights/scheduledQueryRules",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/components",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Compute/virtualMachineScaleSets",
    "Microsoft.Compute/virtualMachines",
)
"""Types that are kept as they come: what the audit of addresses reads, and what stacks make beside the network."""


def not_simulated(path: Path) -> ArmError:
    """The answer for a type that the simulated Azure does not carry, in Azure's own words."""
    return ArmError(
        404,
        "InvalidResourceType",
        f"The resource type '{'/'.join(path.types)}' could not be found in the namespace '{path.namespace}' of the "
        "rehearsal's Azure.",
    )


def whole(body: Mapping[str, Any], name: str, allowed: range, *, default: int | None = None) -> int | None:
    """A whole number of a body's properties.

    Raises:
        ArmError: It is none, or not within what is allowed.
    """
    value = (body.get("properties") or {}).get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise invalid(f"Property '{name}' must be within {allowed[0]} to {allowed[-1]}, and is {value}.", target=name)
    return value
