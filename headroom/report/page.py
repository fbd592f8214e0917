"""One self-contained HTML page: verdict, causes, impact, history, the maps of the subnets, the plan.

The page needs no network and no script; a content security policy in it forbids both, so that no name of a pod can
become one. Everything from a snapshot is escaped by Jinja's autoescape after `text.clean`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from headroom.diagnosis.history import WARM_TARGETS
from headroom.diagnosis.owners import Holdings, pod_subnets
from headroom.diagnosis.readings import environment_of
from headroom.diagnosis.verdict import Cause, Diagnosis, Factor, History, Impact, Verdict, ZoneAddresses
from headroom.facts.snapshot import Snapshot, Source
from headroom.planning.plan import Plan
from headroom.report.forecast_picture import ForecastView
from headroom.report.pictures import FREE, LEGEND, Picture, class_of, sign, subnet_picture
from headroom.report.terminal import next_command, remedy
from headroom.report.text import (
    SHOWN_ITEMS,
    VERDICTS,
    clean,
    counted,
    first_and_more,
    headline,
    not_yet_said,
    of_whole,
)

TEMPLATE: Final = "page.html.j2"
SHOWN_MAPS: Final = 12
"""Subnets that are drawn; the table lists all of them."""

FILE_LINES: Final = 2
"""The first lines of a unified diff name the file, before and after."""

FACTORS: Final[Mapping[Factor, str]] = {
    Factor.SIZE: "The subnets are too small",
    Factor.WARM_POOL: "The CNI keeps more ready than is needed",
    Factor.CHURN: "Pods that have gone left addresses behind",
    Factor.LEAK: "Network interfaces were left over",
    Factor.DENSITY: "The nodes can hold no more pods",
    Factor.OTHERS: "Other services fill the same subnets",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    """One large figure at the top."""

    figure: str
    words: str
    bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """A part of a bar: whose, how much, and of what."""

    sign: str
    name: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _SubnetView:
    """A subnet with its bar and its map."""

    zone: ZoneAddresses
    cidr: str
    name: str
    shares: tuple[_Share, ...]
    picture: Picture | None
    anchor: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """A link of the causal chain."""

    kind: str
    title: str
    text: str


def render_page(  # noqa: PLR0913 - the parts of a page
    diagnosis: Diagnosis,
    *,
    snapshot: Snapshot | None = None,
    plan: Plan | None = None,
    forecasts: Sequence[ForecastView] = (),
    differences: Sequence[str] = (),
    no_plan: str = "",
    source: str = "",
    version: str = "",
) -> str:
    """The page as HTML.

    Args:
        diagnosis: What was found.
        snapshot: The facts; without them there are no maps.
        plan: The plan; without one there is no such part.
        forecasts: What the history of free addresses says of each zone or subnet.
        differences: What the plan changes, as unified diffs.
        no_plan: Why there is no plan.
        source: How the facts were given, such as `--cluster prod-use1`, for the command that follows.
        version: Headroom's version.
    """
    subnets = _subnets(diagnosis, snapshot)
    history = diagnosis.history
    said: set[tuple[str, str]] = set()
    page: str = _template().render(
        d=diagnosis,
        verdict=diagnosis.verdict.value,
        verdict_words=VERDICTS[diagnosis.verdict],
        headline=headline(diagnosis),
        tiles=_tiles(diagnosis),
        chain=_chain(diagnosis),
        causes=[_cause(cause, said) for cause in diagnosis.causes],
        ruled_out=not_yet_said(diagnosis.ruled_out, said),
        subnets=subnets,
        signs=[owner for owner in LEGEND if any(share.sign == owner for view in subnets for share in view.shares)],
        held=_held(history),
        factor=FACTORS[history.factor] if history is not None and history.factor is not None else "",
        settings=_settings(snapshot),
        impact=diagnosis.impact,
        plan=plan,
        forecasts=forecasts,
        differences=[_difference(text) for text in differences if text],
        no_plan=no_plan,
        sources=_sources(snapshot),
        shown=SHOWN_ITEMS,
        shown_maps=SHOWN_MAPS,
        legend=LEGEND,
        free=FREE,
        version=version,
        next_command=next_command(diagnosis, source),
        remedy=remedy(diagnosis),
        unread=[each for each in _sources(snapshot) if each.outcome],
    )
    return page


@cache
def _template() -> Any:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        clean=clean,
        commas=_commas,
        counted=counted,
        of_whole=of_whole,
        behind=_behind,
        prose=_prose,
        whole=_whole,
        few=first_and_more,
        sign=lambda owner: Markup(sign(owner)),  # noqa: S704 - made of the legend's own words only
        picture=lambda drawn: Markup(drawn.svg),  # noqa: S704 - made of numbers only, see `pictures`
    )
    text = (files("headroom.report") / TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(text)


def _prose(text: object, limit: int = 900) -> Markup:
    """Text of our own with what stands between backticks as code; everything in it is escaped."""
    plain, code = Markup("<bdi>{}</bdi>"), Markup("<code>{}</code>")
    parts = clean(text, limit).split("`")
    if len(parts) % 2 == 0:
        return plain.format(_unbroken("`".join(parts)))
    return Markup("").join((code if index % 2 else plain).format(_unbroken(part)) for index, part in enumerate(parts))


def _whole(text: object, limit: int = 300) -> Markup:
    """Text of a snapshot, escaped, whose names are not broken at their hyphens."""
    return _unbroken(clean(text, limit))


_LONGEST_UNBROKEN: Final = 64
"""Letters of a name up to which it goes to the next line as a whole; a longer one breaks where it must."""
_LONG_PATH: Final = 28
"""Letters of a word with slashes from which on it may break behind them."""
_BLANKS: Final = re.compile(r"(\s+)")
_HYPHENS: Final = re.compile(r"\S-\S|^-")


def _unbroken(text: str) -> Markup:
    """Each word with a hyphen in a box of its own: `us-east-1a` in two lines is no name any more.

    A long word without one, such as the name of a cause, may break behind its slashes.
    """
    box, slash = Markup('<span class="w">{}</span>'), Markup("/<wbr>")
    words: list[str] = []
    for word in _BLANKS.split(text):
        if len(word) <= _LONGEST_UNBROKEN and _HYPHENS.search(word):
            words.append(box.format(word))
        else:
            words.append(slash.join(word.split("/")) if len(word) >= _LONG_PATH else word)
    return Markup("").join(words)


def _behind(services: int) -> str:
    """Behind how many Services the workloads are."""
    return f"behind {counted(services, 'Service')}" if services else "behind no Service"


def _commas(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _tiles(diagnosis: Diagnosis) -> list[_Tile]:
    tiles = []
    impact = diagnosis.impact
    if impact is not None:
        tiles.append(_Tile(figure=f"{impact.stuck_pods:,}", words="pods without an address", bad=True))
        tiles.append(
            _Tile(
                figure=f"{len(impact.workloads):,}",
                words=f"{'workload' if len(impact.workloads) == 1 else 'workloads'} hit, {_behind(impact.services)}",
                bad=bool(impact.workloads),
            )
        )
    history = diagnosis.history
    if history is not None:
        known = [zone for zone in history.subnets if zone.free is not None]
        if known:
            least = min(known, key=lambda zone: zone.free or 0)
            where = clean(least.zone or least.subnet_id, 40)
            tiles.append(
                _Tile(
                    figure=f"{least.free:,}", words=f"of {least.usable:,} addresses free in {where}", bad=not least.free
                )
            )
        if history.held is not None and history.by_pods is not None:
            tiles.append(
                _Tile(figure=f"{history.by_pods:,}", words=f"of {history.held:,} addresses held by nodes serve pods")
            )
    return tiles


def _cause(cause: Cause, said: set[tuple[str, str]]) -> dict[str, Any]:
    scope = [
        (word, values)
        for word, values in (
            ("Zones", cause.scope.zones),
            ("Subnets", cause.scope.subnets),
            (f"Nodes ({len(cause.scope.nodes):,})", cause.scope.nodes),
        )
        if values
    ]
    return {
        "cause": cause,
        "scope": [(word, first_and_more(values, 8)) for word, values in scope],
        "ruled_out": not_yet_said(cause.ruled_out, said),
    }


def _chain(diagnosis: Diagnosis) -> list[_Link]:
    """From what used the addresses up to whom it hits, each link making the next."""
    links: list[_Link] = []
    history, impact = diagnosis.history, diagnosis.impact
    if diagnosis.verdict is not Verdict.FOUND:
        return links
    if history is not None and history.factor is not None:
        links.append(_Link(kind="How it came to this", title=FACTORS[history.factor], text=history.summary))
    ordered = sorted(diagnosis.causes, key=lambda cause: cause.made_by is not None)
    for cause in ordered:
        kind = f"Made by {cause.made_by}" if cause.made_by else "Cause"
        links.append(_Link(kind=kind, title=cause.name, text=cause.summary))
    if impact is not None:
        links.append(
            _Link(
                kind="Impact",
                title=f"{counted(impact.stuck_pods, 'pod')} without an address",
                text=_hit_words(impact),
            )
        )
        if impact.autoscalers:
            kinds = sorted({each.kind for each in impact.autoscalers})
            links.append(
                _Link(
                    kind="Impact",
                    title="Scaling is stuck",
                    text=f"{first_and_more(kinds, 4)}: more replicas or nodes get no address either.",
                )
            )
    return links


def _hit_words(impact: Impact) -> str:
    if not impact.workloads:
        return ""
    first = impact.workloads[0]
    return (
        f"{counted(len(impact.workloads), 'workload')} {_behind(impact.services)}; "
        f"first to restore: {clean(first.namespace, 80)}/{clean(first.name, 80)} "
        f"({of_whole(first.ready, first.desired)} ready)."
    )


def _subnets(diagnosis: Diagnosis, snapshot: Snapshot | None) -> list[_SubnetView]:
    history = diagnosis.history
    if history is None:
        return []
    holdings = Holdings(snapshot) if snapshot is not None else None
    of_id = {subnet.subnet_id: subnet for subnet in pod_subnets(snapshot, holdings)} if snapshot and holdings else {}
    # The fullest first: those are why somebody reads this.
    ordered = sorted(history.subnets, key=lambda each: (each.free is None, each.free or 0, each.zone, each.subnet_id))
    views = []
    for index, zone in enumerate(ordered):
        subnet = of_id.get(zone.subnet_id)
        anchor = f"map-{index + 1}"
        picture = None
        if subnet is not None and holdings is not None and zone.by_owner and index < SHOWN_MAPS:
            picture = subnet_picture(subnet, holdings, label=f"{anchor}-words")
        cidr = subnet.cidr_block if subnet is not None and isinstance(subnet.cidr_block, str) else ""
        tags: Any = subnet.tags if subnet is not None and isinstance(subnet.tags, Mapping) else {}
        views.append(
            _SubnetView(
                zone=zone,
                cidr=cidr,
                name=str(tags.get("Name", "")),
                shares=_shares(zone),
                picture=picture,
                anchor=anchor,
                summary=_subnet_words(zone),
            )
        )
    return views


def _shares(zone: ZoneAddresses) -> tuple[_Share, ...]:
    """The parts of a subnet, in the legend's order; each kind of service by its own name."""
    shares = [
        _Share(
            sign=class_of(owner),
            name=LEGEND.get(owner, clean(owner.replace("_", " "), 40)),
            number=number,
        )
        for owner, number in zone.by_owner.items()
    ]
    if zone.free:
        shares.append(_Share(sign=FREE, name=LEGEND[FREE], number=zone.free))
    order = list(LEGEND)
    return tuple(sorted(shares, key=lambda share: (order.index(share.sign), -share.number)))


def _subnet_words(zone: ZoneAddresses) -> str:
    free = "an unknown number" if zone.free is None else f"{zone.free:,}"
    parts = [f"{share.number:,} {share.name}" for share in _shares(zone) if share.sign != FREE]
    return f"{free} of {zone.usable:,} addresses free" + (f"; {', '.join(parts)}" if parts else "")


def _held(history: History | None) -> list[tuple[str, int, str]]:
    """What the nodes hold, against what the model expects: words, figure and sign."""
    if history is None or history.held is None:
        return []
    rows = [("Held by the nodes now", history.held, "all")]
    if history.expected is not None:
        rows.append(("Needed for all pods with these settings", history.expected, "model"))
    if history.thrifty is not None and history.thrifty < (history.expected or 0):
        settings = " ".join(f"{name}={value}" for name, value in history.thrifty_settings.items())
        rows.append((f"Needed for all pods with {settings}", history.thrifty, "best"))
    if history.by_pods is not None:
        rows.append(("Used by pods", history.by_pods, "pods"))
    return rows


def _settings(snapshot: Snapshot | None) -> list[tuple[str, str]]:
    """The warm targets and modes of aws-node, as they are."""
    environment = environment_of(snapshot) if snapshot is not None else None
    if environment is None:
        return []
    names = (*WARM_TARGETS, "ENABLE_PREFIX_DELEGATION", "ENABLE_SUBNET_DISCOVERY", "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG")
    return [(name, clean(environment[name], 60)) for name in names if name in environment]


def _sources(snapshot: Snapshot | None) -> tuple[Source, ...]:
    return snapshot.sources if snapshot is not None else ()


def _difference(text: str) -> tuple[str, list[tuple[str, str]]]:
    """A unified diff: the file that it makes or changes, and line by line the kind of each line."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    name, lines = "", []
    for number, line in enumerate(text.splitlines()):
        is_name = number < FILE_LINES and line.startswith(("--- ", "+++ "))
        if is_name:
            name = line[4:].partition("\t")[0].removeprefix("b/")
        lines.append(("file" if is_name else kinds.get(line[:1], "same"), _code(line)))
    return name or "the files", lines


def _code(line: str) -> str:
    """A line of a file, blanks kept, without characters that hide or turn anything."""
    return "".join(each if each.isprintable() or each == "\t" else clean(each) for each in line[:2000])
