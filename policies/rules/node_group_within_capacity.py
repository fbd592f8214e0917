"""A node group at its maximum has to fit its zones' subnets."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headroom.addresses.blocks import usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.demand import zone_demand
from headroom.capacity.limits import LARGE_INSTANCE_MAX_PODS
from policies import cni
from policies.configuration import ENVIRONMENT, environment, texts
from policies.findings import Finding, Undecided, read
from policies.network import known_block, known_pod_subnets, linked, zone_of
from policies.nodes import instance_types, launch_template, whole_number
from policies.resources import (
    ENI_CONFIG,
    LAUNCH_TEMPLATE,
    NODE_GROUP,
    SUBNET,
    Resource,
    Resources,
)

NAME = "node-group-within-capacity"
DESCRIPTION = "All node groups at their maximum, and a rolling upgrade on the way, fit the subnets of each zone."
TYPES = (NODE_GROUP, LAUNCH_TEMPLATE, SUBNET, ENI_CONFIG, *cni.TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("eks", "capacity")
REMEDIATION = (
    "Lower scalingConfig.maxSize, or add a pod subnet in the zone that is named. `podsPerNode` in the policy's "
    "configuration says how many pods a node really runs; `zoneAddresses` what subnets outside the stack have free."
)
DEFAULT_SURGE: Final = 1
"""Nodes more in a zone during a rolling upgrade, where the configuration does not say (EKS, maxUnavailable)."""
CONFIG_SCHEMA: Mapping[str, Any] = {
    "environment": ENVIRONMENT,
    "podsPerNode": {"type": "integer", "minimum": 0, "description": "Pods on the pod network of one node, at most"},
    "surge": {"type": "integer", "minimum": 0, "default": DEFAULT_SURGE, "description": "Nodes more in an upgrade"},
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


@dataclass(slots=True)
class _Zone:
    """What is asked of a zone: addresses, in words, by whom."""

    needed: int
    texts: list[str]
    group: Resource


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Node groups that can grow beyond their subnets.

    Stops: an autoscaler that goes on adding nodes to full subnets: neither it nor the scheduler knows of addresses
    (cluster-autoscaler #1366; amazon-vpc-cni-k8s #2846).
    """
    having = _addresses(resources, config)
    zones: dict[str, _Zone] = {}
    for group in resources.of_type(NODE_GROUP):
        yield from _count(resources, group, config, zones)
    for zone, asked in zones.items():
        if zone not in having:
            reason = f"of {zone} are not part of this stack: set zoneAddresses for {NAME}."
            yield Finding(asked.group, Undecided("the subnets", reason))
        elif asked.needed > having[zone]:
            problem = Problem(
                rule=NAME,
                value=f"scalingConfig.maxSize of {asked.group.name}",
                reason=f"lets nodes need {asked.needed:,} addresses in {zone}, where the subnets hold "
                f"{having[zone]:,}: {'; '.join(asked.texts)}.",
                next_step="Lower maxSize, or add a pod subnet there.",
                source="amazon-vpc-cni-k8s #2846",
            )
            yield Finding(asked.group, problem, "scalingConfig")


def _addresses(resources: Resources, config: Mapping[str, Any]) -> dict[str, int]:
    """Addresses by zone: pod subnets, node groups' own subnets, and what the configuration adds."""
    counted = {subnet.urn: subnet for subnet in known_pod_subnets(resources)}
    for group in resources.of_type(NODE_GROUP):
        for subnet in linked(resources, group, "subnetIds", SUBNET):
            counted[subnet.urn] = subnet
    found: dict[str, int] = {}
    for subnet in counted.values():
        zone, block = zone_of(subnet), known_block(subnet)
        if isinstance(zone, str) and block is not None:
            found[zone] = found.get(zone, 0) + usable_addresses(block)
    more = config.get("zoneAddresses")
    for zone, addresses in more.items() if isinstance(more, Mapping) else ():
        # Numbers arrive as floats; what is not a number of addresses adds none.
        if isinstance(addresses, int | float) and math.isfinite(addresses):
            found[zone] = found.get(zone, 0) + int(addresses)
    return found


def _count(
    resources: Resources, group: Resource, config: Mapping[str, Any], zones: dict[str, _Zone]
) -> Iterator[Finding]:
    most = read(group.properties, "scalingConfig.maxSize", int)
    kinds = instance_types(group, launch_template(resources, group))
    if most is None or isinstance(most, Undecided):
        yield Finding(group, most or Undecided("scalingConfig.maxSize", "is not set."), "scalingConfig")
        return
    if isinstance(kinds, Undecided):
        yield Finding(group, kinds, "instanceTypes")
        return
    places = _zones(resources, group, config)
    if isinstance(places, Undecided):
        yield Finding(group, places, "subnetIds")
        return
    pods = whole_number(config, "podsPerNode")
    surge = whole_number(config, "surge")
    settings = _environment(resources, config)
    # The autoscaling group keeps its zones in balance.
    nodes = -(-most // len(places))
    try:
        demands = [
            zone_demand(
                nodes=nodes,
                surge=DEFAULT_SURGE if surge is None else surge,
                instance_type=kind,
                pods_per_node=LARGE_INSTANCE_MAX_PODS if pods is None else pods,
                environment=settings,
            )
            for kind in kinds
        ]
    except ProblemsError as error:
        for problem in error.problems:
            yield Finding(group, problem, "instanceTypes")
        return
    demand = max(demands, key=lambda item: item.addresses)
    for zone in places:
        asked = zones.setdefault(zone, _Zone(0, [], group))
        asked.needed += demand.addresses
        asked.texts.append(f"{group.name}: {demand.text}")


def _zones(resources: Resources, group: Resource, config: Mapping[str, Any]) -> list[str] | Undecided:
    found: set[str] = set()
    for subnet in linked(resources, group, "subnetIds", SUBNET):
        zone = zone_of(subnet)
        if isinstance(zone, Undecided):
            return Undecided(f"availabilityZone of {subnet.name}")
        found.add(zone)
    found = found or set(texts(config, "nodeZones"))
    if not found:
        return Undecided("the zones", f"of its subnets are not part of this stack: set nodeZones for {NAME}.")
    return sorted(found)


def _environment(resources: Resources, config: Mapping[str, Any]) -> Mapping[str, str]:
    live = environment(config)
    for found in cni.cnis(resources):
        return {**found.effective(), **live, **found.environment}
    return live
