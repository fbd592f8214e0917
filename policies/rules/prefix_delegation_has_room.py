"""Prefix delegation needs whole free /28s, and in one subnet a zone at least."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, AWS_RESERVED_ADDRESSES, Block
from headroom.addresses.problems import Problem, ProblemsError
from headroom.addresses.subnet_map import Reservation, subnet_map
from headroom.capacity.limits import instance_limits, max_pods
from headroom.capacity.pool import NodePool, node_pool
from headroom.capacity.settings import CniSettings
from policies import cni
from policies.configuration import ENVIRONMENT
from policies.findings import Finding, Undecided, read
from policies.network import known_block, linked, pod_subnets, zone_of
from policies.resources import ENI_CONFIG, RESERVATION, SUBNET, Resource, Resources

NAME = "prefix-delegation-has-room"
DESCRIPTION = "With prefix delegation, every zone has a pod subnet with enough free, aligned /28s."
TYPES = (SUBNET, RESERVATION, ENI_CONFIG, *cni.TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "prefix-delegation", "capacity")
REMEDIATION = (
    "Give each zone a new, empty pod subnet of a /24 or larger: the first and the last /28 never become a prefix. "
    "`expectedNodes`, `podsPerNode` and `instanceType` in the policy's configuration say how many a zone needs."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "environment": ENVIRONMENT,
    "expectedNodes": {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 0},
        "description": "Nodes by availability zone at their most",
    },
    "podsPerNode": {"type": "integer", "minimum": 0, "description": "Pods on the pod network of one node, at most"},
    "instanceType": {"type": "string", "description": "Instance type of the nodes"},
}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Zones where nodes would ask for prefixes that do not exist.

    Stops: prefix delegation switched on as the cure for a full subnet, which needs more of it and fails with
    InsufficientCidrBlocks (EKS user guide, cni-increase-ip-addresses; amazon-vpc-cni-k8s #3105).
    """
    settings, _ = cni.config_settings(resources, config)
    if not settings.prefix_delegation:
        return
    best: dict[str, tuple[int, Resource]] = {}
    reserved = _reservations(resources)
    for subnet, undecided in pod_subnets(resources):
        zone, block = zone_of(subnet), known_block(subnet)
        if undecided is not None or isinstance(zone, Undecided):
            yield Finding(subnet, undecided or zone)  # type: ignore[arg-type]  # a zone that is text has gone below
        elif block is None or block.prefix_length not in AWS_PREFIX_LENGTHS:
            yield Finding(subnet, Undecided("cidrBlock", "is no CIDR of a subnet."), "cidrBlock")
        else:
            usable = subnet_map(block, reservations=reserved.get(subnet.urn, ())).usable28
            if zone not in best or usable > best[zone][0]:
                best[zone] = (usable, subnet)
    for zone, (usable, subnet) in best.items():
        yield from _zone(zone, usable, subnet, settings, config)


def _reservations(resources: Resources) -> dict[str, list[Reservation]]:
    found: dict[str, list[Reservation]] = {}
    for reservation in resources.of_type(RESERVATION):
        block = known_block(reservation)
        kind = read(reservation.properties, "reservationType", str)
        for subnet in linked(resources, reservation, "subnetId", SUBNET):
            if block is not None:
                made = Reservation(block, "prefix" if kind == "prefix" else "explicit")
                found.setdefault(subnet.urn, []).append(made)
    return found


def _zone(
    zone: str, usable: int, subnet: Resource, settings: CniSettings, config: Mapping[str, Any]
) -> Iterator[Finding]:
    try:
        needed, text = _needed(zone, settings, config)
    except ProblemsError as error:
        for problem in error.problems:
            yield Finding(subnet, problem, "cidrBlock")
        return
    if usable < needed:
        problem = Problem(
            rule=NAME,
            value=str(known_block(subnet)),
            reason=f"has {usable:,} /28s that can become prefixes; {text} {needed:,} in {zone}, and no other pod "
            "subnet there has more.",
            next_step=_larger(needed),
            source="EKS user guide, cni-increase-ip-addresses",
        )
        yield Finding(subnet, problem, "cidrBlock")


def _needed(zone: str, settings: CniSettings, config: Mapping[str, Any]) -> tuple[int, str]:
    nodes = read(config, "expectedNodes", dict)
    count = nodes.get(zone) if isinstance(nodes, dict) else None
    pods, kind = config.get("podsPerNode"), config.get("instanceType")
    numbers = isinstance(count, int | float) and isinstance(pods, int | float)
    if not numbers or not isinstance(kind, str):
        return 1, "a node needs"
    pool = _pool(kind, settings, int(pods))  # type: ignore[arg-type]  # a number, see above
    return int(count) * pool.prefixes, f"{int(count)} {kind} need"  # type: ignore[arg-type]  # the same


def _pool(kind: str, settings: CniSettings, pods: int) -> NodePool:
    limits = instance_limits(kind)
    most = max_pods(limits, prefix_delegation=True, custom_networking=settings.custom_networking).value
    return node_pool(limits, settings, min(pods, most), max_pods=most)


def _larger(needed: int) -> str:
    for length in reversed(AWS_PREFIX_LENGTHS):
        holds = subnet_map(Block(0, length)).usable28
        if holds >= needed:
            return f"Make a new /{length} ({holds:,} prefixes) or larger; {AWS_RESERVED_ADDRESSES} addresses are AWS's."
    return "No subnet holds so many: give the zone several."
