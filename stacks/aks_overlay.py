"""The stack of a cluster with Azure CNI Overlay, in a subnet of its own, beside the one that it takes over from."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pulumi

from components.overlay_cluster import OverlayCluster, OverlayClusterArgs, identity_name, role_name
from headroom.addresses.blocks import listed
from headroom.addresses.problems import ProblemsError
from headroom.planning.overlay_cluster import OverlaySettings, changed_problems, read_overlay
from stacks.azure_adoption import Candidate, Found, find_existing, theirs
from stacks.azure_lookups import subnet_names
from stacks.azure_settings import refuse_other_subscription, required_location
from stacks.recorded import STACK_TAG, recorded_resources, stack_tag
from stacks.settings import ConfigReader

NAME: Final = "overlay"
"""Logical name of the component: it never changes."""

CLUSTER_TYPE: Final = "azure-native:containerservice:ManagedCluster"
POOL_TYPE: Final = "azure-native:containerservice:AgentPool"


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration, or that Azure would refuse of it.
    """
    config = ConfigReader()
    location = required_location(config)
    settings = read_settings(config)
    vnet_subscription = settings.subnet.vnet_id.split("/")[2]
    refuse_other_subscription(vnet_subscription)
    for warning in settings.capacity.warnings:
        pulumi.log.warn(warning.message)
    state = recorded_resources()
    own = {name.removeprefix(f"{NAME}-") for type_, name in state or () if type_ == POOL_TYPE}
    problems = changed_problems(settings, (state or {}).get((CLUSTER_TYPE, f"{NAME}-cluster"), {}), own)
    if problems:
        raise ProblemsError(problems)
    made = OverlayCluster(
        NAME,
        OverlayClusterArgs(
            settings=replace(settings, tags={**settings.tags, STACK_TAG: stack_tag()}),
            location=location,
            subscription_id=vnet_subscription,
            adopt=find_existing(candidates(settings), state),
        ),
    )
    pulumi.export("clusterId", made.cluster_id)
    pulumi.export("nodes", f"{settings.capacity.nodes} of {settings.capacity.capacity} with all pools at their largest")
    pulumi.export("next", "headroom probes: what every NetworkPolicy allows and denies, tried in the new cluster")


def candidates(settings: OverlaySettings) -> Iterator[Candidate]:
    """What a run that was cut off may have made, in the order in which it is made."""
    subnet, group = settings.subnet, settings.resource_group
    yield Candidate(
        type="azure-native:network:Subnet",
        name=f"{NAME}-subnet",
        key="headroom:nodeSubnet.name",
        called=subnet.name,
        function="network:getSubnet",
        arguments=subnet_names(subnet),
        foreign=lambda found: _not_ours(found, settings),
        next_step="Give the new cluster a subnet of its own.",
    )
    identity = identity_name(settings)
    yield Candidate(
        type="azure-native:managedidentity:UserAssignedIdentity",
        name=f"{NAME}-identity",
        key="headroom:aksCluster.name",
        called=identity,
        function="managedidentity:getUserAssignedIdentity",
        arguments={"resourceGroupName": group, "resourceName": identity},
    )
    # Its name is made of the VNet's and the cluster's: nobody else has it.
    yield Candidate(
        type="azure-native:authorization:RoleAssignment",
        name=f"{NAME}-subnet-role",
        key="headroom:nodeSubnet.name",
        called=f"the role of {identity} on {subnet.name}",
        function="authorization:getRoleAssignment",
        arguments={
            "scope": f"{subnet.vnet_id}/subnets/{subnet.name}".removeprefix("/"),
            "roleAssignmentName": role_name(settings),
        },
        foreign=theirs,
    )
    yield Candidate(
        type=CLUSTER_TYPE,
        name=f"{NAME}-cluster",
        key="headroom:aksCluster.name",
        called=settings.name,
        function="containerservice:getManagedCluster",
        arguments={"resourceGroupName": group, "resourceName": settings.name},
    )
    system = settings.system
    for pool in settings.pools:
        if pool is not system:
            yield Candidate(
                type=POOL_TYPE,
                name=f"{NAME}-{pool.name}",
                key=f"headroom:pools.{pool.name}",
                called=f"pool {pool.name}",
                function="containerservice:getAgentPool",
                arguments={"resourceGroupName": group, "resourceName": settings.name, "agentPoolName": pool.name},
            )


def _not_ours(found: Found, settings: OverlaySettings) -> str:
    """A subnet carries no tags: it is ours where it is as we make it, and empty."""
    wanted = settings.subnet
    has = [found.get("addressPrefix"), *(found.get("addressPrefixes") or ())]
    if wanted.cidr_block not in has:
        return f"is there already and has {listed(str(each) for each in has if each)}, not {wanted.cidr_block}."
    users = len(found.get("ipConfigurations") or ())
    others = [name for name in ("delegations", "routeTable", "serviceEndpoints") if found.get(name)]
    if users or others:
        holds = [f"{users} addresses in use"] if users else []
        return f"is there already and has {listed([*holds, *others])}: it is somebody else's."
    return ""


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
