"""The end of a cluster that another one has taken over from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
from pulumi_azure_native import containerservice, network

from components.stable_egress import kept_properties, subnet_arguments, unchanged_since
from headroom.planning.retirement import Retirement

TYPE: Final = "headroom:index:RetiredCluster"

EVERYTHING: Final = ("*",)
"""Nothing of what was imported is ever changed (pulumi/pulumi, ignoreChanges)."""


ALL_BUT_COUNTS: Final = (
    "availabilityZones",
    "capacityReservationGroupID",
    "creationData",
    "enableEncryptionAtHost",
    "enableFIPS",
    "enableNodePublicIP",
    "enableUltraSSD",
    "gatewayProfile",
    "gpuInstanceProfile",
    "gpuProfile",
    "hostGroupID",
    "kubeletConfig",
    "kubeletDiskType",
    "linuxOSConfig",
    "localDNSProfile",
    "maxPods",
    "messageOfTheDay",
    "mode",
    "networkProfile",
    "nodeLabels",
    "nodePublicIPPrefixID",
    "nodeTaints",
    "orchestratorVersion",
    "osDiskSizeGB",
    "osDiskType",
    "osSKU",
    "osType",
    "podIPAllocationMode",
    "podSubnetID",
    "powerState",
    "proximityPlacementGroupID",
    "scaleDownMode",
    "scaleSetEvictionPolicy",
    "scaleSetPriority",
    "securityProfile",
    "spotMaxPrice",
    "tags",
    "type",
    "upgradeSettings",
    "virtualMachineNodesStatus",
    "virtualMachinesProfile",
    "vmSize",
    "vnetSubnetID",
    "windowsProfile",
    "workloadRuntime",
)
"""Properties of a pool but its count, the autoscaler and its limits (pulumi-azure-native 3.29,
containerservice.AgentPool): a pool that goes to zero is sent as it was taken over. One left out would be taken away,
and some of those replace the pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredClusterArgs:
    """The cluster, and how far its end has come.

    Attributes:
        retirement: What the stack file says. Plain: known at preview.
        subnet: The nodes' subnet as Azure shows it now; needed from the phase `detach` on.
        own_table: Whether the subnet's route table is one that AKS made, and goes with the cluster; another stays on.
        adopt: Ids of what exists already, by the name in the program (see `stacks/azure_adoption.py`).
    """

    retirement: Retirement
    subnet: Mapping[str, Any] | None
    own_table: bool = False
    adopt: Mapping[str, str] = field(default_factory=dict)


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
                    parent=self,
                    protect=not retirement.reached("detach"),
                    ignore_changes=list(EVERYTHING),
                    import_=args.adopt.get(f"{name}-cluster"),
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
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[cluster],
                protect=not retirement.reached("detach"),
                ignore_changes=list(ALL_BUT_COUNTS if empty else EVERYTHING),
                import_=args.adopt.get(f"{name}-{pool}"),
            ),
        )

    def _subnet(self, name: str, args: RetiredClusterArgs) -> None:
        """The subnet stays; from `detach` on without AKS's route table, and with all else that it has."""
        subnet = args.retirement.subnet
        assert subnet is not None  # noqa: S101 - asked for by the caller
        detached = args.retirement.reached("detach")
        live = kept_properties(args.subnet or {})
        if args.own_table:
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
                import_=args.adopt.get(f"{name}-subnet"),
                hooks=unchanged_since(f"{name}-subnet", args.subnet or {}, self) if detached else None,
            ),
        )
