"""The real Pulumi engine, run offline over the checkout's program."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder with Pulumi.yaml, the program and the policies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """One run of `pulumi`.

    Attributes:
        command: As a person would type it.
        code: Its exit code.
        output: What it printed, both streams.
        seconds: How long it took.
    """

    command: str
    code: int
    output: str
    seconds: float


class EngineError(RuntimeError):
    """`pulumi` failed where it had to succeed; the text is what it printed."""


class Engine:
    """Runs `pulumi` in a project folder of its own, so that a rehearsal leaves nothing in the checkout."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        program: Path = CHECKOUT,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.project = folder / "project"
        self.environment = dict(environment)
        self.on_line = on_line
        (self.project / "stacks").mkdir(parents=True, exist_ok=True)
        description: dict[str, Any] = yaml.safe_load((program / "Pulumi.yaml").read_text(encoding="utf-8"))
        description["main"] = str(program)
        description["runtime"]["options"]["virtualenv"] = sys.prefix
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")

    def init(self, stack: str, config: Mapping[str, Any]) -> None:
        """Makes and selects a stack with this configuration."""
        self.must("stack", "init", stack)
        self.configure(stack, config)

    def configure(self, stack: str, config: Mapping[str, Any]) -> Path:
        """Replaces the stack's configuration; keeps what encrypts its secrets."""
        file = self.stack_file(stack)
        content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else None or {}
        content["config"] = dict(config)
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return file

    def stack_file(self, stack: str) -> Path:
        """Where the stack's configuration is."""
        return self.project / "stacks" / f"Pulumi.{stack}.yaml"

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> EngineRun:
        """Runs `pulumi` and waits; a Ctrl-C reaches it as a Ctrl-C."""
        started = time.monotonic()
        process = self.start(*arguments, environment=environment)
        lines: list[str] = []
        stream = process.stdout
        if stream is None:
            raise EngineError("no output")
        try:
            with stream:
                for line in stream:
                    lines.append(line)
                    if self.on_line is not None:
                        self.on_line(line.rstrip("\n"))
            code = process.wait()
        except BaseException:
            stop(process)
            raise
        return EngineRun(
            command=" ".join(["pulumi", *arguments]),
            code=code,
            output="".join(lines),
            seconds=time.monotonic() - started,
        )

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Starts `pulumi` in a session of its own."""
        return subprocess.Popen(  # noqa: S603 - the engine that the set-up found
            [_program(self.environment, "pulumi"), *arguments, "--non-interactive", "--color", "never"],
            cwd=self.project,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def must(self, *arguments: str, environment: Mapping[str, str] | None = None) -> EngineRun:
        """Runs `pulumi`.

        Raises:
            EngineError: It failed.
        """
        result = self.run(*arguments, environment=environment)
        if result.code:
            raise EngineError(f"{result.command} exited with code {result.code}:\n{result.output}")
        return result


STOP_SECONDS = 10


def stop(process: "subprocess.Popen[str]") -> None:
    """Ends a process and everything that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _program(environment: Mapping[str, str], name: str) -> str:
    for folder in environment.get("PATH", "").split(os.pathsep):
        path = Path(folder) / name
        if os.access(path, os.X_OK):
            return str(path)
    raise EngineError(f"{name} is not on the PATH of the rehearsal; in the checkout, run make setup")
