"""What every stack on Azure reads."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pulumi

from headroom.addresses.problems import Problem, ProblemsError
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


def refuse_other_subscription(subscription: str) -> None:
    """Refuses a VNet that the provider would look for, by its names, in another subscription.

    Raises:
        ProblemsError: The provider's subscription is another one.
    """
    # Where no engine runs, as in `headroom check`, the environment is nobody's provider.
    environment = os.environ.get("ARM_SUBSCRIPTION_ID", "") if pulumi.get_root_directory() else ""
    ours = pulumi.Config("azure-native").get("subscriptionId") or environment
    if ours and ours.casefold() != subscription.casefold():
        problem = Problem(
            rule="subscription",
            key="azure-native:subscriptionId",
            value=ours,
            reason=f"is not the subscription of the VNet, which is {subscription}.",
            next_step="Run the stack in the VNet's subscription, or name a VNet of this one.",
        )
        raise ProblemsError([problem])


def stacks_folder() -> Path:
    """Where the stack files are, and beside them what the gate and the audit have recorded."""
    root = pulumi.get_root_directory()
    # Without an engine, as in `headroom check`, nobody says where the project is: it is this one.
    return (Path(root) if root else Path(__file__).parents[1]) / "stacks"


def recorded(path: Path, *, rule: str) -> str | None:
    """The text of a file that a command has recorded beside the stack files; ``None``: there is none.

    Raises:
        ProblemsError: It is there and cannot be read.
    """
    try:
        # Editors of Windows put a mark before a text.
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = f"cannot be read: {type(error).__name__}."
        problem = Problem(rule=rule, value=path.name, reason=reason, next_step="Restore it from Git.")
        raise ProblemsError([problem]) from None


def now() -> datetime:
    """The time; where a rehearsal's simulated Azure is named, the simulated time that it gives."""
    on_this_machine = os.environ.get("HEADROOM_REHEARSAL_ARM", "").startswith("https://127.0.0.1:")
    simulated = os.environ.get("HEADROOM_REHEARSAL_NOW") if on_this_machine else None
    return datetime.fromisoformat(simulated) if simulated else datetime.now(UTC)
