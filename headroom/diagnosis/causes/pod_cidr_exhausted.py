"""The cluster's pod range has no block left for another node."""

from headroom.diagnosis.finding import Finding, cause
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail


def judge(reading: Reading) -> Finding:
    """What AKS or the controller of node ranges writes of it."""
    hits = reading.supporting(Detail.POD_CIDR_EXHAUSTED)
    if not hits:
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                Detail.POD_CIDR_EXHAUSTED,
                hits=hits,
                summary="The cluster's pod range has no block left for another node.",
            ),
        )
    )
