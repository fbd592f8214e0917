"""No cluster is built on kubenet any more."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.problems import Problem
from headroom.capacity.overlay import KUBENET_MAXIMUM_NODES, KUBENET_RETIRES
from policies.aks import OVERLAY_BY_DEFAULT_SINCE, network_mode
from policies.findings import Finding, Undecided, read
from policies.resources import AKS_CLUSTER, Resources

NAME = "no-new-kubenet"
DESCRIPTION = "A cluster's network is not kubenet, which grows to 400 nodes only and is retired in 2028."
TYPES = (AKS_CLUSTER,)
SCOPE = "resource"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("aks", "addresses")
REMEDIATION = (
    "Write networkPlugin: azure with networkPluginMode: overlay, and a podCidr such as 100.64.0.0/16. A cluster that "
    "runs on kubenet already is let pass by an exception, with the day of its migration as `expires`."
)
CONFIG_SCHEMA: Mapping[str, Any] = {}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Clusters on kubenet, by name or because an old Kubernetes version gets it where nothing is written.

    No door tells a new cluster from one that runs: what runs needs an exception, and the date on it is the plan.

    Stops: the choice of 2022 that was a postmortem by 2025, when a burst met nodes that could not lend one another
    addresses and the only way out was to build the cluster anew.
    """
    del config
    for cluster in resources.of_type(AKS_CLUSTER):
        mode = network_mode(cluster)
        if isinstance(mode, Undecided):
            yield Finding(cluster, mode, "networkProfile")
        elif mode == "kubenet":
            yield Finding(
                cluster, _problem(read(cluster.properties, "networkProfile.networkPlugin", str)), "networkProfile"
            )


def _problem(plugin: object) -> Problem:
    major, minor = OVERLAY_BY_DEFAULT_SINCE
    written = "kubenet" if plugin is not None else f"(not set, which is kubenet below Kubernetes {major}.{minor})"
    return Problem(
        rule=NAME,
        value=f"networkPlugin {written}",
        reason=f"is retired on {KUBENET_RETIRES}, and its routes allow {KUBENET_MAXIMUM_NODES} nodes.",
        next_step="Write networkPlugin: azure and networkPluginMode: overlay.",
        source="Azure/AKS #4859; AKS documentation, configure-kubenet",
    )
