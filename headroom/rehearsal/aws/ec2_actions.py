"""The EC2 actions that take more parameters in the simulated AWS than in moto, or answer with more."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2 import urls
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response
from moto.ec2.utils import add_tag_specification

from headroom.rehearsal.aws.ec2 import RefusalError, RehearsalBackend, WantedAddresses
from headroom.rehearsal.aws.settings import Settings

_LAUNCH_NAMES = {
    "PrivateDnsHostnameTypeOnLaunch": "HostnameType",
    "EnableResourceNameDnsAAAARecordOnLaunch": "EnableResourceNameDnsAAAARecord",
}


class RehearsalResponse(EC2Response):
    """The EC2 actions that take more parameters here than in moto, or answer with more."""

    def call_action(self) -> Any:
        """Answer one request, after what was due has happened."""
        self.ec2_backend.settle()
        return super().call_action()

    def modify_subnet_attribute(self) -> ActionResult:
        """ModifySubnetAttribute, with the attributes that moto passes over."""
        subnet = self.ec2_backend.get_subnet(self._get_param("SubnetId"))
        for name, key in _LAUNCH_NAMES.items():
            value = self._get_param(name)
            if value is not None:
                wanted = value.get("Value") if isinstance(value, dict) else value
                subnet.private_dns_name_options_on_launch[key] = wanted
        dns64 = self._get_param("EnableDns64.Value")
        if dns64 is not None:
            subnet.enable_dns64 = dns64
        return super().modify_subnet_attribute()

    def create_network_interface(self) -> ActionResult:
        """CreateNetworkInterface with addresses and prefixes."""
        backend: RehearsalBackend = self.ec2_backend
        addresses = self._get_param("PrivateIpAddresses", [])
        primary = self._get_param("PrivateIpAddress")
        for item in addresses:
            if item.get("Primary"):
                primary = item["PrivateIpAddress"]
        others = [item["PrivateIpAddress"] for item in addresses if item["PrivateIpAddress"] != primary]
        if addresses and not primary:
            primary, others = others[0], others[1:]
        wanted = self._wanted(others)
        self.error_on_dryrun()
        interface = backend.add_interface(
            backend.own_subnet(self._get_param("SubnetId")),
            primary=int(IPv4Address(primary)) if primary else None,
            wanted=wanted,
            group_ids=self._get_param("Groups", []),
            description=self._get_param("Description"),
            tags=add_tag_specification(self._get_param("TagSpecifications", [])),
            ipv6_addresses=[item["Ipv6Address"] for item in self._get_param("Ipv6Addresses", [])],
            ipv6_address_count=self._get_int_param("Ipv6AddressCount", 0),
        )
        return ActionResult({"NetworkInterface": interface})

    def delete_network_interface(self) -> ActionResult:
        """DeleteNetworkInterface: not while it is attached."""
        identifier = self._get_param("NetworkInterfaceId")
        self.error_on_dryrun()
        if self.ec2_backend.get_network_interface(identifier).instance:
            raise RefusalError("InvalidParameterValue", f"Network interface '{identifier}' is currently in use.")
        self.ec2_backend.delete_network_interface(identifier)
        return EmptyResult()

    def modify_network_interface_attribute(self) -> ActionResult:
        """ModifyNetworkInterfaceAttribute, with what becomes of the interface when the instance goes."""
        attachment = self._get_param("Attachment")
        if attachment:
            interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
            if interface.attachment_id != attachment.get("AttachmentId"):
                raise RefusalError(
                    "InvalidAttachmentID.NotFound",
                    f"The network interface attachment ID '{attachment.get('AttachmentId')}' does not exist",
                )
            interface.delete_on_termination = bool(attachment.get("DeleteOnTermination"))
            return EmptyResult()
        return super().modify_network_interface_attribute()

    def assign_private_ip_addresses(self) -> ActionResult:
        """AssignPrivateIpAddresses: addresses or prefixes, by count or by name."""
        identifier = self._get_param("NetworkInterfaceId")
        wanted = self._wanted(self._get_param("PrivateIpAddresses", []))
        if not wanted.slots:
            raise RefusalError(
                "MissingParameter",
                "Either the number of secondary addresses or prefixes, or the addresses or prefixes "
                "themselves must be specified",
            )
        addresses, prefixes = self.ec2_backend.assign(
            identifier, wanted, reassign=bool(self._get_param("AllowReassignment"))
        )
        return ActionResult(
            {
                "NetworkInterfaceId": identifier,
                "AssignedPrivateIpAddresses": [{"PrivateIpAddress": address} for address in addresses],
                "AssignedIpv4Prefixes": [{"Ipv4Prefix": prefix} for prefix in prefixes],
            }
        )

    def unassign_private_ip_addresses(self) -> ActionResult:
        """UnassignPrivateIpAddresses: addresses and prefixes."""
        self.ec2_backend.unassign(
            self._get_param("NetworkInterfaceId"),
            self._get_param("PrivateIpAddresses", []),
            self._get_param("Ipv4Prefixes", []),
        )
        return EmptyResult()

    def terminate_instances(self) -> ActionResult:
        """TerminateInstances, without the load balancers that moto would tell."""
        identifiers = self._get_param("InstanceIds", [])
        self.error_on_dryrun()
        return ActionResult(
            {
                "TerminatingInstances": [
                    {
                        "InstanceId": instance.id,
                        "CurrentState": {"Code": 32, "Name": "shutting-down"},
                        "PreviousState": previous,
                    }
                    for instance, previous in self.ec2_backend.terminate_instances(identifiers)
                ]
            }
        )

    def create_subnet_cidr_reservation(self) -> ActionResult:
        """CreateSubnetCidrReservation with its description and tags."""
        self.error_on_dryrun()
        reservation = self.ec2_backend.create_subnet_cidr_reservation(
            self._get_param("SubnetId"), self._get_param("ReservationType"), self._get_param("Cidr"), []
        )
        reservation.description = self._get_param("Description") or ""
        reservation.add_tags(add_tag_specification(self._get_param("TagSpecifications", [])))
        return ActionResult({"SubnetCidrReservation": reservation})

    def _wanted(self, addresses: Sequence[str]) -> WantedAddresses:
        count = self._get_int_param("SecondaryPrivateIpAddressCount", 0) or 0
        prefix_count = self._get_int_param("Ipv4PrefixCount", 0) or 0
        prefixes = [
            item["Ipv4Prefix"] if isinstance(item, dict) else item for item in self._get_param("Ipv4Prefixes", [])
        ]
        if (count or addresses) and (prefix_count or prefixes):
            raise RefusalError(
                "InvalidParameterCombination",
                "Secondary private IP addresses and IPv4 prefixes may not be specified on the same request",
            )
        if (count and addresses) or (prefix_count and prefixes):
            raise RefusalError(
                "InvalidParameterCombination",
                "A number and the addresses or prefixes themselves may not be specified on the same request",
            )
        return WantedAddresses(
            secondary_count=count,
            secondary=tuple(int(IPv4Address(address)) for address in addresses),
            prefix_count=prefix_count,
            prefixes=tuple(int(IPv4Network(prefix).network_address) for prefix in prefixes),
        )


def install(settings: Settings) -> None:
    """Put this EC2 in the place of moto's own; once in a process, before the first request."""
    RehearsalBackend.settings = settings
    ec2_backends.backend = RehearsalBackend
    urls.url_paths["{0}/"] = RehearsalResponse.dispatch
