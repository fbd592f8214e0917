"""What simulated nodes serve, reached as a real API server reaches nodes."""

import contextlib
import random
import socket
import ssl
from collections.abc import Iterator

import pytest

from headroom.capacity.cni_version import CniVersion
from headroom.capacity.ec2 import Ec2Error, Interface, Subnet
from headroom.capacity.ipamd import Ipamd
from headroom.capacity.limits import instance_limits
from headroom.capacity.settings import CniSettings
from headroom.collect.ipamd import pool_reading
from headroom.collect.pod_logs import logs_of
from headroom.facts.kubernetes import Pod
from headroom.facts.values import Unknown
from headroom.rehearsal.control_plane import ControlPlane, start_control_plane
from headroom.rehearsal.ipamd_metrics import METRICS_PATH, METRICS_PORT, metrics
from headroom.rehearsal.kube import NODES, PODS, ApiError, Kube
from headroom.rehearsal.node_network import NodeNetwork
from headroom.rehearsal.nodes import KUBELET_PORT
from headroom.rehearsal.tools import Tools

ADDRESS = "10.68.204.5"


@pytest.fixture
def network() -> Iterator[NodeNetwork]:
    with NodeNetwork() as running:
        running.serve(ADDRESS, METRICS_PORT, METRICS_PATH, lambda: "awscni_eni_max 3\n")
        yield running


def converse(network: NodeNetwork, *requests: str) -> str:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(5)
        caller.connect(str(network.socket))
        caller.sendall("".join(requests).encode())
        caller.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: caller.recv(65536), b"")).decode()


CONNECT = f"CONNECT {ADDRESS}:{METRICS_PORT} HTTP/1.1\r\nHost: {ADDRESS}:{METRICS_PORT}\r\n\r\n"


def test_what_a_node_serves_comes_through_the_tunnel(network: NodeNetwork) -> None:
    answer = converse(network, CONNECT, "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /other HTTP/1.1\r\n\r\n")
    established, first, rest = answer.split("\r\n\r\n", 2)
    assert established == "HTTP/1.1 200 Connection established"
    assert first.startswith("HTTP/1.1 200 OK\r\n")
    body, _, last = rest.partition("HTTP/1.1 ")
    assert body == "awscni_eni_max 3\n"
    assert last.startswith("404 Not Found\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (CONNECT.replace(ADDRESS, "10.68.204.6"), "502 Bad Gateway"),
        (CONNECT.replace(str(METRICS_PORT), "10250"), "502 Bad Gateway"),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("\r\n", "400 Bad Request"),
    ],
)
def test_nothing_else_is_reached(network: NodeNetwork, request_: str, status: str) -> None:
    assert converse(network, request_).startswith(f"HTTP/1.1 {status}\r\n")


KUBELET = CONNECT.replace(str(METRICS_PORT), str(KUBELET_PORT))


def by_tls(network: NodeNetwork, request_: str) -> str:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(5)
        caller.connect(str(network.socket))
        caller.sendall(KUBELET.encode())
        assert caller.recv(4096).startswith(b"HTTP/1.1 200 ")
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with trusting.wrap_socket(caller) as secured:
            secured.sendall(request_.encode())
            return secured.recv(4096).decode()


def test_a_kubelet_answers_by_tls_until_the_way_to_it_is_cut(network: NodeNetwork) -> None:
    network.serve_tls(ADDRESS, KUBELET_PORT, lambda path, query: f"{path} {query['limitBytes']}")
    answer = by_tls(network, "GET /containerLogs/shop/web-1/app?limitBytes=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert answer.endswith("\r\n\r\n/containerLogs/shop/web-1/app 1")
    network.cut(ADDRESS, KUBELET_PORT)
    assert converse(network, KUBELET).startswith("HTTP/1.1 502 Bad Gateway\r\n")


def test_a_caller_that_speaks_no_tls_to_a_kubelet_is_hung_up_on(network: NodeNetwork) -> None:
    network.serve_tls(ADDRESS, KUBELET_PORT, lambda *_: "never")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(5)
        caller.connect(str(network.socket))
        caller.sendall(KUBELET.encode())
        assert caller.recv(4096).startswith(b"HTTP/1.1 200 ")
        caller.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"never" not in b"".join(iter(lambda: caller.recv(4096), b""))


def test_its_socket_is_gone_when_it_ends() -> None:
    with NodeNetwork() as network:
        assert network.socket.is_socket()
    assert not network.socket.parent.exists()


class Empty:
    """An EC2 whose subnet is full."""

    def describe_subnets(self) -> list[Subnet]:
        return [Subnet(id="subnet-1", free_addresses=0, tags={})]

    def __getattr__(self, name: str) -> object:
        def refuse(*_: object, **__: object) -> None:
            raise Ec2Error("InsufficientFreeAddressesInSubnet", "full", call=name)

        return refuse


def test_the_metrics_of_a_simulated_ipamd_are_read_like_those_of_a_real_one() -> None:
    ipamd = Ipamd(
        limits=instance_limits("m5.large"),
        settings=CniSettings(),
        max_pods=29,
        ec2=Empty(),  # type: ignore[arg-type] # it refuses everything else
        primary=Interface(id="eni-1", subnet_id="subnet-1", primary_address=5, addresses=tuple(range(6, 15))),
        version=CniVersion.parse("1.19.2"),
        random=random.Random(1),  # noqa: S311 - a repeatable choice
    )
    ipamd.start(0.0)
    assert ipamd.assign("shop/web-1", 1.0) is not None
    text = metrics(ipamd, {("CreateNetworkInterface", "InsufficientFreeAddressesInSubnet"): 4}, no_address=7)
    found = pool_reading("node", text)
    assert (found.total_addresses, found.assigned_addresses, found.prefixes) == (9, 1, 0)
    assert (found.interfaces, found.maximum_interfaces, found.maximum_addresses) == (1, 3, 27)
    assert found.no_available_addresses == 7
    assert found.api_errors == {"CreateNetworkInterface/InsufficientFreeAddressesInSubnet": 4}


@pytest.mark.control_plane
def test_the_api_server_reaches_nodes_through_it(
    network: NodeNetwork, tools: Tools, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with start_control_plane(tools, tmp_path_factory.mktemp("plane"), nodes=network.socket) as plane:
        kube = plane.client()
        kube.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
        for name, address in (("reached", ADDRESS), ("lost", "10.68.204.9")):
            put_pod(kube, name, address)
        path = f"/api/v1/namespaces/default/pods/{{}}:{METRICS_PORT}/proxy/metrics"
        response = kube._send("GET", path.format("reached"))
        assert (response.status, response.data) == (200, b"awscni_eni_max 3\n")
        with pytest.raises(ApiError) as refused:
            kube.request("GET", path.format("lost"))
        assert refused.value.code == 503
        network.serve_tls(ADDRESS, KUBELET_PORT, lambda path, _: "x" if path.startswith("/containerLogs/") else None)
        kube.patch(
            NODES, "n", {"status": {"addresses": [{"type": "InternalIP", "address": ADDRESS}]}}, subresource="status"
        )
        pod = Pod(namespace="default", name="reached", ip=ADDRESS, node="n")
        assert read(plane, pod) == (True, "")
        network.cut(ADDRESS, KUBELET_PORT)
        reached, because = read(plane, pod)
        assert reached is False
        assert "Bad Gateway" in because
        kube.close()


def read(plane: ControlPlane, pod: Pod) -> tuple[bool | Unknown, str]:
    found = logs_of("rehearsal", [pod], kubeconfig=str(plane.kubeconfig))
    assert isinstance(found, tuple)
    (access,) = found
    return access.read, access.because


def put_pod(kube: Kube, name: str, address: str) -> None:
    kube.create(
        PODS,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "nodeName": "n",
                "hostNetwork": True,
                "containers": [{"name": "c", "image": "registry.invalid/c"}],
            },
        },
    )
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": address}
    kube.patch(PODS, name, {"status": status}, namespace="default", subresource="status")
