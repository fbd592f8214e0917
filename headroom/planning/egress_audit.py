"""The audit of who allow-lists a cluster's addresses: what was found, and what has to change in which order."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from headroom.planning.allow_list_inventory import KINDS, Inventory, open_entries
from headroom.planning.allow_list_services import CLUSTER, SERVICES, Parent, context_of, lists_of
from headroom.planning.allow_lists import Addition, AllowList, Caller, Entry, Finding, Span, Verdict, judge
from headroom.planning.audit_record import AuditRecord, Named, TypeCoverage

OLD_ADDRESSES: Final = "oldAddresses"
"""What is undecided when no list has an old address: perhaps nobody filters, perhaps it is another address."""
SUBSCRIPTIONS: Final = "subscriptions"
"""What is undecided when a subscription was not seen."""
GRAPH: Final = "Microsoft.ResourceGraph/resources"
"""What is undecided when Resource Graph did not answer."""
KINDS_UNDECIDED: Final = (*KINDS, OLD_ADDRESSES, SUBSCRIPTIONS, GRAPH)
"""What else than resource types can be undecided."""
VERDICT_ORDER: Final = (
    Verdict.OLD_ONLY,
    Verdict.UNKNOWN,
    Verdict.BOTH,
    Verdict.NEW_ONLY,
    Verdict.OPEN,
    Verdict.NO_EFFECT,
    Verdict.NOT_LISTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read from Azure.

    Attributes:
        subscriptions: The subscriptions that were looked through.
        parents: Resources by their ARM type, as the table of services writes it.
        coverage: How every type was read.
        unseen: What could not be read beside resources: subscriptions, whole types.
        calls: Calls by service.
    """

    subscriptions: tuple[str, ...]
    parents: Mapping[str, tuple[Parent, ...]]
    coverage: tuple[TypeCoverage, ...] = ()
    unseen: tuple[Named, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A list that needs the new addresses.

    Attributes:
        finding: The list and what it lacks.
        addition: How they get on it.
        first: It has to be done before all others: a cluster's nodes are locked out otherwise.
        remove_later: Entries for an old address alone, to be taken away when there is no way back any more.
        keep: Entries that have an old address among others, which stay.
    """

    finding: Finding
    addition: Addition
    first: bool = False
    remove_later: tuple[Entry, ...] = ()
    keep: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit found.

    Attributes:
        caller: Who comes.
        findings: Every list, the worst verdict first.
        changes: What has to change, in order.
        removals: Lists with both, and their entries that can go after the rollback window.
        undecided: What could not be read or has not been confirmed.
        reading: What was read.
    """

    caller: Caller
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    removals: tuple[tuple[AllowList, tuple[Entry, ...]], ...]
    undecided: tuple[Named, ...]
    reading: Reading

    def of(self, *verdicts: Verdict) -> tuple[Finding, ...]:
        """The lists of these verdicts."""
        return tuple(each for each in self.findings if each.verdict in verdicts)

    def record(self, now: datetime) -> AuditRecord:
        """The audit as the file has it."""
        return AuditRecord(
            audited=now,
            old_addresses=tuple(span.text for span in self.caller.old),
            new_addresses=tuple(span.text for span in self.caller.new),
            subscriptions=self.reading.subscriptions,
            coverage=self.reading.coverage,
            lists=dict(Counter(each.verdict.value for each in self.findings)),
            old_only=tuple(_named(each) for each in self.of(Verdict.OLD_ONLY)),
            undecided=self.undecided,
            kinds=KINDS_UNDECIDED,
            calls=self.reading.calls,
        )


def audit(reading: Reading, caller: Caller, inventory: Inventory) -> Audit:
    """Judges every list that was read, and the declared ones."""
    context = context_of(reading.parents)
    findings = sorted(
        (
            judge(each, caller)
            for service in SERVICES
            for parent in reading.parents.get(service.type, ())
            for each in lists_of(service, parent, context)
        ),
        key=_order,
    )
    undecided = [
        *reading.unseen,
        *(_named(each) for each in findings if each.verdict is Verdict.UNKNOWN),
        *open_entries(inventory, caller.new),
    ]
    if not any(each.holds or each.verdict is Verdict.OLD_ONLY for each in findings):
        old = ", ".join(span.text for span in caller.old)
        because = "no list has it: nobody filters by it, or it is not the address that others see"
        undecided.append(Named(type=OLD_ADDRESSES, place=old, because=because))
    wanting = [each for each in findings if each.verdict is Verdict.OLD_ONLY]
    return Audit(
        caller=caller,
        findings=tuple(findings),
        changes=_together(sorted((_change(each, caller) for each in wanting), key=lambda change: not change.first)),
        removals=tuple(
            (each.list, gone)
            for each in findings
            if each.verdict is Verdict.BOTH and (gone := _removable(each, caller))
        ),
        undecided=tuple(dict.fromkeys(undecided)),
        reading=reading,
    )


def _order(finding: Finding) -> tuple[int, bool, str, str, str]:
    of = finding.list
    return VERDICT_ORDER.index(finding.verdict), of.type != CLUSTER, of.type, of.resource_id.casefold(), of.place


def _named(finding: Finding) -> Named:
    of = finding.list
    return Named(type=of.type, place=f"{of.resource_id} {of.place}", because=finding.because)


def _change(finding: Finding, caller: Caller) -> Change:
    of = finding.list
    # The missing ones in the order in which they were given.
    missing: Sequence[Span] = [span for span in caller.new if span in finding.missing]
    addition = of.add(missing) if of.add else Addition(entries=tuple(span.text for span in missing))
    gone = _removable(finding, caller)
    return Change(
        finding=finding,
        addition=addition,
        first=of.type == CLUSTER,
        remove_later=gone,
        keep=tuple(entry for entry in finding.holds if entry not in gone),
    )


def _together(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Changes of one resource by one call: each sends it as a whole, so that the second would undo the first."""
    bodies: dict[tuple[str, str], Any] = {}
    for change in changes:
        for request in change.addition.requests:
            key = (request.method, request.path)
            bodies[key] = _merged(bodies[key], request.body) if key in bodies else request.body
    made, told = [], dict[tuple[str, str], str]()
    for change in changes:
        addition, place = change.addition, change.finding.list.place
        left = tuple(each for each in addition.requests if (each.method, each.path) not in told)
        if addition.requests and not left:
            first = told[addition.requests[0].method, addition.requests[0].path]
            addition = replace(addition, requests=(), by_hand=f"nothing: the command for {first} adds it too")
        else:
            left = tuple(replace(each, body=bodies[each.method, each.path]) for each in left)
            told |= {(each.method, each.path): place for each in left}
            addition = replace(addition, requests=left)
        made.append(replace(change, addition=addition))
    return tuple(made)


def _merged(one: Any, other: Any) -> Any:
    """Two bodies that were made of the same resource by appending to lists of it."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = {name: _merged(one[name], other[name]) for name in one if name in other}
        return {**one, **other, **both}
    if isinstance(one, list) and isinstance(other, list):
        if len(one) == len(other):
            return [_merged(*pair) for pair in zip(one, other, strict=True)]
        return max(one, other, key=len)
    return one


def _removable(finding: Finding, caller: Caller) -> tuple[Entry, ...]:
    """Entries that have nothing but old addresses, and none of the new ones."""
    return tuple(entry for entry in finding.holds if _only(entry.spans, caller.old, caller.new))


def _only(spans: Iterable[Span], old: Sequence[Span], new: Sequence[Span]) -> bool:
    return all(
        any(each.contains(span) for each in old) and not any(span.overlaps(each) for each in new) for span in spans
    )
