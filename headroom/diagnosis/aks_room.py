"""How many nodes the pools of an AKS cluster can still be given: subnet, pod CIDR, routes and quota, one by one.

The reliefs of a diagnosis and the plan take it from here. A bound that was not read is said and allows nothing.
"""

from dataclasses import dataclass

from headroom.capacity.overlay import KUBENET_MAXIMUM_NODES, MAX_PODS_RANGE, OVERLAY_MAXIMUM_NODES
from headroom.diagnosis.aks import Aks, Given, Mode, named
from headroom.facts.azure import AgentPool
from headroom.facts.values import Unknown, items, known, known_or


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One thing that bounds a pool.

    Attributes:
        name: node subnet, pod subnet, pod CIDR, routes, nodes, or quota with its name.
        nodes: How many more nodes it allows; ``None``: not known.
        because: The figures.
    """

    name: str
    nodes: int | None
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRoom:
    """How many more nodes a pool can be given.

    Attributes:
        pool: The pool.
        slots: Pods that a further node can take beside those that run on every node; ``None``: not known.
        bounds: What bounds it, the tightest first, then what is not known.
        blocked: Why it can be given none at all, whatever the figures; empty: nothing blocks it.
    """

    pool: AgentPool
    slots: int | None
    bounds: tuple[Bound, ...]
    blocked: str = ""

    @property
    def allowed(self) -> int:
        """Nodes that everything read allows; 0 where something is not known, for unknown is never OK."""
        if self.blocked or any(bound.nodes is None for bound in self.bounds):
            return 0
        return min((bound.nodes or 0 for bound in self.bounds), default=0)

    @property
    def unread(self) -> bool:
        """Whether it is for want of a reading that it is allowed none."""
        found = {bound.nodes for bound in self.bounds}
        return not self.blocked and None in found and 0 not in found

    @property
    def told(self) -> str:
        """The bounds in words."""
        if self.blocked:
            return self.blocked
        return "; ".join(
            f"{bound.name}: {'not known' if bound.nodes is None else f'{bound.nodes:,} more'} ({bound.because})"
            for bound in self.bounds
        )


def room_of_pools(aks: Aks) -> tuple[PoolRoom, ...]:
    """The room of every pool, the one with the most first."""
    rooms = [_room(aks, pool) for pool in aks.pools]
    return tuple(sorted(rooms, key=lambda room: (-room.allowed, known_or(room.pool.mode, "") == "System")))


def daemons_of_a_node(aks: Aks) -> int:
    """Pods that every node runs: those of DaemonSets that want as many pods as there are nodes."""
    nodes = len(aks.nodes)
    return sum(
        workload.kind == "DaemonSet" and known(workload.desired) == nodes
        for workload in items(aks.kubernetes.workloads)
    )


def nodes_for(pods: int, room: PoolRoom) -> int | None:
    """Nodes that so many pods need in a pool, by their number alone; ``None``: not known."""
    return None if not room.slots else -(-pods // room.slots)


def _room(aks: Aks, pool: AgentPool) -> PoolRoom:
    most = known(pool.max_pods)
    slots = None if most is None else max(0, most - daemons_of_a_node(aks))
    bounds = [_of_subnet(aks, pool), *_of_pod_subnet(aks, pool, most), *_of_mode(aks, pool), *_of_quota(aks, pool)]
    bounds.sort(key=lambda bound: (bound.nodes is None, bound.nodes or 0))
    return PoolRoom(pool=pool, slots=slots, bounds=tuple(bounds), blocked=_blocked(pool))


def _blocked(pool: AgentPool) -> str:
    if known_or(pool.power_state, "Running") != "Running":
        return f"node pool {pool.name} is stopped"
    if known(pool.mode) == "Gateway":
        return f"node pool {pool.name} carries static egress gateways only"
    return ""


def _of_subnet(aks: Aks, pool: AgentPool) -> Bound:
    subnet_id = aks.node_subnet_of(pool)
    free, each = aks.free(subnet_id), aks.addresses_of_a_node(pool)
    where = named(subnet_id) if subnet_id is not None else "not read"
    if free is None or each is None:
        return Bound(name="node subnet", nodes=None, because=f"{where}, free addresses not known")
    takes = "one address" if each == 1 else f"{each:,} addresses"
    return Bound(name="node subnet", nodes=free // each, because=f"{free:,} free in {where}, a node takes {takes}")


def _of_pod_subnet(aks: Aks, pool: AgentPool, most: int | None) -> list[Bound]:
    subnet_id = known(pool.pod_subnet_id)
    if aks.mode is not Mode.POD_SUBNET or subnet_id is None:
        return []
    free = aks.free(subnet_id)
    if free is None or most is None:
        return [Bound(name="pod subnet", nodes=None, because=f"{named(subnet_id)}, free addresses not known")]
    because = f"{free:,} free in {named(subnet_id)}, a node full of pods takes {most:,}"
    return [Bound(name="pod subnet", nodes=free // most, because=because)]


def _of_mode(aks: Aks, pool: AgentPool) -> list[Bound]:
    if aks.mode not in (Mode.KUBENET, Mode.OVERLAY):
        return []
    given = aks.given
    if given is None:
        found = [Bound(name="pod CIDR", nodes=None, because="the pod CIDR or the nodes were not read")]
    else:
        found = [_of_range(aks, pool, given)]
    limit = KUBENET_MAXIMUM_NODES if aks.mode is Mode.KUBENET else OVERLAY_MAXIMUM_NODES
    if given is not None:
        because = f"{given.given:,} of at most {limit:,}"
        found.append(Bound(name="nodes", nodes=max(0, limit - given.given), because=because))
    if aks.mode is Mode.KUBENET:
        left = aks.routes_left()
        because = "route table not read" if left is None else f"{limit - left:,} of {limit:,} routes"
        found.append(Bound(name="routes", nodes=left, because=because))
    return found


def _of_range(aks: Aks, pool: AgentPool, given: Given) -> Bound:
    """Blocks that nobody has; AKS also keeps one for every surge node and for all nodes up to a pool's maximum.

    A pool with an autoscaler is counted at its maximum already (Azure/AKS CHANGELOG, 2023-05-07), so that only one
    without needs more of them.
    """
    left, capacity = given.blocks - given.given, aks.capacity
    if capacity is None or known(pool.maximum) is not None or given.blocks - capacity.nodes >= left:
        return Bound(name="pod CIDR", nodes=max(0, left), because=str(given))
    because = f"{given}; {capacity.nodes:,} are counted with the pools at their largest and surge nodes"
    return Bound(name="pod CIDR", nodes=max(0, given.blocks - capacity.nodes), because=because)


_ALL_CORES = "cores"
"""Name of the quota of all vCPUs of a region (Microsoft.Compute/locations/usages)."""


def _of_quota(aks: Aks, pool: AgentPool) -> list[Bound]:
    size = next((each for each in items(aks.azure.vm_sizes) if each.name == known(pool.vm_size)), None)
    vcpus = known(size.vcpus) if size is not None else None
    family = known(size.family) if size is not None else None
    if isinstance(aks.azure.quotas, Unknown) or not vcpus or family is None:
        return [Bound(name="quota", nodes=None, because="the VM size or the quotas were not read")]
    restricted = known(size.restricted) if size is not None else None
    if restricted is not None:
        return [Bound(name="quota", nodes=0, because=f"{known(pool.vm_size)} is not to be had: {restricted}")]
    found = []
    for usage in items(aks.azure.quotas):
        if usage.name.lower() in (family.lower(), _ALL_CORES):
            left = max(0, usage.limit - usage.current)
            because = f"{usage.current:,} of {usage.limit:,} vCPUs, a node has {vcpus:,}"
            found.append(Bound(name=f"quota {usage.name}", nodes=left // vcpus, because=because))
    if not found:
        found.append(Bound(name=f"quota {family}", nodes=None, because="not among the quotas that were read"))
    return found


def slots_left(aks: Aks, *, without: frozenset[str] = frozenset()) -> int | None:
    """Pods that the nodes can still take by their maxPods, those named and those that take none left out.

    ``None``: the maxPods of a node is not known.
    """
    left = 0
    for name, node in aks.nodes.items():
        if name in without or known_or(node.unschedulable, default=False):
            continue
        most = aks.most_pods(node)
        if most is None:
            return None
        left += max(0, min(most, MAX_PODS_RANGE[-1]) - aks.pods_on(name))
    return left
