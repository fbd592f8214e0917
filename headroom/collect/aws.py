"""Reads what EC2 and EKS say of a cluster and its VPC.

Seven calls are made in any case, and one for each 1,000 network interfaces; further ones only for what the facts so
far make worth knowing (see ``CALLS``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from headroom.addresses.association import CIDR_QUOTA, CIDR_QUOTA_CODE
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import SUBNET_EXCLUDED, SUBNET_ROLE_TAG
from headroom.capacity.limits import InstanceLimits, instance_types
from headroom.capacity.quotas import INTERFACE_QUOTA, INTERFACE_QUOTA_CODE
from headroom.capacity.settings import CniSettings
from headroom.collect import aws_objects as facts
from headroom.collect.failures import NotReadError, unknown_of
from headroom.collect.instance_types import read_limits
from headroom.collect.readings import Pending, Readings, batches, side_by_side
from headroom.collect.reservations import read_reservations
from headroom.facts.aws import (
    Addon,
    Aws,
    CidrReservation,
    HealthIssue,
    InstanceType,
    Interface,
    NodeGroup,
    Peering,
    RouteTable,
    Subnet,
    Vpc,
)
from headroom.facts.kubernetes import Node
from headroom.facts.values import NOT_COLLECTED, Fact, Reason, Unknown, items, known

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef
    from mypy_boto3_eks import EKSClient

IAM_ACTIONS: Final = (
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcPeeringConnections",
    "ec2:DescribeVpcs",
    "ec2:GetSubnetCidrReservations",
    "eks:DescribeAddon",
    "eks:DescribeCluster",
    "eks:DescribeNodegroup",
    "eks:ListNodegroups",
    "servicequotas:ListServiceQuotas",
)
"""What the reader's role needs."""

CALLS: Final = (
    "7 calls in any case",
    "1 for each 1,000 network interfaces of the VPC",
    "1 for each 100 instance types that the package's table lacks",
    "1 for each subnet of the nodes' interfaces, where prefix delegation is on",
    "1 for each managed node group",
    "1 where interfaces or CIDRs come near their default quota",
)
"""The call budget."""

INTERFACES_A_CALL: Final = 1000
"""The most that DescribeNetworkInterfaces answers at once (EC2 API reference)."""
TYPES_A_CALL: Final = 100
"""The most instance types that one call of DescribeInstanceTypes may name (EC2 API reference)."""

VPC_CNI: Final = "vpc-cni"
NEAR_QUOTA: Final = 0.5
"""Share of the default quota below which the quota itself is not asked for: other VPCs use it too."""

_PEERING_STATES: Final = ("initiating-request", "pending-acceptance", "provisioning", "active")
_WORKERS: Final = 8
QUOTAS_A_CALL: Final = 100
"""The most that ListServiceQuotas answers at once (Service Quotas API reference)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EksCluster:
    """What DescribeCluster says, as far as it is of use; `authority` is PEM in base64."""

    vpc_id: str
    account: str
    subnet_ids: tuple[str, ...]
    service_cidr: Fact[str]
    ip_family: Fact[str]
    status: str
    issues: tuple[HealthIssue, ...]
    auto_mode: bool
    version: str
    endpoint: str = ""
    authority: str = ""


Client = Callable[[str], Any]
"""Makes a boto3 client of a service; its calls are counted by its own event hook."""


def start_aws(  # noqa: PLR0913 - the parts that are injected, by keyword
    readings: Readings,
    client: Client,
    cluster_name: str,
    *,
    nodes: Pending[tuple[Node, ...]],
    environment: Callable[[], Fact[Mapping[str, str]]],
    deep: bool = False,
) -> tuple[Pending[EksCluster], Callable[[Fact[str]], Aws]]:
    """Starts the readings of AWS.

    Args:
        readings: Where they run.
        client: Makes a boto3 client of a service.
        cluster_name: The EKS cluster's name.
        nodes: The cluster's nodes: their instance types, and the VPC where EKS does not tell it.
        environment: aws-node's settings as they are in force; waits for them.
        deep: Also what costs calls and seldom matters.

    Returns:
        The reading of the cluster itself, and a function that waits for all and, given the Region, says what was read.
    """
    start = readings.start
    cluster = start("eks DescribeCluster", lambda: read_cluster(client("eks"), cluster_name), items=lambda _: 1)
    addon = start("eks DescribeAddon", lambda: read_addon(client("eks"), cluster_name))
    groups = start("eks DescribeNodegroup", lambda: read_node_groups(client("eks"), cluster_name))
    vpc_id = start("the VPC", lambda: _vpc_id(client, cluster, nodes), quiet=True)
    vpc = start("ec2 DescribeVpcs", lambda: read_vpc(client("ec2"), vpc_id.needed()))
    subnets = start("ec2 DescribeSubnets", lambda: read_subnets(client("ec2"), vpc_id.needed(), _account(cluster)))
    interfaces = start("ec2 DescribeNetworkInterfaces", lambda: read_interfaces(client("ec2"), vpc_id.needed()))
    tables = start(
        "ec2 DescribeRouteTables",
        lambda: read_route_tables(client("ec2"), vpc_id.needed()),
        items=lambda both: len(both[0]),
    )
    peerings = start("ec2 DescribeVpcPeeringConnections", lambda: read_peerings(client("ec2"), vpc_id.needed()))

    def reservations_of_subnets() -> Mapping[str, Fact[tuple[CidrReservation, ...]]] | Unknown:
        attached = interfaces.needed()
        if not deep and not _uses_prefixes(environment(), addon.fact(), attached):
            return Unknown(Reason.NOT_COLLECTED, "prefix delegation is off; --deep reads them")
        wanted = pod_subnets(subnets.needed(), attached, known(nodes.fact()))
        return read_subnet_reservations(client("ec2"), wanted)

    reservations = start("ec2 GetSubnetCidrReservations", reservations_of_subnets)
    types = start("ec2 DescribeInstanceTypes", lambda: read_instance_types(client, nodes.needed()))

    def near_quotas() -> bool:
        return deep or len(interfaces.needed()) >= INTERFACE_QUOTA * NEAR_QUOTA

    def applied_quotas() -> Mapping[str, int] | Unknown:
        if not near_quotas() and len(items(vpc.needed().cidr_blocks)) < CIDR_QUOTA - 1:
            return Unknown(Reason.NOT_COLLECTED, "far from the default quotas; --deep reads them")
        return read_quotas(client("service-quotas"))

    def interfaces_of_region() -> int | Unknown:
        if not near_quotas():
            return Unknown(Reason.NOT_COLLECTED, "the VPC's own are far from the default quota; --deep counts them")
        return count_interfaces(client("ec2"))

    quotas = start("servicequotas ListServiceQuotas", applied_quotas)
    region_interfaces = start(
        "ec2 DescribeNetworkInterfaces of the Region", interfaces_of_region, items=lambda count: count
    )

    def fact(region: Fact[str]) -> Aws:
        told = cluster.fact()
        described = None if isinstance(told, Unknown) else told
        missing = told if isinstance(told, Unknown) else NOT_COLLECTED
        return Aws(
            region=region,
            vpc=vpc.fact(),
            subnets=_with_neighbours(subnets.fact(), reservations.fact(), tables.fact()),
            interfaces=interfaces.fact(),
            route_tables=_first(tables.fact()),
            peerings=peerings.fact(),
            instance_types=types.fact(),
            cluster_subnet_ids=described.subnet_ids if described else missing,
            service_cidr=described.service_cidr if described else missing,
            ip_family=described.ip_family if described else missing,
            cluster_status=described.status if described else missing,
            cluster_issues=described.issues if described else missing,
            auto_mode=described.auto_mode if described else missing,
            addon=addon.fact(),
            node_groups=groups.fact(),
            region_interfaces=region_interfaces.fact(),
            region_interface_quota=_quota(quotas.fact(), INTERFACE_QUOTA_CODE),
            vpc_cidr_quota=_quota(quotas.fact(), CIDR_QUOTA_CODE),
        )

    return cluster, fact


# One reader an API


def read_cluster(eks: "EKSClient", name: str) -> EksCluster:
    """DescribeCluster.

    Raises:
        ProblemsError: There is no such cluster.
    """
    try:
        item: Mapping[str, Any] = eks.describe_cluster(name=name)["cluster"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        region = eks.meta.region_name
        raise ProblemsError(
            [
                Problem(
                    rule="cluster-exists",
                    value=name,
                    reason=f"is no EKS cluster of this account in {region}.",
                    next_step=f"`aws eks list-clusters --region {region}` names them; --region chooses another Region, "
                    "--profile another account.",
                    key="--cluster",
                )
            ],
            subject="headroom collect",
        ) from None
    network = item["resourcesVpcConfig"]
    addresses = item.get("kubernetesNetworkConfig") or {}
    return EksCluster(
        vpc_id=network["vpcId"],
        account=item["arn"].split(":")[4],
        subnet_ids=tuple(network.get("subnetIds") or ()),
        service_cidr=addresses.get("serviceIpv4Cidr") or addresses.get("serviceIpv6Cidr") or NOT_COLLECTED,
        ip_family=addresses.get("ipFamily") or NOT_COLLECTED,
        status=item["status"],
        issues=facts.health_issues(item.get("health")),
        # A cluster that never had Auto Mode has no computeConfig at all.
        auto_mode=bool((item.get("computeConfig") or {}).get("enabled", False)),
        version=item["version"],
        # Neither is there while the cluster is being made.
        endpoint=item.get("endpoint") or "",
        authority=(item.get("certificateAuthority") or {}).get("data") or "",
    )


def read_addon(eks: "EKSClient", cluster: str) -> Addon | None:
    """DescribeAddon of vpc-cni; ``None``: it is not managed by EKS."""
    try:
        return facts.addon(eks.describe_addon(clusterName=cluster, addonName=VPC_CNI)["addon"])
    except ClientError as error:
        # The same code for an add-on and for a cluster that is not there; the latter ends the whole reading.
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise


def read_node_groups(eks: "EKSClient", cluster: str) -> tuple[NodeGroup, ...]:
    """ListNodegroups, and DescribeNodegroup for each; of one that cannot be described the name is known."""
    pages = eks.get_paginator("list_nodegroups").paginate(clusterName=cluster)
    names = [name for page in pages for name in page["nodegroups"]]

    def describe(name: str) -> NodeGroup:
        try:
            return facts.node_group(eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"])
        except ClientError as error:
            unknown = unknown_of(error)
            return NodeGroup(name=name, **{field.name: unknown for field in fields(NodeGroup) if field.name != "name"})

    return tuple(side_by_side(describe, names, workers=_WORKERS))


def read_vpc(ec2: "EC2Client", vpc_id: str) -> Vpc:
    """DescribeVpcs of one VPC."""
    return facts.vpc(ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0])


def read_subnets(ec2: "EC2Client", vpc_id: str, account: Fact[str]) -> tuple[Subnet, ...]:
    """DescribeSubnets of a VPC."""
    pages = ec2.get_paginator("describe_subnets").paginate(Filters=_in(vpc_id))
    return tuple(facts.subnet(item, account=account) for page in pages for item in page["Subnets"])


def read_interfaces(ec2: "EC2Client", vpc_id: str) -> tuple[Interface, ...]:
    """DescribeNetworkInterfaces of a VPC."""
    pages = ec2.get_paginator("describe_network_interfaces").paginate(
        Filters=_in(vpc_id), PaginationConfig={"PageSize": INTERFACES_A_CALL}
    )
    return tuple(facts.interface(item) for page in pages for item in page["NetworkInterfaces"])


def count_interfaces(ec2: "EC2Client") -> int:
    """Network interfaces of the whole Region, as its quota counts them."""
    pages = ec2.get_paginator("describe_network_interfaces").paginate(PaginationConfig={"PageSize": INTERFACES_A_CALL})
    return sum(len(page["NetworkInterfaces"]) for page in pages)


def read_route_tables(ec2: "EC2Client", vpc_id: str) -> tuple[tuple[RouteTable, ...], Mapping[str, str]]:
    """DescribeRouteTables of a VPC: the tables, and the table by subnet where it is not the main one."""
    pages = ec2.get_paginator("describe_route_tables").paginate(Filters=_in(vpc_id))
    found = [item for page in pages for item in page["RouteTables"]]
    return tuple(facts.route_table(item) for item in found), facts.explicit_associations(found)


def read_peerings(ec2: "EC2Client", vpc_id: str) -> tuple[Peering, ...]:
    """DescribeVpcPeeringConnections that are active or pending, with the VPC on either side.

    Filters on the two sides would both have to hold, so one call asks for the Region's and the VPC's are picked.
    """
    pages = ec2.get_paginator("describe_vpc_peering_connections").paginate(
        Filters=[{"Name": "status-code", "Values": list(_PEERING_STATES)}]
    )
    every = (facts.peering(item, vpc_id) for page in pages for item in page["VpcPeeringConnections"])
    return tuple(each for each in every if each is not None)


def read_subnet_reservations(
    ec2: "EC2Client", subnet_ids: Sequence[str]
) -> dict[str, Fact[tuple[CidrReservation, ...]]]:
    """GetSubnetCidrReservations of each subnet; a subnet that cannot be read is unknown by itself."""

    def read(subnet_id: str) -> Fact[tuple[CidrReservation, ...]]:
        try:
            return tuple(
                CidrReservation(
                    reservation_id=each.reservation_id,
                    subnet_id=subnet_id,
                    cidr=each.cidr_block,
                    reservation_type=each.reservation_type,
                )
                for each in read_reservations(ec2, subnet_id)
            )
        except ClientError as error:
            return unknown_of(error)

    return dict(zip(subnet_ids, side_by_side(read, subnet_ids, workers=_WORKERS), strict=True))


def read_instance_types(client: Client, nodes: Iterable[Node]) -> tuple[InstanceType, ...]:
    """DescribeInstanceTypes of those types of the nodes that the package's table lacks.

    One that EC2 does not describe is left out, and stays unknown: so are the limits of its nodes, and of no others.
    """
    used = {each.instance_type for each in nodes if isinstance(each.instance_type, str)}
    missing = sorted(used.difference(instance_types()))
    found: dict[str, InstanceLimits] = {}
    for names in batches(missing, TYPES_A_CALL):
        found |= read_limits(client("ec2"), names)
    return tuple(facts.instance_type(limits) for _, limits in sorted(found.items()))


def read_quotas(quotas: Any) -> dict[str, int]:
    """ListServiceQuotas of VPC: the applied values by quota code; a quota without one is left out by AWS."""
    pages = quotas.get_paginator("list_service_quotas").paginate(
        ServiceCode="vpc", PaginationConfig={"PageSize": QUOTAS_A_CALL}
    )
    return {item["QuotaCode"]: int(item["Value"]) for page in pages for item in page["Quotas"]}


def pod_subnets(
    subnets: Iterable[Subnet], interfaces: Iterable[Interface], nodes: Iterable[Node] | None
) -> tuple[str, ...]:
    """Ids of the subnets from which pods of the cluster get or may get addresses.

    Args:
        subnets: The VPC's.
        interfaces: The VPC's.
        nodes: The cluster's; ``None``: unknown, and any instance may be one.
    """
    instances = None if nodes is None else {each.instance_id for each in nodes}
    used = {
        each.subnet_id
        for each in interfaces
        if isinstance(each.instance_id, str) and (instances is None or each.instance_id in instances)
    }
    return tuple(
        each.subnet_id
        for each in subnets
        if each.subnet_id in used or (known(each.tags) or {}).get(SUBNET_ROLE_TAG, SUBNET_EXCLUDED) != SUBNET_EXCLUDED
    )


def _vpc_id(client: Client, cluster: Pending[EksCluster], nodes: Pending[tuple[Node, ...]]) -> str:
    """The cluster's VPC; where EKS does not tell, the one that its nodes' interfaces are in."""
    told = cluster.fact()
    if not isinstance(told, Unknown):
        return told.vpc_id
    instances = [each.instance_id for each in items(nodes.fact()) if isinstance(each.instance_id, str)]
    if not instances:
        raise NotReadError(Unknown(told.reason, f"needs the cluster's VPC: {told}"))
    # The nodes of one cluster are in one VPC: a few of them tell as much as all.
    found = client("ec2").describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": instances[:5]}]
    )["NetworkInterfaces"]
    vpcs = {item["VpcId"] for item in found}
    if len(vpcs) != 1:
        raise NotReadError(Unknown(told.reason, f"needs the cluster's VPC: {told}; the nodes do not tell it either"))
    return str(vpcs.pop())


def _account(cluster: Pending[EksCluster]) -> Fact[str]:
    told = cluster.fact()
    return told if isinstance(told, Unknown) else told.account


def _in(vpc_id: str) -> "list[FilterTypeDef]":
    return [{"Name": "vpc-id", "Values": [vpc_id]}]


def _uses_prefixes(
    environment: Fact[Mapping[str, str]], addon: Addon | Unknown | None, interfaces: Iterable[Interface]
) -> bool:
    """Whether prefix delegation is on; where no setting tells (EKS Auto Mode has none), whether there are prefixes."""
    if isinstance(environment, Unknown):
        environment = addon.environment if isinstance(addon, Addon) else None
    if environment is None or isinstance(environment, Unknown):
        return any(each.prefixes for each in interfaces)
    return CniSettings.from_environment(environment).prefix_delegation


def _with_neighbours(
    subnets: tuple[Subnet, ...] | Unknown,
    reservations: Mapping[str, Fact[tuple[CidrReservation, ...]]] | Unknown,
    tables: tuple[tuple[RouteTable, ...], Mapping[str, str]] | Unknown,
) -> Fact[tuple[Subnet, ...]]:
    """The subnets, with what other APIs say of them."""
    if isinstance(subnets, Unknown):
        return subnets
    not_asked = Unknown(Reason.NOT_COLLECTED, "no interface of a node is in the subnet")
    return tuple(
        replace(
            each,
            reservations=reservations
            if isinstance(reservations, Unknown)
            else reservations.get(each.subnet_id, not_asked),
            route_table_id=tables if isinstance(tables, Unknown) else tables[1].get(each.subnet_id),
        )
        for each in subnets
    )


def _first(tables: tuple[tuple[RouteTable, ...], Mapping[str, str]] | Unknown) -> Fact[tuple[RouteTable, ...]]:
    return tables if isinstance(tables, Unknown) else tables[0]


def _quota(quotas: Mapping[str, int] | Unknown, code: str) -> Fact[int]:
    if isinstance(quotas, Unknown):
        return quotas
    return quotas.get(code, Unknown(Reason.NOT_COLLECTED, f"Service Quotas has no applied value of {code}"))
