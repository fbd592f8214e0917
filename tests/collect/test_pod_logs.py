"""Whether the API server reaches the kubelets: what it says of a pod's log, and that none of the log is kept."""

from pathlib import Path

import pytest
import yaml

from headroom.collect import pod_logs
from headroom.collect.permissions import permissions
from headroom.collect.pod_logs import RBAC_RULES, logs_of
from headroom.facts.kubernetes import Pod
from headroom.facts.pod_logs import LogAccess
from headroom.facts.values import Reason, Unknown
from tests.collect.conftest import CLUSTER, ApiServerStub

PODS = "/api/v1/namespaces/shop/pods"
LOG = f"{PODS}/web-1/log"
POD = Pod(namespace="shop", name="web-1", node="ip-10-68-204-17.ec2.internal", ip="100.64.0.9", phase="Running")
URL = "https://10.68.204.17:10250/containerLogs/shop/web-1/app?limitBytes=1&tailLines=1"


@pytest.fixture
def server(api: ApiServerStub) -> ApiServerStub:
    """An API server with one pod of two containers, whose log comes."""
    containers = [{"name": "app"}, {"name": "sidecar"}]
    other = {"metadata": {"name": "web-2"}, "spec": {"containers": [{"name": "other"}]}}
    api.lists[PODS] = [other, {"metadata": {"name": "web-1"}, "spec": {"containers": containers}}]
    api.answers[LOG] = b"x"
    return api


def asked(kubeconfig: Path, *pods: Pod) -> tuple[LogAccess, ...] | Unknown:
    return logs_of(CLUSTER, pods, kubeconfig=str(kubeconfig))


def only(kubeconfig: Path) -> LogAccess:
    found = asked(kubeconfig, POD)
    assert isinstance(found, tuple)
    (access,) = found
    return access


def test_a_log_is_asked_for_by_its_last_byte_and_its_text_is_not_kept(server: ApiServerStub, kubeconfig: Path) -> None:
    server.answers[LOG] = b"a secret"
    access = only(kubeconfig)
    assert access == LogAccess(
        pod="shop/web-1", address="100.64.0.9", node="ip-10-68-204-17.ec2.internal", read=True, because=""
    )
    assert (LOG, {"container": "app", "tailLines": "1", "limitBytes": "1"}) in server.asked


@pytest.mark.parametrize(
    ("code", "message", "because"),
    [
        (500, f'Get "{URL}": dial tcp 10.68.204.17:10250: i/o timeout', "dial tcp 10.68.204.17:10250: i/o timeout"),
        (500, f'Get "{URL}": remote error: tls: internal error', "remote error: tls: internal error"),
        (503, "error trying to reach service: no route to host", "error trying to reach service: no route to host"),
        (502, "", "502 Anything"),
        (500, "x" * 400, "x" * 160 + "…"),
    ],
)
def test_a_kubelet_that_is_not_reached_is_told_by_what_the_api_server_met(
    server: ApiServerStub, kubeconfig: Path, code: int, message: str, because: str
) -> None:
    server.failures[LOG], server.messages[LOG] = (code, "Anything"), message
    access = only(kubeconfig)
    assert (access.read, access.because) == (False, because)


def test_a_kubelet_that_has_no_log_yet_was_reached(server: ApiServerStub, kubeconfig: Path) -> None:
    server.failures[LOG] = (400, "BadRequest")
    server.messages[LOG] = 'container "app" in pod "web-1" is waiting to start: PodInitializing'
    assert only(kubeconfig).read is True


@pytest.mark.parametrize("path", [PODS, LOG])
def test_a_refusal_is_unknown_and_keeps_no_name_of_the_message(
    server: ApiServerStub, kubeconfig: Path, path: str
) -> None:
    server.failures[path], server.messages[path] = (403, "Forbidden"), 'User "alice" cannot get resource "pods/log"'
    access = only(kubeconfig)
    assert access.read == Unknown(Reason.DENIED, "the API server answered 403 Forbidden")
    assert "alice" not in repr(access)


def test_a_pod_that_is_gone_is_left_out(server: ApiServerStub, kubeconfig: Path) -> None:
    server.failures[LOG] = (404, "NotFound")
    assert asked(kubeconfig, POD) == ()
    server.lists[PODS] = []
    assert asked(kubeconfig, POD) == ()


def test_a_kubelet_that_never_answers_is_not_waited_for(
    server: ApiServerStub, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "ANSWER_SECONDS", 0.1)
    server.slow.add(LOG)
    access = only(kubeconfig)
    assert (access.read, access.because) == (False, "no answer within 0 s")


def test_no_pods_ask_nothing(server: ApiServerStub, kubeconfig: Path) -> None:
    assert asked(kubeconfig) == ()
    assert server.asked == []


def test_without_a_kubeconfig_the_logs_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    found = asked(tmp_path / "none", POD)
    assert isinstance(found, Unknown)
    assert found.detail == "no usable kubeconfig: there is none"


def test_the_printed_role_allows_logs_and_nothing_else() -> None:
    role, binding = yaml.safe_load_all(permissions("rbac-verify"))
    assert role["rules"] == [dict(rule) for rule in RBAC_RULES]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
