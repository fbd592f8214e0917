"""Outbound connections have no source port left: pods have addresses, and their traffic does not get out."""

from headroom.diagnosis.aks import Aks, named
from headroom.diagnosis.finding import EGRESS, Finding, cause, counted, said
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Evidence, RootCause, RuledOut
from headroom.facts.azure import resource_name
from headroom.facts.values import items, known, known_or

SOURCE = "Azure NAT Gateway, nat-metrics; Azure Load Balancer, load-balancer-standard-diagnostics"
MOST_FAILED = 0
"""Failed outbound connections that a window may have: none is normal (Azure NAT Gateway, nat-metrics)."""

_DENIED = r"snat.{0,80}(?:no exhaustion|not exhausted|no .{0,20}fail|healthy|fine|normal|zero failed|0 failed)"


def judge(reading: Reading) -> Finding:
    """What metrics or logs say of ports; a metric that says no beats a suspicion."""
    if reading.aks is not None:
        return _seen(reading, reading.aks)
    hits = reading.supporting(RootCause.SNAT_EXHAUSTION)
    if not hits or reading.said(_DENIED) is not None:
        return Finding()
    told = tuple(hit for hit in hits if hit.stated)
    return Finding(
        causes=(
            cause(
                reading,
                RootCause.SNAT_EXHAUSTION,
                hits=tuple(hit for hit in hits if not hit.stated),
                seen=[said("outbound ports", hit.line.text) for hit in told],
                summary="Outbound connections find no source port (SNAT); pods have addresses.",
            ),
        )
    )


def _seen(reading: Reading, aks: Aks) -> Finding:
    """Failed outbound connections, as Azure Monitor counts them."""
    hits = reading.supporting(RootCause.SNAT_EXHAUSTION)
    counts = [(each, known(each.failed_connections)) for each in items(aks.azure.egress)]
    failed = [(each, count) for each, count in counts if count is not None and count > MOST_FAILED]
    if not failed:
        if counts and all(count is not None for _, count in counts):
            by = f"0 failed outbound connections in {len(counts):,} of {len(counts):,} readings"
            return Finding(
                ruled_out=() if hits else (RuledOut(cause=RootCause.SNAT_EXHAUSTION, by=by),), contradiction=bool(hits)
            )
        if not hits:
            return Finding(needed=(EGRESS,))
    seen = [
        Evidence(
            what="SNATConnectionCount, failed",
            where=resource_name(each.resource_id),
            value=f"{count:,} failed"
            + (f" of {total:,}" if (total := known(each.connections)) is not None else "")
            + (
                f"; {used:,} of {ports:,} ports in use"
                if (used := known(each.used_ports)) is not None and (ports := known(each.allocated_ports)) is not None
                else ""
            ),
            threshold=str(MOST_FAILED),
            when=f"{known_or(each.since, '')} to {known_or(each.until, '')}",
            count=count,
            source=SOURCE,
        )
        for each, count in failed
    ]
    total = sum(count for _, count in failed)
    told = f"{counted(total, 'outbound connection')} found" if failed else "Outbound connections find"
    return Finding(
        causes=(
            cause(
                reading,
                RootCause.SNAT_EXHAUSTION,
                hits=hits,
                seen=seen,
                subnets=tuple(named(each) for each in aks.node_subnet_ids),
                summary=f"{told} no source port (SNAT); pods have addresses.",
            ),
        )
    )
