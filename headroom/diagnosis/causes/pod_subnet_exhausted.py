"""The pod subnet of AKS has no free address to give a node's azure-cns."""

from headroom.diagnosis.finding import Finding, cause, said
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail


def judge(reading: Reading) -> Finding:
    """What azure-cns says of the subnet, or that it is short while the pod subnet is empty."""
    hits = reading.supporting(Detail.POD_SUBNET_EXHAUSTED)
    short = reading.of("cns-short")
    free = reading.free_addresses
    seen = [said("free addresses of the pod subnet", free, threshold="one address")] if free == 0 and short else []
    if not hits and not (seen and reading.said(r"\boverlay\b") is None):
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                Detail.POD_SUBNET_EXHAUSTED,
                hits=(*hits, *short),
                seen=seen,
                summary="The pod subnet has no free address left for the node.",
            ),
        )
    )
