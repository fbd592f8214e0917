"""EC2 (or Azure Resource Manager) refuses calls because there are too many of them."""

from typing import Final

from headroom.diagnosis.cluster import NodeState
from headroom.diagnosis.finding import Finding, cause
from headroom.diagnosis.reading import Reading, counters
from headroom.diagnosis.verdict import Detail, Evidence

ERROR_CODES: Final = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
"""EC2's codes for it (EC2 API reference, throttling), as ipamd's metrics count them."""


def judge(reading: Reading) -> Finding:
    """What is written of it, and what ipamd counts on nodes where pods wait."""
    hits = reading.supporting(Detail.THROTTLING)
    cluster = reading.cluster
    seen: tuple[Evidence, ...] = ()
    nodes = tuple[NodeState, ...]()
    if cluster is not None:
        counted = counters(reading.snapshot, ERROR_CODES)
        nodes = tuple(state for state in cluster.stuck_nodes if state.node.name in counted)
        seen = tuple(
            Evidence(
                what="awscni_aws_api_error_count",
                where=state.node.name,
                value=f"{counted[state.node.name]:,} calls of ipamd throttled",
                count=counted[state.node.name],
                source="amazon-vpc-cni-k8s, metrics",
            )
            for state in nodes
        )
    if not hits and not seen:
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                Detail.THROTTLING,
                hits=hits,
                seen=seen,
                nodes=nodes,
                summary="The cloud's API throttles the calls by which nodes get addresses.",
            ),
        )
    )
