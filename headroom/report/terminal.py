"""A diagnosis on the terminal: cause, how it came to this, whom it hits, what next, on one screen.

Off a terminal it is plain text, one fact a line, each line beginning with its kind.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING, Final

from headroom.diagnosis.mitigation import mitigation
from headroom.diagnosis.verdict import Cause, Diagnosis, Evidence, History, Impact, Needed, RuledOut, Verdict
from headroom.report.pictures import LEGEND
from headroom.report.text import VERDICTS, age, clean, counted, first_and_more, headline, not_yet_said, of_whole

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

SHOWN_EVIDENCE: Final = 3
SHOWN_RULED_OUT: Final = 5
SHOWN_SUBNETS: Final = 6
SHOWN_WORKLOADS: Final = 3
SHOWN_AUTOSCALERS: Final = 3
SHOWN_RELIEFS: Final = 1
SHOWN_OTHER_RELIEFS: Final = 3
PLAIN_ROWS: Final = 1_000
"""Lines of one kind in plain text."""

_LABEL: Final = 8
_COLOURS: Final = {
    Verdict.FOUND: "bold red",
    Verdict.HEALTHY: "bold green",
    Verdict.NOT_IP: "bold yellow",
    Verdict.UNDECIDED: "bold yellow",
}


def next_command(diagnosis: Diagnosis, source: str) -> str:
    """The command that follows; `source` is how the facts were given, such as `--cluster prod-use1`."""
    if diagnosis.verdict is Verdict.FOUND:
        return f"headroom plan {source}".strip()
    if diagnosis.verdict is Verdict.UNDECIDED:
        return diagnosis.needed[0].command if diagnosis.needed else ""
    if diagnosis.verdict is Verdict.HEALTHY and diagnosis.retires:
        return f"headroom plan --ahead {source}".strip()
    if diagnosis.verdict is Verdict.HEALTHY and diagnosis.cloud != "azure":
        return f"headroom forecast --cluster {quote(diagnosis.cluster or 'NAME')}"
    return ""


def _following(diagnosis: Diagnosis, source: str) -> str:
    """The same for somebody at a terminal; what is not addresses goes, as a page, to whoever it belongs to."""
    if diagnosis.verdict is Verdict.NOT_IP:
        return f"headroom report {source}".strip()
    return next_command(diagnosis, source)


def remedy(diagnosis: Diagnosis) -> str:
    """What helps at once and for good, in words, for a cluster of AKS."""
    if diagnosis.verdict is Verdict.HEALTHY and diagnosis.retires:
        return f"kubenet is retired on {diagnosis.retires}: plan the way off it while nothing hangs."
    if diagnosis.cloud != "azure" or diagnosis.verdict is not Verdict.FOUND:
        return ""
    advice = mitigation(diagnosis)
    at_once = advice.immediate.removeprefix("Operator: ")
    return f"{at_once[:1].upper()}{at_once[1:]} For good: {advice.long_term[:1].lower()}{advice.long_term[1:]}"


def facts_of(diagnosis: Diagnosis, now: datetime | None) -> str:
    """Whose facts they are, of when, and how old; empty where none of it is known."""
    parts = [clean(diagnosis.cluster)] if diagnosis.cluster else []
    if diagnosis.collected_at:
        parts.append(f"facts of {clean(diagnosis.collected_at, 40)}")
        old = age(diagnosis.collected_at, now) if now is not None else ""
        parts += [old] if old else []
    return ", ".join(parts)


# Plain text.


def plain_lines(diagnosis: Diagnosis, *, source: str = "", now: datetime | None = None) -> Iterator[str]:
    """The diagnosis, one fact a line, for grep.

    Args:
        diagnosis: What was found.
        source: How the facts were given, such as `--cluster prod-use1`, for the command that follows.
        now: The time, from which the facts have their age; ``None``: it is not told.
    """
    yield f"verdict: {diagnosis.verdict.value}: {clean(headline(diagnosis))}"
    if facts_of(diagnosis, now):
        yield f"{'cluster' if diagnosis.cluster else 'facts'}: {facts_of(diagnosis, now)}"
    yield from _plain_causes(diagnosis)
    if diagnosis.history is not None:
        yield from _plain_history(diagnosis.history)
    if diagnosis.impact is not None:
        yield from _plain_impact(diagnosis.impact)
    for needed in diagnosis.needed:
        yield f"unknown: {_needed(needed)}"
    for escalation in diagnosis.escalations:
        met = {True: "met", False: "not met", None: "unknown"}[escalation.met]
        yield f"escalation: {met}: {clean(escalation.condition)}: {clean(escalation.because)}"
    if remedy(diagnosis):
        yield f"do: {remedy(diagnosis)}"
    following = _following(diagnosis, source)
    if following:
        yield f"next: {clean(following, 1000)}"


def _plain_causes(diagnosis: Diagnosis) -> Iterator[str]:
    said: set[tuple[str, str]] = set()
    for cause in diagnosis.causes:
        made_by = f", made by {cause.made_by}" if cause.made_by else ""
        yield f"cause: {cause.name} ({cause.confidence.value}{made_by}): {clean(cause.summary, 900)}"
        for item in cause.evidence[:PLAIN_ROWS]:
            yield f"evidence: {cause.name}: {_evidence(item)}"
        for out in not_yet_said(cause.ruled_out, said):
            yield f"not-it: {clean(out.cause)}: {clean(out.by, 500)}"
    for other in diagnosis.not_ip:
        yield f"not-ip: {clean(other.what)}"
        yield from (f"evidence: {_evidence(item)}" for item in other.evidence[:PLAIN_ROWS])
    for out in not_yet_said(diagnosis.ruled_out, said):
        yield f"not-it: {clean(out.cause)}: {clean(out.by, 500)}"


def _plain_history(history: History) -> Iterator[str]:
    for zone in history.subnets[:PLAIN_ROWS]:
        owners = ", ".join(f"{_owner(owner)} {number:,}" for owner, number in zone.by_owner.items())
        blocks = "" if zone.free_blocks is None else f", {counted(zone.free_blocks, 'free /28')}"
        yield (
            f"subnet: {clean(zone.subnet_id)} {clean(zone.zone or 'zone unknown')} "
            f"{of_whole(zone.free, zone.usable)} free{blocks}{': ' if owners else ''}{owners}"
        )
    factor = f"{history.factor.value}: " if history.factor is not None else ""
    yield f"how: {factor}{clean(history.summary, 1200)}"


def _plain_impact(impact: Impact) -> Iterator[str]:
    yield f"hit: {counted(impact.stuck_pods, 'pod')} without an address, {counted(impact.services, 'Service')}"
    for rank, each in enumerate(impact.workloads[:PLAIN_ROWS], start=1):
        yield (
            f"restore: {rank} {each.kind} {clean(each.namespace)}/{clean(each.name)} "
            f"{of_whole(each.ready, each.desired)} ready, {each.stuck:,} stuck: {clean(each.why, 600)}"
        )
    if len(impact.workloads) > PLAIN_ROWS:
        yield f"restore: and {counted(len(impact.workloads) - PLAIN_ROWS, 'further workload')}"
    for each_unread in impact.unread[:PLAIN_ROWS]:
        yield f"unread: {clean(each_unread, 700)}"
    for stuck in impact.autoscalers[:PLAIN_ROWS]:
        yield f"scaling: {clean(stuck.kind)} {clean(stuck.name)}: {clean(stuck.why, 700)}"
    for relief in impact.reliefs[:PLAIN_ROWS]:
        yield f"relief: {clean(relief.what, 500)} {clean(relief.caveat, 900)}"
        yield f"relief-command: {clean(relief.command, 1000)}"
        if relief.undo:
            yield f"relief-undo: {clean(relief.undo, 1000)}"


def _evidence(item: Evidence) -> str:
    value = f": {clean(item.value)}" if item.value else ""
    threshold = f" (threshold: {clean(item.threshold)})" if item.threshold else ""
    rest = [
        clean(part) for part in (item.where, counted(item.count, "time") if item.count != 1 else "", item.when) if part
    ]
    return f"{clean(item.what)}{value}{threshold}" + (f" [{', '.join(rest)}]" if rest else "")


def _needed(needed: Needed) -> str:
    change = "could change the verdict" if needed.changes_verdict else "would not change the verdict"
    why = f" ({clean(needed.unknown)})" if needed.unknown is not None else ""
    command = f": {clean(needed.command, 1000)}" if needed.command else ""
    return f"{clean(needed.reading)}{why}, decides {clean(needed.decides)}; {change}{command}"


def _owner(owner: str) -> str:
    return LEGEND.get(owner, owner.replace("_", " "))


# On a terminal.


def print_terminal(diagnosis: Diagnosis, console: "Console", *, source: str = "", now: datetime | None = None) -> None:
    """The screen for somebody on call.

    Args:
        diagnosis: What was found.
        console: Where it is printed.
        source: How the facts were given, such as `--cluster prod-use1`, for the command that follows.
        now: The time, from which the facts have their age; ``None``: it is not told.
    """
    from rich.text import Text  # noqa: PLC0415 - only where somebody looks

    rows: list[tuple[str, list[RenderableType]]] = []
    if diagnosis.causes:
        causes: list[RenderableType] = []
        said: set[tuple[str, str]] = set()
        for cause in diagnosis.causes:
            causes += _cause_rows(cause, diagnosis, said)
        rows.append(("CAUSE", causes))
    else:
        rows.append(("VERDICT", list(_verdict_rows(diagnosis))))
    open_readings = _open_readings(diagnosis.needed)
    if open_readings:
        rows[-1][1].append(_keyed(open_readings))
    if facts_of(diagnosis, now):
        rows[0][1].append(Text(facts_of(diagnosis, now), style="dim"))
    if diagnosis.history is not None and diagnosis.history.summary:
        rows.append(("HOW", [Text(clean(diagnosis.history.summary, 1200))]))
    if diagnosis.impact is not None:
        rows.append(("HIT", list(_hit_rows(diagnosis.impact))))
    met = [escalation for escalation in diagnosis.escalations if escalation.met]
    if met:
        rows.append(("CALL", [Text(f"{clean(each.condition)}: {clean(each.because)}", style="yellow") for each in met]))
    last = (("DO", remedy(diagnosis), ""), ("NEXT", _following(diagnosis, source), "bold cyan"))
    rows += [(label, [Text(clean(line, 1000), style=style)]) for label, line, style in last if line]
    for label, content in rows:
        console.print(_section(label, content))
        console.print()


def _section(label: str, content: list["RenderableType"]) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    grid = Table.grid(padding=0)
    grid.add_column(width=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, style="bold"), Group(*content))
    return grid


def _keyed(pairs: Iterable[tuple[str, "Text"]]) -> "RenderableType":
    """Lines with a word before them, aligned."""
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=9, no_wrap=True)
    grid.add_column(overflow="fold")
    for word, text in pairs:
        grid.add_row(Text(word, style="dim"), text)
    return grid


def _verdict_rows(diagnosis: Diagnosis) -> Iterator["RenderableType"]:
    from rich.text import Text  # noqa: PLC0415 - as above

    yield Text.assemble((VERDICTS[diagnosis.verdict], _COLOURS[diagnosis.verdict]), f"  {clean(headline(diagnosis))}")
    for other in diagnosis.not_ip:
        yield from (Text(_evidence(item), style="dim") for item in other.evidence[:2])
    table = _subnet_table(diagnosis.history, set()) if diagnosis.history is not None else None
    if table is not None:
        yield table
    if diagnosis.ruled_out:
        yield _keyed([("not it", Text(_ruled_out(diagnosis.ruled_out)))])


def _cause_rows(cause: Cause, diagnosis: Diagnosis, said: set[tuple[str, str]]) -> Iterator["RenderableType"]:
    from rich.text import Text  # noqa: PLC0415 - as above

    where = f"   in {first_and_more(cause.scope.zones, 6)}" if cause.scope.zones else ""
    made_by = f"   made by {cause.made_by}" if cause.made_by else ""
    yield Text.assemble((cause.name, _COLOURS[Verdict.FOUND]), f"{where}   ", (cause.confidence.value, "dim"), made_by)
    if cause.summary:
        yield Text(clean(cause.summary, 600))
    if cause is diagnosis.causes[0] and diagnosis.history is not None:
        table = _subnet_table(diagnosis.history, set(cause.scope.subnets))
        if table is not None:
            yield table
    shown = SHOWN_EVIDENCE if cause is diagnosis.causes[0] else 1
    told = _one_of_each_kind(cause.evidence)[:shown]
    pairs = [("evidence" if index == 0 else "", Text(_evidence(item))) for index, item in enumerate(told)]
    if len(cause.evidence) > len(told):
        pairs.append(("", Text(f"and {counted(len(cause.evidence) - len(told), 'further reading')}", style="dim")))
    ruled_out = not_yet_said(cause.ruled_out, said)
    if ruled_out:
        pairs.append(("not it", Text(_ruled_out(ruled_out))))
    if pairs:
        yield _keyed(pairs)


def _one_of_each_kind(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The first reading of each kind: three subnets' figures must not hide what EC2 said, nor fill the screen."""
    first = {item.what: item for item in reversed(evidence)}
    return [item for item in evidence if first[item.what] is item]


def _subnet_table(history: History, of_cause: set[str]) -> "RenderableType | None":
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    if not history.subnets:
        return None
    ordered = sorted(history.subnets, key=lambda each: (each.subnet_id not in of_cause, each.zone, each.subnet_id))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(overflow="fold")
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(overflow="fold", style="dim")
    for zone in ordered[:SHOWN_SUBNETS]:
        style = "red" if zone.free == 0 else ""
        beside = "" if not of_cause or zone.subnet_id in of_cause else "not the cause"
        grid.add_row(
            Text(clean(zone.subnet_id, 60)),
            Text(clean(zone.zone, 40)),
            Text(f"{of_whole(zone.free, zone.usable)} free", style=style),
            Text(beside),
        )
    more = len(ordered) - SHOWN_SUBNETS
    if more > 0:
        grid.add_row(Text(f"and {counted(more, 'further subnet')}", style="dim"), Text(), Text(), Text())
    return grid


def _ruled_out(ruled_out: Sequence[RuledOut]) -> str:
    texts = [f"{clean(out.cause, 60)} ({clean(out.by, 120)})" for out in ruled_out[:SHOWN_RULED_OUT]]
    more = len(ruled_out) - len(texts)
    return ", ".join([*texts, *([f"and {more:,} more"] if more > 0 else [])])


def _open_readings(needed: tuple[Needed, ...]) -> list[tuple[str, "Text"]]:
    from rich.text import Text  # noqa: PLC0415 - as above

    return [("unknown" if index == 0 else "", Text(_needed(each))) for index, each in enumerate(needed[:3])]


def _hit_rows(impact: Impact) -> Iterator["RenderableType"]:
    from rich.text import Text  # noqa: PLC0415 - as above

    first = [
        f"{clean(each.namespace, 60)}/{clean(each.name, 60)} ({of_whole(each.ready, each.desired)} ready)"
        for each in impact.workloads[:SHOWN_WORKLOADS]
    ]
    more = len(impact.workloads) - len(first)
    order = ", ".join([*first, *([f"and {more:,} more"] if more > 0 else [])])
    yield Text(
        f"{counted(impact.stuck_pods, 'pod')} stuck in {counted(len(impact.workloads), 'workload')}"
        + (f", behind {counted(impact.services, 'Service')}" if impact.services else "")
        + (f". Restore first: {order}." if order else ".")
    )
    if impact.unread:
        yield Text(f"Not read: {clean(' '.join(impact.unread), 700)}", style="dim")
    if impact.autoscalers:
        lines = [
            f"{clean(each.kind)} {clean(each.name, 80)} {clean(each.why, 300)}"
            for each in impact.autoscalers[:SHOWN_AUTOSCALERS]
        ]
        more = len(impact.autoscalers) - len(lines)
        yield Text("Scaling is stuck:")
        for line in [*lines, *([f"and {counted(more, 'further autoscaler')}"] if more > 0 else [])]:
            yield _indented(Text(line))
    # What frees addresses is a workload that gives way; the other ways to help add up, and each is wanted.
    others = [relief for relief in impact.reliefs if not relief.addresses]
    giving_way = [relief for relief in impact.reliefs if relief.addresses]
    shown = others[:SHOWN_OTHER_RELIEFS] or giving_way[:SHOWN_RELIEFS]
    for relief in shown:
        yield Text(f"{'Now, by hand, reversible: ' if relief.undo else ''}{clean(relief.what, 300)}")
        yield _indented(Text(clean(relief.command, 1000), style="cyan"))
        if relief.caveat:
            yield _indented(Text(clean(relief.caveat, 900), style="dim"))
    more = len(giving_way) - (0 if others else len(shown))
    if more > 0:
        yield Text(f"{counted(more, 'further workload')} could give way.", style="dim")


def _indented(text: "Text") -> "RenderableType":
    from rich.padding import Padding  # noqa: PLC0415 - as above

    return Padding(text, (0, 0, 0, 2))
