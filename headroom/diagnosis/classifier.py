"""The verdict: every cause's module is asked, then what made what, and what is still needed.

The order is that in which the causes hide each other: what keeps ipamd from running, then its version, throttling,
limits, the subnets, and last the pool's own targets. The same snapshot gives the same diagnosis.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from headroom.capacity.overlay import KUBENET_RETIRES
from headroom.diagnosis.aks import Mode
from headroom.diagnosis.causes import (
    auto_mode,
    cni_version,
    config,
    cooldown,
    eni_limit,
    fragmentation,
    host_local_leak,
    iam,
    ipamd_failure,
    leaked_enis,
    max_pods,
    node_subnet_full,
    overlay_node_block,
    pod_cidr_exhausted,
    pod_subnet_exhausted,
    regional_quota,
    route_limit,
    snat_exhaustion,
    subnet_exhaustion,
    throttling,
    warm_target,
)
from headroom.diagnosis.completeness import unread, unread_of_nodes
from headroom.diagnosis.finding import CNS_STATE, IPAM_STATE, IPAMD_LOG, POD_EVENTS, Finding
from headroom.diagnosis.history import history
from headroom.diagnosis.impact import escalations, impact
from headroom.diagnosis.not_ip import not_ip, speaks_against, unexplained
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Cause, Detail, Diagnosis, Needed, NotIp, RootCause, RuledOut, Verdict
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, known, known_or

MODULES: Final[tuple[Callable[[Reading], Finding], ...]] = (
    iam.judge,
    config.judge,
    auto_mode.judge,
    ipamd_failure.judge,
    cni_version.judge,
    throttling.judge,
    regional_quota.judge,
    max_pods.judge,
    eni_limit.judge,
    leaked_enis.judge,
    fragmentation.judge,
    subnet_exhaustion.judge,
    node_subnet_full.judge,
    pod_subnet_exhausted.judge,
    pod_cidr_exhausted.judge,
    host_local_leak.judge,
    overlay_node_block.judge,
    route_limit.judge,
    cooldown.judge,
    warm_target.judge,
    snat_exhaustion.judge,
)
"""The modules in the order in which causes hide each other."""

AKS_MODULES: Final[tuple[Callable[[Reading], Finding], ...]] = (
    config.judge,
    ipamd_failure.judge,
    max_pods.judge,
    node_subnet_full.judge,
    pod_subnet_exhausted.judge,
    pod_cidr_exhausted.judge,
    host_local_leak.judge,
    overlay_node_block.judge,
    route_limit.judge,
    snat_exhaustion.judge,
)
"""Those of a cluster that was read of AKS: the others judge the VPC CNI, which it does not have."""

_SUBNET_SIDE: Final = (RootCause.SUBNET_EXHAUSTION.value, f"{RootCause.SUBNET_EXHAUSTION}/{Detail.FRAGMENTATION}")
_NO_MORE_NODES: Final = tuple(
    f"{RootCause.SUBNET_EXHAUSTION}/{detail}"
    for detail in (Detail.NODE_SUBNET_FULL, Detail.POD_CIDR_EXHAUSTED, Detail.ROUTE_LIMIT)
)
"""Causes for which no further node comes, so that those that are there fill up."""
_BARE_IPAMD: Final = RootCause.IPAMD_FAILURE.value


def diagnose(snapshot: Snapshot) -> Diagnosis:
    """Why pods get no address, with its evidence; `undecided` where the facts do not say.

    Args:
        snapshot: The facts: of a live cluster, of a bundle, or of a case file.
    """
    reading = Reading(snapshot)
    findings = [judge(reading) for judge in (MODULES if reading.aks is None else AKS_MODULES)]
    others = not_ip(reading)
    causes = [each for finding in findings for each in finding.causes]
    if not causes and not (speaks_against(reading) and not reading.symptoms):
        causes = [each for finding in findings for each in finding.fallback][:1]
    causes = _in_order(_related(causes))
    verdict = _verdict(reading, causes, others)
    ruled_out = _ruled_out(findings, causes)
    return Diagnosis(
        verdict=verdict,
        causes=tuple(replace(each, ruled_out=ruled_out) for each in causes),
        not_ip=others if verdict is not Verdict.HEALTHY else (),
        ruled_out=ruled_out,
        impact=impact(snapshot, causes, aks=reading.aks),
        history=history(snapshot) if reading.is_live and reading.aks is None else None,
        needed=_needed(reading, verdict, findings),
        escalations=escalations(snapshot, causes, aks=reading.aks) if causes or verdict is Verdict.UNDECIDED else (),
        cluster=known_or(snapshot.cluster, ""),
        cloud=known_or(snapshot.cloud, ""),
        collected_at=known_or(snapshot.collected_at, ""),
        retires=KUBENET_RETIRES if reading.aks is not None and reading.aks.mode is Mode.KUBENET else "",
    )


# Causes among each other.


def _related(causes: Sequence[Cause]) -> list[Cause]:
    """Says which cause made which, and leaves out what another one explains altogether."""
    names = {each.name for each in causes}
    found = []
    for each in causes:
        if each.name == _BARE_IPAMD and (keeper := _keeps_ipamd_down(causes)) is not None:
            del keeper  # its evidence is told with the cause that keeps ipamd down
            continue
        if each.detail is Detail.COOLDOWN and names & {*_SUBNET_SIDE, RootCause.ENI_LIMIT.value}:
            continue
        if each.detail is Detail.FRAGMENTATION and RootCause.SUBNET_EXHAUSTION.value in names:
            continue
        found.append(replace(each, made_by=each.made_by or _maker(each, names)))
    return found


def _keeps_ipamd_down(causes: Sequence[Cause]) -> Cause | None:
    details = (Detail.IAM, Detail.CONFIG, Detail.CNI_VERSION, Detail.AUTO_MODE)
    return next(
        (
            each
            for each in causes
            if each.detail in details or (each.root_cause is RootCause.WARM_TARGET and each.detail is None)
        ),
        None,
    )


def _maker(cause: Cause, names: set[str]) -> str | None:
    """The cause that made this one, where both are found."""
    if cause.detail is Detail.THROTTLING:
        # A full subnet is asked again and again: hundreds of calls a node in ten minutes.
        return next((name for name in _SUBNET_SIDE if name in names), None)
    if cause.name in _SUBNET_SIDE:
        makers = (f"{RootCause.SUBNET_EXHAUSTION}/{Detail.LEAKED_ENIS}", RootCause.WARM_TARGET.value)
        return next((name for name in makers if name in names), None)
    if cause.detail is Detail.MAX_PODS:
        # The nodes that are there may well be full: more were to come, and cannot be launched.
        return next((name for name in _NO_MORE_NODES if name in names), None)
    if cause.detail is Detail.NODE_SUBNET_FULL and RootCause.SUBNET_EXHAUSTION.value in names:
        return RootCause.SUBNET_EXHAUSTION.value
    return None


def _in_order(causes: Sequence[Cause]) -> list[Cause]:
    """A cause after the one that made it, else in the order of the modules."""
    left = list(causes)
    ordered: list[Cause] = []
    while left:
        done = {each.name for each in ordered}
        pending = {each.name for each in left}
        index = next(
            (
                position
                for position, each in enumerate(left)
                if each.made_by is None or each.made_by in done or each.made_by not in pending
            ),
            0,
        )
        ordered.append(left.pop(index))
    return ordered


def _ruled_out(findings: Sequence[Finding], causes: Sequence[Cause]) -> tuple[RuledOut, ...]:
    found = {each.detail or each.root_cause for each in causes}
    excluded = [each for finding in findings for each in finding.ruled_out if each.cause not in found]
    return tuple({each.cause: each for each in reversed(excluded)}.values())[::-1]


# The verdict.


def _verdict(reading: Reading, causes: Sequence[Cause], others: Sequence[NotIp]) -> Verdict:
    if causes:
        return Verdict.FOUND
    cluster = reading.cluster
    if cluster is not None:
        if cluster.stuck:
            return Verdict.UNDECIDED
        if others and not (cluster.unscheduled and _nodes_may_be_refused(reading)):
            return Verdict.NOT_IP
        return Verdict.UNDECIDED if cluster.unscheduled or unread(reading) else Verdict.HEALTHY
    if others and not reading.symptoms and not unexplained(reading) and not _nodes_may_be_refused(reading):
        return Verdict.NOT_IP
    return Verdict.UNDECIDED


def _nodes_may_be_refused(reading: Reading) -> bool:
    """Whether a further node of AKS may find no address for all that was read: what pods wait for is a node."""
    if reading.aks is not None:
        return any(unread_of_nodes(reading.aks))
    # The cluster was read, and Azure, which would have refused the node, was not.
    return reading.cloud == "azure" and known(reading.snapshot.kubernetes) is not None


def _needed(reading: Reading, verdict: Verdict, findings: Sequence[Finding]) -> tuple[Needed, ...]:
    asked = [each for finding in findings for each in finding.needed]
    if verdict in (Verdict.HEALTHY, Verdict.NOT_IP):
        return ()
    if verdict is Verdict.FOUND:
        asked = [replace(each, changes_verdict=False) for each in asked]
    else:
        asked += [replace(needed, unknown=unknown) for needed, unknown in unread(reading)]
        cluster = reading.cluster
        if cluster is not None and not isinstance(cluster.kubernetes.events, Unknown):
            asked.append(IPAMD_LOG if reading.aks is None else CNS_STATE)
        elif not reading.symptoms or cluster is not None:
            asked.append(POD_EVENTS)
        if not any(each.changes_verdict for each in asked):
            asked.append(IPAM_STATE)
    return tuple({each.reading: each for each in reversed(asked)}.values())[::-1]
