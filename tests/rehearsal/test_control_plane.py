"""The control plane is real, complete, quick, and gone when it should be."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from headroom.rehearsal.control_plane import ControlPlane, ControlPlaneError, start_control_plane
from headroom.rehearsal.kube import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    ApiError,
    Kube,
    KubeconfigError,
    Object,
    UnreachableError,
    WatchEvent,
    kube_from,
)
from headroom.rehearsal.tools import Tools

pytestmark = pytest.mark.control_plane


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.05)


@pytest.fixture
def namespace(kube: Kube) -> str:
    name = f"test-{uuid.uuid4().hex[:8]}"
    kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def config_map(namespace: str, name: str = "settings", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def deployment(namespace: str, replicas: int, node: str) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "containers": [{"name": "web", "image": "example.invalid/web"}],
                },
            },
        },
    }


def add_node(kube: Kube, name: str, pods: int) -> None:
    labels = {"kubernetes.io/hostname": name}
    kube.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    capacity = {"cpu": "64", "memory": "256Gi", "pods": str(pods)}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    status = {"capacity": capacity, "allocatable": capacity, "conditions": [ready]}
    kube.patch(NODES, name, {"status": status}, subresource="status")
    kube.patch(NODES, name, {"spec": {"taints": None}})


def test_a_deployment_beyond_a_nodes_pod_limit_leaves_pods_pending_with_the_schedulers_words(
    kube: Kube, namespace: str
) -> None:
    node = f"node-{namespace}"
    add_node(kube, node, pods=29)

    kube.create(DEPLOYMENTS, deployment(namespace, replicas=40, node=node))

    def bound() -> int:
        return sum(1 for pod in kube.list_all(PODS, namespace) if pod["spec"].get("nodeName") == node)

    wait_until(lambda: bound() == 29, "binding 29 pods")
    wait_until(
        lambda: any(
            "Too many pods" in event["message"]
            for event in kube.list_all(EVENTS, namespace, fields="reason=FailedScheduling")
        ),
        "the event FailedScheduling",
    )
    assert len(kube.list_all(PODS, namespace)) == 40
    assert bound() == 29, "the scheduler binds no more pods than the node advertises"
    kube.delete(NODES, node)


def test_a_thousand_objects_are_listed_page_by_page(kube: Kube, namespace: str) -> None:
    for number in range(520):
        kube.create(CONFIG_MAPS, config_map(namespace, f"number-{number}"))

    names = {item["metadata"]["name"] for item in kube.list_all(CONFIG_MAPS, namespace)}

    assert len(names - {"kube-root-ca.crt"}) == 520


def test_a_watch_tells_of_changes_after_a_list_and_ends_when_it_is_closed(kube: Kube, namespace: str) -> None:
    _, version = kube.list_and_version(CONFIG_MAPS, namespace)
    watch = kube.watch(CONFIG_MAPS, namespace, resource_version=version, fields="metadata.name=settings")
    seen: list[WatchEvent] = []
    reader = threading.Thread(target=lambda: seen.extend(watch))
    reader.start()

    kube.create(CONFIG_MAPS, config_map(namespace, mode="a"))
    kube.patch(CONFIG_MAPS, "settings", {"data": {"mode": "b"}}, namespace=namespace)
    kube.delete(CONFIG_MAPS, "settings", namespace)
    time.sleep(0.3)
    watch.close()
    reader.join(5)

    assert not reader.is_alive(), "closing a watch from another thread ends it"
    assert [(event.type, event.object["data"]["mode"]) for event in seen] == [
        ("ADDED", "a"),
        ("MODIFIED", "b"),
        ("DELETED", "b"),
    ]


def test_refusals_carry_the_api_servers_own_status(kube: Kube, namespace: str) -> None:
    assert kube.find(CONFIG_MAPS, "absent", namespace) is None
    assert kube.delete(CONFIG_MAPS, "absent", namespace) is False
    kube.create(CONFIG_MAPS, config_map(namespace))

    with pytest.raises(ApiError) as refused:
        kube.create(CONFIG_MAPS, config_map(namespace))

    assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")
    assert str(refused.value) == 'configmaps "settings" already exists'


def test_two_field_managers_that_set_one_field_conflict_and_force_decides(kube: Kube, namespace: str) -> None:
    kube.apply(CONFIG_MAPS, config_map(namespace, mode="a"), field_manager="first")

    with pytest.raises(ApiError) as refused:
        kube.apply(CONFIG_MAPS, config_map(namespace, mode="b"), field_manager="second")
    live = kube.apply(CONFIG_MAPS, config_map(namespace, mode="b"), field_manager="second", force=True)

    assert refused.value.reason == "Conflict"
    assert str(refused.value) == 'Apply failed with 1 conflict: conflict with "first": .data.mode'
    assert live["data"]["mode"] == "b"


def test_a_user_without_rights_is_denied(control_plane: ControlPlane) -> None:
    stranger = Kube(replace(control_plane.client().access, token=None))

    with pytest.raises(ApiError) as refused:
        stranger.list_all(PODS)

    assert (refused.value.code, refused.value.reason) == (403, "Forbidden")


def test_discovery_finds_kinds_by_name_and_says_when_there_are_none(kube: Kube) -> None:
    assert kube.resource("apps/v1", "Deployment") == DEPLOYMENTS
    assert kube.resource("v1", "Node") == NODES
    assert kube.resource("apps/v1", "Absent") is None
    assert kube.resource("crd.k8s.amazonaws.com/v1alpha1", "Absent") is None


def test_a_program_that_does_not_start_is_named_with_the_end_of_its_log(tools: Tools, tmp_path: Path) -> None:
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho no such flag: --of-course\nexit 3\n")
    broken.chmod(0o755)

    with pytest.raises(ControlPlaneError, match=r"(?s)kube-apiserver ended with code 3.*no such flag: --of-course"):
        start_control_plane(replace(tools, kube_apiserver=broken), tmp_path / "run")


def test_taken_ports_are_tried_anew(tools: Tools, tmp_path: Path) -> None:
    unlucky = tmp_path / "etcd"
    marker = tmp_path / "tried"
    unlucky.write_text(
        f'#!/bin/sh\n[ -e {marker} ] && exec {tools.etcd} "$@"\ntouch {marker}\n'
        "echo listen tcp 127.0.0.1: bind: address already in use\nexit 1\n"
    )
    unlucky.chmod(0o755)

    with start_control_plane(replace(tools, etcd=unlucky), tmp_path / "run") as plane:
        assert plane.client().is_ready()


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from headroom.rehearsal.control_plane import start_control_plane\n"
        "from headroom.rehearsal.tools import find_tools\n"
        "plane = start_control_plane(find_tools(), Path(sys.argv[1]))\n"
        "print(*plane.process_ids.values(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 4
        parent.send_signal(signal.SIGKILL)

    wait_until(lambda: not any(map(_is_running, pids)), "the end of all processes", seconds=5)


def test_closing_twice_is_allowed_and_an_unreachable_server_is_said_to_be_so(tools: Tools, tmp_path: Path) -> None:
    plane = start_control_plane(tools, tmp_path / "run")
    pids = plane.process_ids.values()
    client = plane.client()
    plane.close()
    plane.close()

    assert not any(map(_is_running, pids))
    assert not client.is_ready()
    with pytest.raises(UnreachableError, match="does not answer"):
        client.list_all(PODS)


def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=r"absent\.yaml cannot be read: No such file"):
        kube_from(tmp_path / "absent.yaml")
    with pytest.raises(KubeconfigError, match="has no context 'prod'"):
        kube_from("apiVersion: v1\nkind: Config\n", "prod")
    with pytest.raises(KubeconfigError, match="needs a credential plugin"):
        kube_from(
            "clusters: [{name: a, cluster: {server: 'https://a.invalid'}}]\n"
            "users: [{name: a, user: {exec: {command: aws}}}]\n"
            "contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n"
        )


def _is_running(pid: int) -> bool:
    """Whether a process runs; one that is dead and only waits to be collected does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
