"""Whether a list of addresses lets somebody in, before and after the address that he comes from changes.

A list is compared by containment, never as text: a rule for 20.1.0.0/16 has 20.1.1.1. Rules that have everybody, or
every address of Azure's, are told from rules that were written for an address. What cannot be read is unknown.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from headroom.addresses.association import RFC1918, SHARED_ADDRESS_SPACE
from headroom.addresses.azure import VNET_RESERVED
from headroom.addresses.blocks import Block
from headroom.addresses.problems import Problem
from headroom.facts.azure import resource_name

EVERYBODY: Final = frozenset({"*", "any", "internet", "0.0.0.0/0", "::/0", "0.0.0.0-255.255.255.255"})
"""Sources that have every public address, in small letters (Azure virtual network documentation, service tags)."""
AZURE_TAG: Final = "azurecloud"
"""The service tag with every public address of Azure's; with a region behind a dot, those of the region."""
AZURE_RULE: Final = "0.0.0.0"  # noqa: S104 - no address to listen on
"""Start and end of a database's firewall rule that lets every address of Azure's in, also other customers' (Azure SQL
Database documentation, firewall-configure)."""
_PRIVATE: Final = tuple(
    ipaddress.IPv4Network(str(each))
    for each in (*(Block.parse(family.value) for family in RFC1918), SHARED_ADDRESS_SPACE, *VNET_RESERVED)
)
_TAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*")


class Verdict(StrEnum):
    """What a list does for the callers."""

    BOTH = "both"
    """It has an old address and every new one."""
    OLD_ONLY = "old_only"
    """It has an old address and lacks a new one."""
    NEW_ONLY = "new_only"
    """It has every new address and no old one."""
    OPEN = "open"
    """It lets everybody in, or everybody in Azure."""
    NO_EFFECT = "no_effect"
    """Whatever is on it, it does not decide about these callers."""
    NOT_LISTED = "not_listed"
    """It has neither."""
    UNKNOWN = "unknown"
    """It could not be read, or not understood."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Addresses from the first to the last.

    Attributes:
        version: 4 or 6.
        first: The first address as a number.
        last: The last one.
    """

    version: int
    first: int
    last: int

    def overlaps(self, other: "Span") -> bool:
        """Whether they share an address."""
        return self.version == other.version and self.first <= other.last and other.first <= self.last

    def contains(self, other: "Span") -> bool:
        """Whether all of the other lies within."""
        return self.version == other.version and self.first <= other.first and other.last <= self.last

    def without(self, other: "Span") -> Iterator["Span"]:
        """What is left when the other is taken away."""
        if not self.overlaps(other):
            yield self
            return
        if self.first < other.first:
            yield Span(self.version, self.first, other.first - 1)
        if other.last < self.last:
            yield Span(self.version, other.last + 1, self.last)

    @property
    def start(self) -> str:
        """The first address as text."""
        return str(_address(self.version, self.first))

    @property
    def end(self) -> str:
        """The last address as text."""
        return str(_address(self.version, self.last))

    @property
    def text(self) -> str:
        """An address, or a prefix, or start-end."""
        if self.first == self.last:
            return self.start
        cidrs = self.cidrs
        return cidrs[0] if len(cidrs) == 1 else f"{self.start}-{self.end}"

    @property
    def cidrs(self) -> tuple[str, ...]:
        """As CIDRs, single addresses too."""
        networks = ipaddress.summarize_address_range(
            _address(self.version, self.first),
            _address(self.version, self.last),
        )
        return tuple(str(each) for each in networks)

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Reads an address, a CIDR (with or without host bits) or start-end.

        Raises:
            ValueError: It is none of them.
        """
        start, dash, end = text.partition("-")
        if dash:
            first, last = ipaddress.ip_address(start.strip()), ipaddress.ip_address(end.strip())
            if first.version != last.version or int(first) > int(last):
                raise ValueError(text)
            return cls(first.version, int(first), int(last))
        network = ipaddress.ip_network(text.strip(), strict=False)
        return cls(network.version, int(network.network_address), int(network.broadcast_address))


_ALL: Final = (Span.parse("0.0.0.0/0"), Span.parse("::/0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One source of a list.

    Attributes:
        text: As Azure has it.
        spans: The addresses that it has; none for a service tag without a customer's public addresses.
        name: The rule's name; empty where rules have none.
        allow: Whether it lets in; else it keeps out.
        priority: Lower ones come first.
        wide: It was not written for an address: it has everybody, or all of Azure.
        region: With a tag such as AzureCloud.eastus2, the region whose addresses it has.
        unreadable: It is not understood.
    """

    text: str
    spans: tuple[Span, ...] = ()
    name: str = ""
    allow: bool = True
    priority: int = 0
    wide: bool = False
    region: str = ""
    unreadable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call to Azure Resource Manager.

    Attributes:
        method: PUT or PATCH.
        path: From /subscriptions on.
        api_version: The API's version.
        body: What is sent.
    """

    method: str
    path: str
    api_version: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """How new addresses get on a list.

    Attributes:
        entries: What is added, as the service writes it.
        requests: The calls that add it; none where it has to be done by hand.
        command: A command of the Azure CLI instead of calls.
        by_hand: What to do where there is neither.
        refused: Why the service would refuse it; empty where it would not.
    """

    entries: tuple[str, ...]
    requests: tuple[Request, ...] = ()
    command: str = ""
    by_hand: str = ""
    refused: str = ""


Adder = Callable[[Sequence[Span]], Addition]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """A list of addresses that lets in, or keeps out, who comes to a resource.

    Attributes:
        type: ARM type of the resource that is guarded, or that carries the list.
        resource_id: Its ARM id.
        place: Where in it: firewallRules, ipSecurityRestrictions, the name of a security rule.
        location: Its region.
        entries: The list.
        others: Further rules that decide with it, which are lists of their own.
        default_allow: Whether who is on no entry gets in.
        no_effect: Why it decides nothing about anybody from outside; empty where it does.
        same_region: Why it decides nothing about callers of its own region; empty where it does.
        subnets: ARM ids of subnets whose traffic gets in by its subnet, not by its address.
        serves: ARM id of the cluster whose own nodes come through this list with whatever address they have.
        unknown: Why it could not be read; empty where it was.
        add: How addresses get on it; None where there is nothing to add to.
        note: What else is to be said about it.
    """

    type: str
    resource_id: str
    place: str
    location: str = ""
    entries: tuple[Entry, ...] = ()
    others: tuple[Entry, ...] = ()
    default_allow: bool = False
    no_effect: str = ""
    same_region: str = ""
    subnets: frozenset[str] = frozenset()
    serves: str = ""
    unknown: str = ""
    add: Adder | None = field(default=None, compare=False, repr=False)
    note: str = ""

    @property
    def name(self) -> str:
        """The resource's name."""
        return resource_name(self.resource_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who comes, and from where: now and later.

    Attributes:
        old: The addresses in use.
        new: The addresses that will be.
        regions: Regions of the clusters, as Azure writes them (eastus2); empty where nobody says.
        subnets: ARM ids of their nodes' subnets, in small letters.
        clusters: ARM ids of the clusters, in small letters.
    """

    old: tuple[Span, ...]
    new: tuple[Span, ...]
    regions: frozenset[str] = frozenset()
    subnets: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a list does for the callers.

    Attributes:
        list: The list.
        verdict: What it does.
        missing: New addresses that it lacks.
        holds: Its entries that have an old address, those for everybody left out.
        because: Why, in a few words.
    """

    list: AllowList
    verdict: Verdict
    missing: tuple[Span, ...] = ()
    holds: tuple[Entry, ...] = ()
    because: str = ""


def read_addresses(texts: Iterable[str], key: str) -> tuple[tuple[Span, ...], list[Problem]]:
    """Public addresses and prefixes that somebody gave.

    Args:
        texts: Each an address or a CIDR.
        key: Where they were given.
    """
    found: list[Span] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            reason, step = "is neither an address nor a prefix.", "Write one such as 20.1.2.3 or 20.1.2.0/28."
            problems.append(Problem(rule="address", key=key, value=repr(text)[:60], reason=reason, next_step=step))
            continue
        if _private(network):
            reason = "is not a public address, and others see a cluster with a public one."
            step = "Give the address that an echo service sees, or of the NAT gateway or the load balancer."
            problems.append(Problem(rule="public-address", key=key, value=text, reason=reason, next_step=step))
            continue
        found.append(Span.parse(text))
    return tuple(dict.fromkeys(found)), problems


def _private(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether a NAT gateway's public address cannot be in it; addresses of documentation pass, which rehearsals use."""
    if network.version == 6:  # noqa: PLR2004 - of IP
        return not network.is_global
    return any(network.overlaps(each) for each in _PRIVATE)


def source(text: str, *, name: str = "", allow: bool = True, priority: int = 0) -> Entry:
    """A source as rules of Azure's have it: an address, a CIDR, start-end, everybody, or a service tag."""
    made = Entry(text=text, name=name, allow=allow, priority=priority)
    lower = text.strip().casefold()
    if lower in EVERYBODY:
        return replace(made, spans=_ALL, wide=True)
    if lower == AZURE_TAG:
        # A NAT gateway's addresses are Azure's, so that this has old and new ones.
        return replace(made, spans=_ALL, wide=True)
    if lower.startswith(f"{AZURE_TAG}."):
        return replace(made, region=lower.partition(".")[2], wide=True)
    if _TAG.fullmatch(text.strip()):
        return made
    try:
        return replace(made, spans=(Span.parse(text),))
    except ValueError:
        return replace(made, unreadable=True)


def database_rule(start: str, end: str, *, name: str = "") -> Entry:
    """A firewall rule of a database: from start to end; from 0.0.0.0 to 0.0.0.0 it has every address of Azure's."""
    text = start if start == end else f"{start}-{end}"
    if start == end == AZURE_RULE:
        return Entry(text="any address of Azure's", name=name, spans=_ALL, wide=True)
    entry = source(f"{start}-{end}", name=name)
    return replace(entry, text=text)


def judge(allow_list: AllowList, caller: Caller) -> Finding:
    """What a list does for callers whose addresses change."""
    if allow_list.unknown and not allow_list.no_effect:
        return Finding(list=allow_list, verdict=Verdict.UNKNOWN, because=allow_list.unknown)
    own = _known_regions(allow_list.entries, caller)
    holds = tuple(
        entry
        for entry in own
        if entry.allow and not entry.wide and any(span.overlaps(old) for span in entry.spans for old in caller.old)
    )
    if reason := _no_effect(allow_list, caller):
        return Finding(list=allow_list, verdict=Verdict.NO_EFFECT, holds=holds, because=reason)
    found = _compare(allow_list, caller, own)
    return replace(found, holds=holds) if found.verdict in {Verdict.BOTH, Verdict.OLD_ONLY, Verdict.UNKNOWN} else found


def _compare(allow_list: AllowList, caller: Caller, own: Sequence[Entry]) -> Finding:
    entries = (*own, *_known_regions(allow_list.others, caller))
    named = any(_names(own, span) for span in (*caller.old, *caller.new))
    nodes_own = allow_list.serves.casefold() in caller.clusters
    if allow_list.others and not named and not any(entry.unreadable or entry.region for entry in own):
        return Finding(list=allow_list, verdict=Verdict.NOT_LISTED)
    old = [_admission(entries, span, default=allow_list.default_allow or nodes_own) for span in caller.old]
    new = {span: _admission(entries, span, default=allow_list.default_allow) for span in caller.new}
    was_in = bool({_Admission.IN, _Admission.PARTLY} & {*old})
    missing = tuple(span for span, admission in new.items() if admission is not _Admission.IN)
    if not missing:
        if not named:
            return Finding(list=allow_list, verdict=Verdict.OPEN, because=_open(own))
        return Finding(list=allow_list, verdict=Verdict.BOTH if was_in else Verdict.NEW_ONLY)
    unclear = any(new[span] is _Admission.UNKNOWN for span in missing)
    if unclear or (_Admission.UNKNOWN in old and not was_in):
        return Finding(list=allow_list, verdict=Verdict.UNKNOWN, missing=missing, because=_unclear(entries))
    if not was_in:
        return Finding(list=allow_list, verdict=Verdict.NOT_LISTED)
    locked_out = nodes_own and not any(_names(own, span) for span in caller.old)
    because = _lacks(missing, entries, nodes_own=locked_out)
    if allow_list.same_region and not caller.regions:
        because += f"; if the clusters are in {allow_list.location} it does nothing (give --region)"
    return Finding(list=allow_list, verdict=Verdict.OLD_ONLY, missing=missing, because=because)


class _Admission(StrEnum):
    IN = "in"
    PARTLY = "partly"
    OUT = "out"
    UNKNOWN = "unknown"


def _admission(entries: Sequence[Entry], span: Span, *, default: bool) -> _Admission:
    """Whether all of a span gets in: rules in the order of their priority, of equal ones the keeping out first."""
    left = [span]
    got_in = kept_out = unclear = False
    for entry in sorted(entries, key=lambda each: (each.priority, each.allow)):
        if not left:
            break
        if entry.unreadable or entry.region:
            unclear = True
            continue
        for of in entry.spans:
            if any(of.overlaps(part) for part in left):
                got_in, kept_out = got_in or entry.allow, kept_out or not entry.allow
                left = [rest for part in left for rest in part.without(of)]
    if left:
        got_in, kept_out = got_in or default, kept_out or not default
    if not kept_out:
        return _Admission.UNKNOWN if unclear and _denies(entries) else _Admission.IN
    if unclear:
        return _Admission.UNKNOWN
    return _Admission.PARTLY if got_in else _Admission.OUT


def _denies(entries: Sequence[Entry]) -> bool:
    """Whether a rule that is not understood might keep out."""
    return any((entry.unreadable or entry.region) and not entry.allow for entry in entries)


def _names(entries: Sequence[Entry], span: Span) -> bool:
    return any(not entry.wide and of.overlaps(span) for entry in entries for of in entry.spans)


def _known_regions(entries: Sequence[Entry], caller: Caller) -> tuple[Entry, ...]:
    """Tags of a region, decided where the callers' only region is known."""
    made = []
    for entry in entries:
        if entry.region and len(caller.regions) == 1:
            (region,) = caller.regions
            made.append(replace(entry, region="", spans=_ALL if entry.region == region.casefold() else ()))
        else:
            made.append(entry)
    return tuple(made)


def _no_effect(allow_list: AllowList, caller: Caller) -> str:
    if allow_list.no_effect:
        return allow_list.no_effect
    location = "".join(allow_list.location.split()).casefold()
    if allow_list.same_region and caller.regions and caller.regions == {location}:
        return allow_list.same_region
    if caller.subnets and caller.subnets <= allow_list.subnets:
        return "lets the clusters' subnets in by a service endpoint, which shows private addresses"
    return ""


def _lacks(missing: Sequence[Span], own: Sequence[Entry], *, nodes_own: bool) -> str:
    lacking = ", ".join(span.text for span in missing)
    if nodes_own:
        return f"lacks {lacking}: the cluster's own nodes would be locked out"
    denied = [entry for entry in own if not entry.allow and any(_names([entry], span) for span in missing)]
    return f"keeps out {lacking} ({denied[0].name or denied[0].text})" if denied else f"lacks {lacking}"


def _unclear(entries: Sequence[Entry]) -> str:
    found = next((entry for entry in entries if entry.unreadable or entry.region), None)
    if found is None:
        return "could not be decided"
    if found.region:
        return f"has {found.text}: whether the addresses are of that region is not known (give --region)"
    return f"has {found.text[:60]!r}, which is not understood"


def _open(entries: Sequence[Entry]) -> str:
    wide = next((entry for entry in entries if entry.allow and entry.wide), None)
    return f"has {wide.text}" if wide else "lets everybody in"


def _address(version: int, number: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)  # noqa: PLR2004 - of IP
