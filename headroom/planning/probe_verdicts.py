"""What a run of probes, and what was found without any, come to as a record.

Beside the record itself, which the stack of a traffic shift reads in every preview: to load what judges policies takes
longer than all else that it does.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from headroom.planning.policy_findings import IDLE, Finding, FindingKind
from headroom.planning.probe_record import Probed, ProbeRecord, ProbesVerdict
from headroom.planning.probe_results import PolicyVerdict, Verdict

WRONG: Final = IDLE | {FindingKind.NO_ENGINE}
"""Findings that need no probe to be wrong."""
_WRONG_VERDICTS: Final = frozenset({Verdict.NOT_ENFORCED, Verdict.BROKEN, Verdict.DENIES_NOTHING})


def record_of(
    cluster: str, server: str, probed: datetime, found: Iterable[Finding], verdicts: Iterable[PolicyVerdict]
) -> ProbeRecord:
    """The record of a run.

    Args:
        cluster: The cluster's name.
        server: Host of its API server; empty: not known.
        probed: When the probes ran.
        found: What was found without any probe.
        verdicts: What the probes say of every policy.
    """
    judged = [Probed(what=each.policy, verdict=_verdict(each.verdict), because=each.because) for each in verdicts]
    named = {each.what for each in judged}
    # What denies nothing is found, and then judged as well.
    more = (each for each in found if each.kind in WRONG and each.policy not in named)
    findings = [
        Probed(what=each.policy or each.kind.value, verdict=ProbesVerdict.WRONG, because=each.what) for each in more
    ]
    return ProbeRecord(probed=probed, cluster=cluster, server=server, policies=(*judged, *findings))


def _verdict(verdict: Verdict) -> ProbesVerdict:
    if verdict in _WRONG_VERDICTS:
        return ProbesVerdict.WRONG
    return ProbesVerdict.CLEAR if verdict is Verdict.ENFORCED else ProbesVerdict.UNDECIDED
