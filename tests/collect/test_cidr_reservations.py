"""Reservations as EC2 has them."""

from typing import Any, cast

from headroom.collect import reservations as reader
from headroom.collect.reservations import CidrReservation


class Client:
    """Answers GetSubnetCidrReservations in two pages."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def get_subnet_cidr_reservations(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(arguments)
        number = len(self.asked)
        item = {
            "SubnetCidrReservationId": f"scr-{number}",
            "SubnetId": "subnet-1",
            "Cidr": f"100.64.{number}.0/28",
            "ReservationType": "prefix" if number == 1 else "explicit",
            **({"Description": "mine"} if number == 1 else {}),
        }
        more = {"NextToken": "next"} if number == 1 else {}
        return {"SubnetIpv4CidrReservations": [item], "SubnetIpv6CidrReservations": [{"Cidr": "2600::/80"}], **more}


def test_all_pages_are_read_and_ipv6_is_left_out() -> None:
    client = Client()
    assert reader.read_reservations(cast("Any", client), "subnet-1") == [
        CidrReservation(
            reservation_id="scr-1", cidr_block="100.64.1.0/28", reservation_type="prefix", description="mine"
        ),
        CidrReservation(reservation_id="scr-2", cidr_block="100.64.2.0/28", reservation_type="explicit"),
    ]
    assert client.asked == [{"SubnetId": "subnet-1"}, {"SubnetId": "subnet-1", "NextToken": "next"}]


def test_a_subnet_without_reservations_has_none() -> None:
    class Empty:
        def get_subnet_cidr_reservations(self, SubnetId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
            assert SubnetId == "subnet-1"
            return {}

    assert reader.read_reservations(cast("Any", Empty()), "subnet-1") == []


def test_what_the_reader_calls_is_declared() -> None:
    assert reader.IAM_ACTIONS == ("ec2:GetSubnetCidrReservations",)
