"""An AKS cluster with Azure CNI Overlay, in a subnet of its own, beside the one that it takes over from."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pulumi
from pulumi_azure_native import authorization, containerservice, managedidentity, network

from components.stable_egress import unchanged_since
from headroom.planning.overlay_cluster import IN_PLACE, NETWORK_CONTRIBUTOR, OverlaySettings, Pool

TYPE: Final = "headroom:index:OverlayCluster"
IGNORED: Final = tuple(f"networkProfile.{name}" for name in IN_PLACE)
"""What Azure changes in place and the provider would replace the cluster for (pulumi-azure-native #4756)."""

OTHERS: Final = ("routeTable", "serviceEndpoints", "serviceEndpointPolicies", "delegations")
"""Properties of the subnet that others write: sent as the last refresh found them."""

CHOSEN: Final = ("nodeResourceGroup", "windowsProfile", "networkProfile.podCidrs", "networkProfile.serviceCidrs")
"""What AKS fills in where a cluster leaves it out, and the provider would replace the cluster for: a cluster that is
taken over has it among its inputs (pulumi-azure-native, provider/pkg/gen/replacement.go)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayClusterArgs:
    """The cluster.

    Attributes:
        settings: What the stack file says. Plain: known at preview.
        location: The region.
        subscription_id: The subscription of the subnet.
        adopt: Ids of what exists already, by the name in the program (see `stacks/azure_adoption.py`).
    """

    settings: OverlaySettings
    location: str
    subscription_id: str
    adopt: Mapping[str, str] = field(default_factory=dict)


class OverlayCluster(pulumi.ComponentResource):
    """Makes the subnet, the identity with its role on it, the cluster and its pools, in this order.

    The first system pool is made with the cluster and is not changed by it later: another one takes over from it.

    Every field of the network profile is written: the SDK would put its own defaults in for those that are left out,
    and most of them can never be changed. Cluster, subnet and pools are protected.
    """

    cluster_id: pulumi.Output[str]
    """The cluster's ARM id."""

    def __init__(self, name: str, args: OverlayClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TYPE, name, {}, opts)
        settings = args.settings
        tags = dict(settings.tags) or None
        subnet = self._subnet(name, args)
        identity = managedidentity.UserAssignedIdentity(
            f"{name}-identity",
            resource_group_name=settings.resource_group,
            resource_name_=identity_name(settings),
            location=args.location,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, import_=args.adopt.get(f"{name}-identity")),
        )
        role = authorization.RoleAssignment(
            f"{name}-subnet-role",
            role_assignment_name=role_name(settings),
            # As an import reads it back: with the slash before it the scope would be another one, and replace it.
            scope=subnet.id.apply(lambda text: text.removeprefix("/")),
            principal_id=identity.principal_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_definition_id=f"/subscriptions/{args.subscription_id}/providers/Microsoft.Authorization"
            f"/roleDefinitions/{NETWORK_CONTRIBUTOR}",
            opts=pulumi.ResourceOptions(parent=self, import_=args.adopt.get(f"{name}-subnet-role")),
        )
        system = settings.system
        cluster = containerservice.ManagedCluster(
            f"{name}-cluster",
            resource_group_name=settings.resource_group,
            resource_name_=settings.name,
            location=args.location,
            kubernetes_version=settings.kubernetes_version,
            dns_prefix=settings.name,
            enable_rbac=True,
            sku=containerservice.ManagedClusterSKUArgs(name="Base", tier=settings.tier),
            identity=containerservice.ManagedClusterIdentityArgs(
                type=containerservice.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity.id]
            ),
            oidc_issuer_profile=containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            security_profile=containerservice.ManagedClusterSecurityProfileArgs(
                workload_identity=containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True)
            ),
            api_server_access_profile=containerservice.ManagedClusterAPIServerAccessProfileArgs(
                authorized_ip_ranges=list(settings.authorized_ranges)
            )
            if settings.authorized_ranges
            else None,
            network_profile=self._network(settings),
            agent_pool_profiles=[self._system_pool(system, subnet)],
            tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=settings.protect,
                depends_on=[role],
                import_=args.adopt.get(f"{name}-cluster"),
                # Pools that are resources of their own are read back as profiles of the cluster, and counts belong to
                # the autoscaler: after the cluster is made, pools change as resources alone.
                ignore_changes=[*IGNORED, *CHOSEN, "agentPoolProfiles"],
            ),
        )
        for pool in settings.pools:
            if pool is not system:
                self._pool(name, args, pool, subnet, cluster)
        self.cluster_id = cluster.id
        self.register_outputs({"clusterId": self.cluster_id})

    def _subnet(self, name: str, args: OverlayClusterArgs) -> network.Subnet:
        settings, wanted = args.settings, args.settings.subnet
        gateway, group = wanted.nat_gateway_id, wanted.security_group_id
        others = [*OTHERS, *([] if group else ["networkSecurityGroup"])]
        return network.Subnet(
            f"{name}-subnet",
            resource_group_name=wanted.resource_group,
            virtual_network_name=wanted.vnet,
            subnet_name=wanted.name,
            address_prefix=wanted.cidr_block,
            # Before the cluster: AKS looks for it when the cluster is made.
            nat_gateway=network.SubResourceArgs(id=gateway) if gateway else None,
            network_security_group=network.NetworkSecurityGroupArgs(id=group) if group else None,
            default_outbound_access=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=settings.protect,
                import_=args.adopt.get(f"{name}-subnet"),
                # What somebody attaches later stays: a subnet is written as a whole, and not before a refresh has seen
                # what that is.
                ignore_changes=others,
                hooks=unchanged_since(f"{name}-subnet", None, self, [each for each in others if each != "delegations"]),
            ),
        )

    @staticmethod
    def _network(settings: OverlaySettings) -> containerservice.ContainerServiceNetworkProfileArgs:
        return containerservice.ContainerServiceNetworkProfileArgs(
            network_plugin=containerservice.NetworkPlugin.AZURE,
            network_plugin_mode=containerservice.NetworkPluginMode.OVERLAY,
            network_policy=settings.network_policy,
            network_dataplane=settings.network_dataplane,
            pod_cidr=settings.pod_cidr,
            service_cidr=settings.service_cidr,
            dns_service_ip=settings.dns_service_ip,
            outbound_type=settings.outbound_type,
            load_balancer_sku=containerservice.LoadBalancerSku.STANDARD,
            ip_families=[containerservice.IpFamily.I_PV4],
        )

    @staticmethod
    def _system_pool(pool: Pool, subnet: network.Subnet) -> containerservice.ManagedClusterAgentPoolProfileArgs:
        return containerservice.ManagedClusterAgentPoolProfileArgs(
            name=pool.name,
            mode=pool.mode,
            vm_size=pool.vm_size,
            count=pool.count,
            enable_auto_scaling=pool.maximum is not None,
            min_count=pool.minimum,
            max_count=pool.maximum,
            max_pods=pool.max_pods,
            availability_zones=list(pool.zones) or None,
            os_type=containerservice.OSType.LINUX,
            os_sku=pool.os_sku,
            type=containerservice.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
            upgrade_settings=containerservice.AgentPoolUpgradeSettingsArgs(max_surge=pool.max_surge),
            vnet_subnet_id=subnet.id,
        )

    def _pool(
        self,
        name: str,
        args: OverlayClusterArgs,
        pool: Pool,
        subnet: network.Subnet,
        cluster: containerservice.ManagedCluster,
    ) -> None:
        settings = args.settings
        containerservice.AgentPool(
            f"{name}-{pool.name}",
            resource_group_name=settings.resource_group,
            resource_name_=settings.name,
            agent_pool_name=pool.name,
            mode=pool.mode,
            vm_size=pool.vm_size,
            count=pool.count,
            enable_auto_scaling=pool.maximum is not None,
            min_count=pool.minimum,
            max_count=pool.maximum,
            max_pods=pool.max_pods,
            availability_zones=list(pool.zones) or None,
            os_type=containerservice.OSType.LINUX,
            os_sku=pool.os_sku,
            type=containerservice.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
            upgrade_settings=containerservice.AgentPoolUpgradeSettingsArgs(max_surge=pool.max_surge),
            vnet_subnet_id=subnet.id,
            tags=dict(settings.tags) or None,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[cluster],
                import_=args.adopt.get(f"{name}-{pool.name}"),
                # A name is not had twice: a pool that is replaced is gone, with its nodes, before the next is there.
                protect=settings.protect,
                ignore_changes=["count"] if pool.maximum is not None else None,
            ),
        )


def identity_name(settings: OverlaySettings) -> str:
    """What the cluster's identity is called."""
    return f"id-{settings.name}"


def role_name(settings: OverlaySettings) -> str:
    """What its role on the subnet is called: a GUID, and the same one in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{settings.subnet.vnet_id}/{settings.name}"))
