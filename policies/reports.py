"""A check's result as JSON, as SARIF 2.1.0 and as the comment on a pull request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, Literal

from headroom.addresses.problems import Problem
from policies.capacity import ZoneCapacity
from policies.pack import RULES, Judgement
from policies.resources import Place

Verdict = Literal["clean", "violation", "undecided"]

SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
SARIF_VERSION: Final = "2.1.0"
BAR: Final = 10
"""Characters of a bar."""
FOLDED_AFTER: Final = 20
"""Findings that a comment shows; the others are folded beneath."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check found.

    Attributes:
        source: What was checked, as the user named it.
        door: `program`, `preview`, `state` or `stack file`.
        resources: How many resources were looked at.
        judgements: Everything that the rules said.
        zones: Addresses by zone.
        unasked: What could not be looked at, in words.
        places: Where single values of the configuration were written, by their key.
    """

    source: str
    door: str
    resources: int
    judgements: Sequence[Judgement]
    zones: Sequence[ZoneCapacity] = ()
    unasked: Sequence[str] = ()
    places: Mapping[str, Place] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Judgement]:
        """The judgements of one kind: violation, undecided, advisory or excepted."""
        return [judgement for judgement in self.judgements if kind_of(judgement) == kind]

    @property
    def verdict(self) -> Verdict:
        """A violation outweighs what could not be decided."""
        if self.of_kind("violation"):
            return "violation"
        return "undecided" if self.of_kind("undecided") or self.unasked else "clean"


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
    if resource is None:
        return check.places.get(judgement.finding.key)
    if resource.place is None:
        return None
    place = resource.place
    return Place(file=place.file, line=place.lines.get(judgement.finding.key, place.line))


def to_json(check: Check) -> dict[str, Any]:
    """The result as one JSON document."""
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
        "zones": [
            {"zone": zone.zone, "before": zone.before, "after": zone.after, "needed": zone.needed}
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


def to_sarif(check: Check, version: str) -> dict[str, Any]:
    """The result as SARIF 2.1.0 (OASIS, sarif-v2.1.0)."""
    indexes = {rule.NAME: index for index, rule in enumerate(RULES)}
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
                                "help": {"text": rule.REMEDIATION},
                                "defaultConfiguration": {"level": "error"},
                                "properties": {"tags": list(rule.TAGS), "severity": rule.SEVERITY},
                            }
                            for rule in RULES
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_sarif_result(check, judgement, indexes) for judgement in check.judgements],
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {"level": "warning", "message": {"text": text}} for text in check.unasked
                        ],
                    }
                ],
            }
        ],
    }


def _sarif_result(check: Check, judgement: Judgement, indexes: dict[str, int]) -> dict[str, Any]:
    kind, place, resource = kind_of(judgement), place_of(check, judgement), judgement.finding.resource
    location: dict[str, Any] = {}
    if resource is not None:
        location["logicalLocations"] = [{"name": resource.name, "fullyQualifiedName": resource.urn, "kind": "resource"}]
    if place is not None:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": place.file.replace("\\", "/")},
            "region": {"startLine": place.line},
        }
    result: dict[str, Any] = {
        "ruleId": judgement.rule,
        "ruleIndex": indexes[judgement.rule],
        # Evidence is missing: the standard's word for it, with which no other level may stand.
        "kind": "open" if kind == "undecided" else "fail",
        "level": _SARIF_LEVELS[kind],
        "message": {"text": judgement.message},
    }
    if location:
        result["locations"] = [location]
    if judgement.excepted is not None:
        result["suppressions"] = [{"kind": "external", "justification": judgement.excepted.reason}]
    return result


_MARKS: Final = {"violation": "❌", "undecided": "❔", "advisory": "⚠️", "excepted": "⏭️"}


def to_markdown(check: Check) -> str:
    """The comment on a pull request: the verdict first, readable on a phone; the rest folded beneath."""
    violations, undecided = check.of_kind("violation"), check.of_kind("undecided")
    plural = "" if len(violations) == 1 else "s"
    lines = [
        f"**Headroom: {len(violations)} violation{plural}, {len(undecided)} undecided** · `{check.source}`",
        "",
    ]
    shown = [*violations, *check.of_kind("advisory")]
    lines += _bullets(check, shown[:FOLDED_AFTER])
    if len(shown) > FOLDED_AFTER:
        lines += _folded(f"{len(shown) - FOLDED_AFTER} more", _bullets(check, shown[FOLDED_AFTER:]))
    if not shown:
        lines.append(f"✅ {check.resources} resources, {len(RULES)} rules, no violation.")
    lines += ["", *_zone_table(check.zones)] if check.zones else []
    open_ends = [*_bullets(check, undecided), *(f"- {text}" for text in check.unasked)]
    if open_ends:
        lines += _folded(f"{len(open_ends)} could not be checked", open_ends)
    excepted = check.of_kind("excepted")
    if excepted:
        lines += _folded(f"{len(excepted)} let pass by an exception", _bullets(check, excepted))
    names = sorted({judgement.rule for judgement in shown})
    if names:
        remedies = {rule.NAME: rule.REMEDIATION for rule in RULES}
        lines += _folded("What to write instead", [f"- `{name}`: {remedies[name]}" for name in names])
    return "\n".join(lines) + "\n"


def _bullets(check: Check, judgements: Sequence[Judgement]) -> list[str]:
    lines = []
    for judgement in judgements:
        place = place_of(check, judgement)
        where = f" {place.file} line {place.line}" if place is not None else ""
        until = ""
        if judgement.excepted is not None:
            until = f" (until {judgement.excepted.expires}: {_plain(judgement.excepted.reason)})"
        lines.append(f"- {_MARKS[kind_of(judgement)]} `{judgement.rule}`{where}: {_plain(judgement.message)}{until}")
    return lines


def _plain(text: str) -> str:
    """Text that a stack's author chose, so that it stays text in Markdown."""
    flat = " ".join(text.split())
    return "".join(f"\\{mark}" if mark in "<>|[]*_`@#!" else mark for mark in flat)


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]


def _zone_table(zones: Sequence[ZoneCapacity]) -> list[str]:
    lines = ["| zone | holds before | holds after | needed | |", "|---|---:|---:|---:|---|"]
    for zone in zones:
        before = "" if zone.before is None else f"{zone.before:,}"
        needed = "not known" if zone.needed is None else f"{zone.needed:,}"
        lines.append(f"| {_plain(zone.zone)} | {before} | {zone.after:,} | {needed} | {bar(zone)} |")
    return lines


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
