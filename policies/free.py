"""The addresses that are free now, zone by zone, out of what was read elsewhere: nothing here asks a cloud.

A stack does not know them: `aws.ec2.Subnet` has no such output. They come from `aws ec2 describe-subnets`, or from a
stack that exports what `aws.ec2.get_subnet` answers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headroom.addresses.blocks import Block, shown, usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import SUBNET_EXCLUDED, SUBNET_ROLE_TAG
from policies.network import known_pod_subnets
from policies.resources import SUBNET, Resource, Resources

STACK: Final = "pulumi:pulumi:Stack"
"""The resource that a stack's outputs are kept in."""

FROM_OUTPUTS: Final = "as the stack's outputs had it at its last update"


@dataclass(frozen=True, slots=True)
class SubnetNow:
    """One subnet as it was read.

    Attributes:
        id: Its id; empty where it was not read.
        zone: Its availability zone.
        vpc_id: Its VPC; empty where it was not read.
        free: Addresses that are free.
        usable: Addresses that interfaces can have; None where the CIDR was not read.
        excluded: Whether the VPC CNI is told to leave it alone.
    """

    id: str
    zone: str
    vpc_id: str
    free: int
    usable: int | None
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Free:
    """Free addresses of a zone, and of how many; None where a CIDR was not read."""

    addresses: int
    usable: int | None


def described(document: object) -> list[SubnetNow] | None:
    """The subnets of `aws ec2 describe-subnets`; None where the document is none of it.

    Raises:
        ProblemsError: A subnet has no zone or no number of free addresses.
    """
    listed = document.get("Subnets") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        return None
    found: list[SubnetNow] = []
    problems: list[Problem] = []
    for index, item in enumerate(listed):
        fields = item if isinstance(item, Mapping) else {}
        tags = fields.get("Tags")
        roles = [
            tag.get("Value")
            for tag in (tags if isinstance(tags, list) else ())
            if isinstance(tag, Mapping) and tag.get("Key") == SUBNET_ROLE_TAG
        ]
        subnet = _subnet(
            fields.get("SubnetId"),
            fields.get("AvailabilityZone"),
            fields.get("VpcId"),
            fields.get("AvailableIpAddressCount"),
            fields.get("CidrBlock"),
            excluded=SUBNET_EXCLUDED in roles,
        )
        if subnet is None:
            problems.append(
                Problem(
                    rule="facts",
                    key=f"Subnets[{index}]",
                    value=shown(fields.get("SubnetId")),
                    reason="has no AvailabilityZone or no AvailableIpAddressCount.",
                    next_step="Give what `aws ec2 describe-subnets` prints, all of it.",
                )
            )
        else:
            found.append(subnet)
    if problems:
        raise ProblemsError(problems, subject="--facts")
    return found


def exported(resources: Iterable[Resource]) -> list[SubnetNow]:
    """The subnets among a stack's outputs, wherever they are kept in them, and those that carry it themselves."""
    found = {
        (subnet.id or f"{resource.urn} {number}"): subnet
        for resource in resources
        if resource.type in (STACK, SUBNET)
        for number, subnet in enumerate(_within(resource.properties))
    }
    return list(found.values())


def _within(value: object) -> Iterator[SubnetNow]:
    if isinstance(value, Mapping):
        subnet = _subnet(
            value.get("id"),
            value.get("availabilityZone"),
            value.get("vpcId"),
            value.get("availableIpAddressCount"),
            value.get("cidrBlock"),
            excluded=_role(value) == SUBNET_EXCLUDED,
        )
        if subnet is not None:
            yield subnet
        else:
            for item in value.values():
                yield from _within(item)
    elif isinstance(value, list):
        for item in value:
            yield from _within(item)


def _role(value: Mapping[str, Any]) -> object:
    tags = value.get("tags")
    return tags.get(SUBNET_ROLE_TAG) if isinstance(tags, Mapping) else None


def _subnet(  # noqa: PLR0913 - private; the fields of a subnet
    id_: object, zone: object, vpc_id: object, free: object, cidr: object, *, excluded: bool
) -> SubnetNow | None:
    if not isinstance(zone, str) or not isinstance(free, int) or isinstance(free, bool) or free < 0:
        return None
    try:
        usable = usable_addresses(Block.parse(cidr, canonical=True)) if isinstance(cidr, str) else None
    except ProblemsError:
        usable = None
    return SubnetNow(
        id=id_ if isinstance(id_, str) else "",
        zone=zone,
        vpc_id=vpc_id if isinstance(vpc_id, str) else "",
        free=free,
        usable=usable,
        excluded=excluded,
    )


def by_zone(subnets: Iterable[SubnetNow], resources: Resources) -> dict[str, Free]:
    """Free addresses by zone, of the subnets that pods may draw from in the VPCs of the stack's pod subnets."""
    vpcs = {
        vpc_id for subnet in known_pod_subnets(resources) if isinstance(vpc_id := subnet.properties.get("vpcId"), str)
    }
    found: dict[str, Free] = {}
    for subnet in subnets:
        if subnet.excluded or (vpcs and subnet.vpc_id and subnet.vpc_id not in vpcs):
            continue
        so_far = found.get(subnet.zone, Free(0, 0))
        usable = None if so_far.usable is None or subnet.usable is None else so_far.usable + subnet.usable
        found[subnet.zone] = Free(so_far.addresses + subnet.free, usable)
    return found
