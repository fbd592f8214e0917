"""Alarms on what the publisher counts: per zone and per subnet, from the capacity model, never on a sum over the VPC.

Alarms on metrics notify nobody by themselves, but for the publisher's silence: three composite alarms a zone do, one
that warns of what is low, one of what will be, and one that pages. So a dead publisher is one message and not one a
subnet, and a page means that addresses are low *and* that pods fail or nodes cannot start, where a metric says so.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import pulumi
from pulumi_aws import cloudwatch

from headroom.addresses.blocks import Block, usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.settings import CniSettings
from headroom.capacity.thresholds import (
    HOLD_HOURS,
    HORIZON_DAYS,
    NODES_START_IN,
    PACE_HOURS,
    PACE_PERIODS,
    PODS_IN,
    QUOTA_PERCENT,
    NodeGroup,
    Role,
    SurgeDemand,
    Thresholds,
    largest_surge,
    thresholds,
    too_small,
)
from headroom.capacity.watch import NAMESPACE, SCHEDULE_MINUTES, SUBNET_DIMENSION, Metric, dimensions
from headroom.capacity.watch_price import Price, Watched, monthly_price

PERIOD_SECONDS: Final = 60 * SCHEDULE_MINUTES

LEVEL_PERIODS: Final = 3
"""Runs in a row below a threshold: one that failed is no alarm."""

HELD_PERIODS: Final = (LEVEL_PERIODS, HOLD_HOURS * 3600 // PERIOD_SECONDS)
"""Runs below a threshold, of so many: it rings as soon as `LEVEL_PERIODS`, and for so long. CloudWatch has no other
memory, and looks at a day at most where a period is under an hour (CloudWatch API reference, PutMetricAlarm, Period).
Beside such an alarm stands one that is on as long as things are near the threshold, and only both together tell: so one
is over at once where there is room again, and goes on over a night where there is a little more."""

SILENT_PERIODS: Final = (2, 3)
"""Runs without a heartbeat, of so many: one less than `LEVEL_PERIODS`, so that silence is known to be silence before
missing values breach thresholds; and of one more, so that it ends one run later than they do. Alarms change one by one:
were it to end with them, a page would ring for an instant after every outage."""

FORECAST_HOURS: Final = (12, 24)
"""Hours below the horizon, of so many: a forecast that wavers is none. The first two and a half days after the
publisher's start count as below, for it has no history; so forecasts have a composite of their own, which hides no
other warning meanwhile."""

BAND_DEVIATIONS: Final = 6.0
"""Half the width of the anomaly band: with 4 a rolling upgrade rings, and the storms of `benchmarks/alarms.py` are seen
no earlier. Alone it would still warn of every third quiet month: it counts only with `PACE_HOURS`."""

CHILDREN: Final = 90
"""Alarms that one composite collects, and those that end them; CloudWatch takes 100 in all (CloudWatch API reference,
PutCompositeAlarm)."""

RULE_CHARACTERS: Final = 10_240
OTHER_CHARACTERS: Final = 1_500
"""Of a composite's rule (the same), and what of it is left for all but the alarms that it collects."""

DESCRIPTION_CHARACTERS: Final = 1024
NAME_CHARACTERS: Final = 255
"""CloudWatch API reference, PutMetricAlarm."""


_COLLECTED: Final = {
    "warning": "addresses run low",
    "forecast": "addresses will run out, or there is no forecast yet",
}
"""Severities whose alarms one composite a zone collects, and what it says."""

_NEAR: Final = "Alone it says nothing: when it is over, so is what the alarm beside it remembers."

_DIRECT: Final = ("silence", "direct")
"""Severities of the alarms on a metric that notify without a composite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedSubnet:
    """A subnet with alarms.

    Attributes:
        zone: Its zone.
        cidr_block: Its CIDR.
        role: What it is for.
    """

    zone: str
    cidr_block: str
    role: Role = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """A metric that somebody else publishes and that says that pods fail or nodes cannot start.

    Attributes:
        namespace: Its namespace.
        metric: Its name.
        dimensions: Its dimensions.
        statistic: Sum, Maximum, ….
        threshold: Above it something fails.
        meaning: What that is, for the description.
        of_nodes: Whether nodes that cannot start show in it, and not failing pods alone.
    """

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: str = "Maximum"
    threshold: float = 0
    meaning: str = "pods fail or nodes cannot start"
    of_nodes: bool = True


def cni_errors(cluster: str) -> Symptom:
    """The cni-metrics-helper's count of ipamd's errors (amazon-vpc-cni-k8s, cmd/cni-metrics-helper)."""
    return Symptom(
        namespace="Kubernetes",
        metric="ipamdErr",
        dimensions={"CLUSTER_ID": cluster},
        statistic="Sum",
        meaning="ipamd reports errors",
        # A node that never started has no ipamd.
        of_nodes=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetAlarmsArgs:
    """What to watch, and whom to tell.

    Attributes:
        cluster: Name of the EKS cluster.
        subnets: The watched subnets by id.
        node_groups: The cluster's node groups.
        cni_environment: aws-node's settings.
        symptoms: Metrics that say that pods fail or nodes cannot start.
        page_topics: SNS topics that wake somebody.
        warning_topics: SNS topics that wait until the morning.
        horizon_days: A subnet that lasts less long is a warning.
        namespace: CloudWatch namespace of the publisher.
        actions_enabled: Whether alarms notify; false for the first day, say.
        tags: For every alarm.

    Raises:
        ProblemsError: Everything that is wrong with them.
    """

    cluster: str
    subnets: Mapping[str, WatchedSubnet]
    node_groups: Sequence[NodeGroup]
    cni_environment: Mapping[str, str] = field(default_factory=dict)
    symptoms: Sequence[Symptom] = ()
    page_topics: Sequence[pulumi.Input[str]] = ()
    warning_topics: Sequence[pulumi.Input[str]] = ()
    horizon_days: int = HORIZON_DAYS
    namespace: str = NAMESPACE
    actions_enabled: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ProblemsError(problems, subject="SubnetAlarmsArgs")

    @property
    def settings(self) -> CniSettings:
        """aws-node's settings, read."""
        return CniSettings.from_environment(self.cni_environment)

    @property
    def surge(self) -> SurgeDemand:
        """What an upgrade of the largest node group takes."""
        return largest_surge(self.node_groups, self.settings)

    def problems(self) -> list[Problem]:
        """Everything that speaks against them."""
        found: list[Problem] = []
        if not self.subnets:
            found.append(_missing("subnets", "subnet is watched.", "Name the subnets of the nodes and pods."))
        if not self.node_groups:
            step = "Name at least the largest: its upgrade sets the thresholds."
            found.append(_missing("node_groups", "node group is named.", step))
        if not self.page_topics and not self.warning_topics:
            step = "Give the ARN of an SNS topic: an alarm that tells nobody is none."
            found.append(_missing("page_topics", "topic is given.", step))
        if not 1 <= self.horizon_days <= 365:  # noqa: PLR2004 - a year is more than any forecast is good for
            found.append(
                Problem(
                    rule="horizon",
                    key="horizon_days",
                    value=str(self.horizon_days),
                    reason="is not within 1 to 365 days.",
                    next_step=f"{HORIZON_DAYS} leaves time for a reviewed change.",
                )
            )
        names = [_symptom_name(self.cluster, symptom) for symptom in self.symptoms]
        for name, symptom in dict(zip(names, self.symptoms, strict=True)).items():
            if names.count(name) > 1:
                reason = "is named more than once, and the alarms would share a name."
                found.append(_symptom_problem("symptom-twice", symptom, reason, "Keep one."))
            if len(name) > NAME_CHARACTERS:
                reason = f"makes an alarm's name of {len(name)} characters; CloudWatch takes {NAME_CHARACTERS}."
                found.append(_symptom_problem("symptom-name", symptom, reason, "Publish it under a shorter name."))
        blocks: dict[str, Block] = {}
        for name, subnet in self.subnets.items():
            try:
                blocks[name] = Block.parse(subnet.cidr_block, key=f"subnets.{name}.cidrBlock")
            except ProblemsError as error:
                found.extend(error.problems)
        return found + _overlaps(blocks)

    def topics(self, *, page: bool) -> list[pulumi.Input[str]]:
        """Whom to tell; where only one kind of topic is given, it gets both."""
        wanted, other = (self.page_topics, self.warning_topics)[:: 1 if page else -1]
        return list(wanted or other)

    def thresholds_of(self, subnet_ids: Sequence[str], role: Role) -> Thresholds:
        """The thresholds of one subnet, or of several together."""
        return thresholds(self.surge, sum(self.usable(name) for name in subnet_ids), role)

    def usable(self, subnet_id: str) -> int:
        """Addresses that a subnet can hold."""
        return usable_addresses(Block.parse(self.subnets[subnet_id].cidr_block))

    def whole_blocks(self, subnet_id: str) -> int:
        """/28s that a subnet can give as prefixes: all but those at its edges, of which AWS keeps addresses."""
        return max(0, Block.parse(self.subnets[subnet_id].cidr_block).size // PREFIX_ADDRESSES - 2)

    def zones(self) -> dict[str, list[str]]:
        """Ids of the subnets that give pods addresses, by zone."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in sorted(self.subnets):
            if self.subnets[name].role in PODS_IN:
                found[self.subnets[name].zone].append(name)
        return dict(sorted(found.items()))

    def warnings(self) -> list[Problem]:
        """What to know before committing."""
        found = [
            too_small(name, self.surge, self.usable(name), f"subnets.{name}")
            for name in sorted(self.subnets)
            if self.thresholds_of([name], self.subnets[name].role).capped
        ]
        if not self.symptoms:
            found.append(
                Problem(
                    rule="no-symptom",
                    key="symptoms",
                    value="No metric",
                    reason="tells that pods fail: low addresses page by themselves.",
                    next_step="Set symptoms, and only what hurts pages: AWS/EKS scheduler_pending_pods_UNSCHEDULABLE, "
                    "which EKS publishes by itself from Kubernetes 1.28 on, or what the cni-metrics-helper publishes.",
                    source="AWS containers blog, proactive EKS monitoring with control plane metrics",
                )
            )
        elif not any(each.of_nodes for each in self.symptoms):
            found.append(
                Problem(
                    rule="no-symptom-of-nodes",
                    key="symptoms",
                    value="No metric",
                    reason="tells that nodes cannot start: shared subnets page when pods fail, those of nodes alone by "
                    "themselves.",
                    next_step="Set AWS/EKS scheduler_pending_pods_UNSCHEDULABLE, which EKS publishes by itself from "
                    "Kubernetes 1.28 on.",
                    source="AWS containers blog, proactive EKS monitoring with control plane metrics",
                )
            )
        return found

    def price(self, *, dashboards: int = 0, further_alarms: int = 0, idle_addresses: bool = False) -> Price:
        """What metrics, alarms and dashboards cost a month; the publisher's two alarms included."""
        made = planned(self)
        composites = len(composed(self, made))
        bands = sum(alarm.band for alarm in made)
        return monthly_price(
            Watched(
                subnets=len(self.subnets),
                zones=len({subnet.zone for subnet in self.subnets.values()}),
                alarms=len(made) - bands + 2 + further_alarms,
                band_alarms=bands,
                composites=composites,
                dashboards=dashboards,
                prefix_delegation=self.settings.prefix_delegation,
                idle_addresses=idle_addresses,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm on one metric, before it is declared.

    Attributes:
        name: Its name, unique in the account and Region and never another one for the same thing.
        zone: The zone whose composites look at it; empty for the cluster's own.
        severity: Which composite looks at it; `sudden`: the one that warns, where all of the zone's are on; `near`: the
            same as another one, of which it is the end.
        metric: What it looks at.
        dimensions: Where.
        comparison: CloudWatch's comparison operator.
        threshold: What it compares with; None for an anomaly band.
        expression: What is compared, reckoned from the metric as `free`; empty: the metric itself.
        near: Name of the alarm that has to be on too, for this one to count; empty: none.
        periods: How many periods it looks at.
        breaching: How many of them have to breach.
        period_seconds: One of them.
        description: What it means, and the command to run next.
        namespace: Another one than the publisher's.
        statistic: Minimum, unless the metric asks for another.
        silent: Whether missing values breach. Not where the alarm on silence says it already, and nothing is low.
    """

    name: str
    zone: str = ""
    severity: str = "warning"
    metric: str
    dimensions: Mapping[str, str]
    comparison: str = "LessThanThreshold"
    threshold: float | None
    expression: str = ""
    near: str = ""
    periods: int = LEVEL_PERIODS
    breaching: int = LEVEL_PERIODS
    period_seconds: int = PERIOD_SECONDS
    description: str
    namespace: str = ""
    statistic: str = "Minimum"
    silent: bool = True

    @property
    def band(self) -> bool:
        """Whether it compares with an anomaly band."""
        return self.threshold is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """A composite alarm, before it is declared.

    Attributes:
        name: Its name.
        rule: CloudWatch's expression over other alarms.
        page: Whether it wakes somebody.
        description: What it means, and the command to run next.
    """

    name: str
    rule: str
    page: bool
    description: str


class SubnetAlarms(pulumi.ComponentResource):
    """The alarms of a cluster's zones and subnets."""

    alarm_names: Sequence[str]
    """Names of the alarms on metrics."""
    composite_names: Sequence[str]
    """Names of the composite alarms."""
    notifying_arns: Sequence[pulumi.Output[str]]
    """ARNs of the alarms that tell somebody: the composites, and those of the cluster itself."""

    def __init__(self, name: str, args: SubnetAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:SubnetAlarms", name, {}, opts)
        alarms = planned(args)
        made: dict[str, cloudwatch.MetricAlarm] = {}
        for alarm in alarms:
            made[alarm.name] = cloudwatch.MetricAlarm(
                f"{name}-{_key(args, alarm.name)}",
                **_inputs(args, alarm),
                opts=pulumi.ResourceOptions(parent=self),
            )
        composites = composed(args, alarms)
        notifying = []
        for composite in composites:
            topics = args.topics(page=composite.page)
            declared = cloudwatch.CompositeAlarm(
                f"{name}-{_key(args, composite.name)}",
                alarm_name=composite.name,
                alarm_description=composite.description,
                alarm_rule=composite.rule,
                actions_enabled=args.actions_enabled,
                alarm_actions=topics,
                ok_actions=topics,
                tags=dict(args.tags) or None,
                # CloudWatch refuses a rule that names an alarm which is not there yet.
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=[made[each] for each in sorted(made) if f'"{each}"' in composite.rule]
                ),
            )
            notifying.append(declared.arn)
        self.notifying_arns = [*notifying, *(made[alarm.name].arn for alarm in alarms if alarm.severity in _DIRECT)]
        self.alarm_names = [alarm.name for alarm in alarms]
        self.composite_names = [composite.name for composite in composites]
        self.register_outputs({"alarmNames": self.alarm_names, "compositeNames": self.composite_names})


def planned(args: SubnetAlarmsArgs) -> list[Alarm]:
    """Every alarm on a metric."""
    found = [*_of_cluster(args)]
    for zone, names in args.zones().items():
        found += _of_place(args, zone, names, "shared", dimensions(args.cluster, zone))
        found += _sudden(args, zone)
    for name in sorted(args.subnets):
        subnet = args.subnets[name]
        found += _of_place(args, subnet.zone, [name], subnet.role, dimensions(args.cluster, subnet.zone, name))
    return found


def composed(args: SubnetAlarmsArgs, alarms: Sequence[Alarm]) -> list[Composite]:
    """The composite alarms of every zone: those that warn, of what is low and of what will be, and the one that pages.

    Where one cannot hold all alarms there are several.
    """
    silence = f'NOT ALARM("{_name(args, "silence")}")'
    found: list[Composite] = []
    for zone in sorted({subnet.zone for subnet in args.subnets.values()}):
        own = [alarm for alarm in alarms if alarm.zone == zone]
        for severity, meaning in _COLLECTED.items():
            rings = [alarm for alarm in own if alarm.severity == severity]
            for number, together in enumerate(_parts(rings), start=1):
                some = _any_of(args, together)
                if severity == "warning" and number == 1:
                    some += "".join(f" OR ({each})" for each in _together(own))
                found.append(
                    Composite(
                        name=_name(args, zone, severity if number == 1 else f"{severity}-{number}"),
                        rule=f"({some}) AND {silence}",
                        page=False,
                        description=_description(
                            f"{zone} of {args.cluster}: {meaning}. The alarms below say where.",
                            f"headroom forecast --cluster {args.cluster}",
                        ),
                    )
                )
        rule = _page_rule(args, zone, own)
        if rule:
            found.append(
                Composite(
                    name=_name(args, zone, "page"),
                    rule=f"{rule} AND {silence}",
                    page=True,
                    description=_description(
                        f"{zone} of {args.cluster} has too few free addresses for its pods or for new nodes"
                        f"{', and pods fail or nodes cannot start' if args.symptoms else ''}.",
                        f"headroom diagnose --cluster {args.cluster}",
                    ),
                )
            )
    return found


def _any_of(args: SubnetAlarmsArgs, alarms: Sequence[Alarm]) -> str:
    """Any of these; those of single subnets only while none of the cluster's is gone.

    The alarms of a subnet that was deleted ring for want of values, and it is not low: its own alarm says what it is.
    """
    of_subnets = [_on(each) for each in alarms if SUBNET_DIMENSION in each.dimensions]
    found = [_on(each) for each in alarms if SUBNET_DIMENSION not in each.dimensions]
    if of_subnets:
        found.append(f'(({" OR ".join(of_subnets)}) AND NOT ALARM("{_name(args, "missing-subnets")}"))')
    return " OR ".join(found)


def _parts(alarms: Sequence[Alarm]) -> list[list[Alarm]]:
    """The alarms in as few composites as hold them."""
    found: list[list[Alarm]] = []
    children = characters = 0
    for alarm in alarms:
        named, long = 1 + bool(alarm.near), len(f"{_on(alarm)} OR ")
        if not found or children + named > CHILDREN or characters + long > RULE_CHARACTERS - OTHER_CHARACTERS:
            found.append([])
            children = characters = 0
        found[-1].append(alarm)
        children, characters = children + named, characters + long
    return found


def _on(alarm: Alarm) -> str:
    """The condition that an alarm counts."""
    return f'(ALARM("{alarm.name}") AND ALARM("{alarm.near}"))' if alarm.near else f'ALARM("{alarm.name}")'


def _failing(args: SubnetAlarmsArgs, symptoms: Sequence[Symptom]) -> str:
    """What a rule asks for beside low addresses; empty where nothing tells."""
    some = " OR ".join(f'ALARM("{_symptom_name(args.cluster, each)}")' for each in symptoms)
    return f" AND ({some})" if some else ""


def _page_rule(args: SubnetAlarmsArgs, zone: str, own: Sequence[Alarm]) -> str:
    """Addresses are low and something fails; empty for a zone without pods or nodes."""
    low = [_on(alarm) for alarm in own if alarm.severity == "page"]
    # A storm takes what lies between the thresholds within minutes.
    warned = [_on(alarm) for alarm in own if alarm.name == _name(args, zone, "free-warning")]
    low += [f"({each} AND {sudden})" for each in warned for sudden in _together(own)]
    starts = [
        name
        for name in sorted(args.subnets)
        if args.subnets[name].zone == zone and args.subnets[name].role in NODES_START_IN
    ]
    # A zone with more of them than one composite holds is low as a whole long before all of them are.
    names = [f'ALARM("{_name(args, zone, name, "free-critical")}")' for name in starts]
    together = f"({' AND '.join(names)})"
    fits = len(names) <= CHILDREN - len(args.symptoms) and len(together) <= RULE_CHARACTERS - 2 * OTHER_CHARACTERS
    full = [together] if names and fits else []
    if any(args.subnets[name].role in PODS_IN for name in starts):
        low, full = low + full, []
    # With custom networking no pod fails where no node starts: only what shows such nodes may hold that page back.
    parts = [(low, args.symptoms), (full, [each for each in args.symptoms if each.of_nodes])]
    rules = [f"({' OR '.join(some)}){_failing(args, symptoms)}" for some, symptoms in parts if some]
    return rules[0] if len(rules) == 1 else f"({' OR '.join(f'({rule})' for rule in rules)})" if rules else ""


def _held(metric: Metric, most: int) -> dict[str, Any]:
    """The fields of an alarm that rings at once and remembers.

    A run that failed counts as one with all free: of so many, some fail, and the alarm on silence tells of that.
    """
    breaching, periods = HELD_PERIODS
    return {"metric": metric, "expression": f"FILL(free, {most})", "periods": periods, "breaching": breaching}


def _of_place(
    args: SubnetAlarmsArgs, zone: str, names: Sequence[str], role: Role, place: Mapping[str, str]
) -> list[Alarm]:
    """The alarms of a zone, or of one subnet."""
    is_zone = len(place) == 2  # noqa: PLR2004 - cluster and zone
    where = (zone,) if is_zone else (zone, names[0])
    what = f"zone {zone}" if is_zone else f"subnet {names[0]} ({args.subnets[names[0]].cidr_block}, {zone})"
    usable = sum(map(args.usable, names))
    least = args.thresholds_of(names, role)
    surge = args.surge
    reason = f"In an upgrade {surge.text}."
    if role == "nodes":
        reason = f"An upgrade of {surge.group} starts {surge.nodes} more here."
    elif role == "control-plane":
        reason = "An upgrade of the cluster needs up to five addresses here."
    near = min(least.near, usable)
    before = f", or were within the last {HOLD_HOURS} hours (it counts while fewer than"
    lately = f"{before} {near:,} still are)"

    def end_of(name: str, metric: Metric, threshold: int, few: str) -> Alarm:
        """What is on as long as there is little room still."""
        return Alarm(
            name=_name(args, *where, name),
            zone=zone,
            severity="near",
            metric=metric,
            dimensions=place,
            threshold=threshold,
            description=_description(
                f"{args.cluster}, {what}: fewer than {few}. {_NEAR}",
                f"headroom forecast --cluster {args.cluster}",
            ),
        )

    found = [
        Alarm(
            name=_name(args, *where, "free-critical"),
            zone=zone,
            # A full subnet beside empty ones hurts nobody; whether the zone is low decides.
            severity="page" if is_zone else "listed",
            dimensions=place,
            threshold=least.critical,
            near=_name(args, zone, "free-near") if is_zone else "",
            description=_description(
                f"{args.cluster}, {what}: fewer than {least.critical:,} of {usable:,} addresses are free"
                f"{lately if is_zone else ''}. {reason}",
                f"headroom diagnose --cluster {args.cluster}",
            ),
            # A subnet's tells nobody by itself, and is as it is now.
            **(_held(Metric.FREE_ADDRESSES, usable) if is_zone else {"metric": Metric.FREE_ADDRESSES}),
        ),
        Alarm(
            name=_name(args, *where, "free-warning"),
            zone=zone,
            dimensions=place,
            threshold=least.warning,
            near=_name(args, *where, "free-near"),
            description=_description(
                f"{args.cluster}, {what}: fewer than {least.warning:,} of {usable:,} addresses are free{lately}; below "
                f"{least.critical:,} it is critical. {reason}",
                f"headroom forecast --cluster {args.cluster}",
            ),
            **_held(Metric.FREE_ADDRESSES, usable),
        ),
        end_of("free-near", Metric.FREE_ADDRESSES, near, f"{near:,} of {usable:,} addresses are free"),
    ]
    if least.blocks:
        # All of them whole is not near; and what rings is near, in subnets that are too small for any.
        near = max(least.blocks, min(least.near_blocks, sum(map(args.whole_blocks, names))))
        found += [
            Alarm(
                name=_name(args, *where, "prefix-blocks"),
                zone=zone,
                severity="page" if is_zone else "warning",
                dimensions=place,
                threshold=least.blocks,
                near=_name(args, *where, "prefix-blocks-near"),
                description=_description(
                    f"{args.cluster}, {what}: fewer than {least.blocks:,} whole /28s are left for prefixes{before} "
                    f"{near:,} still are). Addresses may be free and no prefix be had: the subnet is "
                    f"fragmented. {reason}",
                    f"headroom diagnose --cluster {args.cluster}",
                ),
                **_held(Metric.FREE_PREFIX_BLOCKS, usable // PREFIX_ADDRESSES),
            ),
            end_of("prefix-blocks-near", Metric.FREE_PREFIX_BLOCKS, near, f"{near:,} whole /28s are left"),
        ]
    if role != "control-plane":
        needed, of = FORECAST_HOURS
        found.append(
            Alarm(
                name=_name(args, *where, "days-to-exhaustion"),
                zone=zone,
                severity="forecast",
                metric=Metric.DAYS_TO_EXHAUSTION,
                dimensions=place,
                threshold=args.horizon_days,
                periods=of,
                breaching=needed,
                period_seconds=3600,
                description=_description(
                    f"{args.cluster}, {what}: empty in fewer than {args.horizon_days} days if it goes on like this; "
                    "or there is no forecast, as in the first two and a half days.",
                    f"headroom forecast --cluster {args.cluster}",
                ),
            )
        )
    return found


def _together(own: Sequence[Alarm]) -> list[str]:
    """The condition that all of a zone's alarms on something sudden are on; empty where it has none."""
    names = [alarm.name for alarm in own if alarm.severity == "sudden"]
    return [" AND ".join(f'ALARM("{name}")' for name in names)] if names else []


def _sudden(args: SubnetAlarmsArgs, zone: str) -> list[Alarm]:
    """Far below the usual, and still falling fast: either alone is what a deploy or a Monday looks like."""
    breaching, periods = PACE_PERIODS
    place, next_step = dimensions(args.cluster, zone), f"headroom diagnose --cluster {args.cluster}"
    return [
        Alarm(
            name=_name(args, zone, "sudden-drop"),
            zone=zone,
            severity="sudden",
            metric=Metric.FREE_ADDRESSES,
            dimensions=place,
            comparison="LessThanLowerThreshold",
            threshold=None,
            description=_description(
                f"{args.cluster}, zone {zone}: far fewer addresses are free than at this hour of other days. With "
                "falling-fast it is a deploy storm, a runaway autoscaler, or interfaces that are left over.",
                next_step,
            ),
        ),
        Alarm(
            name=_name(args, zone, "falling-fast"),
            zone=zone,
            severity="sudden",
            metric=Metric.FREE_ADDRESSES,
            dimensions=place,
            threshold=0,
            # What would be free in so many hours.
            expression=f"free + {60 * PACE_HOURS // SCHEDULE_MINUTES} * DIFF(free)",
            periods=periods,
            breaching=breaching,
            description=_description(
                f"{args.cluster}, zone {zone}: empty in less than {PACE_HOURS} hours if it goes on as in the last "
                f"{SCHEDULE_MINUTES * periods} minutes.",
                next_step,
            ),
        ),
    ]


def _of_cluster(args: SubnetAlarmsArgs) -> list[Alarm]:
    cluster, place = args.cluster, dimensions(args.cluster)
    found = [
        Alarm(
            name=_name(args, "silence"),
            severity="silence",
            metric=Metric.HEARTBEAT,
            dimensions=place,
            threshold=1,
            periods=SILENT_PERIODS[1],
            breaching=SILENT_PERIODS[0],
            description=_description(
                f"Nobody counts the free addresses of {cluster}: the function has finished no run for at least "
                f"{SILENT_PERIODS[0] * SCHEDULE_MINUTES} minutes, and no other alarm of the cluster means anything.",
                f"headroom collect --cluster {cluster}",
            ),
        ),
        Alarm(
            name=_name(args, "interface-quota"),
            severity="direct",
            metric=Metric.INTERFACE_QUOTA_PERCENT,
            dimensions=place,
            comparison="GreaterThanThreshold",
            threshold=QUOTA_PERCENT,
            statistic="Maximum",
            silent=False,
            description=_description(
                f"The Region has more than {QUOTA_PERCENT:g} % of the network interfaces that its quota allows; at "
                "100 % no node of any cluster gets another. Ask for more (Service Quotas, L-DF5E4CA3).",
                f"headroom diagnose --cluster {cluster}",
            ),
        ),
        Alarm(
            name=_name(args, "unwatched-subnets"),
            severity="direct",
            metric=Metric.UNWATCHED_SUBNETS,
            dimensions=place,
            comparison="GreaterThanThreshold",
            threshold=0,
            statistic="Maximum",
            silent=False,
            description=_description(
                f"The CNI of {cluster} takes addresses from subnets that have no alarms. Add them to watchedSubnets.",
                "pulumi up",
            ),
        ),
        Alarm(
            name=_name(args, "missing-subnets"),
            severity="direct",
            metric=Metric.MISSING_SUBNETS,
            dimensions=place,
            comparison="GreaterThanThreshold",
            threshold=0,
            statistic="Maximum",
            description=_description(
                f"Subnets of {cluster} that have alarms are gone (or the function is silent: then that alarm is on "
                "too). Take them out of watchedSubnets; until then only whole zones warn.",
                "pulumi up",
            ),
        ),
    ]
    found += [
        Alarm(
            name=_symptom_name(args.cluster, symptom),
            severity="symptom",
            metric=symptom.metric,
            dimensions=symptom.dimensions,
            comparison="GreaterThanThreshold",
            threshold=symptom.threshold,
            breaching=1,
            namespace=symptom.namespace,
            statistic=symptom.statistic,
            # Published where something fails: no value is no failure.
            silent=False,
            description=_description(
                f"{cluster}: {symptom.meaning} ({symptom.namespace} {symptom.metric}).",
                f"headroom diagnose --cluster {cluster}",
            ),
        )
        for symptom in args.symptoms
    ]
    return found


def _inputs(args: SubnetAlarmsArgs, alarm: Alarm) -> dict[str, Any]:
    """The arguments of a MetricAlarm."""
    metric = {
        "metric_name": str(alarm.metric),
        "namespace": alarm.namespace or args.namespace,
        "dimensions": dict(alarm.dimensions),
        "period": alarm.period_seconds,
    }
    # All others notify through the composites.
    topics = args.topics(page=alarm.severity == "silence") if alarm.severity in _DIRECT else []
    shared = {
        "name": alarm.name,
        "alarm_description": alarm.description,
        "comparison_operator": alarm.comparison,
        "evaluation_periods": alarm.periods,
        "datapoints_to_alarm": alarm.breaching,
        "treat_missing_data": "breaching" if alarm.silent else "notBreaching",
        "actions_enabled": args.actions_enabled,
        "alarm_actions": topics,
        "ok_actions": topics,
        "tags": dict(args.tags) or None,
    }
    free = {"id": "free", "return_data": alarm.band, "metric": {**metric, "stat": alarm.statistic}}
    if alarm.expression:
        reckoned = {"id": "reckoned", "expression": alarm.expression, "label": "reckoned", "return_data": True}
        return {**shared, "threshold": alarm.threshold, "metric_queries": [free, reckoned]}
    if not alarm.band:
        return {**shared, **metric, "statistic": alarm.statistic, "threshold": alarm.threshold}
    return {
        **shared,
        "threshold_metric_id": "band",
        "metric_queries": [
            free,
            {
                "id": "band",
                "expression": f"ANOMALY_DETECTION_BAND(free, {BAND_DEVIATIONS:g})",
                "label": "expected",
                "return_data": True,
            },
        ],
    }


def _name(args: SubnetAlarmsArgs, *parts: str) -> str:
    # No name of a cluster, zone or subnet has a slash, so two different alarms never share a name.
    return "/".join(("headroom", args.cluster, *parts))


def _key(args: SubnetAlarmsArgs, name: str) -> str:
    return name.removeprefix(f"headroom/{args.cluster}/").replace("/", "-")


def _description(meaning: str, command: str) -> str:
    text = f"{meaning} Next: {command}"
    return text if len(text) <= DESCRIPTION_CHARACTERS else f"{text[: DESCRIPTION_CHARACTERS - 1]}…"


def _symptom_name(cluster: str, symptom: Symptom) -> str:
    return f"headroom/{cluster}/symptom/{symptom.namespace}/{symptom.metric}"


def _symptom_problem(rule: str, symptom: Symptom, reason: str, next_step: str) -> Problem:
    return Problem(
        rule=rule,
        key="symptoms",
        value=f"{symptom.namespace} {symptom.metric}",
        reason=reason,
        next_step=next_step,
        source="CloudWatch API reference, PutMetricAlarm",
    )


def _missing(key: str, reason: str, next_step: str) -> Problem:
    return Problem(rule=f"no-{key.replace('_', '-')}", key=key, value="No", reason=reason, next_step=next_step)


def _overlaps(blocks: Mapping[str, Block]) -> list[Problem]:
    ordered = sorted(blocks.items(), key=lambda item: item[1])
    return [
        Problem(
            rule="subnets-overlap",
            key=f"subnets.{second}.cidrBlock",
            value=str(blocks[second]),
            reason=f"overlaps {first} ({blocks[first]}): no two subnets of a VPC do.",
            next_step="`aws ec2 describe-subnets` prints both.",
        )
        for (first, one), (second, other) in pairwise(ordered)
        if one.overlaps(other)
    ]
