"""The subnets that a node may use have not the addresses that its next step asks for."""

from headroom.addresses.blocks import usable_addresses
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.diagnosis.causes.fragmentation import takes_prefixes
from headroom.diagnosis.cluster import Cluster, Growth, NodeState
from headroom.diagnosis.finding import IPAMD_LOG, SUBNET_FREE, Finding, cause, counted, free_addresses, said
from headroom.diagnosis.owners import block_of
from headroom.diagnosis.reading import LARGEST_REQUEST, POOL_STATS, Hit, Reading
from headroom.diagnosis.verdict import Evidence, Needed, RootCause, RuledOut
from headroom.facts.values import known

COMMON_REQUEST = 15
"""Addresses that a new interface asks for on the xlarge types (EC2 limits): taken where nobody said which type."""

WHICH_SUBNET = Needed(
    reading="the subnet that EC2 named when it refused, and its free addresses at that moment",
    decides="whether the free addresses that were counted are those of the subnet that is used",
    command=SUBNET_FREE.command,
)


def judge(reading: Reading) -> Finding:
    """EC2's counts of the subnets that the stuck nodes may use; else EC2's refusals, or a count that was told."""
    cluster = reading.cluster
    if cluster is not None:
        return _seen(reading, cluster)
    return _written(reading)


# What is seen.


def _seen(reading: Reading, cluster: Cluster) -> Finding:
    nodes = tuple(
        state
        for state in cluster.stuck_nodes
        if state.growth is Growth.SUBNET
        # A node at its limit in a full subnet has two causes: a higher limit alone would not help it.
        or (state.growth is Growth.LIMIT and state.subnets_short and not state.spare)
    )
    if nodes:
        subnets = sorted({subnet for state in nodes for subnet in state.subnets})
        return Finding(
            causes=(
                cause(
                    reading,
                    RootCause.SUBNET_EXHAUSTION,
                    hits=_refusals(reading),
                    seen=[_free(cluster, subnet, nodes) for subnet in subnets],
                    nodes=nodes,
                    subnets=subnets,
                    summary=_summary(cluster, nodes, subnets),
                ),
            )
        )
    unknown = [state for state in cluster.stuck_nodes if state.growth is Growth.UNKNOWN]
    if cluster.stuck_nodes and not unknown:
        if any(state.growth is Growth.LIMIT and state.subnets_short is None for state in cluster.stuck_nodes):
            return Finding(needed=(SUBNET_FREE,))
        return Finding(ruled_out=(RuledOut(cause=RootCause.SUBNET_EXHAUSTION, by=_not_short(cluster)),))
    found = _written(reading)
    if cluster.stuck and not found.causes and not cluster.subnets_known:
        return Finding(needed=(SUBNET_FREE, *found.needed))
    return found if cluster.stuck or cluster.unscheduled else Finding()


def _not_short(cluster: Cluster) -> str:
    """Which reading says that the subnets of the nodes with stuck pods are not exhausted."""
    growths = {state.growth for state in cluster.stuck_nodes}
    if growths == {Growth.ROOM}:
        return "every node with stuck pods could still get addresses of its subnets"
    if Growth.FRAGMENTED in growths:
        return "the subnets have free addresses, only no whole /28 of them"
    return "the subnets of the nodes with stuck pods have free addresses"


def _free(cluster: Cluster, subnet_id: str, nodes: tuple[NodeState, ...]) -> Evidence:
    subnet = cluster.subnets[subnet_id]
    block = block_of(subnet)
    usable = f" of {usable_addresses(block):,}" if block is not None else ""
    wanted = max(state.wanted for state in nodes if subnet_id in state.subnets)
    used_by = sum(len(state.stuck) for state in nodes if subnet_id in state.subnets)
    return Evidence(
        what="AvailableIpAddressCount",
        where=f"{subnet_id} in {known(subnet.zone) or 'an unknown zone'}",
        value=f"{cluster.free(subnet_id):,} free{usable}; {used_by} stuck pods on nodes that use it",
        threshold="one address" if wanted == 1 else f"a new interface asks for {wanted} at once",
        source="EC2 API reference, DescribeSubnets; amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go",
    )


def _summary(cluster: Cluster, nodes: tuple[NodeState, ...], subnets: list[str]) -> str:
    pods = sum(len(state.stuck) for state in nodes)
    free = max((cluster.free(subnet) or 0 for subnet in subnets), default=0)
    wanted = max(state.wanted for state in nodes)
    has = "has" if len(subnets) == 1 else "have"
    left = (
        f"{has} no free address"
        if free == 0
        else f"{has} at most {free} free, and a new interface asks for {wanted} at once"
    )
    return (
        f"{counted(pods, 'pod')} without an address on {counted(len(nodes), 'node')} whose "
        f"{counted(len(subnets), 'subnet')} {left}."
    )


# What is written or told.

_OUT_OF = r"\b(?:ran|running|run) out of (?:free |spare |available |private )*(?:ips?\b|ip addresses|addresses)"
_RAN_OUT = (
    rf"subnets?\b.{{0,60}}(?<!not )(?<!never )(?<!without )(?:{_OUT_OF}|\bexhausted|\bused up)"
    rf"|{_OUT_OF} in .{{0,40}}subnet"
    r"|\bno (?:more |free |available |spare |left )+(?:ips?\b|ip addresses|addresses).{0,30}subnet"
    r"|subnets?\b.{0,40}\b(?:no|zero|0) (?:more |free |available |spare )+(?:ips?\b|ip addresses|addresses)"
)
"""What people write of a subnet that has no address left."""


def _refusals(reading: Reading) -> tuple[Hit, ...]:
    return (
        *reading.supporting(RootCause.SUBNET_EXHAUSTION),
        *reading.supporting(RootCause.SUBNET_EXHAUSTION, weak=True),
        *reading.of("subnet-refused-recently"),
    )


def _written(reading: Reading) -> Finding:
    free = reading.free_addresses
    strong = reading.supporting(RootCause.SUBNET_EXHAUSTION)
    vague = (
        *reading.supporting(RootCause.SUBNET_EXHAUSTION, weak=True),
        *reading.of("subnet-refused-recently", "no-free-prefix", "no-free-prefix-for-interface"),
    )
    seen = _told(reading)
    if strong:
        if (free is not None and free >= LARGEST_REQUEST) or (free is None and reading.free_addresses_shown):
            return Finding(needed=(WHICH_SUBNET,), contradiction=True)
        return _found(reading, (*strong, *vague), seen)
    if seen and (vague or reading.symptoms) and reading.cloud in ("aws", None):
        return _found(reading, (*vague, *reading.symptoms), seen)
    if vague:
        return _vague(reading, vague)
    return _symptoms(reading)


def _symptoms(reading: Reading) -> Finding:
    """What the bare failure leaves open."""
    free = reading.free_addresses
    if reading.symptoms and reading.cloud in ("aws", None):
        if free is not None:
            return Finding(
                ruled_out=(
                    RuledOut(cause=RootCause.SUBNET_EXHAUSTION, by=f"{free:,} addresses of the subnet are free"),
                ),
                needed=(IPAMD_LOG,),
            )
        return Finding(needed=(SUBNET_FREE, IPAMD_LOG))
    return Finding()


def _vague(reading: Reading, vague: tuple[Hit, ...]) -> Finding:
    """What ipamd says of a subnet that seems to be short: of addresses, as far as it does not take prefixes."""
    weak = reading.supporting(RootCause.SUBNET_EXHAUSTION, weak=True)
    off = reading.settings is not None and not reading.settings.prefix_delegation
    if (weak and not takes_prefixes(reading)) or (off and reading.of("no-free-prefix-for-interface")):
        if reading.free_addresses_shown or (reading.free_addresses or 0) >= LARGEST_REQUEST:
            return Finding(needed=(WHICH_SUBNET,), contradiction=True)
        return _found(reading, vague, [])
    return Finding(needed=(SUBNET_FREE,))


def _told(reading: Reading) -> list[Evidence]:
    """A count of free addresses that is too small for the next step of ipamd."""
    free = reading.free_addresses
    if free is None:
        told = reading.told(_RAN_OUT)
        return [said("subnet", told)] if told is not None and not reading.free_addresses_shown else []
    wanted = _wanted(reading)
    if free >= wanted:
        return []
    threshold = "one address" if wanted == 1 or free == 0 else f"a new interface asks for {wanted} at once"
    return [free_addresses(reading, threshold=threshold)]


def _wanted(reading: Reading) -> int:
    if takes_prefixes(reading):
        return PREFIX_ADDRESSES
    settings, limits = reading.settings, reading.limits
    if settings is not None and settings.ip_targets_set:
        return 1
    asked = limits.ipv4_per_eni if limits is not None else COMMON_REQUEST
    # A pool that never got anything, beside a subnet that holds just one request: the next node has taken it.
    empty = any(hit.match.groups["total"] == "0" for hit in reading.of(*POOL_STATS))
    return asked + 1 if empty else asked


def _found(reading: Reading, hits: tuple[Hit, ...], seen: list[Evidence]) -> Finding:
    free = reading.free_addresses
    told = f": {free} free" if free is not None and seen else ""
    return Finding(
        causes=(
            cause(
                reading,
                RootCause.SUBNET_EXHAUSTION,
                hits=hits,
                seen=seen,
                summary=f"The subnet has not the addresses that are asked of it{told}.",
            ),
        ),
        needed=() if seen else (_also(SUBNET_FREE),),
    )


def _also(needed: Needed) -> Needed:
    """The same reading where it would only add to the verdict."""
    return Needed(
        reading=needed.reading,
        decides="how many addresses are missing",
        command=needed.command,
        changes_verdict=False,
    )
