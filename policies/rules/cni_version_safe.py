"""The VPC CNI's version has to be named, and to be one without a known trap."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import (
    PRIMARY_ADDRESS_FIXED,
    SUBNET_EXCLUDED,
    SUBNET_ROLE_TAG,
    CniVersion,
    check_cni_version,
)
from policies import cni
from policies.configuration import CNI_VERSION
from policies.findings import Finding, Undecided, read
from policies.network import known_pod_subnets
from policies.resources import ADDON, ENI_CONFIG, SUBNET, Resource, Resources

NAME = "cni-version-safe"
DESCRIPTION = "The VPC CNI's version is pinned, and neither hands out wrong addresses nor ignores tagged subnets."
TYPES = (*cni.TYPES, SUBNET, ENI_CONFIG)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("eks", "cni-version")
REMEDIATION = (
    f"Write addonVersion with a version such as {PRIMARY_ADDRESS_FIXED}-eksbuild.1; upgrade one minor version at a "
    "time. `cniVersion` in the policy's configuration names what runs where the stack does not install it."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "cniVersion": CNI_VERSION,
    "describeSecurityGroups": {
        "type": "boolean",
        "default": False,
        "description": "Whether the nodes' role allows ec2:DescribeSecurityGroups",
    },
}

_ONLY_FOR_TAGGED_SUBNETS: Final = ("cni-subnet-discovery", "cni-full-subnet", "cni-tag-zero")
"""Problems of a version that matter where subnets are found by tag."""


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Versions that do not do what the stack relies on.

    Stops: tagged subnets for 1.18.1, which makes no interface while the first subnet is full (amazon-vpc-cni-k8s
    #2908); and an add-on without a version, which landed on 1.22.1 and hung on every node (#3704).
    """
    tagged = bool(known_pod_subnets(resources))
    zero = [subnet for subnet in resources.of_type(SUBNET) if _excluded(subnet)]
    told = False
    for found in cni.cnis(resources):
        told = told or found.version is not None
        for verdict in _verdicts(found, config, tagged=tagged, zero=bool(zero)):
            yield Finding(found.resource, verdict, "addonVersion")
    text = config.get("cniVersion")
    if not told and isinstance(text, str) and text:
        try:
            version = CniVersion.parse(text)
        except ProblemsError as error:
            for problem in error.problems:
                yield Finding(None, problem, "cniVersion")
            return
        for problem in _problems(version, config, tagged=tagged, zero=bool(zero)):
            yield Finding(None, problem, "cniVersion")


def _verdicts(found: cni.Cni, config: Mapping[str, Any], *, tagged: bool, zero: bool) -> Iterator[Problem | Undecided]:
    if isinstance(found.version, Undecided):
        yield found.version
    elif isinstance(found.version, ProblemsError):
        yield from found.version.problems
    elif found.version is not None:
        yield from _problems(found.version, config, tagged=tagged, zero=zero)
    elif found.resource.type == ADDON and not any(item.unknown == "addonName" for item in found.unknown):
        yield _unpinned()


def _excluded(subnet: Resource) -> bool:
    tags = read(subnet.properties, "tags", dict)
    return isinstance(tags, dict) and tags.get(SUBNET_ROLE_TAG) == SUBNET_EXCLUDED


def _problems(version: CniVersion, config: Mapping[str, Any], *, tagged: bool, zero: bool) -> Iterator[Problem]:
    problems, _ = check_cni_version(
        version, tag_zero=zero, describe_security_groups=config.get("describeSecurityGroups") is True
    )
    for problem in problems:
        if tagged or zero or problem.rule not in _ONLY_FOR_TAGGED_SUBNETS:
            yield problem


def _unpinned() -> Problem:
    return Problem(
        rule=NAME,
        value="addonVersion",
        reason="is not set, which leaves the version to EKS: the most recent one, tried or not.",
        next_step="Write the version that runs: `aws eks describe-addon --addon-name vpc-cni`.",
        source="amazon-vpc-cni-k8s #3704",
    )
