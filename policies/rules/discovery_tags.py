"""The tags that the VPC CNI looks for have to be those that its version reads."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any, Final

from headroom.addresses.problems import Problem
from headroom.capacity.cni_version import (
    CLUSTER_TAG_MOVED,
    CLUSTER_TAG_PREFIX,
    PRIMARY_ADDRESS_FIXED,
    SUBNET_EXCLUDED,
    SUBNET_EXCLUSION,
    SUBNET_ROLE_TAG,
    CniVersion,
    cluster_tag,
)
from headroom.planning.emergency_keys import ignored_subnet_problem
from policies import cni
from policies.configuration import CLUSTER_NAME, CNI_VERSION, ENVIRONMENT
from policies.findings import Finding, Undecided, read
from policies.network import is_for_pods, linked, unlinked
from policies.resources import ENI_CONFIG, SUBNET, TAG, UNKNOWN, Resources

NAME = "discovery-tags"
DESCRIPTION = "The subnet discovery tags mean to this version of the VPC CNI what they were written for."
TYPES = (SUBNET, TAG, ENI_CONFIG, *cni.TYPES)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "discovery")
REMEDIATION = (
    f"Write {SUBNET_ROLE_TAG}=1 on a subnet for pods and leave the tag off all others; {SUBNET_ROLE_TAG}=0 only with "
    f"the VPC CNI {PRIMARY_ADDRESS_FIXED} or later. `cniVersion` in the policy's configuration says what runs."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "cniVersion": CNI_VERSION,
    "clusterName": CLUSTER_NAME,
    "environment": ENVIRONMENT,
}

_SOURCE: Final = "amazon-vpc-cni-k8s, subnet discovery"
_NEAR: Final = 0.92
"""How alike a key must be to count as a misspelt role tag; `…/role/elb`, a tag of its own, is at 0.86."""


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Tags that the VPC CNI reads otherwise, or not at all.

    Stops: `kubernetes.io/role/cni=0` on the node subnets of a cluster with 1.19, where any value of the tag is an
    invitation; and rule CRE-2025-0112's `kubernetes.io/cluster/NAME`, which only 1.22.0 reads.
    """
    version = cni.config_version(resources, config)
    cluster = config.get("clusterName")
    for subnet in resources.of_type(SUBNET):
        tags = read(subnet.properties, "tags", dict)
        if isinstance(tags, Undecided):
            yield Finding(subnet, tags, "tags")
            continue
        for verdict in _verdicts(tags or {}, version, cluster if isinstance(cluster, str) else ""):
            yield Finding(subnet, verdict, "tags")
    if cni.config_settings(resources, config)[0].custom_networking:
        yield from _ignored(resources)


def _ignored(resources: Resources) -> Iterator[Finding]:
    """Subnets that are tagged for pods, which custom networking does not look for, and that no ENIConfig names."""
    configs = list(resources.of_type(ENI_CONFIG))
    named = {found.urn for item in configs for found in linked(resources, item, "spec.subnet", SUBNET)}
    untold = any(isinstance(unlinked(resources, item, "spec.subnet", SUBNET), Undecided) for item in configs)
    for subnet in resources.of_type(SUBNET):
        if subnet.urn in named or is_for_pods(subnet) is not True:
            continue
        problem = replace(ignored_subnet_problem("", subnet.name), rule=NAME)
        yield Finding(subnet, Undecided("the subnet of an ENIConfig") if untold else problem, "tags")


def _verdicts(tags: Mapping[str, Any], version: CniVersion | None, cluster: str) -> Iterator[Problem | Undecided]:
    for key in tags:
        if _is_misspelt(key):
            yield _problem(key, "is not the tag that the VPC CNI looks for.", f"Write {SUBNET_ROLE_TAG}.")
    role = tags.get(SUBNET_ROLE_TAG)
    if role is UNKNOWN:
        yield Undecided(f"tag {SUBNET_ROLE_TAG}")
        return
    if role is None:
        return
    if role == SUBNET_EXCLUDED:
        yield from _excluded(version)
    elif role == "" and (version is None or version >= SUBNET_EXCLUSION):
        yield _problem(
            f'{SUBNET_ROLE_TAG}=""', f"counts as no tag from {SUBNET_EXCLUSION} on.", f"Write {SUBNET_ROLE_TAG}=1."
        )
    elif version is not None:
        yield from _cluster_scope(tags, version, cluster)


def _is_misspelt(key: str) -> bool:
    if key == SUBNET_ROLE_TAG or abs(len(key) - len(SUBNET_ROLE_TAG)) > 2:  # noqa: PLR2004 - letters too many or few
        return False
    return SequenceMatcher(None, key.lower(), SUBNET_ROLE_TAG).ratio() >= _NEAR


def _excluded(version: CniVersion | None) -> Iterator[Problem | Undecided]:
    value = f"{SUBNET_ROLE_TAG}={SUBNET_EXCLUDED}"
    step = f"Leave the tag off, or upgrade to {PRIMARY_ADDRESS_FIXED} or later."
    if version is None:
        reason = f"is not known here, and {value} means the opposite to some: set cniVersion for {NAME}."
        yield Undecided("the VPC CNI's version", reason)
    elif version < SUBNET_EXCLUSION:
        yield _problem(value, f"is an invitation to {version}: any value of the tag counts as included.", step)
    elif version < PRIMARY_ADDRESS_FIXED:
        yield _problem(value, f"must not be used with {version} (amazon-vpc-cni-k8s #3753).", step)


def _cluster_scope(tags: Mapping[str, Any], version: CniVersion, cluster: str) -> Iterator[Problem]:
    scoped = [key for key in tags if key.startswith(CLUSTER_TAG_PREFIX)]
    if scoped and version < CLUSTER_TAG_MOVED:
        wanted = cluster_tag(version, cluster or "NAME")
        step = f"Write {wanted[0]}, or upgrade." if wanted else f"Upgrade to {PRIMARY_ADDRESS_FIXED}, or leave it out."
        yield _problem(scoped[0], f"is not read by {version}: every cluster of the VPC uses the subnet.", step)
    elif scoped and cluster and CLUSTER_TAG_PREFIX + cluster not in scoped:
        yield _problem(scoped[0], f"keeps {cluster} out of this subnet.", f"Add {CLUSTER_TAG_PREFIX}{cluster}=shared.")


def _problem(value: str, reason: str, next_step: str) -> Problem:
    return Problem(rule=NAME, value=value, reason=reason, next_step=next_step, source=_SOURCE)
