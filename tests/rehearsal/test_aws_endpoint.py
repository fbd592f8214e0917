"""EC2 of the simulated AWS, asked by boto3: the rules that EC2 keeps and moto does not."""

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from headroom.rehearsal.aws.endpoint import BackDoorRefusedError, Endpoint, start_endpoint

ASSOCIATION_SECONDS = 1.0


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with start_endpoint(tmp_path_factory.mktemp("aws"), association_seconds=ASSOCIATION_SECONDS) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def ec2(aws: Endpoint) -> Any:
    return boto3.client(
        "ec2",
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106  # no secret
        config=Config(retries={"total_max_attempts": 1}),
    )


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def message(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Message"])


def vpc(ec2: Any, cidr: str = "10.68.0.0/16") -> str:
    return str(ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"])


def subnet(ec2: Any, cidr: str = "10.68.204.0/22", zone: str = "us-east-1a", vpc_id: str = "") -> str:
    made = ec2.create_subnet(VpcId=vpc_id or vpc(ec2), CidrBlock=cidr, AvailabilityZone=zone)
    return str(made["Subnet"]["SubnetId"])


def free(ec2: Any, subnet_id: str) -> int:
    return int(ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["AvailableIpAddressCount"])


def associate(ec2: Any, vpc_id: str, cidr: str) -> dict[str, Any]:
    return dict(ec2.associate_vpc_cidr_block(VpcId=vpc_id, CidrBlock=cidr)["CidrBlockAssociation"])


def states(ec2: Any, vpc_id: str) -> dict[str, str]:
    found = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["CidrBlockAssociationSet"]
    return {item["CidrBlock"]: item["CidrBlockState"]["State"] for item in found}


def wait_for(ec2: Any, vpc_id: str, cidr: str, state: str) -> None:
    deadline = time.monotonic() + 60
    while states(ec2, vpc_id).get(cidr) != state:
        assert time.monotonic() < deadline, f"{cidr} never became {state}: {states(ec2, vpc_id)}"
        time.sleep(0.02)


def instance(aws: Endpoint, subnet_id: str, kind: str = "m5.large", **details: Any) -> dict[str, Any]:
    return aws.plant([{"subnetId": subnet_id, "instanceType": kind, **details}])[0]


# --- CIDRs of a VPC -----------------------------------------------------------------------------------------


def test_an_association_takes_time_and_then_routes_are_local(ec2: Any) -> None:
    vpc_id = vpc(ec2)

    assert associate(ec2, vpc_id, "100.64.0.0/16")["CidrBlockState"]["State"] == "associating"
    assert states(ec2, vpc_id)["100.64.0.0/16"] == "associating"
    wait_for(ec2, vpc_id, "100.64.0.0/16", "associated")

    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["RouteTables"]
    routes = {route["DestinationCidrBlock"]: route["GatewayId"] for route in tables[0]["Routes"]}
    assert routes == {"10.68.0.0/16": "local", "100.64.0.0/16": "local"}


def local_routes(ec2: Any, table: str) -> list[str]:
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    return sorted(route["DestinationCidrBlock"] for route in routes if route["GatewayId"] == "local")


def test_a_new_route_table_has_local_routes_for_what_is_associated_only(ec2: Any) -> None:
    vpc_id = vpc(ec2)
    association = associate(ec2, vpc_id, "100.64.0.0/16")["AssociationId"]
    early = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    assert local_routes(ec2, early) == ["10.68.0.0/16"]

    wait_for(ec2, vpc_id, "100.64.0.0/16", "associated")
    assert local_routes(ec2, early) == ["10.68.0.0/16", "100.64.0.0/16"]

    ec2.disassociate_vpc_cidr_block(AssociationId=association)
    wait_for(ec2, vpc_id, "100.64.0.0/16", "disassociated")
    late = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    assert local_routes(ec2, early) == local_routes(ec2, late) == ["10.68.0.0/16"]


def test_a_subnet_in_a_cidr_that_is_still_associating_is_refused(ec2: Any) -> None:
    vpc_id = vpc(ec2)
    associate(ec2, vpc_id, "100.64.0.0/16")

    with pytest.raises(ClientError) as refused:
        subnet(ec2, "100.64.0.0/18", vpc_id=vpc_id)
    assert code(refused) == "InvalidSubnet.Range"

    wait_for(ec2, vpc_id, "100.64.0.0/16", "associated")
    assert subnet(ec2, "100.64.0.0/18", vpc_id=vpc_id)


def test_host_bits_are_cleared_as_ec2_does(ec2: Any) -> None:
    vpc_id = vpc(ec2)

    assert associate(ec2, vpc_id, "100.68.0.18/18")["CidrBlock"] == "100.68.0.0/18"
    assert "100.68.0.0/18" in states(ec2, vpc_id)


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        ("192.168.0.0/16", "is restricted. Use a CIDR from the same private address range"),
        ("198.19.0.0/16", "is restricted."),
        ("100.64.0.0/10", "is invalid."),
        ("100.64.0.0/29", "is invalid."),
        ("10.68.4.0/24", "overlaps"),
    ],
)
def test_an_illegal_cidr_is_an_invalid_vpc_range(ec2: Any, cidr: str, expected: str) -> None:
    with pytest.raises(ClientError) as refused:
        associate(ec2, vpc(ec2), cidr)

    assert code(refused) == "InvalidVpc.Range"
    assert expected in message(refused)


def test_what_is_no_cidr_is_an_invalid_parameter(ec2: Any) -> None:
    with pytest.raises(ClientError) as refused:
        associate(ec2, vpc(ec2), "100.64.b.0/24")

    assert code(refused) == "InvalidParameterValue"


def test_a_cidr_has_to_be_narrower_than_a_route_that_it_falls_into(ec2: Any) -> None:
    vpc_id = vpc(ec2)
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="100.64.0.0/24", GatewayId=gateway)

    with pytest.raises(ClientError) as refused:
        associate(ec2, vpc_id, "100.64.0.0/24")
    assert code(refused) == "InvalidVpc.Range"

    assert associate(ec2, vpc_id, "100.64.0.0/25")["CidrBlock"] == "100.64.0.0/25"


def test_the_sixth_cidr_exceeds_the_quota_until_it_is_raised(aws: Endpoint, ec2: Any) -> None:
    vpc_id = vpc(ec2)
    for number in range(4):
        associate(ec2, vpc_id, f"100.64.{number}.0/24")

    with pytest.raises(ClientError) as refused:
        associate(ec2, vpc_id, "100.64.9.0/24")
    assert code(refused) == "CidrLimitExceeded"

    aws.change(cidr_quota=6)
    try:
        assert associate(ec2, vpc_id, "100.64.9.0/24")
    finally:
        aws.change(cidr_quota=5)


def test_a_cidr_in_which_a_subnet_lies_cannot_be_disassociated(ec2: Any) -> None:
    vpc_id = vpc(ec2)
    association = associate(ec2, vpc_id, "100.64.0.0/16")["AssociationId"]
    wait_for(ec2, vpc_id, "100.64.0.0/16", "associated")
    subnet_id = subnet(ec2, "100.64.0.0/18", vpc_id=vpc_id)

    with pytest.raises(ClientError) as refused:
        ec2.disassociate_vpc_cidr_block(AssociationId=association)
    assert code(refused) == "InvalidCidrBlock.InUse"

    ec2.delete_subnet(SubnetId=subnet_id)
    ec2.disassociate_vpc_cidr_block(AssociationId=association)
    assert states(ec2, vpc_id)["100.64.0.0/16"] == "disassociating"
    wait_for(ec2, vpc_id, "100.64.0.0/16", "disassociated")
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["RouteTables"]
    assert len(tables[0]["Routes"]) == 1, "its local route has gone with it"
    assert associate(ec2, vpc_id, "100.64.0.0/16"), "it may come back"


def test_the_primary_cidr_and_an_unknown_association_cannot_be_disassociated(ec2: Any) -> None:
    found = ec2.describe_vpcs(VpcIds=[vpc(ec2)])["Vpcs"][0]["CidrBlockAssociationSet"][0]

    with pytest.raises(ClientError) as primary:
        ec2.disassociate_vpc_cidr_block(AssociationId=found["AssociationId"])
    with pytest.raises(ClientError) as unknown:
        ec2.disassociate_vpc_cidr_block(AssociationId="vpc-cidr-assoc-0123")

    assert code(primary) == "OperationNotPermitted"
    assert code(unknown) == "InvalidVpcCidrBlockAssociationID.NotFound"


def test_a_local_route_cannot_be_deleted(ec2: Any) -> None:
    table = ec2.create_route_table(VpcId=vpc(ec2))["RouteTable"]["RouteTableId"]

    with pytest.raises(ClientError) as refused:
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.68.0.0/16")

    assert code(refused) == "InvalidParameterValue"


# --- subnets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        ("10.68.204.0/23", "InvalidSubnet.Conflict"),
        ("10.99.0.0/22", "InvalidSubnet.Range"),
        ("10.68.0.0/29", "InvalidSubnet.Range"),
        ("10.68.0.0/15", "InvalidSubnet.Range"),
        ("100.64.b.0/24", "InvalidParameterValue"),
    ],
)
def test_an_illegal_subnet_is_refused_with_the_code_of_ec2(ec2: Any, cidr: str, expected: str) -> None:
    vpc_id = vpc(ec2)
    subnet(ec2, vpc_id=vpc_id)

    with pytest.raises(ClientError) as refused:
        subnet(ec2, cidr, vpc_id=vpc_id)

    assert code(refused) == expected


def test_a_zone_of_another_region_is_refused(ec2: Any) -> None:
    with pytest.raises(ClientError) as refused:
        subnet(ec2, zone="us-west-2a")

    assert code(refused) == "InvalidParameterValue"
    assert "us-east-1a" in message(refused)


def test_a_zone_may_be_named_by_its_id(ec2: Any) -> None:
    made = ec2.create_subnet(VpcId=vpc(ec2), CidrBlock="10.68.0.0/24", AvailabilityZoneId="use1-az6")["Subnet"]

    assert made["AvailabilityZone"] == "us-east-1a"


def test_the_quota_of_subnets_is_kept(aws: Endpoint, ec2: Any) -> None:
    vpc_id = vpc(ec2)
    aws.change(subnet_quota=1)
    try:
        subnet(ec2, vpc_id=vpc_id)
        with pytest.raises(ClientError) as refused:
            subnet(ec2, "10.68.0.0/24", vpc_id=vpc_id)
    finally:
        aws.change(subnet_quota=200)

    assert code(refused) == "SubnetLimitExceeded"


def test_a_subnet_with_an_interface_is_not_deleted_but_its_route_table_association_can_be(ec2: Any) -> None:
    vpc_id = vpc(ec2)
    subnet_id = subnet(ec2, vpc_id=vpc_id)
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet_id)["AssociationId"]
    interface = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]

    ec2.disassociate_route_table(AssociationId=association)
    with pytest.raises(ClientError) as refused:
        ec2.delete_subnet(SubnetId=subnet_id)
    assert code(refused) == "DependencyViolation"

    ec2.delete_network_interface(NetworkInterfaceId=interface)
    ec2.delete_subnet(SubnetId=subnet_id)
    with pytest.raises(ClientError) as gone:
        ec2.describe_subnets(SubnetIds=[subnet_id])
    assert code(gone) == "InvalidSubnetID.NotFound"


def test_deleting_a_subnet_takes_its_associations_along(ec2: Any) -> None:
    vpc_id = vpc(ec2)
    subnet_id = subnet(ec2, vpc_id=vpc_id)
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet_id)

    ec2.delete_subnet(SubnetId=subnet_id)

    assert ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Associations"] == []
    acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["NetworkAcls"]
    assert acls[0]["Associations"] == []


def test_a_subnet_has_one_explicit_route_table(ec2: Any) -> None:
    vpc_id = vpc(ec2)
    subnet_id = subnet(ec2, vpc_id=vpc_id)
    first, second = (ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"] for _ in range(2))
    association = ec2.associate_route_table(RouteTableId=first, SubnetId=subnet_id)["AssociationId"]

    with pytest.raises(ClientError) as refused:
        ec2.associate_route_table(RouteTableId=second, SubnetId=subnet_id)

    assert code(refused) == "Resource.AlreadyAssociated"
    assert ec2.associate_route_table(RouteTableId=first, SubnetId=subnet_id)["AssociationId"] == association


def test_an_unknown_network_acl_association_is_an_error_of_ec2_not_of_the_server(ec2: Any) -> None:
    vpc_id = vpc(ec2)
    acl = ec2.create_network_acl(VpcId=vpc_id)["NetworkAcl"]["NetworkAclId"]

    with pytest.raises(ClientError) as refused:
        ec2.replace_network_acl_association(AssociationId="aclassoc-0123", NetworkAclId=acl)

    assert code(refused) == "InvalidAssociationID.NotFound"


# --- network interfaces ----------------------------------------------------------------------------------------


def test_an_interface_takes_its_addresses_from_the_subnet_and_gives_them_back(ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.204.0/24")

    made = ec2.create_network_interface(SubnetId=subnet_id, SecondaryPrivateIpAddressCount=9)["NetworkInterface"]

    addresses = [item["PrivateIpAddress"] for item in made["PrivateIpAddresses"]]
    assert len(set(addresses)) == 10
    assert [item["Primary"] for item in made["PrivateIpAddresses"]] == [True] + [False] * 9
    assert all(IPv4Address(address) in IPv4Network("10.68.204.0/24") for address in addresses)
    assert free(ec2, subnet_id) == 241
    ec2.delete_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"])
    assert free(ec2, subnet_id) == 251


def test_a_full_subnet_refuses_a_new_interface(ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.204.0/28")
    ec2.create_network_interface(SubnetId=subnet_id, SecondaryPrivateIpAddressCount=10)

    with pytest.raises(ClientError) as refused:
        ec2.create_network_interface(SubnetId=subnet_id)

    assert code(refused) == "InsufficientFreeAddressesInSubnet"
    assert message(refused) == "The specified subnet does not have enough free addresses to satisfy the request."


def test_addresses_come_all_or_not_at_all(ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.204.0/28")
    interface = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]

    with pytest.raises(ClientError) as created:
        ec2.create_network_interface(SubnetId=subnet_id, SecondaryPrivateIpAddressCount=10)
    with pytest.raises(ClientError) as assigned:
        ec2.assign_private_ip_addresses(NetworkInterfaceId=interface, SecondaryPrivateIpAddressCount=11)

    assert code(created) == code(assigned) == "InsufficientFreeAddressesInSubnet"
    assert free(ec2, subnet_id) == 10, "nothing was taken by the refused requests"


def test_addresses_can_be_asked_for_by_name(ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.204.0/24")
    interface = ec2.create_network_interface(SubnetId=subnet_id, PrivateIpAddress="10.68.204.50")["NetworkInterface"]
    identifier = interface["NetworkInterfaceId"]

    answer = ec2.assign_private_ip_addresses(NetworkInterfaceId=identifier, PrivateIpAddresses=["10.68.204.51"])
    assert [item["PrivateIpAddress"] for item in answer["AssignedPrivateIpAddresses"]] == ["10.68.204.51"]

    with pytest.raises(ClientError) as taken:
        ec2.create_network_interface(SubnetId=subnet_id, PrivateIpAddress="10.68.204.51")
    assert code(taken) == "InvalidIPAddress.InUse"
    with pytest.raises(ClientError) as outside:
        ec2.create_network_interface(SubnetId=subnet_id, PrivateIpAddress="10.68.204.2")
    assert code(outside) == "InvalidParameterValue"

    ec2.unassign_private_ip_addresses(NetworkInterfaceId=identifier, PrivateIpAddresses=["10.68.204.51"])
    assert free(ec2, subnet_id) == 250
    with pytest.raises(ClientError) as strange:
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=identifier, PrivateIpAddresses=["10.68.204.51"])
    assert code(strange) == "InvalidParameterValue"


def test_prefixes_are_aligned_and_cost_sixteen_addresses(ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.204.0/24")

    made = ec2.create_network_interface(SubnetId=subnet_id, Ipv4PrefixCount=2)["NetworkInterface"]
    more = ec2.assign_private_ip_addresses(NetworkInterfaceId=made["NetworkInterfaceId"], Ipv4PrefixCount=1)

    prefixes = [item["Ipv4Prefix"] for item in made["Ipv4Prefixes"] + more["AssignedIpv4Prefixes"]]
    assert len(set(prefixes)) == 3
    assert all(IPv4Network(prefix).prefixlen == 28 for prefix in prefixes)
    assert free(ec2, subnet_id) == 251 - 1 - 48
    shown = ec2.describe_network_interfaces(NetworkInterfaceIds=[made["NetworkInterfaceId"]])["NetworkInterfaces"][0]
    assert [item["Ipv4Prefix"] for item in shown["Ipv4Prefixes"]] == prefixes
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=made["NetworkInterfaceId"], Ipv4Prefixes=prefixes[:1])
    assert free(ec2, subnet_id) == 251 - 1 - 32


def test_a_missing_block_is_told_differently_by_an_assignment_and_by_a_creation(ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.204.0/26")
    for address in ("10.68.204.20", "10.68.204.40"):
        ec2.create_network_interface(SubnetId=subnet_id, PrivateIpAddress=address)
    interface = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    assert free(ec2, subnet_id) == 56, "fragmented, not full"

    with pytest.raises(ClientError) as assigned:
        ec2.assign_private_ip_addresses(NetworkInterfaceId=interface, Ipv4PrefixCount=1)
    with pytest.raises(ClientError) as created:
        ec2.create_network_interface(SubnetId=subnet_id, Ipv4PrefixCount=1)

    assert code(assigned) == "InsufficientCidrBlocks"
    assert code(created) == "InvalidParameterValue"
    assert message(created) == "There aren't sufficient free Ipv4 addresses or prefixes"
    assert free(ec2, subnet_id) == 56, "the refused creation gave its primary address back"


def test_addresses_and_prefixes_do_not_mix_in_one_request(ec2: Any) -> None:
    subnet_id = subnet(ec2)

    with pytest.raises(ClientError) as refused:
        ec2.create_network_interface(SubnetId=subnet_id, Ipv4PrefixCount=1, SecondaryPrivateIpAddressCount=1)

    assert code(refused) == "InvalidParameterCombination"


def test_an_unknown_security_group_is_refused(ec2: Any) -> None:
    subnet_id = subnet(ec2)

    with pytest.raises(ClientError) as refused:
        ec2.create_network_interface(SubnetId=subnet_id, Groups=["sg-0123456789abcdef0"])

    assert code(refused) == "InvalidGroup.NotFound"


def test_the_limits_of_the_instance_type_hold(aws: Endpoint, ec2: Any) -> None:
    subnet_id = subnet(ec2)
    node = instance(aws, subnet_id, "m5.large", interfaces=[{"addresses": 9}, {}])
    third = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]

    with pytest.raises(ClientError) as attached:
        ec2.attach_network_interface(NetworkInterfaceId=third, InstanceId=node["instanceId"], DeviceIndex=3)
    with pytest.raises(ClientError) as assigned:
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=node["interfaces"][1]["networkInterfaceId"], SecondaryPrivateIpAddressCount=1
        )

    assert code(attached) == "AttachmentLimitExceeded"
    assert code(assigned) == "PrivateIpAddressLimitExceeded"
    assert "Number of private addresses will exceed limit." in message(assigned)


def test_an_attached_interface_is_not_deleted_before_it_is_detached(aws: Endpoint, ec2: Any) -> None:
    subnet_id = subnet(ec2)
    node = instance(aws, subnet_id, interfaces=[{}])
    interface = node["interfaces"][1]

    with pytest.raises(ClientError) as refused:
        ec2.delete_network_interface(NetworkInterfaceId=interface["networkInterfaceId"])
    assert "is currently in use" in message(refused)

    ec2.detach_network_interface(AttachmentId=interface["attachmentId"])
    ec2.delete_network_interface(NetworkInterfaceId=interface["networkInterfaceId"])


def test_an_interface_goes_with_its_instance_if_its_attachment_says_so(aws: Endpoint, ec2: Any) -> None:
    subnet_id = subnet(ec2)
    node = instance(aws, subnet_id)
    kept, gone = (
        ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"] for _ in range(2)
    )
    for index, interface in enumerate((kept, gone), start=1):
        attachment = ec2.attach_network_interface(
            NetworkInterfaceId=interface, InstanceId=node["instanceId"], DeviceIndex=index
        )["AttachmentId"]
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface,
            Attachment={"AttachmentId": attachment, "DeleteOnTermination": interface == gone},
        )

    ec2.terminate_instances(InstanceIds=[node["instanceId"]])

    left = ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet_id]}])["NetworkInterfaces"]
    assert [(item["NetworkInterfaceId"], item["Status"]) for item in left] == [(kept, "available")]


def test_an_instance_needs_room_in_its_subnet_and_a_type_that_exists(ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.204.0/28")
    request = {"ImageId": "ami-rehearsal", "SubnetId": subnet_id, "MinCount": 12, "MaxCount": 12}

    with pytest.raises(ClientError) as full:
        ec2.run_instances(InstanceType="m5.large", **request)
    with pytest.raises(ClientError) as unknown:
        ec2.run_instances(InstanceType="m5.enormous", **request)

    assert code(full) == "InsufficientFreeAddressesInSubnet"
    assert code(unknown) == "InvalidParameterValue"
    assert free(ec2, subnet_id) == 11


def test_interfaces_are_found_by_any_of_their_addresses(aws: Endpoint, ec2: Any) -> None:
    node = instance(aws, subnet(ec2), primary={"addresses": 3})
    wanted = node["interfaces"][0]["addresses"][2]

    filters = [{"Name": "addresses.private-ip-address", "Values": [wanted]}]
    found = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]

    assert [item["NetworkInterfaceId"] for item in found] == [node["interfaces"][0]["networkInterfaceId"]]
    assert found[0]["Attachment"]["InstanceId"] == node["instanceId"]


# --- reservations ------------------------------------------------------------------------------------------------


def test_a_reservation_lies_in_its_subnet_overlaps_no_other_and_lowers_the_count(ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.204.0/24")

    made = ec2.create_subnet_cidr_reservation(
        SubnetId=subnet_id, Cidr="10.68.204.64/26", ReservationType="prefix", Description="for pods"
    )["SubnetCidrReservation"]

    assert made["Description"] == "for pods"
    assert free(ec2, subnet_id) == 251 - 64
    for cidr in ("10.68.204.96/27", "10.68.205.0/28"):
        with pytest.raises(ClientError):
            ec2.create_subnet_cidr_reservation(SubnetId=subnet_id, Cidr=cidr, ReservationType="prefix")
    ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=made["SubnetCidrReservationId"])
    assert free(ec2, subnet_id) == 251


def test_reservations_come_in_a_burst_of_five_and_then_at_a_rate(aws: Endpoint, ec2: Any) -> None:
    subnet_id = subnet(ec2)

    def reserve(number: int) -> None:
        cidr = f"10.68.205.{16 * number}/28"
        ec2.create_subnet_cidr_reservation(SubnetId=subnet_id, Cidr=cidr, ReservationType="prefix")

    try:
        aws.change(reservation_rate=1000)
        time.sleep(0.02)
        reserve(0)
        aws.change(reservation_rate=0.001)
        for number in range(1, 5):
            reserve(number)
        with pytest.raises(ClientError) as refused:
            reserve(5)
        aws.change(reservation_rate=1000)
        time.sleep(0.02)
        reserve(5)
    finally:
        aws.change(reservation_rate=1)

    assert code(refused) == "RequestLimitExceeded"


# --- the back door -----------------------------------------------------------------------------------------------


def test_planting_a_cluster_makes_what_the_api_calls_would_have_made(aws: Endpoint, ec2: Any) -> None:
    subnet_id = subnet(ec2, "10.68.192.0/20")

    planted = aws.plant(
        [
            {
                "subnetId": subnet_id,
                "instanceType": "m5.8xlarge",
                "tags": {"Name": f"node-{number}"},
                "primary": {"addresses": 29},
                "interfaces": [{"addresses": 29, "description": "aws-K8S-i"}, {"prefixes": 2}],
            }
            for number in range(5)
        ]
    )

    assert free(ec2, subnet_id) == 4091 - 5 * (30 + 30 + 1 + 32)
    filters = [{"Name": "attachment.instance-id", "Values": [planted[0]["instanceId"]]}]
    shown = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    assert [len(item["PrivateIpAddresses"]) for item in shown] == [30, 30, 1]
    assert [item["Ipv4Prefix"] for item in shown[2]["Ipv4Prefixes"]] == planted[0]["interfaces"][2]["prefixes"]
    described = ec2.describe_instances(InstanceIds=[planted[0]["instanceId"]])["Reservations"][0]["Instances"][0]
    assert described["PrivateDnsName"] == planted[0]["privateDnsName"]
    assert described["Tags"] == [{"Key": "Name", "Value": "node-0"}]


def test_the_back_door_says_what_it_does_not_know(aws: Endpoint) -> None:
    with pytest.raises(BackDoorRefusedError, match="cidr_quta is not a setting"):
        aws.change(cidr_quta=6)
    with pytest.raises(BackDoorRefusedError, match="adresses: not known here"):
        aws.plant([{"subnetId": "subnet-1", "instanceType": "m5.large", "adresses": 3}])
    with pytest.raises(BackDoorRefusedError, match="there is no GET /headroom/nothing"):
        aws.back_door("GET", "nothing")


def test_what_moto_does_not_have_is_an_error_of_aws_and_says_so(ec2: Any) -> None:
    with pytest.raises(ClientError) as refused:
        ec2.describe_ipam_pools()

    assert code(refused) == "InvalidAction"
    assert "simulated AWS does not have" in message(refused)


def test_other_services_answer_at_the_same_address(aws: Endpoint) -> None:
    def client(service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]  # any service
            endpoint_url=aws.url,
            region_name="us-east-1",
            aws_access_key_id="rehearsal",
            aws_secret_access_key="rehearsal",  # noqa: S106  # no secret
        )

    assert client("sts").get_caller_identity()["Account"] == aws.account
    client("cloudwatch").put_metric_data(Namespace="Headroom", MetricData=[{"MetricName": "FreeAddresses", "Value": 1}])
    assert client("cloudwatch").list_metrics()["Metrics"][0]["MetricName"] == "FreeAddresses"


def test_a_filter_with_several_values_finds_what_has_any_of_them(ec2: Any) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnet_ids, table_ids = [], []
    for number in range(3):
        subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.20.{number}.0/24")["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        subnet_ids.append(subnet)
        table_ids.append(table)
    found = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": subnet_ids[:2]}])
    assert {table["RouteTableId"] for table in found["RouteTables"]} == set(table_ids[:2])
