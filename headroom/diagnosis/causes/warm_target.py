"""Warm targets that keep a pool from growing, or that hold more than the pods use."""

from collections.abc import Collection
from dataclasses import replace

from headroom.capacity.pool import node_pool
from headroom.capacity.settings import DEFAULT_WARM_ENI_TARGET, MANIFEST_VALUES, CniSettings, check_settings
from headroom.diagnosis.cluster import Cluster, Growth, NodeState
from headroom.diagnosis.completeness import missing_pods
from headroom.diagnosis.finding import Finding, cause, said, sentence
from headroom.diagnosis.owners import COOLDOWN, PODS, WARM
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.readings import limits_reader
from headroom.diagnosis.verdict import Cause, Evidence, RootCause
from headroom.facts.values import known

SOURCE = "amazon-vpc-cni-k8s README, MINIMUM_IP_TARGET"

# Rules of check_settings: targets that stop a pool from growing, or aws-node from starting.
_RULES = frozenset({"cni-minimum-without-warm", "cni-prefix-without-target"})


def judge(reading: Reading) -> Finding:
    """Contradictory targets on a failing cluster; live also pools that idle in the exhausted subnets."""
    hits = reading.supporting(RootCause.WARM_TARGET)
    cluster = reading.cluster
    seen = _contradictions(reading)
    nodes: tuple[NodeState, ...] = ()
    if cluster is not None and not hits:
        nodes = tuple(
            state
            for state in cluster.stuck_nodes
            if state.growth is Growth.ROOM and not state.spare and _is_capped(reading, state.addressed)
        )
        if not nodes:
            return Finding(causes=_idle(reading, cluster))
    if not hits and not seen:
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                RootCause.WARM_TARGET,
                hits=hits,
                seen=seen,
                nodes=nodes,
                summary=f"{seen[0].what}: {seen[0].value}" if seen else sentence(hits[0].signature.means),
            ),
        )
    )


def _contradictions(reading: Reading) -> list[Evidence]:
    environment, version = reading.environment, reading.version
    starting = reading.of("ipamd-not-starting", "ipamd-hangs-at-start", "aws-node-unhealthy")
    if environment is None or not (
        reading.symptoms or starting or (reading.cluster is not None and reading.cluster.stuck)
    ):
        return []
    problems, _ = check_settings(environment, version or _ANY_VERSION)
    found = []
    for problem in problems:
        if problem.rule not in _RULES:
            continue
        if problem.rule == "cni-prefix-without-target" and not (reading.is_live or "WARM_PREFIX_TARGET" in environment):
            continue  # what nobody mentioned is as the stock manifest has it: 1
        pods, least = known(reading.stated.pods_on_node), reading.settings.minimum_ip_target if reading.settings else 0
        if problem.rule == "cni-minimum-without-warm" and pods is not None and pods <= least:
            continue
        found.append(said(problem.value, problem.message))
    return found


_ANY_VERSION = "v1.23.0"


def _is_capped(reading: Reading, addressed: int) -> bool:
    settings = reading.settings
    return (
        settings is not None
        and settings.minimum_ip_target > 0
        and settings.warm_ip_target == 0
        and addressed >= settings.minimum_ip_target
    )


def _are_raised(settings: CniSettings | None, cluster: Cluster, subnets: Collection[str]) -> bool:
    """Whether the warm targets that govern make nodes of the subnets hold more than the stock manifest's would.

    Those are one interface, or one prefix. WARM_IP_TARGET and MINIMUM_IP_TARGET may ask for less than these, and beside
    either of them WARM_ENI_TARGET and WARM_PREFIX_TARGET have no effect, whatever they say (amazon-vpc-cni-k8s,
    pkg/ipamd/ipamd.go, datastoreTargetState).
    """
    if settings is None:
        return False
    if settings.ip_targets_set:
        stock = replace(
            settings,
            warm_ip_target=0,
            minimum_ip_target=0,
            warm_eni_target=DEFAULT_WARM_ENI_TARGET,
            warm_prefix_target=int(MANIFEST_VALUES["WARM_PREFIX_TARGET"]),
        )
        return _held(settings, cluster, subnets) > _held(stock, cluster, subnets)
    if settings.prefix_delegation:
        return settings.warm_prefix_target > int(MANIFEST_VALUES["WARM_PREFIX_TARGET"])
    return settings.warm_eni_target > DEFAULT_WARM_ENI_TARGET


def _held(settings: CniSettings, cluster: Cluster, subnets: Collection[str]) -> int:
    """Addresses that the nodes with interfaces in the subnets hold by the capacity model, as far as they are known."""
    limits_of = limits_reader(cluster.snapshot)
    held = 0
    for use in cluster.holdings.nodes.values():
        limits = limits_of(use.node)
        if limits is not None and any(each.subnet_id in subnets for each in use.interfaces):
            held += node_pool(limits, settings, use.addressed, max_pods=known(use.node.max_pods)).subnet_addresses
    return held


def _idle(reading: Reading, cluster: Cluster) -> tuple[Cause, ...]:
    """Pools that hold more idle addresses than pods use, in subnets that are exhausted, because somebody chose so.

    What the stock manifest's targets hold is no setting's fault: then the subnets are too small, and `history` says how
    much is idle.
    """
    short = tuple(state for state in cluster.stuck_nodes if state.growth is Growth.SUBNET)
    subnets = sorted({subnet for state in short for subnet in state.subnets})
    if not subnets or not cluster.interfaces_known or not _are_raised(reading.settings, cluster, subnets):
        return ()
    idle = used = 0
    for subnet in subnets:
        owners = cluster.holdings.by_owner(subnet)
        idle += owners[WARM] + owners[COOLDOWN]
        used += owners[PODS]
    missing = sum(len(state.stuck) for state in short)
    # What a pod has that was not listed looks idle.
    if idle <= used or idle < missing or missing_pods(cluster.kubernetes) is not None:
        return ()
    return (
        cause(
            reading,
            RootCause.WARM_TARGET,
            seen=[
                Evidence(
                    what="idle addresses of the nodes' pools",
                    where=", ".join(subnets),
                    value=f"{idle:,} idle, {used:,} used by pods",
                    threshold="more idle than used",
                    source="amazon-vpc-cni-k8s README, WARM_ENI_TARGET",
                )
            ],
            nodes=short,
            subnets=subnets,
            summary=f"The nodes' pools hold {idle:,} idle addresses of the exhausted subnets, and {used:,} that pods "
            "use.",
        ),
    )
