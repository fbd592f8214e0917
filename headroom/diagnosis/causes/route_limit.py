"""The route table holds no further route, so no further node gets a range for its pods (kubenet)."""

from typing import Final

from headroom.diagnosis.finding import Finding, cause, said
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail
from headroom.facts.values import known

MOST_ROUTES: Final = {"aws": 50, "azure": 400}
"""Routes of a table by default (VPC user guide, amazon-vpc-limits; AKS, configure-kubenet)."""


def judge(reading: Reading) -> Finding:
    """What the cloud writes of the table's limit."""
    hits = reading.supporting(Detail.ROUTE_LIMIT)
    seen = []
    most = MOST_ROUTES.get(reading.cloud or "")
    nodes = known(reading.stated.nodes)
    if not hits and most is not None and nodes is not None and nodes >= most:
        hits = reading.of("node-without-route")
        seen = [said("nodes", nodes, threshold=f"a route table holds {most} routes by default")] if hits else []
    if not hits:
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                Detail.ROUTE_LIMIT,
                hits=hits,
                seen=seen,
                summary="The route table is full: another node gets no route for its pods.",
            ),
        )
    )
