"""Versions of the VPC CNI: which behave how with tagged subnets, and which to leave first.

Sources: aws/amazon-vpc-cni-k8s, ``pkg/awsutils/awsutils.go`` and the issues named at each rule.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import total_ordering

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.ec2 import Subnet

# The tag that lets pods into a subnet (1), or from 1.22.0 on keeps them out (0).
SUBNET_ROLE_TAG = "kubernetes.io/role/cni"
SUBNET_EXCLUDED = "0"
# Cluster scope of a tagged subnet: the first form was read by 1.22.0 only (amazon-vpc-cni-k8s #3647).
CLUSTER_TAG_PREFIX_1_22_0 = "kubernetes.io/cluster/"
CLUSTER_TAG_PREFIX = "cni.networking.k8s.aws/cluster/"
# What the cluster tag is set to. The VPC CNI reads its key only.
CLUSTER_TAG_VALUE = "shared"

_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-eksbuild\.(\d{1,6}))?", re.ASCII)


@total_ordering
@dataclass(frozen=True, slots=True)
class CniVersion:
    """A version of the VPC CNI. EKS build numbers are kept for display and do not count in comparisons.

    Attributes:
        major: Major version.
        minor: Minor version.
        patch: Patch version.
        eks_build: Build number of the managed add-on, or ``None``.
    """

    major: int
    minor: int
    patch: int
    eks_build: int | None = None

    @classmethod
    def parse(cls, text: str) -> "CniVersion":
        """Reads ``v1.19.2``, ``1.19.2`` or ``1.19.2-eksbuild.1``.

        Raises:
            ProblemsError: The text is not such a version.
        """
        match = _VERSION.fullmatch(text.strip())
        if match is None:
            raise ProblemsError(
                [
                    Problem(
                        rule="cni-version-format",
                        value=repr(text),
                        reason="is not a version of the VPC CNI.",
                        next_step="Write it as the image tag or the add-on does: v1.19.2 or v1.19.2-eksbuild.1.",
                    )
                ],
                subject="VPC CNI version",
            )
        build = match.group(4)
        return cls(
            int(match.group(1)),
            int(match.group(2)),
            int(match.group(3)),
            None if build is None else int(build),
        )

    @property
    def _release(self) -> tuple[int, int, int]:
        return (self.major, self.minor, self.patch)

    def __eq__(self, other: object) -> bool:
        return self._release == other._release if isinstance(other, CniVersion) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._release < other._release if isinstance(other, CniVersion) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._release)

    def __str__(self) -> str:
        build = "" if self.eks_build is None else f"-eksbuild.{self.eks_build}"
        return f"v{self.major}.{self.minor}.{self.patch}{build}"


# The release whose pool manager this model was held to.
OBSERVED_VERSION = CniVersion(1, 23, 0)

# ENABLE_SUBNET_DISCOVERY exists and is on by default.
SUBNET_DISCOVERY = CniVersion(1, 18, 0)
# A full subnet no longer keeps the node from a new interface elsewhere (amazon-vpc-cni-k8s #2908, #2959).
FULL_SUBNET_FIXED = CniVersion(1, 18, 3)
# `=0` excludes a subnet; a cluster tag narrows one.
SUBNET_EXCLUSION = CniVersion(1, 22, 0)
CLUSTER_TAG_MOVED = CniVersion(1, 22, 1)
SECURITY_GROUP_DISCOVERY_REVERTED = CniVersion(1, 22, 2)
# A node's own primary address is no longer handed to a pod (amazon-vpc-cni-k8s #3753).
PRIMARY_ADDRESS_FIXED = CniVersion(1, 22, 4)
# ipamd listens on a unix socket, which needs network policy agent 1.4.1.
UNIX_SOCKET = CniVersion(1, 23, 0)


def cluster_tag(version: CniVersion, cluster_name: str) -> tuple[str, str] | None:
    """The tag that keeps other clusters' nodes out of a pod subnet, in the form that the version reads.

    Returns:
        Key and value, or ``None`` before 1.22.0: those versions cannot tell clusters apart.
    """
    if version < SUBNET_EXCLUSION:
        return None
    prefix = CLUSTER_TAG_PREFIX_1_22_0 if version < CLUSTER_TAG_MOVED else CLUSTER_TAG_PREFIX
    return (prefix + cluster_name, CLUSTER_TAG_VALUE)


def check_cni_version(
    version: CniVersion,
    *,
    tag_zero: bool = False,
    cluster_scoped: bool = False,
    describe_security_groups: bool = False,
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Whether a version of the VPC CNI can be sent to tagged pod subnets.

    Args:
        version: What runs, or will run.
        tag_zero: Whether the node subnet is to be excluded with ``kubernetes.io/role/cni=0``.
        cluster_scoped: Whether the subnets must be for one cluster only.
        describe_security_groups: Whether the nodes' role allows ``ec2:DescribeSecurityGroups``.

    Returns:
        Problems that must be mended first, each naming the version to move to, and warnings.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []

    def problem(rule: str, reason: str, next_step: str, source: str) -> None:
        problems.append(Problem(rule=rule, value=str(version), reason=reason, next_step=next_step, source=source))

    if version < SUBNET_DISCOVERY:
        problem(
            "cni-subnet-discovery",
            "knows no subnet discovery: it ignores tagged subnets.",
            f"Upgrade to {FULL_SUBNET_FIXED} or later, one minor version at a time, best to {PRIMARY_ADDRESS_FIXED}.",
            "amazon-vpc-cni-k8s, ENABLE_SUBNET_DISCOVERY (v1.18.0+)",
        )
    elif version < FULL_SUBNET_FIXED:
        problem(
            "cni-full-subnet",
            "makes no new network interface while the subnet of an existing one is full, "
            "so a tagged subnet does not help.",
            f"Upgrade to {FULL_SUBNET_FIXED} or later.",
            "amazon-vpc-cni-k8s #2908, #2959, #2954",
        )
    elif SUBNET_EXCLUSION <= version < PRIMARY_ADDRESS_FIXED:
        problem(
            "cni-primary-address",
            "can hand a node's own primary address to a pod.",
            f"Upgrade to {PRIMARY_ADDRESS_FIXED} or later.",
            "amazon-vpc-cni-k8s #3753",
        )
    if CLUSTER_TAG_MOVED <= version < SECURITY_GROUP_DISCOVERY_REVERTED and not describe_security_groups:
        problem(
            "cni-security-group-permission",
            "calls ec2:DescribeSecurityGroups at start, and nodes without that permission hang at "
            "“Checking for IPAM connectivity”.",
            f"Upgrade to {PRIMARY_ADDRESS_FIXED} or later, or allow ec2:DescribeSecurityGroups first.",
            "amazon-vpc-cni-k8s #3704, #3705",
        )
    if tag_zero and version < PRIMARY_ADDRESS_FIXED:
        below = version < SUBNET_EXCLUSION
        problem(
            "cni-tag-zero",
            f"takes {SUBNET_ROLE_TAG}=0 for an invitation: any value of the tag counts as included."
            if below
            else f"must not be asked to exclude the node subnet with {SUBNET_ROLE_TAG}=0.",
            f"Leave the node subnet untagged, or upgrade to {PRIMARY_ADDRESS_FIXED} or later.",
            "amazon-vpc-cni-k8s, subnet discovery",
        )
    if cluster_scoped and version < SUBNET_EXCLUSION:
        warnings.append(
            Problem(
                rule="cni-cluster-scope",
                value=str(version),
                reason="reads no cluster tag: every cluster of the VPC will use the tagged subnets.",
                next_step=f"Accept that, or upgrade to {PRIMARY_ADDRESS_FIXED} or later.",
                source="amazon-vpc-cni-k8s #2904",
            )
        )
    if version >= SUBNET_EXCLUSION:
        warnings.append(
            Problem(
                rule="cni-describe-subnets",
                value=str(version),
                reason="creates no network interface at all while ec2:DescribeSubnets is denied.",
                next_step="Make sure that the nodes' role, or aws-node's, allows it.",
                source="amazon-vpc-cni-k8s, createENI",
            )
        )
    if version >= UNIX_SOCKET:
        warnings.append(
            Problem(
                rule="cni-unix-socket",
                value=str(version),
                reason="listens on a unix socket instead of port 50051.",
                next_step="Run network policy agent 1.4.1 or later with it, and probe the socket.",
                source="amazon-vpc-cni-k8s CHANGELOG, v1.23.0 (#3739)",
            )
        )
    return tuple(problems), tuple(warnings)


def interface_subnets(
    subnets: Iterable[Subnet], *, node_subnet: str, version: CniVersion, cluster_name: str = ""
) -> list[Subnet]:
    """The subnets where ipamd would try to create an interface, in the order in which it tries them.

    Most free addresses first, and among equals in the order that EC2 lists them. The node's own subnet
    takes part as if it were tagged.

    Args:
        subnets: The subnets of the node's VPC and availability zone.
        node_subnet: The subnet of the node's primary interface.
        version: The VPC CNI's version.
        cluster_name: aws-node's ``CLUSTER_NAME``; empty where it is not set.
    """
    allowed = [
        subnet
        for subnet in subnets
        if _takes_interfaces(
            subnet, is_node_subnet=subnet.id == node_subnet, version=version, cluster_name=cluster_name
        )
    ]
    return sorted(allowed, key=lambda subnet: -subnet.free_addresses)


def excluded_subnets(subnets: Iterable[Subnet], *, version: CniVersion, cluster_name: str = "") -> set[str]:
    """The subnets whose interfaces give no addresses to pods: tagged 0, or tagged for another cluster.

    ipamd asks when it sets an interface up, which for existing interfaces is when it (re)starts.
    """
    if version < SUBNET_EXCLUSION:
        return set()
    return {
        subnet.id
        for subnet in subnets
        if (role := subnet.tags.get(SUBNET_ROLE_TAG, ""))
        and (role == SUBNET_EXCLUDED or not _is_for_cluster(subnet, version, cluster_name))
    }


def _takes_interfaces(subnet: Subnet, *, is_node_subnet: bool, version: CniVersion, cluster_name: str) -> bool:
    role = subnet.tags.get(SUBNET_ROLE_TAG)
    if version < SUBNET_DISCOVERY:
        return is_node_subnet
    if version < SUBNET_EXCLUSION:
        return is_node_subnet or role is not None
    if role == SUBNET_EXCLUDED:
        return False
    if not role:
        return is_node_subnet
    return _is_for_cluster(subnet, version, cluster_name)


def _is_for_cluster(subnet: Subnet, version: CniVersion, cluster_name: str) -> bool:
    prefix = CLUSTER_TAG_PREFIX_1_22_0 if version < CLUSTER_TAG_MOVED else CLUSTER_TAG_PREFIX
    if not cluster_name and version >= CLUSTER_TAG_MOVED:
        return True
    clusters: Sequence[str] = [key.removeprefix(prefix) for key in subnet.tags if key.startswith(prefix)]
    return not clusters or (bool(cluster_name) and cluster_name in clusters)
