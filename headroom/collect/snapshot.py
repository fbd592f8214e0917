"""Reads a cluster, all sources side by side, into a snapshot; what cannot be read is unknown, with its reason."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from headroom.collect.api_server import ApiServer
from headroom.collect.aws import Client, EksCluster, start_aws
from headroom.collect.failures import NotReadError
from headroom.collect.identity import Identity, eks_identity, judged
from headroom.collect.ipamd import nodes_to_ask, read_lines, read_pools
from headroom.collect.kubernetes import KubernetesReadings, start_kubernetes
from headroom.collect.readings import Pending, Progress, Readings
from headroom.collect.session import KubeContext, aws_clients, choose_context, kube_client
from headroom.collect.times import utc
from headroom.facts.aws import Aws
from headroom.facts.document import sound
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.snapshot import Line, PoolReading, Snapshot, Source
from headroom.facts.values import NOT_COLLECTED, Unknown, items, known

SECONDS: Final = 60.0
"""Time limit of a whole reading, unless said otherwise."""


def collect(  # noqa: PLR0913 - what the command line offers, by keyword
    cluster: str,
    *,
    region: str = "",
    profile: str = "",
    context: str = "",
    endpoint_url: str = "",
    kubeconfig: str = "",
    interesting: Callable[[str], bool] | None = None,
    progress: Progress = lambda _: None,
    seconds: float = SECONDS,
    deep: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Snapshot:
    """Reads a live EKS cluster. Nothing is changed, and nothing secret is read.

    Args:
        cluster: The EKS cluster's name.
        region: Its Region; empty: as configured, or as the kubeconfig's name of the cluster says.
        profile: Profile of the AWS configuration; empty: as configured.
        context: Context of the kubeconfig; empty: the one named after the cluster, or the current one.
        endpoint_url: Another endpoint for all AWS services, such as that of a rehearsal.
        kubeconfig: The file; empty: as KUBECONFIG says, or the usual one.
        interesting: Whether a line of a log means something; without it no log is read.
        progress: Called with each reading as it ends, from any thread.
        seconds: Time limit of the whole.
        deep: Also what costs calls and seldom matters (`headroom.collect.aws.CALLS`).
        now: The time, for a rehearsal whose clock runs faster.

    Raises:
        ProblemsError: There is no such cluster, context, profile or Region, or the context is another cluster's.
    """
    chosen = choose_context(cluster, context, kubeconfig=kubeconfig)
    clients = aws_clients(region=region, profile=profile, endpoint_url=endpoint_url, hint=chosen.cluster)
    try:
        return collect_from(
            cluster,
            clients,
            chosen,
            region=clients.region,
            interesting=interesting,
            progress=progress,
            seconds=seconds,
            deep=deep,
            now=now,
        )
    finally:
        clients.close()


def collect_from(  # noqa: PLR0913 - the parts that are injected, by keyword
    cluster: str,
    client: Client,
    context: KubeContext,
    *,
    region: str,
    interesting: Callable[[str], bool] | None = None,
    progress: Progress = lambda _: None,
    seconds: float = SECONDS,
    deep: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Snapshot:
    """Reads a live EKS cluster by the given clients; see ``collect``."""
    started, collected_at = time.monotonic(), utc(now())
    readings = Readings(seconds=seconds, progress=progress)
    # A reading too: a plugin of the kubeconfig (`aws eks get-token`) may take a second, or for ever.
    connection = readings.start(
        "the kubeconfig", lambda: ApiServer(kube_client(context), deadline=readings.deadline), quiet=True
    )
    server = partial(_connected, connection)
    try:
        with _collector_paused():
            kubernetes = start_kubernetes(readings, server)
            described, aws_fact = start_aws(
                readings, client, cluster, nodes=kubernetes.nodes, environment=kubernetes.environment, deep=deep
            )
            pools = readings.start("ipamd metrics", lambda: _read_pools(server(), kubernetes))
            lines = readings.start("aws-node logs", lambda: _read_lines(server(), kubernetes, interesting))
            described.fact()  # a cluster that does not exist ends the run here
            aws, kubernetes_facts = aws_fact(region), kubernetes.fact()
            proven = _proven(connection, described.fact(), aws, kubernetes_facts, cluster, context)
            found = Snapshot(
                cloud="aws",
                cluster=cluster,
                collected_at=collected_at,
                aws=aws,
                kubernetes=_with_version(kubernetes_facts, described.fact()),
                pools=pools.fact(),
                lines=lines.fact(),
                sources=(*readings.sources(round(time.monotonic() - started, 3)), *proven),
            )
            return sound(found)
    finally:
        connection.when_done(ApiServer.close)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without the collector of cycles: it would look through all facts again and again while pages are parsed.

    Answers are trees, and are freed without it; 150,000 pods take a sixth of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _connected(connection: Pending[ApiServer]) -> ApiServer:
    server = connection.fact()
    if isinstance(server, Unknown):
        raise NotReadError(server)
    return server


def _read_pools(server: ApiServer, kubernetes: KubernetesReadings) -> tuple[PoolReading, ...] | Unknown:
    read = kubernetes.pods.needed()
    return read_pools(server, nodes_to_ask(read.pods, read.cni_pods))


def _read_lines(
    server: ApiServer, kubernetes: KubernetesReadings, interesting: Callable[[str], bool] | None
) -> tuple[Line, ...] | Unknown:
    if interesting is None:
        return NOT_COLLECTED
    read = kubernetes.pods.needed()
    return read_lines(server, nodes_to_ask(read.pods, read.cni_pods), interesting)


def _with_version(kubernetes: Kubernetes, described: EksCluster | Unknown) -> Kubernetes:
    """EKS knows the API server's version too, without its patch."""
    if isinstance(kubernetes.version, Unknown) and not isinstance(described, Unknown):
        return replace(kubernetes, version=described.version)
    return kubernetes


def _proven(  # noqa: PLR0913, PLR0917 - what the evidence is taken from
    connection: Pending[ApiServer],
    described: EksCluster | Unknown,
    aws: Aws,
    kubernetes: Kubernetes,
    cluster: str,
    context: KubeContext,
) -> tuple[Source, ...]:
    """How it was proven that the context is the cluster; nothing where the context was of no use anyway.

    Raises:
        ProblemsError: It is proven to be another cluster's.
    """
    api = connection.fact()
    if isinstance(api, Unknown):
        return ()
    identity = eks_identity(cluster, described, api.server, kubernetes.nodes, aws.interfaces)
    if identity.same is None and isinstance(kubernetes.nodes, Unknown) and isinstance(kubernetes.pods, Unknown):
        return ()
    if identity.same is None and (elsewhere := _elsewhere(aws, kubernetes)):
        identity = Identity(same=False, because=elsewhere)
    return (judged(identity, cluster, context, again=f"aws eks update-kubeconfig --name {cluster}"),)


def _elsewhere(aws: Aws, kubernetes: Kubernetes) -> str:
    """That none of the nodes is an instance of the VPC; empty where one is, or it is not known."""
    nodes = [each.instance_id for each in items(kubernetes.nodes) if isinstance(each.instance_id, str)]
    instances = {each.instance_id for each in items(aws.interfaces) if isinstance(each.instance_id, str)}
    vpc = known(aws.vpc)
    if not nodes or vpc is None or isinstance(aws.interfaces, Unknown) or not instances.isdisjoint(nodes):
        return ""
    return f"none of its {len(nodes)} nodes is an instance in {vpc.vpc_id}"
