"""Pods use up the block of addresses that their node was given: a /24 under Azure CNI Overlay and kubenet."""

from headroom.capacity.overlay import MAX_PODS_RANGE
from headroom.diagnosis.aks import Aks, Mode
from headroom.diagnosis.causes.host_local_leak import live_pods, node_range
from headroom.diagnosis.finding import CNS_STATE, Finding, cause, counted, said
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut
from headroom.facts.values import known

SOURCE = "AKS, concepts-network-azure-cni-overlay"

FULL_BLOCK = MAX_PODS_RANGE[-1]
"""Pods from which on a node's /24 counts as used up: what is left are its own addresses (AKS: maxPods at most 250)."""
OVERLAY_BLOCK = 256
"""Addresses of a node under Azure CNI Overlay, always a /24 (AKS, concepts-network-azure-cni-overlay)."""


def judge(reading: Reading) -> Finding:
    """A full range with as many pods; or azure-cns short of addresses under overlay."""
    if reading.aks is not None and reading.aks.cluster is not None:
        return _seen(reading, reading.aks)
    full = reading.of("host-local-range-full")
    size = node_range(reading)
    pods = live_pods(reading)
    if full and size is not None and pods is not None and pods >= size - 1:
        return Finding(
            causes=(
                cause(
                    reading,
                    Detail.OVERLAY_NODE_BLOCK,
                    hits=full,
                    seen=[said("pods on the node", pods, threshold=f"the range has {size} addresses")],
                    summary=f"{pods} pods use up the node's range of {size} addresses.",
                ),
            )
        )
    cilium = reading.of("cilium-pool-empty")
    if cilium and reading.cloud != "aws" and pods is not None and pods >= FULL_BLOCK:
        return Finding(
            causes=(
                cause(
                    reading,
                    Detail.OVERLAY_NODE_BLOCK,
                    hits=cilium,
                    seen=[said("pods on the node", pods, threshold=f"a /24 has {OVERLAY_BLOCK} addresses")],
                    summary=f"{pods} pods use up the node's range.",
                ),
            )
        )
    short = reading.of("cns-short")
    if not short:
        return Finding(needed=(CNS_STATE,) if reading.of("cns-no-address") else ())
    overlay = reading.said(r"\boverlay\b")
    if overlay is None:
        return Finding(needed=(CNS_STATE,))
    if pods is None:
        pods = known(reading.stated.max_pods)
    return Finding(
        causes=(
            cause(
                reading,
                Detail.OVERLAY_NODE_BLOCK,
                hits=short,
                seen=[said("network", overlay, threshold=f"a node has one /24 of {OVERLAY_BLOCK} addresses")],
                summary="Under overlay a node has one /24 and nothing more: the pods on it use it up.",
            ),
        ),
        needed=(CNS_STATE,),
    )


def _seen(reading: Reading, aks: Aks) -> Finding:
    """Nodes under overlay that are refused addresses, by the pods that run there."""
    states = aks.stuck_with("cns-short", "cilium-pool-empty")
    if not states or aks.mode is Mode.POD_SUBNET:
        return Finding()
    if aks.mode is not Mode.OVERLAY:
        return Finding(needed=(CNS_STATE,))
    counts = {state.node.name: aks.pods_on(state.node.name) for state in states}
    full = [name for name, pods in counts.items() if pods >= FULL_BLOCK]
    if not full:
        name, pods = max(counts.items(), key=lambda each: each[1])
        by = f"{pods:,} pods on {name} cannot use up a /24 of {OVERLAY_BLOCK} addresses"
        return Finding(needed=(CNS_STATE,), ruled_out=(RuledOut(cause=Detail.OVERLAY_NODE_BLOCK, by=by),))
    seen = [
        Evidence(
            what="pods on the node",
            where=name,
            value=f"{counts[name]:,}",
            threshold=f"a node has one /24 of {OVERLAY_BLOCK} addresses, and takes {FULL_BLOCK} pods",
            source=SOURCE,
        )
        for name in full
    ]
    return Finding(
        causes=(
            cause(
                reading,
                Detail.OVERLAY_NODE_BLOCK,
                hits=tuple(hit for hit in reading.of("cns-short") if known(hit.line.node) in full),
                seen=seen,
                names=full,
                summary=f"The pods on {counted(len(full), 'node')} use up the /24 that a node has under overlay: "
                f"{counts[full[0]]:,} pods on {full[0]}, and {max(0, OVERLAY_BLOCK - counts[full[0]])} addresses left "
                "for those that come and go.",
            ),
        ),
    )
