"""A cluster reaches the world from addresses that stay."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.azure import NAT_GATEWAY_ADDRESSES, PAST_NAT
from headroom.addresses.blocks import ADDRESS_BITS, shown
from headroom.addresses.problems import Problem
from policies.aks import CLUSTER_TYPES, Pool, outbound_type, pools_of
from policies.configuration import texts
from policies.findings import Finding, Undecided, read
from policies.resources import (
    AKS_CLUSTER,
    PUBLIC_IP_PREFIX,
    VNET_ROUTE,
    VNET_ROUTE_TABLE,
    Resource,
    Resources,
)
from policies.vnet import (
    EGRESS_TYPES,
    EVERYWHERE,
    SUBNET_TYPES,
    References,
    Subnet,
    Subnets,
    addresses_of,
    balancer_addresses_of,
    certainly_exists,
    default_hops,
    gateways_of,
    referred,
)

NAME = "static-egress"
DESCRIPTION = "A cluster's way out has static addresses of its own, which outlive the cluster."
TYPES = (*CLUSTER_TYPES, *SUBNET_TYPES, *EGRESS_TYPES, VNET_ROUTE_TABLE, VNET_ROUTE)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("aks", "egress")
REMEDIATION = (
    "Make a PublicIPAddress (sku Standard, publicIPAllocationMethod Static), a NatGateway with it, set natGateway of "
    "the nodes' subnet, then outboundType: userAssignedNATGateway without a loadBalancerProfile. `natSubnets` in the "
    "policy's configuration names subnets outside the stack that have a NAT gateway."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "natSubnets": {
        "type": "array",
        "items": {"type": "string"},
        "description": "ARM ids of subnets outside the stack that have a NAT gateway",
    },
    "routedSubnets": {
        "type": "array",
        "items": {"type": "string"},
        "description": "ARM ids of subnets outside the stack whose route table leads to a firewall",
    },
}

MANAGED: Final = frozenset({"managednatgateway", "managednatgatewayv2"})
NO_WAY_OUT: Final = frozenset({"none", "block"})
"""Outbound types that have no address to keep (AKS documentation, egress-outboundtype)."""

_OUTBOUND: Final = "AKS documentation, egress-outboundtype"
_NAT: Final = "Azure NAT Gateway documentation, nat-gateway-resource"


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Clusters whose outgoing address belongs to AKS, and gateways that cannot give one.

    Stops: the cutover that would have changed the address under a database's allow-list on a Saturday, and failed
    the billing job at two in the night. Whoever lists an address needs one that the next cluster has too.
    """
    judge = _Judge(resources, config)
    pools = pools_of(resources)
    for cluster in resources.of_type(AKS_CLUSTER):
        yield from judge.cluster(cluster, pools.of_cluster[cluster.urn])


class _Judge:
    def __init__(self, resources: Resources, config: Mapping[str, Any]) -> None:
        self._resources = resources
        self._subnets = Subnets(resources)
        self._listed = {key: {id_.casefold() for id_ in texts(config, key)} for key in CONFIG_SCHEMA}
        self._hops = default_hops(resources)
        self._judged: set[tuple[str, str]] = set()

    def cluster(self, cluster: Resource, pools: list[Pool]) -> Iterator[Finding]:
        kind = outbound_type(cluster)
        if isinstance(kind, Undecided):
            yield Finding(cluster, kind, "networkProfile")
            return
        name = kind.casefold()
        if name == "userassignednatgateway":
            yield from self._behind_gateway(cluster, pools)
        elif name == "loadbalancer":
            yield from self._behind_balancer(cluster, pools)
        elif name == "userdefinedrouting":
            yield from self._behind_routes(cluster, pools)
        elif name in MANAGED:
            yield Finding(cluster, self._managed(kind, pools), "networkProfile")
        elif name not in NO_WAY_OUT:
            problem = _problem(
                f"outboundType {shown(kind)}", "is none that AKS has.", "Write userAssignedNATGateway.", _OUTBOUND
            )
            yield Finding(cluster, problem, "networkProfile")

    def _behind_gateway(self, cluster: Resource, pools: list[Pool]) -> Iterator[Finding]:
        profile = read(cluster.written, "networkProfile.loadBalancerProfile", dict)
        if isinstance(profile, Undecided):
            yield Finding(cluster, profile, "networkProfile")
        elif profile is not None:
            problem = _problem(
                "loadBalancerProfile",
                "stands beside outboundType userAssignedNATGateway, and AKS refuses the two together.",
                "Leave loadBalancerProfile out.",
                "terraform-provider-azurerm #16712",
            )
            yield Finding(cluster, problem, "networkProfile")
        found, outside, undecided = self._subnets.of_pools(pools, ("vnetSubnetID", "podSubnetID"))
        if not (found or outside or undecided) and pools:
            problem = _problem(
                "outboundType userAssignedNATGateway",
                "needs a subnet of yours that has a NAT gateway, and no pool names one.",
                "Write vnetSubnetID for every pool.",
                _OUTBOUND,
            )
            yield Finding(cluster, problem, "networkProfile")
        for unknown in undecided:
            yield Finding(cluster, unknown, "agentPoolProfiles")
        for id_ in outside:
            if id_.casefold() not in self._listed["natSubnets"]:
                reason = f"is not part of this stack: list it in natSubnets of {NAME} if it has one."
                yield Finding(cluster, Undecided(f"the NAT gateway of {id_}", reason), "agentPoolProfiles")
        for subnet in found:
            yield from self._subnet(subnet)

    def _subnet(self, subnet: Subnet) -> Iterator[Finding]:
        if subnet.key in self._judged:
            return
        self._judged.add(subnet.key)
        gateways = gateways_of(self._resources, subnet)
        if gateways is None:
            problem = _problem(
                f"subnet {subnet.name}",
                "has no NAT gateway, and its nodes are told to leave by one.",
                "Write natGateway: {id: …}, before the cluster is made.",
                _OUTBOUND,
            )
            yield Finding(subnet.resource, problem, "natGateway")
        elif isinstance(gateways, Undecided):
            yield Finding(subnet.resource, gateways, "natGateway")
        elif isinstance(gateways, list):
            for gateway in gateways:
                yield from self._gateway(gateway)
        tables = referred(self._resources, subnet.resource, subnet.at("routeTable"), VNET_ROUTE_TABLE)
        for table in tables if isinstance(tables, list) and len(tables) == 1 else ():
            hop = self._hops.get(table.urn)
            if isinstance(hop, str) and hop in PAST_NAT:
                problem = _problem(
                    f"route table {table.name}",
                    f"sends {EVERYWHERE} to a {hop}, and routes win over the NAT gateway: nothing leaves by it.",
                    "Take the route out, or write outboundType: userDefinedRouting.",
                    "Azure NAT Gateway documentation, nat-overview",
                )
                yield Finding(subnet.resource, problem, "routeTable")

    def _gateway(self, gateway: Resource) -> Iterator[Finding]:
        if (gateway.urn, "") in self._judged:
            return
        self._judged.add((gateway.urn, ""))
        addresses, prefixes = addresses_of(self._resources, gateway)
        if not addresses and not prefixes:
            problem = _problem(
                f"NAT gateway {gateway.name}",
                "has no public address.",
                "Write publicIpAddresses or publicIpPrefixes.",
                _NAT,
            )
            yield Finding(gateway, problem, "publicIpAddresses")
        total = len(addresses.found) + len(addresses.outside)
        for prefix in prefixes.found:
            length = read(prefix.properties, "prefixLength", int)
            if isinstance(length, int) and 0 <= length <= ADDRESS_BITS:
                total += 1 << (ADDRESS_BITS - length)
        if total > NAT_GATEWAY_ADDRESSES:
            problem = _problem(
                f"NAT gateway {gateway.name}",
                f"has {total:,} addresses; {NAT_GATEWAY_ADDRESSES} are allowed.",
                "Take addresses away, or use prefixes that hold no more together: one /28.",
                _NAT,
            )
            yield Finding(gateway, problem, "publicIpAddresses")
        yield from self._references(gateway, addresses, prefixes, "publicIpAddresses")

    def _behind_balancer(self, cluster: Resource, pools: list[Pool]) -> Iterator[Finding]:
        addresses, prefixes = balancer_addresses_of(self._resources, cluster)
        found, _, _ = self._subnets.of_pools(pools)
        behind = [subnet for subnet in found if gateways_of(self._resources, subnet) is not None]
        if behind and not certainly_exists(cluster):
            problem = _problem(
                "outboundType loadBalancer",
                f"is refused where the subnet has a NAT gateway, as {behind[0].name} has.",
                "Write outboundType: userAssignedNATGateway, without a loadBalancerProfile.",
                "Azure/AKS CHANGELOG, 2022-05-01",
            )
            yield Finding(cluster, problem, "networkProfile")
        elif not behind and not addresses and not prefixes:
            problem = _problem(
                "outboundType loadBalancer",
                "without addresses of yours leaves by one that AKS made, which goes with the cluster.",
                "Write outboundType: userAssignedNATGateway with a NAT gateway on the subnet, or "
                "loadBalancerProfile.outboundIPs.",
                _OUTBOUND,
            )
            yield Finding(cluster, problem, "networkProfile")
        yield from self._references(cluster, addresses, prefixes, "networkProfile")

    def _behind_routes(self, cluster: Resource, pools: list[Pool]) -> Iterator[Finding]:
        found, outside, undecided = self._subnets.of_pools(pools)
        for unknown in undecided:
            yield Finding(cluster, unknown, "agentPoolProfiles")
        for id_ in outside:
            if id_.casefold() not in self._listed["routedSubnets"]:
                reason = f"is not part of this stack: list it in routedSubnets of {NAME} if it leads to a firewall."
                yield Finding(cluster, Undecided(f"the route table of {id_}", reason), "agentPoolProfiles")
        for subnet in found:
            tables = referred(self._resources, subnet.resource, subnet.at("routeTable"), VNET_ROUTE_TABLE)
            hop: str | Undecided | None = None
            if isinstance(tables, str):
                hop = Undecided(f"the routes of {tables}", "are not part of this stack.")
            elif isinstance(tables, Undecided):
                hop = tables
            elif tables:
                hop = self._hops.get(tables[0].urn)
            if isinstance(hop, Undecided):
                yield Finding(subnet.resource, hop, "routeTable")
            elif hop not in PAST_NAT:
                problem = _problem(
                    f"subnet {subnet.name}",
                    f"has no route for {EVERYWHERE} to a firewall or gateway, and outboundType userDefinedRouting of "
                    f"{cluster.name} leaves by nothing else.",
                    f"Write a route table with {EVERYWHERE} to a VirtualAppliance.",
                    _OUTBOUND,
                )
                yield Finding(subnet.resource, problem, "routeTable")

    def _managed(self, kind: str, pools: list[Pool]) -> Problem:
        found, outside, undecided = self._subnets.of_pools(pools)
        if found or outside or undecided:
            reason = "is refused for nodes in a subnet of yours."
        else:
            reason = "leaves by addresses that AKS made, which go with the cluster."
        return _problem(
            f"outboundType {shown(kind)}",
            reason,
            "Write userAssignedNATGateway, with a NAT gateway of yours on the subnet.",
            _OUTBOUND,
        )

    def _references(self, owner: Resource, addresses: References, prefixes: References, key: str) -> Iterator[Finding]:
        for references in (addresses, prefixes):
            if references.undecided is not None:
                yield Finding(owner, references.undecided, key)
        for resource in (*addresses.found, *prefixes.found):
            if (resource.urn, "") not in self._judged:
                self._judged.add((resource.urn, ""))
                yield from _address(resource)


def _address(resource: Resource) -> Iterator[Finding]:
    """What is wrong with an address, or a prefix, as an address that stays."""
    sku = read(resource.properties, "sku.name", str)
    if isinstance(sku, Undecided):
        yield Finding(resource, sku, "sku")
    elif sku is None or sku.casefold() == "basic":
        problem = _problem(
            resource.name,
            f"has the sku {'Basic, the default' if sku is None else sku}, which neither a NAT gateway nor a Standard "
            "load balancer takes.",
            "Write sku: {name: Standard}; it replaces the address.",
            _NAT,
        )
        yield Finding(resource, problem, "sku")
    if resource.kind == PUBLIC_IP_PREFIX:
        return
    method = read(resource.properties, "publicIPAllocationMethod", str)
    if isinstance(method, Undecided):
        yield Finding(resource, method, "publicIPAllocationMethod")
    elif method is None or method.casefold() != "static":
        problem = _problem(
            resource.name,
            f"is allocated {'dynamically, the default' if method is None else method}: the address can change.",
            "Write publicIPAllocationMethod: Static.",
            _NAT,
        )
        yield Finding(resource, problem, "publicIPAllocationMethod")


def _problem(value: str, reason: str, next_step: str, source: str) -> Problem:
    return Problem(rule=NAME, value=value, reason=reason, next_step=next_step, source=source)
