"""New node pools of an AKS cluster: another maxPods, another subnet. What a pool has is fixed for its life."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from shlex import quote
from typing import Final

from headroom.addresses.azure import azure_usable_addresses
from headroom.addresses.blocks import Block
from headroom.capacity.overlay import DEFAULT_MAX_PODS, MAX_PODS_RANGE
from headroom.diagnosis.aks import Mode
from headroom.diagnosis.aks_room import room_of_pools
from headroom.facts.azure import AgentPool, AzureSubnet, resource_name
from headroom.facts.values import Unknown, items, known, known_or
from headroom.planning.aks_blue_green import free_node_subnet
from headroom.planning.aks_situation import AksSituation
from headroom.planning.plan import Step

BLOCK_PODS: Final = 204
"""Pods of a node that leave a fifth of its /24 to pods that come and go; our own choice."""
_NAME_LETTERS: Final = {"Linux": 12, "Windows": 6}
"""Letters of a pool's name at most (AKS documentation, use-system-pools and learn/quick-windows-container)."""
_DELEGATION: Final = "Microsoft.ContainerService/managedClusters"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPool:
    """A pool that takes the place of another one.

    Attributes:
        old: The one that it takes the place of.
        name: Its name.
        max_pods: Its maxPods.
        count: Its nodes at first.
        subnet: The new subnet of its nodes, or of its pods; ``None``: those of the old pool.
        for_pods: Whether the new subnet is for pods.
        because: The figures.
        unmet: Why it cannot be; empty where it can.
        unread: Whether that is because something was not read: then it is not ruled out.
    """

    old: AgentPool
    name: str
    max_pods: int
    count: int
    subnet: Block | None = None
    for_pods: bool = False
    because: str = ""
    unmet: str = ""
    unread: bool = False


def denser_pool(situation: AksSituation, pool: AgentPool) -> NewPool:
    """A pool with a higher maxPods in the place of one that is full by its number of pods."""
    most, mode = known(pool.max_pods), situation.mode
    made = _like(situation, pool)
    if most is None or mode is None:
        reason = f"maxPods of node pool {pool.name}, or how its pods get addresses, was not read."
        return replace(made, unmet=reason, unread=True)
    cap = BLOCK_PODS if mode in (Mode.KUBENET, Mode.OVERLAY) else MAX_PODS_RANGE[-1]
    target = DEFAULT_MAX_PODS["kubenet"] if most < DEFAULT_MAX_PODS["kubenet"] else cap
    if most >= target:
        reason = f"Node pool {pool.name} has maxPods {most} already"
        more = f", and a node's /24 has to leave room for pods that come and go (at most {cap})."
        return replace(made, unmet=reason + (more if cap == BLOCK_PODS else ", the most there is."))
    made = replace(made, max_pods=target)
    return _with_room(
        situation, made, f"maxPods {target} instead of {most}: {made.count * (target - most):,} more pods fit"
    )


def sparser_pool(situation: AksSituation, pool: AgentPool) -> NewPool:
    """A pool with a lower maxPods in the place of one whose nodes use up their /24."""
    most, made = known(pool.max_pods), _like(situation, pool)
    if most is None:
        return replace(made, unmet=f"maxPods of node pool {pool.name} was not read.", unread=True)
    if most <= BLOCK_PODS:
        return replace(made, unmet=f"Node pool {pool.name} has maxPods {most}, which leaves room in a /24.")
    count = -(-made.count * most // BLOCK_PODS)
    made = replace(made, max_pods=BLOCK_PODS, count=count)
    return _with_room(
        situation, made, f"maxPods {BLOCK_PODS} instead of {most} leaves a fifth of each /24 to pods that come and go"
    )


def roomier_pool(situation: AksSituation, pool: AgentPool, *, for_pods: bool) -> NewPool:
    """A pool in a new, larger subnet of the VNet in the place of one whose subnet is full.

    Args:
        situation: The cluster.
        pool: The pool.
        for_pods: Whether the subnet of its pods is full, and not that of its nodes.
    """
    made = replace(_like(situation, pool), for_pods=for_pods)
    missing = list(_unread_of(situation, pool))
    if missing:
        return replace(made, unmet=f"Not read: {'; '.join(missing)}.", unread=True)
    if situation.own_vnet is False:
        reason = "AKS manages the subnet, and such a cluster takes no pool in a subnet of one's own."
        return replace(made, unmet=f"{reason} (azure-docs #116169)")
    nodes = max(1, situation.most_nodes or 0)
    most = known_or(pool.max_pods, 0)
    each = most if for_pods else 1 + most if situation.mode is Mode.NODE_SUBNET else 1
    block = free_node_subnet(situation, nodes, addresses_of_a_node=each)
    if block is None:
        reason = f"The VNet has no free block for {nodes * each:,} addresses"
        return replace(made, unmet=f"{reason}: give it another address space, which it takes at once.")
    takes = "one address" if each == 1 else f"{each:,} addresses"
    because = (
        f"{block} has {azure_usable_addresses(block):,} addresses; all pools at their largest have {nodes:,} nodes "
        f"with surge, and each takes {takes}. A subnet that is in use cannot grow"
    )
    return _with_room(situation, replace(made, subnet=block), because, within=False)


def _like(situation: AksSituation, pool: AgentPool) -> NewPool:
    return NewPool(
        old=pool,
        name=_new_name(situation, pool),
        max_pods=known_or(pool.max_pods, 0),
        count=max(1, known_or(pool.count, 1)),
    )


def _new_name(situation: AksSituation, pool: AgentPool) -> str:
    letters = _NAME_LETTERS.get(known_or(pool.os_type, "Linux"), _NAME_LETTERS["Linux"])
    taken = {each.name for each in situation.pools}
    names = (f"{pool.name[: letters - len(end)]}{end}" for end in map(str, range(2, 100)))
    return next((name for name in names if name not in taken), pool.name)


def _unread_of(situation: AksSituation, pool: AgentPool) -> Iterator[str]:
    """What a command that makes the pool rests on and was not read."""
    for what, fact in (
        ("the VM size", pool.vm_size),
        ("the operating system", pool.os_type),
        ("the subnet", pool.node_subnet_id),
        ("the pod subnet", pool.pod_subnet_id),
        ("the zones", pool.zones),
        ("the taints", pool.taints),
        ("the mode", pool.mode),
        ("the count", pool.count),
        ("the autoscaler's maximum", pool.maximum),
    ):
        if isinstance(fact, Unknown):
            yield f"{what} of node pool {pool.name}: {fact}"
    if situation.mode is None:
        yield "how pods get addresses"
    if situation.most_nodes is None:
        yield "the sizes of the node pools"
    for vnet in items(situation.azure.vnets):
        if isinstance(vnet.prefixes, Unknown) or isinstance(vnet.subnets, Unknown):
            yield f"the address space or the subnets of {vnet.name}"
        for subnet in items(vnet.subnets):
            if isinstance(subnet.prefixes, Unknown):
                yield f"the CIDR of {vnet.name}/{subnet.name}"
    if isinstance(situation.azure.vnets, Unknown):
        yield f"the VNets: {situation.azure.vnets}"


def _with_room(situation: AksSituation, made: NewPool, because: str, *, within: bool = True) -> NewPool:
    """The pool, judged by what else bounds it: both pools stand for a while.

    Args:
        situation: The cluster.
        made: The pool.
        because: The figures so far.
        within: Whether it is in the subnets of the old one, whose free addresses then bound it.
    """
    missing = list(_unread_of(situation, made.old))
    if missing or known(made.old.priority) == "Spot":
        spot = f"Node pool {made.old.name} has Spot VMs, with their own quota and options: write its command by hand."
        return replace(made, unmet=f"Not read: {'; '.join(missing)}." if missing else spot, unread=bool(missing))
    room = next((each for each in room_of_pools(situation.aks) if each.pool.name == made.old.name), None)
    bounds = () if room is None else room.bounds
    if not within:
        replaced = "pod subnet" if made.for_pods else "node subnet"
        bounds = tuple(each for each in bounds if each.name != replaced)
    elif situation.mode is Mode.NODE_SUBNET:
        free = situation.aks.free(situation.aks.node_subnet_of(made.old))
        bounds = tuple(each for each in bounds if each.name != "node subnet")
        if free is None or free < made.count * (1 + made.max_pods):
            told = "an unknown number" if free is None else f"{free:,}"
            need = (
                f"{made.count:,} nodes with maxPods {made.max_pods} take {made.count * (1 + made.max_pods):,} addresses"
            )
            return replace(made, unmet=f"{need} of their subnet, and {told} are free.", unread=free is None)
    if room is None or room.blocked:
        return replace(made, unmet=room.blocked if room is not None else "The pool was not read.")
    unread = [each.name for each in bounds if each.nodes is None]
    if unread:
        return replace(made, unmet=f"Not known: {', '.join(unread)}.", unread=True)
    allowed = min((each.nodes or 0 for each in bounds), default=0)
    if allowed < made.count:
        tight = min(bounds, key=lambda each: each.nodes or 0)
        what = f"Both pools stand for a while, and {made.count:,} nodes more are not to be had"
        return replace(made, unmet=f"{what}: {tight.name}: {tight.nodes:,} more ({tight.because}).")
    return replace(made, because=f"{because}.")


def pool_steps(situation: AksSituation, made: NewPool) -> Iterator[Step]:
    """Makes the subnet and the pool, moves the pods, and takes the old pool away."""
    old = made.old
    subnet_id = known(old.pod_subnet_id) if made.for_pods else known(old.node_subnet_id)
    new_id = ""
    if made.subnet is not None and subnet_id is not None:
        name = f"{resource_name(subnet_id)}-{made.name}"[:63]
        new_id = f"{subnet_id.rpartition('/')[0]}/{name}"
        yield _subnet_step(situation, made, subnet_id, name)
    yield Step(
        what=f"Make node pool {made.name} with {made.count:,} nodes beside {old.name}: {made.because}",
        command=_add(situation, made, new_id),
        takes="minutes",
        touches="nothing that runs",
        undo=f"az aks nodepool delete {situation.of_pools} --name {quote(made.name)}",
    )
    yield Step(
        what=f"Move the pods: cordon {old.name}, then drain its nodes one after the other",
        command=f"kubectl cordon -l kubernetes.azure.com/agentpool={quote(old.name)} && kubectl drain "
        f"-l kubernetes.azure.com/agentpool={quote(old.name)} --ignore-daemonsets --delete-emptydir-data",
        takes="minutes a node; PodDisruptionBudgets are kept",
        touches=f"the pods of {old.name}: each starts anew elsewhere",
        undo=f"kubectl uncordon -l kubernetes.azure.com/agentpool={quote(old.name)}",
    )
    yield Step(
        what=f"Once nothing runs there, take {old.name} away, in the program that made it",
        takes="minutes",
        touches=f"node pool {old.name}",
    )


def _subnet_step(situation: AksSituation, made: NewPool, subnet_id: str, name: str) -> Step:
    """A subnet with what the old one has: with kubenet the cluster's one route table (configure-kubenet, #1500)."""
    parts = subnet_id.split("/")
    old = situation.aks.subnet(subnet_id)
    options = [
        f"--subscription {quote(parts[2])} --resource-group {quote(parts[4])}",
        f"--vnet-name {quote(parts[8])} --name {quote(name)}",
        f"--address-prefixes {made.subnet}",
        *_kept(old),
    ]
    if made.for_pods:
        options.append(f"--delegations {_DELEGATION}")
    kept = ", with its route table, security group and NAT gateway" if old is not None and _kept(old) else ""
    return Step(
        what=f"Make the subnet {name} ({made.subnet}) beside {resource_name(subnet_id)}{kept}",
        command=f"az network vnet subnet create {' '.join(options)}",
        takes="seconds",
        undo=f"az network vnet subnet delete --ids {quote(subnet_id.rpartition('/')[0] + '/' + name)}",
    )


def _kept(subnet: AzureSubnet | None) -> list[str]:
    if subnet is None:
        return []
    return [
        f"{option} {quote(value)}"
        for option, fact in (
            ("--route-table", subnet.route_table_id),
            ("--network-security-group", subnet.security_group_id),
            ("--nat-gateway", subnet.nat_gateway_id),
        )
        if (value := known(fact))
    ]


def _add(situation: AksSituation, made: NewPool, new_subnet: str) -> str:
    old = made.old
    node_subnet = known(old.node_subnet_id)
    pod_subnet = known(old.pod_subnet_id)
    if new_subnet:
        node_subnet, pod_subnet = (node_subnet, new_subnet) if made.for_pods else (new_subnet, pod_subnet)
    options = [
        f"--name {quote(made.name)} --mode {quote(known_or(old.mode, 'User'))}",
        f"--node-count {made.count} --max-pods {made.max_pods} --node-vm-size {quote(known_or(old.vm_size, ''))}",
    ]
    minimum, maximum = known(old.minimum), known(old.maximum)
    if minimum is not None and maximum is not None:
        most = max(maximum, made.count)
        options.append(f"--enable-cluster-autoscaler --min-count {min(minimum, made.count)} --max-count {most}")
    options.append(f"--os-type {quote(known_or(old.os_type, 'Linux'))}")
    if image := known(old.os_sku):
        options.append(f"--os-sku {quote(image)}")
    if zones := items(old.zones):
        options.append(f"--zones {' '.join(map(quote, sorted(zones)))}")
    if taints := items(old.taints):
        options.append(f"--node-taints {quote(','.join(taints))}")
    if node_subnet:
        options.append(f"--vnet-subnet-id {quote(node_subnet)}")
    if pod_subnet:
        options.append(f"--pod-subnet-id {quote(pod_subnet)}")
    return f"az aks nodepool add {situation.of_pools} {' '.join(options)}"
