"""Which connections show whether each NetworkPolicy does what it says: allowed and denied ones, and who makes them.

A probe opens a TCP connection from a pod of ours, with labels chosen for it, to a port that a running pod already
has; it sends nothing and closes it. A probe is planned only where its outcome says something of its policy:

- *allowed* probes: for each peer and each port of each rule, a source with the right labels in the right namespace;
- *denied* probes: for each requirement of each peer's selectors, a source that breaks this one; the right labels in
  another namespace; another port; and, for each way in which pods are selected by policies, a pod without labels.

Policies add up and both ends have a say, so what a probe may expect is worked out over all of them: a denied one
counts only where nothing but the policy's own direction denies it. What cannot be probed is said, with the reason.

Sources: Kubernetes, concepts/services-networking/network-policies; see `headroom.planning.network_policy`.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Final, TypeVar

from headroom.facts.kubernetes import Kubernetes, LabelSelector, NetworkPolicy, Pod, PodSet, PolicyPeer, PolicyRule
from headroom.facts.values import Unknown, items
from headroom.planning.network_policy import (
    Connection,
    Decision,
    Direction,
    Face,
    Judgement,
    World,
    holds,
    isolating,
    judge,
    name_of,
    peer_fits,
    picks,
    port_fits,
    selects,
    world_of,
)

T = TypeVar("T")

RUN_LABEL: Final = "headroom-probes"
"""Label of everything that is made for a run, with the run's name."""
OWN_KEYS: Final = frozenset(
    {"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name", RUN_LABEL}
)
"""Labels that a Job's pod has of its own (API reference, Job): a selector on them cannot be met or broken at will."""
WRONG_VALUE: Final = "headroom-wrong"
"""A value that no selector names."""
MOST_SOURCES: Final = 12
"""Sources that are tried for one peer."""
MOST_TRIED: Final = 48
"""Connections that are looked at for one probe before it is given up."""
SYSTEM_NAMESPACES: Final = ("kube-", "calico-", "tigera-", "gatekeeper-", "azure-", "amazon-")
"""How namespaces begin in which no probe is started unless a policy names just them."""


class Expectation(StrEnum):
    """What a probe must meet with."""

    ALLOWED = "allowed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A connection to try.

    Attributes:
        probe_id: A name of eight hexadecimal digits, the same for the same connection.
        policy: The policy that it is evidence for, as namespace/name.
        direction: Ingress or Egress: the side of the policy that it tests.
        expects: What must come of it.
        why: What is right or wrong with it, in words.
        namespace: Where its source runs.
        labels: The source's labels.
        target_namespace: The target's namespace.
        target: The target pod.
        address: Its address.
        port: The TCP port there.
        checked: Whether a readiness probe asks this port, so that the pod being ready shows that it listens.
        controlled: Whether the run can show that the target listens: by that, or by an allowed probe to the same port;
            and nothing else denies it. Any other denied probe counts only if it gets through.
        shared: The other end's policies, where they deny the connection too, so that a denial says nothing of this one.
        confined: Whether policies isolate the source's own egress, so that it may reach nothing else either.
    """

    probe_id: str
    policy: str
    direction: str
    expects: Expectation
    why: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    target_namespace: str
    target: str
    address: str
    port: int
    checked: bool = False
    controlled: bool = False
    shared: str = ""
    confined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprobed:
    """Something of a policy that no probe can show.

    Attributes:
        policy: The policy, as namespace/name.
        what: Which part of it.
        because: Why not.
    """

    policy: str
    what: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """The probes of one run.

    Attributes:
        run: The run's name.
        policies: Every policy that is judged, as namespace/name.
        idle: Those of them that deny nothing (`headroom.planning.policy_findings`).
        probes: What is tried.
        unprobed: What is not.
        blocks: The policies' blocks that hold no pod, each with what is excepted: a source's address must be in none.
        cluster: The cluster, as its kubeconfig or snapshot calls it; empty: not known.
        server: Host of its API server; empty: not known.
        only: The policies that were asked for; empty: all.
    """

    run: str
    policies: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    unprobed: tuple[Unprobed, ...] = ()
    blocks: tuple[str, ...] = ()
    cluster: str = ""
    server: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A set of equal pods, and the one of them that is asked.

    Attributes:
        face: What policies see of it.
        pod: Its name.
        ports: Its TCP ports, with whether a readiness probe asks them.
    """

    face: Face
    pod: str
    ports: Mapping[int, bool]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What the policies are planned against.

    Attributes:
        world: The policies.
        sets: Pods by what policies see of them.
        pods: Running and other pods, by namespace and name.
    """

    world: World
    sets: tuple[PodSet, ...]
    pods: Mapping[tuple[str, str], Pod]

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """The sets that can be asked: not of the host network, a TCP port, and a pod that runs."""
        found = (self._target(each) for each in self.sets)
        # Those first of which it is known that they listen.
        return tuple(
            sorted((each for each in found if each is not None), key=lambda each: not any(each.ports.values()))
        )

    @cached_property
    def targets_of(self) -> Mapping[str, tuple[Target, ...]]:
        """The targets by namespace."""
        found: dict[str, list[Target]] = {}
        for each in self.targets:
            found.setdefault(each.face.namespace, []).append(each)
        return {name: tuple(listed) for name, listed in found.items()}

    @cached_property
    def sets_of(self) -> Mapping[str, tuple[PodSet, ...]]:
        """The sets by namespace."""
        found: dict[str, list[PodSet]] = {}
        for each in self.sets:
            found.setdefault(each.namespace, []).append(each)
        return {name: tuple(listed) for name, listed in found.items()}

    def selected(self, policy: NetworkPolicy) -> tuple[PodSet, ...]:
        """The sets that a policy is about."""
        return tuple(each for each in self.sets_of.get(policy.namespace, ()) if picks(policy.pods, each.labels))

    @cached_property
    def keys(self) -> frozenset[str]:
        """The labels that any policy looks at."""
        return frozenset(
            key
            for policy in self.world.every()
            for selector in _selectors(policy)
            for key in (*selector.labels, *(each.key for each in selector.expressions))
        )

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Namespaces, those of the system last."""
        return tuple(sorted(self.world.namespaces, key=lambda name: (name.startswith(SYSTEM_NAMESPACES), name)))

    def face(self, found: PodSet) -> Face:
        """What policies see of the pods of a set."""
        return Face(namespace=found.namespace, labels=found.labels, ports=found.ports, host_network=found.host_network)

    def seen(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Those of a pod's labels that policies look at: a source with these is as good as the pod itself."""
        return {key: value for key, value in sorted(labels.items()) if key in self.keys and key not in OWN_KEYS}

    def _target(self, found: PodSet) -> Target | None:
        tcp = [each for each in found.ports if each.protocol == "TCP"]
        ports = {each.port: any(other.checked for other in tcp if other.port == each.port) for each in tcp}
        ports = dict(sorted(ports.items(), key=lambda item: (not item[1], item[0])))
        pods = [pod for name in found.pods if (pod := self.pods.get((found.namespace, name))) is not None]
        running = [pod for pod in pods if pod.phase == "Running" and _has_address(pod) and not pod.terminating]
        if found.host_network or not ports or not running:
            return None
        chosen = next((pod for pod in running if pod.ready), running[0])
        return Target(face=replace(self.face(found), address=str(chosen.ip)), pod=chosen.name, ports=ports)


def cluster_of(kubernetes: Kubernetes) -> Cluster | tuple[tuple[str, Unknown], ...]:
    """The cluster of a snapshot, or what is unknown of it: policies add up, so half of them decide nothing."""
    needed = {
        "network policies": kubernetes.network_policies,
        "namespaces": kubernetes.namespaces,
        "pods": kubernetes.pods,
        "labels of pods": kubernetes.pod_sets,
    }
    missing = tuple((name, fact) for name, fact in needed.items() if isinstance(fact, Unknown))
    if missing:
        return missing
    pods = items(kubernetes.pods)
    addresses = (str(pod.ip) for pod in pods if _has_address(pod) and not pod.host_network)
    namespaces = {each.name: each.labels for each in items(kubernetes.namespaces)}
    return Cluster(
        world=world_of(items(kubernetes.network_policies), namespaces, addresses),
        sets=items(kubernetes.pod_sets),
        pods={(pod.namespace, pod.name): pod for pod in pods},
    )


def _has_address(pod: Pod) -> bool:
    return isinstance(pod.ip, str)


def plan_probes(cluster: Cluster, *, run: str, only: Sequence[str] = (), idle: Iterable[str] = ()) -> ProbePlan:
    """The probes of all policies, or of those named.

    Args:
        cluster: The cluster.
        run: A name for the run: a label's value.
        only: Policies as namespace/name; empty: all.
        idle: Policies that deny nothing, and so have nothing to be probed.
    """
    chosen = [each for each in cluster.world.every() if not only or name_of(each) in only]
    names, idle_names = [name_of(each) for each in chosen], set(idle)
    made = [_Planner(cluster, each).planned() for each in chosen if name_of(each) not in idle_names]
    return ProbePlan(
        run=run,
        policies=tuple(names),
        idle=tuple(name for name in names if name in idle_names),
        probes=_with_controls([probe for probes, _ in made for probe in probes]),
        unprobed=tuple(dict.fromkeys(each for _, unprobed in made for each in unprobed)),
        blocks=_empty_blocks(cluster.world),
        only=tuple(only),
    )


def _with_controls(probes: Sequence[Probe]) -> tuple[Probe, ...]:
    reached = {(each.address, each.port) for each in probes if each.expects is Expectation.ALLOWED}
    return tuple(
        replace(each, controlled=not each.shared and (each.checked or (each.address, each.port) in reached))
        for each in probes
    )


def _empty_blocks(world: World) -> tuple[str, ...]:
    found = {
        (peer.block, peer.excepted)
        for policy in world.every()
        for rule in (*policy.ingress, *policy.egress)
        for peer in rule.peers
        if peer.block is not None
    }
    return tuple(sorted(" except ".join([block, *excepted]) for block, excepted in found - world.inhabited))


def fitting(selector: LabelSelector) -> dict[str, str] | None:
    """The fewest labels that a selector picks; ``None``: there are none that a pod of ours could have."""
    labels = dict(selector.labels)
    for each in selector.expressions:
        if each.operator == "In" and each.key not in labels:
            others = [other for other in selector.expressions if other.key == each.key]
            value = next((v for v in each.values if all(holds(other, {each.key: v}) for other in others)), None)
            labels |= {} if value is None else {each.key: value}
    for each in selector.expressions:
        if each.operator == "Exists":
            labels.setdefault(each.key, "headroom")
    return labels if picks(selector, labels) and not OWN_KEYS & _keys(selector) else None


def breaking(selector: LabelSelector) -> Iterator[tuple[dict[str, str], str]]:
    """Labels that break one requirement of a selector each, and which."""
    right = fitting(selector)
    if right is None:
        return
    for key, value in sorted(selector.labels.items()):
        yield {**right, key: WRONG_VALUE}, f"wrong label: {key} is not {value}"
    for each in selector.expressions:
        values = ", ".join(each.values)
        if each.operator == "In":
            yield {**right, each.key: WRONG_VALUE}, f"wrong label: {each.key} is none of {values}"
        elif each.operator == "NotIn" and each.values:
            yield {**right, each.key: each.values[0]}, f"wrong label: {each.key} is {each.values[0]}"
        elif each.operator == "Exists":
            without = {key: value for key, value in right.items() if key != each.key}
            yield without, f"wrong label: no {each.key}"
        elif each.operator == "DoesNotExist":
            yield {**right, each.key: WRONG_VALUE}, f"wrong label: there is a {each.key}"


def _keys(selector: LabelSelector) -> set[str]:
    return {*selector.labels, *(each.key for each in selector.expressions)}


def _selectors(policy: NetworkPolicy) -> Iterator[LabelSelector]:
    yield policy.pods
    for rule in (*policy.ingress, *policy.egress):
        yield from (each.pods for each in rule.peers if each.pods is not None)


class _Planner:
    """Plans the probes of one policy."""

    def __init__(self, cluster: Cluster, policy: NetworkPolicy) -> None:
        self._cluster, self._world, self._policy = cluster, cluster.world, policy
        self._name = name_of(policy)
        self._probes: dict[str, Probe] = {}
        self._unprobed: list[Unprobed] = []

    def planned(self) -> tuple[tuple[Probe, ...], tuple[Unprobed, ...]]:
        """The probes, and what cannot be probed."""
        if Direction.INGRESS in self._policy.types:
            self._ingress()
        if Direction.EGRESS in self._policy.types:
            self._egress()
        return tuple(self._probes.values()), tuple(self._unprobed)

    # Connections to the policy's pods.

    def _ingress(self) -> None:
        targets = [each for each in self._own_targets() if selects(self._policy, each.face)]
        classes = _classes(targets, lambda each: _signature(self._world, each.face, Direction.INGRESS))
        if not classes:
            self._not("ingress", "no running pod that it selects has a TCP port of its own")
            return
        for number, rule in enumerate(self._policy.ingress, start=1):
            self._ingress_rule(rule, f"ingress rule {number}", targets)
        for group in classes:
            self._denied(
                "ingress from pods that no rule names",
                Direction.INGRESS,
                (
                    (Face(namespace=place), target, port, "no labels")
                    for target in group[:2]
                    for port in target.ports
                    for place in self._own_place_first()
                ),
            )

    def _ingress_rule(self, rule: PolicyRule, what: str, targets: Sequence[Target]) -> None:
        fitting_ports = self._ports(rule, targets, what)
        for peer in rule.peers or (None,):
            if peer is not None and peer.block is not None:
                self._not(f"{what}: {peer.block}", "no pod of ours has an address of this block")
                continue
            sources = list(islice(self._sources(peer), MOST_SOURCES))
            if not sources:
                self._not(what, "no namespace or labels that a probe could have fit its peer")
                continue
            for options in fitting_ports:
                self._allowed(what, Direction.INGRESS, ((source, *each) for each in options for source in sources))
            if peer is not None:
                self._wrong_sources(peer, what, sources[0], [each for options in fitting_ports for each in options])
            opened = {(target.pod, port) for options in fitting_ports for target, port in options}
            closed = [
                (target, port)
                for target in targets
                for port in target.ports
                if rule.ports and (target.pod, port) not in opened
            ]
            if closed:
                attempts = (
                    (sources[0], target, port, f"port {port}, which {what} leaves out") for target, port in closed
                )
                self._denied(f"{what}: another port", Direction.INGRESS, attempts, needed=False)

    def _wrong_sources(self, peer: PolicyPeer, what: str, right: Face, places: Sequence[tuple[Target, int]]) -> None:
        """Sources that break one requirement of a peer each."""
        for labels, why in breaking(peer.pods) if peer.pods is not None else ():
            wrong = replace(right, labels=labels)
            self._denied(f"{what}: {why}", Direction.INGRESS, ((wrong, target, port, why) for target, port in places))
        elsewhere = [
            place
            for place in self._cluster.places
            if peer_fits(self._world, self._policy, peer, replace(right, namespace=place)) is Decision.DENIED
        ]
        if elsewhere:
            self._denied(
                f"{what}: another namespace",
                Direction.INGRESS,
                (
                    (replace(right, namespace=place), target, port, "right labels in another namespace")
                    for target, port in places[:2]
                    for place in elsewhere
                ),
            )

    def _sources(self, peer: PolicyPeer | None) -> Iterator[Face]:
        """Pods that a peer names: as real ones are labelled, else as its selector asks."""
        if peer is None:
            yield from (Face(namespace=place) for place in self._own_place_first())
            return
        places = [
            place
            for place in self._own_place_first()
            if (
                place == self._policy.namespace
                if peer.namespaces is None
                else picks(peer.namespaces, self._labels(place))
            )
        ]
        seen: list[tuple[str, dict[str, str]]] = []
        for each in (each for place in places for each in self._cluster.sets_of.get(place, ())):
            if not each.host_network and (peer.pods is None or picks(peer.pods, each.labels)):
                made = (each.namespace, self._cluster.seen(each.labels))
                # What the set's own labels of a Job hold is no label of ours.
                if made not in seen and (peer.pods is None or picks(peer.pods, made[1])):
                    seen.append(made)
                    yield Face(namespace=made[0], labels=made[1])
        labels = {} if peer.pods is None else fitting(peer.pods)
        if labels is not None:
            yield from (Face(namespace=place, labels=labels) for place in places if (place, labels) not in seen)

    # Connections from the policy's pods.

    def _egress(self) -> None:
        sets = [each for each in self._cluster.selected(self._policy) if not each.host_network]
        faces = [
            Face(namespace=each.namespace, labels=self._cluster.seen(each.labels))
            for each in sets
            if picks(self._policy.pods, self._cluster.seen(each.labels))
        ]
        real = {_signature(self._world, each, Direction.EGRESS) for each in faces}
        plain = Face(namespace=self._policy.namespace, labels=fitting(self._policy.pods) or {})
        # The fewest labels that do: a pod of ours is to look like as few others as it can.
        if selects(self._policy, plain) and _signature(self._world, plain, Direction.EGRESS) in real:
            faces.insert(0, plain)
        classes = _classes(faces, lambda each: _signature(self._world, each, Direction.EGRESS))
        if not classes:
            self._not("egress", "it selects no pod whose labels a probe could have")
            return
        targets = self._cluster.targets
        for number, rule in enumerate(self._policy.egress, start=1):
            self._egress_rule(rule, f"egress rule {number}", [group[0] for group in classes], targets)
        for group in classes:
            own = self._own_targets()
            others = [each for each in targets if each.face.namespace != self._policy.namespace]
            for where, among in (("its own namespace", own), ("another namespace", others)):
                self._denied(
                    f"egress to pods of {where} that no rule names",
                    Direction.EGRESS,
                    (
                        (group[0], each, port, f"a pod of {where} that no rule names")
                        for each in among
                        for port in each.ports
                    ),
                    needed=where == "another namespace" or not others,
                )

    def _egress_rule(self, rule: PolicyRule, what: str, sources: Sequence[Face], targets: Sequence[Target]) -> None:
        for peer in rule.peers or (None,):
            if peer is not None and peer.block is not None:
                self._not(
                    f"{what}: {peer.block}",
                    "a probe goes to pods only, and what a block means for those is the engine's",
                )
                continue
            fits = [
                each
                for each in (targets if peer is None or peer.namespaces is not None else self._own_targets())
                if peer is None or peer_fits(self._world, self._policy, peer, each.face) is Decision.ALLOWED
            ]
            if not fits:
                self._not(what, "no running pod with a TCP port fits its peer")
                continue
            for options in self._ports(rule, fits, what):
                self._allowed(what, Direction.EGRESS, ((source, *each) for each in options for source in sources))

    # What they have in common.

    def _ports(self, rule: PolicyRule, targets: Sequence[Target], what: str) -> list[list[tuple[Target, int]]]:
        """For each port of a rule, the targets that have it; a range counts as one."""
        everywhere = [(target, port) for target in targets for port in target.ports]
        if not rule.ports:
            return [everywhere]
        found = []
        for entry in rule.ports:
            said = f"{entry.protocol} {entry.name or entry.port or 'all ports'}"
            said += f"-{entry.end_port}" if entry.end_port else ""
            if entry.protocol != "TCP":
                self._not(f"{what}: {said}", "only TCP says whether a connection came about")
                continue
            options = [
                (target, port)
                for target, port in everywhere
                if port_fits(entry, Connection(source=target.face, target=target.face, port=port))
            ]
            if options:
                found.append(options)
            else:
                self._not(f"{what}: {said}", "no running pod that it is about declares such a port")
        return found

    def _allowed(self, what: str, direction: Direction, attempts: Iterable[tuple[Face, Target, int]]) -> None:
        why = "nothing that it allows could be tried"
        for source, target, port in islice(attempts, MOST_TRIED):
            attempt = Connection(source=source, target=target.face, port=port)
            here, there = self._sides(attempt, direction)
            if here.decision is Decision.ALLOWED and there.decision is Decision.ALLOWED:
                self._add(attempt, target, direction, Expectation.ALLOWED, f"right labels, {what}")
                return
            why = self._refusal(here, there, direction)
        self._not(what, why)

    def _denied(
        self,
        what: str,
        direction: Direction,
        attempts: Iterable[tuple[Face, Target, int, str]],
        *,
        needed: bool = True,
    ) -> None:
        why, shared = "no pod was found to try it with", None
        for source, target, port, words in islice(attempts, MOST_TRIED):
            attempt = Connection(source=source, target=target.face, port=port)
            here, there = self._sides(attempt, direction)
            if here.decision is Decision.DENIED and there.decision is Decision.ALLOWED:
                self._add(attempt, target, direction, Expectation.DENIED, words)
                return
            if here.decision is there.decision is Decision.DENIED and shared is None:
                shared = attempt, target, words, _names(there.isolating)
            why = self._refusal(here, there, direction)
        if shared is not None and needed:
            attempt, target, words, others = shared
            self._add(attempt, target, direction, Expectation.DENIED, words, shared=others)
        elif needed:
            self._not(what, why)

    def _sides(self, attempt: Connection, direction: Direction) -> tuple[Judgement, Judgement]:
        other = Direction.EGRESS if direction is Direction.INGRESS else Direction.INGRESS
        return judge(self._world, attempt, direction), judge(self._world, attempt, other)

    def _refusal(self, here: Judgement, there: Judgement, direction: Direction) -> str:
        """Why a connection shows nothing of the policy."""
        if Decision.OPEN in (here.decision, there.decision):
            return "an ipBlock covers addresses of pods, and what that means for a pod is the engine's"
        if there.decision is Decision.DENIED:
            side = "egress" if direction is Direction.INGRESS else "ingress"
            return f"the other end's {side} is denied by {_names(there.isolating)}"
        if here.decision is Decision.DENIED:
            return f"it is denied by {_names(here.isolating)}"
        return (
            f"it is allowed, by {_names(here.allowing)}" if here.allowing else "it is allowed: nothing isolates the pod"
        )

    def _add(  # noqa: PLR0913 - what a probe is
        self,
        attempt: Connection,
        target: Target,
        direction: Direction,
        expects: Expectation,
        why: str,
        *,
        shared: str = "",
    ) -> None:
        labels = dict(sorted(attempt.source.labels.items()))
        text = "\n".join(
            [
                attempt.source.namespace,
                *(f"{key}={value}" for key, value in labels.items()),
                f"{target.face.namespace}/{target.pod} {target.face.address}:{attempt.port}",
                f"{self._name} {direction}",
            ]
        )
        probe_id = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
        probe = Probe(
            probe_id=probe_id,
            policy=self._name,
            direction=direction.value,
            expects=expects,
            why=why,
            namespace=attempt.source.namespace,
            labels=labels,
            target_namespace=target.face.namespace,
            target=target.pod,
            address=target.face.address,
            port=attempt.port,
            checked=target.ports[attempt.port],
            shared=shared,
            confined=bool(isolating(self._world, attempt.source, Direction.EGRESS)),
        )
        self._probes.setdefault(probe_id, probe)

    def _not(self, what: str, because: str) -> None:
        self._unprobed.append(Unprobed(policy=self._name, what=what, because=because))

    def _own_targets(self) -> Sequence[Target]:
        return self._cluster.targets_of.get(self._policy.namespace, ())

    def _own_place_first(self) -> list[str]:
        own = self._policy.namespace
        return [own, *(each for each in self._cluster.places if each != own)]

    def _labels(self, namespace: str) -> Mapping[str, str]:
        return self._world.namespaces.get(namespace, {})


def _signature(world: World, pod: Face, direction: Direction) -> tuple[str, ...]:
    """The policies that isolate a pod: pods with the same ones are treated alike."""
    return tuple(name_of(each) for each in isolating(world, pod, direction))


def _classes(found: Iterable[T], key: Callable[[T], tuple[str, ...]]) -> list[list[T]]:
    """Things with equal keys together, in the order of their first."""
    groups: dict[tuple[str, ...], list[T]] = {}
    for each in found:
        groups.setdefault(key(each), []).append(each)
    return list(groups.values())


def _names(policies: Iterable[NetworkPolicy]) -> str:
    return ", ".join(map(name_of, policies)) or "no policy"
