"""The maps of subnets: every address once, every owner with a shape of its own, the table with the same numbers."""

import re
from collections import Counter

import pytest

from headroom.diagnosis.owners import Holdings
from headroom.facts.aws import Aws, CidrReservation, Interface, Subnet
from headroom.facts.kubernetes import Kubernetes, Node, Pod
from headroom.facts.snapshot import Snapshot
from headroom.rehearsal import made
from headroom.report.pictures import LEGEND, Picture, Row, class_of, sign, subnet_picture

SUBNET = Subnet(subnet_id="s", zone="z", cidr_block="10.0.0.0/24", available_addresses=0)


def drawn(snapshot: Snapshot, subnet: Subnet) -> Picture:
    picture = subnet_picture(subnet, Holdings(snapshot), label="words")
    assert picture is not None
    return picture


def signs(picture: Picture) -> Counter[str]:
    """How many signs of each kind a picture draws."""
    return Counter(
        {owner: path.count("M") for owner, path in re.findall(r'<path class="o-(\w+)" d="([^"]*)"', picture.svg)}
    )


def total(rows: tuple[Row, ...]) -> Counter[str]:
    counted = Counter[str]()
    for row in rows:
        counted.update(row.counts)
    return counted


def subnets_of(snapshot: Snapshot) -> tuple[Subnet, ...]:
    assert isinstance(snapshot.aws, Aws)
    assert isinstance(snapshot.aws.subnets, tuple)
    return snapshot.aws.subnets


def test_each_address_of_a_small_subnet_is_drawn_once_and_the_table_has_the_same_numbers() -> None:
    snapshot = made.exhausted()
    for subnet, free in zip(subnets_of(snapshot), (0, 0, 389), strict=True):
        picture = drawn(snapshot, subnet)
        assert signs(picture) == total(picture.rows)
        assert signs(picture).total() == 1024
        assert (signs(picture)["kept"], signs(picture)["free"]) == (5, free)
        first = str(subnet.cidr_block).removesuffix("/22")
        assert picture.rows[0].block == f"{first} to {first.removesuffix('.0')}.255"
        assert picture.each == "one address"


def test_each_28_of_a_large_subnet_is_drawn_once_and_the_more_of_it_is_held_the_larger() -> None:
    def interface(number: int, first: int, count: int) -> Interface:
        addresses = tuple(f"10.0.{first // 256}.{first % 256 + n}" for n in range(count))
        return Interface(interface_id=f"e{number}", subnet_id="s", interface_type="lambda", addresses=addresses)

    subnet = Subnet(subnet_id="s", cidr_block="10.0.0.0/18")
    snapshot = Snapshot(
        aws=Aws(subnets=(subnet,), interfaces=(interface(1, 16, 5), interface(2, 32, 6), interface(3, 48, 16)))
    )
    picture = drawn(snapshot, subnet)
    assert signs(picture) == {"others": 3, "free": 1021}
    widths = re.search(r'class="o-others" d="([^"]*)"', picture.svg)
    assert widths is not None
    # The diamond's first stroke goes half its width to the right.
    assert re.findall(r"m([0-9.]+) 0l", widths[1]) == ["1", "1.5", "2"]
    assert total(picture.rows) == {"others": 27, "kept": 5, "free": 16384 - 32}
    assert sum(row.free28 for row in picture.rows) == 1024 - 3 - 2, "the first and the last are partly kept by AWS"


def test_prefixes_reservations_leaks_and_strangers_have_their_own_signs() -> None:
    subnet = Subnet(
        subnet_id="s",
        cidr_block="10.0.0.0/24",
        reservations=(
            CidrReservation(reservation_id="r", subnet_id="s", cidr="10.0.0.128/27", reservation_type="prefix"),
            CidrReservation(reservation_id="r", subnet_id="s", cidr="nonsense", reservation_type="prefix"),
        ),
    )
    snapshot = Snapshot(
        aws=Aws(
            subnets=(subnet,),
            interfaces=(
                Interface(
                    interface_id="e1",
                    subnet_id="s",
                    instance_id="i-1",
                    device_index=0,
                    addresses=("10.0.0.5",),
                    prefixes=("10.0.0.16/28",),
                ),
                Interface(
                    interface_id="e2",
                    subnet_id="s",
                    status="available",
                    description="aws-K8S-i-2",
                    addresses=("10.0.0.40", "10.0.0.41"),
                ),
                Interface(interface_id="e3", subnet_id="s", interface_type="nat_gateway", addresses=("10.0.0.60",)),
                Interface(interface_id="e4", subnet_id="s", addresses=("10.9.9.9", "not an address")),
            ),
        ),
        kubernetes=Kubernetes(
            nodes=(Node(name="n", instance_id="i-1"),),
            pods=tuple(
                Pod(namespace="d", name=f"p{n}", node="n", phase="Running", ip=f"10.0.0.{16 + n}") for n in range(3)
            ),
        ),
    )
    assert signs(drawn(snapshot, subnet)) == {
        "pods": 3,
        "warm": 13,
        "nodes": 1,
        "leaked": 2,
        "others": 1,
        "reserved": 32,
        "kept": 5,
        "free": 199,
    }


@pytest.mark.parametrize("cidr", ["10.0.0.0/99", "10.0.0.0/30", "10.0.0.0/8", "here", "10.0.0.1/24"])
def test_what_is_no_subnet_has_no_picture(cidr: str) -> None:
    subnet = Subnet(subnet_id="s", cidr_block=cidr)
    assert subnet_picture(subnet, Holdings(Snapshot(aws=Aws(subnets=(subnet,)))), label="words") is None


def test_the_smallest_subnet_is_one_28() -> None:
    subnet = Subnet(subnet_id="s", cidr_block="10.0.0.16/28")
    picture = drawn(Snapshot(aws=Aws(subnets=(subnet,), interfaces=())), subnet)
    assert signs(picture) == {"kept": 5, "free": 11}
    assert picture.rows[0].block == "10.0.0.16 to 10.0.0.31"


def test_every_owner_has_a_shape_of_its_own_and_every_service_the_same() -> None:
    shapes = {re.search(r'd="([^"]*)"', sign(owner))[1] for owner in LEGEND}  # type: ignore[index] # every sign has one
    assert len(shapes) == len(LEGEND)
    assert {class_of(owner) for owner in ("lambda", "rds", "instance", "never heard of")} == {"others"}


def test_nothing_of_a_snapshot_but_numbers_gets_into_a_picture() -> None:
    hostile = '"><script>'
    subnet = Subnet(subnet_id=hostile, zone=hostile, cidr_block="10.0.0.0/24")
    interface = Interface(interface_id=hostile, subnet_id=hostile, addresses=(hostile,), description=hostile)
    picture = drawn(Snapshot(aws=Aws(subnets=(subnet,), interfaces=(interface,))), subnet)
    assert "script" not in picture.svg
