"""A diagnosis as JSON values, and in the output format of runbook D1."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from headroom.diagnosis.mitigation import mitigation
from headroom.diagnosis.verdict import Cause, Diagnosis, Evidence, Verdict
from headroom.facts.document import UNKNOWN_KEY, camel_case
from headroom.facts.values import Unknown

Json: TypeAlias = Any

CRITICAL: Final = "CRITICAL"
"""The runbook's severity: pods get no address."""
_SEVERITIES: Final = {Verdict.HEALTHY: "NONE", Verdict.NOT_IP: "INFO", Verdict.UNDECIDED: "UNKNOWN"}


def to_json(diagnosis: Diagnosis) -> dict[str, Json]:
    """The diagnosis as JSON values: `verdict`, `causes`, `impact` and `needed` first, everything else after them."""
    body = _plain(diagnosis)
    first = ("verdict", "causes", "impact", "needed")
    return {key: body[key] for key in (*first, *(key for key in body if key not in first))}


def runbook(diagnosis: Diagnosis) -> dict[str, Json]:
    """The diagnosis in the output format of runbook D1, and all of it beneath `headroom`."""
    cause = diagnosis.causes[0] if diagnosis.causes else None
    advice = mitigation(diagnosis)
    return {
        "root_cause": _root_cause(diagnosis, cause),
        "evidence": [{"type": _type(each), "content": _content(each)} for each in _evidence(diagnosis)],
        "severity": CRITICAL if diagnosis.verdict is Verdict.FOUND else _SEVERITIES[diagnosis.verdict],
        "mitigation": {"immediate": advice.immediate, "long_term": advice.long_term},
        "headroom": to_json(diagnosis),
    }


def _root_cause(diagnosis: Diagnosis, cause: Cause | None) -> str:
    if cause is None:
        told = "; ".join(each.what for each in diagnosis.not_ip) or "; ".join(
            f"needs {each.reading}" for each in diagnosis.needed[:2]
        )
        return f"{diagnosis.verdict.value} — {told}" if told else diagnosis.verdict.value
    detail = cause.detail.value if cause.detail is not None else cause.summary
    return f"{cause.root_cause.value} — {detail}" if detail else cause.root_cause.value


def _evidence(diagnosis: Diagnosis) -> list[Evidence]:
    found = [evidence for cause in diagnosis.causes for evidence in cause.evidence]
    return found or [evidence for other in diagnosis.not_ip for evidence in other.evidence]


def _type(evidence: Evidence) -> str:
    """The runbook's own word for where a reading comes from: logs are searched, the rest is network diagnostics."""
    return "network_diagnostics" if evidence.threshold else "search"


def _content(evidence: Evidence) -> str:
    parts = [evidence.what]
    if evidence.value:
        parts.append(evidence.value)
    if evidence.threshold:
        parts.append(f"threshold: {evidence.threshold}")
    if evidence.where:
        parts.append(f"at {evidence.where}")
    if evidence.count > 1:
        parts.append(f"{evidence.count:,} times")
    if evidence.when:
        parts.append(evidence.when)
    return "; ".join(parts)


def _plain(value: object) -> Json:
    if is_dataclass(value) and not isinstance(value, type | Unknown):
        return {camel_case(each.name): _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Unknown):
        return {UNKNOWN_KEY: value.reason.value, **({"detail": value.detail} if value.detail else {})}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
