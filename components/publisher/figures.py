"""From what EC2 answers to what is published. No I/O: a figure that cannot be known is left out, never a zero."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headroom.addresses.blocks import Block, parse_address, usable_addresses
from headroom.addresses.subnet_map import Reservation, SubnetMap, subnet_map
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.watch import Metric, dimensions
from headroom.facts.aws import Interface
from headroom.facts.interfaces import CLUSTER_TAG, CREATED_TAG, NODE_INSTANCE_TAG, is_leaked

IN_FLIGHT: Final = PREFIX_ADDRESSES
"""By so many addresses two readings of one subnet may differ because something changed in between: one prefix."""

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """One value of one metric.

    Attributes:
        metric: Its name.
        dimensions: Its dimensions.
        value: Finite, at least 0.
    """

    metric: Metric
    dimensions: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetReading:
    """A subnet as EC2 describes it.

    Attributes:
        subnet_id: Its id.
        zone: Its zone.
        block: Its CIDR.
        available: AvailableIpAddressCount, at each time it was asked for.
    """

    subnet_id: str
    zone: str
    block: Block
    available: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetFigures:
    """What is known of a subnet; None is not known.

    Attributes:
        subnet: The subnet.
        free: Addresses that a node can still get.
        free28: /28s that can become prefixes.
        reserved: Free addresses inside of reservations.
        held: Addresses for pods on interfaces of instances.
        idle: Those of them on nodes of the cluster that no pod has.
        leaked: Interfaces of the CNI that hang on nothing.
    """

    subnet: SubnetReading
    free: int | None = None
    free28: int | None = None
    reserved: int | None = None
    held: int | None = None
    idle: int | None = None
    leaked: int | None = None

    @property
    def usable(self) -> int:
        """Addresses that it can hold."""
        return usable_addresses(self.subnet.block)


@dataclass(slots=True)
class InterfacesOfSubnet:
    """The interfaces of one subnet, as far as its figures need them."""

    addresses: list[int] = field(default_factory=list)
    prefixes: list[Block] = field(default_factory=list)
    held: int = 0
    leaked: int = 0
    clusters: Counter[str] = field(default_factory=Counter)


def subnet_reading(item: Object) -> SubnetReading:
    """A subnet of DescribeSubnets."""
    return SubnetReading(
        subnet_id=item["SubnetId"],
        zone=item["AvailabilityZone"],
        block=Block.parse(item["CidrBlock"]),
        available=(int(item["AvailableIpAddressCount"]),),
    )


def interfaces_by_subnet(items: Iterable[Object], now: str) -> dict[str, InterfacesOfSubnet]:
    """The interfaces of DescribeNetworkInterfaces by subnet; one that two pages show counts once.

    Args:
        items: The interfaces.
        now: When they were read, ISO 8601.
    """
    found: defaultdict[str, InterfacesOfSubnet] = defaultdict(InterfacesOfSubnet)
    for item in {each["NetworkInterfaceId"]: each for each in items}.values():
        subnet = found[item["SubnetId"]]
        private = item.get("PrivateIpAddresses") or ()
        prefixes = [Block.parse(each["Ipv4Prefix"]) for each in item.get("Ipv4Prefixes") or ()]
        tags = {each["Key"]: each.get("Value", "") for each in item.get("TagSet") or ()}
        subnet.addresses += [parse_address(each["PrivateIpAddress"]) for each in private]
        subnet.prefixes += prefixes
        if (item.get("Attachment") or {}).get("InstanceId"):
            secondary = sum(not each.get("Primary") for each in private)
            subnet.held += secondary + PREFIX_ADDRESSES * len(prefixes)
        subnet.leaked += is_leaked(_interface(item, tags), now)
        if tags.get(CLUSTER_TAG):
            subnet.clusters[tags[CLUSTER_TAG]] += 1
    return dict(found)


def _interface(item: Object, tags: Mapping[str, str]) -> Interface:
    return Interface(
        interface_id=item["NetworkInterfaceId"],
        subnet_id=item["SubnetId"],
        status=item["Status"],
        description=item.get("Description", ""),
        created_at=tags.get(CREATED_TAG),
        node_instance_id=tags.get(NODE_INSTANCE_TAG),
    )


def idle_by_subnet(items: Iterable[Object], pods: Collection[int]) -> Counter[str]:
    """Addresses on interfaces of a cluster's nodes that are for pods and that no pod has, by subnet.

    A node of the cluster is an instance with an address of one of its pods: on every node some share the node's own.
    Other instances of the subnet hold addresses too, of which nothing is known.

    Args:
        items: The interfaces of DescribeNetworkInterfaces.
        pods: Addresses of the cluster's pods, those that share their node's among them.
    """
    of_pods = Counter(address & ~(PREFIX_ADDRESSES - 1) for address in pods)
    by_instance: defaultdict[str, list[Object]] = defaultdict(list)
    for item in {each["NetworkInterfaceId"]: each for each in items}.values():
        instance = (item.get("Attachment") or {}).get("InstanceId")
        if instance:
            by_instance[instance].append(item)
    idle: Counter[str] = Counter()
    for interfaces in by_instance.values():
        taken = {item["NetworkInterfaceId"]: _taken(item, pods, of_pods) for item in interfaces}
        if not any(own or used for own, used, _ in taken.values()):
            continue
        for item in interfaces:
            _, used, held = taken[item["NetworkInterfaceId"]]
            idle[item["SubnetId"]] += held - used
    return idle


def _taken(item: Object, pods: Collection[int], of_pods: Mapping[int, int]) -> tuple[bool, int, int]:
    """Whether pods share an interface's own address, how many of those for pods they have, and how many there are."""
    own, used, held = False, 0, 0
    for each in item.get("PrivateIpAddresses") or ():
        there = parse_address(each["PrivateIpAddress"]) in pods
        if each.get("Primary"):
            own = there
        else:
            used, held = used + there, held + 1
    for each in item.get("Ipv4Prefixes") or ():
        used, held = used + of_pods.get(Block.parse(each["Ipv4Prefix"]).first, 0), held + PREFIX_ADDRESSES
    return own, used, held


def reservations_of(items: Iterable[Object]) -> list[Reservation]:
    """The reservations of GetSubnetCidrReservations."""
    return [
        Reservation(Block.parse(item["Cidr"]), "prefix" if item["ReservationType"] == "prefix" else "explicit")
        for item in items
    ]


def drawn(subnet: SubnetReading, used: InterfacesOfSubnet, reservations: Sequence[Reservation]) -> SubnetMap:
    """The subnet's /28 map."""
    return subnet_map(subnet.block, used_addresses=used.addresses, used_blocks=used.prefixes, reservations=reservations)


def agrees(subnet: SubnetReading, map_: SubnetMap, *, tolerance: int = 0) -> bool:
    """Whether the map has as many free addresses as EC2 counts, at some time between its readings.

    Where it has more, EC2 knows of something that takes addresses and that we were not shown: a reservation, or an
    interface of another account in a shared subnet.
    """
    return map_.free_addresses <= max(subnet.available) + tolerance


def subnet_figures(
    subnet: SubnetReading,
    map_: SubnetMap | None,
    used: InterfacesOfSubnet | None,
    *,
    prefix_delegation: bool,
    idle: int | None = None,
) -> SubnetFigures:
    """What is known of a subnet.

    Args:
        subnet: The subnet.
        map_: Its map; None where it could not be drawn, or does not agree with EC2's own count.
        used: Its interfaces; None where they could not be read.
        prefix_delegation: Whether nodes take prefixes, so that what is reserved for them is free to nodes.
        idle: What nodes hold and no pod has; None where nobody counts, or could not.
    """
    free: int | None = subnet.available[-1]
    if prefix_delegation:
        # /28s that lie in reservations of the type `prefix`: the only usable ones that EC2's count leaves out.
        free = None if map_ is None else subnet.available[-1] + PREFIX_ADDRESSES * _reserved28(map_)
    return SubnetFigures(
        subnet=subnet,
        free=free,
        free28=None if map_ is None else map_.usable28,
        reserved=None if map_ is None else map_.free_reserved_addresses,
        held=None if used is None else used.held,
        idle=idle,
        leaked=None if used is None else used.leaked,
    )


def _reserved28(map_: SubnetMap) -> int:
    return map_.usable28 - map_.map.count(".")


def published(cluster: str, figures: Iterable[SubnetFigures], of_pods: Collection[str]) -> Iterator[Datum]:
    """The values of subnets and zones; a zone of which one subnet is not known has no value either.

    Args:
        cluster: Name of the cluster.
        figures: Each subnet's.
        of_pods: Ids of the subnets that count for their zone.
    """
    by_zone: defaultdict[str, list[SubnetFigures]] = defaultdict(list)
    for each in figures:
        if each.subnet.subnet_id in of_pods:
            by_zone[each.subnet.zone].append(each)
        place = dimensions(cluster, each.subnet.zone, each.subnet.subnet_id)
        yield from _levels(place, each.free, each.free28, each.usable)
        for metric, value in (
            (Metric.RESERVED_ADDRESSES, each.reserved),
            (Metric.HELD_ADDRESSES, each.held),
            (Metric.IDLE_ADDRESSES, each.idle),
            (Metric.LEAKED_INTERFACES, each.leaked),
        ):
            if value is not None:
                yield Datum(metric=metric, dimensions=place, value=value)
    for zone, subnets in by_zone.items():
        yield from _levels(
            dimensions(cluster, zone),
            _sum(each.free for each in subnets),
            _sum(each.free28 for each in subnets),
            sum(each.usable for each in subnets),
        )
        idle = _sum(each.idle for each in subnets)
        if idle is not None:
            yield Datum(metric=Metric.IDLE_ADDRESSES, dimensions=dimensions(cluster, zone), value=idle)


def _levels(place: Mapping[str, str], free: int | None, free28: int | None, usable: int) -> Iterator[Datum]:
    if free is not None:
        yield Datum(metric=Metric.FREE_ADDRESSES, dimensions=place, value=free)
        yield Datum(metric=Metric.FREE_PERCENT, dimensions=place, value=min(100.0, 100 * free / usable))
    if free28 is not None:
        yield Datum(metric=Metric.FREE_PREFIX_BLOCKS, dimensions=place, value=free28)


def _sum(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
