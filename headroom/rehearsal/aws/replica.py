"""Rebuilds a VPC as somebody's snapshot has it: ids, CIDRs, routes, interfaces and addresses as they are there.

The result is what EC2 would answer of the original, as far as the original's answers were kept. What cannot be had
is left out and said.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any
from unittest import mock

from moto.ec2.models import elastic_network_interfaces, route_tables, vpcs
from moto.ec2.models import instances as instance_models
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend, Zone
from moto.ec2.models.instances import Instance
from moto.ec2.models.route_tables import Route, RouteTable
from moto.ec2.models.subnets import SubnetCidrReservation
from moto.ec2.models.vpc_peering_connections import VPCPeeringConnection
from moto.ec2.models.vpcs import VPC

from headroom.rehearsal.aws import ec2, pool
from headroom.rehearsal.aws.ec2 import RehearsalBackend, RehearsalInterface, RehearsalSubnet

UNSEEN = "somebody whom the snapshot does not name"
"""Who holds the addresses that are taken by EC2's count and by no interface that was listed."""

_TARGETS = {
    "igw-": "gateway",
    "vgw-": "gateway",
    "lgw-": "gateway",
    "nat-": "nat_gateway",
    "tgw-": "transit_gateway",
    "pcx-": "vpc_pcx",
    "eni-": "interface",
    "i-": "instance",
    "eigw-": "egress_only_igw",
    "cagw-": "carrier_gateway",
}
"""Beginnings of ids, and what a route of moto calls a target of that kind."""


@dataclass(frozen=True, slots=True)
class _Named:
    """Something of which no more is known than its id."""

    id: str


class _CopiedRoute(Route):
    """A route whose target may be gone."""

    copied_state = "active"

    @property
    def state(self) -> str:
        """What the original said: active, or blackhole."""
        return self.copied_state


@dataclass(slots=True)
class _Copy:
    """The VPC as it grows, and what was left out of it."""

    backend: RehearsalBackend
    left_out: list[str] = field(default_factory=list)


def replicate(backend: RehearsalBackend, content: Mapping[str, Any]) -> dict[str, Any]:
    """Build the VPC of `content`: `vpc`, `subnets`, `routeTables`, `instances`, `interfaces`, `peerings`.

    Fields are those of the snapshot (`headroom.facts.aws`) in camelCase; `instances` are `{instanceId, instanceType,
    tags}`, and an interface's `securityGroupIds` are made as they are named.

    Returns:
        `leftOut`: sentences about what could not be had.

    Raises:
        RefusalError: EC2 would never have had it, such as two subnets that overlap.
    """
    backend.settle()
    copy = _Copy(backend)
    main = next((table["routeTableId"] for table in content["routeTables"] if table.get("main")), None)
    vpc = _vpc(copy, content["vpc"], main)
    tables = {item["routeTableId"]: _table(copy, vpc, item["routeTableId"]) for item in content["routeTables"]}
    for item in content["subnets"]:
        _subnet(copy, vpc, item, tables)
    for item in content["routeTables"]:
        for route in item["routes"]:
            _route(copy, tables[item["routeTableId"]], route)
    for item in content.get("peerings", []):
        _peering(copy, vpc, item)
    _interfaces(copy, content)
    for item in content["subnets"]:
        _reserve(copy, item)
        _take_unseen(copy, item)
    return {"leftOut": copy.left_out}


# The network.


def _vpc(copy: _Copy, item: Mapping[str, Any], main_table: str | None) -> VPC:
    blocks = [block for block in item["cidrBlocks"] if (block.get("state") or "associated") in ec2.LIVE_STATES]
    with _drawn(vpcs, "random_vpc_id", item["vpcId"]), _drawn(route_tables, "random_route_table_id", main_table):
        vpc = copy.backend.create_vpc(blocks[0]["cidrBlock"])
    associations = vpc._cidr_block_association_set  # noqa: SLF001  # moto offers no other way in
    given = next(iter(associations.values()))
    associations.clear()
    for number, block in enumerate(blocks):
        identifier = block.get("associationId") or f"{given['association_id']}{number}"
        associations[identifier] = {
            "association_id": identifier,
            "cidr_block": block["cidrBlock"],
            "cidr_block_state": {"state": block.get("state") or "associated", "StatusMessage": None},
        }
    return vpc


def _table(copy: _Copy, vpc: VPC, identifier: str) -> RouteTable:
    existing = copy.backend.route_tables.get(identifier)
    if existing is not None:
        copy.backend._set_local_routes(vpc)  # noqa: SLF001  # its neighbour's work: the VPC's CIDRs came later
        return existing
    with _drawn(route_tables, "random_route_table_id", identifier):
        return copy.backend.create_route_table(vpc.id)


def _subnet(copy: _Copy, vpc: VPC, item: Mapping[str, Any], tables: Mapping[str, RouteTable]) -> None:
    backend, zone = copy.backend, item["zone"]
    zones = {known.name: known for known in RegionsAndZonesBackend.zones[backend.region_name]}
    standing_in = next(iter(zones.values()))
    with _drawn(ec2, "random_subnet_id", item["subnetId"]):
        subnet = backend.create_subnet(
            vpc.id, item["cidrBlock"], availability_zone=zone if zone in zones else standing_in.name
        )
    backend.subnets[subnet.availability_zone].pop(subnet.id)
    subnet._availability_zone = Zone(  # noqa: SLF001  # moto offers no other way in
        zone, backend.region_name, item.get("zoneId") or getattr(zones.get(zone), "zone_id", zone)
    )
    backend.subnets[zone][subnet.id] = subnet
    for key, value in (item.get("tags") or {}).items():
        subnet.add_tag(key, value)
    if item.get("routeTableId") in tables:
        backend.associate_route_table(item["routeTableId"], subnet_id=subnet.id)


def _route(copy: _Copy, table: RouteTable, item: Mapping[str, Any]) -> None:
    target, destination = item["target"], item["destination"]
    if target == "local":
        return
    kind = next((kind for beginning, kind in _TARGETS.items() if target.startswith(beginning)), None)
    if kind is None and not target.startswith("vpce-"):
        copy.left_out.append(
            f"the route {destination} of {table.id}: its target {target or '(none)'} is of no known kind"
        )
        return
    named: dict[str, Any] = {kind: _Named(target)} if kind else {"vpc_endpoint_id": target}
    if destination.startswith("pl-"):
        named["destination_prefix_list"] = _Named(destination)
    four, six = (destination if sign in destination else None for sign in ".:")
    route = _CopiedRoute(table, four, six, **named)  # type: ignore[abstract]  # as moto's own; no CloudFormation
    route.copied_state = item.get("state", "active")
    table._routes[route.id] = route  # noqa: SLF001  # moto offers no other way in


def _peering(copy: _Copy, vpc: VPC, item: Mapping[str, Any]) -> None:
    blocks = item.get("peerCidrBlocks")
    if not isinstance(blocks, list) or not blocks:
        copy.left_out.append(f"the peering {item['peeringId']}: the other side's CIDRs are not known")
        return
    other = VPC(  # type: ignore[abstract]  # as moto's own; CloudFormation is not served
        copy.backend, f"vpc-peer-{item['peeringId']}", blocks[0], is_default=False
    )
    for block in blocks[1:]:
        other.associate_vpc_cidr_block(block)
    sides = (vpc, other) if item["role"] == "requester" else (other, vpc)
    connection = VPCPeeringConnection(copy.backend, item["peeringId"], *sides)  # type: ignore[abstract]  # the same
    connection._status.code = item["status"]  # noqa: SLF001  # moto's only way in
    copy.backend.vpc_pcxs[connection.id] = connection


# Interfaces.


def _interfaces(copy: _Copy, content: Mapping[str, Any]) -> None:
    items = list(content["interfaces"])
    primaries = {item["instanceId"]: item for item in items if item.get("instanceId") and item.get("deviceIndex") == 0}
    instances = {item["instanceId"]: item for item in content["instances"]}
    hosts: dict[str, Instance] = {}
    for identifier, item in primaries.items():
        host = _instance(copy, instances[identifier], item)
        if host is not None:
            hosts[identifier] = host
    for item in items:
        owner = item.get("instanceId")
        if primaries.get(owner or "") is item:
            continue
        if owner and owner not in hosts:
            copy.left_out.append(f"where {item['interfaceId']} hangs: the first interface of {owner} was not listed")
        _interface(copy, item, hosts.get(owner or ""))


def _instance(copy: _Copy, wanted: Mapping[str, Any], item: Mapping[str, Any]) -> Instance | None:
    identifier = wanted["instanceId"]
    subnet, addresses = copy.backend.own_subnet(item["subnetId"]), _free(copy, item)
    if not addresses:
        copy.left_out.append(f"the instance {identifier}: its own address is none that it could have")
        return None
    with (
        _drawn(instance_models, "random_instance_id", identifier),
        _drawn(elastic_network_interfaces, "random_eni_id", item["interfaceId"]),
    ):
        instance = copy.backend.run_instances(
            "ami-rehearsal",
            1,
            None,
            [],
            instance_type=wanted["instanceType"],
            is_instance_type_default=False,
            region_name=copy.backend.region_name,
            subnet_id=subnet.id,
            private_ip=str(IPv4Address(addresses[0])),
            security_group_ids=list(item.get("securityGroupIds", [])),
            tags={"instance": dict(wanted.get("tags") or {})},
            block_device_mappings=[],
        ).instances[0]
    interface = instance.nics[0]
    assert isinstance(interface, RehearsalInterface)  # noqa: S101 - what this backend makes
    _hold(copy, interface, addresses[1:], item)
    _dress(interface, item)
    return instance


def _interface(copy: _Copy, item: Mapping[str, Any], host: Instance | None) -> None:
    backend, subnet, addresses = copy.backend, copy.backend.own_subnet(item["subnetId"]), _free(copy, item)
    if not addresses:
        copy.left_out.append(f"the interface {item['interfaceId']}: none of its addresses could be had")
        return
    with _drawn(elastic_network_interfaces, "random_eni_id", item["interfaceId"]):
        interface = backend.add_interface(
            subnet,
            primary=addresses[0],
            group_ids=list(item.get("securityGroupIds", [])),
            description=item.get("description", ""),
            tags=dict(item.get("tags") or {}),
        )
    _hold(copy, interface, addresses[1:], item)
    if host is not None:
        # Not by AttachNetworkInterface: what hangs there was allowed to, whatever the type is believed to allow.
        host.attach_eni(interface, int(item.get("deviceIndex") or 0))
    _dress(interface, item)


def _hold(copy: _Copy, interface: RehearsalInterface, others: Iterable[int], item: Mapping[str, Any]) -> None:
    """Gives the interface the addresses and prefixes that it has beside its own."""
    subnet = copy.backend.own_subnet(interface.subnet)
    for address in others:
        subnet.pool.take(address, interface.id)
        interface.private_ip_addresses.append({"Primary": False, "PrivateIpAddress": str(IPv4Address(address))})
    for prefix in item.get("prefixes") or []:
        try:
            subnet.pool.take_prefix(int(IPv4Network(prefix).network_address), interface.id)
        except (pool.AddressInUseError, pool.OutsideSubnetError, ValueError):
            copy.left_out.append(f"the prefix {prefix} of {interface.id}: somebody else has it, or it is none")
            continue
        interface.ipv4_prefixes.append({"Ipv4Prefix": prefix})


def _free(copy: _Copy, item: Mapping[str, Any]) -> list[int]:
    """The interface's addresses, without those that somebody has already or that are none of its subnet."""
    subnet, free = copy.backend.own_subnet(item["subnetId"]), []
    for text in item.get("addresses") or []:
        try:
            address = int(IPv4Address(text))
            subnet.pool.check_free(address)
        except (AddressValueError, pool.AddressInUseError, pool.OutsideSubnetError):
            copy.left_out.append(
                f"the address {text} of {item['interfaceId']}: somebody else has it, or it is no subnet's"
            )
            continue
        free.append(address)
    return free


def _dress(interface: RehearsalInterface, item: Mapping[str, Any]) -> None:
    interface.description = item.get("description", "")
    interface.interface_type = item.get("interfaceType", "interface")
    interface.requester_managed = bool(item.get("requesterManaged"))
    interface.status = item.get("status", "in-use")
    interface.network_card = int(item.get("networkCard") or 0)
    interface.delete_on_termination = interface.instance is not None
    if item.get("attachedAt") and interface.instance is not None:
        interface.attach_time = datetime.fromisoformat(item["attachedAt"])
    interface.add_tags(dict(item.get("tags") or {}))


# What is left of the subnets.


def _reserve(copy: _Copy, item: Mapping[str, Any]) -> None:
    subnet = copy.backend.own_subnet(item["subnetId"])
    for each in item.get("reservations") or []:
        if ":" in each["cidr"]:
            continue
        network = IPv4Network(each["cidr"])
        reservation = SubnetCidrReservation(
            copy.backend,
            subnet.id,
            network,
            each["reservationType"],
            copy.backend.account_id,
            subnet_cidr_reservation_id=each["reservationId"],
        )
        subnet._cidr_reservations.append(reservation)  # noqa: SLF001  # past EC2's limit of calls a second
        subnet.pool.reserve(
            reservation.id,
            pool.Reservation(
                int(network.network_address), int(network.broadcast_address), each["reservationType"] == "prefix"
            ),
        )


def _take_unseen(copy: _Copy, item: Mapping[str, Any]) -> None:
    """Takes what EC2 counts as taken and nobody is listed with; where it lies is not known, so it scatters."""
    counted = item.get("availableAddresses")
    if not isinstance(counted, int):
        return
    subnet: RehearsalSubnet = copy.backend.own_subnet(item["subnetId"])
    missing = subnet.pool.available - counted
    if missing > 0:
        subnet.pool.take_any(missing, UNSEEN)
        copy.left_out.append(
            f"who has {missing} addresses of {subnet.id}: EC2 counts them as taken, and no interface is listed with "
            "them. Here nobody in particular has them"
        )
    elif missing < 0:
        copy.left_out.append(
            f"{-missing} free addresses of {subnet.id}: EC2 counts {counted}, and by the interfaces only "
            f"{subnet.pool.available} can be free"
        )


# Names.


@contextmanager
def _drawn(module: Any, function: str, identifier: str | None) -> Iterator[None]:
    """For one creation moto draws this id; the caller holds the lock on moto's state."""
    if identifier is None:
        yield
        return
    with mock.patch.object(module, function, return_value=identifier):
        yield
