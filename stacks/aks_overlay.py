"""The stack of a cluster with Azure CNI Overlay, in a subnet of its own, beside the one that it takes over from."""

from typing import Any, Final

import pulumi

from components.overlay_cluster import OverlayCluster, OverlayClusterArgs
from headroom.addresses.problems import ProblemsError
from headroom.planning.overlay_cluster import VNET_ID, OverlaySettings, read_overlay
from stacks.azure_settings import required_location
from stacks.settings import ConfigReader

NAME: Final = "overlay"
"""Logical name of the component: it never changes."""


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration, or that Azure would refuse of it.
    """
    config = ConfigReader()
    location = required_location(config)
    settings = read_settings(config)
    for warning in settings.capacity.warnings:
        pulumi.log.warn(warning.message)
    vnet = VNET_ID.fullmatch(settings.subnet.vnet_id)
    subscription = settings.subnet.vnet_id.split("/")[2] if vnet else ""
    made = OverlayCluster(NAME, OverlayClusterArgs(settings=settings, location=location, subscription_id=subscription))
    pulumi.export("clusterId", made.cluster_id)
    pulumi.export("nodes", f"{settings.capacity.nodes} of {settings.capacity.capacity} with all pools at their largest")
    pulumi.export("next", "headroom probes: what every NetworkPolicy allows and denies, tried in the new cluster")


def read_settings(config: ConfigReader) -> OverlaySettings:
    """Reads the configuration.

    Raises:
        ProblemsError: Every problem with its key.
    """
    found: dict[str, Any] = {
        "resourceGroup": config.text("resourceGroup") or None,
        "aksCluster": config.mapping("aksCluster") or None,
        "pools": config.mapping("pools"),
        "nodeSubnet": config.mapping("nodeSubnet") or None,
        "peerCidrBlocks": config.texts("peerCidrBlocks"),
        "protect": config.boolean("protect", default=True),
        "tags": config.mapping("tags"),
    }
    config.refuse_other_keys("remedy")
    settings = config.attempt(lambda: read_overlay(found))
    if config.problems or settings is None:
        raise ProblemsError(config.problems)
    return settings
