"""The rules' configuration: the engine's file format, what each key may hold, and exceptions with an expiry date."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any, Final, Literal

from headroom.addresses.blocks import Block, read_blocks, shown
from headroom.addresses.problems import Problem
from headroom.capacity.fleet import DEFAULT_SURGE
from policies.resources import Resource

Enforcement = Literal["mandatory", "advisory", "disabled"]
LEVELS: Final[tuple[Enforcement, ...]] = ("mandatory", "advisory", "disabled")
ALL: Final = "all"
"""The key of the file that holds for every rule (pulumi/pulumi, pkg/resource/analyzer/config.go)."""
LEVEL_KEY: Final = "enforcementLevel"
EXCEPTIONS_KEY: Final = "exceptions"

EXCEPTIONS: Final[Mapping[str, Any]] = {
    "type": "array",
    "description": "Resources that are let pass, each with a reason and a date after which it fails again",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["resource", "reason", "expires"],
        "properties": {
            "resource": {"type": "string", "description": "Name or URN of the resource"},
            "reason": {"type": "string", "description": "Why, for the next reader"},
            "expires": {"type": "string", "description": "Last day, such as 2026-12-31"},
        },
    },
}
"""The key that every rule has."""

# Keys that several rules have.
CNI_VERSION: Final[Mapping[str, Any]] = {
    "type": "string",
    "description": "Version of the VPC CNI that runs, such as 1.19.2, where the stack does not install it",
}
CLUSTER_NAME: Final[Mapping[str, Any]] = {"type": "string", "description": "Name of the EKS cluster"}
VPC_CIDR_BLOCKS: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {"type": "string"},
    "description": "All CIDRs of the VPC, the primary first, where the VPC is not part of the stack",
}
ENVIRONMENT: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "aws-node's settings as they are live, such as WARM_IP_TARGET",
}
CIDR_BLOCKS: Final[Mapping[str, Any]] = {"type": "array", "items": {"type": "string"}}
EXPECTED_NODES: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": {"type": "integer", "minimum": 0},
    "description": "Nodes by availability zone at their most",
}
PODS_PER_NODE: Final[Mapping[str, Any]] = {
    "type": "integer",
    "minimum": 0,
    "description": "Pods on the pod network of one node, at most",
}
INSTANCE_TYPE: Final[Mapping[str, Any]] = {"type": "string", "description": "Instance type of the nodes"}
SURGE: Final[Mapping[str, Any]] = {
    "type": "integer",
    "minimum": 0,
    "default": DEFAULT_SURGE,
    "description": "Nodes more during a rolling upgrade",
}


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """What the configuration file says of one rule; `enforcement` None leaves the rule's own level."""

    properties: Mapping[str, Any] = field(default_factory=dict)
    enforcement: Enforcement | None = None


@dataclass(frozen=True, slots=True)
class PolicyException:
    """A resource that one rule lets pass until the end of a day."""

    resource: str
    reason: str
    expires: date

    def covers(self, resource: Resource | None) -> bool:
        """Whether it is about that resource."""
        return resource is not None and self.resource in (resource.name, resource.urn)


def read_configuration(
    document: object, schemas: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> dict[str, RuleConfig]:
    """Reads the file that `pulumi preview --policy-pack-config` takes.

    Args:
        document: The JSON document.
        schemas: Each rule's config schema by its name.
        problems: Grows by everything that is wrong with the document.
    """
    if not isinstance(document, Mapping):
        problems.append(_wrong("the file", document, "is not a mapping of rules."))
        return {}
    found: dict[str, RuleConfig] = {}
    overall = _level(document.get(ALL), ALL, problems)
    if overall is not None:
        found = {name: RuleConfig(enforcement=overall) for name in schemas}
    for name, value in document.items():
        if name == ALL:
            continue
        if name not in schemas:
            near = get_close_matches(str(name), schemas, n=1)
            step = f"Did you mean {near[0]}?" if near else f"Write one of {', '.join(schemas)}."
            problems.append(_wrong(str(name), name, "is not a rule.", step))
            continue
        level = _level(value, name, problems) or overall
        properties = {key: item for key, item in value.items() if key != LEVEL_KEY} if isinstance(value, dict) else {}
        problems.extend(check_schema(name, properties, schemas[name]))
        found[name] = RuleConfig(properties, level)
    return found


def _level(value: object, name: str, problems: list[Problem]) -> Enforcement | None:
    level = value.get(LEVEL_KEY) if isinstance(value, Mapping) else value
    if level is None or (name == ALL and not level):
        return None
    for allowed in LEVELS:
        if level == allowed:
            return allowed
    problems.append(_wrong(f"{name}.{LEVEL_KEY}", level, f"is none of {', '.join(LEVELS)}."))
    return None


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
_WORDS: Final[Mapping[str, str]] = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "a mapping",
}


def check_schema(name: str, properties: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Problem]:
    """What of a rule's configuration its schema does not allow; every problem at once.

    The engine checks it for its own runs; `headroom check` reads the file itself.
    """
    for key, value in properties.items():
        allowed = {**schema, EXCEPTIONS_KEY: EXCEPTIONS}
        if key not in allowed:
            near = get_close_matches(key, allowed, n=1)
            step = f"Did you mean {near[0]}?" if near else f"Write one of {', '.join(allowed)}."
            yield _wrong(f"{name}.{key}", key, "is no key of this rule.", step)
        else:
            yield from _check_value(f"{name}.{key}", value, allowed[key])


def _check_value(place: str, value: object, schema: Mapping[str, Any]) -> Iterator[Problem]:
    kind = schema.get("type", "object")
    whole = kind != "integer" or (isinstance(value, int | float) and value % 1 == 0)
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean") or not whole:
        yield _wrong(place, value, f"is not {_WORDS[kind]}.")
        return
    least = schema.get("minimum")
    if least is not None and isinstance(value, int | float) and value < least:
        yield _wrong(place, value, f"is below {least}.")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_value(f"{place}[{index}]", item, schema.get("items", {}))
    if isinstance(value, dict):
        yield from _check_members(place, value, schema)


def _check_members(place: str, value: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Problem]:
    known = schema.get("properties", {})
    more = schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield _wrong(f"{place}.{name}", None, "is set.")
    for name, item in value.items():
        if name in known:
            yield from _check_value(f"{place}.{name}", item, known[name])
        elif isinstance(more, Mapping):
            yield from _check_value(f"{place}.{name}", item, more)
        elif not more:
            yield _wrong(f"{place}.{name}", name, "is no key here.", f"Write one of {', '.join(known)}.")


def exceptions(
    name: str, config: Mapping[str, Any], today: date, problems: list[Problem]
) -> tuple[PolicyException, ...]:
    """The exceptions of one rule that hold today; those that have expired, or cannot be read, become problems."""
    listed = config.get(EXCEPTIONS_KEY) or ()
    if not isinstance(listed, list | tuple):
        problems.append(_wrong(f"{name}.{EXCEPTIONS_KEY}", listed, "is not a list."))
        return ()
    found: list[PolicyException] = []
    for index, item in enumerate(listed):
        place = f"{name}.{EXCEPTIONS_KEY}[{index}]"
        wrong = list(_check_value(place, item, EXCEPTIONS["items"]))
        if wrong:
            problems.extend(wrong)
            continue
        try:
            expires = date.fromisoformat(item["expires"])
        except ValueError:
            problems.append(_wrong(f"{place}.expires", item["expires"], "is no date.", "Write it as 2026-12-31."))
            continue
        if not item["reason"].strip():
            problems.append(_wrong(f"{place}.reason", item["reason"], "says nothing.", "Write why."))
        elif expires < today:
            problems.append(
                Problem(
                    rule="exception-expired",
                    key=place,
                    value=item["resource"],
                    reason=f"was let pass until {expires} ({item['reason']}), and that day is over.",
                    next_step="Mend the resource and take the exception out, or decide anew and set a new date.",
                )
            )
        else:
            found.append(PolicyException(item["resource"], item["reason"], expires))
    return tuple(found)


def texts(config: Mapping[str, Any], key: str) -> list[str]:
    """The list of text under a key of a rule's configuration; what is not text is refused by the schema, not here."""
    value = config.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | tuple) else []


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """aws-node's live settings as a rule's configuration has them."""
    value = config.get("environment")
    if not isinstance(value, Mapping):
        return {}
    return {str(name): item for name, item in value.items() if isinstance(item, str)}


def config_blocks(
    name: str, config: Mapping[str, Any], keys: Collection[str]
) -> tuple[dict[str, list[Block]], list[Problem]]:
    """The CIDRs under these keys of a rule's configuration, and what is wrong with them."""
    problems: list[Problem] = []
    found: dict[str, list[Block]] = {}
    for key in keys:
        value = config.get(key) or []
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple):
            problems.append(_wrong(f"{name}.{key}", value, "is not a list of CIDRs."))
            texts = []
        found[key] = read_blocks(texts, key=f"configuration of {name}: {key}", problems=problems)
    return found, problems


def with_node_zones(configuration: Mapping[str, RuleConfig]) -> Mapping[str, RuleConfig]:
    """The configuration in which the zones that `pod-subnet-size` expects nodes in count for `pod-subnet-zones` too.

    A zone that was left out has no subnet that the one rule could look at, so the other has to know of it.
    """
    expected = configuration.get("pod-subnet-size", RuleConfig()).properties.get("expectedNodes")
    if not isinstance(expected, Mapping):
        return configuration
    zones = [str(zone) for zone, nodes in expected.items() if isinstance(nodes, int | float) and nodes > 0]
    own = configuration.get("pod-subnet-zones", RuleConfig())
    named = {**own.properties, "nodeZones": list(dict.fromkeys([*texts(own.properties, "nodeZones"), *zones]))}
    return {**configuration, "pod-subnet-zones": RuleConfig(named, own.enforcement)}


def _wrong(place: str, value: object, reason: str, next_step: str = "") -> Problem:
    return Problem(
        rule="policy-configuration",
        key=place,
        value="nothing" if value is None else shown(value),
        reason=reason,
        next_step=next_step or "Mend it in the policy configuration file.",
    )
