"""Everything that a rehearsal of AKS runs: the simulated Azure, a control plane a cluster, the real engine."""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headroom.rehearsal.aks_estate import GROUP
from headroom.rehearsal.arm.endpoint import Endpoint, start_arm
from headroom.rehearsal.control_plane import ControlPlane, start_control_plane
from headroom.rehearsal.engine import Engine
from headroom.rehearsal.node_network import NodeNetwork
from headroom.rehearsal.providers.azure_native import start_provider
from headroom.rehearsal.providers.process import Helper
from headroom.rehearsal.tools import Tools, pulumi_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A cluster's control plane, and the way from it to the nodes."""

    control_plane: ControlPlane
    node_network: NodeNetwork


@dataclass(slots=True, kw_only=True)
class AksWorld:
    """The running parts; a context manager that ends them all.

    Attributes:
        folder: Logs, kubeconfigs, the engine's project and state.
        arm: The simulated Azure.
        provider: The stand-in for azure-native.
        engine: The Pulumi engine over the checkout's program.
        tools: What the set-up provided.
    """

    folder: Path
    arm: Endpoint
    provider: Helper
    engine: Engine
    tools: Tools
    _closing: contextlib.ExitStack
    _pool: ThreadPoolExecutor
    _planes: dict[str, Future[Plane]] = field(default_factory=dict)

    def begin_plane(self, cluster: str) -> None:
        """Begins to start a cluster's control plane; `plane` waits for it."""
        if cluster not in self._planes:
            self._planes[cluster] = self._pool.submit(_start_plane, self._closing, self.tools, self.folder / cluster)

    def plane(self, cluster: str) -> Plane:
        """A cluster's control plane.

        Raises:
            ControlPlaneError: It did not start.
        """
        self.begin_plane(cluster)
        return self._planes[cluster].result()

    def end_plane(self, cluster: str) -> None:
        """Ends a control plane that nobody needs any more."""
        future = self._planes.pop(cluster, None)
        if future is not None:
            future.result().control_plane.close()

    def process_ids(self) -> Iterator[int]:
        """The processes that run now, for measuring them."""
        yield self.arm.helper.process.pid
        yield self.provider.process.pid
        for future in self._planes.values():
            if future.done() and future.exception() is None:
                yield from future.result().control_plane.process_ids.values()

    def kubeconfigs(self) -> dict[str, Path]:
        """The kubeconfig of each cluster whose control plane runs."""
        done = {name: future for name, future in self._planes.items() if future.done() and not future.exception()}
        return {name: future.result().control_plane.kubeconfig for name, future in done.items()}

    def credentials(self, *clusters: str) -> Path:
        """A kubeconfig of several clusters, each context named as its cluster: what `az aks get-credentials` writes."""
        merged: dict[str, list[dict[str, Any]]] = {"clusters": [], "users": [], "contexts": []}
        for name in clusters:
            found = json.loads(self.plane(name).control_plane.kubeconfig.read_text(encoding="utf-8"))
            merged["clusters"].append({**found["clusters"][0], "name": name})
            merged["users"].append({**found["users"][0], "name": name})
            merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
        path = self.folder / "kubeconfig"
        path.touch(mode=0o600)
        document = {"apiVersion": "v1", "kind": "Config", **merged, "current-context": clusters[0]}
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
        return path

    @property
    def looks(self) -> tuple[str, ...]:
        """What somebody may type to look around: in Azure, and with our own commands at each cluster."""
        url = f"{self.arm.url}/subscriptions/{self.arm.subscription}/resources?api-version=2021-04-01"
        where = f"--endpoint-url {self.arm.url} --subscription {self.arm.subscription} --resource-group {GROUP}"
        return (
            f"curl --cacert {self.arm.certificate} --header 'Authorization: Bearer rehearsal' '{url}'",
            *(
                f"KUBECONFIG={file} headroom diagnose --cloud aks {where} --cluster {name}"
                for name, file in self.kubeconfigs().items()
            ),
        )

    def on_close(self, callback: Callable[[], object]) -> None:
        """Calls back before the processes are ended."""
        self._closing.callback(callback)

    def close(self) -> None:
        """Ends every process; may be called again."""
        # One that is still starting would be left behind.
        for future in self._planes.values():
            with contextlib.suppress(Exception):
                future.result()
        self._pool.shutdown()
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_aks_world(
    folder: Path,
    tools: Tools,
    *,
    cluster: str,
    settings: Mapping[str, float] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> AksWorld:
    """Starts the parts side by side.

    Args:
        folder: A new folder for all that they write.
        tools: What the set-up provided.
        cluster: The cluster whose control plane is needed from the start.
        settings: See `headroom.rehearsal.arm.settings.Settings`.
        on_line: Called with every line that the engine prints.

    Raises:
        HelperError: A helper process did not start.
        ControlPlaneError: The control plane did not start.
    """
    closing = contextlib.ExitStack()
    pool = ThreadPoolExecutor(2, thread_name_prefix="plane")
    with contextlib.ExitStack() as undo:
        undo.push(closing)
        undo.callback(pool.shutdown)
        plane = pool.submit(_start_plane, closing, tools, folder / cluster)
        arm = closing.enter_context(start_arm(folder / "arm", **(settings or {})))
        closing.enter_context(_variables(arm.environment() | {"AZURE_SUBSCRIPTION_ID": arm.subscription}))
        provider = closing.enter_context(start_provider(folder, arm))
        environment = pulumi_environment(
            tools,
            home=folder / "pulumi-home",
            backend=folder / "pulumi-state",
            providers={"azure-native": provider.port},
        )
        engine = Engine(folder, {**environment, **arm.environment()}, on_line=on_line)
        plane.result()
        world = AksWorld(
            folder=folder, arm=arm, provider=provider, engine=engine, tools=tools, _closing=closing, _pool=pool
        )
        world._planes[cluster] = plane  # noqa: SLF001 - its own factory
        undo.pop_all()
    return world


def _start_plane(closing: contextlib.ExitStack, tools: Tools, folder: Path) -> Plane:
    network = closing.enter_context(NodeNetwork())
    start = functools.partial(start_control_plane, tools, folder, nodes=network.socket)
    return Plane(control_plane=closing.enter_context(start()), node_network=network)


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for our own clients, put back at the end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
