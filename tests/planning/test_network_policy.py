"""What NetworkPolicies allow, against an oracle that works by listing, and the cases of Kubernetes' documentation."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headroom.collect.kubernetes_objects import network_policy
from headroom.facts.kubernetes import PodPort
from headroom.planning.network_policy import (
    Connection,
    Decision,
    Direction,
    Face,
    World,
    all_of_it,
    allowed,
    judge,
    rules_of,
    world_of,
)

Object = dict[str, Any]

NAMESPACES = {"a": {"team": "x"}, "b": {"team": "y"}, "c": {}}
KEYS, VALUES = ("app", "tier"), ("web", "db")
PORTS = (PodPort(port=80, name="http"), PodPort(port=5432, name="sql"), PodPort(port=53, name="dns", protocol="UDP"))
EVERY_LABELS = [
    {key: value for key, value in zip(KEYS, pair, strict=True) if value} for pair in product(("", *VALUES), repeat=2)
]


# The oracle: raw objects as the API server has them; it lists everything that a selector picks, and looks it up there.


def listed(selector: Object | None, among: list[Object]) -> list[Object]:
    """Those of some label sets that a selector picks, requirement by requirement struck off a list."""
    left = list(among)
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        left = [each for each in left if each.get(key, "") == value]
    for requirement in (selector or {}).get("matchExpressions") or []:
        key, values = requirement["key"], requirement.get("values") or []
        having = [each for each in left if key in each]
        lacking = [each for each in left if key not in each]
        left = {
            "In": [each for each in having if each[key] in values],
            "NotIn": lacking + [each for each in having if each[key] not in values],
            "Exists": having,
            "DoesNotExist": lacking,
        }[requirement["operator"]]
    return left


def oracle_ports(rule: Object, target: Face) -> set[tuple[str, int]]:
    """Every (protocol, port) of a target that a rule opens, counted up one by one."""
    if not rule.get("ports"):
        return {(protocol, port) for protocol in ("TCP", "UDP", "SCTP") for port in (53, 80, 443, 5432)}
    found = set()
    for entry in rule["ports"]:
        protocol, port = entry.get("protocol", "TCP"), entry.get("port")
        if port is None:
            found |= {(protocol, each) for each in (53, 80, 443, 5432)}
        elif isinstance(port, str):
            found |= {(protocol, each.port) for each in target.ports if (each.name, each.protocol) == (port, protocol)}
        else:
            found |= {(protocol, each) for each in range(port, entry.get("endPort", port) + 1)}
    return found


def oracle_side(policies: list[Object], direction: str, attempt: Connection) -> str:
    """What one side says: the union of what every policy of the pod opens, or everything where there is none."""
    ingress = direction == "Ingress"
    pod, other = (attempt.target, attempt.source) if ingress else (attempt.source, attempt.target)
    mine = [
        each["spec"]
        for each in policies
        if each["metadata"]["namespace"] == pod.namespace
        and direction in each["spec"]["policyTypes"]
        and listed(each["spec"]["podSelector"], [dict(pod.labels)])
    ]
    if not mine:
        return "allowed"
    opened, perhaps = False, False
    for spec in mine:
        for rule in spec.get("ingress" if ingress else "egress") or []:
            if (attempt.protocol, attempt.port) not in oracle_ports(rule, attempt.target):
                continue
            peers = rule.get("from" if ingress else "to")
            if not peers:
                opened = True
            for peer in peers or []:
                if "ipBlock" in peer:
                    block = peer["ipBlock"]
                    inside = ip_address(other.address) in ip_network(block["cidr"])
                    outside = [
                        each for each in block.get("except", []) if ip_address(other.address) in ip_network(each)
                    ]
                    perhaps |= inside and not outside
                    continue
                places = (
                    [pod.namespace]
                    if "namespaceSelector" not in peer
                    else [name for name in NAMESPACES if listed(peer["namespaceSelector"], [NAMESPACES[name]])]
                )
                pods = [(place, labels) for place in places for labels in listed(peer.get("podSelector"), EVERY_LABELS)]
                opened |= (other.namespace, dict(other.labels)) in pods
    return "allowed" if opened else "left open" if perhaps else "denied"


def oracle(policies: list[Object], attempt: Connection) -> str:
    sides = [oracle_side(policies, direction, attempt) for direction in ("Ingress", "Egress")]
    return next(word for word in ("denied", "left open", "allowed") if word in sides)


LABELS = st.sampled_from(EVERY_LABELS)
REQUIREMENTS = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(KEYS),
        st.sampled_from(("In", "NotIn")),
        st.lists(st.sampled_from(VALUES), min_size=1, max_size=2, unique=True),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(KEYS),
        st.sampled_from(("Exists", "DoesNotExist")),
    ),
)
SELECTORS = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(REQUIREMENTS, max_size=2)}
)
PLACES: st.SearchStrategy[Object] = st.one_of(
    st.just({}), st.sampled_from([{"matchLabels": {"team": "x"}}, {"matchLabels": {"team": "z"}}])
)
BLOCKS = st.sampled_from(
    [
        {"cidr": "10.0.0.0/8"},
        {"cidr": "10.0.0.0/16", "except": ["10.0.1.0/24"]},
        {"cidr": "192.0.2.0/24"},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
    ]
)
PEERS = st.one_of(
    st.fixed_dictionaries({"podSelector": SELECTORS}),
    st.fixed_dictionaries({"namespaceSelector": PLACES}),
    st.fixed_dictionaries({"podSelector": SELECTORS, "namespaceSelector": PLACES}),
    st.fixed_dictionaries({"ipBlock": BLOCKS}),
)
RULE_PORTS = st.sampled_from(
    [
        {"port": 80},
        {"port": "http"},
        {"port": "sql", "protocol": "TCP"},
        {"port": "dns"},
        {"port": "dns", "protocol": "UDP"},
        {"protocol": "UDP"},
        {"port": 50, "endPort": 80},
        {"port": 81, "endPort": 443, "protocol": "TCP"},
    ]
)


def rules(peers: str) -> st.SearchStrategy[list[Object]]:
    rule = st.fixed_dictionaries(
        {}, optional={peers: st.lists(PEERS, max_size=2), "ports": st.lists(RULE_PORTS, max_size=2)}
    )
    return st.lists(rule, max_size=2)


POLICIES = st.builds(
    lambda namespace, selector, types, ingress, egress: {
        "metadata": {"namespace": namespace, "name": "p"},
        "spec": {"podSelector": selector, "policyTypes": types, "ingress": ingress, "egress": egress},
    },
    st.sampled_from(sorted(NAMESPACES)),
    SELECTORS,
    st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
    rules("from"),
    rules("to"),
)
FACES = st.builds(
    Face,
    namespace=st.sampled_from(sorted(NAMESPACES)),
    labels=LABELS,
    ports=st.sampled_from([PORTS, PORTS[:1], ()]),
    address=st.sampled_from(["10.0.0.5", "10.0.1.5", "192.0.2.7", "198.51.100.1"]),
)
CONNECTIONS = st.builds(
    Connection,
    source=FACES,
    target=FACES,
    port=st.sampled_from([80, 5432, 53, 443]),
    protocol=st.sampled_from(["TCP", "UDP"]),
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.lists(POLICIES, max_size=4), CONNECTIONS)
def test_what_is_allowed_is_what_an_oracle_lists(policies: list[Object], attempt: Connection) -> None:
    world = world_of(map(network_policy, policies), NAMESPACES)
    assert allowed(world, attempt).value == oracle(policies, attempt)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(POLICIES, max_size=3), POLICIES, CONNECTIONS)
def test_policies_of_a_pod_that_is_isolated_already_only_add(
    policies: list[Object], more: Object, attempt: Connection
) -> None:
    before = world_of(map(network_policy, policies), NAMESPACES)
    after = world_of(map(network_policy, [*policies, more]), NAMESPACES)
    for direction in Direction:
        said = judge(before, attempt, direction)
        if said.isolating and said.decision is Decision.ALLOWED:
            assert judge(after, attempt, direction).decision is Decision.ALLOWED


@given(rules("from"), CONNECTIONS)
def test_rules_that_allow_all_of_it_allow_every_connection(ingress: list[Object], attempt: Connection) -> None:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress}
    policy = network_policy({"metadata": {"namespace": attempt.target.namespace, "name": "p"}, "spec": spec})
    said = judge(world_of([policy], NAMESPACES), attempt, Direction.INGRESS).decision
    if all_of_it(rules_of(policy, Direction.INGRESS)) is Decision.ALLOWED:
        assert said is Decision.ALLOWED


# The documentation's cases (Kubernetes, concepts/services-networking/network-policies)


def world(*texts: str) -> World:
    """Policies from the spec in YAML, all in namespace a."""
    made = [
        network_policy({"metadata": {"namespace": "a", "name": f"p{number}"}, "spec": yaml.safe_load(text) or {}})
        for number, text in enumerate(texts)
    ]
    return world_of(made, NAMESPACES)


def said(found: World, source: Face, target: Face, port: int = 80) -> str:
    return allowed(found, Connection(source=source, target=target, port=port)).value


A, B = Face(namespace="a", ports=PORTS), Face(namespace="b", ports=PORTS)
WEB_A = Face(namespace="a", labels={"app": "web"}, ports=PORTS)
WEB_B = Face(namespace="b", labels={"app": "web"}, ports=PORTS)


def test_pods_without_a_policy_are_open() -> None:
    assert said(world(), B, A) == "allowed"


@pytest.mark.parametrize(
    ("spec", "to_it", "from_it"),
    [
        ("{podSelector: {}, policyTypes: [Ingress]}", "denied", "allowed"),
        ("{podSelector: {}, policyTypes: [Egress]}", "allowed", "denied"),
        ("{podSelector: {}, policyTypes: [Ingress, Egress]}", "denied", "denied"),
        ("{podSelector: {}, ingress: [{}], policyTypes: [Ingress]}", "allowed", "allowed"),
        ("{podSelector: {}, egress: [{}], policyTypes: [Egress]}", "allowed", "allowed"),
        ("{podSelector: {}, ingress: [{from: []}], policyTypes: [Ingress]}", "allowed", "allowed"),
        ("{podSelector: {}, ingress: [], policyTypes: [Ingress]}", "denied", "allowed"),
        # Without policyTypes: Ingress always, Egress only with egress rules.
        ("{podSelector: {}}", "denied", "allowed"),
        ("{podSelector: {}, egress: [{}]}", "denied", "allowed"),
        ("{podSelector: {}, egress: [{to: [{podSelector: {}}]}]}", "denied", "denied"),
    ],
)
def test_the_default_policies(spec: str, to_it: str, from_it: str) -> None:
    assert (said(world(spec), B, A), said(world(spec), A, B)) == (to_it, from_it)


def test_a_pod_selector_beside_a_namespace_selector_narrows_it_and_apart_from_it_adds() -> None:
    both = "ingress: [{from: [{namespaceSelector: {matchLabels: {team: y}}, podSelector: {matchLabels: {app: web}}}]}]"
    either = (
        "ingress: [{from: [{namespaceSelector: {matchLabels: {team: y}}}, {podSelector: {matchLabels: {app: web}}}]}]"
    )
    sources = (WEB_B, B, WEB_A, A, Face(namespace="c", labels={"app": "web"}))
    assert [said(world(f"{{podSelector: {{}}, {both}}}"), each, A) for each in sources] == [
        "allowed", "denied", "denied", "denied", "denied",
    ]  # fmt: skip
    assert [said(world(f"{{podSelector: {{}}, {either}}}"), each, A) for each in sources] == [
        "allowed", "allowed", "allowed", "denied", "denied",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "decision"),
    [("172.17.0.5", "left open"), ("172.17.1.5", "denied"), ("172.18.0.5", "denied")],
)
def test_what_a_block_excepts_is_not_allowed_and_what_it_covers_is_the_engines(address: str, decision: str) -> None:
    spec = "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}}]}]}"
    assert said(world(spec), Face(namespace="b", address=address), A) == decision


def test_a_block_without_pods_is_taken_to_hold_no_new_one() -> None:
    spec = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "172.17.0.0/16"}}]}]}
    policy = network_policy({"metadata": {"namespace": "a", "name": "p"}, "spec": spec})
    for addresses, decision in ((["10.0.0.1"], "denied"), (["10.0.0.1", "172.17.0.9"], "left open")):
        assert said(world_of([policy], NAMESPACES, addresses), B, A) == decision


def test_a_range_of_ports_holds_both_its_ends() -> None:
    spec = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 32000, endPort: 32768}]}]}"
    ports = (31999, 32000, 32500, 32768, 32769)
    assert [said(world(spec), A, B, port) for port in ports] == ["denied", "allowed", "allowed", "allowed", "denied"]


def test_a_named_port_is_the_targets() -> None:
    spec = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}"
    other = Face(namespace="b", ports=(PodPort(port=8080, name="http"),))
    assert [said(world(spec), A, other, port) for port in (80, 8080)] == ["denied", "allowed"]


def test_both_ends_must_allow_a_connection() -> None:
    ingress = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}"
    egress = "{podSelector: {}, policyTypes: [Egress]}"
    assert said(world(ingress), A, WEB_A) == "allowed"
    assert said(world(ingress, egress), A, WEB_A) == "denied"


def test_policies_add_up() -> None:
    deny = "{podSelector: {}, policyTypes: [Ingress]}"
    allow = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {}}]}]}"
    assert [said(world(deny, allow), B, each) for each in (WEB_A, A)] == ["allowed", "denied"]


def test_a_pod_of_the_host_network_is_left_open() -> None:
    deny = "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}"
    assert said(world(deny), Face(namespace="a", host_network=True), A) == "left open"
    assert said(world(deny), A, Face(namespace="a", host_network=True)) == "left open"


def test_a_policy_speaks_of_its_own_namespace() -> None:
    assert said(world("{podSelector: {}}"), A, B) == "allowed"


@pytest.mark.parametrize(
    ("ports", "decision"),
    [
        ("", "allowed"),
        ("ports: [{port: 1, endPort: 65535}]", "denied"),
        ("ports: [{}, {protocol: UDP}, {protocol: SCTP}]", "allowed"),
        ("ports: [{port: 1, endPort: 99}, {port: 101, endPort: 65535}, {protocol: UDP}, {protocol: SCTP}]", "denied"),
        ("ports: [{port: 100, endPort: 65535}, {port: 1, endPort: 99}, {protocol: UDP}, {protocol: SCTP}]", "allowed"),
    ],
)
def test_all_of_it_needs_every_port_of_every_protocol(ports: str, decision: str) -> None:
    (policy,) = world(f"{{podSelector: {{}}, ingress: [{{{ports}}}]}}").every()
    assert all_of_it(policy.ingress).value == decision


def test_a_block_of_every_address_allows_all_of_it_only_where_blocks_cover_pods() -> None:
    (policy,) = world("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}").every()
    assert all_of_it(policy.ingress) is Decision.OPEN
