"""The copy's half of AWS: the VPC with everything in it, and the EKS cluster."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from botocore.exceptions import ClientError

from headroom.capacity.limits import InstanceLimits, instance_types
from headroom.facts.aws import Addon, Interface, NodeGroup, Peering, RouteTable, Subnet
from headroom.facts.interfaces import CLUSTER_TAG, CREATED_TAG, NODE_INSTANCE_TAG
from headroom.facts.kubernetes import Node
from headroom.facts.values import items, known, known_or
from headroom.rehearsal.scenarios.shape import SERVICE_CIDR, Network
from headroom.rehearsal.scenarios.twin.original import Original
from headroom.rehearsal.world import World

STAND_IN: Final = "m5.24xlarge"
"""Instance type of an instance that is no node, and of one whose type the package does not know: as large as any."""
ADDON_SECONDS: Final = 15.0


def build_network(world: World, original: Original) -> Network:
    """Rebuilds the VPC and its EKS cluster; what cannot be had is noted among the guesses."""
    if isinstance(quota := original.aws.vpc_cidr_quota, int):
        world.endpoint.change(cidr_quota=quota)
    world.endpoint.change(
        subnet_quota=max(200, len(original.subnets) + 1), interface_quota=5_000 + len(original.interfaces)
    )
    original.guesses.extend(world.endpoint.replicate(content_of(original)))
    group = _cluster(world, original)
    return Network(
        vpc_id=original.vpc.vpc_id,
        subnet_ids=_node_subnets(original),
        route_table_ids=_tables(original),
        security_group_id=group,
    )


def content_of(original: Original) -> dict[str, Any]:
    """What `replica.replicate` takes."""
    nodes = {known_or(node.instance_id, ""): node for node in original.nodes}
    instances = {each.instance_id for each in original.interfaces if isinstance(each.instance_id, str)}
    return {
        "region": original.region,
        "vpc": {
            "vpcId": original.vpc.vpc_id,
            "cidrBlocks": [
                {
                    "cidrBlock": block.cidr_block,
                    "state": known(block.state),
                    "associationId": known(block.association_id),
                }
                for block in original.blocks
            ],
        },
        "subnets": [_subnet(each) for each in original.subnets],
        "routeTables": [_table(each) for each in original.tables],
        "peerings": [_peering(each) for each in items(original.aws.peerings)],
        "instances": [
            {
                "instanceId": instance,
                "instanceType": _type(original.limits[nodes[instance].name] if instance in nodes else None),
                "tags": _instance_tags(original, nodes.get(instance)),
            }
            for instance in sorted(instances)
        ],
        "interfaces": list(_interfaces(original)),
    }


def _subnet(subnet: Subnet) -> dict[str, Any]:
    return {
        "subnetId": subnet.subnet_id,
        "zone": known(subnet.zone),
        "zoneId": known(subnet.zone_id),
        "cidrBlock": known(subnet.cidr_block),
        "availableAddresses": known(subnet.available_addresses),
        "tags": dict(known_or(subnet.tags, {})),
        "routeTableId": known(subnet.route_table_id),
        "reservations": [
            {"reservationId": each.reservation_id, "cidr": each.cidr, "reservationType": each.reservation_type}
            for each in items(subnet.reservations)
        ],
    }


def _table(table: RouteTable) -> dict[str, Any]:
    return {
        "routeTableId": table.route_table_id,
        "main": table.main,
        "routes": [
            {"destination": route.destination, "target": route.target, "state": route.state} for route in table.routes
        ],
    }


def _peering(peering: Peering) -> dict[str, Any]:
    return {
        "peeringId": peering.peering_id,
        "status": peering.status,
        "role": peering.role,
        "peerCidrBlocks": list(items(peering.peer_cidr_blocks)),
    }


def _interfaces(original: Original) -> Iterator[dict[str, Any]]:
    known_subnets = {subnet.subnet_id for subnet in original.subnets}
    for each in original.interfaces:
        if each.subnet_id not in known_subnets:
            original.guesses.append(f"the interface {each.interface_id}: its subnet is not known, so it is left out")
            continue
        yield {
            "interfaceId": each.interface_id,
            "subnetId": each.subnet_id,
            "status": each.status,
            "interfaceType": each.interface_type,
            "description": each.description,
            "instanceId": known(each.instance_id),
            "deviceIndex": known(each.device_index),
            "networkCard": known(each.network_card),
            "addresses": list(each.addresses),
            "prefixes": list(each.prefixes),
            "requesterManaged": each.requester_managed,
            "attachedAt": known(each.attached_at),
            "tags": _tags(each),
        }


def _tags(interface: Interface) -> dict[str, str]:
    tags = {
        CREATED_TAG: interface.created_at,
        NODE_INSTANCE_TAG: interface.node_instance_id,
        CLUSTER_TAG: interface.cluster,
    }
    return {key: value for key, value in tags.items() if isinstance(value, str)}


def _type(limits: InstanceLimits | None) -> str:
    """The instance type in EC2: what it is, as far as the package's table has it."""
    return limits.instance_type if limits is not None and limits.instance_type in instance_types() else STAND_IN


def _instance_tags(original: Original, node: Node | None) -> dict[str, str]:
    """The tags by which EKS knows its own instances."""
    if node is None:
        return {}
    group = known(node.node_group)
    return {"eks:cluster-name": original.name, **({"eks:nodegroup-name": group} if group is not None else {})}


def _node_subnets(original: Original) -> dict[str, str]:
    """The subnet with most nodes by zone."""
    counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for node in original.nodes:
        first = next(iter(original.interfaces_of(node)))
        counts[known_or(node.zone, "")][first.subnet_id] += 1
    return {zone: max(sorted(subnets), key=lambda name: subnets[name]) for zone, subnets in sorted(counts.items())}


def _tables(original: Original) -> dict[str, str]:
    main = next((table.route_table_id for table in original.tables if table.main), "")
    tables = {subnet.subnet_id: known_or(subnet.route_table_id, main) for subnet in original.subnets}
    return {zone: tables.get(subnet, main) for zone, subnet in _node_subnets(original).items()}


# EKS.


def _cluster(world: World, original: Original) -> str:
    """The EKS cluster, and its add-on where it has one; the id of the security group that EKS made."""
    subnets = list(items(original.aws.cluster_subnet_ids)) or list(_node_subnets(original).values())
    made: Mapping[str, Any] = world.eks.create_cluster(
        name=original.name,
        version=".".join(known_or(original.kubernetes.version, "1.33").lstrip("v").split(".")[:2]),
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={"subnetIds": subnets},
        kubernetesNetworkConfig={"serviceIpv4Cidr": known_or(original.aws.service_cidr, SERVICE_CIDR)},
    )["cluster"]
    addon = known(original.aws.addon)
    if addon is not None:
        _addon(world, original, addon)
    for group in items(original.aws.node_groups):
        _node_group(world, original, group)
    return str(made["resourcesVpcConfig"]["clusterSecurityGroupId"])


def _node_group(world: World, original: Original, group: NodeGroup) -> None:
    """A managed node group with its size and subnets; nothing launches instances for it."""
    subnets = list(items(group.subnet_ids))
    if not subnets:
        original.guesses.append(f"the node group {group.name}, of which no subnet is known: there are only its nodes")
        return
    nodes = sum(node.node_group == group.name for node in original.nodes)
    desired = known_or(group.desired, nodes)
    world.eks.create_nodegroup(
        clusterName=original.name,
        nodegroupName=group.name,
        nodeRole="arn:aws:iam::123456789012:role/nodes",
        subnets=subnets,
        scalingConfig={
            "minSize": known_or(group.minimum, 0),
            "desiredSize": desired,
            "maxSize": known_or(group.maximum, max(desired, 1)),
        },
    )


def _addon(world: World, original: Original, addon: Addon) -> None:
    wanted: dict[str, Any] = {}
    if isinstance(environment := addon.environment, Mapping):
        wanted["configurationValues"] = json.dumps({"env": dict(environment)})
    if isinstance(addon.service_account_role_arn, str):
        wanted["serviceAccountRoleArn"] = addon.service_account_role_arn
    if others := items(addon.other_configuration):
        original.guesses.append(f"the add-on's configuration beside env ({', '.join(others)}): it has none here")
    try:
        world.eks.create_addon(
            clusterName=original.name,
            addonName="vpc-cni",
            addonVersion=known_or(addon.version, ""),
            resolveConflicts="OVERWRITE",
            **wanted,
        )
    except ClientError as error:
        original.guesses.append(
            f"the add-on vpc-cni {addon.version}, which the simulated EKS refuses "
            f"({error.response['Error']['Message']}): aws-node is self-managed here"
        )
        return
    deadline = time.monotonic() + ADDON_SECONDS
    while time.monotonic() < deadline:
        with suppress(ClientError):
            described = world.eks.describe_addon(clusterName=original.name, addonName="vpc-cni")["addon"]
            if described["status"] != "CREATING":
                break
        time.sleep(0.2)
    # What is live is what the original's DaemonSet has, whatever EKS believes.
    world.endpoint.set_aws_node_environment(original.name, original.environment)
