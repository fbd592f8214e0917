"""`headroom forecast`: when the zones and subnets of a cluster run dry, why, and what each way out buys."""

import os
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import click

from headroom.addresses.blocks import Block, usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.forecast import DAY_SECONDS, HORIZON_DAYS, HOUR_SECONDS, Forecast, Reading
from headroom.capacity.forecast import forecast as forecast_of
from headroom.capacity.watch import HISTORY_DAYS, NAMESPACE, Metric
from headroom.cli.calc.answer import FINDING, UNDECIDED, Answer, Table, Term, answers, whole
from headroom.cli.calc.forecast import (
    WARNING_DAYS,
    Histories,
    days_text,
    forecast_data,
    rows_of,
    span_text,
    unit_of,
    usable_of,
)
from headroom.cli.calc.reading import Reader
from headroom.cli.clouds import takes_cloud
from headroom.report.text import SHOWN_ITEMS, first_and_more

if TYPE_CHECKING:
    from headroom.collect.published import History
    from headroom.facts.snapshot import Snapshot
    from headroom.planning.plan import Option

HELP = """
\b
headroom forecast --cluster prod-use1
headroom forecast --prometheus https://prometheus.example.com --facts facts.json

When each zone and subnet runs dry, with a range, what takes the addresses, and how long a further subnet would last.
From CloudWatch, where the watch stack publishes; from Prometheus (a token in PROMETHEUS_TOKEN); or from a file as
`headroom calc forecast` takes it, with a column zone where there is one. With --facts: what each way out buys.

Exit code 1: something is empty within --finding-within days; 3: a history is too short to say.
"""

FURTHER_SUBNETS: Final = (22, 20, 18)
"""Prefix lengths of a further subnet, for which it is said how long it lasts."""

GAP: Final = 0.25
"""Of the hours of a history as much may be missing before it is called broken."""

STALE_HOURS: Final = 6
"""A live history that ended longer ago is told: its end is not today."""

LEAST_RATE: Final = 0.05
"""Addresses a day that are worth a line."""

_COLUMNS: Final = ("where", "free now", "a day", "empty in", "95 %", "date", f"in {HORIZON_DAYS} days")

DRIVERS: Final = {
    Metric.HELD_ADDRESSES: "held by nodes for pods",
    Metric.RESERVED_ADDRESSES: "reserved",
}
"""What takes addresses, as the publisher counts it. The rest are interfaces' own addresses and other services."""

CSV_NAMES: Final = {Metric.FREE_ADDRESSES: "freeAddresses", Metric.FREE_PREFIX_BLOCKS: "free28"}
"""What `headroom calc forecast` calls the figures."""


@dataclass(slots=True, kw_only=True)
class Place:
    """A zone or a subnet.

    Attributes:
        zone: Its zone; empty where nobody says.
        subnet: Empty for the zone as a whole.
        readings: By figure.
        drivers: What takes its addresses, by metric; empty where nobody counts it.
        usable: What it can hold; None where nobody says.
    """

    zone: str
    subnet: str
    readings: dict[str, list[Reading]] = field(default_factory=dict)
    drivers: dict[Metric, list[Reading]] = field(default_factory=dict)
    usable: int | None = None

    @property
    def name(self) -> str:
        """How it is called."""
        return self.subnet or self.zone


@click.command(
    "forecast", help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--cluster", default="", help="The EKS cluster that the watch stack watches.")
@click.option("--csv", "files", multiple=True, metavar="FILE", help="A file with the history; - is standard input.")
@click.option("--prometheus", metavar="URL", default="", help="A Prometheus server with the history.")
@click.option("--query", default="", metavar="PROMQL", help="What to ask it; by default, of aws-subnet-exporter.")
@click.option("--facts", type=click.Path(path_type=Path), help="A snapshot: tells what each way out buys.")
@click.option("--region", default="", help="The cluster's Region, where the profile names another.")
@click.option("--profile", default="", help="Profile of the AWS credentials.")
@click.option("--endpoint-url", default="", help="Another endpoint for AWS, such as that of a rehearsal.")
@click.option("--namespace", default=NAMESPACE, show_default=True, help="CloudWatch namespace.")
@click.option("--days", default=str(HISTORY_DAYS), show_default=True, help="How far back to read.")
@click.option("--usable", multiple=True, metavar="SUBNET=N", help="Usable addresses of a subnet of a file: its most.")
@click.option("--finding-within", metavar="DAYS", default=WARNING_DAYS, show_default=True, help="Empty sooner: 1.")
@click.option("--no-chart", is_flag=True, help="No drawing, on a terminal too.")
@takes_cloud
@answers
def forecast(  # noqa: PLR0913 - one argument for each option
    *,
    cluster: str,
    files: tuple[str, ...],
    prometheus: str,
    query: str,
    facts: Path | None,
    region: str,
    profile: str,
    endpoint_url: str,
    namespace: str,
    days: str,
    usable: tuple[str, ...],
    finding_within: str,
    no_chart: bool,
    cloud: str,
    subscription: str,
    resource_group: str,
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    if cluster and (cloud == "aks" or subscription or resource_group):
        raise ProblemsError([_of_aks(cluster)], subject="headroom forecast")
    _check_source(reader, {"--cluster": cluster, "--csv": files, "--prometheus": prometheus}, query)
    within = reader.count(finding_within, "--finding-within")
    back = reader.count(days, "--days", least=1, most=455)
    most = usable_of(reader, usable)
    histories = Histories(reader)
    for name in files:
        for where, row in rows_of(reader, name):
            histories.add(where, row)
    reader.done("headroom forecast")
    snapshot = _facts(facts)
    if files:
        places = _of_file(histories, most)
    elif prometheus:
        places = _of_prometheus(reader, prometheus, query, days=back, most=most)
    else:
        published = _published(cluster, region, profile, endpoint_url, namespace=namespace, days=back)
        places = _of_cloudwatch(published)
        if not places:
            raise ProblemsError([_nothing(cluster, namespace)], subject="headroom forecast")
    if not files:
        reader.warnings += _stale(places, datetime.now(UTC).timestamp())
    places = places if snapshot is None else _completed(reader, places, snapshot)
    found = {(place.zone, place.subnet): _forecasts(place) for place in places}
    # `--json` is the decorator's, and only JSON may be printed then.
    if sys.stdout.isatty() and not no_chart and not click.get_current_context().params["as_json"]:
        _draw(places, found)
    options = () if snapshot is None else _options(snapshot, places, found)
    return _answer(reader, places, found, within, options)


def _check_source(reader: Reader, sources: Mapping[str, object], query: str) -> None:
    """Notes where not exactly one source is named."""
    given = [name for name, value in sources.items() if value]
    if len(given) != 1:
        reader.problem(
            "history-source",
            " and ".join(given) if given else "neither --cluster nor --csv nor --prometheus",
            "say where the history is." if given else "says where the history is.",
            "Give one: --cluster reads what the watch stack published, --csv a file, --prometheus a server.",
        )
    if query and not sources["--prometheus"]:
        reader.problem("query", "--query", "is for Prometheus.", "Name the server: --prometheus URL.")


def _stale(places: Iterable[Place], now: float) -> list[Problem]:
    """What ended some time ago: a subnet that is gone, a publisher that is silent, values that are late."""
    ended = {
        f"{place.name} {unit_of(name)}": (now - max(reading.time for reading in history)) / HOUR_SECONDS
        for place in places
        for name, history in place.readings.items()
        if history
    }
    return [
        Problem(
            rule="stale-history",
            value=name,
            reason=f"has no value since {hours:,.0f} hours: the forecast begins there, and not now.",
            next_step="See whether the subnet is gone, or whoever publishes is silent.",
        )
        for name, hours in sorted(ended.items())
        if hours > STALE_HOURS
    ]


def _forecasts(place: Place) -> dict[str, Forecast]:
    """Of each of its figures."""
    return {
        name: forecast_of(history, most=place.usable if name == "freeAddresses" else None)
        for name, history in sorted(place.readings.items())
    }


def file_forecasts(path: Path, snapshot: "Snapshot") -> list[tuple[Place, dict[str, Forecast]]]:
    """The zones and subnets of a file with a history, and the forecasts of their figures.

    Raises:
        ProblemsError: The file cannot be read, or has rows that cannot be used.
    """
    reader = Reader()
    histories = Histories(reader)
    for where, row in rows_of(reader, str(path)):
        histories.add(where, row)
    reader.done("history")
    return [(place, _forecasts(place)) for place in _completed(reader, _of_file(histories, {}), snapshot)]


def _facts(path: Path | None) -> "Snapshot | None":
    if path is None:
        return None
    from headroom.cli.facts import FactsFrom, read_facts  # noqa: PLC0415 - only where there are facts

    return read_facts(FactsFrom(file=path))


def _completed(reader: Reader, places: Sequence[Place], snapshot: "Snapshot") -> list[Place]:
    """With the zone and the size of each subnet, as the facts have them."""
    from headroom.facts.aws import Aws  # noqa: PLC0415 - only where there are facts
    from headroom.facts.values import items, known_or  # noqa: PLC0415 - the same

    known = {subnet.subnet_id: subnet for subnet in items(known_or(snapshot.aws, Aws()).subnets)}
    subnets = []
    for place in places:
        if not place.subnet:
            continue
        subnet = known.get(place.subnet)
        if subnet is not None:
            place.zone = place.zone or known_or(subnet.zone, "")
            block = known_or(subnet.cidr_block, "")
            place.usable = place.usable or (usable_addresses(Block.parse(block)) if block else None)
        subnets.append(place)
    strange = [place.subnet for place in subnets if place.subnet not in known]
    if strange:
        reader.warnings.append(
            Problem(
                rule="not-in-facts",
                value=first_and_more(strange, SHOWN_ITEMS),
                reason="has a history and is not in the snapshot: of another cluster, or made or deleted since.",
                next_step="What the ways out buy is said of the snapshot's zones.",
            )
        )
    zones = [place for place in places if not place.subnet]
    for zone in zones:
        known_sizes = [place.usable for place in subnets if place.zone == zone.zone]
        if zone.usable is None and known_sizes and None not in known_sizes:
            zone.usable = sum(size for size in known_sizes if size is not None)
    told = {place.zone for place in zones}
    return _with_zones(subnets, [*zones, *(each for each in _zones(subnets) if each.zone not in told)])


def _options(
    snapshot: "Snapshot", places: Sequence[Place], found: Mapping[tuple[str, str], Mapping[str, Forecast]]
) -> "Sequence[Option]":
    """What each way out gives each zone, and how long that lasts."""
    from headroom.planning.outlook import outlook  # noqa: PLC0415 - only where there are facts
    from headroom.planning.situation import read_situation  # noqa: PLC0415 - the same

    growth = {
        place.zone: -each.per_day
        for place in places
        if not place.subnet and (each := found[place.zone, ""].get("freeAddresses")) is not None
    }
    return outlook(read_situation(snapshot), growth)


def _of_prometheus(reader: Reader, url: str, query: str, *, days: int, most: Mapping[str, int]) -> list[Place]:
    """What a range query gives, and the zones of subnets that have one."""
    from headroom.collect.prometheus import DEFAULT_QUERY, read_range  # noqa: PLC0415 - a file does without

    asked = query or DEFAULT_QUERY
    click.echo(f"Reading {days} days from Prometheus: {asked}", err=True)
    answer = read_range(url, asked, days=days, now=datetime.now(UTC), environment=os.environ)
    reader.warnings += [
        Problem(rule="prometheus", value="--prometheus", reason=text, next_step="The forecast rests on what is left.")
        for text in answer.warnings
    ]
    places = [
        Place(
            zone=each.zone,
            subnet=each.subnet,
            readings={"freeAddresses": each.readings},
            usable=most.get(each.subnet, each.usable),
        )
        for each in answer.series
    ]
    zones, subnets = [each for each in places if not each.subnet], [each for each in places if each.subnet]
    return _with_zones(subnets, zones or _zones(subnets))


def _with_zones(subnets: Iterable[Place], zones: Iterable[Place]) -> list[Place]:
    """Zones first, then subnets."""
    return [
        *sorted(zones, key=lambda place: place.zone),
        *sorted(subnets, key=lambda place: (place.zone, place.subnet)),
    ]


def _of_file(histories: Histories, most: Mapping[str, int]) -> list[Place]:
    """The subnets of a file, and the zones of those that have one."""
    places = [
        Place(
            zone=histories.zones.get(subnet, ""),
            subnet=subnet,
            readings=dict(histories.readings[subnet]),
            usable=most.get(subnet),
        )
        for subnet in sorted(histories.readings)
    ]
    return [*_zones(places), *places]


def _zones(places: Iterable[Place]) -> list[Place]:
    """The zones of subnets, as far as the subnets say which."""
    by_zone: defaultdict[str, list[Place]] = defaultdict(list)
    for place in places:
        if place.zone:
            by_zone[place.zone].append(place)
    return [_sum(zone, subnets) for zone, subnets in sorted(by_zone.items())]


def _sum(zone: str, subnets: Sequence[Place]) -> Place:
    """A zone: at every time for which each of its subnets has a value, their sum."""
    readings: dict[str, list[Reading]] = {}
    for name in CSV_NAMES.values():
        series = [{each.time: each.value for each in subnet.readings.get(name, ())} for subnet in subnets]
        times = set(series[0]).intersection(*series[1:])
        if times:
            readings[name] = [Reading(time, sum(values[time] for values in series)) for time in sorted(times)]
    known = [subnet.usable for subnet in subnets if subnet.usable is not None]
    return Place(zone=zone, subnet="", readings=readings, usable=sum(known) if len(known) == len(subnets) else None)


def _published(  # noqa: PLR0913 - how AWS is reached, and what is read
    cluster: str, region: str, profile: str, endpoint_url: str, *, namespace: str, days: int
) -> "list[History]":
    click.echo(f"Reading {days} days of {cluster} from CloudWatch, namespace {namespace}", err=True)
    # Imported here: the SDK takes half a second, and a file does without.
    from headroom.collect.failures import EXPECTED, unknown_of  # noqa: PLC0415
    from headroom.collect.published import read_published  # noqa: PLC0415
    from headroom.collect.session import aws_clients  # noqa: PLC0415

    try:
        clients = aws_clients(region=region, profile=profile, endpoint_url=endpoint_url)
    except ProblemsError as error:
        # Who forgot --cloud has no Region either.
        told = [replace(each, next_step=f"{each.next_step} {_instead_on_aks(cluster)}") for each in error.problems]
        raise ProblemsError(told, subject="headroom forecast") from None
    try:
        return read_published(
            clients("cloudwatch"), cluster, namespace=namespace, days=days, now=datetime.now(UTC) + timedelta(hours=1)
        )
    except EXPECTED as error:
        raise ProblemsError([_unread(cluster, str(unknown_of(error)))], subject="headroom forecast") from error
    finally:
        clients.close()


def _of_cloudwatch(histories: "Iterable[History]") -> list[Place]:
    """Zones first, then subnets."""
    places: dict[tuple[str, str], Place] = {}
    percents: dict[tuple[str, str], dict[float, float]] = {}
    drivers: defaultdict[tuple[str, str], dict[Metric, list[Reading]]] = defaultdict(dict)
    for each in histories:
        key = (each.zone, each.subnet)
        if each.metric in DRIVERS:
            drivers[key][each.metric] = list(each.readings)
        elif each.metric is Metric.FREE_PERCENT:
            percents[key] = {reading.time: reading.value for reading in each.readings}
        elif each.readings:
            place = places.setdefault(key, Place(zone=each.zone, subnet=each.subnet))
            place.readings[CSV_NAMES[each.metric]] = list(each.readings)
    for key, place in places.items():
        place.usable = _usable(place.readings.get("freeAddresses", ()), percents.get(key, {}))
        place.drivers = drivers[key]
    return sorted(places.values(), key=lambda place: (bool(place.subnet), place.zone, place.subnet))


def _usable(free: Sequence[Reading], percents: Mapping[float, float]) -> int | None:
    """What a subnet can hold: what is free, by its share; from the hour in which most is free, least is rounded."""
    known = [(each.value, percents[each.time]) for each in free if percents.get(each.time, 0) > 0 and each.value > 0]
    return round(max(known)[0] * 100 / max(known)[1]) if known else None


def _answer(
    reader: Reader,
    places: Sequence[Place],
    found: Mapping[tuple[str, str], Mapping[str, Forecast]],
    within: int,
    options: "Sequence[Option]" = (),
) -> Answer:
    every = [
        (place, name, found[place.zone, place.subnet][name], place.readings[name])
        for place in places
        for name in found[place.zone, place.subnet]
    ]
    problems = [
        Problem(
            rule="runs-dry",
            value=place.name,
            reason=f"has no {unit_of(name)} left in {days_text(each.days_until_empty)}, on {_date(each, history)} "
            f"({span_text(each)}).",
            next_step="Plan a further subnet now.",
        )
        for place, name, each, history in every
        if each.days_until_empty is not None and each.days_until_empty <= within
    ]
    reader.warnings += [
        Problem(
            rule="broken-history",
            value=f"{place.name} {unit_of(name)}",
            reason=f"has no value in {missing:.0%} of the hours that its history spans.",
            next_step="The range allows for it; see whether the publisher was silent.",
        )
        for place, name, _, history in every
        if (missing := _missing(history)) > GAP
    ]
    taken = {(place.zone, place.subnet): _drivers(place, places, found) for place in places}
    level = {
        place.zone
        for place, name, each, _ in every
        if not place.subnet and name == "freeAddresses" and each.trend in {"none", "rising"}
    }
    unknown = [place.name for place, _, each, _ in every if each.trend == "unknown"]
    code = FINDING if problems else UNDECIDED if unknown or not every else 0
    return Answer(
        data={
            "zones": [
                _place_data(place, taken[place.zone, place.subnet], found) for place in places if not place.subnet
            ],
            "subnets": [_place_data(place, taken[place.zone, place.subnet], found) for place in places if place.subnet],
            "options": [_option_data(option) for option in options],
            "warnings": [warning.message for warning in reader.warnings],
        },
        tables=[
            Table(
                _COLUMNS,
                [_row(place, name, each, history) for place, name, each, history in every],
            ),
            Table(
                ("where", *(f"a further /{length}" for length in FURTHER_SUBNETS)),
                [
                    (place.name, *(days_text(days) for days in _bought(each)))
                    for place, name, each, _ in every
                    if name == "freeAddresses" and each.trend == "falling"
                ],
                title="how much longer it lasts with",
            ),
            Table(
                ("where", "what", "a day"),
                [row for place in places for row in _driver_rows(place, taken[place.zone, place.subnet], found)],
                title="what takes it",
            ),
            Table(
                ("way out", "addresses", "last", "why not"),
                [row for option in options for row in _option_rows(option, level)],
                title="what each way out buys at today's growth",
            ),
        ],
        problems=problems,
        warnings=reader.warnings,
        terms=[
            *(Term(f"{place.name} {unit_of(name)}", each.reason) for place, name, each, _ in every),
            *(Term(option.name, option.reason) for option in options if option.addresses and option.reason),
            Term("a further subnet", "its usable addresses by the addresses that go in a day"),
        ],
        next_step="headroom calc subnet --help    how large a further subnet has to be" if problems else "",
        exit_code=code,
    )


def _row(place: Place, name: str, each: Forecast, history: Sequence[Reading]) -> tuple[str, ...]:
    months = each.six_months
    total = f" of {place.usable:,}" if place.usable is not None and name == "freeAddresses" else ""
    return (
        place.name if name == "freeAddresses" else f"{place.name} {unit_of(name)}",
        "unknown" if each.now is None else f"{each.now:,.0f}{total}",
        {"unknown": "unknown", "none": "no trend"}.get(each.trend, f"{each.per_day:+,.1f}"),
        "unknown" if each.trend == "unknown" else days_text(each.days_until_empty),
        span_text(each),
        _date(each, history),
        "unknown" if months is None else f"{months.expected:,.0f} ({months.low:,.0f} to {months.high:,.0f})",
    )


def _drivers(
    place: Place, places: Sequence[Place], found: Mapping[tuple[str, str], Mapping[str, Forecast]]
) -> dict[str, float]:
    """What takes the addresses of a place that falls, in addresses a day; what somebody gives back is negative.

    A zone's growth is that of its subnets, a subnet's that of what holds its addresses.
    """
    addresses = found[place.zone, place.subnet].get("freeAddresses")
    if addresses is None or addresses.trend != "falling":
        return {}
    if not place.subnet:
        parts = {
            each.subnet: -found[each.zone, each.subnet]["freeAddresses"].per_day
            for each in places
            if each.subnet and each.zone == place.zone and "freeAddresses" in found[each.zone, each.subnet]
        }
    else:
        parts = {
            DRIVERS[metric]: forecast_of(history).per_day
            for metric, history in place.drivers.items()
            if len(history) > 1
        }
    if not parts:
        return {}
    rest = -addresses.per_day - sum(parts.values())
    return {name: rate for name, rate in {**parts, "the rest": rest}.items() if abs(rate) >= LEAST_RATE}


def _driver_rows(
    place: Place, taken: Mapping[str, float], found: Mapping[tuple[str, str], Mapping[str, Forecast]]
) -> list[tuple[str, str, str]]:
    """What takes the addresses, most first; and each lasting step that is no trend."""
    rates = sorted(taken.items(), key=lambda pair: -pair[1])
    rows = [(place.name, name, f"{rate:+,.1f}") for name, rate in rates]
    addresses = found[place.zone, place.subnet].get("freeAddresses")
    if place.subnet and addresses is not None:
        rows += [(place.name, f"once, on {_day(step.time)}", f"{-step.change:+,.0f}") for step in addresses.steps]
    return rows


def _option_rows(option: "Option", level: Collection[str]) -> list[tuple[str, str, str, str]]:
    """One row a zone.

    Args:
        option: The way out.
        level: Zones that are known not to grow.
    """
    if not option.addresses:
        return [(option.name, "nothing", "-", option.reason)]
    return [
        (
            option.name,
            f"{count:,} in {zone}",
            f"{option.days[zone]:,} days"
            if zone in option.days
            else "no growth seen"
            if zone in level
            else "unknown: no history",
            "",
        )
        for zone, count in sorted(option.addresses.items())
    ]


def _option_data(option: "Option") -> dict[str, Any]:
    return {
        "name": option.name,
        "title": option.title,
        "addresses": dict(option.addresses),
        "days": dict(option.days),
        "reason": option.reason,
    }


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).date().isoformat()


def _place_data(
    place: Place, taken: Mapping[str, float], found: Mapping[tuple[str, str], Mapping[str, Forecast]]
) -> dict[str, Any]:
    figures = found[place.zone, place.subnet]
    addresses = figures.get("freeAddresses")
    falling = addresses is not None and addresses.trend == "falling"
    return {
        "zone": place.zone or None,
        **({"subnet": place.subnet} if place.subnet else {}),
        "usable": place.usable,
        "addresses": forecast_data(addresses),
        "free28": forecast_data(figures.get("free28")),
        "emptyOn": None if addresses is None else _date(addresses, place.readings["freeAddresses"], none=""),
        "takenPerDay": {name: whole(round(rate, 1)) for name, rate in taken.items()},
        "furtherSubnetDays": {
            f"/{length}": whole(round(days, 1))
            for length, days in zip(FURTHER_SUBNETS, _bought(addresses), strict=True)
        }
        if addresses is not None and falling
        else None,
    }


def _bought(each: Forecast) -> list[float]:
    """Days that further subnets last, at the rate of now."""
    return [usable_addresses(Block(0, length)) / -each.per_day for length in FURTHER_SUBNETS]


def _date(each: Forecast, history: Sequence[Reading], *, none: str = "-") -> str:
    """The day on which nothing is left."""
    if each.days_until_empty is None:
        return none
    return _day(max(reading.time for reading in history) + each.days_until_empty * DAY_SECONDS)


def _missing(history: Sequence[Reading]) -> float:
    """The share of the hours without a value, as the usual distance of its values has them."""
    times = sorted({reading.time for reading in history})
    if len(times) < 3:  # noqa: PLR2004 - two values have no usual distance
        return 0.0
    apart = sorted(after - before for before, after in pairwise(times))
    usual = apart[len(apart) // 2]
    expected = (times[-1] - times[0]) / usual + 1
    return max(0.0, 1 - len(times) / expected)


def _draw(places: Sequence[Place], found: Mapping[tuple[str, str], Mapping[str, Forecast]]) -> None:
    """A chart of every zone; of every subnet where no zone is known."""
    from headroom.report.chart import chart  # noqa: PLC0415 - on a terminal only

    zones = [place for place in places if not place.subnet] or places
    for place in zones:
        for name, each in found[place.zone, place.subnet].items():
            lines = chart(place.readings[name], each)
            if lines:
                click.echo(f"{place.name}: free {unit_of(name)}")
                click.echo("\n".join(lines) + "\n")


def _nothing(cluster: str, namespace: str) -> Problem:
    return Problem(
        rule="nothing-published",
        key="--cluster",
        value=cluster,
        reason=f"has no free addresses in CloudWatch's namespace {namespace}.",
        next_step="Apply the watch stack (stacks/Pulumi.example-watch.yaml), or look at --region and --namespace. "
        f"{_instead_on_aks(cluster)}",
    )


def _of_aks(cluster: str) -> Problem:
    return Problem(
        rule="of-another-cloud",
        key="--cluster",
        value=cluster,
        reason="is a cluster of AKS, and the history that --cluster reads is published for EKS alone.",
        next_step=_instead_on_aks(cluster),
    )


def _instead_on_aks(cluster: str) -> str:
    """What a forecast is of in an AKS cluster: ranges and quotas, which the pools' largest size uses up, not time."""
    return (
        f"For a cluster of AKS, `headroom plan --ahead --cloud aks --cluster {quote(cluster)}` holds ranges to the "
        "pools at their largest; a history of your own goes with --csv FILE, or --prometheus URL and --query."
    )


def _unread(cluster: str, why: str) -> Problem:
    return Problem(
        rule="not-read",
        key="--cluster",
        value=cluster,
        reason=f"has a history that could not be read: {why}.",
        next_step="The caller needs cloudwatch:ListMetrics and cloudwatch:GetMetricData.",
    )
