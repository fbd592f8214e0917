"""A version of the VPC CNI that cannot do what the cluster asks of it."""

from headroom.capacity.cni_version import (
    CLUSTER_TAG_MOVED,
    FULL_SUBNET_FIXED,
    SECURITY_GROUP_DISCOVERY_REVERTED,
    SUBNET_DISCOVERY,
    check_cni_version,
)
from headroom.diagnosis.cluster import Growth
from headroom.diagnosis.finding import Finding, cause, said
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut

_SECURITY_GROUPS_SOURCE = "amazon-vpc-cni-k8s #3704, #3705"


def judge(reading: Reading) -> Finding:
    """What is written of it, a limits table that is wrong for the instance type, and versions with known faults."""
    hits = [*reading.supporting(Detail.CNI_VERSION), *_wrong_limits(reading)]
    seen: list[Evidence] = []
    nodes = ()
    version = reading.version
    if version is not None and SUBNET_DISCOVERY <= version < FULL_SUBNET_FIXED:
        source = "amazon-vpc-cni-k8s #2908, #2959"
        fault = f"{version}: makes no new interface while the subnet of one that it has is full"
        if reading.cluster is not None:
            nodes = tuple(state for state in reading.cluster.stuck_nodes if state.growth is Growth.VERSION)
            seen += [
                Evidence(what="VPC CNI", where=state.node.name, value=fault, threshold=str(FULL_SUBNET_FIXED), source=source)
                for state in nodes
            ]
        elif _refused_by_subnet(reading) and reading.said(r"tag|second(?:ary)? (?:subnet|cidr)|other subnet|new subnet|discovery"):
            seen.append(Evidence(what="VPC CNI", where="said", value=fault, threshold=str(FULL_SUBNET_FIXED), source=source))
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
                    summary=f"{seen[0].value}." if seen else f"{hits[0].signature.means[:1].upper()}{hits[0].signature.means[1:]}.",
                ),
            )
        )
    return Finding(ruled_out=_ruled_out(reading))


def _ruled_out(reading: Reading) -> tuple[RuledOut, ...]:
    if reading.version is None:
        return ()
    problems, _ = check_cni_version(reading.version)
    if problems:
        return ()
    return (RuledOut(cause=Detail.CNI_VERSION, by=f"{reading.version} has no known fault with full subnets or at start"),)


def _refused_by_subnet(reading: Reading) -> bool:
    return bool(
        reading.of("subnet-without-addresses", "subnet-without-addresses-text", "subnet-refused-recently", "subnet-seems-empty")
    )


def _wrong_limits(reading: Reading) -> list[Hit]:
    """Lines in which ipamd believes that an interface can have more addresses than EC2 allows for the type."""
    limits = reading.limits
    if limits is None:
        return []
    return [
        hit
        for hit in reading.of("interface-fill")
        if int(hit.match.groups["maximum"]) > limits.secondary_per_eni
    ]
