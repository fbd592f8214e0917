"""Interfaces of the CNI that hang on no instance hold what is missing."""

from headroom.diagnosis.cluster import Cluster, Growth
from headroom.diagnosis.finding import Finding, cause, said
from headroom.diagnosis.owners import LEAKED
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut

SOURCE = "amazon-vpc-cni-k8s #608, pkg/awsutils/awsutils.go (getLeakedENIs)"

_SAID = (
    r"leak(?:ed|ing)?.{0,40}(?:\benis?\b|interface)"
    r"|(?:\benis?\b|interface).{0,60}(?:leak|left behind|orphan|dangling|not deleted|never deleted)"
)


def judge(reading: Reading) -> Finding:
    """Live: leftovers in the exhausted subnets that hold at least as much as the stuck pods need."""
    cluster = reading.cluster
    if cluster is not None:
        return _seen(reading, cluster)
    listed = reading.of("leaked-interface-listed")
    told = reading.said(_SAID)
    seen = [said("interfaces", told)] if told is not None else []
    if listed:
        return Finding(
            causes=(
                cause(
                    reading,
                    Detail.LEAKED_ENIS,
                    hits=(*listed, *reading.of("interface-not-deleted")),
                    seen=seen,
                    summary="Interfaces that the CNI made and nobody deleted hold addresses.",
                ),
            )
        )
    if seen and (reading.of("interface-not-deleted") or reading.symptoms):
        return Finding(
            fallback=(
                cause(
                    reading,
                    Detail.LEAKED_ENIS,
                    hits=reading.of("interface-not-deleted"),
                    seen=seen,
                    summary="Interfaces that the CNI made and nobody deleted hold addresses.",
                ),
            )
        )
    return Finding()


def _seen(reading: Reading, cluster: Cluster) -> Finding:
    if not cluster.interfaces_known or not cluster.stuck:
        return Finding()
    short = tuple(state for state in cluster.stuck_nodes if state.growth in (Growth.SUBNET, Growth.FRAGMENTED))
    subnets = sorted({subnet for state in short for subnet in state.subnets})
    held = {subnet: leaked for subnet in subnets if (leaked := cluster.holdings.by_owner(subnet)[LEAKED])}
    if not held:
        return Finding(
            ruled_out=(RuledOut(cause=Detail.LEAKED_ENIS, by="no interface of the CNI hangs on nothing"),)
            if short
            else ()
        )
    missing = sum(len(state.stuck) for state in short)
    total = sum(held.values())
    if total < missing:
        return Finding(
            ruled_out=(RuledOut(cause=Detail.LEAKED_ENIS, by=f"leftovers hold {total} addresses, {missing} pods wait"),)
        )
    return Finding(
        causes=(
            cause(
                reading,
                Detail.LEAKED_ENIS,
                seen=[
                    Evidence(
                        what="interfaces with status available that the CNI made",
                        where=subnet,
                        value=f"{leaked:,} addresses",
                        threshold=f"{missing} pods wait",
                        source=SOURCE,
                    )
                    for subnet, leaked in held.items()
                ],
                nodes=short,
                subnets=held,
                summary=f"Interfaces that hang on no instance hold {total:,} addresses of the exhausted subnets, "
                f"and {missing} pods wait.",
            ),
        )
    )
