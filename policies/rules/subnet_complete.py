"""Writing a subnet must not take away what it has."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.blocks import listed
from headroom.addresses.problems import Problem
from policies.aks import CLUSTER_TYPES, pools_of
from policies.findings import Finding, Undecided, read
from policies.resources import RETIRED_CLUSTER_COMPONENT, VNET, Resource, Resources
from policies.vnet import SUBNET_TYPES, Subnet, Subnets

NAME = "subnet-complete"
DESCRIPTION = "A subnet that nodes leave from is written with its route table and security group, or leaves them alone."
TYPES = (*CLUSTER_TYPES, *SUBNET_TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("aks", "safety")
REMEDIATION = (
    "Write routeTable: {id: …} and networkSecurityGroup: {id: …} as the subnet has them, or "
    'ResourceOptions(ignore_changes=["routeTable", "networkSecurityGroup"]) and `pulumi refresh` first: the provider '
    "then sends again what the state holds."
)
CONFIG_SCHEMA: Mapping[str, Any] = {}

ATTACHED: Final = ("routeTable", "networkSecurityGroup", "natGateway")
"""What a PUT of a subnet detaches where it leaves it out (Azure/AKS #400 and #1242)."""

EXPECTED: Final = ("routeTable", "networkSecurityGroup")
"""Those that others attach: AKS its route table under kubenet, a policy of the company its security group."""

_INDEX: Final = re.compile(r"\[(\d+|\*)\]")


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Subnets of nodes, or behind a NAT gateway, whose next PUT would detach something.

    A subnet is sent whole, and nothing of it forces a replacement: a preview shows a harmless update.

    Stops: the few lines that gave a node subnet its NAT gateway and named nothing but prefix and gateway. They would
    have taken AKS's route table off, and with it every route between the pods of the cluster that still ran.
    """
    del config
    subnets, pools = Subnets(resources), pools_of(resources)
    with_nodes, _, undecided = subnets.of_pools(pools)
    keys = {subnet.key for subnet in with_nodes}
    for subnet in subnets.all:
        relevant = subnet.key in keys or _written(subnet, "natGateway")
        found = list(_judge(subnet, relevant=relevant or bool(undecided)))
        # A pool whose subnet is not known may be in this one.
        if found and not relevant and not _attached(subnet):
            found = [Finding(subnet.resource, Undecided(f"whether nodes are in subnet {subnet.name}"), "routeTable")]
        yield from found
    for vnet in resources.of_type(VNET):
        yield from _mixed(vnet, subnets)


def _judge(subnet: Subnet, *, relevant: bool) -> Iterator[Finding]:
    resource = subnet.resource
    attached = _attached(subnet)
    if attached:
        problem = _problem(
            f"subnet {subnet.name}",
            f"has a {listed(attached)} that the program does not write: the next PUT detaches it.",
            f"Write {listed(attached)}, or ignore changes of it and refresh.",
        )
        yield Finding(resource, problem, attached[0])
        return
    missing = [name for name in EXPECTED if _left_out(subnet, name)]
    if missing and relevant:
        paths = [_ignoring(subnet, name) for name in missing]
        problem = _problem(
            f"subnet {subnet.name}",
            f"is written without {listed(missing)}: its PUT detaches what AKS or anybody else has attached.",
            f"Write {listed(missing)}, or ignore_changes={paths} and refresh first.",
        )
        yield Finding(resource, problem, missing[0])


def _mixed(vnet: Resource, subnets: Subnets) -> Iterator[Finding]:
    inside = read(vnet.written, "subnets", list)
    beside = [subnet.name for subnet in subnets.of_vnet(vnet) if not subnet.path]
    if isinstance(inside, Undecided):
        if beside:
            yield Finding(vnet, inside, "subnets")
    elif inside and beside and "subnets" not in vnet.ignore_changes:
        problem = _problem(
            f"VNet {vnet.name}",
            f"lists subnets inside, and {listed(beside)} {'is' if len(beside) == 1 else 'are'} written beside it: a "
            "PUT of the VNet deletes what its list does not name.",
            'Write all of them as Subnet, and ignore_changes=["subnets"] on the VNet.',
            "pulumi-azure-native, VirtualNetwork; #1251",
        )
        yield Finding(vnet, problem, "subnets")


def _attached(subnet: Subnet) -> list[str]:
    """What it certainly has and the next PUT would detach."""
    return [name for name in ATTACHED if _left_out(subnet, name) and _has(subnet, name)]


def _left_out(subnet: Subnet, name: str) -> bool:
    if name == "routeTable" and RETIRED_CLUSTER_COMPONENT in subnet.resource.parent_types:
        # Its component takes off AKS's own table alone, once no node is left in a user pool, and sends all else again.
        return False
    return not _written(subnet, name) and not _ignored(subnet, name)


def _written(subnet: Subnet, name: str) -> bool:
    """Whether the program writes it; what only `up` will show is written."""
    return read(subnet.resource.written, subnet.at(name), object) is not None


def _has(subnet: Subnet, name: str) -> bool:
    """Whether it is known to be attached: the provider has answered it, or the program wrote it before."""
    if read(subnet.resource.properties, subnet.at(name), dict):
        return True
    return isinstance(read(subnet.resource.before, subnet.at(name), dict), dict)


def _ignored(subnet: Subnet, name: str) -> bool:
    paths = {_INDEX.sub(r".\1", path) for path in subnet.resource.ignore_changes}
    if not subnet.path:
        return name in paths
    return bool(paths & {"subnets", f"{subnet.path}.{name}", f"subnets.*.{name}"})


def _ignoring(subnet: Subnet, name: str) -> str:
    return "subnets" if subnet.path else name


def _problem(value: str, reason: str, next_step: str, source: str = "Azure/AKS #400 and #1242") -> Problem:
    return Problem(rule=NAME, value=value, reason=reason, next_step=next_step, source=source)
