"""What a node still holds once the pods of a peak have gone.

Interfaces and prefixes come back only when nothing uses them, so it matters which pods leave: means come from
simulated runs, the worst case from a closed form that tests hold to them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.pool import NodePool, NodeShape, node_pool, node_shape
from headroom.capacity.prefixes import ceil_division
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import NODE_SUBNET, Leaving, NodeSimulation

RUNS: Final = 16
"""Simulated runs behind an expected value. Means of recorded runs are met within a prefix or an interface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterPeak:
    """What a node still holds when most pods of a peak have gone.

    Attributes:
        before: The pool at the peak.
        pool: The pool of a node that never had a peak, for comparison.
        enis: Mean of the network interfaces, the primary one included, for the pods that leave as told.
        secondary_addresses: Mean of the secondary addresses.
        prefixes: Mean of the prefixes.
        assigned: Mean of the pods that have an address.
        expected: Mean of ``subnet_addresses``.
        least: Least that was seen in simulated runs.
        most: Most that was seen in simulated runs.
        worst: The most that is possible, whoever leaves: every pod that stays keeps an interface or a prefix of
            its own.
        settles: False where some runs never came to rest.
    """

    before: NodePool
    pool: NodePool
    enis: float
    secondary_addresses: float
    prefixes: float
    assigned: float
    expected: float
    least: int
    most: int
    worst: int
    settles: bool


def after_peak(  # noqa: PLR0913 - a node, two numbers of pods and who leaves
    limits: InstanceLimits,
    settings: CniSettings,
    peak: int,
    pods: int,
    *,
    max_pods: int | None = None,
    leaving: Leaving = "random",
    runs: int = RUNS,
) -> AfterPeak:
    """What a node holds after a peak of pods, once it has come to rest.

    Interfaces and prefixes come back only when nothing uses them, so it matters which pods leave. The expected
    value is the mean of simulated runs.

    Args:
        limits: The node's instance limits.
        settings: aws-node's settings.
        peak: Pods at the peak. Those for which the node can never have an address make no difference.
        pods: Pods that stay, at most ``peak``. Who waits for an address leaves first.
        max_pods: The node's pod capacity; the advised one where it is not given.
        leaving: Which pods leave.
        runs: Simulated runs.

    Raises:
        ValueError: ``pods`` is not between 0 and ``peak``.
    """
    if not 0 <= pods <= peak:
        raise ValueError(f"{pods} pods cannot be what stays of {peak}")
    before = node_pool(limits, settings, peak, max_pods=max_pods)
    pool = node_pool(limits, settings, pods, max_pods=max_pods)
    shape = node_shape(limits, settings, max_pods, idle_primary=settings.custom_networking)
    most_pods = shape.most_slots * shape.slot_size
    states = []
    settles = True
    for seed in range(runs):
        node = _simulation(limits, settings, before.max_pods, seed)
        node.add(min(peak, most_pods))
        settles &= node.settle()
        node.pending.clear()
        node.remove(max(len(node.running) - pods, 0), leaving)
        settles &= node.settle()
        states.append(node.state)
    held = [state.subnet_addresses for state in states]
    return AfterPeak(
        before=before,
        pool=pool,
        enis=_mean(state.enis for state in states),
        secondary_addresses=_mean(state.secondary_addresses for state in states),
        prefixes=_mean(state.prefixes for state in states),
        assigned=_mean(state.assigned for state in states),
        expected=_mean(held),
        least=min(held),
        most=max(held),
        worst=max(_worst_after_peak(shape, settings, before, pool), *held),
        settles=settles,
    )


def _simulation(limits: InstanceLimits, settings: CniSettings, max_pods: int, seed: int) -> NodeSimulation:
    return NodeSimulation(
        limits=limits,
        settings=settings,
        max_pods=max_pods,
        seed=seed,
        eniconfig_subnet=NODE_SUBNET if settings.custom_networking else None,
    )


def _worst_after_peak(node: NodeShape, settings: CniSettings, before: NodePool, pool: NodePool) -> int:
    """Every pod that stays keeps an interface, or a prefix, of its own as far as there are any."""
    pods = pool.assigned
    prefixes_at_peak = before.most_prefixes
    enis_at_peak = before.most_addresses - PREFIX_ADDRESSES * prefixes_at_peak if before.prefixes else before.enis
    if node.slot_size == 1 and not settings.ip_targets_set:
        enis = min(enis_at_peak, max(pool.enis, 1 + pods))
        return enis + (enis - node.primary_idle) * node.slots
    if node.slot_size == 1:
        slots = pool.secondary_addresses
        return slots + min(enis_at_peak, max(pool.enis, 1 + slots))
    used = min(prefixes_at_peak, pods)
    if not settings.ip_targets_set:
        prefixes = min(prefixes_at_peak, used + settings.warm_prefix_target)
        return PREFIX_ADDRESSES * prefixes + min(enis_at_peak, max(pool.enis, 1 + prefixes))
    warm = PREFIX_ADDRESSES * ceil_division(settings.warm_ip_target, PREFIX_ADDRESSES)
    most = min(prefixes_at_peak, max(used, pool.prefixes))
    worst = 0
    for prefixes in range(min(pool.prefixes, most), most + 1):
        addresses = PREFIX_ADDRESSES * prefixes
        # Before an empty interface goes, ipamd looks at the others for WARM_IP_TARGET, rounded up to whole prefixes,
        # and for WARM_PREFIX_TARGET, which has no other effect here.
        stuck = addresses - pods < warm or prefixes - min(prefixes, pods) < settings.warm_prefix_target
        worst = max(worst, addresses + (enis_at_peak if stuck else min(enis_at_peak, max(pool.enis, 1 + prefixes))))
    return worst


def _mean(values: Iterable[int]) -> float:
    listed = tuple(values)
    return sum(listed) / len(listed)
