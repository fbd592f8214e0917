"""The watch stack: free addresses as metrics, alarms before pods feel it, and a dashboard.

Nothing of the VPC or the cluster is made or changed. What it costs a month is printed at preview.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import pulumi

from components.alarm_trigger import (
    PATTERN_CHARACTERS,
    AlarmTrigger,
    AlarmTriggerArgs,
    event_pattern,
    forge_problems,
)
from components.dashboard import Dashboard, DashboardArgs
from components.subnet_alarms import SubnetAlarms, SubnetAlarmsArgs, Symptom, WatchedSubnet, cni_errors
from components.subnet_publisher import SubnetPublisher, SubnetPublisherArgs, grant
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import OBSERVED_VERSION
from headroom.capacity.fleet import DEFAULT_SURGE
from headroom.capacity.limits import instance_limits
from headroom.capacity.settings import check_settings
from headroom.capacity.thresholds import HORIZON_DAYS, ROLES, NodeGroup, Role, thresholds
from headroom.capacity.watch import NAMESPACE, TRIGGERS, composite_alarm
from stacks.adoption import owner_of_alarm, secret_text
from stacks.recorded import STACK_TAG, recorded_resources, stack_tag
from stacks.settings import ConfigReader

NAME: Final = "watch"
"""Logical name of the stack's components: it never changes."""

_ALARM_TYPE: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"

_SUBNET_FIELDS: Final = ("zone", "cidrBlock", "role")
_GROUP_FIELDS: Final = ("instanceType", "surge", "podsPerNode")
_TRIGGER_FIELDS: Final = ("forge", "repository", "secret", "secretKey", "ref", "pipeline", "endpoint", "on")
_SYMPTOM_FIELDS: Final = ("namespace", "metric", "dimensions", "statistic", "threshold", "meaning", "ofNodes")

_SUBNET_ID: Final = re.compile(r"subnet-[0-9a-f]{8,17}")
"""EC2 user guide, resource-ids."""
_VPC_ID: Final = re.compile(r"vpc-[0-9a-f]{8,17}")
_TOPIC: Final = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
"""SNS API reference, CreateTopic."""
_ZONE: Final = re.compile(r"[a-z]+(?:-[a-z0-9]+)*-[0-9]+[a-z]")
"""EC2 user guide, using-regions-availability-zones."""
_SECRET: Final = re.compile(
    r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,519}|[A-Za-z0-9/_+=.@-]{1,512}"
)
"""Secrets Manager API reference, CreateSecret and GetSecretValue."""
_TOKEN: Final = re.compile(r"(?:gh[a-z]_|github_pat_|gl[a-z]+-).*|[A-Za-z0-9]{52}|[A-Za-z0-9]{84}")
"""What is a token itself and no name of a secret: GitHub's and GitLab's by their prefixes (GitHub, authentication
token formats; GitLab, token overview), Azure DevOps's by their lengths."""
START: Final = 0.20 / 1_000_000
"""Dollars a call of an API destination; events of AWS's own services and the connection's secret cost nothing further
(EventBridge pricing, us-east-1, read 2026-11)."""
_TRIGGERING: Final = ("page", "warning")
"""Kinds of alarms that start the pipeline unless told otherwise. An alarm on a forecast rings for the publisher's first
two and a half days too, where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerSettings:
    """What an alarm starts.

    Attributes:
        forge: github, gitlab or azure.
        repository: As the forge calls it.
        secret: Name or ARN of the secret of Secrets Manager that holds the token.
        secret_key: The token's key, where the secret is JSON.
        ref: The branch.
        pipeline: Azure's number of the pipeline.
        endpoint: The API's address, where it is not the public one.
        kinds: Kinds of alarms.
    """

    forge: str
    repository: str
    secret: str
    secret_key: str
    ref: str
    pipeline: int | None
    endpoint: str
    kinds: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """The stack's configuration, read and checked."""

    region: str
    publisher: SubnetPublisherArgs
    alarms: SubnetAlarmsArgs
    dashboard: bool
    cni_metrics: bool
    trigger: TriggerSettings | None = None


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration; nothing was registered.
    """
    settings = read_settings(ConfigReader())
    _refuse_second_stack(settings.alarms.cluster)
    for warning in settings.alarms.warnings():
        pulumi.log.warn(_keyed(warning).message)
    token = read_token(settings.trigger) if settings.trigger else None
    price = settings.alarms.price(
        dashboards=int(settings.dashboard),
        further_alarms=int(settings.trigger is not None),
        idle_addresses=settings.publisher.idle_addresses,
    )
    pulumi.log.info(f"Watching {settings.alarms.cluster} costs about {price.text}.")
    if settings.trigger is not None:
        pulumi.log.info(
            f"Alarms ({', '.join(settings.trigger.kinds)}) start a pipeline of {settings.trigger.repository}: "
            f"${START:.7f} each beside the alarm on what is not delivered, which is in the price above."
        )
    publisher = SubnetPublisher(NAME, settings.publisher)
    alarms = SubnetAlarms(NAME, settings.alarms)
    if settings.dashboard:
        shown = Dashboard(NAME, _dashboard(settings, alarms))
        pulumi.export("dashboard", shown.dashboard_name)
    trigger = None
    if settings.trigger is not None and token is not None:
        trigger = _trigger(settings, settings.trigger, alarms, token)
        pulumi.export("trigger", trigger.rule_name)
    pulumi.export("function", publisher.function_name)
    if settings.publisher.idle_addresses:
        pulumi.export("grant", publisher.role_arn.apply(lambda arn: grant(settings.alarms.cluster, arn or "ROLE")))
    of_trigger = trigger.alarm_names if trigger is not None else []
    pulumi.export("alarms", [*alarms.composite_names, *alarms.alarm_names, *publisher.alarm_names, *of_trigger])
    pulumi.export("dollarsAMonth", round(price.total, 2))
    pulumi.export(
        "next",
        "First figures in five minutes (until then the alarm on silence is on), forecasts after two days: "
        f"headroom forecast --cluster {settings.alarms.cluster}",
    )


def _refuse_second_stack(cluster: str) -> None:
    """One watch stack a cluster: alarms are known by their names, and CloudWatch overwrites without a word.

    Asked for before the stack has made its own; an `up` that was killed half-way goes on, for its alarms carry its tag.

    Raises:
        ProblemsError: Another stack has made the cluster's alarms, or nobody can tell.
    """
    recorded = recorded_resources()
    if recorded is None or (_ALARM_TYPE, f"{NAME}-silence") in recorded:
        return
    key = "headroom:clusterName"
    owner = owner_of_alarm(key, cluster, f"headroom/{cluster}/silence")
    if owner is None or owner == stack_tag():
        return
    problem = Problem(
        rule="watched-already",
        key=key,
        value=cluster,
        reason=f"has alarms that {f'the stack {owner}' if owner else 'something else'} has made; these would overwrite "
        "them, and whichever stack goes first would take them from the other.",
        next_step="Change that stack, or `pulumi destroy` it first.",
        source="CloudWatch API reference, PutMetricAlarm",
    )
    raise ProblemsError([problem], subject="configuration")


def _trigger(
    settings: WatchSettings, given: TriggerSettings, alarms: SubnetAlarms, token: pulumi.Output[str]
) -> AlarmTrigger:
    zones = sorted({subnet.zone for subnet in settings.alarms.subnets.values()})
    return AlarmTrigger(
        NAME,
        AlarmTriggerArgs(
            cluster=settings.alarms.cluster,
            alarms=trigger_alarms(settings.alarms.cluster, zones, given.kinds),
            account=alarms.notifying_arns[0].apply(account_of),
            forge=given.forge,
            repository=given.repository,
            token=token,
            ref=given.ref,
            pipeline=given.pipeline,
            endpoint=given.endpoint,
            enabled=settings.alarms.actions_enabled,
            topics=settings.alarms.topics(page=False),
            tags=settings.alarms.tags,
        ),
    )


def account_of(arn: str | None) -> str:
    """The account in an ARN; none where nothing answers, as in `headroom check`."""
    return arn.split(":")[4] if arn else ""


def trigger_alarms(cluster: str, zones: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """What the names of the alarms begin with that start a pipeline."""
    return [composite_alarm(cluster, zone, kind) for zone in zones for kind in kinds]


def read_token(given: TriggerSettings) -> pulumi.Output[str]:
    """The token out of Secrets Manager: a secret in the plan, in every log, and in the state.

    Raises:
        ProblemsError: It cannot be read, or is not there; nothing of what the secret holds is told.
    """
    text = secret_text("headroom:trigger.secret", given.secret)
    return pulumi.Output.secret("" if text is None else token_of(text, given))


def token_of(text: str, given: TriggerSettings) -> str:
    """The token in a secret's text.

    Raises:
        ProblemsError: It is not there.
    """
    token: object = text
    try:
        token = json.loads(text)[given.secret_key] if given.secret_key else text
    except (ValueError, KeyError, TypeError):
        token = None
    if given.secret_key and not (isinstance(token, str) and token.strip()):
        step = "Write the key that the token is under, or store the token alone and leave secretKey out."
        raise _no_token(given.secret, f"holds no JSON with a text under {given.secret_key}.", step)
    if not isinstance(token, str) or not token.strip() or (not given.secret_key and token.lstrip()[:1] == "{"):
        raise _no_token(given.secret, "holds no bare token.", "Store the token alone, or set secretKey.")
    return token.strip()


def _no_token(secret: str, reason: str, step: str) -> ProblemsError:
    problem = Problem(rule="trigger-token", key="headroom:trigger.secret", value=secret, reason=reason, next_step=step)
    return ProblemsError([problem], subject="configuration")


def _dashboard(settings: WatchSettings, alarms: SubnetAlarms) -> DashboardArgs:
    args = settings.alarms
    zones = args.zones()
    usable = {zone: sum(map(args.usable, names)) for zone, names in zones.items()}
    return DashboardArgs(
        cluster=args.cluster,
        region=settings.region,
        zones=zones,
        thresholds={zone: thresholds(args.surge, usable[zone]) for zone in zones},
        usable=usable,
        alarms=alarms.notifying_arns,
        namespace=args.namespace,
        horizon_days=args.horizon_days,
        prefix_delegation=args.settings.prefix_delegation,
        cni_metrics=settings.cni_metrics,
        idle_addresses=settings.publisher.idle_addresses,
    )


def read_settings(config: ConfigReader) -> WatchSettings:
    """Reads the configuration.

    Raises:
        ProblemsError: Every problem with its key.
    """
    cluster = config.required_text("clusterName", "prod-use1")
    vpc_id = config.required_text("vpcId", "vpc-0123456789abcdef0")
    if vpc_id and not _VPC_ID.fullmatch(vpc_id):
        _wrong(config, "vpcId", vpc_id, "is no id of a VPC.", "Write vpc- and its hexadecimal digits.")
    subnets = _read_subnets(config)
    groups = _read_groups(config)
    environment = config.text_mapping("cniEnvironment", config.mapping("cniEnvironment"))
    problems, _ = check_settings(environment, OBSERVED_VERSION, nitro=True)
    config.problems.extend(replace(problem, key=f"headroom:cniEnvironment.{problem.key}") for problem in problems)
    cni_metrics = config.boolean("cniMetricsHelper", default=False)
    idle = config.boolean("idleAddresses", default=False)
    symptoms = [*([cni_errors(cluster)] if cni_metrics else []), *_read_symptoms(config)]
    topics = {key: _read_topics(config, key) for key in ("pageTopics", "warningTopics")}
    tags = {**config.text_mapping("tags", config.mapping("tags")), STACK_TAG: stack_tag()}
    namespace = config.text("metricNamespace") or NAMESPACE
    horizon = config.integer("horizonDays", HORIZON_DAYS)
    actions = config.boolean("alarmActions", default=True)
    concurrency = config.integer("reservedConcurrency", 1)
    dashboard = config.boolean("dashboard", default=True)
    region = pulumi.Config("aws").get("region") or os.environ.get("AWS_REGION") or ""
    if not region:
        config.problems.append(
            Problem(
                rule="region-known",
                key="aws:region",
                value="nothing",
                reason="is set, and a dashboard names the Region of what it shows.",
                next_step="Run `pulumi config set aws:region us-east-1`.",
            )
        )
    trigger = _read_trigger(config, cluster, [subnet.zone for subnet in subnets.values()])
    config.refuse_other_keys("remedy")
    readable = not config.problems
    alarms = config.attempt(
        lambda: SubnetAlarmsArgs(
            cluster=cluster,
            subnets=subnets,
            node_groups=groups,
            cni_environment=environment,
            symptoms=symptoms,
            page_topics=topics["pageTopics"],
            warning_topics=topics["warningTopics"],
            horizon_days=horizon,
            namespace=namespace,
            actions_enabled=actions,
            tags=tags,
        ),
        _keyed,
    )
    publisher = config.attempt(
        lambda: SubnetPublisherArgs(
            cluster=cluster,
            vpc_id=vpc_id,
            watched={name: subnet.role for name, subnet in subnets.items()},
            namespace=namespace,
            prefix_delegation=environment.get("ENABLE_PREFIX_DELEGATION") == "true",
            idle_addresses=idle,
            topics=topics["warningTopics"] or topics["pageTopics"],
            reserved_concurrency=concurrency if concurrency > 0 else None,
            tags=tags,
        ),
        _keyed,
    )
    if alarms is None or publisher is None or not readable:
        raise ProblemsError(_without_consequences(config.problems), subject="configuration")
    return WatchSettings(
        region=region,
        publisher=publisher,
        alarms=alarms,
        dashboard=dashboard,
        cni_metrics=cni_metrics,
        trigger=trigger,
    )


_KEYS: Final[Mapping[str, str]] = {
    "subnets": "watchedSubnets",
    "watched": "watchedSubnets",
    "node_groups": "nodeGroups",
    "page_topics": "pageTopics",
    "horizon_days": "horizonDays",
    "namespace": "metricNamespace",
    "symptoms": "symptoms",
}
"""Keys of the stack file by the components' arguments."""


def _keyed(problem: Problem) -> Problem:
    """A component's problem under the key that was written."""
    name, dot, rest = problem.key.partition(".")
    return replace(problem, key=f"headroom:{_KEYS.get(name, name)}{dot}{rest}")


def _without_consequences(problems: list[Problem]) -> list[Problem]:
    """Leaves out what nobody would be told had another value been readable, and what two components say alike."""
    form = {problem.key.partition(".")[0] for problem in problems if problem.rule in ("configuration", "resource-id")}
    kept = [
        problem
        for problem in problems
        if not (problem.key in form and problem.rule.startswith(("no-", "nothing-")))
        and not (problem.rule == "nothing-to-watch" and any(other.rule == "no-subnets" for other in problems))
    ]
    return list({(problem.key, problem.rule, problem.message): problem for problem in kept}.values())


def _wrong(config: ConfigReader, place: str, value: str, reason: str, step: str) -> None:
    config.problems.append(
        Problem(rule="resource-id", key=f"headroom:{place}", value=value, reason=reason, next_step=step)
    )


def _read_subnets(config: ConfigReader) -> dict[str, WatchedSubnet]:
    found: dict[str, WatchedSubnet] = {}
    for name, fields in config.entries("watchedSubnets", _SUBNET_FIELDS).items():
        place = f"watchedSubnets.{name}"
        before = len(config.problems)
        if not _SUBNET_ID.fullmatch(name):
            step = "Write subnet- and its 17 (in old ids 8) hexadecimal digits."
            _wrong(config, place, name, "is no id of a subnet.", step)
        zone = config.field(place, fields, "zone", str, "")
        cidr_block = config.field(place, fields, "cidrBlock", str, "")
        role = config.field(place, fields, "role", str, "shared")
        if not config.problems_at(f"{place}.zone") and not _ZONE.fullmatch(zone):
            step = "Write its name, such as us-east-1a: `aws ec2 describe-subnets` prints it."
            config.problem(f"{place}.zone", zone or "nothing", "is no availability zone.", step)
        if not config.problems_at(f"{place}.cidrBlock") and not cidr_block:
            config.problem(f"{place}.cidrBlock", "nothing", "is set.", "`aws ec2 describe-subnets` prints it.")
        if role not in ROLES:
            step = f"Write one of {', '.join(f'{each} ({meaning})' for each, meaning in ROLES.items())}."
            config.problem(f"{place}.role", role, "is no role of a subnet.", step)
        if len(config.problems) == before:
            found[name] = WatchedSubnet(zone=zone, cidr_block=cidr_block, role=cast("Role", role))
    return found


def _read_groups(config: ConfigReader) -> list[NodeGroup]:
    found: list[NodeGroup] = []
    for name, fields in config.entries("nodeGroups", _GROUP_FIELDS).items():
        place = f"nodeGroups.{name}"
        before = len(config.problems)
        instance_type = config.field(place, fields, "instanceType", str, "")
        surge = _count(config, place, fields, "surge", DEFAULT_SURGE)
        pods = _count(config, place, fields, "podsPerNode", 0)
        if not instance_type and not config.problems_at(f"{place}.instanceType"):
            config.problem(f"{place}.instanceType", "nothing", "is set.", "Write its instance type, such as m5.large.")
        limits = None
        if instance_type:
            limits = config.attempt(
                lambda instance_type=instance_type: instance_limits(instance_type),  # type: ignore[misc]  # bound now
                lambda problem, place=place: replace(problem, key=f"headroom:{place}.instanceType"),  # type: ignore[misc]  # the same
            )
        if limits is not None and len(config.problems) == before:
            found.append(NodeGroup(name=name, limits=limits, surge=surge, pods=pods or None))
    return found


def _count(config: ConfigReader, place: str, fields: Mapping[str, Any], name: str, default: int) -> int:
    value = config.field(place, fields, name, int, default)
    if name in fields and value < 1 and not config.problems_at(f"{place}.{name}"):
        config.problem(f"{place}.{name}", str(value), "is not at least 1.", "Leave it out, or write how many.")
        return default
    return value


def _read_symptoms(config: ConfigReader) -> list[Symptom]:
    found: list[Symptom] = []
    for name, fields in config.entries("symptoms", _SYMPTOM_FIELDS).items():
        place = f"symptoms.{name}"
        texts = {key: config.field(place, fields, key, str, "") for key in ("namespace", "metric")}
        for key, text in texts.items():
            if not text and not config.problems_at(f"{place}.{key}"):
                config.problem(f"{place}.{key}", "nothing", "is set.", "CloudWatch's console shows it.")
        threshold = fields.get("threshold", 0)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):
            config.problem(f"{place}.threshold", str(threshold), "is not a number.")
            threshold = 0
        found.append(
            Symptom(
                **texts,
                dimensions=config.text_mapping(f"{place}.dimensions", fields.get("dimensions", {})),
                statistic=config.field(place, fields, "statistic", str, "Maximum"),
                threshold=threshold,
                meaning=config.field(place, fields, "meaning", str, name),
                of_nodes=config.field(place, fields, "ofNodes", bool, default=True),
            )
        )
    return found


def _read_trigger(config: ConfigReader, cluster: str, zones: Sequence[str]) -> TriggerSettings | None:
    written = config.mapping("trigger")
    if not written:
        return None
    fields = config.fields("trigger", written, _TRIGGER_FIELDS)
    texts = {
        name: config.field("trigger", fields, name, str, "main" if name == "ref" else "")
        for name in ("forge", "repository", "secret", "secretKey", "ref", "endpoint")
    }
    pipeline = config.field("trigger", fields, "pipeline", int, 0) if "pipeline" in fields else None
    for problem in forge_problems(texts["forge"], texts["repository"], texts["ref"], pipeline, texts["endpoint"]):
        if not config.problems_at(f"trigger.{problem.key}"):
            config.problems.append(replace(problem, key=f"headroom:trigger.{problem.key}"))
    _check_secret(config, texts["secret"])
    kinds = config.text_list("trigger.on", fields.get("on", list(_TRIGGERING)))
    step = f"There are {', '.join(TRIGGERS)}."
    for kind in kinds:
        if kind not in TRIGGERS:
            config.problem("trigger.on", kind, "is no kind of alarm.", step)
    if not kinds and not config.problems_at("trigger.on"):
        config.problem("trigger.on", "nothing", "would start the pipeline.", step)
    if len(event_pattern(trigger_alarms(cluster, sorted(set(zones)), kinds), "0" * 12)) > PATTERN_CHARACTERS:
        reason = f"make with {len(set(zones))} zones a longer event pattern than the {PATTERN_CHARACTERS:,} characters"
        config.problem("trigger.on", ", ".join(kinds), f"{reason} that EventBridge takes.", "Leave one out.")
    return TriggerSettings(
        forge=texts["forge"],
        repository=texts["repository"],
        secret=texts["secret"],
        secret_key=texts["secretKey"],
        ref=texts["ref"],
        pipeline=pipeline,
        endpoint=texts["endpoint"],
        kinds=tuple(dict.fromkeys(kinds)),
    )


def _check_secret(config: ConfigReader, secret: str) -> None:
    step = (
        "Store the token: `aws secretsmanager create-secret --name headroom/trigger --secret-string file://token`; "
        "then write headroom/trigger here."
    )
    if config.problems_at("trigger.secret"):
        return
    if not secret:
        config.problem("trigger.secret", "nothing", "is set: the name or ARN of a secret of Secrets Manager.", step)
    elif _TOKEN.fullmatch(secret):
        # Not shown: it would stand in the log.
        config.problem("trigger.secret", "What is written", "is a token itself: it is known now, so revoke it.", step)
    elif not _SECRET.fullmatch(secret):
        config.problem("trigger.secret", "What is written", "is no name or ARN of a secret.", step)


def _read_topics(config: ConfigReader, key: str) -> list[str]:
    topics = config.texts(key)
    for index, topic in enumerate(topics):
        if not _TOPIC.fullmatch(topic):
            step = "Write arn:aws:sns:REGION:ACCOUNT:NAME: `aws sns list-topics` prints them."
            _wrong(config, f"{key}[{index}]", topic, "is no ARN of an SNS topic.", step)
    return topics
