"""A check's result as the comment on a pull request: the verdict first, short enough for a phone, the rest folded."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from policies.capacity import ZoneCapacity
from policies.pack import RULES, Judgement
from policies.reports import SEVERITIES, Check, Refused, Report, bar, kind_of, place_of

MARK: Final = "<!-- headroom check: {verdict} -->"
"""The first line: by it the next run finds its comment again (templates/ci/comment.py)."""
UNCHANGED: Final = "unchanged"
"""What stands for the verdict where no stack file has changed."""
FOLDED_AFTER: Final = 20
"""Findings of a source that a comment shows; the others are folded beneath."""
LARGEST: Final = 60_000
"""Characters of a comment: GitHub takes 65,536, the other forges more."""
LARGEST_SENTENCE: Final = 1_000
"""Characters of one sentence that somebody else's names are part of."""

_MARKS: Final = {"violation": "❌", "undecided": "❔", "advisory": "⚠️", "excepted": "⏭️"}
_MARKUP: Final = re.compile(r"[\\<>|\[\]*_`~]")
_BLANK: Final = re.compile(r"\s")
_REFERENCE: Final = re.compile(r"(?<=[@#!])")
"""After these a forge looks for a person, an issue or a merge request."""
_DESCRIBE: Final = "`aws ec2 describe-subnets --output json`"


def to_markdown(report: Report) -> str:
    """The comment on a pull request."""
    verdict = UNCHANGED if report.since and not report.checks and not report.refused else report.verdict
    blocks = [MARK.format(verdict=verdict), _headline(report)]
    one = len(report.checks) + len(report.refused) == 1
    for refused in report.refused:
        blocks += _refused(refused)
    # What is to be done stands above what is well.
    for check in sorted(report.checks, key=lambda check: check.verdict == "clean"):
        blocks += _section(check) if one else _titled(check)
    return _fitting(blocks)


def _headline(report: Report) -> str:
    if not report.checks and not report.refused:
        return "**Headroom: no stack file changed**"
    violations = sum(len(check.of_kind("violation")) for check in report.checks)
    undecided = sum(check.undecided for check in report.checks)
    parts = [counted(violations, "violation"), f"{undecided:,} undecided"]
    if report.refused:
        parts.insert(0, f"{len(report.refused)} cannot be read")
    sources = [*(check.source for check in report.checks), *(refused.source for refused in report.refused)]
    what = _code(sources[0]) if len(sources) == 1 else counted(len(sources), "file")
    return f"**Headroom: {', '.join(parts)}** · {what}"


def _refused(refused: Refused) -> list[str]:
    lines = [f"- ❌ {_plain(problem.message)}" for problem in refused.problems]
    return [f"{_code(refused.source)} cannot be checked:", *_limited(lines)]


def _titled(check: Check) -> list[str]:
    if check.verdict == "clean":
        return [_folded(f"✅ {_code_html(check.source)}", ["\n\n".join(_section(check))])]
    return [f"**{_code(check.source)}**", *_section(check)]


def _section(check: Check) -> list[str]:
    """The blocks of one source, the most important first; each stands for itself."""
    shown = [*check.of_kind("violation"), *check.of_kind("advisory")]
    blocks = _limited(_bullets(check, _spread(shown)))
    if not shown:
        looked = f"{check.resources:,} resources, {len(RULES)} rules, no violation"
        blocks.append(f"❔ {looked}, {check.undecided} undecided." if check.undecided else f"✅ {looked}.")
    if check.zones:
        blocks.append("\n".join(_zone_table(check.zones)))
    open_ends = [*_bullets(check, check.of_kind("undecided")), *(f"- ❔ {_plain(text)}" for text in check.unasked)]
    if open_ends:
        blocks.append(_folded(f"{len(open_ends)} could not be checked", _shortened(open_ends)))
    excepted = check.of_kind("excepted")
    if excepted:
        blocks.append(_folded(f"{len(excepted)} let pass by an exception", _shortened(_bullets(check, excepted))))
    names = {judgement.rule for judgement in shown}
    if names:
        remedies = [f"- `{rule.NAME}`: {rule.REMEDIATION}" for rule in RULES if rule.NAME in names]
        blocks.append(_folded("What to write instead", remedies))
    explained = [*_explained(check), *(f"- {_plain(note)}" for note in check.notes)]
    if explained:
        blocks.append(_folded("What the figures say", explained))
    return blocks


def _spread(judgements: Sequence[Judgement]) -> list[Judgement]:
    """The most severe first, and of many the first of each rule, so that none is crowded out."""
    ranks = {rule.NAME: SEVERITIES.index(rule.SEVERITY) for rule in RULES}
    rules = {judgement.rule for judgement in judgements}
    share = max(1, FOLDED_AFTER // len(rules)) if len(judgements) > FOLDED_AFTER else len(judgements)
    seen: dict[str, int] = {}
    order: list[tuple[bool, int]] = []
    for judgement in judgements:
        seen[judgement.rule] = seen.get(judgement.rule, 0) + 1
        order.append((seen[judgement.rule] > share, ranks[judgement.rule]))
    places = sorted(range(len(judgements)), key=order.__getitem__)
    return [judgements[place] for place in places]


def _limited(lines: Sequence[str]) -> list[str]:
    """The first lines, and the others folded beneath."""
    blocks = ["\n".join(lines[:FOLDED_AFTER])] if lines else []
    if len(lines) > FOLDED_AFTER:
        blocks.append(_folded(f"{len(lines) - FOLDED_AFTER:,} more", _shortened(lines[FOLDED_AFTER:])))
    return blocks


def _shortened(lines: Sequence[str]) -> list[str]:
    """As many lines as a third of the comment holds."""
    room = LARGEST // 3
    for index, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return [*lines[:index], f"- … and {len(lines) - index:,} more, in the output of the check"]
    return list(lines)


def _fitting(blocks: Sequence[str]) -> str:
    """The blocks that fit, in their order, and a word about those that do not."""
    text = ""
    for index, block in enumerate(blocks):
        if len(text) + len(block) > LARGEST:
            return f"{text}…{counted(len(blocks) - index, 'more part')}, in the output of the check.\n"
        text += f"{block}\n" if not index else f"{block}\n\n"
    return text.rstrip("\n") + "\n"


def _bullets(check: Check, judgements: Iterable[Judgement]) -> list[str]:
    lines = []
    for judgement in judgements:
        place = place_of(check, judgement)
        where = ""
        if place is not None:
            where = f" line {place.line}" if place.file == check.source else f" {_plain(place.file)} line {place.line}"
        until = ""
        if judgement.excepted is not None:
            until = f" (until {judgement.excepted.expires}: {_plain(judgement.excepted.reason)})"
        lines.append(f"- {_MARKS[kind_of(judgement)]} `{judgement.rule}`{where}: {_plain(judgement.message)}{until}")
    return lines


def _zone_table(zones: Sequence[ZoneCapacity]) -> Iterator[str]:
    yield "| zone | free now | pod addresses | needed | |"
    yield "|---|---:|---:|---:|---|"
    for zone in zones:
        needed = "not known" if zone.needed is None else f"{zone.needed:,}"
        yield f"| {_escaped(zone.zone)} | {free_now(zone)} | {pod_addresses(zone)} | {needed} | {bar(zone)} |"


def free_now(zone: ZoneCapacity) -> str:
    """The zone's free addresses with their whole, in words."""
    if zone.free is None:
        return "not read"
    return f"{zone.free.addresses:,}" + ("" if zone.free.usable is None else f" of {zone.free.usable:,}")


def pod_addresses(zone: ZoneCapacity) -> str:
    """The addresses of the zone's pod subnets, before and after, in words; one figure where they stay the same."""
    return f"{zone.after:,}" if zone.before in (None, zone.after) else f"{zone.before:,} → {zone.after:,}"


def _explained(check: Check) -> Iterator[str]:
    """What the columns of the table say, and what would fill the gaps."""
    if not check.zones:
        return
    if check.free_from:
        yield f"- free now: {_plain(check.free_from)}"
    else:
        yield f"- free now: a stack does not know it. Write what {_DESCRIBE} prints into a file: `--facts FILE`"
    known = all(zone.before is not None for zone in check.zones)
    before = "before → after the change" if known else "after the change; `--base BRANCH` shows those before"
    yield f"- pod addresses: what the zone's pod subnets hold, {before}"
    for basis, zones in groupby(sorted(check.zones, key=lambda zone: zone.basis), key=lambda zone: zone.basis):
        names = ", ".join(zone.zone for zone in zones)
        yield f"- needed in {_plain(names)}: {_plain(basis) or 'the policy configuration does not let that be told'}"


def _plain(text: str) -> str:
    """Text with names in it that a stack's author chose, so that these stay text in Markdown; commands become code."""
    flat = " ".join(text.split())
    cut = flat if len(flat) <= LARGEST_SENTENCE else f"{flat[:LARGEST_SENTENCE]}…"
    parts = cut.split("`")
    if len(parts) % 2 == 0 or "``" in cut:
        return _escaped(cut)  # backticks that do not pair: some name has one
    return "`".join(part if index % 2 else _escaped(part) for index, part in enumerate(parts))


def _escaped(text: str) -> str:
    """A name without any meaning in Markdown, nor to the forge."""
    return _REFERENCE.sub("<!-- -->", _MARKUP.sub(r"\\\g<0>", _BLANK.sub(" ", text)))


def _code(text: str) -> str:
    """A name as code."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"


def _code_html(text: str) -> str:
    """A name as code where Markdown does not reach."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<code>{' '.join(escaped.split())}</code>"


def _folded(title: str, lines: Sequence[str]) -> str:
    return f"<details><summary>{title}</summary>\n\n" + "\n".join(lines) + "\n\n</details>"


def counted(number: int, one: str) -> str:
    """A number with its unit: `1 violation`, `2 violations`."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"
