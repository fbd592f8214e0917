"""How many addresses a zone's subnets have to hold for the nodes that draw from them."""

from collections.abc import Mapping
from dataclasses import dataclass

from headroom.capacity.limits import LARGE_INSTANCE_MAX_PODS, instance_limits
from headroom.capacity.settings import CniSettings
from headroom.capacity.subnet import eks_subnet_size

LEAST_NODES = 2
"""One node in service and one that surges in a rolling upgrade: what any pod subnet has to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneDemand:
    """What a zone needs.

    Attributes:
        addresses: All addresses taken from the zone's subnets, those of network interfaces included.
        nodes: Nodes counted, the surging ones included.
        text: The same in words, as a subject of "need".
    """

    addresses: int
    nodes: int
    text: str


def least_demand() -> ZoneDemand:
    """What a pod subnet has to hold where nothing is known of the nodes: the pods of two full ones."""
    return ZoneDemand(
        addresses=LEAST_NODES * LARGE_INSTANCE_MAX_PODS,
        nodes=LEAST_NODES,
        text=f"the pods of {LEAST_NODES} full nodes, at EKS's cap of {LARGE_INSTANCE_MAX_PODS} each,",
    )


def zone_demand(
    *, nodes: int, surge: int, instance_type: str, pods_per_node: int, environment: Mapping[str, str]
) -> ZoneDemand:
    """What a zone needs with all nodes at `pods_per_node` and a rolling upgrade on the way.

    Raises:
        ProblemsError: The instance type is not known.
    """
    size = eks_subnet_size(
        instance_limits(instance_type),
        CniSettings.from_environment(environment),
        nodes=nodes,
        pods_per_node=pods_per_node,
        surge=surge,
    )
    pods = pods_per_node if size.limited_pods is None else size.limited_pods
    surging = f" and {surge} more in a rolling upgrade" if surge else ""
    return ZoneDemand(
        addresses=size.addresses,
        nodes=size.nodes,
        text=f"{nodes} {instance_type}{surging} at {pods} pods each ({size.addresses_per_node} addresses a node)",
    )
