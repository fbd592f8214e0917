"""Whom it hits, what to restore first, why scaling is stuck, and what frees addresses at once.

Also the runbook's conditions under which to call somebody.
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from headroom.addresses.blocks import listed
from headroom.capacity.ipamd import DECREASE_INTERVAL_SECONDS, INTERFACE_MINIMUM_LIFE_SECONDS
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.release import released_addresses
from headroom.capacity.settings import CniSettings
from headroom.diagnosis.aks import Aks, named
from headroom.diagnosis.aks_relief import aks_reliefs
from headroom.diagnosis.owners import Holdings, NodeUse, pod_subnets
from headroom.diagnosis.readings import (
    ADDRESS_FAILURE,
    aws_of,
    has_address,
    kubernetes_of,
    limits_reader,
    settings_of,
)
from headroom.diagnosis.verdict import (
    Cause,
    Detail,
    Escalation,
    HitWorkload,
    Impact,
    Relief,
    RootCause,
    StuckAutoscaler,
)
from headroom.facts.kubernetes import Autoscaler, CronJob, Event, KarpenterNodeClaim, Kubernetes, Pod, Workload
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, is_known, items, known, known_or

INSUFFICIENT: Final = "InsufficientFreeAddressesInSubnet"
"""EC2's error code where a node or an interface finds no address (EC2 API reference, error codes)."""

TOO_MANY_PODS: Final = "Too many pods"
"""What the scheduler says of a node that runs as many pods as it may (Kubernetes, NodeResourcesFit)."""

SYSTEM_NAMESPACE: Final = "kube-system"
"""What runs here is never proposed for scaling down."""

SCALABLE: Final = ("Deployment", "StatefulSet")

_BEFORE_A_NODE: Final = frozenset({Detail.MAX_PODS, Detail.NODE_SUBNET_FULL})
"""Causes whose pods wait for a node: no node fails to give them an address."""
_WITHOUT_NODES: Final = frozenset({Detail.NODE_SUBNET_FULL, Detail.POD_CIDR_EXHAUSTED, Detail.ROUTE_LIMIT})
"""Causes for which no further node comes, or comes to nothing."""

_Key = tuple[str, str, str]
"""Kind, namespace and name of a workload."""


def impact(snapshot: Snapshot, causes: Sequence[Cause], *, aks: Aks | None = None) -> Impact | None:
    """Whom the causes hit.

    Args:
        snapshot: The facts.
        causes: What was found.
        aks: The same as AKS has it; ``None``: it is no cluster of AKS.

    Returns:
        ``None`` where nothing was found, nobody is hit, or nobody could read the pods.
    """
    kubernetes = kubernetes_of(snapshot)
    if not causes or not is_known(kubernetes.pods) or kubernetes.pods is None:
        return None
    holdings = Holdings(snapshot)
    cluster = _Cluster(snapshot, holdings)
    no_nodes = any(cause.detail in _WITHOUT_NODES for cause in causes)
    stuck = [*holdings.waiting, *_unscheduled(kubernetes, no_nodes=no_nodes)]
    hit = cluster.hit(stuck)
    zones = _hit_zones(causes, holdings)
    autoscalers = _autoscalers(snapshot, cluster, hit, zones, holdings)
    of_traffic = aks is not None and any(cause.root_cause is RootCause.SNAT_EXHAUSTION for cause in causes)
    if not hit and not autoscalers and not of_traffic:
        return None
    workloads = sorted(hit.values(), key=cluster.order)
    return Impact(
        stuck_pods=len(stuck),
        workloads=tuple(replace(cluster.told(each), why=cluster.why(each)) for each in workloads),
        services=len({(each.key[1], service) for each in workloads for service in each.services}),
        autoscalers=tuple(autoscalers),
        unread=tuple(cluster.unread(workloads)),
        reliefs=(
            *(aks_reliefs(aks, causes) if aks is not None else ()),
            *_reliefs(snapshot, cluster, hit, causes, zones, holdings),
        ),
    )


# Who is hit.


@dataclass(slots=True, kw_only=True)
class _Hit:
    """A workload that is hit.

    Attributes:
        key: Kind, namespace and name.
        stuck: Its pods without an address.
        services: The Services that it stands behind, with their ready endpoints.
        broken_budgets: Its PodDisruptionBudgets that are violated: name, healthy pods, healthy pods wanted.
        autoscaler: Its HorizontalPodAutoscaler.
        priority: Its pods' priority.
        priority_class: The class that it came from.
    """

    key: _Key
    stuck: list[Pod] = field(default_factory=list)
    services: dict[str, int | None] = field(default_factory=dict)
    broken_budgets: list[tuple[str, int, int]] = field(default_factory=list)
    autoscaler: Autoscaler | None = None
    priority: int = 0
    priority_class: str = ""


class _Cluster:
    """The workloads of a cluster, and what stands before them."""

    def __init__(self, snapshot: Snapshot, holdings: Holdings) -> None:
        self._kubernetes = kubernetes_of(snapshot)
        self.holdings = holdings
        self.pods = items(self._kubernetes.pods)
        self.workloads: dict[_Key, Workload] = {
            (each.kind, each.namespace, each.name): each for each in items(self._kubernetes.workloads)
        }
        self.values = {each.name: each.value for each in items(self._kubernetes.priority_classes)}
        self.default_priority = next(
            (each.value for each in items(self._kubernetes.priority_classes) if each.default), 0
        )
        self.cron_jobs = {(each.namespace, each.name): each for each in items(self._kubernetes.cron_jobs)}
        self.autoscalers: dict[_Key, Autoscaler] = {}
        for each in items(self._kubernetes.autoscalers):
            kind, _, name = each.target.partition("/")
            self.autoscalers[kind, each.namespace, name] = each

    def hit(self, stuck: Iterable[Pod]) -> dict[_Key, _Hit]:
        """The workloads of the stuck pods, with what stands before them."""
        hit: dict[_Key, _Hit] = {}
        for pod in stuck:
            key = _owner(pod)
            hit.setdefault(key, _Hit(key=key)).stuck.append(pod)
        for each in hit.values():
            each.autoscaler = self.autoscalers.get(each.key)
            each.priority, each.priority_class = self._priority(each)
        of_pod = {(pod.namespace, pod.name): key for pod in self.pods if (key := _owner(pod)) in hit}
        for service in items(self._kubernetes.services):
            for key in {
                of_pod[service.namespace, name] for name in service.pods if (service.namespace, name) in of_pod
            }:
                hit[key].services[service.name] = known(service.ready_endpoints)
        for budget in items(self._kubernetes.disruption_budgets):
            healthy, wanted = known(budget.current_healthy), known(budget.desired_healthy)
            if healthy is None or wanted is None or healthy >= wanted:
                continue
            for key in {of_pod[budget.namespace, name] for name in budget.pods if (budget.namespace, name) in of_pod}:
                hit[key].broken_budgets.append((budget.name, healthy, wanted))
        return hit

    def _priority(self, hit: _Hit) -> tuple[int, str]:
        of_pods = [
            (value, known_or(pod.priority_class, "")) for pod in hit.stuck if (value := known(pod.priority)) is not None
        ]
        if of_pods:
            return max(of_pods)
        name = known(self.workloads[hit.key].priority_class) if hit.key in self.workloads else None
        if name is not None and name in self.values:
            return self.values[name], name
        return self.default_priority, ""

    def cron_job(self, key: _Key) -> CronJob | None:
        """The CronJob whose run a Job is."""
        workload = self.workloads.get(key)
        kind, _, name = known_or(workload.owner, "").partition("/") if workload is not None else ("", "", "")
        return self.cron_jobs.get((key[1], name)) if kind == "CronJob" else None

    def unread(self, hit: Iterable[_Hit]) -> Iterable[str]:
        """What could not be read of the workloads that are hit, in sentences."""
        kinds = sorted({each.key[0] for each in hit} & self._kubernetes.unread_workloads.keys())
        if isinstance(self._kubernetes.workloads, Unknown):
            yield f"Replicas of all workloads: {self._kubernetes.workloads}."
        for kind in kinds:
            yield f"Replicas of every {kind}: {self._kubernetes.unread_workloads[kind]}."
        for what, fact in (
            ("Services, and so who stands behind which", self._kubernetes.services),
            ("PodDisruptionBudgets", self._kubernetes.disruption_budgets),
            ("HorizontalPodAutoscalers", self._kubernetes.autoscalers),
        ):
            if isinstance(fact, Unknown):
                yield f"{what}: {fact}."

    def ready(self, key: _Key) -> int | None:
        """Replicas that are ready, as far as known."""
        workload = self.workloads.get(key)
        return known(workload.ready) if workload is not None else None

    def desired(self, key: _Key) -> int | None:
        """Replicas wanted, as far as known."""
        workload = self.workloads.get(key)
        return known(workload.desired) if workload is not None else None

    def pressure(self, hit: _Hit) -> int:
        """Replicas that the workload's autoscaler wants beyond those that are ready."""
        wanted = known(hit.autoscaler.desired) if hit.autoscaler is not None else None
        return 0 if wanted is None else max(0, wanted - (self.ready(hit.key) or 0))

    def order(self, hit: _Hit) -> tuple[object, ...]:
        """What decides the order in which to restore: the smallest first.

        Priority; the fewest ready endpoints of a Service, an unknown number next to none; a violated
        PodDisruptionBudget; what the autoscaler wants beyond what is ready; the share that is missing.
        """
        endpoints = [0.5 if ready is None else float(ready) for ready in hit.services.values()]
        desired = self.desired(hit.key)
        missing = len(hit.stuck) / desired if desired else 1.0
        return (
            -hit.priority,
            min(endpoints, default=float("inf")),
            not hit.broken_budgets,
            -self.pressure(hit),
            -missing,
            -len(hit.stuck),
            hit.key[1],
            hit.key[2],
        )

    def told(self, hit: _Hit) -> HitWorkload:
        """The workload as the impact shows it."""
        kind, namespace, name = hit.key
        return HitWorkload(
            kind=kind,
            namespace=namespace,
            name=name,
            desired=self.desired(hit.key),
            ready=self.ready(hit.key),
            stuck=len(hit.stuck),
            services=dict(sorted(hit.services.items())),
            priority=hit.priority,
        )

    def why(self, hit: _Hit) -> str:
        """Why a workload stands where it stands."""
        reasons = []
        if hit.priority != self.default_priority:
            name = f" ({hit.priority_class})" if hit.priority_class else ""
            reasons.append(f"priority {hit.priority:,}{name}")
        empty = sorted(name for name, ready in hit.services.items() if ready == 0)
        few = sorted((ready, name) for name, ready in hit.services.items() if ready)
        unread = sorted(name for name, ready in hit.services.items() if ready is None)
        if empty:
            reasons.append(f"no ready endpoint behind Service {listed(empty)}")
        elif few:
            ready, name = few[0]
            reasons.append(f"{ready:,} ready endpoint{'' if ready == 1 else 's'} left behind Service {name}")
        elif unread:
            reasons.append(f"endpoints of Service {listed(unread)} unknown")
        elif is_known(self._kubernetes.services):
            reasons.append("behind no Service")
        else:
            reasons.append("Services unknown")
        run_of = self.cron_job(hit.key)
        if run_of is not None:
            reasons.append(
                f"a run of CronJob {run_of.name} ({run_of.schedule}): {_FURTHER_RUNS[run_of.concurrency_policy]}"
            )
        reasons += [
            f"PodDisruptionBudget {name} violated ({healthy:,} of {wanted:,} healthy)"
            for name, healthy, wanted in sorted(hit.broken_budgets)
        ]
        if self.pressure(hit) and hit.autoscaler is not None:
            reasons.append(f"HPA {hit.autoscaler.name} wants {known_or(hit.autoscaler.desired, 0):,}")
        return "; ".join(reasons)


_FURTHER_RUNS: Final[Mapping[str, str]] = {
    "Allow": "each further run waits beside it",
    "Forbid": "no further run starts before it has ended",
    "Replace": "each further run takes its place, and waits too",
}
"""What becomes of a CronJob's next runs while one waits, by concurrencyPolicy (Kubernetes, CronJob concepts)."""


def _owner(pod: Pod) -> _Key:
    """The workload of a pod; a pod without one is its own."""
    kind, slash, name = known_or(pod.owner, "").partition("/")
    return (kind, pod.namespace, name) if slash and name else ("Pod", pod.namespace, pod.name)


def _unscheduled(kubernetes: Kubernetes, *, no_nodes: bool) -> list[Pod]:
    """Pods for which no node has room for one more pod; all that wait for a node where new nodes get no address."""
    refused = {
        (event.namespace, event.name)
        for event in items(kubernetes.events)
        if event.kind == "Pod" and event.reason == "FailedScheduling" and TOO_MANY_PODS in event.message
    }
    return [
        pod
        for pod in items(kubernetes.pods)
        if pod.node is None and pod.phase == "Pending" and (no_nodes or (pod.namespace, pod.name) in refused)
    ]


def _hit_zones(causes: Sequence[Cause], holdings: Holdings) -> set[str]:
    """The zones that the causes name, and those of the nodes where pods wait."""
    named = {zone for cause in causes for zone in cause.scope.zones}
    return named or {zone for use in holdings.nodes.values() if use.waiting and (zone := known(use.node.zone))}


# Why scaling is stuck.


def _autoscalers(
    snapshot: Snapshot, cluster: _Cluster, hit: Mapping[_Key, _Hit], zones: Collection[str], holdings: Holdings
) -> list[StuckAutoscaler]:
    kubernetes = kubernetes_of(snapshot)
    full = _full_zones(snapshot, zones, holdings)
    return [
        *_stuck_hpas(cluster, hit),
        *_stuck_karpenter(kubernetes, full, holdings),
        *_stuck_cluster_autoscaler(kubernetes, full),
        *_stuck_node_groups(snapshot),
    ]


def _full_zones(snapshot: Snapshot, zones: Collection[str], holdings: Holdings) -> dict[str, str]:
    """The hit zones, with the free addresses of their subnets in words."""
    words = defaultdict[str, list[str]](list)
    for subnet in pod_subnets(snapshot, holdings):
        zone = known_or(subnet.zone, "")
        if zone in zones:
            free = known(subnet.available_addresses)
            words[zone].append(f"{subnet.subnet_id} has {'an unknown number' if free is None else f'{free:,}'} free")
    return {zone: listed(words[zone]) if words[zone] else "free addresses unknown" for zone in zones}


def _stuck_hpas(cluster: _Cluster, hit: Mapping[_Key, _Hit]) -> Iterable[StuckAutoscaler]:
    for each in sorted(hit.values(), key=cluster.order):
        hpa = each.autoscaler
        if hpa is None:
            continue
        wanted, now, ready = known(hpa.desired), known(hpa.current), cluster.ready(each.key)
        if wanted is None or wanted <= (ready if ready is not None else now or 0):
            continue
        has = "an unknown number" if now is None else f"{now:,}"
        are_ready = "" if ready is None else f", {ready:,} of them ready"
        why = f"wants {wanted:,} replicas, has {has}{are_ready}: {len(each.stuck):,} of its pods have no address."
        blind = [item for item in hpa.conditions if item.type == "ScalingActive" and item.status == "False"]
        if blind:
            why += f" It cannot measure either ({blind[0].reason}): pods without an address report nothing."
        maximum = known(hpa.maximum)
        if maximum is not None and wanted >= maximum:
            why += f" {maximum:,} is its maximum."
        yield StuckAutoscaler(kind="HorizontalPodAutoscaler", name=f"{hpa.namespace}/{hpa.name}", why=why)


def _stuck_karpenter(kubernetes: Kubernetes, full: Mapping[str, str], holdings: Holdings) -> Iterable[StuckAutoscaler]:
    failing = defaultdict[str, list[KarpenterNodeClaim]](list)
    launched = defaultdict[tuple[str, str], list[str]](list)
    began = min((time for pod in holdings.waiting if (time := known(pod.created_at)) is not None), default=None)
    for claim in items(kubernetes.node_claims):
        pool = known_or(claim.node_pool, "unknown")
        if any(item.status != "True" and INSUFFICIENT in f"{item.reason} {item.message}" for item in claim.conditions):
            failing[pool].append(claim)
            continue
        use = holdings.nodes.get(known_or(claim.node, ""))
        zone = known_or(use.node.zone, "") if use is not None else ""
        created = known(claim.created_at)
        since_then = began is not None and created is not None and created >= began
        if use is not None and zone in full and (use.waiting or since_then):
            launched[pool, zone].append(use.node.name)
    for event in items(kubernetes.events):
        if event.kind == "NodeClaim" and INSUFFICIENT in event.message and not failing:
            failing["unknown"].append(KarpenterNodeClaim(name=event.name))
    for pool in sorted(failing):
        count = len({claim.name for claim in failing[pool]})
        yield StuckAutoscaler(
            kind="Karpenter",
            name=f"NodePool {pool}",
            why=f"{count:,} NodeClaim{'' if count == 1 else 's'} cannot be launched: EC2 answers {INSUFFICIENT}. "
            "Not even the node itself gets an address.",
        )
    for pool, zone in sorted(launched):
        nodes = sorted(set(launched[pool, zone]))
        count = len(nodes)
        yield StuckAutoscaler(
            kind="Karpenter",
            name=f"NodePool {pool}",
            why=f"launches into {zone}, where {full[zone]}: {count:,} node{'' if count == 1 else 's'} joined there "
            f"({listed(nodes)}). A node needs one address only, and Karpenter looks at no more; its pods get none.",
        )


def _stuck_cluster_autoscaler(kubernetes: Kubernetes, full: Mapping[str, str]) -> Iterable[StuckAutoscaler]:
    refused, triggered = defaultdict[str, set[_Key]](set), defaultdict[str, set[_Key]](set)
    for event in items(kubernetes.events):
        if event.kind != "Pod":
            continue
        key = (event.kind, event.namespace, event.name)
        if event.reason == "NotTriggerScaleUp":
            refused[event.message].add(key)
        elif event.reason == "TriggeredScaleUp":
            triggered[event.message].add(key)
    for message, pods in _most(refused):
        yield StuckAutoscaler(
            kind="Cluster Autoscaler",
            name="NotTriggerScaleUp",
            why=f"adds no node for {_pods(len(pods))}: {message}",
        )
    for message, pods in _most(triggered):
        where = f" in {listed(sorted(full))}" if full else ""
        yield StuckAutoscaler(
            kind="Cluster Autoscaler",
            name="TriggeredScaleUp",
            why=f"adds nodes for {_pods(len(pods))} and does not ask for their addresses, so a node{where} does not "
            f"help: {message}",
        )


def _pods(count: int) -> str:
    return f"{count:,} pod{'' if count == 1 else 's'}"


def _most(found: Mapping[str, Collection[_Key]]) -> list[tuple[str, Collection[_Key]]]:
    """Messages with the most pods first, a few of them."""
    return sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:3]


def _stuck_node_groups(snapshot: Snapshot) -> Iterable[StuckAutoscaler]:
    for group in items(aws_of(snapshot).node_groups):
        for issue in items(group.issues):
            resources = f" ({listed(issue.resource_ids)})" if issue.resource_ids else ""
            yield StuckAutoscaler(
                kind="managed node group",
                name=group.name,
                why=f"{issue.code}{f': {issue.message}' if issue.message else ''}{resources}",
            )


# What frees addresses at once.


@dataclass(slots=True, kw_only=True)
class _Leaving:
    """What the pods of a workload would leave behind if they went.

    Attributes:
        addresses: Their addresses in the hit zones, by zone.
        served: Pods that wait on the same nodes and would then have one.
        returned: Addresses that go back to the subnets; ``None``: unknown.
    """

    addresses: Counter[str] = field(default_factory=Counter)
    served: int = 0
    returned: int | None = 0


def _reliefs(  # noqa: PLR0913, PLR0917 - private; what a relief depends on
    snapshot: Snapshot,
    cluster: _Cluster,
    hit: Mapping[_Key, _Hit],
    causes: Sequence[Cause],
    zones: Collection[str],
    holdings: Holdings,
) -> Iterable[Relief]:
    """Workloads of less priority than the first to restore, that nobody calls, and whose pods' addresses would help."""
    settings = settings_of(snapshot)
    roots = {cause.root_cause for cause in causes}
    if settings is None or not hit or roots <= {RootCause.IPAMD_FAILURE, RootCause.SNAT_EXHAUSTION}:
        return []
    # At a node's own limit only its own pods' addresses help.
    own_nodes_only = roots <= {RootCause.ENI_LIMIT}
    limits = limits_reader(snapshot)
    highest = max(each.priority for each in hit.values())
    called = _called(snapshot, cluster)
    leaving = defaultdict[_Key, dict[str, list[str]]](lambda: defaultdict(list))
    excluded = set(hit)
    for pod in cluster.pods:
        key = _owner(pod)
        if key in excluded or not _may_go(pod, key, cluster, highest, called):
            excluded.add(key)
            continue
        node = known_or(pod.node, "")
        use = holdings.nodes.get(node)
        if use is None or not has_address(pod) or known_or(use.node.zone, "") not in zones:
            continue
        if own_nodes_only and not use.waiting:
            continue
        leaving[key][node].append(known_or(pod.ip, ""))
    found = []
    for key, by_node in leaving.items():
        if key in excluded:
            continue
        left = _Leaving()
        for node, addresses in by_node.items():
            _leave(left, holdings.nodes[node], addresses, holdings, limits(holdings.nodes[node].node), settings)
        if left.addresses.total():
            found.append((key, left))
    found.sort(key=lambda pair: (-pair[1].served, -pair[1].addresses.total(), pair[0]))
    return [_relief(key, left, cluster, settings) for key, left in found]


def _called(snapshot: Snapshot, cluster: _Cluster) -> set[tuple[str, str]]:
    """Pods behind a Service, as (namespace, name); where Services were not read, any pod may be."""
    services = kubernetes_of(snapshot).services
    if isinstance(services, Unknown):
        return {(pod.namespace, pod.name) for pod in cluster.pods}
    return {(service.namespace, name) for service in items(services) for name in service.pods}


def _may_go(pod: Pod, key: _Key, cluster: _Cluster, highest: int, called: Collection[tuple[str, str]]) -> bool:
    """Whether a workload may be proposed: one of its pods decides."""
    kind, namespace, _ = key
    if kind not in (*SCALABLE, "Job") or namespace == SYSTEM_NAMESPACE:
        return False
    priority = known_or(pod.priority, cluster.default_priority)
    if priority >= highest:
        return False
    return priority < cluster.default_priority or (pod.namespace, pod.name) not in called


def _leave(  # noqa: PLR0913, PLR0917 - private; a node and what it loses
    left: _Leaving,
    use: NodeUse,
    addresses: Sequence[str],
    holdings: Holdings,
    limits: InstanceLimits | None,
    settings: CniSettings,
) -> None:
    left.addresses[known_or(use.node.zone, "")] += len(addresses)
    served = min(use.waiting, len(addresses))
    left.served += served
    if left.returned is None:
        return
    if limits is None:
        left.returned = None
        return
    rows = holdings.use_without(use, addresses)
    if served:
        # Pods that wait here take the addresses again, wherever they lie: then nothing can be counted on.
        return
    left.returned += released_addresses(
        limits,
        settings,
        rows,
        max_pods=known(use.node.max_pods),
        schedulable=known(use.node.unschedulable) is not True or settings.manage_enis_non_schedulable,
    )


def _relief(key: _Key, left: _Leaving, cluster: _Cluster, settings: CniSettings) -> Relief:
    kind, namespace, name = key
    total = left.addresses.total()
    in_zones = listed(f"{number:,} in {zone}" for zone, number in sorted(left.addresses.items()))
    target = f"{kind.lower()}/{name}"
    where = f"kubectl --namespace {shlex.quote(namespace)}"
    if kind == "Job":
        run_of = cluster.cron_job(key)
        # The CronJob first: its next run would take the addresses that this one gives back.
        targets = [f"cronjob/{run_of.name}", target] if run_of is not None and not run_of.suspended else [target]
        first = f" and its CronJob {targets[0].partition('/')[2]}" if len(targets) > 1 else ""
        what = f"Suspend {kind} {namespace}/{name}{first}: frees {total:,} addresses ({in_zones})."
        patches = [f"{where} patch {shlex.quote(each)} --patch " for each in targets]
        command = " && ".join(patch + shlex.quote('{"spec":{"suspend":true}}') for patch in patches)
        undo = " && ".join(patch + shlex.quote('{"spec":{"suspend":false}}') for patch in patches)
    else:
        desired = cluster.desired(key)
        what = f"Scale {kind} {namespace}/{name} to 0: frees {total:,} addresses ({in_zones})."
        command = f"{where} scale {shlex.quote(target)} --replicas=0"
        undo = f"{where} scale {shlex.quote(target)} --replicas={total if desired is None else desired}"
    return Relief(
        what=what,
        command=command,
        undo=undo,
        addresses=dict(sorted(left.addresses.items())),
        caveat=_caveat(key, left, cluster, settings),
    )


def _caveat(key: _Key, left: _Leaving, cluster: _Cluster, settings: CniSettings) -> str:
    """What becomes of the addresses, as the mode has it."""
    total = left.addresses.total()
    rest = f"They rest for {settings.ip_cooldown_seconds} s, then " if settings.ip_cooldown_seconds else "Then "
    if left.served:
        sentences = [
            f"{rest}{left.served:,} of the waiting pods get one: they are on the same nodes, whose pools keep them."
        ]
    else:
        sentences = [f"{rest}only pods on the same nodes can have them, and none waits there."]
    if left.returned is None:
        sentences.append("How many go back to the subnet is unknown: an instance type's limits were not read.")
    elif left.returned:
        after = DECREASE_INTERVAL_SECONDS
        how = "one by one"
        if settings.prefix_delegation:
            how = "as whole /28 prefixes that empty"
        elif not settings.ip_targets_set:
            how, after = "as whole network interfaces that empty", INTERFACE_MINIMUM_LIFE_SECONDS
        sentences.append(
            f"At least {left.returned:,} go back to the subnet for other nodes, {how}, after about "
            f"{settings.ip_cooldown_seconds + after:.0f} s."
        )
    elif settings.ip_targets_set and not settings.prefix_delegation:
        sentences.append("None goes back to the subnet: the warm targets keep them.")
    else:
        whole = "/28 prefix" if settings.prefix_delegation else "network interface"
        sentences.append(
            f"No whole {whole} can be counted on to empty, so nothing goes back to the subnet for other nodes."
        )
    run_of = cluster.cron_job(key)
    if run_of is not None and not run_of.suspended:
        sentences.append(f"Its CronJob ({run_of.schedule}) starts no further run until it is resumed.")
    if key in cluster.autoscalers:
        sentences.append("Its HPA pauses at 0 replicas and goes on once it is scaled up again.")
    if cluster.desired(key) is None and key[0] != "Job":
        sentences.append(f"How many replicas it should have was not read: {total:,} is what runs in these zones.")
    return " ".join(sentences)


# Whom to call.


def escalations(snapshot: Snapshot, causes: Sequence[Cause], *, aks: Aks | None = None) -> tuple[Escalation, ...]:
    """The runbook's three conditions under which to call somebody (runbook D1, guardrails); AKS has no ipamd.

    Args:
        snapshot: The facts.
        causes: What was found; a node in the scope of a cause counts as one where allocation fails, unless the
            pods of the cause never came to a node.
        aks: The same as AKS has it; ``None``: it is no cluster of AKS.
    """
    holdings = Holdings(snapshot)
    if aks is not None:
        return (_empty_subnet_of_aks(aks), _failures_everywhere(snapshot, causes, holdings))
    return (_empty_subnet(snapshot, holdings), _crash_loops(snapshot), _failures_everywhere(snapshot, causes, holdings))


def _empty_subnet_of_aks(aks: Aks) -> Escalation:
    condition = "Subnet completely exhausted (0 available IPs)"
    subnets = {named(each): aks.free(each) for each in (*aks.node_subnet_ids, *aks.pod_subnet_ids)}
    empty = [name for name, free in subnets.items() if free == 0]
    if empty:
        return Escalation(condition=condition, met=True, because=f"{listed(empty)} {_has(len(empty))} 0 free.")
    unread = [name for name, free in subnets.items() if free is None]
    if unread or not subnets:
        because = f"Free addresses of {listed(unread) if unread else 'the subnets'} are unknown."
        return Escalation(condition=condition, met=None, because=because)
    name, free = min(subnets.items(), key=lambda each: each[1] or 0)
    return Escalation(condition=condition, met=False, because=f"Fewest are free in {name}: {free:,}.")


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def _empty_subnet(snapshot: Snapshot, holdings: Holdings) -> Escalation:
    condition = "Subnet completely exhausted (0 available IPs)"
    subnets = pod_subnets(snapshot, holdings)
    if not subnets:
        stated = known(snapshot.stated)
        free = known(stated.subnet_free_addresses) if stated is not None else None
        if free is None:
            why = aws_of(snapshot).subnets
            return Escalation(condition=condition, met=None, because=f"Subnets: {_unread(why)}.")
        return Escalation(condition=condition, met=free == 0, because=f"The subnet is said to have {free:,} free.")
    empty = [each.subnet_id for each in subnets if known(each.available_addresses) == 0]
    if empty:
        verb = "has" if len(empty) == 1 else "have"
        return Escalation(condition=condition, met=True, because=f"{listed(empty)} {verb} 0 free.")
    unread = [each.subnet_id for each in subnets if not isinstance(each.available_addresses, int)]
    if unread:
        return Escalation(condition=condition, met=None, because=f"Free addresses of {listed(unread)} are unknown.")
    least = min(subnets, key=lambda each: known_or(each.available_addresses, 0))
    return Escalation(
        condition=condition,
        met=False,
        because=f"Fewest are free in {least.subnet_id}: {known_or(least.available_addresses, 0):,}.",
    )


def _crash_loops(snapshot: Snapshot) -> Escalation:
    condition = "ipamd pod CrashLooping on multiple nodes"
    pods = kubernetes_of(snapshot).cni_pods
    if not is_known(snapshot.kubernetes) or not is_known(pods):
        return Escalation(condition=condition, met=None, because=f"Pods of aws-node: {_unread(pods)}.")
    found = items(pods)
    nodes = sorted({known_or(pod.node, pod.name) for pod in found if known(pod.waiting) == "CrashLoopBackOff"})
    if not nodes:
        return Escalation(condition=condition, met=False, because=f"None of {len(found):,} pods of aws-node.")
    return Escalation(
        condition=condition,
        met=len(nodes) > 1,
        because=f"aws-node is in CrashLoopBackOff on {len(nodes):,} of {len(found):,} nodes: {listed(nodes)}.",
    )


def _failures_everywhere(snapshot: Snapshot, causes: Sequence[Cause], holdings: Holdings) -> Escalation:
    condition = "IP allocation failures across all nodes in cluster"
    kubernetes = kubernetes_of(snapshot)
    if not holdings.nodes:
        return Escalation(condition=condition, met=None, because=f"Nodes: {_unread(kubernetes.nodes)}.")
    failing = {name for name, use in holdings.nodes.items() if use.waiting}
    failing |= {node for cause in causes if cause.detail not in _BEFORE_A_NODE for node in cause.scope.nodes}
    failing |= {known_or(event.node, "") for event in items(kubernetes.events) if _is_address_failure(event)}
    failing &= holdings.nodes.keys()
    total = len(holdings.nodes)
    because = f"{len(failing):,} of {total:,} nodes."
    if len(failing) < total and not (is_known(kubernetes.pods) and is_known(kubernetes.events)):
        return Escalation(condition=condition, met=None, because=f"At least {because} Pods or events were not read.")
    return Escalation(condition=condition, met=len(failing) == total, because=because)


def _is_address_failure(event: Event) -> bool:
    return event.reason == "FailedCreatePodSandBox" and ADDRESS_FAILURE in event.message


def _unread(fact: object) -> str:
    return str(fact) if isinstance(fact, Unknown) else "not collected"
