"""What EC2 and EKS say: the VPC and its subnets, interfaces, routes, the cluster, its add-on and node groups.

Field names follow the APIs (EC2 API reference, EKS API reference); times are ISO 8601 in UTC, CIDRs and addresses
strings in canonical form.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headroom.facts.forms import (
    Address,
    Addresses,
    AnyCidr,
    AssociationState,
    Cidr,
    Destination,
    InterfaceStatus,
    IpFamily,
    PeeringRole,
    Pods,
    Positive,
    ReservationType,
    Time,
)
from headroom.facts.values import NOT_COLLECTED, Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class CidrAssociation:
    """A CIDR of a VPC (DescribeVpcs, CidrBlockAssociationSet).

    Attributes:
        cidr_block: The CIDR.
        state: associating, associated, disassociating, disassociated, failing or failed.
        association_id: Its id.
    """

    cidr_block: Cidr
    state: Fact[AssociationState] = NOT_COLLECTED
    association_id: Fact[str] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc:
    """The cluster's VPC; the primary CIDR is the first."""

    vpc_id: str
    cidr_blocks: Fact[tuple[CidrAssociation, ...]] = NOT_COLLECTED
    owner_id: Fact[str] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CidrReservation:
    """A subnet CIDR reservation (GetSubnetCidrReservations): `prefix` or `explicit`."""

    reservation_id: str
    subnet_id: str
    cidr: Cidr
    reservation_type: ReservationType


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet of the VPC (DescribeSubnets), with what else is known of it.

    Attributes:
        subnet_id: Its id; in a case file, which names none, a word for it.
        zone: Its availability zone, by name.
        zone_id: The same by id (use1-az1).
        cidr_block: Its CIDR.
        available_addresses: AvailableIpAddressCount.
        tags: Its tags, as far as they matter to Kubernetes, and Name.
        reservations: Its CIDR reservations.
        route_table_id: The table that it is associated with explicitly; ``None``: the VPC's main table.
        shared_from: Account that owns it, where that is another one than the caller's.
    """

    subnet_id: str
    zone: Fact[str] = NOT_COLLECTED
    zone_id: Fact[str] = NOT_COLLECTED
    cidr_block: Fact[Cidr] = NOT_COLLECTED
    available_addresses: Fact[Addresses] = NOT_COLLECTED
    tags: Fact[Mapping[str, str]] = NOT_COLLECTED
    reservations: Fact[tuple[CidrReservation, ...]] = NOT_COLLECTED
    route_table_id: Fact[str] = NOT_COLLECTED
    shared_from: Fact[str] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface (DescribeNetworkInterfaces, filtered on the VPC).

    Attributes:
        interface_id: Its id.
        subnet_id: Where its addresses come from.
        zone: Its availability zone.
        status: available, associated, attaching, in-use or detaching.
        interface_type: EC2's InterfaceType: interface, nat_gateway, lambda, load_balancer, vpc_endpoint, trunk, …
        description: EC2's Description: who made it (`aws-K8S-i-…`, `ELB app/…`).
        instance_id: The instance that it hangs on; ``None``: on none of ours.
        device_index: 0 for an instance's primary interface.
        network_card: Index of the network card; the CNI uses card 0.
        addresses: Private IPv4 addresses, the primary first.
        prefixes: Delegated IPv4 /28 prefixes.
        requester_managed: Whether an AWS service owns it.
        attached_at: When it was attached; ``None`` for one that is not.
        created_at: The CNI's own tag `node.k8s.amazonaws.com/createdAt`.
        node_instance_id: The CNI's own tag `node.k8s.amazonaws.com/instance_id`.
        cluster: The CNI's own tag `cluster.k8s.amazonaws.com/name`.
    """

    interface_id: str
    subnet_id: str
    zone: Fact[str] = NOT_COLLECTED
    status: InterfaceStatus = "in-use"
    interface_type: str = "interface"
    description: str = ""
    instance_id: Fact[str] = None
    device_index: Fact[int] = None
    network_card: Fact[int] = None
    addresses: tuple[Address, ...] = ()
    prefixes: tuple[Cidr, ...] = ()
    requester_managed: bool = False
    attached_at: Fact[Time] = None
    created_at: Fact[Time] = None
    node_instance_id: Fact[str] = None
    cluster: Fact[str] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route: its destination (CIDR or prefix list), where it goes, and whether that is there.

    Attributes:
        destination: CIDR, or the id of a prefix list.
        target: Id of the gateway, interface, peering …; `local` for the VPC itself.
        state: active or blackhole.
    """

    destination: Destination
    target: str
    state: str = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """A route table (DescribeRouteTables)."""

    route_table_id: str
    main: bool = False
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Peering:
    """A VPC peering connection of the VPC (DescribeVpcPeeringConnections).

    Attributes:
        peering_id: Its id.
        status: EC2's Status.Code: active, pending-acceptance, …
        role: requester or accepter: what the cluster's VPC is in it.
        peer_cidr_blocks: The other side's CIDRs.
    """

    peering_id: str
    status: str
    role: PeeringRole
    peer_cidr_blocks: Fact[tuple[Cidr, ...]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """Limits of an instance type that the table in the package does not know (DescribeInstanceTypes).

    Attributes:
        name: The type.
        interfaces: ENIs of the default network card.
        addresses_per_interface: IPv4 addresses an ENI, the primary included.
        vcpus: Virtual CPUs.
        nitro: Whether it is a Nitro or bare-metal type.
    """

    name: str
    interfaces: Positive
    addresses_per_interface: Positive
    vcpus: Fact[Positive] = NOT_COLLECTED
    nitro: Fact[bool] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthIssue:
    """A health issue of EKS: of a cluster, an add-on or a node group.

    Attributes:
        code: The code of the EKS API.
        message: Its text.
        resource_ids: What it concerns.
    """

    code: str
    message: str = ""
    resource_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """A managed node group (DescribeNodegroup).

    Attributes:
        name: Its name.
        status: ACTIVE, DEGRADED, CREATE_FAILED, …
        subnet_ids: Where its instances are launched.
        instance_types: Its types, as far as the group itself names them.
        ami_type: EKS's amiType.
        minimum: Smallest number of nodes.
        desired: Number of nodes wanted.
        maximum: Largest number of nodes.
        max_unavailable: Nodes replaced at a time in an update (a number, or a percentage as `33%`).
        issues: Its health.
    """

    name: str
    status: Fact[str] = NOT_COLLECTED
    subnet_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    instance_types: Fact[tuple[str, ...]] = NOT_COLLECTED
    ami_type: Fact[str] = NOT_COLLECTED
    minimum: Fact[Pods] = NOT_COLLECTED
    desired: Fact[Pods] = NOT_COLLECTED
    maximum: Fact[Pods] = NOT_COLLECTED
    max_unavailable: Fact[str] = NOT_COLLECTED
    issues: Fact[tuple[HealthIssue, ...]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Addon:
    """The managed add-on `vpc-cni` (DescribeAddon).

    Attributes:
        version: Its version, such as v1.19.2-eksbuild.1.
        status: ACTIVE, DEGRADED, UPDATE_FAILED, …
        environment: The known CNI settings among its configuration values; ``None``: it has none.
        other_configuration: Names of the other top-level keys of its configuration values (not their values).
        service_account_role_arn: The role of its service account; ``None``: the node's role.
        issues: Its health.
    """

    version: Fact[str] = NOT_COLLECTED
    status: Fact[str] = NOT_COLLECTED
    environment: Fact[Mapping[str, str]] = NOT_COLLECTED
    other_configuration: Fact[tuple[str, ...]] = NOT_COLLECTED
    service_account_role_arn: Fact[str] = NOT_COLLECTED
    issues: Fact[tuple[HealthIssue, ...]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Aws:
    """Everything read from AWS.

    Attributes:
        region: The Region.
        vpc: The cluster's VPC.
        subnets: Every subnet of the VPC.
        interfaces: Every network interface of the VPC.
        route_tables: Every route table of the VPC.
        peerings: Its peerings that are active or pending.
        instance_types: Limits of the types that the package's own table lacks.
        cluster_subnet_ids: The subnets that the EKS cluster itself was given.
        service_cidr: The cluster's range for Services.
        ip_family: ipv4 or ipv6.
        cluster_status: EKS's status of the cluster.
        cluster_issues: EKS's health issues of the cluster.
        auto_mode: Whether EKS Auto Mode runs the nodes (computeConfig.enabled).
        addon: The managed add-on vpc-cni; ``None``: aws-node is self-managed, or there is none.
        node_groups: The managed node groups.
        region_interfaces: Network interfaces in the whole Region.
        region_interface_quota: The quota for them (L-DF5E4CA3).
        vpc_cidr_quota: The quota for IPv4 CIDRs a VPC (L-83CA0A9D).
    """

    region: Fact[str] = NOT_COLLECTED
    vpc: Fact[Vpc] = NOT_COLLECTED
    subnets: Fact[tuple[Subnet, ...]] = NOT_COLLECTED
    interfaces: Fact[tuple[Interface, ...]] = NOT_COLLECTED
    route_tables: Fact[tuple[RouteTable, ...]] = NOT_COLLECTED
    peerings: Fact[tuple[Peering, ...]] = NOT_COLLECTED
    instance_types: Fact[tuple[InstanceType, ...]] = NOT_COLLECTED
    cluster_subnet_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    service_cidr: Fact[AnyCidr] = NOT_COLLECTED
    ip_family: Fact[IpFamily] = NOT_COLLECTED
    cluster_status: Fact[str] = NOT_COLLECTED
    cluster_issues: Fact[tuple[HealthIssue, ...]] = NOT_COLLECTED
    auto_mode: Fact[bool] = NOT_COLLECTED
    addon: Fact[Addon] = NOT_COLLECTED
    node_groups: Fact[tuple[NodeGroup, ...]] = NOT_COLLECTED
    region_interfaces: Fact[int] = NOT_COLLECTED
    region_interface_quota: Fact[int] = NOT_COLLECTED
    vpc_cidr_quota: Fact[int] = NOT_COLLECTED
