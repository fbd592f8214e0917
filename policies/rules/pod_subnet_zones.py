"""Every zone that has nodes needs a pod subnet of its own."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.blocks import listed
from headroom.addresses.problems import Problem
from policies.configuration import texts
from policies.findings import Finding, Undecided, read
from policies.network import linked, pod_subnets, zone_of
from policies.resources import ENI_CONFIG, NODE_GROUP, SUBNET, Resource, Resources

NAME = "pod-subnet-zones"
DESCRIPTION = "Every availability zone that has nodes has a pod subnet, and every ENIConfig one of its own zone."
TYPES = (SUBNET, NODE_GROUP, ENI_CONFIG)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "availability")
REMEDIATION = (
    "Add a pod subnet in each zone that is named, such as `us-east-1c: {cidrBlock: 100.64.128.0/18}`. `nodeZones` in "
    "the policy's configuration, and `expectedNodes` of pod-subnet-size, name the zones that have nodes."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "nodeZones": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Zones that have nodes, where the node groups are not part of the stack; those of "
        "pod-subnet-size's expectedNodes count without being named",
    }
}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Zones whose nodes would go on without addresses.

    Stops: the incident that moves to the one zone that was left out. A node makes network interfaces in its own
    zone only (amazon-vpc-cni-k8s, createENI), so subnets elsewhere do not help it.
    """
    yield from _eni_configs(resources)
    having: set[str] = set()
    unknown: list[Finding] = []
    count = 0
    for subnet, undecided in pod_subnets(resources):
        count += 1
        zone = undecided or zone_of(subnet)
        if isinstance(zone, str):
            having.add(zone)
        else:
            unknown.append(Finding(subnet, zone, "availabilityZone"))
    if count == 0:
        return
    needing = _needing(resources, config)
    missing = {zone: resource for zone, resource in needing.items() if zone not in having}
    if missing and unknown:
        # One of these subnets may lie in the zone.
        yield from unknown
        return
    for zone, resource in missing.items():
        problem = Problem(
            rule=NAME,
            value=zone,
            reason=f"has nodes and no pod subnet; there are pod subnets in {listed(sorted(having))}.",
            next_step=f"Add a pod subnet in {zone}.",
            source="amazon-vpc-cni-k8s, pkg/awsutils, createENI",
        )
        yield Finding(resource, problem)


def _needing(resources: Resources, config: Mapping[str, Any]) -> dict[str, Resource | None]:
    """Zones with nodes, and the node group that says so."""
    needing: dict[str, Resource | None] = dict.fromkeys(texts(config, "nodeZones"))
    for group in resources.of_type(NODE_GROUP):
        for subnet in linked(resources, group, "subnetIds", SUBNET):
            zone = zone_of(subnet)
            if isinstance(zone, str):
                needing.setdefault(zone, group)
    return needing


def _eni_configs(resources: Resources) -> Iterator[Finding]:
    """ENIConfigs that are named by a zone have a subnet of that zone (amazon-vpc-cni-k8s #3058)."""
    zones = {zone for subnet in resources.of_type(SUBNET) if isinstance(zone := zone_of(subnet), str)}
    for config in resources.of_type(ENI_CONFIG):
        name = read(config.properties, "metadata.name", str)
        for subnet in linked(resources, config, "spec.subnet", SUBNET):
            zone = zone_of(subnet)
            if isinstance(zone, Undecided):
                yield Finding(config, zone)
            elif isinstance(name, str) and name in zones and zone != name:
                problem = Problem(
                    rule=NAME,
                    value=f"ENIConfig {name}",
                    reason=f"names {subnet.name}, which lies in {zone}: nodes of {name} cannot attach an interface "
                    "of another zone, and their pods get no addresses.",
                    next_step=f"Name a pod subnet of {name}.",
                    source="amazon-vpc-cni-k8s #3058",
                )
                yield Finding(config, problem)
