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
from headroom.planning.front_door import (
    DEFAULT_PRIORITY,
    DEFAULT_STEPS,
    LEAST_LATENCY_SENSITIVITY,
    WHOLE,
    kept_weight,
    weight_of,
)
from headroom.planning.keys import KeyReader, told
from headroom.planning.probe_record import WithoutProbes, read_without

REMEDY: Final = "aks-traffic"
KEYS: Final = ("remedy", "frontDoor", "originGroup", "origins", "steps", "step", "gate", "withoutProbes")
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
    "cluster",
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
    "mostBaselineErrorPoints",
    "mostLatencyMilliseconds",
)

ROLLBACK_WINDOW_DAYS: Final = 9
"""Days that the old cluster stays whole after the last step (issue 7)."""

MOST_OF_FIRST: Final = 50
"""Percent of the requests that a first step may move to a cluster that has not served any; our own choice."""

STEP_MISS: Final = Fraction(1, 50)
"""By how much Front Door's weights may miss a step and still stand at it; our own choice."""

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
        cluster: Name of the AKS cluster behind it; empty where the stack file does not say.
        host_header: The Host header of its requests; empty for the client's own.
        http_port: Its port for HTTP.
        https_port: Its port for HTTPS.
        check_certificate_name: Whether its certificate must name it.
    """

    name: str
    host_name: str
    label: str
    cluster: str = ""
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
        most_baseline_error_points: Percent of errors above which the old cluster is in trouble itself, and no measure:
            a new one that fails as often would pass. Ten is our own choice; a site that answers many 404s raises it.
        most_latency_milliseconds: 95th percentile that is too slow whatever the old cluster's is, such as the service's
            objective; 0: none.
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
    most_baseline_error_points: float = 10.0
    most_latency_milliseconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginState:
    """How an origin stands in Front Door.

    Attributes:
        enabled: Whether it gets traffic at all.
        weight: Its weight.
        priority: Its priority: weights count among origins of one alone.
        host_name: Where its requests go; empty where nobody looked.
    """

    enabled: bool
    weight: int
    priority: int = DEFAULT_PRIORITY
    host_name: str = ""

    def __str__(self) -> str:
        return f"weight {self.weight}" if self.enabled else "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """How an origin group stands in Front Door.

    Attributes:
        session_affinity: Whether sessions stay on the origin that they began with.
        latency_milliseconds: Milliseconds by which a slower origin still gets its share.
        probe_path: What a probe asks for; empty: there is none.
    """

    session_affinity: bool
    latency_milliseconds: int
    probe_path: str


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
        without_probes: That the first step may come without the probes of the new cluster's policies.
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
    without_probes: WithoutProbes | None = None

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
        found = share_of(states[self.new.name], states[self.old.name])
        assert found is not None  # noqa: S101 - at every step one of the two is enabled
        return found

    @property
    def identity(self) -> str:
        """What tells this shift from every other: where it is, and from where to where it goes."""
        place = f"{self.subscription_id}/{self.resource_group}/{self.profile}/{self.origin_group}"
        ends = (f"{origin.name} ({origin.host_name})" for origin in (self.old, self.new))
        return f"{place}: {' to '.join(ends)}".casefold()


def share_of(new: OriginState | None, old: OriginState | None) -> Fraction | None:
    """The share of two origins' requests that the new one gets; None where neither is enabled."""
    found = [state for state in (new, old) if state is not None and state.enabled]
    if not found:
        return None
    # Front Door sends to the lowest priority that is enabled and healthy, whatever the weights.
    least = min(state.priority for state in found)
    mine = new.weight if new is not None and new.enabled and new.priority == least else 0
    return Fraction(mine, sum(state.weight for state in found if state.priority == least))


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
        shift: The shift that was watched (`Traffic.identity`).
        because: Why, in sentences.
        figures: The readings behind it.
    """

    stack: str
    step: int
    outcome: Outcome
    started: datetime
    ended: datetime
    shift: str = ""
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
    if traffic.step == 0:
        return []
    problems = foreign_problems(traffic, history)
    if problems:
        return problems
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


def is_first(traffic: Traffic, history: Sequence[GateRecord]) -> bool:
    """Whether the stack's step gives the new cluster its first requests: no step has passed yet."""
    return traffic.step > 0 and all(record.outcome is not Outcome.PASSED or not record.step for record in history)


def foreign_problems(traffic: Traffic, history: Sequence[GateRecord]) -> list[Problem]:
    """Records of another shift: of another profile, or between other origins, which prove nothing of this one."""
    found = next((record for record in history if record.shift != traffic.identity), None)
    if found is None:
        return []
    return [
        Problem(
            rule="gate-history",
            key="headroom:origins",
            value=traffic.identity,
            reason=f"is not what the gate watched at step {found.step} ({found.ended:%Y-%m-%d %H:%M} UTC): "
            f"{found.shift or 'that record names no shift'}.",
            next_step="Put origins and frontDoor back as they were; for another shift, write headroom:step: 0, take "
            "the history away in the same pull request, and begin with the first step.",
        )
    ]


def same_group_problem(traffic: Traffic, config: object, file: str) -> Problem | None:
    """What is wrong with another stack file beside this one: it moves the same origin group; None: it does not.

    Args:
        traffic: The shift.
        config: The other file's `config`, as it was read.
        file: What it is called.
    """
    door = config.get("headroom:frontDoor") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping) or config.get("headroom:remedy") != REMEDY or not isinstance(door, Mapping):
        return None
    theirs = "/".join(str(door.get(name)) for name in FRONT_DOOR_FIELDS).casefold()
    if theirs != traffic.identity.partition(": ")[0]:
        return None
    return Problem(
        rule="one-shift",
        key="headroom:frontDoor",
        value=file,
        reason=f"moves the origin group {traffic.origin_group} too: the steps of the two would undo one another.",
        next_step="Leave one of the two; the other one's resources go out of its state, and stay.",
    )


def retirement_problems(traffic: Traffic, history: Sequence[GateRecord], now: datetime, days: int) -> list[Problem]:
    """Why the old cluster must not be retired yet: all traffic moved, the gate content, and the window over."""
    problems = foreign_problems(traffic, history)
    if problems:
        return problems
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
    if traffic.step != full:
        return [
            Problem(
                rule="traffic-moved",
                value=f"headroom:step {traffic.step} of the traffic stack",
                reason=f"gives {traffic.old.name} requests again since step {full} has passed.",
                next_step=f"Shift all traffic, and let `headroom gate` pass at {full} once more.",
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


def moved_problems(traffic: Traffic, origins: Mapping[str, OriginState | None]) -> list[Problem]:
    """Why the old cluster must not be retired by what Front Door says now: somebody may have moved traffic back.

    Args:
        traffic: The shift.
        origins: How both origins stand, by name; None: it is not there.
    """
    states = {name: origins.get(name) for name in (traffic.old.name, traffic.new.name)}
    old, new = states.values()
    if new is not None and new.enabled and not (old is not None and old.enabled):
        return []
    told = listed(f"{name} {state or 'is not there'}" for name, state in states.items())
    return [
        Problem(
            rule="traffic-moved",
            value=f"Front Door {traffic.profile} ({told})",
            reason=f"does not send all requests to {traffic.new.name}.",
            next_step=f"Run `pulumi up --refresh` with headroom:step: {max(traffic.steps)} in the traffic stack, and "
            "let `headroom gate` pass.",
        )
    ]


def change_problem(traffic: Traffic, name: str, wanted: OriginState, live: Mapping[str, OriginState | None]) -> str:
    """Why an origin must not be written now, and the way on; empty where it may be.

    Args:
        traffic: The shift, at the step that is being applied.
        name: The origin that is about to be written.
        wanted: How it will stand.
        live: How both stand in Front Door before, by name; None: it is not there.
    """
    new, old = traffic.new.name, traffic.old.name
    before = share_of(live.get(new), live.get(old))
    then = {**live, name: wanted}
    after = share_of(then.get(new), then.get(old))
    other = old if name == new else new
    refreshed = "Next: repeat the command with --refresh."
    again = "Next: go back with headroom:step: 0 and --refresh, run `headroom gate`, and begin with the first step."
    if after is None:
        return (
            f"nobody would answer: {name} is to be disabled, and {other} {_standing(live.get(other))} in Front Door, "
            f"whatever this stack's state says.\n{again if traffic.step else refreshed}"
        )
    # Where nobody answers, or where it goes back, everything is better than what is.
    if before is None or after <= before:
        return ""
    share = traffic.share()
    if after > share + STEP_MISS:
        return (
            f"{new} would get {_percent(after)} of the requests, and step {traffic.step} is {_percent(share)}: {other} "
            f"{_standing(live.get(other))} in Front Door.\n{again}"
        )
    least = max((step for step in traffic.steps if step < traffic.step), default=0)
    if before < traffic.share(least) - STEP_MISS:
        return (
            f"{new} gets {_percent(before)} of the requests now, and step {traffic.step} follows {least}: somebody "
            f"took it back since the gate passed.\n{again}"
        )
    return ""


def _standing(state: OriginState | None) -> str:
    return "is not there" if state is None else f"stands at {state}" if state.enabled else "is disabled"


def _percent(share: Fraction) -> str:
    return f"{float(share):.0%}"


def read_traffic(config: Mapping[str, Any]) -> Traffic:
    """Reads the `headroom:` keys of a stack file, without the namespace.

    Raises:
        ProblemsError: Everything that is wrong with them.
    """
    reader = KeyReader()
    reader.known(config, KEYS)
    door = reader.mapping("frontDoor", config.get("frontDoor"), FRONT_DOOR_FIELDS)
    texts = {name: _name(reader, f"frontDoor.{name}", door.get(name), name) for name in FRONT_DOOR_FIELDS}
    origins = reader.mapping("origins", config.get("origins"), SIDES)
    sides = {side: _origin(reader, f"origins.{side}", origins.get(side)) for side in SIDES}
    if sides["old"] and sides["new"]:
        for what in ("name", "host_name", "label", "cluster"):
            value = getattr(sides["new"], what)
            if value and value == getattr(sides["old"], what):
                reader.wrong("origins", shown(value), f"is the {what.replace('_', ' ')} of both.", "They differ.")
    group = _group(reader, config.get("originGroup"))
    steps = _steps(reader, config.get("steps", list(DEFAULT_STEPS)))
    step = config.get("step", 0)
    # `pulumi config set`, and `pulumi up --config`, write numbers as texts.
    step = int(step) if isinstance(step, str) and _DIGITS.fullmatch(step) else step
    if isinstance(step, bool) or not isinstance(step, int) or step not in (0, *steps):
        reader.wrong("step", shown(str(step)), "is none of the steps.", f"Write one of {listed((0, *steps))}.")
        step = 0
    gate = _gate(reader, config.get("gate"))
    without = read_without(reader, config["withoutProbes"]) if config.get("withoutProbes") is not None else None
    if reader.problems or not (sides["old"] and sides["new"] and gate and group):
        raise ProblemsError(reader.problems, subject=REMEDY)
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
        without_probes=without,
    )


def _name(reader: KeyReader, key: str, value: object, kind: str) -> str:
    if kind in ("subscriptionId", "workspaceId"):
        return reader.text(key, value, _GUID, "a GUID")
    return reader.text(key, value, _NAME, "a name of Azure's")


def _origin(reader: KeyReader, key: str, value: object) -> Origin | None:
    before = len(reader.problems)
    fields = reader.mapping(key, value, ORIGIN_FIELDS)
    if len(reader.problems) > before:
        return None
    name = _name(reader, f"{key}.name", fields.get("name"), "name")
    host = _name(reader, f"{key}.hostName", fields.get("hostName"), "hostName")
    label = fields.get("label", name)
    if not isinstance(label, str) or not label or any(sign in label for sign in "\"'\\\n|;"):
        reader.wrong(f"{key}.label", shown(str(label)), "is no plain text, and a query names it.")
        label = ""
    cluster = _name(reader, f"{key}.cluster", fields["cluster"], "name") if "cluster" in fields else ""
    header = fields.get("originHostHeader", "")
    header = _name(reader, f"{key}.originHostHeader", header, "hostName") if header else ""
    check = reader.flag(f"{key}.enforceCertificateNameCheck", fields.get("enforceCertificateNameCheck", True))
    ports = {name: reader.number(f"{key}.{name}", fields.get(name, port), 1, 65535) for name, port in _PORTS}
    return Origin(
        name=name,
        host_name=host,
        label=label,
        cluster=cluster,
        host_header=header,
        http_port=ports["httpPort"],
        https_port=ports["httpsPort"],
        check_certificate_name=check,
    )


def _group(reader: KeyReader, value: object) -> OriginGroup | None:
    """The group's settings: weights mean nothing without them."""
    fields = reader.mapping("originGroup", value, GROUP_FIELDS)
    if not fields:
        return None
    path = fields.get("probePath")
    if not isinstance(path, str) or not path.startswith("/") or len(path) > _PATH_CHARACTERS:
        reader.wrong(
            "originGroup.probePath",
            told(path),
            "is no path that a probe can ask for, and a cluster that cannot serve would keep its share.",
            "Write the path that says whether the cluster can serve, such as /healthz.",
        )
        path = "/"
    choices = {
        name: reader.choice(f"originGroup.{name}", fields.get(name, allowed[0]), allowed)
        for name, allowed in (("probeProtocol", ("Https", "Http")), ("probeRequestType", ("HEAD", "GET")))
    }
    numbers = {
        name: reader.number(f"originGroup.{name}", fields.get(name, fallback), least, most)
        for name, fallback, least, most in _GROUP_NUMBERS
    }
    if numbers["successfulSamplesRequired"] > numbers["sampleSize"]:
        reason = f"is more than the {numbers['sampleSize']} of sampleSize."
        reader.wrong("originGroup.successfulSamplesRequired", str(numbers["successfulSamplesRequired"]), reason)
    return OriginGroup(
        probe_path=path,
        probe_protocol=choices["probeProtocol"],
        probe_request_type=choices["probeRequestType"],
        probe_interval_seconds=numbers["probeIntervalInSeconds"],
        latency_milliseconds=numbers["additionalLatencyInMilliseconds"],
        sample_size=numbers["sampleSize"],
        samples_required=numbers["successfulSamplesRequired"],
    )


def _steps(reader: KeyReader, value: object) -> tuple[int, ...]:
    good = (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(step, int) and not isinstance(step, bool) and 0 < step <= WHOLE for step in value)
        and list(value) == sorted(set(value))
    )
    if not good or not isinstance(value, list | tuple):
        reader.wrong("steps", shown(str(value)), "is no rising list of percentages.", f"Write {list(DEFAULT_STEPS)}.")
        return DEFAULT_STEPS
    steps = tuple(value)
    if steps[-1] != WHOLE:
        reader.wrong("steps", shown(str(value)), "never moves all traffic.", "End it with 100.")
    if steps[0] > MOST_OF_FIRST:
        reason = f"begins with {steps[0]} %: more than {MOST_OF_FIRST} at once is no shift."
        reader.wrong("steps", shown(str(value)), reason, f"Write {list(DEFAULT_STEPS)}.")
    kept = kept_weight(steps)
    for step in steps:
        weight = weight_of(step, kept) if step < WHOLE else 0
        if step < WHOLE and abs(Fraction(weight, weight + kept) - Fraction(step, WHOLE)) > SHARE_MISS:
            reader.wrong(
                "steps",
                str(step),
                "cannot be had beside the others with one weight for the old origin: weights are 1 to 1000.",
                "Leave it out, or the one farthest from it.",
            )
    return steps


def _gate(reader: KeyReader, value: object) -> GateSettings | None:
    fields = reader.mapping("gate", value, GATE_FIELDS)
    workspace = _name(reader, "gate.workspaceId", fields.get("workspaceId"), "workspaceId")
    texts = {}
    for name, fallback in (("query", ""), ("clusterProperty", "cluster")):
        texts[name] = fields.get(name, fallback)
        if not isinstance(texts[name], str) or (name == "clusterProperty" and not _COLUMN.fullmatch(texts[name])):
            reader.wrong(f"gate.{name}", shown(str(texts[name])), "is no text that a query can have.")
    numbers: dict[str, Any] = {}
    for key, (name, least, most) in _NUMBERS.items():
        found = fields.get(key)
        if found is None:
            continue
        whole = isinstance(getattr(_DEFAULTS, name), int)
        number = isinstance(found, int) or (isinstance(found, float) and not whole)
        if isinstance(found, bool) or not number or not least <= found <= most:
            reader.wrong(f"gate.{key}", shown(str(found)), f"is no number from {least} to {most}.")
        else:
            numbers[name] = found
    return GateSettings(
        workspace_id=workspace, query=texts["query"], cluster_property=texts["clusterProperty"], **numbers
    )


_DEFAULTS: Final = GateSettings(workspace_id="")
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
    "mostBaselineErrorPoints": ("most_baseline_error_points", 0, 100),
    "mostLatencyMilliseconds": ("most_latency_milliseconds", 0, 600_000),
}
"""Keys of the gate's numbers, the field of each, and what it may be: a soak of a day at most is what AKS takes for a
batch of its own blue-green upgrades (AKS documentation, blue-green-node-pool-upgrade)."""
