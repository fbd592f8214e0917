"""What Azure Resource Manager answers, as facts: the same for raw answers of the API and for `az … show -o json`.

The Azure CLI lifts the `properties` of a resource to its top; both forms are read. Every function takes one object and
raises KeyError, TypeError, AttributeError or ValueError where it lacks what the API always sends. Tags of resources
stay behind, but for the cluster's own.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from headroom.collect.redaction import redacted
from headroom.collect.times import utc
from headroom.facts.azure import (
    AgentPool,
    ArmError,
    AzureRoute,
    AzureRouteTable,
    AzureSubnet,
    ComputeUsage,
    IpMasqAgent,
    LoadBalancerProfile,
    ManagedCluster,
    NatGateway,
    NatGatewayProfile,
    Neighbour,
    NetworkContainer,
    NetworkProfile,
    NetworkSecurityGroup,
    NodeNetworkConfig,
    PublicAddress,
    PublicPrefix,
    SecurityRule,
    VirtualNetwork,
    VmSize,
    VnetPeering,
)
from headroom.facts.values import NOT_COLLECTED, Fact, Unknown

Object = Mapping[str, Any]

COUNTS_NOTHING: Final = -1
"""What Azure answers for a subnet whose addresses it does not count (azure-sdk-for-python #35139)."""

_NO_POLICY: Final = "none"


def properties_of(item: Object) -> Object:
    """The properties of a resource, wherever they stand."""
    inner = item.get("properties")
    return inner if isinstance(inner, Mapping) else item


def ids(items: Iterable[Object] | None) -> tuple[str, ...]:
    """The ARM ids of references."""
    return tuple(str(each["id"]) for each in items or ())


def _id(item: Object | None) -> str | None:
    return str(item["id"]) if item and item.get("id") else None


def _texts(items: Iterable[Any] | None) -> tuple[str, ...]:
    return tuple(str(each) for each in items or ())


def _either(item: Object, one: str, several: str) -> tuple[str, ...]:
    """A property that Azure has in the singular and in the plural."""
    found = _texts(item.get(several))
    return found or ((str(item[one]),) if item.get(one) else ())


# The cluster.


def managed_cluster(item: Object) -> ManagedCluster:
    """The cluster; its pools are read by ``agent_pool``."""
    read = properties_of(item)
    identity: Object = item.get("identity") or {}
    access: Object = read.get("apiServerAccessProfile") or {}
    security: Object = read.get("securityProfile") or {}
    upgrades: Object = read.get("autoUpgradeProfile") or {}
    kubelet: Object = (read.get("identityProfile") or {}).get("kubeletidentity") or {}
    addons: Mapping[str, Object] = read.get("addonProfiles") or {}
    return ManagedCluster(
        cluster_id=item["id"],
        name=item["name"],
        location=item.get("location"),
        kubernetes_version=read.get("kubernetesVersion"),
        current_kubernetes_version=read.get("currentKubernetesVersion"),
        provisioning_state=read.get("provisioningState"),
        power_state=(read.get("powerState") or {}).get("code"),
        sku_tier=(item.get("sku") or {}).get("tier"),
        node_resource_group=read.get("nodeResourceGroup"),
        identity_type=identity.get("type"),
        identity_ids=_texts(identity.get("userAssignedIdentities")),
        kubelet_identity_id=kubelet.get("resourceId"),
        network=network_profile(read.get("networkProfile") or {}),
        authorized_ranges=_texts(access.get("authorizedIPRanges") or access.get("authorizedIpRanges")),
        private=bool(access.get("enablePrivateCluster", False)),
        oidc_issuer=bool((read.get("oidcIssuerProfile") or {}).get("enabled", False)),
        workload_identity=bool((security.get("workloadIdentity") or {}).get("enabled", False)),
        auto_upgrade_channel=upgrades.get("upgradeChannel"),
        node_os_upgrade_channel=upgrades.get("nodeOSUpgradeChannel") or upgrades.get("nodeOsUpgradeChannel"),
        addons=tuple(sorted(name for name, each in addons.items() if each.get("enabled"))),
        tags={str(key): str(value) for key, value in (item.get("tags") or {}).items()},
    )


def network_profile(read: Object) -> NetworkProfile:
    """The network profile."""
    balancer, gateway = read.get("loadBalancerProfile"), read.get("natGatewayProfile")
    policy = read.get("networkPolicy")
    return NetworkProfile(
        network_plugin=read.get("networkPlugin"),
        network_plugin_mode=read.get("networkPluginMode") or None,
        network_policy=None if policy == _NO_POLICY else policy,
        network_dataplane=read.get("networkDataplane"),
        network_mode=read.get("networkMode"),
        pod_cidr=read.get("podCidr"),
        pod_cidrs=_texts(read.get("podCidrs")),
        service_cidr=read.get("serviceCidr"),
        service_cidrs=_texts(read.get("serviceCidrs")),
        dns_service_ip=read.get("dnsServiceIP") or read.get("dnsServiceIp"),
        outbound_type=read.get("outboundType"),
        load_balancer_sku=str(read["loadBalancerSku"]).lower() if read.get("loadBalancerSku") else None,
        ip_families=_texts(read.get("ipFamilies")),
        load_balancer=None if not balancer else _load_balancer(balancer),
        nat_gateway=None if not gateway else _nat_profile(gateway),
        advanced_networking=bool((read.get("advancedNetworking") or {}).get("enabled", False)),
        static_egress_gateway=bool((read.get("staticEgressGatewayProfile") or {}).get("enabled", False)),
    )


def _cased(read: Object, name: str) -> Any:
    """A property whose name has `IPs` in it, which the Azure CLI writes `iPs` or `Ips`."""
    return next(
        (read[each] for each in (name, name.replace("IP", "iP"), name.replace("IP", "Ip")) if each in read), None
    )


def _load_balancer(read: Object) -> LoadBalancerProfile:
    managed: Object = _cased(read, "managedOutboundIPs") or {}
    return LoadBalancerProfile(
        managed_outbound_ips=managed.get("count"),
        outbound_ip_ids=ids(_cased(_cased(read, "outboundIPs") or {}, "publicIPs")),
        outbound_prefix_ids=ids(_cased(_cased(read, "outboundIPPrefixes") or {}, "publicIPPrefixes")),
        effective_outbound_ip_ids=ids(_cased(read, "effectiveOutboundIPs")),
        allocated_outbound_ports=read.get("allocatedOutboundPorts"),
        idle_timeout_minutes=read.get("idleTimeoutInMinutes"),
        backend_pool_type=read.get("backendPoolType"),
    )


def _nat_profile(read: Object) -> NatGatewayProfile:
    managed: Object = _cased(read, "managedOutboundIPProfile") or {}
    return NatGatewayProfile(
        managed_outbound_ips=managed.get("count"),
        effective_outbound_ip_ids=ids(_cased(read, "effectiveOutboundIPs")),
        idle_timeout_minutes=read.get("idleTimeoutInMinutes"),
    )


def agent_pool(item: Object) -> AgentPool:
    """A node pool, of its own resource or of the cluster's agentPoolProfiles."""
    read = properties_of(item)
    upgrade: Object = read.get("upgradeSettings") or {}
    scaled = bool(read.get("enableAutoScaling", False))
    error: Object = (read.get("status") or {}).get("provisioningError") or {}
    return AgentPool(
        name=item["name"],
        mode=read.get("mode"),
        count=read.get("count"),
        autoscaling=scaled,
        minimum=read.get("minCount") if scaled else None,
        maximum=read.get("maxCount") if scaled else None,
        max_pods=read.get("maxPods"),
        max_surge=upgrade.get("maxSurge") or None,
        max_unavailable=upgrade.get("maxUnavailable") or None,
        os_type=read.get("osType"),
        os_sku=_cased_sku(read),
        vm_size=read.get("vmSize"),
        pool_type=read.get("type") if read is not item or "/" not in str(read.get("type")) else None,
        priority=read.get("scaleSetPriority") or "Regular",
        node_subnet_id=read.get("vnetSubnetID") or read.get("vnetSubnetId"),
        pod_subnet_id=read.get("podSubnetID") or read.get("podSubnetId"),
        pod_ip_allocation_mode=read.get("podIPAllocationMode") or read.get("podIpAllocationMode"),
        zones=_texts(read.get("availabilityZones")),
        provisioning_state=read.get("provisioningState"),
        power_state=(read.get("powerState") or {}).get("code"),
        version=read.get("currentOrchestratorVersion") or read.get("orchestratorVersion"),
        node_image_version=read.get("nodeImageVersion"),
        node_public_ip=bool(read.get("enableNodePublicIP") or read.get("enableNodePublicIp")),
        taints=_texts(read.get("nodeTaints")),
        issue=redacted(f"{error.get('code', '')}: {error.get('message', '')}") if error else None,
    )


def _cased_sku(read: Object) -> str | None:
    return read.get("osSKU") or read.get("osSku")


def neighbour(item: Object) -> Neighbour:
    """Another cluster, as Resource Graph has it."""
    read = properties_of(item)
    network: Object = read.get("networkProfile") or {}
    pools = [agent_pool(each) for each in read.get("agentPoolProfiles") or ()]
    found = [each for pool in pools for each in (pool.node_subnet_id, pool.pod_subnet_id) if isinstance(each, str)]
    return Neighbour(
        cluster_id=item["id"],
        name=item["name"],
        network_plugin=network.get("networkPlugin"),
        pod_cidr=network.get("podCidr"),
        subnet_ids=tuple(dict.fromkeys(found)),
        node_resource_group=read.get("nodeResourceGroup"),
    )


# The network.


def virtual_network(item: Object, usages: Iterable[Object] | Unknown = NOT_COLLECTED) -> VirtualNetwork:
    """A VNet with its subnets.

    Args:
        item: The VNet.
        usages: What `virtualNetworks/usages` answers; unknown: then the counts are.
    """
    read = properties_of(item)
    counted = usages if isinstance(usages, Unknown) else {str(each["id"]).lower(): each for each in usages}
    return VirtualNetwork(
        vnet_id=item["id"],
        name=item["name"],
        location=item.get("location"),
        prefixes=_texts((read.get("addressSpace") or {}).get("addressPrefixes")),
        subnets=tuple(subnet(each, counted) for each in read.get("subnets") or ()),
        peerings=tuple(_peering(each) for each in read.get("virtualNetworkPeerings") or ()),
        dns_servers=_texts((read.get("dhcpOptions") or {}).get("dnsServers")),
        encryption=bool((read.get("encryption") or {}).get("enabled", False)),
        ddos_protection=bool(read.get("enableDdosProtection", False)),
    )


def _peering(item: Object) -> VnetPeering:
    read = properties_of(item)
    space: Object = read.get("remoteAddressSpace") or read.get("remoteVirtualNetworkAddressSpace") or {}
    return VnetPeering(
        name=item["name"],
        state=read.get("peeringState"),
        remote_id=_id(read.get("remoteVirtualNetwork")),
        remote_prefixes=_texts(space.get("addressPrefixes")),
        allow_gateway_transit=bool(read.get("allowGatewayTransit", False)),
        use_remote_gateways=bool(read.get("useRemoteGateways", False)),
    )


def subnet(item: Object, usages: Mapping[str, Object] | Unknown = NOT_COLLECTED) -> AzureSubnet:
    """A subnet.

    Args:
        item: The subnet.
        usages: What `virtualNetworks/usages` answers, by id in small letters; unknown: then the counts are.
    """
    read = properties_of(item)
    configurations = read.get("ipConfigurations") or ()
    count = usages if isinstance(usages, Unknown) else usages.get(str(item["id"]).lower(), NOT_COLLECTED)
    return AzureSubnet(
        subnet_id=item["id"],
        name=item["name"],
        prefixes=_either(read, "addressPrefix", "addressPrefixes"),
        route_table_id=_id(read.get("routeTable")),
        security_group_id=_id(read.get("networkSecurityGroup")),
        nat_gateway_id=_id(read.get("natGateway")),
        delegations=tuple(str(properties_of(each)["serviceName"]) for each in read.get("delegations") or ()),
        service_endpoints=tuple(str(each["service"]) for each in read.get("serviceEndpoints") or ()),
        default_outbound_access=read.get("defaultOutboundAccess"),
        used_addresses=_counted(count, "currentValue"),
        usable_addresses=_counted(count, "limit"),
        ip_configurations=len(configurations),
        ip_configuration_owners=dict(Counter(_owner(str(each["id"])) for each in configurations)),
        properties=tuple(sorted(name for name, value in read.items() if value not in (None, [], {}))),
    )


def _counted(usage: Object | Unknown, name: str) -> Fact[int]:
    if isinstance(usage, Unknown):
        return usage
    value = int(usage[name])
    return None if value <= COUNTS_NOTHING else value


def _owner(configuration_id: str) -> str:
    """The kind of resource that an IP configuration belongs to: the first type in its id."""
    parts = configuration_id.split("/")
    lowered = [part.lower() for part in parts]
    index = lowered.index("providers") if "providers" in lowered else -1
    return parts[index + 2] if 0 <= index < len(parts) - 2 else "other"


def route_table(item: Object) -> AzureRouteTable:
    """A route table."""
    read = properties_of(item)
    return AzureRouteTable(
        route_table_id=item["id"],
        name=item["name"],
        routes=tuple(_route(each) for each in read.get("routes") or ()),
        subnet_ids=ids(read.get("subnets")),
        disable_bgp_propagation=bool(read.get("disableBgpRoutePropagation", False)),
    )


def _route(item: Object) -> AzureRoute:
    read = properties_of(item)
    return AzureRoute(
        name=item["name"],
        prefix=read["addressPrefix"],
        next_hop_type=read["nextHopType"],
        next_hop=read.get("nextHopIpAddress") or None,
    )


def security_group(item: Object) -> NetworkSecurityGroup:
    """A network security group."""
    read = properties_of(item)
    return NetworkSecurityGroup(
        group_id=item["id"],
        name=item["name"],
        rules=tuple(_rule(each) for each in read.get("securityRules") or ()),
        subnet_ids=ids(read.get("subnets")),
    )


def _rule(item: Object) -> SecurityRule:
    read = properties_of(item)
    return SecurityRule(
        name=item["name"],
        priority=int(read["priority"]),
        direction=read["direction"],
        access=read["access"],
        protocol=str(read.get("protocol") or "*"),
        sources=_either(read, "sourceAddressPrefix", "sourceAddressPrefixes"),
        destinations=_either(read, "destinationAddressPrefix", "destinationAddressPrefixes"),
        source_ports=_either(read, "sourcePortRange", "sourcePortRanges"),
        destination_ports=_either(read, "destinationPortRange", "destinationPortRanges"),
        groups=bool(read.get("sourceApplicationSecurityGroups") or read.get("destinationApplicationSecurityGroups")),
    )


def nat_gateway(item: Object) -> NatGateway:
    """A NAT gateway."""
    read = properties_of(item)
    return NatGateway(
        gateway_id=item["id"],
        name=item["name"],
        location=item.get("location"),
        sku=(item.get("sku") or {}).get("name"),
        zones=_texts(item.get("zones")),
        idle_timeout_minutes=read.get("idleTimeoutInMinutes"),
        public_ip_ids=ids(read.get("publicIpAddresses")),
        public_prefix_ids=ids(read.get("publicIpPrefixes")),
        subnet_ids=ids(read.get("subnets")),
        provisioning_state=read.get("provisioningState"),
    )


def public_address(item: Object) -> PublicAddress:
    """A public address."""
    read = properties_of(item)
    return PublicAddress(
        address_id=item["id"],
        name=item["name"],
        address=read.get("ipAddress"),
        location=item.get("location"),
        sku=(item.get("sku") or {}).get("name"),
        allocation=read.get("publicIPAllocationMethod") or read.get("publicIpAllocationMethod"),
        zones=_texts(item.get("zones")),
        prefix_id=_id(read.get("publicIPPrefix") or read.get("publicIpPrefix")),
        attached_to=_id(read.get("ipConfiguration")) or _id(read.get("natGateway")),
    )


def public_prefix(item: Object) -> PublicPrefix:
    """A public prefix."""
    read = properties_of(item)
    return PublicPrefix(
        prefix_id=item["id"],
        name=item["name"],
        prefix=read.get("ipPrefix"),
        location=item.get("location"),
        sku=(item.get("sku") or {}).get("name"),
        zones=_texts(item.get("zones")),
    )


# Quotas and operations.


def usage(item: Object) -> ComputeUsage:
    """A compute quota."""
    return ComputeUsage(name=item["name"]["value"], current=int(item["currentValue"]), limit=int(item["limit"]))


def vm_size(item: Object, location: str) -> VmSize:
    """A VM size of `Microsoft.Compute/skus`."""
    capabilities = {each["name"]: each["value"] for each in item.get("capabilities") or ()}
    reasons = [
        str(each.get("reasonCode") or each["type"])
        for each in item.get("restrictions") or ()
        if each["type"] == "Location"
        and location.lower() in {str(where).lower() for where in each.get("values") or (location,)}
    ]
    return VmSize(
        name=item["name"],
        family=item.get("family"),
        vcpus=int(capabilities["vCPUs"]) if "vCPUs" in capabilities else None,
        restricted=reasons[0] if reasons else None,
    )


_FAILED: Final = "Failed"


def refusals(entries: Iterable[Object]) -> tuple[ArmError, ...]:
    """What the activity log has of operations that failed, equal ones counted; the entries may be in any order."""
    found: dict[tuple[str, ...], list[tuple[str | None, str | None]]] = {}
    for entry in entries:
        if _value(entry.get("status")) != _FAILED:
            continue
        error = _error_of(entry.get("properties") or {})
        target, at = error.get("target"), utc(entry.get("eventTimestamp"))
        key = (
            _value(entry.get("operationName")),
            str(entry.get("resourceId") or ""),
            str(error.get("code") or _value(entry.get("subStatus")) or "Failed"),
            redacted(str(error.get("message") or "")),
        )
        found.setdefault(key, []).append((at if isinstance(at, str) else None, str(target) if target else None))
    return tuple(_refusal(key, seen) for key, seen in found.items())


def _refusal(key: tuple[str, ...], seen: list[tuple[str | None, str | None]]) -> ArmError:
    times = sorted(at for at, _ in seen if at is not None)
    return ArmError(
        operation=key[0],
        resource_id=key[1],
        code=key[2],
        message=key[3],
        target=next((target for _, target in seen if target is not None), None),
        first_seen=times[0] if times else NOT_COLLECTED,
        last_seen=times[-1] if times else NOT_COLLECTED,
        count=len(seen),
    )


def _value(item: Any) -> str:
    return str(item.get("value") or "") if isinstance(item, Mapping) else str(item or "")


def _error_of(properties: Object) -> Object:
    """The error in an entry of the activity log, where it is JSON in a text (`statusMessage`)."""
    message = properties.get("statusMessage")
    if isinstance(message, str):
        try:
            message = json.loads(message)
        except ValueError:
            return {"message": message}
    if not isinstance(message, Mapping):
        return {}
    inner = message.get("error")
    return inner if isinstance(inner, Mapping) else message


# azure-cns and azure-ip-masq-agent, of the API server.


def node_network_config(item: Object) -> NodeNetworkConfig:
    """A NodeNetworkConfig (acn.azure.com)."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    scaler: Object = status.get("scaler") or {}
    return NodeNetworkConfig(
        node=item["metadata"]["name"],
        requested_addresses=spec.get("requestedIPCount"),
        releasing_addresses=len(spec.get("ipsNotInUse") or ()),
        assigned_addresses=status.get("assignedIPCount"),
        maximum_addresses=scaler.get("maxIPCount"),
        batch_size=scaler.get("batchSize"),
        status=status.get("status"),
        containers=tuple(
            NetworkContainer(
                container_id=str(each.get("id") or ""),
                assignment_mode=each.get("assignmentMode"),
                container_type=each.get("type"),
                subnet_name=each.get("subnetName"),
                subnet_address_space=each.get("subnetAddressSpace"),
                primary_ip=each.get("primaryIP"),
                node_ip=each.get("nodeIP"),
                addresses=len(each.get("ipAssignments") or ()),
                status=each.get("status"),
            )
            for each in status.get("networkContainers") or ()
        ),
    )


def ip_masq_agent(config_maps: Mapping[str, Object | None]) -> IpMasqAgent | None:
    """The configuration of azure-ip-masq-agent, of its two ConfigMaps by name; ``None``: it does not run."""
    own, managed = config_maps.get(OWN_IP_MASQ), config_maps.get(MANAGED_IP_MASQ)
    if own is None and managed is None:
        return None
    document = _ip_masq_document(own) or _ip_masq_document(managed) or {}
    return IpMasqAgent(
        custom=own is not None,
        non_masquerade_cidrs=_texts(document.get("nonMasqueradeCIDRs")),
        masquerade_link_local=bool(document.get("masqLinkLocal", False)),
    )


OWN_IP_MASQ: Final = "azure-ip-masq-agent-config"
MANAGED_IP_MASQ: Final = "azure-ip-masq-agent-config-reconciled"
"""The user's ConfigMap and AKS's own (Azure/ip-masq-agent-v2; AKS documentation, update-azure-cni)."""


def _ip_masq_document(item: Object | None) -> Object | None:
    for text in ((item or {}).get("data") or {}).values():
        document = yaml.safe_load(text)
        if isinstance(document, Mapping):
            return document
    return None


def parent_of(resource_id: str) -> str:
    """The ARM id of a child's parent: a subnet's VNet."""
    return resource_id.rstrip("/").rsplit("/", 2)[0]
