"""The recorded runs of the real ipamd, and how to play one of them on the model."""

import gzip
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from headroom.capacity.ec2 import MemorySubnets
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import NODE_SUBNET, NodeSimulation

RECORDED = Path(__file__).parents[1] / "data" / "ipamd_observed.jsonl.gz"
IDLE_SECONDS = 600.0

Scenario = dict[str, Any]
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


def play(scenario: Scenario, seed: int = 0) -> Played:
    node = simulate(scenario, seed)
    checkpoints: list[Checkpoint] = []
    settled = True
    settle_seconds = 0.0
    for event in scenario["events"]:
        if node.ipamd.not_ready is not None:
            checkpoints.append(checkpoint(node))
            break
        match event["op"]:
            case "add" if event["mode"] == "paced":
                node.add_paced(event["n"], event["every_s"])
            case "add":
                node.add(event["n"])
            case "remove":
                node.remove(event["n"], event["which"])
            case "settle":
                begin = node.now
                settled = node.settle()
                settle_seconds = max(settle_seconds, node.last_change - begin)
                checkpoints.append(checkpoint(node))
            case "wait":
                node.wait(event["seconds"])
            case "cordon":
                node.cordon()
            case "uncordon":
                node.uncordon()
            case "restart":
                node.restart(CniSettings.from_environment(event["env"]))
            case "subnet_add":
                node.subnets.free_more(event["subnet"], event["n"])
            case other:
                raise AssertionError(f"unknown event {other}")
    calls = Counter(node.subnets.calls)
    not_ready = node.ipamd.not_ready
    seen = {node.state.enis}
    if not_ready is None:
        end = node.now + IDLE_SECONDS
        while node.now < end:
            node.wait(2.5)
            seen.add(node.state.enis)
    idle = sum((node.subnets.calls - calls).values())
    return Played(
        checkpoints=tuple(checkpoints),
        settled=settled,
        not_ready=not_ready,
        calls=Counter(node.subnets.calls),
        idle_calls=idle,
        held_by_subnet=node.subnets.held(),
        peak=node.peak_subnet_addresses,
        settle_seconds=settle_seconds,
        seen_enis=(min(seen), max(seen)),
    )
