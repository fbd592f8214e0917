"""What several rules ask of an Azure network: subnets and what refers to them, NAT gateways and their addresses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, TypeVar

from headroom.addresses.blocks import Block
from headroom.addresses.problems import Problem, ProblemsError
from policies.aks import Pool, azure_name, is_ipv6, read_block
from policies.findings import Undecided, read
from policies.resources import (
    NAT_GATEWAY,
    PUBLIC_IP_ADDRESS,
    PUBLIC_IP_PREFIX,
    UNKNOWN,
    VNET,
    VNET_PEERING,
    VNET_ROUTE,
    VNET_ROUTE_TABLE,
    VNET_SUBNET,
    Resource,
    Resources,
)

T = TypeVar("T")

SUBNET_TYPES: Final = (VNET_SUBNET, VNET)
EGRESS_TYPES: Final = (NAT_GATEWAY, PUBLIC_IP_ADDRESS, PUBLIC_IP_PREFIX)

EVERYWHERE: Final = "0.0.0.0/0"
"""The destination of a default route (Azure documentation, virtual-networks-udr-overview)."""

NODE_SUBNETS: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "CIDRs of node subnets outside the stack, by their ARM id",
}
VNET_CIDRS: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Address space of the nodes' VNet, where it does not belong to the stack",
}
CONNECTED_CIDRS: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Address spaces of peered VNets outside the stack, and of networks behind ExpressRoute or a VPN",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet of a VNet: a resource of its own, or written inside its VNet.

    Attributes:
        resource: The subnet's own resource, or the VNet.
        path: Where it is written in the VNet's properties, such as `subnets.0`; empty for its own resource.
        name: As Azure has it, or the resource's.
    """

    resource: Resource
    path: str
    name: str

    def at(self, name: str) -> str:
        """The path of one of its properties."""
        return f"{self.path}.{name}" if self.path else name

    def read(self, name: str, kind: type[T]) -> T | Undecided | None:
        """One of its properties."""
        return read(self.resource.properties, self.at(name), kind)

    @property
    def key(self) -> tuple[str, str]:
        """What tells subnets apart."""
        return self.resource.urn, self.path

    def block(self) -> Block | Undecided | ProblemsError:
        """Its IPv4 range; what is wrong with it else."""
        several = self.read("addressPrefixes", list)
        one = self.read("addressPrefix", str)
        for item in (one, *(several if isinstance(several, list) else (several,))):
            if isinstance(item, Undecided):
                return item
            if item is UNKNOWN:
                return Undecided(self.at("addressPrefixes"))
            if item is not None and not is_ipv6(item):
                return read_block(item, self.at("addressPrefix"))
        return Undecided(self.at("addressPrefix"), "is not set.")


class Subnets:
    """The subnets of a stack, found by what refers to them."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._vnets: dict[str, Resource] = {}
        self._inline: dict[str, list[Subnet]] = {}
        self._inline_by_id: dict[str, Subnet] = {}
        self.all: list[Subnet] = []
        for vnet in resources.of_type(VNET):
            for key in ("virtualNetworkName", "name"):
                name = vnet.properties.get(key)
                if isinstance(name, str):
                    self._vnets.setdefault(name.casefold(), vnet)
            written = read(vnet.properties, "subnets", list)
            for index, item in enumerate(written if isinstance(written, list) else ()):
                name = item.get("name") if isinstance(item, Mapping) else None
                label = name if isinstance(name, str) else f"subnet {index} of {vnet.name}"
                subnet = Subnet(resource=vnet, path=f"subnets.{index}", name=label)
                self._inline.setdefault(vnet.urn, []).append(subnet)
                self.all.append(subnet)
                id_ = subnet.read("id", str)
                if isinstance(id_, str):
                    self._inline_by_id[id_.casefold()] = subnet
        self._own = {
            resource.urn: Subnet(resource=resource, path="", name=azure_name(resource, "subnetName"))
            for resource in resources.of_type(VNET_SUBNET)
        }
        self.all.extend(self._own.values())
        self._by_vnet: dict[str, list[Subnet]] = {}
        for subnet in self.all:
            vnet_found = self.vnet_of(subnet)
            if vnet_found is not None:
                self._by_vnet.setdefault(vnet_found.urn, []).append(subnet)

    def referred(self, resource: Resource, path: str) -> list[Subnet] | str | Undecided | None:
        """What a property such as `vnetSubnetID` refers to.

        Returns:
            The subnet of the stack; several where it may be any of them; the id of one outside the stack; `Undecided`
            where it cannot be told, None where nothing is written.
        """
        value = read(resource.properties, path, str)
        if value is None:
            return None
        if isinstance(value, str):
            own = self._resources.with_id(VNET_SUBNET, value)
            if own is not None:
                return [self._own[own.urn]]
            inline = self._inline_by_id.get(value.casefold())
            return value if inline is None else [inline]
        top = path.partition(".")[0]
        direct = [self._own[source.urn] for source in self._resources.sources(resource, top, VNET_SUBNET)]
        inside = [
            subnet
            for source in self._resources.sources(resource, top, VNET)
            for subnet in self._inline.get(source.urn, ())
        ]
        return direct or inside or value

    def vnet_of(self, subnet: Subnet) -> Resource | None:
        """The VNet that it lies in, if that belongs to the stack."""
        if subnet.path:
            return subnet.resource
        return self.vnet_named(subnet.resource)

    def vnet_named(self, resource: Resource) -> Resource | None:
        """The VNet that a resource names in `virtualNetworkName`, if it belongs to the stack."""
        name = resource.properties.get("virtualNetworkName")
        if isinstance(name, str):
            return self._vnets.get(name.casefold())
        sources = self._resources.sources(resource, "virtualNetworkName", VNET)
        return sources[0] if len(sources) == 1 else None

    def of_vnet(self, vnet: Resource) -> list[Subnet]:
        """Every subnet of a VNet, as far as the stack has them."""
        return self._by_vnet.get(vnet.urn, [])

    def of_pools(
        self, pools: Iterable[Pool], names: Iterable[str] = ("vnetSubnetID",)
    ) -> tuple[list[Subnet], list[str], list[Undecided]]:
        """The subnets that these pools are in: those of the stack, ids of others, what is not known.

        Args:
            pools: The pools.
            names: The properties to look at: of the nodes' subnet, and `podSubnetID` of the pods'.
        """
        found: dict[tuple[str, str], Subnet] = {}
        outside: dict[str, None] = {}
        undecided: dict[str, Undecided] = {}
        for pool, name in product(pools, names):
            value = self.referred(pool.resource, pool.at(name))
            if isinstance(value, list):
                found.update({subnet.key: subnet for subnet in value})
            elif isinstance(value, str):
                outside[value] = None
            elif value is not None:
                undecided[str(value)] = value
        return list(found.values()), list(outside), list(undecided.values())


def address_space(vnet: Resource) -> tuple[list[Block], list[Problem | Undecided]]:
    """A VNet's IPv4 ranges, and what is wrong with the others."""
    return _blocks(read(vnet.properties, "addressSpace.addressPrefixes", list), "addressSpace.addressPrefixes")


def peers_of(resources: Resources, subnets: Subnets) -> dict[str, tuple[list[Block], list[Undecided]]]:
    """By the URN of a VNet of the stack: the ranges of the VNets that it is peered with, and those not known."""
    found: dict[str, tuple[list[Block], list[Undecided]]] = {}
    for peering in resources.of_type(VNET_PEERING):
        vnet = subnets.vnet_named(peering)
        if vnet is None:
            continue
        blocks, undecided = found.setdefault(vnet.urn, ([], []))
        remote = referred(resources, peering, "remoteVirtualNetwork", VNET)
        if isinstance(remote, list) and len(remote) == 1:
            more, wrong = address_space(remote[0])
            blocks.extend(more)
            undecided.extend(Undecided(f"the address space of {remote[0].name}") for _ in wrong[:1])
            continue
        written = read(peering.properties, "remoteAddressSpace.addressPrefixes", list)
        more, wrong = _blocks(written, "remoteAddressSpace.addressPrefixes")
        blocks.extend(more)
        if not more or wrong:
            undecided.append(Undecided(f"the VNet that {peering.name} peers with", "is not part of this stack."))
    return found


def _blocks(values: list[Any] | Undecided | None, key: str) -> tuple[list[Block], list[Problem | Undecided]]:
    if values is None or isinstance(values, Undecided):
        return [], [values or Undecided(key, "is not set.")]
    blocks: list[Block] = []
    wrong: list[Problem | Undecided] = []
    for value in values:
        if value is UNKNOWN:
            wrong.append(Undecided(key))
        elif not is_ipv6(value):
            read_ = read_block(value, key)
            if isinstance(read_, Block):
                blocks.append(read_)
            else:
                wrong.extend(read_.problems)
    return blocks, wrong


# References by ARM id.


def referred(
    resources: Resources, resource: Resource, path: str, type_: str
) -> list[Resource] | str | Undecided | None:
    """What `{id: …}` at a path refers to; as `Subnets.referred` answers."""
    value = read(resource.properties, f"{path}.id", str)
    if value is None:
        return None
    if isinstance(value, str):
        own = resources.with_id(type_, value)
        return [own] if own is not None else value
    return resources.sources(resource, path.partition(".")[0], type_) or value


@dataclass(slots=True)
class References:
    """What a list of references names.

    Attributes:
        found: Resources of the stack.
        outside: Ids of others.
        undecided: Set where some cannot be told.
    """

    found: list[Resource] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    undecided: Undecided | None = None

    def __bool__(self) -> bool:
        return bool(self.found or self.outside or self.undecided)


def all_referred(resources: Resources, resource: Resource, path: str, type_: str) -> References:
    """What the list of `{id: …}` at a path refers to."""
    listed = read(resource.properties, path, list)
    if listed is None:
        return References()
    sources = resources.sources(resource, path.partition(".")[0], type_)
    if isinstance(listed, Undecided):
        return References(found=sources, undecided=None if sources else listed)
    result = References()
    unknown = 0
    for index in range(len(listed)):
        id_ = read(resource.properties, f"{path}.{index}.id", str)
        own = resources.with_id(type_, id_)
        if own is not None:
            result.found.append(own)
        elif isinstance(id_, str):
            result.outside.append(id_)
        else:
            unknown += 1
    if unknown:
        known = {own.urn for own in result.found}
        more = [source for source in sources if source.urn not in known]
        result.found.extend(more)
        if len(more) < unknown:
            result.undecided = Undecided(path)
    return result


def addresses_of(resources: Resources, gateway: Resource) -> tuple[References, References]:
    """The public addresses and prefixes of a NAT gateway."""
    return (
        all_referred(resources, gateway, "publicIpAddresses", PUBLIC_IP_ADDRESS),
        all_referred(resources, gateway, "publicIpPrefixes", PUBLIC_IP_PREFIX),
    )


def balancer_addresses_of(resources: Resources, cluster: Resource) -> tuple[References, References]:
    """The public addresses and prefixes that the cluster's load balancer uses for egress, where they are its own."""
    profile = "networkProfile.loadBalancerProfile"
    return (
        all_referred(resources, cluster, f"{profile}.outboundIPs.publicIPs", PUBLIC_IP_ADDRESS),
        all_referred(resources, cluster, f"{profile}.outboundIPPrefixes.publicIPPrefixes", PUBLIC_IP_PREFIX),
    )


def gateways_of(resources: Resources, subnet: Subnet) -> list[Resource] | str | Undecided | None:
    """The NAT gateway of a subnet; as `referred` answers."""
    return referred(resources, subnet.resource, subnet.at("natGateway"), NAT_GATEWAY)


def default_hops(resources: Resources) -> dict[str, str | Undecided]:
    """By the URN of a route table: the type of the next hop of its default route; no entry where it has none."""
    routes: dict[str, list[Any]] = {}
    by_name: dict[str, str] = {}
    found: dict[str, str | Undecided] = {}
    for table in resources.of_type(VNET_ROUTE_TABLE):
        inside = read(table.properties, "routes", list)
        if isinstance(inside, Undecided):
            found[table.urn] = Undecided(f"the routes of {table.name}")
        routes[table.urn] = inside if isinstance(inside, list) else []
        for key in ("routeTableName", "name"):
            name = table.properties.get(key)
            if isinstance(name, str):
                by_name.setdefault(name.casefold(), table.urn)
    for route in resources.of_type(VNET_ROUTE):
        name = route.properties.get("routeTableName")
        sources = resources.sources(route, "routeTableName", VNET_ROUTE_TABLE)
        urn = by_name.get(name.casefold()) if isinstance(name, str) else sources[0].urn if sources else None
        if urn is not None:
            routes[urn].append(route.properties)
    for urn, listed in routes.items():
        for route_ in listed:
            hop = _default_hop(route_)
            if hop is not None and not isinstance(found.get(urn), str):
                found[urn] = hop
    return found


def _default_hop(route: object) -> str | Undecided | None:
    prefix = read(route, "addressPrefix", str)
    if isinstance(prefix, Undecided):
        return prefix
    if prefix != EVERYWHERE:
        return None
    hop = read(route, "nextHopType", str)
    return Undecided("nextHopType", "is not set.") if hop is None else hop


def certainly_exists(resource: Resource) -> bool:
    """Whether Azure has it already, as far as a door can know: none knows it before an engine has looked."""
    answered = resource.properties.get("provisioningState")
    return bool(resource.id) or resource.before is not None or isinstance(answered, str)
