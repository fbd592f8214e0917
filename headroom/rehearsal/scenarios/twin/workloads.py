"""The copy's half of Kubernetes: nodes, pods under their own names, and the controllers that take them for theirs.

Pods come first, as orphans; the controllers that are made after them adopt those that their selectors pick
(Kubernetes documentation, garbage collection, owner references), and so make none of their own.
"""

import hashlib
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from headroom.facts.kubernetes import Condition, Node, Pod
from headroom.facts.values import items, known, known_or
from headroom.rehearsal.kube import (
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    ApiError,
    Kube,
    Object,
    Resource,
)
from headroom.rehearsal.nodes import KUBELET_PORT, MISSING_IMAGE
from headroom.rehearsal.scenarios.shape import daemon_set, wait_for
from headroom.rehearsal.scenarios.twin.original import Original, key_of

STATEFUL_SETS: Final = Resource(group_version="apps/v1", plural="statefulsets", kind="StatefulSet")
REVISIONS: Final = Resource(group_version="apps/v1", plural="controllerrevisions", kind="ControllerRevision")
JOBS: Final = Resource(group_version="batch/v1", plural="jobs", kind="Job")
PRIORITIES: Final = Resource(
    group_version="scheduling.k8s.io/v1", plural="priorityclasses", kind="PriorityClass", namespaced=False
)
BUDGETS: Final = Resource(group_version="policy/v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget")

DEFINITIONS: Final = Resource(
    group_version="apiextensions.k8s.io/v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)
ENI_CONFIGS: Final = Resource(
    group_version="crd.k8s.amazonaws.com/v1alpha1", plural="eniconfigs", kind="ENIConfig", namespaced=False
)

OWNER: Final = "twin.headroom/owner"
"""Label that says which workload a pod belongs to, in the place of the labels that a snapshot does not keep."""
NO_CONTROLLER: Final = "twin.headroom/none"
"""`managedBy` of a Job whose pods nobody is to replace."""
HASH: Final = "pod-template-hash"
REVISION: Final = "controller-revision-hash"

WRITERS: Final = 8
SEEN_SECONDS: Final = 2.0
"""Time for the controllers' caches to hold a pod that the API server has answered for."""
HUGE_CPU: Final = "1000"
"""What a pod asks that no node could take for want of CPU or memory."""
_IMAGE_FAILURES = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_ORDINAL = re.compile(r"-\d+$")

_DEFAULT_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_SYSTEM_PRIORITIES = "system-"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """A workload of the original, with its pods."""

    kind: str
    namespace: str
    name: str
    pods: tuple[Pod, ...] = ()

    @property
    def label(self) -> str:
        """Its value of the label OWNER."""
        return _digest(f"{self.kind}/{self.namespace}/{self.name}")


@dataclass(slots=True)
class _Builder:
    kube: Kube
    original: Original
    pool: ThreadPoolExecutor
    labels: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Labels beside the owner's, by pod."""

    def each(self, do: Callable[[Any], object], things: Iterable[Any]) -> None:
        """Does it for each, some at a time."""
        for future in [self.pool.submit(do, thing) for thing in things]:
            future.result()


def build_workloads(kube: Kube, original: Original) -> None:
    """Nodes, pods, and what owns them; whatever cannot be had is noted among the guesses."""
    with ThreadPoolExecutor(WRITERS) as pool:
        builder = _Builder(kube, original, pool)
        owners = _owners(original)
        _namespaces(builder)
        _priorities(builder)
        builder.each(lambda node: _node(builder, node, owners), original.nodes)
        _eni_configs(builder)
        _services(builder)
        _budgets(builder)
        jobs = {owner.label: _job(builder, owner) for owner in owners if owner.kind == "Job"}
        # The scheduler has to see the nodes as full as they are before it looks at the pods that have none.
        for on_nodes in (True, False):
            for owner in owners:
                pods = [pod for pod in owner.pods if (pod.node is not None) is on_nodes]
                builder.each(partial(_pod, builder, owner, jobs.get(owner.label)), pods)
            time.sleep(SEEN_SECONDS)
        builder.each(partial(_controller, builder), owners)
        wait_for(lambda: _settled(kube, owners), seconds=60, what="the controllers to take their pods")
        builder.each(partial(_deployment, builder), [owner for owner in owners if owner.kind == "Deployment"])
        _keep_up_to_date(builder, owners)


def held_back(pod: Pod, waiting: Container[str]) -> bool:
    """Whether a pod on a node waits for something else than an address, so that its kubelet has to leave it alone."""
    return pod.ip is None and pod.node is not None and not pod.host_network and key_of(pod) not in waiting


# Who owns what.


def _owners(original: Original) -> list[_Owner]:
    pods: defaultdict[tuple[str, str, str], list[Pod]] = defaultdict(list)
    for pod in original.pods:
        kind, _, name = known_or(pod.owner, "/").partition("/")
        pods[kind, pod.namespace, name].append(pod)
    for workload in items(original.kubernetes.workloads):
        pods.setdefault((workload.kind, workload.namespace, workload.name), [])
    owners = [
        _Owner(kind=kind, namespace=namespace, name=name, pods=tuple(mine))
        for (kind, namespace, name), mine in sorted(pods.items())
    ]
    bare = Counter(owner.kind for owner in owners if owner.kind and not _is_copied(owner) and owner.pods)
    if bare:
        named = ", ".join(f"{count} {kind}" for kind, count in sorted(bare.items()))
        original.guesses.append(f"what {named} would do: their pods are here, and nobody replaces them")
    return owners


def _is_copied(owner: _Owner) -> bool:
    """Whether a controller here takes the pods for its own."""
    if owner.kind == "StatefulSet":
        return all(_ORDINAL.sub("", pod.name) == owner.name for pod in owner.pods)
    return owner.kind in ("Deployment", "DaemonSet", "Job")


# Objects that pods need.


def _namespaces(builder: _Builder) -> None:
    original = builder.original
    named = {pod.namespace for pod in original.pods} | {each.namespace for each in items(original.kubernetes.workloads)}
    named |= {each.namespace for each in items(original.kubernetes.services)}
    for name in sorted(named - _DEFAULT_NAMESPACES):
        builder.kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def _priorities(builder: _Builder) -> None:
    kubernetes = builder.original.kubernetes
    values = {each.name: (each.value, each.default) for each in items(kubernetes.priority_classes)}
    for pod in builder.original.pods:
        if isinstance(pod.priority_class, str) and isinstance(pod.priority, int):
            values.setdefault(pod.priority_class, (pod.priority, False))
    for name, (value, default) in sorted(values.items()):
        if not name.startswith(_SYSTEM_PRIORITIES):
            _create(
                builder.kube,
                PRIORITIES,
                {
                    "apiVersion": PRIORITIES.group_version,
                    "kind": PRIORITIES.kind,
                    "metadata": {"name": name},
                    "value": value,
                    "globalDefault": default,
                },
            )


def _eni_configs(builder: _Builder) -> None:
    """The ENIConfigs of custom networking, and their definition (amazon-vpc-cni-k8s, aws-k8s-cni.yaml)."""
    configs = builder.original.kubernetes.eni_configs
    if not isinstance(configs, tuple):
        return
    group, version = ENI_CONFIGS.group_version.split("/")
    builder.kube.create(
        DEFINITIONS,
        {
            "apiVersion": DEFINITIONS.group_version,
            "kind": DEFINITIONS.kind,
            "metadata": {"name": f"{ENI_CONFIGS.plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Cluster",
                "names": {"plural": ENI_CONFIGS.plural, "singular": "eniconfig", "kind": ENI_CONFIGS.kind},
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                ],
            },
        },
    )
    wait_for(
        lambda: builder.kube.resource(ENI_CONFIGS.group_version, ENI_CONFIGS.kind) is not None,
        seconds=30,
        what="the API server to serve ENIConfigs",
    )
    for config in configs:
        builder.kube.create(
            ENI_CONFIGS,
            {
                "apiVersion": ENI_CONFIGS.group_version,
                "kind": ENI_CONFIGS.kind,
                "metadata": {"name": config.name},
                "spec": {
                    "subnet": known_or(config.subnet_id, ""),
                    "securityGroups": list(items(config.security_group_ids)),
                },
            },
        )


def _services(builder: _Builder) -> None:
    """Services, each picking by a label of its own the pods that it picked."""
    for service in items(builder.original.kubernetes.services):
        if service.type == "ExternalName" or (service.namespace, service.name) == ("default", "kubernetes"):
            continue
        label = f"service.twin.headroom/{_digest(f'{service.namespace}/{service.name}')}"
        for name in service.pods:
            builder.labels[f"{service.namespace}/{name}"][label] = "1"
        _create(
            builder.kube,
            SERVICES,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": service.name, "namespace": service.namespace},
                "spec": {
                    "type": service.type,
                    "ports": [{"port": 80}],
                    **({"selector": {label: "1"}} if service.pods else {}),
                },
            },
        )


def _budgets(builder: _Builder) -> None:
    for budget in items(builder.original.kubernetes.disruption_budgets):
        label = f"budget.twin.headroom/{_digest(f'{budget.namespace}/{budget.name}')}"
        for name in budget.pods:
            builder.labels[f"{budget.namespace}/{name}"][label] = "1"
        _create(
            builder.kube,
            BUDGETS,
            {
                "apiVersion": BUDGETS.group_version,
                "kind": BUDGETS.kind,
                "metadata": {"name": budget.name, "namespace": budget.namespace},
                "spec": {
                    "minAvailable": known_or(budget.desired_healthy, 0),
                    "selector": {"matchLabels": {label: "1"}},
                },
            },
        )


# Nodes.


def _node(builder: _Builder, node: Node, owners: Iterable[_Owner]) -> None:
    original, zone = builder.original, known_or(node.zone, "")
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": known(node.instance_type),
        "topology.kubernetes.io/region": original.region,
        "topology.kubernetes.io/zone": zone,
        "eks.amazonaws.com/nodegroup": known(node.node_group),
        "karpenter.sh/nodepool": known(node.node_pool),
    }
    labels |= {
        f"daemonset.twin.headroom/{owner.label}": "1"
        for owner in owners
        if owner.kind == "DaemonSet" and any(pod.node == node.name for pod in owner.pods)
    }
    builder.kube.create(
        NODES,
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node.name, "labels": {key: value for key, value in labels.items() if value}},
            "spec": {"providerID": f"aws:///{zone}/{known_or(node.instance_id, '')}"},
        },
    )
    # Admission adds a taint that only the node lifecycle controller, which does not run here, would remove.
    builder.kube.patch(
        NODES,
        node.name,
        {
            "spec": {
                "taints": [_taint(text) for text in items(node.taints)] or None,
                "unschedulable": known_or(node.unschedulable, default=False) or None,
            }
        },
    )
    limits = original.limits[node.name]
    size = {"cpu": str(limits.vcpus or 96), "memory": "384Gi"}
    builder.kube.patch(
        NODES,
        node.name,
        {
            "status": {
                "capacity": {**size, "pods": str(known_or(node.max_pods, 110))},
                "allocatable": {
                    **size,
                    "pods": str(known_or(node.allocatable_pods, known_or(node.max_pods, 110))),
                },
                "addresses": [
                    {"type": "InternalIP", "address": known_or(node.internal_ip, _own_address(original, node))}
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
                "nodeInfo": {
                    "kubeletVersion": known_or(node.kubelet_version, ""),
                    "osImage": known_or(node.os_image, ""),
                },
                "conditions": [_condition(each) for each in items(node.conditions)] or [_READY],
            }
        },
        subresource="status",
    )


_READY = {"type": "Ready", "status": "True", "reason": "KubeletReady"}


def _own_address(original: Original, node: Node) -> str:
    return original.interfaces_of(node)[0].addresses[0]


def _taint(text: str) -> dict[str, str]:
    """`key=value:effect`, as the facts have it."""
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect}


def _condition(condition: Condition) -> dict[str, str | None]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": known(condition.since),
    }


# Pods.


def _pod(builder: _Builder, owner: _Owner, job: Object | None, pod: Pod) -> None:
    template = _template(builder.original, owner)
    labels = {**template["metadata"]["labels"], **builder.labels.get(key_of(pod), {})}
    if owner.kind == "Deployment":
        labels[HASH] = _replica_set(owner)[1]
    spec = {**template["spec"], "hostNetwork": pod.host_network}
    if isinstance(pod.node, str):
        spec["nodeName"] = pod.node
    elif pod.node is None:
        spec |= _unschedulable(builder.original, pod)
    if isinstance(pod.priority_class, str):
        spec["priorityClassName"] = pod.priority_class
    if known(pod.waiting) in _IMAGE_FAILURES:
        spec["containers"] = [{**spec["containers"][0], "image": f"registry.invalid/{owner.name}{MISSING_IMAGE}"}]
    metadata: Object = {"name": pod.name, "namespace": pod.namespace, "labels": labels}
    if job is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": JOBS.group_version,
                "kind": JOBS.kind,
                "name": owner.name,
                "uid": job["metadata"]["uid"],
                "controller": True,
            }
        ]
    builder.kube.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def _template(original: Original, owner: _Owner) -> Object:
    """The pod template of a workload: what all its pods have in common here."""
    if (owner.kind, owner.namespace, owner.name) == ("DaemonSet", "kube-system", "aws-node"):
        template: Object = _aws_node(original)["spec"]["template"]
    else:
        pod = next(iter(owner.pods), None)
        template = {
            "metadata": {"labels": {}},
            "spec": {
                "hostNetwork": pod.host_network if pod is not None else False,
                "tolerations": [{"operator": "Exists"}] if owner.kind == "DaemonSet" else [],
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "main",
                        "image": f"registry.invalid/{owner.name or 'pod'}:1",
                        "resources": {"requests": {"cpu": "1m"}},
                    }
                ],
            },
        }
        if pod is not None and isinstance(pod.priority_class, str):
            template["spec"]["priorityClassName"] = pod.priority_class
    common = {OWNER: owner.label} if owner.kind else {}
    return {
        "metadata": {"labels": {**template["metadata"]["labels"], **common}},
        "spec": template["spec"],
    }


def _aws_node(original: Original) -> Object:
    made = daemon_set("aws-node", original.environment, str(original.version))
    described = known(original.kubernetes.cni_daemon_set)
    if described is not None and isinstance(described.image, str):
        made["spec"]["template"]["spec"]["containers"][0]["image"] = described.image
    return made


def _unschedulable(original: Original, pod: Pod) -> Object:
    """What keeps a pod off every node, where its events say so."""
    said = " ".join(
        event.message
        for event in items(original.kubernetes.events)
        if event.kind == "Pod" and (event.namespace, event.name) == (pod.namespace, pod.name)
    )
    if "Insufficient" in said:
        huge = {"name": "main", "image": "registry.invalid/huge:1", "resources": {"requests": {"cpu": HUGE_CPU}}}
        return {"containers": [huge]}
    if "affinity" in said or "selector" in said or "taint" in said:
        return {"nodeSelector": {"twin.headroom/nowhere": "1"}}
    return {}


# Controllers.


def _controller(builder: _Builder, owner: _Owner) -> None:
    if not _is_copied(owner):
        return
    if owner.kind == "Deployment" and owner.pods:
        _adopting_replica_set(builder, owner)
    elif owner.kind == "DaemonSet":
        _daemon_set(builder, owner)
    elif owner.kind == "StatefulSet":
        _stateful_set(builder, owner)


def _adopting_replica_set(builder: _Builder, owner: _Owner) -> None:
    """A ReplicaSet under the name that the pods have of it, which adopts them."""
    template, (name, hash_) = _template(builder.original, owner), _replica_set(owner)
    labels = {**template["metadata"]["labels"], HASH: hash_}
    builder.kube.create(
        REPLICA_SETS,
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": owner.namespace, "labels": labels},
            "spec": {
                "replicas": len(owner.pods),
                "selector": {"matchLabels": labels},
                "template": {**template, "metadata": {"labels": labels}},
            },
        },
    )


def _deployment(builder: _Builder, owner: _Owner) -> None:
    """A Deployment that adopts its ReplicaSet.

    The controller takes a ReplicaSet for its newest where the templates are equal but for the hash; else it makes one.
    It knows the ReplicaSet by now: it sees the same cache as the controller that has given the pods to it.
    """
    template = _template(builder.original, owner)
    builder.kube.create(
        DEPLOYMENTS,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": owner.name, "namespace": owner.namespace},
            "spec": {
                "replicas": _desired(builder.original, owner),
                "selector": {"matchLabels": template["metadata"]["labels"]},
                "template": template,
            },
        },
    )


def _replica_set(owner: _Owner) -> tuple[str, str]:
    """Name and template hash of the ReplicaSet that most of a Deployment's pods are named for."""
    names = Counter(pod.name.rpartition("-")[0] for pod in owner.pods)
    fitting = [name for name, _ in names.most_common() if name.startswith(f"{owner.name}-")]
    name = fitting[0] if fitting else f"{owner.name}-twin"
    return name, name.removeprefix(f"{owner.name}-")


def _daemon_set(builder: _Builder, owner: _Owner) -> None:
    template = _template(builder.original, owner)
    spec = template["spec"]
    if {node.name for node in builder.original.nodes} > {known_or(pod.node, "") for pod in owner.pods}:
        # Only on the nodes where it is: what its own selector says is not known.
        spec = {**spec, "nodeSelector": {f"daemonset.twin.headroom/{owner.label}": "1"}}
    builder.kube.create(
        DAEMON_SETS,
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": owner.name, "namespace": owner.namespace},
            "spec": {
                "selector": {"matchLabels": template["metadata"]["labels"]},
                "updateStrategy": {"type": "OnDelete"},
                "template": {**template, "spec": spec},
            },
        },
    )


def _stateful_set(builder: _Builder, owner: _Owner) -> None:
    template = _template(builder.original, owner)
    builder.kube.create(
        STATEFUL_SETS,
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": owner.name, "namespace": owner.namespace},
            "spec": {
                "replicas": _desired(builder.original, owner),
                "serviceName": owner.name,
                "podManagementPolicy": "Parallel",
                "updateStrategy": {"type": "OnDelete"},
                "selector": {"matchLabels": template["metadata"]["labels"]},
                "template": template,
            },
        },
    )


def _job(builder: _Builder, owner: _Owner) -> Object:
    """A Job that no controller works for, so that its pods stay as they are."""
    template = _template(builder.original, owner)
    return builder.kube.create(
        JOBS,
        {
            "apiVersion": JOBS.group_version,
            "kind": JOBS.kind,
            "metadata": {"name": owner.name, "namespace": owner.namespace},
            "spec": {
                "managedBy": NO_CONTROLLER,
                "parallelism": max(1, len(owner.pods)),
                "template": {**template, "spec": {**template["spec"], "restartPolicy": "Never"}},
            },
        },
    )


def _desired(original: Original, owner: _Owner) -> int:
    for workload in items(original.kubernetes.workloads):
        if (workload.kind, workload.namespace, workload.name) == (owner.kind, owner.namespace, owner.name):
            return known_or(workload.desired, len(owner.pods))
    return len(owner.pods)


def _settled(kube: Kube, owners: Sequence[_Owner]) -> bool:
    """Whether every controller has seen its pods."""
    wanted = {owner.label for owner in owners if _is_copied(owner) and owner.kind != "Job"}
    owned = {
        (pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in kube.list_all(PODS, labels=OWNER)
        if pod["metadata"].get("ownerReferences")
    }
    return all((pod.namespace, pod.name) in owned for owner in owners if owner.label in wanted for pod in owner.pods)


def _keep_up_to_date(builder: _Builder, owners: Iterable[_Owner]) -> None:
    """Makes aws-node roll with its template from here on: its pods are of the newest revision, and say so."""
    owner = next((each for each in owners if (each.kind, each.namespace, each.name) == _AWS_NODE), None)
    if owner is None:
        return
    revisions = builder.kube.list_all(REVISIONS, owner.namespace, labels=f"{OWNER}={owner.label}")
    label = {REVISION: revisions[0]["metadata"]["labels"][REVISION]}
    builder.each(
        lambda pod: builder.kube.patch(PODS, pod.name, {"metadata": {"labels": label}}, namespace=pod.namespace),
        owner.pods,
    )
    time.sleep(SEEN_SECONDS)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}
    builder.kube.patch(DAEMON_SETS, owner.name, {"spec": {"updateStrategy": strategy}}, namespace=owner.namespace)


_AWS_NODE = ("DaemonSet", "kube-system", "aws-node")


def _create(kube: Kube, resource: Resource, body: Object) -> None:
    """Creates it, unless the API server has one by that name from the outset."""
    try:
        kube.create(resource, body)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
