"""NetworkPolicies, namespaces, and pods by what policies see of them: from the API's objects, and from bundles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.collect.bundle import read_bundle
from headroom.collect.kubernetes_objects import PodSets, namespace, network_policy
from headroom.facts.kubernetes import (
    Kubernetes,
    LabelSelector,
    Namespace,
    NetworkPolicy,
    PodPort,
    PodSet,
    PolicyPeer,
    PolicyPort,
    PolicyRule,
    SelectorRequirement,
)
from headroom.facts.values import NOT_COLLECTED, Unknown
from tests.collect.conftest import pod_object

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """
kind: NetworkPolicy
metadata: {namespace: prod, name: p, labels: {not: kept}}
spec:
  podSelector:
    matchLabels: {app: web}
    matchExpressions: [{key: tier, operator: NotIn, values: [test]}, {key: x, operator: Exists}]
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - ipBlock: {cidr: 172.17.5.9/16, except: [172.17.1.0/24]}
        - namespaceSelector: {}
          podSelector: {}
      ports: [{protocol: UDP, port: 53}, {port: http}, {port: 1, endPort: 9}, {protocol: SCTP}]
  egress: [{}]
"""
READ = NetworkPolicy(
    namespace="prod",
    name="p",
    pods=LabelSelector(
        labels={"app": "web"},
        expressions=(
            SelectorRequirement(key="tier", operator="NotIn", values=("test",)),
            SelectorRequirement(key="x", operator="Exists"),
        ),
    ),
    types=("Ingress", "Egress"),
    ingress=(
        PolicyRule(
            peers=(
                PolicyPeer(block="172.17.0.0/16", excepted=("172.17.1.0/24",)),
                PolicyPeer(pods=LabelSelector(), namespaces=LabelSelector()),
            ),
            ports=(
                PolicyPort(protocol="UDP", port=53),
                PolicyPort(name="http"),
                PolicyPort(port=1, end_port=9),
                PolicyPort(protocol="SCTP"),
            ),
        ),
    ),
    egress=(PolicyRule(),),
)


def test_a_policy_is_read_whole_and_a_block_without_host_bits() -> None:
    assert network_policy(yaml.safe_load(POLICY)) == READ


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ("Ingress",)),
        ({"egress": []}, ("Ingress",)),
        ({"egress": [{}]}, ("Ingress", "Egress")),
        ({"egress": [{}], "policyTypes": ["Ingress"]}, ("Ingress",)),
        ({"ingress": [{}], "policyTypes": ["Egress"]}, ("Egress",)),
    ],
)
def test_a_file_without_policy_types_has_those_that_the_api_server_fills_in(
    spec: dict[str, Any], types: tuple[str, ...]
) -> None:
    assert network_policy({"metadata": {"namespace": "n", "name": "p"}, "spec": spec}).types == types


@pytest.mark.parametrize("peer", [{}, {"ipBlock": {"cidr": "10.0.0.0/33"}}, {"ipBlock": {}}])
def test_a_peer_that_names_nobody_is_refused(peer: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        network_policy({"metadata": {"namespace": "n", "name": "p"}, "spec": {"ingress": [{"from": [peer]}]}})


def test_a_namespace_keeps_its_labels() -> None:
    assert namespace({"metadata": {"name": "n", "labels": {"a": "b"}}}) == Namespace(name="n", labels={"a": "b"})
    assert namespace({"metadata": {"name": "n"}}) == Namespace(name="n")


def container(**more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "i", **more}


def sets(*pods: dict[str, Any]) -> tuple[PodSet, ...]:
    found = PodSets()
    for pod in pods:
        found.add(pod)
    return found.fact()


def test_equal_pods_are_one_set_and_ended_ones_none() -> None:
    labels = {"app": "web"}
    ended = pod_object("web-9", ip="10.0.0.9", labels=labels)
    ended["status"]["phase"] = "Succeeded"
    other = pod_object("db-1", ip="10.0.0.3", labels={"app": "db"}, host_network=True)
    pods = [pod_object(f"web-{number}", ip=f"10.0.0.{number}", labels=labels) for number in (2, 1)]
    assert sets(*pods, other, ended) == (
        PodSet(namespace="shop", labels={"app": "db"}, host_network=True, pods=("db-1",)),
        PodSet(namespace="shop", labels=labels, pods=("web-1", "web-2")),
    )


@pytest.mark.parametrize(
    ("probe", "checked"),
    [
        ({"tcpSocket": {"port": 8080}}, True),
        ({"httpGet": {"port": "web", "path": "/"}}, True),
        ({"grpc": {"port": 8080}}, True),
        ({"httpGet": {"port": 8080, "host": "elsewhere"}}, False),
        ({"exec": {"command": ["true"]}}, False),
        ({}, False),
    ],
)
def test_a_port_that_the_readiness_probe_asks_is_marked(probe: dict[str, Any], checked: bool) -> None:  # noqa: FBT001 - a table
    pod = pod_object("web-1", ip="10.0.0.1")
    ports = [{"containerPort": 8080, "name": "web"}, {"containerPort": 53, "protocol": "UDP"}]
    pod["spec"]["containers"] = [container(ports=ports, readinessProbe=probe)]
    assert sets(pod)[0].ports == (
        PodPort(port=8080, name="web", checked=checked),
        PodPort(port=53, protocol="UDP"),
    )


def test_a_port_of_a_readiness_probe_counts_undeclared_and_a_sidecars_ports_too() -> None:
    pod = pod_object("web-1", ip="10.0.0.1")
    pod["spec"]["initContainers"] = [
        container(ports=[{"containerPort": 1}]),
        container(ports=[{"containerPort": 2}], restartPolicy="Always"),
    ]
    pod["spec"]["containers"] = [container(readinessProbe={"tcpSocket": {"port": 3}})]
    assert sets(pod)[0].ports == (PodPort(port=2), PodPort(port=3, checked=True))


# Bundles


def bundle(folder: Path, **kinds: list[dict[str, Any]]) -> Kubernetes:
    for kind, items in kinds.items():
        content = {"kind": "List", "items": [{"kind": kind, **item} for item in items]}
        (folder / f"{kind}.json").write_text(json.dumps(content), encoding="utf-8")
    found = read_bundle(folder).kubernetes
    assert isinstance(found, Kubernetes)
    return found


def test_a_bundle_with_policies_has_the_pods_by_what_they_see(tmp_path: Path) -> None:
    pod = pod_object("web-1", ip="10.0.0.1", labels={"app": "web"})
    places = [{"metadata": {"name": "shop"}}]
    found = bundle(tmp_path, Pod=[pod], NetworkPolicy=[yaml.safe_load(POLICY)], Namespace=places)
    assert found.network_policies == (READ,)
    assert found.namespaces == (Namespace(name="shop"),)
    assert found.pod_sets == (PodSet(namespace="shop", labels={"app": "web"}, pods=("web-1",)),)


def test_a_bundle_without_policies_or_without_pods_leaves_the_sets_uncollected(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert bundle(tmp_path / "a", Pod=[pod_object("web-1")]).pod_sets == NOT_COLLECTED
    assert bundle(tmp_path / "b", NetworkPolicy=[yaml.safe_load(POLICY)]).pod_sets == NOT_COLLECTED


def test_one_policy_that_makes_no_sense_leaves_all_unknown(tmp_path: Path) -> None:
    """Policies add up: what one of them allows decides what the others deny."""
    wrong = {"metadata": {"namespace": "n", "name": "q"}, "spec": {"ingress": [{"from": [{}]}]}}
    found = bundle(tmp_path, NetworkPolicy=[yaml.safe_load(POLICY), wrong], Pod=[pod_object("web-1")])
    assert isinstance(found.network_policies, Unknown)
    assert found.pod_sets == found.network_policies
