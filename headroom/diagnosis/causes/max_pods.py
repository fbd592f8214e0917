"""The node's maxPods, not its addresses: the scheduler places no further pod there."""

from collections import Counter

from headroom.diagnosis.finding import Finding, cause
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Detail, Evidence
from headroom.facts.kubernetes import Node
from headroom.facts.values import items, known


def judge(reading: Reading) -> Finding:
    """What the scheduler says of pods that it has not placed."""
    hits = tuple(hit for hit in reading.supporting(Detail.MAX_PODS) if not _was_placed_later(reading, hit))
    cluster = reading.cluster
    if cluster is None:
        if not hits:
            return Finding()
        stated = known(reading.stated.max_pods)
        told = f" ({stated})" if stated is not None else ""
        return Finding(
            causes=(
                cause(
                    reading,
                    Detail.MAX_PODS,
                    hits=hits,
                    summary=f"Nodes run as many pods as their maxPods{told} allows; the pod was never placed.",
                ),
            )
        )
    refused = [
        pod
        for pod in cluster.unscheduled
        if any(
            event.reason == "FailedScheduling" and "too many pods" in event.message.lower()
            for event in cluster.events_of(pod)
        )
    ]
    if not refused:
        return Finding()
    running: Counter[str] = Counter(
        known(pod.node) or "" for pod in items(cluster.kubernetes.pods) if pod.phase not in ("Succeeded", "Failed")
    )
    full = [
        (use.node, most)
        for _, use in sorted(cluster.holdings.nodes.items())
        if (most := _most_pods(use.node)) is not None and running[use.node.name] >= most
    ]
    seen = [
        Evidence(
            what="FailedScheduling",
            where=f"{len(refused)} pods",
            value="Too many pods",
            count=len(refused),
            source="kube-scheduler, NodeResourcesFit",
        ),
        *(
            Evidence(
                what="pods on the node", where=node.name, value=f"{running[node.name]}", threshold=f"maxPods {most}"
            )
            for node, most in full
        ),
    ]
    return Finding(
        causes=(
            cause(
                reading,
                Detail.MAX_PODS,
                seen=seen,
                summary=f"{len(refused)} pods wait unplaced: {len(full)} nodes run as many pods as maxPods allows.",
            ),
        )
    )


def _most_pods(node: Node) -> int | None:
    allocatable = known(node.allocatable_pods)
    return known(node.max_pods) if allocatable is None else allocatable


def _was_placed_later(reading: Reading, hit: Hit) -> bool:
    """Whether the pod found a node after the scheduler had refused, and now fails there for another reason."""
    placed = any(other.index > hit.index for other in reading.of("scheduled"))
    return placed and bool(reading.of("sandbox-failed", "pod-without-address"))
