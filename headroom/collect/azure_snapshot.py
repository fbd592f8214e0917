"""Reads an AKS cluster, Azure and the API server side by side, into a snapshot; what cannot be read is unknown."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from headroom.collect import azure_objects as facts
from headroom.collect.api_server import ApiServer, is_not_found
from headroom.collect.azure import ClusterRead, start_azure
from headroom.collect.azure_cns import SYSTEM_NAMESPACE, read_cns
from headroom.collect.azure_session import AzureClients, azure_clients
from headroom.collect.failures import ApiServerError, NotReadError
from headroom.collect.identity import Identity, aks_identity, judged
from headroom.collect.ipamd import nodes_to_ask
from headroom.collect.kubernetes import KubernetesReadings, read_custom, read_groups, start_kubernetes
from headroom.collect.kubernetes_objects import cni_pod
from headroom.collect.readings import Pending, Progress, Readings
from headroom.collect.session import KubeContext, choose_context, kube_client
from headroom.collect.times import utc
from headroom.facts.azure import CnsReading, IpMasqAgent, NodeNetworkConfig
from headroom.facts.document import sound
from headroom.facts.kubernetes import CniPod, Kubernetes
from headroom.facts.snapshot import Snapshot, Source
from headroom.facts.values import Unknown, items, known

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

SECONDS: Final = 60.0
"""Time limit of a whole reading, unless said otherwise."""

CNS_SELECTOR: Final = "k8s-app=azure-cns"
"""Where azure-cns runs, and how its pods are labelled (azure-container-networking, cns/azure-cns.yaml)."""
MACHINES_ASKED: Final = 5
"""Nodes whose machines are looked at."""
NODE_NETWORK_CONFIGS: Final = ("acn.azure.com", "nodenetworkconfigs")
"""The CRD of NodeNetworkConfigs (azure-container-networking, crd/nodenetworkconfig)."""

RBAC_RULES: Final = (
    {"apiGroups": ["acn.azure.com"], "resources": ["nodenetworkconfigs"], "verbs": ["list"]},
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [facts.OWN_IP_MASQ, facts.MANAGED_IP_MASQ],
        "verbs": ["get"],
    },
)
"""What the reader's role needs in kube-system beside `headroom.collect.kubernetes.RBAC_RULES`."""


def collect_aks(  # noqa: PLR0913 - what the command line offers, by keyword
    cluster: str,
    *,
    resource_group: str,
    subscription: str = "",
    context: str = "",
    kubeconfig: str = "",
    credential: "TokenCredential | None" = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress = lambda _: None,
    seconds: float = SECONDS,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Snapshot:
    """Reads a live AKS cluster. Nothing is changed, and nothing secret is read.

    Args:
        cluster: The cluster's name.
        resource_group: Its resource group.
        subscription: Its subscription; empty: as AZURE_SUBSCRIPTION_ID says.
        context: Context of the kubeconfig; empty: the one named after the cluster, or the current one.
        kubeconfig: The file; empty: as KUBECONFIG says, or the usual one.
        credential: Gives tokens; ``None``: azure-identity's DefaultAzureCredential.
        options: For every client of Azure; see `headroom.collect.azure_session.AzureClients`.
        progress: Called with each reading as it ends, from any thread.
        seconds: Time limit of the whole.
        now: The time, for a rehearsal whose clock runs faster.

    Raises:
        ProblemsError: There is no such cluster, context or subscription, or the context is another cluster's.
    """
    clients = azure_clients(subscription, credential=credential, options=options)
    try:
        chosen = choose_context(cluster, context, kubeconfig=kubeconfig)
        return collect_aks_from(
            cluster, clients, chosen, resource_group=resource_group, progress=progress, seconds=seconds, now=now
        )
    finally:
        clients.close()


def collect_aks_from(  # noqa: PLR0913 - the parts that are injected, by keyword
    cluster: str,
    clients: AzureClients,
    context: KubeContext,
    *,
    resource_group: str,
    progress: Progress = lambda _: None,
    seconds: float = SECONDS,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Snapshot:
    """Reads a live AKS cluster by the given clients; see ``collect_aks``."""
    started, moment = time.monotonic(), now()
    readings = Readings(seconds=seconds, progress=progress)
    connection = readings.start(
        "the kubeconfig", lambda: ApiServer(kube_client(context), deadline=readings.deadline), quiet=True
    )
    server = partial(_connected, connection)
    try:
        azure = start_azure(readings, clients, resource_group, cluster, now=moment)
        kubernetes = start_kubernetes(readings, server)
        configs = readings.start("kubernetes nodenetworkconfigs", lambda: read_configs(server()))
        cns_pods = readings.start("kubernetes azure-cns", lambda: read_cns_pods(server()))
        masquerade = readings.start("kubernetes ip-masq-agent", lambda: read_ip_masq(server()))
        machines = readings.start("kubernetes machines", lambda: _read_machines(server()), quiet=True)
        cns = readings.start("kubernetes azure-cns metrics", lambda: _read_cns(server(), kubernetes, configs, cns_pods))
        described = azure.cluster.fact()  # a cluster that does not exist ends the run here
        azure_facts, kubernetes_facts = azure.fact(), kubernetes.fact()
        proven = _proven(connection, described, machines.fact(), kubernetes_facts, clients.subscription, context)
        found = Snapshot(
            cloud="azure",
            cluster=cluster,
            collected_at=utc(moment),
            aws=None,
            azure=replace(
                azure_facts,
                node_network_configs=configs.fact(),
                cns=cns.fact(),
                cns_pods=cns_pods.fact(),
                ip_masq=masquerade.fact(),
            ),
            kubernetes=kubernetes_facts,
            pools=None,
            lines=(),
            sources=(*readings.sources(round(time.monotonic() - started, 3)), *proven),
        )
        return sound(found)
    finally:
        connection.when_done(ApiServer.close)


def _read_cns(
    api: ApiServer,
    kubernetes: KubernetesReadings,
    configs: Pending[tuple[NodeNetworkConfig, ...] | None],
    cns_pods: Pending[tuple[CniPod, ...] | None],
) -> tuple[CnsReading, ...] | Unknown | None:
    """The pools of azure-cns, on nodes with stuck pods and a few others; ``None``: no pod subnet feeds them."""
    containers = [each for config in configs.needed() or () for each in items(config.containers)]
    if not any(known(each.assignment_mode) == "dynamic" for each in containers):
        return None
    return read_cns(api, nodes_to_ask(kubernetes.pods.needed().pods, cns_pods.needed() or ()))


def _read_machines(api: ApiServer) -> tuple[str, ...]:
    """spec.providerID of a few nodes: those of one cluster are in one resource group."""
    found = json.loads(api.get("/api/v1/nodes", {"limit": MACHINES_ASKED})).get("items") or ()
    return tuple(str((each.get("spec") or {}).get("providerID") or "") for each in found)


def _proven(  # noqa: PLR0913, PLR0917 - what the evidence is taken from
    connection: Pending[ApiServer],
    read: ClusterRead | Unknown,
    machines: tuple[str, ...] | Unknown,
    kubernetes: Kubernetes,
    subscription: str,
    context: KubeContext,
) -> tuple[Source, ...]:
    """How it was proven that the context is the cluster; nothing where one of the two was not read anyway.

    Raises:
        ProblemsError: It is proven to be another cluster's.
    """
    api = connection.fact()
    if isinstance(api, Unknown) or isinstance(read, Unknown):
        return ()
    name = read.cluster.name
    identity = aks_identity(
        name,
        hosts=read.hosts,
        subscription=subscription,
        node_group=known(read.cluster.node_resource_group),
        server=api.server,
        provider_ids=() if isinstance(machines, Unknown) else machines,
    )
    if identity.same is None and isinstance(kubernetes.nodes, Unknown) and isinstance(kubernetes.pods, Unknown):
        return ()
    if identity.same is None and (elsewhere := _elsewhere(read, kubernetes)):
        identity = Identity(same=False, because=elsewhere)
    again = f"az aks get-credentials --name {name} --resource-group GROUP"
    return (judged(identity, name, context, again=again, calls=1),)


def _connected(connection: Pending[ApiServer]) -> ApiServer:
    server = connection.fact()
    if isinstance(server, Unknown):
        raise NotReadError(server)
    return server


def read_configs(api: ApiServer) -> tuple[NodeNetworkConfig, ...] | None:
    """The NodeNetworkConfigs; ``None``: the kind is not installed (kubenet, node subnet)."""
    group, plural = NODE_NETWORK_CONFIGS
    return read_custom(
        api, read_groups(api), group, f"namespaces/{SYSTEM_NAMESPACE}/{plural}", facts.node_network_config
    )


def read_cns_pods(api: ApiServer) -> tuple[CniPod, ...] | None:
    """The pods of azure-cns; ``None``: it does not run."""
    found = api.every(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods", labelSelector=CNS_SELECTOR)
    return tuple(cni_pod(each) for each in found) or None


def read_ip_masq(api: ApiServer) -> IpMasqAgent | None:
    """The configuration of azure-ip-masq-agent; ``None``: it does not run."""
    return facts.ip_masq_agent({name: _config_map(api, name) for name in (facts.OWN_IP_MASQ, facts.MANAGED_IP_MASQ)})


def _config_map(api: ApiServer, name: str) -> Mapping[str, Any] | None:
    try:
        return api.json(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/{name}")
    except ApiServerError as error:
        if is_not_found(error):
            return None
        raise


def _elsewhere(read: ClusterRead, kubernetes: Kubernetes) -> str:
    """That none of the nodes is of the cluster's pools; empty where one is, or it is not known."""
    named = {known(node.node_group) for node in items(kubernetes.nodes)} - {None}
    pools = {pool.name for pool in read.pools}
    if not named or not pools or pools & named:
        return ""
    return f"none of its nodes is of the node pools {', '.join(sorted(pools))}"
