"""A shift of traffic from one cluster to another behind Azure Front Door: its keys, its steps, its order.

The program (`stacks/aks_traffic.py`) and the gate (`headroom gate`) both read the stack file through here, so that
they agree on what a step is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.emergency_keys import near
from headroom.planning.front_door import DEFAULT_STEPS, LEAST_LATENCY_SENSITIVITY, WHOLE, kept_weight, weight_of

REMEDY: Final = "aks-traffic"
KEYS: Final = ("remedy", "frontDoor", "originGroup", "origins", "steps", "step", "gate")
FRONT_DOOR_FIELDS: Final = ("subscriptionId", "resourceGroup", "profile", "originGroup")
GROUP_FIELDS: Final = (
    "probePath",
    "probeProtocol",
    "probeRequestType",
    "probeIntervalInSeconds",
    "additionalLatencyInMilliseconds",
    "sampleSize",
    "successfulSamplesRequired",
)
SIDES: Final = ("old", "new")
ORIGIN_FIELDS: Final = (
    "name",
    "hostName",
    "label",
    "originHostHeader",
    "httpPort",
    "httpsPort",
    "enforceCertificateNameCheck",
)
GATE_FIELDS: Final = (
    "workspaceId",
    "query",
    "clusterProperty",
    "soakMinutes",
    "propagationMinutes",
    "baselineMinutes",
    "ingestionMinutes",
    "leastRequests",
    "errorPoints",
    "latencyFactor",
    "throughputDrop",
    "sharePoints",
)

ROLLBACK_WINDOW_DAYS: Final = 9
"""Days that the old cluster stays whole after the last step (issue 7)."""

SHARE_MISS: Final = Fraction(1, 200)
"""By how much the share of a step's whole-numbered weights may miss it."""

_DIGITS: Final = re.compile(r"[0-9]{1,3}")
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.()-]{0,89}")
"""Resource groups have up to 90 characters, and what Front Door names fewer (Azure naming rules)."""
_COLUMN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_. -]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One of the two origins.

    Attributes:
        name: Its name in the origin group.
        host_name: Where Front Door sends its requests.
        label: What the requests' log calls the cluster behind it.
        host_header: The Host header of its requests; empty for the client's own.
        http_port: Its port for HTTP.
        https_port: Its port for HTTPS.
        check_certificate_name: Whether its certificate must name it.
    """

    name: str
    host_name: str
    label: str
    host_header: str = ""
    http_port: int = 80
    https_port: int = 443
    check_certificate_name: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginGroup:
    """Settings of the origin group on which weights depend.

    Attributes:
        probe_path: What a probe asks for: it must say whether the cluster can serve.
        probe_protocol: Http or Https.
        probe_request_type: HEAD or GET.
        probe_interval_seconds: Seconds between two probes of one edge.
        latency_milliseconds: Milliseconds by which a slower origin still gets its share.
        sample_size: Probes that count.
        samples_required: Those of them that must succeed.
    """

    probe_path: str
    probe_protocol: str = "Https"
    probe_request_type: str = "HEAD"
    probe_interval_seconds: int = 30
    latency_milliseconds: int = 1000
    sample_size: int = 4
    samples_required: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What a step must show before the next one.

    The triggers are those of the AKS documentation's blue-green scenario (aks-production-upgrade-strategies): an error
    rate 1 to 3 points over the baseline for five minutes, a 95th percentile of twice the baseline for three, a fifth
    less throughput for five. The other defaults are ours.

    Attributes:
        workspace_id: The Log Analytics workspace that has the requests.
        query: A query of the user's own, instead of the one over AppRequests.
        cluster_property: The custom property of a request that names its cluster.
        soak_minutes: How long a step is watched once traffic has moved (issue 7: 45).
        propagation_minutes: How long Front Door may take until it has (azure-docs: up to 45 minutes).
        baseline_minutes: How much of the time before the change is the old cluster's baseline.
        ingestion_minutes: How old a request's row may be before it can be read.
        least_requests: Requests that the new cluster must have answered during the soak.
        error_points: Percentage points over the baseline's error rate.
        latency_factor: Times the baseline's 95th percentile.
        throughput_drop: Percent of the baseline's requests that may be missing.
        share_points: Percentage points by which the observed share may differ, beside what chance explains.
    """

    workspace_id: str
    query: str = ""
    cluster_property: str = "cluster"
    soak_minutes: int = 45
    propagation_minutes: int = 45
    baseline_minutes: int = 60
    ingestion_minutes: int = 5
    least_requests: int = 1000
    error_points: float = 1.0
    latency_factor: float = 2.0
    throughput_drop: float = 20.0
    share_points: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginState:
    """How an origin stands in Front Door.

    Attributes:
        enabled: Whether it gets traffic at all.
        weight: Its weight.
    """

    enabled: bool
    weight: int

    def __str__(self) -> str:
        return f"weight {self.weight}" if self.enabled else "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A shift as its stack file says it.

    Attributes:
        subscription_id: Subscription of the Front Door profile.
        resource_group: Its resource group.
        profile: The profile.
        origin_group: The group that has both origins.
        group: The settings that the group must have.
        old: Where the traffic comes from.
        new: Where it goes.
        steps: Shares of the new cluster, in percent, one after the other.
        step: The share that the stack asks for now; 0 before the first step and after a rollback.
        gate: What a step must show.
    """

    subscription_id: str
    resource_group: str
    profile: str
    origin_group: str
    group: OriginGroup
    old: Origin
    new: Origin
    steps: tuple[int, ...] = DEFAULT_STEPS
    step: int = 0
    gate: GateSettings = field(default_factory=lambda: GateSettings(workspace_id=""))

    def states(self, step: int | None = None) -> dict[str, OriginState]:
        """What each origin's state is at a step (the stack's own unless told otherwise), by its name.

        The old origin keeps one weight for the whole shift, so that a step is one operation: Front Door queues
        operations, and each takes its time to spread.
        """
        at = self.step if step is None else step
        kept = kept_weight(self.steps)
        if at == 0:
            return {
                self.old.name: OriginState(enabled=True, weight=kept),
                self.new.name: OriginState(enabled=False, weight=weight_of(min(self.steps), kept)),
            }
        between = max((step for step in self.steps if step < WHOLE), default=WHOLE // 2)
        return {
            self.old.name: OriginState(enabled=at < WHOLE, weight=kept),
            self.new.name: OriginState(enabled=True, weight=weight_of(min(at, between), kept)),
        }

    def share(self, step: int | None = None) -> Fraction:
        """The new cluster's share of the requests at a step, from the weights that stand for it."""
        states = self.states(step)
        weights = {name: state.weight for name, state in states.items() if state.enabled}
        return Fraction(weights.get(self.new.name, 0), sum(weights.values()))


class Outcome(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    STOPPED = "stopped"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecord:
    """One line of the gate's history, which lies beside the stack file.

    Attributes:
        stack: The stack.
        step: The share that was watched, in percent.
        outcome: How it ended.
        started: When the watch began, in UTC.
        ended: When it ended.
        because: Why, in sentences.
        figures: The readings behind it.
    """

    stack: str
    step: int
    outcome: Outcome
    started: datetime
    ended: datetime
    because: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


def highest_step(steps: Sequence[int], history: Sequence[GateRecord]) -> int:
    """The highest share that may come next: one step above what has passed, never above what was stopped.

    Going back is always allowed.
    """
    if not history:
        return min(steps)
    last = history[-1]
    if last.outcome is Outcome.PASSED:
        return min((step for step in steps if step > last.step), default=max(last.step, *steps))
    if last.outcome is Outcome.UNDECIDED:
        return last.step
    return max((step for step in steps if step < last.step), default=0)


def order_problems(traffic: Traffic, history: Sequence[GateRecord]) -> list[Problem]:
    """What is wrong with the stack's step after what the gate has seen."""
    allowed = highest_step(traffic.steps, history)
    if traffic.step <= allowed:
        return []
    last = history[-1] if history else None
    before = (
        f"the gate's last record is step {last.step}: {last.outcome.value}" if last else "the gate has seen no step yet"
    )
    return [
        Problem(
            rule="one-step-at-a-time",
            key="headroom:step",
            value=str(traffic.step),
            reason=f"comes too early: {before}.",
            next_step=f"Write {allowed}, or a lower step, and run `headroom gate` before the next one.",
        )
    ]


def retirement_problems(traffic: Traffic, history: Sequence[GateRecord], now: datetime, days: int) -> list[Problem]:
    """Why the old cluster must not be retired yet: all traffic moved, the gate content, and the window over."""
    last = history[-1] if history else None
    full = max(traffic.steps)
    if last is None or last.outcome is not Outcome.PASSED or last.step != full:
        seen = f"step {last.step}: {last.outcome.value}" if last else "nothing"
        return [
            Problem(
                rule="gate-passed",
                value=f"the gate's last record ({seen})",
                reason=f"does not say that step {full} has passed.",
                next_step=f"Shift all traffic, and let `headroom gate` pass at {full}.",
            )
        ]
    over = last.ended + timedelta(days=days)
    if now < over:
        return [
            Problem(
                rule="rollback-window",
                value=f"{now:%Y-%m-%d %H:%M} UTC",
                reason=f"is within {days} days of the end of step {full}, when the old cluster is the way back.",
                next_step=f"Wait until {over:%Y-%m-%d %H:%M} UTC.",
            )
        ]
    return []


def read_traffic(config: Mapping[str, Any]) -> Traffic:
    """Reads the `headroom:` keys of a stack file, without the namespace.

    Raises:
        ProblemsError: Everything that is wrong with them.
    """
    problems: list[Problem] = []
    for key in config:
        if key not in KEYS:
            _wrong(problems, key, shown(str(config[key])), "is under a key that is not known here.", near(key, KEYS))
    door = _mapping(problems, "frontDoor", config.get("frontDoor"), FRONT_DOOR_FIELDS)
    texts = {name: _name(problems, f"frontDoor.{name}", door.get(name), name) for name in FRONT_DOOR_FIELDS}
    origins = _mapping(problems, "origins", config.get("origins"), SIDES)
    sides = {side: _origin(problems, f"origins.{side}", origins.get(side)) for side in SIDES}
    if sides["old"] and sides["new"]:
        for what in ("name", "host_name", "label"):
            value = getattr(sides["new"], what)
            if value and value == getattr(sides["old"], what):
                _wrong(problems, "origins", shown(value), f"is the {what.replace('_', ' ')} of both.", "They differ.")
    group = _group(problems, config.get("originGroup"))
    steps = _steps(problems, config.get("steps", list(DEFAULT_STEPS)))
    step = config.get("step", 0)
    # `pulumi config set`, and `pulumi up --config`, write numbers as texts.
    step = int(step) if isinstance(step, str) and _DIGITS.fullmatch(step) else step
    if isinstance(step, bool) or not isinstance(step, int) or step not in (0, *steps):
        _wrong(problems, "step", shown(str(step)), "is none of the steps.", f"Write one of {listed((0, *steps))}.")
        step = 0
    gate = _gate(problems, config.get("gate"))
    if problems or not (sides["old"] and sides["new"] and gate and group):
        raise ProblemsError(problems, subject=REMEDY)
    return Traffic(
        subscription_id=texts["subscriptionId"],
        resource_group=texts["resourceGroup"],
        profile=texts["profile"],
        origin_group=texts["originGroup"],
        group=group,
        old=sides["old"],
        new=sides["new"],
        steps=steps,
        step=step,
        gate=gate,
    )


def _wrong(problems: list[Problem], key: str, value: str, reason: str, next_step: str = "") -> None:
    problems.append(
        Problem(rule="configuration", key=f"headroom:{key}", value=value, reason=reason, next_step=next_step)
    )


def _mapping(problems: list[Problem], key: str, value: object, allowed: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _wrong(problems, key, "nothing" if value is None else shown(str(value)), f"is no mapping of {listed(allowed)}.")
        return {}
    for name in value:
        if name not in allowed:
            _wrong(problems, f"{key}.{name}", shown(str(name)), "is not known here.", near(str(name), tuple(allowed)))
    return value


def _name(problems: list[Problem], key: str, value: object, kind: str) -> str:
    form = _GUID if kind in ("subscriptionId", "workspaceId") else _NAME
    if isinstance(value, str) and form.fullmatch(value):
        return value
    what = "a GUID" if form is _GUID else "a name of Azure's"
    _wrong(problems, key, "nothing" if value is None else shown(str(value)), f"is not {what}.")
    return ""


def _origin(problems: list[Problem], key: str, value: object) -> Origin | None:
    before = len(problems)
    fields = _mapping(problems, key, value, ORIGIN_FIELDS)
    if len(problems) > before:
        return None
    name = _name(problems, f"{key}.name", fields.get("name"), "name")
    host = _name(problems, f"{key}.hostName", fields.get("hostName"), "hostName")
    label = fields.get("label", name)
    if not isinstance(label, str) or not label or any(sign in label for sign in "\"'\\\n|;"):
        _wrong(problems, f"{key}.label", shown(str(label)), "is no plain text, and a query names it.")
        label = ""
    header = fields.get("originHostHeader", "")
    header = _name(problems, f"{key}.originHostHeader", header, "hostName") if header else ""
    check = fields.get("enforceCertificateNameCheck", True)
    if not isinstance(check, bool):
        _wrong(problems, f"{key}.enforceCertificateNameCheck", shown(str(check)), "is not true or false.")
    ports = {name: _number(problems, f"{key}.{name}", fields.get(name, port), 1, 65535) for name, port in _PORTS}
    return Origin(
        name=name,
        host_name=host,
        label=label,
        host_header=header,
        http_port=ports["httpPort"],
        https_port=ports["httpsPort"],
        check_certificate_name=bool(check),
    )


def _number(problems: list[Problem], key: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        _wrong(problems, key, shown(str(value)), f"is no whole number from {least} to {most}.")
        return least
    return value


def _group(problems: list[Problem], value: object) -> OriginGroup | None:
    """The group's settings: weights mean nothing without them."""
    fields = _mapping(problems, "originGroup", value, GROUP_FIELDS)
    if not fields:
        return None
    path = fields.get("probePath")
    if not isinstance(path, str) or not path.startswith("/") or len(path) > _PATH_CHARACTERS:
        _wrong(
            problems,
            "originGroup.probePath",
            "nothing" if path is None else shown(str(path)),
            "is no path that a probe can ask for, and a cluster that cannot serve would keep its share.",
            "Write the path that says whether the cluster can serve, such as /healthz.",
        )
        path = "/"
    choices = {}
    for name, allowed in (("probeProtocol", ("Https", "Http")), ("probeRequestType", ("HEAD", "GET"))):
        choices[name] = fields.get(name, allowed[0])
        if choices[name] not in allowed:
            _wrong(problems, f"originGroup.{name}", shown(str(choices[name])), f"is none of {listed(allowed)}.")
    numbers = {
        name: _number(problems, f"originGroup.{name}", fields.get(name, fallback), least, most)
        for name, fallback, least, most in _GROUP_NUMBERS
    }
    if numbers["successfulSamplesRequired"] > numbers["sampleSize"]:
        reason = f"is more than the {numbers['sampleSize']} of sampleSize."
        _wrong(problems, "originGroup.successfulSamplesRequired", str(numbers["successfulSamplesRequired"]), reason)
    return OriginGroup(
        probe_path=path,
        probe_protocol=str(choices["probeProtocol"]),
        probe_request_type=str(choices["probeRequestType"]),
        probe_interval_seconds=numbers["probeIntervalInSeconds"],
        latency_milliseconds=numbers["additionalLatencyInMilliseconds"],
        sample_size=numbers["sampleSize"],
        samples_required=numbers["successfulSamplesRequired"],
    )


def _steps(problems: list[Problem], value: object) -> tuple[int, ...]:
    good = (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(step, int) and not isinstance(step, bool) and 0 < step <= WHOLE for step in value)
        and list(value) == sorted(set(value))
    )
    if not good or not isinstance(value, list | tuple):
        _wrong(
            problems, "steps", shown(str(value)), "is no rising list of percentages.", f"Write {list(DEFAULT_STEPS)}."
        )
        return DEFAULT_STEPS
    steps = tuple(value)
    if steps[-1] != WHOLE:
        _wrong(problems, "steps", shown(str(value)), "never moves all traffic.", "End it with 100.")
    kept = kept_weight(steps)
    for step in steps:
        weight = weight_of(step, kept) if step < WHOLE else 0
        if step < WHOLE and abs(Fraction(weight, weight + kept) - Fraction(step, WHOLE)) > SHARE_MISS:
            _wrong(
                problems,
                "steps",
                str(step),
                "cannot be had beside the others with one weight for the old origin: weights are 1 to 1000.",
                "Leave it out, or the one farthest from it.",
            )
    return steps


def _gate(problems: list[Problem], value: object) -> GateSettings | None:
    fields = _mapping(problems, "gate", value, GATE_FIELDS)
    workspace = _name(problems, "gate.workspaceId", fields.get("workspaceId"), "workspaceId")
    texts = {}
    for name, fallback in (("query", ""), ("clusterProperty", "cluster")):
        texts[name] = fields.get(name, fallback)
        if not isinstance(texts[name], str) or (name == "clusterProperty" and not _COLUMN.fullmatch(texts[name])):
            _wrong(problems, f"gate.{name}", shown(str(texts[name])), "is no text that a query can have.")
    numbers: dict[str, Any] = {}
    for key, (name, least, most) in _NUMBERS.items():
        found = fields.get(key)
        if found is None:
            continue
        whole = name not in ("error_points", "latency_factor", "throughput_drop", "share_points")
        number = isinstance(found, int) or (isinstance(found, float) and not whole)
        if isinstance(found, bool) or not number or not least <= found <= most:
            _wrong(problems, f"gate.{key}", shown(str(found)), f"is no number from {least} to {most}.")
        else:
            numbers[name] = found
    return GateSettings(
        workspace_id=workspace, query=texts["query"], cluster_property=texts["clusterProperty"], **numbers
    )


_PORTS: Final = (("httpPort", 80), ("httpsPort", 443))
_PATH_CHARACTERS: Final = 1024
_GROUP_NUMBERS: Final = (
    ("probeIntervalInSeconds", 30, 5, 255),
    ("additionalLatencyInMilliseconds", 1000, LEAST_LATENCY_SENSITIVITY, 1000),
    ("sampleSize", 4, 1, 255),
    ("successfulSamplesRequired", 3, 1, 255),
)
"""Numbers of a group: default, least, most (Azure Front Door documentation, health-probes and origin; the latency's
least is ours)."""

_NUMBERS: Final[Mapping[str, tuple[str, float, float]]] = {
    "soakMinutes": ("soak_minutes", 5, 1440),
    "propagationMinutes": ("propagation_minutes", 1, 240),
    "baselineMinutes": ("baseline_minutes", 10, 1440),
    "ingestionMinutes": ("ingestion_minutes", 0, 60),
    "leastRequests": ("least_requests", 1, 10**9),
    "errorPoints": ("error_points", 0, 100),
    "latencyFactor": ("latency_factor", 1, 100),
    "throughputDrop": ("throughput_drop", 1, 100),
    "sharePoints": ("share_points", 0.1, 50),
}
"""Keys of the gate's numbers, the field of each, and what it may be: a soak of a day at most is what AKS takes for a
batch of its own blue-green upgrades (AKS documentation, blue-green-node-pool-upgrade)."""
