"""The nodes of an overlay have a subnet to themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headroom.addresses.azure import NODE_LABEL_CHARACTERS
from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem
from policies.aks import CLUSTER_TYPES, Mode, network_mode, pools_of
from policies.configuration import texts
from policies.findings import Finding, Undecided, read
from policies.resources import AKS_CLUSTER, VNET_ROUTE_TABLE, Resource, Resources
from policies.vnet import SUBNET_TYPES, Subnet, Subnets, referred

NAME = "overlay-own-subnet"
DESCRIPTION = "No other cluster's nodes are in the subnet of an overlay, and it shares no route table with kubenet."
TYPES = (*CLUSTER_TYPES, *SUBNET_TYPES, VNET_ROUTE_TABLE)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("aks", "addresses")
REMEDIATION = (
    "Make a Subnet for the overlay's nodes beside the old one, with the NAT gateway and no route table of another "
    "cluster, and write its id as vnetSubnetID of every pool. `takenSubnets` in the policy's configuration names "
    "subnets of clusters outside the stack."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "takenSubnets": {
        "type": "array",
        "items": {"type": "string"},
        "description": "ARM ids, or names, of subnets that clusters outside the stack have nodes in",
    }
}

NAMED: Final = 3
"""Clusters that a message names before it only counts."""

NAMES: Final = ("virtualNetworkName", "resourceGroupName")
_KUBENET: Final = "AKS documentation, configure-kubenet"
_OVERLAY: Final = "AKS documentation, concepts-network-azure-cni-overlay"


@dataclass(slots=True)
class _Use:
    """What a cluster's pools are in."""

    cluster: Resource
    mode: Mode | Undecided
    subnets: list[Subnet]
    outside: list[str]
    undecided: list[Undecided]

    @property
    def places(self) -> dict[tuple[str, str], set[str]]:
        """What tells the subnets apart, and what each is called."""
        outside = {("", id_.casefold()): {id_.casefold()} for id_ in self.outside}
        return {**{subnet.key: _called(subnet) for subnet in self.subnets}, **outside}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Overlay clusters whose subnet, or its route table, is another cluster's too.

    Stops: a migration that puts the new cluster into the old one's subnet, as a public postmortem has it. kubenet
    allows no second cluster there: the old one's pod routes are in the subnet's table, and go with it.
    """
    subnets, pools = Subnets(resources), pools_of(resources)
    uses = [
        _Use(cluster, network_mode(cluster), *subnets.of_pools(pools.of_cluster[cluster.urn]))
        for cluster in resources.of_type(AKS_CLUSTER)
    ]
    users: dict[tuple[str, str], list[_Use]] = {}
    tables: dict[str, list[_Use]] = {}
    for use in uses:
        for key in use.places:
            users.setdefault(key, []).append(use)
        if use.mode == "kubenet":
            for subnet in use.subnets:
                for table in _tables(resources, subnet):
                    tables.setdefault(table.urn, []).append(use)
    taken = {text.casefold() for text in texts(config, "takenSubnets")}
    for use in uses:
        if isinstance(use.mode, Undecided):
            yield Finding(use.cluster, use.mode, "networkProfile")
        elif use.mode == "overlay":
            yield from _shared(use, users, taken, alone=len(uses) == 1)
            yield from _same_table(resources, use, tables)
            yield from _long_names(use)


def _shared(
    use: _Use, users: Mapping[tuple[str, str], list[_Use]], taken: set[str], *, alone: bool
) -> Iterator[Finding]:
    if not alone or taken:
        for unknown in use.undecided:
            yield Finding(use.cluster, unknown, "agentPoolProfiles")
    for place, names in use.places.items():
        others = _others(users[place], use)
        if taken & names:
            others.append("a cluster outside the stack")
        if others:
            problem = Problem(
                rule=NAME,
                value=f"subnet {shown(min(names, key=len))}",
                reason=f"of {use.cluster.name} has nodes of {listed(others)} too.",
                next_step="Make a subnet for this cluster's nodes alone, and write its id as vnetSubnetID.",
                source=_KUBENET,
            )
            yield Finding(use.cluster, problem, "agentPoolProfiles")


def _called(subnet: Subnet) -> set[str]:
    id_ = subnet.read("id", str) if subnet.path else subnet.resource.id
    return {subnet.name.casefold(), *([id_.casefold()] if isinstance(id_, str) and id_ else ())}


def _others(users: list[_Use], use: _Use) -> list[str]:
    """The other clusters, a few of them by name."""
    named = [other.cluster.name for other in users[: NAMED + 1] if other is not use][:NAMED]
    more = len(users) - 1 - len(named)
    return [*named, *([f"{more:,} more"] if more > 0 else [])]


def _same_table(resources: Resources, use: _Use, tables: Mapping[str, list[_Use]]) -> Iterator[Finding]:
    for subnet in use.subnets:
        for table in _tables(resources, subnet):
            others = [other for other in tables.get(table.urn, ()) if subnet.key not in other.places]
            if others:
                problem = Problem(
                    rule=NAME,
                    value=f"route table {table.name}",
                    reason=f"of subnet {subnet.name} holds the pod routes of {others[0].cluster.name}, a kubenet "
                    "cluster, whose upgrade or deletion takes them and the table away.",
                    next_step=f"Write a route table of its own for {subnet.name}, or none.",
                    source=_KUBENET,
                )
                yield Finding(subnet.resource, problem, "routeTable")


def _tables(resources: Resources, subnet: Subnet) -> list[Resource]:
    found = referred(resources, subnet.resource, subnet.at("routeTable"), VNET_ROUTE_TABLE)
    return found if isinstance(found, list) else []


def _long_names(use: _Use) -> Iterator[Finding]:
    for subnet in use.subnets:
        for key in (subnet.at("name") if subnet.path else "subnetName", *NAMES):
            name = read(subnet.resource.properties, key, str)
            if isinstance(name, str) and len(name) > NODE_LABEL_CHARACTERS:
                problem = Problem(
                    rule=NAME,
                    value=f"{key} {shown(name)}",
                    reason=f"has {len(name)} characters, and nodes of an overlay carry it as a label of "
                    f"{NODE_LABEL_CHARACTERS} at most.",
                    next_step="Write a shorter name.",
                    source=_OVERLAY,
                )
                yield Finding(subnet.resource, problem, key.partition(".")[0])
