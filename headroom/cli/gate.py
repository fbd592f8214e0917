"""`headroom gate`."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

if sys.platform != "win32":
    import fcntl

import click
import yaml

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.clouds import quieten
from headroom.facts.values import Unknown
from headroom.planning.gate import GateState, Observation, Phase, judge, record
from headroom.planning.gate_history import file_name, read_history, to_line
from headroom.planning.records import CLOCK_SLACK, UNREADABLE, time_text
from headroom.planning.traffic import (
    REMEDY,
    GateRecord,
    Outcome,
    Traffic,
    highest_step,
    order_problems,
    read_traffic,
    same_group_problem,
)

if TYPE_CHECKING:
    from headroom.collect.azure_session import AzureClients
    from headroom.facts.values import Fact
    from headroom.planning.traffic import OriginState

NAMESPACE: Final = "headroom:"
EXIT_CODES: Final = {Phase.PASSED: 0, Phase.STOPPED: 1}
UNDECIDED: Final = 3
STYLES: Final = {Phase.PASSED: "green", Phase.STOPPED: "red", Phase.UNDECIDED: "yellow"}
EVERY_SECONDS: Final = 30
TRIES: Final = 3
"""Looks in a row that may fail before the gate closes."""
TELL_EVERY: Final = timedelta(minutes=5)


@click.command()
@click.argument("stack_file", type=click.Path(path_type=Path), metavar="STACK_FILE")
@click.option("--since", default="", help="When the step was applied (2026-03-07T14:00Z); now unless told otherwise.")
@click.option("--once", is_flag=True, help="Look once, and write nothing to the history.")
@click.option("--every", default=EVERY_SECONDS, type=click.IntRange(min=1), help="Seconds between two looks.")
@click.option("--endpoint-url", default="", help="The simulated Azure of a rehearsal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end.")
def gate(stack_file: Path, since: str, *, once: bool, every: int, endpoint_url: str, as_json: bool) -> None:  # noqa: PLR0913 - one argument for each option
    """Watch a traffic step, and say whether the next one may come.

    \b
    headroom gate stacks/Pulumi.aks-prod-traffic.yaml

    Waits until traffic is split as the weights say, soaks, and compares errors, latency and throughput with the old
    cluster's own baseline. Closed on no data. The verdict is added to gate.STACK.jsonl beside the file: commit it.

    Exit code 0: passed; 1: go back (the command is printed); 2: bad input; 3: undecided, the gate stays closed.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    from headroom.collect.azure_session import azure_clients, rehearsal_options  # noqa: PLC0415 - the SDKs load slowly

    shift = read_shift(stack_file)
    problems = [*order_problems(shift.traffic, shift.history), *_others(stack_file, shift.traffic)]
    given = _read_time(since) if since else None
    if given is not None:
        problems += _too_early(shift, given)
    elif not once:
        problems += _passed_already(shift)
    if problems:
        raise ProblemsError(problems, subject=stack_file.name)
    quieten()
    clients = azure_clients(shift.traffic.subscription_id, options=rehearsal_options(endpoint_url))
    watch = _Watch(shift=shift, clients=clients, every=every, quiet=as_json, started=given)
    if once:
        state = watch.look()
        _end(shift, state, watch.record(state), as_json=as_json, once=True)
    with _alone(stack_file):
        try:
            state = watch.run()
        except KeyboardInterrupt:
            step = f" --since {time_text(watch.started)}" if watch.started else ""
            click.echo(f"Interrupted. Go on with: headroom gate {quote(str(stack_file))}{step}", err=True)
            sys.exit(UNDECIDED)
        made = watch.record(state)
        try:
            made = _write(shift, made)
        except ProblemsError:
            # What was seen is said all the same.
            _say(shift, state, made, as_json=as_json, once=True)
            raise
    if state.phase is Phase.PASSED and made.outcome is not Outcome.PASSED:
        state = replace(state, phase=Phase.UNDECIDED, because=made.because)
    _end(shift, state, made, as_json=as_json, once=False)


def _end(shift: "Shift", state: GateState, made: GateRecord, *, as_json: bool, once: bool) -> None:
    """Says how it ended, and exits."""
    _say(shift, state, made, as_json=as_json, once=once)
    sys.exit(EXIT_CODES.get(state.phase, UNDECIDED))


def _say(shift: "Shift", state: GateState, made: GateRecord, *, as_json: bool, once: bool) -> None:
    if as_json:
        click.echo(json.dumps(_to_json(shift, state, made), indent=2))
    else:
        _tell_end(shift, state, made, once=once)


@contextmanager
def _alone(stack_file: Path) -> Iterator[None]:
    """One gate of a stack at a time on this machine.

    Raises:
        ProblemsError: Another one watches it.
    """
    with stack_file.open("rb") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _refused(stack_file, "is watched by another `headroom gate` now: one verdict a step.") from None
            except OSError:
                # A file system without locks: what the history has gained meanwhile is seen when it is written.
                pass
        yield


def _write(shift: "Shift", made: GateRecord) -> GateRecord:
    """Adds the verdict to the history; what was written.

    A history that has grown meanwhile is another gate's: bad news is added to it, good news is not.

    Raises:
        ProblemsError: It cannot be read or written, or is no history any more.
    """
    file = shift.history_file
    text = _history_text(file)
    history = read_history(text, stack=shift.stack, subject=file.name)
    if history != shift.history and made.outcome is Outcome.PASSED:
        because = f"{file.name} has got other lines meanwhile: another gate, or a pull, wrote it."
        made = replace(made, outcome=Outcome.UNDECIDED, because=(because, *made.because))
    if history and made.ended < history[-1].ended:
        made = replace(made, ended=history[-1].ended)
    end = "" if not text or text.endswith("\n") else "\n"
    try:
        with file.open("a", encoding="utf-8") as out:
            out.write(f"{end}{to_line(made, text)}\n")
    except OSError as error:
        raise _refused(file, f"cannot be written: {type(error).__name__}.") from None
    return made


def _history_text(file: Path) -> str:
    """What is in a history; empty where there is none yet.

    Raises:
        ProblemsError: It cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(file, f"cannot be read: {type(error).__name__}.") from None


def _too_early(shift: "Shift", since: datetime) -> list[Problem]:
    """A watch from before the step that came last would take that step's requests for this one's."""
    last = next((each for each in reversed(shift.history) if each.step != shift.traffic.step), None)
    if last is None or since >= last.ended:
        return []
    reason = f"is before the gate's record of step {last.step} ended."
    step = f"Give the time at which step {shift.traffic.step} was applied, after {time_text(last.ended)}."
    return [Problem(rule="time", key="--since", value=time_text(since), reason=reason, next_step=step)]


def _passed_already(shift: "Shift") -> list[Problem]:
    """A verdict that stands is not put at risk by a second look, for which there may be no baseline any more."""
    last = shift.history[-1] if shift.history else None
    if last is None or last.step != shift.traffic.step or last.outcome is not Outcome.PASSED:
        return []
    return [
        Problem(
            rule="gate-passed",
            key="headroom:step",
            value=str(last.step),
            reason=f"has passed already, at {time_text(last.ended)}.",
            next_step="Look with --once, which writes nothing; where the step was applied anew, give that time with "
            "--since.",
        )
    ]


def _others(stack_file: Path, traffic: Traffic) -> list[Problem]:
    """Other stacks beside this one that move the same origin group: their steps would undo one another."""
    found = []
    for path in sorted(stack_file.parent.glob("Pulumi.*.yaml")):
        if path.name == stack_file.name:
            continue
        try:
            text = path.read_text(encoding="utf-8")
            config = (yaml.safe_load(text) or {}).get("config") if REMEDY in text else None
        except (OSError, yaml.YAMLError, *UNREADABLE):
            # What is wrong with another stack's file is said where that stack is run.
            continue
        found.append(same_group_problem(traffic, config, path.name))
    return [problem for problem in found if problem is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A traffic stack and what the gate has seen of it.

    Attributes:
        stack: The stack's name.
        traffic: What its file says.
        history: The records, oldest first.
        history_file: Where they are.
    """

    stack: str
    traffic: Traffic
    history: tuple[GateRecord, ...]
    history_file: Path


def read_shift(stack_file: Path) -> Shift:
    """A traffic stack's file and its history.

    Raises:
        ProblemsError: One of them cannot be read, or is not what it should be.
    """
    stack = stack_file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    try:
        document = yaml.safe_load(stack_file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, *UNREADABLE) as error:
        raise _refused(stack_file, f"cannot be read: {type(error).__name__}.") from None
    config = document.get("config") if isinstance(document, Mapping) else None
    if not isinstance(config, Mapping):
        raise _refused(stack_file, "has no `config:` mapping.")
    ours = {str(key).removeprefix(NAMESPACE): value for key, value in config.items() if str(key).startswith(NAMESPACE)}
    if ours.get("remedy") != REMEDY:
        raise _refused(stack_file, f"has no `headroom:remedy: {REMEDY}`.")
    history_file = stack_file.with_name(file_name(stack))
    history = read_history(_history_text(history_file), stack=stack, subject=history_file.name)
    return Shift(stack=stack, traffic=read_traffic(ours), history=history, history_file=history_file)


@dataclass(slots=True, kw_only=True)
class _Watch:
    """Looks again and again until the gate is decided."""

    shift: Shift
    clients: "AzureClients"
    every: int
    quiet: bool
    started: datetime | None
    """When the step was applied; None until Front Door has said what time it is."""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The service's time at the last look."""

    def look(self) -> GateState:
        """One look at Front Door and the log."""
        from headroom.collect.traffic import read_group, read_minutes  # noqa: PLC0415 - the SDKs take a second to load

        traffic = self.shift.traffic
        origins = self._origins()
        if self.started is None and not isinstance(origins, Unknown):
            self.started = self.at
        # This machine's clock, where Front Door did not answer: nothing is decided then.
        started = self.started or self.at
        if started > self.at + CLOCK_SLACK:
            raise ProblemsError([_to_come(started, self.at)], subject="command line")
        since = started - timedelta(minutes=traffic.gate.baseline_minutes)
        group = read_group(self.clients.front_door, traffic)
        minutes = read_minutes(self.clients.logs, traffic, since, max(self.at, started))
        return judge(traffic, started, Observation(at=self.at, minutes=minutes, origins=origins, group=group))

    def run(self) -> GateState:
        """Looks until it is decided."""
        failed, told, told_at = 0, "", self.at
        while True:
            state = self.look()
            failed = failed + 1 if state.phase is Phase.UNDECIDED else 0
            open_ = state.phase in (Phase.PROPAGATING, Phase.SOAKING)
            if not open_ and (state.phase is not Phase.UNDECIDED or not state.retry or failed >= TRIES):
                return state
            if not self.quiet and (state.phase != told or self.at - told_at >= TELL_EVERY):
                click.echo(
                    click.style(f"{self.at:%H:%M} UTC  ", dim=True) + f"{state.phase.value}: {' '.join(state.because)}"
                )
                told, told_at = state.phase, self.at
            time.sleep(self.every)

    def record(self, state: GateState) -> GateRecord:
        """The line of the history that the end leaves."""
        started = self.started or self.at
        return record(self.shift.stack, self.shift.traffic, state, started, max(self.at, started))

    def _origins(self) -> "Fact[Mapping[str, OriginState]]":
        from headroom.collect.traffic import read_origins  # noqa: PLC0415 - the SDKs take a second to load

        self.at = datetime.now(UTC)
        traffic = self.shift.traffic
        return read_origins(self.clients.front_door, traffic, at=self._set)

    def _set(self, at: datetime) -> None:
        self.at = at.astimezone(UTC)


def _to_come(since: datetime, at: datetime) -> Problem:
    return Problem(
        rule="time",
        key="--since",
        value=time_text(since),
        reason=f"has not come yet: Azure says that it is {time_text(at)}.",
        next_step="Give the time at which the step was applied, or nothing for now.",
    )


def back_step(traffic: Traffic, history: tuple[GateRecord, ...]) -> int:
    """The step to go back to: the last one below this that passed, else none of the traffic."""
    passed = [each.step for each in history if each.outcome is Outcome.PASSED and each.step < traffic.step]
    return max((step for step in passed[-1:]), default=0)


def rollback_command(shift: Shift) -> str:
    """The one command that goes back.

    It refreshes first: where somebody disabled an origin by hand, the state would call it enabled, and leave it so.
    """
    step = back_step(shift.traffic, shift.history)
    return f"pulumi up --refresh --stack {shift.stack} --config {NAMESPACE}step={step}"


def _tell_end(shift: Shift, state: GateState, made: GateRecord, *, once: bool) -> None:
    click.secho(
        f"{state.phase.value.upper()}  step {made.step} of {shift.stack}", fg=STYLES.get(state.phase), bold=True
    )
    for sentence in state.because:
        click.echo(f"  {sentence}")
    if not once:
        click.echo(f"  written to {shift.history_file}")
    for line in _next(shift, state, made):
        click.echo(f"NEXT  {line}")


def _next(shift: Shift, state: GateState, made: GateRecord) -> list[str]:
    name = shift.history_file.name
    if state.phase is Phase.PASSED and made.step == max(shift.traffic.steps):
        return [f"commit {name}; keep the old cluster as the way back, then retire it (headroom:remedy: aks-retire)"]
    if state.phase is Phase.PASSED:
        following = highest_step(shift.traffic.steps, [*shift.history, made])
        return [f"write headroom:step: {following} in a pull request, with {name}"]
    if state.phase is Phase.STOPPED:
        # A line is a command that can be copied as it is: who reads this is in a hurry.
        file = shift.history_file.with_name(f"Pulumi.{shift.stack}.yaml")
        return [rollback_command(shift), f"headroom gate {quote(str(file))}    sees that it has gone back"]
    again = "mend what could not be read, and run headroom gate again; the step stays where it is"
    if shift.traffic.step == 0:
        return [again]
    return [again, "to go back meanwhile:", rollback_command(shift)]


def _to_json(shift: Shift, state: GateState, made: GateRecord) -> dict[str, Any]:
    return {
        "stack": shift.stack,
        "step": made.step,
        "phase": state.phase.value,
        "outcome": made.outcome.value,
        "because": list(state.because),
        "figures": dict(made.figures),
        "started": time_text(made.started),
        "ended": time_text(made.ended),
        "rollback": rollback_command(shift) if state.phase is Phase.STOPPED else None,
    }


def _read_time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ProblemsError(
            [
                Problem(
                    rule="time",
                    key="--since",
                    value=text,
                    reason="is no time with its zone.",
                    next_step="Write it as 2026-03-07T14:00Z.",
                )
            ],
            subject="command line",
        )
    return at.astimezone(UTC)


def _refused(path: Path, reason: str) -> ProblemsError:
    step = "Name the stack file of a traffic shift, such as stacks/Pulumi.aks-prod-traffic.yaml."
    return ProblemsError(
        [Problem(rule="stack-file", value=str(path), reason=reason, next_step=step)], subject="headroom gate"
    )
