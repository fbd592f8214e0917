"""A cluster must not go by accident."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.addresses.problems import Problem
from policies.findings import Finding
from policies.resources import AKS_CLUSTER, Resources

NAME = "cluster-protected"
DESCRIPTION = "A cluster is protected, so that a replacement fails instead of deleting it."
TYPES = (AKS_CLUSTER,)
SCOPE = "resource"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("aks", "safety")
REMEDIATION = (
    "Write ResourceOptions(protect=True) on both clusters of a migration. To retire one, take the protection off in "
    "a change of its own, after the rollback window, under an exception that has a date."
)
CONFIG_SCHEMA: Mapping[str, Any] = {}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Clusters that a destroy, a rename or a replacement would delete.

    Stops: an edit of networkProfile, which the provider plans as delete and create with everything that runs in it
    (pulumi-azure-native #4756): on a protected cluster the engine refuses it.
    """
    del config
    for cluster in resources.of_type(AKS_CLUSTER):
        if not cluster.protect:
            problem = Problem(
                rule=NAME,
                value=cluster.name,
                reason="is not protected: a replacement, a rename in the program or a destroy would delete it.",
                next_step="Write ResourceOptions(protect=True).",
                source="pulumi-azure-native #4756",
            )
            yield Finding(cluster, problem)
