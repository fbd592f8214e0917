"""A small AKS stack, out of which the tests take what they need: one good value for everything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policies import resources as types
from policies.resources import UNKNOWN, Resource
from policies.rules.aks_change_in_place import PATHS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EGRESS_ADDRESS = "20.50.1.4"
ZONES = ["1", "2", "3"]
PROFILE: Mapping[str, Any] = {
    "networkPlugin": "azure",
    "networkPluginMode": "overlay",
    "networkDataplane": "cilium",
    "networkPolicy": "cilium",
    "podCidr": "100.64.0.0/16",
    "serviceCidr": "172.16.0.0/16",
    "dnsServiceIP": "172.16.0.10",
    "outboundType": "userAssignedNATGateway",
    "loadBalancerSku": "standard",
}


def azure(  # noqa: PLR0913 - what a resource is made of
    type_: str,
    name: str,
    properties: Mapping[str, Any],
    *,
    sources: Mapping[str, Sequence[str]] | None = None,
    protect: bool = True,
    ignore: Sequence[str] = (),
    before: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    id_: str = "",
) -> Resource:
    """A resource; `sources` names, by property, resources that its value comes from, as type::name."""
    return Resource(
        type=type_,
        name=name,
        urn=f"urn:pulumi:s::p::{type_}::{name}",
        properties=without_none(properties),
        id=id_,
        protect=protect,
        ignore_changes=tuple(ignore),
        before=before,
        inputs=inputs,
        dependencies={
            key: tuple(f"urn:pulumi:s::p::{item}" for item in items) for key, items in (sources or {}).items()
        },
    )


def without_none(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that are set: None in a test takes one away."""
    return {key: value for key, value in properties.items() if value is not None}


def pool(**more: Any) -> dict[str, Any]:
    """A pool that grows to 22 nodes, an upgrade on the way."""
    values = {
        "name": "apps",
        "count": 3,
        "enableAutoScaling": True,
        "minCount": 3,
        "maxCount": 20,
        "maxPods": 110,
        "upgradeSettings": {"maxSurge": "10%"},
        "availabilityZones": ZONES,
        "vnetSubnetID": UNKNOWN,
    }
    return without_none({**values, **more})


def cluster(name: str = "overlay", profile: Any = None, pools: Any = None, of: str = "nodes", **more: Any) -> Resource:
    """An overlay cluster; `profile` changes single fields of its network profile, or is all of it where no mapping."""
    options = {key: more.pop(key) for key in ("protect", "before", "inputs", "id_") if key in more}
    ignore = more.pop("ignore", PATHS)
    merged = without_none({**PROFILE, **profile}) if isinstance(profile, dict) else profile
    properties = {
        "resourceName": f"aks-{name}",
        "kubernetesVersion": "1.33",
        "networkProfile": dict(PROFILE) if profile is None else merged,
        "agentPoolProfiles": [pool()] if pools is None else pools,
        "apiServerAccessProfile": {"authorizedIPRanges": [f"{EGRESS_ADDRESS}/32", "203.0.113.0/24"]},
        **more,
    }
    sources = {"agentPoolProfiles": [f"{types.VNET_SUBNET}::{of}"]} if of else {}
    return azure(types.AKS_CLUSTER, name, properties, sources=sources, ignore=ignore, **options)


def balanced_cluster(name: str = "balanced", **profile: Any) -> Resource:
    """A cluster that leaves by its load balancer, from addresses and a prefix of its own."""
    own = {
        "outboundIPs": {"publicIPs": [{"id": UNKNOWN}]},
        "outboundIPPrefixes": {"publicIPPrefixes": [{"id": UNKNOWN}]},
    }
    changes = {"outboundType": "loadBalancer", "loadBalancerProfile": own, **profile}
    balanced = cluster(name, profile=changes, of="", pools=[pool(vnetSubnetID=None)])
    sources = (f"{types.PUBLIC_IP_ADDRESS}::egress", f"{types.PUBLIC_IP_PREFIX}::prefix")
    return replace(balanced, dependencies={"networkProfile": tuple(f"urn:pulumi:s::p::{item}" for item in sources)})


def agent_pool(name: str = "extra", of: str = "overlay", subnet_of: str = "nodes", **more: Any) -> Resource:
    """A pool as a resource of its own."""
    sources = {"resourceName": [f"{types.AKS_CLUSTER}::{of}"], "vnetSubnetID": [f"{types.VNET_SUBNET}::{subnet_of}"]}
    properties = {**pool(name=None), "resourceName": UNKNOWN, "agentPoolName": name, **more}
    return azure(types.AKS_AGENT_POOL, name, properties, sources=sources)


def vnet(name: str = "net", space: Any = ("10.20.0.0/16",), **more: Any) -> Resource:
    """The VNet."""
    options = {key: more.pop(key) for key in ("ignore", "sources", "before", "inputs") if key in more}
    prefixes = list(space) if isinstance(space, tuple) else space
    properties = {"virtualNetworkName": f"vnet-{name}", "addressSpace": {"addressPrefixes": prefixes}, **more}
    return azure(types.VNET, name, properties, **options)


def subnet(name: str = "nodes", prefix: Any = "10.20.4.0/22", nat: str = "egress", **more: Any) -> Resource:
    """The subnet of the nodes, behind the gateway."""
    options = {key: more.pop(key) for key in ("before", "inputs", "id_") if key in more}
    ignore = more.pop("ignore", ("routeTable",))
    table = more.pop("table", "")
    sources = {"virtualNetworkName": [f"{types.VNET}::{more.pop('net', 'net')}"]}
    properties: dict[str, Any] = {
        "resourceGroupName": "rg-prod",
        "virtualNetworkName": UNKNOWN,
        "subnetName": f"snet-{name}",
        "addressPrefix": prefix,
        "networkSecurityGroup": {"id": "/subscriptions/s/networkSecurityGroups/nsg"},
    }
    if nat:
        properties["natGateway"] = {"id": UNKNOWN}
        sources["natGateway"] = [f"{types.NAT_GATEWAY}::{nat}"]
    if table:
        properties["routeTable"] = {"id": UNKNOWN}
        sources["routeTable"] = [f"{types.VNET_ROUTE_TABLE}::{table}"]
    return azure(types.VNET_SUBNET, name, {**properties, **more}, sources=sources, ignore=ignore, **options)


def gateway(name: str = "egress", addresses: Sequence[str] = ("egress",), **more: Any) -> Resource:
    """The NAT gateway, of all zones."""
    properties = {
        "location": "eastus2",
        "sku": {"name": "StandardV2"},
        "publicIpAddresses": [{"id": UNKNOWN} for _ in addresses],
        **more,
    }
    sources = {
        "publicIpAddresses": [f"{types.PUBLIC_IP_ADDRESS}::{item}" for item in addresses],
        "publicIpPrefixes": [f"{types.PUBLIC_IP_PREFIX}::{item}" for item in ("prefix",)],
    }
    return azure(types.NAT_GATEWAY, name, properties, sources=sources)


def address(name: str = "egress", *, protect: bool = True, **more: Any) -> Resource:
    """The address that nodes leave by."""
    properties = {
        "sku": {"name": "StandardV2"},
        "publicIPAllocationMethod": "Static",
        "ipAddress": EGRESS_ADDRESS,
        **more,
    }
    return azure(types.PUBLIC_IP_ADDRESS, name, properties, protect=protect)


def prefix(name: str = "prefix", *, protect: bool = True, **more: Any) -> Resource:
    """Addresses beside each other."""
    properties = {"sku": {"name": "StandardV2"}, "prefixLength": 31, "ipPrefix": "20.60.0.0/31", **more}
    return azure(types.PUBLIC_IP_PREFIX, name, properties, protect=protect)


def table(name: str = "routes", hop: Any = "VirtualAppliance", to: Any = "0.0.0.0/0", **more: Any) -> Resource:
    """A route table with one route."""
    properties = {"routeTableName": f"rt-{name}", "routes": [{"addressPrefix": to, "nextHopType": hop}], **more}
    return azure(types.VNET_ROUTE_TABLE, name, properties)


def group(name: str = "checkout", **more: Any) -> Resource:
    """The origin group of a shift."""
    properties = {
        "profileName": "fd",
        "originGroupName": name,
        "loadBalancingSettings": {"additionalLatencyInMilliseconds": 1000, "sampleSize": 4},
        "sessionAffinityState": "Disabled",
        "healthProbeSettings": {"probePath": "/healthz", "probeRequestType": "HEAD", "probeIntervalInSeconds": 30},
        **more,
    }
    return azure(types.FRONT_DOOR_ORIGIN_GROUP, name, properties)


def origin(name: str = "old", weight: Any = 90, of: Any = "checkout", **more: Any) -> Resource:
    """An origin of it."""
    properties = {
        "profileName": "fd",
        "originGroupName": of,
        "weight": weight,
        "priority": 1,
        "enabledState": "Enabled",
        **more,
    }
    return azure(types.FRONT_DOOR_ORIGIN, name, properties)


def network() -> list[Resource]:
    """What the cluster stands on."""
    return [vnet(), subnet(), gateway(), address()]


def clean() -> list[Resource]:
    """A stack that no rule has anything to say of."""
    return [*network(), cluster(), group(), origin("old", 90), origin("new", 10)]
