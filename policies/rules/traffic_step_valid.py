"""A step of a traffic shift moves the traffic that it says."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem
from headroom.planning.front_door import (
    DEFAULT_PRIORITY,
    DEFAULT_STEPS,
    DEFAULT_WEIGHT,
    LEAST_LATENCY_SENSITIVITY,
    PRIORITIES,
    WEIGHTS,
    shares,
)
from policies.findings import Finding, Undecided, read
from policies.nodes import whole_number
from policies.resources import FRONT_DOOR_ORIGIN, FRONT_DOOR_ORIGIN_GROUP, Resource, Resources

NAME = "traffic-step-valid"
DESCRIPTION = "Weights of a Front Door origin group are ones that it takes, and that decide where requests go."
TYPES = (FRONT_DOOR_ORIGIN_GROUP, FRONT_DOOR_ORIGIN)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("aks", "traffic")
REMEDIATION = (
    "Write weights from 1 to 1000 and enabledState: Disabled for none; one priority for both origins; on the group "
    "loadBalancingSettings.additionalLatencyInMilliseconds: 1000, sessionAffinityState: Disabled, and "
    "healthProbeSettings with the path that says whether the cluster can serve."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "steps": {
        "type": "array",
        "items": {"type": "integer", "minimum": 0},
        "description": f"Percentages that a shift may stand at, such as {list(DEFAULT_STEPS)}; none are held to it "
        "where it is not set",
    },
    "leastLatencyMilliseconds": {
        "type": "integer",
        "minimum": 0,
        "default": LEAST_LATENCY_SENSITIVITY,
        "description": "Latency sensitivity that a group with weights has at least",
    },
}

TOLERANCE: Final = Fraction(1, 2)
"""Percentage points by which a share may miss its step: weights are whole numbers."""

SHIFTED: Final = 2
"""Origins between which a step moves traffic."""

_ROUTING: Final = "Azure Front Door documentation, routing-methods"
_PROBES: Final = "Azure Front Door documentation, health-probes"


@dataclass(slots=True)
class _Origin:
    """An origin, as far as it could be read."""

    resource: Resource
    enabled: bool | None
    weight: int | None
    written: bool
    """Whether a weight is written at all."""
    priority: int | None


@dataclass(slots=True)
class _Group:
    name: str
    resource: Resource | None
    origins: list[_Origin] = field(default_factory=list)


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Weights that Front Door refuses, and groups in which weights do nothing.

    Stops: the last step of a shift, whose script wrote the old origin's weight as 0. That was refused, the next
    command succeeded, the pipeline was green, and the old cluster kept a third of the traffic until it was deleted.
    """
    groups: dict[str, _Group] = {
        group.urn: _Group(group.name, group) for group in resources.of_type(FRONT_DOOR_ORIGIN_GROUP)
    }
    names = _names(resources)
    for resource in resources.of_type(FRONT_DOOR_ORIGIN):
        origin, said = _origin(resource)
        yield from said
        key = _group_of(resources, resource, names)
        if isinstance(key, Undecided):
            yield Finding(resource, key, "originGroupName")
        else:
            groups.setdefault(key, _Group(key.rpartition("/")[2], None)).origins.append(origin)
    for group in groups.values():
        yield from _judge(group, config)


def _names(resources: Resources) -> dict[str, str]:
    """The URN of each group by what origins call it."""
    found = {}
    for group in resources.of_type(FRONT_DOOR_ORIGIN_GROUP):
        for name in (group.properties.get("originGroupName"), group.properties.get("name")):
            if isinstance(name, str):
                found[_key(group.properties.get("profileName"), name)] = group.urn
    return found


def _key(profile: object, group: str) -> str:
    return f"{profile if isinstance(profile, str) else ''}/{group}".casefold()


def _group_of(resources: Resources, origin: Resource, names: Mapping[str, str]) -> str | Undecided:
    name = read(origin.properties, "originGroupName", str)
    if isinstance(name, str):
        # The profile's name may be known only to one of the two.
        key = _key(origin.properties.get("profileName"), name)
        return names.get(key) or names.get(_key(None, name)) or key
    sources = resources.sources(origin, "originGroupName", FRONT_DOOR_ORIGIN_GROUP)
    if len(sources) == 1:
        return sources[0].urn
    return name or Undecided("originGroupName", "is not set.")


def _origin(resource: Resource) -> tuple[_Origin, list[Finding]]:
    said: list[Finding] = []
    weight, priority = read(resource.properties, "weight", int), read(resource.properties, "priority", int)
    state = read(resource.properties, "enabledState", str)
    for key, value, allowed, step in (
        ("weight", weight, WEIGHTS, "Write enabledState: Disabled for no traffic, else a weight from 1 to 1000."),
        ("priority", priority, PRIORITIES, "Write 1 for every origin that traffic is shifted between."),
    ):
        if isinstance(value, Undecided):
            said.append(Finding(resource, value, key))
        elif value is not None and value not in allowed:
            reason = f"is refused by Front Door, which takes {allowed[0]} to {allowed[-1]}."
            said.append(Finding(resource, _problem(f"{key} {value}", reason, step, _ROUTING), key))
    if isinstance(state, Undecided):
        said.append(Finding(resource, state, "enabledState"))
    origin = _Origin(
        resource=resource,
        enabled=None if isinstance(state, Undecided) else state is None or state.casefold() != "disabled",
        weight=_known(weight, DEFAULT_WEIGHT, WEIGHTS),
        written=weight is not None,
        priority=_known(priority, DEFAULT_PRIORITY, PRIORITIES),
    )
    return origin, said


def _known(value: int | Undecided | None, default: int, allowed: range) -> int | None:
    if value is None:
        return default
    return value if isinstance(value, int) and value in allowed else None


def _judge(group: _Group, config: Mapping[str, Any]) -> Iterator[Finding]:
    origins = group.origins
    if origins and all(origin.enabled is False for origin in origins):
        problem = _problem(
            f"origin group {shown(group.name)}",
            "has no enabled origin: nobody answers its requests.",
            "Enable the origin that takes over before the other one is disabled.",
            _ROUTING,
        )
        yield Finding(group.resource or origins[0].resource, problem, "enabledState")
    open_ = [origin for origin in origins if origin.enabled is not False]
    if len(open_) < SHIFTED or not any(origin.written for origin in open_):
        return
    yield from _priorities(group, open_)
    yield from _step(group, open_, config)
    if group.resource is None:
        reason = "is not part of this stack: its latency sensitivity and session affinity decide whether weights count."
        yield Finding(origins[0].resource, Undecided(f"origin group {shown(group.name)}", reason), "originGroupName")
    else:
        yield from _settings(group.resource, config)


def _priorities(group: _Group, origins: list[_Origin]) -> Iterator[Finding]:
    weights, priorities = {origin.weight for origin in origins}, {origin.priority for origin in origins}
    if None not in weights | priorities and len(weights) > 1 and len(priorities) > 1:
        least = min(origin.priority or DEFAULT_PRIORITY for origin in origins)
        last = next(origin for origin in origins if origin.priority != least)
        problem = _problem(
            f"priority {last.priority} of {last.resource.name}",
            f"gives it no traffic while an origin of {shown(group.name)} with priority {least} is healthy, whatever "
            "its weight.",
            f"Write priority: {least} for both.",
            _ROUTING,
        )
        yield Finding(last.resource, problem, "priority")


def _step(group: _Group, origins: list[_Origin], config: Mapping[str, Any]) -> Iterator[Finding]:
    written = config.get("steps")
    listed_ = written if isinstance(written, list | tuple) else ()
    # What is no number is refused by the schema; numbers come from the engine as floating-point ones.
    steps = [step for step in listed_ if isinstance(step, int | float) and math.isfinite(step)]
    if not steps or len(origins) != SHIFTED or any(origin.enabled is None for origin in origins):
        return
    weights = {origin.resource.urn: origin.weight for origin in origins if origin.weight is not None}
    if len(weights) != SHIFTED:
        return
    percent = [100 * share for share in shares(weights).values()]
    if not any(abs(share - Fraction(step)) <= TOLERANCE for share in percent for step in steps):
        problem = _problem(
            f"weights {' and '.join(str(weight) for weight in weights.values())}",
            f"of {shown(group.name)} are {' and '.join(f'{float(share):.0f} %' for share in percent)}, which is none "
            f"of the steps {listed(f'{step:g}' for step in steps)}.",
            "Write the weights of the next step: one step a change.",
            "",
        )
        yield Finding(origins[0].resource, problem, "weight")


def _settings(group: Resource, config: Mapping[str, Any]) -> Iterator[Finding]:
    latency = read(group.properties, "loadBalancingSettings.additionalLatencyInMilliseconds", int)
    least = whole_number(config, "leastLatencyMilliseconds")
    least = LEAST_LATENCY_SENSITIVITY if least is None else least
    if isinstance(latency, Undecided):
        yield Finding(group, latency, "loadBalancingSettings")
    elif (latency or 0) < least:
        problem = _problem(
            f"additionalLatencyInMilliseconds {0 if latency is None else latency}",
            f"of {group.name} leaves weights to the origins that answer within it of the fastest; the others get "
            "nothing.",
            "Write loadBalancingSettings.additionalLatencyInMilliseconds: 1000.",
            _ROUTING,
        )
        yield Finding(group, problem, "loadBalancingSettings")
    affinity = read(group.properties, "sessionAffinityState", str)
    if isinstance(affinity, Undecided):
        yield Finding(group, affinity, "sessionAffinityState")
    elif affinity is not None and affinity.casefold() != "disabled":
        problem = _problem(
            f"sessionAffinityState {shown(affinity)}",
            f"of {group.name} keeps sessions on the origin that they began with, whatever its weight is by then.",
            "Write sessionAffinityState: Disabled.",
            _ROUTING,
        )
        yield Finding(group, problem, "sessionAffinityState")
    yield from _probe(group)


def _probe(group: Resource) -> Iterator[Finding]:
    path = read(group.properties, "healthProbeSettings.probePath", str)
    kind = read(group.properties, "healthProbeSettings.probeRequestType", str)
    for value in (path, kind):
        if isinstance(value, Undecided):
            yield Finding(group, value, "healthProbeSettings")
            return
    if not path or kind == "NotSet":
        problem = _problem(
            f"origin group {group.name}",
            "has no health probe that asks anything of an origin, and a cluster that cannot serve keeps its share.",
            "Write healthProbeSettings: {probePath: /healthz, probeProtocol: Https, probeRequestType: HEAD, "
            "probeIntervalInSeconds: 30}.",
            _PROBES,
        )
        yield Finding(group, problem, "healthProbeSettings")


def _problem(value: str, reason: str, next_step: str, source: str) -> Problem:
    return Problem(rule=NAME, value=value, reason=reason, next_step=next_step, source=source)
