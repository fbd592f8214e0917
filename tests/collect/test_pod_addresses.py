from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from kubernetes import client, config

from components.subnet_guard import PodNames
from headroom.collect.pods import PAGE, RBAC_RULES, TIMEOUT_SECONDS, PodAddresses, list_pod_addresses
from stacks.pods import pods_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

NODES = "/api/v1/nodes"
PODS = "/api/v1/pods"


def node(name: str, provider_id: str | None) -> client.V1Node:
    return client.V1Node(metadata=client.V1ObjectMeta(name=name), spec=client.V1NodeSpec(provider_id=provider_id))


def pod(name: str, address: str | None, *, host_network: bool | None = None) -> client.V1Pod:
    return client.V1Pod(
        metadata=client.V1ObjectMeta(namespace="shop", name=name),
        spec=client.V1PodSpec(containers=[], host_network=host_network),
        status=client.V1PodStatus(pod_ip=address),
    )


@dataclass(slots=True)
class Cluster:
    """An API server that answers in pages, and what it was asked."""

    contexts: list[str | None] = field(default_factory=list)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    nodes: Sequence[Sequence[client.V1Node]] = ((),)
    pods: Sequence[Sequence[client.V1Pod]] = ((),)
    failure: Exception | None = None
    fails_at: str = NODES

    def answer(self, path: str, query: Mapping[str, Any], empty_list: Callable[..., Any]) -> Any:
        assert (path, query) not in self.asked, "the same page twice would never end"
        self.asked.append((path, query))
        if self.failure is not None and path == self.fails_at:
            raise self.failure
        pages: Sequence[Sequence[Any]] = self.nodes if path == NODES else self.pods
        number = int(query["_continue"] or 0)
        more = str(number + 1) if number + 1 < len(pages) else None
        return empty_list(metadata=client.V1ListMeta(_continue=more), items=list(pages[number]))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Takes the place of the kubeconfig and of the API server behind it."""
    made = Cluster()

    def load(context: str | None = None) -> client.ApiClient:
        made.contexts.append(context)
        return client.ApiClient(client.Configuration())

    def list_node(_: client.CoreV1Api, **query: Any) -> Any:
        return made.answer(NODES, query, client.V1NodeList)

    def list_pods(_: client.CoreV1Api, **query: Any) -> Any:
        return made.answer(PODS, query, client.V1PodList)

    monkeypatch.setattr("kubernetes.config.new_client_from_config", load)
    monkeypatch.setattr(client.CoreV1Api, "list_node", list_node)
    monkeypatch.setattr(client.CoreV1Api, "list_pod_for_all_namespaces", list_pods)
    return made


def test_pods_are_named_by_address_and_nodes_by_instance_id(cluster: Cluster) -> None:
    cluster.nodes = [[node("ip-10-68-0-4.ec2.internal", "aws:///us-east-1a/i-0123456789abcdef0")]]
    cluster.pods = [[pod("checkout-1", "100.64.0.4"), pod("cart-1", "100.64.0.5", host_network=False)]]
    assert list_pod_addresses() == PodAddresses(
        pods={"100.64.0.4": "shop/checkout-1", "100.64.0.5": "shop/cart-1"},
        nodes={"i-0123456789abcdef0": "ip-10-68-0-4.ec2.internal"},
    )


def test_a_pod_with_its_nodes_address_holds_none_of_the_subnets(cluster: Cluster) -> None:
    cluster.pods = [[pod("aws-node-1", "10.68.0.4", host_network=True), pod("checkout-1", "100.64.0.4")]]
    assert list_pod_addresses().pods == {"100.64.0.4": "shop/checkout-1"}


def test_what_has_no_address_or_no_instance_yet_is_left_out(cluster: Cluster) -> None:
    bare = client.V1Pod(metadata=client.V1ObjectMeta(namespace="shop", name="new"), spec=None, status=None)
    cluster.pods = [[pod("pending-1", None), bare]]
    cluster.nodes = [[node("joining", None), client.V1Node(metadata=client.V1ObjectMeta(name="bare"))]]
    assert list_pod_addresses() == PodAddresses(), "an empty cluster is known to be empty"


def test_every_page_is_read(cluster: Cluster) -> None:
    cluster.nodes = [[node("a", "aws:///us-east-1a/i-1")], [node("b", "aws:///us-east-1b/i-2")]]
    cluster.pods = [[pod("one", "100.64.0.4")], [], [pod("two", "100.64.0.5")]]
    found = list_pod_addresses()
    assert found.nodes == {"i-1": "a", "i-2": "b"}
    assert found.pods == {"100.64.0.4": "shop/one", "100.64.0.5": "shop/two"}
    limits = {"limit": PAGE, "_request_timeout": TIMEOUT_SECONDS}
    assert cluster.asked == [
        (NODES, {**limits, "_continue": None}),
        (NODES, {**limits, "_continue": "1"}),
        (PODS, {**limits, "_continue": None}),
        (PODS, {**limits, "_continue": "1"}),
        (PODS, {**limits, "_continue": "2"}),
    ]


@pytest.mark.parametrize(("context", "loaded"), [("prod", "prod"), ("", None)])
def test_the_context_is_the_kubeconfigs_and_empty_means_the_current_one(
    cluster: Cluster, context: str, loaded: str | None
) -> None:
    list_pod_addresses(context)
    assert cluster.contexts == [loaded]


@pytest.mark.parametrize("path", [NODES, PODS])
@pytest.mark.parametrize(
    ("failure", "unknown"),
    [
        (client.ApiException(status=403, reason="Forbidden"), "the API server answered 403 Forbidden"),
        (client.ApiException(status=401, reason="Unauthorized"), "the API server answered 401 Unauthorized"),
        (
            client.ApiException(status=410, reason="Gone"),
            "the API server answered 410 Gone",
        ),
        (
            urllib3.exceptions.MaxRetryError(urllib3.HTTPConnectionPool("localhost"), "/api"),
            "the API server did not answer: MaxRetryError",
        ),
        (
            urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("localhost"), "/api", "slow"),
            "the API server did not answer: ReadTimeoutError",
        ),
        (ConnectionResetError("reset"), "the API server did not answer: ConnectionResetError"),
    ],
)
def test_an_api_server_that_denies_or_is_silent_leaves_everything_unknown(
    cluster: Cluster, failure: Exception, unknown: str, path: str
) -> None:
    cluster.nodes = [[node("a", "aws:///us-east-1a/i-1")]]
    cluster.pods = [[pod("one", "100.64.0.4")]]
    cluster.failure, cluster.fails_at = failure, path
    assert list_pod_addresses() == PodAddresses(unknown=unknown), "half of an answer would pass for all of it"


def test_a_second_page_that_fails_leaves_everything_unknown(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def expired(_: client.CoreV1Api, **query: Any) -> Any:
        if query["_continue"]:
            raise client.ApiException(status=410, reason="Expired")
        return client.V1PodList(metadata=client.V1ListMeta(_continue="1"), items=[pod("one", "100.64.0.4")])

    monkeypatch.setattr(client.CoreV1Api, "list_pod_for_all_namespaces", expired)
    assert list_pod_addresses() == PodAddresses(unknown="the API server answered 410 Expired")
    assert [path for path, _ in cluster.asked] == [NODES]


def test_without_a_usable_kubeconfig_everything_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(context: str | None = None) -> client.ApiClient:
        raise config.ConfigException(f"Invalid kube-config file. No configuration found for {context}.")

    monkeypatch.setattr("kubernetes.config.new_client_from_config", load)
    unknown = "no usable kubeconfig: Invalid kube-config file. No configuration found for prod."
    assert list_pod_addresses("prod") == PodAddresses(unknown=unknown)


def test_the_role_that_a_reader_needs_may_list_what_is_listed(cluster: Cluster) -> None:
    list_pod_addresses()
    (rule,) = RBAC_RULES
    assert rule["verbs"] == ["list"]
    assert sorted(rule["resources"]) == sorted({path.rpartition("/")[2] for path, _ in cluster.asked})


def test_the_stacks_reader_hands_over_all_that_was_read(cluster: Cluster) -> None:
    cluster.nodes = [[node("a", "aws:///us-east-1a/i-1")]]
    cluster.pods = [[pod("one", "100.64.0.4")]]
    assert asyncio.run(_read("prod")) == PodNames({"100.64.0.4": "shop/one"}, "", {"i-1": "a"})
    assert cluster.contexts == ["prod"]
    cluster.asked.clear()
    cluster.failure = client.ApiException(status=403, reason="Forbidden")
    assert asyncio.run(_read("")) == PodNames({}, "the API server answered 403 Forbidden")


async def _read(context: str) -> PodNames:
    return await pods_reader(context)()


@pytest.mark.parametrize("text", ["{", "[]", "apiVersion: v1\nclusters: 5\ncontexts: x\ncurrent-context: y\n"])
def test_a_kubeconfig_of_the_wrong_shape_is_said_and_not_raised(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    found = list_pod_addresses("any")
    assert found.unknown.startswith("no usable kubeconfig: ")
    assert not found.pods
