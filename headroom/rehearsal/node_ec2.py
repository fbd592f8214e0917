"""One node's view of EC2, over HTTP: what the simulated VPC CNI calls."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from headroom.addresses.blocks import format_address, parse_address
from headroom.capacity.ec2 import Ec2Error, Interface, Subnet

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

INTERFACE_DESCRIPTION = "aws-K8S-{instance_id}"
"""How the VPC CNI describes what it creates (amazon-vpc-cni-k8s, awsutils)."""
INSTANCE_TAG = "node.k8s.amazonaws.com/instance_id"
"""The tag by which the VPC CNI finds its own interfaces again."""


UNAUTHORIZED = "UnauthorizedOperation"
"""EC2 API reference, error codes."""


class NodeEc2:
    """Implements `headroom.capacity.ec2.Ec2` for one instance with boto3."""

    def __init__(  # noqa: PLR0913 - what a node knows of itself, by keyword
        self,
        client: "EC2Client",
        *,
        vpc_id: str,
        zone: str,
        instance_id: str,
        security_groups: Sequence[str],
        attached: Sequence[Any] = (),
        on_denied: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._vpc_id = vpc_id
        self._zone = zone
        self._instance_id = instance_id
        self._security_groups = list(security_groups)
        self._on_denied = on_denied
        self.errors: Counter[tuple[str, str]] = Counter()
        """How often EC2 refused, by action and error code."""
        # What hangs on the instance, the interface that it booted with aside: that one is never detached.
        secondary = [each for each in attached if each["Attachment"]["DeviceIndex"]]
        self._attachments = {each["NetworkInterfaceId"]: each["Attachment"]["AttachmentId"] for each in secondary}
        self._indices = {each["NetworkInterfaceId"]: int(each["Attachment"]["DeviceIndex"]) for each in secondary}

    def describe_subnets(self) -> Sequence[Subnet]:
        """DescribeSubnets of the node's VPC and zone."""
        answer = self._call(
            self._client.describe_subnets,
            Filters=[
                {"Name": "vpc-id", "Values": [self._vpc_id]},
                {"Name": "availability-zone", "Values": [self._zone]},
            ],
        )
        return [
            Subnet(
                id=subnet["SubnetId"],
                free_addresses=subnet["AvailableIpAddressCount"],
                tags={tag["Key"]: tag["Value"] for tag in subnet.get("Tags", [])},
            )
            for subnet in answer["Subnets"]
        ]

    def create_interface(self, subnet_id: str, *, addresses: int = 0, prefixes: int = 0) -> Interface:
        """CreateNetworkInterface with secondary addresses or prefixes."""
        wanted: dict[str, Any] = {}
        if addresses:
            wanted["SecondaryPrivateIpAddressCount"] = addresses
        if prefixes:
            wanted["Ipv4PrefixCount"] = prefixes
        answer = self._call(
            self._client.create_network_interface,
            SubnetId=subnet_id,
            Groups=self._security_groups,
            Description=INTERFACE_DESCRIPTION.format(instance_id=self._instance_id),
            TagSpecifications=[
                {
                    "ResourceType": "network-interface",
                    "Tags": [{"Key": INSTANCE_TAG, "Value": self._instance_id}],
                }
            ],
            **wanted,
        )
        return interface_from(answer["NetworkInterface"])

    def attach_interface(self, interface_id: str) -> None:
        """AttachNetworkInterface at the first free device index."""
        taken = set(self._indices.values())
        index = next(number for number in range(1, 128) if number not in taken)
        answer = self._call(
            self._client.attach_network_interface,
            NetworkInterfaceId=interface_id,
            InstanceId=self._instance_id,
            DeviceIndex=index,
        )
        self._attachments[interface_id] = answer["AttachmentId"]
        self._indices[interface_id] = index

    def detach_interface(self, interface_id: str) -> None:
        """DetachNetworkInterface."""
        self._call(self._client.detach_network_interface, AttachmentId=self._attachments.pop(interface_id))
        del self._indices[interface_id]

    def delete_interface(self, interface_id: str) -> None:
        """DeleteNetworkInterface."""
        self._call(self._client.delete_network_interface, NetworkInterfaceId=interface_id)

    def assign_addresses(self, interface_id: str, count: int) -> tuple[int, ...]:
        """AssignPrivateIpAddresses with a count of addresses."""
        answer = self._call(
            self._client.assign_private_ip_addresses,
            NetworkInterfaceId=interface_id,
            SecondaryPrivateIpAddressCount=count,
        )
        return tuple(parse_address(item["PrivateIpAddress"]) for item in answer["AssignedPrivateIpAddresses"])

    def assign_prefixes(self, interface_id: str, count: int) -> tuple[int, ...]:
        """AssignPrivateIpAddresses with a count of prefixes."""
        answer = self._call(
            self._client.assign_private_ip_addresses, NetworkInterfaceId=interface_id, Ipv4PrefixCount=count
        )
        return tuple(_first_of(item["Ipv4Prefix"]) for item in answer["AssignedIpv4Prefixes"])

    def unassign_addresses(self, interface_id: str, addresses: Sequence[int]) -> None:
        """UnassignPrivateIpAddresses for addresses."""
        self._call(
            self._client.unassign_private_ip_addresses,
            NetworkInterfaceId=interface_id,
            PrivateIpAddresses=[format_address(address) for address in addresses],
        )

    def unassign_prefixes(self, interface_id: str, prefixes: Sequence[int]) -> None:
        """UnassignPrivateIpAddresses for prefixes."""
        self._call(
            self._client.unassign_private_ip_addresses,
            NetworkInterfaceId=interface_id,
            Ipv4Prefixes=[f"{format_address(prefix)}/28" for prefix in prefixes],
        )

    def _call(self, operation: Any, **arguments: Any) -> Any:
        try:
            return operation(**arguments)
        except ClientError as error:
            details = error.response["Error"]
            self.errors[error.operation_name, details["Code"]] += 1
            if details["Code"] == UNAUTHORIZED:
                self._on_denied(error.operation_name)
            raise Ec2Error(details["Code"], details["Message"], call=error.operation_name) from error


def interface_from(described: Any) -> Interface:
    """An interface as EC2 describes it, in the pool model's terms."""
    secondary = [item["PrivateIpAddress"] for item in described["PrivateIpAddresses"] if not item.get("Primary")]
    return Interface(
        id=described["NetworkInterfaceId"],
        subnet_id=described["SubnetId"],
        primary_address=parse_address(described["PrivateIpAddress"]),
        addresses=tuple(parse_address(address) for address in secondary),
        prefixes=tuple(_first_of(item["Ipv4Prefix"]) for item in described.get("Ipv4Prefixes", [])),
    )


def _first_of(prefix: str) -> int:
    return parse_address(prefix.partition("/")[0])
