"""What a reading cost: the calls of AWS or Azure, against what they may be."""

import math
from dataclasses import dataclass

from headroom.collect.aws import INTERFACES_A_CALL, TYPES_A_CALL
from headroom.facts.azure import Azure
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, items, known, known_or

BASE_CALLS = 10
"""Calls that a reading may cost before anything is counted (issue 5, figures to reach)."""

BASE_CALLS_OF_AZURE = 12
"""Calls of Azure in any case: the cluster, its pools, quotas, sizes, two of the activity log, Resource Graph, and five
metrics of a load balancer (`headroom.collect.azure.CALLS`)."""

AZURE_SERVICES = "azure "
"""Beginning of the names of the readings that ask Azure."""

AWS_SERVICES = ("ec2 ", "eks ", "servicequotas ")
"""Beginnings of the names of the readings that ask AWS."""
_BY_THING = {
    "ec2 GetSubnetCidrReservations": "subnets' reservations",
    "eks DescribeNodegroup": "managed node groups",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Calls of AWS or of Azure.

    Attributes:
        calls: Calls made, repeated ones included.
        allowed: AWS: 10, and one for each 1,000 interfaces and each 100 instance types that had to be looked up.
            Azure: 12, and one for each resource that the cluster's subnets name (`headroom.collect.azure.CALLS`).
        by_thing: Of the calls, those made one for each thing of several, by what the thing is.
        cloud: AWS or Azure.
    """

    calls: int
    allowed: int
    by_thing: tuple[tuple[str, int], ...]
    cloud: str = "AWS"

    def __str__(self) -> str:
        text = f"{self.calls} {self.cloud} calls (budget {self.allowed})"
        if self.calls <= self.allowed:
            return text
        extra = ", ".join(f"{count} for {what}" for what, count in self.by_thing)
        return f"{self.calls} {self.cloud} calls (budget {self.allowed}; {extra or 'some were repeated'})"


def budget(snapshot: Snapshot) -> Budget:
    """What the snapshot cost."""
    if snapshot.cloud == "azure":
        return _budget_of_azure(snapshot)
    sources = [each for each in snapshot.sources if each.name.startswith(AWS_SERVICES)]
    things = {each.name: each.calls for each in sources if each.items > 1}
    aws = known(snapshot.aws)
    interfaces = len(items(aws.interfaces)) if aws else 0
    region = aws.region_interfaces if aws else None
    if isinstance(region, int):
        interfaces += region
    types = len(items(aws.instance_types)) if aws else 0
    return Budget(
        calls=sum(each.calls for each in sources),
        allowed=BASE_CALLS + math.ceil(interfaces / INTERFACES_A_CALL) + math.ceil(types / TYPES_A_CALL),
        by_thing=tuple((what, things[name]) for name, what in _BY_THING.items() if name in things),
    )


def _budget_of_azure(snapshot: Snapshot) -> Budget:
    azure = known_or(snapshot.azure, Azure())
    named = (
        azure.route_tables,
        azure.security_groups,
        azure.nat_gateways,
        azure.public_addresses,
        azure.public_prefixes,
    )
    things = sum(len(items(each)) for each in named) + 2 * len(items(azure.vnets))
    sources = [each for each in snapshot.sources if each.name.startswith(AZURE_SERVICES)]
    return Budget(
        calls=sum(each.calls for each in sources),
        allowed=BASE_CALLS_OF_AZURE + things + 3 * len(items(azure.nat_gateways)),
        by_thing=tuple((each.name.removeprefix(AZURE_SERVICES), each.calls) for each in sources if each.calls > 1),
        cloud="Azure",
    )


def missing(snapshot: Snapshot) -> tuple[tuple[str, Unknown], ...]:
    """What every diagnosis needs and this snapshot does not know, with the reasons."""
    aws, kubernetes = snapshot.aws, snapshot.kubernetes
    wanted: list[tuple[str, object]] = []
    of_azure = snapshot.cloud == "azure"
    of_nodes = ("nodes", "pods", "events") if of_azure else ("nodes", "pods", "events", "cni_daemon_set")
    for where, value, names in (
        ("Azure", snapshot.azure, ("cluster", "pools", "vnets", "errors"))
        if of_azure
        else ("AWS", aws, ("vpc", "subnets", "interfaces")),
        ("Kubernetes", kubernetes, of_nodes),
    ):
        if isinstance(value, Unknown):
            wanted.append((where, value))
        elif value is not None:
            wanted += [(name.replace("_", " "), getattr(value, name)) for name in names]
    return tuple((name, value) for name, value in wanted if isinstance(value, Unknown))
