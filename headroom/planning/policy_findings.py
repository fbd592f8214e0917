"""What is wrong with NetworkPolicies before any probe: those that deny nothing, and pods that slip past one.

A policy denies nothing where, for every pod that it selects and in every direction in which it isolates, the rules of
all policies that isolate the pod together allow everybody at every port; or where it selects no pod at all. A pod
slips past a policy where nothing isolates it in the policy's direction, though it looks like the policy's pods.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

from headroom.facts.azure import Azure
from headroom.facts.kubernetes import NetworkPolicy, PodSet
from headroom.facts.values import known
from headroom.planning.network_policy import (
    Decision,
    Direction,
    Face,
    World,
    all_of_it,
    holds,
    isolating,
    name_of,
    rules_of,
    selects,
)
from headroom.planning.policy_probes import Cluster

APP_KEYS: Final = ("app", "app.kubernetes.io/name", "app.kubernetes.io/instance", "k8s-app", "name")
"""Labels that say which application a pod is of (Kubernetes, recommended labels; common usage)."""
ALIKE: Final = 0.8
"""From this ratio on (difflib), two values of a label are taken for one that was written wrongly."""
MOST_PODS: Final = 3
"""Pods that are named as evidence."""
NO_ENGINE: Final = frozenset({"", "none"})
"""Values of networkProfile.networkPolicy for which nothing enforces a policy (AKS, use-network-policies)."""


class FindingKind(StrEnum):
    """What is wrong."""

    NO_ENGINE = "no engine"
    SELECTS_NO_POD = "selects no pod"
    ALLOWS_EVERYTHING = "allows everything"
    SHADOWED = "shadowed"
    BLOCK_OF_EVERYTHING = "block of everything"
    RULES_WITHOUT_EFFECT = "rules without effect"
    BYPASS = "bypass"


IDLE: Final = frozenset({FindingKind.SELECTS_NO_POD, FindingKind.ALLOWS_EVERYTHING, FindingKind.SHADOWED})
"""What makes a policy deny nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong with a policy.

    Attributes:
        kind: What.
        policy: The policy, as namespace/name; empty: all of them.
        what: It, as a sentence.
        evidence: What it rests on.
    """

    kind: FindingKind
    policy: str
    what: str
    evidence: tuple[str, ...] = ()


def findings(cluster: Cluster, azure: Azure | None = None) -> tuple[Finding, ...]:
    """Everything that is wrong, policy by policy.

    Args:
        cluster: The policies and the pods.
        azure: What Azure says of an AKS cluster: whether it has a policy engine.
    """
    found = [*_engine(azure)] if cluster.world.policies else []
    for policy in cluster.world.every():
        sets = cluster.selected(policy)
        found += _without_effect(policy)
        found += _denies_nothing(cluster, policy, sets)
        found += _bypasses(cluster, policy, sets)
    return tuple(found)


def idle(found: Iterable[Finding]) -> tuple[str, ...]:
    """The policies that deny nothing."""
    return tuple(dict.fromkeys(each.policy for each in found if each.kind in IDLE))


def _engine(azure: Azure | None) -> Iterator[Finding]:
    cluster = known(azure.cluster) if azure is not None else None
    network = known(cluster.network) if cluster is not None else None
    if network is None:
        return
    engine = network.network_policy
    if engine is None or (isinstance(engine, str) and engine in NO_ENGINE):
        yield Finding(
            kind=FindingKind.NO_ENGINE,
            policy="",
            what="The cluster has no policy engine: its policies are objects that nothing enforces.",
            evidence=(f"networkProfile.networkPolicy is {engine or 'not set'}",),
        )


def _without_effect(policy: NetworkPolicy) -> Iterator[Finding]:
    for direction in Direction:
        rules = rules_of(policy, direction)
        if rules and direction not in policy.types:
            yield Finding(
                kind=FindingKind.RULES_WITHOUT_EFFECT,
                policy=name_of(policy),
                what=f"It has {direction.lower()} rules that do nothing: policyTypes lacks {direction}.",
                evidence=(f"policyTypes: {', '.join(policy.types)}", f"{direction.lower()} rules: {len(rules)}"),
            )


def _denies_nothing(cluster: Cluster, policy: NetworkPolicy, sets: Sequence[PodSet]) -> Iterator[Finding]:
    name = name_of(policy)
    if not sets:
        there = sum(len(each.pods) for each in cluster.sets_of.get(policy.namespace, ()))
        yield Finding(
            kind=FindingKind.SELECTS_NO_POD,
            policy=name,
            what=f"It selects no pod, so it denies nothing: none of the {there} pods in {policy.namespace} fits.",
            evidence=(f"podSelector: {said(policy)}",),
        )
        return
    own = {each: all_of_it(rules_of(policy, each)) for each in Direction if each in policy.types}
    if set(own.values()) == {Decision.ALLOWED}:
        yield Finding(
            kind=FindingKind.ALLOWS_EVERYTHING,
            policy=name,
            what="It denies nothing: its rules allow everybody at every port.",
            evidence=tuple(f"{each.lower()}: a rule without peers and without ports" for each in own),
        )
        return
    if Decision.OPEN in own.values():
        yield Finding(
            kind=FindingKind.BLOCK_OF_EVERYTHING,
            policy=name,
            what="Its rules allow every address by an ipBlock: where a block covers pods too, it denies nothing.",
            evidence=tuple(
                f"{each.lower()}: a block of every address" for each, said_ in own.items() if said_ is Decision.OPEN
            ),
        )
    others = {
        name_of(other)
        for each in sets
        for direction in own
        for other in _shadowing(cluster.world, cluster.face(each), direction, policy)
    }
    if all(_open(cluster.world, cluster.face(each), direction) for each in sets for direction in own):
        yield Finding(
            kind=FindingKind.SHADOWED,
            policy=name,
            what=f"It denies nothing: all that it leaves out is allowed by {', '.join(sorted(others))}.",
            evidence=tuple(f"{other} selects the same pods" for other in sorted(others)),
        )


def _open(world: World, pod: Face, direction: Direction) -> bool:
    """Whether all policies of a pod together allow everything in a direction."""
    rules = (rule for policy in isolating(world, pod, direction) for rule in rules_of(policy, direction))
    return all_of_it(rules) is Decision.ALLOWED


def _shadowing(world: World, pod: Face, direction: Direction, policy: NetworkPolicy) -> Iterator[NetworkPolicy]:
    """The other policies of a pod that allow everybody at some ports."""
    for other in isolating(world, pod, direction):
        if other is not policy and any(not rule.peers for rule in rules_of(other, direction)):
            yield other


# Pods that slip past


def _bypasses(cluster: Cluster, policy: NetworkPolicy, sets: Sequence[PodSet]) -> Iterator[Finding]:
    """Pods of the policy's namespace that look like its pods, are not selected, and nothing isolates."""
    for each in cluster.sets_of.get(policy.namespace, ()):
        face = cluster.face(each)
        if each.host_network or selects(policy, face):
            continue
        free = [d for d in Direction if d in policy.types and not isolating(cluster.world, face, d)]
        evidence = _likeness(cluster, policy, each, sets) if free else ()
        if evidence:
            pods = ", ".join(each.pods[:MOST_PODS]) + (
                f" and {len(each.pods) - MOST_PODS} more" if len(each.pods) > MOST_PODS else ""
            )
            yield Finding(
                kind=FindingKind.BYPASS,
                policy=name_of(policy),
                what=f"It does not select {pods}, which nothing isolates ({' and '.join(d.lower() for d in free)}).",
                evidence=(*evidence, f"podSelector: {said(policy)}"),
            )


def _likeness(cluster: Cluster, policy: NetworkPolicy, other: PodSet, sets: Iterable[PodSet]) -> tuple[str, ...]:
    """Why a set of pods looks as if a policy were meant for it; empty: it does not."""
    broken = [f"{key} is not {value}" for key, value in policy.pods.labels.items() if other.labels.get(key) != value]
    broken += [f"{each.key} {each.operator}" for each in policy.pods.expressions if not holds(each, other.labels)]
    owners, theirs = {_owner(cluster, each) for each in sets} - {""}, _owner(cluster, other)
    if theirs in owners:
        return (f"{theirs} has pods that it selects; of these, {'; '.join(broken)}",)
    for key, value in sorted(policy.pods.labels.items()):
        found = other.labels.get(key)
        if found == value:
            continue
        if found is not None and _alike(found, value):
            return (f"{key} is {found}, and the policy asks for {value}",)
        elsewhere = [each for each in APP_KEYS if each != key and key in APP_KEYS and other.labels.get(each) == value]
        if elsewhere and found is None:
            return (f"{elsewhere[0]} is {value}, and the policy asks for it by {key}",)
    missing = [key for key in policy.pods.labels if key not in other.labels]
    shared = [key for key in APP_KEYS if key in other.labels and policy.pods.labels.get(key) == other.labels[key]]
    if shared and missing and len(broken) == len(missing):
        return (f"{shared[0]} is {other.labels[shared[0]]} as the policy asks, and {', '.join(missing)} is missing",)
    return ()


def _owner(cluster: Cluster, found: PodSet) -> str:
    """The workload of a set's pods, as Kind/name; empty: none is known."""
    pod = cluster.pods.get((found.namespace, found.pods[0])) if found.pods else None
    return "" if pod is None else known(pod.owner) or ""


def _alike(one: str, other: str) -> bool:
    """Whether two values differ as by a slip of the pen: `checkout_api`, `checkout-api`; but not `web-1`, `web-2`."""
    if one.rstrip("0123456789") == other.rstrip("0123456789"):
        return False
    return SequenceMatcher(None, one.lower(), other.lower()).ratio() >= ALIKE


def said(policy: NetworkPolicy) -> str:
    """A policy's podSelector in a line."""
    parts = [f"{key}={value}" for key, value in sorted(policy.pods.labels.items())]
    parts += [f"{each.key} {each.operator} {','.join(each.values)}".strip() for each in policy.pods.expressions]
    return ", ".join(parts) or "every pod"


def labels_said(labels: Mapping[str, str]) -> str:
    """Labels in a line."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "no labels"
