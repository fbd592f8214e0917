"""Probe Jobs on a real control plane.

Its API server takes them under the restricted Pod Security Standard, its Job controller makes their pods, and nothing
is left of them afterwards.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING

import pytest
import yaml

from headroom.collect.kubernetes_objects import network_policy
from headroom.collect.probe_jobs import Progress, probe_cluster
from headroom.collect.session import choose_context
from headroom.facts.values import Unknown
from headroom.planning.policy_findings import findings, idle
from headroom.planning.policy_probes import RUN_LABEL, Cluster, ProbePlan, cluster_of, plan_probes
from headroom.planning.probe_jobs import jobs
from headroom.planning.probe_results import PolicyVerdict, Verdict, exit_code, judge_run
from headroom.rehearsal.kube import NAMESPACES, PODS, Kube, Object, Resource
from headroom.rehearsal.policy_engine import NETWORK_POLICIES, run_probe_jobs

if TYPE_CHECKING:
    from headroom.rehearsal.control_plane import ControlPlane

pytestmark = pytest.mark.control_plane

JOBS = Resource(group_version="batch/v1", plural="jobs", kind="Job")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture
def story(kube: Kube) -> tuple[str, str]:
    """Two namespaces of the restricted standard: a shop with a policy, and its ingress; a pod in each."""
    mark = uuid.uuid4().hex[:8]
    shop, ingress = f"shop-{mark}", f"ingress-{mark}"
    for name in (shop, ingress):
        metadata = {"name": name, "labels": {**RESTRICTED, "name": name}}
        kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for number, (name, app) in enumerate(((shop, "checkout"), (ingress, "nginx")), start=1):
        run(kube, pod(name, app), f"100.64.{int(mark[:2], 16)}.{number}")
    for text in (
        "{podSelector: {}, policyTypes: [Ingress]}",
        f"""
        podSelector: {{matchLabels: {{app: checkout}}}}
        ingress:
          - from:
              - namespaceSelector: {{matchLabels: {{name: {ingress}}}}}
                podSelector: {{matchLabels: {{app: nginx}}}}
            ports: [{{port: 8080}}]
        """,
    ):
        policy: Object = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": shop, "name": f"p-{uuid.uuid4().hex[:6]}"},
            "spec": yaml.safe_load(text),
        }
        made = kube.create(NETWORK_POLICIES, policy)
        assert network_policy(made) == network_policy(policy), "the API server fills in no more than the reader does"
    return shop, ingress


def pod(namespace: str, app: str) -> Object:
    container: Object = {
        "name": "c",
        "image": "registry.invalid/app:1",
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": app, "labels": {"app": app}},
        "spec": {"automountServiceAccountToken": False, "containers": [container]},
    }


def run(kube: Kube, body: Object, address: str) -> None:
    """A pod that runs, as its node would say."""
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    kube.create(PODS, body)
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    kube.patch(PODS, name, {"status": status}, namespace=namespace, subresource="status")


def played(
    plane: ControlPlane, kube: Kube, shop: str, *, engine_on: bool
) -> tuple[ProbePlan, tuple[PolicyVerdict, ...], list[Progress]]:
    """The whole way: read, plan, run, judge, clean."""
    name = choose_context("", kubeconfig=str(plane.kubeconfig)).name
    live = probe_cluster(name, kubeconfig=str(plane.kubeconfig))
    assert not isinstance(live, Unknown)
    cluster = cluster_of(live.read())
    assert isinstance(cluster, Cluster)
    mine = [f"{each.namespace}/{each.name}" for each in cluster.world.every() if each.namespace == shop]
    plan = plan_probes(cluster, run=f"run-{uuid.uuid4().hex[:8]}", only=mine, idle=idle(findings(cluster)))
    made, told, stop = jobs(plan), list[Progress](), threading.Event()

    def kubelet() -> None:
        while not stop.wait(0.1):
            run_probe_jobs(kube, engine_on=engine_on)

    thread = threading.Thread(target=kubelet)
    thread.start()
    try:
        ran = live.run(plan.run, made, told=told.append, wait=lambda _: time.sleep(0.1))
    finally:
        stop.set()
        thread.join()
        assert live.clean(plan.run, {each["metadata"]["namespace"] for each in made}) == ()
    return plan, judge_run(plan, ran), told


@pytest.mark.parametrize(("engine", "verdict", "code"), [("on", Verdict.ENFORCED, 0), ("off", Verdict.NOT_ENFORCED, 1)])
def test_the_jobs_are_taken_run_read_and_deleted(  # noqa: PLR0913, PLR0917 - fixtures and a table
    control_plane: ControlPlane, kube: Kube, story: tuple[str, str], engine: str, verdict: Verdict, code: int
) -> None:
    shop, ingress = story
    plan, verdicts, told = played(control_plane, kube, shop, engine_on=engine == "on")
    assert {each.namespace for each in plan.probes} >= {ingress}
    assert [each.verdict for each in verdicts] == [verdict] * 2, verdicts
    assert exit_code(verdicts) == code
    assert told[-1].ended == told[-1].jobs == len(jobs(plan))
    selector = f"{RUN_LABEL}={plan.run}"
    left = kube.list_all(JOBS, labels=selector)
    assert [each["metadata"]["name"] for each in left if "deletionTimestamp" not in each["metadata"]] == []
