"""A pod subnet has to hold the nodes that will draw from it."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import SUBNET_EXCLUDED, SUBNET_ROLE_TAG
from headroom.capacity.demand import ZoneDemand, least_demand, zone_demand
from policies.findings import Finding, Undecided, known

NAME = "pod-subnet-size"
DESCRIPTION = "A subnet that the VPC CNI takes addresses from holds the nodes of its zone at their busiest."
RESOURCE_TYPE = "aws:ec2/subnet:Subnet"
SEVERITY = "critical"
TAGS = ("eks", "capacity")
REMEDIATION = (
    "Write a larger block: a /18 of 100.64.0.0/16 holds 16,379 addresses a zone. `expectedNodes`, `podsPerNode`, "
    "`instanceType` and `surge` in the policy's configuration say what the zone has to hold."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "expectedNodes": {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 0},
        "description": "Nodes by availability zone at their most",
    },
    "podsPerNode": {"type": "integer", "minimum": 0, "description": "Pods on the pod network of one node, at most"},
    "instanceType": {"type": "string", "description": "Instance type of the nodes"},
    "surge": {"type": "integer", "minimum": 0, "default": 1, "description": "Nodes more during a rolling upgrade"},
    "environment": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "aws-node's settings, such as WARM_IP_TARGET",
    },
}


def findings(properties: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with one `aws.ec2.Subnet`; nothing for a subnet that is not for pods.

    Stops: an emergency subnet that is full again within the hour, as the /24s of rule CRE-2025-0112 would be.
    """
    tags = known(properties, "tags")
    if isinstance(tags, Undecided):
        yield tags
        return
    role = known(tags, SUBNET_ROLE_TAG) if tags else None
    if role is None or role == SUBNET_EXCLUDED:
        return
    cidr, zone = known(properties, "cidrBlock"), known(properties, "availabilityZone")
    if isinstance(cidr, Undecided) or cidr is None:
        yield Undecided("cidrBlock")
        return
    try:
        block = Block.parse(cidr)
    except ProblemsError as error:
        yield from error.problems
        return
    demand = _demand(zone, config)
    if isinstance(demand, Undecided):
        yield demand
        return
    usable = usable_addresses(block)
    if usable < demand.addresses:
        yield Problem(
            rule=NAME,
            value=str(block),
            reason=f"holds {usable:,} addresses; {demand.text} need{'s' if demand.nodes == 1 else ''} "
            f"{demand.addresses:,}{f' in {zone}' if isinstance(zone, str) else ''}.",
            next_step=_larger(demand.addresses),
        )


def _demand(zone: object, config: Mapping[str, Any]) -> ZoneDemand | Undecided:
    expected = config.get("expectedNodes")
    if not expected:
        return least_demand()
    if not isinstance(zone, str):
        return Undecided("availabilityZone")
    missing = [name for name in ("podsPerNode", "instanceType") if config.get(name) is None]
    if missing:
        return Undecided(f"configuration of {NAME}: {', '.join(missing)}")
    return zone_demand(
        nodes=int(expected.get(zone, 0)),
        surge=int(config.get("surge", 1)),
        instance_type=str(config["instanceType"]),
        pods_per_node=int(config["podsPerNode"]),
        environment={str(name): str(value) for name, value in (config.get("environment") or {}).items()},
    )


def _larger(addresses: int) -> str:
    for length in reversed(AWS_PREFIX_LENGTHS):
        holds = usable_addresses(Block(0, length))
        if holds >= addresses:
            return f"Write a /{length} ({holds:,} addresses) or larger."
    return "No subnet is that large: give the zone several."
