"""The plan of an audit as a script for review: what to add first, what to add next, what to take away much later."""

import json
import shlex
from collections.abc import Iterator
from typing import Final

from headroom.planning.allow_list_services import BY_TYPE
from headroom.planning.allow_lists import Addition, AllowList, Entry, Request
from headroom.planning.egress_audit import Audit, Change

ENDPOINT: Final = "https://management.azure.com"


def label_of(type_: str) -> str:
    """What a type is called."""
    service = BY_TYPE.get(type_.casefold())
    return service.label if service else type_


def command_of(request: Request) -> str:
    """A call as a command of the Azure CLI."""
    body = json.dumps(request.body, separators=(",", ":"))
    url = f"{ENDPOINT}{request.path}?api-version={request.api_version}"
    return f"az rest --method {request.method.lower()} --url {shlex.quote(url)} --body {shlex.quote(body)}"


def commands_of(addition: Addition) -> tuple[str, ...]:
    """The commands that add addresses; none where it is done by hand, or would be refused."""
    if addition.refused:
        return ()
    return (addition.command,) if addition.command else tuple(command_of(each) for each in addition.requests)


def script(audit: Audit) -> str:
    """The plan as a shell script; every list has both addresses until the part at its end, which is commented out."""
    lines = [
        "#!/bin/sh",
        "# Written by `headroom audit-egress --plan`. Read it, and take from it what your own code makes there.",
        "# A list is sent as a whole: run the audit again where somebody has changed one since.",
        "set -eu",
    ]
    for number, change in enumerate(audit.changes, 1):
        lines += ["", *_change(number, change)]
    later = list(_later(audit))
    if later:
        lines += ["", "# After the rollback window, and not before: take the old addresses off.", *later]
    return "\n".join(lines) + "\n"


def where(of: AllowList) -> str:
    """A list in a line: what it is, its resource, its place."""
    return f"{label_of(of.type)} {of.name}, {of.place}"


def _change(number: int, change: Change) -> Iterator[str]:
    of = change.finding.list
    yield _comment(f"{number}. {where(of)}: add {', '.join(change.addition.entries)}")
    yield _comment(f"   {of.resource_id}")
    if change.first:
        yield _comment("   Before anything else: a cluster's nodes reach its API server through this list.")
    if change.addition.refused:
        yield _comment(f"   Cannot be done like this: it {change.addition.refused}.")
        yield "exit 1"
    elif change.addition.by_hand:
        yield _comment(f"   By hand: {change.addition.by_hand}.")
    yield from commands_of(change.addition)


def _later(audit: Audit) -> Iterator[str]:
    every: list[tuple[AllowList, tuple[Entry, ...]]] = [
        *((change.finding.list, change.remove_later) for change in audit.changes),
        *audit.removals,
    ]
    for of, entries in every:
        if entries:
            told = ", ".join(f"{entry.name} ({entry.text})" if entry.name else entry.text for entry in entries)
            yield _comment(f"   {where(of)}: remove {told}")
    for change in audit.changes:
        for entry in change.keep:
            yield _comment(
                f"   {where(change.finding.list)}: look at {entry.text}, which has more than the old address"
            )


def _comment(text: str) -> str:
    return f"# {' '.join(''.join(mark if mark.isprintable() else ' ' for mark in text).split(chr(10)))}"
