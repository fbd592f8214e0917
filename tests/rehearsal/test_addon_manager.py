"""EKS's own hands: what the simulated EKS decides about its add-on reaches the DaemonSet, and nothing else does."""

import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from headroom.rehearsal.addon_manager import AddonManager
from headroom.rehearsal.aws.endpoint import Endpoint
from headroom.rehearsal.kube import Kube, Resource

CLUSTER = "prod-use1"


class Recorded:
    """An API server with one DaemonSet, which keeps what it is told."""

    def __init__(self) -> None:
        self.patches: list[dict[str, Any]] = []
        self.failing = False

    def get(self, resource: Resource, name: str, namespace: str) -> dict[str, Any]:
        if self.failing:
            raise ConnectionError("gone")
        assert (resource.kind, name, namespace) == ("DaemonSet", "aws-node", "kube-system")
        container = {"name": "aws-node", "image": "registry.invalid/amazon-k8s-cni:v1.19.2-eksbuild.1"}
        return {"spec": {"template": {"spec": {"containers": [container]}}}}

    def patch(self, resource: Resource, name: str, body: dict[str, Any], **options: str) -> None:
        assert (resource.kind, name) == ("DaemonSet", "aws-node")
        assert options == {"namespace": "kube-system", "type": "strategic"}
        self.patches += body["spec"]["template"]["spec"]["containers"]


@pytest.fixture(scope="module")
def endpoint(simulated_aws: Endpoint) -> Endpoint:
    return simulated_aws


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_what_changes_is_patched_and_what_was_there_before_is_left_alone(endpoint: Endpoint) -> None:
    endpoint.set_aws_node_environment(CLUSTER, {"WARM_ENI_TARGET": "1", "OLD": "x"})
    kube, errors = Recorded(), list[str]()
    manager = AddonManager(endpoint, cast("Kube", kube), CLUSTER, errors)
    try:
        endpoint.set_aws_node_environment(CLUSTER, {"WARM_ENI_TARGET": "1", "WARM_IP_TARGET": "5"})
        until(lambda: kube.patches)
    finally:
        manager.stop()
    assert errors == []
    assert kube.patches == [
        {
            "name": "aws-node",
            "env": [{"name": "OLD", "$patch": "delete"}, {"name": "WARM_IP_TARGET", "value": "5"}],
        }
    ]


def test_a_failure_is_told_to_whoever_looks_after_the_nodes(endpoint: Endpoint) -> None:
    kube, errors = Recorded(), list[str]()
    kube.failing = True
    manager = AddonManager(endpoint, cast("Kube", kube), "other", errors)
    try:
        endpoint.set_aws_node_environment("other", {"WARM_IP_TARGET": "5"})
        until(lambda: errors)
    finally:
        manager.stop()
    assert errors == ["add-on manager: ConnectionError: gone"]
