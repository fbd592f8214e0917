"""What the API server answers, as facts: the same for raw answers of the API and for `kubectl get … -o json`.

Every function takes one object and raises KeyError, TypeError, AttributeError or ValueError where it lacks what the
API always sends. Labels, annotations and environments stay behind, but for the CNI's known settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from headroom.addresses.problems import ProblemsError
from headroom.capacity.cni_version import CniVersion
from headroom.collect.aws_objects import known_settings
from headroom.collect.redaction import redacted
from headroom.collect.times import utc
from headroom.facts.kubernetes import (
    ENDED,
    Autoscaler,
    CniDaemonSet,
    CniNode,
    CniPod,
    Condition,
    CronJob,
    DisruptionBudget,
    EniConfig,
    Event,
    KarpenterNodeClaim,
    KarpenterNodeClass,
    KarpenterNodePool,
    KedaScaler,
    LabelSelector,
    Lease,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    PodPort,
    PodSet,
    PolicyPeer,
    PolicyPort,
    PolicyRule,
    PriorityClass,
    SelectorRequirement,
    Service,
    Workload,
)
from headroom.facts.values import NOT_COLLECTED, Fact, Reason, Unknown

Object = Mapping[str, Any]

CNI_NAMESPACE = "kube-system"
CNI_NAME = "aws-node"
CNI_LABEL = ("k8s-app", "aws-node")
"""Where the VPC CNI runs, and how its pods are labelled (amazon-vpc-cni-k8s, config/master/aws-k8s-cni.yaml)."""
KUBE_PROXY = "kube-proxy"

_ZONE = "topology.kubernetes.io/zone"
_INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_NODE_GROUPS = ("eks.amazonaws.com/nodegroup", "kubernetes.azure.com/agentpool", "agentpool")
_NODE_POOL = "karpenter.sh/nodepool"
_TEMPLATE_HASH = "pod-template-hash"
NODE_LEASES = "kube-node-lease"
KEDA_KINDS = ("ScaledObject", "ScaledJob")
_CONTROL_PLANE_LEASES = frozenset({"cloud-controller-manager", "kube-controller-manager", "kube-scheduler"})
_API_SERVER_LEASE = "apiserver-"
"""Leases that are no workload's: heartbeats of nodes, components of the control plane, and how the identities of API
servers begin (Kubernetes documentation, architecture/leases)."""
_PAUSED, _PAUSED_REPLICAS = "autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"
_FALSE = frozenset({"0", "f", "false"})
"""What KEDA reads as false; anything that is no boolean counts as true (kedacore/keda, getBoolAnnotation)."""
_SERVICE_NAME = "kubernetes.io/service-name"


def conditions(items: Iterable[Object] | None) -> tuple[Condition, ...]:
    """Status conditions."""
    return tuple(
        Condition(
            type=each["type"],
            status=each["status"],
            reason=each.get("reason") or "",
            message=redacted(each.get("message") or ""),
            since=utc(each.get("lastTransitionTime")),
        )
        for each in items or ()
    )


def node(item: Object) -> Node:
    """A node."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    labels: Mapping[str, str] = metadata.get("labels") or {}
    info: Object = status.get("nodeInfo") or {}
    return Node(
        name=metadata["name"],
        zone=labels.get(_ZONE),
        instance_type=labels.get(_INSTANCE_TYPE),
        instance_id=_instance_id(spec.get("providerID")),
        node_group=next((labels[key] for key in _NODE_GROUPS if key in labels), None),
        node_pool=labels.get(_NODE_POOL),
        internal_ip=next(
            (each["address"] for each in status.get("addresses") or () if each["type"] == "InternalIP"), None
        ),
        max_pods=_quantity(status.get("capacity")),
        allocatable_pods=_quantity(status.get("allocatable")),
        unschedulable=bool(spec.get("unschedulable", False)),
        taints=tuple(f"{each['key']}={each.get('value', '')}:{each['effect']}" for each in spec.get("taints") or ()),
        conditions=conditions(status.get("conditions")),
        created_at=utc(metadata.get("creationTimestamp")),
        kubelet_version=info.get("kubeletVersion"),
        os_image=info.get("osImage"),
        pod_cidr=spec.get("podCIDR"),
    )


def _instance_id(provider_id: str | None) -> str | None:
    """The EC2 instance of `aws:///us-east-1a/i-0123…`; Fargate and other clouds have none."""
    last = (provider_id or "").rpartition("/")[2]
    return last if last.startswith("i-") else None


def _quantity(resources: Object | None) -> int | None:
    value = (resources or {}).get("pods")
    return None if value is None else int(value)


def pod(item: Object) -> Pod:
    """A pod. A ReplicaSet with the pod's own template hash in its name counts as its Deployment."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        node=spec.get("nodeName") or None,
        phase=status.get("phase") or "Unknown",
        ip=status.get("podIP") or None,
        host_network=bool(spec.get("hostNetwork", False)),
        ready=_is_ready(status),
        waiting=_waiting(statuses),
        owner=_owner(metadata),
        priority=spec.get("priority"),
        priority_class=spec.get("priorityClassName") or None,
        created_at=utc(metadata.get("creationTimestamp")),
        terminating="deletionTimestamp" in metadata,
        restarts=sum(each["restartCount"] for each in statuses),
    )


def _is_ready(status: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())


def _waiting(statuses: Iterable[Object]) -> str | None:
    for each in statuses:
        state = each.get("state") or {}
        if "waiting" in state:
            return (state["waiting"] or {}).get("reason") or "Waiting"
    return None


def controller_of(metadata: Object) -> tuple[str, str] | None:
    """Kind and name of the object's controller."""
    for each in metadata.get("ownerReferences") or ():
        if each.get("controller"):
            return each["kind"], each["name"]
    return None


def _owner(metadata: Object) -> str | None:
    found = controller_of(metadata)
    if found is None:
        return None
    kind, name = found
    # The Deployment controller, and nothing else, names a ReplicaSet by its own name and this label's value.
    ending = f"-{(metadata.get('labels') or {}).get(_TEMPLATE_HASH)}"
    if kind == "ReplicaSet" and name.endswith(ending) and len(name) > len(ending):
        return f"Deployment/{name.removesuffix(ending)}"
    return f"{kind}/{name}"


def cni_pod(item: Object) -> CniPod:
    """A pod of aws-node."""
    status = item.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    main: Object = next((each for each in status.get("containerStatuses") or () if each["name"] == CNI_NAME), {})
    container = next((each for each in item["spec"]["containers"] if each["name"] == CNI_NAME), None)
    ended = [code for each in statuses if (code := _exit_code(each)) is not None]
    running = (main.get("state") or {}).get("running") or {}
    return CniPod(
        name=item["metadata"]["name"],
        node=item["spec"].get("nodeName") or None,
        ready=_is_ready(status),
        restarts=sum(each["restartCount"] for each in statuses),
        waiting=_waiting(statuses),
        last_exit_code=next((code for code in ended if code), ended[0] if ended else None),
        image=None if container is None else container.get("image"),
        started_at=utc(running.get("startedAt")),
    )


def _exit_code(status: Object) -> int | None:
    """Exit code of the container's last end; that of an init container that is done is none of interest."""
    for state in (status.get("lastState"), status.get("state")):
        ended = (state or {}).get("terminated")
        if ended and (ended.get("exitCode") or state is status.get("lastState")):
            code: int = ended["exitCode"]
            return code
    return None


def is_cni_pod(item: Object) -> bool:
    """Whether a pod is one of aws-node."""
    metadata = item["metadata"]
    return metadata["namespace"] == CNI_NAMESPACE and (metadata.get("labels") or {}).get(CNI_LABEL[0]) == CNI_LABEL[1]


def event(item: Object) -> Event:
    """An event of core/v1 or of events.k8s.io."""
    about: Object = item.get("involvedObject") or item.get("regarding") or {}
    source: Object = item.get("source") or item.get("deprecatedSource") or {}
    series: Object = item.get("series") or {}
    first = item.get("firstTimestamp") or item.get("deprecatedFirstTimestamp") or item.get("eventTime")
    last = series.get("lastObservedTime") or item.get("lastTimestamp") or item.get("deprecatedLastTimestamp")
    created = item["metadata"].get("creationTimestamp")
    return Event(
        kind=about.get("kind") or "",
        namespace=about.get("namespace") or "",
        name=about.get("name") or "",
        reason=item.get("reason") or "",
        message=redacted(item.get("message") or item.get("note") or ""),
        type=item.get("type") or "Normal",
        count=series.get("count") or item.get("count") or item.get("deprecatedCount") or 1,
        first_seen=utc(first or created),
        last_seen=utc(last or first or created),
        reporter=item.get("reportingComponent") or item.get("reportingController") or source.get("component") or "",
        node=source.get("host") or None,
    )


def workload(item: Object, kind: str) -> Workload:
    """A Deployment, StatefulSet, DaemonSet or Job."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    desired, ready, updating = _scale(kind, metadata, spec, status)
    template = (spec.get("template") or {}).get("spec") or {}
    return Workload(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        desired=desired,
        ready=ready,
        priority_class=template.get("priorityClassName") or None,
        updating=updating,
        owner=None if kind != "Job" or (owner := controller_of(metadata)) is None else "/".join(owner),
    )


def _scale(kind: str, metadata: Object, spec: Object, status: Object) -> tuple[int, int, bool]:
    if kind == "DaemonSet":
        desired = status.get("desiredNumberScheduled", 0)
        return desired, status.get("numberReady", 0), status.get("updatedNumberScheduled", 0) < desired
    if kind == "Job":
        return spec.get("parallelism", 1), status.get("ready", 0), False
    desired = spec.get("replicas", 1)
    behind = status.get("observedGeneration", 0) < metadata.get("generation", 0)
    if kind == "StatefulSet":
        behind = behind or status.get("updateRevision") != status.get("currentRevision")
    else:
        behind = behind or status.get("updatedReplicas", 0) < desired
    return desired, status.get("readyReplicas", 0), behind


def workloads_of(
    by_kind: Mapping[str, tuple[Workload, ...] | Unknown],
) -> tuple[Fact[tuple[Workload, ...]], dict[str, str]]:
    """The workloads of all kinds that could be read, and the other kinds with the reason.

    Unknown where no kind could be read.
    """
    unread = {kind: read for kind, read in sorted(by_kind.items()) if isinstance(read, Unknown)}
    if len(unread) == len(by_kind):
        return next(iter(unread.values()), NOT_COLLECTED), {}
    found = tuple(each for read in by_kind.values() if not isinstance(read, Unknown) for each in read)
    return found, {kind: str(why) for kind, why in unread.items()}


def cron_job(item: Object) -> CronJob:
    """A CronJob."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    template = (job.get("template") or {}).get("spec") or {}
    return CronJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        schedule=spec["schedule"],
        time_zone=spec.get("timeZone") or None,
        suspended=bool(spec.get("suspend", False)),
        concurrency_policy=spec.get("concurrencyPolicy") or "Allow",
        parallelism=job.get("parallelism", 1),
        active=len(status.get("active") or ()),
        last_scheduled=utc(status.get("lastScheduleTime")),
        last_successful=utc(status.get("lastSuccessfulTime")),
        priority_class=template.get("priorityClassName") or None,
    )


def is_election(item: Object) -> bool:
    """Whether a Lease is one that workloads elect a leader by: no node's heartbeat, and none of the control plane.

    Source: Kubernetes documentation, architecture/leases.
    """
    metadata = item["metadata"]
    namespace, name = str(metadata["namespace"]), str(metadata["name"])
    if namespace != CNI_NAMESPACE:
        return namespace != NODE_LEASES
    return name not in _CONTROL_PLANE_LEASES and not name.startswith(_API_SERVER_LEASE)


def lease(item: Object) -> Lease:
    """A Lease."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    return Lease(
        namespace=metadata["namespace"],
        name=metadata["name"],
        holder=redacted(spec.get("holderIdentity") or "") or None,
        duration_seconds=spec.get("leaseDurationSeconds"),
        renewed_at=utc(spec.get("renewTime")),
    )


def keda_scaler(item: Object, kind: str) -> KedaScaler:
    """A ScaledObject or ScaledJob.

    Source: kedacore/keda, apis/keda/v1alpha1: annotations, and a target without a kind is a Deployment.
    """
    metadata, spec = item["metadata"], item.get("spec") or {}
    annotations, target = metadata.get("annotations") or {}, spec.get("scaleTargetRef") or {}
    kept = str(annotations.get(_PAUSED_REPLICAS, ""))
    paused = str(annotations.get(_PAUSED, "false")).lower() not in _FALSE
    return KedaScaler(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        target=f"{target.get('kind') or 'Deployment'}/{target['name']}" if target else None,
        triggers=tuple(str(each["type"]) for each in spec.get("triggers") or ()),
        paused=paused or (kind == "ScaledObject" and bool(kept)),
        paused_replicas=int(kept) if kind == "ScaledObject" and kept.isdecimal() else None,
    )


def is_finished(job: Object) -> bool:
    """Whether a Job has ended, well or not."""
    return any(
        each["type"] in ("Complete", "Failed") and each["status"] == "True"
        for each in (job.get("status") or {}).get("conditions") or ()
    )


def cni_daemon_set(item: Object) -> CniDaemonSet:
    """The DaemonSet aws-node."""
    metadata, status = item["metadata"], item.get("status") or {}
    containers = item["spec"]["template"]["spec"]["containers"]
    container = next((each for each in containers if each["name"] == CNI_NAME), None)
    if container is None:
        wrong = Unknown(Reason.UNPARSEABLE, "the DaemonSet has no container aws-node")
        image: Fact[str] = wrong
        version: Fact[str] = wrong
        environment: Fact[Mapping[str, str]] = wrong
    else:
        image = container["image"]
        version = version_of(container["image"])
        environment = known_settings(
            (each["name"], each.get("value", "")) for each in container.get("env") or () if "valueFrom" not in each
        )
    return CniDaemonSet(
        image=image,
        version=version,
        environment=environment,
        desired=status.get("desiredNumberScheduled", 0),
        ready=status.get("numberReady", 0),
        updated=status.get("updatedNumberScheduled", 0),
        generation=metadata.get("generation", NOT_COLLECTED),
        managers=managers(metadata["managedFields"])
        if metadata.get("managedFields")
        else Unknown(Reason.NOT_COLLECTED, "without managedFields (kubectl: --show-managed-fields)"),
    )


def ready_of_desired(daemon_set: Object) -> tuple[int, int]:
    """Pods of a DaemonSet that are ready, and that should be."""
    status = daemon_set.get("status") or {}
    return status.get("numberReady", 0), status.get("desiredNumberScheduled", 0)


def version_of(image: str) -> Fact[str]:
    """The version that an image's tag names; unknown for a digest, or a tag of somebody's own."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    try:
        return str(CniVersion.parse(tag))
    except ProblemsError:
        return Unknown(Reason.UNPARSEABLE, f"the image's tag {tag!r} names no version")


def managers(managed_fields: Iterable[Object]) -> dict[str, str]:
    """Field managers of the CNI's settings, by setting (metadata.managedFields, FieldsV1)."""
    path = ("f:spec", "f:template", "f:spec", "f:containers", f'k:{{"name":"{CNI_NAME}"}}', "f:env")
    found: list[tuple[str, str]] = []
    for entry in managed_fields:
        fields: Object = entry.get("fieldsV1") or {}
        for step in path:
            fields = fields.get(step) or {}
        prefix = 'k:{"name":"'
        found += [
            (key.removeprefix(prefix).removesuffix('"}'), entry.get("manager") or "")
            for key, below in fields.items()
            if key.startswith(prefix) and "f:value" in (below or {})
        ]
    return known_settings(found)


def service(item: Object, *, pods: Sequence[str], ready_endpoints: Fact[int]) -> Service:
    """A Service; see ``select`` and ``ready_endpoints``."""
    return Service(
        namespace=item["metadata"]["namespace"],
        name=item["metadata"]["name"],
        type=item["spec"].get("type") or "ClusterIP",
        pods=tuple(pods),
        ready_endpoints=ready_endpoints,
    )


def ready_endpoints(slices: Iterable[Object]) -> dict[tuple[str, str], int]:
    """Ready endpoints by Service, as (namespace, name).

    A Service's slices repeat an endpoint for each address family, and where its ports differ from pod to pod.
    """
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for item in slices:
        name = (item["metadata"].get("labels") or {}).get(_SERVICE_NAME)
        if name is None:
            continue
        families = found.setdefault((item["metadata"]["namespace"], name), {})
        ready = families.setdefault(item["addressType"], set())
        ready.update(
            each["addresses"][0]
            for each in item.get("endpoints") or ()
            # An endpoint that does not say is to be taken for ready (API reference, EndpointConditions).
            if (each.get("conditions") or {}).get("ready") is not False
        )
    return {service: max(map(len, families.values())) for service, families in found.items()}


def disruption_budget(item: Object, *, pods: Sequence[str]) -> DisruptionBudget:
    """A PodDisruptionBudget."""
    status = item.get("status") or {}
    return DisruptionBudget(
        namespace=item["metadata"]["namespace"],
        name=item["metadata"]["name"],
        pods=tuple(pods),
        desired_healthy=status.get("desiredHealthy", 0),
        current_healthy=status.get("currentHealthy", 0),
        disruptions_allowed=status.get("disruptionsAllowed", 0),
    )


def autoscaler(item: Object) -> Autoscaler:
    """A HorizontalPodAutoscaler of autoscaling/v2."""
    spec, status = item["spec"], item.get("status") or {}
    return Autoscaler(
        namespace=item["metadata"]["namespace"],
        name=item["metadata"]["name"],
        target=f"{spec['scaleTargetRef']['kind']}/{spec['scaleTargetRef']['name']}",
        minimum=spec.get("minReplicas", 1),
        maximum=spec["maxReplicas"],
        current=status.get("currentReplicas", 0),
        desired=status.get("desiredReplicas", 0),
        conditions=conditions(status.get("conditions")),
    )


def priority_class(item: Object) -> PriorityClass:
    """A PriorityClass."""
    return PriorityClass(
        name=item["metadata"]["name"], value=item["value"], default=bool(item.get("globalDefault", False))
    )


def eni_config(item: Object) -> EniConfig:
    """An ENIConfig."""
    spec = item.get("spec") or {}
    return EniConfig(
        name=item["metadata"]["name"],
        subnet_id=spec.get("subnet"),
        security_group_ids=tuple(spec.get("securityGroups") or ()),
    )


def cni_node(item: Object) -> CniNode:
    """A CNINode."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    trunk: Object = status.get("trunkInterface") or {}
    return CniNode(
        name=item["metadata"]["name"],
        features={each["name"]: each.get("value") or "" for each in spec.get("features") or ()},
        managed_by=spec.get("managedBy") or None,
        trunk_interface=trunk.get("id"),
        branch_interfaces=tuple(each["id"] for each in trunk.get("branches") or ()),
    )


def node_pool(item: Object) -> KarpenterNodePool:
    """A NodePool of Karpenter or of EKS Auto Mode."""
    spec = item.get("spec") or {}
    template = (spec.get("template") or {}).get("spec") or {}
    limits = spec.get("limits")
    return KarpenterNodePool(
        name=item["metadata"]["name"],
        node_class=(template.get("nodeClassRef") or {}).get("name"),
        limits=None if limits is None else {name: str(value) for name, value in sorted(limits.items())},
        conditions=conditions((item.get("status") or {}).get("conditions")),
    )


def node_class(item: Object, kind: str) -> KarpenterNodeClass:
    """An EC2NodeClass, or a NodeClass of EKS Auto Mode."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    subnets = status.get("subnets")
    return KarpenterNodeClass(
        name=item["metadata"]["name"],
        kind=kind,
        subnet_ids=NOT_COLLECTED if subnets is None else tuple(each["id"] for each in subnets),
        pod_subnet_selector=bool(spec.get("podSubnetSelectorTerms")),
        max_pods=(spec.get("kubelet") or {}).get("maxPods"),
        conditions=conditions(status.get("conditions")),
    )


def node_claim(item: Object) -> KarpenterNodeClaim:
    """A NodeClaim."""
    metadata, status = item["metadata"], item.get("status") or {}
    return KarpenterNodeClaim(
        name=metadata["name"],
        node_pool=(metadata.get("labels") or {}).get(_NODE_POOL),
        node=status.get("nodeName") or None,
        conditions=conditions(status.get("conditions")),
        created_at=utc(metadata.get("creationTimestamp")),
    )


# Network policies


def namespace(item: Object) -> Namespace:
    """A namespace."""
    return Namespace(name=item["metadata"]["name"], labels=dict(item["metadata"].get("labels") or {}))


def network_policy(item: Object) -> NetworkPolicy:
    """A NetworkPolicy. The API server fills in policyTypes; a file may lack them (API reference, NetworkPolicySpec)."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    egress = spec.get("egress") or ()
    return NetworkPolicy(
        namespace=metadata["namespace"],
        name=metadata["name"],
        pods=_selector(spec.get("podSelector") or {}),
        types=tuple(spec.get("policyTypes") or (("Ingress", "Egress") if egress else ("Ingress",))),
        ingress=tuple(_policy_rule(each, "from") for each in spec.get("ingress") or ()),
        egress=tuple(_policy_rule(each, "to") for each in egress),
    )


def _policy_rule(item: Object, peers: str) -> PolicyRule:
    return PolicyRule(
        peers=tuple(_policy_peer(each) for each in item.get(peers) or ()),
        ports=tuple(_policy_port(each) for each in item.get("ports") or ()),
    )


def _policy_peer(item: Object) -> PolicyPeer:
    block = item.get("ipBlock")
    pods, namespaces = item.get("podSelector"), item.get("namespaceSelector")
    if block is None and pods is None and namespaces is None:
        message = "a peer of a NetworkPolicy names nobody"
        raise ValueError(message)
    return PolicyPeer(
        pods=None if pods is None else _selector(pods),
        namespaces=None if namespaces is None else _selector(namespaces),
        block=None if block is None else _block(block["cidr"]),
        excepted=() if block is None else tuple(_block(each) for each in block.get("except") or ()),
    )


def _block(text: str) -> str:
    """A CIDR without the host bits that the API server lets pass."""
    return str(ip_network(text, strict=False))


def _policy_port(item: Object) -> PolicyPort:
    port: int | str | None = item.get("port")
    return PolicyPort(
        protocol=item.get("protocol") or "TCP",
        port=None if isinstance(port, str) else port,
        name=port if isinstance(port, str) else "",
        end_port=item.get("endPort"),
    )


def _selector(item: Object) -> LabelSelector:
    return LabelSelector(
        labels=dict(item.get("matchLabels") or {}),
        expressions=tuple(
            SelectorRequirement(key=each["key"], operator=each["operator"], values=tuple(each.get("values") or ()))
            for each in item.get("matchExpressions") or ()
        ),
    )


class PodSets:
    """Pods by namespace, labels, ports and whether they have their node's address: all that a policy looks at."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, frozenset[tuple[str, str]], tuple[PodPort, ...], bool], list[str]] = {}

    def add(self, item: Object) -> None:
        """Takes a pod in, unless it has ended."""
        if (item.get("status") or {}).get("phase") in ENDED:
            return
        metadata, spec = item["metadata"], item["spec"]
        labels = frozenset((metadata.get("labels") or {}).items())
        key = (metadata["namespace"], labels, _ports(spec), bool(spec.get("hostNetwork", False)))
        self._names.setdefault(key, []).append(metadata["name"])

    def fact(self) -> tuple[PodSet, ...]:
        """The sets, by namespace and first pod."""
        found = (
            PodSet(
                namespace=namespace,
                labels=dict(sorted(labels)),
                ports=ports,
                host_network=host_network,
                pods=tuple(sorted(names)),
            )
            for (namespace, labels, ports, host_network), names in self._names.items()
        )
        return tuple(sorted(found, key=lambda each: (each.namespace, each.pods)))


def _ports(spec: Object) -> tuple[PodPort, ...]:
    """The ports of a pod's containers, sidecars among them, with those that readiness probes ask."""
    found: list[PodPort] = []
    lasting = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in (*lasting, *spec["containers"]):
        asked = _readiness_port(container)
        declared = container.get("ports") or ()
        for each in declared:
            name = each.get("name") or ""
            number, protocol = each["containerPort"], each.get("protocol") or "TCP"
            checked = protocol == "TCP" and asked in (number, name) and asked is not None
            found.append(PodPort(port=number, name=name, protocol=protocol, checked=checked))
        if isinstance(asked, int) and not any(each.port == asked and each.protocol == "TCP" for each in found):
            found.append(PodPort(port=asked, checked=True))
    return tuple(found)


def _readiness_port(container: Object) -> int | str | None:
    """The port of the pod that a container's readiness probe connects to."""
    probe: Object = container.get("readinessProbe") or {}
    for way in ("httpGet", "tcpSocket", "grpc"):
        asked = probe.get(way)
        if asked is not None and not asked.get("host"):  # another host is not this pod
            port: int | str = asked["port"]
            return port
    return None


# What a selector picks


class Labelled:
    """Names of pods by namespace and labels: what a selector picks, without keeping 150,000 sets of labels.

    Pods of one workload have equal labels, so there are far fewer sets of labels than pods.
    """

    def __init__(self) -> None:
        self._names: dict[str, dict[frozenset[tuple[str, str]], list[str]]] = {}

    def add(self, metadata: Object) -> None:
        """Takes a pod in."""
        labels = frozenset((metadata.get("labels") or {}).items())
        self._names.setdefault(metadata["namespace"], {}).setdefault(labels, []).append(metadata["name"])

    def select(self, namespace: str, selector: Object | None) -> tuple[str, ...]:
        """The pods of a namespace that a label selector (matchLabels, matchExpressions) picks; all for an empty one.

        Raises:
            ValueError: It has an operator that Kubernetes does not know.
        """
        if selector is None:
            return ()
        wanted = set((selector.get("matchLabels") or {}).items())
        expressions = selector.get("matchExpressions") or ()
        found = [
            name
            for labels, names in self._names.get(namespace, {}).items()
            if wanted <= labels and (not expressions or all(_holds(each, dict(labels)) for each in expressions))
            for name in names
        ]
        return tuple(sorted(found))

    def select_service(self, namespace: str, selector: Mapping[str, str] | None) -> tuple[str, ...]:
        """The pods that a Service's selector picks; none for a Service without one."""
        return self.select(namespace, {"matchLabels": selector}) if selector else ()


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    """Whether a requirement holds (API reference, LabelSelectorRequirement)."""
    operator, key, values = expression["operator"], expression["key"], expression.get("values") or ()
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    message = f"{operator!r} is no operator of a label selector"
    raise ValueError(message)
