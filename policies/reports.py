"""A check's result as JSON, as SARIF 2.1.0 and as GitLab's code quality report."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from headroom.addresses.problems import Problem
from policies.capacity import ZoneCapacity
from policies.pack import RULES, Judgement
from policies.resources import Place

Verdict = Literal["clean", "violation", "undecided", "invalid"]

SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
SARIF_VERSION: Final = "2.1.0"
SOURCE_ROOT: Final = "%SRCROOT%"
"""What SARIF readers take for the root of the repository (sarif-v2.1.0, 3.14.14)."""
BAR: Final = 10
"""Characters of a bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check of one source found.

    Attributes:
        source: What was checked, as the user named it.
        door: `program`, `preview`, `state` or `stack file`.
        resources: How many resources were looked at.
        judgements: Everything that the rules said.
        zones: Addresses by zone.
        unasked: What could not be looked at, in words.
        places: Where single values of the configuration were written, by their key.
        file: The file that a finding without a place of its own is shown at.
        free_from: Where the free addresses were read, in words; empty where they were not.
        notes: What the reader should know and decides nothing.
        next_check: The command that judges what a stack file alone does not tell; empty where it tells everything.
    """

    source: str
    door: str
    resources: int
    judgements: Sequence[Judgement]
    zones: Sequence[ZoneCapacity] = ()
    unasked: Sequence[str] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    file: str = ""
    free_from: str = ""
    notes: Sequence[str] = ()
    next_check: str = ""

    def of_kind(self, kind: str) -> list[Judgement]:
        """The judgements of one kind: violation, undecided, advisory or excepted."""
        return [judgement for judgement in self.judgements if kind_of(judgement) == kind]

    @property
    def undecided(self) -> int:
        """How much could not be decided: by a rule, or because nobody could be asked."""
        return len(self.of_kind("undecided")) + len(self.unasked)

    @property
    def verdict(self) -> Verdict:
        """A violation outweighs what could not be decided."""
        if self.of_kind("violation"):
            return "violation"
        return "undecided" if self.undecided else "clean"


@dataclass(frozen=True, slots=True)
class Refused:
    """A source that could not be checked at all."""

    source: str
    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found in everything that was checked.

    Attributes:
        checks: One for each source.
        refused: The sources that could not be read.
        since: The commit since which stack files were looked for; empty where sources were named.
    """

    checks: Sequence[Check]
    refused: Sequence[Refused] = ()
    since: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst: what cannot be read, then a violation, then what could not be decided."""
        verdicts = {check.verdict for check in self.checks}
        if self.refused:
            return "invalid"
        return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), "clean")


_WORST_FIRST: Final[tuple[Verdict, ...]] = ("violation", "undecided")


def kind_of(judgement: Judgement) -> str:
    """violation, undecided, advisory or excepted."""
    if judgement.excepted is not None:
        return "excepted"
    if judgement.enforcement == "advisory":
        return "advisory"
    return "undecided" if judgement.undecided else "violation"


def place_of(check: Check, judgement: Judgement) -> Place | None:
    """File and line of what the finding is about, the property's own line where it is known."""
    resource = judgement.finding.resource
    place = check.places.get(judgement.finding.key) if resource is None else resource.place
    if place is None:
        return None
    return Place(file=place.file, line=place.lines.get(judgement.finding.key, place.line))


def to_json(report: Report) -> dict[str, Any]:
    """The result as one JSON document: of one named source its own, else of each one."""
    if not report.since and not report.refused and len(report.checks) == 1:
        return _check_json(report.checks[0])
    return {
        "verdict": report.verdict,
        "checks": [_check_json(check) for check in report.checks],
        "refused": [
            {
                "source": item.source,
                "problems": [{"rule": problem.rule, "message": problem.message} for problem in item.problems],
            }
            for item in report.refused
        ],
    }


def _check_json(check: Check) -> dict[str, Any]:
    return {
        "verdict": check.verdict,
        "source": check.source,
        "door": check.door,
        "resources": check.resources,
        "rules": len(RULES),
        **{
            name: [_finding(check, judgement) for judgement in check.of_kind(kind)]
            for name, kind in (
                ("violations", "violation"),
                ("undecided", "undecided"),
                ("advisory", "advisory"),
                ("excepted", "excepted"),
            )
        },
        "notChecked": list(check.unasked),
        "notes": list(check.notes),
        "zones": [
            {
                "zone": zone.zone,
                "before": zone.before,
                "after": zone.after,
                "needed": zone.needed,
                "freeNow": None if zone.free is None else zone.free.addresses,
            }
            for zone in check.zones
        ],
    }


def _finding(check: Check, judgement: Judgement) -> dict[str, Any]:
    resource, place = judgement.finding.resource, place_of(check, judgement)
    found: dict[str, Any] = {
        "rule": judgement.rule,
        "resource": resource.name if resource is not None else None,
        "type": resource.type if resource is not None else None,
        "urn": resource.urn if resource is not None else None,
        "message": judgement.message,
        "source": judgement.finding.verdict.source if isinstance(judgement.finding.verdict, Problem) else "",
        "file": place.file if place is not None else None,
        "line": place.line if place is not None else None,
    }
    if judgement.excepted is not None:
        found["exception"] = {
            "reason": judgement.excepted.reason,
            "expires": judgement.excepted.expires.isoformat(),
        }
    return found


_SARIF_LEVELS: Final = {"violation": "error", "advisory": "note", "undecided": "none", "excepted": "error"}


def to_sarif(report: Report, version: str) -> dict[str, Any]:
    """The result as SARIF 2.1.0 (OASIS, sarif-v2.1.0): one run, since GitHub takes one of a tool in an upload."""
    indexes = {rule.NAME: index for index, rule in enumerate(RULES)}
    told = [("warning", text) for check in report.checks for text in check.unasked]
    told += [("error", item.message) for each in report.refused for item in each.problems]
    return {
        "$schema": SARIF_SCHEMA,
        "version": SARIF_VERSION,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "headroom",
                        "version": version,
                        "rules": [
                            {
                                "id": rule.NAME,
                                "shortDescription": {"text": rule.DESCRIPTION},
                                "fullDescription": {"text": rule.DESCRIPTION},
                                "help": {"text": rule.REMEDIATION},
                                "defaultConfiguration": {"level": "error"},
                                "properties": {"tags": list(rule.TAGS), "severity": rule.SEVERITY},
                            }
                            for rule in RULES
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [
                    _sarif_result(check, judgement, indexes)
                    for check in report.checks
                    for judgement in check.judgements
                ],
                "invocations": [
                    {
                        "executionSuccessful": not report.refused,
                        "toolExecutionNotifications": [
                            {"level": level, "message": {"text": text}} for level, text in told
                        ],
                    }
                ],
            }
        ],
    }


def _artifact(file: str) -> dict[str, str]:
    """A file as SARIF names it: relative to the root of the repository, where the command is given."""
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix()), "uriBaseId": SOURCE_ROOT}


def _sarif_result(check: Check, judgement: Judgement, indexes: dict[str, int]) -> dict[str, Any]:
    kind, place, resource = kind_of(judgement), _shown_at(check, judgement), judgement.finding.resource
    location: dict[str, Any] = {}
    if resource is not None:
        location["logicalLocations"] = [{"name": resource.name, "fullyQualifiedName": resource.urn, "kind": "resource"}]
    if place is not None:
        location["physicalLocation"] = {
            "artifactLocation": _artifact(place.file),
            "region": {"startLine": place.line},
        }
    result: dict[str, Any] = {
        "ruleId": judgement.rule,
        "ruleIndex": indexes[judgement.rule],
        # Evidence is missing: the standard's word for it, with which no other level may stand.
        "kind": "open" if kind == "undecided" else "fail",
        "level": _SARIF_LEVELS[kind],
        "message": {"text": judgement.message},
        "partialFingerprints": {"headroomFinding/v1": _fingerprint(judgement)},
    }
    if location:
        result["locations"] = [location]
    if judgement.excepted is not None:
        result["suppressions"] = [{"kind": "external", "justification": judgement.excepted.reason}]
    return result


def _shown_at(check: Check, judgement: Judgement) -> Place | None:
    """Where a forge shows a finding: GitHub takes none without a file and a line (SARIF support for code scanning)."""
    return place_of(check, judgement) or (Place(file=check.file, line=1) if check.file else None)


def _fingerprint(judgement: Judgement, *more: str) -> str:
    """What makes a finding the same one in the next run: not its line, nor its figures."""
    resource = judgement.finding.resource
    parts = (judgement.rule, resource.urn if resource is not None else "", judgement.finding.key, *more)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


_CODE_QUALITY: Final = {"critical": "blocker", "high": "critical", "medium": "major", "low": "minor"}
"""Our severities in GitLab's words (GitLab documentation, Code Quality, report format)."""
SEVERITIES: Final = tuple(_CODE_QUALITY)
"""The severities of rules, the worst first."""


def to_code_quality(report: Report) -> list[dict[str, Any]]:
    """The findings as GitLab's code quality report has them; it has no word for an exception, so these are left out."""
    return [item for check in report.checks for item in _code_quality(check)]


def _code_quality(check: Check) -> Iterator[dict[str, Any]]:
    severities = {rule.NAME: _CODE_QUALITY[rule.SEVERITY] for rule in RULES}
    for judgement in check.judgements:
        kind, place = kind_of(judgement), _shown_at(check, judgement)
        if kind == "excepted" or place is None:
            continue
        yield {
            "check_name": judgement.rule,
            "description": judgement.message,
            # GitLab drops a finding whose fingerprint it has seen.
            "fingerprint": _fingerprint(judgement, check.source, judgement.message),
            "severity": severities[judgement.rule] if kind == "violation" else "info",
            "location": {"path": Path(place.file).as_posix(), "lines": {"begin": place.line}},
        }


def bar(zone: ZoneCapacity) -> str:
    """How full a zone's pod subnets will be, with the figure in words."""
    if zone.needed is None:
        return ""
    if zone.needed > zone.after:
        return f"{'▓' * BAR} short by {zone.needed - zone.after:,}"
    filled = -(-BAR * zone.needed // zone.after) if zone.after else 0
    return f"{'▓' * filled}{'░' * (BAR - filled)} {zone.after - zone.needed:,} to spare"


def by_rule(judgements: Sequence[Judgement]) -> list[tuple[str, list[Judgement]]]:
    """The judgements rule by rule, in the order of the rules."""
    return [(name, list(found)) for name, found in groupby(judgements, key=lambda judgement: judgement.rule)]
