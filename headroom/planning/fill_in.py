"""What a plan leaves to a person in a stack file: the form of it, what each is, and how it is found.

A plan writes the whole file, so that a reviewer sees what there will be; what no reading knows has this form, and every
stack refuses it until somebody has written the value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem

RULE: Final = "fill-in"
"""The rule of each such problem."""
FILL_IN: Final = "fill-in"
"""How every value begins that only a person knows: `grep -rn fill-in stacks/` finds what is left."""
NO_WORKSPACE: Final = "00000000-0000-0000-0000-000000000000"
"""Stands for the workspace, which has to have the form of a GUID."""
_WORKSPACE_KEY: Final = "gate.workspaceId"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a key holds that only a person knows.

    Attributes:
        what: It, in words.
        how: How it is found.
    """

    what: str
    how: str


_PROFILES: Final = "az resource list --resource-type Microsoft.Cdn/profiles --output table"
_IN_PROFILE: Final = "--profile-name PROFILE --resource-group GROUP --output table"
_ORIGINS: Final = f"az afd origin list --origin-group-name ORIGINGROUP {_IN_PROFILE}"
ASKED: Final[Mapping[str, Asked]] = {
    "frontDoor.resourceGroup": Asked(what="the resource group of Front Door's profile", how=_PROFILES),
    "frontDoor.profile": Asked(what="Front Door's profile", how=_PROFILES),
    "frontDoor.originGroup": Asked(
        what="the origin group that sends requests to the old cluster", how=f"az afd origin-group list {_IN_PROFILE}"
    ),
    "origins.old.name": Asked(what="the origin of the old cluster", how=_ORIGINS),
    "origins.old.hostName": Asked(what="where Front Door finds the old cluster", how=_ORIGINS),
    "origins.new.hostName": Asked(
        what="where Front Door will find the new cluster",
        how="the name in DNS of what lets requests into it: kubectl get services,ingresses --all-namespaces",
    ),
    "origins.old.originHostHeader": Asked(
        what="the Host header of the old origin; leave the key out where it has none", how=_ORIGINS
    ),
    "origins.new.originHostHeader": Asked(
        what="the Host header of the new origin: that of the old one, where both serve the same names", how=_ORIGINS
    ),
    _WORKSPACE_KEY: Asked(
        what="the Log Analytics workspace that has AppRequests of both clusters",
        how='az monitor log-analytics workspace list --query "[].{name:name, id:customerId}" --output table',
    ),
}
"""By key, without `headroom:` (Azure CLI reference, az afd, az monitor log-analytics workspace)."""


def is_open(key: str, value: object) -> bool:
    """Whether a value is one that a plan has left to a person.

    Args:
        key: Its key, without `headroom:`, such as `gate.workspaceId`.
        value: What the file has there.
    """
    if not isinstance(value, str):
        return False
    return value.casefold().startswith(FILL_IN) or (key == _WORKSPACE_KEY and value == NO_WORKSPACE)


def open_keys(config: Mapping[str, Any]) -> dict[str, str]:
    """What is still to be filled in of a stack file's `headroom:` keys, by key."""
    return {key: value for key, value in _values(config) if is_open(key, value)}


def open_problems(config: Mapping[str, Any]) -> list[Problem]:
    """A problem for each value that is still to be filled in: what it is, and how it is found."""
    problems = []
    for key, value in open_keys(config).items():
        asked = ASKED.get(key)
        problems.append(
            Problem(
                rule=RULE,
                key=f"headroom:{key}",
                value=shown(value),
                reason=f"is still to be filled in: {asked.what if asked else 'only a person knows it'}.",
                next_step=f"Find it: {asked.how}" if asked else "Write the value; the comment above it says which.",
            )
        )
    return problems


def _values(value: object, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _values(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _values(each, f"{key}[{number}]")
    else:
        yield key, value
