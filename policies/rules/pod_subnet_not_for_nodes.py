"""Nodes and load balancers must not take the pods' addresses."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.problems import Problem
from headroom.capacity.subnet_tags import tag_of_others
from policies.findings import Finding, read
from policies.network import known_pod_subnets, linked, pod_subnets
from policies.resources import (
    AUTO_SCALING_GROUP,
    ENI_CONFIG,
    KARPENTER_NODE_CLASS,
    NODE_GROUP,
    SUBNET,
    Resource,
    Resources,
)

NAME = "pod-subnet-not-for-nodes"
DESCRIPTION = "No node group, Karpenter selector or load balancer uses a pod subnet."
TYPES = (SUBNET, NODE_GROUP, AUTO_SCALING_GROUP, KARPENTER_NODE_CLASS, ENI_CONFIG)
SCOPE = "stack"
ENFORCEMENT = "mandatory"
SEVERITY = "high"
TAGS = ("eks", "capacity")
REMEDIATION = (
    "Give nodes and load balancers subnets of their own, and take the tag that is named off the pod subnet. A node "
    "group's subnets cannot be changed: make a new one."
)
CONFIG_SCHEMA: Mapping[str, Any] = {}

_SELECTING: Final = ((NODE_GROUP, "subnetIds", "node group"), (AUTO_SCALING_GROUP, "vpcZoneIdentifiers", "group"))


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Pod subnets that somebody else will fill.

    Stops: Karpenter launching into the emergency subnets because they carry its discovery tag, so that nodes whose
    pods find no address use up those that were added (karpenter-provider-aws #3380).
    """
    del config
    for subnet, undecided in pod_subnets(resources):
        if undecided is not None:
            yield Finding(subnet, undecided)
            continue
        tags = read(subnet.properties, "tags", dict)
        for tag in tags if isinstance(tags, dict) else ():
            reason = tag_of_others(tag)
            if reason:
                yield _finding(subnet, tag, f"must not be on a pod subnet: it {reason}.", "Take the tag off.", "tags")
    for_pods = {subnet.urn: subnet for subnet in known_pod_subnets(resources)}
    for type_, path, word in _SELECTING:
        for group in resources.of_type(type_):
            for subnet in linked(resources, group, path, SUBNET):
                if subnet.urn in for_pods:
                    reason = f"is a pod subnet, and {word} {group.name} puts nodes into it."
                    yield _finding(group, subnet.name, reason, "Name subnets for nodes only.", path)
    for node_class in resources.of_type(KARPENTER_NODE_CLASS):
        yield from _selected(node_class, for_pods.values())


def _selected(node_class: Resource, subnets: Any) -> Iterator[Finding]:
    """Pod subnets that a term of a NodeClass selects by tags or by id (Karpenter concepts, nodeclasses)."""
    terms = read(node_class.properties, "spec.subnetSelectorTerms", list)
    for term in terms if isinstance(terms, list) else ():
        wanted, id_ = read(term, "tags", dict), read(term, "id", str)
        for subnet in subnets:
            if (isinstance(wanted, dict) and _carries(subnet, wanted)) or (isinstance(id_, str) and id_ == subnet.id):
                reason = f"is a pod subnet, and the selector terms of {node_class.name} match it."
                yield _finding(node_class, subnet.name, reason, "Select by a tag that only node subnets carry.", "spec")


def _carries(subnet: Resource, wanted: Mapping[str, Any]) -> bool:
    tags = read(subnet.properties, "tags", dict)
    return isinstance(tags, dict) and bool(wanted) and all(_matches(tags.get(key), wanted[key]) for key in wanted)


def _matches(value: object, wanted: object) -> bool:
    return isinstance(value, str) and (wanted in ("*", value))


def _finding(resource: Resource, value: str, reason: str, next_step: str, property_: str) -> Finding:
    return Finding(resource, Problem(rule=NAME, value=value, reason=reason, next_step=next_step), property_)
