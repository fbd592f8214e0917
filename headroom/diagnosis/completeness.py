"""Whether a snapshot holds what a verdict needs: a list that other facts contradict was read only in part."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from headroom.diagnosis.aks import Aks, Mode
from headroom.diagnosis.cluster import STARTING_SECONDS, Cluster
from headroom.diagnosis.finding import (
    AKS_CLUSTER,
    AKS_REFUSALS,
    AKS_ROUTES,
    AKS_SUBNETS,
    CNI_PODS,
    EGRESS,
    NODE_INTERFACES,
    NODES,
    POD_EVENTS,
    PODS,
    SUBNET_FREE,
)
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Needed
from headroom.facts.interfaces import seconds_between
from headroom.facts.kubernetes import ENDED, Kubernetes, Pod
from headroom.facts.values import Reason, Unknown, is_known, items, known, known_or

EVENT_SECONDS: Final = 300
"""How often at least an event tells of a pod that still waits: one in five minutes once the first 25 are used up
(client-go, tools/record/events_cache.go)."""


def unread(reading: Reading) -> tuple[tuple[Needed, Unknown], ...]:
    """What a verdict that nothing is wrong needs and was not read, or not whole."""
    kubernetes = known(reading.snapshot.kubernetes)
    if kubernetes is None:
        return ()
    found = list(_of_kubernetes(reading, kubernetes))
    if reading.cloud != "azure":
        found += _of_aws(reading)
    elif reading.aks is not None:
        found += _of_azure(reading.aks)
    return tuple(found)


def _of_kubernetes(reading: Reading, kubernetes: Kubernetes) -> Iterator[tuple[Needed, Unknown]]:
    pods, nodes = items(kubernetes.pods), items(kubernetes.nodes)
    if isinstance(kubernetes.pods, Unknown):
        yield PODS, kubernetes.pods
    elif (missing := missing_pods(kubernetes)) is not None:
        yield PODS, _in_part(missing)
    if isinstance(kubernetes.nodes, Unknown):
        yield NODES, kubernetes.nodes
    elif not {name for pod in pods if (name := known(pod.node)) is not None} <= {node.name for node in nodes}:
        yield NODES, _in_part("pods run on nodes that are not listed")
    if reading.cluster is not None and (gone := _refused_and_not_listed(reading, kubernetes)):
        yield PODS, _in_part(f"{gone:,} pods that could not start a moment ago are not listed")
    if reading.cluster is not None and any(_starts_never(pod, reading) for pod in pods):
        yield PODS, _in_part("pods with an address do not start, and nothing says why")
    if reading.cluster is not None and reading.cluster.starting and isinstance(kubernetes.events, Unknown):
        yield POD_EVENTS, kubernetes.events
    if reading.cloud != "azure":
        yield from _of_the_cni(kubernetes)


def missing_pods(kubernetes: Kubernetes) -> str | None:
    """What says that pods are missing from the list, or that it is of another moment; ``None``: nothing."""
    pods, workloads = items(kubernetes.pods), items(kubernetes.workloads)
    if not pods and items(kubernetes.nodes):
        return "no pod, where there are nodes"
    if any(isinstance(pod.node, Unknown) or isinstance(pod.ip, Unknown) or (pod.ready and not pod.ip) for pod in pods):
        return "pods whose node or address is not known"
    if sum(pod.ready for pod in pods) < sum(known_or(each.ready, 0) for each in workloads):
        return "fewer ready pods than the workloads count"
    if any(isinstance(pod.owner, Unknown) for pod in pods):
        return None
    owned = Counter(f"{pod.namespace}/{pod.owner}" for pod in pods if pod.phase not in ENDED)
    for each in workloads:
        wanted, name = known_or(each.desired, 0), f"{each.kind}/{each.name}"
        if each.kind in _KEEP_THEIR_PODS and owned[f"{each.namespace}/{name}"] < wanted:
            return f"{name} in {each.namespace} wants {wanted} pods"
    return None


def _starts_never(pod: Pod, reading: Reading) -> bool:
    """Whether a pod has all but a container that runs, and the reason why it waits was not read."""
    if pod.phase != "Pending" or pod.terminating or known(pod.ip) is None or known(pod.waiting) is not None:
        return False
    age = seconds_between(known(pod.created_at), known(reading.snapshot.collected_at))
    return isinstance(pod.waiting, Unknown) if age is None else age > STARTING_SECONDS


def _refused_and_not_listed(reading: Reading, kubernetes: Kubernetes) -> int:
    """Pods of which an event says that they could not start a moment ago, and that are not listed.

    They may be gone; or the list is of another moment.
    """
    now = known(reading.snapshot.collected_at)
    listed = {(pod.namespace, pod.name) for pod in items(kubernetes.pods)}
    gone = {
        (event.namespace, event.name)
        for event in items(kubernetes.events)
        if event.kind == "Pod"
        and event.reason in _NEVER_RAN
        and (age := seconds_between(known(event.last_seen), now)) is not None
        and age <= EVENT_SECONDS
    }
    return len(gone - listed)


_NEVER_RAN = frozenset({"FailedScheduling", "FailedCreatePodSandBox", "Failed"})
"""Reasons of events of pods that did not get as far as a container that runs (kube-scheduler; kubelet)."""

_KEEP_THEIR_PODS = frozenset({"Deployment", "StatefulSet", "DaemonSet"})


def _of_the_cni(kubernetes: Kubernetes) -> Iterator[tuple[Needed, Unknown]]:
    if isinstance(kubernetes.cni_pods, Unknown):
        yield CNI_PODS, kubernetes.cni_pods
    elif not cni_pods_are_whole(kubernetes):
        yield CNI_PODS, _in_part("fewer pods of aws-node than its DaemonSet counts")
    elif waiting := sum(not pod.ready for pod in items(kubernetes.cni_pods)):
        yield CNI_PODS, _in_part(f"aws-node is not ready on {waiting} nodes, and nothing says why")


def _of_aws(reading: Reading) -> Iterator[tuple[Needed, Unknown]]:
    aws = reading.snapshot.aws
    if aws is None:
        return
    if isinstance(aws, Unknown):
        yield SUBNET_FREE, aws
        return
    if isinstance(aws.subnets, Unknown):
        yield SUBNET_FREE, aws.subnets
    if isinstance(aws.interfaces, Unknown):
        yield NODE_INTERFACES, aws.interfaces
    listed = {subnet.subnet_id for subnet in items(aws.subnets)}
    cluster = reading.cluster
    if cluster is None or not is_known(aws.interfaces):
        return
    uses = cluster.holdings.nodes.values()
    if any(not use.interfaces for use in uses if known(use.node.instance_id) is not None):
        yield NODE_INTERFACES, _in_part("nodes without an interface")
    elif _strangers(cluster) and known(cluster.kubernetes.cni_daemon_set) is not None:
        yield NODE_INTERFACES, _in_part("pods have addresses that no interface holds")
    if is_known(aws.subnets) and any(each.subnet_id not in listed for use in uses for each in use.interfaces):
        yield SUBNET_FREE, _in_part("nodes have interfaces in subnets that are not listed")


_WITH_PORTS = frozenset({"loadBalancer", "managedNATGateway", "managedNATGatewayV2", "userAssignedNATGateway"})
"""Outbound types whose connections take a source port of a public address (AKS, egress-outboundtype)."""


def _of_azure(aks: Aks) -> Iterator[tuple[Needed, Unknown]]:
    azure = aks.azure
    if aks.managed is None or known(aks.managed.network) is None:
        yield AKS_CLUSTER, _why(aks.snapshot.azure, azure.cluster)
    elif isinstance(azure.pools, Unknown) or not aks.pools:
        yield AKS_CLUSTER, _why(azure.pools)
    elif aks.mode in (Mode.KUBENET, Mode.OVERLAY) and known(aks.network.pod_cidr) is None:
        yield AKS_CLUSTER, _why(aks.network.pod_cidr)
    if aks.strangers:
        yield PODS, _in_part(f"{aks.strangers:,} pods have addresses of no range of the cluster")
    if aks.unscheduled or aks.failed_pools or aks.without_network:
        yield from unread_of_nodes(aks)
    outbound = aks.network.outbound_type
    if isinstance(outbound, str) and outbound not in _WITH_PORTS:
        return
    readings = items(azure.egress)
    if not readings or any(known(each.failed_connections) is None for each in readings):
        yield EGRESS, _why(azure.egress)


def unread_of_nodes(aks: Aks) -> Iterator[tuple[Needed, Unknown]]:
    """What was not read of why no further node comes: without it pods that wait for one may wait for an address."""
    azure = aks.azure
    states = [pool.provisioning_state for pool in aks.pools]
    unsure = any(isinstance(each, Unknown) for each in states) or any(known(pool.issue) for pool in aks.pools)
    if not isinstance(azure.errors, tuple) or aks.failed_pools or unsure:
        yield AKS_REFUSALS, _why(azure.errors, *states)
    if aks.mode is None:
        yield AKS_CLUSTER, _why(aks.snapshot.azure, azure.cluster, aks.network.network_plugin_mode, azure.pools)
    if aks.mode in (Mode.POD_SUBNET, Mode.NODE_SUBNET) and aks.refused_for_pod_cidr():
        yield AKS_CLUSTER, _in_part("a pod CIDR was too small, and the network profile has none")
    frees = [aks.free(aks.node_subnet_of(pool)) for pool in aks.pools]
    if isinstance(azure.pools, Unknown) or not aks.pools:
        yield AKS_CLUSTER, _why(azure.pools)
    elif None in frees:
        yield AKS_SUBNETS, _why(azure.vnets)
    if aks.mode is Mode.KUBENET and (aks.routes_left() is None or aks.without_network):
        yield AKS_ROUTES, _why(azure.route_tables)
    pods = items(aks.kubernetes.pods)
    running_on = {name for pod in pods if (name := known(pod.node)) is not None}
    if any(pod.ready and known(pod.node) is None for pod in pods):
        yield PODS, _in_part("pods run on nodes that they do not name")
    if not running_on <= aks.nodes.keys() or any(not items(node.conditions) for node in aks.nodes.values()):
        yield NODES, _why(aks.kubernetes.nodes)


def _why(*facts: object) -> Unknown:
    """The first reason among readings; that they are short of something where none of them is unknown."""
    return next((fact for fact in facts if isinstance(fact, Unknown)), _in_part("what was read does not say it"))


def _strangers(cluster: Cluster) -> bool:
    """Whether more pods have an address that no interface holds than can have got it while facts were read."""
    holdings = cluster.holdings
    pods = sum(use.addressed for use in holdings.nodes.values())
    held = sum(holdings.pods_of(each) for group in holdings.by_subnet.values() for each in group)
    return pods - held > max(2, pods // 50)


def cni_pods_are_whole(kubernetes: Kubernetes) -> bool:
    """Whether aws-node's pods that were listed are as many as its DaemonSet says are ready.

    Where they are fewer, a node without one proves nothing.
    """
    daemon_set = known(kubernetes.cni_daemon_set)
    if daemon_set is None:
        return is_known(kubernetes.cni_daemon_set)
    ready, pods = known(daemon_set.ready), items(kubernetes.cni_pods)
    if ready is None or any(known(pod.node) is None and pod.ready for pod in pods):
        return False
    return sum(pod.ready for pod in pods) >= ready


def _in_part(detail: str) -> Unknown:
    return Unknown(Reason.UNREACHABLE, f"listed in part: {detail}")
