"""Whether a snapshot holds what a verdict needs: a list that other facts contradict was read only in part."""

from collections import Counter
from collections.abc import Iterator

from headroom.diagnosis.cluster import Cluster
from headroom.diagnosis.finding import CNI_PODS, NODE_INTERFACES, NODES, POD_EVENTS, PODS, SUBNET_FREE
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Needed
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.values import Reason, Unknown, is_known, items, known, known_or


def unread(reading: Reading) -> tuple[tuple[Needed, Unknown], ...]:
    """What a verdict that nothing is wrong needs and was not read, or not whole."""
    kubernetes = known(reading.snapshot.kubernetes)
    if kubernetes is None:
        return ()
    found = list(_of_kubernetes(reading, kubernetes))
    if reading.cloud != "azure":
        found += _of_aws(reading)
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
    owned = Counter(f"{pod.namespace}/{pod.owner}" for pod in pods if pod.phase not in ("Succeeded", "Failed"))
    for each in workloads:
        wanted, name = known_or(each.desired, 0), f"{each.kind}/{each.name}"
        if each.kind in _KEEP_THEIR_PODS and owned[f"{each.namespace}/{name}"] < wanted:
            return f"{name} in {each.namespace} wants {wanted} pods"
    return None


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
