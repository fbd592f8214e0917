"""What every stack on Azure reads."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pulumi

from headroom.addresses.problems import Problem
from stacks.settings import ConfigReader


def required_location(config: ConfigReader) -> str:
    """The region; a problem is added where it is not set."""
    location = pulumi.Config("azure-native").get("location") or ""
    if not location:
        config.problems.append(
            Problem(
                rule="location-known",
                key="azure-native:location",
                value="nothing",
                reason="is set, and what an AKS stack makes has a region.",
                next_step="Run `pulumi config set azure-native:location eastus2`.",
            )
        )
    return location


def stacks_folder() -> Path:
    """Where the stack files are, and beside them what the gate and the audit have recorded."""
    root = pulumi.get_root_directory()
    # Without an engine, as in `headroom check`, nobody says where the project is: it is this one.
    return (Path(root) if root else Path(__file__).parents[1]) / "stacks"


def now() -> datetime:
    """The time; where a rehearsal's simulated Azure is named, the simulated time that it gives."""
    on_this_machine = os.environ.get("HEADROOM_REHEARSAL_ARM", "").startswith("https://127.0.0.1:")
    simulated = os.environ.get("HEADROOM_REHEARSAL_NOW") if on_this_machine else None
    return datetime.fromisoformat(simulated) if simulated else datetime.now(UTC)
