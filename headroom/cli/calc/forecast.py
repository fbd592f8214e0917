"""`headroom calc forecast`."""

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem
from headroom.capacity.forecast import FURTHEST_DAYS, HORIZON_DAYS, Forecast, Reading, forecast
from headroom.cli.calc.answer import FINDING, UNDECIDED, Answer, Table, Term, answers, whole
from headroom.cli.calc.reading import Reader

WARNING_DAYS: Final = "14"
"""A subnet that is empty sooner is a finding, unless told otherwise."""

EXACT_DAYS: Final = 10
"""Fewer days are told with tenths."""

LISTED_ROWS: Final = 20
"""Bad rows that are told one by one."""

HELP = """
\b
headroom calc forecast free.csv
headroom calc forecast free.csv --finding-within 30 --json

Days until each subnet is empty, and six months ahead with a range. The file has the columns time (ISO 8601 or seconds),
subnet, and freeAddresses, free28 or both: as CSV, as a JSON list of objects, or - for standard input.

Exit code 1 if a subnet is empty within --finding-within days, 3 if the history is too short to say.
"""

_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_COLUMNS: Final = ("freeAddresses", "free28")


@dataclass(slots=True)
class Histories:
    """What was read: by subnet, and for each of the two figures.

    Attributes:
        reader: Collects what is wrong.
        bad_rows: How many rows could not be used.
        readings: By subnet and figure.
        zones: By subnet, where a row says it.
    """

    reader: Reader
    bad_rows: int = 0
    readings: dict[str, dict[str, list[Reading]]] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)

    def add(self, where: str, row: Mapping[str, Any]) -> None:
        """Takes a row, or notes why it cannot be used."""
        time, subnet = _time(row.get("time")), row.get("subnet")
        values = {name: row.get(name) for name in _COLUMNS if row.get(name) not in {None, ""}}
        numbers = {name: _value(value) for name, value in values.items()}
        wrong = [f"{name} {shown(values[name])}" for name, number in numbers.items() if number is None]
        if time is None:
            wrong.insert(0, f"time {shown(row.get('time'))}")
        if not isinstance(subnet, str) or not subnet.strip() or not subnet.strip().isprintable():
            wrong.insert(0, f"subnet {shown(subnet)}")
        if not values:
            wrong.append("neither freeAddresses nor free28")
        if wrong or time is None or not isinstance(subnet, str):
            self._bad(where, ", ".join(wrong))
            return
        histories = self.readings.setdefault(subnet.strip(), {})
        if isinstance(row.get("zone"), str) and row["zone"].strip():
            self.zones[subnet.strip()] = row["zone"].strip()
        for name, number in numbers.items():
            if number is not None:
                histories.setdefault(name, []).append(Reading(time, number))

    def _bad(self, where: str, what: str) -> None:
        self.bad_rows += 1
        if self.bad_rows <= LISTED_ROWS:
            step = "Write a time such as 2026-03-01T12:00:00Z, a subnet, and numbers that are not negative."
            self.reader.problem("reading", what, "cannot be used.", step, where)
        elif self.bad_rows == LISTED_ROWS + 1:
            self.reader.problem("readings", "further rows", "cannot be used either.", "Mend those above first.", where)


@click.command(help=HELP)
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--usable", multiple=True, metavar="SUBNET=N", help="Usable addresses of a subnet: its most.")
@click.option(
    "--finding-within", metavar="DAYS", default=WARNING_DAYS, show_default=True, help="Empty sooner is a finding."
)
@answers
def command(*, files: tuple[str, ...], usable: tuple[str, ...], finding_within: str) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    if not files:
        reader.missing("FILE", "Write the file with the history, or - for standard input.")
    histories = Histories(reader)
    for name in files:
        for where, row in rows_of(reader, name):
            histories.add(where, row)
    days = reader.count(finding_within, "--finding-within")
    most = usable_of(reader, usable)
    reader.done("calc forecast")
    found = {
        subnet: {
            name: forecast(history, most=most.get(subnet) if name == "freeAddresses" else None)
            for name, history in sorted(histories.readings[subnet].items())
        }
        for subnet in sorted(histories.readings)
    }
    return _answer(reader, found, days)


def _answer(reader: Reader, found: Mapping[str, Mapping[str, Forecast]], days: int) -> Answer:
    every = [(subnet, name, each) for subnet, figures in found.items() for name, each in figures.items()]
    problems = [
        Problem(
            rule="runs-dry",
            value=subnet,
            reason=f"has no {unit_of(name)} left in {days_text(each.days_until_empty)} ({span_text(each)}).",
            next_step="Plan a larger or a further subnet now.",
        )
        for subnet, name, each in every
        if each.days_until_empty is not None and each.days_until_empty <= days
    ]
    unknown = [subnet for subnet, _, each in every if each.trend == "unknown"]
    if not every:
        reader.warnings.append(
            Problem(
                rule="no-readings", value="The history", reason="holds no reading.", next_step="Give one that does."
            )
        )
    code = FINDING if problems else UNDECIDED if unknown or not every else 0
    return Answer(
        data={
            "subnets": [
                {
                    "subnet": subnet,
                    "addresses": forecast_data(figures.get("freeAddresses")),
                    "free28": forecast_data(figures.get("free28")),
                }
                for subnet, figures in found.items()
            ]
        },
        tables=[
            Table(
                ("subnet", "free", "now", "trend", "a day", "empty in", "95 %", "in six months", "95 %"),
                [
                    (
                        subnet,
                        unit_of(name),
                        "unknown" if each.now is None else f"{each.now:,.0f}",
                        {"none": "no trend"}.get(each.trend, each.trend),
                        f"{each.per_day:+,.1f}",
                        days_text(each.days_until_empty) if each.trend != "unknown" else "unknown",
                        span_text(each),
                        "unknown" if each.six_months is None else f"{each.six_months.expected:,.0f}",
                        "-"
                        if each.six_months is None
                        else f"{each.six_months.low:,.0f} to {each.six_months.high:,.0f}",
                    )
                    for subnet, name, each in every
                ],
            )
        ],
        problems=problems,
        warnings=reader.warnings,
        terms=[
            *(Term(f"{subnet} {unit_of(name)}", each.reason) for subnet, name, each in every),
            Term("now", "the usual low of a day (tenth percentile), on the lowest day of the week"),
            Term("a day", "median slope between pairs of days, those across a step left out", "Theil 1950; Sen 1968"),
            Term(
                "95 %",
                "interval of that slope, widened for days that resemble their neighbours; if it holds 0 there is no "
                "trend",
                "Gilbert 1987, 16.5; von Storch 1995",
            ),
            Term("six months", f"{HORIZON_DAYS} days ahead, never below 0 or above --usable"),
        ],
        next_step="headroom calc subnet --help    how large a further subnet has to be" if problems else "",
        exit_code=code,
    )


def forecast_data(found: Forecast | None) -> dict[str, Any] | None:
    """A forecast as JSON has it."""
    if found is None:
        return None
    months = found.six_months
    return {
        "trend": found.trend,
        "now": None if found.now is None else whole(found.now),
        "perDay": whole(found.per_day),
        "daysUntilEmpty": _number(found.days_until_empty),
        "earliestDays": _number(found.earliest),
        "latestDays": _number(found.latest),
        "sixMonths": None
        if months is None
        else {"expected": whole(months.expected), "low": whole(months.low), "high": whole(months.high)},
        "steps": [{"time": whole(step.time), "change": whole(step.change)} for step in found.steps],
        "reason": found.reason,
    }


def _number(value: float | None) -> float | None:
    return None if value is None else whole(round(value, 1))


def unit_of(name: str) -> str:
    """What a figure counts."""
    return "addresses" if name == "freeAddresses" else "/28s"


def days_text(days: float | None) -> str:
    """Days, or hours where they are few."""
    if days is None:
        return "not foreseen"
    if days < 1:
        return f"{days * 24:,.0f} hours"
    # Nobody foresees the tenth of a day that is weeks away.
    return f"{days:,.1f} days" if days < EXACT_DAYS else f"{days:,.0f} days"


def span_text(found: Forecast) -> str:
    """The 95 % interval of the days."""
    if found.days_until_empty is None and found.earliest is None:
        return "-"
    earliest = days_text(found.earliest)
    latest = f"more than {FURTHEST_DAYS // 365} years" if found.latest is None else days_text(found.latest)
    if earliest.partition(" ")[2] == latest.partition(" ")[2]:
        earliest = earliest.partition(" ")[0]
    return f"{earliest} to {latest}"


def usable_of(reader: Reader, texts: tuple[str, ...]) -> dict[str, int]:
    """`SUBNET=N`, by subnet."""
    most = {}
    for text in texts:
        pair = reader.pair(text, "--usable", "=", "SUBNET=N")
        if pair is not None:
            most[pair[0]] = reader.count(pair[1], f"--usable {pair[0]}")
    return most


def rows_of(reader: Reader, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a file, and where each stands."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        reader.problem("file", name, f"cannot be read: {why}.", "Name a file with the history.", "FILE")
        return
    if text.lstrip().startswith(("[", "{")):
        yield from _json_rows(reader, name, text)
        return
    rows = csv.DictReader(text.splitlines())
    columns = {column.strip() for column in rows.fieldnames or () if column}
    missing = [column for column in ("time", "subnet") if column not in columns]
    if not columns & set(_COLUMNS):
        missing.append("freeAddresses or free28")
    if text.strip() and missing:
        step = "Begin it with a line such as time,subnet,freeAddresses."
        reader.problem("columns", name, f"has no column {', '.join(missing)}.", step, "FILE")
        return
    for number, row in enumerate(rows, start=2):
        yield f"{name}:{number}", {(key or "").strip(): value for key, value in row.items() if isinstance(value, str)}


def _json_rows(reader: Reader, name: str, text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        reader.problem("json", name, f"is not JSON: {error}.", "Write a list of objects, or CSV.", "FILE")
        return
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        reader.problem("json", name, "is not a list of objects.", "Write one object a reading.", "FILE")
        return
    for index, row in enumerate(rows):
        yield f"{name}[{index}]", row


def _time(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 <= value < 1e12 else None  # noqa: PLR2004 - some 30,000 years
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _value(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 <= value < 1e12 else None  # noqa: PLR2004 - more than there are addresses
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value.strip()) else None
