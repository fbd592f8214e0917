"""What the files have in common that a command writes as evidence, Git keeps, and a stack reads before it goes on."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from headroom.addresses.problems import Problem

CLOCK_SLACK: Final = timedelta(minutes=5)
"""How far a record may lie in the future: two machines' clocks differ."""

UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)
"""What a file that somebody mended by hand may raise while it is read."""


def age_problems(  # noqa: PLR0913 - what a record calls itself, by keyword
    at: datetime, now: datetime, max_age: timedelta, *, rule: str, what: str, again: str, key: str = ""
) -> list[Problem]:
    """Why a record is no evidence any more, or not yet.

    Args:
        at: When what it records ended.
        now: The time.
        max_age: How old it may be.
        rule: Name of the rule.
        what: What ended: `the audit`.
        again: What makes a new one.
        key: The key that the problem is about.
    """
    if now - at > max_age:
        reason = f"is when {what} ended, more than {max_age.days} days ago."
    elif at - now > CLOCK_SLACK:
        reason = f"is when {what} ended, and has not come yet."
    else:
        return []
    return [Problem(rule=rule, key=key, value=time_text(at), reason=reason, next_step=again)]


def time_text(at: datetime) -> str:
    """A time as a record has it: in UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """A record's time.

    Raises:
        ValueError, TypeError: It is none, or does not say in which zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError
    return at.astimezone(UTC)


def read_items(found: object) -> list[Any]:
    """A record's list.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(found, list):
        raise TypeError
    return found


def read_count(value: object) -> int:
    """A record's count.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError
    return value
