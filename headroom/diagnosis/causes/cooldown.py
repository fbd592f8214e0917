"""The pool's free addresses are cooling down: ipamd counts them as available, and gives none of them."""

from typing import Final

from headroom.diagnosis.cluster import Growth
from headroom.diagnosis.finding import Finding, cause, counted
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Cause, Detail, Evidence, Needed, RuledOut
from headroom.facts.values import known

SOURCE: Final = "amazon-vpc-cni-k8s #1700, #2896"

COOLING: Final = Needed(
    reading="addresses in cooldown on the failing nodes (`IP stats for Network Card` in ipamd.log)",
    decides="whether the free addresses of the pool are cooling down",
    command="on the node: grep 'cooldown IPs' /var/log/aws-routed-eni/ipamd.log | tail -3",
)


def judge(reading: Reading) -> Finding:
    """A pool whose free addresses all cool down, on nodes that could otherwise grow."""
    cluster = reading.cluster
    logged = {place: hit for place, hit in reading.pool_stats.items() if is_cooling(hit)}
    if cluster is None:
        if not logged:
            return Finding()
        return Finding(causes=(_found(reading, tuple(logged.values())),))
    nodes = tuple(
        state
        for state in cluster.stuck_nodes
        if (state.spare or (state.spare is None and state.node.name in logged))
        and state.growth in (Growth.ROOM, Growth.LIMIT, Growth.UNKNOWN)
    )
    if not nodes:
        by = "nodes with stuck pods have no free address in their pools"
        return Finding(
            ruled_out=(RuledOut(cause=Detail.COOLDOWN, by=by),)
            if cluster.stuck_nodes and all(state.spare == 0 for state in cluster.stuck_nodes)
            else ()
        )
    seen, hit_nodes, unknown = [], [], []
    for state in nodes:
        cooling = known(state.pool.cooling_addresses) if state.pool is not None else None
        if cooling is not None and state.spare is not None and cooling >= state.spare:
            hit_nodes.append(state)
            seen.append(
                Evidence(
                    what="addresses in cooldown",
                    where=state.node.name,
                    value=f"{cooling} of {state.spare} free addresses of the pool",
                    threshold="all of them",
                    source=SOURCE,
                )
            )
        elif state.node.name in logged:
            hit_nodes.append(state)
        elif cooling is None:
            unknown.append(state)
    if not hit_nodes:
        return Finding(needed=(COOLING,) if unknown else ())
    hits = tuple(logged[state.node.name] for state in hit_nodes if state.node.name in logged)
    return Finding(
        causes=(
            cause(
                reading,
                Detail.COOLDOWN,
                hits=hits,
                seen=seen or [_as_evidence(hit) for hit in hits],
                nodes=hit_nodes,
                summary=f"On {counted(len(hit_nodes), 'node')} every free address of the pool is cooling down, and "
                "counts as available, so the pool does not grow.",
            ),
        )
    )


def is_cooling(hit: Hit) -> bool:
    """Whether a pool has free addresses, and all of them are cooling down."""
    groups = hit.match.groups
    cooldown = int(groups.get("cooldown", 0))
    free = int(groups["total"]) - int(groups["assigned"])
    return 0 < free <= cooldown


def _as_evidence(hit: Hit) -> Evidence:
    groups = hit.match.groups
    free = int(groups["total"]) - int(groups["assigned"])
    return Evidence(
        what="addresses in cooldown",
        where=known(hit.line.node) or hit.line.origin.value,
        value=f"{groups['cooldown']}, and {free} of {groups['total']} addresses are not assigned",
        threshold="all that are free",
        source=SOURCE,
    )


def _found(reading: Reading, hits: tuple[Hit, ...]) -> Cause:
    return cause(
        reading,
        Detail.COOLDOWN,
        hits=hits,
        seen=[_as_evidence(hits[-1])],
        summary="Every free address of the pool is cooling down, and counts as available, so the pool does not grow.",
    )
