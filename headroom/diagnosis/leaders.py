"""Who leads: the Leases by which workloads elect a leader, joined to the pods that hold them.

A Lease is of one cluster. Two clusters with the same consumer elect a leader each, and both work.

How holders call themselves: `headroom.facts.names.hosts_in`. In a pod the host's name is the pod's, cut at 63
characters (kubernetes, pkg/kubelet/kubelet_pods.go, truncatePodHostnameIfNeeded), or with hostNetwork the node's.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headroom.addresses.blocks import shown
from headroom.facts.interfaces import seconds_between
from headroom.facts.kubernetes import ENDED, Kubernetes, Lease, Pod
from headroom.facts.names import hosts_in
from headroom.facts.values import Unknown, items, known

STALE_AFTER: Final = 2
"""Durations of a Lease without a renewal after which nobody holds it. Candidates take it after one, by their own clock
since they saw it change (client-go, tools/leaderelection: tryAcquireOrRenew); the second is for clocks that differ."""

_SYSTEM: Final = "kube-system"
_HOST_NAME_CHARACTERS: Final = 63


class Hold(StrEnum):
    """Whether somebody holds a Lease."""

    HELD = "held"
    STALE = "stale"
    """A holder is written in it who has not renewed it in time: nobody leads by it."""
    FREE = "free"
    """Nobody is written in it: it was never taken, or given up at the end (client-go, ReleaseOnCancel)."""
    UNKNOWN = "unknown"
    """It does not say how long it lasts, or when it was renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """A Lease and who holds it.

    Attributes:
        lease: The Lease.
        hold: Whether somebody holds it.
        namespace: The namespace of the pod that holds it; empty: no pod is known to.
        pod: That pod.
        workload: What the pod belongs to, as Kind/name, or the pod itself where it is nobody's; empty: no pod is known.
        because: What is known of the holder, as half a sentence.
    """

    lease: Lease
    hold: Hold
    namespace: str = ""
    pod: str = ""
    workload: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaders:
    """The Leases of a cluster's workloads.

    Attributes:
        leaders: Them, by namespace and name.
        of_control_plane: Leases in kube-system whose holder is no pod of the cluster: parts of a control plane that
            the cloud runs, which each cluster has for itself.
    """

    leaders: tuple[Leader, ...] = ()
    of_control_plane: tuple[str, ...] = ()


def leaders_of(kubernetes: Kubernetes, now: str) -> Leaders | Unknown:
    """Who leads, at the time of the reading.

    Args:
        kubernetes: What the API server says.
        now: When it said so, in UTC; empty: not known.
    """
    if isinstance(kubernetes.leases, Unknown):
        return kubernetes.leases
    pods = _Pods(kubernetes)
    found = [_leader(lease, pods, now) for lease in items(kubernetes.leases)]
    # Without pods nobody knows whether a holder is one of them.
    outside = [each for each in found if pods.known and each.lease.namespace == _SYSTEM and not each.pod]
    outside = [each for each in outside if each.hold is not Hold.FREE]
    left_out = {_place(each) for each in outside}
    return Leaders(
        leaders=tuple(sorted((each for each in found if _place(each) not in left_out), key=_place)),
        of_control_plane=tuple(sorted(each.lease.name for each in outside)),
    )


def hold_of(lease: Lease, now: str) -> Hold:
    """Whether somebody holds a Lease, at a time in UTC; empty: not known."""
    if lease.holder is None:
        return Hold.FREE
    duration, age = known(lease.duration_seconds), seconds_between(known(lease.renewed_at), now)
    if isinstance(lease.holder, Unknown) or not duration or age is None:
        return Hold.UNKNOWN
    return Hold.STALE if age > STALE_AFTER * duration else Hold.HELD


def _place(leader: Leader) -> tuple[str, str]:
    return leader.lease.namespace, leader.lease.name


def _leader(lease: Lease, pods: "_Pods", now: str) -> Leader:
    hold, pod = hold_of(lease, now), pods.holding(lease)
    workload = (known(pod.owner) or f"Pod/{pod.name}") if pod is not None else ""
    return Leader(
        lease=lease,
        hold=hold,
        namespace=pod.namespace if pod is not None else "",
        pod=pod.name if pod is not None else "",
        workload=workload,
        because=_because(lease, hold, pod, pods_known=pods.known),
    )


def _because(lease: Lease, hold: Hold, pod: Pod | None, *, pods_known: bool) -> str:
    if hold is Hold.FREE:
        return "nobody holds it"
    # Any tenant can write what it likes there.
    who = shown(known(lease.holder) or "somebody")
    if pod is None:
        who += ", which is the name of no pod of the cluster" if pods_known else "; the pods were not read"
    else:
        who = pod.name
    if hold is Hold.STALE:
        return f"stale: renewed last at {known(lease.renewed_at)}, for {known(lease.duration_seconds)} s, by {who}"
    if hold is Hold.UNKNOWN:
        return f"whether it was renewed in time is not known; its holder is {who}"
    return f"held by {who}"


class _Pods:
    """The pods that may hold Leases, by the name that they have for themselves."""

    def __init__(self, kubernetes: Kubernetes) -> None:
        self.known = isinstance(kubernetes.pods, tuple)
        self._by_host: dict[str, list[Pod]] = defaultdict(list)
        self._on_node: dict[str, list[Pod]] = defaultdict(list)
        for pod in items(kubernetes.pods):
            if pod.phase in ENDED:
                continue
            self._by_host[pod.name[:_HOST_NAME_CHARACTERS].rstrip("-.")].append(pod)
            if pod.host_network and isinstance(pod.node, str):
                self._on_node[pod.node].append(pod)

    def holding(self, lease: Lease) -> Pod | None:
        """The pod that holds a Lease, or one of its workload; ``None``: none is known to, or those of several may."""
        holder = known(lease.holder)
        if holder is None:
            return None
        for name in hosts_in(holder):
            found = _only(self._by_host.get(name, ()), lease.namespace)
            # With hostNetwork the host is the node, and only a pod of the Lease's namespace can be meant.
            near = [pod for pod in self._on_node.get(name, ()) if pod.namespace == lease.namespace]
            found = found or (near[0] if len(near) == 1 else None)
            if found is not None:
                return found
        return None


def _only(pods: Sequence[Pod], namespace: str) -> Pod | None:
    """A pod of the namespace, where all that it has of that name are one workload's; or else the only one anywhere."""
    near = [pod for pod in pods if pod.namespace == namespace]
    if near:
        # Names that were cut may be the same: pods of a workload with a long name differ at the end alone.
        return near[0] if len({known(pod.owner) or pod.name for pod in near}) == 1 else None
    return pods[0] if len(pods) == 1 else None
