"""A version of the VPC CNI that cannot do what the cluster asks of it."""

from headroom.capacity.cni_version import (
    CLUSTER_TAG_MOVED,
    FULL_SUBNET_FIXED,
    SECURITY_GROUP_DISCOVERY_REVERTED,
    SUBNET_DISCOVERY,
    SUBNET_EXCLUDED,
    SUBNET_ROLE_TAG,
    check_cni_version,
)
from headroom.diagnosis.cluster import Cluster, Growth, NodeState
from headroom.diagnosis.finding import Finding, cause, counted, said, sentence
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut
from headroom.facts.values import known, known_or

_SECURITY_GROUPS_SOURCE = "amazon-vpc-cni-k8s #3704, #3705"


def judge(reading: Reading) -> Finding:
    """What is written of it, a limits table that is wrong for the instance type, and versions with known faults."""
    hits = [*reading.supporting(Detail.CNI_VERSION), *_wrong_limits(reading)]
    seen: list[Evidence] = []
    nodes: tuple[NodeState, ...] = ()
    told = ""
    version = reading.version
    if version is not None and SUBNET_DISCOVERY <= version < FULL_SUBNET_FIXED:
        source = "amazon-vpc-cni-k8s #2908, #2959"
        fault = f"{version}: makes no new interface while the subnet of one that it has is full"
        if reading.cluster is not None:
            nodes = tuple(state for state in reading.cluster.stuck_nodes if state.growth is Growth.VERSION)
            seen += [
                Evidence(
                    what="VPC CNI", where=state.node.name, value=fault, threshold=str(FULL_SUBNET_FIXED), source=source
                )
                for state in nodes
            ]
        elif _refused_by_subnet(reading) and reading.said(
            r"tag|second(?:ary)? (?:subnet|cidr)|other subnet|new subnet|discovery"
        ):
            seen.append(
                Evidence(what="VPC CNI", where="said", value=fault, threshold=str(FULL_SUBNET_FIXED), source=source)
            )
    if version is not None and version < SUBNET_DISCOVERY and reading.cluster is not None:
        unused, nodes = _unused_pod_subnets(reading.cluster)
        if unused:
            told = (
                f"{version}: knows no subnet discovery, and leaves {sum(free for _, free in unused):,} free addresses "
                f"of {counted(len(unused), 'tagged subnet')} unused."
            )
        seen += [
            Evidence(
                what="VPC CNI",
                where=f"{subnet} in {reading.cluster.zone_of(subnet)}",
                value=f"{version}: knows no subnet discovery, and leaves {free:,} free addresses of it unused",
                threshold=str(SUBNET_DISCOVERY),
                source="amazon-vpc-cni-k8s README, ENABLE_SUBNET_DISCOVERY",
            )
            for subnet, free in unused
        ]
    hangs = reading.of("ipamd-not-starting", "ipamd-hangs-at-start")
    if version is not None and hangs and CLUSTER_TAG_MOVED <= version < SECURITY_GROUP_DISCOVERY_REVERTED:
        seen.append(
            said(
                "VPC CNI",
                f"{version} calls ec2:DescribeSecurityGroups at start, and hangs without that permission",
                threshold=str(SECURITY_GROUP_DISCOVERY_REVERTED),
            )
        )
        hits += hangs
    if hits or seen:
        return Finding(
            causes=(
                cause(
                    reading,
                    Detail.CNI_VERSION,
                    hits=hits,
                    seen=seen,
                    nodes=nodes,
                    summary=told or (f"{seen[0].value}." if seen else sentence(hits[0].signature.means)),
                ),
            )
        )
    return Finding(ruled_out=_ruled_out(reading))


def _unused_pod_subnets(cluster: Cluster) -> tuple[list[tuple[str, int]], tuple[NodeState, ...]]:
    """Subnets tagged for pods that have room and that no node uses, in zones where nodes lack it; and these nodes."""
    short = tuple(state for state in cluster.stuck_nodes if state.growth is Growth.SUBNET)
    zones = {known(state.node.zone) for state in short}
    in_use = {subnet for state in short for subnet in state.subnets}
    wanted = min((state.wanted for state in short), default=1)
    unused = [
        (subnet.subnet_id, free)
        for subnet in cluster.subnets.values()
        if known_or(subnet.tags, {}).get(SUBNET_ROLE_TAG, SUBNET_EXCLUDED) not in ("", SUBNET_EXCLUDED)
        and known(subnet.zone) in zones
        and subnet.subnet_id not in in_use
        and (free := known_or(subnet.available_addresses, 0)) >= wanted
    ]
    return unused, short if unused else ()


def _ruled_out(reading: Reading) -> tuple[RuledOut, ...]:
    if reading.version is None:
        return ()
    problems, _ = check_cni_version(reading.version)
    if problems:
        return ()
    return (
        RuledOut(cause=Detail.CNI_VERSION, by=f"{reading.version} has no known fault with full subnets or at start"),
    )


def _refused_by_subnet(reading: Reading) -> bool:
    return bool(
        reading.of(
            "subnet-without-addresses", "subnet-without-addresses-text", "subnet-refused-recently", "subnet-seems-empty"
        )
    )


def _wrong_limits(reading: Reading) -> list[Hit]:
    """Lines in which ipamd believes that an interface can have more addresses than EC2 allows for the type."""
    limits = reading.limits
    if limits is None:
        return []
    return [hit for hit in reading.of("interface-fill") if int(hit.match.groups["maximum"]) > limits.secondary_per_eni]
