"""Outbound connections have no source port left: pods have addresses, and their traffic does not get out."""

from headroom.diagnosis.finding import Finding, cause, said
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import RootCause

_DENIED = r"snat.{0,80}(?:no exhaustion|not exhausted|no .{0,20}fail|healthy|fine|normal|zero failed|0 failed)"


def judge(reading: Reading) -> Finding:
    """What metrics or logs say of ports; a metric that says no beats a suspicion."""
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
