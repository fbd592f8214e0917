"""The pod range has a /24 for every node that the pools may get."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.azure import AksRanges
from headroom.addresses.problems import ProblemsError
from headroom.capacity.overlay import AksPool, NetworkMode, cluster_capacity
from policies.aks import (
    AUTO_PROVISIONED_NODES,
    CLUSTER_TYPES,
    Pools,
    auto_provisioned,
    cluster_range,
    network_mode,
    pool_size,
    pools_of,
)
from policies.findings import Finding, Undecided
from policies.resources import AKS_CLUSTER, Resource, Resources

NAME = "overlay-capacity"
DESCRIPTION = "A cluster's pod range holds a /24 for every node at the pools' maxima, an upgrade on the way."
TYPES = CLUSTER_TYPES
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("aks", "capacity")
REMEDIATION = (
    "Write a larger podCidr: a /16 has room for 256 nodes, a /13 for 2,048; or lower maxCount or maxSurge. Azure "
    "grows the range of a running overlay in place, to a superset only. `headroom calc overlay` shows the sum."
)
CONFIG_SCHEMA: Mapping[str, Any] = {"autoProvisionedNodes": AUTO_PROVISIONED_NODES}

ABOUT_CAPACITY: Final = frozenset(
    {"pod-cidr-full", "cluster-too-large", "max-pods-range", "pool-too-small", "pool-maximum"}
)
"""What `cluster_capacity` says of the pools; of ranges and of the nodes' subnet other rules speak."""


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Pools whose nodes would find no /24, of Azure CNI Overlay and of kubenet alike.

    Stops: an autoscaler that stops in a burst with InsufficientSubnetSize, target networkProfile.podCIDR, because
    somebody raised maxCount over the number of /24s.
    """
    pools = pools_of(resources)
    for cluster in resources.of_type(AKS_CLUSTER):
        mode = network_mode(cluster)
        if isinstance(mode, Undecided):
            yield Finding(cluster, mode, "networkProfile")
        elif mode in ("overlay", "kubenet"):
            yield from _judge(cluster, "overlay" if mode == "overlay" else "kubenet", pools, config)


def _judge(cluster: Resource, mode: NetworkMode, pools: Pools, config: Mapping[str, Any]) -> Iterator[Finding]:
    sizes, unread = _sizes(cluster, pools, config)
    yield from unread
    pods = cluster_range(cluster, "podCidr")
    if isinstance(pods, Undecided):
        yield Finding(cluster, pods, "networkProfile")
    elif isinstance(pods, ProblemsError):
        reason = "cannot be read: aks-ranges says what is wrong with it."
        yield Finding(cluster, Undecided("networkProfile.podCidr", reason), "networkProfile")
    elif sizes:
        # What is not known adds nodes only, so what is too much without it stays too much.
        for problem in cluster_capacity(AksRanges(pod_cidr=pods), sizes, mode=mode).problems:
            if problem.rule in ABOUT_CAPACITY:
                yield Finding(cluster, problem, "agentPoolProfiles" if problem.key == "pool" else "networkProfile")


def _sizes(cluster: Resource, pools: Pools, config: Mapping[str, Any]) -> tuple[list[AksPool], list[Finding]]:
    """What is known of the cluster's pools, and what is said of the others."""
    sizes: list[AksPool] = []
    unread = [Finding(cluster, unknown, "agentPoolProfiles") for unknown in pools.undecided.get(cluster.urn, ())]
    for pool in pools.of_cluster[cluster.urn]:
        size = pool_size(pool)
        if isinstance(size, AksPool):
            sizes.append(size)
        else:
            unread.extend(Finding(pool.resource, verdict, pool.key) for verdict in size)
    more = auto_provisioned(cluster, NAME, config)
    if isinstance(more, AksPool):
        sizes.append(more)
    elif more is not None:
        unread.append(Finding(cluster, more, "nodeProvisioningProfile"))
    return sizes, unread
