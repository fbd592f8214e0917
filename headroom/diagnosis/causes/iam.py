"""aws-node lacks a permission of EC2, or valid credentials."""

from typing import Final

from headroom.diagnosis.cluster import Growth
from headroom.diagnosis.finding import Finding, cause, counted, said
from headroom.diagnosis.reading import Reading, counters
from headroom.diagnosis.verdict import Detail, Evidence, RootCause

ERROR_CODES: Final = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure")
"""EC2's codes for it (EC2 API reference, error codes), as ipamd's metrics count them."""

_MISSING: Final = (
    r"(?:\biam\b|permissions?\b|polic(?:y|ies)\b|\brole\b).{0,60}"
    r"(?:\bmissing|\black|\bnot attached|n.t attached|\bdenied)"
)
_POLICY: Final = (
    r"AmazonEKS_CNI_Policy.{0,40}(?:\bmissing|\bnot attached|n.t attached|\bremoved|\bdetached|\babsent)"
    r"|\b(?:attach|add)(?:ed|ing)? .{0,30}AmazonEKS_CNI_Policy"
)
"""What people write whose node or aws-node had not the policy of the CNI."""


def judge(reading: Reading) -> Finding:
    """A denied call of the CNI: in its log, in an event of aws-node, or counted by ipamd."""
    hits = reading.supporting(Detail.IAM)
    seen: tuple[Evidence, ...] = ()
    cluster = reading.cluster
    if cluster is not None:
        # Counters never go down: they speak only of nodes where something is wrong now that nothing else explains.
        open_growths = (Growth.ROOM, Growth.UNKNOWN)
        failing = {state.node.name for state in cluster.stuck_nodes if state.growth in open_growths}
        seen = tuple(
            Evidence(
                what="awscni_aws_api_error_count",
                where=node,
                value=f"{counted(count, 'call')} of ipamd denied",
                count=count,
                source="amazon-vpc-cni-k8s, metrics",
            )
            for node, count in sorted(counters(reading.snapshot, ERROR_CODES).items())
            if node in failing
        )
    told = reading.said(_MISSING) or reading.told(_POLICY)
    waits = reading.supporting(RootCause.IPAMD_FAILURE, weak=True) or (reading.symptoms if cluster is None else ())
    if told is not None and not hits and waits:
        # aws-node waits for ever for an ipamd that may not call EC2, and says nothing of it.
        seen = (*seen, said("permissions of aws-node", told))
    if not hits and not seen:
        return Finding()
    apis = sorted({api for hit in hits if (api := hit.match.groups.get("api"))})
    return Finding(
        causes=(
            cause(
                reading,
                Detail.IAM,
                hits=hits,
                seen=seen,
                summary="AWS denies the CNI "
                + (", ".join(apis) if apis else "its calls")
                + ", so it gets no addresses.",
            ),
        )
    )
