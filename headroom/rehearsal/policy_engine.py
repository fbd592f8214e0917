"""Ends the pods of probe Jobs on simulated nodes, which run no containers, with or without an engine for policies.

With the engine on, every connection is judged by `headroom.planning.network_policy`, the same semantics that planned
the probes: a run here shows that Jobs are made, run, read back and cleaned up, and what the verdicts are when nothing
is enforced; it can never show that the semantics are right. That is shown by a brute-force oracle of its own
(tests/planning/test_network_policy.py). With the engine off nothing is denied, as with networkPolicy none.

The pods themselves are made by the Job controller of the control plane; this is the kubelet's part.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from headroom.collect import kubernetes_objects as facts
from headroom.planning.network_policy import (
    Connection,
    Decision,
    Direction,
    Face,
    World,
    allowed,
    isolating,
    world_of,
)
from headroom.planning.policy_probes import RUN_LABEL, Expectation
from headroom.planning.probe_jobs import SELF
from headroom.planning.probe_results import Outcome
from headroom.rehearsal.kube import NAMESPACES, PODS, Kube, Object, Resource

NETWORK_POLICIES: Final = Resource(group_version="networking.k8s.io/v1", plural="networkpolicies", kind="NetworkPolicy")
ADDRESSES: Final = "198.18"
"""How the addresses of the Jobs' pods begin, where they have none: the range for benchmarks of networks (RFC 2544)."""


def run_probe_jobs(kube: Kube, *, engine_on: bool) -> int:
    """Ends every pod of a probe Job that has not ended, with what its script would have said; returns how many.

    Args:
        kube: The simulated cluster.
        engine_on: Whether its policy engine is on.
    """
    probes = kube.list_all(PODS, labels=RUN_LABEL)
    waiting = [pod for pod in probes if (pod.get("status") or {}).get("phase") != "Succeeded"]
    if not waiting:
        return 0
    pods = kube.list_all(PODS)
    there = {_address(pod): pod for pod in pods if _address(pod) and not _is_probe(pod)}
    world = world_of(
        map(facts.network_policy, kube.list_all(NETWORK_POLICIES) if engine_on else ()),
        {each["metadata"]["name"]: each["metadata"].get("labels") or {} for each in kube.list_all(NAMESPACES)},
        there,
    )
    addresses = _addresses()
    for pod in waiting:
        _end(kube, world, pod, there, _address(pod) or next(addresses))
    return len(waiting)


def _end(kube: Kube, world: World, pod: Object, there: Mapping[str, Object], address: str) -> None:
    """Writes a probe pod's end."""
    metadata, container = pod["metadata"], pod["spec"]["containers"][0]
    source = Face(namespace=metadata["namespace"], labels=metadata["labels"], address=address)
    # The API server's address is no pod's: a source that its policies confine does not reach it.
    confined = bool(isolating(world, source, Direction.EGRESS))
    lines = [f"{SELF} {Outcome.TIMEOUT if confined else Outcome.CONNECTED} {6 if confined else 1}"]
    args = container["args"]
    for expects, probe_id, place in zip(args[::3], args[1::3], args[2::3], strict=True):
        outcome = _outcome(world, source, there, place)
        blocked = outcome is not Outcome.CONNECTED
        tries = (8 if blocked else 1) if expects == Expectation.ALLOWED else (2 if blocked else 6)
        lines.append(f"{probe_id} {outcome} {tries}")
    ended = {"exitCode": 0, "reason": "Completed", "message": "\n".join(lines) + "\n"}
    status = {
        "phase": "Succeeded",
        "podIP": address,
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": ended},
            }
        ],
    }
    kube.patch(PODS, metadata["name"], {"status": status}, namespace=metadata["namespace"], subresource="status")


def _outcome(world: World, source: Face, there: Mapping[str, Object], place: str) -> Outcome:
    """What becomes of a connection to host:port."""
    address, _, port = place.rpartition(":")
    pod = there.get(address.strip("[]"))
    if pod is None:
        return Outcome.TIMEOUT
    sets = facts.PodSets()
    sets.add(pod)
    (made,) = sets.fact()
    target = Face(
        namespace=made.namespace,
        labels=made.labels,
        ports=made.ports,
        address=address.strip("[]"),
        host_network=made.host_network,
    )
    if allowed(world, Connection(source=source, target=target, port=int(port))) is Decision.DENIED:
        return Outcome.TIMEOUT
    return Outcome.CONNECTED if any(each.port == int(port) for each in made.ports) else Outcome.REFUSED


def _is_probe(pod: Object) -> bool:
    return RUN_LABEL in (pod["metadata"].get("labels") or {})


def _address(pod: Object) -> str:
    status = pod.get("status") or {}
    return str(status.get("podIP") or "") if status.get("phase") == "Running" else ""


def _addresses() -> Iterator[str]:
    return (f"{ADDRESSES}.{number // 256}.{number % 256}" for number in range(1, 2**16))
