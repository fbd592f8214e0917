"""The end of a cluster that another one has taken over from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_azure_native import containerservice, network

from components.stable_egress import kept_properties, subnet_arguments
from headroom.planning.retirement import Retirement

TYPE: Final = "headroom:index:RetiredCluster"

EVERYTHING: Final = ("*",)
"""Nothing of what was imported is ever changed (pulumi/pulumi, ignoreChanges)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredClusterArgs:
    """The cluster, and how far its end has come.

    Attributes:
        retirement: What the stack file says. Plain: known at preview.
        subnet: The nodes' subnet as Azure shows it now; needed from the phase `detach` on.
        pools: Properties of the user pools as Azure shows them now, by name.
    """

    retirement: Retirement
    subnet: Mapping[str, Any] | None
    pools: Mapping[str, Mapping[str, Any]]


class RetiredCluster(pulumi.ComponentResource):
    """Owns the old cluster, imported, and takes it away phase by phase: each is one reviewed change of one key."""

    def __init__(self, name: str, args: RetiredClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TYPE, name, {}, opts)
        retirement = args.retirement
        if retirement.subnet is not None:
            self._subnet(name, args)
        if not retirement.reached("delete"):
            cluster = containerservice.ManagedCluster(
                f"{name}-cluster",
                resource_group_name=retirement.resource_group,
                resource_name_=retirement.name,
                opts=pulumi.ResourceOptions(
                    parent=self, protect=not retirement.reached("detach"), ignore_changes=list(EVERYTHING)
                ),
            )
            for pool in retirement.pools:
                self._pool(name, pool, args, cluster)
        self.register_outputs({"phase": retirement.phase})

    def _pool(self, name: str, pool: str, args: RetiredClusterArgs, cluster: containerservice.ManagedCluster) -> None:
        retirement = args.retirement
        empty = retirement.reached("zero")
        containerservice.AgentPool(
            f"{name}-{pool}",
            resource_group_name=retirement.resource_group,
            resource_name_=retirement.name,
            agent_pool_name=pool,
            # Without its autoscaler, which would fill it again.
            count=0 if empty else None,
            enable_auto_scaling=False if empty else None,
            **(_pool_arguments(args.pools.get(pool, {})) if empty else {}),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[cluster],
                protect=not retirement.reached("detach"),
                ignore_changes=None if empty else list(EVERYTHING),
            ),
        )

    def _subnet(self, name: str, args: RetiredClusterArgs) -> None:
        """The subnet stays; from `detach` on without a route table, and with all else that it has."""
        subnet = args.retirement.subnet
        assert subnet is not None  # noqa: S101 - asked for by the caller
        detached = args.retirement.reached("detach")
        live = kept_properties(args.subnet or {})
        live.pop("routeTable", None)
        network.Subnet(
            f"{name}-subnet",
            resource_group_name=subnet.resource_group,
            virtual_network_name=subnet.vnet,
            subnet_name=subnet.name,
            **(subnet_arguments(live) if detached else {}),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=True,
                retain_on_delete=True,
                ignore_changes=None if detached else list(EVERYTHING),
            ),
        )


_KEPT: Final = {
    "availabilityZones": "availability_zones",
    "maxPods": "max_pods",
    "mode": "mode",
    "nodeLabels": "node_labels",
    "nodeTaints": "node_taints",
    "orchestratorVersion": "orchestrator_version",
    "osDiskSizeGB": "os_disk_size_gb",
    "osDiskType": "os_disk_type",
    "osSKU": "os_sku",
    "osType": "os_type",
    "podSubnetID": "pod_subnet_id",
    "type": "type",
    "vmSize": "vm_size",
    "vnetSubnetID": "vnet_subnet_id",
}
"""What a pool has that a change of its count must send again (pulumi-azure-native 3.29, containerservice.AgentPool)."""


def _pool_arguments(live: Mapping[str, Any]) -> dict[str, Any]:
    """A pool as it stands, without its count and its autoscaler."""
    return {_KEPT[key]: value for key, value in live.items() if key in _KEPT and value not in (None, [], {})}
