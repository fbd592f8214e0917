"""Quantities that a plan of an EKS cluster was made from, each with the margin within which the plan still fits.

Nodes come and go and addresses are taken and given back all day; what matters is what the plan made of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from headroom.capacity.fleet import DEFAULT_SURGE
from headroom.facts.aws import Aws
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import is_known, items, known, known_or
from headroom.planning.options import Weighed
from headroom.planning.plan import Measure
from headroom.planning.room import GROWTH_PERCENT, needs
from headroom.planning.situation import Situation

WAITING = "pods that wait for an address"
WAITING_ON_ONE = "pods that wait on one node"


def may_take(zone: str) -> str:
    """Name of the addresses that the nodes of a zone hold at most, as its pod subnet is sized for them."""
    return f"addresses that nodes in {zone} may take"


def free_of(subnet: str) -> str:
    """Name of a subnet's free addresses."""
    return f"free addresses of {subnet}"


def quantities(snapshot: Snapshot, situation: Situation, also: Iterable[str] = ()) -> dict[str, int | None]:
    """What is counted in a cluster, by name; ``None``: not known.

    Of subnets, those of the nodes and those that are tagged for pods: addresses of the others are of no use to pods.

    Args:
        snapshot: The facts.
        situation: The same, read for planning.
        also: Names that must be among them, whether there is any of it or not.
    """
    aws, kubernetes = known_or(snapshot.aws, Aws()), known_or(snapshot.kubernetes, Kubernetes())
    found: dict[str, int | None] = {}
    nodes = items(kubernetes.nodes)
    zones = Counter(known_or(node.zone, "a zone that was not read") for node in nodes)
    groups = Counter(known(node.node_group) or known(node.node_pool) or "no group" for node in nodes)
    found |= {f"nodes in {zone}": count for zone, count in sorted(zones.items())}
    found |= {f"nodes of {group}": count for group, count in sorted(groups.items())}
    modelled = {zone.name for zone in situation.zones.values() if len(zone.nodes) == zones[zone.name]}
    most = needs(situation, growth_percent=0) if situation.zones else {}
    # A zone of which a node's type is unknown may take more than the others of its nodes.
    found |= {may_take(zone): count if zone in modelled else None for zone, count in sorted(most.items())}
    used = {*situation.pod_subnets, *(each for zone in situation.zones.values() for each in zone.node_subnets)}
    subnets = {subnet.subnet_id: known(subnet.available_addresses) for subnet in items(aws.subnets)}
    found |= {free_of(subnet): subnets[subnet] for subnet in sorted(used & subnets.keys())}
    read = is_known(kubernetes.pods)
    found[WAITING] = len(situation.stuck_pods) if read else None
    found[WAITING_ON_ONE] = situation.most_stuck if read else None
    none_left = 0 if is_known(kubernetes.nodes) else None
    free = {free_of(subnet): count for subnet, count in subnets.items()}
    return {**{name: free.get(name) if name.startswith(free_of("")) else none_left for name in also}, **found}


def measures(
    snapshot: Snapshot, situation: Situation, weighed: Weighed, *, more_nodes: bool, waits_for: int
) -> tuple[Measure, ...]:
    """The quantities, each with the margin that the plan leaves.

    Args:
        snapshot: The facts.
        situation: The cluster.
        weighed: What the plan does.
        more_nodes: Whether a step of the plan adds or replaces nodes.
        waits_for: Pods of one node that can wait before its conditions lose patience.
    """
    limits = {each.name: each for each in _limits(situation, weighed, more_nodes=more_nodes, waits_for=waits_for)}
    return measured(quantities(snapshot, situation), limits)


def measured(counted: Mapping[str, int | None], limits: Mapping[str, Measure]) -> tuple[Measure, ...]:
    """Quantities with their limits; one that is beyond its limit already has none, for the plan was made knowing it."""
    found = (replace(limits.get(name, Measure(name=name)), value=value) for name, value in counted.items())
    return tuple(Measure(name=each.name, value=each.value) if beyond(each, each.value) else each for each in found)


def beyond(measure: Measure, value: int | None) -> bool:
    """Whether a value is beyond the limits of a measure; one that is not known is beyond none."""
    if value is None:
        return False
    return (measure.least is not None and value < measure.least) or (measure.most is not None and value > measure.most)


def _limits(situation: Situation, weighed: Weighed, *, more_nodes: bool, waits_for: int) -> Iterator[Measure]:
    if weighed.room is not None:
        sized: Mapping[str, int] = needs(situation)
        for zone, block in weighed.room.blocks.items():
            yield Measure(
                name=may_take(zone),
                most=sized[zone],
                margin=f"{block} is planned for {GROWTH_PERCENT} % more than the nodes of {zone} could take",
            )
    homes = {each: zone.name for zone in situation.zones.values() for each in zone.node_subnets}
    for subnet, home in homes.items() if more_nodes else ():
        yield Measure(
            name=free_of(subnet),
            least=DEFAULT_SURGE,
            margin=f"a node of {home} that is added or replaced takes an address of its node subnet",
        )
    if situation.stuck_pods:
        yield Measure(
            name=WAITING_ON_ONE,
            most=waits_for,
            margin=f"`headroom verify` has the patience for {waits_for:,} on one node",
        )
