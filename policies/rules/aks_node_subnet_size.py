"""A subnet has an address for every node that its pools may get."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headroom.addresses.azure import azure_usable_addresses
from headroom.addresses.blocks import Block, listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.overlay import FLAT_DEFAULT_MAX_PODS, AksPool
from headroom.capacity.subnet import SubnetSize, aks_flat_subnet_size, aks_node_subnet_size
from policies.aks import (
    AUTO_PROVISIONED_NODES,
    CLUSTER_TYPES,
    Mode,
    Pool,
    Pools,
    auto_provisioned,
    network_mode,
    pool_size,
    pools_of,
)
from policies.findings import Finding, Undecided
from policies.nodes import whole_number
from policies.resources import AKS_CLUSTER, Resource, Resources
from policies.vnet import NODE_SUBNETS, SUBNET_TYPES, Subnet, Subnets

NAME = "aks-node-subnet-size"
DESCRIPTION = "A subnet holds all nodes of its pools at their maxima, an upgrade on the way, and pods that live in it."
TYPES = (*CLUSTER_TYPES, *SUBNET_TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("aks", "capacity")
REMEDIATION = (
    "Write a larger addressPrefix (of an empty subnet: a used one cannot be resized), lower maxCount or maxSurge, or "
    "move pods to an overlay, where a node takes one address. `headroom calc subnet --aks-node-subnet` shows the sum."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "nodeSubnets": NODE_SUBNETS,
    "autoProvisionedNodes": AUTO_PROVISIONED_NODES,
    "loadBalancerAddresses": {
        "type": "integer",
        "minimum": 0,
        "description": "Front ends of internal load balancers in each node subnet",
    },
}


@dataclass(slots=True)
class _Asked:
    """What is asked of one subnet."""

    name: str
    block: Block | Undecided | ProblemsError
    resource: Resource
    key: str
    addresses: int = 0
    texts: list[str] = field(default_factory=list)


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Subnets that their pools can outgrow.

    Stops: a scale-out, or an upgrade that needs surge nodes, which ends in SubnetIsFull or InsufficientSubnetSize
    while the pool's maximum says that there is room; in a flat network a node takes its pods' addresses too.
    """
    judge = _Judge(resources, config)
    for cluster in resources.of_type(AKS_CLUSTER):
        judge.cluster(cluster)
    for pool in judge.pools.elsewhere:
        judge.pool(pool, Undecided("networkProfile of its cluster", "is not part of this stack."))
    yield from judge.unread
    yield from judge.verdicts()


class _Judge:
    def __init__(self, resources: Resources, config: Mapping[str, Any]) -> None:
        self._config = config
        self._subnets = Subnets(resources)
        self._asked: dict[tuple[str, str], _Asked] = {}
        given = config.get("nodeSubnets")
        self._outside = {str(id_).casefold(): cidr for id_, cidr in given.items()} if isinstance(given, Mapping) else {}
        self.pools: Pools = pools_of(resources)
        self.unread: list[Finding] = []

    def cluster(self, cluster: Resource) -> None:
        """Counts a cluster's pools."""
        mode = network_mode(cluster)
        self.unread.extend(
            Finding(cluster, unknown, "agentPoolProfiles") for unknown in self.pools.undecided.get(cluster.urn, ())
        )
        pools = self.pools.of_cluster[cluster.urn]
        for pool in pools:
            self.pool(pool, mode)
        more = auto_provisioned(cluster, NAME, self._config)
        if isinstance(more, Undecided):
            self.unread.append(Finding(cluster, more, "nodeProvisioningProfile"))
        elif more is not None and pools:
            # They join the subnet of the cluster, which its first pool is in.
            self._count(pools[0], more, mode)

    def pool(self, pool: Pool, mode: Mode | Undecided) -> None:
        """Counts one pool."""
        size = pool_size(pool)
        if isinstance(size, AksPool):
            self._count(pool, size, mode)
        else:
            for verdict in size:
                unknown = verdict if isinstance(verdict, Undecided) else None
                reason = "cannot be read: overlay-capacity says what is wrong with it."
                said = unknown or Undecided(pool.at("upgradeSettings.maxSurge"), reason)
                self.unread.append(Finding(pool.resource, said, pool.key))

    def _count(self, pool: Pool, size: AksPool, mode: Mode | Undecided) -> None:
        where = self._subnets.referred(pool.resource, pool.at("vnetSubnetID"))
        if where is None:
            return  # AKS makes the VNet, and its subnet as large as it has to be
        asked = self._place(pool, where)
        needed = _addresses(pool, size, mode)
        if isinstance(asked, Undecided):
            self.unread.append(Finding(pool.resource, asked, pool.key))
        elif isinstance(needed, Undecided):
            self.unread.append(Finding(pool.resource, needed, pool.key))
        else:
            asked.addresses += needed.addresses
            pods = "" if needed.addresses_per_node == 1 else f" of {needed.addresses_per_node:,}"
            asked.texts.append(f"{size.name} {needed.nodes:,} nodes{pods}")

    def _place(self, pool: Pool, where: list[Subnet] | str | Undecided) -> _Asked | Undecided:
        if isinstance(where, Undecided):
            return where
        if isinstance(where, str):
            cidr = self._outside.get(where.casefold())
            if cidr is None:
                reason = f"is not part of this stack: set nodeSubnets for {NAME}."
                return Undecided(f"the CIDR of {where}", reason)
            block = _configured(cidr)
            return self._asked.setdefault(("", where.casefold()), _Asked(where, block, pool.resource, pool.key))
        if len(where) > 1:
            names = listed(subnet.name for subnet in where)
            return Undecided(f"which of {names} pool {pool.name} is in")
        subnet = where[0]
        key = "subnets" if subnet.path else "addressPrefix"
        return self._asked.setdefault(subnet.key, _Asked(subnet.name, subnet.block(), subnet.resource, key))

    def verdicts(self) -> Iterator[Finding]:
        """What is said of the subnets."""
        balancers = whole_number(self._config, "loadBalancerAddresses") or 0
        for asked in self._asked.values():
            block = asked.block
            if isinstance(block, Undecided):
                yield Finding(asked.resource, block, asked.key)
            elif isinstance(block, ProblemsError):
                reason = "cannot be read: aks-ranges says what is wrong with it."
                yield Finding(asked.resource, Undecided(f"the CIDR of {asked.name}", reason), asked.key)
            elif asked.addresses + balancers > azure_usable_addresses(block):
                yield Finding(asked.resource, _problem(asked, block, asked.addresses + balancers), asked.key)


def _addresses(pool: Pool, size: AksPool, mode: Mode | Undecided) -> SubnetSize | Undecided:
    """What the pool's nodes take of their subnet at its largest."""
    if isinstance(mode, Undecided):
        return mode
    surge = size.surge.of(size.most)
    # Pods with a subnet of their own, whichever it is, take nothing of the nodes'.
    if mode != "flat" or pool.read("podSubnetID", object) is not None:
        return aks_node_subnet_size(nodes=size.most, surge=surge)
    most = FLAT_DEFAULT_MAX_PODS if size.max_pods is None else size.max_pods
    return aks_flat_subnet_size(nodes=size.most, max_pods=most, surge=surge)


def _configured(cidr: object) -> Block | Undecided:
    try:
        return Block.parse(cidr)  # type: ignore[arg-type]  # what is no text is refused there too
    except ProblemsError as error:
        return Undecided(f"nodeSubnets {shown(cidr)}", f"cannot be read: {error.problems[0]}")


def _problem(asked: _Asked, block: Block, needed: int) -> Problem:
    size = aks_node_subnet_size(nodes=0, surge=0, load_balancer_addresses=needed)
    step = f"Write a /{size.prefix_length} or larger, or lower the maxima of the pools."
    if size.subnets > 1:
        step = "No subnet is that large: lower the maxima of the pools, or move pods to an overlay."
    return Problem(
        rule=NAME,
        value=f"{block} of {asked.name}",
        reason=f"has {azure_usable_addresses(block):,} addresses, and its pools at their largest need {needed:,} with "
        f"surge ({listed(asked.texts)}): AKS answers InsufficientSubnetSize, target vnetSubnetID.",
        next_step=step,
        source="Azure/AKS CHANGELOG, 2023-05-07; AKS documentation, concepts-network-ip-address-planning",
    )
