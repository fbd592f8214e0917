"""`headroom watch-files`: Prometheus rules and a Grafana dashboard with the thresholds of the capacity model."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from headroom.addresses.blocks import usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.fleet import DEFAULT_SURGE
from headroom.capacity.settings import CniSettings
from headroom.capacity.thresholds import HORIZON_DAYS, PODS_IN, NodeGroup, largest_surge, thresholds
from headroom.cli.facts import FactsFrom, read_facts, read_text
from headroom.facts.snapshot import Snapshot
from headroom.planning.fleet_subnets import held_by_others, subnet_roles
from headroom.planning.records import UNREADABLE
from headroom.planning.situation import Situation, read_situation
from headroom.report.grafana import dashboard
from headroom.report.prometheus import Monitored, MonitoredZone, heading, rule_file

if TYPE_CHECKING:
    from components.subnet_alarms import SubnetAlarmsArgs

LINE: Final = 100_000
"""Longer than any expression: YAML is not to break them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the thresholds rest on, from the stack's file or from the facts.

    Attributes:
        cluster: The cluster's name.
        subnets: Addresses that each subnet that gives pods addresses can hold, by zone and id.
        groups: The node groups.
        settings: aws-node's.
        horizon_days: A zone that lasts less long is a warning.
    """

    cluster: str
    subnets: Mapping[str, Mapping[str, int]]
    groups: Sequence[NodeGroup]
    settings: CniSettings
    horizon_days: int = HORIZON_DAYS


@click.command(name="watch-files")
@click.option(
    "--stack-file", type=click.Path(path_type=Path), help="The watch stack's file: its subnets and node groups."
)
@click.option("--facts", type=click.Path(path_type=Path), help="A snapshot written by `headroom collect`.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("monitoring"),
    show_default=True,
    help="Where to write.",
)
@click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="Chooses the cluster's series among several."
)
def watch_files(stack_file: Path | None, facts: Path | None, folder: Path, labels: tuple[str, ...]) -> None:
    """Write Prometheus rules and a Grafana dashboard, thresholds from the capacity model.

    \b
    headroom watch-files --stack-file stacks/Pulumi.prod-use1-watch.yaml --facts facts.json
    headroom watch-files --facts facts.json --folder monitoring

    For those who scrape ipamd and kube-state-metrics. The stack's file says which subnets and node groups; without one
    they are read out of the facts. The facts also say what load balancers and others hold in those subnets.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    if stack_file is None and facts is None:
        raise _refused("Neither --stack-file nor --facts", "is given.", "Name the watch stack's file, or a snapshot.")
    snapshot = None if facts is None else read_facts(FactsFrom(file=facts))
    watched = _of_stack(stack_file) if stack_file is not None else _of_facts(snapshot)  # type: ignore[arg-type]  # one is there
    monitored = _monitored(watched, snapshot, _labels(labels))
    base = f"headroom-{monitored.cluster}"
    comment = "".join(f"# {line}\n" for line in heading(monitored))
    rules = yaml.safe_dump(rule_file(monitored), sort_keys=False, width=LINE, allow_unicode=True)
    written = {
        f"{base}.rules.yaml": comment + rules,
        f"{base}.dashboard.json": json.dumps(dashboard(monitored), indent=1) + "\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise _refused(str(folder), f"cannot be written to: {error.strerror}.", "Name another --folder.") from None
    for line in heading(monitored):
        click.echo(line)
    for name in written:
        click.echo(f"wrote {folder / name}")
    click.echo(f"Next: promtool check rules {folder / base}.rules.yaml")


def _monitored(watched: Watched, snapshot: Snapshot | None, labels: Mapping[str, str]) -> Monitored:
    if not watched.groups:
        raise _refused(watched.cluster, "has no node.", "Read the facts anew, or name the watch stack's file.")
    surge = largest_surge(watched.groups, watched.settings)
    situation = None if snapshot is None else read_situation(snapshot)
    zones = {}
    for zone, subnets in sorted(watched.subnets.items()):
        usable = sum(subnets.values())
        zones[zone] = MonitoredZone(
            usable=usable, others=_others(situation, snapshot, subnets), thresholds=thresholds(surge, usable)
        )
    return Monitored(
        cluster=watched.cluster,
        zones=zones,
        surge=surge,
        horizon_days=watched.horizon_days,
        custom_networking=watched.settings.custom_networking,
        labels=labels,
    )


def _others(situation: Situation | None, snapshot: Snapshot | None, subnets: Iterable[str]) -> int | None:
    if situation is None or snapshot is None:
        return None
    found = [held_by_others(situation, snapshot, name) for name in subnets]
    return None if None in found else sum(each for each in found if each is not None)


def _of_stack(path: Path) -> Watched:
    """What the watch stack's file says, read as the stack itself reads it."""
    import pulumi  # noqa: PLC0415 - the SDK takes a while to load, and --facts alone needs none

    from stacks.settings import ConfigReader  # noqa: PLC0415 - the same
    from stacks.watch import read_settings  # noqa: PLC0415 - the same

    try:
        document = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, *UNREADABLE) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise _refused(str(path), f"cannot be read as YAML: {why}.", _STACK_FILE) from None
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict) or config.get("headroom:remedy") != "watch":
        raise _refused(str(path), "is no file of a watch stack.", _STACK_FILE)
    pulumi.runtime.set_all_config(
        {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    )
    alarms: SubnetAlarmsArgs = read_settings(ConfigReader()).alarms
    return Watched(
        cluster=alarms.cluster,
        subnets={zone: {name: alarms.usable(name) for name in names} for zone, names in alarms.zones().items()},
        groups=alarms.node_groups,
        settings=alarms.settings,
        horizon_days=alarms.horizon_days,
    )


_STACK_FILE: Final = "Name one like stacks/Pulumi.example-watch.yaml."


def _of_facts(snapshot: Snapshot) -> Watched:
    """The subnets that nodes and pods are seen to take addresses from, and a group of nodes for each type."""
    situation = read_situation(snapshot)
    wanted = ("cluster", "aws.subnets", "kubernetes.nodes", "kubernetes.cniDaemonSet.environment")
    missing = [problem for problem in situation.problems if problem.value in wanted]
    if missing:
        raise ProblemsError(missing, subject="facts")
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, (zone, role) in subnet_roles(situation, snapshot).items():
        if role in PODS_IN:
            found[zone][name] = usable_addresses(situation.subnet_blocks[name])
    return Watched(cluster=situation.cluster, subnets=found, groups=_groups(situation), settings=situation.settings)


def _groups(situation: Situation) -> list[NodeGroup]:
    """One for each instance type, its nodes with as many pods as the fullest of them has."""
    most: dict[str, NodeGroup] = {}
    for zone in situation.zones.values():
        for each in zone.nodes:
            name = each.limits.instance_type
            pods = max(each.pods, (most[name].pods or 0) if name in most else 0)
            most[name] = NodeGroup(name=name, limits=each.limits, surge=DEFAULT_SURGE, pods=pods)
    return [most[name] for name in sorted(most)]


def _labels(pairs: Iterable[str]) -> dict[str, str]:
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise _refused(pair, "is no label with its value.", "Write NAME=VALUE, such as cluster=prod-use1.")
        found[name] = value
    return found


def _refused(value: str, reason: str, next_step: str) -> ProblemsError:
    problem = Problem(rule="watch-files", value=value, reason=reason, next_step=next_step)
    return ProblemsError([problem], subject="watch-files")
