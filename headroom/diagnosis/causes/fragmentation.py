"""Prefix delegation finds no whole free /28, although addresses are free."""

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.diagnosis.cluster import Cluster, Growth
from headroom.diagnosis.finding import SUBNET_FREE, Finding, cause, counted, free_addresses, said
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut
from headroom.facts.values import known

SOURCE = "amazon-vpc-cni-k8s #2749, #3105; VPC user guide, subnet-cidr-reservation"
_TOLD = r"(?<!not )(?<!no )\bfragment(?:ed|ation)\b|\bno (?:more |free |whole |contiguous |available )*/28"
"""What people write of a subnet with free addresses and no whole prefix."""


def judge(reading: Reading) -> Finding:
    """A refused prefix with free addresses left; or the /28 map of the subnets that the stuck nodes use."""
    cluster = reading.cluster
    if cluster is not None and cluster.stuck:
        found = _seen(reading, cluster)
        if found is not None:
            return found
    refused = refused_prefixes(reading)
    told = reading.told(_TOLD) if reading.symptoms and takes_prefixes(reading) else None
    none_free = reading.symptoms and takes_prefixes(reading) and known(reading.stated.subnet_free_prefixes) == 0
    if not (refused or none_free or told is not None):
        return Finding(ruled_out=_ruled_out(reading))
    free = reading.free_addresses
    if free is not None and free < PREFIX_ADDRESSES:
        return Finding(ruled_out=(RuledOut(cause=Detail.FRAGMENTATION, by=f"only {free} addresses are free"),))
    if free is None and not reading.free_addresses_shown and not takes_prefixes(reading):
        return Finding(needed=(SUBNET_FREE,))
    seen = []
    if free is not None:
        seen.append(free_addresses(reading, threshold=f"a /28 is {PREFIX_ADDRESSES}"))
    elif reading.free_addresses_shown:
        seen.append(said("free addresses of the subnet", "some, not counted"))
    if known(reading.stated.subnet_free_prefixes) == 0:
        seen.append(said("free /28 blocks of the subnet", 0))
    if told is not None:
        seen.append(said("subnet", told))
    return Finding(
        causes=(
            cause(
                reading,
                Detail.FRAGMENTATION,
                hits=refused,
                seen=seen,
                summary="The subnet has no whole free /28 for prefix delegation"
                + (f", with {free:,} addresses free." if free is not None else "."),
            ),
        ),
        needed=() if seen else (SUBNET_FREE,),
    )


def refused_prefixes(reading: Reading) -> tuple[Hit, ...]:
    """What is written of prefixes that EC2 refused; of the vaguer wordings only with prefix delegation on."""
    hits = reading.of("no-free-prefix", "no-free-prefix-for-interface")
    if hits:
        return (*hits, *reading.of("subnet-seems-empty", "subnet-refused-recently"))
    if takes_prefixes(reading) and (reading.free_addresses_shown or (reading.free_addresses or 0) >= PREFIX_ADDRESSES):
        return reading.of("subnet-seems-empty", "subnet-refused-recently")
    return ()


def takes_prefixes(reading: Reading) -> bool:
    """Whether nodes take prefixes: by their settings, or because ipamd writes of them."""
    if reading.settings is not None and "ENABLE_PREFIX_DELEGATION" in (reading.environment or {}):
        return reading.settings.prefix_delegation
    if reading.said(r"prefix.?delegation.{0,40}(?:true|on|enabled)|\bPD\b.{0,20}(?:true|on|enabled)"):
        return True
    return any("PD enabled - true" in line.text or "Prefix pool stats" in line.text for line in reading.lines) or bool(
        reading.of("no-free-prefix")
    )


def _seen(reading: Reading, cluster: Cluster) -> Finding | None:
    """What the map of the subnets shows; ``None`` where it shows nothing either way."""
    nodes = tuple(state for state in cluster.stuck_nodes if state.growth is Growth.FRAGMENTED)
    if not nodes:
        all_known = all(state.growth is not Growth.UNKNOWN for state in cluster.stuck_nodes)
        return Finding(ruled_out=_ruled_out(reading)) if all_known else None
    subnets = sorted({subnet for state in nodes for subnet in state.subnets})
    seen = [
        Evidence(
            what="/28 map",
            where=subnet,
            value=f"{cluster.free(subnet):,} addresses free, {cluster.free_blocks(subnet)} whole /28s",
            threshold="one /28",
            source=SOURCE,
        )
        for subnet in subnets
    ]
    return Finding(
        causes=(
            cause(
                reading,
                Detail.FRAGMENTATION,
                hits=refused_prefixes(reading),
                seen=seen,
                nodes=nodes,
                subnets=subnets,
                summary=f"{counted(len(nodes), 'node')} without a prefix: their subnets have free addresses but no "
                "whole /28.",
            ),
        )
    )


def _ruled_out(reading: Reading) -> tuple[RuledOut, ...]:
    if reading.settings is None:
        return ()
    if not reading.settings.prefix_delegation:
        return (RuledOut(cause=Detail.FRAGMENTATION, by="prefix delegation is off: single addresses are enough"),)
    return ()
