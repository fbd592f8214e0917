"""What NetworkPolicies allow between two pods: the meaning of networking.k8s.io/v1, and nothing of an engine's own.

- A pod that a policy selects is isolated in the policy's directions; an isolated pod's traffic is allowed where *any*
  of the policies that isolate it allows it. A connection needs the source's egress and the destination's ingress.
- The peers of a rule are alternatives, and so are its ports; a peer and a port must both fit. A podSelector beside a
  namespaceSelector in one peer narrows it. No peers: everybody; no ports: every port; no rules: nobody.
- A named port is looked up among the ports of the pod that the connection goes to.

Two things the API leaves open, and so does this: what a policy means for a pod of the host network, and whether an
ipBlock covers a pod's address (Azure CNI powered by Cilium: it does not; Calico: it does).

Sources: Kubernetes, concepts/services-networking/network-policies; API reference, NetworkPolicy v1; azure-aks-docs,
azure-cni-powered-by-cilium (limitations, ipBlock).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from headroom.facts.kubernetes import (
    LabelSelector,
    NetworkPolicy,
    PodPort,
    PolicyPeer,
    PolicyPort,
    PolicyRule,
    SelectorRequirement,
)


class Direction(StrEnum):
    """The two directions in which a pod can be isolated, as policyTypes names them."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Decision(StrEnum):
    """What the policies say of a connection."""

    ALLOWED = "allowed"
    DENIED = "denied"
    OPEN = "left open"
    """The API does not say; the engine decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What policies see of a pod.

    Attributes:
        namespace: Its namespace.
        labels: Its labels.
        ports: Its containers' ports.
        address: Its address; empty: not known yet, and taken to be in no block that holds no pod so far.
        host_network: Whether it uses its node's address.
    """

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PodPort, ...] = ()
    address: str = ""
    host_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A connection from a pod to a port of another.

    Attributes:
        source: The pod that opens it.
        target: The pod that it goes to.
        port: The port there.
        protocol: TCP, UDP or SCTP.
    """

    source: Face
    target: Face
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All policies, and what they are about.

    Attributes:
        policies: Every NetworkPolicy, by namespace.
        namespaces: Labels by namespace.
        inhabited: Those of the policies' blocks that hold the address of a pod, by (block, what is excepted).
    """

    policies: Mapping[str, tuple[NetworkPolicy, ...]]
    namespaces: Mapping[str, Mapping[str, str]]
    inhabited: frozenset[tuple[str, tuple[str, ...]]] = frozenset()

    def every(self) -> tuple[NetworkPolicy, ...]:
        """All policies, by namespace and name."""
        return tuple(each for name in sorted(self.policies) for each in self.policies[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the policies say, and which.

    Attributes:
        decision: What they say.
        isolating: The policies that isolate the pod in this direction.
        allowing: Those of them that allow the connection.
    """

    decision: Decision
    isolating: tuple[NetworkPolicy, ...] = ()
    allowing: tuple[NetworkPolicy, ...] = ()


def world_of(
    policies: Iterable[NetworkPolicy], namespaces: Mapping[str, Mapping[str, str]], addresses: Iterable[str] = ()
) -> World:
    """The world of some policies.

    Args:
        policies: Every NetworkPolicy of the cluster.
        namespaces: Labels by namespace.
        addresses: The addresses of the cluster's pods.
    """
    by_namespace: dict[str, list[NetworkPolicy]] = {}
    for policy in sorted(policies, key=name_of):
        by_namespace.setdefault(policy.namespace, []).append(policy)
    blocks: set[tuple[str, tuple[str, ...]]] = {
        (peer.block, peer.excepted)
        for listed in by_namespace.values()
        for policy in listed
        for rule in (*policy.ingress, *policy.egress)
        for peer in rule.peers
        if peer.block is not None
    }
    known = [ip_address(text) for text in addresses] if blocks else []
    inhabited = {key for key in blocks if _holds_any(known, *key)}
    return World(
        policies={name: tuple(listed) for name, listed in by_namespace.items()},
        namespaces=namespaces,
        inhabited=frozenset(inhabited),
    )


def name_of(policy: NetworkPolicy) -> str:
    """A policy as namespace/name."""
    return f"{policy.namespace}/{policy.name}"


def picks(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector picks an object with these labels."""
    return all(labels.get(key) == value for key, value in selector.labels.items()) and all(
        holds(each, labels) for each in selector.expressions
    )


def holds(requirement: SelectorRequirement, labels: Mapping[str, str]) -> bool:
    """Whether one of matchExpressions holds; NotIn also holds where the key is missing."""
    match requirement.operator:
        case "In":
            return labels.get(requirement.key) in requirement.values
        case "NotIn":
            return labels.get(requirement.key) not in requirement.values
        case "Exists":
            return requirement.key in labels
        case _:
            return requirement.key not in labels


def selects(policy: NetworkPolicy, pod: Face) -> bool:
    """Whether a policy is about a pod."""
    return policy.namespace == pod.namespace and picks(policy.pods, pod.labels)


def isolating(world: World, pod: Face, direction: Direction) -> tuple[NetworkPolicy, ...]:
    """The policies that isolate a pod in a direction."""
    return tuple(
        each for each in world.policies.get(pod.namespace, ()) if direction in each.types and selects(each, pod)
    )


def rules_of(policy: NetworkPolicy, direction: Direction) -> tuple[PolicyRule, ...]:
    """A policy's rules of one direction, whether or not it isolates in it."""
    return policy.ingress if direction is Direction.INGRESS else policy.egress


def judge(world: World, attempt: Connection, direction: Direction) -> Judgement:
    """What one side's policies say of a connection: the target's for ingress, the source's for egress."""
    ingress = direction is Direction.INGRESS
    pod, other = (attempt.target, attempt.source) if ingress else (attempt.source, attempt.target)
    if pod.host_network:
        return Judgement(decision=Decision.OPEN)
    policies = isolating(world, pod, direction)
    if not policies:
        return Judgement(decision=Decision.ALLOWED)
    said = [(each, _policy(world, each, rules_of(each, direction), other, attempt)) for each in policies]
    return Judgement(
        decision=_any(decision for _, decision in said),
        isolating=policies,
        allowing=tuple(policy for policy, decision in said if decision is Decision.ALLOWED),
    )


def allowed(world: World, attempt: Connection) -> Decision:
    """What all policies together say of a connection."""
    sides = {judge(world, attempt, direction).decision for direction in Direction}
    return next(each for each in (Decision.DENIED, Decision.OPEN, Decision.ALLOWED) if each in sides)


def port_fits(entry: PolicyPort, attempt: Connection) -> bool:
    """Whether a port of a rule is the port of a connection."""
    port, protocol = attempt.port, attempt.protocol
    if entry.protocol != protocol:
        return False
    if entry.name:
        return any(
            each.name == entry.name and each.port == port and each.protocol == protocol for each in attempt.target.ports
        )
    if entry.port is None:
        return True
    return entry.port <= port <= (entry.port if entry.end_port is None else entry.end_port)


def peer_fits(world: World, policy: NetworkPolicy, peer: PolicyPeer, other: Face) -> Decision:
    """Whether a peer of a policy's rule is a pod."""
    if other.host_network:
        return Decision.OPEN
    if peer.block is not None:
        if other.address:
            covered = _within(other.address, peer.block, peer.excepted)
        else:
            covered = (peer.block, peer.excepted) in world.inhabited
        return Decision.OPEN if covered else Decision.DENIED
    if peer.namespaces is None:
        if other.namespace != policy.namespace:
            return Decision.DENIED
    else:
        labels = world.namespaces.get(other.namespace)
        if labels is None:
            return Decision.OPEN
        if not picks(peer.namespaces, labels):
            return Decision.DENIED
    return Decision.ALLOWED if peer.pods is None or picks(peer.pods, other.labels) else Decision.DENIED


def all_of_it(rules: Iterable[PolicyRule]) -> Decision:
    """Whether rules together allow everybody at every port of every protocol; left open where only a block says so."""
    found = tuple(rules)
    if _every_port(rule for rule in found if not rule.peers):
        return Decision.ALLOWED
    reached = (rule for rule in found if not rule.peers or any(_is_every_address(each) for each in rule.peers))
    return Decision.OPEN if _every_port(reached) else Decision.DENIED


def _is_every_address(peer: PolicyPeer) -> bool:
    return peer.block in EVERY_ADDRESS and not peer.excepted


def _every_port(rules: Iterable[PolicyRule]) -> bool:
    found = tuple(rules)
    if any(not rule.ports for rule in found):
        return True
    ports = [port for rule in found for port in rule.ports if not port.name]
    return all(_covered(ports, protocol) for protocol in PROTOCOLS)


PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
EVERY_ADDRESS: Final = frozenset({"0.0.0.0/0", "::/0"})
LAST_PORT: Final = 65535


def _covered(ports: Iterable[PolicyPort], protocol: str) -> bool:
    """Whether ranges leave no port of a protocol out."""
    following = 1
    ranges = sorted(
        (1, LAST_PORT) if each.port is None else (each.port, each.end_port or each.port)
        for each in ports
        if each.protocol == protocol
    )
    for first, last in ranges:
        if first > following:
            return False
        following = max(following, last + 1)
    return following > LAST_PORT


def _policy(
    world: World, policy: NetworkPolicy, rules: Iterable[PolicyRule], other: Face, attempt: Connection
) -> Decision:
    """What the rules of one policy say, which are alternatives."""
    return _any(
        _any(peer_fits(world, policy, each, other) for each in rule.peers) if rule.peers else Decision.ALLOWED
        for rule in rules
        if not rule.ports or any(port_fits(each, attempt) for each in rule.ports)
    )


def _any(decisions: Iterable[Decision]) -> Decision:
    """Alternatives: one that allows is enough, and one that is left open leaves the whole open."""
    found = set(decisions)
    return next((each for each in (Decision.ALLOWED, Decision.OPEN) if each in found), Decision.DENIED)


def _within(address: str, block: str, excepted: Iterable[str]) -> bool:
    return _holds_any([ip_address(address)], block, excepted)


def _holds_any(addresses: Iterable[IPv4Address | IPv6Address], block: str, excepted: Iterable[str]) -> bool:
    """Whether one of some addresses is in a block, and not in what is excepted."""
    whole, without = ip_network(block), [ip_network(each) for each in excepted]
    return any(each in whole and not any(each in other for other in without) for each in addresses)
