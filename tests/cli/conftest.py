"""Runs `headroom calc` in this process."""

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

from headroom.cli import main


@dataclass(frozen=True, slots=True)
class Run:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Terminal(io.StringIO):
    """A terminal, as far as `isatty` tells."""

    def isatty(self) -> bool:
        return True


def calc(*words: str, stdin: str = "", terminal: bool = False) -> Run:
    """`headroom calc` with these words."""
    out, err = Terminal() if terminal else io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["headroom", "calc", *words]),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Run(code, out.getvalue(), err.getvalue())


def answer(*words: str, stdin: str = "") -> Any:
    """The JSON of a command that is done, whatever it found."""
    run = calc(*words, "--json", stdin=stdin)
    assert run.code in {0, 1, 3}, run.err
    return run.data


def refused(*words: str, stdin: str = "") -> list[str]:
    """What a command says about bad input: one line a problem."""
    run = calc(*words, stdin=stdin)
    assert run.code == 2, run.out
    assert run.out == ""
    first, *problems = run.err.rstrip("\n").split("\n")
    assert first == f"calc {words[0]}: {len(problems)} problem{'s' if len(problems) != 1 else ''}"
    assert all(problem.startswith("  - ") for problem in problems)
    return [problem.removeprefix("  - ") for problem in problems]
