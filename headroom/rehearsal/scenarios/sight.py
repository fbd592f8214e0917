"""What can be seen of a scenario's cluster: pods, those that hang, restarts, and when all has come to rest."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from headroom.rehearsal.kube import DAEMON_SETS, PODS
from headroom.rehearsal.scenarios.shape import Cluster

STILL_SECONDS = 60
"""Simulated time without a change after which a count has come to rest."""


def pods(running: Cluster) -> list[dict[str, Any]]:
    """All pods on the pod network."""
    return [pod for pod in running.kube.list_all(PODS) if not pod["spec"].get("hostNetwork")]


def has_address(pod: Mapping[str, Any]) -> bool:
    """Whether it has an address."""
    return bool(pod.get("status", {}).get("podIP"))


def stuck(running: Cluster) -> list[dict[str, Any]]:
    """Pods that have a node and no address."""
    return [pod for pod in pods(running) if pod["spec"].get("nodeName") and not has_address(pod)]


def bound_of(running: Cluster, app: str) -> int:
    """Pods of an application that have a node."""
    return sum(
        pod["metadata"].get("labels", {}).get("app") == app and bool(pod["spec"].get("nodeName"))
        for pod in pods(running)
    )


def until_still(running: Cluster, count: Callable[[], int], *, seconds: float = STILL_SECONDS) -> int:
    """Waits until a count stays the same for so many simulated seconds, and returns it."""
    clock = running.nodes.clock
    last, since = -1, clock.now()
    while clock.now() - since < seconds:
        now = count()
        if now != last:
            last, since = now, clock.now()
        clock.sleep_until(clock.now() + 10, most=0.5)
    return last


def interfaces(running: Cluster) -> int:
    """Interfaces of all nodes."""
    return sum(len(node.ipamd.interfaces) for node in running.nodes.nodes.values())


def reason(pod: Mapping[str, Any]) -> str:
    """What kubectl shows as its status."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        if "waiting" in container["state"]:
            return str(container["state"]["waiting"]["reason"])
    return str(pod["status"]["phase"])


def ready_at(pod: Mapping[str, Any]) -> float:
    """Simulated seconds since the epoch at which a pod became ready."""
    ready = next(condition for condition in pod["status"]["conditions"] if condition["type"] == "Ready")
    return datetime.fromisoformat(ready["lastTransitionTime"]).timestamp()


def restarts(pod: Mapping[str, Any]) -> int:
    """Restarts of its containers."""
    return sum(int(container["restartCount"]) for container in pod["status"].get("containerStatuses", []))


def aws_nodes(running: Cluster) -> dict[str, tuple[str, int]]:
    """aws-node's pods with their uid and restarts, and the DaemonSet with its generation."""
    found = {
        pod["metadata"]["name"]: (str(pod["metadata"]["uid"]), restarts(pod))
        for pod in running.kube.list_all(PODS, "kube-system", labels="k8s-app=aws-node")
    }
    daemon_set = running.kube.get(DAEMON_SETS, "aws-node", "kube-system")
    return {**found, "daemonset/aws-node": ("", int(daemon_set["metadata"]["generation"]))}
