"""What the set-up says while it works: one line when a long step starts, one when it ends."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

HEARTBEAT = 30.0
"""Seconds between signs of life where no status line can be rewritten (a log file, a pipe)."""

REFRESH = 0.5
"""Seconds between updates of the status line on a terminal."""


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(0.26), duration(75)
    ('0.3 s', '1 min 15 s')
    """
    if seconds < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


class Progress:
    """Prints steps from several threads; on a terminal with a status line of all that runs now."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None
        self.is_muted = False
        """Whether to keep quiet, while everything is being brought to an end."""

    def say(self, text: str) -> None:
        """Prints one line."""
        with self._lock:
            self._write(text)

    @contextlib.contextmanager
    def step(self, name: str, cost: str = "") -> Iterator[None]:
        """Announces a long step with what it costs, and its end with the time that it took."""
        started = time.monotonic()
        with self._lock:
            self._write(f"  … {name}" + (f": {cost}" if cost else ""))
            self._running[name] = started
            self._start_ticker()
        try:
            yield
        except BaseException:
            with self._lock:
                self._running.pop(name, None)
                self._write(f"  ✗ {name} ({duration(time.monotonic() - started)})")
            raise
        with self._lock:
            self._running.pop(name, None)
            self._write(f"  ✓ {name} ({duration(time.monotonic() - started)})")

    def close(self) -> None:
        """Stops the status line."""
        self._stop.set()
        if self._ticker is not None:
            self._ticker.join()

    def _write(self, line: str) -> None:
        if self.is_muted:
            return
        erase = "\r\x1b[K" if self._terminal else ""
        try:
            self._stream.write(f"{erase}{line}\n")
        except UnicodeEncodeError:  # a terminal in the C locale
            self._stream.write(f"{erase}{line.encode('ascii', 'replace').decode()}\n")
        self._stream.flush()

    def _start_ticker(self) -> None:
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()

    def _tick(self) -> None:
        while not self._stop.wait(REFRESH if self._terminal else HEARTBEAT):
            with self._lock:
                if not self._running:
                    continue
                now = time.monotonic()
                status = ", ".join(f"{name} {duration(now - start)}" for name, start in self._running.items())
                if self._terminal:
                    self._stream.write(f"\r\x1b[K  {status}"[:160])
                    self._stream.flush()
                else:
                    self._write(f"    still at it: {status}")
