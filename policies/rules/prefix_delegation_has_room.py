"""Prefix delegation needs whole free /28s, and a maxPods that lets nodes run more pods for them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, AWS_RESERVED_ADDRESSES, Block
from headroom.addresses.problems import Problem, ProblemsError
from headroom.addresses.subnet_map import Reservation, subnet_map
from headroom.capacity.limits import instance_limits, max_pods
from headroom.capacity.pool import node_pool
from headroom.capacity.settings import CniSettings
from policies import cni
from policies.configuration import ENVIRONMENT, EXPECTED_NODES, INSTANCE_TYPE, PODS_PER_NODE
from policies.findings import Finding, Undecided, read
from policies.network import known_block, linked, pod_subnets, zone_of
from policies.nodes import density_lost, instance_types, launch_template, user_data_max_pods, whole_number
from policies.resources import (
    ENI_CONFIG,
    KARPENTER_NODE_CLASS,
    LAUNCH_TEMPLATE,
    NODE_GROUP,
    RESERVATION,
    SUBNET,
    TAG,
    Resource,
    Resources,
)

NAME = "prefix-delegation-has-room"
DESCRIPTION = "With prefix delegation, every zone has enough free, aligned /28s, and maxPods lets nodes use them."
TYPES = (SUBNET, TAG, RESERVATION, ENI_CONFIG, NODE_GROUP, LAUNCH_TEMPLATE, KARPENTER_NODE_CLASS, *cni.TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "prefix-delegation", "capacity")
REMEDIATION = (
    "Give each zone a new, empty pod subnet of a /24 or larger: the first and the last /28 never become a prefix. "
    "`expectedNodes`, `podsPerNode`, `instanceType` and `maxPods` in the policy's configuration say how many a zone "
    "needs. Raise maxPods with prefix delegation: `headroom calc max-pods --prefix-delegation` prints the number."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "environment": ENVIRONMENT,
    "expectedNodes": EXPECTED_NODES,
    "podsPerNode": PODS_PER_NODE,
    "instanceType": INSTANCE_TYPE,
    "maxPods": {
        "type": "integer",
        "minimum": 0,
        "description": "The nodes' maxPods, where neither launch template nor NodeClass of the stack says it",
    },
}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Zones where nodes would ask for prefixes that do not exist, and nodes that gain nothing by prefixes.

    Stops: prefix delegation switched on as the cure for a full subnet, which needs more of it and fails with
    InsufficientCidrBlocks (EKS user guide, cni-increase-ip-addresses; amazon-vpc-cni-k8s #3105).
    """
    settings, _ = cni.config_settings(resources, config)
    if not settings.prefix_delegation:
        return
    yield from _density(resources, config, settings)
    by_zone: dict[str, dict[str, int]] = {}
    where: dict[str, Resource] = {}
    undecided_zones: set[str] = set()
    reserved = _reservations(resources)
    for subnet, undecided in pod_subnets(resources):
        zone, block = zone_of(subnet), known_block(subnet)
        if isinstance(zone, str) and (undecided is not None or block is None):
            undecided_zones.add(zone)
        if undecided is not None or isinstance(zone, Undecided):
            yield Finding(subnet, undecided or zone)  # type: ignore[arg-type]  # a zone that is text has gone below
        elif block is None or block.prefix_length not in AWS_PREFIX_LENGTHS:
            yield Finding(subnet, Undecided("cidrBlock", "is no CIDR of a subnet."), "cidrBlock")
        else:
            usable = subnet_map(block, reservations=reserved.get(subnet.urn, ())).usable28
            by_zone.setdefault(zone, {})[str(block)] = usable
            where.setdefault(zone, subnet)
    for zone, usable_by_block in by_zone.items():
        # Another subnet of the zone, of which something is not known, might have what is missing.
        if zone not in undecided_zones:
            yield from _zone(zone, usable_by_block, where[zone], settings, config)


def _density(resources: Resources, config: Mapping[str, Any], settings: CniSettings) -> Iterator[Finding]:
    """Nodes whose maxPods has stayed at what single addresses allow."""
    for group in resources.of_type(NODE_GROUP):
        template = launch_template(resources, group)
        told = None if template is None else user_data_max_pods(template)
        kinds = instance_types(group, template)
        # What is unknown of them is said by max-pods-consistent.
        if isinstance(told, int) and not isinstance(kinds, Undecided):
            yield from _same_density(group, told, kinds, settings)
    kind = config.get("instanceType")
    kinds_told = [kind] if isinstance(kind, str) else []
    for node_class in resources.of_type(KARPENTER_NODE_CLASS):
        set_value = read(node_class.properties, "spec.kubelet.maxPods", int)
        if isinstance(set_value, int):
            yield from _same_density(node_class, set_value, kinds_told, settings)
    value = whole_number(config, "maxPods")
    if value is not None:
        for setting in cni.cnis(resources):
            yield from _same_density(setting.resource, value, kinds_told, settings)
            return
        for subnet, undecided in pod_subnets(resources):
            if undecided is None:
                yield from _same_density(subnet, value, kinds_told, settings)
                return


def _same_density(resource: Resource, value: int, kinds: list[str], settings: CniSettings) -> Iterator[Finding]:
    for kind in kinds:
        try:
            limits = instance_limits(kind)
        except ProblemsError:
            continue  # max-pods-consistent, or the need of a zone, says so
        denser = density_lost(limits, value, settings)
        if denser is None:
            continue
        with_prefixes = node_pool(limits, settings, value, max_pods=value).most_addresses
        single = node_pool(limits, replace(settings, prefix_delegation=False), value, max_pods=value).most_addresses
        problem = Problem(
            rule=NAME,
            value=f"maxPods {value}",
            reason=f"is what {kind} runs without prefix delegation, which adds no density then: growth stops once "
            f"{value} addresses are there. A full node takes {with_prefixes:,} addresses with prefixes and {single:,} "
            "without.",
            next_step=f"Write {denser.value} for maxPods, or ENABLE_PREFIX_DELEGATION=false.",
            source="amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go, isDatastorePoolTooLow",
        )
        yield Finding(resource, problem)


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
    zone: str, usable_by_block: Mapping[str, int], subnet: Resource, settings: CniSettings, config: Mapping[str, Any]
) -> Iterator[Finding]:
    try:
        needed, who, each = _needed(zone, settings, config)
    except ProblemsError as error:
        for problem in error.problems:
            yield Finding(subnet, problem, "cidrBlock")
        return
    usable = sum(usable_by_block.values())
    if usable < needed:
        many = len(usable_by_block) > 1
        problem = Problem(
            rule=NAME,
            value=", ".join(sorted(usable_by_block)),
            reason=f"ha{'ve' if many else 's'} {usable:,} /28s that can become prefixes{' together' if many else ''}; "
            f"{who} {needed:,} in {zone}{each}, where the stack has no other pod subnet.",
            next_step=_larger(needed),
            source="EKS user guide, cni-increase-ip-addresses",
        )
        yield Finding(subnet, problem, "cidrBlock")


def _needed(zone: str, settings: CniSettings, config: Mapping[str, Any]) -> tuple[int, str, str]:
    """The /28s that the zone's nodes take at the density that maxPods allows: how many, who, and each how many."""
    nodes = read(config, "expectedNodes", dict)
    count = whole_number(nodes, zone) if isinstance(nodes, dict) else None
    pods, kind = whole_number(config, "podsPerNode"), config.get("instanceType")
    if count is None or pods is None or not isinstance(kind, str):
        return 1, "a node needs", ""
    limits = instance_limits(kind)
    most = whole_number(config, "maxPods")
    if most is None:
        most = max_pods(limits, prefix_delegation=True, custom_networking=settings.custom_networking).value
    pool = node_pool(limits, settings, min(pods, most), max_pods=most)
    each = f" ({pool.most_prefixes} each for {min(pods, most)} pods)"
    return count * pool.most_prefixes, f"{count:,} {kind} need", each


def _larger(needed: int) -> str:
    for length in reversed(AWS_PREFIX_LENGTHS):
        holds = subnet_map(Block(0, length)).usable28
        if holds >= needed:
            return f"Make a new /{length} ({holds:,} prefixes) or larger; {AWS_RESERVED_ADDRESSES} addresses are AWS's."
    return "No subnet holds so many: give the zone several."
