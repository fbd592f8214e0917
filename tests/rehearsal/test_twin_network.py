"""A copied VPC answers as the original did: ids, CIDRs, routes, interfaces and addresses."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from headroom.collect import aws as readers
from headroom.facts.aws import (
    Aws,
    CidrAssociation,
    CidrReservation,
    Interface,
    Peering,
    Route,
    RouteTable,
    Subnet,
    Vpc,
)
from headroom.facts.document import load
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items, known
from headroom.rehearsal import made
from headroom.rehearsal.aws.endpoint import BackDoorRefusedError, Endpoint
from headroom.rehearsal.aws.settings import ACCOUNT
from headroom.rehearsal.scenarios.twin.network import content_of
from headroom.rehearsal.scenarios.twin.original import Original, read_original

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

INCIDENTS = Path(__file__).parents[1] / "incidents"
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def endpoint(simulated_aws: Endpoint) -> Endpoint:
    return simulated_aws


def client(endpoint: Endpoint, region: str) -> "EC2Client":
    return boto3.client(
        "ec2",
        endpoint_url=endpoint.url,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the simulated AWS asks for none
    )


def incident(name: str) -> Snapshot:
    return load((INCIDENTS / name / "facts.json").read_text(encoding="utf-8"), subject=name)


def aws(snapshot: Snapshot) -> Aws:
    assert isinstance(snapshot.aws, Aws)
    return snapshot.aws


def with_aws(snapshot: Snapshot, **changes: Any) -> Original:
    return read_original(replace(snapshot, aws=replace(aws(snapshot), **changes)))


def subnets_of(endpoint: Endpoint, original: Original) -> dict[str, Subnet]:
    ec2 = client(endpoint, original.region)
    _, tables = readers.read_route_tables(ec2, original.vpc.vpc_id)
    return {
        subnet.subnet_id: replace(subnet, route_table_id=tables.get(subnet.subnet_id))
        for subnet in readers.read_subnets(ec2, original.vpc.vpc_id, ACCOUNT)
    }


@pytest.mark.parametrize(
    "make", [lambda: incident("eks-leaked-enis"), lambda: incident("eks-fragmented"), made.exhausted]
)
def test_a_copied_vpc_answers_every_question_as_the_original_did(endpoint: Endpoint, make: Any) -> None:
    original = read_original(make())
    ec2, vpc_id = client(endpoint, original.region), original.vpc.vpc_id
    assert endpoint.replicate(content_of(original)) == []
    assert replace(readers.read_vpc(ec2, vpc_id), owner_id=None) == replace(original.vpc, owner_id=None)
    by_id = {table.route_table_id: table for table in readers.read_route_tables(ec2, vpc_id)[0]}
    assert by_id == {table.route_table_id: table for table in original.tables}
    assert {name: replace(subnet, reservations=()) for name, subnet in subnets_of(endpoint, original).items()} == {
        subnet.subnet_id: replace(subnet, reservations=()) for subnet in original.subnets
    }
    interfaces = {each.interface_id: each for each in readers.read_interfaces(ec2, vpc_id)}
    assert interfaces == {each.interface_id: each for each in original.interfaces}


def odd() -> Snapshot:
    """A VPC in which everything occurs that a copy has to take care of."""
    vpc_id = "vpc-0odd"
    return replace(
        incident("eks-leaked-enis"),
        cluster="odd",
        aws=Aws(
            region=REGION,
            vpc=Vpc(
                vpc_id=vpc_id,
                cidr_blocks=(
                    CidrAssociation(cidr_block="10.9.0.0/24", state="associated", association_id="vpc-cidr-assoc-1"),
                    CidrAssociation(cidr_block="100.64.0.0/24", state="associated", association_id="vpc-cidr-assoc-2"),
                    CidrAssociation(cidr_block="100.65.0.0/24", state="disassociated"),
                ),
            ),
            subnets=(
                Subnet(
                    subnet_id="subnet-0node",
                    zone="eu-west-1a",
                    zone_id="euw1-az3",
                    cidr_block="10.9.0.0/25",
                    available_addresses=100,
                    tags={"Name": "nodes"},
                    route_table_id=None,
                ),
                Subnet(
                    subnet_id="subnet-0pods",
                    zone="eu-west-1-lhr-1a",
                    zone_id="euw1-lhr1-az1",
                    cidr_block="100.64.0.0/26",
                    available_addresses=43,
                    tags={"kubernetes.io/role/cni": "1"},
                    route_table_id="rtb-0other",
                    reservations=(
                        CidrReservation(
                            reservation_id="scr-1",
                            subnet_id="subnet-0pods",
                            cidr="100.64.0.16/28",
                            reservation_type="prefix",
                        ),
                    ),
                ),
            ),
            route_tables=(
                RouteTable(
                    route_table_id="rtb-0main",
                    main=True,
                    routes=(
                        Route(destination="10.9.0.0/24", target="local"),
                        Route(destination="100.64.0.0/24", target="local"),
                        Route(destination="0.0.0.0/0", target="nat-0gone", state="blackhole"),
                        Route(destination="10.0.0.0/8", target="tgw-01"),
                        Route(destination="192.168.0.0/16", target="pcx-01"),
                        Route(destination="pl-63a5400a", target="vpce-01"),
                    ),
                ),
                RouteTable(
                    route_table_id="rtb-0other",
                    routes=(
                        Route(destination="10.9.0.0/24", target="local"),
                        Route(destination="100.64.0.0/24", target="local"),
                        Route(destination="0.0.0.0/0", target="igw-01"),
                        Route(destination="172.31.0.0/16", target="arn:aws:networkmanager::1:core-network/c"),
                    ),
                ),
            ),
            peerings=(
                Peering(
                    peering_id="pcx-01",
                    status="active",
                    role="accepter",
                    peer_cidr_blocks=("192.168.0.0/16",),
                ),
            ),
            interfaces=(
                Interface(
                    interface_id="eni-0node",
                    subnet_id="subnet-0node",
                    zone="eu-west-1a",
                    description="",
                    instance_id="i-0node",
                    device_index=0,
                    network_card=0,
                    addresses=("10.9.0.10", "10.9.0.11"),
                    attached_at="2026-01-01T00:00:00Z",
                ),
                Interface(
                    interface_id="eni-0card",
                    subnet_id="subnet-0node",
                    zone="eu-west-1a",
                    instance_id="i-0node",
                    device_index=1,
                    network_card=1,
                    addresses=("10.9.0.12",),
                    prefixes=("10.9.0.32/28",),
                    attached_at="2026-01-01T00:00:00Z",
                    created_at="2025-12-31T23:59:59Z",
                    node_instance_id="i-0node",
                ),
                Interface(
                    interface_id="eni-0twice",
                    subnet_id="subnet-0node",
                    zone="eu-west-1a",
                    status="available",
                    addresses=("10.9.0.20", "10.9.0.11"),
                ),
            ),
        ),
        kubernetes=replace(
            incident("eks-leaked-enis").kubernetes,  # type: ignore[type-var] # known in this snapshot
            nodes=(
                replace(
                    items(known(incident("eks-leaked-enis").kubernetes).nodes)[0],  # type: ignore[union-attr] # known
                    instance_id="i-0node",
                    zone="eu-west-1a",
                ),
            ),
        ),
    )


@pytest.fixture(scope="module")
def left_out(endpoint: Endpoint) -> list[str]:
    """What was left out of the copy of the odd VPC, which is there from here on."""
    return endpoint.replicate(content_of(read_original(odd())))


def test_what_a_copy_cannot_have_is_left_out_and_said(left_out: list[str]) -> None:
    assert [sentence.partition(":")[0] for sentence in left_out] == [
        "the route 172.31.0.0/16 of rtb-0other",
        "the address 10.9.0.11 of eni-0twice",
        "who has 3 addresses of subnet-0node",
    ]


@pytest.mark.usefixtures("left_out")
def test_odd_zones_reservations_peers_and_routes_are_copied(endpoint: Endpoint) -> None:
    original = read_original(odd())
    ec2, vpc_id = client(endpoint, REGION), original.vpc.vpc_id
    vpc = readers.read_vpc(ec2, vpc_id)
    assert [block.cidr_block for block in items(vpc.cidr_blocks)] == ["10.9.0.0/24", "100.64.0.0/24"]
    subnets = subnets_of(endpoint, original)
    assert {name: (each.zone, each.zone_id, each.available_addresses) for name, each in subnets.items()} == {
        "subnet-0node": ("eu-west-1a", "euw1-az3", 100),
        "subnet-0pods": ("eu-west-1-lhr-1a", "euw1-lhr1-az1", 43),
    }
    reserved = readers.read_subnet_reservations(ec2, ["subnet-0pods"])
    assert reserved == {"subnet-0pods": original.subnets[1].reservations}
    main = next(table for table in readers.read_route_tables(ec2, vpc_id)[0] if table.main)
    assert set(main.routes) == set(original.tables[0].routes)
    assert [each.peer_cidr_blocks for each in readers.read_peerings(ec2, vpc_id)] == [("192.168.0.0/16",)]
    card = {each.interface_id: each for each in readers.read_interfaces(ec2, vpc_id)}["eni-0card"]
    assert card == original.interfaces[1]


def test_a_vpc_that_ec2_would_never_have_had_is_refused(endpoint: Endpoint) -> None:
    snapshot = incident("eks-healthy")
    first, *others = items(aws(snapshot).subnets)
    overlapping = with_aws(snapshot, subnets=(first, replace(first, subnet_id="subnet-0again"), *others))
    with pytest.raises(BackDoorRefusedError, match="conflicts with another subnet"):
        endpoint.replicate(content_of(overlapping))
