"""An update of the managed add-on must not lose what was set by hand."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.problems import Problem
from headroom.capacity.settings import live_settings_to_keep
from policies import cni
from policies.configuration import ENVIRONMENT, environment
from policies.findings import Finding, Undecided, read
from policies.resources import ADDON, Resource, Resources

NAME = "addon-keeps-settings"
DESCRIPTION = "The vpc-cni add-on is updated with OVERWRITE, and with every setting that is live among its values."
TYPES = (ADDON,)
SCOPE = "resource"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "cni-settings")
REMEDIATION = (
    "Write resolveConflictsOnUpdate: OVERWRITE, and in configurationValues.env all that "
    "`kubectl -n kube-system get daemonset aws-node -o yaml` shows and somebody chose. `environment` in the policy's "
    "configuration is that list."
)
CONFIG_SCHEMA: Mapping[str, Any] = {"environment": ENVIRONMENT}

_WHY: Final[Mapping[str, tuple[str, str]]] = {
    "NONE": ("fails as soon as one value was set by hand (ConfigurationConflict)", "amazon-vpc-cni-k8s #2607"),
    "PRESERVE": ("keeps a value set by hand even against the one written here", "amazon-vpc-cni-k8s #2272"),
}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Add-ons whose update fails, changes nothing, or resets what was tuned.

    Stops: an update with OVERWRITE and no values, which emptied aws-node's environment and gave every node its
    default warm interfaces again (amazon-vpc-cni-k8s #2268).
    """
    keep = live_settings_to_keep(environment(config))
    for found in cni.cnis(resources):
        if found.resource.type != ADDON:
            continue
        if any(unknown.unknown == "addonName" for unknown in found.unknown):
            yield Finding(found.resource, Undecided("addonName"), "addonName")
            continue
        yield from _conflicts(found.resource)
        for unknown in found.unknown:
            yield Finding(found.resource, unknown, "configurationValues")
        if not found.unknown and not found.wrong:
            yield from _values(found, keep)


def _conflicts(addon: Resource) -> Iterator[Finding]:
    update = read(addon.properties, "resolveConflictsOnUpdate", str)
    if isinstance(update, Undecided):
        yield Finding(addon, update, "resolveConflictsOnUpdate")
    elif update != "OVERWRITE":
        reason, source = _WHY.get(update or "NONE", ("is no way that EKS knows", "EKS API, UpdateAddon"))
        unset = " (the default, as it is not set)" if update is None else ""
        value = f"resolveConflictsOnUpdate {update or 'NONE'}"
        yield _finding(addon, value, f"{reason}{unset}.", source, "resolveConflictsOnUpdate")
    create = read(addon.properties, "resolveConflictsOnCreate", str)
    if isinstance(create, Undecided):
        yield Finding(addon, create, "resolveConflictsOnCreate")
    elif create == "PRESERVE":
        reason = "is refused by EKS, which takes NONE or OVERWRITE there."
        yield _finding(
            addon, "resolveConflictsOnCreate PRESERVE", reason, "EKS API, CreateAddon", "resolveConflictsOnCreate"
        )


def _values(found: cni.Cni, keep: Mapping[str, str]) -> Iterator[Finding]:
    if not found.environment:
        reason = "sets no env, and OVERWRITE resets every value that was set by hand."
        yield _finding(found.resource, "configurationValues", reason, "amazon-vpc-cni-k8s #2268", "configurationValues")
    for name, value in keep.items():
        if name not in found.environment:
            reason = "is live and not among configurationValues.env: OVERWRITE drops it."
            yield _finding(found.resource, f"{name}={value}", reason, "amazon-vpc-cni-k8s #2268", "configurationValues")


def _finding(resource: Resource, value: str, reason: str, source: str, property_: str) -> Finding:
    step = "Write OVERWRITE, with all live settings in configurationValues.env."
    return Finding(resource, Problem(rule=NAME, value=value, reason=reason, next_step=step, source=source), property_)
