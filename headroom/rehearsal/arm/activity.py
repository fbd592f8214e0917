"""The activity log: what a scenario writes into it, and every change that Azure refused or that failed.

The error of an entry is JSON in a text, `properties.statusMessage` (Azure Monitor documentation, activity-log-schema).
"""

import json
import re
from typing import Any, Final

from headroom.rehearsal.arm.errors import ArmError
from headroom.rehearsal.arm.ids import Path
from headroom.rehearsal.arm.monitor import moment, text_of
from headroom.rehearsal.arm.world import Body, World

KEPT: Final = 10_000
"""Entries that are kept; the oldest go first."""

_CONDITION: Final = re.compile(r"(\w+)\s+(eq|ge|le|gt|lt)\s+'([^']*)'", re.IGNORECASE)
_ACTIONS: Final = {"PUT": "write", "PATCH": "write", "DELETE": "delete"}


def note_failure(world: World, method: str, path: Path, error: ArmError) -> None:
    """Writes down a change that did not come about."""
    if method not in _ACTIONS:
        return
    name = f"{path.type}/{_ACTIONS[method]}"
    world.activity.append(
        {
            "eventTimestamp": text_of(world.now()),
            "eventDataId": world.identity(f"event {world.number()}"),
            "caller": "rehearsal",
            "level": "Error",
            "operationName": {"value": name, "localizedValue": name},
            "status": {"value": "Failed", "localizedValue": "Failed"},
            "subStatus": {"value": "", "localizedValue": ""},
            "resourceGroupName": path.group,
            "resourceId": path.text,
            "properties": {"statusCode": str(error.status), "statusMessage": json.dumps({"error": error.inner()})},
        }
    )
    del world.activity[:-KEPT]


def entries(world: World, filter_: str) -> list[Body]:
    """The entries that a `$filter` lets through: of times, and of properties that are equal to a text."""
    found = world.activity
    for name, how, wanted in _CONDITION.findall(filter_):
        found = [entry for entry in found if _holds(entry, name, how.casefold(), wanted)]
    return found


def _holds(entry: Body, name: str, how: str, wanted: str) -> bool:
    value: Any = entry.get({"resourceUri": "resourceId"}.get(name, name))
    if isinstance(value, dict):
        value = value.get("value")
    if name != "eventTimestamp":
        return str(value or "").casefold() == wanted.casefold()
    when, limit = moment(str(value)), moment(wanted)
    return {"ge": when >= limit, "gt": when > limit, "le": when <= limit, "lt": when < limit, "eq": when == limit}[how]
