"""What lines of logs and events mean: the wordings are data (`data/signatures.toml`), and this matches them.

A text is matched in one pass: only wordings one of whose required texts occurs in it are tried. For logs of millions
of lines `interesting_lines` finds, block by block, the few lines that can match at all.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

from headroom.facts.snapshot import Origin

LONGEST_LINE: Final = 20_000
"""Characters of a line that are looked at; what follows in a longer one is not."""
SHORTEST_CUT: Final = 12
"""Characters of a wording that a cut line must still end with to count as it."""

_FILE: Final = "signatures.toml"


class Kind(StrEnum):
    """What a wording is to the diagnosis."""

    CAUSE = "cause"
    """It speaks for a cause."""
    SYMPTOM = "symptom"
    """A pod got no address: nearly every cause gives it."""
    OPEN = "open"
    """Something is wrong, and it may or may not be addresses."""
    NOT_IP = "not_ip"
    """Something is wrong, and it is not addresses."""
    READING = "reading"
    """It carries numbers, or says how the cluster is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A wording and its meaning.

    Attributes:
        name: Its name; the modules of the causes ask for it.
        kind: What it is to the diagnosis.
        pattern: The regular expression, over a text as ``normalise`` leaves it.
        requires: Texts in lower case, of which a matching text has at least one.
        means: What it says, in a few words.
        source: Where the wording is documented.
        supports: For a cause: which (a value of ``Detail`` or ``RootCause``).
        weak: For a cause: whether other causes write it too.
        origins: Where such a line counts; anywhere where there are none.
        clouds: aws, azure, none; any where there are none.
        versions: Versions of the VPC CNI that write it; for people.
        beats: Signatures that do not count in the same line.
        stated: Whether it also counts in what a person says of the cluster.
        quiet: How ipamd's message begins, where it writes it below a warning.
        example: A line that it matches.
    """

    name: str
    kind: Kind
    pattern: re.Pattern[str]
    requires: tuple[str, ...]
    means: str
    source: str
    supports: str = ""
    weak: bool = False
    origins: tuple[Origin, ...] = ()
    clouds: tuple[str, ...] = ()
    versions: str = ""
    beats: tuple[str, ...] = ()
    stated: bool = False
    quiet: tuple[str, ...] = ()
    example: str = ""

    def counts_for(self, origin: Origin | None, cloud: str | None) -> bool:
        """Whether a line of that origin counts; ``None`` for what is not known."""
        return not (
            (origin is not None and self.origins and origin not in self.origins)
            or (cloud is not None and self.clouds and cloud not in self.clouds)
        )


@dataclass(frozen=True, slots=True)
class Match:
    """A wording found in a text.

    Attributes:
        signature: Which wording.
        text: The fragment that matched.
        groups: Its named numbers and words.
        cut: Whether only the wording's beginning stands at the end of a cut line.
    """

    signature: Signature
    text: str
    groups: Mapping[str, str]
    cut: bool = False


@cache
def signatures() -> tuple[Signature, ...]:
    """All wordings, in the order of the file."""
    text = (files("headroom.diagnosis") / "data" / _FILE).read_text(encoding="utf-8")
    return tuple(_signature(entry) for entry in tomllib.loads(text)["signature"])


def by_name(name: str) -> Signature:
    """The signature of that name."""
    return _by_name()[name]


@cache
def _by_name() -> dict[str, Signature]:
    return {signature.name: signature for signature in signatures()}


def _signature(entry: Mapping[str, Any]) -> Signature:
    pattern = str(entry["pattern"])
    return Signature(
        name=entry["name"],
        kind=Kind(entry["kind"]),
        pattern=re.compile(pattern, re.IGNORECASE),
        requires=tuple(entry.get("requires", ())) or (_plain(pattern),),
        means=entry["means"],
        source=entry["source"],
        supports=entry.get("supports", ""),
        weak=entry.get("weak", False),
        origins=tuple(Origin(origin) for origin in entry.get("origins", ())),
        clouds=tuple(entry.get("clouds", ())),
        versions=entry.get("versions", ""),
        beats=tuple(entry.get("beats", ())),
        stated=entry.get("stated", False),
        quiet=tuple(entry.get("quiet", ())),
        example=entry.get("example", ""),
    )


def _plain(pattern: str) -> str:
    """What a pattern requires that is plain text, or nearly."""
    text = pattern.replace("\\b", "").replace("\\.", ".").replace("\\(", "(").replace("\\)", ")")
    if set(text) & set("\\[]{}*+?|^$"):
        raise ValueError(f"{pattern!r} needs a `requires`: it is no plain text")
    return text.lower()


# One text.

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ESCAPED_QUOTE = re.compile(r"\\+([\"'/])")
_ESCAPED_SPACE = re.compile(r"\\+[nrt]")
_ESCAPED_SIGN = re.compile(r"\\+u00(26|3c|3e|27|22)", re.IGNORECASE)
_QUOTES = re.compile("[\"'\u2018\u2019\u201c\u201d`\u00b4]+")
_SPACE = re.compile(r"\s+")
_CUT_MARKS = ("...", "\u2026", "[truncated]")


def normalise(text: str) -> str:
    """A text as the patterns expect it.

    Logs quote one another: backslashes before quotes go, every quote becomes a double one, escaped line ends and all
    white space become a single space, colours of terminals go.
    """
    text = text[:LONGEST_LINE]
    if "\x1b" in text:
        text = _COLOURS.sub("", text)
    if "\\" in text:
        text = _ESCAPED_SIGN.sub(lambda found: chr(int(found.group(1), 16)), text)
        text = _ESCAPED_QUOTE.sub(r"\1", text)
        text = _ESCAPED_SPACE.sub(" ", text)
    return _SPACE.sub(" ", _QUOTES.sub('"', text)).strip()


def match(
    text: str, *, origin: Origin | None = None, cloud: str | None = None, cut: bool = False, stated: bool = False
) -> tuple[Match, ...]:
    """The wordings in a text.

    Args:
        text: One line, or a few that belong together; it may be wrapped, escaped, or JSON.
        origin: Where it comes from; ``None``: not known, and every wording counts.
        cloud: aws, azure or none; ``None``: not known.
        cut: Whether it was cut short before it reached us.
        stated: Whether a person says it: then only wordings count that are marked so.
    """
    normal = normalise(text)
    found = [*_matches(normal, origin, cloud, stated=stated)]
    if "\n" in text:  # wrapped in the middle of a word
        rejoined = normalise(text.replace("\r", "").replace("\n", ""))
        names = {each.signature.name for each in found}
        found += [each for each in _matches(rejoined, origin, cloud, stated=stated) if each.signature.name not in names]
    if cut or normal.endswith(_CUT_MARKS):
        found += _cut_matches(normal, found, origin, cloud)
    beaten = {name for each in found for name in each.signature.beats}
    return tuple(each for each in found if each.signature.name not in beaten)


# Ids of sandboxes and containers, of which every event names another: no wording has one.
_LONG_ID = re.compile(r"\b[0-9a-f]{12,}\b")


@lru_cache(maxsize=4096)
def _candidates(lowered: str) -> tuple[Signature, ...]:
    """The signatures of which a text in lower case has what they require."""
    return tuple(each for each in signatures() if any(required in lowered for required in each.requires))


# Facts are judged again and again: by a plan, by what is read anew, and one line is many pods'.
@lru_cache(maxsize=4096)
def _matches(normal: str, origin: Origin | None, cloud: str | None, *, stated: bool) -> tuple[Match, ...]:
    found = []
    for signature in _candidates(_LONG_ID.sub("", normal.lower())):
        if (stated and not signature.stated) or not signature.counts_for(origin, cloud):
            continue
        hit = signature.pattern.search(normal)
        if hit is not None:
            groups = {name: value for name, value in hit.groupdict().items() if value is not None}
            found.append(Match(signature, hit.group(0), groups))
    return tuple(found)


def _cut_matches(normal: str, found: Sequence[Match], origin: Origin | None, cloud: str | None) -> list[Match]:
    """Wordings of which only the beginning is left, at the very end of a cut line."""
    tail = normal.lower()
    for mark in _CUT_MARKS:
        tail = tail.removesuffix(mark)
    names = {each.signature.name for each in found}
    cut: dict[str, Match] = {}
    for signature in signatures():
        if signature.name in names or not signature.counts_for(origin, cloud):
            continue
        for required in signature.requires:
            lengths = range(len(required) - 1, SHORTEST_CUT - 1, -1)
            length = next((length for length in lengths if tail.endswith(required[:length])), 0)
            # What the line would have said, had it gone on with this wording.
            if length and signature.pattern.search(tail + required[length:]):
                cut[signature.name] = Match(signature, tail[-length:], {}, cut=True)
    # Of several the longest is meant; a beginning that they share says nothing.
    longest = max((len(each.text) for each in cut.values()), default=0)
    meant = [each for each in cut.values() if len(each.text) == longest]
    return meant if len(meant) == 1 else []


def interesting(text: str) -> bool:
    """Whether a line of a log or an event means something to the diagnosis, wherever it comes from."""
    return any(noteworthy(each) for each in match(text))


def noteworthy(found: Match) -> bool:
    """Whether a line is worth keeping for this wording: of a pool's figures only those where nothing is to be had."""
    groups = found.groups
    if "total" not in groups or "assigned" not in groups:
        return True
    free = int(groups["total"]) - int(groups["assigned"])
    return free <= int(groups.get("cooldown", 0))
