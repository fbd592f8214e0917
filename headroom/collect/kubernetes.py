"""Reads what the API server says of a cluster: no secrets, no config maps, no environment but the CNI's settings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from headroom.collect import kubernetes_objects as facts
from headroom.collect.api_server import ApiServer, is_not_found
from headroom.collect.failures import ApiServerError
from headroom.collect.readings import Pending, Readings
from headroom.facts.kubernetes import (
    CniDaemonSet,
    CniPod,
    CronJob,
    DisruptionBudget,
    Event,
    KedaScaler,
    Kubernetes,
    Lease,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    PodSet,
    Service,
    Workload,
)
from headroom.facts.values import Fact, Reason, Unknown

T = TypeVar("T")
Object = Mapping[str, Any]

RBAC_RULES: Final = (
    {"apiGroups": [""], "resources": ["events", "namespaces", "nodes", "pods", "services"], "verbs": ["list"]},
    {"apiGroups": ["apps"], "resources": ["daemonsets", "deployments", "statefulsets"], "verbs": ["list"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list"]},
    {"apiGroups": ["batch"], "resources": ["cronjobs", "jobs"], "verbs": ["list"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]},
    {"apiGroups": ["crd.k8s.amazonaws.com"], "resources": ["eniconfigs"], "verbs": ["list"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]},
    {"apiGroups": ["eks.amazonaws.com"], "resources": ["nodeclasses"], "verbs": ["list"]},
    {"apiGroups": ["karpenter.k8s.aws"], "resources": ["ec2nodeclasses"], "verbs": ["list"]},
    {"apiGroups": ["karpenter.sh"], "resources": ["nodeclaims", "nodepools"], "verbs": ["list"]},
    {"apiGroups": ["keda.sh"], "resources": ["scaledjobs", "scaledobjects"], "verbs": ["list"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"]},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["list"]},
    {"apiGroups": ["scheduling.k8s.io"], "resources": ["priorityclasses"], "verbs": ["list"]},
    {"apiGroups": ["vpcresources.k8s.aws"], "resources": ["cninodes"], "verbs": ["list"]},
)
"""What the reader's role needs, everywhere in the cluster; see `headroom.collect.ipamd` for what it needs of
aws-node's pods. /version and /apis are open to every user (API server, system:discovery)."""

NORMAL_EVENTS: Final = ("NotTriggerScaleUp", "TriggeredScaleUp")
"""Reasons of those events of type Normal that matter: what the Cluster Autoscaler says of a pending pod
(kubernetes/autoscaler, cluster-autoscaler FAQ)."""

WORKLOADS: Final = {
    "Deployment": "/apis/apps/v1/deployments",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "Job": "/apis/batch/v1/jobs",
}
"""Kinds of workloads, and where they are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodsRead:
    """The pods, those of aws-node, and what their labels say to selectors."""

    pods: tuple[Pod, ...]
    cni_pods: tuple[CniPod, ...]
    labels: facts.Labelled
    sets: facts.PodSets


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSetsRead:
    """The DaemonSets: as workloads, and the two that matter."""

    workloads: tuple[Workload, ...]
    cni: CniDaemonSet | None
    kube_proxy: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesReadings:
    """The readings that others build on, and a function that waits for all and says what was read."""

    nodes: Pending[tuple[Node, ...]]
    pods: Pending[PodsRead]
    daemon_sets: Pending[DaemonSetsRead]
    fact: Callable[[], Kubernetes]

    def environment(self) -> Fact[Mapping[str, str]]:
        """aws-node's settings as they are in force; ``None``: there is no aws-node."""
        found = self.daemon_sets.fact()
        if isinstance(found, Unknown):
            return found
        return None if found.cni is None else found.cni.environment


def start_kubernetes(readings: Readings, server: Callable[[], ApiServer]) -> KubernetesReadings:
    """Starts the readings of the API server.

    Args:
        readings: Where they run.
        server: The API server; raises what is expected where there is none.
    """

    def start(name: str, read: Callable[[ApiServer], T], items: Callable[[T], int] | None = None) -> Pending[T]:
        return readings.start(f"kubernetes {name}", lambda: read(server()), items=items)

    version = start("version", lambda api: str(api.json("/version")["gitVersion"]), lambda _: 1)
    groups = start("API groups", read_groups)
    nodes = start("nodes", lambda api: tuple(facts.node(each) for each in api.every("/api/v1/nodes")))
    pods = start("pods", read_pods, lambda read: len(read.pods))
    events = start("events", read_events)
    daemon_sets = start("daemonsets", read_daemon_sets, lambda read: len(read.workloads))
    workloads = {
        kind: start(f"{kind.lower()}s", partial(read_workloads, kind=kind)) for kind in WORKLOADS if kind != "DaemonSet"
    }
    cron_jobs = start("cronjobs", read_cron_jobs)
    leases = start("leases", read_leases)
    endpoints = start(
        "endpointslices",
        lambda api: facts.ready_endpoints(api.every("/apis/discovery.k8s.io/v1/endpointslices")),
    )
    namespaces = start("namespaces", read_namespaces)
    policies = start("networkpolicies", read_network_policies)
    services = start("services", lambda api: api.every("/api/v1/services"))
    budgets = start("poddisruptionbudgets", lambda api: api.every("/apis/policy/v1/poddisruptionbudgets"))
    autoscalers = start(
        "horizontalpodautoscalers",
        lambda api: tuple(
            facts.autoscaler(each) for each in api.every("/apis/autoscaling/v2/horizontalpodautoscalers")
        ),
    )
    priorities = start(
        "priorityclasses",
        lambda api: tuple(
            facts.priority_class(each) for each in api.every("/apis/scheduling.k8s.io/v1/priorityclasses")
        ),
    )

    def start_custom(group: str, plural: str, make: Callable[[Object], T]) -> Pending[tuple[T, ...] | None]:
        return start(plural, lambda api: read_custom(api, groups.needed(), group, plural, make))

    eni_configs = start_custom("crd.k8s.amazonaws.com", "eniconfigs", facts.eni_config)
    cni_nodes = start_custom("vpcresources.k8s.aws", "cninodes", facts.cni_node)
    pools = start_custom("karpenter.sh", "nodepools", facts.node_pool)
    claims = start_custom("karpenter.sh", "nodeclaims", facts.node_claim)
    ec2_classes = start_custom("karpenter.k8s.aws", "ec2nodeclasses", partial(facts.node_class, kind="EC2NodeClass"))
    auto_classes = start_custom("eks.amazonaws.com", "nodeclasses", partial(facts.node_class, kind="NodeClass"))
    scaled = [start_custom(*_keda(kind)) for kind in facts.KEDA_KINDS]
    # What selectors pick needs the pods; resolved in threads of their own, so that a wrong one spoils nothing else.
    resolved_services = readings.start(
        "Services", lambda: _services(services.needed(), pods.needed(), endpoints.fact()), quiet=True
    )
    resolved_budgets = readings.start(
        "PodDisruptionBudgets", lambda: _budgets(budgets.needed(), pods.needed()), quiet=True
    )

    def fact() -> Kubernetes:
        read_pods_ = pods.fact()
        sets = daemon_sets.fact()
        by_kind = {kind: read.fact() for kind, read in workloads.items()}
        by_kind["DaemonSet"] = sets if isinstance(sets, Unknown) else sets.workloads
        known_workloads, unread = facts.workloads_of(by_kind)
        return Kubernetes(
            version=version.fact(),
            nodes=nodes.fact(),
            pods=read_pods_ if isinstance(read_pods_, Unknown) else read_pods_.pods,
            events=events.fact(),
            workloads=known_workloads,
            unread_workloads=unread,
            cron_jobs=cron_jobs.fact(),
            leases=leases.fact(),
            keda_scalers=joined_kinds(each.fact() for each in scaled),
            services=resolved_services.fact(),
            disruption_budgets=resolved_budgets.fact(),
            autoscalers=autoscalers.fact(),
            priority_classes=priorities.fact(),
            cni_daemon_set=sets if isinstance(sets, Unknown) else sets.cni,
            cni_pods=read_pods_ if isinstance(read_pods_, Unknown) else read_pods_.cni_pods,
            kube_proxy_ready=sets if isinstance(sets, Unknown) else sets.kube_proxy,
            eni_configs=eni_configs.fact(),
            cni_nodes=cni_nodes.fact(),
            namespaces=namespaces.fact(),
            network_policies=policies.fact(),
            pod_sets=pod_sets_of(policies.fact(), read_pods_),
            node_pools=pools.fact(),
            node_classes=joined_kinds((ec2_classes.fact(), auto_classes.fact())),
            node_claims=claims.fact(),
        )

    return KubernetesReadings(nodes=nodes, pods=pods, daemon_sets=daemon_sets, fact=fact)


# One reader a collection, where it is more than a list


def read_groups(api: ApiServer) -> dict[str, str]:
    """Preferred version by API group: what is installed."""
    return {group["name"]: group["preferredVersion"]["version"] for group in api.json("/apis")["groups"]}


def read_pods(api: ApiServer) -> PodsRead:
    """All pods. Each page is turned into facts before the next is asked for: 150,000 raw pods are a gigabyte."""
    try:
        return _read_pods(api)
    except ApiServerError as error:
        if error.reason != "Expired":
            raise
        return _read_pods(api)


def _read_pods(api: ApiServer) -> PodsRead:
    pods: list[Pod] = []
    cni_pods: list[CniPod] = []
    labels, sets = facts.Labelled(), facts.PodSets()
    for page in api.pages("/api/v1/pods"):
        for item in page:
            pods.append(facts.pod(item))
            labels.add(item["metadata"])
            sets.add(item)
            if facts.is_cni_pod(item):
                cni_pods.append(facts.cni_pod(item))
    return PodsRead(pods=tuple(pods), cni_pods=tuple(cni_pods), labels=labels, sets=sets)


def read_namespaces(api: ApiServer) -> tuple[Namespace, ...]:
    """All namespaces."""
    return tuple(facts.namespace(each) for each in api.every("/api/v1/namespaces"))


def read_network_policies(api: ApiServer) -> tuple[NetworkPolicy, ...]:
    """All NetworkPolicies."""
    return tuple(facts.network_policy(each) for each in api.every("/apis/networking.k8s.io/v1/networkpolicies"))


def pod_sets_of(policies: Fact[tuple[NetworkPolicy, ...]], pods: PodsRead | Unknown | None) -> Fact[tuple[PodSet, ...]]:
    """The pods by what policies see of them; none where there is no policy."""
    if isinstance(policies, Unknown):
        return policies
    if not policies:
        return ()
    return pods.sets.fact() if isinstance(pods, PodsRead) else pods


def read_leases(api: ApiServer) -> tuple[Lease, ...]:
    """The Leases that workloads elect a leader by; those of nodes, as many as there are nodes, are not asked for."""
    found = api.every("/apis/coordination.k8s.io/v1/leases", fieldSelector=f"metadata.namespace!={facts.NODE_LEASES}")
    return tuple(facts.lease(each) for each in found if facts.is_election(each))


def read_events(api: ApiServer) -> tuple[Event, ...]:
    """Events that warn, and what the Cluster Autoscaler says of pending pods."""
    wanted = ["type!=Normal", *(f"type=Normal,reason={reason}" for reason in NORMAL_EVENTS)]
    return tuple(
        facts.event(item) for selector in wanted for item in api.every("/api/v1/events", fieldSelector=selector)
    )


def read_daemon_sets(api: ApiServer) -> DaemonSetsRead:
    """All DaemonSets."""
    found = api.every(WORKLOADS["DaemonSet"])
    system = {each["metadata"]["name"]: each for each in found if each["metadata"]["namespace"] == facts.CNI_NAMESPACE}
    cni, proxy = system.get(facts.CNI_NAME), system.get(facts.KUBE_PROXY)
    return DaemonSetsRead(
        workloads=tuple(facts.workload(each, "DaemonSet") for each in found),
        cni=None if cni is None else facts.cni_daemon_set(cni),
        kube_proxy=None if proxy is None else facts.ready_of_desired(proxy),
    )


def read_custom(
    api: ApiServer, groups: Mapping[str, str], group: str, plural: str, make: Callable[[Object], T]
) -> tuple[T, ...] | None:
    """The objects of a custom resource; ``None``: it is not installed."""
    if group not in groups:
        return None
    try:
        return tuple(make(each) for each in api.every(f"/apis/{group}/{groups[group]}/{plural}"))
    except ApiServerError as error:
        if is_not_found(error):  # the group is there, this kind of it is not
            return None
        raise


def read_cron_jobs(api: ApiServer) -> tuple[CronJob, ...]:
    """All CronJobs."""
    return tuple(facts.cron_job(each) for each in api.every("/apis/batch/v1/cronjobs"))


def read_keda_scalers(api: ApiServer, groups: Mapping[str, str], kind: str) -> tuple[KedaScaler, ...] | None:
    """The ScaledObjects or ScaledJobs of KEDA; ``None``: it is not installed."""
    return read_custom(api, groups, *_keda(kind))


def _keda(kind: str) -> tuple[str, str, Callable[[Object], KedaScaler]]:
    """Group and plural of a kind of KEDA's, and what is made of an object."""
    return "keda.sh", f"{kind.lower()}s", partial(facts.keda_scaler, kind=kind)


def read_workloads(api: ApiServer, *, kind: str) -> tuple[Workload, ...]:
    """The workloads of a kind; Jobs that have not ended."""
    return tuple(
        facts.workload(each, kind)
        for each in api.every(WORKLOADS[kind])
        if kind != "Job" or not facts.is_finished(each)
    )


def _services(
    found: Iterable[Object], pods: PodsRead, endpoints: Fact[Mapping[tuple[str, str], int]]
) -> tuple[Service, ...]:
    return tuple(
        facts.service(
            each,
            pods=pods.labels.select_service(each["metadata"]["namespace"], each["spec"].get("selector")),
            ready_endpoints=endpoints
            if isinstance(endpoints, Unknown)
            else (endpoints or {}).get((each["metadata"]["namespace"], each["metadata"]["name"]), 0),
        )
        for each in found
    )


def _budgets(found: Iterable[Object], pods: PodsRead) -> tuple[DisruptionBudget, ...]:
    return tuple(
        facts.disruption_budget(
            each, pods=pods.labels.select(each["metadata"]["namespace"], each["spec"].get("selector"))
        )
        for each in found
    )


def joined_kinds(kinds: Iterable[Fact[tuple[T, ...]]]) -> Fact[tuple[T, ...]]:
    """Objects of several kinds of custom resources as one; ``None`` where none of the kinds is installed.

    Unknown where one kind is, since half of an answer would pass for all of it.
    """
    every: list[T] = []
    installed = False
    for kind in kinds:
        if isinstance(kind, Unknown):
            return kind
        installed = installed or kind is not None
        every += kind or ()
    return tuple(every) if installed else None


def not_reached(why: str) -> Unknown:
    """For a cluster whose API server nobody can ask."""
    return Unknown(Reason.UNREACHABLE, why)
