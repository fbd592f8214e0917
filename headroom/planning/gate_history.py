"""The gate's history as text: one JSON object a line, in a file beside the stack file that Git keeps."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.traffic import GateRecord, Outcome

VERSION: Final = 1


def file_name(stack: str) -> str:
    """What the file of a stack's history is called."""
    return f"gate.{stack}.jsonl"


def to_line(record: GateRecord) -> str:
    """A record as one line, without its end."""
    return json.dumps(
        {
            "version": VERSION,
            "stack": record.stack,
            "step": record.step,
            "outcome": record.outcome.value,
            "started": _text(record.started),
            "ended": _text(record.ended),
            "because": list(record.because),
            "figures": dict(sorted(record.figures.items())),
        },
        ensure_ascii=False,
    )


def read_history(text: str, *, stack: str, subject: str) -> tuple[GateRecord, ...]:
    """The records of a file, oldest first.

    Raises:
        ProblemsError: Lines that are no record, are of another stack, or are not in the order of time. A history that
            somebody mended by hand decides nothing.
    """
    records: list[GateRecord] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = _record(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
            problems.append(_wrong(subject, number, line, "is no record of the gate."))
            continue
        if record.stack != stack:
            problems.append(_wrong(subject, number, record.stack, f"is another stack than {shown(stack)}."))
        elif records and record.ended < records[-1].ended:
            problems.append(_wrong(subject, number, _text(record.ended), "is earlier than the line before it."))
        else:
            records.append(record)
    if problems:
        raise ProblemsError(problems, subject=subject)
    return tuple(records)


def _record(found: Any) -> GateRecord:
    if found["version"] != VERSION or isinstance(found["step"], bool) or not isinstance(found["step"], int):
        raise ValueError
    started, ended = _time(found["started"]), _time(found["ended"])
    if ended < started:
        raise ValueError
    return GateRecord(
        stack=str(found["stack"]),
        step=found["step"],
        outcome=Outcome(found["outcome"]),
        started=started,
        ended=ended,
        because=tuple(str(item) for item in _items(found.get("because", []))),
        figures={str(name): float(value) for name, value in found.get("figures", {}).items()},
    )


def _items(found: object) -> Iterable[object]:
    if not isinstance(found, list):
        raise TypeError
    return found


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError
    return at.astimezone(UTC)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _wrong(subject: str, number: int, value: str, reason: str) -> Problem:
    return Problem(
        rule="gate-history",
        key=f"{subject}:{number}",
        value=shown(value),
        reason=reason,
        next_step="Restore the file from Git; only `headroom gate` writes it.",
    )
