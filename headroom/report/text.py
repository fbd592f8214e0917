"""Text of others, made fit to be shown: names, messages and log lines come from clusters and are not to be trusted."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from headroom.diagnosis.verdict import Diagnosis, RuledOut, Verdict

SHOWN_CHARACTERS: Final = 300
"""Characters of a text that are shown; Kubernetes' own names have at most 253 (Kubernetes, object names)."""

SHOWN_ITEMS: Final = 50
"""Rows of a table that are shown; of the others only the number is told."""

VERDICTS: Final = {
    Verdict.FOUND: "Cause found",
    Verdict.HEALTHY: "Healthy",
    Verdict.NOT_IP: "Not an address problem",
    Verdict.UNDECIDED: "Undecided",
}
"""The verdicts in words."""


def clean(text: object, limit: int = SHOWN_CHARACTERS) -> str:
    """Text on one line, of limited length, without characters that act on a terminal or turn the reading direction.

    Such characters (control, format, surrogate) are shown as their escape, so that nobody overlooks them.
    """
    flat = " ".join(str(text).split())
    if len(flat) > limit:
        flat = flat[: limit - 1] + "…"
    if flat.isprintable():
        return flat
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in flat)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its unit: `1 pod`, `2 pods`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def age(read_at: str, now: datetime) -> str:
    """How old facts are, such as `3 minutes old`; empty where nobody knows.

    Args:
        read_at: When they were read (ISO 8601).
        now: The time, with its zone.
    """
    try:
        read = datetime.fromisoformat(read_at)
    except ValueError:
        return ""
    seconds = (now - (read if read.tzinfo is not None else read.replace(tzinfo=UTC))).total_seconds()
    if seconds < 0:
        return ""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{counted(int(seconds // length), unit)} old"
    return "just read"


def of_whole(part: int | None, whole: int | None) -> str:
    """A part with its whole: `3 of 8`; what is unknown is said to be."""
    if part is None and whole is None:
        return "unknown"
    return f"{'unknown' if part is None else f'{part:,}'} of {'unknown' if whole is None else f'{whole:,}'}"


def first_and_more(values: Sequence[str], shown: int) -> str:
    """The first few of some values, and how many more there are."""
    texts = [clean(value, 80) for value in values[:shown]]
    more = len(values) - len(texts)
    if more:
        texts.append(f"{more:,} more")
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else "".join(texts)


def headline(diagnosis: Diagnosis) -> str:
    """The verdict as one line."""
    if diagnosis.verdict is Verdict.FOUND and diagnosis.causes:
        first = diagnosis.causes[0]
        where = first_and_more(first.scope.zones, 4)
        more = len(diagnosis.causes) - 1
        beside = f", and {counted(more, 'further cause')}" if more else ""
        return f"{first.name}{f' in {where}' if where else ''}{beside}"
    if diagnosis.verdict is Verdict.HEALTHY:
        return "Nothing is wrong with the addresses of pods"
    if diagnosis.verdict is Verdict.NOT_IP and diagnosis.not_ip:
        return f"Something is wrong, and it is not addresses: {first_and_more([e.what for e in diagnosis.not_ip], 3)}"
    if diagnosis.verdict is Verdict.NOT_IP:
        return "Something is wrong, and it is not addresses"
    return "Not enough could be read to say why"


def not_yet_said(ruled_out: Iterable[RuledOut], said: set[tuple[str, str]]) -> list[RuledOut]:
    """What was ruled out and not said before; causes of one cluster share most of it. Adds to what was said."""
    fresh = []
    for out in ruled_out:
        if (out.cause, out.by) not in said:
            said.add((out.cause, out.by))
            fresh.append(out)
    return fresh
