"""One field of a good AKS stack at a time: exactly the rule that is meant for it speaks. And no rule reads a property
that the provider's SDK does not have."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from pulumi_azure_native import cdn, containerservice, network

from headroom.planning.overlay_cluster import IN_PLACE
from policies import aks
from policies import resources as types
from policies.pack import RULES, judge
from policies.resources import UNKNOWN, Resource, Resources
from policies.rules.aks_change_in_place import PATHS
from policies.rules.network_profile_explicit import ALWAYS, BY_MODE
from policies.rules.subnet_complete import ATTACHED
from tests.policies.aks.conftest import (
    EGRESS_ADDRESS,
    PROFILE,
    agent_pool,
    azure,
    balanced_cluster,
    clean,
    cluster,
    gateway,
    pool,
    prefix,
    subnet,
    table,
    vnet,
)
from tests.policies.aks.conftest import (
    network as azure_network,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TODAY = date(2026, 11, 21)
GONE = object()
AKS_RULES = [rule for rule in RULES if "aks" in rule.TAGS]

CLUSTER, NODES, NAT, ADDRESS = "overlay", "nodes", types.NAT_GATEWAY, types.PUBLIC_IP_ADDRESS
GROUP, OLD = "checkout", "old"
POOL = "agentPoolProfiles.0"
PROFILE_OF = "networkProfile"

# Resource by name or type, path of the field, its new value, and the one rule that must speak.
MUTATIONS: list[tuple[str, str, Any, str]] = [
    (CLUSTER, f"{PROFILE_OF}.networkPlugin", "kubenet", "no-new-kubenet"),
    (CLUSTER, f"{PROFILE_OF}.podCidr", "100.64.0.0/20", "overlay-capacity"),
    (CLUSTER, f"{PROFILE_OF}.podCidr", "172.16.0.0/12", "aks-ranges"),
    (CLUSTER, f"{PROFILE_OF}.podCidr", "10.244.0.0/16", "network-profile-explicit"),
    (CLUSTER, f"{PROFILE_OF}.podCidr", GONE, "network-profile-explicit"),
    (CLUSTER, f"{PROFILE_OF}.podCidr", "10.20.0.0/16", "aks-ranges"),
    (CLUSTER, f"{PROFILE_OF}.serviceCidr", "172.31.0.0/16", "aks-ranges"),
    (CLUSTER, f"{PROFILE_OF}.serviceCidr", "172.17.0.0/16", "aks-ranges"),
    (CLUSTER, f"{PROFILE_OF}.dnsServiceIP", "172.16.0.1", "aks-ranges"),
    (CLUSTER, f"{PROFILE_OF}.dnsServiceIP", GONE, "network-profile-explicit"),
    (CLUSTER, f"{PROFILE_OF}.networkDataplane", GONE, "network-profile-explicit"),
    (CLUSTER, f"{PROFILE_OF}.networkPolicy", GONE, "network-profile-explicit"),
    (CLUSTER, f"{PROFILE_OF}.loadBalancerSku", GONE, "network-profile-explicit"),
    (CLUSTER, f"{PROFILE_OF}.loadBalancerProfile", {"managedOutboundIPs": {"count": 1}}, "static-egress"),
    (CLUSTER, f"{POOL}.maxCount", 260, "overlay-capacity"),
    (CLUSTER, f"{POOL}.maxPods", 251, "overlay-capacity"),
    (CLUSTER, f"{POOL}.count", 21, "overlay-capacity"),
    (
        CLUSTER,
        "apiServerAccessProfile.authorizedIPRanges",
        ["203.0.113.0/24"],
        "authorized-ranges-include-egress",
    ),
    (NODES, "addressPrefix", "10.20.4.0/28", "aks-node-subnet-size"),
    (NODES, "addressPrefix", "10.21.4.0/22", "aks-ranges"),
    (NODES, "natGateway", GONE, "static-egress"),
    (NODES, "networkSecurityGroup", GONE, "subnet-complete"),
    (NODES, "subnetName", "s" * 64, "overlay-own-subnet"),
    (NODES, "resourceGroupName", "r" * 70, "overlay-own-subnet"),
    ("net", "addressSpace.addressPrefixes", ["10.20.0.0/16", "172.16.64.0/18"], "aks-ranges"),
    ("net", "subnets", [{"name": "x", "addressPrefix": "10.20.64.0/24"}], "subnet-complete"),
    (NAT, "sku", GONE, "nat-gateway-zones"),
    (NAT, "publicIpAddresses", GONE, "static-egress"),
    (ADDRESS, "publicIPAllocationMethod", "Dynamic", "static-egress"),
    (ADDRESS, "ipAddress", "20.50.1.5", "authorized-ranges-include-egress"),
    (ADDRESS, "sku.name", "Standard", "nat-gateway-zones"),
    (GROUP, "sessionAffinityState", "Enabled", "traffic-step-valid"),
    (GROUP, "loadBalancingSettings.additionalLatencyInMilliseconds", 0, "traffic-step-valid"),
    (GROUP, "healthProbeSettings", GONE, "traffic-step-valid"),
    (OLD, "weight", 0, "traffic-step-valid"),
    (OLD, "priority", 9, "traffic-step-valid"),
]
# What two rules are about: how many nodes there will be, and an address that is neither kept nor known.
FOR_TWO: list[tuple[str, str, Any, str]] = [
    (CLUSTER, "nodeProvisioningProfile", {"mode": "Auto"}, "aks-node-subnet-size, overlay-capacity"),
    (
        CLUSTER,
        f"{PROFILE_OF}.outboundType",
        "managedNATGateway",
        "authorized-ranges-include-egress, static-egress",
    ),
    (CLUSTER, f"{PROFILE_OF}.outboundType", GONE, "network-profile-explicit, static-egress"),
]
# What no rule has anything against.
HARMLESS: list[tuple[str, str, Any]] = [
    (CLUSTER, f"{PROFILE_OF}.podCidr", "100.64.0.0/18"),
    (CLUSTER, f"{PROFILE_OF}.networkPolicy", "calico"),
    (CLUSTER, f"{PROFILE_OF}.advancedNetworking", {"enabled": True}),
    (CLUSTER, "kubernetesVersion", UNKNOWN),
    (CLUSTER, f"{POOL}.maxCount", 200),
    (CLUSTER, f"{POOL}.availabilityZones", ["1"]),
    (NODES, "addressPrefix", "10.20.8.0/24"),
    (NODES, "serviceEndpoints", [{"service": "Microsoft.Sql"}]),
    (NAT, "idleTimeoutInMinutes", 10),
    (GROUP, "healthProbeSettings.probePath", "/ready"),
    (OLD, "weight", 1000),
    (OLD, "enabledState", "Disabled"),
]


def changed(which: str, path: str, value: Any) -> list[Resource]:
    """The clean stack with one field changed."""
    stack = clean()
    (index,) = [index for index, item in enumerate(stack) if which in (item.name, item.type)]
    stack[index] = replace(stack[index], properties=replaced(stack[index].properties, path.split("."), value))
    return stack


def replaced(value: Any, path: list[str], new: Any) -> Any:
    """The value with another one at a path; parents that are not there are made."""
    key, rest = path[0], path[1:]
    if isinstance(value, list):
        return [replaced(item, rest, new) if index == int(key) else item for index, item in enumerate(value)]
    copy = dict(value or {})
    copy[key] = replaced(copy.get(key), rest, new) if rest else new
    return {name: item for name, item in copy.items() if item is not GONE}


def spoken(stack: list[Resource]) -> str:
    """The rules that say something of a stack."""
    return ", ".join(sorted({judgement.rule for judgement in judge(stack, {}, TODAY)}))


def test_the_stack_that_is_changed_is_clean_itself() -> None:
    assert spoken(clean()) == ""


@pytest.mark.parametrize(("which", "path", "value", "rule"), MUTATIONS)
def test_one_changed_field_trips_the_rule_that_is_meant_for_it_and_no_other(
    which: str, path: str, value: Any, rule: str
) -> None:
    assert spoken(changed(which, path, value)) == rule


@pytest.mark.parametrize(("which", "path", "value", "rules"), FOR_TWO)
def test_a_field_that_two_rules_are_about_trips_these_two(which: str, path: str, value: Any, rules: str) -> None:
    assert spoken(changed(which, path, value)) == rules


@pytest.mark.parametrize(("which", "path", "value"), HARMLESS)
def test_a_harmless_change_trips_none(which: str, path: str, value: Any) -> None:
    assert spoken(changed(which, path, value)) == ""


OPTIONS: list[tuple[str, dict[str, Any], str]] = [
    (CLUSTER, {"protect": False}, "cluster-protected"),
    (CLUSTER, {"ignore_changes": ()}, "aks-change-in-place"),
    *(
        (CLUSTER, {"ignore_changes": tuple(path for path in PATHS if path != left)}, "aks-change-in-place")
        for left in PATHS
    ),
    (ADDRESS, {"protect": False}, "egress-address-protected"),
    (NODES, {"ignore_changes": ()}, "subnet-complete"),
    (NODES, {"protect": False}, ""),
    (NODES, {"before": {"routeTable": {"id": "aks-agentpool-routetable"}}}, ""),
    (NODES, {"ignore_changes": (), "before": {"routeTable": {"id": "x"}}}, "subnet-complete"),
]


@pytest.mark.parametrize(("which", "options", "rule"), OPTIONS)
def test_one_changed_option_trips_the_rule_that_is_meant_for_it_and_no_other(
    which: str, options: dict[str, Any], rule: str
) -> None:
    stack = clean()
    (index,) = [index for index, item in enumerate(stack) if which in (item.name, item.type)]
    stack[index] = replace(stack[index], **options)
    assert spoken(stack) == rule


def test_a_second_cluster_in_the_subnet_trips_the_rule_that_is_meant_for_it() -> None:
    assert spoken([*clean(), cluster("second")]) == "overlay-own-subnet"


def test_every_rule_is_tripped_by_some_change() -> None:
    tripped = {*(case[3] for case in MUTATIONS), *(case[2] for case in OPTIONS), "overlay-own-subnet"}
    assert {rule.NAME for rule in AKS_RULES} <= tripped


# The SDK.

SDK: Mapping[str, tuple[type, type, Any]] = {
    types.AKS_CLUSTER: (
        containerservice.ManagedCluster,
        containerservice.managed_cluster.ManagedClusterArgs,
        containerservice,
    ),
    types.AKS_AGENT_POOL: (containerservice.AgentPool, containerservice.agent_pool.AgentPoolArgs, containerservice),
    types.VNET: (network.VirtualNetwork, network.virtual_network.VirtualNetworkInitArgs, network),
    types.VNET_SUBNET: (network.Subnet, network.subnet.SubnetInitArgs, network),
    types.VNET_PEERING: (
        network.VirtualNetworkPeering,
        network.virtual_network_peering.VirtualNetworkPeeringInitArgs,
        network,
    ),
    types.NAT_GATEWAY: (network.NatGateway, network.nat_gateway.NatGatewayInitArgs, network),
    types.PUBLIC_IP_ADDRESS: (network.PublicIPAddress, network.public_ip_address.PublicIPAddressInitArgs, network),
    types.PUBLIC_IP_PREFIX: (network.PublicIPPrefix, network.public_ip_prefix.PublicIPPrefixArgs, network),
    types.VNET_ROUTE_TABLE: (network.RouteTable, network.route_table.RouteTableInitArgs, network),
    types.VNET_ROUTE: (network.Route, network.route.RouteInitArgs, network),
    types.FRONT_DOOR_ORIGIN_GROUP: (cdn.AFDOriginGroup, cdn.afd_origin_group.AFDOriginGroupArgs, cdn),
    types.FRONT_DOOR_ORIGIN: (cdn.AFDOrigin, cdn.afd_origin.AFDOriginArgs, cdn),
}


@pytest.mark.parametrize("token", SDK)
def test_a_type_token_is_the_providers(token: str) -> None:
    resource, _, _ = SDK[token]
    assert resource.pulumi_type == token  # type: ignore[attr-defined]  # the SDK's decorator sets it


def test_every_azure_type_that_rules_look_at_is_held_to_the_sdk() -> None:
    assert {type_ for rule in AKS_RULES for type_ in rule.TYPES} == set(SDK)


def test_the_defaults_are_those_that_the_sdk_puts_into_an_empty_profile() -> None:
    profile = containerservice.ContainerServiceNetworkProfileArgs()
    names = properties_of(containerservice.ContainerServiceNetworkProfileArgs)
    filled = {name: getattr(profile, python) for name, (python, _) in names.items()}
    assert {name: value for name, value in filled.items() if value is not None} == dict(aks.SDK_DEFAULTS)


def test_fields_and_values_that_remedies_name_are_the_sdks() -> None:
    profile = properties_of(containerservice.ContainerServiceNetworkProfileArgs)
    assert {*IN_PLACE, *ALWAYS, *(name for names in BY_MODE.values() for name in names)} <= set(profile)
    assert set(ATTACHED) <= set(properties_of(network.subnet.SubnetInitArgs))
    assert containerservice.NodeProvisioningMode(aks.AUTO_PROVISIONING).name == "AUTO"
    assert {item.value for item in containerservice.OutboundType} <= {
        "loadBalancer",
        "userDefinedRouting",
        "managedNATGateway",
        "userAssignedNATGateway",
        "none",
    }, "an outbound type that static-egress does not know"


class Seen(dict[str, Any]):
    """A mapping that notes the path of everything that is asked of it."""

    def __init__(self, value: Mapping[str, Any], path: str, seen: set[str]) -> None:
        super().__init__({key: noted(item, f"{path}.{key}" if path else key, seen) for key, item in value.items()})
        self._path, self._seen = path, seen

    def get(self, key: str, default: Any = None) -> Any:
        self._seen.add(f"{self._path}.{key}" if self._path else key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self._seen.add(f"{self._path}.{key}" if self._path else key)
        return super().__getitem__(key)


def noted(value: Any, path: str, seen: set[str]) -> Any:
    """A value all of whose mappings note what is asked of them."""
    if isinstance(value, dict):
        return Seen(value, path, seen)
    return [noted(item, path, seen) for item in value] if isinstance(value, list) else value


def properties_of(cls: type) -> dict[str, tuple[str, str]]:
    """Of a class of the SDK: the Python name and the type of each property, by the provider's name."""
    found = {}
    for python, item in vars(cls).items():
        if isinstance(item, property) and item.fget is not None:
            name = getattr(item.fget, "_pulumi_name", None)
            if isinstance(name, str):
                found[name] = (python, str(item.fget.__annotations__.get("return", "")))
    return found


def nested(cls: type, path: list[str], module: Any) -> bool:
    """Whether a class has a property at a path, through the classes that it is made of."""
    found = properties_of(cls).get(path[0])
    if found is None or len(path) == 1:
        return found is not None
    inner = re.search(r"'(\w+Args)'", found[1])
    return inner is not None and nested(getattr(module, inner[1]), path[1:], module)


def exists(token: str, path: str) -> bool:
    """Whether the resource takes, or answers, a property at that path."""
    resource, arguments, module = SDK[token]
    parts = path.split(".")
    return nested(arguments, parts, module) or (len(parts) == 1 and path in properties_of(resource))


def stacks() -> Iterator[list[Resource]]:
    """Stacks that take the rules along all of their ways."""
    yield clean()
    for which, path, value, _ in (*MUTATIONS, *FOR_TWO):
        yield changed(which, path, value)
    machines = {"scale": {"manual": [{"size": "a", "count": 4}]}}
    yield [
        *clean(),
        agent_pool(type="VirtualMachines", virtualMachinesProfile=machines, podSubnetID=UNKNOWN),
        azure(types.AKS_AGENT_POOL, "named", {"resourceName": "aks-overlay", "agentPoolName": "x"}),
        cluster("old", profile={"networkPlugin": "kubenet", "podCidrs": ["10.9.0.0/16"], "serviceCidrs": []}),
    ]
    yield [balanced_cluster(), cluster("routed", profile={"outboundType": "userDefinedRouting"})]
    yield [
        vnet(subnets=[{"name": "inside", "addressPrefixes": ["10.20.9.0/24"], "id": "/x", "natGateway": {"id": "n"}}]),
        cluster(of="", pools=[pool(vnetSubnetID="/x")]),
    ]
    yield [
        *azure_network(),
        subnet("routed", "10.20.16.0/22", table="routes"),
        table(),
        azure(
            types.VNET_ROUTE, "r", {"routeTableName": "rt-routes", "addressPrefix": "0.0.0.0/0", "nextHopType": "None"}
        ),
        azure(
            types.VNET_PEERING,
            "hub",
            {
                "virtualNetworkName": "vnet-net",
                "remoteVirtualNetwork": {"id": "/x"},
                "remoteAddressSpace": {"addressPrefixes": ["10.77.0.0/16"]},
            },
        ),
        gateway("standard", (), publicIpPrefixes=[{"id": UNKNOWN}], sku={"name": "Standard"}, zones=["1"]),
        prefix(),
        cluster(profile={"networkPluginMode": None, "podCidr": None}, of="routed"),
    ]


def test_no_rule_reads_a_property_that_the_sdk_does_not_have() -> None:
    seen: dict[str, set[str]] = {token: set() for token in SDK}
    for stack in stacks():
        noting = [
            replace(
                item,
                properties=Seen(item.properties, "", seen[item.type]),
                before=Seen(item.properties, "", seen[item.type]),
            )
            for item in stack
        ]
        for rule in AKS_RULES:
            list(rule.findings(Resources(noting), {"autoProvisionedNodes": 3}))
    missing = {(token, path) for token, paths in seen.items() for path in paths if not exists(token, path)}
    # Every resource has an id, and it is how resources find one another.
    assert {(token, path) for token, path in missing if path != "id"} == set()
    assert "upgradeSettings.maxSurge" in seen[types.AKS_AGENT_POOL]
    assert "agentPoolProfiles.vnetSubnetID" in seen[types.AKS_CLUSTER]
    assert "networkProfile.loadBalancerProfile.outboundIPPrefixes.publicIPPrefixes.id" in seen[types.AKS_CLUSTER]
    assert "routes.nextHopType" in seen[types.VNET_ROUTE_TABLE]
    assert sum(len(paths) for paths in seen.values()) > 100, "the rules were not taken along their ways"


def test_a_property_that_does_not_exist_would_be_found() -> None:
    assert exists(types.AKS_CLUSTER, "networkProfile.dnsServiceIP")
    assert not exists(types.AKS_CLUSTER, "networkProfile.dnsServiceIp")
    assert not exists(types.VNET_SUBNET, "natGateway.name")
    assert exists(types.AKS_CLUSTER, "provisioningState"), "what only the provider answers counts"
    assert not exists(types.AKS_CLUSTER, "provisioningstate")


def test_what_the_tests_write_is_what_the_sdk_takes() -> None:
    """A test that misspells a property would prove nothing."""
    wrong = [(item.type, path) for item in clean() for path in written(item.properties) if not exists(item.type, path)]
    assert wrong == []
    assert set(PROFILE) <= set(properties_of(containerservice.ContainerServiceNetworkProfileArgs))
    assert EGRESS_ADDRESS.count(".") == 3


def written(value: Any, path: str = "") -> Iterator[str]:
    """The paths that a value is written under."""
    for key, item in value.items() if isinstance(value, dict) else ():
        here = f"{path}.{key}" if path else key
        yield here
        yield from written(item, here)
    for item in value if isinstance(value, list) else ():
        yield from written(item, path)
