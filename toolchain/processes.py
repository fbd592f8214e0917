"""Child processes of the set-up: their output goes to a log file, and they end when the set-up ends."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

LINES_SHOWN = 12
"""How much of a failed command's log is repeated in the message."""

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_ended = threading.Event()


class CommandFailedError(Exception):
    """A command failed; the message holds the end of its output and where the rest is."""


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a command to its end with its output in a log file.

    Raises:
        CommandFailedError: The command could not be started or failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        if _ended.is_set():
            raise CommandFailedError("the set-up was interrupted")
        try:
            process = subprocess.Popen(  # noqa: S603 - the commands are ours
                [str(word) for word in command],
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that the whole family of processes can be ended
            )
        except OSError as error:
            raise CommandFailedError(f"{command[0]} could not be started: {error}") from error
        with _lock:
            _running.add(process)
        if _ended.is_set():  # it was just being started when all others were ended
            end_all()
        try:
            code = process.wait()
        finally:
            with _lock:
                _running.discard(process)
    if code:
        tail = log.read_text("utf-8", "replace").strip().splitlines()[-LINES_SHOWN:]
        shown = "\n".join(f"      {line}" for line in tail)
        raise CommandFailedError(
            f"`{Path(command[0]).name} {command[1]} …` failed with {code} (all of it: {log})\n{shown}"
        )


def output_of(command: Sequence[str | Path], *, seconds: float = 20) -> str:
    """What a short command prints; an empty text if it fails, hangs or is not there."""
    try:
        answer = subprocess.run(  # noqa: S603 - the commands are ours
            [str(word) for word in command],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace").strip() if answer.returncode == 0 else ""


def end_all() -> None:
    """Ends every command that still runs, with its children, and lets no other start."""
    _ended.set()
    with _lock:
        processes = list(_running)
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
