"""Microsoft.Network as a rehearsal needs it: VNets, subnets, routes, rules, NAT gateways, public addresses.

A PUT replaces the whole resource: a subnet that is PUT without `routeTable` has none afterwards (Azure/AKS #400 and
#1242). Texts of errors are as they were reported: InUseRouteTableCannotBeDeleted (Azure support, AKS error codes),
CannotDeleteNatGatewayAssociatedToSubnet (Copilot-Studio-with-Azure-AI-Search #62), PublicIPAddressCannotBeDeleted
(azurerm #6052), InUseSubnetCannotBeDeleted (nav-arm-templates #161), NetcfgSubnetRangeOutsideVnet (AKS labs),
SubnetWithNatGatewayAndBasicSkuResourceNotAllowed (azure-docs #81335).

Not simulated: a refusal of the 401st route of a table, which no source has an error for (the routes of kubenet's
nodes end there); what else than clusters can have a Basic load balancer or address in a subnet.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from headroom.addresses.azure import AZURE_SUBNET_PREFIX_LENGTHS, NAT_GATEWAY_ADDRESSES, azure_usable_addresses
from headroom.addresses.blocks import Block, format_address
from headroom.addresses.problems import ProblemsError
from headroom.rehearsal.arm.errors import ArmError, invalid, reference_missing
from headroom.rehearsal.arm.ids import Path, key_of, referred
from headroom.rehearsal.arm.kinds import Kind, place, prefixes_of, whole
from headroom.rehearsal.arm.world import Body, Record, World

ADDRESSES: Final = Block.parse("198.51.100.0/24")
"""Where public addresses come from: a range for documentation, which nobody has (RFC 5737)."""

PREFIXES: Final = Block.parse("203.0.113.0/24")
"""Where public prefixes come from (RFC 5737)."""

PRIVATE_SINCE: Final = "2025-07-01"
"""API version from which subnets of a new VNet have no default outbound access (Azure Networking blog,
techcommunity ba-p/4513778)."""

V2_SINCE: Final = "2025-01-01"
"""API version that knows the sku StandardV2 (azure-rest-api-specs, natGateway.json)."""

IDLE_MINUTES: Final = range(4, 121)
"""Idle time-out of TCP flows through a NAT gateway (Azure NAT Gateway documentation, nat-gateway-resource)."""

NAT_PREFIX_LENGTHS: Final = range(28, 32)
"""A public prefix of a NAT gateway has 2 to 16 addresses (Azure NAT Gateway documentation, nat-gateway-resource)."""

VNETS: Final = "Microsoft.Network/virtualNetworks"
SUBNETS: Final = "Microsoft.Network/virtualNetworks/subnets"
ROUTE_TABLES: Final = "Microsoft.Network/routeTables"
ROUTES: Final = "Microsoft.Network/routeTables/routes"
SECURITY_GROUPS: Final = "Microsoft.Network/networkSecurityGroups"
SECURITY_RULES: Final = "Microsoft.Network/networkSecurityGroups/securityRules"
NAT_GATEWAYS: Final = "Microsoft.Network/natGateways"
PUBLIC_ADDRESSES: Final = "Microsoft.Network/publicIPAddresses"
PUBLIC_PREFIXES: Final = "Microsoft.Network/publicIPPrefixes"
CLUSTERS: Final = "Microsoft.ContainerService/managedClusters"
POOLS: Final = "Microsoft.ContainerService/managedClusters/agentPools"


class NetworkKind(Kind):
    """A type of Microsoft.Network: changes take time, and a location stays."""

    takes_time = True
    etag_name = "etag"

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """The location is there and does not change; children have none."""
        del world, api_version
        if len(path.names) > 1:
            return
        if not body.get("location"):
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        if old is not None and place(old.body["location"]) != place(body["location"]):
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{path.name}' already exists in location '{old.body['location']}' in resource group "
                f"'{path.group}'. A resource with the same name cannot be created in location '{body['location']}'. "
                "Please select a new resource name.",
            )


def block_of(text: str, *, what: str) -> Block:
    """A CIDR.

    Raises:
        ArmError: It is none, or has host bits.
    """
    try:
        return Block.parse(text)
    except ProblemsError as error:
        message = f"The address prefix {text} of {what} is not a valid CIDR notation."
        raise ArmError(400, "InvalidCIDRNotation", message) from error


def vnet_blocks(vnet: Record) -> list[Block]:
    """The address space of a VNet."""
    space = vnet.properties.get("addressSpace") or {}
    return [Block.parse(prefix) for prefix in space.get("addressPrefixes") or []]


def subnet_blocks(subnet: Record) -> list[Block]:
    """The prefixes of a subnet."""
    return [Block.parse(prefix) for prefix in prefixes_of(subnet.body)]


class VirtualNetwork(NetworkKind):
    """A VNet. A PUT without `subnets` takes them all away (pulumi-azure-native #74)."""

    type = VNETS
    inline: ClassVar[Mapping[str, str]] = {"subnets": SUBNETS}

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Its address space holds its subnets."""
        super().prepare(world, path, body, old, api_version)
        space = (body.get("properties") or {}).get("addressSpace") or {}
        prefixes = space.get("addressPrefixes") or []
        if not prefixes:
            raise ArmError(
                400,
                "InvalidRequestFormat",
                "Cannot parse the request.",
                details=[{"code": "MissingJsonReferenceId", "message": "Value for addressSpace is missing."}],
            )
        for prefix in prefixes:
            block_of(prefix, what=f"virtual network {path.name}")

    def show(self, world: World, record: Record, body: Body) -> None:
        """Its peerings."""
        body["properties"]["virtualNetworkPeerings"] = [
            {"id": peering.path.text, "name": peering.path.name, "properties": dict(peering.properties)}
            for peering in world.below(record.path.text, f"{VNETS}/virtualNetworkPeerings")
        ]
        body["properties"].setdefault("enableDdosProtection", False)

    def check_delete(self, world: World, record: Record) -> None:
        """Not while one of its subnets is used."""
        for subnet in world.below(record.path.text, SUBNETS):
            Subnet().check_delete(world, subnet)


class Subnet(NetworkKind):
    """A subnet: its whole body is what a PUT says."""

    type = SUBNETS

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Inside the VNet, beside the other subnets, and all that it refers to is there."""
        properties = body.setdefault("properties", {})
        vnet = world.find(path.parent)
        if vnet is None:
            raise ArmError(404, "ParentResourceNotFound", f"The parent resource '{path.parent}' was not found.")
        blocks = self._judge_prefixes(world, path, body, vnet)
        if old is not None and [str(block) for block in blocks] != prefixes_of(old.body) and used(world, old):
            raise ArmError(
                400,
                "InUsePrefixCannotBeDeleted",
                f"IpPrefix {', '.join(prefixes_of(old.body))} on Subnet {path.name} has active allocations and "
                "cannot be deleted.",
            )
        for name, type_ in (
            ("natGateway", NAT_GATEWAYS),
            ("routeTable", ROUTE_TABLES),
            ("networkSecurityGroup", SECURITY_GROUPS),
        ):
            identifier = referred(properties.get(name))
            if not identifier:
                properties.pop(name, None)
                continue
            other = world.find(identifier)
            if other is None or other.path.type.casefold() != type_.casefold():
                raise reference_missing(path.text, identifier)
            properties[name] = {"id": other.path.text}
        self._judge_gateway(world, path, properties)
        properties.setdefault("privateEndpointNetworkPolicies", "Disabled")
        properties.setdefault("privateLinkServiceNetworkPolicies", "Enabled")
        properties.setdefault("delegations", [])
        if "defaultOutboundAccess" not in properties and vnet.api_version >= PRIVATE_SINCE <= api_version:
            properties["defaultOutboundAccess"] = False

    def _judge_prefixes(self, world: World, path: Path, body: Body, vnet: Record) -> list[Block]:
        prefixes = prefixes_of(body)
        if not prefixes:
            message = f"Subnet '{path.name}' has no address prefix."
            raise ArmError(400, "NoAddressPrefixOrPoolProvided", message)
        blocks = [block_of(prefix, what=f"subnet {path.name}") for prefix in prefixes]
        for block in blocks:
            if block.prefix_length not in AZURE_SUBNET_PREFIX_LENGTHS:
                raise invalid(f"Subnet '{path.name}' cannot be a /{block.prefix_length}.", target="addressPrefix")
            if not any(space.contains(block) for space in vnet_blocks(vnet)):
                raise ArmError(
                    400,
                    "NetcfgSubnetRangeOutsideVnet",
                    f"Subnet '{path.name}' is not valid because its IP address range is outside the IP address range "
                    f"of virtual network '{vnet.path.name}'.",
                )
            for other in world.below(vnet.path.text, SUBNETS):
                if other.path.key != path.key and any(block.overlaps(held) for held in subnet_blocks(other)):
                    raise ArmError(
                        400,
                        "NetcfgSubnetRangesOverlap",
                        f"Subnet '{path.name}' is not valid because its IP address range overlaps with that of an "
                        f"existing subnet in virtual network '{vnet.path.name}'.",
                    )
        return blocks

    def _judge_gateway(self, world: World, path: Path, properties: Mapping[str, Any]) -> None:
        gateway = referred(properties.get("natGateway"))
        if not gateway:
            return
        if path.name.casefold() == "gatewaysubnet":
            raise invalid(f"NAT gateway {gateway} cannot be used in the subnet GatewaySubnet.", target="natGateway")
        for other in world.referrers(SUBNETS, "natGateway", gateway):
            if key_of(other.path.parent) != key_of(path.parent):
                raise ArmError(
                    400,
                    "NatGatewayCannotBeUsedBySubnetsBelongingToDifferentVirtualNetworks",
                    f"NAT Gateway {gateway} cannot be used by subnets belonging to different virtual networks.",
                )
        subnet = world.find(path.text)
        for pool in world.of_type(POOLS) if subnet else ():
            cluster = world.find(pool.path.parent)
            profile = (cluster.properties.get("networkProfile") or {}) if cluster else {}
            here = key_of(str(pool.properties.get("vnetSubnetID") or "")) == path.key
            if subnet and here and profile.get("loadBalancerSku") == "basic":
                raise ArmError(
                    400,
                    "SubnetWithNatGatewayAndBasicSkuResourceNotAllowed",
                    f"NAT Gateway {gateway} cannot be deployed on subnet containing Basic SKU Public IP addresses or "
                    f"Basic SKU Load Balancer. NIC {next(users_of(world, subnet), '')} in subnet {path.text} has "
                    "reference to Basic SKU Public IP address or Load Balancer.",
                )

    def show(self, world: World, record: Record, body: Body) -> None:
        """Who has addresses in it: one entry a node, as their network interfaces would be."""
        entries = [{"id": text} for text in users_of(world, record)]
        if entries:
            body["properties"]["ipConfigurations"] = entries

    def check_delete(self, world: World, record: Record) -> None:
        """Not while somebody has an address in it."""
        user = next(users_of(world, record), None)
        if user is None and world.taken.get(record.path.key):
            user = "another resource"
        if user is not None:
            raise ArmError(
                400,
                "InUseSubnetCannotBeDeleted",
                f"Subnet {record.path.name} is in use by {user} and cannot be deleted. In order to delete the subnet, "
                "delete all the resources within the subnet. See aka.ms/deletesubnet.",
                details=[],
            )


def users_of(world: World, subnet: Record) -> Iterator[str]:
    """Ids of the IP configurations of the nodes in a subnet."""
    for pool in world.of_type(POOLS):
        if key_of(str(pool.properties.get("vnetSubnetID") or "")) != subnet.path.key:
            continue
        cluster = world.find(pool.path.parent)
        group = cluster.properties.get("nodeResourceGroup", "") if cluster else ""
        for number in range(int(pool.properties.get("count") or 0)):
            yield (
                f"/subscriptions/{pool.path.subscription}/resourceGroups/{group}/providers/Microsoft.Compute/"
                f"virtualMachineScaleSets/aks-{pool.path.name}-vmss/virtualMachines/{number}/networkInterfaces/"
                f"aks-{pool.path.name}-vmss/ipConfigurations/ipconfig1"
            )


def used(world: World, subnet: Record) -> int:
    """Addresses of a subnet that are taken: nodes, pods where they live in it, and what a scenario says of others.

    A node of a cluster without overlay holds an address for itself and one for each of its pods beforehand (AKS
    documentation, concepts-network-ip-address-planning); of kubenet and of an overlay only its own.
    """
    total = world.taken.get(subnet.path.key, 0)
    for pool in world.of_type(POOLS):
        if key_of(str(pool.properties.get("vnetSubnetID") or "")) == subnet.path.key:
            cluster = world.find(pool.path.parent)
            total += int(pool.properties.get("count") or 0) * addresses_of_a_node(cluster, pool)
    return total


def addresses_of_a_node(cluster: Record | None, pool: Record) -> int:
    """Addresses that a node of the pool takes of its subnet."""
    profile = (cluster.properties.get("networkProfile") or {}) if cluster else {}
    flat = profile.get("networkPlugin") == "azure" and not profile.get("networkPluginMode")
    if flat and not pool.properties.get("podSubnetID"):
        return 1 + int(pool.properties.get("maxPods") or 0)
    return 1


def usage_of(world: World, subnet: Record) -> Body:
    """What `usages` of a VNet says about a subnet.

    It is -1 of -1 where pods take addresses of it as they come (azure-sdk-for-python #35139).
    """
    dynamic = any(
        key_of(str(pool.properties.get("podSubnetID") or "")) == subnet.path.key for pool in world.of_type(POOLS)
    )
    limit = sum(azure_usable_addresses(block) for block in subnet_blocks(subnet))
    return {
        "currentValue": -1 if dynamic else used(world, subnet),
        "id": subnet.path.text,
        "limit": -1 if dynamic else limit,
        "name": {"value": "SubnetSpace", "localizedValue": "Subnet size and usage"},
        "unit": "Count",
    }


class RouteTable(NetworkKind):
    """A route table, with its routes inside."""

    type = ROUTE_TABLES
    inline: ClassVar[Mapping[str, str]] = {"routes": ROUTES}

    def show(self, world: World, record: Record, body: Body) -> None:
        """The subnets that it is on."""
        subnets = [{"id": subnet.path.text} for subnet in world.referrers(SUBNETS, "routeTable", record.path.text)]
        if subnets:
            body["properties"]["subnets"] = subnets
        body["properties"].setdefault("disableBgpRoutePropagation", False)

    def check_delete(self, world: World, record: Record) -> None:
        """Not while it is on a subnet."""
        if world.referrers(SUBNETS, "routeTable", record.path.text):
            message = f"Route table {record.path.name} is in use and cannot be deleted."
            raise ArmError(400, "InUseRouteTableCannotBeDeleted", message, details=[])


class Route(NetworkKind):
    """A route of a table."""

    type = ROUTES

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """A destination that no other route of the table has, and a next hop."""
        del old, api_version
        properties = body.get("properties") or {}
        for name in ("addressPrefix", "nextHopType"):
            if not properties.get(name):
                raise invalid(f"Route {path.name} has no {name}.", target=name)
        for other in world.below(path.parent, ROUTES):
            if other.path.key != path.key and other.properties["addressPrefix"] == properties["addressPrefix"]:
                raise ArmError(
                    400,
                    "RouteConflict",
                    f"Route with address prefix {properties['addressPrefix']} already exists: {other.path.name}.",
                )


class SecurityGroup(NetworkKind):
    """A network security group, with its rules inside."""

    type = SECURITY_GROUPS
    inline: ClassVar[Mapping[str, str]] = {"securityRules": SECURITY_RULES}

    def show(self, world: World, record: Record, body: Body) -> None:
        """The subnets that it is on, and the rules that every group has."""
        found = world.referrers(SUBNETS, "networkSecurityGroup", record.path.text)
        if found:
            body["properties"]["subnets"] = [{"id": subnet.path.text} for subnet in found]
        body["properties"]["defaultSecurityRules"] = [
            {
                "id": f"{record.path.text}/defaultSecurityRules/{name}",
                "name": name,
                "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
                "properties": {
                    "provisioningState": "Succeeded",
                    "protocol": "*",
                    "sourcePortRange": "*",
                    "destinationPortRange": "*",
                    "sourceAddressPrefix": source,
                    "destinationAddressPrefix": destination,
                    "access": access,
                    "priority": priority,
                    "direction": direction,
                },
            }
            for name, source, destination, access, priority, direction in _DEFAULT_RULES
        ]

    def check_delete(self, world: World, record: Record) -> None:
        """Not while it is on a subnet."""
        found = world.referrers(SUBNETS, "networkSecurityGroup", record.path.text)
        if found:
            raise ArmError(
                400,
                "InUseNetworkSecurityGroupCannotBeDeleted",
                f"Network security group {record.path.text} cannot be deleted because it is in use by the following "
                f"resources: {', '.join(subnet.path.text for subnet in found)}. In order to delete the Network "
                "security group, remove the association with the resource(s). To learn how to do this, see "
                "aka.ms/deletensg.",
                details=[],
            )


_DEFAULT_RULES: Final = (
    ("AllowVnetInBound", "VirtualNetwork", "VirtualNetwork", "Allow", 65000, "Inbound"),
    ("AllowAzureLoadBalancerInBound", "AzureLoadBalancer", "*", "Allow", 65001, "Inbound"),
    ("DenyAllInBound", "*", "*", "Deny", 65500, "Inbound"),
    ("AllowVnetOutBound", "VirtualNetwork", "VirtualNetwork", "Allow", 65000, "Outbound"),
    ("AllowInternetOutBound", "*", "Internet", "Allow", 65001, "Outbound"),
    ("DenyAllOutBound", "*", "*", "Deny", 65500, "Outbound"),
)
"""Rules that every group has (Azure Virtual Network documentation, network-security-groups-overview)."""

RULE_PRIORITIES: Final = range(100, 4097)
"""Priorities of rules (Azure Virtual Network documentation, network-security-groups-overview)."""


class SecurityRule(NetworkKind):
    """A rule of a network security group."""

    type = SECURITY_RULES

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """A priority that no other rule of the direction has."""
        del old, api_version
        properties = body.get("properties") or {}
        priority = whole(body, "priority", RULE_PRIORITIES)
        if priority is None:
            raise invalid(f"Security rule {path.name} has no priority.", target="priority")
        for other in world.below(path.parent, SECURITY_RULES):
            same = (other.properties["priority"], other.properties["direction"])
            if other.path.key != path.key and same == (priority, properties.get("direction")):
                raise ArmError(
                    400,
                    "SecurityRuleConflict",
                    f"Security rule {path.name} conflicts with rule {other.path.name}. Rules cannot have the same "
                    "Priority and Direction.",
                )


class NatGateway(NetworkKind):
    """A NAT gateway; its sku and its zones stay, and so do its addresses only while nobody PUTs others."""

    type = NAT_GATEWAYS

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Sku, zones, idle time-out and addresses fit one another.

        No source gives the code for an address of another sku, or for more addresses than 16: InvalidParameter.
        """
        super().prepare(world, path, body, old, api_version)
        properties = body.setdefault("properties", {})
        sku = ((body.get("sku") or {}).get("name")) or "Standard"
        zones = list(body.get("zones") or [])
        if sku == "StandardV2" and api_version < V2_SINCE:
            raise invalid(f"The sku {sku} needs the API version {V2_SINCE}.", target="sku")
        if sku not in {"Standard", "StandardV2"}:
            raise invalid(f"There is no NAT gateway of the sku {sku}.", target="sku")
        if sku == "Standard" and len(zones) > 1:
            raise invalid("A NAT gateway of the sku Standard is in one zone.", target="zones")
        if old is not None and list(old.body.get("zones") or []) != zones:
            raise zones_stay(path, old.body.get("zones"), zones)
        if old is not None and ((old.body.get("sku") or {}).get("name") or "Standard") != sku:
            raise invalid(f"The sku of {path.text} cannot be changed.", target="sku")
        body["sku"] = {"name": sku, **({"tier": body["sku"]["tier"]} if (body.get("sku") or {}).get("tier") else {})}
        minutes = whole(body, "idleTimeoutInMinutes", IDLE_MINUTES, default=IDLE_MINUTES[0])
        properties["idleTimeoutInMinutes"] = minutes
        self._judge_addresses(world, path, properties, sku)

    def _judge_addresses(self, world: World, path: Path, properties: Body, sku: str) -> None:
        addresses = 0
        for name in ("publicIpAddresses", "publicIpPrefixes"):
            for item in properties.get(name) or []:
                other = world.find(referred(item))
                if other is None:
                    raise reference_missing(path.text, referred(item))
                if ((other.body.get("sku") or {}).get("name") or "Basic") != sku:
                    raise invalid(f"{other.path.text} is not of the sku {sku} of {path.text}.", target=name)
                user = referred(shown_gateway(world, other))
                if user and key_of(user) != path.key:
                    raise invalid(f"{other.path.text} is used by {user}.", target=name)
                addresses += 1 if name == "publicIpAddresses" else 1 << (32 - int(other.properties["prefixLength"]))
        if addresses > NAT_GATEWAY_ADDRESSES:
            raise invalid(f"A NAT gateway has at most {NAT_GATEWAY_ADDRESSES} addresses.", target="publicIpAddresses")

    def show(self, world: World, record: Record, body: Body) -> None:
        """The subnets that leave by it."""
        found = world.referrers(SUBNETS, "natGateway", record.path.text)
        if found:
            body["properties"]["subnets"] = [{"id": subnet.path.text} for subnet in found]

    def check_delete(self, world: World, record: Record) -> None:
        """Not while it is on a subnet."""
        found = world.referrers(SUBNETS, "natGateway", record.path.text)
        if found:
            raise ArmError(
                400,
                "CannotDeleteNatGatewayAssociatedToSubnet",
                f"NAT Gateway {record.path.text} is still configured on {len(found)} subnets. Remove NAT Gateway from "
                "all referenced subnets and then delete NAT Gateway.",
                details=[],
            )


def zones_stay(path: Path, old: object, new: object) -> ArmError:
    """Zones are not changed after creation (terraform-provider-azurerm, ResourceAvailabilityZonesCannotBeModified)."""
    return ArmError(
        400,
        "ResourceAvailabilityZonesCannotBeModified",
        f"Resource {path.text} has an existing availability zone constraint {_zones(old)} and the request has "
        f"availability zone constraint {_zones(new)}, which do not match. Zones cannot be added/updated/removed once "
        "the resource is created. The resource cannot be updated from regional to zonal or vice-versa.",
    )


def _zones(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) and value else "NoZone"


def shown_gateway(world: World, address: Record) -> Body | None:
    """The NAT gateway that an address or a prefix belongs to, as a reference."""
    name = "publicIpAddresses" if address.path.type.casefold() == PUBLIC_ADDRESSES.casefold() else "publicIpPrefixes"
    for gateway in world.of_type(NAT_GATEWAYS):
        if any(key_of(referred(item)) == address.path.key for item in gateway.properties.get(name) or []):
            return {"id": gateway.path.text}
    return None


class PublicAddress(NetworkKind):
    """A public IP address; it keeps its number as long as it lives."""

    type = PUBLIC_ADDRESSES

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Sku, method and zones; what is static gets its number at once."""
        super().prepare(world, path, body, old, api_version)
        properties = body.setdefault("properties", {})
        sku = (body.get("sku") or {}).get("name") or "Basic"
        body["sku"] = {"name": sku, "tier": (body.get("sku") or {}).get("tier") or "Regional"}
        if sku == "StandardV2" and api_version < V2_SINCE:
            raise invalid(f"The sku {sku} needs the API version {V2_SINCE}.", target="sku")
        method = properties.setdefault("publicIPAllocationMethod", "Dynamic" if sku == "Basic" else "Static")
        if sku != "Basic" and method != "Static":
            raise ArmError(
                400,
                "StandardSkuPublicIPAddressesMustBeStatic",
                f"Standard sku publicIp {path.text} must have AllocationMethod set to Static.",
            )
        if old is not None and list(old.body.get("zones") or []) != list(body.get("zones") or []):
            raise zones_stay(path, old.body.get("zones"), body.get("zones"))
        properties.setdefault("publicIPAddressVersion", "IPv4")
        properties.setdefault("idleTimeoutInMinutes", IDLE_MINUTES[0])
        prefix = referred(properties.get("publicIPPrefix"))
        if prefix and world.find(prefix) is None:
            raise reference_missing(path.text, prefix)
        for name in ("ipAddress", "natGateway"):  # the service's own, and the gateway's
            properties.pop(name, None)

    def accepted(self, world: World, record: Record, old: Body | None) -> ArmError | None:
        """Gives it a number."""
        if "number" in record.hidden or record.properties["publicIPAllocationMethod"] != "Static":
            return None
        del old
        prefix = world.find(referred(record.properties.get("publicIPPrefix")))
        pool = Block.parse(prefix.properties["ipPrefix"]) if prefix else ADDRESSES
        try:
            # Of a prefix every address is given out, of ours not the one that looks like a network's.
            drawn = world.draw(f"addresses of {pool}", pool.size, first=0 if prefix else 1)
            record.hidden["number"] = pool.first + drawn
        except IndexError:
            return ArmError(
                400,
                "PublicIPCountLimitReached",
                "Cannot create more than 255 public IP addresses for this subscription in this region.",
            )
        record.hidden["pool"] = pool
        return None

    def show(self, world: World, record: Record, body: Body) -> None:
        """The number, and who uses it."""
        if "number" in record.hidden:
            body["properties"]["ipAddress"] = format_address(record.hidden["number"])
        gateway = shown_gateway(world, record)
        if gateway:
            body["properties"]["natGateway"] = gateway
        user = record.hidden.get("used_by")
        if user:
            body["properties"]["ipConfiguration"] = {"id": user}

    def check_delete(self, world: World, record: Record) -> None:
        """Not while somebody uses it."""
        user = referred(shown_gateway(world, record)) or record.hidden.get("used_by")
        if user:
            raise ArmError(
                400,
                "PublicIPAddressCannotBeDeleted",
                f"Public IP address {record.path.text} can not be deleted since it is still allocated to resource "
                f"{user}. In order to delete the public IP, disassociate/detach the Public IP address from the "
                "resource.  To learn how to do this, see aka.ms/deletepublicip.",
                details=[],
            )

    def deleted(self, world: World, record: Record) -> None:
        """Its number goes back."""
        if "number" in record.hidden:
            pool: Block = record.hidden["pool"]
            world.give_back(f"addresses of {pool}", record.hidden["number"] - pool.first)


class PublicPrefix(NetworkKind):
    """A range of public addresses."""

    type = PUBLIC_PREFIXES

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """A length that Azure gives, which stays."""
        super().prepare(world, path, body, old, api_version)
        sku = (body.get("sku") or {}).get("name") or "Standard"
        body["sku"] = {"name": sku, "tier": (body.get("sku") or {}).get("tier") or "Regional"}
        length = whole(body, "prefixLength", NAT_PREFIX_LENGTHS)
        if length is None:
            raise invalid(f"The public IP prefix {path.name} has no prefixLength.", target="prefixLength")
        if old is not None and old.properties["prefixLength"] != length:
            raise invalid(f"The length of {path.text} cannot be changed.", target="prefixLength")
        if old is not None and list(old.body.get("zones") or []) != list(body.get("zones") or []):
            raise zones_stay(path, old.body.get("zones"), body.get("zones"))
        body["properties"].setdefault("publicIPAddressVersion", "IPv4")
        body["properties"].pop("natGateway", None)
        if old is not None:
            body["properties"]["ipPrefix"] = old.properties["ipPrefix"]

    def accepted(self, world: World, record: Record, old: Body | None) -> ArmError | None:
        """Gives it its range."""
        if old is None:
            length = int(record.properties["prefixLength"])
            # Sixteens, so that ranges of every length are aligned.
            index = world.draw("prefixes", PREFIXES.count_of(NAT_PREFIX_LENGTHS[0]))
            sixteen = PREFIXES.subblock(index, NAT_PREFIX_LENGTHS[0])
            record.hidden["index"] = index
            record.properties["ipPrefix"] = str(Block(sixteen.first, length))
        return None

    def show(self, world: World, record: Record, body: Body) -> None:
        """Who uses it, and the addresses made of it."""
        gateway = shown_gateway(world, record)
        if gateway:
            body["properties"]["natGateway"] = gateway
        made = [
            {"id": address.path.text}
            for address in world.referrers(PUBLIC_ADDRESSES, "publicIPPrefix", record.path.text)
        ]
        if made:
            body["properties"]["publicIPAddresses"] = made

    def check_delete(self, world: World, record: Record) -> None:
        """Not while somebody uses it; no source gives this code's text."""
        user = referred(shown_gateway(world, record)) or next(
            (a.path.text for a in world.referrers(PUBLIC_ADDRESSES, "publicIPPrefix", record.path.text)), ""
        )
        if user:
            message = f"Public IP prefix {record.path.text} is in use by {user} and cannot be deleted."
            raise ArmError(400, "InUsePublicIpPrefixCannotBeDeleted", message, details=[])

    def deleted(self, world: World, record: Record) -> None:
        """Its range goes back."""
        world.give_back("prefixes", record.hidden["index"])


KINDS: Final[tuple[Kind, ...]] = (
    VirtualNetwork(),
    Subnet(),
    RouteTable(),
    Route(),
    SecurityGroup(),
    SecurityRule(),
    NatGateway(),
    PublicAddress(),
    PublicPrefix(),
)
