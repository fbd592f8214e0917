"""Everything that a rehearsal runs: the simulated AWS, a real control plane, stand-in providers, the real engine."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import boto3

from headroom.rehearsal.aws.endpoint import Endpoint, start_endpoint
from headroom.rehearsal.control_plane import ControlPlane, start_control_plane
from headroom.rehearsal.engine import Engine
from headroom.rehearsal.kube import Kube
from headroom.rehearsal.node_network import NodeNetwork
from headroom.rehearsal.providers.process import Helper, start_helper
from headroom.rehearsal.tools import Tools, pulumi_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_eks import EKSClient

REGION = "us-east-1"


@dataclass(slots=True, kw_only=True)
class World:
    """The running parts; a context manager that ends them all.

    Attributes:
        folder: Logs, kubeconfig, the engine's project and state.
        endpoint: The simulated AWS.
        control_plane: etcd, API server, scheduler and controllers; None where a test needs no cluster.
        node_network: The way from the API server to the nodes.
        engine: The Pulumi engine over the checkout's program.
        region: The Region that everything is in.
    """

    folder: Path
    endpoint: Endpoint
    control_plane: ControlPlane | None
    node_network: NodeNetwork
    providers: Sequence[Helper]
    engine: Engine
    region: str = REGION
    _closing: contextlib.ExitStack

    @property
    def kube(self) -> Kube:
        """A client of the API server."""
        if self.control_plane is None:
            raise RuntimeError("this world has no control plane")
        return self.control_plane.client()

    def client(self, service: str) -> Any:
        """A boto3 client of the simulated AWS."""
        return boto3.client(
            service,  # type: ignore[call-overload] # the stubs list services one by one
            endpoint_url=self.endpoint.url,
            region_name=self.region,
            aws_access_key_id="rehearsal",
            aws_secret_access_key="rehearsal",  # noqa: S106 - the simulated AWS asks for none
        )

    @property
    def ec2(self) -> "EC2Client":
        """boto3's EC2."""
        client: EC2Client = self.client("ec2")
        return client

    @property
    def eks(self) -> "EKSClient":
        """boto3's EKS."""
        client: EKSClient = self.client("eks")
        return client

    looks: ClassVar[tuple[str, ...]] = ("aws ec2 describe-subnets",)
    """What somebody may type to look around."""

    def process_ids(self) -> Iterator[int]:
        """The processes that run now, for measuring them."""
        yield self.endpoint.helper.process.pid
        yield from (helper.process.pid for helper in self.providers)
        if self.control_plane is not None:
            yield from self.control_plane.process_ids.values()

    def kubeconfigs(self) -> dict[str, Path]:
        """The kubeconfig of the cluster, where there is one."""
        return {} if self.control_plane is None else {"cluster": self.control_plane.kubeconfig}

    def on_close(self, callback: Callable[[], object]) -> None:
        """Calls back before the processes are ended."""
        self._closing.callback(callback)

    def close(self) -> None:
        """Ends every process; may be called again."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_world(  # noqa: PLR0913 - the parts of a world, by keyword
    folder: Path,
    tools: Tools,
    *,
    kubernetes: bool = True,
    on_line: Callable[[str], None] | None = None,
    aws_settings: Mapping[str, float] | None = None,
    region: str = REGION,
) -> World:
    """Starts the parts side by side.

    Args:
        folder: A new folder for all that they write.
        tools: What the set-up provided.
        kubernetes: Whether a control plane is needed.
        on_line: Called with every line that the engine prints.
        aws_settings: See `headroom.rehearsal.aws.settings.Settings`.
        region: The Region to be in.

    Raises:
        HelperError: A helper process did not start.
        ControlPlaneError: The control plane did not start.
    """
    closing = contextlib.ExitStack()
    with contextlib.ExitStack() as undo, ThreadPoolExecutor(3) as pool:
        undo.push(closing)
        network = closing.enter_context(NodeNetwork())
        start = functools.partial(start_control_plane, tools, folder / "control-plane", nodes=network.socket)
        plane_future = pool.submit(start) if kubernetes else None
        endpoint_future = pool.submit(lambda: start_endpoint(folder / "aws", daemonset="", **(aws_settings or {})))
        # Both are waited for before either's failure is told, so that neither is left behind.
        endpoint, failure = None, None
        try:
            endpoint = closing.enter_context(endpoint_future.result())
        except Exception as error:  # noqa: BLE001 - told below, when the other one is known
            failure = error
        plane = closing.enter_context(plane_future.result()) if plane_future is not None else None
        if endpoint is None:
            raise failure or RuntimeError("the simulated AWS did not start")
        if plane is not None:
            endpoint.serve_clusters_at(plane.server, plane.authority)
        names = ["aws", *(["kubernetes"] if plane is not None else [])]
        arguments = {"aws": ["--endpoint", endpoint.url], "kubernetes": []}
        started = [
            pool.submit(
                start_helper,
                f"headroom.rehearsal.providers.{name}",
                ["--port", "0", *arguments[name]],
                log=folder / f"provider-{name}.log",
                environment={"KUBECONFIG": str(plane.kubeconfig)} if plane is not None else None,
            )
            for name in names
        ]
        helpers = [closing.enter_context(future.result()) for future in started]
        environment = pulumi_environment(
            tools,
            home=folder / "pulumi-home",
            backend=folder / "pulumi-state",
            providers=dict(zip(names, (helper.port for helper in helpers), strict=True)),
        )
        environment |= endpoint.environment(region)
        if plane is not None:
            environment["KUBECONFIG"] = str(plane.kubeconfig)
        world = World(
            folder=folder,
            endpoint=endpoint,
            control_plane=plane,
            node_network=network,
            providers=helpers,
            engine=Engine(folder, environment, on_line=on_line),
            region=region,
            _closing=closing,
        )
        undo.pop_all()
    return world
