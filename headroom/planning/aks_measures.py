"""Quantities that a plan of an AKS cluster was made from, each with the margin within which the plan still fits."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from headroom.addresses.azure import azure_usable_addresses, node_blocks
from headroom.addresses.blocks import Block
from headroom.capacity.overlay import OVERLAY_MAXIMUM_NODES
from headroom.diagnosis.aks import Mode, named
from headroom.facts.azure import AgentPool
from headroom.facts.values import is_known, known, known_or
from headroom.planning.aks_options import AksWeighed
from headroom.planning.aks_situation import AksSituation
from headroom.planning.measures import WAITING, free_of, measured
from headroom.planning.plan import Measure

LARGEST: Final = "nodes of all pools at their largest, with surge"
ROUTES_LEFT: Final = "routes that the nodes' route table still takes"
BLOCKS_GIVEN: Final = "nodes that have a /24 of the pod range"
_SCALING: Final = ("az aks nodepool scale", "az aks nodepool update")


def nodes_of(pool: str) -> str:
    """Name of a pool's number of nodes."""
    return f"nodes of pool {pool}"


def aks_quantities(situation: AksSituation, also: Iterable[str] = ()) -> dict[str, int | None]:
    """What is counted in an AKS cluster, by name; ``None``: not known.

    Args:
        situation: The cluster.
        also: Names that must be among them, whether there is any of it or not.
    """
    aks = situation.aks
    found = {nodes_of(pool.name): known(pool.count) for pool in situation.pools}
    found[LARGEST] = situation.most_nodes
    subnets = {each.lower(): each for each in (*aks.node_subnet_ids, *aks.pod_subnet_ids)}
    found |= {free_of(named(subnet_id)): aks.free(subnet_id) for subnet_id in subnets.values()}
    if situation.mode is Mode.KUBENET:
        found[ROUTES_LEFT] = aks.routes_left()
    if situation.mode in (Mode.KUBENET, Mode.OVERLAY):
        found[BLOCKS_GIVEN] = aks.given.given if aks.given is not None else None
    found[WAITING] = len(situation.stuck_pods) if is_known(aks.kubernetes.pods) else None
    read = is_known(situation.azure.pools)
    return {**{name: 0 if read and name.startswith(nodes_of("")) else None for name in also}, **found}


def aks_measures(situation: AksSituation, weighed: AksWeighed) -> tuple[Measure, ...]:
    """The quantities, each with the margin that the plan leaves."""
    limits: dict[str, Measure] = {}
    # A size that a command sets says more of a pool than what takes its place.
    for each in (*_of_ranges(weighed), *_of_reliefs(situation, weighed), *_of_new_pools(situation, weighed)):
        limits.setdefault(each.name, each)
    return measured(aks_quantities(situation), limits)


def _of_ranges(weighed: AksWeighed) -> Iterator[Measure]:
    """Every node needs a /24 of the planned range, and of a new cluster an address of its subnet, too."""
    made = weighed.blue_green
    if made is not None and made.pod_cidr is not None and made.node_subnet is not None:
        most = min(_nodes_in(made.pod_cidr), azure_usable_addresses(made.node_subnet))
        yield Measure(
            name=LARGEST, most=most, margin=f"{made.pod_cidr} and the node subnet {made.node_subnet} carry {most:,}"
        )
    planned = weighed.grown or (weighed.in_place_cidr if weighed.in_place else None)
    if planned is not None:
        most = _nodes_in(planned)
        yield Measure(name=LARGEST, most=most, margin=f"{planned} carries {most:,}")


def _nodes_in(pod_range: Block) -> int:
    return min(node_blocks(pod_range), OVERLAY_MAXIMUM_NODES)


def _of_reliefs(situation: AksSituation, weighed: AksWeighed) -> Iterator[Measure]:
    """A command that sets a pool's size says how many nodes it is to have, not how many more."""
    for relief in weighed.reliefs:
        if not relief.command.startswith(_SCALING):
            continue
        words = shlex.split(relief.command)
        name = words[words.index("--name") + 1]
        pool = next((each for each in situation.pools if each.name == name), None)
        if pool is not None and (count := known(pool.count)) is not None:
            margin = f"a step sets the size of pool {name} to what {count:,} and the further nodes were together"
            yield Measure(name=nodes_of(name), least=count, most=count, margin=margin)


def _of_new_pools(situation: AksSituation, weighed: AksWeighed) -> Iterator[Measure]:
    """A pool that takes another's place has as many nodes as that one had; its nodes stand beside the old ones."""
    takes: dict[str, int] = {}
    for made in weighed.pools:
        most = _largest(made.old)
        if most is not None:
            margin = f"pool {made.name}, which takes its place, is planned for {most:,}"
            yield Measure(name=nodes_of(made.old.name), most=most, margin=margin)
        subnet_id, each = situation.aks.node_subnet_of(made.old), situation.aks.addresses_of_a_node(made.old)
        if subnet_id is not None and each is not None and (made.subnet is None or made.for_pods):
            takes[subnet_id] = takes.get(subnet_id, 0) + made.count * each
    yield from _of_subnets(takes)
    more = sum(made.count for made in weighed.pools)
    if more:
        margin = f"the planned pools have {more:,} nodes at first"
        yield Measure(name=ROUTES_LEFT, least=more, margin=margin)
        if situation.aks.given is not None:
            yield Measure(name=BLOCKS_GIVEN, most=situation.aks.given.blocks - more, margin=margin)


def _of_subnets(takes: Mapping[str, int]) -> Iterator[Measure]:
    for subnet_id, count in takes.items():
        yield Measure(
            name=free_of(named(subnet_id)), least=count, margin=f"the planned pools take {count:,} there at once"
        )


def _largest(pool: AgentPool) -> int | None:
    """Nodes that a pool may have; ``None``: not known."""
    count = known(pool.count)
    return None if count is None else max(count, known_or(pool.maximum, count) or count)
