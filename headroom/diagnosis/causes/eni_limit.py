"""The node has all network interfaces that its type allows, and every address on them is in use."""

import re

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import HOST_NETWORK_PODS
from headroom.diagnosis.cluster import Cluster, Growth
from headroom.diagnosis.finding import NODE_INTERFACES, Finding, cause, counted, said
from headroom.diagnosis.reading import POOL_STATS, Hit, Reading
from headroom.diagnosis.verdict import Evidence, RootCause, RuledOut
from headroom.facts.values import NOT_COLLECTED, known

ROUTINE = ("interface-limit-reached", "no-room-for-interface")
"""What ipamd writes of a full node, whether or not a pod waits for it."""

SOURCE = "amazon-vpc-cni-k8s, pkg/vpc/vpc_ip_resource_limit.go"
_TOLD = (
    r"\b(?:enis?|(?:network )?interfaces?)\b.{0,20}\b(?:limit|maximum|max)\b.{0,20}\b(?:reached|hit|exceeded|used up)\b"
    r"|\b(?:reached|hit|exceeded|at) (?:the |its |their )?(?:max(?:imum)? )?(?:number of )?"
    r"(?:enis?\b|network interfaces?\b|interfaces?\b)(?! (?:quota|of the account))"
    r"|\bmax(?:imum)? (?:number of )?(?:enis?|network interfaces?)\b.{0,20}\breached\b"
    r"|\ball (?:of )?(?:its |the )?(?:enis?|network interfaces?)\b.{0,20}\b(?:reached|attached|in use|used)\b"
)
"""What people write of a node that has all the interfaces of its type."""


def judge(reading: Reading) -> Finding:
    """Every slot of every interface filled, or what EC2 and ipamd write of it."""
    hits = tuple(
        hit
        for hit in reading.supporting(RootCause.ENI_LIMIT)
        if not _had_addresses_since(reading, hit) and not _denied_nobody(reading, hit)
    )
    cluster = reading.cluster
    if cluster is None:
        return _written(reading, hits)
    return _seen(reading, cluster, hits)


def _written(reading: Reading, hits: tuple[Hit, ...]) -> Finding:
    seen = _said(reading)
    if not hits and not seen:
        return Finding(needed=(NODE_INTERFACES,) if reading.symptoms and reading.cloud in ("aws", None) else ())
    found = cause(reading, RootCause.ENI_LIMIT, hits=hits, seen=seen, summary=_summary(reading))
    if seen or reading.symptoms or not all(hit.signature.name in ROUTINE for hit in hits):
        return Finding(causes=(found,))
    # A node that is full writes so all the time, though nobody waits for it: only who picked the line out means it.
    return Finding(causes=(found,)) if reading.snapshot.kubernetes in (None, NOT_COLLECTED) else Finding()


def _seen(reading: Reading, cluster: Cluster, hits: tuple[Hit, ...]) -> Finding:
    nodes = cluster.stuck_nodes
    full = tuple(state for state in nodes if state.growth is Growth.LIMIT and not state.spare)
    if full:
        return Finding(
            causes=(
                cause(
                    reading,
                    RootCause.ENI_LIMIT,
                    hits=tuple(hit for hit in hits if known(hit.line.node) in {state.node.name for state in full}),
                    seen=[
                        Evidence(
                            what="network interfaces",
                            where=state.node.name,
                            value=f"{state.interfaces} of {state.max_interfaces} that "
                            f"{known(state.node.instance_type)} allows; "
                            f"{counted(state.addressed, 'pod')} with an address, {len(state.stuck)} without",
                            threshold=f"{state.max_interfaces}",
                            source=SOURCE,
                        )
                        for state in full
                    ],
                    nodes=full,
                    summary=f"{counted(len(full), 'node')} with stuck pods, of {len(nodes)}, reached the number of "
                    "interfaces that the type allows, and every address on them is in use.",
                ),
            )
        )
    if nodes and all(state.growth is not Growth.UNKNOWN for state in nodes):
        count = len(nodes)
        slots = (
            "every node with stuck pods has a free slot" if count > 1 else "the node with stuck pods has a free slot"
        )
        if all(state.growth is not Growth.LIMIT for state in nodes):
            return Finding(ruled_out=(RuledOut(cause=RootCause.ENI_LIMIT, by=slots),))
        return Finding()
    # What was not seen may still be written, in the logs of the nodes in question.
    unseen = {state.node.name for state in nodes if state.growth is Growth.UNKNOWN and not state.spare}
    hits = tuple(hit for hit in hits if known(hit.line.node) in unseen)
    if hits:
        return Finding(causes=(cause(reading, RootCause.ENI_LIMIT, hits=hits, summary=_summary(reading)),))
    return Finding(needed=(NODE_INTERFACES,) if cluster.stuck else ())


def _had_addresses_since(reading: Reading, hit: Hit) -> bool:
    """Whether the pool had addresses that no pod used, after it had reached its limit: then the limit denies nobody."""
    return any(
        int(stats.match.groups["total"]) > int(stats.match.groups["assigned"]) and not hit.is_after(stats)
        for stats in reading.pool_stats_where(hit)
    )


def _denied_nobody(reading: Reading, hit: Hit) -> bool:
    """Whether ipamd on the hit's node counts that no pod asked in vain: being full then denies nobody."""
    pool = reading.pools.get(known(hit.line.node) or "")
    return pool is not None and known(pool.no_available_addresses) == 0


def _summary(reading: Reading) -> str:
    limits = reading.limits
    if limits is None:
        return "The node has all network interfaces that its type allows."
    return f"The node has all network interfaces that its type allows: {limits.instance_type} has {limits.enis}."


def _said(reading: Reading) -> list[Evidence]:
    """Figures that were told or logged and leave no address: as many pods as the type can give addresses."""
    limits, settings = reading.limits, reading.settings
    if not reading.symptoms:
        return []
    told = reading.told(_TOLD) if reading.cloud in ("aws", None) else None
    if told is not None and not re.search(r"account|region|quota", told, re.IGNORECASE):
        return [said("network interfaces of the node", told)]
    if limits is None:
        return []
    prefixes = settings is not None and settings.prefix_delegation and limits.supports_prefixes
    custom = settings is not None and settings.custom_networking
    interfaces = limits.enis if settings is None or settings.max_eni is None else min(limits.enis, settings.max_eni)
    capacity = (interfaces - (1 if custom else 0)) * limits.secondary_per_eni * (PREFIX_ADDRESSES if prefixes else 1)
    found = []
    pods = known(reading.stated.pods_on_node)
    if pods is not None and pods >= capacity + HOST_NETWORK_PODS:
        found.append(
            said("pods on the node", pods, threshold=f"{limits.instance_type} has {capacity} addresses for pods")
        )
    told = reading.said(rf"(?<!\d){capacity} (?:secondary|addresses|ips?\b|private)")
    if told is not None:
        found.append(said("addresses on the node", told, threshold=f"{limits.instance_type} has {capacity} for pods"))
    for hit in reading.of(*POOL_STATS):
        total, assigned = int(hit.match.groups["total"]), int(hit.match.groups["assigned"])
        if total == assigned == capacity:
            found.append(
                Evidence(
                    what=hit.match.text,
                    where=known(hit.line.node) or hit.line.origin.value,
                    value=f"{assigned} of {total} addresses in use",
                    threshold=f"{limits.instance_type} has {capacity} for pods",
                    source=SOURCE,
                )
            )
            break
    return found
