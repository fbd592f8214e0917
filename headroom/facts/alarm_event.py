"""An alarm's event as the trigger hands it to a pipeline: text from outside, judged before anything is done with it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.watch import TRIGGERS, composite_alarm
from headroom.facts.names import CLUSTER_NAME_RULE, is_cluster_name

FIELDS: Final = ("cluster", "alarm", "region", "account", "time", "id")
"""What an event carries (components/alarm_trigger.py)."""
MOST_CHARACTERS: Final = 4096
"""Of an event's text; ours have a tenth of it."""
SHOWN_CHARACTERS: Final = 60

_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}")
"""EC2 user guide, using-regions-availability-zones."""
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
"""EventBridge user guide, event structure."""
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The same: a UUID."""
_ZONE: Final = r"[a-z]+(?:-[a-z0-9]+)*-[0-9]+[a-z]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvent:
    """An alarm has begun to ring.

    Attributes:
        cluster: The EKS cluster that the watch stack watches.
        alarm: The composite alarm's name.
        zone: The zone that it stands for.
        kind: page, warning or forecast.
        region: The Region.
        account: The account.
        time: When its state changed, in UTC.
        id: The event's own, for the logs of both sides.
    """

    cluster: str
    alarm: str
    zone: str
    kind: str
    region: str
    account: str
    time: str
    id: str


def read_alarm_event(text: str) -> AlarmEvent:
    """Reads an event.

    Raises:
        ProblemsError: It is not one of the trigger's; everything that is wrong. Of values only harmless characters
            are shown: the text may come from anybody.
    """
    try:
        document = json.loads(text) if len(text) <= MOST_CHARACTERS else None
    except (ValueError, RecursionError):  # the latter of brackets within brackets
        document = None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        step = f"It is a JSON object of texts: {', '.join(FIELDS)}."
        raise ProblemsError([_wrong("event", text, "is not what the trigger sends.", step)], subject="event")
    problems = list(_problems(document))
    if problems:
        raise ProblemsError(problems, subject="event")
    zone, kind = _place(document["cluster"], document["alarm"]) or ("", "")
    return AlarmEvent(zone=zone, kind=kind, **{name: document[name] for name in FIELDS})


def _problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    for name in FIELDS:
        if name not in document:
            yield _wrong(name, "nothing", "is given.", "The trigger's template sends it.")
    for name in sorted(document.keys() - set(FIELDS)):
        yield _wrong(name, name, "is nothing that the trigger sends.", f"There are {', '.join(FIELDS)}.")
    cluster = document.get("cluster", "")
    if "cluster" in document and not is_cluster_name(cluster):
        yield _wrong("cluster", cluster, "is no name of an EKS cluster.", f"It is {CLUSTER_NAME_RULE}.")
    elif "alarm" in document and "cluster" in document and _place(cluster, document["alarm"]) is None:
        form = composite_alarm(cluster, "ZONE", "|".join(TRIGGERS))
        yield _wrong("alarm", document["alarm"], "is no alarm of that cluster's watch stack.", f"They are {form}.")
    for name, pattern, form in (
        ("region", _REGION, "us-east-1"),
        ("account", _ACCOUNT, "123456789012"),
        ("time", _TIME, "2026-03-03T20:20:00Z"),
        ("id", _ID, "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92"),
    ):
        value = document.get(name)
        if value is not None and (not pattern.fullmatch(value) or (name == "time" and not _is_time(value))):
            yield _wrong(name, value, f"is no {name}.", f"Such as {form}.")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _place(cluster: str, alarm: str) -> tuple[str, str] | None:
    """Zone and kind of a composite alarm."""
    for kind in TRIGGERS:
        # Names of clusters have no character that means something in a pattern.
        found = re.fullmatch(composite_alarm(cluster, f"({_ZONE})", kind) + r"(?:-[0-9]{1,4})?", alarm)
        if found:
            return found[1], kind
    return None


def _wrong(key: str, value: str, reason: str, step: str) -> Problem:
    return Problem(
        rule="alarm-event",
        key=_harmless(key),
        value=_harmless(value),
        reason=reason,
        next_step=step,
        source="components/alarm_trigger.py",
    )


def _harmless(text: str) -> str:
    """No line's end and no control character: a line of a job's log may be a command to its runner."""
    return re.sub(r"[^A-Za-z0-9_./:-]", "?", text[:SHOWN_CHARACTERS]) or "nothing"
