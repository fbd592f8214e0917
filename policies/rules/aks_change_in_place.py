"""What Azure changes in place, the provider must not replace a cluster for."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.blocks import Block, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.overlay_cluster import IN_PLACE
from policies.findings import Finding, Undecided, read
from policies.resources import AKS_CLUSTER, Resource, Resources

NAME = "aks-change-in-place"
DESCRIPTION = "A change that Azure makes to a running cluster is made there, and not planned as a replacement."
TYPES = (AKS_CLUSTER,)
SCOPE = "resource"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("aks", "safety")

PATHS: Final = tuple(f"networkProfile.{name}" for name in IN_PLACE)
REMEDIATION = (
    f"Write ResourceOptions(ignore_changes={list(PATHS)}), in the provider's spelling. To change one: az aks update, "
    "then the new value in the program, then pulumi refresh."
)
CONFIG_SCHEMA: Mapping[str, Any] = {}

WHOLE: Final = frozenset({"networkProfile", "networkProfile.*", "*"})
"""Paths that cover all of them (pulumi/pulumi, sdk/go/common/resource/properties_path.go)."""

_QUOTED: Final = re.compile(r"\[\"([^\"\]]+)\"\]")


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Clusters for which such a change would be planned as a replacement, and previews in which it is.

    What ran before is known to a preview only (`oldState`). The engine tells a policy the new inputs and nothing of
    the old, and a program in process has no state at all. So a difference between old and new is refused where both
    are known; everywhere `ignoreChanges` is asked for, which every door sees, and with which the engine never plans
    the replacement. It has to name each field: a field that is left out of the program today may be written tomorrow.

    Stops: the pull request that switches a cluster's egress to a NAT gateway, which Azure does in minutes, and whose
    preview deletes production and builds an empty cluster (pulumi-azure-native #4756).
    """
    del config
    for cluster in resources.of_type(AKS_CLUSTER):
        ignored = {_QUOTED.sub(r".\1", path) for path in cluster.ignore_changes}
        open_ = [] if ignored & WHOLE else [name for name in IN_PLACE if f"networkProfile.{name}" not in ignored]
        if cluster.before is not None:
            for name in open_:
                verdict = _change(name, cluster.before, cluster)
                if verdict is not None:
                    yield Finding(cluster, verdict, "networkProfile")
        if open_:
            yield Finding(cluster, _open(cluster, open_), "networkProfile")


def _change(name: str, before: Mapping[str, Any], cluster: Resource) -> Problem | Undecided | None:
    path = f"networkProfile.{name}"
    old, new = read(before, path, str), read(cluster.written, path, str)
    if isinstance(new, Undecided) or isinstance(old, Undecided):
        return new if isinstance(new, Undecided) else Undecided(f"the old {path}")
    if old == new:
        return None
    possible = _possible(name, old, new)
    return Problem(
        rule=NAME,
        value=f"{path} from {_shown(old)} to {_shown(new)}",
        reason=f"is planned as delete and create of {cluster.name}"
        + (", and Azure does it in place." if possible else ", and Azure has no other way to it either."),
        next_step=f"Run {IN_PLACE[name]}, ignore the change, and refresh."
        if possible
        else "Build the new cluster beside this one, on a subnet of its own, and shift the traffic.",
        source="pulumi-azure-native #4756; AKS documentation, update-azure-cni",
    )


def _possible(name: str, old: str | None, new: str | None) -> bool:
    """Whether Azure goes that way at all: pods' ranges only grow, and nothing goes back to kubenet or flat."""
    if name == "podCidr" and old is not None and new is not None:
        try:
            return Block.parse(new).contains(Block.parse(old))
        except ProblemsError:
            return False
    if name == "networkPlugin":
        return new == "azure"
    if name == "networkPluginMode":
        return new == "overlay"
    return "block" not in {old, new} or name != "outboundType"


def _shown(value: str | None) -> str:
    return "nothing" if value is None else shown(value)


def _open(cluster: Resource, names: list[str]) -> Problem:
    return Problem(
        rule=NAME,
        value=cluster.name,
        reason=f"would be deleted and made anew for a change of networkProfile.{{{', '.join(names)}}}, which Azure "
        "makes in place.",
        next_step=f"Write ignore_changes={[f'networkProfile.{name}' for name in names]}.",
        source="pulumi-azure-native, replacement.go",
    )
