"""`headroom verify`."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

import click

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.facts import FactsFrom, Source, read_facts, takes_facts
from headroom.cli.plan import read_plan
from headroom.planning.conditions import ConditionState, State, evaluate, pods_to_read
from headroom.planning.plan import Check, Plan

if TYPE_CHECKING:
    from headroom.facts.pod_logs import LogAccess
    from headroom.facts.snapshot import Snapshot
    from headroom.facts.values import Unknown

EVERY_SECONDS: Final = 10
EXIT_CODES: Final = {State.MET: 0, State.FAILED: 1, State.WAITING: 1, State.UNKNOWN: 3}
MARKS: Final = {State.MET: "✓", State.WAITING: "…", State.FAILED: "✗", State.UNKNOWN: "?"}
STYLES: Final = {State.MET: "green", State.WAITING: "yellow", State.FAILED: "red", State.UNKNOWN: "yellow"}
UNKNOWN_ROUNDS: Final = 3
"""Readings in a row that may fail before a condition counts as undecided."""


@click.command()
@takes_facts
@click.option("--plan", "path", type=click.Path(path_type=Path), required=True, help="The plan that was applied.")
@click.option("--once", is_flag=True, help="Look once, and do not wait.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end.")
def verify(source: FactsFrom, path: Path, *, once: bool, as_json: bool) -> None:
    """Watch the postconditions of a plan until they hold, or cannot hold any more.

    \b
    headroom verify --plan stacks/plan.prod-use1-emergency.json --cluster prod-use1
    headroom verify --plan stacks/verify.aks-new.json --cloud aks --resource-group rg-prod --cluster aks-new

    Of a few pods in new subnets the log is asked for, and nothing of it kept: a snapshot cannot say whether it comes,
    so with --facts that one condition stays undecided.

    Exit code 0: all hold; 1: one does not; 2: bad input; 3: one could not be read.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    made = read_plan(path)
    if not made.postconditions:
        problem = Problem(rule="no-postconditions", value=str(path), reason="names nothing that must hold.")
        raise ProblemsError([problem], subject="plan")
    found = _watch(made, source, once=once or source.file is not None, quiet=as_json)
    if as_json:
        click.echo(json.dumps(to_json(made, found), indent=2))
    sys.exit(EXIT_CODES[worst(found)])


def worst(found: Sequence[ConditionState]) -> State:
    """What all conditions come to: failed before unknown, unknown before waiting, waiting before met."""
    states = {state.state for state in found}
    return next(
        state
        for state in (State.FAILED, State.UNKNOWN, State.WAITING, State.MET)
        if state in states or state is State.MET
    )


def to_json(made: Plan, found: Sequence[ConditionState]) -> dict[str, object]:
    """The conditions as JSON values."""
    return {
        "cluster": made.cluster,
        "verdict": worst(found).value,
        "conditions": [
            {
                "check": state.condition.check.value,
                "title": state.condition.title,
                "state": state.state.value,
                "because": state.because,
            }
            for state in found
        ],
    }


def _watch(made: Plan, source: FactsFrom, *, once: bool, quiet: bool) -> tuple[ConditionState, ...]:
    """Reads and judges until it is proven either way; prints each condition when its state changes."""
    from rich.console import Console  # noqa: PLC0415 - not for --help

    waiting = Console(stderr=True, quiet=quiet, highlight=False)
    started = time.monotonic()
    told: dict[str, str] = {}
    unread = rounds = 0
    found: tuple[ConditionState, ...] = ()
    while True:
        # What is read is told the first time only: later lines are those of conditions that changed.
        reading = replace(source, quiet=quiet or rounds > 0)
        with waiting.status(_progress(found)) if rounds else nullcontext():
            if rounds:
                time.sleep(EVERY_SECONDS)
            snapshot: Snapshot = read_facts(reading)
            _check_cluster(made, snapshot)
            waited = time.monotonic() - started
            found = evaluate(made, snapshot, waited_seconds=0 if once else waited, logs=_logs(made, snapshot, source))
        rounds += 1
        if not quiet:
            _tell(found, told, waited)
        states = {state.state for state in found}
        unread = unread + 1 if State.UNKNOWN in states else 0
        # What waits can still fail, which decides more than a reading that is missing.
        undecided = unread >= UNKNOWN_ROUNDS and State.WAITING not in states
        if once or State.FAILED in states or states == {State.MET} or undecided:
            if not quiet:
                click.echo(_closing(made, source, found, None if once else waited))
            return found


def _progress(found: Sequence[ConditionState]) -> str:
    met = sum(each.state is State.MET for each in found)
    return f"{met} of {len(found)} hold; looking again every {EVERY_SECONDS} s"


def _closing(made: Plan, source: FactsFrom, found: Sequence[ConditionState], waited: float | None) -> str:
    """What it comes to, which condition holds it up, and the next command."""
    state = worst(found)
    after = f" after {waited:.0f} s" if waited is not None else ""
    held_up = "; ".join(each.condition.title for each in found if each.state is state)
    told = {
        State.MET: f"All {len(found)} hold{after}.",
        State.WAITING: f"Not yet{after}: {held_up}.",
        State.FAILED: f"Does not hold{after}: {held_up}.",
        State.UNKNOWN: f"Could not be read: {held_up}.",
    }
    return f"{told[state]}\nnext: headroom {_following(made, source, state)}"


def _following(made: Plan, source: FactsFrom, state: State) -> str:
    """The command that comes next, without its first word."""
    # The plan of a cluster that did not exist yet says nothing of its cloud.
    if source.cloud != "aks" and made.foundations.get("cloud") != "azure":
        return f"{'forecast' if state is State.MET else 'diagnose'} --cluster {quote(made.cluster)}"
    if state is State.MET and any(each.check is Check.OVERLAY_MODE for each in made.postconditions):
        # Another network: what enforces its policies has changed as well.
        return f"probes --context {quote(source.context or made.cluster)} --run"
    return f"diagnose {Source(live=source).option()}"


def _logs(made: Plan, snapshot: "Snapshot", source: FactsFrom) -> "tuple[LogAccess, ...] | Unknown":
    """Whether the logs that the plan names can be read; of a snapshot nobody knows."""
    from headroom.facts.values import Reason, Unknown  # noqa: PLC0415 - with the plan's own modules

    if source.file is not None:
        return Unknown(Reason.NOT_COLLECTED, "a snapshot does not say; name the cluster by --cluster")
    from headroom.collect.pod_logs import logs_of  # noqa: PLC0415 - loaded by the reading of the cluster

    return logs_of(source.cluster, pods_to_read(made, snapshot), context=source.context)


def _check_cluster(made: Plan, snapshot: "Snapshot") -> None:
    """Refuses facts of another cluster than the plan's."""
    cluster = snapshot.cluster
    if isinstance(cluster, str) and cluster != made.cluster:
        raise ProblemsError(
            [
                Problem(
                    rule="another-cluster",
                    value=shown(cluster),
                    reason=f"is not the cluster of the plan, {shown(made.cluster)}.",
                    next_step="Name the plan of this cluster, or the cluster of this plan.",
                )
            ],
            subject="plan",
        )


def _tell(found: Sequence[ConditionState], told: dict[str, str], waited: float) -> None:
    from headroom.report.text import clean  # noqa: PLC0415 - only where somebody looks

    for state in found:
        shown = clean(f"{MARKS[state.state]} {state.condition.title}: {state.because}", 2000)
        # What is met is not told again because a figure of it went on.
        mark = MARKS[State.MET] if state.state is State.MET else shown
        if told.get(state.condition.check) == mark:
            continue
        told[state.condition.check] = mark
        click.echo(click.style(f"{waited:6.0f} s  ", dim=True) + click.style(shown, fg=STYLES[state.state]))
