"""What the planner knows of an AKS cluster: the snapshot, read for planning, with what was not read named."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Final

from headroom.addresses.azure import PAST_NAT
from headroom.addresses.blocks import Block
from headroom.addresses.problems import ProblemsError
from headroom.capacity.overlay import AksPool
from headroom.diagnosis.aks import Aks, Mode, sized
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.readings import waiting_pods
from headroom.facts.azure import (
    AgentPool,
    Azure,
    AzureSubnet,
    ManagedCluster,
    NetworkProfile,
    NetworkSecurityGroup,
    VirtualNetwork,
    part_of,
    resource_name,
    same_resource,
)
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, is_known, items, known, known_or

_DEFAULT_ROUTE: Final = Block.parse("0.0.0.0/0")


@dataclass(frozen=True, slots=True, kw_only=True)
class AksSituation:
    """An AKS cluster as a planner sees it; empty and ``None`` mean unknown.

    Attributes:
        snapshot: The facts.
        aks: The same, as the diagnosis reads them.
        azure: What Azure says.
        managed: The cluster.
        network: Its network profile.
        cluster: Its name.
        group: Its resource group.
        subscription: Its subscription.
        location: Its region.
        stuck_pods: Pods that were scheduled and have no address, as namespace/name.
    """

    snapshot: Snapshot
    aks: Aks
    azure: Azure
    managed: ManagedCluster | None
    network: NetworkProfile
    cluster: str
    group: str
    subscription: str
    location: str
    stuck_pods: tuple[str, ...]

    @property
    def mode(self) -> Mode | None:
        """How its pods get addresses; ``None``: not known."""
        return self.aks.mode

    @property
    def pools(self) -> tuple[AgentPool, ...]:
        """Its node pools, by name."""
        return self.aks.pools

    @property
    def nodes(self) -> int:
        """Its nodes."""
        return len(self.aks.nodes)

    @property
    def subnets(self) -> tuple[AzureSubnet, ...]:
        """All subnets of its VNets."""
        return tuple(subnet for vnet in items(self.azure.vnets) for subnet in items(vnet.subnets))

    @property
    def node_subnets(self) -> tuple[AzureSubnet, ...]:
        """The subnets of its nodes, as far as they were read."""
        found = (self.aks.subnet(each) for each in self.aks.node_subnet_ids)
        return tuple(subnet for subnet in found if subnet is not None)

    @property
    def own_vnet(self) -> bool | None:
        """Whether its VNet is the user's, and not one that AKS manages; ``None``: not known."""
        if not is_known(self.azure.pools) or any(isinstance(pool.node_subnet_id, Unknown) for pool in self.pools):
            return None
        return bool(self.pools) and all(pool.node_subnet_id for pool in self.pools)

    @property
    def vnet(self) -> VirtualNetwork | None:
        """The VNet of its nodes; ``None``: not known, or several."""
        homes = [vnet for vnet in items(self.azure.vnets) if any(self._is_home(each) for each in items(vnet.subnets))]
        return homes[0] if len(homes) == 1 else None

    @property
    def foreign_vnet(self) -> str:
        """The subscription of its VNet where it is another one than the cluster's; empty: it is the same, or unknown.

        The stacks make a gateway, a subnet and a cluster in one subscription.
        """
        home = part_of(self.vnet.vnet_id, "subscriptions") if self.vnet is not None else ""
        return home if self.subscription and home.lower() != self.subscription.lower() else ""

    def _is_home(self, subnet: AzureSubnet) -> bool:
        return any(same_resource(subnet.subnet_id, each) for each in self.aks.node_subnet_ids)

    @property
    def groups(self) -> tuple[NetworkSecurityGroup, ...] | Unknown:
        """The network security groups of the nodes' subnets; unknown where one is."""
        found = []
        for subnet in self.node_subnets:
            if isinstance(subnet.security_group_id, Unknown):
                return subnet.security_group_id
            if subnet.security_group_id is None:
                continue
            if isinstance(self.azure.security_groups, Unknown):
                return self.azure.security_groups
            group = next(
                (
                    each
                    for each in items(self.azure.security_groups)
                    if same_resource(each.group_id, subnet.security_group_id)
                ),
                None,
            )
            if group is None:
                return Unknown(detail=f"{resource_name(subnet.security_group_id)} is not among the groups read")
            found.append(group)
        return tuple({group.group_id.lower(): group for group in found}.values())

    @property
    def policy(self) -> str:
        """Its network policy engine; `none` without one; empty: not known."""
        if isinstance(self.network.network_policy, Unknown):
            return ""
        return self.network.network_policy or "none"

    @property
    def pools_sized(self) -> tuple[AksPool, ...] | None:
        """The pools at their largest; ``None``: one of them is not known."""
        if not is_known(self.azure.pools):
            return None
        found = [sized(pool, default=self.aks.default_surge) for pool in self.pools]
        return None if not found or None in found else tuple(pool for pool in found if pool is not None)

    @property
    def most_nodes(self) -> int | None:
        """Nodes of all pools at their largest, an upgrade of all of them on the way; ``None``: not known."""
        found = self.pools_sized
        return None if found is None else sum(pool.most_with_surge for pool in found)

    @property
    def wanted_nodes(self) -> int | None:
        """Nodes that a range must carry: those of `most_nodes`, and of what Azure has refused; ``None``: not known."""
        most = self.most_nodes
        return None if most is None else max(most, self.aks.nodes_refused)

    @property
    def most_with_maximum(self) -> int | None:
        """Nodes of all pools at their largest, without surge; ``None``: not known."""
        found = self.pools_sized
        return None if found is None else sum(pool.most for pool in found)

    @property
    def peers(self) -> tuple[Block, ...]:
        """Ranges of peered VNets."""
        return tuple(
            block
            for vnet in items(self.azure.vnets)
            for peering in items(vnet.peerings)
            for block in blocks_of(peering.remote_prefixes)
        )

    @property
    def routed(self) -> tuple[Block, ...]:
        """Destinations of the route tables that are no node's pods and not everything."""
        own = block_of(known(self.network.pod_cidr))
        found = set()
        for table in items(self.azure.route_tables):
            for route in items(table.routes):
                block = block_of(route.prefix)
                if block is not None and block != _DEFAULT_ROUTE and not (own is not None and own.contains(block)):
                    found.add(block)
        return tuple(sorted(found))

    @property
    def default_route(self) -> str:
        """Name of a node subnet's route that takes what leaves the VNet to an appliance; empty: none was read.

        Such a route wins over a NAT gateway (Azure NAT Gateway documentation, nat-overview).
        """
        for table in self.aks.route_tables:
            for route in items(table.routes):
                if block_of(route.prefix) == _DEFAULT_ROUTE and known(route.next_hop_type) in PAST_NAT:
                    return f"{table.name}/{route.name}"
        return ""

    @property
    def routes_unread(self) -> tuple[str, ...]:
        """Names of node subnets of which not every route was read: a default route may be among them."""
        read = {table.route_table_id.lower() for table in self.aks.route_tables if is_known(table.routes)}
        return tuple(
            subnet.name
            for subnet in self.node_subnets
            if isinstance(subnet.route_table_id, Unknown)
            or (subnet.route_table_id is not None and subnet.route_table_id.lower() not in read)
        )

    @property
    def _outbound(self) -> dict[str, str]:
        """The addresses and prefixes that the cluster leaves by, by the ARM id of each; empty texts were not read."""
        balancer, nat = known(self.network.load_balancer), known(self.network.nat_gateway)
        ids = [*(items(balancer.effective_outbound_ip_ids) if balancer else ())]
        ids += items(nat.effective_outbound_ip_ids) if nat else ()
        for gateway in items(self.azure.nat_gateways):
            ids += [*items(gateway.public_ip_ids), *items(gateway.public_prefix_ids)]
        by_id = {each.address_id.lower(): known(each.address) for each in items(self.azure.public_addresses)}
        by_id |= {each.prefix_id.lower(): known(each.prefix) for each in items(self.azure.public_prefixes)}
        return {each: by_id.get(each.lower()) or "" for each in ids}

    @property
    def outbound_addresses(self) -> tuple[str, ...]:
        """The public addresses and prefixes that the cluster is seen with; empty: not read."""
        return tuple(sorted({text for text in self._outbound.values() if text}))

    @property
    def outbound_unread(self) -> tuple[str, ...]:
        """Names of public addresses and prefixes that it is seen with too and that were not read."""
        return tuple(sorted({resource_name(each) for each, text in self._outbound.items() if not text}))

    @property
    def where(self) -> str:
        """Options of `az aks` that name the cluster."""
        return f"{self.aks.within} --name {quote(self.cluster)}"

    @property
    def of_pools(self) -> str:
        """Options of `az aks nodepool` that name the cluster."""
        return f"{self.aks.within} --cluster-name {quote(self.cluster)}"

    @property
    def reached_by(self) -> str:
        """Options of Headroom's commands that reach it."""
        return f"--cloud aks {self.aks.within}"


def read_aks_situation(snapshot: Snapshot) -> AksSituation:
    """Reads a snapshot of AKS for planning."""
    azure = known_or(snapshot.azure, Azure())
    # The diagnosis' own reading, so that plan and diagnosis cannot disagree.
    aks = Reading(snapshot).aks or Aks(snapshot, None)
    managed = known(azure.cluster)
    return AksSituation(
        snapshot=snapshot,
        aks=aks,
        azure=azure,
        managed=managed,
        network=aks.network,
        cluster=managed.name if managed is not None else known_or(snapshot.cluster, ""),
        group=known_or(azure.resource_group, ""),
        subscription=known_or(azure.subscription_id, ""),
        location=(known(managed.location) if managed is not None else None) or known_or(azure.location, ""),
        stuck_pods=tuple(sorted(f"{pod.namespace}/{pod.name}" for pod in waiting_pods(snapshot))),
    )


def unread_networks(situation: AksSituation) -> Iterator[str]:
    """What a new range must not overlap and was not read, in words."""
    azure = situation.azure
    facts: list[tuple[str, object]] = [("the VNets", azure.vnets), ("the route tables", azure.route_tables)]
    for vnet in items(azure.vnets):
        facts += [
            (f"the address space of {vnet.name}", vnet.prefixes),
            (f"the subnets of {vnet.name}", vnet.subnets),
            (f"the peerings of {vnet.name}", vnet.peerings),
        ]
        facts += [(f"the CIDR of {vnet.name}/{each.name}", each.prefixes) for each in items(vnet.subnets)]
        facts += [
            (f"the address space behind the peering {each.name}", each.remote_prefixes) for each in items(vnet.peerings)
        ]
    facts += [(f"the routes of {table.name}", table.routes) for table in items(azure.route_tables)]
    yield from (f"{what}: {fact}" for what, fact in facts if isinstance(fact, Unknown))


def foundations(situation: AksSituation) -> dict[str, str]:
    """The facts that a plan of an AKS cluster rests on, as texts."""
    managed, network = situation.managed, situation.network
    found = {
        "cloud": "azure",
        "subscription": situation.subscription.lower(),
        "resource group": situation.group.lower(),
        "cluster": situation.cluster,
        "region": situation.location,
        "Kubernetes": _text(managed.current_kubernetes_version if managed else Unknown()),
        "identity": _text(managed.identity_type if managed else Unknown()),
        "authorized ranges": _text(managed.authorized_ranges if managed else Unknown()),
        "VNets": _text(
            situation.azure.vnets, lambda: ", ".join(sorted(vnet.name for vnet in items(situation.azure.vnets)))
        ),
        "node pools": _text(situation.azure.pools, lambda: ", ".join(pool.name for pool in situation.pools)),
    }
    for name in (
        "network_plugin",
        "network_plugin_mode",
        "network_policy",
        "network_dataplane",
        "pod_cidr",
        "service_cidr",
        "dns_service_ip",
        "outbound_type",
    ):
        found[f"networkProfile {name.replace('_', ' ')}"] = _text(getattr(network, name))
    for pool in situation.pools:
        found[f"pool {pool.name}"] = ", ".join(
            f"{name} {_text(fact)}"
            for name, fact in (
                ("maximum", pool.maximum),
                ("maxPods", pool.max_pods),
                ("surge", pool.max_surge),
                ("size", pool.vm_size),
                ("node subnet", pool.node_subnet_id),
                ("pod subnet", pool.pod_subnet_id),
            )
        )
    for vnet in items(situation.azure.vnets):
        found[f"VNet {vnet.name}"] = _text(vnet.prefixes)
        for peering in items(vnet.peerings):
            found[f"peering {vnet.name}/{peering.name}"] = _text(peering.remote_prefixes)
        for subnet in items(vnet.subnets):
            found[f"subnet {vnet.name}/{subnet.name}"] = subnet_state(subnet)
    for group in items(situation.azure.security_groups):
        rules = sorted(items(group.rules), key=lambda rule: (rule.direction, rule.priority))
        found[f"security group {group.name}"] = _text(
            group.rules,
            lambda rules=rules: ", ".join(f"{each.direction} {each.priority} {each.access}" for each in rules),
        )
    return found


def subnet_state(subnet: AzureSubnet) -> str:
    """What a subnet has, as one text: equal texts, nothing lost."""
    return json.dumps(
        {
            "prefixes": _text(subnet.prefixes),
            "routeTable": _text(subnet.route_table_id).lower(),
            "securityGroup": _text(subnet.security_group_id).lower(),
            "natGateway": _text(subnet.nat_gateway_id).lower(),
            "delegations": _text(subnet.delegations),
            "serviceEndpoints": _text(subnet.service_endpoints),
        },
        sort_keys=True,
    )


def _text(fact: object, told: "object" = None) -> str:
    if isinstance(fact, Unknown):
        return "unknown"
    if callable(told):
        return str(told())
    if fact is None:
        return "none"
    if isinstance(fact, Mapping):
        return ", ".join(f"{name}={value}" for name, value in sorted(fact.items()))
    if isinstance(fact, tuple):
        return ", ".join(sorted(map(str, fact)))
    return str(fact)


def block_of(text: str | None) -> Block | None:
    """An IPv4 block; ``None`` for what is none."""
    if text is None or "/" not in text or ":" in text:
        return None
    try:
        return Block.parse(text)
    except ProblemsError:
        return None


def blocks_of(fact: object) -> tuple[Block, ...]:
    """The IPv4 blocks of a list that was read."""
    texts = fact if isinstance(fact, tuple) else ()
    return tuple(block for text in texts if (block := block_of(str(text))) is not None)
