"""Simulated kubelets over any CNI, against the real API server: nodes of AKS are made of them.

A kubelet asks its node's CNI for an address for every pod and writes what comes of it; nothing here decides whether a
pod gets one. Pods of Jobs run what the scenario's `program` says and end.
"""

import contextlib
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import EVENTS, NODES, PODS, Kube
from headroom.rehearsal.node_network import NodeNetwork
from headroom.rehearsal.nodes import KUBELET_PORT, SANDBOX_RETRY_SECONDS
from headroom.rehearsal.pod_watcher import PodWatcher

_LOG_WORDS: Final = 3
"""A container's log is at /containerLogs/<namespace>/<pod>/<container> (pkg/kubelet/server/server.go)."""


class NoAddressError(Exception):
    """The CNI has no address; the text is what the kubelet's event says."""


class Cni(Protocol):
    """What gives the pods of one node their addresses."""

    def add(self, sandbox: str, pod: str) -> str:
        """An address for a sandbox of a pod (namespace/name).

        Raises:
            NoAddressError: There is none.
        """

    def delete(self, sandbox: str) -> None:
        """Gives it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a container ended.

    Attributes:
        code: Its exit code.
        log: What it printed.
    """

    code: int
    log: str


@dataclass(slots=True, kw_only=True)
class PodState:
    """What a kubelet knows of a pod."""

    manifest: Mapping[str, Any]
    sandbox: str = ""
    address: str = ""
    failures: int = 0
    event: str = ""
    log: str = ""
    ended: bool = False


@dataclass(slots=True, kw_only=True)
class Kubelet:
    """One node.

    Attributes:
        name: Its name.
        pool: Its node pool.
        address: Its address.
        zone: Its zone.
        max_pods: Its maxPods.
        cni: What gives its pods addresses.
        pod_cidr: Its block of the pod CIDR, where the Node says one.
    """

    name: str
    pool: str
    address: str
    zone: str
    max_pods: int
    cni: Cni
    pod_cidr: str = ""
    pods: dict[str, PodState] = field(default_factory=dict)
    retries: dict[str, float] = field(default_factory=dict)

    def sandboxes(self) -> list[str]:
        """The sandboxes that are ready, as `crictl pods --quiet --no-trunc` lists them."""
        return [pod.sandbox for pod in self.pods.values() if pod.sandbox and not pod.ended]


Program = Callable[["Kubelet", Mapping[str, Any], str], Ended | None]
"""What the containers of a pod do that has this address: how they end, or None where they run on."""


def _runs_on(kubelet: Kubelet, pod: Mapping[str, Any], address: str) -> Ended | None:
    del kubelet, pod, address
    return None


class Kubelets(PodWatcher):
    """The kubelets of a cluster."""

    def __init__(
        self, *, kube: Kube, clock: Clock, network: NodeNetwork | None = None, program: Program = _runs_on
    ) -> None:
        super().__init__(kube, clock)
        self.nodes: dict[str, Kubelet] = {}
        self.program = program
        self.left_alone: str = ""
        """Label of pods that somebody else ends."""
        self.machines: str = ""
        """What stands before a machine's name in its id: the node resource group's, and the provider's."""
        self._network = network
        self._lock = threading.Lock()

    def add(self, kubelet: Kubelet, *, instance_type: str, cpu: str, memory: str, region: str) -> None:
        """Registers a node.

        Args:
            kubelet: The node.
            instance_type: Its VM size.
            cpu: Allocatable CPU, as Kubernetes writes it.
            memory: Allocatable memory, the same.
            region: Its region.
        """
        name = kubelet.name
        with self._lock:  # before the scheduler knows of it
            self.nodes[name] = kubelet
        spec: dict[str, Any] = {"providerID": f"azure://{self.machines}/virtualMachineScaleSets/{name}"}
        if kubelet.pod_cidr:
            spec |= {"podCIDR": kubelet.pod_cidr, "podCIDRs": [kubelet.pod_cidr]}
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "node.kubernetes.io/instance-type": instance_type,
            "topology.kubernetes.io/region": region,
            "topology.kubernetes.io/zone": kubelet.zone,
            "kubernetes.azure.com/agentpool": kubelet.pool,
            "agentpool": kubelet.pool,
        }
        self.kube.create(
            NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}
        )
        # Admission adds a taint that only the node lifecycle controller, which does not run here, would remove.
        self.kube.patch(NODES, name, {"spec": {"taints": None}})
        resources = {"cpu": cpu, "memory": memory, "pods": str(kubelet.max_pods)}
        now = self.clock.timestamp()
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        status = {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [{"type": "InternalIP", "address": kubelet.address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
            "nodeInfo": {"kubeletVersion": "v1.33.0"},
            "conditions": [ready],
        }
        self.kube.patch(NODES, name, {"status": status}, subresource="status")
        if self._network is not None:
            self._network.serve_tls(kubelet.address, KUBELET_PORT, lambda path, query: _log_of(kubelet, path, query))
        # A kubelet that starts lists its pods: one may have been bound to this name while no kubelet had it, as when a
        # machine is made anew.
        for pod in self.kube.list_all(PODS, fields=f"spec.nodeName={name}"):
            self._changes.put(("ADDED", pod))

    def remove(self, name: str) -> None:
        """Takes a node away, as a scale set does that shrinks: its pods go with it."""
        with self._lock:
            kubelet = self.nodes.pop(name)
        if self._network is not None:
            self._network.cut(kubelet.address, KUBELET_PORT)
        self.kube.delete(NODES, name)
        for state in list(kubelet.pods.values()):
            self._write(self._delete, state.manifest)

    def _step(self, now: float) -> float:
        upcoming = now + 1.0
        with self._lock:
            kubelets = list(self.nodes.values())
        for kubelet in kubelets:
            for key in [key for key, due in kubelet.retries.items() if due <= now]:
                self._try_to_start(kubelet, key)
            upcoming = min([upcoming, *kubelet.retries.values()])
        return upcoming

    def _take(self, change: str, pod: Mapping[str, Any]) -> None:
        with self._lock:
            kubelet = self.nodes.get(pod["spec"].get("nodeName", ""))
        if kubelet is not None:
            self._take_on(kubelet, change, pod)

    def _take_on(self, kubelet: Kubelet, change: str, pod: Mapping[str, Any]) -> None:
        key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if self.left_alone and self.left_alone in pod["metadata"].get("labels", {}):
            if pod["metadata"].get("deletionTimestamp") and change != "DELETED":
                self._submit(self._delete, pod)
            return
        if change == "DELETED":
            state = kubelet.pods.pop(key, None)
            kubelet.retries.pop(key, None)
            if state is not None and state.sandbox and not state.ended:
                kubelet.cni.delete(state.sandbox)
        elif pod["metadata"].get("deletionTimestamp"):
            if key in kubelet.pods:
                self._submit(self._delete, pod)
        elif key not in kubelet.pods and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            kubelet.pods[key] = PodState(manifest=pod)
            self._try_to_start(kubelet, key)

    def _try_to_start(self, kubelet: Kubelet, key: str) -> None:
        state = kubelet.pods[key]
        sandbox = secrets.token_hex(32)
        try:
            host = state.manifest["spec"].get("hostNetwork")
            address = kubelet.address if host else kubelet.cni.add(sandbox, key)
        except NoAddressError as error:
            kubelet.retries[key] = self.clock.now() + SANDBOX_RETRY_SECONDS
            state.failures += 1
            # The first failure, and then ever more rarely: as the kubelet's event recorder does.
            if state.failures & (state.failures - 1) == 0:
                self._submit(self._write_stuck, kubelet, state, state.failures, str(error))
            return
        kubelet.retries.pop(key, None)
        state.sandbox, state.address = sandbox, address
        if (state.manifest.get("status") or {}).get("podIP") != address:
            self._submit(self._write_running, kubelet, state)

    def _write_running(self, kubelet: Kubelet, state: PodState) -> None:
        pod, now = state.manifest, self.clock.timestamp()
        running = {"running": {"startedAt": now}}
        self._patch_status(pod, self._status(kubelet, state, "Running", running, ready=True))
        ended = self.program(kubelet, pod, state.address)
        if ended is None:
            return
        state.log, state.ended = ended.log, True
        kubelet.cni.delete(state.sandbox)
        terminated = {
            "terminated": {
                "exitCode": ended.code,
                "reason": "Error" if ended.code else "Completed",
                "message": ended.log[-1024:],
                "startedAt": now,
                "finishedAt": self.clock.timestamp(),
            }
        }
        phase = "Failed" if ended.code else "Succeeded"
        self._patch_status(pod, self._status(kubelet, state, phase, terminated, ready=False))

    def _write_stuck(self, kubelet: Kubelet, state: PodState, failures: int, message: str) -> None:
        pod, now = state.manifest, self.clock.timestamp()
        if failures == 1:
            waiting = {"waiting": {"reason": "ContainerCreating"}}
            self._patch_status(pod, self._status(kubelet, state, "Pending", waiting, ready=False))
        metadata = pod["metadata"]
        if state.event:
            changes = {"count": failures, "lastTimestamp": now}
            self.kube.patch(EVENTS, state.event, changes, namespace=metadata["namespace"])
            return
        state.event = f"{metadata['name']}.{secrets.token_hex(8)}"
        self.kube.create(
            EVENTS,
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": state.event, "namespace": metadata["namespace"]},
                "type": "Warning",
                "reason": "FailedCreatePodSandBox",
                "message": f"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network "
                f'for sandbox "{secrets.token_hex(32)}": {message}',
                "source": {"component": "kubelet", "host": kubelet.name},
                "reportingComponent": "kubelet",
                "reportingInstance": kubelet.name,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": failures,
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        )

    def _status(
        self, kubelet: Kubelet, state: PodState, phase: str, container: Mapping[str, Any], *, ready: bool
    ) -> dict[str, Any]:
        now = self.clock.timestamp()
        word = "True" if ready else "False"
        conditions = {
            "PodScheduled": "True",
            "PodReadyToStartContainers": word,
            "Initialized": "True",
            "ContainersReady": word,
            "Ready": word,
        }
        status: dict[str, Any] = {
            "phase": phase,
            "hostIP": kubelet.address,
            "hostIPs": [{"ip": kubelet.address}],
            "startTime": now,
            "conditions": [
                {"type": name, "status": value, "lastTransitionTime": now} for name, value in conditions.items()
            ],
            "containerStatuses": [
                {
                    "name": each["name"],
                    "image": each["image"],
                    "imageID": "",
                    "ready": ready,
                    "started": ready,
                    "restartCount": 0,
                    "state": dict(container),
                }
                for each in state.manifest["spec"]["containers"]
            ],
        }
        if state.address:
            status |= {"podIP": state.address, "podIPs": [{"ip": state.address}]}
        return status


def _log_of(kubelet: Kubelet, path: str, query: Mapping[str, str]) -> str | None:
    """What a kubelet answers of a container's log; ``None`` for one that it does not run."""
    kind, *names = path.strip("/").split("/")
    if kind != "containerLogs" or len(names) != _LOG_WORDS:
        return None
    state = kubelet.pods.get(f"{names[0]}/{names[1]}")
    if state is None or not state.sandbox:
        return None
    text = state.log or f"{names[2]} runs\n"
    with contextlib.suppress(ValueError):
        text = text[: int(query["limitBytes"])] if query.get("limitBytes") else text
    return text


def bound_to(kube: Kube, nodes: Sequence[str]) -> list[dict[str, Any]]:
    """Pods on the pod network that are bound to one of these nodes and have not ended."""
    return [
        pod
        for pod in kube.list_all(PODS)
        if pod["spec"].get("nodeName") in nodes
        and not pod["spec"].get("hostNetwork")
        and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
    ]
