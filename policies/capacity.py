"""The addresses that a stack's pod subnets hold and need, zone by zone, for the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headroom.addresses.blocks import usable_addresses
from headroom.addresses.problems import ProblemsError
from headroom.capacity.demand import ZoneDemand, least_demand, zone_demand
from headroom.capacity.fleet import DEFAULT_SURGE
from policies.free import Free
from policies.network import known_block, known_pod_subnets, zone_of
from policies.nodes import whole_number
from policies.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneCapacity:
    """One zone.

    Attributes:
        zone: Its name.
        before: Addresses of its pod subnets before the change; None where that is not known.
        after: Addresses of its pod subnets as the stack declares them.
        needed: Addresses that its nodes need; None where the configuration does not let that be told.
        basis: What was taken for its nodes, in words; empty where `needed` is None.
        free: Addresses that are free there now; None where that was not read.
    """

    zone: str
    before: int | None
    after: int
    needed: int | None
    basis: str = ""
    free: Free | None = None


def zones(
    resources: Resources,
    before: Resources | None,
    config: Mapping[str, Any],
    free: Mapping[str, Free] | None = None,
) -> list[ZoneCapacity]:
    """Every zone with pod subnets, in order; `config` is that of the rule pod-subnet-size."""
    after = _addresses(resources)
    earlier = _addresses(before) if before is not None else None
    found: list[ZoneCapacity] = []
    for zone in sorted({*after, *(earlier or ())}):
        demand = _demand(zone, config)
        found.append(
            ZoneCapacity(
                zone=zone,
                before=None if earlier is None else earlier.get(zone, 0),
                after=after.get(zone, 0),
                needed=None if demand is None else demand.addresses,
                basis="" if demand is None else demand.text.rstrip(","),
                free=(free or {}).get(zone),
            )
        )
    return found


def _addresses(resources: Resources) -> dict[str, int]:
    found: dict[str, int] = {}
    for subnet in known_pod_subnets(resources):
        zone, block = zone_of(subnet), known_block(subnet)
        if isinstance(zone, str) and block is not None:
            found[zone] = found.get(zone, 0) + usable_addresses(block)
    return found


def _demand(zone: str, config: Mapping[str, Any]) -> ZoneDemand | None:
    expected = config.get("expectedNodes")
    if not expected:
        return least_demand()
    nodes = whole_number(expected, zone) if isinstance(expected, Mapping) else None
    pods, kind, environment = whole_number(config, "podsPerNode"), config.get("instanceType"), config.get("environment")
    if nodes is None or pods is None or not isinstance(kind, str):
        return None
    surge = whole_number(config, "surge")
    try:
        return zone_demand(
            nodes=nodes,
            surge=DEFAULT_SURGE if surge is None else surge,
            instance_type=kind,
            pods_per_node=pods,
            environment=environment if isinstance(environment, Mapping) else {},
        )
    except ProblemsError:
        return None  # pod-subnet-size says what is wrong with the configuration
