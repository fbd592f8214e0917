"""The recorded runs of the real ipamd, and how to play one of them on the model."""

import gzip
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headroom.capacity.ec2 import MemorySubnets
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import NODE_SUBNET, NodeSimulation

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDED = Path(__file__).parents[1] / "data" / "ipamd_observed.jsonl.gz"
IDLE_SECONDS = 600.0

Scenario = dict[str, Any]
Event = dict[str, Any]
# ENIs, secondary addresses, prefixes, assigned, pending, held
Checkpoint = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What the model did in one scenario."""

    checkpoints: tuple[Checkpoint, ...]
    settled: bool
    not_ready: str | None
    calls: Counter[str]
    idle_calls: int
    held_by_subnet: dict[str, int]
    peak: int
    settle_seconds: float
    seen_enis: tuple[int, int]


@cache
def scenarios() -> tuple[Scenario, ...]:
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


def simulate(scenario: Scenario, seed: int = 0) -> NodeSimulation:
    subnets = MemorySubnets()
    for subnet in scenario.get("subnets", [{"id": NODE_SUBNET}]):
        subnets.add_subnet(
            subnet["id"],
            free_addresses=subnet.get("free_ips"),
            free_blocks=subnet.get("free_28_blocks"),
            tags={} if subnet["id"] == NODE_SUBNET else {"kubernetes.io/role/cni": "1"},
        )
    return NodeSimulation(
        limits=InstanceLimits(**scenario["limits"]),
        settings=CniSettings.from_environment(scenario["env"]),
        max_pods=scenario["max_pods"],
        subnets=subnets,
        eniconfig_subnet=scenario.get("eniconfig_subnet"),
        seed=seed,
    )


def checkpoint(node: NodeSimulation) -> Checkpoint:
    state = node.state
    return (
        state.enis,
        state.secondary_addresses,
        state.prefixes,
        state.assigned,
        len(node.pending),
        state.subnet_addresses,
    )


def apply(node: NodeSimulation, event: Event) -> None:
    """Everything that can happen but ``settle``."""
    actions: dict[str, Callable[[], object]] = {
        "add": lambda: node.add(event["n"]),
        "paced": lambda: node.add_paced(event["n"], event["every_s"]),
        "remove": lambda: node.remove(event["n"], event["which"]),
        "wait": lambda: node.wait(event["seconds"]),
        "cordon": node.cordon,
        "uncordon": node.uncordon,
        "restart": lambda: node.restart(CniSettings.from_environment(event["env"])),
        "subnet_add": lambda: node.subnets.free_more(event["subnet"], event["n"]),
    }
    actions["paced" if event.get("mode") == "paced" else event["op"]]()


def play(scenario: Scenario, seed: int = 0) -> Played:
    node = simulate(scenario, seed)
    checkpoints: list[Checkpoint] = []
    settled = True
    settle_seconds = 0.0
    for event in scenario["events"]:
        if node.ipamd.not_ready is not None:
            checkpoints.append(checkpoint(node))
            break
        if event["op"] != "settle":
            apply(node, event)
            continue
        begin = node.now
        settled = node.settle()
        settle_seconds = max(settle_seconds, node.last_change - begin)
        checkpoints.append(checkpoint(node))
    before = sum(node.subnets.calls.values())
    seen = {node.state.enis}
    not_ready = node.ipamd.not_ready
    if not_ready is None:
        # A pool at rest is not worth looking at while it idles.
        step = IDLE_SECONDS if settled else 2.5
        for _ in range(round(IDLE_SECONDS / step)):
            node.wait(step)
            seen.add(node.state.enis)
    return Played(
        checkpoints=tuple(checkpoints),
        settled=settled,
        not_ready=not_ready,
        calls=Counter(node.subnets.calls),
        idle_calls=sum(node.subnets.calls.values()) - before,
        held_by_subnet=node.subnets.held(),
        peak=node.peak_subnet_addresses,
        settle_seconds=settle_seconds,
        seen_enis=(min(seen), max(seen)),
    )


@cache
def played(index: int) -> Played:
    """The model's run of a scenario with its first seed."""
    return play(scenarios()[index])
