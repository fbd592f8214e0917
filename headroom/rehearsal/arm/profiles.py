"""The network profile of an AKS cluster: what Azure fills in, refuses at creation, and refuses as a change.

Codes are AKS's own. Their texts are as reported: InsufficientSubnetSize (AKS-Construction #701), InsufficientPodCidr
(AKS-Construction #357), NetworkProfileCIDROverlapVNET (AKS-Construction #403), ServiceCidrOverlapExistingSubnetsCidr
and DnsServiceIpOutOfServiceCidr (Azure support, AKS error codes), InvalidUserDefinedRoutingWithLoadBalancerProfile
(bicep-registry-modules #5759), UnsupportedNetworkPluginModeWithNetworkPlugin (Azure/AKS #5662), the refusal of an
overlay with network policies (Azure/AKS #4006), SubnetNotAssociatedWithNATGateway and
NATGatewayNotAssociatedWithPublicIPOrIPPrefix (public notes on AKS with Bicep). For a reserved range, a load balancer
in the subnet of a NAT gateway, the size of a pool, and the conditions of an upgrade to overlay no source has the code:
InvalidParameter.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headroom.addresses.azure import (
    AKS_RESERVED,
    LARGEST_SERVICE_PREFIX_LENGTH,
    NODE_LABEL_CHARACTERS,
    OVERLAY_NODE_PREFIX_LENGTH,
    azure_usable_addresses,
    node_blocks,
)
from headroom.addresses.blocks import Block, parse_address
from headroom.addresses.problems import ProblemsError
from headroom.capacity.overlay import (
    DCSV2,
    DEFAULT_MAX_PODS,
    FLAT_DEFAULT_MAX_PODS,
    KUBENET_MAXIMUM_NODES,
    LEAST_PODS_OF_A_POOL,
    MAX_PODS_RANGE,
    OVERLAY_MAXIMUM_NODES,
    AksPool,
    Surge,
    default_surge,
)
from headroom.planning.aks_eligibility import POLICY_REMOVAL_VERSION
from headroom.planning.aks_network import OUTBOUND_TYPES, Allowed, outbound_move
from headroom.rehearsal.arm.errors import ArmError, invalid
from headroom.rehearsal.arm.ids import Path, key_of, referred
from headroom.rehearsal.arm.network import (
    ROUTES,
    SUBNETS,
    addresses_of_a_node,
    subnet_blocks,
)
from headroom.rehearsal.arm.world import Body, Record, World
from policies.aks import OVERLAY_BY_DEFAULT_SINCE, SDK_DEFAULTS

Profile = dict[str, Any]

OVERLAY_FROM: Final = (1, 27)
"""Kubernetes version from which a cluster moves to overlay in place (AKS documentation, update-azure-cni)."""

FIRST_ADDRESS: Final = 1
"""The address of a service range that `kubernetes.default` has, which DNS cannot have."""

_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A node pool as a request has it.

    Attributes:
        name: Its name.
        properties: Its properties, defaults filled in.
    """

    name: str
    properties: Mapping[str, Any]

    @property
    def subnet(self) -> str:
        """The id of the nodes' subnet; empty in AKS's own VNet."""
        return str(self.properties.get("vnetSubnetID") or "")

    @property
    def count(self) -> int:
        """Nodes."""
        return int(self.properties.get("count") or 0)

    def sized(self, version: tuple[int, int]) -> AksPool:
        """For the arithmetic of capacity."""
        written = (self.properties.get("upgradeSettings") or {}).get("maxSurge")
        surge = written or default_surge(version)
        autoscaled = self.properties.get("enableAutoScaling")
        return AksPool(
            name=self.name,
            count=self.count,
            maximum=int(self.properties["maxCount"]) if autoscaled else None,
            surge=Surge.parse(str(surge)),
            max_pods=int(self.properties["maxPods"]),
        )


def version_of(text: object) -> tuple[int, int]:
    """Major and minor version."""
    found = _VERSION.match(str(text or ""))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def filled(given: Mapping[str, Any] | None, old: Mapping[str, Any] | None, version: tuple[int, int]) -> Profile:
    """The network profile that a PUT comes to: what it leaves out is as it was, or Azure's default.

    The defaults are those of the API; before Kubernetes 1.30 the plugin is kubenet (azure-rest-api-specs #30844).
    """
    profile = {**(old or {}), **{name: value for name, value in (given or {}).items() if value is not None}}
    if old and profile["outboundType"] != old["outboundType"]:
        for name in ("loadBalancerProfile", "natGatewayProfile"):
            if not (given or {}).get(name):
                profile.pop(name, None)
    if "networkPlugin" not in profile:
        overlay = version >= OVERLAY_BY_DEFAULT_SINCE
        profile["networkPlugin"] = "azure" if overlay else "kubenet"
        if overlay:
            profile.setdefault("networkPluginMode", "overlay")
    profile.setdefault("outboundType", SDK_DEFAULTS["outboundType"])
    profile.setdefault("loadBalancerSku", "standard")
    profile["loadBalancerSku"] = str(profile["loadBalancerSku"]).lower()
    profile.setdefault("serviceCidr", SDK_DEFAULTS["serviceCidr"])
    profile.setdefault("dnsServiceIP", SDK_DEFAULTS["dnsServiceIP"])
    profile.setdefault("networkDataplane", "azure")
    if has_pod_cidr(profile):
        profile.setdefault("podCidr", SDK_DEFAULTS["podCidr"])
        profile["podCidrs"] = [profile["podCidr"]]
    else:
        profile.pop("podCidr", None)
        profile.pop("podCidrs", None)
    profile["serviceCidrs"] = [profile["serviceCidr"]]
    profile.setdefault("ipFamilies", ["IPv4"])
    return profile


def is_overlay(profile: Mapping[str, Any]) -> bool:
    """Whether pods have a range of their own behind Azure CNI."""
    return profile.get("networkPlugin") == "azure" and profile.get("networkPluginMode") == "overlay"


def has_pod_cidr(profile: Mapping[str, Any]) -> bool:
    """Whether the cluster has a pod range at all."""
    return is_overlay(profile) or profile.get("networkPlugin") == "kubenet"


def default_max_pods(profile: Mapping[str, Any], pool: Mapping[str, Any]) -> int:
    """A pool's maxPods where it says nothing."""
    if is_overlay(profile):
        return DEFAULT_MAX_PODS["overlay"]
    if profile.get("networkPlugin") == "kubenet" or pool.get("podSubnetID"):
        return DEFAULT_MAX_PODS["kubenet"]
    return FLAT_DEFAULT_MAX_PODS


def judge(  # noqa: PLR0913  # all that a cluster's network depends on
    world: World,
    path: Path,
    profile: Profile,
    pools: Sequence[Pool],
    *,
    version: tuple[int, int],
    old: Mapping[str, Any] | None,
) -> None:
    """Judges a cluster's network as AKS does before it accepts a change.

    Raises:
        ArmError: AKS refuses it.
    """
    _judge_plugin(profile)
    subnets = _subnets(world, pools)
    _judge_ranges(world, profile, subnets, new=old is None or old.get("podCidr") != profile.get("podCidr"))
    _judge_pools(pools)
    if is_overlay(profile):
        _judge_overlay(pools)
    if profile["networkDataplane"] == "cilium" and any(_is_windows(pool) for pool in pools):
        raise invalid(
            "Network dataplane cilium does not support Windows node pools.",
            target="networkProfile.networkDataplane",
            flat=True,
        )
    _judge_capacity(world, path, profile, pools, subnets, version)
    if old is None or old.get("outboundType") != profile["outboundType"]:
        _judge_outbound(world, profile, subnets, pools, creating=old is None)
    elif profile["outboundType"] == "userDefinedRouting" and profile.get("loadBalancerProfile"):
        raise _routing_with_balancer()


def judge_change(  # noqa: PLR0913, PLR0917  # the same
    world: World, path: Path, cluster: Record, profile: Profile, pools: Sequence[Pool], version: tuple[int, int]
) -> None:
    """Judges what an update changes.

    Raises:
        ArmError: AKS changes it never, or not so.
    """
    old: Profile = cluster.properties["networkProfile"]
    for name in ("serviceCidr", "dnsServiceIP", "networkMode", "loadBalancerSku"):
        if old.get(name) != profile.get(name):
            raise fixed(f"networkProfile.{name}")
    moved = (old.get("networkPlugin"), old.get("networkPluginMode")) != (
        profile.get("networkPlugin"),
        profile.get("networkPluginMode"),
    )
    was, engine = (each.get("networkPolicy") or "none" for each in (old, profile))
    if was != "none" and engine == "none" and version < POLICY_REMOVAL_VERSION:
        raise invalid(
            f"Network policy {was} cannot be uninstalled below Kubernetes 1.{POLICY_REMOVAL_VERSION[1]}.",
            target="networkProfile.networkPolicy",
            flat=True,
        )
    if moved:
        _judge_move(world, cluster, old, profile, pools, version)
    elif old.get("podCidr") != profile.get("podCidr"):
        _judge_growth(old, profile, pools)
    another = not moved and old.get("networkDataplane") != profile.get("networkDataplane")
    if another and not is_overlay(profile) and not any(pool.properties.get("podSubnetID") for pool in pools):
        raise fixed("networkProfile.networkDataplane")
    if old["outboundType"] != profile["outboundType"]:
        _judge_outbound_change(old, profile, pools)
    del path


def fixed(target: str) -> ArmError:
    """AKS does not change this property of a cluster (AKS, PropertyChangeNotAllowed)."""
    message = f"Changing property '{target}' is not allowed."
    return ArmError(400, "PropertyChangeNotAllowed", message, target=target, flat=True)


def _aks(code: str, message: str, target: str) -> ArmError:
    return ArmError(400, code, message, target=target, flat=True)


def _judge_plugin(profile: Profile) -> None:
    plugin, mode, policy = (profile.get(name) for name in ("networkPlugin", "networkPluginMode", "networkPolicy"))
    if mode == "overlay" and plugin != "azure":
        raise _aks(
            "UnsupportedNetworkPluginModeWithNetworkPlugin",
            f"NetworkPluginMode overlay is not supported with NetworkPlugin {plugin}.",
            "networkProfile.networkPluginMode",
        )
    if policy == "azure" and plugin == "kubenet":
        raise _aks(
            "NetworkPolicyAzureNotSupportedForKubenet",
            "Network policy azure is not supported for kubenet plugin.",
            "networkProfile.networkPolicy",
        )
    if (policy == "cilium") != (profile.get("networkDataplane") == "cilium") and policy not in {None, "none"}:
        raise invalid(
            f"Network policy {policy} does not go with network dataplane {profile.get('networkDataplane')}.",
            target="networkProfile.networkPolicy",
            flat=True,
        )
    if profile["outboundType"] not in OUTBOUND_TYPES:
        raise _aks(
            "UnsupportedOutboundType",
            f"OutboundType {profile['outboundType']} is not supported.",
            "networkProfile.outboundType",
        )
    if profile["outboundType"] != "loadBalancer" and profile["loadBalancerSku"] != "standard":
        raise _aks(
            "UnexpectedLoadBalancerSkuForCurrentOutboundConfiguration",
            "LoadBalancerSku must be standard when outboundType is not loadBalancer.",
            "networkProfile.loadBalancerSku",
        )


def _subnets(world: World, pools: Sequence[Pool]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for pool in pools:
        for name in ("vnetSubnetID", "podSubnetID"):
            identifier = str(pool.properties.get(name) or "")
            if not identifier:
                continue
            subnet = world.find(identifier)
            if subnet is None or subnet.path.type.casefold() != SUBNETS.casefold():
                raise _aks("SubnetNotFound", f"Subnet {identifier} was not found.", f"agentPoolProfile.{name}")
            found[subnet.path.key] = subnet
    return found


def _parsed(text: str, target: str) -> Block:
    try:
        return Block.parse(text)
    except ProblemsError as error:
        raise _aks("CidrStringParseError", f"Invalid CIDR {text}.", target) from error


def _judge_ranges(  # noqa: C901  # the rules of ranges, one after the other
    world: World, profile: Profile, subnets: Mapping[str, Record], *, new: bool
) -> None:
    service = _parsed(profile["serviceCidr"], "networkProfile.serviceCIDR")
    ranges = [("networkProfile.serviceCIDR", service)]
    if has_pod_cidr(profile):
        ranges.append(("networkProfile.podCIDR", _parsed(profile["podCidr"], "networkProfile.podCIDR")))
    for target, block in ranges:
        held = [reserved for reserved in AKS_RESERVED if reserved.overlaps(block)]
        # Clusters that were there before AKS began to refuse these keep them.
        if held and new:
            raise invalid(f"CIDR {block} overlaps with the reserved CIDR {held[0]}.", target=target, flat=True)
    if service.prefix_length < LARGEST_SERVICE_PREFIX_LENGTH:
        raise invalid(
            f"Service CIDR {service} must be smaller than /{LARGEST_SERVICE_PREFIX_LENGTH - 1}.",
            target="networkProfile.serviceCIDR",
            flat=True,
        )
    neighbours = _neighbours(world, subnets)
    for subnet in neighbours:
        for block in subnet_blocks(subnet):
            if block.overlaps(service):
                raise _aks(
                    "ServiceCidrOverlapExistingSubnetsCidr",
                    f"The specified service CIDR {service} is conflicted with an existing subnet CIDR {block}",
                    "networkProfile.serviceCIDR",
                )
    _judge_dns(profile, service)
    if has_pod_cidr(profile):
        pods = ranges[-1][1]
        if pods.overlaps(service):
            raise _aks(
                "PodCidrOverlapServiceCidr",
                f"Pod CIDR {pods} overlaps with service CIDR {service}.",
                "networkProfile.podCIDR",
            )
        for subnet in neighbours if new else ():
            for block in subnet_blocks(subnet):
                if block.overlaps(pods):
                    raise _aks(
                        "NetworkProfileCIDROverlapVNET",
                        f"NetworkProfile CIDR {pods} overlaps with reserved VNET CIDR {block}",
                        "networkProfile.podCIDR",
                    )


def _neighbours(world: World, subnets: Mapping[str, Record]) -> list[Record]:
    vnets = dict.fromkeys(subnet.path.parent for subnet in subnets.values())
    return [subnet for vnet in vnets for subnet in world.below(vnet, SUBNETS)]


def _judge_dns(profile: Profile, service: Block) -> None:
    text, target = str(profile["dnsServiceIP"]), "networkProfile.dnsServiceIP"
    try:
        address = parse_address(text)
    except ProblemsError as error:
        raise _aks("DnsServiceIpParseError", f"Invalid DNS service IP {text}.", target) from error
    if not service.first <= address <= service.last:
        raise _aks(
            "DnsServiceIpOutOfServiceCidr",
            f"The DNS service IP {text} is out of the range defined by service CIDR {service}.",
            target,
        )
    if address <= service.first + FIRST_ADDRESS:
        raise _aks(
            "DnsServiceIpConflicting", f"The DNS service IP {text} conflicts with the API server's address.", target
        )


def _judge_pools(pools: Sequence[Pool]) -> None:
    for pool in pools:
        if pool.properties["maxPods"] not in MAX_PODS_RANGE:
            raise invalid(
                f"The value of parameter agentPoolProfile.maxPods must be within {MAX_PODS_RANGE[0]} to "
                f"{MAX_PODS_RANGE[-1]}, and is {pool.properties['maxPods']}.",
                target="agentPoolProfile.maxPods",
                flat=True,
            )
        if pool.properties.get("mode") == "System" and not pool.count:
            raise invalid(
                f"System pool {pool.name} must contain at least one node.",
                target="agentPoolProfile.count",
                flat=True,
            )
        room = pool.count * int(pool.properties["maxPods"])
        if 0 < room < LEAST_PODS_OF_A_POOL:
            raise invalid(
                f"Pool {pool.name} has room for {room} pods, and {LEAST_PODS_OF_A_POOL} is the least.",
                target="agentPoolProfile.maxPods",
                flat=True,
            )
        if pool.properties.get("enableAutoScaling") and not (
            int(pool.properties.get("minCount") or 0) <= pool.count <= int(pool.properties.get("maxCount") or 0)
        ):
            raise invalid(
                f"The count {pool.count} of pool {pool.name} is not within minCount and maxCount.",
                target="agentPoolProfile.count",
                flat=True,
            )


def _is_windows(pool: Pool) -> bool:
    return str(pool.properties.get("osType")).casefold() == "windows"


def _judge_overlay(pools: Sequence[Pool]) -> None:
    """What overlay does not take (AKS documentation, concepts-network-azure-cni-overlay)."""
    for pool in pools:
        if str(pool.properties.get("type")).casefold() == "availabilityset":
            raise invalid(
                f"Pool {pool.name} has virtual machine availability sets, which overlay does not support.",
                target="agentPoolProfile.type",
                flat=True,
            )
        if DCSV2.fullmatch(str(pool.properties.get("vmSize") or "")):
            raise invalid(
                f"Pool {pool.name} has DCsv2 machines, which overlay does not support.",
                target="agentPoolProfile.vmSize",
                flat=True,
            )
        words = pool.subnet.split("/")
        names = (words[4], words[-3], words[-1]) if pool.subnet else ()
        if long := [name for name in names if len(name) > NODE_LABEL_CHARACTERS]:
            raise invalid(
                f"{long[0]} has more than {NODE_LABEL_CHARACTERS} characters, and nodes carry it as a label.",
                target="agentPoolProfile.vnetSubnetID",
                flat=True,
            )


def _judge_capacity(  # noqa: PLR0913, PLR0917  # the same
    world: World,
    path: Path,
    profile: Profile,
    pools: Sequence[Pool],
    subnets: Mapping[str, Record],
    version: tuple[int, int],
) -> None:
    sized = {pool.name: pool.sized(version) for pool in pools}
    nodes = sum(size.most_with_surge for size in sized.values())
    if has_pod_cidr(profile):
        pods = Block.parse(profile["podCidr"])
        each = 1 << (32 - OVERLAY_NODE_PREFIX_LENGTH)
        if is_overlay(profile) and nodes > min(node_blocks(pods), OVERLAY_MAXIMUM_NODES):
            raise insufficient(nodes * each, pods.size, str(pods), "networkProfile.podCIDR", "networkProfile.podCIDR")
        if profile["networkPlugin"] == "kubenet" and nodes > min(node_blocks(pods), KUBENET_MAXIMUM_NODES):
            available = min(pods.size, KUBENET_MAXIMUM_NODES * each)
            raise _aks(
                "InsufficientPodCidr",
                f"Pre-allocated IPs {nodes * each} exceeds IPs available {available} in Pod Cidr {pods}",
                "agentPoolProfile.count",
            )
    for subnet in subnets.values():
        needed = 0
        for pool in pools:
            if key_of(pool.subnet) == subnet.path.key:
                each = addresses_of_a_node(
                    _as_record(path, {"networkProfile": profile}), _as_record(path, dict(pool.properties))
                )
                needed += each * sized[pool.name].most_with_surge
        available = sum(azure_usable_addresses(block) for block in subnet_blocks(subnet))
        if needed > available:
            prefix = ", ".join(str(block) for block in subnet_blocks(subnet))
            raise insufficient(needed, available, prefix, subnet.path.name, "vnetSubnetID")
    del world


def _as_record(path: Path, properties: Body) -> Record:
    return Record(path=path, body={"properties": properties}, api_version="", created=0)


def insufficient(needed: int, available: int, prefix: str, name: str, target: str) -> ArmError:
    """The range is too small for all pools at their largest."""
    return _aks(
        "InsufficientSubnetSize",
        f"Pre-allocated IPs {needed} exceeds IPs available {available} in Subnet Cidr {prefix}, Subnet Name {name}. "
        "If Autoscaler is enabled, the max-count from each nodepool is counted towards this total (which means that "
        "pre-allocated IPs count represents a theoretical max value, not the actual number of IPs requested). "
        "http://aka.ms/aks/insufficientsubnetsize",
        target,
    )


def _routing_with_balancer() -> ArmError:
    return _aks(
        "InvalidUserDefinedRoutingWithLoadBalancerProfile",
        "UserDefinedRouting and load balancer profile are mutually exclusive. Please refer to "
        "http://aka.ms/aks/outboundtype for more details",
        "networkProfile.loadBalancerProfile",
    )


def _judge_outbound(  # noqa: C901  # the rules of each type, one after the other
    world: World, profile: Profile, subnets: Mapping[str, Record], pools: Sequence[Pool], *, creating: bool
) -> None:
    kind, own = profile["outboundType"], all(pool.subnet for pool in pools)
    node_subnets = [subnet for key, subnet in subnets.items() if any(key_of(pool.subnet) == key for pool in pools)]
    if kind in {"managedNATGateway", "managedNATGatewayV2"} and any(pool.subnet for pool in pools):
        raise _aks(
            "ManagedNATGatewayWithCustomVNetNotAllowed",
            f"OutboundType {kind} is not supported with a custom VNet.",
            "networkProfile.outboundType",
        )
    if kind == "userDefinedRouting":
        if profile.get("loadBalancerProfile"):
            raise _routing_with_balancer()
        for subnet in node_subnets:
            _judge_routes(world, subnet)
    if kind == "userAssignedNATGateway":
        if not own:
            raise _aks(
                "UserAssignedNATGatewayWithManagedVNetNotAllowed",
                "OutboundType userAssignedNATGateway needs a custom VNet.",
                "networkProfile.outboundType",
            )
        if profile.get("loadBalancerProfile"):
            raise _aks(
                "InvalidLoadBalancerProfile",
                "Load balancer profile cannot be set when outboundType is userAssignedNATGateway.",
                "networkProfile.loadBalancerProfile",
            )
        for subnet in node_subnets:
            _judge_gateway(world, subnet)
    if kind == "loadBalancer" and creating:
        for subnet in node_subnets:
            if referred(subnet.properties.get("natGateway")):
                raise invalid(
                    f"Subnet {subnet.path.text} is associated with a NAT gateway: outboundType loadBalancer cannot be "
                    "used for a new cluster.",
                    target="networkProfile.outboundType",
                    flat=True,
                )


def _judge_routes(world: World, subnet: Record) -> None:
    table = world.find(referred(subnet.properties.get("routeTable")))
    if table is None:
        raise _aks(
            "ExistingRouteTableNotAssociatedWithSubnet",
            f"An existing route table has not been associated with subnet {subnet.path.text}. Please update the route "
            "table association",
            "networkProfile.outboundType",
        )
    if not any(route.properties["addressPrefix"] == "0.0.0.0/0" for route in world.below(table.path.text, ROUTES)):
        raise _aks(
            "RouteTableMissingDefaultRouteError",
            f"Route table {table.path.text} has no route for 0.0.0.0/0.",
            "networkProfile.outboundType",
        )


def _judge_gateway(world: World, subnet: Record) -> None:
    gateway = world.find(referred(subnet.properties.get("natGateway")))
    if gateway is None:
        raise _aks(
            "SubnetNotAssociatedWithNATGateway",
            f"Subnet '{subnet.path.text}' must have a NAT gateway associated for outbound connection",
            "networkProfile.outboundType",
        )
    if not gateway.properties.get("publicIpAddresses") and not gateway.properties.get("publicIpPrefixes"):
        raise _aks(
            "NATGatewayNotAssociatedWithPublicIPOrIPPrefix",
            f"NAT gateway '{gateway.path.text}' must have at least one public IP or IP prefix associated.",
            "networkProfile.outboundType",
        )


def _judge_outbound_change(old: Profile, profile: Profile, pools: Sequence[Pool]) -> None:
    before, after = old["outboundType"], profile["outboundType"]
    own = all(pool.subnet for pool in pools)
    # Where the sources contradict each other, the stricter one is followed.
    if outbound_move(before, after, own_vnet=own).allowed is not Allowed.YES:
        raise _aks(
            "UpdatingOutboundTypeNotAllowed",
            f"Updating outboundType from {before} to {after} is not allowed.",
            "networkProfile.outboundType",
        )


def _judge_growth(old: Profile, profile: Profile, pools: Sequence[Pool]) -> None:
    before, after = Block.parse(old["podCidr"]), _parsed(profile["podCidr"], "networkProfile.podCIDR")
    windows = any(_is_windows(pool) for pool in pools)
    if not is_overlay(profile) or windows or not after.contains(before):
        raise fixed("networkProfile.podCidr")


def _judge_move(  # noqa: PLR0913, PLR0917  # the same
    world: World,
    cluster: Record,
    old: Profile,
    profile: Profile,
    pools: Sequence[Pool],
    version: tuple[int, int],
) -> None:
    if not is_overlay(profile) or is_overlay(old):
        raise fixed("networkProfile.networkPlugin")
    if old.get("networkPolicy") not in {None, "none"}:
        raise _aks(
            "ValidationError",
            "Cannot update cluster to Azure CNI Overlay while using network policies with Azure CNI v1.",
            "networkProfile.networkPolicy",
        )
    for reason in _hindrances(world, cluster, old, profile, pools, version):
        raise invalid(
            f"Cannot update cluster to Azure CNI Overlay: {reason}.",
            target="networkProfile.networkPluginMode",
            flat=True,
        )


def _hindrances(  # noqa: PLR0913, PLR0917  # the same
    world: World,
    cluster: Record,
    old: Profile,
    profile: Profile,
    pools: Sequence[Pool],
    version: tuple[int, int],
) -> Iterator[str]:
    """Why a cluster does not move to overlay in place.

    From AKS documentation, update-azure-cni; azure-aks-docs #334; Azure/AKS CHANGELOG 2025-01-30.
    """
    if version < OVERLAY_FROM:
        yield f"Kubernetes {version[0]}.{version[1]} is older than {OVERLAY_FROM[0]}.{OVERLAY_FROM[1]}"
    if any(pool.properties.get("podSubnetID") for pool in pools):
        yield "pods of it have a subnet of their own"
    if profile.get("networkDataplane") != old.get("networkDataplane"):
        yield "IPAM mode and data plane change one after the other"
    if cluster.hidden.get("custom_ip_masq"):
        yield "it has an azure-ip-masq-agent configuration of its own"
    if old["networkPlugin"] != "kubenet":
        return
    if not (cluster.body.get("identity") or {}).get("userAssignedIdentities"):
        yield "kubenet needs a user-assigned identity"
    tables = {
        referred(subnet.properties.get("routeTable"))
        for subnet in _subnets(world, pools).values()
        if referred(subnet.properties.get("routeTable"))
    }
    own = {key_of(pool.subnet) for pool in pools}
    for table in sorted(tables):
        others = [s for s in world.referrers(SUBNETS, "routeTable", table) if s.path.key not in own]
        if others:
            yield f"route table {table} is on subnet {others[0].path.name} too"
