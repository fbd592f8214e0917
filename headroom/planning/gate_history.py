"""The gate's history as text: one JSON object a line, in a file beside the stack file that Git keeps.

Each line has a digest of the line before it, so that a history of which lines were taken out, changed or put in another
order, or that was merged of two branches, is seen. What cannot be seen is that its last lines are missing: a reviewer
sees that.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.records import UNREADABLE, read_items, read_time, time_text
from headroom.planning.traffic import GateRecord, Outcome

VERSION: Final = 2
"""Version 1 said neither which shift was watched nor which line came before."""

DIGEST_CHARACTERS: Final = 16


def file_name(stack: str) -> str:
    """What the file of a stack's history is called."""
    return f"gate.{stack}.jsonl"


def to_line(record: GateRecord, before: str = "") -> str:
    """A record as one line, without its end.

    Args:
        record: The record.
        before: The history so far, or its last line; empty: there is none.
    """
    return json.dumps(
        {
            "version": VERSION,
            "after": _digest(before),
            "stack": record.stack,
            "shift": record.shift,
            "step": record.step,
            "outcome": record.outcome.value,
            "started": time_text(record.started),
            "ended": time_text(record.ended),
            "because": list(record.because),
            "figures": dict(sorted(record.figures.items())),
        },
        ensure_ascii=False,
    )


def to_text(records: Iterable[GateRecord]) -> str:
    """A whole history."""
    text = ""
    for record in records:
        text += f"{to_line(record, text)}\n"
    return text


def read_history(text: str, *, stack: str, subject: str) -> tuple[GateRecord, ...]:
    """The records of a file, oldest first.

    Raises:
        ProblemsError: Lines that are no record, do not follow the line before them, are of another stack, or are not
            in the order of time. A history that somebody mended by hand decides nothing.
    """
    records: list[GateRecord] = []
    problems: list[Problem] = []
    before = ""
    for number, line in enumerate(_unmarked(text).split("\n"), 1):
        if not line.strip():
            continue
        expected, before = _digest(before), line
        try:
            found = json.loads(line)
            version = _version(found)
            record, after = (_record(found), found["after"]) if version == VERSION else (None, "")
        except UNREADABLE:
            problems.append(_wrong(subject, number, line, "is no record of the gate."))
            continue
        if record is None:
            raise ProblemsError([_of_other_version(subject, version)], subject=subject)
        if after != expected:
            reason = "does not follow the line before it: lines were taken out, changed, moved, or merged."
            problems.append(_wrong(subject, number, f"step {record.step}: {record.outcome.value}", reason))
        elif record.stack != stack:
            problems.append(_wrong(subject, number, record.stack, f"is another stack than {shown(stack)}."))
        elif records and record.ended < records[-1].ended:
            problems.append(_wrong(subject, number, time_text(record.ended), "is earlier than the line before it."))
        else:
            records.append(record)
    if problems:
        raise ProblemsError(problems, subject=subject)
    return tuple(records)


def _unmarked(text: str) -> str:
    """Without the mark that editors of Windows put before a text."""
    return text.removeprefix("\ufeff")


def _digest(before: str) -> str:
    """What stands for the last line of a history; empty for none."""
    lines = [line.strip() for line in _unmarked(before).split("\n") if line.strip()]
    return hashlib.sha256(lines[-1].encode()).hexdigest()[:DIGEST_CHARACTERS] if lines else ""


def _version(found: Any) -> int:
    version = found["version"]
    if isinstance(version, bool) or not isinstance(version, int):
        raise ValueError  # noqa: TRY004 - a wrong value of a file, as all others are
    return version


def _record(found: Any) -> GateRecord:
    if isinstance(found["step"], bool) or not isinstance(found["step"], int):
        raise ValueError  # noqa: TRY004 - a wrong value of a file, as all others are
    started, ended = read_time(found["started"]), read_time(found["ended"])
    if ended < started:
        raise ValueError
    return GateRecord(
        stack=str(found["stack"]),
        shift=str(found["shift"]),
        step=found["step"],
        outcome=Outcome(found["outcome"]),
        started=started,
        ended=ended,
        because=tuple(str(item) for item in read_items(found.get("because", []))),
        figures={str(name): float(value) for name, value in found.get("figures", {}).items()},
    )


def _of_other_version(subject: str, version: int) -> Problem:
    """Nothing of it counts, and one problem says so for all of its lines."""
    if version > VERSION:
        reason = f"was written by a newer Headroom, and this one reads {VERSION}: it knows of nothing newer."
        step = "Use the Headroom that wrote it."
    else:
        reason = (
            f"was written by an older Headroom, and this one reads {VERSION}: those lines say neither which shift it "
            "was nor what came before."
        )
        step = (
            "Finish this shift with the Headroom that began it; or write headroom:step: 0, take the file away in the "
            "same pull request, and begin with the first step."
        )
    return Problem(rule="gate-history", key=subject, value=f"Version {shown(version)}", reason=reason, next_step=step)


def _wrong(subject: str, number: int, value: str, reason: str) -> Problem:
    return Problem(
        rule="gate-history",
        key=f"{subject}:{number}",
        value=shown(value),
        reason=reason,
        next_step="Restore the file from Git; only `headroom gate` writes it. Going back to headroom:step: 0 asks for "
        "no history.",
    )
