"""Space set aside in subnets for the /28 prefixes of prefix delegation."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_aws import ec2

from headroom.addresses.blocks import (
    DELEGATED_PREFIX_LENGTH,
    Block,
    read_blocks,
    usable_addresses,
)
from headroom.addresses.free import free_blocks
from headroom.addresses.problems import Problem, ProblemsError
from headroom.addresses.reservations import addresses_outside, kept_by_aws, reservation_shape_problems

CREATE_BURST = 5
"""CreateSubnetCidrReservation calls that EC2's request bucket allows at once (EC2 API reference, throttling)."""
CREATE_INTERVAL_SECONDS = 1.0
"""Time after which the bucket holds one more call."""

PREFIX = "prefix"
"""Type of a reservation that EC2 takes /28 prefixes from (EC2 API reference, SubnetCidrReservation)."""


def reservation_description(name: str) -> str:
    """What the reservations of the component of that name are called."""
    return f"Prefix delegation ({name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedSubnet:
    """One subnet and what to reserve in it.

    Attributes:
        subnet_id: The subnet.
        cidr_block: Its CIDR. Plain.
        reservations: CIDRs to reserve, canonical, /28 or larger.
        primary_addresses: Addresses that nodes and network interfaces need outside the reservations: one a
            network interface, and one more a node where the subnet is also one for nodes.
        used_addresses: Addresses in use now, for a subnet that exists already.
        used_blocks: Prefixes in use now.
        other_reservations: Reservations that exist already and belong to somebody else.
    """

    subnet_id: pulumi.Input[str]
    cidr_block: str
    reservations: Sequence[str]
    primary_addresses: int
    used_addresses: Sequence[str] = ()
    used_blocks: Sequence[str] = ()
    other_reservations: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixReservationsArgs:
    """Reservations by a key for the subnet that never changes.

    Attributes:
        subnets: What to reserve in which subnet.
        adopt: Ids of reservations that exist already, by "key/CIDR", in the form that an import takes:
            `SUBNET_ID:RESERVATION_ID` (pulumi-aws, SubnetCidrReservation).

    Raises:
        ProblemsError: Every problem at once.
    """

    subnets: Mapping[str, ReservedSubnet] = field(default_factory=dict)
    adopt: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [problem for key, subnet in self.subnets.items() for problem in reservation_problems(key, subnet)]
        if problems:
            raise ProblemsError(problems, subject="PrefixReservationsArgs")


def reservation_problems(key: str, subnet: ReservedSubnet) -> list[Problem]:
    """Everything that speaks against the reservations of one subnet (VPC user guide, subnet-cidr-reservation)."""
    place = f"prefixReservations.{key}"
    found: list[Problem] = []
    reservations = read_blocks(subnet.reservations, key=place, problems=found)
    others = read_blocks(subnet.other_reservations, key=place, problems=found)
    taken = read_blocks(subnet.used_blocks, key=place, problems=found)
    taken += read_blocks(subnet.used_addresses, key=place, problems=found, addresses=True)
    try:
        whole = Block.parse(subnet.cidr_block, key=place)
    except ProblemsError as error:
        return [*error.problems, *found]
    if subnet.primary_addresses < 0:
        found.append(
            Problem(
                rule="primary-addresses",
                key=place,
                value=str(subnet.primary_addresses),
                reason="is no number of addresses.",
                next_step="Write how many network interfaces the subnet will hold.",
            )
        )
    found.extend(
        problem
        for index, block in enumerate(reservations)
        for problem in reservation_shape_problems(
            block, whole, [(other, "") for other in (*others, *reservations[:index])], key=place
        )
    )
    if found:
        return found
    reserved = sum(block.size for block in reservations) + sum(block.size for block in others)
    room = addresses_outside(whole, [*reservations, *others])
    if room < subnet.primary_addresses:
        found.append(
            Problem(
                rule="no-room-for-primary-addresses",
                key=place,
                value=f"{reserved} reserved of {usable_addresses(whole)} addresses",
                reason=f"leaves {room} for the primary addresses of network interfaces, which need "
                f"{subnet.primary_addresses} and are not taken from a reservation.",
                next_step="Reserve less, or use a larger subnet.",
                source="amazon-vpc-cni-k8s #3087",
            )
        )
    taken += kept_by_aws(whole)
    found.extend(
        Problem(
            rule="fragmented-subnet",
            key=place,
            value=str(block),
            reason="holds no wholly free /28: addresses in use, or kept by AWS, are spread over all of it, and a "
            "reservation moves none of them.",
            next_step="Reserve other /28s, or make a new subnet for prefixes.",
            source="VPC user guide, subnet-cidr-reservation",
        )
        for block in reservations
        if not free_blocks([block], taken, DELEGATED_PREFIX_LENGTH, count=1)
    )
    return found


class PrefixReservations(pulumi.ComponentResource):
    """`prefix` reservations: EC2 assigns /28 prefixes from them, and single addresses from elsewhere."""

    reservation_ids: Mapping[str, pulumi.Output[str]]
    """Reservation ids by "key/CIDR"."""

    def __init__(self, name: str, args: PrefixReservationsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:PrefixReservations", name, {}, opts)
        paced = pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook(f"{name}-pace", _pace)])
        made: list[pulumi.Resource] = []
        ids: dict[str, pulumi.Output[str]] = {}
        for key, subnet in args.subnets.items():
            for cidr in subnet.reservations:
                # The burst goes out at once; each further call waits for the one before, and then a moment.
                waits = len(made) >= CREATE_BURST
                reservation = ec2.SubnetCidrReservation(
                    f"{name}-{key}-{cidr}",
                    subnet_id=subnet.subnet_id,
                    cidr_block=cidr,
                    reservation_type=PREFIX,
                    description=reservation_description(name),
                    opts=pulumi.ResourceOptions(
                        parent=self,
                        depends_on=made[-1:] if waits else None,
                        hooks=paced if waits else None,
                        import_=args.adopt.get(f"{key}/{cidr}"),
                        # EC2 cannot change it, and to replace the reservation would be refused as an overlap.
                        ignore_changes=["description"],
                    ),
                )
                made.append(reservation)
                ids[f"{key}/{cidr}"] = reservation.id
        self.reservation_ids = ids
        outputs: dict[str, Any] = {"reservationIds": ids}
        self.register_outputs(outputs)


async def _pace(_: pulumi.ResourceHookArgs) -> None:
    if not pulumi.runtime.is_dry_run():
        await asyncio.sleep(CREATE_INTERVAL_SECONDS)
