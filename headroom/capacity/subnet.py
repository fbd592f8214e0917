"""How large a subnet has to be: nodes, their pods, surge and growth, on EKS and on AKS."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from headroom.addresses.azure import AZURE_RESERVED_ADDRESSES, AZURE_SUBNET_PREFIX_LENGTHS
from headroom.addresses.blocks import (
    ADDRESS_BITS,
    AWS_PREFIX_LENGTHS,
    AWS_RESERVED_ADDRESSES,
)
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import InstanceLimits, max_pods
from headroom.capacity.pool import NodePool, node_pool
from headroom.capacity.settings import CniSettings

EDGE_ADDRESSES: Final = 2 * PREFIX_ADDRESSES - AWS_RESERVED_ADDRESSES
"""Usable addresses of the first and the last /28 of a subnet, which can never become prefixes: room for the
interfaces' own addresses (EKS best practices, prefix-mode)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetSize:
    """The smallest subnet that holds what is asked for.

    Attributes:
        addresses: What has to find room.
        nodes: The nodes that were reckoned with: growth and surge included.
        addresses_per_node: What each of them takes.
        prefix_length: Of the subnet; of the largest that there is where even that is too small.
        usable: Addresses of such a subnet that can be used.
        subnets: How many of them are needed: 1, unless no subnet is large enough.
        free28: Whole aligned /28s among the addresses; 0 where nodes take single addresses.
        limited_pods: Pods of a node that were reckoned with, where it cannot run as many as asked for.
    """

    addresses: int
    nodes: int
    addresses_per_node: int
    prefix_length: int
    usable: int
    subnets: int = 1
    free28: int = 0
    limited_pods: int | None = None

    @property
    def headroom(self) -> int:
        """Addresses that stay free, in all of them together."""
        return self.subnets * self.usable - self.addresses


def nodes_with_growth(nodes: int, growth_percent: Fraction | int) -> int:
    """Nodes after they have grown by so many percent; a part of a node counts as one."""
    return -int(-nodes * (100 + Fraction(growth_percent)) // 100)


def eks_subnet_size(  # noqa: PLR0913 - the terms of the sum
    limits: InstanceLimits,
    settings: CniSettings,
    *,
    nodes: int,
    pods_per_node: int,
    surge: int = 0,
    growth_percent: Fraction | int = 0,
    node_max_pods: int | None = None,
) -> SubnetSize:
    """The subnet from which all nodes of a zone take the addresses of their interfaces and pods.

    With custom networking it is the subnet of the ENIConfig: the nodes' own addresses lie in another one.

    Under prefix delegation the first and the last /28 hold interfaces' own addresses, and so does every further
    /28 that is broken for them; that EC2 fills broken ones first is the best case, which a CIDR reservation of the
    type `prefix` makes sure of.

    Args:
        limits: The nodes' instance limits.
        settings: aws-node's settings.
        nodes: Nodes today.
        pods_per_node: Pods on the pod network of each.
        surge: Nodes more during a rolling upgrade.
        growth_percent: By how many percent the nodes may grow.
        node_max_pods: The nodes' pod capacity; the advised one where it is not given.
    """
    if node_max_pods is None:
        node_max_pods = max_pods(
            limits, prefix_delegation=settings.prefix_delegation, custom_networking=settings.custom_networking
        ).value
    pods = min(pods_per_node, node_max_pods)
    pool = node_pool(limits, settings, pods, max_pods=node_max_pods)
    total = nodes_with_growth(nodes, growth_percent) + surge
    size = eks_size_of_pools({pool: total}, custom_networking=settings.custom_networking)
    served = min(pool.assigned, pods)
    return replace(size, limited_pods=served if served < pods_per_node else None)


def eks_size_of_pools(pools: Mapping[NodePool, int], *, custom_networking: bool = False) -> SubnetSize:
    """The subnet for so many nodes of each kind of pool."""
    elsewhere = 1 if custom_networking else 0
    nodes = sum(pools.values())
    addresses = sum(count * (pool.most_addresses - elsewhere) for pool, count in pools.items())
    prefixes = sum(count * pool.most_prefixes for pool, count in pools.items())
    interfaces = sum(count * (pool.enis - elsewhere) for pool, count in pools.items())
    per_node = max((pool.most_addresses - elsewhere for pool in pools), default=0)
    if prefixes == 0:
        return _smallest(addresses, nodes, per_node, AWS_PREFIX_LENGTHS, AWS_RESERVED_ADDRESSES)
    broken = max(0, -(-(interfaces - EDGE_ADDRESSES) // PREFIX_ADDRESSES))
    # The two edges and what is broken count as whole /28s.
    room = (2 + broken + prefixes) * PREFIX_ADDRESSES
    size = _smallest(
        max(addresses, room - AWS_RESERVED_ADDRESSES), nodes, per_node, AWS_PREFIX_LENGTHS, AWS_RESERVED_ADDRESSES
    )
    return replace(size, addresses=addresses, free28=prefixes)


def aks_node_subnet_size(
    *, nodes: int, surge: int, growth_percent: Fraction | int = 0, load_balancer_addresses: int = 0
) -> SubnetSize:
    """The subnet of the nodes of an AKS cluster whose pods are elsewhere: one address a node.

    Source: AKS documentation, concepts-network-azure-cni-overlay.

    Args:
        nodes: Nodes today, or the autoscalers' maxima.
        surge: Nodes more during an upgrade.
        growth_percent: By how many percent the nodes may grow.
        load_balancer_addresses: Front ends of internal load balancers, which are in the same subnet.
    """
    total = nodes_with_growth(nodes, growth_percent) + surge
    addresses = total + load_balancer_addresses
    return _smallest(addresses, total, 1, AZURE_SUBNET_PREFIX_LENGTHS, AZURE_RESERVED_ADDRESSES)


def aks_flat_subnet_size(
    *,
    nodes: int,
    max_pods: int,
    surge: int,
    growth_percent: Fraction | int = 0,
    load_balancer_addresses: int = 0,
) -> SubnetSize:
    """The subnet of nodes and pods of an AKS cluster with a flat network: each node takes all its pods' addresses.

    Source: AKS documentation, concepts-network-ip-address-planning.

    Args:
        nodes: Nodes today, or the autoscalers' maxima.
        max_pods: The pools' maxPods, which Azure CNI reserves whether the pods run or not.
        surge: Nodes more during an upgrade.
        growth_percent: By how many percent the nodes may grow.
        load_balancer_addresses: Front ends of internal load balancers, which are in the same subnet.
    """
    total = nodes_with_growth(nodes, growth_percent) + surge
    addresses = total * (1 + max_pods) + load_balancer_addresses
    return _smallest(addresses, total, 1 + max_pods, AZURE_SUBNET_PREFIX_LENGTHS, AZURE_RESERVED_ADDRESSES)


def smallest_prefix_length(addresses: int) -> int:
    """Prefix length of the smallest AWS subnet with so many usable addresses; of the largest where none suffices."""
    return _smallest(addresses, 0, 0, AWS_PREFIX_LENGTHS, AWS_RESERVED_ADDRESSES).prefix_length


def _smallest(addresses: int, nodes: int, per_node: int, lengths: range, reserved: int) -> SubnetSize:
    """The smallest subnet with so many usable addresses, or as many of the largest as are needed."""
    needed = ADDRESS_BITS - (addresses + reserved - 1).bit_length()
    prefix_length = min(max(needed, lengths[0]), lengths[-1])
    usable = (1 << (ADDRESS_BITS - prefix_length)) - reserved
    return SubnetSize(
        addresses=addresses,
        nodes=nodes,
        addresses_per_node=per_node,
        prefix_length=prefix_length,
        usable=usable,
        subnets=max(1, -(-addresses // usable)),
    )
