"""A pod subnet has to hold the nodes that will draw from it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headroom.addresses.blocks import AWS_PREFIX_LENGTHS, Block, shown, usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.demand import ZoneDemand, least_demand, zone_demand
from headroom.capacity.fleet import DEFAULT_SURGE
from policies.configuration import EXPECTED_NODES, INSTANCE_TYPE, PODS_PER_NODE, SURGE
from policies.findings import Finding, Undecided, known
from policies.network import is_for_pods
from policies.resources import SUBNET, Resources

NAME = "pod-subnet-size"
DESCRIPTION = "A subnet that the VPC CNI takes addresses from holds the nodes of its zone at their busiest."
TYPES = (SUBNET,)
SCOPE = "resource"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("eks", "capacity")
REMEDIATION = (
    "Write a larger block: a /18 of 100.64.0.0/16 holds 16,379 addresses a zone. `expectedNodes`, `podsPerNode`, "
    "`instanceType` and `surge` in the policy's configuration say what the zone has to hold."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "expectedNodes": EXPECTED_NODES,
    "podsPerNode": PODS_PER_NODE,
    "instanceType": INSTANCE_TYPE,
    "surge": SURGE,
    "environment": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "aws-node's settings, such as WARM_IP_TARGET",
    },
}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the pod subnets' sizes; nothing is said of a subnet that is not for pods.

    Stops: an emergency subnet that is full again within the hour, as the /24s of rule CRE-2025-0112 would be.
    """
    for resource in resources.of_type(SUBNET):
        for_pods = is_for_pods(resource)
        if isinstance(for_pods, Undecided):
            yield Finding(resource, for_pods)
        elif for_pods:
            for verdict in _size_findings(resource.properties, config):
                yield Finding(resource, verdict, "cidrBlock")


def _size_findings(properties: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Problem | Undecided]:
    cidr, zone = known(properties, "cidrBlock"), known(properties, "availabilityZone")
    if isinstance(cidr, Undecided) or cidr is None:
        yield Undecided("cidrBlock")
        return
    try:
        block = Block.parse(cidr)
        demand = _demand(zone, config)
    except ProblemsError as error:
        yield from error.problems
        return
    if not isinstance(demand, ZoneDemand):
        yield from demand
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


def _demand(zone: object, config: Mapping[str, Any]) -> ZoneDemand | Sequence[Problem | Undecided]:
    """What the zone has to hold, or why that cannot be told.

    Raises:
        ProblemsError: The instance type is not known.
    """
    expected = config.get("expectedNodes")
    if expected is None or expected == {}:
        return least_demand()
    wrong: list[Problem | Undecided] = [*_config_problems(config)]
    if wrong:
        return wrong
    missing = [name for name in ("podsPerNode", "instanceType") if config.get(name) is None]
    if isinstance(zone, str) and zone not in expected:
        missing.insert(0, f"expectedNodes for {shown(zone)}")
    if missing:
        return [Undecided(", ".join(missing), f"is not set in the configuration of {NAME}.")]
    if not isinstance(zone, str):
        return [Undecided("availabilityZone")]
    return zone_demand(
        nodes=int(expected[zone]),
        surge=int(config.get("surge", DEFAULT_SURGE)),
        instance_type=config["instanceType"],
        pods_per_node=int(config["podsPerNode"]),
        environment=config.get("environment") or {},
    )


def _config_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """What does not have the type that `CONFIG_SCHEMA` says: nobody checks it where a pack runs without the engine."""
    expected, environment = config["expectedNodes"], config.get("environment")
    numbers = {name: config[name] for name in ("podsPerNode", "surge") if name in config}
    if isinstance(expected, Mapping):
        numbers.update({f"expectedNodes.{zone}": nodes for zone, nodes in expected.items()})
    else:
        yield _wrong("expectedNodes", expected, "is no mapping of numbers by zone.")
    for name, number in numbers.items():
        if not _is_count(number):
            yield _wrong(name, number, "is no whole number of 0 or more.")
    if not isinstance(config.get("instanceType"), str | None):
        yield _wrong("instanceType", config["instanceType"], "is no name of an instance type.")
    if environment is not None and not (
        isinstance(environment, Mapping) and all(isinstance(value, str) for value in environment.values())
    ):
        yield _wrong("environment", environment, "is no mapping of strings.")


def _is_count(number: object) -> bool:
    # Numbers come from the engine as floating-point ones, and a boolean is a number to Python only.
    return isinstance(number, int | float) and not isinstance(number, bool) and number >= 0 and number % 1 == 0


def _wrong(name: str, value: object, reason: str) -> Problem:
    return Problem(
        rule=NAME,
        key=f"configuration of {NAME}: {name}",
        value=shown(value),
        reason=reason,
        next_step="Mend it in the file of --policy-pack-config.",
    )


def _larger(addresses: int) -> str:
    for length in reversed(AWS_PREFIX_LENGTHS):
        holds = usable_addresses(Block(0, length))
        if holds >= addresses:
            return f"Write a /{length} ({holds:,} addresses) or larger."
    return "No subnet is that large: give the zone several."
