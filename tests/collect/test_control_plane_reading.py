"""A real API server, read with the roles that `headroom collect --permissions rbac` prints and nothing more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.collect.kubernetes_objects import pod as pod_facts
from headroom.collect.permissions import permissions
from headroom.collect.pod_logs import logs_of
from headroom.collect.session import choose_context
from headroom.collect.snapshot import collect_from
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.values import Reason, Unknown, items
from headroom.rehearsal.control_plane import ControlPlane, start_control_plane
from headroom.rehearsal.kube import (
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ApiError,
    Kube,
    Resource,
    kube_from,
)
from headroom.rehearsal.node_network import NodeNetwork
from headroom.rehearsal.scenarios.cluster import wait_for
from headroom.rehearsal.tools import find_tools
from tests.collect.conftest import CLUSTER, REGION, SYSTEM, World, daemon_set

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.control_plane

RBAC = "rbac.authorization.k8s.io/v1"
ROLES = {
    "ClusterRole": Resource(group_version=RBAC, plural="clusterroles", kind="ClusterRole", namespaced=False),
    "ClusterRoleBinding": Resource(
        group_version=RBAC, plural="clusterrolebindings", kind="ClusterRoleBinding", namespaced=False
    ),
    "Role": Resource(group_version=RBAC, plural="roles", kind="Role"),
    "RoleBinding": Resource(group_version=RBAC, plural="rolebindings", kind="RoleBinding"),
}
ACCOUNTS = Resource(group_version="v1", plural="serviceaccounts", kind="ServiceAccount")
CRDS = Resource(
    group_version="apiextensions.k8s.io/v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)
SCALERS = Resource(group_version="autoscaling/v2", plural="horizontalpodautoscalers", kind="HorizontalPodAutoscaler")
BUDGETS = Resource(group_version="policy/v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget")
PRIORITIES = Resource(
    group_version="scheduling.k8s.io/v1", plural="priorityclasses", kind="PriorityClass", namespaced=False
)
ENI_CONFIGS = Resource(
    group_version="crd.k8s.amazonaws.com/v1alpha1", plural="eniconfigs", kind="ENIConfig", namespaced=False
)
SLICES = Resource(group_version="discovery.k8s.io/v1", plural="endpointslices", kind="EndpointSlice")
READER = "reader"
LABELS = {"app": "checkout"}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    # The way to nodes leads nowhere: nothing of this machine's network answers for them.
    with (
        NodeNetwork() as nodes,
        start_control_plane(find_tools(), tmp_path_factory.mktemp("plane"), nodes=nodes.socket) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def kube(plane: ControlPlane, world: World) -> Iterator[Kube]:
    """The cluster's content: what the controllers and the scheduler make of it is theirs."""
    client = plane.client()
    for node in world.node_objects():
        status = {**node.pop("status"), "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "29"}}
        status["capacity"] = status["allocatable"]
        client.create(NODES, {"apiVersion": "v1", "kind": "Node", **node})
        client.patch(NODES, node["metadata"]["name"], {"spec": {"taints": None}})
        client.patch(NODES, node["metadata"]["name"], {"status": status}, subresource="status")
    client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    client.create(
        PRIORITIES,
        {"apiVersion": PRIORITIES.group_version, "kind": "PriorityClass", "metadata": {"name": "gold"}, "value": 1000},
    )
    client.create(DAEMON_SETS, real_daemon_set())
    client.create(DEPLOYMENTS, deployment())
    client.create(
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {"selector": LABELS, "ports": [{"port": 80}]},
        },
    )
    client.create(
        BUDGETS,
        {
            "apiVersion": BUDGETS.group_version,
            "kind": BUDGETS.kind,
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}},
        },
    )
    client.create(
        SCALERS,
        {
            "apiVersion": SCALERS.group_version,
            "kind": SCALERS.kind,
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
                "minReplicas": 2,
                "maxReplicas": 9,
            },
        },
    )
    wait_for(lambda: len(bound(client)) == 2 + 2, seconds=30, what="the pods to be bound")
    running, stuck = sorted(bound(client, "shop"), key=lambda each: str(each["metadata"]["name"]))
    answer = {
        "phase": "Running",
        "podIP": "10.68.0.77",
        "podIPs": [{"ip": "10.68.0.77"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    client.patch(PODS, running["metadata"]["name"], {"status": answer}, namespace="shop", subresource="status")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "stuck.1", "namespace": "shop"},
        "type": "Warning",
        "reason": "FailedCreatePodSandBox",
        "message": "failed to assign an IP address to container",
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": stuck["metadata"]["name"]},
        "firstTimestamp": "2026-03-03T20:46:41Z",
        "lastTimestamp": "2026-03-03T20:49:21Z",
        "count": 16,
    }
    client.create(EVENTS, event)
    client.create(
        EVENTS, {**event, "metadata": {"name": "fine", "namespace": "shop"}, "type": "Normal", "reason": "Pulled"}
    )
    install_eni_configs(client)
    wait_for(
        lambda: any(each.get("endpoints") for each in client.list_all(SLICES, "shop")),
        seconds=30,
        what="the Service's endpoints",
    )
    yield client
    client.close()


def bound(client: Kube, namespace: str | None = None) -> list[dict[str, Any]]:
    return client.list_all(PODS, namespace, fields="spec.nodeName!=")


def real_daemon_set() -> dict[str, Any]:
    """aws-node, as the API server takes it."""
    content = daemon_set("aws-node", {"WARM_ENI_TARGET": "1"})
    labels = {"k8s-app": "aws-node"}
    template = content["spec"]["template"]
    template["metadata"] = {"labels": labels}
    template["spec"] |= {"hostNetwork": True, "tolerations": [{"operator": "Exists"}]}
    del content["status"], content["metadata"]["managedFields"]
    content["spec"]["selector"] = {"matchLabels": labels}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", **content}


def deployment() -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"priorityClassName": "gold", "containers": [{"name": "c", "image": "registry.invalid/c:1"}]},
            },
        },
    }


def install_eni_configs(client: Kube) -> None:
    client.create(
        CRDS,
        {
            "apiVersion": CRDS.group_version,
            "kind": CRDS.kind,
            "metadata": {"name": "eniconfigs.crd.k8s.amazonaws.com"},
            "spec": {
                "group": "crd.k8s.amazonaws.com",
                "scope": "Cluster",
                "names": {"plural": "eniconfigs", "singular": "eniconfig", "kind": "ENIConfig"},
                "versions": [
                    {
                        "name": "v1alpha1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                ],
            },
        },
    )
    wait_for(
        lambda: any(
            each["type"] == "Established" and each["status"] == "True"
            # A new definition carries `conditions: null` until the API server has looked at it.
            for each in client.get(CRDS, "eniconfigs.crd.k8s.amazonaws.com").get("status", {}).get("conditions") or ()
        ),
        seconds=30,
        what="ENIConfig to be established",
    )
    client.create(
        ENI_CONFIGS,
        {
            "apiVersion": ENI_CONFIGS.group_version,
            "kind": "ENIConfig",
            "metadata": {"name": "us-east-1a"},
            "spec": {"subnet": "subnet-1", "securityGroups": ["sg-1"]},
        },
    )


@pytest.fixture(scope="module")
def kubeconfig(plane: ControlPlane, kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of somebody who has the printed roles and no other."""
    for document in yaml.safe_load_all(permissions("rbac")):
        if not document["kind"].endswith("Binding"):
            kube.create(ROLES[document["kind"]], document)
    return kubeconfig_of(READER, ("rbac",), plane, kube, tmp_path_factory.mktemp("reader"))


def kubeconfig_of(name: str, kinds: tuple[str, ...], plane: ControlPlane, kube: Kube, folder: Path) -> Path:
    """A kubeconfig of a new account, to which the printed roles of these kinds are bound."""
    kube.create(
        ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}}
    )
    for document in (each for kind in kinds for each in yaml.safe_load_all(permissions(kind))):
        if document["kind"].endswith("Binding"):
            document["subjects"] = [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}]
            document["metadata"]["name"] += f"-{name}"
            kube.create(ROLES[document["kind"]], document)
    path = ACCOUNTS.path(namespace=SYSTEM, name=name, subresource="token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = kube.request("POST", path, body=request)["status"]["token"]
    content = json.loads(plane.kubeconfig.read_text(encoding="utf-8"))
    content["users"][0]["user"] = {"token": token}
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_the_printed_roles_are_enough_to_read_a_cluster(kubeconfig: Path, aws: World, kube: Kube) -> None:
    context = choose_context(CLUSTER, kubeconfig=str(kubeconfig))
    snapshot = collect_from(CLUSTER, aws.client, context, region=REGION)
    outcomes = {
        each.name: each.outcome
        for each in snapshot.sources
        if each.outcome and not each.outcome.startswith("not collected")
    }
    # There is no kubelet: nobody answers for ipamd. And this EKS tells another address than the control plane's.
    assert outcomes.keys() == {"ipamd metrics", "identity"}
    found = snapshot.kubernetes
    assert isinstance(found, Kubernetes)
    truth = {f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in kube.list_all(PODS)}
    assert {f"{each.namespace}/{each.name}" for each in items(found.pods)} == truth
    running, stuck = sorted(
        (each for each in items(found.pods) if each.namespace == "shop"), key=lambda each: each.ip is None
    )
    assert (running.ip, running.ready, running.owner, running.priority) == (
        "10.68.0.77",
        True,
        "Deployment/checkout",
        1000,
    )
    assert (stuck.ip, stuck.phase, stuck.owner) == (None, "Pending", "Deployment/checkout")
    assert [(each.name, each.count, each.reason) for each in items(found.events) if each.kind == "Pod"] == [
        (stuck.name, 16, "FailedCreatePodSandBox")
    ], "what is normal is left out"
    (service,) = [each for each in items(found.services) if each.namespace == "shop"]
    assert service.pods == tuple(sorted((running.name, stuck.name)))
    assert service.ready_endpoints == 1
    (budget,), (scaler,) = items(found.disruption_budgets), items(found.autoscalers)
    assert budget.pods == service.pods
    assert (scaler.target, scaler.minimum, scaler.maximum) == ("Deployment/checkout", 2, 9)
    assert "gold" in {each.name for each in items(found.priority_classes)}
    assert [(each.name, each.subnet_id) for each in items(found.eni_configs)] == [("us-east-1a", "subnet-1")]
    assert {each.node for each in items(found.cni_pods)} == {each.name for each in items(found.nodes)}
    assert not isinstance(found.cni_daemon_set, Unknown)
    assert found.cni_daemon_set is not None
    assert found.cni_daemon_set.environment == {"WARM_ENI_TARGET": "1"}
    assert isinstance(found.cni_daemon_set.managers, dict)
    assert list(found.cni_daemon_set.managers) == ["WARM_ENI_TARGET"]


def test_the_printed_roles_read_no_secret_and_change_nothing(kubeconfig: Path) -> None:
    reader = kube_from(kubeconfig)
    attempts: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", "/api/v1/secrets", None),
        ("GET", "/api/v1/configmaps", None),
        ("GET", f"/api/v1/namespaces/{SYSTEM}/secrets", None),
        ("GET", "/api/v1/namespaces/shop/pods/x/log", None),
        ("DELETE", "/api/v1/namespaces/shop/pods/x", None),
        ("POST", "/apis/apps/v1/namespaces/shop/deployments", deployment()),
    ]
    for method, path, body in attempts:
        with pytest.raises(ApiError) as refused:
            reader.request(method, path, body=body)
        assert refused.value.reason == "Forbidden", path
    reader.close()


def test_logs_need_the_verifiers_role_beside_the_readers(
    kubeconfig: Path, plane: ControlPlane, kube: Kube, tmp_path: Path
) -> None:
    pods = [pod_facts(each) for each in kube.list_all(PODS, "shop") if each["spec"].get("nodeName")][:1]
    (refused,) = items(logs_of(CLUSTER, pods, kubeconfig=str(kubeconfig)))
    assert isinstance(refused.read, Unknown)
    assert refused.read.reason is Reason.DENIED
    for document in yaml.safe_load_all(permissions("rbac-verify")):
        if not document["kind"].endswith("Binding"):
            kube.create(ROLES[document["kind"]], document)
    verifier = kubeconfig_of("verifier", ("rbac", "rbac-verify"), plane, kube, tmp_path)
    (asked,) = items(logs_of(CLUSTER, pods, kubeconfig=str(verifier)))
    # There is no kubelet: the API server may ask, and says what it met.
    assert asked.read is False
    assert "Bad Gateway" in asked.because
