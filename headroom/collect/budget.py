"""What a reading cost: the calls of AWS, against what they may be."""

import math
from dataclasses import dataclass

from headroom.collect.aws import INTERFACES_A_CALL, TYPES_A_CALL
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, items, known

BASE_CALLS = 10
"""Calls that a reading may cost before anything is counted (issue 5, figures to reach)."""

AWS_SERVICES = ("ec2 ", "eks ", "servicequotas ")
"""Beginnings of the names of the readings that ask AWS."""
_BY_THING = {
    "ec2 GetSubnetCidrReservations": "subnets' reservations",
    "eks DescribeNodegroup": "managed node groups",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Calls of AWS.

    Attributes:
        calls: Calls made, repeated ones included.
        allowed: 10, and one for each 1,000 interfaces and each 100 instance types that had to be looked up.
        by_thing: Of the calls, those made one for each thing of several, by what the thing is.
    """

    calls: int
    allowed: int
    by_thing: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        text = f"{self.calls} AWS calls (budget {self.allowed})"
        if self.calls <= self.allowed:
            return text
        extra = ", ".join(f"{count} for {what}" for what, count in self.by_thing)
        return f"{self.calls} AWS calls (budget {self.allowed}; {extra or 'some were repeated'})"


def budget(snapshot: Snapshot) -> Budget:
    """What the snapshot cost."""
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


def missing(snapshot: Snapshot) -> tuple[tuple[str, Unknown], ...]:
    """What every diagnosis needs and this snapshot does not know, with the reasons."""
    aws, kubernetes = snapshot.aws, snapshot.kubernetes
    wanted: list[tuple[str, object]] = []
    for where, value, names in (
        ("AWS", aws, ("vpc", "subnets", "interfaces")),
        ("Kubernetes", kubernetes, ("nodes", "pods", "events", "cni_daemon_set")),
    ):
        if isinstance(value, Unknown):
            wanted.append((where, value))
        elif value is not None:
            wanted += [(name.replace("_", " "), getattr(value, name)) for name in names]
    return tuple((name, value) for name, value in wanted if isinstance(value, Unknown))
