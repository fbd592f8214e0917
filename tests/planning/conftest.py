"""Diagnoses by their causes alone: what a planner takes, without a classifier."""

from headroom.diagnosis.verdict import Cause, Detail, Diagnosis, RootCause, Verdict


def found(root_cause: RootCause, detail: Detail | None = None) -> Diagnosis:
    """A diagnosis of one cause."""
    return Diagnosis(verdict=Verdict.FOUND, causes=(Cause(root_cause=root_cause, detail=detail),))


SHORT = found(RootCause.SUBNET_EXHAUSTION)
FRAGMENTED = found(RootCause.SUBNET_EXHAUSTION, Detail.FRAGMENTATION)
LEAKING = found(RootCause.SUBNET_EXHAUSTION, Detail.LEAKED_ENIS)
IDLE = found(RootCause.WARM_TARGET)
