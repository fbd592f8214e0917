"""`headroom one-side`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.facts import read_text
from headroom.cli.files import write_text
from headroom.facts.document import load
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.values import Unknown, known
from headroom.planning.one_side import Entry, Placed, Side, Verdict, commands, placed, read_entries, undecided_problems
from headroom.planning.one_side import unread as unread_of
from headroom.report.text import clean

SUBJECT: Final = "headroom one-side"
FOUND, UNDECIDED = 1, 3
EXPECTED: Final = ("old", "new", "neither")
MARKS: Final = {"right": "✓", "wrong": "✗", "undecided": "?"}
MOST_OF_A_LINE: Final = 1000
"""Characters of what objects of the cluster say of themselves."""
STYLES: Final = {"right": "green", "wrong": "red", "undecided": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cluster:
    """One of the two clusters, as it was given."""

    given: str
    side: Side


@click.command("one-side")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--old", default="", help="Context of the old cluster.")
@click.option("--new", default="", help="Context of the new cluster.")
@click.option("--old-facts", type=click.Path(path_type=Path), help="A snapshot of the old cluster instead.")
@click.option("--new-facts", type=click.Path(path_type=Path), help="A snapshot of the new cluster instead.")
@click.option("--expect", type=click.Choice(EXPECTED), help="Where all of it must run; else either will do.")
@click.option("--stop", default="", metavar="CONTEXT", help="Print what stops all of it in a cluster; ask no cluster.")
@click.option("--start", default="", metavar="CONTEXT", help="Print what starts all of it in a cluster.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table for a pull request here too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def one_side(  # noqa: PLR0913 - one argument for each option
    file: Path,
    *,
    old: str,
    new: str,
    old_facts: Path | None,
    new_facts: Path | None,
    expect: str | None,
    stop: str,
    start: str,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Show that CronJobs and leader-elected consumers run in one of two clusters only.

    \b
    headroom one-side stacks/one-side.aks-prod.txt --old aks-prod --new aks-prod-overlay
    headroom one-side stacks/one-side.aks-prod.txt --stop aks-prod-overlay | sh

    The file is the plan's: a line with ? before it waits for your decision, one with # is left alone. A Lease that
    nobody has renewed in time is stale, and does not count as held. --stop and --start run nothing.

    Exit code 0: each runs on one side; 1: on both, on neither, or elsewhere than expected; 2: bad input; 3: undecided.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    entries = read_entries(read_text(file, wrote="headroom plan"), subject=file.name)
    if stop or start:
        _check_alone(stop, start, old or new or old_facts or new_facts)
        _print(entries, file, stop or start, stop=bool(stop))
        return
    problems = [
        *_one_of("old", old, old_facts),
        *_one_of("new", new, new_facts),
        *_twice(old, new),
    ]
    if problems:
        raise ProblemsError(problems, subject="command line")
    there, here = _cluster(old, old_facts), _cluster(new, new_facts)
    found = placed(entries, there.side, here.side)
    unread = [f"{each.given}: {what}" for each in (there, here) for what in unread_of(each.side.kubernetes)]
    if as_json:
        click.echo(json.dumps(to_json(found, unread, expect), indent=2))
    else:
        _tell(found, unread, there.given, here.given, expect)
    if markdown is not None:
        text = to_markdown(found, unread, there.given, here.given, expect)
        write_text(markdown, text, key="--markdown", subject=SUBJECT)
    sys.exit(exit_code(found, unread, expect))


def exit_code(found: Sequence[Placed], unread: Sequence[str], expect: str | None) -> int:
    """1 where something runs on both sides, on neither or elsewhere than expected; else 3 where one is undecided."""
    states = {state_of(each, expect) for each in found}
    if "wrong" in states:
        return FOUND
    return UNDECIDED if unread or "undecided" in states else 0


def state_of(each: Placed, expect: str | None) -> str:
    """Whether something runs where it should: right, wrong or undecided."""
    if each.verdict is Verdict.UNDECIDED:
        return "undecided"
    right = each.verdict.value == expect if expect else each.verdict in (Verdict.OLD, Verdict.NEW)
    return "right" if right else "wrong"


def to_json(found: Sequence[Placed], unread: Sequence[str], expect: str | None) -> dict[str, object]:
    """The answer as JSON values."""
    return {
        "expected": expect,
        "entries": [
            {
                "namespace": each.entry.namespace,
                "kind": each.entry.kind,
                "name": each.entry.name,
                "runs": each.verdict.value,
                "state": state_of(each, expect),
                "old": each.old,
                "new": each.new,
                "note": each.entry.note,
            }
            for each in found
        ],
        "unread": list(unread),
        "exitCode": exit_code(found, unread, expect),
    }


def to_markdown(found: Sequence[Placed], unread: Sequence[str], old: str, new: str, expect: str | None) -> str:
    """The answer as a table for a pull request."""
    from headroom.report.markdown import escaped, in_code  # noqa: PLC0415 - only for --markdown

    lines = [
        f"**Runs on one side only: {_summary(found, expect)}**",
        "",
        f"| | what | {escaped(old)} | {escaped(new)} |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {MARKS[state_of(each, expect)]} {each.verdict.value} | `{in_code(each.entry.place)}` "
        f"| {escaped(each.old, MOST_OF_A_LINE)} | {escaped(each.new, MOST_OF_A_LINE)} |"
        for each in found
    ]
    lines += ["", *(f"- {escaped(each, MOST_OF_A_LINE)}" for each in unread)] if unread else []
    return "\n".join(lines) + "\n"


def _check_alone(stop: str, start: str, clusters: object) -> None:
    given = [name for name, value in (("--stop", stop), ("--start", start), ("a cluster to ask", clusters)) if value]
    if len(given) > 1:
        problem = Problem(
            rule="one-at-a-time",
            value=" and ".join(given),
            reason="are given together.",
            next_step="Print with --stop or with --start; ask with --old and --new.",
        )
        raise ProblemsError([problem], subject="command line")


def _one_of(side: str, context: str, facts: Path | None) -> list[Problem]:
    if bool(context) is not (facts is not None):
        return []
    return [
        Problem(
            rule="where-from",
            key=f"--{side}",
            value="Both" if context else "Neither",
            reason=f"of --{side} and --{side}-facts is given.",
            next_step=f"Name a context (--{side} NAME), or a snapshot (--{side}-facts FILE).",
        )
    ]


def _twice(old: str, new: str) -> list[Problem]:
    if not old or old != new:
        return []
    step = "Give the contexts of the two clusters: `kubectl config get-contexts` lists them."
    return [Problem(rule="two-clusters", key="--new", value=new, reason="is --old too.", next_step=step)]


def _print(entries: Sequence[Entry], file: Path, context: str, *, stop: bool) -> None:
    problems = undecided_problems(entries, subject=file.name)
    if problems:
        raise ProblemsError(problems, subject=SUBJECT)
    for line in commands(entries, context, stop=stop):
        click.echo(line)


def _cluster(context: str, file: Path | None) -> _Cluster:
    if file is not None:
        snapshot = load(read_text(file), subject=file.name)
        kubernetes = known(snapshot.kubernetes) or Kubernetes()
        return _Cluster(given=file.name, side=Side(kubernetes, known(snapshot.collected_at) or ""))
    from headroom.collect.one_side import read_one_side  # noqa: PLC0415 - the client takes a while to load

    click.echo(f"Reading {context} …", err=True)
    found = read_one_side(context)
    if isinstance(found, Unknown):
        problem = Problem(rule="cluster-reachable", value=context, reason=f"cannot be used: {found}.")
        raise ProblemsError([problem], subject=SUBJECT)
    return _Cluster(given=context, side=Side(found.kubernetes, found.at))


def _summary(found: Sequence[Placed], expect: str | None) -> str:
    states = [state_of(each, expect) for each in found]
    parts = [f"{states.count(state):,} {state}" for state in ("wrong", "undecided") if state in states]
    return ", ".join([f"{states.count('right'):,} of {len(states):,} as it should be", *parts])


def _tell(found: Sequence[Placed], unread: Sequence[str], old: str, new: str, expect: str | None) -> None:
    width = max(len(old), len(new))
    for each in found:
        state = state_of(each, expect)
        told = f"{MARKS[state]} {each.verdict.value:<9}  {clean(each.entry.place, MOST_OF_A_LINE)}"
        click.secho(told, fg=STYLES[state])
        for name, because in ((old, each.old), (new, each.new)):
            click.echo(f"    {name:<{width}}  {clean(because, MOST_OF_A_LINE)}")
        if state == "undecided" and each.entry.note:
            click.echo(f"    {clean(each.entry.note, MOST_OF_A_LINE)}")
    for what in unread:
        click.secho(f"? {clean(what, MOST_OF_A_LINE)}", fg="yellow")
    click.echo(f"ONE SIDE  {_summary(found, expect)}")
    click.echo(f"NEXT  {_next(found, unread, old, new, expect)}")


def _next(found: Sequence[Placed], unread: Sequence[str], old: str, new: str, expect: str | None) -> str:
    """What to do next."""
    wrong = {each.verdict for each in found if state_of(each, expect) == "wrong"}
    if Verdict.NEITHER in wrong:
        there = quote(new if expect == "new" else old)
        return f"headroom one-side FILE --start {there} | sh    in the cluster where they are to run"
    if wrong:
        there = quote(old if expect == "new" or (expect == "neither" and Verdict.OLD in wrong) else new)
        return f"headroom one-side FILE --stop {there} | sh    and ask again once their last runs have ended"
    if any(each.verdict is Verdict.UNDECIDED for each in found):
        return "decide on the lines with ? in the file, add those that no line names, and ask again"
    if unread:
        return "`headroom collect --permissions rbac` prints the role that reads them"
    return "nothing is left to do here; ask again before the last step of the traffic, and after it"
