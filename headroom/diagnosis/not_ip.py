"""What is wrong and is not addresses: images, names, resources, volumes, other plugins, quotas for machines."""

from collections.abc import Iterator
from typing import Final

from headroom.capacity.thresholds import LEAST_DATAPATH_PERCENT
from headroom.diagnosis.finding import counted
from headroom.diagnosis.reading import EVENT_OF_POD, Hit, Reading, evidence
from headroom.diagnosis.signatures import Kind
from headroom.diagnosis.verdict import Evidence, NotIp
from headroom.facts.azure import resource_name
from headroom.facts.kubernetes import Pod
from headroom.facts.values import items, known, known_or

# What may as well follow from an address problem: it decides nothing beside something that speaks for one.
_MAY_FOLLOW: Final = frozenset({"placement", "probe", "connection", "autoscaler-bound", "traffic", "control-plane"})

# Taints of nodes: the scheduler names them beside what else it lacks, and nothing in its line says why they are there.
_TAINTS: Final = frozenset({"node-not-ready-taint", "node-network-unavailable-taint"})

# Why a container waits whose pod has its address.
_WAITING: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


def not_ip(reading: Reading) -> tuple[NotIp, ...]:
    """Everything that is wrong and is not addresses, by what it is.

    Of a cluster whose pods were read only what holds pods up now counts, not what an event says of the past.
    """
    cluster = reading.cluster
    hits = reading.of_kind(Kind.NOT_IP)
    found = list[NotIp]()
    if cluster is not None:
        waiting_for_more = (*cluster.unscheduled, *cluster.holdings.waiting, *cluster.held_up)
        current = {(pod.namespace, pod.name) for pod in waiting_for_more}
        hits = tuple(hit for hit in hits if _pod_of(hit) is None or _pod_of(hit) in current)
        waiting = dict[str, list[Pod]]()
        for pod in items(cluster.kubernetes.pods):
            reason = known(pod.waiting)
            if reason in _WAITING and not pod.terminating:
                waiting.setdefault(reason, []).append(pod)
        found += [
            NotIp(
                what=f"{counted(len(pods), 'pod waits', 'pods wait')} with {reason}",
                evidence=(
                    Evidence(
                        what=reason,
                        where=f"{pods[0].namespace}/{pods[0].name}",
                        value="container waits",
                        count=len(pods),
                    ),
                ),
            )
            for reason, pods in sorted(waiting.items())
        ]
    found += _failing_datapaths(reading)
    grouped: dict[str, list[Hit]] = {}
    for hit in hits:
        grouped.setdefault(hit.signature.means, []).append(hit)
    found += [NotIp(what=means, evidence=evidence(group)) for means, group in grouped.items()]
    return tuple(found)


def _failing_datapaths(reading: Reading) -> Iterator[NotIp]:
    """NAT gateways of an AKS cluster that are down: pods have addresses, and their traffic does not get out.

    A load balancer's availability is that of its Services' front ends, too, and says nothing of the way out.
    """
    for each in items(reading.aks.azure.egress) if reading.aks is not None else ():
        percent = known(each.datapath_availability)
        if each.kind == "natGateway" and percent is not None and percent < LEAST_DATAPATH_PERCENT:
            name = resource_name(each.resource_id)
            seen = Evidence(
                what="DatapathAvailability",
                where=name,
                value=f"{percent:.0f} %",
                threshold=f"{LEAST_DATAPATH_PERCENT} %",
                when=f"{known_or(each.since, '')} to {known_or(each.until, '')}",
                source="Azure NAT Gateway documentation, nat-metrics",
            )
            yield NotIp(what=f"the NAT gateway {name} is not available all of the time", evidence=(seen,))


def speaks_against(reading: Reading) -> bool:
    """Whether something other than addresses is shown that cannot itself follow from an address problem."""
    return any(hit.signature.name not in _MAY_FOLLOW for hit in reading.of_kind(Kind.NOT_IP))


def unexplained(reading: Reading) -> tuple[Hit, ...]:
    """What is wrong for a reason that is not said: it may be addresses."""
    explained = {hit.index for hit in reading.hits if hit.signature.kind in (Kind.NOT_IP, Kind.CAUSE)}
    return tuple(
        hit for hit in reading.of_kind(Kind.OPEN) if hit.signature.name in _TAINTS or hit.index not in explained
    )


def _pod_of(hit: Hit) -> tuple[str, str] | None:
    """The pod that an event is about; ``None`` for what is no event of a pod."""
    where = known(hit.line.file) or ""
    if not where.startswith(EVENT_OF_POD):
        return None
    namespace, _, name = where.removeprefix(EVENT_OF_POD).partition("/")
    return (namespace, name)
