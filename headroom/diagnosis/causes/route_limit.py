"""The route table holds no further route, so no further node gets a range for its pods (kubenet)."""

from typing import Final

from headroom.capacity.overlay import KUBENET_MAXIMUM_NODES
from headroom.diagnosis.aks import Aks, Mode, named
from headroom.diagnosis.finding import AKS_ROUTES, Finding, cause, counted, said
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut
from headroom.facts.values import is_known, items, known

MOST_ROUTES: Final = {"aws": 50, "azure": KUBENET_MAXIMUM_NODES}
"""Routes of a table by default (VPC user guide, amazon-vpc-limits; AKS, configure-kubenet)."""


def judge(reading: Reading) -> Finding:
    """What the cloud writes of the table's limit."""
    if reading.aks is not None:
        return _seen(reading, reading.aks)
    hits = reading.supporting(Detail.ROUTE_LIMIT)
    seen = []
    most = MOST_ROUTES.get(reading.cloud or "")
    told = {"nodes": known(reading.stated.nodes), "routes": known(reading.stated.routes)}
    full = [(what, count) for what, count in told.items() if count is not None and most is not None and count >= most]
    if not hits and full:
        hits = reading.of("node-without-route")
        what, count = full[-1]
        seen = [said(what, count, threshold=f"a route table holds {most} routes by default")] if hits else []
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


def _seen(reading: Reading, aks: Aks) -> Finding:
    """The route table of the nodes' subnet, against nodes that have no network."""
    if aks.mode not in (Mode.KUBENET, None):
        return Finding()
    hits = (*reading.supporting(Detail.ROUTE_LIMIT), *reading.of("node-without-route"))
    without = [node.name for node in aks.without_network]
    left = aks.routes_left()
    if not hits and not without:
        if left:
            by = f"{KUBENET_MAXIMUM_NODES - left:,} of {KUBENET_MAXIMUM_NODES:,} routes are used"
            return Finding(ruled_out=(RuledOut(cause=Detail.ROUTE_LIMIT, by=by),))
        return Finding()
    if left is None or left > 0:
        # Told that it is full, and it is not: then a node lacks its route for another reason.
        return Finding(needed=(AKS_ROUTES,), contradiction=left is not None)
    seen = [
        Evidence(
            what="routes",
            where=table.name,
            value=f"{len(items(table.routes)):,}",
            threshold=f"{KUBENET_MAXIMUM_NODES:,} in a route table",
            source="AKS, configure-kubenet",
        )
        for table in aks.route_tables
        if is_known(table.routes) and len(items(table.routes)) >= KUBENET_MAXIMUM_NODES
    ]
    return Finding(
        causes=(
            cause(
                reading,
                Detail.ROUTE_LIMIT,
                hits=hits,
                seen=seen,
                names=without,
                subnets=tuple(named(each) for each in aks.node_subnet_ids),
                summary=f"The route table is full: {counted(len(without), 'node')} without a route for "
                f"{'its' if len(without) == 1 else 'their'} pods.",
            ),
        )
    )
