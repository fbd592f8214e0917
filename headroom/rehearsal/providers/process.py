"""Helper processes of a rehearsal: started with a port of their own choice, gone when their parent is."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 20.0
"""How long a helper may take until it prints its port; warm it takes one to two seconds."""

STOP_SECONDS = 5.0
"""How long a helper may take to leave after SIGTERM before it is killed."""

_PARENT_GONE_OPTION = "--until-stdin-closes"


class HelperError(RuntimeError):
    """A helper process did not start; the text carries the end of its log."""


@dataclass(slots=True, kw_only=True)
class Helper:
    """A running helper process; a context manager that stops it.

    Attributes:
        process: The process, leader of its own session, so that a Ctrl-C in the terminal does not reach it.
        port: The port that it listens on, on the loopback interface.
        log: The file that its output goes to.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it answers HTTP, if it does."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop it and wait until it has gone; may be called again."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream and not stream.closed:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start_helper(
    module: str,
    arguments: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Helper:
    """Run `python -m MODULE ARGUMENTS` until it has printed its port.

    Args:
        module: A module whose command line prints a port as its first line of standard output, and which
            takes `--until-stdin-closes`.
        arguments: Its arguments.
        log: Where its standard error goes (appended).
        environment: Variables to add to ours.

    Raises:
        HelperError: It exited, or printed no port within START_SECONDS.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own module
            [sys.executable, "-m", module, *arguments, _PARENT_GONE_OPTION],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    line = _first_line(process, deadline)
    helper = Helper(process=process, port=int(line) if line.isdigit() else 0, log=log)
    if not helper.port:
        code = process.poll()
        helper.close()
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        state = f"exited with code {code}" if code is not None else f"printed {line!r} instead of its port"
        raise HelperError(f"{module} {state}; the end of {log}:\n{tail}")
    return helper


def _first_line(process: subprocess.Popen[bytes], deadline: float) -> str:
    stream = process.stdout
    if stream is None:
        return ""
    collected = b""
    while not collected.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(stream.fileno(), 64) if ready else b""
        if not piece:
            break
        collected += piece
    if not collected:
        try:
            process.wait(0.5)  # an end of output usually means that it is about to exit: learn its code
        except subprocess.TimeoutExpired:
            return ""
    return collected.decode().strip()


def stop_on_signals() -> None:
    """Leave quietly and at once on SIGINT and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))


def exit_with_stdin() -> None:
    """Leave when standard input closes, so that no process outlives the one that started it."""

    def watch() -> None:
        while sys.stdin.buffer.read(1):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
