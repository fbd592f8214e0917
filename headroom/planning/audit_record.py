"""What an audit of allow-lists found, as a JSON file that Git keeps, and whether it clears the way for addresses.

A gateway on a subnet takes over the moment it is attached: whoever allow-lists the old address refuses the new one
from then on. So `headroom audit-egress --record` writes this file, and the stack that attaches reads it.
"""

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from headroom.addresses.blocks import LISTED_VALUES, listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.allow_lists import Span
from headroom.planning.records import UNREADABLE, age_problems, read_count, read_items, read_time, time_text

VERSION: Final = 1
MAX_AGE: Final = timedelta(days=7)
"""How long an audit counts: lists are edited every day, and a review takes some."""
_AGAIN: Final = "Run `headroom audit-egress … --record` again, and commit the file."


class AuditVerdict(StrEnum):
    """What an audit comes to."""

    CLEAR = "clear"
    """Every list that has an old address has all new ones, and everything was read."""
    OLD_ONLY = "old_only"
    """A list has an old address and lacks a new one."""
    UNDECIDED = "undecided"
    """Something could not be read, or nobody has confirmed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A list, a source or a declared entry that keeps the audit from being clear.

    Attributes:
        type: ARM type, or kind of a declared entry.
        place: ARM id and list, or the entry's name; the type itself where all of it is meant.
        because: Why, in a few words.
    """

    type: str
    place: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCoverage:
    """How one resource type was read: a type that Resource Graph does not know has no rows, which is no answer.

    Attributes:
        type: ARM type of the resources that carry lists, or whose children do.
        listed_by: resource_graph, resource_manager, both or nobody.
        found: Resources of the type.
        read: Of those, the ones whose lists were read.
        denied: Those that might not be read.
        throttled: Those that Azure refused for the number of calls.
        unread: Those that were not read for another reason.
        because: The first such reason; empty where there is none.
    """

    type: str
    listed_by: str
    found: int
    read: int
    denied: int = 0
    throttled: int = 0
    unread: int = 0
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """An audit's result.

    Attributes:
        audited: When it ended.
        old_addresses: The addresses that are in use, each an address or a prefix.
        new_addresses: The addresses that will be, each an address or a prefix.
        subscriptions: The subscriptions that were looked through.
        coverage: How every type was read.
        lists: How many lists have which verdict.
        old_only: Lists that have an old address and lack a new one.
        undecided: What could not be read or has not been confirmed.
        kinds: What else than types can be undecided, and be answered for: kinds of declared entries and the like.
        calls: How many calls it took, by service.
    """

    audited: datetime
    old_addresses: tuple[str, ...]
    new_addresses: tuple[str, ...]
    subscriptions: tuple[str, ...] = ()
    coverage: tuple[TypeCoverage, ...] = ()
    lists: Mapping[str, int] = field(default_factory=dict)
    old_only: tuple[Named, ...] = ()
    undecided: tuple[Named, ...] = ()
    kinds: tuple[str, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> AuditVerdict:
        """What it comes to; nothing that is accepted is left out here."""
        if self.old_only:
            return AuditVerdict.OLD_ONLY
        return AuditVerdict.UNDECIDED if self.undecided else AuditVerdict.CLEAR


def file_name(stack: str) -> str:
    """What the file of a stack's audit is called."""
    return f"audit.{stack}.json"


def write_record(record: AuditRecord) -> str:
    """The file's text; equal records give equal bytes."""
    document = {
        "version": VERSION,
        "audited": time_text(record.audited),
        "verdict": record.verdict.value,
        "oldAddresses": list(record.old_addresses),
        "newAddresses": list(record.new_addresses),
        "subscriptions": list(record.subscriptions),
        "coverage": [
            {
                "type": each.type,
                "listedBy": each.listed_by,
                "found": each.found,
                "read": each.read,
                "denied": each.denied,
                "throttled": each.throttled,
                "unread": each.unread,
                "because": each.because,
            }
            for each in record.coverage
        ],
        "lists": dict(sorted(record.lists.items())),
        "oldOnly": [_named_data(each) for each in record.old_only],
        "undecided": [_named_data(each) for each in record.undecided],
        "kinds": list(record.kinds),
        "calls": dict(sorted(record.calls.items())),
    }
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"


def read_record(text: str, *, subject: str) -> AuditRecord:
    """An audit's file.

    Raises:
        ProblemsError: It is none, of another version, or its verdict is not what its lists say.
    """
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError
        record = _record(document)
        stated = AuditVerdict(document["verdict"])
    except UNREADABLE:
        raise _refused(subject, subject, "is no record of an audit that this version reads.") from None
    if stated is not record.verdict:
        raise _refused(subject, stated.value, f"is not what its lists say: {record.verdict.value}.")
    return record


def clear_for(
    record: AuditRecord,
    addresses: Sequence[str],
    accept_unread: Iterable[str],
    now: datetime,
    max_age: timedelta = MAX_AGE,
) -> tuple[Problem, ...]:
    """What keeps addresses from being put to use; nothing where the audit is clear for them.

    Args:
        record: The audit.
        addresses: The new addresses, each an address or a prefix.
        accept_unread: Types, or kinds of declared entries, that were not read and that somebody answers for. A list
            that was read and lacks an address is never accepted.
        now: The time.
        max_age: How old the audit may be.
    """
    problems = [
        *age_problems(record.audited, now, max_age, rule="audit-age", what="the audit", again=_AGAIN),
        *_not_audited(record, addresses),
    ]
    accepted = {str(each).casefold() for each in accept_unread}
    types = {each.casefold() for each in types_of(record)}
    problems += [
        Problem(
            rule="audit-accepts",
            key="headroom:acceptUnread",
            value=shown(each),
            reason="is no type that the audit looked at.",
            next_step=f"Write one of {listed(sorted(types))}.",
        )
        for each in sorted(accepted - types)
    ]
    problems += [
        Problem(
            rule="audit-old-only",
            value=shown(each.place),
            reason=f"lets an old address in and not every new one: {each.because}",
            next_step="Add them as `headroom audit-egress` plans it, and run it again with --record.",
        )
        for each in record.old_only
    ]
    open_: dict[str, list[Named]] = {}
    for named in record.undecided:
        if named.type.casefold() not in accepted:
            open_.setdefault(named.type, []).append(named)
    problems += [_undecided(type_, named) for type_, named in sorted(open_.items())]
    return tuple(problems)


def not_looked_for(record: AuditRecord, addresses: Sequence[str]) -> tuple[str, ...]:
    """Of addresses or prefixes in use, those that are neither old nor new ones of the audit."""
    known = [Span.parse(each) for each in (*record.old_addresses, *record.new_addresses)]
    return tuple(each for each in addresses if not _within(each, known))


def types_of(record: AuditRecord) -> frozenset[str]:
    """The types and kinds that somebody can answer for."""
    found = (each.type for each in (*record.coverage, *record.undecided))  # type: ignore[attr-defined] # both have one
    return frozenset((*found, *record.kinds))


def _not_audited(record: AuditRecord, addresses: Sequence[str]) -> list[Problem]:
    step = f"Run `headroom audit-egress … {' '.join(f'--new {each}' for each in addresses)} --record` and commit it."
    if not record.new_addresses or not addresses:
        value = "no new address" if not record.new_addresses else "no address"
        return [Problem(rule="audit-addresses", value=value, reason="was audited.", next_step=step)]
    audited = [Span.parse(each) for each in record.new_addresses]
    return [
        Problem(
            rule="audit-addresses",
            value=shown(each),
            reason=f"was not audited: {listed(record.new_addresses)} {_was(len(record.new_addresses))}.",
            next_step=step,
        )
        for each in addresses
        if not _within(each, audited)
    ]


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _within(text: str, audited: Sequence[Span]) -> bool:
    try:
        asked = Span.parse(text)
    except ValueError:
        return False
    return any(each.contains(asked) for each in audited)


def _undecided(type_: str, named: Sequence[Named]) -> Problem:
    places = [each.place for each in named[:LISTED_VALUES]]
    more = f" and {len(named) - LISTED_VALUES} more" if len(named) > LISTED_VALUES else ""
    return Problem(
        rule="audit-undecided",
        value=type_,
        reason=f"is undecided: {named[0].because} ({listed(places)}{more})",
        next_step="Make it readable or confirm it, and audit again; or answer for it under headroom:acceptUnread.",
    )


def _record(document: Mapping[str, Any]) -> AuditRecord:
    return AuditRecord(
        audited=read_time(document["audited"]),
        old_addresses=_addresses(document["oldAddresses"]),
        new_addresses=_addresses(document["newAddresses"]),
        subscriptions=tuple(str(each) for each in read_items(document["subscriptions"])),
        coverage=tuple(
            TypeCoverage(
                type=str(each["type"]),
                listed_by=str(each["listedBy"]),
                found=read_count(each["found"]),
                read=read_count(each["read"]),
                denied=read_count(each["denied"]),
                throttled=read_count(each["throttled"]),
                unread=read_count(each["unread"]),
                because=str(each["because"]),
            )
            for each in read_items(document["coverage"])
        ),
        lists={str(name): read_count(value) for name, value in document["lists"].items()},
        old_only=tuple(_named(each) for each in read_items(document["oldOnly"])),
        undecided=tuple(_named(each) for each in read_items(document["undecided"])),
        kinds=tuple(str(each) for each in read_items(document["kinds"])),
        calls={str(name): read_count(value) for name, value in document["calls"].items()},
    )


def _named(found: Mapping[str, Any]) -> Named:
    return Named(type=str(found["type"]), place=str(found["place"]), because=str(found["because"]))


def _named_data(named: Named) -> dict[str, str]:
    return {"type": named.type, "place": named.place, "because": named.because}


def _addresses(found: object) -> tuple[str, ...]:
    texts = tuple(str(each) for each in read_items(found))
    for text in texts:
        ipaddress.ip_network(text)
    return texts


def _refused(subject: str, value: str, reason: str) -> ProblemsError:
    step = "Run `headroom audit-egress … --record` again; only that writes it."
    problem = Problem(rule="audit-record", key=subject, value=shown(value), reason=reason, next_step=step)
    return ProblemsError([problem], subject=subject)
