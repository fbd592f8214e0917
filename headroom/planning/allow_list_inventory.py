"""What Azure cannot tell: allow-lists of partners, of Entra, inside gateways and databases, declared in a file.

Every kind has to be mentioned, if only to say that there is none: what nobody has answered for is undecided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.allow_lists import Span, read_addresses
from headroom.planning.audit_record import Named
from headroom.planning.emergency_keys import near

KINDS: Final[Mapping[str, str]] = {
    "saas-partner": "allow-lists of partners and of software as a service",
    "entra-named-location": "named locations of Entra's Conditional Access, which Microsoft Graph has",
    "apim-ip-filter": "ip-filter policies inside API Management",
    "databricks-ip-list": "IP access lists of Databricks workspaces",
    "sql-database-rule": "firewall rules kept inside a SQL database (sys.database_firewall_rules)",
    "on-premises-firewall": "firewalls of one's own outside Azure",
}
"""Kinds of lists that no API of Azure Resource Manager shows, with what they are."""

VERSION: Final = 1
_FIELDS: Final = ("name", "kind", "owner", "confirmed", "addresses", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A list that somebody keeps elsewhere.

    Attributes:
        name: What it is called, or "none".
        kind: One of `KINDS`.
        owner: Who answers for it.
        confirmed: Whether the owner has said that the addresses are on it, or that there is no such list.
        on: The day on which he did; None: no day is given.
        addresses: The new addresses that he has put on it.
        none: There is no list of this kind.
        note: Anything else.
    """

    name: str
    kind: str
    owner: str
    confirmed: bool
    on: date | None = None
    addresses: tuple[Span, ...] = ()
    none: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The declared lists.

    Attributes:
        entries: Each of them.
    """

    entries: tuple[Declared, ...] = ()


def read_inventory(document: object, subject: str) -> Inventory:
    """The declared lists of a file's content.

    Args:
        document: Mappings, lists and values as a YAML reader gives them.
        subject: The file's name, for messages.

    Raises:
        ProblemsError: Everything that is wrong with it.
    """
    problems: list[Problem] = []
    lists = document.get("lists") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(lists, list) or document.get("version") != VERSION:
        step = (
            f"Write version: {VERSION} and lists: with {listed(_FIELDS)} each; `headroom audit-egress` without "
            "--inventory ends with one to begin with."
        )
        _wrong(problems, subject, "the file", f"has no version: {VERSION} with a list under lists:.", step)
        raise ProblemsError(problems, subject=subject)
    entries = [_entry(problems, f"{subject}: lists[{place}]", each) for place, each in enumerate(lists)]
    if problems:
        raise ProblemsError(problems, subject=subject)
    return Inventory(entries=tuple(entry for entry in entries if entry is not None))


def open_entries(inventory: Inventory, new: Sequence[Span]) -> tuple[Named, ...]:
    """What nobody has confirmed: lists without a yes, without one of the new addresses, and kinds never mentioned."""
    found = []
    for entry in inventory.entries:
        missing = [span for span in new if not any(each.contains(span) for each in entry.addresses)]
        if not entry.confirmed:
            because = f"{entry.owner} has not confirmed it"
        elif missing and not entry.none:
            because = f"{entry.owner} confirmed it without {', '.join(span.text for span in missing)}"
        else:
            continue
        found.append(Named(type=entry.kind, place=entry.name, because=because))
    mentioned = {entry.kind for entry in inventory.entries}
    return (
        *found,
        *(
            Named(type=kind, place=kind, because=f"nobody has said anything about {what}")
            for kind, what in KINDS.items()
            if kind not in mentioned
        ),
    )


def example(new: Sequence[Span]) -> str:
    """A file to begin with, as YAML."""
    addresses = ", ".join(f'"{span.text}"' for span in new)
    lines = [f"version: {VERSION}", "lists:"]
    for kind, what in KINDS.items():
        lines += [
            f"  # {what}; name: none where there is no such list",
            f"  - {{name: none, kind: {kind}, owner: somebody@example.com, confirmed: no, addresses: [{addresses}]}}",
        ]
    return "\n".join(lines) + "\n"


def _entry(problems: list[Problem], key: str, fields: object) -> Declared | None:
    if not isinstance(fields, Mapping):
        _wrong(problems, key, shown(str(fields)), f"is no mapping of {listed(_FIELDS)}.")
        return None
    count = len(problems)
    for name in fields:
        if name not in _FIELDS:
            _wrong(problems, f"{key}.{name}", shown(str(name)), "is not known here.", near(str(name), _FIELDS))
    texts = {name: _text(problems, key, name, fields.get(name)) for name in ("name", "kind", "owner")}
    if texts["kind"] and texts["kind"] not in KINDS:
        _wrong(problems, f"{key}.kind", shown(texts["kind"]), "is no kind of list.", f"Write one of {listed(KINDS)}.")
    confirmed, on = _confirmed(problems, key, fields.get("confirmed"))
    addresses = fields.get("addresses", [])
    if not isinstance(addresses, list) or not all(isinstance(each, str) for each in addresses):
        _wrong(problems, f"{key}.addresses", shown(str(addresses)), "is no list of addresses in quotes.")
        addresses = []
    spans, wrong = read_addresses(addresses, f"{key}.addresses")
    problems += wrong
    if len(problems) > count:
        return None
    return Declared(
        name=texts["name"],
        kind=texts["kind"],
        owner=texts["owner"],
        confirmed=confirmed,
        on=on,
        addresses=spans,
        none=texts["name"].casefold() == "none",
        note=str(fields.get("note") or ""),
    )


def _text(problems: list[Problem], key: str, name: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    told = "nothing" if value is None else shown(str(value))
    _wrong(problems, f"{key}.{name}", told, "is no text." if value is not None else "is given.")
    return ""


def _confirmed(problems: list[Problem], key: str, value: object) -> tuple[bool, date | None]:
    """YAML reads yes as true and 2026-03-07 as a date; both come as text too."""
    if isinstance(value, bool):
        return value, None
    if isinstance(value, datetime):
        return True, value.date()
    if isinstance(value, date):
        return True, value
    text = str(value).strip().casefold() if value is not None else ""
    if text in {"yes", "no"}:
        return text == "yes", None
    try:
        return True, date.fromisoformat(text)
    except ValueError:
        step = "Write yes, no, or the day on which its owner confirmed it, such as 2026-03-07."
        told = "nothing" if value is None else shown(str(value))
        _wrong(problems, f"{key}.confirmed", told, "says neither yes nor no nor a day.", step)
        return False, None


def _wrong(problems: list[Problem], key: str, value: str, reason: str, next_step: str = "") -> None:
    problems.append(Problem(rule="inventory", key=key, value=value, reason=reason, next_step=next_step))
