"""`headroom gate`."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.gate import GateState, Observation, Phase, judge, record
from headroom.planning.gate_history import file_name, read_history, to_line
from headroom.planning.traffic import (
    REMEDY,
    GateRecord,
    Outcome,
    Traffic,
    highest_step,
    order_problems,
    read_traffic,
)

if TYPE_CHECKING:
    from headroom.collect.azure_session import AzureClients

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
    headroom gate stacks/Pulumi.prod-eus2-traffic.yaml

    Waits until traffic is split as the weights say, soaks, and compares errors, latency and throughput with the old
    cluster's own baseline. Closed on no data. The verdict is added to gate.STACK.jsonl beside the file: commit it.

    Exit code 0: passed; 1: go back (the command is printed); 2: bad input; 3: undecided, the gate stays closed.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    from headroom.collect.azure_session import azure_clients, rehearsal_options  # noqa: PLC0415 - the SDKs load slowly

    shift = read_shift(stack_file)
    problems = order_problems(shift.traffic, shift.history)
    if problems:
        raise ProblemsError(problems, subject=stack_file.name)
    clients = azure_clients(shift.traffic.subscription_id, options=rehearsal_options(endpoint_url))
    watch = _Watch(shift=shift, clients=clients, every=every, quiet=as_json)
    started = _read_time(since) if since else watch.now()
    try:
        state = watch.look(started) if once else watch.run(started)
    except KeyboardInterrupt:
        click.echo(f"Interrupted. Go on with: headroom gate {stack_file} --since {_text(started)}", err=True)
        sys.exit(UNDECIDED)
    made = record(shift.stack, shift.traffic, state, started, max(watch.at, started))
    if not once:
        with shift.history_file.open("a", encoding="utf-8") as file:
            file.write(f"{to_line(made)}\n")
    if as_json:
        click.echo(json.dumps(_to_json(shift, state, made), indent=2))
    else:
        _tell_end(shift, state, made, once=once)
    sys.exit(EXIT_CODES.get(state.phase, UNDECIDED))


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
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise _refused(stack_file, f"cannot be read: {type(error).__name__}.") from None
    config = document.get("config") if isinstance(document, Mapping) else None
    if not isinstance(config, Mapping):
        raise _refused(stack_file, "has no `config:` mapping.")
    ours = {str(key).removeprefix(NAMESPACE): value for key, value in config.items() if str(key).startswith(NAMESPACE)}
    if ours.get("remedy") != REMEDY:
        raise _refused(stack_file, f"has no `headroom:remedy: {REMEDY}`.")
    history_file = stack_file.with_name(file_name(stack))
    try:
        text = history_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(history_file, f"cannot be read: {type(error).__name__}.") from None
    history = read_history(text, stack=stack, subject=history_file.name)
    return Shift(stack=stack, traffic=read_traffic(ours), history=history, history_file=history_file)


@dataclass(slots=True, kw_only=True)
class _Watch:
    """Looks again and again until the gate is decided."""

    shift: Shift
    clients: "AzureClients"
    every: int
    quiet: bool
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The service's time at the last look."""

    def now(self) -> datetime:
        """The service's time; this machine's where the service did not say."""
        self._origins()
        return self.at

    def look(self, started: datetime) -> GateState:
        """One look at Front Door and the log."""
        from headroom.collect.traffic import read_minutes  # noqa: PLC0415 - the SDKs take a second to load

        traffic = self.shift.traffic
        origins = self._origins()
        since = started - timedelta(minutes=traffic.gate.baseline_minutes)
        minutes = read_minutes(self.clients.logs, traffic, since, max(self.at, started))
        return judge(traffic, started, Observation(at=self.at, minutes=minutes, origins=origins))

    def run(self, started: datetime) -> GateState:
        """Looks until it is decided."""
        failed, told, told_at = 0, "", started
        while True:
            state = self.look(started)
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

    def _origins(self) -> Any:
        from headroom.collect.traffic import read_origins  # noqa: PLC0415 - the SDKs take a second to load

        self.at = datetime.now(UTC)
        traffic = self.shift.traffic
        return read_origins(self.clients.front_door, traffic, at=self._set)

    def _set(self, at: datetime) -> None:
        self.at = at.astimezone(UTC)


def back_step(traffic: Traffic, history: tuple[GateRecord, ...]) -> int:
    """The step to go back to: the last one below this that passed, else none of the traffic."""
    passed = [each.step for each in history if each.outcome is Outcome.PASSED and each.step < traffic.step]
    return max((step for step in passed[-1:]), default=0)


def rollback_command(shift: Shift) -> str:
    """The one command that goes back."""
    step = back_step(shift.traffic, shift.history)
    return f"pulumi up --stack {shift.stack} --config {NAMESPACE}step={step}"


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
        return [f"{rollback_command(shift)}    goes back; then headroom gate sees it through"]
    return ["mend what could not be read, and run headroom gate again; the step stays where it is"]


def _to_json(shift: Shift, state: GateState, made: GateRecord) -> dict[str, Any]:
    return {
        "stack": shift.stack,
        "step": made.step,
        "phase": state.phase.value,
        "outcome": made.outcome.value,
        "because": list(state.because),
        "figures": dict(made.figures),
        "started": _text(made.started),
        "ended": _text(made.ended),
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


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _refused(path: Path, reason: str) -> ProblemsError:
    step = "Name the stack file of a traffic shift, such as stacks/Pulumi.prod-eus2-traffic.yaml."
    return ProblemsError(
        [Problem(rule="stack-file", value=str(path), reason=reason, next_step=step)], subject="headroom gate"
    )
