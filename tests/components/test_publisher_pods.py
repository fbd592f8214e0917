"""Idle addresses: what nodes hold for pods and no pod has, from EC2's interfaces and the cluster's pods."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from contextlib import contextmanager
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import subnet_publisher
from components.publisher.figures import idle_by_subnet
from components.publisher.pods import EXPIRED, MOST_SECONDS, TIMEOUT_SECONDS, PodsError, pod_addresses, token
from headroom.addresses.blocks import format_address, parse_address
from headroom.rehearsal.arm.certificate import make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CLUSTER = "prod-use1"
COLUMNS = [{"name": name} for name in ("Name", "Ready", "Status", "Restarts", "Age", "IP", "Node")]


def table(*addresses: str | None, going_on: str = "") -> bytes:
    """A page of pods, as the API server writes a table without objects."""
    rows = [{"cells": [f"pod-{n}", "1/1", "Running", 0, "1d", ip or "<none>", "n"]} for n, ip in enumerate(addresses)]
    return json.dumps({"metadata": {"continue": going_on}, "columnDefinitions": COLUMNS, "rows": rows}).encode()


class Eks:
    """DescribeCluster, and an STS client that signs and sends nothing."""

    def __init__(self, endpoint: str = "https://cluster", authority: str = "") -> None:
        data = base64.b64encode(authority.encode()).decode()
        self._cluster = {"endpoint": endpoint, "certificateAuthority": {"data": data}}

    def client(self, service: str) -> Any:
        if service == "sts":
            return boto3.client("sts", "us-east-1", aws_access_key_id="a", aws_secret_access_key="s")  # noqa: S106 - none
        return self

    def describe_cluster(self, name: str) -> dict[str, Any]:
        assert name == CLUSTER
        return {"cluster": self._cluster}


def refusal(code: int, message: str) -> HTTPError:
    body = BytesIO(json.dumps({"kind": "Status", "message": message}).encode())
    return HTTPError("https://cluster", code, "", None, body)  # type: ignore[arg-type]  # no headers are read


def read(*answers: bytes | Exception) -> tuple[set[str], list[dict[str, list[str]]]]:
    """The addresses that are read out of these answers, and what was asked for."""
    asked: list[dict[str, list[str]]] = []
    waiting = list(answers)

    def fetch(url: str, headers: Any) -> bytes:
        assert headers["Authorization"].startswith("Bearer k8s-aws-v1.")
        asked.append(parse_qs(urlsplit(url).query))
        answer = waiting.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = pod_addresses(CLUSTER, Eks().client, lambda _: fetch)
    return {format_address(address) for address in found}, asked


# What the API server is asked.


def test_the_pods_of_all_pages_are_read_and_those_without_an_address_are_none() -> None:
    found, asked = read(table("10.0.0.5", None, going_on="more"), table("10.0.0.6", "fd00::1"))
    assert found == {"10.0.0.5", "10.0.0.6"}
    assert [each.get("continue") for each in asked] == [None, ["more"]]
    assert asked[0]["fieldSelector"] == ["status.phase!=Succeeded,status.phase!=Failed"]
    assert asked[0]["includeObject"] == ["None"]


def test_a_list_that_expires_is_begun_anew_once() -> None:
    gone = refusal(EXPIRED, "the provided continue parameter is too old")
    found, asked = read(table("10.0.0.5", going_on="more"), gone, table("10.0.0.7"))
    assert (found, len(asked)) == ({"10.0.0.7"}, 3)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusal(403, "pods is forbidden: User cannot list"), "403: pods is forbidden: User cannot list"),
        (TimeoutError("timed out"), "https://cluster does not answer: timed out. A private endpoint cannot be read"),
        (json.dumps({"kind": "PodList", "items": []}).encode(), "the table of pods has no column IP, but none"),
        (b"<html>Sign in</html>", "https://cluster answers no table of pods: JSONDecodeError"),
        (b"[]", "https://cluster answers no table of pods: AttributeError"),
        (IncompleteRead(b"{"), "https://cluster answers no table of pods: IncompleteRead"),
        (refusal(302, "elsewhere"), "302: elsewhere"),
    ],
)
def test_what_cannot_be_read_is_said_and_is_no_empty_cluster(answer: bytes | Exception, said: str) -> None:
    with pytest.raises(PodsError) as caught:
        read(answer)
    assert str(caught.value) == said


def test_a_list_that_expires_again_is_said() -> None:
    gone = refusal(EXPIRED, "too old")
    with pytest.raises(PodsError, match=r"^410: too old$"):
        read(gone, refusal(EXPIRED, "too old"))


def test_pages_without_end_leave_the_run_time_for_what_alarms_stand_on() -> None:
    seconds = iter(range(0, 1000, 25))
    asked = []

    def fetch(url: str, _: Any) -> bytes:
        asked.append(url)
        return table("10.0.0.5", going_on="more")

    with pytest.raises(PodsError, match="has more pods than it lists in 60 seconds"):
        pod_addresses(CLUSTER, Eks().client, lambda _: fetch, lambda: next(seconds))
    assert len(asked) == 3
    assert MOST_SECONDS + TIMEOUT_SECONDS < subnet_publisher.TIMEOUT_SECONDS / 2


@pytest.mark.parametrize(
    "described",
    [
        {"status": "CREATING"},
        {"status": "CREATING", "endpoint": "https://cluster", "certificateAuthority": {"data": ""}},
        {"status": "CREATING", "endpoint": "https://cluster", "certificateAuthority": {"data": "bm9uZQ=="}},
        {"status": "CREATING", "endpoint": "https://cluster", "certificateAuthority": {"data": "&"}},
    ],
    ids=["none", "empty", "no-certificate", "no-base64"],
)
def test_a_cluster_without_a_certificate_authority_is_not_read_and_is_no_crash(described: dict[str, Any]) -> None:
    eks = Eks()
    eks._cluster = described
    with pytest.raises(PodsError, match="has no endpoint with a certificate authority: it is CREATING"):
        pod_addresses(CLUSTER, eks.client)


def test_the_token_is_a_signed_request_that_names_the_cluster() -> None:
    written = token(Eks().client("sts"), CLUSTER)
    prefix, _, rest = written.partition(".")
    assert prefix == "k8s-aws-v1"
    assert "=" not in rest
    url = urlsplit(base64.urlsafe_b64decode(rest + "=" * (-len(rest) % 4)).decode())
    query = parse_qs(url.query)
    assert (url.hostname or "").endswith("amazonaws.com")
    assert query["Action"] == ["GetCallerIdentity"]
    assert query["X-Amz-Expires"] == ["60"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]


def test_a_second_token_of_the_same_client_names_the_cluster_once_too() -> None:
    sts, seen = Eks().client("sts"), []
    token(sts, CLUSTER)
    sts.meta.events.register_last(
        "before-sign.sts.GetCallerIdentity", lambda request, **_: seen.append(request.headers.get_all("x-k8s-aws-id"))
    )
    token(sts, CLUSTER)
    assert seen == [[CLUSTER]]


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    """Answers, and ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(folder: Path, answer: bytes, location: str = "") -> Iterator[tuple[str, str]]:
    """An API server with a certificate of its own: its address, and who vouches for it; or one that sends elsewhere."""
    certificate, key = make_certificate(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if location else 200)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server):
        yield f"https://127.0.0.1:{server.server_port}", certificate.read_text("ascii")


def test_only_a_server_that_the_clusters_authority_vouches_for_gets_the_token(tmp_path: Path) -> None:
    with serving(tmp_path / "cluster", table("10.0.0.9")) as (endpoint, authority):
        assert pod_addresses(CLUSTER, Eks(endpoint, authority).client) == {parse_address("10.0.0.9")}
        other, _ = make_certificate(tmp_path / "other")
        with pytest.raises(PodsError, match="CERTIFICATE_VERIFY_FAILED"):
            pod_addresses(CLUSTER, Eks(endpoint, other.read_text("ascii")).client)
        plain = endpoint.replace("https", "http")
        with pytest.raises(PodsError, match="in the clear"):
            pod_addresses(CLUSTER, Eks(plain, authority).client)


def test_the_token_follows_nobody_elsewhere(tmp_path: Path) -> None:
    got = []

    class Thief(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()

    thief = ThreadingHTTPServer(("127.0.0.1", 0), Thief)
    with (
        running(thief),
        serving(tmp_path, b"", f"http://127.0.0.1:{thief.server_port}/") as (endpoint, authority),
        pytest.raises(PodsError, match=r"^302: Found$"),
    ):
        pod_addresses(CLUSTER, Eks(endpoint, authority).client)
    assert got == []


# What is idle.


def interface(
    name: str, instance: str | None, own: str, *addresses: str, prefixes: Sequence[str] = (), subnet: str = "subnet-a"
) -> dict[str, Any]:
    return {
        "NetworkInterfaceId": name,
        "SubnetId": subnet,
        "Attachment": {"InstanceId": instance} if instance else {},
        "PrivateIpAddresses": [
            {"PrivateIpAddress": address, "Primary": address == own} for address in (own, *addresses)
        ],
        "Ipv4Prefixes": [{"Ipv4Prefix": prefix} for prefix in prefixes],
    }


def idle(items: Sequence[dict[str, Any]], *pods: str) -> dict[str, int]:
    return dict(idle_by_subnet(items, {parse_address(pod) for pod in pods}))


def test_what_no_pod_has_is_idle_by_subnet_also_in_prefixes_and_with_custom_networking() -> None:
    node = [
        interface("eni-1", "i-1", "10.0.0.4"),
        # A pod's own subnet; a prefix with three pods.
        interface("eni-2", "i-1", "10.0.1.4", "10.0.1.5", "10.0.1.6", prefixes=["10.0.1.32/28"], subnet="subnet-b"),
    ]
    pods = ("10.0.0.4", "10.0.1.5", "10.0.1.33", "10.0.1.34", "10.0.1.47")
    assert idle(node, *pods) == {"subnet-a": 0, "subnet-b": 1 + 13}
    assert idle([*node, node[1]], *pods) == idle(node, *pods), "an interface that two pages show counts once"


def test_an_instance_with_none_of_the_clusters_pods_is_not_its_node_and_nothing_of_it_is_idle() -> None:
    theirs = interface("eni-9", "i-9", "10.0.0.9", "10.0.0.10", prefixes=["10.0.0.16/28"])
    loose = interface("eni-8", None, "10.0.0.7", "10.0.0.8")
    ours = interface("eni-1", "i-1", "10.0.0.4", "10.0.0.5")
    assert idle([theirs, loose, ours], "10.0.0.4") == {"subnet-a": 1}
    assert idle([theirs, loose, ours]) == {}


@given(st.integers(0, 14), st.integers(0, 14), st.integers(0, 16))
def test_idle_and_used_are_all_that_is_held(secondary: int, used: int, of_prefix: int) -> None:
    used = min(used, secondary)
    addresses = [f"10.0.0.{number}" for number in range(5, 5 + secondary)]
    node = interface("eni-1", "i-1", "10.0.0.4", *addresses, prefixes=["10.0.0.32/28"])
    pods = ["10.0.0.4", *addresses[:used], *(f"10.0.0.{number}" for number in range(32, 32 + of_prefix))]
    assert idle([node], *pods) == {"subnet-a": secondary + 16 - used - of_prefix}
