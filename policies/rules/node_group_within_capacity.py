"""A node group at its maximum has to fit its zones' subnets."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.fleet import DEFAULT_SURGE, FleetSubnet, Nodes, ZoneNeeds, plan_fleet
from headroom.capacity.limits import InstanceLimits, instance_limits, max_pods
from headroom.capacity.pool import NodePool, node_pool
from headroom.capacity.settings import CniSettings
from policies import cni
from policies.configuration import ENVIRONMENT, PODS_PER_NODE, SURGE, environment, texts
from policies.findings import Finding, Undecided, read
from policies.network import known_block, linked, pod_subnets, zone_of
from policies.nodes import instance_types, launch_template, user_data_max_pods, whole_number
from policies.resources import (
    ENI_CONFIG,
    LAUNCH_TEMPLATE,
    NODE_GROUP,
    SUBNET,
    TAG,
    Resource,
    Resources,
)

NAME = "node-group-within-capacity"
DESCRIPTION = "All node groups at their maximum, and a rolling upgrade on the way, fit the subnets of each zone."
TYPES = (NODE_GROUP, LAUNCH_TEMPLATE, SUBNET, TAG, ENI_CONFIG, *cni.TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("eks", "capacity")
REMEDIATION = (
    "Lower scalingConfig.maxSize, or add a pod subnet in the zone that is named. `podsPerNode` in the policy's "
    "configuration says how many pods a node really runs; `zoneAddresses` what subnets outside the stack have free."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "environment": ENVIRONMENT,
    "podsPerNode": PODS_PER_NODE,
    "surge": SURGE,
    "nodeZones": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Zones of node groups whose subnets are not part of the stack",
    },
    "zoneAddresses": {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 0},
        "description": "Free addresses by zone in subnets that are not part of the stack",
    },
}

OUTSIDE: Final = "subnets outside the stack"
"""What the fleet's plan calls the addresses of `zoneAddresses`."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one group asks of one zone.

    Attributes:
        group: The node group.
        nodes: Its nodes there at its maximum.
        pool: The pool of one of them.
    """

    group: Resource
    nodes: Nodes
    pool: NodePool

    @property
    def text(self) -> str:
        """The arithmetic: 10 m5.8xlarge x 150 (5 network interfaces x 30 at 100 pods)."""
        pool, nodes = self.pool, self.nodes
        return (
            f"{self.group.name}: {nodes.count:,} {nodes.limits.instance_type} x {pool.most_addresses:,} "
            f"({_taken(pool)} for {nodes.pods:,} pods)"
        )


@dataclass(slots=True)
class _Space:
    """The subnets that the stack and the configuration know of, and those of which something is unknown.

    Attributes:
        subnets: The known ones by their URN.
        for_pods: What is not known of further ones for pods, by their zone; under None where that is unknown too.
        of_nodes: What is not known of nodes' own, by their zone.
    """

    subnets: dict[str, FleetSubnet] = field(default_factory=dict)
    for_pods: dict[str | None, Undecided] = field(default_factory=dict)
    of_nodes: dict[str, Undecided] = field(default_factory=dict)

    def of(self, zone: str) -> list[FleetSubnet]:
        """Those of a zone."""
        return [subnet for subnet in self.subnets.values() if subnet.zone == zone]


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Node groups that can grow beyond their subnets.

    Stops: an autoscaler that goes on adding nodes to full subnets: neither it nor the scheduler knows of addresses
    (cluster-autoscaler #1366; amazon-vpc-cni-k8s #2846).
    """
    settings = CniSettings.from_environment(_environment(resources, config))
    space = _space(resources, config)
    by_zone: dict[str, list[_Asked]] = {}
    for group in resources.of_type(NODE_GROUP):
        yield from _count(resources, group, config, settings, space, by_zone)
    surge = whole_number(config, "surge")
    for zone, asked in by_zone.items():
        subnets = space.of(zone)
        further = space.for_pods.get(zone) or space.for_pods.get(None)
        missing = space.of_nodes.get(zone) or _missing(zone, asked, subnets, settings)
        if missing is not None:
            yield Finding(asked[0].group, missing, "scalingConfig")
            continue
        plan = plan_fleet(
            [each.nodes for each in asked],
            settings,
            surge=DEFAULT_SURGE if surge is None else surge,
            subnets=subnets,
        )
        yield from _verdict(plan.zones[0], asked, further)


def _missing(zone: str, asked: list[_Asked], subnets: list[FleetSubnet], settings: CniSettings) -> Undecided | None:
    """The subnets that the nodes of a zone take addresses from and of which nothing is known."""
    step = f"are not part of this stack: set zoneAddresses for {NAME}."
    if not subnets:
        return Undecided("the subnets", f"of {zone} {step}")
    if settings.custom_networking and not any(subnet.for_pods for subnet in subnets):
        return Undecided("the subnets", f"of ENIConfigs in {zone} {step}")
    if all(subnet.for_pods for subnet in subnets) and not all(each.nodes.subnet for each in asked):
        return Undecided("the nodes' own subnets", f"in {zone} {step}")
    return None


def _verdict(zone: ZoneNeeds, asked: list[_Asked], further: Undecided | None) -> Iterator[Finding]:
    """What is said of a zone: of the group that takes most of it. A further subnet might have what is missing."""
    if not zone.short_by and not zone.short_of_28s:
        return
    group = max(asked, key=lambda each: each.pool.most_addresses * each.nodes.count).group
    if further is not None:
        yield Finding(group, further, "scalingConfig")
        return
    terms = " + ".join(each.text for each in asked)
    if zone.surge_nodes:
        terms += f" + {zone.surge_nodes:,} more in a rolling upgrade x {zone.surge_addresses // zone.surge_nodes:,}"
    value = f"scalingConfig.maxSize of {group.name}"
    if zone.short_by:
        missing = f"{zone.short_by:,} {'is' if zone.short_by == 1 else 'are'}"
        reason = (
            f"lets nodes need {zone.with_upgrade:,} addresses in {zone.zone}, where the subnets hold {zone.usable:,}: "
            f"{terms} = {zone.with_upgrade:,}; {missing} missing{_where(zone)}."
        )
    else:
        reason = (
            f"lets nodes need {zone.free28:,} whole /28s in {zone.zone}, where the subnets have {zone.usable28:,}, "
            f"though {zone.with_upgrade:,} addresses suffice: {terms} = {zone.with_upgrade:,}."
        )
    problem = Problem(
        rule=NAME,
        value=value,
        reason=reason,
        next_step="Lower maxSize, or add a pod subnet there.",
        source="amazon-vpc-cni-k8s #2846",
    )
    yield Finding(group, problem, "scalingConfig")


def _where(zone: ZoneNeeds) -> str:
    """The subnets that are short, where the zone as a whole is not."""
    if zone.usable is None or zone.usable < zone.with_upgrade:
        return ""
    short = [f"{each.subnet} needs {each.with_upgrade:,} of {each.usable:,}" for each in zone.subnets if each.short_by]
    return f" where they have to come from ({', '.join(short)})"


def _taken(pool: NodePool) -> str:
    interfaces = f"{pool.enis:,} network interface{'' if pool.enis == 1 else 's'}"
    if pool.prefixes:
        prefixes = pool.most_prefixes
        return f"{interfaces} + {prefixes:,} prefix{'' if prefixes == 1 else 'es'} x {PREFIX_ADDRESSES}"
    return f"{interfaces} + {pool.secondary_addresses:,} addresses"


def _space(resources: Resources, config: Mapping[str, Any]) -> _Space:
    """Pod subnets, node groups' own subnets, and what the configuration adds."""
    space = _Space()
    for subnet, undecided in pod_subnets(resources):
        _add(space, subnet, undecided, for_pods=True)
    for group in resources.of_type(NODE_GROUP):
        for subnet in linked(resources, group, "subnetIds", SUBNET):
            if subnet.urn not in space.subnets:
                _add(space, subnet, None, for_pods=False)
    more = config.get("zoneAddresses")
    for zone, addresses in more.items() if isinstance(more, Mapping) else ():
        # Numbers arrive as floats; what is not a number of addresses adds none.
        if isinstance(addresses, int | float) and math.isfinite(addresses):
            usable = int(addresses)
            space.subnets[f"{OUTSIDE} {zone}"] = FleetSubnet(
                id=OUTSIDE, zone=zone, usable=usable, free28=usable // PREFIX_ADDRESSES, for_pods=True
            )
    return space


def _add(space: _Space, subnet: Resource, undecided: Undecided | None, *, for_pods: bool) -> None:
    zone, block = zone_of(subnet), known_block(subnet)
    if undecided is None and isinstance(zone, str) and block is not None:
        if block.prefix_length in AWS_PREFIX_LENGTHS:
            known = FleetSubnet.of(block, zone, for_pods=for_pods)
            space.subnets[subnet.urn] = replace(known, id=f"{subnet.name} ({block})")
        return
    unknown = undecided or Undecided(f"{zone.unknown if isinstance(zone, Undecided) else 'cidrBlock'} of {subnet.name}")
    if for_pods:
        space.for_pods.setdefault(zone if isinstance(zone, str) else None, unknown)
    elif isinstance(zone, str):
        space.of_nodes.setdefault(zone, unknown)


def _count(  # noqa: PLR0913, PLR0917 - the group, and what its nodes take from where
    resources: Resources,
    group: Resource,
    config: Mapping[str, Any],
    settings: CniSettings,
    space: _Space,
    by_zone: dict[str, list[_Asked]],
) -> Iterator[Finding]:
    """Puts the group's nodes at its maximum into its zones, or says what is not known of it."""
    most = read(group.properties, "scalingConfig.maxSize", int)
    template = launch_template(resources, group)
    kinds = instance_types(group, template)
    if most is None or isinstance(most, Undecided):
        yield Finding(group, most or Undecided("scalingConfig.maxSize", "is not set."), "scalingConfig")
        return
    if isinstance(kinds, Undecided):
        yield Finding(group, kinds, "instanceTypes")
        return
    places = _places(resources, group, config, space)
    if isinstance(places, Undecided):
        yield Finding(group, places, "subnetIds")
        return
    told = None if template is None else user_data_max_pods(template)
    if isinstance(told, Undecided):
        if whole_number(config, "podsPerNode") is None:
            yield Finding(group, told, "launchTemplate")
            return
        told = None
    try:
        nodes = [_node(instance_limits(kind), settings, config, told) for kind in kinds]
    except ProblemsError as error:
        for problem in error.problems:
            yield Finding(group, problem, "instanceTypes")
        return
    # Of several types all may be the one that takes most.
    limits, pods, node_max_pods, pool = max(nodes, key=lambda node: node[-1].most_addresses)
    # The autoscaling group keeps its zones in balance.
    count = -(-max(most, 0) // len(places))
    for zone, subnet in places.items():
        row = Nodes(limits=limits, zone=zone, subnet=subnet, count=count, pods=pods, max_pods=node_max_pods)
        by_zone.setdefault(zone, []).append(_Asked(group, row, pool))


def _node(
    limits: InstanceLimits, settings: CniSettings, config: Mapping[str, Any], told: int | None
) -> tuple[InstanceLimits, int, int, NodePool]:
    """A node with as many pods as it is to run: as configured, never more than its kubelet allows."""
    advised = max_pods(
        limits, prefix_delegation=settings.prefix_delegation, custom_networking=settings.custom_networking
    )
    most = advised.value if told is None else told
    wanted = whole_number(config, "podsPerNode")
    pods = most if wanted is None else min(wanted, most)
    return limits, pods, most, node_pool(limits, settings, pods, max_pods=most)


def _places(
    resources: Resources, group: Resource, config: Mapping[str, Any], space: _Space
) -> dict[str, str] | Undecided:
    """The group's zones, each with the subnet of its nodes; empty where several share them."""
    found: dict[str, list[str]] = {}
    for subnet in linked(resources, group, "subnetIds", SUBNET):
        zone = zone_of(subnet)
        if isinstance(zone, Undecided):
            return Undecided(f"availabilityZone of {subnet.name}")
        known = space.subnets.get(subnet.urn)
        found.setdefault(zone, []).append("" if known is None else known.id)
    if found:
        return {zone: subnets[0] if len(subnets) == 1 else "" for zone, subnets in sorted(found.items())}
    zones = texts(config, "nodeZones")
    if not zones:
        return Undecided("the zones", f"of its subnets are not part of this stack: set nodeZones for {NAME}.")
    return {zone: OUTSIDE if f"{OUTSIDE} {zone}" in space.subnets else "" for zone in sorted(set(zones))}


def _environment(resources: Resources, config: Mapping[str, Any]) -> Mapping[str, str]:
    live = environment(config)
    for found in cni.cnis(resources):
        return {**found.effective(), **live, **found.environment}
    return live
