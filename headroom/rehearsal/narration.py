"""Tells a rehearsal as it happens: for a person at a terminal, as plain lines in a log, or as one JSON document."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

NARROW = 100
"""Columns below which a table leaves something out instead of cutting it."""

SHOWN_ENGINE_LINES = 60
"""Lines of the engine's output that one step shows; the whole is in the folder of the rehearsal."""


@dataclass(slots=True)
class Phase:
    """One phase: its name, how long it took on the wall and in simulated time, and what was measured."""

    name: str
    seconds: float = 0.0
    simulated_seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


class Narrator:
    """Writes to `console`; collects the phases."""

    def __init__(self, console: Console, *, simulated_now: Any = lambda: 0.0) -> None:
        self.console = console
        self.simulated_now = simulated_now
        self.phases: list[Phase] = []
        self._warnings_shown: set[str] = set()

    @contextmanager
    def phase(self, name: str, title: str) -> Iterator[Phase]:
        """One phase of the rehearsal, with a heading."""
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left")
        phase = Phase(name)
        started, simulated = time.monotonic(), self.simulated_now()
        try:
            yield phase
        finally:
            phase.seconds = round(time.monotonic() - started, 1)
            phase.simulated_seconds = round(self.simulated_now() - simulated)
            self.phases.append(phase)

    def say(self, text: str) -> None:
        """A sentence of the story."""
        self.console.print(text, highlight=False)

    def command(self, text: str) -> None:
        """What the engineer types."""
        self.console.print(f"\n[bold cyan]$ {_plain(text)}", highlight=False)

    def output(self, text: str) -> None:
        """What a program answers, as it is."""
        for line in text.splitlines()[:SHOWN_ENGINE_LINES]:
            self.console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)

    def engine_output(self, text: str, most: int) -> None:
        """The first lines of a summary (the last ones if `most` is negative); no warning is shown twice."""
        kept: list[str] = []
        for line in text.splitlines():
            warning = line.strip().startswith("warning:")
            if not (warning and line in self._warnings_shown):
                kept.append(line)
            if warning:
                self._warnings_shown.add(line)
        # A heading whose lines were all shown before says nothing.
        shown = [
            line
            for line, after in zip(kept, [*kept[1:], ""], strict=False)
            if not line.endswith("):") or _indent(after) > _indent(line)
        ]
        shown = [
            line
            for line, after in zip(shown, [*shown[1:], ""], strict=False)
            if line != "Diagnostics:" or _indent(after) > 0
        ]
        self.output("\n".join(shown[:most] if most >= 0 else shown[most:]))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
        """A table; numbers are right-aligned. A narrow terminal does without the column `SUBNET`."""
        if self.console.width < NARROW and "SUBNET" in columns:
            left_out = columns.index("SUBNET")
            columns = [name for index, name in enumerate(columns) if index != left_out]
            rows = [[cell for index, cell in enumerate(row) if index != left_out] for row in rows]
        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for index, column in enumerate(columns):
            numeric = all(isinstance(row[index], int | float) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else _plain(str(cell)) for cell in row))
        self.console.print(table)


def engine_summary(output: str) -> str:
    """What a person reads of the engine's output: resources that change, policies, diagnostics, counts; no outputs."""
    kept: list[str] = []
    tail, outputs = False, False
    for line in output.splitlines():
        if line.startswith(("Diagnostics:", "Policies:", "Outputs:", "Resources:", "error:")):
            tail, outputs = True, line.startswith("Outputs:")
        if outputs:
            continue
        if tail:
            if line.strip() and not line.startswith(("Duration:", "View ")):
                kept.append(line)
        elif re.match(
            r"^ [+~=-]{1,2} +\S+ \S+ .*\b(create|import|update|delete|replace)\b *(\[.*\])?$", line
        ) or re.match(r"^ [+~=-]{1,2} +\S+ \S+ (created|imported|updated|deleted|replaced)\b", line):
            kept.append(line.rstrip())
    return "\n".join(kept)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
