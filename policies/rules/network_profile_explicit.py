"""The network of a cluster is written down, not left to what the SDK puts in."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem
from policies.aks import SDK_DEFAULTS, network_mode
from policies.configuration import texts
from policies.findings import Finding, Undecided, read
from policies.resources import AKS_CLUSTER, Resource, Resources

NAME = "network-profile-explicit"
DESCRIPTION = "Every field of a cluster's network profile that cannot be changed later is written, and meant."
TYPES = (AKS_CLUSTER,)
SCOPE = "resource"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("aks", "addresses")
REMEDIATION = (
    "Write networkPlugin, networkPluginMode, podCidr, serviceCidr, dnsServiceIP, outboundType, loadBalancerSku, "
    "networkPolicy and networkDataplane. Where a value is the SDK's default and meant, name it in meantDefaults of "
    "the policy's configuration."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "meantDefaults": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Fields that hold the SDK's default on purpose, such as serviceCidr",
    }
}

ALWAYS: Final = ("networkPlugin", "serviceCidr", "dnsServiceIP", "outboundType", "loadBalancerSku")
BY_MODE: Final[Mapping[str, tuple[str, ...]]] = {
    "overlay": ("podCidr", "networkPolicy", "networkDataplane"),
    "kubenet": ("podCidr", "networkPolicy"),
    "flat": ("networkPolicy", "networkDataplane"),
    "none": (),
}
"""Fields that a cluster of each mode has beside those; networkPluginMode has no value for a flat network but to be
left out (AKS documentation, azure-cni-overlay)."""

LISTED: Final[Mapping[str, str]] = {"podCidr": "podCidrs", "serviceCidr": "serviceCidrs"}
"""The field that names several ranges, by the one that names the first."""


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Fields that are missing, and values that nobody may have written.

    `ContainerServiceNetworkProfileArgs` fills in four fields before anything is sent, so that an omission and the
    same value in writing look alike: both are refused until the configuration says that the value is meant.

    Stops: an imported cluster whose program leaves podCidr out. The SDK puts 10.244.0.0/16 in, which differs from what
    runs, and the provider plans to delete the cluster.
    """
    meant = set(texts(config, "meantDefaults"))
    for cluster in resources.of_type(AKS_CLUSTER):
        for verdict in _judge(cluster, meant):
            yield Finding(cluster, verdict, "networkProfile")


def _judge(cluster: Resource, meant: set[str]) -> Iterator[Problem | Undecided]:
    profile = read(cluster.written, "networkProfile", dict)
    mode = network_mode(cluster)
    if isinstance(profile, Undecided):
        yield profile
        return
    if isinstance(mode, Undecided):
        yield mode
        wanted: tuple[str, ...] = ALWAYS
    else:
        wanted = (*ALWAYS, *BY_MODE[mode])
    written = profile or {}
    missing = [name for name in wanted if written.get(name) is None and written.get(LISTED.get(name, name)) is None]
    if missing:
        yield Problem(
            rule=NAME,
            value=f"networkProfile of {cluster.name}",
            reason=f"leaves {listed(missing)} to whoever fills {'it' if len(missing) == 1 else 'them'} in, and a later "
            "value can differ from what runs: then the provider replaces the cluster.",
            next_step=f"Write {listed(missing)}.",
            source="pulumi-azure-native, replacement.go",
        )
    for name, default in SDK_DEFAULTS.items():
        if name in wanted and written.get(name) == default and name not in meant:
            yield _default(name, default, written)


def _default(name: str, default: str, written: Mapping[str, Any]) -> Problem:
    several = written.get(LISTED[name]) if name in LISTED else None
    if isinstance(several, list) and default not in several:
        return Problem(
            rule=NAME,
            value=f"networkProfile.{name} {default}",
            reason=f"stands beside {LISTED[name]} {shown(listed(several))}: the SDK has put it in.",
            next_step=f"Write {name} too, with the first of {LISTED[name]}.",
            source="pulumi-azure-native 3.29.0, ContainerServiceNetworkProfileArgs",
        )
    return Problem(
        rule=NAME,
        value=f"networkProfile.{name} {default}",
        reason="is what the SDK puts in where a program says nothing, and cannot be told from that.",
        next_step=f"Write another value, or name {name} in meantDefaults of {NAME}.",
        source="pulumi-azure-native 3.29.0, ContainerServiceNetworkProfileArgs",
    )
