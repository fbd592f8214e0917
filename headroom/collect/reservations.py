"""CIDR reservations of a subnet as EC2 has them: pulumi-aws makes and imports them, but cannot look them up."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

IAM_ACTIONS: Final = ("ec2:GetSubnetCidrReservations",)
"""What the reader's role needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CidrReservation:
    """One IPv4 reservation.

    Attributes:
        reservation_id: Such as `scr-0123456789abcdef0`.
        cidr_block: What is set aside.
        reservation_type: `prefix` or `explicit` (EC2 API reference, SubnetCidrReservation).
        description: Empty where there is none.
    """

    reservation_id: str
    cidr_block: str
    reservation_type: str
    description: str = ""


def read_reservations(ec2: "EC2Client", subnet_id: str) -> list[CidrReservation]:
    """The IPv4 reservations of a subnet, in EC2's order.

    Args:
        ec2: A client of the subnet's Region.
        subnet_id: The subnet.

    Raises:
        botocore.exceptions.ClientError: EC2 refused the call.
    """
    found: list[CidrReservation] = []
    more: dict[str, Any] = {}
    while True:
        # boto3 has no paginator for this action.
        page = ec2.get_subnet_cidr_reservations(SubnetId=subnet_id, **more)
        found.extend(
            CidrReservation(
                reservation_id=item["SubnetCidrReservationId"],
                cidr_block=item["Cidr"],
                reservation_type=item["ReservationType"],
                description=item.get("Description") or "",
            )
            for item in page.get("SubnetIpv4CidrReservations", [])
        )
        if not page.get("NextToken"):
            return found
        more = {"NextToken": page["NextToken"]}
