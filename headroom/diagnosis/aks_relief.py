"""What helps an AKS cluster at once, by hand, and can be taken back: nodes to add, nodes to drain, outbound ports."""

from collections.abc import Iterator, Sequence
from shlex import quote

from headroom.diagnosis.aks import Aks, Mode
from headroom.diagnosis.aks_room import PoolRoom, nodes_for, room_of_pools, slots_left
from headroom.diagnosis.finding import counted
from headroom.diagnosis.verdict import Cause, Detail, Relief, RootCause
from headroom.facts.azure import resource_name, same_resource
from headroom.facts.values import items, known, known_or

_HELPED_BY_NODES = frozenset({Detail.HOST_LOCAL_LEAK, Detail.MAX_PODS, Detail.OVERLAY_NODE_BLOCK})
"""Causes for which pods find an address on a further node."""


def aks_reliefs(aks: Aks, causes: Sequence[Cause]) -> tuple[Relief, ...]:
    """What helps now, the safest first; empty where nothing that was read would."""
    details = {cause.detail for cause in causes}
    found: list[Relief] = []
    if details & _HELPED_BY_NODES:
        found += _more_nodes(aks, causes)
    for cause in causes:
        if cause.detail in (Detail.HOST_LOCAL_LEAK, Detail.OVERLAY_NODE_BLOCK):
            found += _drain(aks, cause)
        if cause.root_cause is RootCause.SNAT_EXHAUSTION:
            found += _more_ports(aks)
    return tuple(found)


def _affected(causes: Sequence[Cause]) -> frozenset[str]:
    return frozenset(
        node
        for cause in causes
        if cause.detail in (Detail.HOST_LOCAL_LEAK, Detail.OVERLAY_NODE_BLOCK)
        for node in cause.scope.nodes
    )


def _more_nodes(aks: Aks, causes: Sequence[Cause]) -> Iterator[Relief]:
    """The pool with the most room, and as many nodes as the pods that wait and one drained node need."""
    affected = _affected(causes)
    waiting = len(aks.cluster.stuck) + len(aks.unscheduled) if aks.cluster is not None else 0
    moving = max((aks.addressed_on(node) for node in affected), default=0)
    left = slots_left(aks, without=affected)
    rooms = [room for room in room_of_pools(aks) if not known(room.pool.taints)]
    if not rooms or left is None:
        return
    room = rooms[0]
    wanted = nodes_for(max(0, waiting + moving - left), room)
    if not wanted:
        return
    pods = counted(waiting, "waiting pod") + (f" and {moving:,} of a drained node" if moving else "")
    need = f"{pods} need {counted(wanted, 'node')} more by their number; {left:,} slots are left on the other nodes."
    if room.allowed < wanted:
        wanting = f"room for {counted(wanted, 'node')}"
        yield Relief(
            what=f"Whether node pool {room.pool.name} has {wanting} is not known."
            if room.unread
            else f"No pool has {wanting}; {room.pool.name} can be given {room.allowed:,}.",
            command=f"headroom diagnose --cloud aks {aks.within} --cluster {quote(_cluster(aks))} --json",
            undo="",
            caveat=f"{need} {room.told}.",
        )
        return
    command, undo = _scaling(aks, room, wanted)
    yield Relief(
        what=f"Add {counted(wanted, 'node')} to node pool {room.pool.name}"
        + ("; each brings a /24 of its own." if aks.mode in (Mode.KUBENET, Mode.OVERLAY) else "."),
        command=command,
        undo=undo,
        caveat=f"{need} Allowed: {room.told}."
        + (" Waiting pods stay on their node until they are deleted or it is drained." if affected else ""),
    )


def _scaling(aks: Aks, room: PoolRoom, wanted: int) -> tuple[str, str]:
    pool = room.pool
    where = f"{aks.within} --cluster-name {quote(_cluster(aks))} --name {quote(pool.name)}"
    count, minimum, maximum = known_or(pool.count, 0), known(pool.minimum), known(pool.maximum)
    if known_or(pool.autoscaling, default=False) and minimum is not None and maximum is not None:
        update = f"az aks nodepool update {where} --update-cluster-autoscaler"
        least = max(minimum, count + wanted)
        return (
            f"{update} --min-count {least} --max-count {max(maximum, least)}",
            f"{update} --min-count {minimum} --max-count {maximum}",
        )
    scale = f"az aks nodepool scale {where} --node-count"
    return f"{scale} {count + wanted}", f"{scale} {count}"


def _drain(aks: Aks, cause: Cause) -> Iterator[Relief]:
    """The nodes whose range is used up, the one with the fewest pods first, one at a time."""
    nodes = sorted(cause.scope.nodes, key=lambda node: (aks.addressed_on(node), node))
    if not nodes:
        return
    first = nodes[0]
    left = slots_left(aks, without=frozenset(nodes))
    pods = aks.addressed_on(first)
    room = "not known" if left is None else f"{left:,}"
    then = f", then {', '.join(nodes[1:4])}" + (f" and {len(nodes) - 4} more" if len(nodes) > 4 else "")  # noqa: PLR2004 - four are named
    yield Relief(
        what=f"Cordon {counted(len(nodes), 'node')} and drain {first} first{then if nodes[1:] else ''}.",
        command=f"kubectl cordon {' '.join(map(quote, nodes))} && kubectl drain {quote(first)} --ignore-daemonsets "
        "--delete-emptydir-data",
        undo=f"kubectl uncordon {' '.join(map(quote, nodes))}",
        caveat=f"{counted(pods, 'pod')} of {first} move; the other nodes have {room} slots left by maxPods. "
        + (
            "Delete the drained node's instance or its leftover files in /var/lib/cni/networks before it is uncordoned."
            if cause.detail is Detail.HOST_LOCAL_LEAK
            else "PodDisruptionBudgets are kept by drain; it waits for them."
        ),
    )


def _more_ports(aks: Aks) -> Iterator[Relief]:
    """One more public address for outbound traffic."""
    outbound = known(aks.network.outbound_type)
    where = f"{aks.within} --name {quote(_cluster(aks))}"
    caveat = "Allow-lists elsewhere do not know the new address: `headroom audit-egress` names them."
    balancer, nat = known(aks.network.load_balancer), known(aks.network.nat_gateway)
    count = known(balancer.managed_outbound_ips) if balancer is not None else None
    if outbound == "loadBalancer" and count is not None:
        option = "--load-balancer-managed-outbound-ip-count"
        yield Relief(
            what="Give the load balancer one more public address, and its outbound ports.",
            command=f"az aks update {where} {option} {count + 1}",
            undo=f"az aks update {where} {option} {count}",
            caveat=caveat,
        )
    count = known(nat.managed_outbound_ips) if nat is not None else None
    if outbound == "managedNATGateway" and count is not None:
        option = "--nat-gateway-managed-outbound-ip-count"
        yield Relief(
            what="Give the NAT gateway one more public address, and its outbound ports.",
            command=f"az aks update {where} {option} {count + 1}",
            undo=f"az aks update {where} {option} {count}",
            caveat=caveat,
        )
    if outbound == "userAssignedNATGateway":
        subnets = [aks.subnet(each) for each in aks.node_subnet_ids]
        gateways = {known(subnet.nat_gateway_id) or "" for subnet in subnets if subnet is not None} - {""}
        for gateway in sorted(gateways):
            name = quote(resource_name(gateway))
            gateways_read = items(aks.azure.nat_gateways)
            own = next((each for each in gateways_read if same_resource(each.gateway_id, gateway)), None)
            ids = " ".join(map(quote, items(own.public_ip_ids))) if own is not None else ""
            if not ids:
                continue
            update = f"az network nat gateway update --ids {quote(gateway)} --public-ip-addresses {ids}"
            yield Relief(
                what=f"Give NAT gateway {name} one more public address of its SKU, and its outbound ports.",
                command=f"{update} NEW_PUBLIC_IP_ID",
                undo=update,
                caveat=caveat,
            )


def _cluster(aks: Aks) -> str:
    return aks.managed.name if aks.managed is not None else known_or(aks.snapshot.cluster, "CLUSTER")
