"""What a node gives back to its subnets once pods have left it.

Freed addresses go to the node's own pool first; what leaves the node depends on the mode, and on where the pods lay
that stay (amazon-vpc-cni-k8s v1.23.0, ``pkg/ipamd/ipamd.go``, decreaseDatastorePool and tryUnassign…; the forms are
held to simulated nodes by tests).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.pool import node_pool
from headroom.capacity.settings import CniSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceUse:
    """One network interface of a node, and how many pods are to stay on it.

    Attributes:
        primary: Whether the node booted with it: it never goes.
        secondary_addresses: Its secondary addresses.
        prefixes: Its /28 prefixes.
        pods: Pods that stay with an address of it.
        used_prefixes: Prefixes of it in which a pod stays.
    """

    primary: bool
    secondary_addresses: int = 0
    prefixes: int = 0
    pods: int = 0
    used_prefixes: int = 0

    @property
    def addresses(self) -> int:
        """Everything it holds of its subnet, its own address included."""
        return 1 + self.secondary_addresses + PREFIX_ADDRESSES * self.prefixes


def released_addresses(
    limits: InstanceLimits,
    settings: CniSettings,
    interfaces: Sequence[InterfaceUse],
    *,
    max_pods: int | None = None,
    schedulable: bool = True,
) -> int:
    """Addresses that a node gives back, at least, once its pool has come to rest with the pods that stay.

    - Default mode gives whole interfaces only, those that no pod uses, down to what the settings keep warm.
    - With WARM_IP_TARGET or MINIMUM_IP_TARGET single addresses go back; interfaces that empty may follow and are not
      counted.
    - With prefixes those that no pod uses go back, down to what the settings keep warm.

    Args:
        limits: The node's instance limits.
        settings: aws-node's settings.
        interfaces: Its interfaces, with the pods that stay.
        max_pods: Its pod capacity; the advised one where it is not given.
        schedulable: False for a cordoned node, which frees no interface.
    """
    pool = node_pool(limits, settings, sum(each.pods for each in interfaces), max_pods=max_pods)
    if settings.prefix_delegation and limits.supports_prefixes:
        used = sum(each.used_prefixes for each in interfaces)
        kept = max(used, pool.prefixes) if settings.ip_targets_set else used + settings.warm_prefix_target
        return PREFIX_ADDRESSES * max(0, sum(each.prefixes for each in interfaces) - kept)
    if settings.ip_targets_set:
        return max(0, sum(each.secondary_addresses for each in interfaces) - pool.secondary_addresses)
    if not schedulable:
        return 0
    empty = sorted(each.addresses for each in interfaces if not each.primary and not each.pods)
    # Which of the empty ones go is left to chance where not all do: the smallest are the least.
    return sum(empty[: max(0, len(interfaces) - pool.enis)])
