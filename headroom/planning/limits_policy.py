"""What the stack file of a limits stack knows beside its resources, for the policy `node-group-within-capacity`."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from headroom.addresses.blocks import Block, usable_addresses
from headroom.addresses.problems import ProblemsError

LIMITS: Final = "limits"
"""`headroom:remedy` of such a stack (stacks/limits.py)."""

RULE: Final = "node-group-within-capacity"

_KEYS: Final = "headroom:"


def policy_facts(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The configuration of the policy pack, as far as it can say what the file says; empty where it cannot.

    The rule knows one list of zones and one number of pods for all node groups that have neither in the stack, and adds
    up all subnets of a zone: so only where all managed groups agree, and pods and nodes share their subnets.
    """
    groups = [fields for fields in _mappings(config, "nodeLimits") if fields.get("kind", "managed") == "managed"]
    environment = config.get(f"{_KEYS}cniEnvironment") or {}
    zones: Counter[str] = Counter()
    for fields in _mappings(config, "fleetSubnets"):
        try:
            usable = usable_addresses(Block.parse(str(fields.get("cidrBlock"))))
        except ProblemsError:
            return {}
        others = fields.get("heldByOthers", 0)
        if fields.get("role", "shared") not in ("shared", "pods") or not isinstance(others, int):
            return {}
        zones[str(fields.get("zone"))] += usable - others
    chosen = {tuple(sorted(fields.get("zones") or zones)) for fields in groups}
    pods = {fields.get("podsPerNode") for fields in groups}
    if len(chosen) != 1 or len(pods) != 1 or not isinstance(environment, Mapping):
        return {}
    found: dict[str, Any] = {
        "nodeZones": list(*chosen),
        "zoneAddresses": dict(sorted(zones.items())),
        "environment": dict(environment),
        "surge": config.get(f"{_KEYS}upgradeSurge", 1),
    }
    (each,) = pods
    return {RULE: {**found, **({} if each is None else {"podsPerNode": each})}}


def _mappings(config: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = config.get(f"{_KEYS}{key}")
    return [each for each in found.values() if isinstance(each, Mapping)] if isinstance(found, Mapping) else []
