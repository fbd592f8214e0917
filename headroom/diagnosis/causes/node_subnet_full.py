"""Nodes themselves get no address: none can be launched in the subnets that they are launched in."""

from headroom.diagnosis.aks import Aks, Mode, named
from headroom.diagnosis.cluster import Cluster
from headroom.diagnosis.finding import (
    AKS_REFUSALS,
    AKS_SUBNETS,
    SUBNET_FREE,
    Finding,
    cause,
    counted,
    free_addresses,
    refused_evidence,
)
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Detail, Evidence, Needed, RuledOut
from headroom.facts.values import items, known

ENOUGH_FOR_ONE = 64
"""More than any one node asks for at once, so that a refusal beside so many free addresses contradicts itself."""

LAUNCH_FAILED = "LaunchFailed"
"""Why a NodeClaim's condition Launched is not True after a refusal (karpenter, nodeclaim lifecycle controller)."""

AZURE_SUBNET = Needed(
    reading="the subnet that Azure named when it refused, with its IP configurations",
    decides="whether the free addresses that were counted are those of the subnet that is used",
    command="az network vnet subnet show --ids SUBNET --query '{prefix:addressPrefix,used:length(ipConfigurations)}'",
)


def judge(reading: Reading) -> Finding:
    """A refused launch; live also subnets of nodes that are empty while pods wait for nodes."""
    if reading.aks is not None:
        return _in_azure(reading, reading.aks)
    hits = reading.supporting(Detail.NODE_SUBNET_FULL)
    free = reading.free_addresses
    wanted = max((int(text) for hit in hits if (text := hit.match.groups.get("wanted"))), default=None)
    if hits and (
        (free is not None and free >= (wanted if wanted is not None and wanted > 1 else ENOUGH_FOR_ONE))
        or (free is None and reading.free_addresses_shown)
    ):
        return Finding(needed=(AZURE_SUBNET if reading.cloud == "azure" else SUBNET_FREE,), contradiction=True)
    if reading.cluster is not None:
        return _seen(reading, reading.cluster, hits)
    if hits:
        seen = [free_addresses(reading)] if free is not None else []
        summary = "The subnet has too few free addresses for another node."
    elif reading.cloud == "azure" and free == 0 and reading.of("azure-ipam-empty"):
        hits = reading.of("azure-ipam-empty")
        seen = [free_addresses(reading, threshold="one address")]
        summary = "The node subnet has no free address."
    else:
        return Finding()
    return Finding(causes=(cause(reading, Detail.NODE_SUBNET_FULL, hits=hits, seen=seen, summary=summary),))


def _seen(reading: Reading, cluster: Cluster, hits: tuple[Hit, ...]) -> Finding:
    if not cluster.unscheduled and not _launches_fail(reading):
        return Finding()
    subnets = _launch_subnets(reading)
    frees = [cluster.free(subnet) for subnet in subnets]
    empty = [subnet for subnet, free in zip(subnets, frees, strict=True) if free == 0]
    # Where addresses are free now, what is written is over.
    is_over = bool(frees) and not empty and None not in frees
    all_empty = bool(empty) and len(empty) == len(subnets)
    if is_over or not (hits or (all_empty and _launches_fail(reading))):
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                Detail.NODE_SUBNET_FULL,
                hits=hits,
                seen=[
                    Evidence(
                        what="AvailableIpAddressCount",
                        where=f"{subnet} in {cluster.zone_of(subnet) or 'an unknown zone'}",
                        value="0 free; nodes are launched here",
                        threshold="one address a node",
                        source="EC2 API reference, DescribeSubnets",
                    )
                    for subnet in empty
                ],
                subnets=empty,
                summary=f"No node can be launched: {len(empty) or 'some'} of the subnets for nodes "
                f"ha{'s' if len(empty) == 1 else 've'} no free address; "
                f"{counted(len(cluster.unscheduled), 'pod')} without a node.",
            ),
        )
    )


def _launch_subnets(reading: Reading) -> list[str]:
    """The subnets in which node groups and Karpenter launch nodes."""
    aws, cluster = known(reading.snapshot.aws), reading.cluster
    if aws is None or cluster is None:
        return []
    named = {subnet for group in items(aws.node_groups) for subnet in items(group.subnet_ids)}
    for node_class in items(cluster.kubernetes.node_classes):
        named.update(items(node_class.subnet_ids))
    return sorted(named)


def _launches_fail(reading: Reading) -> bool:
    """Whether a node that somebody wants does not come."""
    aws, cluster = known(reading.snapshot.aws), reading.cluster
    if aws is None or cluster is None:
        return False
    claims = any(
        condition.type == "Launched" and (condition.status == "False" or condition.reason == LAUNCH_FAILED)
        for claim in items(cluster.kubernetes.node_claims)
        for condition in claim.conditions
    )
    return claims or bool(reading.supporting(Detail.NODE_SUBNET_FULL))


# AKS.


def _in_azure(reading: Reading, aks: Aks) -> Finding:
    """What Azure refused for a subnet, against the nodes' subnets and what one more node takes of them."""
    hits = tuple(hit for hit in reading.supporting(Detail.NODE_SUBNET_FULL))
    refused = aks.refused_for_subnet()
    empty_stores = aks.stuck_with("azure-ipam-empty") if aks.mode is Mode.NODE_SUBNET else ()
    needs = [
        (subnet_id, aks.free(subnet_id), need)
        for pool in aks.pools
        if (subnet_id := aks.node_subnet_of(pool)) is not None and (need := aks.addresses_of_a_node(pool)) is not None
    ]
    short = {subnet_id: (free, need) for subnet_id, free, need in needs if free is not None and free < need}
    is_told = bool(hits or refused)
    have_room = bool(needs) and not short and all(free is not None for _, free, _ in needs)
    if not is_told and not (empty_stores and short):
        if have_room:
            subnet_id, free, _ = min(needs, key=lambda each: each[1] or 0)
            by = f"{free:,} addresses are free in {named(subnet_id)}"
            return Finding(ruled_out=(RuledOut(cause=Detail.NODE_SUBNET_FULL, by=by),))
        # An empty node subnet hurts nobody while no node is wanted.
        return Finding(needed=(AKS_REFUSALS,) if aks.unscheduled or aks.failed_pools else ())
    if have_room and not _asked_for_more(hits, needs):
        return Finding(needed=(AKS_SUBNETS,), contradiction=True)
    if not short and not (aks.unscheduled or aks.failed_pools):
        return Finding(needed=(AKS_SUBNETS,))
    seen = [
        Evidence(
            what="free addresses",
            where=named(subnet_id),
            value=f"{free:,} free",
            threshold=f"one more node takes {need:,}",
            source="AKS, concepts-network-ip-address-planning",
        )
        for subnet_id, (free, need) in sorted(short.items())
    ]
    seen += [refused_evidence(error, aks, source="Azure support, error codes of AKS") for error in refused]
    subnets = tuple(named(each) for each in (sorted(short) or aks.node_subnet_ids))
    return Finding(
        causes=(
            cause(
                reading,
                Detail.NODE_SUBNET_FULL,
                hits=hits,
                seen=seen,
                nodes=empty_stores,
                subnets=subnets,
                summary=f"No node can be added: {', '.join(subnets) or 'the nodes subnet'} has too few free "
                f"addresses; {counted(len(aks.unscheduled), 'pod')} without a node.",
            ),
        )
    )


def _asked_for_more(hits: tuple[Hit, ...], needs: list[tuple[str, int | None, int]]) -> bool:
    """Whether the request that was refused asked for more addresses than are free."""
    wanted = max((int(text) for hit in hits if (text := hit.match.groups.get("wanted"))), default=0)
    return wanted > max((free or 0 for _, free, _ in needs), default=0)
