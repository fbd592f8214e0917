"""`headroom calc fleet`."""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from headroom.addresses.problems import Problem
from headroom.capacity.fleet import (
    DEFAULT_BURST_SECONDS,
    DEFAULT_CHURN,
    DEFAULT_SURGE,
    EQUAL_SHARE,
    FleetPlan,
    FleetSubnet,
    Nodes,
    TargetAdvice,
    TargetChoice,
    UsualNode,
    ZoneNeeds,
    best_warm_targets,
    plan_fleet,
)
from headroom.cli.calc.answer import FINDING, Answer, Table, Term, answers, counted, missing, whole
from headroom.cli.calc.reading import Reader

FORM: Final = "ZONE:TYPE:COUNT:PODS[:PEAK]"

HELP = """
\b
headroom calc fleet --nodes us-east-1a:m5.8xlarge:10:100
headroom calc fleet --file nodes.json --subnet us-east-1a:10.68.204.0/22 --surge 2

What all nodes take from each zone and subnet, in the worst case (each once ran its PEAK) and during a rolling
upgrade, and the single setting of warm targets that suits them all. TYPE may be ENIS,IPV4. The file is a JSON list of
objects with zone, instanceType or limits, pods, and count, peakPods, maxPods, subnet where known.

Exit code 1 if a zone's subnets do not suffice, or pods get no address.
"""

_KEYS: Final = frozenset({"zone", "instanceType", "limits", "pods", "count", "peakPods", "maxPods", "subnet"})


@click.command(help=HELP)
@click.option("--nodes", "rows", multiple=True, metavar="NODES", help=f"{FORM}.")
@click.option("--file", "file", metavar="FILE", help="The nodes as JSON; - for standard input.")
@click.option("--subnet", "subnets", multiple=True, metavar="ZONE:CIDR", help="A subnet of nodes.")
@click.option("--pod-subnet", "pod_subnets", multiple=True, metavar="ZONE:CIDR", help="One for pods only.")
@click.option(
    "--surge", metavar="S", default=str(DEFAULT_SURGE), show_default=True, help="Nodes an upgrade adds in a zone."
)
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting of aws-node.")
@click.option("--burst", metavar="B", help="Pods that arrive at once on a node (as many as it runs).")
@click.option(
    "--burst-seconds",
    metavar="S",
    default=str(DEFAULT_BURST_SECONDS),
    show_default=True,
    help="How long they may wait.",
)
@click.option(
    "--churn",
    metavar="C",
    default=f"{DEFAULT_CHURN:g}",
    show_default=True,
    help="Pods that start, and end, on a node a minute.",
)
@answers
def command(  # noqa: PLR0913 - the options
    *,
    rows: tuple[str, ...],
    file: str | None,
    subnets: tuple[str, ...],
    pod_subnets: tuple[str, ...],
    surge: str,
    pairs: tuple[str, ...],
    burst: str | None,
    burst_seconds: str,
    churn: str,
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    if not rows and file is None:
        reader.missing("--nodes", f"Write the nodes as {FORM}, or give --file.")
    nodes = [found for text in rows if (found := _row(reader, text)) is not None]
    if file is not None:
        nodes += _from_file(reader, file)
    nitro = all(each.limits.supports_prefixes for each in nodes)
    settings, environment = reader.settings(pairs, nitro=nitro)
    spaces = [
        space
        for texts, option, for_pods in ((subnets, "--subnet", False), (pod_subnets, "--pod-subnet", True))
        for text in texts
        if (space := _subnet(reader, text, option, for_pods=for_pods)) is not None
    ]
    _check_subnets(reader, nodes, spaces)
    surge_nodes = reader.count(surge, "--surge")
    burst_pods = None if burst is None else reader.count(burst, "--burst")
    seconds = reader.count(burst_seconds, "--burst-seconds")
    per_minute = reader.percent(churn, "--churn")
    if per_minute > 60:  # noqa: PLR2004 - a pod a second
        reader.problem("churn", churn, "is more than a pod a second.", "Write at most 60.", "--churn")
    reader.done("calc fleet")
    nodes = [
        each if each.max_pods is not None else replace(each, max_pods=reader.assumed_max_pods(each.limits, settings))
        for each in nodes
    ]
    plan = plan_fleet(nodes, settings, surge=surge_nodes, subnets=spaces)
    advice = best_warm_targets(nodes, settings, burst_pods=burst_pods, burst_seconds=seconds, churn=float(per_minute))
    problems = list(_problems(plan))
    return Answer(
        data=_data(plan, environment, advice),
        facts=_facts(plan, advice),
        tables=_tables(plan, advice),
        problems=problems,
        warnings=list(dict.fromkeys(reader.warnings)),
        terms=_terms(plan, advice, surge_nodes, seconds),
        next_step="headroom calc subnet --help    how large a further subnet has to be" if problems else "",
        exit_code=FINDING if problems else 0,
    )


def _row(reader: Reader, text: str) -> Nodes | None:
    parts = text.split(":")
    if not 4 <= len(parts) <= 5 or not parts[0]:  # noqa: PLR2004 - the parts of the form
        reader.problem("nodes-form", text or "nothing", f"is not of the form {FORM}.", f"Write {FORM}.", "--nodes")
        return None
    return _nodes(
        reader,
        f"--nodes {text}",
        zone=parts[0],
        kind=parts[1],
        count=parts[2],
        pods=parts[3],
        peak=parts[4] if len(parts) > 4 else None,  # noqa: PLR2004 - the parts of the form
    )


def _nodes(  # noqa: PLR0913 - the parts of a row
    reader: Reader,
    key: str,
    *,
    zone: str,
    kind: str,
    count: str,
    pods: str,
    peak: str | None = None,
    max_pods: str | None = None,
    subnet: str = "",
) -> Nodes | None:
    before = len(reader.problems)
    if not zone.isprintable() or not subnet.isprintable():
        reader.problem(
            "name", zone + subnet, "has characters that cannot be shown.", "Write plain text.", "zone, subnet"
        )
    limits = reader.limits_as_numbers(kind, key) if "," in kind else reader.limits(kind, None)
    numbers = {
        "count": reader.count(count, key),
        "pods": reader.count(pods, key),
        "peak": None if peak is None else reader.count(peak, key),
        "max": None if max_pods is None else reader.count(max_pods, key),
    }
    if limits is None or len(reader.problems) > before:
        return None
    return Nodes(
        limits=limits,
        zone=zone,
        subnet=subnet,
        count=numbers["count"] or 0,
        pods=numbers["pods"] or 0,
        peak_pods=numbers["peak"],
        max_pods=numbers["max"],
    )


def _from_file(reader: Reader, name: str) -> list[Nodes]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        rows = json.loads(text)
    except OSError as error:
        step = "Name a file with the nodes."
        reader.problem("file", name, f"cannot be read: {error.strerror or error}.", step, "--file")
        return []
    except (ValueError, RecursionError) as error:
        reader.problem("json", name, f"is not JSON: {error}.", "Write a list of objects.", "--file")
        return []
    if not isinstance(rows, list):
        reader.problem(
            "json", name, "is not a list of objects.", "Write one object for nodes that are alike.", "--file"
        )
        return []
    found = (_from_object(reader, f"{name}[{index}]", row) for index, row in enumerate(rows))
    return [nodes for nodes in found if nodes is not None]


def _from_object(reader: Reader, key: str, row: object) -> Nodes | None:
    if not isinstance(row, dict):
        reader.problem("json", row, "is no object.", "Write an object with zone, instanceType and pods.", key)
        return None
    before = len(reader.problems)
    for name in row:
        if name not in _KEYS:
            reader.one_of(str(name), sorted(_KEYS), key)
    limits = row.get("limits")
    kind = ",".join(map(str, limits)) if isinstance(limits, list) else limits or row.get("instanceType")
    zone = _text(reader, key, "zone", row.get("zone"))
    kind_text = _text(reader, key, "instanceType", kind)
    subnet = _text(reader, key, "subnet", row.get("subnet", "")) if row.get("subnet") else ""
    numbers = {
        name: _whole_number(reader, key, name, row.get(name)) for name in ("pods", "count", "peakPods", "maxPods")
    }
    if row.get("pods") is None:
        reader.problem("json", "nothing", "is no number of pods.", "Write pods: how many each of the nodes runs.", key)
    if len(reader.problems) > before:
        return None
    return _nodes(
        reader,
        key,
        zone=zone,
        kind=kind_text,
        count=numbers["count"] or "1",
        pods=numbers["pods"] or "0",
        peak=numbers["peakPods"],
        max_pods=numbers["maxPods"],
        subnet=subnet,
    )


def _text(reader: Reader, key: str, name: str, value: object) -> str:
    if isinstance(value, str) and value:
        return value
    reader.problem("json", "nothing" if value is None else value, f"is no {name}.", f"Write {name} as text.", key)
    return ""


def _whole_number(reader: Reader, key: str, name: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        reader.problem("json", value, f"is no number of {name}.", "Write a whole number.", key)
    return str(value)


def _subnet(reader: Reader, text: str, option: str, *, for_pods: bool) -> FleetSubnet | None:
    pair = reader.pair(text, option, ":", "ZONE:CIDR")
    block = None if pair is None else reader.block(pair[1], f"{option} {pair[0]}")
    if pair is None or block is None:
        return None
    if not 16 <= block.prefix_length <= 28:  # noqa: PLR2004 - the sizes of an AWS subnet
        reader.problem(
            "subnet-size", str(block), "cannot be an AWS subnet, which is a /16 to a /28.", "Write its CIDR.", option
        )
        return None
    return FleetSubnet.of(block, pair[0], for_pods=for_pods)


def _check_subnets(reader: Reader, nodes: Sequence[Nodes], spaces: Sequence[FleetSubnet]) -> None:
    ids = [space.id for space in spaces]
    for name in dict.fromkeys(ids):
        if ids.count(name) > 1:
            reader.problem("subnet-twice", name, "is given more than once.", "Give each subnet once.", "--subnet")
    zones = {each.zone for each in nodes}
    for space in spaces:
        if zones and space.zone not in zones:
            reader.one_of(space.zone, sorted(zones), "--subnet")


def _problems(plan: FleetPlan) -> Iterator[Problem]:
    for zone in plan.short:
        for subnet in zone.subnets:
            if not subnet.short_by:
                continue
            upgrade = subnet.with_upgrade - subnet.addresses
            yield Problem(
                rule="subnet-short",
                value=f"{zone.zone}: {subnet.subnet}",
                reason=f"has {subnet.usable:,} addresses, and its nodes need {subnet.with_upgrade:,} of it, "
                f"{upgrade:,} of them for a rolling upgrade: {missing(subnet.short_by)}.",
                next_step="Add a pod subnet, or lower the warm targets.",
                source="EKS user guide, managed-node-update-behavior",
            )
        if zone.short_of_28s:
            yield Problem(
                rule="zone-short-of-28s",
                value=zone.zone,
                reason=f"has at most {zone.usable28:,} whole /28s and needs {zone.free28:,}.",
                next_step="Add a pod subnet.",
                source="EC2 user guide, ec2-prefix-eni",
            )
    if plan.waiting:
        yield Problem(
            rule="pods-without-address",
            value=counted(plan.waiting, "pod"),
            reason=f"of {plan.pods:,} can have no address on their nodes.",
            next_step="headroom calc node shows what limits each kind.",
        )


def _data(plan: FleetPlan, environment: Mapping[str, str], advice: TargetAdvice | None) -> dict[str, Any]:
    return {
        "nodes": plan.nodes,
        "pods": plan.pods,
        "addresses": plan.addresses,
        "assigned": plan.assigned,
        "idle": plan.idle,
        "worstCase": plan.worst,
        "waitingPods": plan.waiting,
        "settles": plan.settles,
        "settings": dict(sorted(environment.items())),
        "zones": [_zone_data(zone) for zone in plan.zones],
        "best": None if advice is None else _advice_data(advice),
    }


def _zone_data(zone: ZoneNeeds) -> dict[str, Any]:
    return {
        "zone": zone.zone,
        "nodes": zone.nodes,
        "pods": zone.pods,
        "enis": zone.enis,
        "prefixes": zone.prefixes,
        "addresses": zone.addresses,
        "assigned": zone.assigned,
        "idle": zone.idle,
        "worstCase": zone.worst,
        "surgeNodes": zone.surge_nodes,
        "surgeAddresses": zone.surge_addresses,
        "withUpgrade": zone.with_upgrade,
        "free28Needed": zone.free28,
        "usable": zone.usable,
        "shortBy": zone.short_by,
        "subnets": [
            {
                "subnet": subnet.subnet,
                "addresses": subnet.addresses,
                "withUpgrade": subnet.with_upgrade,
                "worstCase": subnet.worst,
                "usable": subnet.usable,
            }
            for subnet in zone.subnets
        ],
    }


def _advice_data(advice: TargetAdvice) -> dict[str, Any]:
    best, now = advice.best, advice.now
    return {
        "settings": dict(best.environment),
        "addresses": best.addresses,
        "worstCase": best.worst,
        "saves": advice.saves,
        "ec2CallsPerHour": _figure(best.calls_per_hour),
        "ec2CallsPerHourNow": _figure(now.calls_per_hour),
        "burstPods": advice.slowest.burst_pods,
        "burstSeconds": _figure(best.burst_seconds),
        "burstSecondsNow": _figure(now.burst_seconds),
        "newNodeSeconds": _figure(best.new_node_seconds),
        "newNodeSecondsNow": _figure(now.new_node_seconds),
        "slowest": _kind(advice.slowest),
        "kinds": [
            {
                "instanceType": _kind(kind),
                "nodes": kind.nodes,
                "pods": kind.pods,
                "maxPods": kind.max_pods,
                "burstPods": kind.burst_pods,
                "burstSeconds": _figure(seconds),
                "burstSecondsNow": _figure(seconds_now),
            }
            for kind, seconds, seconds_now in zip(advice.kinds, best.bursts, now.bursts, strict=True)
        ],
    }


def _kind(node: UsualNode) -> str:
    return node.limits.instance_type or f"{node.limits.enis},{node.limits.ipv4_per_eni}"


def _figure(value: float) -> int | float | None:
    return None if math.isinf(value) else whole(value)


def _facts(plan: FleetPlan, advice: TargetAdvice | None) -> list[tuple[str, str]]:
    facts = [
        ("nodes", f"{plan.nodes:,}"),
        ("pods", f"{plan.pods:,}"),
        ("addresses", f"{plan.addresses:,}, {plan.assigned:,} of them with pods, {plan.idle:,} idle"),
        ("worst case", f"{plan.worst:,}, once every node has had its peak"),
    ]
    if not plan.settles:
        facts.append(("settles", "no: interfaces come and go for ever on some nodes"))
    if advice is not None:
        facts.append(("best setting", _best_text(advice)))
    return facts


def _best_text(advice: TargetAdvice) -> str:
    if advice.best == advice.now:
        return f"{_names(advice.now)}, as it is"
    return f"{_names(advice.best)}: {advice.best.addresses:,} addresses, {advice.saves:,} fewer"


def _names(choice: TargetChoice) -> str:
    return " ".join(f"{name}={value}" for name, value in choice.environment)


def _tables(plan: FleetPlan, advice: TargetAdvice | None) -> list[Table]:
    tables = [
        Table(
            ("zone", "nodes", "pods", "addresses", "idle", "worst", "surge", "with upgrade", "free /28s", "usable"),
            [
                (
                    zone.zone,
                    zone.nodes,
                    zone.pods,
                    zone.addresses,
                    zone.idle,
                    zone.worst,
                    zone.surge_addresses,
                    zone.with_upgrade,
                    zone.free28,
                    "not given" if zone.usable is None else zone.usable,
                )
                for zone in plan.zones
            ],
        )
    ]
    subnets = [subnet for zone in plan.zones for subnet in zone.subnets]
    if subnets:
        tables.append(
            Table(
                ("subnet", "zone", "addresses", "with upgrade", "worst", "usable"),
                [
                    (
                        each.subnet,
                        each.zone,
                        each.addresses,
                        each.with_upgrade,
                        each.worst,
                        "not given" if each.usable is None else each.usable,
                    )
                    for each in subnets
                ],
            )
        )
    if advice is not None:
        # The setting as it is, then the thriftiest first.
        choices = dict.fromkeys((advice.now, *advice.considered, advice.best))
        tables.append(
            Table(
                ("setting", "addresses", "worst", "EC2 calls/h", "burst", "new node", ""),
                [
                    (
                        _names(choice),
                        choice.addresses,
                        choice.worst,
                        round(choice.calls_per_hour),
                        _seconds(choice.burst_seconds),
                        _seconds(choice.new_node_seconds),
                        " ".join(
                            word
                            for word, is_it in (("now", choice == advice.now), ("best", choice == advice.best))
                            if is_it
                        ),
                    )
                    for choice in choices
                ],
            )
        )
        bursts = zip(advice.kinds, advice.now.bursts, advice.best.bursts, strict=True)
        tables.append(
            Table(
                ("nodes like", "nodes", "pods", "burst of", "served now in", "with the best in"),
                [
                    (_kind(kind), kind.nodes, kind.pods, kind.burst_pods, _seconds(before), _seconds(after))
                    for kind, before, after in bursts
                ],
            )
        )
    return tables


def _seconds(value: float) -> str:
    return "not served" if math.isinf(value) else f"{value:,g} s"


def _terms(plan: FleetPlan, advice: TargetAdvice | None, surge: int, seconds: int) -> list[Term]:
    pool = "amazon-vpc-cni-k8s v1.23.0, pkg/ipamd/ipamd.go"
    terms = [
        Term("addresses", "what headroom calc node shows, summed over the nodes", pool),
        Term("worst case", "every node at its PEAK (its maxPods where none is given), and nothing comes back", pool),
        Term(
            "surge",
            f"{surge} nodes a zone, each as demanding as the zone's most demanding one, before old ones give back",
            "EKS user guide, managed-node-update-behavior",
        ),
    ]
    if any(zone.free28 for zone in plan.zones):
        terms.append(Term("free /28s", "prefixes of all nodes, and of the surge", "EC2 user guide, ec2-prefix-eni"))
    if advice is not None:
        terms += [
            Term(
                "best setting",
                f"of those that serve a burst within {seconds} s on every kind of node, the thriftiest; among those "
                f"within {EQUAL_SHARE:.0%} of it the ones with few EC2 calls, and then the fastest on "
                f"{_kind(advice.slowest)}, where a burst waits longest",
                "amazon-vpc-cni-k8s README, and #405, #617, #873",
            ),
            Term(
                "EC2 calls, burst, new node",
                "simulated on one node of each kind: as many interfaces and addresses, and the same maxPods; "
                + ", ".join(f"{_kind(kind)} with {counted(kind.pods, 'pod')}" for kind in advice.kinds),
                "amazon-vpc-cni-k8s v1.23.0",
            ),
        ]
    return terms
