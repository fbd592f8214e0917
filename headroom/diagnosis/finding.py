"""What the module of one cause finds, and the words that several of them use."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from headroom.diagnosis.aks import Aks
from headroom.diagnosis.cluster import NodeState
from headroom.diagnosis.reading import LONGEST_FRAGMENT, Hit, Reading, evidence
from headroom.diagnosis.verdict import (
    Cause,
    Confidence,
    Detail,
    Evidence,
    Needed,
    RootCause,
    RuledOut,
    Scope,
)
from headroom.facts.azure import HOST_LOCAL_COMMAND, ArmError
from headroom.facts.values import known, known_or

ROOTS: Final = {
    Detail.FRAGMENTATION: RootCause.SUBNET_EXHAUSTION,
    Detail.NODE_SUBNET_FULL: RootCause.SUBNET_EXHAUSTION,
    Detail.LEAKED_ENIS: RootCause.SUBNET_EXHAUSTION,
    Detail.POD_SUBNET_EXHAUSTED: RootCause.SUBNET_EXHAUSTION,
    Detail.POD_CIDR_EXHAUSTED: RootCause.SUBNET_EXHAUSTION,
    Detail.OVERLAY_NODE_BLOCK: RootCause.SUBNET_EXHAUSTION,
    Detail.ROUTE_LIMIT: RootCause.SUBNET_EXHAUSTION,
    Detail.MAX_PODS: RootCause.ENI_LIMIT,
    Detail.REGIONAL_QUOTA: RootCause.ENI_LIMIT,
    Detail.CNI_VERSION: RootCause.IPAMD_FAILURE,
    Detail.IAM: RootCause.IPAMD_FAILURE,
    Detail.THROTTLING: RootCause.IPAMD_FAILURE,
    Detail.CONFIG: RootCause.IPAMD_FAILURE,
    Detail.AUTO_MODE: RootCause.IPAMD_FAILURE,
    Detail.HOST_LOCAL_LEAK: RootCause.IPAMD_FAILURE,
    Detail.COOLDOWN: RootCause.WARM_TARGET,
}
"""The runbook's root cause of each detail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a module found.

    Attributes:
        causes: Causes with evidence that discriminates.
        fallback: Causes whose evidence others may give too; they count where nothing else was found.
        ruled_out: Causes that a reading excludes.
        needed: Readings that would decide for or against it.
        contradiction: Whether readings contradict each other, so that nothing may be claimed of what they say.
    """

    causes: tuple[Cause, ...] = ()
    fallback: tuple[Cause, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    needed: tuple[Needed, ...] = ()
    contradiction: bool = False


NOTHING: Final = Finding()


def cause(  # noqa: PLR0913 - the parts of a cause, by keyword
    reading: Reading,
    what: Detail | RootCause,
    *,
    hits: Iterable[Hit] = (),
    seen: Iterable[Evidence] = (),
    nodes: Iterable[NodeState] = (),
    names: Iterable[str] = (),
    subnets: Iterable[str] = (),
    summary: str,
    made_by: str | None = None,
) -> Cause:
    """A cause with its evidence: proven where it was seen, supported where it is only written.

    Args:
        reading: The snapshot.
        what: Which cause.
        hits: What is written of it.
        seen: What was read of the cloud, the cluster or the CNI's figures, or was said of them.
        nodes: The nodes that it hits, where pods wait for an address.
        names: Further nodes that it hits, by name.
        subnets: The subnets that it concerns.
        summary: It in a sentence.
        made_by: The name of the cause that made it.
    """
    hits, seen, nodes, subnets = tuple(hits), tuple(seen), tuple(nodes), tuple(subnets)
    detail = what if isinstance(what, Detail) else None
    return Cause(
        root_cause=ROOTS[detail] if detail is not None else RootCause(what),
        detail=detail,
        scope=_scope(reading, hits, {*names, *(state.node.name for state in nodes)}, subnets),
        evidence=(*_bounded(seen), *evidence(hits)),
        confidence=Confidence.PROVEN if seen and (reading.is_live or hits) else Confidence.SUPPORTED,
        made_by=made_by,
        summary=summary,
    )


MOST_EVIDENCE: Final = 20
"""Readings of one kind that a cause tells one by one; its scope names all nodes and subnets anyway."""


def _bounded(seen: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    if len(seen) <= MOST_EVIDENCE:
        return seen
    more = len(seen) - MOST_EVIDENCE
    last = seen[MOST_EVIDENCE - 1]
    rest = Evidence(what=last.what, where=f"{more:,} more", value="likewise", threshold=last.threshold, count=more)
    return (*seen[:MOST_EVIDENCE], rest)


def _scope(reading: Reading, hits: tuple[Hit, ...], nodes: set[str], subnets: tuple[str, ...]) -> Scope:
    names = nodes or {node for hit in hits if (node := known(hit.line.node))}
    zones = set[str]()
    if reading.cluster is not None:
        zones |= {zone for subnet in subnets if (zone := reading.cluster.zone_of(subnet))}
        known_nodes = reading.cluster.holdings.nodes
        zones |= {zone for name in names if name in known_nodes and (zone := known(known_nodes[name].node.zone))}
    return Scope(nodes=tuple(sorted(names)), zones=tuple(sorted(zones)), subnets=tuple(sorted(subnets)))


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its unit: `1 pod`, `2 pods`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def sentence(text: str) -> str:
    """A meaning of a signature as a sentence."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def said(what: str, value: object, *, threshold: str = "") -> Evidence:
    """Something that a person said, as evidence."""
    return Evidence(what=what, where="said", value=str(value), threshold=threshold)


def free_addresses(reading: Reading, *, threshold: str = "") -> Evidence:
    """The count of free addresses that `reading.free_addresses` holds, and who told it."""
    free = reading.free_addresses
    if known(reading.stated.subnet_free_addresses) is None:
        return Evidence(what="AvailableIpAddressCount", where="EC2", value=f"{free} free", threshold=threshold)
    return said("free addresses of the subnet", free, threshold=threshold)


def refused_evidence(error: ArmError, aks: Aks, *, source: str) -> Evidence:
    """An operation that Azure refused, as evidence, in Azure's words."""
    said_of = [error.code, error.message, f"target {error.target}" if known(error.target) is not None else ""]
    words = ": ".join(part for part in said_of if part)
    return Evidence(
        what=words if len(words) <= LONGEST_FRAGMENT else f"{words[: LONGEST_FRAGMENT - 1]}…",
        where=", ".join(pool.name for pool in aks.failed_pools) or "the cluster",
        value=f"refused: {error.operation}",
        when=known_or(error.last_seen, ""),
        count=error.count,
        source=source,
    )


# Readings that decide, with the command that gets them.

SUBNET_FREE: Final = Needed(
    reading="free addresses of the failing node's subnet (AvailableIpAddressCount)",
    decides="whether the subnet is exhausted, fragmented, or not the cause",
    command="aws ec2 describe-subnets --filters Name=vpc-id,Values=VPC "
    "--query 'Subnets[].[SubnetId,AvailabilityZone,AvailableIpAddressCount]' --output table",
)
IPAMD_LOG: Final = Needed(
    reading="ipamd.log of a node with stuck pods (/var/log/aws-routed-eni/ipamd.log)",
    decides="between an exhausted subnet, the interface limit, permissions, throttling and cooldown",
    command="on the node: sudo bash /opt/cni/bin/aws-cni-support.sh, then headroom diagnose --bundle ARCHIVE",
)
NODE_INTERFACES: Final = Needed(
    reading="network interfaces of the failing node, with their addresses and prefixes",
    decides="whether the node is at the limit of its instance type",
    command="aws ec2 describe-network-interfaces --filters Name=attachment.instance-id,Values=INSTANCE",
)
CNI_PODS: Final = Needed(
    reading="the pods of aws-node",
    decides="whether ipamd runs at all on the failing nodes",
    command="kubectl -n kube-system get pods -l k8s-app=aws-node -o wide",
)
PODS: Final = Needed(
    reading="the pods of all namespaces",
    decides="whether pods wait for an address now",
    command="kubectl get pods --all-namespaces -o json",
)
NODES: Final = Needed(
    reading="the nodes",
    decides="which instance types and zones the pods run in",
    command="kubectl get nodes -o json",
)
POD_EVENTS: Final = Needed(
    reading="the events of a stuck pod",
    decides="whether it waits for an address at all",
    command="kubectl describe pod POD",
)
RESERVED_FILES: Final = Needed(
    reading="reservations of the node's range (files in /var/lib/cni/networks/) against its running pods",
    decides="whether pods use the range up, or reservations were left behind",
    command=f"{HOST_LOCAL_COMMAND} > FOLDER/NODE.txt, then headroom diagnose --bundle FOLDER",
)
IPAM_STATE: Final = Needed(
    reading="what the CNI plugin's own store counts as in use, against the running pods",
    decides="whether pods use the addresses up, or were not given back",
    command="kubectl get pods --all-namespaces -o wide --field-selector spec.nodeName=NODE",
)
AKS_CLUSTER: Final = Needed(
    reading="the AKS cluster with its network profile and node pools",
    decides="how pods get addresses, and what bounds them",
    command="az aks show --resource-group GROUP --name CLUSTER --output json",
)
AKS_SUBNETS: Final = Needed(
    reading="the subnets of the cluster's VNet",
    decides="whether nodes or pods have used a subnet up",
    command="az network vnet subnet list --resource-group GROUP --vnet-name VNET --output json",
)
AKS_REFUSALS: Final = Needed(
    reading="what Azure refused the cluster in the last hour",
    decides="between a full node subnet, a pod CIDR that is too small, a quota and another reason",
    command="az monitor activity-log list --resource-group NODE_GROUP --status Failed --offset 1h --output json",
)
AKS_ROUTES: Final = Needed(
    reading="the routes of the node subnet's route table",
    decides="whether another node gets a route for its pods (kubenet)",
    command="az network route-table route list --resource-group GROUP --route-table-name TABLE --output json",
)
EGRESS: Final = Needed(
    reading="failed outbound connections of the NAT gateway or load balancer (SNATConnectionCount)",
    decides="whether outbound ports are used up",
    command="az monitor metrics list --resource RESOURCE_ID --metric SnatConnectionCount "
    "--filter \"ConnectionState eq 'Failed'\" --aggregation Total --interval PT5M",
)
CNS_STATE: Final = Needed(
    reading="the node's NodeNetworkConfig and the pods on it",
    decides="whether the node's block, the pod subnet, or azure-cns is the cause",
    command="kubectl -n kube-system get nodenetworkconfig NODE -o yaml",
)
