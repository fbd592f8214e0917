"""The stack of a traffic shift: one step of the way from the old cluster to the new one, behind Azure Front Door."""

from pathlib import Path
from typing import Any, Final

import pulumi

from components.traffic_shift import TrafficShift, TrafficShiftArgs
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.gate_history import file_name, read_history
from headroom.planning.traffic import GateRecord, Traffic, order_problems, read_traffic
from stacks.azure_settings import stacks_folder
from stacks.settings import ConfigReader

NAME: Final = "shift"
"""Logical name of the component: it never changes."""


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration, or a step that comes before the gate passed.
    """
    traffic = read_settings(ConfigReader())
    history = read_gate(pulumi.get_stack(), stacks_folder())
    problems = order_problems(traffic, history)
    if problems:
        raise ProblemsError(problems)
    shift = TrafficShift(NAME, TrafficShiftArgs(traffic=traffic))
    pulumi.export("step", traffic.step)
    pulumi.export("share", shift.share)
    pulumi.export("next", f"headroom gate stacks/Pulumi.{pulumi.get_stack()}.yaml")


def read_settings(config: ConfigReader) -> Traffic:
    """Reads the configuration.

    Raises:
        ProblemsError: Every problem with its key.
    """
    found: dict[str, Any] = {
        key: config.mapping(key) or None for key in ("frontDoor", "originGroup", "origins", "gate")
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


def read_gate(stack: str, folder: Path) -> tuple[GateRecord, ...]:
    """What `headroom gate` has recorded of a stack.

    Raises:
        ProblemsError: The file is there and cannot be read.
    """
    path = folder / file_name(stack)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(
            rule="gate-history",
            value=path.name,
            reason=f"cannot be read: {type(error).__name__}.",
            next_step="Restore it from Git.",
        )
        raise ProblemsError([problem]) from None
    return read_history(text, stack=stack, subject=path.name)
