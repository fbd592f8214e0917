"""ipamd, or Azure's counterpart azure-cns, does not run or does not answer on the node."""

from collections.abc import Iterator

from headroom.diagnosis.cluster import Cluster, NodeState
from headroom.diagnosis.completeness import cni_pods_are_whole
from headroom.diagnosis.finding import CNI_PODS, Finding, cause, counted, said, sentence
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.signatures import Kind
from headroom.diagnosis.verdict import Cause, Evidence, Needed, RootCause, RuledOut
from headroom.facts.kubernetes import CniPod
from headroom.facts.values import is_known, items, known

_CRASHING = ("CrashLoopBackOff", "Error", "RunContainerError")
_FAILING = r"(?:aws.?node|ipamd|vpc.?cni).{0,80}(?:crash|fail|not ready|restart|unhealthy|exit)"


def judge(reading: Reading) -> Finding:
    """aws-node not ready where pods wait, or what its log and the plugin's say of it."""
    hits = tuple(hit for hit in reading.supporting(RootCause.IPAMD_FAILURE) if not _is_explained(reading, hit))
    cluster = reading.cluster
    seen: tuple[Evidence, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    nodes = tuple[NodeState, ...]()
    needed: tuple[Needed, ...] = ()
    if cluster is not None and cluster.stuck and reading.aks is None:  # AKS has no aws-node
        pods = cluster.kubernetes.cni_pods
        if is_known(pods) and _has_aws_node(reading):
            whole = cni_pods_are_whole(cluster.kubernetes)
            nodes = tuple(
                state
                for state in cluster.stuck_nodes
                if (whole and state.listed if state.cni_pod is None else not state.cni_pod.ready)
            )
            seen = tuple(_not_ready(state.node.name, state.cni_pod) for state in nodes)
            if not whole and not nodes:
                needed = (CNI_PODS,)
            elif not nodes and cluster.stuck_nodes:
                count = len(cluster.stuck_nodes)
                ruled_out = (
                    RuledOut(
                        cause=RootCause.IPAMD_FAILURE,
                        by=f"aws-node is ready on {count} of {count} nodes with stuck pods",
                    ),
                )
                # It runs now: what an older line says of it is over, unless the plugin still cannot reach it.
                hits = tuple(hit for hit in hits if hit.signature.name == "ipamd-unreachable" and _is_event(hit))
        elif not is_known(pods):
            needed = (CNI_PODS,)
    if cluster is not None and not cluster.stuck:
        seen = tuple(_down(cluster))
    weak = reading.supporting(RootCause.IPAMD_FAILURE, weak=True)
    told = reading.said(_FAILING)
    if weak and told is not None and not ruled_out:
        seen = (said("aws-node", told),)
    if not hits and not seen:
        return Finding(fallback=_fallback(reading, weak, ruled_out), ruled_out=ruled_out, needed=needed)
    return Finding(
        causes=(
            cause(
                reading,
                RootCause.IPAMD_FAILURE,
                hits=(*hits, *(hit for hit in weak if hit not in hits)),
                seen=seen,
                nodes=nodes,
                summary=_summary(reading, hits, seen),
            ),
        ),
        needed=needed,
    )


def _down(cluster: Cluster) -> Iterator[Evidence]:
    """Nodes that are not ready for want of a CNI, and nodes where aws-node crashes: no pod need hang there yet."""
    pods = {known(pod.node): pod for pod in items(cluster.kubernetes.cni_pods)}
    for node in items(cluster.kubernetes.nodes):
        pod = pods.get(node.name)
        if pod is None or pod.ready:
            continue
        ready = next((each for each in items(node.conditions) if each.type == "Ready"), None)
        without_cni = ready is not None and ready.status != "True" and "cni" in ready.message.lower()
        if without_cni or known(pod.waiting) in _CRASHING:
            yield _not_ready(node.name, pod)


def _fallback(reading: Reading, weak: tuple[Hit, ...], ruled_out: tuple[RuledOut, ...]) -> tuple[Cause, ...]:
    # Every start of aws-node writes that it waits for ipamd; only what comes after it says something.
    told = tuple(hit for hit in weak if hit.signature.name != "ipamd-hangs-at-start")
    if reading.of("pod-without-address"):  # ipamd has answered since
        told = tuple(hit for hit in told if hit.signature.name != "cni-not-configured")
    if not told or ruled_out:
        return ()
    return (
        cause(
            reading,
            RootCause.IPAMD_FAILURE,
            hits=weak,
            summary=sentence(told[0].signature.means),
        ),
    )


def _has_aws_node(reading: Reading) -> bool:
    """Whether the cluster has aws-node at all: another CNI, and EKS Auto Mode, do without."""
    kubernetes = known(reading.snapshot.kubernetes)
    aws = known(reading.snapshot.aws)
    if kubernetes is None or (aws is not None and known(aws.auto_mode)):
        return False
    return known(kubernetes.cni_daemon_set) is not None or bool(items(kubernetes.cni_pods))


def _is_explained(reading: Reading, hit: Hit) -> bool:
    """Whether the same line says why: EC2's refusal for want of addresses, a permission, a limit."""
    return any(
        other.index == hit.index
        and other.signature.kind is Kind.CAUSE
        and not other.signature.weak
        and other.signature.supports != RootCause.IPAMD_FAILURE
        for other in reading.hits
    )


def _is_event(hit: Hit) -> bool:
    return (known(hit.line.file) or "").startswith("event of")


def _not_ready(node: str, pod: CniPod | None) -> Evidence:
    if pod is None:
        return Evidence(what="aws-node", where=node, value="no pod of it on this node", threshold="one, ready")
    waiting = known(pod.waiting)
    state = waiting or "not ready"
    restarts = f", {pod.restarts} restarts" if pod.restarts else ""
    code = known(pod.last_exit_code)
    ended = f", last exit code {code}" if code else ""
    return Evidence(what="aws-node", where=node, value=f"{state}{restarts}{ended}", threshold="ready")


def _summary(reading: Reading, hits: tuple[Hit, ...], seen: tuple[Evidence, ...]) -> str:
    if seen and reading.is_live:
        nodes = counted(len(seen), "node")
        return f"aws-node does not run on {nodes} with stuck pods: no address can be given."
    if not hits:
        return "aws-node does not come up."
    meaning = hits[0].signature.means
    return sentence(meaning)
