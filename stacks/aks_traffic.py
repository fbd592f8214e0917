"""The stack of a traffic shift: one step of the way from the old cluster to the new one, behind Azure Front Door."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pulumi

from components.traffic_guard import group_names, origin_names
from components.traffic_shift import TrafficShift, TrafficShiftArgs
from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning import probe_record
from headroom.planning.gate_history import file_name, read_history
from headroom.planning.traffic import (
    REMEDY,
    GateRecord,
    Traffic,
    is_first,
    order_problems,
    read_traffic,
    same_group_problem,
)
from stacks.azure_adoption import Candidate, Found, find_existing, theirs
from stacks.azure_settings import recorded, stacks_folder
from stacks.recorded import recorded_resources
from stacks.settings import NAMESPACE, ConfigReader
from stacks.stack_files import beside, config_of

NAME: Final = "shift"
"""Logical name of the component: it never changes."""


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration, a step that comes before the gate passed, or a
            way back to a cluster that is being retired.
    """
    traffic = read_settings(ConfigReader())
    folder, stack = stacks_folder(), pulumi.get_stack()
    problems = retired_problems(traffic, stack, folder)
    twins = other_shifts(traffic, stack, folder)
    # The way back to 0 asks for no history, and for nobody else: it is there when those are what is broken.
    if traffic.step:
        history = read_gate(stack, folder)
        problems += [*twins, *order_problems(traffic, history), *probes_problems(traffic, history, stack, folder)]
    if problems:
        raise ProblemsError(problems)
    for twin in twins:
        pulumi.log.warn(f"{twin.value} {twin.reason} Step 0 takes its traffic back as well.")
    adopt = find_existing(candidates(traffic), recorded_resources())
    shift = TrafficShift(NAME, TrafficShiftArgs(traffic=traffic, adopt=adopt))
    pulumi.export("step", traffic.step)
    pulumi.export("share", shift.share)
    pulumi.export("next", f"headroom gate stacks/Pulumi.{pulumi.get_stack()}.yaml")


def candidates(traffic: Traffic) -> Iterator[Candidate]:
    """The group and the old origin, which are there, and the new origin, which may be."""

    def not_new(found: Found) -> str:
        host = str(found.get("hostName") or "")
        if host.casefold() == traffic.new.host_name.casefold():
            return ""
        return f"is there already and sends requests to {host}, not to {traffic.new.host_name}."

    def not_old(found: Found) -> str:
        # It serves everybody now: who takes it over must not send its requests elsewhere.
        for field, ours in (("hostName", traffic.old.host_name), ("originHostHeader", traffic.old.host_header)):
            live = str(found.get(field) or "")
            if live and live.casefold() != ours.casefold():
                return f"has {field} {live}, and the file would make it {ours or 'none'}."
        return ""

    yield Candidate(
        type="azure-native:cdn:AFDOriginGroup",
        name=f"{NAME}-group",
        key="headroom:frontDoor.originGroup",
        called=traffic.origin_group,
        function="cdn:getAFDOriginGroup",
        arguments=group_names(traffic),
        foreign=theirs,
        must=True,
    )
    for side, origin in (("old", traffic.old), ("new", traffic.new)):
        yield Candidate(
            type="azure-native:cdn:AFDOrigin",
            name=f"{NAME}-{side}",
            key=f"headroom:origins.{side}.name",
            called=origin.name,
            function="cdn:getAFDOrigin",
            arguments=origin_names(traffic, origin.name),
            foreign=not_old if side == "old" else not_new,
            next_step="Write it as Front Door has it: nothing of the old origin changes but its weight."
            if side == "old"
            else "Give the new origin another name, or take that one off.",
            must=side == "old",
        )


def read_settings(config: ConfigReader) -> Traffic:
    """Reads the configuration.

    Raises:
        ProblemsError: Every problem with its key.
    """
    found: dict[str, Any] = {
        key: config.mapping(key) or None for key in ("frontDoor", "originGroup", "origins", "gate", "withoutProbes")
    }
    steps = config.numbers("steps")
    if steps:
        found["steps"] = steps
    found["step"] = config.integer("step", 0)
    config.refuse_other_keys("remedy")
    traffic = config.attempt(lambda: read_traffic({key: value for key, value in found.items() if value is not None}))
    if config.problems or traffic is None:
        raise ProblemsError(config.problems)
    return traffic


def retired_problems(traffic: Traffic, stack: str, folder: Path) -> list[Problem]:
    """What is wrong with a way back by the stack files beside this one: the old cluster may have no nodes any more."""
    if traffic.step == max(traffic.steps):
        return []
    return [
        Problem(
            rule="old-cluster-retired",
            key=f"{NAMESPACE}:step",
            value=str(traffic.step),
            reason=f"sends requests to {traffic.old.name}, and {path.name} stands at {NAMESPACE}:phase {phase}: its "
            "nodes are gone or going.",
            next_step=f"Bring its nodes back (az aks nodepool scale), write {NAMESPACE}:phase: keep there, and repeat "
            "the command.",
        )
        for path in beside(folder, stack, "trafficStack", stack)
        if (phase := _phase_of_end(path, stack))
    ]


def other_shifts(traffic: Traffic, stack: str, folder: Path) -> list[Problem]:
    """Other stacks beside this one that move the same origin group."""
    files = ((path, _config_of_other(path)) for path in beside(folder, stack, REMEDY, traffic.origin_group))
    found = (same_group_problem(traffic, config, path.name) for path, config in files)
    return [problem for problem in found if problem is not None]


def _config_of_other(path: Path) -> Mapping[str, Any]:
    """What is wrong with another stack's file is said where that stack is run; a way back does not wait for it."""
    try:
        return config_of(path)
    except ProblemsError:
        return {}


def _phase_of_end(path: Path, stack: str) -> str:
    """How far the stack file of a retirement has come that waits for this stack; empty where none has begun."""
    # Only where there is such a file: a preview waits for what is loaded.
    from headroom.planning.retirement import PHASES  # noqa: PLC0415
    from headroom.planning.retirement import REMEDY as RETIREMENT  # noqa: PLC0415

    config = _config_of_other(path)
    ours = config.get(f"{NAMESPACE}:remedy") == RETIREMENT and config.get(f"{NAMESPACE}:trafficStack") == stack
    phase = str(config.get(f"{NAMESPACE}:phase", PHASES[0]))
    return phase if ours and phase != PHASES[0] else ""


def probes_problems(traffic: Traffic, history: Sequence[GateRecord], stack: str, folder: Path) -> tuple[Problem, ...]:
    """Why the first requests must not come yet: the policies of the new cluster have not been shown to be enforced.

    Raises:
        ProblemsError: The record of the probes cannot be read.
    """
    if not is_first(traffic, history):
        return ()
    name = probe_record.file_name(stack)
    text = recorded(folder / name, rule="probes-record")
    record = probe_record.read_record(text, subject=name) if text is not None else None
    without, now = traffic.without_probes, datetime.now(UTC)
    if without is not None and now.date() <= without.expires:
        pulumi.log.warn(f"The first requests come without probes, as the stack file says: {shown(without.reason)}.")
    return probe_record.first_step_problems(record, traffic.new.cluster, f"stacks/{name}", without=without, now=now)


def read_gate(stack: str, folder: Path) -> tuple[GateRecord, ...]:
    """What `headroom gate` has recorded of a stack.

    Raises:
        ProblemsError: The file is there and cannot be read.
    """
    path = folder / file_name(stack)
    text = recorded(path, rule="gate-history")
    return () if text is None else read_history(text, stack=stack, subject=path.name)
