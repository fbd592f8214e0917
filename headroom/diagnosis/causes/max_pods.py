"""The node's maxPods, not its addresses: the scheduler places no further pod there."""

import re
from collections import Counter

from headroom.diagnosis.finding import Finding, cause, counted
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut
from headroom.facts.kubernetes import ENDED, Node
from headroom.facts.values import is_known, items, known


def judge(reading: Reading) -> Finding:
    """What the scheduler says of pods that it has not placed."""
    hits = tuple(hit for hit in reading.supporting(Detail.MAX_PODS) if not _was_placed_later(reading, hit))
    cluster = reading.cluster
    if cluster is None:
        if not hits:
            return Finding()
        stated = known(reading.stated.max_pods)
        told = f" ({stated})" if stated is not None else ""
        found = cause(
            reading,
            Detail.MAX_PODS,
            hits=hits,
            summary=f"Nodes run as many pods as their maxPods{told} allows; the pod was never placed.",
        )
        if all(_is_of_daemon_set(hit) for hit in hits):
            return Finding(fallback=() if reading.symptoms else (found,))
        return Finding(causes=(found,))
    refused = [
        pod
        for pod in cluster.unscheduled
        if any(
            event.reason == "FailedScheduling" and _is_held_up_by_pods(event.message)
            for event in cluster.events_of(pod)
        )
        # A sandbox is made on a node: then it was placed since, and the list does not say where.
        and not any(event.reason == "FailedCreatePodSandBox" for event in cluster.events_of(pod))
    ]
    if not refused:
        return Finding(ruled_out=_ruled_out(reading))
    running: Counter[str] = Counter(
        known(pod.node) or "" for pod in items(cluster.kubernetes.pods) if pod.phase not in ENDED
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
                names=[node.name for node, _ in full],
                summary=f"{counted(len(refused), 'pod')} without a node: on {counted(len(full), 'node')} as many pods "
                "run as maxPods allows.",
            ),
        )
    )


def _ruled_out(reading: Reading) -> tuple[RuledOut, ...]:
    """Of AKS: the scheduler has placed the pods that wait, whatever a node's maxPods is."""
    aks = reading.aks
    if aks is None or aks.cluster is None or not aks.cluster.stuck or not is_known(aks.kubernetes.events):
        return ()
    state = max(aks.cluster.stuck_nodes, key=lambda each: aks.pods_on(each.node.name))
    most = aks.most_pods(state.node)
    of = f" of maxPods {most:,}" if most is not None else ""
    by = f"the pods that wait are placed: {aks.pods_on(state.node.name):,}{of} on {state.node.name}"
    return (RuledOut(cause=Detail.MAX_PODS, by=by),)


def _most_pods(node: Node) -> int | None:
    allocatable = known(node.allocatable_pods)
    return known(node.max_pods) if allocatable is None else allocatable


def _was_placed_later(reading: Reading, hit: Hit) -> bool:
    """Whether the pod found a node after the scheduler had refused, and now fails there for another reason."""
    on_node = reading.of("sandbox-failed", "pod-without-address")
    if any(other.is_about_pod_of(hit) for other in on_node):
        return True
    return bool(on_node) and any(other.index > hit.index for other in reading.of("scheduled"))


def _is_held_up_by_pods(message: str) -> bool:
    """Whether maxPods refuses the pod, and no more nodes lack a resource for it: a slot more would not place it then.

    What stands after `preemption:` is about other pods (kube-scheduler).
    """
    text = message.partition("preemption:")[0]
    full = sum(int(count) for count in _TOO_MANY.findall(text))
    lacking = max((int(count) for count in _INSUFFICIENT.findall(text)), default=0)
    return "too many pods" in text.lower() and full >= lacking


def _is_of_daemon_set(hit: Hit) -> bool:
    """Whether the refused pod may go to one node only, as those of a DaemonSet: one full node hinders nobody else."""
    return _BOUND_ELSEWHERE.search(hit.line.text) is not None


# kube-scheduler, plugin NodeResourcesFit: how many nodes refuse the pod for what.
_TOO_MANY = re.compile(r"(\d{1,7}) Too many pods", re.IGNORECASE | re.ASCII)
_INSUFFICIENT = re.compile(r"(\d{1,7}) Insufficient ", re.IGNORECASE | re.ASCII)
# kube-scheduler, plugin NodeAffinity: every other node is not the pod's.
_BOUND_ELSEWHERE = re.compile(
    r"available: 1 Too many pods, \d+ node\(s\) didn.t "
    r"(?:satisfy plugin\(s\) \[NodeAffinity\]|match Pod.s node affinity)",
    re.IGNORECASE,
)
