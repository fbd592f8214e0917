"""A running cluster of a scenario on AKS: its nodes, its workloads, and how a person reads and repairs it."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import AzureError

from headroom.collect.azure_bundle import host_local_reading
from headroom.collect.azure_session import azure_clients
from headroom.collect.azure_snapshot import collect_aks_from
from headroom.collect.session import choose_context
from headroom.facts.kubernetes import ENDED
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import known
from headroom.planning.policy_probes import RUN_LABEL
from headroom.rehearsal.aks_cni import HostLocal, printed
from headroom.rehearsal.aks_estate import OLD_CLUSTER, Estate
from headroom.rehearsal.aks_fleet import Fleet, leave_behind
from headroom.rehearsal.aks_shell import Shell
from headroom.rehearsal.aks_world import AksWorld, start_aks_world
from headroom.rehearsal.arm.endpoint import Endpoint
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.engine import EngineRun
from headroom.rehearsal.kube import DAEMON_SETS, DEPLOYMENTS, NAMESPACES, PODS, ApiError, Kube
from headroom.rehearsal.kubelets import Kubelets, Program
from headroom.rehearsal.scenarios.incident import SPEED, START, RehearsalFailedError
from headroom.rehearsal.scenarios.shape import wait_for
from headroom.rehearsal.tools import Tools

NAMESPACE: Final = "prod"
WITHOUT_ADDRESS: Final = "status.podIP="
"""Field selector (kubernetes/kubernetes, pkg/apis/core/v1/conversion.go): a scenario asks several times a second, and
hundreds of pods that have one need not be sent each time."""
WAIT_SECONDS: Final = 90
PROPAGATION_SECONDS: Final = 1200.0
"""How long a change of Front Door takes to reach its edges (azure-docs, front-door-faq)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running cluster.

    Attributes:
        name: Its name in Azure.
        world: The running parts.
        estate: The simulated Azure.
        clock: Simulated time.
        kube: A client of its API server.
        fleet: Its nodes.
    """

    name: str
    world: AksWorld
    estate: Estate
    clock: Clock
    kube: Kube
    fleet: Fleet

    @property
    def kubelets(self) -> Kubelets:
        """Its kubelets."""
        return self.fleet.kubelets

    @property
    def shell(self) -> Shell:
        """Runs the commands that are printed."""
        return Shell(estate=self.estate, fleet=self.fleet)

    @property
    def named(self) -> str:
        """The options by which our own commands reach it, as a person types them."""
        subscription, group = self.estate.arm.subscription, self.estate.group
        return f"--cloud aks --subscription {subscription} --resource-group {group} --cluster {self.name}"

    @property
    def is_kubenet(self) -> bool:
        """Whether it still is one of kubenet."""
        found: Any = self.estate.containers.managed_clusters.get(self.estate.group, self.name)
        return bool(found.network_profile.network_plugin == "kubenet")

    def pods(self, *, fields: str | None = None) -> list[dict[str, Any]]:
        """Pods on the pod network that have not ended; of these those that a field selector chooses."""
        return [
            pod
            for pod in self.kube.list_all(PODS, fields=fields)
            if not pod["spec"].get("hostNetwork") and pod.get("status", {}).get("phase") not in ENDED
        ]

    def stuck(self) -> list[dict[str, Any]]:
        """Pods that have a node and no address."""
        return [
            pod
            for pod in self.without_address()
            if pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")
        ]

    def without_address(self) -> list[dict[str, Any]]:
        """Pods that have no address, with or without a node."""
        return self.pods(fields=WITHOUT_ADDRESS)

    def settle(self, what: str, done: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
        """Waits until `done`, and sees that the kubelets are well.

        Raises:
            RehearsalFailedError: It took too long, or a kubelet met an error.
        """
        try:
            wait_for(done, seconds=seconds, what=what)
        except TimeoutError as error:
            raise RehearsalFailedError(
                f"{self.name}: {error}{''.join(f'; {e}' for e in self.kubelets.errors[:3])}"
            ) from error
        if self.kubelets.errors:
            raise RehearsalFailedError("the simulated kubelets met errors:\n" + "\n".join(self.kubelets.errors[:5]))

    def read(self, *, debugged: Sequence[str] = ()) -> Snapshot:
        """A snapshot by the collectors; of the nodes named also what the debug command prints there."""
        in_step(self.world.arm, self.clock)
        plane = self.world.plane(self.name).control_plane
        clients = azure_clients(
            self.estate.arm.subscription, credential=self.estate.arm.credential(), options=self.estate.arm.options()
        )
        try:
            snapshot = collect_aks_from(
                self.name,
                clients,
                choose_context(self.name, "", kubeconfig=str(plane.kubeconfig)),
                resource_group=self.estate.group,
                now=lambda: datetime.fromtimestamp(self.clock.now(), UTC),
            )
        finally:
            clients.close()
        readings = tuple(host_local_reading(self.debug(node)) for node in debugged)
        azure = known(snapshot.azure)
        if azure is None or not readings:
            return snapshot
        return replace(snapshot, azure=replace(azure, host_local=readings))

    def end(self) -> None:
        """Ends its kubelets and its control plane."""
        self.kubelets.stop()
        self.world.end_plane(self.name)

    def debug(self, node: str) -> str:
        """What `headroom.facts.azure.HOST_LOCAL_COMMAND` prints on a node."""
        kubelet = self.kubelets.nodes[node]
        if not isinstance(kubelet.cni, HostLocal):
            raise RehearsalFailedError(f"{node} has no host-local")
        return printed(node, kubelet.cni, kubelet.sandboxes())


@contextmanager
def refusals_told() -> Iterator[None]:
    """What Azure or an API server refuses ends a rehearsal as its failure, in their own words.

    Raises:
        RehearsalFailedError: They refused something that nobody expected to be refused.
    """
    try:
        yield
    except (AzureError, ApiError) as error:
        raise RehearsalFailedError(f"refused: {error}") from error


def logs_of(nodes: Sequence[str]) -> str:
    """The options that give a diagnosis what `headroom.facts.azure.HOST_LOCAL_COMMAND` printed on nodes."""
    return " ".join(["--log", *(f"{node}.txt" for node in nodes)])


def shortened(lines: Sequence[str], most: int = 6) -> list[str]:
    """The first lines of what a command says, and how many more there were."""
    return [*lines[:most], *([f"… {len(lines) - most} more lines"] if len(lines) > most else [])]


def in_step(arm: Endpoint, clock: Clock) -> None:
    """Brings the two clocks of a rehearsal together: the one that is behind jumps."""
    difference = arm.now() - clock.now()
    if difference > 0:
        clock.advance(difference)
    else:
        arm.advance(-difference)


def start_azure(folder: Path, tools: Tools) -> AksWorld:
    """The parts of a scenario on Azure, with the control plane of its first cluster."""
    settings = {"speed": SPEED, "start": START.timestamp(), "propagation_seconds": PROPAGATION_SECONDS}
    return start_aks_world(folder, tools, cluster=OLD_CLUSTER, settings=settings)


def start_cluster(  # noqa: PLR0913 - the parts, most by position
    world: AksWorld, estate: Estate, clock: Clock, name: str, *, daemons: Sequence[str], program: Program | None = None
) -> Running:
    """Nodes, kubelets and daemons of a cluster that Azure has already; its control plane is waited for."""
    plane = world.plane(name)
    kube = plane.control_plane.client()
    more = {"program": program} if program is not None else {}
    kubelets = Kubelets(kube=kube, clock=clock, network=plane.node_network, **more)
    kubelets.left_alone = RUN_LABEL  # ended by headroom.rehearsal.policy_engine
    fleet = Fleet(estate=estate, cluster=name, kubelets=kubelets, folder=world.folder / "nodes" / name)
    fleet.follow()
    for namespace in (NAMESPACE, "ingress-nginx"):
        labels = {"name": namespace}
        kube.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
        )
    for daemon in daemons:
        kube.create(DAEMON_SETS, daemon_set(daemon))
    kubelets.start()
    world.on_close(kubelets.stop)
    clock.run()
    return Running(name=name, world=world, estate=estate, clock=clock, kube=kube, fleet=fleet)


def own(running: Running, stack: str, config: Mapping[str, Any]) -> EngineRun:
    """Lets a stack of the remedy aks-retire take a cluster, its pool and its nodes' subnet over, as they are."""
    engine = running.world.engine
    engine.init(stack, config)
    return engine.must("up", "--yes", "--skip-preview", "--stack", stack)


def deploy(running: Running, apps: Mapping[str, int]) -> None:
    """Deployments, and waits until every pod runs."""
    before = len(running.pods())
    for name, replicas in apps.items():
        running.kube.create(DEPLOYMENTS, deployment(name, replicas))
    total = before + sum(apps.values())
    running.settle("the pods to run", lambda: len(running.pods()) >= total and not running.without_address())


def grow_old(running: Running, nodes: Sequence[str], *, free: int, lost: float = 0.5, seed: int = 1) -> dict[str, int]:
    """What nodes went through since they joined: jobs came and went, and some DELs never came. Lost ones by node."""
    order = random.Random(seed)  # noqa: S311 - a repeatable past
    return {name: leave_behind(running.kubelets.nodes[name], free=free, lost=lost, order=order) for name in nodes}


def daemon_set(name: str) -> dict[str, Any]:
    """A DaemonSet of kube-system on the nodes' own addresses."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"k8s-app": name}},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": name}},
            "template": {
                "metadata": {"labels": {"k8s-app": name}},
                "spec": {
                    "hostNetwork": True,
                    "priorityClassName": "system-node-critical",
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": name, "image": f"mcr.microsoft.com/oss/kubernetes/{name}:v1"}],
                },
            },
        },
    }


def deployment(name: str, replicas: int, *, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A Deployment of one small container, its pods spread over the nodes where that is possible."""
    marked = {"app": name, **(labels or {})}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": name}},
    }
    resources = {"requests": {"cpu": "10m", "memory": "32Mi"}}
    container = {
        "name": name,
        "image": f"registry.invalid/{name}:1",
        "ports": [{"containerPort": 8080}],
        "resources": resources,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": marked},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": marked},
                "spec": {
                    "topologySpreadConstraints": [spread],
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                },
            },
        },
    }
