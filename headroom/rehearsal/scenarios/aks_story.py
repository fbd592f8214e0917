"""What a play on AKS carries from phase to phase: its world, its two clocks, the engine and our own commands."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, Final

import click
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.rehearsal.aks_estate import Estate
from headroom.rehearsal.aks_visitors import Visitors
from headroom.rehearsal.aks_world import AksWorld
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.engine import CHECKOUT, EngineRun
from headroom.rehearsal.narration import Narrator, engine_summary
from headroom.rehearsal.scenarios.aks_cluster import in_step
from headroom.rehearsal.scenarios.incident import RehearsalFailedError

COMMAND_SECONDS: Final = 90


@dataclass(slots=True, kw_only=True)
class Story:
    """What a play carries from phase to phase."""

    world: AksWorld
    narrator: Narrator
    clock: Clock
    estate: Estate
    visitors: Visitors
    bills: list[tuple[str, str, int]] = field(default_factory=list)
    gates: list[tuple[int, str]] = field(default_factory=list)

    def in_step(self) -> None:
        """Brings the two clocks of the rehearsal together."""
        in_step(self.world.arm, self.clock)

    def pass_time(self, seconds: float) -> None:
        """Lets simulated time pass."""
        self.world.arm.advance(seconds)
        self.in_step()

    def now(self) -> datetime:
        """Simulated time."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def pulumi(self, *arguments: str, must_fail: bool = False, lines: int = 24) -> EngineRun:
        """Runs the engine with the simulated time, and shows what it says.

        Raises:
            RehearsalFailedError: It failed, or did not where it had to.
        """
        self.in_step()
        shown = [Path(word).name if word.startswith("/") else word for word in arguments]
        self.narrator.command(" ".join(["pulumi", *shown]))
        found = self.world.engine.run(*arguments, environment={"HEADROOM_REHEARSAL_NOW": self.now().isoformat()})
        self.narrator.engine_output(engine_summary(found.output), lines)
        self.narrator.say(f"  ({found.seconds:.1f} s)")
        if must_fail != (found.code != 0):
            expected = "to be refused" if must_fail else "to succeed"
            raise RehearsalFailedError(f"{found.command} was expected {expected}:\n{found.output}")
        return found

    def make_stack(self, name: str) -> None:
        """Makes the stack of a file that the plan has written."""
        self.pulumi("stack", "select", "--create", name)

    def up(self, stack: str, *, must_fail: bool = False, lines: int = 24) -> EngineRun:
        """Applies a stack, with the policies and what the plan tells them."""
        options = ["--policy-pack", str(CHECKOUT / "policies")]
        told = self.world.engine.stack_file(stack).with_name(f"policy.{stack}.json")
        options += ["--policy-pack-config", str(told)] if told.exists() else []
        return self.pulumi(
            "up", "--stack", stack, *options, "--yes", "--skip-preview", must_fail=must_fail, lines=lines
        )

    def config(self, stack: str) -> dict[str, Any]:
        """The keys of a stack file, with their namespaces."""
        text = self.world.engine.stack_file(stack).read_text(encoding="utf-8")
        found: dict[str, Any] = yaml.safe_load(text)["config"]
        return found

    def write(self, stack: str, key: str, value: Any) -> None:
        """Changes one key of a stack file, as a pull request does."""
        self.narrator.say(f"\n{self.world.engine.stack_file(stack).name}: {key}: {told_value(value)}")
        self.world.engine.configure(stack, {**self.config(stack), key: value})

    def command(self, command: click.Command, *arguments: str) -> tuple[int, str]:
        """Runs one of our own commands; its exit code and what it printed."""
        out, code = StringIO(), 0
        with redirect_stdout(out), redirect_stderr(out):
            try:
                returned = command.main([*arguments], standalone_mode=False)
                code = returned if isinstance(returned, int) else 0
            except SystemExit as error:
                code = int(error.code or 0)
            except (ProblemsError, click.ClickException) as error:
                print(error)  # noqa: T201 - into the text above
                code = 2
        return code, out.getvalue()

    @staticmethod
    def meanwhile(work: Callable[[], tuple[int, str]], goes_on: Callable[[], object]) -> tuple[int, str]:
        """Runs a command, and what goes on in the world until it ends.

        Raises:
            RehearsalFailedError: It does not end, or breaks off.
        """
        answers: list[tuple[int, str]] = []
        thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
        thread.start()
        deadline = time.monotonic() + COMMAND_SECONDS
        while thread.is_alive():
            if time.monotonic() > deadline:
                raise RehearsalFailedError("a command does not end")
            goes_on()
            thread.join(0.1)
        if not answers:
            raise RehearsalFailedError("a command broke off")
        return answers[0]


def told_value(value: object) -> str:
    """A value as a stack file has it, on one line."""
    return value if isinstance(value, str) else json.dumps(value)
