"""What Azure Resource Manager, the nodes and azure-cns say: the AKS cluster, its pools, networks and egress.

Field names follow the APIs (Azure REST API reference: Microsoft.ContainerService, Microsoft.Network,
Microsoft.Compute) and, for azure-cns, the CRD nodenetworkconfigs.acn.azure.com (azure-container-networking,
crd/nodenetworkconfig). Ids are ARM ids as Azure wrote them: compare them with `same_resource`, for Azure changes their
case at will. Times are ISO 8601 in UTC, CIDRs and addresses strings in canonical form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from headroom.facts.forms import Addresses, AnyAddress, AnyCidr, Pods, Time, one_of
from headroom.facts.kubernetes import CniPod
from headroom.facts.values import NOT_COLLECTED, Fact

EgressKind: TypeAlias = Annotated[str, one_of("natGateway", "loadBalancer")]
ListedBy: TypeAlias = Annotated[str, one_of("resource_graph", "resource_manager", "none")]


HOST_LOCAL_MARK: Final = "# host-local of "
SANDBOXES_MARK: Final = "# ready sandboxes"
HOST_LOCAL_COMMAND: Final = (
    "kubectl debug node/NODE --quiet -it --profile=sysadmin --image=busybox -- chroot /host sh -c "
    f"""'echo "{HOST_LOCAL_MARK}$(hostname)"; cd /var/lib/cni/networks && grep -rH "" .; """
    f"""echo "{SANDBOXES_MARK}"; crictl pods --state ready --quiet --no-trunc'"""
)
"""What prints a node's reservations and its sandboxes, for `headroom diagnose --bundle FILE`."""


def same_resource(one: str | None, other: str | None) -> bool:
    """Whether two ARM ids name one resource: their case means nothing (Azure Resource Manager, resource names)."""
    return one is not None and other is not None and one.rstrip("/").lower() == other.rstrip("/").lower()


def resource_name(resource_id: str) -> str:
    """The last part of an ARM id: what the resource is called."""
    return resource_id.rstrip("/").rpartition("/")[2]


def part_of(resource_id: str, kind: str) -> str:
    """What stands behind a word of an ARM id, such as resourceGroups or subscriptions; empty: the word is not there."""
    parts = resource_id.split("/")
    lowered = [part.lower() for part in parts]
    return parts[lowered.index(kind.lower()) + 1] if kind.lower() in lowered[:-1] else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerProfile:
    """How a cluster's load balancer does outbound traffic (networkProfile.loadBalancerProfile).

    Attributes:
        managed_outbound_ips: Public addresses that AKS manages (managedOutboundIPs.count).
        outbound_ip_ids: ARM ids of the user's own addresses (outboundIPs).
        outbound_prefix_ids: ARM ids of the user's own prefixes (outboundIPPrefixes).
        effective_outbound_ip_ids: ARM ids of the addresses in use (effectiveOutboundIPs).
        allocated_outbound_ports: SNAT ports a node; 0: Azure chooses by the pool's size.
        idle_timeout_minutes: After how many minutes an idle flow is dropped.
        backend_pool_type: NodeIPConfiguration or NodeIP.
    """

    managed_outbound_ips: Fact[int] = NOT_COLLECTED
    outbound_ip_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    outbound_prefix_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    effective_outbound_ip_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    allocated_outbound_ports: Fact[int] = NOT_COLLECTED
    idle_timeout_minutes: Fact[int] = NOT_COLLECTED
    backend_pool_type: Fact[str] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class NatGatewayProfile:
    """The NAT gateway that AKS manages (networkProfile.natGatewayProfile).

    Attributes:
        managed_outbound_ips: Public addresses that AKS manages.
        effective_outbound_ip_ids: ARM ids of the addresses in use.
        idle_timeout_minutes: After how many minutes an idle flow is dropped.
    """

    managed_outbound_ips: Fact[int] = NOT_COLLECTED
    effective_outbound_ip_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    idle_timeout_minutes: Fact[int] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkProfile:
    """A cluster's networkProfile, every field of it.

    Attributes:
        network_plugin: kubenet, azure or none.
        network_plugin_mode: overlay; ``None``: no mode (with the plugin azure: node subnet or pod subnet).
        network_policy: azure, calico, cilium or none; ``None``: none.
        network_dataplane: azure or cilium.
        network_mode: transparent or bridge; only for the plugin azure.
        pod_cidr: Where pods of kubenet and of an overlay get their addresses; ``None`` where they use a subnet.
        pod_cidrs: The same for each IP family.
        service_cidr: The range of Services.
        service_cidrs: The same for each IP family.
        dns_service_ip: The address of the cluster's DNS.
        outbound_type: loadBalancer, userDefinedRouting, managedNATGateway, userAssignedNATGateway, none or block.
        load_balancer_sku: standard or basic.
        ip_families: IPv4, IPv6.
        load_balancer: How the load balancer does outbound traffic; ``None``: it does none.
        nat_gateway: The NAT gateway that AKS manages; ``None``: none.
        advanced_networking: Whether Advanced Container Networking Services are on (advancedNetworking.enabled).
        static_egress_gateway: Whether static egress gateways are on (staticEgressGatewayProfile.enabled).
    """

    network_plugin: Fact[str] = NOT_COLLECTED
    network_plugin_mode: Fact[str] = NOT_COLLECTED
    network_policy: Fact[str] = NOT_COLLECTED
    network_dataplane: Fact[str] = NOT_COLLECTED
    network_mode: Fact[str] = NOT_COLLECTED
    pod_cidr: Fact[AnyCidr] = NOT_COLLECTED
    pod_cidrs: Fact[tuple[AnyCidr, ...]] = NOT_COLLECTED
    service_cidr: Fact[AnyCidr] = NOT_COLLECTED
    service_cidrs: Fact[tuple[AnyCidr, ...]] = NOT_COLLECTED
    dns_service_ip: Fact[AnyAddress] = NOT_COLLECTED
    outbound_type: Fact[str] = NOT_COLLECTED
    load_balancer_sku: Fact[str] = NOT_COLLECTED
    ip_families: Fact[tuple[str, ...]] = NOT_COLLECTED
    load_balancer: Fact[LoadBalancerProfile] = NOT_COLLECTED
    nat_gateway: Fact[NatGatewayProfile] = NOT_COLLECTED
    advanced_networking: Fact[bool] = NOT_COLLECTED
    static_egress_gateway: Fact[bool] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedCluster:
    """The AKS cluster (Microsoft.ContainerService/managedClusters).

    Attributes:
        cluster_id: Its ARM id.
        name: Its name.
        location: Its region.
        kubernetes_version: The version asked for.
        current_kubernetes_version: The version that runs.
        provisioning_state: Succeeded, Updating, Failed, …
        power_state: Running or Stopped.
        sku_tier: Free, Standard or Premium.
        node_resource_group: The resource group in which AKS keeps what it manages.
        identity_type: SystemAssigned or UserAssigned; ``None``: a service principal.
        identity_ids: ARM ids of the user-assigned identities.
        kubelet_identity_id: ARM id of the kubelet's identity.
        network: Its network profile.
        authorized_ranges: Ranges from which its API server may be reached; ``None`` or empty: everywhere.
        private: Whether its API server is private.
        oidc_issuer: Whether it has an OIDC issuer of its own.
        workload_identity: Whether workload identity is on.
        auto_upgrade_channel: Its channel for automatic upgrades; ``None``: none.
        node_os_upgrade_channel: Its channel for node images; ``None``: none.
        addons: Names of the add-ons that are on.
        tags: Its tags.
    """

    cluster_id: str
    name: str
    location: Fact[str] = NOT_COLLECTED
    kubernetes_version: Fact[str] = NOT_COLLECTED
    current_kubernetes_version: Fact[str] = NOT_COLLECTED
    provisioning_state: Fact[str] = NOT_COLLECTED
    power_state: Fact[str] = NOT_COLLECTED
    sku_tier: Fact[str] = NOT_COLLECTED
    node_resource_group: Fact[str] = NOT_COLLECTED
    identity_type: Fact[str] = NOT_COLLECTED
    identity_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    kubelet_identity_id: Fact[str] = NOT_COLLECTED
    network: Fact[NetworkProfile] = NOT_COLLECTED
    authorized_ranges: Fact[tuple[str, ...]] = NOT_COLLECTED
    private: Fact[bool] = NOT_COLLECTED
    oidc_issuer: Fact[bool] = NOT_COLLECTED
    workload_identity: Fact[bool] = NOT_COLLECTED
    auto_upgrade_channel: Fact[str] = NOT_COLLECTED
    node_os_upgrade_channel: Fact[str] = NOT_COLLECTED
    addons: Fact[tuple[str, ...]] = NOT_COLLECTED
    tags: Fact[Mapping[str, str]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPool:
    """A node pool (Microsoft.ContainerService/managedClusters/agentPools).

    Attributes:
        name: Its name, which nodes carry as the label kubernetes.azure.com/agentpool.
        mode: System, User or Gateway.
        count: Nodes now.
        autoscaling: Whether the cluster autoscaler sets the count (enableAutoScaling).
        minimum: The autoscaler's minimum; ``None``: no autoscaler.
        maximum: The autoscaler's maximum; ``None``: no autoscaler.
        max_pods: maxPods of its nodes, pods on the host network included.
        max_surge: Nodes more during an upgrade, such as `1` or `10%`; ``None``: AKS's default.
        max_unavailable: Nodes less during an upgrade, such as `1` or `10%`; ``None``: AKS's default.
        os_type: Linux or Windows.
        os_sku: Ubuntu, AzureLinux, Windows2022, …
        vm_size: Size of its VMs.
        pool_type: VirtualMachineScaleSets, VirtualMachines or AvailabilitySet.
        priority: Regular or Spot.
        node_subnet_id: ARM id of its nodes' subnet (vnetSubnetID); ``None``: AKS made one.
        pod_subnet_id: ARM id of its pods' subnet (podSubnetID); ``None``: its pods have none of their own.
        pod_ip_allocation_mode: DynamicIndividual or StaticBlock; only with a pod subnet.
        zones: Its availability zones; empty or ``None``: none.
        provisioning_state: Succeeded, Scaling, Failed, …
        power_state: Running or Stopped.
        version: Version of Kubernetes that its nodes run.
        node_image_version: Such as AKSUbuntu-2204gen2containerd-202508.04.0.
        node_public_ip: Whether each node has a public address of its own.
        taints: Taints of its nodes.
        issue: What its last operation failed of, in Azure's words; ``None``: of nothing.
    """

    name: str
    mode: Fact[str] = NOT_COLLECTED
    count: Fact[Pods] = NOT_COLLECTED
    autoscaling: Fact[bool] = NOT_COLLECTED
    minimum: Fact[Pods] = NOT_COLLECTED
    maximum: Fact[Pods] = NOT_COLLECTED
    max_pods: Fact[Pods] = NOT_COLLECTED
    max_surge: Fact[str] = NOT_COLLECTED
    max_unavailable: Fact[str] = NOT_COLLECTED
    os_type: Fact[str] = NOT_COLLECTED
    os_sku: Fact[str] = NOT_COLLECTED
    vm_size: Fact[str] = NOT_COLLECTED
    pool_type: Fact[str] = NOT_COLLECTED
    priority: Fact[str] = NOT_COLLECTED
    node_subnet_id: Fact[str] = NOT_COLLECTED
    pod_subnet_id: Fact[str] = NOT_COLLECTED
    pod_ip_allocation_mode: Fact[str] = NOT_COLLECTED
    zones: Fact[tuple[str, ...]] = NOT_COLLECTED
    provisioning_state: Fact[str] = NOT_COLLECTED
    power_state: Fact[str] = NOT_COLLECTED
    version: Fact[str] = NOT_COLLECTED
    node_image_version: Fact[str] = NOT_COLLECTED
    node_public_ip: Fact[bool] = NOT_COLLECTED
    taints: Fact[tuple[str, ...]] = NOT_COLLECTED
    issue: Fact[str] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSubnet:
    """A subnet of a VNet (Microsoft.Network/virtualNetworks/subnets).

    Attributes:
        subnet_id: Its ARM id.
        name: Its name.
        prefixes: Its CIDRs (addressPrefix or addressPrefixes).
        route_table_id: Its route table; ``None``: none.
        security_group_id: Its network security group; ``None``: none.
        nat_gateway_id: Its NAT gateway; ``None``: none.
        delegations: Services that it is delegated to, such as Microsoft.ContainerService/managedClusters.
        service_endpoints: Services that it reaches by a service endpoint.
        default_outbound_access: Whether Azure gives it outbound access by itself; ``None``: not said, which means yes.
        used_addresses: Addresses in use, as Azure counts them (virtualNetworks/usages, currentValue); ``None``: it
            counts none, as for subnets that pods take addresses of dynamically (azure-sdk-for-python #35139).
        usable_addresses: Addresses that can be used, as Azure counts them (the same, limit); ``None``: the same.
        ip_configurations: How many IP configurations hang in it.
        ip_configuration_owners: The same by kind of owner: virtualMachineScaleSets, loadBalancers, privateEndpoints, …
        properties: Names of the properties that it has in ARM, all of them: what a PUT must send again.
    """

    subnet_id: str
    name: str
    prefixes: Fact[tuple[AnyCidr, ...]] = NOT_COLLECTED
    route_table_id: Fact[str] = NOT_COLLECTED
    security_group_id: Fact[str] = NOT_COLLECTED
    nat_gateway_id: Fact[str] = NOT_COLLECTED
    delegations: Fact[tuple[str, ...]] = NOT_COLLECTED
    service_endpoints: Fact[tuple[str, ...]] = NOT_COLLECTED
    default_outbound_access: Fact[bool] = NOT_COLLECTED
    used_addresses: Fact[Addresses] = NOT_COLLECTED
    usable_addresses: Fact[Addresses] = NOT_COLLECTED
    ip_configurations: Fact[Addresses] = NOT_COLLECTED
    ip_configuration_owners: Fact[Mapping[str, int]] = NOT_COLLECTED
    properties: Fact[tuple[str, ...]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class VnetPeering:
    """A peering of a VNet.

    Attributes:
        name: Its name.
        state: Connected, Initiated or Disconnected.
        remote_id: ARM id of the other VNet.
        remote_prefixes: The other VNet's address space.
        allow_gateway_transit: Whether the other one may use this one's gateway.
        use_remote_gateways: Whether this one uses the other one's gateway.
    """

    name: str
    state: Fact[str] = NOT_COLLECTED
    remote_id: Fact[str] = NOT_COLLECTED
    remote_prefixes: Fact[tuple[AnyCidr, ...]] = NOT_COLLECTED
    allow_gateway_transit: Fact[bool] = NOT_COLLECTED
    use_remote_gateways: Fact[bool] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualNetwork:
    """A VNet (Microsoft.Network/virtualNetworks).

    Attributes:
        vnet_id: Its ARM id.
        name: Its name.
        location: Its region.
        prefixes: Its address space.
        subnets: Its subnets.
        peerings: Its peerings.
        dns_servers: Its own DNS servers; empty: Azure's.
        encryption: Whether VNet encryption is on.
        ddos_protection: Whether DDoS network protection is on.
    """

    vnet_id: str
    name: str
    location: Fact[str] = NOT_COLLECTED
    prefixes: Fact[tuple[AnyCidr, ...]] = NOT_COLLECTED
    subnets: Fact[tuple[AzureSubnet, ...]] = NOT_COLLECTED
    peerings: Fact[tuple[VnetPeering, ...]] = NOT_COLLECTED
    dns_servers: Fact[tuple[AnyAddress, ...]] = NOT_COLLECTED
    encryption: Fact[bool] = NOT_COLLECTED
    ddos_protection: Fact[bool] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureRoute:
    """A route of a route table.

    Attributes:
        name: Its name.
        prefix: Destination: a CIDR, or a service tag.
        next_hop_type: VirtualAppliance, VirtualNetworkGateway, VnetLocal, Internet or None.
        next_hop: Address of the virtual appliance, with kubenet that of a node; ``None`` for the other types.
    """

    name: str
    prefix: str
    next_hop_type: str
    next_hop: Fact[str] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureRouteTable:
    """A route table (Microsoft.Network/routeTables).

    Attributes:
        route_table_id: Its ARM id.
        name: Its name.
        routes: Its routes.
        subnet_ids: ARM ids of the subnets that use it.
        disable_bgp_propagation: Whether routes that a gateway learns are kept out.
    """

    route_table_id: str
    name: str
    routes: Fact[tuple[AzureRoute, ...]] = NOT_COLLECTED
    subnet_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    disable_bgp_propagation: Fact[bool] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityRule:
    """A rule of a network security group.

    Attributes:
        name: Its name.
        priority: 100 to 4096, the lowest first; the default rules have 65000 and more.
        direction: Inbound or Outbound.
        access: Allow or Deny.
        protocol: Tcp, Udp, Icmp, Esp, Ah or *.
        sources: Address prefixes or service tags.
        destinations: The same.
        source_ports: Ports and ranges of them, or *.
        destination_ports: The same.
        groups: Whether it names application security groups, of which prefixes say nothing.
    """

    name: str
    priority: int
    direction: str
    access: str
    protocol: str = "*"
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    source_ports: tuple[str, ...] = ()
    destination_ports: tuple[str, ...] = ()
    groups: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSecurityGroup:
    """A network security group (Microsoft.Network/networkSecurityGroups).

    Attributes:
        group_id: Its ARM id.
        name: Its name.
        rules: Its own rules; the default rules are the same everywhere.
        subnet_ids: ARM ids of the subnets that use it.
    """

    group_id: str
    name: str
    rules: Fact[tuple[SecurityRule, ...]] = NOT_COLLECTED
    subnet_ids: Fact[tuple[str, ...]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class NatGateway:
    """A NAT gateway (Microsoft.Network/natGateways).

    Attributes:
        gateway_id: Its ARM id.
        name: Its name.
        location: Its region.
        sku: Standard or StandardV2.
        zones: Its zone; empty: Azure chose one, or with StandardV2 all.
        idle_timeout_minutes: After how many minutes an idle TCP flow is dropped.
        public_ip_ids: ARM ids of its public addresses.
        public_prefix_ids: ARM ids of its public prefixes.
        subnet_ids: ARM ids of the subnets that it serves.
        provisioning_state: Succeeded, Updating, Failed, …
    """

    gateway_id: str
    name: str
    location: Fact[str] = NOT_COLLECTED
    sku: Fact[str] = NOT_COLLECTED
    zones: Fact[tuple[str, ...]] = NOT_COLLECTED
    idle_timeout_minutes: Fact[int] = NOT_COLLECTED
    public_ip_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    public_prefix_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    subnet_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    provisioning_state: Fact[str] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicAddress:
    """A public address (Microsoft.Network/publicIPAddresses).

    Attributes:
        address_id: Its ARM id.
        name: Its name.
        address: The address itself; ``None``: it has none yet.
        location: Its region.
        sku: Basic, Standard or StandardV2.
        allocation: Static or Dynamic.
        zones: Its zones.
        prefix_id: The prefix that it comes from; ``None``: none.
        attached_to: ARM id of the IP configuration or NAT gateway that uses it; ``None``: nobody.
    """

    address_id: str
    name: str
    address: Fact[AnyAddress] = NOT_COLLECTED
    location: Fact[str] = NOT_COLLECTED
    sku: Fact[str] = NOT_COLLECTED
    allocation: Fact[str] = NOT_COLLECTED
    zones: Fact[tuple[str, ...]] = NOT_COLLECTED
    prefix_id: Fact[str] = NOT_COLLECTED
    attached_to: Fact[str] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicPrefix:
    """A public prefix (Microsoft.Network/publicIPPrefixes).

    Attributes:
        prefix_id: Its ARM id.
        name: Its name.
        prefix: The CIDR.
        location: Its region.
        sku: Standard or StandardV2.
        zones: Its zones.
    """

    prefix_id: str
    name: str
    prefix: Fact[AnyCidr] = NOT_COLLECTED
    location: Fact[str] = NOT_COLLECTED
    sku: Fact[str] = NOT_COLLECTED
    zones: Fact[tuple[str, ...]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeUsage:
    """A quota of the subscription in the region (Microsoft.Compute/locations/usages).

    Attributes:
        name: Its name: cores, virtualMachines, standardDDSv5Family, …
        current: Used.
        limit: Allowed.
    """

    name: str
    current: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSize:
    """A VM size (Microsoft.Compute/skus).

    Attributes:
        name: Its name, such as Standard_D4ds_v5.
        family: The quota that it counts against, such as standardDDSv5Family.
        vcpus: Virtual CPUs.
        restricted: Why the subscription cannot have it in the region; ``None``: it can.
    """

    name: str
    family: Fact[str] = NOT_COLLECTED
    vcpus: Fact[int] = NOT_COLLECTED
    restricted: Fact[str] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmError:
    """An operation that Azure refused lately (activity log), repeated ones counted.

    Attributes:
        operation: Such as Microsoft.ContainerService/managedClusters/agentPools/write.
        resource_id: What it was asked of.
        code: The error code, such as InsufficientSubnetSize.
        message: Azure's words.
        target: What of the request it concerns, such as networkProfile.podCIDR; ``None``: not said.
        first_seen: Time of the first.
        last_seen: Time of the last.
        count: How often.
    """

    operation: str
    resource_id: str
    code: str
    message: str = ""
    target: Fact[str] = None
    first_seen: Fact[Time] = NOT_COLLECTED
    last_seen: Fact[Time] = NOT_COLLECTED
    count: Pods = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLocalReading:
    """What host-local has reserved on one node, against what runs there.

    Attributes:
        node: The node.
        network: Name of the folder below /var/lib/cni/networks.
        reserved: Addresses that have a file there.
        live: Sandboxes on the pod network that the container runtime has ready.
        leaked: Addresses whose file names a container that the runtime does not have.
        range_start: First address of the range that host-local gives out.
        range_end: Last address of it.
        oldest_leak: Time of the oldest file that names no live container; ``None``: there is none.
    """

    node: str
    network: Fact[str] = NOT_COLLECTED
    reserved: Fact[Pods] = NOT_COLLECTED
    live: Fact[Pods] = NOT_COLLECTED
    leaked: Fact[tuple[AnyAddress, ...]] = NOT_COLLECTED
    range_start: Fact[AnyAddress] = NOT_COLLECTED
    range_end: Fact[AnyAddress] = NOT_COLLECTED
    oldest_leak: Fact[Time] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkContainer:
    """A network container of a NodeNetworkConfig: the addresses that a node may give to pods.

    Attributes:
        container_id: Its id.
        assignment_mode: static (a whole block, as in an overlay) or dynamic (address by address, of a pod subnet).
        container_type: vnet, vnetblock or overlay.
        subnet_name: The subnet's name; of an overlay, the name of its routing domain.
        subnet_address_space: The range that its addresses are of; with an overlay the cluster's pod CIDR.
        primary_ip: Its first address, or in an overlay the node's block.
        node_ip: The node's address.
        addresses: How many addresses are assigned one by one (ipAssignments).
        status: NCUpdateSuccess, NCUpdateSubnetFullError, NCUpdateInternalServerError, …; ``None``: not said.
    """

    container_id: str
    assignment_mode: Fact[str] = NOT_COLLECTED
    container_type: Fact[str] = NOT_COLLECTED
    subnet_name: Fact[str] = NOT_COLLECTED
    subnet_address_space: Fact[AnyCidr] = NOT_COLLECTED
    primary_ip: Fact[str] = NOT_COLLECTED
    node_ip: Fact[AnyAddress] = NOT_COLLECTED
    addresses: Fact[Addresses] = NOT_COLLECTED
    status: Fact[str] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNetworkConfig:
    """A NodeNetworkConfig: what azure-cns asked for on one node and what it got.

    Attributes:
        node: The node, after which it is named.
        requested_addresses: spec.requestedIPCount.
        releasing_addresses: How many addresses azure-cns wants to give back (spec.ipsNotInUse).
        assigned_addresses: status.assignedIPCount.
        maximum_addresses: status.scaler.maxIPCount.
        batch_size: status.scaler.batchSize.
        status: Updating, Updated or Error; ``None``: not said.
        containers: status.networkContainers.
    """

    node: str
    requested_addresses: Fact[Addresses] = NOT_COLLECTED
    releasing_addresses: Fact[Addresses] = NOT_COLLECTED
    assigned_addresses: Fact[Addresses] = NOT_COLLECTED
    maximum_addresses: Fact[Addresses] = NOT_COLLECTED
    batch_size: Fact[Addresses] = NOT_COLLECTED
    status: Fact[str] = NOT_COLLECTED
    containers: Fact[tuple[NetworkContainer, ...]] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CnsReading:
    """What azure-cns on one node says of its pool (:10092/metrics); meaningful with a pod subnet only.

    Attributes:
        node: The node.
        available: cx_ipam_available_ips.
        total: cx_ipam_total_ips.
        maximum: cx_ipam_max_ips.
        requested: cx_ipam_requested_ips.
        allocated: cx_ipam_pod_allocated_ips.
        subnet_exhausted: cx_ipam_subnet_exhaustion_state.
    """

    node: str
    available: Fact[int] = NOT_COLLECTED
    total: Fact[int] = NOT_COLLECTED
    maximum: Fact[Pods] = NOT_COLLECTED
    requested: Fact[int] = NOT_COLLECTED
    allocated: Fact[int] = NOT_COLLECTED
    subnet_exhausted: Fact[bool] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class IpMasqAgent:
    """The configuration of azure-ip-masq-agent.

    Attributes:
        custom: Whether somebody gave it a configuration of their own (ConfigMap azure-ip-masq-agent-config).
        non_masquerade_cidrs: Destinations whose traffic keeps the pod's address.
        masquerade_link_local: Whether link-local traffic is masqueraded.
    """

    custom: Fact[bool] = NOT_COLLECTED
    non_masquerade_cidrs: Fact[tuple[AnyCidr, ...]] = NOT_COLLECTED
    masquerade_link_local: Fact[bool] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressReading:
    """What Azure Monitor says of a NAT gateway's or a load balancer's outbound connections in a window.

    Attributes:
        resource_id: ARM id of the NAT gateway or load balancer.
        kind: natGateway or loadBalancer.
        failed_connections: SNATConnectionCount with ConnectionState Failed, the sum of the window.
        connections: The same whatever the state.
        used_ports: Load balancer: UsedSnatPorts, the highest of any address.
        allocated_ports: Load balancer: AllocatedSnatPorts of the same.
        datapath_availability: DatapathAvailability (VipAvailability), average of the window in percent.
        since: Start of the window.
        until: End of the window.
    """

    resource_id: str
    kind: EgressKind
    failed_connections: Fact[int] = NOT_COLLECTED
    connections: Fact[int] = NOT_COLLECTED
    used_ports: Fact[int] = NOT_COLLECTED
    allocated_ports: Fact[int] = NOT_COLLECTED
    datapath_availability: Fact[float] = NOT_COLLECTED
    since: Fact[Time] = NOT_COLLECTED
    until: Fact[Time] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another AKS cluster whose nodes or pods live in one of the same VNets.

    Attributes:
        cluster_id: Its ARM id.
        name: Its name.
        network_plugin: Its network plugin.
        pod_cidr: Its pod CIDR; ``None``: its pods use a subnet.
        subnet_ids: Subnets of its pools, for nodes and for pods.
        node_resource_group: The resource group in which AKS keeps what it manages for it.
    """

    cluster_id: str
    name: str
    network_plugin: Fact[str] = NOT_COLLECTED
    pod_cidr: Fact[AnyCidr] = NOT_COLLECTED
    subnet_ids: Fact[tuple[str, ...]] = NOT_COLLECTED
    node_resource_group: Fact[str] = NOT_COLLECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How one resource type was listed: a type that Resource Graph does not know returns no rows, which is no answer.

    Attributes:
        resource_type: Such as Microsoft.Network/routeTables.
        listed_by: resource_graph, resource_manager or none.
        found: How many were found; ``None`` where nobody could list it.
        because: Why it was not listed, or only in part.
    """

    resource_type: str
    listed_by: ListedBy
    found: int | None = None
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Azure:
    """Everything read from Azure and from what AKS runs on the nodes.

    Attributes:
        subscription_id: The subscription.
        resource_group: The cluster's resource group.
        location: The region.
        cluster: The cluster; ``None``: there is none of this name.
        pools: Its node pools.
        vnets: The VNets of its nodes and pods, with their subnets.
        route_tables: The route tables of those subnets, and those that AKS manages.
        security_groups: The network security groups of those subnets.
        nat_gateways: The NAT gateways of those subnets.
        public_addresses: The public addresses that its traffic may come from.
        public_prefixes: The public prefixes of the same.
        quotas: Compute quotas of the subscription in the region.
        vm_sizes: The VM sizes of its pools.
        errors: Operations on it that Azure refused lately.
        host_local: Reservations of host-local, node by node (kubenet).
        node_network_configs: The NodeNetworkConfigs; ``None``: the kind is not installed (kubenet, node subnet).
        cns: What azure-cns says of its pools, node by node.
        cns_pods: The pods of azure-cns; ``None``: it does not run.
        ip_masq: The configuration of azure-ip-masq-agent; ``None``: it does not run.
        egress: Outbound connections, as Azure Monitor counts them.
        neighbours: Other AKS clusters in the same VNets.
        coverage: How each resource type was listed.
    """

    subscription_id: Fact[str] = NOT_COLLECTED
    resource_group: Fact[str] = NOT_COLLECTED
    location: Fact[str] = NOT_COLLECTED
    cluster: Fact[ManagedCluster] = NOT_COLLECTED
    pools: Fact[tuple[AgentPool, ...]] = NOT_COLLECTED
    vnets: Fact[tuple[VirtualNetwork, ...]] = NOT_COLLECTED
    route_tables: Fact[tuple[AzureRouteTable, ...]] = NOT_COLLECTED
    security_groups: Fact[tuple[NetworkSecurityGroup, ...]] = NOT_COLLECTED
    nat_gateways: Fact[tuple[NatGateway, ...]] = NOT_COLLECTED
    public_addresses: Fact[tuple[PublicAddress, ...]] = NOT_COLLECTED
    public_prefixes: Fact[tuple[PublicPrefix, ...]] = NOT_COLLECTED
    quotas: Fact[tuple[ComputeUsage, ...]] = NOT_COLLECTED
    vm_sizes: Fact[tuple[VmSize, ...]] = NOT_COLLECTED
    errors: Fact[tuple[ArmError, ...]] = NOT_COLLECTED
    host_local: Fact[tuple[HostLocalReading, ...]] = NOT_COLLECTED
    node_network_configs: Fact[tuple[NodeNetworkConfig, ...]] = NOT_COLLECTED
    cns: Fact[tuple[CnsReading, ...]] = NOT_COLLECTED
    cns_pods: Fact[tuple[CniPod, ...]] = NOT_COLLECTED
    ip_masq: Fact[IpMasqAgent] = NOT_COLLECTED
    egress: Fact[tuple[EgressReading, ...]] = NOT_COLLECTED
    neighbours: Fact[tuple[Neighbour, ...]] = NOT_COLLECTED
    coverage: tuple[Coverage, ...] = ()
