"""What several rules ask of a stack's network: which subnets are for pods, in which VPC and zone, with which routes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headroom.addresses.blocks import Block
from headroom.addresses.problems import ProblemsError
from headroom.capacity.cni_version import SUBNET_EXCLUDED, SUBNET_ROLE_TAG
from policies.findings import Undecided, known, read
from policies.resources import (
    CIDR_ASSOCIATION,
    ENI_CONFIG,
    POD_SUBNETS_COMPONENT,
    ROUTE,
    ROUTE_TABLE,
    ROUTE_TABLE_ASSOCIATION,
    SUBNET,
    UNKNOWN,
    VPC,
    Resource,
    Resources,
)

EVERYWHERE: Final = "0.0.0.0/0"
"""The destination of a default route (VPC user guide, VPC_Route_Tables)."""

NO_WAY_OUT: Final = ("gatewayId",)
"""Targets that a pod cannot use: an internet gateway serves public addresses only, `local` the VPC (VPC user guide)."""

WAYS_OUT: Final = (
    "natGatewayId",
    "transitGatewayId",
    "networkInterfaceId",
    "vpcEndpointId",
    "vpcPeeringConnectionId",
    "coreNetworkArn",
    "localGatewayId",
    "carrierGatewayId",
)
"""Targets of a route that take traffic of a private address out of the VPC, as the provider names them."""


def is_for_pods(subnet: Resource) -> bool | Undecided:
    """Whether the VPC CNI takes addresses from it: the role tag is set and is not 0.

    Headroom's component sets it by a resource of its own, which a rule that is asked about the subnet alone does not
    see; that the subnet leaves the key alone tells it.
    """
    tags = known(subnet.properties, "tags")
    if isinstance(tags, Undecided):
        return tags
    if not isinstance(tags, Mapping | None):
        return Undecided("tags", "is not a mapping.")
    role = known(tags, SUBNET_ROLE_TAG) if tags else None
    if isinstance(role, Undecided):
        return Undecided(f"tag {SUBNET_ROLE_TAG}")
    if role is None and POD_SUBNETS_COMPONENT in subnet.parent_types:
        return any(SUBNET_ROLE_TAG in path for path in subnet.ignore_changes)
    return role is not None and role != SUBNET_EXCLUDED


def pod_subnets(resources: Resources) -> Iterator[tuple[Resource, Undecided | None]]:
    """The subnets that pods get addresses from, by tag or by an ENIConfig; with those that may be."""
    by_eni_config = {
        subnet.urn
        for config in resources.of_type(ENI_CONFIG)
        for subnet in linked(resources, config, "spec.subnet", SUBNET)
    }
    for subnet in resources.of_type(SUBNET):
        for_pods = is_for_pods(subnet)
        if subnet.urn in by_eni_config or for_pods is True:
            yield subnet, None
        elif isinstance(for_pods, Undecided):
            yield subnet, for_pods


def known_pod_subnets(resources: Resources) -> list[Resource]:
    """Those of `pod_subnets` that certainly are for pods."""
    return [subnet for subnet, undecided in pod_subnets(resources) if undecided is None]


def linked(resources: Resources, resource: Resource, path: str, *types: str) -> list[Resource]:
    """The resources of these types that a property refers to: one, or a list of them.

    By id where ids are known; otherwise by what the engine recorded of where the value comes from.
    """
    value = read(resource.properties, path, object)
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    by_id = [found for item in values for type_ in types if (found := resources.with_id(type_, item)) is not None]
    if len(by_id) == len(values):
        return by_id
    sources = resources.sources(resource, path.partition(".")[0], *types)
    return list({found.urn: found for found in (*by_id, *sources)}.values())


def unlinked(resources: Resources, resource: Resource, path: str, *types: str) -> list[str] | Undecided:
    """The ids of a property that belong to no resource of the stack; `Undecided` where that cannot be told."""
    value = read(resource.properties, path, object)
    if value is None:
        return []
    unknown = isinstance(value, Undecided) or value is UNKNOWN
    values: Sequence[Any] = [] if unknown else value if isinstance(value, list) else [value]
    if (unknown or UNKNOWN in values) and not resources.sources(resource, path.partition(".")[0], *types):
        return Undecided(path)
    return [
        item
        for item in values
        if isinstance(item, str) and all(resources.with_id(type_, item) is None for type_ in types)
    ]


def block_of(resource: Resource, name: str = "cidrBlock") -> Block | Undecided | ProblemsError:
    """The CIDR of a subnet or an association, host bits cleared as EC2 does; what is wrong with it else."""
    cidr = known(resource.properties, name)
    if cidr is None or isinstance(cidr, Undecided):
        return Undecided(name)
    try:
        return Block.parse(cidr, canonical=True)
    except ProblemsError as error:
        return error


def known_block(resource: Resource) -> Block | None:
    """The CIDR where it is known and is one; other rules say what is wrong with it where it is not."""
    block = block_of(resource)
    return block if isinstance(block, Block) else None


def zone_of(subnet: Resource) -> str | Undecided:
    """The subnet's availability zone, by name or by id."""
    for name in ("availabilityZone", "availabilityZoneId"):
        zone = read(subnet.properties, name, str)
        if isinstance(zone, str):
            return zone
    return Undecided("availabilityZone")


def vpc_of(resources: Resources, resource: Resource) -> str | Undecided:
    """What tells VPCs apart: the URN of one of the stack, else its id."""
    vpc_id = known(resource.properties, "vpcId")
    if isinstance(vpc_id, str):
        own = resources.with_id(VPC, vpc_id)
        return own.urn if own is not None else vpc_id
    for source in resources.sources(resource, "vpcId", VPC, CIDR_ASSOCIATION):
        if source.type == VPC:
            return source.urn
        if source.urn != resource.urn:
            return vpc_of(resources, source)
    return Undecided("vpcId")


def vpc_blocks(resources: Resources, vpc: str, listed: Sequence[Block]) -> tuple[list[Block], bool]:
    """The CIDRs of a VPC as far as the stack and its configuration know them, and whether these are all.

    Args:
        resources: The stack.
        vpc: As `vpc_of` tells.
        listed: CIDRs from the configuration, the primary first.
    """
    blocks: list[Block] = []
    complete = bool(listed)
    own = resources.by_urn.get(vpc)
    if own is not None:
        block = known_block(own)
        complete = block is not None
        blocks = [block] if block is not None else []
    blocks.extend(block for block in listed if block not in blocks)
    for association in resources.of_type(CIDR_ASSOCIATION):
        if vpc_of(resources, association) == vpc:
            block = known_block(association)
            if block is None:
                complete = False
            elif block not in blocks:
                blocks.append(block)
    return blocks, complete


def route_tables(resources: Resources) -> dict[str, list[Resource]]:
    """The route table associations of the stack by the URN of their subnet."""
    found: dict[str, list[Resource]] = {}
    for association in resources.of_type(ROUTE_TABLE_ASSOCIATION):
        for subnet in linked(resources, association, "subnetId", SUBNET):
            found.setdefault(subnet.urn, []).append(association)
    return found


def routes_of(resources: Resources) -> dict[str, list[Mapping[str, Any]]]:
    """The routes of the stack's own route tables, those written inside a table and those beside it, by table URN."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for table in resources.of_type(ROUTE_TABLE):
        inside = read(table.properties, "routes", list)
        found[table.urn] = (
            [_inline(route) for route in inside or () if isinstance(route, Mapping)]
            if not isinstance(inside, Undecided)
            else []
        )
    for route in resources.of_type(ROUTE):
        for table in linked(resources, route, "routeTableId", ROUTE_TABLE):
            found[table.urn].append(route.properties)
    return found


def _inline(route: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**route, "destinationCidrBlock": route.get("cidrBlock")}


def leads_out(route: Mapping[str, Any]) -> bool:
    """Whether it is a default route that a private address can use; a target that is not known yet counts."""
    return route.get("destinationCidrBlock") == EVERYWHERE and any(
        route.get(target) is not None and route.get(target) != "" for target in WAYS_OUT
    )
