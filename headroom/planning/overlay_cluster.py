"""A cluster with Azure CNI Overlay beside the old one: what its stack file says, and what Azure would refuse of it."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from headroom.addresses.azure import AUTHORIZED_RANGES, NODE_LABEL_CHARACTERS, AksRanges
from headroom.addresses.blocks import Block, listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.overlay import DCSV2, DEFAULT_SURGE, AksPool, ClusterCapacity, Surge, cluster_capacity
from headroom.planning.fill_in import is_open
from headroom.planning.keys import KeyReader, told

REMEDY: Final = "aks-overlay"
KEYS: Final = ("remedy", "resourceGroup", "aksCluster", "pools", "nodeSubnet", "peerCidrBlocks", "protect", "tags")
CLUSTER_FIELDS: Final = (
    "name",
    "kubernetesVersion",
    "tier",
    "podCidr",
    "serviceCidr",
    "dnsServiceIp",
    "networkPolicy",
    "networkDataplane",
    "outboundType",
    "authorizedRanges",
)
POOL_FIELDS: Final = (
    "mode",
    "vmSize",
    "count",
    "minCount",
    "maxCount",
    "maxPods",
    "maxSurge",
    "zones",
    "osSku",
)
SUBNET_FIELDS: Final = ("vnetId", "name", "cidrBlock", "vnetCidrBlocks", "natGatewayId", "securityGroupId")

IN_PLACE: Final[Mapping[str, str]] = {
    "networkPlugin": "az aks update --network-plugin azure --network-plugin-mode overlay",
    "networkPluginMode": "az aks update --network-plugin azure --network-plugin-mode overlay",
    "podCidr": "az aks update --pod-cidr",
    "networkDataplane": "az aks update --network-dataplane",
    "networkPolicy": "az aks update --network-policy",
    "outboundType": "az aks update --outbound-type",
}
"""Fields of networkProfile for which the provider deletes and makes the cluster anew although `az aks update` takes
them, with that command (pulumi-azure-native, provider/pkg/gen/replacement.go since #4771; AKS documentation,
update-azure-cni, azure-cni-overlay-pod-expand and egress-outboundtype)."""

SDK_DEFAULTS: Final[Mapping[str, str]] = {
    "podCidr": "10.244.0.0/16",
    "serviceCidr": "10.0.0.0/16",
    "dnsServiceIP": "10.0.0.10",
    "outboundType": "loadBalancer",
}
"""What `ContainerServiceNetworkProfileArgs` puts into a network profile where the program says nothing
(pulumi-azure-native 3.29.0, containerservice/_inputs.py); AKS takes the same."""

NETWORK_CONTRIBUTOR: Final = "4d97b98b-1d4f-4787-a291-c67834d212e7"
"""Built-in role that the cluster's identity needs on its subnet (Azure built-in roles; AKS documentation,
configure-kubenet: up to an hour until it counts)."""

POLICIES: Final[Mapping[str, str]] = {"cilium": "cilium", "azure": "azure", "calico": "azure", "none": "azure"}
"""Network policy engines, each with its data plane: cilium goes with cilium (azure-aks-docs #264)."""
OUTBOUND: Final = ("userAssignedNATGateway", "loadBalancer", "userDefinedRouting")
TIERS: Final = ("Standard", "Premium", "Free")
MODES: Final = ("System", "User")
VNET_ID: Final = re.compile(
    r"/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/(?P<group>[^/]{1,90})"
    r"/providers/Microsoft\.Network/virtualNetworks/(?P<vnet>[^/]{1,64})",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
"""Name of a cluster (Azure naming rules, Microsoft.ContainerService)."""
_POOL: Final = re.compile(r"[a-z][a-z0-9]{0,11}")
_OVERLAY: Final = "AKS documentation, concepts-network-azure-cni-overlay"
_VERSION: Final = re.compile(r"\d{1,2}\.\d{1,3}(?:\.\d{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A node pool.

    Attributes:
        name: Its name.
        mode: System or User.
        vm_size: Size of its VMs.
        count: Nodes at first.
        minimum: The autoscaler's minimum; None without autoscaler.
        maximum: The autoscaler's maximum; None without autoscaler.
        max_pods: Pods of a node, fixed for the pool's life.
        max_surge: Nodes more during an upgrade.
        zones: Its zones.
        os_sku: Its operating system.
    """

    name: str
    mode: str
    vm_size: str
    count: int
    minimum: int | None
    maximum: int | None
    max_pods: int
    max_surge: str
    zones: tuple[str, ...]
    os_sku: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSubnet:
    """The new cluster's own subnet, made by the stack.

    Attributes:
        vnet_id: The VNet, which belongs to others.
        resource_group: Its resource group.
        vnet: Its name.
        name: The subnet's name.
        cidr_block: Its CIDR.
        vnet_cidr_blocks: Address space of the VNet.
        nat_gateway_id: The NAT gateway that it has from the start; None: none.
        security_group_id: Its security group; None: none.
    """

    vnet_id: str
    resource_group: str
    vnet: str
    name: str
    cidr_block: str
    vnet_cidr_blocks: tuple[str, ...]
    nat_gateway_id: str | None
    security_group_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaySettings:
    """What the stack file of an overlay cluster says.

    Attributes:
        resource_group: Where the cluster is made.
        name: The cluster's name.
        kubernetes_version: Its version.
        tier: Its tier.
        pod_cidr: Range of its pods.
        service_cidr: Range of its services.
        dns_service_ip: Address of its DNS.
        network_policy: Network policy engine.
        network_dataplane: Data plane.
        outbound_type: How it gets out.
        authorized_ranges: Who may reach its API server; empty: everybody.
        pools: Its node pools; the first of mode System is made with the cluster.
        subnet: Its own subnet.
        peers: Ranges of peered VNets and of networks behind gateways.
        protect: Refuse to delete it.
        tags: Tags.
        capacity: What ranges and pools come to.
    """

    resource_group: str
    name: str
    kubernetes_version: str
    tier: str
    pod_cidr: str
    service_cidr: str
    dns_service_ip: str
    network_policy: str
    network_dataplane: str
    outbound_type: str
    authorized_ranges: tuple[str, ...]
    pools: tuple[Pool, ...]
    subnet: NodeSubnet
    peers: tuple[str, ...]
    protect: bool
    tags: Mapping[str, str]
    capacity: ClusterCapacity

    @property
    def system(self) -> Pool:
        """The pool that is made with the cluster."""
        return next(pool for pool in self.pools if pool.mode == MODES[0])


def read_overlay(config: Mapping[str, Any]) -> OverlaySettings:
    """Reads the `headroom:` keys of a stack file, without the namespace.

    Raises:
        ProblemsError: Everything that is wrong with them, and all that Azure would refuse of the ranges and pools.
    """
    reader = _Reader()
    reader.known(config, KEYS)
    cluster = reader.mapping("aksCluster", config.get("aksCluster"), CLUSTER_FIELDS)
    group = reader.text(
        "resourceGroup", config.get("resourceGroup"), re.compile(r"[A-Za-z0-9_.()-]{1,90}"), "a resource group"
    )
    pools = reader.pools(config.get("pools"))
    subnet = reader.subnet(config.get("nodeSubnet"))
    peers = reader.blocks("peerCidrBlocks", config.get("peerCidrBlocks", []))
    policy = reader.choice("aksCluster.networkPolicy", cluster.get("networkPolicy"), tuple(POLICIES))
    plane = reader.choice(
        "aksCluster.networkDataplane",
        cluster.get("networkDataplane", POLICIES.get(policy, "azure")),
        ("azure", "cilium"),
    )
    if policy in POLICIES and plane != POLICIES[policy]:
        reader.wrong(
            "aksCluster.networkDataplane",
            plane,
            f"does not go with the network policy {policy}, which needs {POLICIES[policy]}.",
            f"Write networkDataplane: {POLICIES[policy]}.",
        )
    outbound = reader.choice("aksCluster.outboundType", cluster.get("outboundType", OUTBOUND[0]), OUTBOUND)
    if subnet and outbound == "userAssignedNATGateway" and not subnet.nat_gateway_id:
        reader.wrong(
            "nodeSubnet.natGatewayId",
            "nothing",
            "is given, and outboundType userAssignedNATGateway needs the gateway on the subnet before the cluster.",
            "Write the ARM id of the gateway that the aks-egress stack made.",
        )
    if subnet and outbound == "loadBalancer" and subnet.nat_gateway_id:
        reader.wrong(
            "aksCluster.outboundType",
            outbound,
            "is refused by AKS for a new cluster in a subnet that has a NAT gateway.",
            "Write userAssignedNATGateway.",
        )
    authorized = reader.blocks("aksCluster.authorizedRanges", cluster.get("authorizedRanges", []))
    if len(authorized) > AUTHORIZED_RANGES:
        reader.wrong("aksCluster.authorizedRanges", str(len(authorized)), f"are more than {AUTHORIZED_RANGES}.")
    name = reader.text("aksCluster.name", cluster.get("name"), _NAME, "a cluster's name")
    version = reader.text("aksCluster.kubernetesVersion", cluster.get("kubernetesVersion"), _VERSION, "a version")
    tier = reader.choice("aksCluster.tier", cluster.get("tier", TIERS[0]), TIERS)
    protect = reader.flag("protect", config.get("protect", True))
    tags = reader.tags("tags", config.get("tags", {}))
    capacity = reader.capacity(cluster, pools, subnet, peers)
    if reader.problems or capacity is None or subnet is None:
        raise ProblemsError(reader.problems, subject=REMEDY)
    return OverlaySettings(
        resource_group=group,
        name=name,
        kubernetes_version=version,
        tier=tier,
        pod_cidr=str(cluster["podCidr"]),
        service_cidr=str(cluster["serviceCidr"]),
        dns_service_ip=str(cluster["dnsServiceIp"]),
        network_policy=policy,
        network_dataplane=plane,
        outbound_type=outbound,
        authorized_ranges=tuple(map(str, authorized)),
        pools=tuple(pools),
        subnet=subnet,
        peers=tuple(map(str, peers)),
        protect=protect,
        tags=tags,
        capacity=capacity,
    )


def changed_problems(settings: OverlaySettings, made: Mapping[str, Any], own: Collection[str]) -> list[Problem]:
    """What of the stack file the cluster that was made does not have, and this stack does not change.

    The engine is told to ignore those fields, because it would replace the cluster for them. Without a word the file
    would say one thing and the cluster be another, and the capacity that was judged would be that of the file.

    Args:
        settings: What the stack file says.
        made: The cluster's properties in the stack's state; empty: it is not made yet.
        own: Names of pools that are resources of their own in the stack's state.
    """
    if not made:
        return []
    where = f"--resource-group {settings.resource_group} --name {settings.name}"
    profile, problems = made.get("networkProfile") or {}, []
    for key, field, wanted in _FIXED:
        value, has = str(getattr(settings, wanted)), profile.get(field)
        if has is None or str(has).casefold() == value.casefold():
            continue
        command = IN_PLACE.get(field)
        if field == "podCidr" and not Block.parse(value).contains(Block.parse(str(has))):
            command = None
        problems.append(
            _kept(
                f"aksCluster.{key}",
                value,
                f"is not what {settings.name} has, which is {has}, and the provider would delete it for that.",
                f"Run `{command} {value} {where}`, then `pulumi refresh`, and repeat the command."
                if command
                else f"Write {has}: it is never changed, and another one takes another cluster.",
            )
        )
    system = settings.system
    pools = {str(pool.get("name")): pool for pool in made.get("agentPoolProfiles") or ()}
    key = f"pools.{system.name}"
    if system.name in own or (pools and system.name not in pools):
        first = listed(sorted(set(pools) - set(own) - {pool.name for pool in settings.pools})) or "that one"
        reason = f"is the first pool of mode System here, and {settings.name} was made with another one."
        problems.append(_kept(key, system.name, reason, f"Write {first} first again, and {system.name} behind it."))
        return problems
    for key_, field in _FIRST_POOL:
        wanted_, has = getattr(system, field), pools.get(system.name, {}).get(key_)
        # The state has numbers as floating-point ones.
        if has is not None and wanted_ is not None and has != wanted_:
            had = int(has) if isinstance(has, float) else has
            command = "update --update-cluster-autoscaler" if key_ in _LIMITS else ""
            both = f"--min-count {system.minimum} --max-count {system.maximum}"
            problems.append(
                _kept(
                    f"{key}.{key_}",
                    str(wanted_),
                    f"is not what pool {system.name} has, which is {had}: it was made with the cluster, and is not "
                    "changed by this stack.",
                    f"Run `az aks nodepool {command} --resource-group {settings.resource_group} --cluster-name "
                    f"{settings.name} --name {system.name} {both}`, then `pulumi refresh`, and repeat the command."
                    if command
                    else f"Write {had}, and add another pool of mode System behind it.",
                )
            )
    return problems


_FIXED: Final = (
    ("podCidr", "podCidr", "pod_cidr"),
    ("serviceCidr", "serviceCidr", "service_cidr"),
    ("dnsServiceIp", "dnsServiceIP", "dns_service_ip"),
    ("networkPolicy", "networkPolicy", "network_policy"),
    ("networkDataplane", "networkDataplane", "network_dataplane"),
    ("outboundType", "outboundType", "outbound_type"),
)
"""Fields of a network profile that are not changed by the stack: key, name in the profile, and in the settings."""
_LIMITS: Final = ("minCount", "maxCount")
_FIRST_POOL: Final = (
    ("vmSize", "vm_size"),
    ("maxPods", "max_pods"),
    ("minCount", "minimum"),
    ("maxCount", "maximum"),
)
"""Properties of the first pool that capacity is judged by: name in the profile, and in the settings."""


def _kept(key: str, value: str, reason: str, next_step: str) -> Problem:
    return Problem(rule="not-changed-here", key=f"headroom:{key}", value=value, reason=reason, next_step=next_step)


class _Reader(KeyReader):
    """Reads what only this stack has."""

    def pools(self, value: object) -> list[Pool]:
        if not isinstance(value, Mapping) or not value:
            self.wrong("pools", told(value), "names no node pool.", "Write one of mode System at least.")
            return []
        found = [self._pool(str(name), fields) for name, fields in value.items()]
        if not any(pool.mode == MODES[0] for pool in found):
            self.wrong("pools", listed([pool.name for pool in found]), "has no pool of mode System.")
        return found

    def _pool(self, name: str, value: object) -> Pool:
        key = f"pools.{name}"
        fields = self.mapping(key, value, POOL_FIELDS)
        if not _POOL.fullmatch(name):
            self.wrong(key, shown(name), "is no name of a pool: up to 12 lower-case letters and digits.")
        scaled = "maxCount" in fields
        least = self.number(f"{key}.minCount", fields.get("minCount", 1), 0, 1000) if scaled else None
        most = self.number(f"{key}.maxCount", fields["maxCount"], 1, 1000) if scaled else None
        if least is not None and most is not None and least > most:
            self.wrong(f"{key}.minCount", str(least), f"is more than maxCount {most}.")
        surge = fields.get("maxSurge", DEFAULT_SURGE)
        try:
            Surge.parse(str(surge), key=f"headroom:{key}.maxSurge")
        except ProblemsError as error:
            self.problems.extend(error.problems)
        zones = fields.get("zones", [])
        if not isinstance(zones, list | tuple) or any(zone not in ("1", "2", "3") for zone in zones):
            self.wrong(f"{key}.zones", told(zones), 'is no list of zones, such as ["1", "2", "3"].')
            zones = []
        size = fields.get("vmSize")
        if not is_open(f"{key}.vmSize", size):
            size = self.text(f"{key}.vmSize", size, re.compile(r"Standard_\w{1,60}"), "a VM size")
        if DCSV2.fullmatch(str(size)):
            self.wrong(
                f"{key}.vmSize", str(size), "is of the series DCsv2, which overlay does not support.", source=_OVERLAY
            )
        mode = self.choice(f"{key}.mode", fields.get("mode", MODES[1]), MODES)
        count = self.number(f"{key}.count", fields.get("count", least or 1), 0, 1000)
        if mode == MODES[0] and 0 in (count, least):
            which = "count" if count == 0 else "minCount"
            self.wrong(f"{key}.{which}", "0", "is too few for a pool of mode System, which keeps a node.", "Write 1.")
        if least is not None and count < least:
            self.wrong(f"{key}.count", str(count), f"is less than minCount {least}.", f"Write {least} or more.")
        return Pool(
            name=name,
            mode=mode,
            vm_size=str(size),
            count=count,
            minimum=least,
            maximum=most,
            max_pods=self.number(f"{key}.maxPods", fields.get("maxPods", 250), 10, 250),
            max_surge=str(surge),
            zones=tuple(zones),
            os_sku=self.choice(f"{key}.osSku", fields.get("osSku", "AzureLinux"), ("AzureLinux", "Ubuntu")),
        )

    def subnet(self, value: object) -> NodeSubnet | None:
        fields = self.mapping("nodeSubnet", value, SUBNET_FIELDS)
        if not fields:
            return None
        vnet_id = fields.get("vnetId")
        vnet = VNET_ID.fullmatch(vnet_id) if isinstance(vnet_id, str) else None
        if vnet is None:
            self.wrong("nodeSubnet.vnetId", told(vnet_id), "is no ARM id of a VNet.")
        name = self.text(
            "nodeSubnet.name", fields.get("name"), re.compile(r"[A-Za-z0-9][\w.-]{0,79}"), "a subnet's name"
        )
        for what, text in (
            ("name", name),
            ("vnetId", vnet["vnet"] if vnet else ""),
            ("vnetId", vnet["group"] if vnet else ""),
        ):
            if len(text) > NODE_LABEL_CHARACTERS:
                self.wrong(
                    f"nodeSubnet.{what}",
                    shown(text),
                    f"is longer than {NODE_LABEL_CHARACTERS} characters, and nodes carry it as a label.",
                )
        block = self.block("nodeSubnet.cidrBlock", fields.get("cidrBlock"))
        space = self.blocks("nodeSubnet.vnetCidrBlocks", fields.get("vnetCidrBlocks", []))
        ids = {}
        for what in ("natGatewayId", "securityGroupId"):
            ids[what] = fields.get(what)
            if ids[what] is not None and not str(ids[what]).casefold().startswith("/subscriptions/"):
                self.wrong(f"nodeSubnet.{what}", told(ids[what]), "is no ARM id.")
        if vnet is None or block is None:
            return None
        return NodeSubnet(
            vnet_id=str(vnet_id),
            resource_group=vnet["group"],
            vnet=vnet["vnet"],
            name=name,
            cidr_block=str(block),
            vnet_cidr_blocks=tuple(map(str, space)),
            nat_gateway_id=ids["natGatewayId"],
            security_group_id=ids["securityGroupId"],
        )

    def capacity(
        self, cluster: Mapping[str, Any], pools: Sequence[Pool], subnet: NodeSubnet | None, peers: Sequence[Block]
    ) -> ClusterCapacity | None:
        """What Azure would refuse of the ranges for these pools."""
        pod = self.block("aksCluster.podCidr", cluster.get("podCidr"))
        service = self.block("aksCluster.serviceCidr", cluster.get("serviceCidr"))
        dns = self.block("aksCluster.dnsServiceIp", cluster.get("dnsServiceIp"))
        if pod is None or service is None or dns is None or subnet is None or self.problems:
            return None
        found = cluster_capacity(
            AksRanges(
                pod_cidr=pod,
                node_subnet=Block.parse(subnet.cidr_block),
                service_cidr=service,
                dns_service_ip=dns.first,
                vnets=tuple(map(Block.parse, subnet.vnet_cidr_blocks)),
                peers=tuple(peers),
            ),
            [
                AksPool(
                    name=pool.name,
                    count=pool.count,
                    maximum=pool.maximum,
                    surge=Surge.parse(pool.max_surge),
                    max_pods=pool.max_pods,
                )
                for pool in pools
            ],
        )
        self.problems.extend(replace(problem, key=_KEYS.get(problem.key, problem.key)) for problem in found.problems)
        return found


_KEYS: Final[Mapping[str, str]] = {
    "pod-cidr": "headroom:aksCluster.podCidr",
    "service-cidr": "headroom:aksCluster.serviceCidr",
    "dns-service-ip": "headroom:aksCluster.dnsServiceIp",
    "node-subnet": "headroom:nodeSubnet.cidrBlock",
    "pool": "headroom:pools",
}
"""Where a value that capacity names stands in the stack file."""
