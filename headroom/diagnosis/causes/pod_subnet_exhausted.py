"""The pod subnet of AKS has no free address to give a node's azure-cns."""

from collections.abc import Iterator
from typing import Final

from headroom.diagnosis.aks import Aks, Mode, named
from headroom.diagnosis.cluster import NodeState
from headroom.diagnosis.finding import AKS_SUBNETS, CNS_STATE, Finding, cause, counted, said
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut
from headroom.facts.values import items, known

SUBNET_FULL: Final = "NCUpdateSubnetFullError"
"""Status of a network container whose subnet had no address to give (azure-container-networking, NodeNetworkConfig)."""

SOURCE: Final = "azure-container-networking, crd/nodenetworkconfig"

_FULL = (
    r"pod.?subnet\b.{0,60}(?<!not )(?<!never )"
    r"(?:\bexhausted|\bis full|: full|\bused up|\bout of|\bno (?:free|available))"
)
"""What people write of a pod subnet that has no address left."""


def judge(reading: Reading) -> Finding:
    """What azure-cns says of the subnet, or that it is short while the pod subnet is empty."""
    if reading.aks is not None and reading.aks.cluster is not None:
        return _seen(reading, reading.aks)
    hits = reading.supporting(Detail.POD_SUBNET_EXHAUSTED)
    short = reading.of("cns-short")
    free = reading.free_addresses
    seen = [said("free addresses of the pod subnet", free, threshold="one address")] if free == 0 and short else []
    told = reading.told(_FULL) if short and not seen else None
    if told is not None:
        seen = [said("pod subnet", told)]
    if not hits and not (seen and reading.said(r"\boverlay\b") is None):
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                Detail.POD_SUBNET_EXHAUSTED,
                hits=(*hits, *short),
                seen=seen,
                summary="The pod subnet has no free address left for the node.",
            ),
        )
    )


def _seen(reading: Reading, aks: Aks) -> Finding:
    """Nodes that are refused addresses, against what azure-cns and the subnet say."""
    states = aks.stuck_with("cns-short", "cilium-pool-empty", "pod-subnet-full")
    subnets = tuple(named(each) for each in aks.pod_subnet_ids)
    frees = [aks.free(each) for each in aks.pod_subnet_ids]
    room = [free for free in frees if free is not None and free > 0]
    if not states or aks.mode in (Mode.OVERLAY, Mode.KUBENET, Mode.NODE_SUBNET):
        if room and len(room) == len(frees):
            by = f"{min(room):,} addresses are free in {subnets[frees.index(min(room))]}"
            return Finding(ruled_out=(RuledOut(cause=Detail.POD_SUBNET_EXHAUSTED, by=by),))
        return Finding()
    seen = [each for state in states for each in _of_node(aks, state)]
    seen += [
        Evidence(what="free addresses", where=where, value="0", threshold="one address a pod", source=SOURCE)
        for where, free in zip(subnets, frees, strict=True)
        if free == 0
    ]
    if not seen:
        return Finding(needed=(CNS_STATE, AKS_SUBNETS))
    if room and len(room) == len(frees):  # every pod subnet has room, and a node says that its is full
        return Finding(needed=(AKS_SUBNETS,), contradiction=True)
    return Finding(
        causes=(
            cause(
                reading,
                Detail.POD_SUBNET_EXHAUSTED,
                hits=(*reading.supporting(Detail.POD_SUBNET_EXHAUSTED), *reading.of("cns-short")),
                seen=seen,
                nodes=states,
                subnets=subnets,
                summary=f"The pod subnet has no address left: azure-cns on {counted(len(states), 'node')} asked for "
                "more and got none.",
            ),
        )
    )


def _of_node(aks: Aks, state: NodeState) -> Iterator[Evidence]:
    name = state.node.name
    config, cns = aks.config_of(name), aks.cns_of(name)
    for container in items(config.containers) if config is not None else ():
        if known(container.status) == SUBNET_FULL and config is not None:
            yield Evidence(
                what=SUBNET_FULL,
                where=name,
                value=f"{known(config.assigned_addresses)} addresses assigned",
                threshold=f"{known(config.requested_addresses)} requested",
                source=SOURCE,
            )
    if cns is not None and known(cns.subnet_exhausted):
        yield Evidence(what="cx_ipam_subnet_exhaustion_state", where=name, value="1", threshold="0", source=SOURCE)
