"""What a reader of the simulated AWS sees as it would see it in AWS."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from headroom.addresses.association import CIDR_QUOTA_CODE
from headroom.capacity.quotas import INTERFACE_QUOTA_CODE
from headroom.rehearsal.aws.endpoint import Endpoint, start_endpoint
from headroom.rehearsal.aws.quotas import SUBNET_QUOTA_CODE


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with start_endpoint(tmp_path_factory.mktemp("aws"), association_seconds=0, cidr_quota=7) as endpoint:
        yield endpoint


def client(aws: Endpoint, service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload] # the stubs list services one by one
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106 - no secret
    )


def test_the_interface_of_a_nat_gateway_is_aws_own_and_in_use(aws: Endpoint) -> None:
    ec2 = client(aws, "ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.68.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.68.0.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet_id, ConnectivityType="private")["NatGateway"]
    (interface,) = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])[
        "NetworkInterfaces"
    ]
    assert interface["NetworkInterfaceId"] == gateway["NatGatewayAddresses"][0]["NetworkInterfaceId"]
    assert (interface["Status"], interface["InterfaceType"], interface["RequesterManaged"]) == (
        "in-use",
        "nat_gateway",
        True,
    )
    assert interface["Description"] == f"Interface for NAT Gateway {gateway['NatGatewayId']}"


def test_a_cluster_tells_its_address_family(aws: Endpoint) -> None:
    ec2, eks = client(aws, "ec2"), client(aws, "eks")
    vpc_id = ec2.create_vpc(CidrBlock="10.69.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.69.0.0/24")["Subnet"]["SubnetId"]
    eks.create_cluster(
        name="prod", roleArn="arn:aws:iam::123456789012:role/c", resourcesVpcConfig={"subnetIds": [subnet_id]}
    )
    network = eks.describe_cluster(name="prod")["cluster"]["kubernetesNetworkConfig"]
    assert network == {"ipFamily": "ipv4", "serviceIpv4Cidr": "172.20.0.0/16"}


def test_service_quotas_are_those_that_are_enforced(aws: Endpoint) -> None:
    quotas = client(aws, "service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="vpc")
    found = {item["QuotaCode"]: item["Value"] for page in pages for item in page["Quotas"]}
    assert (found[CIDR_QUOTA_CODE], found[INTERFACE_QUOTA_CODE], found[SUBNET_QUOTA_CODE]) == (7.0, 5000.0, 200.0)
    aws.change(interface_quota=6000)
    again = {item["QuotaCode"]: item["Value"] for item in quotas.list_service_quotas(ServiceCode="vpc")["Quotas"]}
    assert again[INTERFACE_QUOTA_CODE] == 6000.0
