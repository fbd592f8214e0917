"""Every AKS rule: what violates it, what is clean, what it cannot decide, and what is not to be taken seriously."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headroom.addresses.problems import Problem
from policies import resources as types
from policies.findings import Finding, Undecided
from policies.pack import RULES, judge
from policies.resources import UNKNOWN, Resource, Resources
from tests.policies.aks.conftest import (
    PROFILE,
    address,
    agent_pool,
    azure,
    balanced_cluster,
    clean,
    cluster,
    gateway,
    group,
    network,
    origin,
    pool,
    prefix,
    subnet,
    table,
    vnet,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

AKS_RULES = [rule for rule in RULES if "aks" in rule.TAGS]
BY_NAME = {rule.NAME: rule for rule in AKS_RULES}
OUTSIDE = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/hub/subnets/snet-aks-nodes"
KUBENET = {"networkPlugin": "kubenet", "networkPluginMode": None, "podCidr": "10.200.0.0/16"}
FLAT = {"networkPluginMode": None, "podCidr": None}

Case = tuple[str, list[Resource], dict[str, Any], str]


def outside(**more: Any) -> Resource:
    """A cluster whose nodes are in a subnet that does not belong to the stack."""
    return cluster(of="", pools=[pool(vnetSubnetID=OUTSIDE)], **more)


def pools(*counts: int, **more: Any) -> list[dict[str, Any]]:
    """Pools of so many nodes, without an autoscaler."""
    return [
        pool(name=f"p{index}", count=count, enableAutoScaling=False, maxCount=None, **more)
        for index, count in enumerate(counts)
    ]


def balanced(**profile: Any) -> Resource:
    """A cluster that leaves by its load balancer."""
    return cluster(profile={"outboundType": "loadBalancer", **profile}, of="", pools=[pool(vnetSubnetID=None)])


def shift(*origins: Resource, of: Resource | None = None) -> list[Resource]:
    return [of or group(), *origins]


def listing_its_address() -> Resource:
    """A cluster whose authorized ranges are made of the address itself, which `up` will show."""
    made = cluster(apiServerAccessProfile={"authorizedIPRanges": [UNKNOWN]})
    urn = f"urn:pulumi:s::p::{types.PUBLIC_IP_ADDRESS}::egress"
    return replace(made, dependencies={**made.dependencies, "apiServerAccessProfile": (urn,)})


TWO = (origin("old", 90), origin("new", 10))
IGNORED_SOME = ("networkProfile.networkPlugin", 'networkProfile["podCidr"]')

# Rule, stack, configuration, and a part of a sentence that is said.
VIOLATIONS: list[Case] = [
    ("no-new-kubenet", [cluster(profile=KUBENET)], {}, "networkPlugin kubenet is retired on 2028-03-31"),
    ("no-new-kubenet", [cluster(profile={"networkPlugin": "Kubenet"})], {}, "its routes allow 400 nodes"),
    (
        "no-new-kubenet",
        [cluster(profile={"networkPlugin": None}, kubernetesVersion="1.29.4")],
        {},
        "(not set, which is kubenet below Kubernetes 1.30)",
    ),
    ("cluster-protected", [cluster(protect=False)], {}, "overlay is not protected"),
    (
        "overlay-capacity",
        [cluster(profile={"podCidr": "100.64.0.0/20"})],
        {},
        "has 16 /24s, and all pools at their largest have 22 nodes with surge",
    ),
    (
        "overlay-capacity",
        [cluster(), agent_pool(maxCount=300, upgradeSettings={"maxSurge": "33%"})],
        {},
        "has 256 /24s, and all pools at their largest have 421 nodes",
    ),
    (
        "overlay-capacity",
        [cluster(profile={"podCidr": "100.64.0.0/10"}, pools=pools(5000))],
        {},
        "5,500 nodes are more than the 5,000 of a cluster with Azure CNI Overlay",
    ),
    ("overlay-capacity", [cluster(profile=KUBENET, pools=pools(500))], {}, "has 256 /24s, and all pools"),
    ("overlay-capacity", [cluster(pools=[pool(maxPods=300)])], {}, "maxPods 300 is not within 10 to 250"),
    ("overlay-capacity", [cluster(pools=pools(1, maxPods=20))], {}, "has room for 20 pods"),
    ("overlay-capacity", [cluster(pools=[pool(count=30)])], {}, "autoscaler maximum 20 is below its 30 nodes"),
    ("overlay-capacity", [cluster(pools=[pool(upgradeSettings={"maxSurge": "lots"})])], {}, "is no number of surge"),
    (
        "overlay-capacity",
        [cluster(nodeProvisioningProfile={"mode": "Auto"})],
        {"autoProvisionedNodes": 250},
        "all pools at their largest have 272 nodes",
    ),
    (
        "overlay-capacity",
        [cluster(profile={"podCidr": None, "podCidrs": ["fd00::/64", "10.244.0.0/22"]})],
        {},
        "10.244.0.0/22 has 4 /24s",
    ),
    (
        "overlay-capacity",
        [
            cluster(
                profile={"podCidr": "100.64.0.0/22"},
                pools=[
                    pool(
                        type="VirtualMachines",
                        enableAutoScaling=None,
                        virtualMachinesProfile={"scale": {"manual": [{"size": "a", "count": 4}, {"size": "b"}]}},
                    )
                ],
            )
        ],
        {},
        "have 6 nodes with surge",
    ),
    ("aks-ranges", [cluster(profile={"podCidr": "172.16.0.0/12"})], {}, "networkProfile.podCidr: 172.16.0.0/12"),
    ("aks-ranges", [cluster(profile={"podCidr": "100.64.b.0/16"})], {}, "networkProfile.podCidr: 100.64.b.0/16"),
    ("aks-ranges", [cluster(profile={"serviceCidr": "172.30.0.0/16"})], {}, "which AKS keeps for itself"),
    ("aks-ranges", [cluster(profile={"serviceCidr": "10.0.0.0/8"})], {}, "is not smaller than a /12"),
    ("aks-ranges", [cluster(profile={"serviceCidr": "100.64.8.0/22"})], {}, "overlaps 100.64.8.0/22 of service-cidr"),
    ("aks-ranges", [cluster(profile={"dnsServiceIP": "172.17.0.10"})], {}, "DnsServiceIpOutOfServiceCidr"),
    ("aks-ranges", [cluster(profile={"dnsServiceIP": "172.16.0.0"})], {}, "is the first address"),
    ("aks-ranges", [cluster(profile={"dnsServiceIP": "dns"})], {}, "networkProfile.dnsServiceIP: dns"),
    (
        "aks-ranges",
        [*network(), cluster(profile={"serviceCidr": "10.20.128.0/17", "dnsServiceIP": "10.20.128.10"})],
        {},
        "overlaps 10.20.0.0/16 of the VNet",
    ),
    (
        "aks-ranges",
        [*network(), subnet("data", "10.20.192.0/18"), cluster(profile={"podCidr": "10.20.128.0/17"})],
        {},
        "overlaps subnet snet-data of the VNet: AKS answers NetworkProfileCIDROverlapVNET",
    ),
    (
        "aks-ranges",
        [vnet(space=("10.30.0.0/16",)), subnet(), cluster()],
        {},
        "does not lie in 10.30.0.0/16 of the VNet",
    ),
    ("aks-ranges", [*network(), cluster()], {"connectedCidrs": ["100.64.0.0/10"]}, "of a connected network"),
    ("aks-ranges", [subnet(), cluster()], {"vnetCidrs": ["10.0.0.0/8", "172.16.0.0/14"]}, "172.16.0.0/14 of the VNet"),
    (
        "aks-ranges",
        [
            *network(),
            cluster(),
            azure(
                types.VNET_PEERING,
                "hub",
                {
                    "virtualNetworkName": "vnet-net",
                    "remoteAddressSpace": {"addressPrefixes": ["172.16.0.0/14"]},
                    "remoteVirtualNetwork": {"id": OUTSIDE},
                },
            ),
        ],
        {},
        "172.16.0.0/16 overlaps 172.16.0.0/14 of a connected network",
    ),
    ("aks-ranges", [outside()], {"nodeSubnets": {OUTSIDE.upper(): "100.64.0.0/24"}}, "overlaps 100.64.0.0/24"),
    ("aks-ranges", [vnet(), subnet(prefix="10.20.4.1/22"), gateway(), address(), cluster()], {}, "10.20.4.1/22"),
    ("aks-ranges", [cluster()], {"connectedCidrs": ["10.b.0.0/8"]}, "10.b.0.0/8"),
    (
        "aks-ranges",
        [cluster(profile={**FLAT, "serviceCidr": "192.0.2.0/25", "dnsServiceIP": "192.0.2.10"})],
        {},
        "which AKS keeps",
    ),
    ("network-profile-explicit", [cluster(profile={"networkPolicy": None})], {}, "leaves networkPolicy to whoever"),
    (
        "network-profile-explicit",
        [cluster(profile=dict.fromkeys(PROFILE))],
        {},
        (
            "leaves networkPlugin, serviceCidr, dnsServiceIP, outboundType, loadBalancerSku, podCidr, networkPolicy "
            "and networkDataplane"
        ),
    ),
    (
        "network-profile-explicit",
        [cluster(profile={"podCidr": "10.244.0.0/16"})],
        {},
        "networkProfile.podCidr 10.244.0.0/16 is what the SDK puts in",
    ),
    (
        "network-profile-explicit",
        [cluster(profile={"serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10"})],
        {"meantDefaults": ["serviceCidr"]},
        "networkProfile.dnsServiceIP 10.0.0.10 is what the SDK puts in",
    ),
    (
        "network-profile-explicit",
        [cluster(profile={"podCidr": "10.244.0.0/16", "podCidrs": ["100.64.0.0/16"]})],
        {},
        "stands beside podCidrs 100.64.0.0/16: the SDK has put it in",
    ),
    ("aks-change-in-place", [cluster(ignore=())], {}, "would be deleted and made anew"),
    (
        "aks-change-in-place",
        [cluster(ignore=IGNORED_SOME)],
        {},
        (
            "ignore_changes=['networkProfile.networkPluginMode', 'networkProfile.networkDataplane', "
            "'networkProfile.networkPolicy', 'networkProfile.outboundType']"
        ),
    ),
    (
        "aks-change-in-place",
        [cluster(ignore=("network_profile.outbound_type",))],
        {},
        "would be deleted and made anew",
    ),
    (
        "aks-change-in-place",
        [cluster(ignore=(), before={"networkProfile": {**PROFILE, "outboundType": "loadBalancer"}})],
        {},
        (
            "networkProfile.outboundType from loadBalancer to userAssignedNATGateway is planned as delete and create "
            "of overlay, and Azure does it in place."
        ),
    ),
    (
        "aks-change-in-place",
        [cluster(ignore=(), before={"networkProfile": {**PROFILE, "podCidr": "100.64.0.0/17"}})],
        {},
        "Run az aks update --pod-cidr, ignore the change, and refresh.",
    ),
    (
        "aks-change-in-place",
        [cluster(ignore=(), before={"networkProfile": {**PROFILE, "podCidr": "100.0.0.0/8"}})],
        {},
        "and Azure has no other way to it either. Build the new cluster beside this one",
    ),
    (
        "aks-change-in-place",
        [cluster(ignore=(), profile=KUBENET, before={"networkProfile": PROFILE})],
        {},
        "networkProfile.networkPlugin from azure to kubenet is planned as delete and create",
    ),
    (
        "static-egress",
        [*network()[:1], subnet(nat=""), cluster()],
        {},
        "subnet snet-nodes has no NAT gateway, and its nodes are told to leave by one",
    ),
    ("static-egress", [cluster(of="", pools=[pool(vnetSubnetID=None)])], {}, "no pool names one"),
    (
        "static-egress",
        [*network(), cluster(profile={"loadBalancerProfile": {"allocatedOutboundPorts": 8}})],
        {},
        "loadBalancerProfile stands beside outboundType userAssignedNATGateway",
    ),
    ("static-egress", [vnet(), subnet(), gateway(addresses=()), cluster()], {}, "egress has no public address"),
    (
        "static-egress",
        [vnet(), subnet(), gateway(), address(sku=None), cluster()],
        {},
        "has the sku Basic, the default",
    ),
    (
        "static-egress",
        [vnet(), subnet(), gateway(), address(publicIPAllocationMethod=None), cluster()],
        {},
        "is allocated dynamically, the default: the address can change",
    ),
    (
        "static-egress",
        [
            vnet(),
            subnet(),
            gateway(publicIpPrefixes=[{"id": UNKNOWN}]),
            address(),
            prefix(prefixLength=28),
            cluster(),
        ],
        {},
        "has 17 addresses; 16 are allowed",
    ),
    ("static-egress", [balanced()], {}, "leaves by one that AKS made, which goes with the cluster"),
    (
        "static-egress",
        [*network(), cluster(profile={"outboundType": "loadBalancer"})],
        {},
        "is refused where the subnet has a NAT gateway, as snet-nodes has",
    ),
    ("static-egress", [cluster(profile={"outboundType": "managedNATGateway"})], {}, "is refused for nodes in a subnet"),
    (
        "static-egress",
        [cluster(profile={"outboundType": "managedNATGateway"}, of="", pools=[pool(vnetSubnetID=None)])],
        {},
        "leaves by addresses that AKS made",
    ),
    (
        "static-egress",
        [cluster(profile={"outboundType": "teleport"})],
        {},
        "outboundType teleport is none that AKS has",
    ),
    (
        "static-egress",
        [*network(), cluster(profile={"outboundType": "userDefinedRouting"})],
        {},
        "has no route for 0.0.0.0/0 to a firewall or gateway",
    ),
    (
        "static-egress",
        [vnet(), subnet(table="routes"), gateway(), address(), table(), cluster()],
        {},
        "sends 0.0.0.0/0 to a VirtualAppliance, and routes win over the NAT gateway",
    ),
    ("egress-address-protected", [gateway(), address(protect=False)], {}, "egress is an address that egress leaves by"),
    (
        "egress-address-protected",
        [gateway(addresses=(), publicIpPrefixes=[{"id": UNKNOWN}]), prefix(protect=False)],
        {},
        "prefix is an address that egress leaves by, and not protected",
    ),
    (
        "egress-address-protected",
        [balanced_cluster(), address(), prefix(protect=False)],
        {},
        "prefix is an address that balanced leaves by, and not protected",
    ),
    (
        "subnet-complete",
        [*network()[:1], subnet(ignore=()), cluster()],
        {},
        "subnet snet-nodes is written without routeTable: its PUT detaches what AKS or anybody else has attached.",
    ),
    (
        "subnet-complete",
        [subnet(ignore=(), networkSecurityGroup=None)],
        {},
        "is written without routeTable and networkSecurityGroup",
    ),
    (
        "subnet-complete",
        [subnet("data", nat="", ignore=(), before={"routeTable": {"id": "rt"}})],
        {},
        "has a routeTable that the program does not write: the next PUT detaches it.",
    ),
    (
        "subnet-complete",
        [subnet("data", nat="", routeTable={"id": "rt"}, inputs={"addressPrefix": "10.20.4.0/22"}, ignore=())],
        {},
        "has a routeTable and networkSecurityGroup that the program does not write",
    ),
    (
        "subnet-complete",
        [vnet(subnets=[{"name": "inside", "addressPrefix": "10.20.8.0/24"}]), subnet()],
        {},
        "lists subnets inside, and snet-nodes is written beside it",
    ),
    (
        "subnet-complete",
        [vnet(subnets=[{"name": "inside", "addressPrefix": "10.20.8.0/24", "natGateway": {"id": "nat"}}])],
        {},
        "subnet inside is written without routeTable and networkSecurityGroup",
    ),
    (
        "overlay-own-subnet",
        [subnet(), cluster(), cluster("old", profile=KUBENET)],
        {},
        "subnet snet-nodes of overlay has nodes of old too.",
    ),
    ("overlay-own-subnet", [outside(), outside(name="other")], {}, "of overlay has nodes of other too."),
    ("overlay-own-subnet", [outside()], {"takenSubnets": [OUTSIDE.upper()]}, "nodes of a cluster outside the stack"),
    ("overlay-own-subnet", [subnet(), cluster()], {"takenSubnets": ["SNET-nodes"]}, "a cluster outside the stack"),
    (
        "overlay-own-subnet",
        [
            subnet(table="routes"),
            subnet("old", "10.20.8.0/22", table="routes"),
            table(),
            cluster(),
            cluster("kubenet", profile=KUBENET, of="old"),
        ],
        {},
        "route table routes of subnet snet-nodes holds the pod routes of kubenet",
    ),
    (
        "overlay-own-subnet",
        [subnet(subnetName="s" * 64), cluster()],
        {},
        "has 64 characters, and nodes of an overlay carry it as a label of 63 at most",
    ),
    ("traffic-step-valid", shift(origin("old", 0), origin("new", 100)), {}, "weight 0 is refused by Front Door"),
    ("traffic-step-valid", shift(origin("old", 1001), TWO[1]), {}, "which takes 1 to 1000"),
    ("traffic-step-valid", shift(TWO[0], origin("new", 10, priority=6)), {}, "priority 6 is refused by Front Door"),
    (
        "traffic-step-valid",
        shift(TWO[0], origin("new", 10, priority=2)),
        {},
        "priority 2 of new gives it no traffic while an origin of checkout with priority 1 is healthy",
    ),
    (
        "traffic-step-valid",
        shift(*(replace(item, properties={**item.properties, "enabledState": "Disabled"}) for item in TWO)),
        {},
        "origin group checkout has no enabled origin",
    ),
    (
        "traffic-step-valid",
        shift(*TWO, of=group(loadBalancingSettings=None)),
        {},
        "additionalLatencyInMilliseconds 0 of checkout leaves weights to the origins",
    ),
    (
        "traffic-step-valid",
        shift(*TWO, of=group(loadBalancingSettings={"additionalLatencyInMilliseconds": 50})),
        {},
        "additionalLatencyInMilliseconds 50",
    ),
    ("traffic-step-valid", shift(*TWO, of=group(sessionAffinityState="Enabled")), {}, "keeps sessions on the origin"),
    ("traffic-step-valid", shift(*TWO, of=group(healthProbeSettings=None)), {}, "has no health probe"),
    (
        "traffic-step-valid",
        shift(*TWO, of=group(healthProbeSettings={"probePath": "/", "probeRequestType": "NotSet"})),
        {},
        "has no health probe",
    ),
    (
        "traffic-step-valid",
        shift(origin("old", 60), origin("new", 40)),
        {"steps": [10.0, 25.0, 50.0, 100.0]},
        "weights 40 and 60 of checkout are 40 % and 60 %, which is none of the steps 10, 25, 50 and 100.",
    ),
    (
        "authorized-ranges-include-egress",
        [*network()[:3], address(ipAddress="20.9.9.9"), cluster()],
        {},
        "20.9.9.9/32 of egress is in none of the authorized ranges of overlay",
    ),
    (
        "authorized-ranges-include-egress",
        [vnet(), subnet(), gateway(publicIpPrefixes=[{"id": UNKNOWN}]), address(), prefix(), cluster()],
        {},
        "20.60.0.0/31 of prefix is in none of the authorized ranges",
    ),
    (
        "authorized-ranges-include-egress",
        [*network(), cluster()],
        {"egressAddresses": ["20.50.1.4", "20.7.7.7"]},
        "20.7.7.7/32 is in none of the authorized ranges",
    ),
    (
        "authorized-ranges-include-egress",
        [*network(), cluster(apiServerAccessProfile={"authorizedIPRanges": [f"20.50.{n}.4/32" for n in range(201)]})],
        {},
        "201 authorized ranges are more than the 200",
    ),
    (
        "authorized-ranges-include-egress",
        [*network(), cluster(apiServerAccessProfile={"authorizedIPRanges": ["20.50.1.4/32", "office"]})],
        {},
        "apiServerAccessProfile.authorizedIPRanges[1]: office",
    ),
    ("authorized-ranges-include-egress", [cluster()], {"egressAddresses": ["nat"]}, "egressAddresses[0]: nat"),
    ("nat-gateway-zones", [gateway(sku=None)], {}, "names no zone: Azure picks one"),
    ("nat-gateway-zones", [gateway(sku={"name": "Standard"}, zones=["1", "2"])], {}, "names zones 1 and 2 and can be"),
    (
        "nat-gateway-zones",
        [
            vnet(),
            subnet(),
            gateway(sku={"name": "Standard"}, zones=["1"]),
            address(sku={"name": "Standard"}),
            cluster(),
        ],
        {},
        "is in zone 1, and pool apps leaves by it from 2 and 3 too",
    ),
    (
        "nat-gateway-zones",
        [gateway(sku={"name": "Standard"}, zones=["1"]), address(sku={"name": "Standard"}, zones=["2"])],
        {},
        "egress in zone 2 is an address of egress in zone 1",
    ),
    (
        "nat-gateway-zones",
        [gateway(), address(sku={"name": "Standard"})],
        {},
        "egress of the sku Standard cannot be an address of egress, a gateway of the sku StandardV2.",
    ),
    (
        "aks-node-subnet-size",
        [vnet(), subnet(prefix="10.20.4.0/28"), gateway(), address(), cluster()],
        {},
        (
            "10.20.4.0/28 of snet-nodes has 11 addresses, and its pools at their largest need 22 with surge (apps 22 "
            "nodes): AKS answers InsufficientSubnetSize, target vnetSubnetID. Write a /27 or larger"
        ),
    ),
    (
        "aks-node-subnet-size",
        [vnet(), subnet(prefix="10.20.4.0/26"), cluster(), agent_pool(maxCount=40)],
        {},
        "need 66 with surge (extra 44 nodes and apps 22 nodes)",
    ),
    (
        "aks-node-subnet-size",
        [vnet(), subnet(prefix="10.20.0.0/21"), cluster(profile=FLAT, pools=pools(50, 10, maxPods=30))],
        {},
        "need 2,046 with surge (p0 55 nodes of 31 and p1 11 nodes of 31)",
    ),
    (
        "aks-node-subnet-size",
        [vnet(), subnet(prefix="10.20.4.0/24"), cluster(profile=FLAT, pools=pools(8, maxPods=None))],
        {},
        "need 279 with surge",
    ),
    (
        "aks-node-subnet-size",
        [outside()],
        {"nodeSubnets": {OUTSIDE: "10.1.0.0/28"}, "loadBalancerAddresses": 3.0},
        "has 11 addresses, and its pools at their largest need 25",
    ),
    (
        "aks-node-subnet-size",
        [vnet(), subnet(prefix="10.20.4.0/27"), cluster(nodeProvisioningProfile={"mode": "Auto"})],
        {"autoProvisionedNodes": 100},
        "need 122 with surge",
    ),
]

CLEAN: list[tuple[str, list[Resource], dict[str, Any]]] = [
    *((rule.NAME, clean(), {}) for rule in AKS_RULES),
    *((rule.NAME, [], {}) for rule in AKS_RULES),
    ("no-new-kubenet", [cluster(profile=FLAT)], {}),
    ("no-new-kubenet", [cluster(profile={"networkPlugin": None})], {}),
    ("no-new-kubenet", [cluster(profile={"networkPlugin": None}, kubernetesVersion=None)], {}),
    ("no-new-kubenet", [cluster(profile={"networkPlugin": "none"})], {}),
    ("overlay-capacity", [cluster(profile=FLAT, pools=pools(5000))], {}),
    ("overlay-capacity", [cluster(profile={"podCidr": "100.64.0.0/11"}, pools=pools(4500))], {}),
    ("overlay-capacity", [cluster(pools=[pool(), pool(name="Apps2", upgradeSettings={"maxSurge": 3})])], {}),
    (
        "overlay-capacity",
        [cluster(profile={"podCidr": "100.64.0.0/19"}), agent_pool("APPS")],
        {},
    ),
    ("aks-ranges", [cluster(profile=FLAT, of="", pools=[pool(vnetSubnetID=None)])], {}),
    ("aks-ranges", [outside()], {"nodeSubnets": {OUTSIDE: "10.20.4.0/22"}, "vnetCidrs": ["10.20.0.0/16"]}),
    ("aks-ranges", [*network(), cluster(profile={"podCidr": "10.20.128.0/17"})], {}),
    (
        "aks-ranges",
        [
            *network(),
            cluster(),
            vnet("hub", ("10.40.0.0/16",)),
            azure(
                types.VNET_PEERING,
                "hub",
                {"virtualNetworkName": UNKNOWN, "remoteVirtualNetwork": {"id": UNKNOWN}},
                sources={"virtualNetworkName": [f"{types.VNET}::net"], "remoteVirtualNetwork": [f"{types.VNET}::hub"]},
            ),
        ],
        {},
    ),
    (
        "network-profile-explicit",
        [cluster(profile={"serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10"})],
        {"meantDefaults": ["serviceCidr", "dnsServiceIP"]},
    ),
    ("network-profile-explicit", [cluster(profile=FLAT)], {}),
    ("network-profile-explicit", [cluster(profile={**KUBENET, "networkDataplane": None})], {}),
    ("network-profile-explicit", [cluster(profile={"podCidr": None, "podCidrs": ["100.64.0.0/16"]})], {}),
    ("aks-change-in-place", [cluster(ignore=("networkProfile",))], {}),
    ("aks-change-in-place", [cluster(ignore=("networkProfile.*",))], {}),
    (
        "aks-change-in-place",
        [cluster(before={"networkProfile": {**PROFILE, "outboundType": "loadBalancer"}})],
        {},
    ),
    ("static-egress", [balanced_cluster(), address(), prefix()], {}),
    ("static-egress", [cluster(profile={"outboundType": "block"})], {}),
    (
        "static-egress",
        [*network(), cluster(profile={"outboundType": "loadBalancer"}, id_="/subscriptions/s/aks")],
        {},
    ),
    ("static-egress", [outside()], {"natSubnets": [OUTSIDE.upper()]}),
    ("static-egress", [outside(profile={"outboundType": "userDefinedRouting"})], {"routedSubnets": [OUTSIDE]}),
    (
        "static-egress",
        [vnet(), subnet(nat="", table="routes"), table(), cluster(profile={"outboundType": "userDefinedRouting"})],
        {},
    ),
    ("static-egress", [vnet(), subnet(table="routes"), gateway(), address(), table(to="10.0.0.0/8"), cluster()], {}),
    ("egress-address-protected", [gateway(), address(), address("bastion", protect=False)], {}),
    ("egress-address-protected", [balanced_cluster(), address(), prefix()], {}),
    ("subnet-complete", [subnet("data", nat="", ignore=())], {}),
    ("subnet-complete", [subnet(table="routes", ignore=()), table()], {}),
    ("subnet-complete", [vnet(subnets=[{"name": "x", "natGateway": {"id": "n"}}], ignore=("subnets",)), subnet()], {}),
    (
        "subnet-complete",
        [
            vnet(
                subnets=[{"name": "x", "natGateway": {"id": "n"}}],
                ignore=("subnets[0].routeTable", "subnets[*].networkSecurityGroup"),
            )
        ],
        {},
    ),
    (
        "overlay-own-subnet",
        [subnet(), subnet("old", "10.20.8.0/22"), cluster(), cluster("kubenet", profile=KUBENET, of="old")],
        {"takenSubnets": ["snet-somewhere"]},
    ),
    ("overlay-own-subnet", [subnet(), cluster("a", profile=KUBENET), cluster("b", profile=FLAT)], {}),
    ("traffic-step-valid", shift(*TWO), {"steps": [10, 25, 50, 100]}),
    ("traffic-step-valid", shift(origin("old", 100), origin("new", 33)), {"steps": [25]}),
    ("traffic-step-valid", shift(origin("old", 90), origin("new", 10, enabledState="Disabled")), {"steps": [25]}),
    (
        "traffic-step-valid",
        shift(origin("a", None), origin("b", None, priority=2), of=group(loadBalancingSettings=None)),
        {},
    ),
    ("traffic-step-valid", shift(*TWO, of=group(loadBalancingSettings=None)), {"leastLatencyMilliseconds": 0}),
    ("authorized-ranges-include-egress", [*network(), cluster(apiServerAccessProfile=None)], {}),
    (
        "authorized-ranges-include-egress",
        [
            *network(),
            cluster(apiServerAccessProfile={"authorizedIPRanges": ["203.0.113.0/24"], "enablePrivateCluster": True}),
        ],
        {},
    ),
    (
        "authorized-ranges-include-egress",
        [balanced(), *network()],
        {},
    ),
    ("authorized-ranges-include-egress", [outside()], {"egressAddresses": ["20.50.1.4"]}),
    (
        "authorized-ranges-include-egress",
        [*network()[:3], address(ipAddress=UNKNOWN), listing_its_address()],
        {},
    ),
    (
        "nat-gateway-zones",
        [gateway(sku={"name": "Standard"}), address(sku={"name": "Standard"})],
        {"regionsWithoutZones": ["East US 2"]},
    ),
    (
        "nat-gateway-zones",
        [
            vnet(),
            subnet(),
            gateway(sku={"name": "Standard"}, zones=["1"]),
            address(sku={"name": "Standard"}, zones=["1", "2", "3"]),
            cluster(pools=[pool(availabilityZones=["1"])]),
        ],
        {},
    ),
    ("aks-node-subnet-size", [vnet(), subnet(prefix="10.20.4.0/27"), cluster()], {}),
    (
        "aks-node-subnet-size",
        [vnet(), subnet(prefix="10.20.4.0/27"), cluster(profile=FLAT, pools=[pool(podSubnetID=OUTSIDE)])],
        {},
    ),
    ("aks-node-subnet-size", [cluster(of="", pools=[pool(vnetSubnetID=None)])], {}),
]

# Rule, stack, configuration, and what is not known.
UNDECIDED: list[Case] = [
    ("no-new-kubenet", [cluster(profile={"networkPlugin": UNKNOWN})], {}, "networkProfile.networkPlugin"),
    ("no-new-kubenet", [cluster(profile=UNKNOWN)], {}, "networkProfile.networkPlugin"),
    (
        "no-new-kubenet",
        [cluster(profile={"networkPlugin": None}, kubernetesVersion=UNKNOWN)],
        {},
        "networkProfile.networkPlugin",
    ),
    ("overlay-capacity", [cluster(pools=UNKNOWN)], {}, "agentPoolProfiles"),
    ("overlay-capacity", [cluster(pools=[UNKNOWN])], {}, "agentPoolProfiles.0"),
    ("overlay-capacity", [cluster(pools=[pool(maxCount=UNKNOWN)])], {}, "agentPoolProfiles.0.maxCount"),
    ("overlay-capacity", [cluster(pools=[pool(maxCount=None)])], {}, "agentPoolProfiles.0.maxCount"),
    ("overlay-capacity", [cluster(pools=[pool(count=-1)])], {}, "agentPoolProfiles.0.count"),
    ("overlay-capacity", [cluster(profile={"podCidr": UNKNOWN})], {}, "networkProfile.podCidr"),
    ("overlay-capacity", [cluster(nodeProvisioningProfile={"mode": "Auto"})], {}, "node auto-provisioning"),
    ("aks-ranges", [cluster(profile={"podCidr": UNKNOWN})], {}, "networkProfile.podCidr"),
    ("aks-ranges", [cluster(profile={"serviceCidr": UNKNOWN})], {}, "networkProfile.serviceCidr"),
    ("aks-ranges", [cluster(profile={"dnsServiceIP": UNKNOWN})], {}, "networkProfile.dnsServiceIP"),
    ("aks-ranges", [outside()], {}, f"the CIDR of {OUTSIDE}"),
    ("aks-ranges", [subnet(), cluster()], {}, "the address space of the nodes' VNet"),
    ("aks-ranges", [vnet(), subnet(prefix=UNKNOWN), cluster()], {}, "addressPrefix"),
    ("aks-ranges", [vnet(space=UNKNOWN), subnet(), cluster()], {}, "addressSpace.addressPrefixes"),
    (
        "aks-ranges",
        [
            *network(),
            cluster(),
            azure(
                types.VNET_PEERING,
                "hub",
                {"virtualNetworkName": "VNET-net", "remoteVirtualNetwork": {"id": OUTSIDE}},
            ),
        ],
        {},
        "the VNet that hub peers with",
    ),
    ("network-profile-explicit", [cluster(profile=UNKNOWN)], {}, "networkProfile"),
    ("network-profile-explicit", [cluster(profile=["overlay"])], {}, "networkProfile"),
    ("static-egress", [cluster(profile={"outboundType": UNKNOWN})], {}, "networkProfile.outboundType"),
    ("static-egress", [cluster(of="")], {}, "agentPoolProfiles.0.vnetSubnetID"),
    (
        "static-egress",
        [*network(), cluster(profile={"loadBalancerProfile": UNKNOWN})],
        {},
        "networkProfile.loadBalancerProfile",
    ),
    ("static-egress", [outside()], {}, f"the NAT gateway of {OUTSIDE}"),
    ("static-egress", [subnet(nat="nowhere"), cluster()], {}, "natGateway.id"),
    ("static-egress", [subnet(), gateway(), cluster()], {}, "publicIpAddresses"),
    ("static-egress", [subnet(), gateway(), address(sku={"name": UNKNOWN}), cluster()], {}, "sku.name"),
    ("static-egress", [outside(profile={"outboundType": "userDefinedRouting"})], {}, f"the route table of {OUTSIDE}"),
    (
        "static-egress",
        [subnet(table="routes"), table(to=UNKNOWN), cluster(profile={"outboundType": "userDefinedRouting"})],
        {},
        "addressPrefix",
    ),
    ("egress-address-protected", [gateway()], {}, "publicIpAddresses"),
    ("subnet-complete", [vnet(subnets=UNKNOWN), subnet()], {}, "subnets"),
    (
        "subnet-complete",
        [subnet("data", nat="", ignore=()), cluster(of="")],
        {},
        "whether nodes are in subnet snet-data",
    ),
    (
        "overlay-own-subnet",
        [cluster(of=""), cluster("old", profile=KUBENET)],
        {},
        "agentPoolProfiles.0.vnetSubnetID",
    ),
    ("overlay-own-subnet", [cluster(profile={"networkPluginMode": UNKNOWN})], {}, "networkProfile.networkPluginMode"),
    ("traffic-step-valid", shift(origin("old", UNKNOWN), TWO[1]), {}, "weight"),
    ("traffic-step-valid", shift(TWO[0], origin("new", 10, enabledState=UNKNOWN)), {}, "enabledState"),
    ("traffic-step-valid", [*TWO], {}, "origin group checkout"),
    ("traffic-step-valid", shift(*TWO, of=group(sessionAffinityState=UNKNOWN)), {}, "sessionAffinityState"),
    ("traffic-step-valid", shift(*TWO, of=group(healthProbeSettings=UNKNOWN)), {}, "healthProbeSettings.probePath"),
    ("traffic-step-valid", [origin(of=UNKNOWN)], {}, "originGroupName"),
    (
        "authorized-ranges-include-egress",
        [*network()[:3], address(ipAddress=UNKNOWN), cluster()],
        {},
        "ipAddress of egress",
    ),
    (
        "authorized-ranges-include-egress",
        [*network(), cluster(apiServerAccessProfile={"authorizedIPRanges": [UNKNOWN]})],
        {},
        "apiServerAccessProfile.authorizedIPRanges",
    ),
    ("authorized-ranges-include-egress", [outside()], {}, f"the address of the NAT gateway of {OUTSIDE}"),
    (
        "authorized-ranges-include-egress",
        [cluster(profile={"outboundType": "userDefinedRouting"})],
        {},
        "the address of outboundType userDefinedRouting",
    ),
    ("nat-gateway-zones", [gateway(sku={"name": UNKNOWN})], {}, "sku.name"),
    (
        "nat-gateway-zones",
        [gateway(sku=None, location=UNKNOWN), address(sku=None)],
        {"regionsWithoutZones": ["westus"]},
        "location",
    ),
    ("nat-gateway-zones", [gateway(sku={"name": "Standard"}, zones=UNKNOWN), address(sku=None)], {}, "zones"),
    ("nat-gateway-zones", [gateway(), address(zones=[UNKNOWN])], {}, "zones"),
    (
        "nat-gateway-zones",
        [
            subnet(),
            gateway(sku={"name": "Standard"}, zones=["1"]),
            address(sku=None),
            cluster(pools=[pool(availabilityZones=UNKNOWN)]),
        ],
        {},
        "agentPoolProfiles.0.availabilityZones of apps",
    ),
    ("aks-node-subnet-size", [outside()], {}, f"the CIDR of {OUTSIDE}"),
    ("aks-node-subnet-size", [subnet(prefix=UNKNOWN), cluster()], {}, "addressPrefix"),
    ("aks-node-subnet-size", [subnet(), cluster(pools=[pool(count=UNKNOWN)])], {}, "agentPoolProfiles.0.count"),
    ("aks-node-subnet-size", [subnet(), agent_pool(of="nowhere")], {}, "networkProfile of its cluster"),
    ("aks-node-subnet-size", [subnet(prefix="10.20.4.0/33"), cluster()], {}, "the CIDR of snet-nodes"),
]
NEVER_ALONE = {"cluster-protected", "aks-change-in-place"}
"""What these ask of a resource's options, which no value can hide: they violate or are clean whatever is unknown."""


def said(name: str, stack: Sequence[Resource], config: Mapping[str, Any]) -> list[Finding]:
    return list(BY_NAME[name].findings(Resources(stack), config))


@pytest.mark.parametrize(("name", "stack", "config", "sentence"), VIOLATIONS)
def test_a_violation_is_said_with_what_to_write_instead(
    name: str, stack: list[Resource], config: dict[str, Any], sentence: str
) -> None:
    found = said(name, stack, config)
    verdicts = [finding.verdict for finding in found if isinstance(finding.verdict, Problem)]
    assert any(sentence in str(verdict) for verdict in verdicts), [str(finding.verdict) for finding in found]
    assert all(verdict.next_step for verdict in verdicts)


@pytest.mark.parametrize(("name", "stack", "config"), CLEAN)
def test_what_is_right_is_passed_in_silence(name: str, stack: list[Resource], config: dict[str, Any]) -> None:
    assert [finding.message for finding in said(name, stack, config)] == []


@pytest.mark.parametrize(("name", "stack", "config", "unknown"), UNDECIDED)
def test_what_only_up_will_show_is_undecided_and_named(
    name: str, stack: list[Resource], config: dict[str, Any], unknown: str
) -> None:
    found = [finding.verdict for finding in said(name, stack, config)]
    assert unknown in [verdict.unknown for verdict in found if isinstance(verdict, Undecided)], found
    assert not [str(verdict) for verdict in found if isinstance(verdict, Problem)]


def test_every_rule_has_a_violation_and_a_clean_case_and_one_that_it_cannot_decide() -> None:
    assert {case[0] for case in VIOLATIONS} == {case[0] for case in CLEAN} == set(BY_NAME)
    assert {case[0] for case in UNDECIDED} == set(BY_NAME) - NEVER_ALONE


def test_nothing_that_is_not_known_of_a_cluster_hides_that_it_is_not_protected() -> None:
    (finding,) = said("cluster-protected", [azure(types.AKS_CLUSTER, "x", {"name": UNKNOWN}, protect=False)], {})
    assert isinstance(finding.verdict, Problem)


def test_a_change_to_what_only_up_will_show_is_undecided_beside_the_missing_option() -> None:
    changed = cluster(profile={"podCidr": UNKNOWN}, ignore=(), before={"networkProfile": PROFILE})
    undecided, option = said("aks-change-in-place", [changed], {})
    assert undecided.message == "overlay: undecided: networkProfile.podCidr is not known before `up`."
    assert "would be deleted and made anew" in option.message


def renamed(resource: Resource) -> Resource:
    """The same once more, beside the first."""
    return replace(
        resource,
        name=f"other-{resource.name}",
        urn=resource.urn.replace("::p::", "::other::"),
        dependencies={
            key: tuple(urn.replace("::p::", "::other::") for urn in urns) for key, urns in resource.dependencies.items()
        },
    )


@pytest.mark.parametrize(("name", "stack", "config", "unknown"), UNDECIDED)
def test_an_unknown_in_one_resource_hides_no_violation_of_the_next(
    name: str, stack: list[Resource], config: dict[str, Any], unknown: str
) -> None:
    del unknown
    case = next(case for case in VIOLATIONS if case[0] == name)
    other = [renamed(item) for item in case[1]]
    settings_of_both = {**config, **case[2]}
    alone = {str(finding.verdict) for finding in said(name, other, settings_of_both)}
    both = {str(finding.verdict) for finding in said(name, [*other, *stack], settings_of_both)}
    assert {text for text in alone if not text.startswith("undecided")} <= both


# Joining resources.


def test_ids_join_resources_where_they_are_known_whatever_their_case() -> None:
    """A state export has ids, Azure answers them in a case of its own, and an import of it has no dependencies."""
    arm = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/nodes"
    nodes = subnet(prefix="10.20.4.0/28", nat="", natGateway={"id": arm.upper()}, id_=arm)
    inside = cluster(of="", pools=[pool(vnetSubnetID=arm.upper())])
    (finding,) = said("aks-node-subnet-size", [nodes, inside], {})
    assert finding.resource is nodes


def test_a_subnet_that_is_written_inside_its_vnet_is_one_too() -> None:
    inside = vnet(subnets=[{"name": "nodes", "addressPrefix": "10.20.4.0/28"}])
    of_vnet = replace(cluster(), dependencies={"agentPoolProfiles": (inside.urn,)})
    (finding,) = said("aks-node-subnet-size", [inside, of_vnet], {})
    assert "10.20.4.0/28 of nodes has 11 addresses" in finding.message
    assert finding.resource is inside


def test_two_subnets_that_a_pool_may_mean_are_undecided() -> None:
    nodes, other = subnet(), subnet("other", "10.20.8.0/22")
    both = replace(cluster(), dependencies={"agentPoolProfiles": (nodes.urn, other.urn)})
    (finding,) = said("aks-node-subnet-size", [nodes, other, both], {})
    assert finding.message == (
        "overlay: undecided: which of snet-nodes and snet-other pool apps is in is not known before `up`."
    )


def test_a_pool_that_the_cluster_and_a_resource_name_counts_once() -> None:
    twice = [cluster(profile={"podCidr": "100.64.0.0/19"}), agent_pool("apps", maxCount=20)]
    assert said("overlay-capacity", twice, {}) == []
    twice[1] = agent_pool("more", maxCount=20)
    assert len(said("overlay-capacity", twice, {})) == 1


def test_a_pool_finds_its_cluster_by_the_name_that_azure_has() -> None:
    stack = [
        cluster(profile={"podCidr": "100.64.0.0/19"}),
        azure(types.AKS_AGENT_POOL, "more", {**pool(), "agentPoolName": "apps", "resourceName": "AKS-overlay"}),
    ]
    assert len(said("overlay-capacity", stack, {})) == 0
    stack[1] = azure(types.AKS_AGENT_POOL, "more", {**pool(name=None), "resourceName": "AKS-overlay"})
    assert len(said("overlay-capacity", stack, {})) == 1


TOKENS = [
    ("azure-native:network/v20250101:Subnet", types.VNET_SUBNET),
    ("azure-native_network_v20250101:network:Subnet", types.VNET_SUBNET),
    ("azure-native:containerservice/v20240802preview:ManagedCluster", types.AKS_CLUSTER),
    ("azure-native_cdn_v20250601privatepreview:cdn:AFDOrigin", types.FRONT_DOOR_ORIGIN),
    ("azure-native:network:NatGateway", types.NAT_GATEWAY),
    ("azure-native", "azure-native"),
    ("azure-nativeish:network:Subnet", "azure-nativeish:network:Subnet"),
    ("azure:network/subnet:Subnet", "azure:network/subnet:Subnet"),
    (types.SUBNET, types.SUBNET),
]


@pytest.mark.parametrize(("token", "canonical"), TOKENS)
def test_a_token_that_names_an_api_version_is_the_same_type(token: str, canonical: str) -> None:
    assert types.canonical_type(token) == canonical


def versioned(resource: Resource) -> Resource:
    package, module, name = resource.type.split(":")
    return replace(resource, type=f"{package}_{module}_v20250101:{module}:{name}")


def test_rules_judge_a_stack_of_versioned_tokens_as_any_other() -> None:
    judged = [cluster(protect=False), *(item for item in clean() if item.kind != types.AKS_CLUSTER)]
    (finding,) = judge([versioned(item) for item in judged], {}, date(2026, 11, 21))
    assert finding.rule == "cluster-protected"


# Hostile values.

texts = st.sampled_from(
    [
        "",
        "0",
        "1",
        "azure",
        "overlay",
        "kubenet",
        "Auto",
        "100.64.0.0/24",
        "10.b",
        "fd00::/8",
        "\u0661\u0660",
        "\x00",
        "💥",
    ]
)
numbers = st.integers(-(2**70), 2**70) | st.floats() | st.integers(-2, 300)
PROPERTIES = [
    "addressPrefix",
    "addressPrefixes",
    "addressSpace",
    "agentPoolProfiles",
    "apiServerAccessProfile",
    "authorizedIPRanges",
    "availabilityZones",
    "count",
    "dnsServiceIP",
    "enableAutoScaling",
    "enabledState",
    "healthProbeSettings",
    "id",
    "ipAddress",
    "kubernetesVersion",
    "loadBalancerProfile",
    "loadBalancingSettings",
    "location",
    "maxCount",
    "maxPods",
    "maxSurge",
    "mode",
    "name",
    "natGateway",
    "networkPlugin",
    "networkPluginMode",
    "networkProfile",
    "nextHopType",
    "nodeProvisioningProfile",
    "originGroupName",
    "outboundType",
    "podCidr",
    "podCidrs",
    "prefixLength",
    "priority",
    "profileName",
    "publicIPAllocationMethod",
    "publicIpAddresses",
    "publicIpPrefixes",
    "remoteVirtualNetwork",
    "resourceName",
    "routeTable",
    "routeTableName",
    "routes",
    "scale",
    "serviceCidr",
    "sku",
    "subnets",
    "type",
    "upgradeSettings",
    "virtualMachinesProfile",
    "virtualNetworkName",
    "vnetSubnetID",
    "weight",
    "zones",
]
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.just(UNKNOWN),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.sampled_from(PROPERTIES), inner, max_size=4),
    max_leaves=12,
)
TYPES = sorted({type_ for rule in AKS_RULES for type_ in rule.TYPES})
CONFIG = sorted({key for rule in AKS_RULES for key in rule.CONFIG_SCHEMA})


@settings(deadline=None, max_examples=150)
@given(
    stack=st.lists(
        st.tuples(
            st.sampled_from(TYPES),
            st.dictionaries(st.sampled_from(PROPERTIES), anything, max_size=6),
            st.lists(texts | st.sampled_from(PROPERTIES), max_size=2),
            st.none() | st.dictionaries(st.sampled_from(PROPERTIES), anything, max_size=3),
        ),
        max_size=5,
    ),
    config=st.dictionaries(st.sampled_from(CONFIG), anything, max_size=4),
)
@example(stack=[], config={"steps": [float("inf")], "loadBalancerAddresses": float("nan")})
def test_nothing_that_can_be_written_makes_a_rule_fall_over(
    stack: list[tuple[str, dict[str, Any], list[str], dict[str, Any] | None]], config: dict[str, Any]
) -> None:
    urns = [f"{type_}::r{number}" for number, (type_, *_) in enumerate(stack)]
    made = [
        azure(type_, f"r{number}", properties, sources=dict.fromkeys(properties, urns), ignore=ignore, before=before)
        for number, (type_, properties, ignore, before) in enumerate(stack)
    ]
    for rule in AKS_RULES:
        for finding in rule.findings(Resources(made), config):
            assert isinstance(finding.verdict, Problem | Undecided)
            assert str(finding.message)


MUTILATED: list[Any] = [
    True,
    -1,
    2**70,
    float("nan"),
    "",
    "💥\x00",
    [],
    [[]],
    {},
    {"id": 5},
    UNKNOWN,
    "/24",
    "1.2.3.4/5",
]


@pytest.mark.parametrize("value", MUTILATED, ids=repr)
def test_no_single_value_of_a_good_stack_makes_a_rule_fall_over(value: Any) -> None:
    """Every value of the clean stack in turn, at every depth, replaced by one that has no business there."""
    stack = clean()
    for index, resource in enumerate(stack):
        for path in paths(resource.properties):
            changed = replace(resource, properties=replaced(resource.properties, path, value))
            judge([*stack[:index], changed, *stack[index + 1 :]], {}, date(2026, 11, 21))


def paths(value: Any) -> list[tuple[Any, ...]]:
    """The path of everything in a value."""
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())
    else:
        items = list(enumerate(value)) if isinstance(value, list) else []
    return [path for key, item in items for path in ((key,), *((key, *rest) for rest in paths(item)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with another one at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def test_ten_thousand_resources_are_judged_in_a_moment_and_each_of_them_is() -> None:
    stack: list[Resource] = []
    for number in range(1_700):
        name = f"n{number}"
        stack += [
            subnet(name, f"10.{number // 256}.{number % 256}.0/28", net="net", nat="egress"),
            cluster(name, of=name, protect=False),
            agent_pool(name, of=name, subnet_of=name),
            address(name, protect=False),
            origin(f"{name}-old", 0, of=name),
            group(name),
        ]
    stack += [vnet(space=("10.0.0.0/8",)), gateway(), address()]
    assert len(stack) > 10_000
    begun = time.process_time()
    found = judge(stack, {}, date(2026, 11, 21))
    spent = time.process_time() - begun
    counts: dict[str, int] = {}
    for judgement in found:
        counts[judgement.rule] = counts.get(judgement.rule, 0) + 1
    assert counts == {
        "aks-node-subnet-size": 1_700,
        "cluster-protected": 1_700,
        "traffic-step-valid": 1_700,
    }
    assert spent < 30, "a preview must not wait for the rules"


@pytest.mark.parametrize("rule", AKS_RULES, ids=lambda rule: rule.NAME)
def test_a_rule_says_the_same_twice_and_leaves_its_input_alone(rule: ModuleType) -> None:
    case = next(case for case in VIOLATIONS if case[0] == rule.NAME)
    before = repr(case[1])
    first = [finding.message for finding in said(*case[:3])]
    assert [finding.message for finding in said(*case[:3])] == first
    assert repr(case[1]) == before


NETWORK = "/subscriptions/s/resourceGroups/RG-Prod/providers/Microsoft.Network/virtualNetworks/VNET-net"
SUBNET_ID = f"{NETWORK}/subnets/snet-nodes"


@pytest.mark.parametrize(
    ("identifier", "vnet_name", "found"),
    [
        (SUBNET_ID, "vnet-net", ["nodes"]),
        (SUBNET_ID.replace("RG-Prod", "rg-other"), "vnet-net", []),
        (SUBNET_ID.replace("snet-nodes", "snet-other"), "vnet-net", []),
        (SUBNET_ID, UNKNOWN, []),
    ],
)
def test_an_id_that_azure_has_given_already_is_known_by_the_names_that_it_is_made_of(
    identifier: str, vnet_name: Any, found: list[str]
) -> None:
    own = Resources([subnet(virtualNetworkName=vnet_name)]).with_id(types.VNET_SUBNET, identifier)
    assert [resource.name for resource in (own,) if resource is not None] == found


def test_a_subnet_whose_id_is_known_is_not_taken_for_one_of_the_same_names_in_another_subscription() -> None:
    resources = Resources([subnet(virtualNetworkName="vnet-net", id=SUBNET_ID)])
    assert resources.with_id(types.VNET_SUBNET, SUBNET_ID.upper()) is resources[0]
    assert resources.with_id(types.VNET_SUBNET, SUBNET_ID.replace("/s/", "/t/")) is None


def test_of_two_subnets_of_the_same_names_neither_is_taken_for_the_other() -> None:
    one = subnet(virtualNetworkName="vnet-net")
    resources = Resources([one, replace(one, urn=f"{one.urn}-twin", name="twin")])
    assert resources.with_id(types.VNET_SUBNET, SUBNET_ID) is None
