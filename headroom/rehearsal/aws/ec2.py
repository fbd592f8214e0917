"""EC2 of the simulated AWS: moto's backend under the rules that EC2 keeps and moto does not.

Error codes are those of the EC2 API's list of error codes or of errors that public issues quote. Where
neither tells the code or the text, the docstring says so.
"""

import fnmatch
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any, ClassVar

from moto.ec2 import urls
from moto.ec2 import utils as moto_utils
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.elastic_network_interfaces import Attachment, NetworkInterface
from moto.ec2.models.instances import Instance, InstanceState, Reservation
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.models.network_acls import NetworkAclAssociation
from moto.ec2.models.route_tables import RouteTable
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.models.subnets import Subnet, SubnetCidrReservation
from moto.ec2.models.vpcs import VPC
from moto.ec2.utils import (
    EC2_PREFIX_TO_RESOURCE,
    get_prefix,
    random_subnet_id,
    random_vpc_cidr_association_id,
)

from headroom.addresses.association import PendingPeering, check_association
from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block
from headroom.addresses.problems import ProblemsError
from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.rehearsal.aws import pool
from headroom.rehearsal.aws.pool import AddressPool
from headroom.rehearsal.aws.settings import ACCOUNT, Settings

LIVE_STATES = frozenset({"associating", "associated", "disassociating"})
"""States of a CIDR association that count against the quota and against overlaps."""

_RESTRICTED_TEXT = (
    "The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, "
    "or use a publicly-routable CIDR. For additional restrictions, see "
    "https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"
)

_RESTRICTED_RULES = frozenset(
    {
        "rfc1918-mixing",
        "rfc1918-after-other",
        "range-198-19",
        "range-10-0",
        "range-172-31",
        "link-local",
        "special-purpose-range",
    }
)


class RefusalError(EC2ClientError):
    """An answer of EC2 that refuses the request: code and text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAddresses:
    """What a request asks for on one interface, the primary address excepted."""

    secondary_count: int = 0
    secondary: tuple[int, ...] = ()
    prefix_count: int = 0
    prefixes: tuple[int, ...] = ()

    @property
    def slots(self) -> int:
        """Secondary-address slots of the interface that this takes: one a prefix."""
        return self.secondary_count + len(self.secondary) + self.prefix_count + len(self.prefixes)

    @property
    def wants_prefixes(self) -> bool:
        """Whether any prefix is asked for."""
        return bool(self.prefix_count or self.prefixes)


@dataclass(frozen=True, slots=True)
class _Transition:
    """Something that happens later by itself."""

    due: float
    happen: Callable[[], None]


class TokenBucket:
    """EC2's request throttling for one action (EC2 developer guide, ec2-api-throttling)."""

    def __init__(self) -> None:
        self._tokens: float | None = None
        self._filled = 0.0

    def take(self, burst: int, rate: float) -> bool:
        """Take a token if there is one."""
        now = time.monotonic()
        tokens = burst if self._tokens is None else min(burst, self._tokens + (now - self._filled) * rate)
        self._filled = now
        self._tokens = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1


class RehearsalSubnet(Subnet):
    """A subnet that knows its addresses."""

    def __init__(self, *arguments: Any, random: Random, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        network = self.cidr if isinstance(self.cidr, IPv4Network) else IPv4Network("255.255.255.240/28")
        self.pool = AddressPool(network, random)
        self.enable_dns64 = False

    @property
    def available_ip_address_count(self) -> int:
        """Free addresses, counting prefixes as 16 and without what is reserved."""
        return self.pool.available

    def get_available_subnet_ip(self, instance: Instance) -> str:
        """An address for the primary interface of an instance; the interface takes it later."""
        del instance
        with _refusing_full_subnet():
            return text_of(self.pool.peek())

    def request_ip(self, ip: str, instance: Instance) -> None:
        """Check an address that was asked for by name; the interface takes it later."""
        del instance
        with _refusing_address(ip):
            self.pool.check_free(int(IPv4Address(ip)))

    def del_subnet_ip(self, ip: str) -> None:
        """Nothing: the interface gives its addresses back when it is deleted."""


class RehearsalInterface(NetworkInterface):
    """A network interface with prefixes and the filters that moto lacks."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.ipv4_prefixes: list[dict[str, str]] = []
        self.network_card = 0

    @property
    def attachment(self) -> Attachment | None:
        """Where it hangs, on which network card of the instance."""
        attachment = super().attachment
        if attachment is not None:
            attachment.network_card_index = self.network_card
        return attachment

    @property
    def used_slots(self) -> int:
        """Addresses and prefixes on the interface, its primary address included."""
        return len(self.private_ip_addresses) + len(self.ipv4_prefixes)

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """The value that a filter of DescribeNetworkInterfaces compares."""
        if filter_name in ("addresses.private-ip-address", "private-ip-address"):
            return [address["PrivateIpAddress"] for address in self.private_ip_addresses]
        if filter_name == "attachment.status":
            return "attached" if self.instance else None
        if filter_name == "attachment.device-index":
            return str(self.device_index) if self.instance else None
        if filter_name == "ipv4-prefix.ipv4-prefix":
            return [item["Ipv4Prefix"] for item in self.ipv4_prefixes]
        return super().get_filter_value(filter_name, method_name)


def _any_value_matches(obj: Any, _filter: str, filter_value: Any) -> bool:
    """Whether one of several values is one of those wanted, as EC2 filters; moto asks for all or a subset."""
    value = obj.get_filter_value(_filter)
    if isinstance(value, str | bytes | bool | int | datetime) or not isinstance(value, Iterable):
        return bool(_moto_matches(obj, _filter, filter_value))
    patterns = filter_value if isinstance(filter_value, list) else [filter_value]
    return any(fnmatch.fnmatchcase(str(element), str(pattern)) for element in value for pattern in patterns)


_moto_matches = moto_utils.is_filter_matching
moto_utils.is_filter_matching = _any_value_matches


class RehearsalBackend(EC2Backend):
    """EC2 of one Region."""

    settings: ClassVar[Settings] = Settings()

    def __init__(self, region_name: str, account_id: str) -> None:
        self._transitions: list[_Transition] = []
        self._random = Random(self.settings.seed)  # noqa: S311  # it only scatters addresses
        self._reservation_bucket = TokenBucket()
        self._instances: dict[str, Instance] = {}
        super().__init__(region_name, account_id)

    @property
    def _url_module(self) -> Any:
        """Where moto finds the paths that it serves; it would look beside this module."""
        return urls

    # --- time ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let happen what is due."""
        now = time.monotonic()
        due = [item for item in self._transitions if item.due <= now]
        self._transitions = [item for item in self._transitions if item.due > now]
        for item in due:
            item.happen()

    def random_number(self) -> int:
        """A number for a name that AWS chooses."""
        return self._random.randrange(10**9)

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        self._transitions.append(_Transition(time.monotonic() + seconds, happen))
        self.settle()

    # --- interfaces of other services ---------------------------------------------------------------------

    def create_nat_gateway(
        self,
        subnet_id: str,
        allocation_id: str,
        tags: dict[str, str] | None = None,
        connectivity_type: str = "public",
    ) -> NatGateway:
        """A NAT gateway, whose interface is AWS's own and in use: moto's looks like one that was left behind."""
        gateway = super().create_nat_gateway(subnet_id, allocation_id, tags, connectivity_type)
        interface = gateway._eni  # noqa: SLF001  # moto's only way in
        interface.interface_type = "nat_gateway"
        interface.requester_managed = True
        interface.description = f"Interface for NAT Gateway {gateway.id}"
        interface.status = "in-use"
        return gateway

    # --- CIDRs of a VPC -----------------------------------------------------------------------------------

    def associate_vpc_cidr_block(
        self,
        vpc_id: str,
        cidr_block: str,
        amazon_provided_ipv6_cidr_block: bool,  # noqa: FBT001  # moto's signature
    ) -> dict[str, Any]:
        """Associate a CIDR under the rules of the VPC user guide, vpc-cidr-blocks.

        `CidrLimitExceeded` is moto's observation of EC2; `InvalidVpc.Range` with "restricted" is quoted in
        public for a forbidden range, and with "is invalid" for a size. For an overlap, a route, or a peering
        the code is not documented: `InvalidVpc.Range` with our own text stands for it.
        """
        if amazon_provided_ipv6_cidr_block:
            return super().associate_vpc_cidr_block(vpc_id, cidr_block, amazon_provided_ipv6_cidr_block)
        vpc = self.get_vpc(vpc_id)
        canonical = str(self._check_association(vpc, cidr_block))
        associations = vpc._cidr_block_association_set  # noqa: SLF001  # moto offers no other way in
        for identifier in [key for key, item in associations.items() if state_of(item) not in LIVE_STATES]:
            del associations[identifier]
        association: dict[str, Any] = {
            "association_id": random_vpc_cidr_association_id(),
            "cidr_block": canonical,
            "cidr_block_state": {"state": "associating", "StatusMessage": None},
        }
        associations[association["association_id"]] = association

        def finish() -> None:
            if state_of(association) != "associating":
                return
            association["cidr_block_state"]["state"] = "associated"
            self._set_local_routes(vpc)

        self._later(self.settings.association_seconds, finish)
        return association

    def disassociate_vpc_cidr_block(self, association_id: str) -> dict[str, Any]:
        """Disassociate a CIDR: not the primary one, and not one that holds a subnet (`InvalidCidrBlock.InUse`).

        The codes are those of terraform-provider-aws (InvalidVpcCidrBlockAssociationID.NotFound) and of
        errors quoted in public (InvalidCidrBlock.InUse); OperationNotPermitted is moto's observation of EC2.
        """
        for vpc in self.vpcs.values():
            association = vpc._cidr_block_association_set.get(association_id)  # noqa: SLF001  # moto's only way in
            if association is None or state_of(association) not in LIVE_STATES:
                continue
            cidr = association["cidr_block"]
            if "::/" in cidr:
                return super().disassociate_vpc_cidr_block(association_id)
            if state_of(association) == "disassociating":
                return {**association, "vpc_id": vpc.id}
            self._check_disassociation(vpc, association)
            association["cidr_block_state"]["state"] = "disassociating"

            def finish(vpc: VPC = vpc, association: dict[str, Any] = association) -> None:
                association["cidr_block_state"]["state"] = "disassociated"
                self._set_local_routes(vpc)

            answer = {**association, "vpc_id": vpc.id}
            self._later(self.settings.association_seconds, finish)
            return answer
        raise RefusalError(
            "InvalidVpcCidrBlockAssociationID.NotFound",
            f"The vpc CIDR block association ID '{association_id}' does not exist",
        )

    def _check_association(self, vpc: VPC, cidr_block: str) -> Block:
        live = [item["cidr_block"] for item in vpc.get_cidr_block_association_set() if state_of(item) in LIVE_STATES]
        primary_first = sorted(live, key=lambda cidr: cidr != vpc.cidr_block)
        routes = [
            Block.parse(route.destination_cidr_block)
            for table in self._route_tables_of(vpc.id)
            for route in table.routes
            if route.destination_cidr_block and not route.local
        ]
        peers, pending = self._peerings_of(vpc.id)
        try:
            verdict = check_association(
                [Block.parse(cidr, canonical=True) for cidr in primary_first],
                cidr_block,
                routes=routes,
                peers=peers,
                pending_peerings=pending,
                quota=self.settings.cidr_quota,
                allow_family_mix=self.settings.allow_family_mix,
            )
        except ProblemsError as error:
            raise RefusalError(
                "InvalidParameterValue",
                f"Value ({cidr_block}) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
            ) from error
        if verdict.allowed:
            return verdict.canonical
        rules = {problem.rule for problem in verdict.problems}
        if "cidr-quota" in rules:
            raise RefusalError(
                "CidrLimitExceeded",
                f"This network '{vpc.id}' has met its maximum number of allowed CIDRs: {self.settings.cidr_quota}",
            )
        if "cidr-size" in rules:
            raise RefusalError("InvalidVpc.Range", f"The CIDR '{cidr_block}' is invalid.")
        if rules & _RESTRICTED_RULES:
            raise RefusalError("InvalidVpc.Range", _RESTRICTED_TEXT.format(cidr=cidr_block))
        raise RefusalError("InvalidVpc.Range", " ".join(problem.message for problem in verdict.problems))

    def _check_disassociation(self, vpc: VPC, association: Mapping[str, Any]) -> None:
        cidr = association["cidr_block"]
        if cidr == vpc.cidr_block:
            raise RefusalError(
                "OperationNotPermitted",
                f"The vpc CIDR block with association ID {association['association_id']} may not be "
                "disassociated. It is the primary IPv4 CIDR block of the VPC",
            )
        network = IPv4Network(cidr)
        for subnet in self.describe_subnets(filters={"vpc-id": [vpc.id]}):
            if isinstance(subnet.cidr, IPv4Network) and subnet.cidr.subnet_of(network):
                raise RefusalError(
                    "InvalidCidrBlock.InUse",
                    f"The vpc {vpc.id} currently has a subnet within CIDR block {cidr}",
                )

    def create_route_table(
        self,
        vpc_id: str,
        tags: list[dict[str, str]] | None = None,
        main: bool = False,  # noqa: FBT001, FBT002  # moto's signature
    ) -> RouteTable:
        """Create a route table with a local route for each CIDR that is associated."""
        table = super().create_route_table(vpc_id, tags, main)
        self._set_local_routes(self.get_vpc(vpc_id))
        return table

    def _set_local_routes(self, vpc: VPC) -> None:
        """A local route in every table for each associated CIDR, and for no other."""
        wanted = {
            item["cidr_block"]
            for item in vpc.get_cidr_block_association_set()
            if state_of(item) in ("associated", "disassociating")
        }
        for table in self._route_tables_of(vpc.id):
            present = {route.destination_cidr_block for route in table.routes if route.local}
            for cidr in sorted(wanted - present):
                self.create_route(table.id, cidr, local=True)
            for cidr in sorted(present - wanted - {None}):
                super().delete_route(table.id, cidr)

    def _route_tables_of(self, vpc_id: str) -> list[Any]:
        return [table for table in self.route_tables.values() if table.vpc_id == vpc_id]

    def _peerings_of(self, vpc_id: str) -> tuple[list[Block], list[PendingPeering]]:
        peers: list[Block] = []
        pending: list[PendingPeering] = []
        for connection in self.vpc_pcxs.values():
            sides = {connection.vpc.id: connection.peer_vpc, connection.peer_vpc.id: connection.vpc}
            if vpc_id not in sides:
                continue
            blocks = [
                Block.parse(item["cidr_block"], canonical=True)
                for item in sides[vpc_id].get_cidr_block_association_set()
                if state_of(item) in LIVE_STATES
            ]
            code = connection._status.code  # noqa: SLF001  # moto shows the state nowhere else
            if code == "active":
                peers += blocks
            elif code == "pending-acceptance":
                role = PendingPeering("requester") if connection.vpc.id == vpc_id else None
                pending += [role] if role else [PendingPeering("accepter", block) for block in blocks]
        return peers, pending

    # --- subnets ------------------------------------------------------------------------------------------

    def create_subnet(  # noqa: PLR0913, PLR0917  # moto's signature
        self,
        vpc_id: str,
        cidr_block: str,
        ipv6_cidr_block: str | None = None,
        availability_zone: str | None = None,
        availability_zone_id: str | None = None,
        ipv6_native: bool = False,  # noqa: FBT001, FBT002  # moto's signature
        tags: dict[str, dict[str, str]] | None = None,
    ) -> Subnet:
        """Create a subnet: /16 to /28, inside one *associated* CIDR, without overlap, within the quota.

        `InvalidSubnet.Range`, `InvalidSubnet.Conflict` and `SubnetLimitExceeded` are in EC2's list of error
        codes. A CIDR that is still `associating` refuses subnets (hashicorp/terraform #21256).
        """
        vpc = self.get_vpc(vpc_id)
        canonical = self._check_subnet(vpc, cidr_block) if cidr_block else ""
        zone = self._zone(availability_zone, availability_zone_id)
        is_first = not self.subnets.get(zone.name)
        subnet = RehearsalSubnet(  # type: ignore[abstract]  # as moto's own class; CloudFormation is not served
            self,
            random_subnet_id(),
            vpc_id,
            canonical,
            ipv6_cidr_block,
            zone,
            is_first,
            is_first,
            ipv6_native=ipv6_native,
            random=self._random,
        )
        for key, value in (tags or {}).get("subnet", {}).items():
            subnet.add_tag(key, value)
        self.associate_default_network_acl_with_subnet(subnet.id, vpc_id)
        self.subnets[zone.name][subnet.id] = subnet
        return subnet

    def _check_subnet(self, vpc: VPC, cidr_block: str) -> str:
        try:
            block = Block.parse(cidr_block, canonical=True)
        except ProblemsError as error:
            raise RefusalError(
                "InvalidParameterValue",
                f"Value ({cidr_block}) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
            ) from error
        associated = [
            Block.parse(item["cidr_block"], canonical=True)
            for item in vpc.get_cidr_block_association_set()
            if state_of(item) == "associated"
        ]
        if block.prefix_length not in AWS_PREFIX_LENGTHS or not any(whole.contains(block) for whole in associated):
            raise RefusalError("InvalidSubnet.Range", f"The CIDR '{cidr_block}' is invalid.")
        others = self.describe_subnets(filters={"vpc-id": [vpc.id]})
        network = IPv4Network(str(block))
        if any(isinstance(other.cidr, IPv4Network) and other.cidr.overlaps(network) for other in others):
            raise RefusalError("InvalidSubnet.Conflict", f"The CIDR '{cidr_block}' conflicts with another subnet")
        if len(others) >= self.settings.subnet_quota:
            raise RefusalError("SubnetLimitExceeded", "The maximum number of subnets has been reached.")
        return str(block)

    def _zone(self, name: str | None, identifier: str | None) -> Any:
        zones = RegionsAndZonesBackend.zones[self.region_name]
        for zone in zones:
            if (name and zone.name == name) or (not name and zone.zone_id == identifier):
                return zone
        raise RefusalError(
            "InvalidParameterValue",
            f"Value ({name or identifier}) for parameter availabilityZone is invalid. Subnets can currently "
            f"only be created in the following availability zones: {', '.join(zone.name for zone in zones)}.",
        )

    def delete_subnet(self, subnet_id: str) -> Subnet:
        """Delete a subnet; a network interface in it is a `DependencyViolation`.

        Its associations with a route table and a network ACL go with it: they are no dependency.
        """
        subnet = self.get_subnet(subnet_id)
        if any(interface.subnet.id == subnet_id for interface in self.enis.values()):
            raise RefusalError(
                "DependencyViolation", f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
            )
        for table in self.route_tables.values():
            table._associations = {  # noqa: SLF001  # moto offers no other way in
                key: target
                for key, target in table._associations.items()  # noqa: SLF001  # the same
                if target != subnet_id
            }
        for acl in self.network_acls.values():
            acl._associations = {  # noqa: SLF001  # the same
                key: item
                for key, item in acl._associations.items()  # noqa: SLF001  # the same
                if item.subnet_id != subnet_id
            }
        for per_zone in self.subnets.values():
            per_zone.pop(subnet_id, None)
        return subnet

    def create_subnet_cidr_reservation(
        self, subnet_id: str, reservation_type: str, cidr: str, tags: list[dict[str, Any]] | None = None
    ) -> SubnetCidrReservation:
        """Reserve a range; overlap and range are moto's checks, the rate is EC2's (5, then one a second)."""
        settings = self.settings
        if not self._reservation_bucket.take(settings.reservation_burst, settings.reservation_rate):
            raise RefusalError("RequestLimitExceeded", "Request limit exceeded.")
        reservation = super().create_subnet_cidr_reservation(subnet_id, reservation_type, cidr, tags)
        subnet = self.own_subnet(subnet_id)
        if isinstance(reservation.cidr, IPv4Network):
            subnet.pool.reserve(
                reservation.id,
                pool.Reservation(
                    int(reservation.cidr.network_address),
                    int(reservation.cidr.broadcast_address),
                    reservation.reservation_type == "prefix",
                ),
            )
        return reservation

    def delete_subnet_cidr_reservation(self, reservation_id: str) -> SubnetCidrReservation:
        """Give the range back to general use."""
        reservation = super().delete_subnet_cidr_reservation(reservation_id)
        self.own_subnet(reservation.subnet_id).pool.unreserve(reservation_id)
        return reservation

    def own_subnet(self, subnet: Any) -> RehearsalSubnet:
        """The subnet, by id or as moto's object."""
        found = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
        if not isinstance(found, RehearsalSubnet):
            raise TypeError(f"{found} was not created by the rehearsal")
        return found

    # --- associations of subnets ---------------------------------------------------------------------------

    def associate_route_table(
        self, route_table_id: str, gateway_id: str | None = None, subnet_id: str | None = None
    ) -> str:
        """Associate explicitly: once a subnet; the same table again is the same association."""
        wanted = self.get_route_table(route_table_id)
        if subnet_id and self.get_subnet(subnet_id).vpc_id != wanted.vpc_id:
            raise RefusalError(
                "InvalidParameterValue",
                f"route table {route_table_id} and subnet {subnet_id} belong to different networks",
            )
        for table in self.route_tables.values():
            if subnet_id in table._associations.values() and table.id != route_table_id:  # noqa: SLF001  # moto
                raise RefusalError(
                    "Resource.AlreadyAssociated",
                    f"the specified association for route table {route_table_id} conflicts with an existing "
                    "association",
                )
        return super().associate_route_table(route_table_id, gateway_id, subnet_id)

    def delete_route(  # the signature is moto's
        self,
        route_table_id: str,
        destination_cidr_block: str | None,
        destination_ipv6_cidr_block: str | None = None,
        destination_prefix_list_id: str | None = None,
    ) -> Any:
        """Delete a route; a local one goes only with its CIDR."""
        table = self.get_route_table(route_table_id)
        for route in table.routes:
            if route.local and route.destination_cidr_block == destination_cidr_block:
                live = {
                    item["cidr_block"]
                    for item in self.get_vpc(table.vpc_id).get_cidr_block_association_set()
                    if state_of(item) in LIVE_STATES
                }
                if destination_cidr_block in live:
                    raise RefusalError(
                        "InvalidParameterValue",
                        f"cannot remove local route {destination_cidr_block} in route table {route_table_id}",
                    )
        return super().delete_route(
            route_table_id,
            destination_cidr_block,  # type: ignore[arg-type]  # moto itself passes None for an IPv6 route
            destination_ipv6_cidr_block,
            destination_prefix_list_id,
        )

    def replace_network_acl_association(self, association_id: str, network_acl_id: str) -> NetworkAclAssociation:
        """Move a subnet to another network ACL of the same VPC."""
        self.get_network_acl(network_acl_id)
        if not any(association_id in acl._associations for acl in self.network_acls.values()):  # noqa: SLF001  # moto
            raise RefusalError("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")
        return super().replace_network_acl_association(association_id, network_acl_id)

    def describe_security_group_rules(
        self, sg_rule_ids: list[str], filters: dict[str, list[str]]
    ) -> list[SecurityGroupRule]:
        """Rules of security groups, with their owner."""
        rules = super().describe_security_group_rules(sg_rule_ids, filters)
        for rule in rules:
            vars(rule)["group_owner_id"] = self.account_id
        return rules

    # --- network interfaces --------------------------------------------------------------------------------

    def create_network_interface(  # noqa: PLR0913, PLR0917  # moto's signature
        self,
        subnet: Any,
        private_ip_address: str | list[str],
        private_ip_addresses: list[dict[str, Any]] | None = None,
        group_ids: list[str] | None = None,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        delete_on_termination: bool | None = False,  # noqa: FBT001, FBT002  # moto's signature
        **kwargs: Any,
    ) -> NetworkInterface:
        """What moto's own services call (NAT gateways, endpoints): an address outside the subnet is dropped."""
        del private_ip_addresses
        own = self.own_subnet(subnet)
        given = private_ip_address[0] if isinstance(private_ip_address, list) else private_ip_address
        primary = int(IPv4Address(given)) if given else None
        if primary is not None and not own.pool.is_usable(primary):
            primary = None
        return self.add_interface(
            own,
            primary=primary,
            group_ids=group_ids,
            description=description,
            tags=tags,
            delete_on_termination=delete_on_termination,
            **kwargs,
        )

    def add_interface(  # noqa: PLR0913  # what CreateNetworkInterface takes
        self,
        subnet: RehearsalSubnet,
        *,
        primary: int | None = None,
        wanted: WantedAddresses | None = None,
        group_ids: Sequence[str] | None = None,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        delete_on_termination: bool | None = False,
        **others: Any,
    ) -> RehearsalInterface:
        """Create an interface with all the addresses asked for, or nothing.

        Raises:
            RefusalError: `InsufficientFreeAddressesInSubnet` for single addresses; for prefixes EC2 answers a
                creation with `InvalidParameterValue` (amazon-vpc-cni-k8s #3105), unlike an assignment.
        """
        wanted = wanted or WantedAddresses()
        if len(self.enis) >= self.settings.interface_quota:
            raise RefusalError(
                "NetworkInterfaceLimitExceeded", "The maximum number of network interfaces has been reached."
            )
        self._check_groups(group_ids or ())
        holder = f"new-{len(self.enis)}-{self._random.random()}"
        with self._all_or_nothing(subnet) as taken:
            if primary is None:
                with _refusing_full_subnet():
                    primary = subnet.pool.take_any(1, holder, reserved_too=wanted.wants_prefixes)[0]
            else:
                with _refusing_address(text_of(primary)):
                    subnet.pool.take(primary, holder)
            taken.append(primary)
            secondary, prefixes = self._take(subnet, wanted, holder, taken, creating=True)
        interface = RehearsalInterface(  # type: ignore[abstract]  # as moto's own class; CloudFormation is not served
            self,
            subnet,
            text_of(primary),
            [
                {"Primary": index == 0, "PrivateIpAddress": text_of(address)}
                for index, address in enumerate([primary, *secondary])
            ],
            group_ids=list(group_ids or ()),
            description=description,
            tags=tags,
            delete_on_termination=delete_on_termination,
            **others,
        )
        interface.ipv4_prefixes = [{"Ipv4Prefix": prefix_text(block)} for block in prefixes]
        self.enis[interface.id] = interface
        return interface

    def get_network_interface(self, eni_id: str) -> NetworkInterface:
        """Look an interface up without walking through all."""
        if eni_id in self.enis:
            return self.enis[eni_id]
        return super().get_network_interface(eni_id)

    def get_instance(self, instance_id: str) -> Instance:
        """Look an instance up without walking through all."""
        if instance_id not in self._instances:
            self._instances[instance_id] = super().get_instance(instance_id)
        return self._instances[instance_id]

    def delete_network_interface(self, eni_id: str) -> None:
        """Delete an interface and give its addresses back."""
        interface = self.get_network_interface(eni_id)
        super().delete_network_interface(eni_id)
        subnet = self.own_subnet(interface.subnet)
        for address in interface.private_ip_addresses:
            subnet.pool.release(int(IPv4Address(address["PrivateIpAddress"])))
        for prefix in getattr(interface, "ipv4_prefixes", []):
            subnet.pool.release_prefix(int(IPv4Network(prefix["Ipv4Prefix"]).network_address))

    def attach_network_interface(self, eni_id: str, instance_id: str, device_index: int) -> Attachment:
        """Attach within the limits of the instance type (`AttachmentLimitExceeded`)."""
        interface = self._own_interface(eni_id)
        instance = self.get_instance(instance_id)
        if interface.instance:
            raise RefusalError("InvalidNetworkInterface.InUse", f"Interface: [{eni_id}] in use.")
        if int(device_index) in attached_to(instance):
            raise RefusalError(
                "InvalidParameterValue",
                f"Instance '{instance_id}' already has an interface attached at device index '{device_index}'.",
            )
        limits = limits_of(instance.instance_type)
        count = len(attached_to(instance)) + 1
        if count > limits.enis:
            raise RefusalError(
                "AttachmentLimitExceeded",
                f"Interface count {count} exceeds the limit for {instance.instance_type}",
            )
        _check_slots(interface.id, interface.used_slots, limits)
        if interface.availability_zone != instance.availability_zone:
            raise RefusalError(
                "InvalidParameterCombination",
                "You may not attach a network interface to an instance if they are not in the same availability zone",
            )
        return super().attach_network_interface(eni_id, instance_id, int(device_index))

    def assign(self, eni_id: str, wanted: WantedAddresses, *, reassign: bool = False) -> tuple[list[str], list[str]]:
        """Add addresses or prefixes to an interface, all or nothing; gives the new ones.

        Raises:
            RefusalError: `InsufficientFreeAddressesInSubnet`, `InsufficientCidrBlocks` (no free /28, or not
                enough), `PrivateIpAddressLimitExceeded` (the instance type's limit of an interface).
        """
        interface = self._own_interface(eni_id)
        subnet = self.own_subnet(interface.subnet)
        if interface.instance:
            limits = limits_of(interface.instance.instance_type)
            _check_slots(eni_id, interface.used_slots + wanted.slots, limits)
        if reassign:
            for address in wanted.secondary:
                self._take_over(subnet, address)
        with self._all_or_nothing(subnet) as taken:
            secondary, prefixes = self._take(subnet, wanted, eni_id, taken, creating=False)
        addresses = [text_of(address) for address in secondary]
        blocks = [prefix_text(block) for block in prefixes]
        interface.private_ip_addresses += [{"Primary": False, "PrivateIpAddress": address} for address in addresses]
        interface.ipv4_prefixes += [{"Ipv4Prefix": block} for block in blocks]
        return addresses, blocks

    def unassign(self, eni_id: str, addresses: Iterable[str], prefixes: Iterable[str]) -> None:
        """Take secondary addresses and prefixes off an interface; one that it does not have refuses all."""
        interface = self._own_interface(eni_id)
        subnet = self.own_subnet(interface.subnet)
        gone, gone_prefixes = set(addresses), set(prefixes)
        held = {item["PrivateIpAddress"] for item in interface.private_ip_addresses if not item.get("Primary")}
        held_prefixes = {item["Ipv4Prefix"] for item in interface.ipv4_prefixes}
        strange = sorted(gone - held) + sorted(gone_prefixes - held_prefixes)
        if strange:
            raise RefusalError("InvalidParameterValue", f"Some of {strange} are not assigned to interface {eni_id}")
        interface.private_ip_addresses = [
            item for item in interface.private_ip_addresses if item["PrivateIpAddress"] not in gone
        ]
        interface.ipv4_prefixes = [item for item in interface.ipv4_prefixes if item["Ipv4Prefix"] not in gone_prefixes]
        for address in gone:
            subnet.pool.release(int(IPv4Address(address)))
        for prefix in gone_prefixes:
            subnet.pool.release_prefix(int(IPv4Network(prefix).network_address))

    def _own_interface(self, eni_id: str) -> RehearsalInterface:
        interface = self.get_network_interface(eni_id)
        if not isinstance(interface, RehearsalInterface):
            raise TypeError(f"{eni_id} was not created by the rehearsal")
        return interface

    def _check_groups(self, group_ids: Iterable[str]) -> None:
        for identifier in group_ids:
            if self.get_security_group_from_id(identifier) is None:
                raise RefusalError("InvalidGroup.NotFound", f"The security group '{identifier}' does not exist")

    def _take_over(self, subnet: RehearsalSubnet, address: int) -> None:
        """AllowReassignment: take a secondary address from the interface that has it."""
        text = text_of(address)
        for other in self.enis.values():
            for item in list(other.private_ip_addresses):
                if item["PrivateIpAddress"] == text and not item.get("Primary"):
                    other.private_ip_addresses.remove(item)
                    subnet.pool.release(address)

    def _take(
        self,
        subnet: RehearsalSubnet,
        wanted: WantedAddresses,
        holder: str,
        taken: list[int],
        *,
        creating: bool,
    ) -> tuple[list[int], list[int]]:
        secondary: list[int] = []
        for address in wanted.secondary:
            with _refusing_address(text_of(address)):
                subnet.pool.take(address, holder)
            taken.append(address)
            secondary.append(address)
        with _refusing_full_subnet():
            drawn = subnet.pool.take_any(wanted.secondary_count, holder)
        taken += drawn
        prefixes: list[int] = []
        for block in wanted.prefixes:
            with _refusing_address(prefix_text(block)):
                subnet.pool.take_prefix(block, holder)
            prefixes.append(block)
            taken.append(-block)
        try:
            blocks = subnet.pool.take_prefixes(wanted.prefix_count, holder)
        except pool.NoFreePrefixesError as error:
            if creating:
                raise RefusalError(
                    "InvalidParameterValue", "There aren't sufficient free Ipv4 addresses or prefixes"
                ) from error
            raise RefusalError(
                "InsufficientCidrBlocks",
                "The specified subnet does not have enough free cidr blocks to satisfy the request.",
            ) from error
        return secondary + drawn, prefixes + blocks

    @contextmanager
    def _all_or_nothing(self, subnet: RehearsalSubnet) -> Iterator[list[int]]:
        """Give back what a refused request has taken so far: addresses, and prefixes as negative numbers."""
        taken: list[int] = []
        try:
            yield taken
        except RefusalError:
            for address in taken:
                if address < 0:
                    subnet.pool.release_prefix(-address)
                else:
                    subnet.pool.release(address)
            raise

    # --- instances ------------------------------------------------------------------------------------------

    def run_instances(
        self, image_id: str, count: int, user_data: Any, security_group_names: list[str], **kwargs: Any
    ) -> Reservation:
        """Launch instances of a known type into a subnet that has room for them."""
        limits_of(kwargs.get("instance_type", "m1.small"))
        specifications = kwargs.get("nics") or []
        subnet_id = kwargs.get("subnet_id")
        needed: dict[str, int] = {subnet_id: count} if subnet_id else {}
        for item in specifications:
            identifier = item.get("SubnetId")
            if identifier and not item.get("NetworkInterfaceId"):
                secondary = int(item.get("SecondaryPrivateIpAddressCount") or 0)
                needed[identifier] = needed.get(identifier, 0) + count * (1 + secondary)
        for identifier, addresses in needed.items():
            if self.own_subnet(identifier).pool.available < addresses:
                raise _full_subnet()
        reservation = super().run_instances(image_id, count, user_data, security_group_names, **kwargs)
        wishes = {int(item.get("DeviceIndex") or 0): item for item in specifications}
        for instance in reservation.instances:
            self._instances[instance.id] = instance
            for index, interface in instance.nics.items():
                wish = wishes.get(index, {})
                if wish.get("NetworkInterfaceId"):
                    continue
                interface.delete_on_termination = wish.get("DeleteOnTermination") is not False
                self.assign(
                    interface.id,
                    WantedAddresses(
                        secondary_count=int(wish.get("SecondaryPrivateIpAddressCount") or 0),
                        prefix_count=int(wish.get("Ipv4PrefixCount") or 0),
                    ),
                )
        return reservation

    def terminate_instances(self, instance_ids: list[str]) -> list[tuple[Instance, InstanceState]]:
        """Terminate; interfaces that are not deleted on termination become available."""
        terminated = super().terminate_instances(instance_ids)
        for instance, _ in terminated:
            for interface in instance.nics.values():
                interface.instance = None
                interface.attachment_id = None
                interface.attach_time = None
                interface.status = "available"
        return terminated

    def describe_tags(self, filters: dict[str, list[str]] | None = None) -> list[dict[str, str]]:
        """Tags; the common question for one resource is answered without walking through all."""
        if filters and set(filters) == {"resource-id"} and len(filters["resource-id"]) == 1:
            identifier = filters["resource-id"][0]
            if "*" not in identifier and "?" not in identifier:
                return [
                    {
                        "resource_id": identifier,
                        "key": key,
                        "value": value,
                        "resource_type": EC2_PREFIX_TO_RESOURCE.get(get_prefix(identifier), ""),
                    }
                    for key, value in self.tags.get(identifier, {}).items()
                ]
        return super().describe_tags(filters)


def state_of(association: Mapping[str, Any]) -> str:
    """The state of a CIDR association."""
    return str(association["cidr_block_state"]["state"])


def text_of(address: int) -> str:
    """An address as text."""
    return str(IPv4Address(address))


def prefix_text(block: int) -> str:
    """A prefix, given by its first address, as text."""
    return f"{IPv4Address(block)}/28"


def limits_of(instance_type: str) -> InstanceLimits:
    """The limits of an instance type; an unknown one is refused as RunInstances does."""
    try:
        return instance_limits(instance_type)
    except ProblemsError as error:
        raise RefusalError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.") from error


def attached_to(instance: Instance) -> dict[int, NetworkInterface]:
    """The interfaces that are attached to an instance, by device index."""
    return {index: interface for index, interface in instance.nics.items() if interface.instance}


def _check_slots(eni_id: str, slots: int, limits: InstanceLimits) -> None:
    if slots > limits.ipv4_per_eni:
        raise RefusalError("PrivateIpAddressLimitExceeded", f"{eni_id}: Number of private addresses will exceed limit.")


def _full_subnet() -> RefusalError:
    return RefusalError(
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )


@contextmanager
def _refusing_full_subnet() -> Iterator[None]:
    try:
        yield
    except pool.NoFreeAddressesError as error:
        raise _full_subnet() from error


@contextmanager
def _refusing_address(text: str) -> Iterator[None]:
    """The code for a taken address is in EC2's list of error codes; that for one outside the subnet is too."""
    try:
        yield
    except pool.AddressInUseError as error:
        raise RefusalError("InvalidIPAddress.InUse", f"Address {text} is in use.") from error
    except pool.OutsideSubnetError as error:
        raise RefusalError(
            "InvalidParameterValue", f"Address {text} does not fall within the subnet's address range"
        ) from error


def backend_of(region: str) -> RehearsalBackend:
    """EC2 of a Region."""
    backend = ec2_backends[ACCOUNT][region]
    if not isinstance(backend, RehearsalBackend):
        raise TypeError("EC2 was used before the rehearsal's own was installed")
    return backend
