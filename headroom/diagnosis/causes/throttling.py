"""EC2 (or Azure Resource Manager) refuses calls because there are too many of them."""

from typing import Final

from headroom.diagnosis.cluster import Growth, NodeState
from headroom.diagnosis.finding import Finding, cause, counted, said
from headroom.diagnosis.reading import Reading, counters
from headroom.diagnosis.verdict import Detail, Evidence, RootCause

ERROR_CODES: Final = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
"""EC2's codes for it (EC2 API reference, throttling), as ipamd's metrics count them."""

_CALLS = r"\b(?:api|ec2|requests?|calls?)\b"
_THROTTLED = r"(?<!not )(?<!no )(?<!without )\b(?:throttl(?:ed|ing)|rate.?limit(?:s|ed|ing)?)\b"
_TOLD: Final = rf"{_CALLS}.{{0,60}}{_THROTTLED}|{_THROTTLED}.{{0,40}}{_CALLS}"
"""What people write who found the account throttled."""


def judge(reading: Reading) -> Finding:
    """What is written of it, what ipamd counts on nodes where pods wait, and what was told of nodes that fail."""
    hits = reading.supporting(Detail.THROTTLING)
    cluster = reading.cluster
    seen: tuple[Evidence, ...] = ()
    nodes = tuple[NodeState, ...]()
    if cluster is not None:
        refused = counters(reading.snapshot, ERROR_CODES)
        # Counters never go down: a node that its own limit stops was throttled whenever it was, and is not hindered.
        nodes = tuple(
            state
            for state in cluster.stuck_nodes
            if state.node.name in refused and (state.growth is not Growth.LIMIT or state.subnets_short)
        )
        seen = tuple(
            Evidence(
                what="awscni_aws_api_error_count",
                where=state.node.name,
                value=f"{counted(refused[state.node.name], 'call')} of ipamd throttled",
                count=refused[state.node.name],
                source="amazon-vpc-cni-k8s, metrics",
            )
            for state in nodes
        )
    if cluster is None and not hits and (told := reading.told(_TOLD)) is not None:
        failing = reading.symptoms or reading.supporting(RootCause.IPAMD_FAILURE, weak=True)
        seen = (said("calls of the API", told),) if failing else ()
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
