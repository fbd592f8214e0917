"""A diagnosis as Markdown: for an issue, a pull request or a chat; the verdict first, the evidence folded beneath."""

from collections.abc import Iterator, Sequence
from typing import Final

from headroom.diagnosis.verdict import Cause, Diagnosis, Escalation, History, Impact, Needed, Verdict
from headroom.planning.plan import Plan
from headroom.report.pictures import FREE, LEGEND
from headroom.report.terminal import next_command, remedy
from headroom.report.text import VERDICTS, clean, counted, headline, not_yet_said, of_whole

MARKS: Final = {Verdict.FOUND: "❌", Verdict.HEALTHY: "✅", Verdict.NOT_IP: "⚠️", Verdict.UNDECIDED: "❔"}
SHOWN: Final = 20
"""Rows of a table; a comment of GitHub's holds 65,536 characters."""
NO_WIDTH: Final = "\u200b"
"""A zero-width space: behind an @ or # it keeps GitHub from making a link of the word."""
BAR: Final = 10
"""Characters of a bar."""


def to_markdown(
    diagnosis: Diagnosis, *, source: str = "", plan: Plan | None = None, differences: Sequence[str] = ()
) -> str:
    """The diagnosis as GitHub's Markdown.

    Args:
        diagnosis: What was found.
        source: How the facts were given, such as `--cluster prod-use1`, for the command that follows.
        plan: What is planned for it.
        differences: What the plan's files change, as Git diffs.
    """
    lines = list(_lines(diagnosis, source))
    if plan is not None:
        lines += _plan(plan, differences)
    return "\n".join(lines) + "\n"


def _lines(diagnosis: Diagnosis, source: str) -> Iterator[str]:
    cluster = f" · `{in_code(diagnosis.cluster)}`" if diagnosis.cluster else ""
    read_at = f" · facts of {escaped(diagnosis.collected_at, 40)}" if diagnosis.collected_at else ""
    yield f"**Headroom: {VERDICTS[diagnosis.verdict]}**{cluster}{read_at}"
    yield ""
    yield f"{MARKS[diagnosis.verdict]} {escaped(headline(diagnosis), 400)}"
    for cause in diagnosis.causes:
        if cause.summary:
            yield f"- `{cause.name}`: {escaped(cause.summary, 900)}"
    for other in diagnosis.not_ip:
        yield f"- {escaped(other.what)}"
    yield from _escalations([each for each in diagnosis.escalations if each.met])
    if diagnosis.history is not None:
        yield from _history(diagnosis.history)
    if diagnosis.impact is not None:
        yield from _impact(diagnosis.impact)
    if remedy(diagnosis):
        yield from ["", f"**Do:** {escaped(remedy(diagnosis), 800)}"]
    following = next_command(diagnosis, source)
    if following:
        yield ""
        yield f"Next: `{in_code(following)}`"
    said: set[tuple[str, str]] = set()
    for cause in diagnosis.causes:
        yield from _folded(f"Evidence for {cause.name} ({cause.confidence.value})", list(_evidence(cause, said)))
    rest = [
        f"- `{in_code(each.cause)}`: {escaped(each.by, 500)}"
        for each in not_yet_said(diagnosis.ruled_out, said)[:SHOWN]
    ]
    yield from _folded("Also looked at, and not it", rest)
    if diagnosis.needed:
        yield from _folded("What would tell more", [_needed(each) for each in diagnosis.needed[:SHOWN]])


def _plan(plan: Plan, differences: Sequence[str]) -> Iterator[str]:
    yield from ("", "### Plan", "")
    for option in plan.options:
        if option.kept:
            gives = sum(option.addresses.values())
            yield f"- {escaped(option.title)}. {escaped(option.reason, 900)}" + (
                f" Gives {gives:,} addresses." if gives else ""
            )
    yield from (f"- ❔ {escaped(decision, 900)}" for decision in plan.decisions)
    yield ""
    for number, step in enumerate(plan.steps, start=1):
        takes = f" ({escaped(step.takes)})" if step.takes else ""
        command = f"  \n   `{in_code(step.command)}`" if step.command else ""
        yield f"{number}. {escaped(step.what, 600)}{takes}{command}"
    if plan.untouched:
        yield from ("", f"Not touched: {' '.join(escaped(each, 600) for each in plan.untouched)}")
    changed = [_verbatim(line) for text in differences for line in text.splitlines()]
    yield from _folded("What the files say", ["~~~diff", *changed, "~~~"] if changed else [])
    back = [f"{number}. {escaped(step.what, 600)}" for number, step in enumerate(plan.rollback, start=1)]
    yield from _folded("The way back", back)
    rejected = [f"- {escaped(each.title)}: {escaped(each.reason, 900)}" for each in plan.options if not each.kept]
    yield from _folded("What else was weighed", rejected)


def _escalations(met: Sequence[Escalation]) -> Iterator[str]:
    for each in met:
        yield f"- ☎️ {escaped(each.condition)}: {escaped(each.because)}"


def _history(history: History) -> Iterator[str]:
    if history.summary:
        factor = f" Above all: {history.factor.value.replace('_', ' ')}." if history.factor is not None else ""
        yield ""
        yield f"{escaped(history.summary, 1200)}{factor}"
    if not history.subnets:
        return
    yield ""
    yield "| subnet | zone | free | | held by |"
    yield "|---|---|---:|---|---|"
    ordered = sorted(history.subnets, key=lambda each: (each.free is None, each.free or 0, each.subnet_id))
    for zone in ordered[:SHOWN]:
        owners = ", ".join(f"{LEGEND.get(owner, owner)} {number:,}" for owner, number in zone.by_owner.items())
        yield (
            f"| {escaped(zone.subnet_id, 60)} | {escaped(zone.zone or 'unknown', 40)} | "
            f"{of_whole(zone.free, zone.usable)} | {_bar(zone.free, zone.usable)} | {escaped(owners)} |"
        )
    yield from _more(len(ordered), "further subnet")


def _impact(impact: Impact) -> Iterator[str]:
    yield ""
    yield (
        f"**{counted(impact.stuck_pods, 'pod')} without an address**, in {counted(len(impact.workloads), 'workload')}"
        + (f" behind {counted(impact.services, 'Service')}." if impact.services else ".")
    )
    if impact.workloads:
        yield ""
        yield "| restore | workload | ready | why |"
        yield "|---:|---|---:|---|"
        for rank, each in enumerate(impact.workloads[:SHOWN], start=1):
            yield (
                f"| {rank} | {escaped(each.namespace, 80)}/{escaped(each.name, 80)} | "
                f"{of_whole(each.ready, each.desired)} | {escaped(each.why, 400)} |"
            )
        yield from _more(len(impact.workloads), "further workload")
    if impact.unread:
        yield from ["", "Not read:", "", *(f"- {escaped(each, 500)}" for each in impact.unread[:SHOWN])]
    if impact.autoscalers:
        stuck = [
            f"- {escaped(each.kind)} {escaped(each.name, 120)}: {escaped(each.why, 500)}"
            for each in impact.autoscalers[:SHOWN]
        ]
        yield from _folded(f"Scaling is stuck: {len(impact.autoscalers):,} reasons", stuck)
    if impact.reliefs:
        reliefs = []
        for relief in impact.reliefs[:SHOWN]:
            reliefs += [f"- {escaped(relief.what, 500)} {escaped(relief.caveat, 900)}", ""]
            commands = [f"  {clean(each, 1000)}" for each in (relief.command, relief.undo) if each]
            reliefs += ["  ```sh", *commands, "  ```"]
        yield from _folded("Now, by hand, and reversible", reliefs)


def _evidence(cause: Cause, said: set[tuple[str, str]]) -> Iterator[str]:
    for item in cause.evidence[:SHOWN]:
        value = f": {escaped(item.value)}" if item.value else ""
        threshold = f" (threshold: {escaped(item.threshold)})" if item.threshold else ""
        times = counted(item.count, "time") if item.count != 1 else ""
        rest = ", ".join(escaped(part) for part in (item.where, times, item.when) if part)
        yield f"- **{escaped(item.what)}**{value}{threshold}" + (f" · {rest}" if rest else "")
    if len(cause.evidence) > SHOWN:
        yield f"- and {counted(len(cause.evidence) - SHOWN, 'further reading')}"
    for out in not_yet_said(cause.ruled_out, said)[:SHOWN]:
        yield f"- not `{in_code(out.cause)}`: {escaped(out.by, 500)}"


def _needed(needed: Needed) -> str:
    change = "could change the verdict" if needed.changes_verdict else "would not change the verdict"
    command = f" `{in_code(needed.command)}`" if needed.command else ""
    return f"- {escaped(needed.reading)}: decides {escaped(needed.decides)}; {change}.{command}"


def _more(number: int, what: str) -> Iterator[str]:
    if number > SHOWN:
        yield ""
        yield f"… and {counted(number - SHOWN, what)}."


def _folded(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("", f"<details><summary>{title}</summary>", "", *lines, "", "</details>")


def escaped(text: object, limit: int = 300) -> str:
    """Text of others, so that it stays text in Markdown and mentions nobody."""
    plain = "".join(f"\\{mark}" if mark in "\\<>|[]*_`~$&" else mark for mark in clean(text, limit))
    # GitHub looks for mentions and references after the backslashes have gone.
    return plain.replace("@", f"@{NO_WIDTH}").replace("#", f"#{NO_WIDTH}")


def _verbatim(line: str) -> str:
    """A line of a diff: its indentation stays, and nothing in it ends the fence or acts on the reader's screen."""
    return "".join(each if each.isprintable() else "�" for each in line).replace("~~~", "~ ~")


def in_code(text: object) -> str:
    """Text of others between two backticks."""
    return clean(text, 1000).replace("`", "'").replace("|", "¦")


def _bar(free: int | None, usable: int) -> str:
    """How full a subnet is."""
    if free is None or not usable:
        return LEGEND[FREE] + " unknown"
    held = -(-BAR * (usable - free) // usable)
    return "▓" * held + "░" * (BAR - held)
