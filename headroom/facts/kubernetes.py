"""What the API server says: nodes, pods, events, workloads, the CNI's DaemonSet, autoscalers, disruption budgets.

Names are Kubernetes' own; times are ISO 8601 in UTC; an object of a namespace is named by `namespace` and `name`.
Labels and annotations stay where they are: what a selector picks is worked out when it is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from headroom.facts.forms import (
    AnyAddress,
    AnyCidr,
    ConcurrencyPolicy,
    ConditionStatus,
    Pair,
    PodPhase,
    Pods,
    PolicyType,
    Port,
    Protocol,
    SelectorOperator,
    Signed,
    Time,
)
from headroom.facts.values import NOT_COLLECTED, Fact

ENDED: Final = frozenset({"Succeeded", "Failed"})
"""Phases of pods that have given their address back and that maxPods does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A status condition of any object.

    Attributes:
        type: Ready, Launched, ScalingLimited, …
        status: True, False or Unknown.
        reason: The machine-readable reason.
        message: The text for people.
        since: Last transition.
    """

    type: str
    status: ConditionStatus
    reason: str = ""
    message: str = ""
    since: Fact[Time] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node.

    Attributes:
        name: Its name.
        zone: Label topology.kubernetes.io/zone.
        instance_type: Label node.kubernetes.io/instance-type.
        instance_id: From spec.providerID.
        node_group: Label eks.amazonaws.com/nodegroup (EKS), agentpool (AKS).
        node_pool: Label karpenter.sh/nodepool.
        internal_ip: Its InternalIP.
        max_pods: status.capacity.pods.
        allocatable_pods: status.allocatable.pods.
        unschedulable: Whether it is cordoned.
        taints: Its taints as key=value:effect.
        conditions: Its conditions.
        created_at: When it joined.
        kubelet_version: The kubelet's version.
        os_image: status.nodeInfo.osImage.
        pod_cidr: spec.podCIDR: its block of pod addresses; ``None``: it was given none.
    """

    name: str
    zone: Fact[str] = NOT_COLLECTED
    instance_type: Fact[str] = NOT_COLLECTED
    instance_id: Fact[str] = NOT_COLLECTED
    node_group: Fact[str] = NOT_COLLECTED
    node_pool: Fact[str] = NOT_COLLECTED
    internal_ip: Fact[AnyAddress] = NOT_COLLECTED
    max_pods: Fact[Pods] = NOT_COLLECTED
    allocatable_pods: Fact[Pods] = NOT_COLLECTED
    unschedulable: Fact[bool] = NOT_COLLECTED
    taints: Fact[tuple[str, ...]] = NOT_COLLECTED
    conditions: Fact[tuple[Condition, ...]] = NOT_COLLECTED
    created_at: Fact[Time] = NOT_COLLECTED
    kubelet_version: Fact[str] = NOT_COLLECTED
    os_image: Fact[str] = NOT_COLLECTED
    pod_cidr: Fact[AnyCidr] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        node: Where it was scheduled; ``None``: nowhere yet.
        phase: Pending, Running, Succeeded, Failed or Unknown.
        ip: Its address; ``None``: it has none yet.
        host_network: Whether it uses the node's address.
        ready: Whether its Ready condition is True.
        waiting: The reason why its first waiting container waits (ContainerCreating, ImagePullBackOff, …).
        owner: The workload that it belongs to, as Kind/name (a ReplicaSet counts as its Deployment).
        priority: Its priority, as a number.
        priority_class: The class that it came from.
        created_at: When it was made.
        terminating: Whether it is being deleted.
        restarts: Restarts of all its containers.
    """

    namespace: str
    name: str
    node: Fact[str] = None
    phase: PodPhase = "Unknown"
    ip: Fact[AnyAddress] = None
    host_network: bool = False
    ready: bool = False
    waiting: Fact[str] = None
    owner: Fact[str] = None
    priority: Fact[Signed] = None
    priority_class: Fact[str] = None
    created_at: Fact[Time] = NOT_COLLECTED
    terminating: bool = False
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event, repeated ones counted.

    Attributes:
        kind: Kind of the object that it is about.
        namespace: Its namespace; empty for a node.
        name: Its name.
        reason: FailedCreatePodSandBox, FailedScheduling, …
        message: Its text.
        type: Normal or Warning.
        count: How many times.
        first_seen: When first.
        last_seen: When last.
        reporter: The component that reported it, such as kubelet or aws-node.
        node: The host that reported it, where the component names one.
    """

    kind: str
    namespace: str
    name: str
    reason: str
    message: str = ""
    type: str = "Warning"
    count: int = 1
    first_seen: Fact[Time] = NOT_COLLECTED
    last_seen: Fact[Time] = NOT_COLLECTED
    reporter: str = ""
    node: Fact[str] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment, StatefulSet, DaemonSet, or Job that has not ended.

    Attributes:
        kind: Its kind.
        namespace: Its namespace.
        name: Its name.
        desired: Replicas wanted.
        ready: Replicas ready.
        priority_class: Of its pod template; ``None``: the default.
        updating: Whether its newest template is not yet everywhere.
        owner: What made it, as Kind/name: the CronJob of a Job.
    """

    kind: str
    namespace: str
    name: str
    desired: Fact[Pods] = NOT_COLLECTED
    ready: Fact[Pods] = NOT_COLLECTED
    priority_class: Fact[str] = None
    updating: bool = False
    owner: Fact[str] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CronJob:
    """A CronJob; its runs that have not ended are Jobs among the workloads.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        schedule: spec.schedule, in cron's words.
        time_zone: spec.timeZone; ``None``: that of the controller manager.
        suspended: Whether it starts no further run.
        concurrency_policy: Allow, Forbid (while a run lasts no further one starts) or Replace.
        parallelism: Pods of a run.
        active: Runs that have not ended.
        last_scheduled: When the last run was started.
        last_successful: When a run last succeeded.
        priority_class: Of its pod template; ``None``: the default.
    """

    namespace: str
    name: str
    schedule: str
    time_zone: Fact[str] = None
    suspended: bool = False
    concurrency_policy: ConcurrencyPolicy = "Allow"
    parallelism: Fact[Pods] = NOT_COLLECTED
    active: Fact[Pods] = NOT_COLLECTED
    last_scheduled: Fact[Time] = None
    last_successful: Fact[Time] = None
    priority_class: Fact[str] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A Lease by which processes elect a leader; those of nodes and of the control plane are left out.

    Source: Kubernetes API reference, coordination.k8s.io/v1 LeaseSpec.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        holder: spec.holderIdentity, as the leader calls itself; ``None``: nobody holds it, or it was given up.
        duration_seconds: spec.leaseDurationSeconds: how long others wait for a renewal before they take it.
        renewed_at: When the holder last renewed it.
    """

    namespace: str
    name: str
    holder: Fact[str] = None
    duration_seconds: Fact[int] = None
    renewed_at: Fact[Time] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaScaler:
    """A ScaledObject or ScaledJob of KEDA: it starts pods when work waits somewhere, whichever way requests go.

    Source: KEDA documentation, scaling-deployments and scaling-jobs.

    Attributes:
        kind: ScaledObject or ScaledJob.
        namespace: Its namespace.
        name: Its name.
        target: What a ScaledObject scales, as Kind/name; ``None`` for a ScaledJob, which starts Jobs of its own.
        triggers: Types of its triggers: where it looks for work.
        paused: Whether an annotation stops it: a ScaledJob starts no further Job, a ScaledObject changes no number.
        paused_replicas: How many pods a paused ScaledObject leaves its target; ``None``: as many as there were.
    """

    kind: str
    namespace: str
    name: str
    target: Fact[str] = None
    triggers: tuple[str, ...] = ()
    paused: bool = False
    paused_replicas: Fact[Pods] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service and who stands behind it.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        type: ClusterIP, NodePort, LoadBalancer or ExternalName.
        pods: Names of the pods that its selector picks.
        ready_endpoints: Endpoints that are ready (EndpointSlices).
    """

    namespace: str
    name: str
    type: str = "ClusterIP"
    pods: tuple[str, ...] = ()
    ready_endpoints: Fact[Pods] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionBudget:
    """A PodDisruptionBudget and the pods that it covers."""

    namespace: str
    name: str
    pods: tuple[str, ...] = ()
    desired_healthy: Fact[Pods] = NOT_COLLECTED
    current_healthy: Fact[Pods] = NOT_COLLECTED
    disruptions_allowed: Fact[Pods] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        target: What it scales, as Kind/name.
        minimum: Fewest replicas.
        maximum: Most replicas.
        current: Replicas now.
        desired: Replicas that it wants.
        conditions: Its conditions.
    """

    namespace: str
    name: str
    target: str
    minimum: Fact[Pods] = NOT_COLLECTED
    maximum: Fact[Pods] = NOT_COLLECTED
    current: Fact[Pods] = NOT_COLLECTED
    desired: Fact[Pods] = NOT_COLLECTED
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityClass:
    """A PriorityClass."""

    name: str
    value: Signed
    default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CniPod:
    """A pod of aws-node.

    Attributes:
        name: Its name.
        node: Its node.
        ready: Whether it is ready.
        restarts: Restarts of its containers.
        waiting: Why a container waits (CrashLoopBackOff, ImagePullBackOff, …).
        last_exit_code: Exit code of the last container that ended.
        image: Image of its main container.
        started_at: When its main container started.
    """

    name: str
    node: Fact[str]
    ready: bool = False
    restarts: int = 0
    waiting: Fact[str] = None
    last_exit_code: Fact[Signed] = None
    image: Fact[str] = NOT_COLLECTED
    started_at: Fact[Time] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CniDaemonSet:
    """The DaemonSet aws-node.

    Attributes:
        image: Image of the container aws-node.
        version: Its tag, as a version.
        environment: The known CNI settings that it sets; nothing else of its environment is kept.
        desired: Nodes that should run it.
        ready: Nodes where it is ready.
        updated: Nodes that run the newest template.
        generation: metadata.generation: it changes with every change of the template.
        managers: Field managers of its settings, by setting.
    """

    image: Fact[str] = NOT_COLLECTED
    version: Fact[str] = NOT_COLLECTED
    environment: Fact[Mapping[str, str]] = NOT_COLLECTED
    desired: Fact[Pods] = NOT_COLLECTED
    ready: Fact[Pods] = NOT_COLLECTED
    updated: Fact[Pods] = NOT_COLLECTED
    generation: Fact[int] = NOT_COLLECTED
    managers: Fact[Mapping[str, str]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class EniConfig:
    """An ENIConfig of custom networking."""

    name: str
    subnet_id: Fact[str] = NOT_COLLECTED
    security_group_ids: Fact[tuple[str, ...]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CniNode:
    """A CNINode: what the VPC resource controller, or EKS Auto Mode, does for a node.

    Source: amazon-vpc-resource-controller-k8s, config/crd/bases/vpcresources.k8s.aws_cninodes.yaml.

    Attributes:
        name: The node's name.
        features: What the node asks for, with its value or an empty text: SecurityGroupsForPods; CustomNetworking
            with the ENIConfig's name.
        managed_by: vpc-resource-controller or eks-auto-mode; ``None``: the former, which once did not say so.
        trunk_interface: Id of the node's trunk interface; ``None``: it has none, or an older controller.
        branch_interfaces: Ids of the branch interfaces on it.
    """

    name: str
    features: Fact[Mapping[str, str]] = NOT_COLLECTED
    managed_by: Fact[str] = None
    trunk_interface: Fact[str] = None
    branch_interfaces: Fact[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A namespace and its labels: what a namespaceSelector picks it by."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorRequirement:
    """One of a label selector's matchExpressions."""

    key: str
    operator: SelectorOperator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """A label selector: all of it must hold, so an empty one picks everything.

    Attributes:
        labels: matchLabels.
        expressions: matchExpressions.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    expressions: tuple[SelectorRequirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPort:
    """A port of a NetworkPolicy's rule.

    Attributes:
        protocol: TCP, UDP or SCTP.
        port: Its number; ``None``: it is named, or every port of the protocol is meant.
        name: Its name, looked up among the container ports of the pod that the connection goes to.
        end_port: The last port of a range that begins with `port`.
    """

    protocol: Protocol = "TCP"
    port: Port | None = None
    name: str = ""
    end_port: Port | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPeer:
    """Whom a rule of a NetworkPolicy speaks of: a block, or pods by one selector or both together.

    Attributes:
        pods: podSelector; ``None``: not given.
        namespaces: namespaceSelector; ``None``: not given, so the policy's own namespace is meant.
        block: ipBlock's CIDR, host bits cut off.
        excepted: ipBlock's except.
    """

    pods: LabelSelector | None = None
    namespaces: LabelSelector | None = None
    block: AnyCidr | None = None
    excepted: tuple[AnyCidr, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """A rule of a NetworkPolicy: any of the peers, at any of the ports.

    Attributes:
        peers: from or to; empty: everybody.
        ports: Ports; empty: every one.
    """

    peers: tuple[PolicyPeer, ...] = ()
    ports: tuple[PolicyPort, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """A NetworkPolicy of networking.k8s.io/v1.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        pods: The pods of its namespace that it is about.
        types: policyTypes; the directions in which it isolates them.
        ingress: Its rules for connections to them.
        egress: Its rules for connections from them.
    """

    namespace: str
    name: str
    pods: LabelSelector = field(default_factory=LabelSelector)
    types: tuple[PolicyType, ...] = ("Ingress",)
    ingress: tuple[PolicyRule, ...] = ()
    egress: tuple[PolicyRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPort:
    """A port of a pod's containers.

    Attributes:
        port: Its number.
        name: Its name; empty: it has none.
        protocol: TCP, UDP or SCTP.
        checked: Whether a readiness probe connects to it, so that a ready pod is known to listen there.
    """

    port: Port
    name: str = ""
    protocol: Protocol = "TCP"
    checked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSet:
    """Pods of one namespace that no NetworkPolicy can tell apart: equal labels, equal ports.

    Attributes:
        namespace: Their namespace.
        labels: Their labels.
        ports: Ports that their containers declare, or their readiness probes ask.
        host_network: Whether they use their node's address.
        pods: Their names; those that have ended are left out.
    """

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PodPort, ...] = ()
    host_network: bool = False
    pods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KarpenterNodePool:
    """A NodePool of Karpenter.

    Attributes:
        name: Its name.
        node_class: The EC2NodeClass that it uses (or NodeClass of EKS Auto Mode).
        limits: spec.limits, as written.
        conditions: Its conditions.
    """

    name: str
    node_class: Fact[str] = NOT_COLLECTED
    limits: Mapping[str, str] | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KarpenterNodeClass:
    """An EC2NodeClass of Karpenter, or a NodeClass of EKS Auto Mode.

    Attributes:
        name: Its name.
        kind: EC2NodeClass or NodeClass.
        subnet_ids: The subnets that its selector found (status.subnets).
        pod_subnet_selector: Whether podSubnetSelectorTerms are set (Auto Mode).
        max_pods: spec.kubelet.maxPods.
        conditions: Its conditions.
    """

    name: str
    kind: str = "EC2NodeClass"
    subnet_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    pod_subnet_selector: bool = False
    max_pods: Fact[Pods] = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KarpenterNodeClaim:
    """A NodeClaim: a node that Karpenter wants.

    Attributes:
        name: Its name.
        node_pool: Its NodePool.
        node: The node that came of it; ``None``: none yet.
        conditions: Its conditions (Launched, Registered, Initialized, …).
        created_at: When it was made.
    """

    name: str
    node_pool: Fact[str] = NOT_COLLECTED
    node: Fact[str] = None
    conditions: tuple[Condition, ...] = ()
    created_at: Fact[Time] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """Everything read from the API server. ``None`` for a custom resource: it is not installed.

    Attributes:
        version: The API server's version.
        workloads: Those of every kind that could be read.
        unread_workloads: Kinds of workloads that could not be, with the reason in words.
        leases: Leases by which a leader is elected, but for those of nodes and of the control plane.
        keda_scalers: ScaledObjects and ScaledJobs of KEDA.
        cni_daemon_set: The DaemonSet aws-node; ``None``: there is none.
        cni_pods: Its pods.
        kube_proxy_ready: kube-proxy's pods that are ready and that should be, as (ready, desired).
        pod_sets: Pods by labels and ports; empty where there is no NetworkPolicy, since nothing else asks for them.
    """

    version: Fact[str] = NOT_COLLECTED
    nodes: Fact[tuple[Node, ...]] = NOT_COLLECTED
    pods: Fact[tuple[Pod, ...]] = NOT_COLLECTED
    events: Fact[tuple[Event, ...]] = NOT_COLLECTED
    workloads: Fact[tuple[Workload, ...]] = NOT_COLLECTED
    unread_workloads: Mapping[str, str] = field(default_factory=dict)
    cron_jobs: Fact[tuple[CronJob, ...]] = NOT_COLLECTED
    leases: Fact[tuple[Lease, ...]] = NOT_COLLECTED
    keda_scalers: Fact[tuple[KedaScaler, ...]] = NOT_COLLECTED
    services: Fact[tuple[Service, ...]] = NOT_COLLECTED
    disruption_budgets: Fact[tuple[DisruptionBudget, ...]] = NOT_COLLECTED
    autoscalers: Fact[tuple[Autoscaler, ...]] = NOT_COLLECTED
    priority_classes: Fact[tuple[PriorityClass, ...]] = NOT_COLLECTED
    cni_daemon_set: Fact[CniDaemonSet] = NOT_COLLECTED
    cni_pods: Fact[tuple[CniPod, ...]] = NOT_COLLECTED
    kube_proxy_ready: Fact[Pair] = NOT_COLLECTED
    eni_configs: Fact[tuple[EniConfig, ...]] = NOT_COLLECTED
    cni_nodes: Fact[tuple[CniNode, ...]] = NOT_COLLECTED
    namespaces: Fact[tuple[Namespace, ...]] = NOT_COLLECTED
    network_policies: Fact[tuple[NetworkPolicy, ...]] = NOT_COLLECTED
    pod_sets: Fact[tuple[PodSet, ...]] = NOT_COLLECTED
    node_pools: Fact[tuple[KarpenterNodePool, ...]] = NOT_COLLECTED
    node_classes: Fact[tuple[KarpenterNodeClass, ...]] = NOT_COLLECTED
    node_claims: Fact[tuple[KarpenterNodeClaim, ...]] = NOT_COLLECTED
