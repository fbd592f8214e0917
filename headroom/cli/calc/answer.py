"""What a command of `headroom calc` found, and how it is printed: JSON, a table on a terminal, or plain text."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, Literal

import click

from headroom.addresses.problems import Problem

FINDING: Final = 1
UNDECIDED: Final = 3


@dataclass(frozen=True, slots=True)
class Term:
    """One figure of a sum, for `--explain`.

    Attributes:
        name: What it is.
        value: Its value, or the sum with its numbers.
        source: Where the rule or the number comes from.
    """

    name: str
    value: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a heading; numbers are written as numbers."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str | int | float, ...]]
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a command.

    Attributes:
        data: What `--json` prints.
        facts: Name and value of each figure, for people.
        tables: What is better read as a table.
        problems: What is refused.
        warnings: What is accepted and somebody may regret. Where `data` has no place for them, they are also told
            beside the JSON.
        terms: What the figures are made of.
        next_step: What to do next.
        exit_code: 0 done, 1 a finding, 3 undecided.
    """

    data: Any
    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    terms: Sequence[Term] = ()
    next_step: str = ""
    exit_code: int = 0


@dataclass(slots=True)
class _Plain:
    """Lines without colour, one fact a line."""

    lines: list[str] = field(default_factory=list)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        self.lines += [f"{name}: {value}" for name, value in facts]

    def table(self, table: Table) -> None:
        if table.title:
            self.lines.append(f"{table.title}:")
        rows = [table.columns, *(tuple(map(_number, row)) for row in table.rows)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
        right = _right_aligned(table)
        for row in rows:
            cells = (
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            self.lines.append("  ".join(cells).rstrip())

    def problem(self, word: str, problem: Problem) -> None:
        source = f" [{problem.source}]" if problem.source else ""
        self.lines.append(f"{word} {problem.rule}: {problem.message}{source}")

    def terms(self, terms: Iterable[Term]) -> None:
        for term in terms:
            source = f" [{term.source}]" if term.source else ""
            self.lines.append(f"explain {term.name}: {term.value}{source}")


def answers(function: Callable[..., Answer]) -> Callable[..., None]:
    """Adds `--json` and `--explain` to a command, prints its answer and ends with its exit code."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.option("--explain", is_flag=True, help="Show the terms of each figure, and their source.")
    @wraps(function)
    def run(*args: Any, as_json: bool, explain: bool, **options: Any) -> None:
        answer = function(*args, **options)
        if as_json:
            _print_json(answer, explain=explain)
        elif sys.stdout.isatty():
            _print_rich(answer, explain=explain)
        else:
            click.echo("\n".join(_plain(answer, explain=explain).lines))
        click.get_current_context().exit(answer.exit_code)

    return run


def problem_data(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Problems as JSON has them: rule, message and source, sorted."""
    found = [{"rule": each.rule, "message": each.message, "source": each.source} for each in problems]
    return sorted(found, key=lambda each: (each["rule"], each["message"]))


def whole(value: float) -> int | float:
    """A mean as JSON shows it: a whole number as such, others with up to four digits."""
    rounded = round(value, 4)
    return int(rounded) if rounded == int(rounded) else rounded


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its unit: `1 node`, `2 nodes`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def missing(number: int) -> str:
    """`1 is missing`, `2 are missing`."""
    return f"{number:,} {'is' if number == 1 else 'are'} missing"


def _print_json(answer: Answer, *, explain: bool) -> None:
    data = answer.data
    if explain:
        terms = [{"name": term.name, "value": term.value, "source": term.source} for term in answer.terms]
        data = {**data, "explanation": terms} if isinstance(data, dict) else {"answer": data, "explanation": terms}
    click.echo(json.dumps(data, indent=2))
    if not (isinstance(answer.data, dict) and "warnings" in answer.data):
        beside = _Plain()
        for problem in answer.problems:
            beside.problem("problem", problem)
        for warning in answer.warnings:
            beside.problem("warning", warning)
        if beside.lines:
            click.echo("\n".join(beside.lines), err=True)


def _plain(answer: Answer, *, explain: bool) -> _Plain:
    plain = _Plain()
    plain.facts(answer.facts)
    for table in answer.tables:
        if table.rows:
            plain.table(table)
    for problem in answer.problems:
        plain.problem("problem", problem)
    for warning in answer.warnings:
        plain.problem("warning", warning)
    if explain:
        plain.terms(answer.terms)
    if answer.next_step:
        plain.lines.append(f"next: {answer.next_step}")
    return plain


def _print_rich(answer: Answer, *, explain: bool) -> None:
    # Only here, and only now: rich takes longer to load than most answers to find.
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table as RichTable  # noqa: PLC0415

    console = Console(highlight=False)

    def line(word: str, colour: str, name: str, text: str, source: str) -> None:
        behind = f" [dim]({escape(source)})[/]" if source else ""
        console.print(f"[{colour}]{word}[/] [bold]{escape(name)}[/] {escape(text)}{behind}")

    grid = RichTable.grid(padding=(0, 2))
    for name, value in answer.facts:
        grid.add_row(f"[bold]{escape(name)}[/]", escape(value))
    if answer.facts:
        console.print(grid)
    for table in (table for table in answer.tables if table.rows):
        right = _right_aligned(table)
        shown = RichTable(title=table.title or None, title_justify="left", box=None, pad_edge=False)
        for column, (name, width) in enumerate(zip(table.columns, _widths(table, console.width), strict=True)):
            justify: Literal["left", "right"] = "right" if column in right else "left"
            shown.add_column(escape(name), justify=justify, overflow="fold", width=width)
        for row in table.rows:
            shown.add_row(*(escape(_number(cell)) for cell in row))
        console.print(shown)
    told = [("problem", "red", problem) for problem in answer.problems]
    told += [("warning", "yellow", warning) for warning in answer.warnings]
    for word, colour, problem in told:
        line(word, colour, problem.rule, problem.message, problem.source)
    for term in answer.terms if explain else ():
        line("explain", "cyan", term.name, term.value, term.source)
    if answer.next_step:
        console.print(f"[dim]next[/] {escape(answer.next_step)}")


def _widths(table: Table, available: int) -> list[int]:
    """The width of each column, so that all fit and no word is broken, as far as that can be had."""
    columns = [[name, *(_number(row[column]) for row in table.rows)] for column, name in enumerate(table.columns)]
    widths = [max(map(len, cells)) for cells in columns]
    least = [max(len(word) for cell in cells for word in cell.split() or [""]) for cells in columns]
    excess = sum(widths) + 2 * (len(widths) - 1) - available
    while excess > 0:
        widest = max(range(len(widths)), key=lambda column: (widths[column] - least[column], widths[column]))
        if widths[widest] <= 1:
            break
        # Once every column is as narrow as its longest word, words of the widest one are broken.
        widths[widest] -= 1
        least[widest] = min(least[widest], widths[widest])
        excess -= 1
    return widths


def _right_aligned(table: Table) -> frozenset[int]:
    return frozenset(
        column
        for column in range(len(table.columns))
        if table.rows and all(isinstance(row[column], int | float) for row in table.rows)
    )


def _number(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if value == int(value) else f"{value:,.1f}"
