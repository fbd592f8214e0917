"""What EC2 and EKS answer, as facts: the same for boto3's answers and for the AWS CLI's `--output json`.

Every function takes one object of an answer and raises KeyError, TypeError or ValueError where it lacks what the API
always sends.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import SETTINGS
from headroom.collect.times import utc
from headroom.facts.aws import (
    Addon,
    CidrAssociation,
    CidrReservation,
    HealthIssue,
    InstanceType,
    Interface,
    NodeGroup,
    Peering,
    Route,
    RouteTable,
    Subnet,
    Vpc,
)
from headroom.facts.interfaces import CLUSTER_TAG, CREATED_TAG, NODE_INSTANCE_TAG
from headroom.facts.values import NOT_COLLECTED, Fact, Reason, Unknown

Object = Mapping[str, Any]

TAGS_KEPT = ("kubernetes.io/", "cni.networking.k8s.aws/", "karpenter.sh/")
"""Beginnings of the subnet tags that mean something to Kubernetes, the CNI or Karpenter."""

_ROUTE_DESTINATIONS = ("DestinationCidrBlock", "DestinationPrefixListId", "DestinationIpv6CidrBlock")
_ROUTE_TARGETS = (
    "GatewayId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "NetworkInterfaceId",
    "InstanceId",
    "EgressOnlyInternetGatewayId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
    "OdbNetworkArn",
)


def vpc(item: Object) -> Vpc:
    """A VPC of DescribeVpcs; the primary CIDR first."""
    blocks = [
        CidrAssociation(
            cidr_block=each["CidrBlock"],
            state=each.get("CidrBlockState", {}).get("State", NOT_COLLECTED),
            association_id=each.get("AssociationId", NOT_COLLECTED),
        )
        for each in item["CidrBlockAssociationSet"]
    ]
    primary = item.get("CidrBlock")
    blocks.sort(key=lambda each: each.cidr_block != primary)
    return Vpc(vpc_id=item["VpcId"], cidr_blocks=tuple(blocks), owner_id=item.get("OwnerId", NOT_COLLECTED))


def subnet(
    item: Object,
    *,
    account: Fact[str] = NOT_COLLECTED,
    reservations: Fact[tuple[CidrReservation, ...]] = NOT_COLLECTED,
    route_table_id: Fact[str] = NOT_COLLECTED,
) -> Subnet:
    """A subnet of DescribeSubnets.

    Args:
        item: The subnet.
        account: The caller's account: a subnet of another one is shared.
        reservations: Its CIDR reservations.
        route_table_id: The table that it is associated with explicitly.
    """
    owner = item.get("OwnerId")
    shared: Fact[str] = None if owner is None or owner == account else owner
    if owner is not None and (account is None or isinstance(account, Unknown)):
        shared = account if account is not None else NOT_COLLECTED
    return Subnet(
        subnet_id=item["SubnetId"],
        zone=item["AvailabilityZone"],
        zone_id=item.get("AvailabilityZoneId", NOT_COLLECTED),
        cidr_block=item["CidrBlock"],
        available_addresses=item["AvailableIpAddressCount"],
        tags={
            key: value
            for key, value in sorted(tags(item.get("Tags")).items())
            if key == "Name" or key.startswith(TAGS_KEPT)
        },
        reservations=reservations,
        route_table_id=route_table_id,
        shared_from=shared,
    )


def tags(items: Iterable[Object] | None) -> dict[str, str]:
    """A list of tags as a mapping."""
    return {each["Key"]: each.get("Value", "") for each in items or ()}


def reservation(item: Object) -> CidrReservation:
    """A reservation of GetSubnetCidrReservations."""
    return CidrReservation(
        reservation_id=item["SubnetCidrReservationId"],
        subnet_id=item["SubnetId"],
        cidr=item["Cidr"],
        reservation_type=item["ReservationType"],
    )


def interface(item: Object) -> Interface:
    """An interface of DescribeNetworkInterfaces."""
    attachment: Object = item.get("Attachment") or {}
    labels = tags(item.get("TagSet"))
    private = sorted(item.get("PrivateIpAddresses") or (), key=lambda each: not each.get("Primary"))
    addresses = tuple(each["PrivateIpAddress"] for each in private)
    if not addresses and item.get("PrivateIpAddress"):
        addresses = (item["PrivateIpAddress"],)
    return Interface(
        interface_id=item["NetworkInterfaceId"],
        subnet_id=item["SubnetId"],
        zone=item.get("AvailabilityZone", NOT_COLLECTED),
        status=item["Status"],
        interface_type=item.get("InterfaceType", "interface"),
        description=item.get("Description", ""),
        instance_id=attachment.get("InstanceId"),
        device_index=attachment.get("DeviceIndex"),
        network_card=attachment.get("NetworkCardIndex"),
        addresses=addresses,
        prefixes=tuple(each["Ipv4Prefix"] for each in item.get("Ipv4Prefixes") or ()),
        requester_managed=bool(item.get("RequesterManaged", False)),
        attached_at=utc(attachment.get("AttachTime")),
        created_at=labels.get(CREATED_TAG),
        node_instance_id=labels.get(NODE_INSTANCE_TAG),
        cluster=labels.get(CLUSTER_TAG),
    )


def route_table(item: Object) -> RouteTable:
    """A table of DescribeRouteTables."""
    return RouteTable(
        route_table_id=item["RouteTableId"],
        main=any(each.get("Main") for each in item.get("Associations") or ()),
        routes=tuple(_route(each) for each in item.get("Routes") or ()),
    )


def _route(item: Object) -> Route:
    destination = next(item[key] for key in _ROUTE_DESTINATIONS if item.get(key))
    target = next((item[key] for key in _ROUTE_TARGETS if item.get(key)), "")
    return Route(destination=destination, target=target, state=item.get("State", "active"))


def explicit_associations(tables: Iterable[Object]) -> dict[str, str]:
    """Route table by subnet, of those subnets that do not use the main table."""
    return {
        each["SubnetId"]: table["RouteTableId"]
        for table in tables
        for each in table.get("Associations") or ()
        if each.get("SubnetId") and each.get("AssociationState", {}).get("State", "associated") == "associated"
    }


def peering(item: Object, vpc_id: str) -> Peering | None:
    """A connection of DescribeVpcPeeringConnections; ``None`` where the VPC is on neither side."""
    sides = {"requester": item["RequesterVpcInfo"], "accepter": item["AccepterVpcInfo"]}
    role = next((name for name, side in sides.items() if side.get("VpcId") == vpc_id), None)
    if role is None:
        return None
    other = sides["accepter" if role == "requester" else "requester"]
    blocks = tuple(each["CidrBlock"] for each in other.get("CidrBlockSet") or ())
    if not blocks and other.get("CidrBlock"):
        blocks = (other["CidrBlock"],)
    # EC2 keeps the other side's CIDRs to itself until the peering is accepted.
    return Peering(
        peering_id=item["VpcPeeringConnectionId"],
        status=item["Status"]["Code"],
        role=role,
        peer_cidr_blocks=blocks or Unknown(Reason.NOT_COLLECTED, "EC2 does not show them before it is accepted"),
    )


def instance_type(limits: InstanceLimits) -> InstanceType:
    """The limits of a type that the package's own table lacks."""
    return InstanceType(
        name=limits.instance_type,
        interfaces=limits.enis,
        addresses_per_interface=limits.ipv4_per_eni,
        vcpus=limits.vcpus,
        nitro=limits.supports_prefixes,
    )


def health_issues(item: Object | None) -> tuple[HealthIssue, ...]:
    """The issues of a `health` object of EKS: of a cluster, an add-on or a node group."""
    return tuple(
        HealthIssue(
            code=each.get("code", ""),
            message=each.get("message", ""),
            resource_ids=tuple(each.get("resourceIds") or ()),
        )
        for each in (item or {}).get("issues") or ()
    )


def addon(item: Object) -> Addon:
    """The add-on of DescribeAddon."""
    environment, others = configuration(item.get("configurationValues"))
    return Addon(
        version=item["addonVersion"],
        status=item["status"],
        environment=environment,
        other_configuration=others,
        service_account_role_arn=item.get("serviceAccountRoleArn"),
        issues=health_issues(item.get("health")),
    )


def configuration(values: str | None) -> tuple[Fact[Mapping[str, str]], Fact[tuple[str, ...]]]:
    """An add-on's configuration values (JSON or YAML): the known CNI settings, and the names of its other keys.

    The settings are ``None`` where it has no values at all.
    """
    if not values or not values.strip():
        return None, ()
    try:
        content = yaml.safe_load(values)  # JSON is YAML
    except (yaml.YAMLError, ValueError, RecursionError):
        content = values
    environment = content.get("env") or {} if isinstance(content, dict) else None
    if not isinstance(environment, dict):
        wrong = Unknown(Reason.UNPARSEABLE, "configurationValues are not the JSON or YAML of the add-on's schema")
        return wrong, wrong
    return known_settings(environment.items()), tuple(sorted(str(key) for key in content if key != "env"))


def known_settings(pairs: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Of an environment, the CNI settings that `headroom.capacity.settings` knows; nothing else is ever kept."""
    return {name: _text(value) for name, value in sorted(pairs, key=str) if name in SETTINGS}


def _text(value: object) -> str:
    """A setting as the environment would hold it: YAML's booleans and numbers are texts there."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def node_group(item: Object) -> NodeGroup:
    """The node group of DescribeNodegroup."""
    scaling: Object = item.get("scalingConfig") or {}
    update: Object = item.get("updateConfig") or {}
    percentage = update.get("maxUnavailablePercentage")
    number = update.get("maxUnavailable")
    return NodeGroup(
        name=item["nodegroupName"],
        status=item["status"],
        subnet_ids=tuple(item.get("subnets") or ()),
        instance_types=_names(item.get("instanceTypes")),
        ami_type=item.get("amiType"),
        minimum=scaling.get("minSize"),
        desired=scaling.get("desiredSize"),
        maximum=scaling.get("maxSize"),
        max_unavailable=f"{percentage}%" if percentage else (str(number) if number else None),
        issues=health_issues(item.get("health")),
    )


def _names(items: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(items) if items else None
