"""The Region's quota of network interfaces is used up."""

from headroom.diagnosis.finding import Finding, cause
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut
from headroom.facts.values import known

SOURCE = "VPC user guide, amazon-vpc-limits (L-DF5E4CA3)"


def judge(reading: Reading) -> Finding:
    """EC2's refusal, or as many interfaces in the Region as the quota allows."""
    hits = reading.supporting(Detail.REGIONAL_QUOTA)
    aws = known(reading.snapshot.aws)
    used = known(aws.region_interfaces) if aws is not None else None
    quota = known(aws.region_interface_quota) if aws is not None else None
    seen: tuple[Evidence, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    if used is not None and quota is not None:
        figures = f"{used:,} of {quota:,} network interfaces in the Region"
        if used < quota:
            ruled_out = (RuledOut(cause=Detail.REGIONAL_QUOTA, by=figures),)
        elif reading.cluster is not None and reading.cluster.stuck:
            seen = (Evidence(what="network interfaces", where="the Region", value=figures, source=SOURCE),)
    if (not hits and not seen) or (ruled_out and reading.is_live):
        return Finding(ruled_out=ruled_out)
    return Finding(
        causes=(
            cause(
                reading,
                Detail.REGIONAL_QUOTA,
                hits=hits,
                seen=seen,
                summary="The Region's quota of network interfaces is used up: no node can get another one.",
            ),
        )
    )
