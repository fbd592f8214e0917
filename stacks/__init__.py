"""One module a stack; `headroom:remedy` in the stack's file chooses it, so stack names are the user's."""

from importlib import import_module

import pulumi

from headroom.addresses.problems import Problem, ProblemsError

REMEDIES = {
    "emergency": "stacks.emergency",
    "density": "stacks.density",
    "watch": "stacks.watch",
    "limits": "stacks.limits",
    "aks-egress": "stacks.aks_egress",
    "aks-overlay": "stacks.aks_overlay",
    "aks-traffic": "stacks.aks_traffic",
    "aks-retire": "stacks.aks_retire",
}
"""Module by the value of `headroom:remedy`."""


def deploy() -> None:
    """Declares the resources of the configured stack.

    Raises:
        pulumi.RunError: The configuration is refused: every problem with its key, and nothing was registered.
    """
    try:
        module = import_module(_module_of(pulumi.Config("headroom").get("remedy") or ""))
        module.deploy()
    except ProblemsError as error:
        raise pulumi.RunError(_message(error)) from error


def _module_of(remedy: str) -> str:
    if remedy not in REMEDIES:
        raise ProblemsError(
            [
                Problem(
                    rule="remedy",
                    key="headroom:remedy",
                    value=repr(remedy),
                    reason="is not a stack.",
                    next_step=f"Run `pulumi config set headroom:remedy {next(iter(REMEDIES))}`; "
                    f"there are: {', '.join(REMEDIES)}.",
                )
            ]
        )
    return REMEDIES[remedy]


def _message(error: ProblemsError) -> str:
    count = len(error.problems)
    lines = [f"{count} problem{'s' if count != 1 else ''} in Pulumi.{pulumi.get_stack()}.yaml; nothing was changed."]
    lines.extend(f"  - {problem.message}" for problem in error.problems)
    return "\n".join(lines)
